//! Disks that are missing, needed, or do not fit.

use super::{InGroup, Reason, Shown, list, quoted};
use crate::advice::{Advised, Hint, Import};
use crate::error::Kind;
use crate::model::{Generation, GroupId, Name, SectorSize};
use std::path::PathBuf;

/// A disk is missing, needed, or does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disks {
    /// The disk is named for new space and is missing.
    Missing {
        /// Media name of the disk.
        disk: Name,
    },
    /// The disk is to be resized and is missing, or its label cannot be read.
    Unreadable {
        /// The disk.
        disk: InGroup,
    },
    /// The disk is to be removed from the group, is present, and is in use.
    HoldsVolumes {
        /// The disk.
        disk: InGroup,
        /// The volumes that have space on it.
        volumes: Vec<Name>,
    },
    /// The disk is to be removed and is the last one of the group.
    Last {
        /// The disk.
        disk: InGroup,
    },
    /// The disk is to be removed and is missing, but holds a plex that is in use.
    HoldsPlex {
        /// The disk.
        disk: InGroup,
        /// The plex.
        plex: Name,
        /// The plex's volume.
        volume: InGroup,
        /// Whether the volume has a data plex elsewhere.
        another: bool,
    },
    /// The disk is to be replaced and is present, but holds the only data of a volume.
    HoldsOnlyPlex {
        /// Media name of the disk.
        disk: Name,
        /// The volume that would be affected.
        volume: InGroup,
    },
    /// The disk is to be replaced, but a volume that would lose its data is started.
    LossWhileStarted {
        /// Media name of the disk.
        disk: Name,
        /// The volume that would be affected.
        volume: InGroup,
    },
    /// A plex on the disk would make the sectors of a volume larger (K43).
    LargerSectors {
        /// The volume that would be affected.
        volume: InGroup,
        /// The disk.
        disk: Shown,
        /// The sector size of the disk.
        sectors: SectorSize,
        /// The largest sector size that the volume can have.
        limit: SectorSize,
        /// Whether the content of the volume sets this limit. The volume itself was made for larger
        /// sectors.
        by_contents: bool,
    },
}

impl Reason for Disks {
    fn kind(&self) -> Kind {
        match self {
            Disks::Missing { .. } | Disks::Unreadable { .. } => Kind::Device,
            Disks::HoldsVolumes { .. }
            | Disks::Last { .. }
            | Disks::HoldsPlex { .. }
            | Disks::HoldsOnlyPlex { .. } => Kind::InUse,
            Disks::LossWhileStarted { .. } => Kind::NotReady,
            Disks::LargerSectors { .. } => Kind::Unsafe,
        }
    }

    fn object(&self) -> Option<String> {
        match self {
            Disks::Missing { disk } => Some(disk.to_string()),
            Disks::Unreadable { disk: of }
            | Disks::HoldsVolumes { disk: of, .. }
            | Disks::Last { disk: of }
            | Disks::HoldsPlex { disk: of, .. }
            | Disks::HoldsOnlyPlex { volume: of, .. }
            | Disks::LossWhileStarted { volume: of, .. }
            | Disks::LargerSectors { volume: of, .. } => Some(of.to_string()),
        }
    }

    fn message(&self) -> String {
        match self {
            Disks::Missing { disk } => format!("disk '{disk}' is missing"),
            Disks::Unreadable { disk } => {
                let media = &disk.name;
                format!("disk '{media}' is missing, or its label cannot be read")
            }
            Disks::HoldsVolumes { disk, volumes } => {
                format!("disk '{}' holds parts of {}", disk.name, list(volumes))
            }
            Disks::Last { disk } => {
                format!(
                    "disk '{}' is the last one of group '{}'",
                    disk.name, disk.group
                )
            }
            Disks::HoldsPlex {
                disk, plex, volume, ..
            } => format!(
                "disk '{}' is missing, and plex '{plex}' of '{volume}' lies on it",
                disk.name
            ),
            Disks::HoldsOnlyPlex { disk, volume } => {
                format!("'{volume}' has no complete data plex elsewhere than on '{disk}'")
            }
            Disks::LossWhileStarted { disk, volume } => format!(
                "'{volume}' has no complete data plex elsewhere than on '{disk}', and is started"
            ),
            Disks::LargerSectors {
                volume,
                disk,
                sectors,
                limit,
                by_contents,
            } => {
                let disk = match disk {
                    Shown::Media(_) | Shown::Device(_) => format!("'{disk}'"),
                    Shown::Id(id) => id.to_string(),
                };
                let whose = if *by_contents { "the contents of " } else { "" };
                format!(
                    "disk {disk} has sectors of {sectors} bytes and {whose}'{volume}' of {limit}: a plex there would make the sectors of the volume {sectors} bytes, with which its contents may not work"
                )
            }
        }
    }

    fn hint(&self) -> Option<Hint> {
        Some(match self {
            Disks::Missing { .. } | Disks::Unreadable { .. } => return None,
            Disks::HoldsVolumes { .. } => "remove or move these first".into(),
            Disks::Last { disk } => Advised::GroupDestroy {
                group: disk.group.to_string(),
            }
            .into(),
            Disks::HoldsPlex {
                disk,
                plex,
                volume,
                another: true,
            } => Hint::from(Advised::PlexRemove(volume.beside(plex)))
                .and(" gives it up; ")
                .line(Advised::GroupReplaceDisk {
                    group: disk.group.to_string(),
                    disk: disk.name.to_string(),
                })
                .and(" fills it again"),
            Disks::HoldsPlex {
                volume,
                another: false,
                ..
            } => Hint::from("nothing else has its data: bring the disk back, or ")
                .line(Advised::Remove(volume.of())),
            Disks::HoldsOnlyPlex { disk, volume } => {
                Hint::from("add one first: ").line(Advised::Mirror {
                    of: volume.of(),
                    avoid: Some(disk.to_string()),
                })
            }
            Disks::LossWhileStarted { volume, .. } => {
                Hint::from("stop it first: ").line(Advised::Stop(volume.of()))
            }
            Disks::LargerSectors { sectors, .. } => Hint::from(
                "use disks like those that the volume lies on; a volume for any disk is made with ",
            )
            .line(Advised::Make {
                sector_size: sectors.bytes(),
            }),
        })
    }
}

/// The present disks have no quorum for their group (see `plan::quorum`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAllThere {
    /// The group.
    pub group: Name,
    /// Identity of the group. The advice is to import by it, because the name of an orphaned group
    /// is often in use by another one.
    pub id: GroupId,
    /// The missing disks that may have been used without the others, by media name.
    pub missing: Vec<Name>,
    /// How many disks are present.
    pub here: usize,
    /// How many disks the group has.
    pub of: usize,
    /// The newest generation on the present disks.
    pub generation: Generation,
    /// A newer generation that this machine has seen, if there is one.
    pub seen: Option<Generation>,
    /// The paths of the present disks.
    pub devices: Vec<PathBuf>,
}

impl Reason for NotAllThere {
    fn kind(&self) -> Kind {
        Kind::Unsafe
    }

    fn object(&self) -> Option<String> {
        Some(self.group.to_string())
    }

    fn message(&self) -> String {
        let newer = self.seen.map_or_else(String::new, |seen| {
            format!("; this machine has seen generation {seen}")
        });
        format!(
            "group '{}' is incomplete: {} missing, {} of {} disks here with its configuration at generation {}; the missing disks may \
             have been used without these, which would be out of date{newer}",
            self.group,
            quoted(&self.missing),
            self.here,
            self.of,
            self.generation
        )
    }

    fn hint(&self) -> Option<Hint> {
        let devices = self.devices.iter().map(|path| path.display().to_string());
        let hint = Hint::from("connect the missing disks; if they are lost for good: ")
            .line(Advised::GroupImport {
                group: self.id.to_string(),
                how: Import::Incomplete,
            })
            .and("; if the group is gone: ")
            .line(Advised::DiskInit {
                devices: devices.collect(),
            });
        Some(hint)
    }
}
