//! The unit of lengths and offsets. Without `-u` they are bare numbers of 512-byte sectors.

use crate::error::{Error, Result};
use crate::model::Sectors;
use crate::model::units::{bytes_in_unit, human_bytes};
use std::str::FromStr;

/// The unit that `-u` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unit(Scale);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scale {
    /// Sectors, with their suffix.
    Sectors,
    /// For each value the unit that reads best.
    Best,
    /// One binary unit for all.
    Binary { suffix: char, shift: u32 },
}

impl FromStr for Unit {
    type Err = Error;

    /// `s`, `k`, `m`, `g`, `t`, or `h` for the one that reads best, in upper or lower case.
    fn from_str(word: &str) -> Result<Unit> {
        let binary = |suffix, shift| Scale::Binary { suffix, shift };
        let scale = match word.to_ascii_lowercase().as_str() {
            "s" => Scale::Sectors,
            "h" => Scale::Best,
            "k" => binary('k', 10),
            "m" => binary('m', 20),
            "g" => binary('g', 30),
            "t" => binary('t', 40),
            _ => {
                return Err(Error::usage(format!("'{word}' is not a unit"))
                    .hint("units are s (sectors), k, m, g, t and h (the one that reads best)"));
            }
        };
        Ok(Unit(scale))
    }
}

/// A length as text. What is not a whole number of the unit has two decimals, rounded down.
pub(super) fn show(length: Sectors, unit: Option<Unit>) -> String {
    match unit {
        None => length.get().to_string(),
        Some(Unit(Scale::Sectors)) => format!("{}s", length.get()),
        Some(Unit(Scale::Best)) => human_bytes(length.bytes()),
        Some(Unit(Scale::Binary { suffix, shift })) => bytes_in_unit(length.bytes(), suffix, shift),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_in_each_unit() {
        let shown = |unit: &str| show(Sectors::of(3 * 2048 + 512), unit.parse().ok());
        assert_eq!(
            ["", "s", "k", "M", "g", "t", "h"].map(shown),
            ["6656", "6656s", "3328k", "3.25m", "0g", "0t", "3.25m"]
        );
        assert_eq!(show(Sectors::ZERO, "m".parse().ok()), "0m");
    }
}
