//! The helper of a window in the process of the command itself: for a repair, which waits for
//! nothing, and where no process can be started. What waits for a disk then keeps the command
//! waiting, and nothing is frozen but by the suspends themselves.

use super::{On, window};
use crate::error::{Error, Kind, Result};
use crate::sys::helper::{Helper, HelperDevice, Task};
use crate::sys::{ArmedDevice, Errno};
use std::time::Duration;

/// How long writing back what is to be frozen may take with the group locked: a leg that fails now
/// has to wait for its repair.
const WRITE_BACK: Duration = Duration::from_secs(30);

/// See the module.
pub struct InProcess<'k> {
    on: On<'k>,
    devices: Vec<(HelperDevice, Box<dyn ArmedDevice>)>,
    done: Option<std::result::Result<u32, Errno>>,
}

impl<'k> InProcess<'k> {
    /// Opens and allocates all that it needs.
    pub fn new(on: On<'k>, devices: Vec<HelperDevice>) -> Result<InProcess<'k>> {
        let arm = |device: HelperDevice| {
            let armed = on.kernel.arm(&device.uuid, device.links)?;
            Ok((device, armed))
        };
        Ok(InProcess {
            on,
            devices: devices.into_iter().map(arm).collect::<Result<Vec<_>>>()?,
            done: None,
        })
    }

    fn entry(
        &mut self,
        at: u16,
    ) -> std::result::Result<&mut (HelperDevice, Box<dyn ArmedDevice>), Errno> {
        self.devices
            .get_mut(usize::from(at))
            .ok_or(Errno(libc::EINVAL))
    }

    fn carry_out(&mut self, task: Task) -> std::result::Result<u32, Errno> {
        match task {
            Task::WriteBack(at) => {
                let on = self.on;
                write_back(on, &self.entry(at)?.0)
            }
            // A suspend freezes what it can, which is not called frozen.
            Task::Freeze(_) => Ok(1),
            Task::Suspend(at) => {
                let (device, armed) = self.entry(at)?;
                armed.suspend(device.mode).map(|()| 0)
            }
            Task::Resume(at) | Task::Activate(at) => {
                window::resume(self.entry(at)?.1.as_mut()).map(|()| 0)
            }
            Task::Thaw | Task::Done => Ok(0),
            // Only a helper that may wait is asked these.
            Task::Hold(_) | Task::Release(_) | Task::Era(_) | Task::Reason(_) => {
                Err(Errno(libc::EOPNOTSUPP))
            }
        }
    }
}

impl Helper for InProcess<'_> {
    fn begin(&mut self, task: Task) -> std::result::Result<(), Errno> {
        self.done = Some(self.carry_out(task));
        Ok(())
    }

    fn wait(&mut self, _patience: Duration) -> Option<std::result::Result<u32, Errno>> {
        self.done.take()
    }

    fn is_busy(&self) -> bool {
        false
    }

    fn reason(&mut self, _entry: u16, _patience: Duration) -> Option<String> {
        None
    }
}

/// The window is shorter then, and a disk that hangs is found out before anything waits for it that
/// cannot be given up.
fn write_back(on: On<'_>, device: &HelperDevice) -> std::result::Result<u32, Errno> {
    let errno = |error: Error| {
        Errno(if error.kind() == Kind::TimedOut {
            libc::ETIMEDOUT
        } else {
            libc::EIO
        })
    };
    match on.kernel.device(&device.uuid).map_err(errno)? {
        Some(device) => on
            .machine
            .write_back(device.dev, WRITE_BACK)
            .map(|()| 0)
            .map_err(errno),
        None => Ok(0),
    }
}
