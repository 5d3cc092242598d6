//! Disks: their bytes, which of them are looked for, and what speaks against using one.

use crate::error::Result;
use crate::model::{DevNo, GroupId, Sectors};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// What offsets and lengths are multiples of: enough for disks with sectors of 512 and of 4096
/// bytes.
pub const ALIGNMENT: usize = 4096;
/// What udev calls a disk of ours.
pub const MEMBER_TYPE: &str = "breakoff_member";
/// Where our udev rule keeps the group of one.
pub const GROUP_PROPERTY: &str = "BREAKOFF_GROUP_UUID";

/// How a disk is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// To read it.
    ReadOnly,
    /// To read and to write it, beside whoever uses it (its volumes do).
    ReadWrite,
}

/// A disk's bytes. All offsets and lengths are multiples of 4096.
pub trait Media {
    /// Reads exactly `buf.len()` bytes at `offset`, past every cache.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<()>;
    /// Writes exactly `buf.len()` bytes at `offset`.
    fn write_at(&self, offset: u64, buf: &[u8]) -> std::io::Result<()>;
    /// Makes everything written durable.
    fn flush(&self) -> std::io::Result<()>;
    /// Makes ready for what is written while volumes are suspended. Without it the same may happen,
    /// perhaps later.
    fn brace(&self) {}
    /// They are resumed.
    fn relax(&self) {}
    /// Makes a piece zero.
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
    /// Size of the device in bytes.
    fn size(&self) -> u64;
}

/// What is done with each disk. It may write nothing, and what it comes to is forgotten: the bytes
/// count.
pub type Reading<'r> = &'r (dyn Fn(&dyn Media) + Sync);

/// A device that looks like a disk of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The kernel's name for it.
    pub name: String,
    /// Where it is: `/dev/NAME`, or `/dev/mapper/NAME`.
    pub path: PathBuf,
    /// Its number.
    pub dev: DevNo,
    /// Its size.
    pub size: Sectors,
    /// Its logical block size in bytes.
    pub logical_block: u32,
    /// The devices that it is made of, however deep, by kernel name.
    pub beneath: Vec<String>,
}

impl Candidate {
    /// Whether it is a layer on top of another one. Of devices that are layered the topmost counts
    /// (a multipath device, not its paths).
    pub fn lies_on(&self, lower: &Candidate) -> bool {
        self.beneath.contains(&lower.name)
    }
}

/// Which disks are looked for.
#[derive(Debug, Clone, Copy)]
pub enum Which<'w> {
    /// All that there are.
    All,
    /// Those of a group that is running: the devices with these numbers, which its tables name, and
    /// what udev knows to be the group's. Nothing else is read, as long as there is an udev to know
    /// that.
    Running(GroupId, &'w BTreeSet<DevNo>),
}

/// A device that was looked into.
pub struct Found {
    /// Which.
    pub candidate: Candidate,
    /// Whether it is known to be a disk of ours without having been read.
    pub is_known: bool,
    /// What was read of it, and nothing else; `TimedOut` when it did not answer.
    pub media: Result<Box<dyn Media>>,
}

/// One thing that speaks against making a device a disk of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objection {
    /// In words, the device named.
    pub text: String,
    /// Whether the administrator may overrule it (what is on the device would be lost), or not (it
    /// is in use, or cannot work).
    pub forcible: bool,
}

impl Objection {
    /// One that cannot be overruled.
    pub fn final_(text: String) -> Objection {
        Objection {
            text,
            forcible: false,
        }
    }

    /// One that can.
    pub fn forcible(text: String) -> Objection {
        Objection {
            text,
            forcible: true,
        }
    }
}

/// A block device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockDevice {
    /// Where it is; the name that the administrator used is resolved.
    pub path: PathBuf,
    /// Its number.
    pub dev: DevNo,
    /// Its size.
    pub size: Sectors,
    /// Its logical block size in bytes.
    pub logical_block: u32,
    /// Its partitions, as far as the kernel knows them.
    pub partitions: Vec<PathBuf>,
    /// The disk that it is a partition of.
    pub whole: Option<PathBuf>,
}

/// A device and what was found on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// Which.
    pub device: BlockDevice,
    found: Vec<Objection>,
}

impl Inspection {
    /// A device that nobody uses and that holds nothing.
    pub fn unused(device: BlockDevice) -> Inspection {
        Inspection::new(device, Vec::new())
    }

    /// A device and what speaks against using it, whatever it is needed for.
    pub fn new(device: BlockDevice, found: Vec<Objection>) -> Inspection {
        Inspection { device, found }
    }

    /// Everything that speaks against using it, when at least so much space is needed.
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
