//! `start`

use crate::app::{Command, Occasion};
use crate::model::Name;
use crate::plan::request::{Request, Selection};
use clap::{ArgGroup, Args};

/// Start volumes: create their devices
///
/// A disk that is missing stops only the volumes that need it. Snapshot legs that were not complete
/// are removed.
#[derive(Args)]
#[group(skip)]
#[command(group = ArgGroup::new("which").required(true))]
pub(super) struct Start {
    /// The volumes
    #[arg(value_name = "VOL", value_parser = Name::parse, group = "which")]
    volumes: Vec<Name>,
    /// All volumes of the group
    #[arg(long, group = "which")]
    all: bool,
    /// All volumes of all groups of this machine, as at boot; with -g of that group
    #[arg(long, group = "which")]
    auto: bool,
    /// With --auto: only volumes of which a disk has appeared since the last time, and all of whose
    /// disks are here; the others wait
    #[arg(long, requires = "auto")]
    appeared: bool,
    /// With --auto: only volumes that wait, with the disks that are here
    #[arg(long, requires = "auto", conflicts_with = "appeared")]
    waiting: bool,
    /// Although half of the group's disks or more are missing, or the plex that the others were
    /// being made equal to
    #[arg(long, conflicts_with = "auto")]
    force: bool,
}

impl Start {
    pub(super) fn command(self) -> Command {
        match self {
            Start {
                auto: true,
                appeared,
                waiting,
                ..
            } => Command::StartAuto(match (appeared, waiting) {
                (true, _) => Occasion::Appeared,
                (_, true) => Occasion::Overdue,
                _ => Occasion::Any,
            }),
            Start {
                all: true, force, ..
            } => Command::Change(Request::Start {
                volumes: Selection::All,
                force,
            }),
            Start { volumes, force, .. } => Command::Change(Request::Start {
                volumes: Selection::Named(volumes),
                force,
            }),
        }
    }
}
