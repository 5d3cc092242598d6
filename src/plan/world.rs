//! The state of a group at one moment: its configuration, and one observation of the kernel and the
//! disks.

pub use super::found::PresentDisk;
use super::refusal::{InGroup, Shown};
use crate::model::{
    BootId, Dco, DevNo, DiskId, DmName, DmUuid, Extent, Generation, Group, HostId, Name, Plex,
    Role, Sectors, Timestamp, Volume, VolumeId,
};
use crate::table::stack::change_log;
use crate::table::status::parse_devno;
use crate::table::{DmDevice, TargetLine};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The state of a group and its surroundings at one moment.
#[derive(Debug, Clone)]
pub struct World {
    /// The configuration.
    pub group: Group,
    /// The generation of that configuration.
    pub generation: Generation,
    /// The group's device-mapper devices in the kernel, by dm UUID.
    pub devices: BTreeMap<DmUuid, DmDevice>,
    /// All dm names in use, also by devices that are not breakoff's.
    pub taken_names: BTreeSet<DmName>,
    /// The disks of the group that were found.
    pub disks: BTreeMap<DiskId, PresentDisk>,
    /// The boot ID of the running kernel. A volume is running if it is recorded with this ID.
    pub boot: BootId,
    /// The identity of this machine, by which it has groups imported; `None` if it has none.
    pub host: Option<HostId>,
    /// The current time, for time stamps.
    pub now: Timestamp,
    /// The paths of started volumes that are not at the path which the udev rule gives them, as far
    /// as they were looked up.
    pub elsewhere: BTreeMap<VolumeId, PathBuf>,
}

/// The device numbers in the live tables of the devices that `some` selects, without those of the
/// group's own devices: the disks beneath them.
pub fn disks_beneath<'d>(
    group: impl Iterator<Item = &'d DmDevice> + Clone,
    some: &dyn Fn(&DmDevice) -> bool,
) -> BTreeSet<DevNo> {
    let ours: BTreeSet<DevNo> = group.clone().map(|device| device.dev).collect();
    let some = group.filter(|device| some(device));
    some.flat_map(DmDevice::numbers)
        .filter(|number| !ours.contains(number))
        .collect()
}

/// The path that the udev rule gives a volume: `/dev/breakoff/GROUP/VOLUME`.
pub fn link(group: &Name, volume: &Name) -> PathBuf {
    Path::new("/dev/breakoff")
        .join(group.as_str())
        .join(volume.as_str())
}

impl World {
    /// A volume or a disk of the group, in the form that a refusal contains.
    pub fn named(&self, name: &Name) -> InGroup {
        InGroup::new(&self.group.name, name)
    }

    /// A disk for a refusal: by media name, or by identity if it is not in the group.
    pub fn shown(&self, disk: DiskId) -> Shown {
        let known = self.group.disk(disk);
        known.map_or(Shown::Id(disk), |known| Shown::Media(known.media.clone()))
    }

    /// The path of a volume, now or once it is started.
    pub fn path(&self, volume: &Volume) -> PathBuf {
        self.elsewhere
            .get(&volume.id)
            .cloned()
            .unwrap_or_else(|| link(&self.group.name, &volume.name))
    }

    /// The device of a volume, while the volume is started.
    pub fn started(&self, volume: &Volume) -> Option<&DmDevice> {
        let uuid = DmUuid::new(self.group.id, volume.id, &Role::Volume);
        self.devices
            .get(&uuid)
            .filter(|device| !device.table.is_empty())
    }

    /// Whether a process or a device has a volume open.
    pub fn is_open(&self, volume: &Volume) -> bool {
        self.started(volume)
            .is_some_and(|device| device.open_count > 0)
    }

    /// Whether all disks of a plex are here.
    pub fn has_disks_of(&self, plex: &Plex) -> bool {
        let mut subdisks = plex.subdisks.iter();
        subdisks.all(|extent| self.disks.contains_key(&extent.disk))
    }

    /// The first disk of a plex that is neither here nor known by a live table, if there is one.
    pub fn lost_disk_of(&self, plex: &Plex) -> Option<DiskId> {
        let mut disks = plex.subdisks.iter().map(|extent| extent.disk);
        disks.find(|disk| self.number(*disk).is_none())
    }

    /// The device number of a disk: of the device that was found or, if its label cannot be read
    /// any more, from the live tables. So volumes on a disk that has lost its label can still be
    /// remapped.
    pub fn number(&self, disk: DiskId) -> Option<DevNo> {
        self.disks
            .get(&disk)
            .map(|found| found.dev)
            .or_else(|| self.mapped_number(disk))
    }

    /// The device number that the live tables name for a disk. Plexes of one volume often lie at
    /// the same offset of different disks, so a single line of a table proves little. A number
    /// counts only if all mappings to this disk agree on it and no other disk has it.
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

    /// The device number that the map's mirror has as its leg for the copy on this disk.
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

    /// The devices of a volume. Their UUIDs begin with its own, which they are sorted by.
    pub fn devices_of(&self, volume: VolumeId) -> impl Iterator<Item = &DmDevice> + Clone {
        let first = DmUuid::new(self.group.id, volume, &Role::Volume);
        let from = self.devices.range(first..).map(|(_, device)| device);
        from.take_while(move |device| device.uuid.volume() == Some(volume))
    }

    /// The device numbers of the disks that the live tables of these volumes name.
    pub fn numbers_beneath(&self, volumes: &BTreeSet<VolumeId>) -> BTreeSet<DevNo> {
        disks_beneath(self.devices.values(), &|device| {
            device.uuid.volume().is_some_and(|id| volumes.contains(&id))
        })
    }

    /// The device numbers that the live tables name where, by the configuration, this disk is
    /// mapped.
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
            // Of a volume with one plex, the volume's own table (or, if it is tracked, that of its
            // data device) maps the plex. Of any other volume, that table says nothing about the
            // location of a plex.
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
    /// The extents that a device's live table maps, on the disks that were found.
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
            // Pairs of a device and an offset, at any position in the line of a linear or mirror
            // target.
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

    /// A device with this role that another process has open, although the configuration in force
    /// does not use it. While it exists, no new device with this role can be created, because its
    /// UUID cannot be changed. It must not be reused either: the process that has it open would
    /// then have access to the new device.
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
