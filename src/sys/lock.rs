//! Locks, so that one command runs at a time: their keys, and the holder of one.

use std::fmt;
use std::time::Duration;

/// The key for what belongs to no group: initialising and importing disks. It is not a valid name
/// of a group.
pub const DISKS: &str = ".disks";
/// The key of the lock that the monitor holds, so that there is only one.
pub const MONITOR: &str = ".monitor";

/// The holder of a lock, as far as the lock file says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Holder {
    /// The ID of the process.
    pub pid: Option<u32>,
    /// How long it has held the lock.
    pub held_for: Option<Duration>,
    /// The command line of the process.
    pub command: Option<String>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(pid) = self.pid else {
            return f.write_str("another command");
        };
        write!(f, "process {pid}")?;
        if let Some(command) = &self.command {
            write!(f, " ('{command}')")?;
        }
        if let Some(held_for) = self.held_for {
            write!(f, " for {} s", held_for.as_secs())?;
        }
        Ok(())
    }
}
