//! One command from beginning to end.

use super::session::{Session, refuse_foreign};
use super::which::{group_for, named, shown_groups, tell_unreadable};
use super::{
    Change, Command, Env, Options, Outcome, Report, differences, groups, monitor, paths,
    scan::Scan, wait,
};
use crate::app::session::View;
use crate::error::{Error, Result};
use crate::exec::Cause;
use crate::meta::Fill;
use crate::model::{DmUuid, Group, Name, Role};
use crate::plan::change::Event;
use crate::plan::request::{Request, Selection, Splits, Winner};
use crate::plan::step::{Plan, Prepare};
use crate::plan::world::World;
use crate::plan::{self, Refusal, render};
use crate::table::DmDevice;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Does what was asked. Whoever sees mirrors makes sure that they are watched: the monitor may have
/// been killed.
pub fn run(options: &Options, command: &Command, env: Env<'_>) -> Result<Outcome> {
    if sees_mirrors(command) && !options.dry_run && monitor::has_work(env.machine) {
        monitor::ensure(env);
    }
    match command {
        Command::Change(request) => change(options, request, env),
        Command::SnapWait { volumes, mirrors } => {
            let name = group_for(options, volumes, env.machine)?;
            wait::snapwait(options, &name, volumes, *mirrors, env).map(Outcome::Done)
        }
        Command::GroupCreate { .. }
        | Command::GroupAdd { .. }
        | Command::GroupRemoveDisk { .. }
        | Command::GroupReplaceDisk { .. }
        | Command::GroupList
        | Command::GroupShow(_)
        | Command::GroupDump(_)
        | Command::GroupDestroy(_)
        | Command::GroupImport { .. }
        | Command::GroupDeport(_)
        | Command::GroupChoose { .. }
        | Command::DiskList
        | Command::DiskResize(_)
        | Command::DiskInit { .. } => groups::run(options, command, env),
        Command::Print(volumes) => {
            let shown = layouts(options, volumes, env)
                .map(|worlds| Outcome::Layout(worlds, volumes.clone()))?;
            with_silent(options, volumes, shown, env)
        }
        Command::SnapPrint(volumes) => {
            let shown = differences::relations(options, volumes, env)
                .map(|worlds| Outcome::Relations(worlds, volumes.clone()))?;
            with_silent(options, volumes, shown, env)
        }
        Command::ChangedRanges(snapshots) => {
            differences::changed_ranges(options, snapshots, env).map(Outcome::ChangedRanges)
        }
        Command::Status => super::status::status(options, env),
        Command::Recover { check } => super::status::recover(options, *check, env),
        Command::StartAuto => on_all_groups(
            options,
            &Request::Start {
                volumes: Selection::All,
                force: false,
            },
            env,
        ),
        Command::StopAuto => on_all_groups(options, &Request::Stop(Selection::All), env),
        Command::Monitor => monitor::run(env).map(|()| Outcome::Done(Report::default())),
    }
}

/// What is shown of all groups is not all when one runs here whose labels cannot be read.
fn with_silent(
    options: &Options,
    objects: &[Name],
    shown: Outcome,
    env: Env<'_>,
) -> Result<Outcome> {
    if options.group.is_some() || !objects.is_empty() {
        return Ok(shown);
    }
    Ok(shown.lacking(Scan::new(env.machine)?.silent()))
}

/// Commands that look at volumes, and leave none behind that was not there. A change looks when it
/// is done; `status` has something to say about it; at shutdown nothing is started any more.
fn sees_mirrors(command: &Command) -> bool {
    matches!(
        command,
        Command::SnapWait { .. }
            | Command::GroupAdd { .. }
            | Command::GroupRemoveDisk { .. }
            | Command::GroupReplaceDisk { .. }
            | Command::GroupList
            | Command::GroupShow(_)
            | Command::Print(_)
            | Command::SnapPrint(_)
            | Command::ChangedRanges(_)
            | Command::Recover { check: false }
    )
}

/// How long an opener may take to go.
const OPENERS_GO: Duration = Duration::from_secs(1);
/// How long a snapshot waits for what is in memory to reach the disks before it looks whether a leg
/// has failed, and how often.
const WRITE_BACK_ROUND: Duration = Duration::from_secs(10);
const WRITE_BACK_ROUNDS: usize = 60;

/// A change to a group's volumes.
fn change(options: &Options, request: &Request, env: Env<'_>) -> Result<Outcome> {
    let name = group_for(options, &named(request), env.machine)?;
    if options.dry_run {
        return dry_run(options, request, &name, env);
    }
    if let Request::Snapshot { splits, .. } = request {
        write_back(options, &name, splits, env)?;
    }
    let announced = confirm_restore(options, request, &name, env)?;
    let mut session = Session::open(options, &name, env)?;
    session.tend()?;
    require_targets(&session, request)?;
    // From here on Ctrl-C ends the command between two steps: nothing is changed, or the copy goes
    // on.
    let _noted = env.machine.interrupts();
    session.learn(request)?;
    let plan = plan_patiently(&mut session, request)?;
    if !announced {
        plan.announced.iter().for_each(|text| env.ui.note(text));
    }
    let new_legs = wait::new_legs(&session.world, &plan.group);
    let mut report = carry_out(&mut session, request, &plan)?;
    if matches!(request, Request::SnapBack { .. }) {
        complete_return(&mut session, &mut report, env);
    }
    let left_behind = has_mirror(&session.world);
    paths::correct(&session.world, &mut report, env);
    drop(session);
    // Without a lock: a thaw writes.
    env.machine
        .thaw_left_behind()
        .iter()
        .for_each(|told| env.ui.warn(told));
    if left_behind {
        monitor::ensure(env);
    }
    if waits(request) && !options.background && !new_legs.is_empty() {
        let done = wait::for_legs(options, &name, &new_legs, &report.changes, env)?;
        report.changes.extend(done);
    }
    Ok(Outcome::Done(report))
}

fn dry_run(options: &Options, request: &Request, name: &Name, env: Env<'_>) -> Result<Outcome> {
    let view = if matches!(request, Request::SnapBack { .. }) {
        let mut session = Session::open(options, name, env)?;
        session.learn_maps(request)?;
        session.release()
    } else {
        let mut view = View::look(name, env)?;
        view.look_for(request)?;
        view
    };
    let plan = plan::plan(&view.world, request).map_err(|e| view.name_openers(e))?;
    Ok(Outcome::Planned(render::view(&view.world, &plan)))
}

/// Carries a plan out, and another one where this one failed by what could not be known before.
fn carry_out(session: &mut Session<'_>, request: &Request, plan: &Plan) -> Result<Report> {
    let before = session.world.generation;
    let ends_tracking = ends_tracking(&session.world.group, plan);
    let failed = match session.carry_out(plan) {
        Ok(report) => return Ok(report),
        Err(failed) => failed,
    };
    let refused_maps = session.distrust_refused_map(&failed);
    // Without its map a volume can still be started.
    if !refused_maps.is_empty() && matches!(request, Request::Start { .. }) {
        return start_without_map(session, request, failed.error);
    }
    // What cannot be frozen showed only when it was tried. The snapshot is called so, or refused.
    if !failed.unfrozen.is_empty() {
        let again = plan_patiently(session, request)?;
        return Ok(session.carry_out(&again)?);
    }
    // A copy of a map was found dead when it was to be made equal to the others, or when the map
    // was written for the last time, and is out by now.
    let lost_copy = !refused_maps.is_empty()
        || !failed.lost_copies.is_empty()
        || (ends_tracking && session.world.generation != before);
    // udev had a look into the volume just then.
    let was_open = matches!(failed.cause, Cause::InUse(_))
        && (ends_an_era(plan) || !plan.window.closed.is_empty());
    if lost_copy || was_open {
        let again = plan_patiently(session, request)?;
        return Ok(session.carry_out(&again)?);
    }
    Err(failed.error)
}

/// What was written between the listing and the window. The legs are on their way already: whoever
/// looks next makes up for it.
fn complete_return(session: &mut Session<'_>, report: &mut Report, env: Env<'_>) {
    match session.tend() {
        Ok(done) => {
            let told = |change: &Change| change.event != Event::ChangesComplete;
            report.changes.extend(done.into_iter().filter(told));
        }
        Err(error) => env.ui.warn(&format!(
            "the copy is not complete yet, the next command sees to that: {error}"
        )),
    }
}

/// Whether a map is written for the last time: its disks are found dead then, when nobody has
/// written to it before.
fn ends_tracking(group: &Group, plan: &Plan) -> bool {
    let mut tracked = group.volumes.iter().filter(|v| v.live_dco().is_some());
    tracked.any(|v| {
        plan.group
            .volume(v.id)
            .is_none_or(|now| now.live_dco().is_none())
    })
}

fn ends_an_era(plan: &Plan) -> bool {
    plan.prepare
        .iter()
        .any(|step| matches!(step, Prepare::EndEra(_)))
}

/// Starts volumes again, those whose map the kernel does not take without it.
fn start_without_map(
    session: &mut Session<'_>,
    request: &Request,
    mut refused: Error,
) -> Result<Report> {
    loop {
        session.env.ui.warn(&format!(
            "the map of changes cannot be used, and everything counts as changed: {refused}"
        ));
        let plan = plan::plan(&session.world, request)?;
        match session.carry_out(&plan) {
            Err(failed) if !session.distrust_refused_map(&failed).is_empty() => {
                refused = failed.error;
            }
            came => return Ok(came?),
        }
    }
}

/// A restore is asked about, unless that was answered before. Nothing is locked while somebody
/// thinks: a leg that dies then has to be taken out. Whether it was said what is going to be
/// overwritten.
fn confirm_restore(
    options: &Options,
    request: &Request,
    name: &Name,
    env: Env<'_>,
) -> Result<bool> {
    if options.yes
        || !matches!(
            request,
            Request::SnapBack {
                from: Winner::Snapshot,
                ..
            }
        )
    {
        return Ok(false);
    }
    let mut session = Session::open(options, name, env)?;
    session.tend()?;
    session.learn(request)?;
    let plan = plan_patiently(&mut session, request)?;
    drop(session);
    plan.announced.iter().for_each(|text| env.ui.note(text));
    if env.ui.confirm("restore?") {
        return Ok(true);
    }
    Err(
        Error::unsafe_("a restore overwrites the original; nothing was changed")
            .hint("say -y when that is what you want"),
    )
}

/// Plans, and does not take somebody for an opener who is just going: udev looks at a device
/// whenever a writer has closed it.
fn plan_patiently(session: &mut View<'_>, request: &Request) -> Result<Plan> {
    let until = Instant::now() + OPENERS_GO;
    loop {
        let planned = plan::plan(&session.world, request);
        let open = match &planned {
            Err(refusal) => refusal.is_for_openers(),
            Ok(plan) => plan.failures.iter().any(Refusal::is_for_openers),
        };
        let opened =
            |d: &DmDevice| (d.uuid.is_volume() || d.waits_to_be_closed()) && d.open_count > 0;
        if !open || !session.world.devices.values().any(opened) || Instant::now() >= until {
            return planned.map_err(|refusal| session.name_openers(refusal));
        }
        std::thread::sleep(Duration::from_millis(50));
        session.observe()?;
    }
}

/// Writes back what a snapshot is going to freeze, before and without a lock, so that little is
/// left to do with one. Now and then it looks whether a leg has failed that keeps the writing from
/// coming to an end.
fn write_back(options: &Options, name: &Name, splits: &Splits, env: Env<'_>) -> Result<()> {
    for _ in 0..WRITE_BACK_ROUNDS {
        let mut session = Session::open(options, name, env)?;
        session.tend()?;
        let view = session.release();
        view.refuse_silent(&|volume| splits.may_mean(&volume.name))?;
        if write_back_round(&view, splits) {
            break;
        }
    }
    // If it has not come to an end, that is told before the window.
    Ok(())
}

/// Whether everything has reached the disks within one round.
fn write_back_round(view: &View<'_>, splits: &Splits) -> bool {
    let world = &view.world;
    let volumes = world
        .group
        .volumes
        .iter()
        .filter(|v| splits.may_mean(&v.name));
    let devices = volumes.filter_map(|v| {
        world
            .devices
            .get(&DmUuid::new(world.group.id, v.id, &Role::Volume))
    });
    let unfinished: Vec<_> = devices
        .filter(|device| {
            view.env
                .machine
                .write_back(device.dev, WRITE_BACK_ROUND)
                .is_err()
        })
        .collect();
    unfinished.is_empty()
}

/// Whether the verb lasts until the kernel has copied.
fn waits(request: &Request) -> bool {
    matches!(
        request,
        Request::SnapStart { .. }
            | Request::SnapBack { .. }
            | Request::Mirror { .. }
            | Request::PlexAttach(_)
    )
}

fn has_mirror(world: &World) -> bool {
    world.devices.values().any(|d| d.mirror.is_some())
}

/// The targets that the request's tables need; loading the module is tried.
fn require_targets(view: &View<'_>, request: &Request) -> Result<()> {
    let mirrored =
        matches!(request, Request::Make { mirrors, .. } if *mirrors > 1) || waits(request);
    let needed: &[&str] = if mirrored {
        &["linear", "mirror"]
    } else {
        &["linear"]
    };
    for target in needed {
        if !view.kernel.has_target(target)? {
            return Err(Error::unsupported(format!(
                "this kernel lacks the device-mapper target '{target}'"
            ))
            .on(target)
            .hint(format!("load or build the module dm-{target}")));
        }
    }
    Ok(())
}

/// The groups to show, of those that this machine has imported. What the kernel has finished is
/// recorded first, if nobody else is at work on the group.
fn layouts(
    options: &Options,
    objects: &[Name],
    env: Env<'_>,
) -> Result<Vec<(World, Option<Fill>)>> {
    let mut shown = Vec::new();
    for name in &shown_groups(options, objects, env)? {
        let view = observe_quietly(options, name, env)?;
        refuse_foreign(&view.world.group, name, env.machine.host_id()?)?;
        for object in objects {
            view.world.group.volume_named(object)?;
        }
        let mut world = view.world.clone();
        paths::look(&mut world, env)
            .iter()
            .for_each(|why| env.ui.note(why));
        shown.push((world, view.fill()));
    }
    Ok(shown)
}

fn observe_quietly<'u>(options: &Options, name: &Name, env: Env<'u>) -> Result<View<'u>> {
    if options.dry_run {
        return View::look(name, env);
    }
    let at_once = Options {
        timeout: Some(Duration::ZERO),
        ..options.clone()
    };
    let looked = View::look(name, env)?;
    if looked.next_repair().ok().flatten().is_none() {
        return Ok(looked);
    }
    let tended =
        Session::open(&at_once, name, env).and_then(|mut session| session.tend().map(|_| session));
    Ok(tended.map_or(looked, Session::release))
}

/// Everything on this machine, at boot or at shutdown. A group or volume that fails stops no other.
fn on_all_groups(options: &Options, request: &Request, env: Env<'_>) -> Result<Outcome> {
    let mut all = Report::default();
    let scan = Scan::new(env.machine)?;
    tell_unreadable(&scan, &BTreeSet::new(), &mut all, env);
    for group in scan.own_groups(env.machine)? {
        let options = Options {
            group: Some(scan.word(&group)),
            ..options.clone()
        };
        match change(&options, request, env) {
            Ok(Outcome::Done(done)) => {
                all.changes.extend(done.changes);
                all.notes.extend(done.notes);
                all.failures.extend(done.failures);
            }
            Ok(_) => {}
            Err(error) => all
                .failures
                .push(error.context(format!("group '{}'", group.name))),
        }
    }
    Ok(Outcome::Done(all))
}
