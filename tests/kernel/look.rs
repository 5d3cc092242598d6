//! What there is to look at, on a real group: `map`, `snapprint --map` and `status --watch`.

use crate::support::MIB;
use crate::support::child;
use crate::support::lab::{Lab, until};
use crate::support::pty::OnTerminal;
use nix::sys::signal::Signal;
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Command, Stdio};

/// A volume with a snapshot, both written to: 1 MiB at 4 MiB of the one, 1 MiB at 5 MiB of the other.
fn written(lab: &Lab) {
    lab.create_group("g");
    lab.cli("-g g make v 16m").ok();
    lab.cli("-g g snapstart v").ok();
    lab.cli("-g g snapshot v --name s").ok();
    for (volume, at) in [("v", 4), ("s", 5)] {
        write(lab, volume, at * MIB);
    }
}

fn write(lab: &Lab, volume: &str, at: u64) {
    use std::os::unix::fs::FileExt;
    let file = fs::File::options()
        .write(true)
        .custom_flags(libc::O_DSYNC)
        .open(lab.device("g", volume))
        .unwrap();
    file.write_all_at(&vec![7; MIB as usize], at).unwrap();
}

fn map_is_drawn(lab: &Lab) {
    let text = lab.cli("map g").ok().stdout;
    println!("{text}");
    assert!(text.starts_with("group g  3 disks"), "{text}");
    let maps = lab.json("map g");
    let disks = maps["map"][0]["disks"].as_array().unwrap();
    assert_eq!(disks.len(), 3);
    for disk in disks {
        let pieces = disk["pieces"].as_array().unwrap();
        let sum: u64 = pieces.iter().map(|p| p["length"].as_u64().unwrap()).sum();
        assert_eq!(sum, disk["size"].as_u64().unwrap(), "{disk}");
        assert_eq!(pieces[0]["kind"], "private");
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("map.svg");
    let silent = lab.cli(&format!("map --svg {}", file.display())).ok();
    assert_eq!(silent.stdout, "");
    let picture = fs::read_to_string(&file).unwrap();
    assert_eq!(picture, lab.cli("map --svg -").ok().stdout);
    assert!(picture.starts_with("<svg ") && picture.contains("v-01: data plex"));
    println!("{picture}");
}

fn changes_are_drawn(lab: &Lab) {
    let text = lab.cli("snapprint --map s").ok().stdout;
    println!("{text}");
    let strip = text.lines().nth(1).unwrap();
    assert!(strip.contains('O') && strip.contains('S'), "{text}");
    let drawn = lab.json("snapprint --map s");
    let ranges = lab.json("snapprint --changed-ranges s");
    let map = &drawn["change_map"];
    assert_eq!(
        map["dirty_bytes"]["union"],
        ranges["changed_ranges"]["bytes"]
    );
    let sides: Vec<(&str, u64)> = map["ranges"]
        .as_array()
        .unwrap()
        .iter()
        .map(|range| {
            (
                range["side"].as_str().unwrap(),
                range["offset"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(sides, [("original", 4 * MIB), ("snapshot", 5 * MIB)]);
}

/// One document on each line; what happens meanwhile is in them; a signal ends it well.
fn watch_in_a_pipe(lab: &Lab) {
    let mut watch = Command::new(child::program())
        .args(["--json", "status", "--watch=0.2"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut next = || -> Value {
        let document: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(
            (&document["command"], &document["ok"]),
            (&"status".into(), &true.into())
        );
        document["result"]["watch"].clone()
    };
    let first = next();
    assert_eq!(first["groups"][0]["name"], "g");
    assert_eq!(first["splits"][0]["object"], "g/s");
    lab.cli("-g g make w 8m").ok();
    until("the new volume is told of", || {
        let events = next()["events"].clone();
        let is_new = |event: &Value| event["text"] == "volume 'g/w' is new: ACTIVE";
        events.as_array().unwrap().iter().any(is_new)
    });
    let pid = nix::unistd::Pid::from_raw(watch.id().cast_signed());
    nix::sys::signal::kill(pid, Signal::SIGINT).unwrap();
    assert_eq!(watch.wait().unwrap().code(), Some(0));
}

/// A pipe that nobody reads any more ends it, and so does a terminal that can do nothing a signal.
fn watch_in_blocks() {
    let mut unread = Command::new(child::program())
        .args(["status", "--watch=0.1"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut stdout = BufReader::new(unread.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    drop(stdout);
    assert_eq!(unread.wait().unwrap().code(), Some(0));
    let mut dumb = OnTerminal::start_on("dumb", "status --watch=0.2");
    until("there are two blocks", || {
        dumb.screen().matches("GROUP").count() > 1
    });
    assert!(!dumb.screen().contains('\u{1b}'), "{}", dumb.screen());
    dumb.interrupts();
    assert_eq!(dumb.ends(), Some(0));
}

fn watch_on_a_screen() {
    let mut screen = OnTerminal::start("status --watch=0.3");
    screen
        .shows("every 0.3 s")
        .shows("GROUP")
        .shows("nothing needs attention");
    assert!(!screen.is_cooked());
    screen.presses("?");
    screen.shows("this help");
    screen.presses("x");
    screen.presses("d1.5\r");
    screen.shows("1.5 s");
    let before = screen.screen().matches("\u{1b}[2J").count();
    screen.resizes(100, 8);
    until("it is drawn again", || {
        screen.screen().matches("\u{1b}[2J").count() > before
    });
    screen.shows("lines 1-6 of");
    screen.presses("G \u{1b}[A");
    screen.presses("q");
    assert_eq!(screen.ends(), Some(0));
    assert!(screen.is_cooked());
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let screen_of = |term| {
            let mut screen = OnTerminal::start_on(term, "status --watch");
            screen.shows("GROUP");
            assert!(!screen.is_cooked());
            screen.signals(signal);
            assert_eq!(screen.ends(), Some(0), "{signal}");
            assert!(screen.is_cooked(), "{signal}");
            screen
        };
        // What an xterm showed before comes back.
        let screen = screen_of("xterm-256color").screen();
        assert!(
            screen.contains("\u{1b}[?1049h") && screen.ends_with("\u{1b}[?1049l"),
            "{screen:?}"
        );
    }
}

#[test]
fn there_is_something_to_look_at() {
    let Some(lab) = Lab::new(
        "there_is_something_to_look_at",
        &["mirror", "era", "zero"],
        &[64, 64, 64],
    ) else {
        return;
    };
    written(&lab);
    changes_are_drawn(&lab);
    map_is_drawn(&lab);
    watch_in_a_pipe(&lab);
    watch_in_blocks();
    watch_on_a_screen();
    std::io::stdout().flush().unwrap();
    lab.finish();
}
