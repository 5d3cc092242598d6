//! `snapprint --map`: a strip of where a snapshot and its original may differ, with the numbers,
//! and its JSON shape. Sizes are in bytes.

use super::canvas::{Canvas, Cell, Ink};
use super::columns::Columns;
use crate::app::ChangedRanges;
use crate::model::ranges;
use crate::model::units::{SECTOR, human_bytes};
use serde::Serialize;
use std::collections::BTreeSet;
use std::ops::Range;

/// The side on which a range was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Side {
    Original,
    Snapshot,
    Both,
}

/// The changes of both sides.
#[derive(Serialize)]
pub(super) struct View<'a> {
    group: &'a str,
    original: &'a str,
    snapshot: &'a str,
    size: u64,
    granularity: u64,
    dirty_bytes: Dirty,
    ranges: Vec<RangeView>,
    #[serde(skip)]
    changed: &'a ChangedRanges,
    #[serde(skip)]
    both: Vec<Range<u64>>,
}

/// How much was written on each side, on both at the same places, and in all.
#[derive(Clone, Copy, Serialize)]
struct Dirty {
    original: u64,
    snapshot: u64,
    both: u64,
    union: u64,
}

#[derive(Serialize)]
struct RangeView {
    offset: u64,
    length: u64,
    side: Side,
}

/// What lies in both lists of sorted, separate ranges.
fn common(one: &[Range<u64>], other: &[Range<u64>]) -> Vec<Range<u64>> {
    let (mut left, mut right) = (one.iter().peekable(), other.iter().peekable());
    let mut found = Vec::new();
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        let piece = a.start.max(b.start)..a.end.min(b.end);
        if !piece.is_empty() {
            found.push(piece);
        }
        if a.end <= b.end {
            left.next();
        } else {
            right.next();
        }
    }
    found
}

/// How much of a range is covered by sorted, separate ranges.
fn covered(pieces: &[Range<u64>], within: &Range<u64>) -> u64 {
    let first = pieces.partition_point(|piece| piece.end <= within.start);
    pieces[first..]
        .iter()
        .take_while(|piece| piece.start < within.end)
        .map(|piece| piece.end.min(within.end) - piece.start.max(within.start))
        .sum()
}

impl<'a> View<'a> {
    pub(super) fn new(changed: &'a ChangedRanges) -> View<'a> {
        let bytes = |pieces: &[Range<u64>]| ranges::length(pieces).bytes();
        let both = common(&changed.on_original, &changed.on_snapshot);
        View {
            group: changed.group.as_str(),
            original: changed.original.as_str(),
            snapshot: changed.snapshot.as_str(),
            size: changed.size.bytes(),
            granularity: changed.block.bytes(),
            dirty_bytes: Dirty {
                original: bytes(&changed.on_original),
                snapshot: bytes(&changed.on_snapshot),
                both: bytes(&both),
                union: bytes(&changed.ranges),
            },
            ranges: sides(changed),
            changed,
            both,
        }
    }

    /// The side on which something in a range was written, if it was on any, and whether all of it
    /// was.
    fn cell(&self, within: &Range<u64>) -> Option<(Side, bool)> {
        let original = covered(&self.changed.on_original, within);
        let snapshot = covered(&self.changed.on_snapshot, within);
        let either = covered(&self.changed.ranges, within);
        let side = match (original > 0, snapshot > 0) {
            (false, false) => return None,
            (true, false) => Side::Original,
            (false, true) => Side::Snapshot,
            (true, true) => Side::Both,
        };
        Some((side, either == within.end - within.start))
    }

    /// The strip, a scale below it, and the numbers.
    pub(super) fn text(&self, canvas: &Canvas) -> String {
        let ends = if canvas.unicode { '│' } else { '|' };
        let count = canvas.width.saturating_sub(2).max(16);
        let cells: Vec<Cell> = (0..count).map(|at| self.drawn(at, count, canvas)).collect();
        format!(
            "'{}/{}' and its original '{}', {}\n{ends}{}{ends}\n{}\n{}\n{}",
            self.group,
            self.snapshot,
            self.original,
            human_bytes(self.size),
            canvas.row(&cells),
            self.scale(count),
            self.numbers(),
            legend(canvas)
        ) + &format!("a cell is {}\n", human_bytes(self.size / count as u64))
    }

    /// The sectors that a cell stands for. Where there are more cells than sectors, some stand for
    /// the same.
    fn sectors(&self, at: usize, count: usize) -> Range<u64> {
        let size = u128::from(self.changed.size.get());
        let edge = |at: usize| u64::try_from(size * at as u128 / count as u128).unwrap_or(u64::MAX);
        let start = edge(at);
        start..edge(at + 1).max(start + 1)
    }

    fn drawn(&self, at: usize, count: usize, canvas: &Canvas) -> Cell {
        match self.cell(&self.sectors(at, count)) {
            None if canvas.unicode => ('·', Ink::Faint),
            None => ('.', Ink::Faint),
            Some((side, whole)) => {
                let (letter, hue) = look(side);
                let letter = if whole {
                    letter
                } else {
                    letter.to_ascii_lowercase()
                };
                (letter, Ink::On(hue))
            }
        }
    }

    /// Offsets below the strip, each where its place begins.
    fn scale(&self, count: usize) -> String {
        let marks = 4;
        let mut line = String::new();
        for mark in 0..=marks {
            let word = human_bytes(self.size / marks * mark);
            let place = count * usize::try_from(mark).unwrap_or(0) / 4;
            let at = if mark == marks {
                (count + 2).saturating_sub(word.len())
            } else {
                place + 1
            };
            if at > line.len() || line.is_empty() {
                line.push_str(&" ".repeat(at.saturating_sub(line.len())));
                line.push_str(&word);
            }
        }
        line + "\n"
    }

    fn numbers(&self) -> String {
        let mut columns = Columns::with_heading(&["WRITTEN ON", "BYTES", "SIZE", "%", "RANGES"]);
        let lists = [
            (self.original, &self.changed.on_original),
            (self.snapshot, &self.changed.on_snapshot),
            ("both", &self.both),
            ("either", &self.changed.ranges),
        ];
        for (side, pieces) in lists {
            let bytes = ranges::length(pieces).bytes();
            columns.row(vec![
                side.to_owned(),
                bytes.to_string(),
                human_bytes(bytes),
                super::relations::percent(bytes, self.changed.size).to_string(),
                pieces.len().to_string(),
            ]);
        }
        columns.text()
    }
}

/// The letter of a side, and the colour.
fn look(side: Side) -> (char, usize) {
    match side {
        Side::Original => ('O', 0),
        Side::Snapshot => ('S', 1),
        Side::Both => ('B', 6),
    }
}

fn legend(canvas: &Canvas) -> String {
    let words = [
        (Side::Original, "written on the original"),
        (Side::Snapshot, "on the snapshot"),
        (Side::Both, "on both"),
    ];
    let letter = |side| {
        let (letter, hue) = look(side);
        canvas.paint(&letter.to_string(), Ink::On(hue))
    };
    let parts: Vec<String> = words
        .iter()
        .map(|(side, meaning)| format!("{} {meaning}", letter(*side)))
        .collect();
    parts.join("   ") + "\na small letter: only a part of the cell; "
}

/// The changed ranges, each with its side, in their order.
fn sides(changed: &ChangedRanges) -> Vec<RangeView> {
    // Between two neighbouring edges nothing begins or ends.
    let lists = [&changed.on_original, &changed.on_snapshot];
    let edges: BTreeSet<u64> = lists
        .iter()
        .flat_map(|list| list.iter().flat_map(|piece| [piece.start, piece.end]))
        .collect();
    let edges: Vec<u64> = edges.into_iter().collect();
    let mut found = Vec::new();
    for pair in edges.windows(2) {
        let within = pair[0]..pair[1];
        let on = |pieces: &[Range<u64>]| covered(pieces, &within) > 0;
        let side = match (on(&changed.on_original), on(&changed.on_snapshot)) {
            (true, true) => Side::Both,
            (true, false) => Side::Original,
            (false, true) => Side::Snapshot,
            (false, false) => continue,
        };
        found.push(RangeView {
            offset: within.start.saturating_mul(SECTOR),
            length: (within.end - within.start).saturating_mul(SECTOR),
            side,
        });
    }
    found
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::{Name, Sectors};
    use proptest::prelude::*;

    fn changed(original: Vec<Range<u64>>, snapshot: Vec<Range<u64>>) -> ChangedRanges {
        ChangedRanges {
            group: Name::parse("g").unwrap(),
            original: Name::parse("v").unwrap(),
            snapshot: Name::parse("s").unwrap(),
            size: Sectors::mib(64),
            block: Sectors::of(128),
            ranges: ranges::union([original.clone(), snapshot.clone()].concat()),
            on_original: original,
            on_snapshot: snapshot,
        }
    }

    fn pieces() -> impl Strategy<Value = Vec<Range<u64>>> {
        let piece = (0..131_072_u64, 1..9000_u64);
        proptest::collection::vec(piece, 0..12).prop_map(|all| {
            let all = all.into_iter();
            ranges::union(all.map(|(start, length)| start..(start + length).min(131_072)))
        })
    }

    proptest! {
        #[test]
        fn the_sides_add_up_and_every_change_is_seen(
            original in pieces(),
            snapshot in pieces(),
            width in 20..220_usize,
        ) {
            let changed = changed(original, snapshot);
            let view = View::new(&changed);
            let of = |side: Side| -> u64 {
                view.ranges.iter().filter(|r| r.side == side).map(|r| r.length).sum()
            };
            let (only_original, only_snapshot, both) =
                (of(Side::Original), of(Side::Snapshot), of(Side::Both));
            prop_assert_eq!(both, view.dirty_bytes.both);
            prop_assert_eq!(only_original + both, view.dirty_bytes.original);
            prop_assert_eq!(only_snapshot + both, view.dirty_bytes.snapshot);
            prop_assert_eq!(only_original + only_snapshot + both, view.dirty_bytes.union);
            // The cells cover the volume once, and a cell is marked exactly when something in it
            // was written.
            let count = width - 2;
            let mut end = 0;
            for at in 0..count {
                let cell = view.sectors(at, count);
                prop_assert_eq!(cell.start, end);
                end = cell.end;
                let written = changed.ranges.iter().any(|r| r.start < cell.end && cell.start < r.end);
                prop_assert_eq!(view.cell(&cell).is_some(), written);
            }
            prop_assert_eq!(end, changed.size.get());
        }
    }
}
