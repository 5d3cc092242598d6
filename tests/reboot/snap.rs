//! What a reboot and a power cut leave of volumes and their legs. The tests run outside and boot a
//! VM several times on the same disks; `guest_side` is what they run inside.

use crate::support::MIB;
use crate::support::disk::Fault;
use crate::support::lab::{Lab, until};
use crate::support::machine::{Machine, cut_the_power, note, noted, over_a_power_cut, phase};
use crate::support::plexes;
use crate::support::stamp::{Area, Expectation};
use crate::support::writer::{Style, Writer};
use std::time::Duration;

/// All volumes here; the writer writes to their last MiB but one, which is where a sync can be held
/// up.
const SIZE: u64 = 32 * MIB;
const AREA: Area = Area {
    writer: 1,
    first: (SIZE - 2 * MIB) / 4096,
    blocks: 256,
};
const DURABLE: Style = Style {
    dsync: true,
    pause: Duration::ZERO,
};

#[test]
fn a_snapstart_cut_short_by_a_power_cut_is_undone_at_boot() {
    over_a_power_cut(
        "a_snapstart_cut_short_by_a_power_cut_is_undone_at_boot",
        2,
        ["snapstart, cut short", "after the snapstart"],
    );
}

#[test]
fn a_snapdone_leg_survives_a_clean_stop_as_it_is_and_is_resynchronised_after_a_crash() {
    let name = "a_snapdone_leg_survives_a_clean_stop_as_it_is_and_is_resynchronised_after_a_crash";
    let Some(mut machine) = Machine::new(name, 2) else {
        return;
    };
    machine.boot("snapdone, clean stop");
    machine.boot_until_power_cut("snapdone, cut under a writer");
    machine.boot("snapdone after a crash");
}

#[test]
fn a_mirror_becomes_equal_again_after_a_power_cut_and_its_snapshot_stays() {
    let boots = [
        "mirror and snapshot, cut under a writer",
        "mirror after a crash",
    ];
    over_a_power_cut(
        "a_mirror_becomes_equal_again_after_a_power_cut_and_its_snapshot_stays",
        3,
        boots,
    );
}

/// What runs in the VM.
#[test]
fn guest_side() {
    let Some(phase) = phase() else { return };
    match phase.as_str() {
        "snapstart, cut short" => snapstart_cut_short(),
        "after the snapstart" => after_the_snapstart(),
        "snapdone, clean stop" => snapdone_clean_stop(),
        "snapdone, cut under a writer" => snapdone_cut_under_a_writer(),
        "snapdone after a crash" => snapdone_after_a_crash(),
        "mirror and snapshot, cut under a writer" => mirror_and_snapshot(),
        "mirror after a crash" => mirror_after_a_crash(),
        other => panic!("there is no '{other}'"),
    }
}

fn lab(disks: usize) -> Lab {
    Lab::over(
        "guest",
        &["mirror", "delay"],
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

/// A writer as in [`AREA`], each block written once.
fn busy(lab: &Lab) -> Writer {
    Writer::start_filled(lab.device("g", "v"), AREA.first, AREA.blocks, DURABLE)
}

/// All that was acknowledged when it was noted, and perhaps more.
fn at_least(noted_as: &str) -> Expectation {
    Expectation {
        area: AREA,
        acked: noted(noted_as),
        issued: u64::MAX,
    }
}

// ---------------------------------------------------------------------------- snapstart, cut short

fn snapstart_cut_short() {
    let mut lab = lab(2);
    lab.create_group("g");
    lab.cli("-g g make v 32m").ok();
    note("free", lab.print("g").free());
    let load = busy(&lab);
    lab.pause_end_of_leg("g", "disk02", SIZE);
    lab.cli("-g g snapstart -b v").ok();
    assert_eq!(states(&lab), ["ACTIVE", "SNAPATT"]);
    note("acked", load.fork().acked);
    cut_the_power();
}

fn after_the_snapstart() {
    let lab = lab(2);
    lab.cli("start --auto").ok();
    assert_eq!(states(&lab), ["ACTIVE"]);
    assert_eq!(lab.print("g").free(), noted::<u64>("free"));
    at_least("acked").verify(lab.device("g", "v"));
    lab.cli("start --auto").ok();
    lab.finish();
}

// -------------------------------------------------------------------------- SNAPDONE over a reboot

fn snapdone_clean_stop() {
    let lab = lab(2);
    lab.fill_with_noise();
    lab.create_group("g");
    lab.cli("-g g make v 32m").ok();
    lab.cli("-g g snapstart v").ok();
    lab.cli("-g g stop --all").ok();
    std::mem::forget(lab); // its disks are for the next boot
}

fn snapdone_cut_under_a_writer() {
    let mut lab = lab(2);
    // A resync could not end.
    let disk = lab.pause_end_of_leg("g", "disk02", SIZE);
    lab.cli("start --auto").ok();
    assert_eq!(states(&lab), ["ACTIVE", "SNAPDONE"]);
    assert!(lab.dm.mirrors("g-v")[0].in_sync(), "{}", lab.dm.dump());
    lab.heal(disk);

    let load = busy(&lab);
    load.goes_on(20);
    lab.pause_end_of_leg("g", "disk02", SIZE);
    until("a write has reached one leg only", || {
        load.is_held(Duration::from_millis(500))
    });
    note("acked", load.fork().acked);
    cut_the_power();
}

fn snapdone_after_a_crash() {
    let mut lab = lab(2);
    let group = lab.print("g");
    let plexes = &group.volume("v").plexes;
    let (one, other) = (
        plexes::bytes(&lab, &group, &plexes[0]),
        plexes::bytes(&lab, &group, &plexes[1]),
    );
    assert!(
        one != other,
        "the legs are equal: there is nothing to be seen"
    );

    let disk = lab.pause_end_of_leg("g", "disk02", SIZE);
    lab.cli("start --auto").ok();
    assert!(
        !states(&lab).contains(&"SNAPDONE".to_owned()),
        "it counts before it is in sync: {:?}",
        states(&lab)
    );
    lab.cli("-g g snapshot v").exits(5);
    at_least("acked").verify(lab.device("g", "v"));
    lab.heal(disk);
    lab.cli("-g g snapwait v").ok();
    assert_eq!(states(&lab), ["ACTIVE", "SNAPDONE"]);
    plexes::assert_equal(&lab, "g", "v");
    lab.cli("-g g snapshot v").ok();
    at_least("acked").verify(lab.device("g", "SNAP-v"));
    lab.finish();
}

// -------------------------------------------------------------- a mirror and a broken-off snapshot

fn mirror_and_snapshot() {
    let mut lab = lab(3);
    lab.fill_with_noise();
    lab.create_group("g");
    lab.cli("-g g make v 32m --mirrors 2 --on disk01,disk02")
        .ok();
    lab.wait_synced("g", "v");
    let load = busy(&lab);
    lab.cli("-g g snapstart v").ok();
    let split = load.fork_during(|| drop(lab.cli("-g g snapshot v").ok()));
    note("split_acked", split.acked);
    note("split_issued", split.issued);
    load.goes_on(20);

    let group = lab.print("g");
    let (disk, range) = plexes::range(&lab, &group, group.volume("v").plex("v-02"));
    lab.fault_in(disk, range, Fault::Paused);
    until("a write has reached one leg only", || {
        load.is_held(Duration::from_millis(500))
    });
    note("acked", load.fork().acked);
    cut_the_power();
}

fn mirror_after_a_crash() {
    let lab = lab(3);
    let group = lab.print("g");
    let plexes = &group.volume("v").plexes;
    let (one, other) = (
        plexes::bytes(&lab, &group, &plexes[0]),
        plexes::bytes(&lab, &group, &plexes[1]),
    );
    assert!(
        one != other,
        "the legs are equal: there is nothing to be seen"
    );

    lab.cli("start --auto").ok();
    at_least("acked").verify(lab.device("g", "v"));
    lab.wait_synced("g", "v");
    plexes::assert_equal(&lab, "g", "v");
    at_least("acked").verify(lab.device("g", "v"));

    assert_eq!(
        lab.print("g").volume("SNAP-v").snapshot_of.as_deref(),
        Some("v")
    );
    let split = Expectation {
        area: AREA,
        acked: noted("split_acked"),
        issued: noted("split_issued"),
    };
    split.verify(lab.device("g", "SNAP-v"));
    lab.finish();
}
