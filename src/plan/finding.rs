//! What was seen in the kernel, and the plans that follow from it. Whoever looks first records it.

use super::activate::{apply, remember_loss};
use super::change::Change;
use super::change::{Event, PlexFailed};
use super::draft::{Draft, release_logs};
use super::refusal::{Bug, Result};
use super::relations;
use super::request::{Finding, Lost};
use super::snapback;
use super::step::{CommitPoint, Plan, Prepare};
use super::transition;
use super::volumes::disks_of;
use super::world::World;
use crate::model::volume::MAX_COPIES;
use crate::model::{DevNo, DmUuid, Plex, PlexEvent, PlexState, Role, Volume, VolumeId, distinct};
use crate::table::stack::{LegOf, mirror_roles};
use crate::table::status::MirrorStatus;
use crate::table::{DmDevice, Links, SuspendMode, TargetLine, Without, without};

/// Everything that is to be recorded or repaired, failures first: only they keep somebody waiting.
pub fn findings(world: &World) -> Vec<Finding> {
    let live = || {
        world
            .group
            .volumes
            .iter()
            .filter(|v| v.running == Some(world.boot))
    };
    let failed = live().filter_map(|v| lost(world, v).map(|lost| Finding::Failed(v.id, lost)));
    let resynced = live()
        .filter(|v| !v.is_synced() && base_in_sync(world, v))
        .map(|v| Finding::Resynced(v.id));
    let attached = live()
        .filter(|v| attached(world, v))
        .map(|v| Finding::Attached(v.id));
    let inexact = live()
        .filter(|v| v.returning.is_some_and(|r| !r.exact))
        .map(|v| Finding::Inexact(v.id));
    failed
        .chain(inexact)
        .chain(resynced)
        .chain(attached)
        .collect()
}

/// The plan that a finding asks for.
pub fn plan(world: &World, finding: &Finding) -> Result<Plan> {
    match finding {
        Finding::Attached(id) => record_attached(world, *id),
        Finding::Resynced(id) => record_resynced(world, *id),
        Finding::Failed(id, lost) => give_up(world, *id, lost),
        Finding::Inexact(id) => snapback::complete_log(world, *id),
    }
}

/// A mirror that holds writes for a leg or a log whose failure is recorded already: somebody died
/// between recording it and acting on it. Nothing above such a mirror can be suspended, so it is
/// reloaded alone, from its own live table; what it has to be in the end is for [`converge`], when
/// nothing is held any more.
pub fn unhold(world: &World) -> Option<Plan> {
    let mut plan = Plan::nothing(world.group.clone());
    plan.window.commit = CommitPoint::First;
    for device in world.devices.values() {
        let Some(status) = device.mirror.as_ref().filter(|status| status.has_failed()) else {
            continue;
        };
        if device.uuid.role() == Some(Role::Map) {
            unhold_map(world, device, status, &mut plan);
        } else if let Some(volume) = device.uuid.volume().and_then(|id| world.group.volume(id)) {
            unhold_legs(world, volume, device, status, &mut plan);
        }
    }
    // From the bottom up, as for a failure that is seen now.
    plan.window
        .suspend
        .sort_by_key(|(uuid, _)| std::cmp::Reverse(transition::rank(uuid)));
    plan.window
        .resume
        .sort_by_key(|(uuid, _)| std::cmp::Reverse(transition::rank(uuid)));
    plan.has_steps().then_some(plan)
}

/// A mirror goes on without the legs and the log that the configuration does not have (any more).
fn unhold_legs(
    world: &World,
    volume: &Volume,
    device: &DmDevice,
    status: &MirrorStatus,
    plan: &mut Plan,
) {
    let is = |dev: DevNo, wanted: &dyn Fn(u16) -> bool| {
        let leg = world
            .devices
            .values()
            .find(|d| d.dev == dev)
            .and_then(|d| d.uuid.role());
        matches!(leg, Some(Role::Plex(number)) if wanted(number))
    };
    let attaching = |number| volume.attaching().iter().any(|p| p.number == number);
    let out = |number| !attaching(number) && !volume.complete().iter().any(|p| p.number == number);
    let gone: Vec<usize> = (0..status.legs.len())
        .filter(|at| is(status.legs[*at].0, &out))
        .collect();
    let filled = status.legs.iter().any(|(dev, _)| is(*dev, &attaching));
    let has_log = if filled {
        volume.returning.is_some()
    } else {
        volume.live_log().is_some()
    };
    let log = uses_log(device) && !has_log;
    if gone.is_empty() && !log {
        return;
    }
    let equal = volume.is_synced() && !filled;
    if let Some(lines) = without(&device.table, Without { legs: &gone, log }, equal) {
        let role = device.uuid.role().unwrap_or(Role::Volume);
        let links = transition::links(volume, &role);
        reload(plan, device.uuid.clone(), lines, links);
    }
}

/// The same for a map: it goes on without the legs on disks where the configuration has no copy of
/// it (any more, or yet). The sink, which is the last leg, stays.
fn unhold_map(world: &World, device: &DmDevice, status: &MirrorStatus, plan: &mut Plan) {
    let volume = device.uuid.volume().and_then(|id| world.group.volume(id));
    let copies: Vec<DevNo> = volume
        .iter()
        .flat_map(|v| v.live_dco())
        .flat_map(|d| &d.copies)
        .filter_map(|copy| world.number(copy.disk))
        .collect();
    let last = status.legs.len().saturating_sub(1);
    let gone: Vec<usize> = (0..last)
        .filter(|at| !copies.contains(&status.legs[*at].0))
        .collect();
    if gone.is_empty() {
        return;
    }
    let without_them = Without {
        legs: &gone,
        log: false,
    };
    if let Some(lines) = without(&device.table, without_them, true) {
        reload(plan, device.uuid.clone(), lines, Links::Hidden);
    }
}

/// The copies of the map that have failed, by position. The others hold all that was noted.
fn lost_maps(world: &World, volume: &Volume) -> Vec<usize> {
    let copies = volume
        .live_dco()
        .map(|dco| dco.copies.as_slice())
        .unwrap_or_default();
    let map = world
        .devices
        .get(&DmUuid::new(world.group.id, volume.id, &Role::Map))
        .and_then(|d| d.mirror.as_ref());
    let status = map.filter(|status| status.legs.len() == copies.len() + 1);
    let failed: Vec<usize> = status
        .iter()
        .flat_map(|status| status.failed_legs())
        .map(|(at, _)| at)
        .collect();
    (0..copies.len())
        .filter(|at| failed.contains(at) || world.known.damaged.contains(&copies[*at]))
        .collect()
}

/// Brings the kernel to what is recorded, for every volume: after an interrupted command, a failed
/// step, or a failed leg. The configuration is not changed. A volume for which that cannot be had,
/// because a disk is missing, is a failure of its own.
pub fn converge(world: &World) -> Plan {
    let mut plan = Plan::nothing(world.group.clone());
    let mut ids: Vec<VolumeId> = world.group.volumes.iter().map(|v| v.id).collect();
    for orphan in world.devices.keys().filter_map(DmUuid::volume) {
        if !ids.contains(&orphan) {
            ids.push(orphan);
        }
    }
    transition::recorded(world, &mut plan, &ids);
    plan
}

/// The kernel's mirror that has just the legs which the configuration gives one. When the tracking
/// of changes has just begun or ended, the topmost mirror may still be, or be already, where the
/// other one of the two has it.
fn mirror_of<'w>(
    world: &'w World,
    volume: &Volume,
    role: &Role,
    legs: &[LegOf],
) -> Option<(&'w DmDevice, &'w MirrorStatus)> {
    let dev = |role: &Role| {
        world
            .devices
            .get(&DmUuid::new(world.group.id, volume.id, role))
            .map(|d| d.dev)
    };
    let expected = legs.iter().map(|leg| match leg {
        LegOf::Plex(number) => dev(&Role::Plex(*number)),
        LegOf::Below(role) => dev(role),
    });
    let expected: Vec<Option<DevNo>> = expected.collect();
    let roles = match role {
        Role::Volume => vec![Role::Volume, Role::Data],
        Role::Data => vec![Role::Data, Role::Volume],
        other => vec![other.clone()],
    };
    roles.iter().find_map(|role| {
        let device = world
            .devices
            .get(&DmUuid::new(world.group.id, volume.id, role))?;
        let status = device.mirror.as_ref()?;
        status
            .legs
            .iter()
            .map(|(dev, _)| Some(*dev))
            .eq(expected.iter().copied())
            .then_some((device, status))
    })
}

fn status<'w>(
    world: &'w World,
    volume: &Volume,
    role: &Role,
    legs: &[LegOf],
) -> Option<&'w MirrorStatus> {
    mirror_of(world, volume, role, legs).map(|(_, status)| status)
}

/// The plexes whose leg shows any letter but `A`. A mirror whose first leg fails while others are
/// being filled from it cannot fill them, and writes to regions that are not in sync went to the
/// first leg alone: then it is the others that are given up. When no data plex would be left a
/// complete snapshot leg takes its place: it holds all that was acknowledged. Without one the last
/// complete data plex stays, whatever it is worth.
fn lost(world: &World, volume: &Volume) -> Option<Lost> {
    let mut failed = Vec::new();
    let (mut log, mut changes) = (false, false);
    for (role, legs, attaching) in mirror_roles(volume).ok()? {
        let Some(status) = status(world, volume, &role, &legs) else {
            continue;
        };
        log |= status.log_failed && !attaching;
        changes |= status.log_failed && attaching;
        for (at, _) in status.failed_legs() {
            match &legs[at] {
                LegOf::Plex(_) | LegOf::Below(_)
                    if at == 0 && (attaching || !volume.is_synced()) =>
                {
                    failed.extend(plex_numbers(&legs[1..]))
                }
                LegOf::Plex(number) => failed.push(*number),
                LegOf::Below(_) => {}
            }
        }
    }
    failed.sort_unstable();
    failed.dedup();
    let survives = |state: PlexState| volume.in_state(state).any(|p| !failed.contains(&p.number));
    if !(survives(PlexState::Active) || (volume.is_synced() && survives(PlexState::SnapDone))) {
        let keep = volume.complete().first().map(|p| p.number);
        failed.retain(|number| Some(*number) != keep);
    }
    // The log goes with its disk: read anew from a dead one it would say that nothing is in sync,
    // and the plexes that are left would part without anybody knowing.
    log |= volume.log.as_ref().is_some_and(|l| {
        let on_it = |number: &u16| {
            volume
                .plex(*number)
                .is_some_and(|p| p.subdisks.iter().any(|s| s.disk == l.extent.disk))
        };
        failed.iter().any(on_it)
    });
    let maps = lost_maps(world, volume);
    (log || changes || !maps.is_empty() || !failed.is_empty()).then_some(Lost {
        plexes: failed,
        log,
        changes,
        maps,
    })
}

/// The volumes whose mirror goes on without the log that it should have. Good to have, and no
/// repair: nobody waits for it.
pub fn unlogged(world: &World) -> Vec<VolumeId> {
    let live = world
        .group
        .volumes
        .iter()
        .filter(|v| v.running == Some(world.boot));
    live.filter(|v| log_missing(world, v))
        .map(|v| v.id)
        .collect()
}

/// Whether a mirror that should have a log has none, or does not use it. A log that has just been
/// lost is allocated elsewhere once writes flow again.
fn log_missing(world: &World, volume: &Volume) -> bool {
    let held = world.occupied(volume.id, &Role::Log).is_some();
    if volume.live_log().is_some() || !volume.attaching().is_empty() || !volume.is_synced() || held
    {
        return false;
    }
    match &volume.log {
        Some(_) => volume.complete().len() > 1,
        None => {
            let mirrored = volume.in_state(PlexState::Active).count() > 1 && volume.log_wanted;
            mirrored && Draft::new(world).allocate_log_elsewhere(volume).is_ok()
        }
    }
}

/// Whether a mirror goes on without the log that it is to have: after a crash all of it would be
/// copied.
pub fn lacks_log(world: &World, volume: &Volume) -> bool {
    let mirrored = volume.in_state(PlexState::Active).count() > 1 && volume.log_wanted;
    mirrored
        && volume.running == Some(world.boot)
        && volume.is_synced()
        && volume.live_log().is_none()
}

/// Gives such a volume its log.
pub fn add_log(world: &World, id: VolumeId) -> Result<Plan> {
    let mut draft = Draft::new(world);
    let volume = observed(world, id)?;
    // One that is there and out of use comes into use again; it is written anew either way.
    draft.touch(id)?;
    if volume.log.is_none() {
        draft.touch(id)?.log = Some(draft.allocate_log_elsewhere(volume)?);
        draft.say(&volume.name, Event::LogAdded);
    }
    draft.finish()
}

/// The volumes for whose next map there is space on another disk: what was lost with a disk, or was
/// not there when the leg came.
pub fn short_of_copies(world: &World) -> Vec<VolumeId> {
    let live = world
        .group
        .volumes
        .iter()
        .filter(|v| v.running == Some(world.boot));
    let waits = |v: &&Volume| v.fast_resync && v.live_dco().is_none() && v.returning.is_none();
    let short = live.filter(waits).filter(|v| {
        v.plexes
            .iter()
            .any(|p| p.state.is_snapshot_leg() && !has_all_copies(v, p))
    });
    short
        .filter(|v| {
            Draft::new(world)
                .complete_dcos(v.id)
                .is_ok_and(|copies| copies > 0)
        })
        .map(|v| v.id)
        .collect()
}

fn has_all_copies(volume: &Volume, leg: &Plex) -> bool {
    [&volume.dco, &leg.dco].iter().all(|dco| {
        dco.as_ref()
            .is_some_and(|dco| dco.copies.len() == MAX_COPIES)
    })
}

/// Takes that space.
pub fn add_copies(world: &World, id: VolumeId) -> Result<Plan> {
    let mut draft = Draft::new(world);
    let copies = draft.complete_dcos(id)?;
    // Another volume may have got what was left.
    if copies > 0 {
        draft.say(&observed(world, id)?.name, Event::MapSpaceAdded { copies });
    }
    draft.finish()
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
    let Ok(roles) = mirror_roles(volume) else {
        return false;
    };
    let mut base = roles
        .iter()
        .filter(|(_, _, attaching)| !attaching)
        .peekable();
    base.peek().is_some()
        && base.all(|(role, legs, _)| {
            status(world, volume, role, legs).is_some_and(MirrorStatus::in_sync)
        })
}

/// Whether every leg being attached is in sync, and so is what lies below.
fn attached(world: &World, volume: &Volume) -> bool {
    let Ok(roles) = mirror_roles(volume) else {
        return false;
    };
    let mut attaching = roles
        .iter()
        .filter(|(_, _, attaching)| *attaching)
        .peekable();
    let base_is_mirror = volume.complete().len() > 1;
    attaching.peek().is_some()
        && (volume.is_synced() || !base_is_mirror)
        && volume.returning.is_none_or(|r| r.exact)
        && attaching.all(|(role, legs, _)| {
            status(world, volume, role, legs).is_some_and(MirrorStatus::in_sync)
        })
}

/// SNAPATT → SNAPDONE (and ACTIVE for data plexes); layers collapse into one flat mirror at an
/// instant when all are equal.
fn record_attached(world: &World, id: VolumeId) -> Result<Plan> {
    let mut draft = Draft::new(world);
    let volume = observed(world, id)?;
    let numbers: Vec<u16> = volume.attaching().iter().map(|p| p.number).collect();
    draft.equal_terms(id, numbers);
    for plex in volume.attaching() {
        apply(draft.touch(id)?, plex, PlexEvent::Synced);
        let state = draft
            .touch(id)?
            .plex(plex.number)
            .map_or(plex.state, |p| p.state);
        draft.say(&volume.name, Event::state(plex, state));
    }
    let done = draft.touch(id)?;
    done.synced = done.size;
    done.returning = None;
    take_back_legs(&mut draft, id)?;
    if volume
        .plexes
        .iter()
        .any(|p| p.state == PlexState::Attaching)
    {
        let done = draft.touch(id)?.clone();
        draft.touch(id)?.log = draft.optional_log(&done);
    }
    draft.finish()
}

/// A restore is over: the legs that it was made from are snapshot legs again.
fn take_back_legs(draft: &mut Draft<'_>, id: VolumeId) -> Result<()> {
    let restored = draft.touch(id)?.clone();
    let lent: Vec<&Plex> = restored.plexes.iter().filter(|p| p.lent).collect();
    if lent.is_empty()
        || !restored
            .plexes
            .iter()
            .any(|p| p.state == PlexState::Active && !p.lent)
    {
        return Ok(());
    }
    for plex in lent {
        apply(draft.touch(id)?, plex, PlexEvent::ToSnapdone);
        draft.say(&restored.name, Event::state(plex, PlexState::SnapDone));
    }
    draft.provide_dcos(id)?;
    let restored = draft.touch(id)?.clone();
    draft.touch(id)?.log = draft.optional_log(&restored);
    Ok(())
}

fn record_resynced(world: &World, id: VolumeId) -> Result<Plan> {
    let mut draft = Draft::new(world);
    let volume = observed(world, id)?;
    draft.equal_terms(id, volume.complete().iter().map(|p| p.number).collect());
    let done = draft.touch(id)?;
    done.synced = done.size;
    draft.say(&volume.name, Event::Resynced);
    draft.finish()
}

/// Records the failure first, then lets the I/O flow: the mirrors that hold it go on without the
/// failed legs (`noflush`, no freeze: K2). What remains to be tidied up is left to [`converge`],
/// when nothing is held any more.
fn give_up(world: &World, id: VolumeId, lost: &Lost) -> Result<Plan> {
    let volume = observed(world, id)?;
    let mut plan = Plan::nothing(world.group.clone());
    plan.window.commit = CommitPoint::First;
    let reloaded = give_up_legs(world, volume, lost, &mut plan)?;
    give_up_maps(world, volume, &lost.maps, &mut plan);
    // What is held in a lower mirror keeps the one above from being suspended: from the bottom up
    // here.
    plan.window.suspend.reverse();
    plan.window.resume.reverse();
    give_up_logs(world, volume, lost, &reloaded, &mut plan);
    plan.changes
        .extend(relations::drop_copies(&mut plan.group, id, &lost.maps));
    for plex in &volume.plexes {
        if lost.plexes.contains(&plex.number) {
            record_failure(world, volume, plex, &mut plan);
        }
    }
    replace_last_plex(world, volume, &mut plan);
    relations::settle(&mut plan.group);
    release_logs(&mut plan.group, &[id]);
    Ok(plan)
}

/// What the mirrors that go on without some of their legs have lost beside them.
#[derive(Default)]
struct Reloaded {
    /// The dirty region log was in use, and is not any more.
    without_log: bool,
    /// Legs that were being filled, which begin again.
    while_filling: bool,
}

/// Each mirror that has lost a leg, or its log, is loaded again without it.
fn give_up_legs(world: &World, volume: &Volume, lost: &Lost, plan: &mut Plan) -> Result<Reloaded> {
    let mut reloaded = Reloaded::default();
    for (role, legs, attaching) in mirror_roles(volume)?.into_iter().rev() {
        let is_lost = |leg: &LegOf| matches!(leg, LegOf::Plex(n) if lost.plexes.contains(n));
        let gone: Vec<usize> = (0..legs.len()).filter(|at| is_lost(&legs[*at])).collect();
        let log = if attaching { lost.changes } else { lost.log };
        let Some((live, _)) = mirror_of(world, volume, &role, &legs)
            .filter(|(live, _)| !gone.is_empty() || (log && uses_log(live)))
        else {
            continue;
        };
        let uuid = live.uuid.clone();
        let role = uuid.role().unwrap_or(role);
        // Legs that are being filled are not equal, and begin again without the one that is gone.
        let equal = volume.is_synced() && !attaching;
        let without_them = Without {
            legs: &gone,
            log: true,
        };
        let Some(lines) = without(&live.table, without_them, equal) else {
            continue;
        };
        reloaded.without_log |= uses_log(live) && !attaching;
        reloaded.while_filling |= attaching;
        reload(plan, uuid, lines, transition::links(volume, &role));
    }
    Ok(reloaded)
}

/// A table that takes the place of a live one in the window, without waiting for what is held.
fn reload(plan: &mut Plan, uuid: DmUuid, lines: Vec<TargetLine>, links: Links) {
    plan.prepare.push(Prepare::LoadRaw {
        uuid: uuid.clone(),
        lines,
    });
    plan.window
        .suspend
        .push((uuid.clone(), SuspendMode::NoFlush));
    plan.window.resume.push((uuid, links));
}

/// On the disk the log says that the region of the write that failed is not equal; the survivors
/// are, or will be as soon as what is held is written to them. So the log is out of use until it
/// can be written anew.
fn give_up_logs(world: &World, volume: &Volume, lost: &Lost, reloaded: &Reloaded, plan: &mut Plan) {
    let Some(changed) = plan.group.volume_mut(volume.id) else {
        return;
    };
    if let Some(log) = &mut changed.log {
        log.live &= !reloaded.without_log;
    }
    if reloaded.while_filling {
        changed.returning = None;
    }
    if lost.log {
        changed.log = None;
        plan.changes.push(Change::volume(
            &world.group.name,
            &volume.name,
            Event::LogFailed,
        ));
    }
}

fn record_failure(world: &World, volume: &Volume, plex: &Plex, plan: &mut Plan) {
    let mut state = None;
    if let Some(changed) = plan.group.volume_mut(volume.id) {
        apply(changed, plex, PlexEvent::Failed);
        remember_loss(world, changed, plex);
        state = changed.plex(plex.number).map(|p| p.state);
    }
    let failed = PlexFailed {
        plex: plex.name.clone(),
        was: plex.state,
        state,
        disks: Some(disks_of(world, [plex])),
        devices: Some(devices_of(world, volume.id, plex)),
    };
    let failed = Event::PlexFailed(failed);
    plan.changes
        .push(Change::volume(&world.group.name, &volume.name, failed));
}

/// A complete snapshot leg takes the place of the last data plex.
fn replace_last_plex(world: &World, volume: &Volume, plan: &mut Plan) {
    let Some(changed) = plan.group.volume_mut(volume.id) else {
        return;
    };
    if changed.in_state(PlexState::Active).next().is_some() {
        return;
    }
    let Some(leg) = changed.in_state(PlexState::SnapDone).next().cloned() else {
        return;
    };
    apply(changed, &leg, PlexEvent::ToActive);
    let path = world.group.path(&volume.name);
    plan.notes.push(format!(
        "'{path}' has lost its last data plex; its complete snapshot leg '{}' takes its place",
        leg.name
    ));
    let taken = Event::state(&leg, PlexState::Active);
    plan.changes
        .push(Change::volume(&world.group.name, &volume.name, taken));
}

/// The map goes on without the copies that have failed; without any it becomes the sink, so that
/// what is held flows on.
fn give_up_maps(world: &World, volume: &Volume, gone: &[usize], plan: &mut Plan) {
    let uuid = DmUuid::new(world.group.id, volume.id, &Role::Map);
    let Some(live) = world.devices.get(&uuid).filter(|_| !gone.is_empty()) else {
        return;
    };
    let without_them = Without {
        legs: gone,
        log: false,
    };
    let Some(lines) = without(&live.table, without_them, true) else {
        return;
    };
    reload(plan, uuid, lines, transition::links(volume, &Role::Map));
}

/// Whether the live table of a mirror has a dirty region log on disk.
fn uses_log(mirror: &DmDevice) -> bool {
    mirror
        .table
        .iter()
        .any(|line| line.params.starts_with("disk "))
}

/// Where a plex lies: by path, or by number when its disk cannot be read any more.
fn devices_of(world: &World, id: VolumeId, plex: &Plex) -> String {
    let path = |disk| world.disks.get(&disk).map(|d| d.path.display().to_string());
    let paths: Option<Vec<String>> = plex.subdisks.iter().map(|s| path(s.disk)).collect();
    let numbers = || {
        let leg = world
            .devices
            .get(&DmUuid::new(world.group.id, id, &Role::Plex(plex.number)));
        let on = |line: &TargetLine| line.params.split(' ').next().map(str::to_owned);
        leg.map(|d| d.table.iter().filter_map(on).collect::<Vec<_>>())
            .unwrap_or_default()
    };
    distinct(paths.unwrap_or_else(numbers)).join(",")
}

fn observed(world: &World, id: VolumeId) -> Result<&Volume> {
    world
        .group
        .volume(id)
        .ok_or_else(|| Bug::LostWhileRecording.into())
}
