//! Outcomes and errors as text for people.

use super::canvas::Canvas;
use super::{
    changes, counters, layout, lists, map, metrics, plan, print, relations, room, strip, verify,
};
use crate::advice::Language;
use crate::app::Outcome;
use crate::error::Error;

/// The text of a command's result in a pipe. `verbose` adds exact sizes.
pub fn outcome(outcome: &Outcome, verbose: bool) -> String {
    on(&Canvas::default(), outcome, verbose)
}

/// The text of a command's result, as this canvas has room for it.
pub fn on(canvas: &Canvas, outcome: &Outcome, verbose: bool) -> String {
    match outcome {
        Outcome::Done(report) => changes::text(report),
        Outcome::Planned(view) => plan::text(view),
        Outcome::Layout(worlds, only) => {
            let groups: Vec<_> = worlds
                .iter()
                .map(|(world, fill)| layout::group(world, *fill, only))
                .collect();
            print::text(&groups, only.is_empty(), verbose)
        }
        Outcome::Relations(worlds, only) => relations::text(worlds, only),
        Outcome::ChangedRanges(changed) => relations::Ranges::new(changed).text(),
        Outcome::ChangeMap(changed) => strip::View::new(changed).text(canvas),
        Outcome::Map(maps, only) => map::text::text(&map::views(maps, only), canvas),
        Outcome::Room {
            group,
            volume,
            size,
            present,
        } => room::text(group, volume.as_ref(), *size, *present),
        Outcome::Together(closure) => lists::together_text(closure),
        Outcome::Verified(volumes) => verify::text(volumes),
        Outcome::Counters(lines) => counters::text(lines),
        Outcome::Metrics(measured) => metrics::text(measured),
        Outcome::Group(world, disks, fill) => lists::group_text(world, disks, *fill),
        Outcome::Groups(lines) => lists::groups_text(lines),
        Outcome::Disks(lines) => lists::disks_text(lines),
        Outcome::Dump(text) => with_newline(text),
        Outcome::Findings(findings) | Outcome::ToBeRepaired(findings) => findings_text(findings),
        Outcome::Lacking(shown, _) => on(canvas, shown, verbose),
    }
}

/// Whether there is nothing to show of what was requested.
pub fn is_empty(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Layout(worlds, _) => worlds.is_empty(),
        Outcome::Relations(worlds, _) => worlds.is_empty(),
        Outcome::Map(maps, _) => maps.is_empty(),
        Outcome::Verified(volumes) => volumes.is_empty(),
        Outcome::Counters(lines) => lines.is_empty(),
        Outcome::Groups(lines) => lines.is_empty(),
        Outcome::Disks(lines) => lines.is_empty(),
        Outcome::Findings(findings) | Outcome::ToBeRepaired(findings) => findings.is_empty(),
        Outcome::Lacking(shown, _) => is_empty(shown),
        Outcome::Done(_)
        | Outcome::Planned(_)
        | Outcome::ChangedRanges(_)
        | Outcome::ChangeMap(_)
        | Outcome::Room { .. }
        | Outcome::Together(_)
        | Outcome::Metrics(_)
        | Outcome::Group(..)
        | Outcome::Dump(_) => false,
    }
}

fn findings_text(findings: &[String]) -> String {
    if findings.is_empty() {
        return "nothing needs attention\n".to_owned();
    }
    findings
        .iter()
        .map(|finding| format!("{finding}\n"))
        .collect()
}

fn with_newline(text: &str) -> String {
    if text.ends_with('\n') {
        text.to_owned()
    } else {
        format!("{text}\n")
    }
}

/// The text of an error: what failed, and below it what to do next, with the command lines of one
/// front end.
pub fn failure(program: &str, err: &Error, language: &dyn Language) -> String {
    let hint = err
        .hint_text(language)
        .map(|hint| format!("  hint: {hint}\n"))
        .unwrap_or_default();
    format!("{program}: error: {}\n{hint}", err.message())
}
