//! Volumes that are not in the state that something takes, and devices that are in their way.

use super::{InGroup, Reason, Verb, list, quoted};
use crate::advice::{Advised, Choice, Hint, Of};
use crate::error::Kind;
use crate::model::{DmName, DmUuid, Name, VolumeId};

/// A volume is not in the state that it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Volumes {
    /// The name of a new volume is in use.
    NameTaken {
        /// It.
        volume: InGroup,
        /// Whether a pattern without `%d` made it.
        by_pattern: bool,
    },
    /// The name of a new volume is one that device-mapper would have twice.
    NameCollides {
        /// It.
        volume: InGroup,
        /// Whose inner device may be called so, or the other way round.
        other: Name,
    },
    /// It has no devices in this boot.
    NotStarted {
        /// It.
        volume: InGroup,
    },
    /// Somebody has it open.
    Open {
        /// Its identity.
        id: VolumeId,
        /// Its name.
        volume: InGroup,
        /// What that is in the way of.
        verb: Verb,
    },
    /// It was to be removed and has snapshot legs.
    HasLegs {
        /// It.
        volume: InGroup,
        /// They.
        legs: Vec<Name>,
    },
    /// It was to be removed and is the original of snapshots.
    HasSnapshots {
        /// It.
        volume: InGroup,
        /// They.
        snapshots: Vec<Name>,
    },
    /// It was to grow, and the map of its changes cannot.
    Tracked {
        /// It.
        volume: InGroup,
    },
    /// A snapshot leg was to be split off while its plexes are being made equal.
    SplitWhileUnequal {
        /// It.
        volume: InGroup,
    },
    /// Contents were to be exchanged while plexes are being made equal.
    ExchangeWhileUnequal {
        /// The original.
        original: InGroup,
    },
    /// The tracking of changes was to end while legs come back by it.
    LegsReturning {
        /// It.
        volume: InGroup,
    },
    /// It cannot be started without a complete data plex.
    CannotStart {
        /// It.
        volume: InGroup,
        /// The disks that are missing, one for each plex that lies on one.
        lost: Vec<Name>,
        /// A snapshot leg that is complete and here.
        leg: Option<Name>,
    },
    /// It is not started without the plex that the others were being made equal to.
    SourceMissing {
        /// It.
        volume: InGroup,
        /// The plex.
        source: Name,
        /// The disk that it lies on.
        disk: Name,
    },
    /// It lies on disks that are missing.
    DisksMissing {
        /// It.
        volume: InGroup,
        /// They, by media name.
        disks: Vec<Name>,
    },
}

impl Volumes {
    /// The volume that somebody has open.
    pub(super) fn open(&self) -> Option<VolumeId> {
        match self {
            Volumes::Open { id, .. } => Some(*id),
            Volumes::NameTaken { .. }
            | Volumes::NameCollides { .. }
            | Volumes::NotStarted { .. }
            | Volumes::HasLegs { .. }
            | Volumes::HasSnapshots { .. }
            | Volumes::Tracked { .. }
            | Volumes::SplitWhileUnequal { .. }
            | Volumes::ExchangeWhileUnequal { .. }
            | Volumes::LegsReturning { .. }
            | Volumes::CannotStart { .. }
            | Volumes::SourceMissing { .. }
            | Volumes::DisksMissing { .. } => None,
        }
    }

    /// The volume that it is about.
    fn volume(&self) -> &InGroup {
        match self {
            Volumes::NameTaken { volume, .. }
            | Volumes::NameCollides { volume, .. }
            | Volumes::NotStarted { volume }
            | Volumes::Open { volume, .. }
            | Volumes::HasLegs { volume, .. }
            | Volumes::HasSnapshots { volume, .. }
            | Volumes::Tracked { volume }
            | Volumes::SplitWhileUnequal { volume }
            | Volumes::ExchangeWhileUnequal { original: volume }
            | Volumes::LegsReturning { volume }
            | Volumes::CannotStart { volume, .. }
            | Volumes::SourceMissing { volume, .. }
            | Volumes::DisksMissing { volume, .. } => volume,
        }
    }
}

impl Reason for Volumes {
    fn kind(&self) -> Kind {
        match self {
            Volumes::NameTaken { .. } | Volumes::NameCollides { .. } => Kind::Exists,
            Volumes::Open { .. } | Volumes::HasLegs { .. } | Volumes::HasSnapshots { .. } => {
                Kind::InUse
            }
            Volumes::NotStarted { .. }
            | Volumes::Tracked { .. }
            | Volumes::SplitWhileUnequal { .. }
            | Volumes::ExchangeWhileUnequal { .. }
            | Volumes::LegsReturning { .. } => Kind::NotReady,
            Volumes::CannotStart { .. }
            | Volumes::SourceMissing { .. }
            | Volumes::DisksMissing { .. } => Kind::Device,
        }
    }

    fn object(&self) -> Option<String> {
        match self {
            Volumes::ExchangeWhileUnequal { .. } => None,
            Volumes::NameTaken { .. }
            | Volumes::NameCollides { .. }
            | Volumes::NotStarted { .. }
            | Volumes::Open { .. }
            | Volumes::HasLegs { .. }
            | Volumes::HasSnapshots { .. }
            | Volumes::Tracked { .. }
            | Volumes::SplitWhileUnequal { .. }
            | Volumes::LegsReturning { .. }
            | Volumes::CannotStart { .. }
            | Volumes::SourceMissing { .. }
            | Volumes::DisksMissing { .. } => Some(self.volume().to_string()),
        }
    }

    fn message(&self) -> String {
        let path = self.volume();
        match self {
            Volumes::NameTaken { volume, .. } => {
                format!(
                    "group '{}' has a volume '{}' already",
                    volume.group, volume.name
                )
            }
            Volumes::NameCollides { volume, other } => format!(
                "'{}' is a name that an inner device of volume '{other}' may get, or the other way round",
                volume.name
            ),
            Volumes::NotStarted { .. } => format!("volume '{path}' is not started"),
            Volumes::Open { verb, .. } => format!("volume '{path}' is open and cannot be {verb}"),
            Volumes::HasLegs { legs, .. } => {
                format!("volume '{path}' has snapshot legs ({})", list(legs))
            }
            Volumes::HasSnapshots { snapshots, .. } => {
                format!("volume '{path}' is the original of {}", list(snapshots))
            }
            Volumes::Tracked { .. } => format!(
                "the changes of '{path}' are tracked for a snapback, and a map of changes cannot grow"
            ),
            Volumes::SplitWhileUnequal { .. } => {
                format!("the plexes of '{path}' are still being made equal after an unclean stop")
            }
            Volumes::ExchangeWhileUnequal { .. } => {
                format!("the plexes of '{path}' are still being made equal")
            }
            Volumes::LegsReturning { .. } => {
                format!("legs of '{path}' are coming back by the map of its changes")
            }
            Volumes::CannotStart { lost, .. } if lost.is_empty() => {
                format!("volume '{path}' cannot be started: it has no complete data plex")
            }
            Volumes::CannotStart { lost, .. } => {
                format!(
                    "volume '{path}' cannot be started: disk {} is missing",
                    quoted(lost)
                )
            }
            Volumes::SourceMissing { source, disk, .. } => format!(
                "disk '{disk}' is missing, and the other plexes of '{path}' were still being made equal to '{source}' on it"
            ),
            Volumes::DisksMissing { disks, .. } => {
                format!(
                    "volume '{path}' needs disk {}, which is missing",
                    quoted(disks)
                )
            }
        }
    }

    fn hint(&self) -> Option<Hint> {
        let of = || self.volume().of();
        Some(match self {
            Volumes::ExchangeWhileUnequal { .. } => return None,
            Volumes::NameTaken {
                by_pattern: true, ..
            } => "choose another name or use %d in the pattern".into(),
            Volumes::NameTaken {
                by_pattern: false, ..
            }
            | Volumes::NameCollides { .. } => "choose another name".into(),
            Volumes::NotStarted { .. } => Hint::from("start it with ").line(Advised::Start {
                of: of(),
                force: false,
            }),
            Volumes::Open { .. } => "unmount it or stop its users first".into(),
            Volumes::HasLegs { .. } => Hint::from("give them up with ")
                .line(Advised::SnapAbort(Of::verb()))
                .and(", or remove them with it by ")
                .choice(Choice::Recursive),
            Volumes::HasSnapshots { .. } => Hint::from("with ")
                .choice(Choice::Recursive)
                .and(" it goes and its snapshots stay as independent volumes; or ")
                .line(Advised::SnapClear {
                    of: Of::verb(),
                    all: false,
                })
                .and(" them first"),
            Volumes::Tracked { volume } => Hint::from("bring the snapshots back first (")
                .line(Advised::SnapPrint(Of::group(&volume.group)))
                .and("), or clear them with snapclear"),
            Volumes::SplitWhileUnequal { .. } => {
                Hint::from("wait with ").line(Advised::SnapWait(of()))
            }
            Volumes::LegsReturning { .. } => Hint::from("wait with ")
                .line(Advised::SnapWait(of()))
                .and(", or give it up with snapabort"),
            Volumes::CannotStart { leg: Some(leg), .. } => {
                Hint::from(format!("snapshot leg '{leg}' is complete: "))
                    .line(Advised::ToActive(Of::name(leg)))
                    .and(" makes it the data plex")
            }
            Volumes::CannotStart { leg: None, .. } => {
                "bring the disk back and start it again".into()
            }
            Volumes::SourceMissing { .. } => Hint::from("bring the disk back and start it again; ")
                .line(Advised::Start {
                    of: of(),
                    force: true,
                })
                .and(" goes on with what the others hold, which lacks what was written last"),
            Volumes::DisksMissing { .. } => Hint::from("plug it in; if it is lost for good, ")
                .line(Advised::Stop(of()))
                .and(" and ")
                .line(Advised::Remove(of()))
                .and(" work without it"),
        })
    }
}

/// Devices in the kernel that are in the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Devices {
    /// Somebody else's device has a name that one of ours needs.
    NameTaken {
        /// The name.
        name: DmName,
    },
    /// A device that was ours is open, and a new one needs its UUID.
    Occupied {
        /// The new one.
        new: DmName,
        /// The old one, under the name that it has now.
        held: DmName,
        /// The UUID of both.
        uuid: DmUuid,
    },
}

impl Reason for Devices {
    fn kind(&self) -> Kind {
        match self {
            Devices::NameTaken { .. } => Kind::Exists,
            Devices::Occupied { .. } => Kind::InUse,
        }
    }

    fn object(&self) -> Option<String> {
        match self {
            Devices::NameTaken { name } | Devices::Occupied { held: name, .. } => {
                Some(name.to_string())
            }
        }
    }

    fn message(&self) -> String {
        match self {
            Devices::NameTaken { name } => format!(
                "a device-mapper device named '{name}' exists already and is not part of this volume"
            ),
            Devices::Occupied { new, held, .. } => format!(
                "device '{new}' cannot be made as long as another process has the one open that was in its place, '{held}'"
            ),
        }
    }

    fn hint(&self) -> Option<Hint> {
        Some(match self {
            Devices::NameTaken { name } => {
                format!("see 'dmsetup info {name}'; rename the volume or remove that device").into()
            }
            Devices::Occupied { .. } => {
                "stop that process; the old device goes by itself when it is closed".into()
            }
        })
    }
}
