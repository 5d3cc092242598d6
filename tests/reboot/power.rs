//! A machine that loses its power at random moments under load, boot after boot on the same disks;
//! and a leg that failed and comes back with old contents. The tests run outside and boot VMs;
//! `guest_side` is what they run inside.
//!
//! The power goes when the guest's own clock says so, whatever is being done at that moment; what
//! was acknowledged until then is told to the outside right before. The cut kills QEMU: everything
//! in flight is lost, but what QEMU has taken stays in the page cache outside. What a disk's
//! volatile cache may lose is shown by `kernel::replay` and on the fake machine.
//!
//! `BREAKOFF_SEED=N` makes other choices than seed 1; when something happens is not repeated.
//! `soak` runs for `BREAKOFF_SOAK_MINUTES` (scripts/soak).

mod book;
mod load;

use crate::support::MIB;
use crate::support::disk::Fault;
use crate::support::lab::{Lab, until};
use crate::support::machine::{Machine, cut_the_power, note, noted, over_a_power_cut, phase};
use crate::support::plexes;
use crate::support::stamp::{Area, Expectation};
use crate::support::writer::{Style, Writer};
use book::{Book, Counts};
use std::time::{Duration, Instant};

/// Boots of the test, and the longest that one is under load, in seconds. A soak goes by the clock,
/// and its boots are longer.
const BOOTS: u64 = 5;
const LOADED: u64 = 10;
const SOAKED: u64 = 40;
const LOAD: &str = "random load until the power goes";

#[test]
fn nothing_is_lost_when_the_power_goes_at_random_moments() {
    let Some(mut machine) = Machine::new(
        "nothing_is_lost_when_the_power_goes_at_random_moments",
        load::DISKS.len(),
    ) else {
        return;
    };
    let seed = seed();
    for boot in 1..=BOOTS {
        boot_once(&mut machine, seed, boot, LOADED).unwrap();
    }
    let counts = counts(&machine);
    println!("BREAKOFF_SEED={seed}: {counts}, losses 0");
    assert!(
        counts.commands > 0 && counts.verified > 0,
        "{counts}: nothing was shown"
    );
}

/// The same by the clock; the last line is the verdict.
#[test]
#[ignore = "it takes as long as one likes: scripts/soak"]
fn soak() {
    let minutes: u64 = std::env::var("BREAKOFF_SOAK_MINUTES")
        .unwrap()
        .parse()
        .unwrap();
    let end = Instant::now() + Duration::from_secs(60 * minutes);
    let mut machine = Machine::new("soak", load::DISKS.len()).unwrap();
    let seed = seed();
    let mut boot = 0;
    let verdict = loop {
        boot += 1;
        match boot_once(&mut machine, seed, boot, SOAKED) {
            Ok(()) if Instant::now() < end => println!("after boot {boot}: {}", counts(&machine)),
            verdict => break verdict,
        }
    };
    println!(
        "soak with seed {seed}: {}, losses = {}",
        counts(&machine),
        u8::from(verdict.is_err())
    );
    verdict.unwrap();
}

fn seed() -> u64 {
    let seed = std::env::var("BREAKOFF_SEED").map_or(1, |seed| seed.parse().unwrap());
    println!("BREAKOFF_SEED={seed}");
    seed
}

fn boot_once(machine: &mut Machine, seed: u64, boot: u64, longest: u64) -> Result<(), String> {
    machine.tell("seed", seed);
    machine.tell("boot", boot);
    machine.tell("longest", longest);
    machine.try_until_power_cut(LOAD)
}

fn counts(machine: &Machine) -> Counts {
    machine
        .noted("book")
        .map(|book| book.parse::<Book>().unwrap().counts)
        .unwrap_or_default()
}

/// What runs in the VM.
#[test]
fn guest_side() {
    let Some(phase) = phase() else { return };
    match phase.as_str() {
        LOAD => load::run(),
        "a plex fails, the power goes" => a_plex_fails(),
        "the plex is back with old contents" => the_plex_is_back(),
        "only the stale disk is there" => only_the_stale_disk(),
        "all disks are there again" => all_disks_again(),
        other => panic!("there is no '{other}'"),
    }
}

// ------------------------------------------------------------------------------------- a stale leg

const AREA: Area = Area {
    writer: 1,
    first: 0,
    blocks: 256,
};
const SIZE: u64 = 16 * MIB;

/// The first plex is the one that the kernel reads from, given the choice.
#[test]
fn a_leg_that_failed_and_is_back_after_a_reboot_is_never_a_source() {
    let boots = [
        "a plex fails, the power goes",
        "the plex is back with old contents",
    ];
    over_a_power_cut(
        "a_leg_that_failed_and_is_back_after_a_reboot_is_never_a_source",
        3,
        boots,
    );
}

fn three_disks() -> Lab {
    Lab::over("guest", &["mirror"], &["/dev/vda", "/dev/vdb", "/dev/vdc"]).unwrap()
}

fn states(lab: &Lab) -> Vec<String> {
    lab.print("g")
        .volume("v")
        .plexes
        .iter()
        .map(|p| p.state.clone())
        .collect()
}

fn a_plex_fails() {
    let mut lab = three_disks();
    lab.fill_with_noise();
    lab.create_group("g");
    lab.cli(&format!(
        "-g g make v {SIZE} --mirrors 2 --on disk01,disk02"
    ))
    .ok();
    lab.wait_synced("g", "v");
    let load = Writer::start_filled(
        lab.device("g", "v"),
        AREA.first,
        AREA.blocks,
        Style {
            dsync: true,
            pause: Duration::ZERO,
        },
    );
    note("before", load.fork().acked);
    lab.fault(0, Fault::Fail);
    load.goes_on(2 * AREA.blocks);
    until("it is recorded", || states(&lab) == ["FAILED", "ACTIVE"]);
    load.goes_on(50);
    note("acked", load.fork().acked);
    cut_the_power();
}

fn the_plex_is_back() {
    let lab = three_disks();
    let acked = Expectation {
        area: AREA,
        acked: noted("acked"),
        issued: u64::MAX,
    };
    let group = lab.print("g");
    let stale = AREA.found_in(&plexes::bytes(&lab, &group, group.volume("v").plex("v-01")));
    let newest = crate::support::stamp::newest(&stale);
    assert!(
        (noted("before")..acked.acked).contains(&newest),
        "the stale plex is at write {newest}: nothing is shown by it"
    );

    lab.cli("start --auto").ok();
    assert_eq!(states(&lab), ["FAILED", "ACTIVE"]);
    acked.verify(lab.device("g", "v"));
    // Nothing else brings it back, either.
    lab.cli("-g g recover").ok();
    lab.cli("-g g snapstart v --on disk03").ok();
    lab.cli("-g g snapshot v").ok();
    assert_eq!(states(&lab), ["FAILED", "ACTIVE"]);
    acked.verify(lab.device("g", "v"));
    acked.verify(lab.device("g", "SNAP-v"));

    // Nobody reads an old block while it is filled.
    let load = Writer::go_on_after(
        lab.device("g", "v"),
        AREA,
        acked.newest(lab.device("g", "v")),
        Style::default(),
    );
    lab.cli("-g g plex attach v-01").ok();
    assert_eq!(states(&lab), ["ACTIVE", "ACTIVE"]);
    load.goes_on(30);
    load.stop().verify(lab.device("g", "v"));
    plexes::assert_equal(&lab, "g", "v");
    acked.verify(lab.device("g", "SNAP-v"));
    lab.finish();
}

/// What the disk that failed knows is from before its failure: alone it must not be believed.
#[test]
fn the_disk_of_a_failed_leg_alone_starts_nothing() {
    let Some(mut machine) = Machine::new("the_disk_of_a_failed_leg_alone_starts_nothing", 3) else {
        return;
    };
    machine.boot_until_power_cut("a plex fails, the power goes");
    machine.without(&[1, 2]);
    machine.boot("only the stale disk is there");
    machine.without(&[]);
    machine.boot("all disks are there again");
}

fn only_the_stale_disk() {
    let lab = Lab::over("guest", &["mirror"], &["/dev/vda"]).unwrap();
    lab.cli("start --auto");
    assert!(!lab.device("g", "v").exists(), "{}", lab.dm.dump());
    assert_ne!(
        lab.cli("-g g make w 1m").status,
        0,
        "one of three disks takes a change"
    );
    std::mem::forget(lab); // its disk is for the next boot
}

fn all_disks_again() {
    let lab = three_disks();
    lab.cli("start --auto").ok();
    assert_eq!(states(&lab), ["FAILED", "ACTIVE"]);
    Expectation {
        area: AREA,
        acked: noted("acked"),
        issued: u64::MAX,
    }
    .verify(lab.device("g", "v"));
    lab.finish();
}
