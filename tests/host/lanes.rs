//! In how many lanes legs are filled, and when everything is copied although less has changed.

use crate::pure::{
    carry_out, done, list, make, name, on, set_status, snapstart, split_off, sync, world,
};
use breakoff::model::{DiskId, DmUuid, Lanes, PlexState, Role, Volume};
use breakoff::plan::evidence::Situation;
use breakoff::plan::request::{Request, Winner};
use breakoff::plan::step::{Plan, Prepare};
use breakoff::plan::{self, finding};
use breakoff::table::dco::Pace;
use breakoff::table::status::LegHealth;

fn disk(n: u8) -> DiskId {
    DiskId::from_bytes([n; 16])
}

/// A world whose disks have no heads.
fn flash(disks: u8) -> Situation {
    let mut w = world(disks);
    w.evidence.seekless = (1..=disks).map(disk).collect();
    w
}

fn volume(w: &Situation) -> &Volume {
    w.group.volume_named(&name("v")).unwrap()
}

/// The lines of the topmost table beneath an era, as starts and lengths in MiB.
fn lines(w: &Situation) -> Vec<(u64, u64)> {
    let device = |role| w.devices.get(&DmUuid::new(w.group.id, volume(w).id, &role));
    let table = &device(Role::Data).or(device(Role::Volume)).unwrap().table;
    let mib = |sectors: u64| sectors / 2048;
    table
        .iter()
        .map(|line| (mib(line.start.get()), mib(line.length.get())))
        .collect()
}

fn snapstart_in(lanes: u64) -> Request {
    Request::SnapStart {
        volumes: vec![name("v")],
        mirrors: 1,
        placement: on(&[]),
        lanes: Lanes::new(lanes),
    }
}

#[test]
fn a_leg_is_filled_in_lanes_and_is_one_segment_when_it_is_complete() {
    let mut w = flash(2);
    done(&mut w, &make("v", 64, 1));
    done(&mut w, &snapstart("v"));
    let eight: Vec<(u64, u64)> = (0..8).map(|n| (8 * n, 8)).collect();
    assert_eq!(lines(&w), eight);
    sync(&mut w);
    assert_eq!(lines(&w), [(0, 64)], "K5");
}

#[test]
fn heads_are_not_sent_to_and_fro() {
    for (heads, expected) in [(&[][..], 8), (&[1, 2, 3, 4], 2), (&[4], 2), (&[1], 2)] {
        let mut w = flash(4);
        heads
            .iter()
            .for_each(|n| assert!(w.evidence.seekless.remove(&disk(*n))));
        done(&mut w, &make("v", 150, 1));
        done(&mut w, &snapstart("v"));
        assert_eq!(lines(&w).len(), expected, "{heads:?} have heads");
        assert!(
            lines(&w).contains(&(96, 54)) || expected == 8,
            "one for each disk"
        );
    }
}

/// One disk with heads is read for legs on several without.
#[test]
fn the_heads_of_the_source_count() {
    let mut w = flash(4);
    assert!(w.evidence.seekless.remove(&disk(1)));
    done(&mut w, &make("v", 90, 1));
    done(&mut w, &snapstart("v"));
    assert_eq!(lines(&w).len(), 1);
}

#[test]
fn very_many_volumes_share_the_lanes() {
    let mut w = flash(4);
    let volumes: Vec<String> = (0..64).map(|n| format!("v{n}")).collect();
    for d in &mut w.state.group.disks {
        d.size = breakoff::model::Sectors::mib(100_000);
    }
    for volume in &volumes {
        done(&mut w, &make(volume, 64, 1));
    }
    let all = Request::SnapStart {
        volumes: volumes.iter().map(|volume| name(volume)).collect(),
        mirrors: 1,
        placement: on(&[]),
        lanes: None,
    };
    done(&mut w, &all);
    assert!(w.group.volumes.iter().all(|v| v.lanes.get() == 4));
    done(&mut w, &make("v", 64, 1));
    done(&mut w, &snapstart("v"));
    assert_eq!(volume(&w).lanes, Lanes::ONE, "256 are in use");
}

/// A change that leaves the legs alone leaves their lanes, or the copy would begin again.
#[test]
fn lanes_stay_while_their_legs_are_filled() {
    let mut w = flash(4);
    done(&mut w, &make("v", 64, 1));
    done(&mut w, &snapstart_in(2));
    let before = lines(&w);
    assert_eq!(before.len(), 2);
    let new = breakoff::model::Disk {
        id: disk(9),
        ..w.group.disks[3].clone()
    };
    // Nothing of it lies on that disk but space for maps, if anything.
    let mut draft_world = w.clone();
    draft_world.state.group.volumes[0].dco = Some(breakoff::model::Dco {
        copies: vec![breakoff::model::Extent {
            disk: disk(4),
            start: breakoff::model::Sectors::ZERO,
            length: breakoff::model::Sectors::mib(4),
        }],
        live: false,
    });
    let plan = plan::disks::replace(&draft_world, &name("disk04"), &new).unwrap();
    let after = plan.group.volume_named(&name("v")).unwrap();
    assert_eq!(after.lanes.get(), 2);
}

#[test]
fn who_asks_for_lanes_gets_them() {
    for (asked, expected) in [(1, 1), (2, 2), (16, 16)] {
        let mut w = world(2);
        done(&mut w, &make("v", 64, 1));
        done(&mut w, &snapstart_in(asked));
        assert_eq!(lines(&w).len(), expected);
    }
    let mut w = flash(2);
    done(&mut w, &make("v", 4, 1));
    done(&mut w, &snapstart_in(16));
    assert_eq!(lines(&w).len(), 2, "a lane has a region at least");
}

/// One of three plexes of the mirror below fails, and the table of the leg above stays as it is:
/// another one would begin the copy again.
#[test]
fn a_failure_below_does_not_begin_the_copy_again() {
    let mut w = flash(4);
    done(&mut w, &make("v", 64, 3));
    sync(&mut w);
    done(&mut w, &snapstart("v"));
    let table = |w: &Situation| {
        let uuid = DmUuid::new(w.group.id, volume(w).id, &Role::Volume);
        w.devices[&uuid].table.clone()
    };
    let before = table(&w);
    assert_eq!(before.len(), 8);
    let id = volume(&w).id;
    set_status(&mut w.state, id, 1, |role| {
        if *role == Role::Plex(1) {
            LegHealth::WriteFailed
        } else {
            LegHealth::Alive
        }
    });
    let findings = finding::findings(&w);
    let plan = finding::plan(&w, &findings[0]).unwrap();
    carry_out(&mut w, &plan);
    assert_eq!(volume(&w).plex(1).unwrap().state, PlexState::Failed);
    assert_eq!(table(&w), before);
}

/// A copy that an older version has begun is left as it is.
#[test]
fn a_copy_that_was_begun_in_one_lane_goes_on_in_one() {
    let mut w = world(3);
    done(&mut w, &make("v", 64, 1));
    done(&mut w, &snapstart("v"));
    assert_eq!((lines(&w).len(), volume(&w).lanes), (1, Lanes::ONE));
    w.evidence.seekless = (1..=3).map(disk).collect();
    assert_eq!(finding::findings(&w), []);
    done(
        &mut w,
        &Request::Rename {
            volume: name("v"),
            to: name("w"),
        },
    );
    let renamed = w.group.volume_named(&name("w")).unwrap();
    assert_eq!(renamed.lanes, Lanes::ONE);
}

/// A tracked snapshot `s` of a volume `v` of 64 MiB, with so many blocks of 64 KiB changed, one in
/// each MiB.
fn changed(mut w: Situation, places: u64) -> Situation {
    split_off(&mut w, 64, 1);
    let blocks = (0..places).map(|n| n * 2048..n * 2048 + 128).collect();
    list(&mut w, blocks, Vec::new());
    w
}

fn snapback(w: &mut Situation, from: Winner, lanes: Option<Lanes>) -> Plan {
    let back = Request::SnapBack {
        snapshots: vec![name("s")],
        mirrors: Some(1),
        from,
        keep: false,
        lanes,
    };
    done(w, &back)
}

fn writes_a_log(plan: &Plan) -> bool {
    let writes = |step: &Prepare| matches!(step, Prepare::WriteChanges { .. });
    plan.prepare.iter().any(writes)
}

/// A disk far away, and one of flash in this machine.
const FAR: Pace = Pace {
    answer: 4000,
    transfer: 100,
    flush: 4000,
};
const FLASH: Pace = Pace {
    answer: 80,
    transfer: 700,
    flush: 50,
};

#[test]
fn everything_is_copied_where_that_is_faster() {
    for from in [Winner::Original, Winner::Snapshot] {
        for (pace, places, all) in [
            (Some(FAR), 0, false),
            (Some(FAR), 1, false),
            (Some(FAR), 12, true),
            (Some(FLASH), 12, false),
            (Some(FLASH), 30, false),
            (Some(FLASH), 64, false),
            (None, 64, false),
        ] {
            let mut w = changed(flash(2), places);
            w.evidence.pace = pace
                .iter()
                .flat_map(|pace| [1, 2].map(|n| (disk(n), *pace)))
                .collect();
            let plan = snapback(&mut w, from, None);
            assert_eq!(writes_a_log(&plan), !all, "{places} places");
            assert_eq!(volume(&w).returning.is_none(), all);
            let said = plan.announced.join("\n");
            assert_eq!(said.contains("64m of 64m are copied"), all, "{said}");
            assert_eq!(said.contains("that is faster than"), all, "{said}");
        }
    }
}

#[test]
fn the_slower_disk_and_the_lanes_decide_what_is_faster() {
    let mut w = changed(flash(2), 30);
    w.evidence.pace = [(disk(1), FLASH), (disk(2), FAR)].into();
    let plan = snapback(&mut w, Winner::Original, Lanes::new(16));
    assert!(!writes_a_log(&plan));
    assert_eq!((volume(&w).lanes.get(), lines(&w).len()), (16, 16));

    let mut w = changed(flash(2), 8);
    w.evidence.pace = [(disk(1), FAR), (disk(2), FAR)].into();
    let one = snapback(&mut w.clone(), Winner::Original, Lanes::ONE.into());
    let many = snapback(&mut w, Winner::Original, Lanes::new(2));
    assert_eq!((writes_a_log(&one), writes_a_log(&many)), (true, false));
}

#[test]
fn disks_are_measured_only_where_much_has_changed() {
    for (places, measured) in [(16, vec![]), (17, vec![disk(1), disk(2)])] {
        let w = changed(flash(2), places);
        let disks = plan::snapback::to_measure(&w, &[name("s")]);
        assert_eq!(disks.into_iter().collect::<Vec<_>>(), measured);
    }
}
