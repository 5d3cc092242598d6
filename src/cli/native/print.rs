//! `print`

use crate::app::{Command, Query};
use crate::model::Name;
use clap::Args;

/// Print the layout: groups, disks, volumes, plexes and subdisks with their states
///
/// KSTATE of a volume: ENABLED, SUSPENDED or DISABLED (not started).
///
/// STATE of a volume: ACTIVE (in use; with DISABLED: the machine went down while it was), CLEAN
/// (stopped, all complete plexes are equal), SYNC (its complete plexes are being made equal),
/// DEGRADED (in use, but not on all of its data plexes).
///
/// STATE of a plex: ACTIVE, ATTACHING, REVIVING, STALE, FAILED, and of a snapshot leg SNAPATT
/// (being filled) or SNAPDONE (ready for snapshot). How far a copy has come stands in TUTIL0.
///
/// With -v each length is also given exactly, in sectors of 512 bytes.
#[derive(Args)]
pub(super) struct Print {
    /// Only these volumes
    #[arg(value_name = "VOL", value_parser = Name::parse)]
    volumes: Vec<Name>,
}

impl Print {
    pub(super) fn command(self) -> Command {
        Command::Show(Query::Print(self.volumes))
    }
}
