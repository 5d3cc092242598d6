//! The machine that a command runs on, as one object: what a fake stands in for, so that whole
//! commands can be crashed at every call. [`Here`] is this machine.

use super::Events;
use super::apart::Reading;
use super::dm::Dm;
use super::events::EventWait;
use super::freeze::Standing;
use super::helper::{Beside, Charge, Helper, Requests, Serve};
use super::inspect::{self, BlockDevice, Inspection, inspect};
use super::lock::{GroupLock, Holder};
use super::media::{self, Access};
use super::notice::{self, Notice};
use super::probe::{self, Found, Which};
use super::{
    Kernel, Media, changes, detached, drain, freeze, host, nodes, openers, rules, writing,
};
use crate::error::{Error, Result};
use crate::model::{BootId, DevNo, GroupId, HostId, Timestamp};
use crate::table::era;
use std::any::Any;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a helper may take to be ready.
const HELPER_STARTS: Duration = Duration::from_secs(20);

/// Everything outside that a command touches.
pub trait Machine {
    /// Device-mapper.
    fn kernel(&self) -> Result<Box<dyn Kernel>>;
    /// Device-mapper's events.
    fn events(&self) -> Result<Box<dyn Events>>;
    /// The devices that are, or may be, disks of ours, as far as `reading` reads each (see
    /// `probe`).
    fn members(&self, which: Which<'_>, reading: Reading<'_>) -> Result<Vec<Found>>;
    /// Those of these disks that do not answer a read in time (see `probe`).
    fn silent(&self, disks: &BTreeSet<DevNo>) -> Vec<DevNo>;
    /// How long I/O is held at the most when a disk keeps a window waiting (see `host`).
    fn hold_timeout(&self) -> Duration;
    /// A device.
    fn find(&self, device: &Path) -> Result<BlockDevice>;
    /// A device, and what speaks against using it.
    fn inspect(&self, device: &Path) -> Result<Inspection>;
    /// Whether two devices are known to be different ones, by the identifiers that the hardware or
    /// device-mapper gives them.
    fn are_distinct(&self, one: DevNo, other: DevNo) -> bool;
    /// Opens a disk. One that does not answer in time is given up (see `writing`).
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
    /// Why udev has not made the link of a volume (see `rules`).
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
    /// Writes back what is in memory of a device and of the filesystem on it (see `drain`).
    fn write_back(&self, dev: DevNo, deadline: Duration) -> Result<()>;
    /// The blocks that the map of changes on a device says were written in an era or later (see
    /// `changes`).
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
    /// Takes a lock, for as long as what is returned lives (see `lock`).
    fn lock(
        &self,
        key: &str,
        timeout: Option<Duration>,
        on_wait: &dyn Fn(&Holder),
    ) -> Result<Box<dyn Any>>;
    /// Starts this program in the background.
    fn start_detached(&self, words: &[&str], environment: &[(&str, &str)]) -> Result<()>;
    /// Starts the helper of a window with these devices (see `app::guard`).
    fn helper(&self, group: GroupId, charges: &[Charge]) -> Result<Box<dyn Helper>>;
    /// Whether something is frozen that [`Machine::thaw_left_behind`] would thaw. Waits for
    /// nothing.
    fn has_left_frozen(&self) -> bool;
    /// Thaws what somebody has frozen and not lived to thaw; each in words.
    fn thaw_left_behind(&self) -> Vec<String>;
    /// Tells of a failure (see `notice`); what went wrong with that.
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

/// This machine.
#[derive(Debug, Clone, Copy)]
pub struct Here {
    serve: Serve,
}

impl Here {
    /// What helpers do is said by whoever can do it: much of what a command can.
    pub const fn new(serve: Serve) -> Here {
        Here { serve }
    }
}

impl Default for Here {
    /// Without helpers: they end at once.
    fn default() -> Here {
        Here::new(|_, _, _| ())
    }
}

impl Machine for Here {
    fn kernel(&self) -> Result<Box<dyn Kernel>> {
        Ok(Box::new(Dm::open()?))
    }

    fn events(&self) -> Result<Box<dyn Events>> {
        Ok(Box::new(EventWait::open()?))
    }

    fn members(&self, which: Which<'_>, reading: Reading<'_>) -> Result<Vec<Found>> {
        probe::look(which, reading)
    }

    fn silent(&self, disks: &BTreeSet<DevNo>) -> Vec<DevNo> {
        probe::silent(disks)
    }

    fn hold_timeout(&self) -> Duration {
        host::hold_timeout()
    }

    fn find(&self, device: &Path) -> Result<BlockDevice> {
        inspect::find(device)
    }

    fn inspect(&self, device: &Path) -> Result<Inspection> {
        inspect(device)
    }

    fn are_distinct(&self, one: DevNo, other: DevNo) -> bool {
        probe::are_distinct(one, other)
    }

    fn media(&self, path: &Path, access: Access) -> Result<Box<dyn Media>> {
        writing::open(path, access, host::hold_timeout())
    }

    fn all_media(&self, paths: &[&Path]) -> Vec<Result<Box<dyn Media>>> {
        writing::open_all(paths, host::hold_timeout())
    }

    fn leads_to(&self, path: &Path, number: DevNo) -> bool {
        nodes::leads_to(path, number)
    }

    fn why_no_link(&self) -> String {
        rules::why_no_link()
    }

    fn block_size(&self, device: &Path) -> Option<u32> {
        inspect::block_size(device)
    }

    fn forget_partitions(&self, disk: &Path) -> Result<()> {
        media::reread_partitions(disk)
    }

    fn announce(&self, disks: &[PathBuf]) -> Option<String> {
        probe::announce(disks)
    }

    fn openers(&self, dev: DevNo) -> Vec<String> {
        openers::openers(dev)
    }

    fn standing(&self, volumes: &dyn Fn() -> Vec<(DevNo, u32)>) -> Vec<Standing> {
        freeze::standing(volumes)
    }

    fn write_back(&self, dev: DevNo, deadline: Duration) -> Result<()> {
        drain::write_back(dev, deadline)
    }

    fn written_since(&self, map: DevNo, era: u32) -> Result<Vec<Range<u64>>> {
        changes::written_since(map, era)
    }

    fn is_sound_map(&self, superblock: &[u8]) -> bool {
        era::is_sound(superblock)
    }

    fn writes(&self, device: DevNo) -> Result<u64> {
        changes::writes(device)
    }

    fn takes_discards(&self, device: DevNo) -> bool {
        changes::takes_discards(device)
    }

    fn era_survives_crash(&self) -> bool {
        host::kernel_release().is_some_and(|release| changes::era_survives_crash(&release))
    }

    fn lock(
        &self,
        key: &str,
        timeout: Option<Duration>,
        on_wait: &dyn Fn(&Holder),
    ) -> Result<Box<dyn Any>> {
        Ok(Box::new(GroupLock::take(key, timeout, on_wait)?))
    }

    fn start_detached(&self, words: &[&str], environment: &[(&str, &str)]) -> Result<()> {
        detached::spawn_detached(words, environment)
            .map_err(|err| Error::io("cannot start a program", &err))
    }

    fn helper(&self, group: GroupId, charges: &[Charge]) -> Result<Box<dyn Helper>> {
        let process = detached::fork_beside(|requests, answers| {
            (self.serve)(group, charges, Requests(requests, answers))
        });
        let beside = process.and_then(|process| Beside::new(process, HELPER_STARTS));
        Ok(Box::new(beside.map_err(|err| {
            Error::io("cannot start the helper of a window", &err)
        })?))
    }

    fn has_left_frozen(&self) -> bool {
        freeze::has_left_behind()
    }

    fn thaw_left_behind(&self) -> Vec<String> {
        freeze::thaw_left_behind()
    }

    fn notice(&self, notice: &Notice) -> Vec<String> {
        notice::tell(notice)
    }

    fn boot_id(&self) -> Result<BootId> {
        host::boot_id()
    }

    fn host_id(&self) -> Result<HostId> {
        host::host_id()
    }

    fn now(&self) -> Timestamp {
        host::now()
    }

    fn state_dir(&self) -> Option<PathBuf> {
        Some(host::state_dir())
    }

    fn witness_dir(&self) -> Option<PathBuf> {
        Some(host::witness_dir())
    }
}
