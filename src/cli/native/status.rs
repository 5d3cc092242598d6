//! `status`

use crate::app::Command;
use clap::Args;

/// Say in a few lines how the groups are, and what needs attention
#[derive(Args)]
pub(super) struct Status {}

impl Status {
    pub(super) fn command(self) -> Command {
        Command::Status
    }
}
