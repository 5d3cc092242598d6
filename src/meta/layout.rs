//! Where things lie in the private area at the start of a disk, and the superblock that says so.
//! Pure: bytes in, verified fields out.
//!
//! ```text
//! 0        zeroes: where boot sectors and partition tables would be, so that partition tools see an empty disk
//! 4 KiB    superblock A       8 KiB    superblock B       12 KiB   not used
//! 16 KiB   payload slot 1     then     payload slot 2     each half of what is left, a multiple of 4 KiB
//! area     the private area ends; the space for volumes starts at the next multiple of 1 MiB
//! ```
//!
//! A superblock is 4 KiB, little endian, and all that it says is in its first 512 bytes, so that a
//! torn write leaves the old or the new one. The fields in front of the payload's keep their place
//! and meaning in every version: whatever wrote a disk, it can be said whose it is. A checksum only
//! tells that nothing was torn; every field is held against the device's size and the layout as
//! well.

use crate::error::{Error, Result};
use crate::model::units::SECTOR;
use crate::model::{DiskId, Generation, GroupId, Sectors};
use std::fmt;
use std::mem::offset_of;
use std::ops::Range;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes in a superblock, and the unit of every offset and length in the private area (the largest
/// logical block of a disk).
pub const BLOCK: u64 = 4096;
/// Size of the private area when nothing else is asked for; 10,000 volumes fit.
pub const AREA_DEFAULT: Sectors = Sectors::mib(4);
/// The smallest private area (64 KiB: two slots of 24 KiB).
pub const AREA_MIN: Sectors = Sectors::of(128);
/// The largest private area.
pub const AREA_MAX: Sectors = Sectors::mib(1024);
/// The largest payload in bytes, however large the area: what a reader may have to hold in memory.
pub const PAYLOAD_MAX: u64 = 64 << 20;
/// The last generation (a commit each microsecond for nine years); a larger number is not one of
/// ours.
pub const GENERATION_MAX: Generation = Generation::new(1 << 48);

const MAGIC: [u8; 16] = *b"BREAKOFF LABEL\x1a\n";
const VERSION: u32 = 1;
const SLOTS_START: u64 = 4 * BLOCK;

/// A superblock as it is on a disk.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
struct Raw {
    magic: [u8; 16],
    version: U32,
    checksum: U32,
    incompatible: U64,
    generation: U64,
    disk: [u8; 16],
    group: [u8; 16],
    area: U64,
    data_start: U64,
    data_size: U64,
    position: U32,
    payload_slot: U32,
    payload_offset: U64,
    payload_length: U64,
    payload_checksum: U32,
    reserved: [u8; RESERVED],
}

/// How much of a superblock is not used.
const RESERVED: usize = BLOCK as usize - 124;

/// One of the two places for a superblock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Position {
    /// At 4 KiB.
    A,
    /// At 8 KiB.
    B,
}

impl Position {
    /// Both.
    pub const ALL: [Position; 2] = [Position::A, Position::B];

    /// Where it is on the device, in bytes.
    pub const fn offset(self) -> u64 {
        match self {
            Position::A => BLOCK,
            Position::B => 2 * BLOCK,
        }
    }

    /// The other one.
    pub const fn other(self) -> Position {
        match self {
            Position::A => Position::B,
            Position::B => Position::A,
        }
    }

    fn number(self) -> u32 {
        match self {
            Position::A => 0,
            Position::B => 1,
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Position::A => "A",
            Position::B => "B",
        })
    }
}

/// One of the two places for a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Slot {
    /// The one in front.
    First,
    /// The one behind it.
    Second,
}

impl Slot {
    /// The other one.
    pub const fn other(self) -> Slot {
        match self {
            Slot::First => Slot::Second,
            Slot::Second => Slot::First,
        }
    }

    fn number(self) -> u32 {
        match self {
            Slot::First => 1,
            Slot::Second => 2,
        }
    }

    fn from_number(number: u32) -> Option<Slot> {
        [Slot::First, Slot::Second]
            .into_iter()
            .find(|slot| slot.number() == number)
    }
}

/// How a disk is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    area: Sectors,
    data_start: Sectors,
    data_size: Sectors,
}

impl Geometry {
    /// Divides a device of so many bytes: this much private area, the rest for volumes.
    pub fn divide(area: Sectors, device: u64) -> Result<Geometry> {
        let start = area.round_up(Sectors::MIB).bytes();
        let size = device.saturating_sub(start) / BLOCK * BLOCK;
        if size < Sectors::MIB.bytes() {
            let need = Sectors::from_bytes_floor(start).saturating_add(Sectors::MIB);
            return Err(Error::no_space(format!(
                "the device has {device} bytes; with a private area of {area} it needs at least {} ({need})",
                need.bytes()
            )));
        }
        Geometry::verify(area.bytes(), start, size, device).map_err(|why| {
            Error::usage(why)
                .hint("a private area has 64k to 1g, in multiples of 4k; 4m is the default")
        })
    }

    /// The same on a device of so many bytes, when it has more space for volumes than this says.
    pub fn grown(&self, device: u64) -> Option<Geometry> {
        let size = device.saturating_sub(self.data_start.bytes()) / BLOCK * BLOCK;
        let data_size = Sectors::from_bytes_floor(size);
        (data_size > self.data_size).then_some(Geometry { data_size, ..*self })
    }

    /// What two superblocks of one disk agree on: they may differ in the space for volumes while a
    /// disk that has grown is given more.
    pub fn is_like(&self, other: &Geometry) -> bool {
        (self.area, self.data_start) == (other.area, other.data_start)
    }

    /// Checks numbers in bytes that anybody may have written; says in words what is wrong.
    fn verify(
        area: u64,
        data_start: u64,
        data_size: u64,
        device: u64,
    ) -> std::result::Result<Geometry, String> {
        if !(AREA_MIN.bytes()..=AREA_MAX.bytes()).contains(&area) || !area.is_multiple_of(BLOCK) {
            return Err(format!("a private area of {area} bytes is not possible"));
        }
        if data_start < area || !data_start.is_multiple_of(Sectors::MIB.bytes()) {
            return Err(format!(
                "the space for volumes cannot start at byte {data_start} behind a private area of {area} bytes"
            ));
        }
        if data_size == 0 || !data_size.is_multiple_of(SECTOR) {
            return Err(format!(
                "the space for volumes cannot have {data_size} bytes"
            ));
        }
        // No device of Linux has more than `i64::MAX` bytes, and `Sectors` holds no more.
        match data_start.checked_add(data_size) {
            Some(end) if end <= device.min(Sectors::MAX.bytes()) => {}
            _ => {
                return Err(format!(
                    "{data_size} bytes from byte {data_start} on are more than the device has ({device} bytes)"
                ));
            }
        }
        let sectors = Sectors::from_bytes_floor;
        Ok(Geometry {
            area: sectors(area),
            data_start: sectors(data_start),
            data_size: sectors(data_size),
        })
    }

    /// Size of the private area.
    pub fn area(&self) -> Sectors {
        self.area
    }

    /// Where the space for volumes starts on the device.
    pub fn data_start(&self) -> Sectors {
        self.data_start
    }

    /// How much space for volumes there is.
    pub fn data_size(&self) -> Sectors {
        self.data_size
    }

    /// Where a payload slot lies on the device, in bytes.
    pub fn slot(&self, slot: Slot) -> Range<u64> {
        let length = slot_length(self.area);
        let start = match slot {
            Slot::First => SLOTS_START,
            Slot::Second => SLOTS_START + length,
        };
        start..start + length
    }

    /// The largest payload that fits, in bytes.
    pub fn capacity(&self) -> u64 {
        capacity(self.area)
    }
}

/// The largest payload in bytes that fits a private area of this size.
pub fn capacity(area: Sectors) -> u64 {
    slot_length(area).min(PAYLOAD_MAX)
}

fn slot_length(area: Sectors) -> u64 {
    area.bytes().saturating_sub(SLOTS_START) / 2 / BLOCK * BLOCK
}

/// Where a payload is and what it must sum up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayloadAt {
    /// The slot that it lies in.
    pub slot: Slot,
    /// Where it starts on the device, in bytes; a multiple of 4 KiB.
    pub offset: u64,
    /// How long it is in bytes; never zero.
    pub length: u64,
    /// CRC32C of it.
    pub checksum: u32,
}

/// What makes a disk a member of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Membership {
    /// The group.
    pub group: GroupId,
    /// Which of its configurations; never zero.
    pub generation: Generation,
    /// Where that configuration is.
    pub payload: PayloadAt,
}

/// A superblock in which every field is possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Superblock {
    /// Where it belongs: one that turns up in the other place is not valid there.
    pub position: Position,
    /// The disk.
    pub disk: DiskId,
    /// How it is divided.
    pub geometry: Geometry,
    /// The group that it belongs to, if any.
    pub member: Option<Membership>,
}

impl Superblock {
    /// The generation it speaks of; zero when the disk is in no group.
    pub fn generation(&self) -> Generation {
        self.member
            .map_or(Generation::ZERO, |member| member.generation)
    }

    /// The 4 KiB to be written.
    pub fn encode(&self) -> Vec<u8> {
        let payload = self.member.map(|member| member.payload);
        let mut raw = Raw {
            magic: MAGIC,
            version: VERSION.into(),
            checksum: 0.into(),
            incompatible: 0.into(),
            generation: self.generation().get().into(),
            disk: self.disk.bytes(),
            group: self.member.map_or([0; 16], |member| member.group.bytes()),
            area: self.geometry.area.bytes().into(),
            data_start: self.geometry.data_start.bytes().into(),
            data_size: self.geometry.data_size.bytes().into(),
            position: self.position.number().into(),
            payload_slot: payload.map_or(0, |at| at.slot.number()).into(),
            payload_offset: payload.map_or(0, |at| at.offset).into(),
            payload_length: payload.map_or(0, |at| at.length).into(),
            payload_checksum: payload.map_or(0, |at| at.checksum).into(),
            reserved: [0; RESERVED],
        };
        // It is the checksum of a superblock whose own is zero.
        raw.checksum = crc32c::crc32c(raw.as_bytes()).into();
        raw.as_bytes().to_vec()
    }
}

/// Whose disk it is, from a superblock that a newer version wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newer {
    /// The disk.
    pub disk: DiskId,
    /// Its group, if any.
    pub group: Option<GroupId>,
    /// The generation.
    pub generation: Generation,
    /// How it is divided, when that is still what we understand.
    pub geometry: Option<Geometry>,
    /// What we do not understand, in words.
    pub why: String,
}

/// Why 4 KiB are not a superblock to go by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The device did not give it; the system's words.
    Unreadable(String),
    /// Not one of ours: the magic is not there.
    Absent,
    /// Ours, but the checksum is wrong.
    Torn,
    /// The checksum is right but what it says cannot be.
    Impossible(String),
    /// It was written when the device had more bytes than it has now.
    Shrunk {
        /// What it had at least.
        had: u64,
        /// What it has.
        has: u64,
    },
    /// A newer version wrote it.
    Newer(Box<Newer>),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Unreadable(why) => write!(f, "cannot be read: {why}"),
            Fault::Absent => f.write_str("is missing"),
            Fault::Torn => f.write_str("is damaged: its checksum is wrong"),
            Fault::Impossible(why) => write!(f, "is not valid: {why}"),
            Fault::Shrunk { had, has } => write!(
                f,
                "is of a device of {had} bytes, and this one has {has}: it has shrunk"
            ),
            Fault::Newer(newer) => write!(f, "was written by a newer version: {}", newer.why),
        }
    }
}

/// 4 KiB as read from where a superblock should be. Nothing in it is believed before
/// [`Unverified::verify`].
pub struct Unverified<'a>(pub &'a [u8]);

impl Unverified<'_> {
    /// Checks everything: magic, checksum, and each field against the layout and a device of so
    /// many bytes.
    pub fn verify(
        &self,
        position: Position,
        device: u64,
    ) -> std::result::Result<Superblock, Fault> {
        let Ok(raw) = Raw::read_from_bytes(self.0) else {
            return Err(Fault::Absent);
        };
        if raw.magic != MAGIC {
            return Err(Fault::Absent);
        }
        if raw.checksum != raw.expected_checksum() {
            return Err(Fault::Torn);
        }
        raw.verify(position, device)
    }
}

impl Raw {
    /// CRC32C of a superblock, its own checksum field taken as zero.
    fn expected_checksum(&self) -> u32 {
        let (before, behind) = (
            &self.as_bytes()[..offset_of!(Raw, checksum)],
            &self.as_bytes()[offset_of!(Raw, incompatible)..],
        );
        let sum = crc32c::crc32c_append(crc32c::crc32c(before), &[0; 4]);
        crc32c::crc32c_append(sum, behind)
    }

    fn geometry(&self, device: u64) -> std::result::Result<Geometry, String> {
        Geometry::verify(
            self.area.get(),
            self.data_start.get(),
            self.data_size.get(),
            device,
        )
    }

    fn verify(&self, position: Position, device: u64) -> std::result::Result<Superblock, Fault> {
        let disk = DiskId::from_bytes(self.disk);
        let group = Some(self.group)
            .filter(|id| *id != [0; 16])
            .map(GroupId::from_bytes);
        let generation = Generation::new(self.generation.get());
        let geometry = self.geometry(device);
        if let Some(why) = self.not_understood() {
            return Err(Fault::Newer(Box::new(Newer {
                disk,
                group,
                generation,
                geometry: geometry.ok(),
                why,
            })));
        }
        let geometry =
            geometry.map_err(|why| self.shrunk(device).unwrap_or(Fault::Impossible(why)))?;
        self.check_identity(position).map_err(Fault::Impossible)?;
        let member = self
            .membership(group, generation, &geometry)
            .map_err(Fault::Impossible)?;
        Ok(Superblock {
            position,
            disk,
            geometry,
            member,
        })
    }

    /// What a newer version has put there that must be understood to use the disk.
    fn not_understood(&self) -> Option<String> {
        let (version, flags) = (self.version.get(), self.incompatible.get());
        if version > VERSION {
            return Some(format!(
                "its format version is {version}, this program knows {VERSION}"
            ));
        }
        (flags != 0).then(|| {
            format!("it needs features that this program does not know (flags {flags:#x})")
        })
    }

    /// Whether nothing but the size of the device is wrong with the division.
    fn shrunk(&self, has: u64) -> Option<Fault> {
        let had = self
            .data_start
            .get()
            .checked_add(self.data_size.get())
            .filter(|had| *had > has)?;
        self.geometry(had).ok()?;
        Some(Fault::Shrunk { had, has })
    }

    fn check_identity(&self, position: Position) -> std::result::Result<(), String> {
        match self.version.get() {
            VERSION => {}
            other => return Err(format!("format version {other} does not exist")),
        }
        if self.disk == [0; 16] {
            return Err("the disk has no identity".into());
        }
        if self.position != position.number() {
            return Err("it belongs in the other superblock's place".into());
        }
        if self.reserved.iter().any(|byte| *byte != 0) {
            return Err("there is something in its unused space".into());
        }
        Ok(())
    }

    fn membership(
        &self,
        group: Option<GroupId>,
        generation: Generation,
        geometry: &Geometry,
    ) -> std::result::Result<Option<Membership>, String> {
        let numbers = [
            self.payload_slot.get().into(),
            self.payload_offset.get(),
            self.payload_length.get(),
        ];
        let Some(group) = group else {
            let empty = generation == Generation::ZERO
                && numbers == [0; 3]
                && self.payload_checksum.get() == 0;
            return if empty {
                Ok(None)
            } else {
                Err("it holds a configuration but no group".into())
            };
        };
        if generation == Generation::ZERO || generation > GENERATION_MAX {
            return Err(format!("a group cannot be at generation {generation}"));
        }
        let payload = self.payload(geometry)?;
        Ok(Some(Membership {
            group,
            generation,
            payload,
        }))
    }

    fn payload(&self, geometry: &Geometry) -> std::result::Result<PayloadAt, String> {
        let number = self.payload_slot.get();
        let slot = Slot::from_number(number)
            .ok_or_else(|| format!("there is no payload slot {number}"))?;
        let (offset, length) = (self.payload_offset.get(), self.payload_length.get());
        let range = geometry.slot(slot);
        let fits = offset
            .checked_add(length)
            .is_some_and(|end| end <= range.end);
        if !fits
            || offset < range.start
            || !offset.is_multiple_of(BLOCK)
            || length == 0
            || length > PAYLOAD_MAX
        {
            return Err(format!(
                "{length} bytes from byte {offset} on are not within payload slot {number}"
            ));
        }
        Ok(PayloadAt {
            slot,
            offset,
            length,
            checksum: self.payload_checksum.get(),
        })
    }
}
