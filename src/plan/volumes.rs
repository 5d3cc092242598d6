//! The verbs that create, remove, rename and grow volumes.

use super::change::Event;
use super::draft::{Draft, Sharing};
use super::evidence::Situation;
use super::refusal::{Asked, Plexes, Result, Verb, Volumes};
use super::request::{GrowTo, OwnerChange, Placement};
use super::sectors;
use super::step::{Plan, Prepare};
use super::world::World;
use super::world::link;
use crate::model::volume::{MAX_PLEXES, SIZE_UNIT};
use crate::model::{
    Lanes, Name, NodeOwner, Plex, PlexState, SectorSize, Sectors, Volume, VolumeId, distinct,
};

/// The request of `make`.
pub struct Make<'a> {
    /// Name of the volume.
    pub volume: &'a Name,
    /// Size of the volume, which is rounded up.
    pub size: Sectors,
    /// Number of plexes: 1 for a volume that is not mirrored.
    pub mirrors: usize,
    /// The disks that the volume may lie on.
    pub placement: &'a Placement,
    /// Whether a mirror gets a dirty region log.
    pub log: bool,
    /// Whether changes are tracked while the volume has snapshots.
    pub fast_resync: bool,
    /// The largest sectors that the volume's disks may have; by default those of the disks that it
    /// gets.
    pub sector_size: Option<SectorSize>,
    /// Who may use its device node.
    pub owner: &'a NodeOwner,
}

/// Creates a volume. A mirror starts with nothing marked as in sync: the kernel makes the plexes
/// equal, whatever the disks held before.
pub fn make(world: &Situation, wanted: &Make<'_>) -> Result<Plan> {
    let mut draft = Draft::new(world);
    draft.check_new_name(wanted.volume)?;
    let size = wanted.size.round_up(SIZE_UNIT);
    if size.is_zero() || !(1..=MAX_PLEXES).contains(&wanted.mirrors) {
        let volume = world.named(wanted.volume);
        return Err(Asked::Shape { volume }.into());
    }
    let mut volume = Volume {
        id: VolumeId::random(),
        name: wanted.volume.clone(),
        size,
        plexes: Vec::new(),
        log: None,
        log_wanted: wanted.log,
        running: Some(world.boot),
        synced: if wanted.mirrors == 1 {
            size
        } else {
            Sectors::ZERO
        },
        origin: None,
        away: Vec::new(),
        copied: false,
        fast_resync: wanted.fast_resync,
        dco: None,
        returning: None,
        sector_size: wanted.sector_size,
        lost_leg: None,
        lanes: Lanes::ONE,
        owner: wanted.owner.clone(),
    };
    for _ in 0..wanted.mirrors {
        let space = draft.allocate_plex(&volume, size, wanted.placement, Sharing::Never)?;
        draft.plan.prepare.push(Prepare::Wipe(space.clone()));
        let plex = draft.new_plex(&volume, PlexState::Active, space)?;
        volume.plexes.push(plex);
    }
    if wanted.log && wanted.mirrors > 1 {
        volume.log = Some(draft.allocate_log(&volume, wanted.placement)?);
    }
    let shown = world.largest_sectors(&volume.plexes);
    volume.sector_size = volume.sector_size.or(shown);
    note_sectors(&mut draft, &volume, shown);
    let created = Event::VolumeCreated {
        size,
        plexes: wanted.mirrors,
        disks: disks_of(world, &volume.plexes),
        device: link(&world.group.name, &volume.name),
    };
    draft.say(&volume.name, created);
    if wanted.mirrors > 1 {
        draft.note(format!(
            "the kernel is synchronising the plexes of '{}'; it can be used meanwhile",
            draft.path(&volume.name)
        ));
    }
    draft.add(volume);
    draft.finish()
}

/// Adds notes on the sector size. If the volume was made for larger sectors than it shows, its
/// filesystem must be made for these too. If it has larger sectors than other disks of the group,
/// the user should know before using it.
fn note_sectors(draft: &mut Draft<'_>, volume: &Volume, shown: Option<SectorSize>) {
    let (Some(made_for), Some(shown)) = (volume.sector_size, shown) else {
        return;
    };
    let path = draft.path(&volume.name);
    if shown < made_for {
        draft.note(sectors::advice(&path, made_for, shown));
    }
    let world = draft.world;
    let smaller = world
        .disks
        .keys()
        .any(|disk| world.sectors_of(*disk).is_some_and(|s| s < shown));
    if smaller && shown > SectorSize::SMALLEST {
        draft.note(format!(
            "'{path}' has sectors of {shown} bytes, because its disks have; --sector-size {} keeps it off these",
            SectorSize::SMALLEST
        ));
    }
}

/// The media names of the disks that the plexes lie on: in order, each once, separated by commas.
pub fn disks_of<'p>(world: &World, plexes: impl IntoIterator<Item = &'p Plex>) -> String {
    let disks = distinct(plexes.into_iter().flat_map(|p| &p.subdisks).map(|s| s.disk));
    let media = |id| world.shown(id).to_string();
    disks.into_iter().map(media).collect::<Vec<_>>().join(",")
}

/// Removes volumes with all their parts. Relations to them are cleared. Their snapshots stay, as
/// independent volumes.
pub fn remove(world: &Situation, names: &[Name], recursive: bool) -> Result<Plan> {
    let mut draft = Draft::new(world);
    for name in names {
        let volume = draft.volume(name)?;
        draft.require_closed(volume, Verb::Removed)?;
        if !recursive {
            refuse_dependents(world, volume, names)?;
        }
        draft.drop_volume(volume.id);
        for snapshot in world
            .group
            .snapshots_of(volume.id)
            .filter(|s| !names.contains(&s.name))
        {
            draft.touch(snapshot.id)?.origin = None;
            let original = Some(name.clone());
            draft.say(&snapshot.name, Event::Unlinked { original });
        }
        draft.say(name, Event::Removed { size: volume.size });
    }
    draft.finish()
}

fn refuse_dependents(world: &World, volume: &Volume, names: &[Name]) -> Result<()> {
    let path = world.named(&volume.name);
    let legs: Vec<Name> = volume
        .plexes
        .iter()
        .filter(|p| p.state.is_snapshot_leg())
        .map(|p| p.name.clone())
        .collect();
    if !legs.is_empty() {
        return Err(Volumes::HasLegs { volume: path, legs }.into());
    }
    let snapshots: Vec<Name> = world
        .group
        .snapshots_of(volume.id)
        .filter(|s| !names.contains(&s.name))
        .map(|s| s.name.clone())
        .collect();
    if snapshots.is_empty() {
        return Ok(());
    }
    Err(Volumes::HasSnapshots {
        volume: path,
        snapshots,
    }
    .into())
}

/// Renames a volume, even while it is mounted. Its plexes keep their names.
pub fn rename(world: &Situation, name: &Name, to: &Name) -> Result<Plan> {
    let mut draft = Draft::new(world);
    let volume = draft.volume(name)?;
    if name == to {
        return Ok(draft.plan);
    }
    let id = volume.id;
    draft
        .plan
        .group
        .volumes
        .iter_mut()
        .filter(|v| v.id == id)
        .for_each(|v| v.name = to.clone());
    let mut others = world.clone();
    others.group.volumes.retain(|v| v.id != id);
    Draft::new(&others).check_new_name(to)?;
    draft.touch(id)?;
    let renamed = Event::Renamed {
        to: to.clone(),
        device: link(&world.group.name, to),
    };
    draft.say(name, renamed);
    draft.finish()
}

/// Changes who may use the device nodes of volumes. The nodes themselves are set once that is
/// recorded.
pub fn owner(world: &Situation, names: &[Name], change: &OwnerChange) -> Result<Plan> {
    let mut draft = Draft::new(world);
    for name in names {
        let volume = draft.volume(name)?;
        let owner = match change {
            OwnerChange::Set(change) => volume.owner.with(change),
            OwnerChange::Default => NodeOwner::default(),
        };
        if owner == volume.owner {
            continue;
        }
        draft.touch(volume.id)?.owner = owner.clone();
        draft.say(name, Event::Owner(owner));
    }
    draft.finish()
}

/// Grows a volume online. The new part of a mirror is not in sync and is copied; what was in sync
/// stays in sync. The placement comes with whether the filesystem on the volume grows too, which is
/// not planned here.
pub fn grow(
    world: &Situation,
    name: &Name,
    to: GrowTo,
    (placement, filesystem): (&Placement, bool),
) -> Result<Plan> {
    let mut draft = Draft::new(world);
    let volume = draft.volume(name)?;
    let path = draft.path(name);
    let too_large = || Asked::TooLarge {
        volume: world.named(name),
    };
    let size = match to {
        GrowTo::By(more) => volume.size.checked_add(more).ok_or_else(too_large)?,
        GrowTo::To(size) => size,
    };
    let size = size.round_up(SIZE_UNIT);
    if size < volume.size {
        return Err(Asked::Smaller {
            volume: world.named(name),
            size: volume.size,
        }
        .into());
    }
    if size == volume.size {
        return Ok(draft.plan);
    }
    if let Some(leg) = volume.attaching().first() {
        return Err(Plexes::BeingAttached {
            volume: world.named(name),
            plex: leg.name.clone(),
            of_snapshot: false,
        }
        .into());
    }
    if volume.live_dco().is_some() {
        let volume = world.named(name);
        return Err(Volumes::Tracked { volume }.into());
    }
    let by = size.saturating_sub(volume.size);
    let mirrored = volume.complete().len() > 1;
    // Each plex is extended with regard to the new space of those before it.
    let mut larger = volume.clone();
    for at in 0..larger.plexes.len() {
        let mut plex = larger.plexes[at].clone();
        draft.extend_plex(&larger, &mut plex, by, placement)?;
        larger.plexes[at] = plex;
    }
    let grown = draft.touch(volume.id)?;
    grown.plexes = larger.plexes;
    grown.synced = if mirrored { grown.synced } else { size };
    grown.size = size;
    // The size of a DCO depends on the volume's size, so all are allocated anew.
    grown.dco = None;
    grown.plexes.iter_mut().for_each(|p| p.dco = None);
    draft.provide_dcos(volume.id)?;
    draft.say(name, Event::Grown { size, by });
    if mirrored {
        draft.note(format!("the kernel is synchronising the new part of '{path}' on all plexes; it can be used meanwhile"));
    }
    if !filesystem {
        draft.note("a filesystem on it is not grown: use resize2fs or xfs_growfs");
    }
    draft.finish()
}
