//! The end of every invocation: prints the result or the error, and returns the exit status. Called
//! by `cli` only.
//!
//! Commands fail with typed errors; their kind determines the exit status. Failures in here, while
//! the answer is formatted and written, are chains of causes (`anyhow`).

use super::{FrontEnd, Stopped, Style, Why, vx};
use super::{drawing, output};
use crate::advice::{Advised, Hint};
use crate::app::{Options, Outcome, Report, Ui, one_error};
use crate::error::{self, Error};
use crate::report;
use anyhow::Context;
use std::path::Path;

/// The end of one invocation.
struct End<'a> {
    style: &'a Style,
    /// The group of `-g`.
    group: Option<String>,
}

/// Prints the outcome of a command, or its error.
pub(super) fn outcome(
    style: &Style,
    options: &Options,
    came: error::Result<Outcome>,
    ui: &dyn Ui,
) -> u8 {
    let end = End::new(style, Some(options));
    match came {
        Ok(Outcome::Done(report)) if !report.failures.is_empty() => end.partial(&report, ui),
        Ok(Outcome::ToBeRepaired(findings)) => end.to_be_repaired(&findings),
        Ok(Outcome::Lacking(shown, wrong)) => end.lacking(&shown, &wrong),
        Ok(outcome) => end.status(end.success(&outcome, ui)),
        Err(err) => end.failure(&err),
    }
}

/// Writes the text of what a command shows to a file, and prints what has failed; with `--json` also
/// the document.
pub(super) fn to_file(
    style: &Style,
    options: &Options,
    came: error::Result<Outcome>,
    file: &Path,
    ui: &dyn Ui,
) -> u8 {
    let end = End::new(style, Some(options));
    let shown = match &came {
        Ok(Outcome::Lacking(shown, _)) => shown,
        Ok(shown) => shown,
        Err(err) => return end.failure(err),
    };
    let text = report::text::outcome(shown, style.verbose);
    let written = output::replace(file, &text)
        .with_context(|| format!("'{}' cannot be written", file.display()));
    if written.is_err() {
        return end.status(written);
    }
    match came {
        came if style.json => outcome(style, options, came, ui),
        Ok(Outcome::Lacking(_, wrong)) => end.wrong(&wrong),
        _ => 0,
    }
}

/// Prints the answer of a VxVM utility, and what has failed.
pub(super) fn vx(style: &Style, options: &Options, came: error::Result<vx::Answer>) -> u8 {
    let end = End::new(style, Some(options));
    match came {
        Ok(answer) => {
            let printed = end.status(print(&answer.text));
            let failed = answer.failures.iter().map(|err| end.failure(err));
            // The first failure decides.
            failed
                .collect::<Vec<u8>>()
                .first()
                .map_or(printed, |first| *first)
        }
        Err(err) => end.failure(&err),
    }
}

/// Prints lines that are neither text for people nor JSON, such as those that a udev rule reads.
pub(super) fn plain(style: &Style, came: error::Result<String>) -> u8 {
    let end = End::new(style, None);
    match came {
        Ok(lines) => end.status(print(&lines)),
        Err(err) => end.failure(&err),
    }
}

/// The end of what has printed its answer itself.
pub(super) fn ended(style: &Style, came: error::Result<()>) -> u8 {
    match came {
        Ok(()) => 0,
        Err(err) => End::new(style, None).failure(&err),
    }
}

/// Prints help, or the error in the command line.
pub(super) fn stopped(stopped: &Stopped) -> u8 {
    let end = End::new(&stopped.style, None);
    match &stopped.why {
        Why::Help(text) => end.status(end.help(text)),
        Why::Wrong(err) => end.failure(err),
    }
}

impl<'a> End<'a> {
    fn new(style: &'a Style, options: Option<&Options>) -> End<'a> {
        let group = options.and_then(|options| options.group.as_ref());
        End {
            style,
            group: group.map(ToString::to_string),
        }
    }

    fn help(&self, text: &str) -> anyhow::Result<()> {
        if self.style.json {
            print(&report::json::help(self.style.verb.as_deref(), text)?)
        } else {
            print(text)
        }
    }

    fn success(&self, outcome: &Outcome, ui: &dyn Ui) -> anyhow::Result<()> {
        let is_drawn = self.draw(outcome)?;
        if self.style.json {
            return print(&report::json::success(self.style.verb.as_deref(), outcome)?);
        }
        match outcome {
            Outcome::Done(report) => self.done(outcome, &report.notes, ui),
            _ if is_drawn => Ok(()),
            _ => print(&self.text(outcome)),
        }
    }

    /// Writes the picture that was asked for. Returns whether there is one.
    fn draw(&self, outcome: &Outcome) -> anyhow::Result<bool> {
        match (&self.style.picture, outcome) {
            (Some(file), Outcome::Map(maps, only)) => {
                let views = report::map::views(maps, only);
                drawing::write_picture(file, &report::map::svg::picture(&views)).map(|()| true)
            }
            _ => Ok(false),
        }
    }

    fn text(&self, outcome: &Outcome) -> String {
        let canvas = drawing::canvas(self.style.color);
        report::text::on(&canvas, outcome, self.style.verbose)
    }

    /// Prints the findings of a check. The command fails, so that a script notices them.
    fn to_be_repaired(&self, findings: &[String]) -> u8 {
        let err = Error::not_ready("a change is to be recorded or repaired")
            .hint(Hint::from(Advised::Recover).and(" does it"));
        let printed = if self.style.json {
            report::json::to_be_repaired(
                self.style.verb.as_deref(),
                findings,
                &err,
                self.style.front_end.language(),
            )
            .map_err(anyhow::Error::from)
            .and_then(|text| print(&text))
        } else {
            output::message(&self.failure_text(&err));
            print(&report::text::outcome(
                &Outcome::ToBeRepaired(findings.to_vec()),
                self.style.verbose,
            ))
        };
        drop(printed);
        self.status_of(&err)
    }

    /// Prints an incomplete outcome, then each error that kept it incomplete.
    fn lacking(&self, shown: &Outcome, wrong: &[Error]) -> u8 {
        let Some(all) = one_error(wrong) else {
            return 0;
        };
        if self.style.json {
            let _ = report::json::lacking(
                self.style.verb.as_deref(),
                shown,
                &all,
                self.style.front_end.language(),
            )
            .map_err(anyhow::Error::from)
            .and_then(|text| print(&text));
        } else {
            // An empty answer would claim that there is nothing, which is not known.
            let _ = match self.draw(shown) {
                Ok(false) if !report::text::is_empty(shown) => print(&self.text(shown)),
                drawn => drawn.map(drop),
            };
            return self.wrong(wrong);
        }
        self.status_of(&all)
    }

    /// Prints each error.
    fn wrong(&self, wrong: &[Error]) -> u8 {
        wrong
            .iter()
            .for_each(|err| output::message(&self.failure_text(err)));
        one_error(wrong).map_or(0, |all| self.status_of(&all))
    }

    /// Prints a partial success: the changes as usual, then each failure.
    fn partial(&self, report: &Report, ui: &dyn Ui) -> u8 {
        let Some(all) = report.failure() else {
            return 0;
        };
        if self.style.json {
            let _ = report::json::partial(
                self.style.verb.as_deref(),
                report,
                &all,
                self.style.front_end.language(),
            )
            .map_err(anyhow::Error::from)
            .and_then(|text| print(&text));
        } else {
            if !report.changes.is_empty() {
                let _ = self.done(&Outcome::Done(report.clone()), &report.notes, ui);
            }
            report
                .failures
                .iter()
                .for_each(|err| output::message(&self.failure_text(err)));
        }
        self.status_of(&all)
    }

    /// Prints the changes, unless nothing is to be said of what went well, and the notes.
    fn done(&self, outcome: &Outcome, notes: &[String], ui: &dyn Ui) -> anyhow::Result<()> {
        if !self.style.is_silent() {
            print(&report::text::outcome(outcome, self.style.verbose))?;
        }
        notes.iter().for_each(|note| ui.note(note));
        Ok(())
    }

    fn status(&self, done: anyhow::Result<()>) -> u8 {
        match done.map_err(typed) {
            Ok(()) => 0,
            Err(err) => self.failure(&err),
        }
    }

    fn failure_text(&self, err: &Error) -> String {
        let language = self.style.front_end.language();
        match self.style.front_end {
            FrontEnd::Native => report::text::failure(&self.style.program, err, language),
            FrontEnd::Vx => vx::exit::failure(&self.style.program, err, language),
        }
    }

    fn status_of(&self, err: &Error) -> u8 {
        match self.style.front_end {
            FrontEnd::Native => err.kind().exit_status(),
            FrontEnd::Vx => vx::exit::status(
                &self.style.program,
                self.style.verb.as_deref(),
                self.group.as_deref(),
                err,
            ),
        }
    }

    fn failure(&self, err: &Error) -> u8 {
        if self.style.json {
            // The exit status reports the failure even if the document cannot be written.
            let _ = report::json::failure(
                self.style.verb.as_deref(),
                err,
                self.style.front_end.language(),
            )
            .map_err(anyhow::Error::from)
            .and_then(|text| print(&text));
        } else {
            output::message(&self.failure_text(err));
        }
        self.status_of(err)
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
