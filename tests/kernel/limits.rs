//! Limits of names and numbers, met on the real kernel.

use crate::support::block;
use crate::support::lab::{dm_name, until};
use crate::support::plexes;
use crate::support::writer::{Style, Writer};

/// The most plexes of a volume, as in VxVM.
const MAX_PLEXES: usize = 32;
/// The most legs that the kernel takes in one mirror.
const KERNEL_LEGS: usize = 9;

#[test]
fn more_legs_than_one_kernel_mirror_takes() {
    let lab = lab!(["mirror"], [4; KERNEL_LEGS + 2]);
    let disks: Vec<String> = lab
        .disks
        .iter()
        .zip(1..)
        .map(|(d, n)| format!("d{n}={}", d.word()))
        .collect();
    lab.cli(&format!("group create g --area 64k {}", disks.join(" ")))
        .ok();
    let made = lab.cli(&format!(
        "-g g make v 1m --no-log --mirrors {}",
        KERNEL_LEGS + 1
    ));
    if made.status == 0 {
        until("all plexes are in sync", || {
            lab.print("g")
                .volume("v")
                .plexes
                .iter()
                .all(|p| p.sync.as_ref().is_some_and(|s| s.done == s.total))
        });
        Writer::start_filled(lab.device("g", "v"), 0, 64, Style::default())
            .stop()
            .verify(lab.device("g", "v"));
        plexes::assert_equal(&lab, "g", "v");
    } else {
        assert!(
            lab.print("g").volumes.is_empty(),
            "refused before any change: {made}"
        );
        made.says(&KERNEL_LEGS.to_string());
        lab.cli(&format!("-g g make v 1m --no-log --mirrors {KERNEL_LEGS}"))
            .ok();
        lab.wait_synced("g", "v");
        lab.cli("-g g snapstart v").exits(6);
    }
    lab.finish();
}

#[test]
fn the_33rd_plex_is_refused() {
    let lab = lab!(["mirror"], [4; MAX_PLEXES + 1]);
    let disks: Vec<String> = lab
        .disks
        .iter()
        .zip(1..)
        .map(|(d, n)| format!("d{n}={}", d.word()))
        .collect();
    lab.cli(&format!("group create g --area 64k {}", disks.join(" ")))
        .ok();
    lab.cli("-g g make v 1m --mirrors 33").exits(2);
    lab.cli("-g g make v 1m --no-log").ok();
    lab.cli(&format!("-g g snapstart --mirrors {MAX_PLEXES} v"))
        .exits(6)
        .says(&MAX_PLEXES.to_string());
    lab.cli(&format!("-g g snapstart --mirrors {} v", MAX_PLEXES - 1))
        .ok();
    lab.cli("-g g snapstart v")
        .exits(6)
        .says(&MAX_PLEXES.to_string());
    assert_eq!(lab.print("g").volume("v").plexes.len(), MAX_PLEXES);
    plexes::assert_equal(&lab, "g", "v");
    lab.finish();
}

#[test]
fn the_longest_names_work_and_longer_ones_are_refused_before_any_change() {
    let lab = lab!(["mirror"], [32, 32, 32]);
    let (group, volume, snapshot) = ("g".repeat(63), "v".repeat(63), "s".repeat(63));
    lab.create_group(&group);
    lab.cli(&format!("-g {group} make {} 4m", "v".repeat(64)))
        .exits(2);
    lab.cli(&format!("-g {group} make a{} 4m", "-".repeat(62)))
        .exits(2);
    lab.cli(&format!("-g {group} make {volume} 4m --mirrors 2"))
        .ok();
    lab.wait_synced(&group, &volume);
    lab.cli(&format!("-g {group} snapstart {volume}")).ok();
    let before = lab.print(&group);
    lab.cli(&format!("-g {group} snapshot {volume}")).exits(2); // SNAP-vvv… is too long
    assert_eq!(lab.print(&group), before);

    lab.cli(&format!("-g {group} snapshot {volume} --name {snapshot}"))
        .ok();
    assert_eq!(block::size(lab.device(&group, &snapshot)).unwrap(), 4 << 20);
    assert!(lab.dm.exists(&dm_name(&group, &volume)));
    lab.cli(&format!("-g {group} rename {snapshot} x")).ok();
    lab.finish();
}

#[test]
fn dashes_in_names_are_told_apart() {
    let lab = lab!(["linear"], [16, 16]);
    lab.cli(&format!("group create a-b {}", lab.disks[0].word()))
        .ok();
    lab.cli(&format!("group create a {}", lab.disks[1].word()))
        .ok();
    lab.cli("-g a-b make c 2m").ok();
    lab.cli("-g a make b-c 2m").ok();
    assert!(lab.device("a-b", "c").exists() && lab.device("a", "b-c").exists());
    assert_ne!(lab.device("a-b", "c"), lab.device("a", "b-c"));
    assert_eq!(lab.print("a").names(), ["b-c"]);
    lab.finish();
}

#[test]
fn a_volume_may_not_take_the_name_of_an_inner_device() {
    let lab = lab!(["mirror"], [32, 32]);
    lab.create_group("g");
    lab.cli("-g g make v 4m --mirrors 2").ok();
    until("it is recorded that the plexes are equal", || {
        lab.print("g").volume("v").state == "ACTIVE"
    });
    let before = lab.print("g");
    lab.cli("-g g make v_v-01 2m").exits(4);
    lab.cli("-g g make v_log 2m").exits(4);
    assert_eq!(lab.print("g"), before);
    lab.cli("-g g make v_old 2m").ok();
    lab.finish();
}

#[test]
fn a_foreign_device_with_the_name_is_not_taken_over() {
    let lab = lab!(["linear"], [16]);
    lab.create_group("g");
    lab.dm.create("g-v", "BOTEST-somebody-else").unwrap();
    lab.cli("-g g make v 2m").exits(4);
    assert!(lab.print("g").volumes.is_empty());
    assert_eq!(lab.dm.info("g-v").unwrap().uuid, "BOTEST-somebody-else");
    lab.dm.remove("g-v").unwrap();
    lab.cli("-g g make v 2m").ok();
    lab.finish();
}
