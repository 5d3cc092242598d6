//! `snapprint`

use super::names::Names;
use crate::app::{Command, Query};
use crate::cli::drawing::Coloring;
use crate::model::Name;
use clap::Args;

/// Print which snapshot was taken of which volume, when, and how
///
/// Of each volume: v, its snapshots or its original as ss, and plexes that were detached as dp.
/// %DIRTY is the share of the volume that was written to since the split (on either side, for a
/// plex all that has to be copied when it is attached), CHANGED the same in bytes. CONSISTENCY is
/// 'frozen' when everything that rested on the original was frozen at that instant, else 'crash'.
/// STALL is how long the split kept the original's I/O waiting. TRACKED says why a snapback would
/// copy everything, or why it is not known now what has changed.
#[derive(Args)]
pub(super) struct SnapPrint {
    /// Only relations of these volumes, originals or snapshots
    #[arg(value_name = "VOL", value_parser = Name::parse, add = Names::Related)]
    volumes: Vec<Name>,
    /// Print where the snapshot that is named and its original may differ: offset and length in
    /// bytes, a line for each range
    #[arg(long)]
    changed_ranges: bool,
    /// Draw where the snapshot that is named and its original may differ, to scale, with the
    /// numbers
    #[arg(long, conflicts_with = "changed_ranges")]
    map: bool,
    #[command(flatten)]
    pub(super) coloring: Coloring,
}

impl SnapPrint {
    pub(super) fn command(self) -> Command {
        if self.map {
            Command::Show(Query::ChangeMap(self.volumes))
        } else if self.changed_ranges {
            Command::Show(Query::ChangedRanges(self.volumes))
        } else {
            Command::Show(Query::SnapPrint(self.volumes))
        }
    }
}
