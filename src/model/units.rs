//! Sizes. Everything on a disk is counted in sectors of 512 bytes, as in device-mapper; people see
//! bytes with binary suffixes.

use crate::error::{Error, Result};
use std::fmt;
use std::iter::Sum;

/// Bytes in a sector: device-mapper's unit, whatever the disk's own sector size is.
pub const SECTOR: u64 = 512;

/// A length or an offset in sectors of 512 bytes. It is never more than `i64::MAX` bytes, so that a
/// count of bytes always fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Sectors(u64);

impl Sectors {
    /// A length of zero.
    pub const ZERO: Sectors = Sectors(0);
    /// The largest length that can be expressed (one sector less than 2^63 bytes).
    pub const MAX: Sectors = Sectors(i64::MAX as u64 / SECTOR);
    /// One mebibyte: the alignment of everything that breakoff allocates.
    pub const MIB: Sectors = Sectors(2048);

    /// A count of sectors; `None` when it is more than [`Sectors::MAX`].
    pub const fn new(count: u64) -> Option<Sectors> {
        if count <= Sectors::MAX.0 {
            Some(Sectors(count))
        } else {
            None
        }
    }

    /// A small constant number of sectors.
    pub const fn of(count: u32) -> Sectors {
        Sectors(count as u64)
    }

    /// A small constant number of mebibytes.
    pub const fn mib(count: u32) -> Sectors {
        Sectors(count as u64 * 2048)
    }

    /// The whole sectors in this many bytes, rounded down; at most [`Sectors::MAX`].
    pub const fn from_bytes_floor(bytes: u64) -> Sectors {
        let count = bytes / SECTOR;
        Sectors(if count > Sectors::MAX.0 {
            Sectors::MAX.0
        } else {
            count
        })
    }

    /// The number of sectors.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0 * SECTOR
    }

    /// Whether the length is zero.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The sum, or `None` when it does not fit.
    pub fn checked_add(self, other: Sectors) -> Option<Sectors> {
        Sectors::new(self.0.checked_add(other.0)?)
    }

    /// The difference, or `None` when `other` is larger.
    pub fn checked_sub(self, other: Sectors) -> Option<Sectors> {
        self.0.checked_sub(other.0).map(Sectors)
    }

    /// The difference, or zero when `other` is larger.
    pub fn saturating_sub(self, other: Sectors) -> Sectors {
        Sectors(self.0.saturating_sub(other.0))
    }

    /// The sum, at most [`Sectors::MAX`].
    pub fn saturating_add(self, other: Sectors) -> Sectors {
        Sectors(self.0.saturating_add(other.0).min(Sectors::MAX.0))
    }

    /// The value rounded up to a multiple of `unit` (not zero); at most the largest multiple that
    /// fits.
    pub fn round_up(self, unit: Sectors) -> Sectors {
        let down = self.round_down(unit);
        if down == self {
            self
        } else {
            down.checked_add(unit)
                .unwrap_or(Sectors::MAX.round_down(unit))
        }
    }

    /// The value rounded down to a multiple of `unit` (not zero).
    pub fn round_down(self, unit: Sectors) -> Sectors {
        Sectors(self.0 - self.0 % unit.0)
    }
}

impl Sum for Sectors {
    fn sum<I: Iterator<Item = Sectors>>(iter: I) -> Sectors {
        iter.fold(Sectors::ZERO, Sectors::saturating_add)
    }
}

/// Prints the size as people read it: `1.5g`, `64m`, `512` (bytes), with at most two decimals.
impl fmt::Display for Sectors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&human_bytes(self.bytes()))
    }
}

/// The unit in which a device reads and writes: its logical block size, which filesystems and
/// databases call its sector size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SectorSize(u32);

impl SectorSize {
    /// The size that every program can work with.
    pub const SMALLEST: SectorSize = SectorSize(512);
    /// The largest size that a disk of breakoff may have; everything that is allocated is aligned
    /// to it.
    pub const LARGEST: SectorSize = SectorSize(4096);

    /// A size of this many bytes; `None` unless it is a power of two from 512 to 4096.
    pub const fn new(bytes: u32) -> Option<SectorSize> {
        if bytes.is_power_of_two()
            && bytes >= SectorSize::SMALLEST.0
            && bytes <= SectorSize::LARGEST.0
        {
            Some(SectorSize(bytes))
        } else {
            None
        }
    }

    /// The size in bytes.
    pub const fn bytes(self) -> u32 {
        self.0
    }
}

impl fmt::Display for SectorSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

const UNITS: [(char, u32); 4] = [('t', 40), ('g', 30), ('m', 20), ('k', 10)];

/// Microseconds as text in the unit that reads best, such as `850 us` or `12.3 ms`.
pub fn human_duration(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} us"),
        1_000..1_000_000 => format!("{}.{} ms", us / 1_000, us % 1_000 / 100),
        _ => format!("{}.{} s", us / 1_000_000, us % 1_000_000 / 100_000),
    }
}

/// Bytes as text with a binary suffix and at most two decimals, rounded down.
pub fn human_bytes(bytes: u64) -> String {
    UNITS
        .into_iter()
        .find(|(_, shift)| bytes >= 1 << shift)
        .map_or_else(
            || bytes.to_string(),
            |(suffix, shift)| bytes_in_unit(bytes, suffix, shift),
        )
}

/// Bytes as text in the unit of two to the power `shift`, at most 63, bytes, with its suffix and at
/// most two decimals, rounded down.
pub fn bytes_in_unit(bytes: u64, suffix: char, shift: u32) -> String {
    let whole = bytes >> shift;
    let hundredths = (u128::from(bytes & ((1 << shift) - 1)) * 100) >> shift;
    match (hundredths, hundredths % 10) {
        (0, _) => format!("{whole}{suffix}"),
        (h, 0) => format!("{whole}.{}{suffix}", h / 10),
        (h, _) => format!("{whole}.{h:02}{suffix}"),
    }
}

/// The unit of a number without a suffix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultUnit {
    /// Bytes (the native command line).
    Bytes,
    /// Sectors (VxVM's command line).
    Sectors,
}

/// Parses a size such as `10g`, `1.5m`, `2048s` or `4096`, and rounds it up to whole sectors. Fails
/// with `Usage` when it is not a size.
pub fn parse_size(word: &str, unit: DefaultUnit) -> Result<Sectors> {
    let bad = || {
        Error::usage(format!("'{word}' is not a size"))
            .hint("sizes are like 512k, 64m, 10g, 2t or 2048s (sectors)")
    };
    let lower = word.to_ascii_lowercase();
    let trimmed = lower.strip_suffix("ib").or_else(|| {
        lower
            .strip_suffix('b')
            .filter(|w| w.ends_with(['k', 'm', 'g', 't']))
    });
    let lower = trimmed.unwrap_or(&lower);
    let (digits, scale): (&str, u128) = match lower.chars().last().ok_or_else(bad)? {
        's' => (&lower[..lower.len() - 1], u128::from(SECTOR)),
        'b' if unit == DefaultUnit::Sectors => (&lower[..lower.len() - 1], u128::from(SECTOR)),
        c @ ('k' | 'm' | 'g' | 't') => {
            let shift = UNITS
                .iter()
                .find(|(suffix, _)| *suffix == c)
                .map_or(0, |(_, shift)| *shift);
            (&lower[..lower.len() - 1], 1 << shift)
        }
        _ if unit == DefaultUnit::Sectors => (lower, u128::from(SECTOR)),
        _ => (lower, 1),
    };
    let bytes = scaled(digits, scale).ok_or_else(bad)?;
    u64::try_from(bytes.div_ceil(u128::from(SECTOR)))
        .ok()
        .and_then(Sectors::new)
        .ok_or_else(|| Error::usage(format!("'{word}' is more than any device can hold")))
}

/// A decimal number with an optional fraction, times a scale, rounded up; `None` when it is not a
/// number.
fn scaled(digits: &str, scale: u128) -> Option<u128> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let numeric = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty()
        || whole.len() > 20
        || fraction.len() > 9
        || !numeric(whole)
        || !numeric(fraction)
    {
        return None;
    }
    if digits.contains('.') && fraction.is_empty() {
        return None;
    }
    let whole: u128 = whole.parse().ok()?;
    let part: u128 = if fraction.is_empty() {
        0
    } else {
        fraction.parse().ok()?
    };
    let denominator = 10u128.pow(u32::try_from(fraction.len()).ok()?);
    whole
        .checked_mul(scale)?
        .checked_add((part * scale).div_ceil(denominator))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_parse_in_both_default_units() {
        let bytes = |w| parse_size(w, DefaultUnit::Bytes).map(Sectors::get);
        assert_eq!(bytes("4096"), Ok(8));
        assert_eq!(bytes("1"), Ok(1));
        assert_eq!(bytes("10s"), Ok(10));
        assert_eq!(bytes("64m"), Ok(131_072));
        assert_eq!(bytes("1.5G"), Ok(3 * 1024 * 1024));
        assert_eq!(bytes("64MiB"), Ok(131_072));
        assert_eq!(
            parse_size("2048", DefaultUnit::Sectors).map(Sectors::get),
            Ok(2048)
        );
        assert_eq!(
            parse_size("2048b", DefaultUnit::Sectors).map(Sectors::get),
            Ok(2048)
        );
    }

    #[test]
    fn nonsense_is_not_a_size() {
        for word in [
            "",
            "m",
            "-1",
            "1.",
            "1..5m",
            "1x",
            "0x10",
            "99999999999999999999t",
            "1 m",
            "½g",
            "16777216t",
        ] {
            assert_eq!(
                parse_size(word, DefaultUnit::Bytes).map_err(|e| e.kind()),
                Err(crate::error::Kind::Usage),
                "{word}"
            );
        }
    }

    #[test]
    fn sizes_are_shown_short() {
        let shown = |s: &str| parse_size(s, DefaultUnit::Bytes).map(|s| s.to_string());
        for word in ["64m", "1.5g", "2t", "512", "1.25k"] {
            assert_eq!(
                shown(word).as_deref(),
                Ok(if word == "1.25k" { "1.5k" } else { word })
            );
        }
    }

    #[test]
    fn sectors_are_powers_of_two_up_to_a_page() {
        let sizes: Vec<u32> = (0..=8192)
            .filter_map(SectorSize::new)
            .map(SectorSize::bytes)
            .collect();
        assert_eq!(sizes, [512, 1024, 2048, 4096]);
    }

    #[test]
    fn rounding_never_overflows() {
        assert_eq!(Sectors::of(1).round_up(Sectors::MIB), Sectors::MIB);
        assert_eq!(
            Sectors::MAX.round_up(Sectors::MIB),
            Sectors::MAX.round_down(Sectors::MIB)
        );
        assert_eq!(Sectors::MIB.round_up(Sectors::MIB), Sectors::MIB);
    }

    #[test]
    fn durations_read_well() {
        assert_eq!(
            [0, 999, 12_345, 2_050_000].map(human_duration),
            ["0 us", "999 us", "12.3 ms", "2.0 s"]
        );
    }
}
