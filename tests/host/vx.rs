//! VxVM's utilities: what their words become, what they print and which status they end with. The
//! machine is the one in memory; `tests/kernel/vx.rs` has whole sessions on the real kernel.

use crate::cli_support::golden;
use crate::fake::{Fake, Silent};
use crate::pure::golden::assert_section;
use breakoff::app::{self, Env, Outcome};
use breakoff::cli::vx::exit;
use breakoff::cli::vx::hints::Vx;
use breakoff::cli::vx::table::{self, ENTRIES, Fate};
use breakoff::cli::{Action, Invocation, Why, vx};
use breakoff::error::{Error, Kind};
use std::ffi::OsString;
use std::fmt::Write;

fn words(line: &str) -> Vec<OsString> {
    let words = shell_words(line);
    words.into_iter().map(OsString::from).collect()
}

/// Words as a shell makes them, with single quotes.
fn shell_words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut any) = (Vec::new(), String::new(), false, false);
    for c in line.chars() {
        match c {
            '\'' => (quoted, any) = (!quoted, true),
            ' ' if !quoted => {
                if any || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                any = false;
            }
            c => word.push(c),
        }
    }
    if any || !word.is_empty() {
        words.push(word);
    }
    words
}

/// What a command line prints on stdout and stderr, and its exit status.
fn typed(machine: &Fake, line: &str) -> (String, String, u8) {
    let words = words(line);
    let called = words[0].to_str().unwrap();
    let mut verb: Option<String> = None;
    let failed = |verb: Option<&str>, group: Option<&str>, err: &Error| {
        let text = exit::failure(called, err, &Vx);
        (String::new(), text, exit::status(called, verb, group, err))
    };
    let invocation = match vx::parse(called, &words[1..]) {
        Ok(invocation) => invocation,
        Err(stopped) => {
            return match stopped.why {
                Why::Help(text) => (text, String::new(), 0),
                Why::Wrong(err) => failed(None, None, &err),
            };
        }
    };
    let Invocation {
        options,
        action,
        style,
    } = invocation;
    verb.clone_from(&style.verb);
    let group = options.group.as_ref().map(ToString::to_string);
    let env = Env {
        machine,
        ui: &Silent,
    };
    match action {
        Action::App(command) => match app::run(&options, &command, env) {
            Ok(Outcome::Done(report)) => match report.failure() {
                None => (String::new(), String::new(), 0),
                Some(err) => failed(verb.as_deref(), group.as_deref(), &err),
            },
            Ok(other) => panic!("'{line}' prints {other:?}"),
            Err(err) => {
                let err = vx::as_seen(&options, err, env);
                failed(verb.as_deref(), group.as_deref(), &err)
            }
        },
        Action::Vx(job) => match vx::run(&options, &job, env) {
            Ok(answer) => {
                let (mut errors, mut status) = (String::new(), 0);
                for err in answer.failures.iter().rev() {
                    let (_, text, of_it) = failed(verb.as_deref(), group.as_deref(), err);
                    (errors, status) = (text + &errors, of_it);
                }
                (answer.text, errors, status)
            }
            Err(err) => failed(verb.as_deref(), group.as_deref(), &err),
        },
        other => panic!("'{line}' is {other:?}"),
    }
}

/// UUIDs differ from run to run, and with them how much of the metadata is free.
fn without_ids(text: &str) -> String {
    let text: &str = &free_of_numbers(text);
    let is_id = |word: &str| {
        let word = word.trim_start_matches(|c: char| !c.is_ascii_hexdigit());
        word.len() == 36
            && word.chars().all(|c| c.is_ascii_hexdigit() || c == '-')
            && word.matches('-').count() == 4
    };
    let mut out = String::new();
    for part in text.split_inclusive([' ', '\n', '=']) {
        let word = part.trim_end_matches([' ', '\n', '=']);
        if is_id(word) {
            out += &part.replace(word, "UUID");
        } else {
            out += part;
        }
    }
    out
}

fn free_of_numbers(text: &str) -> String {
    let mut parts = text.split("free=");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        text + "free=N" + part.trim_start_matches(|c: char| c.is_ascii_digit())
    })
}

#[test]
fn a_session_of_an_administrator() {
    let machine = Fake::new(&[64, 64, 64, 64]);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/vx-session.txt");
    let file = std::fs::read_to_string(path).unwrap();
    let mut text = String::new();
    for line in file.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            let (out, err, status) = typed(&machine, command);
            let _ = writeln!(text, "{line}");
            for printed in without_ids(&(out + &err)).lines() {
                // An empty line of the file is none of the output.
                let printed = if printed.is_empty() { "~" } else { printed };
                let _ = writeln!(text, "    {printed}");
            }
            if status != 0 {
                let _ = writeln!(text, "    = {status}");
            }
        } else if line.starts_with('#') || line.is_empty() {
            let _ = writeln!(text, "{line}");
        }
    }
    golden("vx-session.txt", &text);
}

#[test]
fn every_example_is_what_its_table_says() {
    for entry in ENTRIES {
        let line = format!("{} {}", entry.utility, entry.example);
        let words = words(&line);
        let parsed = vx::parse(entry.utility, &words[1..]);
        match (entry.fate, parsed) {
            (Fate::Works | Fate::Differs(_), Ok(_)) => {}
            (Fate::Works | Fate::Differs(_), Err(stopped)) => match stopped.why {
                Why::Help(_) => {}
                Why::Wrong(err) => panic!("'{line}' should work: {err}"),
            },
            (Fate::Refused(_), Ok(invocation)) => {
                panic!("'{line}' should be refused, and is {invocation:?}")
            }
            (Fate::Refused(_), Err(stopped)) => match stopped.why {
                Why::Help(_) => panic!("'{line}' should be refused"),
                Why::Wrong(err) => {
                    assert_eq!(err.kind(), Kind::Usage, "{line}");
                    assert!(
                        err.message().contains("not supported"),
                        "'{line}' is not refused by name: {err}"
                    );
                    let hint = err.hint_text(&Vx);
                    assert!(hint.is_some(), "'{line}' has no advice: {err}");
                }
            },
        }
    }
}

#[test]
fn the_page_on_words_is_made_from_the_table() {
    assert_section("docs/vxvm.md", "words", &table::markdown());
}

#[test]
fn what_is_not_there_has_the_status_that_scripts_know() {
    let machine = Fake::new(&[64]);
    let status = |line: &str| typed(&machine, line).2;
    // 9 is "no such group" for volumes, 11 for groups and records.
    assert_eq!(status("vxvol -g nodg stopall"), 9);
    assert_eq!(status("vxassist -g nodg make v 1m"), 9);
    assert_eq!(status("vxedit -g nodg -rf rm v"), 9);
    assert_eq!(status("vxplex -g nodg det v-01"), 9);
    assert_eq!(status("vxdg destroy nodg"), 11);
    assert_eq!(status("vxdg list nodg"), 11);
    assert_eq!(status("vxprint -g nodg"), 11);
    assert_eq!(status("vxdg init g /dev/fake1"), 0);
    assert_eq!(status("vxdg init g /dev/fake1"), 12);
    assert_eq!(status("vxprint -g g -v"), 11);
    assert_eq!(status("vxvol -g g start v"), 11);
    assert_eq!(status("vxassist -g g make v 1m"), 0);
    assert_eq!(status("vxassist -g g make v 1m"), 12);
    assert_eq!(status("vxassist -g g make w 1t"), 66);
    assert_eq!(status("vxassist -g g snapshot v"), 65);
    assert_eq!(status("vxassist -g g nonsense v"), 1);
}

#[test]
fn each_kind_of_failure_has_one_status_and_none_means_done() {
    for kind in Kind::ALL {
        let err = Error::new(kind, "it failed").on("g/v");
        for utility in ["vxassist", "vxdg", "vxvol", "vxprint"] {
            let status = exit::status(utility, None, Some("g"), &err);
            assert_ne!(status, 0);
            // Scripts take 9 for "the group is gone", 12 for "it is there already".
            assert_ne!(status, 9, "{kind:?} of {utility}");
            assert_eq!(
                status == 11,
                kind == Kind::NotFound,
                "{kind:?} of {utility}"
            );
            assert_eq!(status == 12, kind == Kind::Exists, "{kind:?} of {utility}");
        }
    }
}

#[test]
fn messages_have_vxvms_form() {
    let err = Error::not_found("group 'g' has no volume 'v'")
        .on("g/v")
        .hint("see there");
    assert_eq!(
        exit::failure("vxvol", &err, &Vx),
        "VxVM vxvol ERROR V-5-1-0 group 'g' has no volume 'v'\n\
         VxVM vxvol INFO V-5-1-0 see there\n"
    );
}

#[test]
fn no_vx_name_is_read_as_native_words() {
    for line in [
        "vxcache -g mydg stop v2",
        "vxsd status",
        "vxrvg snapprint",
        "vxanything stop --all",
        "vx stop v",
    ] {
        let words = words(line);
        let called = words[0].to_str().unwrap();
        assert!(vx::is_ours(called), "{line}");
        let stopped = vx::parse(called, &words[1..]).unwrap_err();
        let Why::Wrong(err) = stopped.why else {
            panic!("'{line}' gives help");
        };
        assert_eq!(err.kind(), Kind::Usage);
        assert!(
            err.message()
                .starts_with(&format!("'{called}' is not supported")),
            "{err}"
        );
    }
}

#[test]
fn each_utility_explains_itself() {
    let mut utilities: Vec<&str> = ENTRIES
        .iter()
        .filter(|entry| !matches!(entry.fate, Fate::Refused(_)))
        .map(|entry| entry.utility)
        .collect();
    utilities.dedup();
    for utility in utilities {
        let stopped = vx::parse(utility, &["help".into()]).unwrap_err();
        let Why::Help(text) = stopped.why else {
            panic!("'{utility} help' is refused");
        };
        // Some scripts look for a keyword in it.
        for entry in ENTRIES.iter().filter(|entry| entry.utility == utility) {
            assert!(text.contains(entry.form), "{utility}: {text}");
        }
    }
    for topic in ["layout", "alloc", "showattrs", "space", "usage"] {
        let words: Vec<OsString> = ["help", topic].map(OsString::from).into();
        let stopped = vx::parse("vxassist", &words).unwrap_err();
        let Why::Help(text) = stopped.why else {
            panic!("'vxassist help {topic}' is refused");
        };
        assert!(text.len() > 40, "{topic}: {text}");
    }
}

#[test]
fn every_utility_of_the_table_gets_a_link() {
    let file = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/dist/vx-names"));
    let file = file.unwrap();
    let linked: Vec<&str> = file.lines().collect();
    let mut known: Vec<&str> = ENTRIES.iter().map(|entry| entry.utility).collect();
    // Nobody calls a daemon by hand.
    known.retain(|name| !["vxconfigd", "vxiod"].contains(name));
    known.sort_unstable();
    known.dedup();
    assert_eq!(linked, known);
}

/// A mirror on the first two disks, equal, and a volume on the third.
fn mirrored() -> Fake {
    let machine = Fake::new(&[64, 64, 64, 64]);
    for line in [
        "vxdg init g d1=fake1 d2=fake2 d3=fake3",
        "vxassist -g g make v 4m d1",
        "vxassist -g g mirror v d2",
        "vxassist -g g make w 4m d3",
    ] {
        assert_eq!(
            typed(&machine, line),
            (String::new(), String::new(), 0),
            "{line}"
        );
    }
    machine
}

fn unplug(machine: &Fake, disk: usize, unplugged: bool) {
    machine.0.borrow_mut().disks[disk].unplugged = unplugged;
}

#[test]
fn the_plex_whose_disk_is_here_is_not_given_up_for_one_whose_disk_is_missing() {
    for line in [
        "vxplex -g g -o rm dis v-02",
        "vxplex -g g det v-02",
        "vxplex -g g convert state=SNAPDONE v-02",
        "vxassist -g g remove mirror v !d2",
    ] {
        let machine = mirrored();
        assert_eq!(typed(&machine, "vxvol -g g stop v").2, 0);
        unplug(&machine, 0, true);
        let (_, said, status) = typed(&machine, line);
        assert_eq!(status, 4, "{line}: {said}");
        assert!(said.contains("'d1' is missing"), "{line}: {said}");
        // The other one can go, and is what is removed if none is named.
        assert_eq!(typed(&machine, "vxassist -g g remove mirror v").2, 0);
        let (names, _, _) = typed(&machine, "vxprint -g g -pn -e 'pl_sd.sd_dm_name==d2'");
        assert_eq!(names, "v-02\n", "{line}");
    }
}

#[test]
fn the_two_forces_of_an_import_are_two() {
    let machine = mirrored();
    assert_eq!(typed(&machine, "vxdg deport g").2, 0);
    unplug(&machine, 0, true);
    unplug(&machine, 1, true);
    // Without disks that are missing: `-f`, and `-C` does not mean that.
    let (_, said, status) = typed(&machine, "vxdg -C import g");
    assert_eq!(status, 67, "{said}");
    assert!(said.contains("repeat with -f"), "{said}");
    assert_eq!(typed(&machine, "vxdg -tf import g").2, 0);
}

#[test]
fn a_group_that_is_not_imported_is_none() {
    let machine = mirrored();
    assert_eq!(typed(&machine, "vxdg deport g").2, 0);
    for (line, status) in [
        ("vxvol -g g stopall", 9),
        ("vxassist -g g make x 1m", 9),
        ("vxedit -g g -rf rm v", 9),
        ("vxplex -g g det v-02", 9),
        ("vxinfo -g g", 9),
        ("vxprint -g g", 11),
        ("vxdg -g g free", 11),
        ("vxdg -g g adddisk fake4", 11),
        ("vxdg upgrade g", 11),
        // It is not what "exists already" means to a script.
        ("vxdg init g fake4", 65),
    ] {
        let (_, said, ended) = typed(&machine, line);
        assert_eq!(ended, status, "{line}: {said}");
    }
    // A record that is not there is another thing than the group.
    assert_eq!(typed(&machine, "vxdg import g").2, 0);
    for line in ["vxinfo -g g g", "vxrecover -g g g", "vxvol -g g start g"] {
        assert_eq!(typed(&machine, line).2, 11, "{line}");
    }
}

#[test]
fn what_would_lose_data_is_not_forced() {
    let machine = mirrored();
    for (line, status) in [
        // An ordinary mirror is no snapshot plex.
        ("vxplex -g g snapabort v-02", 65),
        ("vxplex -g g -v w det v-02", 11),
        // A disk that is here keeps its record.
        ("vxdg -g g -k adddisk d2=fake4", 31),
        ("vxmend -g g fix clean v-01", 31),
        ("vxvol -g g resync nosuch", 11),
        ("vxvol -g g resync", 1),
        ("vxassist -g g remove log w", 11),
        ("vxassist -g g remove mirror v d1 !d2", 1),
        ("vxtask -t tag list", 1),
        ("vxresize -g g v -1m", 1),
    ] {
        let (_, said, ended) = typed(&machine, line);
        assert_eq!(ended, status, "{line}: {said}");
    }
    // The plex that is said to be good is the one that is started from, or nothing is.
    assert_eq!(typed(&machine, "vxplex -g g det v-02").2, 0);
    assert_eq!(typed(&machine, "vxvol -g g stop v").2, 0);
    assert_eq!(typed(&machine, "vxmend -g g fix clean v-02").2, 65);
    assert_eq!(typed(&machine, "vxmend -g g fix clean v-01").2, 0);
    // A disk of another group is never taken, with -f or without it.
    let other = typed(&machine, "vxdg init old o1=fake4");
    assert_eq!(other.2, 0, "{}", other.1);
    assert_eq!(typed(&machine, "vxdg deport old").2, 0);
    assert_ne!(typed(&machine, "vxdg -g g -f adddisk o2=fake4").2, 0);
    assert_eq!(typed(&machine, "vxdg import old").2, 0);
}

#[test]
fn a_disk_of_another_group_with_the_same_name_is_not_shown_as_ours() {
    let machine = Fake::new(&[64, 64]);
    for line in [
        "vxdg init g d1=fake1",
        "vxdg deport g",
        "vxdg init h d1=fake2",
        "vxdg -n g deport h",
    ] {
        typed(&machine, line);
    }
    let (list, _, _) = typed(&machine, "vxdisk -q -o alldgs list");
    let rows: Vec<Vec<&str>> = list
        .lines()
        .map(|l| l.split_whitespace().collect())
        .collect();
    assert_eq!(rows[0], ["fake1", "auto:cdsdisk", "-", "(g)", "online"]);
    assert_eq!(rows[1], ["fake2", "auto:cdsdisk", "d1", "h", "online"]);
    let (about, _, _) = typed(&machine, "vxdisk list d1");
    assert!(about.starts_with("Device:    fake2\n"), "{about}");
    assert_eq!(typed(&machine, "vxdisk -g g list d1").2, 11);
}

#[test]
fn all_volumes_are_those_of_one_group() {
    let machine = Fake::new(&[64, 64]);
    for line in [
        "vxdg init g d1=fake1",
        "vxassist make v 1m",
        "vxvol stopall",
        "vxvol startall",
        "vxdg init h d1=fake2",
    ] {
        assert_eq!(typed(&machine, line).2, 0, "{line}");
    }
    assert_eq!(typed(&machine, "vxvol stopall").2, 1);
    assert_eq!(
        typed(&machine, "vxinfo v").0.split_whitespace().last(),
        Some("Started")
    );
    assert_eq!(typed(&machine, "vxrecover -s d1").2, 1);
    let (help, _, status) = typed(&machine, "vxdg -g g help");
    assert_eq!((help.starts_with("vxdg: "), status), (true, 0));
}
