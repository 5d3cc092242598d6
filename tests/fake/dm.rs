//! A device-mapper with linear and mirror targets, as Linux 6.1 behaves (docs/kernel-rules.md).

use super::data::{CELL, Written};
use super::{Fake, State, Stuck};
use breakoff::error::{Error, Kind, Result};
use breakoff::model::{DevNo, DmName, DmUuid, Role};
use breakoff::sys::kernel::Work;
use breakoff::sys::nodes::Permissions;
use breakoff::sys::{ArmedDevice, Errno, Kernel, MirrorHealth};
use breakoff::table::status::{LegHealth, MirrorStatus};
use breakoff::table::{DmDevice, Links, SuspendMode, TargetLine};
use std::any::Any;
use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::rc::Rc;
use std::time::Duration;

/// The major number of the disks.
pub const DISK_MAJOR: u32 = 8;
pub const DM_MAJOR: u32 = 253;
/// What a disk log begins with (K6).
const LOG_MAGIC: u32 = 0x4D69_5272;
/// Its bitmap's first sector.
const BITMAP: u64 = 2;

/// All devices by minor number.
#[derive(Clone, Default)]
pub struct Devices(BTreeMap<u32, Device>);

#[derive(Clone)]
pub struct Device {
    pub name: DmName,
    pub uuid: DmUuid,
    pub minor: u32,
    live: Option<Table>,
    inactive: Option<Table>,
    suspended: bool,
    /// A process of somebody else has it open.
    held: bool,
    /// It goes when it is closed.
    deferred: bool,
    node: Permissions,
}

#[derive(Clone)]
struct Table {
    lines: Vec<TargetLine>,
    segs: Vec<Seg>,
}

/// What a line of a table is.
#[derive(Clone)]
pub enum Seg {
    Linear { dev: DevNo, offset: u64 },
    Mirror(Mirror),
    Era { map: DevNo, data: DevNo, block: u64 },
    Zero,
    Error,
}

#[derive(Clone)]
pub struct Mirror {
    pub legs: Vec<Leg>,
    region: u64,
    bits: Vec<bool>,
    dirty: Vec<bool>,
    log: Option<DevNo>,
    log_failed: bool,
    /// What the regions are whose bits the log does not tell.
    nosync: bool,
}

#[derive(Clone)]
pub struct Leg {
    pub dev: DevNo,
    pub offset: u64,
    pub health: LegHealth,
}

/// A line of a table that leads to a disk.
#[derive(Debug, PartialEq, Eq)]
pub struct Placed {
    pub start: u64,
    pub length: u64,
    pub disk: usize,
    pub offset: u64,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Held {
    Yes,
    No,
}

impl Mirror {
    fn parse(line: &TargetLine) -> Option<Mirror> {
        let words: Vec<&str> = line.params.split_ascii_whitespace().collect();
        let count: usize = words.get(1)?.parse().ok()?;
        let log_words = words.get(2..2 + count)?;
        let (log, rest) = match words[0] {
            "core" => (None, log_words),
            "disk" => (Some(dev(log_words.first()?)?), log_words.get(1..)?),
            _ => return None,
        };
        let region: u64 = rest.first()?.parse().ok()?;
        let nosync = rest.get(1) == Some(&"nosync");
        let legs: usize = words.get(2 + count)?.parse().ok()?;
        let pairs = words.get(3 + count..3 + count + 2 * legs)?;
        let leg = |pair: &[&str]| {
            Some(Leg {
                dev: dev(pair[0])?,
                offset: pair[1].parse().ok()?,
                health: LegHealth::Alive,
            })
        };
        let regions = line.length.get().div_ceil(region) as usize;
        // K1: without this word a tool would be told lies; it has to be there.
        if words.get(3 + count + 2 * legs..)? != ["1", "handle_errors"] || !(2..=9).contains(&legs)
        {
            return None;
        }
        Some(Mirror {
            legs: pairs.chunks(2).map(leg).collect::<Option<_>>()?,
            region,
            bits: vec![nosync; regions],
            dirty: vec![false; regions],
            log,
            log_failed: false,
            nosync,
        })
    }

    fn region_at(&self, start: u64, sector: u64) -> usize {
        ((sector - start) / self.region) as usize
    }

    pub fn in_sync_at(&self, start: u64, sector: u64) -> bool {
        self.bits[self.region_at(start, sector)]
    }

    /// A write that failed on a leg is held until the table goes, and what comes after it waits too
    /// (K2). When no leg is left it fails.
    pub fn holds(&self) -> Held {
        let failed = self.log_failed
            || self
                .legs
                .iter()
                .any(|leg| leg.health == LegHealth::WriteFailed);
        if failed && !self.has_lost_all() {
            Held::Yes
        } else {
            Held::No
        }
    }

    /// As the kernel does it: a log that failed holds only what is written to regions in sync.
    pub fn holds_at(&self, start: u64, sector: u64) -> Held {
        let leg = self
            .legs
            .iter()
            .any(|leg| leg.health == LegHealth::WriteFailed);
        if !leg && self.log_failed && !self.in_sync_at(start, sector) {
            return Held::No;
        }
        self.holds()
    }

    /// Whether every leg has failed a write.
    fn has_lost_all(&self) -> bool {
        self.legs
            .iter()
            .all(|leg| leg.health == LegHealth::WriteFailed)
    }

    fn status(&self) -> MirrorStatus {
        MirrorStatus {
            legs: self.legs.iter().map(|leg| (leg.dev, leg.health)).collect(),
            done: self.bits.iter().filter(|bit| **bit).count() as u64,
            total: self.bits.len() as u64,
            log_failed: self.log_failed,
        }
    }
}

fn dev(word: &str) -> Option<DevNo> {
    let (major, minor) = word.split_once(':')?;
    Some(DevNo {
        major: major.parse().ok()?,
        minor: minor.parse().ok()?,
    })
}

impl Table {
    fn parse(lines: &[TargetLine]) -> Option<Table> {
        let seg = |line: &TargetLine| match line.target.as_str() {
            "linear" => {
                let (on, offset) = line.params.split_once(' ')?;
                Some(Seg::Linear {
                    dev: dev(on)?,
                    offset: offset.parse().ok()?,
                })
            }
            "mirror" => Mirror::parse(line).map(Seg::Mirror),
            "zero" => Some(Seg::Zero),
            "error" => Some(Seg::Error),
            "era" => match line.params.split(' ').collect::<Vec<_>>()[..] {
                [map, data, block] => Some(Seg::Era {
                    map: dev(map)?,
                    data: dev(data)?,
                    block: block.parse().ok()?,
                }),
                _ => None,
            },
            _ => None,
        };
        Some(Table {
            lines: lines.to_vec(),
            segs: lines.iter().map(seg).collect::<Option<_>>()?,
        })
    }

    fn size(&self) -> u64 {
        self.lines
            .last()
            .map_or(0, |line| line.start.get() + line.length.get())
    }

    /// The devices that it has open.
    fn opens(&self) -> Vec<(DevNo, u64)> {
        let mut open = Vec::new();
        for (line, seg) in self.lines.iter().zip(&self.segs) {
            let length = line.length.get();
            match seg {
                Seg::Linear { dev, offset } => open.push((*dev, offset + length)),
                Seg::Mirror(mirror) => {
                    open.extend(mirror.legs.iter().map(|leg| (leg.dev, leg.offset + length)));
                    open.extend(mirror.log.map(|log| (log, 0)));
                }
                Seg::Era { map, data, .. } => open.extend([(*map, 0), (*data, length)]),
                Seg::Zero | Seg::Error => {}
            }
        }
        open
    }

    fn mirrors(&self) -> impl Iterator<Item = (&TargetLine, &Mirror)> {
        self.lines
            .iter()
            .zip(&self.segs)
            .filter_map(|(line, seg)| match seg {
                Seg::Mirror(mirror) => Some((line, mirror)),
                Seg::Linear { .. } | Seg::Era { .. } | Seg::Zero | Seg::Error => None,
            })
    }

    fn mirrors_mut(&mut self) -> impl Iterator<Item = (u64, &mut Mirror)> {
        self.lines
            .iter()
            .zip(&mut self.segs)
            .filter_map(|(line, seg)| match seg {
                Seg::Mirror(mirror) => Some((line.start.get(), mirror)),
                Seg::Linear { .. } | Seg::Era { .. } | Seg::Zero | Seg::Error => None,
            })
    }

    fn status(&self) -> Option<MirrorStatus> {
        let lines: Vec<MirrorStatus> = self.mirrors().map(|(_, mirror)| mirror.status()).collect();
        if lines.is_empty() || lines.len() != self.segs.len() {
            return None;
        }
        lines.into_iter().reduce(|mut sum, other| {
            sum.done += other.done;
            sum.total += other.total;
            sum.log_failed |= other.log_failed;
            for (mine, theirs) in sum
                .legs
                .iter_mut()
                .zip(&other.legs)
                .filter(|(mine, _)| mine.1 == LegHealth::Alive)
            {
                mine.1 = theirs.1;
            }
            sum
        })
    }
}

impl Device {
    pub fn size(&self) -> u64 {
        self.live.as_ref().map_or(0, Table::size)
    }

    pub fn is_clean(&self) -> bool {
        !self.suspended && self.inactive.is_none() && self.live.is_some()
    }

    /// The lines of the live table that lead to disks.
    pub fn on_disks(&self) -> Vec<Placed> {
        let on_disk = |(line, seg): (&TargetLine, &Seg)| match seg {
            Seg::Linear { dev, offset } if dev.major == DISK_MAJOR => Some(Placed {
                start: line.start.get(),
                length: line.length.get(),
                disk: dev.minor as usize,
                offset: *offset,
            }),
            _ => None,
        };
        self.live
            .iter()
            .flat_map(|table| table.lines.iter().zip(&table.segs).filter_map(on_disk))
            .collect()
    }
}

impl Devices {
    pub fn all(&self) -> impl Iterator<Item = &Device> {
        self.0.values()
    }

    pub fn minor_of(&self, uuid: &DmUuid) -> Option<u32> {
        self.0.values().find(|d| d.uuid == *uuid).map(|d| d.minor)
    }

    /// The map that a device writes to when it is suspended or removed.
    pub fn map_before_suspend(&self, uuid: &DmUuid) -> Option<DevNo> {
        let device = self.0.values().find(|d| d.uuid == *uuid && !d.suspended)?;
        device
            .live
            .iter()
            .flat_map(|table| &table.segs)
            .find_map(|seg| {
                if let Seg::Era { map, .. } = seg {
                    Some(*map)
                } else {
                    None
                }
            })
    }

    /// The map that a device begins an era in when it is resumed.
    pub fn map_after_resume(&self, uuid: &DmUuid) -> Option<DevNo> {
        let device = self.0.values().find(|d| d.uuid == *uuid)?;
        let asleep = device.suspended || device.inactive.is_some();
        let table = device
            .inactive
            .as_ref()
            .or(device.live.as_ref())
            .filter(|_| asleep)?;
        table.segs.iter().find_map(|seg| {
            if let Seg::Era { map, .. } = seg {
                Some(*map)
            } else {
                None
            }
        })
    }

    /// Whether every sector of it counts, not only one of each cell.
    fn is_map(&self, minor: u32) -> bool {
        self.0
            .get(&minor)
            .is_some_and(|d| d.uuid.role() == Some(Role::Map))
    }

    /// The permissions of a device's node.
    pub fn node(&self, minor: u32) -> Option<&Permissions> {
        Some(&self.0.get(&minor)?.node)
    }

    pub fn node_mut(&mut self, minor: u32) -> Option<&mut Permissions> {
        Some(&mut self.0.get_mut(&minor)?.node)
    }

    pub fn is_suspended(&self, minor: u32) -> bool {
        self.0.get(&minor).is_some_and(|d| d.suspended)
    }

    pub fn name_of(&self, minor: u32) -> String {
        self.0
            .get(&minor)
            .map_or_else(|| minor.to_string(), |d| d.name.to_string())
    }

    /// The start and the target of the line for a sector.
    pub fn segment(&self, minor: u32, sector: u64) -> Option<(u64, Seg)> {
        let table = self.0.get(&minor)?.live.as_ref()?;
        let at = table
            .lines
            .iter()
            .position(|l| (l.start.get()..l.start.get() + l.length.get()).contains(&sector))?;
        Some((table.lines[at].start.get(), table.segs[at].clone()))
    }

    /// A write failed on a leg: its region is not in sync any more.
    pub fn set_unequal(&mut self, minor: u32, sector: u64) {
        let Some((start, Seg::Mirror(mirror))) = self.segment(minor, sector) else {
            return;
        };
        let region = mirror.region_at(start, sector);
        let table = self.0.get_mut(&minor).and_then(|d| d.live.as_mut());
        table
            .into_iter()
            .flat_map(Table::mirrors_mut)
            .filter(|(at, _)| *at == start)
            .for_each(|(_, mirror)| mirror.bits[region] = false);
    }

    pub fn set_health(&mut self, minor: u32, leg: usize, health: LegHealth) {
        let table = self.0.get_mut(&minor).and_then(|d| d.live.as_mut());
        for (_, mirror) in table.into_iter().flat_map(Table::mirrors_mut) {
            mirror.legs[leg].health = health;
        }
    }

    /// Whether every leg of the mirror at this place has failed a write.
    pub fn has_lost_all_legs(&self, minor: u32, sector: u64) -> bool {
        matches!(self.segment(minor, sector), Some((_, Seg::Mirror(mirror))) if mirror.has_lost_all())
    }

    fn open_count(&self, minor: u32) -> u32 {
        let tables = self
            .0
            .values()
            .flat_map(|d| d.live.iter().chain(&d.inactive));
        let opens = tables
            .flat_map(Table::opens)
            .filter(|(dev, _)| {
                *dev == DevNo {
                    major: DM_MAJOR,
                    minor,
                }
            })
            .count();
        opens as u32 + self.0.get(&minor).map_or(0, |d| u32::from(d.held))
    }

    /// A process that is not ours opens a device, or closes it.
    pub fn hold(&mut self, minor: u32, held: bool) {
        self.0
            .get_mut(&minor)
            .into_iter()
            .for_each(|d| d.held = held);
        self.remove_deferred();
    }

    pub fn held(&self) -> Vec<&Device> {
        self.0.values().filter(|d| d.held).collect()
    }

    /// What was to go when it is closed, and is.
    fn remove_deferred(&mut self) {
        while let Some(minor) = self
            .0
            .values()
            .find(|d| d.deferred && self.open_count(d.minor) == 0)
            .map(|d| d.minor)
        {
            self.0.remove(&minor);
        }
    }

    /// The pieces of disks that can be written through a device.
    pub fn reaches(&self, minor: u32) -> Vec<(u32, std::ops::Range<u64>)> {
        let Some(table) = self.0.get(&minor).and_then(|d| d.live.as_ref()) else {
            return Vec::new();
        };
        let mut pieces = Vec::new();
        for (line, seg) in table.lines.iter().zip(&table.segs) {
            let below: Vec<(DevNo, u64)> = match seg {
                Seg::Linear { dev, offset } => vec![(*dev, *offset)],
                Seg::Mirror(mirror) => mirror
                    .legs
                    .iter()
                    .map(|leg| (leg.dev, leg.offset))
                    .chain(mirror.log.map(|log| (log, 0)))
                    .collect(),
                Seg::Era { map, data, .. } => vec![(*map, 0), (*data, 0)],
                Seg::Zero | Seg::Error => Vec::new(),
            };
            for (dev, offset) in below {
                match dev.major {
                    DISK_MAJOR => pieces.push((dev.minor, offset..offset + line.length.get())),
                    _ => pieces.extend(self.reaches(dev.minor)),
                }
            }
        }
        pieces
    }

    /// Devices that somebody has open who could write into another volume than the one that they
    /// are of.
    pub fn intruders(&self) -> Vec<String> {
        let tops: Vec<&Device> = self
            .0
            .values()
            .filter(|d| d.uuid.is_volume() && d.live.is_some())
            .collect();
        let overlap = |a: &[(u32, std::ops::Range<u64>)], b: &[(u32, std::ops::Range<u64>)]| {
            a.iter().any(|(disk, x)| {
                b.iter()
                    .any(|(other, y)| disk == other && x.start < y.end && y.start < x.end)
            })
        };
        let meets = |held: &&Device| {
            let reached = self.reaches(held.minor);
            let other = tops.iter().find(|top| {
                top.uuid.volume() != held.uuid.volume()
                    && overlap(&reached, &self.reaches(top.minor))
            });
            other.map(|top| format!("who has '{}' open can write to '{}'", held.name, top.name))
        };
        self.held().iter().filter_map(meets).collect()
    }

    fn seen(&self, device: &Device) -> DmDevice {
        DmDevice {
            name: device.name.clone(),
            uuid: device.uuid.clone(),
            dev: DevNo {
                major: DM_MAJOR,
                minor: device.minor,
            },
            open_count: self.open_count(device.minor),
            suspended: device.suspended,
            has_inactive: device.inactive.is_some(),
            table: device
                .live
                .as_ref()
                .map(|t| t.lines.clone())
                .unwrap_or_default(),
            mirror: device.live.as_ref().and_then(Table::status),
        }
    }
}

type Done = std::result::Result<(), Errno>;

impl State {
    fn device_mut(&mut self, uuid: &DmUuid) -> std::result::Result<&mut Device, Errno> {
        self.dm
            .0
            .values_mut()
            .find(|d| d.uuid == *uuid)
            .ok_or(Errno(libc::ENXIO))
    }

    fn is_unplugged(&self, dev: DevNo) -> bool {
        dev.major == DISK_MAJOR
            && self
                .disks
                .get(dev.minor as usize)
                .is_some_and(|disk| disk.unplugged)
    }

    fn size_of(&self, dev: DevNo) -> Option<u64> {
        match dev.major {
            DISK_MAJOR => self
                .disks
                .get(dev.minor as usize)
                .filter(|d| !d.unplugged)
                .map(|d| d.size().get()),
            _ => self.dm.0.get(&dev.minor).map(Device::size),
        }
    }

    fn load(&mut self, uuid: &DmUuid, lines: &[TargetLine]) -> Done {
        let table = Table::parse(lines).ok_or(Errno(libc::EINVAL))?;
        // A disk that is gone cannot be opened any more; whoever has it open keeps it, a device
        // over its reloads, too.
        let has = self
            .device_mut(uuid)?
            .live
            .as_ref()
            .map(Table::opens)
            .unwrap_or_default();
        let held = |dev: DevNo| has.iter().any(|(open, _)| *open == dev);
        if table
            .opens()
            .iter()
            .any(|(dev, _)| self.size_of(*dev).is_none() && !held(*dev))
        {
            return Err(Errno(libc::ENXIO));
        }
        // Sizes are looked at when the table is swapped in, but for a log's (K22).
        for (line, mirror) in table.mirrors() {
            let regions = line.length.get().div_ceil(mirror.region);
            if let Some(log) = mirror.log
                && self
                    .size_of(log)
                    .is_none_or(|size| size < BITMAP + regions.div_ceil(4096))
            {
                return Err(Errno(libc::EINVAL));
            }
        }
        for seg in &table.segs {
            if let Seg::Era { map, .. } = seg {
                self.open_map(*map)?;
            }
        }
        self.device_mut(uuid)?.inactive = Some(table);
        Ok(())
    }

    /// All I/O of the device has an end; a log is clean then, but for what is not in sync (K17).
    pub fn suspend(&mut self, uuid: &DmUuid, mode: SuspendMode) -> Done {
        self.not_beginning(uuid);
        if self.waits_to_end(uuid) {
            resume_unwind(Box::new(Stuck));
        }
        let device = self.device_mut(uuid)?;
        if device.suspended {
            return Ok(());
        }
        let minor = device.minor;
        self.before_suspend(minor, mode != SuspendMode::NoFlush);
        self.device_mut(uuid)?.suspended = true;
        if mode == SuspendMode::Freeze {
            self.frozen_now(uuid);
        }
        self.clean_log(minor);
        Ok(())
    }

    pub fn resume(&mut self, uuid: &DmUuid) -> Done {
        self.not_beginning(uuid);
        if self.waits_for_map(uuid) {
            resume_unwind(Box::new(Stuck));
        }
        let done = self.come_up(uuid);
        self.end_of_waiting();
        done
    }

    /// A resume that waits for its map: the table is live already, and the device is locked until
    /// it is through.
    pub fn begin_era(&mut self, uuid: &DmUuid) {
        self.data.beginning.insert(uuid.clone());
        if let Ok(device) = self.device_mut(uuid) {
            device.suspended = true;
            device.live = device.inactive.take().or(device.live.take());
        }
    }

    fn not_beginning(&self, uuid: &DmUuid) {
        if self.data.beginning.contains(uuid) {
            resume_unwind(Box::new(Stuck));
        }
    }

    /// Resumes that waited for a map that does not hold any more come to an end.
    fn end_of_waiting(&mut self) {
        for uuid in self.data.beginning.clone() {
            if !self.waits_for_map(&uuid) {
                self.data.beginning.remove(&uuid);
                // Whoever waited for it is gone, perhaps.
                let _ = self.come_up(&uuid);
            }
        }
    }

    fn come_up(&mut self, uuid: &DmUuid) -> Done {
        let device = self.device_mut(uuid)?;
        let minor = device.minor;
        if device.live.is_none() && device.inactive.is_none() {
            return Ok(());
        }
        if device.inactive.is_some() && device.live.is_some() && !device.suspended {
            self.suspend(uuid, SuspendMode::Freeze)?;
        }
        let fits = |(dev, end): (DevNo, u64)| {
            self.is_unplugged(dev)
                || self
                    .size_of(dev)
                    .is_some_and(|size| size == 0 || end <= size)
        };
        let table = self.dm.0.get(&minor).and_then(|d| d.inactive.as_ref());
        if !table.into_iter().flat_map(Table::opens).all(fits) {
            // The table is gone, and the device stays suspended.
            self.device_mut(uuid)?.inactive = None;
            return Err(Errno(libc::EINVAL));
        }
        let device = self.device_mut(uuid)?;
        let was_asleep = device.suspended || device.inactive.is_some();
        if let Some(table) = device.inactive.take() {
            device.live = Some(table);
        }
        device.suspended = false;
        self.udev_processes(uuid);
        self.check_what_is_below(minor);
        self.dm.remove_deferred();
        if was_asleep {
            if let Some((_, Seg::Era { map, .. })) = self.dm.segment(minor, 0)
                && let Err(errno) = self.next_era(map)
            {
                self.device_mut(uuid)?.suspended = true;
                return Err(errno);
            }
            self.read_log(minor);
            self.contents_follow(uuid);
            self.retry_queued();
        }
        Ok(())
    }

    /// K19: what a device is made of is live before it. I/O that finds no table below is an error.
    fn check_what_is_below(&self, minor: u32) {
        let Some(device) = self.dm.0.get(&minor) else {
            return;
        };
        let below = device.live.iter().flat_map(Table::opens);
        let asleep = below
            .filter_map(|(dev, _)| {
                (dev.major == DM_MAJOR)
                    .then(|| self.dm.0.get(&dev.minor))
                    .flatten()
            })
            .find(|below| below.live.is_none());
        if let Some(below) = asleep {
            panic!(
                "'{}' is live before '{}', which it lies on",
                device.name, below.name
            );
        }
    }

    /// K6: on resume the clean bits of a disk log become the sync bits.
    fn read_log(&mut self, minor: u32) {
        let Some(mut table) = self.dm.0.get(&minor).and_then(|d| d.live.clone()) else {
            return;
        };
        for (_, mirror) in table.mirrors_mut() {
            let Some(log) = mirror.log else { continue };
            let header = self.read_sector(log, 0);
            mirror.log_failed |= header.is_err();
            let valid = header.is_ok_and(|h| h.is_some_and(|h| h[..4] == LOG_MAGIC.to_le_bytes()));
            for region in 0..mirror.bits.len() {
                let byte = self
                    .read_sector(log, BITMAP + region as u64 / 4096)
                    .ok()
                    .flatten()
                    .map_or(0, |s| s[region / 8 % 512]);
                mirror.bits[region] = if valid {
                    byte >> (region % 8) & 1 == 1
                } else {
                    mirror.nosync
                };
                mirror.dirty[region] = false;
            }
        }
        if let Some(device) = self.dm.0.get_mut(&minor) {
            device.live = Some(table);
        }
    }

    /// A region is about to be written: its log says so first.
    pub fn mark_dirty(&mut self, minor: u32, sector: u64) {
        let Some((start, Seg::Mirror(mirror))) = self.dm.segment(minor, sector) else {
            return;
        };
        let region = mirror.region_at(start, sector);
        let table = self.dm.0.get_mut(&minor).and_then(|d| d.live.as_mut());
        for (at, mirror) in table.into_iter().flat_map(Table::mirrors_mut) {
            if at == start {
                mirror.dirty[region] = true;
            }
        }
        self.write_log(minor);
    }

    fn clean_log(&mut self, minor: u32) {
        let table = self.dm.0.get_mut(&minor).and_then(|d| d.live.as_mut());
        for (_, mirror) in table.into_iter().flat_map(Table::mirrors_mut) {
            mirror.dirty.fill(false);
        }
        self.write_log(minor);
    }

    /// Bit by bit what is in sync and not being written.
    fn write_log(&mut self, minor: u32) {
        let Some(table) = self.dm.0.get(&minor).and_then(|d| d.live.clone()) else {
            return;
        };
        for (_, mirror) in table.mirrors() {
            let Some(log) = mirror.log else { continue };
            for (n, chunk) in mirror.bits.chunks(4096).enumerate() {
                let mut bytes = [0u8; 512];
                for (at, bit) in chunk.iter().enumerate() {
                    if *bit && !mirror.dirty[n * 4096 + at] {
                        bytes[at / 8] |= 1 << (at % 8);
                    }
                }
                if self.write_sector(log, BITMAP + n as u64, &Some(Rc::new(bytes)))
                    == Written::Failed
                {
                    let live = self.dm.0.get_mut(&minor).and_then(|d| d.live.as_mut());
                    live.into_iter()
                        .flat_map(Table::mirrors_mut)
                        .for_each(|(_, mirror)| mirror.log_failed = true);
                }
            }
        }
    }

    /// Each mirror recovers one region; whether there was anything to do.
    pub fn tick(&mut self) -> bool {
        let mut busy = false;
        for minor in self.dm.0.keys().copied().collect::<Vec<_>>() {
            busy |= self.recover_region(minor);
        }
        busy
    }

    fn recover_region(&mut self, minor: u32) -> bool {
        let Some(table) = self
            .dm
            .0
            .get(&minor)
            .filter(|d| !d.suspended)
            .and_then(|d| d.live.clone())
        else {
            return false;
        };
        for (line, mirror) in table.mirrors() {
            let Some(region) = mirror.bits.iter().position(|bit| !bit) else {
                continue;
            };
            if mirror.legs.iter().any(|leg| leg.health != LegHealth::Alive) {
                continue;
            }
            let (begin, length) = (region as u64 * mirror.region, line.length.get());
            let mut failed = None;
            let step = if self.dm.is_map(minor) { 1 } else { CELL };
            for sector in (begin..length.min(begin + mirror.region)).step_by(step as usize) {
                let Ok(bytes) =
                    self.read_sector(mirror.legs[0].dev, mirror.legs[0].offset + sector)
                else {
                    self.dm.set_health(minor, 0, LegHealth::SyncFailed);
                    return true;
                };
                for (at, leg) in mirror.legs.iter().enumerate().skip(1) {
                    match self.write_sector(leg.dev, leg.offset + sector, &bytes) {
                        Written::Done => {}
                        Written::Waits => return false,
                        Written::Failed => failed = Some(at),
                    }
                }
            }
            match failed {
                Some(leg) => self.dm.set_health(minor, leg, LegHealth::SyncFailed),
                None => {
                    let live = self.dm.0.get_mut(&minor).and_then(|d| d.live.as_mut());
                    for (_, mirror) in live
                        .into_iter()
                        .flat_map(Table::mirrors_mut)
                        .filter(|(at, _)| *at == line.start.get())
                    {
                        mirror.bits[region] = true;
                    }
                    self.clean_log(minor);
                }
            }
            return true;
        }
        false
    }
}

/// The fake's device-mapper as a command opens it.
pub struct FakeKernel(pub Fake);

impl FakeKernel {
    fn changed(
        &self,
        doing: &str,
        uuid: &DmUuid,
        act: impl FnOnce(&mut State) -> Done,
    ) -> Result<()> {
        let failed = |errno: Errno| {
            let kind = match errno.0 {
                libc::EBUSY if ["create", "rename"].contains(&doing) => Kind::Exists,
                libc::EBUSY => Kind::InUse,
                libc::ENXIO => Kind::NotFound,
                _ => Kind::Device,
            };
            Error::new(kind, format!("cannot {doing} {uuid}: {}", super::io(errno))).on(uuid)
        };
        self.0
            .change(|| format!("{doing} {}", self.name(uuid)))
            .map_err(failed)?;
        act(&mut self.0.0.borrow_mut()).map_err(failed)
    }

    fn name(&self, uuid: &DmUuid) -> String {
        let state = self.0.0.borrow();
        state
            .dm
            .all()
            .find(|d| d.uuid == *uuid)
            .map_or_else(|| uuid.to_string(), |d| d.name.to_string())
    }
}

impl Kernel for FakeKernel {
    /// In another order than they were given: they must not depend on each other.
    fn side_by_side(&self, work: Vec<Work<'_>>) {
        work.into_iter().rev().for_each(|work| work(self));
    }

    fn devices(&self) -> Result<Vec<DmDevice>> {
        self.0
            .look()
            .map_err(|errno| Error::io("cannot list the devices", &super::io(errno)))?;
        let state = self.0.0.borrow();
        Ok(state.dm.all().map(|d| state.dm.seen(d)).collect())
    }

    fn device(&self, uuid: &DmUuid) -> Result<Option<DmDevice>> {
        self.0
            .look()
            .map_err(|errno| Error::io("cannot look at a device", &super::io(errno)))?;
        let state = self.0.0.borrow();
        Ok(state
            .dm
            .all()
            .find(|d| d.uuid == *uuid)
            .map(|d| state.dm.seen(d)))
    }

    fn names(&self) -> Result<Vec<DmName>> {
        self.0
            .look()
            .map_err(|errno| Error::io("cannot list the devices", &super::io(errno)))?;
        Ok(self.0.0.borrow().dm.all().map(|d| d.name.clone()).collect())
    }

    fn has_target(&self, target: &str) -> Result<bool> {
        let has = ["linear", "mirror", "era", "zero", "error"].contains(&target);
        Ok(has && !self.0.0.borrow().lacks.contains(&target))
    }

    fn create(&self, name: &DmName, uuid: &DmUuid) -> Result<DevNo> {
        self.changed("create", uuid, |state| {
            if state.dm.all().any(|d| d.name == *name || d.uuid == *uuid) {
                return Err(Errno(libc::EBUSY));
            }
            let minor = (0..)
                .find(|minor| !state.dm.0.contains_key(minor))
                .unwrap_or_default();
            let (name, uuid) = (name.clone(), uuid.clone());
            state.dm.0.insert(
                minor,
                Device {
                    name,
                    uuid,
                    minor,
                    live: None,
                    inactive: None,
                    suspended: false,
                    held: false,
                    deferred: false,
                    node: super::nodes::DEFAULT,
                },
            );
            Ok(())
        })?;
        let minor = self.0.0.borrow().dm.minor_of(uuid).unwrap_or_default();
        Ok(DevNo {
            major: DM_MAJOR,
            minor,
        })
    }

    fn load(&self, uuid: &DmUuid, table: &[TargetLine]) -> Result<()> {
        self.changed("load", uuid, |state| state.load(uuid, table))
    }

    fn clear(&self, uuid: &DmUuid) -> Result<()> {
        self.changed("clear", uuid, |state| {
            state.device_mut(uuid).map(|d| d.inactive = None)
        })
    }

    fn suspend(&self, uuid: &DmUuid, mode: SuspendMode) -> Result<()> {
        self.changed("suspend", uuid, |state| state.suspend(uuid, mode))
    }

    fn resume(&self, uuid: &DmUuid, _links: Links) -> Result<()> {
        self.changed("resume", uuid, |state| state.resume(uuid))
    }

    fn remove(&self, uuid: &DmUuid) -> Result<()> {
        self.changed("remove", uuid, |state| {
            state.not_beginning(uuid);
            let minor = state.device_mut(uuid)?.minor;
            if state.dm.open_count(minor) > 0 {
                return Err(Errno(libc::EBUSY));
            }
            // What is removed is suspended on its way out.
            if state.waits_to_end(uuid) {
                resume_unwind(Box::new(Stuck));
            }
            if !state.dm.is_suspended(minor) {
                state.clean_log(minor);
            }
            state.dm.0.remove(&minor);
            state.dm.remove_deferred();
            state.retry_queued();
            Ok(())
        })
    }

    fn remove_when_closed(&self, uuid: &DmUuid) -> Result<()> {
        self.changed("remove when closed", uuid, |state| {
            state.device_mut(uuid)?.deferred = true;
            state.dm.remove_deferred();
            Ok(())
        })
    }

    fn rename(&self, uuid: &DmUuid, to: &DmName) -> Result<()> {
        self.changed("rename", uuid, |state| {
            if state.dm.all().any(|d| d.name == *to && d.uuid != *uuid) {
                return Err(Errno(libc::EBUSY));
            }
            state.device_mut(uuid).map(|d| d.name = to.clone())
        })
    }

    fn message(&self, uuid: &DmUuid, message: &str) -> Result<()> {
        self.changed(message, uuid, |state| {
            if state.waits_to_end(uuid) {
                resume_unwind(Box::new(Stuck));
            }
            let minor = state.device_mut(uuid)?.minor;
            state.era_message(minor, message)
        })
    }

    fn era(&self, uuid: &DmUuid) -> Result<u32> {
        self.0
            .look()
            .map_err(|errno| Error::io("cannot look at a device", &super::io(errno)))?;
        let state = self.0.0.borrow();
        let era = state
            .dm
            .minor_of(uuid)
            .ok_or(Errno(libc::ENXIO))
            .and_then(|minor| state.current_era(minor));
        era.map_err(|errno| Error::io("cannot look at a device", &super::io(errno)))
    }

    fn arm(&self, uuid: &DmUuid, _links: Links) -> Result<Box<dyn ArmedDevice>> {
        self.0
            .look()
            .map_err(|errno| Error::io("cannot prepare a window", &super::io(errno)))?;
        Ok(Box::new(Armed {
            kernel: FakeKernel(self.0.clone()),
            uuid: uuid.clone(),
        }))
    }

    /// There is no udev to wait for.
    fn take_cookie(&self) -> Result<()> {
        Ok(())
    }

    /// Nothing real is suspended.
    fn enter_window(&self) -> (Box<dyn Any>, Vec<String>) {
        (Box::new(()), Vec::new())
    }

    fn settle(&self, _deadline: Duration) -> Option<String> {
        None
    }
}

struct Armed {
    kernel: FakeKernel,
    uuid: DmUuid,
}

impl Armed {
    fn changed(&self, doing: &str, act: impl FnOnce(&mut State) -> Done) -> Done {
        self.kernel
            .0
            .change(|| format!("{doing} {} (window)", self.kernel.name(&self.uuid)))?;
        act(&mut self.kernel.0.0.borrow_mut())
    }
}

impl ArmedDevice for Armed {
    fn suspend(&mut self, mode: SuspendMode) -> Done {
        self.changed("suspend", |state| state.suspend(&self.uuid, mode))
    }

    fn health(&mut self) -> std::result::Result<MirrorHealth, Errno> {
        self.kernel.0.look()?;
        let state = self.kernel.0.0.borrow();
        let device = state
            .dm
            .all()
            .find(|d| d.uuid == self.uuid)
            .ok_or(Errno(libc::ENXIO))?;
        // It was a mirror perhaps when its table was looked at just now, and is an era when its
        // status is asked (K7).
        if state.data.beginning.contains(&self.uuid) {
            println!(
                "{} was asked for its health while it begins an era",
                device.name
            );
            drop(state);
            resume_unwind(Box::new(Stuck));
        }
        let status = device
            .live
            .as_ref()
            .and_then(Table::status)
            .ok_or(Errno(libc::EINVAL))?;
        Ok(
            match status.log_failed || !status.failed_legs().is_empty() {
                true => MirrorHealth::Failed,
                false if status.in_sync() => MirrorHealth::InSync,
                false => MirrorHealth::Copying,
            },
        )
    }

    fn open_count(&mut self) -> std::result::Result<u32, Errno> {
        self.kernel.0.look()?;
        let state = self.kernel.0.0.borrow();
        let minor = state.dm.minor_of(&self.uuid).ok_or(Errno(libc::ENXIO))?;
        Ok(state.dm.open_count(minor))
    }

    fn clear(&mut self) -> Done {
        self.changed("clear", |state| {
            state.device_mut(&self.uuid).map(|d| d.inactive = None)
        })
    }

    fn resume(&mut self) -> Done {
        self.changed("resume", |state| state.resume(&self.uuid))
    }
}
