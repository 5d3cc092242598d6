//! `group restore-label`: a disk whose label was destroyed gets it again, from the configuration that
//! the other disks hold.
//!
//! The label comes with the commit: the disk belongs to the group again at the moment when what is
//! recorded of its plexes is in force. A crash leaves a device without a label, or one whose plexes
//! are not believed.

use super::activate::apply;
use super::change::Event;
use super::draft::Draft;
use super::evidence::Situation;
use super::found::Bearer;
use super::quorum;
use super::refusal::{Labels, Result, Space};
use super::step::{LabelStep, Plan};
use crate::advice::{Advised, Hint, Of};
use crate::error::Error;
use crate::model::{Disk, Extent, Name, Plex, PlexEvent, PlexState, Sectors, Untracked, Volume};
use std::path::Path;

/// Plans to write the label of the disk with this media name to `device`. With `intact` the
/// administrator vouches for what is on it.
pub fn restore(world: &Situation, media: &Name, device: &Path, intact: bool) -> Result<Plan> {
    quorum::refuse_minority(world)?;
    let disk = world.group.disk_named(media)?.clone();
    refuse_present(world, &disk)?;
    let bearer = match &world.evidence.bearer {
        Some(Ok(bearer)) => bearer,
        Some(Err(error)) => return Err(error.clone().into()),
        None => {
            let shown = device.display();
            return Err(Error::failed(format!("'{shown}' was not looked at")).into());
        }
    };
    refuse_unfit(world, &disk, device, bearer, intact)?;
    let mut draft = Draft::new(world);
    let on_it = |extent: &Extent| extent.disk == disk.id;
    let mut only_there = Vec::new();
    for volume in world
        .group
        .volumes
        .iter()
        .filter(|v| v.extents().any(on_it))
    {
        let survives = survives(volume, &on_it);
        if intact {
            believe(&mut draft, volume, &on_it, survives)?;
        } else if survives || !volume.plexes.iter().any(|p| is_there(p, &on_it)) {
            distrust(&mut draft, volume, &on_it)?;
        } else {
            only_there.push(volume.name.clone());
        }
    }
    if !only_there.is_empty() {
        return Err(Labels::OnlyCopy {
            disk: world.named(media),
            volumes: only_there,
        }
        .into());
    }
    let written = Event::LabelWritten {
        device: bearer.found.path.clone(),
    };
    draft.say_of_disk(media, written);
    draft.plan.labels.push(LabelStep::Restore {
        disk: disk.id,
        found: bearer.found.clone(),
    });
    let mut plan = draft.finish()?;
    // The label is written by a commit, also when what it says stays as it is.
    plan.forced = true;
    Ok(plan)
}

/// Refuses a disk that is here, under whatever label.
fn refuse_present(world: &Situation, disk: &Disk) -> Result<()> {
    let shown = world.named(&disk.media);
    if let Some(found) = world.disks.get(&disk.id) {
        let device = found.path.clone();
        let disk = shown;
        return Err(Labels::Present { disk, device }.into());
    }
    if world.number(disk.id).is_some() {
        return Err(Labels::InUse { disk: shown }.into());
    }
    Ok(())
}

/// Refuses a device that cannot be the disk, or is something else by now.
fn refuse_unfit(
    world: &Situation,
    disk: &Disk,
    device: &Path,
    bearer: &Bearer,
    intact: bool,
) -> Result<()> {
    let shown = world.named(&disk.media);
    if let Some(claims) = &bearer.claimed_by {
        let device = claims.clone();
        let disk = shown;
        return Err(Labels::Present { disk, device }.into());
    }
    if !bearer.objections.is_empty() {
        return Err(Labels::NotIt {
            device: device.to_owned(),
            objections: bearer.objections.clone(),
        }
        .into());
    }
    if bearer.space < disk.size {
        return Err(Space::DiskTooSmall {
            disk: shown,
            has: bearer.space,
            needed: disk.size,
        }
        .into());
    }
    if intact && !bearer.odd.is_empty() {
        return Err(Labels::Odd {
            disk: shown,
            device: device.to_owned(),
            what: bearer.odd.clone(),
        }
        .into());
    }
    Ok(())
}

fn is_there(plex: &Plex, on_it: &dyn Fn(&Extent) -> bool) -> bool {
    plex.subdisks.iter().any(on_it)
}

/// Whether a volume has its contents without the disk.
fn survives(volume: &Volume, on_it: &dyn Fn(&Extent) -> bool) -> bool {
    let elsewhere = volume
        .in_state(PlexState::Active)
        .any(|plex| !is_there(plex, on_it));
    let first = volume.complete().first().copied();
    elsewhere && (volume.is_synced() || first.is_some_and(|plex| !is_there(plex, on_it)))
}

/// What is on the disk counts for nothing: plexes are stale, legs are given up, logs and maps are made
/// anew elsewhere or again.
fn distrust(draft: &mut Draft<'_>, volume: &Volume, on_it: &dyn Fn(&Extent) -> bool) -> Result<()> {
    let path = draft.path(&volume.name);
    for plex in volume.plexes.iter().filter(|p| is_there(p, on_it)) {
        if plex.state.is_snapshot_leg() {
            apply(draft.touch(volume.id)?, plex, PlexEvent::Removed);
            draft.say(&volume.name, Event::removed(plex));
            continue;
        }
        if plex.state != PlexState::Stale {
            set_state(draft, volume, plex, PlexState::Stale)?;
        }
        let attach = Advised::PlexAttach(Of::both(&draft.world.group.name, &plex.name));
        let fill = format!("fill '{}' when '{path}' is started: ", plex.name);
        draft.note(Hint::from(fill).line(attach));
    }
    super::disks::forget(draft, volume, on_it)
}

/// What is on the disk is what was recorded last. A plex that was left behind since is none of that,
/// unless nothing else has the contents of its volume.
fn believe(
    draft: &mut Draft<'_>,
    volume: &Volume,
    on_it: &dyn Fn(&Extent) -> bool,
    survives: bool,
) -> Result<()> {
    let is_out = |plex: &&Plex| matches!(plex.state, PlexState::Failed | PlexState::Stale);
    let there = volume.plexes.iter().filter(|p| is_there(p, on_it));
    let left_behind: Vec<&Plex> = there.filter(is_out).collect();
    let Some(first) = left_behind.first() else {
        return Ok(());
    };
    if survives || volume.in_state(PlexState::Active).next().is_some() {
        return Err(Labels::GoneOn {
            plex: first.name.clone(),
            volume: draft.world.named(&volume.name),
        }
        .into());
    }
    for plex in left_behind {
        set_state(draft, volume, plex, PlexState::Active)?;
    }
    let changed = draft.touch(volume.id)?;
    changed.synced = match changed.complete().len() {
        0 | 1 => changed.size,
        _ => Sectors::ZERO,
    };
    let untracked = Untracked::MapLost;
    let changes = super::relations::untrack(&mut draft.plan.group, volume.id, None, untracked);
    draft.plan.changes.extend(changes);
    Ok(())
}

fn set_state(draft: &mut Draft<'_>, volume: &Volume, plex: &Plex, state: PlexState) -> Result<()> {
    if let Some(changed) = draft.touch(volume.id)?.plex_mut(plex.number) {
        changed.state = state;
    }
    draft.say(&volume.name, Event::state(plex, state));
    Ok(())
}
