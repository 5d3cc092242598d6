//! `stat`: what has been read and written, by the kernel's count.

use crate::model::{DevNo, DmUuid, Name, Role, Volume};
use crate::plan::world::World;
use crate::sys::disk::Counters;
use crate::sys::machine::Machine;

/// What the kernel has counted for one object. It begins with zero whenever the object's device is
/// created: for a volume that is its start, for a plex often a change of the volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CounterLine {
    /// The group.
    pub group: Name,
    /// The object.
    pub of: Counted,
    /// The counts.
    pub counters: Counters,
}

/// An object with counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Counted {
    /// A started volume.
    Volume(Name),
    /// A plex: of a volume, and its own name.
    Plex(Name, Name),
    /// A disk of the group, by media name. All use of the disk is counted.
    Disk(Name),
}

/// The counts of these volumes that are started and of their plexes; without names, of all volumes
/// and of the group's disks. A plex without a device of its own is counted if it is its volume's
/// only one.
pub fn of(world: &World, only: &[Name], machine: &dyn Machine) -> Vec<CounterLine> {
    let is_meant = |v: &&Volume| only.is_empty() || only.contains(&v.name);
    let volumes = world.group.volumes.iter().filter(is_meant);
    let disks = world.group.disks.iter().filter(|_| only.is_empty());
    let on_disks = disks.filter_map(|disk| {
        let dev = world.disks.get(&disk.id)?.dev;
        Some((Counted::Disk(disk.media.clone()), dev))
    });
    let all = volumes.flat_map(|v| of_volume(world, v)).chain(on_disks);
    let line = |(of, dev)| {
        Some(CounterLine {
            group: world.group.name.clone(),
            of,
            counters: machine.counters(dev)?,
        })
    };
    all.filter_map(line).collect()
}

fn of_volume(world: &World, volume: &Volume) -> Vec<(Counted, DevNo)> {
    let number = |role: Role| {
        let device = world
            .devices
            .get(&DmUuid::new(world.group.id, volume.id, &role));
        device.filter(|d| !d.table.is_empty()).map(|d| d.dev)
    };
    let Some(own) = number(Role::Volume) else {
        return Vec::new();
    };
    let only_one = Some(own).filter(|_| volume.plexes.len() == 1);
    let plexes = volume.plexes.iter().filter_map(|plex| {
        let dev = number(Role::Plex(plex.number)).or(only_one)?;
        let counted = Counted::Plex(volume.name.clone(), plex.name.clone());
        Some((counted, dev))
    });
    let first = (Counted::Volume(volume.name.clone()), own);
    std::iter::once(first).chain(plexes).collect()
}
