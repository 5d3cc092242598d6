//! The documented shape of `print --json`: one [`GroupView`] for each group. Sizes, offsets and
//! lengths are in bytes.
//!
//! Enums are words: see [`VolumeView::state`], [`PlexView::state`] and the others. Fields may be
//! added, but never changed.

use serde::Serialize;

/// A group with its disks and volumes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GroupView {
    /// The name of the group.
    pub name: String,
    /// The identity of the group.
    pub uuid: String,
    /// The number of the present configuration, one higher with each commit.
    pub generation: u64,
    /// All disks of the group.
    pub disks: Vec<DiskView>,
    /// The volumes of the group, or those that were named.
    pub volumes: Vec<VolumeView>,
    /// How full the metadata area is; `null` when that is not known.
    pub metadata: Option<MetadataView>,
}

/// How full the metadata area of a group is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MetadataView {
    /// Bytes that the present configuration takes.
    pub used: u64,
    /// Bytes that fit on the disk with the smallest private area.
    pub capacity: u64,
}

/// A disk of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DiskView {
    /// The media name of the disk.
    pub media: String,
    /// The path of its device; `null` when the disk is missing.
    pub device: Option<String>,
    /// The identity of the disk.
    pub uuid: String,
    /// `online` or `missing`.
    pub state: &'static str,
    /// The length of the space for volumes.
    pub size: u64,
    /// The space for volumes that is not in use.
    pub free: u64,
    /// Its logical block size in bytes; `null` when the disk is missing.
    pub sector_size: Option<u32>,
}

/// A volume or a snapshot volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VolumeView {
    /// The name of the volume.
    pub name: String,
    /// The identity of the volume.
    pub uuid: String,
    /// The path of its device while it is started, otherwise `null`.
    pub device: Option<String>,
    /// The usable size.
    pub size: u64,
    /// `ACTIVE` (in use; while `DISABLED`: the machine went down while it was), `CLEAN` (stopped,
    /// all complete plexes are in sync), `NEEDSYNC` (stopped before they were), `SYNC` (its
    /// complete plexes are being resynchronised), `DEGRADED` (in use, but not on all of its data
    /// plexes).
    pub state: &'static str,
    /// `ENABLED`, `SUSPENDED` or `DISABLED` (not started).
    pub kstate: &'static str,
    /// Whether changes are tracked for a fast resync.
    pub fast_resync: bool,
    /// The name of the original, while the relation to it exists; otherwise `null`.
    pub snapshot_of: Option<String>,
    /// The names of the snapshots that were taken of it and still have their relation to it.
    pub snapshots: Vec<String>,
    /// How far the resync of its complete plexes has come; `null` when they are in sync.
    pub resync: Option<SyncView>,
    /// The largest sector size in bytes that the disks of its plexes may have; `null` when that is
    /// not known.
    pub sector_size: Option<u32>,
    /// The dirty region log; `null` when there is none.
    pub log: Option<LogView>,
    /// Who may use its device node; `null` when that is as the system has it by default.
    pub owner: Option<OwnerView>,
    /// All its plexes, complete or not.
    pub plexes: Vec<PlexView>,
}

/// Who may use a device node, as it was given. What was not given is `null`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OwnerView {
    /// The user, by name or number.
    pub user: Option<String>,
    /// The group, by name or number.
    pub group: Option<String>,
    /// The permissions as four octal digits.
    pub mode: Option<String>,
}

/// The dirty region log of a mirrored volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LogView {
    /// `ENABLED` while the mirror uses it, else `DISABLED`.
    pub kstate: &'static str,
    /// The region size: what one bit stands for.
    pub region: u64,
    /// Where the log lies on its disk.
    pub subdisk: SubdiskView,
}

/// A plex of a volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlexView {
    /// The name of the plex.
    pub name: String,
    /// `data` for a data plex, `snap` for a snapshot leg.
    pub role: &'static str,
    /// `ACTIVE`, `CLEAN` (the same of a volume that was stopped cleanly), `ATTACHING`, `REVIVING`,
    /// `STALE`, `FAILED`, `SNAPATT` or `SNAPDONE`. A complete snapshot leg that is being
    /// resynchronised after a crash does not count as `SNAPDONE` and is shown as `SNAPATT`.
    pub state: &'static str,
    /// `ENABLED`, `DETACHED` (not written) or `DISABLED` (the volume is not started).
    pub kstate: &'static str,
    /// `alive`, `write-failed`, `sync-failed`, `read-failed`, `flush-failed` or `unknown`; `null`
    /// when the plex is not in a mirror.
    pub health: Option<&'static str>,
    /// How much of the plex is in sync with the volume.
    pub sync: SyncView,
    /// Its subdisks in the order of their offset in the plex.
    pub subdisks: Vec<SubdiskView>,
}

/// How far a copy has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct SyncView {
    /// The bytes that are in sync.
    pub done: u64,
    /// The bytes of the whole.
    pub total: u64,
}

impl SyncView {
    /// Whole per cent; 100 only when nothing is left to copy.
    pub fn percent(self) -> u64 {
        match self.total {
            0 => 100,
            total => u64::try_from(u128::from(self.done.min(total)) * 100 / u128::from(total))
                .unwrap_or(100),
        }
    }
}

/// A piece of a disk that belongs to a plex or a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SubdiskView {
    /// A name that is counted along the disk; only for display.
    pub name: String,
    /// The media name of the disk.
    pub media: String,
    /// The offset from the start of the disk's device.
    pub disk_offset: u64,
    /// The offset in the plex.
    pub plex_offset: u64,
    /// The length of the piece.
    pub length: u64,
}
