//! `snapwait`

use super::names::Names;
use super::words;
use crate::app::Command;
use crate::model::Name;
use clap::Args;

/// Wait until volumes have complete snapshot legs
///
/// Returns at once when they have, fails at once when none is being filled, and fails when the copy
/// fails.
#[derive(Args)]
pub(super) struct SnapWait {
    /// The volumes, all of them
    #[arg(required = true, value_name = "VOL", value_parser = Name::parse, add = Names::VolumeWithLeg)]
    volumes: Vec<Name>,
    /// Number of complete legs that each must have
    #[arg(long, value_name = "N", default_value = "1", value_parser = words::count)]
    mirrors: usize,
}

impl SnapWait {
    pub(super) fn command(self) -> Command {
        Command::SnapWait {
            volumes: self.volumes,
            mirrors: self.mirrors,
        }
    }
}
