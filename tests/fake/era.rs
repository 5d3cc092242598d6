//! dm-era as Linux 6.1 has it (docs/kernel-rules.md, K7 and K16). What it notes lies on its map:
//! sector 0 is the header, then four bytes for each block say in which era it was written last.

use super::data::Written;
use super::disk::Sector;
use super::dm::{DM_MAJOR, Seg};
use super::{State, Stuck};
use breakoff::model::{DevNo, DmUuid, Group};
use breakoff::sys::Errno;
use breakoff::table::dco;
use std::ops::Range;
use std::panic::resume_unwind;
use std::rc::Rc;

pub const MAGIC: &[u8; 8] = b"fake-era";
/// Where a header says that what follows is damaged.
const ROTTEN: usize = 13;
const ERAS_A_SECTOR: u64 = 128;

/// What the header of a map says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Header {
    era: u32,
    held: bool,
}

impl State {
    fn header(&self, map: DevNo) -> Result<Option<Header>, Errno> {
        let Some(bytes) = self.read_sector(map, 0).map_err(|()| Errno(libc::EIO))? else {
            return Ok(None);
        };
        if &bytes[..8] != MAGIC {
            return Err(Errno(libc::ENOTBLK));
        }
        Ok(Some(Header {
            era: u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]),
            held: bytes[12] == 1,
        }))
    }

    fn set_header(&mut self, map: DevNo, header: Header) -> Result<(), Errno> {
        let mut bytes = [0; 512];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&header.era.to_le_bytes());
        bytes[12] = u8::from(header.held);
        match self.write_sector(map, 0, &Some(Rc::new(bytes))) {
            Written::Done | Written::Waits => Ok(()),
            Written::Failed => Err(Errno(libc::EIO)),
        }
    }

    /// K16: a table reads its map when it is loaded; what another one notes there meanwhile it
    /// never knows.
    pub fn open_map(&mut self, map: DevNo) -> Result<(), Errno> {
        let live = |d: &super::dm::Device| matches!(self.dm.segment(d.minor, 0), Some((_, Seg::Era { map: other, .. })) if other == map);
        assert!(
            !self.dm.all().any(live),
            "K16: the map of a live era is loaded once more"
        );
        match self.header(map)? {
            Some(_)
                if self
                    .read_sector(map, 0)
                    .is_ok_and(|header| header.is_some_and(|bytes| bytes[ROTTEN] == 1)) =>
            {
                Err(Errno(libc::EILSEQ))
            }
            Some(_) => Ok(()),
            None => self.set_header(
                map,
                Header {
                    era: 0,
                    held: false,
                },
            ),
        }
    }

    /// Damages the map of volume `v` on its disks.
    pub fn spoil_map(&mut self, group: &Group, how: &str) {
        let volume = group.volumes.iter().find(|v| v.name.as_str() == "v");
        let copies = volume.and_then(|v| Some((v.size, v.live_dco()?.copies.clone())));
        let (size, copies) = copies.unwrap_or_else(|| panic!("there is no map to damage"));
        for copy in copies
            .iter()
            .take(if how == "blank1" { 1 } else { copies.len() })
        {
            let Some((disk, known)) = self.disk_of(copy.disk).zip(group.disk(copy.disk)) else {
                continue;
            };
            let at = known.data_start.get() + dco::map(copy, size).start.get();
            let rotten = |bytes: Rc<[u8; 512]>| {
                let mut bytes = *bytes;
                bytes[ROTTEN] = 1;
                Rc::new(bytes)
            };
            let bytes = if how == "rot" {
                self.disks[disk].read(at).map(rotten)
            } else {
                None
            };
            self.disks[disk].write_through(at, bytes);
        }
    }

    /// Each resume begins an era.
    pub fn next_era(&mut self, map: DevNo) -> Result<(), Errno> {
        // Over a sink the kernel goes on by what it has in memory.
        match self.header(map)? {
            Some(header) => self.set_header(
                map,
                Header {
                    era: header.era + 1,
                    ..header
                },
            ),
            None => Ok(()),
        }
    }

    fn place(block: u64) -> (u64, usize) {
        (
            1 + block / ERAS_A_SECTOR,
            (block % ERAS_A_SECTOR) as usize * 4,
        )
    }

    fn written_in(&self, map: DevNo, block: u64) -> Option<u32> {
        let (sector, at) = State::place(block);
        let bytes = self.read_sector(map, sector).ok()?;
        Some(bytes.map_or(0, |bytes| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        }))
    }

    /// Whether a write to this block has to be noted first.
    pub fn is_unnoted(&self, map: DevNo, block: u64) -> bool {
        let era = self.header(map).ok().flatten().map(|header| header.era);
        era.is_none() || self.written_in(map, block) != era
    }

    /// Notes that a block is written in this era.
    pub fn note_block(&mut self, map: DevNo, block: u64) -> Written {
        // What it has in memory is written first, and waits when the disk is dead.
        let Ok(header) = self.header(map) else {
            return self.write_sector(map, 0, &None);
        };
        // Over a sink it goes on by that; as the last leg of a map that has lost its disks the sink
        // has been read, and holds it.
        let Some(header) = header else {
            return self.write_sector(map, 0, &None);
        };
        let (sector, at) = State::place(block);
        let Ok(bytes) = self.read_sector(map, sector) else {
            return self.write_sector(map, sector, &None);
        };
        let mut bytes: [u8; 512] = bytes.map_or([0; 512], |bytes| *bytes);
        bytes[at..at + 4].copy_from_slice(&header.era.to_le_bytes());
        let noted: Sector = Some(Rc::new(bytes));
        self.write_sector(map, sector, &noted)
    }

    /// Whether a resume of this device would begin an era and wait for a map that holds what is
    /// written to it.
    pub fn waits_for_map(&mut self, uuid: &DmUuid) -> bool {
        self.dm
            .map_after_resume(uuid)
            .is_some_and(|map| self.holds(map))
    }

    /// Whether a suspend of this device would end an era and wait for its map.
    pub fn waits_to_end(&mut self, uuid: &DmUuid) -> bool {
        self.dm
            .map_before_suspend(uuid)
            .is_some_and(|map| self.holds(map))
    }

    /// The header is written, whatever is in it.
    fn holds(&mut self, map: DevNo) -> bool {
        let header = self.read_sector(map, 0).ok().flatten();
        self.write_sector(map, 0, &header) == Written::Waits
    }

    fn era_of(&self, minor: u32) -> Result<(DevNo, u64), Errno> {
        match self.dm.segment(minor, 0) {
            Some((_, Seg::Era { map, .. })) if self.dm.is_suspended(minor) => {
                println!("a suspended era on {map} was asked");
                resume_unwind(Box::new(Stuck))
            }
            Some((_, Seg::Era { map, block, .. })) => Ok((map, block)),
            _ => Err(Errno(libc::EINVAL)),
        }
    }

    /// `take_metadata_snap` and `drop_metadata_snap`.
    pub fn era_message(&mut self, minor: u32, message: &str) -> Result<(), Errno> {
        let (map, _) = self.era_of(minor)?;
        let header = self.header(map)?.ok_or(Errno(libc::EIO))?;
        match message {
            "take_metadata_snap" if !header.held => self.set_header(
                map,
                Header {
                    era: header.era + 1,
                    held: true,
                },
            ),
            "drop_metadata_snap" if header.held => self.set_header(
                map,
                Header {
                    held: false,
                    ..header
                },
            ),
            _ => Err(Errno(libc::EINVAL)),
        }
    }

    pub fn current_era(&self, minor: u32) -> Result<u32, Errno> {
        let (map, _) = self.era_of(minor)?;
        Ok(self.header(map)?.ok_or(Errno(libc::EIO))?.era)
    }

    /// What the tool says: of era 0 on is everything.
    pub fn written_since(&self, map: DevNo, era: u32) -> Result<Vec<Range<u64>>, Errno> {
        let header = self.header(map)?.ok_or(Errno(libc::EIO))?;
        assert!(header.held, "a map in use is listed from a snapshot of it");
        let user = self.dm.all().find(|d| matches!(self.dm.segment(d.minor, 0), Some((_, Seg::Era { map: of, .. })) if of == map));
        let size = user.map_or(0, super::dm::Device::size);
        let block = user
            .and_then(|d| self.era_of(d.minor).ok())
            .map_or(1, |(_, block)| block);
        let mut blocks = Vec::new();
        for at in 0..size.div_ceil(block) {
            if self.written_in(map, at).ok_or(Errno(libc::EIO))? >= era {
                blocks.push(at..at + 1);
            }
        }
        Ok(blocks)
    }
}

/// A device of device-mapper.
pub fn dm(minor: u32) -> DevNo {
    DevNo {
        major: DM_MAJOR,
        minor,
    }
}
