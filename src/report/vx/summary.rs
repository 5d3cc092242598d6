//! `-S`: how many records of a sort there are among those selected.

use super::record::{Kind, Record};

/// The heading, where it is wanted, and a line of counts. Subdisks and plexes that belong to nothing
/// (the last two) do not exist with us.
pub(super) fn text(records: &[Record], heading: bool) -> String {
    let count = |kind| records.iter().filter(|record| record.kind == kind).count();
    let counts = format!(
        "{:<8} {:<8} {:<8} {:<8} {}\n",
        count(Kind::Sd),
        count(Kind::Pl),
        count(Kind::V),
        0,
        0
    );
    if heading {
        format!("SUBDISKS PLEXES   VOLUMES  UNASSD   UNASPL\n{counts}")
    } else {
        counts
    }
}
