//! `snapback --at-boot`: what is to be restored when the machine boots is, once, before anybody can
//! have it open.

use crate::fake::script::{World, sync};
use crate::fake::{Fake, Words};
use breakoff::app::{Event, Outcome};
use breakoff::error::{Error, Kind};
use breakoff::model::{AtBoot, PlexState};

/// `v` with two snapshots, `s` and `t`, written to since.
fn world() -> Fake {
    let script = [
        "group create g /dev/fake1 /dev/fake2 /dev/fake3",
        "make v 8m --on disk01",
        "sync",
        "snapstart -b v --on disk02",
        "sync",
        "snapshot v --name s",
        "write",
        "snapstart -b v --on disk03",
        "sync",
        "snapshot v --name t",
        "write",
        "close",
    ];
    World::new("at boot", 3, &script).fake
}

/// What each snapshot is to do at boot.
fn requested(fake: &Fake) -> Vec<(String, Option<AtBoot>)> {
    let (group, _) = fake.group().unwrap();
    let snapshots = group.volumes.iter();
    snapshots
        .filter_map(|v| Some((v.name.to_string(), v.origin.as_ref()?.at_boot)))
        .collect()
}

#[track_caller]
fn events(outcome: Outcome) -> Vec<Event> {
    match outcome {
        Outcome::Done(report) => {
            assert_eq!(report.failures, []);
            report.changes.into_iter().map(|c| c.event).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn boot(fake: &Fake) -> Vec<Event> {
    fake.power_cut(&mut |sector| sector.versions);
    events(fake.ok("start --auto"))
}

fn restored(events: &[Event]) -> bool {
    let is_restore = |e: &Event| matches!(e, Event::Restoring { .. } | Event::Exchanged { .. });
    events.iter().any(is_restore)
}

#[test]
fn a_volume_is_restored_at_the_next_boot_and_not_again() {
    let fake = world();
    fake.ok("snapback --from snapshot --at-boot s");
    fake.ok("stop --all");
    let by_hand = events(fake.ok("start --all"));
    assert!(!restored(&by_hand), "by hand nothing is restored");
    assert!(restored(&boot(&fake)));
    sync(&fake);
    let (group, _) = fake.group().unwrap();
    // Its plex is the volume's again.
    assert_eq!(requested(&fake), [("t".to_owned(), None)]);
    let plexes = &group.volumes[0].plexes;
    assert!(plexes.iter().any(|p| p.state == PlexState::Active));
    assert!(!restored(&boot(&fake)));
}

#[test]
fn the_old_contents_can_be_kept() {
    let fake = world();
    fake.ok("snapback --from snapshot --keep --at-boot s");
    assert!(restored(&boot(&fake)));
    sync(&fake);
    let requested = requested(&fake);
    assert!(requested.iter().any(|(name, _)| name == "s"));
    assert!(requested.iter().all(|(_, how)| how.is_none()));
    assert!(!restored(&boot(&fake)));
}

#[test]
fn the_snapshot_that_was_named_last_counts_and_can_be_taken_back() {
    let fake = world();
    let both = |s, t| [("s".to_owned(), s), ("t".to_owned(), t)];
    fake.ok("snapback --from snapshot --at-boot s");
    assert_eq!(requested(&fake), both(Some(AtBoot::Overwrite), None));
    fake.ok("snapback --from snapshot --at-boot --keep t");
    assert_eq!(requested(&fake), both(None, Some(AtBoot::Keep)));
    let Outcome::Findings(said) = fake.ok("status") else {
        panic!("no findings");
    };
    let to_come = "'g/v' is going to be restored from 'g/t' when this machine boots";
    assert!(said.iter().any(|text| text == to_come), "{said:?}");
    fake.ok("snapback --not-at-boot t");
    assert_eq!(requested(&fake), both(None, None));
    assert!(!restored(&boot(&fake)));
}

#[test]
fn what_cannot_be_restored_is_refused_at_once() {
    let fake = world();
    let refused = |line: &str| fake.run(&Words::parse(line)).unwrap().unwrap_err().kind();
    assert_eq!(
        refused("snapback --from snapshot --at-boot v"),
        refused("snapback --from snapshot v")
    );
    assert_eq!(
        refused("snapback --from snapshot --at-boot s t"),
        Kind::Usage
    );
    assert!(requested(&fake).iter().all(|(_, how)| how.is_none()));
}

#[test]
fn a_restore_that_fails_leaves_the_volume_started_and_is_tried_again() {
    let fake = world();
    fake.ok("snapback --from snapshot --at-boot s");
    fake.power_cut(&mut |sector| sector.versions);
    fake.0.borrow_mut().disks[1].unplugged = true;
    let Ok(Outcome::Done(report)) = fake.run(&Words::parse("start --auto")).unwrap() else {
        panic!("no report");
    };
    let said: Vec<&str> = report.failures.iter().map(Error::message).collect();
    let why = "'g/v' was to be restored from 'g/s'";
    assert!(said.iter().any(|text| text.contains(why)), "{said:?}");
    let is_start = |event: &Event| matches!(event, Event::Started { .. });
    assert!(report.changes.iter().any(|c| is_start(&c.event)));
    fake.0.borrow_mut().disks[1].unplugged = false;
    assert!(restored(&boot(&fake)));
}
