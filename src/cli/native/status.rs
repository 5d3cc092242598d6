//! `status`

use super::words;
use crate::app::Command;
use clap::Args;
use std::time::Duration;

/// Say in a few lines how the groups are, and what needs attention
///
/// With --watch the groups, running copies with their rates, snapshot legs, what needs attention,
/// the last splits and what happens are shown until a key (q) or a signal ends it: on a terminal as
/// a screen (h shows its keys), else as one block after the other, with --json as one document on
/// each line.
#[derive(Args)]
pub(super) struct Status {
    /// Look again every SECS seconds (fractions are allowed)
    #[arg(
        long,
        value_name = "SECS",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "2",
        value_parser = words::delay
    )]
    pub(super) watch: Option<Duration>,
}

impl Status {
    pub(super) fn command(self) -> Command {
        Command::Status
    }
}
