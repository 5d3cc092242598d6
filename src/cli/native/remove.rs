//! `remove`

use crate::app::Command;
use crate::model::Name;
use crate::plan::request::Request;
use clap::Args;

/// Remove volumes and release their space
#[derive(Args)]
pub(super) struct Remove {
    /// The volumes or snapshots
    #[arg(required = true, value_name = "VOL", value_parser = Name::parse)]
    volumes: Vec<Name>,
    /// Also when it has snapshot legs, or snapshots that still know it (which stay, as volumes of
    /// their own)
    #[arg(long)]
    recursive: bool,
}

impl Remove {
    pub(super) fn command(self) -> Command {
        Command::Change(Request::Remove {
            volumes: self.volumes,
            recursive: self.recursive,
        })
    }
}
