//! What is advised is a line that the front end which was used understands.

use crate::cli_support::golden;
use breakoff::advice::{Advised, Choice, Hint, Import, Language, Of};
use breakoff::cli::native::hints::Native;
use breakoff::cli::vx::hints::Vx;
use breakoff::cli::{native, vx};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// The place of an advice in [`all`]. Who adds one adds it there, too: this does not compile
/// without.
fn place(advised: &Advised) -> usize {
    match advised {
        Advised::Make { .. } => 0,
        Advised::Remove(_) => 1,
        Advised::Mirror { .. } => 2,
        Advised::Start { .. } => 3,
        Advised::Stop(_) => 4,
        Advised::Print(_) => 5,
        Advised::SnapStart(_) => 6,
        Advised::SnapWait(_) => 7,
        Advised::Snapshot { .. } => 8,
        Advised::SnapAbort(_) => 9,
        Advised::SnapClear { .. } => 10,
        Advised::SnapPrint(_) => 11,
        Advised::ToActive(_) => 12,
        Advised::ToSnapDone(_) => 13,
        Advised::PlexRemove(_) => 14,
        Advised::GroupShow { .. } => 15,
        Advised::GroupAdd { .. } => 16,
        Advised::GroupDestroy { .. } => 17,
        Advised::GroupImport { .. } => 18,
        Advised::GroupReplaceDisk { .. } => 19,
        Advised::DiskInit { .. } => 20,
        Advised::StopAll(_) => 21,
        Advised::StartAll(_) => 29,
        Advised::PlexAttach(_) => 30,
        Advised::Recover => 22,
        Advised::PlexDetach(_) => 23,
        Advised::GroupList => 24,
        Advised::GroupCreate => 25,
        Advised::GroupRemoveDisk => 26,
        Advised::GroupChoose { .. } => 27,
        Advised::DiskList => 28,
        Advised::GroupJoin { .. } => 31,
    }
}
const COUNT: usize = 32;

/// Every advice with all that it can say.
fn full() -> Vec<Advised> {
    let (v, p) = (|| Of::both("g", "v"), || Of::both("g", "v-02"));
    let g = || "g".to_owned();
    let import = |how| Advised::GroupImport { group: g(), how };
    vec![
        Advised::Remove(v()),
        Advised::Mirror {
            of: v(),
            avoid: None,
        },
        Advised::Mirror {
            of: v(),
            avoid: Some("disk01".to_owned()),
        },
        Advised::Start {
            of: v(),
            force: false,
        },
        Advised::Start {
            of: v(),
            force: true,
        },
        Advised::Stop(v()),
        Advised::Print(v()),
        Advised::Print(Of::group("g")),
        Advised::SnapStart(v()),
        Advised::SnapWait(v()),
        Advised::Snapshot {
            of: v(),
            plex: None,
        },
        Advised::Snapshot {
            of: v(),
            plex: Some("v-02".to_owned()),
        },
        Advised::SnapAbort(v()),
        Advised::SnapClear {
            of: v(),
            all: false,
        },
        Advised::SnapClear { of: v(), all: true },
        Advised::SnapPrint(v()),
        Advised::SnapPrint(Of::group("g")),
        Advised::ToActive(p()),
        Advised::ToActive(Of::name("v-02")),
        Advised::ToActive(Of::verb()),
        Advised::ToSnapDone(p()),
        Advised::PlexRemove(p()),
        Advised::GroupShow { group: g() },
        Advised::GroupAdd { group: Some(g()) },
        Advised::GroupDestroy { group: g() },
        import(Import::Plain),
        import(Import::Incomplete),
        import(Import::FromElsewhere),
        import(Import::Renamed),
        Advised::GroupJoin {
            group: g(),
            to: "h".to_owned(),
        },
        Advised::GroupChoose {
            group: g(),
            side: "3f2a".to_owned(),
        },
        Advised::GroupList,
        Advised::DiskList,
        Advised::GroupCreate,
        Advised::StartAll(Of::group("g")),
        Advised::PlexAttach(p()),
        Advised::StopAll(Of::group("g")),
        Advised::StopAll(Of::verb()),
        Advised::Recover,
        Advised::PlexDetach(p()),
        Advised::GroupReplaceDisk {
            group: g(),
            disk: "disk01".to_owned(),
        },
        Advised::DiskInit {
            devices: vec!["/dev/sdb".to_owned(), "/dev/sdc".to_owned()],
        },
    ]
}

/// Those that only name a verb.
fn short() -> Vec<Advised> {
    vec![
        Advised::Make { sector_size: 4096 },
        Advised::Mirror {
            of: Of::verb(),
            avoid: None,
        },
        Advised::Snapshot {
            of: Of::verb(),
            plex: None,
        },
        Advised::SnapAbort(Of::verb()),
        Advised::SnapClear {
            of: Of::verb(),
            all: false,
        },
        Advised::PlexRemove(Of::verb()),
        Advised::PlexDetach(Of::verb()),
        Advised::SnapWait(Of::verb()),
        Advised::Print(Of::verb()),
        Advised::GroupRemoveDisk,
        Advised::DiskInit {
            devices: Vec::new(),
        },
        Advised::GroupAdd { group: None },
    ]
}

#[test]
fn each_front_end_advises_in_its_own_words() {
    let all: Vec<Advised> = full().into_iter().chain(short()).collect();
    let places: BTreeSet<usize> = all.iter().map(place).collect();
    assert_eq!(places, (0..COUNT).collect());
    let mut text = String::new();
    for advised in &all {
        writeln!(text, "{}\n    {}", Native.line(advised), Vx.line(advised)).unwrap();
    }
    // All, as `choice` of either says.
    for choice in [
        Choice::NamedDisks,
        Choice::WithoutLog,
        Choice::Recursive,
        Choice::Force,
        Choice::TakeOver,
        Choice::Wipe,
        Choice::Expand,
    ] {
        writeln!(text, "{}\n    {}", Native.choice(choice), Vx.choice(choice)).unwrap();
    }
    golden("advice.txt", &text);
}

#[test]
fn what_is_advised_can_be_typed() {
    for advised in full() {
        for line in [Native.line(&advised), Vx.line(&advised)] {
            let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            let understood = match line.split(' ').next() {
                Some(name) if vx::is_ours(name) => vx::parse(name, &words[1..]).is_ok(),
                _ => native::parse(&words).is_ok(),
            };
            assert!(understood, "{line}");
        }
    }
}

#[test]
fn text_and_command_lines_make_one_sentence() {
    let hint = Hint::from("wait with ")
        .line(Advised::SnapWait(Of::both("g", "v")))
        .and(", or remove it by ")
        .choice(Choice::Recursive);
    assert_eq!(
        hint.text(&Native),
        "wait with 'breakoff -g g snapwait v', or remove it by --recursive"
    );
    assert_eq!(
        hint.text(&Vx),
        "wait with 'vxassist -g g snapwait v', or remove it by -f (vxassist) or -r (vxedit)"
    );
}

/// The text up to the bracket that closes the one before it; those in strings do not count.
fn bracketed(text: &str) -> &str {
    let (mut depth, mut quoted, mut escaped) = (1, false, false);
    let end = text.find(|c| {
        match c {
            '"' if !escaped => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth -= 1,
            _ => {}
        }
        escaped = c == '\\' && !escaped;
        depth == 0
    });
    &text[..end.unwrap_or(text.len())]
}

/// A command line that is written out is the native one, whoever reads it.
#[test]
fn no_hint_has_a_command_line_of_ours_as_text() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut waiting, mut hints): (Vec<PathBuf>, usize) = (vec![source], 0);
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).unwrap();
            waiting.extend(entries.map(|entry| entry.unwrap().path()));
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for start in [".hint(", "Hint::from(", ".and(", ".note(", "notes.push("] {
            for part in text.split(start).skip(1).map(bracketed) {
                // The name of a process, and no advice.
                let part = part.replace("'breakoff monitor'", "");
                assert!(
                    ["'breakoff ", "'vxassist -g", "'group ", "'disk "]
                        .iter()
                        .all(|line| !part.contains(line)),
                    "{}: {start}{part})",
                    path.display()
                );
                hints += 1;
            }
        }
    }
    assert!(hints > 100, "{hints} were found");
}
