//! The verbs on the dirty region log of a mirror: `log add`, `log remove`.
//!
//! [`Draft::finish`] takes a log into use and out of use with the change of the configuration. It is
//! written anew before that, because the contents of a log that was not in use say nothing (K17).
//! The mirror of the complete plexes alone gets another table: a copy to a leg above it goes on.

use super::change::Event;
use super::draft::Draft;
use super::evidence::Situation;
use super::refusal::{Result, Volumes};
use super::request::Placement;
use super::step::Plan;
use crate::model::{Name, Volume};

/// Gives a mirror a log. While its plexes are not in sync all regions count as dirty, so that the
/// kernel makes the plexes equal from the beginning. That of a volume which is stopped, or has only
/// one complete plex, comes into use with the mirror.
pub fn add(world: &Situation, name: &Name, placement: &Placement) -> Result<Plan> {
    let mut draft = Draft::new(world);
    let volume = draft.volume(name)?;
    if volume.log.is_some() {
        let volume = world.named(name);
        return Err(Volumes::HasLog { volume }.into());
    }
    let mut data = volume.plexes.iter().filter(|p| !p.state.is_snapshot_leg());
    if data.nth(1).is_none() {
        let volume = world.named(name);
        return Err(Volumes::NoMirror { volume }.into());
    }
    let log = draft.allocate_log_alone(volume, placement)?;
    let changed = draft.touch(volume.id)?;
    changed.log_wanted = true;
    changed.log = Some(log);
    draft.say(name, Event::LogAdded);
    note_resync(&mut draft, volume);
    draft.finish()
}

/// Takes the log of a volume away and releases its space. The volume gets no other one.
pub fn remove(world: &Situation, name: &Name) -> Result<Plan> {
    let mut draft = Draft::new(world);
    let volume = draft.volume(name)?;
    if volume.log.is_none() && !volume.log_wanted {
        return Ok(draft.plan);
    }
    let changed = draft.touch(volume.id)?;
    changed.log_wanted = false;
    let released = changed.log.take().map(|log| log.extent.length);
    draft.say(name, Event::LogRemoved { released });
    if volume.live_log().is_some() {
        note_resync(&mut draft, volume);
    }
    draft.finish()
}

/// Notes that a resync of the complete plexes begins again: which regions it has done is not known
/// to the mirror's next table.
fn note_resync(draft: &mut Draft<'_>, volume: &Volume) {
    if draft.is_live(volume) && volume.complete().len() > 1 && !volume.is_synced() {
        let path = draft.path(&volume.name);
        draft.note(format!("the resync of the plexes of '{path}' begins again"));
    }
}
