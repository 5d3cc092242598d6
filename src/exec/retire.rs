//! Devices that are no longer part of any stack: removed, or given an `error` table as long as
//! another process has them open.
//!
//! An open device cannot be removed and keeps its table: the process that has it open would write
//! into space that belongs to another device afterwards (K44). So the device gets a table through
//! which nothing can be read or written. The swap needs a suspend, which drains the I/O in flight;
//! waiting I/O ends with EIO at the resume. From then on the space may be allocated again. The
//! device keeps its UUID, loses its name, and is removed by the kernel when it is closed.
//!
//! A crash leaves a loaded table, a suspended device, or an `error` device with its old name. No
//! stack contains this device, so the next command retires it again.

use super::{On, ask};
use crate::error::{Error, Kind, Result};
use crate::model::{DevNo, DmName, DmUuid, Sectors};
use crate::plan::world::World;
use crate::sys::helper::{HelperDevice, Task};
use crate::sys::{Errno, Kernel, failpoint};
use crate::table::{DmDevice, ERROR, Links, SuspendMode, TargetLine};

/// A device with an `error` table that another process has open.
pub struct Open {
    uuid: DmUuid,
    name: DmName,
    dev: DevNo,
}

/// Removes a device, or gives it an `error` table and returns it if it is open. Its space may be
/// allocated again in both cases, and in no other.
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

/// Removes a device; `false` if another process has it open.
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

/// Replaces the table by an `error` target of the same size. This also resumes a mirror that was
/// suspended in a window and is held open: no device of ours stays suspended.
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

/// Suspends the device. I/O in flight may wait for a disk that hangs, so a helper does it.
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

/// After the commit, when no undo needs the device: renames it, so that its name is free at once,
/// and has the kernel remove it when it is closed. Returns the warning for the administrator.
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
        "device '{name}' could not be removed yet ({who}); nothing can be read or written through it any more, and it is removed when it is closed"
    ))
}
