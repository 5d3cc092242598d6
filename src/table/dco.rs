//! The layout and the size of a data change object (DCO). Both follow from the volume's size alone.
//!
//! Each copy holds, one after the other: change log A, change log B, and the map (metadata of dm's
//! `era`).

use super::{SYNC_REGION, log, region_for};
use crate::model::ranges::union;
use crate::model::{ChangeLog, Extent, Lanes, Sectors};
use std::ops::Range;

/// The smallest block in which changes are told apart (64 KiB).
const BLOCK: Sectors = Sectors::of(128);
/// The most blocks of a map. Larger volumes have larger blocks, because the map's array takes
/// 4 bytes for each block.
const MAX_BLOCKS: u64 = 1 << 20;
/// The smallest region in blocks. The kernel copies one region at a time, and small regions take
/// longest (K4).
const BLOCKS_A_REGION: u64 = 4;
/// The fixed cost of a region: two seeks, the flushes and the write of the log take about as long
/// as a disk needs to transfer this much.
const REGION_COST: Sectors = Sectors::MIB;
/// The block size of the kernel's metadata, in bytes.
const PAGE: u64 = 4096;

/// The block size of the map of a volume of this size: what one bit or number of the map stands
/// for.
pub fn block(size: Sectors) -> Sectors {
    Sectors::new(size.get().div_ceil(MAX_BLOCKS).next_power_of_two())
        .unwrap_or(BLOCK)
        .max(BLOCK)
}

/// The smallest region size of a change log. The logs have space for one bit for each region of
/// this size.
pub fn finest_region(size: Sectors) -> Sectors {
    region_for(
        size,
        Sectors::new(block(size).get().saturating_mul(BLOCKS_A_REGION)).unwrap_or(BLOCK),
    )
}

/// The region size of the change log with which these pieces are to be copied: the smallest one
/// that takes at most a quarter longer than the fastest.
pub fn region(size: Sectors, pieces: &[Range<u64>]) -> Sectors {
    let finest = finest_region(size);
    let coarsest = region_for(size, finest.max(SYNC_REGION));
    let doubled = |region: &Sectors| {
        Some(region.saturating_add(*region)).filter(|region| *region <= coarsest)
    };
    let candidates: Vec<(Sectors, u64)> = std::iter::successors(Some(finest), doubled)
        .map(|region| (region, copy_time(size, region, pieces)))
        .collect();
    let least = candidates.iter().map(|(_, time)| *time).min().unwrap_or(0);
    candidates
        .into_iter()
        .find(|(_, time)| *time <= least.saturating_add(least / 4))
        .map_or(finest, |(region, _)| region)
}

/// How long the kernel needs to copy these pieces, expressed as the number of sectors that a disk
/// transfers in that time.
fn copy_time(size: Sectors, region: Sectors, pieces: &[Range<u64>]) -> u64 {
    let count = count(&regions(size, region, pieces));
    count.saturating_mul(region.saturating_add(REGION_COST).get())
}

/// How fast a disk is, as it was measured, in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pace {
    /// Until a small read is answered.
    pub answer: u64,
    /// How much longer a read of [`SYNC_REGION`] takes.
    pub transfer: u64,
    /// A flush.
    pub flush: u64,
}

impl Pace {
    /// The pace of work that waits for both disks.
    pub fn slower(self, other: Pace) -> Pace {
        Pace {
            answer: self.answer.max(other.answer),
            transfer: self.transfer.max(other.transfer),
            flush: self.flush.max(other.flush),
        }
    }
}

/// The writes of the log, each with a flush, that a region costs.
const LOG_WRITES: u64 = 4;

/// Whether so many changes could take longer than a copy of everything, so that it is worth while to
/// measure the disks.
pub fn are_many(size: Sectors, regions: &[Range<u64>]) -> bool {
    let all = log::regions(size, SYNC_REGION);
    count(regions) > (all / 16).max(16)
}

/// Whether a copy of everything in so many lanes is clearly faster, on disks of this pace, than that
/// of these regions, which are copied one by one. What a disk needs to answer is waited for in all
/// lanes at the same time; what it needs to transfer is not.
pub fn is_all_faster(
    size: Sectors,
    region: Sectors,
    regions: &[Range<u64>],
    lanes: Lanes,
    pace: Pace,
) -> bool {
    let Pace {
        answer,
        transfer,
        flush,
    } = pace;
    let copy = 2 * answer + 2 * transfer * region.get() / SYNC_REGION.get();
    let changes = count(regions) * (copy + LOG_WRITES * (answer + flush));
    let all = log::regions(size, SYNC_REGION) * (2 * transfer + 2 * answer / lanes.get());
    all + all / 4 < changes
}

fn count(regions: &[Range<u64>]) -> u64 {
    regions.iter().map(|range| range.end - range.start).sum()
}

/// The length of one change log.
fn log_length(size: Sectors) -> Sectors {
    Sectors::from_bytes_floor(log::image(size, finest_region(size), false).len() as u64)
}

/// The length of a map: the array of all blocks three times (in use, being changed, held for a
/// reading), the bits of the eras that are not yet in it, and the kernel's own bookkeeping.
fn map_length(size: Sectors) -> Sectors {
    let blocks = size.get().div_ceil(block(size).get());
    let array = blocks.div_ceil((PAGE - 24) / 4);
    let bits = blocks.div_ceil((PAGE - 24) * 8);
    Sectors::from_bytes_floor((array * 3 + bits * 16 + 96) * PAGE)
}

/// The space that one copy takes; a multiple of 1 MiB.
pub fn space(size: Sectors) -> Sectors {
    let logs = log_length(size).saturating_add(log_length(size));
    logs.saturating_add(map_length(size)).round_up(Sectors::MIB)
}

/// Where a change log lies within a copy.
pub fn change_log(copy: &Extent, size: Sectors, which: ChangeLog) -> Extent {
    let before = if which == ChangeLog::A {
        Sectors::ZERO
    } else {
        log_length(size)
    };
    Extent {
        start: copy.start.saturating_add(before),
        length: log_length(size),
        ..*copy
    }
}

/// Where the map lies within a copy.
pub fn map(copy: &Extent, size: Sectors) -> Extent {
    let logs = log_length(size).saturating_add(log_length(size));
    Extent {
        start: copy.start.saturating_add(logs),
        length: map_length(size),
        ..*copy
    }
}

/// The regions of a change log that cover these pieces of a volume (in sectors): in order, and each
/// one once.
pub fn regions(size: Sectors, region: Sectors, pieces: &[Range<u64>]) -> Vec<Range<u64>> {
    let region = region.get().max(1);
    let widened = pieces
        .iter()
        .map(|piece| piece.start / region..piece.end.min(size.get()).div_ceil(region));
    union(widened)
}

/// The pieces of the volume, in sectors, that these regions cover.
pub fn pieces(size: Sectors, region: Sectors, regions: &[Range<u64>]) -> Vec<Range<u64>> {
    let region = region.get();
    let end = |regions: u64| regions.saturating_mul(region).min(size.get());
    regions
        .iter()
        .map(|r| r.start.saturating_mul(region)..end(r.end))
        .collect()
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init)] // lists of pieces
mod tests {
    use super::*;
    use crate::model::DiskId;

    #[test]
    fn everything_has_its_place_in_a_copy() {
        for mib in [1u32, 8, 1000, 65_536, 1_000_000, 16_000_000] {
            let size = Sectors::mib(mib);
            let copy = Extent {
                disk: DiskId::from_bytes([1; 16]),
                start: Sectors::mib(7),
                length: space(size),
            };
            let places = [
                change_log(&copy, size, ChangeLog::A),
                change_log(&copy, size, ChangeLog::B),
                map(&copy, size),
            ];
            assert_eq!(places[0].start, copy.start);
            assert!(
                places.windows(2).all(|pair| pair[0].end() == pair[1].start),
                "{mib}"
            );
            assert!(places[2].end() <= copy.end(), "{mib}");
            assert!(
                copy.length.get() <= size.get().div_ceil(500).max(2048 * 2),
                "{mib}: {}",
                copy.length
            );
            assert!(
                finest_region(size).get().is_power_of_two() && block(size) <= finest_region(size),
                "{mib}"
            );
        }
    }

    #[test]
    fn pieces_become_the_regions_that_hold_them() {
        let size = Sectors::mib(9);
        let finest = finest_region(size);
        let region = finest.get();
        assert_eq!(
            regions(
                size,
                finest,
                &[0..1, region - 1..region + 1, 3 * region..3 * region + 8]
            ),
            [0..2, 3..4]
        );
        assert_eq!(
            regions(size, finest, &[size.get() - 8..size.get()]),
            [size.get().div_ceil(region) - 1..size.get().div_ceil(region)]
        );
        assert_eq!(
            pieces(size, finest, &[0..2, 17..18]),
            [0..2 * region, 17 * region..18 * region]
        );
    }

    #[test]
    fn everything_is_copied_where_that_is_clearly_faster() {
        let size = Sectors::mib(1024);
        let lanes = |n| Lanes::new(n).unwrap_or(Lanes::ONE);
        let [far, flash, heads] = [(4000, 100, 4000), (80, 700, 50), (8000, 13_000, 0)].map(
            |(answer, transfer, flush)| Pace {
                answer,
                transfer,
                flush,
            },
        );
        // How many of 512 regions of 2 MiB have changed.
        for (pace, n, changed, expected) in [
            (far, 8, 15, false),
            (far, 8, 20, true),
            (far, 1, 100, false),
            (far, 1, 140, true),
            (flash, 8, 400, false),
            (flash, 8, 512, true),
            (heads, 1, 300, false),
            (heads, 1, 400, true),
            (Pace::default(), 8, 512, false),
        ] {
            let faster = is_all_faster(size, SYNC_REGION, &[0..changed], lanes(n), pace);
            assert_eq!(faster, expected, "{pace:?}, {n} lanes, {changed} regions");
        }
        assert!(!are_many(size, &[0..32]) && are_many(size, &[0..33]));
        assert!(!are_many(Sectors::mib(16), &[0..16]) && are_many(Sectors::mib(16), &[0..17]));
    }

    #[test]
    fn what_is_copied_at_once_suits_the_changes() {
        let size = Sectors::mib(1024);
        let mib = |n: u64| n * 2048;
        let blocks =
            |places: &[u64]| -> Vec<Range<u64>> { places.iter().map(|at| *at..at + 128).collect() };
        let every =
            |step: u64| blocks(&(0..size.get() / step).map(|n| n * step).collect::<Vec<_>>());
        assert_eq!(region(size, &[]), finest_region(size));
        assert_eq!(
            region(size, &blocks(&[0, mib(100), mib(900)])),
            finest_region(size),
            "far from each other"
        );
        assert_eq!(
            region(size, &[mib(10)..mib(90)]),
            SYNC_REGION,
            "all in one place"
        );
        assert_eq!(
            region(size, &every(mib(8))),
            finest_region(size),
            "one in 8 MiB"
        );
        assert_eq!(
            region(size, &every(256)),
            SYNC_REGION,
            "something everywhere"
        );
        assert_eq!(
            region(size, &every(1536)),
            finest_region(size),
            "little more time than with 2 MiB, and a third of the bytes"
        );
        for mib in [1, 3, 1000, 65_536, 1_000_000, 16_000_000] {
            let size = Sectors::mib(mib);
            let all = region(size, &[0..size.get()]);
            assert!(
                all >= finest_region(size)
                    && all <= finest_region(size).max(SYNC_REGION)
                    && all <= size,
                "{mib}: {all}"
            );
            assert!(
                log::image(size, all, true).len() as u64 <= log_length(size).bytes(),
                "{mib}"
            );
        }
    }
}
