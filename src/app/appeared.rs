//! The appearances of a group's disks, and the record of those that have been dealt with.

use super::Env;
use crate::meta::HandledFiles;
use crate::model::{DiskId, Handled, VolumeId};
use crate::plan::hotplug::present;
use crate::plan::request::Selection;
use crate::plan::world::{PresentDisk, World};
use crate::sys::machine::Machine;
use std::collections::BTreeMap;

/// The numbers of the appearances of a group's present disks, as far as the machine has them.
pub fn appearances(world: &World, machine: &dyn Machine) -> BTreeMap<DiskId, u64> {
    let numbered = |(id, disk): (&DiskId, &PresentDisk)| Some((*id, machine.appearance(disk.dev)?));
    world.disks.iter().filter_map(numbered).collect()
}

/// The record, if this machine keeps one.
pub fn record(machine: &dyn Machine) -> Option<HandledFiles> {
    machine.hotplug_dir().map(HandledFiles::at)
}

/// Takes note of what has been done for a group.
pub fn note(world: &World, handled: &Handled, env: Env<'_>) {
    let Some(record) = record(env.machine) else {
        return;
    };
    if let Err(error) = record.write(world.group.id, handled) {
        env.ui.warn(&format!(
            "{}; the next event of a disk may start volumes that were stopped",
            error.message()
        ));
    }
}

/// Takes note that somebody has stopped volumes: they do not wait any more.
pub fn note_stopped(world: &World, which: &Selection, env: Env<'_>) {
    let Some(before) = record(env.machine).map(|record| record.read(world.group.id)) else {
        return;
    };
    let is_stopped = |id: &VolumeId| match which {
        Selection::All => true,
        Selection::Named(names) | Selection::Each(names) => {
            let volume = world.group.volume(*id);
            volume.is_none_or(|volume| names.contains(&volume.name))
        }
    };
    let mut handled = before.clone();
    handled.waiting.retain(|id| !is_stopped(id));
    if handled != before {
        note(world, &handled, env);
    }
}

/// Takes note that a command has dealt with the disks of a group itself: that they have got a label is
/// no appearance.
pub fn note_labelled(world: &World, env: Env<'_>) {
    let before = record(env.machine).map(|record| record.read(world.group.id));
    let handled = Handled {
        disks: present(world, &appearances(world, env.machine)),
        ..before.unwrap_or_default()
    };
    note(world, &handled, env);
}
