//! Reading and writing disks that may not answer, while a group is locked: through a child process,
//! with a deadline for each request.
//!
//! I/O that a disk does not answer blocks in the kernel, unkillably. A command that blocked there
//! would keep its group's lock and everything it has suspended, and the monitor could repair
//! nothing any more. So a child does the I/O, with a thread for each disk, and the command waits
//! only as long as a disk may take. A disk that is late is given up: every later request for it
//! fails at once. The write may still happen.
//!
//! **No label is read, and nothing else written, before such a write has happened or failed**:
//! during each request the child holds the lock of a file for the disk, which readers (`apart`) and
//! the next writer wait for. A child whose command is dead finishes the request that it is working
//! on, and begins no other.
//!
//! A disk is opened for writing with the first write, and stays open until no more requests can
//! come: unless breakoff's udev rule tells udev not to (`nowatch`), udev reads a disk and runs its
//! rules for it whenever a writer closes it.
//!
//! What volumes have on the disks is read by a child of its own (`open_to_read`), which holds no such
//! lock and gives way to other I/O: a long comparison must not keep a commit waiting.
//!
//! Requests are made while volumes are suspended. The child is started and braced before that, and
//! a request allocates nothing.

use crate::error::Result;
use crate::linux::disk::media::{BlockMedia, open_error};
use crate::linux::dm::nodes::devno;
use crate::linux::process::lock::{make_private_dir, run_dir};
use crate::linux::process::{critical, fork, signal};
use crate::model::DevNo;
use crate::sys::disk::{ALIGNMENT, Access, Written};
use crate::sys::{Errno, Media, failpoint};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{Pid, setsid};
use std::cell::{Cell, OnceCell, RefCell};
use std::fs::File;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::rc::{Rc, Weak};
use std::sync::Once;
use std::time::{Duration, Instant};

/// The stack size of a thread, which only passes bytes on. It is locked in memory.
const STACK: usize = 128 << 10;
/// The maximum payload of a request in a window, in bytes; other requests may have more.
const ROOM: usize = 64 << 10;
/// The length of a request without the bytes to be written.
const HEAD: usize = 24;

/// How long a disk may take to answer while nothing but the group waits for it.
const CALM: Duration = Duration::from_secs(10);
/// The maximum length that one request makes zero, in bytes: a slow disk, which is used for other
/// things at the same time, does that within the time that it has.
const ZERO: u64 = 1 << 20;

thread_local! {
    /// The disks that this thread has opened together, while they are open.
    static OPEN: RefCell<Vec<Weak<Beside>>> = RefCell::default();
}

/// Opens disks that are read and written together. Once braced, none of them may take longer than
/// `hold` to answer.
pub fn open_all(paths: &[&Path], hold: Duration) -> Vec<Result<Box<dyn Media>>> {
    let (disks, beside) = together(paths, hold, false);
    OPEN.with_borrow_mut(|open| {
        open.retain(|beside| beside.strong_count() > 0);
        open.push(Rc::downgrade(&beside));
    });
    disks
}

/// Opens disks together to read what volumes have on them, without the lock that keeps readers of
/// labels and writers apart.
pub fn open_to_read(paths: &[&Path], hold: Duration) -> Vec<Result<Box<dyn Media>>> {
    together(paths, hold, true).0
}

fn together(
    paths: &[&Path],
    hold: Duration,
    for_contents: bool,
) -> (Vec<Result<Box<dyn Media>>>, Rc<Beside>) {
    let look = |path: &&Path| {
        let found = Found::look(path)?;
        Ok(Found {
            for_contents,
            ..found
        })
    };
    let found: Vec<Result<Found>> = paths.iter().map(look).collect();
    let sizes: Vec<Result<u64>> = found
        .iter()
        .map(|found| found.as_ref().map(|found| found.size).map_err(Clone::clone))
        .collect();
    let beside = Beside::new(found.into_iter().flatten().collect(), hold);
    let mut at = 0..;
    let mut disk = |size| {
        Box::new(Disk {
            size,
            at: at.next().unwrap_or_default(),
            beside: Rc::clone(&beside),
        }) as Box<dyn Media>
    };
    let disks = sizes.into_iter().map(|size| size.map(&mut disk)).collect();
    (disks, beside)
}

/// Opens a disk, or uses it if it is one of those that are open already. A disk that is not open
/// already and is only read has no deadline: a caller that may have to wait long reads with
/// `apart`.
pub fn open(path: &Path, access: Access, hold: Duration) -> Result<Box<dyn Media>> {
    let disk = match (opened_already(path), access) {
        (Some(known), _) => known,
        (None, Access::ReadOnly) => {
            return Ok(Box::new(BlockMedia::open(path, Access::ReadOnly)?));
        }
        (None, Access::ReadWrite) => {
            let found = Found::look(path)?;
            Disk {
                size: found.size,
                at: 0,
                beside: Beside::new(vec![found], hold),
            }
        }
    };
    if access == Access::ReadWrite {
        disk.open_to_write().map_err(|err| open_error(path, &err))?;
    }
    Ok(Box::new(disk))
}

/// How a write ended, by the number that the child has answered.
fn written(answer: io::Result<i32>) -> Written {
    match answer {
        Ok(0) => Written::Durable,
        // The sign tells the flush from the write.
        Ok(number) if number < 0 => Written::NotFlushed(Errno(-number)),
        Ok(number) => Written::NotWritten(Errno(number)),
        Err(err) => Written::NotWritten(Errno::of(&err)),
    }
}

/// The disk at a path, if it is one of those that are open.
fn opened_already(path: &Path) -> Option<Disk> {
    let about = std::fs::metadata(path).ok()?;
    let is_disk = about.file_type().is_block_device();
    numbered(is_disk.then(|| devno(about.rdev()))?)
}

/// Whether a disk answers a read within this time; `None` if it is not one of those that are
/// written here.
pub(in crate::linux) fn answers(disk: DevNo, patience: Duration) -> Option<bool> {
    let disk = numbered(disk)?;
    let line = disk.beside.child.get()?.as_ref()?.lines.get(disk.at)?;
    let (offset, length) = (0, ALIGNMENT as u64);
    let request = Request::Read { offset, length };
    let asked = line.ask(request, &[], &mut [0; ALIGNMENT], patience);
    Some(asked.is_ok() || !line.is_lost.get())
}

fn numbered(number: DevNo) -> Option<Disk> {
    OPEN.with_borrow(|open| {
        open.iter()
            .filter_map(Weak::upgrade)
            .find_map(|beside| beside.disk(number))
    })
}

/// The file whose lock the writer of a disk holds.
fn lock_file(disk: DevNo) -> PathBuf {
    run_dir().join("writing").join(disk.to_string())
}

/// Waits until no process is writing to a disk. If the file does not exist, none has written to it
/// since this machine booted.
pub(in crate::linux) fn wait_for_writer(disk: DevNo) {
    if let Ok(file) = File::open(lock_file(disk)) {
        flock(&file, libc::LOCK_SH);
    }
}

fn flock(file: &File, how: libc::c_int) {
    // SAFETY: the descriptor is open. Errors are ignored: a lock fails only if the kernel has no
    // room for it.
    while unsafe { libc::flock(file.as_raw_fd(), how) } != 0
        && io::Error::last_os_error().kind() == ErrorKind::Interrupted
    {}
}

/// A disk that a child reads and writes, from the first request on.
struct Disk {
    size: u64,
    at: usize,
    beside: Rc<Beside>,
}

/// Disks that share one child. If it cannot be started, this process reads and writes them, at the
/// risk of blocking.
struct Beside {
    found: Vec<Found>,
    /// How long one of them may take to answer while volumes are suspended.
    hold: Duration,
    is_held: Cell<bool>,
    /// The process that opened them, as `fork::depth`.
    by: u32,
    child: OnceCell<Option<Child>>,
    here: RefCell<Vec<Opened>>,
}

/// A disk as it was found.
#[derive(Clone)]
struct Found {
    path: PathBuf,
    number: Option<DevNo>,
    size: u64,
    /// Whether only what volumes have on it is read.
    for_contents: bool,
}

/// The same disk, with what is open of it.
struct Opened {
    found: Found,
    to_read: Option<BlockMedia>,
    to_write: Option<BlockMedia>,
}

struct Child {
    process: Pid,
    lines: Vec<Line>,
}

/// The connection to the thread of one disk.
struct Line {
    socket: UnixStream,
    /// When the request that was sent last must have been answered.
    until: Cell<Instant>,
    /// Whether the child has the disk open for writing.
    is_open: Cell<bool>,
    is_lost: Cell<bool>,
}

impl Line {
    fn over(socket: UnixStream) -> Line {
        Line {
            socket,
            until: Cell::new(Instant::now()),
            is_open: Cell::new(false),
            is_lost: Cell::new(false),
        }
    }
}

/// A request for a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Request {
    Open,
    Read {
        offset: u64,
        length: u64,
    },
    Write {
        offset: u64,
        length: u64,
    },
    /// A write and the flush after it.
    WriteDurably {
        offset: u64,
        length: u64,
    },
    Flush,
    Zero {
        offset: u64,
        length: u64,
    },
    Brace,
    Rest,
}

impl Request {
    fn to_bytes(self) -> [u8; HEAD] {
        let (what, offset, length) = match self {
            Request::Open => (b'o', 0, 0),
            Request::Read { offset, length } => (b'r', offset, length),
            Request::Write { offset, length } => (b'w', offset, length),
            Request::WriteDurably { offset, length } => (b'd', offset, length),
            Request::Flush => (b'f', 0, 0),
            Request::Zero { offset, length } => (b'z', offset, length),
            Request::Brace => (b'b', 0, 0),
            Request::Rest => (b's', 0, 0),
        };
        let mut bytes = [0; HEAD];
        bytes[..8].copy_from_slice(&u64::from(what).to_ne_bytes());
        bytes[8..16].copy_from_slice(&offset.to_ne_bytes());
        bytes[16..].copy_from_slice(&length.to_ne_bytes());
        bytes
    }

    fn from_bytes(bytes: [u8; HEAD]) -> Option<Request> {
        let number = |at: usize| Some(u64::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
        let (offset, length) = (number(8)?, number(16)?);
        match u8::try_from(number(0)?).ok()? {
            b'o' => Some(Request::Open),
            b'r' => Some(Request::Read { offset, length }),
            b'w' => Some(Request::Write { offset, length }),
            b'd' => Some(Request::WriteDurably { offset, length }),
            b'f' => Some(Request::Flush),
            b'z' => Some(Request::Zero { offset, length }),
            b'b' => Some(Request::Brace),
            b's' => Some(Request::Rest),
            _ => None,
        }
    }

    /// The number of bytes that come with the request, and of those that a successful answer has.
    fn lengths(self) -> (usize, usize) {
        let bytes = |length| usize::try_from(length).unwrap_or(usize::MAX);
        match self {
            Request::Read { length, .. } => (0, bytes(length)),
            Request::Write { length, .. } | Request::WriteDurably { length, .. } => {
                (bytes(length), 0)
            }
            Request::Open
            | Request::Flush
            | Request::Zero { .. }
            | Request::Brace
            | Request::Rest => (0, 0),
        }
    }
}

// ------------------------------------------------------------------------------- the command's end

impl Media for Disk {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.ask(
            Request::Read {
                offset,
                length: buf.len() as u64,
            },
            &[],
            buf,
        )
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> io::Result<()> {
        self.ask(
            Request::Write {
                offset,
                length: buf.len() as u64,
            },
            buf,
            &mut [],
        )
    }

    fn flush(&self) -> io::Result<()> {
        self.ask(Request::Flush, &[], &mut [])
    }

    fn write_durably(&self, offset: u64, buf: &[u8]) -> Written {
        let begun = self.begin_write(offset, buf);
        begun.unwrap_or_else(|| self.end_write())
    }

    fn begin_write(&self, offset: u64, buf: &[u8]) -> Option<Written> {
        let request = Request::WriteDurably {
            offset,
            length: buf.len() as u64,
        };
        let Some(line) = self.line() else {
            return Some(self.beside.write_here(self.at, offset, buf));
        };
        let begun = line.begin(request, buf, self.beside.patience());
        begun.err().map(|err| Written::NotWritten(Errno::of(&err)))
    }

    fn end_write(&self) -> Written {
        let ended = self.line().map(|line| line.end(&mut []));
        written(ended.unwrap_or_else(|| Err(late())))
    }

    fn zero(&self, offset: u64, length: u64) -> io::Result<()> {
        let (mut at, end) = (offset, offset.saturating_add(length));
        while at < end {
            let length = ZERO.min(end - at);
            self.ask(Request::Zero { offset: at, length }, &[], &mut [])?;
            at += length;
        }
        Ok(())
    }

    fn brace(&self) {
        // Best effort, as the preparation of the window itself.
        if let Some(line) = self.line() {
            let _ = line.ask(Request::Brace, &[], &mut [], CALM);
        }
        self.beside.is_held.set(true);
    }

    fn relax(&self) {
        self.beside.is_held.set(false);
    }

    fn rest(&self) -> bool {
        let Some(line) = self.line() else {
            return false;
        };
        line.is_open.set(false);
        line.ask(Request::Rest, &[], &mut [], CALM).is_ok()
    }

    fn begin_read(&self, offset: u64, length: usize, patience: Duration) -> io::Result<()> {
        let length = length as u64;
        self.line().map_or(Ok(()), |line| {
            line.begin(Request::Read { offset, length }, &[], patience)
        })
    }

    fn end_read(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        match self.line() {
            Some(line) => line.finish(buf),
            None => self.read_at(offset, buf),
        }
    }

    fn size(&self) -> u64 {
        self.size
    }
}

impl Disk {
    fn open_to_write(&self) -> io::Result<()> {
        let is_open = self.line().map(|line| &line.is_open);
        if is_open.is_some_and(Cell::get) {
            return Ok(());
        }
        self.ask(Request::Open, &[], &mut [])?;
        is_open.iter().for_each(|is_open| is_open.set(true));
        Ok(())
    }

    fn ask(&self, request: Request, bytes: &[u8], answer: &mut [u8]) -> io::Result<()> {
        match self.line() {
            Some(line) => line.ask(request, bytes, answer, self.beside.patience()),
            None => self.beside.do_here(self.at, request, bytes, answer),
        }
    }

    fn line(&self) -> Option<&Line> {
        let Beside { found, child, .. } = &*self.beside;
        child
            .get_or_init(|| Child::start(found).ok())
            .as_ref()?
            .lines
            .get(self.at)
    }
}

impl Beside {
    fn new(found: Vec<Found>, hold: Duration) -> Rc<Beside> {
        let here = RefCell::new(found.iter().cloned().map(Opened::of).collect());
        Rc::new(Beside {
            found,
            hold,
            is_held: Cell::new(false),
            by: fork::depth(),
            child: OnceCell::new(),
            here,
        })
    }

    fn patience(&self) -> Duration {
        if self.is_held.get() {
            self.hold
        } else {
            CALM.max(self.hold)
        }
    }

    /// One of its disks, unless the parent of this process opened them: a child has none of the
    /// parent's descriptors.
    fn disk(self: Rc<Self>, number: DevNo) -> Option<Disk> {
        let at = self
            .found
            .iter()
            .position(|found| found.number == Some(number))
            .filter(|_| self.by == fork::depth())?;
        Some(Disk {
            size: self.found.get(at)?.size,
            at,
            beside: self,
        })
    }

    fn do_here(
        &self,
        at: usize,
        request: Request,
        bytes: &[u8],
        answer: &mut [u8],
    ) -> io::Result<()> {
        let mut here = self.here.borrow_mut();
        here.get_mut(at)
            .ok_or_else(late)?
            .carry_out(request, bytes, answer)
    }

    fn write_here(&self, at: usize, offset: u64, bytes: &[u8]) -> Written {
        let mut here = self.here.borrow_mut();
        let disk = here.get_mut(at).ok_or_else(late);
        disk.map_or_else(
            |err| Written::NotWritten(Errno::of(&err)),
            |disk| disk.write_durably(offset, bytes),
        )
    }
}

impl Found {
    fn look(path: &Path) -> Result<Found> {
        Ok(Found::of(path, &BlockMedia::open(path, Access::ReadOnly)?))
    }

    fn of(path: &Path, media: &BlockMedia) -> Found {
        // The child has another working directory.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Found {
            path,
            number: media.number(),
            size: media.size(),
            for_contents: false,
        }
    }

    /// Opens the disk. It must still be the same device.
    fn open(&self, access: Access) -> io::Result<BlockMedia> {
        let media = BlockMedia::try_open(&self.path, access)?;
        if media.number() == self.number {
            Ok(media)
        } else {
            Err(io::Error::from_raw_os_error(libc::ENXIO))
        }
    }
}

impl Opened {
    fn of(found: Found) -> Opened {
        Opened {
            found,
            to_read: None,
            to_write: None,
        }
    }

    /// Carries a request out and returns the number of its error, negative if it is that of the
    /// flush after a write, or 0.
    fn answer(&mut self, request: Request, bytes: &[u8], answer: &mut [u8]) -> i32 {
        match request {
            Request::WriteDurably { offset, .. } => match self.write_durably(offset, bytes) {
                Written::Durable => 0,
                Written::NotWritten(errno) => errno.0,
                Written::NotFlushed(errno) => -errno.0,
            },
            other => {
                let done = self.carry_out(other, bytes, answer);
                done.err().map_or(0, |err| Errno::of(&err).0)
            }
        }
    }

    fn carry_out(&mut self, request: Request, bytes: &[u8], answer: &mut [u8]) -> io::Result<()> {
        match request {
            Request::Open => self.writable().map(drop),
            Request::Read { offset, .. } => self.readable()?.read_at(offset, answer),
            Request::Write { offset, .. } => self.writable()?.write_at(offset, bytes),
            Request::WriteDurably { offset, .. } => self.write_durably(offset, bytes).done(),
            Request::Flush => self.writable()?.flush(),
            Request::Zero { offset, length } => self.writable()?.zero(offset, length),
            Request::Brace => Ok(()),
            Request::Rest => {
                (self.to_read, self.to_write) = (None, None);
                Ok(())
            }
        }
    }

    fn write_durably(&mut self, offset: u64, bytes: &[u8]) -> Written {
        match self.writable() {
            Ok(media) => media.write_durably(offset, bytes),
            Err(err) => Written::NotWritten(Errno::of(&err)),
        }
    }

    fn writable(&mut self) -> io::Result<&BlockMedia> {
        open_once(&mut self.to_write, || self.found.open(Access::ReadWrite))
    }

    fn readable(&mut self) -> io::Result<&BlockMedia> {
        match &self.to_write {
            Some(media) => Ok(media),
            None => open_once(&mut self.to_read, || self.found.open(Access::ReadOnly)),
        }
    }
}

fn open_once(
    media: &mut Option<BlockMedia>,
    open: impl FnOnce() -> io::Result<BlockMedia>,
) -> io::Result<&BlockMedia> {
    if media.is_none() {
        *media = Some(open()?);
    }
    media.as_ref().ok_or_else(late)
}

impl Child {
    fn start(found: &[Found]) -> io::Result<Child> {
        let pairs: Vec<(UnixStream, UnixStream)> = found
            .iter()
            .map(|_| UnixStream::pair())
            .collect::<io::Result<_>>()?;
        let (ours, theirs): (Vec<UnixStream>, Vec<UnixStream>) = pairs.into_iter().unzip();
        let kept: Vec<RawFd> = theirs.iter().map(AsRawFd::as_raw_fd).collect();
        let process = fork::child(&kept, || serve_all(found, &theirs))?;
        drop(theirs);
        let child = Child {
            process,
            lines: ours.into_iter().map(Line::over).collect(),
        };
        child
            .lines
            .iter()
            .try_for_each(|line| line.socket.set_nonblocking(true))?;
        let until = Instant::now() + CALM;
        child
            .lines
            .iter()
            .try_for_each(|line| receive(&line.socket, &mut [0; 4], until))?;
        Ok(child)
    }
}

impl Drop for Child {
    /// A child that is not stuck ends when its sockets are closed, and is reaped. One that is stuck
    /// is left to the kernel, and to whatever reaps the children of this process.
    fn drop(&mut self) {
        let is_through = !self.lines.iter().any(|line| line.is_lost.get());
        self.lines.clear();
        if !is_through {
            let _ = kill(self.process, Signal::SIGKILL);
        }
        let _ = waitpid(self.process, (!is_through).then_some(WaitPidFlag::WNOHANG));
    }
}

impl Line {
    fn ask(
        &self,
        request: Request,
        bytes: &[u8],
        answer: &mut [u8],
        patience: Duration,
    ) -> io::Result<()> {
        self.begin(request, bytes, patience)?;
        self.finish(answer)
    }

    /// Waits for the answer to a request that was sent.
    fn finish(&self, answer: &mut [u8]) -> io::Result<()> {
        match self.end(answer)? {
            0 => Ok(()),
            number => Err(io::Error::from_raw_os_error(number)),
        }
    }

    /// Sends a request. It must have been answered when `patience` is over.
    fn begin(&self, request: Request, bytes: &[u8], patience: Duration) -> io::Result<()> {
        if self.is_lost.get() {
            return Err(late());
        }
        let until = Instant::now() + patience;
        self.until.set(until);
        self.unless_lost(|| send(&self.socket, &request.to_bytes(), bytes, until))
    }

    /// Returns the number of the disk's error, or 0.
    fn end(&self, answer: &mut [u8]) -> io::Result<i32> {
        if self.is_lost.get() {
            return Err(late());
        }
        let until = self.until.get();
        self.unless_lost(|| {
            let mut number = [0; 4];
            receive(&self.socket, &mut number, until)?;
            let number = i32::from_ne_bytes(number);
            if number == 0 {
                receive(&self.socket, answer, until)?;
            }
            Ok(number)
        })
    }

    fn unless_lost<T>(&self, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let done = act();
        // An answer that comes now is too late for any request.
        self.is_lost.set(done.is_err());
        done
    }
}

fn late() -> io::Error {
    io::Error::from_raw_os_error(libc::ETIMEDOUT)
}

/// Sends a head and what follows it.
fn send(mut socket: &UnixStream, head: &[u8], bytes: &[u8], until: Instant) -> io::Result<()> {
    let (mut head, mut bytes) = (head, bytes);
    while !head.is_empty() || !bytes.is_empty() {
        match socket.write_vectored(&[IoSlice::new(head), IoSlice::new(bytes)]) {
            Ok(sent) => {
                let of_bytes = sent.saturating_sub(head.len());
                head = head.get(sent..).unwrap_or_default();
                bytes = bytes.get(of_bytes..).unwrap_or_default();
            }
            Err(err) => again(socket, PollFlags::POLLOUT, &err, until)?,
        }
    }
    Ok(())
}

fn receive(mut socket: &UnixStream, mut bytes: &mut [u8], until: Instant) -> io::Result<()> {
    // The answer is hardly ever there already.
    let early = io::Error::from(ErrorKind::WouldBlock);
    if !bytes.is_empty() {
        again(socket, PollFlags::POLLIN, &early, until)?;
    }
    while !bytes.is_empty() {
        match socket.read(bytes) {
            Ok(0) => return Err(io::Error::from_raw_os_error(libc::EPIPE)),
            Ok(received) => bytes = bytes.get_mut(received..).unwrap_or_default(),
            Err(err) => again(socket, PollFlags::POLLIN, &err, until)?,
        }
    }
    Ok(())
}

/// Waits until the call can be tried again.
fn again(socket: &UnixStream, what: PollFlags, err: &io::Error, until: Instant) -> io::Result<()> {
    match err.kind() {
        ErrorKind::Interrupted => return Ok(()),
        ErrorKind::WouldBlock => {}
        _ => {
            return Err(io::Error::from_raw_os_error(
                err.raw_os_error().unwrap_or(libc::EIO),
            ));
        }
    }
    let left = until
        .checked_duration_since(Instant::now())
        .ok_or_else(late)?;
    let timeout =
        PollTimeout::try_from(left.as_millis().saturating_add(1)).unwrap_or(PollTimeout::MAX);
    match poll(&mut [PollFd::new(socket.as_fd(), what)], timeout) {
        Ok(0) => Err(late()),
        Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
        Err(errno) => Err(io::Error::from_raw_os_error(errno as i32)),
    }
}

// ------------------------------------------------------------------------------------- the child's

fn serve_all(found: &[Found], sockets: &[UnixStream]) {
    let _ = setsid();
    // SAFETY: prctl reads a string that ends with a NUL. `ps -e` shows it as the name of the
    // process.
    unsafe { libc::prctl(libc::PR_SET_NAME, c"breakoff-writer".as_ptr()) };
    failpoint::disarm();
    signal::forget();
    std::thread::scope(|scope| {
        for (found, socket) in found.iter().zip(sockets) {
            let serve = move || serve(found, socket);
            if std::thread::Builder::new()
                .stack_size(STACK)
                .spawn_scoped(scope, serve)
                .is_err()
            {
                let _ = socket.shutdown(std::net::Shutdown::Both);
            }
        }
        sockets
            .iter()
            .for_each(|mut socket| drop(socket.write_all(&[0; 4])));
    });
}

/// Carries out the requests for one disk, until no more can come.
fn serve(found: &Found, mut socket: &UnixStream) {
    let lock = if found.for_contents {
        give_way();
        None
    } else {
        found.number.and_then(|number| make_lock(number).ok())
    };
    let mut disk = Opened::of(found.clone());
    let (mut bytes, mut answer) = (Vec::with_capacity(ROOM), Vec::with_capacity(ROOM));
    let mut head = [0; HEAD];
    while socket.read_exact(&mut head).is_ok() {
        let Some(request) = Request::from_bytes(head) else {
            return;
        };
        let (comes, goes) = request.lengths();
        bytes.resize(comes, 0);
        answer.resize(goes, 0);
        if socket.read_exact(&mut bytes).is_err() {
            return;
        }
        if request == Request::Brace {
            brace();
        }
        let is_io = !matches!(request, Request::Brace | Request::Rest);
        let lock = lock.as_ref().filter(|_| is_io);
        lock.iter().for_each(|lock| flock(lock, libc::LOCK_EX));
        // The command may have gone while this thread waited for an earlier writer.
        let number = if hung_up(socket) {
            None
        } else {
            Some(disk.answer(request, &bytes, &mut answer))
        };
        lock.iter().for_each(|lock| flock(lock, libc::LOCK_UN));
        let Some(number) = number else { return };
        let mut told = socket.write_all(&number.to_ne_bytes());
        if number == 0 {
            told = told.and_then(|()| socket.write_all(&answer));
        }
        if told.is_err() {
            return;
        }
    }
}

/// The I/O of this thread gives way to other I/O (ioprio_set(2): best effort, the lowest level). Not
/// the idle class: on a disk that is never idle it would get nothing.
fn give_way() {
    const WHO_PROCESS: libc::c_int = 1;
    const BEST_EFFORT_LOWEST: libc::c_int = (2 << 13) | 7;
    // SAFETY: the call takes three integers and concerns this thread only. An error leaves the
    // priority as it is.
    unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, 0, BEST_EFFORT_LOWEST) };
}

fn make_lock(disk: DevNo) -> io::Result<File> {
    let path = lock_file(disk);
    path.parent().map_or(Ok(()), make_private_dir)?;
    File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
}

/// Memory is locked once for the whole process; each thread has a priority of its own.
fn brace() {
    static MEMORY: Once = Once::new();
    MEMORY.call_once(|| {
        let _ = critical::lock_memory_for_good();
        let _ = critical::never_killed_for_memory();
    });
    let _ = critical::raise_priority();
}

fn hung_up(socket: &UnixStream) -> bool {
    let mut asked = [PollFd::new(socket.as_fd(), PollFlags::empty())];
    let gone = |answer: PollFlags| answer.intersects(PollFlags::POLLHUP | PollFlags::POLLERR);
    poll(&mut asked, PollTimeout::ZERO).is_ok() && asked[0].revents().is_some_and(gone)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn requests_come_back() {
        let all = [
            Request::Open,
            Request::Read {
                offset: 1,
                length: u64::MAX,
            },
            Request::Write {
                offset: u64::MAX,
                length: 4096,
            },
            Request::WriteDurably {
                offset: 8192,
                length: 4096,
            },
            Request::Flush,
            Request::Zero {
                offset: 4096,
                length: 8192,
            },
            Request::Brace,
            Request::Rest,
        ];
        all.into_iter()
            .for_each(|request| assert_eq!(Request::from_bytes(request.to_bytes()), Some(request)));
        assert_eq!(Request::from_bytes([0; HEAD]), None);
    }

    #[test]
    fn disks_are_read_and_written_beside_us() {
        let (one, two) = (file(&[1; 1 << 20]), file(&[2; 8192]));
        let paths = [one.path(), Path::new("/nonexistent/disk"), two.path()];
        let disks = open_all(&paths, PATIENCE);
        assert_eq!(
            disks[1].as_ref().err().unwrap().kind(),
            crate::error::Kind::NotFound
        );
        let [first, last] = [&disks[0], &disks[2]].map(|disk| disk.as_ref().unwrap());
        assert_eq!((first.size(), last.size()), (1 << 20, 8192));
        first.write_at(4096, &[7; 300 << 10]).unwrap();
        last.zero(4096, 4096).unwrap();
        first.flush().unwrap();
        let mut read = vec![0; 308 << 10];
        first.read_at(0, &mut read).unwrap();
        assert!(
            read[..4096] == [1; 4096]
                && read[4096..304 << 10].iter().all(|byte| *byte == 7)
                && read[304 << 10..] == [1; 4096]
        );
        assert_eq!(
            std::fs::read(two.path()).unwrap(),
            [[2; 4096], [0; 4096]].concat()
        );
        // An error is reported, and later requests still work.
        assert!(last.write_at(1, &[0; 4096]).is_err());
        last.write_at(0, &[3; 4096]).unwrap();
        drop(disks);
        assert_eq!(std::fs::read(two.path()).unwrap()[0], 3);
    }

    #[test]
    fn disks_are_written_and_read_at_once_and_again_after_a_rest() {
        let files = [file(&[1; 8192]), file(&[2; 8192])];
        let disks = open_all(&[files[0].path(), files[1].path()], PATIENCE);
        let disks: Vec<_> = disks.into_iter().map(Result::unwrap).collect();
        for round in [5, 6] {
            let begun = disks
                .iter()
                .map(|disk| disk.begin_write(4096, &[round; 4096]));
            assert!(begun.collect::<Vec<_>>().iter().all(Option::is_none));
            let ended = disks.iter().map(|disk| disk.end_write());
            assert!(ended.collect::<Vec<_>>() == [Written::Durable; 2]);
            assert!(
                disks
                    .iter()
                    .all(|disk| disk.begin_read(0, 8192, PATIENCE).is_ok())
            );
            for (first, disk) in [1, 2].into_iter().zip(&disks) {
                let mut bytes = [0; 8192];
                disk.end_read(0, &mut bytes).unwrap();
                assert_eq!((bytes[0], bytes[4096]), (first, round));
            }
            assert!(disks.iter().all(|disk| disk.rest()));
        }
        let misaligned = disks[0].write_durably(1, &[0; 4096]);
        assert!(matches!(misaligned, Written::NotWritten(_)));
        assert_eq!(disks[0].write_durably(0, &[7; 4096]), Written::Durable);
    }

    #[test]
    fn a_flush_that_fails_is_told_from_a_write_that_does() {
        assert_eq!(written(Ok(0)), Written::Durable);
        assert_eq!(written(Ok(5)), Written::NotWritten(Errno(5)));
        assert_eq!(written(Ok(-5)), Written::NotFlushed(Errno(5)));
        assert_eq!(
            written(Err(late())),
            Written::NotWritten(Errno(libc::ETIMEDOUT))
        );
        let failed = Written::NotFlushed(Errno(5)).done().unwrap_err();
        assert_eq!(failed.raw_os_error(), Some(5));
    }

    #[test]
    fn only_while_volumes_are_suspended_a_disk_has_as_long_as_they_may_be() {
        let hold = Duration::from_millis(500);
        let beside = Beside::new(Vec::new(), hold);
        let disk = Disk {
            size: 0,
            at: 0,
            beside: Rc::clone(&beside),
        };
        assert_eq!(beside.patience(), CALM);
        disk.brace();
        assert_eq!(beside.patience(), hold);
        disk.relax();
        assert_eq!(beside.patience(), CALM);
        assert_eq!(Beside::new(Vec::new(), CALM * 2).patience(), CALM * 2);
    }

    #[test]
    fn a_disk_that_does_not_answer_is_given_up_and_the_others_go_on() {
        let (silent, theirs) = UnixStream::pair().unwrap();
        silent.set_nonblocking(true).unwrap();
        let line = Line::over(silent);
        let begun = Instant::now();
        let asked = line.ask(Request::Flush, &[], &mut [], Duration::from_millis(50));
        assert_eq!(asked.unwrap_err().raw_os_error(), Some(libc::ETIMEDOUT));
        // A late answer is for no request.
        (&theirs).write_all(&[0; 4]).unwrap();
        assert!(
            line.ask(Request::Flush, &[], &mut [], PATIENCE).is_err()
                && begun.elapsed() < PATIENCE / 2
        );
        assert!(!hung_up(&theirs));
        drop(line);
        assert!(hung_up(&theirs));
    }
}
