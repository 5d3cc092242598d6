//! Determines which group a command is for, and reports groups that cannot be read.

use super::scan::Scan;
use super::{Env, Options, Report};
use crate::advice::{Advised, Hint, Of};
use crate::error::{Error, Kind, Result};
use crate::model::{Group, GroupId, Name};
use crate::plan::request::{Request, Selection, Splits};
use crate::sys::machine::Machine;
use std::collections::BTreeSet;

/// Returns the volumes or plexes that a request names, by which its group is found if `-g` is not
/// given.
pub fn named(request: &Request) -> Vec<Name> {
    match request {
        Request::Remove { volumes, .. }
        | Request::SnapStart { volumes, .. }
        | Request::Owner { volumes, .. } => volumes.clone(),
        Request::Rename { volume, .. }
        | Request::Grow { volume, .. }
        | Request::Mirror { volume, .. }
        | Request::LogAdd { volume, .. }
        | Request::LogRemove(volume)
        | Request::SnapAbort { volume, .. }
        | Request::SnapClear { volume, .. }
        | Request::FastResync { volume, .. } => vec![volume.clone()],
        Request::SnapBack { snapshots, .. } | Request::AtBoot { snapshots, .. } => {
            snapshots.clone()
        }
        Request::Start {
            volumes: Selection::Named(names) | Selection::Each(names),
            ..
        }
        | Request::Stop(Selection::Named(names) | Selection::Each(names)) => names.clone(),
        Request::Snapshot {
            splits: Splits::These(list),
            ..
        } => list.iter().map(|s| s.volume.clone()).collect(),
        Request::Snapshot {
            splits: Splits::PairOrTwo(first, _),
            ..
        } => vec![first.clone()],
        Request::PlexConvert { plex, .. }
        | Request::PlexDetach(plex)
        | Request::PlexAttach { plex, .. }
        | Request::PlexRemove(plex)
        | Request::PlexAbort(plex) => {
            vec![plex.clone()]
        }
        Request::Make { .. }
        | Request::Start {
            volumes: Selection::All,
            ..
        }
        | Request::Stop(Selection::All)
        | Request::Snapshot {
            splits: Splits::All,
            ..
        } => Vec::new(),
    }
}

/// Returns the group given by `-g`, or the only group that holds all these volumes or plexes, or
/// the only group there is.
pub fn group_for(options: &Options, objects: &[Name], machine: &dyn Machine) -> Result<Name> {
    if let Some(name) = &options.group {
        return Ok(name.clone());
    }
    group_in(&Scan::new(machine)?, objects, machine)
}

/// Reads the disks once, for a question about one group, or about all of them.
pub fn scan_for(options: &Options, env: Env<'_>) -> Result<Scan> {
    let scan = match &options.group {
        Some(name) => Scan::for_group(env.machine, name.as_str())?,
        None => Scan::new(env.machine)?,
    };
    scan.tell_unanswered(options.group.as_ref().map(Name::as_str), env);
    Ok(scan)
}

/// The options of a command on all groups, for one of them.
pub fn for_group(options: &Options, scan: &Scan, group: &Group) -> Options {
    Options {
        group: Some(scan.word(group)),
        ..options.clone()
    }
}

/// Returns the only group of a scan that holds all these volumes or plexes, or the only group there
/// is.
fn group_in(scan: &Scan, objects: &[Name], machine: &dyn Machine) -> Result<Name> {
    let groups = scan.readable_groups();
    let refused = scan.refused().into_iter().next();
    let all: Vec<&Group> = groups
        .iter()
        .filter(|g| objects.iter().all(|object| holds(g, object)))
        .collect();
    // Groups that are deported or imported elsewhere do not make one of this machine's ambiguous.
    let own: Vec<&Group> = all
        .iter()
        .filter(|g| g.host.is_some() && g.host == machine.host_id().ok())
        .copied()
        .collect();
    let holders = if own.is_empty() { all } else { own };
    match (holders.as_slice(), objects.first(), groups.len()) {
        ([], _, _) if refused.is_some() => {
            let (reason, kind) = refused.map_or_else(
                || (String::new(), Kind::Unsafe),
                |(_, reason, kind)| (reason, kind),
            );
            Err(Error::new(kind, reason).hint(
                Hint::from(Advised::GroupList).and(" shows all groups; -g GROUP names another one"),
            ))
        }
        ([], _, _) if !scan.silent().is_empty() => Err(scan.silent().swap_remove(0)),
        ([only], _, _) => Ok(scan.word(only)),
        ([], _, 0) => Err(Error::not_found("there is no disk group on this machine")
            .hint(Hint::from("make one with ").line(Advised::GroupCreate))),
        ([], Some(_), _) => Err(held_nowhere(&groups, objects)),
        (many, object, _) => {
            let mut words: Vec<String> = many.iter().map(|g| scan.word(g).to_string()).collect();
            words.sort();
            let what = object.map_or_else(
                || "there are several groups".to_owned(),
                |object| format!("several groups have a '{object}'"),
            );
            Err(Error::usage(format!("{what}: {}", words.join(", ")))
                .hint("choose one with -g GROUP"))
        }
    }
}

/// Whether a volume or a plex of the group has this name.
fn holds(group: &Group, object: &Name) -> bool {
    group
        .volumes
        .iter()
        .any(|v| v.name == *object || v.plexes.iter().any(|p| p.name == *object))
}

/// Builds the error for objects that no group holds together: either one of them does not exist, or
/// they are in different groups.
fn held_nowhere(groups: &[Group], objects: &[Name]) -> Error {
    let hint = Hint::from(Advised::Print(Of::verb())).and(" shows what there is");
    match objects
        .iter()
        .find(|object| !groups.iter().any(|group| holds(group, object)))
    {
        Some(object) => Error::not_found(format!("no group holds '{object}'"))
            .on(object)
            .hint(hint),
        None => {
            let names: Vec<String> = objects.iter().map(|object| format!("'{object}'")).collect();
            Error::usage(format!(
                "no group holds all of {}; a command is for one group",
                names.join(", ")
            ))
            .hint(hint)
        }
    }
}

/// Returns the group given by `-g`, or the group of the named volumes, or all groups of this
/// machine.
pub fn shown_groups(
    options: &Options,
    objects: &[Name],
    scan: &Scan,
    env: Env<'_>,
) -> Result<Vec<Name>> {
    match &options.group {
        Some(name) => Ok(vec![name.clone()]),
        None if !objects.is_empty() => Ok(vec![group_in(scan, objects, env.machine)?]),
        None => {
            scan.refused()
                .iter()
                .for_each(|(_, reason, _)| env.ui.warn(reason));
            scan.own_words(env.machine)
        }
    }
}

/// Reports groups that are refused and disks that cannot be read. An unreadable disk is only a
/// warning if the labels of other disks name a group. A running group without a readable label is a
/// failure. So is a refused group, since nothing was done for it, unless it is in `except`.
pub fn tell_unreadable(scan: &Scan, except: &BTreeSet<GroupId>, report: &mut Report, env: Env<'_>) {
    let failed = scan.unreadable();
    if scan.groups().is_empty() {
        report.failures.extend(failed);
    } else {
        failed.iter().for_each(|error| env.ui.warn(error.message()));
    }
    scan.unanswered()
        .iter()
        .for_each(|error| env.ui.warn(error.message()));
    report.failures.extend(scan.silent());
    for (id, reason, kind) in scan.refused() {
        if except.contains(&id) {
            env.ui.warn(&reason);
        } else {
            report.failures.push(
                Error::new(kind, reason).hint(
                    Hint::from(Advised::GroupList)
                        .and(" and ")
                        .line(Advised::DiskList)
                        .and(" show more"),
                ),
            );
        }
    }
}
