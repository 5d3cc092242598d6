//! The verifiers of the kernel tests go red when they should. Runs anywhere.

use crate::support::block::{Aligned, noise};
use crate::support::sample;
use crate::support::stamp::{Area, BLOCK, Expectation, Found, Mismatch, read_stamp};
use std::collections::BTreeSet;
use std::io::Write;

const AREA: Area = Area {
    writer: 7,
    first: 2,
    blocks: 16,
};

/// A device after the first `writes` writes of the area's writer.
struct Device(Vec<u8>);

impl Device {
    fn new() -> Device {
        Device(noise(1, 20 * BLOCK))
    }

    fn after(writes: u64) -> Device {
        let mut device = Device::new();
        (1..=writes).for_each(|seq| device.write(seq));
        device
    }

    fn write(&mut self, seq: u64) {
        let at = AREA.block(seq) as usize * BLOCK;
        AREA.stamp(seq, &mut self.0[at..at + BLOCK]);
    }

    fn block(&mut self, index: u64) -> &mut [u8] {
        &mut self.0[index as usize * BLOCK..][..BLOCK]
    }

    fn found(&self) -> Vec<Found> {
        (AREA.first..AREA.first + AREA.blocks)
            .zip(self.0.chunks(BLOCK).skip(2))
            .map(|(i, b)| read_stamp(&AREA, i, b))
            .collect()
    }

    fn check(&self, acked: u64, issued: u64) -> Vec<Mismatch> {
        Expectation {
            area: AREA,
            acked,
            issued,
        }
        .compare(&self.found())
    }
}

/// The newest write to each block among the first `upto`, as (block, seq).
fn newest(upto: u64) -> Vec<(u64, u64)> {
    let last = |block| (1..=upto).rev().find(|seq| AREA.block(*seq) == block);
    (AREA.first..AREA.first + AREA.blocks)
        .filter_map(|b| Some((b, last(b)?)))
        .collect()
}

#[test]
fn a_device_with_every_write_is_right() {
    for writes in [1, 5, 16, 100] {
        assert_eq!(
            Device::after(writes).check(writes, writes),
            [],
            "after {writes}"
        );
    }
}

#[test]
fn a_write_in_flight_may_be_there_or_not() {
    assert_eq!(Device::after(100).check(100, 101), []);
    assert_eq!(Device::after(101).check(100, 101), []);
}

#[test]
fn a_device_of_an_earlier_instant_has_lost_writes() {
    let wrong = Device::after(99).check(100, 100);
    assert!(
        wrong.contains(&Mismatch::Lost {
            newest: 99,
            acked: 100
        }),
        "{wrong:?}"
    );
}

#[test]
fn a_device_of_a_later_instant_is_from_the_future() {
    assert_eq!(
        Device::after(102).check(100, 101),
        [Mismatch::Future {
            newest: 102,
            issued: 101
        }]
    );
}

#[test]
fn a_single_stale_block_is_found() {
    let (block, seq) = newest(100).into_iter().min_by_key(|(_, seq)| *seq).unwrap();
    let mut device = Device::after(seq - 1);
    (seq + 1..=100).for_each(|s| device.write(s));
    assert_eq!(device.check(100, 100).len(), 1);
    assert!(
        matches!(device.check(100, 100)[0], Mismatch::Block { block: b, expected, .. } if (b, expected) == (block, seq))
    );
}

#[test]
fn a_write_from_between_two_instants_is_found() {
    // Write 101 is missing although write 102 is there.
    let mut device = Device::after(100);
    let later = (102..)
        .find(|seq| AREA.block(*seq) != AREA.block(101))
        .unwrap();
    (102..=later)
        .filter(|seq| AREA.block(*seq) != AREA.block(101))
        .for_each(|seq| device.write(seq));
    assert!(!device.check(100, later).is_empty());
}

#[test]
fn a_flipped_bit_a_torn_block_and_a_misplaced_block_are_broken() {
    let mut flipped = Device::after(50);
    flipped.block(AREA.first)[4000] ^= 1;
    let mut torn = Device::after(50);
    torn.block(AREA.first)[512..1024].fill(0);
    let mut misplaced = Device::after(50);
    let other = misplaced.block(AREA.first + 1).to_vec();
    misplaced.block(AREA.first).copy_from_slice(&other);
    for device in [flipped, torn, misplaced] {
        let wrong = device.check(50, 50);
        assert!(
            matches!(wrong[..], [Mismatch::Block { block, found: Found::Broken, .. }] if block == AREA.first),
            "{wrong:?}"
        );
    }
}

#[test]
fn an_overwritten_block_is_found() {
    let mut device = Device::after(50);
    device.block(AREA.first).fill(0);
    assert!(matches!(
        device.check(50, 50)[..],
        [Mismatch::Block {
            found: Found::Foreign,
            ..
        }]
    ));
}

#[test]
fn the_verifier_reads_what_the_writer_wrote() {
    let mut file = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    file.write_all(&Device::after(60).0).unwrap();
    let expectation = Expectation {
        area: AREA,
        acked: 60,
        issued: 60,
    };
    // Some filesystems have no O_DIRECT; then there is nothing to be tested here.
    if let Ok(wrong) = expectation.check(file.path()) {
        assert_eq!(wrong, []);
    }
}

#[test]
fn aligned_buffers_are_aligned() {
    assert!((1..20).all(|n| Aligned::new(n * 512).bytes().as_ptr().align_offset(4096) == 0));
}

/// What no sample has would never be tried.
#[test]
fn all_samples_together_have_each_step() {
    for (first, every) in [(1, 8), (1, 16), (2, 12), (3, 6)] {
        let all: BTreeSet<u64> = (0..every)
            .flat_map(|number| sample::steps_of(number, first, every).take(10))
            .collect();
        let until = first + 9 * every;
        assert_eq!(
            all,
            (first..=until).collect(),
            "from {first}, every {every}"
        );
    }
    for case in 0..50_u64 {
        let of = (0..300)
            .filter(|number| sample::is_in(*number, ("power cut", case)))
            .count();
        assert!(
            (25..80).contains(&of),
            "case {case} is in {of} of 300 samples"
        );
    }
}
