//! Groups of which not all disks are here, or whose disks went on apart from each other.

use crate::fake::script::World;
use crate::fake::{Fake, Trap, Words};
use breakoff::error::{Error, Kind};
use breakoff::model::Tracking;
use std::collections::BTreeMap;

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

/// Four disks, each with a volume, and three blank ones. The first three went on without the fourth
/// and made `new`.
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
        assert_eq!(
            refused(&machine, &format!("--dry-run {text}")).kind(),
            Kind::Unsafe,
            "{text}"
        );
    }
    assert_eq!(machine.group(), before);
    let blank = |at: usize| {
        breakoff::meta::read_disk(&crate::fake::disk::FakeMedia(machine.clone(), at))
            .expect("it can be read")
            .is_none()
    };
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

/// All histories of three disks: which of them are connected, what is written, and where that is
/// cut short.
mod model {
    use crate::meta_common::*;
    use breakoff::meta::{self, Digest, Stamp};
    use breakoff::model::{Generation, Group, GroupId};
    use std::collections::{BTreeMap, BTreeSet};

    const DISKS: usize = 3;

    /// What really happened.
    #[derive(Clone, Default)]
    struct Truth {
        /// Of each configuration all that it goes on from, itself included.
        ancestry: BTreeMap<Digest, BTreeSet<Digest>>,
        /// Those that came to their end, so that somebody relies on them.
        told: BTreeSet<Digest>,
    }

    #[derive(Clone)]
    struct Disks {
        group: Group,
        raw: Vec<Vec<u8>>,
        truth: Truth,
        /// What was written: by which disks, and how many of them it reached.
        steps: Vec<(Vec<usize>, usize)>,
    }

    impl Disks {
        fn new() -> Disks {
            let rams: Vec<Ram> = (0..DISKS).map(|_| fresh()).collect();
            let group = group_on(&rams);
            // Behind the area nothing is read or written.
            let raw = rams
                .iter()
                .map(|ram| ram.get(0, AREA.bytes() as usize))
                .collect();
            let mut disks = Disks {
                group,
                raw,
                truth: Truth::default(),
                steps: Vec::new(),
            };
            assert!(disks.write(&[0, 1, 2], DISKS, "first"));
            disks
        }

        fn id(&self) -> GroupId {
            self.group.id
        }

        fn rams(&self, here: &[usize]) -> Vec<Ram> {
            here.iter()
                .map(|at| Ram::front(self.raw[*at].clone(), 8 << 20))
                .collect()
        }

        fn choose(&self, here: &[usize]) -> breakoff::error::Result<meta::Chosen> {
            choose(self.id(), &self.rams(here))
        }

        /// A commit of these disks that reaches the first so many of them; whether it was possible.
        fn write(&mut self, here: &[usize], reached: usize, volume: &str) -> bool {
            self.steps.push((here.to_vec(), reached));
            let rams = self.rams(here);
            let (group, next, lineage, from) = match choose(self.id(), &rams) {
                Ok(chosen) => (
                    chosen.group.clone(),
                    chosen.next,
                    chosen.lineage,
                    chosen_stamp(&rams, &chosen.group, chosen.generation),
                ),
                Err(_) if self.truth.ancestry.is_empty() => (
                    self.group.clone(),
                    Generation::new(1),
                    meta::Lineage::default(),
                    None,
                ),
                Err(_) => return false,
            };
            let group = with_volume(&group, &format!("{volume}-{}", next.get()));
            let mut members = members(&rams);
            let mut prepared = meta::prepare(&mut members, &group, next, &lineage).unwrap();
            rams[reached..].iter().for_each(|ram| {
                ram.fail(Faults {
                    writes: true,
                    ..Faults::default()
                });
            });
            prepared.flip();
            drop(prepared);
            rams.iter().for_each(|ram| ram.fail(Faults::default()));
            for (at, ram) in here.iter().zip(&rams) {
                self.raw[*at] = ram.data();
            }
            let Some(stamp) = rams.iter().take(reached).map(newest).next() else {
                return true;
            };
            let mut ancestry = from
                .and_then(|from: Stamp| self.truth.ancestry.get(&from.digest).cloned())
                .unwrap_or_default();
            ancestry.insert(stamp.digest);
            self.truth.ancestry.insert(stamp.digest, ancestry);
            if reached == here.len() {
                self.truth.told.insert(stamp.digest);
            }
            // Who finds what came to no end goes on with it, and whoever is told of the one is told
            // of the other.
            true
        }

        /// What these disks hold is in what is chosen, or they are refused.
        fn loses_nothing(&self, here: &[usize]) {
            let Ok(chosen) = self.choose(here) else {
                return;
            };
            let rams = self.rams(here);
            let stamp = chosen_stamp(&rams, &chosen.group, chosen.generation).unwrap();
            let known = &self.truth.ancestry[&stamp.digest];
            for ram in &rams {
                let relied_on = self.truth.ancestry[&newest(ram).digest]
                    .iter()
                    .filter(|digest| self.truth.told.contains(digest));
                for digest in relied_on {
                    assert!(
                        known.contains(digest),
                        "generation {} does not know {digest}",
                        chosen.generation
                    );
                }
            }
        }
    }

    fn newest(ram: &Ram) -> Stamp {
        label(ram).copies()[0].stamp()
    }

    fn chosen_stamp(rams: &[Ram], group: &Group, generation: Generation) -> Option<Stamp> {
        let copies: Vec<_> = rams
            .iter()
            .flat_map(|ram| label(ram).copies().to_vec())
            .collect();
        let is_it = |copy: &&meta::Copy| {
            copy.generation() == generation && copy.decode(group.id).is_ok_and(|g| g == *group)
        };
        copies.iter().find(is_it).map(meta::Copy::stamp)
    }

    fn subsets() -> Vec<Vec<usize>> {
        (1..1usize << DISKS)
            .map(|bits| (0..DISKS).filter(|at| bits >> at & 1 == 1).collect())
            .collect()
    }

    /// All of them: they take some seconds, and a sample of them is now larger and now smaller.
    fn explore(disks: &Disks, depth: usize, least: usize, visit: &mut dyn FnMut(&Disks)) {
        visit(disks);
        if depth == 0 {
            return;
        }
        for here in subsets().into_iter().filter(|here| here.len() >= least) {
            for reached in 0..=here.len() {
                let mut next = disks.clone();
                if next.write(&here, reached, "v") {
                    explore(&next, depth - 1, least, visit);
                }
            }
        }
    }

    #[test]
    fn parts_that_went_on_apart_lose_nothing_without_a_word() {
        let (mut states, mut refused) = (0, 0);
        explore(&Disks::new(), 3, 1, &mut |disks| {
            states += 1;
            for here in subsets() {
                disks.loses_nothing(&here);
                refused += usize::from(disks.choose(&here).is_err());
            }
        });
        println!("{states} states, {refused} refusals");
        assert!(states > 7000 && refused > 1500);
    }

    #[test]
    fn majorities_never_went_apart() {
        let mut states = 0;
        explore(&Disks::new(), 3, 2, &mut |disks| {
            states += 1;
            if let Err(error) = disks.choose(&[0, 1, 2]) {
                panic!("refused: {error}");
            }
        });
        assert!(states > 300, "{states}");
    }
}

/// A mirror on two disks that were used apart from each other: the first for a while, the second
/// for longer.
fn two_parts() -> Fake {
    let machine = Fake::new(&[64; 2]);
    machine.ok("group create g /dev/fake1 /dev/fake2");
    machine.ok("make v 8m");
    machine.ok("stop --all");
    connect(&machine, &[1]);
    machine.ok("group import g --force");
    machine.ok("make left 8m");
    machine.ok("stop --all");
    connect(&machine, &[2]);
    machine.ok("group import g --force");
    for n in 1..=4 {
        machine.ok(&format!("make right{n} 4m"));
    }
    machine.ok("stop --all");
    connect(&machine, &[1, 2]);
    machine
}

#[test]
fn parts_of_different_length_are_refused_and_the_one_that_is_chosen_wins_for_good() {
    for (side, kept, other) in [
        ("/dev/fake1", "left", "right1"),
        ("/dev/fake2", "right1", "left"),
    ] {
        let machine = two_parts();
        for text in [
            "start --all",
            "-g g make x 4m",
            "group import g --force",
            "-g g remove v",
        ] {
            let error = refused(&machine, text);
            assert_eq!(error.kind(), Kind::Unsafe, "{text}: {error}");
            assert!(
                ["/dev/fake1", "/dev/fake2", "left", "right1"]
                    .iter()
                    .all(|what| error.message().contains(what)),
                "{error}"
            );
        }
        machine.ok(&format!("group choose g {side}"));
        let names = volumes(&machine);
        assert!(
            names.contains(&kept.to_owned()) && !names.contains(&other.to_owned()),
            "{names:?}"
        );
        machine.ok("make more 4m");
        // There is nothing to choose any more.
        assert_eq!(volumes(&machine).len(), names.len() + 1);
    }
}

/// What a configuration says of equality and of changes is not true of contents that another side
/// has written.
#[test]
fn what_the_other_side_wrote_is_tracked_by_no_map_and_equal_to_nothing() {
    let world = World::new(
        "sides",
        2,
        &[
            "group create g /dev/fake1 /dev/fake2",
            "make v 8m --on disk01",
            "snapstart -b --on disk02 v",
            "sync",
            "snapshot v --name s",
            "make w 4m --on disk02",
            "snapstart -b --on disk01 w",
            "sync",
            "stop --all",
        ],
    );
    let machine = world.fake;
    let tracked = |machine: &Fake| {
        let (group, _) = machine.group().expect("a group");
        let volume = |name: &str| {
            group
                .volumes
                .iter()
                .find(|v| v.name.as_str() == name)
                .expect("the volume")
                .clone()
        };
        let is_tracked = volume("s")
            .origin
            .is_some_and(|origin| matches!(origin.tracking, Tracking::Since(_)));
        (is_tracked, volume("w").is_synced())
    };
    assert_eq!(tracked(&machine), (true, true));
    for (here, name) in [(1, "left"), (2, "right")] {
        connect(&machine, &[here]);
        machine.ok("group import g --force");
        machine.ok(&format!("make {name} 4m"));
        machine.ok("stop --all");
    }
    connect(&machine, &[1, 2]);
    machine.ok("group choose g /dev/fake1");
    assert_eq!(tracked(&machine), (false, false));
}

/// A plex on the other side's disk is filled when its volume is started: it is not waited for.
#[test]
fn a_choice_waits_for_no_copy() {
    let machine = Fake::new(&[64; 2]);
    machine.ok("group create g /dev/fake1 /dev/fake2");
    machine.ok("make v 8m --mirrors 2");
    crate::fake::script::sync(&machine);
    machine.ok("stop --all");
    for here in [1, 2] {
        connect(&machine, &[here]);
        machine.ok("group import g --force");
        machine.ok(&format!("make w{here} 4m --on disk0{here}"));
        machine.ok("stop --all");
    }
    connect(&machine, &[1, 2]);
    machine.ok("--timeout 1 group choose g /dev/fake1");
    let plexes = machine.group().unwrap().0.volumes[0].plexes.clone();
    assert!(plexes.iter().any(|plex| plex.state.is_attaching()));
}

#[test]
fn a_side_is_chosen_only_on_purpose_by_its_name_and_not_under_what_runs() {
    let machine = two_parts();
    let error = refused(&machine, "start --all");
    let sides: Vec<&str> = error
        .message()
        .split("side ")
        .skip(1)
        .filter_map(|rest| rest.split(' ').next())
        .collect();
    assert_eq!(sides.len(), 2, "{error}");
    for side in ["/dev/fake3", "zz", ""] {
        assert_eq!(
            refused(&machine, &format!("group choose g '{side}'")).kind(),
            Kind::NotFound,
            "{side}"
        );
    }
    machine.ok(&format!("--dry-run group choose g {}", sides[0]));
    assert_eq!(
        refused(&machine, "start --all").message(),
        error.message(),
        "a dry run chooses nothing"
    );

    // The one that runs is the one that can be chosen.
    connect(&machine, &[1]);
    machine.ok("start v");
    connect(&machine, &[1, 2]);
    assert_eq!(
        refused(&machine, "group choose g /dev/fake2").kind(),
        Kind::InUse
    );
    machine.ok("group choose g /dev/fake1");
    assert!(volumes(&machine).contains(&"left".to_owned()));
    machine.ok("group choose g /dev/fake1");
}

/// A disk on which older contents were put back goes on apart from the others, although all changes
/// were meant for both.
#[test]
fn contents_that_were_put_back_are_no_unfinished_change() {
    for changes in 1..=3 {
        let machine = Fake::new(&[64; 2]);
        machine.ok("group create g /dev/fake1 /dev/fake2");
        machine.ok("stop --all");
        let common = machine.0.borrow().disks.clone();
        let history = |name: &str| {
            machine.0.borrow_mut().disks = common.clone();
            (0..changes).for_each(|n| drop(machine.ok(&format!("make {name}{n} 1m"))));
            machine.ok("stop --all");
            machine.0.borrow().disks.clone()
        };
        let (one, other) = (history("x"), history("y"));
        machine.0.borrow_mut().disks = vec![one[0].clone(), other[1].clone()];
        let error = refused(&machine, "start --all");
        assert!(
            error.kind() == Kind::Unsafe
                && ["x0", "y0"]
                    .iter()
                    .all(|name| error.message().contains(name)),
            "{error}"
        );
    }
}

// ------------------------------------------------------------------------------------- the witness

/// A machine that remembers what it has seen.
fn with_witness(disks: &[u32]) -> (Fake, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a directory");
    let machine = Fake::new(disks);
    machine.0.borrow_mut().witness_dir = Some(dir.path().to_owned());
    (machine, dir)
}

/// Two disks with a volume on each.
fn halves(machine: &Fake) {
    machine.ok("group create g /dev/fake1 /dev/fake2");
    machine.ok("make v1 8m --on disk01");
    machine.ok("make v2 8m --on disk02");
    machine.ok("stop --all");
}

#[test]
fn half_of_a_group_starts_when_it_is_what_ran_here_last() {
    let (machine, _dir) = with_witness(&[64; 2]);
    halves(&machine);
    connect(&machine, &[1]);
    machine.ok("start v1");
    machine.ok("make x 4m");
    machine.ok("stop --all");
    // The other half has missed that.
    connect(&machine, &[2]);
    let before = machine.group();
    for text in ["start v2", "make y 4m", "group deport g", "start v2"] {
        let error = refused(&machine, text);
        assert_eq!(error.kind(), Kind::Unsafe, "{text}: {error}");
        assert!(
            error.message().contains("this machine has seen generation"),
            "{error}"
        );
    }
    assert_eq!(machine.group(), before, "nothing is written");
    connect(&machine, &[1, 2]);
    machine.ok("start --all");
    assert_eq!(volumes(&machine), ["v1", "v2", "x"]);
}

#[test]
fn a_refused_command_is_no_witness() {
    let (machine, _dir) = with_witness(&[64; 2]);
    let witness_dir = machine.0.borrow_mut().witness_dir.take();
    halves(&machine);
    machine.0.borrow_mut().witness_dir = witness_dir;
    connect(&machine, &[1]);
    for _ in 0..3 {
        assert_eq!(refused(&machine, "start v1").kind(), Kind::Unsafe);
    }
    // Whoever insists says what is in force.
    machine.ok("group import g --force");
    machine.ok("start v1");
}

/// A side that was not chosen in the end is not what this machine has seen in force.
#[test]
fn only_the_side_that_was_chosen_is_witnessed() {
    let machine = two_parts();
    let dir = tempfile::tempdir().expect("a directory");
    let noted = || -> BTreeMap<_, _> {
        let files = std::fs::read_dir(dir.path()).expect("the witness");
        let files = files.map(|file| file.expect("an entry").path());
        files
            .map(|file| {
                (
                    file.clone(),
                    std::fs::read_to_string(&file).expect("a note"),
                )
            })
            .collect()
    };
    machine.0.borrow_mut().witness_dir = Some(dir.path().to_owned());
    connect(&machine, &[2]);
    machine.ok("make right5 4m");
    machine.ok("stop --all");
    connect(&machine, &[1, 2]);
    let right = noted();
    assert!(!right.is_empty());

    let choose = Words::parse("group choose g /dev/fake1");
    let unconfirmed = machine.run(&choose.clone().unconfirmed());
    let error = unconfirmed.expect("it lives").expect_err("not confirmed");
    assert_eq!(error.kind(), Kind::Unsafe, "{error}");
    assert_eq!(noted(), right, "the administrator said no");
    // Nor if no disk takes the configuration, so that none can have become the newest.
    let whole = machine.copy();
    whole.set_trap(Trap::None);
    whole.0.borrow_mut().witness_dir = None;
    whole.ok(&choose.text);
    let calls = whole.0.borrow().calls;
    let mut unwritten = 0;
    for at in 1..=calls {
        let failing = machine.copy();
        failing.set_trap(Trap::FailFrom(at));
        let error = failing.run(&choose).expect("it lives").err();
        if error.is_some_and(|error| error.message().contains("cannot be written")) {
            unwritten += 1;
            assert_eq!(noted(), right, "all calls fail from {at} on");
        } else {
            for (file, text) in &right {
                std::fs::write(file, text).expect("the note as it was");
            }
        }
    }
    assert_ne!(unwritten, 0);
    machine.ok(&choose.text);
    assert_ne!(noted(), right);
}

#[test]
fn a_majority_that_this_machine_went_on_without_is_old() {
    for remembers in [true, false] {
        let (machine, _dir) = with_witness(&[64; 3]);
        machine.ok("group create g /dev/fake1 /dev/fake2 /dev/fake3");
        for n in 1..=3 {
            machine.ok(&format!("make v{n} 8m --on disk0{n}"));
        }
        machine.ok("stop v2 v3");
        // What runs goes on, whatever is missing.
        connect(&machine, &[1]);
        machine.ok("make new 4m");
        machine.ok("stop --all");
        connect(&machine, &[2, 3]);
        if !remembers {
            machine.0.borrow_mut().witness_dir = None;
            machine.ok("start v2");
            continue;
        }
        let error = refused(&machine, "start v2");
        assert!(
            error.kind() == Kind::Unsafe
                && error.message().contains("this machine has seen generation"),
            "{error}"
        );
        connect(&machine, &[1, 2, 3]);
        machine.ok("start --all");
        assert_eq!(volumes(&machine), ["v1", "v2", "v3", "new"]);
    }
}

#[test]
fn of_two_sides_it_is_said_which_one_this_machine_had_last() {
    let (machine, _dir) = with_witness(&[64; 2]);
    halves(&machine);
    connect(&machine, &[1]);
    machine.ok("make left 8m");
    machine.ok("stop --all");
    // The other one goes on elsewhere.
    let witness_dir = machine.0.borrow_mut().witness_dir.take();
    connect(&machine, &[2]);
    machine.ok("group import g --force");
    machine.ok("make right1 4m");
    machine.ok("make right2 4m");
    machine.ok("stop --all");
    machine.0.borrow_mut().witness_dir = witness_dir;
    connect(&machine, &[1, 2]);
    let error = refused(&machine, "start --all");
    let message = error.message();
    let (left, right) = message
        .split_once("side ")
        .and_then(|(_, sides)| sides.split_once("side "))
        .expect("two sides");
    let (own, other) = if left.contains("/dev/fake1") {
        (left, right)
    } else {
        (right, left)
    };
    assert!(
        own.contains("this machine had it last") && !other.contains("this machine had it last"),
        "{message}"
    );
    machine.ok("group choose g /dev/fake1");
    assert!(volumes(&machine).contains(&"left".to_owned()));
}

/// A command or a repair that the machine goes down in, before any of its changes: the half that
/// starts by itself afterwards is one without which nothing was done.
#[test]
fn after_a_crash_no_half_starts_without_what_was_done_on_the_other_one() {
    for (words, dies) in [
        ("make x 4m", None),
        ("stop v", None),
        ("plex detach v-02", None),
        ("recover", Some(1)),
        ("recover", Some(0)),
    ] {
        let mut started = [0, 0];
        let mut refusals = [0, 0];
        for at in 1..1000 {
            let mut finished = false;
            for half in [0, 1] {
                let (machine, _dir) = with_witness(&[64; 2]);
                machine.ok("group create g /dev/fake1 /dev/fake2");
                machine.ok("make v 8m --mirrors 2");
                while machine.0.borrow_mut().tick() {}
                machine.ok("recover");
                if let Some(disk) = dies {
                    machine.0.borrow_mut().disks[disk].dead = true;
                    let (group, _) = machine.group().expect("a group");
                    machine.0.borrow_mut().know_volumes(&group);
                    (0..8).for_each(|_| machine.0.borrow_mut().writers_write());
                }
                machine.set_trap(Trap::Kill(at));
                finished = machine.run(&Words::parse(words)).is_some();
                machine.set_trap(Trap::None);
                machine.power_cut(&mut |_| 0);
                machine
                    .0
                    .borrow_mut()
                    .disks
                    .iter_mut()
                    .for_each(|disk| disk.dead = false);
                let generations = [1, 2].map(|disk| {
                    connect(&machine, &[disk]);
                    machine.group().expect("a group").1
                });
                connect(&machine, &[half + 1]);
                match machine.run(&Words::parse("start v")) {
                    Some(Ok(_)) => {
                        started[half] += 1;
                        assert!(
                            generations[half] == generations[0].max(generations[1]),
                            "'{words}' {at}, half {half}: {generations:?}"
                        );
                    }
                    Some(Err(error)) => {
                        refusals[half] += 1;
                        assert!(
                            matches!(error.kind(), Kind::Unsafe | Kind::Device),
                            "{error}"
                        );
                    }
                    None => panic!("'start v' was killed"),
                }
            }
            if finished {
                break;
            }
        }
        println!("'{words}': started {started:?}, refused {refusals:?}");
        let without = dies.unwrap_or(0);
        assert!(
            started.iter().sum::<usize>() > 5 && refusals[without] > 1,
            "'{words}': started {started:?}, refused {refusals:?}"
        );
    }
}
