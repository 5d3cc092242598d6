//! Volumes that are not in the state that a request requires, and devices that are in their way.

use super::{InGroup, Reason, Verb, list, quoted};
use crate::advice::{Advised, Choice, Hint, Of};
use crate::error::Kind;
use crate::model::{DmName, DmUuid, Name, VolumeId};

/// A volume is not in the state that the request requires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Volumes {
    /// The name of a new volume is in use.
    NameTaken {
        /// The volume.
        volume: InGroup,
        /// Whether the name was built from a pattern without `%d`.
        by_pattern: bool,
    },
    /// The name of a new volume collides with the device-mapper name of an inner device.
    NameCollides {
        /// The volume.
        volume: InGroup,
        /// The volume whose inner device may have this name, or whose name an inner device of the
        /// new volume may have.
        other: Name,
    },
    /// The volume has no devices in this boot.
    NotStarted {
        /// The volume.
        volume: InGroup,
    },
    /// The volume is to get a log and has one.
    HasLog {
        /// The volume.
        volume: InGroup,
    },
    /// The volume is to get a log and is no mirror.
    NoMirror {
        /// The volume.
        volume: InGroup,
    },
    /// A process has the volume open.
    Open {
        /// Identity of the volume.
        id: VolumeId,
        /// Name of the volume.
        volume: InGroup,
        /// The operation that requires it to be closed.
        verb: Verb,
    },
    /// The volume is to be removed and has snapshot legs.
    HasLegs {
        /// The volume.
        volume: InGroup,
        /// The names of the legs.
        legs: Vec<Name>,
    },
    /// The volume is to be removed and is the original of snapshots.
    HasSnapshots {
        /// The volume.
        volume: InGroup,
        /// The names of the snapshots.
        snapshots: Vec<Name>,
    },
    /// The volume is to grow while its changes are tracked, and a map cannot grow.
    Tracked {
        /// The volume.
        volume: InGroup,
    },
    /// A snapshot leg is to be split off while the volume's plexes are being resynchronised.
    SplitWhileUnequal {
        /// The volume.
        volume: InGroup,
    },
    /// Contents are to be exchanged while plexes are being resynchronised.
    ExchangeWhileUnequal {
        /// The original.
        original: InGroup,
    },
    /// Tracking is to end while the legs that come back depend on it.
    LegsReturning {
        /// The volume.
        volume: InGroup,
    },
    /// The volume has no complete data plex that is present, and cannot be started without one.
    CannotStart {
        /// The volume.
        volume: InGroup,
        /// The missing disks, one for each plex that lies on one.
        lost: Vec<Name>,
        /// A complete snapshot leg whose disks are present, if there is one.
        leg: Option<Name>,
    },
    /// The plex that the others were being resynchronised from is missing, so the volume is not
    /// started.
    SourceMissing {
        /// The volume.
        volume: InGroup,
        /// The missing plex.
        source: Name,
        /// The disk that it lies on.
        disk: Name,
    },
    /// The volume lies on missing disks.
    DisksMissing {
        /// The volume.
        volume: InGroup,
        /// The missing disks, by media name.
        disks: Vec<Name>,
    },
}

impl Volumes {
    /// The volume that a process has open, if that is the reason.
    pub(super) fn open(&self) -> Option<VolumeId> {
        match self {
            Volumes::Open { id, .. } => Some(*id),
            Volumes::NameTaken { .. }
            | Volumes::NameCollides { .. }
            | Volumes::NotStarted { .. }
            | Volumes::HasLog { .. }
            | Volumes::NoMirror { .. }
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

    /// The volume that the refusal concerns.
    fn volume(&self) -> &InGroup {
        match self {
            Volumes::NameTaken { volume, .. }
            | Volumes::NameCollides { volume, .. }
            | Volumes::NotStarted { volume }
            | Volumes::HasLog { volume }
            | Volumes::NoMirror { volume }
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

/// The disks as the subject of a sentence, with its verb.
fn disks_are(disks: &[Name]) -> String {
    match disks {
        [disk] => format!("disk '{disk}' is"),
        disks => format!("disks {} are", quoted(disks)),
    }
}

impl Reason for Volumes {
    fn kind(&self) -> Kind {
        match self {
            Volumes::NameTaken { .. } | Volumes::NameCollides { .. } | Volumes::HasLog { .. } => {
                Kind::Exists
            }
            Volumes::Open { .. } | Volumes::HasLegs { .. } | Volumes::HasSnapshots { .. } => {
                Kind::InUse
            }
            Volumes::NotStarted { .. }
            | Volumes::NoMirror { .. }
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
            | Volumes::HasLog { .. }
            | Volumes::NoMirror { .. }
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
            Volumes::HasLog { .. } => format!("volume '{path}' has a dirty region log already"),
            Volumes::NoMirror { .. } => {
                format!("volume '{path}' has one data plex, and a dirty region log is for a mirror")
            }
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
                format!(
                    "the plexes of '{path}' are still being resynchronised after an unclean stop"
                )
            }
            Volumes::ExchangeWhileUnequal { .. } => {
                format!("the plexes of '{path}' are still being resynchronised")
            }
            Volumes::LegsReturning { .. } => {
                format!("legs of '{path}' are being brought back by the map of its changes")
            }
            Volumes::CannotStart { lost, .. } if lost.is_empty() => {
                format!("volume '{path}' cannot be started: it has no complete data plex")
            }
            Volumes::CannotStart { lost, .. } => {
                format!(
                    "volume '{path}' cannot be started: {} missing",
                    disks_are(lost)
                )
            }
            Volumes::SourceMissing { source, disk, .. } => format!(
                "disk '{disk}' is missing, and the other plexes of '{path}' were still being resynchronised with '{source}' on it"
            ),
            Volumes::DisksMissing { disks, .. } => {
                format!(
                    "volume '{path}' cannot be used: {} missing",
                    disks_are(disks)
                )
            }
        }
    }

    fn hint(&self) -> Option<Hint> {
        let of = || self.volume().of();
        Some(match self {
            Volumes::ExchangeWhileUnequal { .. } | Volumes::HasLog { .. } => return None,
            Volumes::NoMirror { .. } => Hint::from("make it one with ").line(Advised::Mirror {
                of: of(),
                avoid: None,
            }),
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
                .and(" it is removed and its snapshots stay as independent volumes; or ")
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
                .and(" continues with the others, which lack the last writes"),
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
    /// A device that is not breakoff's has a name that a device of breakoff needs.
    NameTaken {
        /// The name.
        name: DmName,
    },
    /// A process has an old device of breakoff open, and a new device needs its UUID.
    Occupied {
        /// Name of the new device.
        new: DmName,
        /// Present name of the old device.
        held: DmName,
        /// The UUID of both devices.
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
                "device '{new}' cannot be created while another process has its predecessor '{held}' open"
            ),
        }
    }

    fn hint(&self) -> Option<Hint> {
        Some(match self {
            Devices::NameTaken { name } => {
                format!("see 'dmsetup info {name}'; rename the volume or remove that device").into()
            }
            Devices::Occupied { .. } => {
                "stop that process; the old device is removed when it is closed".into()
            }
        })
    }
}
