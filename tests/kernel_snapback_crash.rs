//! A `snapback` that is killed (SIGKILL) before each of its changes, on the real kernel, in both directions: the snapshot is there as
//! before, or its leg is on its way by the log of what has changed; the winner's contents are never lost.
//!
//! Which change that is, is counted by the program itself (`sys::failpoint`), which has to be built with the feature `failpoints`.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod support;

use std::collections::BTreeSet;
use std::time::Duration;
use support::child::{KILLED, Output, killed_at, stride};
use support::lab::{Lab, until};
use support::leaks;
use support::plexes::{self, assert_same};
use support::tracked::{REGION, contents, scribble, split, written};
use support::writer::{Style, Writer};

/// In 4 KiB blocks, from the start of the volume: one region.
const BUSY: u64 = REGION / 4096;

/// Often enough to be in the way, and not so often that what it writes is most of what is written.
const PACE: Style = Style { dsync: false, pause: Duration::from_millis(10) };

/// The regions that have changed on either side since the last split.
#[derive(Default)]
struct Changes(BTreeSet<u64>);

impl Changes {
    /// Changes both sides, partly in the same places and in others each time; all are in a quarter of the volume.
    fn add(&mut self, lab: &Lab, n: u64) {
        let place = |k: u64| (4 + 3 * (k % 16)) * REGION + n % 64 * 4096;
        let places = [[place(n), place(5 * n + 3)], [place(n), place(7 * n + 5)]];
        scribble(lab, "v", &places[0], 100 * n);
        scribble(lab, "s", &places[1], 100 * n + 50);
        self.0.extend(places.concat().iter().map(|at| at / REGION));
    }

    /// After a kill nothing is left to be done, and what was filled got what has changed and no more: a region twice at most, and
    /// what was written meanwhile, which reaches both sides.
    #[track_caller]
    fn have_come_back(&mut self, lab: &Lab, filled: &str, written_meanwhile: u64) {
        lab.cli("-g g recover --check").ok().says("nothing needs attention");
        plexes::assert_equal(lab, "g", "v");
        let (copied, most) = (written(filled), 2 * self.0.len() as u64 * REGION + written_meanwhile);
        assert!(
            copied <= most,
            "{copied} bytes are copied, {} regions had changed and {written_meanwhile} bytes were written",
            self.0.len()
        );
        self.0.clear();
    }
}

/// What both sides hold when a command is killed.
struct Sides {
    original: Vec<u8>,
    snapshot: Vec<u8>,
}

impl Sides {
    fn look(lab: &Lab) -> Sides {
        Sides { original: contents(lab, "v"), snapshot: contents(lab, "s") }
    }
}

/// Counts what came of the kills, and says so at the end.
struct Tally<'c> {
    command: &'c str,
    before: u64,
    after: u64,
}

impl<'c> Tally<'c> {
    fn of(command: &'c str) -> Tally<'c> {
        Tally { command, before: 0, after: 0 }
    }

    /// Whether the command had fewer changes than that.
    #[track_caller]
    fn is_over(&mut self, output: &Output, changed: bool) -> bool {
        *(if changed { &mut self.after } else { &mut self.before }) += 1;
        if output.status == KILLED {
            return false;
        }
        assert!(changed, "it did nothing: {output}");
        assert_eq!(output.status, 0, "{output}");
        assert!(self.before > 5, "the program has no failpoints: build it with --features failpoints");
        println!("'{}': {} times before and {} times after, the whole command at last", self.command, self.before, self.after);
        true
    }
}

/// What a kill has left is repaired by the next command; whether the snapshot has begun to come back.
#[track_caller]
fn repaired(lab: &Lab, n: u64) -> bool {
    lab.cli("-g g recover").ok();
    let left = leaks::of_no_command(&lab.dm);
    assert!(left.is_empty(), "killed before change {n} it leaves {left:?}");
    !lab.print("g").names().contains(&"s")
}

// Each kill takes a split of its own, so that both directions are cut in two: a test has to end in time on a slow machine, too.

#[test]
fn a_snapback_killed_before_every_odd_change_is_before_or_after() {
    snapbacks_killed(lab!(["mirror", "era", "zero"], [64, 64]), 1);
}

#[test]
fn a_snapback_killed_before_every_even_change_is_before_or_after() {
    snapbacks_killed(lab!(["mirror", "era", "zero"], [64, 64]), 2);
}

#[test]
fn a_restore_killed_before_every_odd_change_is_before_or_after() {
    restores_killed(lab!(["mirror", "era", "zero"], [64, 64]), 1);
}

#[test]
fn a_restore_killed_before_every_even_change_is_before_or_after() {
    restores_killed(lab!(["mirror", "era", "zero"], [64, 64]), 2);
}

/// Kills it before this change and every second one from there on, or some of them (see `stride`).
#[track_caller]
fn snapbacks_killed(lab: Lab, first: u64) {
    split(&lab);
    let command = "-g g snapback -b s";
    let (mut tally, mut changes) = (Tally::of(command), Changes::default());
    for n in (first..).step_by(2 * stride()) {
        changes.add(&lab, n);
        let sides = Sides::look(&lab);
        let load = Writer::start_filled(lab.device("g", "v"), 0, BUSY, PACE);
        changes.0.insert(0);
        let output = killed_at(n, command);
        // A suspended volume flows again by itself: nobody has called anything yet.
        load.goes_on(1);
        let returns = repaired(&lab, n);
        load.goes_on(10);
        if returns {
            lab.cli("-g g snapwait v").ok();
        }
        let writes = load.stop();
        writes.verify(lab.device("g", "v"));
        let rest = REGION as usize;
        assert_same("v", &contents(&lab, "v")[rest..], "what it was", &sides.original[rest..]);
        if returns {
            assert_eq!(lab.print("g").volume("v").states(), ["ACTIVE", "SNAPDONE"]);
            changes.have_come_back(&lab, "g-v_v--02", writes.issued * 4096);
            lab.cli("-g g snapshot v --name s").ok();
        } else {
            lab.cli("-g g recover --check").ok().says("nothing needs attention");
            assert_same("s", &contents(&lab, "s"), "what it was", &sides.snapshot);
            assert_eq!(lab.print("g").volume("v").states(), ["ACTIVE"]);
        }
        if tally.is_over(&output, returns) {
            break;
        }
    }
    lab.finish();
}

/// The same for a restore.
#[track_caller]
fn restores_killed(lab: Lab, first: u64) {
    split(&lab);
    let command = "-y -g g snapback -b --from snapshot s";
    let (mut tally, mut changes) = (Tally::of(command), Changes::default());
    for n in (first..).step_by(2 * stride()) {
        changes.add(&lab, n);
        let sides = Sides::look(&lab);
        let output = killed_at(n, command);
        let restores = repaired(&lab, n);
        if restores {
            // At once, whatever is copied already.
            assert_same("v", &contents(&lab, "v"), "the snapshot", &sides.snapshot);
            until("both plexes are complete", || lab.print("g").volume("v").states() == ["ACTIVE", "SNAPDONE"]);
            assert_same("v", &contents(&lab, "v"), "the snapshot", &sides.snapshot);
            changes.have_come_back(&lab, "g-v_v--01", 0);
            lab.cli("-g g snapshot v --name s").ok();
        } else {
            lab.cli("-g g recover --check").ok().says("nothing needs attention");
            assert_same("v", &contents(&lab, "v"), "what it was", &sides.original);
            assert_same("s", &contents(&lab, "s"), "what it was", &sides.snapshot);
        }
        if tally.is_over(&output, restores) {
            break;
        }
    }
    lab.finish();
}

/// Nothing is copied: the two have changed places, or they have not.
#[test]
fn an_exchange_killed_anywhere_is_before_or_after() {
    let lab = lab!(["mirror", "era", "zero"], [64, 64]);
    split(&lab);
    let command = "-y -g g snapback --from snapshot --keep s";
    let (mut tally, mut changes) = (Tally::of(command), Changes::default());
    for n in 1.. {
        changes.add(&lab, n);
        let sides = Sides::look(&lab);
        let output = killed_at(n, command);
        assert!(!repaired(&lab, n), "the snapshot is gone: {output}");
        lab.cli("-g g recover --check").ok().says("nothing needs attention");
        let now = Sides::look(&lab);
        let exchanged = now.original == sides.snapshot;
        let (original, snapshot) = if exchanged { (&sides.snapshot, &sides.original) } else { (&sides.original, &sides.snapshot) };
        assert_same("v", &now.original, "what it was or the snapshot was", original);
        assert_same("s", &now.snapshot, "what it was or the original was", snapshot);
        if tally.is_over(&output, exchanged) {
            break;
        }
    }
    // What differs is still known.
    let leg = lab.print("g").volume("s").plexes[0].name.replace('-', "--");
    lab.cli("-g g snapback s").ok();
    changes.have_come_back(&lab, &format!("g-v_{leg}"), 0);
    lab.finish();
}
