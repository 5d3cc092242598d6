//! The documented shape of `print --json`: one [`GroupView`] for each group. Sizes, offsets and
//! lengths are bytes.
//!
//! Enums are words: see [`VolumeView::state`], [`PlexView::state`] and the others. Fields may be
//! added, never changed.

use serde::Serialize;

/// A group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GroupView {
    /// Its name.
    pub name: String,
    /// Its identity.
    pub uuid: String,
    /// How many configurations were committed.
    pub generation: u64,
    /// Its disks.
    pub disks: Vec<DiskView>,
    /// Its volumes, or those that were named.
    pub volumes: Vec<VolumeView>,
    /// How full the metadata area is, where that is known.
    pub metadata: Option<MetadataView>,
}

/// How full the metadata area of a group is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MetadataView {
    /// Bytes that the present configuration takes.
    pub used: u64,
    /// Bytes that fit.
    pub capacity: u64,
}

/// A disk of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DiskView {
    /// Media name.
    pub media: String,
    /// Where it is; `null` when it is missing.
    pub device: Option<String>,
    /// Its identity.
    pub uuid: String,
    /// `online` or `missing`.
    pub state: &'static str,
    /// Space for volumes.
    pub size: u64,
    /// Space that is not in use.
    pub free: u64,
    /// Its logical blocks in bytes; `null` when it is missing.
    pub sector_size: Option<u32>,
}

/// A volume or a snapshot volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VolumeView {
    /// Its name.
    pub name: String,
    /// Its identity.
    pub uuid: String,
    /// Its device while it is started, else `null`.
    pub device: Option<String>,
    /// Usable size.
    pub size: u64,
    /// `ACTIVE` (in use; while `DISABLED`: the machine went down while it was), `CLEAN` (stopped,
    /// all complete plexes are equal), `NEEDSYNC` (stopped before they were), `SYNC` (its complete
    /// plexes are being made equal), `DEGRADED` (in use, but not on all of its data plexes).
    pub state: &'static str,
    /// `ENABLED`, `SUSPENDED` or `DISABLED` (not started).
    pub kstate: &'static str,
    /// Whether changes are tracked for a fast resynchronisation.
    pub fast_resync: bool,
    /// The original, while the relation to it stands.
    pub snapshot_of: Option<String>,
    /// The snapshots that were taken of it and still know it.
    pub snapshots: Vec<String>,
    /// How far its complete plexes have been made equal again; `null` when they are.
    pub resync: Option<SyncView>,
    /// The largest sectors in bytes that the disks of its plexes may have; `null` when that is not
    /// known.
    pub sector_size: Option<u32>,
    /// The dirty region log, where there is one.
    pub log: Option<LogView>,
    /// Its plexes.
    pub plexes: Vec<PlexView>,
}

/// The dirty region log of a mirrored volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogView {
    /// `ENABLED` while the mirror uses it, else `DISABLED`.
    pub kstate: &'static str,
    /// What one bit stands for.
    pub region: u64,
    /// Where it lies.
    pub subdisk: SubdiskView,
}

/// A plex.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlexView {
    /// Its name.
    pub name: String,
    /// `data` or `snap`.
    pub role: &'static str,
    /// `ACTIVE`, `CLEAN` (the same of a volume that was stopped cleanly), `ATTACHING`, `REVIVING`,
    /// `STALE`, `FAILED`, `SNAPATT` or `SNAPDONE`. A complete snapshot leg that is being
    /// resynchronised after a crash does not count as `SNAPDONE` and is shown as `SNAPATT`.
    pub state: &'static str,
    /// `ENABLED`, `DETACHED` (not written) or `DISABLED` (the volume is not started).
    pub kstate: &'static str,
    /// `alive`, `write-failed`, `sync-failed`, `read-failed`, `flush-failed` or `unknown`; `null`
    /// when it is not in a mirror.
    pub health: Option<&'static str>,
    /// How much of it is equal to the volume.
    pub sync: SyncView,
    /// Its pieces of disk.
    pub subdisks: Vec<SubdiskView>,
}

/// How far a copy has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SyncView {
    /// Equal.
    pub done: u64,
    /// In all.
    pub total: u64,
}

impl SyncView {
    /// Whole percent; 100 only when nothing is left.
    pub fn percent(self) -> u64 {
        match self.total {
            0 => 100,
            total => u64::try_from(u128::from(self.done.min(total)) * 100 / u128::from(total))
                .unwrap_or(100),
        }
    }
}

/// A piece of a disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SubdiskView {
    /// Its name, counted along the disk; only for display.
    pub name: String,
    /// The disk.
    pub media: String,
    /// Where it starts, from the start of the disk's device.
    pub disk_offset: u64,
    /// Where it starts in the plex.
    pub plex_offset: u64,
    /// How long it is.
    pub length: u64,
}
