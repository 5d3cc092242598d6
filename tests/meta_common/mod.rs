//! Disks in memory that remember every write and flush, and groups to put on them.
#![allow(dead_code, clippy::unwrap_used, missing_docs)]

use breakoff::meta::{self, Chosen, Label, Member};
use breakoff::model::*;
use breakoff::sys::Media;
use proptest::prelude::*;
use std::cell::RefCell;
use std::io;
use std::rc::Rc;

/// A found failure becomes a named test, not a file.
pub fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// What happened to a disk, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    Write(u64, Vec<u8>),
    Flush,
}

/// What goes wrong: the operations (counted from now on) that fail.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    pub writes: bool,
    pub flushes: bool,
    pub reads: bool,
    /// Failing writes reach the disk nevertheless.
    pub but_written: bool,
}

#[derive(Debug, Default)]
pub struct State {
    /// What is kept; behind it nothing is ever read or written.
    pub data: Vec<u8>,
    pub size: u64,
    pub ops: Vec<Op>,
    pub faults: Faults,
}

/// A disk; clones are the same disk.
#[derive(Debug, Clone, Default)]
pub struct Ram(pub Rc<RefCell<State>>);

impl Ram {
    pub fn new(mib: usize) -> Ram {
        Ram::with(vec![0; mib << 20])
    }

    pub fn with(data: Vec<u8>) -> Ram {
        let size = data.len() as u64;
        Ram::front(data, size)
    }

    /// A disk of so many bytes of which only the front is kept.
    pub fn front(data: Vec<u8>, size: u64) -> Ram {
        Ram(Rc::new(RefCell::new(State {
            data,
            size,
            ..State::default()
        })))
    }

    pub fn data(&self) -> Vec<u8> {
        self.0.borrow().data.clone()
    }

    pub fn set(&self, offset: u64, bytes: &[u8]) {
        let at = offset as usize;
        self.0.borrow_mut().data[at..at + bytes.len()].copy_from_slice(bytes);
    }

    pub fn get(&self, offset: u64, length: usize) -> Vec<u8> {
        self.0.borrow().data[offset as usize..offset as usize + length].to_vec()
    }

    /// Takes bytes from its end.
    pub fn shrink(&self, by: u64) {
        self.0.borrow_mut().size -= by;
    }

    pub fn flip_bit(&self, offset: u64) {
        self.0.borrow_mut().data[offset as usize] ^= 1;
    }

    pub fn take_ops(&self) -> Vec<Op> {
        std::mem::take(&mut self.0.borrow_mut().ops)
    }

    pub fn fail(&self, faults: Faults) {
        self.0.borrow_mut().faults = faults;
    }

    /// Another disk with the same bytes.
    pub fn dd(&self) -> Ram {
        Ram::front(self.data(), self.size())
    }
}

fn eio() -> io::Error {
    io::Error::from_raw_os_error(libc::EIO)
}

impl Media for Ram {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let state = self.0.borrow();
        assert!(offset.is_multiple_of(4096) && buf.len().is_multiple_of(4096));
        if state.faults.reads {
            return Err(eio());
        }
        let end = offset as usize + buf.len();
        let from = state
            .data
            .get(offset as usize..end)
            .ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        buf.copy_from_slice(from);
        Ok(())
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        assert!(offset.is_multiple_of(4096) && buf.len().is_multiple_of(4096));
        if !state.faults.writes || state.faults.but_written {
            let at = offset as usize;
            state.data[at..at + buf.len()].copy_from_slice(buf);
            state.ops.push(Op::Write(offset, buf.to_vec()));
        }
        if state.faults.writes {
            Err(eio())
        } else {
            Ok(())
        }
    }

    fn flush(&self) -> io::Result<()> {
        let mut state = self.0.borrow_mut();
        if state.faults.flushes {
            return Err(eio());
        }
        state.ops.push(Op::Flush);
        Ok(())
    }

    fn size(&self) -> u64 {
        self.0.borrow().size
    }
}

pub fn name(word: &str) -> Name {
    Name::parse(word).unwrap()
}

pub fn sectors(count: u64) -> Sectors {
    Sectors::new(count).unwrap()
}

/// The smallest private area: tests stay quick.
pub const AREA: Sectors = meta::AREA_MIN;

/// A freshly initialised disk of 8 MiB.
pub fn fresh() -> Ram {
    let ram = Ram::new(8);
    meta::format_disk(&ram, DiskId::random(), AREA).unwrap();
    ram.take_ops();
    ram
}

pub fn label(ram: &Ram) -> Label {
    meta::read_disk(ram).unwrap().unwrap()
}

pub fn member(ram: &Ram, n: usize) -> Member {
    let label = label(ram);
    Member {
        disk: label.disk(),
        name: format!("disk{n:02}"),
        media: Box::new(ram.clone()),
        label,
    }
}

pub fn members(disks: &[Ram]) -> Vec<Member> {
    disks
        .iter()
        .enumerate()
        .map(|(n, ram)| member(ram, n))
        .collect()
}

/// A group on these disks, without volumes.
pub fn group_on(disks: &[Ram]) -> Group {
    let mut group = Group::new(name("g"), HostId::random());
    for (n, ram) in disks.iter().enumerate() {
        let label = label(ram);
        let (data_start, size) = (label.geometry().data_start(), label.geometry().data_size());
        group.disks.push(Disk {
            id: label.disk(),
            media: name(&format!("disk{n:02}")),
            data_start,
            size,
        });
    }
    group
}

/// The same with one more volume.
pub fn with_volume(group: &Group, volume: &str) -> Group {
    let mut group = group.clone();
    let disk = group.disks[0].id;
    let start = group.volumes.len() as u64 * 8;
    let plex = Plex {
        number: 1,
        name: name(&format!("{volume}-01")),
        state: PlexState::Active,
        subdisks: vec![Extent {
            disk,
            start: sectors(start),
            length: sectors(8),
        }],
        dco: None,
        serves_restore: false,
    };
    group.volumes.push(Volume {
        id: VolumeId::random(),
        name: name(volume),
        size: sectors(8),
        plexes: vec![plex],
        log: None,
        log_wanted: true,
        fast_resync: true,
        dco: None,
        returning: None,
        sector_size: None,
        lost_leg: None,
        lanes: Lanes::ONE,
        owner: NodeOwner::default(),
        running: None,
        synced: sectors(8),
        origin: None,
        away: Vec::new(),
        copied: false,
    });
    group
}

/// Prepares a commit that follows what these disks hold.
pub fn prepare<'m>(
    members: &'m mut [Member],
    group: &Group,
    generation: Generation,
) -> breakoff::error::Result<meta::Prepared<'m>> {
    let found: Vec<(String, Label)> = members
        .iter()
        .map(|member| (member.name.clone(), member.label.clone()))
        .collect();
    let lineage = meta::choose(group.id, &found)
        .map(|chosen| chosen.lineage)
        .unwrap_or_default();
    meta::prepare(members, group, generation, &lineage)
}

/// Commits to all of these disks.
pub fn commit(disks: &[Ram], group: &Group, generation: u64) {
    let mut members = members(disks);
    let mut prepared = prepare(&mut members, group, Generation::new(generation)).unwrap();
    assert!(prepared.flip().committed());
    let outcome = prepared.outcome();
    assert_eq!(
        (outcome.warnings, outcome.written.len()),
        (vec![], disks.len())
    );
}

/// Two disks of a group at generation 1, and the group.
pub fn two_disks() -> (Vec<Ram>, Group) {
    let disks = vec![fresh(), fresh()];
    let group = with_volume(&group_on(&disks), "v");
    commit(&disks, &group, 1);
    disks.iter().for_each(|ram| drop(ram.take_ops()));
    (disks, group)
}

/// The labels that can be read, named as devices.
pub fn scan(disks: &[Ram]) -> Vec<(String, Label)> {
    let read = |(n, ram): (usize, &Ram)| Some((format!("/dev/sd{n}"), meta::read_disk(ram).ok()??));
    disks.iter().enumerate().filter_map(read).collect()
}

pub fn choose(id: GroupId, disks: &[Ram]) -> breakoff::error::Result<Chosen> {
    meta::choose(id, &scan(disks))
}

/// One random volume: its numbers only.
#[derive(Debug, Clone)]
struct Seed {
    name: String,
    blocks: u64,
    plexes: Vec<(prop::sample::Index, Vec<prop::sample::Index>)>,
    log: Option<(u32, bool)>,
    flags: (bool, bool, Option<[u8; 16]>),
    synced: prop::sample::Index,
    origin: Option<(prop::sample::Index, u64, bool, u64)>,
    id: [u8; 16],
}

fn uuid() -> impl Strategy<Value = [u8; 16]> {
    any::<[u8; 16]>().prop_filter("nil", |id| *id != [0; 16])
}

fn seed() -> impl Strategy<Value = Seed> {
    let index = any::<prop::sample::Index>;
    let plex = (index(), prop::collection::vec(index(), 0..3));
    let origin = (index(), any::<u64>(), any::<bool>(), any::<u64>());
    (
        "[A-Za-z0-9+_][A-Za-z0-9+._-]{0,12}",
        1u64..5000,
        prop::collection::vec(plex, 1..5),
        prop::option::of((3u32..12, any::<bool>())),
        (any::<bool>(), any::<bool>(), prop::option::of(uuid())),
        index(),
        prop::option::of(origin),
        uuid(),
    )
        .prop_map(
            |(name, blocks, plexes, log, flags, synced, origin, id)| Seed {
                name,
                blocks,
                plexes,
                log,
                flags,
                synced,
                origin,
                id,
            },
        )
}

/// Cuts `length` sectors at some of its block boundaries.
fn pieces(length: u64, cuts: &[prop::sample::Index]) -> Vec<u64> {
    let mut at: Vec<u64> = cuts
        .iter()
        .map(|cut| cut.index((length / 8) as usize) as u64 * 8)
        .chain([0, length])
        .collect();
    at.sort_unstable();
    at.dedup();
    at.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

/// Builds a group from random numbers; disks grow with what is put on them.
fn build(seeds: Vec<Seed>, disks: usize, ids: ([u8; 16], Option<[u8; 16]>)) -> Group {
    let mut group = Group::new(name("g"), HostId::random());
    group.id = GroupId::from_bytes(ids.0);
    group.host = ids.1.map(HostId::from_bytes);
    let disk_id = |n: usize| DiskId::from_bytes([n as u8 + 1; 16]);
    let mut used = vec![0u64; disks];
    let mut take = |disk: usize, length: u64| {
        let start = used[disk];
        used[disk] += length;
        Extent {
            disk: disk_id(disk),
            start: sectors(start),
            length: sectors(length),
        }
    };
    let volume_ids: Vec<VolumeId> = seeds
        .iter()
        .map(|seed| VolumeId::from_bytes(seed.id))
        .collect();
    for (n, seed) in seeds.into_iter().enumerate() {
        let size = seed.blocks * 8;
        let plexes = seed
            .plexes
            .iter()
            .zip(1u16..)
            .map(|((disk, cuts), number)| Plex {
                number: number * 3,
                name: name(&format!("p{n}-{number}")),
                state: PlexState::ALL[disk.index(PlexState::ALL.len())],
                subdisks: pieces(size, cuts)
                    .into_iter()
                    .enumerate()
                    .map(|(i, l)| take((disk.index(disks) + i) % disks, l))
                    .collect(),
                dco: None,
                serves_restore: number % 2 == 0,
            });
        let plexes = plexes.collect();
        let origin = seed.origin.map(|(of, at, frozen, freeze_us)| Origin {
            at_boot: None,
            apart: None,
            original: *of.get(&volume_ids),
            taken_at: Timestamp::from_millis(at),
            crash: (!frozen).then(|| CrashReason::new(&format!("reason {freeze_us}"))),
            freeze_us,
            tracking: if frozen {
                Tracking::Untracked(Untracked::ALL[(freeze_us % 6) as usize])
            } else {
                Tracking::Untracked(Untracked::Off)
            },
        });
        group.volumes.push(Volume {
            id: volume_ids[n],
            name: name(&format!("{}{n}", seed.name)),
            size: sectors(size),
            plexes,
            log: seed.log.map(|(shift, live)| Log {
                extent: take(n % disks, 2048),
                region: sectors(1 << shift),
                live,
            }),
            log_wanted: seed.flags.0,
            fast_resync: true,
            dco: None,
            away: Vec::new(),
            returning: None,
            sector_size: SectorSize::new(256 << (seed.blocks % 6)),
            lost_leg: (seed.blocks % 3 == 0).then(|| LostLeg {
                plex: name("gone-02"),
                media: vec![name("disk09"); n % 3],
                at: Timestamp::from_millis(n as u64),
            }),
            lanes: Lanes::new(1 + seed.blocks % 16).unwrap(),
            owner: NodeOwner {
                user: (seed.blocks % 2 == 0).then(|| Account::parse("oracle").unwrap()),
                group: (seed.blocks % 3 == 0).then(|| Account::parse("4711").unwrap()),
                mode: NodeMode::new(u16::try_from(seed.blocks % 0o2000).unwrap()),
            },
            running: seed.flags.2.map(BootId::from_bytes),
            synced: sectors(seed.synced.index(size as usize + 1) as u64),
            origin,
            copied: seed.flags.1,
        });
    }
    for (n, used) in used.into_iter().enumerate() {
        let (data_start, size) = (sectors(2048 * (n as u64 + 1)), sectors(used + 2048));
        group.disks.push(Disk {
            id: disk_id(n),
            media: name(&format!("m{n}")),
            data_start,
            size,
        });
    }
    group
}

/// Any group that breaks no rule.
pub fn sound_group() -> impl Strategy<Value = Group> {
    (
        prop::collection::vec(seed(), 0..12),
        1usize..5,
        (uuid(), prop::option::of(uuid())),
    )
        .prop_map(|(seeds, disks, ids)| build(seeds, disks, ids))
        .prop_filter("breaks a rule", |group| check::violations(group).is_empty())
}
