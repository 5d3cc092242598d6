//! `start --auto` when disks appear after boot, on a machine in memory: each appearance starts what it
//! completes, once; what stays incomplete waits, and starts by the rules of `start` when its time is up.

use crate::fake::script::sync;
use crate::fake::{Fake, Words};
use breakoff::app::{Event, Outcome, Report};
use breakoff::plan::change::Change;
use std::fs;
use tempfile::TempDir;

const APPEARED: &str = "-g g start --auto --appeared";
const WAITING: &str = "-g g start --auto --waiting";

/// A machine that was just booted, with a group whose disks have not appeared yet: `a` on disk01, the
/// mirror `m` on disk01 and disk02, `b` on disk03.
struct Booted {
    fake: Fake,
    run: TempDir,
}

impl Booted {
    fn new() -> Booted {
        let (fake, run) = (Fake::new(&[32, 32, 32]), tempfile::tempdir().unwrap());
        fake.0.borrow_mut().hotplug_dir = Some(run.path().join("hotplug"));
        for line in [
            "group create g /dev/fake1 /dev/fake2 /dev/fake3",
            "make a 4m --on disk01",
            "make m 4m --mirrors 2 --on disk01,disk02",
            "make b 4m --on disk03",
        ] {
            fake.ok(line);
            sync(&fake);
        }
        fake.ok("stop --all");
        let booted = Booted { fake, run };
        booted.reboot();
        booted
    }

    /// With no disk of the group.
    fn reboot(&self) {
        (1..=3).for_each(|disk| self.unplug(disk));
        self.fake.power_cut(&mut |sector| sector.versions);
        let _ = fs::remove_dir_all(self.run.path().join("hotplug"));
    }

    fn unplug(&self, disk: usize) {
        self.fake.0.borrow_mut().disks[disk - 1].unplugged = true;
    }

    /// The disk appears, for the first time or anew.
    fn plug(&self, disk: usize) {
        let mut state = self.fake.0.borrow_mut();
        state.disks[disk - 1].unplugged = false;
        let dev = state.disks[disk - 1].dev;
        *state.appearances.entry(dev).or_default() += 1;
    }

    #[track_caller]
    fn started(&self, command: &str) -> Vec<String> {
        match self.fake.run(&Words::parse(command)).unwrap() {
            Ok(Outcome::Done(Report {
                changes, failures, ..
            })) => {
                assert_eq!(failures, [], "{command}");
                changes.iter().filter_map(started).collect()
            }
            other => panic!("{command}: {other:?}"),
        }
    }
}

fn started(change: &Change) -> Option<String> {
    match &change.event {
        Event::Started { .. } => Some(change.object.to_string()),
        _ => None,
    }
}

#[test]
fn a_volume_starts_with_the_last_of_its_disks_whatever_their_order() {
    for (order, expected) in [
        ([1, 2, 3], [vec![], vec!["g/a", "g/m"], vec!["g/b"]]),
        ([3, 1, 2], [vec![], vec!["g/a", "g/b"], vec!["g/m"]]),
        ([2, 3, 1], [vec![], vec!["g/b"], vec!["g/a", "g/m"]]),
    ] {
        let booted = Booted::new();
        for (disk, expected) in order.into_iter().zip(expected) {
            booted.plug(disk);
            assert_eq!(booted.started(APPEARED), expected, "{order:?}: {disk}");
            // The same event again.
            assert_eq!(booted.started(APPEARED), [""; 0], "{order:?}: {disk}");
        }
        assert_eq!(booted.started(WAITING), [""; 0]);
    }
}

#[test]
fn disks_that_appear_all_at_once_start_everything_once() {
    let booted = Booted::new();
    (1..=3).for_each(|disk| booted.plug(disk));
    assert_eq!(booted.started(APPEARED), ["g/a", "g/m", "g/b"]);
    assert_eq!(booted.started(APPEARED), [""; 0]);
    assert_eq!(booted.started(WAITING), [""; 0]);
}

#[test]
fn what_was_stopped_stays_so_until_a_disk_of_it_is_plugged_in_again() {
    let booted = Booted::new();
    (1..=3).for_each(|disk| booted.plug(disk));
    booted.started(APPEARED);
    booted.fake.ok("-g g stop --all");
    assert_eq!(booted.started(APPEARED), [""; 0]);
    assert_eq!(booted.started(WAITING), [""; 0]);
    booted.unplug(3);
    assert_eq!(booted.started(APPEARED), [""; 0]);
    booted.plug(3);
    assert_eq!(booted.started(APPEARED), ["g/b"]);
}

#[test]
fn what_was_started_by_hand_or_at_boot_is_left_alone() {
    let booted = Booted::new();
    (1..=3).for_each(|disk| booted.plug(disk));
    assert_eq!(booted.started("start --auto"), ["g/a", "g/m", "g/b"]);
    booted.fake.ok("-g g stop a");
    assert_eq!(booted.started(APPEARED), [""; 0]);
}

#[test]
fn a_mirror_waits_for_its_other_disk_and_starts_without_it_when_its_time_is_up() {
    let booted = Booted::new();
    booted.plug(1);
    booted.plug(3);
    assert_eq!(booted.started(APPEARED), ["g/a", "g/b"]);
    assert_eq!(booted.started(WAITING), ["g/m"]);
    assert_eq!(booted.started(WAITING), [""; 0]);
    booted.fake.ok("-g g stop m");
    // It does not come back by itself.
    assert_eq!(booted.started(APPEARED), [""; 0]);
    assert_eq!(booted.started(WAITING), [""; 0]);
}

#[test]
fn a_mirror_does_not_wait_for_a_disk_that_is_known_to_be_lost() {
    let booted = Booted::new();
    booted.plug(1);
    booted.plug(3);
    booted.started(APPEARED);
    booted.started(WAITING);
    booted.fake.ok("-g g stop --all");
    booted.reboot();
    booted.plug(1);
    booted.plug(3);
    assert_eq!(booted.started(APPEARED), ["g/a", "g/m", "g/b"]);
}

#[test]
fn a_minority_of_the_disks_waits_and_is_refused_when_its_time_is_up() {
    let booted = Booted::new();
    booted.plug(1);
    assert_eq!(booted.started(APPEARED), [""; 0]);
    let refused = booted.fake.run(&Words::parse(WAITING)).unwrap();
    let Ok(Outcome::Done(report)) = refused else {
        panic!("{refused:?}");
    };
    assert!(
        report.failures[0].message().contains("1 of 3 disks here"),
        "{:?}",
        report.failures
    );
    // The others come late.
    booted.plug(2);
    booted.plug(3);
    assert_eq!(booted.started(APPEARED), ["g/a", "g/m", "g/b"]);
}

#[test]
fn a_volume_that_waited_and_was_stopped_by_hand_meanwhile_waits_no_more() {
    let booted = Booted::new();
    booted.plug(1);
    booted.plug(3);
    assert_eq!(booted.started(APPEARED), ["g/a", "g/b"]);
    booted.fake.ok("-g g start m");
    booted.fake.ok("-g g stop m");
    assert_eq!(booted.started(APPEARED), [""; 0]);
    assert_eq!(booted.started(WAITING), [""; 0]);
    // Its disk comes after all.
    booted.plug(2);
    assert_eq!(
        booted.started(APPEARED),
        [""; 0],
        "its plex there is out of date"
    );
}

#[test]
fn a_volume_that_is_to_be_restored_waits_for_its_snapshot() {
    let booted = Booted::new();
    (1..=3).for_each(|disk| booted.plug(disk));
    booted.started("start --auto");
    booted.fake.ok("snapstart -b a --on disk03");
    sync(&booted.fake);
    booted.fake.ok("snapshot a --name s");
    booted.fake.ok("snapback --from snapshot --at-boot s");
    booted.fake.ok("stop --all");
    booted.reboot();
    booted.plug(1);
    booted.plug(2);
    assert_eq!(booted.started(APPEARED), ["g/m"]);
    booted.plug(3);
    assert_eq!(booted.started(APPEARED), ["g/a", "g/b", "g/s"]);
    let (group, _) = booted.fake.group().unwrap();
    let is_snapshot = |volume: &breakoff::model::Volume| volume.name.as_str() == "s";
    assert!(!group.volumes.iter().any(is_snapshot), "it is not restored");
}

#[test]
fn a_dry_run_starts_what_the_occasion_calls_for() {
    let booted = Booted::new();
    booted.plug(1);
    booted.plug(3);
    let planned = |command: &str| -> Vec<String> {
        let words = Words::parse(&format!("--dry-run {command}"));
        match booted.fake.run(&words).unwrap() {
            Ok(Outcome::Planned(plan)) => plan.changes.iter().filter_map(started).collect(),
            other => panic!("{command}: {other:?}"),
        }
    };
    let none: Vec<String> = Vec::new();
    assert_eq!(planned(APPEARED), ["g/a", "g/b"]);
    assert_eq!(planned("-g g start --auto"), ["g/a", "g/m", "g/b"]);
    assert_eq!(planned(WAITING), none, "nothing has been recorded");
    assert_eq!(booted.started(APPEARED), ["g/a", "g/b"]);
    assert_eq!(planned(APPEARED), none);
    assert_eq!(planned(WAITING), ["g/m"]);
}

#[test]
fn a_group_of_another_machine_is_left_alone() {
    let booted = Booted::new();
    (1..=3).for_each(|disk| booted.plug(disk));
    booted.fake.0.borrow_mut().host = 9;
    assert_eq!(booted.started(APPEARED), [""; 0]);
    assert_eq!(booted.started(WAITING), [""; 0]);
    // Whoever takes it over decides when it starts.
    booted.fake.ok("group import --force g");
    assert_eq!(booted.started(APPEARED), [""; 0]);
}

#[test]
fn that_disks_have_got_a_label_is_no_appearance() {
    let booted = Booted::new();
    (1..=3).for_each(|disk| booted.plug(disk));
    booted.started("start --auto");
    booted.fake.ok("stop --all");
    booted.fake.ok("group destroy g");
    booted.fake.ok("group create g /dev/fake1 /dev/fake2");
    booted.fake.ok("make a 4m");
    booted.fake.ok("stop a");
    assert_eq!(booted.started(APPEARED), [""; 0]);
    booted.fake.ok("group add g /dev/fake3");
    booted.fake.ok("make b 4m --on disk03");
    booted.fake.ok("stop b");
    assert_eq!(booted.started(APPEARED), [""; 0]);
}

#[test]
fn a_file_that_is_damaged_starts_no_less() {
    let booted = Booted::new();
    (1..=3).for_each(|disk| booted.plug(disk));
    booted.started(APPEARED);
    let files: Vec<_> = fs::read_dir(booted.run.path().join("hotplug"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(files.len(), 1);
    booted.fake.ok("-g g stop a");
    fs::write(&files[0], "{").unwrap();
    assert_eq!(booted.started(APPEARED), ["g/a"]);
    assert_eq!(booted.started(APPEARED), [""; 0]);
}
