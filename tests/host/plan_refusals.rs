//! What is refused, before any change, with which kind and reason; and the rules of placement and
//! naming.

use crate::pure::{anywhere, done, make, name, on, refused, snapstart, sync, world};
use breakoff::cli::native::hints::Native;
use breakoff::error::Kind;
use breakoff::model::{
    CrashReason, Disk, DiskId, DmUuid, NodeOwner, PlexState, SectorSize, Sectors, Standing,
};
use breakoff::plan::change::{Change, Event};
use breakoff::plan::evidence::Situation;
use breakoff::plan::request::{
    Convert, Finding, GrowTo, Legs, Placement, Relations, Request, Selection, Split, Splits, Winner,
};
use breakoff::plan::room::{RoomFor, room};
use breakoff::plan::{Need, needs, plan};
use breakoff::plan::{finding, quorum};
use breakoff::table::status::LegHealth;

fn split_as(volume: &str, snapshot: Option<&str>) -> Request {
    let these = vec![Split {
        volume: name(volume),
        name: snapshot.map(name),
    }];
    Request::Snapshot {
        splits: Splits::These(these),
        legs: Legs::Count(1),
        pattern: None,
        require_frozen: false,
    }
}

fn start(volumes: Selection) -> Request {
    Request::Start {
        volumes,
        force: false,
    }
}

#[test]
fn names_that_are_taken_or_ambiguous_are_refused() {
    let mut w = world(2);
    done(&mut w, &make("v", 10, 1));
    assert_eq!(refused(&w, &make("v", 10, 1)).kind(), Kind::Exists);
    assert_eq!(refused(&w, &make("v_log", 10, 1)).kind(), Kind::Exists);
    assert_eq!(
        refused(
            &w,
            &Request::Rename {
                volume: name("x"),
                to: name("y")
            }
        )
        .kind(),
        Kind::NotFound
    );
    let mut foreign = w.clone();
    foreign
        .taken_names
        .insert(breakoff::model::DmName::from_kernel("g-new"));
    assert_eq!(refused(&foreign, &make("new", 10, 1)).kind(), Kind::Exists);
}

#[test]
fn a_pair_of_names_that_does_not_fit_is_refused() {
    let mut w = world(1);
    w.group.name = name(&"g".repeat(63));
    assert_eq!(
        refused(&w, &make(&format!("a{}", "-".repeat(40)), 10, 1)).kind(),
        Kind::Usage
    );
    done(&mut w, &make(&"n".repeat(63), 10, 1));
    assert_eq!(w.group.volumes[0].plexes[0].name.as_str().len(), 63);
}

#[test]
fn two_plexes_never_share_a_disk_unless_disks_are_named() {
    let mut w = world(1);
    let alone = refused(&w, &make("m", 10, 2));
    assert_eq!(alone.kind(), Kind::NoSpace);
    // Naming the disks would be no help here, and must not be advised.
    assert!(
        alone
            .hint_text(&Native)
            .is_some_and(|hint| hint.contains("group add") && !hint.contains("--on")),
        "{alone:?}"
    );
    done(&mut w, &make("v", 10, 1));
    let reason = refused(&w, &snapstart("v"));
    assert_eq!(reason.kind(), Kind::NoSpace);
    assert!(
        reason.message().contains("holds a plex of it already"),
        "{reason}"
    );
    assert!(
        reason
            .hint_text(&Native)
            .is_some_and(|hint| hint.contains("--on")),
        "{reason:?}"
    );
    let named = Request::SnapStart {
        volumes: vec![name("v")],
        mirrors: 1,
        placement: on(&["disk01"]),
        lanes: None,
    };
    let planned = done(&mut w, &named);
    assert!(
        planned
            .notes
            .iter()
            .any(|n| n.text(&Native).contains("shares a disk"))
    );
}

#[test]
fn avoided_disks_are_avoided_and_unknown_ones_refused() {
    let mut w = world(3);
    let avoid = Placement {
        on: Vec::new(),
        avoid: vec![name("disk01"), name("disk02")],
    };
    done(
        &mut w,
        &Request::Make {
            volume: name("v"),
            size: Sectors::mib(8),
            mirrors: 1,
            placement: avoid,
            log: true,
            fast_resync: false,
            sector_size: None,
            owner: NodeOwner::default(),
        },
    );
    assert_eq!(
        w.group.volumes[0].plexes[0].subdisks[0].disk,
        w.group.disks[2].id
    );
    let unknown = Request::Make {
        volume: name("x"),
        size: Sectors::mib(8),
        mirrors: 1,
        placement: on(&["nodisk"]),
        log: true,
        fast_resync: false,
        sector_size: None,
        owner: NodeOwner::default(),
    };
    assert_eq!(refused(&w, &unknown).kind(), Kind::NotFound);
}

#[test]
fn the_thirty_third_plex_is_refused() {
    let mut w = world(40);
    done(&mut w, &make("v", 8, 1));
    let legs = |n| Request::SnapStart {
        volumes: vec![name("v")],
        mirrors: n,
        placement: anywhere(),
        lanes: None,
    };
    assert_eq!(refused(&w, &legs(32)).kind(), Kind::NoSpace);
    done(&mut w, &legs(31));
    sync(&mut w);
    let reason = refused(&w, &legs(1));
    assert!(
        reason.kind() == Kind::NoSpace && reason.message().contains("32 plexes"),
        "{reason}"
    );
}

#[test]
fn a_volume_that_is_not_started_takes_no_leg() {
    let mut w = world(2);
    done(&mut w, &make("v", 8, 1));
    done(&mut w, &Request::Stop(Selection::All));
    assert_eq!(refused(&w, &snapstart("v")).kind(), Kind::NotReady);
}

#[test]
fn snapshot_needs_a_leg_that_is_done_and_alive() {
    let mut w = world(3);
    done(&mut w, &make("v", 8, 1));
    assert_eq!(refused(&w, &split_as("v", None)).kind(), Kind::NotReady);
    done(&mut w, &snapstart("v"));
    assert_eq!(refused(&w, &split_as("v", None)).kind(), Kind::NotReady);
    sync(&mut w);
    let id = w.group.volumes[0].id;
    for letter in [
        LegHealth::WriteFailed,
        LegHealth::SyncFailed,
        LegHealth::ReadFailed,
        LegHealth::FlushFailed,
        LegHealth::Unknown,
    ] {
        let mut bad = w.clone();
        crate::pure::set_status(&mut bad, id, 1, |role| {
            if *role == breakoff::model::Role::Plex(2) {
                letter
            } else {
                LegHealth::Alive
            }
        });
        assert_eq!(
            refused(&bad, &split_as("v", None)).kind(),
            Kind::NotReady,
            "{letter:?}"
        );
    }
    let mut behind = w.clone();
    crate::pure::set_status(&mut behind, id, 0, |_| LegHealth::Alive);
    assert_eq!(
        refused(&behind, &split_as("v", None)).kind(),
        Kind::NotReady
    );
    done(&mut w, &split_as("v", None));
}

#[test]
fn one_volume_that_is_not_ready_keeps_all_from_being_split() {
    let mut w = world(4);
    done(&mut w, &make("a", 8, 1));
    done(&mut w, &make("b", 8, 1));
    done(&mut w, &snapstart("a"));
    sync(&mut w);
    let all = Request::Snapshot {
        splits: Splits::All,
        legs: Legs::Count(1),
        pattern: None,
        require_frozen: false,
    };
    assert_eq!(refused(&w, &all).kind(), Kind::NotReady);
}

#[test]
fn default_names_count_up_and_a_collision_fails_before_any_change() {
    let mut w = world(5);
    done(&mut w, &make("v", 8, 1));
    for expected in ["SNAP-v", "SNAP1-v", "SNAP2-v"] {
        done(&mut w, &snapstart("v"));
        sync(&mut w);
        done(&mut w, &split_as("v", None));
        assert!(
            w.group.volumes.iter().any(|v| v.name == name(expected)),
            "{expected}"
        );
    }
    done(&mut w, &snapstart("v"));
    sync(&mut w);
    assert_eq!(
        refused(&w, &split_as("v", Some("SNAP-v"))).kind(),
        Kind::Exists
    );
    let pattern = |p: &str| Request::Snapshot {
        splits: Splits::These(vec![Split {
            volume: name("v"),
            name: None,
        }]),
        legs: Legs::Count(1),
        pattern: Some(p.to_owned()),
        require_frozen: false,
    };
    assert_eq!(refused(&w, &pattern("same")).kind(), Kind::Usage);
    assert_eq!(refused(&w, &pattern("%v")).kind(), Kind::Exists);
    done(&mut w, &pattern("SNAP%v-%d"));
    assert!(w.group.volumes.iter().any(|v| v.name == name("SNAPv-")));
}

#[test]
fn vxvms_pair_is_a_name_unless_such_a_volume_exists() {
    let mut w = world(4);
    done(&mut w, &make("a", 8, 1));
    done(&mut w, &make("b", 8, 1));
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
    let pair = |second: &str| Request::Snapshot {
        splits: Splits::PairOrTwo(name("a"), name(second)),
        legs: Legs::Count(1),
        pattern: None,
        require_frozen: false,
    };
    assert_eq!(plan(&w, &pair("b")).expect("a plan").snapshots.len(), 2);
    assert_eq!(
        plan(&w, &pair("snapvol")).expect("a plan").snapshots.len(),
        1
    );
}

/// It has a lower number than the plex that has grown, and would be what that one is filled from.
#[test]
fn a_leg_is_no_data_plex_before_what_has_grown_is_equal() {
    let mut w = world(3);
    done(&mut w, &make("v", 8, 1));
    done(
        &mut w,
        &Request::Mirror {
            volume: name("v"),
            placement: anywhere(),
            lanes: None,
        },
    );
    sync(&mut w);
    done(
        &mut w,
        &Request::PlexConvert {
            plex: name("v-01"),
            to: Convert::SnapDone,
        },
    );
    done(
        &mut w,
        &Request::Grow {
            volume: name("v"),
            to: GrowTo::By(Sectors::mib(2)),
            placement: anywhere(),
            filesystem: false,
        },
    );
    let back = Request::PlexConvert {
        plex: name("v-01"),
        to: Convert::Active,
    };
    assert_eq!(refused(&w, &back).kind(), Kind::NotReady);
    sync(&mut w);
    done(&mut w, &back);
}

#[test]
fn a_plex_whose_disk_is_missing_takes_no_other_s_place() {
    let mut w = world(3);
    done(&mut w, &make("v", 8, 2));
    sync(&mut w);
    let first = w.group.volumes[0].plexes[0].clone();
    let second = w.group.volumes[0].plexes[1].name.clone();
    w.disks.remove(&first.subdisks[0].disk);
    for request in [
        Request::PlexConvert {
            plex: second.clone(),
            to: Convert::SnapDone,
        },
        Request::PlexDetach(second.clone()),
        Request::PlexRemove(second),
    ] {
        let error = refused(&w, &request);
        assert_eq!(error.kind(), Kind::Failed);
        assert!(error.message().ends_with("is missing"), "{error}");
    }
    // The one that is away can go.
    done(&mut w, &Request::PlexRemove(first.name));
}

#[test]
fn only_what_is_being_filled_is_aborted() {
    let mut w = world(3);
    done(&mut w, &make("v", 8, 2));
    sync(&mut w);
    let abort = |plex: &str| Request::PlexAbort(name(plex));
    assert_eq!(refused(&w, &abort("v-02")).kind(), Kind::NotReady);
    done(&mut w, &Request::PlexDetach(name("v-02")));
    assert_eq!(refused(&w, &abort("v-02")).kind(), Kind::NotReady);
    let attach = Request::PlexAttach {
        plex: name("v-02"),
        lanes: None,
    };
    done(&mut w, &attach);
    done(&mut w, &abort("v-02"));
    let states: Vec<PlexState> = w.group.volumes[0].plexes.iter().map(|p| p.state).collect();
    assert_eq!(states, [PlexState::Active, PlexState::Stale]);
    // A new plex goes.
    done(&mut w, &snapstart("v"));
    done(&mut w, &abort("v-03"));
    assert_eq!(w.group.volumes[0].plexes.len(), 2);
}

#[test]
fn the_last_complete_plex_stays() {
    let mut w = world(3);
    done(&mut w, &make("v", 8, 1));
    let convert = |plex: &str| Request::PlexConvert {
        plex: name(plex),
        to: Convert::SnapDone,
    };
    for request in [
        convert("v-01"),
        Request::PlexDetach(name("v-01")),
        Request::PlexRemove(name("v-01")),
    ] {
        assert_eq!(refused(&w, &request).kind(), Kind::Failed);
    }
    done(
        &mut w,
        &Request::Mirror {
            volume: name("v"),
            placement: anywhere(),
            lanes: None,
        },
    );
    assert_eq!(
        refused(&w, &Request::PlexRemove(name("v-01"))).kind(),
        Kind::Failed,
        "the new plex is not complete yet"
    );
    assert_eq!(refused(&w, &convert("v-02")).kind(), Kind::NotReady);
    sync(&mut w);
    done(&mut w, &convert("v-02"));
    assert_eq!(refused(&w, &convert("v-01")).kind(), Kind::Failed);
    assert_eq!(w.group.volumes[0].plexes[1].state, PlexState::SnapDone);
}

#[test]
fn a_mirror_that_is_not_equal_yet_is_no_snapshot_leg_and_keeps_its_first_plex() {
    let mut w = world(3);
    done(&mut w, &make("v", 8, 2));
    assert_eq!(
        refused(
            &w,
            &Request::PlexConvert {
                plex: name("v-02"),
                to: Convert::SnapDone
            }
        )
        .kind(),
        Kind::NotReady
    );
    assert_eq!(
        refused(&w, &Request::PlexRemove(name("v-01"))).kind(),
        Kind::Failed
    );
    assert!(plan(&w, &Request::PlexRemove(name("v-02"))).is_ok());
}

#[test]
fn a_failing_first_leg_of_an_unequal_mirror_is_kept_and_the_others_given_up() {
    let mut w = world(3);
    done(&mut w, &make("v", 8, 2));
    let id = w.group.volumes[0].id;
    crate::pure::set_status(&mut w, id, 0, |role| {
        if *role == breakoff::model::Role::Plex(1) {
            LegHealth::WriteFailed
        } else {
            LegHealth::Alive
        }
    });
    let planned = finding::plan(&w, &finding::findings(&w)[0]).expect("a plan");
    let states: Vec<PlexState> = planned.group.volumes[0]
        .plexes
        .iter()
        .map(|p| p.state)
        .collect();
    assert_eq!(states, [PlexState::Active, PlexState::Failed]);
}

fn log_add(placement: Placement) -> Request {
    Request::LogAdd {
        volume: name("v"),
        placement,
    }
}

#[test]
fn a_log_is_for_a_mirror_that_has_none() {
    let mut w = world(4);
    done(&mut w, &make("v", 8, 1));
    // A snapshot leg makes no mirror of a volume.
    done(&mut w, &snapstart("v"));
    sync(&mut w);
    let error = refused(&w, &log_add(anywhere()));
    assert_eq!(error.kind(), Kind::NotReady, "{error}");
    let hint = error.hint_text(&Native).unwrap();
    assert_eq!(hint, "make it one with 'breakoff -g g mirror v'");
    // A mirror gets one by itself, unless it was taken away.
    let mirror = Request::Mirror {
        volume: name("v"),
        placement: anywhere(),
        lanes: None,
    };
    let remove = Request::LogRemove(name("v"));
    done(&mut w, &mirror);
    let error = refused(&w, &log_add(anywhere()));
    assert_eq!(error.kind(), Kind::Exists, "{error}");
    sync(&mut w);
    done(&mut w, &remove);
    assert!(finding::unlogged(&w).is_empty(), "nobody makes it again");
    assert!(w.group.volumes[0].log.is_none());
    let again = plan(&w, &remove).unwrap();
    assert!(again.changes.is_empty() && !again.has_steps());
    done(&mut w, &log_add(on(&["disk04"])));
    let extent = w.group.volumes[0].log.as_ref().unwrap().extent;
    assert_eq!(extent.disk, w.group.disk_named(&name("disk04")).unwrap().id);
}

#[test]
fn a_log_lies_on_the_named_disks_and_on_no_others() {
    let mut w = world(3);
    done(&mut w, &make("v", 8, 2));
    done(&mut w, &Request::LogRemove(name("v")));
    let full = Request::Make {
        owner: NodeOwner::default(),
        volume: name("w"),
        size: Sectors::mib(96),
        mirrors: 1,
        placement: on(&["disk03"]),
        log: true,
        fast_resync: false,
        sector_size: None,
    };
    done(&mut w, &full);
    let error = refused(&w, &log_add(on(&["disk03"])));
    assert_eq!(error.kind(), Kind::NoSpace, "{error}");
    let hint = error.hint_text(&Native).unwrap();
    assert_eq!(hint, "add a disk with 'breakoff group add g DEVICE'");
    let error = refused(&w, &log_add(on(&["nosuch"])));
    assert_eq!(error.kind(), Kind::NotFound, "{error}");
    let avoid = Placement {
        on: Vec::new(),
        avoid: vec![name("disk01")],
    };
    done(&mut w, &log_add(avoid));
    let extent = w.group.volumes[0].log.as_ref().unwrap().extent;
    assert_eq!(extent.disk, w.group.disk_named(&name("disk02")).unwrap().id);
}

/// In a mirror whose log says that nothing is in sync a write goes to the first plex alone. What was
/// known to be equal before is so no more.
#[test]
fn a_log_that_is_written_dirty_vouches_for_nothing() {
    let mut w = world(3);
    done(&mut w, &make("v", 8, 2));
    sync(&mut w);
    done(&mut w, &Request::LogRemove(name("v")));
    let grow = Request::Grow {
        volume: name("v"),
        to: GrowTo::By(Sectors::mib(8)),
        placement: anywhere(),
        filesystem: false,
    };
    done(&mut w, &grow);
    assert_eq!(w.group.volumes[0].synced, Sectors::mib(8));
    done(&mut w, &log_add(anywhere()));
    assert_eq!(w.group.volumes[0].synced, Sectors::ZERO);
}

#[test]
fn open_volumes_are_neither_stopped_nor_removed() {
    let mut w = world(1);
    done(&mut w, &make("v", 8, 1));
    w.devices.values_mut().for_each(|d| d.open_count = 1);
    assert_eq!(
        refused(&w, &Request::Stop(Selection::Named(vec![name("v")]))).kind(),
        Kind::InUse
    );
    assert_eq!(
        refused(
            &w,
            &Request::Remove {
                volumes: vec![name("v")],
                recursive: true
            }
        )
        .kind(),
        Kind::InUse
    );
}

#[test]
fn a_volume_with_legs_or_snapshots_is_removed_only_recursively() {
    let mut w = world(3);
    done(&mut w, &make("v", 8, 1));
    done(&mut w, &snapstart("v"));
    let remove = |recursive| Request::Remove {
        volumes: vec![name("v")],
        recursive,
    };
    assert_eq!(refused(&w, &remove(false)).kind(), Kind::InUse);
    sync(&mut w);
    done(&mut w, &split_as("v", None));
    assert_eq!(refused(&w, &remove(false)).kind(), Kind::InUse);
    done(&mut w, &remove(true));
    assert_eq!(w.group.volumes.len(), 1);
    assert!(w.group.volumes[0].origin.is_none());
}

#[test]
fn growing_says_what_cannot_be() {
    let mut w = world(2);
    done(&mut w, &make("v", 8, 1));
    let grow = |to| Request::Grow {
        volume: name("v"),
        to,
        placement: anywhere(),
        filesystem: false,
    };
    assert_eq!(
        refused(&w, &grow(GrowTo::To(Sectors::mib(4)))).kind(),
        Kind::Usage
    );
    assert_eq!(
        refused(&w, &grow(GrowTo::By(Sectors::mib(500)))).kind(),
        Kind::NoSpace
    );
    assert!(
        plan(&w, &grow(GrowTo::To(Sectors::mib(8))))
            .expect("a plan")
            .changes
            .is_empty()
    );
    done(&mut w, &snapstart("v"));
    assert_eq!(
        refused(&w, &grow(GrowTo::By(Sectors::mib(1)))).kind(),
        Kind::NotReady
    );
}

#[test]
fn stopping_all_leaves_only_what_is_open() {
    let mut w = world(3);
    for volume in ["a", "b", "c"] {
        done(&mut w, &make(volume, 8, 1));
    }
    let b = w.group.volume_named(&name("b")).expect("b").id;
    w.devices
        .values_mut()
        .filter(|d| d.uuid.volume() == Some(b))
        .for_each(|d| d.open_count = 1);
    assert_eq!(
        refused(
            &w,
            &Request::Stop(Selection::Named(vec![name("a"), name("b")]))
        )
        .kind(),
        Kind::InUse
    );
    let planned = done(&mut w, &Request::Stop(Selection::All));
    let failures: Vec<_> = planned
        .failures
        .iter()
        .map(|e| (e.kind(), e.object().unwrap_or_default()))
        .collect();
    assert_eq!(failures, [(Kind::InUse, "g/b".to_owned())]);
    let running: Vec<_> = w
        .group
        .volumes
        .iter()
        .filter(|v| v.running.is_some())
        .map(|v| v.name.as_str())
        .collect();
    assert_eq!(running, ["b"]);
}

#[test]
fn a_missing_disk_stops_only_what_needs_it() {
    let mut w = world(3);
    done(&mut w, &make("a", 60, 1));
    done(&mut w, &make("b", 60, 1));
    done(&mut w, &make("m", 20, 2));
    sync(&mut w);
    done(&mut w, &Request::Stop(Selection::All));
    let lost = w.group.volume_named(&name("a")).expect("a").plexes[0].subdisks[0].disk;
    w.disks.remove(&lost);
    assert_eq!(
        refused(&w, &start(Selection::Named(vec![name("a")]))).kind(),
        Kind::Device
    );
    let planned = done(&mut w, &start(Selection::All));
    let failures: Vec<_> = planned
        .failures
        .iter()
        .map(|e| (e.kind(), e.object().unwrap_or_default()))
        .collect();
    assert_eq!(failures, [(Kind::Device, "g/a".to_owned())]);
    assert!(
        w.group
            .volume_named(&name("b"))
            .expect("b")
            .running
            .is_some()
    );
    assert!(
        w.group
            .volume_named(&name("m"))
            .expect("m")
            .running
            .is_some()
    );
}

/// What was written meanwhile went to the first plex alone.
#[test]
fn plexes_that_were_being_made_equal_are_not_started_without_the_first() {
    let mut w = world(3);
    done(&mut w, &make("m", 20, 2));
    done(&mut w, &Request::Stop(Selection::All));
    let (first, second) = (
        w.group.volumes[0].plexes[0].subdisks[0].disk,
        w.group.volumes[0].plexes[1].subdisks[0].disk,
    );
    let mut without_second = w.clone();
    without_second.disks.remove(&second);
    done(&mut without_second, &start(Selection::All));
    w.disks.remove(&first);
    let refusal = refused(&w, &start(Selection::Named(vec![name("m")])));
    assert_eq!(refusal.kind(), Kind::Device);
    assert!(
        refusal
            .hint_text(&Native)
            .is_some_and(|hint| hint.contains("start --force m")),
        "{refusal}"
    );
    let forced = done(
        &mut w,
        &Request::Start {
            volumes: Selection::All,
            force: true,
        },
    );
    assert!(
        forced
            .notes
            .iter()
            .any(|note| note.text(&Native).contains("without the last writes")),
        "{:?}",
        forced.notes
    );
}

/// A group of two disks with a mirror on both that was stopped.
fn stopped_mirror() -> Situation {
    let mut w = world(2);
    done(&mut w, &make("m", 20, 2));
    sync(&mut w);
    done(&mut w, &Request::Stop(Selection::All));
    w
}

fn lose(w: &mut Situation, disk: usize) {
    let id = w.group.disks[disk].id;
    w.disks.remove(&id);
}

#[test]
fn half_of_the_disks_start_nothing_unless_forced() {
    let mut w = stopped_mirror();
    lose(&mut w, 1);
    for volumes in [Selection::All, Selection::Named(vec![name("m")])] {
        let reason = refused(&w, &start(volumes));
        assert_eq!(reason.kind(), Kind::Unsafe);
        assert!(
            reason.message().contains("'disk02' missing")
                && reason.message().contains("generation"),
            "{reason}"
        );
        assert!(
            reason
                .hint_text(&Native)
                .is_some_and(|hint| hint.contains("--force") && hint.contains("/dev/disk01")),
            "{reason}"
        );
    }
    assert_eq!(refused(&w, &make("x", 8, 1)).kind(), Kind::Unsafe);
    let forced = done(
        &mut w,
        &Request::Start {
            volumes: Selection::All,
            force: true,
        },
    );
    assert!(
        forced.notes.iter().any(|note| note
            .text(&Native)
            .contains("may have been used without these")),
        "{:?}",
        forced.notes
    );
    done(&mut w, &make("x", 8, 1));
    // It is recorded now that the other disk was lost: at the next boot nobody has to be asked.
    assert_eq!(w.group.volumes[0].plexes[1].state, PlexState::Failed);
    done(&mut w, &Request::Stop(Selection::All));
    done(&mut w, &start(Selection::All));
    // The disk that was lost knows nothing of that, and cannot go on without the other one.
    let mut back = stopped_mirror();
    lose(&mut back, 0);
    assert_eq!(refused(&back, &start(Selection::All)).kind(), Kind::Unsafe);
}

/// A stopped group of four disks with a volume on each, of which only the last disk is here.
fn old_minority() -> Situation {
    let mut w = world(4);
    for (volume, disk) in [
        ("a", "disk01"),
        ("b", "disk02"),
        ("c", "disk03"),
        ("d", "disk04"),
    ] {
        let placement = on(&[disk]);
        let (volume, size) = (name(volume), Sectors::mib(8));
        done(
            &mut w,
            &Request::Make {
                volume,
                size,
                mirrors: 1,
                placement,
                log: true,
                fast_resync: false,
                sector_size: None,
                owner: NodeOwner::default(),
            },
        );
    }
    done(&mut w, &Request::Stop(Selection::All));
    (0..3).for_each(|disk| lose(&mut w, disk));
    w
}

/// Disks with these numbers join as blank ones.
fn join(w: &mut Situation, numbers: std::ops::RangeInclusive<u8>) {
    let before = w.clone();
    for n in numbers {
        let larger = world(n);
        let new = larger.group.disks.last().expect("a disk").clone();
        w.disks.insert(new.id, larger.disks[&new.id].clone());
        w.group.disks.push(new);
    }
    quorum::update_standing(&before, &mut w.group, &|id| before.disks.contains_key(&id));
}

#[test]
fn a_minority_changes_nothing_whatever_the_verb() {
    let w = old_minority();
    let volume = || name("d");
    let changes = [
        make("x", 8, 1),
        make("x", 90, 1),
        Request::Remove {
            volumes: vec![volume()],
            recursive: false,
        },
        Request::Rename {
            volume: volume(),
            to: name("new"),
        },
        Request::Grow {
            volume: volume(),
            to: GrowTo::By(Sectors::mib(8)),
            placement: anywhere(),
            filesystem: false,
        },
        Request::FastResync {
            volume: volume(),
            on: true,
        },
        start(Selection::All),
    ];
    for request in changes {
        let reason = refused(&w, &request);
        assert_eq!(reason.kind(), Kind::Unsafe, "{request:?}: {reason}");
        assert!(
            reason
                .hint_text(&Native)
                .is_some_and(|hint| hint.contains("group import --force")),
            "{reason}"
        );
    }
    // A question about what would be refused has the same answer.
    let growing = RoomFor::Growing {
        volume: volume(),
        placement: anywhere(),
    };
    assert_eq!(room(&w, &growing).unwrap_err().kind(), Kind::Unsafe);
    // What changes nothing is not refused.
    assert!(plan(&w, &Request::Stop(Selection::All)).is_ok());
}

#[test]
fn blank_disks_do_not_make_a_majority_of_a_minority() {
    let mut w = old_minority();
    join(&mut w, 5..=9);
    assert_eq!(w.disks.len(), 6);
    assert_eq!(refused(&w, &make("x", 8, 1)).kind(), Kind::Unsafe);
    // They do not begin to count by themselves.
    let mut next = w.group.clone();
    quorum::update_standing(&w, &mut next, &|id| w.disks.contains_key(&id));
    assert_eq!(next.standing, w.group.standing);
    // Somebody insists: what is missing is given up, and nobody has to insist again.
    let mut forced = w.clone();
    quorum::give_up_missing(&w, &mut forced.group);
    done(&mut forced, &make("x", 8, 1));
}

#[test]
fn a_disk_that_joined_counts_when_most_of_those_that_count_know_it() {
    let mut w = world(3);
    done(&mut w, &make("a", 20, 3));
    done(&mut w, &Request::Stop(Selection::All));
    join(&mut w, 4..=6);
    assert_eq!(w.group.standing.len(), 3);
    // Not all of them have it yet: two parts could have a majority each, one by the old rule and
    // one by the new.
    let (first, others) = (
        w.group.disks[0].id,
        [w.group.disks[1].id, w.group.disks[2].id],
    );
    let mut torn = w.clone();
    others.iter().for_each(|id| drop(torn.disks.remove(id)));
    assert_eq!(refused(&torn, &make("x", 8, 1)).kind(), Kind::Unsafe);
    let mut next = w.group.clone();
    quorum::update_standing(&w, &mut next, &|id| id == first);
    assert_eq!(next.standing.len(), 3);
    quorum::update_standing(&w, &mut next, &|id| w.disks.contains_key(&id));
    assert!(next.standing.is_empty());
}

#[test]
fn a_disk_that_was_given_up_counts_for_nothing_until_it_is_known_again() {
    let mut w = old_minority();
    let all = world(4).state.disks;
    quorum::give_up_missing(&w.clone(), &mut w.group);
    assert_eq!(w.group.standing.len(), 3);
    done(&mut w, &start(Selection::Named(vec![name("d")])));
    done(&mut w, &Request::Stop(Selection::All));
    w.disks = all;
    let mut next = w.group.clone();
    quorum::update_standing(&w, &mut next, &|_| true);
    assert!(
        next.standing
            .values()
            .all(|standing| *standing == Standing::Joining)
    );
    w.group = next.clone();
    quorum::update_standing(&w, &mut next, &|_| true);
    assert!(next.standing.is_empty());
}

#[test]
fn a_group_that_runs_can_be_repaired_with_any_number_of_disks() {
    let mut w = world(3);
    for volume in ["a", "b"] {
        done(
            &mut w,
            &Request::Make {
                volume: name(volume),
                size: Sectors::mib(8),
                mirrors: 1,
                placement: on(&["disk01"]),
                log: true,
                fast_resync: true,
                sector_size: None,
                owner: NodeOwner::default(),
            },
        );
    }
    done(&mut w, &make("c", 60, 2));
    done(&mut w, &Request::Stop(Selection::Named(vec![name("a")])));
    lose(&mut w, 1);
    lose(&mut w, 2);
    let planned = plan(&w, &start(Selection::Named(vec![name("a")]))).expect("a plan");
    let started = Change::volume(&name("g"), &name("a"), Event::Started { clean: true });
    assert!(planned.changes.contains(&started), "{:?}", planned.changes);
}

#[test]
fn missing_disks_that_hold_nothing_do_not_count() {
    let mut w = world(3);
    done(
        &mut w,
        &Request::Make {
            volume: name("v"),
            size: Sectors::mib(8),
            mirrors: 1,
            placement: on(&["disk01"]),
            log: true,
            fast_resync: false,
            sector_size: None,
            owner: NodeOwner::default(),
        },
    );
    done(&mut w, &Request::Stop(Selection::All));
    lose(&mut w, 1);
    lose(&mut w, 2);
    done(&mut w, &start(Selection::All));
    // A volume of its own on each: nobody knows what became of the others.
    let mut w = world(2);
    for disk in ["disk01", "disk02"] {
        done(
            &mut w,
            &Request::Make {
                volume: name(disk),
                size: Sectors::mib(8),
                mirrors: 1,
                placement: on(&[disk]),
                log: true,
                fast_resync: false,
                sector_size: None,
                owner: NodeOwner::default(),
            },
        );
    }
    done(&mut w, &Request::Stop(Selection::All));
    lose(&mut w, 1);
    assert_eq!(refused(&w, &start(Selection::All)).kind(), Kind::Unsafe);
}

#[test]
fn a_disk_with_a_failed_plex_counts_while_it_shares_another_volume() {
    let mut w = world(2);
    done(&mut w, &make("m", 20, 2));
    done(&mut w, &make("n", 20, 2));
    sync(&mut w);
    done(&mut w, &Request::Stop(Selection::All));
    let lost = w.group.disks[1].id;
    let on_it = |p: &breakoff::model::Plex| p.subdisks.iter().any(|s| s.disk == lost);
    w.disks.remove(&lost);
    w.group.volumes[0]
        .plexes
        .iter_mut()
        .filter(|p| on_it(p))
        .for_each(|p| p.state = PlexState::Failed);
    assert_eq!(refused(&w, &start(Selection::All)).kind(), Kind::Unsafe);
    w.group.volumes[1]
        .plexes
        .iter_mut()
        .filter(|p| on_it(p))
        .for_each(|p| p.state = PlexState::Failed);
    done(&mut w, &start(Selection::All));
}

#[test]
fn the_number_of_an_unreadable_disk_comes_from_what_is_certainly_mapped_there() {
    let mut w = world(3);
    done(
        &mut w,
        &Request::Make {
            volume: name("a"),
            size: Sectors::mib(8),
            mirrors: 2,
            placement: on(&["disk01", "disk02"]),
            log: false,
            fast_resync: true,
            sector_size: None,
            owner: NodeOwner::default(),
        },
    );
    done(
        &mut w,
        &Request::Make {
            volume: name("b"),
            size: Sectors::mib(8),
            mirrors: 1,
            placement: on(&["disk01"]),
            log: false,
            fast_resync: false,
            sector_size: None,
            owner: NodeOwner::default(),
        },
    );
    sync(&mut w);
    let [first, second] = [w.group.disks[0].id, w.group.disks[1].id];
    let number = w.disks[&first].dev;
    let without = |w: &Situation, disks: &[DiskId]| {
        let mut missing = w.clone();
        missing.disks.retain(|id, _| !disks.contains(id));
        missing
    };
    assert_eq!(without(&w, &[first]).number(first), Some(number));

    // The leg on it fails, and 'a' lies on the second disk alone, at the same place.
    let a = w.group.volume_named(&name("a")).expect("made").id;
    let lost = breakoff::plan::request::Lost {
        plexes: vec![1],
        ..Default::default()
    };
    let plan = finding::plan(&w, &Finding::Failed(a, lost)).expect("a plan");
    crate::pure::carry_out(&mut w, &plan);
    assert_eq!(
        w.group.volume_named(&name("a")).expect("kept").plexes.len(),
        2,
        "the failed plex is remembered"
    );
    assert_eq!(
        without(&w, &[first]).number(first),
        Some(number),
        "'b' is mapped there"
    );
    assert_eq!(without(&w, &[first, second]).number(first), Some(number));
    assert_ne!(without(&w, &[first, second]).number(second), Some(number));

    // With 'b' gone nothing tells the number any more.
    done(&mut w, &Request::Stop(Selection::Named(vec![name("b")])));
    assert_eq!(without(&w, &[first]).number(first), None);
    assert_eq!(without(&w, &[first, second]).number(first), None);
}

#[test]
fn a_map_that_has_lost_a_copy_gets_another_one_before_it_is_used_next() {
    let mut w = world(3);
    done(&mut w, &make("v", 10, 1));
    w.group.volumes[0].fast_resync = true;
    done(&mut w, &snapstart("v"));
    sync(&mut w);
    let v = w.group.volume_named(&name("v")).expect("made").id;
    let copies = |w: &Situation| -> Vec<usize> {
        let volume = w.group.volume(v).expect("kept");
        let dcos = [&volume.dco, &volume.plexes[1].dco];
        dcos.map(|dco| dco.as_ref().map_or(0, |dco| dco.copies.len()))
            .to_vec()
    };
    assert_eq!(
        (copies(&w), finding::short_of_copies(&w)),
        (vec![2, 2], Vec::new())
    );

    let volume = w.group.volume_mut(v).expect("kept");
    volume.plexes[1].dco = None;
    let kept = volume.dco.as_mut().expect("space").copies.remove(1);
    let mut nowhere = w.clone();
    nowhere.disks.clear();
    assert_eq!(finding::short_of_copies(&nowhere), []);
    let plan = finding::add_copies(&nowhere, v).expect("a plan");
    assert_eq!(
        (plan.changes, plan.group),
        (Vec::new(), nowhere.state.group),
        "there is no space any more"
    );

    assert_eq!(finding::short_of_copies(&w), [v]);
    let plan = finding::add_copies(&w, v).expect("a plan");
    assert!(
        !plan.has_steps() && plan.window.suspend.is_empty(),
        "nobody has to wait for it"
    );
    crate::pure::carry_out(&mut w, &plan);
    assert_eq!(
        (copies(&w), finding::short_of_copies(&w)),
        (vec![2, 2], Vec::new())
    );
    let dco = w
        .group
        .volume(v)
        .and_then(|v| v.dco.clone())
        .expect("space");
    assert_ne!(dco.copies[0].disk, dco.copies[1].disk);
    assert_eq!(dco.copies[1], kept, "the space was free again");

    // A map that is in use keeps what it has.
    done(&mut w, &split_as("v", Some("s")));
    w.group
        .volume_mut(v)
        .and_then(|v| v.dco.as_mut())
        .expect("in use")
        .copies
        .remove(1);
    assert_eq!(finding::short_of_copies(&w), []);
}

fn split_legs(volumes: &[&str], legs: Legs) -> Request {
    let these = volumes
        .iter()
        .map(|v| Split {
            volume: name(v),
            name: None,
        })
        .collect();
    Request::Snapshot {
        splits: Splits::These(these),
        legs,
        pattern: None,
        require_frozen: false,
    }
}

fn snapback(snapshots: &[&str], from: Winner) -> Request {
    Request::SnapBack {
        snapshots: snapshots.iter().map(|s| name(s)).collect(),
        mirrors: Some(1),
        from,
        keep: false,
        lanes: None,
    }
}

fn plexes_of(w: &Situation, volume: &str) -> Vec<String> {
    w.group
        .volume_named(&name(volume))
        .expect("a volume")
        .plexes
        .iter()
        .map(|p| p.name.to_string())
        .collect()
}

/// Volumes `a` with the legs a-02 on disk02 and a-03 on disk03, and `b` with b-02 on disk04.
fn legs_to_choose_from() -> Situation {
    let mut w = world(4);
    let on_disk = |volume: &str, mirrors: usize, disks: &[&str]| Request::SnapStart {
        volumes: vec![name(volume)],
        mirrors,
        placement: on(disks),
        lanes: None,
    };
    for volume in ["a", "b"] {
        let placement = on(&["disk01"]);
        done(
            &mut w,
            &Request::Make {
                volume: name(volume),
                size: Sectors::mib(8),
                mirrors: 1,
                placement,
                log: true,
                fast_resync: false,
                sector_size: None,
                owner: NodeOwner::default(),
            },
        );
    }
    done(&mut w, &on_disk("a", 1, &["disk02"]));
    sync(&mut w);
    done(&mut w, &on_disk("a", 1, &["disk03"]));
    done(&mut w, &on_disk("b", 1, &["disk04"]));
    sync(&mut w);
    w
}

#[test]
fn the_leg_to_split_off_can_be_named() {
    let w = legs_to_choose_from();
    let named = |plexes: &[&str]| Legs::Named(plexes.iter().map(|p| name(p)).collect());
    let taken = |legs: Legs, volumes: &[&str]| {
        let mut w = w.clone();
        done(&mut w, &split_legs(volumes, legs));
        (
            plexes_of(&w, "SNAP-a"),
            w.group.volumes.iter().any(|v| v.name == name("SNAP-b")),
        )
    };
    assert_eq!(taken(Legs::Count(1), &["a"]).0, ["a-02"]);
    assert_eq!(taken(named(&["a-03"]), &["a"]).0, ["a-03"]);
    assert_eq!(taken(named(&["a-03", "a-02"]), &["a"]).0, ["a-02", "a-03"]);
    // Of the other volume it does not matter which: there is one.
    assert_eq!(
        taken(named(&["a-03"]), &["a", "b"]),
        (vec!["a-03".to_owned()], true)
    );
    assert_eq!(
        taken(
            Legs::On(1, vec![name("disk03"), name("disk04")]),
            &["a", "b"]
        ),
        (vec!["a-03".to_owned()], true)
    );
}

#[test]
fn a_leg_that_is_named_wrongly_is_refused_with_what_to_type() {
    let mut w = legs_to_choose_from();
    done(
        &mut w,
        &Request::SnapStart {
            volumes: vec![name("b")],
            mirrors: 1,
            placement: anywhere(),
            lanes: None,
        },
    );
    let refusal = |volume: &str, plex: &str| {
        refused(&w, &split_legs(&[volume], Legs::Named(vec![name(plex)])))
    };
    let says = |error: &breakoff::error::Error, words: &[&str]| {
        let all = format!("{error} {}", error.hint_text(&Native).unwrap_or_default());
        words
            .iter()
            .for_each(|word| assert!(all.contains(word), "{all}: {word} is not said"));
    };
    let missing = refusal("a", "a-09");
    assert_eq!(missing.kind(), Kind::NotFound);
    let other = refusal("a", "b-02");
    assert_eq!(other.kind(), Kind::Usage);
    says(&other, &["'g/b'", "breakoff -g g snapshot b --plex b-02"]);
    let attaching = refusal("b", "b-03");
    assert_eq!(attaching.kind(), Kind::NotReady);
    says(&attaching, &["SNAPATT", "breakoff -g g snapwait b"]);
    let data = refusal("a", "a-01");
    assert_eq!(data.kind(), Kind::NotReady);
    says(&data, &["ACTIVE", "plex convert --to snapdone a-01"]);
    let on_disks =
        |count, disk: &str| refused(&w, &split_legs(&["a"], Legs::On(count, vec![name(disk)])));
    assert_eq!(on_disks(1, "nodisk").kind(), Kind::NotFound);
    let elsewhere = on_disks(1, "disk04");
    assert_eq!(elsewhere.kind(), Kind::NotReady);
    says(
        &elsewhere,
        &["disk04", "'a-02' on disk02", "'a-03' on disk03"],
    );
    assert_eq!(on_disks(2, "disk02").kind(), Kind::NotReady);
    says(&on_disks(3, "disk02"), &["3 wanted, 2 SNAPDONE"]);
    assert_eq!(
        refused(&w, &split_legs(&["a"], Legs::On(0, vec![name("disk02")]))).kind(),
        Kind::Usage
    );
}

/// `dedup` joins neighbours only: the original of the first and the third was worked on twice.
#[test]
fn snapshots_come_back_in_any_order() {
    let mut w = legs_to_choose_from();
    for volume in ["a", "b", "a"] {
        done(&mut w, &split_legs(&[volume], Legs::Count(1)));
    }
    let orders = [
        ["SNAP-a", "SNAP-b", "SNAP1-a"],
        ["SNAP-a", "SNAP1-a", "SNAP-b"],
        ["SNAP-b", "SNAP1-a", "SNAP-a"],
    ];
    for order in orders {
        let mut w = w.clone();
        let planned = done(&mut w, &snapback(&order, Winner::Original));
        assert_eq!(
            planned.announced.len(),
            3,
            "{order:?}: {:?}",
            planned.announced
        );
        sync(&mut w);
        let mut legs = plexes_of(&w, "a");
        legs.sort();
        assert_eq!(
            (legs.as_slice(), plexes_of(&w, "b").len()),
            (["a-01", "a-02", "a-03"].map(String::from).as_slice(), 2),
            "{order:?}"
        );
    }
    let twice = refused(
        &w,
        &snapback(&["SNAP-a", "SNAP-b", "SNAP1-a"], Winner::Snapshot),
    );
    assert_eq!(twice.kind(), Kind::Usage);
}

#[test]
fn an_original_of_several_snapshots_does_not_say_which_relation_ends() {
    let mut w = legs_to_choose_from();
    done(&mut w, &split_legs(&["a"], Legs::Count(1)));
    let clear = |volume: &str, which: Relations| Request::SnapClear {
        volume: name(volume),
        which,
    };
    let left = |w: &Situation| {
        w.group
            .volumes
            .iter()
            .filter(|v| v.origin.is_some())
            .map(|v| v.name.to_string())
            .collect::<Vec<_>>()
    };
    // There is only one that can be meant.
    let mut one = w.clone();
    done(&mut one, &clear("a", Relations::TheOne));
    assert!(left(&one).is_empty());
    done(&mut w, &split_legs(&["a"], Legs::Count(1)));
    let which = refused(&w, &clear("a", Relations::TheOne));
    assert_eq!(which.kind(), Kind::Usage);
    let hint = which.hint_text(&Native).unwrap_or_default();
    for line in [
        "'breakoff -g g snapclear SNAP-a'",
        "'breakoff -g g snapclear SNAP1-a'",
        "'breakoff -g g snapclear --all a'",
    ] {
        assert!(hint.contains(line), "{hint}");
    }
    let unrelated = refused(&w, &clear("a", Relations::To(name("b"))));
    assert_eq!((unrelated.kind(), left(&w).len()), (Kind::NotFound, 2));
    let mut named = w.clone();
    done(&mut named, &clear("SNAP1-a", Relations::TheOne));
    assert_eq!(left(&named), ["SNAP-a"]);
    let mut object = w.clone();
    done(&mut object, &clear("a", Relations::To(name("SNAP-a"))));
    assert_eq!(left(&object), ["SNAP1-a"]);
    done(&mut w, &clear("a", Relations::All));
    assert!(left(&w).is_empty());
    assert_eq!(
        refused(&w, &clear("a", Relations::All)).kind(),
        Kind::NotFound
    );
}

/// Its own relation is meant by a snapshot's name, whatever snapshots there are of it.
#[test]
fn a_snapshot_of_which_there_is_a_snapshot_is_cleared_alone() {
    let mut w = legs_to_choose_from();
    done(&mut w, &split_legs(&["a"], Legs::Count(1)));
    done(
        &mut w,
        &Request::SnapStart {
            volumes: vec![name("SNAP-a")],
            mirrors: 1,
            placement: anywhere(),
            lanes: None,
        },
    );
    sync(&mut w);
    done(&mut w, &split_legs(&["SNAP-a"], Legs::Count(1)));
    let planned = done(
        &mut w,
        &Request::SnapClear {
            volume: name("SNAP-a"),
            which: Relations::TheOne,
        },
    );
    let unlinked: Vec<String> = planned
        .changes
        .iter()
        .map(|change| change.object.to_string())
        .collect();
    assert_eq!(unlinked, ["g/SNAP-a"]);
    assert!(
        w.group
            .volume_named(&name("SNAP-SNAP-a"))
            .expect("it")
            .origin
            .is_some()
    );
}

/// Plexes change hands, as many as the snapshot has; the original is no less redundant than before.
#[test]
fn an_original_that_changes_places_keeps_its_mirrors() {
    let exchange = || Request::SnapBack {
        snapshots: vec![name("SNAP-v")],
        mirrors: Some(1),
        from: Winner::Snapshot,
        keep: true,
        lanes: None,
    };
    let states = |w: &Situation, volume: &str| {
        let plexes = &w
            .group
            .volume_named(&name(volume))
            .expect("a volume")
            .plexes;
        let mut states: Vec<(String, String)> = plexes
            .iter()
            .map(|p| (p.name.to_string(), p.state.to_string()))
            .collect();
        states.sort();
        states
            .into_iter()
            .map(|(plex, state)| format!("{plex} {state}"))
            .collect::<Vec<_>>()
    };
    let mut w = world(4);
    done(&mut w, &make("v", 8, 2));
    sync(&mut w);
    done(
        &mut w,
        &Request::SnapStart {
            volumes: vec![name("v")],
            mirrors: 2,
            placement: anywhere(),
            lanes: None,
        },
    );
    sync(&mut w);
    done(&mut w, &split_legs(&["v"], Legs::Count(1)));
    let planned = done(&mut w, &exchange());
    assert!(
        planned
            .announced
            .iter()
            .any(|text| text.contains("8m of 8m are copied to v-02, v-04, which 'g/v' keeps")),
        "{planned:?}"
    );
    assert_eq!(
        (states(&w, "v"), states(&w, "SNAP-v")),
        (
            vec![
                "v-02 REVIVING".to_owned(),
                "v-03 ACTIVE".to_owned(),
                "v-04 SNAPATT".to_owned()
            ],
            vec!["v-01 ACTIVE".to_owned()]
        )
    );
    sync(&mut w);
    assert_eq!(
        states(&w, "v"),
        ["v-02 ACTIVE", "v-03 ACTIVE", "v-04 SNAPDONE"]
    );
    assert!(
        w.group
            .volume_named(&name("v"))
            .expect("v")
            .live_log()
            .is_some()
    );
    // And back again.
    done(&mut w, &exchange());
    sync(&mut w);
    assert_eq!(
        (states(&w, "v"), states(&w, "SNAP-v")),
        (
            vec![
                "v-01 ACTIVE".to_owned(),
                "v-03 ACTIVE".to_owned(),
                "v-04 SNAPDONE".to_owned()
            ],
            vec!["v-02 ACTIVE".to_owned()]
        )
    );
    // The snapshot with more plexes than the original: what it lacks then is said.
    let mut w = world(3);
    done(&mut w, &make("v", 8, 1));
    done(
        &mut w,
        &Request::SnapStart {
            volumes: vec![name("v")],
            mirrors: 2,
            placement: anywhere(),
            lanes: None,
        },
    );
    sync(&mut w);
    done(&mut w, &split_legs(&["v"], Legs::Count(2)));
    let planned = done(&mut w, &exchange());
    assert!(
        planned
            .announced
            .iter()
            .any(|text| text.contains("nothing is copied")),
        "{planned:?}"
    );
    assert!(
        planned
            .notes
            .iter()
            .any(|note| note.text(&Native).contains("breakoff -g g mirror SNAP-v")),
        "{:?}",
        planned.notes
    );
    assert_eq!((states(&w, "v").len(), states(&w, "SNAP-v").len()), (2, 1));
}

/// The disks that each plex of a volume lies on.
fn disks_of(w: &Situation, volume: &str) -> Vec<Vec<String>> {
    let volume = w.group.volume_named(&name(volume)).expect("a volume");
    let media = |id| w.group.disk(id).expect("a disk").media.to_string();
    volume
        .plexes
        .iter()
        .map(|p| breakoff::model::distinct(p.subdisks.iter().map(|s| media(s.disk))))
        .collect()
}

fn grow(volume: &str, mib: u32) -> Request {
    Request::Grow {
        volume: name(volume),
        to: GrowTo::To(Sectors::mib(mib)),
        placement: anywhere(),
        filesystem: false,
    }
}

/// The disks that are named are for the plexes; a log that finds no room on them lies elsewhere,
/// but never where it must not.
#[test]
fn a_log_goes_elsewhere_when_the_named_disks_are_full() {
    let full = |avoid: &[&str]| Request::Make {
        volume: name("v"),
        size: Sectors::mib(96),
        mirrors: 2,
        placement: Placement {
            on: vec![name("disk01"), name("disk02")],
            avoid: avoid.iter().map(|media| name(media)).collect(),
        },
        log: true,
        fast_resync: false,
        sector_size: None,
        owner: NodeOwner::default(),
    };
    let mut w = world(3);
    let refusal = refused(&w, &full(&["disk03"])).to_string();
    assert!(
        [
            "the dirty region log",
            "disk01 has 0 free",
            "disk03 is excluded"
        ]
        .iter()
        .all(|text| refusal.contains(text)),
        "{refusal}"
    );
    let planned = done(&mut w, &full(&[]));
    assert!(
        planned
            .notes
            .iter()
            .any(|note| note.text(&Native).contains("log of 'g/v' lies on 'disk03'")),
        "{:?}",
        planned.notes
    );
    assert_eq!(disks_of(&w, "v"), [["disk01"], ["disk02"]]);
    assert_eq!(
        w.group.volumes[0].log.as_ref().map(|log| log.extent.disk),
        Some(w.group.disks[2].id)
    );
}

#[test]
fn a_plex_grows_where_it_is_and_leaves_the_other_disks_alone() {
    let mut w = world(3);
    let placement = on(&["disk01", "disk02"]);
    done(
        &mut w,
        &Request::Make {
            volume: name("v"),
            size: Sectors::mib(8),
            mirrors: 2,
            placement,
            log: true,
            fast_resync: true,
            sector_size: None,
            owner: NodeOwner::default(),
        },
    );
    sync(&mut w);
    // The log and the maps are in nobody's way.
    done(&mut w, &grow("v", 16));
    sync(&mut w);
    assert_eq!(disks_of(&w, "v"), [["disk01"], ["disk02"]]);
    assert!(
        w.group.volumes[0]
            .plexes
            .iter()
            .all(|p| p.subdisks.len() == 1),
        "{:?}",
        w.group.volumes[0].plexes
    );
    // Behind the first plex there is something else now; its disk has room further on.
    let beside = Request::Make {
        volume: name("w"),
        size: Sectors::mib(4),
        mirrors: 1,
        placement: on(&["disk01"]),
        log: true,
        fast_resync: false,
        sector_size: None,
        owner: NodeOwner::default(),
    };
    done(&mut w, &beside);
    done(&mut w, &grow("v", 24));
    sync(&mut w);
    assert_eq!(disks_of(&w, "v"), [["disk01"], ["disk02"]]);
    assert_eq!(w.group.volumes[0].plexes[0].subdisks.len(), 2);
    done(&mut w, &snapstart("v"));
    assert_eq!(disks_of(&w, "v")[2], ["disk03"]);
    sync(&mut w);
    done(&mut w, &grow("v", 32));
    assert_eq!(disks_of(&w, "v"), [["disk01"], ["disk02"], ["disk03"]]);
}

#[test]
fn plexes_whose_disks_are_full_do_not_meet_on_another_one() {
    let mut w = world(4);
    let placement = on(&["disk01", "disk02"]);
    done(
        &mut w,
        &Request::Make {
            volume: name("v"),
            size: Sectors::mib(90),
            mirrors: 2,
            placement,
            log: true,
            fast_resync: false,
            sector_size: None,
            owner: NodeOwner::default(),
        },
    );
    sync(&mut w);
    done(&mut w, &grow("v", 140));
    let disks = disks_of(&w, "v");
    assert!(disks.iter().all(|of| of.len() == 2), "{disks:?}");
    assert!(
        disks[0].iter().all(|disk| !disks[1].contains(disk)),
        "{disks:?}"
    );
    // One further disk is not enough for both.
    let mut w = world(3);
    let placement = on(&["disk01", "disk02"]);
    done(
        &mut w,
        &Request::Make {
            volume: name("v"),
            size: Sectors::mib(90),
            mirrors: 2,
            placement,
            log: true,
            fast_resync: false,
            sector_size: None,
            owner: NodeOwner::default(),
        },
    );
    sync(&mut w);
    assert_eq!(refused(&w, &grow("v", 130)).kind(), Kind::NoSpace);
}

/// It must hold the plexes; a log at the end of the old disk's space is made anew where there is
/// room.
#[test]
fn a_smaller_disk_replaces_a_large_one_if_the_plexes_fit() {
    let mut w = world(3);
    let placement = on(&["disk01", "disk02"]);
    done(
        &mut w,
        &Request::Make {
            volume: name("v"),
            size: Sectors::mib(8),
            mirrors: 2,
            placement,
            log: true,
            fast_resync: true,
            sector_size: None,
            owner: NodeOwner::default(),
        },
    );
    sync(&mut w);
    let log = w.group.volumes[0].log.as_ref().expect("a log").extent;
    assert_eq!(
        (log.disk, log.end()),
        (w.group.disks[0].id, Sectors::mib(96))
    );
    let id = DiskId::from_bytes([9; 16]);
    let found = w.disks[&w.group.disks[0].id].clone();
    w.disks.insert(id, found);
    let new = |mib| Disk {
        id,
        size: Sectors::mib(mib),
        ..w.group.disks[0].clone()
    };
    let replaced = breakoff::plan::disks::replace(&w, &name("disk01"), &new(20)).expect("a plan");
    assert!(breakoff::model::check::violations(&replaced.group).is_empty());
    assert_eq!(
        breakoff::plan::disks::replace(&w, &name("disk01"), &new(4))
            .expect_err("a refusal")
            .kind(),
        Kind::NoSpace
    );
}

/// A world in which the disks with these numbers (from 1) have sectors of 4096 bytes.
fn mixed(disks: u8, large: &[u8]) -> Situation {
    let mut w = world(disks);
    for n in large {
        w.disks
            .get_mut(&DiskId::from_bytes([*n; 16]))
            .expect("a disk")
            .logical_block = 4096;
    }
    w
}

fn make_for(volume: &str, sectors: Option<u32>, placement: Placement) -> Request {
    Request::Make {
        volume: name(volume),
        size: Sectors::mib(8),
        mirrors: 1,
        placement,
        log: true,
        fast_resync: true,
        sector_size: sectors.and_then(SectorSize::new),
        owner: NodeOwner::default(),
    }
}

fn legs(volume: &str, placement: Placement) -> Request {
    Request::SnapStart {
        volumes: vec![name(volume)],
        mirrors: 1,
        placement,
        lanes: None,
    }
}

fn disk_of(w: &Situation, volume: &str, plex: usize) -> u8 {
    w.group.volume_named(&name(volume)).expect("made").plexes[plex].subdisks[0]
        .disk
        .bytes()[0]
}

fn sectors_of(w: &Situation, volume: &str) -> Option<u32> {
    w.group
        .volume_named(&name(volume))
        .expect("made")
        .sector_size
        .map(SectorSize::bytes)
}

#[test]
fn no_leg_has_larger_sectors_than_its_volume() {
    let mut w = mixed(4, &[2, 3]);
    done(&mut w, &make_for("v", None, on(&["disk01"])));
    assert_eq!(sectors_of(&w, "v"), Some(512));
    let mirror = Request::Mirror {
        volume: name("v"),
        placement: on(&["disk03"]),
        lanes: None,
    };
    let grow = Request::Grow {
        volume: name("v"),
        to: GrowTo::By(Sectors::MIB),
        placement: on(&["disk02"]),
        filesystem: false,
    };
    for request in [legs("v", on(&["disk02", "disk03"])), mirror, grow] {
        let error = refused(&w, &request);
        assert_eq!(error.kind(), Kind::Unsafe, "{error}");
        assert!(
            error
                .message()
                .contains("has sectors of 4096 bytes and 'g/v' of 512"),
            "{error}"
        );
        assert!(
            error.hint_text(&Native).is_some_and(|hint| hint.ends_with(
                "a volume for any disk is made with 'breakoff make --sector-size 4096'"
            )),
            "{error:?}"
        );
    }
    // Of several disks those that fit are taken, whatever their order.
    done(&mut w, &legs("v", on(&["disk02", "disk04"])));
    assert_eq!(disk_of(&w, "v", 1), 4);
    sync(&mut w);
    let error = refused(&w, &legs("v", anywhere()));
    assert_eq!(error.kind(), Kind::NoSpace);
    assert!(
        error.message().contains("has larger sectors (4096 bytes)"),
        "{error}"
    );

    // What is split off holds the same, and may lie on such a disk no more than its original.
    done(&mut w, &split_as("v", Some("s")));
    assert_eq!(sectors_of(&w, "s"), Some(512));
    assert_eq!(
        refused(&w, &legs("s", on(&["disk03"]))).kind(),
        Kind::Unsafe
    );
    // Logs and maps of changes lie where there is room.
    let tracked = w
        .group
        .volume_named(&name("v"))
        .expect("made")
        .dco
        .as_ref()
        .expect("tracked");
    assert!(
        tracked
            .copies
            .iter()
            .any(|copy| [2, 3].contains(&copy.disk.bytes()[0])),
        "{tracked:?}"
    );
}

#[test]
fn a_volume_made_for_larger_sectors_lies_anywhere() {
    let mut w = mixed(3, &[2]);
    done(&mut w, &make_for("v", Some(4096), anywhere()));
    assert_eq!(
        (disk_of(&w, "v", 0), sectors_of(&w, "v")),
        (2, Some(4096)),
        "it shows them from the beginning"
    );
    done(&mut w, &legs("v", on(&["disk01"])));
    // Where that cannot be, it is said for what the filesystem has to be made.
    let planned = done(&mut w, &make_for("w", Some(4096), on(&["disk01"])));
    assert!(
        planned
            .notes
            .iter()
            .any(|note| note.text(&Native).contains("mkfs.xfs -s size=4096")),
        "{:?}",
        planned.notes
    );
    done(&mut w, &legs("w", on(&["disk02"])));
    sync(&mut w);
    done(&mut w, &split_as("w", Some("s")));
    assert_eq!(sectors_of(&w, "s"), Some(4096));
    // Not with a filesystem that was made for what it shows.
    let w_id = w.group.volume_named(&name("w")).expect("made").id;
    let mut small = w.clone();
    small
        .group
        .volume_mut(w_id)
        .expect("made")
        .plexes
        .truncate(1);
    small.evidence.users_mut(w_id).block = Some(SectorSize::SMALLEST);
    let error = refused(&small, &legs("w", on(&["disk02"])));
    assert!(
        error.kind() == Kind::Unsafe && error.message().contains("the contents of 'g/w' of 512"),
        "{error}"
    );
    small.evidence.users_mut(w_id).block = Some(SectorSize::LARGEST);
    done(&mut small, &legs("w", on(&["disk02"])));
    // And one that is kept to small ones stays there.
    done(&mut w, &make_for("x", Some(512), anywhere()));
    assert_ne!(disk_of(&w, "x", 0), 2);
    assert_eq!(
        refused(&w, &make_for("y", Some(512), on(&["disk02"]))).kind(),
        Kind::Unsafe
    );
}

#[test]
fn the_plexes_of_a_new_volume_are_alike_where_they_can_be() {
    let mut w = mixed(4, &[1, 2]);
    let two = |volume: &str, placement| Request::Make {
        volume: name(volume),
        size: Sectors::mib(8),
        mirrors: 2,
        placement,
        log: true,
        fast_resync: true,
        sector_size: None,
        owner: NodeOwner::default(),
    };
    let planned = done(&mut w, &two("v", anywhere()));
    assert_eq!(
        (
            [disk_of(&w, "v", 0), disk_of(&w, "v", 1)],
            sectors_of(&w, "v")
        ),
        ([1, 2], Some(4096))
    );
    assert!(
        planned
            .notes
            .iter()
            .any(|note| note.text(&Native).contains("has sectors of 4096 bytes")),
        "{:?}",
        planned.notes
    );
    let planned = done(&mut w, &two("w", on(&["disk03", "disk04"])));
    assert_eq!(sectors_of(&w, "w"), Some(512));
    assert!(
        !planned
            .notes
            .iter()
            .any(|note| note.text(&Native).contains("sectors")),
        "{:?}",
        planned.notes
    );
    done(&mut w, &two("x", on(&["disk03", "disk02"])));
    assert_eq!(
        sectors_of(&w, "x"),
        Some(4096),
        "all of its legs from the beginning"
    );
}

#[test]
fn a_replacement_has_no_larger_sectors_than_what_lies_on_the_old_disk() {
    let mut w = mixed(3, &[]);
    done(&mut w, &make("v", 8, 2));
    sync(&mut w);
    let (id, old) = (DiskId::from_bytes([9; 16]), disk_of(&w, "v", 1));
    let new = Disk {
        id,
        media: name("new"),
        data_start: Sectors::mib(4),
        size: Sectors::mib(96),
    };
    let found = breakoff::plan::world::PresentDisk {
        path: "/dev/new".into(),
        logical_block: 4096,
        ..w.disks[&w.group.disks[0].id].clone()
    };
    w.disks.insert(id, found);
    let replace = |w: &Situation, n: u8| {
        breakoff::plan::disks::replace(w, &name(&format!("disk{n:02}")), &new)
    };
    let error = replace(&w, old).expect_err("refused");
    assert_eq!(error.kind(), Kind::Unsafe);
    assert!(
        error
            .message()
            .contains("'/dev/new' has sectors of 4096 bytes"),
        "{error}"
    );
    let unused = (1..=3)
        .find(|n| *n != old && *n != disk_of(&w, "v", 0))
        .expect("a third disk");
    replace(&w, unused).expect("nothing lies on it");
    w.group.volumes[0].sector_size = SectorSize::new(4096);
    replace(&w, old).expect("it was made for that");
}

/// The configuration of an older version says nothing of sectors.
#[test]
fn what_a_volume_of_an_older_version_was_made_for_is_what_its_data_plexes_show() {
    let mut w = mixed(3, &[]);
    done(&mut w, &make("v", 8, 1));
    done(&mut w, &make("w", 8, 1));
    done(&mut w, &legs("v", on(&["disk03"])));
    sync(&mut w);
    w.group
        .volumes
        .iter_mut()
        .for_each(|v| v.sector_size = None);
    // The older version took this leg without a word.
    w.disks
        .get_mut(&DiskId::from_bytes([3; 16]))
        .expect("a disk")
        .logical_block = 4096;
    assert_eq!(
        refused(
            &w,
            &Request::Mirror {
                volume: name("v"),
                placement: on(&["disk03"]),
                lanes: None,
            }
        )
        .kind(),
        Kind::Unsafe
    );
    done(
        &mut w,
        &Request::Rename {
            volume: name("v"),
            to: name("x"),
        },
    );
    assert_eq!(
        (sectors_of(&w, "x"), sectors_of(&w, "w")),
        (Some(512), None),
        "recorded with the next change"
    );
    // The leg is split off with what was made for 512, and cannot come back.
    done(&mut w, &split_as("x", Some("s")));
    for from in [Winner::Original, Winner::Snapshot] {
        let back = Request::SnapBack {
            snapshots: vec![name("s")],
            mirrors: None,
            from,
            keep: false,
            lanes: None,
        };
        assert_eq!(refused(&w, &back).kind(), Kind::Unsafe);
    }
}

#[test]
fn what_cannot_be_frozen_is_called_crash_or_refused() {
    let mut w = world(4);
    done(&mut w, &make("a", 8, 1));
    done(&mut w, &make("b", 8, 1));
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
    let id = w.group.volume_named(&name("b")).unwrap().id;
    w.evidence.users_mut(id).unfrozen = Some("it is used as swap".into());
    let these: Vec<Split> = ["a", "b"]
        .map(|volume| Split {
            volume: name(volume),
            name: None,
        })
        .into();
    let both = |require_frozen| Request::Snapshot {
        splits: Splits::These(these.clone()),
        legs: Legs::Count(1),
        pattern: None,
        require_frozen,
    };
    let refusal = refused(&w, &both(true));
    assert_eq!(
        (refusal.kind(), refusal.object()),
        (Kind::InUse, Some("g/b"))
    );
    assert!(refusal.message().contains("used as swap"), "{refusal}");

    let plan = plan(&w, &both(false)).unwrap();
    let crash = |snapshot: &str| {
        plan.group
            .volume_named(&name(snapshot))
            .unwrap()
            .origin
            .clone()
            .unwrap()
            .crash
    };
    assert_eq!(
        (crash("SNAP-a"), crash("SNAP-b")),
        (None, Some(CrashReason::new("it is used as swap")))
    );
    let a = w.group.volume_named(&name("a")).unwrap().id;
    assert_eq!(
        plan.window
            .frozen
            .iter()
            .map(DmUuid::volume)
            .collect::<Vec<_>>(),
        [Some(a)]
    );
}

/// A tracked snapshot `s` of `v`, each on a disk of its own, and a volume `w` beside them.
fn split_and_tracked() -> Situation {
    let mut w = world(4);
    let tracked = |volume: &str, disk: &str| Request::Make {
        volume: name(volume),
        size: Sectors::mib(8),
        mirrors: 1,
        placement: on(&[disk]),
        log: true,
        fast_resync: true,
        sector_size: None,
        owner: NodeOwner::default(),
    };
    done(&mut w, &tracked("v", "disk01"));
    done(&mut w, &tracked("w", "disk03"));
    done(
        &mut w,
        &Request::SnapStart {
            volumes: vec![name("v")],
            mirrors: 1,
            placement: on(&["disk02"]),
            lanes: None,
        },
    );
    sync(&mut w);
    done(&mut w, &split_as("v", Some("s")));
    assert!(
        w.group
            .volume_named(&name("s"))
            .expect("split")
            .live_dco()
            .is_some()
    );
    w
}

#[test]
fn where_a_tracked_volume_lies_is_known_without_its_disks_label() {
    for (disk, volume) in [(0, "v"), (1, "s")] {
        let mut w = split_and_tracked();
        let id = w.group.disks[disk].id;
        let number = w.disks[&id].dev;
        w.disks.remove(&id);
        assert_eq!(w.number(id), Some(number), "{volume}");
        let converge = finding::converge(&w);
        assert!(
            !converge.has_steps() && converge.failures.is_empty(),
            "{volume}: {:?}",
            converge.failures
        );
    }
}

#[test]
fn a_volume_that_cannot_be_judged_keeps_no_other_from_being_changed() {
    let mut w = split_and_tracked();
    let lost = w.group.disks[1].id;
    let s = w.group.volume_named(&name("s")).expect("split").id;
    // Nothing tells where the disk was.
    for device in w
        .devices
        .values_mut()
        .filter(|d| d.uuid.volume() == Some(s))
    {
        for line in device
            .table
            .iter_mut()
            .filter(|line| line.target == "linear")
        {
            (line.target, line.params) = ("error".to_owned(), String::new());
        }
    }
    w.disks.remove(&lost);
    assert_eq!(w.number(lost), None);
    let converge = finding::converge(&w);
    assert!(!converge.has_steps());
    let told: Vec<String> = converge
        .failures
        .iter()
        .map(breakoff::plan::Refusal::message)
        .collect();
    assert_eq!(
        told,
        ["volume 'g/s' cannot be used: disk 'disk02' is missing"]
    );

    for request in [
        make("x", 8, 1),
        make("x", 8, 2),
        Request::Grow {
            volume: name("w"),
            to: GrowTo::To(Sectors::mib(16)),
            placement: anywhere(),
            filesystem: false,
        },
        Request::Rename {
            volume: name("w"),
            to: name("x"),
        },
        Request::Rename {
            volume: name("s"),
            to: name("t"),
        },
        Request::Remove {
            volumes: vec![name("w")],
            recursive: false,
        },
        Request::Remove {
            volumes: vec![name("s")],
            recursive: false,
        },
        Request::Remove {
            volumes: vec![name("v")],
            recursive: true,
        },
        Request::SnapStart {
            volumes: vec![name("w")],
            mirrors: 1,
            placement: on(&["disk04"]),
            lanes: None,
        },
        Request::SnapStart {
            volumes: vec![name("v")],
            mirrors: 1,
            placement: on(&["disk03"]),
            lanes: None,
        },
        Request::SnapClear {
            volume: name("s"),
            which: Relations::TheOne,
        },
        Request::FastResync {
            volume: name("v"),
            on: false,
        },
        Request::Stop(Selection::Named(vec![name("s")])),
        Request::Stop(Selection::All),
    ] {
        let planned = plan(&w, &request);
        assert!(planned.is_ok(), "{request:?}: {:?}", planned.err());
    }
    for request in [
        Request::SnapStart {
            volumes: vec![name("s")],
            mirrors: 1,
            placement: on(&["disk03"]),
            lanes: None,
        },
        Request::Mirror {
            volume: name("s"),
            placement: on(&["disk03"]),
            lanes: None,
        },
    ] {
        let refusal = refused(&w, &request);
        assert!(
            refusal.kind() == Kind::Device && refusal.message().contains("'disk02'"),
            "{request:?}: {refusal}"
        );
    }
}

#[test]
fn a_missing_disk_is_taken_out_of_its_group_when_nothing_that_counts_is_on_it() {
    let mut w = world(4);
    done(&mut w, &make("v", 8, 1));
    done(
        &mut w,
        &Request::SnapStart {
            volumes: vec![name("v")],
            mirrors: 1,
            placement: on(&["disk02"]),
            lanes: None,
        },
    );
    sync(&mut w);
    let remove = |w: &Situation, media: &str| breakoff::plan::disks::remove(w, &name(media));
    assert_eq!(
        remove(&w, "disk02").expect_err("it is here").kind(),
        Kind::InUse
    );
    let mut without = w.clone();
    without.disks.remove(&w.group.disks[1].id);
    let plan = remove(&without, "disk02").expect("a plan");
    let volume = plan.group.volume_named(&name("v")).expect("kept");
    assert_eq!(
        (plan.group.disks.len(), volume.plexes.len()),
        (3, 1),
        "the leg is given up"
    );
    let mut without = w.clone();
    without.disks.remove(&w.group.disks[0].id);
    let refusal = remove(&without, "disk01").expect_err("the volume's only plex");
    assert!(refusal.message().contains("'v-01' of 'g/v'"), "{refusal}");
    assert!(
        refusal
            .hint()
            .map(|hint| hint.text(&Native))
            .is_some_and(|hint| hint.contains("remove v")),
        "{refusal:?}"
    );
    // A disk with nothing on it goes at once.
    assert!(
        remove(&w, "disk04")
            .expect("a plan")
            .changes
            .iter()
            .any(|change| matches!(change.event, Event::DiskRemoved { .. }))
    );
}

/// Maps of changes are asked, and disks are looked at, only for those who need it.
#[test]
fn no_more_is_found_out_than_a_request_needs() {
    let mut w = world(3);
    done(&mut w, &make("a", 60, 1));
    let split = Splits::All;
    let snapshot = Request::Snapshot {
        splits: split.clone(),
        legs: Legs::Count(1),
        pattern: None,
        require_frozen: false,
    };
    let all = vec![
        Need::Standing(&split),
        Need::EraTarget,
        Need::Eras,
        Need::MapSpace(&split),
    ];
    w.group.volumes[0].fast_resync = true;
    assert_eq!(needs(&w, &snapshot), all);
    w.group.volumes[0].fast_resync = false;
    assert_eq!(needs(&w, &snapshot), [Need::Standing(&split)]);
    assert_eq!(
        needs(&w, &start(Selection::All)),
        [Need::EraSurvival, Need::StoppedMaps]
    );
    assert_eq!(needs(&w, &Request::Stop(Selection::All)), []);
}
