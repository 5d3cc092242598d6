//! `group split`, `group move` and `group join` on a machine in memory: what goes with what, every crash
//! point, halves that vanish in between, and the relation of a snapshot to its original.

use crate::fake::script::{World, essence, sync, ways};
use crate::fake::{Fake, Trap, Words};
use breakoff::app::Outcome;
use breakoff::error::Kind;
use breakoff::model::{Group, Tracking};
use std::collections::BTreeSet;

/// A volume on `disk01`, and a snapshot of it on `disk02` that has been written since.
const PARTED: [&str; 9] = [
    "group create g /dev/fake1 /dev/fake2 /dev/fake3",
    "make v 8m --on disk01 --fast-resync on",
    "make w 4m --on disk03",
    "snapstart -b --on disk02 v",
    "sync",
    "snapshot --name s v",
    "close",
    "write",
    "stop s",
];

fn groups(fake: &Fake) -> Vec<Group> {
    let Outcome::Layout(worlds, _) = fake.ok("print") else {
        panic!("print shows groups");
    };
    worlds
        .into_iter()
        .map(|(world, _)| world.group.clone())
        .collect()
}

/// All groups in short, with the relations between them.
fn all(fake: &Fake) -> String {
    let mut texts: Vec<String> = groups(fake).iter().map(described).collect();
    texts.sort();
    // The order of the disks is of no importance.
    let lines = |text: &String| {
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_by_key(|line| line.starts_with("disk ").then_some(*line));
        lines.join("\n")
    };
    texts.iter().map(lines).collect::<Vec<_>>().join("\n")
}

fn described(group: &Group) -> String {
    let mut text = essence(Some(group));
    for volume in &group.volumes {
        let tracked = |tracking| matches!(tracking, Tracking::Since(_));
        if let Some(origin) = &volume.origin {
            let apart = origin.apart.as_ref().map(|a| (&a.group_name, &a.original));
            let known = tracked(origin.tracking);
            text += &format!("  {} comes from {apart:?}, tracked {known}\n", volume.name);
        }
        for away in &volume.away {
            let (name, group) = (&away.name, &away.group_name);
            let known = tracked(away.origin.tracking);
            text += &format!("  {} has {group}/{name}, tracked {known}\n", volume.name);
        }
    }
    text
}

/// Kills a command before each change, and cuts the power there: all groups are as before it or as after
/// it, before anything is repaired, and a repair has them so on all labels.
#[track_caller]
fn crash(world: &World, command: &str) {
    let words = Words::parse(command);
    let before = all(&world.fake);
    let whole = world.fake.copy();
    whole.set_trap(Trap::None);
    whole.ok(command);
    let after = all(&whole);
    let changes = whole.0.borrow().changes;
    assert_ne!(before, after, "{command}");
    assert!(changes > 4, "{command}: {changes} changes");
    let mut seen = BTreeSet::new();
    for at in 1..=changes {
        let dead = world.fake.copy();
        dead.set_trap(Trap::Kill(at));
        assert!(dead.run(&words).is_none(), "'{command}' before change {at}");
        dead.set_trap(Trap::None);
        let place = format!("'{command}', killed before change {at}");
        for kept in ways(&dead) {
            let cut = dead.copy();
            let mut nth = 0;
            cut.power_cut(&mut |sector| {
                nth += 1;
                kept(nth - 1, sector)
            });
            seen.insert(settled(
                &cut,
                &[&before, &after],
                &format!("{place}, power cut"),
            ));
        }
        for half in [&[0, 2][..], &[1]] {
            apart(&dead, half, (&before, &after), &place);
        }
        seen.insert(settled(&dead, &[&before, &after], &place));
    }
    assert_eq!(seen.len(), 2, "{command}: both outcomes are seen");
}

/// What the groups are, which has to be allowed; also after repairs, of which the second does nothing.
#[track_caller]
fn settled(fake: &Fake, allowed: &[&String], place: &str) -> String {
    let stopped = |text: &str| text.replace("running true", "running false");
    let is_allowed = |now: &String| allowed.iter().any(|text| stopped(text) == stopped(now));
    let now = all(fake);
    assert!(
        is_allowed(&now),
        "{place}: it is\n{now}\nallowed is\n{allowed:#?}"
    );
    fake.ok("recover");
    let repaired = all(fake);
    assert_eq!(stopped(&repaired), stopped(&now), "{place}, repaired");
    let labels = labels(fake);
    fake.ok("recover");
    assert_eq!(labels, self::labels(fake), "{place}, repaired again");
    // Each disk is in one group by its own label.
    for group in groups(fake) {
        let own = labels
            .iter()
            .filter(|(_, of)| *of == Some(group.id.to_string()));
        assert_eq!(
            own.count(),
            group.disks.len(),
            "{place}: labels of '{}'",
            group.name
        );
    }
    stopped(&now)
}

/// The disk and the group that each label names.
fn labels(fake: &Fake) -> Vec<(String, Option<String>)> {
    let disks = fake.0.borrow().disks.len();
    let read = |at| {
        let media = crate::fake::disk::FakeMedia(fake.clone(), at);
        let label = breakoff::meta::read_disk(&media).unwrap().unwrap();
        let group = label.group().map(|id| id.to_string());
        (label.disk().to_string(), group)
    };
    (0..disks).map(read).collect()
}

/// Only these disks are there after the crash, as on another machine or with a cable out, and commands
/// work with them; then all are.
#[track_caller]
fn apart(dead: &Fake, half: &[usize], (before, after): (&String, &String), place: &str) {
    let fake = dead.copy();
    let plug = |these: &dyn Fn(usize) -> bool| {
        let mut state = fake.0.borrow_mut();
        for (at, disk) in state.disks.iter_mut().enumerate() {
            disk.unplugged = !these(at);
        }
    };
    fake.power_cut(&mut |sector| sector.versions);
    plug(&|at| half.contains(&at));
    let place = format!("{place}, then only disks {half:?}");
    fake.run(&Words::parse("start --auto")).unwrap().ok();
    fake.run(&Words::parse("recover")).unwrap().ok();
    // Whatever a disk is in, its label is not to be erased.
    for at in half {
        fake.refused(&format!("disk erase --force /dev/fake{}", at + 1));
    }
    // What is there is a part of one of the two.
    let names = |text: &str| -> BTreeSet<String> {
        let lines = text.lines().filter(|line| line.starts_with("volume"));
        lines
            .map(|line| line.split(' ').take(3).collect::<Vec<_>>().join(" "))
            .collect()
    };
    let here = names(&all(&fake));
    let possible = names(&(before.clone() + after));
    assert!(here.is_subset(&possible), "{place}: {here:?}");
    fake.power_cut(&mut |sector| sector.versions);
    plug(&|_| true);
    settled(&fake, &[before, after], &format!("{place}, then all"));
}

#[test]
fn what_lies_on_the_same_disks_goes_together() {
    let world = World::new("parted", 3, &PARTED);
    let list = |line: &str| match world.fake.copy().ok(line) {
        Outcome::Together(together) => together,
        other => panic!("{other:?}"),
    };
    let words = |names: &[breakoff::model::Name]| {
        names
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" ")
    };
    let together = list("group split g n s --list");
    assert_eq!(words(&together.disks), "disk02");
    assert_eq!(words(&together.volumes), "s");
    assert!(together.beyond.is_empty());
    // A disk that is named brings what is on it.
    assert_eq!(list("group split g n disk02 --list"), together);
    world.fake.ok("make x 8m --on disk02");
    world.fake.ok("mirror -b x --on disk03");
    sync(&world.fake);
    let together = list("group split g n s --list");
    assert_eq!(words(&together.disks), "disk02 disk03");
    assert_eq!(words(&together.volumes), "w s x");
    assert_eq!(words(&together.beyond), "w x disk03");
    let why = world.fake.refused("group split g n s");
    assert_eq!(why.kind(), Kind::InUse);
    assert!(why.message().contains("w, x, disk03"), "{why}");
    world.fake.ok("stop --all");
    world.fake.ok("group split g n s --expand");
    let names: Vec<String> = groups(&world.fake)
        .iter()
        .map(|g| format!("{} {} {}", g.name, g.disks.len(), g.volumes.len()))
        .collect();
    assert_eq!(
        names.iter().collect::<BTreeSet<_>>(),
        BTreeSet::from([&"g 1 1".to_owned(), &"n 2 3".to_owned()])
    );
}

#[test]
fn what_cannot_go_is_refused_and_nothing_is_changed() {
    let world = World::new("parted", 3, &PARTED);
    world.fake.ok("start s");
    let before = all(&world.fake);
    for (line, kind, word) in [
        (
            "group split g n nothing",
            Kind::NotFound,
            "neither a volume nor a disk",
        ),
        ("group split g g s", Kind::Exists, "there is a group 'g'"),
        ("group split g n v s w", Kind::Usage, "nothing would stay"),
        (
            "group split g n disk01 disk02 disk03",
            Kind::Usage,
            "nothing would stay",
        ),
        ("group move g nowhere s", Kind::NotFound, "nowhere"),
        ("group move g g s", Kind::Usage, "the one that gives"),
        ("group join nowhere g", Kind::NotFound, "nowhere"),
    ] {
        let why = world.fake.refused(line);
        assert_eq!(why.kind(), kind, "{line}: {why}");
        assert!(why.message().contains(word), "{line}: {why}");
    }
    assert_eq!(all(&world.fake), before);
    crate::fake::script::hold(&world.fake, "g-s");
    let why = world.fake.refused("group split g n s");
    assert_eq!(why.kind(), Kind::InUse, "{why}");
    crate::fake::script::release(&world.fake);
    world.fake.0.borrow_mut().disks[1].unplugged = true;
    let why = world.fake.refused("group split g n s");
    assert_eq!(why.kind(), Kind::Device, "{why}");
    world.fake.0.borrow_mut().disks[1].unplugged = false;
    assert_eq!(all(&world.fake), before);
}

#[test]
fn crash_points_of_a_split() {
    let world = World::new("parted", 3, &PARTED);
    crash(&world, "group split g n s");
    // A volume that runs is stopped for it, and runs again.
    world.fake.ok("start s");
    crash(&world, "group split g n s");
    crash(&world, "group split g n s --stopped");
    crash(&world, "group split g n disk03");
}

#[test]
fn crash_points_of_a_join() {
    let world = World::new("parted", 3, &PARTED);
    world.fake.ok("group split g n s --stopped");
    crash(&world, "group join n g");
    crash(&world, "group join g n --stopped");
}

#[test]
fn crash_points_of_a_move() {
    let world = World::new("parted", 3, &PARTED);
    world.fake.ok("group split g n disk03 --stopped");
    crash(&world, "group move g n s");
}

#[test]
fn a_snapshot_that_was_away_comes_back_with_what_has_changed() {
    let world = World::new("parted", 3, &PARTED);
    let whole = all(&world.fake);
    world.fake.ok("group split g n s");
    let group = |name: &str| {
        let mut groups = groups(&world.fake).into_iter();
        groups.find(|group| group.name.as_str() == name).unwrap()
    };
    let (here, there) = (group("g"), group("n"));
    let v = here
        .volumes
        .iter()
        .find(|v| v.name.as_str() == "v")
        .unwrap();
    assert!(matches!(v.away[0].origin.tracking, Tracking::Since(_)));
    assert!(v.live_dco().is_some());
    let s = &there.volumes[0];
    assert!(matches!(
        s.origin.as_ref().unwrap().tracking,
        Tracking::Since(_)
    ));
    // It cannot come back from there.
    let why = world.fake.refused("snapback s");
    assert!(why.message().contains("'g/v'"), "{why}");
    (0..24).for_each(|_| world.fake.0.borrow_mut().writers_write());
    world.fake.ok("group join n g --stopped");
    assert_eq!(all(&world.fake), whole);
    world.fake.ok("start s");
    world.fake.ok("snapback -b s");
    let copied = groups(&world.fake);
    let v = copied[0]
        .volumes
        .iter()
        .find(|v| v.name.as_str() == "v")
        .unwrap();
    assert!(v.returning.is_some(), "only what has changed is copied");
    sync(&world.fake);
}

#[test]
fn a_relation_that_was_ended_on_one_side_is_ended_on_both() {
    for (clear, group) in [("snapclear s", "n"), ("snapclear v", "g")] {
        let world = World::new("parted", 3, &PARTED);
        world.fake.ok("group split g n s --stopped");
        world.fake.ok(&format!("-g {group} {clear}"));
        world.fake.ok("group join n g --stopped");
        let now = groups(&world.fake);
        let related = now[0]
            .volumes
            .iter()
            .any(|v| v.origin.is_some() || !v.away.is_empty());
        assert!(!related, "{clear}: {}", all(&world.fake));
        // The next change has no use for the maps.
        world.fake.ok("rename w x");
        let tracked = groups(&world.fake)[0]
            .volumes
            .iter()
            .any(|v| v.dco.is_some());
        assert!(!tracked, "{clear}");
    }
}

/// Tracking goes on when a snapshot's disk is missing at one start.
#[test]
fn a_volume_that_cannot_be_started_loses_nothing() {
    let world = World::new("parted", 3, &PARTED);
    let before = all(&world.fake);
    let plug = |is_here: bool| world.fake.0.borrow_mut().disks[1].unplugged = !is_here;
    world.fake.power_cut(&mut |sector| sector.versions);
    plug(false);
    world.fake.ok("start --auto");
    world.fake.run(&Words::parse("start --all")).unwrap().ok();
    assert!(world.fake.refused("start s").message().contains("disk02"));
    plug(true);
    assert_eq!(all(&world.fake), before);
}

#[test]
fn a_media_name_that_is_taken_is_changed_and_a_volume_name_refused() {
    let fake = Fake::new(&[64; 4]);
    fake.ok("group create a /dev/fake1 /dev/fake2");
    fake.ok("group create b /dev/fake3 b-disk01=/dev/fake4");
    fake.ok("-g a make v 4m --on disk01");
    fake.ok("-g b make v 4m --on disk01");
    let why = fake.refused("group join b a");
    assert_eq!(why.kind(), Kind::Exists);
    assert!(why.message().ends_with("itself: volume 'v'"), "{why}");
    fake.ok("-g b rename v w");
    fake.ok("group join b a");
    let joined = groups(&fake);
    let media: Vec<String> = joined[0]
        .disks
        .iter()
        .map(|d| d.media.to_string())
        .collect();
    assert_eq!(media, ["disk01", "disk02", "disk03", "b-disk01"]);
    let plexes: Vec<String> = joined[0]
        .volumes
        .iter()
        .flat_map(|volume| &volume.plexes)
        .map(|plex| plex.name.to_string())
        .collect();
    assert_eq!(plexes, ["v-01", "w-01"]);
}

/// A disk that has got another label has not appeared.
#[test]
fn what_was_stopped_is_not_started_by_hot_plug() {
    let world = World::new("parted", 3, &PARTED);
    let running = |fake: &Fake| -> Vec<String> {
        let volumes = groups(fake).into_iter().flat_map(|group| group.volumes);
        let mut names: Vec<String> = volumes
            .filter(|volume| volume.running.is_some())
            .map(|volume| volume.name.to_string())
            .collect();
        names.sort();
        names
    };
    let run = tempfile::tempdir().unwrap();
    world.fake.0.borrow_mut().hotplug_dir = Some(run.path().join("hotplug"));
    world.fake.ok("start --auto --appeared");
    world.fake.ok("stop s");
    for line in ["group split g n s --stopped", "group join n g --stopped"] {
        world.fake.ok(line);
        world.fake.ok("start --auto --appeared");
        assert_eq!(running(&world.fake), ["v", "w"], "{line}");
    }
}
