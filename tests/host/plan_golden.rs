//! The plan of each verb as a person reads it with `--dry-run`, in reviewed files under
//! `tests/golden/plans`.

use crate::pure::golden::assert_golden;
use crate::pure::{anywhere, carry_out, done, make, name, snapstart, sync, world};
use breakoff::app::Outcome;
use breakoff::cli::native::hints::Native;
use breakoff::model::{Account, NodeOwner, Sectors};
use breakoff::plan::evidence::Situation;
use breakoff::plan::finding::{self, converge};
use breakoff::plan::request::{
    Convert, Finding, GrowTo, Legs, OwnerChange, Relations, Request, Selection, Split, Splits,
    Winner,
};
use breakoff::plan::step::Plan;
use breakoff::plan::{plan, render};
use breakoff::report::text;
use breakoff::table::status::LegHealth;

fn shown(world: &Situation, plan: &Plan) -> String {
    text::outcome(&Outcome::Planned(render::view(world, plan, &Native)), false)
}

/// Compares the plan of a request, carries it out, and checks that nothing is left to converge.
fn verb(world: &mut Situation, file: &str, request: &Request) {
    let planned = plan(world, request).unwrap_or_else(|e| panic!("{file}: {e}"));
    assert_golden(
        &format!("tests/golden/plans/{file}"),
        &shown(world, &planned),
    );
    carry_out(world, &planned);
    assert!(
        !converge(world).has_steps(),
        "{file}: something is left to converge"
    );
}

fn found(world: &mut Situation, file: &str) {
    for device in world.devices.values_mut() {
        if let Some(mirror) = &mut device.mirror {
            mirror.done = mirror.total;
        }
    }
    let findings = finding::findings(world);
    let planned = finding::plan(world, findings.first().expect("a finding")).expect("a plan");
    assert_golden(
        &format!("tests/golden/plans/{file}"),
        &shown(world, &planned),
    );
    carry_out(world, &planned);
}

fn one(volume: &str) -> Selection {
    Selection::Named(vec![name(volume)])
}

fn split(volumes: &[&str]) -> Request {
    let these = volumes
        .iter()
        .map(|v| Split {
            volume: name(v),
            name: None,
        })
        .collect();
    Request::Snapshot {
        splits: Splits::These(these),
        legs: Legs::Count(1),
        pattern: None,
        require_frozen: false,
    }
}

#[test]
fn the_life_of_a_plain_volume() {
    let mut w = world(3);
    verb(&mut w, "make", &make("v", 64, 1));
    verb(&mut w, "snapstart", &snapstart("v"));
    found(&mut w, "snapstart-attached");
    verb(&mut w, "snapstart-second", &snapstart("v"));
    found(&mut w, "snapstart-second-attached");
    verb(&mut w, "snapshot", &split(&["v"]));
    verb(
        &mut w,
        "snapclear",
        &Request::SnapClear {
            volume: name("SNAP-v"),
            which: Relations::TheOne,
        },
    );
    verb(
        &mut w,
        "snapabort",
        &Request::SnapAbort {
            volume: name("v"),
            count: Some(1),
        },
    );
    verb(
        &mut w,
        "rename",
        &Request::Rename {
            volume: name("v"),
            to: name("w"),
        },
    );
    let oracle = NodeOwner {
        user: Account::parse("oracle").ok(),
        group: Account::parse("dba").ok(),
        mode: None,
    };
    verb(
        &mut w,
        "owner",
        &Request::Owner {
            volumes: vec![name("w")],
            change: OwnerChange::Set(oracle),
        },
    );
    verb(&mut w, "stop", &Request::Stop(one("w")));
    verb(
        &mut w,
        "start",
        &Request::Start {
            volumes: one("w"),
            force: false,
        },
    );
    verb(
        &mut w,
        "remove",
        &Request::Remove {
            volumes: vec![name("w")],
            recursive: false,
        },
    );
}

fn add_log(volume: &str, on: &[&str]) -> Request {
    Request::LogAdd {
        volume: name(volume),
        placement: crate::pure::on(on),
    }
}

#[test]
fn a_log_that_comes_and_goes() {
    let mut w = world(4);
    let remove = Request::LogRemove(name("v"));
    done(&mut w, &make("v", 64, 2));
    // The plexes are not equal yet, and all is resynchronised.
    verb(&mut w, "log-remove-unequal", &remove);
    verb(&mut w, "log-add-unequal", &add_log("v", &[]));
    sync(&mut w);
    verb(&mut w, "log-remove", &remove);
    verb(&mut w, "log-add", &add_log("v", &["disk04"]));
    // Beneath a copy, which goes on.
    done(&mut w, &snapstart("v"));
    verb(&mut w, "log-remove-beneath-a-copy", &remove);
    verb(&mut w, "log-add-beneath-a-copy", &add_log("v", &[]));
    sync(&mut w);
    done(&mut w, &remove);
    done(&mut w, &Request::Stop(one("v")));
    verb(&mut w, "log-add-stopped", &add_log("v", &[]));
    let start = Request::Start {
        volumes: one("v"),
        force: false,
    };
    verb(&mut w, "log-add-started", &start);
}

#[test]
fn the_life_of_a_mirrored_volume() {
    let mut w = world(4);
    verb(&mut w, "make-mirrored", &make("v", 64, 2));
    found(&mut w, "make-mirrored-resynced");
    verb(&mut w, "snapstart-on-a-mirror", &snapstart("v"));
    found(&mut w, "snapstart-on-a-mirror-attached");
    verb(
        &mut w,
        "grow-mirrored",
        &Request::Grow {
            volume: name("v"),
            to: GrowTo::By(Sectors::mib(8)),
            placement: anywhere(),
            filesystem: false,
        },
    );
    sync(&mut w);
    verb(&mut w, "snapshot-of-a-mirror", &split(&["v"]));
    verb(&mut w, "plex-detach", &Request::PlexDetach(name("v-02")));
    verb(
        &mut w,
        "plex-attach",
        &Request::PlexAttach {
            plex: name("v-02"),
            lanes: None,
        },
    );
    sync(&mut w);
    verb(
        &mut w,
        "plex-convert",
        &Request::PlexConvert {
            plex: name("v-02"),
            to: Convert::SnapDone,
        },
    );
    verb(
        &mut w,
        "plex-convert-back",
        &Request::PlexConvert {
            plex: name("v-02"),
            to: Convert::Active,
        },
    );
    verb(&mut w, "plex-remove", &Request::PlexRemove(name("v-01")));
    verb(
        &mut w,
        "mirror",
        &Request::Mirror {
            volume: name("v"),
            placement: anywhere(),
            lanes: None,
        },
    );
    found(&mut w, "mirror-attached");
}

#[test]
fn several_volumes_in_one_window() {
    let mut w = world(4);
    done(&mut w, &make("a", 20, 1));
    done(&mut w, &make("b", 20, 2));
    sync(&mut w);
    done(
        &mut w,
        &Request::SnapStart {
            volumes: vec![name("a"), name("b")],
            mirrors: 1,
            placement: anywhere(),
            lanes: None,
        },
    );
    sync(&mut w);
    verb(&mut w, "snapshot-of-two", &split(&["a", "b"]));
}

/// Both sides get a map. It is formatted once and copied; its device is made once and gets another
/// table.
#[test]
fn a_snapshot_whose_changes_are_tracked() {
    let mut w = world(3);
    let mut request = make("v", 64, 1);
    if let Request::Make { fast_resync, .. } = &mut request {
        *fast_resync = true;
    }
    done(&mut w, &request);
    verb(&mut w, "snapstart-tracked", &snapstart("v"));
    sync(&mut w);
    verb(&mut w, "snapshot-tracked", &split(&["v"]));
}

#[test]
fn snapshots_of_two_volumes_that_come_back_in_mixed_order() {
    let mut w = world(5);
    for volume in ["a", "b"] {
        done(
            &mut w,
            &Request::Make {
                volume: name(volume),
                size: Sectors::mib(8),
                mirrors: 1,
                placement: anywhere(),
                log: true,
                fast_resync: false,
                sector_size: None,
                owner: NodeOwner::default(),
            },
        );
    }
    done(
        &mut w,
        &Request::SnapStart {
            volumes: vec![name("a")],
            mirrors: 2,
            placement: anywhere(),
            lanes: None,
        },
    );
    done(&mut w, &snapstart("b"));
    sync(&mut w);
    verb(
        &mut w,
        "snapshot-of-a-named-leg",
        &Request::Snapshot {
            splits: Splits::These(vec![Split {
                volume: name("a"),
                name: None,
            }]),
            legs: Legs::Named(vec![name("a-03")]),
            pattern: None,
            require_frozen: false,
        },
    );
    done(&mut w, &split(&["b"]));
    done(&mut w, &split(&["a"]));
    let snapshots = ["SNAP-a", "SNAP-b", "SNAP1-a"].map(name).to_vec();
    verb(
        &mut w,
        "snapback-in-mixed-order",
        &Request::SnapBack {
            snapshots,
            mirrors: Some(1),
            from: Winner::Original,
            keep: false,
            lanes: None,
        },
    );
}

#[test]
fn a_failed_leg_is_recorded_before_it_is_dropped() {
    let mut w = world(3);
    done(&mut w, &make("v", 64, 1));
    done(&mut w, &snapstart("v"));
    let id = w.group.volumes[0].id;
    crate::pure::set_status(&mut w, id, 0, |role| match role {
        breakoff::model::Role::Plex(2) => LegHealth::WriteFailed,
        _ => LegHealth::Alive,
    });
    let findings = finding::findings(&w);
    let planned = finding::plan(&w, &findings[0]).expect("a plan");
    assert_golden("tests/golden/plans/failed-leg", &shown(&w, &planned));
    assert!(
        planned.group.volumes[0]
            .plexes
            .iter()
            .all(|p| p.number == 1)
    );
}

/// The kernel shows the log alone as failed. If the disk cannot be read at all, its leg goes with
/// it: one repair instead of two.
#[test]
fn a_leg_on_the_disk_of_a_failed_log_goes_with_it_if_the_disk_is_dead() {
    let mut w = world(3);
    done(&mut w, &make("v", 64, 2));
    sync(&mut w);
    let id = w.group.volumes[0].id;
    let log_on = |w: &Situation| w.group.volumes[0].log.as_ref().map(|log| log.extent.disk);
    let disk = log_on(&w).expect("a log");
    for device in w.devices.values_mut() {
        device.mirror.iter_mut().for_each(|m| m.log_failed = true);
    }
    let lost = |w: &Situation| match finding::findings(w).as_slice() {
        [Finding::Failed(of, lost)] if *of == id => lost.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!((lost(&w).plexes, lost(&w).log), (vec![], true));
    let on_it = w.group.volumes[0].plexes[0].number;
    assert_eq!(w.group.volumes[0].plexes[0].subdisks[0].disk, disk);
    w.disks.remove(&disk);
    assert_eq!((lost(&w).plexes, lost(&w).log), (vec![on_it], true));
    let planned = finding::plan(&w, &Finding::Failed(id, lost(&w))).expect("a plan");
    assert_golden(
        "tests/golden/plans/failed-log-and-leg",
        &shown(&w, &planned),
    );
    // The last data plex stays, whatever is said of its disk.
    let other = w.group.volumes[0].plexes[1].subdisks[0].disk;
    w.disks.remove(&other);
    assert_eq!(lost(&w).plexes.len(), 1);
}

#[test]
fn an_unclean_start_removes_the_leg_and_resynchronises() {
    let mut w = world(4);
    done(&mut w, &make("v", 64, 2));
    sync(&mut w);
    done(&mut w, &snapstart("v"));
    sync(&mut w);
    done(&mut w, &snapstart("v"));
    w.devices.clear();
    w.taken_names.clear();
    w.boot = breakoff::model::BootId::from_bytes([0xb1; 16]);
    verb(
        &mut w,
        "start-after-a-crash",
        &Request::Start {
            volumes: one("v"),
            force: false,
        },
    );
    assert!(!w.group.volumes[0].is_synced());
    assert_eq!(w.group.volumes[0].plexes.len(), 3);
}
