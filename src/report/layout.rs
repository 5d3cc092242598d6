//! Converts a [`World`] into the views of `print`: what is configured, together with what the
//! kernel reports.

use super::view::{
    DiskView, GroupView, LogView, MetadataView, OwnerView, PlexView, SubdiskView, SyncView,
    VolumeView,
};
use crate::meta::Fill;
use crate::model::{
    DevNo, Disk, DiskId, DmUuid, Extent, Log, Name, NodeOwner, Plex, PlexState, Role, SectorSize,
    Sectors, Volume,
};
use crate::plan::world::World;
use crate::table::DmDevice;
use crate::table::status::{LegHealth, MirrorStatus};
use std::collections::{BTreeMap, HashMap};

/// A group with its disks, and with the volumes named in `only`, or all when none is named.
pub(super) fn group(world: &World, fill: Option<Fill>, only: &[Name]) -> GroupView {
    let seen = Seen::new(world);
    let group = &world.group;
    GroupView {
        name: group.name.to_string(),
        uuid: group.id.to_string(),
        generation: world.generation.get(),
        disks: group.disks.iter().map(|disk| seen.disk(disk)).collect(),
        volumes: group
            .volumes
            .iter()
            .filter(|v| only.is_empty() || only.contains(&v.name))
            .map(|v| seen.volume(v))
            .collect(),
        metadata: fill.map(|fill| MetadataView {
            used: fill.used,
            capacity: fill.capacity,
        }),
    }
}

/// The health of a leg as a word in JSON.
fn health_word(health: LegHealth) -> &'static str {
    match health {
        LegHealth::Alive => "alive",
        LegHealth::WriteFailed => "write-failed",
        LegHealth::SyncFailed => "sync-failed",
        LegHealth::ReadFailed => "read-failed",
        LegHealth::FlushFailed => "flush-failed",
        LegHealth::Unknown => "unknown",
    }
}

/// Who may use a node, unless that is as the system has it.
fn owner(owner: &NodeOwner) -> Option<OwnerView> {
    (!owner.is_default()).then(|| OwnerView {
        user: owner.user.as_ref().map(ToString::to_string),
        group: owner.group.as_ref().map(ToString::to_string),
        mode: owner.mode.as_ref().map(ToString::to_string),
    })
}

/// A plex as a leg of a mirror.
#[derive(Clone, Copy)]
struct Leg<'w> {
    health: LegHealth,
    mirror: &'w MirrorStatus,
}

/// A world with the lookup tables that thousands of volumes need.
struct Seen<'w> {
    world: &'w World,
    legs: HashMap<DevNo, Leg<'w>>,
    pieces: HashMap<Extent, String>,
    used: HashMap<DiskId, Sectors>,
    names: HashMap<crate::model::VolumeId, &'w Name>,
    snapshots: HashMap<crate::model::VolumeId, Vec<String>>,
}

impl<'w> Seen<'w> {
    fn new(world: &'w World) -> Seen<'w> {
        let mut snapshots: HashMap<_, Vec<String>> = HashMap::new();
        for (origin, snapshot) in world
            .group
            .volumes
            .iter()
            .filter_map(|v| Some((v.origin.as_ref()?, v)))
        {
            snapshots
                .entry(origin.original)
                .or_default()
                .push(snapshot.name.to_string());
        }
        Seen {
            world,
            legs: legs(world),
            pieces: pieces(world),
            used: used(world),
            names: world
                .group
                .volumes
                .iter()
                .map(|v| (v.id, &v.name))
                .collect(),
            snapshots,
        }
    }

    fn disk(&self, disk: &Disk) -> DiskView {
        let here = self.world.disks.get(&disk.id);
        let used = self.used.get(&disk.id).copied().unwrap_or_default();
        DiskView {
            media: disk.media.to_string(),
            device: here.map(|d| d.path.display().to_string()),
            uuid: disk.id.to_string(),
            state: if here.is_some() { "online" } else { "missing" },
            size: disk.size.bytes(),
            free: disk.size.saturating_sub(used).bytes(),
            sector_size: self.world.sectors_of(disk.id).map(SectorSize::bytes),
        }
    }

    fn volume(&self, volume: &Volume) -> VolumeView {
        let device = self
            .device(volume, &Role::Volume)
            .filter(|d| !d.table.is_empty());
        let plexes: Vec<PlexView> = volume
            .plexes
            .iter()
            .map(|plex| self.plex(volume, plex, device.is_some()))
            .collect();
        VolumeView {
            name: volume.name.to_string(),
            uuid: volume.id.to_string(),
            device: device.map(|_| self.world.path(volume).display().to_string()),
            size: volume.size.bytes(),
            state: volume_state(volume, device.is_some(), &plexes),
            kstate: volume_kstate(device),
            fast_resync: volume.fast_resync,
            snapshot_of: volume.origin.as_ref().and_then(|o| match &o.apart {
                Some(apart) => Some(format!("{}/{}", apart.group_name, apart.original)),
                None => self.names.get(&o.original).map(ToString::to_string),
            }),
            snapshots: self.snapshots.get(&volume.id).cloned().unwrap_or_default(),
            resync: (!volume.is_synced()).then(|| self.resync(volume)),
            sector_size: self.world.sector_size(volume).map(SectorSize::bytes),
            log: volume
                .log
                .as_ref()
                .map(|log| self.log(volume, log, device.is_some())),
            owner: owner(&volume.owner),
            plexes,
        }
    }

    fn plex(&self, volume: &Volume, plex: &Plex, started: bool) -> PlexView {
        let leg = self.leg(volume, plex);
        PlexView {
            name: plex.name.to_string(),
            role: if plex.state.is_snapshot_leg() {
                "snap"
            } else {
                "data"
            },
            state: plex_state(volume, plex, started),
            kstate: plex_kstate(plex, started),
            health: leg.map(|leg| health_word(leg.health)),
            sync: SyncView {
                done: self.synced(volume, plex, leg).bytes(),
                total: volume.size.bytes(),
            },
            subdisks: plex
                .layout()
                .map(|(offset, extent)| self.subdisk(extent, offset))
                .collect(),
        }
    }

    /// How much of a plex is in sync with its volume.
    fn synced(&self, volume: &Volume, plex: &Plex, leg: Option<Leg<'_>>) -> Sectors {
        let source = || {
            volume
                .complete()
                .first()
                .is_some_and(|first| first.number == plex.number)
        };
        match plex.state {
            PlexState::Stale | PlexState::Failed => Sectors::ZERO,
            state if state.is_complete() && (volume.is_synced() || source()) => volume.size,
            state if state.is_complete() => {
                leg.map_or(volume.synced, |leg| done(leg.mirror, volume.size))
            }
            _ => leg.map_or(Sectors::ZERO, |leg| done(leg.mirror, volume.size)),
        }
    }

    /// How far the resync of a volume's complete plexes has come: the least of all of them.
    fn resync(&self, volume: &Volume) -> SyncView {
        let complete = volume.complete();
        let least = complete
            .iter()
            .map(|plex| self.synced(volume, plex, self.leg(volume, plex)))
            .min();
        SyncView {
            done: least.unwrap_or(volume.synced).bytes(),
            total: volume.size.bytes(),
        }
    }

    fn log(&self, volume: &Volume, log: &Log, started: bool) -> LogView {
        let used = started && log.live && self.device(volume, &Role::Log).is_some();
        LogView {
            kstate: if used { "ENABLED" } else { "DISABLED" },
            region: log.region.bytes(),
            subdisk: self.subdisk(&log.extent, Sectors::ZERO),
        }
    }

    fn subdisk(&self, extent: &Extent, offset: Sectors) -> SubdiskView {
        // The offset counts from the start of the device, so that a reader of the JSON can find the
        // bytes.
        let data_start = self
            .world
            .group
            .disk(extent.disk)
            .map_or(Sectors::ZERO, |disk| disk.data_start);
        SubdiskView {
            name: self.pieces.get(extent).cloned().unwrap_or_default(),
            media: media(self.world, extent.disk),
            disk_offset: data_start.saturating_add(extent.start).bytes(),
            plex_offset: offset.bytes(),
            length: extent.length.bytes(),
        }
    }

    fn device(&self, volume: &Volume, role: &Role) -> Option<&'w DmDevice> {
        self.world
            .devices
            .get(&DmUuid::new(self.world.group.id, volume.id, role))
    }

    fn leg(&self, volume: &Volume, plex: &Plex) -> Option<Leg<'w>> {
        self.legs
            .get(&self.device(volume, &Role::Plex(plex.number))?.dev)
            .copied()
    }
}

/// The legs of all mirrors by device number, because that is how the kernel names them.
fn legs(world: &World) -> HashMap<DevNo, Leg<'_>> {
    let mirrors = world
        .devices
        .values()
        .filter_map(|device| device.mirror.as_ref());
    mirrors
        .flat_map(|mirror| {
            mirror
                .legs
                .iter()
                .map(move |&(dev, health)| (dev, Leg { health, mirror }))
        })
        .collect()
}

/// The names of all subdisks. Subdisks are not objects of their own; they are named by their disk
/// and their place on it, as in VxVM.
fn pieces(world: &World) -> HashMap<Extent, String> {
    let mut by_disk: BTreeMap<DiskId, Vec<Extent>> = BTreeMap::new();
    world
        .group
        .extents()
        .for_each(|extent| by_disk.entry(extent.disk).or_default().push(*extent));
    let mut names = HashMap::new();
    for (disk, mut extents) in by_disk {
        extents.sort();
        let media = media(world, disk);
        names.extend(
            extents
                .into_iter()
                .enumerate()
                .map(|(at, extent)| (extent, format!("{media}-{:02}", at + 1))),
        );
    }
    names
}

fn used(world: &World) -> HashMap<DiskId, Sectors> {
    let mut used: HashMap<DiskId, Sectors> = HashMap::new();
    for extent in world.group.extents() {
        let sum = used.entry(extent.disk).or_default();
        *sum = sum.saturating_add(extent.length);
    }
    used
}

/// The media name of a disk, or the identity of a disk that the group does not know.
fn media(world: &World, disk: DiskId) -> String {
    world
        .group
        .disk(disk)
        .map_or_else(|| disk.to_string(), |d| d.media.to_string())
}

/// The regions in sync, as a length.
fn done(mirror: &MirrorStatus, size: Sectors) -> Sectors {
    if mirror.done >= mirror.total {
        return size;
    }
    let bytes = u128::from(mirror.done) * u128::from(size.bytes()) / u128::from(mirror.total);
    u64::try_from(bytes).map_or(size, Sectors::from_bytes_floor)
}

fn volume_kstate(device: Option<&DmDevice>) -> &'static str {
    match device {
        None => "DISABLED",
        Some(device) if device.suspended => "SUSPENDED",
        Some(_) => "ENABLED",
    }
}

fn volume_state(volume: &Volume, started: bool, plexes: &[PlexView]) -> &'static str {
    let weak = |plex: &PlexView| {
        plex.role == "data"
            && (plex.kstate == "DETACHED" || plex.health.is_some_and(|h| h != "alive"))
    };
    match (volume.running, started) {
        (None, false) if !volume.is_synced() => "NEEDSYNC",
        (None, false) => "CLEAN",
        (_, true) if !volume.is_synced() => "SYNC",
        (_, true) if plexes.iter().any(weak) => "DEGRADED",
        _ => "ACTIVE",
    }
}

/// The state of a plex as it is shown: the recorded one, with two exceptions. A complete leg does
/// not count while it is resynchronised after a crash. A data plex that is known to hold the
/// volume's contents after a clean stop is `CLEAN`: `ACTIVE` in a volume that is not started means
/// a crash, as in VxVM.
fn plex_state(volume: &Volume, plex: &Plex, started: bool) -> &'static str {
    let first = volume
        .complete()
        .first()
        .is_some_and(|first| first.number == plex.number);
    match plex.state {
        PlexState::SnapDone if !volume.is_synced() => PlexState::SnapAtt.word(),
        PlexState::Active
            if !started && volume.running.is_none() && (volume.is_synced() || first) =>
        {
            "CLEAN"
        }
        state => state.word(),
    }
}

fn plex_kstate(plex: &Plex, started: bool) -> &'static str {
    match plex.state {
        _ if !started => "DISABLED",
        PlexState::Stale | PlexState::Failed => "DETACHED",
        PlexState::Active
        | PlexState::Attaching
        | PlexState::Reviving
        | PlexState::SnapAtt
        | PlexState::SnapDone => "ENABLED",
    }
}
