//! `snapshot`

use super::names::Names;
use super::words;
use crate::app::Command;
use crate::error::{Error, Result};
use crate::model::Name;
use crate::plan::request::{Legs, Request, Split, Splits};
use clap::Args;

/// Break off complete snapshot legs: each becomes a volume of its own
///
/// All volumes named are split at one instant, or none is, with every filesystem frozen that rests
/// on them, through encryption, LVM, partitions, loop devices and md, too. Where that cannot be,
/// the snapshot holds what a crash would leave, and says so and why. The snapshots are called
/// SNAP-VOL, then SNAP1-VOL and so on, unless --name or --pattern says otherwise.
#[derive(Args)]
pub(super) struct Snapshot {
    /// The volumes
    #[arg(value_name = "VOL", required_unless_present = "all", conflicts_with = "all", value_parser = Name::parse, add = Names::VolumeWithLeg)]
    volumes: Vec<Name>,
    /// Every volume of the group that is not itself a snapshot
    #[arg(long)]
    all: bool,
    /// Name of the snapshot, when there is one volume
    #[arg(long, value_name = "SNAP", conflicts_with_all = ["all", "pattern"], value_parser = Name::parse, add = Names::New)]
    name: Option<Name>,
    /// Names of the snapshots: %v is the volume's name, %d a number where it is needed
    #[arg(long, value_parser = pattern)]
    pattern: Option<String>,
    /// Number of legs to break off from each; with more than one the snapshot is a mirror itself
    #[arg(long, value_name = "N", default_value = "1", value_parser = words::count)]
    mirrors: usize,
    /// Break off this leg (a plex; may be given more than once, also of several volumes)
    #[arg(long = "plex", value_name = "PLEX", value_delimiter = ',', conflicts_with_all = ["mirrors", "on"], value_parser = Name::parse, add = Names::Leg)]
    plexes: Vec<Name>,
    /// Break off legs that lie on these disks, and on no other
    #[arg(long, value_name = "MEDIA", value_delimiter = ',', value_parser = Name::parse)]
    on: Vec<Name>,
    /// Refuse, with nothing changed, when not everything that rests on a volume can be frozen
    #[arg(long)]
    require_frozen: bool,
}

/// A pattern whose plain part can be part of a name.
fn pattern(word: &str) -> Result<String> {
    let sample = word.replace("%v", "v").replace("%d", "1");
    Name::parse(&sample)
        .map(|_| word.to_owned())
        .map_err(|err| {
            Error::usage(format!("the pattern '{word}' does not make a name: {err}"))
                .hint("the default is 'SNAP%d-%v'")
        })
}

impl Snapshot {
    pub(super) fn command(self) -> Result<Command> {
        if self.name.is_some() && self.volumes.len() > 1 {
            return Err(Error::usage("'--name' is for one volume only")
                .hint("use '--pattern', such as 'SNAP%d-%v'"));
        }
        let name = self.name;
        let split = |volume| Split {
            volume,
            name: name.clone(),
        };
        let splits = if self.all {
            Splits::All
        } else {
            Splits::These(self.volumes.into_iter().map(split).collect())
        };
        let legs = match (self.plexes, self.on) {
            (named, _) if !named.is_empty() => Legs::Named(named),
            (_, disks) if !disks.is_empty() => Legs::On(self.mirrors, disks),
            _ => Legs::Count(self.mirrors),
        };
        Ok(Command::Change(Request::Snapshot {
            splits,
            legs,
            pattern: self.pattern,
            require_frozen: self.require_frozen,
        }))
    }
}
