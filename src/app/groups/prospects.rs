//! Observes what changes to groups and their disks need to know: devices that are to become disks,
//! names in use, sizes.

use crate::app::scan::{Scan, present_disk};
use crate::app::session::View;
use crate::error::Result;
use crate::meta::layout::BLOCK;
use crate::meta::{self, Geometry};
use crate::model::{Disk, DiskId, Extent, Log, Name, Sectors};
use crate::plan::evidence::DiskSizes;
use crate::plan::found::{Bearer, Fresh, Objection, Prospect, Prospects, Space};
use crate::sys::Media;
use crate::sys::disk::{self, ALIGNMENT, Access};
use crate::sys::machine::Machine;
use crate::table;
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
        scan.tell_late(self.env);
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

    /// Looks at a device that is to get the label of a disk which has lost it.
    pub fn learn_bearer(&mut self, media: &Name, device: &Path) {
        let Ok(disk) = self.world.group.disk_named(media).cloned() else {
            return;
        };
        self.world.evidence.bearer = Some(self.bearer(&disk, device));
    }

    fn bearer(&self, disk: &Disk, device: &Path) -> Result<Bearer> {
        let machine = self.env.machine;
        let found = present_disk(machine, device)?;
        let objections = objections(machine, device)?;
        let bytes = machine.media(device, Access::ReadOnly)?;
        let is_bare = meta::is_unlabelled(bytes.as_ref());
        let mut told: Vec<String> = objections.into_iter().map(|found| found.text).collect();
        if is_bare {
            // That its own label is damaged is why it is to get another one.
            told.retain(|text| !text.contains(DAMAGED));
        } else if told.is_empty() {
            told.push(format!("'{}' has a label of its own", device.display()));
        }
        let claims = Scan::new(machine)?;
        let mut claims = claims.labelled();
        let claimed = claims.find(|(_, label)| label.disk() == disk.id);
        let space = found.size.saturating_sub(disk.data_start);
        Ok(Bearer {
            objections: told,
            space: Sectors::from_bytes_floor(space.bytes() / BLOCK * BLOCK),
            odd: self.odd(disk, bytes.as_ref()),
            claimed_by: claimed.map(|(candidate, _)| candidate.path.clone()),
            found,
        })
    }

    /// What the disk must hold by the configuration and does not: logs in use, and maps.
    fn odd(&self, disk: &Disk, bytes: &dyn Media) -> Vec<String> {
        let group = &self.world.group;
        let read = |start: Sectors, length: usize| {
            let mut buffer = vec![0; length.next_multiple_of(ALIGNMENT)];
            let offset = disk.data_start.saturating_add(start).bytes();
            bytes.read_at(offset, &mut buffer).ok().map(|()| buffer)
        };
        let mut odd = Vec::new();
        for volume in &group.volumes {
            let path = group.path(&volume.name);
            let log = volume.live_log().filter(|log| log.extent.disk == disk.id);
            let is_log = |log: &Log| {
                let length = usize::try_from(log.extent.length.bytes()).unwrap_or(ALIGNMENT);
                read(log.extent.start, length).is_some_and(|image| {
                    table::log::dirty(&image, volume.size, log.region).is_some()
                })
            };
            if log.is_some_and(|log| !is_log(log)) {
                odd.push(format!("the dirty region log of '{path}' is not there"));
            }
            let maps = volume.live_dco().into_iter().flat_map(|dco| &dco.copies);
            let is_map = |copy: &Extent| {
                read(table::dco::map(copy, volume.size).start, table::era::BLOCK)
                    .is_some_and(|block| self.env.machine.is_sound_map(&block))
            };
            if maps
                .filter(|copy| copy.disk == disk.id)
                .any(|copy| !is_map(copy))
            {
                odd.push(format!("the map of changes of '{path}' is not there"));
            }
        }
        odd
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

/// How the objection begins that a label is damaged.
const DAMAGED: &str = "has a damaged breakoff label";

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
        Err(damaged) => objections.push(objection(format!("'{shown}' {DAMAGED}: {damaged}"), true)),
    }
    Ok(objections)
}
