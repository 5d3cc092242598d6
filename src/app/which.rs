//! Which group a command is for, and what is said of groups that cannot be read.

use super::scan::Scan;
use super::session::Session;
use super::{Env, Options, Report};
use crate::app::session::View;
use crate::error::{Error, Kind, Result};
use crate::model::{Group, GroupId, Name};
use crate::plan::request::{Request, Selection, Splits};
use crate::sys::machine::Machine;
use std::any::Any;
use std::collections::BTreeSet;
use std::ops::{Deref, DerefMut};

/// The objects of the group that a request names, by which the group is found when none is given.
pub fn named(request: &Request) -> Vec<Name> {
    match request {
        Request::Remove { volumes, .. } | Request::SnapStart { volumes, .. } => volumes.clone(),
        Request::Rename { volume, .. }
        | Request::Grow { volume, .. }
        | Request::Mirror { volume, .. }
        | Request::SnapAbort { volume, .. }
        | Request::SnapClear { volume, .. }
        | Request::FastResync { volume, .. } => vec![volume.clone()],
        Request::SnapBack { snapshots, .. } => snapshots.clone(),
        Request::Start {
            volumes: Selection::Named(names),
            ..
        }
        | Request::Stop(Selection::Named(names)) => names.clone(),
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
        | Request::PlexAttach(plex)
        | Request::PlexRemove(plex) => {
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

/// The group that was named, or the only one that holds all these volumes or plexes, or the only
/// one there is.
pub fn group_for(options: &Options, objects: &[Name], machine: &dyn Machine) -> Result<Name> {
    if let Some(name) = &options.group {
        return Ok(name.clone());
    }
    let scan = Scan::new(machine)?;
    let groups = scan.readable_groups();
    let refused = scan.refused().into_iter().next();
    let all: Vec<&Group> = groups
        .iter()
        .filter(|g| objects.iter().all(|object| holds(g, object)))
        .collect();
    // What another machine has, or nobody, is not in the way of what this one has.
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
            Err(Error::new(kind, reason)
                .hint("'breakoff group list' shows all groups; -g GROUP names another one"))
        }
        ([], _, _) if !scan.silent().is_empty() => Err(scan.silent().swap_remove(0)),
        ([only], _, _) => Ok(scan.word(only)),
        ([], _, 0) => Err(Error::not_found("there is no disk group on this machine")
            .hint("make one with 'breakoff group create NAME DEVICE…'")),
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

/// No group has all of these objects: either one of them is not there at all, or they are of
/// different groups.
fn held_nowhere(groups: &[Group], objects: &[Name]) -> Error {
    let hint = "'breakoff print' shows what there is";
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

/// The group that was named, or that of the volumes that were, or all that are this machine's.
pub fn shown_groups(options: &Options, objects: &[Name], env: Env<'_>) -> Result<Vec<Name>> {
    match &options.group {
        Some(name) => Ok(vec![name.clone()]),
        None if !objects.is_empty() => Ok(vec![group_for(options, objects, env.machine)?]),
        None => {
            let scan = Scan::new(env.machine)?;
            scan.refused()
                .iter()
                .for_each(|(_, reason, _)| env.ui.warn(reason));
            scan.own_words(env.machine)
        }
    }
}

/// Groups that are refused, and disks of ours that cannot be read. As long as another one has the
/// configuration that is a warning; else nothing can be said of their groups, and nothing was done
/// for them. `except` are those for which something is done all the same.
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
                Error::new(kind, reason)
                    .hint("'breakoff group list' and 'breakoff disk list' show more"),
            );
        }
    }
}

/// A group that is to be changed, or for a dry run only looked at.
pub enum Opened<'u> {
    /// Nothing can be changed.
    Looked(Box<View<'u>>),
    /// Everything can be.
    Locked(Box<Session<'u>>),
}

impl<'u> Opened<'u> {
    /// What was looked at, for the change that it was locked for.
    pub fn of(options: &Options, view: View<'u>, lock: Box<dyn Any>) -> Opened<'u> {
        if options.dry_run {
            Opened::Looked(Box::new(view))
        } else {
            Opened::Locked(Box::new(view.with_lock(lock)))
        }
    }

    /// For the change; `None` for a dry run.
    pub fn for_change(self) -> Option<Session<'u>> {
        match self {
            Opened::Looked(_) => None,
            Opened::Locked(session) => Some(*session),
        }
    }
}

impl<'u> Deref for Opened<'u> {
    type Target = View<'u>;

    fn deref(&self) -> &View<'u> {
        match self {
            Opened::Looked(view) => view,
            Opened::Locked(session) => session,
        }
    }
}

impl DerefMut for Opened<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        match self {
            Opened::Looked(view) => view,
            Opened::Locked(session) => session,
        }
    }
}

/// The group for a change; for a dry run it is only looked at.
pub fn open<'u>(options: &Options, name: &Name, env: Env<'u>) -> Result<Opened<'u>> {
    if options.dry_run {
        return Ok(Opened::Looked(Box::new(View::look(name, env)?)));
    }
    let mut session = Session::open(options, name, env)?;
    session.tend()?;
    Ok(Opened::Locked(Box::new(session)))
}
