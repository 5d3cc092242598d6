//! `group import --clone`: copies of a group's disks, made byte by byte, become a group of their own
//! beside the original, with identities of its own for the group, its disks and its volumes.
//!
//! The first configuration of the clone belongs to nobody and is written disk by disk
//! (`meta::clone`); an ordinary commit then gives the whole group to this machine.

use super::change::{Change, Event};
use super::found::PresentDisk;
use super::refusal::{Clones, Groups, Result};
use super::step::{LabelStep, Plan};
use crate::advice::{Advised, Hint, Of};
use crate::error::Error;
use crate::model::{
    BootId, Disk, DiskId, Extent, Group, GroupId, HostId, Name, Standing, UNFINISHED, Volume,
    VolumeId,
};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// The boot that a volume of a clone was started in: none that any machine ever had. So a volume that
/// was started when it was copied starts as after a power cut.
const ELSEWHERE: BootId = BootId::from_bytes(*b"BREAKOFF NO BOOT");

/// `group import GROUP --clone NEW DEV…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloneRequest {
    /// The name of the clone.
    pub name: Name,
    /// The devices that are the copies; empty if that is to be seen from what there is.
    pub devices: Vec<PathBuf>,
    /// Whether nothing but the request has to show that the devices are copies.
    pub foreign: bool,
    /// Whether to do without copies of disks that are needed.
    pub missing: bool,
}

/// The copies of a group's disks, as they were found.
#[derive(Debug, Clone)]
pub struct Copies {
    /// The group, as the copies have it.
    pub group: Group,
    /// The copies, by the disk that they claim to be.
    pub found: BTreeMap<DiskId, PresentDisk>,
    /// The first configuration of the clone, if an interrupted command has turned copies already.
    pub begun: Option<Group>,
    /// These copies, by the disk of the clone that they are now.
    pub turned: BTreeMap<DiskId, PresentDisk>,
    /// The disks of which another device is in sight than the copy.
    pub seen_twice: BTreeSet<DiskId>,
    /// The copies that hold an older configuration than the others.
    pub older: Vec<DiskId>,
    /// What uses the copies, as text, each after the path of its device.
    pub uses: Vec<(PathBuf, Vec<String>)>,
    /// Whether another group has the name of the clone.
    pub is_taken: bool,
    /// The identities that the clone gets.
    pub identities: Identities,
    /// This machine.
    pub here: HostId,
}

/// The identities of a clone, by those of what was copied.
#[derive(Debug, Clone)]
pub struct Identities {
    group: GroupId,
    disks: BTreeMap<DiskId, DiskId>,
    volumes: BTreeMap<VolumeId, VolumeId>,
}

impl Identities {
    /// New ones, for everything of a group.
    pub fn draw(group: &Group) -> Identities {
        let disks = group.disks.iter();
        let volumes = group.volumes.iter();
        Identities {
            group: GroupId::random(),
            disks: disks.map(|disk| (disk.id, DiskId::random())).collect(),
            volumes: volumes
                .map(|volume| (volume.id, VolumeId::random()))
                .collect(),
        }
    }

    /// Those that were given when the clone was begun; the names of disks are the same in both.
    pub fn given(group: &Group, begun: &Group) -> Identities {
        let disks = group.disks.iter().filter_map(|disk| {
            let new = begun.disks.iter().find(|new| new.media == disk.media)?;
            Some((disk.id, new.id))
        });
        let volumes = group.volumes.iter().filter_map(|volume| {
            let new = begun.volumes.iter().find(|new| new.name == volume.name)?;
            Some((volume.id, new.id))
        });
        Identities {
            group: begun.id,
            disks: disks.collect(),
            volumes: volumes.collect(),
        }
    }

    fn disk(&self, old: DiskId) -> Result<DiskId> {
        let new = self.disks.get(&old).copied();
        Ok(new.ok_or_else(|| Error::failed(format!("disk {old} has no identity in the clone")))?)
    }

    fn volume(&self, old: VolumeId) -> Option<VolumeId> {
        self.volumes.get(&old).copied()
    }
}

/// A clone that is planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cloning {
    /// Its first configuration, which belongs to nobody.
    pub begun: Group,
    /// Gives it to this machine; its label steps turn the copies before.
    pub plan: Plan,
}

/// Plans a clone.
pub fn clone(copies: &Copies, request: &CloneRequest) -> Result<Cloning> {
    if copies.is_taken {
        let group = request.name.clone();
        return Err(Groups::Exists { group }.into());
    }
    let mut in_use = copies.uses.iter().filter(|(_, uses)| !uses.is_empty());
    if let Some((device, uses)) = in_use.next() {
        return Err(Clones::InUse {
            device: device.clone(),
            uses: uses.clone(),
        }
        .into());
    }
    if copies.begun.is_none() && !request.foreign {
        refuse_unproven(copies)?;
    }
    let begun = match &copies.begun {
        Some(begun) => begun.clone(),
        None => beginning(&copies.group, &request.name, &copies.identities)?,
    };
    let mut present = copies.turned.clone();
    let mut labels = Vec::new();
    for disk in &copies.group.disks {
        let (old, Some(found)) = (&disk.id, copies.found.get(&disk.id)) else {
            continue;
        };
        let new = copies.identities.disk(*old)?;
        present.insert(new, found.clone());
        labels.push(LabelStep::Turn {
            from: *old,
            to: new,
            found: found.clone(),
        });
    }
    if !request.missing {
        refuse_incomplete(copies, &begun, &present)?;
    }
    let mut plan = Plan::nothing(begun.clone());
    let missing = begun.disks.iter().map(|disk| disk.id);
    let missing = missing.filter(|id| !present.contains_key(id));
    let given_up = missing.map(|id| (id, Standing::GivenUp));
    plan.group.standing.extend(given_up);
    plan.group.host = Some(copies.here);
    plan.labels = labels;
    // What the copies lack was given up above.
    plan.forced = true;
    let cloned = Event::Cloned {
        from: copies.group.name.clone(),
        disks: present.len(),
    };
    plan.changes.push(Change::group(&request.name, cloned));
    let start = Hint::from("its volumes are not started: ");
    plan.notes
        .push(start.line(Advised::StartAll(Of::group(&request.name))));
    Ok(Cloning { begun, plan })
}

/// Refuses devices of which nothing shows that they are copies: they may be the disks themselves of a
/// machine that has the group. If the disk is in sight besides, one of the two is a copy, and which
/// one is said in the request.
fn refuse_unproven(copies: &Copies) -> Result<()> {
    let Some(host) = copies.group.host else {
        return Ok(());
    };
    let alone = copies
        .found
        .iter()
        .filter(|(disk, _)| !copies.seen_twice.contains(disk));
    let devices: Vec<PathBuf> = alone.map(|(_, found)| found.path.clone()).collect();
    if devices.is_empty() {
        return Ok(());
    }
    Err(Clones::Unproven {
        group: copies.group.name.clone(),
        devices,
        host: Some(host).filter(|host| *host != copies.here),
    }
    .into())
}

/// Refuses to leave out a disk that is needed, or to take copies that were made at different times.
/// A copy that is left out can never be added later: it would not be known as a disk of the clone.
fn refuse_incomplete(
    copies: &Copies,
    begun: &Group,
    present: &BTreeMap<DiskId, PresentDisk>,
) -> Result<()> {
    let is_needed = |disk: &&Disk| {
        begun.extents().any(|extent| extent.disk == disk.id)
            && begun.standing.get(&disk.id) != Some(&Standing::GivenUp)
    };
    let missing = begun.disks.iter();
    let missing = missing.filter(|disk| !present.contains_key(&disk.id));
    let missing: Vec<Name> = missing
        .filter(is_needed)
        .map(|disk| disk.media.clone())
        .collect();
    let group = copies.group.name.clone();
    if !missing.is_empty() {
        return Err(Clones::Incomplete { group, missing }.into());
    }
    let older = copies.older.iter();
    let older: Vec<Name> = older
        .filter_map(|id| copies.group.disk(*id))
        .map(|disk| disk.media.clone())
        .collect();
    if !older.is_empty() {
        return Err(Clones::Apart { group, older }.into());
    }
    Ok(())
}

/// The first configuration of a clone: what was copied, with other identities, and nobody's.
fn beginning(group: &Group, name: &Name, identities: &Identities) -> Result<Group> {
    let mut clone = group.clone();
    clone.id = identities.group;
    clone.name = name.clone();
    clone.host = Some(UNFINISHED);
    // What was handed over is another group's, of which the copies are none.
    clone.handovers.clear();
    for disk in &mut clone.disks {
        disk.id = identities.disk(disk.id)?;
    }
    let standing = std::mem::take(&mut clone.standing);
    for (disk, standing) in standing {
        clone.standing.insert(identities.disk(disk)?, standing);
    }
    for volume in &mut clone.volumes {
        give_identity(volume, identities)?;
    }
    Ok(clone)
}

fn give_identity(volume: &mut Volume, identities: &Identities) -> Result<()> {
    let new = identities.volume(volume.id);
    volume.id = new.ok_or_else(|| Error::failed("a volume has no identity in the clone"))?;
    volume.running = volume.running.map(|_| ELSEWHERE);
    // Its filesystem has the UUID of the original's, which the links by UUID stay with (K11).
    volume.copied = true;
    // A snapshot or an original in another group belongs to what was copied.
    volume.away.clear();
    volume.origin = volume.origin.take().filter(|origin| origin.apart.is_none());
    if let Some(origin) = &mut volume.origin {
        // An original that was removed is not known in either group.
        origin.original = identities
            .volume(origin.original)
            .unwrap_or_else(VolumeId::random);
        // What was asked for is that the original is restored, on the machine that has it.
        origin.at_boot = None;
    }
    for extent in extents_of(volume) {
        extent.disk = identities.disk(extent.disk)?;
    }
    Ok(())
}

/// All the space that a volume occupies.
fn extents_of(volume: &mut Volume) -> impl Iterator<Item = &mut Extent> {
    let plexes = volume.plexes.iter_mut().flat_map(|plex| {
        let maps = plex.dco.iter_mut().flat_map(|dco| &mut dco.copies);
        plex.subdisks.iter_mut().chain(maps)
    });
    let log = volume.log.iter_mut().map(|log| &mut log.extent);
    let maps = volume.dco.iter_mut().flat_map(|dco| &mut dco.copies);
    plexes.chain(log).chain(maps)
}
