//! What is on the volumes: a writer that never rests, what it knows of each cell, and I/O through
//! the tables as the kernel does it.

use super::disk::Sector;
use super::dm::{DISK_MAJOR, Held, Seg};
use super::{State, Stuck};
use breakoff::model::{DevNo, DiskId, DmUuid, Extent, Group, Plex, Role, Sectors, VolumeId};
use breakoff::table::status::LegHealth;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::resume_unwind;
use std::rc::Rc;

/// One stamp for so many sectors: its first sector stands for the whole cell.
pub const CELL: u64 = 128;

/// What a cell of a volume holds.
pub type Cells = BTreeMap<u64, u64>;

/// What cells of a volume may hold as well.
type Perhaps = BTreeMap<u64, BTreeSet<u64>>;

/// What has to be on the volumes.
#[derive(Clone, Default)]
pub struct Oracle {
    /// The last stamp that was given out.
    last: u64,
    /// What was acknowledged, by volume.
    pub acked: BTreeMap<VolumeId, Cells>,
    /// What was issued to a device that was suspended or held it.
    queued: Vec<(DmUuid, u64, u64)>,
    /// What a volume held when its filesystem was frozen.
    frozen: BTreeMap<VolumeId, (Cells, Perhaps)>,
    /// Writes that a power cut met on their way: either is right.
    pub perhaps: BTreeMap<(VolumeId, u64), BTreeSet<u64>>,
    /// Writes that came back as errors.
    pub errors: BTreeMap<VolumeId, u64>,
    /// Writes that a freeze met while a mirror held them: the kernel ends them as errors, and so
    /// does every tool that freezes.
    pub in_freeze: u64,
    /// Filesystems that nobody can write to for now.
    pub frozen_filesystems: BTreeSet<DmUuid>,
    /// Volumes with a filesystem that cannot be frozen, which shows when it is tried.
    pub unfreezable: BTreeMap<DmUuid, String>,
    /// Volumes whose filesystem somebody else thaws too early.
    pub thawed_early: BTreeMap<DmUuid, String>,
    /// Nobody writes.
    pub quiet: bool,
    /// How many writes each device has seen, by its number.
    pub writes: BTreeMap<u32, u64>,
    /// Devices that wait for their map to begin an era.
    pub beginning: BTreeSet<DmUuid>,
    /// What a process that has an old device open could have done to another volume, at any moment.
    pub intruders: Vec<String>,
    /// Devices that nobody has open, by name.
    pub closed: BTreeSet<String>,
    /// Whose contents lie where: the volume that wrote there last, by disk and sector.
    owners: BTreeMap<(u32, u64), VolumeId>,
    /// What lay at a place until its volume got a place of another one: who gets this place next
    /// holds it.
    left: BTreeMap<(u32, u64), (Cells, Perhaps)>,
}

impl Oracle {
    pub fn forget_queued(&mut self) {
        self.frozen_filesystems.clear();
        self.beginning.clear();
        for (uuid, cell, stamp) in std::mem::take(&mut self.queued) {
            self.maybe(&uuid, cell, stamp);
        }
    }

    fn maybe(&mut self, uuid: &DmUuid, cell: u64, stamp: u64) {
        if let Some(volume) = uuid.volume() {
            self.perhaps
                .entry((volume, cell))
                .or_default()
                .insert(stamp);
        }
    }

    /// Whether a write came back as an error; asked once.
    pub fn take_lost(&mut self, stamp: u64) -> bool {
        let had = self.perhaps.values().any(|some| some.contains(&stamp));
        for some in self.perhaps.values_mut() {
            some.remove(&stamp);
        }
        had
    }

    pub fn nothing_queued(&self) -> bool {
        self.queued.is_empty()
    }

    /// Whether a cell may hold this.
    fn allows(&self, volume: VolumeId, cell: u64, found: Option<u64>) -> bool {
        // Where nothing was ever acknowledged lies what an earlier volume has left.
        let Some(acked) = self
            .acked
            .get(&volume)
            .and_then(|cells| cells.get(&cell))
            .copied()
        else {
            return true;
        };
        found == Some(acked)
            || found.is_some_and(|stamp| {
                self.perhaps
                    .get(&(volume, cell))
                    .is_some_and(|some| some.contains(&stamp))
            })
    }
}

/// What came of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    Done,
    /// Something is suspended, or holds it (K2).
    Waits,
    Failed,
}

pub fn sector_of(stamp: u64) -> Sector {
    let mut bytes = [0; 512];
    bytes[..8].copy_from_slice(b"a stamp ");
    bytes[8..16].copy_from_slice(&stamp.to_le_bytes());
    Some(Rc::new(bytes))
}

pub fn stamp_of(sector: &Sector) -> Option<u64> {
    let bytes = sector.as_ref().filter(|bytes| &bytes[..8] == b"a stamp ")?;
    bytes[8..16].try_into().ok().map(u64::from_le_bytes)
}

/// A sector that begins with a number, for scripts.
pub fn sector_with(number: u64) -> Sector {
    let mut bytes = [0; 512];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    Some(Rc::new(bytes))
}

/// The number that a sector begins with.
pub fn number_of(sector: &Sector) -> u64 {
    sector
        .as_ref()
        .and_then(|bytes| bytes[..8].try_into().ok())
        .map_or(0, u64::from_le_bytes)
}

impl State {
    /// A write that waits.
    pub fn queue(&mut self, uuid: &DmUuid, cell: u64, stamp: u64) {
        self.data.queued.push((uuid.clone(), cell, stamp));
    }

    /// Every volume that is live gets one write.
    pub fn writers_write(&mut self) {
        if self.data.quiet {
            return;
        }
        let busy: Vec<(DmUuid, u64)> = self
            .dm
            .all()
            .filter(|d| {
                d.uuid.is_volume() && d.size() > 0 && !self.data.closed.contains(d.name.as_str())
            })
            .map(|d| (d.uuid.clone(), d.size()))
            .collect();
        for (uuid, size) in busy {
            if uuid
                .volume()
                .is_some_and(|id| self.data.acked.contains_key(&id))
                && !self.data.frozen_filesystems.contains(&uuid)
            {
                self.data.last += 1;
                let (stamp, cell) = (
                    self.data.last,
                    self.data.last.wrapping_mul(0x9e37_79b9) / 7 % (size / CELL),
                );
                self.write(&uuid, cell, stamp);
            }
        }
    }

    fn write(&mut self, uuid: &DmUuid, cell: u64, stamp: u64) {
        let Some(minor) = self.dm.minor_of(uuid) else {
            return;
        };
        let bytes = if self.data.quiet {
            sector_with(stamp)
        } else {
            sector_of(stamp)
        };
        match self.write_sector(DevNo { major: 253, minor }, cell * CELL, &bytes) {
            Written::Done => {
                *self.data.writes.entry(minor).or_default() += 1;
                let Some(volume) = uuid.volume() else { return };
                self.data
                    .acked
                    .entry(volume)
                    .or_default()
                    .insert(cell, stamp);
                self.data.perhaps.remove(&(volume, cell));
            }
            Written::Waits => self.data.queued.push((uuid.clone(), cell, stamp)),
            Written::Failed => self.failed(uuid, cell, stamp),
        }
    }

    fn failed(&mut self, uuid: &DmUuid, cell: u64, stamp: u64) {
        self.data.maybe(uuid, cell, stamp);
        if let Some(volume) = uuid.volume() {
            *self.data.errors.entry(volume).or_default() += 1;
        }
    }

    /// Whether writes to a device wait.
    pub fn has_queued(&self, minor: u32) -> bool {
        self.data
            .queued
            .iter()
            .any(|(uuid, ..)| self.dm.minor_of(uuid) == Some(minor))
    }

    /// A device is about to be suspended: what a mirror at or beneath it holds decides whether that
    /// comes to an end (K2).
    pub fn before_suspend(&mut self, minor: u32, flush: bool) {
        for (uuid, cell, stamp) in std::mem::take(&mut self.data.queued) {
            let path = self.held_path(&uuid, cell);
            match path.iter().position(|at| *at == minor) {
                Some(at) if at + 1 == path.len() && flush => {
                    self.data.in_freeze += 1;
                    self.data.maybe(&uuid, cell, stamp);
                }
                Some(at) if at + 1 < path.len() => resume_unwind(Box::new(Stuck)),
                _ => self.data.queued.push((uuid, cell, stamp)),
            }
        }
    }

    /// Whether a write to a volume is held for a failed leg, so that a freeze of its filesystem
    /// does not come to an end.
    pub fn is_held(&self, volume: &DmUuid) -> bool {
        self.data
            .queued
            .iter()
            .any(|(uuid, cell, _)| uuid == volume && !self.held_path(uuid, *cell).is_empty())
    }

    /// Whether a write waits in a mirror beneath a device, so that its suspend does not come to an
    /// end.
    pub fn waits_beneath(&self, device: &DmUuid) -> bool {
        let Some(minor) = self.dm.minor_of(device) else {
            return false;
        };
        self.data.queued.iter().any(|(uuid, cell, _)| {
            let path = self.held_path(uuid, *cell);
            path.iter()
                .position(|at| *at == minor)
                .is_some_and(|at| at + 1 < path.len())
        })
    }

    fn held_path(&self, uuid: &DmUuid, cell: u64) -> Vec<u32> {
        let top = self
            .dm
            .minor_of(uuid)
            .map(|minor| DevNo { major: 253, minor });
        top.map(|top| self.path_to_holder(top, cell * CELL))
            .unwrap_or_default()
    }

    /// The devices that a write is in flight in, down to the mirror that holds it; none when it has
    /// not got past a suspended one.
    fn path_to_holder(&self, dev: DevNo, sector: u64) -> Vec<u32> {
        if dev.major == DISK_MAJOR || self.dm.is_suspended(dev.minor) {
            return Vec::new();
        }
        let below: Vec<(DevNo, u64)> = match self.dm.segment(dev.minor, sector) {
            None => return Vec::new(),
            Some((start, Seg::Linear { dev, offset })) => vec![(dev, offset + sector - start)],
            Some((_, Seg::Zero | Seg::Error)) => return Vec::new(),
            Some((_, Seg::Era { map, data, block })) if self.is_unnoted(map, sector / block) => {
                vec![(map, 0), (data, sector)]
            }
            Some((_, Seg::Era { data, .. })) => vec![(data, sector)],
            Some((start, Seg::Mirror(mirror))) if mirror.holds_at(start, sector) == Held::Yes => {
                return vec![dev.minor];
            }
            Some((start, Seg::Mirror(mirror))) => mirror
                .legs
                .iter()
                .map(|leg| (leg.dev, leg.offset + sector - start))
                .collect(),
        };
        let found = below
            .into_iter()
            .map(|(dev, sector)| self.path_to_holder(dev, sector))
            .find(|path| !path.is_empty());
        found
            .map(|path| [vec![dev.minor], path].concat())
            .unwrap_or_default()
    }

    /// Something may flow again.
    pub fn retry_queued(&mut self) {
        for (uuid, cell, stamp) in std::mem::take(&mut self.data.queued) {
            if self.dm.minor_of(&uuid).is_some() {
                self.write(&uuid, cell, stamp);
            } else {
                self.data.maybe(&uuid, cell, stamp);
            }
        }
    }

    /// Each volume is in the middle of a write when the power goes: it has reached the first leg of
    /// each mirror only.
    pub fn writes_in_flight(&mut self) {
        let volumes: Vec<(DmUuid, u32, u64)> = self
            .dm
            .all()
            .filter(|d| {
                d.uuid.is_volume() && d.size() > 0 && !self.data.closed.contains(d.name.as_str())
            })
            .map(|d| (d.uuid.clone(), d.minor, d.size()))
            .collect();
        for (uuid, minor, size) in volumes {
            self.data.last += 1;
            let (stamp, cell) = (self.data.last, self.data.last % (size / CELL));
            if self.data.quiet
                || !uuid
                    .volume()
                    .is_some_and(|id| self.data.acked.contains_key(&id))
            {
                continue;
            }
            self.write_first_legs(DevNo { major: 253, minor }, cell * CELL, &sector_of(stamp));
            self.data.maybe(&uuid, cell, stamp);
        }
    }

    fn write_first_legs(&mut self, dev: DevNo, sector: u64, bytes: &Sector) {
        if dev.major == DISK_MAJOR {
            if let Some(disk) = self
                .disks
                .get_mut(dev.minor as usize)
                .filter(|d| d.answers())
            {
                disk.write_through(sector, bytes.clone());
            }
            return;
        }
        let Some((start, seg)) = self.dm.segment(dev.minor, sector) else {
            return;
        };
        if self.dm.is_suspended(dev.minor) {
            return;
        }
        let (first, offset) = match &seg {
            Seg::Linear { dev, offset } => (*dev, *offset),
            Seg::Mirror(mirror) => (mirror.legs[0].dev, mirror.legs[0].offset),
            Seg::Era { map, data, block } => {
                if self.is_unnoted(*map, sector / block)
                    && self.note_block(*map, sector / block) != Written::Done
                {
                    return;
                }
                (*data, 0)
            }
            Seg::Zero | Seg::Error => return,
        };
        self.mark_dirty(dev.minor, sector);
        self.write_first_legs(first, offset + sector - start, bytes);
    }

    /// A write on its way down through the tables.
    pub fn write_sector(&mut self, dev: DevNo, sector: u64, bytes: &Sector) -> Written {
        if self.waits(dev, sector) {
            return Written::Waits;
        }
        if dev.major == DISK_MAJOR {
            return match self
                .disks
                .get_mut(dev.minor as usize)
                .filter(|d| d.takes(sector))
            {
                Some(disk) => {
                    disk.write_through(sector, bytes.clone());
                    Written::Done
                }
                None => Written::Failed,
            };
        }
        let Some((start, seg)) = self.dm.segment(dev.minor, sector) else {
            return Written::Failed;
        };
        match seg {
            Seg::Linear { dev, offset } => self.write_sector(dev, offset + sector - start, bytes),
            Seg::Zero => Written::Done,
            Seg::Error => Written::Failed,
            Seg::Era { map, data, block } => {
                if self.is_unnoted(map, sector / block) {
                    let noted = self.note_block(map, sector / block);
                    if noted != Written::Done {
                        return noted;
                    }
                }
                self.write_sector(data, sector, bytes)
            }
            Seg::Mirror(mirror) => {
                let in_sync = mirror.in_sync_at(start, sector);
                if in_sync {
                    self.mark_dirty(dev.minor, sector);
                }
                if self.waits(dev, sector) {
                    return Written::Waits;
                }
                let mut came = Written::Done;
                // K23: a region that is not in sync is written on the first leg alone.
                let legs = if in_sync { mirror.legs.len() } else { 1 };
                for (at, leg) in mirror.legs.iter().enumerate().take(legs) {
                    match self.write_sector(leg.dev, leg.offset + sector - start, bytes) {
                        Written::Done => {}
                        Written::Waits => came = Written::Waits,
                        Written::Failed => {
                            self.dm.set_health(dev.minor, at, LegHealth::WriteFailed);
                            self.dm.set_unequal(dev.minor, sector);
                            came = Written::Waits;
                        }
                    }
                }
                // It is held for as long as a leg is left that somebody could go on with.
                if came == Written::Waits && self.dm.has_lost_all_legs(dev.minor, sector) {
                    Written::Failed
                } else {
                    came
                }
            }
        }
    }

    /// Whether a write would wait somewhere on its way: nothing of it is done then.
    fn waits(&self, dev: DevNo, sector: u64) -> bool {
        if dev.major == DISK_MAJOR {
            return false;
        }
        if self.dm.is_suspended(dev.minor) {
            return true;
        }
        match self.dm.segment(dev.minor, sector) {
            None => false,
            Some((start, Seg::Linear { dev, offset })) => self.waits(dev, offset + sector - start),
            Some((_, Seg::Zero | Seg::Error)) => false,
            Some((_, Seg::Era { map, data, block })) => {
                self.waits(data, sector)
                    || (self.is_unnoted(map, sector / block) && self.waits(map, 0))
            }
            Some((start, Seg::Mirror(mirror))) => {
                let legs = if mirror.in_sync_at(start, sector) {
                    mirror.legs.len()
                } else {
                    1
                };
                mirror.holds_at(start, sector) == Held::Yes
                    || mirror
                        .legs
                        .iter()
                        .take(legs)
                        .any(|leg| self.waits(leg.dev, leg.offset + sector - start))
            }
        }
    }

    /// What a read brings, or that it fails.
    pub fn read_sector(&self, dev: DevNo, sector: u64) -> Result<Sector, ()> {
        if dev.major == DISK_MAJOR {
            return self
                .disks
                .get(dev.minor as usize)
                .filter(|disk| disk.takes(sector))
                .map(|disk| disk.read(sector))
                .ok_or(());
        }
        match self.dm.segment(dev.minor, sector).ok_or(())? {
            (start, Seg::Linear { dev, offset }) => self.read_sector(dev, offset + sector - start),
            (_, Seg::Era { data, .. }) => self.read_sector(data, sector),
            (_, Seg::Zero) => Ok(None),
            (_, Seg::Error) => Err(()),
            // One that fails is read from another leg where they are equal.
            (start, Seg::Mirror(mirror)) => {
                let count = if mirror.in_sync_at(start, sector) {
                    mirror.legs.len()
                } else {
                    1
                };
                let (mut alive, failed): (Vec<_>, Vec<_>) = mirror.legs[..count]
                    .iter()
                    .partition(|leg| leg.health == LegHealth::Alive);
                alive.extend(failed);
                alive
                    .iter()
                    .find_map(|leg| self.read_sector(leg.dev, leg.offset + sector - start).ok())
                    .ok_or(())
            }
        }
    }

    // ------------------------------------------------------------------------------ what has to be

    /// The writer also writes to these volumes from now on; a snapshot holds what its original held
    /// when it was frozen.
    pub fn know_volumes(&mut self, group: &Group) {
        let there: BTreeSet<VolumeId> = group.volumes.iter().map(|v| v.id).collect();
        self.data.acked.retain(|id, _| there.contains(id));
        self.data.owners.clear();
        self.data.left.clear();
        for (volume, plex) in group
            .volumes
            .iter()
            .flat_map(|v| v.plexes.iter().map(move |p| (v, p)))
        {
            let place = plex.subdisks.first().and_then(|s| {
                Some((
                    self.disk_of(s.disk)?,
                    group.disk(s.disk)?.data_start.get() + s.start.get(),
                ))
            });
            place.into_iter().for_each(|(disk, sector)| {
                self.data.owners.insert((disk as u32, sector), volume.id);
            });
        }
        for volume in &group.volumes {
            if !self.data.acked.contains_key(&volume.id) {
                let frozen = volume
                    .origin
                    .as_ref()
                    .and_then(|o| self.data.frozen.get(&o.original))
                    .cloned();
                let (cells, perhaps) = frozen.unwrap_or_default();
                self.data.acked.insert(volume.id, cells);
                self.data.perhaps.extend(
                    perhaps
                        .into_iter()
                        .map(|(cell, some)| ((volume.id, cell), some)),
                );
            }
        }
    }

    /// A volume's device has come up: where it leads to a plex of another volume now, it holds what
    /// that one held (a restore).
    pub fn contents_follow(&mut self, uuid: &DmUuid) {
        let top = matches!(uuid.role(), Some(Role::Volume | Role::Data));
        let known = uuid
            .volume()
            .filter(|id| top && self.data.acked.contains_key(id));
        let place = known
            .and_then(|_| self.dm.minor_of(uuid))
            .and_then(|minor| self.first_place(DevNo { major: 253, minor }, 0));
        let Some((id, place)) = known.zip(place) else {
            return;
        };
        let Some(owner) = self
            .data
            .owners
            .get(&place)
            .copied()
            .filter(|owner| *owner != id)
        else {
            return;
        };
        let reached = self
            .dm
            .minor_of(uuid)
            .map(|minor| self.lies_at(DevNo { major: 253, minor }, 0))
            .unwrap_or_default();
        if self
            .data
            .owners
            .iter()
            .any(|(place, of)| *of == owner && !reached.contains(place))
        {
            return self.contents_are_shared(id, owner, place);
        }
        // The two change places; whether the other one lives on is not known here.
        let other = |of: VolumeId| if of == id { owner } else { id };
        self.data
            .owners
            .values_mut()
            .filter(|of| [id, owner].contains(of))
            .for_each(|of| *of = other(*of));
        let [mine, theirs] = [id, owner].map(|of| self.data.acked.remove(&of).unwrap_or_default());
        self.data.acked.extend([(id, theirs), (owner, mine)]);
        let perhaps = std::mem::take(&mut self.data.perhaps).into_iter();
        let moved = perhaps.map(|((of, cell), some)| {
            (
                (
                    if [id, owner].contains(&of) {
                        other(of)
                    } else {
                        of
                    },
                    cell,
                ),
                some,
            )
        });
        self.data.perhaps = moved.collect();
    }

    /// One volume has got a plex of another one, which keeps the rest: both hold the same, or the
    /// other one has got something else by now.
    fn contents_are_shared(&mut self, id: VolumeId, owner: VolumeId, place: (u32, u64)) {
        let (mine, theirs) = (self.contents_of(id), self.contents_of(owner));
        let own: Vec<_> = self
            .data
            .owners
            .iter()
            .filter(|(_, of)| **of == id)
            .map(|(place, _)| *place)
            .collect();
        let (cells, perhaps) = self.data.left.remove(&place).unwrap_or(theirs);
        self.data
            .left
            .extend(own.into_iter().map(|place| (place, mine.clone())));
        self.data.owners.insert(place, id);
        self.data.acked.insert(id, cells);
        self.data.perhaps.retain(|(of, _), _| *of != id);
        self.data
            .perhaps
            .extend(perhaps.into_iter().map(|(cell, some)| ((id, cell), some)));
    }

    /// What a volume has to hold, and may hold.
    fn contents_of(&self, id: VolumeId) -> (Cells, Perhaps) {
        let perhaps = self
            .data
            .perhaps
            .iter()
            .filter(|((of, _), _)| *of == id)
            .map(|((_, cell), some)| (*cell, some.clone()));
        (
            self.data.acked.get(&id).cloned().unwrap_or_default(),
            perhaps.collect(),
        )
    }

    /// All places where a sector lies.
    fn lies_at(&self, dev: DevNo, sector: u64) -> Vec<(u32, u64)> {
        if dev.major == DISK_MAJOR {
            return vec![(dev.minor, sector)];
        }
        match self.dm.segment(dev.minor, sector) {
            Some((start, Seg::Linear { dev, offset })) => {
                self.lies_at(dev, offset + sector - start)
            }
            Some((start, Seg::Mirror(mirror))) => mirror
                .legs
                .iter()
                .flat_map(|leg| self.lies_at(leg.dev, leg.offset + sector - start))
                .collect(),
            Some((_, Seg::Era { data, .. })) => self.lies_at(data, sector),
            Some((_, Seg::Zero | Seg::Error)) | None => Vec::new(),
        }
    }

    /// Where a sector lies that reads go to first.
    fn first_place(&self, dev: DevNo, sector: u64) -> Option<(u32, u64)> {
        if dev.major == DISK_MAJOR {
            return Some((dev.minor, sector));
        }
        match self.dm.segment(dev.minor, sector)? {
            (start, Seg::Linear { dev, offset }) => self.first_place(dev, offset + sector - start),
            (start, Seg::Mirror(mirror)) => {
                self.first_place(mirror.legs[0].dev, mirror.legs[0].offset + sector - start)
            }
            (_, Seg::Era { data, .. }) => self.first_place(data, sector),
            (_, Seg::Zero | Seg::Error) => None,
        }
    }

    /// The disks that are dead.
    pub fn labels_of_dead(&self) -> Vec<DiskId> {
        self.labels
            .iter()
            .filter(|(_, at)| !self.disks[*at].answers())
            .map(|(id, _)| *id)
            .collect()
    }

    /// What is wrong with the data of the plexes that can be read.
    pub fn wrong_data_beside(
        &self,
        group: &Group,
        unreadable: &dyn Fn(&Plex) -> bool,
    ) -> Vec<String> {
        let mut rest = group.clone();
        for volume in &mut rest.volumes {
            volume.plexes.retain(|p| !unreadable(p));
        }
        self.wrong_data(&rest)
    }

    /// What is wrong with the data, in words: each complete plex holds what was acknowledged;
    /// plexes that count as equal are.
    pub fn wrong_data(&self, group: &Group) -> Vec<String> {
        let mut wrong = Vec::new();
        for volume in &group.volumes {
            let Some(cells) = self.data.acked.get(&volume.id) else {
                continue;
            };
            let plexes = volume.complete();
            let perhaps = self
                .data
                .perhaps
                .keys()
                .filter(|(id, _)| *id == volume.id)
                .map(|(_, cell)| *cell);
            let known: BTreeSet<u64> = cells.keys().copied().chain(perhaps).collect();
            for cell in known {
                let found: Vec<Option<u64>> = plexes
                    .iter()
                    .map(|p| self.plex_stamp(group, p, cell))
                    .collect();
                // Plexes that are still being made equal: the volume itself reads from the first.
                let judged = if volume.is_synced() { found.len() } else { 1 };
                for (plex, stamp) in plexes.iter().zip(&found).take(judged) {
                    if !self.data.allows(volume.id, cell, *stamp) {
                        let right = cells.get(&cell);
                        wrong.push(format!(
                            "plex '{}' has {stamp:?} in cell {cell}, not {right:?}",
                            plex.name
                        ));
                    }
                }
                if volume.is_synced() && found.windows(2).any(|pair| pair[0] != pair[1]) {
                    wrong.push(format!(
                        "the plexes of '{}' differ in cell {cell}: {found:?}",
                        volume.name
                    ));
                }
            }
        }
        wrong
    }

    fn plex_stamp(&self, group: &Group, plex: &Plex, cell: u64) -> Option<u64> {
        let sector = cell * CELL;
        let inside = |(start, extent): &(_, &Extent)| {
            let start = Sectors::get(*start);
            (start..start + extent.length.get()).contains(&sector)
        };
        let (start, extent) = plex.layout().find(inside)?;
        let disk = group.disk(extent.disk)?;
        let at = self.disk_of(disk.id)?;
        stamp_of(
            &self.disks[at].read(disk.data_start.get() + extent.start.get() + sector - start.get()),
        )
    }

    pub fn disk_of(&self, id: DiskId) -> Option<usize> {
        self.labels
            .iter()
            .find(|(known, _)| *known == id)
            .map(|(_, at)| *at)
    }

    pub fn frozen_now(&mut self, uuid: &DmUuid) {
        if let Some(volume) = uuid.volume().filter(|_| uuid.role() == Some(Role::Volume)) {
            let cells = self.data.acked.get(&volume).cloned().unwrap_or_default();
            let perhaps = self
                .data
                .perhaps
                .iter()
                .filter(|((id, _), _)| *id == volume)
                .map(|((_, cell), some)| (*cell, some.clone()));
            self.data.frozen.insert(volume, (cells, perhaps.collect()));
        }
    }
}
