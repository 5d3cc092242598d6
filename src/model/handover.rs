//! What one group hands over to another: disks, and the volumes on them. Pure.
//!
//! A handover is one commit of the group that gives. From then on its disks are the other group's,
//! whatever their labels still say: whoever reads such a label reads the handover with it, and the
//! next commit of the other group writes its own label over it.
//!
//! A snapshot and its original may be parted in this way. Both sides go on recording changes, and
//! know each other again when they are in one group.

use super::disk::Standing;
use super::group::{Group, Handover};
use super::ids::VolumeId;
use super::name::Name;
use super::volume::{Apart, Away, Origin, Tracking, Volume};
use std::collections::BTreeSet;

impl Handover {
    /// Adds what is handed over to the group that receives it.
    ///
    /// Returns a text, with the group unchanged, if a name is taken there by now.
    pub fn received_by(&self, group: &mut Group) -> Result<(), String> {
        if let Some(clash) = clashes(group, &self.to).into_iter().next() {
            return Err(clash);
        }
        let disks = self.to.disks.iter();
        group
            .standing
            .extend(disks.clone().map(|disk| (disk.id, Standing::Joining)));
        group.disks.extend(disks.cloned());
        group.volumes.extend(self.to.volumes.iter().cloned());
        reunite(group);
        Ok(())
    }
}

/// The names that two groups both use, as text, so that they cannot become one.
pub fn clashes(group: &Group, other: &Group) -> Vec<String> {
    let plexes = |group: &Group| -> BTreeSet<Name> {
        let all = group.volumes.iter().flat_map(|volume| &volume.plexes);
        all.map(|plex| plex.name.clone()).collect()
    };
    let volumes = |group: &Group| -> BTreeSet<Name> {
        group.volumes.iter().map(|v| v.name.clone()).collect()
    };
    let media =
        |group: &Group| -> BTreeSet<Name> { group.disks.iter().map(|d| d.media.clone()).collect() };
    let both = |what: &str, one: BTreeSet<Name>, two: BTreeSet<Name>| -> Vec<String> {
        let common = one.intersection(&two);
        common.map(|name| format!("{what} '{name}'")).collect()
    };
    let mut all = both("disk", media(group), media(other));
    all.extend(both("volume", volumes(group), volumes(other)));
    all.extend(both("plex", plexes(group), plexes(other)));
    all
}

/// Records on both sides which snapshots and originals are parted, when volumes of one group become
/// those of two.
pub fn part(one: &mut Group, two: &mut Group) {
    part_snapshots(one, two);
    part_snapshots(two, one);
}

/// Records the parting of the originals in `here` from their snapshots in `there`.
fn part_snapshots(here: &mut Group, there: &mut Group) {
    let (group, group_name) = (here.id, here.name.clone());
    let (there_id, there_name) = (there.id, there.name.clone());
    for snapshot in &mut there.volumes {
        let (id, name) = (snapshot.id, snapshot.name.clone());
        let Some(origin) = snapshot.origin.as_mut().filter(|o| o.apart.is_none()) else {
            continue;
        };
        let Some(original) = here.volume_mut(origin.original) else {
            continue;
        };
        original.away.push(Away {
            snapshot: id,
            name,
            group: there_id,
            group_name: there_name.clone(),
            origin: Origin {
                at_boot: None,
                ..origin.clone()
            },
        });
        origin.at_boot = None;
        origin.apart = Some(Apart {
            group,
            group_name: group_name.clone(),
            original: original.name.clone(),
        });
    }
}

/// Joins snapshots and originals that are in one group again. A relation that was ended on one side
/// meanwhile ends on the other, too; changes that one side does not know are not known.
pub fn reunite(group: &mut Group) {
    let known: BTreeSet<VolumeId> = group.volumes.iter().map(|v| v.id).collect();
    let related: BTreeSet<(VolumeId, VolumeId)> = group
        .volumes
        .iter()
        .filter_map(|v| Some((v.origin.as_ref()?.original, v.id)))
        .collect();
    let mut sides: Vec<(VolumeId, VolumeId, Tracking)> = Vec::new();
    for original in &mut group.volumes {
        let id = original.id;
        let (back, away): (Vec<Away>, Vec<Away>) = std::mem::take(&mut original.away)
            .into_iter()
            .partition(|away| known.contains(&away.snapshot));
        original.away = away;
        let still = back
            .into_iter()
            .filter(|away| related.contains(&(id, away.snapshot)));
        sides.extend(still.map(|away| (id, away.snapshot, away.origin.tracking)));
    }
    for snapshot in &mut group.volumes {
        let id = snapshot.id;
        let is_back = |o: &Origin| o.apart.is_some() && known.contains(&o.original);
        let Some(origin) = snapshot.origin.as_mut().filter(|o| is_back(o)) else {
            continue;
        };
        let other = sides
            .iter()
            .find(|(original, snapshot, _)| (*original, *snapshot) == (origin.original, id));
        let Some((_, _, there)) = other else {
            snapshot.origin = None;
            continue;
        };
        origin.apart = None;
        if matches!(there, Tracking::Untracked(_)) {
            origin.tracking = *there;
        }
    }
}

/// Whether a volume's changes have to be tracked for a snapshot in another group.
pub fn is_needed_elsewhere(volume: &Volume) -> bool {
    let tracked = |away: &Away| matches!(away.origin.tracking, Tracking::Since(_));
    volume.away.iter().any(tracked)
}
