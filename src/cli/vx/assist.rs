//! The verbs of `vxassist`. Called by `vx` only.

use super::layout::Layout;
use super::words::Words;
use crate::advice::{Advised, Hint, Of};
use crate::app::{Command, Query};
use crate::error::{Error, Result};
use crate::model::units::{DefaultUnit, parse_size};
use crate::model::volume::MAX_PLEXES;
use crate::model::{Name, NodeOwner, Sectors};
use crate::plan::request::{GrowTo, Legs, Relations, Request, Split, Splits, Winner};

/// The text that `vxassist help` prints.
pub(super) const HELP: &str = "\
VxVM's words for what 'breakoff' does; see also 'breakoff --help'.

Usage:
  vxassist [-g dg] make VOL LENGTH [layout=LAYOUT] [nmirror=N] [DISK...] [!DISK...]
  vxassist [-g dg] mirror VOL [DISK...] [!DISK...]
  vxassist [-g dg] growto|growby VOL LENGTH [DISK...] [!DISK...]
  vxassist [-g dg] [-f] remove volume VOL
  vxassist [-g dg] [-b] snapstart [nmirror=N] VOL [DISK...] [!DISK...]
  vxassist [-g dg] snapwait [nmirror=N] VOL
  vxassist [-g dg] snapshot [nmirror=N] [alloc=DISK,...] VOL [SNAPVOL]
  vxassist [-g dg] snapshot plex=PLEX[,PLEX...] VOL [SNAPVOL]
  vxassist [-g dg] [-o name=PATTERN] snapshot VOL...
  vxassist -g dg [-o name=PATTERN] -o allvols snapshot
  vxassist [-g dg] [-o allplexes] snapabort [nmirror=N] VOL
  vxassist [-g dg] snapclear SNAPVOL | VOL [SNAPOBJ]
  vxassist [-g dg] snapprint [VOL]

'snapshot A B' splits both when there is a volume B, else B is the name of the snapshot.
A length without a suffix is in sectors of 512 bytes; k, m, g and t are binary multiples.
LAYOUT is a comma list of concat, mirror, mirror-concat, nomirror, log, nolog.
-V shows what would be done. -f also removes snapshot legs. -q and -v say less and more.
-r, -t TAG, -U fsgen|gen and comment= are taken and change nothing.

Exit status: as 'breakoff --help' has it.
";

/// Verbs of VxVM that have no counterpart in breakoff so far.
const LATER: [&str; 14] = [
    "addlog",
    "convert",
    "evacuate",
    "maxgrow",
    "maxsize",
    "move",
    "relayout",
    "settag",
    "shrinkby",
    "shrinkto",
    "transform",
    "removetag",
    "listtag",
    "intent",
];

/// Builds the command that a command line asks for.
pub(super) fn command(mut words: Words) -> Result<Command> {
    let verb = words
        .verb
        .clone()
        .ok_or_else(|| Error::usage("a verb is missing").hint("see 'vxassist help'"))?;
    let command = match verb.as_str() {
        "make" => make(&mut words)?,
        "mirror" => mirror(&mut words)?,
        "growto" => grow(&mut words, GrowTo::To)?,
        "growby" => grow(&mut words, GrowTo::By)?,
        "remove" => remove(&mut words)?,
        "snapstart" => snapstart(&mut words)?,
        "snapwait" => snapwait(&mut words)?,
        "snapshot" => snapshot(&mut words)?,
        "snapabort" => snapabort(&mut words)?,
        "snapback" => snapback(&mut words)?,
        "snapclear" => snapclear(&mut words)?,
        "snapprint" => Command::Show(Query::SnapPrint(words.names()?)),
        later if LATER.contains(&later) => {
            return Err(Error::usage(format!("'{later}' is not supported yet")));
        }
        other => {
            return Err(Error::usage(format!("'{other}' is not a verb of vxassist"))
                .hint("see 'vxassist help'"));
        }
    };
    words.finish()?;
    Ok(command)
}

fn make(words: &mut Words) -> Result<Command> {
    let (volume, size) = (words.name("a volume")?, length(words)?);
    let layout = Layout::parse(
        &words
            .attribute("layout")
            .unwrap_or_else(|| "concat".to_owned()),
    )?;
    let mirrors = layout.mirrors(nmirror(words)?)?;
    usage_type(words)?;
    let fast_resync = fast_resync(words)?;
    Ok(Command::Change(Request::Make {
        volume,
        size,
        mirrors,
        placement: words.placement()?,
        log: layout.log(),
        fast_resync,
        sector_size: None,
        owner: NodeOwner::default(),
    }))
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

fn remove(words: &mut Words) -> Result<Command> {
    match words.operand("what to remove, such as 'volume'")?.as_str() {
        "volume" => Ok(Command::Change(Request::Remove {
            volumes: vec![words.name("a volume")?],
            recursive: words.force,
        })),
        what @ ("mirror" | "log") => Err(Error::usage(format!(
            "'remove {what}' is not supported yet"
        ))
        .hint(Hint::from(Advised::PlexRemove(Of::name("PLEX"))).and(" removes one plex"))),
        other => Err(
            Error::usage(format!("'remove {other}': only a volume can be removed"))
                .hint("type 'remove volume VOL'"),
        ),
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
    let needs = |what: &str| Error::usage(what).hint("see 'vxassist help'");
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
    let word = words.operand("a length")?;
    match parse_size(&word, DefaultUnit::Sectors)? {
        size if size.is_zero() => Err(Error::usage(format!("'{word}' is no length to ask for"))),
        size => Ok(size),
    }
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

/// Checks `usetype=`, which means the same as `-U`.
fn usage_type(words: &mut Words) -> Result<()> {
    match words.attribute("usetype").as_deref() {
        None | Some("fsgen" | "gen") => Ok(()),
        Some(other) => Err(
            Error::usage(format!("the usage type '{other}' is not supported"))
                .hint("there are fsgen and gen"),
        ),
    }
}

/// Reads `fastresync=` or `fmr=`. The default is on; VxVM's is off, but a snapback that copies
/// everything surprises users.
fn fast_resync(words: &mut Words) -> Result<bool> {
    let mut on = true;
    for name in ["fastresync", "fmr"] {
        match words.attribute(name).as_deref() {
            None => {}
            Some("on") => on = true,
            Some("off") => on = false,
            Some(value) => {
                return Err(Error::usage(format!(
                    "'{name}={value}' is neither 'on' nor 'off'"
                )));
            }
        }
    }
    Ok(on)
}
