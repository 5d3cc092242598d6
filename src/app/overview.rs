//! `status --watch`: one look at all groups. It takes no lock of a group, and a group that cannot be
//! read does not stop the others.

use super::scan::Scan;
use super::status::{self, Target};
use super::{Env, Options, Progress, wait};
use crate::error::{Error, Result};
use crate::model::{LostLeg, Timestamp};
use crate::plan::world::World;

/// What one look has found.
#[derive(Debug, Clone)]
pub struct Overview {
    /// When it was begun.
    pub at: Timestamp,
    /// The groups that could be read.
    pub groups: Vec<Overlooked>,
    /// The groups that could not be read, by the names that they are known by, each with the reason.
    pub unread: Vec<(String, Error)>,
    /// What needs attention beside what is wrong with single groups.
    pub findings: Vec<String>,
}

/// A group that could be read.
#[derive(Debug, Clone)]
pub struct Overlooked {
    /// The group as it was observed.
    pub world: World,
    /// The copies that run.
    pub copies: Vec<Progress>,
    /// What needs attention.
    pub findings: Vec<String>,
}

impl Overlooked {
    /// The legs that have failed and were removed, with the volumes that they belonged to.
    pub fn lost_legs(&self) -> impl Iterator<Item = (String, &LostLeg)> {
        let group = &self.world.group;
        let lost = group.volumes.iter();
        lost.filter_map(|volume| Some((group.path(&volume.name), volume.lost_leg.as_ref()?)))
    }
}

/// Looks at all groups of this machine, or at the one of `-g`. With `watched` a monitor is started
/// when mirrors run and no monitor does, as `status` does it.
pub fn overview(options: &Options, watched: bool, env: Env<'_>) -> Result<Overview> {
    let at = env.machine.now();
    let scan = Scan::new(env.machine)?;
    let mut seen = Overview {
        at,
        groups: Vec::new(),
        unread: Vec::new(),
        findings: status::general(&scan),
    };
    if options.group.is_none() {
        let silent = scan.silent();
        let findings = silent.iter().map(|error| error.message().to_owned());
        seen.findings.extend(findings);
    }
    if watched {
        seen.findings.extend(status::unwatched(env));
    }
    for target in Target::all(options, &scan, status::words(&scan), env.machine)? {
        match target.look(&scan, env) {
            Ok(view) => seen.groups.push(Overlooked {
                copies: wait::progress(&view.world),
                findings: target.findings(&view),
                world: view.world.state.clone(),
            }),
            Err(error) => seen.unread.push((target.name(&scan), error)),
        }
    }
    seen.groups
        .sort_by(|one, other| one.world.group.name.cmp(&other.world.group.name));
    Ok(seen)
}
