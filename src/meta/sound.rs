//! The checks that a configuration from a disk must pass before anything believes it: limits on its
//! size, and every rule of the model. Pure.

use super::history;
use crate::error::{Error, Result};
use crate::model::volume::MAX_PLEXES;
use crate::model::{Disk, Group, Log, Sectors, Volume, check};
use crate::table::dco;
use crate::table::log::regions;

/// The most volumes in a group.
pub const MAX_VOLUMES: usize = 100_000;
/// The most disks in a group.
pub const MAX_DISKS: usize = 4096;

/// Refuses counts before anything is built from them.
pub(super) fn refuse_too_many(disks: usize, volumes: usize) -> Result<()> {
    at_most("disks", disks, MAX_DISKS)?;
    at_most("volumes", volumes, MAX_VOLUMES)
}

/// Refuses a count of removed disks before anything is built from them.
pub(super) fn refuse_too_many_removed(removed: usize) -> Result<()> {
    at_most("removed disks", removed, history::MAX_REMOVED)
}

/// Refuses a count of configurations that one disk may hold, before anything is built from it.
pub(super) fn refuse_too_many_held(held: usize) -> Result<()> {
    at_most("configurations on one disk", held, history::MAX_HELD)
}

/// Refuses a count of plexes before anything is built from them.
pub(super) fn refuse_too_many_plexes(plexes: usize) -> Result<()> {
    at_most("plexes", plexes, MAX_PLEXES)
}

fn at_most(what: &str, count: usize, most: usize) -> Result<()> {
    if count > most {
        Err(refused(format!(
            "{count} {what} are more than the {most} that are possible"
        )))
    } else {
        Ok(())
    }
}

/// Refuses a group that breaks a rule; the error names the first one.
pub(super) fn refuse_unsound(group: &Group) -> Result<()> {
    group.disks.iter().try_for_each(refuse_disk)?;
    check::violations(group)
        .first()
        .map_or(Ok(()), |rule| Err(refused(rule)))?;
    group.volumes.iter().try_for_each(refuse_volume)
}

/// Refuses a disk whose space for volumes would reach into the private area or is not aligned to
/// 1 MiB.
fn refuse_disk(disk: &Disk) -> Result<()> {
    if disk.data_start.is_zero() || disk.data_start.round_down(Sectors::MIB) != disk.data_start {
        return Err(refused(format!(
            "the space of disk '{}' cannot start at sector {}",
            disk.media,
            disk.data_start.get()
        )));
    }
    Ok(())
}

/// Refuses a volume with a log or a copy of a DCO that is too short for it, because writing it anew
/// would overwrite what lies behind it. Refuses impossible regions of a change log, too.
fn refuse_volume(volume: &Volume) -> Result<()> {
    let dcos = volume
        .plexes
        .iter()
        .filter_map(|p| p.dco.as_ref())
        .chain(&volume.dco);
    if dcos
        .flat_map(|dco| &dco.copies)
        .any(|copy| copy.length < dco::space(volume.size))
    {
        return Err(refused(format!(
            "volume '{}': a copy of a DCO is too short for it",
            volume.name
        )));
    }
    if let Some(returning) = volume
        .returning
        .filter(|r| !is_region(volume.size, r.region))
    {
        return Err(refused(format!(
            "volume '{}': a log of changes has no regions of {} sectors",
            volume.name,
            returning.region.get()
        )));
    }
    let holds = |log: &Log| log_bytes(volume.size, log.region) <= log.extent.length.bytes();
    match volume.log.as_ref().filter(|log| !holds(log)) {
        Some(log) => Err(refused(format!(
            "volume '{}': a log of {} sectors is too short for it",
            volume.name,
            log.extent.length.get()
        ))),
        None => Ok(()),
    }
}

/// Whether a change log can have regions of this size: the kernel accepts them, and the log has
/// space for all bits.
fn is_region(size: Sectors, region: Sectors) -> bool {
    region.get().is_power_of_two() && region >= dco::finest_region(size) && region <= size
}

/// The bytes that a log takes (K6): 1 KiB and one bit for each region in whole longs, written in
/// blocks of 4 KiB.
fn log_bytes(size: Sectors, region: Sectors) -> u64 {
    (1024 + regions(size, region).div_ceil(64) * 8).next_multiple_of(4096)
}

/// The error for any payload that is refused.
pub(super) fn refused(why: impl std::fmt::Display) -> Error {
    Error::unsafe_(format!("the configuration cannot be trusted: {why}"))
}
