//! Whether the disks that are here may speak for their group. The newest configuration that can be
//! seen is in force, but nobody sees what is on disks that are away: they may have gone on alone,
//! and what these disks hold is then old.

use super::refusal::{NotAllThere, Refusal, Result};
use super::step::Plan;
use super::world::World;
use crate::model::{Disk, DiskId, Generation, Group, Plex, PlexState, Standing, Testimony, Volume};

/// Refuses a plan that changes the configuration, as [`refuse_minority`] does, unless somebody
/// insists. The one place where that is asked of what a person wants; repairs of what runs are not
/// asked.
pub fn refuse_change(world: &World, plan: &Plan) -> Result<()> {
    if plan.forced || plan.group == world.group {
        Ok(())
    } else {
        refuse_minority(world)
    }
}

/// Refuses a group that is not running when half of its disks or more are away.
///
/// Of the missing disks one that holds nothing does not count, nor one of which the configuration
/// itself says that it was lost (whoever wrote that went on without it) or given up. Of those that
/// are here one that was blank when it was added does not count until most of those that did have
/// it in their configuration: blank disks cannot make a majority of a minority. Once a volume runs
/// nothing is refused any more, so that a repair is always possible.
///
/// The machine that the group belongs to remembers what it has seen of it last. Half of the disks
/// will do when they hold just that; when it has seen something newer, no disk may be missing that
/// could hold it.
pub fn refuse_minority(world: &World) -> Result<()> {
    if runs_here(world) {
        return Ok(());
    }
    let group = &world.group;
    let is_here = |disk: &&Disk| world.disks.contains_key(&disk.id);
    let missing: Vec<&Disk> = group
        .disks
        .iter()
        .filter(|d| !is_here(d) && may_have_gone_on(world, d.id))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let here: Vec<&Disk> = group.disks.iter().filter(is_here).collect();
    // Those that are joining are asked, too, but not alone.
    let voters = |disks: &[&Disk]| disks.iter().filter(|d| group.counts(d.id)).count();
    let (missing_voters, voters_here) = (voters(&missing), voters(&here));
    let is_majority =
        missing.len() < here.len() && (missing_voters < voters_here || missing_voters == 0);
    match world.known.testimony {
        Testimony::Older(seen) => Err(not_all_there(world, &missing, here.len(), Some(seen))),
        Testimony::Newest if voters_here > 0 && voters_here >= missing_voters => Ok(()),
        _ if is_majority => Ok(()),
        _ => Err(not_all_there(world, &missing, here.len(), None)),
    }
}

/// Whether a volume of the group runs in this boot. An old configuration may say so of what was
/// stopped since, so it must have a device, too.
fn runs_here(world: &World) -> bool {
    let has_device = |volume: &Volume| {
        let mut uuids = world.devices.values().map(|device| &device.uuid);
        uuids.any(|uuid| uuid.volume() == Some(volume.id))
    };
    let mut volumes = world.group.volumes.iter();
    volumes.any(|volume| volume.running == Some(world.boot) && has_device(volume))
}

fn not_all_there(
    world: &World,
    missing: &[&Disk],
    here: usize,
    seen: Option<Generation>,
) -> Refusal {
    let group = &world.group;
    NotAllThere {
        group: group.name.clone(),
        id: group.id,
        missing: missing.iter().map(|d| d.media.clone()).collect(),
        here,
        of: group.disks.len(),
        generation: world.generation,
        seen,
        devices: world.disks.values().map(|d| d.path.clone()).collect(),
    }
    .into()
}

/// Notes that the disks that are missing are lost for good: what they hold is in nobody's way any
/// more.
pub fn give_up_missing(world: &World, group: &mut Group) {
    let missing = group
        .disks
        .iter()
        .filter(|d| !world.disks.contains_key(&d.id) && may_have_gone_on(world, d.id));
    let missing: Vec<DiskId> = missing.map(|d| d.id).collect();
    group
        .standing
        .extend(missing.into_iter().map(|id| (id, Standing::GivenUp)));
}

/// What the disks count for in the configuration that is going to be committed: new ones are
/// joining, as is one that was given up and is here again; those that were joining count as soon as
/// most of those that count have that in their own copy (`newest` knows).
///
/// Two steps, so that there is no moment at which one part of the disks has a majority by the old
/// rule and another one by the new.
pub fn settle(world: &World, group: &mut Group, newest: &dyn Fn(DiskId) -> bool) {
    let before = &world.group;
    let known: Vec<DiskId> = group.disks.iter().map(|d| d.id).collect();
    group.standing.retain(|id, _| known.contains(id));
    if before.disks.is_empty() {
        return;
    }
    let voters = || before.disks.iter().filter(|d| before.counts(d.id));
    let have_it = voters().filter(|d| newest(d.id)).count();
    if have_it * 2 > voters().count() {
        group.standing.retain(|id, standing| {
            !(*standing == Standing::Joining
                && before.standing.get(id) == Some(standing)
                && newest(*id))
        });
    }
    let returned = group
        .standing
        .iter_mut()
        .filter(|(id, standing)| **standing == Standing::GivenUp && world.disks.contains_key(*id));
    returned.for_each(|(_, standing)| *standing = Standing::Joining);
    let new: Vec<DiskId> = known
        .into_iter()
        .filter(|id| before.disk(*id).is_none())
        .collect();
    group
        .standing
        .extend(new.into_iter().map(|id| (id, Standing::Joining)));
}

/// Whether a missing disk may hold something newer than what is here. Not when it is empty, or was
/// lost: a plex on it has failed, and none on it is complete of a volume that the disks here hold
/// as well.
fn may_have_gone_on(world: &World, disk: DiskId) -> bool {
    let is_on = |plex: &&Plex| plex.subdisks.iter().any(|s| s.disk == disk);
    let is_here = |plex: &Plex| {
        plex.subdisks
            .iter()
            .all(|s| world.disks.contains_key(&s.disk))
    };
    let has_failed = |plex: &Plex| matches!(plex.state, PlexState::Failed | PlexState::Stale);
    let is_shared = |volume: &Volume| {
        let complete = volume.complete();
        complete.iter().any(is_on) && complete.iter().any(|plex| is_here(plex))
    };
    let volumes = &world.group.volumes;
    let on_it: Vec<&Plex> = volumes
        .iter()
        .flat_map(|v| &v.plexes)
        .filter(is_on)
        .collect();
    let was_lost = on_it.iter().any(|plex| has_failed(plex)) && !volumes.iter().any(is_shared);
    !on_it.is_empty() && !was_lost && world.group.standing.get(&disk) != Some(&Standing::GivenUp)
}
