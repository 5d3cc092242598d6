//! Devices that nothing needs any more: removed, or as long as another process has them open turned
//! into `error`.
//!
//! An open device cannot be removed and keeps its table: whoever has it open would write into what
//! its space belongs to afterwards (K44). So it gets a table through which nothing can be read or
//! written. The swap needs a suspend, and that drains what is in flight; what waited is answered
//! with EIO by the resume. From then on the space may be somebody else's. The UUID stays with the
//! device, its name does not, and the kernel removes it when it is closed.
//!
//! A crash leaves a table that is loaded, a device that is suspended, or an `error` device that
//! still has its old name: the next command finds it as one that nothing needs, and comes by here
//! again.

use super::{On, ask};
use crate::error::{Error, Kind, Result};
use crate::model::{DevNo, DmName, DmUuid, Sectors};
use crate::plan::world::World;
use crate::sys::helper::{HelperDevice, Task};
use crate::sys::{Errno, Kernel, failpoint};
use crate::table::{DmDevice, ERROR, Links, SuspendMode, TargetLine};

/// A device that another process has open, and that leads nowhere any more.
pub struct Open {
    uuid: DmUuid,
    name: DmName,
    dev: DevNo,
}

/// Removes a device that nothing needs; what it is when that cannot be done yet. It is safe to give
/// its space away in both cases, and in no other.
pub fn retire(on: On<'_>, world: &World, uuid: &DmUuid) -> Result<Option<Open>> {
    let Some(device) = on.kernel.device(uuid)? else {
        return Ok(None);
    };
    if device.open_count == 0 && is_removed(on.kernel, uuid)? {
        return Ok(None);
    }
    if !device.is_retired() || device.suspended || device.has_inactive {
        lead_nowhere(on, world, &device)?;
    }
    if is_removed(on.kernel, uuid)? {
        return Ok(None);
    }
    Ok(Some(Open {
        uuid: uuid.clone(),
        name: device.name,
        dev: device.dev,
    }))
}

/// Whether it is gone, or another process has it open.
fn is_removed(kernel: &dyn Kernel, uuid: &DmUuid) -> Result<bool> {
    failpoint::step();
    match kernel.remove(uuid) {
        Err(error) if error.kind() == Kind::InUse => Ok(false),
        done => gone_is_well(done).map(|()| true),
    }
}

/// The kernel may have removed it meanwhile.
fn gone_is_well(done: Result<()>) -> Result<()> {
    match done {
        Err(error) if error.kind() == Kind::NotFound => Ok(()),
        other => other,
    }
}

/// Swaps the table for one of the same size that fails everything. A mirror that was suspended in a
/// window and is held open wakes up by this, too: nothing of ours stays suspended.
fn lead_nowhere(on: On<'_>, world: &World, device: &DmDevice) -> Result<()> {
    let DmDevice { uuid, .. } = device;
    failpoint::step();
    match device.table.last() {
        Some(last) => on
            .kernel
            .load(uuid, &[error_line(last.start.saturating_add(last.length))])?,
        None => return on.kernel.clear(uuid),
    }
    if !device.suspended {
        failpoint::step();
        suspend(on, world, uuid)?;
    }
    failpoint::step();
    on.kernel.resume(uuid, Links::Hidden)
}

fn error_line(length: Sectors) -> TargetLine {
    TargetLine {
        start: Sectors::ZERO,
        length,
        target: ERROR.to_owned(),
        params: String::new(),
    }
}

/// What is in flight may wait for a disk that hangs: a helper waits for it.
fn suspend(on: On<'_>, world: &World, uuid: &DmUuid) -> Result<()> {
    let device = HelperDevice {
        uuid: uuid.clone(),
        mode: SuspendMode::NoFlush,
        links: Links::Hidden,
    };
    let mut helper = on.machine.helper(world.group.id, &[device])?;
    ask(on.kernel, helper.as_mut(), Task::Suspend(0), uuid)
        .map(drop)
        .map_err(|errno| {
            let why = match errno {
                Some(Errno(number)) => std::io::Error::from_raw_os_error(number).to_string(),
                None => "a disk beneath it does not answer".to_owned(),
            };
            Error::device(format!(
                "device {uuid} is held open and cannot be taken out of use: {why}"
            ))
            .on(uuid)
        })
}

/// After the commit, when nothing can call it back: it goes by itself when it is closed, and its
/// name is free at once. What is told.
pub fn part(on: On<'_>, open: &Open) -> Result<String> {
    let Open { uuid, name, dev } = open;
    let who = on.machine.openers(*dev);
    let who = if who.is_empty() {
        "another process has it open".to_owned()
    } else {
        who.join(", ")
    };
    failpoint::step();
    gone_is_well(on.kernel.remove_when_closed(uuid))?;
    failpoint::step();
    gone_is_well(on.kernel.rename(uuid, &DmName::held(uuid)))?;
    Ok(format!(
        "device '{name}' could not be removed yet ({who}); nothing can be read or written through it any more, and it goes when it is closed"
    ))
}
