//! The end of every invocation: prints the result or the error, and returns the exit status. Called
//! by `cli` only.
//!
//! Commands fail with typed errors; their kind determines the exit status. Failures in here, while
//! the answer is formatted and written, are chains of causes (`anyhow`).

use super::output;
use super::{Stopped, Style, Why};
use crate::advice::{Advised, Hint};
use crate::app::{Outcome, Report, Ui, one_error};
use crate::error::{self, Error};
use crate::report;
use anyhow::Context;

/// Prints the outcome of a command, or its error.
pub(super) fn outcome(style: &Style, came: error::Result<Outcome>, ui: &dyn Ui) -> u8 {
    match came {
        Ok(Outcome::Done(report)) if !report.failures.is_empty() => partial(style, &report, ui),
        Ok(Outcome::ToBeRepaired(findings)) => to_be_repaired(style, &findings),
        Ok(Outcome::Lacking(shown, wrong)) => lacking(style, &shown, &wrong),
        Ok(outcome) => status(style, success(style, &outcome, ui)),
        Err(err) => failure(style, &err),
    }
}

/// Prints lines that are neither text for people nor JSON, such as those that a udev rule reads.
pub(super) fn plain(style: &Style, came: error::Result<String>) -> u8 {
    match came {
        Ok(lines) => status(style, print(&lines)),
        Err(err) => failure(style, &err),
    }
}

/// Prints help, or the error in the command line.
pub(super) fn stopped(stopped: &Stopped) -> u8 {
    match &stopped.why {
        Why::Help(text) => status(&stopped.style, help(&stopped.style, text)),
        Why::Wrong(err) => failure(&stopped.style, err),
    }
}

fn help(style: &Style, text: &str) -> anyhow::Result<()> {
    if style.json {
        print(&report::json::help(style.verb.as_deref(), text)?)
    } else {
        print(text)
    }
}

fn success(style: &Style, outcome: &Outcome, ui: &dyn Ui) -> anyhow::Result<()> {
    if style.json {
        return print(&report::json::success(style.verb.as_deref(), outcome)?);
    }
    match outcome {
        Outcome::Done(report) => done(style, outcome, &report.notes, ui),
        _ => print(&report::text::outcome(outcome, style.verbose)),
    }
}

/// Prints the findings of a check. The command fails, so that a script notices them.
fn to_be_repaired(style: &Style, findings: &[String]) -> u8 {
    let err = Error::not_ready("a change is to be recorded or repaired")
        .hint(Hint::from(Advised::Recover).and(" does it"));
    let printed = if style.json {
        report::json::to_be_repaired(
            style.verb.as_deref(),
            findings,
            &err,
            style.front_end.language(),
        )
        .map_err(anyhow::Error::from)
        .and_then(|text| print(&text))
    } else {
        output::message(&failure_text(style, &err));
        print(&report::text::outcome(
            &Outcome::ToBeRepaired(findings.to_vec()),
            style.verbose,
        ))
    };
    drop(printed);
    err.kind().exit_status()
}

/// Prints an incomplete outcome, then each error that kept it incomplete.
fn lacking(style: &Style, shown: &Outcome, wrong: &[Error]) -> u8 {
    let Some(all) = one_error(wrong) else {
        return 0;
    };
    if style.json {
        let _ = report::json::lacking(
            style.verb.as_deref(),
            shown,
            &all,
            style.front_end.language(),
        )
        .map_err(anyhow::Error::from)
        .and_then(|text| print(&text));
    } else {
        let text = report::text::outcome(shown, style.verbose);
        // An empty answer would claim that there is nothing, which is not known.
        let _ = if report::text::is_empty(shown) {
            Ok(())
        } else {
            print(&text)
        };
        wrong
            .iter()
            .for_each(|err| output::message(&failure_text(style, err)));
    }
    all.kind().exit_status()
}

/// Prints a partial success: the changes as usual, then each failure.
fn partial(style: &Style, report: &Report, ui: &dyn Ui) -> u8 {
    let Some(all) = report.failure() else {
        return 0;
    };
    if style.json {
        let _ = report::json::partial(
            style.verb.as_deref(),
            report,
            &all,
            style.front_end.language(),
        )
        .map_err(anyhow::Error::from)
        .and_then(|text| print(&text));
    } else {
        if !report.changes.is_empty() {
            let _ = done(style, &Outcome::Done(report.clone()), &report.notes, ui);
        }
        report
            .failures
            .iter()
            .for_each(|err| output::message(&failure_text(style, err)));
    }
    all.kind().exit_status()
}

/// Prints the changes, unless `-q` was given, and the notes.
fn done(style: &Style, outcome: &Outcome, notes: &[String], ui: &dyn Ui) -> anyhow::Result<()> {
    if !style.quiet {
        print(&report::text::outcome(outcome, style.verbose))?;
    }
    notes.iter().for_each(|note| ui.note(note));
    Ok(())
}

fn status(style: &Style, done: anyhow::Result<()>) -> u8 {
    match done.map_err(typed) {
        Ok(()) => 0,
        Err(err) => failure(style, &err),
    }
}

/// Returns a typed error as it is, and any other as a failure of the command with all its causes.
fn typed(err: anyhow::Error) -> Error {
    err.downcast()
        .unwrap_or_else(|other| Error::failed(format!("{other:#}")))
}

fn print(text: &str) -> anyhow::Result<()> {
    output::result(text).context("the command ran, but its result could not be written")
}

fn failure_text(style: &Style, err: &Error) -> String {
    report::text::failure(&style.program, err, style.front_end.language())
}

fn failure(style: &Style, err: &Error) -> u8 {
    if style.json {
        // The exit status reports the failure even if the document cannot be written.
        let _ = report::json::failure(style.verb.as_deref(), err, style.front_end.language())
            .map_err(anyhow::Error::from)
            .and_then(|text| print(&text));
    } else {
        output::message(&failure_text(style, err));
    }
    err.kind().exit_status()
}
