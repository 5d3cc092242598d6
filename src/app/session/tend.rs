//! Repairs that nobody has asked for.

use super::Session;
use crate::error::{Kind, Result};
use crate::exec;
use crate::model::{Extent, VolumeId};
use crate::plan::change::Change;
use crate::plan::step::Plan;
use crate::plan::world::World;
use crate::plan::{self, finding};

/// How often a command looks again for something to record or repair before it leaves the rest to
/// the next one.
pub(super) const TEND_ROUNDS: usize = 16;

impl Session<'_> {
    /// Repairs what an interrupted command left, drops failed legs, and records what the kernel has
    /// finished. What was done.
    pub fn tend(&mut self) -> Result<Vec<Change>> {
        let mut done = Vec::new();
        let mut last = None;
        for _ in 0..TEND_ROUNDS {
            // Who lists starts a program, and its file may lie on a volume whose writes are held.
            if !self.has_failed_mirror() {
                self.learn_unlisted();
            }
            let Some(plan) = self.next_repair()? else {
                done.extend(self.add_what_was_lost());
                self.tell_waiting();
                return Ok(done);
            };
            if last.as_ref() == Some(&plan) {
                // It did not help the first time (somebody has an inner device open, say): trying
                // for ever helps nobody.
                return Ok(done);
            }
            let report = self.perform(&plan)?;
            done.extend(report.changes);
            // Nobody has asked for it, so that what there is to know of it is a warning.
            report.notes.iter().for_each(|note| self.env.ui.warn(note));
            last = Some(plan);
        }
        Ok(done)
    }

    /// What cannot be brought to what is recorded stops nothing else, and is told.
    fn tell_waiting(&self) {
        for error in finding::converge(&self.view.world).failures {
            self.env.ui.warn(&error.to_string());
        }
    }

    /// Mirrors that have lost their log get another one, and maps that have lost a copy space for
    /// the next one. That is good to have and no more: where it fails a warning is enough.
    fn add_what_was_lost(&mut self) -> Vec<Change> {
        type Missing = fn(&World) -> Vec<VolumeId>;
        type Add = fn(&World, VolumeId) -> plan::Result<Plan>;
        let kinds: [(Missing, Add, &str); 2] = [
            (
                finding::unlogged,
                finding::add_log,
                "a mirror goes on without a dirty region log",
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

    /// Space that cannot be written to is none, and another place is tried as long as there is one.
    pub(super) fn add(
        &mut self,
        volume: VolumeId,
        add: fn(&World, VolumeId) -> plan::Result<Plan>,
    ) -> Result<Vec<Change>> {
        for _ in 0..self.view.world.group.disks.len() {
            let plan = add(&self.view.world, volume)?;
            let error = match self.perform(&plan) {
                Ok(report) => return Ok(report.changes),
                Err(failed) => failed.error,
            };
            let new: Vec<Extent> = exec::logs(&plan)
                .into_iter()
                .filter(|extent| !self.view.world.known.damaged.contains(extent))
                .collect();
            if new.is_empty() || !matches!(error.kind(), Kind::Device | Kind::TimedOut) {
                return Err(error);
            }
            self.view.world.known.damaged.extend(new);
        }
        let plan = add(&self.view.world, volume)?;
        Ok(self.perform(&plan)?.changes)
    }
}
