//! Acts on failures, and brings the kernel to the recorded configuration.

use super::see::{mirror_of, observed};
use crate::model::{
    DevNo, DmUuid, Plex, PlexEvent, PlexState, Role, Sectors, Volume, VolumeId, distinct,
};
use crate::plan::activate::{apply, remember_loss};
use crate::plan::change::Change;
use crate::plan::change::{Event, PlexFailed};
use crate::plan::draft::release_logs;
use crate::plan::evidence::Situation;
use crate::plan::refusal::Result;
use crate::plan::relations;
use crate::plan::request::Lost;
use crate::plan::step::{CommitPoint, Plan, Prepare};
use crate::plan::transition;
use crate::plan::volumes::disks_of;
use crate::plan::world::World;
use crate::table::stack::{LegOf, mirror_roles};
use crate::table::status::MirrorStatus;
use crate::table::{DmDevice, Links, SuspendMode, TargetLine, Without, without};
use std::collections::BTreeSet;

/// Records the failure first, then releases the held I/O: the mirrors that hold it continue without
/// the failed legs (`noflush`, no freeze: K2). The remaining cleanup is left to [`converge`], after
/// no I/O is held any more.
pub(super) fn give_up(world: &Situation, id: VolumeId, lost: &Lost) -> Result<Plan> {
    let volume = observed(world, id)?;
    let mut plan = Plan::nothing(world.group.clone());
    plan.window.commit = CommitPoint::First;
    let reloaded = give_up_legs(world, volume, lost, &mut plan)?;
    give_up_maps(world, volume, &lost.maps, &mut plan);
    // Writes that a lower mirror holds block the suspend of the mirror above it. So the order is
    // from the bottom up here.
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
    relations::reconcile_tracking(&mut plan.group);
    release_logs(&mut plan.group, &[id].into());
    Ok(plan)
}

/// What mirrors that continue without some of their legs have lost in addition.
#[derive(Default)]
struct Reloaded {
    /// The dirty region log was in use and no longer is.
    without_log: bool,
    /// Legs were being filled, and begin again.
    while_filling: bool,
    /// The plexes are being made equal, and that begins again.
    while_unequal: bool,
}

/// Reloads each mirror that has lost a leg or its log without it.
fn give_up_legs(
    world: &Situation,
    volume: &Volume,
    lost: &Lost,
    plan: &mut Plan,
) -> Result<Reloaded> {
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
        // Legs that are being filled are not in sync, and begin again without the lost one.
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
        reloaded.while_unequal |= !(equal || attaching);
        reload(plan, uuid, lines, transition::links(volume, &role));
    }
    Ok(reloaded)
}

/// Adds the steps that replace a live table in the window without waiting for held writes.
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

/// Takes the logs out of use. On the disk, the log marks the region of the failed write as not in
/// sync; but the survivors are in sync, or will be as soon as the held writes are repeated. So the
/// log is not used until it can be written anew.
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
    // In the table that was loaded nothing is in sync: a write goes to the first plex alone, also
    // where the plexes were known to be equal.
    if reloaded.while_unequal {
        changed.synced = Sectors::ZERO;
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

/// Whether the live table of a mirror has a dirty region log on disk.
fn uses_log(mirror: &DmDevice) -> bool {
    mirror
        .table
        .iter()
        .any(|line| line.params.starts_with("disk "))
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

/// The devices that a plex lies on: by path, or by device number if its disk cannot be read any
/// more.
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

/// Lets a complete snapshot leg take the place of the last data plex.
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
    plan.notes.push(
        format!(
            "'{path}' has lost its last data plex; its complete snapshot leg '{}' takes its place",
            leg.name
        )
        .into(),
    );
    let taken = Event::state(&leg, PlexState::Active);
    plan.changes
        .push(Change::volume(&world.group.name, &volume.name, taken));
}

/// Lets the map continue without its failed copies. If no copy is left, the sink takes the place of
/// the map, so that held writes continue.
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

/// Releases mirrors that hold writes for a leg or a log whose failure is already recorded: a
/// process died between recording the failure and acting on it. Nothing above such a mirror can be
/// suspended, so the mirror is reloaded alone, from its own live table. Its final table is left to
/// [`converge`], after no I/O is held any more.
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
    // From the bottom up, as in `give_up`.
    plan.window
        .suspend
        .sort_by_key(|(uuid, _)| std::cmp::Reverse(transition::rank(uuid)));
    plan.window
        .resume
        .sort_by_key(|(uuid, _)| std::cmp::Reverse(transition::rank(uuid)));
    plan.has_steps().then_some(plan)
}

/// Reloads a mirror without the legs and the log that are not (or no longer) in the configuration.
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

/// Reloads a map without the legs on disks where the configuration has no copy of it (no longer, or
/// not yet). The sink, which is the last leg, stays.
fn unhold_map(world: &World, device: &DmDevice, status: &MirrorStatus, plan: &mut Plan) {
    let volume = device.uuid.volume().and_then(|id| world.group.volume(id));
    let copies: Vec<DevNo> = volume
        .iter()
        .filter_map(|v| v.live_dco())
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

/// Brings the kernel to the recorded configuration, for every volume: after an interrupted command,
/// a failed step, or a failed leg. The configuration does not change. A volume for which this is
/// impossible, because a disk is missing, is one of the plan's failures.
pub fn converge(world: &World) -> Plan {
    let mut plan = Plan::nothing(world.group.clone());
    let mut ids: Vec<VolumeId> = world.group.volumes.iter().map(|v| v.id).collect();
    let mut known: BTreeSet<VolumeId> = ids.iter().copied().collect();
    let found = world.devices.keys().filter_map(DmUuid::volume);
    ids.extend(found.filter(|id| known.insert(*id)));
    transition::recorded(world, &mut plan, &ids);
    plan
}
