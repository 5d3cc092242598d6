//! Steps of many volumes that the kernel alone carries out: those of different volumes do not depend
//! on each other, and are carried out at the same time. The steps of one volume keep their order.
//!
//! The kernel waits in most of these calls until nothing looks at the old state any more. One after
//! the other, a thousand volumes take a thousand such waits.

use super::{Done, Failed, load, not_activated};
use crate::error::{Error, Result};
use crate::model::{DmUuid, VolumeId};
use crate::plan::step::{Finish, Prepare};
use crate::plan::world::World;
use crate::sys::kernel::Work;
use crate::sys::{Kernel, failpoint};
use crate::table::Links;
use std::collections::{BTreeMap, BTreeSet};

/// Fewer volumes are not worth a thread, and their steps are carried out in the order of the plan.
const LEAST: usize = 4;
/// So many volumes at once at most. Between them the command can be interrupted.
const MOST: usize = 64;

/// How many of the first steps are carried out by [`prepare`]; 0 if the first one is not.
pub fn prepared(steps: &[Prepare]) -> usize {
    worthwhile(steps, &volume_of)
}

/// The volume of a step that the kernel alone carries out.
fn volume_of(step: &Prepare) -> Option<VolumeId> {
    match step {
        Prepare::Create { uuid, .. }
        | Prepare::Load { uuid, .. }
        | Prepare::Activate(uuid)
        | Prepare::Remove(uuid) => uuid.volume(),
        _ => None,
    }
}

/// How many of the first steps are carried out by [`finish`]; 0 if the first one is not.
pub fn finished(steps: &[Finish]) -> usize {
    worthwhile(steps, &|step| match step {
        Finish::Activate {
            uuid,
            tracked: false,
            ..
        } => uuid.volume(),
        _ => None,
    })
}

/// The length of the longest beginning of at most [`MOST`] volumes, if it is of [`LEAST`].
fn worthwhile<S>(steps: &[S], volume: &dyn Fn(&S) -> Option<VolumeId>) -> usize {
    let mut volumes = BTreeSet::new();
    let fits = |step: &&S| {
        volume(step).is_some_and(|id| {
            volumes.insert(id);
            volumes.len() <= MOST
        })
    };
    let length = steps.iter().take_while(fits).count();
    if volumes.len() < LEAST { 0 } else { length }
}

/// Carries out steps that [`prepared`] has counted. All are tried; the first error counts.
pub fn prepare(kernel: &dyn Kernel, world: &World, steps: &[Prepare]) -> Done<()> {
    let mut volumes: BTreeMap<Option<VolumeId>, Vec<&Prepare>> = BTreeMap::new();
    for step in steps {
        volumes.entry(volume_of(step)).or_default().push(step);
    }
    let mut done: Vec<Done<()>> = volumes.iter().map(|_| Ok(())).collect();
    let work = volumes.into_values().zip(&mut done).map(|(steps, done)| {
        Box::new(move |kernel: &dyn Kernel| {
            *done = steps.iter().try_for_each(|step| {
                failpoint::step();
                one(kernel, world, step)
            });
        }) as Work<'_>
    });
    kernel.side_by_side(work.collect());
    done.into_iter().collect()
}

/// Carries out one such step.
pub fn one(kernel: &dyn Kernel, world: &World, step: &Prepare) -> Done<()> {
    let of = |uuid: &DmUuid, done: Result<()>| done.map_err(|error| Failed::on(uuid, error));
    match step {
        Prepare::Create { name, uuid } => of(uuid, kernel.create(name, uuid).map(drop)),
        Prepare::Load {
            uuid,
            volume,
            table,
            forgo,
        } => load(kernel, world, (uuid, *volume), table, *forgo),
        Prepare::Activate(uuid) => of(uuid, kernel.resume(uuid, Links::Hidden)),
        Prepare::Remove(uuid) => of(uuid, kernel.remove(uuid)),
        _ => Ok(()),
    }
}

/// Carries out steps that [`finished`] has counted. `leads_into` tells whether an old device still
/// maps the space of a new one. Returns what went wrong.
pub fn finish(
    kernel: &dyn Kernel,
    steps: &[Finish],
    leads_into: &dyn Fn(&DmUuid) -> bool,
) -> Vec<Error> {
    let devices = steps.iter().filter_map(|step| match step {
        Finish::Activate { uuid, links, .. } => Some((uuid, *links)),
        _ => None,
    });
    let (old, new): (Vec<_>, Vec<_>) = devices.partition(|(uuid, _)| leads_into(uuid));
    let mut errors: Vec<Error> = old.iter().map(|(uuid, _)| not_activated(uuid)).collect();
    let mut done: Vec<Result<()>> = new.iter().map(|_| Ok(())).collect();
    let work = new.iter().zip(&mut done).map(|((uuid, links), done)| {
        Box::new(move |kernel: &dyn Kernel| {
            failpoint::step();
            *done = kernel.resume(uuid, *links);
        }) as Work<'_>
    });
    kernel.side_by_side(work.collect());
    errors.extend(done.into_iter().filter_map(Result::err));
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{GroupId, Role};

    fn removed(volumes: usize) -> Vec<Prepare> {
        let group = GroupId::random();
        let uuid = |role: &Role, id| DmUuid::new(group, id, role);
        let ids = (0..volumes).map(|_| VolumeId::random());
        ids.flat_map(|id| [uuid(&Role::Volume, id), uuid(&Role::Sink, id)])
            .map(Prepare::Remove)
            .collect()
    }

    #[test]
    fn only_the_steps_of_many_volumes_are_carried_out_together() {
        assert_eq!(prepared(&removed(LEAST - 1)), 0);
        assert_eq!(prepared(&removed(LEAST)), 2 * LEAST);
        assert_eq!(prepared(&removed(MOST + 1)), 2 * MOST);
        // A step that needs a disk is carried out where it stands.
        let mut steps = removed(2 * LEAST);
        steps.insert(2 * LEAST + 2, Prepare::Blank(Vec::new()));
        assert_eq!(prepared(&steps), 2 * LEAST + 2);
        steps.insert(0, Prepare::Blank(Vec::new()));
        assert_eq!(prepared(&steps), 0);
    }
}
