//! Labels: of devices that become disks, and of disks that leave their group or are to be none any
//! more.

use super::disks;
use crate::error::{Error, Result};
use crate::meta;
use crate::model::{DiskId, Sectors};
use crate::plan::found::Said;
use crate::plan::step::{LabelStep, LostLabel, NewLabel};
use crate::plan::world::PresentDisk;
use crate::sys::machine::Machine;
use crate::sys::{Media, failpoint};
use std::path::{Path, PathBuf};

/// A disk with the label that a step has prepared.
pub struct Labelled {
    /// Its identity.
    pub disk: DiskId,
    /// The device.
    pub found: PresentDisk,
    /// Access to its bytes.
    pub media: Box<dyn Media>,
    /// Its label.
    pub label: meta::Label,
}

/// Prepares the labels of devices that become disks. The devices are opened together, so that udev
/// probes none of them before all labels are there. The path of each device whose contents change
/// is added to `changed`, also when a later one fails.
///
/// Steps on disks of a group that has them already are left to the caller.
pub fn prepare(
    machine: &dyn Machine,
    steps: &[LabelStep],
    changed: &mut Vec<PathBuf>,
) -> Result<Vec<Labelled>> {
    let devices = steps.iter().filter_map(|step| match step {
        LabelStep::Write(label) => Some((Some(label), label.space.id, &label.found)),
        LabelStep::Keep { id, found } => Some((None, *id, found)),
        LabelStep::Turn { .. } | LabelStep::Restore { .. } | LabelStep::Grow { .. } => None,
    });
    let devices: Vec<_> = devices.collect();
    let paths: Vec<&Path> = devices.iter().map(|(.., found)| &*found.path).collect();
    let opened = machine.all_media(&paths);
    let mut labelled = Vec::new();
    for ((new, disk, found), media) in devices.into_iter().zip(opened) {
        let media = media?;
        let label = match new {
            Some(new) => {
                changed.push(found.path.clone());
                write(machine, media.as_ref(), new)?
            }
            None => kept(media.as_ref(), disk, &found.path)?,
        };
        labelled.push(Labelled {
            disk,
            found: found.clone(),
            media,
            label,
        });
    }
    Ok(labelled)
}

fn write(machine: &dyn Machine, media: &dyn Media, new: &NewLabel) -> Result<meta::Label> {
    failpoint::step();
    wipe(machine, &new.found)?;
    failpoint::step();
    meta::format_disk(media, new.space.id, new.area)
}

/// The label that an initialised disk had when it was looked at.
fn kept(media: &dyn Media, disk: DiskId, path: &Path) -> Result<meta::Label> {
    match meta::read_disk(media)? {
        Some(label) if label.disk() == disk && label.group().is_none() => Ok(label),
        _ => Err(changed_just_now(path)),
    }
}

fn changed_just_now(path: &Path) -> Error {
    let shown = path.display();
    let error = Error::device(format!("the label of '{shown}' has changed just now"));
    error.on(shown).hint("try again")
}

/// Erases the signatures of the device and its partitions, so that nothing announces them any more.
fn wipe(machine: &dyn Machine, device: &PresentDisk) -> Result<()> {
    let found = machine.find(&device.path)?;
    if found.dev != device.dev {
        let shown = device.path.display();
        let error = Error::device(format!("'{shown}' leads to another device now"));
        return Err(error.on(shown).hint("try again"));
    }
    let partitions = found
        .partitions
        .iter()
        .map(|partition| machine.find(partition))
        .collect::<Result<Vec<_>>>()?;
    let had_any = !partitions.is_empty();
    for whole in partitions.into_iter().chain([found]) {
        disks::wipe_signatures(
            machine,
            &[disks::Piece {
                path: whole.path,
                start: Sectors::ZERO,
                length: whole.size,
            }],
        )?;
    }
    if had_any {
        machine.forget_partitions(&device.path)
    } else {
        Ok(())
    }
}

/// Erases the label of a disk that has left its group. A device that does not say to be that disk
/// is left alone.
pub fn erase(media: &dyn Media, disk: DiskId) -> Result<()> {
    match meta::read_disk(media)? {
        Some(label) if label.disk() == disk => {
            failpoint::step();
            meta::wipe_disk(media)
        }
        Some(_) => Err(Error::device("the device is another disk by now")),
        None => Ok(()),
    }
}

/// Erases the labels of disks that no group has. The devices are opened together, as in [`prepare`].
/// Returns how it went for each of them.
pub fn erase_all(machine: &dyn Machine, labels: &[LostLabel]) -> Vec<Result<()>> {
    let paths: Vec<&Path> = labels.iter().map(|label| &*label.found.path).collect();
    let opened = machine.all_media(&paths);
    let one = |(label, media): (&LostLabel, Result<Box<dyn Media>>)| {
        let media = media?;
        match label.said {
            Some(said) => erase_same(media.as_ref(), said, &label.found.path),
            None => erase_damaged(media.as_ref(), &label.found.path),
        }
    };
    labels.iter().zip(opened).map(one).collect()
}

/// Erases a label that still says what was seen. Another machine may have taken the disk into a group
/// since.
fn erase_same(media: &dyn Media, said: Said, path: &Path) -> Result<()> {
    match meta::read_disk(media)? {
        Some(label) if label.group() != said.group => Err(changed_just_now(path)),
        _ => erase(media, said.disk),
    }
}

/// Erases a damaged label, unless the device has another one by now.
fn erase_damaged(media: &dyn Media, path: &Path) -> Result<()> {
    if meta::read_disk(media).is_ok() || !meta::is_ours(media) {
        return Err(changed_just_now(path));
    }
    failpoint::step();
    meta::wipe_disk(media)
}
