//! What has been done about the disks that have appeared since the machine was booted.

use super::{DiskId, VolumeId};
use std::collections::{BTreeMap, BTreeSet};

/// What has been done about the disks that have appeared, since the machine was booted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Handled {
    /// The disks that have been seen, each with the number of its appearance.
    pub disks: BTreeMap<DiskId, u64>,
    /// The volumes that wait for missing disks.
    pub waiting: BTreeSet<VolumeId>,
}
