//! The command line: turns arguments into a [`Command`], and an [`Outcome`](crate::app::Outcome)
//! into text or JSON.
//!
//! The two front ends differ only in syntax: [`native`] and [`vx`] (VxVM's, by argv\[0\]). Both
//! produce an [`Invocation`], and everything behind that is the same. Only `main` calls [`run`];
//! only this module touches stdout, stderr and the terminal.

pub mod complete;
pub mod drawing;
mod exit;
pub mod native;
mod output;
mod terminal;
pub mod vx;
mod watch;

use crate::advice::Language;
use crate::app::{self, Command, Env, Mute, Options};
use crate::error::{Error, Result};
use crate::linux::Here;
use crate::model::{DmName, GroupId};
use crate::sys::helper::{HelperDevice, Tasks};
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A parsed command line.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// The options that all commands share.
    pub options: Options,
    /// The verb with its operands, or a query of a udev rule.
    pub action: Action,
    /// The form in which the answer is given.
    pub style: Style,
}

/// The part of the program that answers.
#[derive(Debug, Clone)]
pub enum Action {
    /// A command of the application.
    App(Command),
    /// The same, with its result in a file instead of on stdout.
    ToFile(Command, PathBuf),
    /// `--dry-run`: what a command of the application would do.
    Rehearse(Command),
    /// `status --watch`: looks again and again.
    Watch {
        /// The time between two looks.
        every: Duration,
        /// `--dry-run`: no monitor is started.
        only_look: bool,
    },
    /// What a VxVM utility does, where that is not one command.
    Vx(vx::Job),
    /// `udev-probe`: properties of a disk, for a udev rule.
    UdevProbe(PathBuf),
    /// `udev-name`: the link of a volume under `/dev/breakoff`, for a udev rule.
    UdevName(String),
}

/// The form in which an answer is given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Style {
    /// The program name at the start of each message.
    pub program: String,
    /// The front end in whose syntax advice is given.
    pub front_end: FrontEnd,
    /// The verb as JSON names it, such as `group create`; `None` if the command line had none.
    pub verb: Option<String>,
    /// Exactly one JSON document on stdout.
    pub json: bool,
    /// No notes, no progress, and nothing about changes that went well.
    pub quiet: bool,
    /// More detail in the output.
    pub verbose: bool,
    /// When a drawing has colours.
    pub color: drawing::When,
    /// The file for a picture in place of text.
    pub picture: Option<PathBuf>,
}

impl Style {
    /// Whether nothing is said of what went well: the utilities of VxVM are silent then, unless `-v`
    /// was given.
    pub fn is_silent(&self) -> bool {
        match self.front_end {
            FrontEnd::Native => self.quiet,
            FrontEnd::Vx => !self.verbose,
        }
    }

    /// A message that is neither a result nor a failure, in the form of the front end.
    fn message(&self, severity: Severity, text: &str) -> String {
        match (self.front_end, severity) {
            (FrontEnd::Native, Severity::Note) => format!("{}: {text}\n", self.program),
            (FrontEnd::Native, Severity::Warning) => {
                format!("{}: warning: {text}\n", self.program)
            }
            (FrontEnd::Vx, Severity::Note) => vx::exit::message(&self.program, "INFO", text),
            (FrontEnd::Vx, Severity::Warning) => vx::exit::message(&self.program, "WARNING", text),
        }
    }
}

/// How important a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Severity {
    /// Good to know.
    Note,
    /// A problem that does not stop the command.
    Warning,
}

/// The front end that parsed a command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FrontEnd {
    /// The native `breakoff` command.
    #[default]
    Native,
    /// A VxVM utility, such as `vxassist`.
    Vx,
}

impl FrontEnd {
    /// The language in which this front end gives advice.
    pub fn language(self) -> &'static dyn Language {
        match self {
            FrontEnd::Native => &native::hints::Native,
            FrontEnd::Vx => &vx::hints::Vx,
        }
    }
}

/// Why a command line did not become an [`Invocation`].
#[derive(Debug, Clone)]
pub struct Stopped {
    /// The form in which the help or the error is printed.
    pub style: Style,
    /// The help or the error to print.
    pub why: Why,
}

/// What is printed instead of running a command.
#[derive(Debug, Clone)]
pub enum Why {
    /// The text of the help or the version, as requested.
    Help(String),
    /// The error in the command line.
    Wrong(Error),
}

/// Parses the arguments, runs the command and prints the answer. Returns the exit status.
pub fn run(args: impl IntoIterator<Item = OsString>) -> u8 {
    let args: Vec<OsString> = args.into_iter().collect();
    if let Some(shell) = complete::asked() {
        return complete::answer(&shell, &args);
    }
    match parse(&args) {
        Ok(invocation) => answer(&invocation),
        Err(stopped) => exit::stopped(&stopped),
    }
}

/// Chooses the front end by the name that the program was called by, and parses with it.
fn parse(args: &[OsString]) -> std::result::Result<Invocation, Box<Stopped>> {
    let called = args
        .first()
        .map(Path::new)
        .and_then(Path::file_name)
        .and_then(|n| n.to_str())
        .unwrap_or_default();
    if vx::is_ours(called) {
        vx::parse(called, &args[1..])
    } else {
        native::parse(args)
    }
}

/// This machine. Its helper processes run [`serve`].
const HERE: Here = Here::new(serve);

/// The main function of a helper process.
fn serve(group: GroupId, devices: &[HelperDevice], requests: Tasks<File, File>) {
    // A helper has nowhere to report an error; the next command handles what is left.
    let _ = app::serve(
        group,
        devices,
        requests,
        Env {
            machine: &HERE,
            ui: &Mute(FrontEnd::Native.language()),
        },
    );
}

/// Runs one command and prints its outcome.
fn answer(invocation: &Invocation) -> u8 {
    let style = &invocation.style;
    let options = &invocation.options;
    let ui = terminal::Terminal::new(style);
    let env = Env {
        machine: &HERE,
        ui: &ui,
    };
    match &invocation.action {
        Action::App(command) => {
            let came = app::run(options, command, env).map_err(|err| match style.front_end {
                FrontEnd::Native => err,
                FrontEnd::Vx => vx::as_seen(options, err, env),
            });
            exit::outcome(style, options, came, &ui)
        }
        Action::ToFile(command, file) => {
            let came = app::run(options, command, env);
            exit::to_file(style, options, came, file, &ui)
        }
        Action::Rehearse(command) => {
            exit::outcome(style, options, app::rehearse(options, command, env), &ui)
        }
        Action::Watch { every, only_look } => {
            exit::ended(style, watch::run(style, options, *every, *only_look))
        }
        Action::Vx(job) => exit::vx(style, options, vx::run(options, job, env)),
        Action::UdevProbe(device) => exit::plain(style, udev_probe(device)),
        Action::UdevName(name) => exit::plain(style, udev_name(name)),
    }
}

/// `KEY=VALUE` lines, as a udev rule imports them.
fn udev_probe(device: &Path) -> Result<String> {
    let properties = app::udev_probe(&HERE, device)?;
    Ok(properties
        .into_iter()
        .map(|(key, value)| format!("{key}={value}\n"))
        .collect())
}

/// `group/volume` for the dm name of a volume.
fn udev_name(name: &str) -> Result<String> {
    let (group, volume) = DmName::from_kernel(name)
        .split()
        .ok_or_else(|| Error::failed(format!("'{name}' is not the device of a volume of ours")))?;
    Ok(format!("{group}/{volume}\n"))
}
