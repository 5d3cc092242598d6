//! `mirror`

use super::words::{self, Where};
use crate::app::Command;
use crate::model::{Lanes, Name};
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
    /// Number of pieces that are copied at the same time (1 to 16); by default 8, or one for each
    /// disk with heads, and fewer for a small volume
    #[arg(long, value_name = "N", value_parser = words::lanes)]
    lanes: Option<Lanes>,
    #[command(flatten)]
    place: Where,
}

impl Mirror {
    pub(super) fn command(self) -> Command {
        Command::Change(Request::Mirror {
            volume: self.volume,
            placement: self.place.placement(),
            lanes: self.lanes,
        })
    }
}
