//! The bytes of disks: direct I/O, bypassing every cache, in multiples of 4096.
//!
//! A commit writes while volumes are suspended: a read or a write allocates nothing unless it is
//! larger than those before it.

use crate::error::{Error, Result};
use crate::model::DevNo;
use crate::sys::Media;
use crate::sys::disk::{ALIGNMENT, Access};
use crate::table::SYNC_REGION;
use crate::table::dco::Pace;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How many bytes go through the bounce buffer at once.
const BOUNCE: usize = 128 << 10;

#[derive(Clone)]
#[repr(C, align(4096))]
struct Page([u8; ALIGNMENT]);

/// A buffer for direct I/O: zeroed, and aligned to 4096 bytes.
pub struct AlignedBuf(Box<[Page]>);

impl AlignedBuf {
    /// Allocates at least this many bytes, rounded up to whole pages.
    pub fn zeroed(bytes: usize) -> AlignedBuf {
        AlignedBuf(vec![Page([0; ALIGNMENT]); bytes.div_ceil(ALIGNMENT)].into_boxed_slice())
    }

    /// The contents of the buffer.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: a page is an array of bytes without padding, so a slice of pages is a slice of
        // bytes of the same size.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast::<u8>(), size_of_val(&*self.0)) }
    }

    /// The contents of the buffer, to be changed.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as for reading; the pages are borrowed mutably, and any bytes make valid pages.
        unsafe {
            std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast::<u8>(), size_of_val(&*self.0))
        }
    }
}

nix::ioctl_read!(
    /// The size of a block device in bytes (`BLKGETSIZE64`).
    blkgetsize64,
    0x12,
    114,
    u64
);

/// The size of a device in bytes. It is read by ioctl: a seek to the end takes a lock that another
/// process may hold for as long as a hanging read takes.
fn device_size(file: &File) -> io::Result<u64> {
    let mut size = 0;
    // SAFETY: the descriptor is open and the kernel writes one u64.
    unsafe { blkgetsize64(file.as_raw_fd(), &mut size) }.map_err(io::Error::from)?;
    Ok(size)
}

/// A disk, or a file that stands for one in tests.
pub struct BlockMedia {
    file: File,
    is_disk: bool,
    size: u64,
    bounce: Mutex<AlignedBuf>,
}

impl BlockMedia {
    /// Opens a disk for direct I/O.
    pub fn open(path: &Path, access: Access) -> Result<BlockMedia> {
        Self::try_open(path, access).map_err(|err| open_error(path, &err))
    }

    /// Opens a disk for direct I/O, and returns an error as the kernel gives it.
    pub(in crate::linux) fn try_open(path: &Path, access: Access) -> io::Result<BlockMedia> {
        let file = open_direct(path, access)?;
        let is_disk = file.metadata()?.file_type().is_block_device();
        let size = if is_disk {
            device_size(&file)?
        } else {
            file.metadata()?.len()
        };
        Ok(BlockMedia {
            file,
            is_disk,
            size,
            bounce: Mutex::new(AlignedBuf::zeroed(0)),
        })
    }

    /// The device number; `None` for a file.
    pub(in crate::linux) fn number(&self) -> Option<DevNo> {
        let is_disk = self.is_disk.then(|| self.file.metadata().ok()).flatten()?;
        Some(crate::linux::dm::nodes::devno(is_disk.rdev()))
    }

    /// The bounce buffer, with room for `length` bytes or for the most that goes through it at
    /// once.
    fn bounce_of(&self, length: usize) -> MutexGuard<'_, AlignedBuf> {
        let mut bounce = self.bounce.lock().unwrap_or_else(PoisonError::into_inner);
        let length = length.min(BOUNCE);
        if bounce.bytes().len() < length {
            *bounce = AlignedBuf::zeroed(length);
        }
        bounce
    }

    /// Asks the kernel to write zeros. Returns whether it did.
    fn zero_out(&self, offset: u64, length: u64) -> bool {
        let range = [offset, length];
        // SAFETY: BLKZEROOUT reads two u64s, which outlive the call.
        unsafe {
            libc::ioctl(
                self.file.as_raw_fd(),
                nix::request_code_none!(0x12, 127),
                range.as_ptr(),
            ) == 0
        }
    }
}

impl Media for BlockMedia {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        check_alignment(offset, buf.len() as u64)?;
        let mut bounce = self.bounce_of(buf.len());
        let mut at = offset;
        for part in buf.chunks_mut(BOUNCE) {
            let direct = &mut bounce.bytes_mut()[..part.len()];
            self.file.read_exact_at(direct, at)?;
            part.copy_from_slice(direct);
            at += part.len() as u64;
        }
        Ok(())
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> io::Result<()> {
        check_alignment(offset, buf.len() as u64)?;
        let mut bounce = self.bounce_of(buf.len());
        let mut at = offset;
        for part in buf.chunks(BOUNCE) {
            let direct = &mut bounce.bytes_mut()[..part.len()];
            direct.copy_from_slice(part);
            self.file.write_all_at(direct, at)?;
            at += part.len() as u64;
        }
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        // On a disk this also flushes the disk's own write cache; a file has all its blocks
        // already.
        if self.is_disk {
            self.file.sync_all()
        } else {
            self.file.sync_data()
        }
    }

    /// The kernel writes the zeros where it can, which costs nothing on some disks.
    fn zero(&self, offset: u64, length: u64) -> io::Result<()> {
        check_alignment(offset, length)?;
        if self.is_disk && self.zero_out(offset, length) {
            return Ok(());
        }
        let zeros = AlignedBuf::zeroed(BOUNCE.min(usize::try_from(length).unwrap_or(BOUNCE)));
        let mut at = 0;
        while at < length {
            let part = (length - at).min(zeros.bytes().len() as u64);
            self.write_at(offset + at, &zeros.bytes()[..part as usize])?;
            at += part;
        }
        Ok(())
    }

    fn size(&self) -> u64 {
        self.size
    }
}

fn check_alignment(offset: u64, length: u64) -> io::Result<()> {
    let aligned = (offset | length).is_multiple_of(ALIGNMENT as u64);
    if aligned {
        Ok(())
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a multiple of 4096 bytes",
        ))
    }
}

/// Opens a file for direct I/O; a file on a filesystem that does not support it is opened without.
fn open_direct(path: &Path, access: Access) -> io::Result<File> {
    let open = |flags| {
        OpenOptions::new()
            .read(true)
            .write(access == Access::ReadWrite)
            .custom_flags(flags)
            .open(path)
    };
    let direct = open(libc::O_DIRECT);
    match &direct {
        Err(err) if err.raw_os_error() == Some(libc::EINVAL) && path.is_file() => open(0),
        _ => direct,
    }
}

/// The error for a disk that cannot be opened.
pub(in crate::linux) fn open_error(path: &Path, err: &io::Error) -> Error {
    let (shown, doing) = (path.display(), format!("cannot open '{}'", path.display()));
    match err.raw_os_error() {
        Some(libc::EBUSY) => Error::in_use(format!("'{shown}' is in use"))
            .on(&shown)
            .hint(format!("see 'lsblk {shown}'")),
        Some(libc::ENOENT | libc::ENXIO) => {
            Error::not_found(format!("there is no device '{shown}'")).on(&shown)
        }
        Some(libc::EACCES | libc::EPERM) => Error::failed(format!("{doing}: {err}"))
            .on(&shown)
            .hint("run it as root"),
        _ => Error::io(doing, err).on(&shown),
    }
}

/// How often the kernel is asked to read a partition table again: udev may be reading one of the
/// partitions.
const REREADS: u32 = 40;

/// Makes the kernel read the partition table of a disk again, which fails while one of the
/// partitions is open.
pub fn reread_partitions(disk: &Path) -> Result<()> {
    let file = open_direct(disk, Access::ReadWrite).map_err(|err| open_error(disk, &err))?;
    let mut failed = None;
    for _ in 0..REREADS {
        // SAFETY: BLKRRPART takes no argument.
        if unsafe { libc::ioctl(file.as_raw_fd(), nix::request_code_none!(0x12, 95)) } == 0 {
            return Ok(());
        }
        let err = io::Error::last_os_error();
        // The device has no partitions, or cannot have any.
        if matches!(err.raw_os_error(), Some(libc::EINVAL | libc::ENOTTY)) {
            return Ok(());
        }
        failed = Some(err);
        std::thread::sleep(Duration::from_millis(50));
    }
    let err = failed.unwrap_or_else(|| io::Error::from_raw_os_error(libc::EBUSY));
    Err(Error::io(
        format!(
            "the kernel keeps the old partitions of '{}'",
            disk.display()
        ),
        &err,
    )
    .on(disk.display()))
}

/// Measures how fast a disk is. It is read here and there, and not where it was just read, so that it
/// does not answer from its cache; the shortest times count.
pub fn pace(media: &dyn Media) -> io::Result<Pace> {
    const PLACES: u64 = 4;
    let step = media.size() / (2 * PLACES + 2) / ALIGNMENT as u64 * ALIGNMENT as u64;
    if step < BOUNCE as u64 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut buffer = AlignedBuf::zeroed(BOUNCE);
    let mut pace = [u64::MAX; 3];
    for place in 0..PLACES {
        let (first, second) = ((2 * place + 1) * step, (2 * place + 2) * step);
        let times = [
            timed(|| media.read_at(first, &mut buffer.bytes_mut()[..ALIGNMENT]))?,
            timed(|| media.read_at(second, buffer.bytes_mut()))?,
            timed(|| media.flush())?,
        ];
        pace.iter_mut()
            .zip(times)
            .for_each(|(least, time)| *least = time.min(*least));
    }
    let [answer, large, flush] = pace;
    let requests = SYNC_REGION.bytes() / BOUNCE as u64;
    Ok(Pace {
        answer,
        transfer: large.saturating_sub(answer).saturating_mul(requests),
        flush,
    })
}

/// How long it takes, in microseconds.
fn timed(act: impl FnOnce() -> io::Result<()>) -> io::Result<u64> {
    let begun = Instant::now();
    act()?;
    Ok(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn disk(bytes: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        file
    }

    #[test]
    fn buffers_are_aligned_and_zero() {
        let buffer = AlignedBuf::zeroed(5000);
        assert_eq!(buffer.bytes().len(), 8192);
        assert!(buffer.bytes().as_ptr().addr().is_multiple_of(ALIGNMENT));
        assert!(buffer.bytes().iter().all(|byte| *byte == 0));
        assert!(AlignedBuf::zeroed(0).bytes().is_empty());
    }

    /// A disk whose requests take as long as they are told to.
    struct Slow {
        size: u64,
        read: Mutex<Vec<(u64, usize)>>,
    }

    impl Media for Slow {
        fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
            assert!(offset + buf.len() as u64 <= self.size);
            self.read.lock().unwrap().push((offset, buf.len()));
            std::thread::sleep(Duration::from_millis(if buf.len() > ALIGNMENT {
                40
            } else {
                20
            }));
            Ok(())
        }

        fn write_at(&self, _offset: u64, _buf: &[u8]) -> io::Result<()> {
            panic!("nothing is written")
        }

        fn flush(&self) -> io::Result<()> {
            std::thread::sleep(Duration::from_millis(30));
            Ok(())
        }

        fn size(&self) -> u64 {
            self.size
        }
    }

    #[test]
    fn the_pace_of_a_disk_is_measured() {
        let disk = Slow {
            size: 100 << 20,
            read: Mutex::default(),
        };
        let measured = pace(&disk).unwrap();
        let ms = |us: u64| us / 1000;
        assert!((20..40).contains(&ms(measured.answer)), "{measured:?}");
        assert!((30..60).contains(&ms(measured.flush)), "{measured:?}");
        // Sixteen times what 128 KiB take beyond that.
        assert!((100..900).contains(&ms(measured.transfer)), "{measured:?}");
        let mut places: Vec<u64> = disk
            .read
            .into_inner()
            .unwrap()
            .iter()
            .map(|r| r.0)
            .collect();
        assert!(places.iter().all(|at| *at > 4 << 20), "not at the label");
        places.dedup();
        assert_eq!(places.len(), 8, "each at another place");
        let small = Slow {
            size: 512 << 10,
            read: Mutex::default(),
        };
        assert!(pace(&small).is_err(), "too small");
    }

    #[test]
    fn what_is_written_is_read() {
        let file = disk(&vec![0; 1 << 20]);
        let media = BlockMedia::open(file.path(), Access::ReadWrite).unwrap();
        let pattern: Vec<u8> = (0..3 * BOUNCE + 4096).map(|n| (n / 7) as u8).collect();
        media.write_at(8192, &pattern).unwrap();
        media.flush().unwrap();
        let mut back = vec![0; pattern.len()];
        BlockMedia::open(file.path(), Access::ReadOnly)
            .unwrap()
            .read_at(8192, &mut back)
            .unwrap();
        assert!(back == pattern);
        assert_eq!(media.size(), 1 << 20);
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        let file = disk(&[0; 8192]);
        let media = BlockMedia::open(file.path(), Access::ReadOnly).unwrap();
        let kind = |outcome: io::Result<()>| outcome.unwrap_err().kind();
        assert_eq!(
            kind(media.read_at(512, &mut [0; 4096])),
            io::ErrorKind::InvalidInput
        );
        assert_eq!(
            kind(media.read_at(0, &mut [0; 100])),
            io::ErrorKind::InvalidInput
        );
        assert_eq!(
            kind(media.read_at(8192, &mut [0; 4096])),
            io::ErrorKind::UnexpectedEof
        );
        assert!(media.write_at(0, &[0; 4096]).is_err());
        let missing = BlockMedia::open(Path::new("/nonexistent/disk"), Access::ReadOnly)
            .err()
            .unwrap();
        assert_eq!(missing.kind(), crate::error::Kind::NotFound);
    }
}
