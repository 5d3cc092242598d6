//! A snapshot is split off with its disk, used on another machine and brought back; and a machine that
//! died with a group imported does not touch it again when another one has taken it over. The tests run
//! outside and boot VMs with different identities on the same disks; `guest_side` is what they run
//! inside.

use crate::support::MIB;
use crate::support::lab::Lab;
use crate::support::machine::{Machine, as_another_machine, cut_the_power, note, noted, phase};
use crate::support::plexes;
use crate::support::tracked::{SIZE, contents, copied, scribble, snapback, split};

/// What is written to `v` and to `s`: before they are parted, and while they are.
const HERE: [[u64; 2]; 2] = [[0, 3 * MIB], [5 * MIB, 11 * MIB + 8192]];
const THERE: [[u64; 2]; 2] = [[8 * MIB, 3 * MIB + 4096], [13 * MIB, SIZE - 4096]];

#[test]
fn a_snapshot_goes_to_another_machine_and_comes_back_with_what_has_changed() {
    let Some(mut machine) = Machine::new(
        "a_snapshot_goes_to_another_machine_and_comes_back_with_what_has_changed",
        3,
    ) else {
        return;
    };
    machine.boot("split and deported");
    // Only its disk is there, under another name.
    machine.without(&[0, 2]);
    machine.boot("used elsewhere");
    machine.without(&[]);
    machine.boot("joined and brought back");
}

#[test]
fn a_machine_that_died_does_not_start_what_another_one_has_taken_over() {
    let Some(mut machine) = Machine::new(
        "a_machine_that_died_does_not_start_what_another_one_has_taken_over",
        2,
    ) else {
        return;
    };
    machine.boot_until_power_cut("dies with the group");
    machine.boot("takes it over");
    machine.boot("returns");
}

/// What runs in the VM.
#[test]
fn guest_side() {
    let Some(phase) = phase() else { return };
    match phase.as_str() {
        "split and deported" => split_and_deported(),
        "used elsewhere" => used_elsewhere(),
        "joined and brought back" => joined_and_brought_back(),
        "dies with the group" => dies_with_the_group(),
        "takes it over" => takes_it_over(),
        "returns" => returns(),
        other => panic!("there is no '{other}'"),
    }
}

fn lab(disks: usize) -> Lab {
    let devices = ["/dev/vda", "/dev/vdb", "/dev/vdc"];
    Lab::over("guest", &["mirror", "era", "zero"], &devices[..disks]).unwrap()
}

fn checksum(lab: &Lab, group: &str, volume: &str) -> u32 {
    let device = lab.device(group, volume);
    let bytes = crate::support::block::read_direct(device, 0, SIZE).unwrap();
    crc32c::crc32c(&bytes)
}

fn split_and_deported() {
    let lab = lab(3);
    split(&lab);
    scribble(&lab, "v", &HERE[0], 1);
    scribble(&lab, "s", &THERE[0], 10);
    note("snapshot", crc32c::crc32c(&contents(&lab, "s")));
    // It may be refused while somebody has the snapshot open, and v is never in the way.
    lab.cli("group split g n s --stopped").ok();
    lab.cli("group deport n").ok();
    scribble(&lab, "v", &HERE[1], 20);
    let told = lab.cli("-g g snapprint v").ok();
    told.says("n/s");
    lab.cli("-g g stop --all").ok();
    std::mem::forget(lab); // its disks are for the next boot
}

fn used_elsewhere() {
    as_another_machine();
    let lab = lab(1);
    lab.cli("start --auto").ok();
    assert!(!lab.dm.exists("n-s"), "it is not this machine's yet");
    lab.cli("group import n").ok();
    lab.cli("-g n start s").ok();
    assert_eq!(
        checksum(&lab, "n", "s"),
        noted::<u32>("snapshot"),
        "it has what it had"
    );
    for (n, at) in THERE[1].iter().enumerate() {
        let block = crate::support::block::noise(30 + n as u64, 4096);
        crate::support::block::write_direct(lab.device("n", "s"), *at, &block).unwrap();
    }
    let why = lab.refuses(5, "-g n snapback s");
    assert!(why.message.contains("'g/v'"), "{why:?}");
    lab.cli("-g n stop s").ok();
    lab.cli("group deport n").ok();
    std::mem::forget(lab);
}

fn joined_and_brought_back() {
    let lab = lab(3);
    lab.cli("start --auto").ok();
    assert!(lab.dm.exists("g-v") && !lab.dm.exists("n-s"));
    let original = crc32c::crc32c(&contents(&lab, "v"));
    lab.cli("group import n").ok();
    lab.cli("group join n g").ok();
    assert_eq!(lab.print("g").names(), ["s", "v"]);
    lab.cli("-g g start s").ok();
    let expected = copied([HERE.concat(), THERE.concat()].concat());
    let told = snapback(&lab, "s");
    assert_eq!(told["to_copy"].as_u64(), Some(expected), "{told}");
    plexes::assert_equal(&lab, "g", "v");
    assert_eq!(crc32c::crc32c(&contents(&lab, "v")), original);
    lab.finish();
}

fn dies_with_the_group() {
    let lab = lab(2);
    lab.create_group("g");
    lab.cli("-g g make v 16m --mirrors 2").ok();
    scribble(&lab, "v", &HERE[0], 1);
    cut_the_power();
}

fn takes_it_over() {
    as_another_machine();
    let lab = lab(2);
    lab.cli("start --auto").ok();
    assert!(!lab.dm.exists("g-v"), "another machine has it");
    let why = lab.refuses(9, "group import g");
    let host = "01234567-89ab-cdef-0123-456789abcdef";
    assert!(why.message.contains(host), "who has it: {why:?}");
    lab.cli("group import g --force").ok();
    lab.cli("-g g start v").ok();
    scribble(&lab, "v", &HERE[1], 20);
    note("now", crc32c::crc32c(&contents(&lab, "v")));
    lab.cli("-g g stop v").ok();
    std::mem::forget(lab);
}

/// The group is the other machine's, which may be using it.
fn returns() {
    let lab = lab(2);
    lab.cli("start --auto").ok();
    lab.cli("recover").ok();
    assert!(!lab.dm.exists("g-v"), "nothing of it is started");
    for words in ["-g g start v", "-g g make x 1m", "group deport g"] {
        let why = lab.refuses(9, words);
        assert!(
            why.hint.is_some_and(|hint| hint.contains("--force")),
            "{words}"
        );
    }
    lab.cli("group list").ok().says("foreign");
    // It was given up there for good.
    lab.cli("group import g --force").ok();
    lab.cli("-g g start v").ok();
    assert_eq!(crc32c::crc32c(&contents(&lab, "v")), noted::<u32>("now"));
    lab.finish();
}
