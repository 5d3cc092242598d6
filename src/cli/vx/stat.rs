//! `vxstat`: how much is read and written, and how long it takes.

use super::Utility;
use super::engine::{Answer, Engine};
use crate::app::{Counted, CounterLine, Outcome, Query};
use crate::cli::output;
use crate::cli::vx::words::{Syntax, Words};
use crate::error::{Error, Result};
use crate::model::Name;
use crate::report::vx::{self, StatUnit};
use std::time::Duration;

pub(super) const UTILITY: Utility = Utility {
    syntax: Syntax {
        utility: "vxstat",
        valued: "cfitu",
        flags: "Sbdpqrsv",
        keyword: false,
    },
    read,
};

/// Whose counts are shown, how often, and in which unit.
#[derive(Debug, Clone)]
pub struct Asked {
    volumes: Vec<Name>,
    kinds: Kinds,
    /// `-i`: the seconds between two reports, if there is more than one.
    interval: Option<Duration>,
    /// `-c`: how many reports; `None` with an interval means without end.
    count: Option<u32>,
    unit: StatUnit,
}

/// The kinds of objects that are shown.
#[derive(Debug, Clone, Copy)]
struct Kinds {
    volumes: bool,
    plexes: bool,
    disks: bool,
}

fn read(words: &mut Words) -> Result<super::Job> {
    // Without `-g` the groups are all that there are.
    words.uses("alldgs");
    words.value('t');
    for refused in ["-r", "-f", "-s", "-b", "-S"] {
        let option = refused.chars().last().unwrap_or_default();
        if words.flag(option) || words.value(option).is_some() {
            return Err(Error::usage(format!("the option '{refused}' is not supported"))
                .hint("the kernel counts reads and writes of volumes, plexes and disks; they cannot be reset"));
        }
    }
    let (volumes, plexes, disks) = (words.flag('v'), words.flag('p'), words.flag('d'));
    let number = |option: char, word: Option<String>| match word {
        None => Ok(None),
        Some(word) => match word.parse::<u32>().ok().filter(|n| *n > 0) {
            Some(n) => Ok(Some(n)),
            None => Err(Error::usage(format!(
                "'-{option} {word}' is no number above 0"
            ))),
        },
    };
    let interval = number('i', words.value('i'))?;
    let count = number('c', words.value('c'))?;
    let unit = words.value('u').map(|unit| StatUnit::parse(&unit));
    Ok(super::Job::Stat(Asked {
        volumes: words.names()?,
        kinds: Kinds {
            // Volumes are shown if nothing is chosen.
            volumes: volumes || !(plexes || disks),
            plexes,
            disks,
        },
        interval: interval.map(|seconds| Duration::from_secs(seconds.into())),
        count,
        unit: unit.transpose()?.unwrap_or_default(),
    }))
}

impl Asked {
    /// Prints one report; with an interval the sums first, then what was done in each interval.
    pub(super) fn run(&self, engine: &Engine<'_>) -> Result<Answer> {
        let (mut before, failures) = self.counts(engine)?;
        let text = vx::stat(&before, &[], self.unit);
        let reports = match (self.interval, self.count) {
            (None, _) => Some(1),
            (Some(_), count) => count,
        };
        output::result(&text).map_err(|err| Error::io("cannot write", &err))?;
        let mut done = 1;
        while reports.is_none_or(|reports| done < reports) {
            std::thread::sleep(self.interval.unwrap_or_default());
            let (now, _) = self.counts(engine)?;
            let text = vx::stat_rows(&now, &before, self.unit);
            output::result(&format!("\n{text}")).map_err(|err| Error::io("cannot write", &err))?;
            (before, done) = (now, done.saturating_add(1));
        }
        Ok(Answer::silent(failures))
    }

    fn counts(&self, engine: &Engine<'_>) -> Result<(Vec<CounterLine>, Vec<Error>)> {
        // Disks are counted only where no volume is named.
        let (outcome, failures) = engine.ask(Query::Counters(self.volumes.clone()))?;
        let lines = match outcome {
            Outcome::Counters(lines) => lines,
            _ => Vec::new(),
        };
        let chosen = |line: &CounterLine| match line.of {
            Counted::Volume(_) => self.kinds.volumes,
            Counted::Plex(..) => self.kinds.plexes,
            Counted::Disk(_) => self.kinds.disks,
        };
        Ok((lines.into_iter().filter(chosen).collect(), failures))
    }
}
