//! Bytes of block devices past the page cache, which is stale for a device that is written beneath
//! (K14).

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// What `O_DIRECT` is aligned to here, for any sector size.
pub const ALIGN: usize = 4096;

/// A buffer that `O_DIRECT` takes.
pub struct Aligned {
    room: Vec<u8>,
    from: usize,
    len: usize,
}

impl Aligned {
    pub fn new(len: usize) -> Aligned {
        let room = vec![0; len + ALIGN];
        let from = room.as_ptr().align_offset(ALIGN);
        Aligned { room, from, len }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.room[self.from..self.from + self.len]
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.room[self.from..self.from + self.len]
    }
}

/// Opens a device for reading and writing past the cache; `dsync` makes each write durable before
/// it returns.
pub fn open_direct(path: impl AsRef<Path>, dsync: bool) -> io::Result<File> {
    let flags = libc::O_DIRECT | if dsync { libc::O_DSYNC } else { 0 };
    File::options()
        .read(true)
        .write(true)
        .custom_flags(flags)
        .open(path)
}

/// Opens a device for reading past the cache.
pub fn open_read(path: impl AsRef<Path>) -> io::Result<File> {
    File::options()
        .read(true)
        .custom_flags(libc::O_DIRECT)
        .open(path)
}

/// Reads a range whose ends are multiples of 4096.
pub fn read_direct(path: impl AsRef<Path>, offset: u64, length: u64) -> io::Result<Vec<u8>> {
    let file = open_read(path)?;
    let mut out = Vec::with_capacity(usize::try_from(length).map_err(io::Error::other)?);
    let mut buffer = Aligned::new(1 << 20);
    let mut at = offset;
    while at < offset + length {
        let step = (offset + length - at).min(1 << 20) as usize;
        file.read_exact_at(&mut buffer.bytes_mut()[..step], at)?;
        out.extend_from_slice(&buffer.bytes()[..step]);
        at += step as u64;
    }
    Ok(out)
}

/// Writes a range whose ends are multiples of 4096.
pub fn write_direct(path: impl AsRef<Path>, offset: u64, bytes: &[u8]) -> io::Result<()> {
    write_open(&open_direct(path, true)?, offset, bytes)
}

/// The same to what is open.
pub fn write_open(file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
    let mut buffer = Aligned::new(1 << 20);
    for (chunk, at) in bytes.chunks(1 << 20).zip((offset..).step_by(1 << 20)) {
        buffer.bytes_mut()[..chunk.len()].copy_from_slice(chunk);
        file.write_all_at(&buffer.bytes()[..chunk.len()], at)?;
    }
    Ok(())
}

/// The size of a block device.
pub fn size(path: impl AsRef<Path>) -> io::Result<u64> {
    use std::io::Seek;
    File::open(path)?.seek(io::SeekFrom::End(0))
}

/// The device number behind a path.
pub fn number(path: impl AsRef<Path>) -> io::Result<u64> {
    std::fs::metadata(path).map(|meta| meta.rdev())
}

/// The first sector of a disk with a DOS partition table: partitions from a sector on, each of so
/// many sectors of 512 bytes.
pub fn partition_table(partitions: &[(u32, u32)]) -> [u8; 512] {
    let mut sector = [0; 512];
    for (entry, (first, count)) in sector[446..510].chunks_exact_mut(16).zip(partitions) {
        entry[4] = 0x83;
        entry[8..12].copy_from_slice(&first.to_le_bytes());
        entry[12..].copy_from_slice(&count.to_le_bytes());
    }
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}

/// Bytes that compress to nothing known and differ by seed.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let words = (0..length.div_ceil(8) as u64).flat_map(|i| mix(seed ^ mix(i)).to_le_bytes());
    words.take(length).collect()
}

/// A number that looks random (splitmix64).
pub fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
