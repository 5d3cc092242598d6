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

#[path = "../tests/support/mod.rs"]
mod support;

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

/// A piece of work that both do.
struct Work {
    name: String,
    ours: Vec<f64>,
    peer: Vec<f64>,
    /// How many times as long as LVM breakoff may take.
    target: f64,
    /// What is measured.
    unit: &'static str,
}

impl Work {
    fn new(name: impl Into<String>, target: f64) -> Work {
        Work {
            name: name.into(),
            ours: Vec::new(),
            peer: Vec::new(),
            target,
            unit: "s",
        }
    }

    fn add(&mut self, ours: &Output, peer: &Output) {
        self.ours.push(ours.took.as_secs_f64());
        self.peer.push(peer.took.as_secs_f64());
    }

    fn ratio(&self) -> f64 {
        median(&self.ours) / median(&self.peer)
    }

    fn is_met(&self) -> bool {
        self.ratio() <= self.target
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
    let (mut works, one_snapshot) = mirrors(&lab);
    works.extend(many(&lab, volumes));
    lab.cli("-y group destroy many").ok();
    for group in LVM_GROUPS {
        lvm(&format!("vgremove -ff -y {group}")).ok();
    }
    lab.finish();
    report(&works, &one_snapshot);
}

/// A mirror half that is split off and comes back, and what there is with a mirror and three disks.
fn mirrors(lab: &Lab) -> (Vec<Work>, String) {
    let (ours, theirs) = (words(lab, 2..4), words(lab, 6..8));
    lab.cli(&format!("group create split {ours}")).ok();
    lab.cli("-g split make v 48m").ok();
    lvm(&format!("vgcreate lvm_split {theirs}")).ok();
    lvm("lvcreate -y -Wn -Zn --type raid1 -m 1 -L 48m -n v lvm_split").ok();
    in_sync();
    let mut split = Work::new("split, tracked", 0.8);
    let mut back = Work::new("way back, nothing changed", 0.8);
    let mut shown = Work::new("print, 2 disks", 1.0);
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
    let mut calls = Work::new("print, 2 disks, system calls", 1.0);
    calls.unit = "";
    calls.ours.push(traced("breakoff -g split print"));
    calls
        .peer
        .push(traced(&format!("lvm lvs --config {LVM:?} -a lvm_split")));
    let one_snapshot = traced_kinds("breakoff -g split snapshot v --name s");
    lab.cli("-y -g split remove --recursive v").ok();
    lab.cli("-y group destroy split").ok();
    (vec![split, back, shown, calls], one_snapshot)
}

/// Many plain volumes.
fn many(lab: &Lab, volumes: usize) -> Vec<Work> {
    let (ours, theirs) = (words(lab, 0..2), words(lab, 4..6));
    lab.cli(&format!("group create many {ours}")).ok();
    lvm(&format!("vgcreate -s 1m lvm_many {theirs}")).ok();
    for n in 0..volumes {
        lab.cli(&format!("-g many make v{n} 1m")).ok();
        lvm(&format!("lvcreate -y -Wn -Zn -L 1m -n v{n} lvm_many")).ok();
    }
    let named = |what: &str, target| Work::new(format!("{what}, {volumes} volumes"), target);
    let mut shown = named("print", 1.0);
    let mut made = named("make", 1.0);
    let mut stopped = named("stop --all", 0.3);
    let mut started = named("start --all", 0.3);
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
    vec![shown, made, stopped, started]
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

fn is_call(line: &&str) -> bool {
    !line.contains(" resumed>") && !line.contains("+++") && !line.contains("---")
}

fn traced(command: &str) -> f64 {
    trace(command).lines().filter(is_call).count() as f64
}

fn traced_kinds(command: &str) -> String {
    let text = trace(command);
    let calls: Vec<&str> = text.lines().filter(is_call).collect();
    let of = |name: &str| calls.iter().filter(|call| call.contains(name)).count();
    format!(
        "{} system calls: {} opens, {} ioctls ({} DM_TABLE_STATUS), {} execs",
        calls.len(),
        of("openat("),
        of("ioctl("),
        of("DM_TABLE_STATUS"),
        // The command itself is one.
        of("execve(") - 1
    )
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn report(works: &[Work], one_snapshot: &str) {
    println!(
        "\ncommand: whole commands in turns, medians of {ROUNDS} runs ({TURNS} of stop and start, one of system calls)"
    );
    println!(
        "{:<36} {:>10} {:>10} {:>8} {:>8}",
        "", "breakoff", "LVM", "ratio", "target"
    );
    for work in works {
        let shown = |values| match work.unit {
            "" => format!("{:.0}", median(values)),
            unit => format!("{:.2} {unit}", median(values)),
        };
        println!(
            "{:<36} {:>10} {:>10} {:>8.2} {:>8.2}  {}",
            work.name,
            shown(&work.ours),
            shown(&work.peer),
            work.ratio(),
            work.target,
            if work.is_met() { "met" } else { "missed" }
        );
    }
    println!("one snapshot: {one_snapshot}");
    for work in works {
        println!(
            "json: {}",
            serde_json::json!({
                "work": work.name,
                "ours": median(&work.ours),
                "peer": median(&work.peer),
                "ratio": work.ratio(),
                "target": work.target,
                "met": work.is_met(),
            })
        );
    }
}
