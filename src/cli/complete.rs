//! Completion of words for shells, when the environment asks for it.
//!
//! The scripts of `dist/completions` call the program with `BREAKOFF_COMPLETE` set to the shell and
//! with the words of the command line behind `--`. `clap_complete` finds what can follow from the parser;
//! this module gives it the names of what there is. A shell waits meanwhile: no command's lock is
//! taken, nothing is loaded, started or written, and no disk is waited for long. What goes wrong
//! means that there are fewer words to choose from, and is not reported.

use super::native::names::completing;
use super::{Stopped, Style, Why, exit, output};
use crate::app::names::{self, GroupNames};
use crate::error::{Error, Result};
use crate::linux::Here;
use crate::linux::process::glance;
use clap_complete::engine::complete;
use clap_complete::env::{Bash, EnvCompleter, Fish, Shells, Zsh};
use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

/// The name of the program, for shells.
const PROGRAM: &str = "breakoff";
/// The variable that names the shell.
const VARIABLE: &str = "BREAKOFF_COMPLETE";
/// The variable in which the scripts give the number of the word; fish's has none, and means the
/// last one.
const PLACE: &str = "_CLAP_COMPLETE_INDEX";
/// The variable in which bash's script says what stands between words.
const BETWEEN: &str = "_CLAP_IFS";
/// The shells that there are scripts for.
const SHELLS: Shells<'static> = Shells(&[&WordsOfBash, &Fish, &Zsh]);

/// How long a shell waits for names.
const DEADLINE: Duration = Duration::from_secs(2);
/// How long it waits for a disk. Each disk of a group has all its names: the others are enough.
const DISK_ANSWERS: Duration = Duration::from_millis(600);

/// The shell that asks for completion, if that is why the program was called.
pub(super) fn asked() -> Option<OsString> {
    env::var_os(VARIABLE).filter(|shell| !shell.is_empty())
}

/// Prints what can follow, or the shell's script if there are no words. Returns the exit status.
pub(super) fn answer(shell: &OsStr, args: &[OsString]) -> u8 {
    let known = shell.to_str().and_then(|name| SHELLS.completer(name));
    let Some(completer) = known else {
        let names: Vec<&str> = SHELLS.names().collect();
        let why = Error::usage(format!("{VARIABLE} names none of {}", names.join(", ")));
        return exit::stopped(&Stopped {
            style: Style {
                program: PROGRAM.to_owned(),
                ..Style::default()
            },
            why: Why::Wrong(why),
        });
    };
    let words = args.iter().skip_while(|word| *word != "--").skip(1);
    let words: Vec<OsString> = words.cloned().collect();
    let text = if words.is_empty() {
        written(|text| register(completer, text))
    } else {
        let place = place(words.len());
        let mut parser = completing(&words, place, live);
        let here = env::current_dir().ok();
        written(|text| completer.write_complete(&mut parser, words, here.as_deref(), text))
    };
    match text.map(|text| output::result(&text)) {
        Ok(Ok(())) => 0,
        // Such as words behind which nothing can follow.
        Ok(Err(_)) | Err(_) => 1,
    }
}

/// The script that has a shell ask this program; `None` for a shell that there is none for.
pub fn script(shell: &str) -> Option<Result<String>> {
    let completer = SHELLS.completer(shell)?;
    let text = written(|text| register(completer, text));
    Some(text.map_err(|err| Error::io("the script cannot be made", &err)))
}

fn register(completer: &dyn EnvCompleter, text: &mut dyn Write) -> io::Result<()> {
    completer.write_registration(VARIABLE, PROGRAM, PROGRAM, PROGRAM, text)?;
    if completer.is(Zsh.name()) {
        // zsh runs the file as a function for the first word that is completed.
        writeln!(
            text,
            "[[ $funcstack[1] != _{PROGRAM} ]] || _clap_dynamic_completer_{PROGRAM} \"$@\""
        )?;
    }
    Ok(())
}

fn written(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<String> {
    let mut text = Vec::new();
    write(&mut text)?;
    String::from_utf8(text).map_err(io::Error::other)
}

/// The place of the word that is to be completed, among so many.
fn place(words: usize) -> usize {
    let given = env::var(PLACE).ok().and_then(|place| place.parse().ok());
    given.unwrap_or(words - 1)
}

/// The names that there are on this machine, as far as they can be had in time. A child looks: it may
/// hang on a disk.
fn live() -> Vec<GroupNames> {
    if !glance::is_possible() {
        return Vec::new();
    }
    let heard = glance::hear(DEADLINE, |mouth| {
        if let Ok(names) = names::names(&Here::default().impatient(DISK_ANSWERS)) {
            let _ = serde_json::to_writer(mouth, &names);
        }
    });
    heard
        .and_then(|text| serde_json::from_slice(&text).ok())
        .unwrap_or_default()
}

/// bash, which takes `--on=disk01` for three words and has the last one completed.
#[derive(Debug)]
struct WordsOfBash;

impl WordsOfBash {
    /// The words without the `=` between an option and its value, and the place of the word at
    /// `place`.
    fn joined(words: Vec<OsString>, mut place: usize) -> (Vec<OsString>, usize) {
        let mut kept: Vec<OsString> = Vec::new();
        for (at, word) in words.into_iter().enumerate() {
            let is_behind_option = kept
                .last()
                .is_some_and(|last| last.as_encoded_bytes().starts_with(b"--"));
            if word == "=" && is_behind_option && at < place {
                place -= 1;
            } else {
                kept.push(word);
            }
        }
        (kept, place)
    }
}

impl EnvCompleter for WordsOfBash {
    fn name(&self) -> &'static str {
        Bash.name()
    }

    fn is(&self, name: &str) -> bool {
        Bash.is(name)
    }

    fn write_registration(
        &self,
        variable: &str,
        name: &str,
        program: &str,
        completer: &str,
        text: &mut dyn Write,
    ) -> io::Result<()> {
        Bash.write_registration(variable, name, program, completer, text)
    }

    fn write_complete(
        &self,
        parser: &mut clap::Command,
        words: Vec<OsString>,
        here: Option<&Path>,
        text: &mut dyn Write,
    ) -> io::Result<()> {
        let place = place(words.len());
        let (words, place) = WordsOfBash::joined(words, place);
        let between = env::var(BETWEEN).unwrap_or_else(|_| "\n".to_owned());
        let found = complete(parser, words, place, here)?;
        let found = found.iter().map(|word| word.get_value().to_string_lossy());
        text.write_all(found.collect::<Vec<_>>().join(&between).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_and_its_value_are_two_words() {
        let words = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        let joined = |line: &str, place| WordsOfBash::joined(words(line), place);
        assert_eq!(
            joined("breakoff make --on = d", 4),
            (words("breakoff make --on d"), 3)
        );
        // bash gives an empty word in place of the sign itself.
        assert_eq!(
            joined("breakoff make --on  v", 3),
            (words("breakoff make --on  v"), 3)
        );
        assert_eq!(
            joined("breakoff --on = a --avoid = b = c", 8),
            (words("breakoff --on a --avoid b = c"), 6)
        );
    }
}
