//! Repairs that are made without a request.

use super::Session;
use crate::error::{Kind, Result};
use crate::exec;
use crate::model::{Extent, VolumeId};
use crate::plan::change::{Change, Event};
use crate::plan::evidence::Situation;
use crate::plan::step::Plan;
use crate::plan::{self, finding};

/// How many rounds of recording and repairing a command makes before it leaves the rest to the next
/// one.
pub(super) const REPAIR_ROUNDS: usize = 16;

impl Session<'_> {
    /// Repairs what an interrupted command left, takes failed legs out, and records what the kernel
    /// has finished. Returns the changes made.
    pub fn repair_all(&mut self) -> Result<Vec<Change>> {
        let done = self.repair_each();
        let labelled = self.finish_handover();
        self.settle();
        let mut done = done?;
        done.extend(labelled);
        Ok(done)
    }

    /// Writes the labels of disks that another group has handed over, which a command that was
    /// interrupted has left. Nothing depends on it, so a failure is a warning.
    fn finish_handover(&mut self) -> Vec<Change> {
        let group = self.world.group.name.clone();
        // The disks that stay are to tell of a handover before the others have new labels.
        if !self.world.group.handovers.is_empty() {
            self.heal();
        }
        match self.receive() {
            Ok(disks) => {
                let written = disks.into_iter().filter_map(|id| {
                    let device = self.world.disks.get(&id)?.path.clone();
                    let media = &self.world.group.disk(id)?.media;
                    Some(Change::disk(&group, media, Event::LabelWritten { device }))
                });
                written.collect()
            }
            Err(error) => {
                self.env.ui.warn(&format!(
                    "the labels of disks that were handed over to group '{group}' cannot be written: {error}"
                ));
                Vec::new()
            }
        }
    }

    fn repair_each(&mut self) -> Result<Vec<Change>> {
        let mut done = Vec::new();
        let mut last = None;
        for _ in 0..REPAIR_ROUNDS {
            // Listing starts a program, whose file may lie on a volume whose writes are held.
            if !self.has_failed_mirror() {
                self.learn_unlisted();
            }
            let Some(plan) = self.next_repair()? else {
                done.extend(self.add_what_was_lost());
                self.tell_waiting();
                return Ok(done);
            };
            if last.as_ref() == Some(&plan) {
                // The same plan again means that it did not help, for example because a process has
                // an inner device open. Do not retry for ever.
                return Ok(done);
            }
            let report = self.perform(&plan)?;
            done.extend(report.changes);
            // The repair was not requested, so its notes are given as warnings.
            report.notes.iter().for_each(|note| self.env.ui.warn(note));
            last = Some(plan);
        }
        Ok(done)
    }

    /// Waits for udev, once all that was urgent is done.
    pub(super) fn settle(&mut self) {
        let late = exec::settle(self.kernel.as_ref());
        self.closing.warnings.extend(late);
    }

    /// Warns about each part of the kernel state that cannot be brought to the recorded state. It
    /// stops nothing else.
    fn tell_waiting(&self) {
        for error in finding::converge(&self.view.world).failures {
            self.env.ui.warn(&error.to_string());
        }
    }

    /// Gives mirrors without a log another log, and maps that have lost a copy space for a new one.
    /// Neither is essential, so a failure is only a warning.
    fn add_what_was_lost(&mut self) -> Vec<Change> {
        type Missing = fn(&Situation) -> Vec<VolumeId>;
        type Add = fn(&Situation, VolumeId) -> plan::Result<Plan>;
        let kinds: [(Missing, Add, &str); 2] = [
            (
                finding::unlogged,
                finding::add_log,
                "a mirror continues without a dirty region log",
            ),
            (
                finding::short_of_copies,
                finding::add_copies,
                "a map of changes has fewer copies than it could have",
            ),
        ];
        let mut done = Vec::new();
        for (missing, add, without) in kinds {
            for volume in missing(&self.view.world) {
                match self.add(volume, add) {
                    Ok(changes) => done.extend(changes),
                    Err(error) => self.env.ui.warn(&format!("{without}: {error}")),
                }
            }
        }
        done
    }

    /// Adds a log or copies of a map to a volume, as `add` plans it. Space that cannot be written
    /// to is marked as damaged and another place is tried, as long as there is one.
    pub(super) fn add(
        &mut self,
        volume: VolumeId,
        add: fn(&Situation, VolumeId) -> plan::Result<Plan>,
    ) -> Result<Vec<Change>> {
        for _ in 0..self.view.world.group.disks.len() {
            let plan = add(&self.view.world, volume)?;
            let error = match self.perform(&plan) {
                Ok(report) => return Ok(report.changes),
                Err(failed) => failed.error,
            };
            let new: Vec<Extent> = exec::logs(&plan)
                .into_iter()
                .filter(|extent| !self.view.world.evidence.damaged.contains(extent))
                .collect();
            if new.is_empty() || !matches!(error.kind(), Kind::Device | Kind::TimedOut) {
                return Err(error);
            }
            self.view.world.evidence.damaged.extend(new);
        }
        let plan = add(&self.view.world, volume)?;
        Ok(self.perform(&plan)?.changes)
    }
}
