//! `grow`

use super::words::{self, Where};
use crate::app::Command;
use crate::error::Result;
use crate::model::Name;
use crate::plan::request::{GrowTo, Request};
use clap::Args;

/// Make a volume larger, also while it is in use
///
/// The new part of a mirror is resynchronised. With --resizefs a mounted ext3, ext4, XFS or btrfs
/// on it grows too, by its own tool (resize2fs, xfs_growfs, btrfs); what cannot is refused before
/// anything changes. When the tool fails, the volume stays larger.
#[derive(Args)]
pub(super) struct Grow {
    /// The volume
    #[arg(value_name = "VOL", value_parser = Name::parse)]
    volume: Name,
    /// Its new size, or with a leading + by how much it grows
    #[arg(value_name = "[+]SIZE", value_parser = grow_to)]
    size: GrowTo,
    #[command(flatten)]
    place: Where,
    /// Make the filesystem on it as large as the volume, too
    #[arg(long)]
    resizefs: bool,
}

fn grow_to(word: &str) -> Result<GrowTo> {
    match word.strip_prefix('+') {
        Some(more) => words::size(more).map(GrowTo::By),
        None => words::size(word).map(GrowTo::To),
    }
}

impl Grow {
    pub(super) fn command(self) -> Command {
        Command::Change(Request::Grow {
            volume: self.volume,
            to: self.size,
            placement: self.place.placement(),
            filesystem: self.resizefs,
        })
    }
}
