//! What the user sees while a command works: notes, warnings, progress and the one question, all of
//! it on stderr.
//!
//! On a terminal each copy has a bar; elsewhere progress is a few plain lines (`report::progress`).
//! Questions are asked only on a terminal.

use super::output;
use super::{Severity, Style};
use crate::advice::Language;
use crate::app::{Progress, Ui};
use crate::report::progress::{self, Milestones};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal};
use std::time::Instant;

/// The template of a running bar: object, bytes, rate and time left; `wide_bar` takes the rest of
/// the line.
const BAR: &str = "{prefix} {wide_bar} {percent:>3}% {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta} left";
/// The template of a finished bar, which stays on the screen.
const BAR_AT_REST: &str =
    "{prefix} {wide_bar} {percent:>3}% {binary_bytes}/{binary_total_bytes} in {elapsed}";

/// The [`Ui`] of both front ends.
pub(super) struct Terminal {
    style: Style,
    asks: bool,
    display: RefCell<Display>,
}

/// The form in which progress is shown.
enum Display {
    Silent,
    Bars(MultiProgress, BTreeMap<String, ProgressBar>),
    Lines(Milestones, Instant),
}

impl Terminal {
    pub(super) fn new(style: &Style) -> Terminal {
        let interactive = std::io::stderr().is_terminal();
        Terminal {
            style: style.clone(),
            asks: interactive && std::io::stdin().is_terminal() && !style.json,
            display: RefCell::new(Display::new(style, interactive)),
        }
    }

    /// Prints a line without breaking the bars.
    fn say(&self, severity: Severity, text: &str) {
        let line = self.style.message(severity, text);
        match &*self.display.borrow() {
            Display::Bars(bars, _) => bars.suspend(|| output::message(&line)),
            Display::Silent | Display::Lines(..) => output::message(&line),
        }
    }

    fn say_all(&self, lines: &[String]) {
        lines.iter().for_each(|line| self.say(Severity::Note, line));
    }
}

impl Display {
    /// Bars are for who watches, so they are shown where lines would only fill a log.
    fn new(style: &Style, interactive: bool) -> Display {
        if !style.quiet && interactive {
            Display::Bars(MultiProgress::new(), BTreeMap::new())
        } else if style.is_silent() {
            Display::Silent
        } else {
            Display::Lines(Milestones::default(), Instant::now())
        }
    }

    /// Shows the progress of the copies; returns the plain lines that are due.
    fn update(&mut self, copies: &[Progress]) -> Vec<String> {
        match self {
            Display::Silent => Vec::new(),
            Display::Lines(milestones, since) => milestones.due(copies, since.elapsed()),
            Display::Bars(all, bars) => {
                copies.iter().for_each(|copy| show(all, bars, copy));
                Vec::new()
            }
        }
    }

    fn end(&mut self) -> Vec<String> {
        match self {
            Display::Silent => Vec::new(),
            Display::Lines(milestones, _) => milestones.end(),
            Display::Bars(all, bars) => {
                bars.values().for_each(rest);
                // Later output belongs below these bars and must not redraw them.
                (*all, *bars) = (MultiProgress::new(), BTreeMap::new());
                Vec::new()
            }
        }
    }
}

/// Updates the bar of a copy, and creates it when the copy is first seen.
fn show(all: &MultiProgress, bars: &mut BTreeMap<String, ProgressBar>, copy: &Progress) {
    let title = progress::title(copy);
    let bar = bars
        .entry(title.clone())
        .or_insert_with(|| all.add(new_bar(title, copy)));
    bar.set_length(copy.total.bytes());
    bar.set_position(copy.done.bytes());
}

fn new_bar(title: String, copy: &Progress) -> ProgressBar {
    let bar = ProgressBar::new(copy.total.bytes())
        .with_position(copy.done.bytes())
        .with_prefix(title);
    set_template(&bar, BAR);
    // What was copied before the first observation says nothing about the rate.
    bar.reset_eta();
    bar
}

fn rest(bar: &ProgressBar) {
    set_template(bar, BAR_AT_REST);
    bar.abandon();
}

fn set_template(bar: &ProgressBar, template: &str) {
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
}

impl Ui for Terminal {
    fn language(&self) -> &'static dyn Language {
        self.style.front_end.language()
    }

    fn note(&self, text: &str) {
        if !self.style.is_silent() {
            self.say(Severity::Note, text);
        }
    }

    fn warn(&self, text: &str) {
        self.say(Severity::Warning, text);
    }

    fn progress(&self, copies: &[Progress]) {
        let lines = self.display.borrow_mut().update(copies);
        self.say_all(&lines);
    }

    fn progress_end(&self) {
        let lines = self.display.borrow_mut().end();
        self.say_all(&lines);
    }

    fn confirm(&self, question: &str) -> bool {
        if !self.asks {
            return false;
        }
        output::message(&format!("{}: {question} [y/N] ", self.style.program));
        read_answer().is_some_and(|answer| is_yes(&answer))
    }
}

/// Reads one line from the terminal itself, whatever stdin is.
fn read_answer() -> Option<String> {
    let mut line = String::new();
    BufReader::new(File::open("/dev/tty").ok()?)
        .read_line(&mut line)
        .ok()?;
    Some(line)
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_yes_is_yes() {
        for answer in ["y\n", "Yes\n", " YES \n"] {
            assert!(is_yes(answer), "{answer:?}");
        }
        for answer in ["", "\n", "n\n", "yeah\n", "y y\n"] {
            assert!(!is_yes(answer), "{answer:?}");
        }
    }

    #[test]
    fn nothing_is_asked_with_json() {
        let terminal = Terminal::new(&Style {
            json: true,
            ..Style::default()
        });
        assert!(!terminal.confirm("overwrite 'g/v'?"));
    }

    #[test]
    fn the_bars_are_valid_templates() {
        assert!(
            [BAR, BAR_AT_REST]
                .map(ProgressStyle::with_template)
                .iter()
                .all(Result::is_ok)
        );
    }
}
