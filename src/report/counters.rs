//! `stat`: a table, and its JSON shape. In JSON sizes are bytes and durations microseconds.

use super::columns::Columns;
use crate::app::{Counted, CounterLine};
use serde::Serialize;

/// A line in `stat --json`.
#[derive(Serialize)]
pub(super) struct CounterView<'a> {
    group: &'a str,
    kind: &'static str,
    name: &'a str,
    volume: Option<&'a str>,
    reads: u64,
    read: u64,
    read_us: u64,
    writes: u64,
    written: u64,
    write_us: u64,
}

impl<'a> CounterView<'a> {
    pub(super) fn new(line: &'a CounterLine) -> CounterView<'a> {
        let (kind, name, volume) = words(&line.of);
        let counters = &line.counters;
        let bytes = |sectors: u64| sectors.saturating_mul(512);
        let us = |ms: u64| ms.saturating_mul(1000);
        CounterView {
            group: line.group.as_str(),
            kind,
            name,
            volume,
            reads: counters.reads,
            read: bytes(counters.sectors_read),
            read_us: us(counters.read_ms),
            writes: counters.writes,
            written: bytes(counters.sectors_written),
            write_us: us(counters.write_ms),
        }
    }
}

/// Kind, name, and the volume of a plex.
fn words(of: &Counted) -> (&'static str, &str, Option<&str>) {
    match of {
        Counted::Volume(name) => ("volume", name.as_str(), None),
        Counted::Plex(volume, name) => ("plex", name.as_str(), Some(volume.as_str())),
        Counted::Disk(media) => ("disk", media.as_str(), None),
    }
}

/// The table of `stat`.
pub(super) fn text(lines: &[CounterLine]) -> String {
    if lines.is_empty() {
        return "nothing is started\n".to_owned();
    }
    let mut columns = Columns::with_heading(&[
        "TY", "NAME", "ASSOC", "READS", "RSECTORS", "READ-MS", "WRITES", "WSECTORS", "WRITE-MS",
    ]);
    for line in lines {
        let counters = &line.counters;
        let (kind, name, volume) = words(&line.of);
        let kind = match kind {
            "volume" => "v",
            "plex" => "pl",
            _ => "dm",
        };
        let numbers = [
            counters.reads,
            counters.sectors_read,
            counters.read_ms,
            counters.writes,
            counters.sectors_written,
            counters.write_ms,
        ];
        let words = [kind, name, volume.unwrap_or(line.group.as_str())].map(str::to_owned);
        let numbers = numbers.map(|number| number.to_string());
        columns.row(words.into_iter().chain(numbers).collect());
    }
    columns.text()
}
