//! One superblock: 8 bytes for the size of the device, a byte of flags, and the block from its
//! magic on, which zeroes complete.
//!
//! The magic and the checksum are made right unless a flag says otherwise, so that the fields
//! behind them are reached.
#![no_main]

use breakoff::meta::layout::*;
use breakoff_fuzz::{check_message, media, memory};
use libfuzzer_sys::fuzz_target;

const MAGIC: &[u8] = b"BREAKOFF LABEL\x1a\n";

fuzz_target!(|data: &[u8]| {
    let Some((device, rest)) = data.split_first_chunk::<8>() else {
        return;
    };
    let Some((flags, bytes)) = rest.split_first() else {
        return;
    };
    let (device, position) = (u64::from_le_bytes(*device), media::position(flags & 1 != 0));
    let mut block = vec![0; BLOCK as usize];
    let length = bytes.len().min(block.len());
    block[..length].copy_from_slice(&bytes[..length]);
    if flags & 2 == 0 {
        block[..MAGIC.len()].copy_from_slice(MAGIC);
    }
    if flags & 4 == 0 {
        media::seal(&mut block);
    }
    match memory::bounded(2 * BLOCK as usize, || {
        Unverified(&block).verify(position, device)
    }) {
        Ok(superblock) => check_superblock(&superblock, &block, device),
        Err(Fault::Newer(newer)) => newer
            .geometry
            .iter()
            .for_each(|geometry| check_geometry(geometry, device)),
        Err(fault) => check_message(&fault.to_string()),
    }
});

fn check_superblock(superblock: &Superblock, block: &[u8], device: u64) {
    assert_eq!(superblock.encode(), block, "it is written differently");
    let geometry = &superblock.geometry;
    check_geometry(geometry, device);
    if let Some(member) = superblock.member {
        let (slot, payload) = (geometry.slot(member.payload.slot), member.payload);
        assert!(
            payload.offset >= slot.start && payload.offset + payload.length <= slot.end,
            "{superblock:?}"
        );
        assert!(
            payload.length <= PAYLOAD_MAX && payload.offset.is_multiple_of(BLOCK),
            "{superblock:?}"
        );
    }
}

/// Superblocks, slots and volumes lie on the device, in this order.
fn check_geometry(geometry: &Geometry, device: u64) {
    let (first, second) = (geometry.slot(Slot::First), geometry.slot(Slot::Second));
    let end = geometry.data_start().bytes() + geometry.data_size().bytes();
    assert!(
        Position::B.offset() + BLOCK <= first.start && first.end <= second.start,
        "{geometry:?}"
    );
    assert!(
        second.end <= geometry.area().bytes()
            && geometry.area() <= geometry.data_start()
            && end <= device,
        "{geometry:?}"
    );
}
