//! `snapprint`

use crate::app::Command;
use crate::model::Name;
use clap::Args;

/// Print which snapshot was taken of which volume, when, and how
///
/// CONSISTENCY is 'frozen' when mounted filesystems were frozen at that instant, else 'crash'. STALL is how long the split kept the
/// original's I/O waiting.
#[derive(Args)]
pub(super) struct SnapPrint {
    /// Only relations of these volumes, originals or snapshots
    #[arg(value_name = "VOL", value_parser = Name::parse)]
    volumes: Vec<Name>,
}

impl SnapPrint {
    pub(super) fn command(self) -> Command {
        Command::SnapPrint(self.volumes)
    }
}
