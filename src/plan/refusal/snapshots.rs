//! Snapshots, the legs that they are made of, and their originals.

use super::{InGroup, Reason, Shown, list};
use crate::advice::{Advised, Hint, Of};
use crate::error::Kind;
use crate::model::{Name, Sectors};

/// A snapshot, its legs or its original do not permit the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Snapshots {
    /// A volume to bring back has no original.
    NoOriginal {
        /// The snapshot or volume.
        volume: InGroup,
    },
    /// The original of a snapshot is in another group.
    OriginalApart {
        /// The snapshot.
        snapshot: InGroup,
        /// The original, as it was called when they were parted.
        original: InGroup,
    },
    /// The recorded original is no longer in the group.
    OriginalGone {
        /// The snapshot.
        snapshot: InGroup,
    },
    /// The snapshot and its original differ in size, because one of them has grown.
    SizesDiffer {
        /// The snapshot.
        snapshot: InGroup,
        /// Its size.
        size: Sectors,
        /// Its original.
        original: InGroup,
        /// The size of the original.
        original_size: Sectors,
    },
    /// More plexes are to come back than are complete.
    TooFewComplete {
        /// The snapshot.
        snapshot: InGroup,
        /// How many data plexes are complete.
        complete: usize,
        /// How many are to come back.
        wanted: usize,
    },
    /// The snapshot would be removed, and is itself an original.
    IsOriginal {
        /// The snapshot or volume.
        snapshot: InGroup,
        /// The names of its own snapshots.
        of: Vec<Name>,
    },
    /// The snapshot must be frozen, and not everything that rests on the volume can be.
    NotFrozen {
        /// The volume.
        volume: InGroup,
        /// The reason, as the search for the users of the volume gives it.
        reason: String,
    },
    /// Fewer legs are complete than are to be split off.
    NotEnough {
        /// The volume.
        volume: InGroup,
        /// How many were wanted.
        wanted: usize,
        /// How many are SNAPDONE.
        done: usize,
        /// How many are SNAPATT.
        attaching: usize,
    },
    /// Enough legs are complete, but not on the requested disks.
    LegsElsewhere {
        /// The volume.
        volume: InGroup,
        /// How many were wanted.
        wanted: usize,
        /// How many complete legs lie on these disks.
        there: usize,
        /// The requested disks, by media name. A leg must lie on no other.
        disks: Vec<Name>,
        /// All complete legs, each with its disks.
        legs: Vec<(Name, Vec<Shown>)>,
    },
    /// More legs are to be given up than there are.
    TooFewLegs {
        /// The volume.
        volume: InGroup,
        /// How many there are.
        legs: usize,
        /// How many are to be given up.
        wanted: usize,
    },
    /// A relation is to end, and the volume has none.
    NoRelation {
        /// The volume.
        volume: InGroup,
    },
    /// The relation between two volumes is to end, and there is none.
    Unrelated {
        /// The volume.
        volume: InGroup,
        /// The other one.
        peer: InGroup,
    },
}

impl Reason for Snapshots {
    fn kind(&self) -> Kind {
        match self {
            Self::NoOriginal { .. }
            | Self::SizesDiffer { .. }
            | Self::TooFewComplete { .. }
            | Self::NotEnough { .. }
            | Self::LegsElsewhere { .. }
            | Self::TooFewLegs { .. } => Kind::NotReady,
            Self::OriginalApart { .. } => Kind::NotReady,
            Self::OriginalGone { .. } => Kind::Failed,
            Self::IsOriginal { .. } | Self::NotFrozen { .. } => Kind::InUse,
            Self::NoRelation { .. } | Self::Unrelated { .. } => Kind::NotFound,
        }
    }

    fn object(&self) -> Option<String> {
        match self {
            Self::NoOriginal { volume }
            | Self::OriginalApart {
                snapshot: volume, ..
            }
            | Self::OriginalGone { snapshot: volume }
            | Self::SizesDiffer {
                snapshot: volume, ..
            }
            | Self::TooFewComplete {
                snapshot: volume, ..
            }
            | Self::IsOriginal {
                snapshot: volume, ..
            }
            | Self::NotFrozen { volume, .. }
            | Self::NotEnough { volume, .. }
            | Self::LegsElsewhere { volume, .. }
            | Self::TooFewLegs { volume, .. }
            | Self::NoRelation { volume }
            | Self::Unrelated { volume, .. } => Some(volume.to_string()),
        }
    }

    fn message(&self) -> String {
        match self {
            Self::NoOriginal { volume } => format!(
                "volume '{volume}' is no snapshot, or its relation was cleared: there is nothing to bring it back to"
            ),
            Self::OriginalApart { snapshot, original } => {
                format!("the original of '{snapshot}', '{original}', is in another group")
            }
            Self::OriginalGone { snapshot } => format!("the original of '{snapshot}' is not there"),
            Self::SizesDiffer {
                snapshot,
                size,
                original,
                original_size,
            } => format!(
                "'{snapshot}' is {size} and '{original}' is {original_size}: a snapshot of another size cannot come back"
            ),
            Self::TooFewComplete {
                snapshot,
                complete,
                wanted,
            } => format!(
                "not enough complete plexes in snapshot '{snapshot}': {wanted} wanted, {complete} there"
            ),
            Self::IsOriginal { snapshot, of } => {
                format!("'{snapshot}' is itself the original of {}", list(of))
            }
            Self::NotFrozen { volume, reason } => {
                format!("a snapshot of '{volume}' would not be frozen: {reason}")
            }
            Self::NotEnough {
                volume,
                wanted,
                done,
                attaching,
            } => format!(
                "not enough snapshot legs in '{volume}': {wanted} wanted, {done} SNAPDONE{}",
                still(*attaching)
            ),
            Self::LegsElsewhere {
                volume,
                wanted,
                there,
                disks,
                ..
            } => format!(
                "{there} of the {wanted} wanted legs of '{volume}' lie on {} only",
                list(disks)
            ),
            Self::TooFewLegs {
                volume,
                legs,
                wanted,
            } => {
                format!(
                    "not enough snapshot legs in '{volume}': {wanted} to be given up, {legs} there"
                )
            }
            Self::NoRelation { volume } => {
                format!("volume '{volume}' is neither a snapshot nor the original of one")
            }
            Self::Unrelated { volume, peer } => format!("'{volume}' and '{peer}' have no relation"),
        }
    }

    fn hint(&self) -> Option<Hint> {
        match self {
            Self::OriginalGone { .. }
            | Self::TooFewComplete { .. }
            | Self::TooFewLegs { .. } => None,
            Self::OriginalApart { snapshot, original } => Some(
                Hint::from("bring them together first, as with ").line(Advised::GroupJoin {
                    group: snapshot.group.to_string(),
                    to: original.group.to_string(),
                }),
            ),
            Self::NoOriginal { volume }
            | Self::NoRelation { volume }
            | Self::Unrelated { volume, .. } => Some(
                Hint::from(Advised::SnapPrint(Of::group(&volume.group)))
                    .and(" shows the relations"),
            ),
            Self::SizesDiffer { .. } => Some("grow the smaller one".into()),
            Self::IsOriginal { .. } => Some(
                Hint::from("bring those back first, or ")
                    .line(Advised::SnapClear { of: Of::verb(), all: false })
                    .and(" them"),
            ),
            Self::NotFrozen { .. } => Some(
                "stop or unmount what is named, or name all volumes of a filesystem in one command; without '--require-frozen' the snapshot holds what a crash would leave".into(),
            ),
            Self::NotEnough { volume, attaching: 0, .. } => {
                Some(Hint::from("begin with ").line(Advised::SnapStart(volume.of())))
            }
            Self::NotEnough { volume, .. } => {
                Some(Hint::from("wait with ").line(Advised::SnapWait(volume.of())))
            }
            Self::LegsElsewhere { legs, .. } => {
                Some(format!("its complete legs are {}", places(legs)).into())
            }
        }
    }
}

/// The part of a message on legs that are still being filled; empty if there are none.
fn still(attaching: usize) -> String {
    match attaching {
        0 => String::new(),
        n => format!(", {n} still SNAPATT"),
    }
}

/// The disks of each leg, in the format of the report of a change.
fn places(legs: &[(Name, Vec<Shown>)]) -> String {
    let place = |(leg, disks): &(Name, Vec<Shown>)| {
        let disks: Vec<String> = disks.iter().map(Shown::to_string).collect();
        format!("'{leg}' on {}", disks.join(","))
    };
    let places: Vec<String> = legs.iter().map(place).collect();
    places.join(", ")
}
