//! Writing to disks, apart from the configuration: logs, maps, and zeroes over old signatures.

use crate::error::{Error, Result};
use crate::model::Sectors;
use crate::sys::Media;
use crate::sys::disk::{ALIGNMENT, Access};
use crate::sys::machine::Machine;
use std::io;
use std::path::{Path, PathBuf};

/// Writes bytes to a disk and flushes it. Offset and length may be unaligned: the bytes around them
/// are read and written back.
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
    let whole = (before + bytes.len()).next_multiple_of(ALIGNMENT);
    let mut buffer = vec![0; whole];
    if whole != bytes.len() {
        media.read_at(start, &mut buffer)?;
    }
    buffer[before..before + bytes.len()].copy_from_slice(bytes);
    media.write_durably(start, &buffer).done()
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

/// Destroys stale signatures in new space before a device appears on it: at both ends of the pieces
/// taken one after the other.
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::linux::Here;
    use crate::linux::disk::inspect::signatures;
    use crate::linux::process::tools;
    use std::io::Write;

    fn disk(bytes: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        file
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

    /// `blkid` takes files, so a fresh filesystem can be looked at without a device.
    #[test]
    fn a_filesystem_that_was_wiped_is_found_no_more() {
        let (Some(mkfs), Some(_)) = (tools::find("mkfs.ext4"), tools::find("blkid")) else {
            return;
        };
        let file = disk(&vec![0; 8 << 20]);
        let mut mkfs = std::process::Command::new(mkfs);
        assert!(
            mkfs.args(["-q", "-F"])
                .arg(file.path())
                .status()
                .unwrap()
                .success()
        );
        assert!(!signatures(file.path()).unwrap().is_empty());
        let whole = piece(file.path(), Sectors::ZERO, Sectors::mib(8));
        wipe_signatures(&Here::default(), &[whole]).unwrap();
        assert_eq!(signatures(file.path()).unwrap(), []);
    }
}
