//! What commands on one volume cost when its group has ten thousand others: the same with 10 and
//! with 10,000 volumes, all of them started. `scripts/bench many` runs it in a VM.
//!
//! The others are not made one by one: their configuration is committed at once, and their devices
//! are made without udev.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod common;
#[path = "../tests/support/mod.rs"]
mod support;

use breakoff::linux::Here;
use breakoff::meta::{self, Label, Member};
use breakoff::model::{DmName, DmUuid, Extent, Group, Name, Role, Sectors, Volume, VolumeId};
use breakoff::sys::disk::Access;
use breakoff::sys::machine::Machine;
use common::Row;
use nix::sys::signal::Signal;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use support::MIB;
use support::child::tool;
use support::disk::Fault;
use support::dm::Line;
use support::lab::{Lab, until};
use support::monitor;
use support::udev;
use support::writer::{Style, Writer};

const FEW: usize = 10;
const MANY: usize = 10_000;
/// Commands are measured once: with many volumes each takes long on an emulated machine.
const ROUNDS: usize = 1;
/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(600);
const STALLS: usize = 3;

/// What was measured with one number of volumes.
#[derive(Default)]
struct Measured {
    /// By what was done, in seconds.
    commands: Vec<(&'static str, Vec<f64>)>,
    /// The memory of the monitor, in MiB.
    memory: f64,
    /// How long a writer stands still when a leg dies, in milliseconds.
    stalls: Vec<f64>,
}

fn main() {
    let Some(mut lab) = Lab::new("many", &["mirror", "era", "zero", "error"], &[12_000; 3]) else {
        return;
    };
    let disks: Vec<String> = lab.disks.iter().map(support::disk::Disk::word).collect();
    lab.cli(&format!("group create g --area 16m {}", disks.join(" ")))
        .ok();
    // One that is mirrored, one that is split, and the others.
    lab.cli("-g g make mirrored 16m --mirrors 2 --on disk02,disk03")
        .ok();
    lab.cli("-g g make v 16m --on disk02").ok();
    lab.wait_synced("g", "mirrored");
    for n in 2..FEW {
        lab.cli(&format!("-g g make v{n} 1m --on disk01")).ok();
    }
    let few = measure(&mut lab);
    add_volumes(&lab, MANY - FEW);
    let many = measure(&mut lab);
    report(&few, &many);
    // The machine goes with its ten thousand devices.
    std::mem::forget(lab);
}

fn measure(lab: &mut Lab) -> Measured {
    let mut measured = Measured::default();
    let mut timed = |what: &'static str, words: &str| {
        let begun = Instant::now();
        lab.spawn(words).wait(PATIENCE).ok();
        let took = begun.elapsed().as_secs_f64();
        println!("{what}: {took:.2} s");
        match measured
            .commands
            .iter_mut()
            .find(|(known, _)| *known == what)
        {
            Some((_, times)) => times.push(took),
            None => measured.commands.push((what, vec![took])),
        }
    };
    for _ in 0..ROUNDS {
        timed("print of one volume", "-g g print v");
        timed("print of all", "-g g print");
        timed("make", "-g g make new 1m --on disk01");
        timed("remove", "-y -g g remove new");
        timed("snapstart", "-g g snapstart v --on disk03");
        timed("snapshot", "-g g snapshot v --name s");
        timed("snapback", "-g g snapback s");
        timed("snapabort", "-g g snapabort v");
    }
    until("a monitor runs", || monitor::running().is_some());
    std::thread::sleep(Duration::from_secs(5));
    measured.stalls = (0..STALLS).map(|_| stall(lab)).collect();
    measured.memory = memory(monitor::running().unwrap());
    println!(
        "monitor: {:.1} MiB, stalls {:?}",
        measured.memory, measured.stalls
    );
    measured
}

/// The most memory that a process has had, in MiB.
fn memory(pid: i32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kib = line.unwrap().split_ascii_whitespace().nth(1).unwrap();
    kib.parse::<f64>().unwrap() / 1024.0
}

/// How long a writer stands still when the second leg of its volume dies.
fn stall(lab: &mut Lab) -> f64 {
    let style = Style {
        dsync: false,
        pause: Duration::from_millis(1),
    };
    let load = Writer::start(lab.device("g", "mirrored"), 0, 1024, style);
    load.goes_on(100);
    load.forget_stalls();
    lab.fault(2, Fault::Fail);
    load.goes_on(100);
    let stall = load.longest_stall().as_secs_f64() * 1e3;
    load.stop().verify(lab.device("g", "mirrored"));
    lab.heal(2);
    lab.spawn("-g g plex attach mirrored-02")
        .wait(PATIENCE)
        .ok();
    stall
}

/// Adds started volumes of a mebibyte on the first disk.
fn add_volumes(lab: &Lab, count: usize) {
    let (group, volumes) = commit(lab, count);
    let number = fs::canonicalize(lab.disks[0].path()).unwrap();
    let number = fs::read_to_string(
        PathBuf::from("/sys/class/block")
            .join(number.file_name().unwrap())
            .join("dev"),
    );
    let number = number.unwrap();
    let data_start = group.disks[0].data_start;
    // udev would run its rules for each of them.
    udev::tell(Signal::SIGKILL);
    for volume in &volumes {
        let name = DmName::volume(&group.name, &volume.name)
            .unwrap()
            .to_string();
        let uuid = DmUuid::new(group.id, volume.id, &Role::Volume).to_string();
        let start = data_start.saturating_add(volume.plexes[0].subdisks[0].start);
        let place = format!("{} {}", number.trim(), start.get());
        let line = Line::new(0, volume.size.get(), "linear", place);
        lab.dm.create(&name, &uuid).unwrap();
        lab.dm.load(&name, &[line]).unwrap();
        lab.dm.resume(&name).unwrap();
        let minor = lab.dm.info(&name).unwrap().number();
        let node = format!("../dm-{}", minor.split_once(':').unwrap().1);
        symlink(&node, format!("/dev/mapper/{name}")).unwrap();
        symlink(
            format!("../{node}"),
            format!("/dev/breakoff/g/{}", volume.name),
        )
        .unwrap();
    }
    tool("/lib/systemd/systemd-udevd", &["--daemon"]).ok();
    udev::settle();
    println!("{count} volumes added");
}

/// Commits a configuration with so many more volumes.
fn commit(lab: &Lab, count: usize) -> (Group, Vec<Volume>) {
    let machine = Here::default();
    let mut labels: Vec<(String, Label)> = Vec::new();
    let mut members = Vec::new();
    for disk in &lab.disks {
        let media = machine.media(&disk.path(), Access::ReadWrite).unwrap();
        let label = meta::read_disk(media.as_ref()).unwrap().unwrap();
        labels.push((disk.word(), label.clone()));
        members.push(Member {
            disk: label.disk(),
            name: disk.word(),
            media,
            label,
        });
    }
    let id = *meta::groups(&labels).first().unwrap();
    let chosen = meta::choose(id, &labels).unwrap();
    let mut group = chosen.group;
    let disk = group.disks[0].id;
    let on_it = |extent: &&Extent| extent.disk == disk;
    let used = group.volumes.iter().flat_map(Volume::extents).filter(on_it);
    let free = used
        .map(Extent::end)
        .max()
        .unwrap_or_default()
        .round_up(Sectors::MIB);
    let first = group
        .volume_named(&Name::parse("v2").unwrap())
        .unwrap()
        .clone();
    let volumes: Vec<Volume> = (0..count)
        .map(|n| {
            let name = format!("w{n}");
            let mut volume = first.clone();
            volume.id = VolumeId::random();
            volume.name = Name::parse(&name).unwrap();
            let plex = &mut volume.plexes[0];
            plex.name = Name::parse(&format!("{name}-01")).unwrap();
            let before = Sectors::new(n as u64 * MIB / 512).unwrap();
            plex.subdisks[0].start = free.saturating_add(before);
            volume
        })
        .collect();
    group.volumes.extend(volumes.iter().cloned());
    let mut prepared = meta::prepare(&mut members, &group, chosen.next, &chosen.lineage).unwrap();
    assert!(prepared.flip().committed());
    (group, volumes)
}

fn report(few: &Measured, many: &Measured) {
    let name = format!("{FEW} volumes");
    let pairs = few.commands.iter().zip(&many.commands);
    let mut rows: Vec<Row> = pairs
        .map(|((what, few), (_, many))| {
            let row = Row::new(format!("{what}, {MANY} volumes"), "s", many);
            row.beside(&name, few).times(2.0, &[&name])
        })
        .collect();
    let memory = Row::new(
        format!("memory of the monitor, {MANY} volumes"),
        "MiB",
        &[many.memory],
    );
    rows.push(memory.beside(&name, &[few.memory]).at_most(32.0));
    let stall = Row::new(
        format!("a writer stands still when a leg dies, {MANY} volumes"),
        "ms",
        &many.stalls,
    );
    rows.push(stall.beside(&name, &few.stalls).times(2.0, &[&name]));
    common::report("many", "a group of very many volumes", &rows);
}
