//! The transition from the state of the kernel to the state that a configuration asks for. Every
//! verb, start, stop and recovery uses this one procedure. It starts from what is observed, so the
//! leftovers of an interrupted command are just another starting point.

use super::evidence::Situation;
use super::refusal::{Devices, InGroup, Refusal, Result, Volumes};
use super::step::{Finish, Plan, Prepare};
use super::world::World;
use crate::model::{Dco, DiskId, DmName, DmUuid, Extent, Group, Role, Sectors, Volume, VolumeId};
use crate::table::stack::{Device, LegOf, formatter, mirror_roles, stack};
use crate::table::{DevRef, DmDevice, ERROR, Links, SuspendMode, Table, dco, same_mapping};
use std::collections::BTreeSet;

/// What a verb requires of the transition in addition to the new configuration.
#[derive(Debug, Clone, Default)]
pub struct Terms {
    /// Volumes of which a snapshot is taken. Their filesystems are frozen as far as possible.
    pub freeze: Vec<VolumeId>,
    /// Plexes that must be equal to their volume at the instant of the commit: the volume, and plex
    /// numbers of the configuration in force.
    pub equal: Vec<(VolumeId, Vec<u16>)>,
}

/// Adds to the plan all steps that bring the devices of these volumes to what `plan.group` asks
/// for.
pub fn steps(
    world: &Situation,
    plan: &mut Plan,
    volumes: &[VolumeId],
    terms: &Terms,
) -> Result<()> {
    let mut suspend = Vec::new();
    let mut diffs = Vec::new();
    for id in volumes {
        let diff = Diff::of(world, &plan.group, *id, false)?;
        diff.refuse_unknown(&plan.group)?;
        diffs.push(diff);
    }
    format_once(&plan.group, &mut diffs);
    for diff in diffs {
        if terms.freeze.contains(&diff.id) && world.evidence.unfrozen(diff.id).is_none() {
            plan.window
                .frozen
                .push(DmUuid::new(world.group.id, diff.id, &Role::Volume));
        }
        diff.add(world, plan, terms, &mut suspend)?;
    }
    // All volumes are suspended before the first is resumed.
    plan.window.suspend.extend(suspend);
    Ok(())
}

/// Has one new map of each size formatted, the first one, and copied to the maps of all other
/// volumes of that size: nothing is in any of them. It is copied before any table reads it.
fn format_once(new: &Group, diffs: &mut [Diff<'_>]) {
    let mut formatted: Vec<(Sectors, usize, Extent)> = Vec::new();
    for at in 0..diffs.len() {
        let volume = new
            .volume(diffs[at].id)
            .filter(|_| !diffs[at].formatter.is_empty());
        let Some((size, dco)) = volume.and_then(|v| Some((v.size, v.live_dco()?))) else {
            continue;
        };
        let mut maps = dco.copies.iter().map(|copy| dco::map(copy, size));
        let known = formatted.iter().find(|(other, ..)| *other == size).copied();
        let Some((_, first, from)) = known else {
            formatted.extend(maps.next().map(|map| (size, at, map)));
            continue;
        };
        diffs[at].blank = None;
        diffs[at].copy = None;
        diffs[at].formatter.clear();
        let to = Vec::new();
        let copy = diffs[first]
            .copy
            .get_or_insert(Prepare::CopyMap { from, to });
        if let Prepare::CopyMap { to, .. } = copy {
            to.extend(maps);
        }
    }
}

/// Adds the steps that bring these volumes to the configuration already in force. A volume for
/// which that is impossible is left as it is, with the reason in the failures of the plan; the
/// other volumes are not affected.
pub fn recorded(world: &World, plan: &mut Plan, volumes: &[VolumeId]) {
    let group = plan.group.clone();
    let (mut diffs, mut waiting) = (Vec::new(), Vec::new());
    for id in volumes {
        let diff = Diff::of(world, &group, *id, true);
        match diff.and_then(|diff| {
            diff.refuse_unknown(&group)
                .and_then(|()| diff.refuse_taken_names(world))
                .map(|()| diff)
        }) {
            Ok(diff) => diffs.push(diff),
            Err(refusal) => waiting.push((*id, refusal)),
        }
    }
    // A volume that is left as it is may still write to space that a split has given to its
    // snapshot (or the reverse). The related volume is not activated meanwhile.
    let writes = |id: VolumeId| {
        let maps = |d: &DmDevice| d.table.iter().any(|line| line.target != ERROR);
        world.devices_of(id).any(maps)
    };
    let original = |id: VolumeId| {
        group
            .volume(id)
            .and_then(|v| v.origin.as_ref())
            .map(|o| o.original)
    };
    let writing: Vec<VolumeId> = waiting
        .iter()
        .map(|(id, _)| *id)
        .filter(|id| writes(*id))
        .collect();
    let waits = |diff: &Diff<'_>| {
        let is_related = |other: &&VolumeId| {
            original(diff.id) == Some(**other) || original(**other) == Some(diff.id)
        };
        diff.has_steps() && writing.iter().any(|other| is_related(&other))
    };
    let mut suspend = Vec::new();
    for diff in diffs.iter().filter(|diff| !waits(diff)) {
        if let Err(refusal) = diff.add(world, plan, &Terms::default(), &mut suspend) {
            plan.failures.push(refusal);
        }
    }
    plan.window.suspend.extend(suspend);
    plan.failures
        .extend(waiting.into_iter().map(|(_, refusal)| refusal));
}

/// Adds the checks of a volume that are made while it is suspended: that the plexes which the verb
/// names are equal to the volume, and that complete plexes recorded as in sync still are, because
/// the next table relies on that (`nosync`).
fn checks(world: &World, plan: &mut Plan, id: VolumeId, terms: &Terms) -> Result<()> {
    let Some(volume) = world.group.volume(id) else {
        return Ok(());
    };
    let named: Vec<u16> = terms
        .equal
        .iter()
        .filter(|(of, _)| *of == id)
        .flat_map(|(_, plexes)| plexes.clone())
        .collect();
    let holds = |legs: &[LegOf]| {
        legs.iter()
            .any(|leg| matches!(leg, LegOf::Plex(number) if named.contains(number)))
    };
    for (role, legs, attaching) in mirror_roles(volume)? {
        if holds(&legs) || (!attaching && volume.is_synced()) {
            plan.window
                .check
                .push(DmUuid::new(world.group.id, id, &role));
        }
    }
    Ok(())
}

/// The links that udev may create for a device of this volume.
pub fn links(volume: &Volume, role: &Role) -> Links {
    match role {
        Role::Volume if volume.copied => Links::NoContent,
        Role::Volume => Links::All,
        Role::Plex(_)
        | Role::Log
        | Role::Layer(_)
        | Role::Data
        | Role::Map
        | Role::Sink
        | Role::Changes(_)
        | Role::Formatter => Links::Hidden,
    }
}

/// A device of the configuration, compared with the kernel.
struct Wanted {
    device: Device,
    links: Links,
    /// The device as it is in the kernel; `None` if it does not exist.
    now: Option<DmDevice>,
    exists: bool,
    changed: bool,
    /// Whether the volume's own device is live.
    live_top: bool,
    /// The missing disks in its table whose device number is not known, so that the live table
    /// cannot be compared.
    unknown: Vec<DiskId>,
}

/// The difference between the kernel and the configuration for one volume.
struct Diff<'a> {
    id: VolumeId,
    wanted: Vec<Wanted>,
    gone: Vec<&'a DmDevice>,
    live_top: bool,
    /// If a new map has to be formatted: the step that blanks its first copy. The devices of `formatter`
    /// do the rest, the map's own and above it one for the formatting alone.
    blank: Option<Prepare>,
    formatter: Vec<Device>,
    /// The step that makes all copies of a map identical, which comes before any use of the map.
    copy: Option<Prepare>,
    /// Whether the configuration is already in force.
    recorded: bool,
    /// Whether tracking of the volume ends. Nothing may stop that, because the space of the map is
    /// released with it.
    ends: bool,
}

/// The step that copies the first copy of a map to the others.
fn copies_made_equal(volume: &Volume, dco: &Dco) -> Option<Prepare> {
    let mut maps = dco.copies.iter().map(|copy| dco::map(copy, volume.size));
    let (from, to) = (maps.next()?, maps.collect::<Vec<_>>());
    (!to.is_empty()).then_some(Prepare::CopyMap { from, to })
}

impl<'a> Diff<'a> {
    fn of(world: &'a World, new: &Group, id: VolumeId, recorded: bool) -> Result<Diff<'a>> {
        let running = new.volume(id).filter(|v| v.running == Some(world.boot));
        let expected = running
            .map(|v| stack(new, v))
            .transpose()?
            .unwrap_or_default();
        let uuids: BTreeSet<&DmUuid> = expected.iter().map(|d| &d.uuid).collect();
        // A retired device that only waits to be closed needs no further step.
        let needless = |d: &&DmDevice| !uuids.contains(&d.uuid) && !d.waits_to_be_closed();
        let mut gone: Vec<&DmDevice> = world.devices_of(id).filter(needless).collect();
        gone.sort_by_key(|d| rank(&d.uuid));
        let top = DmUuid::new(new.id, id, &Role::Volume);
        let live_top = world.devices.get(&top).is_some_and(|d| !d.table.is_empty());
        let wanted = match running {
            Some(volume) => expected
                .into_iter()
                .map(|device| wanted(world, new, volume, (device, live_top)))
                .collect::<Result<_>>()?,
            None => Vec::new(),
        };
        let mut before = world.group.volume(id).into_iter();
        let was_tracked = before.any(|v| v.live_dco().is_some());
        let tracked = running.and_then(|v| Some((v, v.live_dco()?)));
        let copy = tracked.and_then(|(v, dco)| copies_made_equal(v, dco));
        let new_map = tracked.filter(|_| !was_tracked);
        // The other copies are blank while they are made equal to the first one.
        let blank = new_map.map(|(v, dco)| {
            let first = dco.copies.iter().take(1);
            Prepare::Blank(first.map(|copy| dco::map(copy, v.size)).collect())
        });
        let formatter = new_map
            .map(|(v, dco)| formatter(new, v, dco))
            .transpose()?
            .unwrap_or_default();
        let ends = was_tracked && running.is_some() && tracked.is_none();
        Ok(Diff {
            id,
            wanted,
            gone,
            live_top,
            blank,
            formatter,
            copy,
            recorded,
            ends,
        })
    }

    /// Adds the steps to the plan. The suspends go into `suspend`, where those of all volumes are
    /// collected.
    fn add(
        &self,
        world: &World,
        plan: &mut Plan,
        terms: &Terms,
        suspend: &mut Vec<(DmUuid, SuspendMode)>,
    ) -> Result<()> {
        self.refuse_taken_names(world)?;
        self.refuse_occupied(world)?;
        self.prepare(plan);
        let before = (suspend.len(), plan.window.resume.len());
        self.window(terms.freeze.contains(&self.id), suspend, plan);
        self.finish(plan);
        if (suspend.len(), plan.window.resume.len()) != before {
            let mirrors: Vec<DmUuid> = world
                .devices_of(self.id)
                .filter(|d| d.mirror.is_some())
                .map(|d| d.uuid.clone())
                .collect();
            plan.window.alive.extend(
                mirrors
                    .into_iter()
                    .filter(|uuid| !plan.window.alive.contains(uuid))
                    .collect::<Vec<_>>(),
            );
            if !self.recorded && plan.group != world.group {
                checks(world, plan, self.id, terms)?;
            }
        }
        Ok(())
    }

    /// Whether any device or table of the volume has to change.
    fn has_steps(&self) -> bool {
        let settled = |w: &Wanted| w.exists && !w.changed && !w.suspended() && !w.stale_inactive();
        !self.gone.is_empty() || !self.wanted.iter().all(settled)
    }

    /// Refuses to change devices on missing disks whose numbers are unknown, and to take such
    /// devices for what is recorded. A verb that does not change the volume is not refused.
    /// Tracking can always end, with errors in place of what is lost.
    fn refuse_unknown(&self, new: &Group) -> Result<()> {
        let mut unknown: Vec<DiskId> = self.wanted.iter().flat_map(|w| w.unknown.clone()).collect();
        unknown.sort_unstable();
        unknown.dedup();
        let Some(volume) = new.volume(self.id).filter(|_| !unknown.is_empty()) else {
            return Ok(());
        };
        if !self.recorded && (self.ends || !self.has_steps()) {
            return Ok(());
        }
        Err(missing(new, volume, &unknown))
    }

    /// Refuses a device name that a device outside this volume already has.
    fn refuse_taken_names(&self, world: &World) -> Result<()> {
        let ours = |name: &DmName| world.devices_of(self.id).any(|d| d.name == *name);
        let new_names = self.wanted.iter().map(|w| &w.device.name);
        match new_names
            .into_iter()
            .find(|name| world.taken_names.contains(*name) && !ours(name))
        {
            Some(name) => Err(Devices::NameTaken { name: name.clone() }.into()),
            None => Ok(()),
        }
    }

    /// Refuses a new device whose UUID belongs to an old device that another process still has
    /// open. The old device must not become the new one. Devices that the configuration in force
    /// already uses are not new, and pass.
    fn refuse_occupied(&self, world: &World) -> Result<()> {
        let old = world
            .group
            .volume(self.id)
            .filter(|v| v.running == Some(world.boot));
        let old = old
            .map(|v| stack(&world.group, v))
            .transpose()?
            .unwrap_or_default();
        let new = self
            .wanted
            .iter()
            .map(|w| &w.device)
            .filter(|new| !old.iter().any(|d| d.uuid == new.uuid));
        match new
            .filter(|new| new.role != Role::Volume)
            .find_map(|new| Some((new, world.occupied(self.id, &new.role)?)))
        {
            None => Ok(()),
            Some((new, held)) => Err(Devices::Occupied {
                new: new.name.clone(),
                held: held.name.clone(),
                uuid: held.uuid.clone(),
            }
            .into()),
        }
    }

    fn prepare(&self, plan: &mut Plan) {
        if self.wanted.is_empty() {
            for device in &self.gone {
                if !device.suspended && is_era(device) {
                    plan.prepare.push(Prepare::EndEra(device.uuid.clone()));
                }
                let uuid = device.uuid.clone();
                plan.prepare.push(if uuid.is_volume() {
                    Prepare::Remove(uuid)
                } else {
                    Prepare::Retire(uuid)
                });
            }
            return;
        }
        for w in &self.wanted {
            let uuid = w.device.uuid.clone();
            // A map that is there although it should be new is not taken for one: the kernel refuses
            // to make it a second time.
            if w.device.role == Role::Map && (!w.exists || !self.formatter.is_empty()) {
                self.format(plan);
            }
            let exists_by_now = self.formatter.iter().any(|device| device.uuid == uuid);
            if !w.exists && !exists_by_now {
                plan.prepare.push(Prepare::Create {
                    name: w.device.name.clone(),
                    uuid: uuid.clone(),
                });
            }
            if w.changed {
                plan.prepare.push(self.load(&uuid, &w.device.table));
            } else if w.stale_inactive() && w.suspended() {
                plan.prepare.push(Prepare::Clear(uuid.clone()));
            }
            if w.fresh() && w.is_leaf() {
                plan.prepare.push(Prepare::Activate(uuid));
            }
        }
    }

    fn load(&self, uuid: &DmUuid, table: &Table) -> Prepare {
        Prepare::Load {
            uuid: uuid.clone(),
            volume: self.id,
            table: table.clone(),
            forgo: self.recorded || self.ends,
        }
    }

    /// Lets the kernel format a new map, to its full size, before the window: nothing is left to do
    /// in the window then, and a table reads its map when it is loaded (K16).
    fn format(&self, plan: &mut Plan) {
        plan.prepare.extend(self.blank.iter().cloned());
        for Device {
            name, uuid, table, ..
        } in self.formatter.clone()
        {
            plan.prepare.push(Prepare::Create {
                name,
                uuid: uuid.clone(),
            });
            plan.prepare.push(self.load(&uuid, &table));
            plan.prepare.push(Prepare::Activate(uuid));
        }
        let for_format_only = |device: &&Device| device.role == Role::Formatter;
        let done = self.formatter.iter().filter(for_format_only);
        plan.prepare
            .extend(done.map(|device| Prepare::Remove(device.uuid.clone())));
        plan.prepare.extend(self.copy.clone());
    }

    /// Without a freeze the suspend does not flush. If a leg fails at that moment, the writes held
    /// for it are issued again (K2).
    ///
    /// Suspends from the top down, resumes from the bottom up (K19). A mirror that is removed is
    /// suspended too, and stays suspended until then, because two live tables must not have the
    /// same log.
    fn window(&self, freeze: bool, suspend: &mut Vec<(DmUuid, SuspendMode)>, plan: &mut Plan) {
        if !self.live_top {
            return;
        }
        let swapped = |w: &&Wanted| w.changed && !w.fresh();
        let frozen = |w: &&Wanted| freeze && w.device.role == Role::Volume;
        // A snapshot that gives up only some of its plexes was suspended by `Prepare::Unwritten`,
        // and is resumed afterwards.
        let quiet = |w: &&Wanted| {
            plan.prepare
                .iter()
                .any(|p| matches!(p, Prepare::Unwritten { uuid, .. } if *uuid == w.device.uuid))
        };
        let goes_down = self
            .wanted
            .iter()
            .filter(|w| swapped(w) || frozen(w) || quiet(w));
        let mut down: Vec<DmUuid> = goes_down.map(|w| w.device.uuid.clone()).collect();
        if !self.wanted.is_empty() {
            // When tracking ends, the map is not suspended: the suspend of the era still writes to
            // it (K7). A map has no log that could be live twice.
            let map = |d: &&&DmDevice| d.uuid.role() == Some(Role::Map);
            down.extend(
                self.gone
                    .iter()
                    .filter(|d| d.mirror.is_some() && !map(d))
                    .map(|d| d.uuid.clone()),
            );
        }
        down.sort_by_key(rank);
        let mode = |uuid: &DmUuid| {
            if freeze && uuid.is_volume() {
                SuspendMode::Freeze
            } else {
                SuspendMode::NoFlush
            }
        };
        suspend.extend(down.iter().map(|uuid| (uuid.clone(), mode(uuid))));
        let up = self.wanted.iter().filter(|w| {
            let new_mirror = w.fresh() && w.device.table.is_mirror() && !w.is_leaf();
            new_mirror || down.contains(&w.device.uuid) || w.suspended()
        });
        plan.window
            .resume
            .extend(up.map(|w| (w.device.uuid.clone(), w.links)));
        let maps = self.wanted.iter().filter(|w| w.device.role == Role::Map);
        plan.window
            .alive
            .extend(maps.map(|w| w.device.uuid.clone()));
        let was_era = |w: &Wanted| w.now.as_ref().is_some_and(is_era);
        let tracked = self
            .wanted
            .iter()
            .filter(|w| w.device.table.is_era() || was_era(w));
        plan.window
            .tracked
            .extend(tracked.map(|w| w.device.uuid.clone()));
    }

    fn finish(&self, plan: &mut Plan) {
        if self.wanted.is_empty() {
            return;
        }
        if !self.live_top {
            let asleep = self
                .wanted
                .iter()
                .filter(|w| (w.changed && !(w.fresh() && w.is_leaf())) || w.suspended());
            plan.finish.extend(asleep.map(|w| {
                let tracked = w.device.table.is_era();
                Finish::Activate {
                    uuid: w.device.uuid.clone(),
                    links: w.links,
                    tracked,
                }
            }));
        }
        let left_behind = self
            .wanted
            .iter()
            .filter(|w| !w.changed && w.stale_inactive() && !w.suspended());
        plan.finish
            .extend(left_behind.map(|w| Finish::Clear(w.device.uuid.clone())));
        for w in &self.wanted {
            if w.now.as_ref().is_some_and(|now| now.name != w.device.name) {
                plan.finish.push(Finish::Rename {
                    uuid: w.device.uuid.clone(),
                    to: w.device.name.clone(),
                });
            }
        }
        plan.finish
            .extend(self.gone.iter().map(|d| Finish::Retire(d.uuid.clone())));
    }
}

impl Wanted {
    /// Whether the device has no live table yet, or an `error` table from a command that retired it
    /// and was not committed. Below a live volume an `error` table stands for missing space, and is
    /// in use.
    fn fresh(&self) -> bool {
        self.now.as_ref().is_none_or(|now| {
            if self.live_top {
                now.table.is_empty()
            } else {
                now.is_retired()
            }
        })
    }

    /// Whether this is an inner device directly on the disks. Making it live before the window does
    /// no harm. A mirror's log and an era's map have to be live by then, because the load of the
    /// table above reads them (K16, K22).
    fn is_leaf(&self) -> bool {
        match self.device.role {
            Role::Plex(_) | Role::Log | Role::Changes(_) | Role::Sink | Role::Map => true,
            Role::Data => !self.device.table.is_mirror(),
            Role::Layer(_) | Role::Volume | Role::Formatter => false,
        }
    }

    fn suspended(&self) -> bool {
        self.now
            .as_ref()
            .is_some_and(|now| now.suspended && !now.table.is_empty())
    }

    fn stale_inactive(&self) -> bool {
        self.now.as_ref().is_some_and(|now| now.has_inactive)
    }
}

fn is_era(device: &DmDevice) -> bool {
    device.table.iter().any(|line| line.target == "era")
}

fn wanted(
    world: &World,
    group: &Group,
    volume: &Volume,
    (device, live_top): (Device, bool),
) -> Result<Wanted> {
    let now = world.devices.get(&device.uuid).cloned();
    let live = now.as_ref().map(|d| d.table.as_slice()).unwrap_or_default();
    let rendered = device
        .table
        .render(&|what| number(world, group, volume, what));
    let mut unknown = device.table.disks();
    unknown.retain(|id| rendered.is_none() && world.number(*id).is_none());
    let changed = match &rendered {
        Some(lines) => !same_mapping(lines, live),
        // The table refers to a device that does not exist yet.
        None if unknown.is_empty() => true,
        None => live.is_empty() || !is_as_before(world, &device)?,
    };
    Ok(Wanted {
        links: links(volume, &device.role),
        exists: now.is_some(),
        now,
        changed,
        live_top,
        unknown,
        device,
    })
}

/// Whether the configuration in force asks for the same table of this device.
fn is_as_before(world: &World, device: &Device) -> Result<bool> {
    let volume = device.uuid.volume().and_then(|id| world.group.volume(id));
    let before = volume
        .map(|volume| stack(&world.group, volume))
        .transpose()?
        .unwrap_or_default();
    Ok(before
        .iter()
        .any(|old| old.uuid == device.uuid && old.table == device.table))
}

fn number(world: &World, group: &Group, volume: &Volume, what: &DevRef) -> Option<String> {
    let dev = match what {
        DevRef::Disk(id) => world.number(*id)?,
        DevRef::Device(role) => {
            world
                .devices
                .get(&DmUuid::new(group.id, volume.id, role))?
                .dev
        }
    };
    Some(dev.to_string())
}

/// The refusal for a volume that lies on these missing disks.
pub fn missing(group: &Group, volume: &Volume, disks: &[DiskId]) -> Refusal {
    let known = disks.iter().filter_map(|id| group.disk(*id));
    Volumes::DisksMissing {
        volume: InGroup::new(&group.name, &volume.name),
        disks: known.map(|d| d.media.clone()).collect(),
    }
    .into()
}

/// A sort key that orders devices from the top down: the volume, its layers from the highest, then
/// the devices below them.
pub fn rank(uuid: &DmUuid) -> (u8, u8) {
    match uuid.role() {
        Some(Role::Volume | Role::Formatter) => (0, 0),
        Some(Role::Data) => (1, 0),
        Some(Role::Layer(level)) => (2, u8::MAX - level),
        Some(Role::Plex(_)) => (3, 0),
        Some(Role::Map) => (4, 0),
        Some(Role::Log | Role::Changes(_) | Role::Sink) | None => (5, 0),
    }
}
