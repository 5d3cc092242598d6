//! What somebody wants, after the words of a command line have been understood. Both front ends end
//! here.

use crate::model::{Name, SectorSize, Sectors, VolumeId};

/// Which disks may be used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Placement {
    /// Only these (a log that finds no room on them may lie elsewhere); naming them also overrides
    /// the rule that a disk holds one plex of a volume.
    pub on: Vec<Name>,
    /// None of these.
    pub avoid: Vec<Name>,
}

/// Which volumes a verb is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// Every volume of the group.
    All,
    /// These.
    Named(Vec<Name>),
}

/// How large a volume should become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrowTo {
    /// Larger by so much.
    By(Sectors),
    /// This large.
    To(Sectors),
}

/// One volume to be split by `snapshot`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// The original.
    pub volume: Name,
    /// The name of the new volume; by default made from the pattern.
    pub name: Option<Name>,
}

/// A change to one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// `make VOL SIZE`.
    Make {
        /// Its name.
        volume: Name,
        /// Its size, rounded up to 4 KiB.
        size: Sectors,
        /// Number of plexes (1 = not mirrored).
        mirrors: usize,
        /// Where.
        placement: Placement,
        /// Whether a mirror gets a dirty region log.
        log: bool,
        /// Whether changes are tracked while snapshots are out.
        fast_resync: bool,
        /// The largest sectors that its disks may have; by default those of the disks that it gets.
        sector_size: Option<SectorSize>,
    },
    /// `remove VOL…`.
    Remove {
        /// Which.
        volumes: Vec<Name>,
        /// Also when it has snapshot legs or snapshots that know it.
        recursive: bool,
    },
    /// `rename VOL NEW`.
    Rename {
        /// The present name.
        volume: Name,
        /// The name it gets.
        to: Name,
    },
    /// `grow VOL [+]SIZE`.
    Grow {
        /// Which.
        volume: Name,
        /// How large.
        to: GrowTo,
        /// Where the new space may lie.
        placement: Placement,
    },
    /// `mirror VOL`: one more data plex.
    Mirror {
        /// Which.
        volume: Name,
        /// Where.
        placement: Placement,
    },
    /// `start`.
    Start {
        /// Which.
        volumes: Selection,
        /// Also when half of the disks or more are missing.
        force: bool,
    },
    /// `stop`.
    Stop(Selection),
    /// `snapstart`.
    SnapStart {
        /// Which, all or nothing.
        volumes: Vec<Name>,
        /// Legs for each.
        mirrors: usize,
        /// Where.
        placement: Placement,
    },
    /// `snapshot`.
    Snapshot {
        /// Which, in one window.
        splits: Splits,
        /// Which legs of each.
        legs: Legs,
        /// Names with `%v` and `%d`; default `SNAP%d-%v`.
        pattern: Option<String>,
        /// Refuses where not everything that rests on a volume can be frozen.
        require_frozen: bool,
    },
    /// `snapabort VOL`.
    SnapAbort {
        /// Which.
        volume: Name,
        /// How many snapshot legs to give up; `None` is all of them.
        count: Option<usize>,
    },
    /// `snapclear SNAP|VOL`.
    SnapClear {
        /// A snapshot, or an original.
        volume: Name,
        /// Which of its relations.
        which: Relations,
    },
    /// `snapback`.
    SnapBack {
        /// Which snapshots, all or nothing.
        snapshots: Vec<Name>,
        /// How many plexes of each; `None` is all.
        mirrors: Option<usize>,
        /// Whose contents win.
        from: Winner,
        /// With the snapshot's contents: the old ones become the snapshot's.
        keep: bool,
    },
    /// `fast-resync on|off`.
    FastResync {
        /// Which.
        volume: Name,
        /// Whether changes are to be tracked.
        on: bool,
    },
    /// `plex convert`.
    PlexConvert {
        /// Which plex.
        plex: Name,
        /// To what.
        to: Convert,
    },
    /// `plex detach`.
    PlexDetach(Name),
    /// `plex attach`.
    PlexAttach(Name),
    /// `plex remove`.
    PlexRemove(Name),
}

/// Which relations of a volume `snapclear` ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Relations {
    /// The one that can only be meant: a snapshot's to its original, or an original's to its only
    /// snapshot.
    TheOne,
    /// The one to this volume.
    To(Name),
    /// All of them.
    All,
}

/// Which volumes `snapshot` splits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Splits {
    /// Every volume of the group that is not itself a snapshot; fails when any has no SNAPDONE leg.
    All,
    /// These.
    These(Vec<Split>),
    /// VxVM's ambiguous pair: the second word is a name for the snapshot when no volume is called
    /// so, else a second volume.
    PairOrTwo(Name, Name),
}

impl Splits {
    /// Whether a volume of this name may be split.
    pub fn may_mean(&self, name: &Name) -> bool {
        match self {
            Splits::All => true,
            Splits::These(list) => list.iter().any(|split| split.volume == *name),
            Splits::PairOrTwo(first, second) => name == first || name == second,
        }
    }
}

/// Which complete legs `snapshot` takes from a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Legs {
    /// So many, those that were there first.
    Count(usize),
    /// So many of those that lie on these disks and on no other.
    On(usize, Vec<Name>),
    /// These plexes, each of one of the volumes; of a volume that none of them belongs to, one.
    Named(Vec<Name>),
}

/// Whose contents are on both sides after a `snapback`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Winner {
    /// The original's: the snapshot is brought up to date.
    Original,
    /// The snapshot's: the original is restored.
    Snapshot,
}

/// What `plex convert` makes of a plex.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Convert {
    /// A data plex becomes a snapshot leg.
    SnapDone,
    /// A snapshot leg becomes a data plex.
    Active,
}

/// What of a volume has failed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lost {
    /// These plexes, by number.
    pub plexes: Vec<u16>,
    /// Its dirty region log.
    pub log: bool,
    /// The log of what is to be copied to legs that come back.
    pub changes: bool,
    /// Copies of the map of its changes, by position; with all of them it is tracked no more.
    pub maps: Vec<usize>,
}

/// What was seen in the kernel and has to be recorded or acted on; made by `recover`, never by a
/// command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// All the legs being attached are in sync.
    Attached(VolumeId),
    /// The mirror of complete plexes is in sync again.
    Resynced(VolumeId),
    /// Legs come back, and the log of what is to be copied lacks what was written before it came
    /// into use.
    Inexact(VolumeId),
    /// These plexes (by number) failed.
    Failed(VolumeId, Lost),
}
