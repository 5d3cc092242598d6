//! What was noted of the changes of a volume and its snapshot outlives reboots and power cuts: what
//! comes back afterwards is what has changed, and no less. The tests run outside and boot a VM
//! several times on the same disks; `guest_side` is what they run inside.
//!
//! The cut kills QEMU: everything in flight is lost, but what QEMU has taken stays in the page
//! cache outside (as in `power`).

use crate::support::MIB;
use crate::support::disk::Fault;
use crate::support::lab::Lab;
use crate::support::machine::{Machine, cut_the_power, note, noted, over_a_power_cut, phase};
use crate::support::plexes;
use crate::support::stamp::{Area, Expectation};
use crate::support::tracked::{
    REGION, SIZE, contents, copied, detail, scribble, snapback, split, with_leg, written,
};
use crate::support::writer::{Style, Writer};
use std::time::Duration;

const DURABLE: Style = Style {
    dsync: true,
    pause: Duration::ZERO,
};
/// Where the writers write: one MiB of the original, and another one of the snapshot.
const ORIGINAL: Area = Area {
    writer: 1,
    first: 2 * MIB / 4096,
    blocks: 256,
};
const SNAPSHOT: Area = Area {
    writer: 2,
    first: 11 * MIB / 4096,
    blocks: 256,
};

#[test]
fn a_snapback_cut_short_by_a_power_cut_goes_on_where_it_was() {
    over_a_power_cut(
        "a_snapback_cut_short_by_a_power_cut_goes_on_where_it_was",
        2,
        ["snapback, cut short", "the copy goes on"],
    );
}

#[test]
fn a_restore_cut_short_by_a_power_cut_goes_on_where_it_was() {
    over_a_power_cut(
        "a_restore_cut_short_by_a_power_cut_goes_on_where_it_was",
        2,
        ["restore, cut short", "the restore goes on"],
    );
}

#[test]
fn what_was_written_since_the_split_is_known_after_a_power_cut() {
    let boots = ["both sides are written, cut", "both sides after the cut"];
    over_a_power_cut(
        "what_was_written_since_the_split_is_known_after_a_power_cut",
        2,
        boots,
    );
}

#[test]
fn what_was_written_since_each_split_is_known_after_a_reboot() {
    let Some(mut machine) = Machine::new(
        "what_was_written_since_each_split_is_known_after_a_reboot",
        3,
    ) else {
        return;
    };
    machine.boot("two snapshots, clean stop");
    machine.boot("two snapshots come back");
}

/// What runs in the VM.
#[test]
fn guest_side() {
    let Some(phase) = phase() else { return };
    match phase.as_str() {
        "snapback, cut short" => snapback_cut_short(),
        "the copy goes on" => the_copy_goes_on(),
        "restore, cut short" => restore_cut_short(),
        "the restore goes on" => the_restore_goes_on(),
        "both sides are written, cut" => both_sides_are_written(),
        "both sides after the cut" => both_sides_after_the_cut(),
        "two snapshots, clean stop" => two_snapshots(),
        "two snapshots come back" => two_snapshots_come_back(),
        other => panic!("there is no '{other}'"),
    }
}

fn lab(disks: usize) -> Lab {
    Lab::over(
        "guest",
        &["mirror", "era", "zero", "delay"],
        &["/dev/vda", "/dev/vdb", "/dev/vdc"][..disks],
    )
    .unwrap()
}

fn states(lab: &Lab) -> Vec<String> {
    lab.print("g")
        .volume("v")
        .states()
        .iter()
        .map(ToString::to_string)
        .collect()
}

/// All that was acknowledged when it was noted, and perhaps more.
fn at_least(area: Area, noted_as: &str) -> Expectation {
    Expectation {
        area,
        acked: noted(noted_as),
        issued: u64::MAX,
    }
}

/// A writer as in this area, each block written once.
fn busy(lab: &Lab, volume: &str, area: Area) -> Writer {
    let load = Writer::go_on_after(lab.device("g", volume), area, 0, DURABLE);
    load.wait_for(area.blocks);
    load
}

/// Slow enough that a copy of a few regions is not over when the power goes.
#[track_caller]
fn slow_down(lab: &mut Lab, volume: &str, plex: &str) {
    let group = lab.print("g");
    let (disk, range) = plexes::range(lab, &group, group.volume(volume).plex(plex));
    lab.fault_in(
        disk,
        range,
        Fault::Slow {
            read: 0,
            write: 1200,
        },
    );
}

/// What is written to the original: far enough from each other that each is copied by itself,
/// outside of the writer's area, and not in so many places that everything might be copied.
const COPIED: [u64; 8] = {
    let mut places = [0; 8];
    let mut n = 0;
    while n < 8 {
        places[n] = (4 + n as u64) * MIB;
        n += 1;
    }
    places
};
/// And to the snapshot.
const OTHERS: [u64; 3] = [MIB, 12 * MIB + 2 * REGION + 8192, COPIED[3]];

/// The places that a writer writes to.
fn places(area: Area) -> impl Iterator<Item = u64> {
    (area.first..area.first + area.blocks).map(|block| block * 4096)
}

// --------------------------------------------------------------------------- a snapback, cut short

fn snapback_cut_short() {
    let mut lab = lab(2);
    split(&lab);
    scribble(&lab, "v", &COPIED, 1);
    scribble(&lab, "s", &OTHERS, 2);
    let load = busy(&lab, "v", ORIGINAL);
    slow_down(&mut lab, "s", "v-02");
    lab.cli("-g g snapback -b s").ok();
    load.goes_on(2);
    let leg = lab.print("g").volume("v").plex("v-02").clone();
    println!("at the cut: {leg:?}");
    assert_eq!(
        states(&lab),
        ["ACTIVE", "SNAPATT"],
        "the copy is over too soon"
    );
    note("acked", load.fork().acked);
    cut_the_power();
}

fn the_copy_goes_on() {
    let lab = lab(2);
    lab.cli("start --auto").ok();
    assert_eq!(lab.print("g").names(), ["v"]);
    at_least(ORIGINAL, "acked").verify(lab.device("g", "v"));
    lab.cli("-g g snapwait v").ok();
    assert_eq!(states(&lab), ["ACTIVE", "SNAPDONE"]);
    plexes::assert_equal(&lab, "g", "v");
    at_least(ORIGINAL, "acked").verify(lab.device("g", "v"));
    // What was in flight, too.
    let (rest, most) = (
        written("g-v_v--02"),
        copied(COPIED.into_iter().chain(OTHERS).chain(places(ORIGINAL))) + 2 * REGION,
    );
    assert!(
        rest > 0 && rest <= most,
        "{rest} bytes were copied after the power cut, and {most} at most had to be"
    );
    once_more(&lab);
    lab.finish();
}

/// The next split is tracked like the first.
#[track_caller]
fn once_more(lab: &Lab) {
    lab.cli("-g g snapshot v --name t").ok();
    scribble(lab, "v", &[3 * MIB], 70);
    scribble(lab, "t", &[9 * MIB], 71);
    assert_eq!(
        detail(lab, "-g g snapback t", "to_copy").as_u64(),
        Some(2 * REGION)
    );
    plexes::assert_equal(lab, "g", "v");
}

// ---------------------------------------------------------------------------- a restore, cut short

fn restore_cut_short() {
    let mut lab = lab(2);
    split(&lab);
    scribble(&lab, "v", &COPIED, 1);
    scribble(&lab, "s", &OTHERS, 2);
    note("restored", crc32c::crc32c(&contents(&lab, "s")));
    slow_down(&mut lab, "v", "v-01");
    lab.cli("-y -g g snapback -b --from snapshot s").ok();
    let states = states(&lab);
    assert!(
        lab.print("g").names() == ["v"] && states != ["ACTIVE", "SNAPDONE"],
        "the copy is over too soon: {states:?}"
    );
    cut_the_power();
}

fn the_restore_goes_on() {
    let lab = lab(2);
    lab.cli("start --auto").ok();
    let restored = || crc32c::crc32c(&contents(&lab, "v")) == noted::<u32>("restored");
    assert!(restored(), "it does not hold what the snapshot held");
    crate::support::lab::until("both plexes are complete", || {
        states(&lab) == ["ACTIVE", "SNAPDONE"]
    });
    plexes::assert_equal(&lab, "g", "v");
    assert!(
        restored(),
        "it does not hold what the snapshot held any more"
    );
    let (rest, most) = (
        written("g-v_v--01"),
        copied(COPIED.into_iter().chain(OTHERS)),
    );
    assert!(
        rest > 0 && rest <= most,
        "{rest} bytes were copied after the power cut, and {most} at most had to be"
    );
    lab.finish();
}

// --------------------------------------------------------------- both sides are written, power cut

fn both_sides_are_written() {
    let lab = lab(2);
    with_leg(&lab);
    scribble(&lab, "v", &COPIED, 1);
    lab.cli("-g g snapshot v --name s").ok();
    let (one, other) = (busy(&lab, "v", ORIGINAL), busy(&lab, "s", SNAPSHOT));
    one.goes_on(20);
    other.goes_on(20);
    note("original", one.fork().acked);
    note("snapshot", other.fork().acked);
    cut_the_power();
}

fn both_sides_after_the_cut() {
    let lab = lab(2);
    lab.cli("start --auto").ok();
    let (original, snapshot) = (
        at_least(ORIGINAL, "original"),
        at_least(SNAPSHOT, "snapshot"),
    );
    original.verify(lab.device("g", "v"));
    snapshot.verify(lab.device("g", "s"));
    let later = [[MIB, 13 * MIB], [8 * MIB, 2 * MIB]];
    scribble(&lab, "v", &later[0], 40);
    scribble(&lab, "s", &later[1], 50);
    let expected = copied(
        places(ORIGINAL)
            .chain(places(SNAPSHOT))
            .chain(later.concat()),
    );
    assert_eq!(snapback(&lab, "s")["to_copy"].as_u64(), Some(expected));
    assert_eq!(written("g-v_v--02"), expected, "the kernel's own count");
    plexes::assert_equal(&lab, "g", "v");
    original.verify(lab.device("g", "v"));
    once_more(&lab);
    lab.finish();
}

// ------------------------------------------------------------------------ two splits, clean reboot

/// What is written to `v` after the first split, after the second, and after the reboot; and to the
/// snapshots before and after it.
const SINCE_FIRST: [u64; 2] = [0, 3 * MIB];
const SINCE_SECOND: [u64; 2] = [5 * MIB, 6 * MIB];
const SINCE_BOOT: [u64; 2] = [6 * MIB + 4096, SIZE - 4096];
const FIRST: [u64; 2] = [8 * MIB, 9 * MIB];
const SECOND: [u64; 2] = [10 * MIB, 3 * MIB + 8192];

fn two_snapshots() {
    let lab = lab(3);
    split(&lab);
    scribble(&lab, "v", &SINCE_FIRST, 1);
    scribble(&lab, "s", &FIRST[..1], 10);
    lab.cli("-g g snapstart v --on disk03").ok();
    lab.cli("-g g snapshot v --name t").ok();
    scribble(&lab, "v", &SINCE_SECOND, 20);
    scribble(&lab, "t", &SECOND[..1], 30);
    lab.cli("-g g stop --all").ok();
    std::mem::forget(lab); // its disks are for the next boot
}

fn two_snapshots_come_back() {
    let lab = lab(3);
    lab.cli("start --auto").ok();
    scribble(&lab, "v", &SINCE_BOOT, 40);
    scribble(&lab, "s", &FIRST[1..], 50);
    scribble(&lab, "t", &SECOND[1..], 60);
    let since_second = [SINCE_SECOND, SINCE_BOOT].concat();
    for (snapshot, leg, written_to) in [
        ("t", "g-v_v--03", [&since_second[..], &SECOND].concat()),
        (
            "s",
            "g-v_v--02",
            [&since_second[..], &SINCE_FIRST, &FIRST].concat(),
        ),
    ] {
        let expected = copied(written_to);
        assert_eq!(
            snapback(&lab, snapshot)["to_copy"].as_u64(),
            Some(expected),
            "{snapshot}"
        );
        assert_eq!(written(leg), expected, "{snapshot}: the kernel's own count");
        plexes::assert_equal(&lab, "g", "v");
    }
    once_more(&lab);
    lab.finish();
}
