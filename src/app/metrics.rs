//! `metrics`: what a monitoring system is to know of all groups of this machine.
//!
//! It is asked every minute, and nobody waits for it. So it takes no lock that a command waits for
//! (unless it is told to read the maps of changes), starts no monitor, records nothing, and says
//! what it can: a group that cannot be read is one that is down, and the others are shown.

use super::scan::Scan;
use super::session::{Session, View, refuse_foreign};
use super::{CounterLine, Env, Mute, Options, Outcome, counters, differences, status};
use crate::error::{Error, Result};
use crate::meta::Fill;
use crate::model::{DiskId, GroupId, Name, VolumeId};
use crate::plan::evidence::Situation;
use crate::sys::lock;
use crate::table::era;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// All that was found.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    /// The groups that were read, each under its own word.
    pub groups: BTreeMap<String, Measured>,
    /// The words of the groups that could not be read.
    pub down: BTreeSet<String>,
    /// Whether nothing failed.
    pub is_complete: bool,
    /// Whether a monitor runs; `None` if that is not known.
    pub monitor: Option<bool>,
    /// The breakoff disks that cannot be read.
    pub unreadable: usize,
    /// The devices that did not answer in time; any of them may be a breakoff disk.
    pub unanswered: usize,
    /// How long all of this took.
    pub took: Duration,
}

/// A group that was read.
#[derive(Debug, Clone)]
pub struct Measured {
    /// The group as it is, with the changes of its snapshots if they were read.
    pub world: Situation,
    /// How full its metadata area is.
    pub fill: Option<Fill>,
    /// Its disks with an old copy of the configuration.
    pub outdated: Vec<DiskId>,
    /// How many things `status` says of it.
    pub findings: usize,
    /// What the kernel has counted.
    pub counters: Vec<CounterLine>,
    /// How full the maps of changes are.
    pub maps: BTreeMap<VolumeId, era::Fill>,
}

/// Looks at all groups of this machine, or at the one given by `-g`. The outcome is never an error,
/// so that there is always something to write: what is wrong is in it, and beside it.
pub(super) fn metrics(options: &Options, changes: bool, env: Env<'_>) -> Outcome {
    let begun = Instant::now();
    let mute = Mute(env.ui.language());
    let mut work = Work {
        options,
        changes,
        env: Env { ui: &mute, ..env },
        found: Metrics {
            monitor: env.machine.is_locked(lock::MONITOR),
            ..Metrics::default()
        },
        wrong: Vec::new(),
    };
    if let Err(error) = work.look() {
        work.wrong.push(error);
    }
    let Work {
        mut found, wrong, ..
    } = work;
    found.is_complete = wrong.is_empty();
    found.took = begun.elapsed();
    Outcome::Metrics(Box::new(found)).lacking(wrong)
}

struct Work<'w> {
    options: &'w Options,
    changes: bool,
    env: Env<'w>,
    found: Metrics,
    wrong: Vec<Error>,
}

impl Work<'_> {
    fn look(&mut self) -> Result<()> {
        if let Some(name) = &self.options.group {
            let scan = Scan::for_group(self.env.machine, name.as_str())?;
            self.note_devices(&scan);
            self.group(&scan, name);
            return Ok(());
        }
        let scan = Scan::sparing(self.env.machine)?;
        self.note_devices(&scan);
        for word in scan.own_words(self.env.machine)? {
            self.group(&scan, &word);
        }
        for (id, reason, kind) in scan.refused() {
            self.down(id, scan.name_of(id), Error::new(kind, reason));
        }
        for ((id, name), error) in scan.silent_groups().into_iter().zip(scan.silent()) {
            self.down(id, name, error);
        }
        Ok(())
    }

    fn note_devices(&mut self, scan: &Scan) {
        self.found.unreadable = scan.unreadable().len();
        self.found.unanswered = scan.unanswered().len();
    }

    /// Reads a group. One that cannot be read is down.
    fn group(&mut self, scan: &Scan, word: &Name) {
        match self.measured(scan, word) {
            Ok(measured) => {
                self.found.groups.insert(word.to_string(), measured);
            }
            Err(error) => {
                self.found.down.insert(word.to_string());
                self.wrong.push(error.context(format!("group '{word}'")));
            }
        }
    }

    /// A group that nothing can be read of. Another one may have its name.
    fn down(&mut self, id: GroupId, name: Option<Name>, error: Error) {
        let name = name.map(|name| name.to_string());
        let is_free = |word: &String| {
            !self.found.groups.contains_key(word) && !self.found.down.contains(word)
        };
        let word = name.filter(is_free).unwrap_or_else(|| id.to_string());
        self.found.down.insert(word);
        self.wrong.push(error);
    }

    fn measured(&self, scan: &Scan, word: &Name) -> Result<Measured> {
        let env = self.env;
        let mut view = View::look_in(scan, word, env)?;
        refuse_foreign(&view.world.group, word, env.machine.host_id()?)?;
        if self.changes && differences::any_tracked(&view.world.group) {
            // Not read while a command is at work: it is not waited for, and the next time will do.
            let at_once = Options {
                timeout: Some(Duration::ZERO),
                ..self.options.clone()
            };
            view = differences::with_maps(&at_once, word, &[], open, env).unwrap_or(view);
        }
        Ok(Measured {
            fill: view.fill(),
            outdated: view.outdated().to_vec(),
            findings: status::group_findings(&view).len(),
            counters: counters::of(&view.world, &[], env.machine),
            maps: view.map_fills(),
            world: view.world.clone(),
        })
    }
}

fn open<'u>(options: &Options, name: &Name, env: Env<'u>) -> Result<Session<'u>> {
    Session::open(options, name, env)
}
