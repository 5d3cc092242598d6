//! Disks that are missing, needed, or do not fit.

use super::{InGroup, Reason, Shown, list, quoted};
use crate::advice::{Advised, Hint};
use crate::error::Kind;
use crate::model::{Generation, GroupId, Name, SectorSize};
use std::path::PathBuf;

/// A disk is missing, needed, or does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disks {
    /// It was named for new space and is not here.
    Missing {
        /// Its media name.
        disk: Name,
    },
    /// It was to be taken out, is here, and is in use.
    HoldsVolumes {
        /// It.
        disk: InGroup,
        /// What lies on it in part.
        volumes: Vec<Name>,
    },
    /// It was to be taken out and is all that the group has.
    Last {
        /// It.
        disk: InGroup,
    },
    /// It was to be taken out, is missing, and a plex that counts lies on it.
    HoldsPlex {
        /// It.
        disk: InGroup,
        /// The plex.
        plex: Name,
        /// The plex's volume.
        volume: InGroup,
        /// Whether the volume has a data plex elsewhere.
        another: bool,
    },
    /// It was to be replaced, is here, and nothing else has the data of a volume.
    HoldsOnlyPlex {
        /// Its media name.
        disk: Name,
        /// The volume.
        volume: InGroup,
    },
    /// It was to be replaced, and a volume that would lose its data by that is started.
    LossWhileStarted {
        /// Its media name.
        disk: Name,
        /// The volume.
        volume: InGroup,
    },
    /// With a plex on it the sectors of a volume would become larger (K43).
    LargerSectors {
        /// The volume.
        volume: InGroup,
        /// The disk.
        disk: Shown,
        /// Its sectors.
        sectors: SectorSize,
        /// What the volume can have.
        limit: SectorSize,
        /// Whether what is on the volume sets that limit: it was itself made for larger ones.
        by_contents: bool,
    },
}

impl Reason for Disks {
    fn kind(&self) -> Kind {
        match self {
            Disks::Missing { .. } => Kind::Device,
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
            Disks::HoldsVolumes { disk: of, .. }
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
                    "disk {disk} has sectors of {sectors} bytes and {whose}'{volume}' of {limit}: with a plex there the volume's would become {sectors}, and what is on it may not work any more; what may lie on any disk is made with 'breakoff make --sector-size 4096'"
                )
            }
        }
    }

    fn hint(&self) -> Option<Hint> {
        Some(match self {
            Disks::Missing { .. } => return None,
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
            Disks::LargerSectors { .. } => "use disks like those that the volume lies on".into(),
        })
    }
}

/// The disks that are here may not speak for their group (see `plan::quorum`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAllThere {
    /// The group.
    pub group: Name,
    /// Its identity, by which it is advised to import it: a group that is left over often has the
    /// name of another one.
    pub id: GroupId,
    /// The disks that may have gone on without the others, by media name.
    pub missing: Vec<Name>,
    /// How many disks are here.
    pub here: usize,
    /// How many the group has.
    pub of: usize,
    /// The generation that those which are here have.
    pub generation: Generation,
    /// A newer one that this machine has seen.
    pub seen: Option<Generation>,
    /// Where the disks are that are here.
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
            "group '{}' is not all there: {} missing, {} of {} disks here with its configuration at generation {}; what is missing may \
             have gone on without them, and what these hold would be old{newer}",
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
            })
            .and("; if the group is gone: ")
            .line(Advised::DiskInit {
                devices: devices.collect(),
            });
        Some(hint)
    }
}
