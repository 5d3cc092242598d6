//! The stack of devices that a volume needs, computed from its configuration alone.
//!
//! * One complete plex and nothing attaching: the volume is `linear` directly onto the disks.
//! * Otherwise each plex is a hidden `linear` device. Complete plexes form mirrors from the bottom
//!   (dm-raid1 takes nine legs, so more than nine need several levels). Plexes that are being
//!   attached join in a level of their own on top (K3, K17). While they are filled, that level has
//!   several mirrors side by side (lanes), because the kernel copies one region at a time in each
//!   (K4). A mirror that is complete is one again (K5).
//! * Each level is `mirror(what is below, its legs…)`. The topmost is the volume itself, the others
//!   are hidden layers.
//! * While changes are tracked, the volume is an `era` on top of all that. Its map is a mirror of
//!   the copies of the DCO with a sink as the last leg. When the last copy dies, the kernel holds
//!   writes to the map, instead of failing them, until tracking has been given up (K31).

use super::status::MAX_LEGS;
use super::{DevRef, Initial, Line, LogKind, SYNC_REGION, Table, Target, dco, region_for};
use crate::advice::{Advised, Hint, Of};
use crate::error::{Error, Result};
use crate::model::volume::SIZE_UNIT;
use crate::model::{
    Dco, DmName, DmUuid, Extent, Group, Lanes, Name, Plex, Returning, Role, Sectors, Volume,
};

/// A device of a stack with its table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its role in the stack.
    pub role: Role,
    /// Its device-mapper name.
    pub name: DmName,
    /// Its device-mapper UUID.
    pub uuid: DmUuid,
    /// The table that it has to have.
    pub table: Table,
}

/// The devices of a volume, from the bottom up; the last one is the volume.
pub type Stack = Vec<Device>;

/// One level of mirrors: the plexes that join what is below them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Level<'a> {
    /// The plexes that are legs of this level. The lowest level has nothing below it; reads go to
    /// its first plex.
    pub legs: Vec<&'a Plex>,
    /// Whether the legs are being filled.
    pub attaching: bool,
}

/// The mirror levels of a volume from the bottom up; empty when it needs none. Fails with
/// `NotReady` for a volume without a complete data plex.
pub fn levels<'v>(volume: &'v Volume) -> Result<Vec<Level<'v>>> {
    let (complete, attaching) = (volume.complete(), volume.attaching());
    if !complete.iter().any(|p| !p.state.is_snapshot_leg()) {
        return Err(Error::not_ready(format!(
            "volume '{}' has no complete data plex",
            volume.name
        ))
        .hint(
            Hint::from("bring a disk back, or make a complete snapshot leg the data plex with ")
                .line(Advised::ToActive(Of::verb())),
        ));
    }
    if complete.len() == 1 && attaching.is_empty() {
        return Ok(Vec::new());
    }
    let (first, further) = complete.split_at(complete.len().min(MAX_LEGS));
    let mut levels = vec![Level {
        legs: first.to_vec(),
        attaching: false,
    }];
    let mut add = |plexes: &[&'v Plex], attaching: bool| {
        levels.extend(plexes.chunks(MAX_LEGS - 1).map(|legs| Level {
            legs: legs.to_vec(),
            attaching,
        }));
    };
    add(further, false);
    add(&attaching, true);
    Ok(levels)
}

/// The whole stack of a volume, from the bottom up. Fails as [`levels`] does, and for an extent on
/// a disk that is not in the group.
pub fn stack(group: &Group, volume: &Volume) -> Result<Stack> {
    let mut stack = data_stack(group, volume)?;
    if let Some(dco) = volume.live_dco() {
        stack.extend(tracking(group, volume, dco)?);
    }
    Ok(stack)
}

/// The devices that hold the data. The last one is the volume, or the device beneath the `era` that
/// tracks its changes.
fn data_stack(group: &Group, volume: &Volume) -> Result<Stack> {
    let levels = levels(volume)?;
    if levels.is_empty() {
        let only = volume.complete()[0];
        return Ok(vec![device(
            group,
            volume,
            top_role(volume),
            None,
            linear(group, &only.subdisks)?,
        )?]);
    }
    let mut stack = Vec::new();
    for plex in levels.iter().flat_map(|level| &level.legs) {
        stack.push(device(
            group,
            volume,
            Role::Plex(plex.number),
            Some(&plex.name),
            linear(group, &plex.subdisks)?,
        )?);
    }
    if let Some(log) = volume.live_log().filter(|_| volume.complete().len() > 1) {
        stack.push(device(
            group,
            volume,
            Role::Log,
            None,
            linear(group, &[log.extent])?,
        )?);
    }
    if let Some((returning, extent)) = change_log(volume) {
        stack.push(device(
            group,
            volume,
            Role::Changes(returning.log),
            None,
            linear(group, &[extent])?,
        )?);
    }
    stack.extend(mirrors(group, volume, &levels)?);
    Ok(stack)
}

/// The devices that track changes, from the bottom up: the sink, the map, the volume.
fn tracking(group: &Group, volume: &Volume, dco: &Dco) -> Result<Stack> {
    let zero = Line {
        start: Sectors::ZERO,
        length: sink_length(volume),
        target: Target::Zero,
    };
    let mut legs = Vec::new();
    let mut length = Sectors::ZERO;
    for copy in &dco.copies {
        let map = dco::map(copy, volume.size);
        let disk = group.disk(map.disk).ok_or_else(|| {
            Error::unsafe_(format!(
                "disk {} is not in group '{}'",
                map.disk, group.name
            ))
        })?;
        legs.push((
            DevRef::Disk(map.disk),
            disk.data_start.saturating_add(map.start),
        ));
        length = map.length;
    }
    legs.push((DevRef::Device(Role::Sink), Sectors::ZERO));
    // All copies are made identical before the map is used, so nothing has to be resynchronised.
    let mirror = Target::Mirror {
        log: LogKind::Core(Initial::Equal),
        region: region_for(length, SYNC_REGION),
        legs,
    };
    Ok(vec![
        device(group, volume, Role::Sink, None, Table(vec![zero]))?,
        device(
            group,
            volume,
            Role::Map,
            None,
            Table(vec![Line {
                start: Sectors::ZERO,
                length,
                target: mirror,
            }]),
        )?,
        device(group, volume, Role::Volume, None, era(volume, Role::Data))?,
    ])
}

/// The devices that format a new map, from the bottom up: the first copy alone, and an era over a
/// sink. If the disk dies meanwhile, the formatting fails; on the map's own mirror it would block
/// (K31). The result is copied to the other copies before the map is used.
pub fn formatter(group: &Group, volume: &Volume, dco: &Dco) -> Result<Stack> {
    let Some(copy) = dco.copies.first() else {
        return Ok(Stack::new());
    };
    let first = linear(group, &[dco::map(copy, volume.size)])?;
    Ok(vec![
        device(group, volume, Role::Map, None, first)?,
        device(
            group,
            volume,
            Role::Formatter,
            None,
            era(volume, Role::Sink),
        )?,
    ])
}

fn era(volume: &Volume, data: Role) -> Table {
    let target = Target::Era {
        map: DevRef::Device(Role::Map),
        data: DevRef::Device(data),
        block: dco::block(volume.size),
    };
    Table(vec![Line {
        start: Sectors::ZERO,
        length: volume.size,
        target,
    }])
}

/// The length of the sink: at least that of the map, whose leg it is, and that of the volume, whose
/// place it takes beneath the era while a map is formatted.
fn sink_length(volume: &Volume) -> Sectors {
    let map = volume
        .live_dco()
        .and_then(|d| d.copies.first())
        .map_or(Sectors::ZERO, |copy| dco::map(copy, volume.size).length);
    map.max(volume.size)
}

/// The resync by a change log that is in progress, and where the log lies that its mirror uses.
pub fn change_log(volume: &Volume) -> Option<(Returning, Extent)> {
    let (returning, copy) = (volume.returning?, volume.dco.as_ref()?.copies.first()?);
    Some((returning, dco::change_log(copy, volume.size, returning.log)))
}

/// The role of the topmost device with data in it.
fn top_role(volume: &Volume) -> Role {
    if volume.live_dco().is_some() {
        Role::Data
    } else {
        Role::Volume
    }
}

/// Each mirror device of a volume from the bottom up: its role, its legs, and whether its plexes
/// are being filled. What lies below it comes before the plexes that are its legs.
///
/// The first leg of every mirror but a lowest one is what lies below: a layer, or the only complete
/// plex.
pub fn mirror_roles(volume: &Volume) -> Result<Vec<(Role, Vec<LegOf>, bool)>> {
    let levels = levels(volume)?;
    let mut roles: Vec<(Role, Vec<LegOf>, bool)> = Vec::new();
    let mut below: Vec<LegOf> = Vec::new();
    for (at, level) in levels.iter().enumerate() {
        let legs: Vec<LegOf> = below
            .drain(..)
            .chain(level.legs.iter().map(|p| LegOf::Plex(p.number)))
            .collect();
        if legs.len() == 1 {
            below = legs;
            continue;
        }
        let role = level_role(volume, at, levels.len());
        below = vec![LegOf::Below(role.clone())];
        roles.push((role, legs, level.attaching));
    }
    Ok(roles)
}

/// What a leg of a mirror is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LegOf {
    /// A plex, by its number.
    Plex(u16),
    /// Everything below the mirror: this layer.
    Below(Role),
}

fn level_role(volume: &Volume, at: usize, levels: usize) -> Role {
    if at + 1 == levels {
        top_role(volume)
    } else {
        Role::Layer(u8::try_from(at + 1).unwrap_or(u8::MAX))
    }
}

/// The mirror devices of the levels. A lowest level with only one plex has no device of its own.
fn mirrors(group: &Group, volume: &Volume, levels: &[Level<'_>]) -> Result<Stack> {
    let mut devices = Stack::new();
    let mut below: Option<DevRef> = None;
    for (at, level) in levels.iter().enumerate() {
        let legs: Vec<DevRef> = below
            .take()
            .into_iter()
            .chain(
                level
                    .legs
                    .iter()
                    .map(|p| DevRef::Device(Role::Plex(p.number))),
            )
            .collect();
        let role = level_role(volume, at, levels.len());
        if let [single] = legs.as_slice() {
            below = Some(single.clone());
            continue;
        }
        let table = mirror_table(volume, level, at == 0, &legs);
        devices.push(device(group, volume, role.clone(), None, table)?);
        below = Some(DevRef::Device(role));
    }
    Ok(devices)
}

fn mirror_table(volume: &Volume, level: &Level<'_>, lowest: bool, legs: &[DevRef]) -> Table {
    if let Some((returning, _)) = change_log(volume).filter(|_| level.attaching) {
        let kind = LogKind::Disk(Role::Changes(returning.log));
        return Table(vec![mirror_line(
            Sectors::ZERO,
            volume.size,
            kind,
            returning.region,
            legs,
        )]);
    }
    if level.attaching {
        return Table(
            lanes(volume.size, volume.lanes, level.legs.first().copied())
                .into_iter()
                .map(|(s, l)| core_line(s, l, Initial::Unknown, legs))
                .collect(),
        );
    }
    if let Some(log) = volume.live_log().filter(|_| lowest) {
        let kind = if volume.is_synced() {
            LogKind::DiskEqual(Role::Log)
        } else {
            LogKind::Disk(Role::Log)
        };
        return Table(vec![mirror_line(
            Sectors::ZERO,
            volume.size,
            kind,
            region_for(volume.size, log.region),
            legs,
        )]);
    }
    // The part that is known to be equal is a prefix (the tail of a grown volume is not): two
    // segments express exactly that.
    let tail = volume.size.saturating_sub(volume.synced);
    let parts = [
        (Sectors::ZERO, volume.synced, Initial::Equal),
        (volume.synced, tail, Initial::Unknown),
    ];
    Table(
        parts
            .into_iter()
            .filter(|(_, length, _)| !length.is_zero())
            .map(|(s, l, i)| core_line(s, l, i, legs))
            .collect(),
    )
}

fn core_line(start: Sectors, length: Sectors, initial: Initial, legs: &[DevRef]) -> Line {
    mirror_line(
        start,
        length,
        LogKind::Core(initial),
        region_for(length, SYNC_REGION),
        legs,
    )
}

fn mirror_line(
    start: Sectors,
    length: Sectors,
    log: LogKind,
    region: Sectors,
    legs: &[DevRef],
) -> Line {
    let legs = legs.iter().map(|leg| (leg.clone(), start)).collect();
    Line {
        start,
        length,
        target: Target::Mirror { log, region, legs },
    }
}

/// The mirrors side by side that fill legs: where each begins, and its length. There are fewer of
/// them when the volume is too short. The longest piece is divided until there are enough: where the
/// leg goes on elsewhere, on another disk if it has several, otherwise in the middle.
///
/// Only the size and the leg decide, so that a change of what is below does not move the borders:
/// the copy would begin again.
fn lanes(size: Sectors, count: Lanes, leg: Option<&Plex>) -> Vec<(Sectors, Sectors)> {
    let subdisks = leg.iter().flat_map(|leg| leg.layout());
    let borders: Vec<Sectors> = subdisks
        .map(|(at, _)| at)
        .filter(|at| at.get().is_multiple_of(SIZE_UNIT.get()))
        .collect();
    let mut pieces = vec![(Sectors::ZERO, size)];
    while (pieces.len() as u64) < count.get() {
        let longest = pieces.iter().enumerate().rev().max_by_key(|(_, (_, l))| *l);
        let Some((at, (start, length))) = longest.map(|(at, piece)| (at, *piece)) else {
            break;
        };
        let Some(before) = first_part(start, length, &borders) else {
            break;
        };
        let rest = (start.saturating_add(before), length.saturating_sub(before));
        pieces[at].1 = before;
        pieces.insert(at + 1, rest);
    }
    pieces
}

/// How much of a piece comes before the border at which it is divided; `None` if it is too short.
fn first_part(start: Sectors, length: Sectors, borders: &[Sectors]) -> Option<Sectors> {
    let is_long_enough =
        |part: &Sectors| *part >= SYNC_REGION && length.saturating_sub(*part) >= SYNC_REGION;
    let middle = length.get() / 2;
    let at_border = borders
        .iter()
        .map(|border| border.saturating_sub(start))
        .filter(is_long_enough)
        .min_by_key(|part| part.get().abs_diff(middle));
    let half = Sectors::new(middle)?.round_up(SYNC_REGION);
    at_border.or_else(|| Some(half).filter(is_long_enough))
}

/// Maps extents one after the other, directly onto the disks.
fn linear(group: &Group, extents: &[Extent]) -> Result<Table> {
    let mut at = Sectors::ZERO;
    let mut lines = Vec::new();
    for extent in extents {
        let disk = group.disk(extent.disk).ok_or_else(|| {
            Error::unsafe_(format!(
                "disk {} is not in group '{}'",
                extent.disk, group.name
            ))
        })?;
        let offset = disk.data_start.saturating_add(extent.start);
        lines.push(Line {
            start: at,
            length: extent.length,
            target: Target::Linear {
                on: DevRef::Disk(extent.disk),
                offset,
            },
        });
        at = at.saturating_add(extent.length);
    }
    Ok(Table(lines))
}

fn device(
    group: &Group,
    volume: &Volume,
    role: Role,
    plex: Option<&Name>,
    table: Table,
) -> Result<Device> {
    let name = match role {
        Role::Volume => DmName::volume(&group.name, &volume.name)?,
        _ => DmName::inner(&group.name, &volume.name, volume.id, &role, plex),
    };
    Ok(Device {
        uuid: DmUuid::new(group.id, volume.id, &role),
        name,
        role,
        table,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::{DiskId, PlexState};

    fn plex(pieces: &[u64]) -> Plex {
        let extent = |(disk, mib): (usize, &u64)| Extent {
            disk: DiskId::from_bytes([u8::try_from(disk).unwrap(); 16]),
            start: Sectors::ZERO,
            length: Sectors::new(mib * 2048).unwrap(),
        };
        Plex {
            number: 1,
            name: Name::parse("v-01").unwrap(),
            state: PlexState::SnapAtt,
            subdisks: pieces.iter().enumerate().map(extent).collect(),
            dco: None,
            serves_restore: false,
        }
    }

    fn in_mib(leg: &[u64], count: u64) -> Vec<u64> {
        let size = Sectors::new(leg.iter().sum::<u64>() * 2048).unwrap();
        let pieces = lanes(size, Lanes::new(count).unwrap(), Some(&plex(leg)));
        let mut at = Sectors::ZERO;
        for (start, length) in &pieces {
            assert_eq!(*start, at, "without gaps");
            at = at.saturating_add(*length);
        }
        assert_eq!(at, size);
        pieces.iter().map(|(_, l)| l.get() / 2048).collect()
    }

    #[test]
    fn lanes_follow_the_disks_and_are_about_as_long_as_each_other() {
        assert_eq!(in_mib(&[64], 1), [64]);
        assert_eq!(in_mib(&[64], 2), [32, 32]);
        assert_eq!(in_mib(&[64], 3), [16, 16, 32]);
        assert_eq!(in_mib(&[64], 4), [16, 16, 16, 16]);
        assert_eq!(in_mib(&[90, 10], 2), [90, 10], "a lane for each disk");
        assert_eq!(in_mib(&[90, 10], 3), [46, 44, 10]);
        assert_eq!(
            in_mib(&[10, 30, 24], 2),
            [40, 24],
            "the border next to the middle"
        );
        assert_eq!(in_mib(&[1, 63], 2), [32, 32], "too short for a lane");
        assert_eq!(in_mib(&[1], 16), [1]);
        assert_eq!(in_mib(&[3], 16), [3]);
        assert_eq!(in_mib(&[5], 16), [5]);
        assert_eq!(in_mib(&[9], 16), [2, 2, 2, 3]);
    }

    #[test]
    fn lanes_begin_where_every_disk_can() {
        let mut leg = plex(&[64, 64]);
        leg.subdisks[0].length = Sectors::of(64 * 2048 + 1);
        let pieces = lanes(Sectors::mib(129), Lanes::new(2).unwrap(), Some(&leg));
        assert!(pieces.iter().all(|(at, _)| at.get().is_multiple_of(8)));
    }
}
