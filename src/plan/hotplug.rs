//! Which volumes start when disks appear after boot, and which wait for disks that are missing.
//!
//! An appearance of a disk counts once. A volume is started because one of its disks has appeared and
//! all the others are here, so an event that says nothing new starts nothing, and a volume that was
//! stopped stays so until a disk of it is plugged in again. A volume that lacks a disk waits; what
//! becomes of it when its time is up is decided by the rules of `start`, as for all volumes at boot.

use super::evidence::Situation;
use super::quorum;
use super::world::World;
use crate::model::{Disk, DiskId, Handled, Name, PlexState, Volume, distinct};
use std::collections::{BTreeMap, BTreeSet};

/// What there is to do about disks that have appeared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Due {
    /// The volumes to be started.
    pub start: Vec<Name>,
    /// The volumes that begin to wait, each with the media names of the disks that it lacks, or without any
    /// when it is the group that lacks a quorum.
    pub waiting: Vec<(Name, Vec<Name>)>,
    /// What will have been handled then.
    pub handled: Handled,
}

/// Returns what there is to do. `appearances` are the numbers of the present disks' appearances; a
/// disk without one counts as having appeared once.
pub fn due(world: &Situation, before: &Handled, appearances: &BTreeMap<DiskId, u64>) -> Due {
    let now = present(world, appearances);
    let is_new = |disk: &DiskId| now.contains_key(disk) && before.disks.get(disk) != now.get(disk);
    let is_concerned = |volume: &&Volume| {
        let waits = before.waiting.contains(&volume.id);
        world.started(volume).is_none()
            && (waits || needed(world, volume).any(|disk| is_new(&disk)))
    };
    let has_quorum = quorum::refuse_minority(world).is_ok();
    let mut due = Due::default();
    for volume in world.group.volumes.iter().filter(is_concerned) {
        let lacks = lacking(world, volume);
        if lacks.is_empty() && has_quorum {
            due.start.push(volume.name.clone());
        } else {
            due.handled.waiting.insert(volume.id);
            if !before.waiting.contains(&volume.id) {
                due.waiting.push((volume.name.clone(), lacks));
            }
        }
    }
    due.handled.disks = now;
    due
}

/// Returns what there is to do at boot: all volumes are started with the disks that are here.
pub fn everything(world: &World, appearances: &BTreeMap<DiskId, u64>) -> Due {
    let volumes = world.group.volumes.iter();
    let stopped = volumes.filter(|volume| world.started(volume).is_none());
    Due {
        start: stopped.map(|volume| volume.name.clone()).collect(),
        waiting: Vec::new(),
        handled: Handled {
            disks: present(world, appearances),
            waiting: BTreeSet::new(),
        },
    }
}

/// The present disks with the numbers of their appearances.
pub fn present(world: &World, appearances: &BTreeMap<DiskId, u64>) -> BTreeMap<DiskId, u64> {
    let number = |id: &DiskId| appearances.get(id).copied().unwrap_or_default();
    world.disks.keys().map(|id| (*id, number(id))).collect()
}

/// Returns what there is to do when the disks that are missing have not appeared for some time: the
/// volumes that wait for them are started all the same.
pub fn overdue(world: &World, before: &Handled) -> Due {
    let waits =
        |volume: &&Volume| before.waiting.contains(&volume.id) && world.started(volume).is_none();
    let start = world.group.volumes.iter().filter(waits);
    Due {
        start: start.map(|volume| volume.name.clone()).collect(),
        waiting: Vec::new(),
        handled: Handled {
            disks: before.disks.clone(),
            waiting: BTreeSet::new(),
        },
    }
}

/// Has volumes that could not be started wait, too: for the end of the time, or for the next disk.
pub fn wait_for<'n>(
    handled: &mut Handled,
    world: &World,
    names: impl IntoIterator<Item = &'n Name>,
) {
    let found = names
        .into_iter()
        .filter_map(|name| world.group.volume_named(name).ok());
    handled.waiting.extend(found.map(|volume| volume.id));
}

/// The disks that a volume needs to start as it was, and those of the snapshot that it is to be
/// restored from then.
fn needed<'w>(world: &'w World, volume: &'w Volume) -> impl Iterator<Item = DiskId> + 'w {
    let snapshots = world.group.snapshots_of(volume.id);
    let restores = |snapshot: &&Volume| {
        snapshot
            .origin
            .as_ref()
            .is_some_and(|o| o.at_boot.is_some())
    };
    used(volume).chain(snapshots.filter(restores).flat_map(used))
}

/// The disks of what a volume does not know to be lost, and of what `start` does not give up anyway.
fn used(volume: &Volume) -> impl Iterator<Item = DiskId> + '_ {
    let is_used = |state: PlexState| {
        !matches!(
            state,
            PlexState::Failed | PlexState::Stale | PlexState::SnapAtt
        )
    };
    let plexes = volume.plexes.iter().filter(move |p| is_used(p.state));
    let subdisks = plexes.flat_map(|plex| &plex.subdisks);
    let log = volume.live_log().map(|log| &log.extent);
    let maps = volume.live_dco().into_iter().flat_map(|dco| &dco.copies);
    subdisks.chain(log).chain(maps).map(|extent| extent.disk)
}

fn lacking(world: &World, volume: &Volume) -> Vec<Name> {
    let missing = needed(world, volume).filter(|disk| !world.disks.contains_key(disk));
    let known = distinct(missing.collect::<Vec<_>>());
    let disks = known.iter().filter_map(|id| world.group.disk(*id));
    disks.map(|disk: &Disk| disk.media.clone()).collect()
}
