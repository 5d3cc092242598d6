//! Relations between snapshots and originals, and the tracking that they need. This module uses
//! only the configuration.

use super::change::Change;
use super::change::Event;
use crate::model::handover::is_needed_elsewhere;
use crate::model::{Away, Group, Plex, Tracking, Untracked, Volume, VolumeId};
use std::collections::BTreeSet;

/// Adapts the tracking of every volume to the relations: it is on while a relation needs it. Space
/// that neither a relation nor a snapshot leg needs is released.
pub fn reconcile_tracking(group: &mut Group) {
    let since = |v: &Volume| {
        v.origin
            .as_ref()
            .filter(|o| matches!(o.tracking, Tracking::Since(_)))
            .map(|o| (v.id, o.original))
    };
    let elsewhere = group.volumes.iter().filter(|v| is_needed_elsewhere(v));
    let needed: BTreeSet<VolumeId> = group
        .volumes
        .iter()
        .filter_map(since)
        .flat_map(|(snapshot, original)| [snapshot, original])
        .chain(elsewhere.map(|v| v.id))
        .collect();
    for volume in &mut group.volumes {
        if volume.attaching().is_empty() {
            volume.returning = None;
            // The restore that used these plexes as its source is over.
            volume
                .plexes
                .iter_mut()
                .for_each(|p| p.serves_restore = false);
        }
        let returning = volume.returning.is_some();
        if let Some(dco) = &mut volume.dco {
            dco.live = needed.contains(&volume.id) || (dco.live && returning);
        }
        let is_leg = |p: &Plex| p.state.is_snapshot_leg() || p.serves_restore;
        let has_legs = volume.plexes.iter().any(is_leg);
        volume.dco = volume
            .dco
            .take()
            .filter(|dco| dco.live || returning || has_legs);
        if volume.origin.is_none() {
            volume
                .plexes
                .iter_mut()
                .filter(|p| !is_leg(p))
                .for_each(|p| p.dco = None);
        }
    }
}

/// Ends tracking between this volume and its original, and between it and its snapshots (other than
/// `except`): from now on everything counts as changed. Returns the changes for the report.
pub fn untrack(
    group: &mut Group,
    id: VolumeId,
    except: Option<VolumeId>,
    why: Untracked,
) -> Vec<Change> {
    let mut changes = Vec::new();
    let tracked = |away: &&mut Away| {
        except != Some(away.snapshot) && matches!(away.origin.tracking, Tracking::Since(_))
    };
    if let Some(volume) = group.volume_mut(id) {
        let lost = volume.away.iter_mut().filter(tracked);
        lost.for_each(|away| away.origin.tracking = Tracking::Untracked(why));
    }
    for volume in &mut group.volumes {
        let Some(origin) = volume
            .origin
            .as_mut()
            .filter(|o| volume.id == id || o.original == id)
        else {
            continue;
        };
        if except != Some(volume.id) && matches!(origin.tracking, Tracking::Since(_)) {
            origin.tracking = Tracking::Untracked(why);
            let event = Event::Untracked { reason: why };
            changes.push(Change::volume(&group.name, &volume.name, event));
        }
    }
    // If a change log is not exact yet, the writes that it lacks can no longer be read from the
    // map. Everything is copied to its legs.
    if let Some(volume) = group
        .volume_mut(id)
        .filter(|v| v.returning.is_some_and(|r| !r.exact))
    {
        volume.returning = None;
    }
    changes
}

/// Removes copies from a DCO, by position. Removing the last one ends tracking. Returns the changes
/// for the report.
pub fn drop_copies(group: &mut Group, id: VolumeId, gone: &[usize]) -> Vec<Change> {
    let group_name = group.name.clone();
    let Some(volume) = group.volume_mut(id) else {
        return Vec::new();
    };
    let Some(dco) = volume.dco.as_mut().filter(|_| !gone.is_empty()) else {
        return Vec::new();
    };
    let mut at = 0..;
    dco.copies
        .retain(|_| at.next().is_none_or(|at| !gone.contains(&at)));
    let left = dco.copies.len();
    // The change logs are in the first copy. Without it the copy to the legs begins again.
    if gone.contains(&0) {
        volume.returning = None;
    }
    let event = Event::MapFailed { copies: left };
    let mut changes = vec![Change::volume(&group_name, &volume.name, event)];
    if left == 0 {
        volume.dco = None;
        changes.extend(untrack(group, id, None, Untracked::MapLost));
    }
    reconcile_tracking(group);
    changes
}
