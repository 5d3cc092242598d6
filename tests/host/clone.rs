//! `group import --clone`: copies of a group's disks become a group of their own, all or none.

use crate::fake::disk::FakeMedia;
use crate::fake::script::{Unsynced, sync, ways};
use crate::fake::{Fake, Trap, Words};
use crate::pure::golden::assert_golden;
use breakoff::app::{GroupLine, Outcome};
use breakoff::cli::native::hints::Native;
use breakoff::error::Kind;
use breakoff::meta;
use breakoff::model::{DiskId, Group, PlexState};
use breakoff::report::text;
use std::collections::BTreeSet;

const CLONE: &str = "group import g --clone c /dev/fake4 /dev/fake5 /dev/fake6";

/// Group `g` on three disks in use, and a copy of each: a mirror `m` with a leg that is being filled,
/// and a volume `v` with a snapshot `s` that is to be restored at boot.
fn copied() -> Fake {
    let fake = Fake::new(&[24, 24, 24]);
    for words in [
        "group create g /dev/fake1 /dev/fake2 /dev/fake3",
        "make m 4m --mirrors 2 --on disk01,disk02",
        "make v 4m --on disk01",
    ] {
        fake.ok(words);
    }
    sync(&fake);
    fake.ok("snapstart -b v --on disk03");
    sync(&fake);
    fake.ok("snapshot v --name s");
    fake.ok("snapback --from snapshot --at-boot s");
    fake.ok("snapstart -b m --on disk03");
    fake.0.borrow_mut().tick();
    copy(&fake, 3);
    fake
}

/// Copies the first disks behind all others, all at one instant.
fn copy(fake: &Fake, count: usize) {
    let state = &mut *fake.0.borrow_mut();
    state.data.quiet = true;
    for at in 0..count {
        let new = state.disks.len();
        let copy = state.disks[at].copied(new);
        state.disks.push(copy);
    }
}

#[track_caller]
fn refused_as(fake: &Fake, words: &str, kind: Kind, says: &str) {
    for words in [words.to_owned(), format!("--dry-run {words}")] {
        let error = fake.refused(&words);
        assert_eq!(error.kind(), kind, "{words}: {error}");
        assert!(error.message().contains(says), "{words}: {error}");
    }
}

fn groups(fake: &Fake) -> Vec<GroupLine> {
    let listed = |outcome| match outcome {
        Outcome::Groups(lines) => lines,
        other => panic!("{other:?}"),
    };
    match fake.ok("group list") {
        // Its disks may be unplugged while it runs.
        Outcome::Lacking(known, _) => listed(*known),
        other => listed(other),
    }
}

fn state_of(fake: &Fake, name: &str) -> Option<(&'static str, (usize, usize))> {
    let lines = groups(fake);
    let line = lines.iter().find(|line| line.name == name)?;
    Some((line.state, line.disks))
}

#[track_caller]
fn configuration(fake: &Fake, name: &str) -> Group {
    match fake.ok(&format!("-g {name} print")) {
        Outcome::Layout(worlds, _) => worlds[0].0.group.clone(),
        other => panic!("{other:?}"),
    }
}

fn label(fake: &Fake, at: usize) -> meta::Label {
    meta::read_disk(&FakeMedia(fake.clone(), at))
        .unwrap()
        .unwrap()
}

/// Only these disks are plugged in.
fn plug(fake: &Fake, which: std::ops::Range<usize>) {
    for (at, disk) in fake.0.borrow_mut().disks.iter_mut().enumerate() {
        disk.unplugged = !which.contains(&at);
    }
}

/// Everything about a group but its identities and name, and what a clone has otherwise.
fn shape(group: &Group) -> String {
    let mut group = group.clone();
    for volume in &mut group.volumes {
        volume.copied = true;
        volume.running = volume.running.take();
        if let Some(origin) = &mut volume.origin {
            origin.at_boot = None;
        }
    }
    let text = crate::fake::script::essence(Some(&group));
    text.split_once('\n').unwrap().1.to_owned()
}

#[test]
fn both_run_side_by_side() {
    let fake = copied();
    let error = fake.refused("-g g make w 1m");
    let hint = error.hint_text(&Native).unwrap();
    assert!(
        hint.contains("'breakoff group import g --clone NEW DEVICE…'"),
        "the refusal of duplicates names the way out: {hint}"
    );
    fake.ok(CLONE);
    let (g, c) = (configuration(&fake, "g"), configuration(&fake, "c"));
    assert_eq!(shape(&g), shape(&c));
    assert_ne!(g.id, c.id);
    assert_eq!(g.host, c.host);
    let old: BTreeSet<DiskId> = g.disks.iter().map(|disk| disk.id).collect();
    assert!(c.disks.iter().all(|disk| !old.contains(&disk.id)));
    assert!(c.volumes.iter().all(|v| g.volume(v.id).is_none()));
    assert!(c.extents().all(|extent| c.disk(extent.disk).is_some()));
    assert!(
        c.volumes.iter().all(|v| v.copied),
        "by-uuid stays with the original"
    );
    let origin = |group: &Group| {
        let s = group
            .volumes
            .iter()
            .find(|v| v.name.as_str() == "s")
            .unwrap();
        let origin = s.origin.clone().unwrap();
        (
            group.volume(origin.original).unwrap().name.to_string(),
            origin.at_boot.is_some(),
        )
    };
    assert_eq!(origin(&g), ("v".to_owned(), true));
    assert_eq!(
        origin(&c),
        ("v".to_owned(), false),
        "it is not restored on its own"
    );

    // They were running when they were copied: they start as after a power cut.
    let started = text::outcome(&fake.ok("-g c start --all"), false);
    assert_eq!(
        started.matches("started: after crash").count(),
        3,
        "{started}"
    );
    let c = configuration(&fake, "c");
    let m = c.volumes.iter().find(|v| v.name.as_str() == "m").unwrap();
    let states: Vec<PlexState> = m.plexes.iter().map(|plex| plex.state).collect();
    assert_eq!(states, [PlexState::Active; 2], "the leg is given up");
    assert_eq!(configuration(&fake, "g").volumes.len(), 3);
    fake.ok("-g g make w 1m");
    fake.ok("-g c make w 2m");
    fake.ok("-g c snapback -b s");
    fake.ok("-g c stop --all");
    fake.ok("-g g stop --all");
    assert_eq!(state_of(&fake, "g"), Some(("imported", (3, 3))));
    assert_eq!(state_of(&fake, "c"), Some(("imported", (3, 3))));
    // Each without the other.
    fake.ok("recover");
    plug(&fake, 0..3);
    fake.ok("-g g start --all");
    plug(&fake, 3..6);
    fake.ok("-g c start --all");
}

#[test]
fn what_would_be_done_is_shown_and_nothing_is_done() {
    let fake = copied();
    fake.set_trap(Trap::None);
    let shown = text::outcome(&fake.ok(&format!("--dry-run {CLONE}")), false);
    assert_eq!(fake.0.borrow().changes, 0);
    assert_golden("tests/golden/plans/group-import-clone", &shown);
}

#[test]
fn what_is_not_certain_is_refused() {
    let fake = copied();
    refused_as(
        &fake,
        "group import g --clone c /dev/fake4 /dev/fake5",
        Kind::Unsafe,
        "copies of disks of group 'g' that hold something are missing: disk03",
    );
    refused_as(
        &fake,
        "group import g --clone c /dev/fake4 /dev/fake2 /dev/fake6",
        Kind::InUse,
        "'/dev/fake2' lies beneath running volumes of group 'g'",
    );
    refused_as(
        &fake,
        "group import g --force --clone c /dev/fake4 /dev/fake2 /dev/fake6",
        Kind::InUse,
        "it is the disk itself",
    );
    refused_as(
        &fake,
        "group import g --clone c /dev/fake4 /dev/fake5 /dev/fake6 /dev/fake5",
        Kind::Usage,
        "'/dev/fake5' is named twice",
    );
    refused_as(
        &fake,
        "group import other --clone c /dev/fake4 /dev/fake5 /dev/fake6",
        Kind::NotReady,
        "'/dev/fake4' is not a copy of a disk of group 'other'",
    );
    refused_as(
        &fake,
        "group import g --clone g /dev/fake4 /dev/fake5 /dev/fake6",
        Kind::Exists,
        "there is a group 'g' already",
    );
    plug(&fake, 0..3);
    fake.ok("-g g stop --all");
    copy(&fake, 3);
    plug(&fake, 0..3);
    let again = fake.0.borrow_mut().disks.drain(6..).collect::<Vec<_>>();
    for (at, mut disk) in again.into_iter().enumerate() {
        disk.path = format!("/dev/fake{}", at + 4).into();
        disk.dev.minor = at as u32 + 3;
        fake.0.borrow_mut().disks[at + 3] = disk;
    }
    plug(&fake, 0..6);
    refused_as(
        &fake,
        "group import g --clone c",
        Kind::Usage,
        "which of these are the copies of the disks of group 'g' cannot be seen: '/dev/fake1'",
    );
    // These may be the disks themselves.
    plug(&fake, 3..6);
    refused_as(
        &fake,
        "group import g --clone c",
        Kind::Usage,
        "cannot be seen",
    );
    refused_as(
        &fake,
        CLONE,
        Kind::Unsafe,
        "may be the disks themselves of group 'g', which this machine has imported",
    );
    fake.0.borrow_mut().host += 1;
    refused_as(
        &fake,
        "group import g --clone c",
        Kind::Unsafe,
        "has imported: no other device with their identity is in sight",
    );
    fake.0.borrow_mut().host -= 1;
    // One copy that is older than the others.
    plug(&fake, 0..6);
    plug(&fake, 0..3);
    fake.ok("-g g make w 1m");
    let newer = fake.0.borrow().disks[0].copied(6);
    fake.0.borrow_mut().disks.push(newer);
    plug(&fake, 0..7);
    refused_as(
        &fake,
        "group import g --clone c /dev/fake7 /dev/fake5 /dev/fake6",
        Kind::Unsafe,
        "were made at different times: disk02, disk03 are older than the others",
    );
    refused_as(
        &fake,
        "group import g --clone c /dev/fake7 /dev/fake4 /dev/fake5 /dev/fake6",
        Kind::Usage,
        "'/dev/fake7' and '/dev/fake4' are copies of one disk",
    );
}

/// While the group runs, its tables tell the disks from their copies.
#[test]
fn copies_need_no_names_while_the_disks_are_in_use() {
    let fake = copied();
    fake.ok("group import g --clone c");
    assert_eq!(state_of(&fake, "c"), Some(("imported", (3, 3))));
    assert_ne!(label(&fake, 3).disk(), label(&fake, 0).disk());
}

/// On another machine, of a group that was deported: whatever is there is a copy.
#[test]
fn copies_need_no_names_where_nobody_has_the_group() {
    let fake = copied();
    plug(&fake, 0..3);
    fake.ok("-g g stop --all");
    fake.ok("group deport g");
    copy(&fake, 3);
    plug(&fake, 6..9);
    fake.0.borrow_mut().host += 1;
    fake.ok("group import g --clone g");
    assert_eq!(state_of(&fake, "g"), Some(("imported", (3, 3))));
    let c = configuration(&fake, "g");
    assert!(
        c.volumes.iter().all(|v| v.running.is_none()),
        "they were stopped cleanly"
    );
}

#[test]
fn an_incomplete_clone_is_made_when_that_is_said() {
    let fake = copied();
    fake.ok("group import g --force --clone c /dev/fake4 /dev/fake6");
    assert_eq!(state_of(&fake, "c"), Some(("imported", (2, 3))));
    fake.ok("-g c start --all");
    let c = configuration(&fake, "c");
    let m = c.volumes.iter().find(|v| v.name.as_str() == "m").unwrap();
    let states: Vec<PlexState> = m.plexes.iter().map(|plex| plex.state).collect();
    assert_eq!(states, [PlexState::Active, PlexState::Failed]);
}

/// What must hold whenever the command was interrupted: nothing of the original is changed, and
/// there is a whole clone, or none that anything could use. Then the same words finish it.
#[track_caller]
fn before_or_after(fake: &Fake, expected: &str, what: &str) {
    fake.set_trap(Trap::None);
    fake.ok("recover");
    let clone = state_of(fake, "c");
    let is_whole = match clone {
        None => false,
        Some(("unfinished", _)) => {
            for words in [
                "-g c start --all",
                "group import c",
                "group import --force c",
                "-g c make w 1m",
                "group import g --clone other /dev/fake4 /dev/fake5 /dev/fake6",
            ] {
                let error = fake.refused(words);
                assert_eq!(error.kind(), Kind::NotReady, "{what}: {words}: {error}");
            }
            false
        }
        Some(("imported", (3, 3))) => true,
        other => panic!("{what}: {other:?}"),
    };
    let original = fake.copy();
    plug(&original, 0..3);
    assert_eq!(
        state_of(&original, "g"),
        Some(("imported", (3, 3))),
        "{what}"
    );
    original.ok("-g g make w 1m");
    match fake.run(&Words::parse(CLONE)).unwrap() {
        Ok(_) => assert!(!is_whole, "{what}: it was finished already"),
        Err(error) => {
            assert!(is_whole && error.kind() == Kind::Exists, "{what}: {error}");
        }
    }
    assert_eq!(state_of(fake, "c"), Some(("imported", (3, 3))), "{what}");
    let c = configuration(fake, "c");
    // A whole one is started at boot, which gives the leg up that was being filled.
    let settled = |text: &str| {
        let lines = text
            .lines()
            .filter(|line| !(is_whole && line.contains("SNAPATT")));
        lines.collect::<Vec<_>>().join("\n")
    };
    assert_eq!(settled(&shape(&c)), settled(expected), "{what}");
    // A disk that the last commit has not reached is written by the next change.
    if is_whole {
        fake.ok("-g c rename v x");
        fake.ok("-g c rename x v");
    }
    let labels: Vec<meta::Label> = (3..6).map(|at| label(fake, at)).collect();
    for label in &labels {
        assert_eq!(label.warnings(), [] as [String; 0], "{what}");
        assert_eq!(label.copies().len(), 2, "{what}");
        assert_eq!(
            label.copies()[0].stamp(),
            labels[0].copies()[0].stamp(),
            "{what}"
        );
        assert_eq!(label.group(), Some(c.id), "{what}");
    }
    fake.ok("-g c start --all");
    fake.ok("-g c stop --all");
}

/// How far the command has come before each of its changes, killed there or the power cut.
#[test]
fn an_interrupted_clone_is_no_clone_until_it_is_repeated() {
    let ready = copied();
    let words = Words::parse(CLONE);
    let whole = ready.copy();
    whole.set_trap(Trap::None);
    whole.run(&words).unwrap().unwrap();
    let (changes, calls) = (whole.0.borrow().changes, whole.0.borrow().calls);
    let expected = shape(&configuration(&whole, "c"));
    let before_or_after = |fake: &Fake, what: &str| before_or_after(fake, &expected, what);
    before_or_after(&whole, "after it");
    let (mut cuts, mut unfinished) = (0, 0);
    for at in 1..=changes {
        let dead = ready.copy();
        dead.set_trap(Trap::Kill(at));
        assert!(dead.run(&words).is_none(), "killed before change {at}");
        dead.set_trap(Trap::None);
        let state = state_of(&dead, "c").map(|(state, _)| state);
        unfinished += usize::from(state == Some("unfinished"));
        for kept in ways(&dead) {
            let cut = dead.copy();
            let mut nth = 0;
            cut.power_cut(&mut |sector: Unsynced| {
                nth += 1;
                kept(nth - 1, sector)
            });
            cut.ok("start --auto");
            before_or_after(&cut, &format!("power cut before change {at}"));
            cuts += 1;
        }
        before_or_after(&dead, &format!("killed before change {at}"));
    }
    assert!(unfinished > 2, "no half of a clone was met: {unfinished}");
    println!("{changes} kills, {cuts} power cuts, {calls} failing calls");
    let mut untrue = Vec::new();
    for at in 1..=calls {
        for trap in [Trap::Fail(at), Trap::FailFrom(at)] {
            let fake = ready.copy();
            fake.set_trap(trap);
            let came = fake.run(&words).unwrap();
            fake.set_trap(Trap::None);
            let is_there = state_of(&fake, "c").is_some_and(|(state, _)| state == "imported");
            match came {
                // A device that cannot be read for a moment may be missing in its list.
                Ok(_) => assert!(is_there, "{trap:?}"),
                // All disks are silent, and it says so.
                Err(error) if error.message().contains("is not known") => {}
                Err(error) if is_there => untrue.push(format!("{trap:?}: {error}")),
                Err(_) => {}
            }
            before_or_after(&fake, &format!("{trap:?}"));
        }
    }
    assert_eq!(untrue, [] as [String; 0], "it failed, and is done");
}

/// A copy dies while it is turned: the clone is finished without it, when that is said.
#[test]
fn a_copy_that_dies_can_be_left_out() {
    let ready = copied();
    let words = Words::parse(CLONE);
    let whole = ready.copy();
    whole.set_trap(Trap::None);
    whole.run(&words).unwrap().unwrap();
    let changes = whole.0.borrow().changes;
    for at in 1..=changes {
        let fake = ready.copy();
        fake.set_trap(Trap::Die(at, 4));
        let came = fake.run(&words).unwrap();
        fake.set_trap(Trap::None);
        {
            let disk = &mut fake.0.borrow_mut().disks[4];
            (disk.dead, disk.unplugged) = (true, true);
        }
        if came.is_err() {
            let rest = "group import g --force --clone c /dev/fake4 /dev/fake6";
            match fake.run(&Words::parse(rest)).unwrap() {
                Ok(_) => {}
                Err(error) => panic!("before change {at}: {error}"),
            }
        }
        assert_eq!(state_of(&fake, "c"), Some(("imported", (2, 3))), "{at}");
        fake.ok("-g c start --all");
    }
}

/// What is left of a clone that was given up is erased, or taken for something else.
#[test]
fn an_unfinished_clone_can_be_given_up() {
    let half = |at| {
        let fake = copied();
        fake.set_trap(Trap::Kill(at));
        assert!(fake.run(&Words::parse(CLONE)).is_none());
        fake.set_trap(Trap::None);
        state_of(&fake, "c").is_some().then_some(fake)
    };
    let fake = (1..).find_map(half).unwrap();
    assert_eq!(
        state_of(&fake, "c").map(|(state, _)| state),
        Some("unfinished")
    );
    let turned = (3..6).find(|at| label(&fake, *at).group() != label(&fake, 0).group());
    let device = format!("/dev/fake{}", turned.unwrap() + 1);
    let error = fake.refused(&format!("disk erase {device}"));
    assert!(
        error
            .message()
            .contains("is part of a clone 'c' that was not finished"),
        "{error}"
    );
    fake.ok(&format!("disk erase --force {device}"));
    assert_eq!(state_of(&fake, "c"), None);
}
