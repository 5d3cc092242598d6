//! `monitor`

use crate::app::Command;
use clap::Args;

/// Watch all volumes: record finished copies, take failed legs out (runs until it is stopped)
#[derive(Args)]
pub(super) struct Monitor {}

impl Monitor {
    pub(super) fn command(self) -> Command {
        Command::Monitor
    }
}
