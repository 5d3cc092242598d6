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
    worthwhile(steps, &activated_of)
}

/// The volume of a step that activates a device, unless its map has to be waited for.
fn activated_of(step: &Finish) -> Option<VolumeId> {
    match step {
        Finish::Activate {
            uuid,
            tracked: false,
            ..
        } => uuid.volume(),
        _ => None,
    }
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

/// Carries out steps that [`prepared`] has counted. Those of a volume end with its first error; one
/// of these is returned.
pub fn prepare(kernel: &dyn Kernel, world: &World, steps: &[Prepare]) -> Done<()> {
    let act = |kernel: &dyn Kernel, steps: &[&Prepare]| {
        let mut steps = steps.iter();
        steps.find_map(|step| {
            failpoint::step();
            one(kernel, world, step).err()
        })
    };
    let failed = side_by_side(kernel, steps, &volume_of, &act);
    failed.into_iter().flatten().next().map_or(Ok(()), Err)
}

/// Gives each volume's steps, in their order, to `act`, and returns what came of them.
fn side_by_side<'s, S: Sync, T: Default + Send + 's>(
    kernel: &dyn Kernel,
    steps: &'s [S],
    volume: &dyn Fn(&S) -> Option<VolumeId>,
    act: &(dyn Fn(&dyn Kernel, &[&'s S]) -> T + Sync),
) -> Vec<T> {
    let mut volumes: BTreeMap<Option<VolumeId>, Vec<&S>> = BTreeMap::new();
    for step in steps {
        volumes.entry(volume(step)).or_default().push(step);
    }
    let mut done: Vec<T> = volumes.iter().map(|_| T::default()).collect();
    let work = volumes.into_values().zip(&mut done).map(|(steps, done)| {
        Box::new(move |kernel: &dyn Kernel| *done = act(kernel, &steps)) as Work<'_>
    });
    kernel.side_by_side(work.collect());
    done
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

/// Carries out steps that [`finished`] has counted. Those of a volume end with its first error: what
/// lies on a device without a table is not made live. Nothing is done for the volumes in `down`, of
/// which an earlier step has failed. `leads_into` tells whether an old device still
/// maps the space of a new one. Returns what went wrong, with the volume.
pub fn finish(
    kernel: &dyn Kernel,
    steps: &[Finish],
    down: &BTreeSet<VolumeId>,
    leads_into: &dyn Fn(&DmUuid) -> bool,
) -> Vec<(Option<VolumeId>, Error)> {
    let devices = steps.iter().filter_map(|step| match step {
        Finish::Activate { uuid, .. } => Some(uuid),
        _ => None,
    });
    let led_to: BTreeSet<&DmUuid> = devices.filter(|uuid| leads_into(uuid)).collect();
    let act = |kernel: &dyn Kernel, steps: &[&Finish]| {
        steps.iter().find_map(|step| match step {
            Finish::Activate { uuid, .. } if uuid.volume().is_some_and(|id| down.contains(&id)) => {
                None
            }
            Finish::Activate { uuid, links, .. } => {
                failpoint::step();
                let activated = if led_to.contains(uuid) {
                    Err(not_activated(uuid))
                } else {
                    kernel.resume(uuid, *links)
                };
                Some((uuid.volume(), activated.err()?))
            }
            _ => None,
        })
    };
    let failed = side_by_side(kernel, steps, &activated_of, &act);
    failed.into_iter().flatten().collect()
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
