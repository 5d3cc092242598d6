//! Records what the kernel has finished, and allocates space for what was lost.

use super::see::observed;
use crate::model::{Plex, PlexEvent, PlexState, VolumeId};
use crate::plan::activate::apply;
use crate::plan::change::Event;
use crate::plan::draft::Draft;
use crate::plan::evidence::Situation;
use crate::plan::refusal::Result;
use crate::plan::step::Plan;

/// Records attached legs as SNAPDONE (data plexes as ACTIVE). The layers collapse into one flat
/// mirror at an instant when all legs are equal.
pub(super) fn record_attached(world: &Situation, id: VolumeId) -> Result<Plan> {
    let mut draft = Draft::new(world);
    let volume = observed(world, id)?;
    let numbers: Vec<u16> = volume.attaching().iter().map(|p| p.number).collect();
    draft.equal_terms(id, numbers);
    for plex in volume.attaching() {
        apply(draft.touch(id)?, plex, PlexEvent::Synced);
        let state = draft
            .touch(id)?
            .plex(plex.number)
            .map_or(plex.state, |p| p.state);
        draft.say(&volume.name, Event::state(plex, state));
    }
    let done = draft.touch(id)?;
    done.synced = done.size;
    done.returning = None;
    take_back_legs(&mut draft, id)?;
    if volume
        .plexes
        .iter()
        .any(|p| p.state == PlexState::Attaching)
    {
        let done = draft.touch(id)?.clone();
        draft.touch(id)?.log = draft.optional_log(&done);
    }
    draft.finish()
}

/// Ends a restore: the plexes that it was made from become snapshot legs again.
fn take_back_legs(draft: &mut Draft<'_>, id: VolumeId) -> Result<()> {
    let restored = draft.touch(id)?.clone();
    let serving: Vec<&Plex> = restored
        .plexes
        .iter()
        .filter(|p| p.serves_restore)
        .collect();
    if serving.is_empty()
        || !restored
            .plexes
            .iter()
            .any(|p| p.state == PlexState::Active && !p.serves_restore)
    {
        return Ok(());
    }
    for plex in serving {
        apply(draft.touch(id)?, plex, PlexEvent::ToSnapdone);
        draft.say(&restored.name, Event::state(plex, PlexState::SnapDone));
    }
    draft.provide_dcos(id)?;
    let restored = draft.touch(id)?.clone();
    draft.touch(id)?.log = draft.optional_log(&restored);
    Ok(())
}

pub(super) fn record_resynced(world: &Situation, id: VolumeId) -> Result<Plan> {
    let mut draft = Draft::new(world);
    let volume = observed(world, id)?;
    draft.equal_terms(id, volume.complete().iter().map(|p| p.number).collect());
    let done = draft.touch(id)?;
    done.synced = done.size;
    draft.say(&volume.name, Event::Resynced);
    draft.finish()
}

/// Gives a log to a volume of the list that `unlogged` returns.
pub fn add_log(world: &Situation, id: VolumeId) -> Result<Plan> {
    let mut draft = Draft::new(world);
    let volume = observed(world, id)?;
    // An existing log that is not in use comes into use again. In both cases the log is written
    // anew.
    draft.touch(id)?;
    if volume.log.is_none() {
        draft.touch(id)?.log = Some(draft.allocate_log_elsewhere(volume)?);
        draft.say(&volume.name, Event::LogAdded);
    }
    draft.finish()
}

/// Allocates the missing copies for a volume of the list that `short_of_copies` returns.
pub fn add_copies(world: &Situation, id: VolumeId) -> Result<Plan> {
    let mut draft = Draft::new(world);
    let copies = draft.complete_dcos(id)?;
    // Another volume may have taken the last space.
    if copies > 0 {
        draft.say(&observed(world, id)?.name, Event::MapSpaceAdded { copies });
    }
    draft.finish()
}
