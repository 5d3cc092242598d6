//! The verbs on a plex: `plex convert`, `detach`, `remove`, `abort`.

use super::activate::apply;
use super::change::Event;
use super::draft::Draft;
use super::evidence::Situation;
use super::refusal::{InGroup, Plexes, Result, Verb};
use super::request::Convert;
use super::step::Plan;
use crate::model::{DiskId, Name, Plex, PlexEvent, PlexState, Volume};
use std::collections::BTreeSet;

/// Turns a data plex that is in sync into a snapshot leg without copying anything, or a leg back
/// into a data plex.
pub fn convert(world: &Situation, name: &Name, to: Convert) -> Result<Plan> {
    let mut draft = Draft::new(world);
    let (volume, plex) = find(world, name)?;
    let (event, target) = match to {
        Convert::SnapDone => (PlexEvent::ToSnapdone, PlexState::SnapDone),
        Convert::Active => (PlexEvent::ToActive, PlexState::Active),
    };
    if plex.state == target {
        return Ok(draft.plan);
    }
    let path = world.named(&volume.name);
    require_legal(plex, event, &path, Verb::Converted)?;
    if to == Convert::SnapDone {
        require_another_active(world, volume, plex)?;
    }
    // As a data plex with a lower number it would become the plex that the others are filled from.
    let is_filled = volume.in_state(PlexState::Active).next().is_some();
    if !volume.is_synced() && is_filled {
        return Err(Plexes::NotComplete {
            volume: path,
            plex: name.clone(),
        }
        .into());
    }
    apply(draft.touch(volume.id)?, plex, event);
    draft
        .touch(volume.id)?
        .plex_mut(plex.number)
        .into_iter()
        .for_each(|p| p.dco = None);
    draft.provide_dcos(volume.id)?;
    let converted = draft.touch(volume.id)?.clone();
    draft.touch(volume.id)?.log = draft.optional_log(&converted);
    draft.say(&volume.name, Event::state(plex, target));
    draft.finish()
}

/// Takes a data plex out of use. The plex keeps its space, but its contents become stale.
pub fn detach(world: &Situation, name: &Name) -> Result<Plan> {
    let mut draft = Draft::new(world);
    let (volume, plex) = find(world, name)?;
    let path = world.named(&volume.name);
    if plex.state == PlexState::Stale {
        return Ok(draft.plan);
    }
    if plex.state.is_snapshot_leg() {
        return Err(Plexes::SnapshotLeg {
            volume: path,
            plex: name.clone(),
            state: plex.state,
        }
        .into());
    }
    require_legal(plex, PlexEvent::Detached, &path, Verb::Detached)?;
    require_another_active(world, volume, plex)?;
    apply(draft.touch(volume.id)?, plex, PlexEvent::Detached);
    draft.say(&volume.name, Event::state(plex, PlexState::Stale));
    draft.finish()
}

/// Removes a plex and releases its space.
pub fn remove(world: &Situation, name: &Name) -> Result<Plan> {
    let mut draft = Draft::new(world);
    let (volume, plex) = find(world, name)?;
    require_another_active(world, volume, plex)?;
    apply(draft.touch(volume.id)?, plex, PlexEvent::Removed);
    let removed = Event::PlexRemoved {
        plex: name.clone(),
        was: plex.state,
        released: Some(plex.length()),
    };
    draft.say(&volume.name, removed);
    draft.finish()
}

/// Ends the filling of a plex. One that is new is removed; one that had contents is stale again. The
/// plexes that are restored from a snapshot leg are filled to the end: the volume has no other copy
/// that is its own.
pub fn abort(world: &Situation, name: &Name) -> Result<Plan> {
    let (volume, plex) = find(world, name)?;
    let restores = volume.plexes.iter().any(|p| p.serves_restore);
    match plex.state {
        PlexState::Attaching | PlexState::SnapAtt => remove(world, name),
        PlexState::Reviving if !restores => detach(world, name),
        state => Err(Plexes::NotInState {
            volume: world.named(&volume.name),
            plex: name.clone(),
            state,
            verb: Verb::Aborted,
        }
        .into()),
    }
}

fn find<'w>(world: &'w Situation, name: &Name) -> Result<(&'w Volume, &'w Plex)> {
    let log = |v: &&Volume| v.log.is_some() && format!("{}_log", v.name) == name.as_str();
    if let Some(volume) = world.group.volumes.iter().find(log) {
        return Err(Plexes::Log {
            volume: world.named(&volume.name),
            log: name.clone(),
        }
        .into());
    }
    Ok(world.group.plex_named(name)?)
}

fn require_legal(plex: &Plex, event: PlexEvent, path: &InGroup, verb: Verb) -> Result<()> {
    match plex.state.on(event) {
        crate::model::Next::Refused => Err(Plexes::NotInState {
            volume: path.clone(),
            plex: plex.name.clone(),
            state: plex.state,
            verb,
        }
        .into()),
        crate::model::Next::State(_) | crate::model::Next::Gone => Ok(()),
    }
}

/// Refuses to take away the last complete data plex, which holds the volume's data. While a mirror
/// is being resynchronised, only its first plex is known to be complete. A plex whose disks are
/// missing does not take the place of one whose disks are here.
fn require_another_active(world: &Situation, volume: &Volume, plex: &Plex) -> Result<()> {
    if plex.state != PlexState::Active {
        return Ok(());
    }
    let first = volume.complete().first().map(|p| p.number);
    let others = || {
        let active = volume.in_state(PlexState::Active);
        active.filter(|p| p.number != plex.number)
    };
    let another = others().any(|p| world.has_disks_of(p) || !world.has_disks_of(plex));
    if another && (volume.is_synced() || first != Some(plex.number)) {
        return Ok(());
    }
    let away: BTreeSet<DiskId> = others().flat_map(|p| missing(world, p)).collect();
    Err(Plexes::LastComplete {
        volume: world.named(&volume.name),
        plex: plex.name.clone(),
        away: away.into_iter().map(|disk| world.shown(disk)).collect(),
    }
    .into())
}

/// The disks of a plex that are not here.
fn missing<'w>(world: &'w Situation, plex: &'w Plex) -> impl Iterator<Item = DiskId> + 'w {
    let disks = plex.subdisks.iter().map(|extent| extent.disk);
    disks.filter(|disk| !world.disks.contains_key(disk))
}
