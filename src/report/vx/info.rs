//! `vxinfo`: which volumes are started, and which could be.

use super::record::{Kind, Record};
use super::{is_started, place, world};
use crate::error::{Error, Result};
use crate::model::{Extent, Name, Plex, PlexState, Volume};
use crate::plan::world::World;
use std::fmt::Write;

/// A line for each of these volumes, or of all, with its plexes if they are asked for.
pub fn info(worlds: &[World], only: &[Name], plexes: bool) -> Result<String> {
    let all = || {
        worlds.iter().flat_map(|world| {
            world
                .group
                .volumes
                .iter()
                .map(move |volume| (world, volume))
        })
    };
    if let Some(unknown) = only
        .iter()
        .find(|name| !all().any(|(_, v)| v.name == **name))
    {
        return Err(Error::not_found(format!("no group holds '{unknown}'"))
            .on(place(worlds, unknown))
            .hint("'vxprint' shows what there is"));
    }
    let mut text = String::new();
    for (world, volume) in all().filter(|(_, v)| only.is_empty() || only.contains(&v.name)) {
        let state = state(world, volume);
        if !plexes {
            let _ = writeln!(text, "{:<14} fsgen    {state}", volume.name.as_str());
            continue;
        }
        let _ = writeln!(text, "vol    {:<14} fsgen    {state}", volume.name.as_str());
        let records = world::records(world);
        let state_of = |plex: &Plex| {
            let is_it = |record: &&Record| {
                record.kind == Kind::Pl && record.show("name", None) == plex.name.as_str()
            };
            let record = records.iter().find(is_it);
            record.map_or_else(String::new, |record| record.show("state", None))
        };
        for plex in &volume.plexes {
            let _ = writeln!(text, "plex   {:<14} {}", plex.name.as_str(), state_of(plex));
        }
        text.push('\n');
    }
    Ok(text)
}

fn state(world: &World, volume: &Volume) -> &'static str {
    let here = |extent: &Extent| world.disks.contains_key(&extent.disk);
    let whole = |plex: &&Plex| {
        plex.state.is_complete()
            && plex.state != PlexState::SnapDone
            && plex.subdisks.iter().all(here)
    };
    let usable = volume.plexes.iter().find(whole).is_some();
    match (is_started(world, volume), usable) {
        (true, true) => "Started",
        (true, false) => "Started Unusable",
        (false, true) => "Startable",
        (false, false) => "Unstartable",
    }
}
