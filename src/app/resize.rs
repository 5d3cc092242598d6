//! `disk resize`: adds the new space of a disk that has grown to its group.

use super::scan::Scan;
use super::which::open;
use super::{Change, Env, Options, Report};
use crate::advice::{Advised, Hint};
use crate::error::{Error, Result};
use crate::model::{Name, Sectors};
use crate::plan::change::Event;
use crate::plan::quorum;
use crate::plan::step::Plan;

/// Writes the label first and then the configuration. A crash in between leaves a label with more
/// space than is used, which the next `disk resize` finds.
pub fn resize(options: &Options, media: &Name, env: Env<'_>) -> Result<Report> {
    let name = group_of(options, media, env)?;
    let opened = open(options, &name, env)?;
    let group = &opened.world.group;
    let (disk, path) = (
        group.disk_named(media)?.clone(),
        format!("{}/{media}", group.name),
    );
    let missing = || {
        Error::device(format!(
            "disk '{media}' is missing, or its label cannot be read"
        ))
        .on(&path)
    };
    let labelled = opened.labelled_size(disk.id).ok_or_else(missing)?;
    let grown = opened.grown(disk.id);
    let size: Sectors = grown.map_or(labelled, |geometry| geometry.data_size());
    if size <= disk.size {
        return Ok(Report {
            notes: vec![format!(
                "disk '{path}' has no space that is not used: {size} are for volumes"
            )],
            ..Report::default()
        });
    }
    quorum::refuse_minority(&opened.world)?;
    let mut plan = Plan::nothing(group.clone());
    plan.group
        .disks
        .iter_mut()
        .filter(|d| d.id == disk.id)
        .for_each(|d| d.size = size);
    let resized = Event::DiskResized {
        media: media.clone(),
        size,
        by: size.saturating_sub(disk.size),
    };
    plan.changes.push(Change::disk(&group.name, media, resized));
    let Some(mut session) = opened.for_change() else {
        return Ok(plan.into());
    };
    if let Some(geometry) = grown {
        session
            .relabel(disk.id, geometry)
            .map_err(|error| error.context(format!("disk '{media}'")).on(&path))?;
    }
    Ok(session.carry_out(&plan)?)
}

/// Returns the group given by `-g`, or the only group of this machine that has such a disk.
fn group_of(options: &Options, media: &Name, env: Env<'_>) -> Result<Name> {
    if let Some(name) = &options.group {
        return Ok(name.clone());
    }
    let scan = Scan::new(env.machine)?;
    let own = scan.own_groups(env.machine)?;
    let having: Vec<Name> = own
        .iter()
        .filter(|g| g.disks.iter().any(|d| d.media == *media))
        .map(|g| scan.word(g))
        .collect();
    match having.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(
            Error::not_found(format!("no group of this machine has a disk '{media}'"))
                .on(media)
                .hint(Hint::from(Advised::DiskList).and(" shows them all")),
        ),
        many => {
            let words: Vec<&str> = many.iter().map(Name::as_str).collect();
            Err(Error::usage(format!(
                "several groups have a disk '{media}': {}",
                words.join(", ")
            ))
            .hint("choose one with -g GROUP"))
        }
    }
}
