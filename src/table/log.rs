//! The dirty region log of dm's `disk` log type (kernel rule K6): its size, and the contents of a
//! new one.
//!
//! Layout, little endian: magic `0x4D695272`, version 2, number of regions; from sector 2 on one
//! bit for each region, 1 = clean.

use crate::model::Sectors;
use crate::model::ranges;
use std::ops::Range;
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

const MAGIC: u32 = 0x4D69_5272;
const VERSION: u32 = 2;
/// The header in front of the bitmap (the kernel's `struct log_header_disk`).
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
struct Header {
    magic: U32,
    version: U32,
    regions: U64,
}
/// Where the bitmap starts, in bytes.
const BITMAP_AT: usize = 1024;
/// The most regions of a log. The kernel writes the whole bitmap at every change, so larger volumes
/// have larger regions.
const MAX_REGIONS: u64 = 65_536;
/// A log is written in whole blocks of this many bytes, whatever the disk's own block size is.
const BLOCK: usize = 4096;

/// The region size of the log of a volume of this size.
pub fn region(size: Sectors) -> Sectors {
    let needed = size.get().div_ceil(MAX_REGIONS).next_power_of_two();
    let region = Sectors::new(needed)
        .unwrap_or(super::SYNC_REGION)
        .max(super::SYNC_REGION);
    super::region_for(size, region)
}

/// The number of regions of a volume; the last one may be incomplete.
pub fn regions(size: Sectors, region: Sectors) -> u64 {
    size.get().div_ceil(region.get().max(1))
}

/// The space that a log takes: whole MiB, which leaves room for the volume to grow.
pub fn space(size: Sectors, region: Sectors) -> Sectors {
    let needed =
        Sectors::from_bytes_floor((BITMAP_AT + bitmap_bytes(regions(size, region))) as u64)
            .saturating_add(Sectors::of(1));
    needed.round_up(Sectors::MIB)
}

/// The contents of a new log: all regions clean (the legs are equal) or all dirty (everything is
/// copied).
pub fn image(size: Sectors, region: Sectors, clean: bool) -> Vec<u8> {
    let regions = regions(size, region);
    let mut image = vec![0; (BITMAP_AT + bitmap_bytes(regions)).next_multiple_of(BLOCK)];
    let header = Header {
        magic: MAGIC.into(),
        version: VERSION.into(),
        regions: regions.into(),
    };
    image[..size_of::<Header>()].copy_from_slice(header.as_bytes());
    if clean {
        set_bits(&mut image[BITMAP_AT..], regions);
    }
    image
}

/// The contents of a log in which exactly these regions are dirty.
pub fn image_of(size: Sectors, region: Sectors, dirty: &[Range<u64>]) -> Vec<u8> {
    let mut image = image(size, region, true);
    for bit in dirty.iter().flat_map(Clone::clone) {
        let byte = usize::try_from(bit / 8)
            .ok()
            .and_then(|byte| image.get_mut(BITMAP_AT.saturating_add(byte)));
        byte.into_iter().for_each(|byte| *byte &= !(1 << (bit % 8)));
    }
    image
}

/// The regions that are not clean in a log; `None` when `image` is not the log of a volume of this
/// size.
pub fn dirty(image: &[u8], size: Sectors, region: Sectors) -> Option<Vec<Range<u64>>> {
    let count = regions(size, region);
    let (header, _) = Header::read_from_prefix(image).ok()?;
    let bitmap = image.get(BITMAP_AT..)?;
    if header.magic != MAGIC
        || header.version != VERSION
        || header.regions != count
        || (bitmap.len() as u64).saturating_mul(8) < count
    {
        return None;
    }
    let is_dirty =
        |bit: &u64| usize::try_from(bit / 8).is_ok_and(|byte| bitmap[byte] >> (bit % 8) & 1 == 0);
    Some(ranges::union(
        (0..count).filter(is_dirty).map(|bit| bit..bit + 1),
    ))
}

/// The bytes of a bitmap. The kernel's bitmap is a whole number of longs (64 bits).
fn bitmap_bytes(regions: u64) -> usize {
    usize::try_from(regions.div_ceil(64)).map_or(usize::MAX / 16, |longs| longs.saturating_mul(8))
}

fn set_bits(bitmap: &mut [u8], count: u64) {
    for (n, byte) in bitmap.iter_mut().enumerate() {
        let left = count.saturating_sub(n as u64 * 8).min(8);
        *byte = (0xffu16 >> (8 - left)) as u8;
    }
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init)] // lists of pieces
mod tests {
    use super::*;

    #[test]
    fn a_clean_log_has_exactly_one_bit_a_region() {
        let size = Sectors::mib(21);
        let image = image(size, region(size), true);
        assert_eq!(
            &image[..16],
            &[0x72, 0x52, 0x69, 0x4d, 2, 0, 0, 0, 11, 0, 0, 0, 0, 0, 0, 0]
        );
        assert_eq!(&image[1024..1028], &[0xff, 0x07, 0, 0]);
        assert_eq!(image.len() % 4096, 0);
    }

    #[test]
    fn a_dirty_log_has_no_bit() {
        let size = Sectors::mib(64);
        assert!(
            image(size, region(size), false)[1024..]
                .iter()
                .all(|b| *b == 0)
        );
    }

    #[test]
    fn a_log_of_some_regions_is_read_as_it_was_written() {
        let (size, region) = (Sectors::mib(21), Sectors::mib(1));
        for dirty_ones in [vec![], vec![0..1], vec![3..5, 7..8, 20..21], vec![0..21]] {
            let image = image_of(size, region, &dirty_ones);
            assert_eq!(dirty(&image, size, region), Some(dirty_ones));
        }
        assert_eq!(
            dirty(&image(size, region, false), size, region),
            Some(vec![0..21])
        );
        assert_eq!(
            dirty(&image(size, region, true), Sectors::mib(22), region),
            None
        );
        assert_eq!(dirty(&[0; 4096], size, region), None);
        assert_eq!(dirty(&[], size, region), None);
    }

    #[test]
    fn the_bitmap_stays_small_for_large_volumes() {
        for mib in [1u32, 100, 10_000, 1_000_000, 100_000_000] {
            let size = Sectors::mib(mib);
            let region = region(size);
            assert!(
                region.get().is_power_of_two() && regions(size, region) <= MAX_REGIONS,
                "{mib}"
            );
            assert!(space(size, region).bytes() >= image(size, region, true).len() as u64);
        }
    }
}
