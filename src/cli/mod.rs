//! The command line: words in, a [`Command`] out; an [`Outcome`](crate::app::Outcome) in, text or
//! JSON out.
//!
//! Two front ends only differ in their words: [`native`] and [`vx`] (VxVM's, by argv\[0\]). Both
//! end in an [`Invocation`], and everything behind that is the same. Only `main` calls [`run`];
//! only this module touches stdout, stderr and the terminal.

mod exit;
pub mod native;
mod output;
mod terminal;
pub mod vx;

use crate::advice::Language;
use crate::app::{self, Command, Env, Mute, Options};
use crate::error::{Error, Result};
use crate::linux::Here;
use crate::model::{DmName, GroupId};
use crate::sys::helper::{HelperDevice, Tasks};
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};

/// What a command line asked for.
#[derive(Debug, Clone)]
pub struct Invocation {
    /// Everything beside the verb.
    pub options: Options,
    /// The verb with its operands.
    pub action: Action,
    /// How the answer is given.
    pub style: Style,
}

/// Who answers.
#[derive(Debug, Clone)]
pub enum Action {
    /// The application.
    App(Command),
    /// `udev-probe`: properties of a disk, for a udev rule.
    UdevProbe(PathBuf),
    /// `udev-name`: the link of a volume under `/dev/breakoff`, for a udev rule.
    UdevName(String),
}

/// How the answer is given.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Style {
    /// The name that messages begin with.
    pub program: String,
    /// Whose words advice is given in.
    pub front_end: FrontEnd,
    /// The verb as JSON names it, such as `group create`; `None` when the words had none.
    pub verb: Option<String>,
    /// Exactly one JSON document on stdout.
    pub json: bool,
    /// No notes, no progress, and nothing about changes that went well.
    pub quiet: bool,
    /// More of everything.
    pub verbose: bool,
}

/// Which command line the words were of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FrontEnd {
    /// `breakoff`.
    #[default]
    Native,
    /// A utility of VxVM's.
    Vx,
}

impl FrontEnd {
    /// The words in which it advises.
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
    /// How to answer nevertheless.
    pub style: Style,
    /// What to say.
    pub why: Why,
}

/// What is said instead of running a command.
#[derive(Debug, Clone)]
pub enum Why {
    /// Help or the version was asked for.
    Help(String),
    /// The words do not fit.
    Wrong(Error),
}

/// Understands the words, runs the command and answers. Returns the exit status.
pub fn run(args: impl IntoIterator<Item = OsString>) -> u8 {
    let args: Vec<OsString> = args.into_iter().collect();
    match parse(&args) {
        Ok(invocation) => answer(&invocation),
        Err(stopped) => exit::stopped(&stopped),
    }
}

/// Chooses the front end by the name that the program was called by.
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

/// This machine, with helpers that can do what a command can.
const HERE: Here = Here::new(serve);

/// What a helper does.
fn serve(group: GroupId, devices: &[HelperDevice], requests: Tasks<File, File>) {
    // There is nobody who could be told, and what is left the next command deals with.
    let _ = app::serve(
        group,
        devices,
        requests,
        Env {
            machine: &HERE,
            ui: &Mute,
        },
    );
}

/// Runs one command and prints what came of it.
fn answer(invocation: &Invocation) -> u8 {
    let style = &invocation.style;
    match &invocation.action {
        Action::App(command) => {
            let ui = terminal::Terminal::new(style);
            exit::outcome(
                style,
                app::run(
                    &invocation.options,
                    command,
                    Env {
                        machine: &HERE,
                        ui: &ui,
                    },
                ),
                &ui,
            )
        }
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
