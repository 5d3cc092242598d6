//! A record as VxVM has them: a kind and named fields. All forms ask it for fields by name, and only
//! here.

use super::unit::{self, Unit};
use crate::model::Sectors;

/// The kinds of records that a group of ours can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A disk group.
    Dg,
    /// A disk of a group.
    Dm,
    /// A volume.
    V,
    /// A plex, or the dirty region log as a plex of its own.
    Pl,
    /// A subdisk.
    Sd,
    /// The data change object of a volume whose changes are tracked.
    Dc,
    /// A snap object: one end of the relation between a snapshot and its original.
    Sp,
}

impl Kind {
    /// All kinds, in the order of their headings.
    pub const ALL: [Kind; 7] = [
        Kind::Dg,
        Kind::Dm,
        Kind::V,
        Kind::Pl,
        Kind::Sd,
        Kind::Dc,
        Kind::Sp,
    ];

    /// The kind as the first word of its lines.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Dg => "dg",
            Kind::Dm => "dm",
            Kind::V => "v",
            Kind::Pl => "pl",
            Kind::Sd => "sd",
            Kind::Dc => "dc",
            Kind::Sp => "sp",
        }
    }

    /// How deep it is in the hierarchy: what belongs to a record follows it and is deeper.
    pub(super) fn depth(self) -> u8 {
        match self {
            Kind::Dg => 0,
            Kind::Dm | Kind::V => 1,
            Kind::Pl | Kind::Dc | Kind::Sp => 2,
            Kind::Sd => 3,
        }
    }

    /// The kinds of the records that can belong to one of this kind.
    pub(super) fn below(self) -> &'static [Kind] {
        match self {
            Kind::Dg => &[Kind::Dm, Kind::V, Kind::Pl, Kind::Sd, Kind::Dc, Kind::Sp],
            Kind::V => &[Kind::Pl, Kind::Sd, Kind::Dc, Kind::Sp],
            Kind::Pl => &[Kind::Sd],
            Kind::Dm | Kind::Sd | Kind::Dc | Kind::Sp => &[],
        }
    }
}

/// The value of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// A word.
    Text(String),
    /// Several words, shown with commas between them.
    Words(Vec<String>),
    /// A length or an offset.
    Length(Sectors),
    /// A switch, shown as `on` or `off`.
    Flag(bool),
}

impl Value {
    /// The value as one word, or `-` when there is nothing in it.
    pub(super) fn show(&self, unit: Option<Unit>) -> String {
        let shown = match self {
            Value::Text(text) => text.clone(),
            Value::Words(words) => words.join(","),
            Value::Length(length) => unit::show(*length, unit),
            Value::Flag(flag) => if *flag { "on" } else { "off" }.to_owned(),
        };
        if shown.is_empty() {
            NOTHING.to_owned()
        } else {
            shown
        }
    }

    /// Whether it is this word, or has it among its words.
    pub(super) fn is(&self, word: &str) -> bool {
        match self {
            Value::Words(words) => words.iter().any(|one| one == word),
            Value::Text(_) | Value::Length(_) | Value::Flag(_) => self.show(None) == word,
        }
    }
}

/// What stands for a value that is missing.
const NOTHING: &str = "-";

/// Other names that scripts use for a field.
const OTHER_NAMES: [(&str, &str); 7] = [
    ("pub_len", "publen"),
    ("priv_len", "privlen"),
    ("volume", "vol"),
    ("disk", "dm_name"),
    ("dm", "dm_name"),
    ("pl_name", "plex"),
    ("device", "da_name"),
];

/// A record: its kind, and its fields in the order in which `-m` prints them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) kind: Kind,
    fields: Vec<(&'static str, Value)>,
}

impl Record {
    /// A record of this group with the fields that all kinds have.
    pub(super) fn new(kind: Kind, name: &str, group: &str) -> Record {
        let fields = Vec::with_capacity(16);
        Record { kind, fields }
            .text("type", kind.word())
            .text("name", name)
            .text("dgname", group)
    }

    /// With a field that is one word. Blanks in it, which the path of a device may have, become
    /// `_`, because readers of all forms count words.
    pub(super) fn text(self, field: &'static str, value: &str) -> Record {
        let of_word = |c: char| {
            if c.is_whitespace() || c.is_control() {
                '_'
            } else {
                c
            }
        };
        self.with(field, Value::Text(value.chars().map(of_word).collect()))
    }

    /// With a field that is a length or an offset.
    pub(super) fn length(self, field: &'static str, value: Sectors) -> Record {
        self.with(field, Value::Length(value))
    }

    /// With a field that is on or off.
    pub(super) fn flag(self, field: &'static str, value: bool) -> Record {
        self.with(field, Value::Flag(value))
    }

    /// With a field of any sort.
    pub(super) fn with(mut self, field: &'static str, value: Value) -> Record {
        self.fields.push((field, value));
        self
    }

    /// A field by its name, by another name that scripts use for it, or by one of these behind its
    /// kind, such as `pl_volume` of a plex.
    pub(super) fn get(&self, field: &str) -> Option<&Value> {
        let bare = field
            .strip_prefix(self.kind.word())
            .and_then(|rest| rest.strip_prefix('_'));
        [Some(field), bare]
            .into_iter()
            .flatten()
            .find_map(|name| self.exactly(name).or_else(|| self.exactly(other(name)?)))
    }

    fn exactly(&self, field: &str) -> Option<&Value> {
        let (_, value) = self.fields.iter().find(|(name, _)| *name == field)?;
        Some(value)
    }

    /// A field as one word, `-` when the record has no such field.
    pub(super) fn show(&self, field: &str, unit: Option<Unit>) -> String {
        self.get(field)
            .map_or_else(|| NOTHING.to_owned(), |value| value.show(unit))
    }

    /// All fields except the kind and the name.
    pub(super) fn details(&self) -> impl Iterator<Item = &(&'static str, Value)> {
        let details = |(name, _): &&(&str, Value)| !["type", "name"].contains(name);
        self.fields.iter().filter(details)
    }
}

fn other(name: &str) -> Option<&'static str> {
    let (_, field) = OTHER_NAMES.iter().find(|(word, _)| *word == name)?;
    Some(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_each_of_its_names() {
        let plex = Record::new(Kind::Pl, "a-01", "g").text("vol", "a");
        for name in ["vol", "volume", "pl_vol", "pl_volume"] {
            assert_eq!(plex.show(name, None), "a", "{name}");
        }
        for name in ["v_vol", "pl_", "_vol", "", "publen"] {
            assert_eq!(plex.show(name, None), "-", "{name}");
        }
    }

    #[test]
    fn a_value_is_one_word() {
        let disk = Record::new(Kind::Dm, "d", "g")
            .text("da_name", "loop one\n")
            .text("state", "")
            .with("sd", Value::Words(vec!["x".into(), "y".into()]));
        assert_eq!(disk.show("da_name", None), "loop_one_");
        assert_eq!(disk.show("state", None), "-");
        assert_eq!(disk.show("sd", None), "x,y");
    }
}
