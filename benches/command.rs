//! What whole commands cost: breakoff's and LVM's, on the same kind of disks, in turns in one run.
//! `scripts/bench command` runs it in a VM.
//!
//! Two mirrors of the same size are split with tracked changes and brought back with nothing
//! changed; two groups have many volumes, of which one is made and all are shown, stopped and
//! started. LVM is configured as its users have it (udev synchronisation on), but for the daemons
//! that are not there. System calls are counted by `strace` in a run of their own.
//!
//! The number of volumes is `BREAKOFF_BENCH_VOLUMES` (200).

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;
#[path = "../tests/support/mod.rs"]
mod support;

use common::Row;

use std::fs;
use support::child::{Output, tool};
use support::lab::{Lab, until};

const ROUNDS: usize = 5;
/// All volumes are stopped and started so often.
const TURNS: usize = 3;
/// The disks of breakoff's groups, the volumes' and the mirror's, and then those of LVM's.
const SIZES: [u64; 8] = [320, 320, 96, 96, 320, 320, 96, 96];
/// LVM's groups have names of their own: the dm names would be the same.
const LVM_GROUPS: [&str; 2] = ["lvm_split", "lvm_many"];
/// Only the test's disks, and nothing that waits for a daemon which is not there.
const LVM: &str = r#"devices{use_devicesfile=0 filter=["a|/dev/mapper/t[0-9]+disk[0-9]+$|","r|.*|"]} activation{monitoring=0} global{use_lvmpolld=0}"#;

/// The same work of both, timed.
#[derive(Default)]
struct Pair {
    ours: Vec<f64>,
    peer: Vec<f64>,
}

impl Pair {
    fn add(&mut self, ours: &Output, peer: &Output) {
        self.ours.push(ours.took.as_secs_f64());
        self.peer.push(peer.took.as_secs_f64());
    }

    fn row(&self, work: impl Into<String>, most: f64) -> Row {
        let row = Row::new(work, "s", &self.ours).beside("LVM", &self.peer);
        row.times(most, &["LVM"])
    }
}

fn main() {
    let Some(lab) = Lab::new("command", &["mirror", "raid", "era", "zero"], &SIZES) else {
        return;
    };
    let volumes: usize = std::env::var("BREAKOFF_BENCH_VOLUMES")
        .ok()
        .and_then(|number| number.parse().ok())
        .unwrap_or(200);
    let mut rows = mirrors(&lab);
    rows.extend(many(&lab, volumes));
    lab.cli("-y group destroy many").ok();
    for group in LVM_GROUPS {
        lvm(&format!("vgremove -ff -y {group}")).ok();
    }
    lab.finish();
    let about = "whole commands, breakoff's and LVM's in turns";
    common::report("command", about, &rows);
}

/// A mirror half that is split off and comes back, and what there is with a mirror and three disks.
fn mirrors(lab: &Lab) -> Vec<Row> {
    let (ours, theirs) = (words(lab, 2..4), words(lab, 6..8));
    lab.cli(&format!("group create split {ours}")).ok();
    lab.cli("-g split make v 48m").ok();
    lvm(&format!("vgcreate lvm_split {theirs}")).ok();
    lvm("lvcreate -y -Wn -Zn --type raid1 -m 1 -L 48m -n v lvm_split").ok();
    in_sync();
    let [mut split, mut back, mut shown] = std::array::from_fn(|_| Pair::default());
    lab.cli("-g split snapstart v").ok();
    for _ in 0..ROUNDS {
        split.add(
            &lab.cli("-g split snapshot v --name s").ok(),
            &lvm("lvconvert -y --splitmirrors 1 --trackchanges lvm_split/v").ok(),
        );
        shown.add(
            &lab.cli("-g split print").ok(),
            &lvm("lvs -a lvm_split").ok(),
        );
        back.add(
            &lab.cli("-g split snapback s").ok(),
            &lvm("lvconvert -y --merge lvm_split/v_rimage_1").ok(),
        );
        in_sync();
    }
    let ours = calls(&trace("breakoff -g split print"));
    let theirs = calls(&trace(&format!("lvm lvs --config {LVM:?} -a lvm_split")));
    let printed = Row::new("print, 2 disks: system calls", "", &[ours]);
    let snapshot = trace("breakoff -g split snapshot v --name s");
    lab.cli("-y -g split remove --recursive v").ok();
    lab.cli("-y group destroy split").ok();
    vec![
        split.row("split with tracked changes, whole command", 0.8),
        back.row("way back, nothing changed", 0.8),
        Row::new("one snapshot: system calls", "", &[calls(&snapshot)]).at_most(1200.0),
        Row::new("one snapshot: programs started", "", &[programs(&snapshot)]).at_most(0.0),
        printed.beside("LVM", &[theirs]).times(1.0, &["LVM"]),
        shown.row("print, 2 disks", 1.0),
    ]
}

/// Many plain volumes.
fn many(lab: &Lab, volumes: usize) -> Vec<Row> {
    let (ours, theirs) = (words(lab, 0..2), words(lab, 4..6));
    lab.cli(&format!("group create many {ours}")).ok();
    lvm(&format!("vgcreate -s 1m lvm_many {theirs}")).ok();
    for n in 0..volumes {
        lab.cli(&format!("-g many make v{n} 1m")).ok();
        lvm(&format!("lvcreate -y -Wn -Zn -L 1m -n v{n} lvm_many")).ok();
    }
    let [mut shown, mut made, mut stopped, mut started] = std::array::from_fn(|_| Pair::default());
    for _ in 0..ROUNDS {
        shown.add(&lab.cli("-g many print").ok(), &lvm("lvs -a lvm_many").ok());
        made.add(
            &lab.cli("-g many make new 1m").ok(),
            &lvm("lvcreate -y -Wn -Zn -L 1m -n new lvm_many").ok(),
        );
        lab.cli("-y -g many remove new").ok();
        lvm("lvremove -y lvm_many/new").ok();
    }
    for _ in 0..TURNS {
        stopped.add(
            &lab.cli("-g many stop --all").ok(),
            &lvm("vgchange -an lvm_many").ok(),
        );
        started.add(
            &lab.cli("-g many start --all").ok(),
            &lvm("vgchange -ay lvm_many").ok(),
        );
    }
    let there = |what: &str| format!("{what}, {volumes} volumes");
    vec![
        shown.row(there("print"), 1.0),
        made.row(there("make"), 1.0),
        stopped.row(there("stop --all"), 0.3),
        started.row(there("start --all"), 0.3),
    ]
}

fn words(lab: &Lab, disks: std::ops::Range<usize>) -> String {
    let words: Vec<String> = lab.disks[disks]
        .iter()
        .map(support::disk::Disk::word)
        .collect();
    words.join(" ")
}

fn lvm(words: &str) -> Output {
    let words: Vec<&str> = words.split_whitespace().collect();
    let configured = [&words[..1], &["--config", LVM], &words[1..]].concat();
    tool("lvm", &configured)
}

fn in_sync() {
    until("LVM's legs are equal", || {
        let synced = lvm("lvs --noheadings -o sync_percent lvm_split/v");
        synced.stdout.trim() == "100.00"
    });
}

/// The system calls of a command and of all that it starts.
fn trace(command: &str) -> String {
    let file = "/tmp/trace";
    let line = format!("strace -f -qq -o {file} {command} >/dev/null");
    tool("bash", &["-c", &line]).ok();
    fs::read_to_string(file).unwrap()
}

/// The calls in a trace. The clock is not counted: on most machines the kernel is not called for it.
fn of(trace: &str) -> impl Iterator<Item = &str> {
    trace.lines().filter(|line| {
        let ends = [" resumed>", "+++", "---", "clock_gettime("];
        !ends.iter().any(|part| line.contains(part))
    })
}

fn calls(trace: &str) -> f64 {
    of(trace).count() as f64
}

fn programs(trace: &str) -> f64 {
    let started = of(trace).filter(|call| call.contains("execve("));
    // The command itself is one.
    started.count() as f64 - 1.0
}
