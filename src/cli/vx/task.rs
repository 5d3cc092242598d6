//! `vxtask`: the copies that the kernel makes. A task is the filling of one plex, or the resync of a
//! volume; its number is the minor number of the device that is filled, which no other device has
//! meanwhile.

use super::engine::{Answer, Engine};
use super::{Utility, refused};
use crate::app::Command;
use crate::cli::vx::words::{Syntax, Words};
use crate::error::{Error, Result};
use crate::plan::request::Request;
use crate::report::vx::{self, Task, TaskKind};
use std::time::Duration;

pub(super) const UTILITY: Utility = Utility {
    syntax: Syntax {
        utility: "vxtask",
        valued: "itw",
        flags: "Vchlpqrv",
        keyword: true,
    },
    read,
};

/// How often tasks are looked at while they are monitored.
const OFTEN: Duration = Duration::from_secs(1);

/// A question about tasks, or the end of one.
#[derive(Debug, Clone)]
pub enum Job {
    /// `list`.
    List(vx::TaskForm),
    /// `monitor`: shows these tasks, or all, until they have ended.
    Monitor(Vec<u32>),
    /// `abort`.
    Abort(Vec<u32>),
}

fn read(words: &mut Words) -> Result<super::Job> {
    if words.value('t').is_some() {
        return Err(Error::usage("'-t' is not supported: tasks have no tags")
            .hint("'vxtask list' shows the number of each"));
    }
    let job = match words.keyword()?.as_str() {
        "list" => {
            // No task has a parent, so the hierarchy is the list; none is paused.
            words.without_effect("hpr");
            Job::List(vx::TaskForm {
                heading: !words.flag('q'),
                long: words.flag('l'),
                tasks: ids(words)?,
            })
        }
        "monitor" => {
            words.without_effect("clqr");
            Job::Monitor(ids(words)?)
        }
        "abort" => match ids(words)? {
            none if none.is_empty() => {
                return Err(Error::usage("'abort' needs a task").hint(words.see_help()));
            }
            tasks => Job::Abort(tasks),
        },
        other => return Err(refused(words, other)),
    };
    Ok(super::Job::Task(job))
}

fn ids(words: &mut Words) -> Result<Vec<u32>> {
    let given = words.value('i').into_iter().chain(words.operands());
    let id = |word: String| {
        word.parse()
            .map_err(|_| Error::usage(format!("'{word}' is not the number of a task")))
    };
    given.map(id).collect()
}

impl Job {
    pub(super) fn run(&self, engine: &Engine<'_>) -> Result<Answer> {
        match self {
            Job::List(form) => {
                let (tasks, failures) = tasks(engine)?;
                let text = vx::tasks_text(&tasks, form)?;
                Ok(Answer { text, failures })
            }
            Job::Monitor(ids) => monitor(engine, ids),
            Job::Abort(ids) => abort(engine, ids),
        }
    }
}

fn tasks(engine: &Engine<'_>) -> Result<(Vec<Task>, Vec<Error>)> {
    let (worlds, failures) = engine.worlds()?;
    Ok((vx::tasks(&worlds), failures))
}

/// Shows tasks as they proceed, and each that ends once more. Progress is for stdout here, so it is
/// written while it is made.
fn monitor(engine: &Engine<'_>, ids: &[u32]) -> Result<Answer> {
    let chosen = |task: &Task| ids.is_empty() || ids.contains(&task.id);
    let mut known: Vec<Task> = Vec::new();
    let mut first = true;
    loop {
        let (all, failures) = tasks(engine)?;
        let now: Vec<Task> = all.into_iter().filter(|task| chosen(task)).collect();
        if first {
            vx::refuse_unknown(&now, ids)?;
        }
        let mut lines = if first {
            vx::task_heading()
        } else {
            String::new()
        };
        first = false;
        for task in &now {
            if !known.contains(task) {
                lines += &vx::task_line(task);
            }
        }
        let ended = known
            .iter()
            .filter(|old| !now.iter().any(|task| task.id == old.id));
        lines.extend(ended.map(vx::task_ended));
        crate::cli::output::result(&lines).map_err(|err| Error::io("cannot write", &err))?;
        if now.is_empty() {
            return Ok(Answer::silent(failures));
        }
        known = now;
        std::thread::sleep(OFTEN);
    }
}

fn abort(engine: &Engine<'_>, ids: &[u32]) -> Result<Answer> {
    let (all, _) = tasks(engine)?;
    vx::refuse_unknown(&all, ids)?;
    let mut failures = Vec::new();
    for task in all.iter().filter(|task| ids.contains(&task.id)) {
        failures.extend(abort_one(engine, task).err());
    }
    Ok(Answer::silent(failures))
}

/// Whether the copy is still made is decided when the group is locked: a plex that is complete by then
/// stays. The resync of a volume cannot be ended: its plexes differ until it is done.
fn abort_one(engine: &Engine<'_>, task: &Task) -> Result<()> {
    match &task.kind {
        TaskKind::Fill(plex) => {
            let abort = Command::Change(Request::PlexAbort(plex.clone()));
            engine.on(&task.group).act(&abort)
        }
        TaskKind::Resync => Err(Error::not_ready(format!(
            "the resync of '{}/{}' cannot be aborted: its plexes differ until it is done",
            task.group, task.volume
        ))
        .on(format!("{}/{}", task.group, task.volume))),
    }
}
