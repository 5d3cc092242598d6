//! The end of every invocation: prints the result or the error, and says which exit status that is.
//! Called by `cli` only.

use super::output;
use super::{Stopped, Style, Why};
use crate::app::{Outcome, Report, Ui, one_error};
use crate::error::{Error, Result};
use crate::report;

/// Prints what a command came to.
pub(super) fn outcome(style: &Style, came: Result<Outcome>, ui: &dyn Ui) -> u8 {
    match came {
        Ok(Outcome::Done(report)) if !report.failures.is_empty() => partial(style, &report, ui),
        Ok(Outcome::ToBeRepaired(findings)) => to_be_repaired(style, &findings),
        Ok(Outcome::Lacking(shown, wrong)) => lacking(style, &shown, &wrong),
        Ok(outcome) => status(style, success(style, &outcome, ui)),
        Err(err) => failure(style, &err),
    }
}

/// Prints lines that are neither text for people nor JSON: what a udev rule reads.
pub(super) fn plain(style: &Style, came: Result<String>) -> u8 {
    status(style, came.and_then(|lines| output::result(&lines)))
}

/// Prints help, or what is wrong with the words.
pub(super) fn stopped(stopped: &Stopped) -> u8 {
    match &stopped.why {
        Why::Help(text) => status(&stopped.style, help(&stopped.style, text)),
        Why::Wrong(err) => failure(&stopped.style, err),
    }
}

fn help(style: &Style, text: &str) -> Result<()> {
    if style.json {
        output::result(&report::json::help(style.verb.as_deref(), text)?)
    } else {
        output::result(text)
    }
}

fn success(style: &Style, outcome: &Outcome, ui: &dyn Ui) -> Result<()> {
    if style.json {
        return output::result(&report::json::success(style.verb.as_deref(), outcome)?);
    }
    match outcome {
        Outcome::Done(report) => done(style, outcome, &report.notes, ui),
        _ => output::result(&report::text::outcome(outcome, style.verbose)),
    }
}

/// A check that found something fails, so that a script sees it.
fn to_be_repaired(style: &Style, findings: &[String]) -> u8 {
    let err = Error::not_ready("something is to be recorded or repaired")
        .hint("'breakoff recover' does it");
    let printed = if style.json {
        report::json::to_be_repaired(style.verb.as_deref(), findings, &err)
            .and_then(|text| output::result(&text))
    } else {
        output::message(&report::text::failure(&style.program, &err));
        output::result(&report::text::outcome(
            &Outcome::ToBeRepaired(findings.to_vec()),
            style.verbose,
        ))
    };
    drop(printed);
    err.kind().exit_status()
}

/// What there is is shown, and then each thing that could not be had.
fn lacking(style: &Style, shown: &Outcome, wrong: &[Error]) -> u8 {
    let Some(all) = one_error(wrong) else {
        return 0;
    };
    if style.json {
        let _ = report::json::lacking(style.verb.as_deref(), shown, &all)
            .and_then(|text| output::result(&text));
    } else {
        let text = report::text::outcome(shown, style.verbose);
        // That there is nothing is just what is not known.
        let _ = if report::text::is_empty(shown) {
            Ok(())
        } else {
            output::result(&text)
        };
        wrong
            .iter()
            .for_each(|err| output::message(&report::text::failure(&style.program, err)));
    }
    all.kind().exit_status()
}

/// Some of many things were done and others not: what was done is told as ever, and then each
/// failure.
fn partial(style: &Style, report: &Report, ui: &dyn Ui) -> u8 {
    let Some(all) = report.failure() else {
        return 0;
    };
    if style.json {
        let _ = report::json::partial(style.verb.as_deref(), report, &all)
            .and_then(|text| output::result(&text));
    } else {
        if !report.changes.is_empty() {
            let _ = done(style, &Outcome::Done(report.clone()), &report.notes, ui);
        }
        report
            .failures
            .iter()
            .for_each(|err| output::message(&report::text::failure(&style.program, err)));
    }
    all.kind().exit_status()
}

/// A change that went well is no news to somebody who asked for quiet.
fn done(style: &Style, outcome: &Outcome, notes: &[String], ui: &dyn Ui) -> Result<()> {
    if !style.quiet {
        output::result(&report::text::outcome(outcome, style.verbose))?;
    }
    notes.iter().for_each(|note| ui.note(note));
    Ok(())
}

fn status(style: &Style, done: Result<()>) -> u8 {
    match done {
        Ok(()) => 0,
        Err(err) => failure(style, &err),
    }
}

fn failure(style: &Style, err: &Error) -> u8 {
    if style.json {
        // The status tells of the failure even when the document cannot be written.
        let _ = report::json::failure(style.verb.as_deref(), err)
            .and_then(|text| output::result(&text));
    } else {
        output::message(&report::text::failure(&style.program, err));
    }
    err.kind().exit_status()
}
