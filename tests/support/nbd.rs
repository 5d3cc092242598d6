//! A disk on another machine, as NBD: a server of its own process over TCP on the loopback
//! interface, and the kernel's `/dev/nbdN` as its client.
//!
//! ```text
//! file in /tmp ── server (a process) ── TCP ── /dev/nbdN, what the program gets
//! ```
//!
//! The client's timeout is what decides what happens when the server is silent. Without one the
//! kernel waits for ever, as it does for a lost path with queueing on; with one it fails the device.
//! The program is not involved in either.

use super::lab::until;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use std::ffi::c_ulong;
use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

const SET_SOCK: libc::Ioctl = 0xab00;
const SET_BLKSIZE: libc::Ioctl = 0xab01;
const DO_IT: libc::Ioctl = 0xab03;
const CLEAR_SOCK: libc::Ioctl = 0xab04;
const SET_SIZE_BLOCKS: libc::Ioctl = 0xab07;
const DISCONNECT: libc::Ioctl = 0xab08;
const SET_TIMEOUT: libc::Ioctl = 0xab09;
const SET_FLAGS: libc::Ioctl = 0xab0a;

/// What the server can do: there are flags, and flushes.
const FLAGS: c_ulong = 1 | 1 << 2;
/// The size of a block, in bytes.
const BLOCK: u64 = 512;

/// See the module.
pub struct Nbd {
    pub path: PathBuf,
    /// Its bytes, whatever becomes of the connection.
    pub file: File,
    size: u64,
    server: Option<Pid>,
    client: Option<JoinHandle<()>>,
}

impl Nbd {
    /// Connects a device to a new server with a disk of `size` bytes that are zero. A request that
    /// is not answered within `timeout`, in whole seconds, fails the device; without one it is
    /// waited for.
    pub fn new(size: u64, timeout: Option<Duration>) -> io::Result<Nbd> {
        let file = tempfile::Builder::new()
            .prefix("botest-")
            .tempfile_in("/tmp")?
            .into_file();
        file.set_len(size)?;
        let mut nbd = Nbd {
            path: free_device()?,
            file,
            size,
            server: None,
            client: None,
        };
        nbd.connect(timeout)?;
        Ok(nbd)
    }

    /// The path as a word of a command line.
    pub fn word(&self) -> String {
        self.path.display().to_string()
    }

    /// Starts a server for the same disk and connects the same device to it, as after a loss. The
    /// kernel wants nobody to have the device open.
    pub fn connect(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.disconnect();
        let (here, there) = connection()?;
        self.server = Some(serve(there.as_raw_fd(), self.file.as_raw_fd())?);
        drop(there);
        let device = File::options().read(true).write(true).open(&self.path)?;
        let seconds = timeout.map_or(0, |timeout| timeout.as_secs());
        ask(&device, CLEAR_SOCK, 0)?;
        ask(&device, SET_BLKSIZE, BLOCK)?;
        ask(&device, SET_SIZE_BLOCKS, self.size / BLOCK)?;
        ask(&device, SET_FLAGS, FLAGS)?;
        ask(&device, SET_TIMEOUT, seconds)?;
        ask(&device, SET_SOCK, here.as_raw_fd() as c_ulong)?;
        // Blocks for as long as there is a connection; the socket belongs to the kernel until then.
        let shown = self.word();
        self.client = Some(std::thread::spawn(move || {
            let ended = ask(&device, DO_IT, 0);
            println!("{shown} is disconnected: {ended:?}");
            let _ = ask(&device, CLEAR_SOCK, 0);
            drop(here);
        }));
        until(&format!("{} is connected", self.word()), || {
            self.is_connected()
        });
        super::udev::settle();
        Ok(())
    }

    /// Whether the kernel has a connection.
    pub fn is_connected(&self) -> bool {
        self.attribute("pid").is_some()
    }

    fn attribute(&self, name: &str) -> Option<String> {
        let directory = Path::new("/sys/block").join(self.path.file_name()?);
        fs::read_to_string(directory.join(name)).ok()
    }

    /// Stops the server: what it is asked from now on is neither answered nor refused.
    pub fn stop(&self) {
        println!("the server of {} is stopped", self.word());
        self.signal(libc::SIGSTOP);
    }

    /// Lets the server go on: all that it was asked is answered.
    pub fn go_on(&self) {
        println!("the server of {} goes on", self.word());
        self.signal(libc::SIGCONT);
    }

    /// Kills the server: the kernel sees the end of the connection.
    pub fn kill(&mut self) {
        println!("the server of {} is killed", self.word());
        self.signal(libc::SIGKILL);
        self.reap();
    }

    fn signal(&self, signal: i32) {
        if let Some(server) = self.server {
            // SAFETY: plain system call on a child that has not been waited for.
            unsafe { libc::kill(server.as_raw(), signal) };
        }
    }

    fn reap(&mut self) {
        if let Some(server) = self.server.take() {
            let _ = waitpid(server, None);
        }
    }

    /// Ends the connection, and the server. What was not answered fails.
    pub fn disconnect(&mut self) {
        self.signal(libc::SIGKILL);
        self.reap();
        if let Ok(device) = File::options().read(true).open(&self.path) {
            let _ = ask(&device, DISCONNECT, 0);
            let _ = ask(&device, CLEAR_SOCK, 0);
        }
        if let Some(client) = self.client.take() {
            let _ = client.join();
        }
    }

    /// Its bytes as they are, whatever its server does.
    pub fn raw(&self, offset: u64, length: usize) -> Vec<u8> {
        let mut out = vec![0; length];
        self.file
            .read_exact_at(&mut out, offset)
            .unwrap_or_else(|err| panic!("reading the disk of {}: {err}", self.word()));
        out
    }
}

impl Drop for Nbd {
    fn drop(&mut self) {
        self.disconnect();
    }
}

/// Whether this kernel has NBD; its module is loaded.
pub fn is_there() -> bool {
    super::child::tool("modprobe", &["nbd"]).status == 0 && Path::new("/dev/nbd0").exists()
}

fn free_device() -> io::Result<PathBuf> {
    let free = (0..16).map(|number| format!("nbd{number}")).find(|name| {
        let directory = Path::new("/sys/block").join(name);
        directory.exists() && !directory.join("pid").exists()
    });
    free.map(|name| Path::new("/dev").join(name))
        .ok_or_else(|| io::Error::other("every NBD device is in use"))
}

fn ask(device: &File, request: libc::Ioctl, argument: c_ulong) -> io::Result<()> {
    // SAFETY: the requests take numbers and descriptors, and no pointer.
    match unsafe { libc::ioctl(device.as_raw_fd(), request, argument) } {
        0.. => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn connection() -> io::Result<(TcpStream, TcpStream)> {
    bring_up_loopback()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let here = TcpStream::connect(listener.local_addr()?)?;
    let (there, _) = listener.accept()?;
    for end in [&here, &there] {
        end.set_nodelay(true)?;
    }
    Ok((here, there))
}

/// A machine without a network may not have it up.
pub fn bring_up_loopback() -> io::Result<()> {
    // SAFETY: an `ifreq` of zeros is valid, and the kernel reads and writes no more than one.
    unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        if socket < 0 {
            return Err(io::Error::last_os_error());
        }
        let mut request: libc::ifreq = std::mem::zeroed();
        request.ifr_name[0] = b'l' as libc::c_char;
        request.ifr_name[1] = b'o' as libc::c_char;
        request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
        let done = libc::ioctl(socket, libc::SIOCSIFFLAGS, &raw const request);
        let failed = io::Error::last_os_error();
        libc::close(socket);
        if done == 0 { Ok(()) } else { Err(failed) }
    }
}

// ---------------------------------------------------------------------------------------- the server

const REQUEST: u32 = 0x2560_9513;
const REPLY: u32 = 0x6744_6698;
const READ: u16 = 0;
const WRITE: u16 = 1;
const DISCONNECTED: u16 = 2;
/// The longest request: what the kernel asks for at once is less.
const LONGEST: usize = 4 << 20;

/// Forks a process that serves a connection until it ends. The child allocates nothing: the program
/// that it comes from has other threads.
fn serve(socket: RawFd, file: RawFd) -> io::Result<Pid> {
    let mut buffer = vec![0; LONGEST];
    // Where close_range does not leave anything open that has to stay.
    // SAFETY: plain system calls; the descriptors belong to the child alone and stay open.
    let (socket, file) = unsafe { (libc::dup(socket), libc::dup(file)) };
    // SAFETY: the child calls nothing but system calls on memory that it has, and never returns.
    match unsafe { libc::fork() } {
        0 => {
            // SAFETY: as above.
            unsafe {
                libc::dup2(socket, 3);
                libc::dup2(file, 4);
                libc::syscall(libc::SYS_close_range, 5, u32::MAX, 0);
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0);
                while answer(&mut buffer).is_some() {}
                libc::_exit(0)
            }
        }
        child => {
            let failed = io::Error::last_os_error();
            // SAFETY: both are open and nobody's but this function's.
            unsafe {
                libc::close(socket);
                libc::close(file);
            }
            if child < 0 {
                Err(failed)
            } else {
                Ok(Pid::from_raw(child))
            }
        }
    }
}

/// Answers one request of the kernel; `None` at the end of the connection.
fn answer(buffer: &mut [u8]) -> Option<()> {
    let mut head = [0; 28];
    receive(&mut head)?;
    let word = |at: usize| Some(u32::from_be_bytes(*head.get(at..)?.first_chunk()?));
    let what = u16::from_be_bytes(*head.get(6..)?.first_chunk()?);
    let offset = i64::from(word(16)?) << 32 | i64::from(word(20)?);
    let length = word(24)? as usize;
    if word(0)? != REQUEST || what == DISCONNECTED {
        return None;
    }
    let bytes = buffer.get_mut(..length)?;
    let done = match what {
        READ => each(bytes.len(), |at| {
            let rest = &mut bytes[at..];
            // SAFETY: the memory is there and as long as is said.
            unsafe { libc::pread(4, rest.as_mut_ptr().cast(), rest.len(), offset + at as i64) }
        }),
        WRITE => {
            receive(bytes)?;
            each(bytes.len(), |at| {
                let rest = &bytes[at..];
                // SAFETY: as above.
                unsafe { libc::pwrite(4, rest.as_ptr().cast(), rest.len(), offset + at as i64) }
            })
        }
        // What is in the file is there for whoever serves it next.
        _ => Some(()),
    };
    let mut reply = [0; 16];
    reply[..4].copy_from_slice(&REPLY.to_be_bytes());
    reply[4..8].copy_from_slice(&(if done.is_some() { 0u32 } else { 5 }).to_be_bytes());
    reply[8..].copy_from_slice(head.get(8..16)?);
    send(&reply)?;
    if what == READ && done.is_some() {
        send(buffer.get(..length)?)?;
    }
    Some(())
}

fn receive(bytes: &mut [u8]) -> Option<()> {
    each(bytes.len(), |at| {
        let rest = &mut bytes[at..];
        // SAFETY: the memory is there and as long as is said.
        unsafe { libc::read(3, rest.as_mut_ptr().cast(), rest.len()) }
    })
}

fn send(bytes: &[u8]) -> Option<()> {
    each(bytes.len(), |at| {
        let rest = &bytes[at..];
        // SAFETY: the memory is there and as long as is said.
        unsafe { libc::send(3, rest.as_ptr().cast(), rest.len(), libc::MSG_NOSIGNAL) }
    })
}

/// Has a system call do all of `length` bytes, which does some of them at a time.
fn each(length: usize, mut act: impl FnMut(usize) -> isize) -> Option<()> {
    let mut at = 0;
    while at < length {
        at += usize::try_from(act(at)).ok().filter(|done| *done > 0)?;
    }
    Some(())
}
