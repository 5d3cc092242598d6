//! `snapback`

use super::words;
use crate::app::Command;
use crate::error::{Error, Result};
use crate::model::{AtBoot, Lanes, Name};
use crate::plan::request::{Request, Winner};
use clap::{Args, ValueEnum};

/// Bring snapshots back to their original; only what has changed is copied
///
/// By default the original wins: the snapshot's plex becomes a snapshot leg again, brought up to
/// date for the next 'snapshot'. With '--from snapshot' the original is restored: it holds what the
/// snapshot holds at once, while the kernel copies. What is going to be overwritten, and how much
/// is copied, is said before it happens.
#[derive(Args)]
pub(super) struct SnapBack {
    /// The snapshots, all or none
    #[arg(required = true, value_name = "SNAP", value_parser = Name::parse)]
    snapshots: Vec<Name>,
    /// Do not wait for the copy
    #[arg(short, long)]
    pub(super) background: bool,
    /// How many plexes of each snapshot
    #[arg(long, value_name = "N", default_value = "1", value_parser = words::count, conflicts_with = "all_plexes")]
    mirrors: usize,
    /// All plexes of each snapshot
    #[arg(long)]
    all_plexes: bool,
    /// Whose contents are on both sides afterwards
    #[arg(
        long,
        value_enum,
        value_name = "original|snapshot",
        default_value = "original"
    )]
    from: Side,
    /// With '--from snapshot': keep the old contents of the original in the snapshot. As many
    /// plexes change hands as the snapshot has; others of the original are filled from these, so
    /// that it stays a mirror if it is one
    #[arg(long)]
    keep: bool,
    /// With '--from snapshot': not now but when the machine boots, before anything is mounted, so that
    /// the root filesystem can be restored, too. The next 'start --auto' does it
    #[arg(long, conflicts_with_all = ["background", "mirrors", "all_plexes", "lanes"])]
    at_boot: bool,
    /// Take '--at-boot' back
    #[arg(long, conflicts_with_all = ["at_boot", "background", "mirrors", "all_plexes", "lanes", "from", "keep"])]
    not_at_boot: bool,
    /// Number of pieces that are copied at the same time (1 to 16) if everything is copied; by default
    /// 8, or one for each disk with heads, and fewer for a small volume
    #[arg(long, value_name = "N", value_parser = words::lanes)]
    lanes: Option<Lanes>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Side {
    Original,
    Snapshot,
}

impl SnapBack {
    pub(super) fn command(self) -> Result<Command> {
        if self.at_boot && !matches!(self.from, Side::Snapshot) {
            return Err(Error::usage(
                "--at-boot restores the original: it goes with '--from snapshot'",
            ));
        }
        if self.at_boot || self.not_at_boot {
            let how = if self.keep {
                AtBoot::Keep
            } else {
                AtBoot::Overwrite
            };
            return Ok(Command::Change(Request::AtBoot {
                snapshots: self.snapshots,
                how: self.at_boot.then_some(how),
            }));
        }
        Ok(Command::Change(Request::SnapBack {
            snapshots: self.snapshots,
            mirrors: (!self.all_plexes).then_some(self.mirrors),
            from: match self.from {
                Side::Original => Winner::Original,
                Side::Snapshot => Winner::Snapshot,
            },
            keep: self.keep,
            lanes: self.lanes,
        }))
    }
}
