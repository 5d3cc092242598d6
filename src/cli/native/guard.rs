//! `guard`: for breakoff itself, see `app::guard`.

use crate::app::Command;
use crate::model::Name;
use crate::sys::helper::{Charge, parse_word};
use clap::Args;

/// Freeze and suspend for a command; started by breakoff itself
#[derive(Args)]
pub(super) struct Guard {
    /// The group
    #[arg(value_name = "NAME", value_parser = Name::parse)]
    name: Name,
    /// What it may be asked about, each as MODE:UUID
    #[arg(value_name = "DEVICE", value_parser = parse_word)]
    devices: Vec<Charge>,
}

impl Guard {
    pub(super) fn command(self) -> Command {
        Command::Guard(self.name, self.devices)
    }
}
