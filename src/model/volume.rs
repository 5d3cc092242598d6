//! Volumes and their plexes. The stack of devices that a volume needs follows from nothing but
//! these fields (see `table`).

use super::disk::Extent;
use super::ids::{BootId, Timestamp, VolumeId};
use super::name::Name;
use super::state::PlexState;
use super::units::{SectorSize, Sectors};

/// Sizes of volumes are multiples of this (4 KiB), so that every disk's block size is satisfied.
pub const SIZE_UNIT: Sectors = Sectors::of(8);
/// The most plexes that a volume may have, as in VxVM.
pub const MAX_PLEXES: usize = 32;
/// The most copies of a DCO.
pub const MAX_COPIES: usize = 2;

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
    /// What the snapshot that a leg becomes is going to track its changes in; set aside with the
    /// leg, so that the split needs no space.
    pub dco: Option<Dco>,
    /// A snapshot leg that serves as a data plex until the others are restored from it.
    pub lent: bool,
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
    /// Whether the mirror uses it. A log that is not in use holds nothing that may be trusted
    /// (K17).
    pub live: bool,
}

/// The data change object: space in which a volume's changes are tracked while a snapshot of it is
/// out, or it is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dco {
    /// The same on several disks, each in one piece (see `table::dco` for what lies where in it).
    pub copies: Vec<Extent>,
    /// Whether changes are tracked now: dm's `era` is on top of the volume, and its map in here.
    pub live: bool,
}

/// What is known of the changes since a snapshot was split off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tracking {
    /// They are in the maps of both volumes; the original's from this era on.
    Since(u32),
    /// Everything counts as changed.
    Untracked(Untracked),
}

/// Why everything counts as changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Untracked {
    /// `fast-resync` was off at the split, or was switched off later.
    Off,
    /// There was no space for the maps.
    NoSpace,
    /// This kernel has no `era` target.
    NoTarget,
    /// The disks of a map failed or were missing, or it was damaged.
    MapLost,
    /// The machine went down, and its kernel may lose changes then.
    OldKernel,
    /// The original was restored from another snapshot.
    Restored,
}

impl Untracked {
    /// All reasons.
    pub const ALL: [Untracked; 6] = [
        Untracked::Off,
        Untracked::NoSpace,
        Untracked::NoTarget,
        Untracked::MapLost,
        Untracked::OldKernel,
        Untracked::Restored,
    ];

    /// The reason as one word.
    pub fn word(self) -> &'static str {
        match self {
            Untracked::Off => "off",
            Untracked::NoSpace => "no-space",
            Untracked::NoTarget => "no-target",
            Untracked::MapLost => "map-lost",
            Untracked::OldKernel => "old-kernel",
            Untracked::Restored => "restored",
        }
    }

    /// The reason in a sentence.
    pub fn reason(self) -> &'static str {
        match self {
            Untracked::Off => "fast-resync is or was off",
            Untracked::NoSpace => "there was no space for a map of the changes",
            Untracked::NoTarget => "this kernel has no dm-era",
            Untracked::MapLost => "the map of the changes was lost or damaged",
            Untracked::OldKernel => {
                "the machine went down, and a kernel as old as this may lose changes then"
            }
            Untracked::Restored => "the original was restored from another snapshot since",
        }
    }
}

/// A copy of changed regions only, to legs that were split off before (`snapback`). Those that are
/// being attached are these legs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Returning {
    /// Which of the two change logs of the DCO the mirror uses.
    pub log: ChangeLog,
    /// What one bit of the log stands for.
    pub region: Sectors,
    /// The first log lacks what was written from this era on, until it came into use.
    pub since: u32,
    /// Whether the log names all of it. Before that it lacks what was written between the listing
    /// and the swap.
    pub exact: bool,
}

/// A dirty region log that says what a `snapback` has to copy. There are two: one is written while
/// the other one is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChangeLog {
    /// In use first.
    A,
    /// In use after what the first one lacks is known.
    B,
}

/// Where a snapshot comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The volume that it was split from.
    pub original: VolumeId,
    /// When.
    pub taken_at: Timestamp,
    /// Why it holds what a crash at that instant would have left; `None`: every filesystem that
    /// rested on the original was frozen.
    pub crash: Option<CrashReason>,
    /// How long the split kept the original's I/O waiting, in microseconds; known once the window
    /// is over.
    pub freeze_us: u64,
    /// What is known of the changes since.
    pub tracking: Tracking,
}

/// Why a snapshot is only what a crash would have left: one line of plain text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrashReason(String);

impl CrashReason {
    /// The most bytes of it: it is stored with each snapshot.
    pub const MOST: usize = 200;

    /// As it was written; `None` when it is not what [`CrashReason::new`] makes.
    pub fn parse(text: &str) -> Option<CrashReason> {
        let reason = CrashReason::new(text);
        (reason.0 == text).then_some(reason)
    }

    /// Makes one line of any text, and cuts off what is too long.
    pub fn new(text: &str) -> CrashReason {
        let line: String = text
            .trim()
            .chars()
            .map(|c| if c.is_control() { '?' } else { c })
            .collect();
        let end = (0..=line.len().min(Self::MOST))
            .rev()
            .find(|at| line.is_char_boundary(*at))
            .unwrap_or(0);
        let line = line[..end].trim_end();
        CrashReason(if line.is_empty() {
            Self::UNKNOWN.to_owned()
        } else {
            line.to_owned()
        })
    }

    /// What is said of snapshots that were recorded before there were reasons.
    pub const UNKNOWN: &'static str = "not recorded";

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
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
    /// Whether its contents were copied from another volume, so that `/dev/disk/by-uuid` must not
    /// point to it (K11).
    pub copied: bool,
    /// Whether its changes are tracked while snapshots of it are out (`fast-resync`).
    pub fast_resync: bool,
    /// Space for that, where it is allocated.
    pub dco: Option<Dco>,
    /// The copy of changed regions that goes on, if one does.
    pub returning: Option<Returning>,
    /// The largest sectors that the disks of its plexes may have: what is on it was made for these
    /// (K43). `None` when an older version of the program made it, which did not care.
    pub sector_size: Option<SectorSize>,
    /// The snapshot leg that failed last, until legs are attached again: who waits for it is told.
    pub lost_leg: Option<LostLeg>,
}

/// A snapshot leg that failed and was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostLeg {
    /// What it was called.
    pub plex: Name,
    /// The disks that it was on, by their media names.
    pub media: Vec<Name>,
    /// When that was recorded.
    pub at: Timestamp,
}

impl Volume {
    /// The plexes that are complete: data plexes first, in the order of their numbers (reads go to
    /// the first).
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

    /// The space for tracking that is in use.
    pub fn live_dco(&self) -> Option<&Dco> {
        self.dco.as_ref().filter(|dco| dco.live)
    }

    /// All the space that it occupies.
    pub fn extents(&self) -> impl Iterator<Item = &Extent> {
        let plexes = self.plexes.iter().flat_map(|p| &p.subdisks);
        let dcos = self
            .plexes
            .iter()
            .filter_map(|p| p.dco.as_ref())
            .chain(&self.dco);
        plexes
            .chain(self.log.as_ref().map(|l| &l.extent))
            .chain(dcos.flat_map(|dco| &dco.copies))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_short_line() {
        assert_eq!(
            CrashReason::new(" used\nas \u{1b}swap ").as_str(),
            "used?as ?swap"
        );
        assert_eq!(CrashReason::new("\t").as_str(), CrashReason::UNKNOWN);
        let long = "ä".repeat(CrashReason::MOST);
        assert_eq!(
            CrashReason::new(&long).as_str(),
            "ä".repeat(CrashReason::MOST / 2)
        );
        assert_eq!(
            CrashReason::new(&format!("x{long}")).as_str().len(),
            CrashReason::MOST - 1
        );
        for bad in ["", " x", "x ", "a\nb", &long] {
            assert_eq!(CrashReason::parse(bad), None, "{bad:?}");
        }
        assert_eq!(
            CrashReason::parse("used as swap"),
            Some(CrashReason::new("used as swap"))
        );
    }
}
