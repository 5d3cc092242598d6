//! `group split`, `group move` and `group join`: what happens in the group that receives.

use super::super::session::{Lock, Session, View, lock_group, refuse_foreign};
use super::super::{Changing, Env, Options, Outcome, Report, appeared};
use crate::error::{Error, Result};
use crate::meta;
use crate::model::{Group, Name};
use crate::plan::handover::closure;
use crate::plan::quorum;
use crate::plan::request::{Receiver, Request, Selection, What};
use crate::plan::step::Plan;
use crate::plan::world::World;

/// What has to go together with these volumes and disks of a group.
pub fn together(group: &Name, what: &What, env: Env<'_>) -> Result<Outcome> {
    let view = View::look(group, env)?;
    Ok(Outcome::Together(closure(&view.world, what)?))
}

impl View<'_> {
    /// Reads the group that is to receive what this one hands over.
    pub fn learn_receiver(&mut self, name: &Name) -> Result<()> {
        let view = View::look(name, self.env)?;
        refuse_foreign(&view.world.group, name, self.env.machine.host_id()?)?;
        quorum::refuse_minority(&view.world)?;
        self.world.evidence.receiver = Some(view.world.group.clone());
        Ok(())
    }
}

/// A handover that is about to be recorded.
pub(super) struct Given {
    /// The group that receives.
    to: Name,
    /// The volumes to be started there.
    start: Vec<Name>,
}

impl Given {
    /// The handover that a plan records. With `start`, the volumes that run now are to run again.
    pub(super) fn of(world: &World, plan: &Plan, to: &Receiver, start: bool) -> Given {
        let runs = |name: &Name| {
            let volume = world.group.volume_named(name);
            volume.is_ok_and(|volume| volume.running == Some(world.boot))
        };
        let gone = |group: &Group, name: &Name| group.volume_named(name).is_err();
        let volumes = world.group.volumes.iter().map(|volume| &volume.name);
        let going = volumes.filter(|name| gone(&plan.group, name));
        Given {
            to: to.name().clone(),
            start: going.filter(|name| start && runs(name)).cloned().collect(),
        }
    }

    /// Refuses a handover that leaves the other group with more than its labels can hold.
    pub(super) fn refuse_full(session: &Session<'_>, plan: &Plan, env: Env<'_>) -> Result<()> {
        let receiver = session.world.evidence.receiver.as_ref();
        let given = plan.group.handovers.last();
        let (Some(receiver), Some(given)) = (receiver, given) else {
            return Ok(());
        };
        let (mut group, name) = (receiver.clone(), &receiver.name);
        given.received_by(&mut group).map_err(Error::failed)?;
        let other = View::look(name, env)?;
        let areas = [session.smallest_area(), other.smallest_area()];
        let Some(smallest) = areas.into_iter().flatten().min() else {
            return Ok(());
        };
        let fill = meta::fill(&group, smallest)?;
        if fill.used <= fill.capacity {
            return Ok(());
        }
        Err(Error::no_space(format!(
            "the configuration of group '{name}' would need {} bytes, of {} that the private areas of the disks hold",
            fill.used, fill.capacity
        ))
        .on(name)
        .hint("move fewer volumes, or remove some"))
    }

    /// Has the other group write the labels of its new disks and starts its new volumes. The handover is
    /// recorded: what cannot be done now is done by the next command.
    pub(super) fn received(
        self,
        mut report: Report,
        lock: Option<Lock>,
        options: &Options,
        change: Changing<'_>,
        env: Env<'_>,
    ) -> Result<Report> {
        let to = &self.to;
        let lock = match lock {
            Some(lock) => lock,
            None => lock_group(to.as_str(), options.timeout, env)?,
        };
        let mut session: Session<'_> = View::look(to, env)?.with_lock(lock);
        if let Err(error) = session.receive() {
            let told = format!(
                "what was handed over to group '{to}' is not on all its labels yet, which the next change of that group mends"
            );
            report.failures.push(error.context(told));
        }
        // That they have other labels is no appearance, after which their volumes would be started.
        appeared::note_labelled(&session.world, env);
        drop(session);
        if self.start.is_empty() {
            return Ok(report);
        }
        let options = Options {
            group: Some(to.clone()),
            ..options.clone()
        };
        let request = Request::Start {
            volumes: Selection::Each(self.start),
            force: false,
        };
        report.add(change(&options, &request, env), &format!("group '{to}'"));
        Ok(report)
    }
}
