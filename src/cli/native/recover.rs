//! `recover`

use crate::app::Command;
use clap::Args;

/// Finish or undo what an interrupted command left behind
///
/// Every command does this by itself for the group that it works on.
#[derive(Args)]
pub(super) struct Recover {
    /// Only say what would have to be done; exit status 5 if that is anything
    #[arg(long)]
    check: bool,
}

impl Recover {
    pub(super) fn command(self) -> Command {
        Command::Recover { check: self.check }
    }
}
