//! How a mirror half comes back: breakoff's `snapback`, LVM raid1's `lvconvert --splitmirrors 1
//! --trackchanges` and `--merge`, md's `--fail`, `--remove` and `--re-add` of a half of a raid1
//! with a bitmap, and breakoff without tracking, on the same kind of disks (each read and write
//! takes some milliseconds), in turns in one run. `scripts/bench snapback` runs it in a VM.
//!
//! Each round has three cycles of split, writes to 1 % of the original, and way back. Two are
//! without other load, for the time and for what is written to the disk that comes back: one after
//! writes all over the volume, one after a few large ones, as files are. The third is beside a
//! writer with one write in flight, for its longest stalls. "In sync" is what the kernel says, for
//! all alike.
//!
//! What LVM splits with `--trackchanges` can only be read, and what md lets go of must not be
//! written; breakoff's snapshots can be written, and such writes would be tracked. LVM notes what
//! is written in regions of 2 MiB if nothing else is asked for; md gets a bitmap of 256 KiB, the
//! least that breakoff copies at once. md's own brake on a resync, for LVM's halves too, is off.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;
#[path = "../tests/support/mod.rs"]
mod support;

use common::Row;

use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use support::block::{self, Aligned};
use support::child::{Output, tool};
use support::dice::Dice;
use support::disk::Fault;
use support::lab::{Lab, until};
use support::plexes;
use support::writer::{Style, Writer};
use support::{MIB, stamp};

const ROUNDS: u64 = 3;
const SIZE: u64 = 128 * MIB;
/// What is written in each cycle: 1 % of the volume, in so many places of so many bytes.
const SCATTERED: (u64, usize) = (SIZE / 100 / 4096, 4096);
const LARGE: (u64, usize) = (5, 256 << 10);
/// The writer's blocks; the scattered changes are behind them.
const WRITER: u64 = 1024;
/// How long a writer is watched while nothing else goes on.
const QUIET: Duration = Duration::from_secs(2);
/// Writes of the writer before and after what is measured.
const WRITES: u64 = 20;
const SLOW: Fault = Fault::Slow { read: 4, write: 4 };
/// Only the test's disks, and nothing that waits for a daemon which is not there.
const LVM: &str = r#"devices{use_devicesfile=0 filter=["a|/dev/mapper/t[0-9]+disk[0-9]+$|","r|.*|"]} activation{monitoring=0} global{use_lvmpolld=0}"#;

/// What stands on two disks: the volume `v` of a group, whose second half goes and comes back.
struct Mirror {
    name: &'static str,
    kind: Kind,
    group: &'static str,
    /// The disk of the half that comes back, by index in the lab; the other one is before it.
    returning: usize,
    measured: Measured,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Breakoff,
    Lvm,
    Md,
}

/// One value a round each.
#[derive(Default)]
struct Measured {
    command: Vec<f64>,
    scattered: Way,
    large: Way,
    /// Of a writer with nothing else going on.
    quiet_stall: Vec<f64>,
    split_stall: Vec<f64>,
    back_stall: Vec<f64>,
    /// Blocks of 4 KiB in which the halves differ when they are said to be in sync: three values a
    /// round.
    unequal: Vec<usize>,
}

/// A way back without other load.
#[derive(Default)]
struct Way {
    time: Vec<f64>,
    written: Vec<f64>,
}

fn main() {
    let Some(mut lab) = Lab::new(
        "snapback",
        &["mirror", "raid", "era", "zero", "delay"],
        &[160; 8],
    ) else {
        return;
    };
    std::fs::write("/proc/sys/dev/raid/speed_limit_min", "1000000").unwrap();
    std::fs::write("/proc/sys/dev/raid/speed_limit_max", "1000000").unwrap();
    let mut mirrors = [
        breakoff(&lab, "breakoff", "tracked", 0, "on"),
        lvm(&lab, "LVM raid1", "lvm", 2),
        md(&lab, "md raid1, re-add", "md10", 4),
        breakoff(&lab, "breakoff, not tracked", "whole", 6, "off"),
    ];
    (0..lab.disks.len()).for_each(|disk| lab.fault(disk, SLOW));
    for round in 0..ROUNDS {
        for mirror in &mut mirrors {
            mirror.quiet_cycle(&lab, 3 * round, SCATTERED, |measured| {
                &mut measured.scattered
            });
            mirror.quiet_cycle(&lab, 3 * round + 1, LARGE, |measured| &mut measured.large);
            mirror.busy_cycle(&lab, 3 * round + 2);
        }
    }
    (0..lab.disks.len()).for_each(|disk| lab.heal(disk));
    let lvm = || mirrors.iter().filter(|mirror| mirror.kind == Kind::Lvm);
    let found_by_md: Vec<(&str, String)> = lvm()
        .map(|mirror| (mirror.name, mirror.checked_by_md(&lab)))
        .collect();
    for mirror in lvm() {
        run_lvm(&["vgremove", "-ff", "-y", mirror.group]).ok();
    }
    for mirror in mirrors.iter().filter(|mirror| mirror.kind == Kind::Md) {
        tool(
            "mdadm",
            &["--stop", &mirror.device(&lab).display().to_string()],
        )
        .ok();
    }
    lab.finish();
    report(&mirrors);
    for (name, sectors) in found_by_md {
        println!("md's own check of '{name}' at the end finds {sectors} sectors that differ");
    }
}

impl Mirror {
    /// Nobody else is writing, so what is written is all for the half that comes back.
    fn quiet_cycle(
        &mut self,
        lab: &Lab,
        seed: u64,
        changes: (u64, usize),
        way: fn(&mut Measured) -> &mut Way,
    ) {
        self.split(lab);
        self.change(lab, seed, changes);
        let before = written(lab, self.returning);
        let start = Instant::now();
        self.bring_back(lab);
        self.measured
            .command
            .push(start.elapsed().as_secs_f64() * 1e3);
        self.wait_until_equal(lab);
        let time = start.elapsed().as_secs_f64() * 1e3;
        let written = (written(lab, self.returning) - before) as f64 / 1024.0;
        println!(
            "{}: {time:.0} ms, {written} KiB after writes of {} bytes",
            self.name, changes.1
        );
        way(&mut self.measured).time.push(time);
        way(&mut self.measured).written.push(written);
        self.recorded(lab);
        self.compare(lab);
    }

    fn busy_cycle(&mut self, lab: &Lab, seed: u64) {
        let load = Writer::start_filled(self.device(lab), 0, WRITER, Style::default());
        let quiet = stall(&load, || std::thread::sleep(QUIET));
        let split = stall(&load, || self.split(lab));
        self.change(lab, seed, SCATTERED);
        let back = stall(&load, || {
            self.bring_back(lab);
            self.wait_until_equal(lab);
            // What belongs to the way back is done by then, in its windows, too.
            self.recorded(lab);
        });
        let expected = load.stop();
        // LVM may read from a half that is not equal: how much differs is reported.
        if self.kind == Kind::Breakoff {
            expected.verify(self.device(lab));
        }
        println!("{}: stalls of {split:.0} ms and {back:.0} ms", self.name);
        self.measured.quiet_stall.push(quiet);
        self.measured.split_stall.push(split);
        self.measured.back_stall.push(back);
        self.compare(lab);
    }

    /// Writes noise to each of these many places, behind the writer's.
    fn change(&self, lab: &Lab, seed: u64, (places, length): (u64, usize)) {
        let file = block::open_direct(self.device(lab), false).unwrap();
        let mut dice = Dice::new(seed);
        let mut buffer = Aligned::new(length);
        let writer = WRITER * stamp::BLOCK as u64;
        for n in 0..places {
            buffer
                .bytes_mut()
                .copy_from_slice(&block::noise(seed << 32 | n, length));
            let at = writer + 4096 * dice.roll((SIZE - writer - length as u64) / 4096 + 1);
            file.write_all_at(buffer.bytes(), at).unwrap();
        }
    }

    fn device(&self, lab: &Lab) -> PathBuf {
        match self.kind {
            Kind::Md => PathBuf::from("/dev").join(self.group),
            _ => lab.device(self.group, "v"),
        }
    }

    fn split(&self, lab: &Lab) {
        let group = self.group;
        match self.kind {
            Kind::Breakoff => lab.cli(&format!("-g {group} snapshot v --name s")).ok(),
            Kind::Lvm => {
                let (volume, disk) = (format!("{group}/v"), lab.disks[self.returning].word());
                run_lvm(&[
                    "lvconvert",
                    "-y",
                    "--splitmirrors",
                    "1",
                    "--trackchanges",
                    &volume,
                    &disk,
                ])
                .ok()
            }
            Kind::Md => {
                let (array, disk) = (
                    self.device(lab).display().to_string(),
                    lab.disks[self.returning].word(),
                );
                // The kernel is not done with it at once.
                let failed = tool("mdadm", &[&array, "--fail", &disk]).ok();
                until("md lets go of the disk", || {
                    tool("mdadm", &[&array, "--remove", &disk]).status == 0
                });
                failed
            }
        };
    }

    fn bring_back(&self, lab: &Lab) {
        let group = self.group;
        match self.kind {
            Kind::Breakoff => lab.cli(&format!("-g {group} snapback -b s")).ok(),
            Kind::Lvm => {
                run_lvm(&["lvconvert", "-y", "--merge", &format!("{group}/v_rimage_1")]).ok()
            }
            Kind::Md => tool(
                "mdadm",
                &[
                    &self.device(lab).display().to_string(),
                    "--re-add",
                    &lab.disks[self.returning].word(),
                ],
            )
            .ok(),
        };
    }

    fn wait_until_equal(&self, lab: &Lab) {
        until(&format!("{} is in sync", self.name), || self.in_sync(lab));
    }

    /// As the kernel says. With tracking, breakoff's mirror lies beneath the device of the volume's
    /// name.
    fn in_sync(&self, lab: &Lab) -> bool {
        let name = format!("{}-v", self.group);
        match self.kind {
            Kind::Breakoff => {
                let legs: Vec<_> = [name.clone(), format!("{name}_data--0")]
                    .iter()
                    .flat_map(|name| lab.dm.mirrors(name))
                    .collect();
                !legs.is_empty() && legs.iter().all(support::dm::MirrorStatus::in_sync)
            }
            // raid1 LEGS HEALTH DONE/TOTAL ACTION …
            Kind::Lvm => lab.dm.status(&name).unwrap().iter().all(|line| {
                let words = line.words();
                let all = words[3]
                    .split_once('/')
                    .is_some_and(|(done, total)| done == total);
                words[2] == "AA" && all && words[4] == "idle"
            }),
            Kind::Md => self.md_says("degraded") == "0" && self.md_says("sync_action") == "idle",
        }
    }

    fn md_says(&self, what: &str) -> String {
        let path = format!("/sys/block/{}/md/{what}", self.group);
        std::fs::read_to_string(&path)
            .unwrap_or_else(|err| panic!("{path}: {err}"))
            .trim()
            .to_owned()
    }

    /// breakoff takes the next snapshot only of what it knows to be equal.
    fn recorded(&self, lab: &Lab) {
        if self.kind == Kind::Breakoff {
            lab.cli(&format!("-g {} snapwait v", self.group)).ok();
        }
    }

    /// In how many blocks the halves differ, now that they are said to be equal and nobody writes.
    /// breakoff's may not.
    fn compare(&mut self, lab: &Lab) {
        if self.kind == Kind::Breakoff {
            plexes::assert_equal(lab, self.group, "v");
            return self.measured.unequal.push(0);
        }
        let [a, b] = [0, 1].map(|n| match self.kind {
            Kind::Md => {
                let disk = &lab.disks[self.returning - 1 + n];
                let number = lab.dm.info(&disk.name).unwrap().number();
                let device = std::fs::canonicalize(format!("/sys/dev/block/{number}")).unwrap();
                let offset = self.md_says(&format!(
                    "dev-{}/offset",
                    device.file_name().unwrap().display()
                ));
                block::read_direct(disk.path(), offset.parse::<u64>().unwrap() * 512, SIZE).unwrap()
            }
            _ => block::read_direct(format!("/dev/mapper/{}-v_rimage_{n}", self.group), 0, SIZE)
                .unwrap(),
        });
        self.measured.unequal.push(
            a.chunks(4096)
                .zip(b.chunks(4096))
                .filter(|(a, b)| a != b)
                .count(),
        );
    }

    /// What md itself finds when it compares the halves, for who doubts how it is done here.
    fn checked_by_md(&self, lab: &Lab) -> String {
        let name = format!("{}-v", self.group);
        lab.dm.message(&name, "check").unwrap();
        std::thread::sleep(Duration::from_secs(2));
        self.wait_until_equal(lab);
        lab.dm.status(&name).unwrap()[0].words()[5].to_owned()
    }
}

/// The longest that a write took while something happened, in ms.
fn stall(load: &Writer, act: impl FnOnce()) -> f64 {
    load.goes_on(WRITES);
    load.forget_stalls();
    act();
    load.goes_on(WRITES);
    load.longest_stall().as_secs_f64() * 1e3
}

/// What has been written to a disk, in bytes, metadata and all.
fn written(lab: &Lab, disk: usize) -> u64 {
    let number = lab.dm.info(&lab.disks[disk].name).unwrap().number();
    let stat = std::fs::read_to_string(format!("/sys/dev/block/{number}/stat")).unwrap();
    stat.split_ascii_whitespace()
        .nth(6)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        * 512
}

// ------------------------------------------------------------------------------------------ set up

fn breakoff(
    lab: &Lab,
    name: &'static str,
    group: &'static str,
    first: usize,
    tracking: &str,
) -> Mirror {
    lab.create_group_of(group, first..first + 2);
    lab.cli(&format!(
        "-g {group} make v {}m --on disk{:02} --fast-resync {tracking}",
        SIZE / MIB,
        first + 1
    ))
    .ok();
    lab.cli(&format!("-g {group} snapstart v --on disk{:02}", first + 2))
        .ok();
    Mirror {
        name,
        kind: Kind::Breakoff,
        group,
        returning: first + 1,
        measured: Measured::default(),
    }
}

fn lvm(lab: &Lab, name: &'static str, group: &'static str, first: usize) -> Mirror {
    let [a, b] = [lab.disks[first].word(), lab.disks[first + 1].word()];
    run_lvm(&["vgcreate", group, &a, &b]).ok();
    let size = format!("{SIZE}b");
    run_lvm(&[
        "lvcreate", "-y", "-Wn", "-Zn", "--type", "raid1", "-m", "1", "-L", &size, "-n", "v",
        group, &a, &b,
    ])
    .ok();
    let mirror = Mirror {
        name,
        kind: Kind::Lvm,
        group,
        returning: first + 1,
        measured: Measured::default(),
    };
    mirror.wait_until_equal(lab);
    mirror
}

fn md(lab: &Lab, name: &'static str, array: &'static str, first: usize) -> Mirror {
    let [a, b] = [lab.disks[first].word(), lab.disks[first + 1].word()];
    let mirror = Mirror {
        name,
        kind: Kind::Md,
        group: array,
        returning: first + 1,
        measured: Measured::default(),
    };
    let device = mirror.device(lab).display().to_string();
    let size = format!("--size={}", SIZE / 1024);
    let bitmap = ["--bitmap=internal", "--bitmap-chunk=256K"];
    let create = [
        "--create",
        &device,
        "--run",
        "--level=1",
        "--raid-devices=2",
        "--metadata=1.2",
        &size,
    ];
    tool("mdadm", &[&create[..], &bitmap, &[&a, &b]].concat()).ok();
    mirror.wait_until_equal(lab);
    mirror
}

fn run_lvm(words: &[&str]) -> Output {
    tool(
        "lvm",
        &[&words[..1], &["--config", LVM], &words[1..]].concat(),
    )
}

// ------------------------------------------------------------------------------------------ report

fn report(mirrors: &[Mirror]) {
    println!(
        "\nsnapback: {} MiB, 1 % written since the split, {ROUNDS} rounds",
        SIZE / MIB
    );
    println!("(only breakoff's snapshot may be written meanwhile)");
    for (what, way) in [
        ("4 KiB each", (|m| &m.scattered) as fn(&Measured) -> &Way),
        ("256 KiB each", |m| &m.large),
    ] {
        println!("\nwrites of {what}");
        table(mirrors, "from the command to in sync, ms", |measured| {
            &way(measured).time
        });
        table(
            mirrors,
            "written to the disk that comes back, KiB",
            |measured| &way(measured).written,
        );
    }
    table(mirrors, "until the command has ended, ms", |measured| {
        &measured.command
    });
    table(
        mirrors,
        "longest stall of a writer, split, ms",
        |measured| &measured.split_stall,
    );
    table(
        mirrors,
        "longest stall of a writer, way back, ms",
        |measured| &measured.back_stall,
    );
    println!("\nblocks of 4 KiB in which the halves differ after each way back");
    for Mirror { name, measured, .. } in mirrors {
        println!("{name:<42} {:?}", measured.unequal);
    }
    if mirrors
        .iter()
        .any(|mirror| mirror.measured.unequal.iter().any(|blocks| *blocks > 0))
    {
        println!(
            "(what has left blocks behind has done less work: its times and bytes are no comparison)"
        );
    }
    let [split, back] = [
        &mirrors[0].measured.split_stall,
        &mirrors[0].measured.back_stall,
    ]
    .map(|stalls| numbers(stalls));
    common::report("targets", "of the above", &rows(mirrors));
    println!(
        "\nbreakoff's stall of 'snapback' to that of its 'snapshot': median {:.2}, worst {:.2}",
        back.0 / split.0,
        back.1 / split.1
    );
}

/// What has a target.
fn rows(mirrors: &[Mirror]) -> Vec<Row> {
    let [ours, lvm, md] = [0, 1, 2].map(|at| &mirrors[at].measured);
    let worst = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
    let above = worst(&ours.split_stall) - worst(&ours.quiet_stall);
    vec![
        Row::new(
            "snapback, 1 % changed in scattered 4 KiB",
            "ms",
            &ours.scattered.time,
        )
        .beside("LVM", &lvm.scattered.time)
        .beside("md", &md.scattered.time)
        .times(1.0, &["md"]),
        Row::new(
            "longest stall of a writer in a split",
            "ms",
            &ours.split_stall,
        )
        .beside("LVM", &lvm.split_stall)
        .beside("md", &md.split_stall)
        .worst()
        .times(1.0, &["LVM"]),
        Row::new("the same above the worst without a split", "ms", &[above])
            .worst()
            .at_most(5.0),
    ]
}

fn table<'m>(mirrors: &'m [Mirror], what: &str, values: impl Fn(&'m Measured) -> &'m Vec<f64>) {
    let ours = numbers(values(&mirrors[0].measured));
    println!(
        "\n{what:<42} {:>10} {:>10} {:>14} {:>14}",
        "median", "worst", "to breakoff's", "to breakoff's"
    );
    for mirror in mirrors {
        let (median, worst) = numbers(values(&mirror.measured));
        println!(
            "{:<42} {median:>10.1} {worst:>10.1} {:>14.2} {:>14.2}",
            mirror.name,
            median / ours.0,
            worst / ours.1
        );
    }
}

/// The median and the worst.
fn numbers(values: &[f64]) -> (f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    (sorted[sorted.len() / 2], sorted[sorted.len() - 1])
}
