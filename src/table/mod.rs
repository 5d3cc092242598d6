//! Device-mapper tables and status lines. They are rendered and parsed only here. Pure.
//!
//! A table names disks and devices symbolically ([`DevRef`]); device numbers are put in when it is
//! loaded.

pub mod dco;
mod device;
pub mod era;
pub mod log;
pub mod stack;
pub mod status;

use crate::model::{DiskId, Role, Sectors};
pub use device::{DmDevice, Links, SuspendMode, TargetLine};

/// The target that fails all I/O.
pub const ERROR: &str = "error";

/// A device that a table line refers to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DevRef {
    /// A disk of the group.
    Disk(DiskId),
    /// Another device of the same volume's stack.
    Device(Role),
}

/// What a mirror assumes about its legs when it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Initial {
    /// Nothing: all regions are copied from the first leg.
    Unknown,
    /// The legs are equal (`nosync`: no synchronisation needed). It is used only where a suspend or
    /// a clean stop has proven it.
    Equal,
}

/// Where a mirror records which regions are in sync.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LogKind {
    /// In memory (dm's `core` log), with what is assumed at the start.
    Core(Initial),
    /// On a device of the stack (dm's `disk` log). The log's contents decide what is in sync (K6).
    Disk(Role),
    /// The same over legs that are equal: if the log cannot be read, all counts as in sync, and the
    /// kernel holds writes for the failed log instead of writing to the first leg alone.
    DiskEqual(Role),
}

/// The target of one line of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// dm-linear: a piece of another device.
    Linear {
        /// The device that the piece is on.
        on: DevRef,
        /// The first sector of the piece on that device.
        offset: Sectors,
    },
    /// dm-raid1, always with `handle_errors` (K1).
    Mirror {
        /// Where the mirror records which regions are in sync.
        log: LogKind,
        /// Region size, a power of two.
        region: Sectors,
        /// Each leg with the offset at which the mirror starts on it; reads go to the first.
        legs: Vec<(DevRef, Sectors)>,
    },
    /// dm-era: passes all I/O on and records which blocks are written.
    Era {
        /// The metadata device, on which it records them.
        map: DevRef,
        /// The device that it passes the I/O on to.
        data: DevRef,
        /// The size of the blocks that it tells apart.
        block: Sectors,
    },
    /// dm-zero: accepts every write, and reads as zeroes.
    Zero,
}

/// One line of a table: a target with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The first sector of the line.
    pub start: Sectors,
    /// The number of sectors.
    pub length: Sectors,
    /// The target of these sectors.
    pub target: Target,
}

/// A whole table: its lines in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table(pub Vec<Line>);

impl Table {
    /// Whether it has a mirror.
    pub fn is_mirror(&self) -> bool {
        self.0
            .iter()
            .any(|line| matches!(line.target, Target::Mirror { .. }))
    }

    /// Whether it records what is written: it has an `era`.
    pub fn is_era(&self) -> bool {
        self.0
            .iter()
            .any(|line| matches!(line.target, Target::Era { .. }))
    }

    /// The disks that its lines refer to directly.
    pub fn disks(&self) -> Vec<DiskId> {
        let on = |line: &'_ Line| match &line.target {
            Target::Linear { on, .. } => vec![on.clone()],
            Target::Mirror { legs, .. } => legs.iter().map(|(leg, _)| leg.clone()).collect(),
            Target::Era { .. } | Target::Zero => Vec::new(),
        };
        let disk = |on| {
            if let DevRef::Disk(id) = on {
                Some(id)
            } else {
                None
            }
        };
        self.0.iter().flat_map(on).filter_map(disk).collect()
    }

    /// Renders the table with errors in the place of what lies on the disks in `lost`, which can be
    /// neither read nor written.
    pub fn render_without(
        &self,
        lost: &[DiskId],
        number: &dyn Fn(&DevRef) -> Option<String>,
    ) -> Option<Vec<TargetLine>> {
        let is_lost = |line: &Line| matches!(&line.target, Target::Linear { on: DevRef::Disk(id), .. } if lost.contains(id));
        let error = |line: &Line| TargetLine {
            start: line.start,
            length: line.length,
            target: ERROR.to_owned(),
            params: String::new(),
        };
        self.0
            .iter()
            .map(|line| {
                if is_lost(line) {
                    Some(error(line))
                } else {
                    render_line(line, number)
                }
            })
            .collect()
    }

    /// Renders the table as the kernel accepts it; `None` when something that it refers to has no
    /// device number (yet).
    pub fn render(&self, number: &dyn Fn(&DevRef) -> Option<String>) -> Option<Vec<TargetLine>> {
        self.0
            .iter()
            .map(|line| render_line(line, number))
            .collect()
    }
}

fn render_line(line: &Line, number: &dyn Fn(&DevRef) -> Option<String>) -> Option<TargetLine> {
    let (target, params) = match &line.target {
        Target::Linear { on, offset } => ("linear", format!("{} {}", number(on)?, offset.get())),
        Target::Mirror { log, region, legs } => {
            ("mirror", render_mirror(log, *region, legs, number)?)
        }
        Target::Era { map, data, block } => (
            "era",
            format!("{} {} {}", number(map)?, number(data)?, block.get()),
        ),
        Target::Zero => ("zero", String::new()),
    };
    Some(TargetLine {
        start: line.start,
        length: line.length,
        target: target.to_owned(),
        params,
    })
}

fn render_mirror(
    log: &LogKind,
    region: Sectors,
    legs: &[(DevRef, Sectors)],
    number: &dyn Fn(&DevRef) -> Option<String>,
) -> Option<String> {
    let region = region.get();
    let mut words = match log {
        LogKind::Core(Initial::Unknown) => format!("core 1 {region}"),
        LogKind::Core(Initial::Equal) => format!("core 2 {region} nosync"),
        LogKind::Disk(role) => {
            format!("disk 2 {} {region}", number(&DevRef::Device(role.clone()))?)
        }
        LogKind::DiskEqual(role) => {
            format!(
                "disk 3 {} {region} nosync",
                number(&DevRef::Device(role.clone()))?
            )
        }
    };
    words += &format!(" {}", legs.len());
    for (leg, offset) in legs {
        words += &format!(" {} {}", number(leg)?, offset.get());
    }
    Some(words + " 1 handle_errors")
}

/// Whether two tables map the same way. `sync` and `nosync` only matter when a table is loaded, and
/// are ignored.
pub fn same_mapping(a: &[TargetLine], b: &[TargetLine]) -> bool {
    let plain = |line: &TargetLine| {
        (
            line.start,
            line.length,
            line.target.clone(),
            without_sync_word(line),
        )
    };
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| plain(a) == plain(b))
}

fn without_sync_word(line: &TargetLine) -> Vec<String> {
    let mut words: Vec<String> = line
        .params
        .split_ascii_whitespace()
        .map(str::to_owned)
        .collect();
    let Some(count) = words
        .get(1)
        .and_then(|w| w.parse::<usize>().ok())
        .filter(|_| line.target == "mirror")
    else {
        return words;
    };
    let last = count.saturating_add(1);
    if words
        .get(last)
        .is_some_and(|w| w == "sync" || w == "nosync")
    {
        words.remove(last);
        words[1] = (count - 1).to_string();
    }
    words
}

/// The parts that are to be taken out of a live mirror.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Without<'a> {
    /// The positions of its legs to be taken out.
    pub legs: &'a [usize],
    /// Whether its dirty region log, if it has one, is taken out, too.
    pub log: bool,
}

/// Renders the table that remains of a live one when parts are taken out of it. The surviving legs
/// stay as they are.
///
/// Returns `None` when it is not a mirror, or when no leg would be left. `equal` says that the
/// surviving legs are known to be equal.
pub fn without(live: &[TargetLine], gone: Without<'_>, equal: bool) -> Option<Vec<TargetLine>> {
    live.iter()
        .map(|line| line_without(line, gone, equal))
        .collect()
}

fn line_without(line: &TargetLine, gone: Without<'_>, equal: bool) -> Option<TargetLine> {
    let words: Vec<&str> = line.params.split_ascii_whitespace().collect();
    let log_words: usize = words
        .get(1)
        .filter(|_| line.target == "mirror")?
        .parse()
        .ok()?;
    let legs_at = log_words.checked_add(2)?;
    let region = *words
        .get(2..legs_at)?
        .get(usize::from(words[0] == "disk"))?;
    region.parse::<u64>().ok()?;
    let legs = legs(words.get(legs_at..)?)?;
    let survivors: Vec<String> = legs
        .into_iter()
        .enumerate()
        .filter(|(n, _)| !gone.legs.contains(n))
        .map(|(_, leg)| leg.join(" "))
        .collect();
    let (target, params) = match survivors.as_slice() {
        [] => return None,
        [only] => ("linear", only.clone()),
        many => {
            let log = match (words[0], gone.log, equal) {
                ("disk", false, _) => words.get(..legs_at)?.join(" "),
                ("disk" | "core", _, true) => format!("core 2 {region} nosync"),
                ("disk" | "core", _, false) => format!("core 1 {region}"),
                _ => return None,
            };
            (
                "mirror",
                format!("{log} {} {} 1 handle_errors", many.len(), many.join(" ")),
            )
        }
    };
    Some(TargetLine {
        target: target.to_owned(),
        params,
        ..line.clone()
    })
}

/// Parses the legs from their count on, each one a device and an offset; `None` when some are
/// missing.
fn legs<'w>(words: &[&'w str]) -> Option<Vec<[&'w str; 2]>> {
    let (count, words) = words.split_first()?;
    let words = words.get(..count.parse::<usize>().ok()?.checked_mul(2)?)?;
    let leg = |leg: &[&'w str]| match leg {
        [dev, offset] => (status::parse_devno(dev).is_some() && offset.parse::<u64>().is_ok())
            .then_some([*dev, *offset]),
        _ => None,
    };
    words.chunks(2).map(leg).collect()
}

/// The largest region while legs are being filled: K4 asks for at least 2 MiB, K10 for not much
/// more.
pub const SYNC_REGION: Sectors = Sectors::mib(2);

/// A legal region size for a mirror of this length: a power of two, not larger than the length;
/// `wanted` where that fits.
pub fn region_for(length: Sectors, wanted: Sectors) -> Sectors {
    let largest = if length.get() == 0 {
        1
    } else {
        1u64 << (63 - length.get().leading_zeros())
    };
    Sectors::new(largest).map_or(wanted, |largest| wanted.min(largest))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn line(target: &str, params: &str) -> TargetLine {
        TargetLine {
            start: Sectors::ZERO,
            length: Sectors::of(2048),
            target: target.to_owned(),
            params: params.to_owned(),
        }
    }

    #[test]
    fn the_sync_word_makes_no_difference_to_a_live_table() {
        let plain = line("mirror", "core 1 4096 2 253:1 0 253:2 0 1 handle_errors");
        let nosync = line(
            "mirror",
            "core 2 4096 nosync 2 253:1 0 253:2 0 1 handle_errors",
        );
        let other = line("mirror", "core 1 4096 2 253:1 0 253:3 0 1 handle_errors");
        let disk = line(
            "mirror",
            "disk 3 253:9 4096 nosync 2 253:1 0 253:2 0 1 handle_errors",
        );
        assert!(same_mapping(std::slice::from_ref(&plain), &[nosync]));
        assert!(!same_mapping(std::slice::from_ref(&plain), &[other]));
        assert!(!same_mapping(&[plain], &[disk]));
        assert!(!same_mapping(&[], &[line("linear", "8:0 0")]));
    }

    fn out(legs: &[usize]) -> Without<'_> {
        Without { legs, log: false }
    }

    #[test]
    fn failed_legs_leave_the_survivors() {
        let three = line(
            "mirror",
            "disk 2 253:9 4096 3 253:1 0 253:2 0 253:3 8 1 handle_errors",
        );
        let two = without(std::slice::from_ref(&three), out(&[1]), true).unwrap();
        assert_eq!(
            two[0].params,
            "disk 2 253:9 4096 2 253:1 0 253:3 8 1 handle_errors"
        );
        let one = without(std::slice::from_ref(&three), out(&[0, 1]), true).unwrap();
        assert_eq!(
            (one[0].target.as_str(), one[0].params.as_str()),
            ("linear", "253:3 8")
        );
        let no_log = |legs, equal| {
            without(
                std::slice::from_ref(&three),
                Without { legs, log: true },
                equal,
            )
            .unwrap()[0]
                .params
                .clone()
        };
        assert_eq!(
            no_log(&[], true),
            "core 2 4096 nosync 3 253:1 0 253:2 0 253:3 8 1 handle_errors"
        );
        assert_eq!(
            no_log(&[0], false),
            "core 1 4096 2 253:2 0 253:3 8 1 handle_errors"
        );
        let core = line(
            "mirror",
            "core 2 4096 nosync 3 253:1 0 253:2 0 253:3 0 1 handle_errors",
        );
        assert_eq!(
            without(&[core], out(&[2]), false).unwrap()[0].params,
            "core 1 4096 2 253:1 0 253:2 0 1 handle_errors"
        );
        assert_eq!(without(&[line("linear", "8:0 0")], out(&[0]), true), None);
    }

    #[test]
    fn a_mirror_that_is_not_understood_is_left_alone() {
        for params in [
            "core 1 4096 3 253:1 0 253:2 0 1 handle_errors",
            "core 1 4096 2 253:1 0 253:2",
            "core 1 4096 2 253:1 0 sda 0 1 handle_errors",
            "core 1 4096 2 253:1 0 253:2 x 1 handle_errors",
            "core 0 2 253:1 0 253:2 0 1 handle_errors",
            "core 1 big 2 253:1 0 253:2 0 1 handle_errors",
            "disk 1 253:9 2 253:1 0 253:2 0 1 handle_errors",
            "clustered-core 1 4096 2 253:1 0 253:2 0 1 handle_errors",
            "core 18446744073709551615 4096 2 253:1 0 253:2 0",
            "core 1 4096 18446744073709551615 253:1 0 253:2 0",
        ] {
            assert_eq!(
                without(&[line("mirror", params)], out(&[]), false),
                None,
                "{params}"
            );
        }
    }

    #[test]
    fn regions_are_powers_of_two_within_the_length() {
        for (length, expected) in [(8, 8), (4095, 2048), (4096, 4096), (1 << 20, 4096)] {
            assert_eq!(
                region_for(Sectors::of(length), SYNC_REGION),
                Sectors::of(expected)
            );
        }
    }
}
