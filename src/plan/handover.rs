//! The verbs `group split`, `group move` and `group join`: disks go from one group to another, with
//! the volumes on them.
//!
//! All is one commit of the group that gives ([`crate::model::Handover`]). Before it, the devices of
//! the volumes that go are removed: they have the group in their names. After it, the group that
//! receives writes the labels of its new disks; a crash in between leaves that to the next command.
//!
//! Whole disks go. What goes with what is decided by plexes and by maps of changes, which would be lost;
//! a log or one of two copies of a map on the wrong side is given up, since it can be made again.

use super::change::{Change, Event};
use super::draft::{Draft, plex_name};
use super::evidence::Situation;
use super::quorum;
use super::refusal::{Disks, Groups, Result, Verb};
use super::relations;
use super::request::{GroupRequest, Receiver, What};
use super::step::Plan;
use super::world::World;
use crate::model::handover::{clashes, part};
use crate::model::space::Wish;
use crate::model::{
    Dco, DiskId, Extent, Group, GroupId, Handover, HandoverId, Name, Sectors, Volume, VolumeId,
};
use crate::table::log;
use std::collections::BTreeSet;

/// Disks and volumes that can only go together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Closure {
    /// The disks, by media name, in the order of the group.
    pub disks: Vec<Name>,
    /// The volumes on them.
    pub volumes: Vec<Name>,
    /// Those of both that were not asked for and that have to come along: volumes, and disks that
    /// only these need.
    pub beyond: Vec<Name>,
}

/// What goes, by identity.
#[derive(Default)]
struct Set {
    disks: BTreeSet<DiskId>,
    volumes: BTreeSet<VolumeId>,
}

/// What has to go together with these objects: names of volumes and media names.
pub fn closure(world: &World, what: &What) -> Result<Closure> {
    let asked = asked(world, what)?;
    let all = closed(&world.group, &asked);
    Ok(named(&world.group, &asked, &all))
}

/// Plans the handover.
pub fn plan(world: &Situation, request: &GroupRequest) -> Result<Plan> {
    let GroupRequest::HandOver {
        to, what, expand, ..
    } = request
    else {
        return Ok(Plan::nothing(world.group.clone()));
    };
    quorum::refuse_minority(world)?;
    let asked = asked(world, what)?;
    let all = closed(&world.group, &asked);
    let group = &world.group.name;
    let closure = named(&world.group, &asked, &all);
    if !closure.beyond.is_empty() && !expand {
        let beyond = closure.beyond;
        let group = group.clone();
        return Err(Groups::NotClosed { group, beyond }.into());
    }
    let is_whole = all.disks.len() == world.group.disks.len();
    if is_whole && !matches!(what, What::All) {
        let group = group.clone();
        return Err(Groups::NothingStays { group }.into());
    }
    let missing = world.group.disks.iter();
    let missing = missing.filter(|d| all.disks.contains(&d.id) && !world.disks.contains_key(&d.id));
    if let Some(disk) = missing.map(|disk| disk.media.clone()).next() {
        return Err(Disks::Missing { disk }.into());
    }
    let receiver = receiver(world, to)?;
    hand_over(world, &all, receiver)
}

/// The group that receives, without disks and volumes, and whether it begins with the handover.
fn receiver(world: &Situation, to: &Receiver) -> Result<(Group, bool)> {
    match to {
        Receiver::New(name) => {
            if !world.evidence.namesakes.is_empty() {
                let group = name.clone();
                return Err(Groups::Exists { group }.into());
            }
            let group = Group::empty(GroupId::random(), name.clone(), world.group.host);
            Ok((group, true))
        }
        Receiver::Existing(name) => {
            let known = world.evidence.receiver.as_ref();
            let known = known.ok_or_else(|| Groups::NoReceiver {
                group: name.clone(),
            })?;
            if known.id == world.group.id {
                let group = name.clone();
                return Err(Groups::Itself { group }.into());
            }
            let group = Group::empty(known.id, known.name.clone(), known.host);
            Ok((group, false))
        }
    }
}

fn hand_over(world: &Situation, all: &Set, (mut to, begins): (Group, bool)) -> Result<Plan> {
    let mut draft = Draft::new(world);
    let goes = |id: DiskId| all.disks.contains(&id);
    let stays = |id: DiskId| !all.disks.contains(&id);
    let going = world
        .group
        .volumes
        .iter()
        .filter(|v| all.volumes.contains(&v.id));
    for volume in going.clone() {
        draft.require_closed(volume, Verb::Moved)?;
    }
    for volume in going {
        let mut moved = volume.clone();
        moved.running = None;
        give_up_log(&mut draft, &mut moved, &all.disks);
        give_up_copies(&mut moved, &goes);
        draft.drop_volume(volume.id);
        draft.say(
            &volume.name,
            Event::Moved {
                to: to.name.clone(),
            },
        );
        to.volumes.push(moved);
    }
    for disk in world.group.disks.iter().filter(|disk| goes(disk.id)) {
        to.disks.push(disk.clone());
        let moved = Event::Moved {
            to: to.name.clone(),
        };
        draft.say_of_disk(&disk.media, moved);
        draft.keep_disk_free(disk.id, disk.size);
    }
    let group = &mut draft.plan.group;
    group.disks.retain(|disk| stays(disk.id));
    group.standing.retain(|id, _| stays(*id));
    // From here on both sides know what they have to track.
    part(group, &mut to);
    // What stays loses what it has on the disks that go.
    let staying = world.group.volumes.iter();
    for volume in staying.filter(|v| !all.volumes.contains(&v.id)) {
        if volume.extents().any(|extent| goes(extent.disk)) {
            give_up(&mut draft, volume, &stays)?;
        }
    }
    if let Some(receiver) = world.evidence.receiver.as_ref().filter(|_| !begins) {
        rename_disks(&mut draft, receiver, &mut to);
        rename_plexes(&mut draft, receiver, &mut to);
        let taken = clashes(receiver, &to);
        if !taken.is_empty() {
            let group = to.name.clone();
            return Err(Groups::NamesClash { group, taken }.into());
        }
    }
    if begins {
        let created = Event::GroupCreated { uuid: to.id };
        draft
            .plan
            .changes
            .insert(0, Change::group(&to.name, created));
    }
    let generation = world.generation;
    draft.plan.group.handovers.push(Handover {
        id: HandoverId::random(),
        generation: generation.next().unwrap_or(generation),
        to,
        begins,
    });
    draft.finish()
}

/// Gives disks another media name if the group that receives them has one of that name. Media names are
/// often the same, since they are chosen for those who name none.
fn rename_disks(draft: &mut Draft<'_>, receiver: &Group, to: &mut Group) {
    let from = draft.world.group.name.clone();
    let is_taken = |group: &Group, name: &Name| group.disks.iter().any(|d| d.media == *name);
    for at in 0..to.disks.len() {
        let old = to.disks[at].media.clone();
        if !is_taken(receiver, &old) {
            continue;
        }
        let speaking = [format!("{from}-{old}")].into_iter();
        let numbered = (1..=u16::MAX).map(|number| format!("disk{number:02}"));
        let mut names = speaking
            .chain(numbered)
            .filter_map(|name| Name::parse(&name).ok());
        let free = |name: &Name| !is_taken(receiver, name) && !is_taken(to, name);
        if let Some(name) = names.find(free) {
            draft.note(format!(
                "disk '{old}' of group '{from}' is called '{name}' in group '{}', which has a '{old}'",
                receiver.name
            ));
            to.disks[at].media = name;
        }
    }
}

/// Gives plexes another name if the group that receives them has one of that name: a plex keeps its name
/// when its volume is renamed.
fn rename_plexes(draft: &mut Draft<'_>, receiver: &Group, to: &mut Group) {
    let plexes = |group: &Group| -> Vec<Name> {
        let all = group.volumes.iter().flat_map(|volume| &volume.plexes);
        all.map(|plex| plex.name.clone()).collect()
    };
    let theirs: BTreeSet<Name> = plexes(receiver).into_iter().collect();
    let mut taken: BTreeSet<Name> = plexes(to).into_iter().chain(theirs.clone()).collect();
    for volume in &mut to.volumes {
        for plex in volume
            .plexes
            .iter_mut()
            .filter(|p| theirs.contains(&p.name))
        {
            let mut names =
                (1..=u16::MAX).filter_map(|number| plex_name(&volume.name, number).ok());
            if let Some(name) = names.find(|name| !taken.contains(name)) {
                draft.note(format!(
                    "plex '{}' is called '{name}' in group '{}', which has a '{0}'",
                    plex.name, receiver.name
                ));
                taken.insert(name.clone());
                plex.name = name;
            }
        }
    }
}

/// Gives a volume that goes a log on the disks that go, if its log is on another one. Without space
/// there it goes without.
fn give_up_log(draft: &mut Draft<'_>, volume: &mut Volume, disks: &BTreeSet<DiskId>) {
    let Some(old) = volume.log.take_if(|log| !disks.contains(&log.extent.disk)) else {
        return;
    };
    let wish = Wish {
        length: log::space(volume.size, old.region),
        on: disks.iter().copied().collect(),
        at_end: true,
        ..Wish::default()
    };
    let space = draft.free.take(&wish).and_then(|e| e.into_iter().next());
    match space {
        Some(extent) => volume.log = Some(crate::model::Log { extent, live: false, ..old }),
        None => draft.note(format!(
            "there is no space for the dirty region log of '{}' on the disks that it lies on: it has none from now on",
            volume.name
        )),
    }
}

/// Gives up the copies of maps of a volume that goes, as far as they are on other disks.
fn give_up_copies(volume: &mut Volume, goes: &dyn Fn(DiskId) -> bool) {
    let keep = |dco: &mut Dco| dco.copies.retain(|copy| goes(copy.disk));
    volume.dco.iter_mut().for_each(keep);
    for plex in &mut volume.plexes {
        plex.dco.iter_mut().for_each(keep);
        plex.dco = plex.dco.take().filter(|dco| !dco.copies.is_empty());
    }
    volume.dco = volume.dco.take().filter(|dco| !dco.copies.is_empty());
}

/// Gives up the log and the copies of maps of a volume that stays, as far as they are on the disks that
/// go.
fn give_up(draft: &mut Draft<'_>, volume: &Volume, stays: &dyn Fn(DiskId) -> bool) -> Result<()> {
    let lost = |extent: &Extent| !stays(extent.disk);
    if let Some(dco) = &volume.dco {
        let copies = dco.copies.iter().enumerate();
        let gone: Vec<usize> = copies
            .filter(|(_, copy)| lost(copy))
            .map(|(at, _)| at)
            .collect();
        relations::drop_copies(&mut draft.plan.group, volume.id, &gone);
    }
    let changed = draft.touch(volume.id)?;
    for plex in &mut changed.plexes {
        plex.dco
            .iter_mut()
            .for_each(|dco| dco.copies.retain(|copy| stays(copy.disk)));
        plex.dco = plex.dco.take().filter(|dco| !dco.copies.is_empty());
    }
    if changed.log.as_ref().is_some_and(|log| lost(&log.extent)) {
        changed.log = None;
        let unlogged = changed.clone();
        let log = draft.optional_log(&unlogged);
        draft.touch(volume.id)?.log = log;
    }
    Ok(())
}

/// What was asked for: the volumes that are named and those on the disks that are named, and the disks of
/// the volumes that are named.
fn asked(world: &World, what: &What) -> Result<Set> {
    let group = &world.group;
    let names = match what {
        What::All => {
            return Ok(Set {
                disks: group.disks.iter().map(|disk| disk.id).collect(),
                volumes: group.volumes.iter().map(|v| v.id).collect(),
            });
        }
        What::These(names) => names,
    };
    let mut asked = Set::default();
    let mut on_disks = BTreeSet::new();
    for name in names {
        if let Some(volume) = group.volumes.iter().find(|v| v.name == *name) {
            asked.volumes.insert(volume.id);
            asked.disks.extend(
                volume
                    .plexes
                    .iter()
                    .flat_map(|p| &p.subdisks)
                    .map(|s| s.disk),
            );
        } else if let Some(disk) = group.disks.iter().find(|d| d.media == *name) {
            on_disks.insert(disk.id);
        } else {
            let object = world.named(name);
            return Err(Groups::NoObject { object }.into());
        }
    }
    let there = group.volumes.iter().filter(|v| lies_on(v, &on_disks));
    asked.volumes.extend(there.map(|v| v.id));
    asked.disks.extend(on_disks);
    Ok(asked)
}

/// What has to go together with this.
fn closed(group: &Group, asked: &Set) -> Set {
    let mut all = Set {
        disks: asked.disks.clone(),
        volumes: asked.volumes.clone(),
    };
    loop {
        let before = (all.disks.len(), all.volumes.len());
        for volume in &group.volumes {
            if all.volumes.contains(&volume.id) {
                all.disks.extend(needed(volume, &all.disks));
            } else if lies_on(volume, &all.disks) {
                all.volumes.insert(volume.id);
            }
        }
        if before == (all.disks.len(), all.volumes.len()) {
            return all;
        }
    }
}

/// Whether a volume cannot stay when these disks go: a plex, or all of a map in use, lies on them.
fn lies_on(volume: &Volume, disks: &BTreeSet<DiskId>) -> bool {
    let mut subdisks = volume.plexes.iter().flat_map(|p| &p.subdisks);
    subdisks.any(|s| disks.contains(&s.disk))
        || volume
            .live_dco()
            .is_some_and(|dco| dco.copies.iter().all(|copy| disks.contains(&copy.disk)))
}

/// The disks that a volume needs, of which it has these already.
fn needed(volume: &Volume, disks: &BTreeSet<DiskId>) -> Vec<DiskId> {
    let subdisks = volume.plexes.iter().flat_map(|p| &p.subdisks);
    let mut needed: Vec<DiskId> = subdisks.map(|s| s.disk).collect();
    let map = volume.live_dco().map(|dco| &dco.copies);
    let has_map = |copies: &[Extent]| {
        copies
            .iter()
            .any(|copy| disks.contains(&copy.disk) || needed.contains(&copy.disk))
    };
    let first = map.filter(|copies| !has_map(copies));
    needed.extend(
        first
            .and_then(|copies| copies.first())
            .map(|copy| copy.disk),
    );
    // The change logs of legs that come back are in the first copy.
    let logs = volume.returning.and(map).and_then(|copies| copies.first());
    needed.extend(logs.map(|copy| copy.disk));
    needed
}

fn named(group: &Group, asked: &Set, all: &Set) -> Closure {
    let disks = group.disks.iter().filter(|d| all.disks.contains(&d.id));
    let volumes = group.volumes.iter().filter(|v| all.volumes.contains(&v.id));
    let more = volumes.clone().filter(|v| !asked.volumes.contains(&v.id));
    let more_disks = disks.clone().filter(|d| !asked.disks.contains(&d.id));
    Closure {
        beyond: more
            .map(|v| v.name.clone())
            .chain(more_disks.map(|d| d.media.clone()))
            .collect(),
        disks: disks.map(|d| d.media.clone()).collect(),
        volumes: volumes.map(|v| v.name.clone()).collect(),
    }
}

impl Draft<'_> {
    /// Allocates nothing on a disk.
    fn keep_disk_free(&mut self, disk: DiskId, size: Sectors) {
        self.free.keep_off(&Extent {
            disk,
            start: Sectors::ZERO,
            length: size,
        });
    }
}
