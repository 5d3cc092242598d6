//! Changes to groups as a whole and to their disks, and `disk init`.
//!
//! Each change is planned like one to volumes: the group is read, the devices that are to become
//! disks are looked at, and the plan says which labels are written and erased.

pub mod clone;
pub mod erase;
pub mod handover;
mod prospects;
pub mod show;
mod sides;

use super::scan::Scan;
use super::session::{Lock, Session, View, lock_group, refuse_foreign, refuse_renamed};
use super::{Changing, Env, Options, Outcome, Report, appeared, monitor, wait};
use crate::advice::{Advised, Hint};
use crate::error::{Error, Result};
use crate::exec::labels;
use crate::model::{Name, Sectors};
use crate::plan::groups::{self, Initialisation};
use crate::plan::request::GroupRequest;
use crate::plan::step::{Consent, Plan};
use crate::plan::{self, render};
use crate::sys::lock;
use sides::OneSide;
use std::path::PathBuf;

/// Plans and carries out a change to the group that `group` names, or of a disk of it.
pub fn change(
    options: &Options,
    group: &str,
    request: &GroupRequest,
    change: Changing<'_>,
    env: Env<'_>,
) -> Result<Outcome> {
    let agreed = agreed(options, group, request, env)?;
    let disks = takes_disks(request)
        .then(|| lock_group(lock::DISKS, options.timeout, env))
        .transpose()?;
    let (mut session, new_name) = Subject::of(request).open(options, group, env)?;
    session.look_for_all(&plan::group_needs(request))?;
    let plan = planned(&session, request)?;
    if !options.yes && plan.consent != agreed {
        return Err(refused(plan.consent));
    }
    if let GroupRequest::HandOver { to, start, .. } = request {
        handover::Given::refuse_full(&session, &plan, env)?;
        let given = handover::Given::of(&session.world, &plan, to, *start);
        let report = session.carry_out(&plan)?;
        drop(session);
        let done = given.received(report, new_name, options, change, env);
        drop(disks);
        return done.map(Outcome::Done);
    }
    let legs = wait::new_legs(&session.world, &plan.group);
    let name = session.world.group.name.clone();
    let mut report = session.carry_out(&plan)?;
    if matches!(request, GroupRequest::RestoreLabel { .. }) {
        session.confirm();
    }
    if disks.is_some() {
        appeared::note_labelled(&session.world, env);
    }
    drop((session, new_name, disks));
    if !legs.is_empty() {
        monitor::ensure(env);
        if !options.background {
            let filled = wait::for_legs(options, &name, &legs, &[], env)?;
            report.changes.extend(filled);
        }
    }
    Ok(Outcome::Done(report))
}

/// Plans a change, for `--dry-run`. Takes no lock and repairs nothing.
pub fn rehearse(group: &str, request: &GroupRequest, env: Env<'_>) -> Result<Outcome> {
    let (view, plan) = look_and_plan(group, request, env)?;
    Ok(Outcome::Planned(render::view(
        &view.world,
        &plan,
        env.ui.language(),
    )))
}

fn look_and_plan<'u>(
    group: &str,
    request: &GroupRequest,
    env: Env<'u>,
) -> Result<(View<'u>, Plan)> {
    let mut view = Subject::of(request).look(group, env)?;
    view.look_for_all(&plan::group_needs(request))?;
    let plan = planned(&view, request)?;
    Ok((view, plan))
}

fn planned(view: &View<'_>, request: &GroupRequest) -> Result<Plan> {
    groups::plan(&view.world, request).map_err(|refusal| view.name_openers(refusal))
}

/// Asks for the consent that the change needs, unless `-y` was given. No lock is held while the
/// question is open: a leg that fails then has to be taken out.
fn agreed(
    options: &Options,
    group: &str,
    request: &GroupRequest,
    env: Env<'_>,
) -> Result<Option<Consent>> {
    if options.yes || !may_need_consent(request) {
        return Ok(None);
    }
    let (_, plan) = look_and_plan(group, request, env)?;
    match plan.consent {
        Some(consent) if !env.ui.confirm(&consent.question) => Err(refused(Some(consent))),
        asked => Ok(asked),
    }
}

fn may_need_consent(request: &GroupRequest) -> bool {
    matches!(request, GroupRequest::Destroy | GroupRequest::Choose { .. })
}

/// The refusal of a plan without consent, or with consent to another one.
fn refused(consent: Option<Consent>) -> Error {
    consent.map_or_else(
        || Error::not_ready("the group was changed just now").hint("try again"),
        |consent| Error::from(consent.refusal),
    )
}

/// Whether the change may make disks of devices, or decides which group a disk is of.
fn takes_disks(request: &GroupRequest) -> bool {
    match request {
        GroupRequest::Create { .. }
        | GroupRequest::Add { .. }
        | GroupRequest::ReplaceDisk { .. }
        | GroupRequest::RestoreLabel { .. }
        | GroupRequest::Import { .. }
        | GroupRequest::HandOver { .. }
        | GroupRequest::Choose { .. } => true,
        GroupRequest::RemoveDisk(_)
        | GroupRequest::ResizeDisk(_)
        | GroupRequest::Destroy
        | GroupRequest::Deport => false,
    }
}

/// The group that a change is for.
enum Subject<'r> {
    /// One that is not there yet.
    New,
    /// One that may be another machine's, and may get this name.
    Imported(Option<&'r Name>),
    /// This side of one whose disks were used apart from each other.
    OneSide(&'r str),
    /// One of this machine's, which hands something over to the group of this name.
    Giver(&'r Name),
    /// One of this machine's.
    Own,
}

impl<'r> Subject<'r> {
    fn of(request: &'r GroupRequest) -> Subject<'r> {
        match request {
            GroupRequest::Create { .. } => Subject::New,
            GroupRequest::Import { name, .. } => Subject::Imported(name.as_ref()),
            GroupRequest::Choose { side } => Subject::OneSide(side),
            GroupRequest::HandOver { to, .. } => Subject::Giver(to.name()),
            GroupRequest::Add { .. }
            | GroupRequest::RemoveDisk(_)
            | GroupRequest::ReplaceDisk { .. }
            | GroupRequest::RestoreLabel { .. }
            | GroupRequest::ResizeDisk(_)
            | GroupRequest::Destroy
            | GroupRequest::Deport => Subject::Own,
        }
    }

    /// Reads the group, or sees what it would be, without a lock.
    fn look<'u>(&self, group: &str, env: Env<'u>) -> Result<View<'u>> {
        match self {
            Subject::New => View::of_new(Name::parse(group)?, env),
            Subject::Imported(_) => {
                // It becomes the group's host.
                env.machine.host_id()?;
                let id = Scan::new(env.machine)?.group_named(group)?;
                View::look(&Name::of_group(id), env)
            }
            Subject::OneSide(side) => OneSide::find(group, side, env)?.view(env),
            Subject::Own | Subject::Giver(_) => {
                let name = Name::parse(group)?;
                let view = View::look(&name, env)?;
                refuse_foreign(&view.world.group, &name, env.machine.host_id()?)?;
                Ok(view)
            }
        }
    }

    /// Opens the group for the change. One that gets another name is locked under that name too.
    fn open<'u>(
        &self,
        options: &Options,
        group: &str,
        env: Env<'u>,
    ) -> Result<(Session<'u>, Option<Lock>)> {
        let lock = |name: &Name| lock_group(name.as_str(), options.timeout, env);
        let (name, new_name) = match self {
            Subject::Own => {
                let mut session = Session::open(options, &Name::parse(group)?, env)?;
                session.repair_all()?;
                return Ok((session, None));
            }
            Subject::Giver(other) => {
                let name = Name::parse(group)?;
                // Two commands that hand over to each other's group take the locks in one order.
                let before = (*other < &name).then(|| lock(other)).transpose()?;
                let mut session = Session::open(options, &name, env)?;
                session.repair_all()?;
                let after = (*other > &name).then(|| lock(other)).transpose()?;
                return Ok((session, before.or(after)));
            }
            Subject::New => (Name::parse(group)?, None),
            Subject::Imported(new) => {
                let scan = Scan::new(env.machine)?;
                let old = scan.choose(scan.group_named(group)?)?.group.name;
                let new = new.filter(|new| **new != old);
                (old, new)
            }
            Subject::OneSide(side) => (OneSide::find(group, side, env)?.name().clone(), None),
        };
        let locked = lock(&name)?;
        let new_name = new_name.map(lock).transpose()?;
        let view = self.look(group, env)?;
        refuse_renamed(&view.world.group, &name)?;
        Ok((view.with_lock(locked), new_name))
    }
}

/// `disk init`: makes disks of devices, in no group.
pub fn init(
    options: &Options,
    devices: &[PathBuf],
    (force, area): (bool, Option<Sectors>),
    env: Env<'_>,
) -> Result<Outcome> {
    let _disks = lock_group(lock::DISKS, options.timeout, env)?;
    let plan = plan_init(devices, force, area, env)?;
    let mut changed = Vec::new();
    let labelled = labels::prepare(env.machine, &plan.labels, &mut changed).map(drop);
    if let Some(warning) = env.machine.announce(&changed) {
        env.ui.warn(&warning);
    }
    labelled?;
    Ok(Outcome::Done(Report {
        changes: plan.changes,
        ..Report::default()
    }))
}

/// Plans `disk init`, for `--dry-run`.
pub fn rehearse_init(
    devices: &[PathBuf],
    (force, area): (bool, Option<Sectors>),
    env: Env<'_>,
) -> Result<Outcome> {
    let plan = plan_init(devices, force, area, env)?;
    Ok(Outcome::Planned(render::initialisation(&plan)))
}

fn plan_init(
    devices: &[PathBuf],
    force: bool,
    area: Option<Sectors>,
    env: Env<'_>,
) -> Result<Initialisation> {
    let known = prospects::look(env.machine, devices.iter().map(PathBuf::as_path), area);
    Ok(groups::initialise(&known, devices, force)?)
}

/// Returns the group given by `-g`, or the only group of this machine that has such a disk.
pub fn group_of_disk(options: &Options, media: &Name, env: Env<'_>) -> Result<Name> {
    if let Some(name) = &options.group {
        return Ok(name.clone());
    }
    let scan = Scan::new(env.machine)?;
    let own = scan.own_groups(env.machine)?;
    let having: Vec<Name> = own
        .iter()
        .filter(|g| g.disks.iter().any(|d| d.media == *media))
        .map(|g| scan.word(g))
        .collect();
    match having.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(
            Error::not_found(format!("no group of this machine has a disk '{media}'"))
                .on(media)
                .hint(Hint::from(Advised::DiskList).and(" shows them all")),
        ),
        many => {
            let words: Vec<&str> = many.iter().map(Name::as_str).collect();
            Err(Error::usage(format!(
                "several groups have a disk '{media}': {}",
                words.join(", ")
            ))
            .hint("choose one with -g GROUP"))
        }
    }
}
