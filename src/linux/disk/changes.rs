//! What the maps of changes record, and the conditions under which they can be trusted.

use crate::error::{Error, Result};
use crate::linux::disk::media::BlockMedia;
use crate::linux::disk::sysfs;
use crate::linux::dm::nodes;
use crate::linux::process::fork;
use crate::model::DevNo;
use crate::sys::Media as _;
use crate::sys::disk::{Access, Counters};
use crate::table::era;
use std::fs::File;
use std::io::{self, Write as _};
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

/// How often a map is read before it is given up: its superblock may be written meanwhile.
const TRIES: usize = 5;
/// How long the disks beneath a map may take to answer.
const ANSWERS: Duration = Duration::from_secs(10);
/// How an answer begins that has no blocks: as no block does, since its number would be larger than
/// any device.
const REFUSED: &str = "refused: ";

/// The blocks that were written in era `since` or later, according to the map on a device.
/// Meanwhile the kernel holds the map (`table::era`).
pub fn written_since(map: DevNo, since: u32) -> Result<Vec<Range<u64>>> {
    let node = sysfs::Block::numbered(map)
        .and_then(|block| block.path())
        .filter(|path| nodes::leads_to(path, map));
    let node = node.ok_or_else(|| {
        Error::device(format!(
            "the map of changes on device {map} cannot be found"
        ))
    })?;
    read_by(Instant::now() + ANSWERS, &node, since)
}

/// Has a child read the map: a disk beneath it may hang, and this process has the group's lock.
fn read_by(until: Instant, node: &Path, since: u32) -> Result<Vec<Range<u64>>> {
    let read = |mouth: &mut File| {
        let told = match read(node, since) {
            Ok(blocks) => {
                let ends = blocks.iter().flat_map(|blocks| [blocks.start, blocks.end]);
                ends.flat_map(u64::to_le_bytes).collect()
            }
            Err(why) => format!("{REFUSED}{why}").into_bytes(),
        };
        drop(mouth.write_all(&told));
    };
    let heard = fork::hears_by(until, read)
        .map_err(|errno| Error::io("cannot read the map of changes", &errno.into()))?;
    let told = heard.ok_or_else(|| {
        Error::timed_out("the map of changes cannot be read: a disk beneath it does not answer")
            .on(node.display())
    })?;
    if let Some(why) = told.strip_prefix(REFUSED.as_bytes()) {
        let why = String::from_utf8_lossy(why);
        return Err(Error::device(format!(
            "the map of changes cannot be read: {why}"
        )));
    }
    let (ends, _) = told.as_chunks::<8>();
    let (blocks, _) = ends.as_chunks::<2>();
    let number = |bytes: [u8; 8]| u64::from_le_bytes(bytes);
    Ok(blocks
        .iter()
        .map(|[start, end]| number(*start)..number(*end))
        .collect())
}

fn read(node: &Path, since: u32) -> std::result::Result<Vec<Range<u64>>, String> {
    let failed = |err: io::Error| err.to_string();
    let media = BlockMedia::try_open(node, Access::ReadOnly).map_err(failed)?;
    // The map is a few MiB for the largest volumes.
    let size = usize::try_from(media.size()).map_err(|_| "it is too large".to_owned())?;
    let (mut image, mut last) = (vec![0; size], String::new());
    for _ in 0..TRIES {
        media.read_at(0, &mut image).map_err(failed)?;
        match era::written_since(&image, since) {
            Ok(blocks) => return Ok(blocks),
            Err(why) => last = why,
        }
    }
    Err(last)
}

/// How many sectors have been written to a device or discarded on it since it was created.
pub fn writes(device: DevNo) -> Result<u64> {
    let path = format!("/sys/dev/block/{device}/stat");
    let text = std::fs::read_to_string(&path)
        .map_err(|err| Error::io(format!("cannot read '{path}'"), &err))?;
    count(&text).ok_or_else(|| Error::device(format!("'{path}' makes no sense")))
}

/// The sectors written are the seventh number, the sectors discarded the fourteenth, which old
/// kernels do not have.
fn count(stat: &str) -> Option<u64> {
    let numbers = numbers(stat);
    Some(numbers.get(6)? + numbers.get(13).unwrap_or(&0))
}

fn numbers(stat: &str) -> Vec<u64> {
    stat.split_ascii_whitespace()
        .map_while(|word| word.parse().ok())
        .collect()
}

/// What the kernel has counted for a device.
pub fn counters(device: DevNo) -> Option<Counters> {
    parse_counters(&std::fs::read_to_string(format!("/sys/dev/block/{device}/stat")).ok()?)
}

/// Requests, merged requests, sectors and milliseconds, first of reads, then of writes.
fn parse_counters(stat: &str) -> Option<Counters> {
    let [
        reads,
        _,
        sectors_read,
        read_ms,
        writes,
        _,
        sectors_written,
        write_ms,
    ] = *numbers(stat).first_chunk()?;
    Some(Counters {
        reads,
        sectors_read,
        read_ms,
        writes,
        sectors_written,
        write_ms,
    })
}

/// Whether discards can reach a device. A discard of several blocks is recorded in the first one
/// only (K33), so a map is trusted only where discards cannot reach the device.
pub fn takes_discards(device: DevNo) -> bool {
    std::fs::read_to_string(queue(device, "discard_max_bytes"))
        .map_or(true, |text| text.trim() != "0")
}

/// The file in `/sys` with the setting that keeps discards away from a device.
pub fn discard_switch(device: DevNo) -> std::path::PathBuf {
    queue(device, "discard_max_bytes")
}

fn queue(device: DevNo, setting: &str) -> std::path::PathBuf {
    format!("/sys/dev/block/{device}/queue/{setting}").into()
}

/// Whether the `era` target of this kernel release keeps what it has recorded when the machine goes
/// down: since Linux 5.12, and in those stable series that have the same fixes.
pub fn era_survives_crash(release: &str) -> bool {
    const REPAIRED: [(u32, u32, u32); 7] = [
        (4, 4, 259),
        (4, 9, 259),
        (4, 14, 223),
        (4, 19, 178),
        (5, 4, 102),
        (5, 10, 20),
        (5, 11, 3),
    ];
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|word| word.parse::<u32>().ok());
    let mut next = || numbers.next().flatten();
    let (Some(major), Some(minor)) = (next(), next()) else {
        return false;
    };
    let patch = next().unwrap_or(0);
    (major, minor) >= (5, 12)
        || REPAIRED
            .iter()
            .any(|(a, b, c)| (major, minor) == (*a, *b) && patch >= *c)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// A FIFO without a writer blocks its opener, as a disk that hangs does.
    #[test]
    fn a_map_that_does_not_answer_is_given_up() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("hangs");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let error = read_by(Instant::now() + Duration::from_millis(300), &fifo, 0).unwrap_err();
        assert_eq!(error.kind(), crate::error::Kind::TimedOut);
        let empty = directory.path().join("empty");
        std::fs::write(&empty, "").unwrap();
        let soon = Instant::now() + Duration::from_secs(20);
        let error = read_by(soon, &empty, 0).unwrap_err();
        assert_eq!(error.kind(), crate::error::Kind::Device, "{error}");
    }

    #[test]
    fn writes_and_discards_are_counted() {
        assert_eq!(count("1 0 8 2 3 0 24 9 0 1 1 2 0 16 0 0 0\n"), Some(40));
        assert_eq!(count("1 0 8 2 3 0 24 9 0 1 1"), Some(24));
        assert_eq!(count("1 2"), None);
    }

    #[test]
    fn reads_and_writes_are_told_apart() {
        let counters = parse_counters("  1 0  8 2 3 0 24 9 0 1 1 2 0 16 0 0 0\n");
        let wanted = Counters {
            reads: 1,
            sectors_read: 8,
            read_ms: 2,
            writes: 3,
            sectors_written: 24,
            write_ms: 9,
        };
        assert_eq!(counters, Some(wanted));
        for bad in ["", "1 0 8 2 3 0 24", "1 0 8 2 3 0 24 x"] {
            assert_eq!(parse_counters(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn old_kernels_are_told_apart() {
        for good in [
            "6.1.0-56-cloud-amd64",
            "5.12.0",
            "5.10.20-1",
            "4.19.178",
            "7.0",
        ] {
            assert!(era_survives_crash(good), "{good}");
        }
        for old in [
            "5.11.0-rc1",
            "5.10.19",
            "4.18.0-553.el8_10.x86_64",
            "3.10.0",
            "",
            "linux",
        ] {
            assert!(!era_survives_crash(old), "{old}");
        }
    }
}
