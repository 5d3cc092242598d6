//! Every crash point of every command, on a machine in memory: killed or the power cut before each
//! change, and each call failing.

use crate::fake::Words;
use crate::fake::script::{self, Count, World};
use breakoff::error::Kind;
use breakoff::model::{CrashReason, DmUuid, Plex, PlexState, Role, Volume};

const GROUP4: &str = "group create g /dev/fake1 /dev/fake2 /dev/fake3 /dev/fake4";

#[track_caller]
fn crash_all(world: &World, commands: &[&str]) {
    let mut all = Count::default();
    for command in commands {
        let watches = ["recover", "snapwait", "snapstart v"]
            .iter()
            .any(|verb| command.starts_with(verb))
            || world.name == "equal";
        all += if watches {
            world.crash_watching(command)
        } else {
            world.crash(command)
        };
    }
    println!(
        "world '{}': {} commands, {} kills, {} power cuts, {} failing calls, {} dying disks: before or after, never between",
        world.name, all.commands, all.kills, all.cuts, all.errors, all.deaths
    );
}

#[test]
fn a_plain_volume() {
    let world = World::new("plain", 4, &[GROUP4, "make v 8m"]);
    crash_all(
        &world,
        &[
            "make w 8m",
            "make w 8m --mirrors 2",
            "remove v",
            "rename v w",
            "owner --owner oracle:dba --mode 0640 v",
            "make w 4m --owner :dba",
            "grow v +8m",
            "mirror -b v",
            "snapstart -b v",
            "snapstart -b --mirrors 2 v",
            "stop v",
            "start v",
        ],
    );
}

/// The node of a volume has what is recorded, whatever is killed.
#[test]
fn volumes_with_owners() {
    let script = [
        GROUP4,
        "make v 8m --owner oracle --mode 0600",
        "make w 8m --owner nobody-here:dba",
        "snapstart -b v",
        "sync",
        "make x 4m --owner nobody-here",
        "stop x",
    ];
    let world = World::new("owned", 4, &script);
    crash_all(
        &world,
        &[
            "owner --owner :dba v w",
            "owner --owner other v",
            "owner --default v",
            "owner --owner other --mode 0640 x",
            "rename v u",
            "snapshot v",
            "start x",
            "stop v",
            "stop --all",
            "remove w",
        ],
    );
}

#[test]
fn a_mirrored_volume() {
    let world = World::new("mirrored", 4, &[GROUP4, "make v 8m --mirrors 2", "sync"]);
    crash_all(
        &world,
        &[
            "remove v",
            "rename v w",
            "grow v +8m",
            "mirror -b v",
            "snapstart -b v",
            "stop v",
            "plex detach v-02",
            "plex remove v-02",
            "plex convert --to snapdone v-02",
            "log remove v",
        ],
    );
}

/// What a log says counts only while the mirror uses it: it is written before it comes into use.
#[test]
fn a_log_that_comes_and_goes() {
    let mirror = [GROUP4, "make v 8m --mirrors 2 --no-log", "sync"];
    let crash = |name, script: &[&str], commands: &[&str]| {
        crash_all(&World::new(name, 4, script), commands);
    };
    crash(
        "unlogged",
        &mirror,
        &["log add v", "log add v --on disk04", "log remove v"],
    );
    let stopped = [&mirror[..], &["stop v"]].concat();
    crash("unlogged, stopped", &stopped, &["log add v"]);
    let logged = [&stopped[..], &["log add v"]].concat();
    crash("logged, stopped", &logged, &["log remove v", "start v"]);
    // What an old log says is of no importance any more.
    let again = [
        &mirror[..],
        &["log add v", "write", "log remove v", "write"],
    ]
    .concat();
    crash("unlogged again", &again, &["log add v", "stop v"]);
    // The plexes are not equal.
    let unequal = [GROUP4, "make v 8m --mirrors 2 --no-log", "region"];
    crash("unequal, unlogged", &unequal, &["log add v"]);
    let unequal = [GROUP4, "make v 8m --mirrors 2", "region"];
    crash("unequal, logged", &unequal, &["log remove v"]);
    let grown = [&mirror[..], &["grow v +8m", "region"]].concat();
    crash("grown, unlogged", &grown, &["log add v"]);
    let grown = [&grown[..], &["log add v", "region"]].concat();
    crash("grown, logged", &grown, &["log remove v"]);
    let cut = [&mirror[..], &["write", "cut"]].concat();
    crash("cut, unlogged", &cut, &["log add v"]);
    let cut = [GROUP4, "make v 8m --mirrors 2", "sync", "write", "cut"];
    crash("cut, logged", &cut, &["log remove v"]);
    // One plex is not complete.
    let second = [GROUP4, "make v 8m --no-log", "mirror -b v", "region"];
    crash("second plex, unlogged", &second, &["log add v"]);
    let second = [&second[..], &["log add v"]].concat();
    crash("second plex, logged", &second, &["log remove v"]);
    let held = [GROUP4, "make v 8m --mirrors 2", "sync", "hold g-v_log"];
    crash("held log of a mirror", &held, &["log remove v"]);
}

/// The mirror of the complete plexes gets another table, and what is copied to a leg above goes on.
#[test]
fn a_log_that_comes_and_goes_beneath_a_copy() {
    for (name, made, command) in [
        (
            "copy, unlogged",
            "make v 16m --mirrors 2 --no-log",
            "log add v",
        ),
        ("copy, logged", "make v 16m --mirrors 2", "log remove v"),
    ] {
        let out = [GROUP4, made, "sync", "snapstart -b v"];
        let copying = [&out[..], &["region"]].concat();
        crash_all(&World::new(name, 4, &copying), &[command]);
        let lanes = [&out[..3], &["snapstart -b --lanes 4 v", "region"]].concat();
        crash_all(&World::new(name, 4, &lanes), &[command]);
        let back = [&out[..], &["sync", "snapshot v --name s", "write", "close"]].concat();
        crash_all(&World::new(name, 4, &back), &[command]);
        let returning = [&back[..], &["snapback -b s", "region"]].concat();
        crash_all(&World::new(name, 4, &returning), &[command]);
        let restoring = [&back[..], &["snapback -b --from snapshot s", "region"]].concat();
        crash_all(&World::new(name, 4, &restoring), &[command]);
    }
}

#[test]
fn a_leg_on_its_way() {
    let world = World::new(
        "attaching",
        4,
        &[GROUP4, "make v 8m", "snapstart -b v", "region"],
    );
    crash_all(
        &world,
        &[
            "snapabort v",
            "plex abort v-02",
            "snapstart -b v",
            "remove --recursive v",
            "stop v",
            "rename v w",
            "make w 4m",
            "mirror -b v",
        ],
    );
}

#[test]
fn a_plex_that_is_filled_again() {
    let world = World::new(
        "reviving",
        4,
        &[
            GROUP4,
            "make v 8m --mirrors 2",
            "sync",
            "plex detach v-02",
            "write",
            "plex attach -b v-02",
            "region",
        ],
    );
    crash_all(&world, &["plex abort v-02"]);
}

#[test]
fn a_complete_leg() {
    let world = World::new(
        "snapdone",
        4,
        &[GROUP4, "make v 8m", "snapstart -b v", "sync"],
    );
    crash_all(
        &world,
        &[
            "snapshot v",
            "snapshot v --name s",
            "snapabort v",
            "snapstart -b v",
            "plex convert --to active v-02",
            "stop v",
            "rename v w",
            "snapwait v",
            "grow v +4m",
        ],
    );
}

#[test]
fn legs_to_be_recorded() {
    let world = World::new("equal", 4, &[GROUP4, "make v 8m", "snapstart -b v"]);
    // The kernel is through with it, and nobody has looked yet.
    while world.fake.0.borrow_mut().tick() {}
    crash_all(
        &world,
        &["recover", "snapshot v", "snapwait v", "snapstart v"],
    );
}

#[test]
fn a_label_that_is_gone() {
    let world = World::new(
        "bare",
        4,
        &[
            GROUP4,
            "make v 8m --mirrors 2 --on disk01,disk02",
            "sync",
            "write",
            "bare2",
        ],
    );
    crash_all(&world, &["recover"]);
}

#[test]
fn a_second_leg_above_a_complete_one() {
    let world = World::new(
        "layered",
        5,
        &[
            &format!("{GROUP4} /dev/fake5"),
            "make v 8m --mirrors 2",
            "sync",
            "snapstart -b v",
            "sync",
            "snapstart -b v",
            "region",
        ],
    );
    crash_all(
        &world,
        &[
            "snapshot v",
            "snapabort v",
            "snapabort --all-plexes v",
            "snapstart -b v",
            "plex detach v-02",
            "stop v",
            "snapwait --mirrors 2 v",
        ],
    );
}

#[test]
fn two_complete_legs() {
    let world = World::new(
        "two-legs",
        4,
        &[GROUP4, "make v 8m", "snapstart -b --mirrors 2 v", "sync"],
    );
    crash_all(
        &world,
        &[
            "snapshot v",
            "snapshot --plex v-03 v",
            "snapshot --mirrors 2 v",
            "snapabort v",
            "snapabort --all-plexes v",
        ],
    );
}

#[test]
fn snapshots_out() {
    let script = [
        GROUP4,
        "make v 8m",
        "snapstart -b v",
        "sync",
        "snapshot v --name s",
        "snapstart -b v",
        "sync",
        "snapshot v --name t",
    ];
    let world = World::new("snapshots", 4, &script);
    crash_all(
        &world,
        &[
            "snapclear s",
            "snapclear --all v",
            "remove s",
            "remove --recursive v",
            "rename s u",
            "rename v u",
            "snapstart -b v",
            "stop s",
            "snapstart -b s",
        ],
    );
}

#[test]
fn several_volumes_in_one_command() {
    let script = [
        GROUP4,
        "make v 8m",
        "make w 4m --mirrors 2",
        "sync",
        "snapstart -b v w",
        "sync",
    ];
    let world = World::new("several", 4, &script);
    crash_all(
        &world,
        &[
            "snapshot v w",
            "snapshot --all",
            "remove --recursive v w",
            "stop --all",
            "snapstart -b v w",
        ],
    );
}

#[test]
fn stopped_volumes() {
    let script = [
        GROUP4,
        "make v 8m --mirrors 2",
        "make w 8m",
        "sync",
        "snapstart -b v w",
        "sync",
        "stop --all",
    ];
    let world = World::new("stopped", 4, &script);
    crash_all(
        &world,
        &[
            "start v",
            "start --all",
            "start --auto",
            "remove --recursive v",
            "rename v u",
            "plex remove v-02",
            "group deport g",
        ],
    );
}

#[test]
fn after_a_power_cut() {
    let script = [
        GROUP4,
        "make v 8m --mirrors 2",
        "make w 8m",
        "sync",
        "snapstart -b v w",
        "sync",
        "cut",
    ];
    let world = World::new("resynchronising", 4, &script);
    crash_all(
        &world,
        &[
            "stop v",
            "snapabort v",
            "remove --recursive v",
            "recover",
            "snapwait v",
        ],
    );
}

#[test]
fn a_disk_that_is_replaced() {
    let script = [
        GROUP4,
        "make v 8m --mirrors 2",
        "make w 8m --mirrors 2",
        "sync",
        "snapstart -b v",
        "sync",
        "stop w",
    ];
    let world = World::new("replacing", 5, &script);
    crash_all(
        &world,
        &[
            "group replace-disk -b g disk01 /dev/fake5",
            "group replace-disk -b g disk02 /dev/fake5",
            "group replace-disk -b g disk04 /dev/fake5",
        ],
    );
}

/// The disk of a leg has died, writes are held, and what takes the leg out is killed anywhere.
#[test]
fn repairs_that_are_killed() {
    let mut all = Count::default();
    let mut repair = |name, disk, script: &[&str]| {
        let script = [&[GROUP4], script, &[["die1", "die2", "die3"][disk]]].concat();
        all += World::new(name, 4, &script).crash_repair("recover", disk);
    };
    for disk in 0..2 {
        repair("dead plex", disk, &["make v 8m --mirrors 2", "sync"]);
        repair(
            "dead plex beneath a layer",
            disk,
            &["make v 8m --mirrors 2", "sync", "snapstart -b v", "region"],
        );
        repair("dead leg", disk, &["make v 8m", "snapstart -b v", "sync"]);
    }
    repair(
        "dead leg on its way",
        1,
        &["make v 8m", "snapstart -b v", "region"],
    );
    repair(
        "dead leg beside another on its way",
        2,
        &["make v 8m", "snapstart -b --mirrors 2 v", "region"],
    );
    repair(
        "dead second leg",
        2,
        &[
            "make v 8m",
            "snapstart -b v",
            "sync",
            "snapstart -b v",
            "region",
        ],
    );
    repair(
        "dead original beneath a layer",
        0,
        &[
            "make v 8m",
            "snapstart -b v",
            "sync",
            "snapstart -b v",
            "region",
        ],
    );
    println!(
        "{} repairs, {} kills: no write lost, none stuck",
        all.commands, all.kills
    );
}

/// What was equal before the mirror grew is not known to be equal any more: with the table that is
/// left nothing is, and writes go to the first plex alone.
#[test]
fn a_leg_that_dies_before_the_new_part_of_a_grown_mirror_is_equal() {
    let mut all = Count::default();
    for (name, made) in [
        ("grown", "make v 8m --mirrors 3"),
        ("grown without a log", "make v 8m --mirrors 3 --no-log"),
    ] {
        let dies = [GROUP4, made, "sync", "grow v +8m", "region", "die2"];
        all += World::new(name, 4, &dies).crash_repair("recover", 1);
        // A further leg gives the mirror another table.
        let again = ["recover", "write", "snapstart -b v", "sync"];
        let world = World::new(name, 4, &[&dies[..], &again].concat());
        let (group, _) = world.fake.group().unwrap();
        let dead = |p: &Plex| p.state == PlexState::Failed;
        let wrong = world.fake.0.borrow().wrong_data_beside(&group, &dead);
        assert_eq!(wrong, Vec::<String>::new(), "{name}");
    }
    println!("{} repairs, {} kills", all.commands, all.kills);
}

#[test]
fn a_degraded_volume() {
    let script = [
        GROUP4,
        "make v 8m --mirrors 2",
        "sync",
        "snapstart -b --on disk03 v",
        "sync",
        "die2",
        "recover",
        "unplug2",
    ];
    let world = World::new("degraded", 5, &script);
    crash_all(
        &world,
        &[
            "snapshot v",
            "snapabort v",
            "snapstart -b v",
            "plex remove v-02",
            "stop v",
            "rename v w",
            "group replace-disk -b g disk02 /dev/fake5",
            "remove --recursive v",
        ],
    );
}

/// Plexes that lie at the same place of several disks: which disk a table leads to does not follow
/// from the place alone.
#[test]
fn a_plain_volume_beside_a_mirrored_one() {
    let script = [
        GROUP4,
        "make a 8m --mirrors 2 --on disk01,disk02",
        "make b 8m --on disk01",
        "sync",
    ];
    let world = World::new("neighbours", 4, &script);
    crash_all(
        &world,
        &[
            "snapstart -b b",
            "snapstart -b a b",
            "plex detach a-01",
            "stop a",
            "rename b c",
            "mirror -b b",
        ],
    );
}

/// Tracking begins, goes on and ends with other snapshots out.
#[test]
fn splits_that_are_tracked() {
    let script = [
        GROUP4,
        "make v 8m --fast-resync on",
        "snapstart -b v",
        "sync",
    ];
    let world = World::new("tracked split", 4, &script);
    crash_all(&world, &["snapshot v", "snapabort v", "fast-resync off v"]);
    let script = [
        &script[..],
        &["snapshot v --name s", "snapstart -b v", "sync"],
    ]
    .concat();
    let world = World::new("second tracked split", 4, &script);
    crash_all(
        &world,
        &[
            "snapshot v",
            "snapclear v",
            "remove s",
            "remove --recursive v",
            "rename v w",
            "stop --all",
            "stop s",
        ],
    );
}

/// Both sides have changed, and what has changed comes back; the kernel copies one region before
/// the next crash.
#[test]
fn a_snapshot_that_comes_back() {
    // Large enough that most of it has not changed: what is missed shows.
    let script = [
        GROUP4,
        "make v 32m --fast-resync on",
        "snapstart -b v",
        "sync",
        "snapshot v --name s",
        "write",
        "close",
    ];
    let world = World::new("tracked", 4, &script);
    crash_all(
        &world,
        &[
            "snapback -b s",
            "snapback -b --from snapshot s",
            "snapback --from snapshot --keep s",
            "fast-resync off v",
            "stop --all",
        ],
    );
    let script = [&script[..], &["snapback -b s", "region"]].concat();
    let world = World::new("returning", 4, &script);
    crash_all(
        &world,
        &[
            "snapabort v",
            "stop v",
            "rename v w",
            "snapwait v",
            "recover",
        ],
    );
}

/// A map that is not what it was says nothing: everything is copied. A copy that is left is enough.
#[test]
fn a_map_that_is_damaged() {
    let out = [
        GROUP4,
        "make v 16m",
        "snapstart -b v",
        "sync",
        "snapshot v --name s",
    ];
    for (filled, how, tracked) in [
        ("sync", "blank", false),
        ("sync", "blank1", true),
        ("write", "blank1", true),
        ("sync", "rot", false),
    ] {
        let out = [&out[..], &[filled, "write", "close", "stop --all"]].concat();
        let world = World::new("damaged map", 4, &[&out[..], &[how]].concat());
        crash_all(&world, &["start --all", "start v"]);
        let world = World::new(
            "damaged map, started",
            4,
            &[&out[..], &[how, "start --all", "write"]].concat(),
        );
        crash_all(&world, &["snapback -b s"]);
        let live = world
            .fake
            .group()
            .is_some_and(|(g, _)| g.volumes.iter().any(|v| v.live_dco().is_some()));
        assert_eq!(live, tracked, "{filled} {how}");
    }
}

/// Everything is copied, and from the beginning when the machine goes down meanwhile.
#[test]
fn a_volume_that_is_restored_without_a_map() {
    let out = [
        GROUP4,
        "make v 8m --fast-resync off",
        "snapstart -b v",
        "sync",
        "snapshot v --name s",
        "write",
        "close",
    ];
    crash_all(
        &World::new("untracked", 4, &out),
        &[
            "snapback -b s",
            "snapback -b --from snapshot s",
            "snapback -b --from snapshot --keep s",
        ],
    );
    let world = World::new(
        "untracked, restoring",
        4,
        &[&out[..], &["snapback -b --from snapshot s", "region"]].concat(),
    );
    crash_all(&world, &["stop v", "rename v w"]);
    // It is carried through over a power cut, and the leg is one again.
    let cut = world.fake.copy();
    cut.power_cut(&mut |sector| sector.versions);
    cut.ok("start --auto");
    script::sync(&cut);
    let states = cut.group().map(|(g, _)| {
        g.volumes[0]
            .plexes
            .iter()
            .map(|p| p.state.to_string())
            .collect::<Vec<_>>()
    });
    assert_eq!(states.unwrap(), ["ACTIVE", "SNAPDONE"]);
}

/// A start that restores: between its parts it is as if the restore were still to come.
#[test]
fn a_volume_that_is_to_be_restored_at_boot() {
    for (mirrors, how) in [("", ""), ("--mirrors 2", "--keep")] {
        let make = format!("make v 8m {mirrors}");
        let restore = format!("snapback --from snapshot --at-boot {how} s");
        let out = [
            GROUP4,
            &make,
            "sync",
            "snapstart -b v",
            "sync",
            "snapshot v --name s",
            "write",
            "close",
        ];
        crash_all(&World::new("out", 4, &out), &[&restore]);
        let stopped = World::new(
            "to be restored",
            4,
            &[&out[..], &[&restore, "stop --all"]].concat(),
        );
        stopped.crash_in_parts("start --auto", &["start --all"]);
        crash_all(&stopped, &["snapback --not-at-boot s", "start v"]);
        let cut = stopped.fake.copy();
        cut.power_cut(&mut |sector| sector.versions);
        cut.ok("start --auto");
        let (group, _) = cut.group().unwrap();
        let is_to_come = |v: &Volume| v.origin.as_ref().is_some_and(|o| o.at_boot.is_some());
        assert!(!group.volumes.iter().any(is_to_come), "{how}");
    }
}

/// One plex of two comes back; the other one stays the snapshot, and is tracked as before.
#[test]
fn a_part_of_a_snapshot_that_comes_back() {
    let split = [
        "snapstart -b --mirrors 2 v",
        "sync",
        "snapshot --mirrors 2 v --name s",
        "sync",
        "write",
        "close",
    ];
    let world = World::new(
        "two plexes out",
        4,
        &[&[GROUP4, "make v 16m"], &split[..]].concat(),
    );
    crash_all(&world, &["snapback -b s", "snapback -b --from snapshot s"]);
    let world = World::new(
        "one is back",
        4,
        &[
            &[GROUP4, "make v 16m"],
            &split[..],
            &["snapback -b s", "sync", "write"],
        ]
        .concat(),
    );
    crash_all(&world, &["snapback -b s"]);
}

#[test]
fn a_mirrored_volume_that_is_restored() {
    let script = [
        GROUP4,
        "make v 16m --mirrors 2 --fast-resync on",
        "sync",
        "snapstart -b v",
        "sync",
        "snapshot v --name s",
        "write",
        "close",
    ];
    let world = World::new("tracked mirror", 4, &script);
    crash_all(&world, &["snapback -b s", "snapback -b --from snapshot s"]);
    let restoring = World::new(
        "restoring",
        4,
        &[&script[..], &["snapback -b --from snapshot s", "region"]].concat(),
    );
    crash_all(&restoring, &["stop v", "rename v w", "recover"]);
}

/// It stays a mirror: one plex of it becomes the snapshot, and the others get what has changed from
/// the one that was.
#[test]
fn a_mirrored_volume_that_changes_places_with_its_snapshot() {
    let made = [
        GROUP4,
        "make v 16m --mirrors 2",
        "sync",
        "snapstart -b --mirrors 2 v",
        "sync",
    ];
    for split in ["snapshot v --name s", "snapshot --mirrors 2 v --name s"] {
        let script = [&made[..], &[split, "sync", "write", "close"]].concat();
        crash_all(
            &World::new("mirror and snapshot", 4, &script),
            &["snapback -b --from snapshot --keep s"],
        );
    }
    let script = [
        &made[..],
        &[
            "snapshot v --name s",
            "write",
            "close",
            "snapback -b --from snapshot --keep s",
            "region",
        ],
    ]
    .concat();
    crash_all(
        &World::new("changing places", 4, &script),
        &["stop v", "rename v w", "recover"],
    );
}

/// Somebody has inner devices open while they go: nothing can be written through them into what
/// their space belongs to then, nothing stays suspended, and they go when they are closed.
#[test]
fn devices_that_somebody_has_open() {
    let leg = [
        GROUP4,
        "make v 8m --fast-resync off",
        "snapstart -b v",
        "sync",
    ];
    for (name, held) in [
        ("held leg", "hold g-v_v--02"),
        ("held plex", "hold g-v_v--01"),
    ] {
        let world = World::new(name, 4, &[&leg[..], &[held]].concat());
        crash_all(
            &world,
            &[
                "snapshot v",
                "snapabort v",
                "stop v",
                "remove --recursive v",
            ],
        );
    }
    let mirror = [
        GROUP4,
        "make v 8m --mirrors 2",
        "sync",
        "hold g-v_log",
        "hold g-v_v--02",
    ];
    crash_all(
        &World::new("held log", 4, &mirror),
        &["plex remove v-02", "plex detach v-02", "stop v"],
    );
}

/// A layer goes when all legs are equal.
#[test]
fn a_layer_that_somebody_has_open() {
    let world = World::new(
        "held layer",
        4,
        &[
            GROUP4,
            "make v 8m --mirrors 2",
            "sync",
            "mirror -b v",
            "hold g-v_l1",
        ],
    );
    while world.fake.0.borrow_mut().tick() {}
    crash_all(&world, &["recover"]);
    let layered = [
        GROUP4,
        "make v 8m",
        "snapstart -b v",
        "sync",
        "snapstart -b v",
        "hold g-v_l1",
        "hold g-v_v--02",
        "hold g-v_v--03",
    ];
    crash_all(
        &World::new("held below", 4, &layered),
        &["snapabort --all-plexes v", "snapabort v"],
    );
}

/// What tracks the changes goes with the last snapshot that needs it, or comes back with the
/// snapshot.
#[test]
fn what_tracks_changes_and_is_held_open() {
    let out = [
        GROUP4,
        "make v 8m",
        "snapstart -b v",
        "sync",
        "snapshot v --name s",
        "close",
    ];
    let held = [
        "hold g-v_data--0",
        "hold g-v_map--0",
        "hold g-v_sink--0",
        "hold g-s_data--0",
        "hold g-s_map--0",
    ];
    let world = World::new("held maps", 4, &[&out[..], &held].concat());
    crash_all(&world, &["snapclear s", "snapback -b s", "stop v"]);
}

/// What nobody needs any more and somebody has open is in the way of nothing but of what would need
/// its UUID.
#[test]
fn what_is_still_open_is_no_part_of_anything_new() {
    let script = [
        GROUP4,
        "make v 8m --fast-resync off",
        "snapstart -b v",
        "sync",
        "hold g-v_v--01",
        "hold g-v_v--02",
        "snapshot v --name s",
    ];
    let world = World::new("still open", 4, &script);
    crash_all(
        &world,
        &[
            "snapstart -b v",
            "mirror -b v",
            "make w 8m --mirrors 2",
            "remove s",
            "rename v u",
        ],
    );
    let fake = world.fake;
    fake.ok("remove --recursive v");
    fake.ok("make v 8m --mirrors 2");
    assert_eq!(fake.0.borrow().data.intruders, Vec::<String>::new());
    let group = fake.group().unwrap().0;
    assert_eq!(script::needless(&fake, &group), Vec::<String>::new());
    // One that is needed under the same UUID is refused, with nothing changed, as long as it is
    // open.
    let mirrored = [
        GROUP4,
        "make v 8m --mirrors 2",
        "sync",
        "hold g-v_v--02",
        "stop v",
    ];
    let fake = World::new("stopped", 4, &mirrored).fake;
    let start = Words::parse("start v");
    let refused = fake.run(&start).unwrap().map(drop).unwrap_err();
    assert_eq!(refused.kind(), Kind::InUse, "{refused}");
    assert!(refused.message().contains("held"), "{refused}");
    script::release(&fake);
    fake.ok("start v");
    assert_eq!(fake.0.borrow().dm.held().len(), 0);
}

#[test]
fn groups_and_their_disks() {
    let world = World::new("group", 5, &[GROUP4, "make v 8m --mirrors 2", "sync"]);
    crash_all(
        &world,
        &[
            "group add g /dev/fake5",
            "group remove-disk g disk04",
            "group destroy g",
        ],
    );
    let world = World::new("no-group", 2, &[]);
    crash_all(
        &world,
        &[
            "group create g /dev/fake1 /dev/fake2",
            "disk init /dev/fake1",
        ],
    );
    let script = ["disk init /dev/fake1 /dev/fake2"];
    let world = World::new("free disks", 2, &script);
    crash_all(&world, &["disk erase /dev/fake1 /dev/fake2"]);
    let world = World::new("enlarged", 2, &["group create g /dev/fake1", "larger1"]);
    crash_all(&world, &["disk resize disk01"]);
}

#[test]
fn a_group_that_changes_its_machine_or_its_name() {
    let stopped = [GROUP4, "make v 8m --mirrors 2", "sync", "stop --all"];
    let world = World::new("own", 4, &stopped);
    crash_all(&world, &["group deport g", "group import g --name h"]);
    let world = World::new("deported", 4, &[&stopped[..], &["group deport g"]].concat());
    crash_all(&world, &["group import g", "group import g --name h"]);
    let world = World::new(
        "half of it",
        2,
        &[
            "group create g /dev/fake1 /dev/fake2",
            "make v 8m --mirrors 2",
            "sync",
            "stop --all",
            "only1",
        ],
    );
    crash_all(&world, &["group import g --force"]);
}

/// The configuration of one side, or none as before.
#[test]
fn a_side_that_is_chosen() {
    let apart = [
        "group create g /dev/fake1 /dev/fake2",
        "make v 8m",
        "stop --all",
        "only1",
        "group import g --force",
        "make left 8m",
        "stop --all",
        "only2",
        "group import g --force",
        "make right 4m",
        "make more 4m",
        "stop --all",
        "all",
    ];
    let world = World::new("apart", 2, &apart);
    assert!(world.fake.group().is_none());
    crash_all(
        &world,
        &["group choose g /dev/fake1", "group choose g /dev/fake2"],
    );
}

/// What shows only when it is tried, and what something else thaws too early.
#[test]
fn a_filesystem_that_is_not_frozen_is_recorded_so() {
    let world = World::new(
        "snapdone",
        4,
        &[GROUP4, "make v 8m", "snapstart -b v", "sync"],
    );
    let (group, _) = world.fake.group().unwrap();
    let id = group.volumes[0].id;
    let uuid = DmUuid::new(group.id, id, &Role::Volume);
    let crash = || {
        world
            .fake
            .group()
            .unwrap()
            .0
            .volumes
            .iter()
            .find_map(|v| v.origin.clone())
            .unwrap()
            .crash
    };
    world
        .fake
        .0
        .borrow_mut()
        .data
        .unfreezable
        .insert(uuid.clone(), "vfat".to_owned());
    let refused = world
        .fake
        .run(&Words::parse("snapshot --require-frozen v --name s"));
    let refusal = refused.unwrap().unwrap_err();
    assert_eq!(
        (refusal.kind(), refusal.object()),
        (Kind::InUse, Some("g/v")),
        "{refusal}"
    );
    assert_eq!(world.fake.group().unwrap().0.volumes.len(), 1);
    world.fake.ok("snapshot v --name s");
    assert_eq!(crash(), Some(CrashReason::new("vfat")));
    world.fake.ok("remove --recursive s");

    world.fake.0.borrow_mut().data.unfreezable.clear();
    world
        .fake
        .0
        .borrow_mut()
        .data
        .thawed_early
        .insert(uuid, "thawed".to_owned());
    world.fake.ok("snapstart -b v");
    script::sync(&world.fake);
    world.fake.ok("snapshot v --name s");
    assert_eq!(crash(), Some(CrashReason::new("thawed")));
}

/// A label that was destroyed is written again by a commit: what is on the disk counts for nothing,
/// or for what was recorded, and never for more.
#[test]
fn a_label_that_is_written_again() {
    let stopped = [GROUP4, "make v 8m --mirrors 2", "sync", "stop v", "bare2"];
    crash_all(
        &World::new("label lost", 4, &stopped),
        &[
            "group restore-label g disk02 /dev/fake2",
            "group restore-label g disk02 /dev/fake2 --data-is-intact",
        ],
    );
    let gone_on = [&stopped[..], &["start v"]].concat();
    crash_all(
        &World::new("label lost, gone on", 4, &gone_on),
        &["group restore-label g disk02 /dev/fake2"],
    );
}
