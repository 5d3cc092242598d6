//! How a mirror half comes back: breakoff's `snapback`, LVM raid1's `lvconvert --splitmirrors 1 --trackchanges` and `--merge`, and
//! breakoff without tracking, on the same kind of disks (each read and write takes some milliseconds), in turns in one run.
//! `scripts/bench snapback` runs it in a VM.
//!
//! Each round has two cycles of split, scattered writes to 1 % of the original, and way back: one without other load, for the time and
//! for what is written to the disk that comes back, and one beside a writer with one write in flight, for its longest stalls.
//! "In sync" is what the kernel says, for all alike.
//!
//! What LVM splits with `--trackchanges` can only be read; breakoff's snapshots can be written too, and such writes would be tracked.
//! LVM notes what is written in regions of 2 MiB if nothing else is asked for. With regions of 256 KiB, what breakoff copies at once, it
//! is measured too.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../tests/support/mod.rs"]
mod support;

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
const SIZE: u64 = 64 * MIB;
/// 1 % of the volume.
const CHANGES: u64 = SIZE / 100 / 4096;
/// The writer's blocks; the scattered changes are behind them.
const WRITER: u64 = 1024;
/// Writes of the writer before and after what is measured.
const WRITES: u64 = 20;
const SLOW: Fault = Fault::Slow { read: 4, write: 4 };
/// Only the test's disks, and nothing that waits for a daemon which is not there.
const LVM: &str =
    r#"devices{use_devicesfile=0 filter=["a|/dev/mapper/t[0-9]+disk[0-9]+$|","r|.*|"]} activation{monitoring=0} global{use_lvmpolld=0}"#;

/// What stands on two disks: the volume `v` of a group, whose second half goes and comes back.
struct Mirror {
    name: &'static str,
    kind: Kind,
    group: &'static str,
    /// The disk of the half that comes back, by index in the lab.
    returning: usize,
    measured: Measured,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Breakoff,
    Lvm,
}

/// One value a round each.
#[derive(Default)]
struct Measured {
    command: Vec<f64>,
    time: Vec<f64>,
    written: Vec<f64>,
    split_stall: Vec<f64>,
    back_stall: Vec<f64>,
    /// Blocks of 4 KiB in which the halves differ when they are said to be in sync: two values a round.
    unequal: Vec<usize>,
}

fn main() {
    let Some(mut lab) = Lab::new("snapback", &["mirror", "raid", "era", "zero", "delay"], &[96; 8]) else { return };
    let mut mirrors = [
        breakoff(&lab, "breakoff", "tracked", 0, "on"),
        lvm(&lab, "LVM raid1", "large", 2, "2m"),
        lvm(&lab, "LVM raid1, 256 KiB", "small", 4, "256k"),
        breakoff(&lab, "breakoff, not tracked", "whole", 6, "off"),
    ];
    (0..lab.disks.len()).for_each(|disk| lab.fault(disk, SLOW));
    for round in 0..ROUNDS {
        for mirror in &mut mirrors {
            mirror.quiet_cycle(&lab, 2 * round);
            mirror.busy_cycle(&lab, 2 * round + 1);
        }
    }
    (0..lab.disks.len()).for_each(|disk| lab.heal(disk));
    let lvm = || mirrors.iter().filter(|mirror| mirror.kind == Kind::Lvm);
    let found_by_md: Vec<(&str, String)> = lvm().map(|mirror| (mirror.name, mirror.checked_by_md(&lab))).collect();
    for mirror in lvm() {
        run_lvm(&["vgremove", "-ff", "-y", mirror.group]).ok();
    }
    lab.finish();
    report(&mirrors);
    for (name, sectors) in found_by_md {
        println!("md's own check of '{name}' at the end finds {sectors} sectors that differ");
    }
}

impl Mirror {
    /// Nobody else is writing, so what is written is all for the half that comes back.
    fn quiet_cycle(&mut self, lab: &Lab, seed: u64) {
        self.split(lab);
        self.change(lab, seed);
        let before = written(lab, self.returning);
        let start = Instant::now();
        self.bring_back(lab);
        self.measured.command.push(start.elapsed().as_secs_f64() * 1e3);
        self.wait_until_equal(lab);
        let time = start.elapsed().as_secs_f64() * 1e3;
        let written = (written(lab, self.returning) - before) as f64 / 1024.0;
        println!("{}: {time:.0} ms, {written} KiB", self.name);
        self.measured.time.push(time);
        self.measured.written.push(written);
        self.recorded(lab);
        self.compare(lab);
    }

    fn busy_cycle(&mut self, lab: &Lab, seed: u64) {
        let load = Writer::start_filled(self.device(lab), 0, WRITER, Style::default());
        let split = stall(&load, || self.split(lab));
        self.change(lab, seed);
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
        self.measured.split_stall.push(split);
        self.measured.back_stall.push(back);
        self.compare(lab);
    }

    /// Writes 4 KiB of noise to each of many places.
    fn change(&self, lab: &Lab, seed: u64) {
        let file = block::open_direct(self.device(lab), false).unwrap();
        let mut dice = Dice::new(seed);
        let mut buffer = Aligned::new(4096);
        for n in 0..CHANGES {
            buffer.bytes_mut().copy_from_slice(&block::noise(seed << 32 | n, 4096));
            let at = WRITER * stamp::BLOCK as u64 + 4096 * dice.roll(SIZE / 4096 - WRITER * stamp::BLOCK as u64 / 4096);
            file.write_all_at(buffer.bytes(), at).unwrap();
        }
    }

    fn device(&self, lab: &Lab) -> PathBuf {
        lab.device(self.group, "v")
    }

    fn split(&self, lab: &Lab) {
        let group = self.group;
        match self.kind {
            Kind::Breakoff => lab.cli(&format!("-g {group} snapshot v --name s")).ok(),
            Kind::Lvm => {
                let (volume, disk) = (format!("{group}/v"), lab.disks[self.returning].word());
                run_lvm(&["lvconvert", "-y", "--splitmirrors", "1", "--trackchanges", &volume, &disk]).ok()
            }
        };
    }

    fn bring_back(&self, lab: &Lab) {
        let group = self.group;
        match self.kind {
            Kind::Breakoff => lab.cli(&format!("-g {group} snapback -b s")).ok(),
            Kind::Lvm => run_lvm(&["lvconvert", "-y", "--merge", &format!("{group}/v_rimage_1")]).ok(),
        };
    }

    fn wait_until_equal(&self, lab: &Lab) {
        until(&format!("{} is in sync", self.name), || self.in_sync(lab));
    }

    /// As the kernel says. With tracking, breakoff's mirror lies beneath the device of the volume's name.
    fn in_sync(&self, lab: &Lab) -> bool {
        let name = format!("{}-v", self.group);
        match self.kind {
            Kind::Breakoff => {
                let legs: Vec<_> = [name.clone(), format!("{name}_data--0")].iter().flat_map(|name| lab.dm.mirrors(name)).collect();
                !legs.is_empty() && legs.iter().all(support::dm::MirrorStatus::in_sync)
            }
            // raid1 LEGS HEALTH DONE/TOTAL ACTION …
            Kind::Lvm => lab.dm.status(&name).unwrap().iter().all(|line| {
                let words = line.words();
                let all = words[3].split_once('/').is_some_and(|(done, total)| done == total);
                words[2] == "AA" && all && words[4] == "idle"
            }),
        }
    }

    /// breakoff takes the next snapshot only of what it knows to be equal.
    fn recorded(&self, lab: &Lab) {
        if self.kind == Kind::Breakoff {
            lab.cli(&format!("-g {} snapwait v", self.group)).ok();
        }
    }

    /// In how many blocks the halves differ, now that they are said to be equal and nobody writes. breakoff's may not.
    fn compare(&mut self, lab: &Lab) {
        if self.kind == Kind::Breakoff {
            plexes::assert_equal(lab, self.group, "v");
            return self.measured.unequal.push(0);
        }
        let [a, b] = [0, 1].map(|n| block::read_direct(format!("/dev/mapper/{}-v_rimage_{n}", self.group), 0, SIZE).unwrap());
        self.measured.unequal.push(a.chunks(4096).zip(b.chunks(4096)).filter(|(a, b)| a != b).count());
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
    stat.split_ascii_whitespace().nth(6).unwrap().parse::<u64>().unwrap() * 512
}

// --------------------------------------------------------------------------------------------------------------- set up

fn breakoff(lab: &Lab, name: &'static str, group: &'static str, first: usize, tracking: &str) -> Mirror {
    lab.create_group_of(group, first..first + 2);
    lab.cli(&format!("-g {group} make v {}m --on disk{:02} --fast-resync {tracking}", SIZE / MIB, first + 1)).ok();
    lab.cli(&format!("-g {group} snapstart v --on disk{:02}", first + 2)).ok();
    Mirror { name, kind: Kind::Breakoff, group, returning: first + 1, measured: Measured::default() }
}

fn lvm(lab: &Lab, name: &'static str, group: &'static str, first: usize, region: &str) -> Mirror {
    let [a, b] = [lab.disks[first].word(), lab.disks[first + 1].word()];
    run_lvm(&["vgcreate", group, &a, &b]).ok();
    let size = format!("{SIZE}b");
    run_lvm(&["lvcreate", "-y", "-Wn", "-Zn", "--type", "raid1", "-m", "1", "-R", region, "-L", &size, "-n", "v", group, &a, &b]).ok();
    let mirror = Mirror { name, kind: Kind::Lvm, group, returning: first + 1, measured: Measured::default() };
    mirror.wait_until_equal(lab);
    mirror
}

fn run_lvm(words: &[&str]) -> Output {
    tool("lvm", &[&words[..1], &["--config", LVM], &words[1..]].concat())
}

// --------------------------------------------------------------------------------------------------------------- report

fn report(mirrors: &[Mirror]) {
    println!("\nsnapback: {} MiB, {CHANGES} scattered writes of 4 KiB since the split, {ROUNDS} rounds", SIZE / MIB);
    println!("(what LVM splits can only be read; breakoff's snapshot can be written)");
    table(mirrors, "from the command to in sync, ms", |measured| &measured.time);
    table(mirrors, "of that, until the command has ended, ms", |measured| &measured.command);
    table(mirrors, "written to the disk that comes back, KiB", |measured| &measured.written);
    table(mirrors, "longest stall of a writer, split, ms", |measured| &measured.split_stall);
    table(mirrors, "longest stall of a writer, way back, ms", |measured| &measured.back_stall);
    println!("\nblocks of 4 KiB in which the halves differ after each way back, without other load and beside a writer in turns");
    for Mirror { name, measured, .. } in mirrors {
        println!("{name:<42} {:?}", measured.unequal);
    }
    if mirrors.iter().any(|mirror| mirror.measured.unequal.iter().any(|blocks| *blocks > 0)) {
        println!("(what has left blocks behind has done less work: its times and bytes are no comparison)");
    }
    let [split, back] = [&mirrors[0].measured.split_stall, &mirrors[0].measured.back_stall].map(|stalls| numbers(stalls));
    println!("\nbreakoff's stall of 'snapback' to that of its 'snapshot': median {:.2}, worst {:.2}", back.0 / split.0, back.1 / split.1);
}

fn table(mirrors: &[Mirror], what: &str, values: fn(&Measured) -> &Vec<f64>) {
    let ours = numbers(values(&mirrors[0].measured));
    println!("\n{what:<42} {:>10} {:>10} {:>14} {:>14}", "median", "worst", "to breakoff's", "to breakoff's");
    for mirror in mirrors {
        let (median, worst) = numbers(values(&mirror.measured));
        println!("{:<42} {median:>10.1} {worst:>10.1} {:>14.2} {:>14.2}", mirror.name, median / ours.0, worst / ours.1);
    }
}

/// The median and the worst.
fn numbers(values: &[f64]) -> (f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    (sorted[sorted.len() / 2], sorted[sorted.len() - 1])
}
