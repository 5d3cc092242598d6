//! Reads the map of changes as dm's `era` keeps it on a device: which blocks were written in an era
//! or later. Pure.
//!
//! Formats and checksums are the kernel's (`drivers/md/dm-era-target.c`, and in
//! `drivers/md/persistent-data` `dm-btree-internal.h`, `dm-array.c` and `dm-bitset.h`): blocks of
//! 4 KiB, all numbers little-endian.
//!
//! ```text
//! superblock ─┬─ tree: era → the blocks written in it, as an array of bits
//!             └─ array: the last era in which each block was written, of the eras merged into it
//! ```
//!
//! While a map is in use, only what the kernel holds of it can be read (`take_metadata_snap`). The
//! kernel has ended an era and written everything, and it changes none of the blocks below until
//! they are released. The tools of thin-provisioning-tools 0.9 follow the live map even when they
//! are told to read what is held, and can take a block that is used again for what it was before.

use std::ops::Range;

/// The block size of a map, and the size of its superblock, in bytes.
pub const BLOCK: usize = 4096;
const MAGIC: u64 = 2_126_579_579;
const VERSION: u32 = 1;
/// The most levels of a tree. No map has a tree this deep, because a node refers to more than a
/// hundred others.
const DEPTH: u32 = 8;

/// The kind of a block, which decides its checksum and the place of its own number.
#[derive(Clone, Copy)]
enum Kind {
    Superblock,
    Node,
    Array,
}

impl Kind {
    /// The value that is xored into the checksum, different for each kind.
    fn seal(self) -> u32 {
        match self {
            Kind::Superblock => 146_538_381,
            Kind::Node => 121_107,
            Kind::Array => 595_846_735,
        }
    }

    /// The offset in the block of the block's own number, in bytes.
    fn own_number(self) -> usize {
        match self {
            Kind::Superblock | Kind::Node => 8,
            Kind::Array => 16,
        }
    }
}

/// Why a map cannot be used, as text.
type Refused = String;

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes
        .get(at..)
        .and_then(<[u8]>::first_chunk)
        .map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes
        .get(at..)
        .and_then(<[u8]>::first_chunk)
        .map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Whether this is a valid superblock of a map. The kernel refuses a superblock that is damaged,
/// but takes a blank one for a new map, in which nothing was ever written.
pub fn is_sound(superblock: &[u8]) -> bool {
    superblock.len() >= BLOCK
        && has_seal(&superblock[..BLOCK], Kind::Superblock)
        && u64_at(superblock, 32) == MAGIC
}

/// How full a map is, in blocks of [`BLOCK`] bytes, as of its last commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fill {
    /// The blocks in use.
    pub used: u64,
    /// All blocks.
    pub total: u64,
}

/// How full a map is, by its superblock. `None` if that is damaged or no superblock.
pub fn fill(superblock: &[u8]) -> Option<Fill> {
    if !is_sound(superblock) {
        return None;
    }
    // The root of the space map begins with both numbers.
    let (total, used) = (u64_at(superblock, 44), u64_at(superblock, 52));
    (used <= total).then_some(Fill { used, total })
}

fn has_seal(block: &[u8], kind: Kind) -> bool {
    !crc32c::crc32c(&block[4..]) ^ kind.seal() == u32_at(block, 0)
}

/// The blocks of the volume that were written in `era` or later, according to a map or to what the
/// kernel holds of it. Fails when any block of the map that is needed is damaged.
pub fn written_since(map: &[u8], era: u32) -> Result<Vec<Range<u64>>, Refused> {
    let map = Map(map);
    let mut superblock = map.superblock(0)?;
    // The field is zero in the superblock that the kernel wrote while it took the snapshot. The
    // roots in that superblock are the held ones.
    let held = u64_at(superblock, 216);
    if held != 0 {
        superblock = map.superblock(held)?;
    }
    let blocks = u64::from(u32_at(superblock, 180));
    let mut written =
        vec![false; usize::try_from(blocks).map_err(|_| "it is too large".to_owned())?];
    let mut note = |block: u64| {
        let place = usize::try_from(block)
            .ok()
            .and_then(|block| written.get_mut(block));
        place
            .map(|place| *place = true)
            .ok_or_else(|| format!("it knows of block {block} of {blocks}"))
    };
    map.tree(u64_at(superblock, 200), 12, DEPTH, &mut |of, bits| {
        if of < u64::from(era) {
            return Ok(());
        }
        let count = u64::from(u32_at(bits, 0));
        map.array(u64_at(bits, 4), 8, &mut |index, word| {
            let word = u64_at(word, 0);
            let set = (0..64)
                .filter(|bit| word >> bit & 1 == 1)
                .map(|bit| index.saturating_mul(64).saturating_add(bit));
            set.filter(|block| *block < count).try_for_each(&mut note)
        })
    })?;
    map.array(u64_at(superblock, 208), 4, &mut |block, last| {
        let last = u32_at(last, 0);
        if last != 0 && last >= era {
            note(block)
        } else {
            Ok(())
        }
    })?;
    Ok(ranges(&written))
}

fn ranges(written: &[bool]) -> Vec<Range<u64>> {
    let mut all = Vec::new();
    let mut at = 0;
    for run in written.chunk_by(|a, b| a == b) {
        let end = at + run.len() as u64;
        if run[0] {
            all.push(at..end);
        }
        at = end;
    }
    all
}

struct Map<'m>(&'m [u8]);

impl<'m> Map<'m> {
    fn block(&self, number: u64, kind: Kind) -> Result<&'m [u8], Refused> {
        let start = usize::try_from(number)
            .ok()
            .and_then(|number| number.checked_mul(BLOCK));
        let block = start.and_then(|start| self.0.get(start..start.checked_add(BLOCK)?));
        let block = block.ok_or_else(|| format!("block {number} of it is outside"))?;
        if !has_seal(block, kind) || u64_at(block, kind.own_number()) != number {
            return Err(format!("block {number} of it is damaged"));
        }
        Ok(block)
    }

    fn superblock(&self, number: u64) -> Result<&'m [u8], Refused> {
        let block = self.block(number, Kind::Superblock)?;
        match (u64_at(block, 32), u32_at(block, 40)) {
            (MAGIC, VERSION) => Ok(block),
            (MAGIC, version) => Err(format!(
                "its format is {version}, and only {VERSION} is known"
            )),
            _ => Err("it is no map".to_owned()),
        }
    }

    /// Visits all entries of a tree whose values have `leaf` bytes. At most `depth` levels are
    /// read, so that a tree that refers to itself is refused.
    fn tree(
        &self,
        root: u64,
        leaf: usize,
        depth: u32,
        visit: &mut Visit<'_>,
    ) -> Result<(), Refused> {
        const INTERNAL: u32 = 1;
        const HEADER: usize = 32;
        let node = self.block(root, Kind::Node)?;
        let is_internal = u32_at(node, 4) & INTERNAL != 0;
        let size = if is_internal { 8 } else { leaf };
        let [entries, room, value_size] = [16, 20, 24].map(|at| u32_at(node, at) as usize);
        if entries > room
            || value_size != size
            || HEADER + room.saturating_mul(8 + size) > BLOCK
            || depth == 0
        {
            return Err(format!("block {root} of it makes no sense"));
        }
        for n in 0..entries {
            let value = &node[HEADER + 8 * room + size * n..][..size];
            if is_internal {
                self.tree(u64_at(value, 0), leaf, depth - 1, visit)?;
            } else {
                visit(u64_at(node, HEADER + 8 * n), value)?;
            }
        }
        Ok(())
    }

    /// Visits all values of an array, which have `size` bytes. An array is a tree that refers to
    /// blocks of values.
    fn array(&self, root: u64, size: usize, visit: &mut Visit<'_>) -> Result<(), Refused> {
        const HEADER: usize = 24;
        self.tree(root, 8, DEPTH, &mut |key, place| {
            let number = u64_at(place, 0);
            let block = self.block(number, Kind::Array)?;
            let [room, entries, value_size] = [4, 8, 12].map(|at| u32_at(block, at) as usize);
            if entries > room || value_size != size || HEADER + room.saturating_mul(size) > BLOCK {
                return Err(format!("block {number} of it makes no sense"));
            }
            let first = key.saturating_mul(room as u64);
            let values = block[HEADER..].chunks_exact(size).take(entries);
            values
                .zip(first..)
                .try_for_each(|(value, index)| visit(index, value))
        })
    }
}

/// Takes the key or the index of an entry, and its value.
type Visit<'v> = dyn FnMut(u64, &[u8]) -> Result<(), Refused> + 'v;

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init)] // lists of blocks
mod tests {
    use super::*;

    /// A map under construction.
    struct Image(Vec<u8>);

    impl Image {
        fn put(&mut self, block: u64, at: usize, bytes: &[u8]) {
            let at = block as usize * BLOCK + at;
            self.0[at..at + bytes.len()].copy_from_slice(bytes);
        }

        fn seal(&mut self, block: u64, kind: Kind) {
            self.put(block, kind.own_number(), &block.to_le_bytes());
            let start = block as usize * BLOCK;
            let checksum = !crc32c::crc32c(&self.0[start + 4..start + BLOCK]) ^ kind.seal();
            self.put(block, 0, &checksum.to_le_bytes());
        }

        fn node(&mut self, block: u64, is_internal: bool, entries: &[(u64, Vec<u8>)]) {
            let size = entries.first().map_or(8, |(_, value)| value.len());
            let room = (BLOCK - 32) / (8 + size);
            self.put(block, 4, &[if is_internal { 1 } else { 2 }]);
            for (at, number) in [(16, entries.len()), (20, room), (24, size)] {
                self.put(block, at, &(number as u32).to_le_bytes());
            }
            for (n, (key, value)) in entries.iter().enumerate() {
                self.put(block, 32 + 8 * n, &key.to_le_bytes());
                self.put(block, 32 + 8 * room + size * n, value);
            }
            self.seal(block, Kind::Node);
        }

        fn values(&mut self, block: u64, values: &[Vec<u8>]) {
            let (size, room) = (values[0].len(), (BLOCK - 24) / values[0].len());
            for (at, number) in [(4, room), (8, values.len()), (12, size)] {
                self.put(block, at, &(number as u32).to_le_bytes());
            }
            values
                .iter()
                .enumerate()
                .for_each(|(n, value)| self.put(block, 24 + n * size, value));
            self.seal(block, Kind::Array);
        }

        fn superblock(&mut self, block: u64, blocks: u32, roots: [u64; 2], held: u64) {
            self.put(block, 32, &MAGIC.to_le_bytes());
            self.put(block, 40, &VERSION.to_le_bytes());
            self.put(block, 180, &blocks.to_le_bytes());
            for (at, number) in [(200, roots[0]), (208, roots[1]), (216, held)] {
                self.put(block, at, &number.to_le_bytes());
            }
            self.seal(block, Kind::Superblock);
        }
    }

    fn reference(block: u64) -> Vec<u8> {
        block.to_le_bytes().to_vec()
    }

    fn set(bits: u32, root: u64) -> Vec<u8> {
        [bits.to_le_bytes().to_vec(), reference(root)].concat()
    }

    /// 1100 blocks: 5 and 1019 were last written in era 2, 7 in era 3; then 70 and 71 in era 4,
    /// 1099 in era 5, and era 6 has begun.
    fn image() -> Image {
        let mut image = Image(vec![0; 16 * BLOCK]);
        let eras = |written: &[(usize, u32)], count: usize| {
            let era = |n: usize| {
                written
                    .iter()
                    .find(|(block, _)| *block == n)
                    .map_or(0, |(_, era)| *era)
            };
            (0..count)
                .map(|n| era(n).to_le_bytes().to_vec())
                .collect::<Vec<_>>()
        };
        image.values(1, &eras(&[(5, 2), (7, 3)], 1018));
        image.values(2, &eras(&[(1, 2)], 82));
        image.node(3, false, &[(0, reference(1)), (1, reference(2))]);
        let words = |block: usize| {
            (0..18).map(move |n| {
                (if n == block / 64 {
                    1_u64 << (block % 64)
                } else {
                    0
                })
                .to_le_bytes()
                .to_vec()
            })
        };
        let mut fourth: Vec<Vec<u8>> = words(70).collect();
        fourth[1] = (3_u64 << 6).to_le_bytes().to_vec();
        image.values(4, &fourth);
        image.node(5, false, &[(0, reference(4))]);
        image.values(6, &words(1099).collect::<Vec<_>>());
        image.node(7, false, &[(0, reference(6))]);
        image.node(8, false, &[(4, set(1100, 5))]);
        image.node(9, false, &[(5, set(1100, 7))]);
        image.node(10, true, &[(4, reference(8)), (5, reference(9))]);
        image.superblock(0, 1100, [10, 3], 0);
        image
    }

    #[test]
    fn what_was_written_since_an_era_is_read() {
        let Image(bytes) = image();
        let later = [70..72, 1099..1100];
        assert_eq!(
            written_since(&bytes, 1),
            Ok([&[5..6, 7..8][..], &[70..72, 1019..1020, 1099..1100]].concat())
        );
        assert_eq!(written_since(&bytes, 3), Ok([&[7..8][..], &later].concat()));
        assert_eq!(written_since(&bytes, 4), Ok(later.to_vec()));
        assert_eq!(written_since(&bytes, 5), Ok(vec![1099..1100]));
        assert_eq!(written_since(&bytes, 6), Ok(vec![]));
    }

    #[test]
    fn what_is_held_is_read_and_not_what_goes_on() {
        let mut image = image();
        image.superblock(11, 1100, [10, 3], 0);
        // The live map starts again with an empty tree.
        image.node(12, false, &[]);
        image.superblock(0, 1100, [12, 3], 11);
        assert_eq!(written_since(&image.0, 4), Ok(vec![70..72, 1099..1100]));
    }

    #[test]
    fn a_map_of_which_any_block_is_damaged_says_nothing() {
        let whole = image();
        for block in 0..11 {
            for at in [0, 9, 30, 200, BLOCK - 1] {
                let mut bytes = whole.0.clone();
                bytes[block * BLOCK + at] ^= 0x10;
                assert!(
                    written_since(&bytes, 1).is_err(),
                    "block {block}, byte {at}"
                );
            }
        }
        assert!(written_since(&whole.0[..10 * BLOCK], 1).is_err());
        assert!(written_since(&[], 1).is_err());
        // A block that is valid in itself, but lies in the place of another one.
        let mut bytes = whole.0.clone();
        bytes.copy_within(BLOCK..2 * BLOCK, 2 * BLOCK);
        assert!(written_since(&bytes, 1).is_err());
        // A tree that refers to itself.
        let mut image = image();
        image.node(10, true, &[(4, reference(10))]);
        assert!(written_since(&image.0, 1).is_err());
    }

    #[test]
    fn a_superblock_is_told_from_anything_else() {
        let Image(mut bytes) = image();
        assert!(!is_sound(&vec![0; BLOCK]));
        assert!(is_sound(&bytes[..BLOCK]));
        assert!(!is_sound(&bytes[..BLOCK - 1]));
        assert!(!is_sound(&bytes[BLOCK..]));
        bytes[100] = 1;
        assert!(!is_sound(&bytes));
    }
}
