//! `vxstat`: a row for each volume, plex and disk.

use super::row::row;
use crate::app::{Counted, CounterLine};
use crate::error::{Error, Result};
use crate::model::units::SECTOR;

/// The unit of the BLOCKS columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatUnit {
    bytes: u64,
    suffix: &'static str,
}

impl Default for StatUnit {
    /// Sectors, without a suffix.
    fn default() -> StatUnit {
        StatUnit {
            bytes: SECTOR,
            suffix: "",
        }
    }
}

impl StatUnit {
    /// Reads a unit: `k`, `m` or `g`; `h` is not one for columns.
    pub fn parse(word: &str) -> Result<StatUnit> {
        let (bytes, suffix) = match word {
            "s" | "b" => (SECTOR, ""),
            "k" | "K" => (1 << 10, "k"),
            "m" | "M" => (1 << 20, "m"),
            "g" | "G" => (1 << 30, "g"),
            _ => {
                return Err(
                    Error::usage(format!("'{word}' is no unit")).hint("there are s, k, m and g")
                );
            }
        };
        Ok(StatUnit { bytes, suffix })
    }

    fn show(self, sectors: u64) -> String {
        let bytes = u128::from(sectors) * u128::from(SECTOR);
        format!("{}{}", bytes / u128::from(self.bytes), self.suffix)
    }
}

const WIDTHS: [usize; 7] = [3, 16, 9, 9, 11, 11, 7];

/// The heading and the rows.
pub fn stat(lines: &[CounterLine], before: &[CounterLine], unit: StatUnit) -> String {
    let mut text =
        String::from("                       OPERATIONS           BLOCKS          AVG TIME(ms)\n");
    let words = [
        "TYP", "NAME", "READ", "WRITE", "READ", "WRITE", "READ", "WRITE",
    ];
    text += &row(&WIDTHS, &words);
    text + &stat_rows(lines, before, unit)
}

/// The rows: what was done since `before`. An object whose device was made anew meanwhile is counted
/// from its beginning.
pub fn stat_rows(lines: &[CounterLine], before: &[CounterLine], unit: StatUnit) -> String {
    let known = |line: &CounterLine| {
        let mut known = before.iter();
        known.find(|old| old.group == line.group && old.of == line.of)
    };
    lines
        .iter()
        .map(|line| {
            one(
                &known(line).map_or_else(|| line.clone(), |old| since(line, old)),
                unit,
            )
        })
        .collect()
}

fn since(now: &CounterLine, old: &CounterLine) -> CounterLine {
    let mut line = now.clone();
    let (counts, old) = (&mut line.counters, &old.counters);
    if counts.reads < old.reads || counts.writes < old.writes {
        return line;
    }
    counts.reads -= old.reads;
    counts.sectors_read = counts.sectors_read.saturating_sub(old.sectors_read);
    counts.read_ms = counts.read_ms.saturating_sub(old.read_ms);
    counts.writes -= old.writes;
    counts.sectors_written = counts.sectors_written.saturating_sub(old.sectors_written);
    counts.write_ms = counts.write_ms.saturating_sub(old.write_ms);
    line
}

fn one(line: &CounterLine, unit: StatUnit) -> String {
    let counts = line.counters;
    let (kind, name) = match &line.of {
        Counted::Volume(name) => ("vol", name),
        Counted::Plex(_, name) => ("pl", name),
        Counted::Disk(name) => ("dm", name),
    };
    row(
        &WIDTHS,
        &[
            kind,
            name.as_str(),
            &counts.reads.to_string(),
            &counts.writes.to_string(),
            &unit.show(counts.sectors_read),
            &unit.show(counts.sectors_written),
            &average(counts.read_ms, counts.reads),
            &average(counts.write_ms, counts.writes),
        ],
    )
}

/// Milliseconds for each operation, with two decimals.
fn average(ms: u64, operations: u64) -> String {
    let hundredths = u128::from(ms) * 100 / u128::from(operations.max(1));
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::Name;
    use crate::sys::disk::Counters;

    fn line(counters: Counters) -> CounterLine {
        CounterLine {
            group: Name::parse("g").unwrap(),
            of: Counted::Volume(Name::parse("v").unwrap()),
            counters,
        }
    }

    #[test]
    fn a_row_has_the_words_of_its_heading_and_an_interval_only_what_is_new() {
        let first = Counters {
            reads: 3,
            sectors_read: 24,
            read_ms: 10,
            ..Counters::default()
        };
        let second = Counters {
            reads: 5,
            sectors_read: 2072,
            read_ms: 11,
            ..first
        };
        let text = stat(&[line(first)], &[], StatUnit::default());
        let rows: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(rows[1].len(), rows[2].len());
        assert_eq!(rows[2], ["vol", "v", "3", "0", "24", "0", "3.33", "0.00"]);
        let unit = StatUnit::parse("k").unwrap();
        let text = stat_rows(&[line(second)], &[line(first)], unit);
        let words: Vec<&str> = text.split_whitespace().collect();
        assert_eq!(words, ["vol", "v", "2", "0", "1024k", "0k", "0.50", "0.00"]);
        // Its device was made anew.
        let text = stat_rows(&[line(first)], &[line(second)], StatUnit::default());
        assert!(text.starts_with("vol v                3 "), "{text}");
    }
}
