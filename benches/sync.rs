//! How long it takes until a new leg is equal: breakoff's `snapstart`, LVM's `lvconvert -m 1` to
//! raid1, and a disk that is added to md's raid1, on the same kind of disks, in turns in one run.
//! `scripts/bench sync` runs it in a VM.
//!
//! Once each read and write takes ten milliseconds, as on a disk that is far away or busy, and once
//! the disks are memory. md's brake on a resync, for LVM's raid1 too, is off. "Equal" is what the
//! kernel says.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;
#[path = "../tests/support/mod.rs"]
mod support;

use common::Row;
use std::time::Instant;
use support::MIB;
use support::child::{Output, tool};
use support::disk::Fault;
use support::lab::{Lab, until};

const ROUNDS: usize = 3;
const SIZE: u64 = 480 * MIB;
const SLOW: Fault = Fault::Slow {
    read: 10,
    write: 10,
};
/// Only the test's disks, and nothing that waits for a daemon which is not there.
const LVM: &str = r#"devices{use_devicesfile=0 filter=["a|/dev/mapper/t[0-9]+disk[0-9]+$|","r|.*|"]} activation{monitoring=0} global{use_lvmpolld=0}"#;
const MD: &str = "/dev/md0";

/// One value for each round and program: breakoff, LVM, md.
type Times = [Vec<f64>; 3];

fn main() {
    let targets = ["mirror", "raid", "delay"];
    let Some(mut lab) = Lab::new("sync", &targets, &[512; 6]) else {
        return;
    };
    for limit in ["min", "max"] {
        let brake = format!("/proc/sys/dev/raid/speed_limit_{limit}");
        std::fs::write(brake, "10000000").unwrap();
    }
    set_up(&lab);
    let memory = measure(&lab);
    (0..lab.disks.len()).for_each(|disk| lab.fault(disk, SLOW));
    let slow = measure(&lab);
    (0..lab.disks.len()).for_each(|disk| lab.heal(disk));
    lvm(&["vgremove", "-ff", "-y", "bench"]).ok();
    tool("mdadm", &["--stop", MD]).ok();
    lab.finish();
    let row = |work: &str, [ours, lvm, md]: &Times, most: f64| {
        let row = Row::new(
            format!("first sync of {} MiB, {work}", SIZE / MIB),
            "s",
            ours,
        );
        let others = row.beside("LVM", lvm).beside("md", md);
        others.times(most, &["LVM", "md"])
    };
    let rows = [
        row("disks of 10 ms", &slow, 1.0 / 3.0),
        row("disks in memory", &memory, 1.0 / 0.95),
    ];
    common::report("sync", "until a new leg is equal", &rows);
}

/// What stands on the first disk of each pair; the second one is to be the new leg.
fn set_up(lab: &Lab) {
    lab.create_group_of("g", 0..2);
    lab.cli(&format!("-g g make v {}m --on disk01", SIZE / MIB))
        .ok();
    let [a, b] = [lab.disks[2].word(), lab.disks[3].word()];
    lvm(&["vgcreate", "bench", &a, &b]).ok();
    let size = format!("{SIZE}b");
    lvm(&[
        "lvcreate", "-y", "-Wn", "-Zn", "-L", &size, "-n", "v", "bench", &a,
    ])
    .ok();
    let size = format!("--size={}", SIZE / 1024);
    let how = ["--create", MD, "--run", "--level=1", "--raid-devices=2"];
    let kept = ["--bitmap=internal", "--metadata=1.2", &size];
    let disks = [lab.disks[4].word(), "missing".to_owned()];
    tool(
        "mdadm",
        &[&how[..], &kept, &[&disks[0], &disks[1]]].concat(),
    )
    .ok();
}

fn measure(lab: &Lab) -> Times {
    let mut times = Times::default();
    for _ in 0..ROUNDS {
        times[0].push(timed(|| drop(lab.cli("-g g snapstart v").ok())));
        lab.cli("-g g snapabort v").ok();

        times[1].push(timed(|| {
            lvm(&["lvconvert", "-y", "--type", "raid1", "-m", "1", "bench/v"]).ok();
            until("LVM's legs are equal", || {
                let synced = lvm(&["lvs", "--noheadings", "-o", "sync_percent", "bench/v"]);
                synced.stdout.trim() == "100.00"
            });
        }));
        let new = lab.disks[3].word();
        lvm(&["lvconvert", "-y", "-m", "0", "bench/v", &new]).ok();

        let new = lab.disks[5].word();
        times[2].push(timed(|| {
            tool("mdadm", &[MD, "--add", &new]).ok();
            until("md's legs are equal", || {
                tool("mdadm", &["--wait", MD]);
                let state = std::fs::read_to_string("/sys/block/md0/md/degraded");
                state.is_ok_and(|degraded| degraded.trim() == "0")
            });
        }));
        tool("mdadm", &[MD, "--fail", &new]).ok();
        until("md lets go of the disk", || {
            tool("mdadm", &[MD, "--remove", &new]).status == 0
        });
        tool("mdadm", &["--zero-superblock", &new]).ok();
        println!("{times:?}");
    }
    times
}

fn timed(act: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    act();
    begun.elapsed().as_secs_f64()
}

fn lvm(words: &[&str]) -> Output {
    let configured = [&words[..1], &["--config", LVM], &words[1..]].concat();
    tool("lvm", &configured)
}
