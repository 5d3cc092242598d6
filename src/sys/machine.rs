//! The machine that a command runs on, as one object: what a fake stands in for, so that whole
//! commands can be crashed at every call. This machine is `linux::Here`.

use super::content::{Contents, Standing};
use super::disk::{Access, BlockDevice, Found, Inspection, Reading, Which};
use super::helper::{Helper, HelperDevice};
use super::lock::Holder;
use super::notice::Notice;
use super::process::{Interrupts, Service};
use super::{Events, Kernel, Media};
use crate::error::Result;
use crate::model::{BootId, DevNo, GroupId, HostId, Timestamp};
use std::any::Any;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Everything outside that a command touches.
pub trait Machine {
    /// Device-mapper.
    fn kernel(&self) -> Result<Box<dyn Kernel>>;
    /// Device-mapper's events.
    fn events(&self) -> Result<Box<dyn Events>>;
    /// The devices that are, or may be, disks of ours, as far as `reading` reads each.
    fn members(&self, which: Which<'_>, reading: Reading<'_>) -> Result<Vec<Found>>;
    /// Those of these disks that do not answer a read in time.
    fn silent(&self, disks: &BTreeSet<DevNo>) -> Vec<DevNo>;
    /// How long I/O is held at the most when a disk keeps a window waiting.
    fn hold_timeout(&self) -> Duration;
    /// A device.
    fn find(&self, device: &Path) -> Result<BlockDevice>;
    /// A device, and what speaks against using it.
    fn inspect(&self, device: &Path) -> Result<Inspection>;
    /// Whether two devices are known to be different ones, by the identifiers that the hardware or
    /// device-mapper gives them.
    fn are_distinct(&self, one: DevNo, other: DevNo) -> bool;
    /// Opens a disk. One that does not answer in time is given up.
    fn media(&self, path: &Path, access: Access) -> Result<Box<dyn Media>>;
    /// Opens disks together, as they are open until the last of them is dropped; to be written to
    /// with the first write to each.
    fn all_media(&self, paths: &[&Path]) -> Vec<Result<Box<dyn Media>>> {
        paths
            .iter()
            .map(|path| self.media(path, Access::ReadWrite))
            .collect()
    }
    /// Whether a path is, or is a link to, the block device with this number.
    fn leads_to(&self, path: &Path, number: DevNo) -> bool;
    /// Why udev has not made the link of a volume.
    fn why_no_link(&self) -> String;
    /// The smallest pieces that the filesystem on a device is read and written in, in bytes, if
    /// there is one that is known.
    fn block_size(&self, device: &Path) -> Option<u32>;
    /// Has the kernel forget the partitions of a disk whose partition table is gone.
    fn forget_partitions(&self, disk: &Path) -> Result<()>;
    /// Has udev look at disks whose label has changed; what went wrong.
    fn announce(&self, disks: &[PathBuf]) -> Option<String>;
    /// Who has a device open, in words.
    fn openers(&self, dev: DevNo) -> Vec<String>;
    /// What rests on volumes, for each: those are asked for, with their openers, as often as that
    /// may have changed. All of them are split at one instant.
    fn standing(&self, volumes: &dyn Fn() -> Vec<(DevNo, u32)>) -> Vec<Standing>;
    /// What rests on volumes, opened to be frozen; they are asked for like those of
    /// [`Machine::standing`].
    fn contents(&self, volumes: &dyn Fn() -> Vec<(DevNo, u32)>) -> Box<dyn Contents>;
    /// Writes back what is in memory of a device and of the filesystem on it.
    fn write_back(&self, dev: DevNo, deadline: Duration) -> Result<()>;
    /// The blocks that the map of changes on a device says were written in an era or later.
    fn written_since(&self, map: DevNo, era: u32) -> Result<Vec<Range<u64>>>;
    /// Whether the beginning of a map of changes (so much as `era::BLOCK`) says that it is one, and
    /// is whole.
    fn is_sound_map(&self, superblock: &[u8]) -> bool;
    /// How much has been written to a device, by the kernel's count.
    fn writes(&self, device: DevNo) -> Result<u64>;
    /// Whether discards can reach a device.
    fn takes_discards(&self, device: DevNo) -> bool;
    /// Whether this kernel's `era` keeps what it has noted when the machine goes down.
    fn era_survives_crash(&self) -> bool;
    /// Takes a lock, for as long as what is returned lives.
    fn lock(
        &self,
        key: &str,
        timeout: Option<Duration>,
        on_wait: &dyn Fn(&Holder),
    ) -> Result<Box<dyn Any>>;
    /// Notes interrupts from here on (see [`Interrupts`]).
    fn interrupts(&self) -> Box<dyn Interrupts>;
    /// Whether an interrupt has arrived since somebody began to note them.
    fn is_interrupted(&self) -> bool;
    /// What started this process, if it stays.
    fn service(&self) -> Box<dyn Service>;
    /// From here on nothing of this process has to be read from a disk again, and the kernel does
    /// not kill it for memory; what could not be had, in words.
    fn stay_resident(&self) -> Vec<String>;
    /// Takes note of the ends of programs that it has started and does not wait for.
    fn reap(&self);
    /// The command line of this process.
    fn command_line(&self) -> String;
    /// Starts this program in the background.
    fn start_detached(&self, words: &[&str], environment: &[(&str, &str)]) -> Result<()>;
    /// Starts the helper of a window with these devices (see `app::helper`).
    fn helper(&self, group: GroupId, devices: &[HelperDevice]) -> Result<Box<dyn Helper>>;
    /// Whether something is frozen that [`Machine::thaw_left_behind`] would thaw. Waits for
    /// nothing.
    fn has_left_frozen(&self) -> bool;
    /// Thaws what somebody has frozen and not lived to thaw; each in words.
    fn thaw_left_behind(&self) -> Vec<String>;
    /// Tells of a failure; what went wrong with that.
    fn notice(&self, notice: &Notice) -> Vec<String>;
    /// This boot.
    fn boot_id(&self) -> Result<BootId>;
    /// This machine's identity.
    fn host_id(&self) -> Result<HostId>;
    /// Now.
    fn now(&self) -> Timestamp;
    /// Where what must survive a reboot is kept, if anywhere.
    fn state_dir(&self) -> Option<PathBuf>;
    /// Where is noted what this machine has seen of each group, if anywhere.
    fn witness_dir(&self) -> Option<PathBuf>;
}
