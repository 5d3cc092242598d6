//! Observes what changes to groups and their disks need to know: devices that are to become disks,
//! names in use, sizes.

use crate::app::scan::{Scan, present_disk};
use crate::app::session::View;
use crate::error::Result;
use crate::meta::{self, Geometry};
use crate::model::{DiskId, Name, Sectors};
use crate::plan::evidence::DiskSizes;
use crate::plan::found::{Fresh, Objection, Prospect, Prospects, Space};
use crate::sys::disk::{self, Access};
use crate::sys::machine::Machine;
use std::collections::BTreeSet;
use std::path::Path;

impl View<'_> {
    /// Looks at a device that is to become a disk.
    pub fn learn_prospect(&mut self, device: &Path, area: Option<Sectors>) {
        let area = area.or(self.area());
        let machine = self.env.machine;
        let looked = look(machine, [device].into_iter(), area);
        let is_seekless = |new: &&Prospect| machine.is_rotational(new.found.dev) == Some(false);
        let seekless = looked.values().flatten().filter(is_seekless);
        let ids = seekless.flat_map(|new| {
            let fresh = new.fresh.as_ref().ok().map(|fresh| fresh.space);
            new.free.into_iter().chain(fresh).map(|space| space.id)
        });
        self.world.evidence.seekless.extend(ids);
        self.world.evidence.prospects.extend(looked);
    }

    /// Finds the groups on this machine's disks that have a name, by default the group's.
    pub fn learn_namesakes(&mut self, name: Option<&Name>) -> Result<()> {
        let scan = Scan::new(self.env.machine)?;
        let name = name.unwrap_or(&self.world.group.name);
        let called = |id| scan.name_of(id).is_some_and(|known| known == *name);
        let all = scan.groups().into_iter();
        self.world.evidence.namesakes = all.filter(|id| called(*id)).collect();
        Ok(())
    }

    /// Finds the other groups that this machine has imported under a name, by default the group's.
    pub fn learn_own_namesakes(&mut self, name: Option<&Name>) -> Result<()> {
        let group = &self.world.group;
        let name = name.unwrap_or(&group.name);
        let machine = self.env.machine;
        let own = Scan::new(machine)?.own_groups(machine)?.into_iter();
        let others = own.filter(|other| other.id != group.id && other.name == *name);
        self.world.evidence.namesakes = others.map(|other| other.id).collect();
        Ok(())
    }

    /// Finds out how large a disk is, by its label and by its device.
    pub fn learn_size(&mut self, media: &Name) {
        let disk = self.world.group.disk_named(media).map(|disk| disk.id);
        let sizes = disk.ok().and_then(|disk| {
            let label = self.labelled_size(disk)?;
            let device = self.grown(disk).map(|geometry| geometry.data_size());
            Some((disk, DiskSizes { label, device }))
        });
        self.world.evidence.sizes.extend(sizes);
    }
}

/// Looks at devices that are to become disks. Their labels would get a private area of `area`, by
/// default of the usual size.
pub fn look<'d>(
    machine: &dyn Machine,
    devices: impl Iterator<Item = &'d Path>,
    area: Option<Sectors>,
) -> Prospects {
    let area = area.unwrap_or(meta::AREA_DEFAULT);
    let look = |device: &Path| (device.to_owned(), look_at(machine, device, area));
    devices.map(look).collect()
}

fn look_at(machine: &dyn Machine, device: &Path, area: Sectors) -> Result<Prospect> {
    let found = present_disk(machine, device)?;
    let fresh = Geometry::divide(area, found.size.bytes()).map(|geometry| Fresh {
        space: space(DiskId::random(), &geometry),
        area,
    });
    Ok(Prospect {
        objections: objections(machine, device)?,
        free: free(machine, device)?,
        found,
        fresh,
    })
}

fn space(id: DiskId, geometry: &Geometry) -> Space {
    Space {
        id,
        data_start: geometry.data_start(),
        size: geometry.data_size(),
    }
}

/// The disk that a device is, if it is initialised and in no group.
fn free(machine: &dyn Machine, device: &Path) -> Result<Option<Space>> {
    let media = machine.media(device, Access::ReadOnly)?;
    let label = meta::read_disk(media.as_ref()).ok().flatten();
    let free = label.filter(|label| label.group().is_none() && label.warnings().is_empty());
    Ok(free.map(|label| space(label.disk(), &label.geometry())))
}

/// The objections to overwriting a device, also those from its partitions and from the disk that it
/// is a partition of, since these are the same bytes.
fn objections(machine: &dyn Machine, device: &Path) -> Result<Vec<Objection>> {
    let found = machine.inspect(device)?;
    let mut objections = carried(machine, device, found.objections(meta::AREA_MIN))?;
    for partition in &found.device.partitions {
        let inside = machine.inspect(partition)?.objections(Sectors::ZERO);
        objections.extend(carried(machine, partition, inside)?);
    }
    if let Some(whole) = &found.device.whole {
        objections.extend(carried(machine, whole, Vec::new())?);
    }
    Ok(objections)
}

/// What uses a device or its partitions, so that nothing may be written to it, one text for each.
pub fn uses(machine: &dyn Machine, device: &Path) -> Result<Vec<String>> {
    let all = objections(machine, device)?.into_iter();
    let standing: BTreeSet<String> = all
        .filter(|objection| !objection.forcible)
        .map(|objection| objection.text)
        .collect();
    Ok(standing.into_iter().collect())
}

/// Returns the objections to overwriting a device, those from its own label included. That the
/// device is a disk of a group that this machine has imported cannot be overruled.
fn carried(
    machine: &dyn Machine,
    device: &Path,
    found: Vec<disk::Objection>,
) -> Result<Vec<Objection>> {
    let shown = device.display();
    let media = machine.media(device, Access::ReadOnly)?;
    let objection = |text, forcible| Objection { text, forcible };
    let mut objections: Vec<Objection> = found
        .into_iter()
        .map(|found| objection(found.text, found.forcible))
        .collect();
    match meta::read_disk(media.as_ref()) {
        Ok(Some(label)) => {
            // udev reports the signature of the label too; the text below says more.
            objections.retain(|objection| !objection.forcible);
            if label.group().is_some() {
                let scan = Scan::new(machine)?;
                let is_ours = scan.is_imported(&label);
                objections.extend(scan.belonging(&label).map(|belonging| {
                    let text = format!("'{shown}' {belonging}");
                    if is_ours {
                        objection(format!("{text}, which this machine has imported"), false)
                    } else {
                        objection(text, true)
                    }
                }));
            }
        }
        Ok(None) => {}
        Err(damaged) => objections.push(objection(
            format!("'{shown}' has a damaged breakoff label: {damaged}"),
            true,
        )),
    }
    Ok(objections)
}
