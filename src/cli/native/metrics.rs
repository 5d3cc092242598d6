//! `metrics`

use crate::app::Command;
use crate::cli::Action;
use clap::Args;
use std::path::PathBuf;

/// Print the state of all groups for Prometheus
///
/// In Prometheus' text format, for node_exporter's textfile collector: breakoff-metrics.timer writes
/// it every minute. No lock is taken, nothing is recorded or repaired, and no monitor is started. A
/// group that cannot be read has the metric breakoff_group_up 0, all others are shown, and the exit
/// status is not 0.
#[derive(Args)]
pub(super) struct Metrics {
    /// Write to FILE, which always is a complete one: it is replaced when all is written
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Also read how much has changed since snapshots were taken, of groups that no command uses at
    /// that moment. Commands wait while it is read
    #[arg(long)]
    changes: bool,
}

impl Metrics {
    pub(super) fn action(self, dry_run: bool) -> Action {
        let command = Command::Metrics {
            changes: self.changes,
        };
        match self.output {
            _ if dry_run => Action::Rehearse(command),
            Some(file) => Action::ToFile(command, file),
            None => Action::App(command),
        }
    }
}
