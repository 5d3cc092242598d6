//! `snapclear`

use super::names::Names;
use crate::app::Command;
use crate::model::Name;
use crate::plan::request::{Relations, Request};
use clap::Args;

/// End the relation between a snapshot and its original
///
/// Both go on as volumes of their own; no data are touched. An original that has several snapshots
/// does not say which relation is meant: name the snapshot, or say --all.
#[derive(Args)]
pub(super) struct SnapClear {
    /// A snapshot, or an original
    #[arg(value_name = "SNAP|VOL", value_parser = Name::parse, add = Names::Related)]
    volume: Name,
    /// All relations of this volume: to its original and to its snapshots
    #[arg(long)]
    all: bool,
}

impl SnapClear {
    pub(super) fn command(self) -> Command {
        let which = if self.all {
            Relations::All
        } else {
            Relations::TheOne
        };
        Command::Change(Request::SnapClear {
            volume: self.volume,
            which,
        })
    }
}
