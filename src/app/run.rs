//! Runs one command from beginning to end.

use super::resize::Resize;
use super::session::{Names, Session, refuse_foreign};
use super::which::{for_group, group_for, named, scan_for, shown_groups, tell_unreadable};
use super::{
    Change, Command, Env, Options, Outcome, Query, Report, appeared, counters, differences, groups,
    hotplug, map, metrics, monitor, paths, scan::Scan, status, verify, wait,
};
use crate::app::session::View;
use crate::error::{Error, Result};
use crate::exec::Cause;
use crate::meta::Fill;
use crate::model::{DmUuid, Group, GroupId, Name, Role, Sectors, Volume};
use crate::plan::change::Event;
use crate::plan::request::{GroupRequest, Request, Selection, Splits, Winner};
use crate::plan::room::{self, RoomFor};
use crate::plan::step::{Plan, Prepare};
use crate::plan::view::PlanView;
use crate::plan::world::{World, disks_beneath};
use crate::plan::{self, Refusal, render};
use crate::table::DmDevice;
use crate::table::status::MirrorStatus;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Executes a command. A command that sees mirrors also makes sure that they are watched: the
/// monitor may have been killed.
pub fn run(options: &Options, command: &Command, env: Env<'_>) -> Result<Outcome> {
    if sees_mirrors(command) && monitor::has_work(env.machine) {
        monitor::ensure(env);
    }
    match command {
        Command::Change(request) => change(options, request, env).map(Outcome::Done),
        Command::SnapWait { volumes, mirrors } => {
            let name = group_for(options, volumes, env.machine)?;
            wait::snapwait(options, &name, volumes, *mirrors, env).map(Outcome::Done)
        }
        Command::Group { group, request } => groups::change(options, group, request, &change, env),
        Command::Clone { group, request } => groups::clone::clone(options, group, request, env),
        Command::Verify { volumes, rate } => verify::verify(options, volumes, *rate, env),
        Command::DiskInit {
            devices,
            force,
            area,
        } => groups::init(options, devices, (*force, *area), env),
        Command::DiskErase { devices, force } => {
            groups::erase::erase(options, devices, *force, env)
        }
        Command::DiskResize(media) => {
            let group = groups::group_of_disk(options, media, env)?;
            let request = GroupRequest::ResizeDisk(media.clone());
            groups::change(options, group.as_str(), &request, &change, env)
        }
        Command::Metrics { changes } => Ok(metrics::metrics(options, *changes, env)),
        Command::Status => status::status(options, &status::unwatched(env), env),
        Command::Show(query) => {
            let shown = show(options, query, &RECORDING, env);
            if may_hold_mirrors(&shown, env) {
                monitor::ensure(env);
            }
            shown
        }
        Command::Recover { check: true } => status::check(options, env),
        Command::Recover { check: false } => status::recover(options, env),
        Command::StartAuto(occasion) => hotplug::start(options, *occasion, &change, env),
        Command::StopAuto => {
            let stopped = stop_all_groups(options, env);
            // Everything may be started again.
            if let Some(record) = appeared::record(env.machine) {
                record.forget();
            }
            stopped
        }
        Command::Monitor => monitor::run(env).map(|()| Outcome::Done(Report::default())),
    }
}

/// Returns what a command would do, for `--dry-run`. Changes nothing: no disk is written to, no
/// volume is repaired, and no monitor is started.
pub fn rehearse(options: &Options, command: &Command, env: Env<'_>) -> Result<Outcome> {
    match command {
        Command::Change(request) => {
            let name = group_for(options, &named(request), env.machine)?;
            rehearse_change(options, request, &name, env).map(Outcome::Planned)
        }
        Command::SnapWait { volumes, mirrors } => {
            let name = group_for(options, volumes, env.machine)?;
            wait::rehearse(&name, volumes, *mirrors, env).map(Outcome::Planned)
        }
        Command::Verify { volumes, .. } => {
            verify::rehearse(options, volumes, env).map(Outcome::Planned)
        }
        Command::Group { group, request } => groups::rehearse(group, request, env),
        Command::Clone { group, request } => groups::clone::rehearse(group, request, env),
        Command::DiskInit {
            devices,
            force,
            area,
        } => groups::rehearse_init(devices, (*force, *area), env),
        Command::DiskErase { devices, force } => groups::erase::rehearse(devices, *force, env),
        Command::DiskResize(media) => {
            let group = groups::group_of_disk(options, media, env)?;
            let request = GroupRequest::ResizeDisk(media.clone());
            groups::rehearse(group.as_str(), &request, env)
        }
        Command::Metrics { changes } => Ok(metrics::metrics(options, *changes, env)),
        Command::Status => status::status(options, &[], env),
        Command::Show(query) => show(options, query, &LOOKING, env),
        Command::Recover { .. } => status::check(options, env),
        Command::StartAuto(occasion) => {
            let starts =
                |scan: &Scan, group: &Group| hotplug::rehearse(*occasion, scan, group, env);
            rehearse_on_all_groups(options, &starts, env)
        }
        Command::StopAuto => {
            let stops = |_: &Scan, group: &Group| stop_all(group, env);
            rehearse_on_all_groups(options, &stops, env)
        }
        Command::Monitor => Ok(Outcome::Planned(PlanView::default())),
    }
}

/// What is to be done with a group at boot or at shutdown; `None` if that is nothing.
type ForEach<'f> = dyn Fn(&Scan, &Group) -> Result<Option<Request>> + 'f;

/// Stops all volumes except one that has the root filesystem: it is in use until the machine is off.
fn stop_all(group: &Group, env: Env<'_>) -> Result<Option<Request>> {
    let devices = env.machine.kernel()?.devices()?;
    let carries_root = |volume: &&Volume| {
        let uuid = DmUuid::new(group.id, volume.id, &Role::Volume);
        let mut found = devices.iter().filter(|device| device.uuid == uuid);
        found.any(|device| env.machine.carries_root(device.dev))
    };
    let (kept, others): (Vec<&Volume>, Vec<&Volume>) = group
        .volumes
        .iter()
        .partition(|volume| carries_root(volume));
    for volume in &kept {
        env.ui.note(&format!(
            "volume '{}' has the root filesystem and is not stopped; what is written last is made equal on its plexes at the next start",
            group.path(&volume.name)
        ));
    }
    let others: Vec<Name> = others.into_iter().map(|v| v.name.clone()).collect();
    Ok(match (kept.is_empty(), others.is_empty()) {
        (true, _) => Some(Request::Stop(Selection::All)),
        (false, false) => Some(Request::Stop(Selection::Each(others))),
        (false, true) => None,
    })
}

/// Answers a question.
fn show(options: &Options, query: &Query, reading: &Reading, env: Env<'_>) -> Result<Outcome> {
    match query {
        Query::Groups => groups::show::groups(env),
        Query::Group(name) => groups::show::show(name, env),
        Query::Dump(name) => groups::show::dump(name, env),
        Query::Disks => groups::show::disks(env),
        Query::AllDisks => groups::show::all_disks(env),
        Query::Print(volumes) => {
            let scan = scan_for(options, env)?;
            let worlds = layouts(options, volumes, reading.look, &scan, env)?;
            let shown = Outcome::Layout(worlds, volumes.clone());
            Ok(with_silent(options, volumes, shown, &scan))
        }
        Query::SnapPrint(volumes) => {
            let scan = scan_for(options, env)?;
            let worlds = differences::relations(options, volumes, reading.open, &scan, env)?;
            let shown = Outcome::Relations(worlds, volumes.clone());
            Ok(with_silent(options, volumes, shown, &scan))
        }
        Query::Counters(volumes) => {
            let scan = scan_for(options, env)?;
            let views = views(options, volumes, reading.look, &scan, env)?;
            let lines = views
                .iter()
                .flat_map(|view| counters::of(&view.world, volumes, env.machine));
            let shown = Outcome::Counters(lines.collect());
            Ok(with_silent(options, volumes, shown, &scan))
        }
        Query::ChangedRanges(snapshots) => {
            differences::changed_ranges(options, snapshots, reading.open, env)
                .map(Outcome::ChangedRanges)
        }
        Query::ChangeMap(snapshots) => {
            differences::changed_ranges(options, snapshots, reading.open, env)
                .map(Outcome::ChangeMap)
        }
        Query::Map(words) => maps(options, words, reading.look, env),
        Query::Together(group, what) => groups::handover::together(group, what, env),
        Query::Room(what) => room(options, what, reading.look, env),
    }
}

/// Adds to an answer about all groups those that run here but whose labels cannot be read: without
/// them it would be incomplete.
fn with_silent(options: &Options, objects: &[Name], shown: Outcome, scan: &Scan) -> Outcome {
    if options.group.is_some() || !objects.is_empty() {
        return shown;
    }
    shown.lacking(scan.silent())
}

/// Whether a command looks at volumes without leaving new mirrors behind, so that the monitor is
/// checked at its start. A change checks at its end, and so does a question, which has seen the
/// mirrors by then; `status` reports a missing monitor itself; at shutdown nothing is started any
/// more.
fn sees_mirrors(command: &Command) -> bool {
    match command {
        Command::SnapWait { .. } | Command::Verify { .. } | Command::Recover { check: false } => {
            true
        }
        Command::Group { request, .. } => matches!(
            request,
            GroupRequest::Add { .. }
                | GroupRequest::RemoveDisk(_)
                | GroupRequest::ReplaceDisk { .. }
        ),
        Command::Change(_)
        | Command::Show(_)
        | Command::Clone { .. }
        | Command::DiskInit { .. }
        | Command::DiskErase { .. }
        | Command::DiskResize(_)
        | Command::Recover { check: true }
        | Command::Metrics { .. }
        | Command::Status
        | Command::StartAuto(_)
        | Command::StopAuto
        | Command::Monitor => false,
    }
}

/// Whether there may be a mirror among what a question was about. An answer that lacks something
/// does not tell.
fn may_hold_mirrors(shown: &Result<Outcome>, env: Env<'_>) -> bool {
    match shown {
        Ok(Outcome::Layout(worlds, _)) => worlds.iter().any(|(world, _)| has_mirror(world)),
        Ok(Outcome::Relations(worlds, _)) => worlds.iter().any(|world| has_mirror(world)),
        Ok(Outcome::Map(maps, _)) => maps.iter().any(|mapped| has_mirror(&mapped.world)),
        Ok(Outcome::Group(world, ..)) => has_mirror(world),
        Ok(Outcome::Disks(_) | Outcome::Dump(_)) => false,
        Ok(_) | Err(_) => monitor::has_work(env.machine),
    }
}

/// How long to wait for an opener to close a device.
const OPENERS_GO: Duration = Duration::from_secs(1);
/// How long the write-back before a snapshot may take when nothing has failed.
const WRITE_BACK_SOUND: Duration = Duration::from_secs(2);
/// The length and number of the rounds in which a snapshot waits for dirty data to be written back.
/// Each round begins with a check for failed legs.
const WRITE_BACK_ROUND: Duration = Duration::from_secs(10);
const WRITE_BACK_ROUNDS: usize = 60;

/// Plans and carries out a change to a group's volumes.
fn change(options: &Options, request: &Request, env: Env<'_>) -> Result<Report> {
    let name = group_for(options, &named(request), env.machine)?;
    if let Request::Snapshot { splits, .. } = request {
        write_back(options, &name, splits, env)?;
    }
    let announced = confirm_restore(options, request, &name, env)?;
    let mut session = Session::open(options, &name, env)?;
    session.repair_all()?;
    session.agree_owners(Names::AsKnown);
    require_targets(&session, request)?;
    // From here on Ctrl-C ends the command between two steps: either nothing is changed, or the
    // copy continues.
    let _noted = env.machine.interrupts();
    session.learn(request)?;
    let resize = resize_of(&session, request)?;
    let plan = plan_patiently(&mut session, request)?;
    if !announced {
        plan.announced.iter().for_each(|text| env.ui.note(text));
    }
    let new_legs = wait::new_legs(&session.world, &plan.group);
    let mut report = carry_out(&mut session, request, &plan)?;
    if matches!(request, Request::SnapBack { .. }) {
        complete_return(&mut session, &mut report, env);
    }
    if let Request::Stop(which) = request {
        appeared::note_stopped(&session.world, which, env);
    }
    let left_behind = has_mirror(&session.world);
    paths::correct(&session.world, &mut report, env);
    drop(session);
    // The lock is released first: a thaw writes, and can block on a leg whose repair needs the lock
    // (K29).
    env.machine
        .thaw_left_behind()
        .iter()
        .for_each(|told| env.ui.warn(told));
    // A leg that fails while the filesystem grows has to be taken out.
    if left_behind {
        monitor::ensure(env);
    }
    if let Some(resize) = resize {
        resize.carry_out(&mut report, env);
    }
    if waits(request) && !options.background && !new_legs.is_empty() {
        let done = wait::for_legs(options, &name, &new_legs, &report.changes, env)?;
        report.changes.extend(done);
    }
    Ok(report)
}

/// The filesystem that is to grow with its volume, if one is.
fn resize_of(view: &View<'_>, request: &Request) -> Result<Option<Resize>> {
    match request {
        Request::Grow {
            volume,
            filesystem: true,
            ..
        } => Resize::of(view, volume).map(Some),
        _ => Ok(None),
    }
}

/// Plans a change to a group's volumes. Only what has changed on both sides of a snapshot is read
/// under the group's lock.
fn rehearse_change(
    options: &Options,
    request: &Request,
    name: &Name,
    env: Env<'_>,
) -> Result<PlanView> {
    let view = if matches!(request, Request::SnapBack { .. }) {
        let mut session = Session::open(options, name, env)?;
        session.learn_maps(request)?;
        session.release()
    } else {
        let mut view = View::look(name, env)?;
        refuse_foreign(&view.world.group, name, env.machine.host_id()?)?;
        view.look_for(request)?;
        view
    };
    resize_of(&view, request)?;
    let plan = plan::plan(&view.world, request).map_err(|e| view.name_openers(e))?;
    Ok(render::view(&view.world, &plan, env.ui.language()))
}

/// Carries out a plan. If it fails for a reason that could not be known before, plans again and
/// carries out the new plan.
fn carry_out(session: &mut Session<'_>, request: &Request, plan: &Plan) -> Result<Report> {
    let before = session.world.generation;
    let ends_tracking = ends_tracking(&session.world.group, plan);
    let failed = match session.carry_out(plan) {
        Ok(report) => return Ok(report),
        Err(failed) => failed,
    };
    let refused_maps = session.invalidate_refused_map(&failed);
    // A volume can be started without its map.
    if !refused_maps.is_empty() && matches!(request, Request::Start { .. }) {
        return start_without_map(session, request, failed.error);
    }
    // That something cannot be frozen showed only in the attempt. The new plan calls the snapshot
    // `crash`, or refuses it.
    if !failed.unfrozen.is_empty() {
        let again = plan_patiently(session, request)?;
        return Ok(session.carry_out(&again)?);
    }
    // A copy of a map was found dead when the copies were made equal or the map was written for the
    // last time; it is taken out by now.
    let lost_copy = !refused_maps.is_empty()
        || !failed.lost_copies.is_empty()
        || (ends_tracking && session.world.generation != before);
    // udev had the volume open for a probe at that moment.
    let was_open = matches!(failed.cause, Cause::InUse(_))
        && (ends_an_era(plan) || !plan.window.closed.is_empty());
    if lost_copy || was_open {
        let again = plan_patiently(session, request)?;
        return Ok(session.carry_out(&again)?);
    }
    Err(failed.error)
}

/// Completes a snap back with the writes made between the listing and the window. The legs are
/// being filled already, so if this fails the next command makes up for it.
fn complete_return(session: &mut Session<'_>, report: &mut Report, env: Env<'_>) {
    match session.repair_all() {
        Ok(done) => {
            let told = |change: &Change| change.event != Event::ChangesComplete;
            report.changes.extend(done.into_iter().filter(told));
        }
        Err(error) => env.ui.warn(&format!(
            "the change log is not complete yet; the next command completes it: {error}"
        )),
    }
}

/// Whether the plan writes a map for the last time. A dead disk of the map may show only then, if
/// nothing was written to the map before.
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

/// Starts volumes, without the map where the kernel refuses it.
fn start_without_map(
    session: &mut Session<'_>,
    request: &Request,
    mut refused: Error,
) -> Result<Report> {
    loop {
        session.env.ui.warn(&format!(
            "the map of changes cannot be used, so everything counts as changed: {refused}"
        ));
        let plan = plan::plan(&session.world, request)?;
        match session.carry_out(&plan) {
            Err(failed) if !session.invalidate_refused_map(&failed).is_empty() => {
                refused = failed.error;
            }
            came => return Ok(came?),
        }
    }
}

/// Asks for confirmation of a restore, unless `-y` was given. The lock is released while the
/// question is open: a leg that fails then has to be taken out. Returns whether the user was shown
/// what will be overwritten.
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
    session.repair_all()?;
    session.learn(request)?;
    let plan = plan_patiently(&mut session, request)?;
    drop(session);
    plan.announced.iter().for_each(|text| env.ui.note(text));
    if env.ui.confirm("restore?") {
        return Ok(true);
    }
    Err(
        Error::unsafe_("a restore overwrites the original; nothing was changed")
            .hint("confirm it with -y"),
    )
}

/// Plans; retries briefly while a device is open, since udev probes a device after each close by a
/// writer.
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

/// Writes back the volumes that a snapshot is going to freeze, before it and without the lock, so
/// that little is left to do while the lock is held.
///
/// Mostly the kernel's devices tell enough, and no disk is read for it. If that does not end in
/// time, each round first takes out failed legs, which would keep the write-back from finishing.
fn write_back(options: &Options, name: &Name, splits: &Splits, env: Env<'_>) -> Result<()> {
    if write_back_sound(name, splits, env)? {
        return Ok(());
    }
    for _ in 0..WRITE_BACK_ROUNDS {
        let mut session = Session::open(options, name, env)?;
        session.repair_all()?;
        let view = session.release();
        view.refuse_silent(&|volume| splits.may_mean(&volume.name))?;
        if write_back_round(&view, splits) {
            break;
        }
    }
    // If the write-back has not finished, that is reported before the window.
    Ok(())
}

/// Writes the volumes back for a short time, if the kernel shows no failed leg of their group and
/// the disks beneath them answer. Returns whether everything has reached the disks.
fn write_back_sound(name: &Name, splits: &Splits, env: Env<'_>) -> Result<bool> {
    let devices = env.machine.kernel()?.devices()?;
    let is_named = |device: &&DmDevice| {
        let is_group =
            |group: &Name| group == name || device.uuid.group() == GroupId::parse(name.as_str());
        let names = device.uuid.is_volume().then(|| device.name.split());
        names
            .flatten()
            .is_some_and(|(group, volume)| is_group(&group) && splits.may_mean(&volume))
    };
    let volumes: Vec<&DmDevice> = devices.iter().filter(is_named).collect();
    let of_their_group = |device: &&DmDevice| {
        let group = device.uuid.group();
        volumes.iter().any(|volume| volume.uuid.group() == group)
    };
    let has_failed = devices
        .iter()
        .filter(of_their_group)
        .filter_map(|device| device.mirror.as_ref())
        .any(MirrorStatus::has_failed);
    let named: BTreeSet<_> = volumes
        .iter()
        .map(|device| (device.uuid.group(), device.uuid.volume()))
        .collect();
    let of_the_volumes =
        |device: &DmDevice| named.contains(&(device.uuid.group(), device.uuid.volume()));
    let disks = disks_beneath(devices.iter(), &of_the_volumes);
    // What waits for a disk that hangs has the volume open until the disk answers.
    let is_sound = !has_failed && env.machine.silent(&disks).is_empty();
    let is_written = |volume: &&DmDevice| {
        let written = env.machine.write_back(volume.dev, WRITE_BACK_SOUND);
        written.is_ok()
    };
    Ok(is_sound && volumes.iter().all(is_written))
}

/// Writes the volumes back for one round. Returns whether everything has reached the disks.
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

/// Whether the command waits for the kernel's copy unless `-b` is given.
fn waits(request: &Request) -> bool {
    matches!(
        request,
        Request::SnapStart { .. }
            | Request::SnapBack { .. }
            | Request::Mirror { .. }
            | Request::PlexAttach { .. }
    )
}

fn has_mirror(world: &World) -> bool {
    world.devices.values().any(|d| d.mirror.is_some())
}

/// Requires the device-mapper targets that the request's tables use, after trying to load their
/// modules.
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

/// Reads the groups to show, of those imported by this machine.
fn views<'u>(
    options: &Options,
    objects: &[Name],
    look: Look,
    scan: &Scan,
    env: Env<'u>,
) -> Result<Vec<View<'u>>> {
    let read = |name: &Name| {
        let view = look(options, name, scan, env)?;
        refuse_foreign(&view.world.group, name, env.machine.host_id()?)?;
        for object in objects {
            view.world.group.volume_named(object)?;
        }
        Ok(view)
    };
    let names = shown_groups(options, objects, scan, env)?;
    names.iter().map(read).collect()
}

/// Returns the groups to show, of those imported by this machine.
fn layouts(
    options: &Options,
    objects: &[Name],
    look: Look,
    scan: &Scan,
    env: Env<'_>,
) -> Result<Vec<(World, Option<Fill>)>> {
    let mut shown = Vec::new();
    for view in views(options, objects, look, scan, env)? {
        let mut world = view.world.state.clone();
        paths::look(&mut world, env)
            .iter()
            .for_each(|why| env.ui.note(why));
        shown.push((world, view.fill()));
    }
    Ok(shown)
}

/// Maps the disks of groups, or those of the named volumes.
fn maps(options: &Options, words: &[Name], look: Look, env: Env<'_>) -> Result<Outcome> {
    let scan = scan_for(options, env)?;
    let (groups, volumes) = map::meant(options, words, &scan);
    let mut shown = Vec::new();
    for group in groups {
        let of_group = Options {
            group: Some(group),
            ..options.clone()
        };
        shown.extend(views(&of_group, &[], look, &scan, env)?);
    }
    if shown.is_empty() {
        shown = views(options, &volumes, look, &scan, env)?;
    }
    let outcome = Outcome::Map(shown.iter().map(map::mapped).collect(), volumes);
    Ok(with_silent(options, words, outcome, &scan))
}

/// Finds out how large a volume could be.
fn room(options: &Options, what: &RoomFor, look: Look, env: Env<'_>) -> Result<Outcome> {
    let volumes: Vec<Name> = what.volume().into_iter().cloned().collect();
    let name = group_for(options, &volumes, env.machine)?;
    let mut view = look(options, &name, &scan_for(options, env)?, env)?;
    refuse_foreign(&view.world.group, &name, env.machine.host_id()?)?;
    // What the verb would look for, whatever the volume's name and size.
    view.look_for(&what.request(&name, Sectors::ZERO))?;
    let group = &view.world.group;
    let present = what.volume().map(|name| group.volume_named(name));
    Ok(Outcome::Room {
        group: group.name.clone(),
        volume: what.volume().cloned(),
        present: present.transpose()?.map(|volume| volume.size),
        size: room::room(&view.world, what)?,
    })
}

/// How groups are read for a question.
struct Reading {
    /// Reads a group without its lock.
    look: Look,
    /// Opens a group to read its maps of changes, which needs its lock.
    open: differences::Open,
}

/// What the kernel has finished is recorded first, and what is to be repaired is repaired.
const RECORDING: Reading = Reading {
    look: look_and_record,
    open: open_and_repair,
};

/// Nothing is written.
const LOOKING: Reading = Reading {
    look: look_only,
    open: open_only,
};

fn open_and_repair<'u>(options: &Options, name: &Name, env: Env<'u>) -> Result<Session<'u>> {
    let mut session = Session::open(options, name, env)?;
    session.repair_all()?;
    Ok(session)
}

fn open_only<'u>(options: &Options, name: &Name, env: Env<'u>) -> Result<Session<'u>> {
    Session::open(options, name, env)
}

/// A way to read a group.
type Look = for<'u> fn(&Options, &Name, &Scan, Env<'u>) -> Result<View<'u>>;

fn look_only<'u>(_: &Options, name: &Name, scan: &Scan, env: Env<'u>) -> Result<View<'u>> {
    View::look_in(scan, name, env)
}

/// Reads a group. First records what the kernel has finished, if no other command holds its lock.
fn look_and_record<'u>(
    options: &Options,
    name: &Name,
    scan: &Scan,
    env: Env<'u>,
) -> Result<View<'u>> {
    let at_once = Options {
        timeout: Some(Duration::ZERO),
        ..options.clone()
    };
    let looked = View::look_in(scan, name, env)?;
    if looked.next_repair().ok().flatten().is_none() {
        return Ok(looked);
    }
    let recorded = Session::open(&at_once, name, env)
        .and_then(|mut session| session.repair_all().map(|_| session));
    Ok(recorded.map_or(looked, Session::release))
}

/// Stops all groups of this machine, at shutdown. A group or volume that fails does not stop the
/// others.
fn stop_all_groups(options: &Options, env: Env<'_>) -> Result<Outcome> {
    let mut all = Report::default();
    let scan = Scan::new(env.machine)?;
    tell_unreadable(&scan, &BTreeSet::new(), &mut all, env);
    for group in scan.own_groups(env.machine)? {
        let Some(request) = stop_all(&group, env)? else {
            continue;
        };
        let done = change(&for_group(options, &scan, &group), &request, env);
        all.add(done, &format!("group '{}'", group.name));
    }
    Ok(Outcome::Done(all))
}

/// The plans for all groups of this machine, as one.
fn rehearse_on_all_groups(
    options: &Options,
    request: &ForEach<'_>,
    env: Env<'_>,
) -> Result<Outcome> {
    let (mut all, mut told) = (PlanView::default(), Report::default());
    let scan = scan_for(options, env)?;
    if options.group.is_none() {
        tell_unreadable(&scan, &BTreeSet::new(), &mut told, env);
    }
    let mut names = Vec::new();
    for group in hotplug::groups_of(options, &scan, env.machine)? {
        let options = for_group(options, &scan, &group);
        let name = scan.word(&group);
        let Some(request) = request(&scan, &group)? else {
            continue;
        };
        match rehearse_change(&options, &request, &name, env) {
            Ok(plan) => {
                names.push(plan.group);
                all.changes.extend(plan.changes);
                all.notes.extend(plan.notes);
                all.prepare.extend(plan.prepare);
                all.window.extend(plan.window);
                all.finish.extend(plan.finish);
            }
            Err(error) => told
                .failures
                .push(error.context(format!("group '{}'", group.name))),
        }
    }
    names.sort();
    all.group = names.join(", ");
    Ok(Outcome::Planned(all).lacking(told.failures))
}
