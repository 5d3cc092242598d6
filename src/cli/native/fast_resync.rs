//! `fast-resync`

use super::words;
use crate::app::Command;
use crate::model::Name;
use crate::plan::request::Request;
use clap::{ArgAction, Args};

/// Say whether a volume's changes are tracked while snapshots of it are out
///
/// It is on for new volumes unless 'make --fast-resync off' says otherwise. Switched off, what is
/// known of snapshots that are out is forgotten: a snapback of them copies everything.
#[derive(Args)]
pub(super) struct FastResync {
    /// Whether they are
    #[arg(value_name = "on|off", action = ArgAction::Set, value_parser = words::switch)]
    on: bool,
    /// The volume
    #[arg(value_name = "VOL", value_parser = Name::parse)]
    volume: Name,
}

impl FastResync {
    pub(super) fn command(self) -> Command {
        Command::Change(Request::FastResync {
            volume: self.volume,
            on: self.on,
        })
    }
}
