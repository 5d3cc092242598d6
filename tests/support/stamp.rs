//! Blocks that say who wrote them, and a verifier that knows what they have to say. Pure but for
//! the reading.
//!
//! A writer has one write in flight at a time, and which block a sequence number goes to follows
//! from the number. What it has written is therefore known from two numbers: the last acknowledged
//! and the last issued. Whatever a device holds at one instant must be **exactly the writes 1 to
//! M** for some M between the two.

use super::block::{self, Aligned, mix};
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A block of the writer.
pub const BLOCK: usize = 4096;
const MAGIC: u64 = 0x6b6f_6f6c_6b61_6572;

/// Who writes, and where: `blocks` blocks from block `first` of the device. The first pass fills
/// them in order, then they are written as if at random.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Area {
    pub writer: u32,
    pub first: u64,
    pub blocks: u64,
}

impl Area {
    /// The block that write number `seq` (from 1) goes to.
    pub fn block(&self, seq: u64) -> u64 {
        let offset = if seq <= self.blocks {
            seq - 1
        } else {
            mix(mix(seq) ^ u64::from(self.writer)) % self.blocks
        };
        self.first + offset
    }

    /// Writes write number `seq` into a buffer of one block.
    pub fn stamp(&self, seq: u64, block: &mut [u8]) {
        let fill = mix(seq ^ (u64::from(self.writer) << 32));
        for (i, word) in block.as_chunks_mut::<8>().0.iter_mut().enumerate() {
            *word = fill.wrapping_mul(i as u64 | 1).to_le_bytes();
        }
        block[..8].copy_from_slice(&MAGIC.to_le_bytes());
        block[8..12].copy_from_slice(&self.writer.to_le_bytes());
        block[12..16].fill(0);
        block[16..24].copy_from_slice(&self.block(seq).to_le_bytes());
        block[24..32].copy_from_slice(&seq.to_le_bytes());
        let crc = crc32c::crc32c(block);
        block[12..16].copy_from_slice(&crc.to_le_bytes());
    }

    /// What the area's blocks say in the bytes of a device from its start.
    pub fn found_in(&self, bytes: &[u8]) -> Vec<Found> {
        let blocks = (0..)
            .zip(bytes.chunks(BLOCK))
            .skip(self.first as usize)
            .take(self.blocks as usize);
        blocks
            .map(|(index, block)| read_stamp(self, index, block))
            .collect()
    }

    /// The last write to each block among the first `upto` ones.
    fn history(&self, upto: u64) -> HashMap<u64, u64> {
        (1..=upto).map(|seq| (self.block(seq), seq)).collect()
    }
}

/// What a block says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// No stamp of this writer: what was there before.
    Foreign,
    /// A whole stamp of this writer.
    Seq(u64),
    /// A stamp that is torn, damaged, or belongs to another block.
    Broken,
}

fn number<const N: usize>(block: &[u8], at: usize) -> [u8; N] {
    block[at..at + N].try_into().unwrap_or([0; N])
}

/// Reads what a block says.
pub fn read_stamp(area: &Area, index: u64, block: &[u8]) -> Found {
    let stamped = u64::from_le_bytes(number(block, 0)) == MAGIC
        && u32::from_le_bytes(number(block, 8)) == area.writer;
    if !stamped {
        return Found::Foreign;
    }
    let mut copy = block.to_vec();
    copy[12..16].fill(0);
    let whole = crc32c::crc32c(&copy) == u32::from_le_bytes(number(block, 12));
    if whole && u64::from_le_bytes(number(block, 16)) == index {
        Found::Seq(u64::from_le_bytes(number(block, 24)))
    } else {
        Found::Broken
    }
}

/// What a device has to hold: the writes 1 to M, for some M from `acked` to `issued`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expectation {
    pub area: Area,
    pub acked: u64,
    pub issued: u64,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mismatch {
    /// The newest write found is older than the last acknowledged one.
    Lost { newest: u64, acked: u64 },
    /// The newest write found had not been issued: it belongs to a later instant.
    Future { newest: u64, issued: u64 },
    /// A block does not say what it has to (0 = nothing was written to it).
    Block {
        block: u64,
        expected: u64,
        found: Found,
    },
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mismatch::Lost { newest, acked } => write!(
                f,
                "lost: write {acked} was acknowledged, the newest here is {newest}"
            ),
            Mismatch::Future { newest, issued } => write!(
                f,
                "from the future: write {newest} is here, {issued} was the last issued"
            ),
            Mismatch::Block {
                block,
                expected,
                found,
            } => write!(
                f,
                "block {block}: expected write {expected}, found {found:?}"
            ),
        }
    }
}

/// The newest write among these; 0 when there is none.
pub fn newest(found: &[Found]) -> u64 {
    found
        .iter()
        .map(|f| if let Found::Seq(seq) = f { *seq } else { 0 })
        .max()
        .unwrap_or_default()
}

impl Expectation {
    /// Compares what blocks say (in order from the area's first) with what they have to say.
    pub fn compare(&self, found: &[Found]) -> Vec<Mismatch> {
        let newest = newest(found);
        if newest > self.issued {
            return vec![Mismatch::Future {
                newest,
                issued: self.issued,
            }];
        }
        let mut wrong = Vec::new();
        if newest < self.acked {
            wrong.push(Mismatch::Lost {
                newest,
                acked: self.acked,
            });
        }
        let history = self.area.history(newest.max(self.acked));
        for (block, found) in (self.area.first..).zip(found) {
            let expected = history.get(&block).copied().unwrap_or_default();
            let right = if expected == 0 {
                *found == Found::Foreign
            } else {
                *found == Found::Seq(expected)
            };
            if !right {
                wrong.push(Mismatch::Block {
                    block,
                    expected,
                    found: *found,
                });
            }
        }
        wrong
    }

    /// Reads a device past the page cache and compares.
    pub fn check(&self, device: impl AsRef<Path>) -> io::Result<Vec<Mismatch>> {
        Ok(self.compare(&self.read(device)?))
    }

    /// Fails the test when a device does not hold what it has to.
    #[track_caller]
    pub fn verify(&self, device: impl AsRef<Path>) {
        let device = device.as_ref();
        let wrong = self
            .check(device)
            .unwrap_or_else(|err| panic!("reading {}: {err}", device.display()));
        let shown: Vec<String> = wrong.iter().take(10).map(Mismatch::to_string).collect();
        assert!(
            wrong.is_empty(),
            "{} of {self:?} on {} are wrong:\n{}",
            wrong.len(),
            device.display(),
            shown.join("\n")
        );
    }

    /// The newest write on a device.
    #[track_caller]
    pub fn newest(&self, device: impl AsRef<Path>) -> u64 {
        newest(
            &self
                .read(device)
                .unwrap_or_else(|err| panic!("reading the volume: {err}")),
        )
    }

    fn read(&self, device: impl AsRef<Path>) -> io::Result<Vec<Found>> {
        const AT_ONCE: u64 = 256;
        let file = block::open_read(device)?;
        let mut buffer = Aligned::new(AT_ONCE as usize * BLOCK);
        let mut found = Vec::new();
        let end = self.area.first + self.area.blocks;
        for start in (self.area.first..end).step_by(AT_ONCE as usize) {
            let bytes = &mut buffer.bytes_mut()[..(end - start).min(AT_ONCE) as usize * BLOCK];
            file.read_exact_at(bytes, start * BLOCK as u64)?;
            found.extend(
                (start..)
                    .zip(bytes.chunks(BLOCK))
                    .map(|(index, block)| read_stamp(&self.area, index, block)),
            );
        }
        Ok(found)
    }
}
