//! `grow`

use super::words::{self, Where};
use crate::app::Command;
use crate::error::Result;
use crate::model::Name;
use crate::plan::request::{GrowTo, Request};
use clap::Args;

/// Make a volume larger, also while it is in use
///
/// The new part of a mirror is resynchronised. The filesystem on it has to be grown afterwards by
/// its own tool.
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
        })
    }
}
