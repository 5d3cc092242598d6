//! `guard`: for breakoff itself, see `app::guard`.

use crate::app::Command;
use crate::model::Name;
use clap::Args;

/// Resume what a command has suspended if it dies; started by breakoff itself
#[derive(Args)]
pub(super) struct Guard {
    /// The group
    #[arg(value_name = "NAME", value_parser = Name::parse)]
    name: Name,
}

impl Guard {
    pub(super) fn command(self) -> Command {
        Command::Guard(self.name)
    }
}
