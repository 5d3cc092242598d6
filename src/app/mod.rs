//! The application behind the front ends: takes a command, observes, plans, executes, and returns
//! an outcome to print.
//!
//! Front ends (`cli`) build a [`Command`] and print an [`Outcome`]. The application knows nothing
//! of their syntax.

mod appeared;
mod counters;
mod differences;
mod groups;
pub mod helper;
mod hotplug;
mod labels;
mod learn;
mod map;
mod metrics;
pub mod monitor;
pub mod names;
mod overview;
mod paths;
mod resize;
mod run;
mod scan;
mod session;
mod status;
mod verify;
mod wait;
mod which;

pub use counters::{Counted, CounterLine};
pub use helper::run as serve;
pub use map::Mapped;
pub use metrics::{Measured, Metrics};
pub use overview::{Overlooked, Overview, overview};
pub use run::{rehearse, run};
pub use scan::udev_probe;
pub use verify::{Differing, LeftOut, Pair, Place, Verified};

use crate::advice::{Hint, Language};
use crate::error::{Error, Kind};
use crate::meta::Fill;
use crate::model::{Name, Sectors};
pub use crate::plan::change::{Change, Detail, Event};
pub use crate::plan::clone::CloneRequest;
use crate::plan::evidence::Situation;
use crate::plan::handover::Closure;
pub use crate::plan::request::NamedDevice;
use crate::plan::request::{GroupRequest, Request, What};
use crate::plan::room::RoomFor;
use crate::plan::world::World;
use crate::sys::machine::Machine;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

/// Carries out a change to a group's volumes, for commands of which that is a part.
pub type Changing<'c> = &'c dyn Fn(&Options, &Request, Env<'_>) -> crate::error::Result<Report>;

/// The options that all commands share.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `-g`: the group; without it, the group that holds the named volume.
    pub group: Option<Name>,
    /// `-y`: confirm destructive steps without a question.
    pub yes: bool,
    /// `-b`: do not wait for the copy.
    pub background: bool,
    /// `--timeout`: how long to wait for a lock, and for a copy; `None` waits a minute for a lock,
    /// and without limit for a copy.
    pub timeout: Option<Duration>,
}

/// A verb with its operands.
#[derive(Debug, Clone)]
pub enum Command {
    /// A change to volumes.
    Change(Request),
    /// `snapwait`: waits until snapshot legs are complete.
    SnapWait {
        /// The volumes to wait for, all of them.
        volumes: Vec<Name>,
        /// The number of legs that have to be SNAPDONE on each volume.
        mirrors: usize,
    },
    /// `verify`: compares plexes, and snapshots with their originals.
    Verify {
        /// The volumes and snapshots.
        volumes: Vec<Name>,
        /// How much of each plex is read in a second at most.
        rate: Option<Sectors>,
    },
    /// A change to a group as a whole, or to its disks.
    Group {
        /// The group, by name or UUID.
        group: String,
        /// The change.
        request: GroupRequest,
    },
    /// `group import --clone`: makes a group of copies of a group's disks.
    Clone {
        /// The group that was copied, by name or UUID.
        group: String,
        /// The clone.
        request: CloneRequest,
    },
    /// `disk init`: writes a label to each device, without a group.
    DiskInit {
        /// The devices to initialise.
        devices: Vec<PathBuf>,
        /// Whether to use devices even if they have contents.
        force: bool,
        /// Size of the private area when it is not the default.
        area: Option<Sectors>,
    },
    /// `disk erase`: erases the labels of disks that no group has.
    DiskErase {
        /// The devices to erase.
        devices: Vec<PathBuf>,
        /// Whether to erase labels that are damaged, and those of groups that cannot be read.
        force: bool,
    },
    /// `disk resize`: adds the new space of a disk that has grown, given by its media name.
    DiskResize(Name),
    /// A question about the present state.
    Show(Query),
    /// `metrics`: what a monitoring system is to know.
    Metrics {
        /// Read the maps of changes, too, of groups whose lock is free.
        changes: bool,
    },
    /// `status`: one line for each group, and what needs attention.
    Status,
    /// `recover`: finishes or undoes what interrupted commands have left.
    Recover {
        /// Report what would be done, and change nothing.
        check: bool,
    },
    /// `start --auto`: what is this machine's, at boot or when disks appear.
    StartAuto(Occasion),
    /// `stop --auto`: everything on this machine, at shutdown.
    StopAuto,
    /// `monitor`: watches the mirrors until a signal arrives (or, started by a command, until no
    /// mirror is left).
    Monitor,
}

/// What has happened that volumes are to be started of their own accord.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// The machine was booted, or somebody says so: all volumes.
    Any,
    /// Disks have appeared: the volumes that they complete.
    Appeared,
    /// Disks have not appeared for some time: the volumes that wait for them.
    Overdue,
}

/// A question about the present state.
#[derive(Debug, Clone)]
pub enum Query {
    /// `group list`: lists all groups on this machine's disks.
    Groups,
    /// `group show`: shows the disks of a group, and how full its metadata is.
    Group(Name),
    /// `group dump`: prints the configurations on a group's disks as JSON.
    Dump(Name),
    /// `disk list`: lists all breakoff disks, also missing and damaged ones.
    Disks,
    /// `disk list --all`: and all other disks of this machine.
    AllDisks,
    /// `print`: shows the layout of these volumes, or of all if empty.
    Print(Vec<Name>),
    /// `snapprint`: shows the relations of these volumes and their snapshots, or of all if empty.
    SnapPrint(Vec<Name>),
    /// `snapprint --changed-ranges`, for one snapshot.
    ChangedRanges(Vec<Name>),
    /// `snapprint --map`: the same to look at.
    ChangeMap(Vec<Name>),
    /// `map`: shows where everything lies on the disks of these groups, or on those of these
    /// volumes, or on all if empty.
    Map(Vec<Name>),
    /// `room`: shows the largest size that a new volume can have, or that a volume can grow to.
    Room(RoomFor),
    /// `group split --list`: what has to go together with these volumes and disks of a group.
    Together(Name, What),
    /// `stat`: the kernel's counts of these volumes, or of all and of the disks if empty.
    Counters(Vec<Name>),
}

/// The result of a command that makes changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// The changes in order; empty if there was nothing to do.
    pub changes: Vec<Change>,
    /// Notes for the user on what to know or type next (on stderr).
    pub notes: Vec<String>,
    /// The failures of a command on several independent things (`start --all`).
    pub failures: Vec<Error>,
}

impl Report {
    /// The failures as one error, or `None` if there are none.
    pub fn failure(&self) -> Option<Error> {
        one_error(&self.failures)
    }

    /// Adds what a part of the command has done; its error, with `context`, is a failure of that part.
    pub fn add(&mut self, part: crate::error::Result<Report>, context: &str) {
        match part {
            Ok(done) => {
                self.changes.extend(done.changes);
                self.notes.extend(done.notes);
                self.failures.extend(done.failures);
            }
            Err(error) => self.failures.push(error.context(context)),
        }
    }
}

/// A disk for `disk list` and `group show`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskLine {
    /// The path of its device; `None` if the disk is missing.
    pub device: Option<PathBuf>,
    /// Its UUID; `None` if its label cannot be read.
    pub id: Option<crate::model::DiskId>,
    /// Its media name; `None` if it is in no readable group.
    pub media: Option<Name>,
    /// The group's name, or its UUID when the configuration cannot be read.
    pub group: Option<String>,
    /// The identity of the group; other groups can have its name.
    pub group_id: Option<crate::model::GroupId>,
    /// `online`, `free` (initialised, in no group), `removed` (from its group, while it was away),
    /// `missing`, `duplicate`, `error`, `other` (not a disk of breakoff's).
    pub state: &'static str,
    /// The space for volumes; of a disk whose label cannot be read, or that has none, the size of the
    /// device.
    pub size: Option<Sectors>,
    /// Where the space for volumes begins on the device; `None` if that is not known.
    pub data_start: Option<Sectors>,
    /// The size of its logical blocks in bytes; `None` if the disk is missing.
    pub sector_size: Option<u32>,
    /// A remark on anything unusual, such as damage; of a disk that is not breakoff's, the type of what
    /// is on it.
    pub remark: Option<String>,
}

/// A group for `group list`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupLine {
    /// The name of the group, or `-` if it is not known.
    pub name: String,
    /// The UUID of the group.
    pub id: crate::model::GroupId,
    /// `imported`, `deported`, `foreign` (another host has it), `refused` (split brain,
    /// duplicates).
    pub state: &'static str,
    /// The machine that has it; `None` if it is deported or refused.
    pub host: Option<crate::model::HostId>,
    /// The generation of its configuration; `None` if the group is refused.
    pub generation: Option<u64>,
    /// The number of disks present, and of disks in the configuration.
    pub disks: (usize, usize),
    /// The number of its volumes.
    pub volumes: usize,
    /// A remark on anything unusual, such as damage.
    pub remark: Option<String>,
}

/// The ranges in which a snapshot and its original may differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedRanges {
    /// The group that holds both volumes.
    pub group: Name,
    /// The name of the original.
    pub original: Name,
    /// The name of the snapshot.
    pub snapshot: Name,
    /// The size of the snapshot.
    pub size: Sectors,
    /// The granularity at which changes are recorded.
    pub block: Sectors,
    /// The ranges in sectors, sorted and disjoint; they apply to both volumes.
    pub ranges: Vec<Range<u64>>,
    /// Those of them that were written on the original.
    pub on_original: Vec<Range<u64>>,
    /// Those of them that were written on the snapshot.
    pub on_snapshot: Vec<Range<u64>>,
}

/// The result of a command, for a front end to print.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// A command that changes something, also when there was nothing to do.
    Done(Report),
    /// `--dry-run`: what the command would do, as lines for people (the first level), each with
    /// detail lines below it.
    Planned(crate::plan::view::PlanView),
    /// `print`: the groups, and the named volumes; if any are named, only those are shown.
    Layout(Vec<(World, Option<Fill>)>, Vec<Name>),
    /// `snapprint`: the groups, and the volumes named on the command line.
    Relations(Vec<Situation>, Vec<Name>),
    /// `snapprint --changed-ranges`: the ranges of one snapshot.
    ChangedRanges(ChangedRanges),
    /// `snapprint --map`: the same to look at.
    ChangeMap(ChangedRanges),
    /// `map`: the groups, and the named volumes; if any are named, the others are not told apart.
    Map(Vec<Mapped>, Vec<Name>),
    /// `room`: the largest size that `make` or `grow` can plan now.
    Room {
        /// The group.
        group: Name,
        /// The volume that is to grow.
        volume: Option<Name>,
        /// The largest size; zero if no new volume fits, the present size of a volume that cannot
        /// grow.
        size: Sectors,
        /// The present size of the volume.
        present: Option<Sectors>,
    },
    /// `group split --list`: what has to go together.
    Together(Closure),
    /// `stat`: one line for each volume, plex and disk.
    Counters(Vec<CounterLine>),
    /// `verify`: what was compared, and what differs.
    Verified(Vec<Verified>),
    /// `metrics`: what a monitoring system is to know.
    Metrics(Box<Metrics>),
    /// `group show`: one group with its disks and how full its metadata is.
    Group(Box<World>, Vec<DiskLine>, Option<Fill>),
    /// `group list`: one line for each group.
    Groups(Vec<GroupLine>),
    /// `disk list`: one line for each disk.
    Disks(Vec<DiskLine>),
    /// `group dump`: text to print as it is, which is itself a JSON document.
    Dump(String),
    /// `status` and `recover --check`: the findings; empty if nothing needs attention.
    Findings(Vec<String>),
    /// `recover --check` that found something to repair, which has its own exit status.
    ToBeRepaired(Vec<String>),
    /// An outcome that is incomplete, with an error for each part that is missing from it.
    Lacking(Box<Outcome>, Vec<Error>),
}

impl Outcome {
    /// Returns the outcome unchanged if `wrong` is empty. Otherwise it is still shown, and the
    /// command fails.
    pub fn lacking(self, wrong: Vec<Error>) -> Outcome {
        if wrong.is_empty() {
            self
        } else {
            Outcome::Lacking(Box::new(self), wrong)
        }
    }
}

/// Combines errors into one. It keeps their kind if they all share it, else it is [`Kind::Failed`].
/// Returns `None` for no errors.
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

/// The progress of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The volume, as `g/v`.
    pub object: String,
    /// The legs being filled.
    pub legs: Vec<Name>,
    /// The amount copied so far.
    pub done: Sectors,
    /// The amount to copy in total.
    pub total: Sectors,
}

/// The environment of a command: the machine it works on and the user it reports to.
#[derive(Clone, Copy)]
pub struct Env<'a> {
    /// The machine that the command works on.
    pub machine: &'a dyn Machine,
    /// The user interface for notes, warnings, progress and questions.
    pub ui: &'a dyn Ui,
}

impl Env<'_> {
    /// Returns text with command lines, in the language of the front end.
    pub fn words(&self, text: &Hint) -> String {
        text.text(self.ui.language())
    }

    /// Returns several texts with command lines, in the language of the front end.
    pub fn all_words(&self, texts: &[Hint]) -> Vec<String> {
        texts.iter().map(|text| self.words(text)).collect()
    }

    /// Reports a problem with advice that does not stop the command.
    pub fn warn(&self, text: &Hint) {
        self.ui.warn(&self.words(text));
    }
}

/// A [`Ui`] that shows nothing and answers no.
pub struct Mute(pub &'static dyn Language);

impl Ui for Mute {
    fn language(&self) -> &'static dyn Language {
        self.0
    }
    fn note(&self, _text: &str) {}
    fn warn(&self, _text: &str) {}
    fn progress(&self, _copies: &[Progress]) {}
    fn progress_end(&self) {}
    fn confirm(&self, _question: &str) -> bool {
        false
    }
}

/// What the application reports while it works. A front end may show it or not.
pub trait Ui {
    /// The language in which advice is given.
    fn language(&self) -> &'static dyn Language;
    /// Reports something that the user should see now (stderr).
    fn note(&self, text: &str);
    /// Reports a problem that does not stop the command (stderr).
    fn warn(&self, text: &str);
    /// Reports the progress of all running copies; called about twice a second during a wait.
    fn progress(&self, copies: &[Progress]);
    /// Reports that the wait is over.
    fn progress_end(&self);
    /// Asks for confirmation of a destructive step; without a terminal the answer is no.
    fn confirm(&self, question: &str) -> bool;
}
