//! `start --auto` when disks appear: what has been done about them is kept in a small file for each
//! group, in a directory that does not outlive the boot.

use super::run::{change, for_group};
use super::scan::Scan;
use super::session::{View, lock_group};
use super::which::tell_unreadable;
use super::{Env, Occasion, Options, Outcome, Report};
use crate::error::Result;
use crate::model::{DiskId, Group, GroupId, Name, VolumeId};
use crate::plan::change::{Change, Event, Object};
use crate::plan::hotplug::{Due, Handled, due, everything, overdue, present};
use crate::plan::request::{Request, Selection};
use crate::plan::world::World;
use crate::sys::lock;
use crate::sys::machine::Machine;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

/// The file: which disks have been handled and which volumes wait, by their UUIDs.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Record {
    disks: BTreeMap<String, u64>,
    waiting: Vec<String>,
}

/// Starts what an occasion calls for, on all groups of this machine or on that of `-g`. A group of
/// another machine is left alone and is no error: its disks appear here, too.
pub fn start(options: &Options, occasion: Occasion, env: Env<'_>) -> Result<Outcome> {
    // Who makes disks of devices, or imports some, has said by then that their appearance is handled.
    let _disks = lock_group(lock::DISKS, options.timeout, env)?;
    let scan = Scan::new(env.machine)?;
    let mut all = Report::default();
    let groups = groups_of(options, &scan, env.machine)?;
    if options.group.is_none() {
        tell_unreadable(&scan, &BTreeSet::new(), &mut all, env);
    }
    for group in groups {
        match start_group(options, occasion, &scan, &group, env) {
            Ok(done) => {
                all.changes.extend(done.changes);
                all.notes.extend(done.notes);
                all.failures.extend(done.failures);
            }
            Err(error) => all
                .failures
                .push(error.context(format!("group '{}'", group.name))),
        }
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
    scan: &Scan,
    group: &Group,
    env: Env<'_>,
) -> Result<Report> {
    let view = View::look_for_hotplug(scan, group.id, env)?;
    let before = read(env.machine, group.id);
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
            change(&for_group(options, scan, group), &request, env)
        },
    );
    let mut handled = due.handled;
    let left = due.start.iter().filter(|name| !has_started(&done, name));
    handled.wait_for(&view.world, left);
    write(env, group.id, &handled);
    done
}

fn has_started(done: &Result<Report>, volume: &Name) -> bool {
    let is_its_start = |change: &Change| {
        matches!(change.event, Event::Started { .. })
            && matches!(&change.object, Object::Volume(_, name) if name == volume)
    };
    done.as_ref()
        .is_ok_and(|report| report.changes.iter().any(is_its_start))
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

/// Forgets what has been handled: everything was stopped, and may be started again.
pub fn forget(machine: &dyn Machine) {
    // Without it the next start does too little, and says so.
    if let Some(dir) = machine.hotplug_dir() {
        let _ = fs::remove_dir_all(dir);
    }
}

/// Takes note that a command has dealt with the disks of a group itself: that they have got a label is
/// no appearance.
pub fn note_handled(world: &World, env: Env<'_>) {
    let disks = present(world, &appearances(world, env.machine));
    let handled = Handled {
        disks,
        ..read(env.machine, world.group.id)
    };
    write(env, world.group.id, &handled);
}

fn appearances(world: &World, machine: &dyn Machine) -> BTreeMap<DiskId, u64> {
    let numbered = |(id, disk): (&DiskId, &crate::plan::world::PresentDisk)| {
        Some((*id, machine.appearance(disk.dev)?))
    };
    world.disks.iter().filter_map(numbered).collect()
}

fn file(machine: &dyn Machine, group: GroupId) -> Option<PathBuf> {
    Some(machine.hotplug_dir()?.join(format!("{group}.json")))
}

/// What has been handled. A file that is missing or not valid says that nothing was: then volumes start
/// that need not, which is what happens at boot.
fn read(machine: &dyn Machine, group: GroupId) -> Handled {
    let text = file(machine, group).and_then(|file| fs::read(file).ok());
    let record: Record = text
        .and_then(|text| serde_json::from_slice(&text).ok())
        .unwrap_or_default();
    let disks = record.disks.into_iter();
    let waiting = record.waiting.iter();
    Handled {
        disks: disks
            .filter_map(|(id, number)| Some((DiskId::parse(&id)?, number)))
            .collect(),
        waiting: waiting.filter_map(|id| VolumeId::parse(id)).collect(),
    }
}

fn write(env: Env<'_>, group: GroupId, handled: &Handled) {
    let Some(file) = file(env.machine, group) else {
        return;
    };
    if let Err(err) = replace(&file, handled) {
        env.ui.warn(&format!(
            "'{}' cannot be written: {err}; the next event of a disk may start volumes that were stopped",
            file.display()
        ));
    }
}

/// Writes the file anew under another name and renames it: nobody reads a part of it.
fn replace(file: &std::path::Path, handled: &Handled) -> io::Result<()> {
    let disks = handled.disks.iter();
    let record = Record {
        disks: disks
            .map(|(id, number)| (id.to_string(), *number))
            .collect(),
        waiting: handled.waiting.iter().map(ToString::to_string).collect(),
    };
    let text = serde_json::to_vec(&record)?;
    if fs::read(file).is_ok_and(|before| before == text) {
        return Ok(());
    }
    let dir = file.parent().ok_or(ErrorKind::NotFound)?;
    fs::create_dir_all(dir)?;
    let new = file.with_extension("new");
    fs::write(&new, text)?;
    fs::rename(new, file)
}
