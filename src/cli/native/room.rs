//! `room`

use super::words::{self, Where};
use crate::app::{Command, Query};
use crate::model::Name;
use crate::plan::room::RoomFor;
use clap::Args;

/// Show the largest size that a new volume can have, or that a volume can grow to
///
/// With the same options make and grow take exactly that much, and no more.
#[derive(Args)]
pub(super) struct Room {
    /// The volume that is to grow; without it a new one is meant
    #[arg(value_name = "VOL", value_parser = Name::parse)]
    volume: Option<Name>,
    /// Number of plexes of the new volume
    #[arg(
        long,
        value_name = "N",
        default_value = "1",
        conflicts_with = "volume",
        value_parser = words::count
    )]
    mirrors: usize,
    #[command(flatten)]
    place: Where,
    /// The new volume has no dirty region log
    #[arg(long, conflicts_with = "volume")]
    no_log: bool,
}

impl Room {
    pub(super) fn command(self) -> Command {
        let placement = self.place.placement();
        Command::Show(Query::Room(match self.volume {
            Some(volume) => RoomFor::Growing { volume, placement },
            None => RoomFor::New {
                mirrors: self.mirrors,
                placement,
                log: !self.no_log,
            },
        }))
    }
}
