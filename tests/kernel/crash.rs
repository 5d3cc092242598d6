//! Commands that are killed (SIGKILL) before their changes (see `sample::steps`), on the real
//! kernel, under a writer.
//!
//! Which change that is, is counted by the program itself (`sys::failpoint`), which has to be built
//! with the feature `failpoints`.

use crate::support::child::{KILLED, killed_at};
use crate::support::lab::Lab;
use crate::support::leaks;
use crate::support::plexes;
use crate::support::sample::steps;
use crate::support::writer::{Style, Writer};
use std::time::{Duration, Instant};

/// The names and states of all disks, and of all plexes of all volumes.
fn shape(lab: &Lab) -> Vec<String> {
    let group = lab.print("g");
    let plex = |v: &crate::support::view::Volume| {
        v.plexes
            .iter()
            .map(|p| format!(" {}:{}", p.name, p.state))
            .collect::<String>()
    };
    let disks = group
        .disks
        .iter()
        .map(|d| format!("{} {}", d.media, d.state));
    let volumes = group.volumes.iter();
    let volumes = volumes.map(|v| format!("{} {} {}{}", v.name, v.size, v.kstate, plex(v)));
    disks.chain(volumes).collect()
}

/// Kills a command everywhere. `undo` brings the state after it back to the one before.
#[track_caller]
fn kill_everywhere(lab: &Lab, load: &Writer, command: &str, undo: &[&str]) {
    let before = shape(lab);
    let (mut outcomes, mut slowest) = ((0, 0), Duration::ZERO);
    for n in steps(1, 20) {
        let output = killed_at(n, command);
        let died = Instant::now();
        // A suspended volume flows again by itself: nobody has called anything yet.
        load.goes_on(1);
        slowest = slowest.max(died.elapsed());
        load.goes_on(10);
        lab.cli("-g g recover").ok();
        lab.cli("-g g recover --check")
            .ok()
            .says("nothing needs attention");
        let left = leaks::of_no_command(&lab.dm);
        assert!(
            left.is_empty(),
            "'{command}' killed before change {n} leaves {left:?}"
        );
        let now = shape(lab);
        if now == before {
            outcomes.0 += 1;
            assert_eq!(output.status, KILLED, "it did nothing: {output}");
            continue;
        }
        outcomes.1 += 1;
        undo.iter().for_each(|words| drop(lab.cli(words).ok()));
        assert_eq!(
            shape(lab),
            before,
            "'{command}' killed before change {n} came to {now:?}, which is neither before nor after"
        );
        if output.status != KILLED {
            output.ok();
            assert!(
                n > 5,
                "the program has no failpoints: build it with --features failpoints"
            );
            println!(
                "'{command}': killed before {} changes, {} before and {} after; I/O flowed again after at most {slowest:?}",
                outcomes.0 + outcomes.1 - 1,
                outcomes.0,
                outcomes.1
            );
            return;
        }
    }
}

fn busy(lab: &Lab) -> Writer {
    Writer::start_filled(lab.device("g", "v"), 0, 256, Style::default())
}

#[test]
fn a_snapshot_killed_anywhere_is_before_or_after() {
    let lab = lab!(["mirror"], [32, 32]);
    lab.create_group("g");
    lab.cli("-g g make v 8m").ok();
    lab.cli("-g g snapstart v").ok();
    let load = busy(&lab);
    kill_everywhere(
        &lab,
        &load,
        "-g g snapshot v --name s",
        &["-y -g g remove s", "-g g snapstart v"],
    );
    load.stop().verify(lab.device("g", "v"));
    plexes::assert_equal(&lab, "g", "v");
    lab.finish();
}

#[test]
fn a_snapstart_killed_anywhere_is_before_or_after() {
    let lab = lab!(["mirror"], [32, 32, 32]);
    lab.create_group("g");
    lab.cli("-g g make v 8m --mirrors 2").ok();
    lab.wait_synced("g", "v");
    let load = busy(&lab);
    kill_everywhere(
        &lab,
        &load,
        "-g g snapstart v",
        &["-g g snapwait v", "-y -g g snapabort v"],
    );
    load.stop().verify(lab.device("g", "v"));
    plexes::assert_equal(&lab, "g", "v");
    lab.finish();
}

#[test]
fn a_snapabort_killed_anywhere_is_before_or_after() {
    let lab = lab!(["mirror"], [32, 32]);
    lab.create_group("g");
    lab.cli("-g g make v 8m").ok();
    lab.cli("-g g snapstart v").ok();
    let load = busy(&lab);
    kill_everywhere(&lab, &load, "-y -g g snapabort v", &["-g g snapstart v"]);
    load.stop().verify(lab.device("g", "v"));
    lab.finish();
}

#[test]
fn growing_and_renaming_killed_anywhere_is_before_or_after() {
    let lab = lab!(["mirror"], [32, 32]);
    lab.create_group("g");
    lab.cli("-g g make v 8m --mirrors 2").ok();
    lab.wait_synced("g", "v");
    lab.cli("-g g make other 4m").ok();
    let load = busy(&lab);
    kill_everywhere(
        &lab,
        &load,
        "-g g rename other another",
        &["-g g rename another other"],
    );
    kill_everywhere(
        &lab,
        &load,
        "-g g make w 4m --mirrors 2",
        &["-y -g g remove w"],
    );
    load.stop().verify(lab.device("g", "v"));
    lab.finish();
}

/// A label is written before the configuration that has its disk, and erased after one that has not.
#[test]
fn a_disk_that_joins_or_leaves_killed_anywhere_is_in_the_group_or_not() {
    let lab = lab!(["mirror"], [32, 32, 32]);
    lab.create_group_of("g", 0..2);
    lab.cli("-g g make v 8m --mirrors 2").ok();
    lab.wait_synced("g", "v");
    let load = busy(&lab);
    let add = format!("group add --force g new={}", lab.disks[2].word());
    kill_everywhere(&lab, &load, &add, &["group remove-disk g new"]);
    lab.cli(&add).ok();
    kill_everywhere(&lab, &load, "group remove-disk g new", &[&add]);
    load.stop().verify(lab.device("g", "v"));
    lab.finish();
}
