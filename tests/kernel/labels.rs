//! Labels that are rewritten: a group of copies beside its original, and a disk whose label was
//! destroyed.

use crate::support::child::{killed_at, tool};
use crate::support::fs::{mkfs_ext4, uuid};
use crate::support::lab::Lab;
use crate::support::writer::{Style, Writer};
use crate::support::{MIB, block, plexes, udev};
use std::path::PathBuf;

/// Copies the first disks to those that follow them, byte by byte.
fn copy(lab: &Lab, count: usize) {
    for at in 0..count {
        let bytes = lab.disks[at].raw(0, lab.disks[at].size);
        block::write_direct(lab.disks[at + count].path(), 0, &bytes).unwrap();
    }
    udev::settle();
}

fn words(lab: &Lab, which: std::ops::Range<usize>) -> String {
    let words: Vec<String> = which.map(|at| lab.disks[at].word()).collect();
    words.join(" ")
}

/// What a volume holds.
fn contents(device: &PathBuf, mib: u64) -> Vec<u8> {
    block::read_direct(device, 0, mib * MIB).unwrap()
}

/// Both groups run at the same time, each on its own disks, and the links by UUID stay with the
/// original (K11).
#[test]
fn a_clone_runs_beside_its_original() {
    let lab = lab!(["mirror"], [24, 24, 24, 24]);
    lab.create_group_of("g", 0..2);
    lab.cli("-g g make fs 8m --on disk01").ok();
    lab.cli("-g g make v 8m --mirrors 2").ok();
    lab.wait_synced("g", "v");
    mkfs_ext4(&lab.device("g", "fs"));
    let load = Writer::start_filled(lab.device("g", "v"), 0, 256, Style::default());
    load.goes_on(20);
    let written = load.stop();
    written.verify(lab.device("g", "v"));
    let link = format!("/dev/disk/by-uuid/{}", uuid(&lab.device("g", "fs")));
    udev::settle();
    let original = udev::target("/dev/mapper/g-fs");
    assert!(original.is_some() && udev::target(&link) == original);
    copy(&lab, 2);
    let refusal = lab.refuses(9, "-g g print");
    let hint = format!("{:?}", refusal.hint);
    assert!(
        hint.contains("breakoff group import g --clone NEW"),
        "{hint}"
    );

    let before = contents(&lab.device("g", "v"), 8);
    let clone = format!("group import g --clone c {}", words(&lab, 2..4));
    lab.cli(&format!("--dry-run {clone}"))
        .ok()
        .says("what is on it stays");
    // The disks themselves, and a copy alone.
    lab.refuses(
        4,
        &format!("group import g --clone c {}", words(&lab, 0..2)),
    );
    lab.refuses(
        9,
        &format!("group import g --clone c {}", words(&lab, 2..3)),
    );
    lab.cli(&clone).ok();
    lab.cli("-g c start --all").ok();
    lab.wait_synced("c", "v");
    udev::settle();
    assert_eq!(udev::target(&link), original);
    assert_eq!(uuid(&lab.device("c", "fs")), uuid(&lab.device("g", "fs")));
    tool(
        "udevadm",
        &["trigger", "--action=change", "--settle", "/dev/mapper/c-fs"],
    )
    .ok();
    lab.cli("-g c rename fs other").ok();
    lab.cli("-g c stop other").ok();
    lab.cli("-g c start other").ok();
    udev::settle();
    assert_eq!(udev::target(&link), udev::target("/dev/mapper/g-fs"));

    // What is written to the one does not show in the other.
    assert!(
        contents(&lab.device("c", "v"), 8) == before,
        "the copy holds what was copied"
    );
    plexes::assert_equal(&lab, "c", "v");
    let load = Writer::start_filled(lab.device("g", "v"), 0, 256, Style::default());
    load.goes_on(20);
    assert!(contents(&lab.device("c", "v"), 8) == before);
    let other = Writer::start_filled(lab.device("c", "v"), 0, 256, Style::default());
    other.goes_on(20);
    load.goes_on(20);
    other.stop().verify(lab.device("c", "v"));
    load.stop().verify(lab.device("g", "v"));
    plexes::assert_equal(&lab, "g", "v");
    lab.finish();
}

/// VxVM's words, killed before each change: the copies are none that anybody uses until the words
/// are repeated.
#[test]
fn an_interrupted_clone_is_finished_by_the_same_words() {
    let lab = lab!(["mirror"], [16, 16, 16, 16]);
    lab.create_group_of("g", 0..2);
    lab.cli("-g g make v 4m --mirrors 2").ok();
    lab.wait_synced("g", "v");
    copy(&lab, 2);
    let clone = format!("group import g --clone c {}", words(&lab, 2..4));
    let mut unfinished = 0;
    for n in 1.. {
        let output = killed_at(n, &clone);
        udev::settle();
        let listed = lab.json("group list");
        let mut groups = listed["groups"].as_array().unwrap().iter();
        let clone = groups.find(|group| group["name"] == "c");
        match clone.and_then(|clone| clone["state"].as_str()) {
            None => {}
            Some("unfinished") => {
                unfinished += 1;
                assert_ne!(lab.cli("-g c start --all").status, 0);
            }
            // Killed behind the commit, it is done, and the words are refused from then on.
            Some("imported") => {
                assert!(n > 6 && [0, 137].contains(&output.status), "{n}: {output}");
                break;
            }
            other => panic!("{n}: {other:?}"),
        }
        lab.cli("recover").ok();
        assert!(n < 100, "it does not come to an end");
    }
    assert!(unfinished > 0);
    lab.cli("-g c start --all").ok();
    lab.cli("-g g print").ok();
    lab.cli("-g c stop --all").ok();
    lab.cli("-y group destroy c").ok();
    copy(&lab, 2);
    lab.vx("vxdg -o useclonedev=on -o updateid -n again import g")
        .ok();
    lab.vx("vxvol -g again startall").ok();
    plexes::assert_equal(&lab, "again", "v");
    lab.finish();
}

/// Somebody has written zeroes over a label while nothing ran.
#[test]
fn a_label_that_was_destroyed_is_written_again() {
    let lab = lab!(["mirror"], [24, 24, 24]);
    lab.create_group_of("g", 0..3);
    lab.cli("-g g make m 8m --mirrors 2 --on disk01,disk02")
        .ok();
    lab.cli("-g g make alone 8m --on disk02").ok();
    lab.wait_synced("g", "m");
    let load = Writer::start_filled(lab.device("g", "alone"), 0, 256, Style::default());
    load.goes_on(20);
    let written = load.stop();
    lab.cli("-g g stop --all").ok();
    let destroy = || {
        block::write_direct(lab.disks[1].path(), 0, &vec![0; 4 << 20]).unwrap();
        udev::settle();
    };
    destroy();
    assert_ne!(lab.cli("-g g start alone").status, 0);
    let restore = format!("group restore-label g disk02 {}", lab.disks[1].word());
    let refusal = lab.refuses(9, &restore);
    assert!(refusal.message.contains("alone"), "{refusal:?}");
    lab.refuses(
        4,
        &format!("group restore-label g disk02 {}", lab.disks[2].word()),
    );
    lab.cli(&format!("--dry-run {restore} --data-is-intact"))
        .ok();
    lab.cli(&format!("{restore} --data-is-intact")).ok();
    lab.cli("-g g start --all").ok();
    written.verify(lab.device("g", "alone"));
    plexes::assert_equal(&lab, "g", "m");
    udev::settle();
    assert_eq!(
        udev::property(lab.disks[1].path(), "ID_FS_TYPE").as_deref(),
        Some("breakoff_member")
    );

    // The rest goes on without it: what is on it counts for nothing then.
    lab.cli("-g g stop --all").ok();
    lab.cli("-y -g g remove alone").ok();
    destroy();
    lab.cli("-g g start m").ok();
    lab.refuses(9, &format!("{restore} --data-is-intact"));
    for n in 1.. {
        if killed_at(n, &restore).status == 0 {
            break;
        }
        let states: Vec<String> = lab
            .print("g")
            .volume("m")
            .plexes
            .iter()
            .map(|p| p.state.clone())
            .collect();
        assert!(
            !states.iter().all(|state| state == "ACTIVE"),
            "{n}: {states:?}"
        );
        // Either it is done, or the same words do it; and once more from the beginning.
        let again = lab.cli(&restore).status;
        assert!([0, 4].contains(&again), "{n}: {again}");
        lab.cli("-g g stop m").ok();
        destroy();
        lab.cli("-g g start m").ok();
        assert!(n < 100, "it does not come to an end");
    }
    lab.cli("-g g plex attach m-02").ok();
    plexes::assert_equal(&lab, "g", "m");
    lab.finish();
}
