//! The largest size that `make` or `grow` can plan now. The planner itself is asked, size by size,
//! so that the answer is never at odds with those verbs.

use super::draft::Draft;
use super::evidence::Situation;
use super::refusal::Result;
use super::request::{GrowTo, Placement, Request};
use crate::error::Kind;
use crate::model::volume::SIZE_UNIT;
use crate::model::{Name, NodeOwner, Sectors};

/// Whose size is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoomFor {
    /// A new volume's.
    New {
        /// Number of plexes.
        mirrors: usize,
        /// The disks that it may lie on.
        placement: Placement,
        /// Whether a mirror gets a dirty region log.
        log: bool,
    },
    /// That of a volume that is to grow.
    Growing {
        /// The volume.
        volume: Name,
        /// The disks that the new space may lie on.
        placement: Placement,
    },
}

impl RoomFor {
    /// The volume that is to grow.
    pub fn volume(&self) -> Option<&Name> {
        match self {
            RoomFor::New { .. } => None,
            RoomFor::Growing { volume, .. } => Some(volume),
        }
    }

    /// The request for a volume of this size. A new one gets this name.
    pub fn request(&self, name: &Name, size: Sectors) -> Request {
        match self.clone() {
            RoomFor::New {
                mirrors,
                placement,
                log,
            } => Request::Make {
                volume: name.clone(),
                size,
                mirrors,
                owner: NodeOwner::default(),
                placement,
                log,
                fast_resync: true,
                sector_size: None,
            },
            RoomFor::Growing { volume, placement } => Request::Grow {
                volume,
                to: GrowTo::To(size),
                placement,
                filesystem: false,
            },
        }
    }
}

/// The largest size, a whole number of 4 KiB: it can be planned, and 4 KiB more cannot. It is the
/// present size of a volume that cannot grow, and zero if no new volume fits. What is in the way
/// apart from a lack of space is a refusal, the same as that of the verb.
pub fn room(world: &Situation, what: &RoomFor) -> Result<Sectors> {
    let present = match what.volume() {
        Some(volume) => world.group.volume_named(volume)?.size,
        None => Sectors::ZERO,
    };
    let name = unused_name(world)?;
    let plan = |units: u64| {
        let size = present.saturating_add(times_unit(units));
        super::plan(world, &what.request(&name, size)).map(drop)
    };
    match plan(1) {
        Err(full) if full.kind() == Kind::NoSpace => return Ok(present),
        planned => planned?,
    }
    // That many units are planned, and this many are not: more than the disks have.
    let disks: Sectors = world.group.disks.iter().map(|disk| disk.size).sum();
    let (mut fits, mut too_many) = (1, disks.get() / SIZE_UNIT.get() + 1);
    while fits + 1 < too_many {
        let middle = fits + (too_many - fits) / 2;
        match plan(middle) {
            Ok(()) => fits = middle,
            Err(_) => too_many = middle,
        }
    }
    Ok(present.saturating_add(times_unit(fits)))
}

fn times_unit(units: u64) -> Sectors {
    Sectors::new(units.saturating_mul(SIZE_UNIT.get())).unwrap_or(Sectors::MAX)
}

/// A name that a new volume could have.
fn unused_name(world: &Situation) -> Result<Name> {
    let draft = Draft::new(world);
    let mut number = 0_u64;
    loop {
        let name = Name::parse(&format!("v{number}"))?;
        match draft.check_new_name(&name) {
            Err(taken) if taken.kind() == Kind::Exists => number += 1,
            checked => return checked.map(|()| name),
        }
    }
}
