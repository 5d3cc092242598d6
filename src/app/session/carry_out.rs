//! A plan from its commit to its end, and back where it fails.

use super::Session;
use super::tend::TEND_ROUNDS;
use crate::app::Report;
use crate::error::{Error, Result};
use crate::exec::{self, Cause, Failed};
use crate::model::{CrashReason, DmUuid, Extent, VolumeId};
use crate::plan::change::Event;
use crate::plan::quorum;
use crate::plan::step::{CommitPoint, Plan};
use crate::sys::Errno;
use crate::sys::helper::{self, Helper, Task};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long a helper's suspend may take when nothing is known any more that keeps it waiting.
const COMES_BACK: Duration = Duration::from_secs(10);

impl Session<'_> {
    /// Commits a plan of somebody's and carries it out, unless the disks that are here may not
    /// speak for the group. On an error the group is as it was before, in the kernel too as far as
    /// it can be had.
    pub fn carry_out(&mut self, plan: &Plan) -> exec::Done<Report> {
        quorum::refuse_change(&self.view.world, plan)?;
        self.perform(plan)
    }

    /// The same for a repair, too: what runs is repaired with whatever is here.
    pub(super) fn perform(&mut self, plan: &Plan) -> exec::Done<Report> {
        let _noted = self.env.machine.interrupts();
        let repair = plan.group == self.view.world.group;
        let mut helper = self.helper(plan);
        if helper.is_none() && !plan.window.frozen.is_empty() {
            return Err(self.cannot_freeze(plan));
        }
        let executed = match self.commit_and_execute(plan, as_helper(&mut helper)) {
            Ok(executed) => executed,
            Err(mut failed) => {
                failed.unfrozen = reasons(plan, as_helper(&mut helper));
                self.view
                    .world
                    .known
                    .unfrozen
                    .extend(failed.unfrozen.clone());
                failed.lost_copies.extend(self.fall_back(helper));
                return Err(self.name_openers_of(failed));
            }
        };
        self.closing.warnings.extend(executed.warnings);
        let failures = plan
            .failures
            .iter()
            .map(|refusal| self.name_openers(refusal.clone()))
            .collect();
        let mut report = Report {
            changes: plan.changes.clone(),
            notes: plan.notes.clone(),
            failures,
        };
        let thawed = if executed.thawed {
            reasons(plan, as_helper(&mut helper))
        } else {
            BTreeMap::new()
        };
        if helper.as_ref().is_some_and(|helper| helper.is_busy()) {
            // A leg has died while the filesystem was thawed: it is taken out, and the helper comes
            // to an end.
            drop(self.fall_back(helper));
        } else {
            drop(helper);
        }
        self.record_freeze(plan, executed.held, &thawed, &mut report);
        match self.observe() {
            // A repair that did not help is not tried again at once.
            Ok(()) if executed.unfinished && !repair => drop(self.fall_back(None)),
            Ok(()) => {}
            // It is done all the same, and saying that it failed would be a lie.
            Err(error) => self.closing.warnings.push(format!(
                "it is done, but the kernel cannot be looked at any more: {error}"
            )),
        }
        Ok(report)
    }

    /// Nothing is called frozen that was not frozen by the helper.
    fn cannot_freeze(&mut self, plan: &Plan) -> Box<Failed> {
        let reason = "the process that freezes could not be started";
        let ids = plan.window.frozen.iter().filter_map(DmUuid::volume);
        let mut failed =
            Box::<Failed>::from(Error::failed(format!("{reason}; nothing was changed")));
        failed.unfrozen = ids.map(|id| (id, reason.to_owned())).collect();
        self.view
            .world
            .known
            .unfrozen
            .extend(failed.unfrozen.clone());
        failed
    }

    /// A failure that no disk of the group takes the record of is not acted upon: a leg that is
    /// left out without a record would count as equal later. What the mirrors hold comes back to
    /// the writers as errors, so that nobody waits for ever, and the mirrors know what is not equal
    /// until somebody can record it.
    pub(super) fn not_recorded(&mut self, plan: &Plan, failed: Box<Failed>) -> Box<Failed> {
        if plan.window.commit == CommitPoint::First {
            let group = &self.view.world.group;
            self.closing.warnings.extend(exec::fail_held(
                self.kernel.as_ref(),
                group.id,
                Some(group),
            ));
        }
        failed
    }

    /// Somebody who waits in our place for what is frozen and suspended, and resumes it should we
    /// die in between. A repair goes without: it waits for nothing.
    pub(super) fn helper(&self, plan: &Plan) -> Option<Box<dyn Helper>> {
        let devices = exec::helper_devices(&plan.window);
        if devices.is_empty()
            || devices.len() > helper::MOST
            || plan.window.commit == CommitPoint::First
        {
            return None;
        }
        let started = self.env.machine.helper(self.view.world.group.id, &devices);
        started
            .map_err(|error| {
                self.env.ui.warn(&format!(
                    "{error}: should this command be killed, run 'breakoff recover'"
                ));
            })
            .ok()
    }

    /// Waits for what a helper is still about after its window was given up. What hangs is left to
    /// it.
    fn come_back(&mut self, mut helper: Box<dyn Helper>) {
        if helper.wait(COMES_BACK).is_none() {
            return self.closing.warnings.push(
                "a suspend still waits for a disk; when it answers, that is undone".to_owned(),
            );
        }
        let thawed = helper.begin(Task::Thaw).and_then(|()| {
            helper
                .wait(COMES_BACK)
                .unwrap_or(Err(Errno(libc::ETIMEDOUT)))
        });
        if thawed.is_err() {
            self.closing
                .warnings
                .push("a filesystem may still be frozen; 'breakoff recover' thaws it".to_owned());
        }
    }

    /// How long the split kept the originals waiting is known only afterwards, and whether
    /// something else has thawed what was to stay frozen; it is recorded with the snapshots.
    fn record_freeze(
        &mut self,
        plan: &Plan,
        held: Duration,
        thawed: &BTreeMap<VolumeId, String>,
        report: &mut Report,
    ) {
        if plan.snapshots.is_empty() {
            return;
        }
        let micros = u64::try_from(held.as_micros()).unwrap_or(u64::MAX);
        let mut record = Plan::nothing(self.view.world.group.clone());
        for origin in record
            .group
            .volumes
            .iter_mut()
            .filter(|v| plan.snapshots.contains(&v.id))
            .filter_map(|v| v.origin.as_mut())
        {
            origin.freeze_us = micros;
            if let Some(reason) = thawed.get(&origin.original) {
                origin.crash = Some(CrashReason::new(reason));
            }
        }
        report.notes.extend(thawed.values().map(|reason| {
            format!("the snapshot holds what a crash at the split would have left: {reason}")
        }));
        for change in &mut report.changes {
            if let Event::Split(split) = &mut change.event {
                split.freeze_us = Some(micros);
            }
        }
        report.notes.push(format!(
            "I/O was held for {}.{:03} ms",
            micros / 1000,
            micros % 1000
        ));
        if let Err(failed) = self.commit_and_execute(&record, None) {
            self.closing.warnings.push(format!(
                "the freeze time could not be recorded: {}",
                failed.error
            ));
        }
    }

    /// Brings the kernel to what is recorded (a leg that has failed is recorded first); what still
    /// fails is told and left to the next command. What a helper is still about is waited for as
    /// soon as nothing keeps it waiting any more, and undone.
    /// The copies of maps that were found dead on the way.
    fn fall_back(&mut self, helper: Option<Box<dyn Helper>>) -> Vec<Extent> {
        let mut busy: Vec<Box<dyn Helper>> = helper
            .into_iter()
            .filter(|helper| helper.is_busy())
            .collect();
        let (mut last, mut lost) = (None, Vec::new());
        for _ in 0..TEND_ROUNDS {
            match self.fall_back_once(&mut last, &mut busy, &mut lost) {
                Ok(true) => {}
                Ok(false) if !busy.is_empty() => {
                    busy.drain(..).for_each(|helper| self.come_back(helper));
                    last = None;
                }
                Ok(false) => break,
                Err(error) => {
                    let group = &self.view.world.group.name;
                    self.closing.warnings.push(format!("group '{group}' could not be tidied up: {error}; 'breakoff recover' tries again"));
                    break;
                }
            }
        }
        busy.drain(..).for_each(|helper| self.come_back(helper));
        self.closing.thaw = true;
        lost
    }

    /// Whether there was anything to do.
    fn fall_back_once(
        &mut self,
        last: &mut Option<Plan>,
        busy: &mut Vec<Box<dyn Helper>>,
        lost: &mut Vec<Extent>,
    ) -> Result<bool> {
        self.observe()?;
        let Some(plan) = self.next_repair()? else {
            return Ok(false);
        };
        if !(plan.has_steps() || plan.window.commit == CommitPoint::First)
            || last.as_ref() == Some(&plan)
        {
            return Ok(false);
        }
        let mut helper = self.helper(&plan);
        let done = self.commit_and_execute(&plan, as_helper(&mut helper));
        if let Err(failed) = &done
            && !failed.lost_copies.is_empty()
        {
            // That copy of a map is taken out in the next round.
            lost.extend(&failed.lost_copies);
            return Ok(true);
        }
        if let Some(helper) = helper.filter(|helper| helper.is_busy()) {
            // A leg has died in that very moment: it is taken out in the next round.
            busy.push(helper);
            return Ok(true);
        }
        self.closing.warnings.extend(done?.warnings);
        *last = Some(plan);
        Ok(true)
    }

    /// Adds who has a device open to a failure that says that it is.
    fn name_openers_of(&self, mut failed: Box<Failed>) -> Box<Failed> {
        if let Cause::InUse(uuid) = &failed.cause {
            match self.openers(uuid).as_slice() {
                [] => {}
                who => failed.error = failed.error.because(who.join(", ")),
            }
        }
        failed
    }
}

/// Why volumes are not frozen that the plan calls so.
fn reasons(plan: &Plan, helper: Option<&mut dyn Helper>) -> BTreeMap<VolumeId, String> {
    let Some(helper) = helper.filter(|helper| !helper.is_busy()) else {
        return BTreeMap::new();
    };
    let suspended = plan.window.suspend.iter().map(|(uuid, _)| uuid).zip(0u16..);
    let named = suspended.filter(|(uuid, _)| plan.window.frozen.contains(uuid));
    named
        .filter_map(|(uuid, entry)| Some((uuid.volume()?, helper.reason(entry, COMES_BACK)?)))
        .collect()
}

fn as_helper(helper: &mut Option<Box<dyn Helper>>) -> Option<&mut dyn Helper> {
    helper
        .as_mut()
        .map(|helper| &mut **helper as &mut dyn Helper)
}
