//! Lost labels that are to be written again.

use super::{InGroup, Reason, list};
use crate::advice::{Advised, Hint};
use crate::error::Kind;
use crate::model::Name;
use std::path::PathBuf;

/// The label of a disk cannot be written again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Labels {
    /// A device has the label of the disk.
    Present {
        /// The disk.
        disk: InGroup,
        /// That device.
        device: PathBuf,
    },
    /// Volumes run on the disk.
    InUse {
        /// The disk.
        disk: InGroup,
    },
    /// The device is something else, or is in use.
    NotIt {
        /// The device.
        device: PathBuf,
        /// What speaks against it, as text.
        objections: Vec<String>,
    },
    /// The device does not hold what the disk held.
    Odd {
        /// The disk.
        disk: InGroup,
        /// The device.
        device: PathBuf,
        /// What is not where it was, as text.
        what: Vec<String>,
    },
    /// Volumes have their contents nowhere else, and nobody vouches for what is on the disk.
    OnlyCopy {
        /// The disk.
        disk: InGroup,
        /// These volumes.
        volumes: Vec<Name>,
    },
    /// The other plexes of a volume have gone on without the one on the disk.
    GoneOn {
        /// That plex.
        plex: Name,
        /// Its volume.
        volume: InGroup,
    },
}

impl Reason for Labels {
    fn kind(&self) -> Kind {
        match self {
            Labels::Present { .. } | Labels::InUse { .. } | Labels::NotIt { .. } => Kind::InUse,
            Labels::Odd { .. } | Labels::OnlyCopy { .. } | Labels::GoneOn { .. } => Kind::Unsafe,
        }
    }

    fn object(&self) -> Option<String> {
        Some(match self {
            Labels::NotIt { device, .. } => device.display().to_string(),
            Labels::Present { disk: of, .. }
            | Labels::InUse { disk: of }
            | Labels::Odd { disk: of, .. }
            | Labels::OnlyCopy { disk: of, .. }
            | Labels::GoneOn { volume: of, .. } => of.to_string(),
        })
    }

    fn message(&self) -> String {
        match self {
            Labels::Present { disk, device } => {
                format!(
                    "'{}' has the label of disk '{}'",
                    device.display(),
                    disk.name
                )
            }
            Labels::InUse { disk } => format!("volumes run on disk '{}'", disk.name),
            Labels::NotIt { objections, .. } => objections.join("; "),
            Labels::Odd { disk, device, what } => format!(
                "'{}' does not hold what disk '{}' held: {}",
                device.display(),
                disk.name,
                what.join("; ")
            ),
            Labels::OnlyCopy { disk, volumes } => format!(
                "nothing but disk '{}' has the contents of {}, and whether they are whole is not known",
                disk.name,
                list(volumes)
            ),
            Labels::GoneOn { plex, volume } => {
                format!("'{volume}' has gone on without plex '{plex}', which is out of date")
            }
        }
    }

    fn hint(&self) -> Option<Hint> {
        Some(match self {
            Labels::Present { .. } => Hint::from(Advised::DiskList).and(" shows it"),
            Labels::InUse { .. } => Hint::from(Advised::Recover).and(" writes a lost label again"),
            Labels::NotIt { .. } => {
                "it is another disk, or it was given another use; if what was found there is not needed, erase it first ('wipefs', or 'breakoff disk erase')".into()
            }
            Labels::Odd { disk, .. } => Hint::from(
                "it is another disk, or more than its label was destroyed; a new disk is filled by ",
            )
            .line(Advised::GroupReplaceDisk {
                group: disk.group.to_string(),
                disk: disk.name.to_string(),
            }),
            Labels::OnlyCopy { disk, .. } => Hint::from(
                "if nothing but the label was destroyed, repeat with --data-is-intact; if all is lost, ",
            )
            .line(Advised::GroupReplaceDisk {
                group: disk.group.to_string(),
                disk: disk.name.to_string(),
            }),
            Labels::GoneOn { plex, volume } => {
                Hint::from("repeat without --data-is-intact, then fill it: ")
                    .line(Advised::PlexAttach(volume.beside(plex)))
            }
        })
    }
}
