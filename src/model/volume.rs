//! Volumes and their plexes. The stack of devices that a volume needs follows from nothing but these fields (see `table`).

use super::disk::Extent;
use super::ids::{BootId, Timestamp, VolumeId};
use super::name::Name;
use super::state::PlexState;
use super::units::Sectors;

/// Sizes of volumes are multiples of this (4 KiB), so that every disk's block size is satisfied.
pub const SIZE_UNIT: Sectors = Sectors::of(8);
/// The most plexes that a volume may have, as in VxVM.
pub const MAX_PLEXES: usize = 32;

/// A copy of a volume's contents: its pieces of disk, one behind the other, without gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plex {
    /// Unique in the volume and kept for life; part of the inner device's dm UUID.
    pub number: u16,
    /// Unique in the group; kept when the plex is split off.
    pub name: Name,
    /// What it is good for.
    pub state: PlexState,
    /// Its subdisks in order. Their lengths add up to the volume's size.
    pub subdisks: Vec<Extent>,
}

impl Plex {
    /// The length of all its subdisks.
    pub fn length(&self) -> Sectors {
        self.subdisks.iter().map(|s| s.length).sum()
    }

    /// Each subdisk with its offset within the plex.
    pub fn layout(&self) -> impl Iterator<Item = (Sectors, &Extent)> {
        self.subdisks.iter().scan(Sectors::ZERO, |at, extent| {
            let offset = *at;
            *at = at.saturating_add(extent.length);
            Some((offset, extent))
        })
    }
}

/// The dirty region log of a mirrored volume (dm's `disk` log).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Where it lies.
    pub extent: Extent,
    /// What one bit stands for; a power of two.
    pub region: Sectors,
    /// Whether the mirror uses it. A log that is not in use holds nothing that may be trusted (K17).
    pub live: bool,
}

/// Where a snapshot comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The volume that it was split from.
    pub original: VolumeId,
    /// When.
    pub taken_at: Timestamp,
    /// Whether mounted filesystems were frozen (`frozen`), or the volume was down and in sync (also exact).
    pub frozen: bool,
    /// How long the split kept the original's I/O waiting, in microseconds; known once the window is over.
    pub freeze_us: u64,
}

/// A volume or a snapshot volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Identity.
    pub id: VolumeId,
    /// Unique in the group.
    pub name: Name,
    /// Usable size.
    pub size: Sectors,
    /// Its copies.
    pub plexes: Vec<Plex>,
    /// The dirty region log, where one is allocated.
    pub log: Option<Log>,
    /// Whether a mirror of it should have a log (`--no-log` says no).
    pub log_wanted: bool,
    /// The boot in which it was started, until it is stopped cleanly.
    pub running: Option<BootId>,
    /// How much of it, from the start, is known to be equal on all complete plexes.
    pub synced: Sectors,
    /// The relation to its original, until it is cleared.
    pub origin: Option<Origin>,
    /// Whether its contents were copied from another volume, so that `/dev/disk/by-uuid` must not point to it (K11).
    pub copied: bool,
}

impl Volume {
    /// The plexes that are complete: data plexes first, in the order of their numbers (reads go to the first).
    pub fn complete(&self) -> Vec<&Plex> {
        self.sorted(PlexState::is_complete)
    }

    /// The plexes that are being brought up to date, in the same order.
    pub fn attaching(&self) -> Vec<&Plex> {
        self.sorted(PlexState::is_attaching)
    }

    fn sorted(&self, keep: impl Fn(PlexState) -> bool) -> Vec<&Plex> {
        let mut plexes: Vec<&Plex> = self.plexes.iter().filter(|p| keep(p.state)).collect();
        plexes.sort_by_key(|p| (p.state.is_snapshot_leg(), p.number));
        plexes
    }

    /// The plexes in exactly this state.
    pub fn in_state(&self, state: PlexState) -> impl DoubleEndedIterator<Item = &Plex> {
        self.plexes.iter().filter(move |p| p.state == state)
    }

    /// The plex with this number.
    pub fn plex(&self, number: u16) -> Option<&Plex> {
        self.plexes.iter().find(|p| p.number == number)
    }

    /// The plex with this number, to be changed.
    pub fn plex_mut(&mut self, number: u16) -> Option<&mut Plex> {
        self.plexes.iter_mut().find(|p| p.number == number)
    }

    /// Whether its complete plexes are known to be equal.
    pub fn is_synced(&self) -> bool {
        self.synced == self.size
    }

    /// The log that its mirror uses.
    pub fn live_log(&self) -> Option<&Log> {
        self.log.as_ref().filter(|log| log.live)
    }

    /// All the space that it occupies.
    pub fn extents(&self) -> impl Iterator<Item = &Extent> {
        self.plexes.iter().flat_map(|p| &p.subdisks).chain(self.log.as_ref().map(|l| &l.extent))
    }
}
