//! `rename`

use crate::app::Command;
use crate::model::Name;
use crate::plan::request::Request;
use clap::Args;

/// Give a volume another name, also while it is in use
#[derive(Args)]
pub(super) struct Rename {
    /// The volume
    #[arg(value_name = "VOL", value_parser = Name::parse)]
    volume: Name,
    /// Its new name
    #[arg(value_name = "NEW", value_parser = Name::parse)]
    to: Name,
}

impl Rename {
    pub(super) fn command(self) -> Command {
        Command::Change(Request::Rename {
            volume: self.volume,
            to: self.to,
        })
    }
}
