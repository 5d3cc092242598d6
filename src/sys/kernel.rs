//! The device-mapper verbs, and a device within a window.

use super::Errno;
use crate::error::Result;
use crate::model::{DevNo, DmName, DmUuid};
use crate::table::{DmDevice, Links, SuspendMode, TargetLine};
use std::any::Any;
use std::time::Duration;

/// Waiting for something to happen to any dm device.
pub trait Events {
    /// From here on events count.
    fn arm(&mut self) -> Result<()>;
    /// Waits until an event has happened since it was armed, at most so long; whether one has.
    fn wait(&mut self, timeout: Duration) -> Result<bool>;
}

/// The device-mapper verbs. Each does one ioctl (or one and its udev bookkeeping) and waits for
/// nobody.
pub trait Kernel {
    /// All devices of ours (any group), with live tables and the status of mirrors that can be
    /// asked (K7, K18).
    fn devices(&self) -> Result<Vec<DmDevice>>;
    /// One device of ours; `None` when there is none.
    fn device(&self, uuid: &DmUuid) -> Result<Option<DmDevice>>;
    /// Every dm name on this machine.
    fn names(&self) -> Result<Vec<DmName>>;
    /// Whether the kernel has this target (modules are loaded on demand).
    fn has_target(&self, target: &str) -> Result<bool>;
    /// Creates an empty device.
    fn create(&self, name: &DmName, uuid: &DmUuid) -> Result<DevNo>;
    /// Loads the inactive table.
    fn load(&self, uuid: &DmUuid, table: &[TargetLine]) -> Result<()>;
    /// Forgets the inactive table.
    fn clear(&self, uuid: &DmUuid) -> Result<()>;
    /// Suspends outside a window (recovery only). Waits for I/O in flight, however long: a suspend
    /// of a mirror must never be interrupted.
    fn suspend(&self, uuid: &DmUuid, mode: SuspendMode) -> Result<()>;
    /// Makes the inactive table live, if there is one, and lets I/O flow.
    ///
    /// A live device that is not suspended is suspended by the kernel on the way, with a flush and
    /// a freeze; kernels before 6.12 lose the inactive table when a signal interrupts that. Suspend
    /// it first.
    fn resume(&self, uuid: &DmUuid, links: Links) -> Result<()>;
    /// Removes a device; fails with `InUse` when it is open. An opener that is about to go (udev's
    /// probes) is waited for, at most a second.
    fn remove(&self, uuid: &DmUuid) -> Result<()>;
    /// Has the kernel remove a device as soon as nobody has it open any more: at once, or by itself
    /// later.
    fn remove_when_closed(&self, uuid: &DmUuid) -> Result<()>;
    /// Gives a device another name.
    fn rename(&self, uuid: &DmUuid, to: &DmName) -> Result<()>;
    /// Sends a message to the target of a device. **Never to an `era` that is suspended** (K7).
    fn message(&self, uuid: &DmUuid, message: &str) -> Result<()>;
    /// The era that the `era` on a device is in; refused while it is suspended (K7).
    fn era(&self, uuid: &DmUuid) -> Result<u32>;
    /// Prepares a device for a window: opens and allocates now, so that its verbs need neither
    /// later.
    fn arm(&self, uuid: &DmUuid, links: Links) -> Result<Box<dyn ArmedDevice>>;
    /// Takes what is needed to wait for udev, before anything is changed: in the middle of a window
    /// it may not be there.
    ///
    /// A second call is a no-op until [`Kernel::settle`], and without udev there is nothing to
    /// take. The verbs work without it too; then nothing waits for their links. The default is for
    /// a kernel without udev.
    fn take_cookie(&self) -> Result<()> {
        Ok(())
    }
    /// Waits until udev has worked off all events caused so far, at most so long; says in words
    /// when it did not.
    fn settle(&self, deadline: Duration) -> Option<String>;
    /// Prepares this process for a window, until what is returned is dropped; what could not be
    /// had, in words. Takes some milliseconds and allocates: before the first suspend. The default
    /// is for a kernel that suspends nothing real.
    fn enter_window(&self) -> (Box<dyn Any>, Vec<String>) {
        (Box::new(()), Vec::new())
    }
}

/// How a mirror is, all its segments together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MirrorHealth {
    /// Every region is in sync, every leg and the log `A`.
    InSync,
    /// Every leg and the log are `A`; regions are still to be copied.
    Copying,
    /// A leg or the log has failed.
    Failed,
}

/// A device within a window. **Nothing here allocates, logs, opens, spawns or waits for another
/// process.**
pub trait ArmedDevice {
    /// Suspends it; waits for I/O in flight. `Ok` when it is suspended already.
    fn suspend(&mut self, mode: SuspendMode) -> std::result::Result<(), Errno>;
    /// How the mirror is that its live table is (K15). Not to be asked of a device that somebody
    /// else is resuming.
    fn health(&mut self) -> std::result::Result<MirrorHealth, Errno>;
    /// How often it is open.
    fn open_count(&mut self) -> std::result::Result<u32, Errno>;
    /// Whether somebody has it open.
    fn is_open(&mut self) -> std::result::Result<bool, Errno> {
        Ok(self.open_count()? > 0)
    }
    /// Forgets its inactive table, so that a resume keeps the live one.
    fn clear(&mut self) -> std::result::Result<(), Errno>;
    /// Resumes it.
    fn resume(&mut self) -> std::result::Result<(), Errno>;
}
