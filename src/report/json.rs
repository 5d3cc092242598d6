//! The only JSON document of `--json`: an envelope with the result or the error of the command.
//!
//! The document is `{"breakoff":1,"command":…,"ok":true,"result":{…}}` or
//! `{"breakoff":1,"command":…,"ok":false,"error":{…}}`, on one line.

use super::{
    changes, counters, layout, lists, map, metrics, plan, relations, room, strip, verify, watch,
};
use crate::advice::Language;
use crate::app::{Outcome, Report};
use crate::error::{Error, Result};
use serde::Serialize;
use serde_json::Value;

/// The version of the envelope.
const VERSION: u32 = 1;

#[derive(Serialize)]
struct Envelope<'a, R> {
    breakoff: u32,
    command: Option<&'a str>,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<R>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorView<'a>>,
}

#[derive(Serialize)]
struct ErrorView<'a> {
    kind: &'static str,
    message: &'a str,
    object: Option<&'a str>,
    hint: Option<String>,
}

impl<'a> ErrorView<'a> {
    fn new(err: &'a Error, language: &dyn Language) -> ErrorView<'a> {
        ErrorView {
            kind: err.kind().word(),
            message: err.message(),
            object: err.object(),
            hint: err.hint_text(language),
        }
    }
}

/// The result of a command that succeeded in part: what was done, and what failed.
#[derive(Serialize)]
struct Partial<'a> {
    #[serde(flatten)]
    done: changes::View<'a>,
    failures: Vec<ErrorView<'a>>,
}

/// A result under a name of its own, as all results have it except those of changes.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Named<T> {
    Groups(T),
    Relations(T),
    ChangedRanges(T),
    ChangeMap(T),
    Map(T),
    Room(T),
    Together(T),
    Verified(T),
    Counters(T),
    Metrics(T),
    Group(T),
    Disks(T),
    Configuration(T),
    Findings(T),
    Text(T),
    Watch(T),
}

/// The document of a command that succeeded.
pub fn success(command: Option<&str>, outcome: &Outcome) -> Result<String> {
    match outcome {
        Outcome::Done(report) => ok(command, changes::View::new(report)),
        Outcome::Planned(view) => ok(command, plan::View::new(view)),
        Outcome::Layout(worlds, only) => {
            let group = |(world, fill): &(_, _)| layout::group(world, *fill, only);
            ok(
                command,
                Named::Groups(worlds.iter().map(group).collect::<Vec<_>>()),
            )
        }
        Outcome::Relations(worlds, only) => {
            ok(command, Named::Relations(relations::all(worlds, only)))
        }
        Outcome::ChangedRanges(changed) => ok(
            command,
            Named::ChangedRanges(relations::Ranges::new(changed)),
        ),
        Outcome::ChangeMap(changed) => ok(command, Named::ChangeMap(strip::View::new(changed))),
        Outcome::Map(maps, only) => ok(command, Named::Map(map::views(maps, only))),
        Outcome::Room {
            group,
            volume,
            size,
            present,
        } => ok(
            command,
            Named::Room(room::View::new(group, volume.as_ref(), *size, *present)),
        ),
        Outcome::Together(closure) => ok(command, Named::Together(lists::Together::new(closure))),
        Outcome::Verified(volumes) => {
            let views = volumes.iter().map(verify::View::new);
            ok(command, Named::Verified(views.collect::<Vec<_>>()))
        }
        Outcome::Counters(lines) => {
            let views = lines.iter().map(counters::CounterView::new);
            ok(command, Named::Counters(views.collect::<Vec<_>>()))
        }
        Outcome::Metrics(measured) => ok(command, Named::Metrics(metrics::views(measured))),
        Outcome::Group(world, disks, fill) => ok(
            command,
            Named::Group(lists::GroupShow::new(world, disks, *fill)),
        ),
        Outcome::Groups(lines) => ok(
            command,
            Named::Groups(lines.iter().map(lists::GroupView::new).collect::<Vec<_>>()),
        ),
        Outcome::Disks(lines) => ok(
            command,
            Named::Disks(lines.iter().map(lists::DiskView::new).collect::<Vec<_>>()),
        ),
        Outcome::Dump(text) => ok(command, Named::Configuration(configuration(text))),
        Outcome::Findings(findings) | Outcome::ToBeRepaired(findings) => {
            ok(command, Named::Findings(findings))
        }
        Outcome::Lacking(shown, _) => success(command, shown),
    }
}

/// A dump is a document itself. If it should not be one, it is passed on as text.
fn configuration(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
}

/// The document of one look of `status --watch`.
pub fn watched(command: Option<&str>, view: &watch::View) -> Result<String> {
    ok(command, Named::Watch(view))
}

/// The document of a request for help.
pub fn help(command: Option<&str>, text: &str) -> Result<String> {
    ok(command, Named::Text(text))
}

/// The document of a command that failed.
pub fn failure(command: Option<&str>, err: &Error, language: &dyn Language) -> Result<String> {
    document(&Envelope::<()> {
        breakoff: VERSION,
        command,
        ok: false,
        result: None,
        error: Some(ErrorView::new(err, language)),
    })
}

/// The document of a command that shows what it can and fails for what it cannot show: both a
/// result and an error.
pub fn lacking(
    command: Option<&str>,
    shown: &Outcome,
    err: &Error,
    language: &dyn Language,
) -> Result<String> {
    let unreadable = |err: serde_json::Error| {
        Error::failed(format!("the result cannot be written as JSON: {err}"))
    };
    let mut shown: Value = serde_json::from_str(&success(command, shown)?).map_err(unreadable)?;
    let result = shown.get_mut("result").map(Value::take);
    document(&Envelope {
        breakoff: VERSION,
        command,
        ok: false,
        result,
        error: Some(ErrorView::new(err, language)),
    })
}

/// The document of a check that found something: both what it found and an error.
pub fn to_be_repaired(
    command: Option<&str>,
    findings: &[String],
    err: &Error,
    language: &dyn Language,
) -> Result<String> {
    document(&Envelope {
        breakoff: VERSION,
        command,
        ok: false,
        result: Some(Named::Findings(findings)),
        error: Some(ErrorView::new(err, language)),
    })
}

/// The document of a command that did a part of many things and failed at others: both a result and
/// an error.
pub fn partial(
    command: Option<&str>,
    report: &Report,
    err: &Error,
    language: &dyn Language,
) -> Result<String> {
    let result = Partial {
        done: changes::View::new(report),
        failures: report
            .failures
            .iter()
            .map(|err| ErrorView::new(err, language))
            .collect(),
    };
    document(&Envelope {
        breakoff: VERSION,
        command,
        ok: false,
        result: Some(result),
        error: Some(ErrorView::new(err, language)),
    })
}

fn ok(command: Option<&str>, result: impl Serialize) -> Result<String> {
    document(&Envelope {
        breakoff: VERSION,
        command,
        ok: true,
        result: Some(result),
        error: None,
    })
}

fn document(value: &impl Serialize) -> Result<String> {
    let text = serde_json::to_string(value)
        .map_err(|err| Error::failed(format!("the result cannot be written as JSON: {err}")))?;
    Ok(text + "\n")
}
