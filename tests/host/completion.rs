//! What shells offer to complete a word with: verbs and options from the parser, names from the
//! configuration. The names are those of the machine in memory; the scripts for shells are asked
//! with the program itself, which finds no names on a machine without device-mapper.

use crate::fake::Fake;
use crate::fake::script::sync;
use crate::pure::golden::assert_golden;
use breakoff::app::names::{self, GroupNames, Standing};
use breakoff::cli::complete;
use breakoff::cli::native::names::{Names, completing};
use breakoff::cli::native::parser;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::TempDir;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What can follow a line, options left out unless one is begun; with what is said of each.
fn offered_with_help(line: &str, names: &[GroupNames]) -> Vec<(String, String)> {
    let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
    let (place, names) = (words.len() - 1, names.to_vec());
    let begun = line.ends_with('-');
    let mut parser = completing(&words, place, move || names.clone());
    let found = clap_complete::engine::complete(&mut parser, words, place, None).unwrap();
    let pair = |found: &clap_complete::CompletionCandidate| {
        let help = found.get_help().map(ToString::to_string);
        let word = found.get_value().to_str().unwrap().to_owned();
        (word, help.unwrap_or_default())
    };
    found
        .iter()
        .map(pair)
        .filter(|(word, _)| begun || !word.starts_with('-') || line.contains('='))
        .collect()
}

fn offered(line: &str, names: &[GroupNames]) -> Vec<String> {
    let mut words: Vec<String> = offered_with_help(line, names)
        .into_iter()
        .map(|(word, _)| word)
        .collect();
    words.sort();
    words
}

/// Two groups of this machine and one that it has let go of. In `data`: `home`, a mirror with a leg
/// and a snapshot, `swap` with nothing, `log`, a mirror without a log.
fn machine() -> Fake {
    let fake = Fake::new(&[64; 7]);
    for command in [
        "group create data /dev/fake1 /dev/fake2 /dev/fake3 /dev/fake4",
        "group create other one=/dev/fake5 two=/dev/fake6",
        "group create gone /dev/fake7",
        "-g gone make lost 1m",
        "-g data make home 8m --mirrors 2",
        "-g data make swap 4m",
        "-g data make log 4m --mirrors 2 --no-log",
        "-g other make home 4m",
        "-g other make mail 4m --mirrors 2",
        "-g gone stop lost",
        "group deport gone",
    ] {
        fake.ok(command);
    }
    sync(&fake);
    fake.ok("-g data snapstart -b home");
    sync(&fake);
    fake.ok("-g data snapshot home");
    fake.ok("-g data snapstart -b home");
    sync(&fake);
    fake.ok("-g data recover");
    fake.ok("-g other plex detach mail-02");
    fake.ok("-g other snapstart -b mail --on two");
    fake
}

#[test]
fn options_are_offered_where_one_is_begun_or_nothing_else_is_there() {
    let names = names::names(&machine()).unwrap();
    let all = |line: &str, names: &[GroupNames]| {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let (place, names) = (words.len() - 1, names.to_vec());
        let mut parser = completing(&words, place, move || names.clone());
        let found = clap_complete::engine::complete(&mut parser, words, place, None).unwrap();
        let words = found
            .iter()
            .map(|found| found.get_value().to_str().unwrap().to_owned());
        words.collect::<Vec<_>>()
    };
    assert_eq!(all("breakoff snapback ", &names), ["SNAP-home"]);
    assert!(all("breakoff snapback ", &[]).contains(&"--keep".to_owned()));
    let begun = all("breakoff snapback --", &names);
    for option in ["--keep", "--group", "--help"] {
        assert!(begun.contains(&option.to_owned()), "{begun:?}");
    }
    assert!(!begun.contains(&"SNAP-home".to_owned()));
}

#[test]
fn hidden_verbs_are_not_offered() {
    let offered = offered("breakoff ", &[]);
    assert!(offered.contains(&"snapshot".to_owned()));
    assert!(
        !offered.iter().any(|verb| verb.starts_with("udev")),
        "{offered:?}"
    );
}

#[test]
fn names_are_of_the_kind_that_an_argument_takes() {
    let names = names::names(&machine()).unwrap();
    for (line, expected) in [
        ("breakoff -g ", "data other"),
        ("breakoff --group=", "--group=data --group=other"),
        ("breakoff group show ", "data gone other"),
        ("breakoff group import ", "gone"),
        ("breakoff group deport d", "data"),
        ("breakoff group choose ", ""),
        ("breakoff group create ", ""),
        // Volumes: `home` is in both groups.
        ("breakoff -g data print ", "SNAP-home home log swap"),
        ("breakoff -gdata print ", "SNAP-home home log swap"),
        ("breakoff print -g data s", "swap"),
        ("breakoff -g gone print ", "lost"),
        ("breakoff -g nothere print ", ""),
        ("breakoff map d", "data"),
        ("breakoff -g data map h", "home"),
        ("breakoff start m", "mail"),
        ("breakoff -g data snapback ", "SNAP-home"),
        ("breakoff -g data snapclear ", "SNAP-home home"),
        ("breakoff -g data snapshot ", "home"),
        ("breakoff -g data snapabort ", "home"),
        ("breakoff snapabort m", "mail"),
        ("breakoff -g data log remove ", "home"),
        ("breakoff -g data log add ", "log"),
        ("breakoff -g data rename ", "SNAP-home home log swap"),
        ("breakoff -g data rename home ", ""),
        ("breakoff -g data make ", ""),
        ("breakoff -g data snapshot home --name ", ""),
        // None is offered twice.
        ("breakoff -g data stop home ", "SNAP-home log swap"),
        ("breakoff -g data stop home", "home"),
        // What was typed tells the group.
        ("breakoff stop swap ", "SNAP-home home log"),
        (
            "breakoff snapstart swap --on ",
            "disk01 disk02 disk03 disk04",
        ),
        ("breakoff -g other snapstart --on=t", "--on=two"),
        ("breakoff -g other make v 1m --on one,", "one,two"),
        ("breakoff group remove-disk other ", "one two"),
        ("breakoff group replace-disk other o", "one"),
        ("breakoff disk resize t", "two"),
        // Plexes.
        ("breakoff -g other plex attach ", "mail-02"),
        ("breakoff -g other plex detach ", "home-01 mail-01"),
        ("breakoff -g other plex abort ", "mail-03"),
        ("breakoff -g data snapshot home --plex ", "home-04"),
        (
            "breakoff -g data plex convert --to snapdone home-0",
            "home-01 home-02 home-03 home-04",
        ),
        // Words that the parser knows.
        ("breakoff snapback --from ", "original snapshot"),
        ("breakoff fast-resync o", "off on"),
        ("breakoff snapb", "snapback"),
        (
            "breakoff group re",
            "remove-disk replace-disk restore-label",
        ),
    ] {
        let expected: Vec<&str> = expected.split_whitespace().collect();
        assert_eq!(offered(line, &names), expected, "{line}");
    }
}

#[test]
fn a_name_comes_with_what_it_is() {
    let names = names::names(&machine()).unwrap();
    let help = |line: &str| {
        let all = offered_with_help(line, &names).into_iter();
        all.map(|(word, help)| format!("{word}: {help}"))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        help("breakoff snapback S"),
        ["SNAP-home: snapshot of home, 8m, in data"]
    );
    assert_eq!(help("breakoff -g o"), ["other: disks: 2, volumes: 2"]);
    assert_eq!(
        help("breakoff -g other plex attach "),
        ["mail-02: STALE, of mail"]
    );
    assert_eq!(help("breakoff print h").len(), 2, "of each group");
}

#[test]
fn looking_for_names_changes_nothing_and_waits_for_no_lock() {
    let fake = machine();
    let changes = fake.0.borrow().changes;
    fake.0.borrow_mut().looks.clear();
    for group in ["data", "other", "gone"] {
        fake.0.borrow_mut().locks.insert(group.to_owned());
    }
    let held = fake.0.borrow().locks.clone();
    assert_eq!(names::names(&fake).unwrap().len(), 3);
    let state = fake.0.borrow();
    assert_eq!(
        (state.changes, &state.looks[..], &state.locks),
        (changes, &["marked"][..], &held)
    );
}

#[test]
fn a_group_is_found_by_the_disks_that_answer() {
    let fake = machine();
    for at in 0..3 {
        fake.0.borrow_mut().disks[at].unplugged = true;
    }
    let names = names::names(&fake).unwrap();
    assert_eq!(offered("breakoff -g data snapback ", &names), ["SNAP-home"]);
}

#[test]
fn a_refused_group_is_offered_to_who_chooses() {
    let refused = GroupNames {
        name: "parted".to_owned(),
        standing: Standing::Refused,
        disks: Vec::new(),
        volumes: Vec::new(),
    };
    let names = [refused];
    assert_eq!(offered("breakoff group choose ", &names), ["parted"]);
    assert!(offered("breakoff -g ", &names).is_empty());
}

#[test]
fn names_are_asked_for_only_where_one_is_wanted() {
    let asked = Arc::new(AtomicUsize::new(0));
    let ask = |line: &str| {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let (place, counter) = (words.len() - 1, Arc::clone(&asked));
        let mut parser = completing(&words, place, move || {
            counter.fetch_add(1, Ordering::Relaxed);
            Vec::new()
        });
        let _ = clap_complete::engine::complete(&mut parser, words, place, None);
        asked.swap(0, Ordering::Relaxed)
    };
    for line in [
        "breakoff ",
        "breakoff make v 1m --",
        "breakoff snapback --from ",
        "breakoff make ",
    ] {
        assert_eq!(ask(line), 0, "{line}");
    }
    assert_eq!(ask("breakoff snapback "), 1);
}

/// Every argument that is a name says of what, so that a new verb is not forgotten.
#[test]
fn an_argument_that_is_a_name_says_what_it_names() {
    const SAY_IT: [&str; 6] = ["VOL", "SNAP", "PLEX", "MEDIA", "GROUP", "NEW"];
    let mut seen = 0;
    for entry in fs::read_dir(root().join("src/cli/native")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        for attribute in text.split("#[arg(").skip(1) {
            let attribute = attribute.split(")]").next().unwrap();
            if attribute.contains("Name::parse") {
                let by_value = SAY_IT
                    .iter()
                    .any(|word| attribute.contains(&format!("value_name = \"{word}\"")));
                assert!(
                    by_value || attribute.contains("add = Names::"),
                    "{}: #[arg({attribute})]",
                    path.display()
                );
                seen += 1;
            }
        }
    }
    assert!(seen > 40, "{seen}");
    let of = |verb: &str| {
        let parser = parser();
        let verb = parser.find_subcommand(verb).unwrap();
        let all = verb.get_arguments().filter_map(Names::of);
        all.collect::<Vec<_>>()
    };
    assert_eq!(of("rename"), [Names::Volume, Names::New]);
}

/// `BREAKOFF_BLESS=1` writes the scripts.
#[test]
fn the_scripts_for_shells_are_those_that_the_program_understands() {
    for (shell, file) in [
        ("bash", "breakoff.bash"),
        ("zsh", "_breakoff"),
        ("fish", "breakoff.fish"),
    ] {
        let script = complete::script(shell).unwrap().unwrap();
        assert_golden(&format!("dist/completions/{file}"), &script);
    }
    assert!(complete::script("ksh").is_none());
}

/// A directory with this very program as `breakoff`.
fn with_program() -> (TempDir, String) {
    let dir = TempDir::new().unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_breakoff"), dir.path().join("breakoff"))
        .unwrap();
    let path = format!(
        "{}:{}",
        dir.path().display(),
        std::env::var("PATH").unwrap()
    );
    (dir, path)
}

/// What bash offers for words, the last of which is to be completed, one a line; and what was
/// written to stderr.
fn in_bash(words: &[&str]) -> (String, String) {
    let (_dir, path) = with_program();
    let script: PathBuf = root().join("dist/completions/breakoff.bash");
    let ask = r#"
        . "$1"; shift
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_TYPE=9
        _clap_complete_breakoff breakoff "${COMP_WORDS[COMP_CWORD]}" ""
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let output = Command::new("bash")
        .args(["-c", ask, "bash"])
        .arg(script)
        .args(words)
        .env("PATH", path)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), text(output.stderr))
}

#[test]
fn bash_completes_verbs_and_options_and_is_silent_where_nothing_can_be_read() {
    let lines = |words: &[&str]| {
        let (out, err) = in_bash(words);
        assert_eq!(err, "", "{words:?}");
        out.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(lines(&["breakoff", "snaps"]), ["snapstart", "snapshot"]);
    assert_eq!(lines(&["breakoff", "plex", "con"]), ["convert"]);
    assert_eq!(
        lines(&["breakoff", "snapshot", "--require"]),
        ["--require-frozen"]
    );
    assert_eq!(
        lines(&["breakoff", "snapback", "--from", "s"]),
        ["snapshot"]
    );
    // As bash takes `--from=s` apart.
    assert_eq!(
        lines(&["breakoff", "snapback", "--from", "=", "s"]),
        ["snapshot"]
    );
    let begun = lines(&["breakoff", "disk", "init", "/dev/nul"]);
    assert_eq!(begun, ["/dev/null"]);
    // No name begins like this, wherever this runs.
    assert_eq!(lines(&["breakoff", "snapback", "no-such-snapshot-"]), [""]);
}

#[test]
fn a_shell_without_a_script_is_a_usage_error_and_none_is_a_command() {
    let asked = |shell: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_breakoff"))
            .arg("--version")
            .env("BREAKOFF_COMPLETE", shell)
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (status, said) = asked("ksh");
    assert_eq!(status, Some(2));
    assert!(said.contains("bash, fish, zsh"), "{said}");
    assert_eq!(asked(""), (Some(0), String::new()));
}
