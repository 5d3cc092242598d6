//! VxVM's syntax, chosen by the name that the program is called by. It is translated into the same
//! commands as the native one; the code behind does not know the difference.
//!
//! Only `vxassist` is supported so far. What is not supported is refused by name, never skipped;
//! where a word is accepted without effect, a comment says why. There is never a question, as
//! scripts expect: what is typed is meant.

mod assist;
pub mod hints;
mod layout;
mod words;

use super::{Action, FrontEnd, Invocation, Stopped, Style, Why};
use crate::app::Options;
use crate::error::{Error, Result};
use std::ffi::OsString;
use words::Words;

/// VxVM's utilities, each with the native command to use while it is not supported.
const UTILITIES: [(&str, &str); 15] = [
    ("vxassist", ""),
    ("vxdg", "breakoff group"),
    ("vxdisk", "breakoff disk"),
    ("vxdisksetup", "breakoff disk init"),
    ("vxedit", "breakoff remove"),
    ("vxinfo", "breakoff print"),
    ("vxmend", "breakoff plex"),
    ("vxmirror", "breakoff mirror"),
    ("vxplex", "breakoff plex"),
    ("vxprint", "breakoff print"),
    ("vxrecover", "breakoff start"),
    ("vxresize", "breakoff grow"),
    ("vxsnap", "breakoff snapstart"),
    ("vxtask", "breakoff print"),
    ("vxvol", "breakoff start"),
];

/// Whether the program was called by a name like those of VxVM's utilities. The words after it are
/// never taken for native ones, whether or not the name is known: `vxcache stop` does not stop a
/// volume.
pub fn is_ours(called: &str) -> bool {
    called.starts_with("vx")
}

/// Parses a command line without the program's name, which is `called`.
pub fn parse(called: &str, args: &[OsString]) -> std::result::Result<Invocation, Box<Stopped>> {
    let mut style = Style {
        program: called.to_owned(),
        front_end: FrontEnd::Vx,
        ..Style::default()
    };
    understand(called, args, &mut style).map_err(|why| Box::new(Stopped { style, why }))
}

fn understand(
    called: &str,
    args: &[OsString],
    style: &mut Style,
) -> std::result::Result<Invocation, Why> {
    if called != "vxassist" {
        return Err(Why::Wrong(unsupported(called)));
    }
    if asks_for_help(args) {
        return Err(Why::Help(assist::HELP.to_owned()));
    }
    invocation(args, style).map_err(Why::Wrong)
}

fn asks_for_help(args: &[OsString]) -> bool {
    args.first()
        .is_some_and(|word| word == "help" || word == "--help")
}

fn invocation(args: &[OsString], style: &mut Style) -> Result<Invocation> {
    let words = Words::parse(args)?;
    style.verb = words.verb.clone();
    (style.quiet, style.verbose) = (words.quiet, words.verbose);
    let options = options(&words);
    let run = if words.mock {
        Action::Rehearse
    } else {
        Action::App
    };
    let command = assist::command(words)?;
    Ok(Invocation {
        options,
        action: run(command),
        style: style.clone(),
    })
}

fn options(words: &Words) -> Options {
    Options {
        group: words.group.clone(),
        yes: true,
        background: words.background,
        timeout: None,
    }
}

fn unsupported(called: &str) -> Error {
    let known = UTILITIES.iter().find(|(name, _)| *name == called);
    let (native, why) = match known {
        Some((_, native)) => (*native, "is not supported yet"),
        None => ("breakoff", "is not supported: breakoff does not know it"),
    };
    Error::usage(format!("'{called}' {why}")).hint(format!("see '{native} --help'"))
}
