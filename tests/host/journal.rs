//! The journal's events: their table, the catalogue that explains them, and their page.

use crate::fake::script::World;
use crate::pure::golden::assert_section;
use breakoff::sys::notice::{KINDS, Kind, Notice};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(file)
}

const CATALOG: &str = "dist/catalog/breakoff.catalog";

#[test]
fn every_kind_has_an_identifier_of_its_own() {
    let ids: BTreeSet<&str> = KINDS.iter().map(|kind| kind.id).collect();
    let events: BTreeSet<&str> = KINDS.iter().map(|kind| kind.event).collect();
    assert_eq!((ids.len(), events.len()), (KINDS.len(), KINDS.len()));
    for kind in KINDS {
        let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        assert!(
            kind.id.len() == 32 && kind.id.chars().all(is_hex),
            "{}",
            kind.id
        );
    }
    // What was given out once stays.
    let given: BTreeMap<&str, &str> = KINDS.iter().map(|kind| (kind.event, kind.id)).collect();
    for (event, id) in [
        ("plex-failed", "93349b00a0f6499f9b9dd3073f01109a"),
        ("plex-state", "1c20cdbf110b4a29b93fee6186e277a2"),
        ("log-failed", "27b1f51f01894ff6979e3a09b2447377"),
    ] {
        assert_eq!(given.get(event), Some(&id), "{event}");
    }
}

/// The entries of the catalogue: by identifier, the headers and the text.
fn catalogue() -> BTreeMap<String, (BTreeMap<String, String>, String)> {
    let text = fs::read_to_string(path(CATALOG)).unwrap();
    let mut entries = BTreeMap::new();
    for entry in text.split("\n-- ").skip(1) {
        let (id, rest) = entry.split_once('\n').unwrap();
        let (head, body) = rest.split_once("\n\n").unwrap();
        let pair = |line: &str| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_owned(), value.to_owned())
        };
        let headers = head.lines().map(pair).collect();
        let before = entries.insert(id.to_owned(), (headers, body.to_owned()));
        assert!(before.is_none(), "{id} is there twice");
    }
    entries
}

/// The fields that a text names: `@FIELD@`.
fn fields_in(text: &str) -> BTreeSet<&str> {
    text.split('@').skip(1).step_by(2).collect()
}

#[test]
fn the_catalogue_explains_each_event_by_fields_that_it_has() {
    let mut entries = catalogue();
    for kind in KINDS {
        let (headers, body) = entries
            .remove(kind.id)
            .unwrap_or_else(|| panic!("{CATALOG} lacks {}", kind.event));
        for name in ["Subject", "Defined-By", "Support", "Documentation"] {
            assert!(headers.contains_key(name), "{}: {name}", kind.event);
        }
        let always: BTreeSet<String> = kind
            .fields
            .iter()
            .filter(|field| field.always)
            .map(|field| format!("BREAKOFF_{}", field.name))
            .collect();
        let subject = &headers["Subject"];
        let named: BTreeSet<&str> = [subject, &body]
            .into_iter()
            .flat_map(|t| fields_in(t))
            .collect();
        assert!(named.contains("BREAKOFF_VOLUME"), "{}", kind.event);
        for field in named {
            assert!(always.contains(field), "{}: {field}", kind.event);
        }
        // What it says to type is understood.
        let told = body
            .lines()
            .filter_map(|line| line.strip_prefix("    breakoff "));
        let mut count = 0;
        for line in told {
            let words = line
                .split_whitespace()
                .map(|word| match word.split('@').nth(1) {
                    Some(field) => field.to_lowercase(),
                    None => word.to_lowercase(),
                });
            let line: Vec<_> = ["breakoff".to_owned()]
                .into_iter()
                .chain(words)
                .map(Into::into)
                .collect();
            let parsed = breakoff::cli::native::parse(&line);
            assert!(parsed.is_ok(), "{line:?}: {parsed:?}");
            count += 1;
        }
        assert!(count > 0, "{} says nothing to do", kind.event);
    }
    assert!(entries.is_empty(), "nobody says {:?}", entries.keys());
}

fn page() -> String {
    let mut page = String::new();
    for Kind {
        event,
        id,
        when,
        fields,
    } in KINDS
    {
        page += &format!(
            "\n### `{event}`\n\n{when}\n\n| field | |\n|---|---|\n| `MESSAGE_ID` | `{id}` |\n\
             | `BREAKOFF_EVENT` | `{event}` |\n"
        );
        for field in *fields {
            let rarely = if field.always { "" } else { "; if known" };
            page += &format!("| `BREAKOFF_{}` | {}{rarely} |\n", field.name, field.holds);
        }
    }
    page + "\n"
}

#[test]
fn the_page_is_made_from_the_table() {
    assert_section("docs/journal.md", "events", &page());
}

#[track_caller]
fn has_its_fields(notice: &Notice) {
    let about: BTreeSet<&str> = notice.about.iter().map(|(field, _)| *field).collect();
    assert_eq!(about.len(), notice.about.len(), "{notice:?}");
    let fields = notice.kind.fields;
    let missing = fields
        .iter()
        .filter(|f| f.always && !about.contains(f.name));
    assert_eq!(missing.count(), 0, "{notice:?}");
    let known: BTreeSet<&str> = fields.iter().map(|field| field.name).collect();
    assert!(about.is_subset(&known), "{notice:?}");
}

#[test]
fn what_is_told_has_the_fields_of_the_table() {
    const GROUP: &str = "group create g /dev/fake1 /dev/fake2 /dev/fake3";
    const MIRROR: &str = "make v 8m --mirrors 2 --on disk01,disk02";
    let mut told = BTreeSet::new();
    for (script, command) in [
        // The log is on the first disk.
        (&[GROUP, MIRROR, "sync", "die1"][..], "recover"),
        (&[GROUP, MIRROR, "sync", "die2"], "recover"),
        (&[GROUP, MIRROR, "sync", "stop v", "unplug2"], "start v"),
        (
            &[
                GROUP,
                "make v 8m --on disk01",
                "snapstart -b --on disk02 v",
                "die2",
                "region",
            ],
            "recover",
        ),
    ] {
        let fake = World::new("journal", 3, script).fake;
        fake.0.borrow_mut().notices.clear();
        fake.ok(command);
        let notices = fake.0.borrow().notices.clone();
        assert!(!notices.is_empty(), "{script:?} {command}");
        for notice in &notices {
            has_its_fields(notice);
            told.insert(notice.kind.event);
        }
    }
    let all: BTreeSet<&str> = KINDS.iter().map(|kind| kind.event).collect();
    assert_eq!(told, all);
}

/// systemd's own judgement.
#[test]
fn journalctl_takes_the_catalogue() {
    let root = tempfile::tempdir().unwrap();
    let place = root.path().join("usr/lib/systemd/catalog");
    fs::create_dir_all(&place).unwrap();
    fs::create_dir_all(root.path().join("var/lib/systemd/catalog")).unwrap();
    fs::copy(path(CATALOG), place.join("breakoff.catalog")).unwrap();
    let journalctl = |word: &str| {
        let mut command = Command::new("journalctl");
        command.arg(format!("--root={}", root.path().display()));
        command.arg(word).output()
    };
    let Ok(output) = journalctl("--update-catalog") else {
        println!("there is no journalctl");
        return;
    };
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
    let output = journalctl("--list-catalog").unwrap();
    let listed = String::from_utf8(output.stdout).unwrap();
    for kind in KINDS {
        let mut lines = listed.lines();
        assert!(
            lines.any(|line| line.starts_with(kind.id) && line.contains("breakoff: ")),
            "{listed}"
        );
    }
    assert_eq!(listed.lines().count(), KINDS.len(), "{listed}");
    let output = journalctl("--dump-catalog").unwrap();
    let dumped = String::from_utf8(output.stdout).unwrap();
    for (_, body) in catalogue().values() {
        assert!(dumped.contains(body.trim_end()), "{dumped}");
    }
}
