//! The layout of the private area at the start of a disk, and the superblock that describes it.
//! Pure: bytes in, verified fields out.
//!
//! ```text
//! 0        zeroes: no boot sector, no partition table, so that partition tools see an empty disk
//! 4 KiB    superblock A
//! 8 KiB    superblock B
//! 12 KiB   not used
//! 16 KiB   payload slot 1
//!          payload slot 2        each half of what is left, a multiple of 4 KiB
//! area     end of the private area; the space for volumes starts at the next multiple of 1 MiB
//! ```
//!
//! A superblock has 4 KiB, little endian. Everything that it says is in its first 512 bytes, so
//! that a torn write leaves the old one or the new one. The fields up to byte 71 keep their place
//! and meaning in every version, so that any version can tell whose disk it is. A correct checksum
//! only shows that nothing was torn; each field is also checked against the device's size and the
//! layout.

use crate::error::{Error, Result};
use crate::model::units::SECTOR;
use crate::model::{DiskId, Generation, GroupId, Sectors};
use std::fmt;
use std::mem::offset_of;
use std::ops::Range;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes in a superblock, and the unit of every offset and length in the private area (the largest
/// logical block size of a disk).
pub const BLOCK: u64 = 4096;
/// The size of the private area unless another one is requested; 10,000 volumes fit.
pub const AREA_DEFAULT: Sectors = Sectors::mib(4);
/// The smallest private area (64 KiB: two slots of 24 KiB).
pub const AREA_MIN: Sectors = Sectors::of(128);
/// The largest private area (1 GiB).
pub const AREA_MAX: Sectors = Sectors::mib(1024);
/// The largest payload in bytes, however large the area is. It limits what a reader has to hold in
/// memory.
pub const PAYLOAD_MAX: u64 = 64 << 20;
/// The last generation (a commit each microsecond for nine years). breakoff never writes a larger
/// number.
pub const GENERATION_MAX: Generation = Generation::new(1 << 48);

const MAGIC: [u8; 16] = *b"BREAKOFF LABEL\x1a\n";
const VERSION: u32 = 1;
const SLOTS_START: u64 = 4 * BLOCK;

/// A superblock as it is stored on a disk.
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

/// The number of bytes of a superblock that are not used.
const RESERVED: usize = BLOCK as usize - 124;

/// One of the two places for a superblock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Position {
    /// The superblock at 4 KiB.
    A,
    /// The superblock at 8 KiB.
    B,
}

impl Position {
    /// Both positions, in the order of their place on the disk.
    pub const ALL: [Position; 2] = [Position::A, Position::B];

    /// The offset of the position on the device, in bytes.
    pub const fn offset(self) -> u64 {
        match self {
            Position::A => BLOCK,
            Position::B => 2 * BLOCK,
        }
    }

    /// The other position.
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
    /// The slot that comes first, at 16 KiB.
    First,
    /// The slot right after the first one.
    Second,
}

impl Slot {
    /// The other slot.
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

/// How a disk is divided into the private area and the space for volumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    area: Sectors,
    data_start: Sectors,
    data_size: Sectors,
}

impl Geometry {
    /// Divides a device of `device` bytes: `area` for the private area, the rest for volumes. Fails
    /// with `NoSpace` when the device is too small, and with `Usage` when the area is not possible.
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

    /// The same division on a device of `device` bytes, when that has more space for volumes than
    /// this division says; otherwise `None`.
    pub fn grown(&self, device: u64) -> Option<Geometry> {
        let size = device.saturating_sub(self.data_start.bytes()) / BLOCK * BLOCK;
        let data_size = Sectors::from_bytes_floor(size);
        (data_size > self.data_size).then_some(Geometry { data_size, ..*self })
    }

    /// Whether two superblocks of one disk agree. They may differ in the space for volumes while a
    /// disk that has grown is given more.
    pub fn is_like(&self, other: &Geometry) -> bool {
        (self.area, self.data_start) == (other.area, other.data_start)
    }

    /// Checks numbers in bytes from an untrusted source; returns as text what is wrong.
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

    /// The size of the private area.
    pub fn area(&self) -> Sectors {
        self.area
    }

    /// Where the space for volumes starts on the device.
    pub fn data_start(&self) -> Sectors {
        self.data_start
    }

    /// The length of the space for volumes.
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

    /// The largest payload that fits into a slot, in bytes.
    pub fn capacity(&self) -> u64 {
        capacity(self.area)
    }
}

/// The largest payload, in bytes, that fits into a private area of this size.
pub fn capacity(area: Sectors) -> u64 {
    slot_length(area).min(PAYLOAD_MAX)
}

fn slot_length(area: Sectors) -> u64 {
    area.bytes().saturating_sub(SLOTS_START) / 2 / BLOCK * BLOCK
}

/// Where a payload lies, and its checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PayloadAt {
    /// The slot that it lies in.
    pub slot: Slot,
    /// Its offset on the device, in bytes; a multiple of 4 KiB.
    pub offset: u64,
    /// Its length in bytes; never zero.
    pub length: u64,
    /// CRC32C of the payload.
    pub checksum: u32,
}

/// The group that a disk belongs to, and the configuration that the disk holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Membership {
    /// The group that the disk belongs to.
    pub group: GroupId,
    /// The generation of the configuration that the superblock points to; never zero.
    pub generation: Generation,
    /// Where the payload of that configuration lies.
    pub payload: PayloadAt,
}

/// A superblock in which every field has a possible value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Superblock {
    /// The place that it belongs in; a superblock in the other place is not valid there.
    pub position: Position,
    /// The identity of the disk.
    pub disk: DiskId,
    /// How the disk is divided.
    pub geometry: Geometry,
    /// The group that it belongs to, if any.
    pub member: Option<Membership>,
}

impl Superblock {
    /// The generation of its configuration; zero when the disk is in no group.
    pub fn generation(&self) -> Generation {
        self.member
            .map_or(Generation::ZERO, |member| member.generation)
    }

    /// Encodes the superblock as the 4 KiB to be written.
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
        // The checksum is that of a superblock whose own checksum field is zero.
        raw.checksum = crc32c::crc32c(raw.as_bytes()).into();
        raw.as_bytes().to_vec()
    }
}

/// Whose disk it is, according to a superblock that a newer version wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newer {
    /// The identity of the disk.
    pub disk: DiskId,
    /// The group that it belongs to, if any.
    pub group: Option<GroupId>,
    /// The generation of its configuration.
    pub generation: Generation,
    /// How the disk is divided, if this version still understands that.
    pub geometry: Option<Geometry>,
    /// What this version does not understand, as text.
    pub why: String,
}

/// Why 4 KiB are not a usable superblock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The device returned an error; the text is the system's.
    Unreadable(String),
    /// Not a superblock of breakoff: the magic is missing.
    Absent,
    /// A superblock of breakoff, but the checksum is wrong.
    Torn,
    /// The checksum is right, but a field has an impossible value.
    Impossible(String),
    /// It was written when the device had more bytes than it has now.
    Shrunk {
        /// The bytes that the device had then, at least.
        had: u64,
        /// The bytes that it has now.
        has: u64,
    },
    /// A newer version of breakoff wrote it.
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

/// The 4 KiB that were read from the place of a superblock. Nothing in them is believed before
/// [`Unverified::verify`].
pub struct Unverified<'a>(pub &'a [u8]);

impl Unverified<'_> {
    /// Checks everything: the magic, the checksum, and each field against the layout and a device
    /// of `device` bytes.
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

    /// What a newer version has put there that must be understood to use the disk: a higher
    /// version, or flags of features.
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

    /// The fault of a superblock in which only the size of the device is wrong; `None` when
    /// something else is wrong, too.
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
