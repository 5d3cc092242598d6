//! Plans of changes to groups as a whole and to their disks: as a person reads them with
//! `--dry-run`, and what they refuse.

use crate::pure::golden::assert_golden;
use crate::pure::{BOOT, HOST, done, make, name, sync, world};
use breakoff::app::Outcome;
use breakoff::cli::native::hints::Native;
use breakoff::error::{Error, Kind};
use breakoff::model::{DevNo, DiskId, Group, GroupId, HostId, PlexState, Sectors, Standing};
use breakoff::plan::evidence::{DiskSizes, OtherSides, Situation};
use breakoff::plan::found::{Fresh, Objection, PresentDisk, Prospect, Space};
use breakoff::plan::groups::{initialise, plan};
use breakoff::plan::render;
use breakoff::plan::request::{GroupRequest, NamedDevice};
use breakoff::plan::step::{LabelStep, Plan};
use breakoff::report::text;
use std::path::PathBuf;

/// An empty device of 100 MiB, `/dev/newN`.
fn device(n: u8) -> Prospect {
    Prospect {
        found: PresentDisk {
            path: format!("/dev/new{n}").into(),
            dev: DevNo {
                major: 8,
                minor: u32::from(n),
            },
            size: Sectors::mib(100),
            logical_block: 512,
        },
        objections: Vec::new(),
        free: None,
        fresh: Ok(Fresh {
            space: space(0xa0 + n),
            area: Sectors::mib(4),
        }),
    }
}

fn space(id: u8) -> Space {
    Space {
        id: DiskId::from_bytes([id; 16]),
        data_start: Sectors::mib(4),
        size: Sectors::mib(96),
    }
}

/// One of the devices, to be changed.
fn prospect(world: &mut Situation, n: u8) -> &mut Prospect {
    let device = PathBuf::from(format!("/dev/new{n}"));
    world
        .evidence
        .prospects
        .get_mut(&device)
        .unwrap()
        .as_mut()
        .unwrap()
}

fn objection(text: &str, forcible: bool) -> Objection {
    Objection {
        text: text.to_owned(),
        forcible,
    }
}

fn named(n: u8) -> NamedDevice {
    NamedDevice {
        media: None,
        device: format!("/dev/new{n}").into(),
    }
}

/// Three disks, a mirrored volume and a plain one, and the devices `/dev/new1` and `/dev/new2`.
fn ready() -> Situation {
    let mut w = world(3);
    for n in 1..=2 {
        let prospect = device(n);
        let path = prospect.found.path.clone();
        w.evidence.prospects.insert(path, Ok(prospect));
    }
    w
}

fn with_volumes() -> Situation {
    let mut w = ready();
    done(&mut w, &make("v", 8, 2));
    sync(&mut w);
    done(&mut w, &make("w", 8, 1));
    w
}

fn stopped(mut w: Situation) -> Situation {
    w.group.volumes.iter_mut().for_each(|v| v.running = None);
    w.devices.clear();
    w
}

/// A group as it is before it is created.
fn none_yet() -> Situation {
    let mut w = ready();
    let mut group = Group::new(name("g"), HOST);
    group.id = w.group.id;
    w.group = group;
    w.disks.clear();
    w
}

#[track_caller]
fn planned(world: &Situation, file: &str, request: &GroupRequest) -> Plan {
    let plan = plan(world, request).unwrap_or_else(|refusal| panic!("{file}: {refusal}"));
    let shown = text::outcome(
        &Outcome::Planned(render::view(world, &plan, &Native)),
        false,
    );
    assert_golden(&format!("tests/golden/plans/{file}"), &shown);
    plan
}

#[track_caller]
fn refused(world: &Situation, request: &GroupRequest) -> Error {
    match plan(world, request) {
        Err(refusal) => Error::from(refusal),
        Ok(plan) => panic!("{request:?} is not refused: {:?}", plan.changes),
    }
}

fn create(devices: &[u8], force: bool, area: Option<Sectors>) -> GroupRequest {
    GroupRequest::Create {
        disks: devices.iter().copied().map(named).collect(),
        force,
        area,
    }
}

fn add(devices: &[u8], force: bool) -> GroupRequest {
    GroupRequest::Add {
        disks: devices.iter().copied().map(named).collect(),
        force,
    }
}

fn replace(media: &str, force: bool) -> GroupRequest {
    GroupRequest::ReplaceDisk {
        media: name(media),
        device: "/dev/new1".into(),
        force,
    }
}

fn import(to: Option<&str>, force: bool) -> GroupRequest {
    GroupRequest::Import {
        name: to.map(name),
        foreign: force,
        missing: force,
    }
}

#[test]
fn a_group_is_created_of_new_disks_and_of_initialised_ones() {
    let mut w = none_yet();
    prospect(&mut w, 2).free = Some(space(0xf2));
    let new = planned(&w, "group-create", &create(&[1, 2], false, None));
    let media: Vec<&str> = new.group.disks.iter().map(|d| d.media.as_str()).collect();
    assert_eq!(media, ["disk01", "disk02"]);
    assert_eq!(new.group.disks[1].id, DiskId::from_bytes([0xf2; 16]));
    assert!(matches!(new.labels[0], LabelStep::Write(_)));
    assert!(matches!(new.labels[1], LabelStep::Keep { .. }));
    assert!(new.erase.is_empty() && new.consent.is_none());
    // A private area of another size needs another label.
    let sized = create(&[2], false, Some(Sectors::mib(8)));
    let new = plan(&w, &sized).unwrap();
    assert!(matches!(new.labels[..], [LabelStep::Write(_)]));
    assert_eq!(new.group.disks[0].id, DiskId::from_bytes([0xa2; 16]));

    w.evidence.namesakes = vec![GroupId::from_bytes([3; 16])];
    let taken = refused(&w, &create(&[1], true, None));
    assert_eq!(taken.kind(), Kind::Exists, "{taken}");
    w.evidence.namesakes.clear();
    // Why a device cannot be used is of no interest before that.
    w.evidence.namesakes = vec![GroupId::from_bytes([3; 16])];
    let gone = PathBuf::from("/dev/new1");
    let error = Error::not_found("there is no device '/dev/new1'");
    w.evidence.prospects.insert(gone, Err(error.clone()));
    assert_eq!(refused(&w, &create(&[1], true, None)).kind(), Kind::Exists);
    w.evidence.namesakes.clear();
    assert_eq!(refused(&w, &create(&[1], true, None)), error);
    let none = refused(&w, &create(&[], false, None));
    assert_eq!(none.kind(), Kind::Usage, "{none}");
}

#[test]
fn disks_are_added_under_free_names() {
    let w = ready();
    let new = planned(&w, "group-add", &add(&[1, 2], false));
    let media: Vec<&str> = new.group.disks.iter().map(|d| d.media.as_str()).collect();
    assert_eq!(media, ["disk01", "disk02", "disk03", "disk04", "disk05"]);
    let under = |media: &str| NamedDevice {
        media: Some(name(media)),
        ..named(1)
    };
    let add_under = |disks| GroupRequest::Add {
        disks,
        force: false,
    };
    let taken = refused(&w, &add_under(vec![under("disk02")]));
    assert_eq!(taken.kind(), Kind::Exists, "{taken}");
    assert_eq!(taken.object(), Some("disk02"));
    // A name that was given is not given again by itself.
    let new = plan(&w, &add_under(vec![under("disk04"), named(2)])).unwrap();
    assert_eq!(new.group.disks[4].media, name("disk05"));
}

#[test]
fn a_device_is_refused_for_what_it_holds_unless_forced() {
    for request in [
        |force| create(&[1], force, None),
        |force| add(&[1], force),
        |force| replace("disk03", force),
    ] {
        let mut w = if matches!(request(false), GroupRequest::Create { .. }) {
            none_yet()
        } else {
            ready()
        };
        let ext4 = objection("'/dev/new1' has ext4", true);
        prospect(&mut w, 1).objections = vec![ext4.clone(), ext4.clone()];
        let contents = refused(&w, &request(false));
        assert_eq!(contents.kind(), Kind::InUse);
        assert_eq!(contents.message(), "'/dev/new1' has ext4");
        plan(&w, &request(true)).expect("it is forced");
        prospect(&mut w, 1).objections = vec![ext4, objection("'/dev/new1' is mounted", false)];
        let used = refused(&w, &request(true));
        assert_eq!(used.kind(), Kind::InUse);
        assert_eq!(used.message(), "'/dev/new1' is mounted");
        assert_eq!(
            refused(&w, &request(false)).message(),
            "'/dev/new1' has ext4; '/dev/new1' is mounted"
        );
    }
}

#[test]
fn one_device_by_two_paths_is_one() {
    let mut w = ready();
    let link = PathBuf::from("/dev/link");
    w.evidence.prospects.insert(link.clone(), Ok(device(1)));
    let disks = vec![
        named(1),
        NamedDevice {
            media: None,
            device: link,
        },
    ];
    let twice = refused(&w, &GroupRequest::Add { disks, force: true });
    assert_eq!(twice.kind(), Kind::Usage);
    assert_eq!(
        twice.message(),
        "'/dev/new1' and '/dev/link' are one device"
    );
}

#[test]
fn a_device_without_room_for_its_label_is_refused_before_anything_is_written() {
    let mut w = ready();
    prospect(&mut w, 2).fresh = Err(Error::no_space("the device is too small"));
    let small = refused(&w, &add(&[1, 2], true));
    assert_eq!(small.kind(), Kind::NoSpace);
}

#[test]
fn a_disk_leaves_its_group() {
    let mut w = ready();
    let request = GroupRequest::RemoveDisk(name("disk03"));
    let gone = planned(&w, "group-remove-disk", &request);
    assert_eq!(gone.group.disks.len(), 2);
    assert_eq!(gone.erase.len(), 1);
    assert_eq!(gone.erase[0].path, PathBuf::from("/dev/disk03"));
    // There is no label to erase on a disk that is not there.
    w.disks.remove(&DiskId::from_bytes([3; 16]));
    let gone = planned(&w, "group-remove-disk-missing", &request);
    assert!(gone.erase.is_empty());
}

#[test]
fn a_disk_is_replaced() {
    let mut w = with_volumes();
    let present = planned(&w, "group-replace-disk", &replace("disk02", false));
    assert_eq!(present.erase.len(), 1);
    let id = DiskId::from_bytes([2; 16]);
    let new = present.group.disk_named(&name("disk02")).unwrap();
    assert_eq!(new.id, DiskId::from_bytes([0xa1; 16]));
    let states: Vec<PlexState> = present.group.volumes[0]
        .plexes
        .iter()
        .map(|p| p.state)
        .collect();
    assert_eq!(states, [PlexState::Active, PlexState::Reviving]);
    w.disks.remove(&id);
    let missing = plan(&w, &replace("disk02", false)).unwrap();
    assert!(missing.erase.is_empty());
}

#[test]
fn a_disk_that_has_grown_is_used_to_its_end() {
    let mut w = ready();
    let request = GroupRequest::ResizeDisk(name("disk01"));
    let gone = refused(&w, &request);
    assert_eq!(
        (gone.kind(), gone.object()),
        (Kind::Device, Some("g/disk01"))
    );
    let sizes = |label, device| DiskSizes {
        label: Sectors::mib(label),
        device: Option::map(device, Sectors::mib),
    };
    let id = DiskId::from_bytes([1; 16]);
    w.evidence.sizes.insert(id, sizes(96, None));
    let same = planned(&w, "disk-resize-nothing", &request);
    assert_eq!((same.group, same.labels.len()), (w.group.clone(), 0));
    w.evidence.sizes.insert(id, sizes(96, Some(196)));
    let grown = planned(&w, "disk-resize", &request);
    assert_eq!(grown.group.disks[0].size, Sectors::mib(196));
    assert_eq!(grown.labels.len(), 1);
    // A command was interrupted between the label and the configuration.
    w.evidence.sizes.insert(id, sizes(196, None));
    let grown = plan(&w, &request).unwrap();
    assert_eq!(grown.group.disks[0].size, Sectors::mib(196));
    assert!(grown.labels.is_empty());
}

#[test]
fn a_group_is_destroyed_with_its_volumes_on_purpose() {
    let empty = plan(&ready(), &GroupRequest::Destroy).unwrap();
    assert!(empty.consent.is_none() && empty.group.destroyed);
    let w = with_volumes();
    let all = planned(&w, "group-destroy", &GroupRequest::Destroy);
    assert_eq!(all.erase.len(), 3);
    let consent = all.consent.expect("volumes are lost");
    assert_eq!(consent.question, "destroy group 'g' with v, w?");
    assert_eq!(consent.refusal.kind(), Kind::InUse);
}

#[test]
fn a_group_changes_its_machine() {
    let started = with_volumes();
    let refusal = refused(&started, &GroupRequest::Deport);
    assert_eq!(refusal.kind(), Kind::InUse);
    let mut w = stopped(with_volumes());
    let released = planned(&w, "group-deport", &GroupRequest::Deport);
    assert_eq!(released.group.host, None);

    w.group.host = None;
    let taken = planned(&w, "group-import", &import(Some("h"), false));
    assert_eq!(
        (taken.group.host, taken.group.name),
        (Some(HOST), name("h"))
    );
    let other = HostId::from_bytes([9; 16]);
    w.group.host = Some(other);
    assert_eq!(refused(&w, &import(None, false)).kind(), Kind::Unsafe);
    let forced = plan(&w, &import(None, true)).unwrap();
    assert!(forced.forced && forced.group.host == Some(HOST));
    w.group.host = None;
    w.evidence.namesakes = vec![GroupId::from_bytes([3; 16])];
    assert_eq!(refused(&w, &import(None, true)).kind(), Kind::Exists);
    w.evidence.namesakes.clear();
    w.host = None;
    assert_eq!(refused(&w, &import(None, true)).kind(), Kind::Failed);
}

#[test]
fn a_group_of_this_machine_is_renamed_while_it_is_stopped() {
    let w = with_volumes();
    let same = plan(&w, &import(None, false)).unwrap();
    assert_eq!(
        same,
        Plan::nothing(w.group.clone()),
        "it is imported already"
    );
    assert_eq!(refused(&w, &import(Some("h"), true)).kind(), Kind::InUse);
    let renamed = plan(&stopped(w), &import(Some("h"), false)).unwrap();
    assert_eq!(renamed.group.name, name("h"));
}

#[test]
fn what_is_missing_is_given_up_by_force_only() {
    let mut w = stopped(with_volumes());
    w.disks.retain(|id, _| *id == DiskId::from_bytes([1; 16]));
    for request in [
        add(&[1], true),
        GroupRequest::RemoveDisk(name("disk03")),
        replace("disk02", true),
        GroupRequest::Destroy,
        GroupRequest::Deport,
        import(Some("h"), false),
    ] {
        assert_eq!(refused(&w, &request).kind(), Kind::Unsafe, "{request:?}");
    }
    let forced = plan(&w, &import(None, true)).unwrap();
    let lost = DiskId::from_bytes([2; 16]);
    assert_eq!(forced.group.standing.get(&lost), Some(&Standing::GivenUp));
}

#[test]
fn one_side_is_chosen_on_purpose() {
    let choose = GroupRequest::Choose {
        side: "5ac0ffee".to_owned(),
    };
    let mut w = stopped(with_volumes());
    assert_eq!(plan(&w, &choose).unwrap(), Plan::nothing(w.group.clone()));
    // The other side may be on a disk that is not there.
    let disk = w.disks.pop_last().unwrap();
    assert_eq!(refused(&w, &choose).kind(), Kind::NotReady);
    w.disks.extend([disk]);
    w.evidence.other_sides = Some(OtherSides {
        disks: vec![DiskId::from_bytes([2; 16])],
        volumes: vec!["other".to_owned()],
    });
    let chosen = planned(&w, "group-choose", &choose);
    assert!(chosen.forced);
    let consent = chosen.consent.expect("something is lost");
    assert_eq!(
        consent.question,
        "give up other and what the other sides wrote?"
    );
    assert_eq!(consent.refusal.kind(), Kind::Unsafe);
    // What runs by the other side's configuration cannot be brought in line.
    let mut running = with_volumes();
    running.evidence = w.evidence.clone();
    running.group.volumes.clear();
    assert_eq!(refused(&running, &choose).kind(), Kind::InUse);
    assert_eq!(w.boot, BOOT);
}

#[test]
fn disks_are_initialised_in_no_group() {
    let w = ready();
    let devices = [1, 2].map(|n| named(n).device);
    let new = initialise(&w.evidence.prospects, &devices, false).unwrap();
    let shown = text::outcome(&Outcome::Planned(render::initialisation(&new)), false);
    assert_golden("tests/golden/plans/disk-init", &shown);
    let twice = [&devices[..], &devices[..1]].concat();
    let error = initialise(&w.evidence.prospects, &twice, true).unwrap_err();
    assert_eq!(error.kind(), Kind::Usage);
}
