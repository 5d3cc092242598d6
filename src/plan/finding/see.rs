//! Detects what the kernel has finished, what has failed, and what a volume lacks.

use crate::model::volume::MAX_COPIES;
use crate::model::{DevNo, DmUuid, Plex, PlexState, Role, Volume, VolumeId};
use crate::plan::draft::Draft;
use crate::plan::evidence::Situation;
use crate::plan::refusal::{Bug, Result};
use crate::plan::request::{Finding, Lost};
use crate::plan::world::World;
use crate::table::DmDevice;
use crate::table::stack::{LegOf, mirror_roles};
use crate::table::status::MirrorStatus;

/// Everything that has to be recorded or repaired. Failures come first, because only they hold I/O.
pub fn findings(world: &Situation) -> Vec<Finding> {
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

/// The volumes whose mirror runs without the log that it should have. Adding the log is not urgent,
/// because no I/O is held for it.
pub fn unlogged(world: &Situation) -> Vec<VolumeId> {
    let live = world
        .group
        .volumes
        .iter()
        .filter(|v| v.running == Some(world.boot));
    live.filter(|v| log_missing(world, v))
        .map(|v| v.id)
        .collect()
}

/// Whether a mirror that should have a log has none, or does not use it. A log that was just lost
/// is allocated elsewhere after writes have resumed.
fn log_missing(world: &Situation, volume: &Volume) -> bool {
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

/// Whether a mirror runs without the log that it should have, so that after a crash all of it would
/// be resynchronised.
pub fn lacks_log(world: &World, volume: &Volume) -> bool {
    let mirrored = volume.in_state(PlexState::Active).count() > 1 && volume.log_wanted;
    mirrored
        && volume.running == Some(world.boot)
        && volume.is_synced()
        && volume.live_log().is_none()
}

/// The volumes whose next map lacks a copy for which another disk has space now. The copy was lost
/// with a disk, or there was no space for it when the leg was attached.
pub fn short_of_copies(world: &Situation) -> Vec<VolumeId> {
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

/// The failed parts of a volume: plexes whose leg has any letter but `A`, and the logs and maps
/// that go with them. If the first leg of a mirror fails while others are being filled from it, the
/// others are given up: they cannot be filled, and writes to regions that are not in sync went to
/// the first leg alone (K23). If no data plex would be left, a complete snapshot leg takes its
/// place, because it holds all acknowledged writes. Without such a leg the last complete data plex
/// stays, whatever its state.
fn lost(world: &Situation, volume: &Volume) -> Option<Lost> {
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
                    failed.extend(plex_numbers(&legs[1..]));
                }
                LegOf::Plex(number) => failed.push(*number),
                LegOf::Below(_) => {}
            }
        }
    }
    failed.extend(behind_the_log(world, volume, log));
    failed.sort_unstable();
    failed.dedup();
    let survives = |state: PlexState| volume.in_state(state).any(|p| !failed.contains(&p.number));
    if !(survives(PlexState::Active) || (volume.is_synced() && survives(PlexState::SnapDone))) {
        let keep = volume.complete().first().map(|p| p.number);
        failed.retain(|number| Some(*number) != keep);
    }
    // The log is given up with its disk. Read again from a dead disk it would mark nothing as in
    // sync, and the remaining plexes would diverge unnoticed.
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

/// The plexes on the disk of a failed log, if the disk has no readable label either: it is dead. The
/// kernel writes to the log first, so its legs show nothing before another log is in use, and writes
/// would be held once more then.
fn behind_the_log(world: &World, volume: &Volume, log_failed: bool) -> Vec<u16> {
    let log = volume.live_log().filter(|_| log_failed);
    let dead = log
        .map(|log| log.extent.disk)
        .filter(|disk| !world.disks.contains_key(disk));
    let is_plain = volume.is_synced() && volume.attaching().is_empty();
    let Some(dead) = dead.filter(|_| is_plain) else {
        return Vec::new();
    };
    let on_it = |plex: &&&Plex| plex.subdisks.iter().any(|s| s.disk == dead);
    let complete = volume.complete();
    complete.iter().filter(on_it).map(|p| p.number).collect()
}

/// The failed copies of the map, by position in the DCO. Each of the others has everything that was
/// recorded.
fn lost_maps(world: &Situation, volume: &Volume) -> Vec<usize> {
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
        .filter(|at| failed.contains(at) || world.evidence.is_damaged(&copies[*at]))
        .collect()
}

/// Whether every leg that is being attached is in sync, and so are the mirrors below.
fn attached(world: &Situation, volume: &Volume) -> bool {
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

/// Whether all mirrors of complete plexes are reported as in sync.
fn base_in_sync(world: &Situation, volume: &Volume) -> bool {
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

/// The mirror in the kernel that has exactly the legs of a mirror of the configuration. When
/// tracking begins or ends, the topmost mirror moves between the volume's device and its data
/// device, so both are searched.
pub(super) fn mirror_of<'w>(
    world: &'w Situation,
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
    world: &'w Situation,
    volume: &Volume,
    role: &Role,
    legs: &[LegOf],
) -> Option<&'w MirrorStatus> {
    mirror_of(world, volume, role, legs).map(|(_, status)| status)
}

fn plex_numbers(legs: &[LegOf]) -> Vec<u16> {
    let number = |leg: &LegOf| match leg {
        LegOf::Plex(number) => Some(*number),
        LegOf::Below(_) => None,
    };
    legs.iter().filter_map(number).collect()
}

/// The volume with this identity, which was seen in the kernel.
pub(super) fn observed(world: &World, id: VolumeId) -> Result<&Volume> {
    world
        .group
        .volume(id)
        .ok_or_else(|| Bug::LostWhileRecording.into())
}
