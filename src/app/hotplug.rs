//! `start --auto` at boot and when disks appear.

use super::appeared::{appearances, note, record};
use super::scan::Scan;
use super::session::{View, lock_group};
use super::which::{for_group, tell_unreadable};
use super::{Env, Occasion, Options, Outcome, Report};
use crate::error::Result;
use crate::model::{AtBoot, Group, Name};
use crate::plan::change::{self, Event, Object};
use crate::plan::hotplug::{Due, due, everything, overdue, wait_for};
use crate::plan::request::{Request, Selection, Winner};
use crate::plan::world::World;
use crate::sys::lock;
use crate::sys::machine::Machine;
use std::collections::BTreeSet;

/// Plans and carries out a request.
pub type Change<'c> = &'c dyn Fn(&Options, &Request, Env<'_>) -> Result<Report>;

/// Starts what an occasion calls for, on all groups of this machine or on that of `-g`. A group of
/// another machine is left alone and is no error: its disks appear here, too.
pub fn start(
    options: &Options,
    occasion: Occasion,
    change: Change<'_>,
    env: Env<'_>,
) -> Result<Outcome> {
    // Who makes disks of devices, or imports some, has said by then that their appearance is handled.
    let _disks = lock_group(lock::DISKS, options.timeout, env)?;
    let scan = Scan::new(env.machine)?;
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
    change: Change<'_>,
    env: Env<'_>,
) -> Result<Report> {
    let view = View::look_for_hotplug(scan, group.id, env)?;
    let before = record(env.machine).map(|record| record.read(group.id));
    let before = before.unwrap_or_default();
    let numbers = appearances(&view.world, env.machine);
    let due = match occasion {
        Occasion::Any => everything(&view.world, &numbers),
        Occasion::Appeared => due(&view.world, &before, &numbers),
        Occasion::Overdue => overdue(&view.world, &before),
    };
    tell_waiting(group, &due, env);
    let volumes = match occasion {
        Occasion::Any => Some(Selection::All),
        _ if due.start.is_empty() => None,
        _ => Some(Selection::Each(due.start.clone())),
    };
    let done = volumes.map_or_else(
        || Ok(Report::default()),
        |volumes| {
            let force = false;
            let request = Request::Start { volumes, force };
            change(options, &request, env)
        },
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

/// Restores volumes that have just been started from the snapshots that they are to be restored from
/// when the machine boots. Nothing can have been mounted yet: whatever mounts waits for this.
fn restore(
    report: &mut Report,
    world: &World,
    options: &Options,
    change: Change<'_>,
    env: Env<'_>,
) {
    let options = Options {
        yes: true,
        background: true,
        ..options.clone()
    };
    for snapshot in &world.group.volumes {
        let Some(origin) = &snapshot.origin else {
            continue;
        };
        let (Some(how), Some(original)) = (origin.at_boot, world.group.volume(origin.original))
        else {
            continue;
        };
        if !is_started(&report.changes, &original.name) {
            continue;
        }
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
