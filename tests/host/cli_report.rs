//! What commands print, from worlds and outcomes made by hand. All of it pure.

use crate::cli_support::golden;
use crate::cli_support::world::{empty, full, name, tracked};
use breakoff::app::{
    Change, ChangedRanges, Counted, CounterLine, DiskLine, Event, GroupLine, Outcome, Report,
};
use breakoff::cli::native::hints::Native;
use breakoff::error::{Error, Kind};
use breakoff::meta::Fill;
use breakoff::model::{DiskId, GroupId, Sectors};
use breakoff::plan::change::NewSnapshot;
use breakoff::plan::view::{PlanView, StepView};
use breakoff::report::{json, text};
use breakoff::sys::disk::Counters;
use serde_json::Value;
use std::path::PathBuf;

const FILL: Fill = Fill {
    used: 12_345,
    capacity: 2 << 20,
};

fn layout(only: &[&str]) -> Outcome {
    Outcome::Layout(
        vec![(full().state, Some(FILL))],
        only.iter().map(|word| name(word)).collect(),
    )
}

/// The document, laid out for reading; it must be one line with one newline.
fn pretty(document: &str) -> String {
    assert_eq!(document.matches('\n').count(), 1);
    serde_json::to_string_pretty(&serde_json::from_str::<Value>(document).unwrap()).unwrap() + "\n"
}

/// Text and JSON of an outcome under one name.
fn both(file: &str, verb: &str, outcome: &Outcome) {
    golden(&format!("{file}.txt"), &text::outcome(outcome, false));
    golden(
        &format!("{file}.json"),
        &pretty(&json::success(Some(verb), outcome).unwrap()),
    );
}

#[test]
fn print_shows_every_state() {
    both("print", "print", &layout(&[]));
    golden("print-verbose.txt", &text::outcome(&layout(&[]), true));
}

#[test]
fn print_of_named_volumes_leaves_out_the_rest() {
    golden(
        "print-named.txt",
        &text::outcome(&layout(&["home", "idle"]), false),
    );
}

#[test]
fn print_of_nothing_says_so() {
    assert_eq!(
        text::outcome(&Outcome::Layout(Vec::new(), Vec::new()), false),
        "no groups\n"
    );
}

#[test]
fn no_line_ends_in_a_blank() {
    for verbose in [false, true] {
        let printed = text::outcome(&layout(&[]), verbose);
        assert!(printed.lines().all(|line| line == line.trim_end()));
    }
}

#[test]
fn relations() {
    both(
        "snapprint",
        "snapprint",
        &Outcome::Relations(vec![full()], Vec::new()),
    );
    both(
        "snapprint-tracked",
        "snapprint",
        &Outcome::Relations(vec![tracked()], vec![name("paydb")]),
    );
    let of =
        |word: &str| match json::success(None, &Outcome::Relations(vec![full()], vec![name(word)]))
        {
            Ok(document) => {
                serde_json::from_str::<Value>(&document).unwrap()["result"]["relations"]
                    .as_array()
                    .unwrap()
                    .len()
            }
            Err(err) => panic!("{err}"),
        };
    assert_eq!(
        [of("paydb"), of("SNAP-paydb"), of("SNAP-old"), of("home")],
        [1, 1, 1, 0]
    );
    assert_eq!(
        text::outcome(&Outcome::Relations(vec![empty()], Vec::new()), false),
        "no snapshots\n"
    );
}

#[test]
#[allow(clippy::single_range_in_vec_init)] // lists of pieces
fn changed_ranges() {
    let changed = ChangedRanges {
        group: name("pay"),
        original: name("paydb"),
        snapshot: name("SNAP-paydb"),
        size: Sectors::mib(100),
        block: Sectors::of(128),
        ranges: vec![0..128, 1024..1280],
        on_original: vec![0..128],
        on_snapshot: vec![1024..1280],
    };
    both(
        "changed-ranges",
        "snapprint",
        &Outcome::ChangedRanges(changed.clone()),
    );
    let none = ChangedRanges {
        ranges: Vec::new(),
        ..changed
    };
    assert_eq!(text::outcome(&Outcome::ChangedRanges(none), false), "");
}

fn disks() -> Vec<DiskLine> {
    let id = |byte| Some(DiskId::from_bytes([byte; 16]));
    let (media, group, size) = (
        |word| Some(name(word)),
        Some("pay".to_owned()),
        Some(Sectors::mib(1024)),
    );
    vec![
        DiskLine {
            device: Some("/dev/sdb".into()),
            id: id(0xd1),
            media: media("disk01"),
            group: group.clone(),
            group_id: None,
            state: "online",
            size,
            data_start: Some(Sectors::mib(4)),
            sector_size: Some(512),
            remark: None,
        },
        DiskLine {
            device: None,
            id: id(0xd4),
            media: media("disk04"),
            group,
            group_id: None,
            state: "missing",
            size: None,
            data_start: None,
            sector_size: None,
            remark: None,
        },
        DiskLine {
            device: Some(PathBuf::from("/dev/sde")),
            id: id(0xe0),
            media: None,
            group: None,
            group_id: None,
            state: "free",
            size,
            data_start: Some(Sectors::mib(4)),
            sector_size: Some(4096),
            remark: None,
        },
        DiskLine {
            device: Some("/dev/sdf".into()),
            id: id(0xd1),
            media: None,
            group: None,
            group_id: None,
            state: "duplicate",
            size: None,
            data_start: None,
            sector_size: Some(512),
            remark: Some("same identity as /dev/sdb".into()),
        },
    ]
}

#[test]
fn disk_list() {
    both("disk-list", "disk list", &Outcome::Disks(disks()));
}

#[test]
fn stat() {
    let line = |of, n| CounterLine {
        group: name("pay"),
        of,
        counters: Counters {
            reads: n,
            sectors_read: 8 * n,
            read_ms: 2 * n,
            writes: 3 * n,
            sectors_written: 24 * n,
            write_ms: 4 * n,
        },
    };
    let lines = vec![
        line(Counted::Volume(name("paydb")), 1000),
        line(Counted::Plex(name("paydb"), name("paydb-01")), 30),
        line(Counted::Disk(name("disk01")), 0),
    ];
    both("stat", "stat", &Outcome::Counters(lines));
    assert_eq!(
        text::outcome(&Outcome::Counters(Vec::new()), false),
        "nothing is started\n"
    );
}

#[test]
fn group_show() {
    let outcome = Outcome::Group(Box::new(full().state), disks()[..2].to_vec(), Some(FILL));
    both("group-show", "group show", &outcome);
}

#[test]
fn group_list() {
    let line = |word: &str, state, present, remark: Option<&str>| GroupLine {
        name: word.to_owned(),
        id: GroupId::from_bytes([0x99; 16]),
        state,
        host: None,
        generation: Some(42),
        disks: (present, 4),
        volumes: 9,
        remark: remark.map(str::to_owned),
    };
    let split = GroupLine {
        generation: None,
        ..line(
            "b",
            "refused",
            4,
            Some("split brain: /dev/sdb and /dev/sdc disagree at generation 7"),
        )
    };
    both(
        "group-list",
        "group list",
        &Outcome::Groups(vec![line("a", "imported", 3, None), split]),
    );
}

fn split(freeze_us: Option<u64>) -> Change {
    let split = NewSnapshot {
        original: name("home"),
        plexes: vec![name("home-02")],
        size: Sectors::mib(10),
        device: "/dev/breakoff/pay/SNAP-home".into(),
        crash: None,
        freeze_us,
    };
    Change::volume(&name("pay"), &name("SNAP-home"), Event::Split(split))
}

#[test]
fn a_plan_is_shown_by_phases() {
    let step = |verb, object: &str, detail: &[&str]| StepView {
        verb,
        object: object.into(),
        detail: detail.iter().map(ToString::to_string).collect(),
    };
    let plan = PlanView {
        group: "pay".into(),
        changes: vec![split(None)],
        notes: vec!["mount it read-only".into()],
        prepare: vec![
            step("create", "pay-SNAP--home", &[]),
            step("load", "pay-home", &["0 20480 linear /dev/sdb 419840"]),
        ],
        window: vec![
            step(
                "suspend",
                "pay-home",
                &["flush, freeze the mounted filesystem"],
            ),
            step("resume", "pay-home", &[]),
        ],
        finish: vec![step("remove", "pay-home_home--02", &[])],
    };
    both("plan", "snapshot", &Outcome::Planned(plan));
    assert_eq!(
        text::outcome(&Outcome::Planned(PlanView::default()), false),
        "nothing to do\n"
    );
}

#[test]
fn changes_are_told_by_object() {
    let resynced = Change::volume(&name("pay"), &name("home"), Event::Resynced);
    let notes = vec!["mount it with: mount -o ro …".to_owned()];
    both(
        "changes",
        "snapshot",
        &Outcome::Done(Report {
            changes: vec![split(Some(12_345)), resynced],
            notes,
            ..Report::default()
        }),
    );
    assert_eq!(
        text::outcome(&Outcome::Done(Report::default()), false),
        "nothing to do\n"
    );
}

#[test]
fn findings_and_dumps() {
    assert_eq!(
        text::outcome(&Outcome::Findings(Vec::new()), false),
        "nothing needs attention\n"
    );
    assert_eq!(
        text::outcome(&Outcome::Findings(vec!["a".into(), "b".into()]), false),
        "a\nb\n"
    );
    let document = |outcome| json::success(Some("x"), &outcome).unwrap();
    assert!(document(Outcome::Findings(Vec::new())).contains(r#""result":{"findings":[]}"#));
    let found = json::to_be_repaired(
        Some("recover"),
        &["a".into()],
        &Error::not_ready("b"),
        &Native,
    )
    .unwrap();
    assert_eq!(
        found,
        "{\"breakoff\":1,\"command\":\"recover\",\"ok\":false,\"result\":{\"findings\":[\"a\"]},\
         \"error\":{\"kind\":\"not-ready\",\"message\":\"b\",\"object\":null,\"hint\":null}}\n"
    );
    assert!(
        document(Outcome::Dump(r#"{"a": 1}"#.into()))
            .contains(r#""result":{"configuration":{"a":1}}"#)
    );
    assert_eq!(
        text::outcome(&Outcome::Dump("{\"a\": 1}".into()), false),
        "{\"a\": 1}\n"
    );
}

#[test]
fn a_part_that_failed_is_told_beside_the_part_that_was_done() {
    let open = Error::in_use("volume 'g/b' is open")
        .on("g/b")
        .hint("close it");
    let lost = Error::device("volume 'g/c' cannot be started").on("g/c");
    let report = |failures: &[&Error]| Report {
        changes: vec![Change::volume(&name("g"), &name("a"), Event::Stopped)],
        failures: failures.iter().map(|e| (*e).clone()).collect(),
        ..Report::default()
    };
    assert_eq!(report(&[]).failure(), None);
    assert_eq!(report(&[&open]).failure(), Some(open.clone()));
    assert_eq!(
        report(&[&open, &open]).failure().map(|e| e.kind()),
        Some(Kind::InUse)
    );
    let both = report(&[&open, &lost]);
    let all = both.failure().unwrap();
    assert_eq!(all.kind(), Kind::Failed);
    assert_eq!(
        json::partial(Some("stop"), &both, &all, &Native).unwrap(),
        "{\"breakoff\":1,\"command\":\"stop\",\"ok\":false,\"result\":{\"changes\":[{\"object\":\"g/a\",\"action\":\"stopped\"}],\"notes\":[],\
         \"failures\":[{\"kind\":\"in-use\",\"message\":\"volume 'g/b' is open\",\"object\":\"g/b\",\"hint\":\"close it\"},\
         {\"kind\":\"device\",\"message\":\"volume 'g/c' cannot be started\",\"object\":\"g/c\",\"hint\":null}]},\
         \"error\":{\"kind\":\"failed\",\"message\":\"2 of them failed: volume 'g/b' is open; volume 'g/c' cannot be started\",\
         \"object\":null,\"hint\":null}}\n"
    );
}

#[test]
fn the_envelope_is_exactly_as_documented() {
    let err = Error::new(Kind::NotReady, "volume 'g/v' has no complete snapshot leg")
        .on("g/v")
        .hint("type 'breakoff snapwait v'");
    assert_eq!(
        json::failure(Some("snapshot"), &err, &Native).unwrap(),
        "{\"breakoff\":1,\"command\":\"snapshot\",\"ok\":false,\"error\":{\"kind\":\"not-ready\",\
         \"message\":\"volume 'g/v' has no complete snapshot leg\",\"object\":\"g/v\",\"hint\":\"type 'breakoff snapwait v'\"}}\n"
    );
    assert_eq!(
        json::success(Some("snapshot"), &Outcome::Done(Report::default())).unwrap(),
        "{\"breakoff\":1,\"command\":\"snapshot\",\"ok\":true,\"result\":{\"changes\":[],\"notes\":[]}}\n"
    );
    assert_eq!(
        text::failure("breakoff", &err, &Native),
        "breakoff: error: volume 'g/v' has no complete snapshot leg\n  hint: type 'breakoff snapwait v'\n"
    );
}
