//! A group of which a disk is missing, on a machine in memory: what does not need it works, what is
//! lost can be given up, and redundancy that was being made anew when the machine went down is made
//! all the same.

use crate::fake::script::{World, sync};
use crate::fake::{Fake, Words};
use breakoff::app::{Event, Outcome};
use breakoff::cli::native::hints::Native;
use breakoff::error::{Kind, Result};
use breakoff::model::check;
use breakoff::sys::machine::Machine;

/// How a disk is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loss {
    /// It is pulled out while everything runs: the kernel does not know it any more.
    Unplugged,
    /// It is there, and all I/O to it fails.
    Dead,
    /// It is not there any more after a reboot.
    Rebooted,
}

const LOSSES: [Loss; 3] = [Loss::Unplugged, Loss::Dead, Loss::Rebooted];

fn lose(fake: &Fake, disk: usize, how: Loss) {
    match how {
        Loss::Unplugged => fake.0.borrow_mut().disks[disk - 1].unplugged = true,
        Loss::Dead => fake.0.borrow_mut().disks[disk - 1].dead = true,
        Loss::Rebooted => {
            fake.0.borrow_mut().disks[disk - 1].unplugged = true;
            fake.power_cut(&mut |sector| sector.versions);
            // It says itself what it could not start.
            fake.run(&Words::parse("start --auto")).unwrap().unwrap();
            sync(fake);
        }
    }
    (0..8).for_each(|_| fake.0.borrow_mut().writers_write());
}

/// `v` on disk01 and its snapshot `s` on disk02, tracked or not, beside a mirror `m` with a leg,
/// and a plain volume `n`.
fn split(tracked: &str) -> World {
    let make = format!("make v 8m --on disk01 --fast-resync {tracked}");
    let script = [
        "group create g /dev/fake1 /dev/fake2 /dev/fake3 /dev/fake4 /dev/fake5",
        &make,
        "make m 4m --mirrors 2 --on disk03,disk04",
        "make n 4m --on disk03",
        "sync",
        "snapstart -b --on disk02 v",
        "snapstart -b --on disk05 m",
        "sync",
        "snapshot v --name s",
        "sync",
        "write",
    ];
    World::new("split", 7, &script)
}

fn run(fake: &Fake, command: &str) -> Result<Outcome> {
    fake.run(&Words::parse(command)).unwrap()
}

/// A plex that is not here must never become what a volume is made of, nor be promised a copy.
#[test]
fn a_snapshot_whose_disk_is_missing_comes_back_in_neither_direction() {
    for tracked in ["on", "off"] {
        for loss in [Loss::Unplugged, Loss::Rebooted] {
            for how in [
                "",
                "--from snapshot",
                "--from snapshot --keep",
                "--from snapshot --at-boot",
            ] {
                let fake = split(tracked).fake;
                fake.ok("stop s");
                lose(&fake, 2, loss);
                let what = format!("{tracked} {loss:?} {how}");
                let refused = run(&fake, &format!("snapback {how} s")).unwrap_err();
                assert_eq!(refused.kind(), Kind::Device, "{what}");
                assert!(
                    refused.message().contains("'disk02', which is missing"),
                    "{what}: {refused}"
                );
                is_sound(&fake, &what);
            }
        }
    }
}

/// What has to hold after any command.
#[track_caller]
fn is_sound(fake: &Fake, what: &str) {
    let Some((group, _)) = fake.group() else {
        return;
    };
    assert_eq!(check::violations(&group), Vec::<String>::new(), "{what}");
    for _ in 0..4 {
        run(fake, "recover").unwrap_or_else(|error| panic!("{what}: 'recover': {error}"));
        fake.0.borrow_mut().writers_write();
    }
    let (group, _) = fake.group().unwrap();
    let mut state = fake.0.borrow_mut();
    let dirty: Vec<&str> = state
        .dm
        .all()
        .filter(|d| !d.is_clean())
        .map(|d| d.name.as_str())
        .collect();
    assert!(
        dirty.is_empty(),
        "{what}: left suspended or half loaded: {dirty:?}"
    );
    assert!(
        state.data.nothing_queued(),
        "{what}: a write is held for ever"
    );
    assert_eq!(state.misplaced(&group), Vec::<String>::new(), "{what}");
    state.know_volumes(&group);
    let lost = state.labels_of_dead();
    let wrong = state.wrong_data_beside(&group, &|plex| {
        plex.subdisks.iter().any(|s| lost.contains(&s.disk))
    });
    assert!(wrong.is_empty(), "{what}: {wrong:#?}");
    let gone: Vec<&str> = state
        .dm
        .all()
        .filter(|d| d.uuid.volume().is_none_or(|id| group.volume(id).is_none()))
        .map(|d| d.name.as_str())
        .collect();
    assert!(gone.is_empty(), "{what}: devices of no volume: {gone:?}");
}

/// Runs commands one after another on a copy of the machine; each has to work.
#[track_caller]
fn works(fake: &Fake, commands: &[&str], what: &str) -> Fake {
    let fake = fake.copy();
    for command in commands {
        if let Err(error) = run(&fake, command) {
            panic!(
                "{what}: '{command}' fails: {error} ({:?})",
                error.hint_text(&Native)
            );
        }
        is_sound(&fake, &format!("{what}: '{command}'"));
    }
    sync(&fake);
    is_sound(&fake, &format!("{what}: after {commands:?}"));
    fake
}

/// Volumes that have nothing to do with a lost disk go on as if it were there.
#[test]
fn a_missing_disk_stops_only_what_needs_it() {
    for tracked in ["on", "off"] {
        for (disk, how) in [1, 2]
            .into_iter()
            .flat_map(|disk| LOSSES.map(|how| (disk, how)))
        {
            let world = split(tracked);
            lose(&world.fake, disk, how);
            let what = format!("tracking {tracked}, disk {disk} {how:?}");
            for command in [
                "make x 4m",
                "make x 4m --mirrors 2 --on disk03,disk04",
                "grow n 8m",
                "rename n k",
                "remove n",
                "remove --recursive m",
                "snapstart -b n",
                "snapabort m",
                "snapshot m",
                "mirror -b n",
                "stop m",
                "recover",
                "plex detach m-02",
            ] {
                works(&world.fake, &[command], &what);
            }
            works(
                &world.fake,
                &["group add g /dev/fake6", "group remove-disk g disk06"],
                &what,
            );
        }
    }
}

/// A snapshot whose disk is gone, or an original: each way out works, and what is good of the pair
/// goes on.
#[test]
fn what_is_lost_can_be_given_up() {
    for tracked in ["on", "off"] {
        for (disk, lost, good, how) in [(2, "s", "v"), (1, "v", "s")]
            .into_iter()
            .flat_map(|(d, l, g)| LOSSES.map(|how| (d, l, g, how)))
        {
            let world = split(tracked);
            lose(&world.fake, disk, how);
            let what = format!("tracking {tracked}, disk {disk} with '{lost}' {how:?}");
            let media = format!("disk0{disk}");
            let (stop, remove) = (format!("stop {lost}"), format!("remove --recursive {lost}"));
            let (remove_disk, replace_disk) = (
                format!("group remove-disk g {media}"),
                format!("group replace-disk -b g {media} /dev/fake7"),
            );
            works(
                &world.fake,
                &["snapclear s", &format!("snapstart -b {good}")],
                &what,
            );
            works(&world.fake, &["snapclear s", &remove, &remove_disk], &what);
            let stopped = works(&world.fake, &[&stop], &what);
            let (group, _) = stopped.group().unwrap();
            let id = group
                .volume_named(&breakoff::model::Name::parse(lost).unwrap())
                .unwrap()
                .id;
            assert!(
                !stopped
                    .0
                    .borrow()
                    .dm
                    .all()
                    .any(|d| d.uuid.volume() == Some(id)),
                "{what}: devices are left"
            );
            works(&world.fake, &[&stop, "snapclear s", &remove], &what);
            works(
                &world.fake,
                &[&remove, &remove_disk, &format!("snapstart -b {good}")],
                &what,
            );
            works(&world.fake, &[&stop, &replace_disk, &remove], &what);
            works(
                &world.fake,
                &[
                    &format!("rename {lost} other"),
                    "remove --recursive other",
                    &remove_disk,
                ],
                &what,
            );
            works(
                &world.fake,
                &["fast-resync off v", "remove --recursive v s", &remove_disk],
                &what,
            );
            works(
                &world.fake,
                &[
                    "remove --recursive v",
                    &format!("rename {} other", if lost == "s" { "s" } else { "m" }),
                ],
                &what,
            );
            works(&world.fake, &["group destroy g"], &what);
        }
    }
}

/// What needs the missing disk says so, names it, and changes nothing.
#[test]
fn what_needs_a_missing_disk_is_refused_by_its_name() {
    for how in [Loss::Unplugged, Loss::Rebooted] {
        let world = split("on");
        lose(&world.fake, 2, how);
        for command in ["snapstart -b s", "mirror -b s", "start s"] {
            let fake = world.fake.copy();
            sync(&fake);
            let before = fake.group().unwrap().1;
            match run(&fake, command) {
                Ok(Outcome::Done(report))
                    if command == "start s"
                        && how == Loss::Unplugged
                        && report.changes.is_empty() => {}
                Ok(other) => panic!("{how:?} '{command}': {other:?}"),
                Err(error) => {
                    let ready = how == Loss::Rebooted && error.kind() == Kind::NotReady;
                    assert!(
                        ready
                            || (error.kind() == Kind::Device
                                && error.message().contains("'disk02'")),
                        "{how:?} '{command}': {error} ({:?})",
                        error.kind()
                    );
                }
            }
            assert_eq!(fake.group().unwrap().1, before, "{how:?} '{command}'");
            is_sound(&fake, command);
        }
    }
}

/// Labels that cannot be read are no reason to say that there is nothing.
#[test]
fn a_group_that_runs_and_cannot_be_read_is_named() {
    for how in [Loss::Dead, Loss::Unplugged] {
        let world = split("on");
        (1..=5).for_each(|disk| lose(&world.fake, disk, how));
        for words in [
            "status",
            "recover",
            "recover --check",
            "print",
            "snapprint",
            "group list",
            "disk list",
        ] {
            let fake = world.fake.copy();
            let errors = match run(&fake, words) {
                Ok(Outcome::Lacking(_, errors)) => errors,
                Ok(Outcome::Done(report)) => report.failures,
                other => panic!("{how:?} '{words}': {other:?}"),
            };
            let named = errors.iter().any(|e| {
                e.kind() == Kind::Device
                    && e.message().contains("group 'g'")
                    && e.message().contains("g-v")
            });
            assert!(named, "{how:?} '{words}': {errors:?}");
        }
        for words in [
            "make x 4m",
            "-g g make x 4m",
            "stop v",
            "snapstart v",
            "group show g",
            "group destroy g",
            "-g g snapwait v",
            "-g g status",
        ] {
            let fake = world.fake.copy();
            let error = run(&fake, words)
                .err()
                .unwrap_or_else(|| panic!("{how:?} '{words}' works"));
            assert_eq!(error.kind(), Kind::Device, "{how:?} '{words}': {error}");
            assert!(
                error.message().contains("group 'g'"),
                "{how:?} '{words}': {error}"
            );
        }
        assert_eq!(
            run(&world.fake.copy(), "-g other make x 4m")
                .unwrap_err()
                .kind(),
            Kind::NotFound
        );
    }
}

const GROUP4: &str = "group create g /dev/fake1 /dev/fake2 /dev/fake3 /dev/fake4";

fn states(fake: &Fake, volume: &str) -> Vec<String> {
    let (group, _) = fake.group().unwrap();
    group
        .volumes
        .iter()
        .filter(|v| v.name.as_str() == volume)
        .flat_map(|v| &v.plexes)
        .map(|p| p.state.to_string())
        .collect()
}

#[test]
fn a_rebuild_that_a_crash_interrupts_goes_on_and_a_leg_does_not() {
    let mirrored = [GROUP4, "make v 8m --mirrors 2 --on disk01,disk02", "sync"];
    let plain = [GROUP4, "make v 8m --on disk01"];
    let replaced = ["group replace-disk -b g disk02 /dev/fake5"];
    for (script, rebuild, leg) in [
        (
            &mirrored[..],
            &["plex detach v-02", "plex attach -b v-02"][..],
            false,
        ),
        (
            &mirrored[..],
            &["plex detach v-02", "plex attach -b v-02", "snapstart -b v"][..],
            true,
        ),
        (&mirrored[..], &replaced[..], false),
        (&plain[..], &["mirror -b v"][..], false),
    ] {
        for stopped in [false, true] {
            let what = format!("{rebuild:?}, stopped {stopped}");
            let end: &[&str] = if stopped { &["stop v"] } else { &[] };
            let world = World::new("rebuild", 5, &[script, rebuild, &["region"], end].concat());
            let fake = &world.fake;
            assert!(
                states(fake, "v")
                    .iter()
                    .any(|state| ["REVIVING", "ATTACHING"].contains(&state.as_str())),
                "{what}"
            );
            fake.power_cut(&mut |sector| sector.versions);
            let before = fake.0.borrow().changes;
            fake.ok("start --auto");
            assert!(fake.0.borrow().changes > before);
            assert!(
                states(fake, "v").iter().all(|state| state != "SNAPATT"),
                "{what}: a leg is given up (was there: {leg})"
            );
            assert!(
                states(fake, "v").iter().any(|state| state != "ACTIVE"),
                "{what}: nobody has waited for it"
            );
            sync(fake);
            assert_eq!(states(fake, "v"), ["ACTIVE", "ACTIVE"], "{what}");
            is_sound(fake, &what);
            let (group, _) = fake.group().unwrap();
            let log = group.volumes[0].log.as_ref().map(|log| log.live);
            assert_eq!(log, Some(true), "{what}: the log is in use");
            // Nothing is left of it when one plex is.
            fake.ok("plex remove v-02");
            let (group, _) = fake.group().unwrap();
            assert_eq!(group.volumes[0].log, None, "{what}");
        }
    }
}

/// The second place of a log fails, too: the third one is another disk, and the second one is not
/// tried again.
#[test]
fn a_log_that_is_lost_again_goes_elsewhere() {
    let world = World::new(
        "logs",
        4,
        &[GROUP4, "make v 8m --mirrors 2 --on disk01,disk02", "sync"],
    );
    let fake = &world.fake;
    let place = |fake: &Fake| {
        fake.group().unwrap().0.volumes[0]
            .log
            .as_ref()
            .map(|log| log.extent)
    };
    let mut seen = vec![place(fake).unwrap()];
    for _ in 0..3 {
        let (group, _) = fake.group().unwrap();
        let extent = *seen.last().unwrap();
        let disk = fake
            .0
            .borrow()
            .labels
            .iter()
            .find(|(id, _)| *id == extent.disk)
            .unwrap()
            .1;
        let at = group.disk(extent.disk).unwrap().data_start.get() + extent.start.get();
        fake.0.borrow_mut().disks[disk]
            .bad
            .push(at..at + extent.length.get());
        (0..8).for_each(|_| fake.0.borrow_mut().writers_write());
        sync(fake);
        is_sound(fake, "a log is lost");
        let new = place(fake).expect("there is room");
        assert!(seen.iter().all(|old| *old != new), "{new:?} after {seen:?}");
        seen.push(new);
    }
}

/// A leg that is lost while it is filled, and one that was complete.
#[test]
fn who_waits_after_a_leg_has_failed_is_told_so_until_there_is_another_one() {
    for (what, filled) in [("filling", "region"), ("complete", "sync")] {
        let world = World::new(
            what,
            3,
            &[
                "group create g /dev/fake1 /dev/fake2 /dev/fake3",
                "make v 8m",
                "snapstart -b v",
                filled,
                "die2",
            ],
        );
        run(&world.fake, "recover").unwrap();
        for _ in 0..2 {
            let error = run(&world.fake, "snapwait v").unwrap_err();
            assert_eq!(error.kind(), Kind::Device, "{what}: {error}");
            assert!(
                ["'v-02'", "disk02", "failed at"]
                    .iter()
                    .all(|text| error.message().contains(text)),
                "{what}: {error}"
            );
        }
        run(&world.fake, "snapstart -b v").unwrap();
        run(&world.fake, "snapabort v").unwrap();
        assert_eq!(
            run(&world.fake, "snapwait v").unwrap_err().kind(),
            Kind::NotReady,
            "{what}"
        );
    }
}

/// The label of disk02 is gone.
fn bare(name: &'static str, script: &[&str]) -> World {
    let all = [
        &["group create g /dev/fake1 /dev/fake2 /dev/fake3"],
        script,
        &["bare2"],
    ]
    .concat();
    let world = World::new(name, 3, &all);
    assert!(!world.fake.0.borrow().disks[1].has_label());
    world
}

fn findings(fake: &Fake, command: &str) -> String {
    match run(fake, command).unwrap() {
        Outcome::Findings(found) | Outcome::ToBeRepaired(found) => found.join("\n"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_label_that_is_gone_is_written_again_as_long_as_its_disk_runs() {
    let leg: &[&str] = &[
        "make v 8m --on disk01",
        "snapstart -b --on disk02 v",
        "sync",
    ];
    let out = [leg, &["snapshot v --name s", "write"]].concat();
    let plex: &[&str] = &["make v 8m --mirrors 2 --on disk01,disk02", "sync", "write"];
    for (what, script) in [("a leg", leg), ("a snapshot", &out), ("a plex", plex)] {
        let world = bare(what, script);
        let fake = &world.fake;
        for command in ["status", "recover --check"] {
            let told = findings(fake, command);
            assert!(
                ["disk02", "lost its label", "/dev/fake2"]
                    .iter()
                    .all(|text| told.contains(text)),
                "{what}: {command}: {told}"
            );
            assert!(!told.contains("is missing"), "{what}: {told}");
        }
        let Outcome::Done(report) = run(fake, "recover").unwrap() else {
            panic!("{what}")
        };
        assert!(
            report
                .changes
                .iter()
                .any(|change| matches!(change.event, Event::LabelWritten { .. })),
            "{what}: {:?}",
            report.changes
        );
        assert!(report.failures.is_empty(), "{what}: {:?}", report.failures);
        assert_eq!(findings(fake, "recover --check"), "", "{what}");
        assert!(!findings(fake, "status").contains("disk02"), "{what}");
        is_sound(fake, what);
        // It counts as before: the disk alone has the configuration, and what lies on it starts.
        fake.power_cut(&mut |sector| sector.versions);
        fake.ok("start --auto");
        sync(fake);
        is_sound(fake, what);
        assert!(
            states(fake, "v")
                .iter()
                .all(|state| ["ACTIVE", "SNAPDONE"].contains(&state.as_str())),
            "{what}: {:?}",
            states(fake, "v")
        );
    }
}

/// Nothing proves which device is the disk: nothing is written.
#[test]
fn a_label_that_is_gone_stays_so_when_nothing_says_where_it_was() {
    for (what, script) in [
        ("stopped", &["make v 8m --on disk02", "stop v"][..]),
        ("idle", &["make v 8m --on disk01"]),
    ] {
        let world = bare(what, script);
        let fake = &world.fake;
        let before = fake.0.borrow().changes;
        run(fake, "recover").unwrap();
        assert!(!fake.0.borrow().disks[1].has_label(), "{what}");
        assert_eq!(fake.0.borrow().changes, before, "{what}");
        assert!(
            findings(fake, "status").contains("disk 'disk02' of group 'g' is missing"),
            "{what}"
        );
    }
}

/// Where the live table of a volume leads to.
fn leads_to(fake: &Fake, name: &str) -> String {
    let devices = fake.kernel().unwrap().devices().unwrap();
    let device = devices
        .iter()
        .find(|device| device.name.as_str() == name)
        .unwrap();
    device.table[0].params.split(' ').next().unwrap().to_owned()
}

/// A running volume `v` on disk02 and `w` on disk01, and a fourth disk that is a copy of disk02.
fn with_a_copy(name: &'static str) -> World {
    let make = [
        "group create g /dev/fake1 /dev/fake2 /dev/fake3",
        "make v 8m --on disk02",
        "make w 4m --on disk01",
    ];
    let world = World::new(name, 4, &make);
    let copy = world.fake.0.borrow().disks[1].copied(3);
    world.fake.0.borrow_mut().disks[3] = copy;
    world
}

/// A copy of disk02 that still has the label which disk02 has lost: what runs stays where it is,
/// and nothing is written to either.
#[test]
fn a_copy_of_a_disk_that_has_lost_its_label_is_not_taken_for_it() {
    let world = with_a_copy("copied");
    let fake = &world.fake;
    fake.0.borrow_mut().disks[1].lose_label();
    let before = leads_to(fake, "g-v");
    let labels = |fake: &Fake| {
        [1, 3].map(|at| {
            (0..2048)
                .map(|sector| fake.0.borrow().disks[at].read(sector))
                .collect::<Vec<_>>()
        })
    };
    let untouched = labels(fake);
    for command in ["recover", "make x 1m --on disk01", "rename w u", "recover"] {
        run(fake, command).unwrap();
        assert_eq!(leads_to(fake, "g-v"), before, "{command}");
        assert!(labels(fake) == untouched, "{command}");
    }
    assert!(findings(fake, "status").contains(
        "the label of disk 'disk02' of group 'g' cannot be read, and its volumes run on device 8:1"
    ));
    // Without the copy it is labelled again.
    fake.0.borrow_mut().disks[3].unplugged = true;
    run(fake, "recover").unwrap();
    assert!(fake.0.borrow().disks[1].has_label());
    assert_eq!(
        (leads_to(fake, "g-v"), findings(fake, "status")),
        (before, String::new())
    );
}

/// A copy of disk02, which is dead: what runs stays where it is as long as the two are known to be
/// different, and when it is started again the copy takes its place. What nothing distinguishes is
/// the disk that has come back under another number.
#[test]
fn a_copy_of_a_dead_disk_is_not_taken_for_it_while_that_is_in_use() {
    let world = with_a_copy("dead, and copied");
    let fake = &world.fake;
    fake.0.borrow_mut().disks[1].dead = true;
    let back = fake.copy();
    for (at, disk) in fake.0.borrow_mut().disks.iter_mut().enumerate() {
        disk.serial = u32::try_from(at).ok();
    }
    let before = leads_to(fake, "g-v");
    for command in ["recover", "make x 1m --on disk01", "rename w u", "recover"] {
        run(fake, command).unwrap();
        assert_eq!(leads_to(fake, "g-v"), before, "{command}");
    }
    run(fake, "stop v").unwrap();
    run(fake, "start v").unwrap();
    assert_ne!(leads_to(fake, "g-v"), before);

    run(&back, "recover").unwrap();
    assert_ne!(leads_to(&back, "g-v"), before, "it is back");
}
