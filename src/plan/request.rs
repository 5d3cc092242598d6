//! Requests: what the user wants, after parsing. Both front ends produce these.

use crate::model::{AtBoot, Lanes, Name, NodeOwner, SectorSize, Sectors, VolumeId};
use std::path::PathBuf;

/// The disks that may be used for new space, by media name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Placement {
    /// If not empty, only these disks (a log for which they have no space may lie elsewhere).
    /// Naming disks also overrides the rule that a disk holds only one plex of a volume.
    pub on: Vec<Name>,
    /// Disks that must not be used.
    pub avoid: Vec<Name>,
}

/// The volumes that a verb applies to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// Every volume of the group.
    All,
    /// The volumes with these names, all or none.
    Named(Vec<Name>),
    /// The volumes with these names, each for itself.
    Each(Vec<Name>),
}

/// The size that a volume is to grow to, in sectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrowTo {
    /// Grow by this amount.
    By(Sectors),
    /// Grow to this size.
    To(Sectors),
}

/// A change of who may use the device node of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnerChange {
    /// Sets what is not `None`, and keeps the rest.
    Set(NodeOwner),
    /// Everything as the system has it by default.
    Default,
}

/// One volume to be split by `snapshot`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// The original.
    pub volume: Name,
    /// The name of the new volume; by default it is built from the pattern.
    pub name: Option<Name>,
}

/// A change to the volumes of one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// `make VOL SIZE`.
    Make {
        /// Name of the new volume.
        volume: Name,
        /// Size of the new volume, rounded up to 4 KiB.
        size: Sectors,
        /// Number of plexes (1 = not mirrored).
        mirrors: usize,
        /// The disks that the volume may lie on.
        placement: Placement,
        /// Whether a mirror gets a dirty region log.
        log: bool,
        /// Whether changes are tracked while the volume has snapshots.
        fast_resync: bool,
        /// The largest sectors that the volume's disks may have; by default those of the disks that
        /// it gets.
        sector_size: Option<SectorSize>,
        /// Who may use its device node.
        owner: NodeOwner,
    },
    /// `remove VOL…`.
    Remove {
        /// The volumes to remove.
        volumes: Vec<Name>,
        /// Whether to remove volumes that have snapshot legs or related snapshots too.
        recursive: bool,
    },
    /// `rename VOL NEW`.
    Rename {
        /// The present name.
        volume: Name,
        /// The new name.
        to: Name,
    },
    /// `owner VOL…`.
    Owner {
        /// The volumes whose device nodes change, all or none.
        volumes: Vec<Name>,
        /// Who may use them from now on.
        change: OwnerChange,
    },
    /// `grow VOL [+]SIZE`.
    Grow {
        /// The volume to grow.
        volume: Name,
        /// The new size.
        to: GrowTo,
        /// The disks that the new space may lie on.
        placement: Placement,
        /// Whether the filesystem on it grows too, which is done after the plan.
        filesystem: bool,
    },
    /// `mirror VOL`: one more data plex.
    Mirror {
        /// The volume that gets the plex.
        volume: Name,
        /// The disks that the plex may lie on.
        placement: Placement,
        /// In how many lanes it is filled; by default as many as suit it.
        lanes: Option<Lanes>,
    },
    /// `log add`: gives a mirror a dirty region log.
    LogAdd {
        /// The volume that gets the log.
        volume: Name,
        /// The disks that the log may lie on, and no others.
        placement: Placement,
    },
    /// `log remove`: takes the dirty region log of the volume with this name away.
    LogRemove(Name),
    /// `start`: creates the devices of volumes.
    Start {
        /// The volumes to start.
        volumes: Selection,
        /// Whether to start them even if half of the disks or more are missing.
        force: bool,
    },
    /// `stop`.
    Stop(Selection),
    /// `snapstart`: new snapshot legs.
    SnapStart {
        /// The volumes that get legs, all or none.
        volumes: Vec<Name>,
        /// Number of new legs for each volume.
        mirrors: usize,
        /// The disks that the legs may lie on.
        placement: Placement,
        /// In how many lanes they are filled; by default as many as suit them.
        lanes: Option<Lanes>,
    },
    /// `snapshot`: splits snapshot legs off.
    Snapshot {
        /// The volumes to split, in one window.
        splits: Splits,
        /// The legs to split off each volume.
        legs: Legs,
        /// The pattern of the new names, with `%v` for the volume and `%d` for a number; default
        /// `SNAP%d-%v`.
        pattern: Option<String>,
        /// Whether to refuse if not everything that rests on a volume can be frozen.
        require_frozen: bool,
    },
    /// `snapabort VOL`.
    SnapAbort {
        /// The volume whose snapshot legs are removed.
        volume: Name,
        /// How many snapshot legs to remove; `None` means all.
        count: Option<usize>,
    },
    /// `snapclear SNAP|VOL`.
    SnapClear {
        /// A snapshot or an original.
        volume: Name,
        /// The relations to end.
        which: Relations,
    },
    /// `snapback`: brings snapshots back, or restores from one.
    SnapBack {
        /// The snapshots, all or none.
        snapshots: Vec<Name>,
        /// How many plexes of each come back; `None` means all.
        mirrors: Option<usize>,
        /// The side whose contents win.
        from: Winner,
        /// Whether a restore keeps the original's old contents, as those of the snapshot.
        keep: bool,
        /// In how many lanes everything is copied, if everything is; by default as many as suit it.
        lanes: Option<Lanes>,
    },
    /// `snapback --at-boot`: restores the originals of snapshots when the machine boots.
    AtBoot {
        /// The snapshots, all or none.
        snapshots: Vec<Name>,
        /// How; `None` takes an earlier request back.
        how: Option<AtBoot>,
    },
    /// `fast-resync on|off`.
    FastResync {
        /// The volume whose tracking is turned on or off.
        volume: Name,
        /// Whether changes are to be tracked.
        on: bool,
    },
    /// `plex convert`: changes the use of a complete plex.
    PlexConvert {
        /// The plex to convert.
        plex: Name,
        /// The state to convert it to.
        to: Convert,
    },
    /// `plex detach`: takes the data plex with this name out of use.
    PlexDetach(Name),
    /// `plex attach`: fills a data plex again.
    PlexAttach {
        /// The plex, which is detached or has failed.
        plex: Name,
        /// In how many lanes it is filled; by default as many as suit it.
        lanes: Option<Lanes>,
    },
    /// `plex remove`: removes the plex with this name and releases its space.
    PlexRemove(Name),
    /// `plex abort`: ends the filling of the plex with this name.
    PlexAbort(Name),
}

/// A disk as named on a command line: `[MEDIA=]DEVICE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedDevice {
    /// The media name; by default the next free `diskNN`.
    pub media: Option<Name>,
    /// The path of the device.
    pub device: PathBuf,
}

/// A change to one group as a whole, or to its disks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupRequest {
    /// `group create`: makes a group of these disks.
    Create {
        /// The first disks of the group.
        disks: Vec<NamedDevice>,
        /// Whether to use devices even if they have contents.
        force: bool,
        /// Size of the private area when it is not the default.
        area: Option<Sectors>,
    },
    /// `group add`: adds disks.
    Add {
        /// The disks to add.
        disks: Vec<NamedDevice>,
        /// Whether to use devices even if they have contents.
        force: bool,
    },
    /// `group remove-disk`: removes the disk with this media name.
    RemoveDisk(Name),
    /// `group replace-disk`: replaces a disk and fills the new one.
    ReplaceDisk {
        /// The media name of the disk to replace.
        media: Name,
        /// The device that takes its place.
        device: PathBuf,
        /// Whether to use the device even if it has contents.
        force: bool,
    },
    /// `group restore-label`: writes the lost label of a disk again.
    RestoreLabel {
        /// The media name of the disk.
        media: Name,
        /// The device that it is.
        device: PathBuf,
        /// Whether the administrator vouches for what is on it.
        intact: bool,
    },
    /// `disk resize`: adds the new space of the disk with this media name.
    ResizeDisk(Name),
    /// `group destroy`: destroys the group with its volumes and erases its labels.
    Destroy,
    /// `group import`: takes the group over for this machine, or renames it.
    Import {
        /// The new name of the group, if it is to have one.
        name: Option<Name>,
        /// Whether to take it from another host that has it.
        foreign: bool,
        /// Whether to give up disks that are missing.
        missing: bool,
    },
    /// `group split|move|join`: hands disks over to another group, with the volumes on them.
    HandOver {
        /// The group that receives them.
        to: Receiver,
        /// What goes.
        what: What,
        /// Whether what cannot stay behind goes, too.
        expand: bool,
        /// Whether volumes that were started are started in the other group.
        start: bool,
    },
    /// `group deport`: releases the group, so that another machine can import it.
    Deport,
    /// `group choose`: resolves a split brain in favour of one side.
    Choose {
        /// The side that wins: the start of its digest, or one of its devices.
        side: String,
    },
}

/// The group that receives what another one hands over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Receiver {
    /// A new group of this name.
    New(Name),
    /// The group with this name.
    Existing(Name),
}

impl Receiver {
    /// The name of the group.
    pub fn name(&self) -> &Name {
        match self {
            Receiver::New(name) | Receiver::Existing(name) => name,
        }
    }
}

/// What a group hands over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// These volumes, and the disks with these media names.
    These(Vec<Name>),
    /// All that it has.
    All,
}

/// The relations of a volume that `snapclear` ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Relations {
    /// The only one that can be meant: that of a snapshot to its original, or that of an original
    /// to its only snapshot.
    TheOne,
    /// The relation to this volume.
    To(Name),
    /// All relations of the volume.
    All,
}

/// The volumes that `snapshot` splits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Splits {
    /// Every volume of the group that is not itself a snapshot; fails when any has no SNAPDONE leg.
    All,
    /// The listed volumes.
    These(Vec<Split>),
    /// VxVM's ambiguous pair. The second word names the snapshot if no volume has that name;
    /// otherwise it is a second volume to split.
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

/// The complete legs that `snapshot` splits off a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Legs {
    /// This many, in the order in which they were attached.
    Count(usize),
    /// This many of those that lie on these disks and on no other.
    On(usize, Vec<Name>),
    /// The plexes with these names, each from one of the volumes. A volume that has none of them
    /// gives up one leg.
    Named(Vec<Name>),
}

/// The side whose contents win in a `snapback`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Winner {
    /// The original's: the snapshot is brought up to date.
    Original,
    /// The snapshot's: the original is restored.
    Snapshot,
}

/// The state to which `plex convert` changes a plex.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Convert {
    /// Turn a data plex into a snapshot leg.
    SnapDone,
    /// Turn a snapshot leg into a data plex.
    Active,
}

/// The parts of a volume that have failed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lost {
    /// The failed plexes, by number.
    pub plexes: Vec<u16>,
    /// Whether the dirty region log is lost.
    pub log: bool,
    /// Whether the change log of legs that come back is lost.
    pub changes: bool,
    /// The failed copies of the map, by position in the DCO. If all have failed, tracking ends.
    pub maps: Vec<usize>,
}

/// An observation of the kernel that has to be recorded or acted on. `recover` produces it, never a
/// command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// All legs of this volume that are being attached are in sync.
    Attached(VolumeId),
    /// The mirror of this volume's complete plexes is in sync again.
    Resynced(VolumeId),
    /// Legs come back, and their change log still lacks the writes that were made before it came
    /// into use.
    Inexact(VolumeId),
    /// These parts of this volume have failed.
    Failed(VolumeId, Lost),
}
