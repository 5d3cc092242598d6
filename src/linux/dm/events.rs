//! Waiting for an event of any dm device: with one descriptor for all of them, and no polling
//! interval.

use crate::error::{Error, Result};
use crate::linux::dm::ioctl::CONTROL;
use crate::sys::Events;
use devicemapper::DM;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::os::fd::AsFd;
use std::time::Duration;

/// The first version of the driver whose control node can be polled (Linux 4.13).
const POLL_SINCE: (u32, u32) = (4, 37);

/// Wakes on dm events: a leg fails, a mirror is in sync, a table is swapped.
///
/// Arm, look at the devices, wait: an event between arming and waiting ends the wait at once, so
/// none is lost. An event does not say which device it is about; the caller looks at all of them
/// again.
pub struct EventWait(DM);

impl EventWait {
    /// Opens the control node and arms the wait. Fails with `Unsupported` if the kernel is too old.
    pub fn open() -> Result<EventWait> {
        let dm = DM::new().map_err(|err| {
            Error::unsupported(format!("cannot open '{CONTROL}': {err}")).on(CONTROL)
        })?;
        let version = dm.version().map_err(|err| {
            Error::device(format!("cannot ask device-mapper for its version: {err}"))
        })?;
        if version < (POLL_SINCE.0, POLL_SINCE.1, 0) {
            let message = format!(
                "this kernel's device-mapper ({}.{}) has no event polling",
                version.0, version.1
            );
            return Err(Error::unsupported(message).hint("Linux 4.13 is the first that has it"));
        }
        let mut events = EventWait(dm);
        events.arm()?;
        Ok(events)
    }
}

impl Events for EventWait {
    fn arm(&mut self) -> Result<()> {
        self.0.arm_poll().map(drop).map_err(|err| {
            Error::device(format!(
                "cannot arm the wait for device-mapper events: {err}"
            ))
        })
    }

    /// Also `false` if a signal has arrived, so that the caller can find out why.
    fn wait(&mut self, timeout: Duration) -> Result<bool> {
        // Rounded up, so that a short timeout is not a busy loop.
        let millis = timeout.as_nanos().div_ceil(1_000_000);
        let timeout = i32::try_from(millis)
            .ok()
            .and_then(|millis| PollTimeout::try_from(millis).ok())
            .unwrap_or(PollTimeout::MAX);
        let mut control = [PollFd::new(self.0.file().as_fd(), PollFlags::POLLIN)];
        match poll(&mut control, timeout) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::EINTR) => Ok(false),
            Err(err) => Err(Error::device(format!(
                "cannot wait for device-mapper events: {err}"
            ))),
        }
    }
}
