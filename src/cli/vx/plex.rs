//! `vxplex`: plexes by name. A plex always belongs to a volume here, so there is no plex to put
//! aside: what VxVM does with one that is dissociated is refused.

use super::engine::{Answer, Engine, plex_of};
use super::{Utility, each, refused};
use crate::app::Command;
use crate::cli::vx::words::{Syntax, Words};
use crate::error::{Error, Result};
use crate::model::Name;
use crate::plan::request::{Convert, Legs, Request, Selection, Split, Splits, Winner};
use crate::plan::world::World;

pub(super) const UTILITY: Utility = Utility {
    syntax: Syntax {
        utility: "vxplex",
        valued: "cdsTtUv",
        flags: "bfqV",
        keyword: true,
    },
    read,
};

/// A change of plexes that needs the configuration.
#[derive(Debug, Clone)]
pub enum Job {
    /// Removes plexes and logs of this volume, if one is named, and releases their space.
    Remove(Option<Name>, Vec<Name>),
    /// Fills plexes of this volume again.
    Attach(Name, Vec<Name>),
    /// Takes plexes of this volume, if one is named, out of use.
    Detach(Option<Name>, Vec<Name>),
    /// Gives up snapshot legs of this volume, if one is named.
    SnapAbort(Option<Name>, Vec<Name>),
    /// Splits each plex off as a volume, which may have a name.
    Snapshot(Vec<(Name, Option<Name>)>),
    /// Brings plexes back to this volume.
    SnapBack(Name, Vec<Name>),
    /// Takes plexes into use again, filled in the background.
    On(Vec<Name>),
    /// Starts the volumes of these plexes from them.
    FixClean(Vec<Name>),
}

fn read(words: &mut Words) -> Result<super::Job> {
    words.tag()?;
    words.usage_type()?;
    words.pace()?;
    // `-f` overrules checks that are not made here, or not to be overruled.
    words.without_effect("f");
    let keyword = words.keyword()?;
    // The others name the volume in another place, or mean that of the plex.
    let takes_volume = ["det", "dis", "rm", "snapabort"].contains(&keyword.as_str());
    let of = if takes_volume {
        words
            .value('v')
            .map(|word| Name::parse(&word))
            .transpose()?
    } else {
        None
    };
    let job = match keyword.as_str() {
        "att" => Job::Attach(words.name("a volume")?, words.some_names("a plex")?),
        "det" => Job::Detach(of, words.some_names("a plex")?),
        "dis" if words.uses("rm") => Job::Remove(of, words.some_names("a plex")?),
        "rm" => Job::Remove(of, words.some_names("a plex")?),
        "dis" => {
            return Err(Error::usage(
                "'vxplex dis' is not supported: a plex cannot be kept without its volume",
            )
            .hint("'vxplex -o rm dis' removes it, 'vxassist snapstart' and 'snapshot' make a volume of a new one"));
        }
        "convert" => return convert(words),
        "snapshot" => Job::Snapshot(splits(&words.some_names("a plex")?)),
        "snapback" => Job::SnapBack(words.name("a volume")?, words.some_names("a plex")?),
        "snapabort" => Job::SnapAbort(of, words.some_names("a plex")?),
        other => return Err(refused(words, other)),
    };
    Ok(super::Job::Plex(job))
}

/// `vxplex convert state=SNAPDONE|ACTIVE`. The map of the future snapshot has its space already, so
/// `-o dcoplex=` has nothing to say.
fn convert(words: &mut Words) -> Result<super::Job> {
    words.uses_value("dcoplex");
    let to = match words.attribute("state").as_deref() {
        Some("SNAPDONE") => Convert::SnapDone,
        Some("ACTIVE") => Convert::Active,
        _ => {
            return Err(Error::usage(
                "'convert' needs 'state=SNAPDONE' or 'state=ACTIVE'",
            ));
        }
    };
    let plexes = words.some_names("a plex")?;
    let convert = |plex| Command::Change(Request::PlexConvert { plex, to });
    Ok(each(plexes.into_iter().map(convert)))
}

/// `PLEX [NEW-VOLUME] [PLEX [NEW-VOLUME]]…`: what follows a plex cannot be told from the next plex
/// by the words alone, so each second word is a name, as VxVM has it.
fn splits(names: &[Name]) -> Vec<(Name, Option<Name>)> {
    names
        .chunks(2)
        .map(|pair| (pair[0].clone(), pair.get(1).cloned()))
        .collect()
}

impl Job {
    pub(super) fn run(&self, engine: &Engine<'_>) -> Result<Answer> {
        let first = match self {
            Job::Remove(_, plexes)
            | Job::Detach(_, plexes)
            | Job::SnapAbort(_, plexes)
            | Job::Attach(_, plexes)
            | Job::SnapBack(_, plexes)
            | Job::On(plexes)
            | Job::FixClean(plexes) => plexes.first(),
            Job::Snapshot(splits) => splits.first().map(|(plex, _)| plex),
        };
        let first = first.map(Name::as_str).unwrap_or_default();
        let world = engine.world_of(first, |world| has(world, first))?;
        let engine = engine.on(&world.group.name);
        let commands = self.commands(&world)?;
        Ok(match self {
            Job::On(_) => engine.in_background().each(&commands),
            _ => engine.each(&commands),
        })
    }

    /// The commands of the application, once the configuration is known.
    fn commands(&self, world: &World) -> Result<Vec<Command>> {
        match self {
            Job::Remove(of, plexes) => {
                let remove = |plex: &Name| removal(world, of.as_ref(), plex);
                plexes.iter().map(remove).collect()
            }
            Job::Detach(of, plexes) => {
                let detach = |plex: &Name| {
                    belongs(world, of.as_ref(), plex)?;
                    Ok(Command::Change(Request::PlexDetach(plex.clone())))
                };
                plexes.iter().map(detach).collect()
            }
            Job::SnapAbort(of, plexes) => {
                let give_up = |plex: &Name| {
                    belongs(world, of.as_ref(), plex)?;
                    require_leg(world, plex)?;
                    Ok(Command::Change(Request::PlexRemove(plex.clone())))
                };
                plexes.iter().map(give_up).collect()
            }
            Job::Attach(volume, plexes) => {
                let attach = |plex: &Name| {
                    belongs(world, Some(volume), plex)?;
                    Ok(attach(plex))
                };
                plexes.iter().map(attach).collect()
            }
            Job::On(plexes) => Ok(plexes.iter().map(attach).collect()),
            Job::FixClean(plexes) => {
                let fix = |plex: &Name| fix_clean(world, plex);
                plexes.iter().map(fix).collect()
            }
            Job::Snapshot(pairs) => {
                let split = |(plex, name): &(Name, Option<Name>)| {
                    let volume = world.group.plex_named(plex)?.0.name.clone();
                    let name = name.clone();
                    Ok(Command::Change(Request::Snapshot {
                        splits: Splits::These(vec![Split { volume, name }]),
                        legs: Legs::Named(vec![plex.clone()]),
                        pattern: None,
                        require_frozen: false,
                    }))
                };
                pairs.iter().map(split).collect()
            }
            Job::SnapBack(to, plexes) => {
                let back = |plex: &Name| snapback(world, to, plex);
                plexes.iter().map(back).collect()
            }
        }
    }
}

/// Whether a plex or a log has this name.
fn has(world: &World, name: &str) -> bool {
    plex_of(world, name).is_some() || log_of(world, name).is_some()
}

/// The volume whose log plex has this name, `VOLUME_log`.
pub(super) fn log_of(world: &World, name: &str) -> Option<Name> {
    let name = name.strip_suffix("_log")?;
    let mut volumes = world.group.volumes.iter();
    let volume = volumes.find(|volume| volume.name.as_str() == name && volume.log.is_some())?;
    Some(volume.name.clone())
}

fn removal(world: &World, of: Option<&Name>, plex: &Name) -> Result<Command> {
    match log_of(world, plex.as_str()) {
        Some(volume) if plex_of(world, plex.as_str()).is_none() => {
            require_owner(world, of, plex, &volume)?;
            Ok(Command::Change(Request::LogRemove(volume)))
        }
        _ => {
            belongs(world, of, plex)?;
            Ok(Command::Change(Request::PlexRemove(plex.clone())))
        }
    }
}

/// Starts a volume from the plex that is said to be good. The start takes the first complete plex; if
/// that is another one, or its disks are missing, the start would not be what is asked for.
fn fix_clean(world: &World, plex: &Name) -> Result<Command> {
    let (volume, named) = world.group.plex_named(plex)?;
    let path = world.group.path(plex);
    if world.started(volume).is_some() {
        return Err(Error::in_use(format!("the volume '{}' is started", volume.name)).on(path));
    }
    let mut complete = volume.complete().into_iter();
    let source = complete.find(|plex| world.has_disks_of(plex));
    if source.is_none_or(|source| source.number != named.number) {
        return Err(Error::not_ready(format!(
            "plex '{plex}' is not the one that '{}' would be started from",
            volume.name
        ))
        .on(path)
        .hint("a plex that is out of date is filled from the others: 'vxplex att'"));
    }
    Ok(Command::Change(Request::Start {
        volumes: Selection::Named(vec![volume.name.clone()]),
        force: false,
    }))
}

/// Refuses a plex that is no snapshot leg.
fn require_leg(world: &World, plex: &Name) -> Result<()> {
    let (volume, leg) = world.group.plex_named(plex)?;
    if leg.state.is_snapshot_leg() {
        return Ok(());
    }
    Err(Error::not_ready(format!(
        "plex '{plex}' of '{}' is {} and no snapshot plex",
        volume.name, leg.state
    ))
    .on(world.group.path(plex))
    .hint("'vxplex -o rm dis' removes it"))
}

/// Refuses a plex that is not one of the volume.
fn belongs(world: &World, volume: Option<&Name>, plex: &Name) -> Result<()> {
    let (of, _) = world.group.plex_named(plex)?;
    require_owner(world, volume, plex, &of.name)
}

/// Refuses a plex, or a log, of `of` if another volume is named.
fn require_owner(world: &World, named: Option<&Name>, plex: &Name, of: &Name) -> Result<()> {
    match named.filter(|named| *named != of) {
        None => Ok(()),
        Some(named) => {
            world.group.volume_named(named)?;
            Err(Error::not_found(format!(
                "the plex '{plex}' belongs to '{of}', not to '{named}'"
            ))
            .on(world.group.path(plex)))
        }
    }
}

fn attach(plex: &Name) -> Command {
    let plex = plex.clone();
    Command::Change(Request::PlexAttach { plex, lanes: None })
}

/// A snapshot comes back as a whole, so it must have no other plex.
fn snapback(world: &World, to: &Name, plex: &Name) -> Result<Command> {
    let (snapshot, _) = world.group.plex_named(plex)?;
    let original = world.group.volume_named(to)?.id;
    let path = world.group.path(plex);
    if snapshot
        .origin
        .as_ref()
        .is_none_or(|o| o.original != original)
    {
        return Err(Error::not_ready(format!(
            "the plex '{plex}' of '{}' was not split off '{to}'",
            snapshot.name
        ))
        .on(path));
    }
    if snapshot.plexes.len() > 1 {
        return Err(
            Error::not_ready(format!("'{}' has more plexes than '{plex}'", snapshot.name))
                .on(path)
                .hint("'vxassist snapback' brings one back, or all with '-o allplexes'"),
        );
    }
    Ok(Command::Change(Request::SnapBack {
        snapshots: vec![snapshot.name.clone()],
        mirrors: Some(1),
        from: Winner::Original,
        keep: false,
        lanes: None,
    }))
}
