//! What a plan changes, in documented words: the report of a command that ran, and the summary of
//! one that did not.

use crate::model::Sectors;

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
