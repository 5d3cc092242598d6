//! `vxassist snapprint`: the relations between volumes and their snapshots. Lengths are sectors.

use super::row::row;
use crate::error::{Error, Result};
use crate::model::units::SECTOR;
use crate::model::{Name, PlexState, Volume};
use crate::plan::evidence::Situation;
use crate::report::relations::{self, Relation};

const WIDTHS: [usize; 4] = [2, 12, 12, 12];

/// Each of these volumes, or each volume of these groups, with its snap objects and the plexes that
/// are detached from it. A volume that is named must be tracked.
pub fn snapprint(worlds: &[Situation], only: &[Name]) -> Result<String> {
    for name in only {
        refuse_untracked(worlds, name)?;
    }
    let mut text = row(&WIDTHS, &["V", "NAME", "USETYPE", "LENGTH"]);
    text += &row(&WIDTHS, &["SS", "SNAPOBJ", "NAME", "LENGTH", "%DIRTY"]);
    text += &row(&WIDTHS, &["DP", "NAME", "VOLUME", "LENGTH", "%DIRTY"]);
    for world in worlds {
        let relations = relations::all(std::slice::from_ref(world), &[]);
        let volumes = world.group.volumes.iter();
        for volume in volumes.filter(|volume| only.is_empty() || only.contains(&volume.name)) {
            text.push('\n');
            text += &block(volume, &relations);
        }
    }
    Ok(text)
}

fn refuse_untracked(worlds: &[Situation], name: &Name) -> Result<()> {
    for world in worlds {
        let group = &world.group;
        let mut volumes = group.volumes.iter();
        let untracked = |v: &&Volume| v.name == *name && !v.fast_resync && v.origin.is_none();
        if volumes.any(|volume| untracked(&volume)) {
            return Err(Error::not_ready(format!(
                "Volume {name} does not have FastResync enabled"
            ))
            .on(group.path(name))
            .hint(format!(
                "'vxvol -g {} set fastresync=on {name}' switches it on",
                group.name
            )));
        }
    }
    Ok(())
}

fn block(volume: &Volume, relations: &[Relation]) -> String {
    let length = volume.size.get().to_string();
    let mut text = row(&WIDTHS, &["v", volume.name.as_str(), "fsgen", &length]);
    for relation in relations {
        let dirty = relation.dirty_bytes;
        if relation.original.as_deref() == Some(volume.name.as_str()) {
            let changed = dirty.map(|dirty| dirty.original);
            text += &link(relation, &relation.snapshot, changed);
        }
        if relation.snapshot == volume.name.as_str() {
            let original = relation.original.as_deref().unwrap_or("-");
            text += &link(relation, original, dirty.map(|dirty| dirty.snapshot));
        }
    }
    let detached = volume.plexes.iter();
    let detached = detached.filter(|p| matches!(p.state, PlexState::Stale | PlexState::Failed));
    for plex in detached {
        let length = plex.length().get().to_string();
        // It is filled from beginning to end when it is attached again.
        let words = [
            "dp",
            plex.name.as_str(),
            volume.name.as_str(),
            &length,
            "100",
        ];
        text += &row(&WIDTHS, &words);
    }
    text
}

/// A snap object. Without a map there is none, and everything counts as changed.
fn link(relation: &Relation, peer: &str, changed: Option<u64>) -> String {
    let object = if relation.tracked {
        format!("{peer}_snp")
    } else {
        "--".to_owned()
    };
    let length = (relation.size / SECTOR).to_string();
    let dirty = changed.map_or(100, |bytes| {
        bytes.saturating_mul(100).div_ceil(relation.size.max(1))
    });
    row(&WIDTHS, &["ss", &object, peer, &length, &dirty.to_string()])
}
