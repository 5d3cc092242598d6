//! `plex …`: single plexes.

use super::names::Names;
use super::words;
use crate::app::Command;
use crate::model::{Lanes, Name};
use crate::plan::request::{Convert, Request};
use clap::{Args, Subcommand, ValueEnum};

/// Single plexes: convert, detach, attach, remove, abort
#[derive(Subcommand)]
pub(super) enum Plex {
    Convert(ConvertArgs),
    Detach(Detach),
    Attach(Attach),
    Remove(Remove),
    Abort(Abort),
}

/// Make a data plex a snapshot leg, or the other way round
///
/// No data are copied. The last complete data plex cannot become a snapshot leg.
#[derive(Args)]
pub(super) struct ConvertArgs {
    /// What it becomes
    #[arg(long, value_enum)]
    to: To,
    /// The plex
    #[arg(value_parser = Name::parse, add = Names::CompletePlex)]
    plex: Name,
}

#[derive(Clone, Copy, ValueEnum)]
enum To {
    /// A complete snapshot leg
    Snapdone,
    /// A data plex
    Active,
}

/// Detach a data plex: it is written no more (STALE) and keeps its space
#[derive(Args)]
pub(super) struct Detach {
    /// The plex
    #[arg(value_parser = Name::parse, add = Names::DataPlex)]
    plex: Name,
}

/// Bring a detached or failed data plex up to date again
///
/// Returns when it is complete; interrupting the wait does not stop the copy.
#[derive(Args)]
pub(super) struct Attach {
    /// Do not wait for the copy
    #[arg(short, long)]
    background: bool,
    /// Number of pieces that are copied at the same time (1 to 16); by default 8, or one for each
    /// disk with heads, and fewer for a small volume
    #[arg(long, value_name = "N", value_parser = words::lanes)]
    lanes: Option<Lanes>,
    /// The plex
    #[arg(value_parser = Name::parse, add = Names::DetachedPlex)]
    plex: Name,
}

/// Remove a plex and release its space
#[derive(Args)]
pub(super) struct Remove {
    /// The plex
    #[arg(value_parser = Name::parse, add = Names::Plex)]
    plex: Name,
}

/// End the filling of a plex
///
/// A plex that is new is removed and its space released; one that was detached or had failed is as it
/// was before (STALE). Fails if the plex is complete by now.
#[derive(Args)]
pub(super) struct Abort {
    /// The plex
    #[arg(value_parser = Name::parse, add = Names::FillingPlex)]
    plex: Name,
}

impl From<To> for Convert {
    fn from(to: To) -> Convert {
        match to {
            To::Snapdone => Convert::SnapDone,
            To::Active => Convert::Active,
        }
    }
}

impl Plex {
    /// `-b`, which only `attach` has.
    pub(super) fn background(&self) -> bool {
        matches!(self, Plex::Attach(attach) if attach.background)
    }

    pub(super) fn command(self) -> Command {
        Command::Change(match self {
            Plex::Convert(ConvertArgs { to, plex }) => Request::PlexConvert {
                plex,
                to: to.into(),
            },
            Plex::Detach(Detach { plex }) => Request::PlexDetach(plex),
            Plex::Attach(Attach { plex, lanes, .. }) => Request::PlexAttach { plex, lanes },
            Plex::Remove(Remove { plex }) => Request::PlexRemove(plex),
            Plex::Abort(Abort { plex }) => Request::PlexAbort(plex),
        })
    }
}
