//! What the program does for a front end: take a command, observe, plan, execute, and hand back
//! what to say.
//!
//! Front ends (`cli`) build a [`Command`] and print an [`Outcome`]; neither knows of the other's
//! words.

mod differences;
mod groups;
mod helper;
mod labels;
mod learn;
pub mod monitor;
mod paths;
mod resize;
mod run;
mod scan;
mod session;
mod status;
mod wait;
mod which;

pub use helper::run as serve;
pub use run::run;
pub use scan::udev_probe;

use crate::error::{Error, Kind};
use crate::meta::Fill;
use crate::model::{Name, Sectors};
pub use crate::plan::change::{Change, Detail, Event};
use crate::plan::request::Request;
use crate::plan::step::Plan;
use crate::plan::world::World;
use crate::sys::machine::Machine;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

/// Everything beside the verb.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `-g`: the group; without it the one that holds the named volume.
    pub group: Option<Name>,
    /// `--dry-run`: hand back the plan and do nothing.
    pub dry_run: bool,
    /// `-y`: a destructive default is meant.
    pub yes: bool,
    /// `-b`: do not wait for the copy.
    pub background: bool,
    /// `--timeout`: how long to wait for a lock, and for a copy.
    pub timeout: Option<Duration>,
}

/// A disk as named on a command line: `[MEDIA=]DEVICE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedDevice {
    /// Media name; by default `diskNN`.
    pub media: Option<Name>,
    /// The device.
    pub device: PathBuf,
}

/// A verb with its operands.
#[derive(Debug, Clone)]
pub enum Command {
    /// A change to volumes.
    Change(Request),
    /// `snapwait`.
    SnapWait {
        /// Which, all of them.
        volumes: Vec<Name>,
        /// Legs that have to be SNAPDONE on each.
        mirrors: usize,
    },
    /// `group create`.
    GroupCreate {
        /// Its name.
        name: Name,
        /// Its first disks.
        disks: Vec<NamedDevice>,
        /// Initialise devices that carry a signature.
        force: bool,
        /// Size of the private area when it is not the default.
        area: Option<Sectors>,
    },
    /// `group add`.
    GroupAdd {
        /// Which group.
        name: Name,
        /// The new disks.
        disks: Vec<NamedDevice>,
        /// Initialise devices that carry a signature.
        force: bool,
    },
    /// `group remove-disk`.
    GroupRemoveDisk {
        /// Which group.
        name: Name,
        /// Which disk.
        media: Name,
    },
    /// `group replace-disk`.
    GroupReplaceDisk {
        /// Which group.
        name: Name,
        /// The disk that goes.
        media: Name,
        /// The one that takes its place.
        device: PathBuf,
        /// Initialise a device that carries a signature.
        force: bool,
    },
    /// `group list`.
    GroupList,
    /// `group show`.
    GroupShow(Name),
    /// `group dump`.
    GroupDump(Name),
    /// `group destroy`.
    GroupDestroy(Name),
    /// `group import`.
    GroupImport {
        /// Which, by name or UUID.
        name: String,
        /// The name it gets, when not its own.
        new_name: Option<Name>,
        /// Also when another host has it, or disks are missing.
        force: bool,
    },
    /// `group deport`.
    GroupDeport(Name),
    /// `group choose`.
    GroupChoose {
        /// Which group, by name or UUID.
        name: String,
        /// The side that wins: how its digest begins, or a device of it.
        side: String,
    },
    /// `disk list`.
    DiskList,
    /// `disk init`.
    DiskInit {
        /// The devices.
        devices: Vec<PathBuf>,
        /// Wipe signatures.
        force: bool,
        /// Size of the private area when it is not the default.
        area: Option<Sectors>,
    },
    /// `disk resize`.
    DiskResize(Name),
    /// `print`.
    Print(Vec<Name>),
    /// `snapprint`.
    SnapPrint(Vec<Name>),
    /// `snapprint --changed-ranges`: of one snapshot.
    ChangedRanges(Vec<Name>),
    /// `status`: one line for each group, and what needs attention.
    Status,
    /// `recover`.
    Recover {
        /// Only report.
        check: bool,
    },
    /// `start --auto`: everything on this machine, at boot.
    StartAuto,
    /// `stop --auto`: everything on this machine, at shutdown.
    StopAuto,
    /// `monitor`.
    Monitor,
}

/// What a changing command did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The changes in order. Empty: there was nothing to do.
    pub changes: Vec<Change>,
    /// What to know or type next (stderr for people).
    pub notes: Vec<String>,
    /// What could not be done of several things that do not depend on each other (`start --all`).
    pub failures: Vec<Error>,
}

/// What a plan would do.
impl From<Plan> for Report {
    fn from(plan: Plan) -> Report {
        Report {
            changes: plan.changes,
            notes: plan.notes,
            ..Report::default()
        }
    }
}

impl Report {
    /// The one error that the failures come to.
    pub fn failure(&self) -> Option<Error> {
        one_error(&self.failures)
    }
}

/// A disk for `disk list` and `group show`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskLine {
    /// Where it is; `None` when it is missing.
    pub device: Option<PathBuf>,
    /// Identity, when it has one.
    pub id: Option<crate::model::DiskId>,
    /// Media name, when it is in a group.
    pub media: Option<Name>,
    /// The group's name, or its UUID when the configuration cannot be read.
    pub group: Option<String>,
    /// `online`, `free` (initialised, in no group), `removed` (from its group, while it was away),
    /// `missing`, `duplicate`, `error`.
    pub state: &'static str,
    /// Space for volumes.
    pub size: Option<Sectors>,
    /// Its logical blocks in bytes; `None` when it is missing.
    pub sector_size: Option<u32>,
    /// What is odd about it.
    pub remark: Option<String>,
}

/// A group for `group list`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupLine {
    /// Its name.
    pub name: String,
    /// Its identity.
    pub id: crate::model::GroupId,
    /// `imported`, `deported`, `foreign` (another host has it), `refused` (split brain,
    /// duplicates).
    pub state: &'static str,
    /// Generation of its configuration.
    pub generation: Option<u64>,
    /// Disks present and in all.
    pub disks: (usize, usize),
    /// Volumes.
    pub volumes: usize,
    /// What is odd about it.
    pub remark: Option<String>,
}

/// Where a snapshot and its original may differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedRanges {
    /// The group of both.
    pub group: Name,
    /// The original.
    pub original: Name,
    /// The snapshot.
    pub snapshot: Name,
    /// Size of the snapshot.
    pub size: Sectors,
    /// The finest that changes are told apart.
    pub block: Sectors,
    /// Pieces of both in sectors, in order and apart.
    pub ranges: Vec<Range<u64>>,
}

/// What a command hands back.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// It changed something, or found it done.
    Done(Report),
    /// `--dry-run`: what it would do, as lines for people (the first level) with detail lines below
    /// each.
    Planned(crate::plan::view::PlanView),
    /// `print`: these groups; when volumes were named only they are to be shown.
    Layout(Vec<(World, Option<Fill>)>, Vec<Name>),
    /// `snapprint`.
    Relations(Vec<World>, Vec<Name>),
    /// `snapprint --changed-ranges`.
    ChangedRanges(ChangedRanges),
    /// `group show`: one group with its disks and how full its metadata is.
    Group(Box<World>, Vec<DiskLine>, Option<Fill>),
    /// `group list`.
    Groups(Vec<GroupLine>),
    /// `disk list`.
    Disks(Vec<DiskLine>),
    /// Readable text as it is (`group dump`), which is a JSON document itself.
    Dump(String),
    /// `status` and `recover --check`: findings; none is good.
    Findings(Vec<String>),
    /// `recover --check` with something to be done, which has an exit status of its own.
    ToBeRepaired(Vec<String>),
    /// Something that was asked for, without what could not be had.
    Lacking(Box<Outcome>, Vec<Error>),
}

impl Outcome {
    /// The same when nothing is wrong; else it is shown and is a failure all the same.
    pub fn lacking(self, wrong: Vec<Error>) -> Outcome {
        if wrong.is_empty() {
            self
        } else {
            Outcome::Lacking(Box::new(self), wrong)
        }
    }
}

/// The one error that several come to.
pub fn one_error(errors: &[Error]) -> Option<Error> {
    let first = errors.first()?;
    if errors.len() == 1 {
        return Some(first.clone());
    }
    let kind = if errors.iter().all(|e| e.kind() == first.kind()) {
        first.kind()
    } else {
        Kind::Failed
    };
    let messages: Vec<&str> = errors.iter().map(Error::message).collect();
    Some(Error::new(
        kind,
        format!("{} of them failed: {}", messages.len(), messages.join("; ")),
    ))
}

/// How a long copy stands, for a progress display.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The volume, as `g/v`.
    pub object: String,
    /// The legs being filled.
    pub legs: Vec<Name>,
    /// Copied.
    pub done: Sectors,
    /// In all.
    pub total: Sectors,
}

/// Where and for whom a command works.
#[derive(Clone, Copy)]
pub struct Env<'a> {
    /// The machine.
    pub machine: &'a dyn Machine,
    /// Who is told.
    pub ui: &'a dyn Ui,
}

/// Tells nobody anything.
#[derive(Debug, Clone, Copy)]
pub struct Mute;

impl Ui for Mute {
    fn note(&self, _text: &str) {}
    fn warn(&self, _text: &str) {}
    fn progress(&self, _copies: &[Progress]) {}
    fn progress_end(&self) {}
    fn confirm(&self, _question: &str) -> bool {
        false
    }
}

/// What the application tells while it works. Front ends show it or not.
pub trait Ui {
    /// A line that a person should see now (stderr).
    fn note(&self, text: &str);
    /// Something is wrong but the command goes on (stderr).
    fn warn(&self, text: &str);
    /// Where the copies stand; called about twice a second while waiting, all running copies each
    /// time.
    fn progress(&self, copies: &[Progress]);
    /// The waiting is over.
    fn progress_end(&self);
    /// Asks before something destructive; without a terminal the answer is no.
    fn confirm(&self, question: &str) -> bool;
}
