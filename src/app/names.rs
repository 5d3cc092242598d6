//! The names of what there is, for shells that complete them.
//!
//! Nothing is decided by them: a disk that does not answer soon is left out, and so is whatever only
//! it knows. Nothing is locked, repaired or written.

use super::scan::Scan;
use crate::error::Result;
use crate::model::{Group, HostId, Plex, PlexState, Volume};
use crate::sys::machine::Machine;
use serde::{Deserialize, Serialize};

/// What a group has, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupNames {
    /// The word by which commands find the group.
    pub name: String,
    /// Whose it is.
    pub standing: Standing,
    /// Its disks.
    pub disks: Vec<DiskName>,
    /// Its volumes, snapshots among them.
    pub volumes: Vec<VolumeNames>,
}

/// Whose a group is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// This machine has it.
    Own,
    /// No machine has it, or another one.
    Elsewhere,
    /// It is refused: its disks were changed apart from each other, or are there twice.
    Refused,
}

/// A disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskName {
    /// The media name.
    pub media: String,
    /// Its space for volumes, for people.
    pub size: String,
}

/// A volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeNames {
    /// The name.
    pub name: String,
    /// Its size, for people.
    pub size: String,
    /// The volume that it is a snapshot of; empty if that volume is gone, `None` if it is no
    /// snapshot.
    pub original: Option<String>,
    /// Whether it has snapshots.
    pub has_snapshots: bool,
    /// Whether it has a dirty region log.
    pub has_log: bool,
    /// Its plexes.
    pub plexes: Vec<PlexName>,
}

/// A plex.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlexName {
    /// The name.
    pub name: String,
    /// Its state as `print` shows it.
    pub state: String,
    /// What can be done with it.
    pub part: Part,
}

/// The part that a plex plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// A complete data plex.
    Data,
    /// A data plex that was detached or has failed.
    Detached,
    /// A data plex that is being filled.
    Filling,
    /// A snapshot leg that is being filled.
    FillingLeg,
    /// A complete snapshot leg.
    Leg,
}

/// The names in all groups in sight, sorted by the groups' names.
pub fn names(machine: &dyn Machine) -> Result<Vec<GroupNames>> {
    let scan = Scan::at_a_glance(machine)?;
    let here = machine.host_id().ok();
    let named = |group: &Group| of_group(group, scan.word(group).to_string(), here);
    let mut all: Vec<GroupNames> = scan.readable_groups().iter().map(named).collect();
    let refused = scan.refused().into_iter().map(|(id, ..)| GroupNames {
        name: scan
            .name_of(id)
            .map_or_else(|| id.to_string(), |name| name.to_string()),
        standing: Standing::Refused,
        disks: Vec::new(),
        volumes: Vec::new(),
    });
    all.extend(refused);
    all.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(all)
}

fn of_group(group: &Group, name: String, here: Option<HostId>) -> GroupNames {
    let disks = group.disks.iter().map(|disk| DiskName {
        media: disk.media.to_string(),
        size: disk.size.to_string(),
    });
    GroupNames {
        name,
        standing: if group.host.is_some() && group.host == here {
            Standing::Own
        } else {
            Standing::Elsewhere
        },
        disks: disks.collect(),
        volumes: group
            .volumes
            .iter()
            .map(|volume| of_volume(group, volume))
            .collect(),
    }
}

fn of_volume(group: &Group, volume: &Volume) -> VolumeNames {
    let origins = || group.volumes.iter().filter_map(|v| v.origin.as_ref());
    VolumeNames {
        name: volume.name.to_string(),
        size: volume.size.to_string(),
        original: volume.origin.as_ref().map(|origin| {
            let original = group.volume(origin.original);
            original.map_or_else(String::new, |original| original.name.to_string())
        }),
        has_snapshots: origins().any(|origin| origin.original == volume.id),
        has_log: volume.log.is_some(),
        plexes: volume.plexes.iter().map(of_plex).collect(),
    }
}

fn of_plex(plex: &Plex) -> PlexName {
    PlexName {
        name: plex.name.to_string(),
        state: plex.state.to_string(),
        part: match plex.state {
            PlexState::Active => Part::Data,
            PlexState::Attaching | PlexState::Reviving => Part::Filling,
            PlexState::Stale | PlexState::Failed => Part::Detached,
            PlexState::SnapAtt => Part::FillingLeg,
            PlexState::SnapDone => Part::Leg,
        },
    }
}
