//! Block devices as `/sys` shows them, and the files that say what uses them. This module only
//! reads, and opens no device.

use crate::model::{DevNo, Sectors};
use std::cell::OnceCell;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The directory of all block devices, partitions included, by kernel name.
pub(in crate::linux) const BLOCK: &str = "/sys/class/block";

/// The attributes that identify a device, the best first.
const IDENTIFIERS: [&str; 4] = ["dm/uuid", "wwid", "device/wwid", "serial"];

/// A block device in `/sys`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::linux) struct Block {
    /// The kernel's name, such as `sdb1` (a `/` in it is `!` here).
    pub name: String,
    directory: PathBuf,
    /// Its number and its kind, once they were asked for; neither changes.
    event: OnceCell<Option<Uevent>>,
}

/// What the kernel says of a device in its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Uevent {
    dev: DevNo,
    is_partition: bool,
}

impl Uevent {
    fn parse(text: &str) -> Option<Uevent> {
        let value = |wanted: &str| {
            let mut fields = text.lines().filter_map(|line| line.split_once('='));
            fields.find_map(|(key, value)| (key == wanted).then_some(value))
        };
        Some(Uevent {
            dev: DevNo {
                major: value("MAJOR")?.parse().ok()?,
                minor: value("MINOR")?.parse().ok()?,
            },
            is_partition: value("DEVTYPE") == Some("partition"),
        })
    }
}

impl Block {
    /// The device with this kernel name; `None` if there is none.
    pub(in crate::linux) fn named(name: &str) -> Option<Block> {
        Self::named_in(Path::new(BLOCK), name)
    }

    fn named_in(root: &Path, name: &str) -> Option<Block> {
        let plain = !name.is_empty() && !name.contains('/') && name != "." && name != "..";
        let block = Block::in_directory(root, name.to_owned());
        (plain && block.directory.exists()).then_some(block)
    }

    /// The device with this number.
    pub(in crate::linux) fn numbered(dev: DevNo) -> Option<Block> {
        // A link to the device's directory, whose last part is its name.
        let directory = fs::read_link(format!("/sys/dev/block/{dev}")).ok()?;
        Self::named(directory.file_name()?.to_str()?)
    }

    /// Every block device. Fails if there is no `/sys`.
    pub(in crate::linux) fn all() -> io::Result<Vec<Block>> {
        let root = Path::new(BLOCK);
        Ok(names(fs::read_dir(root)?)
            .into_iter()
            .map(|name| Block::in_directory(root, name))
            .collect())
    }

    fn in_directory(root: &Path, name: String) -> Block {
        Block {
            directory: root.join(&name),
            name,
            event: OnceCell::new(),
        }
    }

    /// An attribute without the trailing newline; `None` if there is none.
    pub(in crate::linux) fn attribute(&self, name: &str) -> Option<String> {
        let (mut text, mut file) = ([0; 4096], fs::File::open(self.directory.join(name)).ok()?);
        // The kernel returns a whole attribute, of one page at most, for one read.
        let length = file.read(&mut text).ok()?;
        Some(
            std::str::from_utf8(text.get(..length)?)
                .ok()?
                .trim_end()
                .to_owned(),
        )
    }

    /// The value of an attribute that is a number.
    pub(in crate::linux) fn number(&self, name: &str) -> Option<u64> {
        self.attribute(name)?.parse().ok()
    }

    fn event(&self) -> Option<Uevent> {
        let read = || Uevent::parse(&self.attribute("uevent")?);
        *self.event.get_or_init(read)
    }

    /// The device number.
    pub(in crate::linux) fn dev(&self) -> Option<DevNo> {
        Some(self.event()?.dev)
    }

    /// The number that the kernel gave the disk when it appeared, or when its medium was changed
    /// (`diskseq`, Linux 5.15); that of a partition is its disk's. Before, the inode of its directory,
    /// which is made anew for each appearance.
    pub(in crate::linux) fn appearance(&self) -> Option<u64> {
        self.number("diskseq")
            .or_else(|| self.disk()?.appearance())
            .or_else(|| Some(fs::metadata(&self.directory).ok()?.ino()))
    }

    /// Whether it is a partition.
    pub(in crate::linux) fn is_partition(&self) -> bool {
        self.event().is_some_and(|event| event.is_partition)
    }

    /// The size. `/sys` counts in sectors of 512 bytes, whatever the sectors of the disk are.
    pub(in crate::linux) fn size(&self) -> Sectors {
        self.number("size")
            .and_then(Sectors::new)
            .unwrap_or_default()
    }

    /// The logical block size in bytes; that of a partition is its disk's.
    pub(in crate::linux) fn logical_block(&self) -> u32 {
        let read = |path: &str| {
            self.number(path)
                .and_then(|bytes| u32::try_from(bytes).ok())
        };
        read("queue/logical_block_size")
            .or_else(|| self.disk()?.logical_block().into())
            .unwrap_or(512)
    }

    /// Whether the kernel takes it for a disk with heads; of a partition, its disk.
    pub(in crate::linux) fn is_rotational(&self) -> Option<bool> {
        let said = self.number("queue/rotational").map(|number| number != 0);
        said.or_else(|| self.disk()?.is_rotational())
    }

    /// The disk that it is a partition of, if it is one.
    pub(in crate::linux) fn disk(&self) -> Option<Block> {
        self.is_partition().then_some(())?;
        let directory = fs::canonicalize(&self.directory).ok()?;
        Self::named(directory.parent()?.file_name()?.to_str()?)
    }

    /// Its partitions. The kernel names each after its disk.
    pub(in crate::linux) fn partitions(&self) -> Vec<Block> {
        let is_partition = |name: &String| {
            name.starts_with(&self.name) && self.directory.join(name).join("partition").exists()
        };
        entries(&self.directory)
            .into_iter()
            .filter(is_partition)
            .filter_map(|name| Self::named(&name))
            .collect()
    }

    /// The names of the devices that are made of it.
    pub(in crate::linux) fn holders(&self) -> Vec<String> {
        entries(&self.directory.join("holders"))
    }

    /// The names of the devices that it is made of.
    pub(in crate::linux) fn slaves(&self) -> Vec<String> {
        entries(&self.directory.join("slaves"))
    }

    /// An attribute that only dm devices have, which the kernel names `dm-N`.
    fn dm(&self, name: &str) -> Option<String> {
        self.name.strip_prefix("dm-")?;
        self.attribute(name)
    }

    /// The dm UUID; `None` if it is not a dm device.
    pub(in crate::linux) fn dm_uuid(&self) -> Option<String> {
        self.dm("dm/uuid")
    }

    /// The identifier by which the device is recognised wherever and whenever it is found, and its
    /// kind: the World Wide Identifier of a SCSI disk or an NVMe namespace, the serial number that
    /// a hypervisor gives, the UUID of a dm device. A partition is recognised by its disk and its
    /// number.
    pub(in crate::linux) fn identifier(&self) -> Option<(&'static str, String)> {
        if let Some(disk) = self.disk() {
            let (kind, value) = disk.identifier()?;
            return Some((kind, format!("{value} {}", self.attribute("partition")?)));
        }
        let known = |kind: &'static str| {
            Some((
                kind,
                self.attribute(kind)
                    .filter(|value| !value.trim().is_empty())?,
            ))
        };
        IDENTIFIERS.into_iter().find_map(known)
    }

    /// Whether it is a dm device that is suspended: a read would block until it is resumed,
    /// unkillably.
    pub(in crate::linux) fn is_suspended(&self) -> bool {
        self.dm("dm/suspended").is_some_and(|flag| flag == "1")
    }

    /// The name for people: the dm name with the kernel's name, or the kernel's alone.
    pub(in crate::linux) fn title(&self) -> String {
        match self.dm("dm/name") {
            Some(name) => format!("'{}' ({})", printable(&name), self.name),
            None => format!("'{}'", self.name.replace('!', "/")),
        }
    }

    /// The path of the device: `/dev/mapper/NAME` for a dm device that has that link, else the
    /// kernel's own node. `None` if neither leads to it.
    pub(in crate::linux) fn path(&self) -> Option<PathBuf> {
        let (dev, number) = (Path::new(crate::linux::dm::nodes::DEV), self.dev()?);
        let mapped = self
            .dm("dm/name")
            .and_then(|name| crate::linux::dm::nodes::path_of(dev, &name));
        mapped
            .into_iter()
            .chain([dev.join(self.name.replace('!', "/"))])
            .find(|path| crate::linux::dm::nodes::leads_to(path, number))
    }
}

/// The names in a directory, sorted; empty if there is no such directory.
fn entries(directory: &Path) -> Vec<String> {
    fs::read_dir(directory).map(names).unwrap_or_default()
}

fn names(directory: fs::ReadDir) -> Vec<String> {
    let mut names: Vec<String> = directory
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

/// Text from elsewhere, made fit for one line of a terminal.
pub(in crate::linux) fn printable(text: &str) -> String {
    text.chars()
        .take(200)
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}

/// A mounted filesystem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::linux) struct Mount {
    /// Its device number; of major 0 if the filesystem has several devices of its own (btrfs).
    pub dev: Option<DevNo>,
    /// The source that was mounted, such as a device.
    pub source: PathBuf,
    /// The mount point.
    pub point: String,
    /// The type of the filesystem, such as `ext4`.
    pub kind: String,
    /// The filesystem's own options.
    pub options: String,
}

impl Mount {
    /// Whether it is on this device.
    pub(in crate::linux) fn is_on(&self, dev: DevNo) -> bool {
        self.dev == Some(dev)
            || (self.dev.is_none_or(|number| number.major == 0)
                && self.source.starts_with("/dev/")
                && crate::linux::dm::nodes::leads_to(&self.source, dev))
    }
}

/// The mounts that a process sees (`self`, or a process ID).
pub(in crate::linux) fn mounts(process: &str) -> Vec<Mount> {
    parse_mounts(&fs::read_to_string(format!("/proc/{process}/mountinfo")).unwrap_or_default())
}

/// Parses lines like `36 35 98:0 /root /mnt rw,noatime shared:1 - ext3 /dev/root rw`; the fields
/// before the `-` vary in number.
fn parse_mounts(text: &str) -> Vec<Mount> {
    let parse = |line: &str| {
        let (place, filesystem) = line.split_once(" - ")?;
        let mut place = place.split(' ').skip(2);
        let dev = crate::table::status::parse_devno(place.next()?);
        let point = unescape(place.nth(1)?);
        let mut filesystem = filesystem.split(' ');
        let kind = unescape(filesystem.next()?);
        let source = PathBuf::from(unescape(filesystem.next()?));
        let options = unescape(filesystem.next().unwrap_or_default());
        Some(Mount {
            dev,
            source,
            point,
            kind,
            options,
        })
    };
    text.lines().filter_map(parse).collect()
}

/// The devices and files that are used as swap.
pub(in crate::linux) fn swaps() -> Vec<PathBuf> {
    parse_swaps(&fs::read_to_string("/proc/swaps").unwrap_or_default())
}

fn parse_swaps(text: &str) -> Vec<PathBuf> {
    text.lines()
        .skip(1)
        .filter_map(|line| line.split_ascii_whitespace().next())
        .map(|word| PathBuf::from(unescape(word)))
        .collect()
}

/// Undoes the kernel's octal escapes (`\040` for a space).
fn unescape(word: &str) -> String {
    let (mut plain, bytes, mut at) = (Vec::with_capacity(word.len()), word.as_bytes(), 0);
    while let Some(byte) = bytes.get(at) {
        let digits = bytes
            .get(at + 1..at + 4)
            .filter(|digits| *byte == b'\\' && digits.iter().all(|d| (b'0'..=b'7').contains(d)));
        let code = digits.map(|digits| {
            digits
                .iter()
                .fold(0u32, |sum, digit| sum * 8 + u32::from(digit - b'0'))
        });
        match code.and_then(|code| u8::try_from(code).ok()) {
            Some(code) => (plain.push(code), at += 4),
            None => (plain.push(*byte), at += 1),
        };
    }
    String::from_utf8_lossy(&plain).into_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_read_with_their_escapes() {
        let text = "36 35 98:0 /mnt1 /mnt\\040two rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n\
                    37 35 0:45 / /btr rw shared:7 propagate_from:2 - btrfs /dev/sda\\0401 rw\nnonsense\n38 35 8:1 / - x\n";
        let mounts = parse_mounts(text);
        assert_eq!(mounts.len(), 2);
        assert_eq!(
            (mounts[0].dev, mounts[0].point.as_str()),
            (
                Some(DevNo {
                    major: 98,
                    minor: 0
                }),
                "/mnt two"
            )
        );
        assert_eq!(
            (mounts[1].source.as_path(), mounts[1].kind.as_str()),
            (Path::new("/dev/sda 1"), "btrfs")
        );
        assert_eq!(
            (mounts[0].kind.as_str(), mounts[0].options.as_str()),
            ("ext3", "rw,errors=continue")
        );
    }

    #[test]
    fn swaps_are_read() {
        let text = "Filename\tType\tSize\tUsed\tPriority\n/dev/dm-1 partition 1 0 -2\n/swap\\040file file 1 0 -3\n";
        assert_eq!(
            parse_swaps(text),
            [PathBuf::from("/dev/dm-1"), PathBuf::from("/swap file")]
        );
        assert!(parse_swaps("").is_empty());
    }

    #[test]
    fn escapes_that_are_none_stay() {
        for (word, plain) in [
            ("a\\134b", "a\\b"),
            ("\\0", "\\0"),
            ("\\999", "\\999"),
            ("\\777", "\\777"),
            ("x\\011", "x\t"),
        ] {
            assert_eq!(unescape(word), plain);
        }
    }

    #[test]
    fn names_do_not_leave_the_directory() {
        for bad in ["", ".", "..", "../..", "a/b"] {
            assert_eq!(Block::named(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_device_in_sys_is_read() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("dm-3");
        for sub in ["dm", "holders/dm-4", "slaves/sda", "queue"] {
            fs::create_dir_all(directory.join(sub)).unwrap();
        }
        for (file, text) in [
            (
                "uevent",
                "MAJOR=253\nMINOR=3\nDEVNAME=dm-3\nDEVTYPE=disk\nDISKSEQ=7\n",
            ),
            ("size", "2048\n"),
            ("dm/uuid", "LVM-x\n"),
            ("dm/suspended", "1\n"),
            ("dm/name", "vg\u{1b}lv\n"),
            ("queue/logical_block_size", "4096\n"),
        ] {
            fs::write(directory.join(file), text).unwrap();
        }
        let block = Block::named_in(root.path(), "dm-3").unwrap();
        assert_eq!(
            (block.dev(), block.size(), block.logical_block()),
            (
                Some(DevNo {
                    major: 253,
                    minor: 3
                }),
                Sectors::of(2048),
                4096
            )
        );
        assert_eq!(
            (block.holders(), block.slaves()),
            (vec!["dm-4".to_owned()], vec!["sda".to_owned()])
        );
        assert!(block.is_suspended() && !block.is_partition());
        assert_eq!(block.title(), "'vg?lv' (dm-3)");
        assert_eq!(block.identifier(), Some(("dm/uuid", "LVM-x".to_owned())));
    }

    #[test]
    fn a_device_is_known_by_its_identifier() {
        let root = tempfile::tempdir().unwrap();
        for (file, text) in [
            ("sda/device/wwid", "naa.5000c500a1b2c3d4\n"),
            ("vda/serial", "\n"),
            ("nvme0n1/wwid", "eui.0025388b710139a1\n"),
            ("nvme0n1/device/wwid", "of the controller\n"),
        ] {
            let file = root.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        let identifier = |name: &str| Block::named_in(root.path(), name).unwrap().identifier();
        assert_eq!(
            identifier("sda"),
            Some(("device/wwid", "naa.5000c500a1b2c3d4".to_owned()))
        );
        assert_eq!(
            identifier("nvme0n1"),
            Some(("wwid", "eui.0025388b710139a1".to_owned()))
        );
        assert_eq!(identifier("vda"), None);
    }
}
