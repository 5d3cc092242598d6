//! snapstart, snapwait, snapshot and what belongs to them, on the real kernel, under load.

use crate::support::MIB;
use crate::support::block;
use crate::support::disk::Fault;
use crate::support::fs::{FileLoad, Mounted, e2fsck, mkfs_ext4, mkfs_xfs, needs_recovery, uuid};
use crate::support::lab::{Lab, dm_name, until};
use crate::support::leaks;
use crate::support::ordered::{self, Ordered};
use crate::support::plexes;
use crate::support::pty::OnTerminal;
use crate::support::stamp::Expectation;
use crate::support::udev;
use crate::support::view::Plex;
use crate::support::writer::{Style, Writer};
use nix::mount::MsFlags;
use std::fs;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(120);

/// A group `g` on all disks and a volume `v` with so many data plexes on the first ones.
fn volume(lab: &Lab, size: &str, mirrors: usize) {
    lab.create_group("g");
    lab.cli(&format!("-g g make v {size} --mirrors {mirrors}"))
        .ok();
    if mirrors > 1 {
        lab.wait_synced("g", "v");
    }
}

/// What a volume is on which changes are tracked, and what it lies on.
fn mapped(lab: &Lab, device: &str) -> [String; 2] {
    [device.to_owned(), format!("{device}_data--0")]
        .map(|device| lab.dm.table(&device).unwrap()[0].target.clone())
}

/// Writers at the start, in the middle and at the end of a volume of 16 MiB, each block written
/// once.
fn busy(lab: &Lab, volume: &str) -> Vec<Writer> {
    let device = lab.device("g", volume);
    [0, 2000, 4096 - 128]
        .map(|first| Writer::start_filled(&device, first, 128, Style::default()))
        .into()
}

/// What a split must hold that happens while `act` runs.
fn fork(load: &[Writer], act: impl FnOnce()) -> Vec<Expectation> {
    let before: Vec<Expectation> = load.iter().map(Writer::fork).collect();
    act();
    let after = load.iter().map(Writer::fork);
    before
        .iter()
        .zip(after)
        .map(|(b, a)| Expectation {
            acked: b.acked,
            ..a
        })
        .collect()
}

fn go_on(load: &[Writer]) {
    load.iter().for_each(|w| w.goes_on(30));
}

fn stop(load: Vec<Writer>) -> Vec<Expectation> {
    load.into_iter().map(Writer::stop).collect()
}

#[track_caller]
fn verify(lab: &Lab, volume: &str, expected: &[Expectation]) {
    expected
        .iter()
        .for_each(|e| e.verify(lab.device("g", volume)));
}

fn states(lab: &Lab, volume: &str) -> Vec<String> {
    lab.print("g")
        .volume(volume)
        .states()
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn leg<'a>(plexes: &'a [Plex], state: &str) -> &'a Plex {
    plexes.iter().find(|p| p.state == state).unwrap()
}

// ------------------------------------------------------------------------------------ the main job

#[test]
fn a_snapshot_holds_the_instant_of_the_split_while_the_original_goes_on() {
    let lab = lab!(["mirror"], [32, 32]);
    lab.fill_with_noise();
    volume(&lab, "16m", 1);
    let load = busy(&lab, "v");

    lab.cli("-g g snapstart v").ok();
    assert_eq!(states(&lab, "v"), ["ACTIVE", "SNAPDONE"]);
    let expected = fork(&load, || drop(lab.cli("-g g snapshot v").ok()));
    go_on(&load);

    verify(&lab, "SNAP-v", &expected);
    let group = lab.print("g");
    let snapshot = group.volume("SNAP-v");
    assert_eq!(
        (snapshot.snapshot_of.as_deref(), snapshot.size),
        (Some("v"), 16 * MIB)
    );
    assert_eq!(snapshot.states(), ["ACTIVE"]);
    assert_eq!(group.volume("v").states(), ["ACTIVE"]);
    for name in ["v", "SNAP-v"] {
        assert_eq!(
            mapped(&lab, &dm_name("g", name)),
            ["era", "linear"],
            "{name}"
        );
    }
    let written = stop(load);
    verify(&lab, "v", &written);
    verify(&lab, "SNAP-v", &expected);
    lab.finish();
}

#[test]
fn a_snapshot_of_a_mirror_is_exact_and_leaves_the_mirror_in_sync() {
    let lab = lab!(["mirror"], [32, 32, 32]);
    lab.fill_with_noise();
    volume(&lab, "16m", 2);
    let load = busy(&lab, "v");

    lab.cli("-g g snapstart v").ok();
    go_on(&load);
    let expected = fork(&load, || {
        drop(lab.cli("-g g snapshot v --name before").ok());
    });
    go_on(&load);

    verify(&lab, "before", &expected);
    assert_eq!(mapped(&lab, "g-v"), ["era", "mirror"]);
    assert!(lab.dm.mirrors("g-v_data--0")[0].in_sync());
    let written = stop(load);
    verify(&lab, "v", &written);
    plexes::assert_equal(&lab, "g", "v");
    lab.finish();
}

#[test]
fn a_snapshot_can_be_written_without_touching_the_original() {
    let lab = lab!(["mirror"], [32, 32]);
    volume(&lab, "16m", 1);
    let written = Writer::start_filled(lab.device("g", "v"), 0, 256, Style::default()).stop();
    lab.cli("-g g snapstart v").ok();
    lab.cli("-g g snapshot v").ok();
    let over = Writer::start_filled(lab.device("g", "SNAP-v"), 0, 256, Style::default()).stop();
    over.verify(lab.device("g", "SNAP-v"));
    written.verify(lab.device("g", "v"));
    lab.finish();
}

/// A mirror that has grown still lies on two disks of four, so that there are two for its legs; the
/// one that is named is taken.
#[test]
fn a_mirror_that_has_grown_gives_off_the_leg_that_is_named() {
    let lab = lab!(["mirror"], [48, 48, 48, 48]);
    lab.fill_with_noise();
    lab.create_group("g");
    lab.cli("-g g make v 8m --mirrors 2 --on disk01,disk02")
        .ok();
    lab.wait_synced("g", "v");
    let load = Writer::start_filled(lab.device("g", "v"), 0, 512, Style::default());
    lab.cli("-g g grow v 16m").ok();
    lab.wait_synced("g", "v");
    lab.cli("-g g snapstart --mirrors 2 v").ok();
    let v = lab.print("g");
    let lies_on = |plex: &str| v.volume("v").plex(plex).media().join(",");
    assert_eq!(["v-01", "v-02"].map(lies_on), ["disk01", "disk02"]);
    let (third, fourth) = if lies_on("v-03") == "disk03" {
        ("v-03", "v-04")
    } else {
        ("v-04", "v-03")
    };
    load.goes_on(50);

    lab.cli("-g g snapshot v --plex v-01")
        .exits(5)
        .says("plex convert --to snapdone v-01");
    lab.cli("-g g snapshot v --plex v-09").exits(3);
    lab.cli("-g g snapshot v --on disk02")
        .exits(5)
        .says(&format!("'{fourth}' on disk04"));
    lab.cli(&format!("-g g --dry-run snapshot v --plex {fourth}"))
        .ok()
        .says(&format!("plexes {fourth}"));
    lab.cli("-g g snapshot v --on disk04 --name fourth").ok();
    let written = load.stop();
    lab.cli(&format!("-g g snapshot v --plex {third} --name third"))
        .ok();
    written.verify(lab.device("g", "third"));
    let after = lab.print("g");
    assert_eq!(
        ["fourth", "third"].map(|s| after.volume(s).plexes[0].name.clone()),
        [fourth, third]
    );
    plexes::assert_equal(&lab, "g", "v");

    let which = lab.cli("-g g snapclear v").exits(2);
    which
        .says("'breakoff -g g snapclear third'")
        .says("'breakoff -g g snapclear --all v'");
    lab.cli("-g g snapclear --all v").ok();
    assert!(
        lab.print("g")
            .volumes
            .iter()
            .all(|v| v.snapshot_of.is_none())
    );
    lab.finish();
}

#[test]
fn several_volumes_are_split_at_one_instant() {
    let lab = lab!(["mirror"], [64, 64, 64]);
    lab.create_group("g");
    for name in ["a", "b", "c"] {
        lab.cli(&format!("-g g make {name} 8m --mirrors 2")).ok();
        lab.wait_synced("g", name);
    }
    lab.cli("-g g snapstart a b c").ok();
    let pair = Ordered::start(&lab.device("g", "a"), &lab.device("g", "b"));
    let load = Writer::start_filled(lab.device("g", "c"), 0, 256, Style::default());
    pair.goes_on(50);

    let least = pair.count();
    let expected = load.fork_during(|| drop(lab.cli("-g g snapshot a b c").ok()));
    pair.goes_on(50);

    ordered::assert_one_instant(
        &lab.device("g", "SNAP-a"),
        &lab.device("g", "SNAP-b"),
        least,
    );
    expected.verify(lab.device("g", "SNAP-c"));
    pair.stop();
    load.stop();
    lab.finish();
}

#[test]
fn all_volumes_are_split_or_none() {
    let lab = lab!(["mirror"], [64, 64]);
    lab.create_group("g");
    for name in ["a", "b"] {
        lab.cli(&format!("-g g make {name} 8m")).ok();
    }
    lab.cli("-g g snapstart a").ok();
    let before = lab.print("g");
    lab.cli("-g g snapshot --all").exits(5).says("b");
    lab.cli("-g g snapshot a b").exits(5).says("b");
    assert_eq!(lab.print("g"), before);

    lab.cli("-g g snapstart b").ok();
    lab.cli("-g g snapshot --all").ok();
    assert_eq!(lab.print("g").names(), ["SNAP-a", "SNAP-b", "a", "b"]);
    lab.finish();
}

#[test]
fn two_legs_make_a_mirrored_snapshot() {
    let lab = lab!(["mirror"], [32, 32, 32]);
    lab.fill_with_noise();
    volume(&lab, "16m", 1);
    let load = busy(&lab, "v");
    lab.cli("-g g snapstart --mirrors 2 v").ok();
    assert_eq!(states(&lab, "v"), ["ACTIVE", "SNAPDONE", "SNAPDONE"]);
    lab.cli("-g g snapshot --mirrors 3 v").exits(5);

    let expected = fork(&load, || drop(lab.cli("-g g snapshot --mirrors 2 v").ok()));
    verify(&lab, "SNAP-v", &expected);
    assert_eq!(states(&lab, "SNAP-v"), ["ACTIVE", "ACTIVE"]);
    assert_eq!(states(&lab, "v"), ["ACTIVE"]);
    assert_eq!(mapped(&lab, "g-SNAP--v"), ["era", "mirror"]);
    plexes::assert_equal(&lab, "g", "SNAP-v");
    stop(load);
    lab.finish();
}

#[test]
fn the_legs_that_are_not_used_stay_ready() {
    let lab = lab!(["mirror"], [32, 32, 32]);
    volume(&lab, "16m", 1);
    let load = busy(&lab, "v");
    lab.cli("-g g snapstart --mirrors 2 v").ok();
    let first = fork(&load, || drop(lab.cli("-g g snapshot v").ok()));
    assert_eq!(states(&lab, "v"), ["ACTIVE", "SNAPDONE"]);
    go_on(&load);
    let second = fork(&load, || drop(lab.cli("-g g snapshot v").ok()));
    go_on(&load);
    verify(&lab, "SNAP-v", &first);
    verify(&lab, "SNAP1-v", &second);
    stop(load);
    lab.finish();
}

#[test]
fn names_follow_vxvm_and_a_collision_changes_nothing() {
    let lab = lab!(["mirror"], [64, 64]);
    lab.create_group("g");
    for name in ["v", "w"] {
        lab.cli(&format!("-g g make {name} 4m")).ok();
    }
    for round in 0..3 {
        lab.cli("-g g snapstart v").ok();
        lab.cli("-g g snapshot v").ok();
        assert_eq!(lab.print("g").volumes.len(), 3 + round);
    }
    lab.cli("-g g snapstart v w").ok();
    let before = lab.print("g");
    lab.cli("-g g snapshot v --name SNAP1-v")
        .exits(4)
        .says("SNAP1-v");
    lab.cli("-g g snapshot v w --pattern SNAP-v%d").ok(); // SNAP-v is taken, so numbers are used
    let names = lab.print("g");
    assert!(
        names.names().contains(&"SNAP-v1") && names.names().contains(&"SNAP-v2"),
        "{:?}",
        names.names()
    );
    assert!(
        before.names() == ["SNAP-v", "SNAP1-v", "SNAP2-v", "v", "w"],
        "{:?}",
        before.names()
    );

    lab.cli("-g g snapstart v w").ok();
    let before = lab.print("g");
    lab.cli("-g g snapshot v w --pattern all").exits(2);
    lab.cli("-g g snapshot v w --name x").exits(2);
    assert_eq!(lab.print("g"), before);
    lab.cli("-g g snapshot v w --pattern %v.night").ok();
    assert!(lab.print("g").names().contains(&"w.night"));
    lab.finish();
}

// -------------------------------------------------------------------------- snapstart and snapwait

#[test]
fn a_copy_in_the_background_is_waited_for() {
    let mut lab = lab!(["mirror", "delay"], [32, 32]);
    volume(&lab, "16m", 1);
    let disk = lab.pause_end_of_leg("g", "disk02", 16 * MIB);
    lab.cli("-g g -q snapstart -b v").ok();
    assert_eq!(states(&lab, "v"), ["ACTIVE", "SNAPATT"]);
    until("there is progress", || {
        lab.print("g")
            .volume("v")
            .plexes
            .iter()
            .any(|p| p.state == "SNAPATT" && p.sync.as_ref().unwrap().done > 0)
    });

    lab.cli("-g g snapshot v").exits(5).says("SNAPATT");
    lab.cli("-g g --timeout 1 snapwait v").exits(7);
    let waiting = lab.spawn("-g g snapwait v");
    lab.heal(disk);
    waiting.wait(LONG).ok();
    assert_eq!(states(&lab, "v"), ["ACTIVE", "SNAPDONE"]);
    lab.cli("-g g snapwait v").ok();
    plexes::assert_equal(&lab, "g", "v");
    lab.finish();
}

#[test]
fn snapwait_fails_at_once_when_nothing_is_attaching() {
    let lab = lab!(["linear"], [16]);
    volume(&lab, "4m", 1);
    lab.cli("-g g snapwait v").exits(5).says("snapstart");
    lab.cli("-g g snapwait --mirrors 2 v").exits(5);
    lab.finish();
}

#[test]
fn snapwait_fails_when_the_leg_is_given_up() {
    let mut lab = lab!(["mirror", "delay"], [32, 32]);
    volume(&lab, "16m", 1);
    let free = lab.print("g").free();
    let disk = lab.pause_end_of_leg("g", "disk02", 16 * MIB);
    lab.cli("-g g snapstart -b v").ok();
    let waiting = lab.spawn("-g g snapwait v");
    let mut aborting = lab.spawn("-y -g g snapabort v");
    aborting.until_it_waits_in_the_kernel(); // for the region that is being copied (K10)
    lab.heal(disk);
    aborting.wait(LONG).ok();
    let waited = waiting.wait(LONG);
    assert!([5, 8].contains(&waited.status), "{waited}");
    assert_eq!(states(&lab, "v"), ["ACTIVE"]);
    assert_eq!(lab.print("g").free(), free);
    lab.finish();
}

#[test]
fn interrupting_the_wait_does_not_stop_the_copy() {
    let mut lab = lab!(["mirror", "delay"], [32, 32]);
    volume(&lab, "16m", 1);
    let disk = lab.pause_end_of_leg("g", "disk02", 16 * MIB);
    let foreground = lab.spawn("-g g snapstart v");
    until(
        "the leg is attaching and the command has come to wait for it",
        || states(&lab, "v") == ["ACTIVE", "SNAPATT"] && !foreground.so_far().1.is_empty(),
    );
    foreground.signal(libc::SIGINT);
    let output = foreground.wait(LONG);
    assert!(
        output.stderr.contains("snapwait") || output.stdout.contains("snapwait"),
        "it says that the copy goes on: {output}"
    );
    assert_eq!(states(&lab, "v"), ["ACTIVE", "SNAPATT"]);
    lab.heal(disk);
    lab.cli("-g g snapwait v").ok();
    lab.finish();
}

/// The bar has bytes, rate and time left; Ctrl-C ends the waiting, not the copy.
#[test]
fn a_person_sees_how_far_the_copy_is_and_may_stop_waiting() {
    let mut lab = lab!(["mirror", "delay"], [32, 32]);
    volume(&lab, "16m", 1);
    let disk = lab.pause_end_of_leg("g", "disk02", 16 * MIB);
    let mut watched = OnTerminal::start("-g g snapstart v");
    watched
        .shows("/16.00 MiB")
        .shows("/s ")
        .shows(" left")
        .shows("%");
    watched.interrupts();
    watched
        .shows("the copy in group 'g' continues in the kernel")
        .shows("snapabort");
    assert_eq!(watched.ends(), Some(1), "{}", watched.screen());
    assert_eq!(lab.print("g").volume("v").plexes[1].state, "SNAPATT");
    lab.heal(disk);
    lab.cli("-g g snapwait v").ok();

    let mut waits = OnTerminal::start("-g g snapwait v");
    assert_eq!(waits.ends(), Some(0), "{}", waits.screen());
    lab.finish();
}

/// Wherever the signal meets the command: nothing is left that a later command would not put right.
#[test]
fn a_command_that_is_interrupted_at_any_moment_leaves_nothing_behind() {
    let lab = lab!(["mirror"], [32, 32]);
    volume(&lab, "8m", 1);
    let load = Writer::start_filled(lab.device("g", "v"), 0, 128, Style::default());
    for delay in (0..1600).step_by(100) {
        let command = lab.spawn(["-g g snapstart v", "-g g snapshot v --name s"][delay / 100 % 2]);
        std::thread::sleep(Duration::from_millis(delay as u64));
        command.signal(libc::SIGINT);
        let output = command.wait(LONG);
        lab.cli("-g g recover").ok();
        // Ended before it had begun, between two steps and with a word, or not at all.
        assert!(
            [0, 1, 5, 6, 130].contains(&output.status),
            "after {delay} ms: {output}"
        );
        assert!(
            output.status == 130 || output.status == 0 || !output.stderr.is_empty(),
            "after {delay} ms without a word: {output}"
        );
        let left = leaks::of_no_command(&lab.dm);
        assert!(
            left.is_empty(),
            "after {delay} ms, {output} leaves {left:?}"
        );
        load.goes_on(10);
        if lab.print("g").names().contains(&"s") {
            lab.cli("-y -g g remove s").ok();
        }
    }
    load.stop().verify(lab.device("g", "v"));
    lab.finish();
}

#[test]
fn snapstart_is_refused_before_any_change() {
    let lab = lab!(["mirror"], [32, 16]);
    lab.create_group("g");
    lab.cli("-g g make v 8m --on disk01").ok();
    lab.cli("-g g make small 4m --mirrors 2").ok();
    lab.wait_synced("g", "small");
    let before = lab.print("g");
    lab.cli("-g g snapstart small").exits(6); // no disk without a plex of it
    lab.cli("-g g snapstart v --avoid disk02").exits(6);
    lab.cli("-g g snapstart v small").exits(6); // all or nothing
    assert_eq!(lab.print("g"), before);

    lab.cli("-g g snapstart small --on disk01").ok(); // named disks override it
    assert_eq!(
        leg(&lab.print("g").volume("small").plexes, "SNAPDONE").media(),
        ["disk01"]
    );
    lab.cli("-g g stop v").ok();
    lab.cli("-g g snapstart v").exits(5).says("start");
    lab.finish();
}

#[test]
fn a_leg_goes_where_it_is_told() {
    let lab = lab!(["mirror"], [32, 32, 32]);
    lab.create_group("g");
    lab.cli("-g g make v 8m --on disk01").ok();
    lab.cli("-g g snapstart v --on disk03").ok();
    assert_eq!(
        leg(&lab.print("g").volume("v").plexes, "SNAPDONE").media(),
        ["disk03"]
    );
    lab.cli("-y -g g snapabort v").ok();
    lab.cli("-g g snapstart v --avoid disk03").ok();
    assert_eq!(
        leg(&lab.print("g").volume("v").plexes, "SNAPDONE").media(),
        ["disk02"]
    );
    lab.finish();
}

/// K3, K17: a leg that is in sync stays exact while another one is being filled.
#[test]
fn k3_a_complete_leg_equals_the_original_during_a_second_sync() {
    let mut lab = lab!(["mirror", "delay"], [48, 48, 48]);
    lab.fill_with_noise();
    volume(&lab, "32m", 1);
    lab.cli("-g g snapstart v --on disk02").ok();
    let first = lab
        .print("g")
        .volume("v")
        .plexes
        .iter()
        .find(|p| p.state == "SNAPDONE")
        .unwrap()
        .clone();
    assert_eq!(first.media(), ["disk02"]);

    // The second leg is slow everywhere and cannot be completed until its disk is healed.
    lab.fault(2, Fault::Slow { read: 0, write: 20 });
    let disk = lab.pause_end_of_leg("g", "disk03", 32 * MIB);
    lab.cli("-g g snapstart -b v --on disk03").ok();
    assert_eq!(states(&lab, "v"), ["ACTIVE", "SNAPATT", "SNAPDONE"]);
    let load = [0, 3000, 6000]
        .map(|first| Writer::start_filled(lab.device("g", "v"), first, 128, Style::default()));
    go_on(&load);
    let written = load.map(Writer::stop);
    assert_eq!(
        states(&lab, "v"),
        ["ACTIVE", "SNAPATT", "SNAPDONE"],
        "the second sync runs on"
    );
    let group = lab.print("g");
    let plexes = &group.volume("v").plexes;
    let (original, leg_now) = (leg(plexes, "ACTIVE"), leg(plexes, "SNAPDONE"));
    assert_eq!(leg_now.name, first.name);
    plexes::assert_same(
        "the original",
        &plexes::bytes(&lab, &group, original),
        "the SNAPDONE leg",
        &plexes::bytes(&lab, &group, leg_now),
    );

    lab.heal(disk);
    lab.cli("-g g snapwait --mirrors 2 v").ok();
    written.iter().for_each(|w| w.verify(lab.device("g", "v")));
    plexes::assert_equal(&lab, "g", "v");
    lab.finish();
}

#[test]
fn a_complete_leg_can_be_split_off_during_a_second_sync() {
    let mut lab = lab!(["mirror", "delay"], [48, 48, 48]);
    lab.fill_with_noise();
    volume(&lab, "16m", 1);
    let load = [0, 2000]
        .map(|first| Writer::start_filled(lab.device("g", "v"), first, 128, Style::default()));
    lab.cli("-g g snapstart v --on disk02").ok();
    let disk = lab.pause_end_of_leg("g", "disk03", 16 * MIB);
    lab.cli("-g g snapstart -b v --on disk03").ok();
    assert_eq!(states(&lab, "v"), ["ACTIVE", "SNAPATT", "SNAPDONE"]);

    // A suspend waits for the region that is being copied (K10): it cannot end before the disk is
    // healed.
    let expected = fork(&load, || {
        let mut splitting = lab.spawn("-g g snapshot v");
        splitting.until_it_waits_in_the_kernel();
        lab.disks[disk].heal(&lab.dm);
        splitting.wait(LONG).ok();
    });
    go_on(&load);
    verify(&lab, "SNAP-v", &expected);
    lab.cli("-g g snapwait v").ok();
    let second = fork(&load, || drop(lab.cli("-g g snapshot v").ok()));
    verify(&lab, "SNAP1-v", &second);
    let written = load.map(Writer::stop);
    verify(&lab, "v", &written);
    lab.finish();
}

#[test]
fn layers_collapse_into_one_flat_mirror() {
    let lab = lab!(["mirror"], [32, 32, 32]);
    volume(&lab, "16m", 1);
    let load = busy(&lab, "v");
    lab.cli("-g g snapstart v").ok();
    lab.cli("-g g snapstart v").ok();

    assert_eq!(states(&lab, "v"), ["ACTIVE", "SNAPDONE", "SNAPDONE"]);
    let table = lab.dm.table("g-v").unwrap();
    assert!(
        table.iter().all(|line| line.target == "mirror"),
        "{table:?}"
    );
    assert_eq!(lab.dm.mirrors("g-v")[0].legs.len(), 3);
    let mirrors = leaks::devices(&lab.dm)
        .iter()
        .filter(|d| !lab.dm.mirrors(&d.name).is_empty())
        .count();
    assert_eq!(mirrors, 1, "one flat mirror:\n{}", lab.dm.dump());
    assert!(lab.dm.mirrors("g-v")[0].in_sync());
    let written = stop(load);
    verify(&lab, "v", &written);
    plexes::assert_equal(&lab, "g", "v");
    lab.finish();
}

// --------------------------------------------------------------------------------- the other verbs

#[test]
fn snapabort_removes_the_leg_and_releases_its_space() {
    let lab = lab!(["mirror"], [32, 32, 32]);
    volume(&lab, "8m", 1);
    let free = lab.print("g").free();
    let load = Writer::start_filled(lab.device("g", "v"), 0, 128, Style::default());
    lab.cli("-g g snapstart --mirrors 2 v").ok();
    lab.cli("-y -g g snapabort v").ok();
    assert_eq!(states(&lab, "v"), ["ACTIVE", "SNAPDONE"]);
    lab.cli("-y -g g snapabort --all-plexes v").ok();
    assert_eq!(states(&lab, "v"), ["ACTIVE"]);
    assert_eq!(lab.print("g").free(), free);
    assert_eq!(lab.dm.table("g-v").unwrap()[0].target, "linear");
    lab.cli("-y -g g snapabort v").exits(5);
    load.goes_on(30);
    load.stop().verify(lab.device("g", "v"));
    lab.finish();
}

#[test]
fn snapabort_works_while_the_leg_is_being_filled() {
    let mut lab = lab!(["mirror", "delay"], [32, 32]);
    volume(&lab, "16m", 1);
    let free = lab.print("g").free();
    let load = Writer::start_filled(lab.device("g", "v"), 0, 128, Style::default());
    let disk = lab.pause_end_of_leg("g", "disk02", 16 * MIB);
    lab.cli("-g g snapstart -b v").ok();
    let mut aborting = lab.spawn("-y -g g snapabort v");
    aborting.until_it_waits_in_the_kernel();
    lab.heal(disk);
    aborting.wait(LONG).ok();
    assert_eq!(states(&lab, "v"), ["ACTIVE"]);
    assert_eq!(lab.print("g").free(), free);
    load.goes_on(30);
    load.stop().verify(lab.device("g", "v"));
    lab.finish();
}

#[test]
fn snapclear_makes_a_volume_of_its_own() {
    let lab = lab!(["mirror"], [32, 32]);
    volume(&lab, "4m", 1);
    lab.cli("-g g snapstart v").ok();
    lab.cli("-g g snapshot v").ok();
    let relations = lab.json("-g g snapprint");
    assert_eq!(
        relations["relations"][0]["original"]
            .as_str()
            .unwrap()
            .rsplit('/')
            .next(),
        Some("v"),
        "{relations}"
    );
    assert_eq!(
        relations["relations"][0]["consistency"], "frozen",
        "{relations}"
    );

    lab.cli("-y -g g snapclear SNAP-v").ok();
    assert_eq!(lab.print("g").volume("SNAP-v").snapshot_of, None);
    assert_eq!(
        lab.json("-g g snapprint")["relations"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
    lab.cli("-y -g g remove v").ok();
    assert_eq!(lab.print("g").names(), ["SNAP-v"]);
    lab.finish();
}

#[test]
fn a_mirror_in_sync_is_converted_and_split_without_a_copy() {
    let lab = lab!(["mirror"], [32, 32]);
    lab.fill_with_noise();
    volume(&lab, "16m", 2);
    let load = busy(&lab, "v");
    lab.cli("-g g plex convert --to snapdone v-02").ok();
    assert_eq!(states(&lab, "v"), ["ACTIVE", "SNAPDONE"]);
    lab.cli("-g g plex convert --to snapdone v-01")
        .exits(1)
        .says("last");
    lab.cli("-g g plex convert --to active v-02").ok();
    assert_eq!(states(&lab, "v"), ["ACTIVE", "ACTIVE"]);
    lab.cli("-g g plex convert --to snapdone v-01").ok();

    let expected = fork(&load, || drop(lab.cli("-g g snapshot v").ok()));
    go_on(&load);
    verify(&lab, "SNAP-v", &expected);
    let written = stop(load);
    verify(&lab, "v", &written);
    lab.finish();
}

#[test]
fn a_detached_plex_is_attached_again_in_full() {
    let lab = lab!(["mirror"], [32, 32]);
    lab.fill_with_noise();
    volume(&lab, "16m", 2);
    let load = busy(&lab, "v");
    lab.cli("-y -g g plex detach v-02").ok();
    assert_eq!(lab.print("g").volume("v").plex("v-02").state, "STALE");
    lab.cli("-y -g g plex detach v-01").exits(1).says("last");
    lab.cli("-y -g g plex remove v-01").exits(1).says("last");
    lab.cli("-g g plex convert --to snapdone v-02").exits(5);
    go_on(&load);

    lab.cli("-g g plex attach v-02").ok();
    until("the plex is ACTIVE", || {
        states(&lab, "v") == ["ACTIVE", "ACTIVE"]
    });
    let written = stop(load);
    verify(&lab, "v", &written);
    plexes::assert_equal(&lab, "g", "v");

    let free = lab.print("g").free();
    lab.cli("-y -g g plex remove v-02").ok();
    assert!(lab.print("g").free() >= free + 16 * MIB);
    assert_eq!(states(&lab, "v"), ["ACTIVE"]);
    lab.finish();
}

#[test]
fn a_volume_with_a_snapdone_leg_is_stopped_and_started_as_it_is() {
    let lab = lab!(["mirror"], [32, 32]);
    lab.fill_with_noise();
    volume(&lab, "16m", 1);
    let written = Writer::start_filled(lab.device("g", "v"), 0, 256, Style::default()).stop();
    lab.cli("-g g snapstart v").ok();
    lab.cli("-g g stop v").ok();
    lab.cli("-g g start v").ok();
    assert_eq!(states(&lab, "v"), ["ACTIVE", "SNAPDONE"]);
    lab.cli("-g g snapshot v").ok();
    written.verify(lab.device("g", "SNAP-v"));
    lab.finish();
}

#[test]
fn a_leg_that_was_attaching_is_removed_when_the_volume_is_started_again() {
    let mut lab = lab!(["mirror", "delay"], [32, 32]);
    volume(&lab, "16m", 1);
    let free = lab.print("g").free();
    let written = Writer::start_filled(lab.device("g", "v"), 0, 256, Style::default()).stop();
    let disk = lab.pause_end_of_leg("g", "disk02", 16 * MIB);
    lab.cli("-g g snapstart -b v").ok();
    let mut stopping = lab.spawn("-g g stop v");
    stopping.until_it_waits_in_the_kernel();
    lab.heal(disk);
    stopping.wait(LONG).ok();
    lab.cli("-g g start v").ok();
    assert_eq!(states(&lab, "v"), ["ACTIVE"]);
    assert_eq!(lab.print("g").free(), free);
    written.verify(lab.device("g", "v"));
    lab.finish();
}

#[test]
fn a_snapshot_is_renamed_stopped_and_started_like_any_volume() {
    let lab = lab!(["mirror"], [32, 32]);
    volume(&lab, "8m", 1);
    let written = Writer::start_filled(lab.device("g", "v"), 0, 128, Style::default()).stop();
    lab.cli("-g g snapstart v").ok();
    lab.cli("-g g snapshot v").ok();
    lab.cli("-g g rename SNAP-v night").ok();
    lab.cli("-g g stop night").ok();
    lab.cli("-g g start night").ok();
    assert_eq!(
        lab.print("g").volume("night").snapshot_of.as_deref(),
        Some("v")
    );
    written.verify(lab.device("g", "night"));
    lab.finish();
}

// ------------------------------------------------------------------------------------- filesystems

/// K12, with the filesystem mounted and busy.
#[test]
fn k12_an_ext4_snapshot_needs_no_journal_replay() {
    let lab = lab!(["mirror"], [64, 64]);
    volume(&lab, "32m", 1);
    mkfs_ext4(&lab.device("g", "v"));
    let mounted = Mounted::ext4(&lab.device("g", "v"));
    fs::write(mounted.at.join("marker"), "before").unwrap();
    let load = FileLoad::start(&mounted.at);
    lab.cli("-g g snapstart v").ok();
    load.goes_on(50);

    lab.cli("-g g snapshot v").ok();
    load.goes_on(50);
    fs::write(mounted.at.join("marker"), "after").unwrap();
    let snapshot = lab.device("g", "SNAP-v");
    assert!(
        !needs_recovery(&snapshot),
        "the journal would have to be replayed"
    );
    e2fsck(&snapshot).ok();
    assert!(
        needs_recovery(&lab.device("g", "v")),
        "the original is mounted, so the question means something"
    );

    let read_only = Mounted::new(&snapshot, "ext4", MsFlags::MS_RDONLY, None);
    assert_eq!(
        fs::read_to_string(read_only.at.join("marker")).unwrap(),
        "before"
    );
    read_only.unmount();
    load.stop();
    mounted.unmount();
    e2fsck(&lab.device("g", "v")).ok();
    lab.finish();
}

#[test]
fn k12_an_xfs_snapshot_is_mounted_beside_its_original_with_nouuid() {
    let lab = lab!(["mirror"], [128, 128]);
    volume(&lab, "96m", 1);
    mkfs_xfs(&lab.device("g", "v"));
    let mounted = Mounted::new(&lab.device("g", "v"), "xfs", MsFlags::empty(), None);
    fs::write(mounted.at.join("marker"), "before").unwrap();
    let load = FileLoad::start(&mounted.at);
    load.goes_on(30);
    lab.cli("-g g snapstart v").ok();
    lab.cli("-g g snapshot v").ok().says("nouuid");
    load.goes_on(30);
    fs::write(mounted.at.join("marker"), "after").unwrap();

    let snapshot = lab.device("g", "SNAP-v");
    assert!(
        Mounted::try_new(&snapshot, "xfs", MsFlags::MS_RDONLY, None).is_err(),
        "the same UUID twice"
    );
    let beside = Mounted::new(&snapshot, "xfs", MsFlags::MS_RDONLY, Some("nouuid"));
    assert_eq!(
        fs::read_to_string(beside.at.join("marker")).unwrap(),
        "before"
    );
    beside.unmount();
    load.stop();
    mounted.unmount();
    lab.finish();
}

/// K11, with the real udev.
#[test]
fn k11_by_uuid_still_points_to_the_original() {
    let lab = lab!(["mirror"], [64, 64]);
    volume(&lab, "16m", 1);
    mkfs_ext4(&lab.device("g", "v"));
    let link = format!("/dev/disk/by-uuid/{}", uuid(&lab.device("g", "v")));
    udev::settle();
    let original = udev::target("/dev/mapper/g-v");
    assert!(
        original.is_some() && udev::target(&link) == original,
        "udev makes such links here: {:?}",
        udev::target(&link)
    );

    lab.cli("-g g snapstart v").ok();
    lab.cli("-g g snapshot v").ok();
    udev::settle();
    assert_eq!(udev::target(&link), original);
    assert_eq!(
        uuid(&lab.device("g", "SNAP-v")),
        uuid(&lab.device("g", "v")),
        "the snapshot does carry the same UUID"
    );

    // Nor after events without a cookie, a rename, or a stop and start.
    lab.cli("-g g rename SNAP-v night").ok();
    lab.cli("-g g stop night").ok();
    lab.cli("-g g start night").ok();
    crate::support::child::tool(
        "udevadm",
        &[
            "trigger",
            "--action=change",
            "--settle",
            "/dev/mapper/g-night",
        ],
    )
    .ok();
    assert_eq!(udev::target(&link), udev::target("/dev/mapper/g-v"));
    lab.finish();
}

// ------------------------------------------------------------------------------------ VxVM's words

#[test]
fn the_procedure_of_vxvm_works_as_it_is_typed() {
    let lab = lab!(["mirror"], [64, 64]);
    lab.create_group("g");
    lab.vx("vxassist -g g make vol 16m").ok();
    let load = Writer::start_filled(lab.device("g", "vol"), 0, 256, Style::default());
    lab.vx("vxassist -g g -b snapstart vol").ok();
    lab.vx("vxassist -g g snapwait vol").ok();
    let expected = load.fork_during(|| drop(lab.vx("vxassist -g g snapshot vol snapvol").ok()));
    load.goes_on(30);
    expected.verify(lab.device("g", "snapvol"));
    assert_eq!(
        lab.print("g").volume("snapvol").snapshot_of.as_deref(),
        Some("vol")
    );

    lab.vx("vxassist -g g snapclear snapvol").ok();
    lab.vx("vxassist -g g remove volume snapvol").ok();
    lab.vx("vxassist -g g snapstart vol").ok();
    lab.vx("vxassist -g g snapabort vol").ok();
    assert_eq!(states(&lab, "vol"), ["ACTIVE"]);
    load.stop();
    lab.finish();
}

#[test]
fn both_forms_of_snapshot_in_vxvms_words() {
    let lab = lab!(["mirror"], [64, 64, 64]);
    lab.create_group("g");
    for name in ["a", "b"] {
        lab.vx(&format!(
            "vxassist -g g make {name} 4m layout=mirror disk01 disk02"
        ))
        .ok();
        lab.wait_synced("g", name);
        lab.vx(&format!("vxassist -g g snapstart {name}")).ok();
    }
    lab.vx("vxassist -g g snapshot a b").ok(); // b is a volume: both are split
    assert_eq!(lab.print("g").names(), ["SNAP-a", "SNAP-b", "a", "b"]);
    lab.vx("vxassist -g g snapstart nmirror=1 a !disk01").ok();
    lab.vx("vxassist -g g snapstart b").ok();
    lab.vx("vxassist -g g -o name=%v.%d -o allvols snapshot")
        .ok();
    assert_eq!(lab.print("g").volumes.len(), 6);
    assert_ne!(lab.vx("vxassist -g g relayout a").status, 0);
    lab.finish();
}

#[test]
fn the_freeze_is_measured_and_shown() {
    let lab = lab!(["mirror"], [32, 32]);
    volume(&lab, "16m", 1);
    let load = busy(&lab, "v");
    lab.cli("-g g snapstart v").ok();
    let result = lab.json("-g g snapshot v");
    assert!(result.to_string().contains("freeze"), "{result}");
    let stall = load.iter().map(Writer::longest_stall).max();
    println!("longest stall of a writer, snapstart included: {stall:?}; {result}");
    stop(load);
    block::read_direct(lab.device("g", "SNAP-v"), 0, 4096).unwrap();
    lab.finish();
}
