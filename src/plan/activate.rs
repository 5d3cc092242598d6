//! The verbs `start` and `stop`.

use super::change::Event;
use super::draft::Draft;
use super::evidence::Situation;
use super::quorum;
use super::refusal::{Refusal, Result, Verb, Volumes};
use super::relations;
use super::request::Selection;
use super::step::Plan;
use super::world::World;
use crate::model::{Extent, LostLeg, Next, Plex, PlexEvent, PlexState, Sectors, Volume, distinct};

/// The volumes of a selection. All volumes come in the order of the group.
fn selected<'w>(world: &'w Situation, which: &Selection) -> Result<Vec<&'w Volume>> {
    match which {
        Selection::All => Ok(world.group.volumes.iter().collect()),
        Selection::Named(names) | Selection::Each(names) => names
            .iter()
            .map(|name| Ok(world.group.volume_named(name)?))
            .collect(),
    }
}

/// Creates the devices of the recorded stacks. A snapshot leg whose attach was interrupted is
/// removed; a data plex is filled again. After anything but a clean stop, mirrors are
/// resynchronised (by their log if there is one) before they count as equal. `start` does not wait
/// for that.
///
/// With [`Selection::All`] and [`Selection::Each`] a volume that cannot be started is one of the plan's
/// failures, and the others are started.
///
/// Unless forced, refuses a group without a quorum, and a volume whose present plexes were still
/// being resynchronised from a missing one.
pub fn start(world: &Situation, which: &Selection, force: bool) -> Result<Plan> {
    let doubt = match quorum::refuse_minority(world) {
        Err(refusal) if !force => return Err(refusal),
        Err(refusal) => Some(refusal.message()),
        Ok(()) => None,
    };
    let mut plan = each(world, which, &|draft, volume| {
        if draft.is_live(volume) {
            Ok(())
        } else {
            start_one(draft, volume, force)
        }
    })?;
    if let Some(doubt) = doubt {
        quorum::give_up_missing(world, &mut plan.group);
        plan.notes.push(doubt.into());
        plan.forced = true;
    }
    Ok(plan)
}

/// Applies `act` to each selected volume. If it fails for a named volume, the command fails; with
/// [`Selection::All`] and [`Selection::Each`] the others continue.
fn each(
    world: &Situation,
    which: &Selection,
    act: &dyn Fn(&mut Draft<'_>, &Volume) -> Result<()>,
) -> Result<Plan> {
    let mut draft = Draft::new(world);
    for volume in selected(world, which)? {
        match act(&mut draft, volume) {
            Ok(()) => {}
            Err(refusal) if matches!(which, Selection::Named(_)) => return Err(refusal),
            Err(refusal) => draft.fail(refusal),
        }
    }
    draft.finish()
}

fn start_one(draft: &mut Draft<'_>, volume: &Volume, force: bool) -> Result<()> {
    let (world, path) = (draft.world, draft.path(&volume.name));
    match require_source(world, volume) {
        Err(refusal) if !force => return Err(refusal),
        Err(refusal) => draft.note(format!(
            "{}; it continues without the last writes",
            refusal.message()
        )),
        Ok(()) => {}
    }
    // The start of another volume may have changed this one already.
    let mut next = draft.plan.group.volume(volume.id).unwrap_or(volume).clone();
    let clean = volume.running.is_none();
    for plex in &volume.plexes {
        if lost_disk(world, plex).is_some() {
            apply(&mut next, plex, PlexEvent::Failed);
            remember_loss(world, &mut next, plex);
        }
    }
    // Nothing is given up of a volume that cannot be started.
    if !next.plexes.iter().any(|p| p.state == PlexState::Active) {
        return Err(cannot_start(world, volume));
    }
    invalidate_map(draft, &mut next, clean)?;
    let given_up: Vec<&Plex> = volume
        .plexes
        .iter()
        .filter(|p| !copy_goes_on(&next, p) && lost_disk(world, p).is_none())
        .collect();
    for plex in given_up {
        apply(&mut next, plex, PlexEvent::Started);
    }
    let lost_log = next
        .log
        .as_ref()
        .is_some_and(|log| !world.disks.contains_key(&log.extent.disk));
    if lost_log {
        next.log = None;
    }
    let mirrored = next.complete().len() > 1;
    next.synced = match (mirrored, clean) {
        (false, _) => next.size,
        (true, true) => next.synced,
        (true, false) => Sectors::ZERO,
    };
    if lost_log {
        next.log = draft.optional_log(&next);
    }
    next.running = Some(world.boot);
    report_start(draft, volume, &next, clean, &path);
    *draft.touch(volume.id)? = next;
    Ok(())
}

/// Whether an interrupted copy to a plex is continued. The copy to a leg that comes back with a
/// change log continues where it was. The copy to a data plex begins again, because the volume was
/// promised that plex. An interrupted snapshot leg is given up.
fn copy_goes_on(volume: &Volume, plex: &Plex) -> bool {
    volume.returning.is_some() || matches!(plex.state, PlexState::Attaching | PlexState::Reviving)
}

/// Ends tracking with a map that is damaged, whose disks are missing, or from which this kernel may
/// have lost something when the machine crashed.
fn invalidate_map(draft: &mut Draft<'_>, next: &mut Volume, clean: bool) -> Result<()> {
    let world = draft.world;
    let Some(dco) = next.live_dco() else {
        return Ok(());
    };
    let lost =
        |copy: &Extent| !world.disks.contains_key(&copy.disk) || world.evidence.is_damaged(copy);
    // Each copy has everything that was recorded: what was in flight when the machine crashed had
    // not been acknowledged.
    let gone: Vec<usize> = dco
        .copies
        .iter()
        .enumerate()
        .filter(|(_, copy)| lost(copy))
        .map(|(at, _)| at)
        .collect();
    let group = &mut draft.plan.group;
    let mut changes = relations::drop_copies(group, next.id, &gone);
    if !clean && world.evidence.era.survives_crash == Some(false) {
        changes.extend(relations::untrack(
            group,
            next.id,
            None,
            crate::model::Untracked::OldKernel,
        ));
        relations::reconcile_tracking(group);
    }
    if let Some(settled) = group.volume(next.id) {
        (next.dco, next.returning, next.origin) = (
            settled.dco.clone(),
            settled.returning,
            settled.origin.clone(),
        );
    }
    draft.plan.changes.extend(changes);
    Ok(())
}

/// Refuses to start a volume that was being resynchronised without its first plex. The other plexes
/// lack the writes made meanwhile, which went to the first one alone (K23).
fn require_source(world: &World, volume: &Volume) -> Result<()> {
    let complete = volume.complete();
    let Some(source) = complete
        .first()
        .filter(|_| !volume.is_synced() && complete.len() > 1)
    else {
        return Ok(());
    };
    let Some(disk) = lost_disk(world, source).and_then(|id| world.group.disk(id)) else {
        return Ok(());
    };
    Err(Volumes::SourceMissing {
        volume: world.named(&volume.name),
        source: source.name.clone(),
        disk: disk.media.clone(),
    }
    .into())
}

/// The first missing disk of a plex, if there is one.
fn lost_disk(world: &World, plex: &Plex) -> Option<crate::model::DiskId> {
    plex.subdisks
        .iter()
        .map(|s| s.disk)
        .find(|disk| !world.disks.contains_key(disk))
}

/// Applies an event to a plex of the volume, by the transition table of plex states.
pub fn apply(volume: &mut Volume, plex: &Plex, event: PlexEvent) {
    match plex.state.on(event) {
        Next::State(state) => volume
            .plexes
            .iter_mut()
            .filter(|p| p.number == plex.number)
            .for_each(|p| p.state = state),
        Next::Gone => volume.plexes.retain(|p| p.number != plex.number),
        Next::Refused => {}
    }
}

/// Records why a failed snapshot leg was removed, so that `snapwait` can report it until legs are
/// attached again.
pub fn remember_loss(world: &World, volume: &mut Volume, leg: &Plex) {
    if leg.state.is_snapshot_leg() && volume.plex(leg.number).is_none() {
        let disks = distinct(leg.subdisks.iter().map(|s| s.disk));
        let media = disks
            .into_iter()
            .filter_map(|id| world.group.disk(id))
            .map(|disk| disk.media.clone())
            .collect();
        volume.lost_leg = Some(LostLeg {
            plex: leg.name.clone(),
            media,
            at: world.now,
        });
    }
}

fn cannot_start(world: &World, volume: &Volume) -> Refusal {
    let lost = volume
        .plexes
        .iter()
        .filter_map(|p| lost_disk(world, p))
        .filter_map(|id| world.group.disk(id))
        .map(|d| d.media.clone())
        .collect();
    let complete_leg = volume
        .plexes
        .iter()
        .find(|p| p.state == PlexState::SnapDone && lost_disk(world, p).is_none());
    Volumes::CannotStart {
        volume: world.named(&volume.name),
        lost,
        leg: complete_leg.map(|leg| leg.name.clone()),
    }
    .into()
}

fn report_start(draft: &mut Draft<'_>, before: &Volume, after: &Volume, clean: bool, path: &str) {
    for plex in &before.plexes {
        match after.plex(plex.number).map(|p| p.state) {
            None => draft.say(&before.name, Event::removed(plex)),
            Some(state) if state != plex.state => {
                draft.say(&before.name, Event::state(plex, state));
            }
            Some(_) => {}
        }
    }
    draft.say(&before.name, Event::Started { clean });
    for plex in after.attaching() {
        let how = if after.returning.is_some() {
            "goes on"
        } else {
            "begins again"
        };
        draft.note(format!(
            "the copy to '{}' of '{path}', which was interrupted, {how}",
            plex.name
        ));
    }
    if after.complete().len() > 1 && !after.is_synced() {
        let how = if after.live_log().is_some() {
            "the regions that were being written"
        } else {
            "everything"
        };
        draft.note(format!("'{path}' was not stopped cleanly: the kernel resynchronises its plexes ({how}); it can be used meanwhile"));
    }
}

/// Removes the devices, and records that all plexes are equal.
///
/// With [`Selection::All`] a volume that is open is one of the plan's failures, and the others are
/// stopped.
pub fn stop(world: &Situation, which: &Selection) -> Result<Plan> {
    each(world, which, &stop_one)
}

fn stop_one(draft: &mut Draft<'_>, volume: &Volume) -> Result<()> {
    let world = draft.world;
    let mut devices = world.devices_of(volume.id);
    let has_devices = devices.any(|d| !d.waits_to_be_closed());
    if volume.running.is_none() && !has_devices {
        return Ok(());
    }
    // A volume that ran when the machine crashed was not stopped cleanly. `start` decides what that
    // means for its plexes.
    if volume.running.is_some_and(|boot| boot != world.boot) && !has_devices {
        return Ok(());
    }
    draft.require_closed(volume, Verb::Stopped)?;
    draft.touch(volume.id)?.running = None;
    let path = world.group.path(&volume.name);
    draft.say(&volume.name, Event::Stopped);
    for leg in volume.attaching() {
        if copy_goes_on(volume, leg) {
            draft.note(format!(
                "the copy to '{}' continues when '{path}' is started",
                leg.name
            ));
            continue;
        }
        draft.note(format!(
            "the copy to '{}' was given up: it is removed when '{path}' is started",
            leg.name
        ));
    }
    Ok(())
}
