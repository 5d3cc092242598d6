//! The sides of a split brain, for `group choose`.

use crate::app::Env;
use crate::app::scan::Scan;
use crate::app::session::View;
use crate::error::{Error, Result};
use crate::meta::{Chosen, Side};
use crate::model::Name;
use crate::plan::evidence::OtherSides;

/// A group of which one side was chosen, as that side has it.
pub struct OneSide {
    scan: Scan,
    chosen: Chosen,
    /// What the others have; `None` if there is no other side.
    others: Option<OtherSides>,
}

impl OneSide {
    /// Finds a side of the group that `group` names.
    pub fn find(group: &str, side: &str, env: Env<'_>) -> Result<OneSide> {
        let scan = Scan::new(env.machine)?;
        let id = scan.group_named(group)?;
        let sides = scan.sides(id)?;
        let chosen = scan.choose_side(id, meant(&sides, side, group)?)?;
        let others = (sides.len() > 1).then(|| OtherSides {
            disks: chosen.parted.clone(),
            volumes: only_elsewhere(&chosen, &sides),
        });
        Ok(OneSide {
            scan,
            chosen,
            others,
        })
    }

    /// The name of the group.
    pub fn name(&self) -> &Name {
        &self.chosen.group.name
    }

    /// The group as this side has it.
    pub fn view(self, env: Env<'_>) -> Result<View<'_>> {
        let mut view = View::chosen(&self.scan, self.chosen, env)?;
        view.world.evidence.other_sides = self.others;
        Ok(view)
    }
}

/// Returns the side that a word means: the start of its digest, or one of its devices.
fn meant<'s>(sides: &'s [Side], word: &str, group: &str) -> Result<&'s Side> {
    let is_it = |side: &&Side| {
        side.stamp.digest.to_string().starts_with(word)
            || side.devices.iter().any(|device| device == word)
    };
    let meant: Vec<&Side> = sides.iter().filter(is_it).collect();
    match meant.as_slice() {
        [only] => Ok(only),
        found => {
            let all: Vec<String> = sides
                .iter()
                .map(|s| format!("{} on {}", s.stamp.digest.short(), s.devices.join(", ")))
                .collect();
            let many = if found.is_empty() {
                "no side"
            } else {
                "more than one side"
            };
            Err(Error::not_found(format!(
                "{many} of group '{group}' is meant by '{word}': {}",
                all.join("; ")
            ))
            .on(group))
        }
    }
}

/// Returns the names of the volumes that the chosen side lacks.
fn only_elsewhere(chosen: &Chosen, sides: &[Side]) -> Vec<String> {
    let all = sides.iter().flat_map(|side| &side.says.group.volumes);
    let mut lost: Vec<String> = all
        .filter(|v| chosen.group.volume(v.id).is_none())
        .map(|v| v.name.to_string())
        .collect();
    lost.sort_unstable();
    lost.dedup();
    lost
}
