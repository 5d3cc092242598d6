//! A group as one command uses it. A [`View`] is read-only; a [`Session`] holds the group's lock
//! and is the only way to make a change ([`Session::carry_out`]).
//!
//! ```text
//! view      reading and observing          carry_out   a plan from its commit to its end
//! repair    repairs without a request      commit      the configuration on the disks
//! owners    who may use the nodes of volumes
//! closing   what happens when the lock is released
//! ```

mod anew;
mod carry_out;
mod closing;
mod commit;
mod owners;
mod repair;
mod view;

pub use anew::divided;
pub use owners::Names;
pub use view::{Kept, View, refuse_foreign};

use super::scan::Scan;
use super::{Env, Options};
use crate::error::{Error, Result};
use crate::meta::Member;
use crate::model::{DiskId, Group, GroupId, Name};
use crate::plan::world::PresentDisk;
use crate::sys::lock;
use closing::{Closing, Seen};
use std::any::Any;
use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

/// A locked group, read and observed under its lock: no other command changes it meanwhile.
pub struct Session<'u> {
    // Must be dropped first: it releases the lock, so that other commands do not wait while the
    // rest is closed.
    closing: Closing<'u>,
    view: View<'u>,
}

impl<'u> Deref for Session<'u> {
    type Target = View<'u>;

    fn deref(&self) -> &View<'u> {
        &self.view
    }
}

impl DerefMut for Session<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.view
    }
}

/// A lock that this command holds, for as long as the value lives.
pub struct Lock {
    _held: Box<dyn Any>,
}

/// Takes the lock of a group. If that takes a while, a note names the lock holder.
pub fn lock_group(name: &str, timeout: Option<Duration>, env: Env<'_>) -> Result<Lock> {
    lock_telling(name, timeout, env, &|holder| {
        env.ui.note(&format!(
            "waiting for the lock of '{name}', held by {holder}"
        ));
    })
}

/// Takes a lock. If that takes a while, `on_wait` is called once with the lock holder.
pub fn lock_telling(
    name: &str,
    timeout: Option<Duration>,
    env: Env<'_>,
    on_wait: &dyn Fn(&lock::Holder),
) -> Result<Lock> {
    let held = env.machine.lock(name, timeout, on_wait)?;
    Ok(Lock { _held: held })
}

/// Resolves a group's name or UUID from the command line to its name, since locks go by name.
fn name_behind(word: &Name, env: Env<'_>) -> Result<Name> {
    if GroupId::parse(word.as_str()).is_none() {
        return Ok(word.clone());
    }
    let scan = Scan::for_group(env.machine, word.as_str())?;
    Ok(scan
        .name_of(scan.group_named(word.as_str())?)
        .unwrap_or_else(|| word.clone()))
}

/// Refuses a group that was renamed while its lock was waited for.
pub fn refuse_renamed(group: &Group, locked: &Name) -> Result<()> {
    if group.name == *locked {
        return Ok(());
    }
    Err(
        Error::not_ready(format!("group '{locked}' was renamed just now"))
            .on(locked)
            .hint("try again"),
    )
}

impl<'u> Session<'u> {
    /// Opens a group for changes: takes its lock, reads it and observes the kernel. Refuses a group
    /// that this machine has not imported.
    pub fn open(options: &Options, name: &Name, env: Env<'u>) -> Result<Session<'u>> {
        let locked = name_behind(name, env)?;
        let lock = lock_group(locked.as_str(), options.timeout, env)?;
        let view = View::look(name, env)?;
        refuse_foreign(&view.world.group, name, env.machine.host_id()?)?;
        refuse_renamed(&view.world.group, &locked)?;
        Ok(Session::of_own(view, lock))
    }

    /// Opens a running group for repairs and reads only its own disks, as the kernel's tables name
    /// them. Other devices in sight, such as a copy of one of its disks or a disk that hangs, must
    /// not delay the group's held writes.
    ///
    /// `known` is its name as far as the caller knows it, which saves a look at the disks.
    pub fn open_running(
        options: &Options,
        id: GroupId,
        known: Option<&Name>,
        env: Env<'u>,
    ) -> Result<Session<'u>> {
        let name = match known {
            Some(name) => name.clone(),
            None => {
                let scan = Scan::of_running(env.machine, id)?;
                scan.choose_running(id)?.group.name
            }
        };
        let lock = lock_group(name.as_str(), options.timeout, env)?;
        let view = View::look_running(id, env)?;
        refuse_foreign(&view.world.group, &name, env.machine.host_id()?)?;
        refuse_renamed(&view.world.group, &name)?;
        Ok(Session::of_own(view, lock))
    }

    /// Opens a group for repairs as it was kept, if nothing was written to its disks since; nothing
    /// else is read. `None` if that is not certain.
    pub fn reopen(options: &Options, mut kept: Kept, env: Env<'u>) -> Result<Option<Session<'u>>> {
        let lock = lock_group(kept.group().name.as_str(), options.timeout, env)?;
        if !kept.is_current() {
            return Ok(None);
        }
        Ok(Some(Session::of_own(kept.view(env)?, lock)))
    }

    /// A group that this machine has imported: what is in force of it has been seen by now.
    fn of_own(view: View<'u>, lock: Lock) -> Session<'u> {
        let mut session = view.with_lock(lock);
        session.note_what_was_seen();
        session
    }

    /// Releases the lock and keeps the view, which may be out of date from here on.
    pub fn release(self) -> View<'u> {
        drop(self.closing);
        self.view
    }

    /// Updates what the witness will record of the group.
    fn note_what_was_seen(&mut self) {
        self.closing.seen = Seen::of(&self.view);
    }

    /// Adds disks to later commits.
    pub fn add_members(&mut self, members: Vec<Member>, disks: BTreeMap<DiskId, PresentDisk>) {
        self.view.copies.members.extend(members);
        self.view.world.disks.extend(disks);
        self.note_what_was_seen();
    }
}
