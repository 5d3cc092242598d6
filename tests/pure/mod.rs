//! A disk group on paper for the pure tests: worlds are made by carrying plans out in thought.
//!
//! The kernel is not imitated here beyond "it has what the plan asked for": what it really does is
//! for the kernel tests to say.

#![allow(dead_code)] // each test program uses its own part of it

pub mod golden;

use breakoff::error::Error;
use breakoff::model::{
    BootId, DevNo, Disk, DiskId, DmUuid, Generation, Group, GroupId, HostId, Name, NodeOwner, Role,
    Sectors, Timestamp, Tracking, VolumeId,
};
use breakoff::plan::evidence::{EraSupport, Evidence, Situation};
use breakoff::plan::request::{Legs, Placement, Request, Split, Splits};
use breakoff::plan::step::Plan;
use breakoff::plan::world::{PresentDisk, World};
use breakoff::plan::{finding, plan};
use breakoff::table::stack::{mirror_roles, stack};
use breakoff::table::status::{LegHealth, MirrorStatus};
use breakoff::table::{DevRef, DmDevice, log};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

pub const BOOT: BootId = BootId::from_bytes([0xb0; 16]);

pub fn name(word: &str) -> Name {
    Name::parse(word).expect("a legal name")
}

/// This machine.
pub const HOST: HostId = HostId::from_bytes([0x40; 16]);

/// A group `g` with so many disks of 100 MiB, all present, in a kernel without devices.
pub fn world(disks: u8) -> Situation {
    let mut group = Group::new(name("g"), HOST);
    group.id = GroupId::from_bytes([0x60; 16]);
    let mut present = BTreeMap::new();
    for n in 1..=disks {
        let id = DiskId::from_bytes([n; 16]);
        let media = name(&format!("disk{n:02}"));
        let path = format!("/dev/{media}").into();
        group.disks.push(Disk {
            id,
            media,
            data_start: Sectors::mib(4),
            size: Sectors::mib(96),
        });
        let dev = DevNo {
            major: 7,
            minor: u32::from(n),
        };
        present.insert(
            id,
            PresentDisk {
                path,
                dev,
                size: Sectors::mib(100),
                logical_block: 512,
            },
        );
    }
    let state = World {
        group,
        generation: Generation::new(1),
        devices: BTreeMap::new(),
        taken_names: BTreeSet::new(),
        disks: present,
        boot: BOOT,
        host: Some(HOST),
        now: Timestamp::from_millis(1_000_000),
        elsewhere: BTreeMap::new(),
    };
    let era = EraSupport {
        target: Some(true),
        survives_crash: Some(true),
    };
    let evidence = Evidence {
        era,
        ..Evidence::default()
    };
    Situation { state, evidence }
}

/// Plans a request and carries it out in thought.
pub fn done(world: &mut Situation, request: &Request) -> Plan {
    let plan = plan(world, request).unwrap_or_else(|e| panic!("{request:?}: {e}"));
    carry_out(world, &plan);
    plan
}

/// The refusal of a request, as it leaves the planning.
pub fn refused(world: &Situation, request: &Request) -> Error {
    match plan(world, request) {
        Err(refusal) => Error::from(refusal),
        Ok(plan) => panic!("{request:?} was not refused: {:?}", plan.changes),
    }
}

/// The world after a plan: its configuration, and a kernel that has just what it asks for. New
/// copies have not begun.
pub fn carry_out(world: &mut Situation, plan: &Plan) {
    let world = &mut world.state;
    world.group = plan.group.clone();
    world.generation = world.generation.next().expect("a next generation");
    let before = std::mem::take(&mut world.devices);
    for volume in world
        .group
        .volumes
        .clone()
        .iter()
        .filter(|v| v.running == Some(world.boot))
    {
        let devices = stack(&world.group, volume).expect("a stack");
        for device in devices {
            let dev = before
                .get(&device.uuid)
                .map_or_else(|| free_number(&before, &world.devices), |d| d.dev);
            let number = |what: &DevRef| {
                Some(match what {
                    DevRef::Disk(id) => world.disks.get(id)?.dev.to_string(),
                    DevRef::Device(role) => world
                        .devices
                        .get(&DmUuid::new(world.group.id, volume.id, role))?
                        .dev
                        .to_string(),
                })
            };
            let table = device.table.render(&number).expect("a table without gaps");
            let made = DmDevice {
                name: device.name,
                uuid: device.uuid.clone(),
                dev,
                open_count: 0,
                suspended: false,
                has_inactive: false,
                table,
                mirror: None,
            };
            world.devices.insert(device.uuid, made);
        }
    }
    world.taken_names = world.devices.values().map(|d| d.name.clone()).collect();
    for volume in world.group.volumes.clone() {
        let share = if volume.is_synced() { 1 } else { 0 };
        set_status(world, volume.id, share, |_| LegHealth::Alive);
    }
}

fn free_number(a: &BTreeMap<DmUuid, DmDevice>, b: &BTreeMap<DmUuid, DmDevice>) -> DevNo {
    let taken = |minor: u32| a.values().chain(b.values()).any(|d| d.dev.minor == minor);
    let minor = (0..).find(|minor| !taken(*minor)).expect("a free number");
    DevNo { major: 253, minor }
}

/// Gives all mirrors of a volume a status: those of complete plexes in sync as `base` says (0 or
/// 1), those being filled not.
pub fn set_status(world: &mut World, id: VolumeId, base: u64, health: impl Fn(&Role) -> LegHealth) {
    let Some(volume) = world.group.volume(id).cloned() else {
        return;
    };
    for (role, legs, attaching) in mirror_roles(&volume).unwrap_or_default() {
        let total = log::regions(volume.size, log::region(volume.size));
        let legs = legs.iter().map(|leg| match leg {
            breakoff::table::stack::LegOf::Plex(number) => Role::Plex(*number),
            breakoff::table::stack::LegOf::Below(role) => role.clone(),
        });
        let dev = |role: &Role| {
            world
                .devices
                .get(&DmUuid::new(world.group.id, id, role))
                .map(|d| d.dev)
        };
        let legs: Option<Vec<_>> = legs
            .map(|role| Some((dev(&role)?, health(&role))))
            .collect();
        let status = legs.map(|legs| MirrorStatus {
            legs,
            done: if attaching { 0 } else { base * total },
            total,
            log_failed: false,
        });
        let uuid = DmUuid::new(world.group.id, id, &role);
        if let Some(device) = world.devices.get_mut(&uuid) {
            device.mirror = status;
        }
    }
}

/// The kernel finishes all copies, and whoever looks first records it.
pub fn sync(world: &mut Situation) -> Vec<Plan> {
    let mut plans = Vec::new();
    for _ in 0..8 {
        for device in world.devices.values_mut() {
            if let Some(mirror) = &mut device.mirror {
                mirror.done = mirror.total;
            }
        }
        let findings = finding::findings(world);
        let Some(first) = findings.first() else {
            return plans;
        };
        let plan = finding::plan(world, first).expect("a plan for a finding");
        carry_out(world, &plan);
        plans.push(plan);
    }
    panic!("the findings do not come to an end");
}

pub fn anywhere() -> Placement {
    Placement::default()
}

pub fn on(disks: &[&str]) -> Placement {
    Placement {
        on: disks.iter().map(|d| name(d)).collect(),
        avoid: Vec::new(),
    }
}

pub fn make(volume: &str, mib: u32, mirrors: usize) -> Request {
    Request::Make {
        volume: name(volume),
        size: Sectors::mib(mib),
        mirrors,
        placement: anywhere(),
        log: true,
        fast_resync: false,
        sector_size: None,
        owner: NodeOwner::default(),
    }
}

pub fn snapstart(volume: &str) -> Request {
    Request::SnapStart {
        volumes: vec![name(volume)],
        mirrors: 1,
        placement: anywhere(),
        lanes: None,
    }
}

/// A volume `v` whose changes are tracked, and its snapshot `s`.
pub fn split_off(w: &mut Situation, mib: u32, mirrors: usize) {
    done(
        w,
        &Request::Make {
            volume: name("v"),
            size: Sectors::mib(mib),
            mirrors,
            placement: anywhere(),
            log: true,
            fast_resync: true,
            sector_size: None,
            owner: NodeOwner::default(),
        },
    );
    sync(w);
    done(w, &snapstart("v"));
    sync(w);
    let these = vec![Split {
        volume: name("v"),
        name: Some(name("s")),
    }];
    done(
        w,
        &Request::Snapshot {
            splits: Splits::These(these),
            legs: Legs::Count(1),
            pattern: None,
            require_frozen: false,
        },
    );
}

/// What the maps of `v` and `s` have listed since the split.
pub fn list(w: &mut Situation, original: Vec<Range<u64>>, snapshot: Vec<Range<u64>>) {
    let id = |volume| w.group.volume_named(&name(volume)).expect("a volume").id;
    let (v, s) = (id("v"), id("s"));
    let origin = w.group.volume(s).and_then(|s| s.origin.as_ref());
    let Some(Tracking::Since(era)) = origin.map(|origin| origin.tracking) else {
        panic!("it is not tracked");
    };
    w.evidence.map_mut(v).changed.insert(era, Ok(original));
    w.evidence.map_mut(s).changed.insert(1, Ok(snapshot));
}
