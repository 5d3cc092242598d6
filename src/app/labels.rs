//! Rewrites labels that were lost while the kernel continues with the volumes on their disks.
//!
//! A device that the live tables of a group name for one disk alone is that disk. The kernel holds
//! it, so its number cannot have passed to another device and no other user can claim it. Whatever
//! its label area holds instead of a label was written there by mistake. Once nothing runs any more
//! nothing proves the identity, and the disk is lost.

use super::Change;
use super::session::{Session, View, divided};
use crate::advice::{Advised, Hint};
use crate::error::{Error, Result};
use crate::meta::{Label, Member};
use crate::model::{DevNo, DiskId, Sectors};
use crate::plan::change::Event;
use crate::plan::quorum;
use crate::plan::world::PresentDisk;
use crate::sys::disk::{Access, Candidate};
use std::collections::BTreeMap;

impl View<'_> {
    /// Leaves out copies of disks in use. A device is a copy if it claims to be a disk whose
    /// volumes run on another device that is known to be distinct: the other one has lost its
    /// label, or the hardware reports different identifiers for the two. Nothing of the group is
    /// moved to a copy or written to it. A disk that has come back under another number is not a
    /// copy; its volumes are moved to it.
    pub(super) fn leave_out_copies(&mut self) {
        let ids: Vec<DiskId> = self.world.disks.keys().copied().collect();
        for id in ids {
            let Some(found) = self.world.disks.remove(&id) else {
                continue;
            };
            let mapped = self.world.number(id).filter(|number| *number != found.dev);
            match mapped.and_then(|mapped| self.why_a_copy(id, &found, mapped)) {
                Some(why) => {
                    self.env.warn(&why);
                    self.drop_member(id);
                }
                None => drop(self.world.disks.insert(id, found)),
            }
        }
    }

    fn why_a_copy(&self, id: DiskId, found: &PresentDisk, mapped: DevNo) -> Option<Hint> {
        let (path, copy) = (self.disk_path(id), found.path.display());
        let says = format!("'{copy}' has the label of disk '{path}', whose volumes run on");
        if let Some(device) = self.bare.devices.iter().find(|device| device.dev == mapped) {
            let shown = device.path.display();
            let told = Hint::from(format!(
                "{says} '{shown}', which has lost its label: '{copy}' is taken for a copy and not used; once it is disconnected, "
            ));
            return Some(told.line(Advised::Recover).and(" rewrites the label"));
        }
        self.env.machine.are_distinct(mapped, found.dev).then(|| {
            Hint::from(format!(
                "{says} device {mapped}, whose label cannot be read and whose identifier differs: '{copy}' is taken for a copy and not used; \
                 if the disk is lost and the copy is to replace it, stop its volumes and start them again"
            ))
        })
    }

    /// Returns the disks that have lost their label, each with the device that it is.
    pub fn unlabelled(&self) -> Vec<(DiskId, Candidate)> {
        let world = &self.world;
        let lost = world
            .group
            .disks
            .iter()
            .map(|d| d.id)
            .filter(|id| !world.disks.contains_key(id) && !self.bare.claimed.contains(id));
        let device = |id: DiskId| {
            let number = world.number(id)?;
            Some((
                id,
                self.bare
                    .devices
                    .iter()
                    .find(|candidate| candidate.dev == number)?
                    .clone(),
            ))
        };
        lost.filter_map(device).collect()
    }

    /// Describes one of these disks as a finding.
    pub fn without_label(&self, (id, device): &(DiskId, Candidate)) -> String {
        let (path, shown) = (self.disk_path(*id), device.path.display());
        let told = Hint::from(format!(
            "disk '{path}' has lost its label, and its volumes run on '{shown}'; "
        ));
        let told = told.line(Advised::Recover).and(" rewrites it");
        self.env.words(&told)
    }

    fn disk_path(&self, id: DiskId) -> String {
        let group = &self.world.group;
        group.disk(id).map_or_else(
            || id.to_string(),
            |disk| format!("{}/{}", group.name, disk.media),
        )
    }
}

impl Session<'_> {
    /// Rewrites the lost labels. Returns the changes, and an error for each label that could not be
    /// written.
    pub fn label_again(&mut self) -> (Vec<Change>, Vec<Error>) {
        let (mut done, mut failures) = (Vec::new(), Vec::new());
        // Rewriting starts a program, whose file may lie on a volume with held I/O.
        if self.has_failed_mirror() || self.world.devices.values().any(|device| device.suspended) {
            return (done, failures);
        }
        for (id, device) in self.unlabelled() {
            let path = self.disk_path(id);
            match self.label_one(id, &device) {
                Ok(()) => {
                    let device = device.path.clone();
                    self.relabelled(device.clone());
                    let group = &self.world.group;
                    done.extend(group.disk(id).map(|disk| {
                        Change::disk(&group.name, &disk.media, Event::LabelWritten { device })
                    }));
                }
                Err(error) => failures.push(
                    error
                        .context(format!("the label of disk '{path}' cannot be rewritten"))
                        .on(path),
                ),
            }
        }
        (done, failures)
    }

    /// Writes both superblocks, with the configuration in force. A crash in between leaves one,
    /// which is enough, or none, as before.
    fn label_one(&mut self, id: DiskId, device: &Candidate) -> Result<()> {
        quorum::refuse_minority(&self.world)?;
        let found = self.env.machine.inspect(&device.path)?;
        if let Some(objection) = found
            .objections(Sectors::ZERO)
            .into_iter()
            .find(|objection| objection.forcible)
        {
            let wipe = format!(
                "if it is not needed any more, erase it with 'wipefs --all --force {}'",
                device.path.display()
            );
            return Err(Error::in_use(objection.text)
                .hint(Hint::from(wipe).and(", then ").line(Advised::Recover)));
        }
        let disk = self
            .world
            .group
            .disk(id)
            .ok_or_else(|| Error::failed("the disk is not in the configuration"))?;
        let media = self.env.machine.media(&device.path, Access::ReadWrite)?;
        let geometry = divided(disk, media.as_ref(), self.area())?;
        let name = format!("{} ({})", disk.media, device.path.display());
        let present = PresentDisk {
            path: device.path.clone(),
            dev: device.dev,
            size: device.size,
            logical_block: device.logical_block,
        };
        let label = Label::anew(id, self.world.group.id, geometry);
        self.add_members(
            vec![Member {
                disk: id,
                name,
                media,
                label,
            }],
            BTreeMap::from([(id, present)]),
        );
        self.relabel(id, geometry).inspect_err(|_| {
            self.drop_member(id);
            self.world.disks.remove(&id);
        })
    }
}
