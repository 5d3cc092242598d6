//! `stop`

use crate::app::Command;
use crate::model::Name;
use crate::plan::request::{Request, Selection};
use clap::Args;

/// Stop volumes: remove their devices, keep their contents
///
/// A volume that is open or mounted is refused, and the opener named; with --all or --auto it stops
/// no other.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub(super) struct Stop {
    /// The volumes
    #[arg(value_name = "VOL", value_parser = Name::parse)]
    volumes: Vec<Name>,
    /// All volumes of the group that are not open
    #[arg(long)]
    all: bool,
    /// All volumes of all groups of this machine that are not open, as at shutdown
    #[arg(long)]
    auto: bool,
}

impl Stop {
    pub(super) fn command(self) -> Command {
        match self {
            Stop { auto: true, .. } => Command::StopAuto,
            Stop { all: true, .. } => Command::Change(Request::Stop(Selection::All)),
            Stop { volumes, .. } => Command::Change(Request::Stop(Selection::Named(volumes))),
        }
    }
}
