//! Writes the configuration to the disks, takes it back, and rewrites it.

use super::Session;
use super::closing::may_be_ours;
use crate::advice::{Advised, Hint};
use crate::app::{Env, scan};
use crate::error::{Error, Result};
use crate::exec::labels::{self, Labelled};
use crate::exec::{self, Cause, Executed};
use crate::meta::{self, CommitOutcome, Member, Stamp, Witness};
use crate::model::{
    DiskId, DmUuid, Extent, Generation, Group, Name, Sectors, Testimony, Volume, check, distinct,
};
use crate::plan::change::{Change, Event};
use crate::plan::quorum;
use crate::plan::step::{LabelStep, Plan};
use crate::sys::helper::Helper;
use crate::table::dco;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// One part in this many of a metadata area is reserved for changes of state.
const RESERVED: u64 = 16;

impl Session<'_> {
    pub(super) fn commit_and_execute(
        &mut self,
        plan: &Plan,
        helper: Option<&mut dyn Helper>,
    ) -> exec::Done<Executed> {
        if !plan.commits(&self.view.world.group) {
            let done = exec::execute(self.on(), &self.view.world, plan, None, helper);
            return self.invalidate_maps(plan, done);
        }
        if let Some(broken) = check::violations(&plan.group).first() {
            return Err(Error::failed(format!(
                "refusing to write a configuration that breaks a rule: {broken}"
            ))
            .into());
        }
        self.refuse_last_space(plan)?;
        self.record_newcomers()?;
        self.label(plan)?;
        let group = self.settled(&plan.group);
        let on = exec::On {
            machine: self.view.env.machine,
            kernel: self.view.kernel.as_ref(),
        };
        let mut prepared = match meta::prepare(
            members_of(
                &mut self.view.copies.members,
                &group,
                &self.view.copies.silent,
            ),
            &group,
            self.view.copies.next,
            &self.view.copies.lineage,
        ) {
            Ok(prepared) => prepared,
            Err(error) => return Err(self.not_recorded(plan, error.into())),
        };
        self.closing.warnings.extend(announce(
            self.view.env,
            &self.view.world.group,
            self.view.copies.lineage.newest,
            prepared.stamp(),
        ));
        let done = exec::execute(on, &self.view.world, plan, Some(&mut prepared), helper);
        let mut outcome = prepared.outcome();
        self.took(&group, &outcome);
        self.closing.warnings.append(&mut outcome.warnings);
        // A generation is never reused, not even that of a failed commit: a disk may have taken it.
        let generation = self.view.copies.next;
        self.view.copies.next = generation.next().unwrap_or(generation);
        if outcome.committed {
            self.in_force(plan, group, generation, &outcome);
        }
        match self.invalidate_maps(plan, done) {
            Err(mut failed) if outcome.unknown => {
                failed.error = self.take_back(failed.error);
                Err(self.not_recorded(plan, failed))
            }
            Err(failed) if !outcome.committed => Err(self.not_recorded(plan, failed)),
            done => done,
        }
    }

    /// Makes a committed configuration the current one, even when a later step failed (a failure is
    /// recorded before it is acted upon): from here on the kernel must converge to what the disks
    /// hold.
    fn in_force(
        &mut self,
        plan: &Plan,
        group: Group,
        generation: Generation,
        outcome: &CommitOutcome,
    ) {
        self.view.world.generation = generation;
        let here = |id: &DiskId| self.view.world.disks.contains_key(id);
        self.view.copies.outdated = group
            .disks
            .iter()
            .map(|disk| disk.id)
            .filter(|id| !outcome.written.contains(id) && here(id))
            .collect();
        self.closing.archive.push((group.clone(), generation));
        let before = std::mem::replace(&mut self.view.world.group, group);
        let lost_log = |change: &Change| change.event == Event::LogFailed;
        if plan.changes.iter().any(lost_log) {
            self.invalidate_lost_logs(&before);
        }
        self.closing.note_failures(&plan.changes);
        if !outcome.complete {
            self.confirm();
        }
        self.note_what_was_seen();
    }

    /// Writes the labels of disks that another group has handed over to this one, so that they say
    /// which group they are in.
    /// Returns the disks whose labels were written.
    pub fn receive(&mut self) -> Result<Vec<DiskId>> {
        let handed = self.view.copies.handed.clone();
        if handed.is_empty() {
            return Ok(handed);
        }
        self.record_newcomers()?;
        let outcome = self.commit_again()?;
        self.closing.warnings.extend(outcome.warnings);
        if outcome.committed {
            let written = |id: &DiskId| !outcome.written.contains(id);
            self.view.copies.outdated.retain(written);
        }
        Ok(handed
            .into_iter()
            .filter(|id| outcome.written.contains(id))
            .collect())
    }

    /// Has this group's own disks record the disks that another group has handed over, before the
    /// labels of these are written. They are the group's from that commit on: were their labels
    /// written first and the others not reached, the others could go on without them, and what is
    /// on them would be in no group.
    fn record_newcomers(&mut self) -> Result<()> {
        let newcomers = std::mem::take(&mut self.view.copies.newcomers);
        if newcomers.is_empty() {
            return Ok(());
        }
        let silent = std::mem::replace(&mut self.view.copies.silent, newcomers.clone());
        let outcome = self.commit_again();
        let known = &mut self.view.copies.silent;
        known.retain(|disk| !newcomers.contains(disk));
        known.extend(silent);
        match outcome {
            Ok(outcome) if outcome.committed => {
                self.closing.warnings.extend(outcome.warnings);
                Ok(())
            }
            Ok(outcome) => {
                self.view.copies.newcomers = newcomers;
                Err(Error::device(format!(
                    "the disks that were handed over to group '{}' cannot be recorded: {}",
                    self.view.world.group.name,
                    outcome.warnings.join("; ")
                )))
            }
            Err(error) => {
                self.view.copies.newcomers = newcomers;
                Err(error)
            }
        }
    }

    /// Updates the record of what each disk holds after a write.
    fn took(&mut self, group: &Group, outcome: &CommitOutcome) {
        let is_written = |disk: &DiskId| outcome.written.contains(disk);
        let handed = std::mem::take(&mut self.view.copies.handed);
        let (written, handed): (Vec<DiskId>, Vec<DiskId>) =
            handed.into_iter().partition(is_written);
        self.view.copies.handed = handed;
        let present = written
            .iter()
            .filter_map(|id| self.view.world.disks.get(id));
        let paths: Vec<PathBuf> = present.map(|disk| disk.path.clone()).collect();
        self.closing.relabelled.extend(paths);
        self.view
            .copies
            .lineage
            .wrote(group, outcome.stamp, &outcome.written, &outcome.unsure);
        self.view.copies.pending = (!outcome.committed && !outcome.unsure.is_empty())
            .then_some(outcome.stamp)
            .or(self.view.copies.pending.filter(|_| !outcome.committed));
        if outcome.committed {
            self.view.world.evidence.testimony = Testimony::Newest;
            let meant = self.view.copies.members.iter().map(|member| member.disk);
            let missed: Vec<DiskId> = meant
                .filter(|disk| group.disk(*disk).is_some() && !outcome.written.contains(disk))
                .collect();
            self.view.copies.silent.extend(missed);
        }
        self.note_what_was_seen();
    }

    /// Commits the same configuration again on the disks that took it. A commit that has not
    /// reached all the disks it was meant for looks like an unfinished one, and a disk that has got
    /// its label by a commit has one superblock only.
    pub fn confirm(&mut self) {
        if let Err(error) = self.commit_again() {
            self.closing.warnings.push(format!(
                "some disks have the new configuration and others do not: {error}"
            ));
        }
    }

    /// Writes the configuration in force again under a new generation.
    fn commit_again(&mut self) -> Result<CommitOutcome> {
        let generation = self.view.copies.next;
        self.view.copies.next = generation.next().unwrap_or(generation);
        let group = self.view.world.group.clone();
        let members = members_of(
            &mut self.view.copies.members,
            &group,
            &self.view.copies.silent,
        );
        let mut prepared = meta::prepare(members, &group, generation, &self.view.copies.lineage)?;
        self.closing.warnings.extend(announce(
            self.view.env,
            &group,
            self.view.copies.lineage.newest,
            prepared.stamp(),
        ));
        if !prepared.flip().committed() {
            prepared.observe();
        }
        let outcome = prepared.outcome();
        self.took(&group, &outcome);
        if outcome.committed {
            self.view.world.generation = generation;
        }
        Ok(outcome)
    }

    /// Returns the configuration with the standing of its disks in the quorum updated (see
    /// [`quorum::update_standing`]).
    fn settled(&self, group: &Group) -> Group {
        let mut group = group.clone();
        let written = |id: DiskId| {
            self.view.copies.members.iter().any(|m| m.disk == id)
                && !self.view.copies.outdated.contains(&id)
        };
        quorum::update_standing(&self.view.world, &mut group, &written);
        group
    }

    /// Marks the extents of failed logs as damaged, so that no new log is placed there.
    fn invalidate_lost_logs(&mut self, before: &Group) {
        let now = |old: &Volume| {
            self.view
                .world
                .group
                .volume(old.id)
                .and_then(|v| v.log.as_ref())
                .map(|log| log.extent)
        };
        let lost = before
            .volumes
            .iter()
            .filter_map(|old| old.log.as_ref().filter(|_| now(old).is_none()));
        let lost: Vec<Extent> = lost.map(|log| log.extent).collect();
        self.view.world.evidence.damaged.extend(lost);
    }

    fn invalidate_maps(
        &mut self,
        plan: &Plan,
        mut done: exec::Done<Executed>,
    ) -> exec::Done<Executed> {
        match &mut done {
            Ok(executed) => self.invalidate_refused(executed),
            Err(failed) => {
                if let Cause::Map(map) = failed.cause {
                    failed.lost_copies = self.invalidate_copies(plan, &map);
                }
            }
        }
        done
    }

    /// Marks the maps that the kernel refused as damaged inside. Their volumes continue without
    /// them.
    fn invalidate_refused(&mut self, executed: &Executed) {
        let refused = executed
            .refused
            .iter()
            .filter_map(DmUuid::volume)
            .filter_map(|id| self.view.world.group.volume(id)?.live_dco());
        let copies: Vec<Extent> = refused.flat_map(|dco| dco.copies.clone()).collect();
        self.view.world.evidence.damaged.extend(copies);
    }

    /// Marks a copy of a map as damaged when it could not be made equal to the first one, or the
    /// first one when it could not be read. Returns the copies that were trusted until now.
    fn invalidate_copies(&mut self, plan: &Plan, lost: &Extent) -> Vec<Extent> {
        let dcos = self
            .world
            .group
            .volumes
            .iter()
            .chain(&plan.group.volumes)
            .filter_map(|v| Some((v.size, v.live_dco()?)));
        let copies = dcos.flat_map(|(size, dco)| {
            dco.copies
                .iter()
                .map(move |copy| (dco::map(copy, size), *copy))
        });
        let failed: Vec<Extent> =
            distinct(copies.filter(|(map, _)| map == lost).map(|(_, copy)| copy));
        let unknown = |copy: &Extent| !self.view.world.evidence.damaged.contains(copy);
        let failed: Vec<Extent> = failed.into_iter().filter(unknown).collect();
        self.view.world.evidence.damaged.extend(&failed);
        failed
    }

    /// Handles a commit whose outcome is unknown: a disk that does not answer may have the new
    /// configuration, while the kernel has the previous state. Commits the previous configuration
    /// again under a newer generation, so that no later command finds the other one and continues
    /// with it.
    fn take_back(&mut self, error: Error) -> Error {
        if self.write_again() {
            return Error::new(
                error.kind(),
                format!("{error}; the previous configuration was rewritten, nothing was changed"),
            );
        }
        error.hint(
            Hint::from("the disks do not answer; when they do, ")
                .line(Advised::Recover)
                .and(" finds out and finishes or undoes it"),
        )
    }

    /// Writes the configuration in force again under a new generation. Returns whether a disk has
    /// taken it.
    fn write_again(&mut self) -> bool {
        let Ok(outcome) = self.commit_again() else {
            return false;
        };
        self.closing.warnings.extend(outcome.warnings);
        if outcome.committed {
            self.view.copies.outdated.clear();
        }
        outcome.committed
    }

    /// Rewrites the configuration on disks whose copy is old; no change needs to be requested.
    /// Skips a device that claims to be a disk in use while the live tables name another device: it
    /// may be a copy of a dead disk.
    pub fn heal(&mut self) {
        let all = self
            .world
            .group
            .volumes
            .iter()
            .map(|volume| volume.id)
            .collect();
        let mapped = self.view.world.numbers_beneath(&all);
        let world = &self.view.world;
        let is_mapped = |id: DiskId| {
            world
                .disks
                .get(&id)
                .is_some_and(|disk| mapped.contains(&disk.dev))
        };
        let is_it =
            |id: DiskId| is_mapped(id) || scan::is_idle(&world.group, world.devices.values(), id);
        self.view.copies.members.retain(|member| is_it(member.disk));
        if !self.view.copies.outdated.is_empty() && !self.write_again() {
            self.closing.warnings.push(format!(
                "the configuration of group '{}' could not be written again",
                self.view.world.group.name
            ));
        }
    }

    /// Refuses plans that would use the last part of the metadata areas, which is reserved for
    /// changes of state: a full group can still start, stop, fail and be cleaned up.
    fn refuse_last_space(&self, plan: &Plan) -> Result<()> {
        let things = |group: &Group| {
            group.disks.len()
                + group
                    .volumes
                    .iter()
                    .map(|v| 1 + v.plexes.len())
                    .sum::<usize>()
        };
        let Some(smallest) = self
            .copies
            .members
            .iter()
            .map(|m| m.label.geometry().area())
            .min()
            .filter(|_| things(&plan.group) > things(&self.view.world.group))
        else {
            return Ok(());
        };
        let fill = meta::fill(&plan.group, smallest)?;
        if fill.used <= fill.capacity - fill.capacity / RESERVED {
            return Ok(());
        }
        let group = &plan.group.name;
        Err(Error::no_space(format!(
            "the configuration of group '{group}' would need {} bytes, of {} that its disks' private areas hold, the last {} are kept for changes of state",
            fill.used,
            fill.capacity,
            fill.capacity / RESERVED
        ))
        .on(group)
        .hint("remove volumes or snapshots, or replace the disk by one that was initialised with a larger private area"))
    }

    /// Prepares the labels of a plan. From then on the commit is written to the new disks too.
    fn label(&mut self, plan: &Plan) -> Result<()> {
        if plan.labels.is_empty() {
            return Ok(());
        }
        let machine = self.view.env.machine;
        let changed = &mut self.closing.relabelled;
        let labelled = labels::prepare(machine, &plan.labels, changed)?;
        let (mut members, mut present) = (Vec::new(), BTreeMap::new());
        for Labelled {
            disk,
            found,
            media,
            label,
        } in labelled
        {
            let known = plan.group.disk(disk);
            let name = known.map_or_else(|| disk.to_string(), |known| known.media.to_string());
            members.push(Member {
                disk,
                name: format!("{name} ({})", found.path.display()),
                media,
                label,
            });
            present.insert(disk, found);
        }
        self.add_members(members, present);
        for step in &plan.labels {
            match step {
                LabelStep::Grow { disk, media, size } => self.grow_label(*disk, media, *size)?,
                LabelStep::Restore { disk, found } => self.label_anew(*disk, found)?,
                LabelStep::Write(_) | LabelStep::Keep { .. } | LabelStep::Turn { .. } => {}
            }
        }
        Ok(())
    }

    fn grow_label(&mut self, disk: DiskId, media: &Name, size: Sectors) -> Result<()> {
        let path = format!("{}/{media}", self.view.world.group.name);
        let of_disk = |error: Error| error.context(format!("disk '{media}'")).on(&path);
        let is_as_planned = |geometry: &meta::Geometry| geometry.data_size() == size;
        let geometry = self.view.grown(disk).filter(is_as_planned).ok_or_else(|| {
            of_disk(Error::device("its size has changed just now").hint("try again"))
        })?;
        self.relabel(disk, geometry).map_err(of_disk)
    }

    /// Has udev process a device once the lock is released, since its label was written or erased.
    pub fn relabelled(&mut self, device: PathBuf) {
        self.closing.relabelled.push(device);
    }

    /// Erases the labels of disks that have left the group. The configuration no longer has them:
    /// every command ignores a label that could not be erased.
    pub(super) fn erase_labels(&mut self, plan: &Plan) {
        for old in &plan.erase {
            self.relabelled(old.path.clone());
            // The device that was read: its path may lead to another one by now.
            let mut members = self.view.copies.members.iter();
            let member = members.find(|member| member.disk == old.disk);
            let erased = match member {
                Some(member) => labels::erase(member.media.as_ref(), old.disk),
                None => Err(Error::device("it cannot be opened")),
            };
            let Err(error) = erased else {
                continue;
            };
            let (media, path) = (&old.media, old.path.display());
            let told = Hint::from(format!(
                "the label of disk '{media}' ({path}) could not be erased: {error}"
            ));
            let told = if plan.group.destroyed {
                told.and("; ").line(Advised::Recover).and(" tries again")
            } else {
                told
            };
            self.closing.warnings.push(self.view.env.words(&told));
        }
    }

    /// Writes a disk's label, both superblocks, with more space for volumes. This happens before
    /// any configuration uses the space: a configuration may have less space than the label and
    /// never more, whichever superblock is read.
    pub fn relabel(&mut self, disk: DiskId, geometry: meta::Geometry) -> Result<()> {
        self.view
            .copies
            .members
            .iter_mut()
            .filter(|m| m.disk == disk)
            .for_each(|m| m.label.set_geometry(geometry));
        for _ in 0..2 {
            let outcome = self.commit_again()?;
            if !outcome.written.contains(&disk) {
                return Err(Error::device(format!(
                    "its label cannot be written: {}",
                    outcome.warnings.join("; ")
                )));
            }
            self.closing.warnings.extend(outcome.warnings);
        }
        Ok(())
    }
}

/// Announces to this machine's witness a configuration that is about to be written. Returns a
/// warning for the administrator when that fails.
fn announce(env: Env<'_>, group: &Group, newest: Option<Stamp>, next: Stamp) -> Option<String> {
    let (dir, newest) = (env.machine.witness_dir()?, newest?);
    if !may_be_ours(env, group) {
        return None;
    }
    let noted = Witness::at(dir).expect(group.id, &group.name, newest, next);
    noted.err().map(|error| {
        format!(
            "the new state of group '{}' could not be announced on this machine, so an older one may be taken for the newest: {error}",
            group.name
        )
    })
}

/// Returns the members that hold this configuration (a disk from a failed add does not).
/// Those that did not take an earlier write are left out unless no other is left.
fn members_of<'m>(members: &'m mut [Member], group: &Group, silent: &[DiskId]) -> &'m mut [Member] {
    let rank = |member: &Member| match group.is_held_by(member.disk) {
        true if !silent.contains(&member.disk) => 0,
        true => 1,
        false => 2,
    };
    members.sort_by_key(rank);
    let best = members.first().map_or(2, rank).min(1);
    let count = members.partition_point(|member| rank(member) <= best);
    &mut members[..count]
}
