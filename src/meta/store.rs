//! One disk's label: how it is made, read and erased. Reading never writes, and nothing is believed
//! that does not verify.

use super::history::{Digest, Past, Stamp};
use super::layout::{
    AREA_MIN, BLOCK, Fault, Geometry, Membership, Newer, PayloadAt, Position, Slot, Superblock,
    Unverified,
};
use super::record::{self, Configuration};
use super::sound;
use crate::advice::{Advised, Hint};
use crate::error::{Error, Result};
use crate::model::units::human_bytes;
use crate::model::{DiskId, Generation, Group, GroupId, Handover, Sectors};
use crate::sys::Media;
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The number of bytes that are zeroed at a time when a private area is made.
const ZEROES: usize = 1 << 20;

/// A configuration on a disk whose checksum is right. Whether it makes sense is known only once it
/// is decoded.
#[derive(Debug, Clone)]
pub struct Copy {
    pub(super) disk: DiskId,
    pub(super) generation: Generation,
    pub(super) position: Position,
    pub(super) slot: Slot,
    pub(super) payload: Arc<[u8]>,
    /// What the payload says; it is decoded at most once.
    pub(super) says: OnceCell<Result<Arc<Configuration>>>,
    /// The digest of the payload; it is computed at most once.
    pub(super) digest: OnceCell<Digest>,
}

impl Copy {
    /// The generation that the superblock states.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// Decodes the configuration. Fails unless it is one of this group, has the generation that the
    /// superblock states, and lists the disk that it is on.
    pub fn decode(&self, group: GroupId) -> Result<Group> {
        self.believed(group).cloned()
    }

    /// Generation and digest, which identify it among all that the group ever had.
    pub fn stamp(&self) -> Stamp {
        Stamp {
            generation: self.generation,
            digest: *self.digest.get_or_init(|| Digest::of(&self.payload)),
        }
    }

    pub(super) fn believed(&self, id: GroupId) -> Result<&Group> {
        self.configuration(id).map(|all| &all.group)
    }

    pub(super) fn configuration(&self, id: GroupId) -> Result<&Configuration> {
        let all = &**self
            .says
            .get_or_init(|| record::decode_all(&self.payload).map(Arc::new))
            .as_ref()
            .map_err(Clone::clone)?;
        let group = &all.group;
        if group.id != id || all.generation != self.generation {
            return Err(sound::refused(
                "it belongs to another group or generation than the superblock says",
            ));
        }
        // A commit only writes to disks that the configuration lists or hands over.
        if !group.is_held_by(self.disk) {
            return Err(sound::refused("it does not list the disk that it is on"));
        }
        Ok(all)
    }

    /// Takes over what a copy with the same bytes says, so that they are not decoded again.
    pub(super) fn says_the_same_as(&self, other: &Copy) {
        if std::ptr::eq(self, other) {
            return;
        }
        if let Some(says) = other.says.get() {
            self.says.get_or_init(|| says.clone());
        }
        self.digest.get_or_init(|| other.stamp().digest);
    }
}

/// The label of a disk: what its superblocks say, and the configurations that they point to.
#[derive(Debug, Clone)]
pub struct Label {
    pub(super) disk: DiskId,
    pub(super) group: Option<GroupId>,
    pub(super) geometry: Geometry,
    /// The position of the newest superblock that verifies.
    pub(super) newest: Position,
    /// The largest generation in a superblock, whether its payload is good or not.
    pub(super) highest: Generation,
    pub(super) copies: Vec<Copy>,
    pub(super) newer: Option<String>,
    pub(super) warnings: Vec<String>,
    /// The group that the disk was handed over to, which has not written the label yet.
    pub(super) handed: Option<Handed>,
}

/// What is known of a disk that was handed over to a group and not written by it yet. Until then it
/// counts as a disk of that group all the same.
#[derive(Debug, Clone)]
pub(super) struct Handed {
    /// The group that the disk is in now.
    pub to: GroupId,
    /// The handover, if its receiver does not list the disk yet.
    pub given: Option<Arc<Handover>>,
    /// Whether the label may be written: all disks of the group that has handed it over, as far as
    /// they are here, tell of the handover.
    pub ready: bool,
    /// What the disk may hold, by the records of the group that it comes from.
    pub pasts: Arc<BTreeMap<DiskId, Past>>,
    /// A group that begins with the handover, as a copy of its configuration.
    pub copies: Vec<Copy>,
}

impl Label {
    /// A label for a disk of a group whose own label is lost. The next commits write it.
    pub fn anew(disk: DiskId, group: GroupId, geometry: Geometry) -> Label {
        Label {
            disk,
            group: Some(group),
            geometry,
            newest: Position::A,
            highest: Generation::ZERO,
            copies: Vec::new(),
            newer: None,
            warnings: Vec::new(),
            handed: None,
        }
    }

    /// The identity of the disk.
    pub fn disk(&self) -> DiskId {
        self.disk
    }

    /// The group that it belongs to; `None` when it is free. A disk that was handed over belongs to
    /// the group that received it.
    pub fn group(&self) -> Option<GroupId> {
        self.handed.as_ref().map(|handed| handed.to).or(self.group)
    }

    /// Whether it was handed over and has to wait, because the label may be the only one that tells
    /// of the handover.
    pub fn is_the_only_record(&self) -> bool {
        self.handed.as_ref().is_some_and(|handed| !handed.ready)
    }

    /// Whether it was handed over to its group, which has not written the label yet.
    pub fn is_handed_over(&self) -> bool {
        self.handed.is_some()
    }

    /// How the disk is divided.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// Divides the disk differently from the next commit on.
    pub fn set_geometry(&mut self, geometry: Geometry) {
        self.geometry = geometry;
    }

    /// The disk's copies of the group's configuration with a right checksum, the newest first; at
    /// most two.
    pub fn copies(&self) -> &[Copy] {
        let handed = self.handed.as_ref();
        handed.map_or(&self.copies, |handed| &handed.copies)
    }

    /// The largest generation that the label mentions, readable or not; zero when the disk is free.
    pub fn highest(&self) -> Generation {
        self.highest
    }

    /// Why this version of the program must not use the disk, as text; `None` when it may.
    pub fn written_by_newer(&self) -> Option<&str> {
        self.newer.as_deref()
    }

    /// What is odd about the label, as text without the device's name.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Where the next configuration is written: never over the newest usable copy.
    pub(super) fn target(&self) -> (Position, Slot) {
        let keep = self
            .group
            .and_then(|group| self.copies.iter().find(|copy| copy.believed(group).is_ok()));
        match keep {
            Some(copy) => (copy.position.other(), copy.slot.other()),
            None => match self.newest.other() {
                Position::A => (Position::A, Slot::First),
                Position::B => (Position::B, Slot::Second),
            },
        }
    }
}

/// Initialises a disk: it is breakoff's, free and empty afterwards. Everything that was in the
/// private area is erased.
///
/// A disk also leaves a group in this way, with a **new** identity, so that no old configuration
/// can ever claim it again. A crash in between leaves a disk that is not breakoff's.
pub fn format_disk(media: &dyn Media, disk: DiskId, area: Sectors) -> Result<Label> {
    let geometry = Geometry::divide(area, media.size())?;
    wipe_disk(media)?;
    let write = |err: std::io::Error| Error::io("writing the private area", &err);
    zero(media, geometry.area().bytes()).map_err(write)?;
    for position in Position::ALL {
        let block = Superblock {
            position,
            disk,
            geometry,
            member: None,
        }
        .encode();
        media.write_at(position.offset(), &block).map_err(write)?;
    }
    media.flush().map_err(write)?;
    match read_disk(media)? {
        Some(label) if label.disk == disk && label.group.is_none() => Ok(label),
        _ => Err(Error::device(
            "the private area reads back differently from what was written",
        )),
    }
}

/// Erases both superblocks, durably: the disk is no longer breakoff's. The volumes that it held
/// cannot be found any more.
pub fn wipe_disk(media: &dyn Media) -> Result<()> {
    let zeroes = [0; 2 * BLOCK as usize];
    let wiped = media
        .write_at(Position::A.offset(), &zeroes)
        .and_then(|()| media.flush());
    wiped.map_err(|err| Error::io("erasing the superblocks", &err))
}

fn zero(media: &dyn Media, length: u64) -> std::io::Result<()> {
    let zeroes = vec![0; ZEROES];
    let mut done = 0;
    while done < length {
        let part = (length - done).min(ZEROES as u64);
        media.write_at(done, &zeroes[..part as usize])?;
        done += part;
    }
    media.flush()
}

/// Whether a device is a breakoff disk, its label good or not. This is cheaper than [`read_disk`].
/// A device that cannot be read counts as none.
pub fn is_ours(media: &dyn Media) -> bool {
    let found = |position| read_superblock(media, position);
    media.size() >= AREA_MIN.bytes()
        && Position::ALL
            .into_iter()
            .any(|at| !matches!(found(at), Err(Fault::Absent | Fault::Unreadable(_))))
}

/// Whether nothing on a device says whose disk it is: both superblocks are missing or damaged. A
/// device that cannot be read may say so.
pub fn is_unlabelled(media: &dyn Media) -> bool {
    media.size() >= AREA_MIN.bytes()
        && Position::ALL
            .into_iter()
            .all(|at| matches!(read_superblock(media, at), Err(Fault::Absent | Fault::Torn)))
}

/// Reads the label of a disk; `None` when it is not a breakoff disk. Never writes.
///
/// Errors: `Device` when the disk cannot be read, `Unsafe` when it is breakoff's but nothing on it
/// can be trusted, `Unsupported` when a newer version wrote it.
pub fn read_disk(media: &dyn Media) -> Result<Option<Label>> {
    if media.size() < AREA_MIN.bytes() {
        return Ok(None);
    }
    let read = Position::ALL.map(|position| read_superblock(media, position));
    if let [Err(Fault::Unreadable(why)), Err(Fault::Unreadable(_))] = &read {
        return Err(Error::device(format!(
            "the superblocks cannot be read: {why}"
        )));
    }
    let ours = !read
        .iter()
        .all(|found| matches!(found, Err(Fault::Absent | Fault::Unreadable(_))));
    if ours {
        Seen::sort(read)?.label(media).map(Some)
    } else {
        Ok(None)
    }
}

/// Whether a disk still holds what its label says, and nothing newer: what a group was read from a
/// while ago. The read has been begun ([`begin_check`]). `None` if it cannot be read.
pub fn is_current(media: &dyn Media, label: &Label) -> Option<bool> {
    let mut blocks = [0; 2 * BLOCK as usize];
    media.end_read(Position::A.offset(), &mut blocks).ok()?;
    let read = Position::ALL.into_iter().zip(blocks.chunks(BLOCK as usize));
    let mut newest: Option<Superblock> = None;
    for (position, block) in read {
        match Unverified(block).verify(position, media.size()) {
            Ok(block) => {
                let newer = |known: &Superblock| known.generation() >= block.generation();
                newest = newest.filter(newer).or(Some(block));
            }
            Err(Fault::Newer(_)) => return Some(false),
            Err(_) => {}
        }
    }
    let Some(newest) = newest else {
        return Some(false);
    };
    let group = newest.member.map(|member| member.group);
    let is_same = newest.disk == label.disk && group == label.group;
    Some(is_same && newest.generation() == label.highest && label.newer.is_none())
}

/// Begins the read for [`is_current`], of several disks at once.
pub fn begin_check(media: &dyn Media, patience: Duration) -> bool {
    let length = 2 * BLOCK as usize;
    let begun = media.begin_read(Position::A.offset(), length, patience);
    begun.is_ok()
}

fn read_superblock(
    media: &dyn Media,
    position: Position,
) -> std::result::Result<Superblock, Fault> {
    let mut block = [0; BLOCK as usize];
    media
        .read_at(position.offset(), &mut block)
        .map_err(|err| Fault::Unreadable(err.to_string()))?;
    Unverified(&block).verify(position, media.size())
}

/// The superblocks of a breakoff disk.
struct Seen {
    /// The superblocks that verify, the newest first.
    good: Vec<Superblock>,
    newer: Option<Newer>,
    warnings: Vec<String>,
}

impl Seen {
    fn sort(read: [std::result::Result<Superblock, Fault>; 2]) -> Result<Seen> {
        let mut seen = Seen {
            good: Vec::new(),
            newer: None,
            warnings: Vec::new(),
        };
        let mut shrunk = None;
        for (position, found) in Position::ALL.into_iter().zip(read) {
            match found {
                Ok(superblock) => seen.good.push(superblock),
                Err(Fault::Newer(newer)) => seen.newer = Some(*newer),
                Err(fault) => {
                    if let Fault::Shrunk { had, has } = fault {
                        shrunk = Some((had, has));
                    }
                    seen.warnings.push(format!("superblock {position} {fault}"));
                }
            }
        }
        seen.good
            .sort_by_key(|superblock| std::cmp::Reverse(superblock.generation()));
        if let (Some((had, has)), true) = (shrunk, seen.good.is_empty() && seen.newer.is_none()) {
            let sizes = (human_bytes(had), human_bytes(has));
            return Err(Error::unsafe_(format!(
                "the device has shrunk: its label says that it has at least {} ({had} bytes), it has {} ({has})",
                sizes.0, sizes.1
            ))
            .hint(
                Hint::from("make it as large as it was; if nothing on it is needed any more, ")
                    .line(Advised::DiskInit { devices: Vec::new() })
                    .and(" makes it usable as it is"),
            ));
        }
        if seen.good.is_empty() && seen.newer.is_none() {
            let why = seen.warnings.join("; ");
            return Err(Error::unsafe_(format!(
                "it is a breakoff disk, but its label cannot be trusted: {why}"
            ))
            .hint(
                Hint::from("if nothing on it is needed any more, ")
                    .line(Advised::DiskInit {
                        devices: Vec::new(),
                    })
                    .and(" makes it usable again"),
            ));
        }
        Ok(seen)
    }

    fn label(self, media: &dyn Media) -> Result<Label> {
        let (disk, geometry) = self.identity()?;
        let newer = self.newer.as_ref();
        let newest = self.good.first();
        let highest = newest
            .map(Superblock::generation)
            .max(newer.map(|n| n.generation))
            .unwrap_or_default();
        let group = match newer {
            Some(newer) if newer.generation == highest => newer.group,
            _ => newest
                .and_then(|superblock| superblock.member)
                .map(|member| member.group),
        };
        let mut label = Label {
            disk,
            group,
            geometry,
            newest: newest.map_or(Position::A, |superblock| superblock.position),
            highest,
            copies: Vec::new(),
            newer: newer.map(|newer| newer.why.clone()),
            warnings: self.warnings,
            handed: None,
        };
        for (age, superblock) in self.good.iter().enumerate() {
            if let Some(member) = superblock
                .member
                .filter(|member| Some(member.group) == group)
            {
                label.add_copy(media, superblock.position, &member, age == 0);
            }
        }
        Ok(label)
    }

    /// The disk's identity and division, on which all superblocks have to agree.
    fn identity(&self) -> Result<(DiskId, Geometry)> {
        let good = self
            .good
            .iter()
            .map(|superblock| (superblock.disk, Some(superblock.geometry)));
        let mut all = good.chain(self.newer.iter().map(|newer| (newer.disk, newer.geometry)));
        let Some((disk, Some(geometry))) = all.next() else {
            let why = self.newer.as_ref().map_or("", |newer| &newer.why);
            return Err(Error::unsupported(format!(
                "a newer version of breakoff wrote the disk's label: {why}"
            )));
        };
        if all
            .any(|other| other.0 != disk || other.1.is_some_and(|other| !other.is_like(&geometry)))
        {
            return Err(Error::unsafe_(
                "the disk's two superblocks contradict each other: neither can be trusted",
            ));
        }
        Ok((disk, geometry))
    }
}

impl Label {
    /// Reads the payload that a superblock points to. Only that of the newest superblock causes a
    /// warning when it is not good. The slot of an older one is free for the next configuration,
    /// and a commit that was prepared and given up leaves it overwritten.
    fn add_copy(
        &mut self,
        media: &dyn Media,
        position: Position,
        member: &Membership,
        newest: bool,
    ) {
        match read_payload(media, &member.payload) {
            Ok(payload) => self.copies.push(Copy {
                disk: self.disk,
                generation: member.generation,
                position,
                slot: member.payload.slot,
                payload,
                says: OnceCell::new(),
                digest: OnceCell::new(),
            }),
            Err(why) if newest => self.warnings.push(format!(
                "the configuration of generation {} {why}",
                member.generation
            )),
            Err(_) => {}
        }
    }
}

fn read_payload(media: &dyn Media, at: &PayloadAt) -> std::result::Result<Arc<[u8]>, String> {
    // The superblock was verified: the slot and `PAYLOAD_MAX` limit the length.
    let length = usize::try_from(at.length).map_err(|_| "is too large for this machine")?;
    let mut buffer = vec![0; length.next_multiple_of(BLOCK as usize)];
    media
        .read_at(at.offset, &mut buffer)
        .map_err(|err| format!("cannot be read: {err}"))?;
    let payload = &buffer[..length];
    if crc32c::crc32c(payload) == at.checksum {
        Ok(payload.into())
    } else {
        Err("is damaged: its checksum is wrong".into())
    }
}
