//! A leg dies at any moment of a command, also in the middle of its freeze and of its suspends: the
//! command ends, nothing hangs, and nothing that was acknowledged is lost.
//!
//! The command stops itself before its n-th change (`sys::failpoint`), the leg dies, and the
//! command goes on.

use crate::support::MIB;
use crate::support::child::{self, DEADLINE, Output, Running, stopped_at, stopped_from};
use crate::support::disk::Fault;
use crate::support::fs::{FileLoad, Mounted, e2fsck, mkfs_ext4};
use crate::support::lab::{Lab, until};
use crate::support::plexes;
use crate::support::sample::steps;
use crate::support::writer::{Style, Writer};
use std::fs;
use std::process::Command;
use std::time::Duration;

/// After so many steps that a leg's death did not disturb any more the window is long over.
const DONE: usize = 3;

/// Runs a command during which a disk dies right before its n-th change; `None` when it has fewer
/// of them.
#[track_caller]
fn dies_before(lab: &mut Lab, n: u64, words: &str, disk: usize) -> Option<Output> {
    let mut running = stopped_at(n, words);
    let stopped = running.stops();
    if stopped {
        lab.fault(disk, Fault::Fail);
        running.signal(libc::SIGCONT);
    }
    let output = running.wait(DEADLINE);
    println!(
        "step {n}: status {} {}",
        output.status,
        output.stderr.lines().last().unwrap_or_default()
    );
    stopped.then_some(output)
}

fn states(lab: &Lab) -> Vec<String> {
    let group = lab.print("g");
    let mut plexes: Vec<_> = group
        .volume("v")
        .plexes
        .iter()
        .map(|p| (p.name.clone(), p.state.clone()))
        .collect();
    plexes.sort();
    plexes.into_iter().map(|(_, state)| state).collect()
}

/// The second plex is dead, which everybody knows by now; it comes back.
#[track_caller]
fn bring_back(lab: &mut Lab) {
    until("it is recorded", || states(lab)[1] == "FAILED");
    lab.heal(1);
    lab.cli("-g g plex attach v-02").ok();
}

/// The snapshot is there and whole, or it is not there; without one again.
#[track_caller]
fn judge(lab: &Lab, output: &Output, whole: impl FnOnce(&Lab)) {
    if output.status == 0 {
        whole(lab);
        lab.cli("-y -g g remove s").ok();
    } else {
        assert!([5, 8].contains(&output.status), "{output}");
        assert!(
            !lab.print("g").names().contains(&"s"),
            "it failed, and there is a snapshot: {output}"
        );
        lab.cli("-g g snapabort --all-plexes v").ok();
    }
}

#[test]
fn a_plex_that_dies_before_any_step_of_a_snapshot_of_a_mounted_filesystem() {
    let mut lab = lab!(["mirror", "error"], [48, 48, 48]);
    lab.fill_with_noise();
    lab.create_group("g");
    lab.cli("-g g make v 16m --mirrors 2 --on disk01,disk02")
        .ok();
    lab.wait_synced("g", "v");
    mkfs_ext4(&lab.device("g", "v"));
    let mounted = Mounted::ext4(&lab.device("g", "v"));
    let load = FileLoad::start(&mounted.at);
    let (mut survived, mut done) = (0, 0);
    for n in steps(1, 16) {
        lab.cli("-g g snapstart v --on disk03").ok();
        fs::write(mounted.at.join("marker"), n.to_string()).unwrap();
        let Some(output) = dies_before(&mut lab, n, "-g g snapshot v --name s", 1) else {
            break;
        };
        // The thaw writes, too, and the first to do so may find the leg dead: that is taken out then,
        // and not waited for.
        assert!(!output.stderr.contains("may still be frozen"), "{output}");
        // A filesystem that has met an error would be read-only from here on.
        load.goes_on(10);
        judge(&lab, &output, |lab| {
            e2fsck(&lab.device("g", "s")).ok();
        });
        bring_back(&mut lab);
        survived = n;
        done += usize::from(output.status == 0);
        if done == DONE {
            break;
        }
    }
    assert!(
        survived > 6,
        "the program has no failpoints: build it with --features failpoints"
    );
    load.goes_on(10);
    load.stop();
    mounted.unmount();
    e2fsck(&lab.device("g", "v")).ok();
    plexes::assert_equal(&lab, "g", "v");
    lab.finish();
}

/// While a second leg is on its way, and so above the mirror that holds the writes.
#[test]
fn a_plex_that_dies_beneath_a_layer_before_any_step_of_a_snapshot() {
    let mut lab = lab!(["mirror", "error", "delay"], [48, 48, 48, 48]);
    lab.fill_with_noise();
    lab.create_group("g");
    lab.cli("-g g make v 8m --mirrors 2 --on disk01,disk02")
        .ok();
    lab.wait_synced("g", "v");
    let load = Writer::start_filled(lab.device("g", "v"), 0, 256, Style::default());
    let (mut survived, mut done) = (0, 0);
    for n in steps(2, 16) {
        lab.cli("-g g snapstart v --on disk03").ok();
        // Slow, not paused: a suspend has to wait for the region that is being copied.
        let leg = lab.disks[3].size - lab.print("g").disk("disk04").size;
        lab.fault_in(
            3,
            leg + 2 * MIB..leg + 6 * MIB,
            Fault::Slow {
                read: 0,
                write: 200,
            },
        );
        lab.cli("-g g snapstart -b v --on disk04").ok();
        let mut output = None;
        let expected =
            load.fork_during(|| output = dies_before(&mut lab, n, "-g g snapshot v --name s", 1));
        lab.heal(3);
        let Some(output) = output else { break };
        load.goes_on(20);
        judge(&lab, &output, |lab| expected.verify(lab.device("g", "s")));
        until("only the plexes are left", || {
            lab.cli("-g g snapabort --all-plexes v");
            states(&lab).len() == 2
        });
        bring_back(&mut lab);
        survived = n;
        done += usize::from(output.status == 0);
        if done == DONE {
            break;
        }
    }
    assert!(
        survived > 6,
        "the program has no failpoints: build it with --features failpoints"
    );
    load.goes_on(20);
    load.stop().verify(lab.device("g", "v"));
    lab.finish();
}

/// Nobody is left who could resume or thaw what they have suspended and frozen, and `recover` does.
#[test]
fn a_command_and_its_helper_that_are_killed_together_leave_nothing_frozen() {
    let lab = lab!(["mirror"], [48, 48, 48]);
    lab.fill_with_noise();
    lab.create_group("g");
    lab.cli("-g g make v 16m --on disk01").ok();
    mkfs_ext4(&lab.device("g", "v"));
    let mounted = Mounted::ext4(&lab.device("g", "v"));
    let load = FileLoad::start(&mounted.at);
    let frozen =
        || fs::read_dir("/run/breakoff/frozen").is_ok_and(|mut notes| notes.next().is_some());
    // Whether it had been split by then.
    let strike = |running: Running| {
        running.kill_with_children();
        running.wait(DEADLINE);
        lab.cli("-g g recover").ok();
        load.goes_on(5);
        lab.cli("-g g recover --check").ok();
        let split = lab.print("g").names().contains(&"s");
        lab.cli(if split {
            "-y -g g remove s"
        } else {
            "-g g snapabort v"
        })
        .ok();
        split
    };
    let mut done = 0;
    for n in steps(3, 8) {
        lab.cli("-g g snapstart v --on disk03").ok();
        let mut running = stopped_at(n, "-g g snapshot v --name s");
        if !running.stops() {
            lab.cli("-y -g g remove s").ok();
            break;
        }
        done += usize::from(strike(running));
        if done == DONE {
            break;
        }
    }
    // Few of its changes are made while it is frozen: before the first of these, and some later one.
    let mut tried = 0;
    for change in steps(1, 3) {
        lab.cli("-g g snapstart v --on disk03").ok();
        let mut running = stopped_from(1, "-g g snapshot v --name s");
        let mut stopped = running.stops();
        while stopped && !frozen() {
            stopped = running.goes_on_and_stops();
        }
        assert!(stopped, "nothing was ever frozen");
        for _ in 1..change {
            stopped = stopped && running.goes_on_and_stops();
        }
        let disturbed = stopped && frozen();
        strike(running);
        if !disturbed {
            break;
        }
        tried += 1;
    }
    assert!(tried > 1, "there is no second change while it is frozen");
    load.stop();
    mounted.unmount();
    lab.finish();
}

/// A disk that hangs is found out before a volume whose disks are well has to wait for it; one that
/// hangs for writes alone, which nobody can find out, is given up soon. Both are named as people
/// know them.
#[test]
fn a_disk_that_hangs_does_not_hold_the_other_volumes_of_a_snapshot() {
    let mut lab = lab!(["mirror", "delay"], [24, 24, 24, 24]);
    lab.fill_with_noise();
    lab.create_group("g");
    for (volume, disk, leg) in [("a", "disk01", "disk02"), ("b", "disk03", "disk04")] {
        // Without a map of changes, for which space would be made blank, on the disk that hangs,
        // before there is a window.
        lab.cli(&format!(
            "-g g make {volume} 8m --on {disk} --fast-resync off"
        ))
        .ok();
        lab.cli(&format!("-g g snapstart {volume} --on {leg}")).ok();
    }
    let well = Writer::start_filled(lab.device("g", "a"), 0, 64, Style::default());
    let size = lab.disks[2].size;
    lab.fault_in(2, 0..size - MIB, Fault::Paused);
    well.forget_stalls();
    let refused = lab
        .cli("-g g snapshot --all")
        .exits(7)
        .says("disk03")
        .says("'g/b'");
    assert!(!refused.stderr.contains("BREAKOFF-"), "{refused}");
    assert!(
        well.longest_stall() < Duration::from_secs(5),
        "held for {:?}",
        well.longest_stall()
    );
    lab.heal(2);

    let waits = Writer::start_filled(lab.device("g", "b"), 0, 64, Style::default());
    lab.fault_in(2, 4 * MIB..size - MIB, Fault::PausedWrites);
    waits.wait_until_held();
    well.forget_stalls();
    let mut command = Command::new(child::program());
    command.env("BREAKOFF_HOLD_TIMEOUT", "2");
    let refused = child::start(command, "breakoff", &["-g", "g", "snapshot", "--all"])
        .wait(DEADLINE)
        .exits(7)
        .says("'g/b'");
    assert!(!refused.stderr.contains("BREAKOFF-"), "{refused}");
    assert!(
        well.longest_stall() < Duration::from_secs(10),
        "held for {:?}",
        well.longest_stall()
    );
    lab.heal(2);
    waits.goes_on(30);
    lab.cli("recover").ok();
    lab.cli("-g g snapshot --all").ok();
    assert_eq!(lab.print("g").names().len(), 4);
    waits.stop().verify(lab.device("g", "b"));
    well.stop().verify(lab.device("g", "a"));
    lab.finish();
}
