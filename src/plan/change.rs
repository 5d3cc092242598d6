//! What a plan changes, in documented words: the report of a command that ran, and the summary of
//! one that did not.

use crate::model::Sectors;
use crate::model::units::{human_bytes, human_duration};
use std::fmt;

/// One thing that a command changes (or found already so).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The object, such as `g/v` or a device.
    pub object: String,
    /// What happens to it, such as `created`; a documented word.
    pub action: &'static str,
    /// Details for JSON (name → value) and, behind a colon, for people.
    pub details: Vec<(&'static str, Detail)>,
}

/// A detail of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Detail {
    /// Words.
    Text(String),
    /// A number without a unit, or in the unit that its name says.
    Number(u64),
    /// A size.
    Size(Sectors),
}

/// A line for people without its end, such as `g/v created: size 64m, plexes 2`.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.object, self.action.replace('-', " "))?;
        for (at, (name, detail)) in self.details.iter().enumerate() {
            let separator = if at == 0 { ": " } else { ", " };
            write!(f, "{separator}{}", words(name, detail))?;
        }
        Ok(())
    }
}

/// A detail for people; a number whose name ends in `_us` is a time, one in `_bytes` a size.
fn words(name: &str, detail: &Detail) -> String {
    let plain = |name: &str| name.replace('_', " ");
    match detail {
        Detail::Text(text) => format!("{} {text}", plain(name)),
        Detail::Size(size) => format!("{} {size}", plain(name)),
        Detail::Number(number) => match (name.strip_suffix("_us"), name.strip_suffix("_bytes")) {
            (Some(name), _) => format!("{} {}", plain(name), human_duration(*number)),
            (None, Some(name)) => format!("{} {}", plain(name), human_bytes(*number)),
            (None, None) => format!("{} {number}", plain(name)),
        },
    }
}

impl Change {
    /// A change without details.
    pub fn new(object: impl Into<String>, action: &'static str) -> Change {
        Change {
            object: object.into(),
            action,
            details: Vec::new(),
        }
    }

    /// Adds words.
    #[must_use]
    pub fn text(mut self, name: &'static str, value: impl ToString) -> Change {
        self.details.push((name, Detail::Text(value.to_string())));
        self
    }

    /// Adds a size.
    #[must_use]
    pub fn size(mut self, name: &'static str, value: Sectors) -> Change {
        self.details.push((name, Detail::Size(value)));
        self
    }

    /// Adds a number.
    #[must_use]
    pub fn number(mut self, name: &'static str, value: u64) -> Change {
        self.details.push((name, Detail::Number(value)));
        self
    }
}
