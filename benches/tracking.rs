//! What it costs to note the changes while a snapshot is out: random direct writes of 4 KiB to a
//! volume that is tracked (dm's `era` on top) and to an equal one that is not, in turns in one run.
//! `scripts/bench tracking` runs it in a VM.
//!
//! The first write to a block after a split has to wait until the map is on its disks; that pass,
//! one write to each block, is shown apart. What follows is the steady cost. It is measured on
//! disks that take some milliseconds, as real ones do, with several writes in flight, and on plain
//! ones, where a write is nothing but the (emulated) processor's work and nothing hides what `era`
//! adds.
//!
//! The kernel's slow disks end their requests with the ticks of its clock. Who writes again at once
//! would begin each write with a tick and hide whatever takes less than one; so the writers wait by
//! chance before each write, which is not counted.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};
use support::MIB;
use support::block::{self, Aligned};
use support::dice::Dice;
use support::disk::Fault;
use support::lab::Lab;
use support::udev;

const SIZE: u64 = 16 * MIB;
/// What `era` notes at once in a volume of this size (`table::dco`).
const BLOCK: u64 = 64 << 10;
const WRITE: u64 = 4096;

/// A kind of disks, and how much can be done with them in reasonable time.
struct Disks {
    name: &'static str,
    fault: Option<Fault>,
    rounds: u64,
    /// Turns of each volume in a round after the first pass, and writes in each: many short ones,
    /// so that whatever else the machine does meets both.
    turns: u64,
    writes: u64,
    in_flight: usize,
    /// A writer waits for up to so many µs before each write.
    pause: u64,
}

const KINDS: [Disks; 2] = [
    Disks {
        name: "disks of 8 ms",
        fault: Some(Fault::Slow { read: 8, write: 8 }),
        rounds: 3,
        turns: 16,
        writes: 400,
        in_flight: 4,
        pause: 4000,
    },
    Disks {
        name: "plain disks",
        fault: None,
        rounds: 3,
        turns: 16,
        writes: 500,
        in_flight: 1,
        pause: 0,
    },
];

/// The volume `v` of a group, and the time that one write took in each pass, in µs.
struct Volume {
    name: &'static str,
    group: &'static str,
    first: Vec<f64>,
    steady: Vec<f64>,
}

fn main() {
    let Some(mut lab) = Lab::new("tracking", &["mirror", "era", "zero", "delay"], &[48; 4]) else {
        return;
    };
    let groups = ["tracked", "plain"];
    for (group, tracking) in groups.iter().zip(["on", "off"]) {
        set_up(&lab, group, tracking);
    }
    let measured = KINDS.map(|disks| {
        let mut volumes = [
            volume("tracked", groups[0]),
            volume("not tracked", groups[1]),
        ];
        (0..lab.disks.len()).for_each(|disk| match disks.fault {
            Some(fault) => lab.fault(disk, fault),
            None => lab.heal(disk),
        });
        (0..disks.rounds).for_each(|round| one_round(&lab, &disks, &mut volumes, round));
        (disks, volumes)
    });
    lab.finish();
    report(&measured);
}

fn set_up(lab: &Lab, group: &str, tracking: &str) {
    let first = if tracking == "on" { 0 } else { 2 };
    lab.create_group_of(group, first..first + 2);
    lab.cli(&format!(
        "-g {group} make v {}m --on disk{:02} --fast-resync {tracking}",
        SIZE / MIB,
        first + 1
    ))
    .ok();
    lab.cli(&format!("-g {group} snapstart v --on disk{:02}", first + 2))
        .ok();
}

fn volume(name: &'static str, group: &'static str) -> Volume {
    Volume {
        name,
        group,
        first: Vec::new(),
        steady: Vec::new(),
    }
}

/// A split, each block's first write, then random writes in turns, and the way back.
fn one_round(lab: &Lab, disks: &Disks, volumes: &mut [Volume; 2], round: u64) {
    for volume in volumes.iter() {
        lab.cli(&format!("-g {} snapshot v --name s", volume.group))
            .ok();
    }
    udev::settle();
    for volume in volumes.iter_mut() {
        assert_eq!(
            lab.dm.table(&format!("{}-v", volume.group)).unwrap()[0].target == "era",
            volume.group == "tracked"
        );
        let file = block::open_direct(lab.device(volume.group, "v"), false).unwrap();
        volume.first.push(pass(&file, &every_block(round), disks));
    }
    for turn in 0..disks.turns {
        // Who comes second may have it better or worse: each is first as often.
        let order = if turn % 2 == 0 { [0, 1] } else { [1, 0] };
        for volume in order {
            let file = block::open_direct(lab.device(volumes[volume].group, "v"), false).unwrap();
            let steady = pass(
                &file,
                &anywhere(round * disks.turns + turn, disks.writes),
                disks,
            );
            volumes[volume].steady.push(steady);
        }
    }
    for volume in volumes {
        lab.cli(&format!("-g {} snapback s", volume.group)).ok();
    }
}

/// One place in each block, in an order by chance.
fn every_block(seed: u64) -> Vec<u64> {
    let mut dice = Dice::new(seed);
    let mut places: Vec<(u64, u64)> = (0..SIZE / BLOCK)
        .map(|n| {
            (
                dice.roll(u64::MAX),
                n * BLOCK + WRITE * dice.roll(BLOCK / WRITE),
            )
        })
        .collect();
    places.sort_unstable();
    places.into_iter().map(|(_, at)| at).collect()
}

fn anywhere(seed: u64, writes: u64) -> Vec<u64> {
    let mut dice = Dice::new(seed);
    (0..writes)
        .map(|_| WRITE * dice.roll(SIZE / WRITE))
        .collect()
}

/// Writes to these places, so many at a time; how long each took in the mean, in µs.
fn pass(file: &File, places: &[u64], disks: &Disks) -> f64 {
    let share = places.len().div_ceil(disks.in_flight);
    let took: Duration = std::thread::scope(|scope| {
        let writers: Vec<_> = places
            .chunks(share)
            .map(|places| scope.spawn(move || write_to(file, places, disks.pause)))
            .collect();
        writers
            .into_iter()
            .map(|writer| writer.join().unwrap())
            .sum()
    });
    took.as_secs_f64() * 1e6 / places.len() as f64
}

/// One write after the other; how long they took.
fn write_to(file: &File, places: &[u64], pause: u64) -> Duration {
    let buffer = Aligned::new(WRITE as usize);
    let mut dice = Dice::new(places[0]);
    let one = |at: &u64| {
        if pause > 0 {
            std::thread::sleep(Duration::from_micros(dice.roll(pause)));
        }
        let start = Instant::now();
        file.write_all_at(buffer.bytes(), *at).unwrap();
        start.elapsed()
    };
    places.iter().map(one).sum()
}

fn report(measured: &[(Disks, [Volume; 2])]) {
    println!(
        "\ntracking: direct writes of 4 KiB while a snapshot of {} MiB is out; µs a write",
        SIZE / MIB
    );
    for (disks, volumes) in measured {
        table(
            &format!("first write to each block, {}", disks.name),
            volumes,
            |volume| &volume.first,
        );
        table(
            &format!("steady, {}, {} in flight", disks.name, disks.in_flight),
            volumes,
            |volume| &volume.steady,
        );
    }
}

fn table(what: &str, volumes: &[Volume; 2], passes: fn(&Volume) -> &Vec<f64>) {
    let [tracked, plain] = volumes.each_ref().map(|volume| numbers(passes(volume)));
    println!(
        "\n{:<42} {:>10} {:>10} {:>18} {:>18}",
        format!("{what} ({} passes)", passes(&volumes[0]).len()),
        "median",
        "worst",
        "to not tracked's",
        "to not tracked's"
    );
    for (volume, (median, worst)) in volumes.iter().zip([tracked, plain]) {
        println!(
            "{:<42} {median:>10.1} {worst:>10.1} {:>18.3} {:>18.3}",
            volume.name,
            median / plain.0,
            worst / plain.1
        );
    }
}

/// The median and the worst.
fn numbers(values: &[f64]) -> (f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    (sorted[sorted.len() / 2], sorted[sorted.len() - 1])
}
