//! The invariants of a group as code. They are checked after every planned change, before every
//! commit, and on everything that is read from a disk.

use super::device::{DmName, names_collide};
use super::disk::Extent;
use super::group::Group;
use super::handover::is_needed_elsewhere;
use super::ids::{DiskId, VolumeId};
use super::units::Sectors;
use super::volume::{MAX_COPIES, MAX_PLEXES, SIZE_UNIT, Tracking, Volume};
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// Returns a text for every rule that the group breaks; an empty list for a sound group.
pub fn violations(group: &Group) -> Vec<String> {
    let mut broken = Vec::new();
    unique(
        &mut broken,
        "disk identity",
        group.disks.iter().map(|d| d.id.simple()),
    );
    unique(
        &mut broken,
        "media name",
        group.disks.iter().map(|d| d.media.to_string()),
    );
    unique(
        &mut broken,
        "volume identity",
        group.volumes.iter().map(|v| v.id.simple()),
    );
    unique(
        &mut broken,
        "volume name",
        group.volumes.iter().map(|v| v.name.to_string()),
    );
    unique(
        &mut broken,
        "plex name",
        group
            .volumes
            .iter()
            .flat_map(|v| v.plexes.iter().map(|p| p.name.to_string())),
    );
    let known: HashSet<VolumeId> = group.volumes.iter().map(|v| v.id).collect();
    for volume in &group.volumes {
        broken.extend(
            volume_violations(group, volume, &known)
                .into_iter()
                .map(|what| format!("volume '{}': {what}", volume.name)),
        );
    }
    let known = |id: &DiskId| group.disks.iter().any(|d| d.id == *id);
    broken.extend(
        group
            .standing
            .keys()
            .filter(|id| !known(id))
            .map(|id| format!("disk {id}, which is not there, has a standing")),
    );
    broken.extend(colliding_names(group));
    broken.extend(space_violations(group));
    broken.extend(handover_violations(group));
    broken
}

/// A handover is sound by itself, and hands over nothing that is in the group.
fn handover_violations(group: &Group) -> Vec<String> {
    let mut broken = Vec::new();
    let all = || group.handovers.iter();
    unique(
        &mut broken,
        "handover",
        all().map(|given| given.id.simple()),
    );
    let disks = || all().flat_map(|given| &given.to.disks);
    unique(
        &mut broken,
        "disk that was handed over",
        disks().map(|disk| disk.id.simple()),
    );
    for given in all() {
        let to = &given.to;
        let mut rules = violations(to);
        let is_here = |id: &DiskId| group.disk(*id).is_some();
        if to.disks.iter().any(|disk| is_here(&disk.id)) {
            rules.push("it has a disk of the group".to_owned());
        }
        if to.volumes.iter().any(|v| group.volume(v.id).is_some()) {
            rules.push("it has a volume of the group".to_owned());
        }
        if to.disks.is_empty() || to.id == group.id || !to.handovers.is_empty() {
            rules.push("it cannot be".to_owned());
        }
        broken.extend(
            rules
                .into_iter()
                .map(|what| format!("what was handed over to '{}': {what}", to.name)),
        );
    }
    broken
}

fn unique(broken: &mut Vec<String>, what: &str, all: impl Iterator<Item = String>) {
    let mut seen = HashSet::new();
    for one in all {
        if seen.contains(&one) {
            broken.push(format!("{what} '{one}' is there twice"));
        }
        seen.insert(one);
    }
}

/// The rules that an object breaks, as text.
#[derive(Default)]
struct Broken(Vec<String>);

impl Broken {
    fn unless(&mut self, holds: bool, what: impl Into<String>) {
        if !holds {
            self.0.push(what.into());
        }
    }
}

fn volume_violations(group: &Group, volume: &Volume, known: &HashSet<VolumeId>) -> Vec<String> {
    let mut broken = Broken::default();
    check_size(volume, &mut broken);
    check_plexes(volume, &mut broken);
    check_dcos(volume, &mut broken);
    check_return(volume, &mut broken);
    check_origin(group, volume, known, &mut broken);
    check_away(volume, known, &mut broken);
    if let Err(too_long) = DmName::volume(&group.name, &volume.name) {
        broken.unless(false, too_long.to_string());
    }
    broken.0
}

fn check_size(volume: &Volume, broken: &mut Broken) {
    broken.unless(!volume.size.is_zero(), "it has no size");
    broken.unless(
        volume.size.round_down(SIZE_UNIT) == volume.size,
        format!("its size is not a multiple of {SIZE_UNIT}"),
    );
    broken.unless(
        volume.synced <= volume.size,
        "more of it is in sync than there is",
    );
}

fn check_plexes(volume: &Volume, broken: &mut Broken) {
    let count = volume.plexes.len();
    broken.unless(count > 0, "it has no plex");
    broken.unless(
        count <= MAX_PLEXES,
        format!("it has {count} plexes, at most {MAX_PLEXES} are allowed"),
    );
    let numbers: BTreeSet<u16> = volume.plexes.iter().map(|p| p.number).collect();
    broken.unless(numbers.len() == count, "two plexes have the same number");
    for plex in &volume.plexes {
        let (name, length, size) = (&plex.name, plex.length(), volume.size);
        broken.unless(
            length == size,
            format!("plex '{name}' is {length} long, the volume is {size}"),
        );
    }
    if let Some(log) = &volume.log {
        broken.unless(
            log.region.get().is_power_of_two() && log.region.get() >= 8,
            "the log's region size is not a power of two",
        );
    }
}

fn check_dcos(volume: &Volume, broken: &mut Broken) {
    let of_plexes = volume.plexes.iter().filter_map(|p| p.dco.as_ref());
    for dco in of_plexes.clone().chain(&volume.dco) {
        let count = dco.copies.len();
        let disks: BTreeSet<DiskId> = dco.copies.iter().map(|copy| copy.disk).collect();
        broken.unless(
            (1..=MAX_COPIES).contains(&count),
            format!("a DCO has {count} copies"),
        );
        broken.unless(disks.len() == count, "two copies of a DCO lie on one disk");
        let first = dco.copies.first().map(|copy| copy.length);
        broken.unless(
            dco.copies.iter().all(|copy| Some(copy.length) == first),
            "the copies of a DCO differ in size",
        );
    }
    broken.unless(
        of_plexes.clone().all(|dco| !dco.live),
        "a plex tracks changes",
    );
}

/// Checks the resync of legs that come back (`snapback`), which copies only what has changed.
fn check_return(volume: &Volume, broken: &mut Broken) {
    let Some(returning) = volume.returning else {
        return;
    };
    broken.unless(
        volume.dco.is_some(),
        "legs come back without a log of what has changed",
    );
    broken.unless(
        returning.exact || volume.live_dco().is_some(),
        "legs come back, and changes are not tracked",
    );
    broken.unless(
        !volume.attaching().is_empty(),
        "legs come back, and none is being filled",
    );
}

fn check_origin(group: &Group, volume: &Volume, known: &HashSet<VolumeId>, broken: &mut Broken) {
    let Some(origin) = &volume.origin else {
        return;
    };
    let tracks = |volume: &Volume| volume.live_dco().is_some();
    let original = group.volume(origin.original);
    broken.unless(
        matches!(origin.tracking, Tracking::Untracked(_))
            || (tracks(volume) && (origin.apart.is_some() || original.is_some_and(tracks))),
        "changes since the split count as tracked and are not",
    );
    broken.unless(origin.original != volume.id, "it is a snapshot of itself");
    let is_here = known.contains(&origin.original);
    broken.unless(
        is_here || origin.apart.is_some(),
        "it is a snapshot of a volume that is not there",
    );
    broken.unless(
        !is_here || origin.apart.is_none(),
        "its original is in the group, and counts as being in another one",
    );
}

/// Checks the snapshots that are in other groups.
fn check_away(volume: &Volume, known: &HashSet<VolumeId>, broken: &mut Broken) {
    let snapshots: BTreeSet<VolumeId> = volume.away.iter().map(|away| away.snapshot).collect();
    broken.unless(
        snapshots.len() == volume.away.len(),
        "a snapshot in another group is there twice",
    );
    broken.unless(
        !snapshots.iter().any(|id| known.contains(id)),
        "a snapshot in another group is in this one",
    );
    broken.unless(
        volume
            .away
            .iter()
            .all(|away| away.origin.original == volume.id),
        "a snapshot in another group is that of another volume",
    );
    broken.unless(
        !is_needed_elsewhere(volume) || volume.live_dco().is_some(),
        "changes for a snapshot in another group count as tracked and are not",
    );
}

/// Finds pairs of volumes that could give two devices the same name. The search goes by prefix, so
/// that it stays cheap with ten thousand volumes.
fn colliding_names(group: &Group) -> Vec<String> {
    let names: BTreeMap<&str, &super::name::Name> = group
        .volumes
        .iter()
        .map(|v| (v.name.as_str(), &v.name))
        .collect();
    let shorter = |name: &super::name::Name| {
        let text = name.as_str().to_owned();
        text.match_indices('_')
            .filter_map(|(at, _)| names.get(&text[..at]).copied())
            .collect::<Vec<_>>()
    };
    let mut broken = Vec::new();
    for volume in &group.volumes {
        for other in shorter(&volume.name) {
            if names_collide(&volume.name, other) {
                broken.push(format!(
                    "volume '{}' could be taken for an inner device of '{other}'",
                    volume.name
                ));
            }
        }
    }
    broken
}

fn space_violations(group: &Group) -> Vec<String> {
    let mut broken = Vec::new();
    let mut by_disk: BTreeMap<DiskId, Vec<&Extent>> = BTreeMap::new();
    for extent in group.extents() {
        by_disk.entry(extent.disk).or_default().push(extent);
    }
    for (id, mut extents) in by_disk {
        let Some(disk) = group.disk(id) else {
            broken.push(format!(
                "something lies on disk {id}, which is not in the group"
            ));
            continue;
        };
        extents.sort_by_key(|e| e.start);
        if extents
            .iter()
            .any(|e| e.length.is_zero() || e.end() > disk.size)
        {
            broken.push(format!(
                "something does not lie within disk '{}'",
                disk.media
            ));
        }
        if extents.windows(2).any(|pair| pair[0].end() > pair[1].start) {
            broken.push(format!("two things overlap on disk '{}'", disk.media));
        }
    }
    let oversized = |d: &&super::disk::Disk| {
        d.size.checked_add(d.data_start).is_none() || d.size == Sectors::ZERO
    };
    broken.extend(
        group
            .disks
            .iter()
            .filter(oversized)
            .map(|d| format!("disk '{}' has an impossible size", d.media)),
    );
    broken
}
