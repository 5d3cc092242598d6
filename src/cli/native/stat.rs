//! `stat`

use crate::app::{Command, Query};
use crate::model::Name;
use clap::Args;

/// Print what has been read and written, as the kernel has counted it
///
/// For each started volume, its plexes and the disks of the group: requests, sectors of 512 bytes,
/// and the milliseconds that all requests together took. The counts begin with zero when a volume
/// is started, those of a plex also when its device is made anew. Each reading is a sum: take two
/// and subtract. A plex is left out when the kernel does not count it apart from its volume. What
/// the kernel copies to a leg counts for the plexes and the disks, not for the volume.
#[derive(Args)]
pub(super) struct Stat {
    /// Only these volumes and their plexes
    #[arg(value_name = "VOL", value_parser = Name::parse)]
    volumes: Vec<Name>,
}

impl Stat {
    pub(super) fn command(self) -> Command {
        Command::Show(Query::Counters(self.volumes))
    }
}
