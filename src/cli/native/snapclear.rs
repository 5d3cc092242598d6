//! `snapclear`

use crate::app::Command;
use crate::model::Name;
use crate::plan::request::Request;
use clap::Args;

/// End the relation between a snapshot and its original
///
/// Both go on as volumes of their own; no data are touched. Named by its original, all snapshots of it are cleared.
#[derive(Args)]
pub(super) struct SnapClear {
    /// A snapshot, or an original
    #[arg(value_name = "SNAP|VOL", value_parser = Name::parse)]
    volume: Name,
}

impl SnapClear {
    pub(super) fn command(self) -> Command {
        Command::Change(Request::SnapClear { volume: self.volume, only: None })
    }
}
