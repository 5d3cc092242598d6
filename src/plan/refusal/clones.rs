//! Copies of a group's disks that are to become a group of their own.

use super::{Reason, list};
use crate::advice::{Advised, Choice, Hint, Import};
use crate::error::Kind;
use crate::model::{HostId, Name};
use std::path::{Path, PathBuf};

/// Copies of a group's disks cannot become a group of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Clones {
    /// A device is not a copy of a disk of the group.
    NotACopy {
        /// The device.
        device: PathBuf,
        /// The group, as the request names it.
        group: String,
    },
    /// A copy is in use.
    InUse {
        /// The device.
        device: PathBuf,
        /// What uses it, as text.
        uses: Vec<String>,
    },
    /// A device lies beneath the running volumes of the group: it is the disk itself.
    Original {
        /// The device.
        device: PathBuf,
        /// The group.
        group: Name,
    },
    /// Two copies of one disk are named.
    Twice {
        /// The one device.
        one: PathBuf,
        /// The other device.
        other: PathBuf,
    },
    /// No devices are named, and which are the copies cannot be seen.
    WhichAre {
        /// The group.
        group: Name,
        /// The devices that have its labels.
        devices: Vec<PathBuf>,
    },
    /// Nothing but the request says that these devices are copies, and a machine has the group.
    Unproven {
        /// The group.
        group: Name,
        /// The devices.
        devices: Vec<PathBuf>,
        /// The machine that has it; `None` if it is this one.
        host: Option<HostId>,
    },
    /// Copies of disks that hold something are missing.
    Incomplete {
        /// The group.
        group: Name,
        /// These disks, by media name.
        missing: Vec<Name>,
    },
    /// The copies were made at different times.
    Apart {
        /// The group.
        group: Name,
        /// The disks whose copies are older than the others.
        older: Vec<Name>,
    },
    /// A copy is part of a clone that was not finished.
    Begun {
        /// The device.
        device: PathBuf,
        /// The name of that clone.
        clone: Name,
    },
    /// The group is a clone that was not finished.
    Unfinished {
        /// The group.
        group: Name,
    },
}

impl Reason for Clones {
    fn kind(&self) -> Kind {
        match self {
            Clones::NotACopy { .. } | Clones::Begun { .. } | Clones::Unfinished { .. } => {
                Kind::NotReady
            }
            Clones::InUse { .. } | Clones::Original { .. } => Kind::InUse,
            Clones::Twice { .. } | Clones::WhichAre { .. } => Kind::Usage,
            Clones::Unproven { .. } | Clones::Incomplete { .. } | Clones::Apart { .. } => {
                Kind::Unsafe
            }
        }
    }

    fn object(&self) -> Option<String> {
        Some(match self {
            Clones::NotACopy { device, .. }
            | Clones::InUse { device, .. }
            | Clones::Original { device, .. }
            | Clones::Twice { other: device, .. }
            | Clones::Begun { device, .. } => device.display().to_string(),
            Clones::WhichAre { group, .. }
            | Clones::Unproven { group, .. }
            | Clones::Incomplete { group, .. }
            | Clones::Apart { group, .. }
            | Clones::Unfinished { group } => group.to_string(),
        })
    }

    fn message(&self) -> String {
        match self {
            Clones::NotACopy { device, group } => format!(
                "'{}' is not a copy of a disk of group '{group}'",
                device.display()
            ),
            Clones::InUse { uses, .. } => uses.join("; "),
            Clones::Original { device, group } => format!(
                "'{}' lies beneath running volumes of group '{group}': it is the disk itself, not a copy of it",
                device.display()
            ),
            Clones::Twice { one, other } => format!(
                "'{}' and '{}' are copies of one disk",
                one.display(),
                other.display()
            ),
            Clones::WhichAre { group, devices } => format!(
                "which of these are the copies of the disks of group '{group}' cannot be seen: {}",
                paths(devices)
            ),
            Clones::Unproven {
                group,
                devices,
                host,
            } => {
                let whose = host.map_or_else(
                    || "this machine has imported".to_owned(),
                    |host| format!("another machine ({host}) has imported"),
                );
                format!(
                    "{} may be the disks themselves of group '{group}', which {whose}: no other device with their identity is in sight",
                    paths(devices)
                )
            }
            Clones::Incomplete { group, missing } => format!(
                "copies of disks of group '{group}' that hold something are missing: {}",
                list(missing)
            ),
            Clones::Apart { group, older } => format!(
                "the copies of the disks of group '{group}' were made at different times: {} older than the others",
                match older.as_slice() {
                    [one] => format!("{one} is"),
                    many => format!("{} are", list(many)),
                }
            ),
            Clones::Begun { device, clone } => format!(
                "'{}' is part of a clone '{clone}' that was not finished",
                device.display()
            ),
            Clones::Unfinished { group } => {
                format!("group '{group}' is a clone that was not finished")
            }
        }
    }

    fn hint(&self) -> Option<Hint> {
        Some(match self {
            Clones::NotACopy { .. } => {
                Hint::from(Advised::DiskList).and(" shows which disk a device claims to be")
            }
            Clones::InUse { .. } => "take it out of use first".into(),
            Clones::Original { .. } | Clones::WhichAre { .. } => {
                "name the devices that are the copies, and no others".into()
            }
            Clones::Twice { .. } => "name one copy of each disk".into(),
            Clones::Unproven { .. } => Hint::from(
                "connect the original's disks too; if these are copies all the same, repeat ",
            )
            .choice(Choice::TakeOver),
            Clones::Incomplete { .. } => Hint::from(
                "name these copies, too, since they cannot be added later; to do without them, repeat ",
            )
            .choice(Choice::Force),
            Clones::Apart { .. } => Hint::from(
                "copy all disks at one instant, or while the volumes are stopped; to take them as they are, repeat ",
            )
            .choice(Choice::Force),
            Clones::Begun { clone, .. } | Clones::Unfinished { group: clone } => {
                Hint::from("finish it with ")
                    .line(Advised::GroupImport {
                        group: "GROUP".to_owned(),
                        how: Import::Cloned(clone.to_string()),
                    })
                    .and(" and the same copies")
            }
        })
    }
}

fn paths(devices: &[PathBuf]) -> String {
    let shown: Vec<String> = devices
        .iter()
        .map(|device| format!("'{}'", Path::display(device)))
        .collect();
    shown.join(", ")
}
