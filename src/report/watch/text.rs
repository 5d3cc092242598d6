//! A look as lines, for a screen or one after the other.

use super::{Copying, GroupLine, Happened, View};
use crate::model::units::{human_bytes, human_duration};
use crate::report::columns::Columns;
use crate::report::view::SyncView;

/// A line; headings may be set off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The text, without control characters.
    pub text: String,
    /// Whether it is a heading.
    pub is_heading: bool,
}

impl Line {
    /// A heading.
    pub fn heading(text: &str) -> Line {
        Line {
            text: clean(text),
            is_heading: true,
        }
    }

    /// Any other line.
    pub fn plain(text: &str) -> Line {
        Line {
            text: clean(text),
            is_heading: false,
        }
    }
}

/// Names of devices come from elsewhere: nothing in them may move the cursor.
fn clean(text: &str) -> String {
    let printable = |c: char| if c.is_control() { '?' } else { c };
    text.chars().map(printable).collect()
}

/// The lines of a look, with these events, the newest first.
pub fn lines<'e>(view: &View, events: impl Iterator<Item = &'e Happened>) -> Vec<Line> {
    let mut lines = Vec::new();
    table(&mut lines, groups(&view.groups));
    if !view.copies.is_empty() {
        table(&mut lines, copies(&view.copies));
    }
    if !view.legs.is_empty() {
        let mut columns = Columns::with_heading(&["LEG", "VOLUME", "STATE", "EQUAL"]);
        for leg in &view.legs {
            columns.row(vec![
                leg.plex.clone(),
                leg.object.clone(),
                leg.state.to_owned(),
                format!("{}%", leg.sync.percent()),
            ]);
        }
        table(&mut lines, columns);
    }
    if !view.volumes.is_empty() {
        let mut columns = Columns::with_heading(&["VOLUME", "STATE", "KSTATE"]);
        for volume in &view.volumes {
            columns.heading(&[volume.object.as_str(), volume.state, volume.kstate]);
        }
        table(&mut lines, columns);
    }
    section(&mut lines, "ATTENTION");
    if view.findings.is_empty() {
        lines.push(Line::plain("nothing needs attention"));
    }
    lines.extend(view.findings.iter().map(|finding| Line::plain(finding)));
    if !view.splits.is_empty() {
        let mut columns = Columns::with_heading(&["SPLIT", "OF", "TAKEN", "STALL", "CONSISTENCY"]);
        for split in &view.splits {
            columns.row(vec![
                split.object.clone(),
                split.original.clone().unwrap_or_default(),
                split.taken_at.clone(),
                human_duration(split.freeze_us),
                split.consistency.to_owned(),
            ]);
        }
        table(&mut lines, columns);
    }
    let mut events = events.peekable();
    if events.peek().is_some() {
        section(&mut lines, "EVENTS");
        lines.extend(events.map(|event| Line::plain(&format!("{}  {}", event.at, event.text))));
    }
    lines
}

fn section(lines: &mut Vec<Line>, heading: &str) {
    if !lines.is_empty() {
        lines.push(Line::plain(""));
    }
    lines.push(Line::heading(heading));
}

fn table(lines: &mut Vec<Line>, columns: Columns) {
    let text = columns.text();
    let mut rows = text.lines();
    section(lines, rows.next().unwrap_or_default());
    lines.extend(rows.map(Line::plain));
}

fn groups(groups: &[GroupLine]) -> Columns {
    let mut columns = Columns::with_heading(&["GROUP", "DISKS", "SIZE", "FREE", "VOLUMES"]);
    for group in groups {
        let present = group.disks;
        let volumes: Vec<String> = group
            .volumes
            .iter()
            .map(|(state, count)| format!("{count} {state}"))
            .collect();
        columns.row(vec![
            group.name.clone(),
            if present.present == present.total {
                present.total.to_string()
            } else {
                format!("{} of {}", present.present, present.total)
            },
            human_bytes(group.size),
            human_bytes(group.free),
            volumes.join(", "),
        ]);
    }
    if groups.is_empty() {
        columns.row(vec!["none".to_owned()]);
    }
    columns
}

fn copies(copies: &[Copying]) -> Columns {
    let mut columns = Columns::with_heading(&["COPYING", "TO", "DONE", "OF", "RATE", "LEFT"]);
    for copy in copies {
        let sync = SyncView {
            done: copy.done,
            total: copy.total,
        };
        columns.row(vec![
            copy.object.clone(),
            copy.plexes.join(","),
            format!("{}%", sync.percent()),
            human_bytes(copy.total),
            copy.rate
                .map(|rate| format!("{}/s", human_bytes(rate)))
                .unwrap_or_default(),
            copy.left_secs.map(clock).unwrap_or_default(),
        ]);
    }
    columns
}

/// Seconds as `minutes:seconds` or `hours:minutes:seconds`.
fn clock(secs: u64) -> String {
    let (hours, minutes, secs) = (secs / 3600, secs / 60 % 60, secs % 60);
    if hours == 0 {
        format!("{minutes}:{secs:02}")
    } else {
        format!("{hours}:{minutes:02}:{secs:02}")
    }
}
