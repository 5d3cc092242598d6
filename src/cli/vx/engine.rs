//! The application, as the utilities use it: commands that are silent, questions, and the group that
//! holds an object.

use crate::app::{self, Command, Env, Options, Outcome, Query};
use crate::error::{Error, Result};
use crate::model::{Name, Plex, Volume};
use crate::plan::request::Request;
use crate::plan::world::World;

/// What a utility prints.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// For stdout.
    pub text: String,
    /// What has failed. The exit status is that of the first one.
    pub failures: Vec<Error>,
}

impl Answer {
    /// An answer that lacks nothing.
    pub(super) fn text(text: String) -> Answer {
        Answer {
            text,
            failures: Vec::new(),
        }
    }

    /// The answer to commands that print nothing.
    pub(super) fn silent(failures: Vec<Error>) -> Answer {
        Answer {
            text: String::new(),
            failures,
        }
    }
}

/// Runs commands of the application.
#[derive(Clone)]
pub(super) struct Engine<'a> {
    pub(super) options: Options,
    pub(super) env: Env<'a>,
}

impl<'a> Engine<'a> {
    /// The same for the commands on one group.
    pub(super) fn on(&self, group: &Name) -> Engine<'a> {
        let mut engine = self.clone();
        engine.options.group = Some(group.clone());
        engine
    }

    /// The same without a wait for copies.
    pub(super) fn in_background(&self) -> Engine<'a> {
        let mut engine = self.clone();
        engine.options.background = true;
        engine
    }

    /// Runs a command, and fails when a part of it has failed.
    pub(super) fn act(&self, command: &Command) -> Result<()> {
        match app::run(&self.options, command, self.env)? {
            Outcome::Done(report) => report.failure().map_or(Ok(()), Err),
            Outcome::Lacking(_, wrong) => app::one_error(&wrong).map_or(Ok(()), Err),
            _ => Ok(()),
        }
    }

    /// Runs commands on independent objects.
    pub(super) fn each(&self, commands: &[Command]) -> Answer {
        let failed = commands
            .iter()
            .filter_map(|command| self.act(command).err());
        Answer::silent(failed.collect())
    }

    /// Changes the group that is named, or the only one that is imported.
    pub(super) fn on_the_group(&self, request: &Request) -> Result<Answer> {
        let change = Command::Change(request.clone());
        if self.options.group.is_some() {
            return self.act(&change).map(|()| Answer::default());
        }
        let (worlds, failures) = self.worlds()?;
        match worlds.as_slice() {
            [] => Ok(Answer::silent(failures)),
            [only] => self
                .on(&only.group.name)
                .act(&change)
                .map(|()| Answer::silent(failures)),
            many => {
                let names: Vec<&str> = many.iter().map(|w| w.group.name.as_str()).collect();
                Err(Error::usage(format!(
                    "there are several disk groups: {}",
                    names.join(", ")
                ))
                .hint("choose one with -g"))
            }
        }
    }

    /// Asks a question. What the answer lacks is returned with it.
    pub(super) fn ask(&self, query: Query) -> Result<(Outcome, Vec<Error>)> {
        match app::run(&self.options, &Command::Show(query), self.env)? {
            Outcome::Lacking(shown, wrong) => Ok((*shown, wrong)),
            outcome => Ok((outcome, Vec::new())),
        }
    }

    /// The groups that are meant: that of `-g`, or all that this machine has.
    pub(super) fn worlds(&self) -> Result<(Vec<World>, Vec<Error>)> {
        let (outcome, lacking) = self.ask(Query::Print(Vec::new()))?;
        let worlds = match outcome {
            Outcome::Layout(worlds, _) => worlds.into_iter().map(|(world, _)| world).collect(),
            _ => Vec::new(),
        };
        Ok((worlds, lacking))
    }

    /// The group that holds an object, for the next command on it.
    pub(super) fn world_of(&self, what: &str, holds: impl Fn(&World) -> bool) -> Result<World> {
        let (worlds, lacking) = self.worlds()?;
        if self.options.group.is_some() {
            if let Some(only) = worlds.into_iter().next() {
                return Ok(only);
            }
            return Err(nowhere(what));
        }
        let mut holding = worlds.into_iter().filter(holds);
        match (holding.next(), holding.next()) {
            (Some(only), None) => Ok(only),
            (Some(_), Some(_)) => {
                Err(Error::usage(format!("several groups have a '{what}'"))
                    .hint("choose one with -g"))
            }
            (None, _) => Err(lacking.into_iter().next().unwrap_or_else(|| nowhere(what))),
        }
    }
}

fn nowhere(what: &str) -> Error {
    Error::not_found(format!("no group holds '{what}'"))
        .on(what)
        .hint("'vxprint' shows what there is")
}

/// A plex of this name in a group, with its volume.
pub(super) fn plex_of<'w>(world: &'w World, name: &str) -> Option<(&'w Volume, &'w Plex)> {
    let volumes = world.group.volumes.iter();
    let mut plexes =
        volumes.flat_map(|volume| volume.plexes.iter().map(move |plex| (volume, plex)));
    plexes.find(|(_, plex)| plex.name.as_str() == name)
}

/// A volume of this name in a group.
pub(super) fn volume_of<'w>(world: &'w World, name: &str) -> Option<&'w Volume> {
    let mut volumes = world.group.volumes.iter();
    volumes.find(|volume| volume.name.as_str() == name)
}
