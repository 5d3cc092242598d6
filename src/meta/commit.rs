//! A commit in two phases. Everything that can fail, allocate or take time happens in [`prepare`];
//! [`Prepared::flip`] puts the configuration in force.
//!
//! On each disk, the payload is written into the slot that does not hold the newest good copy, and
//! flushed. Then the superblock of that payload is written over the older one, and flushed. A crash
//! before the flip leaves the old configuration on every disk. A crash within the flip leaves the
//! new one on some disks: it has the larger generation and wins, and the next commit writes the
//! others.

use super::history::{Digest, Lineage, Stamp};
use super::layout::{BLOCK, GENERATION_MAX, Membership, PayloadAt, Position, Superblock};
use super::record::{self, Configuration};
use super::store::{Copy, Label};
use crate::error::{Error, Result, words};
use crate::model::{DiskId, Generation, Group, GroupId};
use crate::sys::disk::Written;
use crate::sys::{Errno, Media, failpoint};
use std::cell::OnceCell;
use std::sync::Arc;

/// A disk that takes part in commits.
pub struct Member {
    /// The identity of the disk.
    pub disk: DiskId,
    /// The name of the disk in messages, such as `disk01 (/dev/sdb)`.
    pub name: String,
    /// Access to its bytes.
    pub media: Box<dyn Media>,
    /// Its label; commits keep it up to date.
    pub label: Label,
}

/// A configuration that is on the disks but not yet valid. Dropping it changes nothing.
pub struct Prepared<'m> {
    group: GroupId,
    stamp: Stamp,
    /// The number of disks that it is meant for.
    meant: usize,
    staged: Vec<Staged<'m>>,
    warnings: Vec<String>,
    /// The result of reading the disks back after a flip that failed; `None` when that was not
    /// done.
    observed: Option<Observed>,
    /// The buffer for reading a superblock back.
    read: Vec<u8>,
}

/// One disk's part of a commit.
struct Staged<'m> {
    member: &'m mut Member,
    superblock: Superblock,
    block: Vec<u8>,
    copy: Copy,
    /// Whether the disk is in the group, and not handed over to another one.
    stays: bool,
    /// How the write of the superblock ended.
    state: Option<Written>,
}

/// The result of [`Prepared::flip`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlipResult {
    /// The number of disks on which the new configuration is valid and durable.
    pub flipped: usize,
    /// The number of disks of which that is not known.
    pub failed: usize,
    /// The first error of any disk.
    pub errno: Option<Errno>,
}

impl FlipResult {
    /// Whether the commit is known to have happened. If not, [`Prepared::observe`] finds out
    /// whether it has happened all the same.
    pub fn committed(&self) -> bool {
        self.flipped > 0
    }
}

/// What the disks hold after a flip that failed on all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observed {
    /// At least one disk has the new configuration: the commit has happened.
    Committed,
    /// All disks were read and none has it: the old configuration is valid.
    NotCommitted,
    /// No disk is known to have it, and at least one cannot be read.
    Unknown,
}

/// The detailed result of a commit, made when the window is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitOutcome {
    /// Whether the new configuration is valid.
    pub committed: bool,
    /// Whether that is unknown: a disk may have it and cannot be read.
    pub unknown: bool,
    /// Generation and digest of the new configuration.
    pub stamp: Stamp,
    /// The disks that have it.
    pub written: Vec<DiskId>,
    /// The disks of which that is not known.
    pub unsure: Vec<DiskId>,
    /// Whether all disks that the commit was meant for have it.
    pub complete: bool,
    /// What went wrong on which disk, as text.
    pub warnings: Vec<String>,
}

/// Writes the payload of a configuration to all disks and prepares the superblocks.
///
/// The generation is [`Chosen::next`](super::Chosen::next), or 1 for a new group. A free disk
/// becomes a member with the flip. A disk that cannot be written is left out with a warning, as
/// long as one remains. `lineage` determines what the configuration follows.
///
/// Errors, with nothing changed: `NoSpace` when the payload does not fit into a disk's private
/// area, `Unsafe` when a disk belongs elsewhere or is ahead, `Device` when no disk could be
/// written.
pub fn prepare<'m>(
    members: &'m mut [Member],
    group: &Group,
    generation: Generation,
    lineage: &Lineage,
) -> Result<Prepared<'m>> {
    // The last generation has no next one, and a group without a next one is refused when it is
    // read.
    if generation == Generation::ZERO || generation >= GENERATION_MAX {
        return Err(Error::failed(format!(
            "group '{}' cannot be at generation {generation}",
            group.name
        )));
    }
    members
        .iter()
        .try_for_each(|member| refuse_member(member, group, generation))?;
    let (taking, content, warnings) = write_payload(members, group, generation, lineage)?;
    let mut prepared = Prepared {
        group: group.id,
        stamp: Stamp {
            generation,
            digest: Digest::of(&content.payload),
        },
        meant: taking.len(),
        staged: Vec::with_capacity(taking.len()),
        warnings,
        observed: None,
        read: vec![0; BLOCK as usize],
    };
    for member in members
        .iter_mut()
        .filter(|member| taking.contains(&member.disk))
    {
        prepared.stage(member, &content);
    }
    if prepared.staged.is_empty() {
        let why = if prepared.warnings.is_empty() {
            "none of its disks is here".into()
        } else {
            prepared.warnings.join("; ")
        };
        return Err(Error::device(format!(
            "the configuration of group '{}' cannot be written: {why}",
            group.name
        ))
        .on(&group.name));
    }
    Ok(prepared)
}

/// Writes the payload to all disks that accept it, at once; returns these disks, the payload and warnings.
/// The payload says which disks it is meant for, so it is written once more when one of them fails.
fn write_payload(
    members: &mut [Member],
    group: &Group,
    generation: Generation,
    lineage: &Lineage,
) -> Result<(Vec<DiskId>, Content, Vec<String>)> {
    let mut warnings = Vec::new();
    let mut taking: Vec<DiskId> = members.iter().map(|member| member.disk).collect();
    loop {
        let history = lineage.history(group, &|disk| taking.contains(&disk));
        let payload: Arc<[u8]> = record::encode(group, generation, Some(&history))?.into();
        members
            .iter()
            .try_for_each(|member| refuse_full(member, group, payload.len() as u64))?;
        let content = Content::new(
            payload,
            Configuration {
                group: group.clone(),
                generation,
                history: Some(history),
            },
        );
        let meant = taking.len();
        let takes = members
            .iter_mut()
            .filter(|member| taking.contains(&member.disk));
        let begun: Vec<(&Member, Option<Written>)> = takes
            .map(|member| {
                let begun = member.begin_write(&content);
                (&*member, begun)
            })
            .collect();
        for (member, begun) in begun {
            let written = begun.unwrap_or_else(|| member.media.end_write());
            if let Err(err) = written.done() {
                warnings.push(format!(
                    "{}: the configuration cannot be written: {}",
                    member.name,
                    words(&err)
                ));
                taking.retain(|disk| *disk != member.disk);
            }
        }
        if taking.len() == meant || taking.is_empty() {
            return Ok((taking, content, warnings));
        }
    }
}

impl Member {
    /// Begins to write the payload. From here on the disk's older copy is lost, good or not.
    fn begin_write(&mut self, content: &Content) -> Option<Written> {
        let (_, slot) = self.label.target();
        self.label.copies.retain(|copy| copy.slot != slot);
        failpoint::step();
        let offset = self.label.geometry().slot(slot).start;
        self.media.begin_write(offset, &content.padded)
    }
}

/// The payload that is written to every disk.
struct Content {
    payload: Arc<[u8]>,
    padded: Vec<u8>,
    checksum: u32,
    says: Arc<Configuration>,
}

impl Content {
    fn new(payload: Arc<[u8]>, says: Configuration) -> Content {
        let mut padded = payload.to_vec();
        padded.resize(payload.len().next_multiple_of(BLOCK as usize), 0);
        Content {
            padded,
            checksum: crc32c::crc32c(&payload),
            says: Arc::new(says),
            payload,
        }
    }
}

fn refuse_member(member: &Member, group: &Group, generation: Generation) -> Result<()> {
    let Member {
        disk, name, label, ..
    } = member;
    let refuse = |why: String| {
        Err(Error::unsafe_(format!(
            "'{name}' cannot take the configuration of group '{}': {why}",
            group.name
        ))
        .on(name))
    };
    if label.disk() != *disk || !group.is_held_by(*disk) {
        return refuse("it is not one of the group's disks".into());
    }
    if let Some(why) = label.written_by_newer() {
        return refuse(format!(
            "a newer version of breakoff wrote its label: {why}"
        ));
    }
    if let Some(other) = label.group().filter(|other| *other != group.id) {
        return refuse(format!("it belongs to the group {other}"));
    }
    if label.highest() >= generation {
        return refuse(format!(
            "it is at generation {} already, this would be {generation}",
            label.highest()
        ));
    }
    Ok(())
}

fn refuse_full(member: &Member, group: &Group, used: u64) -> Result<()> {
    let geometry = member.label.geometry();
    if used <= geometry.capacity() {
        return Ok(());
    }
    Err(Error::no_space(format!(
        "the configuration of group '{}' needs {used} bytes, the private area of '{}' ({}) holds {}",
        group.name,
        member.name,
        geometry.area(),
        geometry.capacity()
    ))
    .on(&group.name)
    .hint("remove volumes or snapshots, or replace the disk by one that was initialised with a larger private area"))
}

impl<'m> Prepared<'m> {
    /// Prepares the superblock of a disk that has the payload.
    fn stage(&mut self, member: &'m mut Member, content: &Content) {
        let (position, slot) = member.label.target();
        let offset = member.label.geometry().slot(slot).start;
        let at = PayloadAt {
            slot,
            offset,
            length: content.payload.len() as u64,
            checksum: content.checksum,
        };
        let superblock = self.superblock(member, position, at);
        let copy = Copy {
            disk: member.disk,
            generation: self.stamp.generation,
            position,
            slot,
            payload: content.payload.clone(),
            says: OnceCell::from(Ok(content.says.clone())),
            digest: OnceCell::from(self.stamp.digest),
        };
        self.staged.push(Staged {
            superblock,
            block: superblock.encode(),
            stays: content.says.group.disk(member.disk).is_some(),
            member,
            copy,
            state: None,
        });
    }

    fn superblock(&self, member: &Member, position: Position, payload: PayloadAt) -> Superblock {
        Superblock {
            position,
            disk: member.disk,
            geometry: member.label.geometry(),
            member: Some(Membership {
                group: self.group,
                generation: self.stamp.generation,
                payload,
            }),
        }
    }

    /// Generation and digest of the configuration that is going to be in force.
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }

    /// Prepares the disks for writes while volumes are suspended. It is called before the suspends.
    pub fn brace(&self) {
        self.staged
            .iter()
            .for_each(|staged| staged.member.media.brace());
    }

    /// Ends what [`Prepared::brace`] began. It is called when the volumes are resumed.
    pub fn relax(&self) {
        self.staged
            .iter()
            .for_each(|staged| staged.member.media.relax());
    }

    /// What went wrong while preparing, as text: the disks that are left out.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Makes the configuration valid: one superblock and one flush for each disk, on all disks at
    /// once. The commit has happened as soon as one disk has the superblock.
    ///
    /// It runs while volumes are suspended: it does not allocate, log, open or format anything.
    ///
    /// Disks that are handed over to another group come last: once that group writes their labels,
    /// only the disks that stay tell of the handover.
    pub fn flip(&mut self) -> FlipResult {
        self.flip_those(true);
        let stays = |staged: &Staged<'_>| staged.stays;
        let has_happened = self.result().committed();
        if has_happened || !self.staged.iter().any(stays) {
            self.flip_those(false);
        }
        self.result()
    }

    fn flip_those(&mut self, stay: bool) {
        let those = |staged: &&mut Staged<'_>| staged.stays == stay;
        self.staged
            .iter_mut()
            .filter(those)
            .for_each(Staged::begin_flip);
        self.staged
            .iter_mut()
            .filter(those)
            .for_each(Staged::end_flip);
    }

    fn result(&self) -> FlipResult {
        let flipped = self.staged.iter().filter(|staged| staged.is_done()).count();
        let failures = self.staged.iter().filter_map(Staged::failure);
        let errno = failures.map(|(_, errno)| errno).next();
        FlipResult {
            flipped,
            failed: self.staged.len() - flipped,
            errno,
        }
    }

    /// Reads back the disks on which the flip failed, because an error can follow a write that
    /// reached the disk. It runs while volumes are suspended, too, under the same restrictions as
    /// [`Prepared::flip`].
    pub fn observe(&mut self) -> Observed {
        let mut known = true;
        for staged in &mut self.staged {
            known &= staged.observe(&mut self.read);
        }
        let observed = match (self.result().committed(), known) {
            (true, _) => Observed::Committed,
            (false, true) => Observed::NotCommitted,
            (false, false) => Observed::Unknown,
        };
        self.observed = Some(observed);
        observed
    }

    /// Reports which disks failed, and updates the members' labels to what the disks hold now.
    pub fn outcome(mut self) -> CommitOutcome {
        let committed = self.result().committed();
        let unknown = !committed && self.observed == Some(Observed::Unknown);
        let (stamp, warnings) = (self.stamp, std::mem::take(&mut self.warnings));
        let mut outcome = CommitOutcome {
            committed,
            unknown,
            stamp,
            written: vec![],
            unsure: vec![],
            complete: false,
            warnings,
        };
        for staged in self.staged {
            match staged.failure() {
                None if staged.is_done() => {
                    outcome.written.push(staged.member.disk);
                    staged.remember();
                }
                None => {}
                Some((doing, errno)) => {
                    outcome.unsure.push(staged.member.disk);
                    let said = words(&std::io::Error::from_raw_os_error(errno.0));
                    outcome.warnings.push(format!(
                        "{}: the superblock cannot be {doing}: {said}",
                        staged.member.name
                    ));
                }
            }
        }
        outcome.complete = outcome.written.len() == self.meant;
        outcome
    }
}

impl Staged<'_> {
    fn begin_flip(&mut self) {
        failpoint::step();
        let offset = self.superblock.position.offset();
        self.state = self.member.media.begin_write(offset, &self.block);
    }

    fn end_flip(&mut self) {
        if self.state.is_none() {
            self.state = Some(self.member.media.end_write());
        }
    }

    fn is_done(&self) -> bool {
        self.state == Some(Written::Durable)
    }

    fn failure(&self) -> Option<(&'static str, Errno)> {
        match self.state? {
            Written::Durable => None,
            Written::NotWritten(errno) => Some(("written", errno)),
            Written::NotFlushed(errno) => Some(("made durable", errno)),
        }
    }

    /// Finds out what this disk holds now; `false` when that is not possible.
    fn observe(&mut self, now: &mut [u8]) -> bool {
        if self.is_done() {
            return true;
        }
        if self
            .member
            .media
            .read_at(self.superblock.position.offset(), now)
            .is_err()
        {
            return false;
        }
        if *now != *self.block {
            return true;
        }
        // The block may have been read from a cache that a power cut empties.
        if self.member.media.flush().is_err() {
            return false;
        }
        self.state = Some(Written::Durable);
        true
    }

    /// Updates the label to what is on the disk now.
    fn remember(self) {
        let label = &mut self.member.label;
        label.group = self.superblock.member.map(|member| member.group);
        label.newest = self.superblock.position;
        label.highest = self.copy.generation;
        label.copies.insert(0, self.copy);
        label.warnings.clear();
        label.handed = None;
    }
}
