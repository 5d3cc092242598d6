//! Carries a plan out, from its commit to its last step, and undoes it on failure.

use super::repair::REPAIR_ROUNDS;
use super::{Names, Session};
use crate::advice::{Advised, Hint};
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
use std::time::{Duration, Instant};

/// How long to wait for a helper's suspend once nothing known blocks it any more.
const COMES_BACK: Duration = Duration::from_secs(10);

/// How often the mirrors are looked at while a helper is waited for.
const LOOK: Duration = Duration::from_millis(100);

/// A helper whose window is over, and that is still in a call.
struct Blocked {
    helper: Box<dyn Helper>,
    /// Whether the call is the thaw at the end.
    thaws: bool,
}

impl Blocked {
    fn by_its_call(helper: Box<dyn Helper>) -> Blocked {
        Blocked {
            helper,
            thaws: false,
        }
    }
}

/// The end of waiting for a helper's call.
enum Waited {
    Done(std::result::Result<u32, Errno>),
    /// A leg has failed that may be what the call waits for.
    LegFailed,
    /// Nothing is known that the call waits for.
    TooLong,
}

impl Session<'_> {
    /// Commits a requested plan and executes it, unless too few disks are present to speak for the
    /// group. On error, restores the previous configuration and, as far as possible, the previous
    /// kernel state.
    pub fn carry_out(&mut self, plan: &Plan) -> exec::Done<Report> {
        quorum::refuse_change(&self.view.world, plan)?;
        self.tell_owners_of(plan);
        let done = self.perform(plan);
        self.agree_owners(Names::AsKnown);
        done
    }

    /// Like [`Session::carry_out`], without the quorum check, so that repairs can use it: what runs
    /// is repaired with whatever disks are present.
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
                self.learn_reasons(&failed.unfrozen);
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
            notes: self.env.all_words(&plan.notes),
            failures,
        };
        let thawed = if executed.thawed {
            reasons(plan, as_helper(&mut helper))
        } else {
            BTreeMap::new()
        };
        if helper.as_ref().is_some_and(|helper| helper.is_busy()) {
            // A leg failed during the thaw, which blocks the helper. Taking the leg out lets the
            // helper finish.
            drop(self.fall_back(helper));
        } else {
            drop(helper);
        }
        self.record_freeze(plan, executed.held, &thawed, &mut report);
        match self.observe() {
            // A repair that did not help is not retried at once.
            Ok(()) if executed.unfinished && !repair => drop(self.fall_back(None)),
            Ok(()) => {}
            // The plan was carried out, so reporting a failure here would be wrong.
            Err(error) => self.closing.warnings.push(format!(
                "the change was made, but the state of the kernel cannot be read any more: {error}"
            )),
        }
        // Nothing is written to these disks any more, not even by a repair.
        self.erase_labels(plan);
        Ok(report)
    }

    /// Builds the error for a helper that could not be started. Only the helper freezes, so without
    /// it nothing may be called frozen.
    fn cannot_freeze(&mut self, plan: &Plan) -> Box<Failed> {
        let reason = "the helper process, which freezes, could not be started";
        let ids = plan.window.frozen.iter().filter_map(DmUuid::volume);
        let mut failed =
            Box::<Failed>::from(Error::failed(format!("{reason}; nothing was changed")));
        failed.unfrozen = ids.map(|id| (id, reason.to_owned())).collect();
        self.learn_reasons(&failed.unfrozen);
        failed
    }

    /// Records the volumes that could not be frozen, for the next plan.
    fn learn_reasons(&mut self, unfrozen: &BTreeMap<VolumeId, String>) {
        for (id, reason) in unfrozen {
            self.view.world.evidence.users_mut(*id).unfrozen = Some(reason.clone());
        }
    }

    /// Handles a commit that no disk has taken. A leg failure that cannot be recorded is not acted
    /// upon: a leg left out without a record would later count as equal. The writes that the
    /// mirrors hold are failed instead, so that no process waits for ever; the mirrors remember
    /// what is not equal until the failure can be recorded.
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

    /// Starts the helper process that performs the blocking freezes and suspends and resumes
    /// everything if this process dies. A repair runs without one: it does not block.
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
                let then = Hint::from(format!("{error}: if this command is killed, run "));
                self.env.warn(&then.line(Advised::Recover));
            })
            .ok()
    }

    /// Waits for the call that a helper is still in after its window was abandoned, then has it
    /// thaw. Both write to the disks: if a leg fails meanwhile, the helper blocks until the leg is
    /// taken out, and is returned. A call that hangs is left to the helper.
    fn come_back(&mut self, mut blocked: Blocked) -> Option<Blocked> {
        if !blocked.thaws {
            match self.wait_for(blocked.helper.as_mut()) {
                Waited::Done(_) => {}
                Waited::LegFailed => return Some(blocked),
                Waited::TooLong => return self.leave(&blocked),
            }
            if blocked.helper.begin(Task::Thaw).is_err() {
                blocked.thaws = true;
                return self.leave(&blocked);
            }
            blocked.thaws = true;
        }
        match self.wait_for(blocked.helper.as_mut()) {
            Waited::Done(Ok(_)) => None,
            Waited::LegFailed => Some(blocked),
            Waited::Done(Err(_)) | Waited::TooLong => self.leave(&blocked),
        }
    }

    fn wait_for(&mut self, helper: &mut dyn Helper) -> Waited {
        let begun = Instant::now();
        while begun.elapsed() < COMES_BACK {
            if let Some(done) = helper.wait(LOOK) {
                return Waited::Done(done);
            }
            if self.observe().is_ok() && self.has_failed_mirror() {
                return Waited::LegFailed;
            }
        }
        Waited::TooLong
    }

    /// Waits once more, though a leg has failed: it could not be taken out.
    fn come_back_at_last(&mut self, mut blocked: Blocked) {
        let mut done = blocked.helper.wait(COMES_BACK).is_some();
        if done && !blocked.thaws {
            blocked.thaws = true;
            done = blocked.helper.begin(Task::Thaw).is_ok()
                && matches!(blocked.helper.wait(COMES_BACK), Some(Ok(_)));
        }
        if !done {
            self.leave(&blocked);
        }
    }

    /// Warns of a call that did not end.
    fn leave(&mut self, blocked: &Blocked) -> Option<Blocked> {
        let warning = if blocked.thaws {
            Hint::from("a filesystem may still be frozen; ")
                .line(Advised::Recover)
                .and(" thaws it")
        } else {
            "a suspend still waits for a disk; when it answers, that is undone".into()
        };
        self.closing.warnings.push(self.env.words(&warning));
        None
    }

    /// Records with the snapshots how long the split held I/O, and whether another process has
    /// thawed what had to stay frozen. Both are known only after the window.
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
        let before = self.closing.archive.len();
        let recorded = self.commit_and_execute(&record, None);
        if self.closing.archive.len() > before && before > 0 {
            // The archive gets one configuration of the command, the last one.
            self.closing.archive.remove(before - 1);
        }
        if let Err(failed) = recorded {
            self.closing.warnings.push(format!(
                "the freeze time could not be recorded: {}",
                failed.error
            ));
        }
    }

    /// Brings the kernel to the recorded state; a failed leg is recorded first. If that fails,
    /// warns and leaves the rest to the next command. Once nothing blocks a busy helper any more,
    /// waits for it and undoes its call. Returns the copies of maps that were found dead meanwhile.
    fn fall_back(&mut self, helper: Option<Box<dyn Helper>>) -> Vec<Extent> {
        let mut busy: Vec<Blocked> = helper
            .into_iter()
            .filter(|helper| helper.is_busy())
            .map(Blocked::by_its_call)
            .collect();
        let (mut last, mut lost) = (None, Vec::new());
        for _ in 0..REPAIR_ROUNDS {
            match self.fall_back_once(&mut last, &mut busy, &mut lost) {
                Ok(true) => {}
                Ok(false) if !busy.is_empty() => {
                    let blocked = std::mem::take(&mut busy);
                    let waited_for = blocked.len();
                    busy = blocked
                        .into_iter()
                        .filter_map(|blocked| self.come_back(blocked))
                        .collect();
                    if busy.len() < waited_for {
                        // That may have been what the last repair did not help against.
                        last = None;
                    }
                }
                Ok(false) => break,
                Err(error) => {
                    let group = &self.view.world.group.name;
                    let told = Hint::from(format!(
                        "the devices of group '{group}' do not match its configuration: {error}; "
                    ));
                    let told = told.line(Advised::Recover).and(" tries again");
                    self.closing.warnings.push(self.env.words(&told));
                    break;
                }
            }
        }
        busy.into_iter()
            .for_each(|blocked| self.come_back_at_last(blocked));
        self.settle();
        self.closing.thaw = true;
        lost
    }

    /// One round of `fall_back`. Returns whether there was anything to do.
    fn fall_back_once(
        &mut self,
        last: &mut Option<Plan>,
        busy: &mut Vec<Blocked>,
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
            // The next round takes that copy of the map out.
            lost.extend(&failed.lost_copies);
            return Ok(true);
        }
        if let Some(helper) = helper.filter(|helper| helper.is_busy()) {
            // A leg failed during the repair; the next round takes it out.
            busy.push(Blocked::by_its_call(helper));
            return Ok(true);
        }
        self.closing.warnings.extend(done?.warnings);
        *last = Some(plan);
        Ok(true)
    }

    /// Adds the openers of the device to an error that reports a device as open.
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

/// Returns the volumes that the plan calls frozen and that are not, each with the reason.
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
