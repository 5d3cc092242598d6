//! The machine that a command runs on, as one object. A fake stands in for it in tests, so that
//! whole commands can be crashed at every call. [`Here`] is the real machine.

use crate::linux::disk::freeze::Stack;
use crate::linux::process::service::{self, Started};
use crate::linux::process::signal::{self, Caught};
use crate::sys::Events;
use crate::sys::content::Contents;
use crate::sys::machine::Machine;
use crate::sys::nodes::Nodes;
use crate::sys::process::{Interrupts, Service};

use crate::error::{Error, Result};
use crate::linux::disk::inspect::{self, inspect};
use crate::linux::disk::{
    apart, changes, drain, freeze, fsmap, media, openers, probe, sysfs, writing,
};
use crate::linux::dm::events::EventWait;
use crate::linux::dm::kernel::Dm;
use crate::linux::dm::owners::Owners;
use crate::linux::dm::{nodes, rules};
use crate::linux::process::helper::{HelperProcess, Serve};
use crate::linux::process::lock::{self, GroupLock};
use crate::linux::process::{detached, host, notice, tools};
use crate::model::{BootId, DevNo, GroupId, HostId, Platform, Timestamp};
use crate::sys::content::Standing;
use crate::sys::disk::{
    Access, BlockDevice, Counters, Found, Inspection, Reading, Stranger, Which,
};
use crate::sys::filesystem::{Filesystem, Program};
use crate::sys::helper::{Helper, HelperDevice, Tasks};
use crate::sys::lock::Holder;
use crate::sys::notice::Notice;
use crate::sys::{Kernel, Media};
use crate::table::dco::Pace;
use crate::table::era;
use std::any::Any;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a helper may take until it is ready.
const HELPER_STARTS: Duration = Duration::from_secs(20);

/// The machine that this process runs on.
#[derive(Debug, Clone, Copy)]
pub struct Here {
    serve: Serve,
    /// How long disks may take to be read at most, if that is not for `probe` to say.
    patience: Option<Duration>,
}

/// How long disks may take to be measured: nothing waits for a slow one.
const MEASURING: Duration = Duration::from_secs(2);

impl Here {
    /// Takes the body of helper processes from a caller that has it: a helper does much of what a
    /// command does.
    pub const fn new(serve: Serve) -> Here {
        Here {
            serve,
            patience: None,
        }
    }

    /// The same machine, on which no disk may take longer than this to be read.
    #[must_use]
    pub const fn impatient(self, patience: Duration) -> Here {
        Here {
            patience: Some(patience),
            ..self
        }
    }
}

impl Default for Here {
    /// A machine without helpers: they end at once.
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
        probe::look(which, reading, self.patience)
    }

    fn whole_disks(&self) -> Result<Vec<Stranger>> {
        probe::whole_disks()
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

    fn is_rotational(&self, dev: DevNo) -> Option<bool> {
        probe::is_rotational(dev)
    }

    fn paces(&self, disks: &[&Path]) -> Vec<Option<Pace>> {
        apart::pace_each(disks, MEASURING)
    }

    fn media(&self, path: &Path, access: Access) -> Result<Box<dyn Media>> {
        writing::open(path, access, host::hold_timeout())
    }

    fn all_media(&self, paths: &[&Path]) -> Vec<Result<Box<dyn Media>>> {
        writing::open_all(paths, host::hold_timeout())
    }

    fn readers(&self, paths: &[&Path]) -> Vec<Result<Box<dyn Media>>> {
        writing::open_to_read(paths, host::hold_timeout())
    }

    fn leads_to(&self, path: &Path, number: DevNo) -> bool {
        nodes::leads_to(path, number)
    }

    fn nodes(&self) -> Box<dyn Nodes> {
        Box::new(Owners::default())
    }

    fn why_no_link(&self) -> String {
        rules::why_no_link()
    }

    fn block_size(&self, device: &Path) -> Option<u32> {
        inspect::block_size(device)
    }

    fn unused(&self, mounted: &Path, device: DevNo, range: &Range<u64>) -> Result<Vec<Range<u64>>> {
        fsmap::unused(mounted, device, range)
    }

    fn filesystem(&self, dev: DevNo, path: &Path) -> Option<Filesystem> {
        inspect::filesystem(dev, path)
    }

    fn has_program(&self, name: &str) -> bool {
        tools::find(name).is_some()
    }

    fn run_program(&self, program: &Program) -> Result<()> {
        tools::run(program)
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

    fn carries_root(&self, dev: DevNo) -> bool {
        openers::carries_root(dev)
    }

    fn standing(&self, volumes: &dyn Fn() -> Vec<(DevNo, u32)>) -> Vec<Standing> {
        freeze::standing(volumes)
    }

    fn contents(&self, volumes: &dyn Fn() -> Vec<(DevNo, u32)>) -> Box<dyn Contents> {
        Box::new(Stack::open(volumes))
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

    fn counters(&self, device: DevNo) -> Option<Counters> {
        changes::counters(device)
    }

    fn takes_discards(&self, device: DevNo) -> bool {
        changes::takes_discards(device)
    }

    fn platform(&self) -> Platform {
        host::platform()
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

    fn is_locked(&self, key: &str) -> Option<bool> {
        lock::is_locked(key)
    }

    fn interrupts(&self) -> Box<dyn Interrupts> {
        Box::new(Caught::begin())
    }

    fn is_interrupted(&self) -> bool {
        signal::arrived()
    }

    fn service(&self) -> Box<dyn Service> {
        Box::new(Started::from_environment())
    }

    fn stay_resident(&self) -> Vec<String> {
        service::stay_resident()
    }

    fn reap(&self) {
        detached::reap();
    }

    fn command_line(&self) -> String {
        std::env::args().collect::<Vec<_>>().join(" ")
    }

    fn start_detached(&self, words: &[&str], environment: &[(&str, &str)]) -> Result<()> {
        detached::spawn_detached(words, environment)
            .map_err(|err| Error::io("cannot start a program", &err))
    }

    fn relieve_monitor(&self, pid: u32) -> bool {
        service::relieve_monitor(pid)
    }

    fn helper(&self, group: GroupId, devices: &[HelperDevice]) -> Result<Box<dyn Helper>> {
        let process = detached::fork_beside(|requests, answers| {
            (self.serve)(group, devices, Tasks(requests, answers));
        });
        let beside = process.and_then(|process| HelperProcess::new(process, HELPER_STARTS));
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

    fn appearance(&self, dev: DevNo) -> Option<u64> {
        sysfs::Block::numbered(dev)?.appearance()
    }

    fn hotplug_dir(&self) -> Option<PathBuf> {
        Some(lock::run_dir().join("hotplug"))
    }

    fn witness_dir(&self) -> Option<PathBuf> {
        Some(host::witness_dir())
    }
}
