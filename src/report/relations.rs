//! The documented shape of `snapprint --json`, and its text. Sizes are bytes.

use super::columns::Columns;
use super::time;
use crate::model::units::human_bytes;
use crate::model::{Group, Name, Origin, Tracking, Volume};
use crate::plan::world::World;
use serde::Serialize;

/// A snapshot and the volume that it was taken of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Relation {
    /// The group of both.
    pub group: String,
    /// The original; `null` when it is gone.
    pub original: Option<String>,
    /// The snapshot.
    pub snapshot: String,
    /// Size of the snapshot.
    pub size: u64,
    /// When it was split off (RFC 3339, UTC).
    pub taken_at: String,
    /// `frozen`: mounted filesystems were frozen at that instant. `crash`: they were not.
    pub consistency: &'static str,
    /// Whether changes since then are tracked.
    pub tracked: bool,
    /// Bytes that changed since then; `null` when they are not tracked.
    pub dirty_bytes: Option<DirtyBytes>,
    /// Share of the snapshot that has to be copied to make both equal; `null` when changes are not tracked.
    pub percent_dirty: Option<u64>,
    /// How long the split kept the original's I/O waiting, in microseconds.
    pub freeze_us: u64,
}

/// Bytes that changed on either side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct DirtyBytes {
    /// On the original.
    pub original: u64,
    /// On the snapshot.
    pub snapshot: u64,
    /// On either.
    pub union: u64,
}

/// The relations of these groups; when volumes are named, those that have one of them at either end.
pub(super) fn all(worlds: &[World], only: &[Name]) -> Vec<Relation> {
    worlds.iter().flat_map(|world| of_group(&world.group, only)).collect()
}

fn of_group<'a>(group: &'a Group, only: &'a [Name]) -> impl Iterator<Item = Relation> + 'a {
    let related = group.volumes.iter().filter_map(|snapshot| Some((snapshot, snapshot.origin.as_ref()?)));
    related.filter_map(move |(snapshot, origin)| {
        let original = group.volume(origin.original);
        let named = |volume: &Volume| only.contains(&volume.name);
        let wanted = only.is_empty() || named(snapshot) || original.is_some_and(named);
        wanted.then(|| relation(group, snapshot, original, origin))
    })
}

fn relation(group: &Group, snapshot: &Volume, original: Option<&Volume>, origin: &Origin) -> Relation {
    Relation {
        group: group.name.to_string(),
        original: original.map(|v| v.name.to_string()),
        snapshot: snapshot.name.to_string(),
        size: snapshot.size.bytes(),
        taken_at: time::rfc3339(origin.taken_at),
        consistency: if origin.frozen { "frozen" } else { "crash" },
        tracked: matches!(origin.tracking, Tracking::Since(_)),
        dirty_bytes: None,
        percent_dirty: None,
        freeze_us: origin.freeze_us,
    }
}

/// One line for each relation.
pub(super) fn text(relations: &[Relation]) -> String {
    if relations.is_empty() {
        return "no snapshots\n".to_owned();
    }
    let mut columns = Columns::with_heading(&["GROUP", "ORIGINAL", "SNAPSHOT", "LENGTH", "TAKEN", "CONSISTENCY", "STALL", "%DIRTY"]);
    for r in relations {
        columns.row(vec![
            r.group.clone(),
            r.original.clone().unwrap_or_default(),
            r.snapshot.clone(),
            human_bytes(r.size),
            r.taken_at.clone(),
            r.consistency.to_owned(),
            time::duration(r.freeze_us),
            r.percent_dirty.map(|p| p.to_string()).unwrap_or_default(),
        ]);
    }
    columns.text()
}
