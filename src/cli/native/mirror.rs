//! `mirror`

use super::words::Where;
use crate::app::Command;
use crate::model::Name;
use crate::plan::request::Request;
use clap::Args;

/// Add a data plex to a volume
///
/// The kernel copies the volume to it while the volume is in use. Returns when it is complete;
/// interrupting the wait does not stop the copy.
#[derive(Args)]
pub(super) struct Mirror {
    /// The volume
    #[arg(value_name = "VOL", value_parser = Name::parse)]
    volume: Name,
    /// Do not wait for the copy
    #[arg(short, long)]
    pub(super) background: bool,
    #[command(flatten)]
    place: Where,
}

impl Mirror {
    pub(super) fn command(self) -> Command {
        Command::Change(Request::Mirror {
            volume: self.volume,
            placement: self.place.placement(),
        })
    }
}
