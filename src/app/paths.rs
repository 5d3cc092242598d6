//! Finds the paths of volumes: below `/dev/breakoff` if udev's rule has made the link, else below
//! `/dev/mapper`. The reported path exists, and a note says why the link does not.

use super::{Env, Report};
use crate::model::{DevNo, DmName, Volume};
use crate::plan::world::{World, link};
use std::path::PathBuf;

/// Checks the links of all started volumes and records the paths of those without one. Returns the
/// reason for the first missing link, to be reported once.
pub fn look(world: &mut World, env: Env<'_>) -> Option<String> {
    let started = world
        .group
        .volumes
        .iter()
        .filter_map(|volume| Some((volume, number(world, volume)?)));
    let elsewhere = started
        .filter(|(volume, dev)| !is_linked(world, volume, *dev, env))
        .filter_map(|(volume, _)| Some((volume.id, mapped(world, volume)?)));
    world.elsewhere = elsewhere.collect();
    let first = world
        .group
        .volumes
        .iter()
        .find(|volume| world.elsewhere.contains_key(&volume.id))?;
    Some(reason(world, first, env))
}

/// Replaces links that do not exist by existing paths in a report.
pub fn correct(world: &World, report: &mut Report, env: Env<'_>) {
    let mut reasons = Vec::new();
    for volume in &world.group.volumes {
        let told = link(&world.group.name, &volume.name);
        let mut devices: Vec<&mut PathBuf> = report
            .changes
            .iter_mut()
            .filter_map(|change| change.event.device_mut())
            .filter(|device| **device == told)
            .collect();
        let Some(dev) = number(world, volume).filter(|_| !devices.is_empty()) else {
            continue;
        };
        let Some(path) = mapped(world, volume).filter(|_| !is_linked(world, volume, dev, env))
        else {
            continue;
        };
        for device in &mut devices {
            **device = path.clone();
        }
        let (told, path) = (told.display(), path.display());
        // Match up to the blank: another volume's name may begin like this one's.
        for note in &mut report.notes {
            *note = note.replace(&format!("{told} "), &format!("{path} "));
        }
        reasons.push(reason(world, volume, env));
    }
    report.notes.extend(reasons.into_iter().next());
}

/// The path of a started volume that exists.
pub fn of(world: &World, volume: &Volume, env: Env<'_>) -> Option<PathBuf> {
    let dev = number(world, volume)?;
    if is_linked(world, volume, dev, env) {
        return Some(link(&world.group.name, &volume.name));
    }
    mapped(world, volume)
}

fn number(world: &World, volume: &Volume) -> Option<DevNo> {
    world.started(volume).map(|device| device.dev)
}

fn is_linked(world: &World, volume: &Volume, dev: DevNo, env: Env<'_>) -> bool {
    env.machine
        .leads_to(&link(&world.group.name, &volume.name), dev)
}

fn mapped(world: &World, volume: &Volume) -> Option<PathBuf> {
    let name = DmName::volume(&world.group.name, &volume.name).ok()?;
    Some(PathBuf::from("/dev/mapper").join(name.as_str()))
}

fn reason(world: &World, volume: &Volume, env: Env<'_>) -> String {
    format!(
        "there is no '{}': {}",
        link(&world.group.name, &volume.name).display(),
        env.machine.why_no_link()
    )
}
