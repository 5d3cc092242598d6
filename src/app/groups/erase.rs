//! `disk erase`: disks that no group has are breakoff's no more.

use super::prospects::uses;
use crate::app::scan::{Scan, present_disk};
use crate::app::{Env, Options, Outcome, Report};
use crate::error::{Kind, Result};
use crate::exec::labels;
use crate::meta::{self, Chosen, Label};
use crate::model::{GroupId, HostId};
use crate::plan::erase::{change, erase as plan_erase};
use crate::plan::found::{LabelFound, Labelled, LabelledDevice, Said, Whose};
use crate::plan::render;
use crate::plan::step::LostLabel;
use crate::sys::disk::Access;
use crate::sys::lock;
use crate::sys::machine::Machine;
use std::path::{Path, PathBuf};

/// `disk erase`.
pub fn erase(options: &Options, devices: &[PathBuf], force: bool, env: Env<'_>) -> Result<Outcome> {
    let _disks = super::lock_group(lock::DISKS, options.timeout, env)?;
    let planned = plan(devices, force, env)?;
    let erased = labels::erase_all(env.machine, &planned);
    let touched: Vec<PathBuf> = planned
        .iter()
        .map(|label| label.found.path.clone())
        .collect();
    if let Some(warning) = env.machine.announce(&touched) {
        env.ui.warn(&warning);
    }
    let mut report = Report::default();
    for (label, erased) in planned.iter().zip(erased) {
        match erased {
            Ok(()) => report.changes.push(change(label)),
            Err(error) => {
                let shown = label.device.display();
                let told = error.context(format!("the label of '{shown}' cannot be erased"));
                report.failures.push(told.on(shown));
            }
        }
    }
    Ok(Outcome::Done(report))
}

/// Plans `disk erase`, for `--dry-run`.
pub fn rehearse(devices: &[PathBuf], force: bool, env: Env<'_>) -> Result<Outcome> {
    let planned = plan(devices, force, env)?;
    Ok(Outcome::Planned(render::erasure(&planned)))
}

fn plan(devices: &[PathBuf], force: bool, env: Env<'_>) -> Result<Vec<LostLabel>> {
    let look = |device: &PathBuf| (device.clone(), look_at(env.machine, device));
    let looked: Labelled = devices.iter().map(look).collect();
    Ok(plan_erase(&looked, devices, force)?)
}

fn look_at(machine: &dyn Machine, device: &Path) -> Result<LabelledDevice> {
    let found = present_disk(machine, device)?;
    // It asks with a deadline, and fails for a disk that hangs, before anything else reads it.
    let uses = uses(machine, device)?;
    Ok(LabelledDevice {
        found,
        label: label_on(machine, device)?,
        uses,
    })
}

fn label_on(machine: &dyn Machine, device: &Path) -> Result<LabelFound> {
    let media = machine.media(device, Access::ReadOnly)?;
    let shown = device.display();
    match meta::read_disk(media.as_ref()) {
        Ok(None) => Ok(LabelFound::None),
        Ok(Some(label)) => match label.group() {
            None => Ok(LabelFound::Free(said(&label))),
            Some(group) => of_group(machine, &shown.to_string(), &label, group),
        },
        Err(error) if error.kind() == Kind::Unsafe => Ok(LabelFound::Doubtful(
            None,
            format!("'{shown}' has a damaged breakoff label: {error}"),
        )),
        Err(error) => Err(error),
    }
}

fn said(label: &Label) -> Said {
    Said {
        disk: label.disk(),
        group: label.group(),
    }
}

/// What a label that names a group says, by the group's configuration. A group that is refused, and
/// one that only a newer version of breakoff can read, may need the disk: that is an error.
fn of_group(
    machine: &dyn Machine,
    shown: &str,
    label: &Label,
    group: GroupId,
) -> Result<LabelFound> {
    let scan = Scan::new(machine)?;
    match scan.choose(group) {
        Ok(chosen) if chosen.group.is_unfinished() => Ok(LabelFound::Doubtful(
            Some(said(label)),
            format!(
                "'{shown}' is part of a clone '{}' that was not finished",
                chosen.group.name
            ),
        )),
        Ok(chosen) => Ok(member(&chosen, label, machine.host_id().ok())),
        Err(error) if error.kind() == Kind::Unsupported || is_readable(&scan, label, group) => {
            let told = scan.belonging(label).unwrap_or_default();
            Err(error.context(format!("'{shown}' {told}")).on(shown))
        }
        Err(_) => Ok(LabelFound::Doubtful(
            Some(said(label)),
            format!(
                "'{shown}' belongs to a disk group ({group}) of which no configuration can be read"
            ),
        )),
    }
}

/// Whether any configuration of a group can be read, on the disk itself or on another one.
fn is_readable(scan: &Scan, label: &Label, group: GroupId) -> bool {
    let mut copies = label.copies().iter();
    scan.name_of(group).is_some() || copies.any(|copy| copy.decode(group).is_ok())
}

/// A disk of the group, unless the group has given it up or was destroyed.
fn member(chosen: &Chosen, label: &Label, here: Option<HostId>) -> LabelFound {
    let group = &chosen.group;
    // What was handed over to a group that is not here is needed there.
    let handed = group.handover_of(label.disk());
    let handed = handed.and_then(|handover| handover.to.disk(label.disk()));
    let disk = group.disk(label.disk()).or(handed);
    match disk.filter(|_| !group.destroyed) {
        None => LabelFound::Free(said(label)),
        Some(disk) => LabelFound::Member {
            group: group.name.clone(),
            media: disk.media.clone(),
            whose: match group.host {
                None => Whose::Nobodys,
                host if host == here => Whose::Ours,
                Some(_) => Whose::Anothers,
            },
        },
    }
}
