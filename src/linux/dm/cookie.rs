//! Waiting for udev: the cookie protocol of libdevmapper, with **one** semaphore for a whole
//! command.
//!
//! A cookie is a System V semaphore. It starts at 1 and is incremented before each verb that causes
//! a uevent. The event carries the low 16 bits of the semaphore's key, and udev's
//! `dmsetup udevcomplete` decrements it when the rules have run. To wait, a process subtracts the
//! initial 1 and waits for zero. The key is `0x0D4D` above 16 random bits, as `dmsetup` expects it.
//!
//! The semaphore is taken before anything is changed and given back whatever happens: `settle` and
//! `Drop` remove it, and the next process sweeps what a killed one has left (a lock file per cookie
//! in the run directory identifies its owner). Between the beginning and the end of a resume
//! nothing is allocated here: an increment is one `semop`.
//!
//! A verb without a semaphore still passes its flags to udev, with a cookie whose low bits are
//! zero: `dmsetup` decodes the flags, finds no semaphore with that key, and reports this in udev's
//! log. Losing the flags would be worse (K11).

use crate::error::{Error, Result};
use crate::linux::process::lock;
use crate::table::Links;
use nix::fcntl::Flock;
use std::fs::File;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, UNIX_EPOCH};

/// The upper half of every cookie's key.
const MAGIC: u32 = 0x0d4d;
/// How long to wait for udev before checking again whether it is running at all.
const SLICE: Duration = Duration::from_secs(1);

/// The flags that an event passes to udev's rules (the upper half of the cookie; the values are
/// libdevmapper's).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventFlags(u16);

impl EventFlags {
    const DISABLE_SUBSYSTEM_RULES: u16 = 0x0002;
    const DISABLE_DISK_RULES: u16 = 0x0004;
    const DISABLE_OTHER_RULES: u16 = 0x0008;
    const PRIMARY_SOURCE: u16 = 0x0040;
    /// `DM_SUBSYSTEM_UDEV_FLAG1`. In breakoff's own rules: from now on an ordinary volume, whatever
    /// it was.
    const ORDINARY: u16 = 0x0200;

    /// No flags: udev's rules take them from udev's database, as the last event with flags left
    /// them.
    pub const AS_BEFORE: EventFlags = EventFlags(0);

    /// The flags for a device that gets these links.
    pub fn for_links(links: Links) -> EventFlags {
        EventFlags(
            Self::PRIMARY_SOURCE
                | match links {
                    Links::All => Self::ORDINARY,
                    Links::NoContent => Self::DISABLE_DISK_RULES,
                    Links::Hidden => {
                        Self::DISABLE_SUBSYSTEM_RULES
                            | Self::DISABLE_DISK_RULES
                            | Self::DISABLE_OTHER_RULES
                    }
                },
        )
    }
}

/// An event between its announcement and the end of its ioctl.
#[must_use]
#[derive(Debug)]
pub(in crate::linux) struct Event {
    number: u32,
    counted: bool,
}

impl Event {
    /// The number for the header: the flags and the low half of the key.
    pub(in crate::linux) fn number(&self) -> u32 {
        self.number
    }
}

/// The cookie of the running command, if one is taken. The verbs and the armed devices share it.
#[derive(Debug, Default)]
pub(in crate::linux) struct Cookies(Mutex<Option<Cookie>>);

impl Cookies {
    /// Takes a semaphore, unless one is taken already or no udev is running to decrement it.
    pub(in crate::linux) fn take(&self) -> Result<()> {
        let mut cookie = self.lock();
        if cookie.is_none() && udev_running() {
            *cookie = Cookie::new(&lock::run_dir().join("cookie"))?;
        }
        Ok(())
    }

    /// Whether events are waited for.
    pub(in crate::linux) fn is_taken(&self) -> bool {
        self.lock().is_some()
    }

    /// Announces an event. Never fails: without a semaphore the event is sent, but not waited for.
    pub(in crate::linux) fn begin(&self, flags: EventFlags) -> Event {
        let cookie = self.lock();
        let key = cookie
            .as_ref()
            .filter(|cookie| cookie.add(1).is_ok())
            .map(|cookie| cookie.key);
        Event {
            number: u32::from(flags.0) << 16 | u32::from(key.unwrap_or(0)),
            counted: key.is_some(),
        }
    }

    /// Withdraws the announcement if the kernel sent no event.
    pub(in crate::linux) fn end(&self, event: Event, generated: bool) {
        if event.counted && !generated {
            // If this fails, the wait for udev lasts until the deadline; nothing worse happens.
            let _ = self.lock().as_ref().map(|cookie| cookie.add(-1));
        }
    }

    /// Waits until udev has processed all events, at most until the deadline, and gives the
    /// semaphore back. Returns how many events are left if the time was not enough.
    pub(in crate::linux) fn settle(&self, deadline: Duration) -> Option<u32> {
        let cookie = self.lock().take()?;
        cookie.wait(deadline)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Cookie>> {
        // A panic elsewhere leaves the cookie intact.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a udev daemon will process events. A socket that has outlived its daemon refuses; one of
/// a stopped daemon does not.
///
/// This only asks the kernel whether anything is bound to udev's socket: the socket types differ,
/// so nothing is ever connected, woken or waited for.
pub(in crate::linux) fn udev_running() -> bool {
    match UnixStream::connect("/run/udev/control") {
        Ok(_) => true,
        Err(err) => !matches!(
            err.raw_os_error(),
            Some(libc::ENOENT | libc::ENOTDIR | libc::ECONNREFUSED)
        ),
    }
}

/// One semaphore, with its key and its note.
#[derive(Debug)]
struct Cookie {
    semaphore: libc::c_int,
    key: u16,
    trace: Option<Trace>,
}

impl Cookie {
    /// Creates a semaphore, whose key is noted in the directory `traces` first. `None` if this
    /// kernel has no System V semaphores at all.
    fn new(traces: &Path) -> Result<Option<Cookie>> {
        sweep(traces);
        // A key may be in use by LVM or another command: with some thousands in use, a few dozen
        // tries find a free one.
        for _ in 0..256 {
            let random = uuid::Uuid::new_v4().into_bytes();
            let key = u16::from_ne_bytes([random[0], random[1]]);
            let Some(trace) = (key != 0).then(|| Trace::leave(traces, key)).flatten() else {
                continue;
            };
            let err = match create(key) {
                Ok(semaphore) => {
                    return Cookie {
                        semaphore,
                        key,
                        trace: trace.file(),
                    }
                    .initialised()
                    .map(Some);
                }
                Err(err) => err,
            };
            trace.wipe();
            match err.raw_os_error() {
                Some(libc::EEXIST) => {}
                Some(libc::ENOSYS) => return Ok(None),
                _ => return Err(exhausted(&err)),
            }
        }
        Err(exhausted(&io::Error::from_raw_os_error(libc::EEXIST)))
    }

    fn initialised(self) -> Result<Cookie> {
        // SAFETY: the semaphore is ours; SETVAL takes an int as its fourth argument.
        let done = unsafe { libc::semctl(self.semaphore, 0, libc::SETVAL, 1) };
        if done < 0 {
            Err(exhausted(&io::Error::last_os_error()))
        } else {
            Ok(self)
        }
    }

    /// Adds to the semaphore's value, or subtracts from it, without ever waiting.
    fn add(&self, by: i16) -> io::Result<()> {
        operate(self.semaphore, by, None)
    }

    /// Waits until no event is outstanding. Returns how many are if that takes too long.
    fn wait(self, deadline: Duration) -> Option<u32> {
        let until = Instant::now() + deadline;
        // If the semaphore is gone (`dmsetup udevcomplete_all`), nothing can be waited for.
        self.add(-1).ok()?;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match operate(self.semaphore, 0, Some(left.min(SLICE)))
                .map_err(|err| err.raw_os_error())
            {
                Ok(()) => return None,
                Err(Some(libc::EINTR)) => {}
                Err(Some(libc::EAGAIN)) if left > SLICE && udev_running() => {}
                Err(Some(libc::EAGAIN)) => return self.value(),
                Err(_) => return None,
            }
        }
    }

    fn value(&self) -> Option<u32> {
        // SAFETY: GETVAL has no fourth argument.
        let value = unsafe { libc::semctl(self.semaphore, 0, libc::GETVAL) };
        u32::try_from(value).ok().filter(|value| *value > 0)
    }
}

impl Drop for Cookie {
    fn drop(&mut self) {
        // SAFETY: IPC_RMID has no fourth argument; the semaphore is ours and not used again.
        unsafe { libc::semctl(self.semaphore, 0, libc::IPC_RMID) };
        if let Some(trace) = self.trace.take() {
            trace.wipe();
        }
    }
}

fn exhausted(err: &io::Error) -> Error {
    let why = match err.raw_os_error() {
        Some(libc::ENOSPC) => "no System V semaphore is left on this machine".to_owned(),
        _ => format!("no System V semaphore is available: {err}"),
    };
    Error::device(format!(
        "cannot prepare to wait for udev: {why}; nothing was changed"
    ))
    .hint("see 'ipcs -s' for their owners and /proc/sys/kernel/sem for the limits")
}

fn full_key(key: u16) -> libc::key_t {
    (MAGIC << 16 | u32::from(key)).cast_signed()
}

fn create(key: u16) -> io::Result<libc::c_int> {
    // SAFETY: semget takes no pointers.
    let id = unsafe { libc::semget(full_key(key), 1, 0o600 | libc::IPC_CREAT | libc::IPC_EXCL) };
    if id < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(id)
    }
}

unsafe extern "C" {
    /// It is in every Linux C library since 2002, but not in the `libc` crate.
    fn semtimedop(
        id: libc::c_int,
        operations: *mut libc::sembuf,
        count: libc::size_t,
        timeout: *const libc::timespec,
    ) -> libc::c_int;
}

/// Makes one operation on a semaphore: without waiting (`None`), or waiting at most this long.
fn operate(semaphore: libc::c_int, by: i16, wait: Option<Duration>) -> io::Result<()> {
    let flags = if wait.is_some() { 0 } else { libc::IPC_NOWAIT };
    let mut operation = libc::sembuf {
        sem_num: 0,
        sem_op: by,
        sem_flg: flags as libc::c_short,
    };
    let wait = wait.unwrap_or_default();
    let seconds = libc::time_t::try_from(wait.as_secs()).unwrap_or(libc::time_t::MAX);
    let timeout = libc::timespec {
        tv_sec: seconds,
        tv_nsec: wait.subsec_nanos().into(),
    };
    // SAFETY: one operation and one timeout, both alive during the call; the kernel does not keep
    // them.
    let done = unsafe { semtimedop(semaphore, &raw mut operation, 1, &raw const timeout) };
    if done < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// The note of a cookie: a locked file that is named after the key. A file that no process has
/// locked belongs to a dead process.
#[derive(Debug)]
struct Trace {
    path: PathBuf,
    file: Option<Flock<File>>,
}

impl Trace {
    /// Notes a key. `None` if another process has noted the same one. Without a run directory there
    /// is no note, and no other effect.
    fn leave(directory: &Path, key: u16) -> Option<Trace> {
        let path = directory.join(format!("{key:04x}"));
        let made = lock::make_private_dir(directory)
            .and_then(|()| File::options().create(true).append(true).open(&path));
        match made.map(lock::try_lock) {
            Ok(Some(file)) => Some(Trace {
                path,
                file: Some(file),
            }),
            Ok(None) => None,
            Err(_) => Some(Trace { path, file: None }),
        }
    }

    /// The note itself, if it has a file.
    fn file(self) -> Option<Trace> {
        self.file.is_some().then_some(self)
    }

    /// Removes the note before its lock is released.
    fn wipe(self) {
        if self.file.is_some() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Removes the semaphores that dead processes have left.
fn sweep(directory: &Path) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let key = entry
            .file_name()
            .to_str()
            .and_then(|name| u16::from_str_radix(name, 16).ok());
        if let (Some(key), Some(file)) =
            (key, File::open(entry.path()).ok().and_then(lock::try_lock))
        {
            remove_orphan(key, &file);
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Removes the semaphore with this key if it is as old as the note: another process may have the
/// key by now.
fn remove_orphan(key: u16, note: &File) {
    // SAFETY: semget takes no pointers.
    let id = unsafe { libc::semget(full_key(key), 1, 0) };
    if id < 0 {
        return;
    }
    let noted = note
        .metadata()
        .and_then(|meta| meta.modified())
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let changed = changed_at(id).and_then(|time| u64::try_from(time).ok());
    if let (Some(noted), Some(changed)) = (noted, changed)
        && (noted.as_secs().saturating_sub(1)..=noted.as_secs() + 2).contains(&changed)
    {
        // SAFETY: IPC_RMID has no fourth argument.
        unsafe { libc::semctl(id, 0, libc::IPC_RMID) };
    }
}

/// When the semaphore was created or set, in seconds since 1970.
fn changed_at(id: libc::c_int) -> Option<libc::time_t> {
    let mut state = std::mem::MaybeUninit::<libc::semid_ds>::zeroed();
    // SAFETY: IPC_STAT fills the structure that its fourth argument points to.
    let done = unsafe { libc::semctl(id, 0, libc::IPC_STAT, state.as_mut_ptr()) };
    // SAFETY: all zeros is a valid value of this plain structure, whether the kernel filled it or
    // not.
    (done >= 0).then(|| unsafe { state.assume_init() }.sem_ctime)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn taken(directory: &Path) -> Cookie {
        Cookie::new(directory).unwrap().unwrap()
    }

    #[test]
    fn flags_are_libdevmappers() {
        assert_eq!(EventFlags::for_links(Links::All).0, 0x0240);
        assert_eq!(EventFlags::for_links(Links::NoContent).0, 0x0044);
        assert_eq!(EventFlags::for_links(Links::Hidden).0, 0x004e);
    }

    #[test]
    fn a_cookie_counts_events_and_goes_away() {
        let directory = tempfile::tempdir().unwrap();
        let cookie = taken(directory.path());
        let (id, key) = (cookie.semaphore, cookie.key);
        assert_eq!(cookie.value(), Some(1));
        let cookies = Cookies(Mutex::new(Some(cookie)));
        let first = cookies.begin(EventFlags::for_links(Links::All));
        assert_eq!(first.number(), 0x0240_0000 | u32::from(key));
        let second = cookies.begin(EventFlags::for_links(Links::Hidden));
        cookies.end(first, true);
        cookies.end(second, false);
        let started = Instant::now();
        assert_eq!(cookies.settle(Duration::from_millis(30)), Some(1));
        assert!(started.elapsed() >= Duration::from_millis(30));
        assert_eq!(
            operate(id, 1, None).map_err(|e| e.raw_os_error()),
            Err(Some(libc::EINVAL)),
            "it is gone"
        );
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        assert_eq!(cookies.settle(Duration::from_millis(30)), None);
    }

    #[test]
    fn settling_ends_when_the_last_event_is_worked_off() {
        let directory = tempfile::tempdir().unwrap();
        let cookies = Cookies(Mutex::new(Some(taken(directory.path()))));
        let id = cookies.lock().as_ref().unwrap().semaphore;
        let event = cookies.begin(EventFlags::for_links(Links::All));
        cookies.end(event, true);
        let udev = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            operate(id, -1, None)
        });
        assert_eq!(cookies.settle(Duration::from_secs(20)), None);
        udev.join().unwrap().unwrap();
    }

    #[test]
    fn without_a_cookie_the_flags_still_go_out() {
        let cookies = Cookies::default();
        let event = cookies.begin(EventFlags::for_links(Links::NoContent));
        assert_eq!(event.number(), 0x0044_0000);
        cookies.end(event, false);
        assert_eq!(cookies.settle(Duration::from_secs(1)), None);
    }

    #[test]
    fn a_semaphore_that_somebody_removed_stops_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let cookie = taken(directory.path());
        // SAFETY: IPC_RMID has no fourth argument.
        let removed = unsafe { libc::semctl(cookie.semaphore, 0, libc::IPC_RMID) };
        assert_eq!(removed, 0);
        let cookies = Cookies(Mutex::new(Some(cookie)));
        let event = cookies.begin(EventFlags::for_links(Links::All));
        assert_eq!(event.number() & 0xffff, 0);
        cookies.end(event, true);
        assert_eq!(cookies.settle(Duration::from_secs(20)), None);
    }

    #[test]
    fn what_a_dead_process_left_is_swept_and_the_living_are_spared() {
        let directory = tempfile::tempdir().unwrap();
        let living = taken(directory.path());
        let mut dead = taken(directory.path());
        let (id, key) = (dead.semaphore, dead.key);
        // It dies without Drop; the kernel closes the file, which releases the lock.
        drop(dead.trace.take().unwrap().file.take());
        std::mem::forget(dead);
        sweep(directory.path());
        assert_eq!(
            operate(id, 1, None).map_err(|e| e.raw_os_error()),
            Err(Some(libc::EINVAL))
        );
        assert!(!directory.path().join(format!("{key:04x}")).exists());
        assert_eq!(living.value(), Some(1));
    }
}
