//! How long a writer stands still when a leg dies: breakoff with its monitor, LVM's raid1 and md's
//! raid1, on the same kind of disks, in turns in one run. `scripts/bench failover` runs it in a VM.
//!
//! Each round switches one leg's disk to errors under a writer with one write in flight, and takes
//! the longest that a write took from then until many have been done. Then the disk is healed and
//! filled again. Legs die in turns.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;
#[path = "../tests/support/mod.rs"]
mod support;

use common::Row;

use std::path::PathBuf;
use std::time::Duration;
use support::child::{Output, tool};
use support::disk::Fault;
use support::lab::{Lab, until};
use support::writer::{Style, Writer};

const ROUNDS: usize = 20;
/// Writes before the leg dies, and after it.
const WRITES: u64 = 100;
/// Only the test's disks, and nothing that waits for a daemon which is not there.
const LVM: &str = r#"devices{use_devicesfile=0 filter=["a|/dev/mapper/t[0-9]+disk[0-9]+$|","r|.*|"]} activation{monitoring=0} global{use_lvmpolld=0}"#;

/// Two disks, by index in the lab, and what stands on them.
struct Mirror {
    name: &'static str,
    disks: [usize; 2],
    device: PathBuf,
    /// Fills the disk again that was gone, and waits until both are equal.
    repair: fn(&Lab, &str),
    stalls: Vec<Duration>,
}

fn main() {
    let Some(mut lab) = Lab::new("failover", &["mirror", "raid", "error"], &[48; 6]) else {
        return;
    };
    let mut mirrors = [breakoff(&lab), lvm(&lab), md(&lab)];
    for round in 0..ROUNDS {
        for mirror in &mut mirrors {
            let stall = one_round(&mut lab, mirror, round % 2);
            mirror.stalls.push(stall);
        }
    }
    end(lab);
    report(&mirrors);
}

fn one_round(lab: &mut Lab, mirror: &Mirror, leg: usize) -> Duration {
    let load = Writer::start(
        &mirror.device,
        0,
        1024,
        Style {
            dsync: false,
            pause: Duration::from_millis(1),
        },
    );
    load.goes_on(WRITES);
    load.forget_stalls();
    let disk = mirror.disks[leg];
    lab.fault(disk, Fault::Fail);
    load.goes_on(WRITES);
    let stall = load.longest_stall();
    load.stop().verify(&mirror.device);
    println!("{}: {:.1} ms", mirror.name, stall.as_secs_f64() * 1e3);
    lab.heal(disk);
    (mirror.repair)(lab, &lab.disks[disk].word());
    stall
}

fn report(mirrors: &[Mirror]) {
    let [ours, lvm, md] = [0, 1, 2].map(|at| {
        let stalls = &mirrors[at].stalls;
        let ms = stalls.iter().map(|stall| stall.as_secs_f64() * 1e3);
        ms.collect::<Vec<_>>()
    });
    let stands = Row::new("a writer stands still when a leg dies", "ms", &ours)
        .beside("LVM", &lvm)
        .beside("md", &md)
        .times(3.0, &["md"]);
    let about = "the longest stall of a writer when a leg dies";
    common::report("failover", about, &[stands.clone().worst(), stands]);
}

// ---------------------------------------------------------------------------------------- breakoff

fn breakoff(lab: &Lab) -> Mirror {
    lab.create_group_of("g", 0..2);
    lab.cli("-g g make v 32m --mirrors 2").ok();
    lab.wait_synced("g", "v");
    Mirror {
        name: "breakoff mirror",
        disks: [0, 1],
        device: lab.device("g", "v"),
        repair: attach,
        stalls: Vec::new(),
    }
}

fn attach(lab: &Lab, _disk: &str) {
    let group = lab.print("g");
    for plex in group.volume("v").in_state("FAILED") {
        lab.cli(&format!("-g g plex attach {}", plex.name)).ok();
    }
    lab.wait_synced("g", "v");
}

// --------------------------------------------------------------------------------------------- LVM

fn lvm(lab: &Lab) -> Mirror {
    let [a, b] = [lab.disks[2].word(), lab.disks[3].word()];
    run_lvm(&["vgcreate", "bench", &a, &b]).ok();
    run_lvm(&[
        "lvcreate", "-y", "-Wn", "-Zn", "--type", "raid1", "-m", "1", "-L", "32m", "-n", "v",
        "bench",
    ])
    .ok();
    wait_for_lvm();
    Mirror {
        name: "LVM raid1",
        disks: [2, 3],
        device: "/dev/mapper/bench-v".into(),
        repair: refresh,
        stalls: Vec::new(),
    }
}

fn run_lvm(words: &[&str]) -> Output {
    tool(
        "lvm",
        &[&words[..1], &["--config", LVM], &words[1..]].concat(),
    )
}

/// The disk is back: LVM has it taken in again.
fn refresh(_lab: &Lab, _disk: &str) {
    until("LVM takes the disk in again", || {
        run_lvm(&["lvchange", "-y", "--refresh", "bench/v"]);
        let health = run_lvm(&["lvs", "--noheadings", "-o", "lv_health_status", "bench/v"]);
        health.status == 0 && health.stdout.trim().is_empty()
    });
    wait_for_lvm();
}

fn wait_for_lvm() {
    until("LVM's legs are equal", || {
        let synced = run_lvm(&["lvs", "--noheadings", "-o", "sync_percent", "bench/v"]);
        synced.stdout.trim() == "100.00"
    });
}

// ---------------------------------------------------------------------------------------------- md

const MD: &str = "/dev/md0";

fn md(lab: &Lab) -> Mirror {
    let [a, b] = [lab.disks[4].word(), lab.disks[5].word()];
    tool(
        "mdadm",
        &[
            "--create",
            MD,
            "--run",
            "--level=1",
            "--raid-devices=2",
            "--bitmap=internal",
            "--metadata=1.2",
            &a,
            &b,
        ],
    )
    .ok();
    wait_for_md();
    Mirror {
        name: "md raid1",
        disks: [4, 5],
        device: MD.into(),
        repair: add_again,
        stalls: Vec::new(),
    }
}

fn add_again(_lab: &Lab, disk: &str) {
    tool("mdadm", &[MD, "--fail", disk]);
    until("md lets go of the disk", || {
        tool("mdadm", &[MD, "--remove", disk]).status == 0
    });
    tool("mdadm", &[MD, "--add", disk]).ok();
    wait_for_md();
}

fn wait_for_md() {
    until("md's legs are equal", || {
        tool("mdadm", &["--wait", MD]);
        std::fs::read_to_string("/proc/mdstat")
            .is_ok_and(|text| text.contains("[UU]") && !text.contains("re"))
    });
}

fn end(lab: Lab) {
    run_lvm(&["vgremove", "-ff", "-y", "bench"]).ok();
    tool("mdadm", &["--stop", MD]).ok();
    lab.finish();
}
