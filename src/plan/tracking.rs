//! Tracking of changes while a volume has snapshots: whether a volume needs it, where its map is
//! allocated, and how it ends.

use super::change::Event;
use super::draft::Draft;
use super::evidence::Situation;
use super::refusal::{Refusal, Result, Space, Volumes};
use super::relations;
use super::step::Plan;
use super::world::World;
use crate::model::space::Wish;
use crate::model::volume::MAX_COPIES;
use crate::model::{
    Dco, DiskId, Extent, Name, Plex, PlexState, Tracking, Untracked, Volume, VolumeId,
};
use crate::table::dco;
use std::collections::BTreeSet;

impl Draft<'_> {
    /// Allocates a DCO for a volume of this size: two copies if there are two disks, the first one
    /// near the data. `None`, with a note, if there is no space.
    pub fn optional_dco(&mut self, volume: &Volume, near: &[Extent]) -> Option<Dco> {
        let dco = self.allocate_dco(volume, near);
        if dco.is_none() {
            let path = self.path(&volume.name);
            self.note(format!(
                "there is no space to track the changes of '{path}': a snapback of the next snapshot is going to copy everything"
            ));
        }
        dco
    }

    /// Allocates a DCO like [`Draft::optional_dco`], but without a note if there is no space.
    pub fn allocate_dco(&mut self, volume: &Volume, near: &[Extent]) -> Option<Dco> {
        self.complete_dco(volume, None, near, &BTreeSet::new())
    }

    /// Adds to the existing copies of a DCO as many as there can be.
    fn complete_dco(
        &mut self,
        volume: &Volume,
        dco: Option<Dco>,
        near: &[Extent],
        unfit: &BTreeSet<DiskId>,
    ) -> Option<Dco> {
        let length = dco::space(volume.size);
        let near: Vec<DiskId> = near.iter().map(|extent| extent.disk).collect();
        let mut copies: Vec<Extent> = dco.map(|dco| dco.copies).unwrap_or_default();
        while copies.len() < MAX_COPIES {
            let avoid: BTreeSet<DiskId> = copies
                .iter()
                .map(|copy| copy.disk)
                .chain(unfit.iter().copied())
                .collect();
            let first = if copies.is_empty() {
                near.clone()
            } else {
                Vec::new()
            };
            let on_any = Wish {
                length,
                avoid,
                at_end: true,
                ..Wish::default()
            };
            let on_first = Wish {
                on: first.clone(),
                ..on_any.clone()
            };
            let space = if first.is_empty() {
                None
            } else {
                self.free.take(&on_first)
            };
            match space.or_else(|| self.free.take(&on_any)) {
                Some(space) => copies.extend(space),
                None => break,
            }
        }
        (!copies.is_empty()).then_some(Dco {
            copies,
            live: false,
        })
    }

    /// Allocates the space that the next split needs for tracking: a DCO for a volume with snapshot
    /// legs, and one for each of these legs that has none yet.
    pub fn provide_dcos(&mut self, id: VolumeId) -> Result<()> {
        let volume = self.touch(id)?.clone();
        if !volume.fast_resync || !volume.plexes.iter().any(|p| p.state.is_snapshot_leg()) {
            return Ok(());
        }
        if volume.dco.is_none() {
            let near = volume
                .plexes
                .first()
                .map(|p| p.subdisks.clone())
                .unwrap_or_default();
            let Some(dco) = self.optional_dco(&volume, &near) else {
                return Ok(());
            };
            self.touch(id)?.dco = Some(dco);
        }
        let without = |p: &&Plex| p.state.is_snapshot_leg() && p.dco.is_none();
        for leg in volume.plexes.iter().filter(without) {
            let dco = self.optional_dco(&volume, &leg.subdisks);
            let leg = self.touch(id)?.plex_mut(leg.number);
            leg.into_iter().for_each(|leg| leg.dco = dco.clone());
        }
        Ok(())
    }

    /// Allocates the copies that the next maps of a volume and of its snapshot legs lack, on disks
    /// where nothing has failed. Returns their number.
    pub fn complete_dcos(&mut self, id: VolumeId) -> Result<usize> {
        let volume = self.touch(id)?.clone();
        let count = |volume: &Volume| -> usize {
            let all = volume
                .plexes
                .iter()
                .filter_map(|p| p.dco.as_ref())
                .chain(&volume.dco);
            all.map(|dco| dco.copies.len()).sum()
        };
        let group = &self.world.group;
        let failed = group
            .volumes
            .iter()
            .flat_map(|v| v.in_state(PlexState::Failed))
            .flat_map(|p| &p.subdisks);
        let unfit: BTreeSet<DiskId> = failed.map(|extent| extent.disk).collect();
        let near = volume
            .plexes
            .first()
            .map(|p| p.subdisks.clone())
            .unwrap_or_default();
        let own = self.complete_dco(&volume, volume.dco.clone(), &near, &unfit);
        self.touch(id)?.dco = own.clone();
        for leg in volume
            .plexes
            .iter()
            .filter(|p| own.is_some() && p.state.is_snapshot_leg())
        {
            let completed = self.complete_dco(&volume, leg.dco.clone(), &leg.subdisks, &unfit);
            let leg = self.touch(id)?.plex_mut(leg.number);
            leg.into_iter().for_each(|leg| leg.dco = completed.clone());
        }
        let now = count(self.touch(id)?);
        Ok(now.saturating_sub(count(&volume)))
    }

    /// The copies of a DCO that can be written now.
    pub fn usable(&self, dco: &Dco) -> Option<Dco> {
        let world = self.world;
        let is_good = |copy: &&Extent| {
            world.disks.contains_key(&copy.disk) && !world.evidence.is_damaged(copy)
        };
        let copies: Vec<Extent> = dco.copies.iter().filter(is_good).copied().collect();
        (!copies.is_empty()).then_some(Dco { copies, ..*dco })
    }
}

/// `fast-resync on|off`: turns the tracking of a volume on or off.
pub fn fast_resync(world: &Situation, name: &Name, on: bool) -> Result<Plan> {
    if on {
        track(world, name)
    } else {
        end_tracking(world, name)
    }
}

fn track(world: &Situation, name: &Name) -> Result<Plan> {
    let mut draft = Draft::new(world);
    let volume = draft.volume(name)?;
    let mut legs = volume.plexes.iter().filter(|p| p.state.is_snapshot_leg());
    let has_legs = legs.clone().next().is_some();
    let legs_have_dcos = legs.all(|p| p.dco.is_some());
    if volume.fast_resync && (!has_legs || (volume.dco.is_some() && legs_have_dcos)) {
        return Ok(draft.plan);
    }
    if has_legs && volume.dco.is_none() {
        let near = volume
            .plexes
            .first()
            .map(|p| p.subdisks.clone())
            .unwrap_or_default();
        let dco = draft
            .allocate_dco(volume, &near)
            .ok_or_else(|| no_space(world, volume))?;
        draft.touch(volume.id)?.dco = Some(dco);
    }
    draft.touch(volume.id)?.fast_resync = true;
    draft.provide_dcos(volume.id)?;
    draft.say(&volume.name, switched(volume, true));
    for snapshot in world.group.snapshots_of(volume.id) {
        let tracking = snapshot.origin.as_ref().map(|origin| &origin.tracking);
        if matches!(tracking, Some(Tracking::Untracked(_))) {
            draft.note(format!(
                "'{}' was split off before: a snapback of it copies everything",
                draft.path(&snapshot.name)
            ));
        }
    }
    draft.finish()
}

fn end_tracking(world: &Situation, name: &Name) -> Result<Plan> {
    let mut draft = Draft::new(world);
    let volume = draft.volume(name)?;
    if !volume.fast_resync && volume.dco.is_none() {
        return Ok(draft.plan);
    }
    if volume.returning.is_some() {
        let volume = world.named(name);
        return Err(Volumes::LegsReturning { volume }.into());
    }
    let changes = relations::untrack(&mut draft.plan.group, volume.id, None, Untracked::Off);
    let snapshots = world.group.snapshots_of(volume.id).map(|s| s.id);
    let original = volume.origin.as_ref().map(|o| o.original);
    for id in snapshots.chain(original).collect::<Vec<_>>() {
        draft.touch(id)?;
    }
    let changed = draft.touch(volume.id)?;
    (changed.fast_resync, changed.dco) = (false, None);
    changed.plexes.iter_mut().for_each(|p| p.dco = None);
    draft.say(&volume.name, switched(volume, false));
    draft.plan.changes.extend(changes);
    draft.finish()
}

fn switched(volume: &Volume, state: bool) -> Event {
    Event::FastResync {
        was: volume.fast_resync,
        state,
    }
}

fn no_space(world: &World, volume: &Volume) -> Refusal {
    Space::NoRoomForMap {
        volume: world.named(&volume.name),
        length: dco::space(volume.size),
    }
    .into()
}
