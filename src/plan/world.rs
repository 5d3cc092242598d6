//! Everything that a plan may look at: the group's configuration and what was observed of kernel and disks, taken once.

use crate::model::{BootId, DevNo, DiskId, DmName, DmUuid, Generation, Group, Role, Sectors, Timestamp};
use crate::table::status::{MirrorStatus, parse_devno};
use std::collections::BTreeMap;
use std::path::PathBuf;

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
}

impl World {
    /// The number of a disk: as it was found or, when its label cannot be read any more, as the live tables have it. What lies on
    /// a disk that has lost its label can be mapped elsewhere all the same.
    pub fn number(&self, disk: DiskId) -> Option<DevNo> {
        self.disks.get(&disk).map(|found| found.dev).or_else(|| self.mapped_number(disk))
    }

    fn mapped_number(&self, id: DiskId) -> Option<DevNo> {
        let disk = self.group.disk(id)?;
        self.group.volumes.iter().find_map(|volume| {
            let log = volume.log.iter().map(|log| (Role::Log, Sectors::ZERO, &log.extent));
            let plexes = volume.plexes.iter().flat_map(|plex| {
                let roles = [Role::Plex(plex.number), Role::Volume].into_iter();
                roles.flat_map(|role| plex.layout().map(move |(start, extent)| (role.clone(), start, extent)))
            });
            plexes.chain(log).filter(|(.., extent)| extent.disk == id).find_map(|(role, start, extent)| {
                let offset = disk.data_start.saturating_add(extent.start).get().to_string();
                let lies_there = |line: &&TargetLine| line.target == "linear" && (line.start, line.length) == (start, extent.length);
                let table = &self.devices.get(&DmUuid::new(self.group.id, volume.id, &role))?.table;
                let (dev, at) = table.iter().find(lies_there)?.params.split_once(' ')?;
                parse_devno(dev).filter(|_| at == offset)
            })
        })
    }
}

/// A device of ours as the kernel shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DmDevice {
    /// Its name (may be an old one after an interrupted rename).
    pub name: DmName,
    /// Its UUID.
    pub uuid: DmUuid,
    /// Its number.
    pub dev: DevNo,
    /// How many openers it has, other devices included.
    pub open_count: u32,
    /// Whether it is suspended now.
    pub suspended: bool,
    /// Whether an inactive table is loaded.
    pub has_inactive: bool,
    /// The live table.
    pub table: Vec<TargetLine>,
    /// The status of a mirror; `None` for other targets.
    pub mirror: Option<MirrorStatus>,
}

/// One line of a table or of a status, as the kernel prints it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TargetLine {
    /// First sector.
    pub start: Sectors,
    /// Sectors.
    pub length: Sectors,
    /// Target type, such as `linear`.
    pub target: String,
    /// What follows.
    pub params: String,
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
