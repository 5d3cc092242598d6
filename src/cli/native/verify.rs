//! `verify`

use super::words;
use crate::app::Command;
use crate::model::{Name, Sectors};
use clap::Args;

/// Compare the plexes of volumes, and snapshots with their originals, while they are in use
///
/// Of a volume all complete plexes are read from the disks and compared with the first one. A
/// snapshot is also compared with its original, wherever neither was written since the split; for
/// that, changes must be tracked. Nothing is written and nothing repaired. What differs is listed
/// with its place on each disk, and the exit status is 1. Where a disk takes discards, plexes may
/// differ after one: such ranges are marked, and those that a mounted ext4 or XFS does not use do not
/// count. What differs again and again is looked at once more
/// while writes to the volume are held, for as long as a read of it takes.
#[derive(Args)]
pub(super) struct Verify {
    /// Volumes and snapshots
    #[arg(required = true, value_name = "VOL", value_parser = Name::parse)]
    volumes: Vec<Name>,
    /// Read at most so much of each plex in a second
    #[arg(long, value_name = "SIZE", value_parser = words::size)]
    rate: Option<Sectors>,
}

impl Verify {
    pub(super) fn command(self) -> Command {
        Command::Verify {
            volumes: self.volumes,
            rate: self.rate,
        }
    }
}
