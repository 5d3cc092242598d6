//! A device as the kernel reports it, how it can be suspended, and which links it gets.

use super::ERROR;
use super::status::{MirrorStatus, parse_devno};
use crate::model::{DevNo, DmName, DmUuid, Sectors};

/// A device of breakoff as the kernel reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DmDevice {
    /// Its name; after an interrupted rename it may still be the old one.
    pub name: DmName,
    /// Its UUID, which says whose device it is and what its role is.
    pub uuid: DmUuid,
    /// Its device number.
    pub dev: DevNo,
    /// How many openers it has, other devices included.
    pub open_count: u32,
    /// Whether it is suspended now.
    pub suspended: bool,
    /// Whether an inactive table is loaded.
    pub has_inactive: bool,
    /// The live table, one line for each target.
    pub table: Vec<TargetLine>,
    /// The status of a mirror; `None` for other targets.
    pub mirror: Option<MirrorStatus>,
}

impl DmDevice {
    /// Whether no I/O can go through the device: its table is `error`, or it has none.
    pub fn is_retired(&self) -> bool {
        self.table.iter().all(|line| line.target == ERROR)
    }

    /// The numbers of the devices that its live table names.
    pub fn numbers(&self) -> impl Iterator<Item = DevNo> {
        self.table
            .iter()
            .flat_map(|line| line.params.split_ascii_whitespace())
            .filter_map(parse_devno)
    }

    /// Whether the device is in the final state of one that nothing needs any more, but that
    /// another process still has open: retired, at rest and renamed ([`DmName::held`]).
    pub fn waits_to_be_closed(&self) -> bool {
        let at_rest = !self.suspended && !self.has_inactive;
        self.open_count > 0 && self.is_retired() && at_rest && self.name == DmName::held(&self.uuid)
    }
}

/// One line of a table or of a status, as the kernel prints it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TargetLine {
    /// The first sector that the line is for.
    pub start: Sectors,
    /// The number of sectors that the line is for.
    pub length: Sectors,
    /// The target type, such as `linear`.
    pub target: String,
    /// The rest of the line: the parameters or the status of the target.
    pub params: String,
}

/// How a device is suspended; the flags of the suspend follow from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SuspendMode {
    /// Flush, and freeze the filesystem that is mounted on the device. This mode is planned for the
    /// volumes of a snapshot only.
    Freeze,
    /// Flush: afterwards all I/O has reached the table beneath. Filesystems are not frozen.
    Flush,
    /// Neither: held writes are queued again, and reissued after the resume (K2).
    NoFlush,
}

/// Which `/dev/disk/by-*` links udev may make for a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Links {
    /// All links: an ordinary volume.
    All,
    /// Only the device's own names: a copy of another volume (K11).
    NoContent,
    /// No links: an inner device, which nothing scans.
    Hidden,
}
