//! `group restore-label`: a disk whose label was destroyed is a disk of its group again, and what is
//! on it counts for no more than is known of it.

use crate::fake::disk::FakeMedia;
use crate::fake::script::sync;
use crate::fake::{Fake, Trap, Words};
use crate::pure::golden::assert_golden;
use breakoff::app::Outcome;
use breakoff::error::{Error, Kind};
use breakoff::meta;
use breakoff::model::{Group, PlexState};
use breakoff::report::text;
use breakoff::sys::Media;

const RESTORE: &str = "group restore-label g disk02 /dev/fake2";
const INTACT: &str = "group restore-label g disk02 /dev/fake2 --data-is-intact";

/// A mirror `m` on disk01 and disk02; with `alone`, a volume `v` on disk02. Stopped, and the label of
/// disk02 is gone.
fn bare(alone: bool) -> Fake {
    let fake = Fake::new(&[24, 24, 24, 24]);
    fake.ok("group create g /dev/fake1 /dev/fake2 /dev/fake3");
    fake.ok("make m 4m --mirrors 2 --on disk01,disk02");
    if alone {
        fake.ok("make v 4m --on disk02");
    }
    sync(&fake);
    fake.0.borrow_mut().data.quiet = true;
    fake.ok("-g g stop --all");
    fake.0.borrow_mut().disks[1].lose_label();
    fake
}

#[track_caller]
fn refused(fake: &Fake, words: &str, kind: Kind, says: &str) -> Error {
    let before = fake.0.borrow().changes;
    let mut told = None;
    for words in [format!("--dry-run {words}"), words.to_owned()] {
        let error = match fake.run(&Words::parse(&words)) {
            Some(Err(error)) => error,
            other => panic!("'{words}' was not refused: {other:?}"),
        };
        assert_eq!(fake.0.borrow().changes, before, "{words}: {error}");
        assert_eq!(error.kind(), kind, "{words}: {error}");
        assert!(error.message().contains(says), "{words}: {error}");
        told = Some(error);
    }
    told.unwrap()
}

#[track_caller]
fn group(fake: &Fake) -> Group {
    match fake.ok("-g g print") {
        Outcome::Layout(worlds, _) => worlds[0].0.group.clone(),
        other => panic!("{other:?}"),
    }
}

fn states(fake: &Fake, volume: &str) -> Vec<PlexState> {
    let group = group(fake);
    let volume = group.volumes.iter().find(|v| v.name.as_str() == volume);
    volume
        .unwrap()
        .plexes
        .iter()
        .map(|plex| plex.state)
        .collect()
}

/// Both superblocks are there and say the same as those of the other disks.
#[track_caller]
fn is_labelled(fake: &Fake) {
    let read = |at| {
        meta::read_disk(&FakeMedia(fake.clone(), at))
            .unwrap()
            .unwrap()
    };
    let (label, other) = (read(1), read(0));
    assert_eq!(label.warnings(), [] as [String; 0]);
    assert_eq!(label.copies().len(), 2);
    assert_eq!(label.group(), other.group());
    assert_eq!(label.copies()[0].stamp(), other.copies()[0].stamp());
    let group = group(fake);
    let disk = group
        .disks
        .iter()
        .find(|disk| disk.media.as_str() == "disk02");
    assert_eq!(disk.unwrap().id, label.disk());
    match fake.ok("disk list") {
        Outcome::Disks(lines) => assert!(lines.iter().all(|line| line.state == "online")),
        other => panic!("{other:?}"),
    }
}

#[test]
fn its_plexes_are_stale() {
    let fake = bare(false);
    let done = text::outcome(&fake.ok(RESTORE), false);
    assert!(
        done.contains("g/disk02 label written: device /dev/fake2"),
        "{done}"
    );
    assert!(
        done.contains("g/m plex state: plex m-02, was ACTIVE, state STALE"),
        "{done}"
    );
    is_labelled(&fake);
    assert_eq!(states(&fake, "m"), [PlexState::Active, PlexState::Stale]);
    fake.ok("-g g start m");
    assert_eq!(states(&fake, "m"), [PlexState::Active, PlexState::Stale]);
    fake.ok("-g g plex attach -b m-02");
    sync(&fake);
    assert_eq!(states(&fake, "m"), [PlexState::Active; 2]);
}

#[test]
fn they_count_as_before_when_somebody_vouches_for_them() {
    let fake = bare(true);
    fake.ok(INTACT);
    is_labelled(&fake);
    assert_eq!(states(&fake, "m"), [PlexState::Active; 2]);
    let started = text::outcome(&fake.ok("-g g start --all"), false);
    assert_eq!(
        started.matches("started: after clean stop").count(),
        2,
        "{started}"
    );
}

#[test]
fn nobody_guesses_about_the_only_copy() {
    let fake = bare(true);
    let error = refused(
        &fake,
        RESTORE,
        Kind::Unsafe,
        "nothing but disk 'disk02' has the contents of v",
    );
    let hint = error
        .hint_text(&breakoff::cli::native::hints::Native)
        .unwrap();
    assert!(hint.contains("--data-is-intact"), "{hint}");
    // Nor when it was left out and the rest has gone on.
    assert!(fake.run(&Words::parse("-g g start --all")).unwrap().is_ok());
    assert_eq!(states(&fake, "m"), [PlexState::Active, PlexState::Failed]);
    let gone = "'g/m' has gone on without plex 'm-02'";
    refused(&fake, INTACT, Kind::Unsafe, gone);
    refused(&fake, RESTORE, Kind::Unsafe, "nothing but disk 'disk02'");
    fake.ok("-g g plex remove m-02");
    fake.ok(INTACT);
    is_labelled(&fake);
    fake.ok("-g g start v");
}

#[test]
fn a_plex_that_was_left_behind_is_stale() {
    let fake = bare(false);
    fake.ok("-g g start m");
    refused(
        &fake,
        INTACT,
        Kind::Unsafe,
        "has gone on without plex 'm-02'",
    );
    fake.ok(RESTORE);
    is_labelled(&fake);
    assert_eq!(states(&fake, "m"), [PlexState::Active, PlexState::Stale]);
}

#[test]
fn a_snapshot_leg_there_is_given_up_or_kept() {
    for (words, legs) in [(RESTORE, 0), (INTACT, 1)] {
        let fake = Fake::new(&[24, 24, 24]);
        fake.ok("group create g /dev/fake1 /dev/fake2 /dev/fake3");
        fake.ok("make v 4m --on disk01");
        fake.ok("snapstart -b v --on disk02");
        sync(&fake);
        fake.0.borrow_mut().data.quiet = true;
        fake.ok("-g g stop --all");
        fake.0.borrow_mut().disks[1].lose_label();
        fake.ok(words);
        is_labelled(&fake);
        let done = states(&fake, "v")
            .into_iter()
            .filter(|s| *s == PlexState::SnapDone);
        assert_eq!(done.count(), legs, "{words}");
        fake.ok("-g g start v");
    }
}

#[test]
fn what_is_not_the_disk_is_refused() {
    let fake = bare(false);
    refused(
        &fake,
        "group restore-label g disk02 /dev/fake1",
        Kind::InUse,
        "belongs to disk group 'g', which this machine has imported",
    );
    refused(
        &fake,
        "group restore-label g disk01 /dev/fake2",
        Kind::InUse,
        "'/dev/fake1' has the label of disk 'disk01'",
    );
    fake.ok("disk init /dev/fake4");
    refused(
        &fake,
        "group restore-label g disk02 /dev/fake4",
        Kind::InUse,
        "'/dev/fake4' has a label of its own",
    );
    fake.ok("disk erase /dev/fake4");
    let small = Fake::new(&[24, 24, 24, 16]);
    small.ok("group create g /dev/fake1 /dev/fake2 /dev/fake3");
    small.0.borrow_mut().disks[1].lose_label();
    refused(
        &small,
        "group restore-label g disk02 /dev/fake4",
        Kind::NoSpace,
        "disk02",
    );
    // What runs tells which device it is.
    let running = bare(false);
    running.ok(INTACT);
    running.ok("-g g start m");
    running.0.borrow_mut().disks[1].lose_label();
    refused(
        &running,
        RESTORE,
        Kind::InUse,
        "volumes run on disk 'disk02'",
    );
    running.ok("recover");
    is_labelled(&running);
}

/// Somebody vouches for a disk that does not hold what it held.
#[test]
fn a_log_that_is_not_there_speaks_against_it() {
    let fake = Fake::new(&[24, 24, 24]);
    fake.ok("group create g /dev/fake1 /dev/fake2 /dev/fake3");
    fake.ok("make m 4m --mirrors 2 --on disk02,disk03");
    sync(&fake);
    fake.0.borrow_mut().data.quiet = true;
    fake.ok("-g g stop --all");
    let log = group(&fake).volumes[0].log.clone().unwrap().extent;
    let group_ = group(&fake);
    let disk = group_.disk(log.disk).unwrap().clone();
    let at = group_.disks.iter().position(|d| d.id == disk.id).unwrap();
    let start = disk.data_start.saturating_add(log.start).bytes();
    FakeMedia(fake.clone(), at)
        .write_durably(start, &[0; 4096])
        .done()
        .unwrap();
    fake.0.borrow_mut().disks[at].lose_label();
    let words = format!("group restore-label g {} /dev/fake{}", disk.media, at + 1);
    refused(
        &fake,
        &format!("{words} --data-is-intact"),
        Kind::Unsafe,
        "the dirty region log of 'g/m' is not there",
    );
    fake.ok(&words);
}

/// A label of which both superblocks are torn is one that was destroyed.
#[test]
fn a_damaged_label_is_written_again() {
    let fake = bare(false);
    fake.ok(INTACT);
    for superblock in [4096, 8192] {
        let media = FakeMedia(fake.clone(), 1);
        let mut block = vec![0; 4096];
        media.read_at(superblock, &mut block).unwrap();
        block[600..700].fill(0xa5);
        media.write_durably(superblock, &block).done().unwrap();
    }
    fake.ok(INTACT);
    is_labelled(&fake);
    assert_eq!(states(&fake, "m"), [PlexState::Active; 2]);
}

#[test]
fn what_would_be_done_is_shown() {
    let fake = bare(false);
    fake.set_trap(Trap::None);
    let shown = text::outcome(&fake.ok(&format!("--dry-run {RESTORE}")), false);
    assert_eq!(fake.0.borrow().changes, 0);
    assert_golden("tests/golden/plans/group-restore-label", &shown);
}
