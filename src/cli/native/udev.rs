//! `udev-probe` and `udev-name`: for udev rules, not for people.

use super::super::Action;
use clap::Args;
use std::path::PathBuf;

/// Print what udev should know of a disk, as KEY=VALUE lines
#[derive(Args)]
pub(super) struct UdevProbe {
    /// The device
    #[arg(value_name = "DEV")]
    device: PathBuf,
}

impl UdevProbe {
    pub(super) fn action(self) -> Action {
        Action::UdevProbe(self.device)
    }
}

/// Print GROUP/VOLUME for the device-mapper name of a volume; fails for all other names
#[derive(Args)]
pub(super) struct UdevName {
    /// The device-mapper name
    #[arg(value_name = "DMNAME")]
    name: String,
}

impl UdevName {
    pub(super) fn action(self) -> Action {
        Action::UdevName(self.name)
    }
}
