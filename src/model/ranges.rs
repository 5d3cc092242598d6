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
}
