//! `snapstart`

use super::words::{self, Where};
use crate::app::Command;
use crate::model::{Lanes, Name};
use crate::plan::request::Request;
use clap::Args;

/// Add snapshot legs to volumes and let the kernel fill them
///
/// Returns when they are complete (SNAPDONE). Interrupting the wait does not stop the copy;
/// 'snapwait' waits again and 'snapabort' gives it up.
#[derive(Args)]
pub(super) struct SnapStart {
    /// The volumes, all or none
    #[arg(required = true, value_name = "VOL", value_parser = Name::parse)]
    volumes: Vec<Name>,
    /// Do not wait for the copy
    #[arg(short, long)]
    pub(super) background: bool,
    /// Number of legs for each volume
    #[arg(long, value_name = "N", default_value = "1", value_parser = words::count)]
    mirrors: usize,
    /// Number of pieces that are copied at the same time (1 to 16); by default 8, or one for each
    /// disk with heads, and fewer for a small volume
    #[arg(long, value_name = "N", value_parser = words::lanes)]
    lanes: Option<Lanes>,
    #[command(flatten)]
    place: Where,
}

impl SnapStart {
    pub(super) fn command(self) -> Command {
        Command::Change(Request::SnapStart {
            volumes: self.volumes,
            mirrors: self.mirrors,
            placement: self.place.placement(),
            lanes: self.lanes,
        })
    }
}
