//! `map`

use super::names::Names;
use crate::app::{Command, Query};
use crate::cli::drawing::Coloring;
use crate::error::{Error, Result};
use crate::model::Name;
use clap::Args;
use std::path::PathBuf;

/// Show the disks as bars: what lies where, to scale
///
/// Each volume has a letter and a colour, each kind of space a pattern; the legend below explains
/// them. A capital letter stands for a piece of a plex, a small one for a log or a map of changes.
/// Everything that belongs to a volume has at least two characters, so that small pieces are drawn
/// larger than they are.
#[derive(Args)]
pub(super) struct Map {
    /// Groups, by name or UUID, or volumes: only the disks on which they lie. What is no group, or
    /// all of it with '-g', is a volume
    #[arg(value_name = "GROUP|VOL", value_parser = Name::parse, add = Names::GroupOrVolume)]
    objects: Vec<Name>,
    /// Write a picture to FILE and no text; '-' is stdout
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    #[command(flatten)]
    pub(super) coloring: Coloring,
}

impl Map {
    pub(super) fn command(self) -> Command {
        Command::Show(Query::Map(self.objects))
    }

    /// Where the picture goes. With `--json` stdout has exactly one document.
    pub(super) fn picture(&self, json: bool) -> Result<Option<PathBuf>> {
        match &self.svg {
            Some(file) if json && file.as_os_str() == "-" => Err(Error::usage(
                "'--json' and '--svg -' both want to write to stdout",
            )),
            file => Ok(file.clone()),
        }
    }
}
