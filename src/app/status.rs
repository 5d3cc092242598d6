//! `status` and `recover`: report what needs attention, and repair it.

use super::monitor::{self, Watched};
use super::scan::Scan;
use super::session::{Names, Session};
use super::{Change, Env, Options, Outcome, Report};
use crate::advice::{Advised, Hint};
use crate::app::session::View;
use crate::error::{Error, Kind, Result};
use crate::meta;
use crate::model::{Disk, GroupId, Name, PlexState, Volume};
use crate::plan::change::Event;
use crate::plan::world::World;
use crate::plan::{finding, quorum, render};
use crate::sys::disk::Access;
use crate::sys::machine::Machine;
use std::collections::BTreeSet;
use std::time::Duration;

/// A group that `status` or `recover` handles.
pub(super) enum Target {
    /// A readable group, by its name or UUID.
    Named(Name),
    /// The running part of a group, whatever the disks in sight say about it.
    Running(GroupId),
}

impl Target {
    /// Returns the group given by `-g` or, without it, all of `words`, and the running parts of
    /// groups whose configuration cannot be used otherwise.
    pub fn all(
        options: &Options,
        scan: &Scan,
        words: Vec<Name>,
        machine: &dyn Machine,
    ) -> Result<Vec<Target>> {
        let mut running = scan.running_all_the_same(machine)?;
        let mut targets: Vec<Target> = words.into_iter().map(Target::Named).collect();
        if let Some(name) = &options.group {
            running.retain(|id| is_meant(options, scan, *id));
            targets = if running.is_empty() {
                vec![Target::Named(name.clone())]
            } else {
                Vec::new()
            };
        }
        targets.extend(running.into_iter().map(Target::Running));
        Ok(targets)
    }

    pub fn look<'u>(&self, scan: &Scan, env: Env<'u>) -> Result<View<'u>> {
        match self {
            Target::Named(name) => View::look_in(scan, name, env),
            Target::Running(id) => View::look_running(*id, env),
        }
    }

    /// The name that it is known by.
    pub fn name(&self, scan: &Scan) -> String {
        match self {
            Target::Named(name) => name.to_string(),
            Target::Running(id) => scan
                .name_of(*id)
                .map_or_else(|| id.to_string(), |name| name.to_string()),
        }
    }

    /// What needs attention in the group, once it was read.
    pub fn findings(&self, view: &View<'_>) -> Vec<String> {
        match self {
            Target::Named(_) => group_findings(view),
            Target::Running(_) => {
                let name = &view.world.group.name;
                let mut findings = vec![format!(
                    "group '{name}': its running part is monitored, on the disks that the kernel's tables name"
                )];
                findings.extend(running_findings(view));
                findings
            }
        }
    }

    fn open<'u>(&self, options: &Options, env: Env<'u>) -> Result<Session<'u>> {
        match self {
            Target::Named(name) => Session::open(options, name, env),
            Target::Running(id) => Session::open_running(options, *id, None, env),
        }
    }
}

/// Whether a command applies to this group; without `-g` it applies to all.
fn is_meant(options: &Options, scan: &Scan, id: GroupId) -> bool {
    let is_it = |name: &Name| {
        scan.name_of(id).is_some_and(|known| known == *name) || *name == Name::of_group(id)
    };
    options.group.as_ref().is_none_or(is_it)
}

/// Reports what needs attention, in all groups or the one given by `-g`. `unwatched` is the finding
/// on the monitor.
pub fn status(options: &Options, unwatched: &[String], env: Env<'_>) -> Result<Outcome> {
    let scan = Scan::new(env.machine)?;
    let mut findings = general(&scan);
    if let Some(group) = &options.group {
        let late = scan.late_beside(Some(group.as_str()));
        late.iter().for_each(|error| env.ui.warn(error.message()));
    }
    let silent = if options.group.is_none() {
        scan.silent()
    } else {
        Vec::new()
    };
    findings.extend(silent.iter().map(|error| error.message().to_owned()));
    findings.extend_from_slice(unwatched);
    for target in Target::all(options, &scan, words(&scan), env.machine)? {
        match (&target, target.look(&scan, env)) {
            (_, Ok(view)) => findings.extend(target.findings(&view)),
            (Target::Named(_), Err(error)) => return Err(error),
            (Target::Running(_), Err(error)) => findings.push(format!(
                "group '{}' runs but cannot be monitored: {error}",
                target.name(&scan)
            )),
        }
    }
    Ok(Outcome::Findings(findings).lacking(silent))
}

/// The findings that belong to no single group that can be read: devices that do not answer, and
/// groups that are refused.
pub(super) fn general(scan: &Scan) -> Vec<String> {
    let unanswered = scan.unanswered().iter();
    let told = unanswered.map(|error| format!("device {error}: it may be a breakoff disk"));
    let refused = scan.refused().into_iter().map(|(_, remark, _)| remark);
    told.chain(refused).collect()
}

/// The words for all readable groups.
pub(super) fn words(scan: &Scan) -> Vec<Name> {
    let groups = scan.readable_groups();
    groups.iter().map(|group| scan.word(group)).collect()
}

/// Starts a monitor if none runs, and returns the finding that the mirrors were not watched.
pub fn unwatched(env: Env<'_>) -> Vec<String> {
    if !monitor::has_work(env.machine) {
        return Vec::new();
    }
    match monitor::start(env) {
        Watched::Already => Vec::new(),
        Watched::Started => vec![
            "'breakoff monitor' was not running, so the mirrors were not watched; it has been started".to_owned()
        ],
        Watched::Not(why) => vec![format!("the mirrors are not watched: {why}")],
    }
}

/// Returns the findings on a group: what needs attention.
pub(super) fn group_findings(view: &View<'_>) -> Vec<String> {
    let world = &view.world;
    let group = &world.group;
    let media = |id| {
        group
            .disk(id)
            .map_or_else(String::new, |d| d.media.to_string())
    };
    let unlabelled = view.unlabelled();
    let is_missing =
        |id| !world.disks.contains_key(&id) && !unlabelled.iter().any(|(known, _)| *known == id);
    let missing = group.disks.iter().filter(|d| is_missing(d.id));
    let told = |d: &Disk| match world.number(d.id) {
        Some(number) => {
            format!(
                "the label of disk '{}' of group '{}' cannot be read, and its volumes run on device {number}",
                d.media, group.name
            )
        }
        None => format!("disk '{}' of group '{}' is missing", d.media, group.name),
    };
    let mut findings: Vec<String> = missing.map(told).collect();
    findings.extend(unlabelled.iter().map(|known| view.without_label(known)));
    let outdated = view.outdated().iter().map(|id| {
        format!("disk '{}' of group '{}' has an old copy of the configuration; the next change writes it again", media(*id), group.name)
    });
    findings.extend(outdated);
    findings.extend(
        quorum::refuse_minority(world)
            .err()
            .map(|refusal| refusal.message()),
    );
    findings.extend(running_findings(view));
    findings
}

/// Returns the findings on the volumes of a group, its devices that are held open, and pending
/// repairs.
fn running_findings(view: &View<'_>) -> Vec<String> {
    let world = &view.world;
    let group = &world.group;
    let mut findings = Vec::new();
    findings.extend(group.volumes.iter().flat_map(|v| volume_findings(world, v)));
    findings.extend(view.held_open());
    if let Ok(Some(plan)) = view.next_repair() {
        let told = format!(
            "group '{}': a change is to be recorded or repaired; ",
            group.name
        );
        let told = Hint::from(told).line(Advised::Recover).and(" does it");
        findings.push(view.env.words(&told));
        findings.extend(plan.changes.iter().map(Change::to_string));
    }
    findings
}

fn volume_findings(world: &World, volume: &Volume) -> Vec<String> {
    let path = world.group.path(&volume.name);
    let bad = volume
        .plexes
        .iter()
        .filter(|p| matches!(p.state, PlexState::Stale | PlexState::Failed));
    let mut findings: Vec<String> = bad
        .map(|p| format!("plex '{}' of '{path}' is {}", p.name, p.state))
        .collect();
    if let Some(origin) = volume.origin.as_ref().filter(|o| o.at_boot.is_some())
        && let Some(original) = world.group.volume(origin.original)
    {
        findings.push(format!(
            "'{}' is going to be restored from '{path}' when this machine boots",
            world.group.path(&original.name)
        ));
    }
    if volume.running.is_some_and(|boot| boot != world.boot) {
        findings.push(format!(
            "volume '{path}' was running when the machine crashed and has not been started since"
        ));
    }
    if finding::lacks_log(world, volume) {
        findings.push(format!(
            "mirror '{path}' has no dirty region log: after a crash all of it is copied"
        ));
    }
    if volume.running == Some(world.boot) && !volume.is_synced() {
        findings.push(format!("the plexes of '{path}' are being resynchronised"));
    }
    findings
}

/// Reports what [`recover`] would do.
pub fn check(options: &Options, env: Env<'_>) -> Result<Outcome> {
    let scan = Scan::new(env.machine)?;
    let found: Result<Vec<Vec<String>>> = own(options, &scan, env.machine)?
        .iter()
        .map(|target| to_be_done(target, &scan, env))
        .collect();
    let shown = found.map(|all| match all.concat() {
        none if none.is_empty() => Outcome::Findings(none),
        some => Outcome::ToBeRepaired(some),
    });
    shown.map(|shown| shown.lacking(what_is_wrong(options, &scan, env)))
}

/// Finishes or undoes what an interrupted command left. Without `-g` all groups of this machine are
/// handled, and one that fails does not stop the others.
pub fn recover(options: &Options, env: Env<'_>) -> Result<Outcome> {
    let scan = Scan::new(env.machine)?;
    let mut report = Report::default();
    if options.group.is_none() {
        super::which::tell_unreadable(
            &scan,
            &scan.running_all_the_same(env.machine)?,
            &mut report,
            env,
        );
        erase_leftovers(&scan, &mut report, env);
    } else {
        refused(options, &scan).for_each(|(reason, _)| env.ui.warn(&reason));
    }
    for target in own(options, &scan, env.machine)? {
        match recover_group(options, &target, env) {
            Ok(recovered) => {
                report.changes.extend(recovered.changes);
                report.notes.extend(recovered.notes);
                report.failures.extend(recovered.failures);
            }
            Err(error) if options.group.is_none() => report.failures.push(error),
            Err(error) => return Err(error),
        }
    }
    // The thaw comes last: it writes, so what is suspended has to be resumed first (K29).
    report.notes.extend(env.machine.thaw_left_behind());
    Ok(Outcome::Done(report))
}

/// Returns an error for each group that is refused or cannot be read: no change to it is possible,
/// even when its running part is repaired.
fn what_is_wrong(options: &Options, scan: &Scan, env: Env<'_>) -> Vec<Error> {
    let mut report = Report::default();
    match options.group {
        None => super::which::tell_unreadable(scan, &BTreeSet::new(), &mut report, env),
        Some(_) => report
            .failures
            .extend(refused(options, scan).map(|(reason, kind)| Error::new(kind, reason))),
    }
    report.failures
}

/// Returns why the groups in question allow no command except a repair.
fn refused<'s>(options: &'s Options, scan: &'s Scan) -> impl Iterator<Item = (String, Kind)> + 's {
    scan.refused()
        .into_iter()
        .filter(|(id, ..)| is_meant(options, scan, *id))
        .map(|(_, reason, kind)| (reason, kind))
}

/// Erases the labels of destroyed groups that the destroying command did not get to.
fn erase_leftovers(scan: &Scan, report: &mut Report, env: Env<'_>) {
    for path in scan.leftovers() {
        let shown = path.display();
        match env
            .machine
            .media(path, Access::ReadWrite)
            .and_then(|media| meta::wipe_disk(media.as_ref()))
        {
            Ok(()) => report
                .changes
                .push(Change::device(path, Event::LabelErased)),
            Err(error) => report
                .failures
                .push(error.context(format!("the label of '{shown}' cannot be erased"))),
        }
        env.machine
            .announce(&[path.to_owned()])
            .into_iter()
            .for_each(|warning| env.ui.warn(&warning));
    }
}

/// Returns the group given by `-g`, or all groups that this machine has imported.
fn own(options: &Options, scan: &Scan, machine: &dyn Machine) -> Result<Vec<Target>> {
    let words = if options.group.is_some() {
        Vec::new()
    } else {
        scan.own_words(machine)?
    };
    Target::all(options, scan, words, machine)
}

/// Recovers one group. Returns the changes, the devices that other processes still hold open as
/// notes, and the labels that could not be written again as failures; such a failure stops nothing
/// else.
fn recover_group(options: &Options, target: &Target, env: Env<'_>) -> Result<Report> {
    let mut session = target.open(options, env)?;
    let mut changes = session.repair_all()?;
    session.agree_owners(Names::LookUp);
    let (labels, failures) = session.label_again();
    changes.extend(labels);
    // Taking a cookie also removes the cookies that killed commands have left.
    if session.kernel.take_cookie().is_ok() {
        let _ = session.kernel.settle(Duration::from_secs(5));
    }
    Ok(Report {
        changes,
        notes: session.held_open(),
        failures,
    })
}

fn to_be_done(target: &Target, scan: &Scan, env: Env<'_>) -> Result<Vec<String>> {
    let session = target.look(scan, env)?;
    let labels: Vec<String> = session
        .unlabelled()
        .iter()
        .map(|known| session.without_label(known))
        .collect();
    let Some(plan) = session.next_repair()? else {
        return Ok(labels);
    };
    let name = &session.world.group.name;
    let view = render::view(&session.world, &plan, env.ui.language());
    let steps = view.prepare.iter().chain(&view.window).chain(&view.finish);
    let done = view
        .changes
        .iter()
        .map(Change::to_string)
        .chain(steps.map(|s| format!("group '{name}': {} {}", s.verb, s.object)));
    Ok(done.chain(labels).collect())
}
