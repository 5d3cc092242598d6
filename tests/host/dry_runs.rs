//! `--dry-run` of every verb, on the machine in memory: it changes nothing, it is refused for the
//! same reason as the command itself, and it shows what the command changes.

use crate::fake::script::World;
use crate::fake::{Fake, Words};
use breakoff::app::Outcome;
use breakoff::plan::change::Change;
use breakoff::plan::view::PlanView;

const GROUP: &str = "group create g /dev/fake1 /dev/fake2 /dev/fake3 /dev/fake4";

fn dry(fake: &Fake, command: &str) -> breakoff::error::Result<Outcome> {
    let fake = fake.copy();
    fake.0.borrow_mut().changes = 0;
    let came = fake.run(&Words::parse(&format!("--dry-run {command}")));
    assert_eq!(fake.0.borrow().changes, 0, "--dry-run {command}");
    came.expect("it is not killed")
}

/// The changes without what is drawn or measured when they are made.
fn words(changes: &[Change]) -> Vec<&'static str> {
    let mut words: Vec<_> = changes.iter().map(|change| change.event.word()).collect();
    words.sort_unstable();
    words
}

#[track_caller]
fn shows(fake: &Fake, command: &str) -> PlanView {
    let planned = match dry(fake, command) {
        Ok(Outcome::Planned(planned)) => planned,
        other => panic!("--dry-run {command}: {other:?}"),
    };
    let real = match fake.copy().ok(command) {
        Outcome::Done(report) => report,
        other => panic!("{command}: {other:?}"),
    };
    let mut foreseen = words(&planned.changes);
    // The group itself, whose identity is drawn when it is created.
    if command.starts_with("group create") {
        foreseen.insert(0, "created");
    }
    assert_eq!(foreseen, words(&real.changes), "{command}");
    let steps = planned.prepare.len() + planned.window.len() + planned.finish.len();
    assert_eq!(
        steps == 0,
        planned.changes.is_empty(),
        "{command}: {planned:?}"
    );
    planned
}

#[track_caller]
fn refused(fake: &Fake, command: &str) {
    let Err(planned) = dry(fake, command) else {
        panic!("--dry-run {command} is not refused");
    };
    let came = fake.copy().run(&Words::parse(command));
    let real = came.and_then(Result::err).expect("it is refused");
    assert_eq!(
        (planned.kind(), planned.message()),
        (real.kind(), real.message()),
        "{command}"
    );
}

#[test]
fn of_verbs_on_volumes() {
    let script = [GROUP, "make v 8m", "snapstart -b v", "sync"];
    let fake = World::new("dry", 5, &script).fake;
    for command in [
        "make w 8m",
        "make w 8m --mirrors 2",
        "remove --recursive v",
        "rename v w",
        "grow v +8m",
        "mirror -b v",
        "log remove v",
        "snapstart -b v",
        "snapabort v",
        "stop v",
        "snapshot v",
        "plex convert --to active v-02",
        "fast-resync off v",
        "owner --owner oracle v",
        "owner --default v",
        "start v",
    ] {
        shows(&fake, command);
    }
    for command in [
        "make v 8m",
        "make w 9g",
        "remove v",
        "log add v",
        "stop nosuch",
        "grow v 1m",
    ] {
        refused(&fake, command);
    }
}

#[test]
fn of_verbs_on_groups_and_disks() {
    let fake = World::new("dry", 5, &[GROUP, "make v 8m --on disk01"]).fake;
    for command in [
        "group create h /dev/fake5",
        "group add g new=/dev/fake5",
        "group remove-disk g disk04",
        "group replace-disk -b g disk03 /dev/fake5",
        "group destroy g",
        "disk init /dev/fake5",
        "disk resize disk01",
        "group import g",
    ] {
        shows(&fake, command);
    }
    for command in [
        "group create g /dev/fake5",
        "group create h /dev/fake1",
        "group create h /dev/fake5 /dev/fake5",
        "group add g disk01=/dev/fake5",
        "group add nosuch /dev/fake5",
        "group remove-disk g disk01",
        "group remove-disk g nosuch",
        "group replace-disk g disk01 /dev/fake5",
        "group deport g",
        "group import g --name h",
        "group import nosuch",
        "group choose g nosuch",
        "disk init /dev/fake1",
        "disk erase /dev/fake1",
        "disk erase /dev/fake5",
        "disk resize nosuch",
    ] {
        refused(&fake, command);
    }
    fake.ok("disk init /dev/fake5");
    shows(&fake, "disk erase /dev/fake5");
    fake.ok("stop --all");
    shows(&fake, "group import g --name h");
    shows(&fake, "group deport g");
    fake.ok("group deport g");
    shows(&fake, "group import g");
    for command in [
        "group add g /dev/fake5",
        "make w 8m",
        "snapwait v",
        "group destroy g",
    ] {
        refused(&fake, command);
    }
}

#[test]
fn of_verbs_on_all_groups() {
    let script = [
        GROUP,
        "make v 8m",
        "group create h /dev/fake5",
        "-g h make w 8m",
    ];
    let fake = World::new("dry", 5, &script).fake;
    let down = shows(&fake, "stop --auto");
    assert_eq!(down.group, "g, h");
    fake.ok("stop --auto");
    assert_eq!(shows(&fake, "start --auto").changes.len(), 2);
}

#[test]
fn of_what_waits_or_only_looks() {
    let script = [GROUP, "make v 8m", "snapstart -b v", "region"];
    let fake = World::new("dry", 4, &script).fake;
    let waits = match dry(&fake, "snapwait v") {
        Ok(Outcome::Planned(planned)) => planned,
        other => panic!("{other:?}"),
    };
    assert_eq!(waits.notes.len(), 1, "{waits:?}");
    refused(&fake, "snapwait --mirrors 2 v");
    // The kernel is through with it, and a question records nothing either.
    while fake.0.borrow_mut().tick() {}
    for command in [
        "print",
        "snapprint",
        "group list",
        "group show g",
        "disk list",
        "stat",
        "metrics",
        "metrics --output /nowhere/file",
        "status",
        "recover",
    ] {
        dry(&fake, command).unwrap_or_else(|error| panic!("{command}: {error}"));
    }
    assert!(matches!(
        dry(&fake, "recover"),
        Ok(Outcome::ToBeRepaired(_))
    ));
}

/// To read a map of changes the kernel is asked to hold it, and nothing else is done.
#[test]
fn of_what_reads_the_maps_of_changes() {
    let script = [
        GROUP,
        "make v 16m",
        "snapstart -b v",
        "sync",
        "snapshot v --name s",
        "write",
        "close",
        "snapstart -b v",
    ];
    let fake = World::new("dry", 4, &script).fake;
    while fake.0.borrow_mut().tick() {}
    let before = fake.group();
    for command in ["snapprint", "snapprint --changed-ranges s"] {
        let came = fake.run(&Words::parse(&format!("--dry-run {command}")));
        came.unwrap()
            .unwrap_or_else(|error| panic!("{command}: {error}"));
        assert_eq!(fake.group(), before, "--dry-run {command}");
    }
    fake.ok("snapprint");
    assert_ne!(fake.group(), before, "the leg is recorded as complete");
}
