//! Disks: their bytes, which of them to look for, and the objections to using one.

use crate::error::Result;
use crate::model::{DevNo, GroupId, Sectors};
use crate::sys::Errno;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

/// Offsets and lengths of disk I/O are multiples of this, in bytes. It suits disks with sectors of
/// 512 and of 4096 bytes.
pub const ALIGNMENT: usize = 4096;
/// The `ID_FS_TYPE` that udev has for a breakoff disk.
pub const MEMBER_TYPE: &str = "breakoff_member";
/// The tag that udev's rule gives them.
pub const MARK: &str = "breakoff";
/// The udev property in which breakoff's udev rule stores the UUID of a disk's group.
pub const GROUP_PROPERTY: &str = "BREAKOFF_GROUP_UUID";

/// What the kernel has counted for a block device since it was created.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Completed reads.
    pub reads: u64,
    /// What they have read, in sectors of 512 bytes.
    pub sectors_read: u64,
    /// How long they took, all added up, in milliseconds.
    pub read_ms: u64,
    /// Completed writes.
    pub writes: u64,
    /// What they have written, in sectors of 512 bytes.
    pub sectors_written: u64,
    /// How long they took, all added up, in milliseconds.
    pub write_ms: u64,
}

/// How a disk is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// For reading only.
    ReadOnly,
    /// For reading and writing, shared with the other users of the disk (its volumes are such
    /// users).
    ReadWrite,
}

/// A disk's bytes. All offsets and lengths are multiples of 4096.
pub trait Media {
    /// Reads exactly `buf.len()` bytes at `offset`, bypassing every cache.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<()>;
    /// Begins to read; [`Media::end_read`] waits for the end, at most for `patience`. Several disks
    /// are read at once that way.
    fn begin_read(&self, _offset: u64, _length: usize, _patience: Duration) -> std::io::Result<()> {
        Ok(())
    }
    /// Waits for the end of the read that was begun last, which was of these bytes.
    fn end_read(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<()> {
        self.read_at(offset, buf)
    }
    /// Writes exactly `buf.len()` bytes at `offset`.
    fn write_at(&self, offset: u64, buf: &[u8]) -> std::io::Result<()>;
    /// Makes everything written durable.
    fn flush(&self) -> std::io::Result<()>;
    /// Writes as [`Media::write_at`] does, and makes it durable.
    fn write_durably(&self, offset: u64, buf: &[u8]) -> Written {
        if let Err(err) = self.write_at(offset, buf) {
            return Written::NotWritten(Errno::of(&err));
        }
        match self.flush() {
            Ok(()) => Written::Durable,
            Err(err) => Written::NotFlushed(Errno::of(&err)),
        }
    }
    /// Begins to write durably; [`Media::end_write`] waits for the end. Several disks are written
    /// at once that way. Returns how it ended if it has ended by now, and does not have to be
    /// waited for.
    fn begin_write(&self, offset: u64, buf: &[u8]) -> Option<Written> {
        Some(self.write_durably(offset, buf))
    }
    /// Waits for the end of the write that was begun last.
    fn end_write(&self) -> Written {
        Written::NotWritten(Errno(libc::EINVAL))
    }
    /// Prepares for writes that happen while volumes are suspended. Without it they happen as well,
    /// perhaps later.
    fn brace(&self) {}
    /// Ends what [`Media::brace`] has begun: the volumes are resumed.
    fn relax(&self) {}
    /// Makes ready for a later use, for which nothing has to be started or allocated, and closes the
    /// disk until then. Returns whether it can be used then.
    fn rest(&self) -> bool {
        true
    }
    /// Fills `length` bytes at `offset` with zeros.
    fn zero(&self, offset: u64, length: u64) -> std::io::Result<()> {
        let zeros = vec![0; length.min(1 << 17) as usize];
        let mut at = 0;
        while at < length {
            let part = (length - at).min(zeros.len() as u64);
            self.write_at(offset + at, &zeros[..part as usize])?;
            at += part;
        }
        Ok(())
    }
    /// The size of the device in bytes.
    fn size(&self) -> u64;
}

/// How a write and the flush after it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// What was written is durable.
    Durable,
    /// The write failed. It may have reached the disk.
    NotWritten(Errno),
    /// The write did not fail, and the flush did.
    NotFlushed(Errno),
}

impl Written {
    /// The same as a result.
    pub fn done(self) -> std::io::Result<()> {
        match self {
            Written::Durable => Ok(()),
            Written::NotWritten(errno) | Written::NotFlushed(errno) => {
                Err(std::io::Error::from_raw_os_error(errno.0))
            }
        }
    }
}

/// The function that reads each disk. It must not write, and its own results are discarded: only
/// the bytes that it has read are kept.
pub type Reading<'r> = &'r (dyn Fn(&dyn Media) + Sync);

/// A device that looks like a breakoff disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The kernel's name for it, such as `sdb`.
    pub name: String,
    /// The path of its node: `/dev/NAME`, or `/dev/mapper/NAME`.
    pub path: PathBuf,
    /// Its device number.
    pub dev: DevNo,
    /// Its size, in sectors of 512 bytes.
    pub size: Sectors,
    /// Its logical block size in bytes.
    pub logical_block: u32,
    /// The kernel names of the devices that it is made of, at any depth.
    pub beneath: Vec<String>,
}

impl Candidate {
    /// Whether it is a layer on top of `lower`. Of layered devices only the topmost counts (a
    /// multipath device, not its paths).
    pub fn lies_on(&self, lower: &Candidate) -> bool {
        self.beneath.contains(&lower.name)
    }
}

/// A device that is no disk of breakoff's, as far as is known without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stranger {
    /// The device.
    pub candidate: Candidate,
    /// The type of what udev has found on it, such as `ext4`, `LVM2_member` or `gpt`; `None` if it is
    /// blank, or not known.
    pub content: Option<String>,
}

/// Which disks to look for.
#[derive(Debug, Clone, Copy)]
pub enum Which<'w> {
    /// All disks on this machine.
    All,
    /// The devices with these numbers, which tables name, and those that udev has marked as disks
    /// ([`MARK`]). No other device is looked at. None at all if udev is not running.
    Marked(&'w BTreeSet<DevNo>),
    /// The disks of a running group: the devices with these numbers, which its tables name, and
    /// those that udev knows to be the group's. No other device is read, as long as udev is
    /// running.
    Running(GroupId, &'w BTreeSet<DevNo>),
}

/// A device that was examined.
pub struct Found {
    /// The device that was examined.
    pub candidate: Candidate,
    /// Whether it is known to be a breakoff disk without having been read.
    pub is_known: bool,
    /// The bytes that were read from it, and no others; `TimedOut` if it did not answer.
    pub media: Result<Box<dyn Media>>,
}

/// One objection to making a device a breakoff disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objection {
    /// The objection as text, which names the device.
    pub text: String,
    /// Whether the administrator may overrule it: the contents of the device would be lost. An
    /// objection cannot be overruled if the device is in use, or cannot work.
    pub forcible: bool,
}

impl Objection {
    /// An objection that cannot be overruled.
    pub fn final_(text: String) -> Objection {
        Objection {
            text,
            forcible: false,
        }
    }

    /// An objection that can be overruled.
    pub fn forcible(text: String) -> Objection {
        Objection {
            text,
            forcible: true,
        }
    }
}

/// A block device, as the kernel describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockDevice {
    /// The path of its node; the name that the administrator used is resolved.
    pub path: PathBuf,
    /// Its device number.
    pub dev: DevNo,
    /// Its size, in sectors of 512 bytes.
    pub size: Sectors,
    /// Its logical block size in bytes.
    pub logical_block: u32,
    /// The nodes of its partitions, as far as the kernel knows them.
    pub partitions: Vec<PathBuf>,
    /// The disk that it is a partition of, if it is one.
    pub whole: Option<PathBuf>,
}

/// A device, and what was found on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// The device that was inspected.
    pub device: BlockDevice,
    found: Vec<Objection>,
}

impl Inspection {
    /// A device that is not in use and holds nothing.
    pub fn unused(device: BlockDevice) -> Inspection {
        Inspection::new(device, Vec::new())
    }

    /// A device with the objections to using it, whatever it is needed for.
    pub fn new(device: BlockDevice, found: Vec<Objection>) -> Inspection {
        Inspection { device, found }
    }

    /// All objections to using the device, when at least `least` is needed.
    pub fn objections(&self, least: Sectors) -> Vec<Objection> {
        let mut objections = self.found.clone();
        let BlockDevice {
            path,
            size,
            logical_block,
            ..
        } = &self.device;
        let shown = path.display();
        if *size < least {
            objections.push(Objection::final_(format!(
                "'{shown}' is too small: {size} where at least {least} is needed"
            )));
        }
        if !matches!(logical_block, 512 | 1024 | 2048 | 4096) {
            objections.push(Objection::final_(format!(
                "'{shown}' has sectors of {logical_block} bytes; at most 4096 are supported"
            )));
        }
        objections
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_device_with_huge_sectors_is_unusable() {
        let device = BlockDevice {
            path: PathBuf::from("/dev/sdb"),
            dev: DevNo {
                major: 8,
                minor: 16,
            },
            size: Sectors::MIB,
            logical_block: 16384,
            partitions: Vec::new(),
            whole: None,
        };
        let objections = Inspection::unused(device).objections(Sectors::mib(8));
        assert_eq!(objections.len(), 2);
        assert!(objections.iter().all(|objection| !objection.forcible));
        assert!(
            objections[0]
                .text
                .contains("too small: 1m where at least 8m"),
            "{objections:?}"
        );
    }
}
