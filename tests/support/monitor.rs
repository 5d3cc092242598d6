//! `breakoff monitor`, which commands start when there is a mirror to look after: finds it, or keeps
//! it away for tests of what the commands do without it.

use super::lab::until;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, File};

/// The program's lock that only one monitor can hold.
const LOCK: &str = "/run/breakoff/lock/.monitor";

/// The monitor that holds the lock; a command that only looks whether there is one has it for a
/// moment.
pub fn running() -> Option<i32> {
    let holder = fs::read_to_string(LOCK).ok()?;
    let pid = holder.split_whitespace().next()?.parse().ok()?;
    let words = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let mut words = words.split(|byte| *byte == 0);
    words.any(|word| word == b"monitor").then_some(pid)
}

/// While it lives, there is no monitor and none can start.
pub struct NoMonitor(Option<Flock<File>>);

impl NoMonitor {
    /// Waits until the monitor of an earlier test has seen that there is nothing left to look
    /// after.
    #[track_caller]
    pub fn begin() -> NoMonitor {
        let mut lock = None;
        until("the monitor ends", || {
            lock = try_lock();
            lock.is_some()
        });
        NoMonitor(lock)
    }
}

fn try_lock() -> Option<Flock<File>> {
    fs::create_dir_all("/run/breakoff/lock").ok()?;
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(LOCK)
        .ok()?;
    Flock::lock(file, FlockArg::LockExclusiveNonblock).ok()
}
