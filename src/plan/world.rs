//! Everything that a plan may look at: the group's configuration and what was observed of kernel and disks, taken once.

use crate::model::{BootId, DevNo, DiskId, DmName, DmUuid, Generation, Group, Sectors, Timestamp};
use crate::table::status::MirrorStatus;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The state of a group and its surroundings at one moment.
#[derive(Debug, Clone)]
pub struct World {
    /// The configuration.
    pub group: Group,
    /// The generation it was read at.
    pub generation: Generation,
    /// Our devices in the kernel that belong to this group, by dm UUID.
    pub devices: BTreeMap<DmUuid, DmDevice>,
    /// dm names that are taken by anybody (ours or not).
    pub taken_names: Vec<DmName>,
    /// The disks of the group that are here.
    pub disks: BTreeMap<DiskId, PresentDisk>,
    /// This boot.
    pub boot: BootId,
    /// Now.
    pub now: Timestamp,
}

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

/// A disk of the group that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresentDisk {
    /// The best path to it (a stable link where one is known is not needed; `/dev/sdb`).
    pub path: PathBuf,
    /// Its number.
    pub dev: DevNo,
    /// Size of the whole device.
    pub size: Sectors,
    /// The device's logical block size in bytes (512 or 4096).
    pub logical_block: u32,
}
