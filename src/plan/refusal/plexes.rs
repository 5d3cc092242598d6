//! Plexes that are not in the state that a request requires.

use super::{InGroup, Reason, Shown, Verb, wait_or_give_up};
use crate::advice::{Advised, Hint, Of};
use crate::error::Kind;
use crate::model::{Name, PlexState};
use crate::table::status::MirrorStatus;

/// A plex is not in the state that the request requires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plexes {
    /// The plex is coming back with a change log. No other leg can join its mirror meanwhile.
    Returning {
        /// The volume of the plex.
        volume: InGroup,
        /// Name of the plex.
        plex: Name,
    },
    /// The plex is being attached to its volume.
    BeingAttached {
        /// The volume of the plex.
        volume: InGroup,
        /// Name of the plex.
        plex: Name,
        /// Whether the volume is a snapshot that is to come back. Its legs are not given up for
        /// that.
        of_snapshot: bool,
    },
    /// The transition table of plex states (`model::state`) refuses the operation in the plex's
    /// state.
    NotInState {
        /// The volume of the plex.
        volume: InGroup,
        /// Name of the plex.
        plex: Name,
        /// Present state of the plex.
        state: PlexState,
        /// The operation that requires another state.
        verb: Verb,
    },
    /// The plex cannot be filled, because it lies on a missing disk.
    DiskMissing {
        /// Name of the plex.
        plex: Name,
        /// The disk's media name.
        disk: Option<Name>,
    },
    /// The plex cannot be converted while its mirror is being resynchronised.
    NotComplete {
        /// The volume of the plex.
        volume: InGroup,
        /// Name of the plex.
        plex: Name,
    },
    /// The plex is to be detached and is a snapshot leg.
    SnapshotLeg {
        /// The volume of the plex.
        volume: InGroup,
        /// Name of the plex.
        plex: Name,
        /// Present state of the plex.
        state: PlexState,
    },
    /// A dirty region log is named instead of a plex.
    Log {
        /// The volume of the plex.
        volume: InGroup,
        /// The name that `print` shows for the log.
        log: Name,
    },
    /// The plex is the last complete data plex of its volume.
    LastComplete {
        /// The volume of the plex.
        volume: InGroup,
        /// Name of the plex.
        plex: Name,
        /// The disks that are missing and have the other ones.
        away: Vec<Shown>,
    },
    /// The plex is named to be split off, and is not a complete snapshot leg.
    NotDone {
        /// The volume of the plex.
        volume: InGroup,
        /// Name of the plex.
        plex: Name,
        /// Present state of the plex.
        state: PlexState,
    },
    /// A leg is recorded as complete, but is not in sync by the kernel's status.
    NotInSync {
        /// The volume of the plex.
        volume: InGroup,
        /// Name of the plex.
        leg: Name,
        /// The kernel's status of the leg's mirror, if there is one.
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
                format!("plex '{plex}' is being resynchronised with '{volume}'")
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
                "plex '{plex}' of '{volume}' is not complete: its mirror is still being resynchronised"
            ),
            Plexes::SnapshotLeg {
                volume,
                plex,
                state,
            } => format!(
                "plex '{plex}' of '{volume}' is a snapshot leg ({state}) and has no earlier contents to keep"
            ),
            Plexes::Log { volume, log } => {
                format!("'{log}' is the dirty region log of '{volume}' and not a plex")
            }
            Plexes::LastComplete { volume, plex, away } if away.is_empty() => {
                format!("plex '{plex}' is the last complete data plex of '{volume}'")
            }
            Plexes::LastComplete { volume, plex, away } => {
                let away: Vec<String> = away.iter().map(|disk| format!("'{disk}'")).collect();
                format!(
                    "plex '{plex}' is the last complete data plex of '{volume}' that is here: disk {} is missing",
                    away.join(", ")
                )
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
            Plexes::LastComplete { away, .. } if !away.is_empty() => {
                Some("bring the disk back, or remove the plex on it".into())
            }
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

/// Advice for a plex that is to be split off and is not SNAPDONE.
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
