//! `stop`

use crate::app::Command;
use crate::model::Name;
use crate::plan::request::{Request, Selection};
use clap::Args;

/// Stop volumes: remove their devices, keep their contents
///
/// A volume that is open or mounted is refused, and the opener named.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub(super) struct Stop {
    /// The volumes
    #[arg(value_name = "VOL", value_parser = Name::parse)]
    volumes: Vec<Name>,
    /// All volumes of the group
    #[arg(long)]
    all: bool,
}

impl Stop {
    pub(super) fn command(self) -> Command {
        Command::Change(Request::Stop(if self.all { Selection::All } else { Selection::Named(self.volumes) }))
    }
}
