//! Help, usage errors and what can be known of a command line that does not parse. Called by
//! `native::parse` only.

use super::super::{FrontEnd, Style, Why};
use super::parser;
use crate::error::Error;
use clap::error::ErrorKind;
use std::error::Error as _;
use std::ffi::OsString;

/// The name that messages begin with.
pub(super) const PROGRAM: &str = "breakoff";

const EXIT_STATUS: &str = "\
Exit status:
  0 done                      4 in use, or the name is taken   8 device or kernel error
  1 failed; nothing changed   5 not ready                      9 refused for safety
    unless said               6 no space                      10 this kernel lacks a
  2 usage    3 not found      7 timed out                        needed target";

/// Options whose next word is their value.
const WITH_VALUE: [&str; 3] = ["-g", "--group", "--timeout"];

/// Puts the exit status table below the help of a verb and of all verbs below it.
pub(super) fn with_exit_status(command: clap::Command) -> clap::Command {
    command
        .after_help(EXIT_STATUS)
        .mut_subcommands(with_exit_status)
}

/// Help or error, as clap saw it.
pub(super) fn why(err: &clap::Error, style: &Style) -> Why {
    match err.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Why::Help(err.render().to_string()),
        _ => Why::Wrong(usage_error(err, style.verb.as_deref())),
    }
}

/// Our own error of a value that does not fit, or clap's in one line with its tip or the usage as
/// hint.
fn usage_error(err: &clap::Error, verb: Option<&str>) -> Error {
    if let Some(ours) = err
        .source()
        .and_then(|source| source.downcast_ref::<Error>())
    {
        return ours.clone();
    }
    let text = err.render().to_string();
    let mut paragraphs = text.split("\n\n").map(one_line);
    let message = match (err.kind(), paragraphs.next()) {
        (ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand, _) => {
            "a verb is missing".to_owned()
        }
        (_, message) => message.unwrap_or_default(),
    };
    // No name of ours begins with a dash, so that clap's advice to pass such a word as a value is
    // none.
    let tip = paragraphs.find_map(|p| {
        p.strip_prefix("tip: ")
            .filter(|tip| !tip.starts_with("to pass"))
            .map(str::to_owned)
    });
    let hint = tip
        .or_else(|| usage_line(&text))
        .unwrap_or_else(|| see_help(verb));
    Error::usage(message.strip_prefix("error: ").unwrap_or(&message)).hint(hint)
}

fn one_line(paragraph: &str) -> String {
    paragraph.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn usage_line(text: &str) -> Option<String> {
    text.lines()
        .find(|line| line.starts_with("Usage: "))
        .map(|line| one_line(line).replacen("Usage:", "usage:", 1))
}

fn see_help(verb: Option<&str>) -> String {
    format!(
        "see '{}'",
        [Some(PROGRAM), verb, Some("--help")]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" ")
    )
}

/// How to answer to words that did not parse: what can be told from them without understanding
/// them.
pub(super) fn style(args: &[OsString]) -> Style {
    let words: Vec<&str> = args
        .iter()
        .skip(1)
        .filter_map(|arg| arg.to_str())
        .take_while(|word| *word != "--")
        .collect();
    Style {
        program: PROGRAM.to_owned(),
        front_end: FrontEnd::Native,
        verb: guess_verb(&words),
        json: words.contains(&"--json"),
        ..Style::default()
    }
}

/// The first words that are verbs, looked up in the parser itself.
fn guess_verb(words: &[&str]) -> Option<String> {
    let mut level = parser();
    let mut found = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if WITH_VALUE.contains(word) {
            words.next();
        } else if !word.starts_with('-') {
            let Some(inner) = level.find_subcommand(word).cloned() else {
                break;
            };
            found.push(*word);
            level = inner;
        }
    }
    (!found.is_empty()).then(|| found.join(" "))
}
