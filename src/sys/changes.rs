//! What the maps of changes say: listed by `era_invalidate` of thin-provisioning-tools, which knows the kernel's format.
//!
//! A map that is in use is listed from a snapshot of it that the kernel holds (`take_metadata_snap`). The tool follows the live map
//! all the same in places: what it says may be more than what had been written when the snapshot was taken, never less. When
//! the map changes under it, it may fail and is run again.

use super::{nodes, sysfs, tools};
use crate::error::{Error, Result};
use crate::model::DevNo;
use std::io::Read;
use std::ops::Range;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// The tool, and the package that has it almost everywhere.
const TOOL: &str = "era_invalidate";
const PACKAGE: &str = "thin-provisioning-tools";
/// How long a listing may take: the maps of the largest volumes are a few MiB.
const DEADLINE: Duration = Duration::from_secs(120);
/// How often it is tried.
const TRIES: usize = 5;
const LOOK: Duration = Duration::from_millis(5);

/// The blocks that the map on a device says were written in an era or later.
pub fn written_since(map: DevNo, era: u32) -> Result<Vec<Range<u64>>> {
    let node = sysfs::Block::numbered(map).and_then(|block| block.path()).filter(|path| nodes::leads_to(path, map));
    let node = node.ok_or_else(|| Error::device(format!("the map of changes on device {map} cannot be found")))?;
    let mut last = Error::device("the map of changes was not listed");
    for _ in 0..TRIES {
        match list(&node, era) {
            Ok(blocks) => return Ok(blocks),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// How much of a map `is_sound` looks at, in bytes: its superblock.
pub const SUPERBLOCK: usize = 4096;

/// Whether this is the superblock of a map. The kernel takes one that is blank for a new map, in which nothing was ever written, and
/// refuses one that is damaged.
///
/// Layout and checksum are those of the kernel's `drivers/md/dm-era-target.c` and `dm-block-manager.c`.
pub fn is_sound(superblock: &[u8]) -> bool {
    const MAGIC: u64 = 2_126_579_579;
    const CHECKSUM_XOR: u32 = 146_538_381;
    let number = |at: usize| superblock.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes);
    let magic = superblock.get(32..40).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes);
    let checksum = superblock.get(4..SUPERBLOCK).map(|bytes| !crc32c::crc32c(bytes) ^ CHECKSUM_XOR);
    magic == Some(MAGIC) && checksum.is_some() && number(0) == checksum
}

fn list(node: &Path, era: u32) -> Result<Vec<Range<u64>>> {
    let missing = || Error::unsupported(format!("the program '{TOOL}' is not installed")).hint(format!("install the package '{PACKAGE}'"));
    let mut command = tools::command(TOOL).ok_or_else(missing)?;
    command.args(["--metadata-snapshot", "--written-since", &era.to_string()]).arg(node);
    let text = output(command).map_err(|why| Error::device(format!("'{TOOL}' cannot read the map of changes: {why}")))?;
    parse(&text).ok_or_else(|| Error::device(format!("'{TOOL}' says something that is no list of blocks")))
}

/// What a program writes, if it ends well and in time.
fn output(mut command: Command) -> std::result::Result<String, String> {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(|err| err.to_string())?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let (out, err) = (thread::spawn(move || read(out)), thread::spawn(move || read(err)));
    let success = ends_well(&mut child)?;
    let text = |reader: thread::JoinHandle<String>| reader.join().unwrap_or_default();
    let (out, err) = (text(out), text(err));
    if success { Ok(out) } else { Err(err.lines().next().unwrap_or("it failed without a word").to_owned()) }
}

fn read(from: Option<impl Read>) -> String {
    let mut text = String::new();
    from.map(|mut from| from.read_to_string(&mut text));
    text
}

fn ends_well(child: &mut Child) -> std::result::Result<bool, String> {
    let until = Instant::now() + DEADLINE;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status.success()),
            Ok(None) if Instant::now() < until => thread::sleep(LOOK),
            Ok(None) => {
                // It may be beyond reach in the kernel; it is not waited for.
                let _ = child.kill();
                return Err(format!("it did not end within {DEADLINE:?}"));
            }
            Err(err) => return Err(err.to_string()),
        }
    }
}

/// Reads the tool's XML: `<blocks>` with `<block block="5"/>` and `<range begin="10" end = "13"/>`, the end not included.
pub fn parse(text: &str) -> Option<Vec<Range<u64>>> {
    let document = roxmltree::Document::parse(text).ok()?;
    let root = document.root_element();
    if !root.has_tag_name("blocks") {
        return None;
    }
    let range = |node: roxmltree::Node<'_, '_>| {
        let number = |name: &str| node.attribute(name)?.parse::<u64>().ok();
        match node.tag_name().name() {
            "block" => number("block").and_then(|block| Some(block..block.checked_add(1)?)),
            "range" => Some(number("begin")?..number("end")?).filter(|range| range.start < range.end),
            _ => None,
        }
    };
    root.children().filter(roxmltree::Node::is_element).map(range).collect()
}

/// How many sectors have been written to a device or discarded on it since it was made.
pub fn writes(device: DevNo) -> Result<u64> {
    let path = format!("/sys/dev/block/{device}/stat");
    let text = std::fs::read_to_string(&path).map_err(|err| Error::io(format!("cannot read '{path}'"), &err))?;
    count(&text).ok_or_else(|| Error::device(format!("'{path}' makes no sense")))
}

/// Sectors written are the seventh number, sectors discarded the fourteenth (which old kernels do not have).
fn count(stat: &str) -> Option<u64> {
    let numbers: Vec<u64> = stat.split_ascii_whitespace().map_while(|word| word.parse().ok()).collect();
    Some(numbers.get(6)? + numbers.get(13).unwrap_or(&0))
}

/// Whether discards can reach a device. Those of several blocks would be noted as one (only the first is), so a map is believed only
/// where they cannot.
pub fn takes_discards(device: DevNo) -> bool {
    std::fs::read_to_string(queue(device, "discard_max_bytes")).map_or(true, |text| text.trim() != "0")
}

/// The setting that keeps discards away from a device.
pub fn discard_switch(device: DevNo) -> std::path::PathBuf {
    queue(device, "discard_max_bytes")
}

fn queue(device: DevNo, setting: &str) -> std::path::PathBuf {
    format!("/sys/dev/block/{device}/queue/{setting}").into()
}

/// Whether this kernel's `era` keeps what it has noted when the machine goes down: since Linux 5.12 and in the stable series with the
/// same repairs.
pub fn era_survives_crash(release: &str) -> bool {
    const REPAIRED: [(u32, u32, u32); 7] = [(4, 4, 259), (4, 9, 259), (4, 14, 223), (4, 19, 178), (5, 4, 102), (5, 10, 20), (5, 11, 3)];
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|word| word.parse::<u32>().ok());
    let mut next = || numbers.next().flatten();
    let (Some(major), Some(minor)) = (next(), next()) else { return false };
    let patch = next().unwrap_or(0);
    (major, minor) >= (5, 12) || REPAIRED.iter().any(|(a, b, c)| (major, minor) == (*a, *b) && patch >= *c)
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init)] // lists of pieces
mod tests {
    use super::*;

    #[test]
    fn a_superblock_is_told_from_anything_else() {
        let mut block = vec![0; SUPERBLOCK];
        assert!(!is_sound(&block));
        block[32..40].copy_from_slice(&2_126_579_579_u64.to_le_bytes());
        assert!(!is_sound(&block));
        let checksum = !crc32c::crc32c(&block[4..]) ^ 146_538_381;
        block[..4].copy_from_slice(&checksum.to_le_bytes());
        assert!(is_sound(&block));
        assert!(!is_sound(&block[..SUPERBLOCK - 1]));
        block[100] = 1;
        assert!(!is_sound(&block));
    }

    #[test]
    fn the_tools_lists_are_read() {
        assert_eq!(parse("<blocks>\n</blocks>\n"), Some(vec![]));
        let text = "<blocks>\n  <block block=\"5\"/>\n  <range begin=\"10\" end = \"13\"/>\n</blocks>\n";
        assert_eq!(parse(text), Some(vec![5..6, 10..13]));
        for bad in [
            "",
            "<blocks>",
            "<block block=\"1\"/>",
            "<blocks><block block=\"-1\"/></blocks>",
            "<blocks><range begin=\"3\" end=\"3\"/></blocks>",
            "<blocks><hole/></blocks>",
            "<blocks><block block=\"18446744073709551615\"/></blocks>",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn writes_and_discards_are_counted() {
        assert_eq!(count("1 0 8 2 3 0 24 9 0 1 1 2 0 16 0 0 0\n"), Some(40));
        assert_eq!(count("1 0 8 2 3 0 24 9 0 1 1"), Some(24));
        assert_eq!(count("1 2"), None);
    }

    #[test]
    fn old_kernels_are_told_apart() {
        for good in ["6.1.0-56-cloud-amd64", "5.12.0", "5.10.20-1", "4.19.178", "7.0"] {
            assert!(era_survives_crash(good), "{good}");
        }
        for old in ["5.11.0-rc1", "5.10.19", "4.18.0-553.el8_10.x86_64", "3.10.0", "", "linux"] {
            assert!(!era_survives_crash(old), "{old}");
        }
    }
}
