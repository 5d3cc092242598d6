//! Observes what a request needs to know beyond the tables, above all the maps of changes.

use super::session::{Session, View};
use crate::error::{Error, Result};
use crate::exec::{self, Cause, Failed};
use crate::model::{
    DiskId, DmName, DmUuid, Extent, Name, Role, SectorSize, Sectors, Volume, VolumeId, ranges,
};
use crate::plan::evidence::Listing;
use crate::plan::lacking::{Lacking, TARGETS};
use crate::plan::request::{Request, Splits};
use crate::plan::{self, Need, snapback, snapshot};
use crate::sys::content::Standing;
use crate::sys::disk::Access;
use crate::sys::helper::{Helper, HelperDevice, Task};
use crate::sys::{Errno, failpoint};
use crate::table::{DmDevice, Links, SuspendMode, dco, era, log, stack};
use std::ops::Range;
use std::path::Path;

impl View<'_> {
    /// Observes what a request needs to know, as far as this is possible without the lock: writes
    /// nothing to a disk, repairs no volume, and queries no map of changes.
    pub fn look_for(&mut self, request: &Request) -> Result<()> {
        self.look_for_all(&plan::needs(&self.world, request))
    }

    /// Makes these observations, as far as they need no lock.
    pub fn look_for_all(&mut self, needs: &[Need<'_>]) -> Result<()> {
        for need in needs {
            match need {
                Need::Standing(splits) => self.learn_unfrozen(splits),
                Need::EraTarget => {
                    self.world.evidence.era.target =
                        Some(self.kernel.has_target("era")? && self.kernel.has_target("zero")?);
                }
                Need::Lacking => self.learn_lacking(),
                Need::Contents => self.learn_contents(),
                Need::Rotation => {
                    let machine = &self.env.machine;
                    let seekless = |dev| machine.is_rotational(dev) == Some(false);
                    let disks = self.world.disks.iter();
                    let found = disks.filter(|(_, disk)| seekless(disk.dev));
                    let ids: Vec<DiskId> = found.map(|(id, _)| *id).collect();
                    self.world.evidence.seekless.extend(ids);
                }
                Need::EraSurvival => {
                    let survives = self.env.machine.era_survives_crash();
                    self.world.evidence.era.survives_crash = Some(survives);
                }
                Need::StoppedMaps => self.learn_damaged_maps(),
                Need::Prospect(device, area) => self.learn_prospect(device, *area),
                Need::Namesakes(name) => self.learn_namesakes(*name)?,
                Need::Receiver(name) => self.learn_receiver(name)?,
                Need::Bearer(media, device) => self.learn_bearer(media, device),
                Need::OwnNamesakes(name) => self.learn_own_namesakes(*name)?,
                Need::Size(media) => self.learn_size(media),
                // These need the lock.
                Need::Changes(_) | Need::Eras | Need::MapSpace(_) => {}
            }
        }
        Ok(())
    }

    /// Records the targets that the kernel lacks. One of which the kernel does not say is not taken for
    /// missing.
    fn learn_lacking(&mut self) {
        let lacks = |target: &&str| matches!(self.kernel.has_target(target), Ok(false));
        let targets: Vec<&'static str> = TARGETS.into_iter().filter(lacks).collect();
        if !targets.is_empty() {
            let platform = self.env.machine.platform();
            self.world.evidence.lacking = Lacking { targets, platform };
        }
    }

    /// Records for each volume to be split what rests on it, and any reason why it cannot be
    /// frozen.
    fn learn_unfrozen(&mut self, splits: &Splits) {
        let world = &self.world;
        // The plan reports names that do not resolve.
        let Ok(splits) = snapshot::resolve(world, splits) else {
            return;
        };
        let named = splits
            .iter()
            .filter_map(|split| world.group.volume_named(&split.volume).ok());
        let live = named.filter_map(|v| {
            Some((
                v.id,
                world
                    .devices
                    .get(&DmUuid::new(world.group.id, v.id, &Role::Volume))?,
            ))
        });
        let live: Vec<(VolumeId, &DmDevice)> = live.collect();
        let again = |device: &DmDevice| {
            self.kernel
                .device(&device.uuid)
                .ok()
                .flatten()
                .map_or(device.open_count, |d| d.open_count)
        };
        let volumes = || {
            live.iter()
                .map(|(_, device)| (device.dev, again(device)))
                .collect()
        };
        let standing: Vec<(VolumeId, Standing)> = live
            .iter()
            .map(|(id, _)| *id)
            .zip(self.env.machine.standing(&volumes))
            .collect();
        for (id, found) in standing {
            let users = self.world.evidence.users_mut(id);
            users.content = found.content;
            users.unfrozen = found.obstacle;
        }
    }

    /// Reads the block size of the filesystems on volumes that show smaller sectors than they were
    /// created for: a filesystem made on such a volume has seen only the smaller ones.
    pub(super) fn learn_contents(&mut self) {
        let larger = |shown: &Volume| {
            !self
                .world
                .with_larger_sectors(self.world.largest_sectors(&shown.plexes))
                .is_empty()
        };
        // A read from a mirror with a failed leg may block until its repair.
        if self.has_failed_mirror() {
            return;
        }
        let volumes = self
            .world
            .with_unknown_contents()
            .into_iter()
            .filter(|v| larger(v));
        let paths = volumes
            .filter_map(|v| Some((v.id, DmName::volume(&self.world.group.name, &v.name).ok()?)));
        let pieces = |name: DmName| {
            self.env
                .machine
                .block_size(&Path::new("/dev/mapper").join(name.as_str()))
        };
        let found = paths.filter_map(|(id, name)| Some((id, SectorSize::new(pieces(name)?)?)));
        for (id, block) in found.collect::<Vec<_>>() {
            self.world.evidence.users_mut(id).block = Some(block);
        }
    }

    /// Checks the maps of volumes that are not started, and marks bad copies as damaged. The kernel
    /// would take a blank map for a new one in which nothing was ever written.
    fn learn_damaged_maps(&mut self) {
        let world = &self.world;
        let stopped = world
            .group
            .volumes
            .iter()
            .filter(|v| v.running != Some(world.boot));
        let copies = stopped.flat_map(|v| {
            v.live_dco()
                .into_iter()
                .flat_map(|dco| &dco.copies)
                .map(|copy| (v.size, *copy))
        });
        let here = copies.filter(|(_, copy)| world.disks.contains_key(&copy.disk));
        let damaged = here.filter(|(size, copy)| !self.is_sound_map(copy, *size).unwrap_or(false));
        self.world.evidence.damaged = damaged.map(|(_, copy)| copy).collect();
    }

    fn is_sound_map(&self, copy: &Extent, size: Sectors) -> Option<bool> {
        let (disk, present) = self
            .world
            .group
            .disk(copy.disk)
            .zip(self.world.disks.get(&copy.disk))?;
        let media = self
            .env
            .machine
            .media(&present.path, Access::ReadOnly)
            .ok()?;
        let mut superblock = vec![0; era::BLOCK];
        let start = disk.data_start.saturating_add(dco::map(copy, size).start);
        media.read_at(start.bytes(), &mut superblock).ok()?;
        Some(self.env.machine.is_sound_map(&superblock))
    }
}

impl Session<'_> {
    /// Observes what a request needs to know beyond the tables. What cannot be read is not an
    /// error: everything is copied instead.
    pub fn learn(&mut self, request: &Request) -> Result<()> {
        self.learn_maps(request)?;
        let tracks = self.world.evidence.era.target == Some(true);
        for need in plan::needs(&self.world, request) {
            match need {
                Need::Eras if tracks => self.learn_eras(),
                Need::MapSpace(splits) if tracks => self.learn_unwritable_maps(splits),
                // A disk has failed meanwhile. Once it is taken out the map can be read, if there
                // is another copy.
                Need::Changes(snapshots) if self.has_failed_mirror() => {
                    self.repair_all()?;
                    self.list_sides(snapshots);
                }
                Need::Standing(_)
                | Need::EraTarget
                | Need::Lacking
                | Need::Contents
                | Need::Rotation
                | Need::EraSurvival
                | Need::StoppedMaps
                | Need::Changes(_)
                | Need::Eras
                | Need::MapSpace(_)
                | Need::Prospect(..)
                | Need::Namesakes(_)
                | Need::Receiver(_)
                | Need::Bearer(..)
                | Need::OwnNamesakes(_)
                | Need::Size(_) => {}
            }
        }
        Ok(())
    }

    /// Tests whether the space reserved for new maps can be written to: a disk that holds only such
    /// space may have failed unnoticed. A map with fewer copies, or no map, is no reason to refuse
    /// a snapshot.
    fn learn_unwritable_maps(&mut self, splits: &Splits) {
        let world = &self.world;
        let split = world
            .group
            .volumes
            .iter()
            .filter(|v| v.fast_resync && splits.may_mean(&v.name));
        let dcos = split.flat_map(|v| {
            v.plexes
                .iter()
                .filter_map(|p| p.dco.as_ref())
                .chain(&v.dco)
                .map(|dco| (v.size, dco))
        });
        let copies = dcos
            .filter(|(_, dco)| !dco.live)
            .flat_map(|(size, dco)| dco.copies.iter().map(move |copy| (size, *copy)));
        let here = copies.filter(|(_, copy)| world.disks.contains_key(&copy.disk));
        let on = exec::On {
            machine: self.env.machine,
            kernel: self.kernel.as_ref(),
        };
        let failed: Vec<(Extent, Error)> = here
            .filter_map(|(size, copy)| {
                Some((copy, exec::blank(on, world, &dco::map(&copy, size)).err()?))
            })
            .collect();
        for (copy, error) in failed {
            self.env.ui.warn(&format!(
                "a copy of the map of changes is left out: {error}"
            ));
            self.world.evidence.damaged.push(copy);
        }
    }

    /// Marks the whole map of a volume as damaged when the kernel refuses it. Returns the copies
    /// that were trusted until now.
    pub fn invalidate_refused_map(&mut self, failed: &Failed) -> Vec<Extent> {
        let Cause::Device(uuid) = &failed.cause else {
            return Vec::new();
        };
        // The device is the era or one of the devices beneath its metadata.
        let of_the_map = matches!(uuid.role(), Some(Role::Volume | Role::Map | Role::Sink));
        let dco = uuid
            .volume()
            .filter(|_| of_the_map)
            .and_then(|id| self.world.group.volume(id)?.live_dco());
        let mut copies = dco.map(|dco| dco.copies.clone()).unwrap_or_default();
        let known = &mut self.world.evidence.damaged;
        copies.retain(|copy| !known.contains(copy));
        known.extend(&copies);
        copies
    }

    /// Observes what a dry run may find out with the lock: repairs no volume and writes nothing.
    pub fn learn_maps(&mut self, request: &Request) -> Result<()> {
        self.look_for(request)?;
        for need in plan::needs(&self.world, request) {
            if let Need::Changes(snapshots) = need {
                self.list_sides(snapshots);
            }
        }
        Ok(())
    }

    /// Lists the changes of both sides of these snapshots.
    fn list_sides(&mut self, snapshots: &[Name]) {
        for (volume, since) in snapback::needed(&self.world, snapshots) {
            self.list_changes(volume, since);
        }
        // An error here is left to the next step that needs the observation.
        let _ = self.observe();
        self.learn_paces(snapshots);
    }

    /// Measures the disks where so much has changed that a copy of everything may be faster.
    fn learn_paces(&mut self, snapshots: &[Name]) {
        let disks: Vec<DiskId> = snapback::to_measure(&self.world, snapshots)
            .into_iter()
            .filter(|id| self.world.disks.contains_key(id))
            .collect();
        if disks.is_empty() {
            return;
        }
        let found = disks.iter().filter_map(|id| self.world.disks.get(id));
        let paths: Vec<&Path> = found.map(|disk| disk.path.as_path()).collect();
        let paces = self.env.machine.paces(&paths);
        let measured = disks.into_iter().zip(paces);
        let measured = measured.filter_map(|(id, pace)| Some((id, pace?)));
        self.world.evidence.pace = measured.collect();
    }

    fn learn_eras(&mut self) {
        let live = self
            .world
            .group
            .volumes
            .iter()
            .filter(|v| v.running == Some(self.world.boot));
        let tracked: Vec<VolumeId> = live
            .filter(|v| v.live_dco().is_some())
            .map(|v| v.id)
            .collect();
        for id in tracked {
            let uuid = DmUuid::new(self.world.group.id, id, &Role::Volume);
            let era = self
                .era_helper(&uuid)
                .and_then(|mut helper| self.ask_era(helper.as_mut(), Task::Era(0), &uuid));
            // Without the current era the new snapshot counts everything since the map began: more
            // than needed, never less.
            self.world.evidence.map_mut(id).era = era.ok();
        }
    }

    /// Starts the helper that queries an era. Querying dm-era can block on its metadata device.
    /// Never do it while holding the group lock: repairing that device needs the lock.
    fn era_helper(&self, uuid: &DmUuid) -> Result<Box<dyn Helper>> {
        let device = HelperDevice {
            uuid: uuid.clone(),
            mode: SuspendMode::NoFlush,
            links: Links::Hidden,
        };
        self.env.machine.helper(self.world.group.id, &[device])
    }

    fn ask_era(&self, helper: &mut dyn Helper, act: Task, uuid: &DmUuid) -> Result<u32> {
        exec::ask(self.kernel.as_ref(), helper, act, uuid).map_err(|errno| match errno {
            Some(Errno(number)) => Error::io(
                "the map of changes cannot be queried",
                &std::io::Error::from_raw_os_error(number),
            ),
            None => Error::device("a disk of the map of changes has failed"),
        })
    }

    /// Lists, for each returning leg, the changes that its log does not have yet.
    pub(super) fn learn_unlisted(&mut self) {
        let live = self
            .world
            .group
            .volumes
            .iter()
            .filter(|v| v.running == Some(self.world.boot));
        let inexact =
            live.filter_map(|v| v.returning.filter(|r| !r.exact).map(|r| (v.id, r.since)));
        for (id, since) in inexact.collect::<Vec<_>>() {
            self.list_changes(id, since);
            let left = self
                .read_change_log(id)
                .map_err(|error| error.message().to_owned());
            self.world.evidence.map_mut(id).left = Some(left);
        }
    }

    /// Lists the blocks written to a volume since an era, for later plans.
    pub fn list_changes(&mut self, id: VolumeId, since: u32) {
        let listing: Listing = self
            .read_map(id, since)
            .map_err(|error| error.message().to_owned());
        self.world
            .evidence
            .map_mut(id)
            .changed
            .insert(since, listing);
    }

    fn read_map(&mut self, id: VolumeId, since: u32) -> Result<Vec<Range<u64>>> {
        let group = &self.world.group;
        let volume = group
            .volume(id)
            .ok_or_else(|| Error::failed("the volume is not there"))?;
        let path = group.path(&volume.name);
        let (size, group_id) = (volume.size, group.id);
        let uuid = |role| DmUuid::new(group_id, id, &role);
        let missing = || {
            Error::not_ready(format!(
                "'{path}' is not started, or does not track its changes"
            ))
        };
        let device = self
            .kernel
            .device(&uuid(Role::Volume))?
            .ok_or_else(missing)?;
        let map = self.kernel.device(&uuid(Role::Map))?.ok_or_else(missing)?;
        if self.env.machine.takes_discards(device.dev) {
            return Err(Error::device(format!(
                "'{path}' takes discards, which its map may lack"
            )));
        }
        let top = uuid(Role::Volume);
        let writes = self.env.machine.writes(device.dev)?;
        let mut helper = self.era_helper(&top)?;
        // Writes after the listing fall into this era or a later one.
        failpoint::step();
        let next = self.ask_era(helper.as_mut(), Task::Hold(0), &top)?;
        let listed = self.env.machine.written_since(map.dev, since);
        failpoint::step();
        let dropped = self.ask_era(helper.as_mut(), Task::Release(0), &top);
        let blocks = listed?;
        dropped?;
        let map = self.world.evidence.map_mut(id);
        map.listed = Some(map.listed.map_or(next, |listed| listed.min(next)));
        map.writes.get_or_insert(writes);
        let block = dco::block(size).get();
        let sectors = |range: &Range<u64>| {
            range.start.saturating_mul(block)..range.end.saturating_mul(block).min(size.get())
        };
        Ok(ranges::union(blocks.iter().map(sectors)))
    }

    /// Returns the regions that the change log in use does not mark clean, as the kernel has
    /// written it. That may be too many regions, never too few.
    fn read_change_log(&self, id: VolumeId) -> Result<Vec<Range<u64>>> {
        let missing = || Error::device("the log of what has changed cannot be read");
        let volume = self.world.group.volume(id).ok_or_else(missing)?;
        let (returning, extent) = stack::change_log(volume).ok_or_else(missing)?;
        let (disk, present) = self
            .world
            .group
            .disk(extent.disk)
            .zip(self.world.disks.get(&extent.disk))
            .ok_or_else(missing)?;
        let media = self.env.machine.media(&present.path, Access::ReadOnly)?;
        let mut image = vec![0; usize::try_from(extent.length.bytes()).map_err(|_| missing())?];
        let start: Sectors = disk.data_start.saturating_add(extent.start);
        media
            .read_at(start.bytes(), &mut image)
            .map_err(|err| Error::io("cannot read the log of what has changed", &err))?;
        log::dirty(&image, volume.size, returning.region).ok_or_else(missing)
    }
}
