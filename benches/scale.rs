//! What a group of many volumes costs beyond the kernel: its configuration is encoded, read and
//! checked, repairs are searched for, changes are planned, and it is shown. `cargo bench --bench
//! scale` runs it, anywhere: no disk and no kernel takes part.
//!
//! What grows with the square of the number of volumes shows as a column that grows by more than
//! ten from one column to the next.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

#[path = "../tests/pure/mod.rs"]
mod pure;

use breakoff::app::Outcome;
use breakoff::meta::record;
use breakoff::model::{DmName, DmUuid, Role, Sectors, VolumeId, check};
use breakoff::plan::evidence::Situation;
use breakoff::plan::finding;
use breakoff::plan::plan;
use breakoff::plan::request::{Request, Selection};
use breakoff::report::{json, text};
use std::hint::black_box;
use std::time::{Duration, Instant};

const NUMBERS: [usize; 4] = [10, 100, 1000, 10_000];

fn main() {
    let mut rows: Vec<(&str, Vec<Duration>)> = Vec::new();
    let mut bytes = Vec::new();
    for number in NUMBERS {
        let world = group_of(number);
        let group = &world.group;
        let payload = record::encode(group, world.generation, None).expect("it fits");
        bytes.push(payload.len());
        let mut measured = Vec::new();
        let mut measure = |what, act: &mut dyn FnMut()| measured.push((what, timed(act)));
        measure("encode the configuration", &mut || {
            drop(black_box(record::encode(group, world.generation, None)));
        });
        measure("decode it", &mut || {
            drop(black_box(record::decode(&payload)));
        });
        measure("check it", &mut || {
            drop(black_box(check::violations(group)));
        });
        measure("look for repairs", &mut || {
            drop(black_box(finding::findings(&world)));
            drop(black_box(finding::converge(&world)));
        });
        measure("plan make", &mut || {
            drop(black_box(
                plan(&world, &pure::make("new", 1, 1)).expect("a plan"),
            ));
        });
        measure("plan snapstart of one", &mut || {
            drop(black_box(
                plan(&world, &pure::snapstart("v0")).expect("a plan"),
            ));
        });
        measure("plan stop --all", &mut || {
            drop(black_box(
                plan(&world, &Request::Stop(Selection::All)).expect("a plan"),
            ));
        });
        let shown = Outcome::Layout(vec![(world.state.clone(), None)], Vec::new());
        measure("print", &mut || {
            drop(black_box(text::outcome(&shown, false)));
        });
        measure("print --json", &mut || {
            drop(black_box(json::success(None, &shown)));
        });
        for (what, took) in measured {
            match rows.iter_mut().find(|(known, _)| *known == what) {
                Some((_, times)) => times.push(took),
                None => rows.push((what, vec![took])),
            }
        }
    }
    report(&rows, &bytes);
}

/// A started group of so many volumes of a mebibyte, each with one plex.
fn group_of(number: usize) -> Situation {
    let mut world = pure::world(3);
    let room = Sectors::mib(20_000);
    for disk in &mut world.group.disks {
        disk.size = room;
    }
    pure::done(&mut world, &pure::make("v0", 1, 1));
    let first = world.group.volumes[0].clone();
    let device = world.devices.values().next().expect("its device").clone();
    for n in 1..u32::try_from(number).expect("a number") {
        let mut volume = first.clone();
        volume.id = VolumeId::random();
        volume.name = pure::name(&format!("v{n}"));
        let mut made = device.clone();
        made.uuid = DmUuid::new(world.group.id, volume.id, &Role::Volume);
        made.name = DmName::volume(&world.group.name, &volume.name).expect("a dm name");
        made.dev.minor = n;
        let plex = &mut volume.plexes[0];
        plex.name = pure::name(&format!("v{n}-01"));
        let extent = &mut plex.subdisks[0];
        extent.start = extent.start.saturating_add(Sectors::mib(n));
        let start = world.group.disks[0].data_start.saturating_add(extent.start);
        let (disk, _) = device.table[0].params.split_once(' ').expect("a place");
        made.table[0].params = format!("{disk} {}", start.get());
        world.group.volumes.push(volume);
        world.devices.insert(made.uuid.clone(), made);
    }
    world.taken_names = world.devices.values().map(|d| d.name.clone()).collect();
    assert!(
        !finding::converge(&world).has_steps(),
        "the kernel has what it should"
    );
    world
}

/// The least time of several.
fn timed(act: &mut dyn FnMut()) -> Duration {
    let once = || {
        let begun = Instant::now();
        act();
        begun.elapsed()
    };
    std::iter::repeat_with(once).take(3).min().expect("three")
}

fn report(rows: &[(&str, Vec<Duration>)], bytes: &[usize]) {
    print!("{:<28}", "ms, for so many volumes");
    NUMBERS.iter().for_each(|number| print!("{number:>12}"));
    println!();
    for (what, times) in rows {
        print!("{what:<28}");
        times
            .iter()
            .for_each(|took| print!("{:>12.2}", took.as_secs_f64() * 1e3));
        println!();
    }
    print!("{:<28}", "bytes on each disk");
    bytes.iter().for_each(|bytes| print!("{bytes:>12}"));
    println!();
}
