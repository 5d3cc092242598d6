//! The native command line (DESIGN §5). One file per verb; the doc comment of its arguments is its
//! help.
//!
//! The parser, the help and the usage errors all come from these definitions. Nothing here runs
//! anything.

mod disk;
mod fast_resync;
mod group;
mod grow;
pub mod hints;
mod log;
mod make;
mod map;
mod metrics;
mod mirror;
mod monitor;
pub mod names;
mod owner;
mod plex;
mod print;
mod recover;
mod remove;
mod rename;
mod room;
mod snapabort;
mod snapback;
mod snapclear;
mod snapprint;
mod snapshot;
mod snapstart;
mod snapwait;
mod start;
mod stat;
mod status;
mod stop;
mod udev;
mod usage;
mod verify;
mod words;

use super::drawing::When;
use super::{Action, FrontEnd, Invocation, Stopped, Style, Why};
use crate::app::Options;
use crate::error::{Error, Result};
use crate::model::Name;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// Third-mirror break-off snapshots on device-mapper
///
/// A volume gets a further mirror that the kernel brings up to date (snapstart); at any later
/// moment it is broken off (snapshot) and is a volume of its own that holds exactly that instant.
#[derive(Parser)]
#[command(name = "breakoff", version, max_term_width = 110)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    verb: Verb,
}

/// Options that every verb takes, before or behind it.
#[derive(Args)]
#[command(next_help_heading = "Global options")]
struct Globals {
    /// The disk group; may be left out when the volume's name is unique
    #[arg(short, long, global = true, value_name = "GROUP", value_parser = Name::parse)]
    group: Option<Name>,
    /// Print exactly one JSON document to stdout, on errors too
    #[arg(long, global = true)]
    json: bool,
    /// Print what would be done, and do nothing
    #[arg(long, global = true)]
    dry_run: bool,
    /// Do it although it destroys something
    #[arg(short, long, global = true)]
    yes: bool,
    /// Say nothing but errors, warnings and what was asked for
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Say more
    #[arg(short, long, global = true)]
    verbose: bool,
    /// Give up after so long, waiting for the group's lock or for a copy (fractions are allowed)
    #[arg(long, global = true, value_name = "SECS", value_parser = words::seconds)]
    timeout: Option<Duration>,
}

#[derive(Subcommand)]
enum Verb {
    #[command(subcommand)]
    Group(group::Group),
    #[command(subcommand)]
    Disk(disk::Disk),
    Make(make::Make),
    Remove(remove::Remove),
    Rename(rename::Rename),
    Owner(owner::Owner),
    Grow(grow::Grow),
    Mirror(mirror::Mirror),
    #[command(subcommand)]
    Log(log::Log),
    Start(start::Start),
    Stop(stop::Stop),
    Print(print::Print),
    Map(map::Map),
    Room(room::Room),
    Snapstart(snapstart::SnapStart),
    Snapwait(snapwait::SnapWait),
    Snapshot(snapshot::Snapshot),
    Snapback(snapback::SnapBack),
    Snapclear(snapclear::SnapClear),
    Snapabort(snapabort::SnapAbort),
    Snapprint(snapprint::SnapPrint),
    #[command(subcommand)]
    Plex(plex::Plex),
    FastResync(fast_resync::FastResync),
    Recover(recover::Recover),
    Monitor(monitor::Monitor),
    Status(status::Status),
    Stat(stat::Stat),
    Verify(verify::Verify),
    Metrics(metrics::Metrics),
    #[command(hide = true)]
    UdevProbe(udev::UdevProbe),
    #[command(hide = true)]
    UdevName(udev::UdevName),
}

impl Verb {
    fn action(self, dry_run: bool) -> Result<Action> {
        let command = match self {
            Verb::Group(verb) => verb.command(),
            Verb::Disk(verb) => verb.command(),
            Verb::Make(verb) => verb.command(),
            Verb::Remove(verb) => verb.command(),
            Verb::Rename(verb) => verb.command(),
            Verb::Owner(verb) => verb.command()?,
            Verb::Grow(verb) => verb.command(),
            Verb::Mirror(verb) => verb.command(),
            Verb::Log(verb) => verb.command(),
            Verb::Start(verb) => verb.command(),
            Verb::Stop(verb) => verb.command(),
            Verb::Print(verb) => verb.command(),
            Verb::Map(verb) => verb.command(),
            Verb::Room(verb) => verb.command(),
            Verb::Snapstart(verb) => verb.command(),
            Verb::Snapwait(verb) => verb.command(),
            Verb::Snapshot(verb) => verb.command()?,
            Verb::Snapback(verb) => verb.command()?,
            Verb::Snapclear(verb) => verb.command(),
            Verb::Snapabort(verb) => verb.command(),
            Verb::Snapprint(verb) => verb.command(),
            Verb::Plex(verb) => verb.command(),
            Verb::FastResync(verb) => verb.command(),
            Verb::Recover(verb) => verb.command(),
            Verb::Monitor(verb) => verb.command(),
            Verb::Status(verb) => match verb.watch {
                Some(every) => {
                    return Ok(Action::Watch {
                        every,
                        only_look: dry_run,
                    });
                }
                None => verb.command(),
            },
            Verb::Stat(verb) => verb.command(),
            Verb::Verify(verb) => verb.command(),
            Verb::Metrics(verb) => return Ok(verb.action(dry_run)),
            Verb::UdevProbe(verb) => return Ok(verb.action()),
            Verb::UdevName(verb) => return Ok(verb.action()),
        };
        Ok(if dry_run {
            Action::Rehearse(command)
        } else {
            Action::App(command)
        })
    }

    /// `-b`, which only the verbs that copy have.
    fn background(&self) -> bool {
        match self {
            Verb::Snapstart(verb) => verb.background,
            Verb::Snapback(verb) => verb.background,
            Verb::Mirror(verb) => verb.background,
            Verb::Plex(verb) => verb.background(),
            Verb::Group(verb) => verb.background(),
            _ => false,
        }
    }

    /// `--color`, which only the verbs that draw have.
    fn color(&self) -> When {
        match self {
            Verb::Map(verb) => verb.coloring.color,
            Verb::Snapprint(verb) => verb.coloring.color,
            _ => When::default(),
        }
    }

    /// The file for a picture.
    fn picture(&self, json: bool) -> Result<Option<PathBuf>> {
        match self {
            Verb::Map(verb) => verb.picture(json),
            _ => Ok(None),
        }
    }

    /// The group that the verb itself names.
    fn names_group(&self) -> Option<&Name> {
        match self {
            Verb::Group(verb) => verb.names_group(),
            _ => None,
        }
    }
}

/// The parser with all verbs, each with the exit status table below its help.
pub fn parser() -> clap::Command {
    usage::with_exit_status(Cli::command())
}

/// Understands a whole command line, the program's name first.
pub fn parse(args: &[OsString]) -> std::result::Result<Invocation, Box<Stopped>> {
    let stop = |style, why| Box::new(Stopped { style, why });
    let refused = |style: Style, err: &clap::Error| stop(style.clone(), usage::why(err, &style));
    let matches = parser()
        .try_get_matches_from(args)
        .map_err(|err| refused(usage::style(args), &err))?;
    let style = style(&matches);
    let cli = Cli::from_arg_matches(&matches).map_err(|err| refused(style.clone(), &err))?;
    assemble(cli, style.clone()).map_err(|err| stop(style, Why::Wrong(err)))
}

fn style(matches: &ArgMatches) -> Style {
    Style {
        program: usage::PROGRAM.to_owned(),
        front_end: FrontEnd::Native,
        verb: verb_path(matches),
        json: matches.get_flag("json"),
        quiet: matches.get_flag("quiet"),
        verbose: matches.get_flag("verbose"),
        ..Style::default()
    }
}

/// The verb in all its words, such as `group create`.
fn verb_path(matches: &ArgMatches) -> Option<String> {
    let (word, inner) = matches.subcommand()?;
    Some(verb_path(inner).map_or_else(|| word.to_owned(), |rest| format!("{word} {rest}")))
}

fn assemble(cli: Cli, style: Style) -> Result<Invocation> {
    let Cli { globals, verb } = cli;
    if globals.quiet && globals.verbose {
        return Err(Error::usage("'-q' and '-v' do not go together"));
    }
    one_group(globals.group.as_ref(), verb.names_group())?;
    let options = Options {
        group: globals.group,
        yes: globals.yes,
        background: verb.background(),
        timeout: globals.timeout,
    };
    let style = Style {
        color: verb.color(),
        picture: verb.picture(globals.json)?,
        ..style
    };
    Ok(Invocation {
        options,
        action: verb.action(globals.dry_run)?,
        style,
    })
}

/// `-g a group destroy b` can only be a mistake.
fn one_group(option: Option<&Name>, operand: Option<&Name>) -> Result<()> {
    match (option, operand) {
        (Some(option), Some(operand)) if option != operand => Err(Error::usage(format!(
            "'-g {option}' and the operand '{operand}' name different groups"
        ))
        .hint("leave out '-g'")),
        _ => Ok(()),
    }
}
