//! `status` and `recover`: what needs attention, and having it done.

use super::scan::Scan;
use super::session::Session;
use super::{Env, Options, Outcome, Report};
use crate::error::Result;
use crate::model::{Name, PlexState, Volume};
use crate::plan::render;
use crate::plan::world::World;
use crate::report::text;
use crate::sys::machine::Machine;
use std::time::Duration;

fn names(options: &Options, machine: &dyn Machine) -> Result<Vec<Name>> {
    match &options.group {
        Some(name) => Ok(vec![name.clone()]),
        None => Ok(Scan::new(machine)?.readable_groups().into_iter().map(|g| g.name).collect()),
    }
}

/// What is not as it should be, on all groups or the one that was named.
pub fn status(options: &Options, env: Env<'_>) -> Result<Outcome> {
    let mut findings = Vec::new();
    for (remark, _) in Scan::new(env.machine)?.refused() {
        findings.push(remark);
    }
    for name in names(options, env.machine)? {
        let session = Session::look(&name, env)?;
        findings.extend(group_findings(&session));
    }
    Ok(Outcome::Findings(findings))
}

fn group_findings(session: &Session<'_>) -> Vec<String> {
    let world = &session.world;
    let group = &world.group;
    let media = |id| group.disk(id).map_or_else(String::new, |d| d.media.to_string());
    let missing = group.disks.iter().filter(|d| !world.disks.contains_key(&d.id));
    let mut findings: Vec<String> = missing.map(|d| format!("disk '{}' of group '{}' is missing", d.media, group.name)).collect();
    let outdated = session.outdated().iter().map(|id| {
        format!("disk '{}' of group '{}' has an old copy of the configuration; the next change writes it again", media(*id), group.name)
    });
    findings.extend(outdated);
    findings.extend(group.volumes.iter().flat_map(|v| volume_findings(world, v)));
    if let Ok(Some(plan)) = session.next_repair() {
        findings.push(format!("group '{}': something is to be recorded or repaired; 'breakoff recover' does it", group.name));
        findings.extend(plan.changes.iter().map(text::change));
    }
    findings
}

fn volume_findings(world: &World, volume: &Volume) -> Vec<String> {
    let path = world.group.path(&volume.name);
    let bad = volume.plexes.iter().filter(|p| matches!(p.state, PlexState::Stale | PlexState::Failed));
    let mut findings: Vec<String> = bad.map(|p| format!("plex '{}' of '{path}' is {}", p.name, p.state)).collect();
    if volume.running.is_some_and(|boot| boot != world.boot) {
        findings.push(format!("volume '{path}' was running when the machine went down and has not been started since"));
    }
    if volume.running == Some(world.boot) && !volume.is_synced() {
        findings.push(format!("the plexes of '{path}' are being made equal"));
    }
    findings
}

/// Finishes or undoes what an interrupted command left; with `check` only says what there is.
pub fn recover(options: &Options, check: bool, env: Env<'_>) -> Result<Outcome> {
    let mut report = Report::default();
    let mut findings = Vec::new();
    for name in names(options, env.machine)? {
        if check || options.dry_run {
            let session = Session::look(&name, env)?;
            if let Some(plan) = session.next_repair()? {
                let view = render::view(&session.world, &plan);
                let steps = view.prepare.iter().chain(&view.window).chain(&view.finish);
                findings
                    .extend(view.changes.iter().map(text::change).chain(steps.map(|s| format!("group '{name}': {} {}", s.verb, s.object))));
            }
        } else {
            let mut session = Session::open(options, &name, env)?;
            report.changes.extend(session.tend()?);
            // Taking a cookie sweeps those that killed commands have left.
            if session.kernel.take_cookie().is_ok() {
                let _ = session.kernel.settle(Duration::from_secs(5));
            }
        }
    }
    Ok(if check || options.dry_run { Outcome::Findings(findings) } else { Outcome::Done(report) })
}
