//! A plan under construction. The verbs change its configuration; the draft allocates space and
//! names, and computes the steps at the end.

use super::change::{Change, Event};
use super::evidence::Situation;
use super::refusal::{Bug, Disks, NoHelp, Refusal, Result, Room, Space, Verb, Volumes};
use super::relations;
use super::request::Placement;
use super::step::{Plan, Prepare};
use super::transition::{self, Terms};
use crate::advice::Hint;
use crate::model::space::{Free, Wish};
use crate::model::volume::MAX_PLEXES;
use crate::model::{
    DiskId, DmUuid, Extent, Group, Lanes, Log, Name, Plex, PlexState, Role, SectorSize, Sectors,
    Volume, VolumeId, check, distinct,
};
use crate::table::log;
use crate::table::stack::stack;
use std::collections::BTreeSet;

/// Whether two plexes of one volume may share a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// They may not.
    Never,
    /// They may if the user named disks and there is no other space on these.
    WhenNamed,
}

/// A plan under construction: the observation, the new configuration, and the space that is still
/// free.
pub struct Draft<'w> {
    /// The observation that the plan starts from. It does not change.
    pub world: &'w Situation,
    /// The plan so far. Its group is the new configuration.
    pub plan: Plan,
    pub(super) free: Free,
    /// In the order in which they were touched.
    touched: Vec<VolumeId>,
    /// The same, to be found quickly.
    is_touched: BTreeSet<VolumeId>,
    terms: Terms,
}

impl<'w> Draft<'w> {
    /// Starts from the configuration in force.
    pub fn new(world: &'w Situation) -> Draft<'w> {
        let mut free = Free::of(&world.group, |disk| world.disks.contains_key(&disk));
        world
            .evidence
            .damaged
            .iter()
            .for_each(|extent| free.keep_off(extent));
        // A device that is no longer needed but could not be taken out of use may still map space
        // that is otherwise free. A process that has it open could write there, so that space is
        // not allocated.
        world
            .devices
            .values()
            .flat_map(|device| world.mapped(device))
            .for_each(|extent| free.keep_off(&extent));
        Draft {
            world,
            plan: Plan::nothing(world.group.clone()),
            free,
            touched: Vec::new(),
            is_touched: BTreeSet::new(),
            terms: Terms::default(),
        }
    }

    /// The volume with this name, as it was observed.
    pub fn volume(&self, name: &Name) -> Result<&'w Volume> {
        Ok(self.world.group.volume_named(name)?)
    }

    /// The volume in the new configuration, to be changed. [`Draft::finish`] adds the steps that
    /// adapt its devices.
    pub fn touch(&mut self, id: VolumeId) -> Result<&mut Volume> {
        self.mark(id);
        let group = self.plan.group.name.clone();
        self.plan
            .group
            .volume_mut(id)
            .ok_or_else(|| Bug::LostWhilePlanning { group }.into())
    }

    /// Has [`Draft::finish`] adapt the devices of a volume.
    fn mark(&mut self, id: VolumeId) {
        if self.is_touched.insert(id) {
            self.touched.push(id);
        }
    }

    /// Adds a new volume.
    pub fn add(&mut self, volume: Volume) {
        self.mark(volume.id);
        self.plan.group.volumes.push(volume);
    }

    /// Removes a volume. Its devices are removed too.
    pub fn drop_volume(&mut self, id: VolumeId) {
        self.mark(id);
        self.plan.group.volumes.retain(|v| v.id != id);
    }

    /// Adds a change of a volume to the report.
    pub fn say(&mut self, volume: &Name, event: Event) {
        let change = Change::volume(&self.world.group.name, volume, event);
        self.plan.changes.push(change);
    }

    /// Adds a change of a disk to the report.
    pub fn say_of_disk(&mut self, media: &Name, event: Event) {
        let change = Change::disk(&self.world.group.name, media, event);
        self.plan.changes.push(change);
    }

    /// Adds a message that is printed before anything is changed.
    pub fn announce(&mut self, text: impl Into<String>) {
        self.plan.announced.push(text.into());
    }

    /// Adds a message on what to know or to do next.
    pub fn note(&mut self, text: impl Into<Hint>) {
        self.plan.notes.push(text.into());
    }

    /// Records that one of several independent parts of the request is left out, and why.
    pub fn fail(&mut self, refusal: Refusal) {
        self.plan.failures.push(refusal);
    }

    /// Requires that the volume's filesystem is frozen, and that these plexes are proven equal, at
    /// the instant of the commit.
    pub fn split_terms(&mut self, id: VolumeId, plexes: Vec<u16>) {
        self.terms.freeze.push(id);
        self.terms.equal.push((id, plexes));
    }

    /// Requires that these plexes are proven equal at the instant of the commit, if anything is
    /// suspended at all.
    pub fn equal_terms(&mut self, id: VolumeId, plexes: Vec<u16>) {
        self.terms.equal.push((id, plexes));
    }

    /// Decides in how many lanes the legs of a volume are filled: in those that were asked for or, by
    /// default, in as many as suit it. Where the same legs are being filled already this changes
    /// nothing: their copy would begin again. `together` is the number of volumes in the request.
    pub fn choose_lanes(
        &mut self,
        id: VolumeId,
        asked: Option<Lanes>,
        together: usize,
    ) -> Result<()> {
        let volume = self.touch(id)?.clone();
        let (legs, complete) = (volume.attaching(), volume.complete());
        let numbers = |legs: &[&Plex]| -> Vec<u16> { legs.iter().map(|leg| leg.number).collect() };
        let before = self.world.group.volume(id).map(Volume::attaching);
        let is_same = before.is_some_and(|before| numbers(&before) == numbers(&legs));
        if legs.is_empty() || is_same {
            return Ok(());
        }
        let suited = || {
            let source = complete.first().copied();
            let suited = lanes_for(self.world, volume.size, &legs, source);
            suited.among(together, self.lanes_in_use())
        };
        self.touch(id)?.lanes = asked.unwrap_or_else(suited);
        Ok(())
    }

    /// The lanes in which legs of this group were being filled before.
    fn lanes_in_use(&self) -> u64 {
        let filling = |volume: &&Volume| volume.plexes.iter().any(|plex| plex.state.is_attaching());
        let volumes = self.world.group.volumes.iter().filter(filling);
        volumes.map(|volume| volume.lanes.get()).sum()
    }

    /// `g/v` for messages.
    pub fn path(&self, volume: &Name) -> String {
        self.world.group.path(volume)
    }

    /// Refuses a name that is in use, collides with the name of an inner device, or is too long for
    /// device-mapper.
    pub fn check_new_name(&self, name: &Name) -> Result<()> {
        let group = &self.plan.group;
        crate::model::DmName::volume(&group.name, name)?;
        if group.volumes.iter().any(|v| v.name == *name) {
            return Err(Volumes::NameTaken {
                volume: self.world.named(name),
                by_pattern: false,
            }
            .into());
        }
        let mut volumes = group.volumes.iter();
        match volumes.find(|v| crate::model::device::names_collide(&v.name, name)) {
            Some(other) => Err(Volumes::NameCollides {
                volume: self.world.named(name),
                other: other.name.clone(),
            }
            .into()),
            None => Ok(()),
        }
    }

    /// Refuses a volume that is not started.
    pub fn require_started(&self, volume: &Volume) -> Result<()> {
        if self.is_live(volume) {
            return Ok(());
        }
        let volume = self.world.named(&volume.name);
        Err(Volumes::NotStarted { volume }.into())
    }

    /// Whether the volume is recorded as started in this boot and its device is there.
    pub fn is_live(&self, volume: &Volume) -> bool {
        volume.running == Some(self.world.boot) && self.device(volume).is_some()
    }

    /// The volume's own device.
    pub fn device(&self, volume: &Volume) -> Option<&'w crate::table::DmDevice> {
        self.world
            .devices
            .get(&DmUuid::new(self.world.group.id, volume.id, &Role::Volume))
    }

    /// Refuses a volume that a process has open.
    pub fn require_closed(&self, volume: &Volume, verb: Verb) -> Result<()> {
        match self.device(volume).map_or(0, |d| d.open_count) {
            0 => Ok(()),
            _ => Err(Volumes::Open {
                id: volume.id,
                volume: self.world.named(&volume.name),
                verb,
            }
            .into()),
        }
    }

    /// Allocates `length` for a new plex of the volume, on disks that hold no other plex of it. Disks
    /// that are named are used in their order, those of the volume's sector size first; else those without plexes of other volumes are
    /// preferred. `sharing` decides what to do if there are none.
    pub fn allocate_plex(
        &mut self,
        volume: &Volume,
        length: Sectors,
        placement: &Placement,
        sharing: Sharing,
    ) -> Result<Vec<Extent>> {
        let apart: BTreeSet<DiskId> = volume
            .plexes
            .iter()
            .flat_map(|p| &p.subdisks)
            .map(|s| s.disk)
            .collect();
        let data = self.plan.group.volumes.iter().filter(|v| v.id != volume.id);
        let others: BTreeSet<DiskId> = data
            .flat_map(|v| v.plexes.iter().flat_map(|p| &p.subdisks))
            .map(|s| s.disk)
            .collect();
        let mut wish = self.plex_wish(volume, length, placement)?;
        wish.avoid.extend(&apart);
        if placement.on.is_empty() {
            wish.reluctantly.extend(others);
        }
        if let Some(space) = self.free.take(&wish) {
            return Ok(space);
        }
        if sharing == Sharing::WhenNamed && !placement.on.is_empty() {
            let wish = Wish {
                reluctantly: apart.clone(),
                ..self.plex_wish(volume, length, placement)?
            };
            if let Some(space) = self.free.take(&wish) {
                self.note(format!("the new plex of '{}' shares a disk with another plex of it, because the disks were named", volume.name));
                return Ok(space);
            }
        }
        let unfit = self.unfit(volume);
        let room = if !unfit.is_empty() {
            Room::PlexOfSmallSectors
        } else if sharing == Sharing::WhenNamed && !apart.is_empty() {
            Room::PlexApart
        } else {
            Room::Plex
        };
        Err(self.no_room(volume, (room, length), placement, &apart, &unfit))
    }

    fn wish(&self, length: Sectors, placement: &Placement) -> Result<Wish> {
        let id = |media: &Name| Ok(self.world.group.disk_named(media)?.id);
        let on = placement.on.iter().map(id).collect::<Result<Vec<_>>>()?;
        let avoid = placement
            .avoid
            .iter()
            .map(id)
            .collect::<Result<BTreeSet<_>>>()?;
        if let Some(missing) = placement
            .on
            .iter()
            .zip(&on)
            .find(|(_, id)| !self.world.disks.contains_key(id))
        {
            let disk = missing.0.clone();
            return Err(Disks::Missing { disk }.into());
        }
        Ok(Wish {
            length,
            on,
            avoid,
            ..Wish::default()
        })
    }

    /// The constraints on space for a plex: never on a disk with larger sectors than the volume's,
    /// and preferably on disks with the same.
    fn plex_wish(&self, volume: &Volume, length: Sectors, placement: &Placement) -> Result<Wish> {
        let mut wish = self.wish(length, placement)?;
        let unfit = self.unfit(volume);
        if !wish.on.is_empty() && wish.on.iter().all(|id| unfit.contains(id)) {
            self.world
                .refuse_larger_sectors(volume, wish.on.iter().copied())?;
        }
        wish.avoid.extend(unfit);
        wish.reluctantly = self.other_sectors(volume);
        Ok(wish)
    }

    /// The disks that no plex of a volume may lie on, because their sectors are too large (K43).
    fn unfit(&self, volume: &Volume) -> BTreeSet<DiskId> {
        self.world.with_larger_sectors(self.sector_limit(volume))
    }

    /// The largest sectors that the disks of a volume's plexes may have. A volume that is being
    /// created has no limit unless one was requested.
    fn sector_limit(&self, volume: &Volume) -> Option<SectorSize> {
        self.world
            .group
            .volume(volume.id)
            .map_or(volume.sector_size, |known| self.world.sector_limit(known))
    }

    /// The disks whose sector size differs from that of the volume's plexes or, if it has none yet,
    /// from the requested one. Avoiding them makes the plexes of a volume alike and, where there is
    /// space, lets a new volume show the requested sectors from the beginning.
    fn other_sectors(&self, volume: &Volume) -> BTreeSet<DiskId> {
        let world = self.world;
        let Some(preferred) = world.largest_sectors(&volume.plexes).or(volume.sector_size) else {
            return BTreeSet::new();
        };
        world
            .disks
            .keys()
            .copied()
            .filter(|disk| world.sectors_of(*disk) != Some(preferred))
            .collect()
    }

    /// The refusal for lack of space, with the reason for each disk of the group.
    fn no_room(
        &self,
        volume: &Volume,
        (room, length): (Room, Sectors),
        placement: &Placement,
        apart: &BTreeSet<DiskId>,
        unfit: &BTreeSet<DiskId>,
    ) -> Refusal {
        let reason = |disk: &crate::model::Disk| {
            let (media, free) = (&disk.media, self.free.on(disk.id));
            let larger = self.world.sectors_of(disk.id);
            if !self.world.disks.contains_key(&disk.id) {
                NoHelp::Missing
            } else if placement.avoid.contains(media)
                || !(placement.on.is_empty() || placement.on.contains(media))
            {
                NoHelp::Excluded
            } else if let Some(sectors) = larger.filter(|_| unfit.contains(&disk.id)) {
                NoHelp::LargerSectors(free, sectors)
            } else if apart.contains(&disk.id) {
                NoHelp::HoldsPlex(free)
            } else {
                NoHelp::Full(free)
            }
        };
        let disks = self.world.group.disks.iter();
        Space::NoRoom {
            volume: self.world.named(&volume.name),
            room,
            length,
            disks: disks
                .map(|disk| (disk.media.clone(), reason(disk)))
                .collect(),
        }
        .into()
    }

    /// Extends one plex: behind its last subdisk where that is free, otherwise elsewhere on its own
    /// disks, and only then on other disks, which must hold no other plex of the volume.
    pub fn extend_plex(
        &mut self,
        volume: &Volume,
        plex: &mut Plex,
        by: Sectors,
        placement: &Placement,
    ) -> Result<()> {
        let anywhere = placement.on.is_empty() && placement.avoid.is_empty();
        let mut missing = by;
        if let Some(last) = plex.subdisks.last_mut().filter(|_| anywhere) {
            let got = self.free.take_behind(
                last.disk,
                last.end(),
                last.end().round_up(Sectors::MIB),
                missing,
            );
            last.length = last.length.saturating_add(got);
            missing = missing.saturating_sub(got);
        }
        if missing.is_zero() {
            return Ok(());
        }
        let others = volume
            .plexes
            .iter()
            .filter(|p| p.number != plex.number)
            .flat_map(|p| &p.subdisks);
        let apart: BTreeSet<DiskId> = others.map(|s| s.disk).collect();
        let own: Vec<DiskId> = distinct(plex.subdisks.iter().rev().map(|s| s.disk));
        let at_home = Wish {
            length: missing,
            on: own,
            reluctantly: apart.clone(),
            ..Wish::default()
        };
        let mut elsewhere = self.plex_wish(volume, missing, placement)?;
        elsewhere.avoid.extend(&apart);
        let space = anywhere
            .then(|| self.free.take(&at_home))
            .flatten()
            .or_else(|| self.free.take(&elsewhere));
        let full = || {
            let what = (Room::Plex, missing);
            self.no_room(volume, what, placement, &apart, &self.unfit(volume))
        };
        plex.subdisks.extend(space.ok_or_else(full)?);
        Ok(())
    }

    /// Allocates a dirty region log: preferably on the disks of the first plex, so that the log is
    /// lost only with that plex; otherwise on the named disks; otherwise on any disk that is not to
    /// be avoided, which is reported.
    pub fn allocate_log(&mut self, volume: &Volume, placement: &Placement) -> Result<Log> {
        let first: Vec<DiskId> = volume
            .plexes
            .iter()
            .take(1)
            .flat_map(|p| &p.subdisks)
            .map(|s| s.disk)
            .collect();
        self.allocate_log_near(volume, placement, &first)
    }

    /// Allocates a log in place of a lost one, preferably elsewhere. The lost log was most likely
    /// on the disks of the first plex, so these come late; disks on which anything was found
    /// damaged come last.
    pub fn allocate_log_elsewhere(&mut self, volume: &Volume) -> Result<Log> {
        let others = self.log_disks(volume, true);
        self.allocate_log_near(volume, &Placement::default(), &others)
    }

    /// Allocates a log that was asked for by itself: on the named disks and on no others. If none
    /// are named, it lies where that of a new mirror would, or elsewhere in place of a lost one.
    pub fn allocate_log_alone(&mut self, volume: &Volume, placement: &Placement) -> Result<Log> {
        let region = log::region(volume.size);
        let length = log::space(volume.size, region);
        let mut wish = self.wish(length, placement)?;
        wish.at_end = true;
        if wish.on.is_empty() {
            wish.on = self.log_disks(volume, volume.log_wanted);
        }
        let space = self.free.take(&wish);
        let extent = space.and_then(|e| e.into_iter().next()).ok_or_else(|| {
            let none = BTreeSet::new();
            self.no_room(volume, (Room::LogAlone, length), placement, &none, &none)
        })?;
        Ok(Log {
            extent,
            region,
            live: false,
        })
    }

    /// The disks in the order in which a log is to lie on them: those of the first plex come first,
    /// or last in place of a log that was `lost`. Disks on which anything was found damaged come
    /// after all others.
    fn log_disks(&self, volume: &Volume, lost: bool) -> Vec<DiskId> {
        let first = volume.plexes.iter().take(1).flat_map(|p| &p.subdisks);
        let first: BTreeSet<DiskId> = first.map(|s| s.disk).collect();
        let damaged = self.world.evidence.damaged.iter();
        let damaged: BTreeSet<DiskId> = damaged.map(|extent| extent.disk).collect();
        let mut disks: Vec<DiskId> = self.world.group.disks.iter().map(|d| d.id).collect();
        disks.sort_by_key(|id| (damaged.contains(id), first.contains(id) == lost));
        disks
    }

    fn allocate_log_near(
        &mut self,
        volume: &Volume,
        placement: &Placement,
        near: &[DiskId],
    ) -> Result<Log> {
        let region = log::region(volume.size);
        let length = log::space(volume.size, region);
        let wish = Wish {
            at_end: true,
            ..self.wish(length, placement)?
        };
        let beside = Wish {
            on: near.to_vec(),
            ..wish.clone()
        };
        let anywhere = Wish {
            on: Vec::new(),
            ..wish.clone()
        };
        let asked = self.free.take(&beside).or_else(|| self.free.take(&wish));
        let elsewhere = asked.is_none();
        let space = asked.or_else(|| self.free.take(&anywhere));
        let extent = space.and_then(|e| e.into_iter().next()).ok_or_else(|| {
            let anywhere = Placement {
                on: Vec::new(),
                ..placement.clone()
            };
            let none = BTreeSet::new();
            self.no_room(volume, (Room::Log, length), &anywhere, &none, &none)
        })?;
        if elsewhere && !placement.on.is_empty() {
            let media = self
                .world
                .group
                .disk(extent.disk)
                .map_or_else(String::new, |disk| disk.media.to_string());
            self.note(format!(
                "the dirty region log of '{}' lies on '{media}': the disks that were named are full",
                self.path(&volume.name)
            ));
        }
        Ok(Log {
            extent,
            region,
            live: false,
        })
    }

    /// Allocates a log for a mirror that should have one and has none. If there is no space, the
    /// mirror continues without one, which is reported.
    pub fn optional_log(&mut self, volume: &Volume) -> Option<Log> {
        if volume.log.is_some()
            || !volume.log_wanted
            || volume.in_state(PlexState::Active).count() < 2
        {
            return volume.log.clone();
        }
        let log = self.allocate_log(volume, &Placement::default());
        if let Err(refusal) = &log {
            self.note(format!(
                "'{}' has no dirty region log: {refusal}",
                self.path(&volume.name)
            ));
        }
        log.ok()
    }

    /// A new plex of the volume with the lowest free number and the name that belongs to it.
    pub fn new_plex(
        &self,
        volume: &Volume,
        state: PlexState,
        subdisks: Vec<Extent>,
    ) -> Result<Plex> {
        if volume.plexes.len() >= MAX_PLEXES {
            let volume = self.world.named(&volume.name);
            return Err(Space::TooManyPlexes { volume }.into());
        }
        let taken = |name: &Name| {
            let now = self.plan.group.volumes.iter().flat_map(|v| &v.plexes);
            now.chain(&volume.plexes).any(|p| p.name == *name)
        };
        for number in 1..=u16::MAX {
            let name = plex_name(&volume.name, number)?;
            let device = DmUuid::new(self.world.group.id, volume.id, &Role::Plex(number));
            if volume.plex(number).is_none()
                && !taken(&name)
                && !self.world.devices.contains_key(&device)
            {
                return Ok(Plex {
                    number,
                    name,
                    state,
                    subdisks,
                    dco: None,
                    serves_restore: false,
                });
            }
        }
        let volume = volume.name.clone();
        Err(Space::NumbersUsedUp { volume }.into())
    }

    /// Completes the plan: decides on tracking and logs, checks the invariants of the new
    /// configuration, and adds the steps.
    pub fn finish(mut self) -> Result<Plan> {
        relations::reconcile_tracking(&mut self.plan.group);
        let live = |volume: Option<&Volume>| volume.is_some_and(|v| v.live_dco().is_some());
        let ids = self.plan.group.volumes.iter().map(|v| v.id);
        let tracking: Vec<VolumeId> = ids
            .filter(|id| live(self.plan.group.volume(*id)) != live(self.world.group.volume(*id)))
            .collect();
        tracking.into_iter().for_each(|id| self.mark(id));
        release_logs(&mut self.plan.group, &self.is_touched);
        for id in self.touched.clone() {
            self.renumber(id);
            self.replace_missing_log(id)?;
            self.decide_log(id)?;
        }
        self.record_sectors();
        let broken = check::violations(&self.plan.group);
        if let Some(rule) = broken.into_iter().next() {
            let group = self.world.group.name.clone();
            return Err(Bug::Rule { group, rule }.into());
        }
        transition::steps(self.world, &mut self.plan, &self.touched, &self.terms)?;
        Ok(self.plan)
    }

    /// Records the sector size of volumes that an older version created without one, with the next
    /// change of each.
    fn record_sectors(&mut self) {
        if self.plan.group == self.world.group {
            return;
        }
        for id in &self.touched {
            let known = self
                .world
                .group
                .volume(*id)
                .and_then(|volume| self.world.sector_size(volume));
            let volume = self
                .plan
                .group
                .volume_mut(*id)
                .filter(|volume| volume.sector_size.is_none());
            volume
                .into_iter()
                .for_each(|volume| volume.sector_size = known);
        }
    }

    /// Replaces a log that is not in use and lies on a missing disk, because it cannot be written
    /// there. Without space elsewhere the mirror continues without a log.
    fn replace_missing_log(&mut self, id: VolumeId) -> Result<()> {
        let Some(volume) = self.plan.group.volume(id).cloned() else {
            return Ok(());
        };
        let is_missing = |log: &Log| !log.live && !self.world.disks.contains_key(&log.extent.disk);
        if volume.running == Some(self.world.boot)
            && volume.log.as_ref().is_some_and(is_missing)
            && volume.complete().len() > 1
        {
            let unlogged = Volume {
                log: None,
                ..volume
            };
            self.touch(id)?.log = self.optional_log(&unlogged);
        }
        Ok(())
    }

    /// Gives a plex another number if a process still has an old device with that number open. A
    /// plex needs a device of its own when another plex joins it, and the UUID of the old device
    /// cannot be changed. The name of the plex stays. A complete plex of a mirror keeps its number,
    /// because the order of complete plexes depends on it.
    fn renumber(&mut self, id: VolumeId) {
        let world = self.world;
        let started = |volume: &Volume| volume.running == Some(world.boot);
        let Some(old) = world.group.volume(id).filter(|v| started(v)) else {
            return;
        };
        let Some(new) = self
            .plan
            .group
            .volumes
            .iter_mut()
            .find(|v| v.id == id && started(v))
        else {
            return;
        };
        let had: Vec<Role> = stack(&world.group, old)
            .unwrap_or_default()
            .into_iter()
            .map(|d| d.role)
            .collect();
        let several = new.complete().len() > 1;
        let blocked = |number| {
            !had.contains(&Role::Plex(number)) && world.occupied(id, &Role::Plex(number)).is_some()
        };
        let moves = |p: &&Plex| blocked(p.number) && !(several && p.state.is_complete());
        for number in new
            .plexes
            .iter()
            .filter(moves)
            .map(|p| p.number)
            .collect::<Vec<_>>()
        {
            let taken = |n: &u16| {
                new.plex(*n).is_some()
                    || world
                        .devices
                        .contains_key(&DmUuid::new(world.group.id, id, &Role::Plex(*n)))
            };
            let Some(free) = (1..=u16::MAX).find(|n| !taken(n)) else {
                return;
            };
            new.plex_mut(number)
                .into_iter()
                .for_each(|plex| plex.number = free);
        }
    }

    /// Takes the log into use when the volume becomes a mirror of complete plexes, and out of use
    /// when it is none. The log is written all clean only if the plexes are known to be equal
    /// (K17).
    fn decide_log(&mut self, id: VolumeId) -> Result<()> {
        let boot = self.world.boot;
        let held = self.world.occupied(id, &Role::Log).is_some();
        let Some(volume) = self.plan.group.volumes.iter_mut().find(|v| v.id == id) else {
            return Ok(());
        };
        let (needed, clean, size) = (volume.complete().len() > 1, volume.is_synced(), volume.size);
        let running = volume.running == Some(boot);
        let Some(log) = volume.log.as_mut() else {
            return Ok(());
        };
        if needed && running && !log.live {
            if held {
                self.plan.notes.push(
                    format!(
                        "'{}' continues without its log while another process has the old one open",
                        volume.name
                    )
                    .into(),
                );
                return Ok(());
            }
            log.live = true;
            let write = Prepare::WriteLog {
                extent: log.extent,
                size,
                region: log.region,
                clean,
            };
            self.plan.prepare.push(write);
            // With all of it dirty a write goes to the first plex alone, also where the plexes were
            // known to be equal.
            if !clean {
                volume.synced = Sectors::ZERO;
            }
        } else if !needed {
            log.live = false;
        }
        Ok(())
    }
}

/// The lanes that suit legs that are filled from `source`. Where heads have to move, the plex with
/// the fewest disks decides. A disk of which nothing is known counts as one with heads.
pub fn lanes_for(world: &Situation, size: Sectors, legs: &[&Plex], source: Option<&Plex>) -> Lanes {
    let disks = |plex: &Plex| distinct(plex.subdisks.iter().map(|s| s.disk));
    let all = legs.iter().copied().chain(source).map(disks);
    let has_heads = |disks: &Vec<DiskId>| {
        disks
            .iter()
            .any(|disk| !world.evidence.seekless.contains(disk))
    };
    let fewest = all.filter(has_heads).map(|disks| disks.len()).min();
    Lanes::suited(size, fewest)
}

/// Releases the logs of those of these volumes that are not mirrors and are not becoming mirrors:
/// at most one plex is complete, and at most one is not a snapshot leg.
pub fn release_logs(group: &mut Group, volumes: &BTreeSet<VolumeId>) {
    let mirrored = |v: &Volume| {
        v.complete().len() > 1
            || v.plexes
                .iter()
                .filter(|p| !p.state.is_snapshot_leg())
                .count()
                > 1
    };
    let single = group
        .volumes
        .iter_mut()
        .filter(|v| volumes.contains(&v.id) && !mirrored(v));
    single.for_each(|volume| volume.log = None);
}

/// The name of a plex, such as `v-01`. A long volume name is shortened to fit.
pub(super) fn plex_name(volume: &Name, number: u16) -> Result<Name> {
    let suffix = format!("-{number:02}");
    let room = crate::model::name::NAME_MAX - suffix.len();
    let stem = volume
        .as_str()
        .get(..room.min(volume.as_str().len()))
        .unwrap_or_default();
    Ok(Name::parse(&format!("{stem}{suffix}"))?)
}
