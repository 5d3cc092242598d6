//! The bytes of disks: direct I/O past every cache, in multiples of 4096.
//!
//! A commit writes while volumes are suspended: nothing is allocated for what is not larger than
//! what was read or written before.

use super::Media;
use super::machine::Machine;
use crate::error::{Error, Result};
use crate::model::{DevNo, Sectors};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What offsets and lengths are multiples of: enough for disks with sectors of 512 and of 4096
/// bytes.
pub const ALIGNMENT: usize = 4096;
/// How much goes through the bounce buffer at once.
const BOUNCE: usize = 128 << 10;

#[derive(Clone)]
#[repr(C, align(4096))]
struct Page([u8; ALIGNMENT]);

/// Memory that direct I/O takes: zeroed, and aligned to 4096 bytes.
pub struct AlignedBuf(Box<[Page]>);

impl AlignedBuf {
    /// At least so many bytes, rounded up to whole pages.
    pub fn zeroed(bytes: usize) -> AlignedBuf {
        AlignedBuf(vec![Page([0; ALIGNMENT]); bytes.div_ceil(ALIGNMENT)].into_boxed_slice())
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: a page is an array of bytes without padding, so a slice of pages is a slice of
        // bytes of the same size.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast::<u8>(), size_of_val(&*self.0)) }
    }

    /// The bytes, to be changed.
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

/// Asked by ioctl: a seek to the end takes a lock that somebody may hold for as long as a hanging
/// read takes.
fn device_size(file: &File) -> io::Result<u64> {
    let mut size = 0;
    // SAFETY: the descriptor is open and the kernel writes one u64.
    unsafe { blkgetsize64(file.as_raw_fd(), &mut size) }.map_err(io::Error::from)?;
    Ok(size)
}

/// How a disk is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// To read it.
    ReadOnly,
    /// To read and to write it, beside whoever uses it (its volumes do).
    ReadWrite,
}

/// A disk, or a file that stands for one in tests.
pub struct BlockMedia {
    file: File,
    is_disk: bool,
    size: u64,
    bounce: Mutex<AlignedBuf>,
}

impl BlockMedia {
    /// Opens it.
    pub fn open(path: &Path, access: Access) -> Result<BlockMedia> {
        Self::try_open(path, access).map_err(|err| open_error(path, &err))
    }

    /// The same, with the error as the kernel gives it.
    pub(super) fn try_open(path: &Path, access: Access) -> io::Result<BlockMedia> {
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

    /// Its number; `None` for a file.
    pub(super) fn number(&self) -> Option<DevNo> {
        let is_disk = self.is_disk.then(|| self.file.metadata().ok()).flatten()?;
        Some(super::nodes::devno(is_disk.rdev()))
    }

    /// The bounce buffer, which has room for so much or for all that goes through it at once.
    fn bounce_of(&self, length: usize) -> MutexGuard<'_, AlignedBuf> {
        let mut bounce = self.bounce.lock().unwrap_or_else(PoisonError::into_inner);
        let length = length.min(BOUNCE);
        if bounce.bytes().len() < length {
            *bounce = AlignedBuf::zeroed(length);
        }
        bounce
    }

    /// Asks the kernel for zeros; whether it did it.
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
        // On a disk this also empties its own write cache; a file has all its blocks already.
        if self.is_disk {
            self.file.sync_all()
        } else {
            self.file.sync_data()
        }
    }

    /// The kernel does it where it can, which on some disks costs nothing.
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

/// Opens past the caches; a file on a filesystem that cannot do that is opened as it is.
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

/// What an error of opening a disk means.
pub(super) fn open_error(path: &Path, err: &io::Error) -> Error {
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

/// How often the kernel is asked to read a partition table again: udev may just look at one of the
/// partitions.
const REREADS: u32 = 40;

/// Has the kernel read the partition table of a disk again, which fails while one of the partitions
/// is open.
pub fn reread_partitions(disk: &Path) -> Result<()> {
    let file = open_direct(disk, Access::ReadWrite).map_err(|err| open_error(disk, &err))?;
    let mut failed = None;
    for _ in 0..REREADS {
        // SAFETY: BLKRRPART takes no argument.
        if unsafe { libc::ioctl(file.as_raw_fd(), nix::request_code_none!(0x12, 95)) } == 0 {
            return Ok(());
        }
        let err = io::Error::last_os_error();
        // A device that has no partitions, or is none that can have any.
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

/// Writes bytes somewhere on a disk, durably. Any offset and length: what is around them stays.
pub fn write_extent(
    machine: &dyn Machine,
    path: &Path,
    offset: Sectors,
    bytes: &[u8],
) -> Result<()> {
    let media = machine.media(path, Access::ReadWrite)?;
    patch(media.as_ref(), offset.bytes(), bytes).map_err(|err| {
        Error::io(
            format!(
                "cannot write to '{}' at sector {}",
                path.display(),
                offset.get()
            ),
            &err,
        )
        .on(path.display())
    })
}

fn patch(media: &dyn Media, offset: u64, bytes: &[u8]) -> io::Result<()> {
    let unit = ALIGNMENT as u64;
    let start = offset - offset % unit;
    let before = (offset - start) as usize;
    let mut buffer = AlignedBuf::zeroed(before + bytes.len());
    if buffer.bytes().len() != bytes.len() {
        media.read_at(start, buffer.bytes_mut())?;
    }
    buffer.bytes_mut()[before..before + bytes.len()].copy_from_slice(bytes);
    media.write_at(start, buffer.bytes())?;
    media.flush()
}

/// A piece of a disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The disk.
    pub path: PathBuf,
    /// Where, from the start of the disk.
    pub start: Sectors,
    /// How long.
    pub length: Sectors,
}

/// How much is wiped at the start of new space.
///
/// It holds what libblkid looks for there: xfs, LUKS, swap (4 KiB) and LVM (512 B) labels, ext2/3/4
/// (1 KiB), f2fs, md 1.1 and 1.2, MBR and GPT, ISO 9660 and UDF (32 KiB), btrfs, gfs2 and reiserfs
/// (64 KiB), ZFS' first two labels (up to 512 KiB), bcache, VMFS (1 and 2 MiB), and the superblock
/// of one of our own disks.
const HEAD: Sectors = Sectors::mib(4);
/// How much is wiped at its end: md 0.90 and 1.0, the backup GPT, nilfs2's second superblock,
/// firmware RAID, ZFS' last two labels.
const TAIL: Sectors = Sectors::MIB;

/// Destroys stale signatures in new space, before anybody sees a device on it: both ends of the
/// pieces one behind the other.
///
/// Backup superblocks further inside (ext4's, btrfs' at 64 MiB) are left: nothing recognises a
/// filesystem by them.
pub fn wipe_signatures(machine: &dyn Machine, space: &[Piece]) -> Result<()> {
    for piece in ends(space) {
        let failed = |err| {
            Error::io(
                format!("cannot wipe old signatures on '{}'", piece.path.display()),
                &err,
            )
            .on(piece.path.display())
        };
        let media = machine.media(&piece.path, Access::ReadWrite)?;
        media
            .zero(piece.start.bytes(), piece.length.bytes())
            .and_then(|()| media.flush())
            .map_err(failed)?;
    }
    Ok(())
}

/// The first [`HEAD`] and the last [`TAIL`] of the pieces, as pieces.
fn ends(space: &[Piece]) -> Vec<Piece> {
    let mut found = Vec::new();
    let mut left = HEAD;
    for piece in space {
        let length = piece.length.min(left);
        left = left.saturating_sub(length);
        found.push(Piece {
            length,
            ..piece.clone()
        });
    }
    left = TAIL;
    for piece in space.iter().rev() {
        let length = piece.length.min(left);
        left = left.saturating_sub(length);
        found.push(Piece {
            start: piece
                .start
                .saturating_add(piece.length.saturating_sub(length)),
            length,
            ..piece.clone()
        });
    }
    found.retain(|piece| !piece.length.is_zero());
    found
}

/// Disks in memory, for tests.
pub mod mem {
    use super::{Media, check_alignment};
    use std::cell::{Cell, RefCell};
    use std::io;

    /// A disk in memory. What is written is what is read; [`MemMedia::flushes`] counts.
    #[derive(Debug, Default)]
    pub struct MemMedia {
        bytes: RefCell<Vec<u8>>,
        flushes: Cell<u64>,
    }

    impl MemMedia {
        /// A disk of zeros.
        pub fn new(size: usize) -> MemMedia {
            MemMedia {
                bytes: RefCell::new(vec![0; size]),
                flushes: Cell::new(0),
            }
        }

        /// A disk with these contents.
        pub fn with_bytes(bytes: Vec<u8>) -> MemMedia {
            MemMedia {
                bytes: RefCell::new(bytes),
                flushes: Cell::new(0),
            }
        }

        /// All of its bytes.
        pub fn bytes(&self) -> Vec<u8> {
            self.bytes.borrow().clone()
        }

        /// Looks at or changes its bytes.
        pub fn with<T>(&self, look: impl FnOnce(&mut Vec<u8>) -> T) -> T {
            look(&mut self.bytes.borrow_mut())
        }

        /// How often it was flushed.
        pub fn flushes(&self) -> u64 {
            self.flushes.get()
        }

        fn range(&self, offset: u64, length: usize) -> io::Result<std::ops::Range<usize>> {
            check_alignment(offset, length as u64)?;
            let start = usize::try_from(offset).ok();
            let range = start
                .and_then(|start| Some(start..start.checked_add(length)?))
                .filter(|range| range.end as u64 <= self.size());
            range.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))
        }
    }

    impl Media for MemMedia {
        fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
            let range = self.range(offset, buf.len())?;
            buf.copy_from_slice(&self.bytes.borrow()[range]);
            Ok(())
        }

        fn write_at(&self, offset: u64, buf: &[u8]) -> io::Result<()> {
            let range = self.range(offset, buf.len())?;
            self.bytes.borrow_mut()[range].copy_from_slice(buf);
            Ok(())
        }

        fn flush(&self) -> io::Result<()> {
            self.flushes.set(self.flushes.get() + 1);
            Ok(())
        }

        fn size(&self) -> u64 {
            self.bytes.borrow().len() as u64
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::machine::Here;
    use super::mem::MemMedia;
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
        let memory = MemMedia::new(8192);
        assert_eq!(
            kind(memory.write_at(8192, &[0; 4096])),
            io::ErrorKind::UnexpectedEof
        );
        assert_eq!(
            kind(memory.read_at(u64::MAX - 4095, &mut [0; 4096])),
            io::ErrorKind::UnexpectedEof
        );
        assert_eq!(
            kind(memory.write_at(1, &[0; 4096])),
            io::ErrorKind::InvalidInput
        );
    }

    #[test]
    fn writing_an_extent_leaves_its_surroundings() {
        let file = disk(&[0xaa; 65536]);
        write_extent(&Here::default(), file.path(), Sectors::of(9), &[0x55; 4500]).unwrap();
        let bytes = std::fs::read(file.path()).unwrap();
        assert_eq!(bytes.len(), 65536);
        for (at, byte) in bytes.iter().enumerate() {
            let expected = if (9 * 512..9 * 512 + 4500).contains(&at) {
                0x55
            } else {
                0xaa
            };
            assert_eq!(*byte, expected, "{at}");
        }
    }

    fn piece(path: &Path, start: Sectors, length: Sectors) -> Piece {
        Piece {
            path: path.to_owned(),
            start,
            length,
        }
    }

    #[test]
    fn both_ends_of_a_space_are_wiped_and_nothing_else() {
        let (one, two) = (disk(&vec![0xaa; 8 << 20]), disk(&vec![0xaa; 8 << 20]));
        let space = [
            piece(one.path(), Sectors::MIB, Sectors::mib(2)),
            piece(two.path(), Sectors::mib(3), Sectors::mib(4)),
        ];
        wipe_signatures(&Here::default(), &space).unwrap();
        let zeros = |file: &tempfile::NamedTempFile| -> Vec<usize> {
            let bytes = std::fs::read(file.path()).unwrap();
            (0..8)
                .filter(|mib| {
                    bytes[mib << 20..(mib + 1) << 20]
                        .iter()
                        .all(|byte| *byte == 0)
                })
                .collect()
        };
        assert_eq!(zeros(&one), [1, 2]);
        assert_eq!(zeros(&two), [3, 4, 6]);
    }

    #[test]
    fn small_spaces_are_wiped_whole() {
        let path = Path::new("/dev/x");
        assert_eq!(ends(&[]), []);
        let small = piece(path, Sectors::of(8), Sectors::of(16));
        assert_eq!(ends(std::slice::from_ref(&small)), [small.clone(), small]);
    }
}
