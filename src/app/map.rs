//! `map`: where everything lies on the disks, and what of it is about to go.

use super::Options;
use super::scan::Scan;
use super::session::View;
use crate::model::{Extent, Group, Name, Plex, PlexState, Volume};
use crate::plan::world::World;
use std::collections::{BTreeSet, HashSet};

/// A group for a map of its disks.
#[derive(Debug, Clone)]
pub struct Mapped {
    /// The group as it was observed.
    pub world: World,
    /// Space that is in use and is going to be released by the next repair or by the next start of
    /// its volume, without anybody asking for it.
    pub leaving: BTreeSet<Extent>,
    /// Space that the configuration does not use any more, while a device still leads to it: it is
    /// free when that device is gone.
    pub held: Vec<Extent>,
}

/// Divides the words of a command line into groups and volumes: without `-g`, words that are all
/// names or UUIDs of groups on this machine mean these groups. Otherwise each is a volume.
pub(super) fn meant(options: &Options, words: &[Name], scan: &Scan) -> (Vec<Name>, Vec<Name>) {
    let is_group = |word: &Name| scan.group_named(word.as_str()).is_ok();
    if options.group.is_none() && !words.is_empty() && words.iter().all(is_group) {
        (words.to_vec(), Vec::new())
    } else {
        (Vec::new(), words.to_vec())
    }
}

/// What a map shows of a group.
pub(super) fn mapped(view: &View<'_>) -> Mapped {
    let world = view.world.state.clone();
    // A repair that cannot be planned is reported by `status`; it releases nothing.
    let next = view.next_repair().ok().flatten();
    let leaving = leaving(&world, next.as_ref().map(|plan| &plan.group));
    let held = held(&world);
    Mapped {
        world,
        leaving,
        held,
    }
}

/// The extents that the next configuration does not have, and those of snapshot legs whose filling
/// was cut short: they are given up when their volume starts.
fn leaving(world: &World, next: Option<&Group>) -> BTreeSet<Extent> {
    let mut leaving: BTreeSet<Extent> = BTreeSet::new();
    if let Some(next) = next {
        let kept: HashSet<&Extent> = next.extents().collect();
        let all = world.group.extents();
        leaving.extend(all.filter(|extent| !kept.contains(extent)));
    }
    let cut_short = |volume: &&Volume| volume.running != Some(world.boot);
    let volumes = world.group.volumes.iter().filter(cut_short);
    for volume in volumes.filter(|volume| volume.returning.is_none()) {
        let legs = volume.in_state(PlexState::SnapAtt);
        leaving.extend(legs.flat_map(extents_of));
    }
    leaving
}

/// All the space of a plex.
fn extents_of(plex: &Plex) -> impl Iterator<Item = Extent> {
    let maps = plex.dco.iter().flat_map(|dco| &dco.copies);
    plex.subdisks.iter().chain(maps).copied()
}

/// The extents that live devices lead to and that no volume has.
fn held(world: &World) -> Vec<Extent> {
    let used: HashSet<&Extent> = world.group.extents().collect();
    let mapped = world.devices.values().flat_map(|d| world.mapped(d));
    // What a volume has is mostly mapped as it is configured; only the rest is compared with all.
    let rest: BTreeSet<Extent> = mapped.filter(|extent| !used.contains(extent)).collect();
    let is_free = |extent: &Extent| !used.iter().any(|other| other.overlaps(extent));
    rest.into_iter().filter(is_free).collect()
}
