//! Snapshots that come back: what is copied is what has changed on either side, the leg is equal
//! afterwards, and the next snapshot can be taken; restores serve the snapshot's contents at once.

use crate::support::MIB;
use crate::support::block::{self, Aligned};
use crate::support::child::{DEADLINE, stopped_at};
use crate::support::disk::Fault;
use crate::support::fs::{FileLoad, Mounted, e2fsck, mkfs_ext4, needs_recovery};
use crate::support::lab::{Lab, until};
use crate::support::plexes;
use crate::support::sample::steps;
use crate::support::tracked::{
    REGION, SIZE, contents, copied, copying, detail, scribble, snapback, snapback_step_by_step,
    split, written,
};
use crate::support::writer::{Style, Writer};
use nix::mount::MsFlags;
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

/// The one relation there is.
fn relation(lab: &Lab) -> serde_json::Value {
    lab.json("-g g snapprint")["relations"][0].clone()
}

/// The ranges in which snapshot `s` and its original may differ: offset and length.
fn changed_ranges(lab: &Lab) -> Vec<(u64, u64)> {
    let changed = lab.json("-g g snapprint --changed-ranges s")["changed_ranges"].clone();
    let number = |value: &serde_json::Value| value.as_u64().unwrap();
    changed["ranges"]
        .as_array()
        .unwrap()
        .iter()
        .map(|range| (number(&range["offset"]), number(&range["length"])))
        .collect()
}

#[test]
fn what_differs_is_told_to_the_block() {
    const BLOCK: u64 = 64 << 10;
    let lab = lab!(["mirror", "era", "zero"], [64, 64, 64]);
    split(&lab);
    assert_eq!(
        relation(&lab)["dirty_bytes"],
        serde_json::json!({"original": 0, "snapshot": 0, "union": 0})
    );
    assert_eq!(
        (
            relation(&lab)["percent_dirty"].as_u64(),
            changed_ranges(&lab)
        ),
        (Some(0), Vec::new())
    );

    scribble(&lab, "v", &[0, 3 * MIB + 4096], 1);
    scribble(&lab, "s", &[3 * MIB + 8192, 8 * MIB, SIZE - 4096], 10);
    let told = relation(&lab);
    assert_eq!(
        told["dirty_bytes"],
        serde_json::json!({"original": 2 * BLOCK, "snapshot": 3 * BLOCK, "union": 4 * BLOCK})
    );
    assert_eq!(
        (
            told["tracked"].as_bool(),
            told["percent_dirty"].as_u64(),
            &told["reason"]
        ),
        (Some(true), Some(2), &serde_json::Value::Null)
    );
    let ranges = vec![
        (0, BLOCK),
        (3 * MIB, BLOCK),
        (8 * MIB, BLOCK),
        (SIZE - BLOCK, BLOCK),
    ];
    assert_eq!(changed_ranges(&lab), ranges);
    let text: String = ranges
        .iter()
        .map(|(offset, length)| format!("{offset} {length}\n"))
        .collect();
    assert_eq!(
        lab.cli("-g g snapprint --changed-ranges s").ok().stdout,
        text
    );

    // Outside of them both hold the same.
    let (original, snapshot) = (contents(&lab, "v"), contents(&lab, "s"));
    let blocks = original
        .chunks(BLOCK as usize)
        .zip(snapshot.chunks(BLOCK as usize));
    let differ: Vec<(u64, u64)> = (0..)
        .zip(blocks)
        .filter(|(_, (a, b))| a != b)
        .map(|(n, _)| (n * BLOCK, BLOCK))
        .collect();
    assert_eq!(differ, ranges);

    lab.cli("-g g stop --all").ok();
    lab.cli("-g g snapprint --changed-ranges s")
        .exits(5)
        .says("not started");
    assert_eq!(relation(&lab)["dirty_bytes"], serde_json::Value::Null);
    lab.cli("-g g start --all").ok();
    assert_eq!(changed_ranges(&lab), ranges);

    lab.cli("-g g fast-resync off v").ok();
    lab.cli("-g g snapprint --changed-ranges s")
        .exits(5)
        .says("fast-resync is or was off");
    let told = relation(&lab);
    assert_eq!(
        (told["tracked"].as_bool(), told["reason"].as_str()),
        (Some(false), Some("fast-resync is or was off"))
    );
    lab.cli("-g g snapprint --changed-ranges v")
        .exits(5)
        .says("no snapshot");
    lab.finish();
}

/// Overwrites the beginning of the map on each of these disks, or what follows it.
fn spoil(lab: &Lab, copies: &[(usize, std::ops::Range<u64>)], with: &[u8], from: u64) {
    for (disk, range) in copies {
        block::write_direct(lab.disks[*disk].path(), range.start + from, with).unwrap();
    }
}

/// Where in a map it begins to say which of its blocks are free: superblock, space map, index,
/// first bitmap.
fn free_blocks(lab: &Lab, (disk, range): &(usize, std::ops::Range<u64>)) -> u64 {
    let number = |block: u64, at: usize| {
        let bytes =
            block::read_direct(lab.disks[*disk].path(), range.start + block * 4096, 4096).unwrap();
        u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
    };
    let index = number(0, 44 + 16);
    number(index, 16) * 4096
}

/// Nothing is believed of a map that is not what it was; the volume is started all the same.
#[test]
fn a_map_that_is_damaged_is_not_believed() {
    let lab = lab!(["mirror", "era", "zero"], [64, 64, 64]);
    split(&lab);
    let copies = map_copies(&lab, "g-v_map--0");
    assert_eq!(copies.len(), 2);
    let garbage = block::noise(99, 4096);
    // Blank, as a new map is; overwritten; whole at its beginning only; whole but for what tells
    // which blocks are free, of which the kernel finds out when it begins an era; and one copy of
    // the two, which is no reason for anything.
    let length = usize::try_from(copies[0].1.end - copies[0].1.start).unwrap();
    let rest = block::noise(98, length - 4096);
    let cases: [(&[u8], Option<u64>, usize); 5] = [
        (&[0; 4096], Some(0), 2),
        (&garbage, Some(0), 2),
        (&rest, Some(4096), 2),
        (&garbage, None, 2),
        (&garbage, Some(0), 1),
    ];
    for (round, (with, from, count)) in (0u64..).zip(cases) {
        let copies = map_copies(&lab, "g-v_map--0");
        scribble(&lab, "v", &[5 * MIB], 10 * round + 1);
        scribble(&lab, "s", &[9 * MIB], 10 * round + 2);
        until("both copies hold the same", || {
            lab.dm.mirrors("g-v_map--0")[0].in_sync()
        });
        lab.cli("-g g stop --all").ok();
        spoil(
            &lab,
            &copies[..count],
            with,
            from.unwrap_or_else(|| free_blocks(&lab, &copies[0])),
        );
        lab.cli("-g g start --all").ok();
        if count == 2 {
            let told = relation(&lab);
            assert_eq!(told["tracked"].as_bool(), Some(false), "{from:?}");
            assert!(
                told["reason"].as_str().unwrap().contains("damaged"),
                "{told}"
            );
        } else {
            assert_eq!(changed_ranges(&lab).len(), 2);
        }
        lab.cli("-g g snapback s").ok();
        plexes::assert_equal(&lab, "g", "v");
        lab.cli("-g g snapshot v --name s").ok();
        assert_eq!(relation(&lab)["tracked"].as_bool(), Some(true));
    }
    lab.finish();
}

#[test]
fn exactly_what_has_changed_on_either_side_is_copied() {
    let lab = lab!(["mirror", "era", "zero"], [64, 64, 64]);
    split(&lab);
    let few = vec![0, 4096, 3 * MIB + 8192, SIZE - 4096];
    let scattered: Vec<u64> = (0..12).map(|n| n * 1_310_720 / 4096 * 4096).collect();
    let all: Vec<u64> = (0..SIZE / REGION)
        .map(|n| n * REGION + 4096 * (n % 60))
        .collect();
    let none = Vec::new();
    let other = vec![5 * MIB, 9 * MIB + 4096];
    let beside: Vec<u64> = (0..7).map(|n| 6 * MIB + n * REGION).collect();
    let cases: [(&str, &Vec<u64>, &Vec<u64>); 9] = [
        ("none", &none, &none),
        ("few on the original", &few, &none),
        ("few on the snapshot", &none, &few),
        ("few on both", &few, &other),
        ("scattered on the original", &scattered, &none),
        ("scattered on the snapshot", &none, &scattered),
        ("one beside the other", &beside, &few),
        ("all on the original", &all, &few),
        ("none again", &none, &none),
    ];
    for (seed, (case, original, snapshot)) in cases.into_iter().enumerate() {
        scribble(&lab, "v", original, 100 * seed as u64);
        scribble(&lab, "s", snapshot, 100 * seed as u64 + 50);
        let expected = copied(original.iter().chain(snapshot).copied());
        let to_copy = snapback(&lab, "s")["to_copy"].as_u64();
        assert_eq!(to_copy, Some(expected), "{case}");
        assert_eq!(
            written("g-v_v--02"),
            expected,
            "{case}: the kernel's own count"
        );
        plexes::assert_equal(&lab, "g", "v");
        assert_eq!(
            lab.print("g").volume("v").states(),
            ["ACTIVE", "SNAPDONE"],
            "{case}"
        );
        lab.cli("-g g snapshot v --name s").ok();
    }
    lab.finish();
}

#[test]
fn what_a_writer_changes_meanwhile_is_copied_too() {
    let lab = lab!(["mirror", "era", "zero"], [64, 64, 64]);
    split(&lab);
    scribble(&lab, "s", &[MIB, 7 * MIB], 7);
    // Over the whole volume, each block in its turn: between the listing and the window it comes to
    // regions that the first log has not.
    let load = Writer::start(
        lab.device("g", "v"),
        0,
        SIZE / 4096,
        Style {
            dsync: false,
            pause: Duration::ZERO,
        },
    );
    for _ in 0..3 {
        load.goes_on(60);
        lab.cli("-g g snapback s").ok();
        load.goes_on(20);
        lab.cli("-g g snapshot v --name s").ok();
    }
    lab.cli("-g g snapback s").ok();
    load.stop().verify(lab.device("g", "v"));
    plexes::assert_equal(&lab, "g", "v");
    lab.finish();
}

/// What a backup does night after night: the original stays mounted and busy all the while.
#[test]
fn backups_of_a_busy_mounted_filesystem_by_one_leg_that_comes_and_goes() {
    let lab = lab!(["mirror", "era", "zero"], [64, 64]);
    lab.fill_with_noise();
    lab.create_group("g");
    lab.cli("-g g make v 24m --on disk01").ok();
    mkfs_ext4(&lab.device("g", "v"));
    let mounted = Mounted::ext4(&lab.device("g", "v"));
    let constant = block::noise(42, 4 * MIB as usize);
    fs::write(mounted.at.join("constant"), &constant).unwrap();
    let load = FileLoad::start(&mounted.at);
    load.goes_on(30);
    lab.cli("-g g snapstart v --on disk02").ok();
    for night in 1..=2 {
        fs::write(mounted.at.join("night"), night.to_string()).unwrap();
        lab.cli("-g g snapshot v --name s").ok();
        fs::write(mounted.at.join("night"), "over").unwrap();
        let snapshot = lab.device("g", "s");
        e2fsck(&snapshot).ok();
        assert!(!needs_recovery(&snapshot), "night {night}");
        let backup = Mounted::new(&snapshot, "ext4", MsFlags::MS_RDONLY, None);
        assert_eq!(
            fs::read_to_string(backup.at.join("night")).unwrap(),
            night.to_string()
        );
        assert!(
            fs::read(backup.at.join("constant")).unwrap() == constant,
            "night {night}"
        );
        backup.unmount();
        load.goes_on(50);
        let change = lab.json("-g g snapback s")["changes"][0].clone();
        assert_eq!(
            change["tracked"].as_str(),
            Some("yes"),
            "night {night}: {change}"
        );
        assert!(
            change["to_copy"]
                .as_u64()
                .is_some_and(|bytes| bytes > 0 && bytes < 24 * MIB),
            "night {night}: {change}"
        );
        assert_eq!(
            lab.print("g").volume("v").states(),
            ["ACTIVE", "SNAPDONE"],
            "night {night}"
        );
        load.goes_on(10);
    }
    load.stop();
    mounted.unmount();
    e2fsck(&lab.device("g", "v")).ok();
    plexes::assert_equal(&lab, "g", "v");
    lab.finish();
}

#[test]
fn a_restore_serves_the_snapshot_at_once() {
    let lab = lab!(["mirror", "era", "zero"], [64, 64, 64]);
    split(&lab);
    let before = contents(&lab, "s");
    scribble(&lab, "v", &[0, 2 * MIB, 9 * MIB + 4096], 1);
    assert_eq!(
        lab.refuses(9, "-g g snapback --from snapshot s").kind,
        "unsafe"
    );
    let copied = detail(&lab, "-y -g g snapback -b --from snapshot s", "to_copy");
    assert_eq!(copied.as_u64(), Some(3 * REGION));
    plexes::assert_same("v", &contents(&lab, "v"), "the snapshot", &before);
    scribble(&lab, "v", &[5 * MIB], 9);
    let restored = contents(&lab, "v");
    lab.cli("-g g snapwait v").ok();
    assert_eq!(lab.print("g").volume("v").states(), ["ACTIVE", "SNAPDONE"]);
    assert_eq!(lab.print("g").names(), ["v"]);
    plexes::assert_equal(&lab, "g", "v");
    plexes::assert_same(
        "v",
        &contents(&lab, "v"),
        "what it was restored to",
        &restored,
    );
    // It is a leg again, ready for the next snapshot.
    lab.cli("-g g snapshot v --name s").ok();
    assert_eq!(relation(&lab)["tracked"].as_bool(), Some(true));
    plexes::assert_same("s", &contents(&lab, "s"), "what v holds", &restored);
    lab.finish();
}

#[test]
fn a_restore_is_done_by_the_start_that_a_boot_makes() {
    let lab = lab!(["mirror", "era", "zero"], [64, 64, 64]);
    split(&lab);
    let snapshot = contents(&lab, "s");
    scribble(&lab, "v", &[0, 2 * MIB, 9 * MIB + 4096], 1);
    let original = contents(&lab, "v");
    lab.cli("-g g snapback --from snapshot --keep --at-boot s")
        .ok()
        .says("is going to be restored from 'g/s' when this machine boots");
    assert_eq!(relation(&lab)["at_boot"], "keep");
    plexes::assert_same("v", &contents(&lab, "v"), "what it holds now", &original);
    lab.cli("-g g stop --all").ok();
    lab.cli("-g g start --all").ok();
    plexes::assert_same("v", &contents(&lab, "v"), "what it held", &original);

    lab.cli("-g g stop --all").ok();
    lab.cli("start --auto").ok().says("g/v exchanged");
    plexes::assert_same("v", &contents(&lab, "v"), "the snapshot before", &snapshot);
    plexes::assert_same("s", &contents(&lab, "s"), "the original before", &original);
    assert_eq!(relation(&lab)["at_boot"], serde_json::Value::Null);

    // And back, without anything that is kept.
    lab.cli("-g g snapback --from snapshot --at-boot s").ok();
    lab.cli("-g g stop --all").ok();
    lab.cli("start --auto").ok().says("g/v restoring");
    plexes::assert_same("v", &contents(&lab, "v"), "the snapshot before", &original);
    lab.cli("-g g snapwait v").ok();
    plexes::assert_equal(&lab, "g", "v");
    lab.finish();
}

#[test]
fn a_restore_can_keep_the_old_contents() {
    let lab = lab!(["mirror", "era", "zero"], [64, 64, 64]);
    split(&lab);
    scribble(&lab, "v", &[0, 2 * MIB], 1);
    scribble(&lab, "s", &[4 * MIB], 2);
    let (v, s) = (contents(&lab, "v"), contents(&lab, "s"));
    lab.cli("-y -g g snapback --from snapshot --keep s").ok();
    plexes::assert_same("v", &contents(&lab, "v"), "the snapshot before", &s);
    plexes::assert_same("s", &contents(&lab, "s"), "the original before", &v);
    // The relation goes on: what differs is still known.
    let copied = detail(&lab, "-g g snapback s", "to_copy");
    assert_eq!(copied.as_u64(), Some(3 * REGION));
    plexes::assert_equal(&lab, "g", "v");
    lab.finish();
}

/// What it has beyond the plexes that change hands stays with it, and gets what has changed.
#[test]
fn a_mirror_that_changes_places_with_its_snapshot_stays_a_mirror() {
    let lab = lab!(["mirror", "era", "zero"], [64, 64, 64, 64]);
    lab.fill_with_noise();
    lab.create_group("g");
    lab.cli("-g g make v 16m --mirrors 2 --on disk01,disk02")
        .ok();
    lab.wait_synced("g", "v");
    lab.cli("-g g snapstart v --mirrors 2").ok();
    lab.cli("-g g snapshot v --name s").ok();
    scribble(&lab, "v", &[0, 2 * MIB], 1);
    scribble(&lab, "s", &[4 * MIB], 2);
    let (v, s) = (contents(&lab, "v"), contents(&lab, "s"));
    let command = "-y -g g snapback --from snapshot --keep s";
    lab.cli(&format!("--dry-run {command}"))
        .ok()
        .says("are copied to v-02, v-04, which 'g/v' keeps");
    assert_eq!(detail(&lab, command, "to_copy").as_u64(), Some(3 * REGION));
    let after = lab.print("g");
    assert_eq!(
        (after.volume("v").states(), after.volume("s").states()),
        (vec!["ACTIVE", "ACTIVE", "SNAPDONE"], vec!["ACTIVE"])
    );
    plexes::assert_same("v", &contents(&lab, "v"), "the snapshot before", &s);
    plexes::assert_same("s", &contents(&lab, "s"), "the original before", &v);
    plexes::assert_equal(&lab, "g", "v");
    // The relation goes on, and the leg is ready.
    assert_eq!(
        detail(&lab, "-g g snapback s", "to_copy").as_u64(),
        Some(3 * REGION)
    );
    plexes::assert_equal(&lab, "g", "v");
    lab.finish();
}

/// An automounter, for one: the volume was closed when the command was checked, and is not any more
/// when it is carried out.
#[test]
fn what_is_opened_at_the_last_moment_is_not_overwritten() {
    let lab = lab!(["mirror", "era", "zero"], [64, 64]);
    split(&lab);
    scribble(&lab, "v", &[0, 2 * MIB], 1);
    let (v, s) = (contents(&lab, "v"), contents(&lab, "s"));
    for (words, opened) in [("--keep s", "v"), ("--keep s", "s"), ("s", "v")] {
        let refused = steps(1, 16).take_while(|n| {
            let mut running = stopped_at(*n, &format!("-y -g g snapback --from snapshot {words}"));
            if !running.stops() {
                // It has no more changes than that.
                running.wait(DEADLINE).ok();
                return false;
            }
            let opener = fs::File::open(lab.device("g", opened)).unwrap();
            running.signal(libc::SIGCONT);
            let output = running.wait(DEADLINE);
            println!(
                "'{opened}' opened before change {n}: status {} {}",
                output.status,
                output.stderr.lines().last().unwrap_or_default()
            );
            drop(opener);
            if output.status != 0 {
                assert_eq!(output.status, 4, "{output}");
                plexes::assert_same("v", &contents(&lab, "v"), "what it held", &v);
                plexes::assert_same("s", &contents(&lab, "s"), "what it held", &s);
            }
            output.status != 0
        });
        assert!(refused.count() > 0, "'{words}' was never refused");
        plexes::assert_same("v", &contents(&lab, "v"), "the snapshot", &s);
        if lab.print("g").names().contains(&"s") {
            lab.cli("-y -g g snapback --from snapshot --keep s").ok();
        }
    }
    plexes::assert_equal(&lab, "g", "v");
    lab.finish();
}

#[test]
fn several_snapshots_have_starting_points_of_their_own() {
    let lab = lab!(["mirror", "era", "zero"], [64, 64, 64]);
    split(&lab);
    scribble(&lab, "v", &[0], 1);
    lab.cli("-g g snapstart v --on disk03").ok();
    lab.cli("-g g snapshot v --name t").ok();
    scribble(&lab, "v", &[3 * MIB, 6 * MIB], 2);
    lab.cli("-g g stop --all").ok();
    lab.cli("-g g start --all").ok();
    lab.cli("-g g rename v w").ok();
    scribble(&lab, "w", &[9 * MIB], 3);
    assert_eq!(
        detail(&lab, "-g g snapback t", "to_copy").as_u64(),
        Some(3 * REGION),
        "since the second split"
    );
    assert_eq!(
        detail(&lab, "-g g snapback s", "to_copy").as_u64(),
        Some(4 * REGION),
        "since the first one"
    );
    plexes::assert_equal(&lab, "g", "w");
    lab.finish();
}

/// The map of a volume of this size takes several blocks, and the kernel is at work on them all the
/// while.
#[test]
fn a_listing_lacks_nothing_while_a_large_volume_is_written() {
    const LARGE: u64 = 256 * MIB;
    const BLOCK: u64 = 64 << 10;
    let lab = lab!(["mirror", "era", "zero"], [288, 288]);
    lab.create_group("g");
    lab.cli("-g g make v 256m --on disk01").ok();
    lab.cli("-g g snapstart v --on disk02").ok();
    lab.cli("-g g snapshot v --name s").ok();
    let place = |n: u64| n * 1597 % (LARGE / BLOCK) * BLOCK;
    let file = block::open_direct(lab.device("g", "v"), false).unwrap();
    let (written, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let write = || {
        let buffer = Aligned::new(4096);
        for n in (0..).take_while(|_| !over.load(SeqCst)) {
            file.write_all_at(buffer.bytes(), place(n)).unwrap();
            written.store(n + 1, SeqCst);
        }
    };
    let mut lacking = Vec::new();
    thread::scope(|scope| {
        scope.spawn(write);
        for round in 1..=8 {
            until("it goes on", || written.load(SeqCst) > 200 * round);
            let before = written.load(SeqCst);
            let ranges = changed_ranges(&lab);
            let is_in = |at: &u64| {
                ranges
                    .iter()
                    .any(|(offset, length)| (*offset..offset + length).contains(at))
            };
            lacking.extend((0..before).map(place).filter(|at| !is_in(at)));
        }
        over.store(true, SeqCst);
    });
    assert!(
        lacking.is_empty(),
        "{} places are not in the list: {lacking:?}",
        lacking.len()
    );
    println!("{} writes", written.load(SeqCst));
    drop(file);
    lab.cli("-g g snapback s").ok();
    plexes::assert_equal(&lab, "g", "v");
    lab.finish();
}

#[test]
fn what_is_not_tracked_is_copied_whole_and_said_why() {
    let lab = lab!(["mirror", "era", "zero"], [64, 64, 64]);
    split(&lab);
    lab.cli("-g g fast-resync off v").ok();
    let first = lab.json("-g g snapback s")["changes"][0].clone();
    assert_eq!(first["to_copy"].as_u64(), Some(SIZE));
    assert_eq!(first["tracked"].as_str(), Some("no"));
    assert!(
        first["reason"].as_str().unwrap().contains("fast-resync"),
        "{first}"
    );
    plexes::assert_equal(&lab, "g", "v");
    lab.finish();
}

#[test]
fn discards_do_not_reach_a_volume_that_is_tracked() {
    let lab = lab!(["mirror", "era", "zero"], [64, 64, 64]);
    split(&lab);
    let most = |device: &Path| {
        let number = block::number(device).unwrap();
        let setting = format!(
            "/sys/dev/block/{}:{}/queue/discard_max_bytes",
            number >> 8 & 0xfff,
            number & 0xff
        );
        fs::read_to_string(setting)
            .unwrap()
            .trim()
            .parse::<u64>()
            .unwrap()
    };
    assert!(
        most(&lab.disks[0].path()) > 0,
        "its disk takes none either: this shows nothing"
    );
    for volume in ["v", "s"] {
        assert_eq!(most(&lab.device("g", volume)), 0, "{volume}");
    }
    lab.finish();
}

#[test]
fn an_open_snapshot_and_an_open_original_are_refused() {
    let lab = lab!(["mirror", "era", "zero"], [64, 64, 64]);
    split(&lab);
    let open = fs::File::open(lab.device("g", "s")).unwrap();
    assert_eq!(lab.refuses(4, "-g g snapback s").kind, "in-use");
    drop(open);
    let open = fs::File::open(lab.device("g", "v")).unwrap();
    assert_eq!(
        lab.refuses(4, "-y -g g snapback --from snapshot s").kind,
        "in-use"
    );
    drop(open);
    assert_eq!(lab.refuses(5, "-g g grow v +4m").kind, "not-ready");
    lab.cli("-g g snapclear s").ok();
    assert_eq!(lab.refuses(5, "-g g snapback s").kind, "not-ready");
    lab.finish();
}

#[test]
fn the_first_copy_of_a_map_dies_and_the_other_one_is_enough() {
    a_copy_dies(lab!(["mirror", "era", "zero", "error"], [64, 64, 64]), 0);
}

#[test]
fn the_second_copy_of_a_map_dies_and_the_first_one_is_enough() {
    a_copy_dies(lab!(["mirror", "era", "zero", "error"], [64, 64, 64]), 1);
}

/// The next map has two copies again, without a word from anybody.
#[test]
fn a_disk_that_is_replaced_gets_its_copies_of_the_maps() {
    let lab = lab!(["mirror", "era", "zero"], [64, 64, 64, 64]);
    lab.fill_with_noise();
    lab.create_group_of("g", 0..3);
    lab.cli("-g g make v 16m --on disk01").ok();
    lab.cli("-g g snapstart v --on disk02").ok();
    let disks_of_copies = || {
        lab.cli("-g g snapshot v --name s").ok();
        assert_eq!(relation(&lab)["tracked"].as_bool(), Some(true));
        let disks = |map: &str| -> Vec<usize> {
            map_copies(&lab, map)
                .into_iter()
                .map(|(disk, _)| disk)
                .collect()
        };
        let both = ["g-v_map--0", "g-s_map--0"].map(disks);
        scribble(&lab, "v", &[5 * MIB], 1);
        assert_eq!(
            detail(&lab, "-g g snapback s", "to_copy").as_u64(),
            Some(REGION)
        );
        plexes::assert_equal(&lab, "g", "v");
        both
    };
    assert_eq!(disks_of_copies(), [[0, 2], [1, 2]]);
    lab.cli(&format!(
        "group replace-disk g disk03 {}",
        lab.disks[3].word()
    ))
    .ok();
    assert_eq!(disks_of_copies(), [[0, 3], [1, 3]]);
    lab.finish();
}

/// Writes go on, and the next snapback knows what they were.
/// What the kernel has not noted as copied when the second, exact log is written is copied by that
/// one again: here all of it. It costs time and nothing else.
#[test]
fn what_is_copied_before_the_exact_log_is_in_use_is_copied_twice() {
    let mut lab = lab!(["mirror", "era", "zero", "delay"], [64, 64, 64]);
    split(&lab);
    let places = [0, 3 * MIB, 9 * MIB];
    scribble(&lab, "v", &places, 1);
    let group = lab.print("g");
    let (disk, leg) = plexes::range(&lab, &group, &group.volume("s").plexes[0]);
    lab.fault_in(disk, leg, Fault::PausedWrites);
    let mut was_held = false;
    snapback_step_by_step("s", || {
        // The second log is there, so the first one has been read.
        let is_written = lab.dm.exists("g-v_changes--2");
        if let Some(mirror) = copying(&lab).filter(|_| is_written && !was_held) {
            assert!(!lab.dm.mirrors(&mirror)[0].in_sync());
            lab.heal(disk);
            until("everything is copied", || {
                lab.dm.mirrors(&mirror)[0].in_sync()
            });
            was_held = true;
        }
    });
    assert!(was_held);
    assert_eq!(written("g-v_v--02"), 2 * copied(places));
    plexes::assert_equal(&lab, "g", "v");
    lab.finish();
}

#[track_caller]
fn a_copy_dies(mut lab: Lab, which: usize) {
    split(&lab);
    scribble(&lab, "v", &[5 * MIB], 1);
    let copies = map_copies(&lab, "g-v_map--0");
    assert_eq!(copies.len(), 2);
    lab.fault_in(copies[which].0, copies[which].1.clone(), Fault::Fail);
    // Blocks that are not marked yet need the map.
    let load = Writer::start_filled(lab.device("g", "v"), 0, 256, Style::default());
    load.goes_on(100);
    until("the copy is out", || {
        map_copies(&lab, "g-v_map--0").len() == 1
    });
    lab.heal(copies[which].0);
    load.stop().verify(lab.device("g", "v"));
    let first = snapback(&lab, "s");
    let expected = copied((0..256).map(|block| block * 4096).chain([5 * MIB]));
    assert_eq!(
        (first["tracked"].as_str(), first["to_copy"].as_u64()),
        (Some("yes"), Some(expected)),
        "{first}"
    );
    assert_eq!(written("g-v_v--02"), expected, "the kernel's own count");
    plexes::assert_equal(&lab, "g", "v");
    lab.finish();
}

/// Where the copies of a volume's map lie: each disk by index, with its bytes.
fn map_copies(lab: &Lab, device: &str) -> Vec<(usize, std::ops::Range<u64>)> {
    let line = lab.dm.table(device).unwrap().remove(0);
    let words: Vec<String> = line.words().iter().map(ToString::to_string).collect();
    // core 2 REGION nosync LEGS DEV OFFSET … SINK 0 1 handle_errors
    let legs: usize = words[4].parse().unwrap();
    let leg = |n: usize| {
        let (dev, offset) = (&words[5 + 2 * n], words[6 + 2 * n].parse::<u64>().unwrap());
        let is_it = |path: std::path::PathBuf| {
            let number = block::number(path).unwrap();
            format!("{}:{}", number >> 8 & 0xfff, number & 0xff) == *dev
        };
        let disk = lab
            .disks
            .iter()
            .position(|disk| is_it(disk.path()))
            .unwrap();
        (disk, offset * 512..(offset + line.length) * 512)
    };
    (0..legs - 1).map(leg).collect()
}

/// Writes wait for a moment and go on; the next snapback copies everything and says why.
#[test]
fn all_copies_of_a_map_die_and_the_volume_goes_on() {
    let mut lab = lab!(["mirror", "era", "zero", "error"], [64, 64, 64]);
    split(&lab);
    let load = Writer::start_filled(lab.device("g", "v"), 0, 256, Style::default());
    load.goes_on(30);
    let copies = map_copies(&lab, "g-v_map--0");
    assert_eq!(copies.len(), 2);
    for (disk, range) in copies.clone() {
        lab.fault_in(disk, range, Fault::Fail);
    }
    // A command does not wait for it either.
    lab.cli("-g g snapstart -b v --on disk03").ok();
    // Blocks that are marked already need no map; this one does.
    block::write_direct(lab.device("g", "v"), 12 * MIB, &block::noise(7, 4096)).unwrap();
    load.goes_on(100);
    until("the tracking is given up", || {
        !lab.dm
            .list()
            .iter()
            .any(|device| device.name == "g-v_map--0")
    });
    copies.iter().for_each(|(disk, _)| lab.heal(*disk));
    load.stop().verify(lab.device("g", "v"));
    lab.cli("-g g snapabort --all-plexes v").ok();
    let first = lab.json("-g g snapback s")["changes"][0].clone();
    assert_eq!(first["to_copy"].as_u64(), Some(SIZE));
    assert!(first["reason"].as_str().unwrap().contains("map"), "{first}");
    plexes::assert_equal(&lab, "g", "v");
    lab.finish();
}
