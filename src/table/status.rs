//! The status line of dm's `mirror` target, parsed strictly (kernel rules K1 and K15).

use crate::model::DevNo;
use crate::table::TargetLine;

/// The health of one leg as the kernel reports it. The letters are dm-raid1's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LegHealth {
    /// `A`: alive.
    Alive,
    /// `D`: a write failed.
    WriteFailed,
    /// `S`: resynchronisation failed.
    SyncFailed,
    /// `R`: a read failed.
    ReadFailed,
    /// `F`: a flush failed.
    FlushFailed,
    /// `U`, or a letter that this program does not know.
    Unknown,
}

impl LegHealth {
    /// The health that the kernel's letter stands for.
    pub fn from_letter(letter: u8) -> LegHealth {
        match letter {
            b'A' => LegHealth::Alive,
            b'D' => LegHealth::WriteFailed,
            b'S' => LegHealth::SyncFailed,
            b'R' => LegHealth::ReadFailed,
            b'F' => LegHealth::FlushFailed,
            _ => LegHealth::Unknown,
        }
    }

    /// The letter that the kernel uses for it.
    pub fn letter(self) -> char {
        match self {
            LegHealth::Alive => 'A',
            LegHealth::WriteFailed => 'D',
            LegHealth::SyncFailed => 'S',
            LegHealth::ReadFailed => 'R',
            LegHealth::FlushFailed => 'F',
            LegHealth::Unknown => 'U',
        }
    }

    /// What it means, as text.
    pub fn words(self) -> &'static str {
        match self {
            LegHealth::Alive => "alive",
            LegHealth::WriteFailed => "a write failed",
            LegHealth::SyncFailed => "resynchronisation failed",
            LegHealth::ReadFailed => "a read failed",
            LegHealth::FlushFailed => "a flush failed",
            LegHealth::Unknown => "unknown",
        }
    }
}

/// The status of all segments of one mirror device together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorStatus {
    /// The device numbers of the legs, in table order.
    pub legs: Vec<(DevNo, LegHealth)>,
    /// The number of regions that are in sync.
    pub done: u64,
    /// The number of all regions.
    pub total: u64,
    /// Whether the dirty region log has failed.
    pub log_failed: bool,
}

impl MirrorStatus {
    /// Whether the mirror is in sync: every region is, every letter is `A`, and the log is alive.
    /// Nothing less counts (K15).
    pub fn in_sync(&self) -> bool {
        self.done == self.total
            && !self.log_failed
            && self
                .legs
                .iter()
                .all(|(_, health)| *health == LegHealth::Alive)
    }
}

impl MirrorStatus {
    /// Parses the status lines of one device; `None` unless every one is a well-formed mirror over
    /// the same legs.
    ///
    /// A line is `<legs> <dev>… <done>/<total> 1 <letters> <n> <log type> [<log dev> <letter>]`.
    pub fn parse(lines: &[TargetLine]) -> Option<MirrorStatus> {
        let mut segments = lines.iter().map(|line| {
            (line.target == "mirror")
                .then(|| parse_segment(&line.params))
                .flatten()
        });
        let first = segments.next()??;
        segments.try_fold(first, |sum, segment| sum.merge(segment?))
    }

    /// Adds up two segments; `None` when they are not over the same legs.
    fn merge(mut self, other: MirrorStatus) -> Option<MirrorStatus> {
        if self.legs.len() != other.legs.len() {
            return None;
        }
        for (mine, theirs) in self.legs.iter_mut().zip(&other.legs) {
            if mine.0 != theirs.0 {
                return None;
            }
            if mine.1 == LegHealth::Alive {
                mine.1 = theirs.1;
            }
        }
        self.done = self.done.checked_add(other.done)?;
        self.total = self.total.checked_add(other.total)?;
        self.log_failed |= other.log_failed;
        Some(self)
    }

    /// The legs that are not alive, by their position in the table.
    pub fn failed_legs(&self) -> Vec<(usize, LegHealth)> {
        self.legs
            .iter()
            .enumerate()
            .filter(|(_, (_, h))| *h != LegHealth::Alive)
            .map(|(at, (_, h))| (at, *h))
            .collect()
    }

    /// Whether a leg or the log has failed. Then the kernel holds writes, or is going to (K2).
    pub fn has_failed(&self) -> bool {
        self.log_failed
            || self
                .legs
                .iter()
                .any(|(_, health)| *health != LegHealth::Alive)
    }

    /// The letters of all legs as the kernel prints them.
    pub fn letters(&self) -> String {
        self.legs
            .iter()
            .map(|(_, health)| health.letter())
            .collect()
    }
}

/// The part of a status that is news: whether a copy is complete and what has failed, but not how
/// far the copy is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    letters: String,
    equal: bool,
    log_failed: bool,
}

impl Seen {
    /// Takes the news out of a status.
    pub fn of(status: &MirrorStatus) -> Seen {
        Seen {
            letters: status.letters(),
            equal: status.done == status.total,
            log_failed: status.log_failed,
        }
    }
}

/// The most legs that dm-raid1 takes in one mirror (the original and kcopyd's eight destinations).
pub const MAX_LEGS: usize = 9;

fn parse_segment(params: &str) -> Option<MirrorStatus> {
    let mut words = params.split_ascii_whitespace();
    let count: usize = words.next()?.parse().ok()?;
    if !(2..=MAX_LEGS).contains(&count) {
        return None;
    }
    let devices = words
        .by_ref()
        .take(count)
        .map(parse_devno)
        .collect::<Option<Vec<_>>>()?;
    let (done, total) = words.next()?.split_once('/')?;
    let (done, total): (u64, u64) = (done.parse().ok()?, total.parse().ok()?);
    if devices.len() != count || words.next()? != "1" || done > total || total == 0 {
        return None;
    }
    let letters = words.next().filter(|letters| letters.len() == count)?;
    let log_words: usize = words.next()?.parse().ok()?;
    let log: Vec<&str> = words.collect();
    let log_failed = match (log.len() == log_words, log.as_slice()) {
        (true, ["core"]) => false,
        (true, ["disk", _, letter]) => *letter != "A",
        _ => return None,
    };
    let legs = devices
        .into_iter()
        .zip(letters.bytes().map(LegHealth::from_letter))
        .collect();
    Some(MirrorStatus {
        legs,
        done,
        total,
        log_failed,
    })
}

/// Parses a device number, `major:minor`; `None` when the word is not of that form.
pub fn parse_devno(word: &str) -> Option<DevNo> {
    let (major, minor) = word.split_once(':')?;
    Some(DevNo {
        major: major.parse().ok()?,
        minor: minor.parse().ok()?,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::Sectors;

    fn status(lines: &[&str]) -> Option<MirrorStatus> {
        let line = |params: &&str| TargetLine {
            start: Sectors::ZERO,
            length: Sectors::of(8),
            target: "mirror".to_owned(),
            params: (*params).to_owned(),
        };
        MirrorStatus::parse(&lines.iter().map(line).collect::<Vec<_>>())
    }

    #[test]
    fn in_sync_needs_every_region_and_every_letter() {
        for (line, expected) in [
            ("2 253:3 253:4 64/64 1 AA 1 core", true),
            ("2 253:3 253:4 128/128 1 AA 3 disk 253:5 A", true),
            ("2 253:3 253:4 63/64 1 AA 1 core", false),
            ("2 253:3 253:4 64/64 1 AD 1 core", false),
            ("2 253:3 253:4 64/64 1 RA 1 core", false),
            ("2 253:3 253:4 64/64 1 AS 1 core", false),
            ("2 253:3 253:4 64/64 1 AF 1 core", false),
            ("2 253:3 253:4 64/64 1 AU 1 core", false),
            ("2 253:3 253:4 64/64 1 A? 1 core", false),
            ("2 253:3 253:4 128/128 1 AA 3 disk 253:5 D", false),
        ] {
            assert_eq!(status(&[line]).unwrap().in_sync(), expected, "{line}");
        }
    }

    #[test]
    fn segments_add_up() {
        let sum = status(&[
            "2 253:3 253:4 10/10 1 AA 1 core",
            "2 253:3 253:4 3/10 1 AD 1 core",
        ])
        .unwrap();
        assert_eq!(
            (sum.done, sum.total, sum.letters().as_str()),
            (13, 20, "AD")
        );
        assert_eq!(sum.failed_legs(), vec![(1, LegHealth::WriteFailed)]);
    }

    #[test]
    fn malformed_lines_are_no_status() {
        for line in [
            "",
            "2",
            "1 253:3 64/64 1 A 1 core",
            "10 1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1 1:1 1/1 1 AAAAAAAAAA 1 core",
            "2 253:3 253:4 65/64 1 AA 1 core",
            "2 253:3 253:4 0/0 1 AA 1 core",
            "2 253:3 253:4 64/64 1 A 1 core",
            "2 253:3 253:4 64/64 1 AA 2 core",
            "2 253:3 253:4 64/64 1 AA 1 clustered-core",
            "2 253:3 x 64/64 1 AA 1 core",
            "99999999999999999999 253:3",
        ] {
            assert_eq!(status(&[line]), None, "{line}");
        }
        assert_eq!(MirrorStatus::parse(&[]), None);
    }
}
