//! Disks in memory, and superblocks and payloads whose checksums are right whatever they say.

use breakoff::meta::layout::{BLOCK, Position};
use breakoff::sys::Media;
use flate2::Crc;
use std::cell::RefCell;
use std::io;
use std::rc::Rc;

/// A disk of some size whose bytes are kept as far as they were written; behind them it cannot be
/// read. Clones are the same disk.
#[derive(Clone, Default)]
pub struct Ram {
    bytes: Rc<RefCell<Vec<u8>>>,
    size: u64,
    /// Reading never writes: a write is a finding until it is allowed.
    writable: bool,
}

impl Ram {
    /// A disk of this size of which only the front is kept.
    pub fn new(front: usize, size: u64) -> Ram {
        Ram {
            bytes: Rc::new(RefCell::new(vec![0; front])),
            size,
            writable: false,
        }
    }

    /// The same disk, and it may be written to.
    pub fn writable(&self) -> Ram {
        Ram {
            writable: true,
            ..self.clone()
        }
    }

    /// Puts bytes there; what does not fit is left out.
    pub fn put(&self, offset: u64, bytes: &[u8]) {
        let mut all = self.bytes.borrow_mut();
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(all.len());
        let room = &mut all[start..];
        let fits = bytes.len().min(room.len());
        room[..fits].copy_from_slice(&bytes[..fits]);
    }

    fn range(&self, offset: u64, length: usize) -> io::Result<std::ops::Range<usize>> {
        assert!(
            offset.is_multiple_of(BLOCK) && (length as u64).is_multiple_of(BLOCK),
            "{offset} {length}"
        );
        assert!(
            offset
                .checked_add(length as u64)
                .is_some_and(|end| end <= self.size),
            "beyond the device: {offset} {length}"
        );
        let range = offset as usize..offset as usize + length;
        if range.end <= self.bytes.borrow().len() {
            Ok(range)
        } else {
            Err(io::Error::from_raw_os_error(5))
        }
    }
}

impl Media for Ram {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let range = self.range(offset, buf.len())?;
        buf.copy_from_slice(&self.bytes.borrow()[range]);
        Ok(())
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> io::Result<()> {
        assert!(self.writable, "reading has written");
        let range = self.range(offset, buf.len())?;
        self.bytes.borrow_mut()[range].copy_from_slice(buf);
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }

    fn size(&self) -> u64 {
        self.size
    }
}

/// Makes the checksum of a superblock right.
pub fn seal(block: &mut [u8]) {
    block[20..24].fill(0);
    let sum = crc32c::crc32c(block);
    block[20..24].copy_from_slice(&sum.to_le_bytes());
}

/// Which of the two places.
pub fn position(odd: bool) -> Position {
    if odd { Position::B } else { Position::A }
}

/// JSON as a payload holds it: gzip with stored blocks, by hand, since setting up a compressor
/// takes longer than all the rest.
pub fn pack(json: &[u8]) -> Vec<u8> {
    let mut gzip = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut blocks = json.chunks(0xffff).peekable();
    let mut store = |block: &[u8], last: bool| {
        let length = block.len() as u16;
        gzip.push(last.into());
        gzip.extend([length.to_le_bytes(), (!length).to_le_bytes()].concat());
        gzip.extend(block);
    };
    while let Some(block) = blocks.next() {
        store(block, blocks.peek().is_none());
    }
    if json.is_empty() {
        store(json, true);
    }
    let mut crc = Crc::new();
    crc.update(json);
    gzip.extend([crc.sum().to_le_bytes(), crc.amount().to_le_bytes()].concat());
    gzip
}
