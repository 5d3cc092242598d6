//! The device-mapper verbs, and a device within a window.

use super::Errno;
use crate::error::Result;
use crate::model::{DevNo, DmName, DmUuid};
use crate::table::{DmDevice, Links, SuspendMode, TargetLine};
use std::any::Any;
use std::time::Duration;

/// Waits for an event of any dm device.
pub trait Events {
    /// Arms the wait: events from here on count.
    fn arm(&mut self) -> Result<()>;
    /// Waits at most for `timeout` until an event has happened since the wait was armed. Returns
    /// whether one has.
    fn wait(&mut self, timeout: Duration) -> Result<bool>;
}

/// Work on devices that does not depend on other work.
pub type Work<'w> = Box<dyn FnOnce(&dyn Kernel) + Send + 'w>;

/// The device-mapper verbs. Unless stated otherwise, each makes one ioctl (or one and its udev
/// bookkeeping) and waits for no other process.
pub trait Kernel {
    /// All of breakoff's devices (of any group), with their live tables and the status of those
    /// mirrors that can be queried (K7, K18).
    fn devices(&self) -> Result<Vec<DmDevice>>;
    /// One of breakoff's devices; `None` if there is none with this UUID.
    fn device(&self, uuid: &DmUuid) -> Result<Option<DmDevice>>;
    /// The names of all dm devices on this machine.
    fn names(&self) -> Result<Vec<DmName>>;
    /// Whether the kernel has this target; modules are loaded on demand.
    fn has_target(&self, target: &str) -> Result<bool>;
    /// Does all of this, at the same time where that is possible: the kernel waits in many of its
    /// calls.
    fn side_by_side(&self, work: Vec<Work<'_>>);
    /// Creates a device without a table.
    fn create(&self, name: &DmName, uuid: &DmUuid) -> Result<DevNo>;
    /// Loads a table into the inactive slot of a device.
    fn load(&self, uuid: &DmUuid, table: &[TargetLine]) -> Result<()>;
    /// Clears the inactive table of a device.
    fn clear(&self, uuid: &DmUuid) -> Result<()>;
    /// Suspends a device outside a window (recovery only). Waits for I/O in flight, without a time
    /// limit: the suspend of a mirror must never be interrupted (K21).
    fn suspend(&self, uuid: &DmUuid, mode: SuspendMode) -> Result<()>;
    /// Makes the inactive table live, if there is one, and lets I/O flow.
    ///
    /// If the device is live and not suspended, the kernel suspends it on the way, with a flush and
    /// a freeze; kernels before 6.12 lose the inactive table when a signal interrupts that. Suspend
    /// it first.
    fn resume(&self, uuid: &DmUuid, links: Links) -> Result<()>;
    /// Removes a device; fails with `InUse` if it is open. Waits at most a second for an opener
    /// that is about to close it (udev's probes).
    fn remove(&self, uuid: &DmUuid) -> Result<()>;
    /// Has the kernel remove a device as soon as it is closed: at once, or by itself later.
    fn remove_when_closed(&self, uuid: &DmUuid) -> Result<()>;
    /// Gives a device another name.
    fn rename(&self, uuid: &DmUuid, to: &DmName) -> Result<()>;
    /// Sends a message to the target of a device. **Never to an `era` that is suspended**: it would
    /// block (K7).
    fn message(&self, uuid: &DmUuid, message: &str) -> Result<()>;
    /// The current era of the `era` on a device; refused while it is suspended (K7).
    fn era(&self, uuid: &DmUuid) -> Result<u32>;
    /// Prepares a device for a window. Everything is opened and allocated now, so that its verbs
    /// need neither later.
    fn arm(&self, uuid: &DmUuid, links: Links) -> Result<Box<dyn ArmedDevice>>;
    /// Takes the semaphore that is needed to wait for udev, before anything is changed: in the
    /// middle of a window there may be none left.
    ///
    /// A second call does nothing until [`Kernel::settle`], and without udev there is nothing to
    /// take. The verbs work without it too, but then their links are not waited for.
    fn take_cookie(&self) -> Result<()>;
    /// Waits until udev has processed all events caused so far, at most for `deadline`. Returns a
    /// text if it has not.
    fn settle(&self, deadline: Duration) -> Option<String>;
    /// Prepares this process for a window, until the returned value is dropped, and returns what
    /// failed, one text for each. Takes some milliseconds and allocates, so it is called before the
    /// first suspend.
    fn enter_window(&self) -> (Box<dyn Any>, Vec<String>);
}

/// The state of a mirror, all its segments together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MirrorHealth {
    /// Every region is in sync; every leg and the log are `A`.
    InSync,
    /// Every leg and the log are `A`; regions are still to be copied.
    Copying,
    /// A leg or the log has failed.
    Failed,
}

/// A device within a window. **Nothing here allocates, logs, opens, spawns or waits for another
/// process.**
pub trait ArmedDevice {
    /// Suspends the device; waits for I/O in flight. `Ok` if it is suspended already.
    fn suspend(&mut self, mode: SuspendMode) -> std::result::Result<(), Errno>;
    /// The state of the mirror that is its live table (K15). It must not be queried while another
    /// process resumes the device, which may become an `era` at that moment: its status may block
    /// (K7).
    fn health(&mut self) -> std::result::Result<MirrorHealth, Errno>;
    /// The open count of the device.
    fn open_count(&mut self) -> std::result::Result<u32, Errno>;
    /// Whether the device is open.
    fn is_open(&mut self) -> std::result::Result<bool, Errno> {
        Ok(self.open_count()? > 0)
    }
    /// Clears its inactive table, so that a resume keeps the live one.
    fn clear(&mut self) -> std::result::Result<(), Errno>;
    /// Resumes the device.
    fn resume(&mut self) -> std::result::Result<(), Errno>;
}
