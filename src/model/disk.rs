//! A disk of a group, and extents of its space.

use super::ids::{DiskId, Generation};
use super::name::Name;
use super::units::Sectors;

/// A disk as the group's configuration describes it. Its present path (`/dev/…`) is an observation
/// and not part of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// Identity; also stored in the disk's own superblocks.
    pub id: DiskId,
    /// Media name, unique in the group.
    pub media: Name,
    /// Where the space for volumes starts on the device (after the private area).
    pub data_start: Sectors,
    /// The length of the space for volumes.
    pub size: Sectors,
}

/// Why a disk does not count for the quorum, which decides whether the present disks may speak for
/// their group. Most disks have no standing, and count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// The disk was blank when it was added, or came back after it was given up. It does not count
    /// until most of the counting disks have it in their configuration.
    Joining,
    /// The disk was away and the administrator declared it lost for good. What it may hold does not
    /// block the group.
    GivenUp,
}

/// What the witness says about the configuration on the disks that are present.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Testimony {
    /// Nothing: there is no witness, or it cannot tell whether this configuration is the newest.
    #[default]
    None,
    /// This machine has seen no newer configuration.
    Newest,
    /// This machine has seen a newer configuration, of this generation.
    Older(Generation),
}

/// A piece of a disk's space, whatever it is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Extent {
    /// The disk that the extent lies on.
    pub disk: DiskId,
    /// The first sector, counted from the disk's `data_start`.
    pub start: Sectors,
    /// The length in sectors; never zero.
    pub length: Sectors,
}

impl Extent {
    /// The first sector after the extent, counted from the disk's `data_start`.
    pub fn end(&self) -> Sectors {
        self.start.saturating_add(self.length)
    }

    /// Whether two extents share a sector.
    pub fn overlaps(&self, other: &Extent) -> bool {
        self.disk == other.disk && self.start < other.end() && other.start < self.end()
    }
}
