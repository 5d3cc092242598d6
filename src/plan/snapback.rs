//! `snapback`: rejoins a leg that was split off, in either direction. Only what has changed since
//! the split is copied.
//!
//! This takes two windows (see `docs/fast-resync.md`). In the first, the leg joins with a change
//! log of what was written until the map was read; writes to all other regions are mirrored from
//! then on. Writes between that reading and the window are in the map but not in the log. So the
//! map is read a second time, which makes the log exact, and the leg's mirror is reloaded with it.
//! Only then does "in sync" mean equal.

use super::activate::apply;
use super::change::{Copied, Event};
use super::draft::{self, Draft};
use super::evidence::{Listing, Situation};
use super::refusal::{
    Asked, Bug, Counted, InGroup, Plexes, Repeated, Result, Snapshots, Verb, Volumes,
};
use super::relations;
use super::request::Winner;
use super::snapshot::FIRST_ERA;
use super::step::{Plan, Prepare};
use super::world::World;
use crate::advice::{Advised, Hint, Of};
use crate::model::ranges;
use crate::model::{
    AtBoot, ChangeLog, Dco, DiskId, DmUuid, Lanes, Name, Plex, PlexEvent, PlexState, Returning,
    Role, Sectors, Tracking, Untracked, Volume, VolumeId, distinct,
};
use crate::table::dco::Pace;
use crate::table::status::MAX_LEGS;
use crate::table::{dco, stack};
use std::collections::BTreeSet;
use std::ops::Range;

/// A snapshot to bring back, with its original.
struct Side<'w> {
    snapshot: &'w Volume,
    original: &'w Volume,
    /// The plexes of the snapshot that come back.
    plexes: Vec<&'w Plex>,
    /// Whether the snapshot is removed: no plex would be left that holds its data.
    whole: bool,
}

/// How much of a volume has to be copied.
enum Extent {
    /// These regions of the change log, by number; the first field is the region size.
    Regions(Sectors, Vec<Range<u64>>),
    /// Everything, although the changes are known: that is faster than to copy them in this many
    /// places.
    Faster(u64),
    /// Everything, because the changes are not known or cannot be used, for this reason.
    All(String),
}

/// The maps that must be read before a snapback can be planned: the volumes, and the era from which
/// to read each. A tracked snapshot needs its own map and its original's.
pub fn needed(world: &World, names: &[Name]) -> Vec<(VolumeId, u32)> {
    let side = |name: &Name| {
        let snapshot = world.group.volume_named(name).ok()?;
        let origin = snapshot.origin.as_ref()?;
        match origin.tracking {
            Tracking::Since(era) => Some([(origin.original, era), (snapshot.id, FIRST_ERA)]),
            Tracking::Untracked(_) => None,
        }
    };
    names.iter().filter_map(side).flatten().collect()
}

/// The ranges written on each side since a split, in sectors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Differences {
    /// Written to the original.
    pub original: Vec<Range<u64>>,
    /// Written to the snapshot.
    pub snapshot: Vec<Range<u64>>,
    /// Written to either. The two can differ only there.
    pub either: Vec<Range<u64>>,
}

/// What the maps record for a snapshot and its original, or why that is not known.
pub fn differences(
    world: &Situation,
    snapshot: &Volume,
) -> std::result::Result<Differences, String> {
    let origin = snapshot
        .origin
        .as_ref()
        .ok_or("it is no snapshot, or its relation was cleared")?;
    let since = match origin.tracking {
        Tracking::Since(_) if origin.apart.is_some() => {
            return Err("its original is in another group".to_owned());
        }
        Tracking::Since(era) => era,
        Tracking::Untracked(why) => return Err(why.reason().to_owned()),
    };
    let listed = |id: VolumeId, era: u32| -> Listing {
        let unread = || Err("they were not read".to_owned());
        world
            .evidence
            .changed(id, era)
            .cloned()
            .unwrap_or_else(unread)
    };
    let (original, snapshot) = (
        listed(origin.original, since)?,
        listed(snapshot.id, FIRST_ERA)?,
    );
    let either = ranges::union([original.as_slice(), snapshot.as_slice()].concat());
    Ok(Differences {
        original,
        snapshot,
        either,
    })
}

/// How snapshots are brought back.
#[derive(Debug, Clone, Copy)]
pub struct How {
    /// The number of plexes that come back of each; all if `None`.
    pub mirrors: Option<usize>,
    /// Whose contents win.
    pub from: Winner,
    /// Whether the contents are exchanged, instead of giving up the original's.
    pub keep: bool,
    /// In how many lanes everything is copied, if everything is.
    pub lanes: Option<Lanes>,
}

/// Plans a snapback of the named snapshots.
pub fn snapback(world: &Situation, names: &[Name], how: &How) -> Result<Plan> {
    let How {
        mirrors,
        from,
        keep,
        lanes,
    } = *how;
    if mirrors == Some(0) {
        return Err(Asked::Nothing(Counted::ReturningPlexes).into());
    }
    if keep && from == Winner::Original {
        return Err(Asked::KeptWithoutRestore.into());
    }
    let mut draft = Draft::new(world);
    let mut sides: Vec<Side<'_>> = Vec::new();
    for name in names {
        let side = side(&draft, name, mirrors)?;
        if sides
            .iter()
            .any(|other| other.snapshot.id == side.snapshot.id)
        {
            return Err(Asked::Twice {
                what: Repeated::Snapshot,
                name: name.clone(),
            }
            .into());
        }
        let both = sides
            .iter()
            .any(|other| other.original.id == side.original.id);
        if both && from == Winner::Snapshot {
            let original = world.named(&side.original.name);
            return Err(Asked::RestoredTwice { original }.into());
        }
        sides.push(side);
    }
    for id in distinct(sides.iter().map(|side| side.original.id)) {
        let these: Vec<&Side<'_>> = sides.iter().filter(|side| side.original.id == id).collect();
        match (from, keep) {
            (Winner::Original, _) => bring_back(&mut draft, &these, lanes)?,
            (Winner::Snapshot, false) => these
                .iter()
                .try_for_each(|side| restore(&mut draft, side, lanes))?,
            (Winner::Snapshot, true) => these
                .iter()
                .try_for_each(|side| exchange(&mut draft, side, lanes))?,
        }
    }
    if from == Winner::Snapshot {
        for snapshot in sides.iter().map(|side| side.snapshot.id) {
            forget_boot(&mut draft, snapshot);
        }
    }
    draft.finish()
}

/// A restore is no longer to come. The snapshot may be gone by now.
fn forget_boot(draft: &mut Draft<'_>, snapshot: VolumeId) {
    let volume = draft.plan.group.volume_mut(snapshot);
    if let Some(origin) = volume.and_then(|volume| volume.origin.as_mut()) {
        origin.at_boot = None;
    }
}

/// Records that the originals of these snapshots are to be restored when the machine boots, or that
/// they are not. What can be known to stand in the way is refused now. A volume is restored from one
/// snapshot, the one that was named last.
pub fn at_boot(world: &Situation, names: &[Name], how: Option<AtBoot>) -> Result<Plan> {
    let mut draft = Draft::new(world);
    let mut originals: Vec<VolumeId> = Vec::new();
    for name in names {
        let snapshot = draft.volume(name)?;
        let original = original_of(&draft, snapshot)?;
        if how.is_some() {
            let (plexes, whole) = plexes_that_return(&draft, snapshot, Some(1))?;
            let disks = plexes.iter().flat_map(|p| &p.subdisks).map(|s| s.disk);
            world.refuse_larger_sectors(original, disks)?;
            if whole && how == Some(AtBoot::Overwrite) {
                refuse_dependents(&draft, snapshot)?;
            }
            if originals.contains(&original.id) {
                let original = world.named(&original.name);
                return Err(Asked::RestoredTwice { original }.into());
            }
            originals.push(original.id);
        }
        let others = world.group.volumes.iter().filter(|other| {
            let origin = other.origin.as_ref();
            origin.is_some_and(|o| o.original == original.id && o.at_boot.is_some())
        });
        for other in others.filter(|other| how.is_some() && other.id != snapshot.id) {
            record_boot(&mut draft, other, original, None)?;
        }
        record_boot(&mut draft, snapshot, original, how)?;
    }
    draft.finish()
}

fn record_boot(
    draft: &mut Draft<'_>,
    snapshot: &Volume,
    original: &Volume,
    how: Option<AtBoot>,
) -> Result<()> {
    if snapshot.origin.as_ref().is_some_and(|o| o.at_boot == how) {
        return Ok(());
    }
    if let Some(origin) = &mut draft.touch(snapshot.id)?.origin {
        origin.at_boot = how;
    }
    let from = snapshot.name.clone();
    draft.say(&original.name, Event::AtBoot { from, how });
    if how.is_some() {
        let (path, from) = (draft.path(&original.name), draft.path(&snapshot.name));
        draft.note(format!(
            "'{path}' is going to be restored from '{from}' when this machine boots, before it can be mounted"
        ));
    }
    Ok(())
}

/// Looks up one snapshot and its original, and refuses a snapback that is not possible.
fn side<'w>(draft: &Draft<'w>, name: &Name, mirrors: Option<usize>) -> Result<Side<'w>> {
    let snapshot = draft.volume(name)?;
    let original = original_of(draft, snapshot)?;
    draft.require_started(original)?;
    draft.require_closed(snapshot, Verb::BroughtBack)?;
    refuse_attaching(draft, original, snapshot)?;
    let (plexes, whole) = plexes_that_return(draft, snapshot, mirrors)?;
    let disks = plexes.iter().flat_map(|p| &p.subdisks).map(|s| s.disk);
    draft.world.refuse_larger_sectors(original, disks)?;
    if whole {
        refuse_dependents(draft, snapshot)?;
    }
    Ok(Side {
        snapshot,
        original,
        plexes,
        whole,
    })
}

/// The original of a snapshot. It must have the snapshot's size.
fn original_of<'w>(draft: &Draft<'w>, snapshot: &Volume) -> Result<&'w Volume> {
    let group = &draft.world.group;
    let named = |volume: &Volume| draft.world.named(&volume.name);
    let Some(origin) = &snapshot.origin else {
        let volume = named(snapshot);
        return Err(Snapshots::NoOriginal { volume }.into());
    };
    let elsewhere = || {
        let snapshot = named(snapshot);
        match &origin.apart {
            Some(apart) => Snapshots::OriginalApart {
                snapshot,
                original: InGroup::new(&apart.group_name, &apart.original),
            },
            None => Snapshots::OriginalGone { snapshot },
        }
    };
    let original = group.volume(origin.original).ok_or_else(elsewhere)?;
    if original.size != snapshot.size {
        return Err(Snapshots::SizesDiffer {
            snapshot: named(snapshot),
            size: snapshot.size,
            original: named(original),
            original_size: original.size,
        }
        .into());
    }
    Ok(original)
}

fn refuse_attaching(draft: &Draft<'_>, original: &Volume, snapshot: &Volume) -> Result<()> {
    for (volume, of_snapshot) in [(original, false), (snapshot, true)] {
        if let Some(leg) = volume.attaching().first() {
            return Err(Plexes::BeingAttached {
                volume: draft.world.named(&volume.name),
                plex: leg.name.clone(),
                of_snapshot,
            }
            .into());
        }
    }
    Ok(())
}

/// The plexes that come back, and whether these are all. They are taken from the end of the list,
/// so that the snapshot's first plex stays as long as any does.
fn plexes_that_return<'w>(
    draft: &Draft<'_>,
    snapshot: &'w Volume,
    mirrors: Option<usize>,
) -> Result<(Vec<&'w Plex>, bool)> {
    let complete = snapshot.complete();
    let data: Vec<&Plex> = complete
        .into_iter()
        .filter(|p| p.state == PlexState::Active)
        .collect();
    let (there, count) = (data.len(), mirrors.unwrap_or(data.len()));
    if there == 0 || count > there || !(snapshot.is_synced() || there == 1) {
        return Err(Snapshots::TooFewComplete {
            snapshot: draft.world.named(&snapshot.name),
            complete: there,
            wanted: count,
        }
        .into());
    }
    let lost = |plex: &&Plex| draft.world.lost_disk_of(plex);
    let here: Vec<&Plex> = data.iter().filter(|p| lost(p).is_none()).copied().collect();
    if let Some(first) = here.len().checked_sub(count) {
        return Ok((here[first..].to_vec(), count == there));
    }
    // A plex that is not here cannot be copied to, and must never be what a volume is restored from.
    let not_here = data.into_iter().find_map(|p| Some((p, lost(&p)?)));
    Err(not_here.map_or_else(
        || {
            Snapshots::TooFewComplete {
                snapshot: draft.world.named(&snapshot.name),
                complete: here.len(),
                wanted: count,
            }
            .into()
        },
        |(plex, disk)| {
            Plexes::DiskMissing {
                plex: plex.name.clone(),
                disk: draft
                    .world
                    .group
                    .disk(disk)
                    .map(|known| known.media.clone()),
            }
            .into()
        },
    ))
}

/// Refuses to remove a snapshot that is itself an original.
fn refuse_dependents(draft: &Draft<'_>, snapshot: &Volume) -> Result<()> {
    let dependents: Vec<Name> = draft
        .world
        .group
        .snapshots_of(snapshot.id)
        .map(|s| s.name.clone())
        .collect();
    if dependents.is_empty() {
        return Ok(());
    }
    Err(Snapshots::IsOriginal {
        snapshot: draft.world.named(&snapshot.name),
        of: dependents,
    }
    .into())
}

impl Side<'_> {
    /// The ranges in which the two sides may differ, in sectors; or why they are not known.
    fn changed(&self, world: &Situation) -> std::result::Result<Vec<Range<u64>>, String> {
        let differences = differences(world, self.snapshot)?;
        let first = self.original.live_dco().and_then(|d| d.copies.first());
        if !first.is_some_and(|copy| world.disks.contains_key(&copy.disk)) {
            return Err(Untracked::MapLost.reason().to_owned());
        }
        Ok(differences.either)
    }
}

/// A copy to be planned: from which plex, to which, and in how many lanes if it is one of
/// everything.
struct Copy<'w> {
    source: Option<&'w Plex>,
    legs: Vec<&'w Plex>,
    lanes: Option<Lanes>,
}

impl Copy<'_> {
    /// The pace of its disks, if all were measured: the first one of each plex.
    fn pace(&self, world: &Situation) -> Option<Pace> {
        let plexes = self.legs.iter().copied().chain(self.source);
        let paces = plexes.map(|plex| world.evidence.pace.get(&plex.subdisks.first()?.disk));
        let all: Vec<Pace> = paces.map(Option::<&Pace>::copied).collect::<Option<_>>()?;
        all.into_iter().reduce(Pace::slower)
    }
}

/// The disks that have to be measured before these snapbacks are planned: those of snapshots with so
/// many changes that a copy of everything may be faster.
pub fn to_measure(world: &Situation, names: &[Name]) -> BTreeSet<DiskId> {
    let disks = |name: &Name| {
        let snapshot = world.group.volume_named(name).ok()?;
        let original = world.group.volume(snapshot.origin.as_ref()?.original)?;
        let changed = differences(world, snapshot).ok()?.either;
        let size = original.size;
        let regions = dco::regions(size, dco::region(size, &changed), &changed);
        let plexes = original.plexes.iter().chain(&snapshot.plexes);
        let first = plexes.filter_map(|plex| plex.subdisks.first());
        let disks: Vec<DiskId> = first.map(|extent| extent.disk).collect();
        dco::are_many(size, &regions).then_some(disks)
    };
    names.iter().filter_map(disks).flatten().collect()
}

fn extent(world: &Situation, size: Sectors, sides: &[&Side<'_>], copy: &Copy<'_>) -> Extent {
    if copy.legs.len() >= MAX_LEGS {
        return Extent::All(format!(
            "the kernel takes a log for at most {} legs at once",
            MAX_LEGS - 1
        ));
    }
    if sides
        .iter()
        .any(|side| is_log_occupied(world, side.original.id))
    {
        return Extent::All("another process still has the log of an earlier copy open".to_owned());
    }
    let mut all = Vec::new();
    for side in sides {
        match side.changed(world) {
            Ok(pieces) => all.extend(pieces),
            Err(reason) => return Extent::All(reason),
        }
    }
    let region = dco::region(size, &all);
    let regions = dco::regions(size, region, &all);
    let suited = || draft::lanes_for(world, size, &copy.legs, copy.source);
    let lanes = copy.lanes.unwrap_or_else(suited);
    let is_all_faster = |pace| dco::is_all_faster(size, region, &regions, lanes, pace);
    if copy.pace(world).is_some_and(is_all_faster) {
        let places: u64 = regions.iter().map(|range| range.end - range.start).sum();
        return Extent::Faster(places);
    }
    Extent::Regions(region, regions)
}

/// Whether a change log cannot be used, because another process has its old device open.
fn is_log_occupied(world: &World, original: VolumeId) -> bool {
    [ChangeLog::A, ChangeLog::B]
        .into_iter()
        .any(|log| world.occupied(original, &Role::Changes(log)).is_some())
}

impl Extent {
    fn size(&self, volume: &Volume) -> Sectors {
        match self {
            Extent::Regions(region, regions) => {
                ranges::length(&dco::pieces(volume.size, *region, regions))
            }
            Extent::Faster(_) | Extent::All(_) => volume.size,
        }
    }

    fn copied(&self, original: &Volume) -> Copied {
        Copied {
            size: original.size,
            to_copy: self.size(original),
            tracked: !matches!(self, Extent::All(_)),
            reason: self.why_all(),
        }
    }

    /// Why everything is copied, if it is.
    fn why_all(&self) -> Option<String> {
        match self {
            Extent::Regions(..) => None,
            Extent::Faster(places) => Some(format!(
                "that is faster than to copy what has changed in {places} places; a stop or a crash meanwhile gives that copy up"
            )),
            Extent::All(why) => Some(why.clone()),
        }
    }

    fn reason(&self) -> String {
        self.why_all().map_or_else(
            || "the rest has not changed on either side since the split".to_owned(),
            |why| format!("everything, because {why}"),
        )
    }
}

/// Writes to the snapshot after its map was read would be lost, so it must be closed. The original
/// may stay open, because its map is read twice.
fn rule_out_writes(draft: &mut Draft<'_>, side: &Side<'_>, extent: &Extent) {
    let uuid = DmUuid::new(draft.world.group.id, side.snapshot.id, &Role::Volume);
    let map = draft.world.evidence.maps.get(&side.snapshot.id);
    let writes = map.and_then(|map| map.writes);
    if let (Extent::Regions(..), Some(writes)) = (extent, writes) {
        draft.plan.prepare.push(Prepare::Unwritten { uuid, writes });
    }
}

/// Lets the window check that these volumes are closed. Planning has refused those that were open;
/// this catches a process that opens one afterwards. (A snapshot that is removed needs no check,
/// because an open device cannot be removed.)
fn rule_out_openers(draft: &mut Draft<'_>, volumes: &[&Volume]) {
    let started = volumes
        .iter()
        .filter(|volume| draft.device(volume).is_some());
    let uuids: Vec<DmUuid> = started
        .map(|volume| DmUuid::new(draft.world.group.id, volume.id, &Role::Volume))
        .collect();
    draft.plan.window.closed.extend(uuids);
}

/// The original wins: the plexes of its snapshots become its legs and are brought up to date.
fn bring_back(draft: &mut Draft<'_>, sides: &[&Side<'_>], lanes: Option<Lanes>) -> Result<()> {
    let Some(original) = sides.first().map(|side| side.original) else {
        return Ok(());
    };
    let copy = Copy {
        source: original.complete().first().copied(),
        legs: sides.iter().flat_map(|side| side.plexes.clone()).collect(),
        lanes,
    };
    let extent = extent(draft.world, original.size, sides, &copy);
    for side in sides {
        let path = draft.path(&side.snapshot.name);
        say_beforehand(draft, &path, &draft.path(&original.name), original, &extent);
        let returning = Event::Returning {
            to: original.name.clone(),
            plexes: names_of(&side.plexes),
            copied: extent.copied(original),
        };
        draft.say(&side.snapshot.name, returning);
        rule_out_writes(draft, side, &extent);
        if !side.whole {
            rule_out_openers(draft, &[side.snapshot]);
        }
        for plex in &side.plexes {
            let mut leg = moved(draft, side, plex)?;
            leg.state = PlexState::SnapAtt;
            let changed = draft.touch(original.id)?;
            changed.plexes.push(leg);
            changed.lost_leg = None;
        }
        leave(draft, side)?;
    }
    draft.provide_dcos(original.id)?;
    draft.choose_lanes(original.id, lanes, 1)?;
    set_log(draft, original, &extent)
}

/// The snapshot wins: its plex is the original's first leg from the first window on, and the other
/// plexes are filled from it.
fn restore(draft: &mut Draft<'_>, side: &Side<'_>, lanes: Option<Lanes>) -> Result<()> {
    let Side {
        original, snapshot, ..
    } = side;
    draft.require_closed(original, Verb::Restored)?;
    let targets = original.complete();
    let copy = Copy {
        source: side.plexes.first().copied(),
        legs: targets.clone(),
        lanes,
    };
    let extent = extent(draft.world, original.size, &[side], &copy);
    let (path, from) = (draft.path(&original.name), draft.path(&snapshot.name));
    say_beforehand(draft, &path, &from, original, &extent);
    let restoring = Event::Restoring {
        from: snapshot.name.clone(),
        plexes: names_of(&side.plexes),
        copied: extent.copied(original),
    };
    draft.say(&original.name, restoring);
    rule_out_writes(draft, side, &extent);
    let stays = Some(*snapshot).filter(|_| !side.whole);
    rule_out_openers(
        draft,
        &[Some(*original), stays]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>(),
    );
    for plex in targets {
        apply(draft.touch(original.id)?, plex, PlexEvent::Superseded);
    }
    for plex in &side.plexes {
        let plex = moved(draft, side, plex)?;
        draft.touch(original.id)?.plexes.push(Plex {
            serves_restore: true,
            ..plex
        });
    }
    draft.touch(original.id)?.synced = original.size;
    draft.choose_lanes(original.id, lanes, 1)?;
    invalidate_others(draft, side)?;
    leave(draft, side)?;
    set_log(draft, original, &extent)
}

/// Exchanges the contents of the two volumes. They exchange as many plexes as the snapshot has.
/// Plexes that the original has beyond these stay with it and are filled from those that it
/// receives, so that it is as redundant as before.
fn exchange(draft: &mut Draft<'_>, side: &Side<'_>, lanes: Option<Lanes>) -> Result<()> {
    let Side {
        original, snapshot, ..
    } = side;
    draft.require_closed(original, Verb::Restored)?;
    if !original.is_synced() || !snapshot.is_synced() {
        let original = draft.world.named(&original.name);
        return Err(Volumes::ExchangeWhileUnequal { original }.into());
    }
    for (volume, of) in [(original, snapshot), (snapshot, original)] {
        draft.world.refuse_larger_sectors(
            volume,
            of.plexes.iter().flat_map(|p| &p.subdisks).map(|s| s.disk),
        )?;
    }
    let count = snapshot.in_state(PlexState::Active).count();
    let (go, stay): (Vec<&Plex>, Vec<&Plex>) = handed_over(original, count);
    let copy = Copy {
        source: snapshot.complete().first().copied(),
        legs: stay.clone(),
        lanes,
    };
    let extent = (!stay.is_empty()).then(|| extent(draft.world, original.size, &[side], &copy));
    say_exchange(draft, side, &stay, extent.as_ref());
    extent
        .iter()
        .for_each(|extent| rule_out_writes(draft, side, extent));
    rule_out_openers(draft, &[original, snapshot]);
    for plex in &stay {
        apply(draft.touch(original.id)?, plex, PlexEvent::Superseded);
    }
    draft
        .touch(original.id)?
        .plexes
        .retain(|p| !go.iter().any(|gone| gone.number == p.number));
    for plex in &snapshot.plexes {
        let number = number_in(draft, original.id, plex)?;
        draft.touch(original.id)?.plexes.push(Plex {
            number,
            ..plex.clone()
        });
    }
    draft.touch(snapshot.id)?.plexes = go.into_iter().cloned().collect();
    draft.choose_lanes(original.id, lanes, 1)?;
    renew_logs(draft, [original.id, snapshot.id])?;
    invalidate_others(draft, side)?;
    extent
        .iter()
        .try_for_each(|extent| set_log(draft, original, extent))
}

/// Divides the complete plexes of an original: the first data plexes go to the snapshot, the rest
/// stay.
fn handed_over(original: &Volume, count: usize) -> (Vec<&Plex>, Vec<&Plex>) {
    let complete = original.complete();
    let data = complete
        .iter()
        .filter(|p| p.state == PlexState::Active)
        .count();
    let (go, stay) = complete.split_at(count.min(data));
    (go.to_vec(), stay.to_vec())
}

fn names_of(plexes: &[&Plex]) -> Vec<Name> {
    plexes.iter().map(|plex| plex.name.clone()).collect()
}

/// Gives each mirror of complete plexes a new dirty region log. Its old one may be in use by the
/// other mirror until the swap, which would overwrite new contents.
fn renew_logs(draft: &mut Draft<'_>, volumes: [VolumeId; 2]) -> Result<()> {
    for id in volumes {
        let mut volume = draft.touch(id)?.clone();
        // While a mirror is being filled, its log is not in use; it is written anew when it comes
        // into use.
        if volume.attaching().is_empty() || volume.complete().len() > 1 {
            volume.log = None;
            draft.touch(id)?.log = draft.optional_log(&volume);
        }
    }
    Ok(())
}

fn say_exchange(draft: &mut Draft<'_>, side: &Side<'_>, stay: &[&Plex], extent: Option<&Extent>) {
    let Side {
        original, snapshot, ..
    } = side;
    let (path, other) = (draft.path(&original.name), draft.path(&snapshot.name));
    let names: Vec<&str> = stay.iter().map(|p| p.name.as_str()).collect();
    let copy = match extent {
        None => "nothing is copied".to_owned(),
        Some(extent) => {
            let (copied, size) = (extent.size(original), original.size);
            format!(
                "{copied} of {size} are copied to {}, which '{path}' keeps ({})",
                names.join(", "),
                extent.reason()
            )
        }
    };
    draft.announce(format!(
        "'{path}' and '{other}' exchange their contents; {copy}"
    ));
    let exchanged = Event::Exchanged {
        with: snapshot.name.clone(),
        size: original.size,
        kept: extent.map(|extent| (names_of(stay), extent.copied(original))),
    };
    draft.say(&original.name, exchanged);
    let data = |volume: &Volume| volume.in_state(PlexState::Active).count();
    if data(original) < data(snapshot) {
        let (has, had) = (data(original), data(snapshot));
        let mirror = Advised::Mirror {
            of: Of::both(&draft.world.group.name, &snapshot.name),
            avoid: None,
        };
        let now = format!("'{other}' has {has} data plexes now, it had {had}: ");
        draft.note(Hint::from(now).line(mirror).and(" adds one"));
    }
}

/// Ends the tracking between the original and its other relations, and that of snapshots of the
/// snapshot: what was tracked applies to the old contents.
fn invalidate_others(draft: &mut Draft<'_>, side: &Side<'_>) -> Result<()> {
    let except = Some(side.snapshot.id);
    let mut changes = relations::untrack(
        &mut draft.plan.group,
        side.original.id,
        except,
        Untracked::Restored,
    );
    let dependents: Vec<VolumeId> = draft
        .world
        .group
        .snapshots_of(side.snapshot.id)
        .map(|s| s.id)
        .collect();
    for id in dependents {
        changes.extend(relations::untrack(
            &mut draft.plan.group,
            id,
            None,
            Untracked::Restored,
        ));
    }
    draft.plan.changes.extend(changes);
    Ok(())
}

/// The plex as part of the original: it may get another number there, and keeps its name.
fn moved(draft: &mut Draft<'_>, side: &Side<'_>, plex: &Plex) -> Result<Plex> {
    let number = number_in(draft, side.original.id, plex)?;
    let original = draft.touch(side.original.id)?.clone();
    let spare = side
        .snapshot
        .dco
        .clone()
        .filter(|_| side.whole && plex.dco.is_none());
    let dco = plex
        .dco
        .clone()
        .or(spare)
        .map(|dco| Dco { live: false, ..dco });
    // Only one leg may get the space of the snapshot's maps.
    let given = original.plexes.iter().any(|p| {
        p.dco.is_some()
            && dco
                .as_ref()
                .is_some_and(|dco| p.dco.as_ref().is_some_and(|d| d.copies == dco.copies))
    });
    Ok(Plex {
        number,
        dco: dco.filter(|_| !given),
        serves_restore: false,
        ..plex.clone()
    })
}

/// The number of a plex in another volume: its own if that is free there, otherwise a new one.
fn number_in(draft: &mut Draft<'_>, volume: VolumeId, plex: &Plex) -> Result<u16> {
    let volume = draft.touch(volume)?.clone();
    let fresh = draft.new_plex(&volume, plex.state, Vec::new())?;
    let held = draft.world.devices.contains_key(&DmUuid::new(
        draft.world.group.id,
        volume.id,
        &Role::Plex(plex.number),
    ));
    Ok(if volume.plex(plex.number).is_none() && !held {
        plex.number
    } else {
        fresh.number
    })
}

/// Takes the returned plexes out of the snapshot. If none is left, the snapshot is removed.
fn leave(draft: &mut Draft<'_>, side: &Side<'_>) -> Result<()> {
    let numbers: Vec<u16> = side.plexes.iter().map(|p| p.number).collect();
    if side.whole {
        for plex in side
            .snapshot
            .plexes
            .iter()
            .filter(|p| !numbers.contains(&p.number))
        {
            draft.say(&side.snapshot.name, Event::removed(plex));
        }
        draft.drop_volume(side.snapshot.id);
        return Ok(());
    }
    draft
        .touch(side.snapshot.id)?
        .plexes
        .retain(|p| !numbers.contains(&p.number));
    Ok(())
}

/// Gives the mirror of the returning legs a change log, if the changes are known.
fn set_log(draft: &mut Draft<'_>, original: &Volume, extent: &Extent) -> Result<()> {
    let Extent::Regions(region, regions) = extent else {
        return Ok(());
    };
    // The log has all writes before this era; the second reading begins with it.
    let since = draft
        .world
        .evidence
        .maps
        .get(&original.id)
        .and_then(|map| map.listed)
        .unwrap_or(FIRST_ERA);
    let volume = draft.touch(original.id)?;
    volume.returning = Some(Returning {
        log: ChangeLog::A,
        region: *region,
        since,
        exact: false,
    });
    let volume = volume.clone();
    write_log(&mut draft.plan, &volume, regions.clone());
    Ok(())
}

fn write_log(plan: &mut Plan, volume: &Volume, dirty: Vec<Range<u64>>) {
    if let Some((returning, extent)) = stack::change_log(volume) {
        plan.prepare.push(Prepare::WriteChanges {
            extent,
            size: volume.size,
            region: returning.region,
            dirty,
        });
    }
}

/// Announces, before anything is changed, which volume is overwritten with which, how much is
/// copied, and why.
fn say_beforehand(
    draft: &mut Draft<'_>,
    target: &str,
    source: &str,
    original: &Volume,
    extent: &Extent,
) {
    let (copied, size) = (extent.size(original), original.size);
    draft.announce(format!(
        "'{target}' is going to be overwritten with '{source}': {copied} of {size} are copied ({})",
        extent.reason()
    ));
}

/// Plans the second window: adds to the log what was written between the first reading of the map
/// and the first window. If that is not known, everything is copied.
pub fn complete_log(world: &Situation, id: VolumeId) -> Result<Plan> {
    let gone = || Bug::LostWhileRecording;
    let volume = world.group.volume(id).ok_or_else(gone)?;
    let mut draft = Draft::new(world);
    let Some(returning) = volume.returning else {
        return Ok(draft.plan);
    };
    let unread = || Err("it was not read".to_owned());
    let listed = world
        .evidence
        .changed(id, returning.since)
        .cloned()
        .unwrap_or_else(unread);
    let map = world.evidence.maps.get(&id);
    let left = map.and_then(|map| map.left.clone()).unwrap_or_else(unread);
    let path = draft.path(&volume.name);
    let log = if returning.log == ChangeLog::A {
        ChangeLog::B
    } else {
        ChangeLog::A
    };
    let free = match world.occupied(id, &Role::Changes(log)) {
        None => Ok(()),
        Some(held) => Err(format!(
            "another process has the old device '{}' open",
            held.name
        )),
    };
    match free.and(listed).and_then(|changed| {
        Ok([left?, dco::regions(volume.size, returning.region, &changed)].concat())
    }) {
        Ok(regions) => {
            let changed = draft.touch(id)?;
            changed.returning = Some(Returning {
                log,
                exact: true,
                ..returning
            });
            let changed = changed.clone();
            write_log(&mut draft.plan, &changed, ranges::union(regions));
            draft.say(&volume.name, Event::ChangesComplete);
        }
        Err(why) => {
            draft.touch(id)?.returning = None;
            draft.note(format!(
                "everything is copied to the legs that come back to '{path}': {why}"
            ));
            draft.say(&volume.name, Event::ChangesUnknown { reason: why });
        }
    }
    draft.finish()
}
