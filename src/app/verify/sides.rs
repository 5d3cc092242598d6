//! What `verify` compares, as it follows from the configuration: the plexes side by side, where each
//! lies on the disks, and the ranges in which they must be equal.

use crate::advice::{Advised, Hint, Of};
use crate::error::{Error, Result};
use crate::model::ranges;
use crate::model::{DevNo, DiskId, DmUuid, Extent, Name, Plex, Role, Sectors, Volume, VolumeId};
use crate::plan::transition;
use crate::plan::world::World;
use crate::sys::helper::HelperDevice;
use crate::table::SuspendMode;
use crate::table::stack;
use std::ops::Range;
use std::path::PathBuf;

/// A plex that is compared, piece by piece in its order, without gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Side {
    /// The volume that it is a plex of.
    pub volume: Name,
    /// Its name.
    pub plex: Name,
    /// The same volume and plex, whatever they are called.
    id: (VolumeId, u16),
    pieces: Vec<Piece>,
}

/// A piece of a plex on one disk.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Piece {
    /// Where it lies in the plex, in sectors.
    range: Range<u64>,
    disk: DiskId,
    media: Name,
    device: PathBuf,
    number: DevNo,
    /// Where it begins on the device, in sectors.
    begins: u64,
}

/// A part of a plex that lies in one piece on a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Where it lies in the volume, in sectors.
    pub range: Range<u64>,
    /// The disk.
    pub disk: DiskId,
    /// Its media name.
    pub media: Name,
    /// Its path now.
    pub device: PathBuf,
    /// Its device number.
    pub number: DevNo,
    /// Where the part begins on the device, in sectors.
    pub begins: u64,
}

impl Side {
    /// A plex as it lies on the disks; `None` if one of them is not here.
    pub fn of(world: &World, volume: &Volume, plex: &Plex) -> Option<Side> {
        let piece = |(at, extent): (_, &Extent)| {
            let disk = world.group.disk(extent.disk)?;
            let found = world.disks.get(&extent.disk)?;
            let at = Sectors::get(at);
            Some(Piece {
                range: at..at + extent.length.get(),
                disk: extent.disk,
                media: disk.media.clone(),
                device: found.path.clone(),
                number: found.dev,
                begins: disk.data_start.saturating_add(extent.start).get(),
            })
        };
        Some(Side {
            volume: volume.name.clone(),
            plex: plex.name.clone(),
            id: (volume.id, plex.number),
            pieces: plex.layout().map(piece).collect::<Option<_>>()?,
        })
    }

    /// Whether it is still a complete plex, and still lies where it was read.
    pub fn is_still(&self, world: &World) -> bool {
        let (volume, number) = self.id;
        let found = world.group.volume(volume);
        let plex = found.and_then(|v| Some((v, v.plex(number)?)));
        plex.filter(|(_, plex)| plex.state.is_complete())
            .and_then(|(volume, plex)| Side::of(world, volume, plex))
            .is_some_and(|now| now.pieces == self.pieces)
    }

    /// Where a range of the volume lies, in order.
    pub fn places(&self, range: &Range<u64>) -> Vec<Place> {
        let part = |piece: &Piece| {
            let (start, end) = (
                piece.range.start.max(range.start),
                piece.range.end.min(range.end),
            );
            (start < end).then(|| Place {
                range: start..end,
                disk: piece.disk,
                media: piece.media.clone(),
                device: piece.device.clone(),
                number: piece.number,
                begins: piece.begins + (start - piece.range.start),
            })
        };
        self.pieces.iter().filter_map(part).collect()
    }

    /// The disks that it lies on, each with its path; perhaps repeated.
    pub fn disks(&self) -> impl Iterator<Item = (DiskId, &PathBuf)> {
        self.pieces.iter().map(|piece| (piece.disk, &piece.device))
    }
}

/// One comparison: of each other plex with the first one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The plexes, at least two.
    pub sides: Vec<Side>,
    /// What is compared, in sectors of the volume; in order and apart.
    pub ranges: Vec<Range<u64>>,
    /// What is not compared, and why.
    pub left_out: Vec<(Range<u64>, LeftOut)>,
    /// How a difference is told from a write on its way.
    pub proof: Proof,
    /// The filesystem that lies on the volume itself: its device, and where it is mounted.
    pub mounted: Option<(DevNo, PathBuf)>,
}

/// Why something is not compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LeftOut {
    /// The plexes are still being made equal there.
    NotInSync,
    /// It was written on either side since the split.
    Changed,
}

impl LeftOut {
    /// All reasons.
    pub const ALL: [LeftOut; 2] = [LeftOut::NotInSync, LeftOut::Changed];

    /// The reason as a word.
    pub fn word(self) -> &'static str {
        match self {
            LeftOut::NotInSync => "not-in-sync",
            LeftOut::Changed => "changed",
        }
    }

    /// The reason as a clause for people.
    pub fn words(self) -> &'static str {
        match self {
            LeftOut::NotInSync => "not in sync yet",
            LeftOut::Changed => "written since the split",
        }
    }
}

/// How a difference is told from a write on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// The plexes are looked at while the mirror above them is suspended.
    Rest(VolumeId),
    /// The maps of changes of this snapshot and of its original are read afterwards: what is in none
    /// of them has not been written.
    Maps(Name),
}

/// The plexes of a volume among each other. Fails with `NotReady` if it has no two of them that are
/// known to be equal.
pub fn plexes(world: &World, volume: &Volume) -> Result<(Job, Vec<String>)> {
    let path = world.group.path(&volume.name);
    let refused = |why: String| Error::not_ready(why).on(&path);
    if volume.running.is_some_and(|boot| boot != world.boot) {
        return Err(refused(format!(
            "the machine went down while '{path}' was in use, so its plexes may differ by right"
        ))
        .hint(Hint::from("what was being written is made equal by ").line(
            Advised::Start {
                of: Of::both(&world.group.name, &volume.name),
                force: false,
            },
        )));
    }
    let complete = volume.complete();
    if complete.len() < 2 {
        return Err(refused(format!(
            "'{path}' has one complete plex, and nothing to compare it with"
        )));
    }
    let (here, away): (Vec<&Plex>, Vec<&Plex>) =
        complete.iter().partition(|p| world.has_disks_of(p));
    let mut notes: Vec<String> = away
        .iter()
        .map(|p| format!("plex '{}' is not compared: a disk of it is missing", p.name))
        .collect();
    let attaching = volume.attaching();
    notes.extend(
        attaching
            .iter()
            .map(|p| format!("plex '{}' is not compared: it is {}", p.name, p.state)),
    );
    let sides: Vec<Side> = here
        .iter()
        .filter_map(|p| Side::of(world, volume, p))
        .collect();
    if sides.len() < 2 {
        return Err(refused(format!(
            "'{path}' has no two plexes whose disks are here"
        )));
    }
    let synced = volume.synced.get();
    if synced == 0 {
        return Err(
            refused(format!("the plexes of '{path}' are being made equal"))
                .hint(Hint::from(Advised::Print(Of::verb())).and(" shows how far that is")),
        );
    }
    let rest = synced..volume.size.get();
    let left_out = (!rest.is_empty()).then_some((rest, LeftOut::NotInSync));
    let job = Job {
        sides,
        ranges: ranges::outside(&[], synced),
        left_out: left_out.into_iter().collect(),
        proof: Proof::Rest(volume.id),
        mounted: None,
    };
    Ok((job, notes))
}

/// The mirror whose legs are the complete plexes, or that is above all of them: what is written to
/// them goes through it, and nothing else does. `None`: the volume is not started, so that nothing
/// writes to them.
pub fn device_to_rest(world: &World, volume: &Volume) -> Result<Option<HelperDevice>> {
    let roles = stack::mirror_roles(volume)?;
    let role = roles.into_iter().rev().find(|(_, _, attaching)| !attaching);
    let role = role.map_or(Role::Volume, |(role, ..)| role);
    let uuid = DmUuid::new(world.group.id, volume.id, &role);
    let is_live = world
        .devices
        .get(&uuid)
        .is_some_and(|d| !d.table.is_empty());
    Ok(is_live.then(|| HelperDevice {
        links: transition::links(volume, &role),
        mode: SuspendMode::NoFlush,
        uuid,
    }))
}

/// A snapshot and its original: the first complete plex of each, where `ranges` says that both must
/// hold the same.
pub fn relation(
    world: &World,
    (snapshot, original): (&Volume, &Volume),
    changed: &[Range<u64>],
) -> Result<Job> {
    let side = |volume: &Volume| {
        let complete = volume.complete();
        let first = complete.first().and_then(|p| Side::of(world, volume, p));
        first.ok_or_else(|| {
            let path = world.group.path(&volume.name);
            Error::not_ready(format!("the first complete plex of '{path}' is not here")).on(path)
        })
    };
    let end = snapshot.size.get();
    Ok(Job {
        sides: vec![side(original)?, side(snapshot)?],
        ranges: ranges::outside(changed, end),
        left_out: changed
            .iter()
            .map(|range| (range.clone(), LeftOut::Changed))
            .collect(),
        proof: Proof::Maps(snapshot.name.clone()),
        mounted: None,
    })
}
