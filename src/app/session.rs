//! A group in the hands of one command: locked, read, observed, and changed only through
//! [`Session::carry_out`].

use super::scan::{self, Bare, Scan};
use super::{Change, Env, Options, Report};
use crate::error::{Error, Kind, Result};
use crate::exec::{self, Cause, Executed, Failed};
use crate::meta::Fill;
use crate::meta::{
    self, Archive, Chosen, CommitOutcome, Lineage, Member, Sighting, Stamp, Witness,
};
use crate::model::PlexState;
use crate::model::{
    CrashReason, DiskId, DmUuid, Extent, Generation, Group, GroupId, HostId, Name, Role, Sectors,
    Testimony, Volume, VolumeId, check, distinct,
};
use crate::plan::change::{Event, Object};
use crate::plan::request::Finding;
use crate::plan::step::{CommitPoint, Plan};
use crate::plan::world::{Known, PresentDisk, World};
use crate::plan::{finding, quorum};
use crate::sys::helper::{self, Act, Helper};
use crate::sys::notice::Notice;
use crate::sys::{Errno, Kernel, lock};
use crate::table::status::MirrorStatus;
use crate::table::{DmDevice, dco};
use std::any::Any;
use std::collections::BTreeMap;
use std::time::Duration;

/// How often a command looks again for something to record or repair before it leaves the rest to
/// the next one.
const TEND_ROUNDS: usize = 16;

/// How long a helper's suspend may take when nothing is known any more that keeps it waiting.
const COMES_BACK: Duration = Duration::from_secs(10);

/// The share of a metadata area (one of so many) that only changes of state may use.
const RESERVED: u64 = 16;

/// See the module.
pub struct Session<'u> {
    /// Where and for whom the command works.
    pub env: Env<'u>,
    /// The kernel.
    pub kernel: Box<dyn Kernel>,
    /// What was observed last.
    pub world: World,
    members: Vec<Member>,
    next: Generation,
    outdated: Vec<DiskId>,
    /// Where the configuration comes from.
    lineage: Lineage,
    /// A configuration that may be on a disk without being known to be in force.
    pending: Option<Stamp>,
    /// Disks that did not take what was written; the next command tries them again.
    silent: Vec<DiskId>,
    /// The devices in sight that have no label.
    pub(super) bare: Bare,
    later: Later,
    lock: Option<Box<dyn Any>>,
}

/// What is done when the lock is given back. It touches files that may lie on a volume whose writes
/// are held right now; with the lock nobody could repair that volume.
#[derive(Default)]
struct Later {
    archive: Vec<(Group, Generation)>,
    notices: Vec<Notice>,
    /// Whether a helper may have died and left something frozen.
    thaw: bool,
    /// What a person is told; that may be read from a file, too.
    warnings: Vec<String>,
}

/// Takes the lock of a group, and says who is in the way when that takes a while.
pub fn lock_group(name: &str, timeout: Option<Duration>, env: Env<'_>) -> Result<Box<dyn Any>> {
    env.machine.lock(name, timeout, &|holder: &lock::Holder| {
        env.ui.note(&format!(
            "waiting for the lock of '{name}', held by {holder}"
        ))
    })
}

/// The name of the group that a word of a command line means, which may be its identity: a lock is
/// for a name.
fn name_behind(word: &Name, env: Env<'_>) -> Result<Name> {
    if GroupId::parse(word.as_str()).is_none() {
        return Ok(word.clone());
    }
    let scan = Scan::new(env.machine)?;
    Ok(scan
        .name_of(scan.group_named(word.as_str())?)
        .unwrap_or_else(|| word.clone()))
}

impl<'u> Session<'u> {
    /// Opens a group for changes: locks it, reads it, observes, and repairs and records what is
    /// found.
    pub fn open(options: &Options, name: &Name, env: Env<'u>) -> Result<Session<'u>> {
        let locked = name_behind(name, env)?;
        let lock = lock_group(locked.as_str(), options.timeout, env)?;
        let mut session = Session::look(name, env)?;
        session.lock = Some(lock);
        refuse_foreign(&session.world.group, name, env.machine.host_id()?)?;
        if session.world.group.name != locked {
            return Err(
                Error::not_ready(format!("group '{locked}' was renamed just now"))
                    .on(&locked)
                    .hint("try again"),
            );
        }
        Ok(session)
    }

    /// Opens a group that runs on this machine for repairs, and reads only its own disks, as the
    /// kernel's tables name them: whatever else is in sight, a copy of one of them or a disk that
    /// hangs, must not keep its writes waiting.
    pub fn open_running(options: &Options, id: GroupId, env: Env<'u>) -> Result<Session<'u>> {
        let name = Scan::of_running(env.machine, id)?
            .choose_running(id)?
            .group
            .name;
        let lock = lock_group(name.as_str(), options.timeout, env)?;
        let mut session = Session::look_running(id, env)?;
        session.lock = Some(lock);
        refuse_foreign(&session.world.group, &name, env.machine.host_id()?)?;
        if session.world.group.name != name {
            return Err(
                Error::not_ready(format!("group '{name}' was renamed just now"))
                    .on(&name)
                    .hint("try again"),
            );
        }
        Ok(session)
    }

    /// The same to be looked at.
    pub fn look_running(id: GroupId, env: Env<'u>) -> Result<Session<'u>> {
        let scan = Scan::of_running(env.machine, id)?;
        scan.unreadable()
            .iter()
            .for_each(|error| env.ui.warn(error.message()));
        let chosen = scan.choose_running(id)?;
        Session::of(scan, chosen, env)
    }

    /// Opens a group without a lock: to be looked at, or because the caller has it.
    pub fn look(name: &Name, env: Env<'u>) -> Result<Session<'u>> {
        let scan = Scan::new(env.machine)?;
        scan.unanswered()
            .iter()
            .for_each(|error| env.ui.warn(error.message()));
        let chosen = scan.choose(scan.group_named(name.as_str())?)?;
        Session::chosen(scan, chosen, env)
    }

    /// A group in the form that was chosen, with what an administrator should know of it.
    pub fn chosen(scan: Scan, chosen: Chosen, env: Env<'u>) -> Result<Session<'u>> {
        for disk in chosen
            .missing
            .iter()
            .filter_map(|id| chosen.group.disk(*id))
        {
            env.ui.warn(&format!(
                "disk '{}' of group '{}' is missing, or its label cannot be read",
                disk.media, chosen.group.name
            ));
        }
        if !chosen.missing.is_empty() {
            scan.unreadable()
                .iter()
                .for_each(|error| env.ui.warn(error.message()));
        }
        for other in scan.namesakes(&chosen.group) {
            env.ui.warn(&format!(
                "another group is called '{}' too, which is not meant: {other}",
                chosen.group.name
            ));
        }
        Session::of(scan, chosen, env)
    }

    fn of(mut scan: Scan, chosen: Chosen, env: Env<'u>) -> Result<Session<'u>> {
        chosen
            .warnings
            .iter()
            .for_each(|warning| env.ui.warn(warning));
        let seen = scan.seen(chosen.group.id);
        let bare = scan.take_bare();
        let (disks, members) = scan.into_members(&chosen, env)?;
        let kernel = env.machine.kernel()?;
        let world = World {
            group: chosen.group,
            generation: chosen.generation,
            devices: BTreeMap::new(),
            taken_names: Vec::new(),
            disks,
            boot: env.machine.boot_id()?,
            now: env.machine.now(),
            known: Known::default(),
            elsewhere: BTreeMap::new(),
        };
        let (next, outdated) = (chosen.next, chosen.outdated);
        let mut lineage = chosen.lineage;
        lineage.now = world.now;
        let (silent, later) = (Vec::new(), Later::default());
        let mut session = Session {
            env,
            kernel,
            world,
            members,
            next,
            outdated,
            lineage,
            pending: None,
            silent,
            bare,
            later,
            lock: None,
        };
        session.hear_witness(seen);
        session.observe()?;
        session.leave_out_copies();
        Ok(session)
    }

    /// What this machine's witness says of a group that belongs to it.
    fn hear_witness(&mut self, seen: Option<Sighting>) {
        let here = self.env.machine.host_id().ok();
        let (Some(seen), Some(stamp)) = (seen, self.lineage.newest) else {
            return;
        };
        if self.world.group.host.is_some() && self.world.group.host == here {
            self.world.known.testimony = seen.on(stamp);
        }
    }

    /// A group that is being created on these members.
    pub fn create(
        group: Group,
        members: Vec<Member>,
        disks: BTreeMap<DiskId, PresentDisk>,
        env: Env<'u>,
    ) -> Result<Session<'u>> {
        let empty = Group {
            disks: Vec::new(),
            ..group
        };
        let world = World {
            group: empty,
            generation: Generation::ZERO,
            devices: BTreeMap::new(),
            taken_names: Vec::new(),
            disks,
            boot: env.machine.boot_id()?,
            now: env.machine.now(),
            known: Known::default(),
            elsewhere: BTreeMap::new(),
        };
        let (kernel, next, outdated, silent) = (
            env.machine.kernel()?,
            Generation::new(1),
            Vec::new(),
            Vec::new(),
        );
        let (bare, later) = (Bare::default(), Later::default());
        let mut lineage = Lineage::default();
        lineage.now = world.now;
        Ok(Session {
            env,
            kernel,
            world,
            members,
            next,
            outdated,
            lineage,
            pending: None,
            silent,
            bare,
            later,
            lock: None,
        })
    }

    /// What plans are carried out on.
    fn on(&self) -> exec::On<'_> {
        exec::On {
            machine: self.env.machine,
            kernel: self.kernel.as_ref(),
        }
    }

    /// Refuses what would wait for a disk that hangs beneath such volumes.
    pub fn refuse_silent(&self, which: &dyn Fn(&Volume) -> bool) -> Result<()> {
        let volumes = self
            .world
            .group
            .volumes
            .iter()
            .filter(|volume| which(volume))
            .map(|volume| volume.id)
            .collect();
        exec::refuse_silent(self.on(), &self.world, &volumes)
    }

    /// Looks at the kernel again.
    pub fn observe(&mut self) -> Result<()> {
        let group = self.world.group.id;
        let ours = self
            .kernel
            .devices()?
            .into_iter()
            .filter(|d| d.uuid.group() == Some(group));
        self.world.devices = ours.map(|d| (d.uuid.clone(), d)).collect();
        self.world.taken_names = self.kernel.names()?;
        self.world.now = self.env.machine.now();
        Ok(())
    }

    /// Whether a leg or a log has failed that is not taken out yet.
    pub fn has_failed_mirror(&self) -> bool {
        self.world
            .devices
            .values()
            .filter_map(|d| d.mirror.as_ref())
            .any(MirrorStatus::has_failed)
    }

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
        for error in finding::converge(&self.world).failures {
            self.env.ui.warn(&error.to_string());
        }
    }

    /// Mirrors that have lost their log get another one, and maps that have lost a copy space for
    /// the next one. That is good to have and no more: where it fails a warning is enough.
    fn add_what_was_lost(&mut self) -> Vec<Change> {
        type Missing = fn(&World) -> Vec<VolumeId>;
        type Add = fn(&World, VolumeId) -> Result<Plan>;
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
            for volume in missing(&self.world) {
                match self.add(volume, add) {
                    Ok(changes) => done.extend(changes),
                    Err(error) => self.env.ui.warn(&format!("{without}: {error}")),
                }
            }
        }
        done
    }

    /// Space that cannot be written to is none, and another place is tried as long as there is one.
    fn add(
        &mut self,
        volume: VolumeId,
        add: fn(&World, VolumeId) -> Result<Plan>,
    ) -> Result<Vec<Change>> {
        for _ in 0..self.world.group.disks.len() {
            let plan = add(&self.world, volume)?;
            let error = match self.perform(&plan) {
                Ok(report) => return Ok(report.changes),
                Err(failed) => failed.error,
            };
            let new: Vec<Extent> = exec::logs(&plan)
                .into_iter()
                .filter(|extent| !self.world.known.damaged.contains(extent))
                .collect();
            if new.is_empty() || !matches!(error.kind(), Kind::Device | Kind::TimedOut) {
                return Err(error);
            }
            self.world.known.damaged.extend(new);
        }
        let plan = add(&self.world, volume)?;
        Ok(self.perform(&plan)?.changes)
    }

    /// The next thing that should be done without being asked, the most urgent first; `None` when
    /// all is well.
    pub fn next_repair(&self) -> Result<Option<Plan>> {
        let mut findings = finding::findings(&self.world);
        // Who has not read the map leaves this to the next command.
        let unread = |f: &Finding| matches!(f, Finding::Inexact(id) if !self.world.known.left.contains_key(id));
        findings.retain(|f| !unread(f));
        if let Some(failed) = findings.iter().find(|f| matches!(f, Finding::Failed(..))) {
            return finding::plan(&self.world, failed).map(Some);
        }
        if let Some(held) = finding::unhold(&self.world) {
            return Ok(Some(held));
        }
        let converge = finding::converge(&self.world);
        if converge.has_steps() {
            return Ok(Some(converge));
        }
        for found in &findings {
            match finding::plan(&self.world, found) {
                // It waits for a device that another process has open; what does not goes on.
                Err(error) if error.kind() == Kind::InUse => {}
                plan => return plan.map(Some),
            }
        }
        Ok(None)
    }

    /// Commits a plan of somebody's and carries it out, unless the disks that are here may not
    /// speak for the group. On an error the group is as it was before, in the kernel too as far as
    /// it can be had.
    pub fn carry_out(&mut self, plan: &Plan) -> exec::Done<Report> {
        quorum::refuse_change(&self.world, plan)?;
        self.perform(plan)
    }

    /// The same for a repair, too: what runs is repaired with whatever is here.
    fn perform(&mut self, plan: &Plan) -> exec::Done<Report> {
        let _noted = self.env.machine.interrupts();
        let repair = plan.group == self.world.group;
        let mut helper = self.helper(plan);
        if helper.is_none() && !plan.window.frozen.is_empty() {
            let reason = "the process that freezes could not be started";
            let ids = plan.window.frozen.iter().filter_map(DmUuid::volume);
            let mut failed =
                Box::<Failed>::from(Error::failed(format!("{reason}; nothing was changed")));
            failed.unfrozen = ids.map(|id| (id, reason.to_owned())).collect();
            self.world.known.unfrozen.extend(failed.unfrozen.clone());
            return Err(failed);
        }
        let executed = match self.commit_and_execute(plan, as_aid(&mut helper)) {
            Ok(executed) => executed,
            Err(mut failed) => {
                failed.unfrozen = reasons(plan, as_aid(&mut helper));
                self.world.known.unfrozen.extend(failed.unfrozen.clone());
                failed.lost_copies.extend(self.fall_back(helper));
                return Err(self.name_openers_of(failed));
            }
        };
        self.later.warnings.extend(executed.warnings);
        let failures = plan
            .failures
            .iter()
            .map(|error| self.name_openers(error.clone()))
            .collect();
        let mut report = Report {
            changes: plan.changes.clone(),
            notes: plan.notes.clone(),
            failures,
        };
        let thawed = if executed.thawed {
            reasons(plan, as_aid(&mut helper))
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
            Err(error) => self.later.warnings.push(format!(
                "it is done, but the kernel cannot be looked at any more: {error}"
            )),
        }
        Ok(report)
    }

    fn commit_and_execute(&mut self, plan: &Plan, aid: exec::Aid<'_>) -> exec::Done<Executed> {
        if plan.group == self.world.group && !plan.forced {
            let done = exec::execute(self.on(), &self.world, plan, None, aid);
            return self.distrust_maps(plan, done);
        }
        if let Some(broken) = check::violations(&plan.group).first() {
            return Err(Error::failed(format!(
                "refusing to write a configuration that breaks a rule: {broken}"
            ))
            .into());
        }
        self.refuse_last_space(plan)?;
        let group = self.settled(&plan.group);
        let on = exec::On {
            machine: self.env.machine,
            kernel: self.kernel.as_ref(),
        };
        let mut prepared = match meta::prepare(
            members_of(&mut self.members, &group, &self.silent),
            &group,
            self.next,
            &self.lineage,
        ) {
            Ok(prepared) => prepared,
            Err(error) => return Err(self.not_recorded(plan, error.into())),
        };
        self.later.warnings.extend(announce(
            self.env,
            &self.world.group,
            self.lineage.newest,
            prepared.stamp(),
        ));
        let done = exec::execute(on, &self.world, plan, Some(&mut prepared), aid);
        let mut outcome = prepared.outcome();
        self.took(&group, &outcome);
        self.later.warnings.append(&mut outcome.warnings);
        // A generation is never used twice, not even one whose commit failed: a disk may have it
        // all the same.
        let generation = self.next;
        self.next = generation.next().unwrap_or(generation);
        if outcome.committed {
            self.in_force(plan, group, generation, &outcome);
        }
        match self.distrust_maps(plan, done) {
            Err(mut failed) if outcome.unknown => {
                failed.error = self.take_back(failed.error);
                Err(self.not_recorded(plan, failed))
            }
            Err(failed) if !outcome.committed => Err(self.not_recorded(plan, failed)),
            done => done,
        }
    }

    /// What was committed is in force, also when a step after it failed (a failure is recorded
    /// before it is acted upon): what is converged to from here on must be what the disks say.
    fn in_force(
        &mut self,
        plan: &Plan,
        group: Group,
        generation: Generation,
        outcome: &CommitOutcome,
    ) {
        self.world.generation = generation;
        let here = |id: &DiskId| self.world.disks.contains_key(id);
        self.outdated = group
            .disks
            .iter()
            .map(|disk| disk.id)
            .filter(|id| !outcome.written.contains(id) && here(id))
            .collect();
        self.later.archive.push((group.clone(), generation));
        let before = std::mem::replace(&mut self.world.group, group);
        let lost_log = |change: &Change| change.event == Event::LogFailed;
        if plan.changes.iter().any(lost_log) {
            self.distrust_lost_logs(&before);
        }
        self.note_failures(plan);
        if !outcome.complete {
            self.confirm();
        }
    }

    /// Remembers what the disks hold now.
    fn took(&mut self, group: &Group, outcome: &CommitOutcome) {
        self.lineage
            .wrote(group, outcome.stamp, &outcome.written, &outcome.unsure);
        self.pending = (!outcome.committed && !outcome.unsure.is_empty())
            .then_some(outcome.stamp)
            .or(self.pending.filter(|_| !outcome.committed));
        if outcome.committed {
            self.world.known.testimony = Testimony::Newest;
            let meant = self.members.iter().map(|member| member.disk);
            let missed: Vec<DiskId> = meant
                .filter(|disk| group.disk(*disk).is_some() && !outcome.written.contains(disk))
                .collect();
            self.silent.extend(missed);
        }
    }

    /// A commit has not reached all disks that it was meant for, and looks like one that came to no
    /// end. The same once more, for those that it has reached.
    fn confirm(&mut self) {
        if let Err(error) = self.commit_again() {
            self.later.warnings.push(format!(
                "some disks have the new configuration and others do not: {error}"
            ));
        }
    }

    /// The configuration that is in force once more, under a new generation.
    fn commit_again(&mut self) -> Result<CommitOutcome> {
        let generation = self.next;
        self.next = generation.next().unwrap_or(generation);
        let group = self.world.group.clone();
        let members = members_of(&mut self.members, &group, &self.silent);
        let mut prepared = meta::prepare(members, &group, generation, &self.lineage)?;
        self.later.warnings.extend(announce(
            self.env,
            &group,
            self.lineage.newest,
            prepared.stamp(),
        ));
        if !prepared.flip().committed() {
            prepared.observe();
        }
        let outcome = prepared.outcome();
        self.took(&group, &outcome);
        if outcome.committed {
            self.world.generation = generation;
        }
        Ok(outcome)
    }

    /// The configuration with what its disks count for from now on.
    fn settled(&self, group: &Group) -> Group {
        let mut group = group.clone();
        let written =
            |id: DiskId| self.members.iter().any(|m| m.disk == id) && !self.outdated.contains(&id);
        quorum::settle(&self.world, &mut group, &written);
        group
    }

    /// Where a log was that has failed no other one is put.
    fn distrust_lost_logs(&mut self, before: &Group) {
        let now = |old: &Volume| {
            self.world
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
        self.world.known.damaged.extend(lost);
    }

    fn distrust_maps(
        &mut self,
        plan: &Plan,
        mut done: exec::Done<Executed>,
    ) -> exec::Done<Executed> {
        match &mut done {
            Ok(executed) => self.distrust_refused(executed),
            Err(failed) => {
                if let Cause::Map(map) = failed.cause {
                    failed.lost_copies = self.distrust_copies(plan, &map);
                }
            }
        }
        done
    }

    /// A map that the kernel cannot go on with is damaged inside. The volume goes on without it.
    fn distrust_refused(&mut self, executed: &Executed) {
        let refused = executed
            .refused
            .iter()
            .filter_map(DmUuid::volume)
            .filter_map(|id| self.world.group.volume(id)?.live_dco());
        let copies: Vec<Extent> = refused.flat_map(|dco| dco.copies.clone()).collect();
        self.world.known.damaged.extend(copies);
    }

    /// A copy of a map that could not be made equal to the first one, or the first one when it
    /// could not be read, is none. Those that were believed until now.
    fn distrust_copies(&mut self, plan: &Plan, lost: &Extent) -> Vec<Extent> {
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
        let unknown = |copy: &Extent| !self.world.known.damaged.contains(copy);
        let failed: Vec<Extent> = failed.into_iter().filter(unknown).collect();
        self.world.known.damaged.extend(&failed);
        failed
    }

    /// A failure that no disk of the group takes the record of is not acted upon: a leg that is
    /// left out without a record would count as equal later. What the mirrors hold comes back to
    /// the writers as errors, so that nobody waits for ever, and the mirrors know what is not equal
    /// until somebody can record it.
    fn not_recorded(&mut self, plan: &Plan, failed: Box<Failed>) -> Box<Failed> {
        if plan.window.commit == CommitPoint::First {
            let group = &self.world.group;
            self.later.warnings.extend(exec::fail_held(
                self.kernel.as_ref(),
                group.id,
                Some(group),
            ));
        }
        failed
    }

    /// A disk may have the new configuration, and cannot be asked. The kernel has what was before;
    /// so that nobody finds the other one later and goes on with it, what was before is committed
    /// once more, under a newer generation.
    fn take_back(&mut self, error: Error) -> Error {
        if self.write_again() {
            return Error::new(
                error.kind(),
                format!("{error}; what was before is written again, nothing was changed"),
            );
        }
        error.hint("the disks do not answer; when they do, 'breakoff recover' finds out and finishes or undoes it")
    }

    /// Writes the configuration that is in force once more, under a new generation; whether a disk
    /// has taken it.
    fn write_again(&mut self) -> bool {
        let Ok(outcome) = self.commit_again() else {
            return false;
        };
        self.later.warnings.extend(outcome.warnings);
        if outcome.committed {
            self.outdated.clear();
        }
        outcome.committed
    }

    /// Writes the configuration to disks that have an old copy of it, without being asked for any
    /// change. What passes for a disk that something lies on that runs, and is not what the live
    /// tables name, may be a copy of a dead one, and is left alone.
    pub fn heal(&mut self) {
        let all = self
            .world
            .group
            .volumes
            .iter()
            .map(|volume| volume.id)
            .collect();
        let mapped = self.world.numbers_beneath(&all);
        let world = &self.world;
        let is_mapped = |id: DiskId| {
            world
                .disks
                .get(&id)
                .is_some_and(|disk| mapped.contains(&disk.dev))
        };
        let is_it =
            |id: DiskId| is_mapped(id) || scan::is_idle(&world.group, world.devices.values(), id);
        self.members.retain(|member| is_it(member.disk));
        if !self.outdated.is_empty() && !self.write_again() {
            self.later.warnings.push(format!(
                "the configuration of group '{}' could not be written again",
                self.world.group.name
            ));
        }
    }

    /// Whether disks of the group are not among those that changes are written to.
    pub fn lacks_disks(&self) -> bool {
        self.world
            .group
            .disks
            .iter()
            .any(|disk| !self.world.disks.contains_key(&disk.id))
    }

    /// The journal and the administrator's hook are going to hear of everything that has failed.
    fn note_failures(&mut self, plan: &Plan) {
        let group = &self.world.group.name;
        for change in &plan.changes {
            let (Object::Volume(_, volume), Some(mut about)) = (&change.object, failure(change))
            else {
                continue;
            };
            let of = [("GROUP", group.to_string()), ("VOLUME", volume.to_string())];
            about.splice(0..0, of);
            self.later.notices.push(Notice {
                event: change.event.word(),
                message: change.to_string(),
                about,
            });
        }
    }

    /// Somebody who waits in our place for what is frozen and suspended, and resumes it should we
    /// die in between. A repair goes without: it waits for nothing.
    fn helper(&self, plan: &Plan) -> Option<Box<dyn Helper>> {
        let charges = exec::charges(&plan.window);
        if charges.is_empty()
            || charges.len() > helper::MOST
            || plan.window.commit == CommitPoint::First
        {
            return None;
        }
        let started = self.env.machine.helper(self.world.group.id, &charges);
        started
            .map_err(|error| {
                self.env.ui.warn(&format!(
                    "{error}: should this command be killed, run 'breakoff recover'"
                ))
            })
            .ok()
    }

    /// Waits for what a helper is still about after its window was given up. What hangs is left to
    /// it.
    fn come_back(&mut self, mut helper: Box<dyn Helper>) {
        if helper.wait(COMES_BACK).is_none() {
            return self.later.warnings.push(
                "a suspend still waits for a disk; when it answers, that is undone".to_owned(),
            );
        }
        let thawed = helper.begin(Act::Thaw).and_then(|()| {
            helper
                .wait(COMES_BACK)
                .unwrap_or(Err(Errno(libc::ETIMEDOUT)))
        });
        if thawed.is_err() {
            self.later
                .warnings
                .push("a filesystem may still be frozen; 'breakoff recover' thaws it".to_owned());
        }
    }

    /// The last of the metadata areas is for changes of state: a group that is full can still
    /// start, stop, fail and be cleaned up.
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
            .members
            .iter()
            .map(|m| m.label.geometry().area())
            .min()
            .filter(|_| things(&plan.group) > things(&self.world.group))
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
        let mut record = Plan::nothing(self.world.group.clone());
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
            self.later.warnings.push(format!(
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
                    let group = &self.world.group.name;
                    self.later.warnings.push(format!("group '{group}' could not be tidied up: {error}; 'breakoff recover' tries again"));
                    break;
                }
            }
        }
        busy.drain(..).for_each(|helper| self.come_back(helper));
        self.later.thaw = true;
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
        let done = self.commit_and_execute(&plan, as_aid(&mut helper));
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
        self.later.warnings.extend(done?.warnings);
        *last = Some(plan);
        Ok(true)
    }

    /// Adds who has a device open to a failure that says that it is.
    fn name_openers_of(&self, mut failed: Box<Failed>) -> Box<Failed> {
        if let Cause::InUse(uuid) = &failed.cause
            && let Some(device) = self.world.devices.get(uuid)
        {
            match self.env.machine.openers(device.dev).as_slice() {
                [] => {}
                who => failed.error = failed.error.because(who.join(", ")),
            }
        }
        failed
    }

    /// The same for what planning refuses.
    pub fn name_openers(&self, error: Error) -> Error {
        if error.kind() != Kind::InUse {
            return error;
        }
        let named = |d: &&DmDevice| error.object() == Some(d.name.as_str());
        if let Some(device) = self.world.devices.values().find(named) {
            return match self.env.machine.openers(device.dev).as_slice() {
                [] => error,
                who => error.because(who.join(", ")),
            };
        }
        let volumes = self.world.group.volumes.iter();
        let Some(volume) = error.object().and_then(|o| {
            volumes
                .clone()
                .find(|v| self.world.group.path(&v.name) == o)
        }) else {
            return error;
        };
        match self.openers(volume).as_slice() {
            [] => error,
            who => error.because(who.join(", ")),
        }
    }

    /// Devices that nothing needs any more and that other processes still have open, in words.
    pub fn held_open(&self) -> Vec<String> {
        let group = &self.world.group;
        let line = |d: &DmDevice| {
            let volume = d
                .uuid
                .volume()
                .and_then(|id| group.volume(id))
                .map(|v| format!(" of '{}'", group.path(&v.name)));
            let role = d
                .uuid
                .role()
                .map_or_else(|| "device".to_owned(), |role| role.to_string());
            let who = self.env.machine.openers(d.dev);
            let who = if who.is_empty() {
                "by a process that cannot be found".to_owned()
            } else {
                format!("({})", who.join(", "))
            };
            let of =
                volume.unwrap_or_else(|| format!(" of a former volume of group '{}'", group.name));
            format!(
                "device '{}', formerly {role}{of}, is held open {who}: nothing can be read or written through it, and it goes when it is closed",
                d.name
            )
        };
        self.world
            .devices
            .values()
            .filter(|d| d.waits_to_be_closed())
            .map(line)
            .collect()
    }

    fn openers(&self, volume: &Volume) -> Vec<String> {
        let uuid = DmUuid::new(self.world.group.id, volume.id, &Role::Volume);
        self.world
            .devices
            .get(&uuid)
            .map(|d| self.env.machine.openers(d.dev))
            .unwrap_or_default()
    }

    /// Lets other commands at the group. What is seen from here on may be out of date, and nothing
    /// may be changed any more.
    pub fn release(&mut self) {
        // In the middle of something nothing is known.
        if !std::thread::panicking() {
            self.note_what_was_seen();
        }
        self.lock = None;
        let later = std::mem::take(&mut self.later);
        later
            .warnings
            .iter()
            .for_each(|warning| self.env.ui.warn(warning));
        if later.thaw {
            self.env
                .machine
                .thaw_left_behind()
                .iter()
                .for_each(|told| self.env.ui.warn(told));
        }
        for notice in &later.notices {
            self.env
                .machine
                .notice(notice)
                .iter()
                .for_each(|wrong| self.env.ui.warn(wrong));
        }
        let Some(state) = self.env.machine.state_dir() else {
            return;
        };
        let command = self.env.machine.command_line();
        for (group, generation) in &later.archive {
            // A copy for people; without it nothing is lost but convenience.
            if let Some(warning) = Archive::below(&state).keep(group, *generation, &command) {
                self.env.ui.warn(&warning);
            }
        }
    }

    /// Tells this machine's witness which configuration is in force, unless that is not known.
    /// Before anybody else has the lock, and before anybody is told of what was done.
    fn note_what_was_seen(&mut self) {
        let (Some(_), Some(dir), Some(stamp)) = (
            &self.lock,
            self.env.machine.witness_dir(),
            self.lineage.newest,
        ) else {
            return;
        };
        let group = &self.world.group;
        if !may_be_ours(self.env, group) || quorum::refuse_minority(&self.world).is_err() {
            return;
        }
        let witness = Witness::at(dir);
        let noted = if group.destroyed {
            witness.forget(group.id)
        } else {
            witness.note(
                group.id,
                &group.name,
                Sighting {
                    newest: stamp,
                    next: self.pending,
                },
            )
        };
        if let Err(error) = noted {
            let without = "with half of its disks missing the group is not started by itself";
            self.later.warnings.push(format!(
                "what this machine has seen of group '{}' is not noted, so that {without}: {error}",
                group.name
            ));
        }
    }

    /// The size of the private areas of the group's disks, for further disks.
    pub fn area(&self) -> Option<Sectors> {
        self.members.iter().map(|m| m.label.geometry().area()).max()
    }

    /// How a disk would be divided if all of its device was used, when that is more than its label
    /// says.
    pub fn grown(&self, disk: DiskId) -> Option<meta::Geometry> {
        let member = self.members.iter().find(|m| m.disk == disk)?;
        member.label.geometry().grown(member.media.size())
    }

    /// The space for volumes that a disk has by its label.
    pub fn labelled_size(&self, disk: DiskId) -> Option<Sectors> {
        Some(
            self.members
                .iter()
                .find(|m| m.disk == disk)?
                .label
                .geometry()
                .data_size(),
        )
    }

    /// Writes a disk's label with more space for volumes, both superblocks, before any
    /// configuration says so: a configuration may have less space than the label, and never more,
    /// whichever superblock is read.
    pub fn relabel(&mut self, disk: DiskId, geometry: meta::Geometry) -> Result<()> {
        self.members
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
            self.later.warnings.extend(outcome.warnings);
        }
        Ok(())
    }

    /// How full the metadata areas are.
    pub fn fill(&self) -> Option<Fill> {
        let smallest = self
            .members
            .iter()
            .map(|m| m.label.geometry().area())
            .min()?;
        meta::fill(&self.world.group, smallest).ok()
    }

    /// Adds disks to the commits to come.
    pub fn add_members(&mut self, members: Vec<Member>, disks: BTreeMap<DiskId, PresentDisk>) {
        self.members.extend(members);
        self.world.disks.extend(disks);
    }

    /// Leaves a disk out of the commits to come.
    pub fn drop_member(&mut self, disk: DiskId) -> Option<Member> {
        let at = self.members.iter().position(|m| m.disk == disk)?;
        Some(self.members.remove(at))
    }

    /// All disks, for when the group is destroyed.
    pub fn into_members(mut self) -> Vec<Member> {
        std::mem::take(&mut self.members)
    }

    /// Disks whose copy of the configuration is older than the one in force.
    pub fn outdated(&self) -> &[DiskId] {
        &self.outdated
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        self.release();
    }
}

/// Whether this machine has the group, or could.
fn may_be_ours(env: Env<'_>, group: &Group) -> bool {
    env.machine
        .host_id()
        .is_ok_and(|here| group.host.is_none_or(|host| host == here))
}

/// Tells this machine's witness of a configuration that is about to be written; what an
/// administrator should know when it does not hear.
fn announce(env: Env<'_>, group: &Group, newest: Option<Stamp>, next: Stamp) -> Option<String> {
    let (dir, newest) = (env.machine.witness_dir()?, newest?);
    if !may_be_ours(env, group) {
        return None;
    }
    let noted = Witness::at(dir).expect(group.id, &group.name, newest, next);
    noted.err().map(|error| {
        format!(
            "what this machine saw of group '{}' before may be taken for the newest: {error}",
            group.name
        )
    })
}

/// Those of the disks that are in a configuration (one that was to be added by a command that
/// failed is not), without those that did not take what was written before, unless no other one is
/// left.
fn members_of<'m>(members: &'m mut [Member], group: &Group, silent: &[DiskId]) -> &'m mut [Member] {
    let rank = |member: &Member| match group.disk(member.disk) {
        Some(_) if !silent.contains(&member.disk) => 0,
        Some(_) => 1,
        None => 2,
    };
    members.sort_by_key(rank);
    let best = members.first().map_or(2, rank).min(1);
    let count = members.partition_point(|member| rank(member) <= best);
    &mut members[..count]
}

/// Why volumes are not frozen that the plan calls so.
fn reasons(plan: &Plan, aid: exec::Aid<'_>) -> BTreeMap<VolumeId, String> {
    let Some(helper) = aid.filter(|helper| !helper.is_busy()) else {
        return BTreeMap::new();
    };
    let suspended = plan.window.suspend.iter().map(|(uuid, _)| uuid).zip(0u16..);
    let named = suspended.filter(|(uuid, _)| plan.window.frozen.contains(uuid));
    named
        .filter_map(|(uuid, entry)| Some((uuid.volume()?, helper.reason(entry, COMES_BACK)?)))
        .collect()
}

fn as_aid<'h>(helper: &'h mut Option<Box<dyn Helper>>) -> exec::Aid<'h> {
    helper
        .as_mut()
        .map(|helper| &mut **helper as &mut dyn Helper)
}

/// Refuses a group that another machine has, or nobody; `word` is what it was called on the command
/// line.
pub fn refuse_foreign(group: &Group, word: &Name, here: HostId) -> Result<()> {
    let name = &group.name;
    match group.host {
        Some(host) if host == here => Ok(()),
        Some(other) => Err(Error::unsafe_(format!("group '{name}' is imported by another machine ({other})"))
            .on(name)
            .hint(format!("deport it there; if that machine is gone for good: 'breakoff group import {word} --force'"))),
        None => Err(Error::not_ready(format!("group '{name}' is deported")).on(name).hint(format!("'breakoff group import {word}'"))),
    }
}

/// What a notice of a failure says beside the volume; `None` of what is none.
fn failure(change: &Change) -> Option<Vec<(&'static str, String)>> {
    match &change.event {
        Event::PlexFailed(failed) => {
            let state = failed.state.map_or("removed", PlexState::word);
            let plex = [
                ("PLEX", failed.plex.to_string()),
                ("STATE", state.to_owned()),
            ];
            let places = [("DISK", &failed.disks), ("DEVICE", &failed.devices)];
            let places = places
                .into_iter()
                .filter_map(|(field, place)| Some((field, place.clone()?)));
            Some(plex.into_iter().chain(places).collect())
        }
        Event::PlexState {
            plex,
            state: PlexState::Failed,
            ..
        } => Some(vec![
            ("PLEX", plex.to_string()),
            ("STATE", PlexState::Failed.word().to_owned()),
        ]),
        Event::LogFailed => Some(Vec::new()),
        _ => None,
    }
}
