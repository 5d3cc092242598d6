//! Ranges of sectors, regions or blocks.

use super::units::Sectors;
use std::ops::Range;

/// Sorts ranges and joins those that touch or overlap; empty ranges are dropped.
pub fn union(pieces: impl IntoIterator<Item = Range<u64>>) -> Vec<Range<u64>> {
    let mut all: Vec<Range<u64>> = pieces
        .into_iter()
        .filter(|piece| !piece.is_empty())
        .collect();
    all.sort_by_key(|piece| piece.start);
    let mut joined: Vec<Range<u64>> = Vec::new();
    for piece in all {
        match joined.last_mut().filter(|last| last.end >= piece.start) {
            Some(last) => last.end = last.end.max(piece.end),
            None => joined.push(piece),
        }
    }
    joined
}

/// What lies in both lists; each is in order and without overlaps.
pub fn common(one: &[Range<u64>], other: &[Range<u64>]) -> Vec<Range<u64>> {
    let (mut left, mut right, mut both) = (one.iter(), other.iter(), Vec::new());
    let (mut a, mut b) = (left.next(), right.next());
    while let (Some(first), Some(second)) = (a, b) {
        let range = first.start.max(second.start)..first.end.min(second.end);
        if !range.is_empty() {
            both.push(range);
        }
        if first.end < second.end {
            a = left.next();
        } else {
            b = right.next();
        }
    }
    both
}

/// What lies in none of these ranges, which are in order and without overlaps, up to `end`.
pub fn outside(pieces: &[Range<u64>], end: u64) -> Vec<Range<u64>> {
    let begins = std::iter::once(0).chain(pieces.iter().map(|piece| piece.end));
    let ends = pieces.iter().map(|piece| piece.start).chain([end]);
    begins
        .zip(ends)
        .map(|(begin, stop)| begin..stop.min(end))
        .filter(|piece| !piece.is_empty())
        .collect()
}

/// The sum of the lengths of these ranges of sectors.
pub fn length(pieces: &[Range<u64>]) -> Sectors {
    Sectors::new(pieces.iter().map(|piece| piece.end - piece.start).sum()).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init)] // lists of pieces
mod tests {
    use super::*;

    #[test]
    fn what_touches_or_overlaps_is_joined() {
        assert_eq!(union([5..6, 1..3, 2..4, 4..5, 9..9]), [1..6]);
        assert_eq!(length(&[1..6, 8..9]), Sectors::of(6));
    }

    #[test]
    fn what_is_common_is_in_both() {
        assert_eq!(common(&[0..4, 6..9], &[2..7, 8..12]), [2..4, 6..7, 8..9]);
        assert_eq!(common(&[0..2], &[2..4]), []);
        assert_eq!(common(&[], &[2..4]), []);
    }

    #[test]
    fn outside_is_what_is_left() {
        assert_eq!(outside(&[], 8), [0..8]);
        assert_eq!(outside(&[0..2, 4..6], 8), [2..4, 6..8]);
        assert_eq!(outside(&[2..4, 6..8], 8), [0..2, 4..6]);
        assert_eq!(outside(&[0..9], 8), []);
    }
}
