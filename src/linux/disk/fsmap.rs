//! Which blocks a mounted filesystem does not use, by its own account: the ioctl FS_IOC_GETFSMAP,
//! which ext4 and XFS have (ioctl_getfsmap(2)).

use crate::error::{Error, Result};
use crate::model::{DevNo, ranges};
use std::fs::File;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::path::Path;

/// How many records the kernel is asked for at once.
const RECORDS: usize = 512;
const SPECIAL_OWNER: u32 = 0x10;
const LAST: u32 = 0x20;
/// The owner of free space, which every filesystem has.
const FREE: u64 = 1;

/// A piece of a device, in bytes (`struct fsmap`).
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct Record {
    device: u32,
    flags: u32,
    physical: u64,
    owner: u64,
    offset: u64,
    length: u64,
    reserved: [u64; 3],
}

/// What is asked for, and the answers behind it (`struct fsmap_head`).
#[repr(C)]
struct Request {
    iflags: u32,
    oflags: u32,
    count: u32,
    entries: u32,
    reserved: [u64; 6],
    /// From where, and to where, both inclusive.
    keys: [Record; 2],
    records: [Record; RECORDS],
}

/// The size of `struct fsmap_head`, which has no records of its own.
const HEAD: usize = 192;
const FS_IOC_GETFSMAP: libc::Ioctl = nix::request_code_readwrite!(b'X', 59, HEAD);

/// The parts of a range of a device, in sectors, that the filesystem mounted in a directory does not
/// use. Fails if it does not tell.
pub fn unused(mounted: &Path, device: DevNo, range: &Range<u64>) -> Result<Vec<Range<u64>>> {
    let failed = |err: &std::io::Error| {
        Error::io(
            format!(
                "the filesystem on '{}' does not tell what it uses",
                mounted.display()
            ),
            err,
        )
    };
    let directory = File::open(mounted).map_err(|err| failed(&err))?;
    let number = kernel_number(device);
    let mut from = Record {
        device: number,
        physical: range.start.saturating_mul(512),
        ..Record::default()
    };
    let to = Record {
        device: number,
        flags: u32::MAX,
        physical: range.end.saturating_mul(512).saturating_sub(1),
        owner: u64::MAX,
        offset: u64::MAX,
        ..Record::default()
    };
    let mut free = Vec::new();
    loop {
        let mut request = Box::new(Request {
            iflags: 0,
            oflags: 0,
            count: RECORDS as u32,
            entries: 0,
            reserved: [0; 6],
            keys: [from, to],
            records: [Record::default(); RECORDS],
        });
        // SAFETY: the descriptor is open; the kernel reads the head and writes at most `count`
        // records behind it, for which there is room.
        let asked = unsafe {
            libc::ioctl(
                directory.as_raw_fd(),
                FS_IOC_GETFSMAP,
                std::ptr::from_mut(&mut *request),
            )
        };
        if asked != 0 {
            return Err(failed(&std::io::Error::last_os_error()));
        }
        let entries = (request.entries as usize).min(RECORDS);
        let came = &request.records[..entries];
        free.extend(came.iter().filter_map(|record| record.free(number)));
        match came.last() {
            Some(last) if entries == RECORDS && last.flags & LAST == 0 => from = *last,
            _ => break,
        }
    }
    Ok(ranges::common(
        &ranges::union(free),
        std::slice::from_ref(range),
    ))
}

impl Record {
    /// What it says to be free, in whole sectors; `None` for anything else, and for other devices.
    fn free(&self, device: u32) -> Option<Range<u64>> {
        let is_free = self.flags & SPECIAL_OWNER != 0 && self.owner == FREE;
        let end = self.physical.checked_add(self.length)?;
        (is_free && self.device == device).then(|| self.physical.div_ceil(512)..end / 512)
    }
}

/// A device number as the kernel passes it in 32 bits.
fn kernel_number(DevNo { major, minor }: DevNo) -> u32 {
    (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)
}

const _: () = assert!(size_of::<Request>() == HEAD + RECORDS * 64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_free_on_the_device_counts() {
        let record = Record {
            device: 7,
            flags: SPECIAL_OWNER,
            physical: 1024,
            owner: FREE,
            length: 2048,
            ..Record::default()
        };
        assert_eq!(record.free(7), Some(2..6));
        assert_eq!(record.free(8), None);
        let metadata = Record { owner: 3, ..record };
        assert_eq!(metadata.free(7), None);
        // An inode with the number 1 is not free space.
        let file = Record { flags: 0, ..record };
        assert_eq!(file.free(7), None);
    }

    #[test]
    fn numbers_are_those_of_the_kernel() {
        let number = |major, minor| kernel_number(DevNo { major, minor });
        assert_eq!(number(253, 3), 0xfd03);
        assert_eq!(number(253, 0x1_02), 0x0010_fd02);
    }
}
