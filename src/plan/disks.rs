//! Disks of a group: `group replace-disk`, the removal of a disk, and disks that return with other
//! contents.

use super::activate::apply;
use super::change::{Attaching, Event};
use super::draft::Draft;
use super::evidence::Situation;
use super::refusal::{Disks, Result, Space};
use super::relations;
use super::step::Plan;
use super::world::World;
use crate::advice::{Advised, Hint, Of};
use crate::model::{
    Disk, DiskId, Extent, Name, Plex, PlexEvent, PlexState, Sectors, Standing, Untracked, Volume,
};

/// Replaces the disk with this media name by `new`, which gets that name, with all extents at the
/// same place. The plexes on it are filled again from the others; snapshot legs, which are not
/// worth a copy, are removed. All this is one commit.
///
/// Refuses to replace a present disk that has the only complete plex of a volume, because nothing
/// else has its data. On a missing disk that data is lost, which is reported.
pub fn replace(world: &Situation, media: &Name, new: &Disk) -> Result<Plan> {
    let mut draft = Draft::new(world);
    let old = world.group.disk_named(media)?.clone();
    refuse_small(world, &old, new)?;
    for volume in world
        .group
        .volumes
        .iter()
        .filter(|v| v.extents().any(|e| e.disk == old.id))
    {
        move_volume(&mut draft, volume, &old, new)?;
    }
    let replaced = Event::DiskReplaced {
        media: media.clone(),
        uuid: new.id,
        size: new.size,
    };
    draft.say_of_disk(media, replaced);
    draft.plan.group.standing.remove(&old.id);
    draft
        .plan
        .group
        .disks
        .iter_mut()
        .filter(|d| d.id == old.id)
        .for_each(|d| {
            *d = Disk {
                media: media.clone(),
                ..new.clone()
            }
        });
    draft.finish()
}

/// Removes a disk from its group. On a missing disk, logs, copies of maps, failed plexes and
/// snapshot legs are given up, because they are worthless without it or can be made again. A plex
/// in use prevents the removal; the refusal names its volume and what to do.
pub fn remove(world: &Situation, media: &Name) -> Result<Plan> {
    let mut draft = Draft::new(world);
    let disk = world.group.disk_named(media)?.clone();
    let on_it: Vec<&Volume> = world
        .group
        .volumes
        .iter()
        .filter(|v| v.extents().any(|e| e.disk == disk.id))
        .collect();
    if world.disks.contains_key(&disk.id) && !on_it.is_empty() {
        return Err(Disks::HoldsVolumes {
            disk: world.named(media),
            volumes: on_it.iter().map(|v| v.name.clone()).collect(),
        }
        .into());
    }
    if let [_] = world.group.disks.as_slice() {
        let disk = world.named(media);
        return Err(Disks::Last { disk }.into());
    }
    on_it
        .iter()
        .try_for_each(|volume| refuse_in_use(world, volume, &disk))?;
    on_it
        .into_iter()
        .try_for_each(|volume| give_up(&mut draft, volume, &disk))?;
    draft.plan.group.disks.retain(|d| d.id != disk.id);
    draft.plan.group.standing.remove(&disk.id);
    let removed = Event::DiskRemoved {
        media: media.clone(),
    };
    draft.say_of_disk(media, removed);
    draft.finish()
}

/// Refuses to remove a missing disk that holds a plex in use: giving up that plex is the
/// administrator's decision.
fn refuse_in_use(world: &World, volume: &Volume, disk: &Disk) -> Result<()> {
    let on_it = |plex: &&Plex| plex.subdisks.iter().any(|s| s.disk == disk.id);
    let given_up = |plex: &&Plex| {
        matches!(plex.state, PlexState::Failed | PlexState::Stale) || plex.state.is_snapshot_leg()
    };
    let Some(plex) = volume
        .plexes
        .iter()
        .filter(on_it)
        .find(|plex| !given_up(plex) || volume.plexes.len() == 1)
    else {
        return Ok(());
    };
    Err(Disks::HoldsPlex {
        disk: world.named(&disk.media),
        plex: plex.name.clone(),
        volume: world.named(&volume.name),
        another: volume.in_state(PlexState::Active).any(|p| !on_it(&p)),
    }
    .into())
}

fn give_up(draft: &mut Draft<'_>, volume: &Volume, disk: &Disk) -> Result<()> {
    let on_it = |plex: &&Plex| plex.subdisks.iter().any(|s| s.disk == disk.id);
    for plex in volume.plexes.iter().filter(on_it) {
        apply(draft.touch(volume.id)?, plex, PlexEvent::Removed);
        draft.say(&volume.name, Event::removed(plex));
    }
    forget(draft, volume, &|extent| extent.disk == disk.id)
}

/// Gives up the volume's extents there other than plexes: the log, and copies of maps.
pub(super) fn forget(
    draft: &mut Draft<'_>,
    volume: &Volume,
    is_there: &dyn Fn(&Extent) -> bool,
) -> Result<()> {
    let changed = draft.touch(volume.id)?;
    // The log is written anew, wherever there is space, once the plexes are in sync.
    changed.log = changed.log.take().filter(|log| !is_there(&log.extent));
    changed
        .plexes
        .iter_mut()
        .for_each(|p| p.dco = p.dco.take().filter(|dco| !dco.copies.iter().any(is_there)));
    let copies = volume
        .dco
        .iter()
        .flat_map(|dco| dco.copies.iter().enumerate());
    let lost: Vec<usize> = copies
        .filter(|(_, copy)| is_there(copy))
        .map(|(at, _)| at)
        .collect();
    let changes = relations::drop_copies(&mut draft.plan.group, volume.id, &lost);
    draft.plan.changes.extend(changes);
    Ok(())
}

/// Invalidates the contents of these disks, which were changed independently of the configuration
/// in force. Their plexes are filled again from other plexes, if there are any, when the volumes
/// are started; logs and maps on them are made again. The plan is committed in any case, so that
/// the disks get the configuration.
pub fn invalidate(world: &Situation, parted: &[DiskId]) -> Result<Plan> {
    let mut draft = Draft::new(world);
    let on_them = |extent: &Extent| parted.contains(&extent.disk);
    for volume in world
        .group
        .volumes
        .iter()
        .filter(|v| v.extents().any(on_them))
    {
        invalidate_volume(&mut draft, volume, &on_them)?;
    }
    let known = parted.iter().filter(|id| world.group.disk(**id).is_some());
    draft
        .plan
        .group
        .standing
        .extend(known.map(|id| (*id, Standing::Joining)));
    draft.plan.forced = true;
    draft.finish()
}

fn invalidate_volume(
    draft: &mut Draft<'_>,
    volume: &Volume,
    on_them: &dyn Fn(&Extent) -> bool,
) -> Result<()> {
    let path = draft.path(&volume.name);
    let is_on_them = |plex: &Plex| plex.subdisks.iter().any(on_them);
    let first_is_ours = volume.complete().first().is_some_and(|p| !is_on_them(p));
    let survives = volume.in_state(PlexState::Active).any(|p| !is_on_them(p))
        && (volume.is_synced() || first_is_ours);
    let is_good = |plex: &&Plex| !matches!(plex.state, PlexState::Failed | PlexState::Stale);
    for plex in volume
        .plexes
        .iter()
        .filter(|p| is_on_them(p))
        .filter(is_good)
    {
        if survives {
            apply(draft.touch(volume.id)?, plex, PlexEvent::Failed);
            if let Some(failed) = draft.touch(volume.id)?.plex(plex.number).cloned() {
                apply(draft.touch(volume.id)?, &failed, PlexEvent::Reattached);
            }
            let state = draft.touch(volume.id)?.plex(plex.number).map(|p| p.state);
            draft.say(&volume.name, Event::failed(plex, state));
        } else {
            draft.note(format!(
                "'{path}' has no other plex than '{}', which holds the last writes of the other side",
                plex.name
            ));
        }
    }
    if !survives && volume.complete().into_iter().any(is_on_them) {
        invalidate_contents(draft, volume)?;
    }
    forget(draft, volume, on_them)
}

/// Invalidates what is recorded of a volume whose contents were changed independently of the
/// configuration in force: its plexes may no longer be in sync, and no map has what was written.
fn invalidate_contents(draft: &mut Draft<'_>, volume: &Volume) -> Result<()> {
    let changed = draft.touch(volume.id)?;
    if changed.complete().len() > 1 {
        changed.synced = Sectors::ZERO;
    }
    let changes = relations::untrack(&mut draft.plan.group, volume.id, None, Untracked::MapLost);
    draft.plan.changes.extend(changes);
    Ok(())
}

fn refuse_small(world: &World, old: &Disk, new: &Disk) -> Result<()> {
    // Logs and maps are allocated anew. Only plexes have to fit at the same place.
    let plexes = world
        .group
        .volumes
        .iter()
        .flat_map(|v| &v.plexes)
        .flat_map(|p| &p.subdisks);
    let ends = plexes.filter(|e| e.disk == old.id).map(Extent::end);
    let needed = ends.max().unwrap_or(Sectors::ZERO);
    if needed <= new.size {
        return Ok(());
    }
    Err(Space::DiskTooSmall {
        disk: world.named(&old.media),
        has: new.size,
        needed,
    }
    .into())
}

fn move_volume(draft: &mut Draft<'_>, volume: &Volume, old: &Disk, new: &Disk) -> Result<()> {
    let path = draft.path(&volume.name);
    let on_it = |plex: &&Plex| plex.subdisks.iter().any(|s| s.disk == old.id);
    let moved: Vec<&Plex> = volume.plexes.iter().filter(on_it).collect();
    // Snapshot legs on the disk are removed.
    if moved.iter().any(|p| !p.state.is_snapshot_leg()) {
        draft.world.refuse_larger_sectors(volume, [new.id])?;
    }
    let elsewhere = volume.in_state(PlexState::Active).any(|p| !on_it(&p));
    let first_is_there = volume.complete().first().is_some_and(|p| !on_it(p));
    let survives = elsewhere && (volume.is_synced() || first_is_there);
    if !survives {
        refuse_loss(draft, volume, old, &moved)?;
    }
    for plex in moved {
        move_plex(draft, volume, plex, survives, &path)?;
    }
    let changed = draft.touch(volume.id)?;
    let extents = changed.plexes.iter_mut().flat_map(|p| &mut p.subdisks);
    extents
        .filter(|extent| extent.disk == old.id)
        .for_each(|extent| extent.disk = new.id);
    let together = draft.world.group.volumes.len();
    draft.choose_lanes(volume.id, None, together)?;
    forget(draft, volume, &|extent| extent.disk == old.id)?;
    if !survives && volume.complete().iter().any(on_it) {
        let remove = Advised::Remove(Of::both(&draft.world.group.name, &volume.name));
        let lost = format!("'{path}' has lost its only complete plex: remove it with ");
        draft.note(
            Hint::from(lost)
                .line(remove)
                .and(", and restore its contents from a backup"),
        );
    }
    Ok(())
}

/// Refuses to give up the only complete data plex of a volume, unless its disk is missing and the
/// volume is stopped.
fn refuse_loss(draft: &Draft<'_>, volume: &Volume, old: &Disk, moved: &[&Plex]) -> Result<()> {
    let (disk, lost) = (old.media.clone(), draft.world.named(&volume.name));
    let is_here = draft.world.disks.contains_key(&old.id);
    if is_here && moved.iter().any(|p| p.state == PlexState::Active) {
        return Err(Disks::HoldsOnlyPlex { disk, volume: lost }.into());
    }
    if draft.is_live(volume) {
        return Err(Disks::LossWhileStarted { disk, volume: lost }.into());
    }
    Ok(())
}

/// Moves a plex to the new disk, which does not have its data yet: the plex fails, and is filled
/// again if it can be.
fn move_plex(
    draft: &mut Draft<'_>,
    volume: &Volume,
    plex: &Plex,
    survives: bool,
    path: &str,
) -> Result<()> {
    let running = draft.is_live(volume);
    apply(draft.touch(volume.id)?, plex, PlexEvent::Failed);
    let failed = draft.touch(volume.id)?.plex(plex.number).cloned();
    let Some(failed) = failed else {
        draft.say(&volume.name, Event::removed(plex));
        return Ok(());
    };
    if running && survives {
        apply(draft.touch(volume.id)?, &failed, PlexEvent::Reattached);
        let attaching = Attaching {
            plex: plex.name.clone(),
            state: PlexState::Reviving,
            size: volume.size,
            disks: None,
        };
        draft.say(&volume.name, Event::Attaching(attaching));
        return Ok(());
    }
    draft.say(&volume.name, Event::failed(plex, Some(failed.state)));
    if survives {
        let attach = Advised::PlexAttach(Of::both(&draft.world.group.name, &plex.name));
        let fill = format!("fill '{}' when '{path}' is started: ", plex.name);
        draft.note(Hint::from(fill).line(attach));
    }
    Ok(())
}
