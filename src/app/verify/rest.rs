//! The definite look at a difference: at rest.
//!
//! A mirror writes to its legs at the same time, but not at the same instant, so what is being
//! written differs for a moment. Reading again tells most of these moments from a difference, but
//! cannot prove it: a disk may be late with a write by any time, and a busy block is written again
//! and again. So what differs each time is looked at once more while the mirror is suspended. The
//! suspend waits for all writes that it has passed on, and later ones wait until the resume, so that
//! the legs hold the same if they ever did. It neither flushes nor freezes, lasts as long as a read
//! of that range, and happens only for what has differed each time before.
//!
//! The kernel's counts of a device (`stat`, `inflight`) would not do in its place: device-mapper
//! begins to count a write when a mirror has taken it over, which may be after a leg has it.

use crate::app::session::Session;
use crate::error::{Error, Result};
use crate::exec;
use crate::sys::helper::{Helper, HelperDevice, Task};

/// Does something while a device is suspended. The group is locked, so that no other command finds
/// the suspended device and resumes it. Should this process die meanwhile, the helper resumes it.
pub fn at_rest<T>(
    session: &Session<'_>,
    device: &HelperDevice,
    look: impl FnOnce() -> T,
) -> Result<T> {
    let (machine, kernel) = (session.env.machine, session.kernel.as_ref());
    let uuid = &device.uuid;
    let cannot = |why: &str| {
        Error::device(format!(
            "writes cannot be held to tell a difference from what is being written: {why}"
        ))
        .hint("see the kernel's log, and try again")
    };
    let now = kernel.device(uuid)?;
    // A loaded table would become live with the resume.
    if now.is_none_or(|d| d.suspended || d.has_inactive) {
        return Err(cannot("the volume is being changed"));
    }
    let mut helper = machine.helper(session.world.group.id, std::slice::from_ref(device))?;
    let (_critical, missing) = kernel.enter_window();
    missing.iter().for_each(|why| session.env.ui.warn(why));
    // A helper that is busy resumes the device when it gets on, and finds that nobody waits for it.
    let undone = |helper: &dyn Helper| {
        if !helper.is_busy() {
            let _ = kernel.resume(uuid, device.links);
        }
    };
    if exec::ask(kernel, helper.as_mut(), Task::Suspend(0), uuid).is_err() {
        undone(helper.as_ref());
        return Err(cannot("a disk does not answer"));
    }
    let seen = look();
    if exec::ask(kernel, helper.as_mut(), Task::Resume(0), uuid).is_err() {
        undone(helper.as_ref());
        return Err(cannot("the volume was not resumed at once"));
    }
    Ok(seen)
}
