//! Changes to a group as a whole and to its disks, and `disk init`.
//!
//! Labels are written before the configuration, and erased after it. A crash in between leaves a
//! disk that is initialised and in no group, or one that the configuration in force does not list:
//! both are never used, and every command says so.

use super::change::{Change, Event, SideChosen};
use super::evidence::Situation;
use super::found::Prospects;
use super::prospect::{self, NewDisk};
use super::refusal::{Clones, Disks, Groups, Refusal, Result};
use super::request::{GroupRequest, NamedDevice};
use super::step::{Consent, LabelStep, OldLabel, Plan};
use super::world::World;
use super::{disks, handover, quorum, relabel, volumes};
use crate::advice::{Advised, Choice, Hint, Of};
use crate::error::Error;
use crate::model::{Disk, DiskId, Group, HostId, Name, Sectors};
use std::path::{Path, PathBuf};

/// Plans a change to a group or its disks. For a group that is to be created, `world` has the group
/// without any disk.
pub fn plan(world: &Situation, request: &GroupRequest) -> Result<Plan> {
    match request {
        GroupRequest::Create { disks, force, area } => create(world, disks, *force, area.is_none()),
        GroupRequest::Add { disks, force } => add(world, disks, *force),
        GroupRequest::RemoveDisk(media) => remove_disk(world, media),
        GroupRequest::ReplaceDisk {
            media,
            device,
            force,
        } => replace_disk(world, media, device, *force),
        GroupRequest::RestoreLabel {
            media,
            device,
            intact,
        } => relabel::restore(world, media, device, *intact),
        GroupRequest::ResizeDisk(media) => resize_disk(world, media),
        GroupRequest::Destroy => destroy(world),
        GroupRequest::Import {
            name,
            foreign,
            missing,
        } => import(world, name.as_ref(), *foreign, *missing),
        GroupRequest::Deport => deport(world),
        GroupRequest::HandOver { .. } => handover::plan(world, request),
        GroupRequest::Choose { side } => choose(world, side),
    }
}

/// What `disk init` does: labels of disks in no group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Initialisation {
    /// The labels to write.
    pub labels: Vec<LabelStep>,
    /// The changes, for the report.
    pub changes: Vec<Change>,
}

/// Plans `disk init`.
pub fn initialise(
    prospects: &Prospects,
    devices: &[PathBuf],
    force: bool,
) -> Result<Initialisation> {
    prospect::refuse_twice(prospects, devices.iter().map(PathBuf::as_path))?;
    for device in devices {
        prospect::refuse_unfit(prospects, device, force)?;
    }
    let (mut labels, mut changes) = (Vec::new(), Vec::new());
    for device in devices {
        let label = prospect::new_label(prospect::of(prospects, device)?)?;
        let initialised = Event::Initialised(Some((label.space.id, label.space.size)));
        changes.push(Change::device(device, initialised));
        labels.push(LabelStep::Write(label));
    }
    Ok(Initialisation { labels, changes })
}

fn create(world: &Situation, devices: &[NamedDevice], force: bool, keep: bool) -> Result<Plan> {
    let group = &world.group;
    if !world.evidence.namesakes.is_empty() {
        let group = group.name.clone();
        return Err(Groups::Exists { group }.into());
    }
    let new = new_disks(world, devices, (force, keep))?;
    let mut plan = Plan::nothing(group.clone());
    let created = Event::GroupCreated { uuid: group.id };
    plan.changes.push(Change::group(&group.name, created));
    add_disks(&mut plan, new);
    note_lacking(world, &mut plan);
    Ok(plan)
}

fn note_lacking(world: &Situation, plan: &mut Plan) {
    let note = world.evidence.lacking.note();
    plan.notes.extend(note.map(Hint::from));
}

fn add(world: &Situation, devices: &[NamedDevice], force: bool) -> Result<Plan> {
    quorum::refuse_minority(world)?;
    // The private area is as large as that of the other disks, so no label is kept.
    let new = new_disks(world, devices, (force, false))?;
    let mut plan = Plan::nothing(world.group.clone());
    add_disks(&mut plan, new);
    Ok(plan)
}

fn new_disks(
    world: &Situation,
    devices: &[NamedDevice],
    how: (bool, bool),
) -> Result<Vec<NewDisk>> {
    let group = &world.group;
    let taken = group.disks.iter().map(|disk| disk.media.clone()).collect();
    prospect::new_disks(&world.evidence.prospects, devices, &taken, &group.name, how)
}

fn add_disks(plan: &mut Plan, new: Vec<NewDisk>) {
    for NewDisk { disk, label, .. } in new {
        let added = Event::DiskAdded {
            media: disk.media.clone(),
            size: disk.size,
        };
        let change = Change::disk(&plan.group.name, &disk.media, added);
        plan.changes.push(change);
        plan.labels.push(label);
        plan.group.disks.push(disk);
    }
}

fn remove_disk(world: &Situation, media: &Name) -> Result<Plan> {
    quorum::refuse_minority(world)?;
    let disk = world.group.disk_named(media)?;
    let mut plan = disks::remove(world, media)?;
    match old_label(world, disk) {
        Some(label) => plan.erase.push(label),
        None => plan.notes.push(format!(
            "disk '{media}' is missing; if it comes back, it does not belong to this group any more"
        ).into()),
    }
    Ok(plan)
}

/// The label of a disk that leaves its group, or `None` if the disk is missing.
fn old_label(world: &World, disk: &Disk) -> Option<OldLabel> {
    let found = world.disks.get(&disk.id)?;
    Some(OldLabel {
        disk: disk.id,
        media: disk.media.clone(),
        path: found.path.clone(),
    })
}

/// Replaces a lost disk, or one that is to be removed, by a new one.
fn replace_disk(world: &Situation, media: &Name, device: &Path, force: bool) -> Result<Plan> {
    quorum::refuse_minority(world)?;
    let old = world.group.disk_named(media)?;
    let prospects = &world.evidence.prospects;
    let new = prospect::new_disk(prospect::of(prospects, device)?, media.clone(), false)?;
    // Its label is written before the plan's other steps, so they find it among the disks.
    let mut with_new = world.clone();
    with_new.disks.insert(new.disk.id, new.found);
    let mut plan = disks::replace(&with_new, media, &new.disk)?;
    prospect::refuse_unfit(prospects, device, force)?;
    plan.labels.push(new.label);
    // If the old disk is present, it belongs to no group from now on.
    plan.erase.extend(old_label(world, old));
    Ok(plan)
}

/// Adds the new space of a disk that has grown. The label is written first and then the
/// configuration. A crash in between leaves a label with more space than is used, which the next
/// `disk resize` finds.
fn resize_disk(world: &Situation, media: &Name) -> Result<Plan> {
    let group = &world.group;
    let disk = group.disk_named(media)?;
    let shown = world.named(media);
    let Some(sizes) = world.evidence.sizes.get(&disk.id) else {
        return Err(Disks::Unreadable { disk: shown }.into());
    };
    let size = sizes.device.unwrap_or(sizes.label);
    let mut plan = Plan::nothing(group.clone());
    if size <= disk.size {
        plan.notes.push(
            format!("disk '{shown}' has no space that is not used: {size} are for volumes").into(),
        );
        return Ok(plan);
    }
    quorum::refuse_minority(world)?;
    set_size(&mut plan.group, disk.id, size);
    let resized = Event::DiskResized {
        media: media.clone(),
        size,
        by: size.saturating_sub(disk.size),
    };
    plan.changes.push(Change::disk(&group.name, media, resized));
    let grown = sizes.device.map(|size| LabelStep::Grow {
        disk: disk.id,
        media: media.clone(),
        size,
    });
    plan.labels.extend(grown);
    Ok(plan)
}

fn set_size(group: &mut Group, id: DiskId, size: Sectors) {
    let mut disks = group.disks.iter_mut();
    if let Some(disk) = disks.find(|disk| disk.id == id) {
        disk.size = size;
    }
}

fn destroy(world: &Situation) -> Result<Plan> {
    quorum::refuse_minority(world)?;
    let group = &world.group;
    let name = &group.name;
    let mut plan = Plan::nothing(group.clone());
    if !group.volumes.is_empty() {
        let names: Vec<Name> = group.volumes.iter().map(|v| v.name.clone()).collect();
        plan = volumes::remove(world, &names, true)?;
        let shown: Vec<&str> = names.iter().map(Name::as_str).collect();
        plan.consent = Some(Consent {
            question: format!("destroy group '{name}' with {}?", shown.join(", ")),
            refusal: Groups::HasVolumes {
                group: name.clone(),
                volumes: names,
            }
            .into(),
        });
    }
    plan.group.destroyed = true;
    for disk in &group.disks {
        match old_label(world, disk) {
            Some(label) => plan.erase.push(label),
            None => plan.notes.push(
                format!(
                    "disk '{}' is missing; if it comes back, its label still names group '{name}'",
                    disk.media
                )
                .into(),
            ),
        }
    }
    plan.changes.push(Change::group(name, Event::Destroyed));
    Ok(plan)
}

/// Imports a group, under a new name if another is wanted. A group that this machine has imported
/// already can be renamed in this way, as long as none of its volumes is started.
fn import(
    world: &Situation,
    new_name: Option<&Name>,
    foreign: bool,
    missing: bool,
) -> Result<Plan> {
    let group = &world.group;
    let name = new_name.unwrap_or(&group.name);
    let here = world
        .host
        .ok_or_else(|| Error::failed("this machine has no identity"))?;
    if group.is_unfinished() {
        let group = group.name.clone();
        return Err(Clones::Unfinished { group }.into());
    }
    let is_ours = group.host == Some(here);
    let mut plan = Plan::nothing(group.clone());
    // That gives up the missing disks, so that those present may speak for the group from then on.
    let gives_up = missing && quorum::refuse_minority(world).is_err();
    if is_ours && group.name == *name && !gives_up {
        return Ok(plan);
    }
    if is_ours {
        refuse_started(world)?;
    }
    if let Some(other) = world.evidence.namesakes.first() {
        return Err(Groups::NameTaken {
            name: name.clone(),
            by: *other,
            group: group.id,
        }
        .into());
    }
    if !foreign {
        refuse_elsewhere(world, here)?;
    }
    if !missing {
        refuse_incomplete(world)?;
    }
    plan.group.host = Some(here);
    plan.group.name = name.clone();
    plan.forced = foreign || missing;
    if gives_up {
        quorum::give_up_missing(world, &mut plan.group);
    }
    let imported = Event::Imported {
        disks: plan.group.disks.len(),
        was: (*name != group.name).then(|| group.name.clone()),
    };
    plan.changes.push(Change::group(name, imported));
    let start = Hint::from("its volumes are not started: ");
    plan.notes
        .push(start.line(Advised::StartAll(Of::group(name))));
    note_lacking(world, &mut plan);
    Ok(plan)
}

/// Refuses a group that another machine has imported.
fn refuse_elsewhere(world: &World, here: HostId) -> Result<()> {
    let group = &world.group;
    match group.host.filter(|host| *host != here) {
        None => Ok(()),
        Some(host) => {
            let group = group.name.clone();
            Err(Groups::ImportedElsewhere { group, host }.into())
        }
    }
}

/// Refuses a group of which at least half of the disks are missing. Fewer missing disks only cost a
/// warning, which was given when the group was read.
fn refuse_incomplete(world: &Situation) -> Result<()> {
    quorum::refuse_minority(world).map_err(|refusal| {
        let hint = Hint::from("plug in the rest, or repeat ")
            .choice(Choice::Force)
            .and(" if it is lost for good");
        Refusal::Other(Error::from(refusal).hint(hint))
    })
}

fn refuse_started(world: &World) -> Result<()> {
    let started = world.group.volumes.iter();
    let started: Vec<Name> = started
        .filter(|v| v.running == Some(world.boot))
        .map(|v| v.name.clone())
        .collect();
    if started.is_empty() {
        return Ok(());
    }
    Err(Groups::Started {
        group: world.group.name.clone(),
        volumes: started,
    }
    .into())
}

fn deport(world: &Situation) -> Result<Plan> {
    quorum::refuse_minority(world)?;
    refuse_started(world)?;
    let mut plan = Plan::nothing(world.group.clone());
    plan.group.host = None;
    plan.changes
        .push(Change::group(&world.group.name, Event::Deported));
    Ok(plan)
}

/// Resolves a split brain in favour of the side that `world` shows. Gives up what only the other
/// sides have; the contents of their disks are written anew.
fn choose(world: &Situation, side: &str) -> Result<Plan> {
    let name = &world.group.name;
    let Some(others) = &world.evidence.other_sides else {
        refuse_missing(world)?;
        return Ok(Plan::nothing(world.group.clone()));
    };
    refuse_running_otherwise(world)?;
    let mut plan = disks::invalidate(world, &others.disks)?;
    let chosen = Event::SideChosen(SideChosen {
        side: side.to_owned(),
        disks_of_others: others.disks.len(),
        volumes_given_up: others.volumes.clone(),
    });
    plan.changes.insert(0, Change::group(name, chosen));
    let what = if others.volumes.is_empty() {
        "what the other sides wrote".to_owned()
    } else {
        let volumes = others.volumes.join(", ");
        format!("{volumes} and what the other sides wrote")
    };
    plan.consent = Some(Consent {
        question: format!("give up {what}?"),
        refusal: Groups::GivesUp {
            group: name.clone(),
            what,
        }
        .into(),
    });
    Ok(plan)
}

/// Refuses to say that nothing is to be chosen while disks are missing, which may be another side.
fn refuse_missing(world: &World) -> Result<()> {
    let group = &world.group;
    let missing = group.disks.iter();
    let missing: Vec<Name> = missing
        .filter(|disk| !world.disks.contains_key(&disk.id))
        .map(|disk| disk.media.clone())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(Groups::OneSide {
        group: group.name.clone(),
        missing,
    }
    .into())
}

/// Refuses if a device runs here according to another side's configuration: it cannot be brought in
/// line with the chosen one.
fn refuse_running_otherwise(world: &World) -> Result<()> {
    let runs = |id| {
        let volume = world.group.volume(id);
        volume.is_some_and(|v| v.running == Some(world.boot))
    };
    let mut devices = world.devices.values();
    match devices.find(|d| d.uuid.volume().is_none_or(|id| !runs(id))) {
        None => Ok(()),
        Some(device) => Err(Groups::RunsOtherwise {
            group: world.group.name.clone(),
            device: device.name.clone(),
        }
        .into()),
    }
}
