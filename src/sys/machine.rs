//! The machine that a command runs on, as one object. A fake stands in for it in tests, so that
//! whole commands can be crashed at every call. The real machine is `linux::Here`.

use super::content::{Contents, Standing};
use super::disk::{Access, BlockDevice, Counters, Found, Inspection, Reading, Stranger, Which};
use super::filesystem::{Filesystem, Program};
use super::helper::{Helper, HelperDevice};
use super::lock::Holder;
use super::nodes::Nodes;
use super::notice::Notice;
use super::process::{Interrupts, Service};
use super::{Events, Kernel, Media};
use crate::error::Result;
use crate::model::{BootId, DevNo, GroupId, HostId, Platform, Timestamp};
use crate::table::dco::Pace;
use std::any::Any;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Everything outside the process that a command uses.
pub trait Machine {
    /// Opens the device-mapper of this machine.
    fn kernel(&self) -> Result<Box<dyn Kernel>>;
    /// Opens a wait for device-mapper's events.
    fn events(&self) -> Result<Box<dyn Events>>;
    /// The devices that are, or may be, breakoff disks, each as far as `reading` reads it.
    fn members(&self, which: Which<'_>, reading: Reading<'_>) -> Result<Vec<Found>>;
    /// The whole disks of this machine, whatever is on them; none of them is read. Device-mapper's
    /// devices count only where they stand for disks (multipath).
    fn whole_disks(&self) -> Result<Vec<Stranger>>;
    /// Those of these disks that do not answer a read in time.
    fn silent(&self, disks: &BTreeSet<DevNo>) -> Vec<DevNo>;
    /// How long I/O is held at most when a disk keeps a window waiting.
    fn hold_timeout(&self) -> Duration;
    /// Finds a block device, without opening it.
    fn find(&self, device: &Path) -> Result<BlockDevice>;
    /// Inspects a block device, and finds the objections to using it.
    fn inspect(&self, device: &Path) -> Result<Inspection>;
    /// Whether two devices are known to be different ones, by the identifiers that the hardware or
    /// device-mapper gives them.
    fn are_distinct(&self, one: DevNo, other: DevNo) -> bool;
    /// Whether the kernel takes a device for one with heads that have to move. `None` if it does not
    /// say.
    fn is_rotational(&self, dev: DevNo) -> Option<bool>;
    /// Measures how fast disks are, with a few reads and flushes of each. `None` for a disk that does
    /// not answer within a short time, or is too small.
    fn paces(&self, disks: &[&Path]) -> Vec<Option<Pace>>;
    /// Opens a disk. A disk that does not answer in time is given up.
    fn media(&self, path: &Path, access: Access) -> Result<Box<dyn Media>>;
    /// Opens disks together to read what volumes have on them. Such reads keep no command waiting that
    /// writes to the same disks, and give way to other I/O where the kernel's scheduler can tell them
    /// apart. A label must not be read so: it may be being written.
    fn readers(&self, paths: &[&Path]) -> Vec<Result<Box<dyn Media>>> {
        paths
            .iter()
            .map(|path| self.media(path, Access::ReadOnly))
            .collect()
    }
    /// Opens disks together: they stay open until the last of them is dropped, and each is opened
    /// for writing with the first write to it.
    fn all_media(&self, paths: &[&Path]) -> Vec<Result<Box<dyn Media>>> {
        paths
            .iter()
            .map(|path| self.media(path, Access::ReadWrite))
            .collect()
    }
    /// Whether a path is, or is a link to, the block device with this number.
    fn leads_to(&self, path: &Path, number: DevNo) -> bool;
    /// The device nodes of this machine's volumes.
    fn nodes(&self) -> Box<dyn Nodes>;
    /// The reason why udev has not made the link of a volume.
    fn why_no_link(&self) -> String;
    /// The block size of the filesystem on a device, in bytes: the smallest pieces that it is read
    /// and written in. `None` if there is none, or none that is known.
    fn block_size(&self, device: &Path) -> Option<u32>;
    /// What lies on a device itself, by the mounts of this process or by its contents. `None` if
    /// that is nothing that is known.
    fn filesystem(&self, dev: DevNo, path: &Path) -> Option<Filesystem>;
    /// The parts of a range of a device, in sectors, that the filesystem which lies on it and is
    /// mounted in this directory does not use, by its own account. Fails if it does not tell. It may
    /// block as long as the device does.
    fn unused(&self, mounted: &Path, device: DevNo, range: &Range<u64>) -> Result<Vec<Range<u64>>>;
    /// Whether this machine has a program.
    fn has_program(&self, name: &str) -> bool;
    /// Runs a program to its end. Fails with what it said.
    fn run_program(&self, program: &Program) -> Result<()>;
    /// Makes the kernel forget the partitions of a disk whose partition table is gone.
    fn forget_partitions(&self, disk: &Path) -> Result<()>;
    /// Has udev process disks whose label has changed. Returns what went wrong, if anything did.
    fn announce(&self, disks: &[PathBuf]) -> Option<String>;
    /// What has a device open, one text for each opener.
    fn openers(&self, dev: DevNo) -> Vec<String>;
    /// Whether the root filesystem of this machine is on a device, or on something made of it: such
    /// a device cannot be closed before the machine is off.
    fn carries_root(&self, dev: DevNo) -> bool;
    /// What rests on volumes, for each of them. `volumes` returns the volumes with their open
    /// counts, and is called as often as these may have changed. All of them are split at one
    /// instant.
    fn standing(&self, volumes: &dyn Fn() -> Vec<(DevNo, u32)>) -> Vec<Standing>;
    /// Opens what rests on volumes, to be frozen. `volumes` is called as in [`Machine::standing`].
    fn contents(&self, volumes: &dyn Fn() -> Vec<(DevNo, u32)>) -> Box<dyn Contents>;
    /// Writes back the dirty data of a device and of the filesystem on it.
    fn write_back(&self, dev: DevNo, deadline: Duration) -> Result<()>;
    /// The blocks that were written in era `era` or later, according to the map of changes on a
    /// device.
    fn written_since(&self, map: DevNo, era: u32) -> Result<Vec<Range<u64>>>;
    /// Whether the beginning of a map of changes (its first `era::BLOCK` bytes) says that it is a
    /// map, and is undamaged.
    fn is_sound_map(&self, superblock: &[u8]) -> bool;
    /// How much has been written to a device, by the kernel's count, in sectors.
    fn writes(&self, device: DevNo) -> Result<u64>;
    /// What the kernel has counted for a device; `None` if there is no such device.
    fn counters(&self, device: DevNo) -> Option<Counters>;
    /// Whether discards can reach a device (K33).
    fn takes_discards(&self, device: DevNo) -> bool;
    /// The kernel and its distribution.
    fn platform(&self) -> Platform;
    /// Whether this kernel's `era` keeps what it has recorded when the machine goes down.
    fn era_survives_crash(&self) -> bool;
    /// Takes a lock, which is held for as long as the returned value lives. If it has to wait, it
    /// passes the holder to `on_wait`.
    fn lock(
        &self,
        key: &str,
        timeout: Option<Duration>,
        on_wait: &dyn Fn(&Holder),
    ) -> Result<Box<dyn Any>>;
    /// Whether anybody has a lock, without taking it. `None` if that cannot be told.
    fn is_locked(&self, key: &str) -> Option<bool>;
    /// Records interrupts from here on (see [`Interrupts`]).
    fn interrupts(&self) -> Box<dyn Interrupts>;
    /// Whether an interrupt has arrived since recording began.
    fn is_interrupted(&self) -> bool;
    /// What started this process, if it is long-running.
    fn service(&self) -> Box<dyn Service>;
    /// From here on nothing of this process has to be read from a disk again, and the kernel does
    /// not kill it when memory runs out. Returns what failed, one text for each.
    fn stay_resident(&self) -> Vec<String>;
    /// Reaps the programs that this process has started and does not wait for.
    fn reap(&self);
    /// The command line of this process.
    fn command_line(&self) -> String;
    /// Starts this program in the background.
    fn start_detached(&self, words: &[&str], environment: &[(&str, &str)]) -> Result<()>;
    /// Asks a process to end if it is a monitor that a command has started (see [`UNTIL_IDLE`]).
    /// Returns whether it is one; nothing else is disturbed.
    ///
    /// [`UNTIL_IDLE`]: crate::sys::process::UNTIL_IDLE
    fn relieve_monitor(&self, pid: u32) -> bool;
    /// Starts the helper of a window for these devices (see `app::helper`).
    fn helper(&self, group: GroupId, devices: &[HelperDevice]) -> Result<Box<dyn Helper>>;
    /// Whether anything is frozen that [`Machine::thaw_left_behind`] would thaw. Does not block.
    fn has_left_frozen(&self) -> bool;
    /// Thaws what a process has frozen but not thawed before it died. Returns a text for each.
    fn thaw_left_behind(&self) -> Vec<String>;
    /// Reports a failure. Returns what went wrong with the report.
    fn notice(&self, notice: &Notice) -> Vec<String>;
    /// The identity of this boot.
    fn boot_id(&self) -> Result<BootId>;
    /// The identity of this machine.
    fn host_id(&self) -> Result<HostId>;
    /// The current time.
    fn now(&self) -> Timestamp;
    /// The directory for what must survive a reboot, if there is one.
    fn state_dir(&self) -> Option<PathBuf>;
    /// A number that a disk has from its appearance until it goes; one that comes in its place has
    /// another. `None` if there is no such device.
    fn appearance(&self, dev: DevNo) -> Option<u64>;
    /// The directory for what has been done about disks that have appeared, if there is one. It does
    /// not outlive the boot.
    fn hotplug_dir(&self) -> Option<PathBuf>;
    /// The directory that records what this machine has seen of each group, if there is one.
    fn witness_dir(&self) -> Option<PathBuf>;
}
