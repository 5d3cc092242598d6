//! `snapabort`

use super::names::Names;
use super::words;
use crate::app::Command;
use crate::model::Name;
use crate::plan::request::Request;
use clap::Args;

/// Give up a snapshot leg, complete or not, and release its space
#[derive(Args)]
pub(super) struct SnapAbort {
    /// The volume
    #[arg(value_name = "VOL", value_parser = Name::parse, add = Names::VolumeWithLeg)]
    volume: Name,
    /// Number of legs to give up
    #[arg(long, value_name = "N", default_value = "1", value_parser = words::count)]
    mirrors: usize,
    /// Give up all of them
    #[arg(long, conflicts_with = "mirrors")]
    all_plexes: bool,
}

impl SnapAbort {
    pub(super) fn command(self) -> Command {
        Command::Change(Request::SnapAbort {
            volume: self.volume,
            count: (!self.all_plexes).then_some(self.mirrors),
        })
    }
}
