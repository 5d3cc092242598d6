//! Waiting for the kernel's copies: woken by dm events, and never the one who does the work.
//!
//! Between looks nothing is locked, so that other commands can go on. The full look (lock, read,
//! record) is only taken when the kernel's own status says that something has happened.

use super::session::Session;
use super::{Change, Env, Options, Progress, Report};
use crate::app::session::View;
use crate::error::{Error, Kind, Result};
use crate::model::{
    DmUuid, Group, LostLeg, Name, Plex, PlexState, Role, Sectors, Volume, VolumeId,
};
use crate::plan::change::{Event, Object};
use crate::plan::world::World;
use crate::sys::Events;
use crate::sys::process::Interrupts;
use crate::table::status::Seen;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// How often a progress display is brought up to date while no event arrives.
const TICK: Duration = Duration::from_millis(500);

/// A leg that is being waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leg {
    volume: VolumeId,
    /// The volume by name.
    object: Object,
    number: u16,
    name: Name,
    /// The disks that it lies on, for messages.
    disks: String,
    /// Its state while it is filled.
    state: PlexState,
    /// What it will be when it is done.
    goal: PlexState,
}

/// The legs that a plan sets going.
pub fn new_legs(before: &World, after: &Group) -> Vec<Leg> {
    let attaching = |volume: &Volume| -> Vec<Leg> {
        let known = before.group.volume(volume.id);
        let new = |number| {
            known
                .and_then(|v| v.plex(number))
                .is_none_or(|p| !p.state.is_attaching())
        };
        let legs = volume.attaching().into_iter().filter(|p| new(p.number));
        let goal = |state| {
            if state == PlexState::SnapAtt {
                PlexState::SnapDone
            } else {
                PlexState::Active
            }
        };
        legs.map(|p| Leg {
            volume: volume.id,
            object: Object::Volume(after.name.clone(), volume.name.clone()),
            number: p.number,
            name: p.name.clone(),
            disks: disks_of(after, p),
            state: p.state,
            goal: goal(p.state),
        })
        .collect()
    };
    after.volumes.iter().flat_map(attaching).collect()
}

/// The media names of a plex.
fn disks_of(group: &Group, plex: &Plex) -> String {
    let media: BTreeSet<&str> = plex
        .subdisks
        .iter()
        .filter_map(|s| group.disk(s.disk))
        .map(|d| d.media.as_str())
        .collect();
    media.into_iter().collect::<Vec<_>>().join(", ")
}

/// Waits until all these legs are complete; what happened to them beside what is `known`. Fails
/// when one is gone.
pub fn for_legs(
    options: &Options,
    group: &Name,
    legs: &[Leg],
    known: &[Change],
    env: Env<'_>,
) -> Result<Vec<Change>> {
    let judge = |world: &World| judge_legs(world, legs);
    let mut changes = wait(options, group, &judge, env)?;
    for leg in legs {
        // The monitor may have been the first to see it.
        let told =
            |c: &Change| matches!(&c.event, Event::PlexState { plex, .. } if *plex == leg.name);
        if !changes.iter().chain(known).any(told) {
            let event = Event::PlexState {
                plex: leg.name.clone(),
                was: leg.state,
                state: leg.goal,
            };
            changes.push(Change {
                object: leg.object.clone(),
                event,
            });
        }
    }
    Ok(changes)
}

fn judge_legs(world: &World, legs: &[Leg]) -> Result<bool> {
    let mut all = true;
    for leg in legs {
        let plex = world
            .group
            .volume(leg.volume)
            .and_then(|v| v.plex(leg.number))
            .filter(|p| p.name == leg.name);
        match plex.map(|p| p.state) {
            Some(state) if state == leg.goal => {}
            Some(state) if state.is_attaching() => all = false,
            // Somebody has used it already: it was complete.
            _ if was_split(world, leg) => {}
            _ => return Err(attach_failed(leg)),
        }
    }
    Ok(all)
}

/// Whether the leg lives on in a snapshot.
fn was_split(world: &World, leg: &Leg) -> bool {
    leg.goal == PlexState::SnapDone
        && world
            .group
            .plex_named(&leg.name)
            .is_ok_and(|(volume, _)| volume.id != leg.volume)
}

fn attach_failed(leg: &Leg) -> Error {
    let path = &leg.object;
    let (name, disks) = (&leg.name, &leg.disks);
    Error::device(format!(
        "the attach of leg '{name}' on {disks} to '{path}' failed; it was removed and its space released, '{path}' goes on without it"
    ))
    .on(path)
    .hint("see the kernel's log for what the disk said, and begin again on another one")
}

/// `snapwait`: returns at once when enough legs are SNAPDONE, fails at once when too few are on
/// their way.
pub fn snapwait(
    options: &Options,
    group: &Name,
    volumes: &[Name],
    mirrors: usize,
    env: Env<'_>,
) -> Result<Report> {
    let judge = |world: &World| -> Result<bool> {
        let mut all = true;
        for name in volumes {
            all &= enough(world, world.group.volume_named(name)?, mirrors)?;
        }
        Ok(all)
    };
    let seen = first_look(options, group, volumes, env)?;
    let changes = wait(
        options,
        group,
        &|world| judge(world).map_err(|e| explain_loss(&seen, world, e)),
        env,
    )?;
    Ok(Report {
        changes,
        ..Report::default()
    })
}

/// How many legs were attaching when the wait began: when they are gone, the attach has failed.
fn first_look(
    options: &Options,
    group: &Name,
    volumes: &[Name],
    env: Env<'_>,
) -> Result<Vec<(Name, usize)>> {
    let session = View::look(group, env)?;
    let _ = options;
    let count = |name: &Name| -> Result<(Name, usize)> {
        let volume = session.world.group.volume_named(name)?;
        Ok((name.clone(), coming(volume)))
    };
    volumes.iter().map(count).collect()
}

/// A leg that vanished while it was waited for is a failed attach (8), not a wait that never had a
/// reason (5).
fn explain_loss(seen: &[(Name, usize)], world: &World, error: Error) -> Error {
    let lost = |(name, count): &&(Name, usize)| {
        world
            .group
            .volume_named(name)
            .is_ok_and(|v| coming(v) + v.in_state(PlexState::SnapDone).count() < *count)
    };
    match seen.iter().find(lost) {
        Some((name, _)) if error.kind() == Kind::NotReady => {
            let path = world.group.path(name);
            Error::device(format!("the attach to '{path}' failed while it was waited for; its leg was removed and its space released"))
                .on(path)
                .hint("see the kernel's log for the disk that failed, and begin again on another one")
        }
        _ => error,
    }
}

/// Legs that are being filled, or serve a restore that is going on.
fn coming(volume: &Volume) -> usize {
    volume
        .plexes
        .iter()
        .filter(|p| p.state == PlexState::SnapAtt || p.lent)
        .count()
}

fn enough(world: &World, volume: &Volume, mirrors: usize) -> Result<bool> {
    let path = world.group.path(&volume.name);
    let done = volume.in_state(PlexState::SnapDone).count();
    let coming = coming(volume);
    if done >= mirrors && volume.is_synced() {
        return Ok(true);
    }
    if let Some(lost) = volume.lost_leg.as_ref().filter(|_| done + coming < mirrors) {
        return Err(leg_was_lost(world, &path, volume, lost));
    }
    if done + coming < mirrors {
        return Err(Error::not_ready(format!(
            "volume '{path}' has {done} SNAPDONE and {coming} attaching snapshot legs, {mirrors} wanted"
        ))
        .on(&path)
        .hint(format!("begin with 'breakoff -g {} snapstart {}'", world.group.name, volume.name)));
    }
    let live = world
        .devices
        .contains_key(&DmUuid::new(world.group.id, volume.id, &Role::Volume));
    if !live {
        return Err(Error::not_ready(format!(
            "volume '{path}' is not started, so nothing is being copied"
        ))
        .on(&path)
        .hint(format!(
            "'breakoff -g {} start {}'",
            world.group.name, volume.name
        )));
    }
    Ok(false)
}

/// Who begins to wait after it has failed is told the same as who waited before.
fn leg_was_lost(world: &World, path: &str, volume: &Volume, lost: &LostLeg) -> Error {
    let disks: Vec<&str> = lost.media.iter().map(Name::as_str).collect();
    Error::device(format!(
        "snapshot leg '{}' of '{path}' on {} failed at {}; it was removed and its space released, '{path}' goes on without it",
        lost.plex,
        disks.join(","),
        lost.at
    ))
    .on(path)
    .hint(format!(
        "see the kernel's log for what the disk said, and begin again on another one: 'breakoff -g {} snapstart {}'",
        world.group.name, volume.name
    ))
}

/// Looks, waits for an event, looks again, until the judge says yes or fails.
fn wait(
    options: &Options,
    group: &Name,
    judge: &dyn Fn(&World) -> Result<bool>,
    env: Env<'_>,
) -> Result<Vec<Change>> {
    let deadline = options.timeout.map(|timeout| Instant::now() + timeout);
    let interrupts = env.machine.interrupts();
    let mut events = env.machine.events()?;
    let mut changes = Vec::new();
    loop {
        events.arm()?;
        let mut session = match full_look(options, group, deadline, env) {
            Ok(session) => session,
            Err(error) => {
                env.ui.progress_end();
                return Err(out_of_sight(group, error));
            }
        };
        // Between two looks, not in the middle of recording what was seen.
        if interrupts.arrived() {
            env.ui.progress_end();
            return Err(interrupted(&session));
        }
        changes.extend(session.tend()?);
        let verdict = judge(&session.world);
        if !matches!(verdict, Ok(false)) {
            env.ui.progress_end();
            return verdict.map(|_| changes);
        }
        let ended = watch(
            &mut session.release(),
            events.as_mut(),
            deadline,
            interrupts.as_ref(),
            env,
        );
        if let Err(error) = ended {
            env.ui.progress_end();
            return Err(error);
        }
    }
}

/// What is waited for was committed, and goes on whether it can be seen or not.
fn out_of_sight(group: &Name, error: Error) -> Error {
    match error.kind() {
        Kind::NotFound | Kind::Device => {
            Error::device(format!("the copy in group '{group}' was begun and goes on in the kernel, but it cannot be looked at: {error}"))
                .on(group)
                .hint("when its disks can be read again: 'breakoff print' shows how far it is, 'breakoff snapwait' waits")
        }
        _ => error,
    }
}

fn full_look<'u>(
    options: &Options,
    group: &Name,
    deadline: Option<Instant>,
    env: Env<'u>,
) -> Result<Session<'u>> {
    // A command that times out on the copy must not time out on a lock that is held for a moment.
    let left = deadline.map(|d| {
        d.saturating_duration_since(Instant::now())
            .max(Duration::from_secs(5))
    });
    Session::open(
        &Options {
            timeout: left,
            ..options.clone()
        },
        group,
        env,
    )
}

fn interrupted(view: &View<'_>) -> Error {
    let group = &view.world.group.name;
    Error::failed(format!(
        "interrupted; the copy in group '{group}' goes on in the kernel"
    ))
    .on(group)
    .hint("'breakoff snapwait' waits for it, 'breakoff snapabort' gives it up")
}

/// Watches the kernel without a lock until a mirror of the group is in another state than when it
/// was last looked at in full.
fn watch(
    view: &mut View<'_>,
    events: &mut dyn Events,
    deadline: Option<Instant>,
    interrupts: &dyn Interrupts,
    env: Env<'_>,
) -> Result<()> {
    let before = fingerprint(&view.world);
    loop {
        env.ui.progress(&progress(&view.world));
        let left = deadline.map(|d| d.saturating_duration_since(Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            return Err(Error::timed_out(format!(
                "the copy in group '{}' is not finished; it goes on",
                view.world.group.name
            ))
            .on(&view.world.group.name)
            .hint("'breakoff print' shows how far it is, 'breakoff snapwait' waits again"));
        }
        if interrupts.arrived() {
            return Err(interrupted(view));
        }
        events.wait(left.map_or(TICK, |left| left.min(TICK)))?;
        events.arm()?;
        view.observe()?;
        if fingerprint(&view.world) != before {
            return Ok(());
        }
    }
}

/// What decides whether a full look is worth it: which mirrors there are, their legs' letters, and
/// whether they are in sync.
pub fn fingerprint(world: &World) -> Vec<(DmUuid, Seen)> {
    world
        .devices
        .values()
        .filter_map(|d| d.mirror.as_ref().map(|m| (d.uuid.clone(), Seen::of(m))))
        .collect()
}

/// Where the copies of a group stand.
pub fn progress(world: &World) -> Vec<Progress> {
    let mut copies = Vec::new();
    for volume in &world.group.volumes {
        let Ok(roles) = crate::table::stack::mirror_roles(volume) else {
            continue;
        };
        let resync = !volume.is_synced();
        let Some((role, _, attaching)) = roles
            .iter()
            .rev()
            .find(|(_, _, attaching)| *attaching || resync)
        else {
            continue;
        };
        let device = world
            .devices
            .get(&DmUuid::new(world.group.id, volume.id, role));
        let Some(status) = device.and_then(|d| d.mirror.as_ref()) else {
            continue;
        };
        let plexes = if *attaching {
            volume.attaching()
        } else {
            volume.complete()
        };
        copies.push(Progress {
            object: world.group.path(&volume.name),
            legs: plexes.iter().map(|p| p.name.clone()).collect(),
            done: share(volume.size, status.done, status.total),
            total: volume.size,
        });
    }
    copies
}

/// So many of so many regions, as a size.
fn share(size: Sectors, done: u64, total: u64) -> Sectors {
    let sectors = u128::from(size.get()) * u128::from(done) / u128::from(total.max(1));
    u64::try_from(sectors)
        .ok()
        .and_then(Sectors::new)
        .unwrap_or(size)
        .min(size)
}
