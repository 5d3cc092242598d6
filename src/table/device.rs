//! A device as the kernel shows it, and the words for what is done with one.

use super::ERROR;
use super::status::MirrorStatus;
use crate::model::{DevNo, DmName, DmUuid, Sectors};

/// A device of ours as the kernel shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DmDevice {
    /// Its name (may be an old one after an interrupted rename).
    pub name: DmName,
    /// Its UUID.
    pub uuid: DmUuid,
    /// Its number.
    pub dev: DevNo,
    /// How many openers it has, other devices included.
    pub open_count: u32,
    /// Whether it is suspended now.
    pub suspended: bool,
    /// Whether an inactive table is loaded.
    pub has_inactive: bool,
    /// The live table.
    pub table: Vec<TargetLine>,
    /// The status of a mirror; `None` for other targets.
    pub mirror: Option<MirrorStatus>,
}

impl DmDevice {
    /// Whether nothing can be read or written through it: its table is `error`, or it has none.
    pub fn is_retired(&self) -> bool {
        self.table.iter().all(|line| line.target == ERROR)
    }

    /// Whether it is as it has to be while another process has it open that nobody needs any more.
    pub fn waits_to_be_closed(&self) -> bool {
        let at_rest = !self.suspended && !self.has_inactive;
        self.open_count > 0 && self.is_retired() && at_rest && self.name == DmName::held(&self.uuid)
    }
}

/// One line of a table or of a status, as the kernel prints it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TargetLine {
    /// First sector.
    pub start: Sectors,
    /// Sectors.
    pub length: Sectors,
    /// Target type, such as `linear`.
    pub target: String,
    /// What follows.
    pub params: String,
}

/// How a device is suspended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SuspendMode {
    /// Flush, and freeze the filesystem that is mounted on it: the only mode a snapshot is taken
    /// in.
    Freeze,
    /// Flush: all I/O has reached the table beneath; filesystems are left alone.
    Flush,
    /// Neither: held writes are queued again and reissued after the resume (K2).
    NoFlush,
}

/// Which `/dev/disk/by-*` links udev may make for a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Links {
    /// All: an ordinary volume.
    All,
    /// The device's own names only: a copy of another volume (K11).
    NoContent,
    /// An inner device: nothing scans it.
    Hidden,
}
