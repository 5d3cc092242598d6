//! What was seen in the kernel, and the plans that follow from it. Whoever looks first records it.

use super::activate::apply;
use super::change::Change;
use super::draft::Draft;
use super::request::Finding;
use super::step::{CommitPoint, Plan, Prepare};
use super::transition;
use super::world::World;
use crate::error::{Error, Result};
use crate::model::{DmUuid, PlexEvent, PlexState, Role, Volume, VolumeId};
use crate::sys::SuspendMode;
use crate::table::stack::{LegOf, mirror_roles};
use crate::table::status::MirrorStatus;
use crate::table::without_legs;

/// Everything that is to be recorded or repaired, failures first: only they keep somebody waiting.
pub fn findings(world: &World) -> Vec<Finding> {
    let live = || world.group.volumes.iter().filter(|v| v.running == Some(world.boot));
    let failed = live().filter_map(|v| failed_plexes(world, v).map(|plexes| Finding::Failed(v.id, plexes)));
    let resynced = live().filter(|v| !v.is_synced() && base_in_sync(world, v)).map(|v| Finding::Resynced(v.id));
    let attached = live().filter(|v| attached(world, v)).map(|v| Finding::Attached(v.id));
    failed.chain(resynced).chain(attached).collect()
}

/// The plan that a finding asks for.
pub fn plan(world: &World, finding: &Finding) -> Result<Plan> {
    match finding {
        Finding::Attached(id) => record_attached(world, *id),
        Finding::Resynced(id) => record_resynced(world, *id),
        Finding::Failed(id, plexes) => give_up(world, *id, plexes),
    }
}

/// Brings the kernel to what is recorded, for every volume: after an interrupted command, a failed step, or a failed leg.
/// The configuration is not changed.
pub fn converge(world: &World) -> Result<Plan> {
    let mut plan = Plan::nothing(world.group.clone());
    let mut ids: Vec<VolumeId> = world.group.volumes.iter().map(|v| v.id).collect();
    for orphan in world.devices.keys().filter_map(DmUuid::volume) {
        if !ids.contains(&orphan) {
            ids.push(orphan);
        }
    }
    transition::steps(world, &mut plan, &ids, &transition::Terms::default())?;
    Ok(plan)
}

/// The status of a mirror, if the kernel's mirror has just the legs that the configuration gives it.
fn status<'w>(world: &'w World, volume: &Volume, role: &Role, legs: &[LegOf]) -> Option<&'w MirrorStatus> {
    let dev = |role: &Role| world.devices.get(&DmUuid::new(world.group.id, volume.id, role)).map(|d| d.dev);
    let expected = legs.iter().map(|leg| match leg {
        LegOf::Plex(number) => dev(&Role::Plex(*number)),
        LegOf::Below(role) => dev(role),
    });
    let status = world.devices.get(&DmUuid::new(world.group.id, volume.id, role))?.mirror.as_ref()?;
    status.legs.iter().map(|(dev, _)| Some(*dev)).eq(expected).then_some(status)
}

/// The plexes whose leg shows any letter but `A`. A mirror whose first leg fails while others are being filled from it cannot
/// fill them, and writes to regions that are not in sync went to the first leg alone: then it is the others that are given up.
/// The last complete data plex is never given up.
fn failed_plexes(world: &World, volume: &Volume) -> Option<Vec<u16>> {
    let mut failed = Vec::new();
    for (role, legs, attaching) in mirror_roles(volume).ok()? {
        let Some(status) = status(world, volume, &role, &legs) else { continue };
        for (at, _) in status.failed_legs() {
            match &legs[at] {
                LegOf::Plex(_) | LegOf::Below(_) if at == 0 && (attaching || !volume.is_synced()) => {
                    failed.extend(plex_numbers(&legs[1..]))
                }
                LegOf::Plex(number) => failed.push(*number),
                LegOf::Below(_) => {}
            }
        }
    }
    failed.sort_unstable();
    failed.dedup();
    let survives = |v: &&crate::model::Plex| v.state == PlexState::Active && !failed.contains(&v.number);
    if !volume.plexes.iter().any(|p| survives(&p)) {
        let keep = volume.complete().first().map(|p| p.number);
        failed.retain(|number| Some(*number) != keep);
    }
    (!failed.is_empty()).then_some(failed)
}

fn plex_numbers(legs: &[LegOf]) -> Vec<u16> {
    let number = |leg: &LegOf| match leg {
        LegOf::Plex(number) => Some(*number),
        LegOf::Below(_) => None,
    };
    legs.iter().filter_map(number).collect()
}

/// Whether all mirrors of complete plexes say that they are in sync.
fn base_in_sync(world: &World, volume: &Volume) -> bool {
    let Ok(roles) = mirror_roles(volume) else { return false };
    let mut base = roles.iter().filter(|(_, _, attaching)| !attaching).peekable();
    base.peek().is_some() && base.all(|(role, legs, _)| status(world, volume, role, legs).is_some_and(MirrorStatus::in_sync))
}

/// Whether every leg being attached is in sync, and so is what lies below.
fn attached(world: &World, volume: &Volume) -> bool {
    let Ok(roles) = mirror_roles(volume) else { return false };
    let mut attaching = roles.iter().filter(|(_, _, attaching)| *attaching).peekable();
    let base_is_mirror = volume.complete().len() > 1;
    attaching.peek().is_some()
        && (volume.is_synced() || !base_is_mirror)
        && attaching.all(|(role, legs, _)| status(world, volume, role, legs).is_some_and(MirrorStatus::in_sync))
}

/// SNAPATT → SNAPDONE (and ACTIVE for data plexes); layers collapse into one flat mirror at an instant when all are equal.
fn record_attached(world: &World, id: VolumeId) -> Result<Plan> {
    let mut draft = Draft::new(world);
    let volume = observed(world, id)?;
    let path = draft.path(&volume.name);
    let numbers: Vec<u16> = volume.attaching().iter().map(|p| p.number).collect();
    draft.equal_terms(id, numbers);
    for plex in volume.attaching() {
        apply(draft.touch(id)?, plex, PlexEvent::Synced);
        let state = draft.touch(id)?.plex(plex.number).map_or(plex.state, |p| p.state);
        draft.say(Change::new(&path, "plex-state").text("plex", &plex.name).text("was", plex.state).text("state", state));
    }
    let done = draft.touch(id)?;
    done.synced = done.size;
    if volume.plexes.iter().any(|p| p.state == PlexState::Attaching) {
        let done = done.clone();
        draft.touch(id)?.log = draft.optional_log(&done);
    }
    draft.finish()
}

fn record_resynced(world: &World, id: VolumeId) -> Result<Plan> {
    let mut draft = Draft::new(world);
    let volume = observed(world, id)?;
    let path = draft.path(&volume.name);
    draft.equal_terms(id, volume.complete().iter().map(|p| p.number).collect());
    let done = draft.touch(id)?;
    done.synced = done.size;
    draft.say(Change::new(path, "resynced"));
    draft.finish()
}

/// Records the failure first, then lets the I/O flow: the mirrors that hold it go on without the failed legs (`noflush`, no
/// freeze: K2). What remains to be tidied up is left to [`converge`], when nothing is held any more.
fn give_up(world: &World, id: VolumeId, plexes: &[u16]) -> Result<Plan> {
    let volume = observed(world, id)?;
    let path = world.group.path(&volume.name);
    let mut plan = Plan::nothing(world.group.clone());
    plan.window.commit = CommitPoint::First;
    for (role, legs, _) in mirror_roles(volume)?.into_iter().rev() {
        let lost: Vec<usize> = (0..legs.len()).filter(|at| matches!(&legs[*at], LegOf::Plex(n) if plexes.contains(n))).collect();
        let uuid = DmUuid::new(world.group.id, id, &role);
        let Some(live) = world.devices.get(&uuid).filter(|_| !lost.is_empty()) else { continue };
        let Some(lines) = without_legs(&live.table, &lost, volume.is_synced()) else { continue };
        plan.prepare.push(Prepare::LoadRaw { uuid: uuid.clone(), lines });
        plan.window.suspend.push((uuid.clone(), SuspendMode::NoFlush));
        plan.window.resume.push((uuid, transition::links(volume, &role)));
    }
    // What is held in a lower mirror keeps the one above from being suspended: from the bottom up here.
    plan.window.suspend.reverse();
    plan.window.resume.reverse();
    let failing = volume.plexes.iter().filter(|p| plexes.contains(&p.number));
    for plex in failing {
        if let Some(changed) = plan.group.volume_mut(id) {
            apply(changed, plex, PlexEvent::Failed);
        }
        let state = plan.group.volume(id).and_then(|v| v.plex(plex.number)).map(|p| p.state);
        let what = Change::new(&path, "plex-failed").text("plex", &plex.name).text("was", plex.state);
        plan.changes.push(what.text("state", state.map_or("removed", PlexState::word)));
    }
    Ok(plan)
}

fn observed(world: &World, id: VolumeId) -> Result<&Volume> {
    world.group.volume(id).ok_or_else(|| Error::failed("a volume vanished while its state was being recorded"))
}
