//! Commits: what is written in which order, what a failing disk costs, and what a crash at any
//! point leaves behind.

use crate::meta_common::*;
use breakoff::cli::native::hints::Native;
use breakoff::error::Kind;
use breakoff::meta::{self, Chosen, Observed};
use breakoff::model::*;
use breakoff::sys::Errno;

fn generation(number: u64) -> Generation {
    Generation::new(number)
}

/// Offsets of writes, `None` for a flush.
fn shape(ram: &Ram) -> Vec<Option<u64>> {
    ram.take_ops()
        .iter()
        .map(|op| {
            if let Op::Write(offset, _) = op {
                Some(*offset)
            } else {
                None
            }
        })
        .collect()
}

const FAULT: Errno = Errno(libc::EIO);

#[test]
fn payload_flush_superblock_flush_and_the_places_alternate() {
    let (disks, group) = two_disks();
    let mut members = members(&disks);
    for (number, slot, position) in [(2, 16384, 4096), (3, 16384 + 24576, 8192), (4, 16384, 4096)] {
        let mut prepared = prepare(&mut members, &group, generation(number)).unwrap();
        for ram in &disks {
            assert_eq!(shape(ram), [Some(slot), None], "generation {number}");
        }
        let result = prepared.flip();
        assert_eq!((result.flipped, result.failed, result.errno), (2, 0, None));
        for ram in &disks {
            assert_eq!(shape(ram), [Some(position), None], "generation {number}");
        }
        assert!(prepared.outcome().committed);
        assert_eq!(members[0].label.highest(), generation(number));
        assert_eq!(
            label(&disks[0]).copies().len(),
            members[0].label.copies().len()
        );
    }
}

#[test]
fn a_disk_that_cannot_be_written_is_left_out_with_a_warning() {
    let (disks, group) = two_disks();
    disks[0].fail(Faults {
        writes: true,
        ..Faults::default()
    });
    let mut members = members(&disks);
    let newer = with_volume(&group, "w");
    let mut prepared = prepare(&mut members, &newer, generation(2)).unwrap();
    assert!(
        prepared.warnings()[0].contains("disk00"),
        "{:?}",
        prepared.warnings()
    );
    assert!(prepared.flip().committed());
    let outcome = prepared.outcome();
    assert_eq!(
        (outcome.written, outcome.warnings.len()),
        (vec![group.disks[1].id], 1)
    );
    assert_eq!(choose(group.id, &disks).unwrap().group, newer);
}

#[test]
fn when_no_disk_can_be_written_nothing_has_changed() {
    for faults in [
        Faults {
            writes: true,
            ..Faults::default()
        },
        Faults {
            flushes: true,
            ..Faults::default()
        },
    ] {
        let (disks, group) = two_disks();
        disks.iter().for_each(|ram| ram.fail(faults.clone()));
        let err = prepare(
            &mut members(&disks),
            &with_volume(&group, "w"),
            generation(2),
        )
        .err()
        .unwrap();
        assert_eq!(err.kind(), Kind::Device);
        disks.iter().for_each(|ram| ram.fail(Faults::default()));
        let chosen = choose(group.id, &disks).unwrap();
        assert_eq!(
            (chosen.group, chosen.generation, chosen.warnings),
            (group, generation(1), vec![])
        );
    }
    let err = prepare(&mut [], &group_on(&[]), generation(1))
        .err()
        .unwrap();
    assert_eq!(err.kind(), Kind::Device);
}

#[test]
fn one_disk_that_flips_is_a_commit() {
    let (disks, group) = two_disks();
    let mut members = members(&disks);
    let newer = with_volume(&group, "w");
    let mut prepared = prepare(&mut members, &newer, generation(2)).unwrap();
    disks[0].fail(Faults {
        writes: true,
        ..Faults::default()
    });
    let result = prepared.flip();
    assert_eq!(
        (result.flipped, result.failed, result.errno),
        (1, 1, Some(FAULT))
    );
    assert!(result.committed());
    let outcome = prepared.outcome();
    assert!(
        outcome.committed && outcome.warnings[0].starts_with("disk00: "),
        "{outcome:?}"
    );
    let chosen = choose(group.id, &disks).unwrap();
    assert_eq!(
        (chosen.group, chosen.outdated),
        (newer.clone(), vec![group.disks[0].id])
    );
    // The next commit heals it, with the same members.
    disks[0].fail(Faults::default());
    let mut prepared = prepare(&mut members, &newer, generation(3)).unwrap();
    assert_eq!(prepared.flip().flipped, 2);
    drop(prepared.outcome());
    assert_eq!(choose(group.id, &disks).unwrap().outdated, []);
}

#[test]
fn a_flip_that_failed_everywhere_is_looked_at_again() {
    let cases = [
        (
            Faults {
                writes: true,
                ..Faults::default()
            },
            Observed::NotCommitted,
            false,
        ),
        (
            Faults {
                writes: true,
                but_written: true,
                ..Faults::default()
            },
            Observed::Committed,
            true,
        ),
        (
            Faults {
                writes: true,
                reads: true,
                ..Faults::default()
            },
            Observed::Unknown,
            false,
        ),
        (
            Faults {
                flushes: true,
                ..Faults::default()
            },
            Observed::Unknown,
            false,
        ),
    ];
    for (faults, observed, committed) in cases {
        let (disks, group) = two_disks();
        let mut members = members(&disks);
        let mut prepared = prepare(&mut members, &with_volume(&group, "w"), generation(2)).unwrap();
        disks.iter().for_each(|ram| ram.fail(faults.clone()));
        assert!(!prepared.flip().committed());
        assert_eq!(prepared.observe(), observed, "{faults:?}");
        let outcome = prepared.outcome();
        assert_eq!(
            (outcome.committed, outcome.warnings.is_empty()),
            (committed, committed),
            "{faults:?}"
        );
    }
}

#[test]
fn a_flip_that_failed_leaves_the_old_configuration_and_the_next_commit_works() {
    let (disks, group) = two_disks();
    let mut members = members(&disks);
    let newer = with_volume(&group, "w");
    let mut prepared = prepare(&mut members, &newer, generation(2)).unwrap();
    disks.iter().for_each(|ram| {
        ram.fail(Faults {
            writes: true,
            ..Faults::default()
        });
    });
    assert!(!prepared.flip().committed());
    drop(prepared.outcome());
    disks.iter().for_each(|ram| ram.fail(Faults::default()));
    assert_eq!(choose(group.id, &disks).unwrap().group, group);
    let mut prepared = prepare(&mut members, &newer, generation(3)).unwrap();
    assert_eq!(prepared.flip().flipped, 2);
    drop(prepared.outcome());
    assert_eq!(choose(group.id, &disks).unwrap().group, newer);
}

#[test]
fn a_full_area_is_refused_with_numbers_and_nothing_is_written() {
    let disks = [fresh()];
    let mut group = group_on(&disks);
    for n in 0..800 {
        group = with_volume(&group, &format!("volume{n}"));
    }
    let err = prepare(&mut members(&disks), &group, generation(1))
        .err()
        .unwrap();
    assert_eq!(err.kind(), Kind::NoSpace);
    assert!(
        err.message().contains("24576") && err.hint_text(&Native).is_some(),
        "{err}"
    );
    assert!(disks[0].take_ops().is_empty());
}

#[test]
fn members_that_do_not_fit_are_refused_before_anything_is_written() {
    let (disks, group) = two_disks();
    let (others, _) = two_disks();
    let refused = |disks: &[Ram], group: &Group, number| {
        let err = prepare(&mut members(disks), group, generation(number))
            .err()
            .unwrap();
        assert!(disks.iter().all(|ram| ram.take_ops().is_empty()));
        err.kind()
    };
    assert_eq!(
        refused(&disks, &group, 1),
        Kind::Unsafe,
        "the same generation again"
    );
    assert_eq!(
        refused(&[disks[0].clone(), fresh()], &group, 2),
        Kind::Unsafe,
        "not in the configuration"
    );
    assert_eq!(refused(&disks, &group, 0), Kind::Failed);
    let mut taken = group.clone();
    taken.disks.push(Disk {
        id: label(&others[0]).disk(),
        media: name("x"),
        ..taken.disks[0].clone()
    });
    assert_eq!(
        refused(&[disks[0].clone(), others[0].clone()], &taken, 2),
        Kind::Unsafe,
        "a member of another group"
    );
}

#[test]
fn the_copy_that_can_be_used_is_never_overwritten_even_when_a_newer_one_verifies() {
    let (disks, group) = two_disks();
    commit(&disks, &group, 2);
    let one = &disks[..1];
    // The newest payload (slot 1, superblock A) gets a right checksum but no sense.
    let payload = b"nonsense".to_vec();
    one[0].set(16384, &payload);
    let mut block = one[0].get(4096, 4096);
    block[112..120].copy_from_slice(&8u64.to_le_bytes());
    block[120..124].copy_from_slice(&crc32c::crc32c(&payload).to_le_bytes());
    block[20..24].fill(0);
    let sum = crc32c::crc32c(&block);
    block[20..24].copy_from_slice(&sum.to_le_bytes());
    one[0].set(4096, &block);
    let chosen = choose(group.id, one).unwrap();
    assert_eq!(
        (chosen.generation, chosen.next),
        (generation(1), generation(3))
    );
    drop(prepare(&mut members(one), &group, chosen.next).unwrap());
    assert_eq!(
        choose(group.id, one).unwrap().generation,
        generation(1),
        "generation 1 must survive until the flip"
    );
}

/// What a disk may hold after a power cut: everything up to the last flush, and any of the later
/// writes, the last one possibly torn.
fn after_power_cut(start: &[u8], ops: &[Op], last: bool) -> Vec<Vec<u8>> {
    let flushed = ops
        .iter()
        .rposition(|op| *op == Op::Flush)
        .map_or(0, |at| at + 1);
    let mut durable = start.to_vec();
    let write = |data: &mut Vec<u8>, offset: u64, bytes: &[u8]| {
        data[offset as usize..offset as usize + bytes.len()].copy_from_slice(bytes);
    };
    for op in &ops[..flushed] {
        if let Op::Write(offset, bytes) = op {
            write(&mut durable, *offset, bytes);
        }
    }
    let loose: Vec<(u64, &[u8])> = ops[flushed..]
        .iter()
        .filter_map(|op| {
            if let Op::Write(offset, bytes) = op {
                Some((*offset, &bytes[..]))
            } else {
                None
            }
        })
        .collect();
    assert!(loose.len() < 8, "too many combinations");
    let mut images = Vec::new();
    for kept in 0u32..1 << loose.len() {
        let mut image = durable.clone();
        for (_, (offset, bytes)) in loose
            .iter()
            .enumerate()
            .filter(|(n, _)| (kept >> n) & 1 == 1)
        {
            write(&mut image, *offset, bytes);
        }
        if last && let Some((offset, bytes)) = loose.last() {
            images.extend(torn(&image, *offset, bytes));
        }
        images.push(image);
    }
    images
}

/// The image with some of the write's sectors done: each subset of few, of many each prefix, suffix
/// and single hole.
fn torn(image: &[u8], offset: u64, bytes: &[u8]) -> Vec<Vec<u8>> {
    let sectors = bytes.len() / 512;
    let done: Vec<Vec<bool>> = if sectors <= 8 {
        (0u32..1 << sectors)
            .map(|mask| (0..sectors).map(|n| (mask >> n) & 1 == 1).collect())
            .collect()
    } else {
        let at = (0..sectors).step_by(sectors.div_ceil(16));
        let some = |keep: &dyn Fn(usize) -> bool| (0..sectors).map(keep).collect();
        at.flat_map(|at| [some(&|n| n < at), some(&|n| n >= at), some(&|n| n != at)])
            .collect()
    };
    let tear = |done: &Vec<bool>| {
        let mut image = image.to_vec();
        for (n, sector) in bytes.chunks(512).enumerate().filter(|(n, _)| done[*n]) {
            let at = offset as usize + n * 512;
            image[at..at + 512].copy_from_slice(sector);
        }
        image
    };
    // The sector that the head was on may hold neither.
    let broken = |n: usize| {
        let mut image = image.to_vec();
        let at = offset as usize + n * 512;
        image[at..at + 512].fill(0xa5);
        image
    };
    done.iter()
        .map(tear)
        .chain((0..sectors).step_by(sectors.div_ceil(16)).map(broken))
        .collect()
}

/// A disk that only keeps its private area: crash images are many.
fn small(image: &[u8]) -> Ram {
    Ram::front(image.to_vec(), 2 << 20)
}

/// Cuts the power at every point of a commit of `new` over these disks and checks every possible
/// image of every disk.
fn crash_everywhere(disks: &[Ram], old: Option<&Group>, new: &Group, number: u64) -> usize {
    let start: Vec<Vec<u8>> = disks.iter().map(|ram| ram.get(0, 65536)).collect();
    disks.iter().for_each(|ram| drop(ram.take_ops()));
    let mut members = members(disks);
    let mut prepared = prepare(&mut members, new, generation(number)).unwrap();
    let staged: Vec<Vec<Op>> = disks.iter().map(Ram::take_ops).collect();
    assert!(prepared.flip().committed());
    let flipped: Vec<Vec<Op>> = disks.iter().map(Ram::take_ops).collect();
    // The disks are written one after the other, payloads first.
    let sequence: Vec<(usize, Op)> = [staged, flipped]
        .into_iter()
        .flat_map(|phase| {
            phase
                .into_iter()
                .enumerate()
                .flat_map(|(n, ops)| ops.into_iter().map(move |op| (n, op)))
        })
        .collect();
    let mut images = 0;
    for cut in 0..=sequence.len() {
        let done = &sequence[..cut];
        let last = done.last().map(|(n, _)| *n);
        let of = |disk: usize| {
            done.iter()
                .filter(|(n, _)| *n == disk)
                .map(|(_, op)| op.clone())
                .collect::<Vec<_>>()
        };
        let possible: Vec<Vec<Vec<u8>>> = (0..disks.len())
            .map(|n| after_power_cut(&start[n], &of(n), last == Some(n)))
            .collect();
        // With this order of writes at most one disk has anything loose.
        assert!(possible.iter().filter(|images| images.len() > 1).count() <= 1);
        for n in 0..possible.iter().map(Vec::len).max().unwrap() {
            let after: Vec<Ram> = possible
                .iter()
                .map(|images| small(images.get(n).unwrap_or(&images[0])))
                .collect();
            let read = check_after_crash(&after, old, new, number, cut == sequence.len());
            if let Some(read) = read.filter(|_| n % 8 == 0) {
                check_healing(&after, &read);
            }
            images += 1;
        }
    }
    images
}

/// Reads what a power cut left: the old configuration, the new one, or (where there was none)
/// nothing.
fn check_after_crash(
    disks: &[Ram],
    old: Option<&Group>,
    new: &Group,
    number: u64,
    finished: bool,
) -> Option<Chosen> {
    disks.iter().for_each(|ram| {
        assert!(
            meta::read_disk(ram).unwrap().is_some(),
            "a disk of ours stays one"
        );
    });
    let read = match (choose(new.id, disks), old) {
        (Ok(chosen), _) => chosen,
        (Err(err), None) if err.kind() == Kind::NotFound && !finished => return None,
        (Err(err), _) => panic!("{err}"),
    };
    let expected = if read.generation == generation(number) {
        Some(new)
    } else {
        old
    };
    assert_eq!(Some(&read.group), expected);
    assert!(!finished || read.generation == generation(number));
    assert_eq!(read.present.len(), disks.len());
    Some(read)
}

/// The next commit makes all disks equal again.
fn check_healing(disks: &[Ram], read: &Chosen) {
    let again = with_volume(&read.group, "after-the-crash");
    commit(disks, &again, read.next.get());
    let healed = choose(again.id, disks).unwrap();
    assert_eq!(
        (healed.group, healed.outdated, healed.warnings),
        (again, vec![], vec![])
    );
}

/// Disks as small as they can be.
fn small_disks(count: usize) -> Vec<Ram> {
    let disks: Vec<Ram> = (0..count).map(|_| small(&[0; 65536])).collect();
    disks
        .iter()
        .for_each(|ram| drop(meta::format_disk(ram, DiskId::random(), AREA).unwrap()));
    disks
}

#[test]
fn a_power_cut_anywhere_in_the_first_commit_leaves_no_group_or_all_of_it() {
    for count in [1, 2, 3] {
        let disks = small_disks(count);
        let group = with_volume(&group_on(&disks), "v");
        assert!(crash_everywhere(&disks, None, &group, 1) > 250);
    }
}

#[test]
fn a_power_cut_anywhere_in_a_commit_leaves_the_old_or_the_new_configuration() {
    for (count, before) in [(1, 1), (1, 2), (2, 1), (2, 2), (3, 3)] {
        let disks = small_disks(count);
        let mut group = with_volume(&group_on(&disks), "v");
        for number in 1..=before {
            group = with_volume(&group, &format!("w{number}"));
            commit(&disks, &group, number);
        }
        let new = with_volume(&group, "new");
        assert!(crash_everywhere(&disks, Some(&group), &new, before + 1) > 250);
    }
}

#[test]
fn a_power_cut_in_a_long_payload_leaves_the_old_or_the_new_configuration() {
    let disks = small_disks(2);
    let mut group = group_on(&disks);
    for n in 0..80 {
        group = with_volume(&group, &format!("volume{n}"));
    }
    commit(&disks, &group, 1);
    crash_everywhere(&disks, Some(&group), &with_volume(&group, "new"), 2);
}

#[test]
fn a_power_cut_while_a_disk_is_added_leaves_it_free_or_a_member() {
    let disks = small_disks(3);
    let group = with_volume(&group_on(&disks[..2]), "v");
    commit(&disks[..2], &group, 5);
    let mut larger = group.clone();
    larger.disks = group_on(&disks).disks;
    let start: Vec<Ram> = disks.iter().map(Ram::dd).collect();
    commit(&disks, &larger, 6);
    // Any subset of the disks may have flipped.
    for mask in 0u32..8 {
        let after: Vec<Ram> = (0..3)
            .map(|n| {
                if (mask >> n) & 1 == 1 {
                    disks[n].dd()
                } else {
                    start[n].dd()
                }
            })
            .collect();
        let chosen = choose(group.id, &after).unwrap();
        assert_eq!(
            chosen.group,
            if mask == 0 {
                group.clone()
            } else {
                larger.clone()
            }
        );
    }
}

#[test]
fn a_power_cut_while_a_disk_is_initialised_leaves_the_old_label_the_new_one_or_none() {
    let (disks, _) = two_disks();
    let start = disks[0].get(0, 65536);
    let ram = Ram::front(start.clone(), 8 << 20);
    let (id, old) = (DiskId::random(), label(&disks[0]).disk());
    meta::format_disk(&ram, id, AREA).unwrap();
    let ops = ram.take_ops();
    for cut in 0..=ops.len() {
        for image in after_power_cut(&start, &ops[..cut], true) {
            match meta::read_disk(&Ram::front(image, 8 << 20)) {
                Ok(found) => assert!(
                    found.is_none_or(|label| [id, old].contains(&label.disk())),
                    "cut {cut}"
                ),
                // A sector that holds neither: the disk has to be initialised again, and the
                // refusal says so.
                Err(err) => assert!(
                    err.hint_text(&Native)
                        .is_some_and(|hint| hint.contains("disk init --force")),
                    "cut {cut}: {err}"
                ),
            }
        }
    }
}

/// A group at the last generation has no next one and is refused when it is read: a commit must not
/// take it there.
#[test]
fn a_commit_leaves_a_generation_for_the_next() {
    let (disks, group) = two_disks();
    let last = meta::layout::GENERATION_MAX.get() - 1;
    commit(&disks, &group, last);
    let chosen = choose(group.id, &disks).unwrap();
    assert_eq!(
        (chosen.generation.get(), chosen.next),
        (last, meta::layout::GENERATION_MAX)
    );
    assert!(prepare(&mut members(&disks), &chosen.group, chosen.next).is_err());
    assert_eq!(choose(group.id, &disks).unwrap().generation.get(), last);
}
