//! One command at a time: which locks there are, and who holds one.

use std::fmt;
use std::time::Duration;

/// The key of what is not a group's: initialising and importing disks. No group can be called that.
pub const DISKS: &str = ".disks";
/// The key that only one monitor can hold.
pub const MONITOR: &str = ".monitor";

/// Who holds a lock, as far as its file tells.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Holder {
    /// The process.
    pub pid: Option<u32>,
    /// For how long it has had the lock.
    pub held_for: Option<Duration>,
    /// Its command line.
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
