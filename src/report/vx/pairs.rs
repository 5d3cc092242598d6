//! `-m` and `-a`: every field of a record by its name.

use super::record::Record;
use super::unit::Unit;

/// `-m`: a line with kind and name, and a line for each field.
pub(super) fn indented(records: &[Record], unit: Option<Unit>) -> String {
    text(records, unit, "\n\t")
}

/// `-a`: the same on one line.
pub(super) fn on_one_line(records: &[Record], unit: Option<Unit>) -> String {
    text(records, unit, " ")
}

fn text(records: &[Record], unit: Option<Unit>, before: &str) -> String {
    let one = |record: &Record| {
        let pairs: String = record
            .details()
            .map(|(field, value)| format!("{before}{field}={}", value.show(unit)))
            .collect();
        format!(
            "{} {}{pairs}\n",
            record.kind.word(),
            record.show("name", None)
        )
    };
    records.iter().map(one).collect()
}
