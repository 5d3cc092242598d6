//! A disk group: the unit of configuration, commit and locking.

use super::disk::{Disk, Extent, Standing};
use super::ids::{DiskId, Generation, GroupId, HandoverId, HostId, VolumeId};
use super::name::Name;
use super::volume::{Plex, Volume};
use crate::advice::{Advised, Hint, Of};
use crate::error::{Error, Result};
use std::collections::{BTreeMap, HashMap};
use std::sync::{PoisonError, RwLock};

/// Who has a group that is being made of copies of another one's disks, as long as that is not
/// finished. No machine has this identity, so nobody uses the group.
pub const UNFINISHED: HostId = HostId::from_bytes(*b"BREAKOFF CLONING");

/// The whole configuration of a group, as it is stored on each of its disks. The generation is not
/// part of it: it belongs to the stored copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Identity of the group; stays the same when its name changes.
    pub id: GroupId,
    /// Name; unique among the imported groups of a machine.
    pub name: Name,
    /// The machine that has the group; `None` when it is deported.
    pub host: Option<HostId>,
    /// Whether the group no longer exists: what its disks still say of it is only to be erased.
    pub destroyed: bool,
    /// All disks of the group, present or not.
    pub disks: Vec<Disk>,
    /// The disks that do not count for the quorum, each with the reason. A disk that is not listed
    /// counts.
    pub standing: BTreeMap<DiskId, Standing>,
    /// Its volumes and snapshot volumes.
    pub volumes: Vec<Volume>,
    /// What the group has handed over to other groups, for as long as a disk of it may not have
    /// been written by the other group yet.
    pub handovers: Vec<Handover>,
    /// Where these are found by their identities.
    pub places: Places,
}

/// Disks that a group has handed over to another one, with the volumes on them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handover {
    /// Identity of the handover.
    pub id: HandoverId,
    /// A generation that is newer than any that the disks held before the handover.
    pub generation: Generation,
    /// The group that receives: its identity, name and host, and the disks and volumes that it
    /// gets.
    pub to: Group,
    /// Whether that group begins with the handover. Otherwise it was there before.
    pub begins: bool,
}

/// The place of each volume in the list: with ten thousand volumes a search for each takes seconds.
/// The list may have changed since it was noted, so a place is only a hint, which is checked. It is
/// no part of the configuration.
#[derive(Debug, Default)]
pub struct Places(RwLock<HashMap<VolumeId, usize>>);

impl Places {
    /// The place of a volume in a list.
    fn find(&self, volumes: &[Volume], id: VolumeId) -> Option<usize> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let is_there = |at: &usize| volumes.get(*at).is_some_and(|volume| volume.id == id);
        if let Some(at) = known.get(&id).copied().filter(is_there) {
            return Some(at);
        }
        drop(known);
        let at = volumes.iter().position(|volume| volume.id == id)?;
        let places = volumes
            .iter()
            .enumerate()
            .map(|(at, volume)| (volume.id, at));
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        *known = places.collect();
        Some(at)
    }
}

impl Clone for Places {
    /// A copy is going to be changed, so it begins anew.
    fn clone(&self) -> Places {
        Places::default()
    }
}

impl PartialEq for Places {
    fn eq(&self, _: &Places) -> bool {
        true
    }
}

impl Eq for Places {}

impl Group {
    /// A new group without disks and volumes, which `host` has.
    pub fn new(name: Name, host: HostId) -> Group {
        Group::empty(GroupId::random(), name, Some(host))
    }

    /// A group without disks and volumes.
    pub fn empty(id: GroupId, name: Name, host: Option<HostId>) -> Group {
        Group {
            id,
            name,
            host,
            destroyed: false,
            disks: Vec::new(),
            standing: BTreeMap::new(),
            volumes: Vec::new(),
            handovers: Vec::new(),
            places: Places::default(),
        }
    }

    /// Whether it is a clone that was not finished ([`UNFINISHED`]).
    pub fn is_unfinished(&self) -> bool {
        self.host == Some(UNFINISHED)
    }

    /// The volume as messages name it: `group/volume`.
    pub fn path(&self, volume: &Name) -> String {
        format!("{}/{volume}", self.name)
    }

    /// The disk with this identity.
    pub fn disk(&self, id: DiskId) -> Option<&Disk> {
        self.disks.iter().find(|d| d.id == id)
    }

    /// Whether a disk counts when the quorum is determined: whether the present disks may speak for
    /// the group.
    pub fn counts(&self, id: DiskId) -> bool {
        !self.standing.contains_key(&id)
    }

    /// The disk with this media name; fails with `NotFound` when there is none.
    pub fn disk_named(&self, media: &Name) -> Result<&Disk> {
        self.disks
            .iter()
            .find(|d| d.media == *media)
            .ok_or_else(|| {
                Error::not_found(format!("group '{}' has no disk '{media}'", self.name))
                    .on(format!("{}/{media}", self.name))
                    .hint(Hint::from("see ").line(Advised::GroupShow {
                        group: self.name.to_string(),
                    }))
            })
    }

    /// The volume with this identity.
    pub fn volume(&self, id: VolumeId) -> Option<&Volume> {
        self.volumes.get(self.places.find(&self.volumes, id)?)
    }

    /// The volume with this identity, for a change.
    pub fn volume_mut(&mut self, id: VolumeId) -> Option<&mut Volume> {
        let place = self.places.find(&self.volumes, id)?;
        self.volumes.get_mut(place)
    }

    /// The volume with this name; fails with `NotFound` when there is none.
    pub fn volume_named(&self, name: &Name) -> Result<&Volume> {
        self.volumes
            .iter()
            .find(|v| v.name == *name)
            .ok_or_else(|| {
                Error::not_found(format!("group '{}' has no volume '{name}'", self.name))
                    .on(self.path(name))
                    .hint(Hint::from("see ").line(Advised::Print(Of::group(&self.name))))
            })
    }

    /// The plex with this name and the volume that it belongs to; fails with `NotFound` when there
    /// is none.
    pub fn plex_named(&self, name: &Name) -> Result<(&Volume, &Plex)> {
        self.volumes
            .iter()
            .flat_map(|v| v.plexes.iter().map(move |p| (v, p)))
            .find(|(_, p)| p.name == *name)
            .ok_or_else(|| {
                Error::not_found(format!("group '{}' has no plex '{name}'", self.name))
                    .on(self.path(name))
                    .hint(Hint::from("see ").line(Advised::Print(Of::group(&self.name))))
            })
    }

    /// The snapshots that were split off this volume and still have their relation to it.
    pub fn snapshots_of(&self, original: VolumeId) -> impl Iterator<Item = &Volume> {
        self.volumes
            .iter()
            .filter(move |v| v.origin.as_ref().is_some_and(|o| o.original == original))
    }

    /// Whether a disk holds this configuration: it is in the group, or was handed over by it and is
    /// not written by the other group yet.
    pub fn is_held_by(&self, disk: DiskId) -> bool {
        self.disk(disk).is_some() || self.handover_of(disk).is_some()
    }

    /// The handover by which a disk has left the group, as long as it is remembered.
    pub fn handover_of(&self, disk: DiskId) -> Option<&Handover> {
        let has = |handover: &&Handover| handover.to.disk(disk).is_some();
        self.handovers.iter().find(has)
    }

    /// All space in use: subdisks, logs and DCOs of all volumes.
    pub fn extents(&self) -> impl Iterator<Item = &Extent> {
        self.volumes.iter().flat_map(Volume::extents)
    }
}
