//! At which disks a command looks: at those that udev has marked, as long as these leave no doubt.

use crate::fake::Fake;
use breakoff::app::Outcome;

fn three() -> Fake {
    let machine = Fake::new(&[64; 4]);
    machine.ok("group create g /dev/fake1 /dev/fake2 /dev/fake3");
    machine.ok("make v 8m --on disk01");
    machine
}

/// Carries a command out. Returns for which disks it has asked.
fn looked_for(machine: &Fake, command: &str) -> Vec<&'static str> {
    machine.0.borrow_mut().looks.clear();
    machine.ok(command);
    let mut looks = machine.0.borrow().looks.clone();
    looks.dedup();
    looks
}

/// The disks of `g` that are present.
fn present(machine: &Fake) -> usize {
    match machine.ok("-g g print") {
        Outcome::Layout(worlds, _) => worlds[0].0.disks.len(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_whole_group_is_found_by_its_marks() {
    let machine = three();
    for command in ["-g g print", "-g g make w 1m", "-g g rename v u"] {
        assert_eq!(looked_for(&machine, command), ["marked"], "{command}");
    }
    assert_eq!(present(&machine), 3);
}

#[test]
fn what_is_for_all_groups_looks_at_all_disks() {
    let machine = three();
    for command in ["print", "print v", "group list", "disk list", "status"] {
        let looks = looked_for(&machine, command);
        assert!(looks.contains(&"all"), "{command}: {looks:?}");
    }
}

/// Unless every group that this machine knows is found by its marks: metrics are asked for each
/// minute.
#[test]
fn metrics_look_at_all_disks_only_where_something_is_missing() {
    let machine = three();
    let metrics = || looked_for(&machine, "metrics");
    assert_eq!(
        metrics(),
        ["marked", "all"],
        "nobody knows which groups there are"
    );
    let directory = tempfile::tempdir().unwrap();
    machine.0.borrow_mut().witness_dir = Some(directory.path().to_owned());
    assert_eq!(metrics(), ["marked", "all"]);
    machine.ok("make w 1m");
    assert_eq!(metrics(), ["marked"]);
    // A second group, whose disk has no mark.
    machine.ok("group create h /dev/fake4");
    assert_eq!(metrics(), ["marked"]);
    machine.0.borrow_mut().disks[3].unknown = true;
    assert_eq!(metrics(), ["marked", "all"]);
}

#[test]
fn a_disk_without_a_mark_is_found_and_gets_the_next_configuration() {
    let machine = three();
    machine.0.borrow_mut().disks[2].unknown = true;
    assert_eq!(present(&machine), 3);
    assert_eq!(looked_for(&machine, "-g g make w 1m"), ["marked", "all"]);
    machine.0.borrow_mut().disks[2].unknown = false;
    assert_eq!(
        looked_for(&machine, "-g g print"),
        ["marked"],
        "nothing is out of date"
    );
}

#[test]
fn a_group_that_is_not_whole_is_looked_for_everywhere() {
    let machine = three();
    machine.0.borrow_mut().disks[2].unplugged = true;
    assert_eq!(looked_for(&machine, "-g g print"), ["marked", "all"]);
    // It has missed a change.
    machine.ok("-g g make w 1m");
    machine.0.borrow_mut().disks[2].unplugged = false;
    assert_eq!(looked_for(&machine, "-g g print w")[..2], ["marked", "all"]);
}

#[test]
fn a_group_without_any_mark_is_found() {
    let machine = three();
    machine.ok("stop v");
    (0..3).for_each(|disk| machine.0.borrow_mut().disks[disk].unknown = true);
    assert_eq!(present(&machine), 3);
    machine.ok("start v");
}
