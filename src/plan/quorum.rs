//! The quorum: whether the disks that are present may speak for their group. The newest
//! configuration on them is in force, but missing disks cannot be read. These may have been used
//! without the others, and what the present disks hold is then outdated.

use super::evidence::Situation;
use super::refusal::{NotAllThere, Refusal, Result};
use super::step::Plan;
use super::world::World;
use crate::model::{Disk, DiskId, Generation, Group, Plex, PlexState, Standing, Testimony, Volume};

/// Refuses a plan that changes the configuration without a quorum, as [`refuse_minority`] does,
/// unless the plan is forced. This is the only check of requests from a user; repairs of what runs
/// are not checked.
pub fn refuse_change(world: &Situation, plan: &Plan) -> Result<()> {
    if plan.forced || plan.group == world.group {
        Ok(())
    } else {
        refuse_minority(world)
    }
}

/// Refuses a group that is not running if half of its disks or more are missing.
///
/// A missing disk does not count if it holds nothing, or if the configuration itself records it as
/// lost (the group continued without it) or given up. A present disk that was blank when it was
/// added does not count until most of the disks that counted before have it in their configuration,
/// so that blank disks cannot turn a minority into a majority. While a volume runs, nothing is
/// refused, so that a repair is always possible.
///
/// The witness of this machine records which configuration of the group it has seen last. Half of
/// the disks suffice if they hold exactly that one. If the machine has seen a newer one, no disk
/// that could hold it may be missing.
pub fn refuse_minority(world: &Situation) -> Result<()> {
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
    // Joining disks count for the majority, but a majority of the voters is needed as well.
    let voters = |disks: &[&Disk]| disks.iter().filter(|d| group.counts(d.id)).count();
    let (missing_voters, voters_here) = (voters(&missing), voters(&here));
    let is_majority =
        missing.len() < here.len() && (missing_voters < voters_here || missing_voters == 0);
    match world.evidence.testimony {
        Testimony::Older(seen) => Err(not_all_there(world, &missing, here.len(), Some(seen))),
        Testimony::Newest if voters_here > 0 && voters_here >= missing_voters => Ok(()),
        _ if is_majority => Ok(()),
        _ => Err(not_all_there(world, &missing, here.len(), None)),
    }
}

/// Whether a volume of the group runs in this boot. An outdated configuration may record a volume
/// as running that was stopped since, so the volume must also have a device.
fn runs_here(world: &World) -> bool {
    let has_device = |volume: &Volume| world.devices_of(volume.id).next().is_some();
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

/// Records the missing disks as given up, so that what they hold no longer stops a change.
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

/// Updates the standing of the disks in the configuration that is going to be committed. New disks
/// are joining, as is a disk that was given up and is present again. Joining disks count as soon as
/// most of those that count have recorded them as joining in their own copy; `newest` reports
/// whether a disk has the newest copy.
///
/// The two steps rule out a moment at which one part of the disks has a majority by the old rule
/// and another part by the new one.
pub fn update_standing(world: &World, group: &mut Group, newest: &dyn Fn(DiskId) -> bool) {
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

/// Whether a missing disk may hold something newer than the present disks. It cannot if nothing was
/// allocated on it, if it was given up, or if it was lost: a plex on it has failed, and no volume
/// has complete plexes both on it and on the present disks.
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
