//! `map`: the disks of a group as bars, each with what lies where. The text, the JSON document and
//! the picture are made from one [`MapView`].
//!
//! The pieces of a disk follow each other without gaps and add up to its size; all sizes and
//! offsets are in bytes and count from the beginning of the device.

pub mod svg;
pub mod text;

use super::layout;
use super::view::{GroupView, PlexView, VolumeView};
use crate::app::Mapped;
use crate::model::{Disk, DiskId, Extent, Name, PlexState, Sectors, Volume};
use crate::plan::world::World;
use crate::table::DmDevice;
use crate::table::status::LegHealth;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};

/// A group with its disks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MapView {
    /// The name of the group.
    pub name: String,
    /// The identity of the group.
    pub uuid: String,
    /// The number of the present configuration.
    pub generation: u64,
    /// The volumes that are told apart.
    pub volumes: Vec<Shown>,
    /// Its disks, or those on which the named volumes lie.
    pub disks: Vec<DiskMap>,
}

/// A volume that a map shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// The name of the volume.
    pub name: String,
    /// Its letter in the drawing; from the 27th volume on letters are used again.
    pub letter: char,
    /// Its size.
    pub size: u64,
    /// Its state, as `print` has it.
    pub state: &'static str,
    /// Its kernel state, as `print` has it.
    pub kstate: &'static str,
    /// The name of its original, while the relation to it exists.
    pub snapshot_of: Option<String>,
    /// Its plexes with their states.
    pub plexes: Vec<ShownPlex>,
}

/// A plex of a volume that a map shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShownPlex {
    /// The name of the plex.
    pub name: String,
    /// Its state, as `print` has it.
    pub state: &'static str,
    /// Whole per cent of it that are in sync.
    pub percent: u64,
    /// The media names of its disks.
    pub disks: Vec<String>,
}

/// A disk with its pieces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DiskMap {
    /// The media name of the disk.
    pub media: String,
    /// The path of its device; `null` when the disk is missing.
    pub device: Option<String>,
    /// The identity of the disk.
    pub uuid: String,
    /// `online`; `missing`; `failed`: the kernel or the configuration reports a failure of what
    /// lies on it; `unlabelled`: volumes run on it, but its label cannot be read.
    pub state: &'static str,
    /// Its size: all of its pieces.
    pub size: u64,
    /// The space for volumes that is not in use, as `print` has it.
    pub free: u64,
    /// What lies on it, from the beginning to the end.
    pub pieces: Vec<Piece>,
}

/// What a piece of a disk is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The label and the configuration.
    Private,
    /// A complete data plex.
    Data,
    /// A plex that is being filled.
    Filling,
    /// A complete snapshot leg.
    Leg,
    /// A plex of a snapshot.
    Snapshot,
    /// A plex that holds nothing that is up to date: it failed or is stale.
    Bad,
    /// A dirty region log.
    Log,
    /// A map of changes (DCO).
    Changes,
    /// A volume that was not named.
    Other,
    /// Not in use, but a device still leads to it.
    Held,
    /// Space for volumes that is not in use.
    Free,
    /// The end of a disk that has become larger; `disk resize` takes it.
    Beyond,
}

/// A piece of a disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Piece {
    /// What it is.
    pub kind: Kind,
    /// Where it begins, from the beginning of the device.
    pub offset: u64,
    /// Its length.
    pub length: u64,
    /// The volume that it belongs to.
    pub volume: Option<String>,
    /// The plex that it belongs to.
    pub plex: Option<String>,
    /// The state of that plex, as `print` has it.
    pub state: Option<&'static str>,
    /// Whether it is going to be released without anybody asking for it.
    pub leaving: bool,
    /// The volume's place among [`MapView::volumes`].
    #[serde(skip)]
    pub of: Option<usize>,
}

/// The maps of these groups. When volumes are named, only their disks are shown, and the other
/// volumes are not told apart.
pub fn views(maps: &[Mapped], only: &[Name]) -> Vec<MapView> {
    maps.iter().map(|mapped| view(mapped, only)).collect()
}

fn view(mapped: &Mapped, only: &[Name]) -> MapView {
    let world = &mapped.world;
    let shown = layout::group(world, None, only);
    let used = uses(mapped, &shown);
    let disks = world.group.disks.iter().map(|disk| {
        let pieces = pieces(world, disk, used.get(&disk.id).map_or(&[], Vec::as_slice));
        disk_map(world, disk, pieces)
    });
    let is_meant =
        |disk: &DiskMap| only.is_empty() || disk.pieces.iter().any(|piece| piece.of.is_some());
    MapView {
        disks: disks.filter(is_meant).collect(),
        volumes: shown.volumes.iter().enumerate().map(volume).collect(),
        name: shown.name,
        uuid: shown.uuid,
        generation: shown.generation,
    }
}

/// The letter of the volume at this place.
fn letter(at: usize) -> char {
    char::from(b'A' + u8::try_from(at % 26).unwrap_or(0))
}

fn volume((at, volume): (usize, &VolumeView)) -> Shown {
    let plex = |plex: &PlexView| {
        let mut disks: Vec<String> = plex.subdisks.iter().map(|s| s.media.clone()).collect();
        disks.dedup();
        ShownPlex {
            name: plex.name.clone(),
            state: plex.state,
            percent: plex.sync.percent(),
            disks,
        }
    };
    Shown {
        name: volume.name.clone(),
        letter: letter(at),
        size: volume.size,
        state: volume.state,
        kstate: volume.kstate,
        snapshot_of: volume.snapshot_of.clone(),
        plexes: volume.plexes.iter().map(plex).collect(),
    }
}

/// What an extent is used for.
#[derive(Clone)]
struct Use {
    extent: Extent,
    kind: Kind,
    volume: Option<String>,
    plex: Option<(String, &'static str)>,
    leaving: bool,
    of: Option<usize>,
}

/// All extents in use, by disk, in their order.
fn uses(mapped: &Mapped, shown: &GroupView) -> BTreeMap<DiskId, Vec<Use>> {
    let places: HashMap<&str, usize> = shown
        .volumes
        .iter()
        .enumerate()
        .map(|(at, volume)| (volume.name.as_str(), at))
        .collect();
    let mut all: BTreeMap<DiskId, Vec<Use>> = BTreeMap::new();
    for volume in &mapped.world.group.volumes {
        let of = places.get(volume.name.as_str()).copied();
        let view = of.and_then(|at| shown.volumes.get(at));
        for mut found in uses_of(volume, view) {
            found.leaving = mapped.leaving.contains(&found.extent);
            (found.volume, found.of) = (Some(volume.name.to_string()), of);
            if of.is_none() {
                (found.kind, found.plex) = (Kind::Other, None);
            }
            all.entry(found.extent.disk).or_default().push(found);
        }
    }
    for extent in &mapped.held {
        let held = plain(*extent, Kind::Held);
        all.entry(extent.disk).or_default().push(held);
    }
    all.values_mut()
        .for_each(|uses| uses.sort_by_key(|found| found.extent));
    all
}

fn plain(extent: Extent, kind: Kind) -> Use {
    Use {
        extent,
        kind,
        volume: None,
        plex: None,
        leaving: false,
        of: None,
    }
}

fn uses_of(volume: &Volume, view: Option<&VolumeView>) -> Vec<Use> {
    let mut all = Vec::new();
    for (at, plex) in volume.plexes.iter().enumerate() {
        let state = view
            .and_then(|view| view.plexes.get(at))
            .map_or(plex.state.word(), |plex| plex.state);
        let named = Some((plex.name.to_string(), state));
        let of_plex = |extent: &Extent, kind| Use {
            plex: named.clone(),
            ..plain(*extent, kind)
        };
        let kind = plex_kind(volume, plex.state);
        all.extend(plex.subdisks.iter().map(|extent| of_plex(extent, kind)));
        let maps = plex.dco.iter().flat_map(|dco| &dco.copies);
        all.extend(maps.map(|extent| of_plex(extent, Kind::Changes)));
    }
    let logs = volume.log.iter().map(|log| plain(log.extent, Kind::Log));
    let maps = volume.dco.iter().flat_map(|dco| &dco.copies);
    all.extend(logs.chain(maps.map(|extent| plain(*extent, Kind::Changes))));
    all
}

fn plex_kind(volume: &Volume, state: PlexState) -> Kind {
    match state {
        PlexState::Active if volume.origin.is_some() => Kind::Snapshot,
        PlexState::Active => Kind::Data,
        PlexState::Attaching | PlexState::Reviving | PlexState::SnapAtt => Kind::Filling,
        PlexState::SnapDone if !volume.is_synced() => Kind::Filling,
        PlexState::SnapDone => Kind::Leg,
        PlexState::Stale | PlexState::Failed => Kind::Bad,
    }
}

/// The pieces of a disk: what is in use, and everything between.
fn pieces(world: &World, disk: &Disk, used: &[Use]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut at = Sectors::ZERO;
    let mut fill = |at: &mut Sectors, end: Sectors, kind| {
        let length = end.saturating_sub(*at);
        if !length.is_zero() {
            pieces.push(Piece {
                kind,
                offset: at.bytes(),
                length: length.bytes(),
                volume: None,
                plex: None,
                state: None,
                leaving: false,
                of: None,
            });
            *at = end;
        }
        pieces.len()
    };
    fill(&mut at, disk.data_start, Kind::Private);
    let mut named = Vec::new();
    for found in used {
        let start = disk.data_start.saturating_add(found.extent.start);
        fill(&mut at, start, Kind::Free);
        let count = fill(
            &mut at,
            disk.data_start.saturating_add(found.extent.end()),
            found.kind,
        );
        named.push((count.saturating_sub(1), found));
    }
    let end = disk.data_start.saturating_add(disk.size);
    fill(&mut at, end, Kind::Free);
    let grown = world.disks.get(&disk.id).map_or(end, |here| here.size);
    // Less than this is what the label leaves unused at the end of every disk.
    if grown.saturating_sub(end) >= Sectors::MIB {
        fill(&mut at, grown, Kind::Beyond);
    }
    for (place, found) in named {
        if let Some(piece) = pieces.get_mut(place) {
            piece.volume.clone_from(&found.volume);
            piece.plex = found.plex.as_ref().map(|(name, _)| name.clone());
            piece.state = found.plex.as_ref().map(|(_, state)| *state);
            (piece.leaving, piece.of) = (found.leaving, found.of);
        }
    }
    pieces
}

fn disk_map(world: &World, disk: &Disk, pieces: Vec<Piece>) -> DiskMap {
    let here = world.disks.get(&disk.id);
    let is_unused = |piece: &&Piece| matches!(piece.kind, Kind::Free | Kind::Held);
    DiskMap {
        media: disk.media.to_string(),
        device: here.map(|found| found.path.display().to_string()),
        uuid: disk.id.to_string(),
        state: match here {
            None if world.number(disk.id).is_some() => "unlabelled",
            None => "missing",
            Some(_) if has_failed(world, disk.id) => "failed",
            Some(_) => "online",
        },
        size: pieces.iter().map(|piece| piece.length).sum(),
        free: pieces
            .iter()
            .filter(is_unused)
            .map(|piece| piece.length)
            .sum(),
        pieces,
    }
}

/// Whether a plex on a disk is recorded as failed, or the kernel reports it so.
fn has_failed(world: &World, disk: DiskId) -> bool {
    let lies_there = |extents: &[Extent]| extents.iter().any(|extent| extent.disk == disk);
    let mut plexes = world.group.volumes.iter().flat_map(|volume| &volume.plexes);
    plexes.any(|plex| plex.state == PlexState::Failed && lies_there(&plex.subdisks))
        || failing(world).any(|device| lies_there(&world.mapped(device)))
}

/// The legs of mirrors that the kernel reports as failed.
fn failing(world: &World) -> impl Iterator<Item = &DmDevice> {
    let mirrors = world.devices.values().filter_map(|d| d.mirror.as_ref());
    let legs = mirrors.flat_map(|mirror| &mirror.legs);
    let bad = legs.filter(|(_, health)| !matches!(health, LegHealth::Alive | LegHealth::Unknown));
    bad.filter_map(|(dev, _)| world.devices.values().find(|device| device.dev == *dev))
}

/// The names of all kinds, each with what it means, in the order of a legend.
pub(super) const MEANINGS: [(Kind, &str); 12] = [
    (Kind::Data, "data plex"),
    (Kind::Filling, "plex being filled"),
    (Kind::Leg, "complete snapshot leg"),
    (Kind::Snapshot, "snapshot"),
    (Kind::Bad, "failed, stale or missing"),
    (Kind::Log, "dirty region log"),
    (Kind::Changes, "map of changes"),
    (Kind::Other, "other volumes"),
    (Kind::Held, "free once a device is closed"),
    (Kind::Free, "free"),
    (Kind::Beyond, "new space, see 'disk resize'"),
    (Kind::Private, "private area"),
];

impl Kind {
    /// Whether it belongs to a volume that is told apart.
    fn is_owned(self) -> bool {
        match self {
            Kind::Data
            | Kind::Filling
            | Kind::Leg
            | Kind::Snapshot
            | Kind::Bad
            | Kind::Log
            | Kind::Changes => true,
            Kind::Private | Kind::Other | Kind::Held | Kind::Free | Kind::Beyond => false,
        }
    }

    /// Whether it is a part of a plex, and not of what a volume has beside its plexes.
    fn is_plex(self) -> bool {
        self.is_owned() && !matches!(self, Kind::Log | Kind::Changes)
    }
}

impl Shown {
    /// Its state for people: `ACTIVE` alone would hide that it is not started.
    fn condition(&self) -> String {
        match self.kstate {
            "ENABLED" => self.state.to_owned(),
            kstate => format!("{} {kstate}", self.state),
        }
    }
}

impl DiskMap {
    /// Whether what lies on the disk can be read through its group.
    fn is_here(&self) -> bool {
        self.state != "missing"
    }

    /// How a piece is drawn: a plex on a missing disk is as bad as one that failed.
    fn drawn(&self, piece: &Piece) -> Kind {
        if piece.kind.is_plex() && !self.is_here() {
            Kind::Bad
        } else {
            piece.kind
        }
    }

    /// The state for people, when there is something to say.
    fn remark(&self) -> Option<&'static str> {
        match self.state {
            "missing" => Some("MISSING"),
            "failed" => Some("FAILED"),
            "unlabelled" => Some("LABEL UNREADABLE"),
            _ => None,
        }
    }
}
