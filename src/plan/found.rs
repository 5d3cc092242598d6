//! Block devices as they were found on this machine: disks of a group, devices that are to become
//! disks, and disks that are to be none any more.

use crate::error::Error;
use crate::model::{DevNo, DiskId, GroupId, Name, Sectors};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A disk of the group, as it was found on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresentDisk {
    /// The best path to it, such as `/dev/sdb`. It need not be a stable link.
    pub path: PathBuf,
    /// Its device number.
    pub dev: DevNo,
    /// Size of the whole device in sectors.
    pub size: Sectors,
    /// The device's logical block size in bytes (512 or 4096).
    pub logical_block: u32,
}

/// The devices that a request names as new disks, by the paths that it uses; an error for one that
/// could not be looked at.
pub type Prospects = BTreeMap<PathBuf, Result<Prospect, Error>>;

/// A device that a request names as a new disk, as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prospect {
    /// The device.
    pub found: PresentDisk,
    /// The objections to overwriting it.
    pub objections: Vec<Objection>,
    /// The disk that its label makes it, if it is initialised and in no group.
    pub free: Option<Space>,
    /// The disk that a new label would make it; an error if it has no space for that label.
    pub fresh: Result<Fresh, Error>,
}

/// A device that is to get the label of a disk of the group that has lost its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bearer {
    /// The device.
    pub found: PresentDisk,
    /// What shows that it is something else, or in use, as text.
    pub objections: Vec<String>,
    /// The space for volumes that it has where the disk had its own.
    pub space: Sectors,
    /// What the disk held for certain and is not there, as text.
    pub odd: Vec<String>,
    /// Another device that says to be the disk, although its label is not trusted.
    pub claimed_by: Option<PathBuf>,
}

/// An objection to overwriting a device.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Objection {
    /// The objection as text, which names the device.
    pub text: String,
    /// Whether `--force` overrules it.
    pub forcible: bool,
}

/// A disk as its label describes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Its identity.
    pub id: DiskId,
    /// Where the space for volumes begins on the device.
    pub data_start: Sectors,
    /// The size of the space for volumes.
    pub size: Sectors,
}

/// A disk with a label that is not written yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fresh {
    /// The disk that it makes.
    pub space: Space,
    /// The size of its private area.
    pub area: Sectors,
}

/// The devices whose labels are to be erased, by the paths that the request uses; an error for one
/// that could not be looked at.
pub type Labelled = BTreeMap<PathBuf, Result<LabelledDevice, Error>>;

/// A device whose label is to be erased, as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelledDevice {
    /// The device.
    pub found: PresentDisk,
    /// What its label says.
    pub label: LabelFound,
    /// What uses it, one text for each user.
    pub uses: Vec<String>,
}

/// What a label says of its device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Said {
    /// The disk that the device is.
    pub disk: DiskId,
    /// The group that it belongs to, if it names one.
    pub group: Option<GroupId>,
}

/// What the label of a device says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabelFound {
    /// There is none: the device is not a disk of breakoff.
    None,
    /// It says this, and no group has the disk.
    Free(Said),
    /// It may be a disk of a group of which no configuration can be read, or its label is damaged
    /// and does not even tell which disk it is. Why, as text that names the device.
    Doubtful(Option<Said>, String),
    /// It is a disk of a group.
    Member {
        /// The group.
        group: Name,
        /// The media name of the disk.
        media: Name,
        /// Who has imported the group.
        whose: Whose,
    },
}

/// Who has imported a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// This machine.
    Ours,
    /// No machine: it is deported.
    Nobodys,
    /// Another machine.
    Anothers,
}
