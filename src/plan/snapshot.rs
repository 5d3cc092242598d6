//! `snapshot`: splits legs that are in sync off as independent volumes, all in one window, all or
//! none. Also `snapabort` and `snapclear`.

use super::change::{Event, NewSnapshot};
use super::draft::Draft;
use super::evidence::Situation;
use super::refusal::{
    Asked, Counted, InGroup, Plexes, Refusal, Repeated, Result, Snapshots, Volumes,
};
use super::request::{Legs, Relations, Split, Splits};
use super::step::Plan;
use super::world::World;
use super::world::link;
use crate::model::{
    Away, CrashReason, DmUuid, Group, Lanes, Name, Next, NodeOwner, Origin, Plex, PlexEvent,
    PlexState, Tracking, Untracked, Volume, VolumeId, distinct,
};
use crate::table::stack::{LegOf, mirror_roles};
use crate::table::status::MirrorStatus;

/// The default pattern of snapshot names: `SNAP-VOL`, then `SNAP1-VOL`, …
pub const DEFAULT_PATTERN: &str = "SNAP%d-%v";

/// The first era of a new map. Blocks that were never written belong to era 0 (K34).
pub const FIRST_ERA: u32 = 1;

/// A volume with the legs to split off. [`ready`] creates it only for legs that are in sync.
struct Ready<'w> {
    volume: &'w Volume,
    legs: Vec<&'w Plex>,
}

/// Plans the split of all requested volumes.
pub fn snapshot(
    world: &Situation,
    splits: &Splits,
    legs: &Legs,
    pattern: Option<&str>,
    require_frozen: bool,
) -> Result<Plan> {
    if matches!(legs, Legs::Count(0) | Legs::On(0, _)) {
        return Err(Asked::Nothing(Counted::SplitLegs).into());
    }
    let mut draft = Draft::new(world);
    let splits = resolve(world, splits)?;
    refuse_strangers(world, &splits, legs)?;
    let ready = splits
        .iter()
        .map(|split| ready(&draft, &split.volume, legs))
        .collect::<Result<Vec<_>>>()?;
    if require_frozen {
        ready
            .iter()
            .try_for_each(|ready| refuse_unfrozen(&draft, ready.volume))?;
    }
    for (split, ready) in splits.iter().zip(ready) {
        let name = match &split.name {
            Some(name) => name.clone(),
            None => default_name(&draft, pattern.unwrap_or(DEFAULT_PATTERN), &split.volume)?,
        };
        draft.check_new_name(&name)?;
        split_off(&mut draft, &ready, name)?;
    }
    draft.finish()
}

/// Refuses a snapshot that must be `frozen` and would not be.
fn refuse_unfrozen(draft: &Draft<'_>, volume: &Volume) -> Result<()> {
    let Some(reason) = draft.world.evidence.unfrozen(volume.id) else {
        return Ok(());
    };
    Err(Snapshots::NotFrozen {
        volume: draft.world.named(&volume.name),
        reason: reason.to_owned(),
    }
    .into())
}

/// The volumes to split, each with the name of its snapshot if one was given.
pub fn resolve(world: &World, splits: &Splits) -> Result<Vec<Split>> {
    let unnamed = |name: &Name| Split {
        volume: name.clone(),
        name: None,
    };
    let exists = |name: &Name| world.group.volumes.iter().any(|v| v.name == *name);
    let list = match splits {
        Splits::These(list) => list.clone(),
        Splits::PairOrTwo(first, second) if exists(second) => vec![unnamed(first), unnamed(second)],
        Splits::PairOrTwo(first, second) => vec![Split {
            volume: first.clone(),
            name: Some(second.clone()),
        }],
        Splits::All => world
            .group
            .volumes
            .iter()
            .filter(|v| v.origin.is_none())
            .map(|v| unnamed(&v.name))
            .collect(),
    };
    for (at, split) in list.iter().enumerate() {
        if list[..at].iter().any(|other| other.volume == split.volume) {
            return Err(Asked::Twice {
                what: Repeated::Volume,
                name: split.volume.clone(),
            }
            .into());
        }
    }
    if list.is_empty() {
        let group = world.group.name.clone();
        return Err(Asked::NoVolumes { group }.into());
    }
    Ok(list)
}

/// Refuses a named plex or disk that does not exist, and a plex of a volume that is not to be
/// split.
fn refuse_strangers(world: &World, splits: &[Split], legs: &Legs) -> Result<()> {
    match legs {
        Legs::Count(_) => {}
        Legs::On(_, disks) => disks
            .iter()
            .try_for_each(|media| world.group.disk_named(media).map(|_| ()))?,
        Legs::Named(plexes) => {
            for plex in plexes {
                let (volume, _) = world.group.plex_named(plex)?;
                if !splits.iter().any(|split| split.volume == volume.name) {
                    return Err(Asked::PlexOfAnother {
                        plex: plex.clone(),
                        volume: world.named(&volume.name),
                    }
                    .into());
                }
            }
        }
    }
    Ok(())
}

/// Selects enough legs that are recorded as complete and in sync by the kernel's status. The window
/// checks the status once more.
fn ready<'w>(draft: &Draft<'w>, name: &Name, which: &Legs) -> Result<Ready<'w>> {
    let volume = draft.volume(name)?;
    draft.require_started(volume)?;
    let legs = legs_of(draft, volume, which)?;
    if !volume.is_synced() {
        let volume = draft.world.named(name);
        return Err(Volumes::SplitWhileUnequal { volume }.into());
    }
    refuse_unhealthy(draft.world, volume, &legs)?;
    Ok(Ready { volume, legs })
}

/// The legs to split off, in the order in which they were attached.
fn legs_of<'w>(draft: &Draft<'w>, volume: &'w Volume, which: &Legs) -> Result<Vec<&'w Plex>> {
    let done = || volume.in_state(PlexState::SnapDone);
    let enough = |wanted: usize| {
        if done().count() < wanted {
            Err(not_enough(draft, volume, wanted, done().count()))
        } else {
            Ok(())
        }
    };
    match which {
        Legs::Count(wanted) => {
            enough(*wanted)?;
            Ok(done().take(*wanted).collect())
        }
        Legs::On(wanted, disks) => {
            enough(*wanted)?;
            let media = |id| draft.world.group.disk(id).map(|d| &d.media);
            let lies_there = |leg: &&Plex| {
                leg.subdisks
                    .iter()
                    .all(|s| media(s.disk).is_some_and(|m| disks.contains(m)))
            };
            let legs: Vec<&Plex> = done().filter(lies_there).take(*wanted).collect();
            if legs.len() < *wanted {
                Err(lie_elsewhere(draft, volume, *wanted, &legs, disks))
            } else {
                Ok(legs)
            }
        }
        Legs::Named(plexes) => {
            let named: Vec<&Plex> = volume
                .plexes
                .iter()
                .filter(|p| plexes.contains(&p.name))
                .collect();
            if named.is_empty() {
                return legs_of(draft, volume, &Legs::Count(1));
            }
            match named.iter().find(|p| p.state != PlexState::SnapDone) {
                Some(other) => Err(no_leg(draft, volume, other)),
                None => Ok(named),
            }
        }
    }
}

/// The refusal if complete legs exist, but not on the requested disks. It contains where they are.
fn lie_elsewhere(
    draft: &Draft<'_>,
    volume: &Volume,
    wanted: usize,
    legs: &[&Plex],
    disks: &[Name],
) -> Refusal {
    let lies_on = |leg: &Plex| {
        let disks = distinct(leg.subdisks.iter().map(|s| s.disk));
        disks.into_iter().map(|disk| draft.world.shown(disk))
    };
    Snapshots::LegsElsewhere {
        volume: draft.world.named(&volume.name),
        wanted,
        there: legs.len(),
        disks: disks.to_vec(),
        legs: volume
            .in_state(PlexState::SnapDone)
            .map(|leg| (leg.name.clone(), lies_on(leg).collect()))
            .collect(),
    }
    .into()
}

/// The refusal for a named plex that cannot be split off.
fn no_leg(draft: &Draft<'_>, volume: &Volume, plex: &Plex) -> Refusal {
    Plexes::NotDone {
        volume: draft.world.named(&volume.name),
        plex: plex.name.clone(),
        state: plex.state,
    }
    .into()
}

fn not_enough(draft: &Draft<'_>, volume: &Volume, wanted: usize, done: usize) -> Refusal {
    Snapshots::NotEnough {
        volume: draft.world.named(&volume.name),
        wanted,
        done,
        attaching: volume.in_state(PlexState::SnapAtt).count(),
    }
    .into()
}

/// Refuses a leg whose mirror has any letter but `A` in its status (K15).
fn refuse_unhealthy(world: &World, volume: &Volume, legs: &[&Plex]) -> Result<()> {
    for (role, members, _) in mirror_roles(volume)? {
        let holds = |leg: &&&Plex| members.contains(&LegOf::Plex(leg.number));
        let Some(leg) = legs.iter().find(holds) else {
            continue;
        };
        let device = world
            .devices
            .get(&DmUuid::new(world.group.id, volume.id, &role));
        let status = device.and_then(|d| d.mirror.as_ref());
        if status.is_some_and(MirrorStatus::in_sync) {
            continue;
        }
        return Err(Plexes::NotInSync {
            volume: world.named(&volume.name),
            leg: leg.name.clone(),
            status: status.cloned(),
        }
        .into());
    }
    Ok(())
}

/// The first unused name that the pattern gives: with an empty number, then 1, 2, …
fn default_name(draft: &Draft<'_>, pattern: &str, volume: &Name) -> Result<Name> {
    if !pattern.contains("%v") && !pattern.contains("%d") {
        let pattern = pattern.to_owned();
        return Err(Asked::ConstantPattern { pattern }.into());
    }
    let fill =
        |number: &str| Name::parse(&pattern.replace("%v", volume.as_str()).replace("%d", number));
    let free = |name: &Name| !draft.plan.group.volumes.iter().any(|v| v.name == *name);
    let numbers = std::iter::once(String::new()).chain((1..100_000u32).map(|n| n.to_string()));
    for number in numbers {
        let name = fill(&number)?;
        if free(&name) {
            return Ok(name);
        }
        if !pattern.contains("%d") {
            return Err(Volumes::NameTaken {
                volume: draft.world.named(&name),
                by_pattern: true,
            }
            .into());
        }
    }
    let pattern = pattern.to_owned();
    Err(Asked::PatternUsedUp { pattern }.into())
}

fn split_off(draft: &mut Draft<'_>, ready: &Ready<'_>, name: Name) -> Result<()> {
    let Ready { volume, legs } = ready;
    let world = draft.world;
    let numbers: Vec<u16> = legs.iter().map(|p| p.number).collect();
    let mut snapshot = snapshot_volume(world, volume, legs, name);
    let tracking = track(draft, volume, &mut snapshot)?;
    snapshot
        .origin
        .iter_mut()
        .for_each(|origin| origin.tracking = tracking);
    draft.split_terms(volume.id, numbers.clone());
    draft
        .touch(volume.id)?
        .plexes
        .retain(|p| !numbers.contains(&p.number));
    let (path, original) = (draft.path(&snapshot.name), draft.path(&volume.name));
    let device = link(&world.group.name, &snapshot.name);
    let crash = snapshot
        .origin
        .as_ref()
        .and_then(|origin| origin.crash.clone());
    let split = NewSnapshot {
        original: volume.name.clone(),
        plexes: legs.iter().map(|p| p.name.clone()).collect(),
        size: volume.size,
        device: device.clone(),
        crash: crash.clone(),
        freeze_us: None,
    };
    draft.say(&snapshot.name, Event::Split(split));
    if let Some(reason) = crash {
        draft.note(format!(
            "'{path}' holds what a crash at the split would have left: {}",
            reason.as_str()
        ));
    }
    let content = world.evidence.users.get(&volume.id);
    let advice = advice(
        content.and_then(|users| users.content.as_deref()),
        &device.display().to_string(),
    );
    draft.note(format!(
        "'{path}' holds '{original}' as it is at the split; {advice}"
    ));
    draft.plan.snapshots.push(snapshot.id);
    let (id, log) = (snapshot.id, draft.optional_log(&snapshot));
    draft.add(snapshot);
    draft.touch(id)?.log = log;
    Ok(())
}

/// Advice on how to use a snapshot beside its original. A search by UUID finds the original (K11).
fn advice(content: Option<&str>, device: &str) -> String {
    let by_uuid = "by-uuid links keep pointing to the original";
    match content {
        Some(
            "ext2" | "ext3" | "ext4" | "vfat" | "exfat" | "ntfs" | "f2fs" | "jfs" | "reiserfs"
            | "iso9660",
        ) => {
            format!("mount it with: mount -o ro {device} DIR  ({by_uuid})")
        }
        Some("xfs") => format!("mount it with: mount -o ro,nouuid {device} DIR  ({by_uuid})"),
        Some("btrfs") => format!(
            "it holds btrfs, which finds its devices by a UUID that the original has, too: mount it on another machine, all its devices named \
             with '-o ro,device=…', or, where it lies on one device only, after: btrfstune -m {device}"
        ),
        Some("crypto_LUKS") => {
            format!(
                "open it with: cryptsetup open --readonly {device} NAME, then mount /dev/mapper/NAME with -o ro  (XFS: -o ro,nouuid)"
            )
        }
        Some("LVM2_member") => {
            format!(
                "it holds LVM: vgimportclone --basevgname NAME {device} gives its volume group another name; name all snapshots of the group's disks"
            )
        }
        Some("linux_raid_member") => {
            format!(
                "it holds a part of an md array: mdadm --assemble --readonly --update=uuid /dev/md/NAME {device} and its other parts' snapshots"
            )
        }
        Some("swap") => format!("it holds swap and cannot be mounted: {device}"),
        Some("gpt" | "dos") => format!(
            "it holds partitions: losetup --partscan --read-only --show -f {device} makes devices of them"
        ),
        Some(_) | None => {
            format!("mount it with: mount -o ro {device} DIR  (XFS: -o ro,nouuid; {by_uuid})")
        }
    }
}

fn snapshot_volume(world: &Situation, volume: &Volume, legs: &[&Plex], name: Name) -> Volume {
    let plexes = legs
        .iter()
        .filter_map(|leg| match leg.state.on(PlexEvent::SplitOff) {
            Next::State(state) => Some(Plex {
                state,
                ..(*leg).clone()
            }),
            Next::Gone | Next::Refused => None,
        });
    let crash = world.evidence.unfrozen(volume.id).map(CrashReason::new);
    let origin = Origin {
        at_boot: None,
        apart: None,
        original: volume.id,
        taken_at: world.now,
        crash,
        freeze_us: 0,
        tracking: Tracking::Untracked(Untracked::Off),
    };
    Volume {
        id: VolumeId::random(),
        name,
        size: volume.size,
        plexes: plexes.collect(),
        log: None,
        log_wanted: volume.log_wanted,
        running: Some(world.boot),
        synced: volume.size,
        origin: Some(origin),
        away: Vec::new(),
        copied: true,
        fast_resync: volume.fast_resync,
        dco: None,
        returning: None,
        sector_size: world.sector_size(volume),
        lost_leg: None,
        lanes: Lanes::ONE,
        owner: NodeOwner::default(),
    }
}

/// Begins to track the changes of both sides with the split, if tracking is on and there is space
/// for it.
fn track(draft: &mut Draft<'_>, volume: &Volume, snapshot: &mut Volume) -> Result<Tracking> {
    if !volume.fast_resync {
        return Ok(Tracking::Untracked(Untracked::Off));
    }
    if draft.world.evidence.era.target != Some(true) {
        return Ok(Tracking::Untracked(Untracked::NoTarget));
    }
    let spare = snapshot
        .plexes
        .iter()
        .find_map(|p| Some((p.number, draft.usable(p.dco.as_ref()?)?)));
    let own = match volume.live_dco() {
        Some(live) => Some(live.clone()),
        None => volume.dco.as_ref().and_then(|dco| draft.usable(dco)),
    };
    let Some(((number, spare), own)) = spare.zip(own) else {
        let was_set_aside = volume.dco.is_some() && snapshot.plexes.iter().any(|p| p.dco.is_some());
        return Ok(Tracking::Untracked(if was_set_aside {
            Untracked::MapLost
        } else {
            Untracked::NoSpace
        }));
    };
    snapshot
        .plexes
        .iter_mut()
        .filter(|p| p.number == number)
        .for_each(|p| p.dco = None);
    snapshot.dco = Some(spare);
    // A new map starts with the first era. In a map that is in use, the split ends the current era,
    // so that tracking counts from the next.
    let map = draft.world.evidence.maps.get(&volume.id);
    let since = map
        .and_then(|map| map.era)
        .filter(|_| own.live)
        .map_or(FIRST_ERA, |era| era.saturating_add(1));
    draft.touch(volume.id)?.dco = Some(own);
    Ok(Tracking::Since(since))
}

/// Removes snapshot legs: those that are still being attached first, and of each kind the newest
/// first.
pub fn snapabort(world: &Situation, name: &Name, count: Option<usize>) -> Result<Plan> {
    let mut draft = Draft::new(world);
    let volume = draft.volume(name)?;
    let newest = |state| volume.in_state(state).rev().collect::<Vec<_>>();
    let legs: Vec<&Plex> = newest(PlexState::SnapAtt)
        .into_iter()
        .chain(newest(PlexState::SnapDone))
        .collect();
    let count = count.unwrap_or(legs.len()).max(1);
    if legs.len() < count {
        return Err(Snapshots::TooFewLegs {
            volume: world.named(name),
            legs: legs.len(),
            wanted: count,
        }
        .into());
    }
    for leg in &legs[..count] {
        super::activate::apply(draft.touch(volume.id)?, leg, PlexEvent::Removed);
        draft.say(&volume.name, Event::removed(leg));
    }
    draft.finish()
}

/// Ends the relation between a snapshot and its original for good. No data is changed.
pub fn snapclear(world: &Situation, name: &Name, which: &Relations) -> Result<Plan> {
    let mut draft = Draft::new(world);
    let volume = draft.volume(name)?;
    for relation in relations(&world.group, volume, which)? {
        let snapshot = match relation {
            Related::Here(snapshot) => snapshot,
            // The other group ends it on its side when it is asked to, or when both are one again.
            Related::Away(away) => {
                let changed = draft.touch(volume.id)?;
                changed.away.retain(|other| other.snapshot != away.snapshot);
                let original = Some(volume.name.clone());
                draft.say(&away.name, Event::Unlinked { original });
                continue;
            }
        };
        let origin = snapshot.origin.as_ref();
        let original = origin.and_then(|o| world.group.volume(o.original));
        draft.touch(snapshot.id)?.origin = None;
        let original = original.map(|v| v.name.clone());
        draft.say(&snapshot.name, Event::Unlinked { original });
    }
    draft.finish()
}

/// A relation that is to end.
#[derive(Clone, Copy)]
enum Related<'g> {
    /// That of this snapshot to its original.
    Here(&'g Volume),
    /// That of the volume to a snapshot in another group.
    Away(&'g Away),
}

/// The relations that are to end. Never empty.
fn relations<'g>(
    group: &'g Group,
    volume: &'g Volume,
    which: &Relations,
) -> Result<Vec<Related<'g>>> {
    let own = volume.origin.is_some().then_some(volume);
    let all: Vec<Related<'_>> = own
        .into_iter()
        .chain(group.snapshots_of(volume.id))
        .map(Related::Here)
        .chain(volume.away.iter().map(Related::Away))
        .collect();
    let named = |volume: &Volume| InGroup::new(&group.name, &volume.name);
    if all.is_empty() {
        let volume = named(volume);
        return Err(Snapshots::NoRelation { volume }.into());
    }
    match which {
        Relations::All => Ok(all),
        Relations::To(peer) => {
            if let Some(away) = volume.away.iter().find(|away| away.name == *peer) {
                return Ok(vec![Related::Away(away)]);
            }
            let peer = group.volume_named(peer)?;
            let related =
                |a: &Volume, b: &Volume| a.origin.as_ref().is_some_and(|o| o.original == b.id);
            let between = [(peer, volume), (volume, peer)]
                .into_iter()
                .find(|(a, b)| related(a, b))
                .map(|(a, _)| a);
            let unrelated = || Snapshots::Unrelated {
                volume: named(volume),
                peer: named(peer),
            };
            Ok(vec![Related::Here(between.ok_or_else(unrelated)?)])
        }
        // The named volume is a snapshot: its relation to its original is meant, even if it has
        // snapshots itself.
        Relations::TheOne if volume.origin.is_some() => Ok(vec![Related::Here(volume)]),
        Relations::TheOne if all.len() == 1 => Ok(all),
        Relations::TheOne => Err(Asked::WhichRelation {
            original: named(volume),
            snapshots: all
                .iter()
                .map(|related| match related {
                    Related::Here(snapshot) => snapshot.name.clone(),
                    Related::Away(away) => away.name.clone(),
                })
                .collect(),
        }
        .into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_knows_what_is_on_the_volume() {
        let says = |content, word: &str| {
            assert!(
                advice(content, "/dev/x").contains(word),
                "{content:?}: {}",
                advice(content, "/dev/x")
            );
        };
        says(None, "XFS: -o ro,nouuid");
        says(Some("ext4"), "mount -o ro /dev/x DIR");
        says(Some("xfs"), "-o ro,nouuid /dev/x");
        says(Some("crypto_LUKS"), "cryptsetup open --readonly /dev/x");
        says(Some("LVM2_member"), "vgimportclone");
        says(Some("linux_raid_member"), "mdadm --assemble");
        says(Some("btrfs"), "btrfstune -m /dev/x");
        for content in ["btrfs", "LVM2_member", "swap", "linux_raid_member"] {
            assert!(
                !advice(Some(content), "/dev/x").contains("mount -o ro /dev/x"),
                "{content}"
            );
        }
    }
}
