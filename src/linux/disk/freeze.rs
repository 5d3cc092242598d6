//! Freezing the filesystems that rest on volumes, separately from the suspends of the volumes
//! (K30).
//!
//! dm can freeze a filesystem on its way into a suspend, but only one that lies on the volume
//! itself, and by then a mirror beneath already knows that it is about to be suspended: a write of
//! the freeze that fails on a leg ends with an error, and the filesystem gives up. If the
//! filesystem is frozen beforehand, the mirror holds such a write until the leg is taken out, and
//! nothing is lost. Nor can dm be asked what it has frozen, and after a thaw by another process it
//! freezes nothing and reports success. So only a filesystem that was frozen here, and was still
//! frozen when it was thawed, counts.
//!
//! A filesystem is frozen before the one that holds its loop file, and thawed after it.
//!
//! A frozen filesystem stays frozen when the process that froze it dies, and when it is unmounted,
//! and nothing shows that it is frozen. So there is a note in `/run` from before the freeze until
//! after the thaw, and a recovery thaws every filesystem that has a note without a living owner.

use crate::linux::disk::above::{self, Above, Filesystem, Here, Sight};
use crate::linux::disk::{changes, probe, sysfs};
use crate::linux::dm::nodes;
use crate::model::DevNo;
use crate::sys::Errno;
use crate::sys::content::{Contents, Standing};
use nix::errno::Errno as Number;
use nix::fcntl::{Flock, FlockArg};
use nix::mount::{MntFlags, MsFlags};
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The directory of the notes. The name of each is a device number.
const NOTES: &str = "/run/breakoff/frozen";

/// How long to wait for an opener that cannot be found (a probe of udev) to go away.
const OPENERS_GO: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(50);

/// The requests that freeze and thaw a filesystem, from `<linux/fs.h>`.
const FIFREEZE: libc::Ioctl = nix::request_code_readwrite!(b'X', 119, size_of::<libc::c_int>());
const FITHAW: libc::Ioctl = nix::request_code_readwrite!(b'X', 120, size_of::<libc::c_int>());

/// What rests on volumes that are split at one instant, opened in advance.
#[derive(Debug, Default)]
pub struct Stack {
    volumes: Vec<Resting>,
    filesystems: Vec<Frost>,
    /// Indices of the frozen filesystems, in the order in which they were frozen.
    frozen: Vec<usize>,
}

/// What rests on one volume.
#[derive(Debug)]
struct Resting {
    /// Indices of its filesystems, in the order in which they are frozen.
    filesystems: Vec<usize>,
    /// Devices without a filesystem.
    bare: Vec<File>,
    obstacles: Vec<String>,
    /// Whether there may be something on the volume itself that only the kernel can freeze, on its
    /// way into the suspend.
    hidden: bool,
}

/// A filesystem, and its state.
#[derive(Debug)]
struct Frost {
    filesystem: Filesystem,
    file: Option<File>,
    note: Note,
    state: State,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Flowing,
    /// Frozen by this process.
    Frozen,
    /// Frozen by another process, with how much had been written to its devices by then.
    Held(Vec<u64>),
    /// Not frozen, for this reason.
    Not(String),
}

/// The note that a filesystem is frozen.
#[derive(Debug)]
struct Note {
    path: PathBuf,
    lock: Option<Flock<File>>,
}

impl Stack {
    /// Finds what rests on volumes, and opens it. `counts` returns the volumes with their open
    /// counts, and is called as often as these may have changed.
    pub fn open(counts: &dyn Fn() -> Vec<(DevNo, u32)>) -> Stack {
        let until = Instant::now() + OPENERS_GO;
        loop {
            let volumes = counts();
            if volumes.is_empty() {
                return Stack::default();
            }
            let here = Here::look(&volumes);
            let named: Vec<DevNo> = volumes.iter().map(|(dev, _)| *dev).collect();
            let found: Vec<Above> = named
                .iter()
                .map(|dev| above::climb(&here, *dev, &named))
                .collect();
            if !found.iter().any(|above| above.fleeting) || Instant::now() > until {
                return Stack::of(&named, found);
            }
            std::thread::sleep(LOOK);
        }
    }

    fn of(named: &[DevNo], found: Vec<Above>) -> Stack {
        let mut stack = Stack::default();
        for (volume, above) in named.iter().zip(found) {
            let hidden = above.fleeting && above.filesystems.is_empty();
            let filesystems = above
                .filesystems
                .into_iter()
                .map(|filesystem| stack.add(filesystem))
                .collect();
            let bare = above
                .bare
                .iter()
                .filter_map(|dev| open_device(*dev))
                .collect();
            stack.volumes.push(Resting {
                filesystems,
                bare,
                obstacles: above.obstacles,
                hidden: hidden && above::is_claimed(*volume),
            });
        }
        stack
    }

    /// Adds a filesystem and returns its index. One that lies on several of the volumes is added
    /// once.
    fn add(&mut self, filesystem: Filesystem) -> usize {
        if let Some(at) = self
            .filesystems
            .iter()
            .position(|frost| frost.filesystem.dev == filesystem.dev)
        {
            return at;
        }
        self.filesystems.push(Frost::new(filesystem));
        self.filesystems.len() - 1
    }
}

impl Contents for Stack {
    fn reason(&self, volume: usize) -> Option<String> {
        let resting = self.volumes.get(volume)?;
        let not =
            resting
                .filesystems
                .iter()
                .filter_map(|at| match &self.filesystems.get(*at)?.state {
                    State::Not(why) => Some(why),
                    State::Flowing | State::Frozen | State::Held(_) => None,
                });
        let all: Vec<&str> = resting
            .obstacles
            .iter()
            .chain(not)
            .map(String::as_str)
            .collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    fn is_left_to_suspend(&self, volume: usize) -> bool {
        let is_not = |at: &usize| {
            self.filesystems
                .get(*at)
                .is_some_and(|frost| matches!(frost.state, State::Not(_)))
        };
        self.volumes
            .get(volume)
            .is_some_and(|resting| resting.hidden || resting.filesystems.iter().any(is_not))
    }

    fn write_back(&self, volume: usize) {
        let Some(resting) = self.volumes.get(volume) else {
            return;
        };
        for file in resting
            .filesystems
            .iter()
            .filter_map(|at| self.filesystems.get(*at)?.file.as_ref())
        {
            let _ = nix::unistd::syncfs(file);
        }
        resting.bare.iter().for_each(|file| drop(file.sync_data()));
    }

    fn freeze(&mut self, volume: usize) -> bool {
        let Some(resting) = self.volumes.get_mut(volume) else {
            return false;
        };
        for at in &resting.filesystems {
            if let Some(frost) = self.filesystems.get_mut(*at)
                && frost.state == State::Flowing
            {
                frost.freeze();
                self.frozen
                    .extend((frost.state == State::Frozen).then_some(*at));
            }
        }
        if let Some(error) = resting.bare.iter().find_map(|file| file.sync_data().err()) {
            resting
                .obstacles
                .push(format!("the writes do not reach the disks: {error}"));
        }
        self.reason(volume).is_none()
    }

    fn thaw(&mut self) -> Result<bool, Errno> {
        while let Some(frost) = self
            .frozen
            .last()
            .and_then(|at| self.filesystems.get_mut(*at))
        {
            frost.thaw()?;
            self.frozen.pop();
        }
        self.filesystems.iter_mut().for_each(Frost::check_held);
        Ok(self
            .filesystems
            .iter()
            .all(|frost| !matches!(frost.state, State::Not(_))))
    }
}

/// What rests on volumes, for each of them.
pub fn standing(volumes: &dyn Fn() -> Vec<(DevNo, u32)>) -> Vec<Standing> {
    let stack = Stack::open(volumes);
    let contents = volumes().into_iter().map(|(dev, _)| probe::content(dev));
    contents
        .enumerate()
        .map(|(at, content)| Standing {
            obstacle: stack.reason(at),
            content,
        })
        .collect()
}

impl Frost {
    fn new(filesystem: Filesystem) -> Frost {
        let file = filesystem.open();
        let state = match file {
            Some(_) => State::Flowing,
            None => State::Not(format!(
                "the filesystem on {} cannot be reached",
                filesystem.point
            )),
        };
        let note = Note {
            path: Path::new(NOTES).join(filesystem.dev.to_string()),
            lock: None,
        };
        Frost {
            filesystem,
            file,
            note,
            state,
        }
    }

    fn freeze(&mut self) {
        let Some(file) = &self.file else { return };
        // The note comes before the freeze: if this process dies, a recovery finds the note and
        // thaws.
        if let Err(error) = self.note.write(&self.filesystem) {
            let why = match error.raw_os_error() {
                Some(libc::EWOULDBLOCK) => "is being frozen by another command".to_owned(),
                _ => format!(
                    "cannot be frozen: '{}' cannot be written: {error}",
                    self.note.path.display()
                ),
            };
            self.state = self.not(&why);
            return;
        }
        self.state = match ioctl(file, FIFREEZE) {
            Ok(()) => State::Frozen,
            Err(number) => {
                self.note.remove();
                match number {
                    // Another process has frozen it. Whether it stays frozen is checked afterwards.
                    Number::EBUSY => State::Held(self.written()),
                    Number::EOPNOTSUPP => self.not("cannot be frozen by this kernel"),
                    number => self.not(&format!("could not be frozen: {}", number.desc())),
                }
            }
        };
    }

    fn not(&self, why: &str) -> State {
        State::Not(format!(
            "the filesystem on {} ({}) {why}",
            self.filesystem.point, self.filesystem.kind
        ))
    }

    /// How much has been written to its devices. To thaw it and freeze it again writes to them.
    fn written(&self) -> Vec<u64> {
        self.filesystem
            .on
            .iter()
            .map(|dev| changes::writes(*dev).unwrap_or(u64::MAX))
            .collect()
    }

    fn thaw(&mut self) -> Result<(), Errno> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        match ioctl(file, FITHAW) {
            Ok(()) => self.state = State::Flowing,
            Err(Number::EINVAL) => self.state = self.not("was thawed by something else meanwhile"),
            Err(number) => return Err(Errno(number as i32)),
        }
        self.note.remove();
        Ok(())
    }

    /// Checks that a filesystem that another process had frozen is still frozen.
    fn check_held(&mut self) {
        let (State::Held(before), Some(file)) = (&self.state, &self.file) else {
            return;
        };
        // A freeze that succeeds shows that the filesystem was not frozen any more; it is undone.
        let still = match ioctl(file, FIFREEZE) {
            Ok(()) => {
                let _ = ioctl(file, FITHAW);
                false
            }
            Err(number) => number == Number::EBUSY,
        };
        let unwritten = *before == self.written() && !before.contains(&u64::MAX);
        self.state = if still && unwritten {
            State::Flowing
        } else {
            self.not("was frozen by something else, and thawed meanwhile")
        };
    }
}

impl Note {
    fn write(&mut self, filesystem: &Filesystem) -> std::io::Result<()> {
        fs::create_dir_all(NOTES)?;
        // It is not truncated before it is locked: it may be another command's note.
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&self.path)?;
        let mut lock =
            Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, number)| number)?;
        lock.set_len(0)?;
        let on: Vec<String> = filesystem.on.iter().map(DevNo::to_string).collect();
        write!(lock, "{}\n{}\n", filesystem.kind, on.join(" "))?;
        self.lock = Some(lock);
        Ok(())
    }

    fn remove(&mut self) {
        let _ = fs::remove_file(&self.path);
        self.lock = None;
    }
}

fn open_device(dev: DevNo) -> Option<File> {
    let path = sysfs::Block::numbered(dev)
        .and_then(|block| block.path())
        .filter(|path| nodes::leads_to(path, dev))?;
    File::open(path).ok()
}

/// Whether a device is suspended: a thaw would block until it is resumed.
fn is_suspended(dev: DevNo) -> bool {
    fs::read_to_string(format!("/sys/dev/block/{dev}/dm/suspended"))
        .is_ok_and(|text| text.trim() == "1")
}

fn ioctl(file: &File, request: libc::Ioctl) -> Result<(), Number> {
    // SAFETY: the descriptor is open; the kernel ignores the argument of both requests.
    Number::result(unsafe { libc::ioctl(file.as_raw_fd(), request, 0) }).map(drop)
}
/// Whether there is a note whose command is dead.
pub fn has_left_behind() -> bool {
    left_notes().next().is_some()
}

/// Thaws what dead processes have left frozen. Returns a text for each.
pub fn thaw_left_behind() -> Vec<String> {
    left_notes().map(|note| thaw_by(&note)).collect()
}

fn left_notes() -> impl Iterator<Item = PathBuf> {
    let notes = fs::read_dir(NOTES)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    notes.filter(|note| {
        File::open(note)
            .is_ok_and(|file| Flock::lock(file, FlockArg::LockExclusiveNonblock).is_ok())
    })
}

/// The contents of a note.
struct Left {
    dev: DevNo,
    kind: String,
    on: Vec<DevNo>,
}

impl Left {
    fn read(note: &Path) -> Option<Left> {
        let dev = crate::table::status::parse_devno(note.file_name()?.to_str()?)?;
        let text = fs::read_to_string(note).unwrap_or_default();
        let mut lines = text.lines();
        let kind = lines.next().unwrap_or_default().to_owned();
        let on: Vec<DevNo> = lines
            .next()
            .unwrap_or_default()
            .split(' ')
            .filter_map(crate::table::status::parse_devno)
            .collect();
        Some(Left {
            dev,
            kind,
            on: if on.is_empty() { vec![dev] } else { on },
        })
    }
}

fn thaw_by(note: &Path) -> String {
    let shown = sysfs::printable(&note.to_string_lossy());
    let Some(left) = Left::read(note) else {
        let _ = fs::remove_file(note);
        return format!("'{shown}' was no note of ours");
    };
    let here = Here::look_at_layers();
    let device = left
        .on
        .first()
        .map_or_else(|| left.dev.to_string(), |dev| here.title(*dev));
    if left.on.iter().copied().any(is_suspended) {
        return format!(
            "device {device} is suspended, and the filesystem on it was left frozen; 'breakoff recover' tries again"
        );
    }
    let mounted = left
        .on
        .iter()
        .find_map(|dev| here.filesystem(*dev))
        .filter(|filesystem| filesystem.dev == left.dev);
    let Some(filesystem) = mounted else {
        return thaw_unmounted(note, &left, &device);
    };
    let point = &filesystem.point;
    match filesystem.open().map(|file| ioctl(&file, FITHAW)) {
        Some(Ok(()) | Err(Number::EINVAL)) => {
            let _ = fs::remove_file(note);
            format!("{point} was left frozen and is thawed")
        }
        Some(Err(number)) => format!("{point} was left frozen and cannot be thawed: {number}"),
        None => format!(
            "{point} was left frozen and cannot be reached; 'fsfreeze -u' on another mount point of it thaws it"
        ),
    }
}

/// Thaws a filesystem that was unmounted while it was frozen. It stays in the kernel, frozen: the
/// first write after it is mounted again blocks. Its device is claimed for as long as that lasts,
/// and mounting it once more gives access to it.
fn thaw_unmounted(note: &Path, left: &Left, device: &str) -> String {
    if !left.on.iter().copied().any(above::is_claimed) {
        let _ = fs::remove_file(note);
        return format!("a note that the filesystem on device {device} is frozen was left behind");
    }
    match mounted_apart(left) {
        Ok(()) => {
            let _ = fs::remove_file(note);
            format!(
                "the filesystem on device {device} was left frozen and unmounted, and is thawed"
            )
        }
        Err(number) => {
            format!(
                "the filesystem on device {device} was left frozen, and cannot be reached: {number}; 'breakoff recover' tries again"
            )
        }
    }
}

/// Mounts a filesystem in a mount namespace of its own and thaws it there. The namespace ends with
/// the thread.
fn mounted_apart(left: &Left) -> Result<(), Number> {
    let node = left
        .on
        .first()
        .and_then(|dev| sysfs::Block::numbered(*dev))
        .and_then(|block| block.path())
        .ok_or(Number::ENODEV)?;
    let kind = left.kind.clone();
    let thread = std::thread::spawn(move || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS)?;
        let none: Option<&str> = None;
        // The mount must not propagate to other namespaces.
        nix::mount::mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
        let at = |flags| nix::mount::mount(Some(&node), NOTES, Some(kind.as_str()), flags, none);
        // A filesystem that is mounted read-only can only be mounted read-only again.
        at(MsFlags::empty()).or_else(|_| at(MsFlags::MS_RDONLY))?;
        let thawed = File::open(NOTES)
            .map_err(|_| Number::ENOENT)
            .and_then(|file| ioctl(&file, FITHAW));
        nix::mount::umount2(NOTES, MntFlags::MNT_DETACH)?;
        thawed.or_else(|number| {
            if number == Number::EINVAL {
                Ok(())
            } else {
                Err(number)
            }
        })
    });
    thread.join().unwrap_or(Err(Number::EIO))
}
