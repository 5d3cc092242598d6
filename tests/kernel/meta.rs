//! The configuration on the disks: torn, cloned, contradicting, full; and commands that run at the
//! same time.

use crate::support::lab::Lab;
use crate::support::writer::{Style, Writer};
use crate::support::{MIB, block, udev};
use breakoff::linux::disk::media::BlockMedia;
use breakoff::meta::{self, Member};
use breakoff::model::{Extent, Lanes, Name, NodeOwner, Plex, PlexState, Sectors, Volume, VolumeId};
use breakoff::sys::disk::Access;
use std::fs::File;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(120);
/// The default private area, which every disk of these tests has.
const AREA: u64 = 4 * MIB;
const SUPERBLOCKS: [u64; 2] = [4096, 8192];

fn areas(lab: &Lab) -> Vec<Vec<u8>> {
    lab.disks.iter().map(|d| d.raw(0, AREA)).collect()
}

fn write_areas(lab: &Lab, areas: &[Vec<u8>]) {
    lab.disks
        .iter()
        .zip(areas)
        .for_each(|(disk, area)| disk.raw_write(0, area));
}

/// The blocks of 4 KiB in which two areas differ, as offsets.
fn changed(before: &[u8], after: &[u8]) -> Vec<u64> {
    let blocks = before
        .chunks(4096)
        .zip(after.chunks(4096))
        .zip((0..).step_by(4096));
    blocks
        .filter(|((b, a), _)| b != a)
        .map(|(_, at)| at)
        .collect()
}

fn flip(lab: &Lab, disk: usize, at: u64) {
    let mut block = lab.disks[disk].raw(at, 4096);
    block.iter_mut().take(64).for_each(|b| *b ^= 0xff);
    lab.disks[disk].raw_write(at, &block);
}

/// Lets udev look at a disk again, as it does when somebody has written to it.
fn look_again(lab: &Lab, disk: usize) {
    drop(
        File::options()
            .write(true)
            .open(lab.disks[disk].path())
            .unwrap(),
    );
    udev::settle();
}

// ------------------------------------------------------------------------------ torn and corrupted

#[test]
fn a_torn_superblock_or_payload_on_one_disk_costs_only_a_warning_and_is_healed() {
    let lab = lab!(["linear"], [16, 16]);
    lab.create_group("g");
    lab.cli("-g g make a 1m").ok();
    let before = areas(&lab);
    lab.cli("-g g make b 1m").ok();
    let after = areas(&lab);
    let written = changed(&before[0], &after[0]);
    assert!(
        written.iter().any(|at| SUPERBLOCKS.contains(at)),
        "a commit writes a superblock: {written:?}"
    );
    assert!(
        written.iter().any(|at| !SUPERBLOCKS.contains(at)),
        "and a payload: {written:?}"
    );

    for at in written {
        flip(&lab, 0, at);
        let printed = lab.cli("--json -g g print").ok();
        assert!(!printed.stderr.is_empty(), "no warning for block {at}");
        assert_eq!(lab.print("g").names(), ["a", "b"], "block {at}");
        assert_eq!(areas(&lab)[1], after[1], "reading never writes");
        write_areas(&lab, &after);
    }

    flip(&lab, 0, SUPERBLOCKS[0]);
    flip(&lab, 0, SUPERBLOCKS[1]);
    write_areas(&lab, &[after[0].clone(), after[1].clone()]);
    flip(
        &lab,
        0,
        *changed(&before[0], &after[0])
            .iter()
            .find(|at| SUPERBLOCKS.contains(at))
            .unwrap(),
    );
    lab.cli("-g g make c 1m").ok();
    let healed = lab.cli("--json -g g print").ok();
    assert!(
        healed.stderr.is_empty(),
        "the next write heals it: {healed}"
    );
    // Now the other disk can go.
    SUPERBLOCKS.iter().for_each(|at| flip(&lab, 1, *at));
    assert_eq!(lab.print("g").names(), ["a", "b", "c"]);
    write_areas(&lab, &[areas(&lab)[0].clone(), after[1].clone()]);
    lab.cli("-g g print").ok();
    lab.finish();
}

#[test]
fn both_superblocks_of_one_disk_may_be_torn() {
    let lab = lab!(["linear"], [16, 16, 16]);
    lab.create_group("g");
    lab.cli("-g g make a 4m --on disk01").ok();
    let load = Writer::start_filled(lab.device("g", "a"), 0, 64, Style::default());
    let sound = areas(&lab);
    SUPERBLOCKS.iter().for_each(|at| flip(&lab, 0, *at));

    let printed = lab.cli("-g g print").ok();
    assert!(!printed.stderr.is_empty(), "no warning: {printed}");
    assert_eq!(lab.print("g").names(), ["a"]);
    load.goes_on(30);
    lab.cli("-g g make b 4m --on disk02").ok();
    assert_eq!(lab.print("g").names(), ["a", "b"]);

    // An old copy that comes back is outvoted by its generation, and healed.
    lab.disks[0].raw_write(0, &sound[0]);
    look_again(&lab, 0);
    assert_eq!(lab.print("g").names(), ["a", "b"]);
    lab.cli("-g g make c 4m --on disk01").ok();
    assert!(lab.cli("--json -g g print").ok().stderr.is_empty());
    load.stop().verify(lab.device("g", "a"));
    lab.finish();
}

#[test]
fn the_only_disk_falls_back_to_the_configuration_before() {
    let lab = lab!(["linear"], [16]);
    lab.create_group("g");
    lab.cli("-g g make a 1m").ok();
    lab.cli("-g g stop a").ok();
    let before = areas(&lab);
    let generation = lab.print("g").generation;
    lab.cli("-g g rename a b").ok();
    let newest = changed(&before[0], &areas(&lab)[0])
        .into_iter()
        .find(|at| SUPERBLOCKS.contains(at))
        .unwrap();
    flip(&lab, 0, newest);
    let printed = lab.cli("-g g print").ok();
    assert!(!printed.stderr.is_empty());
    let group = lab.print("g");
    assert!(
        group.generation >= generation && group.volumes.len() == 1,
        "{group:?}"
    );
    lab.cli("-g g make c 1m").ok();
    assert_eq!(lab.print("g").volumes.len(), 2);
    lab.finish();
}

// ---------------------------------------------------------------------------- contradicting copies

#[test]
fn split_brain_is_refused_and_both_sides_are_named() {
    let lab = lab!(["linear"], [16, 16]);
    lab.create_group("g");
    let common = areas(&lab);
    // Two histories from one state, as when each disk was in another machine.
    let history = |name: &str| {
        lab.cli(&format!("-g g make {name} 1m")).ok();
        lab.cli(&format!("-g g stop {name}")).ok();
        let generation = lab.print("g").generation;
        let result = areas(&lab);
        write_areas(&lab, &common);
        (generation, result)
    };
    let (first, one) = history("x");
    let (second, other) = history("y");
    assert_eq!(
        first, second,
        "not the same generation: nothing would be shown"
    );
    write_areas(&lab, &[one[0].clone(), other[1].clone()]);
    [0, 1].iter().for_each(|disk| look_again(&lab, *disk));

    let before = areas(&lab);
    for words in ["-g g print", "-g g make z 1m", "-g g start --all"] {
        let refusal = lab.refuses(9, words);
        assert_eq!(refusal.kind, "unsafe", "{words}: {refusal:?}");
        let text = format!("{refusal:?}");
        let named = |i: usize| {
            text.contains(&lab.disks[i].name) || text.contains(&format!("disk0{}", i + 1))
        };
        assert!(named(0) && named(1), "both sides are named: {text}");
    }
    assert!(areas(&lab) == before, "nothing was written");
    write_areas(&lab, &one);
    assert_eq!(lab.print("g").names(), ["x"]);
    lab.finish();
}

#[test]
fn a_cloned_disk_is_refused_until_it_is_gone() {
    let lab = lab!(["linear"], [16, 16, 16]);
    lab.create_group_of("g", 0..2);
    lab.cli("-g g make a 4m --on disk01").ok();
    let load = Writer::start_filled(lab.device("g", "a"), 0, 64, Style::default());
    // dd if=disk1 of=disk3
    block::write_direct(
        lab.disks[2].path(),
        0,
        &lab.disks[0].raw(0, lab.disks[0].size),
    )
    .unwrap();
    udev::settle();

    for words in ["-g g print", "-g g make b 1m", "-y -g g remove a"] {
        let refusal = lab.refuses(9, words);
        let text = format!("{refusal:?}");
        assert!(
            text.contains(&lab.disks[0].name) && text.contains(&lab.disks[2].name),
            "{words}: both are named: {text}"
        );
    }
    load.goes_on(30);
    block::write_direct(lab.disks[2].path(), 0, &vec![0; AREA as usize]).unwrap();
    udev::settle();
    lab.cli("-g g make b 1m").ok();
    assert_eq!(lab.print("g").names(), ["a", "b"]);
    load.stop().verify(lab.device("g", "a"));
    lab.finish();
}

// ------------------------------------------------------------------------------------- a full area

#[test]
fn a_full_metadata_area_refuses_more_and_everything_else_works() {
    let lab = lab!(["linear"], [1500]);
    lab.cli(&format!(
        "group create g --area 64k disk01={}",
        lab.disks[0].word()
    ))
    .ok();
    // Long names of noise do not compress.
    let name = |n: u64| {
        (0..10)
            .map(|i| format!("{:06x}", block::mix(n * 100 + i) & 0xff_ffff))
            .collect::<String>()
    };
    let mut made = fill_nearly(&lab, &name);
    let refused = loop {
        let output = lab.cli(&format!("-q -g g make {} 1m", name(made.len() as u64)));
        if output.status != 0 {
            break output;
        }
        made.push(name(made.len() as u64));
        assert!(
            made.len() < 1000,
            "an area of 64 KiB holds any number of volumes"
        );
    };
    refused.exits(6).says("private area");
    println!("{} volumes fit into 64 KiB", made.len());

    let group = lab.print("g");
    assert_eq!(group.volumes.len(), made.len());
    let fill = group.metadata.unwrap();
    assert!(
        fill.used <= fill.capacity && fill.used > fill.capacity / 2,
        "{fill:?}"
    );
    // What is kept back is enough for everything that only changes states.
    let some = made[..16].join(" ");
    lab.cli(&format!("-g g start {some}")).ok();
    lab.cli(&format!("-g g stop {some}")).ok();
    lab.cli(&format!("-y -g g remove {some}")).ok();
    lab.cli("-g g make again 1m").ok();
    assert_eq!(lab.print("g").volumes.len(), made.len() - 15);
    lab.finish();
}

/// Commits volumes (stopped ones) with these names, as the program would, until few more fit; their
/// names.
fn fill_nearly(lab: &Lab, name: &dyn Fn(u64) -> String) -> Vec<String> {
    let path = lab.disks[0].path();
    let media = BlockMedia::open(&path, Access::ReadWrite).unwrap();
    let label = meta::read_disk(&media).unwrap().unwrap();
    let found = [("disk01".to_owned(), label.clone())];
    let mut chosen = meta::choose(label.group().unwrap(), &found).unwrap();
    let area = label.geometry().area();
    let mut names = Vec::new();
    loop {
        let n = names.len() as u64;
        let fill = meta::fill(&chosen.group, area).unwrap();
        if fill.used + 700 > fill.capacity - fill.capacity / 16 {
            break;
        }
        names.push(name(n));
        let extent = Extent {
            disk: label.disk(),
            start: Sectors::new(n * 2048).unwrap(),
            length: Sectors::of(8),
        };
        let plex = Plex {
            number: 1,
            name: Name::parse(&format!("p{n}-01")).unwrap(),
            state: PlexState::Active,
            subdisks: vec![extent],
            dco: None,
            serves_restore: false,
        };
        chosen.group.volumes.push(Volume {
            id: VolumeId::random(),
            name: Name::parse(&name(n)).unwrap(),
            size: Sectors::of(8),
            plexes: vec![plex],
            log: None,
            log_wanted: true,
            fast_resync: true,
            dco: None,
            returning: None,
            sector_size: None,
            lost_leg: None,
            lanes: Lanes::ONE,
            owner: NodeOwner::default(),
            running: None,
            synced: Sectors::of(8),
            origin: None,
            away: Vec::new(),
            copied: false,
        });
    }
    let mut members = [Member {
        disk: label.disk(),
        name: "disk01".into(),
        media: Box::new(media),
        label,
    }];
    let mut prepared =
        meta::prepare(&mut members, &chosen.group, chosen.next, &chosen.lineage).unwrap();
    assert!(prepared.flip().committed());
    names
}

// -------------------------------------------------------------------------------- at the same time

#[test]
fn commands_at_the_same_time_lose_nothing() {
    let lab = lab!(["linear"], [32, 32]);
    lab.create_group("g");
    let names: Vec<String> = (0..8).map(|i| format!("v{i}")).collect();
    let running: Vec<_> = names
        .iter()
        .map(|name| {
            (
                name,
                lab.spawn(&format!("-g g --timeout 100 make {name} 2m")),
            )
        })
        .collect();
    let mut made: Vec<&str> = Vec::new();
    for (name, child) in running {
        let output = child.wait(LONG);
        match output.status {
            0 => made.push(name),
            status => assert!([4, 7].contains(&status), "{output}"),
        }
    }
    assert!(!made.is_empty());
    let group = lab.print("g");
    assert_eq!(
        group.names(),
        made,
        "all that were acknowledged, and no other"
    );
    let mut pieces: Vec<(String, u64, u64)> = group
        .volumes
        .iter()
        .map(|v| &v.plexes[0].subdisks[0])
        .map(|s| (s.media.clone(), s.disk_offset, s.length))
        .collect();
    pieces.sort();
    assert!(
        pieces
            .windows(2)
            .all(|w| w[0].0 != w[1].0 || w[0].1 + w[0].2 <= w[1].1),
        "no two share space: {pieces:?}"
    );
    lab.finish();
}

#[test]
fn who_holds_the_lock_is_named() {
    let mut lab = lab!(["mirror", "delay"], [32, 32]);
    lab.create_group("g");
    lab.cli("-g g make v 16m").ok();
    let disk = lab.pause_end_of_leg("g", "disk02", 16 * MIB);
    lab.cli("-g g snapstart -b v").ok();
    // A command that has to wait in the kernel (K10), with the group's lock.
    let mut holder = lab.spawn("-y -g g snapabort v");
    let pid = holder.pid();
    holder.until_it_waits_in_the_kernel();
    lab.cli("-g g --timeout 0 make w 1m")
        .exits(7)
        .says(&pid.to_string());
    lab.cli("-g g --timeout 1 make w 1m")
        .exits(7)
        .says("snapabort");
    lab.heal(disk);
    holder.wait(LONG).ok();
    assert_eq!(lab.print("g").names(), ["v"]);
    lab.finish();
}
