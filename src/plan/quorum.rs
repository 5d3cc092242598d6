//! Whether the disks that are here may speak for their group. The newest configuration that can be seen is in force, but nobody
//! sees what is on disks that are away: they may have gone on alone, and what these disks hold is then old.

use super::world::World;
use crate::error::{Error, Result};
use crate::model::{Disk, DiskId, Plex, PlexState, Volume};

/// Refuses a group that is not running when half of its disks or more are away.
///
/// A disk that holds nothing does not count, nor one of which the configuration itself says that it was lost: whoever wrote that
/// went on without it. Once a volume runs nothing is refused any more, so that a repair is always possible.
pub fn refuse_minority(world: &World) -> Result<()> {
    let group = &world.group;
    if group.volumes.iter().any(|v| v.running == Some(world.boot)) {
        return Ok(());
    }
    let missing: Vec<&Disk> =
        group.disks.iter().filter(|d| !world.disks.contains_key(&d.id)).filter(|d| may_have_gone_on(world, d.id)).collect();
    let here = world.disks.len();
    if missing.len() < here || missing.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = missing.iter().map(|d| format!("'{}'", d.media)).collect();
    let devices: Vec<String> = world.disks.values().map(|d| d.path.display().to_string()).collect();
    Err(Error::unsafe_(format!(
        "group '{}' is not all there: {} missing, {here} of {} disks here with its configuration at generation {}; what is missing may \
         have gone on without them, and what they hold would be old",
        group.name,
        names.join(", "),
        group.disks.len(),
        world.generation
    ))
    .on(&group.name)
    // By its UUID: a group that is left over often has the name of another one.
    .hint(format!(
        "connect the missing disks; if they are lost for good: 'breakoff -g {} start --all --force'; if the group is gone: \
         'breakoff disk init --force {}'",
        group.id,
        devices.join(" ")
    )))
}

/// Whether a missing disk may hold something newer than what is here. Not when it is empty, or was lost: a plex on it has failed, and
/// none on it is complete of a volume that the disks here hold as well.
fn may_have_gone_on(world: &World, disk: DiskId) -> bool {
    let is_on = |plex: &&Plex| plex.subdisks.iter().any(|s| s.disk == disk);
    let is_here = |plex: &Plex| plex.subdisks.iter().all(|s| world.disks.contains_key(&s.disk));
    let has_failed = |plex: &Plex| matches!(plex.state, PlexState::Failed | PlexState::Stale);
    let is_shared = |volume: &Volume| {
        let complete = volume.complete();
        complete.iter().any(is_on) && complete.iter().any(|plex| is_here(plex))
    };
    let volumes = &world.group.volumes;
    let on_it: Vec<&Plex> = volumes.iter().flat_map(|v| &v.plexes).filter(is_on).collect();
    let was_lost = on_it.iter().any(|plex| has_failed(plex)) && !volumes.iter().any(is_shared);
    !on_it.is_empty() && !was_lost
}
