//! Labels of disks, and which configuration is chosen when they disagree.

use crate::meta_common::*;
use breakoff::cli::native::hints::Native;
use breakoff::error::Kind;
use breakoff::meta::{self, format_disk, read_disk, wipe_disk};
use breakoff::model::*;
use breakoff::sys::Media as _;
use proptest::prelude::*;

const A: u64 = 4096;
const B: u64 = 8192;
const SLOT_1: u64 = 16384;
const SLOT_2: u64 = 16384 + 24576;

/// Bytes of a superblock changed by somebody who can compute checksums.
fn forge(ram: &Ram, position: u64, offset: usize, bytes: &[u8]) {
    let mut block = ram.get(position, 4096);
    block[offset..offset + bytes.len()].copy_from_slice(bytes);
    block[20..24].fill(0);
    let sum = crc32c::crc32c(&block);
    block[20..24].copy_from_slice(&sum.to_le_bytes());
    ram.set(position, &block);
}

#[test]
fn a_new_disk_is_free_and_nothing_of_the_old_contents_is_left_in_front() {
    let ram = Ram::with(vec![0xee; 8 << 20]);
    let id = DiskId::random();
    let label = format_disk(&ram, id, AREA).unwrap();
    assert_eq!(
        (
            label.disk(),
            label.group(),
            label.copies().len(),
            label.highest()
        ),
        (id, None, 0, Generation::ZERO)
    );
    assert_eq!(label.geometry().data_start(), Sectors::MIB);
    assert!(label.warnings().is_empty());
    assert!(
        ram.get(0, 4096)
            .iter()
            .chain(&ram.get(12288, 65536 - 12288))
            .all(|byte| *byte == 0)
    );
    assert!(
        ram.get(1 << 20, 7 << 20).iter().all(|byte| *byte == 0xee),
        "initialising never touches the space for volumes"
    );
    assert_eq!(ram.take_ops().last(), Some(&Op::Flush));
}

#[test]
fn a_device_that_is_too_small_is_refused_untouched() {
    let ram = Ram::with(vec![0xee; 1 << 20]);
    assert_eq!(
        format_disk(&ram, DiskId::random(), AREA)
            .unwrap_err()
            .kind(),
        Kind::NoSpace
    );
    assert!(ram.take_ops().is_empty());
}

#[test]
fn foreign_disks_are_not_ours_whatever_their_size() {
    for length in [0, 4096, 12288, 65536, 1 << 20] {
        assert!(read_disk(&Ram::with(vec![0; length])).unwrap().is_none());
        assert!(!meta::is_ours(&Ram::with(vec![0; length])));
        assert!(read_disk(&Ram::with(vec![0x5a; length])).unwrap().is_none());
    }
}

#[test]
fn a_wiped_disk_is_nobodys_durably() {
    let (disks, _) = two_disks();
    wipe_disk(&disks[0]).unwrap();
    assert!(read_disk(&disks[0]).unwrap().is_none());
    assert_eq!(disks[0].take_ops().last(), Some(&Op::Flush));
    assert!(ram_holds_no_magic(&disks[0]));
}

fn ram_holds_no_magic(ram: &Ram) -> bool {
    !ram.data()
        .windows(14)
        .any(|bytes| bytes == b"BREAKOFF LABEL")
}

#[test]
fn reading_and_choosing_never_write() {
    let (disks, group) = two_disks();
    disks[0].flip_bit(A);
    disks[1].flip_bit(B + 100);
    choose(group.id, &disks).unwrap();
    assert!(disks.iter().all(|ram| ram.take_ops().is_empty()));
}

#[test]
fn unreadable_disks_are_device_errors_and_not_foreign() {
    let (disks, _) = two_disks();
    disks[0].fail(Faults {
        reads: true,
        ..Faults::default()
    });
    assert_eq!(read_disk(&disks[0]).unwrap_err().kind(), Kind::Device);
}

#[test]
fn one_damaged_superblock_or_payload_costs_only_a_warning() {
    for damage in [A, A + 40, B, B + 40, SLOT_1, SLOT_2] {
        let (disks, group) = two_disks();
        let newer = with_volume(&group, "w");
        commit(&disks, &newer, 2);
        disks[0].flip_bit(damage);
        let chosen = choose(group.id, &disks).unwrap();
        assert_eq!(
            (chosen.group, chosen.generation),
            (newer, Generation::new(2)),
            "{damage}"
        );
        assert_eq!(chosen.present.len(), 2);
    }
}

#[test]
fn damage_to_the_newest_copy_is_told_with_the_device_and_the_disk_is_outdated() {
    let (disks, group) = two_disks();
    // Generation 1 went to superblock B and slot 2.
    disks[1].flip_bit(SLOT_2);
    let chosen = choose(group.id, &disks).unwrap();
    assert_eq!(chosen.outdated, [label(&disks[1]).disk()]);
    assert!(
        chosen
            .warnings
            .iter()
            .any(|w| w.starts_with("/dev/sd1: ") && w.contains("checksum")),
        "{:?}",
        chosen.warnings
    );
    disks[0].flip_bit(B + 30);
    let err = choose(group.id, &disks).unwrap_err();
    assert_eq!(err.kind(), Kind::Unsafe, "{err}");
}

#[test]
fn a_configuration_that_was_prepared_and_given_up_is_no_damage() {
    let (disks, group) = two_disks();
    commit(&disks, &with_volume(&group, "w"), 2);
    let mut members = members(&disks);
    drop(prepare(&mut members, &with_volume(&group, "x"), Generation::new(3)).unwrap());
    let chosen = choose(group.id, &disks).unwrap();
    assert_eq!(
        (chosen.generation, chosen.warnings),
        (Generation::new(2), vec![])
    );
}

/// What was read a while ago counts only as long as nothing newer is there, whoever wrote it.
#[test]
fn a_label_is_current_until_anything_follows_it() {
    let (disks, group) = two_disks();
    let patience = std::time::Duration::from_secs(1);
    let is_current = |ram: &Ram, label: &meta::Label| {
        assert!(meta::begin_check(ram, patience));
        meta::is_current(ram, label)
    };
    let known = label(&disks[0]);
    assert_eq!(is_current(&disks[0], &known), Some(true));
    assert_eq!(is_current(&disks[1], &known), Some(false), "another disk");
    // A configuration that is not in force does not count.
    let mut members = members(&disks);
    drop(prepare(&mut members, &with_volume(&group, "x"), Generation::new(2)).unwrap());
    assert_eq!(is_current(&disks[0], &known), Some(true));
    let newest = disks[0].get(B, 4096);
    disks[0].flip_bit(B + 40);
    assert_eq!(is_current(&disks[0], &known), Some(false), "damaged");
    disks[0].set(B, &newest);
    // Another version of the program has written the other superblock.
    let older = disks[0].get(A, 4096);
    forge(&disks[0], A, 16, &9u32.to_le_bytes());
    assert_eq!(is_current(&disks[0], &known), Some(false));
    disks[0].set(A, &older);
    assert_eq!(is_current(&disks[0], &known), Some(true));
    commit(&disks, &with_volume(&group, "w"), 2);
    assert_eq!(is_current(&disks[0], &known), Some(false));
    let known = label(&disks[0]);
    assert_eq!(is_current(&disks[0], &known), Some(true));
    disks[0].fail(Faults {
        reads: true,
        ..Faults::default()
    });
    assert_eq!(is_current(&disks[0], &known), None);
    disks[0].fail(Faults::default());
    wipe_disk(&disks[0]).unwrap();
    assert_eq!(is_current(&disks[0], &known), Some(false));
}

#[test]
fn both_superblocks_damaged_is_a_refusal_in_words() {
    let (disks, _) = two_disks();
    disks[0].flip_bit(A + 50);
    disks[0].flip_bit(B + 50);
    assert!(meta::is_ours(&disks[0]));
    let err = read_disk(&disks[0]).unwrap_err();
    assert_eq!(err.kind(), Kind::Unsafe);
    assert!(
        err.message().contains("superblock A") && err.message().contains("superblock B"),
        "{err}"
    );
    assert!(err.hint_text(&Native).is_some());
}

#[test]
fn superblocks_that_contradict_each_other_are_refused() {
    let (disks, _) = two_disks();
    forge(&disks[0], A, 40, &[9; 16]);
    assert_eq!(read_disk(&disks[0]).unwrap_err().kind(), Kind::Unsafe);
}

/// What a disk that is being resized looks like after a crash: the newer superblock has more space
/// than the other one, and the configuration not more than either.
#[test]
fn superblocks_may_differ_in_the_space_for_volumes_alone() {
    let (disks, group) = two_disks();
    let size = read_disk(&disks[0])
        .unwrap()
        .unwrap()
        .geometry()
        .data_size();
    forge(&disks[0], A, 88, &(size.bytes() - 4096).to_le_bytes());
    let label = read_disk(&disks[0]).unwrap().unwrap();
    assert_eq!(
        (label.geometry().data_size(), label.highest()),
        (size, Generation::new(1))
    );
    assert_eq!(label.geometry().grown(disks[0].size()), None);
    assert_eq!(
        label
            .geometry()
            .grown(disks[0].size() + (1 << 20))
            .map(|g| g.data_size()),
        Some(size.saturating_add(Sectors::MIB))
    );
    assert_eq!(choose(group.id, &disks).unwrap().group, group);
    // Where the space begins is no matter of size.
    forge(&disks[0], A, 80, &(6u64 << 20).to_le_bytes());
    forge(&disks[0], A, 88, &(1u64 << 20).to_le_bytes());
    assert_eq!(read_disk(&disks[0]).unwrap_err().kind(), Kind::Unsafe);
}

#[test]
fn a_disk_that_has_shrunk_says_so() {
    let (disks, group) = two_disks();
    disks[0].shrink(4096);
    let err = read_disk(&disks[0]).unwrap_err();
    assert_eq!(err.kind(), Kind::Unsafe);
    assert!(err.message().contains("the device has shrunk"), "{err}");
    assert!(
        err.hint_text(&Native)
            .is_some_and(|hint| hint.contains("as large as it was")),
        "{err:?}"
    );
    assert_eq!(
        choose(group.id, &disks).unwrap().missing,
        [group.disks[0].id]
    );
}

#[test]
fn the_newest_generation_on_any_disk_wins_and_the_others_are_outdated() {
    let (disks, group) = two_disks();
    let newer = with_volume(&group, "w");
    commit(&disks[1..], &newer, 2);
    let chosen = choose(group.id, &disks).unwrap();
    assert_eq!(
        (chosen.group, chosen.generation, chosen.next),
        (newer.clone(), Generation::new(2), Generation::new(3))
    );
    assert_eq!(chosen.outdated, [newer.disks[0].id]);
    assert!(
        chosen.warnings[0].contains("/dev/sd0") && chosen.warnings[0].contains("generation 1"),
        "{:?}",
        chosen.warnings
    );
    commit(&disks, &newer, 3);
    let healed = choose(group.id, &disks).unwrap();
    assert_eq!((healed.outdated, healed.warnings), (vec![], vec![]));
}

#[test]
fn the_next_generation_is_newer_than_anything_seen_readable_or_not() {
    let (disks, group) = two_disks();
    commit(&disks[..1], &with_volume(&group, "w"), 2);
    disks[0].flip_bit(SLOT_1);
    let chosen = choose(group.id, &disks).unwrap();
    assert_eq!(
        (chosen.generation, chosen.next),
        (Generation::new(1), Generation::new(3))
    );
}

#[test]
fn missing_disks_are_named_and_no_majority_is_needed() {
    let (disks, group) = two_disks();
    let chosen = choose(group.id, &disks[1..]).unwrap();
    assert_eq!(
        (chosen.missing, chosen.present),
        (vec![group.disks[0].id], vec![(group.disks[1].id, 0)])
    );
    assert_eq!(chosen.group, group);
    assert_eq!(
        choose(GroupId::random(), &disks).unwrap_err().kind(),
        Kind::NotFound
    );
}

#[test]
fn a_split_brain_is_refused_and_names_both_sides() {
    let (disks, group) = two_disks();
    commit(&disks[..1], &with_volume(&group, "left"), 2);
    commit(&disks[1..], &with_volume(&group, "right"), 2);
    let err = choose(group.id, &disks).unwrap_err();
    assert_eq!(err.kind(), Kind::Unsafe);
    assert!(
        err.message().contains("/dev/sd0")
            && err.message().contains("/dev/sd1")
            && err.hint_text(&Native).is_some(),
        "{err}"
    );
    // One side alone is as good as ever.
    assert!(choose(group.id, &disks[..1]).is_ok());
}

#[test]
fn a_split_brain_one_generation_back_is_refused_too() {
    let (disks, group) = two_disks();
    let left = with_volume(&group, "left");
    commit(&disks[..1], &left, 2);
    commit(&disks[..1], &with_volume(&left, "left2"), 3);
    commit(&disks[1..], &with_volume(&group, "right"), 2);
    assert_eq!(choose(group.id, &disks).unwrap_err().kind(), Kind::Unsafe);
}

#[test]
fn a_dd_clone_is_refused_and_both_devices_are_named() {
    let (mut disks, group) = two_disks();
    disks.push(disks[0].dd());
    let err = choose(group.id, &disks).unwrap_err();
    assert_eq!(err.kind(), Kind::Unsafe);
    assert!(
        err.message().contains("/dev/sd0") && err.message().contains("/dev/sd2"),
        "{err}"
    );
    assert!(err.hint_text(&Native).is_some());
}

#[test]
fn a_clone_of_a_disk_that_was_being_added_is_refused_too() {
    let (mut disks, group) = two_disks();
    disks.push(fresh());
    disks.push(disks[2].dd());
    let larger = with_disk(&group, &disks[2]);
    commit(&disks[..2], &larger, 2);
    assert_eq!(choose(group.id, &disks).unwrap_err().kind(), Kind::Unsafe);
}

fn with_disk(group: &Group, ram: &Ram) -> Group {
    let mut larger = group.clone();
    let label = label(ram);
    let (data_start, size) = (label.geometry().data_start(), label.geometry().data_size());
    larger.disks.push(Disk {
        id: label.disk(),
        media: name("added"),
        data_start,
        size,
    });
    larger
}

#[test]
fn a_disk_that_was_being_added_in_a_crash_belongs_to_the_group() {
    let (mut disks, group) = two_disks();
    disks.push(fresh());
    let larger = with_disk(&group, &disks[2]);
    commit(&disks[..2], &larger, 2);
    let chosen = choose(group.id, &disks).unwrap();
    assert_eq!(chosen.present.len(), 3);
    assert_eq!(chosen.outdated, [larger.disks[2].id]);
    commit(&disks, &chosen.group, 3);
    assert_eq!(label(&disks[2]).group(), Some(group.id));
}

#[test]
fn a_disk_that_was_removed_while_away_is_left_alone() {
    let (disks, group) = two_disks();
    let mut smaller = group.clone();
    smaller.disks.pop();
    commit(&disks[..1], &smaller, 2);
    let chosen = choose(group.id, &disks).unwrap();
    let removed = group.disks[1].id;
    assert_eq!(
        (chosen.strangers, chosen.present.len(), chosen.outdated),
        (vec![removed], 1, vec![])
    );
    assert!(chosen.warnings[0].contains("/dev/sd1"));
    let err = prepare(&mut members(&disks), &smaller, Generation::new(3))
        .err()
        .unwrap();
    assert_eq!(err.kind(), Kind::Unsafe, "never healed back");
}

#[test]
fn a_disk_that_left_gets_a_new_identity_and_old_configurations_do_not_claim_it() {
    let (disks, group) = two_disks();
    let mut smaller = group.clone();
    smaller.disks.remove(0);
    smaller.volumes.clear();
    commit(&disks[1..], &smaller, 2);
    let freed = format_disk(&disks[0], DiskId::random(), AREA).unwrap();
    assert_ne!(freed.disk(), group.disks[0].id);
    let chosen = choose(group.id, &disks).unwrap();
    assert_eq!(
        (chosen.present.len(), chosen.strangers, chosen.warnings),
        (1, vec![], vec![])
    );
}

#[test]
fn a_disk_that_another_group_took_is_missing_here() {
    let (disks, group) = two_disks();
    let raw = disks[1].dd();
    let id = label(&raw).disk();
    format_disk(&raw, id, AREA).unwrap();
    let mut other = group_on(std::slice::from_ref(&raw));
    other.name = name("other");
    commit(std::slice::from_ref(&raw), &other, 1);
    let chosen = choose(group.id, &[disks[0].clone(), raw]).unwrap();
    assert_eq!((chosen.missing, chosen.warnings.len()), (vec![id], 1));
}

#[test]
fn a_newer_version_on_any_disk_is_a_refusal_and_not_a_fallback() {
    for position in [A, B] {
        let (disks, group) = two_disks();
        commit(&disks, &with_volume(&group, "w"), 2);
        forge(&disks[1], position, 16, &2u32.to_le_bytes());
        let err = choose(group.id, &disks).unwrap_err();
        assert_eq!(err.kind(), Kind::Unsupported);
        assert!(err.message().contains("/dev/sd1"), "{err}");
    }
    let (disks, _) = two_disks();
    for position in [A, B] {
        forge(&disks[0], position, 24, &1u64.to_le_bytes());
    }
    assert!(label(&disks[0]).written_by_newer().is_some());
    assert!(
        label(&disks[0]).group().is_some(),
        "it is still known whose disk it is"
    );
    let (data_start, nonsense) = (80, 3u64.to_le_bytes());
    forge(&disks[0], A, data_start, &nonsense);
    forge(&disks[0], B, data_start, &nonsense);
    assert_eq!(read_disk(&disks[0]).unwrap_err().kind(), Kind::Unsupported);
}

/// Replaces the newest payload (superblock B, slot 2 after one commit) by this one, all checksums
/// right.
fn replant(ram: &Ram, json: &str) {
    replant_at(ram, B, SLOT_2, json);
}

fn replant_at(ram: &Ram, position: u64, slot: u64, json: &str) {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, json.as_bytes()).unwrap();
    let payload = gzip.finish().unwrap();
    ram.set(slot, &payload);
    forge(ram, position, 112, &(payload.len() as u64).to_le_bytes());
    forge(ram, position, 120, &crc32c::crc32c(&payload).to_le_bytes());
}

#[test]
fn a_newer_payload_is_a_refusal_and_a_hostile_one_a_warning() {
    let (disks, group) = two_disks();
    replant(&disks[0], r#"{"breakoff":6,"secrets":[]}"#);
    let err = choose(group.id, &disks).unwrap_err();
    assert_eq!(err.kind(), Kind::Unsupported, "{err}");
    replant(&disks[0], r#"{"breakoff":1,"generation":1}"#);
    let chosen = choose(group.id, &disks).unwrap();
    assert_eq!(
        (&chosen.group, &chosen.outdated),
        (&group, &vec![group.disks[0].id])
    );
    assert!(
        chosen
            .warnings
            .iter()
            .any(|w| w.contains("/dev/sd0") && w.contains("cannot be trusted")),
        "{:?}",
        chosen.warnings
    );
}

#[test]
fn a_payload_of_another_group_or_generation_is_not_believed() {
    for (generation, other_id) in [(2, false), (1, true)] {
        let (disks, group) = two_disks();
        let mut planted = with_volume(&group, "planted");
        if other_id {
            planted.id = GroupId::random();
        }
        replant(
            &disks[0],
            &meta::dump(&planted, Generation::new(generation)).unwrap(),
        );
        assert_eq!(choose(group.id, &disks).unwrap().group, group);
        assert_eq!(
            choose(group.id, &disks[..1]).unwrap_err().kind(),
            Kind::Unsafe
        );
    }
}

#[test]
fn a_copy_on_a_disk_that_it_does_not_list_is_not_believed() {
    let (disks, group) = two_disks();
    let mut without = group.clone();
    without.disks.remove(0);
    without.volumes.clear();
    commit(&disks[1..], &group, 2);
    commit(&disks[..1], &group, 3);
    // Generation 3 on disk 0 now says that disk 0 is not in the group.
    replant_at(
        &disks[0],
        A,
        SLOT_1,
        &meta::dump(&without, Generation::new(3)).unwrap(),
    );
    assert_eq!(
        choose(group.id, &disks).unwrap().generation,
        Generation::new(2)
    );
}

#[test]
fn a_copy_planted_on_a_disk_that_it_does_not_list_does_not_spoil_the_others() {
    let (mut disks, group) = two_disks();
    let (planted, _) = two_disks();
    for position in [A, B] {
        planted[0].set(position, &disks[0].get(position, 4096));
        forge(
            &planted[0],
            position,
            40,
            &label(&planted[1]).disk().bytes(),
        );
    }
    planted[0].set(SLOT_2, &disks[0].get(SLOT_2, 4096));
    disks.push(planted[0].clone());
    let chosen = choose(group.id, &disks).unwrap();
    assert_eq!(
        (chosen.group, chosen.strangers),
        (group, vec![label(&planted[1]).disk()])
    );
}

#[test]
fn a_label_that_divides_the_disk_differently_is_refused() {
    let (disks, group) = two_disks();
    for position in [A, B] {
        forge(&disks[0], position, 80, &(2u64 << 20).to_le_bytes());
        forge(&disks[0], position, 88, &(6u64 << 20).to_le_bytes());
    }
    let err = choose(group.id, &disks).unwrap_err();
    assert_eq!(err.kind(), Kind::Unsafe, "{err}");
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn any_damage_to_one_disk_never_costs_the_configuration(
        places in prop::collection::vec((4096u64..65536, any::<u8>()), 1..200),
        start in prop::sample::select(vec![A, B, SLOT_1, SLOT_2]),
        length in 0usize..5000,
    ) {
        let (disks, group) = two_disks();
        let newer = with_volume(&group, "w");
        commit(&disks, &newer, 2);
        for (at, byte) in places {
            disks[0].set(at, &[byte]);
        }
        disks[0].set(start, &vec![0xa5; length]);
        let chosen = choose(group.id, &disks).unwrap();
        prop_assert_eq!((chosen.group, chosen.generation), (newer, Generation::new(2)));
    }

    #[test]
    fn forged_superblocks_never_panic(
        fields in prop::collection::vec((16usize..124, prop::collection::vec(any::<u8>(), 1..9)), 1..6),
        position in prop::sample::select(vec![A, B]),
    ) {
        let (disks, group) = two_disks();
        for (offset, bytes) in fields {
            forge(&disks[0], position, offset, &bytes);
        }
        if let Ok(chosen) = choose(group.id, &disks) {
            prop_assert_eq!(chosen.group, group);
        }
    }
}
