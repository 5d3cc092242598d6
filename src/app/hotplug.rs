//! `start --auto` at boot and when disks appear.

use super::appeared::{appearances, note, record};
use super::scan::Scan;
use super::session::{View, lock_group};
use super::which::{for_group, scan_for, tell_unreadable};
use super::{Changing, Env, Occasion, Options, Outcome, Report};
use crate::error::Result;
use crate::model::{AtBoot, Group, Name, Volume};
use crate::plan::change::{self, Event, Object};
use crate::plan::hotplug::{Due, due, everything, overdue, wait_for};
use crate::plan::request::{Request, Selection, Winner};
use crate::plan::world::World;
use crate::sys::lock;
use crate::sys::machine::Machine;
use std::collections::BTreeSet;

/// Starts what an occasion calls for, on all groups of this machine or on that of `-g`. A group of
/// another machine is left alone and is no error: its disks appear here, too.
pub fn start(
    options: &Options,
    occasion: Occasion,
    change: Changing<'_>,
    env: Env<'_>,
) -> Result<Outcome> {
    // Who makes disks of devices, or imports some, has said by then that their appearance is handled.
    let _disks = lock_group(lock::DISKS, options.timeout, env)?;
    let scan = scan_for(options, env)?;
    let mut all = Report::default();
    let groups = groups_of(options, &scan, env.machine)?;
    if options.group.is_none() {
        tell_unreadable(&scan, &BTreeSet::new(), &mut all, env);
    }
    for group in groups {
        let options = for_group(options, &scan, &group);
        let done = start_group(&options, occasion, (&scan, &group), change, env);
        all.add(done, &format!("group '{}'", group.name));
    }
    Ok(Outcome::Done(all))
}

/// The groups of this machine; with `-g` that one alone, or none if it is another machine's.
pub fn groups_of(options: &Options, scan: &Scan, machine: &dyn Machine) -> Result<Vec<Group>> {
    let mut own = scan.own_groups(machine)?;
    if let Some(word) = &options.group {
        let id = scan.group_named(word.as_str())?;
        // Says why, if it cannot be read.
        scan.choose(id)?;
        own.retain(|group| group.id == id);
    }
    Ok(own)
}

fn start_group(
    options: &Options,
    occasion: Occasion,
    (scan, group): (&Scan, &Group),
    change: Changing<'_>,
    env: Env<'_>,
) -> Result<Report> {
    let (view, due) = look(occasion, scan, group, env)?;
    tell_waiting(group, &due, env);
    let done = request(occasion, &due).map_or_else(
        || Ok(Report::default()),
        |request| change(options, &request, env),
    );
    let done = done.map(|mut report| {
        restore(&mut report, &view.world, options, change, env);
        report
    });
    let mut handled = due.handled;
    let left = due.start.iter().filter(|name| !has_started(&done, name));
    wait_for(&mut handled, &view.world, left);
    note(&view.world, &handled, env);
    done
}

/// Returns what an occasion calls for in a group, for `--dry-run`, and tells what else would happen.
pub fn rehearse(
    occasion: Occasion,
    scan: &Scan,
    group: &Group,
    env: Env<'_>,
) -> Result<Option<Request>> {
    let (view, due) = look(occasion, scan, group, env)?;
    tell_waiting(group, &due, env);
    for (original, snapshot, _) in to_restore(&view.world, &|name| due.start.contains(name)) {
        env.ui.note(&format!(
            "'{}' would then be restored from '{}'",
            group.path(&original.name),
            group.path(&snapshot.name)
        ));
    }
    Ok(request(occasion, &due))
}

fn look<'u>(
    occasion: Occasion,
    scan: &Scan,
    group: &Group,
    env: Env<'u>,
) -> Result<(View<'u>, Due)> {
    let view = View::look_for_hotplug(scan, group.id, env)?;
    let before = record(env.machine).map(|record| record.read(group.id));
    let before = before.unwrap_or_default();
    let numbers = appearances(&view.world, env.machine);
    let due = match occasion {
        Occasion::Any => everything(&view.world, &numbers),
        Occasion::Appeared => due(&view.world, &before, &numbers),
        Occasion::Overdue => overdue(&view.world, &before),
    };
    Ok((view, due))
}

fn request(occasion: Occasion, due: &Due) -> Option<Request> {
    let volumes = match occasion {
        Occasion::Any => Selection::All,
        _ if due.start.is_empty() => return None,
        _ => Selection::Each(due.start.clone()),
    };
    let force = false;
    Some(Request::Start { volumes, force })
}

/// The volumes that are to be restored when the machine boots, as far as they are among those that a
/// start begins with: each with its snapshot.
fn to_restore<'w>(
    world: &'w World,
    is_started: &dyn Fn(&Name) -> bool,
) -> Vec<(&'w Volume, &'w Volume, AtBoot)> {
    let volumes = world.group.volumes.iter();
    let requested = volumes.filter_map(|snapshot| {
        let origin = snapshot.origin.as_ref()?;
        let original = world.group.volume(origin.original)?;
        Some((original, snapshot, origin.at_boot?))
    });
    requested
        .filter(|(original, ..)| is_started(&original.name))
        .collect()
}

/// Restores volumes that have just been started from the snapshots that they are to be restored from
/// when the machine boots. In an initramfs and before `local-fs-pre.target` nothing is mounted yet; a
/// volume that somebody has opened by now is not overwritten, and is tried again at the next start.
fn restore(
    report: &mut Report,
    world: &World,
    options: &Options,
    change: Changing<'_>,
    env: Env<'_>,
) {
    let options = Options {
        yes: true,
        background: true,
        ..options.clone()
    };
    let started = |name: &Name| is_started(&report.changes, name);
    for (original, snapshot, how) in to_restore(world, &started) {
        let request = Request::SnapBack {
            snapshots: vec![snapshot.name.clone()],
            mirrors: Some(1),
            from: Winner::Snapshot,
            keep: how == AtBoot::Keep,
            lanes: None,
        };
        let context = format!(
            "'{}' was to be restored from '{}'",
            world.group.path(&original.name),
            world.group.path(&snapshot.name)
        );
        report.add(change(&options, &request, env), &context);
    }
}

fn has_started(done: &Result<Report>, volume: &Name) -> bool {
    done.as_ref()
        .is_ok_and(|report| is_started(&report.changes, volume))
}

fn is_started(changes: &[change::Change], volume: &Name) -> bool {
    changes.iter().any(|change| {
        matches!(change.event, Event::Started { .. })
            && matches!(&change.object, Object::Volume(_, name) if name == volume)
    })
}

fn tell_waiting(group: &Group, due: &Due, env: Env<'_>) {
    for (volume, disks) in &due.waiting {
        let names: Vec<String> = disks.iter().map(|disk| format!("'{disk}'")).collect();
        let what = match names.as_slice() {
            [] => "more disks of its group".to_owned(),
            [one] => format!("disk {one}"),
            several => format!("disks {}", several.join(", ")),
        };
        env.ui
            .note(&format!("'{}/{volume}' waits for {what}", group.name));
    }
}
