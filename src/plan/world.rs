//! Everything that a plan may look at: the group's configuration and what was observed of kernel
//! and disks, taken once.

use super::refusal::{InGroup, Shown};
use crate::model::{
    BootId, Dco, DevNo, DiskId, DmName, DmUuid, Extent, Generation, Group, Name, Role, SectorSize,
    Sectors, Testimony, Timestamp, Volume, VolumeId,
};
use crate::table::stack::change_log;
use crate::table::status::parse_devno;
use crate::table::{DmDevice, TargetLine};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The state of a group and its surroundings at one moment.
#[derive(Debug, Clone)]
pub struct World {
    /// The configuration.
    pub group: Group,
    /// The generation it was read at.
    pub generation: Generation,
    /// Our devices in the kernel that belong to this group, by dm UUID.
    pub devices: BTreeMap<DmUuid, DmDevice>,
    /// dm names that are taken by anybody (ours or not).
    pub taken_names: Vec<DmName>,
    /// The disks of the group that are here.
    pub disks: BTreeMap<DiskId, PresentDisk>,
    /// This boot.
    pub boot: BootId,
    /// Now.
    pub now: Timestamp,
    /// What has changed, as far as it was asked for.
    pub known: Known,
    /// Where started volumes are that are not where udev's rule would have put them, as far as it
    /// was looked at.
    pub elsewhere: BTreeMap<VolumeId, PathBuf>,
}

/// What the maps of changes say. They are read only for the verbs that need it.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Whether the kernel has the targets to track changes; `None` when nobody has asked.
    pub era_target: Option<bool>,
    /// Whether what the kernel has noted survives when the machine goes down; `None` when nobody
    /// has asked.
    pub era_survives_crash: Option<bool>,
    /// Copies of maps that are damaged, of volumes that are going to be started, or cannot be
    /// written to.
    pub damaged: Vec<Extent>,
    /// The smallest pieces that filesystems are read and written in, of volumes that show smaller
    /// sectors than they were made for.
    pub contents: BTreeMap<VolumeId, SectorSize>,
    /// The eras that the live maps are in.
    pub eras: BTreeMap<VolumeId, u32>,
    /// The era that a volume was in at least when its map had been listed.
    pub listed: BTreeMap<VolumeId, u32>,
    /// How much had been written to a volume in all, by the kernel's count, before its map was
    /// listed.
    pub writes: BTreeMap<VolumeId, u64>,
    /// What was written to a volume from an era on.
    pub changed: BTreeMap<(VolumeId, u32), Listing>,
    /// What is on a volume, as udev calls it.
    pub content: BTreeMap<VolumeId, String>,
    /// Why not everything that rests on a volume can be frozen.
    pub unfrozen: BTreeMap<VolumeId, String>,
    /// What the change log in use says that there is left to copy.
    pub left: BTreeMap<VolumeId, Listing>,
    /// What this machine's witness says of the configuration in force.
    pub testimony: Testimony,
}

/// Pieces of a volume in order and without overlaps, or why they are not known.
pub type Listing = Result<Vec<Range<u64>>, String>;

/// The numbers that the live tables of some of a group's devices name, without those of the group's
/// devices themselves.
pub fn disks_beneath<'d>(
    group: impl Iterator<Item = &'d DmDevice> + Clone,
    some: &dyn Fn(&DmDevice) -> bool,
) -> BTreeSet<DevNo> {
    let lines = group
        .clone()
        .filter(|device| some(device))
        .flat_map(|device| &device.table);
    let numbers = lines
        .flat_map(|line| line.params.split_ascii_whitespace())
        .filter_map(parse_devno);
    numbers
        .filter(|number| !group.clone().any(|device| device.dev == *number))
        .collect()
}

/// Where udev's rule puts a volume.
pub fn link(group: &Name, volume: &Name) -> PathBuf {
    Path::new("/dev/breakoff")
        .join(group.as_str())
        .join(volume.as_str())
}

impl World {
    /// A volume or a disk of the group, as a refusal names it.
    pub fn named(&self, name: &Name) -> InGroup {
        InGroup::new(&self.group.name, name)
    }

    /// A disk of the group, as a refusal shows it.
    pub fn shown(&self, disk: DiskId) -> Shown {
        let known = self.group.disk(disk);
        known.map_or(Shown::Id(disk), |known| Shown::Media(known.media.clone()))
    }

    /// Where a volume is, or is going to be.
    pub fn path(&self, volume: &Volume) -> PathBuf {
        self.elsewhere
            .get(&volume.id)
            .cloned()
            .unwrap_or_else(|| link(&self.group.name, &volume.name))
    }

    /// The number of a disk: as it was found or, when its label cannot be read any more, as the
    /// live tables have it. What lies on a disk that has lost its label can be mapped elsewhere all
    /// the same.
    pub fn number(&self, disk: DiskId) -> Option<DevNo> {
        self.disks
            .get(&disk)
            .map(|found| found.dev)
            .or_else(|| self.mapped_number(disk))
    }

    /// Plexes of one volume often lie at the same place of different disks, so that a line of a
    /// table proves little. A number counts when all that is mapped there agrees, and when it is no
    /// other disk's.
    fn mapped_number(&self, id: DiskId) -> Option<DevNo> {
        let claimed = self.claimed_numbers(id);
        let number = claimed.first().copied().filter(|_| claimed.len() == 1)?;
        let missing = self
            .group
            .disks
            .iter()
            .map(|d| d.id)
            .filter(|other| *other != id && !self.disks.contains_key(other));
        let others: BTreeSet<DevNo> = missing
            .flat_map(|other| self.claimed_numbers(other))
            .collect();
        let found = self.disks.values().any(|disk| disk.dev == number);
        (!found && !others.contains(&number)).then_some(number)
    }

    /// The number that the map of a volume has for the copy on a disk.
    fn map_number(&self, volume: &Volume, dco: &Dco, id: DiskId) -> Option<DevNo> {
        let status = self
            .devices
            .get(&DmUuid::new(self.group.id, volume.id, &Role::Map))?
            .mirror
            .as_ref()?;
        let at = dco.copies.iter().position(|copy| copy.disk == id)?;
        // The last leg is the sink.
        status
            .legs
            .get(at)
            .filter(|_| status.legs.len() == dco.copies.len() + 1)
            .map(|(dev, _)| *dev)
    }

    /// The numbers of the disks that the live tables of some volumes name.
    pub fn numbers_beneath(&self, volumes: &BTreeSet<VolumeId>) -> BTreeSet<DevNo> {
        disks_beneath(self.devices.values(), &|device| {
            device.uuid.volume().is_some_and(|id| volumes.contains(&id))
        })
    }

    /// The numbers that live tables have where a disk of the group should be.
    fn claimed_numbers(&self, id: DiskId) -> BTreeSet<DevNo> {
        let Some(disk) = self.group.disk(id) else {
            return BTreeSet::new();
        };
        let mapped_at = |volume: &Volume, role: Role, start: Sectors, extent: &Extent| {
            let offset = disk
                .data_start
                .saturating_add(extent.start)
                .get()
                .to_string();
            let lies_there = |line: &&TargetLine| {
                line.target == "linear" && (line.start, line.length) == (start, extent.length)
            };
            let table = &self
                .devices
                .get(&DmUuid::new(self.group.id, volume.id, &role))?
                .table;
            let (dev, at) = table.iter().find(lies_there)?.params.split_once(' ')?;
            parse_devno(dev).filter(|_| at == offset)
        };
        let on_it = |volume: &Volume| {
            let mut numbers = BTreeSet::new();
            // A volume of one plex is that plex, or what its tracking passes on to is; the table of
            // any other says nothing about where a plex of it lies.
            let complete = volume.complete();
            let plain = complete
                .first()
                .filter(|_| complete.len() == 1 && volume.attaching().is_empty())
                .map(|p| p.number);
            for plex in &volume.plexes {
                let is_plain = plain == Some(plex.number);
                let tops = [Role::Volume, Role::Data].into_iter().filter(|_| is_plain);
                let roles: Vec<Role> = tops.chain([Role::Plex(plex.number)]).collect();
                let here = plex.layout().filter(|(_, extent)| extent.disk == id);
                here.for_each(|(start, extent)| {
                    numbers.extend(
                        roles
                            .iter()
                            .filter_map(|role| mapped_at(volume, role.clone(), start, extent)),
                    );
                });
            }
            numbers.extend(
                volume
                    .live_dco()
                    .and_then(|dco| self.map_number(volume, dco, id)),
            );
            let log = volume.log.as_ref().filter(|log| log.extent.disk == id);
            numbers.extend(
                log.and_then(|log| mapped_at(volume, Role::Log, Sectors::ZERO, &log.extent)),
            );
            let changes = change_log(volume).filter(|(_, extent)| extent.disk == id);
            numbers.extend(changes.and_then(|(r, extent)| {
                mapped_at(volume, Role::Changes(r.log), Sectors::ZERO, &extent)
            }));
            numbers
        };
        self.group.volumes.iter().flat_map(on_it).collect()
    }
}

impl World {
    /// The space of the group that a device leads to, as far as its disks are here.
    pub fn mapped(&self, device: &DmDevice) -> Vec<Extent> {
        let piece = |dev: &str, offset: &str, length| {
            let (dev, offset) = (parse_devno(dev)?, Sectors::new(offset.parse().ok()?)?);
            let (id, _) = self.disks.iter().find(|(_, disk)| disk.dev == dev)?;
            let start = offset.checked_sub(self.group.disk(*id)?.data_start)?;
            Some(Extent {
                disk: *id,
                start,
                length,
            })
        };
        let on = |line: &TargetLine| {
            let words: Vec<&str> = line.params.split(' ').collect();
            // A device and an offset, wherever they stand in the line of a linear or of a mirror.
            words
                .windows(2)
                .filter_map(|pair| piece(pair[0], pair[1], line.length))
                .collect::<Vec<_>>()
        };
        device
            .table
            .iter()
            .filter(|line| ["linear", "mirror"].contains(&line.target.as_str()))
            .flat_map(on)
            .collect()
    }

    /// A device with this role that another process has open although the configuration in force
    /// has no use for it: a new one cannot be made as long as it is there (its UUID stays with it),
    /// and it must not become one, since whoever has it open would be in it.
    pub fn occupied(&self, volume: VolumeId, role: &Role) -> Option<&DmDevice> {
        let device = self
            .devices
            .get(&DmUuid::new(self.group.id, volume, role))
            .filter(|d| d.open_count > 0)?;
        let dev = device.dev.to_string();
        let refers = |d: &DmDevice| {
            d.table
                .iter()
                .any(|line| line.params.split(' ').any(|word| word == dev))
        };
        (device.is_retired() || !self.devices.values().any(refers)).then_some(device)
    }
}

/// A disk of the group that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresentDisk {
    /// The best path to it (a stable link where one is known is not needed; `/dev/sdb`).
    pub path: PathBuf,
    /// Its number.
    pub dev: DevNo,
    /// Size of the whole device.
    pub size: Sectors,
    /// The device's logical block size in bytes (512 or 4096).
    pub logical_block: u32,
}
