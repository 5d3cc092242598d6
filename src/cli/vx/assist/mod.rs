//! `vxassist`: makes, grows and removes volumes, and the whole procedure of traditional snapshots.

mod layout;

use super::engine::{Answer, Engine, volume_of};
use super::{Job, Utility, length_of, refused, vol};
use crate::app::{Command, Outcome, Query};
use crate::cli::vx::words::{Syntax, Words};
use crate::error::{Error, Kind, Result};
use crate::model::volume::MAX_PLEXES;
use crate::model::{Account, Name, NodeMode, NodeOwner, Plex, PlexState, Sectors, Volume};
use crate::plan::request::{GrowTo, Legs, Placement, Relations, Request, Split, Splits, Winner};
use crate::plan::room::RoomFor;
use crate::plan::world::World;
use crate::report;
use layout::Layout;

pub(super) const UTILITY: Utility = Utility {
    syntax: Syntax {
        utility: "vxassist",
        valued: "dtU",
        flags: "Vbfpqrv",
        keyword: true,
    },
    read,
};

/// What `vxassist help TOPIC` explains.
pub(super) fn topic(topic: &str) -> Option<String> {
    let text = match topic {
        "layout" => layout::HELP,
        "alloc" => {
            "Disks are named behind the volume, or by alloc=DISK,... ; !DISK excludes one. Names are\n\
             those of 'vxdisk list', column DISK. Storage classes (ctlr:, enclr:) are not supported.\n"
        }
        "space" => {
            "'vxassist maxsize' prints the largest volume that can be made, 'vxassist maxgrow VOL' to\n\
             what size a volume can grow, 'vxdg free' the extents that are not in use.\n"
        }
        "showattrs" => {
            "There is no file of defaults. A volume is made with layout=concat, nmirror=1,\n\
             fastresync=on and usetype=fsgen; a mirror has two plexes and a log.\n"
        }
        "usage" => return Some(super::table::help("vxassist")),
        _ => return None,
    };
    Some(text.to_owned())
}

fn read(words: &mut Words) -> Result<Job> {
    words.tag()?;
    words.usage_type()?;
    if words.value('d').is_some() {
        return Err(Error::usage(
            "'-d' is not supported: there is no file of defaults",
        ));
    }
    // No disk is reserved as a spare, so `-r` has nothing to allow.
    words.without_effect("r");
    words.pace()?;
    let command = match words.keyword()?.as_str() {
        "make" => make(words)?,
        "mirror" => mirror(words)?,
        "growto" => grow(words, GrowTo::To)?,
        "growby" => grow(words, GrowTo::By)?,
        "remove" => return remove(words),
        "addlog" => add_log(words)?,
        "maxsize" => return max_size(words),
        "maxgrow" => return max_grow(words),
        "snapstart" => snapstart(words)?,
        "snapwait" => snapwait(words)?,
        "snapshot" => snapshot(words)?,
        "snapabort" => snapabort(words)?,
        "snapback" => snapback(words)?,
        "snapclear" => snapclear(words)?,
        "snapprint" => return Ok(Job::SnapPrint(words.names()?)),
        other => return Err(refused(words, other)),
    };
    // What it overrules in VxVM is not checked here, or not to be overruled.
    words.without_effect("f");
    Ok(Job::Do(command))
}

fn make(words: &mut Words) -> Result<Command> {
    let (volume, size) = (words.name("a volume")?, length(words)?);
    let layout = layout(words)?;
    let log = log(words)?;
    let mirrors = layout.mirrors(nmirror(words)?, log == Some(true))?;
    // The default is on; VxVM's is off, but a snapback that copies everything surprises users.
    let fast_resync = vol::fast_resync(words)?.unwrap_or(true);
    // The plexes of a new mirror are made equal by the kernel, in the background.
    match words.attribute("init").as_deref() {
        None | Some("active" | "default") => {}
        Some(other) => {
            return Err(Error::usage(format!("'init={other}' is not supported"))
                .hint("a new volume holds what its disks held; there is 'init=active'"));
        }
    }
    // Disks are always used in the order in which they are named.
    words.uses("ordered");
    Ok(Command::Change(Request::Make {
        volume,
        size,
        mirrors,
        owner: owner(words)?,
        placement: words.placement()?,
        log: log.unwrap_or(layout.log()),
        fast_resync,
        sector_size: None,
    }))
}

/// Takes `layout=`.
fn layout(words: &mut Words) -> Result<Layout> {
    let given = words.attribute("layout");
    let layout = Layout::parse(given.as_deref().unwrap_or("concat"))?;
    // What only other layouts have.
    for name in ["ncol", "ncolumn", "stripeunit", "stripewidth"] {
        if words.attribute(name).is_some() {
            return Err(Error::usage(format!("'{name}=' is not supported"))
                .hint("plexes are concatenated: layout=concat or layout=mirror"));
        }
    }
    Ok(layout)
}

/// Takes `logtype=` and `nlog=`; returns whether a log is asked for, or one is not wanted.
fn log(words: &mut Words) -> Result<Option<bool>> {
    let kind = words.attribute("logtype");
    let asked = match kind.as_deref() {
        Some("drl" | "drlseq" | "region") => Some(true),
        Some("none") => Some(false),
        // The map of changes has its space when a snapshot needs it.
        None | Some("dco") => None,
        Some(other) => return Err(no_log_type(other)),
    };
    for size in ["loglen", "dcolen", "regionsize"] {
        if let Some(value) = words.attribute(size) {
            length_of(&value)?;
        }
    }
    words.attribute("ndcomirror");
    match words.attribute("nlog").as_deref() {
        None => Ok(asked),
        Some("0") => Ok(Some(false)),
        Some("1") => Ok(asked.or(Some(true))),
        Some(many) => Err(Error::usage(format!("'nlog={many}' is not supported"))
            .hint("a mirror has one log at most")),
    }
}

fn no_log_type(word: &str) -> Error {
    Error::usage(format!("'logtype={word}' is not supported")).hint("there are drl and dco")
}

/// Takes `user=`, `group=` and `mode=`.
pub(super) fn owner(words: &mut Words) -> Result<NodeOwner> {
    let account = |word: Option<String>| word.map(|word| Account::parse(&word)).transpose();
    let mode = words.attribute("mode");
    Ok(NodeOwner {
        user: account(words.attribute("user"))?,
        group: account(words.attribute("group"))?,
        mode: mode.map(|mode| NodeMode::parse(&mode)).transpose()?,
    })
}

fn mirror(words: &mut Words) -> Result<Command> {
    let volume = words.name("a volume")?;
    if let Some(n) = nmirror(words)?.filter(|n| *n != 1) {
        return Err(Error::usage(format!("'mirror' adds one plex, not {n}"))
            .hint("repeat the command for each further plex"));
    }
    Ok(Command::Change(Request::Mirror {
        volume,
        placement: words.placement()?,
        lanes: None,
    }))
}

fn grow(words: &mut Words, to: fn(Sectors) -> GrowTo) -> Result<Command> {
    let (volume, size) = (words.name("a volume")?, length(words)?);
    Ok(Command::Change(Request::Grow {
        volume,
        to: to(size),
        placement: words.placement()?,
        filesystem: false,
    }))
}

fn remove(words: &mut Words) -> Result<Job> {
    let what = words.operand("what to remove: 'volume', 'mirror' or 'log'")?;
    match what.as_str() {
        "volume" => Ok(Job::Do(Command::Change(Request::Remove {
            volumes: vec![words.name("a volume")?],
            recursive: words.flag('f'),
        }))),
        "mirror" => {
            let volume = words.name("a volume")?;
            // `nmirror=` says how many stay; without it one goes.
            let keep = nmirror(words)?;
            let disks = words.placement()?;
            let says_what_stays = keep.is_some() || !disks.on.is_empty();
            if says_what_stays && !disks.avoid.is_empty() {
                return Err(Error::usage(
                    "'!DISK' says which mirror goes; disks that stay, and 'nmirror=', do not go with it",
                ));
            }
            Ok(Job::RemoveMirror(Box::new(RemoveMirror {
                volume,
                keep,
                disks,
            })))
        }
        "log" => remove_log(words),
        other => Err(Error::usage(format!("'remove {other}' is not supported"))
            .hint("type 'remove volume VOL', 'remove mirror VOL' or 'remove log VOL'")),
    }
}

fn remove_log(words: &mut Words) -> Result<Job> {
    let volume = words.name("a volume")?;
    words.attribute("nlog");
    match words.attribute("logtype").as_deref() {
        None | Some("drl" | "drlseq" | "region") => Ok(Job::RemoveLog(volume)),
        Some("dco") => Ok(Job::Do(Command::Change(Request::FastResync {
            volume,
            on: false,
        }))),
        Some(other) => Err(no_log_type(other)),
    }
}

/// A log that is not there cannot be removed.
pub(super) fn take_log(engine: &Engine<'_>, volume: &Name) -> Result<Answer> {
    let name = volume.as_str();
    let world = engine.world_of(name, |world| volume_of(world, name).is_some())?;
    if world.group.volume_named(volume)?.log.is_none() {
        return Err(
            Error::not_found(format!("the volume '{volume}' has no log"))
                .on(world.group.path(volume)),
        );
    }
    let remove = Command::Change(Request::LogRemove(volume.clone()));
    let engine = engine.on(&world.group.name);
    engine.act(&remove).map(|()| Answer::default())
}

fn add_log(words: &mut Words) -> Result<Command> {
    let volume = words.name("a volume")?;
    let kind = words.attribute("logtype");
    match kind.as_deref() {
        Some("dco") => {
            for size in ["dcolen", "regionsize"] {
                if let Some(value) = words.attribute(size) {
                    length_of(&value)?;
                }
            }
            for number in ["ndcomirror", "nlog"] {
                words.attribute(number);
            }
            // Where the map lies is chosen with the leg that needs it.
            words.placement()?;
            Ok(Command::Change(Request::FastResync { volume, on: true }))
        }
        None | Some("drl" | "drlseq" | "region") => {
            if log(words)? == Some(false) {
                return Err(Error::usage("'nlog=0' adds no log"));
            }
            Ok(Command::Change(Request::LogAdd {
                volume,
                placement: words.placement()?,
            }))
        }
        Some(other) => Err(no_log_type(other)),
    }
}

/// `maxsize`, and with `-p` the number alone.
fn max_size(words: &mut Words) -> Result<Job> {
    let bare = words.flag('p');
    let layout = layout(words)?;
    let log = log(words)?;
    let mirrors = layout.mirrors(nmirror(words)?, log == Some(true))?;
    let of = RoomFor::New {
        mirrors,
        placement: words.placement()?,
        log: log.unwrap_or(layout.log()),
    };
    Ok(Job::Room { of, bare })
}

fn max_grow(words: &mut Words) -> Result<Job> {
    let bare = words.flag('p');
    let volume = words.name("a volume")?;
    let of = RoomFor::Growing {
        volume,
        placement: words.placement()?,
    };
    Ok(Job::Room { of, bare })
}

/// `remove mirror`.
#[derive(Debug, Clone)]
pub struct RemoveMirror {
    volume: Name,
    /// How many mirrors are to stay.
    keep: Option<usize>,
    /// The disks whose mirrors are to stay (named), and those whose mirrors are to go (`!disk`).
    disks: Placement,
}

impl RemoveMirror {
    pub(super) fn run(&self, engine: &Engine<'_>) -> Result<Answer> {
        let name = self.volume.as_str();
        let world = engine.world_of(name, |world| volume_of(world, name).is_some())?;
        let engine = engine.on(&world.group.name);
        let volume = world.group.volume_named(&self.volume)?;
        let remove = |plex: &Plex| Command::Change(Request::PlexRemove(plex.name.clone()));
        let commands: Vec<Command> = self
            .chosen(&world, volume)?
            .into_iter()
            .map(remove)
            .collect();
        for command in &commands {
            engine.act(command)?;
        }
        Ok(Answer::default())
    }

    /// The plexes to remove: those that lie on an excluded disk; else the last ones that lie on no
    /// named disk.
    fn chosen<'v>(&self, world: &World, volume: &'v Volume) -> Result<Vec<&'v Plex>> {
        for disk in self.disks.on.iter().chain(&self.disks.avoid) {
            world.group.disk_named(disk)?;
        }
        let lies_on = |plex: &Plex, disks: &[Name]| {
            plex.subdisks.iter().any(|extent| {
                let disk = world.group.disk(extent.disk);
                disk.is_some_and(|disk| disks.contains(&disk.media))
            })
        };
        let mirrors: Vec<&Plex> = volume
            .plexes
            .iter()
            .filter(|plex| !plex.state.is_snapshot_leg())
            .collect();
        let path = world.group.path(&volume.name);
        if mirrors.len() < 2 {
            return Err(Error::not_ready(format!(
                "'{}' has no mirror that could be removed: its only plex stays",
                volume.name
            ))
            .on(path));
        }
        let mut chosen: Vec<&Plex> = if self.disks.avoid.is_empty() {
            let stay = |plex: &&&Plex| !lies_on(plex, &self.disks.on);
            let mut going: Vec<&Plex> = mirrors.iter().rev().filter(stay).copied().collect();
            going.sort_by_key(|plex| worth(world, plex));
            let count = self
                .keep
                .map_or(1, |keep| mirrors.len().saturating_sub(keep));
            if count == 0 {
                return Ok(Vec::new());
            }
            going.truncate(count);
            going
        } else {
            let going = |plex: &&&Plex| lies_on(plex, &self.disks.avoid);
            mirrors.iter().filter(going).copied().collect()
        };
        if chosen.is_empty() {
            return Err(Error::not_found(format!(
                "'{}' has no mirror there that could be removed",
                volume.name
            ))
            .on(path));
        }
        if chosen.len() == mirrors.len() {
            return Err(Error::not_ready(format!(
                "all mirrors of '{}' lie there; the last one stays",
                volume.name
            ))
            .on(path));
        }
        // What is worth least goes first: if the next one has to stay, the best are left.
        chosen.sort_by_key(|plex| worth(world, plex));
        Ok(chosen)
    }
}

/// How much a mirror is worth: least if its disks are missing, then if it is out of date, then if it
/// is being filled.
fn worth(world: &World, plex: &Plex) -> u8 {
    match plex.state {
        _ if !world.has_disks_of(plex) => 0,
        PlexState::Stale | PlexState::Failed => 1,
        state if state.is_attaching() => 2,
        _ => 3,
    }
}

fn snapstart(words: &mut Words) -> Result<Command> {
    let volumes = vec![words.name("a volume")?];
    let mirrors = nmirror(words)?.unwrap_or(1);
    Ok(Command::Change(Request::SnapStart {
        volumes,
        mirrors,
        placement: words.placement()?,
        lanes: None,
    }))
}

fn snapwait(words: &mut Words) -> Result<Command> {
    Ok(Command::SnapWait {
        volumes: vec![words.name("a volume")?],
        mirrors: nmirror(words)?.unwrap_or(1),
    })
}

fn snapshot(words: &mut Words) -> Result<Command> {
    let (all, pattern) = (words.uses("allvols"), words.uses_value("name"));
    let legs = legs(words)?;
    let splits = splits(all, pattern.is_some(), words.names()?)?;
    Ok(Command::Change(Request::Snapshot {
        splits,
        legs,
        pattern,
        require_frozen: false,
    }))
}

/// Reads which legs to split. Plain operands are volumes here, so disks are given by `alloc=`;
/// `plex=` comes from VxVM's other ways to make a snapshot.
fn legs(words: &mut Words) -> Result<Legs> {
    let list = |value: &str| {
        value
            .split([',', ' '])
            .filter(|word| !word.is_empty())
            .map(Name::parse)
            .collect::<Result<Vec<Name>>>()
    };
    let (count, plexes, disks) = (
        nmirror(words)?,
        words.attribute("plex"),
        words.attribute("alloc"),
    );
    match (plexes, disks) {
        (Some(_), Some(_)) => Err(Error::usage("'plex=' and 'alloc=' do not go together")),
        (Some(_), None) if count.is_some() => {
            Err(Error::usage("'plex=' and 'nmirror=' do not go together"))
        }
        (Some(plexes), None) => Ok(Legs::Named(list(&plexes)?)),
        (None, Some(disks)) => Ok(Legs::On(count.unwrap_or(1), list(&disks)?)),
        (None, None) => Ok(Legs::Count(count.unwrap_or(1))),
    }
}

/// Reads what to split. Two names are a volume and its snapshot, or two volumes; the command line
/// alone does not decide that, unless a pattern names the snapshots.
fn splits(all: bool, pattern: bool, names: Vec<Name>) -> Result<Splits> {
    let needs = |what: &str| Error::usage(what).hint(super::see_help("vxassist"));
    match (all, names.as_slice()) {
        (true, []) => Ok(Splits::All),
        (true, _) => Err(needs("'-o allvols' takes no volumes")),
        (false, []) => Err(needs("'snapshot' needs a volume")),
        (false, [a, b]) if !pattern => Ok(Splits::PairOrTwo(a.clone(), b.clone())),
        (false, _) => Ok(Splits::These(
            names
                .into_iter()
                .map(|volume| Split { volume, name: None })
                .collect(),
        )),
    }
}

fn snapabort(words: &mut Words) -> Result<Command> {
    let (volume, all, nmirror) = (
        words.name("a volume")?,
        words.uses("allplexes"),
        nmirror(words)?,
    );
    match (all, nmirror) {
        (true, Some(_)) => Err(Error::usage(
            "'-o allplexes' and 'nmirror=' do not go together",
        )),
        (true, None) => Ok(Command::Change(Request::SnapAbort {
            volume,
            count: None,
        })),
        (false, n) => Ok(Command::Change(Request::SnapAbort {
            volume,
            count: Some(n.unwrap_or(1)),
        })),
    }
}

fn snapback(words: &mut Words) -> Result<Command> {
    let (all, replica, original) = (
        words.uses("allplexes"),
        words.uses("resyncfromreplica"),
        words.uses("resyncfromoriginal"),
    );
    let (snapshot, nmirror) = (words.name("a snapshot volume")?, nmirror(words)?);
    let mirrors = match (all, nmirror) {
        (true, Some(_)) => {
            return Err(Error::usage(
                "'-o allplexes' and 'nmirror=' do not go together",
            ));
        }
        (true, None) => None,
        (false, n) => Some(n.unwrap_or(1)),
    };
    let from = match (replica, original) {
        (true, true) => {
            return Err(Error::usage(
                "'-o resyncfromreplica' and '-o resyncfromoriginal' do not go together",
            ));
        }
        (true, false) => Winner::Snapshot,
        (false, _) => Winner::Original,
    };
    Ok(Command::Change(Request::SnapBack {
        snapshots: vec![snapshot],
        mirrors,
        from,
        keep: false,
        lanes: None,
    }))
}

/// Reads `snapclear`. A snap object is named after the volume at its other end, with the suffix
/// `_snp`.
fn snapclear(words: &mut Words) -> Result<Command> {
    let volume = words.name("a volume")?;
    let which = match words.names()?.as_slice() {
        [] => Relations::TheOne,
        [object] => Relations::To(Name::parse(
            object
                .as_str()
                .strip_suffix("_snp")
                .unwrap_or(object.as_str()),
        )?),
        [_, more, ..] => {
            return Err(Error::usage(format!(
                "the operand '{more}' is not supported for 'snapclear'"
            )));
        }
    };
    Ok(Command::Change(Request::SnapClear { volume, which }))
}

fn length(words: &mut Words) -> Result<Sectors> {
    length_of(&words.operand("a length")?)
}

fn nmirror(words: &mut Words) -> Result<Option<usize>> {
    let Some(word) = words.attribute("nmirror") else {
        return Ok(None);
    };
    let count = word.parse().ok().filter(|n| (1..=MAX_PLEXES).contains(n));
    count.map(Some).ok_or_else(|| {
        Error::usage(format!(
            "'nmirror={word}' is not a number from 1 to {MAX_PLEXES}"
        ))
    })
}

/// `snapprint`.
pub(super) fn snapprint(engine: &Engine<'_>, volumes: &[Name]) -> Result<Answer> {
    let (outcome, failures) = engine.ask(Query::SnapPrint(volumes.to_vec()))?;
    let Outcome::Relations(worlds, _) = outcome else {
        return Ok(Answer::silent(failures));
    };
    let text = report::vx::snapprint(&worlds, volumes)?;
    Ok(Answer { text, failures })
}

/// One line, or the number alone. That nothing fits is a failure, as in VxVM.
pub(super) fn room(engine: &Engine<'_>, of: &RoomFor, bare: bool) -> Result<Answer> {
    let (outcome, failures) = engine.ask(Query::Room(of.clone()))?;
    let Outcome::Room {
        group,
        size,
        present,
        ..
    } = outcome
    else {
        return Ok(Answer::silent(failures));
    };
    let grows_by = present.map_or(size, |present| size.saturating_sub(present));
    if grows_by.is_zero() {
        return Err(Error::new(
            Kind::NoSpace,
            "No volume can be created or grown within the given constraints",
        )
        .on(group)
        .hint("'vxdg free' shows the extents that are not in use"));
    }
    let text = report::vx::room(
        size,
        present.is_some().then_some(grows_by),
        of.volume(),
        bare,
    );
    Ok(Answer { text, failures })
}
