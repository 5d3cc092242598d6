//! Loop devices on deleted sparse files: when the device goes, its space goes.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

const LOOP_CLR_FD: libc::Ioctl = 0x4c01;
const LOOP_CONFIGURE: libc::Ioctl = 0x4c0a;
const LOOP_CTL_GET_FREE: libc::Ioctl = 0x4c82;

/// What the names of our backing files start with, by which leftovers are known.
pub const PREFIX: &str = "/tmp/botest-";

/// `struct loop_config`, as far as it is not zero.
#[repr(C)]
struct LoopConfig {
    fd: u32,
    block_size: u32,
    rest: [u64; 29 + 8],
}

/// A loop device and the file behind it.
pub struct Loop {
    pub file: File,
    pub path: PathBuf,
    device: File,
}

impl Loop {
    pub fn new(size: u64, sector: u32) -> io::Result<Loop> {
        let file = tempfile::Builder::new()
            .prefix("botest-")
            .tempfile_in("/tmp")?
            .into_file();
        file.set_len(size)?;
        let control = File::options()
            .read(true)
            .write(true)
            .open("/dev/loop-control")?;
        for _ in 0..100 {
            // SAFETY: the request takes no argument.
            let number = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE) };
            if number < 0 {
                return Err(io::Error::last_os_error());
            }
            let path = PathBuf::from(format!("/dev/loop{number}"));
            let device = open_node(&path)?;
            if configure(&device, &file, sector)? {
                return Ok(Loop { file, path, device });
            }
        }
        Err(io::Error::other(
            "every free loop device was taken by somebody else",
        ))
    }

    /// Lets go of the file. The kernel does it when the last opener has closed the device.
    pub fn clear(&self) -> io::Result<()> {
        clear(&self.device)
    }
}

/// The node appears shortly after the number was handed out.
fn open_node(path: &Path) -> io::Result<File> {
    let mut tries = 0;
    loop {
        match File::options().read(true).write(true).open(path) {
            Err(err) if err.kind() == io::ErrorKind::NotFound && tries < 200 => tries += 1,
            other => return other,
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// False when somebody else was faster.
fn configure(device: &File, file: &File, sector: u32) -> io::Result<bool> {
    let fd = u32::try_from(file.as_raw_fd()).map_err(io::Error::other)?;
    let config = LoopConfig {
        fd,
        block_size: sector,
        rest: [0; 37],
    };
    // SAFETY: the kernel reads a `struct loop_config` (304 bytes), which is what `config` has, and
    // keeps no pointer to it.
    match unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE, &raw const config) } {
        0 => Ok(true),
        _ => match io::Error::last_os_error() {
            err if err.raw_os_error() == Some(libc::EBUSY) => Ok(false),
            err => Err(err),
        },
    }
}

fn clear(device: &File) -> io::Result<()> {
    // SAFETY: the request takes no argument.
    match unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CLR_FD) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The loop devices that stand on files of ours, also of tests that died.
pub fn ours() -> Vec<PathBuf> {
    let Ok(blocks) = fs::read_dir("/sys/block") else {
        return Vec::new();
    };
    let mine = |name: &str| {
        fs::read_to_string(format!("/sys/block/{name}/loop/backing_file"))
            .is_ok_and(|file| file.starts_with(PREFIX))
    };
    blocks
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with("loop") && mine(name))
        .map(|name| PathBuf::from("/dev").join(name))
        .collect()
}

/// Lets go of what a test that died has left.
pub fn clear_leftovers() {
    for path in ours() {
        if let Ok(device) = File::open(&path) {
            let _ = clear(&device);
        }
    }
}

const _: () = assert!(size_of::<LoopConfig>() == 304);
