//! The labels of copies of disks become those of the disks of another group: a clone. The copies
//! were made byte by byte, so each of them claims to be the disk that it was made from.
//!
//! A copy changes its identity with one write of one sector: of the superblock that its newest
//! configuration hangs on. Its other superblock, which has the old identity too, is erased before,
//! and the configuration of the clone is written before that, into the free slot. So there are three
//! rounds over all copies, each made durable: payloads, other superblocks, identities. A crash leaves
//! copies that are what they were (with one superblock perhaps), and, from the third round on, copies
//! that have become disks of the clone.
//!
//! The configuration that is written here belongs to nobody ([`UNFINISHED`](crate::model::UNFINISHED)), so that a clone of
//! which a part is still to be turned is never used. An ordinary commit on all disks of the clone,
//! when all are turned, gives it to this machine. A clone that was interrupted before that is
//! continued with the bytes that its first copies have.

use super::choose::Chosen;
use super::history::Lineage;
use super::layout::{BLOCK, Membership, PayloadAt, Superblock};
use super::record;
use super::store::Label;
use crate::error::{Error, Result};
use crate::model::{DiskId, Generation, Group, GroupId, Timestamp};
use crate::sys::{Media, failpoint};
use std::sync::Arc;

/// A copy that is to become a disk of the clone.
pub struct Turned<'m> {
    /// The name of its device, for messages.
    pub name: String,
    /// Access to its bytes.
    pub media: &'m dyn Media,
    /// Its label until now.
    pub label: Label,
    /// The disk that it becomes.
    pub disk: DiskId,
}

/// The first configuration of a clone, as it is written to each of its disks.
pub struct CloneLabel {
    group: GroupId,
    generation: Generation,
    payload: Arc<[u8]>,
}

impl CloneLabel {
    /// The configuration `group` of a clone, which follows the one that was chosen from the copies;
    /// `here` tells which of its disks a copy is to become.
    pub fn new(
        group: &Group,
        copies: &Chosen,
        here: &dyn Fn(DiskId) -> bool,
        now: Timestamp,
    ) -> Result<CloneLabel> {
        let old = copies.group.disks.iter().map(|disk| disk.id);
        let lineage = Lineage::of_copies(copies.lineage.newest, old, now);
        let history = lineage.history(group, here);
        Ok(CloneLabel {
            group: group.id,
            generation: copies.next,
            payload: record::encode(group, copies.next, Some(&history))?.into(),
        })
    }

    /// The configuration that a copy has which was turned by an interrupted command; `None` if the
    /// label has none that can be read.
    pub fn continued(label: &Label) -> Option<CloneLabel> {
        let group = label.group()?;
        let copy = label
            .copies
            .iter()
            .find(|copy| copy.believed(group).is_ok_and(Group::is_unfinished))?;
        Some(CloneLabel {
            group,
            generation: copy.generation,
            payload: copy.payload.clone(),
        })
    }

    /// The generation of the configuration.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// Turns these copies into disks of the clone. A disk that fails ends it; what was turned until
    /// then stays so, and the command that is repeated turns the rest.
    pub fn write(&self, copies: &[Turned<'_>]) -> Result<()> {
        copies.iter().try_for_each(|copy| self.refuse_full(copy))?;
        let mut padded = self.payload.to_vec();
        padded.resize(padded.len().next_multiple_of(BLOCK as usize), 0);
        for copy in copies {
            let (_, slot) = copy.label.target();
            copy.write(copy.label.geometry().slot(slot).start, &padded)?;
        }
        for copy in copies {
            let (other, _) = copy.label.target();
            copy.write(other.offset(), &[0; BLOCK as usize])?;
        }
        for copy in copies {
            let superblock = self.superblock(copy);
            copy.write(superblock.position.offset(), &superblock.encode())?;
        }
        Ok(())
    }

    fn refuse_full(&self, copy: &Turned<'_>) -> Result<()> {
        let (needed, capacity) = (self.payload.len() as u64, copy.label.geometry().capacity());
        if needed <= capacity {
            return Ok(());
        }
        Err(Error::no_space(format!(
            "the configuration of the clone needs {needed} bytes, the private area of '{}' holds {capacity}",
            copy.name
        ))
        .on(&copy.name))
    }

    fn superblock(&self, copy: &Turned<'_>) -> Superblock {
        let (other, slot) = copy.label.target();
        let geometry = copy.label.geometry();
        Superblock {
            position: other.other(),
            disk: copy.disk,
            geometry,
            member: Some(Membership {
                group: self.group,
                generation: self.generation,
                payload: PayloadAt {
                    slot,
                    offset: geometry.slot(slot).start,
                    length: self.payload.len() as u64,
                    checksum: crc32c::crc32c(&self.payload),
                },
            }),
        }
    }
}

impl Turned<'_> {
    fn write(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        failpoint::step();
        let written = self.media.write_durably(offset, bytes).done();
        written.map_err(|err| {
            Error::io(
                format!("the label of '{}' cannot be written", self.name),
                &err,
            )
            .on(&self.name)
        })
    }
}
