//! The helper of a window (see `sys::helper`): a separate process that freezes and suspends for a
//! command, and cleans up if the command dies (kill -9) before it is done.
//!
//! A suspended volume holds all I/O until it is resumed, and the next command may be hours away. So
//! the helper does what `recover` does: it finds out whether the command was committed, and
//! finishes or undoes it.

use super::{Env, Options, status};
use crate::error::{Error, Result};
use crate::model::{DevNo, DmUuid, GroupId, Name};
use crate::sys::content::Contents;
use crate::sys::helper::{HelperDevice, Task, Tasks};
use crate::sys::{ArmedDevice, Errno, Kernel};
use crate::table::SuspendMode;
use std::any::Any;
use std::io::{Read, Write};
use std::time::Duration;

/// How long to wait for the group's lock. Its holder also resumes what is suspended.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long to wait for udev when a device is made live.
const UDEV: Duration = Duration::from_secs(15);

/// The messages to an era target (see the kernel's
/// `Documentation/admin-guide/device-mapper/era.rst`).
const HOLD: &str = "take_metadata_snap";
const RELEASE: &str = "drop_metadata_snap";

/// A device that the command may refer to, by its index.
struct Entry {
    uuid: DmUuid,
    device: Box<dyn ArmedDevice>,
    mode: SuspendMode,
    /// Its index among the volumes to freeze, and its open count when the filesystems on top of it
    /// were last searched for. `None` for a device that is not frozen.
    volume: Option<(usize, u32)>,
    /// Whether a freeze of what rests on it was tried.
    tried: bool,
}

/// Searches for what rests on volumes and opens it, as `Machine::contents` does.
pub type FindContents<'m> = Box<dyn Fn(&dyn Fn() -> Vec<(DevNo, u32)>) -> Box<dyn Contents> + 'm>;

/// The answer to a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The number that was requested, or 0.
    Number(std::result::Result<u32, Errno>),
    /// A reason as text, if there is one.
    Text(Option<String>),
}

/// A helper at work: what it does for each task. It knows no pipe, so that tests can run it too.
pub struct Server<'m> {
    kernel: Box<dyn Kernel>,
    find: FindContents<'m>,
    entries: Vec<Entry>,
    contents: Box<dyn Contents>,
    /// Whether the first freeze has begun.
    begun: bool,
    /// Present from the first freeze or suspend on: this process must not have to read anything
    /// from the devices concerned.
    critical: Option<Box<dyn Any>>,
}

/// Answers requests until [`Task::Done`]. The end of the input without it means that the command is
/// dead; the helper then recovers the group.
pub fn run<R: Read, W: Write>(
    group: GroupId,
    devices: &[HelperDevice],
    mut tasks: Tasks<R, W>,
    env: Env<'_>,
) -> Result<()> {
    let find = Box::new(|volumes: &dyn Fn() -> _| env.machine.contents(volumes));
    let mut server = Server::new(env.machine.kernel()?, find, devices)?;
    tasks.answer(Ok(0));
    while let Some(task) = tasks.read() {
        if task == Task::Done {
            return Ok(());
        }
        match server.perform(task) {
            Answer::Number(number) => tasks.answer(number),
            Answer::Text(text) => tasks.answer_text(text.as_deref()),
        }
    }
    let options = Options {
        group: Some(Name::of_group(group)),
        timeout: Some(PATIENCE),
        ..Options::default()
    };
    let recovered = status::recover(&options, env).map(drop);
    server.contents.thaw().ok();
    recovered
}

/// Takes a metadata snapshot of an era, which begins a new era, and returns the current era.
fn hold(uuid: &DmUuid, kernel: &dyn Kernel) -> std::result::Result<u32, Errno> {
    let held = kernel.message(uuid, HOLD).or_else(|_| {
        // A process died that had taken one; drop it and try again.
        kernel.message(uuid, RELEASE)?;
        kernel.message(uuid, HOLD)
    });
    held.and_then(|()| kernel.era(uuid))
        .map_err(|_| Errno(libc::EIO))
}

/// Searches for what rests on the volumes to be frozen, and opens it.
fn look(
    kernel: &dyn Kernel,
    find: &FindContents<'_>,
    entries: &mut [Entry],
) -> Result<Box<dyn Contents>> {
    let uuids: Vec<DmUuid> = entries
        .iter()
        .filter(|entry| entry.volume.is_some())
        .map(|entry| entry.uuid.clone())
        .collect();
    let devices = uuids
        .iter()
        .map(|uuid| kernel.device(uuid))
        .collect::<Result<Vec<_>>>()?;
    let Some(devices) = devices.into_iter().collect::<Option<Vec<_>>>() else {
        return Err(Error::not_found("a volume that is to be frozen is gone"));
    };
    let again = |uuid: &DmUuid| {
        kernel
            .device(uuid)
            .ok()
            .flatten()
            .map(|device| device.open_count)
    };
    let count = || {
        devices
            .iter()
            .zip(&uuids)
            .map(|(device, uuid)| (device.dev, again(uuid).unwrap_or(device.open_count)))
            .collect()
    };
    let contents = find(&count);
    for entry in entries {
        if let Some((_, count)) = &mut entry.volume {
            *count = entry.device.open_count().unwrap_or(u32::MAX);
        }
    }
    Ok(contents)
}

impl<'m> Server<'m> {
    /// Opens all that the tasks on these devices need.
    pub fn new(
        kernel: Box<dyn Kernel>,
        find: FindContents<'m>,
        devices: &[HelperDevice],
    ) -> Result<Server<'m>> {
        let mut entries = Vec::new();
        let mut volumes = 0;
        for HelperDevice { uuid, mode, links } in devices {
            let volume = (*mode == SuspendMode::Freeze).then_some((volumes, 0));
            volumes += usize::from(volume.is_some());
            entries.push(Entry {
                uuid: uuid.clone(),
                device: kernel.arm(uuid, *links)?,
                mode: *mode,
                volume,
                tried: false,
            });
        }
        Ok(Server {
            contents: look(kernel.as_ref(), &find, &mut entries)?,
            kernel,
            find,
            entries,
            begun: false,
            critical: None,
        })
    }

    /// Does a task, which may block on a disk.
    pub fn perform(&mut self, task: Task) -> Answer {
        match task {
            // Queries to an era come before the first freeze or suspend.
            Task::Hold(_) | Task::Release(_) | Task::Era(_) | Task::Done => {}
            Task::WriteBack(_)
            | Task::Freeze(_)
            | Task::Suspend(_)
            | Task::Resume(_)
            | Task::Activate(_)
            | Task::Thaw
            | Task::Reason(_) => {
                let kernel = &self.kernel;
                self.critical.get_or_insert_with(|| kernel.enter_window().0);
            }
        }
        match task {
            Task::Reason(at) => Answer::Text(self.reason(at)),
            other => Answer::Number(self.carry_out(other)),
        }
    }

    fn look(&mut self) -> Result<()> {
        self.contents = look(self.kernel.as_ref(), &self.find, &mut self.entries)?;
        Ok(())
    }

    fn entry(&mut self, at: u16) -> std::result::Result<&mut Entry, Errno> {
        self.entries
            .get_mut(usize::from(at))
            .ok_or(Errno(libc::EINVAL))
    }

    fn uuid(&self, at: u16) -> std::result::Result<&DmUuid, Errno> {
        let entry = self.entries.get(usize::from(at));
        entry.map(|entry| &entry.uuid).ok_or(Errno(libc::EINVAL))
    }

    fn reason(&self, at: u16) -> Option<String> {
        let (volume, _) = self.entries.get(usize::from(at))?.volume?;
        self.contents.reason(volume)
    }

    fn carry_out(&mut self, act: Task) -> std::result::Result<u32, Errno> {
        match act {
            Task::Hold(at) => hold(self.uuid(at)?, self.kernel.as_ref()),
            Task::Release(at) => self
                .kernel
                .message(self.uuid(at)?, RELEASE)
                .map(|()| 0)
                .map_err(|_| Errno(libc::EIO)),
            Task::Era(at) => self
                .kernel
                .era(self.uuid(at)?)
                .map_err(|_| Errno(libc::EIO)),
            Task::Freeze(at) => self.freeze(at).map(|frozen| u32::from(!frozen)),
            Task::Thaw => self.contents.thaw().map(|held| u32::from(!held)),
            other => self.change(other).map(|()| 0),
        }
    }

    fn change(&mut self, act: Task) -> std::result::Result<(), Errno> {
        match act {
            Task::WriteBack(at) => {
                if let Some((volume, _)) = self.entry(at)?.volume {
                    self.contents.write_back(volume);
                }
                Ok(())
            }
            Task::Suspend(at) => {
                let left = self
                    .entry(at)?
                    .volume
                    .is_some_and(|(volume, _)| self.contents.is_left_to_suspend(volume));
                let entry = self.entry(at)?;
                entry.device.suspend(if entry.tried && !left {
                    SuspendMode::NoFlush
                } else {
                    entry.mode
                })
            }
            Task::Resume(at) => self.entry(at)?.device.resume(),
            Task::Activate(at) => {
                // Without a semaphore there is no wait for udev, and nothing else changes.
                let _ = self.kernel.take_cookie();
                let resumed = self.entry(at)?.device.resume();
                self.kernel.settle(UDEV);
                resumed
            }
            Task::Freeze(_)
            | Task::Thaw
            | Task::Reason(_)
            | Task::Hold(_)
            | Task::Release(_)
            | Task::Era(_)
            | Task::Done => Ok(()),
        }
    }

    /// Freezes what rests on a volume. Before the first freeze, repeats the search if a device was
    /// opened during the write-back. Returns whether everything was frozen.
    fn freeze(&mut self, at: u16) -> std::result::Result<bool, Errno> {
        if !std::mem::replace(&mut self.begun, true)
            && self.entries.iter_mut().any(Entry::was_opened)
        {
            self.look().map_err(|_| Errno(libc::EIO))?;
        }
        let Some((volume, _)) = self.entry(at)?.volume else {
            return Err(Errno(libc::EINVAL));
        };
        let frozen = self.contents.freeze(volume);
        self.entry(at)?.tried = true;
        Ok(frozen)
    }
}

impl Entry {
    fn was_opened(&mut self) -> bool {
        let Some((_, before)) = self.volume else {
            return false;
        };
        self.device.open_count().is_ok_and(|now| now > before)
    }
}
