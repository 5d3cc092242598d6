//! Groups of which not all disks are here, or whose disks went on apart from each other.

use crate::fake::{Fake, Words};
use breakoff::error::{Error, Kind};

/// Only these disks are connected.
fn connect(machine: &Fake, disks: &[usize]) {
    for (at, disk) in machine.0.borrow_mut().disks.iter_mut().enumerate() {
        disk.unplugged = !disks.contains(&(at + 1));
    }
}

#[track_caller]
fn refused(machine: &Fake, text: &str) -> Error {
    match machine.run(&Words::parse(text)) {
        Some(Err(error)) => error,
        other => panic!("'{text}' is not refused: {other:?}"),
    }
}

fn volumes(machine: &Fake) -> Vec<String> {
    let (group, _) = machine.group().expect("a group");
    group.volumes.iter().map(|v| v.name.to_string()).collect()
}

const GROUP: &str = "group create g /dev/fake1 /dev/fake2 /dev/fake3 /dev/fake4";

/// Four disks, each with a volume, and three blank ones. The first three went on without the fourth and made `new`.
fn old_minority() -> Fake {
    let machine = Fake::new(&[64; 7]);
    machine.ok(GROUP);
    for n in 1..=4 {
        machine.ok(&format!("make v{n} 8m --on disk0{n}"));
    }
    machine.ok("stop --all");
    connect(&machine, &[1, 2, 3]);
    machine.ok("make new 8m");
    machine.ok("stop --all");
    connect(&machine, &[4, 5, 6, 7]);
    machine
}

#[test]
fn an_old_minority_overwrites_nothing_whatever_the_verb() {
    let machine = old_minority();
    let before = machine.group();
    let words = [
        "start --all",
        "make x 8m",
        "rename v4 w4",
        "remove v4",
        "grow v4 +8m",
        "group add g /dev/fake5 /dev/fake6 /dev/fake7",
        "group remove-disk g disk01",
        "group replace-disk g disk01 /dev/fake5",
        "group deport g",
        "group destroy g",
        "group import g --name h",
    ];
    for text in words {
        assert_eq!(refused(&machine, text).kind(), Kind::Unsafe, "{text}");
        assert_eq!(refused(&machine, &format!("--dry-run {text}")).kind(), Kind::Unsafe, "{text}");
    }
    assert_eq!(machine.group(), before);
    let blank =
        |at: usize| breakoff::meta::read_disk(&crate::fake::disk::FakeMedia(machine.clone(), at)).expect("it can be read").is_none();
    assert!((4..7).all(blank), "nothing was written to the new disks");
    connect(&machine, &[1, 2, 3, 4]);
    machine.ok("start --all");
    assert_eq!(volumes(&machine), ["v1", "v2", "v3", "v4", "new"]);
}

#[test]
fn what_is_missing_can_be_given_up_once() {
    let machine = old_minority();
    machine.ok("group import g --force");
    machine.ok("start v4");
    machine.ok("group add g /dev/fake5");
    machine.ok("remove v1 v2 v3");
    machine.ok("stop --all");
    machine.ok("make x 8m");
    assert_eq!(volumes(&machine), ["v4", "x"]);
}

#[test]
fn a_group_is_imported_with_less_than_half_of_it_missing() {
    let machine = Fake::new(&[64; 3]);
    machine.ok("group create g /dev/fake1 /dev/fake2 /dev/fake3");
    for n in 1..=3 {
        machine.ok(&format!("make v{n} 8m --on disk0{n}"));
    }
    machine.ok("stop --all");
    machine.ok("group deport g");
    connect(&machine, &[1]);
    assert_eq!(refused(&machine, "group import g").kind(), Kind::Unsafe);
    connect(&machine, &[1, 2]);
    machine.ok("group import g");
    machine.ok("start v1");
}
