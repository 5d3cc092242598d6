//! What a changing command did: lines for people and values for JSON.

use crate::app::{Change, Detail, Report};
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
        let details = self.0.event.details();
        let mut map = serializer.serialize_map(Some(2 + details.len()))?;
        map.serialize_entry("object", &self.0.object.to_string())?;
        map.serialize_entry("action", self.0.event.word())?;
        for (name, detail) in &details {
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
        .map(|change| format!("{change}\n"))
        .collect()
}
