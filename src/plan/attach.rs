//! The verbs that attach a leg: `snapstart`, `mirror`, `plex attach`. The kernel copies in the
//! background, and these verbs do not wait for it.

use super::change::{Attaching, Event};
use super::draft::{Draft, Sharing};
use super::evidence::Situation;
use super::refusal::{Asked, Counted, Plexes, Repeated, Result, Verb};
use super::request::Placement;
use super::step::Plan;
use super::volumes::disks_of;
use crate::model::{Lanes, Name, Next, PlexEvent, PlexState, Volume};

/// Adds one or more snapshot legs, which are only written, to each volume: to all or to none.
pub fn snapstart(
    world: &Situation,
    names: &[Name],
    mirrors: usize,
    placement: &Placement,
    lanes: Option<Lanes>,
) -> Result<Plan> {
    if mirrors == 0 {
        return Err(Asked::Nothing(Counted::NewLegs).into());
    }
    let mut draft = Draft::new(world);
    for (at, name) in names.iter().enumerate() {
        let volume = draft.volume(name)?;
        if names[..at].contains(name) {
            return Err(Asked::Twice {
                what: Repeated::Volume,
                name: name.clone(),
            }
            .into());
        }
        add_legs(&mut draft, volume, mirrors, placement, PlexState::SnapAtt)?;
        draft.choose_lanes(volume.id, lanes, names.len())?;
    }
    draft.finish()
}

/// Adds one data plex to a volume, and a log if it should have one and has none.
pub fn mirror(
    world: &Situation,
    name: &Name,
    placement: &Placement,
    lanes: Option<Lanes>,
) -> Result<Plan> {
    let mut draft = Draft::new(world);
    let volume = draft.volume(name)?;
    add_legs(&mut draft, volume, 1, placement, PlexState::Attaching)?;
    draft.choose_lanes(volume.id, lanes, 1)?;
    if volume.log_wanted && volume.log.is_none() {
        let log = draft.allocate_log(volume, placement)?;
        draft.touch(volume.id)?.log = Some(log);
    }
    draft.finish()
}

fn add_legs(
    draft: &mut Draft<'_>,
    volume: &Volume,
    count: usize,
    placement: &Placement,
    state: PlexState,
) -> Result<()> {
    draft.require_started(volume)?;
    refuse_returning(draft, volume)?;
    let path = draft.path(&volume.name);
    let mut next = volume.clone();
    for _ in 0..count {
        // The limit on plexes is checked before space is allocated, because it is the better reason
        // for a refusal.
        draft.new_plex(&next, state, Vec::new())?;
        let space = draft.allocate_plex(&next, volume.size, placement, Sharing::WhenNamed)?;
        let plex = draft.new_plex(&next, state, space)?;
        let attaching = Attaching {
            plex: plex.name.clone(),
            state,
            size: volume.size,
            disks: Some(disks_of(draft.world, [&plex])),
        };
        draft.say(&volume.name, Event::Attaching(attaching));
        next.plexes.push(plex);
    }
    note_restart(draft, volume, &path);
    let changed = draft.touch(volume.id)?;
    changed.plexes = next.plexes;
    if state == PlexState::SnapAtt {
        changed.lost_leg = None;
    }
    draft.provide_dcos(volume.id)
}

/// Refuses to attach a leg while others come back: they are filled by a change log, which does not
/// apply to any other leg.
fn refuse_returning(draft: &Draft<'_>, volume: &Volume) -> Result<()> {
    match volume
        .attaching()
        .first()
        .filter(|_| volume.returning.is_some())
    {
        Some(leg) => Err(Plexes::Returning {
            volume: draft.world.named(&volume.name),
            plex: leg.name.clone(),
        }
        .into()),
        None => Ok(()),
    }
}

/// Notes that a running copy restarts: the sync state is one bit for each region of the whole
/// mirror (K3), so a new leg and the legs that are already being filled begin together.
fn note_restart(draft: &mut Draft<'_>, volume: &Volume, path: &str) {
    let running: Vec<&str> = volume.attaching().iter().map(|p| p.name.as_str()).collect();
    if !running.is_empty() {
        draft.note(format!(
            "the copy to {} of '{path}' starts again from the beginning, together with the new leg",
            running.join(", ")
        ));
    }
}

/// Attaches a detached or failed data plex again, which brings it up to date.
pub fn reattach(world: &Situation, name: &Name, lanes: Option<Lanes>) -> Result<Plan> {
    let mut draft = Draft::new(world);
    let (volume, plex) = world.group.plex_named(name)?;
    if plex.state == PlexState::Active || plex.state == PlexState::Reviving {
        return Ok(draft.plan);
    }
    draft.require_started(volume)?;
    refuse_returning(&draft, volume)?;
    let path = draft.path(&volume.name);
    let Next::State(state) = plex.state.on(PlexEvent::Reattached) else {
        return Err(Plexes::NotInState {
            volume: world.named(&volume.name),
            plex: name.clone(),
            state: plex.state,
            verb: Verb::Attached,
        }
        .into());
    };
    if let Some(lost) = plex
        .subdisks
        .iter()
        .find(|s| !world.disks.contains_key(&s.disk))
    {
        return Err(Plexes::DiskMissing {
            plex: name.clone(),
            disk: world.group.disk(lost.disk).map(|d| d.media.clone()),
        }
        .into());
    }
    world.refuse_larger_sectors(volume, plex.subdisks.iter().map(|s| s.disk))?;
    note_restart(&mut draft, volume, &path);
    let attaching = Attaching {
        plex: name.clone(),
        state,
        size: volume.size,
        disks: None,
    };
    draft.say(&volume.name, Event::Attaching(attaching));
    super::activate::apply(draft.touch(volume.id)?, plex, PlexEvent::Reattached);
    draft.choose_lanes(volume.id, lanes, 1)?;
    draft.finish()
}
