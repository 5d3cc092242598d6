//! One command at a time: a lock file per group under `/run/breakoff/lock`, which also records the
//! holder.
//!
//! The lock is the kernel's (`flock`): it is released when the process ends, in whatever way. The
//! file is never removed: if a file were removed while a process waits for its lock, two processes
//! could have a lock each.

use crate::error::{Error, Kind, Result};
use crate::linux::process::host;
use crate::model::{Name, Timestamp};
use crate::sys::lock::{DISKS, Holder, MONITOR};
use nix::fcntl::{Flock, FlockArg};
use std::fs::{DirBuilder, File};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long to wait by default: longer than any command holds the lock. No command holds it while
/// it waits for a copy.
const PATIENCE: Duration = Duration::from_secs(60);
/// The pause between two attempts, at first and at most.
const LOOK: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(100));
/// How long to wait before the holder is reported: most commands have ended by then.
const TELL: Duration = Duration::from_secs(1);
/// The directory of locks and of notes about running commands, which does not survive a reboot.
/// `BREAKOFF_RUN_DIR` overrides it (for tests).
pub fn run_dir() -> PathBuf {
    std::env::var_os("BREAKOFF_RUN_DIR")
        .filter(|dir| !dir.is_empty())
        .map_or_else(|| PathBuf::from("/run/breakoff"), PathBuf::from)
}

/// Creates a directory that only its owner can access, with its parents.
pub(in crate::linux) fn make_private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Locks a file; `None` if it is locked already, or cannot be locked.
pub(in crate::linux) fn try_lock(file: File) -> Option<Flock<File>> {
    attempt(file).ok().and_then(std::result::Result::ok)
}

/// The lock, or the file again if it is locked already.
fn attempt(mut file: File) -> io::Result<std::result::Result<Flock<File>, File>> {
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(Ok(lock)),
            Err((again, nix::errno::Errno::EINTR)) => file = again,
            Err((again, nix::errno::Errno::EWOULDBLOCK)) => return Ok(Err(again)),
            Err((_, err)) => return Err(err.into()),
        }
    }
}

/// What a lock file says about this process: `pid`, milliseconds since 1970 and command line, on
/// one line.
fn signature(now: Timestamp) -> String {
    let words: Vec<String> = std::env::args_os()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    format!(
        "{} {} {}\n",
        std::process::id(),
        now.millis(),
        one_line(&words.join(" "))
    )
}

/// Reads a [`signature`].
fn holder(text: &str, now: Timestamp) -> Holder {
    let mut words = text.trim_end().splitn(3, ' ');
    let mut number = || words.next()?.parse::<u64>().ok();
    let (pid, since) = (number(), number());
    Holder {
        pid: pid.and_then(|pid| pid.try_into().ok()),
        held_for: since.map(|since| Duration::from_millis(now.millis().saturating_sub(since))),
        command: words.next().filter(|word| !word.is_empty()).map(one_line),
    }
}

/// Text without control characters, which would move a terminal's cursor, and not too much of it.
fn one_line(text: &str) -> String {
    text.chars()
        .take(200)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// The lock of a group, which is held for as long as this lives.
#[derive(Debug)]
pub struct GroupLock(Flock<File>);

impl GroupLock {
    /// Takes the lock of a group, of [`DISKS`] or of [`MONITOR`]. Waits up to the timeout (a minute
    /// if there is none, not at all if it is zero), and passes the holder to `on_wait` once if it
    /// has to wait for longer than a moment.
    pub fn take(
        key: &str,
        timeout: Option<Duration>,
        on_wait: &dyn Fn(&Holder),
    ) -> Result<GroupLock> {
        Self::take_in(
            &run_dir().join("lock"),
            key,
            timeout.unwrap_or(PATIENCE),
            on_wait,
        )
    }

    fn take_in(
        directory: &Path,
        key: &str,
        timeout: Duration,
        on_wait: &dyn Fn(&Holder),
    ) -> Result<GroupLock> {
        if ![DISKS, MONITOR].contains(&key) {
            Name::parse(key)?;
        }
        let mut file = open(directory, key)?;
        let begun = Instant::now();
        let (until, mut pause, mut told) = (begun + timeout, LOOK.0, false);
        loop {
            file = match attempt(file).map_err(|err| cannot_lock(key, &err))? {
                Ok(lock) => return Ok(GroupLock(lock).signed()),
                Err(file) => file,
            };
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(held(key, &holder_of(&mut file), timeout));
            }
            if !told && begun.elapsed() >= TELL {
                told = true;
                on_wait(&holder_of(&mut file));
            }
            std::thread::sleep(pause.min(left));
            pause = (pause * 2).min(LOOK.1);
        }
    }

    /// Records this process in the file as the holder. People read it; a failure to write it does
    /// no harm.
    fn signed(mut self) -> GroupLock {
        let text = signature(host::now());
        let _ = self
            .0
            .set_len(0)
            .and_then(|()| self.0.rewind())
            .and_then(|()| self.0.write_all(text.as_bytes()));
        self
    }
}

impl Drop for GroupLock {
    fn drop(&mut self) {
        // An empty file names no process that has ended.
        let _ = self.0.set_len(0);
    }
}

/// Whether anybody has the lock with this key, by the kernel's list of locks: an attempt to take it
/// would make others believe for that moment that it is taken. `None` if the list cannot be read.
pub fn is_locked(key: &str) -> Option<bool> {
    is_locked_in(&run_dir().join("lock"), key)
}

fn is_locked_in(directory: &Path, key: &str) -> Option<bool> {
    let about = match std::fs::symlink_metadata(directory.join(key)) {
        Ok(about) => about,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Some(false),
        Err(_) => return None,
    };
    let file = (about.dev(), about.ino());
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    Some(locks.lines().any(|line| flocked(line) == Some(file)))
}

/// The device and the inode of the file that a line of `/proc/locks` is about, if it is for a lock by
/// `flock` that somebody has: `1: FLOCK  ADVISORY  WRITE 708 00:19:1045 0 EOF`. The device is in
/// hexadecimal.
fn flocked(line: &str) -> Option<(u64, u64)> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let [_, "FLOCK", _, _, _, file, ..] = words.as_slice() else {
        // One that is waited for has an arrow before the kind.
        return None;
    };
    let parts: Vec<&str> = file.split(':').collect();
    let [major, minor, inode] = parts.as_slice() else {
        return None;
    };
    let number = |text| u64::from_str_radix(text, 16).ok();
    let device = nix::sys::stat::makedev(number(major)?, number(minor)?);
    Some((device, inode.parse().ok()?))
}

fn open(directory: &Path, key: &str) -> Result<File> {
    make_private_dir(directory)
        .and_then(|()| {
            let mut options = File::options();
            options
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .custom_flags(libc::O_NOFOLLOW);
            options.open(directory.join(key))
        })
        .map_err(|err| cannot_lock(key, &err))
}

fn holder_of(file: &mut File) -> Holder {
    let mut text = String::new();
    let _ = file
        .rewind()
        .and_then(|()| Read::take(file, 4096).read_to_string(&mut text));
    holder(&text, host::now())
}

/// The object that the lock guards, as text.
fn what(key: &str) -> String {
    match key {
        DISKS => "the list of disks".to_owned(),
        MONITOR => "the monitor's place".to_owned(),
        group => format!("group '{group}'"),
    }
}

fn cannot_lock(key: &str, err: &io::Error) -> Error {
    let hint = if err.kind() == io::ErrorKind::PermissionDenied {
        "run it as root"
    } else {
        "see whether /run is writable"
    };
    Error::new(Kind::Failed, format!("cannot lock {}: {err}", what(key)))
        .on(key)
        .hint(hint)
}

fn held(key: &str, holder: &Holder, waited: Duration) -> Error {
    let waited = if waited.is_zero() {
        String::new()
    } else {
        format!("; waited {} s", waited.as_secs_f32().ceil())
    };
    Error::timed_out(format!(
        "{} is locked by {holder}{waited}; nothing was changed",
        what(key)
    ))
    .on(key)
    .hint("try again when it has ended, or wait longer with --timeout SECS")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU32, Ordering};

    fn take(directory: &Path, timeout: Duration) -> Result<GroupLock> {
        GroupLock::take_in(directory, "g", timeout, &|_| {})
    }

    #[test]
    fn a_second_command_is_told_who_is_in_the_way() {
        let directory = tempfile::tempdir().unwrap();
        let first = take(directory.path(), Duration::ZERO).unwrap();
        let told = Mutex::new(Vec::new());
        let second = GroupLock::take_in(
            directory.path(),
            "g",
            TELL + Duration::from_millis(300),
            &|h| told.lock().unwrap().push(h.clone()),
        )
        .unwrap_err();
        assert_eq!(second.kind(), Kind::TimedOut);
        assert!(
            second
                .message()
                .contains(&format!("process {}", std::process::id())),
            "{second}"
        );
        assert_eq!(told.lock().unwrap().len(), 1);
        assert_eq!(told.lock().unwrap()[0].pid, Some(std::process::id()));
        let at_once = take(directory.path(), Duration::ZERO).unwrap_err();
        assert_eq!(at_once.kind(), Kind::TimedOut);
        drop(first);
        assert!(take(directory.path(), Duration::ZERO).is_ok());
        assert!(GroupLock::take_in(directory.path(), "other", Duration::ZERO, &|_| {}).is_ok());
    }

    #[test]
    fn one_at_a_time_and_everybody_in_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let (inside, done) = (AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        let lock = take(directory.path(), Duration::from_secs(60)).unwrap();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        std::thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                        done.fetch_add(1, Ordering::SeqCst);
                        drop(lock);
                    }
                });
            }
        });
        assert_eq!(done.load(Ordering::SeqCst), 160);
        assert!(
            directory.path().join("g").exists(),
            "the file stays: removing it would let two in"
        );
    }

    #[test]
    fn the_lock_goes_with_its_process() {
        let directory = tempfile::tempdir().unwrap();
        drop(take(directory.path(), Duration::ZERO).unwrap());
        let file = directory.path().join("g");
        let holder = [
            "--no-fork",
            file.to_str().unwrap(),
            "-c",
            "echo; exec sleep 60",
        ];
        let piped = std::process::Stdio::piped();
        let Ok(mut child) = std::process::Command::new("flock")
            .args(holder)
            .stdout(piped)
            .spawn()
        else {
            return;
        };
        let mut line = [0; 1];
        child.stdout.take().unwrap().read_exact(&mut line).unwrap();
        assert_eq!(
            take(directory.path(), Duration::ZERO).unwrap_err().kind(),
            Kind::TimedOut
        );
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(take(directory.path(), Duration::ZERO).is_ok());
    }

    #[test]
    fn whether_it_is_locked_is_seen_without_locking_it() {
        let directory = tempfile::tempdir().unwrap();
        let is_locked = || is_locked_in(directory.path(), "g");
        assert_eq!(is_locked(), Some(false), "it was never taken");
        let held = take(directory.path(), Duration::ZERO).unwrap();
        assert_eq!(is_locked(), Some(true));
        assert_eq!(is_locked_in(directory.path(), "other"), Some(false));
        drop(held);
        assert_eq!(is_locked(), Some(false));
        let (minor, waiting) = (
            "7: FLOCK  ADVISORY  WRITE 8 fd:1a:4711 0 EOF",
            "7: -> FLOCK  ADVISORY  WRITE 8 fd:1a:4711 0 EOF",
        );
        let device = nix::sys::stat::makedev(0xfd, 0x1a);
        assert_eq!(flocked(minor), Some((device, 4711)));
        assert_eq!(flocked(waiting), None);
        assert_eq!(flocked("7: POSIX ADVISORY WRITE 8 fd:1a:4711 0 EOF"), None);
    }

    #[test]
    fn only_names_become_files() {
        let directory = tempfile::tempdir().unwrap();
        for bad in ["", "..", "a/b", "/etc/passwd", "a\nb"] {
            let outcome = GroupLock::take_in(directory.path(), bad, Duration::ZERO, &|_| {});
            assert_eq!(outcome.unwrap_err().kind(), Kind::Usage, "{bad:?}");
        }
        assert!(GroupLock::take_in(directory.path(), DISKS, Duration::ZERO, &|_| {}).is_ok());
    }

    #[test]
    fn who_holds_it_survives_being_written_and_strange_files() {
        let at = Timestamp::from_millis;
        let this = holder(&signature(at(5000)), at(12_000));
        assert_eq!(
            (this.pid, this.held_for),
            (Some(std::process::id()), Some(Duration::from_secs(7)))
        );
        let command = std::env::args().collect::<Vec<_>>().join(" ");
        assert_eq!(this.command, Some(one_line(&command)));
        let now = at(9000);
        assert_eq!(
            holder("7 5000 breakoff make v 1g\n", now).to_string(),
            "process 7 ('breakoff make v 1g') for 4 s"
        );
        assert_eq!(holder("", now), Holder::default());
        assert_eq!(holder("\u{1b}[2J x y", now).to_string(), "another command");
        assert_eq!(holder("7 5 a\u{1b}b", now).command.as_deref(), Some("a b"));
    }
}
