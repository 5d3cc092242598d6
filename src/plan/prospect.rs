//! Plans the disks that devices become, and their labels.

use super::found::{Fresh, PresentDisk, Prospect, Prospects};
use super::refusal::{Groups, Refusal, Result};
use super::request::NamedDevice;
use super::step::{LabelStep, NewLabel};
use crate::error::Error;
use crate::model::{DevNo, Disk, Name};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A disk that is new to its group, and the step that prepares its label.
pub(super) struct NewDisk {
    pub disk: Disk,
    pub found: PresentDisk,
    pub label: LabelStep,
}

/// Finds a device among those that were looked at.
pub(super) fn of<'p, T>(
    looked: &'p BTreeMap<PathBuf, std::result::Result<T, Error>>,
    device: &Path,
) -> Result<&'p T> {
    match looked.get(device) {
        Some(Ok(found)) => Ok(found),
        Some(Err(error)) => Err(Refusal::Other(error.clone())),
        None => {
            let shown = device.display();
            let error = Error::failed(format!("'{shown}' was not looked at"));
            Err(Refusal::Other(error.on(shown)))
        }
    }
}

/// Refuses a device that is named twice, by whatever paths: it would become two disks of the
/// configuration, one of them missing from the start.
pub(super) fn refuse_twice<'d>(
    prospects: &Prospects,
    devices: impl Iterator<Item = &'d Path>,
) -> Result<()> {
    refuse_same(devices.map(|device| Ok((device, of(prospects, device)?.found.dev))))
}

/// Refuses two paths that lead to one device.
pub(super) fn refuse_same<'d>(
    devices: impl Iterator<Item = Result<(&'d Path, DevNo)>>,
) -> Result<()> {
    let mut seen = BTreeMap::new();
    for device in devices {
        let (device, dev) = device?;
        if let Some(before) = seen.insert(dev, device) {
            return Err(Groups::SameDevice {
                one: before.to_owned(),
                other: device.to_owned(),
            }
            .into());
        }
    }
    Ok(())
}

/// Refuses a device that is in use and, without `force`, one that has contents.
pub(super) fn refuse_unfit(prospects: &Prospects, device: &Path, force: bool) -> Result<()> {
    let objections = &of(prospects, device)?.objections;
    let mut told = BTreeSet::new();
    let standing: Vec<String> = objections
        .iter()
        .filter(|objection| !(force && objection.forcible))
        .filter(|objection| told.insert(*objection))
        .map(|objection| objection.text.clone())
        .collect();
    if standing.is_empty() {
        return Ok(());
    }
    Err(Groups::Unfit {
        device: device.to_owned(),
        objections: standing,
        forcible: objections.iter().all(|objection| objection.forcible),
    }
    .into())
}

/// Plans the disks that these devices become. With `keep`, a disk that is initialised already and
/// in no group keeps its label.
pub(super) fn new_disks(
    prospects: &Prospects,
    devices: &[NamedDevice],
    taken: &BTreeSet<Name>,
    group: &Name,
    (force, keep): (bool, bool),
) -> Result<Vec<NewDisk>> {
    if devices.is_empty() {
        return Err(Groups::NoDisks.into());
    }
    refuse_twice(prospects, devices.iter().map(|d| d.device.as_path()))?;
    let names = media_names(taken, devices, group)?;
    for device in devices {
        refuse_unfit(prospects, &device.device, force)?;
    }
    let named = devices.iter().zip(names);
    named
        .map(|(device, media)| new_disk(of(prospects, &device.device)?, media, keep))
        .collect()
}

/// The disk that a device becomes.
pub(super) fn new_disk(prospect: &Prospect, media: Name, keep: bool) -> Result<NewDisk> {
    let found = prospect.found.clone();
    let (space, label) = match prospect.free.filter(|_| keep) {
        Some(space) => {
            let keep = LabelStep::Keep {
                id: space.id,
                found: found.clone(),
            };
            (space, keep)
        }
        None => {
            let label = new_label(prospect)?;
            (label.space, LabelStep::Write(label))
        }
    };
    Ok(NewDisk {
        disk: Disk {
            id: space.id,
            media,
            data_start: space.data_start,
            size: space.size,
        },
        found,
        label,
    })
}

/// The label that is written to a device.
pub(super) fn new_label(prospect: &Prospect) -> Result<NewLabel> {
    let Fresh { space, area } = prospect.fresh.clone()?;
    Ok(NewLabel {
        found: prospect.found.clone(),
        space,
        area,
    })
}

/// Chooses the media names: those that were given, or the next free `diskNN`.
fn media_names(taken: &BTreeSet<Name>, devices: &[NamedDevice], group: &Name) -> Result<Vec<Name>> {
    let mut taken = taken.clone();
    let mut names = Vec::new();
    for device in devices {
        let name = match &device.media {
            Some(media) if taken.contains(media) => {
                return Err(Groups::MediaTaken {
                    group: group.clone(),
                    media: media.clone(),
                }
                .into());
            }
            Some(media) => media.clone(),
            None => next_media(&taken)?,
        };
        taken.insert(name.clone());
        names.push(name);
    }
    Ok(names)
}

fn next_media(taken: &BTreeSet<Name>) -> Result<Name> {
    let mut number = 1_u64;
    loop {
        let name = Name::parse(&format!("disk{number:02}"))?;
        if !taken.contains(&name) {
            return Ok(name);
        }
        number += 1;
    }
}
