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
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
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
        let mounts: Vec<sysfs::Mount> = sysfs::mounts("self").into_iter().filter(|mount| mount.is_on(dev)).collect();
        if !mounts.is_empty() {
            let note = Note { path: Path::new(NOTES).join(dev.to_string()), lock: None };
            return mounts.iter().find_map(open_mount).map_or(Content::Hidden, |file| Content::Filesystem(file, note));
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

/// Opens a mount point, unless something else has been mounted over it.
fn open_mount(mount: &sysfs::Mount) -> Option<File> {
    let file = File::open(&mount.point).ok()?;
    let about = file.metadata().ok()?;
    (Some(nodes::devno(about.dev())) == mount.dev).then_some(file)
}

/// A thaw would wait for whoever resumes it.
fn is_suspended(dev: DevNo) -> bool {
    fs::read_to_string(format!("/sys/dev/block/{dev}/dm/suspended")).is_ok_and(|text| text.trim() == "1")
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
    let mounts: Vec<sysfs::Mount> = sysfs::mounts("self").into_iter().filter(|mount| dev.is_some_and(|dev| mount.is_on(dev))).collect();
    if dev.is_some_and(is_suspended) {
        return format!("device {name} is suspended, and what is mounted on it was left frozen; 'breakoff recover' tries again");
    }
    let Some(point) = mounts.first().map(|mount| sysfs::printable(&mount.point)) else {
        // It is not mounted any more, or never was.
        let _ = fs::remove_file(note);
        return format!("a note that device {name} is frozen was left behind");
    };
    match mounts.iter().find_map(open_mount).map(|file| ioctl(&file, FITHAW)) {
        Some(Ok(()) | Err(Number::EINVAL)) => {
            let _ = fs::remove_file(note);
            format!("'{point}' was left frozen and flows again")
        }
        Some(Err(number)) => format!("'{point}' was left frozen and cannot be thawed: {number}"),
        None => format!("'{point}' was left frozen and cannot be reached; 'fsfreeze -u' on another mount point of it thaws it"),
    }
}
