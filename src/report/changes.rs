//! What a changing command did: lines for people and values for JSON.

use super::time;
use crate::app::{Change, Detail, Report};
use crate::model::units::human_bytes;
use serde::ser::{Serialize, SerializeMap, Serializer};

/// The documented shape of a changing command's result.
#[derive(serde::Serialize)]
pub(super) struct View<'a> {
    changes: Vec<ChangeView<'a>>,
    notes: &'a [String],
}

impl<'a> View<'a> {
    pub(super) fn new(report: &'a Report) -> View<'a> {
        View::of(&report.changes, &report.notes)
    }

    pub(super) fn of(changes: &'a [Change], notes: &'a [String]) -> View<'a> {
        View {
            changes: changes.iter().map(ChangeView).collect(),
            notes,
        }
    }
}

/// `{"object":…,"action":…}` and the details beside them; sizes in bytes.
struct ChangeView<'a>(&'a Change);

impl Serialize for ChangeView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2 + self.0.details.len()))?;
        map.serialize_entry("object", &self.0.object)?;
        map.serialize_entry("action", self.0.action)?;
        for (name, detail) in &self.0.details {
            match detail {
                Detail::Text(text) => map.serialize_entry(name, text)?,
                Detail::Number(number) => map.serialize_entry(name, number)?,
                Detail::Size(size) => map.serialize_entry(name, &size.bytes())?,
            }
        }
        map.end()
    }
}

/// One line for each change.
pub(super) fn text(report: &Report) -> String {
    if report.changes.is_empty() {
        return "nothing to do\n".to_owned();
    }
    report
        .changes
        .iter()
        .map(|change| format!("{}\n", line(change)))
        .collect()
}

/// Such as `g/v created: size 64m, plexes 2`.
pub(super) fn line(change: &Change) -> String {
    let details: Vec<String> = change
        .details
        .iter()
        .map(|(name, detail)| words(name, detail))
        .collect();
    let head = format!("{} {}", change.object, change.action.replace('-', " "));
    if details.is_empty() {
        head
    } else {
        format!("{head}: {}", details.join(", "))
    }
}

/// A detail for people; a number whose name ends in `_us` is a time, one in `_bytes` a size.
fn words(name: &str, detail: &Detail) -> String {
    let plain = |name: &str| name.replace('_', " ");
    match detail {
        Detail::Text(text) => format!("{} {text}", plain(name)),
        Detail::Size(size) => format!("{} {size}", plain(name)),
        Detail::Number(number) => match (name.strip_suffix("_us"), name.strip_suffix("_bytes")) {
            (Some(name), _) => format!("{} {}", plain(name), time::duration(*number)),
            (None, Some(name)) => format!("{} {}", plain(name), human_bytes(*number)),
            (None, None) => format!("{} {number}", plain(name)),
        },
    }
}
