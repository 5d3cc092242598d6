//! The label of a disk whose own is lost, reconstructed from the configuration.

use super::Session;
use crate::error::{Error, Result};
use crate::meta::{self, Geometry, Label, Member};
use crate::model::{Disk, DiskId, Sectors};
use crate::plan::world::PresentDisk;
use crate::sys::Media;
use crate::sys::disk::Access;
use std::collections::BTreeMap;

/// Reconstructs the geometry of the disk: its private area was as large as those of the other disks
/// or, if these do not fit it, extends up to its space for volumes.
pub fn divided(disk: &Disk, media: &dyn Media, area: Option<Sectors>) -> Result<Geometry> {
    let fits = |geometry: &Geometry| {
        geometry.data_start() == disk.data_start && geometry.data_size() >= disk.size
    };
    let divide = |area: Sectors| Geometry::divide(area, media.size()).ok().filter(fits);
    area.and_then(divide)
        .or_else(|| divide(disk.data_start))
        .ok_or_else(|| {
            Error::device(format!(
                "the device has {} bytes, and its space for volumes was {} from {} on",
                media.size(),
                disk.size,
                disk.data_start
            ))
        })
}

impl Session<'_> {
    /// Makes a device without a label a disk of the group again; the next commits write its label.
    pub(super) fn label_anew(&mut self, id: DiskId, found: &PresentDisk) -> Result<()> {
        let shown = found.path.display();
        let disk = self
            .world
            .group
            .disk(id)
            .ok_or_else(|| Error::failed("the disk is not in the configuration"))?;
        let machine = self.env.machine;
        let media = machine.media(&found.path, Access::ReadWrite)?;
        let is_it = machine.find(&found.path)?.dev == found.dev;
        if !is_it || !meta::is_unlabelled(media.as_ref()) {
            let error = Error::device(format!("'{shown}' has changed just now"));
            return Err(error.on(&shown).hint("try again"));
        }
        let geometry = divided(disk, media.as_ref(), self.area())?;
        let member = Member {
            disk: id,
            name: format!("{} ({shown})", disk.media),
            media,
            label: Label::anew(id, self.world.group.id, geometry),
        };
        self.relabelled(found.path.clone());
        self.add_members(vec![member], BTreeMap::from([(id, found.clone())]));
        Ok(())
    }
}
