//! A disk of a group, and pieces of its space.

use super::ids::{DiskId, Generation};
use super::name::Name;
use super::units::Sectors;

/// A disk as the group's configuration knows it. Where it is now (`/dev/…`) is an observation, not
/// configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// Identity, also in the disk's own header.
    pub id: DiskId,
    /// Media name, unique in the group.
    pub media: Name,
    /// Where the space for volumes starts on the device (behind the private area).
    pub data_start: Sectors,
    /// How much space for volumes there is.
    pub size: Sectors,
}

/// What a disk counts for when it is asked whether those that are here may speak for their group.
/// Most disks just count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It was blank when it was added (or comes back after it was given up): it counts for nothing
    /// until most of those that count have it in their configuration.
    Joining,
    /// It was away and somebody said that it is lost for good: what it may hold is in nobody's way.
    GivenUp,
}

/// What the witness says of the configuration that the disks hold which are here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Testimony {
    /// Nothing: there is none, or this machine has not seen what is here.
    #[default]
    None,
    /// This machine has seen nothing newer.
    Newest,
    /// This machine has seen something newer, of this generation.
    Older(Generation),
}

/// A piece of a disk's space. The offset counts from the start of the space for volumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Extent {
    /// The disk.
    pub disk: DiskId,
    /// Where it starts, from the disk's `data_start`.
    pub start: Sectors,
    /// How long it is; never zero.
    pub length: Sectors,
}

impl Extent {
    /// The first sector behind it.
    pub fn end(&self) -> Sectors {
        self.start.saturating_add(self.length)
    }

    /// Whether two pieces share a sector.
    pub fn overlaps(&self, other: &Extent) -> bool {
        self.disk == other.disk && self.start < other.end() && other.start < self.end()
    }
}
