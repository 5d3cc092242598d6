//! The helper of a window (see `sys::helper`): a process of its own that freezes and suspends for a command, and that clears up
//! when the command has died (kill -9) before it was through.
//!
//! A suspended volume holds everybody's I/O until somebody resumes it, and the next command may be hours away. The helper does what
//! `recover` does: it finds out whether the command was committed, and finishes or undoes it.

use super::{Env, Options, status};
use crate::error::Result;
use crate::model::{DmUuid, Name};
use crate::sys::critical::Critical;
use crate::sys::freeze::{Content, Frozen};
use crate::sys::helper::{Act, Charge, Requests};
use crate::sys::{ArmedDevice, Errno, Kernel, SuspendMode};
use std::time::Duration;

/// How long somebody else may hold the group's lock: whoever has it resumes what is suspended, too.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long udev may take for a device that is made live.
const UDEV: Duration = Duration::from_secs(15);

/// What an era is told (see the kernel's `Documentation/admin-guide/device-mapper/era.rst`).
const HOLD: &str = "take_metadata_snap";
const RELEASE: &str = "drop_metadata_snap";

/// A device that it may be asked about.
struct Entry {
    uuid: DmUuid,
    device: Box<dyn ArmedDevice>,
    mode: SuspendMode,
    content: Option<Content>,
    frozen: bool,
}

/// Answers requests on stdin until one says that it is not needed any more; the end of stdin says that the command is dead.
pub fn run(group: &Name, charges: &[Charge], env: Env<'_>) -> Result<()> {
    let kernel = env.machine.kernel()?;
    let mut entries = Vec::new();
    for Charge { uuid, mode, links } in charges {
        let dev = kernel.device(uuid)?.map(|device| device.dev).filter(|_| *mode == SuspendMode::Freeze);
        entries.push(Entry {
            uuid: uuid.clone(),
            device: kernel.arm(uuid, *links)?,
            mode: *mode,
            content: dev.map(Content::open),
            frozen: false,
        });
    }
    // Once something is suspended nothing may have to be read from it.
    let _critical = Critical::enter();
    let mut requests = Requests(std::io::stdin(), std::io::stdout());
    requests.answer(Ok(0));
    while let Some(act) = requests.read() {
        if act == Act::Done {
            return Ok(());
        }
        requests.answer(carry_out(act, &mut entries, kernel.as_ref()));
    }
    let options = Options { group: Some(group.clone()), timeout: Some(PATIENCE), ..Options::default() };
    let recovered = status::recover(&options, false, env).map(drop);
    thaw(&mut entries).ok();
    recovered
}

fn entry(entries: &mut [Entry], at: u8) -> std::result::Result<&mut Entry, Errno> {
    entries.get_mut(usize::from(at)).ok_or(Errno(libc::EINVAL))
}

fn carry_out(act: Act, entries: &mut [Entry], kernel: &dyn Kernel) -> std::result::Result<u32, Errno> {
    match act {
        Act::Hold(at) => hold(&entry(entries, at)?.uuid, kernel),
        Act::Release(at) => kernel.message(&entry(entries, at)?.uuid, RELEASE).map(|()| 0).map_err(|_| Errno(libc::EIO)),
        Act::Era(at) => kernel.era(&entry(entries, at)?.uuid).map_err(|_| Errno(libc::EIO)),
        other => change(other, entries, kernel).map(|()| 0),
    }
}

/// Has an era hold the state of its map, and begin a new one.
fn hold(uuid: &DmUuid, kernel: &dyn Kernel) -> std::result::Result<u32, Errno> {
    let held = kernel.message(uuid, HOLD).or_else(|_| {
        // Somebody died who had one held.
        kernel.message(uuid, RELEASE)?;
        kernel.message(uuid, HOLD)
    });
    held.and_then(|()| kernel.era(uuid)).map_err(|_| Errno(libc::EIO))
}

fn change(act: Act, entries: &mut [Entry], kernel: &dyn Kernel) -> std::result::Result<(), Errno> {
    match act {
        Act::WriteBack(at) => {
            entry(entries, at)?.content.iter().for_each(Content::write_back);
            Ok(())
        }
        Act::Freeze(at) => {
            let entry = entry(entries, at)?;
            if let Some(content) = &mut entry.content {
                entry.frozen = content.freeze()? == Frozen::Yes;
            }
            Ok(())
        }
        Act::Suspend(at) => {
            let entry = entry(entries, at)?;
            entry.device.suspend(if entry.frozen { SuspendMode::NoFlush } else { entry.mode })
        }
        Act::Resume(at) => entry(entries, at)?.device.resume(),
        Act::Activate(at) => {
            // Without a semaphore nobody waits for udev, and that is all.
            let _ = kernel.take_cookie();
            let resumed = entry(entries, at)?.device.resume();
            kernel.settle(UDEV);
            resumed
        }
        Act::Thaw => thaw(entries),
        Act::Hold(_) | Act::Release(_) | Act::Era(_) | Act::Done => Ok(()),
    }
}

/// All of them, whatever becomes of one.
fn thaw(entries: &mut [Entry]) -> std::result::Result<(), Errno> {
    let mut all = Ok(());
    for content in entries.iter_mut().filter_map(|entry| entry.content.as_mut()) {
        all = all.and(content.thaw());
    }
    all
}
