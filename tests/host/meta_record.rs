//! The payload: every sound group comes back as it was, and nothing unsound is ever believed.

use crate::meta_common::*;
use breakoff::error::{Error, Kind};
use breakoff::meta::{
    self, Configuration, Digest, History, Known, Past, Stamp, decode, decode_all, dump, dump_all,
    encode,
};
use breakoff::model::*;
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::io::Write;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

/// A group with two disks, a mirrored volume with a log, and a snapshot of it.
fn sample() -> Group {
    let mut group = Group::new(name("g"), HostId::random());
    for n in 1..=2u8 {
        let id = DiskId::from_bytes([n; 16]);
        group.disks.push(Disk {
            id,
            media: name(&format!("disk0{n}")),
            data_start: Sectors::mib(4),
            size: Sectors::mib(100),
        });
    }
    let piece = |disk: u8, start: u32, length| Extent {
        disk: DiskId::from_bytes([disk; 16]),
        start: Sectors::mib(start),
        length,
    };
    let plex = |number: u16, word: &str, disk, start| Plex {
        number,
        name: name(word),
        state: PlexState::Active,
        subdisks: vec![
            piece(disk, start, Sectors::mib(3)),
            piece(disk, start + 4, Sectors::mib(5)),
        ],
        dco: None,
        serves_restore: false,
    };
    let volume = |word: &str, plexes| Volume {
        id: VolumeId::random(),
        name: name(word),
        size: Sectors::mib(8),
        plexes,
        log: None,
        log_wanted: true,
        fast_resync: false,
        dco: None,
        returning: None,
        sector_size: None,
        lost_leg: None,
        lanes: Lanes::ONE,
        owner: NodeOwner::default(),
        running: Some(BootId::random()),
        synced: Sectors::mib(8),
        origin: None,
        away: Vec::new(),
        copied: false,
    };
    let mut original = volume("v", vec![plex(1, "v-01", 1, 0), plex(2, "v-02", 2, 0)]);
    original.log = Some(Log {
        extent: piece(1, 20, Sectors::MIB),
        region: Sectors::of(1024),
        live: true,
    });
    let mut snapshot = volume("SNAP-v", vec![plex(3, "v-03", 1, 30)]);
    snapshot.copied = true;
    snapshot.origin = Some(Origin {
        at_boot: None,
        apart: None,
        original: original.id,
        taken_at: Timestamp::from_millis(1_700_000_000_000),
        crash: None,
        freeze_us: 870,
        tracking: Tracking::Untracked(Untracked::Off),
    });
    group.volumes = vec![original, snapshot];
    group
}

/// What is read of the sample when somebody who can compute checksums has changed it.
fn changed(change: impl FnOnce(&mut Value)) -> Result<Group, Error> {
    let mut value: Value =
        serde_json::from_str(&dump(&sample(), Generation::new(3)).unwrap()).unwrap();
    change(&mut value);
    decode(&gzip(&serde_json::to_vec(&value).unwrap())).map(|(group, _)| group)
}

fn forged(change: impl FnOnce(&mut Value)) -> Error {
    changed(change).unwrap_err()
}

fn unsafe_when(change: impl FnOnce(&mut Value)) {
    let err = forged(change);
    assert_eq!(err.kind(), Kind::Unsafe, "{err}");
    assert!(!err.message().is_empty() && !err.message().contains(char::is_control));
}

/// `volumes[0]`.
fn v(value: &mut Value) -> &mut Value {
    &mut value["volumes"][0]
}

#[test]
fn the_sample_comes_back() {
    let bytes = encode(&fixed_sample(), Generation::new(3), None).unwrap();
    assert_eq!(
        decode(&bytes).unwrap(),
        (fixed_sample(), Generation::new(3))
    );
}

/// The sample with fixed identities, for golden text.
fn fixed_sample() -> Group {
    let mut group = sample();
    group.id = GroupId::from_bytes([0xa1; 16]);
    group.host = Some(HostId::from_bytes([0xb2; 16]));
    for (n, volume) in group.volumes.iter_mut().enumerate() {
        volume.id = VolumeId::from_bytes([n as u8 + 1; 16]);
        volume.running = Some(BootId::from_bytes([0xc3; 16]));
    }
    group.volumes[1].origin.as_mut().unwrap().original = VolumeId::from_bytes([1; 16]);
    group
}

#[test]
fn the_dump_is_readable_and_pinned() {
    let text = dump(&parted_sample(), Generation::new(3)).unwrap();
    if std::env::var_os("BREAKOFF_BLESS").is_some() {
        std::fs::write("tests/meta_common/record_v5.json", &text).unwrap();
    }
    assert_eq!(text, GOLDEN_V5);
    assert_eq!(decode(&gzip(text.as_bytes())).unwrap().0, parted_sample());
    assert_eq!(
        encode(&fixed_sample(), Generation::new(3), None).unwrap(),
        encode(&fixed_sample(), Generation::new(3), None).unwrap()
    );
}

#[test]
fn what_a_disk_counts_for_comes_back_and_nothing_else_is_believed() {
    let mut group = fixed_sample();
    group.standing = [
        (group.disks[0].id, Standing::Joining),
        (group.disks[1].id, Standing::GivenUp),
    ]
    .into();
    let bytes = encode(&group, Generation::new(3), None).unwrap();
    assert_eq!(decode(&bytes).unwrap(), (group.clone(), Generation::new(3)));
    assert_eq!(
        changed(|r| r["disks"][0]["standing"] = json!("given-up"))
            .unwrap()
            .standing
            .len(),
        1
    );
    unsafe_when(|r| r["disks"][0]["standing"] = json!("king"));
    group.disks.pop();
    assert!(
        check::violations(&group)
            .iter()
            .any(|rule| rule.contains("standing"))
    );
}

#[test]
fn a_payload_written_by_version_4_stays_readable() {
    assert!(GOLDEN_V4.contains("\"breakoff\": 4,"));
    assert_eq!(
        decode(&gzip(GOLDEN_V4.as_bytes())).unwrap().0,
        tracked_sample()
    );
}

#[test]
fn a_handover_that_makes_no_sense_is_refused() {
    let changed = |change: &dyn Fn(&mut Value)| {
        let text = dump(&parted_sample(), Generation::new(3)).unwrap();
        let mut value: Value = serde_json::from_str(&text).unwrap();
        change(&mut value);
        decode(&gzip(&serde_json::to_vec(&value).unwrap()))
    };
    changed(&|_| {}).unwrap();
    let given = |value: &mut Value, field: &str, to: Value| value["handovers"][0][field] = to;
    let disk = json!("01".repeat(16));
    type Hostile<'h> = &'h dyn Fn(&mut Value);
    let hostile: [Hostile<'_>; 9] = [
        &|r| given(r, "generation", json!(0)),
        &|r| given(r, "generation", json!(4)),
        &|r| given(r, "uuid", json!("x")),
        &|r| given(r, "to", json!("a1".repeat(16))),
        &|r| given(r, "disks", json!([])),
        &|r| given(r, "handovers", json!([])),
        &|r| r["handovers"][0]["disks"][0]["uuid"] = disk.clone(),
        &|r| r["volumes"][0]["away"][0]["snapshot"] = r["volumes"][0]["uuid"].clone(),
        &|r| {
            let twice = r["handovers"][0].clone();
            r["handovers"].as_array_mut().unwrap().push(twice);
        },
    ];
    for (at, change) in hostile.into_iter().enumerate() {
        let err = changed(change).expect_err(&format!("hostile {at}"));
        assert_eq!(err.kind(), Kind::Unsafe, "{err}");
    }
    // A snapshot whose original is in its group is not apart from it, and one without is.
    let apart = |r: &mut Value| {
        let parted = r["handovers"][0]["volumes"][0]["origin"]["apart"].clone();
        r["volumes"][1]["origin"] = r["handovers"][0]["volumes"][0]["origin"].clone();
        r["volumes"][1]["origin"]["apart"] = parted;
        r["volumes"][1]["origin"]["original"] = r["volumes"][0]["uuid"].clone();
    };
    assert!(changed(&apart).is_err());
    let lost = |r: &mut Value| {
        let origin = &mut r["handovers"][0]["volumes"][0]["origin"];
        origin.as_object_mut().unwrap().remove("apart");
    };
    assert!(changed(&lost).is_err());
}

#[test]
fn a_payload_written_by_version_3_stays_readable() {
    assert!(GOLDEN_V3.contains("\"breakoff\": 3,"));
    let mut expected = tracked_sample();
    expected.volumes[1].origin.as_mut().unwrap().at_boot = None;
    assert_eq!(decode(&gzip(GOLDEN_V3.as_bytes())).unwrap().0, expected);
}

#[test]
fn a_payload_written_by_version_2_stays_readable() {
    assert!(GOLDEN_V2.contains("\"breakoff\": 2,"));
    let mut expected = tracked_sample();
    expected
        .volumes
        .iter_mut()
        .for_each(|v| (v.sector_size, v.lost_leg, v.owner) = Default::default());
    expected.volumes[1].origin.as_mut().unwrap().at_boot = None;
    assert_eq!(decode(&gzip(GOLDEN_V2.as_bytes())).unwrap().0, expected);
}

#[test]
fn a_payload_written_by_version_1_stays_readable() {
    let value: Value = serde_json::from_str(GOLDEN).unwrap();
    assert_eq!(
        decode(&gzip(&serde_json::to_vec(&value).unwrap()))
            .unwrap()
            .0,
        fixed_sample()
    );
}

#[test]
fn a_sector_size_that_no_disk_has_is_refused() {
    for bad in [
        json!(0),
        json!(1),
        json!(256),
        json!(513),
        json!(3072),
        json!(8192),
        json!(u64::MAX),
        json!(-512),
        json!("512"),
    ] {
        unsafe_when(|r| v(r)["sector_size"] = bad.clone());
    }
}

#[test]
fn an_owner_that_makes_no_sense_is_refused() {
    for bad in [
        json!({}),
        json!({"user": null}),
        json!({"user": ""}),
        json!({"user": "a b"}),
        json!({"user": "x\nBREAKOFF_OWNER=0"}),
        json!({"group": "4294967295"}),
        json!({"mode": "4755"}),
        json!({"mode": "rw"}),
        json!({"mode": 660}),
        json!({"user": "a", "acl": "x"}),
        json!("oracle"),
    ] {
        unsafe_when(|r| v(r)["owner"] = bad.clone());
    }
}

/// The sample with changes tracked on both sides, and a leg that comes back.
fn tracked_sample() -> Group {
    let mut group = fixed_sample();
    let disks: Vec<DiskId> = group.disks.iter().map(|d| d.id).collect();
    let dco = |start: u32, live| {
        let copy = |disk: &DiskId| Extent {
            disk: *disk,
            start: Sectors::of(start),
            length: Sectors::of(2048),
        };
        Some(Dco {
            copies: disks.iter().map(copy).collect(),
            live,
        })
    };
    let [original, snapshot] = &mut group.volumes[..] else {
        panic!("two volumes")
    };
    (original.fast_resync, original.dco) = (true, dco(102_400, true));
    snapshot.dco = dco(104_448, true);
    let origin = snapshot.origin.as_mut().unwrap();
    (origin.tracking, origin.at_boot) = (Tracking::Since(5), Some(AtBoot::Keep));
    original.plexes[1].state = PlexState::SnapAtt;
    original.plexes[1].dco = dco(106_496, false);
    original.returning = Some(Returning {
        log: ChangeLog::B,
        region: Sectors::of(512),
        since: 7,
        exact: true,
    });
    original.lost_leg = Some(LostLeg {
        plex: name("v-03"),
        media: vec![name("disk02")],
        at: Timestamp::from_millis(5678),
    });
    (original.sector_size, snapshot.sector_size) = (SectorSize::new(512), SectorSize::new(4096));
    original.owner = NodeOwner {
        user: Some(Account::parse("oracle").unwrap()),
        group: Some(Account::parse("4711").unwrap()),
        mode: NodeMode::new(0o640),
    };
    snapshot.owner.mode = NodeMode::new(0o600);
    group
}

/// The sample with a snapshot that was handed over to another group.
fn parted_sample() -> Group {
    let mut group = tracked_sample();
    let disk = Disk {
        id: DiskId::from_bytes([3; 16]),
        media: name("disk03"),
        data_start: Sectors::mib(4),
        size: Sectors::mib(100),
    };
    let mut snapshot = group.volumes[1].clone();
    let moved = |extent: &mut Extent| extent.disk = disk.id;
    snapshot.plexes[0].subdisks.iter_mut().for_each(moved);
    let copies = &mut snapshot.dco.as_mut().unwrap().copies;
    copies.truncate(1);
    copies.iter_mut().for_each(moved);
    snapshot.id = VolumeId::from_bytes([7; 16]);
    snapshot.name = name("SNAP2-v");
    snapshot.plexes[0].name = name("v-04");
    snapshot.running = None;
    let mut to = Group::new(name("other"), HostId::from_bytes([0xb2; 16]));
    to.id = GroupId::from_bytes([0xd4; 16]);
    to.disks = vec![disk];
    to.volumes = vec![snapshot];
    handover::part(&mut group, &mut to);
    assert_eq!(group.volumes[0].away.len(), 1);
    group.handovers = vec![Handover {
        id: HandoverId::from_bytes([0xe5; 16]),
        generation: Generation::new(3),
        to,
        begins: true,
    }];
    group
}

/// What this release writes.
const GOLDEN_V5: &str = include_str!("../meta_common/record_v5.json");
/// What version 4 wrote, before anything was handed over.
const GOLDEN_V4: &str = include_str!("../meta_common/record_v4.json");
/// What version 3 wrote for it.
const GOLDEN_V3: &str = include_str!("../meta_common/record_v3.json");
/// What version 2 wrote for it.
const GOLDEN_V2: &str = include_str!("../meta_common/record_v2.json");
/// What the first release wrote.
const GOLDEN: &str = include_str!("../meta_common/record_v1.json");

/// The sample with where it comes from.
fn with_history() -> Configuration {
    let group = tracked_sample();
    let stamp = |generation: u64| Stamp {
        generation: Generation::new(generation),
        digest: Digest::of(&generation.to_le_bytes()),
    };
    let follows = stamp(6);
    let known = |here, past| Known { here, past };
    let past = Past {
        before: Generation::new(3),
        holds: vec![stamp(4), stamp(5)],
    };
    let disks = [
        (group.disks[0].id, known(true, Past::seen(follows))),
        (group.disks[1].id, known(false, past.clone())),
    ]
    .into();
    let removed = vec![(DiskId::from_bytes([9; 16]), past)];
    let history = History {
        follows: Some(follows),
        written_at: Timestamp::from_millis(1234),
        disks,
        removed,
        others: Generation::new(2),
    };
    Configuration {
        group,
        generation: Generation::new(7),
        history: Some(history),
    }
}

#[test]
fn where_a_configuration_comes_from_comes_back() {
    let all = with_history();
    let bytes = encode(&all.group, all.generation, all.history.as_ref()).unwrap();
    assert_eq!(decode_all(&bytes).unwrap(), all);
    assert_eq!(decode(&bytes).unwrap(), (all.group.clone(), all.generation));
    // That of a new group.
    let known = |disk: &Disk| {
        (
            disk.id,
            Known {
                here: true,
                past: Past::default(),
            },
        )
    };
    let disks = all.group.disks.iter().map(known).collect();
    let first = History {
        follows: None,
        removed: vec![],
        others: Generation::ZERO,
        disks,
        ..all.history.unwrap()
    };
    let bytes = encode(&all.group, Generation::new(1), Some(&first)).unwrap();
    assert_eq!(decode_all(&bytes).unwrap().history, Some(first));
}

#[test]
fn hostile_histories_are_refused() {
    let all = with_history();
    let refused = |change: &dyn Fn(&mut Value)| {
        let mut value: Value = serde_json::from_str(&dump_all(&all).unwrap()).unwrap();
        change(&mut value);
        let error = decode_all(&gzip(&serde_json::to_vec(&value).unwrap())).unwrap_err();
        assert_eq!(error.kind(), Kind::Unsafe, "{error}");
        assert!(
            error.message().len() < 2000 && !error.message().chars().any(char::is_control),
            "{error}"
        );
    };
    let digest = Digest::of(b"x").to_string();
    let stamps = [
        json!(null),
        json!([]),
        json!([3]),
        json!([0, digest]),
        json!([7, digest]),
        json!([8, digest]),
        json!([u64::MAX, digest]),
        json!([3, ""]),
        json!([3, digest[1..]]),
        json!([3, digest.to_uppercase()]),
        json!([3, "\u{1b}[2J".repeat(10_000)]),
        json!([3, digest, 4]),
    ];
    for stamp in &stamps {
        if !stamp.is_null() {
            refused(&|r| r["history"]["follows"] = stamp.clone());
        }
        refused(&|r| r["disks"][1]["past"]["holds"] = json!([stamp]));
        refused(&|r| r["history"]["removed"][0]["past"]["holds"] = json!([stamp]));
    }
    for generation in [
        json!(8),
        json!(u64::MAX),
        json!(-1),
        json!("1"),
        json!(null),
    ] {
        refused(&|r| r["history"]["others"] = generation.clone());
        refused(&|r| r["disks"][1]["past"]["before"] = generation.clone());
        refused(&|r| r["history"]["removed"][0]["past"]["before"] = generation.clone());
    }
    for time in [json!(-1), json!("now"), json!(null), json!(1.5)] {
        refused(&|r| r["history"]["written_at_ms"] = time.clone());
    }
    refused(&|r| r["disks"][1]["away"] = json!("yes"));
    refused(&|r| r["disks"][1]["past"]["holds"] = json!(vec![json!([3, digest]); 17]));
    refused(&|r| r["history"]["removed"] = json!(vec![r["history"]["removed"][0].clone(); 129]));
    refused(&|r| r["history"]["removed"][0]["uuid"] = json!("0"));
    refused(&|r| r["history"]["extra"] = json!(1));
    refused(&|r| r["disks"][1]["past"]["extra"] = json!(1));
}

#[test]
fn a_group_that_we_could_not_read_again_is_never_written() {
    let mut group = sample();
    group.volumes[1].name = group.volumes[0].name.clone();
    assert_eq!(
        encode(&group, Generation::new(1), None).unwrap_err().kind(),
        Kind::Failed
    );
    let mut group = sample();
    group.volumes[0].plexes[0].subdisks[0].disk = DiskId::random();
    assert_eq!(
        encode(&group, Generation::new(1), None).unwrap_err().kind(),
        Kind::Failed
    );
    assert_eq!(
        encode(&sample(), Generation::ZERO, None)
            .unwrap_err()
            .kind(),
        Kind::Failed
    );
}

#[test]
fn lanes_that_no_table_can_have_are_refused() {
    for bad in [json!(0), json!(17), json!(u64::MAX), json!(-1), json!("4")] {
        unsafe_when(|r| v(r)["lanes"] = bad.clone());
    }
    let mut group = sample();
    group.volumes[0].lanes = Lanes::new(16).unwrap();
    let bytes = encode(&group, Generation::new(1), None).unwrap();
    assert_eq!(decode(&bytes).unwrap().0, group);
}

#[test]
fn hostile_names_are_refused() {
    for bad in [
        json!(""),
        json!("../../etc"),
        json!("a b"),
        json!("-rf"),
        json!("x".repeat(64)),
        json!("ü"),
        json!(7),
        json!(null),
    ] {
        unsafe_when(|r| r["group"] = bad.clone());
        unsafe_when(|r| r["disks"][0]["media"] = bad.clone());
        unsafe_when(|r| v(r)["name"] = bad.clone());
        unsafe_when(|r| v(r)["plexes"][0]["name"] = bad.clone());
        unsafe_when(|r| v(r)["lost_leg"] = json!({"plex": bad, "media": [], "at_ms": 1}));
        unsafe_when(|r| v(r)["lost_leg"] = json!({"plex": "a", "media": [bad], "at_ms": 1}));
    }
    let err = forged(|r| r["group"] = json!("\u{1b}[2J".repeat(1_000_000)));
    assert!(
        err.message().len() < 2000 && !err.message().contains('\u{1b}'),
        "terminal escapes of a stranger reach the terminal"
    );
}

#[test]
fn names_that_are_too_long_together_or_meet_inner_devices_are_refused() {
    unsafe_when(|r| {
        r["group"] = json!("g-".repeat(31));
        v(r)["name"] = json!("v-".repeat(31));
    });
    unsafe_when(|r| r["volumes"][1]["name"] = json!("v_log"));
    unsafe_when(|r| r["volumes"][1]["name"] = json!("v_v-01"));
}

#[test]
fn hostile_identities_are_refused() {
    for bad in [
        "",
        "0",
        &"0".repeat(32),
        &"g".repeat(32),
        &"A".repeat(32),
        "00000000-0000-0000-0000-000000000001",
        &"1".repeat(33),
    ] {
        unsafe_when(|r| r["uuid"] = json!(bad));
        unsafe_when(|r| r["host"] = json!(bad));
        unsafe_when(|r| r["disks"][1]["uuid"] = json!(bad));
        unsafe_when(|r| v(r)["uuid"] = json!(bad));
        unsafe_when(|r| v(r)["running"] = json!(bad));
        unsafe_when(|r| r["volumes"][1]["origin"]["original"] = json!(bad));
    }
}

#[test]
fn anything_that_is_there_twice_is_refused() {
    for field in ["name", "uuid"] {
        unsafe_when(|r| r["volumes"][1][field] = v(r)[field].clone());
    }
    for field in ["media", "uuid"] {
        unsafe_when(|r| r["disks"][1][field] = r["disks"][0][field].clone());
    }
    unsafe_when(|r| v(r)["plexes"][1]["number"] = v(r)["plexes"][0]["number"].clone());
    unsafe_when(|r| v(r)["plexes"][1]["name"] = v(r)["plexes"][0]["name"].clone());
    unsafe_when(|r| r["volumes"][1]["plexes"][0]["name"] = v(r)["plexes"][0]["name"].clone());
}

#[test]
fn hostile_sizes_are_refused() {
    for bad in [
        json!(0),
        json!(7),
        json!(u64::MAX),
        json!(1u64 << 54),
        json!(-8),
        json!(1.5),
        json!("8"),
        json!(1e30),
    ] {
        unsafe_when(|r| v(r)["size"] = bad.clone());
        unsafe_when(|r| v(r)["plexes"][0]["subdisks"][0][2] = bad.clone());
    }
    unsafe_when(|r| v(r)["synced"] = json!(16385));
    unsafe_when(|r| r["disks"][0]["size"] = json!(0));
    unsafe_when(|r| r["disks"][0]["size"] = json!(u64::MAX >> 10));
    for start in [json!(0), json!(1), json!(2049), json!((1u64 << 54) - 2048)] {
        unsafe_when(|r| r["disks"][0]["data_start"] = start.clone());
    }
}

#[test]
fn hostile_subdisks_are_refused() {
    for (place, bad) in [
        (0, json!(2)),
        (0, json!(u32::MAX)),
        (0, json!(-1)),
        (1, json!(204_800)),
        (1, json!(u64::MAX)),
        (1, json!(1u64 << 53)),
    ] {
        unsafe_when(|r| v(r)["plexes"][0]["subdisks"][0][place] = bad.clone());
    }
    unsafe_when(|r| v(r)["plexes"][0]["subdisks"][0] = json!([0, 0]));
    unsafe_when(|r| v(r)["plexes"][0]["subdisks"][0] = json!([0, 0, 6144, 0]));
    unsafe_when(|r| v(r)["plexes"][0]["subdisks"] = json!([]));
    unsafe_when(|r| v(r)["plexes"][0]["subdisks"][1][1] = json!(6143));
    unsafe_when(|r| v(r)["plexes"][1]["subdisks"] = v(r)["plexes"][0]["subdisks"].clone());
    unsafe_when(|r| {
        r["volumes"][1]["plexes"][0]["subdisks"] = v(r)["plexes"][0]["subdisks"].clone();
    });
}

#[test]
fn hostile_plexes_are_refused() {
    unsafe_when(|r| v(r)["plexes"] = json!([]));
    unsafe_when(|r| v(r)["plexes"][0]["number"] = json!(65536));
    unsafe_when(|r| v(r)["plexes"][0]["state"] = json!("ACTIVE"));
    unsafe_when(|r| v(r)["plexes"][0]["state"] = json!({"active": 1}));
    let plexes = |r: &mut Value, count| {
        v(r)["size"] = json!(8);
        v(r)["synced"] = json!(0);
        let plex = |n: u64| json!({"number": n, "name": format!("p{n}"), "state": "active", "subdisks": [[1, 100_000 + 8 * n, 8]]});
        v(r)["plexes"] = (1..=count).map(plex).collect();
    };
    assert_eq!(
        changed(|r| plexes(r, 32)).map(|group| group.volumes[0].plexes.len()),
        Ok(32)
    );
    unsafe_when(|r| plexes(r, 33));
}

#[test]
fn hostile_logs_are_refused() {
    for region in [0u64, 1, 3, 1025, u64::MAX] {
        unsafe_when(|r| v(r)["log"]["region"] = json!(region));
    }
    unsafe_when(|r| v(r)["log"]["extent"] = json!([0, 0, 2048]));
    unsafe_when(|r| v(r)["log"]["extent"] = json!([0, 40960, 0]));
    assert!(changed(|r| v(r)["log"]["extent"] = json!([0, 40960, 8])).is_ok());
    unsafe_when(|r| v(r)["log"]["extent"] = json!([0, 40960, 7]));
    unsafe_when(|r| v(r)["log"]["extent"] = json!([0, 204_799, 2048]));
    unsafe_when(|r| v(r)["log"]["live"] = json!("yes"));
}

#[test]
fn hostile_relations_are_refused() {
    unsafe_when(|r| r["volumes"][1]["origin"]["original"] = r["volumes"][1]["uuid"].clone());
    unsafe_when(|r| r["volumes"][1]["origin"]["original"] = json!("ab".repeat(16)));
    unsafe_when(|r| r["volumes"][1]["origin"]["taken_at_ms"] = json!(-1));
}

#[test]
fn reasons_why_a_snapshot_is_not_frozen_are_short_lines() {
    let crash = |frozen: bool, reason: Value| {
        move |r: &mut Value| {
            r["volumes"][1]["origin"]["frozen"] = json!(frozen);
            r["volumes"][1]["origin"]["crash"] = reason;
        }
    };
    let read = |reason| {
        changed(crash(false, reason)).unwrap().volumes[1]
            .origin
            .clone()
            .unwrap()
            .crash
    };
    assert_eq!(
        read(json!("it is used as swap")),
        Some(CrashReason::new("it is used as swap"))
    );
    assert_eq!(
        read(Value::Null),
        Some(CrashReason::new(CrashReason::UNKNOWN)),
        "what older versions wrote"
    );
    unsafe_when(crash(true, json!("it is used as swap")));
    for bad in ["", " ", "a\nb", "\u{1b}[2J", &"x".repeat(201)] {
        unsafe_when(crash(false, json!(bad)));
    }
    unsafe_when(crash(false, json!(7)));
}

#[test]
fn unknown_missing_and_repeated_fields_are_refused() {
    unsafe_when(|r| r["extra"] = json!(1));
    unsafe_when(|r| v(r)["extra"] = json!(1));
    unsafe_when(|r| v(r)["plexes"][0]["extra"] = json!(1));
    unsafe_when(|r| drop(r.as_object_mut().unwrap().remove("generation")));
    unsafe_when(|r| drop(v(r).as_object_mut().unwrap().remove("copied")));
    unsafe_when(|r| *r = json!([r]));
    unsafe_when(|r| *r = json!(null));
    let text = dump(&sample(), Generation::new(3)).unwrap().replacen(
        "\"generation\": 3",
        "\"generation\": 3, \"generation\": 4",
        1,
    );
    assert_eq!(
        decode(&gzip(text.as_bytes())).unwrap_err().kind(),
        Kind::Unsafe
    );
}

#[test]
fn a_newer_version_is_unsupported_and_not_mistaken_for_damage() {
    assert_eq!(
        forged(|r| r["breakoff"] = json!(6)).kind(),
        Kind::Unsupported
    );
    let err = forged(|r| {
        r["breakoff"] = json!(7);
        r["something_new"] = json!({"a": [1, 2]});
    });
    assert_eq!(err.kind(), Kind::Unsupported);
    unsafe_when(|r| r["breakoff"] = json!(0));
    unsafe_when(|r| r["breakoff"] = json!(-1));
    unsafe_when(|r| r["generation"] = json!(0));
    unsafe_when(|r| r["generation"] = json!(u64::MAX));
}

#[test]
fn too_many_disks_or_volumes_are_refused() {
    for (count, possible) in [(meta::MAX_DISKS, true), (meta::MAX_DISKS + 1, false)] {
        let disk = |n| json!({"media": format!("disk{n}"), "uuid": format!("{n:032x}"), "data_start": 8192, "size": 204_800});
        assert_eq!(
            changed(|r| r["disks"] = (1..=count).map(disk).collect()).is_ok(),
            possible
        );
    }
    unsafe_when(|r| r["volumes"] = vec![v(r).clone(); meta::MAX_VOLUMES + 1].into());
}

#[test]
fn a_decompression_bomb_is_refused() {
    // Sound but for the spaces behind it.
    let mut json = dump(&sample(), Generation::new(3)).unwrap().into_bytes();
    json.resize(64 << 20, b' ');
    assert!(decode(&gzip(&json)).is_ok());
    json.push(b' ');
    let bomb = gzip(&json);
    assert!(bomb.len() < 1 << 20);
    assert_eq!(decode(&bomb).unwrap_err().kind(), Kind::Unsafe);
}

#[test]
fn deeply_nested_json_is_refused_without_a_stack_overflow() {
    for nested in [
        "[".repeat(1 << 20),
        "{\"breakoff\":".repeat(1 << 20),
        format!("{{\"volumes\":{}", "[".repeat(1 << 20)),
    ] {
        assert_eq!(
            decode(&gzip(nested.as_bytes())).unwrap_err().kind(),
            Kind::Unsafe
        );
    }
}

#[test]
fn what_follows_the_compressed_data_is_refused() {
    let mut bytes = encode(&sample(), Generation::new(1), None).unwrap();
    bytes.push(0);
    assert_eq!(decode(&bytes).unwrap_err().kind(), Kind::Unsafe);
    let twice = [
        encode(&sample(), Generation::new(1), None).unwrap(),
        encode(&sample(), Generation::new(1), None).unwrap(),
    ]
    .concat();
    assert_eq!(decode(&twice).unwrap_err().kind(), Kind::Unsafe);
    assert_eq!(decode(&[]).unwrap_err().kind(), Kind::Unsafe);
}

/// Volumes with two plexes and a log; every fifth with three subdisks a plex, every tenth a
/// snapshot of the one before.
fn many(count: usize) -> Group {
    let mut group = Group::new(name("production"), HostId::random());
    for n in 1..=8u8 {
        let id = DiskId::from_bytes(*uuid::Uuid::new_v4().as_bytes());
        let size = sectors(1 << 40);
        group.disks.push(Disk {
            id,
            media: name(&format!("disk{n:02}")),
            data_start: Sectors::mib(4),
            size,
        });
    }
    let mut used = [0u64; 8];
    let disks: Vec<DiskId> = group.disks.iter().map(|d| d.id).collect();
    let mut take = |disk: usize, length: u64| {
        let start = used[disk % 8];
        used[disk % 8] += length + 2048;
        Extent {
            disk: disks[disk % 8],
            start: sectors(start),
            length: sectors(length),
        }
    };
    for n in 0..count {
        let size = (1 + n as u64 * 7919 % 5000) * 2048 * 3;
        let parts = if n % 5 == 0 { 3 } else { 1 };
        let mut plex = |number: u16| Plex {
            number,
            name: name(&format!("customer-data{n:05}-{number:02}")),
            state: PlexState::Active,
            subdisks: (0..parts)
                .map(|part| take(n + number as usize + part, size / parts as u64))
                .collect(),
            dco: None,
            serves_restore: false,
        };
        let plexes = vec![plex(1), plex(2)];
        let origin = group
            .volumes
            .last()
            .filter(|_| n % 10 == 9)
            .map(|original: &Volume| Origin {
                at_boot: None,
                apart: None,
                original: original.id,
                taken_at: Timestamp::from_millis(1_700_000_000_000 + n as u64 * 86_413),
                crash: None,
                freeze_us: 700 + n as u64 * 31 % 911,
                tracking: Tracking::Untracked(Untracked::Off),
            });
        group.volumes.push(Volume {
            id: VolumeId::random(),
            name: name(&format!("customer-data{n:05}")),
            size: sectors(size),
            plexes,
            log: Some(Log {
                extent: take(n, 2048),
                region: sectors(1024),
                live: true,
            }),
            log_wanted: true,
            fast_resync: true,
            dco: None,
            away: Vec::new(),
            returning: None,
            sector_size: None,
            lost_leg: None,
            lanes: Lanes::ONE,
            owner: NodeOwner::default(),
            running: group
                .volumes
                .first()
                .and_then(|v: &Volume| v.running)
                .or(Some(BootId::random())),
            synced: sectors(size),
            origin,
            copied: n % 10 == 9,
        });
    }
    group
}

#[test]
fn ten_thousand_volumes_fit_the_default_area() {
    let fill = meta::fill(&many(10_000), meta::AREA_DEFAULT).unwrap();
    // Identities do not compress: about 95 bytes a volume, 45 % of the area.
    assert!(fill.used < fill.capacity * 6 / 10, "{fill:?}");
}

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn every_sound_group_comes_back(group in sound_group(), generation in 1u64..=1 << 48) {
        let bytes = encode(&group, Generation::new(generation), None).unwrap();
        prop_assert_eq!(decode(&bytes).unwrap(), (group, Generation::new(generation)));
    }

    #[test]
    fn random_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..4000)) {
        prop_assert_eq!(decode(&bytes).unwrap_err().kind(), Kind::Unsafe);
        prop_assert_eq!(decode(&gzip(&bytes)).unwrap_err().kind(), Kind::Unsafe);
    }

    #[test]
    fn flipped_bits_never_panic(bit in any::<prop::sample::Index>(), compressed in any::<bool>()) {
        let json = dump(&sample(), Generation::new(3)).unwrap().into_bytes();
        let mut bytes = if compressed { gzip(&json) } else { json };
        let bit = bit.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let verdict = decode(&if compressed { bytes } else { gzip(&bytes) });
        if let Ok((group, _)) = verdict {
            prop_assert!(check::violations(&group).is_empty());
        }
    }
}
