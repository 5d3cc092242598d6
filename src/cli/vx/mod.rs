//! VxVM's utilities, chosen by the name that the program is called by. Their words are translated
//! into the same commands as the native ones; the code behind does not know the difference.
//!
//! Each utility has a file. What it supports, and what it refuses, is listed in `table`, from which
//! its help and `docs/vxvm.md` are made. What is not supported is refused by name, never skipped;
//! where a word is accepted without effect, a comment says why. There is never a question, as
//! scripts expect: what is typed is meant.

mod assist;
mod dco;
mod dctl;
mod dg;
mod disk;
mod edit;
mod engine;
pub mod exit;
pub mod hints;
mod info;
mod mend;
mod plex;
mod print;
mod recover;
mod resize;
mod stat;
pub mod table;
mod task;
mod vol;
mod words;

use super::{Action, FrontEnd, Invocation, Stopped, Style, Why};
use crate::app::{Command, Env, Options, Query};
use crate::error::{Error, Kind, Result};
use crate::model::units::{DefaultUnit, parse_size};
use crate::model::{Name, Sectors};
use crate::plan::request::Request;
use crate::plan::room::RoomFor;
pub use engine::Answer;
use engine::Engine;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use words::{Syntax, Words, see_help};

/// What a utility does.
#[derive(Debug, Clone)]
pub enum Job {
    /// One command. Nothing is printed when it is done.
    Do(Command),
    /// Commands on independent objects. One that fails does not stop the others.
    Each(Vec<Command>),
    /// A change of all volumes of a group: the one that is named, or the only one.
    All(Request),
    /// `vxvol recover`: repairs what is left of a crash, if there are these volumes.
    Recheck(Vec<Name>),
    /// Nothing, successfully: what is asked for is the case.
    Nothing,
    /// This text.
    Say(String),
    /// `vxassist snapprint`.
    SnapPrint(Vec<Name>),
    /// `vxassist maxsize` and `maxgrow`.
    Room {
        /// Whose size is asked for.
        of: RoomFor,
        /// Whether only the number is printed.
        bare: bool,
    },
    /// `vxassist remove log`.
    RemoveLog(Name),
    /// `vxassist remove mirror`.
    RemoveMirror(Box<assist::RemoveMirror>),
    /// `vxprint`.
    Print(Box<print::Asked>),
    /// `vxdg`.
    Dg(dg::Job),
    /// `vxdisk`.
    Disk(disk::Job),
    /// `vxedit`.
    Edit(edit::Job),
    /// `vxplex` and `vxmend`.
    Plex(plex::Job),
    /// `vxinfo`.
    Info(info::Asked),
    /// `vxrecover`.
    Recover(recover::Asked),
    /// `vxstat`.
    Stat(stat::Asked),
    /// `vxtask`.
    Task(task::Job),
}

/// Carries a job out.
pub fn run(options: &Options, job: &Job, env: Env<'_>) -> Result<Answer> {
    let seen = |err| as_seen(options, err, env);
    let mut answer = carry_out(options, job, env).map_err(seen)?;
    answer.failures = answer.failures.into_iter().map(seen).collect();
    Ok(answer)
}

fn carry_out(options: &Options, job: &Job, env: Env<'_>) -> Result<Answer> {
    let engine = Engine {
        options: options.clone(),
        env,
    };
    match job {
        Job::Do(command) => engine.act(command).map(|()| Answer::default()),
        Job::Each(commands) => Ok(engine.each(commands)),
        Job::All(request) => engine.on_the_group(request),
        Job::Recheck(volumes) => {
            engine.ask(Query::Print(volumes.clone()))?;
            let repair = Command::Recover { check: false };
            engine.act(&repair).map(|()| Answer::default())
        }
        Job::Nothing => Ok(Answer::default()),
        Job::Say(text) => Ok(Answer::text(text.clone())),
        Job::SnapPrint(volumes) => assist::snapprint(&engine, volumes),
        Job::Room { of, bare } => assist::room(&engine, of, *bare),
        Job::RemoveLog(volume) => assist::take_log(&engine, volume),
        Job::RemoveMirror(asked) => asked.run(&engine),
        Job::Print(asked) => asked.run(&engine),
        Job::Dg(job) => job.run(&engine),
        Job::Disk(job) => job.run(&engine),
        Job::Edit(job) => job.run(&engine),
        Job::Plex(job) => job.run(&engine),
        Job::Info(asked) => asked.run(&engine),
        Job::Recover(asked) => asked.run(&engine),
        Job::Stat(asked) => asked.run(&engine),
        Job::Task(job) => job.run(&engine),
    }
}

/// What a failure is to who typed VxVM's words: a group that is there and not imported is none.
pub fn as_seen(options: &Options, err: Error, env: Env<'_>) -> Error {
    let Some(group) = options.group.as_ref() else {
        return err;
    };
    let engine = Engine {
        options: options.clone(),
        env,
    };
    let may_mean_that = matches!(err.kind(), Kind::NotReady | Kind::Unsafe | Kind::NotFound);
    if may_mean_that && matches!(dg::standing(&engine, group), Ok(dg::Standing::Elsewhere)) {
        return dg::no_such_group(group);
    }
    err
}

/// A utility that is supported.
struct Utility {
    syntax: Syntax,
    read: fn(&mut Words) -> Result<Job>,
}

/// All utilities that are supported.
const UTILITIES: [&Utility; 19] = [
    &assist::UTILITY,
    &dco::UTILITY,
    &dco::SNAP,
    &dctl::UTILITY,
    &dctl::LICENCES,
    &dg::UTILITY,
    &disk::UTILITY,
    &disk::SETUP,
    &disk::UNSETUP,
    &edit::UTILITY,
    &info::UTILITY,
    &mend::UTILITY,
    &plex::UTILITY,
    &print::UTILITY,
    &recover::UTILITY,
    &resize::UTILITY,
    &stat::UTILITY,
    &task::UTILITY,
    &vol::UTILITY,
];

/// Whether the program was called by a name like those of VxVM's utilities. The words after it are
/// never taken for native ones, whether or not the name is known: `vxcache stop` does not stop a
/// volume.
pub fn is_ours(called: &str) -> bool {
    called.starts_with("vx")
}

/// Parses a command line without the program's name, which is `called`.
pub fn parse(called: &str, args: &[OsString]) -> std::result::Result<Invocation, Box<Stopped>> {
    let utility = UTILITIES
        .iter()
        .find(|utility| utility.syntax.utility == called);
    let mut style = Style {
        program: called.to_owned(),
        front_end: FrontEnd::Vx,
        ..Style::default()
    };
    let read = match utility {
        None => Err(Why::Wrong(unsupported(called))),
        Some(utility) => help(utility, args)
            .map_or(Ok(()), |text| Err(Why::Help(text)))
            .and_then(|()| invocation(utility, args, &mut style)),
    };
    read.map_err(|why| Box::new(Stopped { style, why }))
}

/// The help, if that is what is asked for: `help` as the first word, or `--help`.
fn help(utility: &Utility, args: &[OsString]) -> Option<String> {
    let first = args.first()?;
    if first != "help" && first != "--help" {
        return None;
    }
    let topic = args.get(1).and_then(|word| word.to_str());
    let topic = topic.filter(|_| utility.syntax.utility == "vxassist");
    topic
        .and_then(assist::topic)
        .or_else(|| Some(table::help(utility.syntax.utility)))
}

fn invocation(
    utility: &Utility,
    args: &[OsString],
    style: &mut Style,
) -> std::result::Result<Invocation, Why> {
    let words = Words::parse(args, utility.syntax).map_err(Why::Wrong)?;
    if words.verb.as_deref() == Some("help") {
        return Err(Why::Help(table::help(utility.syntax.utility)));
    }
    understood(utility, words, style).map_err(Why::Wrong)
}

fn understood(utility: &Utility, mut words: Words, style: &mut Style) -> Result<Invocation> {
    style.verb = words.verb.clone();
    let job = (utility.read)(&mut words)?;
    // What the letters mean where the utility has no other meaning for them.
    let (rehearsed, background) = (words.flag('V'), words.flag('b'));
    (style.quiet, style.verbose) = (words.flag('q'), words.flag('v'));
    let options = Options {
        group: words.group.clone(),
        yes: true,
        background,
        timeout: None,
    };
    words.finish()?;
    let action = match (job, rehearsed) {
        (Job::Do(command), false) => Action::App(command),
        (Job::Do(command), true) => Action::Rehearse(command),
        (job, false) => Action::Vx(job),
        (_, true) => {
            return Err(Error::usage(
                "the option '-V' is not supported here: what would be done depends on the configuration",
            ));
        }
    };
    Ok(Invocation {
        options,
        action,
        style: style.clone(),
    })
}

/// Refuses a utility by name, with what to use instead.
fn unsupported(called: &str) -> Error {
    table::instead(called).map_or_else(
        || {
            Error::usage(format!("'{called}' is not supported"))
                .hint("it is none of VxVM's utilities that breakoff knows")
        },
        |(why, instead)| Error::usage(format!("'{called}' is not supported: {why}")).hint(instead),
    )
}

/// Refuses a keyword of a utility. What is known of VxVM's keywords is refused with what to use
/// instead.
fn refused(words: &Words, keyword: &str) -> Error {
    let utility = words.utility();
    match table::refusal(utility, keyword) {
        Some(instead) => {
            Error::usage(format!("'{utility} {keyword}' is not supported")).hint(instead)
        }
        None => Error::usage(format!("'{keyword}' is not a keyword of {utility}"))
            .hint(see_help(utility)),
    }
}

/// Reads a length as VxVM does: in sectors of 512 bytes, if it has no suffix.
fn length_of(word: &str) -> Result<Sectors> {
    match parse_size(word, DefaultUnit::Sectors)? {
        size if size.is_zero() => Err(Error::usage(format!("'{word}' is no length to ask for"))),
        size => Ok(size),
    }
}

/// The path of a device that is given by its access name, such as `sdb` or `mapper/mpatha`, or by
/// its path.
fn device(word: &str) -> PathBuf {
    Path::new("/dev").join(word)
}

/// Several commands as one job; a single one can be rehearsed.
fn each(commands: impl IntoIterator<Item = Command>) -> Job {
    let mut commands: Vec<Command> = commands.into_iter().collect();
    match (commands.pop(), commands.is_empty()) {
        (Some(only), true) => Job::Do(only),
        (last, _) => {
            commands.extend(last);
            Job::Each(commands)
        }
    }
}
