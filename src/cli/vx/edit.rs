//! `vxedit`: removes and renames records, and sets the owner of a volume's device.

use super::engine::{Answer, Engine, plex_of, volume_of};
use super::{Utility, refused};
use crate::app::Command;
use crate::cli::vx::words::{Syntax, Words};
use crate::error::{Error, Result};
use crate::model::Name;
use crate::plan::request::{OwnerChange, Request};
use crate::plan::world::World;

pub(super) const UTILITY: Utility = Utility {
    syntax: Syntax {
        utility: "vxedit",
        valued: "de",
        flags: "Gfpqrsv",
        keyword: true,
    },
    read,
};

/// A change of records that needs the configuration.
#[derive(Debug, Clone)]
pub enum Job {
    /// `rm`.
    Remove {
        /// The names of the records.
        names: Vec<Name>,
        /// `-r`: also what belongs to them.
        recursive: bool,
        /// `-f`: also volumes that are started.
        force: bool,
    },
    /// `rename`.
    Rename(Name, Name),
}

fn read(words: &mut Words) -> Result<super::Job> {
    let (recursive, force) = (words.flag('r'), words.flag('f'));
    // The kinds of records to look among: names are unique in a group here.
    words.without_effect("Gps");
    match words.keyword()?.as_str() {
        "rm" => Ok(super::Job::Edit(Job::Remove {
            names: words.some_names("a volume")?,
            recursive,
            force,
        })),
        "rename" => {
            let (old, new) = (words.name("a volume")?, words.name("a new name")?);
            Ok(super::Job::Edit(Job::Rename(old, new)))
        }
        "set" => set(words),
        other => Err(refused(words, other)),
    }
}

fn set(words: &mut Words) -> Result<super::Job> {
    let owner = super::assist::owner(words)?;
    if owner.is_default() {
        return Err(Error::usage(
            "'vxedit set' is not supported for anything but 'user=', 'group=' and 'mode='",
        )
        .hint(words.see_help()));
    }
    Ok(super::Job::Do(Command::Change(Request::Owner {
        volumes: words.some_names("a volume")?,
        change: OwnerChange::Set(owner),
    })))
}

impl Job {
    pub(super) fn run(&self, engine: &Engine<'_>) -> Result<Answer> {
        let first = match self {
            Job::Remove { names, .. } => names.first(),
            Job::Rename(old, _) => Some(old),
        };
        let first = first.map(Name::as_str).unwrap_or_default();
        let world = engine.world_of(first, |world| has(world, first))?;
        let engine = engine.on(&world.group.name);
        match self {
            Job::Remove {
                names,
                recursive,
                force,
            } => {
                let removals: Result<Vec<Command>> = names
                    .iter()
                    .map(|name| removal(&world, name, *recursive, *force))
                    .collect();
                Ok(engine.each(&removals?))
            }
            Job::Rename(old, new) => {
                let rename = rename(&world, old, new)?;
                engine.act(&rename).map(|()| Answer::default())
            }
        }
    }
}

fn has(world: &World, name: &str) -> bool {
    volume_of(world, name).is_some() || other_record(world, name).is_some()
}

/// What a name is, if it is not that of a volume.
fn other_record(world: &World, name: &str) -> Option<&'static str> {
    let is_disk = || {
        world
            .group
            .disks
            .iter()
            .any(|disk| disk.media.as_str() == name)
    };
    match plex_of(world, name) {
        Some(_) => Some("plex"),
        None => is_disk().then_some("disk"),
    }
}

fn removal(world: &World, name: &Name, recursive: bool, force: bool) -> Result<Command> {
    let path = world.group.path(name);
    let Some(volume) = volume_of(world, name.as_str()) else {
        return Err(match other_record(world, name.as_str()) {
            Some("plex") => Error::in_use(format!("the plex '{name}' is associated with a volume"))
                .on(path)
                .hint(format!(
                    "'vxplex -g {} -o rm dis {name}' removes it",
                    world.group.name
                )),
            Some(_) => Error::in_use(format!("the disk '{name}' belongs to the group"))
                .on(path)
                .hint(format!(
                    "'vxdg -g {} rmdisk {name}' removes it",
                    world.group.name
                )),
            None => not_there(world, name),
        });
    };
    if !force && world.started(volume).is_some() {
        return Err(Error::in_use(format!("the volume '{name}' is started"))
            .on(path)
            .hint(format!(
                "stop it with 'vxvol -g {} stop {name}', or use '-f'",
                world.group.name
            )));
    }
    Ok(Command::Change(Request::Remove {
        volumes: vec![name.clone()],
        recursive,
    }))
}

fn rename(world: &World, old: &Name, new: &Name) -> Result<Command> {
    match (
        volume_of(world, old.as_str()),
        other_record(world, old.as_str()),
    ) {
        (Some(volume), _) => Ok(Command::Change(Request::Rename {
            volume: volume.name.clone(),
            to: new.clone(),
        })),
        (None, Some(what)) => Err(Error::usage(format!(
            "a {what} keeps its name; only a volume can be renamed"
        ))
        .on(world.group.path(old))),
        (None, None) => Err(not_there(world, old)),
    }
}

fn not_there(world: &World, name: &Name) -> Error {
    Error::not_found(format!("group '{}' has no '{name}'", world.group.name))
        .on(world.group.path(name))
        .hint(format!("see 'vxprint -g {}'", world.group.name))
}
