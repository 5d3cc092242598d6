//! Plexes that are not in the state that something takes.

use super::{InGroup, Reason, Verb, wait_or_give_up};
use crate::advice::{Advised, Hint, Of};
use crate::error::Kind;
use crate::model::{Name, PlexState};
use crate::table::status::MirrorStatus;

/// A plex is not in the state that it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plexes {
    /// It is coming back by a log of what has changed, which no other leg can join.
    Returning {
        /// Its volume.
        volume: InGroup,
        /// It.
        plex: Name,
    },
    /// It is on its way to its volume.
    BeingAttached {
        /// Its volume.
        volume: InGroup,
        /// It.
        plex: Name,
        /// Whether the volume is a snapshot that is to come back: its legs are not given up for
        /// that.
        of_snapshot: bool,
    },
    /// The table of plex states (`model::state`) has no way from its state.
    NotInState {
        /// Its volume.
        volume: InGroup,
        /// It.
        plex: Name,
        /// The state that it is in.
        state: PlexState,
        /// What it takes another one for.
        verb: Verb,
    },
    /// It cannot be filled on a disk that is missing.
    DiskMissing {
        /// It.
        plex: Name,
        /// The disk's media name.
        disk: Option<Name>,
    },
    /// It cannot be converted while its mirror is being made equal.
    NotComplete {
        /// Its volume.
        volume: InGroup,
        /// It.
        plex: Name,
    },
    /// A snapshot leg was to be detached.
    SnapshotLeg {
        /// Its volume.
        volume: InGroup,
        /// It.
        plex: Name,
        /// The state that it is in.
        state: PlexState,
    },
    /// A dirty region log was named in the place of a plex.
    Log {
        /// Its volume.
        volume: InGroup,
        /// What `print` calls it.
        log: Name,
    },
    /// Without it its volume would have no complete data plex.
    LastComplete {
        /// Its volume.
        volume: InGroup,
        /// It.
        plex: Name,
    },
    /// It was named to be split off, and is no complete snapshot leg.
    NotDone {
        /// Its volume.
        volume: InGroup,
        /// It.
        plex: Name,
        /// The state that it is in.
        state: PlexState,
    },
    /// A leg that is recorded as complete is not equal to its volume as the kernel has it.
    NotInSync {
        /// Its volume.
        volume: InGroup,
        /// It.
        leg: Name,
        /// What the kernel says of its mirror.
        status: Option<MirrorStatus>,
    },
}

impl Reason for Plexes {
    fn kind(&self) -> Kind {
        match self {
            Plexes::Returning { .. }
            | Plexes::BeingAttached { .. }
            | Plexes::NotInState { .. }
            | Plexes::NotComplete { .. }
            | Plexes::NotDone { .. }
            | Plexes::NotInSync { .. } => Kind::NotReady,
            Plexes::SnapshotLeg { .. } | Plexes::Log { .. } | Plexes::LastComplete { .. } => {
                Kind::Failed
            }
            Plexes::DiskMissing { .. } => Kind::Device,
        }
    }

    fn object(&self) -> Option<String> {
        match self {
            Plexes::Returning { volume, .. }
            | Plexes::BeingAttached { volume, .. }
            | Plexes::NotInSync { volume, .. } => Some(volume.to_string()),
            Plexes::NotInState { plex, .. }
            | Plexes::DiskMissing { plex, .. }
            | Plexes::NotComplete { plex, .. }
            | Plexes::SnapshotLeg { plex, .. }
            | Plexes::Log { log: plex, .. }
            | Plexes::LastComplete { plex, .. }
            | Plexes::NotDone { plex, .. } => Some(plex.to_string()),
        }
    }

    fn message(&self) -> String {
        match self {
            Plexes::Returning { volume, plex } => {
                format!("plex '{plex}' is coming back to '{volume}'")
            }
            Plexes::BeingAttached { volume, plex, .. } => {
                format!("plex '{plex}' of '{volume}' is being attached")
            }
            Plexes::NotInState {
                volume,
                plex,
                state,
                verb,
            } => {
                format!("plex '{plex}' of '{volume}' is {state} and cannot be {verb}")
            }
            Plexes::DiskMissing { plex, disk } => {
                let media = disk.as_ref().map_or("", Name::as_str);
                format!("plex '{plex}' lies on disk '{media}', which is missing")
            }
            Plexes::NotComplete { volume, plex } => format!(
                "plex '{plex}' of '{volume}' is not complete: its mirror is still being made equal"
            ),
            Plexes::SnapshotLeg {
                volume,
                plex,
                state,
            } => format!(
                "plex '{plex}' of '{volume}' is a snapshot leg ({state}) and has no old contents worth keeping"
            ),
            Plexes::Log { volume, log } => {
                format!("'{log}' is the dirty region log of '{volume}' and not a plex")
            }
            Plexes::LastComplete { volume, plex } => {
                format!("plex '{plex}' is the last complete data plex of '{volume}'")
            }
            Plexes::NotDone {
                volume,
                plex,
                state,
            } => format!(
                "plex '{plex}' of '{volume}' is {state}, and only a SNAPDONE leg can be split off"
            ),
            Plexes::NotInSync {
                volume,
                leg,
                status,
            } => {
                let shown = status.as_ref().map_or_else(
                    || "unknown".to_owned(),
                    |s| format!("{}/{} {}", s.done, s.total, s.letters()),
                );
                format!("leg '{leg}' of '{volume}' is not in sync: the kernel says {shown}")
            }
        }
    }

    fn hint(&self) -> Option<Hint> {
        match self {
            Plexes::NotInState { .. } | Plexes::DiskMissing { .. } | Plexes::Log { .. } => None,
            Plexes::BeingAttached {
                of_snapshot: true, ..
            } => Some("wait for it".into()),
            Plexes::Returning { volume, .. }
            | Plexes::BeingAttached {
                volume,
                of_snapshot: false,
                ..
            } => Some(wait_or_give_up(volume)),
            Plexes::NotComplete { volume, .. } => {
                Some(Hint::from("wait with ").line(Advised::SnapWait(volume.of())))
            }
            Plexes::SnapshotLeg { .. } => Some(
                Hint::from("split it off with ")
                    .line(Advised::Snapshot {
                        of: Of::verb(),
                        plex: None,
                    })
                    .and(", or give it up with ")
                    .line(Advised::SnapAbort(Of::verb()))
                    .and(" or ")
                    .line(Advised::PlexRemove(Of::verb())),
            ),
            Plexes::LastComplete { .. } => Some(
                Hint::from("add another one with ")
                    .line(Advised::Mirror {
                        of: Of::verb(),
                        avoid: None,
                    })
                    .and(", or remove the volume"),
            ),
            Plexes::NotDone {
                volume,
                plex,
                state,
            } => Some(what_makes_it_done(volume, plex, *state)),
            Plexes::NotInSync { volume, .. } => {
                Some(Hint::from(Advised::Print(volume.of())).and(" shows which leg failed"))
            }
        }
    }
}

/// What can be done about a plex that was to be split off.
fn what_makes_it_done(volume: &InGroup, plex: &Name, state: PlexState) -> Hint {
    match state {
        PlexState::SnapAtt => Hint::from("wait with ").line(Advised::SnapWait(volume.of())),
        PlexState::Active => Hint::from(Advised::ToSnapDone(volume.beside(plex)))
            .and(" makes a data plex that is not the only one a leg"),
        PlexState::SnapDone
        | PlexState::Attaching
        | PlexState::Reviving
        | PlexState::Stale
        | PlexState::Failed => Hint::from(Advised::Print(volume.of())).and(" shows the legs"),
    }
}
