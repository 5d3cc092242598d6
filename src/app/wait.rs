//! Waits for the kernel's copies. The waiting process is woken by dm events and does no copying
//! itself.
//!
//! Between observations no lock is held, so that other commands can run. The full observation
//! (lock, read, record) is made only when the kernel's own status has changed.

use super::session::{Session, refuse_foreign};
use super::{Change, Env, Options, Progress, Report};
use crate::advice::{Advised, Hint, Of};
use crate::app::session::View;
use crate::error::{Error, Kind, Result};
use crate::model::{
    DmUuid, Group, LostLeg, Name, Plex, PlexState, Role, Sectors, Volume, VolumeId,
};
use crate::plan::change::{Event, Object};
use crate::plan::view::PlanView;
use crate::plan::world::World;
use crate::sys::Events;
use crate::sys::process::Interrupts;
use crate::table::status::Seen;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// The interval at which the progress display is updated while no event arrives.
const TICK: Duration = Duration::from_millis(500);

/// A leg that is being waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leg {
    volume: VolumeId,
    /// The volume, for messages and changes.
    object: Object,
    number: u16,
    name: Name,
    /// The media names of its disks, for messages.
    disks: String,
    /// The state of the plex while it is being filled.
    state: PlexState,
    /// The state of the plex once it is complete.
    goal: PlexState,
}

/// Returns the legs of started volumes that begin to attach between `before` and `after`. Those of
/// others are filled when their volumes are started.
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
    let started = after.volumes.iter();
    started
        .filter(|volume| volume.running == Some(before.boot))
        .flat_map(attaching)
        .collect()
}

/// Returns the media names of a plex's disks, separated by commas.
fn disks_of(group: &Group, plex: &Plex) -> String {
    let media: BTreeSet<&str> = plex
        .subdisks
        .iter()
        .filter_map(|s| group.disk(s.disk))
        .map(|d| d.media.as_str())
        .collect();
    media.into_iter().collect::<Vec<_>>().join(", ")
}

/// Waits until all these legs are complete. Returns what happened to them, except for the changes
/// in `known`. Fails if a leg is gone.
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
        // The monitor may have recorded the completion first.
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
            // Another command has split it off already, so it was complete.
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
        "the attach of leg '{name}' on {disks} to '{path}' failed; it was removed and its space released; '{path}' continues without it"
    ))
    .on(path)
    .hint("see the kernel's log for the disk's error, and try again on another disk")
}

/// `snapwait`: returns at once if enough legs are SNAPDONE, and fails at once if too few are
/// SNAPDONE or attaching.
pub fn snapwait(
    options: &Options,
    group: &Name,
    volumes: &[Name],
    mirrors: usize,
    env: Env<'_>,
) -> Result<Report> {
    let judge = |world: &World| all_have_enough(world, volumes, mirrors);
    let seen = first_look(group, volumes, env)?;
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

/// Returns what [`snapwait`] would wait for.
pub fn rehearse(group: &Name, volumes: &[Name], mirrors: usize, env: Env<'_>) -> Result<PlanView> {
    let view = View::look(group, env)?;
    let world = &view.world;
    refuse_foreign(&world.group, group, env.machine.host_id()?)?;
    let mut notes = Vec::new();
    for name in volumes {
        if !enough(world, world.group.volume_named(name)?, mirrors)? {
            let path = world.group.path(name);
            notes.push(format!(
                "waits for the snapshot legs of '{path}' that are being filled"
            ));
        }
    }
    Ok(PlanView {
        group: world.group.name.to_string(),
        notes,
        ..PlanView::default()
    })
}

fn all_have_enough(world: &World, volumes: &[Name], mirrors: usize) -> Result<bool> {
    let mut all = true;
    for name in volumes {
        all &= enough(world, world.group.volume_named(name)?, mirrors)?;
    }
    Ok(all)
}

/// Returns how many legs of each volume are attaching as the wait begins. If they are gone later,
/// the attach has failed.
fn first_look(group: &Name, volumes: &[Name], env: Env<'_>) -> Result<Vec<(Name, usize)>> {
    let session = View::look(group, env)?;
    let count = |name: &Name| -> Result<(Name, usize)> {
        let volume = session.world.group.volume_named(name)?;
        Ok((name.clone(), coming(volume)))
    };
    volumes.iter().map(count).collect()
}

/// Reports a leg that vanished during the wait as a failed attach (exit status 8), not as a wait
/// without a reason (5).
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
                .hint("see the kernel's log for the disk that failed, and try again on another disk")
        }
        _ => error,
    }
}

/// Counts the legs that are being filled or serve a restore in progress.
fn coming(volume: &Volume) -> usize {
    volume
        .plexes
        .iter()
        .filter(|p| p.state == PlexState::SnapAtt || p.serves_restore)
        .count()
}

fn enough(world: &World, volume: &Volume, mirrors: usize) -> Result<bool> {
    let path = world.group.path(&volume.name);
    let done = volume.in_state(PlexState::SnapDone).count();
    let coming = coming(volume);
    let of = || Of::both(&world.group.name, &volume.name);
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
        .hint(Hint::from("begin with ").line(Advised::SnapStart(of()))));
    }
    let live = world
        .devices
        .contains_key(&DmUuid::new(world.group.id, volume.id, &Role::Volume));
    if !live {
        return Err(Error::not_ready(format!(
            "volume '{path}' is not started, so nothing is being copied"
        ))
        .on(&path)
        .hint(Advised::Start {
            of: of(),
            force: false,
        }));
    }
    Ok(false)
}

/// Builds the error for a leg that failed before the wait began: the same as for one that fails
/// during it.
fn leg_was_lost(world: &World, path: &str, volume: &Volume, lost: &LostLeg) -> Error {
    let disks: Vec<&str> = lost.media.iter().map(Name::as_str).collect();
    Error::device(format!(
        "snapshot leg '{}' of '{path}' on {} failed at {}; it was removed and its space released; '{path}' continues without it",
        lost.plex,
        disks.join(","),
        lost.at
    ))
    .on(path)
    .hint(
        Hint::from("see the kernel's log for the disk's error, and try again on another disk: ")
            .line(Advised::SnapStart(Of::both(&world.group.name, &volume.name))),
    )
}

/// Observes the group after each event until `judge` returns true or fails. Returns the changes
/// recorded meanwhile.
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
        // Ctrl-C is honoured here, not while an observation is being recorded.
        if interrupts.arrived() {
            env.ui.progress_end();
            return Err(interrupted(&session));
        }
        changes.extend(session.repair_all()?);
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

/// Explains an error in observing the group: the copy was committed and continues whether it can be
/// observed or not.
fn out_of_sight(group: &Name, error: Error) -> Error {
    match error.kind() {
        Kind::NotFound | Kind::Device => {
            Error::device(format!("the copy in group '{group}' continues in the kernel, but its progress cannot be read: {error}"))
                .on(group)
                .hint(
                    Hint::from("when its disks can be read again: ")
                        .line(Advised::Print(Of::verb()))
                        .and(" shows how far it is, ")
                        .line(Advised::SnapWait(Of::verb()))
                        .and(" waits"),
                )
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
    // The timeout is for the copy. It must not fail on a lock that is held briefly.
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
        "interrupted; the copy in group '{group}' continues in the kernel"
    ))
    .on(group)
    .hint(
        Hint::from(Advised::SnapWait(Of::verb()))
            .and(" waits for it, ")
            .line(Advised::SnapAbort(Of::verb()))
            .and(" gives it up"),
    )
}

/// Watches the kernel without a lock until the state of any mirror of the group differs from that
/// at the last full observation.
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
                "the copy in group '{}' is not finished; it continues",
                view.world.group.name
            ))
            .on(&view.world.group.name)
            .hint(
                Hint::from(Advised::Print(Of::verb()))
                    .and(" shows how far it is, ")
                    .line(Advised::SnapWait(Of::verb()))
                    .and(" waits again"),
            ));
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

/// The state that decides whether a full observation is worthwhile: the mirrors, the letters of
/// their legs, and whether they are in sync.
pub fn fingerprint(world: &World) -> Vec<(DmUuid, Seen)> {
    world
        .devices
        .values()
        .filter_map(|d| d.mirror.as_ref().map(|m| (d.uuid.clone(), Seen::of(m))))
        .collect()
}

/// Returns the progress of all running copies of a group.
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

/// Converts `done` of `total` regions to a size, at most `size`.
fn share(size: Sectors, done: u64, total: u64) -> Sectors {
    let sectors = u128::from(size.get()) * u128::from(done) / u128::from(total.max(1));
    u64::try_from(sectors)
        .ok()
        .and_then(Sectors::new)
        .unwrap_or(size)
        .min(size)
}
