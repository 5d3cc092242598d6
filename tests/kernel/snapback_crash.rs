//! A `snapback` that is killed (SIGKILL), or loses the machine's power, before its changes (see
//! `sample::steps`), on the real kernel, in both directions: the snapshot is there as before, or
//! its leg is on its way by the log of what has changed; the winner's contents are never lost.
//!
//! Which change that is, is counted by the program itself (`sys::failpoint`), which has to be built
//! with the feature `failpoints`.

use crate::support::child::{KILLED, Output, killed_at, stopped_at};
use crate::support::lab::{Lab, until};
use crate::support::leaks;
use crate::support::outage::Power;
use crate::support::plexes::{self, assert_same};
use crate::support::sample::steps;
use crate::support::stamp::Expectation;
use crate::support::tracked::{REGION, contents, copied, scribble, split, written};
use crate::support::writer::{Style, Writer};
use std::collections::BTreeSet;
use std::time::Duration;

/// In 4 KiB blocks, from the start of the volume: one region.
const BUSY: u64 = REGION / 4096;

/// Often enough to be in the way, and not so often that what it writes is most of what is written.
const PACE: Style = Style {
    dsync: true,
    pause: Duration::from_millis(30),
};

/// The places that have changed on either side since the last split.
#[derive(Default)]
struct Changes(BTreeSet<u64>);

impl Changes {
    /// Changes both sides, partly in the same places and in others each time; all are in a quarter
    /// of the volume.
    fn add(&mut self, lab: &Lab, n: u64) {
        let place = |k: u64| (4 + 3 * (k % 16)) * REGION + n % 64 * 4096;
        let places = [[place(n), place(5 * n + 3)], [place(n), place(7 * n + 5)]];
        scribble(lab, "v", &places[0], 100 * n);
        scribble(lab, "s", &places[1], 100 * n + 50);
        self.0.extend(places.concat());
    }

    /// Nothing is left to be done, and what was filled got what has changed and no more: a region
    /// twice at most, and what was written meanwhile, which reaches both sides. Or, after a power
    /// cut, it got everything.
    #[track_caller]
    fn have_come_back(
        &mut self,
        lab: &Lab,
        filled: &str,
        may_be_all: bool,
        written_meanwhile: u64,
    ) {
        lab.cli("-g g recover --check")
            .ok()
            .says("nothing needs attention");
        plexes::assert_equal(lab, "g", "v");
        let (filled, changed) = (written(filled), copied(self.0.iter().copied()));
        println!(
            "{filled} bytes are copied; {changed} had changed and {written_meanwhile} were written meanwhile"
        );
        let most = 2 * changed + written_meanwhile;
        assert!(
            filled <= most || may_be_all,
            "{filled} bytes are copied, and {most} at most had to be"
        );
        self.0.clear();
    }
}

/// What both sides hold when a command is struck.
struct Sides {
    original: Vec<u8>,
    snapshot: Vec<u8>,
}

impl Sides {
    fn look(lab: &Lab) -> Sides {
        Sides {
            original: contents(lab, "v"),
            snapshot: contents(lab, "s"),
        }
    }
}

/// Counts what came of the blows, and says so at the end.
struct Tally<'c> {
    command: &'c str,
    before: u64,
    after: u64,
}

impl<'c> Tally<'c> {
    fn of(command: &'c str) -> Tally<'c> {
        Tally {
            command,
            before: 0,
            after: 0,
        }
    }

    /// Whether the command had fewer changes than that.
    #[track_caller]
    fn is_over(
        &mut self,
        Struck {
            output,
            returns: changed,
            ..
        }: &Struck,
    ) -> bool {
        *(if *changed {
            &mut self.after
        } else {
            &mut self.before
        }) += 1;
        if output.status == KILLED {
            return false;
        }
        assert!(*changed, "it did nothing: {output}");
        assert_eq!(output.status, 0, "{output}");
        assert!(
            self.before > 0,
            "the program has no failpoints: build it with --features failpoints"
        );
        println!(
            "'{}': {} times before and {} times after, the whole command at last",
            self.command, self.before, self.after
        );
        true
    }
}

/// What ends a command before one of its changes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Blow {
    Kill,
    PowerCut,
}

/// What came of a command that was struck.
struct Struck {
    output: Output,
    /// Whether the snapshot has begun to come back.
    returns: bool,
    /// Whether it was back when the power was cut: all of it is copied again then, as to every
    /// snapshot leg.
    was_back: bool,
}

/// What is left of a command is repaired by the next one, or by the start after a power cut.
#[track_caller]
fn repaired(lab: &Lab, n: u64, by: &str) -> bool {
    lab.cli(by).ok();
    let left = leaks::of_no_command(&lab.dm);
    assert!(
        left.is_empty(),
        "struck before change {n} it leaves {left:?}"
    );
    !lab.print("g").names().contains(&"s")
}

/// Runs a command up to before its n-th change, and no further.
#[track_caller]
fn cut_short(
    lab: &mut Lab,
    power: &mut Power,
    n: u64,
    command: &str,
    writers: &mut [Writer],
) -> Struck {
    let mut running = stopped_at(n, command);
    running.stops();
    let was_back = lab.print("g").volume("v").states() == ["ACTIVE", "SNAPDONE"];
    let output = power.cut(lab, running, writers);
    Struck {
        output,
        returns: repaired(lab, n, "start --auto"),
        was_back,
    }
}

/// It is as if there had been no command, and what both sides are written is still noted.
#[track_caller]
fn is_as_before(lab: &Lab) {
    lab.cli("-g g recover --check")
        .ok()
        .says("nothing needs attention");
    let relation = lab.json("-g g snapprint")["relations"][0].clone();
    assert_eq!(relation["tracked"].as_bool(), Some(true), "{relation}");
    assert_eq!(lab.print("g").volume("v").states(), ["ACTIVE"]);
}

const SNAPBACK: &str = "-g g snapback -b s";
const RESTORE: &str = "-y -g g snapback -b --from snapshot s";

#[test]
fn a_snapback_killed_anywhere_is_before_or_after() {
    let lab = lab!(["mirror", "era", "zero"], [64, 64]);
    let lab = snapbacks(lab, |lab, n, load| {
        let output = killed_at(n, SNAPBACK);
        // A suspended volume flows again by itself: nobody has called anything yet.
        load.goes_on(1);
        let returns = repaired(lab, n, "-g g recover");
        load.goes_on(10);
        (
            Struck {
                output,
                returns,
                was_back: false,
            },
            load.stop(),
        )
    });
    lab.finish();
}

#[test]
fn a_power_cut_anywhere_in_a_snapback_is_before_or_after() {
    let lab = lab!(["mirror", "era", "zero"], [64, 64]);
    let mut power = Power::on();
    let lab = snapbacks(lab, |lab, n, load| {
        let mut writers = [load];
        let struck = cut_short(lab, &mut power, n, SNAPBACK, &mut writers);
        (struck, writers[0].fork())
    });
    drop(power);
    lab.finish();
}

#[test]
fn a_restore_killed_anywhere_is_before_or_after() {
    let lab = lab!(["mirror", "era", "zero"], [64, 64]);
    let lab = restores(lab, Blow::Kill, |lab, n| {
        let output = killed_at(n, RESTORE);
        Struck {
            output,
            returns: repaired(lab, n, "-g g recover"),
            was_back: false,
        }
    });
    lab.finish();
}

#[test]
fn a_power_cut_anywhere_in_a_restore_is_before_or_after() {
    let lab = lab!(["mirror", "era", "zero"], [64, 64]);
    let mut power = Power::on();
    let lab = restores(lab, Blow::PowerCut, |lab, n| {
        cut_short(lab, &mut power, n, RESTORE, &mut [])
    });
    drop(power);
    lab.finish();
}

/// Snapbacks that are struck while a writer is at work, until one has nothing left to strike.
#[track_caller]
fn snapbacks(
    mut lab: Lab,
    mut strike: impl FnMut(&mut Lab, u64, Writer) -> (Struck, Expectation),
) -> Lab {
    split(&lab);
    let (mut tally, mut changes) = (Tally::of(SNAPBACK), Changes::default());
    for n in steps(1, 24) {
        changes.add(&lab, n);
        let sides = Sides::look(&lab);
        let load = Writer::start_filled(lab.device("g", "v"), 0, BUSY, PACE);
        changes.0.insert(0);
        let (struck, writes) = strike(&mut lab, n, load);
        if struck.returns {
            lab.cli("-g g snapwait v").ok();
        }
        writes.verify(lab.device("g", "v"));
        let rest = REGION as usize;
        assert_same(
            "v",
            &contents(&lab, "v")[rest..],
            "what it was",
            &sides.original[rest..],
        );
        if struck.returns {
            assert_eq!(lab.print("g").volume("v").states(), ["ACTIVE", "SNAPDONE"]);
            changes.have_come_back(&lab, "g-v_v--02", struck.was_back, writes.issued * 4096);
            lab.cli("-g g snapshot v --name s").ok();
        } else {
            assert_same("s", &contents(&lab, "s"), "what it was", &sides.snapshot);
            is_as_before(&lab);
        }
        if tally.is_over(&struck) {
            break;
        }
    }
    lab
}

/// The same for restores; nobody may write meanwhile.
#[track_caller]
fn restores(mut lab: Lab, blow: Blow, mut strike: impl FnMut(&mut Lab, u64) -> Struck) -> Lab {
    split(&lab);
    let (mut tally, mut changes) = (Tally::of(RESTORE), Changes::default());
    for n in steps(1, 24) {
        changes.add(&lab, n);
        let sides = Sides::look(&lab);
        let struck = strike(&mut lab, n);
        if struck.returns {
            // At once, whatever is copied already.
            assert_same("v", &contents(&lab, "v"), "the snapshot", &sides.snapshot);
            if blow == Blow::PowerCut {
                // There is no monitor to look after it.
                lab.cli("-g g snapwait v").ok();
            }
            until("both plexes are complete", || {
                lab.print("g").volume("v").states() == ["ACTIVE", "SNAPDONE"]
            });
            assert_same("v", &contents(&lab, "v"), "the snapshot", &sides.snapshot);
            changes.have_come_back(&lab, "g-v_v--01", struck.was_back, 0);
            lab.cli("-g g snapshot v --name s").ok();
        } else {
            assert_same("v", &contents(&lab, "v"), "what it was", &sides.original);
            assert_same("s", &contents(&lab, "s"), "what it was", &sides.snapshot);
            is_as_before(&lab);
        }
        if tally.is_over(&struck) {
            break;
        }
    }
    lab
}

/// Nothing is copied: the two have changed places, or they have not.
#[test]
fn an_exchange_killed_anywhere_is_before_or_after() {
    let lab = lab!(["mirror", "era", "zero"], [64, 64]);
    split(&lab);
    let command = "-y -g g snapback --from snapshot --keep s";
    let (mut tally, mut changes) = (Tally::of(command), Changes::default());
    for n in steps(1, 12) {
        changes.add(&lab, n);
        let sides = Sides::look(&lab);
        let output = killed_at(n, command);
        assert!(
            !repaired(&lab, n, "-g g recover"),
            "the snapshot is gone: {output}"
        );
        lab.cli("-g g recover --check")
            .ok()
            .says("nothing needs attention");
        let now = Sides::look(&lab);
        let exchanged = now.original == sides.snapshot;
        let (original, snapshot) = if exchanged {
            (&sides.snapshot, &sides.original)
        } else {
            (&sides.original, &sides.snapshot)
        };
        assert_same(
            "v",
            &now.original,
            "what it was or the snapshot was",
            original,
        );
        assert_same(
            "s",
            &now.snapshot,
            "what it was or the original was",
            snapshot,
        );
        if tally.is_over(&Struck {
            output,
            returns: exchanged,
            was_back: false,
        }) {
            break;
        }
    }
    // What differs is still known.
    let leg = lab.print("g").volume("s").plexes[0].name.replace('-', "--");
    lab.cli("-g g snapback s").ok();
    changes.have_come_back(&lab, &format!("g-v_{leg}"), false, 0);
    lab.finish();
}
