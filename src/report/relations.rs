//! The documented shape of `snapprint --json`, and its text. Sizes are in bytes.

use super::columns::Columns;
use super::time;
use crate::app::ChangedRanges;
use crate::model::ranges;
use crate::model::units::{SECTOR, human_bytes, human_duration};
use crate::model::{AtBoot, Away, Name, Origin, Plex, PlexState, Sectors, Tracking, Volume};
use crate::plan::evidence::Situation;
use crate::plan::snapback::{self, Differences};
use serde::Serialize;
use std::ops::Range;

/// A snapshot and the volume that it was taken of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Relation {
    /// The name of the group that both belong to.
    pub group: String,
    /// The name of the original; `null` when it is gone.
    pub original: Option<String>,
    /// The name of the snapshot.
    pub snapshot: String,
    /// The group that the original is in, if that is another one: the names then are those that both
    /// had when they were parted; `null` when it is in this group.
    pub original_group: Option<String>,
    /// The group that the snapshot is in, if that is another one; `null` when it is in this group.
    pub snapshot_group: Option<String>,
    /// The size of the snapshot.
    pub size: u64,
    /// When it was split off (RFC 3339, UTC).
    pub taken_at: String,
    /// `frozen`: every filesystem that rested on the original was frozen at that instant. `crash`:
    /// the snapshot holds what a crash would have left.
    pub consistency: &'static str,
    /// Why the snapshot is no more than `crash`; `null` when it is `frozen`.
    pub consistency_reason: Option<String>,
    /// Whether changes since the split are tracked.
    pub tracked: bool,
    /// Why the changes are not known; `null` when they are.
    pub reason: Option<String>,
    /// Bytes that changed since the split; `null` when that is not known.
    pub dirty_bytes: Option<DirtyBytes>,
    /// The share of the snapshot that changed on either side, in per cent, rounded up; `null` when
    /// that is not known.
    pub percent_dirty: Option<u64>,
    /// How long the split kept the original's I/O waiting, in microseconds.
    pub freeze_us: u64,
    /// How the original is restored from the snapshot when the machine boots: `overwrite`, `keep`;
    /// `null` when it is not.
    pub at_boot: Option<&'static str>,
}

/// The bytes that changed on each side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct DirtyBytes {
    /// Bytes that changed on the original.
    pub original: u64,
    /// Bytes that changed on the snapshot.
    pub snapshot: u64,
    /// Bytes that changed on at least one of them.
    pub union: u64,
}

/// The relations of these groups. When volumes are named, only those that have one of them at
/// either end.
pub(super) fn all(worlds: &[Situation], only: &[Name]) -> Vec<Relation> {
    let of_world = |world| {
        let here = related(world, only);
        here.map(move |(snapshot, origin)| relation(world, snapshot, origin))
            .chain(elsewhere(world, only).map(move |(volume, away)| away_from(world, volume, away)))
    };
    worlds.iter().flat_map(of_world).collect()
}

/// The originals whose snapshots are in other groups.
fn elsewhere<'w>(
    world: &'w Situation,
    only: &'w [Name],
) -> impl Iterator<Item = (&'w Volume, &'w Away)> {
    let named = |volume: &Volume| only.is_empty() || only.contains(&volume.name);
    let volumes = world.group.volumes.iter().filter(move |v| named(v));
    volumes.flat_map(|volume| volume.away.iter().map(move |away| (volume, away)))
}

/// The relation of an original to a snapshot in another group.
fn away_from(world: &Situation, volume: &Volume, away: &Away) -> Relation {
    let reason = match away.origin.tracking {
        Tracking::Since(_) => format!("it is in group '{}'", away.group_name),
        Tracking::Untracked(why) => why.reason().to_owned(),
    };
    let mut relation = shown(world, (&away.name, volume.size), &away.origin, Err(reason));
    relation.original = Some(volume.name.to_string());
    relation.snapshot_group = Some(away.group_name.to_string());
    relation
}

fn related<'w>(
    world: &'w Situation,
    only: &'w [Name],
) -> impl Iterator<Item = (&'w Volume, &'w Origin)> {
    let named = |volume: &Volume| only.is_empty() || only.contains(&volume.name);
    let pairs = world
        .group
        .volumes
        .iter()
        .filter_map(|snapshot| Some((snapshot, snapshot.origin.as_ref()?)));
    pairs.filter(move |(snapshot, origin)| {
        named(snapshot) || world.group.volume(origin.original).is_some_and(named)
    })
}

fn relation(world: &Situation, snapshot: &Volume, origin: &Origin) -> Relation {
    let differences = snapback::differences(world, snapshot);
    shown(world, (&snapshot.name, snapshot.size), origin, differences)
}

fn shown(
    world: &Situation,
    (name, size): (&Name, Sectors),
    origin: &Origin,
    differences: Result<Differences, String>,
) -> Relation {
    let apart = origin.apart.as_ref();
    let dirty = differences.as_ref().ok().map(|changed| DirtyBytes {
        original: ranges::length(&changed.original).bytes(),
        snapshot: ranges::length(&changed.snapshot).bytes(),
        union: ranges::length(&changed.either).bytes(),
    });
    Relation {
        group: world.group.name.to_string(),
        original: world
            .group
            .volume(origin.original)
            .map(|v| &v.name)
            .or(apart.map(|apart| &apart.original))
            .map(Name::to_string),
        snapshot: name.to_string(),
        original_group: apart.map(|apart| apart.group_name.to_string()),
        snapshot_group: None,
        size: size.bytes(),
        taken_at: time::rfc3339(origin.taken_at),
        consistency: if origin.crash.is_none() {
            "frozen"
        } else {
            "crash"
        },
        consistency_reason: origin
            .crash
            .as_ref()
            .map(|reason| reason.as_str().to_owned()),
        tracked: matches!(origin.tracking, Tracking::Since(_)),
        reason: differences.err(),
        dirty_bytes: dirty,
        percent_dirty: dirty.map(|dirty| percent(dirty.union, size)),
        freeze_us: origin.freeze_us,
        at_boot: origin.at_boot.map(|how| match how {
            AtBoot::Overwrite => "overwrite",
            AtBoot::Keep => "keep",
        }),
    }
}

/// The share of a volume of this size in per cent, rounded up: 0 only for zero bytes.
pub(super) fn percent(bytes: u64, size: Sectors) -> u64 {
    bytes.saturating_mul(100).div_ceil(size.bytes().max(1))
}

/// VxVM's records: each volume with the snapshot objects that link it to others, and the plexes
/// that are detached from it.
pub(super) fn text(worlds: &[Situation], only: &[Name]) -> String {
    let mut columns = Columns::with_heading(&["V", "NAME", "USETYPE", "LENGTH"]);
    columns.heading(&[
        "SS",
        "SNAPOBJ",
        "NAME",
        "LENGTH",
        "%DIRTY",
        "CHANGED",
        "TAKEN",
        "CONSISTENCY",
        "STALL",
        "TRACKED",
    ]);
    columns.heading(&["DP", "NAME", "VOLUME", "LENGTH", "%DIRTY"]);
    let mut empty = true;
    for world in worlds {
        let relations: Vec<(&Volume, &Origin, Relation)> = related(world, only)
            .map(|(snapshot, origin)| (snapshot, origin, relation(world, snapshot, origin)))
            .collect();
        let parted: Vec<(&Volume, &Away, Relation)> = elsewhere(world, only)
            .map(|(volume, away)| (volume, away, away_from(world, volume, away)))
            .collect();
        let mut named = worlds.len() == 1;
        for volume in &world.group.volumes {
            let rows = records(volume, &relations, &parted, only);
            if rows.is_empty() {
                continue;
            }
            if !std::mem::replace(&mut named, true) {
                columns.gap();
                columns.heading(&["dg", world.group.name.as_str()]);
            }
            columns.gap();
            columns.heading(&[
                "v",
                volume.name.as_str(),
                "fsgen",
                &human_bytes(volume.size.bytes()),
            ]);
            rows.into_iter().for_each(|row| columns.row(row));
            empty = false;
        }
    }
    if empty {
        "no snapshots\n".to_owned()
    } else {
        columns.text() + &crashes(worlds, only)
    }
}

/// A line for each snapshot that is no more than what a crash would have left, with the reason.
fn crashes(worlds: &[Situation], only: &[Name]) -> String {
    let all = worlds.iter().flat_map(|world| {
        related(world, only).map(move |(snapshot, origin)| (world, snapshot, origin))
    });
    let line = |(world, snapshot, origin): (&Situation, &Volume, &Origin)| {
        let reason = origin.crash.as_ref()?.as_str();
        Some(format!(
            "'{}' holds what a crash would have left: {reason}\n",
            world.group.path(&snapshot.name)
        ))
    };
    let lines: String = all.filter_map(line).collect();
    if lines.is_empty() {
        lines
    } else {
        format!("\n{lines}")
    }
}

/// The records below a volume.
fn records(
    volume: &Volume,
    relations: &[(&Volume, &Origin, Relation)],
    elsewhere: &[(&Volume, &Away, Relation)],
    only: &[Name],
) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for (original, away, relation) in elsewhere {
        if original.id == volume.id {
            let peer = format!("{}/{}", away.group_name, away.name);
            rows.push(link(relation, &peer, None, volume));
        }
    }
    for (snapshot, origin, relation) in relations {
        if origin.original == volume.id {
            rows.push(link(
                relation,
                snapshot.name.as_str(),
                relation.dirty_bytes.map(|dirty| dirty.original),
                volume,
            ));
        }
        if snapshot.id == volume.id {
            let original = relation.original.as_deref().unwrap_or_default();
            let original = match &relation.original_group {
                Some(group) => format!("{group}/{original}"),
                None => original.to_owned(),
            };
            rows.push(link(
                relation,
                &original,
                relation.dirty_bytes.map(|dirty| dirty.snapshot),
                volume,
            ));
        }
    }
    if only.is_empty() || only.contains(&volume.name) {
        let detached = volume
            .plexes
            .iter()
            .filter(|p| matches!(p.state, PlexState::Stale | PlexState::Failed));
        // A detached plex is filled from beginning to end when it is attached again.
        let row = |plex: &Plex| {
            [
                "dp",
                plex.name.as_str(),
                volume.name.as_str(),
                &human_bytes(plex.length().bytes()),
                "100",
            ]
            .map(str::to_owned)
        };
        rows.extend(detached.map(|plex| row(plex).into()));
    }
    rows
}

/// A snapshot object: what has changed on the volume's own side.
fn link(relation: &Relation, peer: &str, changed: Option<u64>, volume: &Volume) -> Vec<String> {
    vec![
        "ss".to_owned(),
        if peer.is_empty() {
            String::new()
        } else {
            format!("{peer}_snp")
        },
        peer.to_owned(),
        human_bytes(relation.size),
        changed
            .map(|bytes| percent(bytes, volume.size).to_string())
            .unwrap_or_default(),
        changed.map(human_bytes).unwrap_or_default(),
        relation.taken_at.clone(),
        relation.consistency.to_owned(),
        human_duration(relation.freeze_us),
        match &relation.reason {
            None => "yes".to_owned(),
            Some(reason) if relation.tracked => format!("yes, not known: {reason}"),
            Some(reason) => format!("no: {reason}"),
        },
    ]
}

/// Where a snapshot and its original may differ, as `snapprint --changed-ranges --json` shows it.
#[derive(Serialize)]
pub(super) struct Ranges<'a> {
    group: &'a str,
    original: &'a str,
    snapshot: &'a str,
    size: u64,
    granularity: u64,
    bytes: u64,
    ranges: Vec<RangeView>,
}

/// A range of both volumes, in bytes.
#[derive(Serialize)]
struct RangeView {
    offset: u64,
    length: u64,
}

impl<'a> Ranges<'a> {
    pub(super) fn new(changed: &'a ChangedRanges) -> Ranges<'a> {
        let bytes = |sectors: u64| sectors.saturating_mul(SECTOR);
        let view = |range: &Range<u64>| RangeView {
            offset: bytes(range.start),
            length: bytes(range.end - range.start),
        };
        Ranges {
            group: changed.group.as_str(),
            original: changed.original.as_str(),
            snapshot: changed.snapshot.as_str(),
            size: changed.size.bytes(),
            granularity: changed.block.bytes(),
            bytes: ranges::length(&changed.ranges).bytes(),
            ranges: changed.ranges.iter().map(view).collect(),
        }
    }

    /// One line for each range, which a script can read.
    pub(super) fn text(&self) -> String {
        self.ranges
            .iter()
            .map(|range| format!("{} {}\n", range.offset, range.length))
            .collect()
    }
}
