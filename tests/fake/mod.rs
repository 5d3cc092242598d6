//! A machine in memory that can be crashed at every call: disks with a volatile write cache, a
//! device-mapper with linear and mirror targets, and a writer that knows what has to be on each
//! volume.
//!
//! It is never the proof: what it does must be what the kernel does, and `conformance` runs the
//! same script on both.

#![allow(dead_code)] // each test program uses its own part of it

pub mod data;
pub mod disk;
pub mod dm;
pub mod era;
pub mod helper;
pub mod nodes;
pub mod places;
pub mod script;

use breakoff::advice::Language;
use breakoff::app::{self, Command, Env, Options, Outcome, Progress, Ui};
use breakoff::cli::Action;
use breakoff::cli::native::hints::Native;
use breakoff::error::{Error, Result};
use breakoff::meta;
use breakoff::model::{
    BootId, DevNo, DiskId, DmUuid, Generation, Group, GroupId, HostId, Platform, Timestamp,
};
use breakoff::sys::content::{Contents, Standing};
use breakoff::sys::disk::{
    Access, BlockDevice, Counters, Found, Inspection, Reading, Stranger, Which,
};
use breakoff::sys::filesystem::{Filesystem, Program};
use breakoff::sys::helper::{Helper, HelperDevice};
use breakoff::sys::lock::Holder;
use breakoff::sys::machine::Machine;
use breakoff::sys::nodes::{Nodes, Told};
use breakoff::sys::notice::Notice;
use breakoff::sys::process::{Interrupts, Service};
use breakoff::sys::{Errno, Events, Kernel, Media};
use breakoff::table::dco::Pace;
use std::any::Any;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

/// What a process that was killed at a call panics with.
pub struct Killed;

/// What a process panics with that waits in the kernel for something that never happens.
pub struct Stuck;

/// Where something goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trap {
    /// Nowhere.
    None,
    /// The process is killed just before its n-th change.
    Kill(u64),
    /// Its n-th call fails, reads included.
    Fail(u64),
    /// All its calls fail from the n-th on.
    FailFrom(u64),
    /// A disk dies just before its n-th change.
    Die(u64, usize),
}

/// What a command is said to have ended with that is stuck.
pub const STUCK: &str = "a suspend above a mirror that holds writes never ends";

/// All of the machine.
#[derive(Clone)]
pub struct State {
    pub disks: Vec<disk::Disk>,
    pub dm: dm::Devices,
    pub data: data::Oracle,
    pub trap: Trap,
    /// Where what must survive a reboot goes.
    pub state_dir: Option<PathBuf>,
    /// Where it notes what it has seen of groups.
    pub witness_dir: Option<PathBuf>,
    /// Where it notes which disks have appeared, and the numbers of their appearances.
    pub hotplug_dir: Option<PathBuf>,
    pub appearances: BTreeMap<DevNo, u64>,
    /// Changes so far: what a crash can come before.
    pub changes: u64,
    /// Calls that can fail so far, changes included.
    pub calls: u64,
    /// The changes in words, when somebody wants to know.
    pub trace: Option<Vec<String>>,
    /// Which disk carries which label, as it was read last.
    pub labels: Vec<(DiskId, usize)>,
    /// Whether what is called now is called by a helper, which is a process of its own.
    in_helper: bool,
    /// Whether its disks may have been used apart from each other: there is no group then.
    pub may_be_split: bool,
    /// For which disks it was asked.
    pub looks: Vec<&'static str>,
    /// Whether its disks have heads.
    pub rotational: bool,
    /// How fast they are, if that can be measured.
    pub pace: Option<Pace>,
    /// Whether its disks take discards.
    pub discards: bool,
    /// Sectors of disks that read as something else, so many times.
    pub flickers: BTreeMap<(usize, u64), u32>,
    /// What lies on all its volumes.
    pub filesystem: Option<Filesystem>,
    /// What it does not use, in sectors.
    pub unused: Vec<Range<u64>>,
    /// The targets that the kernel lacks.
    pub lacks: Vec<&'static str>,
    /// The programs that were run, and whether they fail.
    pub programs: Vec<String>,
    pub programs_fail: bool,
    /// The failures that were told.
    pub notices: Vec<Notice>,
    /// What udev's rule is told of the nodes of volumes.
    pub told: BTreeMap<DmUuid, Told>,
    boot: u8,
    /// Which machine it is.
    pub host: u8,
    clock: u64,
    /// The locks that are held, by their keys.
    pub locks: BTreeSet<String>,
}

/// The machine; clones are the same machine.
#[derive(Clone)]
pub struct Fake(pub Rc<RefCell<State>>);

/// A command as often as it is wanted.
#[derive(Debug, Clone)]
pub struct Words {
    pub text: String,
    options: Options,
    command: Command,
    run: Run,
}

/// `app::run`, or `app::rehearse` with `--dry-run`.
type Run = fn(&Options, &Command, Env<'_>) -> Result<Outcome>;

impl Words {
    /// Understands the words of a command line; `-y` is meant.
    #[track_caller]
    pub fn parse(text: &str) -> Words {
        let args: Vec<OsString> = ["breakoff", "-y"]
            .into_iter()
            .chain(text.split_whitespace())
            .map(OsString::from)
            .collect();
        match breakoff::cli::native::parse(&args)
            .map(|invocation| (invocation.options, invocation.action))
        {
            Ok((options, Action::App(command))) => Words {
                text: text.to_owned(),
                options,
                command,
                run: app::run,
            },
            Ok((options, Action::Rehearse(command))) => Words {
                text: text.to_owned(),
                options,
                command,
                run: app::rehearse,
            },
            other => panic!("'{text}' is no command: {other:?}"),
        }
    }

    /// The same without `-y`.
    #[must_use]
    pub fn unconfirmed(mut self) -> Words {
        self.options.yes = false;
        self
    }
}

impl Fake {
    /// A machine with so many empty disks of so many MiB, `/dev/fake1` and so on.
    pub fn new(disks: &[u32]) -> Fake {
        let disks = disks
            .iter()
            .enumerate()
            .map(|(at, mib)| disk::Disk::new(at, *mib))
            .collect();
        Fake(Rc::new(RefCell::new(State {
            disks,
            dm: dm::Devices::default(),
            data: data::Oracle::default(),
            trap: Trap::None,
            state_dir: None,
            witness_dir: None,
            hotplug_dir: None,
            appearances: BTreeMap::new(),
            changes: 0,
            calls: 0,
            trace: None,
            labels: Vec::new(),
            in_helper: false,
            may_be_split: false,
            looks: Vec::new(),
            rotational: false,
            pace: None,
            discards: false,
            flickers: BTreeMap::new(),
            filesystem: None,
            unused: Vec::new(),
            lacks: Vec::new(),
            programs: Vec::new(),
            programs_fail: false,
            told: BTreeMap::new(),
            notices: Vec::new(),
            boot: 1,
            host: 0x40,
            clock: 1_700_000_000_000,
            locks: BTreeSet::new(),
        })))
    }

    /// Another machine in the same state.
    pub fn copy(&self) -> Fake {
        Fake(Rc::new(RefCell::new(self.0.borrow().clone())))
    }

    /// Runs a command to its end, or to where it is killed (`None`).
    pub fn run(&self, words: &Words) -> Option<Result<Outcome>> {
        let env = Env {
            machine: self,
            ui: &Silent,
        };
        let ended = catch_unwind(AssertUnwindSafe(|| {
            (words.run)(&words.options, &words.command, env)
        }));
        // The kernel lets go of a dead process's locks.
        self.0.borrow_mut().locks.clear();
        self.0.borrow_mut().in_helper = false;
        match ended {
            Ok(outcome) => Some(outcome),
            Err(payload) if payload.is::<Killed>() => {
                // The helper sees that its command is dead.
                self.0.borrow_mut().data.frozen_filesystems.clear();
                None
            }
            Err(payload) if payload.is::<Stuck>() => Some(Err(Error::timed_out(STUCK))),
            Err(payload) => resume_unwind(payload),
        }
    }

    /// Runs a command that has to work.
    #[track_caller]
    pub fn ok(&self, text: &str) -> Outcome {
        match self.run(&Words::parse(text)) {
            Some(Ok(outcome)) => outcome,
            Some(Err(error)) => panic!("'{text}' fails: {error} ({:?})", error.hint_text(&Native)),
            None => panic!("'{text}' was killed"),
        }
    }

    /// Runs a command that is refused, and changes nothing.
    #[track_caller]
    pub fn refused(&self, words: &str) -> Error {
        let before = self.0.borrow().changes;
        let error = match self.run(&Words::parse(words)) {
            Some(Err(error)) => error,
            other => panic!("'{words}' was not refused: {other:?}"),
        };
        assert_eq!(self.0.borrow().changes, before, "{words}: {error}");
        error
    }

    /// The group as the disks have it, by the rules that every command reads it by.
    #[track_caller]
    pub fn group(&self) -> Option<(Group, Generation)> {
        let disks = self.0.borrow().disks.len();
        let read = |at: usize| {
            meta::read_disk(&disk::FakeMedia(self.clone(), at))
                .ok()
                .flatten()
        };
        let labels: Vec<(usize, meta::Label)> =
            (0..disks).filter_map(|at| Some((at, read(at)?))).collect();
        let known: Vec<(DiskId, usize)> = labels
            .iter()
            .map(|(at, label)| (label.disk(), *at))
            .collect();
        // A disk that cannot be read now keeps its name.
        self.0
            .borrow_mut()
            .labels
            .retain(|(_, at)| !known.iter().any(|(_, read)| read == at));
        self.0.borrow_mut().labels.extend(known);
        let named: Vec<(String, meta::Label)> = labels
            .into_iter()
            .map(|(at, label)| (format!("/dev/fake{}", at + 1), label))
            .collect();
        let id = meta::groups(&named).into_iter().next()?;
        let chosen = match meta::choose(id, &named) {
            Ok(chosen) => chosen,
            Err(_) if self.0.borrow().may_be_split => return None,
            Err(error) => panic!("the group cannot be read: {error}"),
        };
        (!chosen.group.destroyed).then_some((chosen.group, chosen.generation))
    }

    /// With `CRASH_TRACE=1` the changes of what ran since the trap was set are printed by number;
    /// with `CRASH_CASE="disk 1 dies before change 48"` those of that case, too.
    pub fn print_trace(&self, title: &str) {
        let state = self.0.borrow();
        for (at, what) in state.trace.iter().flatten().enumerate() {
            println!("{title}: change {} {what}", at + 1);
        }
    }

    /// From here on something goes wrong, or nothing any more. The counters begin again.
    pub fn set_trap(&self, trap: Trap) {
        let mut state = self.0.borrow_mut();
        (state.trap, state.changes, state.calls) = (trap, 0, 0);
        state.trace = std::env::var_os("CRASH_TRACE").is_some().then(Vec::new);
    }

    /// Something is about to be changed: the writer gets its turn, and this is where a crash or an
    /// error may come.
    fn change(&self, what: impl FnOnce() -> String) -> std::result::Result<(), Errno> {
        if self.0.borrow().in_helper {
            return Ok(());
        }
        let tracing = self.0.borrow().trace.is_some();
        let words = tracing.then(what);
        let (killed, failed) = {
            let state = &mut *self.0.borrow_mut();
            state.changes += 1;
            state.calls += 1;
            if let Some(trace) = &mut state.trace {
                trace.extend(words);
            }
            if let Trap::Die(at, disk) = state.trap
                && at == state.changes
            {
                state.disks[disk].dead = true;
            }
            state.data.intruders.extend(state.dm.intruders());
            let killed = state.trap == Trap::Kill(state.changes);
            if !killed {
                state.writers_write();
            }
            (killed, state.fails())
        };
        if killed {
            // Without the hook: nobody wants to read of it.
            resume_unwind(Box::new(Killed));
        }
        if failed {
            Err(Errno(libc::EIO))
        } else {
            Ok(())
        }
    }

    /// Something is about to be read: an error may come, a crash would change nothing.
    fn look(&self) -> std::result::Result<(), Errno> {
        let state = &mut *self.0.borrow_mut();
        if state.in_helper {
            return Ok(());
        }
        state.calls += 1;
        if state.fails() {
            Err(Errno(libc::EIO))
        } else {
            Ok(())
        }
    }

    /// Does something as a helper does it: no call of the command's, so no crash and no error comes
    /// before it.
    fn in_helper<T>(&self, act: impl FnOnce() -> T) -> T {
        self.0.borrow_mut().in_helper = true;
        let done = act();
        self.0.borrow_mut().in_helper = false;
        done
    }

    /// The power goes: the kernel's state is gone, and of what was not flushed only what `kept`
    /// says is on the disks.
    pub fn power_cut(&self, kept: &mut dyn FnMut(disk::Unsynced) -> usize) {
        let state = &mut *self.0.borrow_mut();
        state.writes_in_flight();
        state.dm = dm::Devices::default();
        state.data.forget_queued();
        state.locks.clear();
        state.told.clear();
        state.boot += 1;
        for (at, disk) in state.disks.iter_mut().enumerate() {
            disk.lose_power(at, kept);
        }
    }
}

impl State {
    fn fails(&self) -> bool {
        match self.trap {
            Trap::Fail(at) => self.calls == at,
            Trap::FailFrom(at) => self.calls >= at,
            Trap::None | Trap::Kill(_) | Trap::Die(..) => false,
        }
    }
}

pub fn io(errno: Errno) -> std::io::Error {
    std::io::Error::from_raw_os_error(errno.0)
}

/// Nobody interrupts a command, and no service is waited for.
struct Undisturbed;

impl Interrupts for Undisturbed {
    fn arrived(&self) -> bool {
        false
    }
}

impl Service for Undisturbed {
    fn is_supervised(&self) -> bool {
        false
    }

    fn is_until_idle(&self) -> bool {
        false
    }

    fn ready(&self, _status: &str) {}

    fn status(&self, _text: &str) {}

    fn stopping(&self, _status: &str) {}

    fn alive(&self) {}

    fn at_most(&self, wanted: Duration) -> Duration {
        wanted
    }
}

/// Held as long as a command wants.
struct Lock(Fake, String);

impl Drop for Lock {
    fn drop(&mut self) {
        if let Ok(mut state) = self.0.0.try_borrow_mut() {
            state.locks.remove(&self.1);
        }
    }
}

impl Machine for Fake {
    fn kernel(&self) -> Result<Box<dyn Kernel>> {
        Ok(Box::new(dm::FakeKernel(self.clone())))
    }

    fn events(&self) -> Result<Box<dyn Events>> {
        Ok(Box::new(FakeEvents(self.clone())))
    }

    fn members(&self, which: Which<'_>, _reading: Reading<'_>) -> Result<Vec<Found>> {
        self.0.borrow_mut().looks.push(match which {
            Which::All => "all",
            Which::Marked(_) => "marked",
            Which::Running(..) => "running",
        });
        // As udev would: it knows them without reading them again.
        let disks = self.0.borrow().disks.clone();
        let wanted = |disk: &disk::Disk| match which {
            Which::All => true,
            Which::Marked(mapped) => mapped.contains(&disk.dev) || !disk.unknown,
            Which::Running(_, mapped) => mapped.contains(&disk.dev) || !disk.unknown,
        };
        let found = |disk: disk::Disk| Found {
            candidate: disk.candidate(),
            is_known: true,
            media: self.media(&disk.path, Access::ReadOnly),
        };
        Ok(disks
            .into_iter()
            .filter(|d| !d.unplugged && wanted(d))
            .map(found)
            .collect())
    }

    fn whole_disks(&self) -> Result<Vec<Stranger>> {
        let disks = self.0.borrow().disks.clone();
        let here = disks.into_iter().filter(|disk| !disk.unplugged);
        let stranger = |disk: disk::Disk| Stranger {
            candidate: disk.candidate(),
            content: None,
        };
        Ok(here.map(stranger).collect())
    }

    fn silent(&self, _disks: &BTreeSet<DevNo>) -> Vec<DevNo> {
        Vec::new()
    }

    fn hold_timeout(&self) -> Duration {
        Duration::from_secs(10)
    }

    fn find(&self, device: &Path) -> Result<BlockDevice> {
        let state = self.0.borrow();
        let disk = state
            .disks
            .iter()
            .find(|d| d.path == device && !d.unplugged);
        let disk = disk.ok_or_else(|| {
            Error::not_found(format!("there is no device '{}'", device.display()))
        })?;
        let (path, dev, size) = (disk.path.clone(), disk.dev, disk.size());
        Ok(BlockDevice {
            path,
            dev,
            size,
            logical_block: 512,
            partitions: Vec::new(),
            whole: None,
        })
    }

    fn inspect(&self, device: &Path) -> Result<Inspection> {
        self.find(device).map(Inspection::unused)
    }

    fn are_distinct(&self, one: DevNo, other: DevNo) -> bool {
        let state = self.0.borrow();
        let serial = |dev: DevNo| state.disks.iter().find(|disk| disk.dev == dev)?.serial;
        matches!((serial(one), serial(other)), (Some(one), Some(other)) if one != other)
    }

    fn is_rotational(&self, _dev: DevNo) -> Option<bool> {
        Some(self.0.borrow().rotational)
    }

    fn paces(&self, disks: &[&Path]) -> Vec<Option<Pace>> {
        vec![self.0.borrow().pace; disks.len()]
    }

    fn media(&self, path: &Path, _access: Access) -> Result<Box<dyn Media>> {
        let at = self
            .0
            .borrow()
            .disks
            .iter()
            .position(|d| d.path == path && !d.unplugged);
        let at =
            at.ok_or_else(|| Error::not_found(format!("there is no device '{}'", path.display())))?;
        self.look()
            .map_err(|errno| Error::io("cannot open a disk", &io(errno)))?;
        Ok(Box::new(disk::FakeMedia(self.clone(), at)))
    }

    fn leads_to(&self, _path: &Path, _number: DevNo) -> bool {
        true
    }

    fn nodes(&self) -> Box<dyn Nodes> {
        Box::new(nodes::FakeNodes(self.clone()))
    }

    fn why_no_link(&self) -> String {
        "nobody has made it".to_owned()
    }

    fn block_size(&self, _device: &Path) -> Option<u32> {
        None
    }

    fn unused(
        &self,
        _mounted: &Path,
        _device: DevNo,
        range: &Range<u64>,
    ) -> Result<Vec<Range<u64>>> {
        let state = self.0.borrow();
        assert!(state.locks.is_empty(), "a repair could not take the lock");
        let unused = breakoff::model::ranges::union(state.unused.iter().cloned());
        Ok(breakoff::model::ranges::common(
            &unused,
            std::slice::from_ref(range),
        ))
    }

    fn filesystem(&self, _dev: DevNo, _path: &Path) -> Option<Filesystem> {
        self.0.borrow().filesystem.clone()
    }

    fn has_program(&self, name: &str) -> bool {
        name != "btrfs"
    }

    fn run_program(&self, program: &Program) -> Result<()> {
        let state = &mut *self.0.borrow_mut();
        assert!(state.locks.is_empty(), "a repair could not take the lock");
        state.programs.push(program.to_string());
        if state.programs_fail {
            return Err(Error::device(format!("{}: no", program.name)));
        }
        Ok(())
    }

    fn forget_partitions(&self, _disk: &Path) -> Result<()> {
        Ok(())
    }

    fn announce(&self, _disks: &[PathBuf]) -> Option<String> {
        None
    }

    fn openers(&self, _dev: DevNo) -> Vec<String> {
        Vec::new()
    }

    fn carries_root(&self, _dev: DevNo) -> bool {
        false
    }

    fn standing(&self, volumes: &dyn Fn() -> Vec<(DevNo, u32)>) -> Vec<Standing> {
        volumes().iter().map(|_| Standing::default()).collect()
    }

    fn contents(&self, volumes: &dyn Fn() -> Vec<(DevNo, u32)>) -> Box<dyn Contents> {
        Box::new(helper::FakeContents::new(self, &volumes()))
    }

    fn write_back(&self, dev: DevNo, _deadline: Duration) -> Result<()> {
        if self.0.borrow().has_queued(dev.minor) {
            return Err(Error::timed_out("the writes do not reach the disks"));
        }
        Ok(())
    }

    fn written_since(&self, map: DevNo, era: u32) -> Result<Vec<Range<u64>>> {
        self.look()
            .map_err(|errno| Error::io("cannot list a map", &io(errno)))?;
        self.0
            .borrow()
            .written_since(map, era)
            .map_err(|errno| Error::io("cannot list a map", &io(errno)))
    }

    fn is_sound_map(&self, superblock: &[u8]) -> bool {
        superblock.starts_with(era::MAGIC)
    }

    fn writes(&self, device: DevNo) -> Result<u64> {
        self.look()
            .map_err(|errno| Error::io("cannot count writes", &io(errno)))?;
        Ok(self
            .0
            .borrow()
            .data
            .writes
            .get(&device.minor)
            .copied()
            .unwrap_or(0))
    }

    /// Each number is that of the device, and so many times as large as its place.
    fn counters(&self, device: DevNo) -> Option<Counters> {
        let n = u64::from(device.minor) + 1;
        Some(Counters {
            reads: n,
            sectors_read: n * 8,
            read_ms: n * 2,
            writes: n * 3,
            sectors_written: n * 24,
            write_ms: n * 4,
        })
    }

    fn takes_discards(&self, device: DevNo) -> bool {
        device.major == dm::DISK_MAJOR && self.0.borrow().discards
    }

    fn platform(&self) -> Platform {
        Platform {
            release: Some("6.8.0-31-generic".to_owned()),
            has_modules: true,
            distributions: vec!["ubuntu".to_owned(), "debian".to_owned()],
        }
    }

    fn era_survives_crash(&self) -> bool {
        true
    }

    fn lock(
        &self,
        key: &str,
        _timeout: Option<Duration>,
        _on_wait: &dyn Fn(&Holder),
    ) -> Result<Box<dyn Any>> {
        if !self.0.borrow_mut().locks.insert(key.to_owned()) {
            return Err(Error::timed_out(format!("{key} is locked")));
        }
        Ok(Box::new(Lock(self.clone(), key.to_owned())))
    }

    fn is_locked(&self, key: &str) -> Option<bool> {
        Some(self.0.borrow().locks.contains(key))
    }

    fn interrupts(&self) -> Box<dyn Interrupts> {
        Box::new(Undisturbed)
    }

    fn is_interrupted(&self) -> bool {
        false
    }

    fn service(&self) -> Box<dyn Service> {
        Box::new(Undisturbed)
    }

    fn stay_resident(&self) -> Vec<String> {
        Vec::new()
    }

    fn reap(&self) {}

    fn command_line(&self) -> String {
        "breakoff".to_owned()
    }

    fn start_detached(&self, _words: &[&str], _environment: &[(&str, &str)]) -> Result<()> {
        Ok(())
    }

    fn relieve_monitor(&self, _pid: u32) -> bool {
        false
    }

    fn notice(&self, notice: &Notice) -> Vec<String> {
        self.0.borrow_mut().notices.push(notice.clone());
        Vec::new()
    }

    fn helper(&self, _group: GroupId, charges: &[HelperDevice]) -> Result<Box<dyn Helper>> {
        self.look()
            .map_err(|errno| Error::io("cannot start the helper of a window", &io(errno)))?;
        Ok(Box::new(helper::FakeHelper::new(self, charges)?))
    }

    fn has_left_frozen(&self) -> bool {
        false
    }

    fn thaw_left_behind(&self) -> Vec<String> {
        Vec::new()
    }

    fn boot_id(&self) -> Result<BootId> {
        Ok(BootId::from_bytes([self.0.borrow().boot; 16]))
    }

    fn host_id(&self) -> Result<HostId> {
        Ok(HostId::from_bytes([self.0.borrow().host; 16]))
    }

    fn now(&self) -> Timestamp {
        let mut state = self.0.borrow_mut();
        state.clock += 1;
        Timestamp::from_millis(state.clock)
    }

    fn state_dir(&self) -> Option<PathBuf> {
        self.0.borrow().state_dir.clone()
    }

    fn appearance(&self, dev: DevNo) -> Option<u64> {
        self.0.borrow().appearances.get(&dev).copied()
    }

    fn hotplug_dir(&self) -> Option<PathBuf> {
        self.0.borrow().hotplug_dir.clone()
    }

    fn witness_dir(&self) -> Option<PathBuf> {
        self.0.borrow().witness_dir.clone()
    }
}

/// While somebody waits the kernel copies.
struct FakeEvents(Fake);

impl Events for FakeEvents {
    fn arm(&mut self) -> Result<()> {
        Ok(())
    }

    fn wait(&mut self, _timeout: Duration) -> Result<bool> {
        Ok(self.0.0.borrow_mut().tick())
    }
}

/// Nobody reads along.
pub struct Silent;

impl Ui for Silent {
    fn language(&self) -> &'static dyn Language {
        &Native
    }
    fn note(&self, _text: &str) {}
    fn warn(&self, text: &str) {
        if std::env::var_os("CRASH_CASE").is_some() {
            println!("warning: {text}");
        }
    }
    fn progress(&self, _copies: &[Progress]) {}
    fn progress_end(&self) {}
    fn confirm(&self, _question: &str) -> bool {
        false
    }
}
