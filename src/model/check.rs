//! Invariants of a group, executable: checked after every planned change and before every commit,
//! and on everything read from a disk.

use super::disk::Extent;
use super::group::Group;
use super::ids::{DiskId, VolumeId};
use super::name::{DmName, names_collide};
use super::units::Sectors;
use super::volume::{MAX_COPIES, MAX_PLEXES, SIZE_UNIT, Tracking, Volume};
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// Every rule that the group breaks, in words; empty for a sound group.
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

fn volume_violations(group: &Group, volume: &Volume, known: &HashSet<VolumeId>) -> Vec<String> {
    let mut broken = Vec::new();
    let mut rule = |holds: bool, what: String| {
        if !holds {
            broken.push(what);
        }
    };
    rule(!volume.size.is_zero(), "it has no size".to_owned());
    rule(
        volume.size.round_down(SIZE_UNIT) == volume.size,
        format!("its size is not a multiple of {SIZE_UNIT}"),
    );
    rule(
        volume.synced <= volume.size,
        "more of it is in sync than there is".to_owned(),
    );
    rule(!volume.plexes.is_empty(), "it has no plex".to_owned());
    rule(
        volume.plexes.len() <= MAX_PLEXES,
        format!(
            "it has {} plexes, at most {MAX_PLEXES} are allowed",
            volume.plexes.len()
        ),
    );
    let numbers: BTreeSet<u16> = volume.plexes.iter().map(|p| p.number).collect();
    rule(
        numbers.len() == volume.plexes.len(),
        "two plexes have the same number".to_owned(),
    );
    for plex in &volume.plexes {
        rule(
            plex.length() == volume.size,
            format!(
                "plex '{}' is {} long, the volume is {}",
                plex.name,
                plex.length(),
                volume.size
            ),
        );
    }
    if let Some(log) = &volume.log {
        rule(
            log.region.get().is_power_of_two() && log.region.get() >= 8,
            "the log's region size is not a power of two".to_owned(),
        );
    }
    let dcos = volume
        .plexes
        .iter()
        .filter_map(|p| p.dco.as_ref())
        .chain(&volume.dco);
    for dco in dcos {
        let disks: BTreeSet<DiskId> = dco.copies.iter().map(|copy| copy.disk).collect();
        rule(
            (1..=MAX_COPIES).contains(&dco.copies.len()),
            format!("a DCO has {} copies", dco.copies.len()),
        );
        rule(
            disks.len() == dco.copies.len(),
            "two copies of a DCO lie on one disk".to_owned(),
        );
        rule(
            dco.copies
                .windows(2)
                .all(|pair| pair[0].length == pair[1].length),
            "the copies of a DCO differ in size".to_owned(),
        );
    }
    rule(
        volume
            .plexes
            .iter()
            .all(|p| p.dco.as_ref().is_none_or(|dco| !dco.live)),
        "a plex tracks changes".to_owned(),
    );
    rule(
        volume.returning.is_none() || volume.dco.is_some(),
        "legs come back without a log of what has changed".to_owned(),
    );
    rule(
        volume.returning.is_none_or(|r| r.exact) || volume.live_dco().is_some(),
        "legs come back, and changes are not tracked".to_owned(),
    );
    rule(
        volume.returning.is_none() || !volume.attaching().is_empty(),
        "legs come back, and none is being filled".to_owned(),
    );
    if let Some(origin) = &volume.origin {
        let original = group.volume(origin.original);
        let tracked =
            volume.live_dco().is_some() && original.is_some_and(|v| v.live_dco().is_some());
        rule(
            matches!(origin.tracking, Tracking::Untracked(_)) || tracked,
            "changes since the split count as tracked and are not".to_owned(),
        );
        rule(
            origin.original != volume.id,
            "it is a snapshot of itself".to_owned(),
        );
        rule(
            known.contains(&origin.original),
            "it is a snapshot of a volume that is not there".to_owned(),
        );
    }
    if let Err(too_long) = DmName::volume(&group.name, &volume.name) {
        rule(false, too_long.to_string());
    }
    broken
}

/// Pairs of volumes that could name two devices alike; found by prefix so that ten thousand volumes
/// stay cheap.
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
