//! `verify`, on the machine in memory: what it compares and finds, and that it leaves nothing behind.

#![allow(clippy::single_range_in_vec_init)] // lists of pieces

use crate::fake::data::sector_with;
use crate::fake::script::{World, sync};
use crate::fake::{Fake, Trap, Words};
use breakoff::app::{Outcome, Pair, Verified};
use breakoff::error::{Error, Kind};
use breakoff::model::{Plex, Sectors};
use breakoff::report::{json, text};
use breakoff::sys::filesystem::Filesystem;

/// A mirror `v` of 8 MiB in two pieces on one side, and nobody who writes to it.
fn mirror() -> Fake {
    let script = [
        "group create g /dev/fake1 /dev/fake2 /dev/fake3",
        "make v 4m --on disk01",
        "make gap 1m --on disk01",
        "grow v 8m --on disk01",
        "mirror -b v --on disk02",
        "sync",
        "print",
    ];
    let fake = World::new("verify", 3, &script).fake;
    fake.0.borrow_mut().data.quiet = true;
    fake
}

/// The disk and the sector there at which a sector of a volume lies on a plex.
fn place(fake: &Fake, volume: &str, plex: usize, sector: u64) -> (usize, u64) {
    let (group, _) = fake.group().unwrap();
    let volume = group.volumes.iter().find(|v| v.name.as_str() == volume);
    let plexes: Vec<&Plex> = volume.unwrap().complete();
    let mut pieces = plexes[plex].layout();
    let inside = |(at, extent): &(Sectors, &breakoff::model::Extent)| {
        (at.get()..at.get() + extent.length.get()).contains(&sector)
    };
    let (at, extent) = pieces.find(inside).unwrap();
    let disk = group.disk(extent.disk).unwrap();
    let number = fake.0.borrow().disk_of(disk.id).unwrap();
    let begins = disk.data_start.get() + extent.start.get();
    (number, begins + sector - at.get())
}

/// Somebody writes to a disk past everything.
fn damage(fake: &Fake, volume: &str, plex: usize, sectors: std::ops::Range<u64>) {
    for sector in sectors {
        let (disk, at) = place(fake, volume, plex, sector);
        fake.0.borrow_mut().disks[disk].write_through(at, sector_with(sector + 1));
    }
}

/// What was found, and what is wrong.
fn verify(fake: &Fake, words: &str) -> (Vec<Verified>, Vec<Error>) {
    match fake.ok(words) {
        Outcome::Verified(found) => (found, Vec::new()),
        Outcome::Lacking(found, wrong) => match *found {
            Outcome::Verified(found) => (found, wrong),
            other => panic!("{words}: {other:?}"),
        },
        other => panic!("{words}: {other:?}"),
    }
}

fn refused(fake: &Fake, words: &str) -> Error {
    fake.run(&Words::parse(words)).unwrap().unwrap_err()
}

/// Offset and length of what differs, in sectors.
fn differing(pair: &Pair) -> Vec<(u64, u64)> {
    let range = |d: &breakoff::app::Differing| (d.range().start, d.range().end - d.range().start);
    pair.differing.iter().map(range).collect()
}

#[test]
fn plexes_that_are_equal_are_found_to_be() {
    let fake = mirror();
    let before = fake.0.borrow().changes;
    let (found, wrong) = verify(&fake, "verify v");
    assert_eq!(wrong, []);
    assert_eq!(fake.0.borrow().changes, before, "something was changed");
    let [pair] = found[0].pairs.as_slice() else {
        panic!("{found:?}")
    };
    assert_eq!(pair.compared, Sectors::mib(8));
    let outcome = fake.ok("verify v");
    assert_eq!(
        text::outcome(&outcome, false),
        "g/v: v-01 and v-02: equal, 8m compared\n"
    );
    let Outcome::Planned(plan) = fake.ok("--dry-run verify v") else {
        panic!("no plan")
    };
    assert_eq!(
        plan.notes,
        ["reads 8m of each of the plexes 'v-01', 'v-02' and compares them (g/v)"]
    );
}

#[test]
fn what_differs_is_listed_with_its_places() {
    let fake = mirror();
    damage(&fake, "v", 1, 100..101);
    // Over the border of two pieces of the first plex.
    damage(&fake, "v", 1, 8184..8200);
    let (found, wrong) = verify(&fake, "verify v");
    assert_eq!(
        differing(&found[0].pairs[0]),
        [(96, 8), (8184, 8), (8192, 8)]
    );
    assert_eq!(wrong.len(), 1);
    assert_eq!(wrong[0].kind(), Kind::Failed);
    assert_eq!(
        wrong[0].message(),
        "plexes 'v-01' and 'v-02' of 'g/v' differ in 12k"
    );
    let pieces =
        [(0, 96), (1, 96), (0, 8192), (1, 8192)].map(|(p, s)| place(&fake, "v", p, s).1 * 512);
    let told = text::outcome(&Outcome::Verified(found.clone()), false);
    let [first, second, third, fourth] = pieces;
    let lines: Vec<Vec<&str>> = told
        .lines()
        .map(|l| l.split_whitespace().collect())
        .collect();
    let row = |offset: &str, one: u64, other: u64| -> Vec<String> {
        vec![
            offset.to_owned(),
            "4096".to_owned(),
            format!("disk01+{one}"),
            format!("disk02+{other}"),
            "differs;".to_owned(),
            "zeros".to_owned(),
            "on".to_owned(),
            "disk01".to_owned(),
        ]
    };
    assert_eq!(lines[2], row("49152", first, second), "{told}");
    // A writer was here before.
    assert_eq!(lines[4][..4], row("4194304", third, fourth)[..4], "{told}");
    let document = json::success(Some("verify"), &Outcome::Verified(found)).unwrap();
    assert!(
        document.contains(&format!(
            r#""differing":[{{"offset":49152,"length":4096,"perhaps_discarded":false,"in_use":null,"proven":true,"places":[{{"plex":"v-01","media":"disk01","device":"/dev/fake1","disk_offset":{first},"zeros":true}},{{"plex":"v-02","media":"disk02","device":"/dev/fake2","disk_offset":{second},"zeros":false}}]}}"#
        )),
        "{document}"
    );
    // Nothing is left suspended, and the volume works.
    assert!(
        !fake
            .0
            .borrow()
            .dm
            .all()
            .any(|d| fake.0.borrow().dm.is_suspended(d.minor))
    );
}

#[test]
fn after_a_discard_plexes_may_differ() {
    let fake = mirror();
    damage(&fake, "v", 0, 0..8);
    fake.0.borrow_mut().discards = true;
    let (found, wrong) = verify(&fake, "verify v");
    assert!(found[0].pairs[0].differing[0].perhaps_discarded);
    assert_eq!(
        wrong[0].message(),
        "plexes 'v-01' and 'v-02' of 'g/v' differ in 4k (4k of it where a disk takes discards, after which this is allowed)"
    );
}

/// What no file uses may differ after a discard; what one uses may not.
#[test]
fn what_the_filesystem_does_not_use_may_differ_after_a_discard() {
    let fake = mirror();
    damage(&fake, "v", 1, 803..804);
    damage(&fake, "v", 1, 4000..4008);
    fake.0.borrow_mut().filesystem = Some(Filesystem {
        kind: "ext4".to_owned(),
        mounted: Some("/mnt".into()),
        is_elsewhere: false,
    });
    // A filesystem with blocks of 1 KiB: what differs of the first 4 KiB is in the second one.
    fake.0.borrow_mut().unused = vec![802..4096];
    let (found, wrong) = verify(&fake, "verify v");
    let uses = |found: &[Verified]| -> Vec<Option<bool>> {
        let differing = found[0].pairs[0].differing.iter();
        differing.map(|d| d.in_use).collect()
    };
    assert_eq!(uses(&found), [Some(false), Some(false)]);
    assert_eq!(wrong.len(), 1, "no disk takes discards");
    fake.0.borrow_mut().discards = true;
    let outcome = fake.ok("verify v");
    let told = text::outcome(&outcome, false);
    assert!(
        told.starts_with(
            "g/v: v-01 and v-02: equal (but 8k that are not in use and perhaps discarded), 8m compared"
        ),
        "{told}"
    );
    assert!(matches!(outcome, Outcome::Verified(_)), "{outcome:?}");
    fake.0.borrow_mut().unused = vec![802..4004];
    let (found, wrong) = verify(&fake, "verify v");
    assert_eq!(uses(&found), [Some(false), Some(true)]);
    assert!(
        wrong[0].message().contains("differ in 4k (4k of it"),
        "{wrong:?}"
    );
}

/// A write that is on its way to one plex longer than anybody looks again is told from a difference
/// by the look at rest.
#[test]
fn what_is_being_written_is_no_difference() {
    for (times, rests) in [(1, 0), (4, 0), (5, 1)] {
        let fake = mirror();
        let at = place(&fake, "v", 1, 5000);
        fake.0.borrow_mut().flickers.insert(at, times);
        fake.0.borrow_mut().trace = Some(Vec::new());
        let (found, wrong) = verify(&fake, "verify v");
        assert_eq!(wrong, []);
        assert_eq!(differing(&found[0].pairs[0]), []);
        let state = fake.0.borrow();
        let suspends = state
            .trace
            .iter()
            .flatten()
            .filter(|what| what.starts_with("suspend "));
        assert_eq!(suspends.count(), rests, "{times} times");
        assert_eq!(state.flickers[&at], 0);
    }
}

#[test]
fn what_cannot_be_read_is_named_and_the_rest_is_compared() {
    let fake = mirror();
    let (disk, at) = place(&fake, "v", 1, 4096);
    fake.0.borrow_mut().disks[disk].bad.push(at..at + 1);
    damage(&fake, "v", 1, 4096 + 128..4096 + 129);
    let (found, wrong) = verify(&fake, "verify v");
    let pair = &found[0].pairs[0];
    let [(plex, lost)] = pair.unread.as_slice() else {
        panic!("{pair:?}")
    };
    assert_eq!(
        (plex.as_str(), lost.range.clone(), lost.begins),
        ("v-02", 4096..4224, at)
    );
    assert_eq!(differing(pair), [(4224, 8)]);
    assert_eq!(
        pair.compared,
        Sectors::mib(8).saturating_sub(Sectors::of(128))
    );
    let kinds: Vec<Kind> = wrong.iter().map(Error::kind).collect();
    assert_eq!(kinds, [Kind::Failed, Kind::Device]);
    assert_eq!(
        wrong[1].message(),
        "64k of 'g/v' cannot be read on disk 'disk02' (/dev/fake2)"
    );
}

#[test]
fn what_cannot_be_compared_is_refused_with_the_reason() {
    let script = [
        "group create g /dev/fake1 /dev/fake2 /dev/fake3",
        "make one 4m",
        "make two 4m --mirrors 2",
        "make off 4m --fast-resync off",
        "snapstart -b off",
        "sync",
        "snapshot off --name s",
    ];
    let fake = World::new("verify refusals", 3, &script).fake;
    let says = |words: &str, message: &str| {
        let error = refused(&fake, words);
        assert_eq!(
            (error.kind(), error.message()),
            (Kind::NotReady, message),
            "{words}"
        );
    };
    says(
        "verify one",
        "'g/one' has one complete plex, and nothing to compare it with",
    );
    says(
        "verify s",
        "'g/s' cannot be compared with its original: what has changed since the split is not known: fast-resync is or was off",
    );
    assert_eq!(refused(&fake, "verify nosuch").kind(), Kind::NotFound);
    fake.ok("make three 4m --mirrors 2");
    says(
        "verify three",
        "the plexes of 'g/three' are being made equal",
    );
    // Of several volumes those that can be are compared.
    let (found, wrong) = verify(&fake, "verify two one");
    assert_eq!((found.len(), wrong.len()), (1, 1));
    // A stopped volume can be compared, one that a crash has left cannot.
    fake.ok("stop two");
    assert_eq!(verify(&fake, "verify two").1, []);
    fake.ok("start two");
    fake.power_cut(&mut |_| 0);
    says(
        "verify two",
        "the machine went down while 'g/two' was in use, so its plexes may differ by right",
    );
}

/// The proof that a map of changes is right: outside of it a snapshot and its original are equal.
#[test]
fn a_snapshot_is_compared_outside_of_what_was_written_since() {
    let script = [
        "group create g /dev/fake1 /dev/fake2 /dev/fake3",
        "make v 8m",
        "snapstart -b v",
        "sync",
        "write",
        "snapshot v --name s",
        "write",
    ];
    let fake = World::new("verify a snapshot", 3, &script).fake;
    let (found, wrong) = verify(&fake, "verify s");
    assert_eq!(wrong, []);
    let pair = &found[0].pairs[0];
    let left_out: u64 = pair
        .left_out
        .iter()
        .map(|(range, _)| range.end - range.start)
        .sum();
    assert!(left_out > 0, "nobody has written");
    assert_eq!(pair.compared.get() + left_out, Sectors::mib(8).get());
    fake.0.borrow_mut().data.quiet = true;
    let (found, _) = verify(&fake, "verify s");
    let pair = &found[0].pairs[0];
    let changed = pair.left_out[0].0.start;
    let same = (0..16384)
        .step_by(8)
        .find(|at| !pair.left_out.iter().any(|(range, _)| range.contains(at)));
    let same = same.unwrap();
    damage(&fake, "s", 0, changed..changed + 8);
    assert_eq!(verify(&fake, "verify s").1, [], "where it may differ");
    damage(&fake, "s", 0, same..same + 8);
    let (found, wrong) = verify(&fake, "verify s");
    assert_eq!(differing(&found[0].pairs[0]), [(same, 8)]);
    assert_eq!(
        wrong[0].message(),
        "'g/s' and its original 'v' differ in 4k that was written on neither since the split"
    );
}

/// Killed before each of its changes it leaves nothing that is suspended for longer than until the
/// next command; and a disk that dies takes nobody with it.
#[test]
fn a_look_at_rest_that_is_cut_short_leaves_nothing_behind() {
    let fake = mirror();
    damage(&fake, "v", 1, 0..8);
    let words = Words::parse("verify v");
    let mut kills = 0;
    loop {
        let fake = fake.copy();
        fake.set_trap(Trap::Kill(kills + 1));
        let ended = fake.run(&words);
        fake.set_trap(Trap::None);
        if ended.is_some() {
            break;
        }
        kills += 1;
        fake.ok("recover");
        let asleep = |fake: &Fake| {
            let state = fake.0.borrow();
            state.dm.all().any(|d| state.dm.is_suspended(d.minor))
        };
        assert!(!asleep(&fake), "killed before change {kills}");
        assert_eq!(verify(&fake, "verify v").1.len(), 1);
    }
    assert!(kills >= 2, "{kills} changes");
    for at in 1..=kills {
        let fake = fake.copy();
        fake.set_trap(Trap::Die(at, 1));
        let ended = fake.run(&words).unwrap();
        fake.set_trap(Trap::None);
        assert!(!matches!(ended, Ok(Outcome::Verified(_))), "{ended:?}");
        fake.ok("recover");
        sync(&fake);
        let state = fake.0.borrow();
        assert!(!state.dm.all().any(|d| state.dm.is_suspended(d.minor)));
    }
}
