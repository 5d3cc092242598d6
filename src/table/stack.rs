//! The stack of devices that a volume needs, computed from its configuration alone.
//!
//! * One complete plex and nothing attaching: the volume is `linear` directly onto the disks.
//! * Otherwise each plex is a hidden `linear` device. Complete plexes form mirrors from the bottom
//!   (dm-raid1 takes nine legs, so more than nine need several levels). Plexes that are being
//!   attached join in a level of their own on top (K3, K17).
//! * Each level is `mirror(what is below, its legs…)`. The topmost is the volume itself, the others
//!   are hidden layers.
//! * While changes are tracked, the volume is an `era` on top of all that. Its map is a mirror of
//!   the copies of the DCO with a sink as the last leg. When the last copy dies, the kernel holds
//!   writes to the map, instead of failing them, until tracking has been given up (K31).

use super::status::MAX_LEGS;
use super::{DevRef, Initial, Line, LogKind, SYNC_REGION, Table, Target, dco, log, region_for};
use crate::advice::{Advised, Hint, Of};
use crate::error::{Error, Result};
use crate::model::{
    Dco, DmName, DmUuid, Extent, Group, Name, Plex, Returning, Role, Sectors, Volume,
};

/// The number of mirror segments that a table has side by side while legs are filled (K4). A larger
/// number here makes several lanes.
pub const SYNC_LANES: u64 = 1;

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
            lanes(volume.size, SYNC_LANES)
                .into_iter()
                .map(|(s, l)| core_line(s, l, Initial::Unknown, legs))
                .collect(),
        );
    }
    if let Some(log) = volume.live_log().filter(|_| lowest) {
        let kind = LogKind::Disk(Role::Log);
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

/// Splits a length at region boundaries into `count` pieces; fewer when it is too short.
fn lanes(size: Sectors, count: u64) -> Vec<(Sectors, Sectors)> {
    let region = region_for(size, SYNC_REGION);
    let regions = log::regions(size, region);
    let share = Sectors::new(
        regions
            .div_ceil(count.clamp(1, regions.max(1)))
            .saturating_mul(region.get()),
    )
    .unwrap_or(size);
    let mut pieces = Vec::new();
    let mut at = Sectors::ZERO;
    while at < size {
        let length = share.min(size.saturating_sub(at));
        pieces.push((at, length));
        at = at.saturating_add(length);
    }
    pieces
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
mod tests {
    use super::*;

    #[test]
    fn lanes_cover_everything_once_at_region_boundaries() {
        for (mib, count) in [(1, 4), (8, 4), (9, 4), (100, 3), (7, 1)] {
            let size = Sectors::mib(mib);
            let pieces = lanes(size, count);
            assert!(pieces.len() as u64 <= count);
            assert_eq!(pieces.iter().map(|(_, l)| *l).sum::<Sectors>(), size);
            assert!(
                pieces
                    .iter()
                    .all(|(s, _)| s.get() % region_for(size, SYNC_REGION).get() == 0)
            );
        }
    }
}
