//! `vxrecover`: starts volumes after a crash, and fills plexes that are out of date.

use super::Utility;
use super::engine::{Answer, Engine};
use crate::app::Command;
use crate::cli::vx::words::{Syntax, Words};
use crate::error::{Error, Result};
use crate::model::{Disk, Name, PlexState, Volume};
use crate::plan::request::{Request, Selection};
use crate::plan::world::World;
use crate::report;

pub(super) const UTILITY: Utility = Utility {
    syntax: Syntax {
        utility: "vxrecover",
        valued: "tU",
        flags: "EVbcmnpqsv",
        keyword: false,
    },
    read,
};

/// What is to be recovered.
#[derive(Debug, Clone)]
pub struct Asked {
    /// `-s`: start volumes first.
    start: bool,
    /// Fill plexes that are out of date; `-n` says no.
    fill: bool,
    /// Volumes and disks; all if empty.
    names: Vec<Name>,
}

fn read(words: &mut Words) -> Result<super::Job> {
    words.tag()?;
    words.usage_type()?;
    words.pace()?;
    words.uses("bg");
    // What `-m` starts in VxVM, the resync of a mirror after a crash, the kernel does from the start
    // of the volume on. `-E` and `-p` say how other volumes are started, `-c` is for clusters.
    words.without_effect("Ecmp");
    let start = words.flag('s');
    let only_start = words.flag('n');
    Ok(super::Job::Recover(Asked {
        start: start || only_start,
        fill: !only_start,
        names: words.names()?,
    }))
}

impl Asked {
    pub(super) fn run(&self, engine: &Engine<'_>) -> Result<Answer> {
        let (mut worlds, mut failures) = engine.worlds()?;
        if let Some(unknown) = self.names.iter().find(|name| !knows(worlds.iter(), name)) {
            return Err(Error::not_found(format!("no group holds '{unknown}'"))
                .on(report::vx::place(&worlds, unknown))
                .hint("'vxprint' shows what there is"));
        }
        if engine.options.group.is_none() {
            for name in &self.names {
                let having = worlds
                    .iter()
                    .filter(|world| knows(std::iter::once(*world), name));
                if having.count() > 1 {
                    return Err(Error::usage(format!("several groups have a '{name}'"))
                        .hint("choose one with -g"));
                }
            }
        }
        if self.start {
            for world in &worlds {
                let stopped = self
                    .selected(world)
                    .filter(|volume| world.started(volume).is_none());
                let stopped: Vec<Name> = stopped.map(|volume| volume.name.clone()).collect();
                if stopped.is_empty() {
                    continue;
                }
                let start = Command::Change(Request::Start {
                    volumes: Selection::Named(stopped),
                    force: false,
                });
                failures.extend(engine.on(&world.group.name).act(&start).err());
            }
            worlds = engine.worlds()?.0;
        }
        if self.fill {
            for world in &worlds {
                let fill: Vec<Command> = self.stale(world).collect();
                failures.extend(engine.on(&world.group.name).each(&fill).failures);
            }
        }
        Ok(Answer::silent(failures))
    }

    /// The volumes that are meant, by name or by one of their disks.
    fn selected<'w>(&'w self, world: &'w World) -> impl Iterator<Item = &'w Volume> {
        let lies_on = |volume: &Volume, disk: &Disk| volume.extents().any(|e| e.disk == disk.id);
        let named = move |volume: &&Volume| {
            let mut disks = world.group.disks.iter();
            self.names.is_empty()
                || self.names.contains(&volume.name)
                || disks.any(|disk| self.names.contains(&disk.media) && lies_on(volume, disk))
        };
        world.group.volumes.iter().filter(named)
    }

    /// The commands that fill the plexes of started volumes that are out of date and whose disks are
    /// there.
    fn stale<'w>(&'w self, world: &'w World) -> impl Iterator<Item = Command> + 'w {
        let started = self
            .selected(world)
            .filter(move |v| world.started(v).is_some());
        let plexes = started.flat_map(|volume| volume.plexes.iter());
        let stale = plexes.filter(move |plex| {
            matches!(plex.state, PlexState::Stale | PlexState::Failed) && world.has_disks_of(plex)
        });
        stale.map(|plex| {
            let plex = plex.name.clone();
            Command::Change(Request::PlexAttach { plex, lanes: None })
        })
    }
}

fn knows<'w>(mut worlds: impl Iterator<Item = &'w World>, name: &Name) -> bool {
    worlds.any(|world| {
        world
            .group
            .volumes
            .iter()
            .any(|volume| volume.name == *name)
            || world.group.disks.iter().any(|disk| disk.media == *name)
    })
}
