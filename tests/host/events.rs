//! Every event: its line, its JSON, and its row in `docs/json.md`.

use crate::cli_support::golden;
use crate::cli_support::world::name;
use breakoff::app::{Change, Outcome, Report};
use breakoff::model::{
    Account, AtBoot, CrashReason, DiskId, GroupId, NodeMode, NodeOwner, PlexState, Sectors,
    Untracked,
};
use breakoff::plan::change::{Attaching, Copied, Event, NewSnapshot, PlexFailed, SideChosen};
use breakoff::report::{json, text};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The place of an event in [`all`]. Who adds one adds it there, too: this does not compile without.
fn place(event: &Event) -> usize {
    match event {
        Event::GroupCreated { .. } => 0,
        Event::VolumeCreated { .. } => 1,
        Event::Initialised(_) => 2,
        Event::DiskAdded { .. } => 3,
        Event::DeviceToBeAdded { .. } => 4,
        Event::DiskRemoved { .. } => 5,
        Event::DiskReplaced { .. } => 6,
        Event::DiskResized { .. } => 7,
        Event::LabelWritten { .. } => 8,
        Event::LabelErased => 9,
        Event::Destroyed => 10,
        Event::Deported => 11,
        Event::Imported { .. } => 12,
        Event::SideChosen(_) => 13,
        Event::Removed { .. } => 14,
        Event::Renamed { .. } => 15,
        Event::Grown { .. } => 16,
        Event::Started { .. } => 17,
        Event::Stopped => 18,
        Event::Attaching(_) => 19,
        Event::PlexState { .. } => 20,
        Event::PlexRemoved { .. } => 21,
        Event::PlexFailed(_) => 22,
        Event::LogFailed => 23,
        Event::LogAdded => 24,
        Event::Resynced => 25,
        Event::Split(_) => 26,
        Event::Unlinked { .. } => 27,
        Event::Returning { .. } => 28,
        Event::Restoring { .. } => 29,
        Event::Exchanged { .. } => 30,
        Event::ChangesComplete => 31,
        Event::ChangesUnknown { .. } => 32,
        Event::FastResync { .. } => 33,
        Event::Untracked { .. } => 34,
        Event::MapFailed { .. } => 35,
        Event::MapSpaceAdded { .. } => 36,
        Event::Owner(_) => 37,
        Event::LogRemoved { .. } => 38,
        Event::AtBoot { .. } => 39,
        Event::Moved { .. } => 40,
        Event::Cloned { .. } => 41,
    }
}
const COUNT: usize = 42;

/// Each event with all of its details, and again without those that it can lack.
fn all() -> Vec<Event> {
    let device = || PathBuf::from("/dev/breakoff/g/v");
    let plex = || name("v-02");
    let (size, by) = (Sectors::mib(64), Sectors::mib(8));
    let was = PlexState::Active;
    let copied = |untracked: Option<&str>| Copied {
        size,
        to_copy: by,
        tracked: untracked.is_none(),
        reason: untracked.map(str::to_owned),
    };
    let why = Some("it was switched off");
    let faster = Copied {
        to_copy: size,
        tracked: true,
        ..copied(Some("that is faster"))
    };
    let split = |crash: Option<&str>, freeze_us| {
        Event::Split(NewSnapshot {
            original: name("v"),
            plexes: vec![plex(), name("v-03")],
            size,
            device: device(),
            crash: crash.map(CrashReason::new),
            freeze_us,
        })
    };
    let chosen = |volumes_given_up: &[&str]| {
        Event::SideChosen(SideChosen {
            side: "disk01".to_owned(),
            disks_of_others: 2,
            volumes_given_up: volumes_given_up.iter().map(ToString::to_string).collect(),
        })
    };
    let attaching = |disks: Option<&str>| {
        Event::Attaching(Attaching {
            plex: plex(),
            state: PlexState::SnapAtt,
            size,
            disks: disks.map(str::to_owned),
        })
    };
    let failed = |state, disks: Option<&str>| {
        Event::PlexFailed(PlexFailed {
            plex: plex(),
            was,
            state,
            disks: disks.map(str::to_owned),
            devices: disks.map(|_| "/dev/sdb,/dev/sdc".to_owned()),
        })
    };
    let exchanged = |kept| Event::Exchanged {
        with: name("s"),
        size,
        kept,
    };
    vec![
        Event::GroupCreated {
            uuid: GroupId::parse(&"0a".repeat(16)).unwrap(),
        },
        Event::VolumeCreated {
            size,
            plexes: 2,
            disks: "disk01,disk02".to_owned(),
            device: device(),
        },
        Event::Initialised(Some((DiskId::parse(&"0b".repeat(16)).unwrap(), size))),
        Event::Initialised(None),
        Event::DiskAdded {
            media: name("disk01"),
            size,
        },
        Event::DeviceToBeAdded { group: name("g") },
        Event::DiskRemoved {
            media: name("disk01"),
        },
        Event::DiskReplaced {
            media: name("disk01"),
            uuid: DiskId::parse(&"0c".repeat(16)).unwrap(),
            size,
        },
        Event::DiskResized {
            media: name("disk01"),
            size,
            by,
        },
        Event::LabelWritten {
            device: "/dev/sdb".into(),
        },
        Event::LabelErased,
        Event::Destroyed,
        Event::Deported,
        Event::Moved { to: name("other") },
        Event::Imported {
            disks: 3,
            was: Some(name("old")),
        },
        Event::Imported {
            disks: 3,
            was: None,
        },
        Event::Cloned {
            from: name("g"),
            disks: 3,
        },
        chosen(&["a", "b"]),
        chosen(&[]),
        Event::Removed { size },
        Event::Renamed {
            to: name("w"),
            device: device(),
        },
        Event::Grown { size, by },
        Event::Started { clean: true },
        Event::Started { clean: false },
        Event::Stopped,
        attaching(Some("disk02")),
        attaching(None),
        Event::PlexState {
            plex: plex(),
            was: PlexState::SnapAtt,
            state: PlexState::SnapDone,
        },
        Event::PlexRemoved {
            plex: plex(),
            was,
            released: Some(size),
        },
        Event::PlexRemoved {
            plex: plex(),
            was,
            released: None,
        },
        failed(Some(PlexState::Failed), Some("disk01,disk02")),
        failed(None, None),
        Event::LogFailed,
        Event::LogAdded,
        Event::LogRemoved {
            released: Some(size),
        },
        Event::LogRemoved { released: None },
        Event::Resynced,
        split(None, Some(12_345)),
        split(Some("it is used as swap"), None),
        Event::Unlinked {
            original: Some(name("v")),
        },
        Event::Unlinked { original: None },
        Event::Returning {
            to: name("v"),
            plexes: vec![plex()],
            copied: copied(why),
        },
        Event::Returning {
            to: name("v"),
            plexes: vec![plex()],
            copied: copied(None),
        },
        Event::Returning {
            to: name("v"),
            plexes: vec![plex()],
            copied: faster,
        },
        Event::Restoring {
            from: name("s"),
            plexes: vec![plex()],
            copied: copied(why),
        },
        exchanged(Some((vec![plex()], copied(why)))),
        exchanged(None),
        Event::ChangesComplete,
        Event::ChangesUnknown {
            reason: "a disk has failed".to_owned(),
        },
        Event::FastResync {
            was: true,
            state: false,
        },
        Event::Untracked {
            reason: Untracked::MapLost,
        },
        Event::MapFailed { copies: 1 },
        Event::MapSpaceAdded { copies: 1 },
        Event::Owner(NodeOwner {
            user: Account::parse("oracle").ok(),
            group: Account::parse("4711").ok(),
            mode: NodeMode::new(0o640),
        }),
        Event::Owner(NodeOwner::default()),
        Event::AtBoot {
            from: name("s"),
            how: Some(AtBoot::Overwrite),
        },
        Event::AtBoot {
            from: name("s"),
            how: Some(AtBoot::Keep),
        },
        Event::AtBoot {
            from: name("s"),
            how: None,
        },
    ]
}

#[test]
fn every_event_is_printed_as_it_always_was() {
    let events = all();
    let places: BTreeSet<usize> = events.iter().map(place).collect();
    assert!(places.into_iter().eq(0..COUNT), "an event is missing");
    let changes = events
        .into_iter()
        .map(|event| Change::volume(&name("g"), &name("v"), event))
        .chain([
            Change::group(&name("g"), Event::Destroyed),
            Change::disk(&name("g"), &name("disk01"), Event::LabelErased),
            Change::device(Path::new("/dev/sdb"), Event::LabelErased),
        ])
        .collect();
    let outcome = Outcome::Done(Report {
        changes,
        ..Report::default()
    });
    golden("events.txt", &text::outcome(&outcome, false));
    let document = json::success(Some("x"), &outcome).unwrap();
    // In the order in which they are printed.
    golden("events.json", &document.replace("},{", "},\n{"));
}

/// The rows of the table of changes: each word, with all that is in backquotes in its rows.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/json.md");
    let text = std::fs::read_to_string(path).unwrap();
    let table = text
        .split("\n## ")
        .find(|section| section.starts_with("Changes\n"))
        .unwrap();
    let quoted = |cell: &str| -> BTreeSet<String> {
        cell.split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect()
    };
    let mut rows: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in table.lines().filter(|line| line.starts_with("| `")) {
        let mut cells = row.trim_matches('|').splitn(3, '|');
        let words = quoted(cells.next().unwrap());
        let details = quoted(cells.nth(1).unwrap());
        for word in words.into_iter().filter(|word| word != "action") {
            rows.entry(word)
                .or_default()
                .extend(details.iter().cloned());
        }
    }
    rows
}

#[test]
fn every_event_is_documented_with_its_details() {
    let documented = documented();
    let events = all();
    for event in &events {
        let row = documented
            .get(event.word())
            .unwrap_or_else(|| panic!("docs/json.md has no '{}'", event.word()));
        for (detail, _) in event.details() {
            assert!(
                row.contains(detail),
                "docs/json.md has no '{detail}' for '{}'",
                event.word()
            );
        }
    }
    let words: BTreeSet<&str> = events.iter().map(Event::word).collect();
    let needless: Vec<_> = documented
        .keys()
        .filter(|word| !words.contains(word.as_str()))
        .collect();
    assert!(needless.is_empty(), "nothing says {needless:?}");
}
