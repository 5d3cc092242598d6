//! `snapprint`: reports the relations of snapshots and their originals. Reading the maps of changes
//! needs the group's lock.

use super::scan::Scan;
use super::session::{Session, refuse_foreign};
use super::which::{group_for, shown_groups};
use super::{ChangedRanges, Env, Options};
use crate::advice::{Advised, Hint, Of};
use crate::app::session::View;
use crate::error::{Error, Result};
use crate::model::{Group, Name, Tracking, Volume};
use crate::plan::evidence::Situation;
use crate::plan::snapback;
use crate::table::dco;
use std::time::Duration;

/// How long to wait for the group's lock before its relations are shown without the changes.
const PATIENCE: Duration = Duration::from_secs(5);

/// A way to open a group under its lock.
pub(super) type Open = for<'u> fn(&Options, &Name, Env<'u>) -> Result<Session<'u>>;

/// Returns the groups to show, with the changes on both sides of their snapshots. If volumes are
/// named, only relations with one of them at either end are read.
pub(super) fn relations(
    options: &Options,
    volumes: &[Name],
    open: Open,
    scan: &Scan,
    env: Env<'_>,
) -> Result<Vec<Situation>> {
    let mut shown = Vec::new();
    for name in &shown_groups(options, volumes, scan, env)? {
        let mut view = View::look_in(scan, name, env)?;
        refuse_foreign(&view.world.group, name, env.machine.host_id()?)?;
        for volume in volumes {
            view.world.group.volume_named(volume)?;
        }
        if !tracked(&view.world.group, volumes).is_empty() {
            match with_maps(options, name, volumes, open, env) {
                Ok(read) => view = read,
                Err(error) => env.ui.warn(&format!(
                    "the changes in group '{name}' are not known: {error}"
                )),
            }
        }
        shown.push(view.world.clone());
    }
    Ok(shown)
}

/// Returns the ranges in which one snapshot and its original may differ.
pub(super) fn changed_ranges(
    options: &Options,
    snapshots: &[Name],
    open: Open,
    env: Env<'_>,
) -> Result<ChangedRanges> {
    let [name] = snapshots else {
        return Err(Error::usage("--changed-ranges and --map want one snapshot"));
    };
    let group = group_for(options, std::slice::from_ref(name), env.machine)?;
    let view = with_maps(options, &group, std::slice::from_ref(name), open, env)?;
    let world = &view.world;
    let snapshot = world.group.volume_named(name)?;
    let path = world.group.path(name);
    let unknown = |why: String| {
        Error::not_ready(format!(
            "the changes between '{path}' and its original are not known: {why}"
        ))
        .on(&path)
        .hint(Hint::from(Advised::SnapPrint(Of::group(&world.group.name))).and(" shows which are"))
    };
    let differences = snapback::differences(world, snapshot).map_err(unknown)?;
    let original = snapshot
        .origin
        .as_ref()
        .and_then(|origin| world.group.volume(origin.original));
    let original = original.ok_or_else(|| unknown("its original is gone".to_owned()))?;
    Ok(ChangedRanges {
        group: world.group.name.clone(),
        original: original.name.clone(),
        snapshot: name.clone(),
        size: snapshot.size,
        block: dco::block(snapshot.size),
        ranges: differences.either,
        on_original: differences.original,
        on_snapshot: differences.snapshot,
    })
}

/// Returns a group with the changes of its tracked snapshots, read under its lock; if `volumes` is
/// not empty, of those with one of them at either end.
pub(super) fn with_maps<'u>(
    options: &Options,
    group: &Name,
    volumes: &[Name],
    open: Open,
    env: Env<'u>,
) -> Result<View<'u>> {
    let options = Options {
        timeout: options.timeout.or(Some(PATIENCE)),
        ..options.clone()
    };
    let mut session = open(&options, group, env)?;
    for (volume, since) in snapback::needed(&session.world, &tracked(&session.world.group, volumes))
    {
        session.list_changes(volume, since);
    }
    Ok(session.release())
}

/// Whether the changes of any snapshot of a group are tracked.
pub(super) fn any_tracked(group: &Group) -> bool {
    !tracked(group, &[]).is_empty()
}

/// Returns the snapshots whose changes are tracked; if `only` is not empty, those with one of its
/// volumes at either end.
fn tracked(group: &Group, only: &[Name]) -> Vec<Name> {
    let named = |volume: &Volume| only.is_empty() || only.contains(&volume.name);
    let wanted = |snapshot: &&Volume| {
        snapshot.origin.as_ref().is_some_and(|origin| {
            matches!(origin.tracking, Tracking::Since(_))
                && (named(snapshot) || group.volume(origin.original).is_some_and(named))
        })
    };
    group
        .volumes
        .iter()
        .filter(wanted)
        .map(|snapshot| snapshot.name.clone())
        .collect()
}
