//! `log …`: the dirty region log of a mirror.

use super::names::Names;
use super::words::Where;
use crate::app::Command;
use crate::model::Name;
use crate::plan::request::Request;
use clap::{Args, Subcommand};

/// The dirty region log of a mirrored volume: add, remove
#[derive(Subcommand)]
pub(super) enum Log {
    Add(Add),
    Remove(Remove),
}

/// Give a mirrored volume a dirty region log, also while it is in use
///
/// After a crash only what was being written is resynchronised then. While the plexes are not in
/// sync yet, their resync begins again.
#[derive(Args)]
pub(super) struct Add {
    /// The volume
    #[arg(value_name = "VOL", value_parser = Name::parse, add = Names::VolumeWithoutLog)]
    volume: Name,
    #[command(flatten)]
    place: Where,
}

/// Remove the dirty region log of a volume and release its space, also while it is in use
///
/// After a crash the whole mirror is resynchronised from then on.
#[derive(Args)]
pub(super) struct Remove {
    /// The volume
    #[arg(value_name = "VOL", value_parser = Name::parse, add = Names::VolumeWithLog)]
    volume: Name,
}

impl Log {
    pub(super) fn command(self) -> Command {
        Command::Change(match self {
            Log::Add(Add { volume, place }) => Request::LogAdd {
                volume,
                placement: place.placement(),
            },
            Log::Remove(Remove { volume }) => Request::LogRemove(volume),
        })
    }
}
