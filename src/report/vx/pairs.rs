//! `-m` and `-a`: every field of a record by its name. The form is that of `vxmake(4)`, which calls
//! volumes and plexes by other words than the lines of `vxprint` do.

use super::record::{Kind, Record};
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
            word(record.kind),
            record.show("name", None)
        )
    };
    records.iter().map(one).collect()
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::V => "vol",
        Kind::Pl => "plex",
        Kind::Dc => "dco",
        Kind::Dg | Kind::Dm | Kind::Sd | Kind::Sp => kind.word(),
    }
}
