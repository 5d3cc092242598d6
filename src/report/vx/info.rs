//! `vxinfo`: which volumes are started, and which could be.

use super::record::Kind;
use super::{place, world};
use crate::error::{Error, Result};
use crate::model::{Name, Plex, PlexState, Volume};
use crate::plan::world::World;
use std::collections::HashMap;
use std::fmt::Write;

/// A line for each of these volumes, or of all, with its plexes if they are asked for.
pub fn info(worlds: &[World], only: &[Name], plexes: bool) -> Result<String> {
    let is_there = |name: &Name| {
        let mut all = worlds.iter().flat_map(|world| &world.group.volumes);
        all.any(|volume| volume.name == *name)
    };
    if let Some(unknown) = only.iter().find(|name| !is_there(name)) {
        return Err(Error::not_found(format!("no group holds '{unknown}'"))
            .on(place(worlds, unknown))
            .hint("'vxprint' shows what there is"));
    }
    let chosen = |volume: &Volume| only.is_empty() || only.contains(&volume.name);
    let mut text = String::new();
    for world in worlds {
        // The words for the states of plexes are those of `vxprint`.
        let records = if plexes {
            world::records(world)
        } else {
            Vec::new()
        };
        let words: HashMap<String, String> = records
            .iter()
            .filter(|record| record.kind == Kind::Pl)
            .map(|record| (record.show("name", None), record.show("state", None)))
            .collect();
        for volume in world.group.volumes.iter().filter(|volume| chosen(volume)) {
            let state = state(world, volume);
            if !plexes {
                let _ = writeln!(text, "{:<14} fsgen    {state}", volume.name.as_str());
                continue;
            }
            let _ = writeln!(text, "vol    {:<14} fsgen    {state}", volume.name.as_str());
            for plex in &volume.plexes {
                let word = words.get(plex.name.as_str()).map_or("-", String::as_str);
                let _ = writeln!(text, "plex   {:<14} {word}", plex.name.as_str());
            }
            text.push('\n');
        }
    }
    Ok(text)
}

fn state(world: &World, volume: &Volume) -> &'static str {
    let whole = |plex: &Plex| {
        plex.state.is_complete() && plex.state != PlexState::SnapDone && world.has_disks_of(plex)
    };
    let usable = volume.plexes.iter().any(whole);
    match (world.started(volume).is_some(), usable) {
        (true, true) => "Started",
        (true, false) => "Started Unusable",
        (false, true) => "Startable",
        (false, false) => "Unstartable",
    }
}
