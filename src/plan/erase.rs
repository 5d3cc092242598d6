//! Plans `disk erase`: takes disks that no group has out of breakoff's hands.
//!
//! The labels are all that is erased. A crash leaves a device with its label, without one, or with a
//! half of it, which reads as the label or as a damaged one: the command can be repeated.

use super::change::{Change, Event};
use super::found::{LabelFound, Labelled, LabelledDevice};
use super::prospect::{of, refuse_same};
use super::refusal::{Groups, Result};
use super::step::LostLabel;
use std::path::{Path, PathBuf};

/// Plans `disk erase`: the labels to erase, those of all of the devices or none.
pub fn erase(looked: &Labelled, devices: &[PathBuf], force: bool) -> Result<Vec<LostLabel>> {
    let named = devices.iter().map(PathBuf::as_path);
    refuse_same(named.map(|device| Ok((device, of(looked, device)?.found.dev))))?;
    let one = |device: &PathBuf| lost_label(device, of(looked, device)?, force);
    devices.iter().map(one).collect()
}

/// The change that erasing a label is, for the report.
pub fn change(label: &LostLabel) -> Change {
    Change::device(&label.device, Event::LabelErased)
}

fn lost_label(device: &Path, looked: &LabelledDevice, force: bool) -> Result<LostLabel> {
    let device = device.to_owned();
    let (said, doubt) = match &looked.label {
        LabelFound::None => return Err(Groups::NoLabel { device }.into()),
        LabelFound::Member {
            group,
            media,
            whose,
        } => {
            return Err(Groups::Member {
                device,
                group: group.clone(),
                media: media.clone(),
                whose: *whose,
            }
            .into());
        }
        LabelFound::Free(said) => (Some(*said), None),
        LabelFound::Doubtful(said, why) => (*said, Some(why.clone())),
    };
    let objections: Vec<String> = (looked.uses.iter().cloned())
        .chain(doubt.filter(|_| !force))
        .collect();
    if objections.is_empty() {
        let found = looked.found.clone();
        return Ok(LostLabel {
            device,
            found,
            said,
        });
    }
    Err(Groups::Unfit {
        device,
        objections,
        forcible: looked.uses.is_empty(),
    }
    .into())
}
