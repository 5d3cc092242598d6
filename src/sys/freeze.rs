//! Freezing the filesystem on a volume, apart from the suspend of the volume.
//!
//! dm can freeze on its way into a suspend, but a mirror beneath is already told by then that it is going to sleep: a write of the
//! freeze that fails on a leg comes back as an error, and the filesystem gives up. Frozen beforehand, the mirror holds such a
//! write until the leg is taken out, and nothing is lost.
//!
//! A frozen filesystem stays frozen when whoever froze it dies, and nothing shows that it is. So a note lies in `/run` from before
//! the freeze until after the thaw, and whoever recovers thaws what has a note and nobody to care.

use super::{Errno, nodes, sysfs};
use crate::model::DevNo;
use nix::errno::Errno as Number;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Where the notes are, each with the name of a device number.
const NOTES: &str = "/run/breakoff/frozen";

/// From `<linux/fs.h>`.
const FIFREEZE: libc::Ioctl = nix::request_code_readwrite!(b'X', 119, size_of::<libc::c_int>());
const FITHAW: libc::Ioctl = nix::request_code_readwrite!(b'X', 120, size_of::<libc::c_int>());

/// What is on a volume, opened ahead.
#[derive(Debug)]
pub enum Content {
    /// A mounted filesystem, by any directory of it, and the note while it is frozen.
    Filesystem(File, Note),
    /// None: what is in memory of the device itself.
    Device(File),
    /// Something that only the kernel can freeze, on its way into the suspend: mounted where we cannot see it.
    Hidden,
}

/// The note that a filesystem is frozen.
#[derive(Debug)]
pub struct Note {
    path: PathBuf,
    lock: Option<Flock<File>>,
}

/// How far a [`Content`] came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frozen {
    /// Nothing more is written: the suspend needs no freeze.
    Yes,
    /// The suspend has to do it.
    No,
}

impl Content {
    /// Finds out what is on a device and opens it.
    pub fn open(dev: DevNo) -> Content {
        if let Some(mount) = sysfs::mounts("self").into_iter().find(|mount| mount.is_on(dev)) {
            let directory = File::open(&mount.point);
            return directory.map_or(Content::Hidden, |file| {
                Content::Filesystem(file, Note { path: Path::new(NOTES).join(dev.to_string()), lock: None })
            });
        }
        let node = sysfs::Block::numbered(dev).and_then(|block| block.path()).filter(|path| nodes::leads_to(path, dev));
        // Exclusive: refused when it is mounted somewhere else.
        let open = |path: PathBuf| File::options().read(true).custom_flags(libc::O_EXCL).open(&path).and_then(|_| File::open(&path));
        node.and_then(|path| open(path).ok()).map_or(Content::Hidden, Content::Device)
    }

    /// Writes back what is in memory of it. May wait for the disks; how it ended is for the freeze to find out.
    pub fn write_back(&self) {
        match self {
            Content::Hidden => {}
            Content::Filesystem(file, _) => {
                // SAFETY: the descriptor is open; nothing else is passed.
                let _ = unsafe { libc::syncfs(file.as_raw_fd()) };
            }
            Content::Device(file) => drop(file.sync_data()),
        }
    }

    /// Freezes it. May wait for the disks.
    pub fn freeze(&mut self) -> Result<Frozen, Errno> {
        match self {
            Content::Hidden => Ok(Frozen::No),
            Content::Device(file) => file.sync_data().map(|()| Frozen::Yes).or(Ok(Frozen::No)),
            Content::Filesystem(file, note) => {
                note.write().map_err(|err| Errno(err.raw_os_error().unwrap_or(libc::EIO)))?;
                match ioctl(file, FIFREEZE) {
                    Ok(()) => Ok(Frozen::Yes),
                    // Somebody else has frozen it, and is going to thaw it; or it cannot be frozen like that.
                    Err(number) => {
                        note.remove();
                        Ok(if number == Number::EBUSY { Frozen::Yes } else { Frozen::No })
                    }
                }
            }
        }
    }

    /// Thaws what [`Content::freeze`] has frozen.
    pub fn thaw(&mut self) -> Result<(), Errno> {
        let Content::Filesystem(file, note) = self else { return Ok(()) };
        if note.lock.is_none() {
            return Ok(());
        }
        match ioctl(file, FITHAW) {
            // It may have been thawed by somebody else.
            Ok(()) | Err(Number::EINVAL) => {
                note.remove();
                Ok(())
            }
            Err(number) => Err(Errno(number as i32)),
        }
    }
}

impl Note {
    fn write(&mut self) -> std::io::Result<()> {
        fs::create_dir_all(NOTES)?;
        let file = File::create(&self.path)?;
        self.lock = Some(Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, number)| number)?);
        Ok(())
    }

    fn remove(&mut self) {
        let _ = fs::remove_file(&self.path);
        self.lock = None;
    }
}

fn ioctl(file: &File, request: libc::Ioctl) -> Result<(), Number> {
    // SAFETY: the descriptor is open; the kernel ignores the argument of both requests.
    Number::result(unsafe { libc::ioctl(file.as_raw_fd(), request, 0) }).map(drop)
}

/// Thaws what dead processes have left frozen; each in words.
pub fn thaw_left_behind() -> Vec<String> {
    let notes = fs::read_dir(NOTES).into_iter().flatten().flatten().map(|entry| entry.path());
    let unlocked = |note: &PathBuf| File::open(note).is_ok_and(|file| Flock::lock(file, FlockArg::LockExclusiveNonblock).is_ok());
    notes.filter(unlocked).map(|note| thaw_by(&note)).collect()
}

fn thaw_by(note: &Path) -> String {
    let name = note.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let dev = crate::table::status::parse_devno(&name);
    let mount = dev.and_then(|dev| sysfs::mounts("self").into_iter().find(|mount| mount.is_on(dev)));
    let Some(mount) = mount else {
        // It is not mounted any more, or never was.
        let _ = fs::remove_file(note);
        return format!("a note that device {name} is frozen was left behind");
    };
    let thawed = File::open(&mount.point).map_err(|err| err.to_string()).and_then(|file| match ioctl(&file, FITHAW) {
        Ok(()) | Err(Number::EINVAL) => Ok(()),
        Err(number) => Err(number.to_string()),
    });
    match thawed {
        Ok(()) => {
            let _ = fs::remove_file(note);
            format!("'{}' was left frozen and flows again", sysfs::printable(&mount.point))
        }
        Err(why) => format!("'{}' was left frozen and cannot be thawed: {why}", sysfs::printable(&mount.point)),
    }
}
