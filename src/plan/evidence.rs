//! Observations that are made only for the requests that need them (`plan::needs`), such as what the
//! maps of changes hold.

use super::found::{Bearer, Prospects};
use super::lacking::Lacking;
use super::world::World;
use crate::error::Error;
use crate::model::{DiskId, Extent, Group, GroupId, SectorSize, Sectors, Testimony, VolumeId};
use crate::table::dco::Pace;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Deref, DerefMut, Range};

/// All input of a plan.
#[derive(Debug, Clone)]
pub struct Situation {
    /// The state of the group, which every request needs.
    pub state: World,
    /// What was found out beyond that.
    pub evidence: Evidence,
}

impl Situation {
    /// A state without further observations.
    pub fn new(state: World) -> Situation {
        Situation {
            state,
            evidence: Evidence::default(),
        }
    }
}

impl Deref for Situation {
    type Target = World;

    fn deref(&self) -> &World {
        &self.state
    }
}

impl DerefMut for Situation {
    fn deref_mut(&mut self) -> &mut World {
        &mut self.state
    }
}

/// Observations that were made for a request. What was not observed is missing, which no plan takes
/// for an answer.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// What the kernel's `era` can do.
    pub era: EraSupport,
    /// What the kernel lacks, as far as that was looked for.
    pub lacking: Lacking,
    /// What was read of the maps of changes.
    pub maps: BTreeMap<VolumeId, MapState>,
    /// What rests on volumes.
    pub users: BTreeMap<VolumeId, Users>,
    /// Copies of maps that are damaged (on volumes that are going to be started) or cannot be
    /// written, and logs that have failed.
    pub damaged: Vec<Extent>,
    /// The testimony of this machine's witness on the configuration in force.
    pub testimony: Testimony,
    /// The devices that the request names as new disks.
    pub prospects: Prospects,
    /// The device that is to get the label of a disk which has lost it; an error if it could not be
    /// looked at.
    pub bearer: Option<Result<Bearer, Error>>,
    /// Other groups with the name that the group is to get, as far as they are in the way.
    pub namesakes: Vec<GroupId>,
    /// The group that is to receive what this one hands over.
    pub receiver: Option<Group>,
    /// The sizes of present disks, of those that are to be resized.
    pub sizes: BTreeMap<DiskId, DiskSizes>,
    /// How fast disks are, of those that were measured.
    pub pace: BTreeMap<DiskId, Pace>,
    /// The disks of the group on which no heads have to move, as far as that was looked for.
    pub seekless: BTreeSet<DiskId>,
    /// What the sides of a split brain have that were not chosen; `None` if there is one side.
    pub other_sides: Option<OtherSides>,
}

/// What the kernel's `era` can do, as far as that was determined.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EraSupport {
    /// Whether the kernel has the targets that tracking needs.
    pub target: Option<bool>,
    /// Whether what it has recorded survives a crash of the machine.
    pub survives_crash: Option<bool>,
}

/// What was read of the map of changes of a volume.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MapState {
    /// The current era.
    pub era: Option<u32>,
    /// The ranges that were written from an era on, by that era.
    pub changed: BTreeMap<u32, Listing>,
    /// The era that the volume had at least reached when its map had been read.
    pub listed: Option<u32>,
    /// The kernel's count of all writes to the volume, taken before its map was read.
    pub writes: Option<u64>,
    /// What the change log in use still marks as to be copied.
    pub left: Option<Listing>,
}

/// What rests on a volume.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Users {
    /// The type of the content, as udev reports it (such as `ext4`).
    pub content: Option<String>,
    /// The smallest unit in which the filesystem is read and written, for a volume that shows
    /// smaller sectors than it was made for.
    pub block: Option<SectorSize>,
    /// The reason why the volume cannot be frozen completely.
    pub unfrozen: Option<String>,
}

/// Sorted ranges of a volume in sectors, without overlaps, or why they are not known.
pub type Listing = Result<Vec<Range<u64>>, String>;

/// The space for volumes on a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskSizes {
    /// According to its label.
    pub label: Sectors,
    /// With all of its device used, if that is more.
    pub device: Option<Sectors>,
}

/// The sides of a split brain that were not chosen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OtherSides {
    /// Their disks.
    pub disks: Vec<DiskId>,
    /// The names of the volumes that only they have.
    pub volumes: Vec<String>,
}

impl Evidence {
    /// The map of a volume, to add what was read of it.
    pub fn map_mut(&mut self, volume: VolumeId) -> &mut MapState {
        self.maps.entry(volume).or_default()
    }

    /// What rests on a volume, to add what was found.
    pub fn users_mut(&mut self, volume: VolumeId) -> &mut Users {
        self.users.entry(volume).or_default()
    }

    /// The ranges of a volume that were written from an era on, if they were read.
    pub fn changed(&self, volume: VolumeId, era: u32) -> Option<&Listing> {
        self.maps.get(&volume)?.changed.get(&era)
    }

    /// The reason why a volume cannot be frozen completely.
    pub fn unfrozen(&self, volume: VolumeId) -> Option<&str> {
        self.users.get(&volume)?.unfrozen.as_deref()
    }

    /// Whether a copy of a map, or a log, was found damaged.
    pub fn is_damaged(&self, extent: &Extent) -> bool {
        self.damaged.contains(extent)
    }
}
