//! A group made by hand that shows every state that `print` can show.

use breakoff::model::{
    Account, BootId, CrashReason, DevNo, Disk, DiskId, DmName, DmUuid, Extent, Generation, Group,
    GroupId, HostId, Lanes, Log, Name, NodeMode, NodeOwner, Origin, Places, Plex, PlexState, Role,
    Sectors, Timestamp, Tracking, Untracked, Volume, VolumeId,
};
use breakoff::plan::evidence::Situation;
use breakoff::plan::world::{PresentDisk, World};
use breakoff::table::status::{LegHealth, MirrorStatus};
use breakoff::table::{DmDevice, TargetLine};
use std::collections::BTreeMap;
use std::path::PathBuf;

const BOOT: BootId = BootId::from_bytes([0xb0; 16]);
const EARLIER: BootId = BootId::from_bytes([0xb1; 16]);

pub fn name(word: &str) -> Name {
    Name::parse(word).unwrap()
}

fn disk_id(number: u8) -> DiskId {
    DiskId::from_bytes([0xd0 + number; 16])
}

/// A piece of disk in MiB.
pub fn piece(disk: u8, start: u32, length: u32) -> Extent {
    Extent {
        disk: disk_id(disk),
        start: Sectors::mib(start),
        length: Sectors::mib(length),
    }
}

fn plex(volume: &str, number: u16, state: PlexState, subdisks: &[Extent]) -> Plex {
    Plex {
        number,
        name: name(&format!("{volume}-{number:02}")),
        state,
        subdisks: subdisks.to_vec(),
        dco: None,
        serves_restore: false,
    }
}

fn volume(id: u8, word: &str, plexes: Vec<Plex>) -> Volume {
    let size = plexes[0].length();
    Volume {
        id: VolumeId::from_bytes([id; 16]),
        name: name(word),
        size,
        plexes,
        log: None,
        log_wanted: true,
        fast_resync: false,
        dco: None,
        returning: None,
        sector_size: None,
        lost_leg: None,
        lanes: Lanes::ONE,
        owner: NodeOwner::default(),
        running: Some(BOOT),
        synced: size,
        origin: None,
        away: Vec::new(),
        copied: false,
    }
}

/// The group without volumes: three disks of 1 GiB here, a fourth missing.
pub fn empty() -> Situation {
    let disks = [(1, "sdb"), (2, "sdc"), (3, "sdd")]
        .map(|(number, device)| (disk_id(number), present(number, device)));
    let group = Group {
        id: GroupId::from_bytes([0x99; 16]),
        name: name("pay"),
        host: Some(HostId::from_bytes([0x77; 16])),
        destroyed: false,
        disks: (1..=4).map(disk).collect(),
        standing: BTreeMap::new(),
        volumes: Vec::new(),
        handovers: Vec::new(),
        places: Places::default(),
    };
    Situation::new(World {
        group,
        generation: Generation::new(42),
        devices: BTreeMap::new(),
        taken_names: Default::default(),
        disks: disks.into(),
        boot: BOOT,
        host: Some(HostId::from_bytes([0x77; 16])),
        now: Timestamp::from_millis(1_790_000_000_000),
        elsewhere: Default::default(),
    })
}

fn disk(number: u8) -> Disk {
    Disk {
        id: disk_id(number),
        media: name(&format!("disk{number:02}")),
        data_start: Sectors::mib(5),
        size: Sectors::mib(1024),
    }
}

fn present(number: u8, device: &str) -> PresentDisk {
    let dev = DevNo {
        major: 8,
        minor: u32::from(number) * 16,
    };
    PresentDisk {
        path: PathBuf::from(format!("/dev/{device}")),
        dev,
        size: Sectors::mib(1029),
        logical_block: 512,
    }
}

/// A world in the making.
struct Maker {
    world: Situation,
    minor: u32,
}

impl Maker {
    /// Puts a device into the kernel.
    fn device(&mut self, volume: &Volume, role: Role, mirror: Option<MirrorStatus>) -> DevNo {
        self.minor += 1;
        let dev = DevNo {
            major: 253,
            minor: self.minor,
        };
        let group = &self.world.group;
        let uuid = DmUuid::new(group.id, volume.id, &role);
        let line = TargetLine {
            start: Sectors::ZERO,
            length: volume.size,
            target: "linear".into(),
            params: "8:16 0".into(),
        };
        let device = DmDevice {
            name: DmName::inner(&group.name, &volume.name, volume.id, &role, None),
            uuid: uuid.clone(),
            dev,
            open_count: 0,
            suspended: false,
            has_inactive: false,
            table: vec![line],
            mirror,
        };
        self.world.devices.insert(uuid, device);
        dev
    }

    /// A started volume over one disk, with no mirror in it.
    fn linear(&mut self, volume: Volume) {
        self.device(&volume, Role::Volume, None);
        self.world.group.volumes.push(volume);
    }

    /// A started mirror over these plexes with these letters.
    fn mirror(&mut self, volume: Volume, plexes: &[u16], letters: &str, done: u64, total: u64) {
        let mut status = MirrorStatus {
            legs: Vec::new(),
            done,
            total,
            log_failed: false,
        };
        for (number, letter) in plexes.iter().zip(letters.bytes()) {
            let dev = self.device(&volume, Role::Plex(*number), None);
            status.legs.push((dev, LegHealth::from_letter(letter)));
        }
        if volume.log.as_ref().is_some_and(|log| log.live) {
            self.device(&volume, Role::Log, None);
        }
        self.device(&volume, Role::Volume, Some(status));
        self.world.group.volumes.push(volume);
    }
}

/// The group with everything in it.
pub fn full() -> Situation {
    let mut maker = Maker {
        world: empty(),
        minor: 0,
    };
    let paydb = paydb();
    let original = paydb.id;
    maker.mirror(paydb, &[1, 2, 3], "AAA", 100, 100);
    filling(&mut maker);
    layered(&mut maker);
    maker.linear(Volume {
        origin: Some(origin(original, true)),
        away: Vec::new(),
        copied: true,
        ..volume(4, "SNAP-paydb", snapshot_plex())
    });
    after_a_crash(&mut maker);
    degraded(&mut maker);
    stopped(&mut maker);
    maker.world
}

/// The same with the changes of the first snapshot tracked: 2 MiB of its original and 1.5 MiB of it
/// were written, partly at one place.
#[allow(clippy::single_range_in_vec_init)] // lists of pieces
pub fn tracked() -> Situation {
    let mut world = full();
    let ids: Vec<VolumeId> = ["paydb", "SNAP-paydb"]
        .map(|word| world.group.volume_named(&name(word)).unwrap().id)
        .into();
    let snapshot = world.group.volume_mut(ids[1]).unwrap();
    snapshot
        .origin
        .iter_mut()
        .for_each(|origin| origin.tracking = Tracking::Since(3));
    world
        .evidence
        .map_mut(ids[0])
        .changed
        .insert(3, Ok(vec![0..2048, 8192..10_240]));
    world
        .evidence
        .map_mut(ids[1])
        .changed
        .insert(1, Ok(vec![1024..4096]));
    world
}

fn origin(original: VolumeId, frozen: bool) -> Origin {
    Origin {
        at_boot: None,
        apart: None,
        original,
        taken_at: Timestamp::from_millis(1_789_999_000_123),
        crash: (!frozen).then(|| CrashReason::new("used as swap")),
        freeze_us: 12_345,
        tracking: Tracking::Untracked(Untracked::Off),
    }
}

fn paydb() -> Volume {
    let plexes = vec![
        plex(
            "paydb",
            1,
            PlexState::Active,
            &[piece(1, 0, 60), piece(1, 100, 40)],
        ),
        plex("paydb", 2, PlexState::Active, &[piece(2, 0, 100)]),
        plex("paydb", 3, PlexState::SnapDone, &[piece(3, 0, 100)]),
    ];
    let log = Log {
        extent: piece(1, 60, 1),
        region: Sectors::of(1024),
        live: true,
    };
    Volume {
        log: Some(log),
        owner: NodeOwner {
            user: Account::parse("oracle").ok(),
            group: None,
            mode: NodeMode::new(0o640),
        },
        ..volume(1, "paydb", plexes)
    }
}

fn snapshot_plex() -> Vec<Plex> {
    vec![plex("paydb", 4, PlexState::Active, &[piece(3, 100, 100)])]
}

/// A plain volume whose first snapshot leg is being filled.
fn filling(maker: &mut Maker) {
    let plexes = vec![
        plex("home", 1, PlexState::Active, &[piece(1, 200, 10)]),
        plex("home", 2, PlexState::SnapAtt, &[piece(2, 200, 10)]),
    ];
    maker.mirror(volume(2, "home", plexes), &[1, 2], "AA", 379, 1000);
}

/// A second leg is being filled on top of a mirror that holds a complete one (K3).
fn layered(maker: &mut Maker) {
    let plexes = vec![
        plex("mail", 1, PlexState::Active, &[piece(1, 300, 10)]),
        plex("mail", 2, PlexState::SnapDone, &[piece(2, 300, 10)]),
        plex("mail", 3, PlexState::SnapAtt, &[piece(3, 300, 10)]),
    ];
    let mail = volume(3, "mail", plexes);
    let legs = [1, 2].map(|number| {
        (
            maker.device(&mail, Role::Plex(number), None),
            LegHealth::Alive,
        )
    });
    let inner = MirrorStatus {
        legs: legs.into(),
        done: 20,
        total: 20,
        log_failed: false,
    };
    let inner = maker.device(&mail, Role::Layer(1), Some(inner));
    let leg = maker.device(&mail, Role::Plex(3), None);
    let legs = vec![(inner, LegHealth::Alive), (leg, LegHealth::SyncFailed)];
    maker.device(
        &mail,
        Role::Volume,
        Some(MirrorStatus {
            legs,
            done: 5,
            total: 20,
            log_failed: false,
        }),
    );
    maker.world.group.volumes.push(mail);
}

/// A mirror with a complete snapshot leg that is being made equal again.
fn after_a_crash(maker: &mut Maker) {
    let plexes = vec![
        plex("logs", 1, PlexState::Active, &[piece(1, 400, 10)]),
        plex("logs", 2, PlexState::Active, &[piece(2, 400, 10)]),
        plex("logs", 3, PlexState::SnapDone, &[piece(3, 400, 10)]),
    ];
    let logs = Volume {
        synced: Sectors::ZERO,
        ..volume(5, "logs", plexes)
    };
    maker.mirror(logs, &[1, 2, 3], "AAA", 1, 4);
}

/// One plex failed, one is stale; the volume is suspended just now.
fn degraded(maker: &mut Maker) {
    let plexes = vec![
        plex("work", 1, PlexState::Active, &[piece(1, 500, 10)]),
        plex("work", 2, PlexState::Failed, &[piece(4, 500, 10)]),
        plex("work", 3, PlexState::Stale, &[piece(2, 500, 10)]),
    ];
    let work = volume(6, "work", plexes);
    let uuid = DmUuid::new(maker.world.group.id, work.id, &Role::Volume);
    maker.linear(work);
    maker.world.devices.get_mut(&uuid).unwrap().suspended = true;
}

/// One stopped cleanly, one that was running when the machine went down, one snapshot whose
/// original is gone.
fn stopped(maker: &mut Maker) {
    let one = |id, word, at| {
        volume(
            id,
            word,
            vec![plex(word, 1, PlexState::Active, &[piece(2, at, 10)])],
        )
    };
    let gone = VolumeId::from_bytes([0xee; 16]);
    maker.world.group.volumes.extend([
        Volume {
            running: None,
            ..one(7, "idle", 600)
        },
        Volume {
            running: Some(EARLIER),
            ..one(8, "down", 610)
        },
        Volume {
            running: None,
            origin: Some(origin(gone, false)),
            copied: true,
            ..one(9, "SNAP-old", 620)
        },
    ]);
}
