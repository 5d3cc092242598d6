//! `start`

use crate::app::Command;
use crate::model::Name;
use crate::plan::request::{Request, Selection};
use clap::Args;

/// Start volumes: create their devices
///
/// A disk that is missing stops only the volumes that need it. Snapshot legs that were not complete are removed.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub(super) struct Start {
    /// The volumes
    #[arg(value_name = "VOL", value_parser = Name::parse)]
    volumes: Vec<Name>,
    /// All volumes of the group
    #[arg(long)]
    all: bool,
    /// All volumes of all groups of this machine, as at boot
    #[arg(long)]
    auto: bool,
}

impl Start {
    pub(super) fn command(self) -> Command {
        match self {
            Start { auto: true, .. } => Command::StartAuto,
            Start { all: true, .. } => Command::Change(Request::Start(Selection::All)),
            Start { volumes, .. } => Command::Change(Request::Start(Selection::Named(volumes))),
        }
    }
}
