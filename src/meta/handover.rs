//! Disks that a group has handed over to another one ([`crate::model::Handover`]) and that this
//! other group has not written yet. They are taken for disks of the group that receives them, so
//! that every reader sees the state after the handover, and the next commit of that group writes
//! their labels. Pure.
//!
//! What their labels still say is kept until then: the handover is recorded there, too, and the disks
//! may be all that is left of it.

use super::choose::Chosen;
use super::history::{Digest, History, Known, Past, Stamp};
use super::record::Configuration;
use super::store::{Copy, Handed, Label};
use crate::error::Result;
use crate::model::{DiskId, GroupId, Handover, Timestamp};
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Takes each disk that was handed over for one of the group that received it. `chosen` has the
/// configurations of all groups by what the labels say, and it stays right for those that give. Returns
/// the groups that receive.
///
/// A handover to a group that is not here changes nothing: the disks wait for it.
pub fn hand_over(
    found: &mut [(String, Label)],
    chosen: &BTreeMap<GroupId, Result<Chosen>>,
) -> BTreeSet<GroupId> {
    let chosen: BTreeMap<GroupId, &Chosen> = chosen
        .iter()
        .filter_map(|(id, chosen)| Some((*id, chosen.as_ref().ok()?)))
        .collect();
    let handed: Vec<Option<Handed>> = found
        .iter()
        .map(|(_, label)| given(label, &chosen).or_else(|| received(label, &chosen)))
        .collect();
    let receivers = handed.iter().flatten().map(|handed| handed.to).collect();
    let each = found.iter_mut().zip(handed);
    each.for_each(|((_, label), handed)| label.handed = handed);
    receivers
}

/// A disk that its own group has handed over.
fn given(label: &Label, chosen: &BTreeMap<GroupId, &Chosen>) -> Option<Handed> {
    let from = chosen.get(&label.group()?)?;
    let has = |handover: &&Handover| handover.to.disk(label.disk()).is_some();
    let handover = from.group.handovers.iter().find(has)?;
    let receiver = chosen.get(&handover.to.id);
    if !handover.begins && receiver.is_none() {
        return None;
    }
    let pasts = pasts(from, handover);
    let is_received = receiver.is_some_and(|receiver| has_received(receiver, from, handover));
    let mut copies = Vec::new();
    if handover.begins && !is_received {
        copies.push(beginning(label.disk(), handover, &pasts));
    }
    Some(Handed {
        to: handover.to.id,
        given: (!is_received).then(|| Arc::new(handover.clone())),
        ready: from.outdated.is_empty(),
        pasts: Arc::new(pasts),
        copies,
    })
}

/// A disk that has missed the handover, and that the group which received it lists.
fn received(label: &Label, chosen: &BTreeMap<GroupId, &Chosen>) -> Option<Handed> {
    let from = label.group()?;
    let held = label.copies().first()?.stamp();
    let disk = label.disk();
    let has = |receiver: &&&Chosen| {
        receiver.group.id != from
            && receiver.group.disk(disk).is_some()
            && receiver.lineage.accepts(disk, held)
    };
    let receiver = chosen.values().find(has)?;
    Some(Handed {
        to: receiver.group.id,
        given: None,
        ready: true,
        pasts: Arc::default(),
        copies: Vec::new(),
    })
}

/// Whether a group has recorded the handover: it has the disks, all of them from the same commit on, or
/// has removed them since and knows what they held. It may have had them before, too.
fn has_received(receiver: &Chosen, from: &Chosen, handover: &Handover) -> bool {
    let knows = |disk| {
        let past = receiver.lineage.past(disk);
        let now = from.lineage.newest;
        past.zip(now).is_some_and(|(past, now)| past.accepts(now))
    };
    let has = |disk| receiver.group.disk(disk).is_some() || knows(disk);
    handover.begins || handover.to.disks.iter().any(|disk| has(disk.id))
}

/// What each of the disks may hold, by the records of the group that has handed them over.
fn pasts(from: &Chosen, handover: &Handover) -> BTreeMap<DiskId, Past> {
    let disks = handover.to.disks.iter().map(|disk| disk.id);
    let past = |id| {
        let mut past = from.lineage.past(id).unwrap_or_default();
        past.before = past.before.max(handover.generation);
        from.lineage
            .newest
            .into_iter()
            .for_each(|now| past.may_hold(now));
        (id, past)
    };
    disks.map(past).collect()
}

/// The first configuration of a group that begins with a handover, as if the disk held a copy.
fn beginning(disk: DiskId, handover: &Handover, pasts: &BTreeMap<DiskId, Past>) -> Copy {
    let known = |(id, past): (&DiskId, &Past)| {
        let past = Past {
            before: past.before.min(handover.generation),
            holds: Vec::new(),
        };
        (*id, Known { here: true, past })
    };
    let says = Configuration {
        group: handover.to.clone(),
        generation: handover.generation,
        history: Some(History {
            follows: None,
            written_at: Timestamp::default(),
            disks: pasts.iter().map(known).collect(),
            removed: Vec::new(),
            others: handover.generation,
        }),
    };
    let stamp = Stamp {
        generation: handover.generation,
        digest: Digest::of_handover(handover.id),
    };
    Copy::unwritten(disk, stamp, Arc::new(says))
}

impl Copy {
    /// A configuration that is in force on a disk and not written to it yet.
    fn unwritten(disk: DiskId, stamp: Stamp, says: Arc<Configuration>) -> Copy {
        Copy {
            disk,
            generation: stamp.generation,
            position: super::layout::Position::A,
            slot: super::layout::Slot::First,
            payload: stamp.digest.bytes().into(),
            says: OnceCell::from(Ok(says)),
            digest: OnceCell::from(stamp.digest),
        }
    }
}
