//! Volumes and their plexes. These fields alone determine the stack of devices that a volume needs
//! (see `table`).

use super::disk::Extent;
use super::ids::{BootId, GroupId, Timestamp, VolumeId};
use super::name::Name;
use super::owner::NodeOwner;
use super::state::PlexState;
use super::units::{SectorSize, Sectors};

/// Sizes of volumes are multiples of this (4 KiB), so that they suit the block size of every disk.
pub const SIZE_UNIT: Sectors = Sectors::of(8);
/// The most plexes that a volume may have, as in VxVM.
pub const MAX_PLEXES: usize = 32;
/// The most copies that a DCO may have.
pub const MAX_COPIES: usize = 2;

/// A copy of a volume's contents: extents of disks, one after the other, without gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plex {
    /// Unique in the volume and kept for life; part of the inner device's dm UUID.
    pub number: u16,
    /// Unique in the group; kept when the plex is split off.
    pub name: Name,
    /// The recorded state, which decides what the plex is used for.
    pub state: PlexState,
    /// Its subdisks in order. Their lengths add up to the volume's size.
    pub subdisks: Vec<Extent>,
    /// The space in which the snapshot that this leg becomes will track its changes. It is
    /// allocated with the leg, so that the split needs no space.
    pub dco: Option<Dco>,
    /// Whether this is a snapshot leg that serves as a data plex until the others are restored from
    /// it.
    pub serves_restore: bool,
}

impl Plex {
    /// The sum of the lengths of all its subdisks.
    pub fn length(&self) -> Sectors {
        self.subdisks.iter().map(|s| s.length).sum()
    }

    /// Each subdisk, preceded by its offset within the plex.
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
    /// Where the log lies: one extent of a disk.
    pub extent: Extent,
    /// The region size: what one bit stands for; a power of two.
    pub region: Sectors,
    /// Whether the mirror uses the log. The contents of a log that is not in use must not be
    /// trusted (K17).
    pub live: bool,
}

/// The data change object: the space in which a volume's changes are tracked while the volume has a
/// snapshot, or is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dco {
    /// The copies, identical, on different disks, each in one piece (see `table::dco` for their
    /// layout).
    pub copies: Vec<Extent>,
    /// Whether changes are tracked now: dm's `era` lies on top of the volume, and its map in this
    /// DCO.
    pub live: bool,
}

/// What is known of the changes since a snapshot was split off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tracking {
    /// The maps of both volumes record the changes; the original's map from this era on.
    Since(u32),
    /// The changes are not known: everything counts as changed, for this reason.
    Untracked(Untracked),
}

/// The reason why everything counts as changed.
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
    /// The machine went down, and its kernel may lose recorded changes then.
    OldKernel,
    /// The original was restored from another snapshot.
    Restored,
}

impl Untracked {
    /// All reasons, in the order of their declaration.
    pub const ALL: [Untracked; 6] = [
        Untracked::Off,
        Untracked::NoSpace,
        Untracked::NoTarget,
        Untracked::MapLost,
        Untracked::OldKernel,
        Untracked::Restored,
    ];

    /// The reason as one word, such as `map-lost`.
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

    /// The reason as a clause for people.
    pub fn reason(self) -> &'static str {
        match self {
            Untracked::Off => "fast-resync is or was off",
            Untracked::NoSpace => "there was no space for a map of changes",
            Untracked::NoTarget => "this kernel has no dm-era",
            Untracked::MapLost => "the map of changes was lost or damaged",
            Untracked::OldKernel => {
                "the machine crashed, and a kernel as old as this may lose changes then"
            }
            Untracked::Restored => "the original was restored from another snapshot since",
        }
    }
}

/// A resync that copies only changed regions to legs that were split off before (`snapback`). The
/// plexes that are being attached are these legs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Returning {
    /// The change log of the DCO that the mirror uses.
    pub log: ChangeLog,
    /// The region size of the change log: what one bit stands for.
    pub region: Sectors,
    /// The first log lacks the writes from this era on until that log came into use.
    pub since: u32,
    /// Whether the log has all changed regions. Until then it lacks what was written between the
    /// reading of the map and the swap of the tables.
    pub exact: bool,
}

/// A dirty region log that lists what a `snapback` has to copy. There are two, so that one can be
/// written while the other one is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChangeLog {
    /// The log that is used first.
    A,
    /// The log that is used once the writes that the first one lacks are known.
    B,
}

/// The split that a snapshot comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The volume that the snapshot was split off.
    pub original: VolumeId,
    /// When it was split off.
    pub taken_at: Timestamp,
    /// Why the snapshot holds only what a crash at that instant would have left. `None`: every
    /// filesystem that rested on the original was frozen.
    pub crash: Option<CrashReason>,
    /// How long the split kept the original's I/O waiting, in microseconds; known once the window
    /// is over.
    pub freeze_us: u64,
    /// What is known of the changes since the split.
    pub tracking: Tracking,
    /// How the original is restored from the snapshot when the machine boots, if it is to be.
    pub at_boot: Option<AtBoot>,
    /// Where the original is, when it is not in the snapshot's group.
    pub apart: Option<Apart>,
}

/// Where the original of a snapshot is, when it is in another group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Apart {
    /// The group that the original was in when they were parted.
    pub group: GroupId,
    /// The name that this group had.
    pub group_name: Name,
    /// The name that the original had.
    pub original: Name,
}

/// A snapshot that is in another group than its original.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Away {
    /// The snapshot.
    pub snapshot: VolumeId,
    /// The name that it had when they were parted.
    pub name: Name,
    /// The group that it went to.
    pub group: GroupId,
    /// The name that this group had.
    pub group_name: Name,
    /// The split that it comes from, with what is known here of the changes since.
    pub origin: Origin,
}

/// How a volume is restored from a snapshot when the machine boots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtBoot {
    /// Its old contents are overwritten.
    Overwrite,
    /// Its old contents become those of the snapshot.
    Keep,
}

/// Why a snapshot is only what a crash would have left, as one line of plain text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrashReason(String);

impl CrashReason {
    /// The most bytes of a reason. The limit exists because the reason is stored with each
    /// snapshot.
    pub const MOST: usize = 200;

    /// A reason as it was stored; `None` when [`CrashReason::new`] would not have made it.
    pub fn parse(text: &str) -> Option<CrashReason> {
        let reason = CrashReason::new(text);
        (reason.0 == text).then_some(reason)
    }

    /// Makes one line of any text: replaces control characters, and cuts off what is too long.
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

    /// The text for snapshots that were recorded before reasons were stored.
    pub const UNKNOWN: &'static str = "not recorded";

    /// The reason as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A volume or a snapshot volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Identity of the volume; stays the same when its name changes.
    pub id: VolumeId,
    /// Name; unique in the group.
    pub name: Name,
    /// Usable size; a multiple of [`SIZE_UNIT`].
    pub size: Sectors,
    /// All its plexes, complete or not.
    pub plexes: Vec<Plex>,
    /// The dirty region log, where one is allocated.
    pub log: Option<Log>,
    /// Whether a mirror of the volume should have a log (`--no-log` says no).
    pub log_wanted: bool,
    /// The boot in which the volume was started; `None` once it is stopped cleanly.
    pub running: Option<BootId>,
    /// How much of the volume, from the start, is known to be in sync on all complete plexes.
    pub synced: Sectors,
    /// The relation to its original, until it is cleared; `None` when the volume is not a snapshot.
    pub origin: Option<Origin>,
    /// Its snapshots that are in other groups.
    pub away: Vec<Away>,
    /// Whether its contents were copied from another volume, so that `/dev/disk/by-uuid` must not
    /// point to it (K11).
    pub copied: bool,
    /// Whether its changes are tracked while it has snapshots (`fast-resync`).
    pub fast_resync: bool,
    /// The space for that tracking, where it is allocated.
    pub dco: Option<Dco>,
    /// The resync of changed regions that is in progress, if there is one.
    pub returning: Option<Returning>,
    /// The largest sector size that the disks of its plexes may have, because its contents were
    /// made for that size (K43). `None` when an older version of breakoff, which did not check
    /// this, made the volume.
    pub sector_size: Option<SectorSize>,
    /// The snapshot leg that failed last, until legs are attached again. A command that waits for
    /// the leg reports it.
    pub lost_leg: Option<LostLeg>,
    /// In how many lanes its legs are filled, or were when legs were attached last.
    pub lanes: Lanes,
    /// Who may use its device node.
    pub owner: NodeOwner,
}

/// The number of mirror segments that a table has side by side while legs are filled. The kernel
/// copies one region at a time in each of them (K4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lanes(u8);

impl Lanes {
    /// One segment for all.
    pub const ONE: Lanes = Lanes(1);
    /// The most lanes: each has a thread and buffers in the kernel, and a suspend waits for a region
    /// of each (K10).
    pub const MOST: u8 = 16;
    /// The most lanes that are chosen without being asked for.
    const MOST_CHOSEN: u8 = 8;
    /// The most lanes that are chosen in a group at a time. In the kernel each reserves half a MiB of
    /// memory and has threads of its own.
    const TOGETHER: u64 = 256;
    /// The shortest piece of a volume for which a lane of its own is chosen.
    const SHORTEST: Sectors = Sectors::mib(8);

    /// This many lanes; `None` for none or too many.
    pub fn new(count: u64) -> Option<Lanes> {
        let count = u8::try_from(count).ok()?;
        (1..=Lanes::MOST).contains(&count).then_some(Lanes(count))
    }

    /// The lanes that suit a volume of this size. Where a plex lies on disks with heads, `heads` is
    /// the number of its disks, and there is a lane for each: more would only make them move more.
    pub fn suited(size: Sectors, heads: Option<usize>) -> Lanes {
        let disks = heads.and_then(|disks| u64::try_from(disks).ok());
        let most = disks.unwrap_or(u64::MAX);
        let of_size = size.get() / Lanes::SHORTEST.get();
        let count = most.min(of_size).clamp(1, Lanes::MOST_CHOSEN.into());
        Lanes::new(count).unwrap_or(Lanes::ONE)
    }

    /// At most this volume's share of the lanes that are open at a time, when so many volumes begin
    /// together and so many lanes are in use.
    pub fn among(self, volumes: usize, in_use: u64) -> Lanes {
        let volumes = u64::try_from(volumes).unwrap_or(u64::MAX).max(1);
        let share = Lanes::TOGETHER.saturating_sub(in_use) / volumes;
        Lanes::new(self.get().min(share)).unwrap_or(Lanes::ONE)
    }

    /// The number.
    pub fn get(self) -> u64 {
        self.0.into()
    }
}

impl Default for Lanes {
    fn default() -> Lanes {
        Lanes::ONE
    }
}

impl std::fmt::Display for Lanes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A snapshot leg that failed and was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostLeg {
    /// The name that the plex had.
    pub plex: Name,
    /// The disks that the leg was on, by their media names.
    pub media: Vec<Name>,
    /// When the failure was recorded.
    pub at: Timestamp,
}

impl Volume {
    /// The complete plexes: data plexes first, in the order of their numbers (reads go to the
    /// first).
    pub fn complete(&self) -> Vec<&Plex> {
        self.sorted(PlexState::is_complete)
    }

    /// The plexes that are being filled or brought up to date, in the same order.
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

    /// The plex with this number, for a change.
    pub fn plex_mut(&mut self, number: u16) -> Option<&mut Plex> {
        self.plexes.iter_mut().find(|p| p.number == number)
    }

    /// Whether its complete plexes are known to be in sync.
    pub fn is_synced(&self) -> bool {
        self.synced == self.size
    }

    /// The log that its mirror uses, if it has one.
    pub fn live_log(&self) -> Option<&Log> {
        self.log.as_ref().filter(|log| log.live)
    }

    /// The DCO in which changes are tracked now, if there is one.
    pub fn live_dco(&self) -> Option<&Dco> {
        self.dco.as_ref().filter(|dco| dco.live)
    }

    /// All the space that the volume occupies: subdisks, log and DCOs.
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
    fn lanes_suit_the_size_and_the_disks() {
        for (mib, heads, count) in [
            (1, None, 1),
            (15, None, 1),
            (16, None, 2),
            (63, None, 7),
            (64, None, 8),
            (1 << 20, None, 8),
            (64, Some(1), 1),
            (64, Some(2), 2),
            (8, Some(2), 1),
            (1 << 20, Some(3), 3),
            (1 << 20, Some(9), 8),
            (64, Some(0), 1),
        ] {
            let lanes = Lanes::suited(Sectors::mib(mib), heads);
            assert_eq!(lanes.get(), count, "{mib} MiB, {heads:?} disks with heads");
        }
        let eight = Lanes::suited(Sectors::mib(64), None);
        for (volumes, in_use, count) in [
            (1, 0, 8),
            (32, 0, 8),
            (64, 0, 4),
            (1000, 0, 1),
            (1, 253, 3),
            (1, 300, 1),
            (0, 0, 8),
        ] {
            let lanes = eight.among(volumes, in_use);
            assert_eq!(lanes.get(), count, "{volumes} volumes, {in_use} in use");
        }
        assert_eq!((Lanes::new(0), Lanes::new(17)), (None, None));
        assert_eq!(Lanes::new(16).map(Lanes::get), Some(16));
    }

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
