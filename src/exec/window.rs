//! The window: suspend, check, flip, resume. Everything that it needs is opened, allocated and
//! encoded beforehand.
//!
//! While a volume is suspended nothing in here allocates, logs or opens a file: memory pressure or
//! a log file on a frozen filesystem would otherwise hang the machine. What happened is kept as
//! numbers and told afterwards.
//!
//! What may wait for a disk is done by the window's helper (see `sys::helper`), whose memory is
//! locked as ours is. While it waits the mirrors beneath are looked at: a leg that dies in that
//! moment ends the window, so that it can be taken out.

use super::{Cause, Done, Failed, On};
use crate::error::{Error, Kind, Result};
use crate::meta::{Observed, Prepared};
use crate::model::{DmUuid, Group};
use crate::plan::render;
use crate::plan::step::{CommitPoint, Plan, Window};
use crate::plan::world::World;
use crate::sys::helper::{Helper, HelperDevice, Task};
use crate::sys::{ArmedDevice, Errno, Kernel, MirrorHealth, failpoint};
use crate::table::{Links, SuspendMode};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// A window that is ready to run.
pub struct Armed<'k> {
    kernel: &'k dyn Kernel,
    /// What people call the devices, for when it is over.
    world: &'k World,
    new: &'k Group,
    /// How long a disk may keep the window waiting from the first freeze on, and when that was.
    patience: Duration,
    held_since: Option<Instant>,
    parts: Vec<Part>,
    /// What is suspended, in that order.
    down: Vec<(usize, SuspendMode)>,
    /// What is resumed, in that order.
    up: Vec<usize>,
    /// The device that the helper is resuming: it may be a mirror now, and in the next moment an
    /// era that does not answer (K7).
    rising: Option<usize>,
    commit: CommitPoint,
}

/// A device of a window, and what is wanted of it (see [`Window`]).
struct Part {
    uuid: DmUuid,
    device: Box<dyn ArmedDevice>,
    /// Its place among what the helper knows.
    entry: Option<u16>,
    alive: bool,
    check: bool,
    closed: bool,
    tracked: bool,
    frozen: bool,
}

/// What a helper may be asked about in this window: what is suspended, then what else begins an era
/// when it is resumed.
pub fn helper_devices(window: &Window) -> Vec<HelperDevice> {
    let links = |uuid: &DmUuid| {
        window
            .resume
            .iter()
            .find(|(other, _)| other == uuid)
            .map(|(_, links)| *links)
    };
    let device = |uuid: &DmUuid, mode| HelperDevice {
        uuid: uuid.clone(),
        mode,
        links: links(uuid).unwrap_or(Links::Hidden),
    };
    let suspended = |uuid: &DmUuid| window.suspend.iter().any(|(other, _)| other == uuid);
    let resumed = window
        .tracked
        .iter()
        .filter(|uuid| links(uuid).is_some() && !suspended(uuid));
    let suspend = window
        .suspend
        .iter()
        .map(|(uuid, mode)| device(uuid, *mode));
    suspend
        .chain(resumed.map(|uuid| device(uuid, SuspendMode::NoFlush)))
        .collect()
}

/// Every device that a window names, opened once.
fn parts(kernel: &dyn Kernel, window: &Window) -> Result<Vec<Part>> {
    let devices = helper_devices(window);
    let entries: BTreeMap<&DmUuid, u16> =
        devices.iter().map(|device| &device.uuid).zip(0..).collect();
    let links: BTreeMap<&DmUuid, Links> = window
        .resume
        .iter()
        .map(|(uuid, links)| (uuid, *links))
        .collect();
    let set = |uuids: &'_ [DmUuid]| uuids.iter().cloned().collect::<BTreeSet<_>>();
    let (alive, check, closed) = (set(&window.alive), set(&window.check), set(&window.closed));
    let (tracked, frozen) = (set(&window.tracked), set(&window.frozen));
    let suspended = window.suspend.iter().map(|(uuid, _)| uuid);
    let named = window.resume.iter().map(|(uuid, _)| uuid).chain(suspended);
    let named = named.chain(
        window
            .alive
            .iter()
            .chain(&window.check)
            .chain(&window.closed),
    );
    let part = |uuid: &DmUuid| {
        Ok(Part {
            device: kernel.arm(uuid, links.get(uuid).copied().unwrap_or(Links::Hidden))?,
            entry: entries.get(uuid).copied(),
            alive: alive.contains(uuid),
            check: check.contains(uuid),
            closed: closed.contains(uuid),
            tracked: tracked.contains(uuid),
            frozen: frozen.contains(uuid),
            uuid: uuid.clone(),
        })
    };
    let mut seen = BTreeSet::new();
    named.filter(|uuid| seen.insert(*uuid)).map(part).collect()
}

/// How a window ended, without words: those would have to be allocated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Through,
    CannotSuspend(usize, Errno),
    CannotFreeze(usize, Errno),
    NotFrozen(usize),
    CannotCheck(usize, Errno),
    NotInSync(usize),
    NotAlive(usize),
    Open(usize),
    NoAnswer(usize),
    NotCommitted(Option<Errno>),
    PerhapsCommitted(Option<Errno>),
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Passed {
    /// How long the first suspended device was.
    pub held: Duration,
    /// Devices that could not be resumed, in words. They are tried again by whoever converges next.
    pub asleep: Vec<String>,
    /// Those of them that the kernel has refused to resume with the map of changes that they have.
    pub refused: Vec<DmUuid>,
    /// Whether something that was frozen was not until the end: what is called frozen has to be
    /// asked for.
    pub thawed: bool,
    /// Weaknesses of the surroundings (memory could not be locked).
    pub warnings: Vec<String>,
}

impl<'k> Armed<'k> {
    /// Opens and allocates all that the window needs.
    pub fn new(on: On<'k>, world: &'k World, plan: &'k Plan) -> Result<Armed<'k>> {
        let window = &plan.window;
        let parts = parts(on.kernel, window)?;
        let places: BTreeMap<&DmUuid, usize> =
            parts.iter().map(|part| &part.uuid).zip(0..).collect();
        let place = |uuid: &DmUuid| places.get(uuid).copied();
        let (suspended, resumed) = (window.suspend.iter(), window.resume.iter());
        let down = suspended
            .filter_map(|(uuid, mode)| Some((place(uuid)?, *mode)))
            .collect();
        let up = resumed.filter_map(|(uuid, _)| place(uuid)).collect();
        Ok(Armed {
            kernel: on.kernel,
            world,
            new: &plan.group,
            patience: on.machine.hold_timeout(),
            held_since: None,
            down,
            up,
            parts,
            rising: None,
            commit: window.commit,
        })
    }

    /// Runs it. An error means that the old configuration is in force and everything was resumed as
    /// it was.
    ///
    /// The helper may then still be about something: what it comes to has to be waited for and
    /// undone by the caller.
    pub fn run(
        mut self,
        mut commit: Option<&mut Prepared<'_>>,
        helper: &mut dyn Helper,
    ) -> Done<Passed> {
        let mut errors = vec![None; self.parts.len()];
        if self.commit == CommitPoint::First
            && let end @ (End::NotCommitted(_) | End::PerhapsCommitted(_)) =
                flip(commit.as_deref_mut())
        {
            return Err(self.explain(end, &errors));
        }
        if let Err(end) = self.write_back(helper) {
            return Err(self.explain(end, &errors));
        }
        commit
            .iter()
            .filter(|_| self.commit == CommitPoint::Suspended)
            .for_each(|prepared| prepared.brace());
        let (critical, mut warnings) = self.kernel.enter_window();
        let begun = Instant::now();
        self.held_since = Some(begun);
        let (end, suspended) = self.suspend_all(commit.as_deref_mut(), helper);
        match end {
            End::Through => self.resume_all(&mut errors, helper),
            _ => self.undo(suspended, &mut errors, helper),
        }
        let thawed = self.thaw(helper);
        let held = begun.elapsed();
        drop(critical);
        commit.iter().for_each(|prepared| prepared.relax());
        warnings.extend(thawed.err().map(|errno| {
            format!(
                "a filesystem may still be frozen: {}; 'breakoff recover' thaws it",
                words(errno)
            )
        }));
        match end {
            End::Through => {
                let (asleep, refused) = (self.asleep(&errors), self.refused(&errors));
                Ok(Passed {
                    held,
                    asleep,
                    refused,
                    thawed: thawed == Ok(false),
                    warnings,
                })
            }
            _ => Err(self.explain(end, &errors)),
        }
    }

    /// Suspends, checks and flips; how many of the suspends were done.
    fn suspend_all(
        &mut self,
        commit: Option<&mut Prepared<'_>>,
        helper: &mut dyn Helper,
    ) -> (End, usize) {
        if let Err(end) = self.check_alive() {
            return (end, 0);
        }
        // Every filesystem rests before the first volume does.
        for count in 0..self.down.len() {
            if let Err(end) = self.freeze(count, helper) {
                return (end, 0);
            }
        }
        for count in 0..self.down.len() {
            if let Err(end) = self.suspend(count, helper) {
                return (end, count);
            }
        }
        // All I/O rests: what is seen from here on stays so until the resumes.
        let end = match self.check_in_sync().and_then(|()| self.check_closed()) {
            Err(end) => end,
            Ok(()) => match self.commit {
                CommitPoint::Suspended => flip(commit),
                CommitPoint::First => End::Through,
            },
        };
        (end, self.down.len())
    }

    /// What a mirror holds because of a failed leg would keep a suspend above it waiting.
    fn check_alive(&mut self) -> std::result::Result<(), End> {
        for (at, part) in self.parts.iter_mut().enumerate().filter(|(_, p)| p.alive) {
            match part.device.health() {
                Ok(MirrorHealth::Failed) => return Err(End::NotAlive(at)),
                Ok(MirrorHealth::InSync | MirrorHealth::Copying) => {}
                Err(errno) => return Err(End::CannotCheck(at, errno)),
            }
        }
        Ok(())
    }

    /// The legs that become a snapshot hold what the volume holds at this instant.
    fn check_in_sync(&mut self) -> std::result::Result<(), End> {
        for (at, part) in self.parts.iter_mut().enumerate().filter(|(_, p)| p.check) {
            match part.device.health() {
                Ok(MirrorHealth::InSync) => {}
                Ok(MirrorHealth::Copying | MirrorHealth::Failed) => {
                    return Err(End::NotInSync(at));
                }
                Err(errno) => return Err(End::CannotCheck(at, errno)),
            }
        }
        Ok(())
    }

    /// A process that opens one from now on reads what it holds afterwards: until then its reads
    /// wait.
    fn check_closed(&mut self) -> std::result::Result<(), End> {
        for (at, part) in self.parts.iter_mut().enumerate().filter(|(_, p)| p.closed) {
            match part.device.is_open() {
                Ok(false) => {}
                Ok(true) => return Err(End::Open(at)),
                Err(errno) => return Err(End::CannotCheck(at, errno)),
            }
        }
        Ok(())
    }

    /// Writes back what is to be frozen, while nobody has to wait.
    fn write_back(&mut self, helper: &mut dyn Helper) -> std::result::Result<(), End> {
        for count in 0..self.down.len() {
            let (at, mode) = self.down[count];
            if mode == SuspendMode::Freeze {
                self.ask(helper, Task::WriteBack, at)
                    .map_err(end_of_freeze)?;
            }
        }
        Ok(())
    }

    fn freeze(&mut self, count: usize, helper: &mut dyn Helper) -> std::result::Result<(), End> {
        let (at, mode) = self.down[count];
        let must = self.parts[at].frozen;
        if mode != SuspendMode::Freeze {
            return if must {
                Err(End::NotFrozen(at))
            } else {
                Ok(())
            };
        }
        failpoint::step();
        match self.ask(helper, Task::Freeze, at).map_err(end_of_freeze)? {
            0 => Ok(()),
            _ if must => Err(End::NotFrozen(at)),
            _ => Ok(()),
        }
    }

    fn suspend(&mut self, count: usize, helper: &mut dyn Helper) -> std::result::Result<(), End> {
        let (at, _) = self.down[count];
        failpoint::step();
        self.ask(helper, Task::Suspend, at).map(drop)
    }

    /// Has the helper do something to the device at `at`, and looks after the legs meanwhile.
    fn ask(
        &mut self,
        helper: &mut dyn Helper,
        task: fn(u16) -> Task,
        at: usize,
    ) -> std::result::Result<u32, End> {
        let failed = |errno| End::CannotSuspend(at, errno);
        let entry = self.parts[at].entry.ok_or(failed(Errno(libc::EINVAL)))?;
        helper.begin(task(entry)).map_err(failed)?;
        // While nobody waits for it, it may take its time.
        let (since, patience) = self.held_since.map_or_else(
            || (Instant::now(), PATIENCE),
            |since| (since, self.patience),
        );
        loop {
            if let Some(done) = helper.wait(LOOK) {
                return done.map_err(failed);
            }
            if let Some(mirror) = self.failed() {
                return Err(End::NotAlive(mirror));
            }
            if since.elapsed() > patience {
                return Err(End::NoAnswer(at));
            }
        }
    }

    /// A mirror in which a leg or the log has failed.
    fn failed(&mut self) -> Option<usize> {
        let rising = self.rising;
        let mut others = self
            .parts
            .iter_mut()
            .enumerate()
            .filter(|(at, _)| Some(*at) != rising);
        others
            .find_map(|(at, part)| (part.device.health() == Ok(MirrorHealth::Failed)).then_some(at))
    }

    /// Has everything thawed again that the helper has frozen. That writes to the disks, too:
    /// should a leg fail just now the caller takes it out, and the helper is through after that. So
    /// is one that is still about something else. Whether everything was frozen until now.
    fn thaw(&mut self, helper: &mut dyn Helper) -> std::result::Result<bool, Errno> {
        if helper.is_busy() {
            return Ok(true);
        }
        helper.begin(Task::Thaw)?;
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE && self.failed().is_none() {
            if let Some(thawed) = helper.wait(LOOK) {
                return thawed.map(|number| number == 0);
            }
        }
        Ok(true)
    }

    /// Resumes with the new tables. One more try for each: what stays asleep keeps somebody's I/O
    /// waiting.
    fn resume_all(&mut self, errors: &mut [Option<Errno>], helper: &mut dyn Helper) {
        for count in 0..self.up.len() {
            let at = self.up[count];
            failpoint::step();
            if self.parts[at].tracked {
                errors[at] = self.resume_tracked(at, helper).err();
                continue;
            }
            let device = &mut self.parts[at].device;
            if device.resume().is_err()
                && let Err(errno) = device.resume()
            {
                errors[at] = Some(errno);
            }
        }
    }

    /// A volume whose changes are tracked begins a new era when it is resumed: that commits to its
    /// map, and blocks when the map's disk has died. The helper does it, so that the map can be
    /// replaced meanwhile.
    fn resume_tracked(
        &mut self,
        at: usize,
        helper: &mut dyn Helper,
    ) -> std::result::Result<(), Errno> {
        if helper.is_busy() {
            // It waits itself, and so would we, with the lock. The next command resumes this one,
            // too.
            return Err(Errno(libc::EBUSY));
        }
        let entry = self.parts[at].entry.ok_or(Errno(libc::EINVAL))?;
        self.rising = Some(at);
        let resumed = self.wait_for_map(entry, helper);
        if resumed != Err(Errno(libc::EINPROGRESS)) {
            self.rising = None;
        }
        resumed
    }

    fn wait_for_map(
        &mut self,
        entry: u16,
        helper: &mut dyn Helper,
    ) -> std::result::Result<(), Errno> {
        helper.begin(Task::Resume(entry))?;
        let begun = Instant::now();
        loop {
            if let Some(done) = helper.wait(LOOK) {
                return done.map(drop);
            }
            if self.failed().is_some() || begun.elapsed() > PATIENCE {
                return Err(Errno(libc::EINPROGRESS));
            }
        }
    }

    /// Resumes with the old tables, from the bottom up.
    fn undo(&mut self, suspended: usize, errors: &mut [Option<Errno>], helper: &mut dyn Helper) {
        for count in (0..suspended).rev() {
            let (at, _) = self.down[count];
            let part = &mut self.parts[at];
            // A resume with a loaded inactive table would swap it in.
            if let Err(errno) = part.device.clear() {
                errors[at] = Some(errno);
                continue;
            }
            let resumed = if part.tracked {
                self.resume_tracked(at, helper)
            } else {
                part.device.resume()
            };
            errors[at] = resumed.err();
        }
    }

    fn asleep(&self, errors: &[Option<Errno>]) -> Vec<String> {
        let failed = self
            .parts
            .iter()
            .zip(errors)
            .filter_map(|(part, errno)| errno.map(|errno| (&part.uuid, errno)));
        failed
            .map(|(uuid, errno)| {
                format!(
                    "{} could not be resumed: {}",
                    self.title(uuid),
                    words(errno)
                )
            })
            .collect()
    }

    /// A helper that is still waiting has not been told no.
    fn refused(&self, errors: &[Option<Errno>]) -> Vec<DmUuid> {
        let told = |errno: &Option<Errno>| {
            errno.is_some_and(|errno| ![libc::EBUSY, libc::EINPROGRESS].contains(&errno.0))
        };
        self.parts
            .iter()
            .zip(errors)
            .filter(|(part, errno)| part.tracked && told(errno))
            .map(|(part, _)| part.uuid.clone())
            .collect()
    }

    fn explain(&self, end: End, errors: &[Option<Errno>]) -> Box<Failed> {
        let cause = match end {
            End::Open(at) | End::NotFrozen(at) => Cause::InUse(self.uuid(at).clone()),
            _ => Cause::Other,
        };
        Failed::new(self.error(end, errors), cause)
    }

    fn error(&self, end: End, errors: &[Option<Errno>]) -> Error {
        let error = match end {
            End::CannotFreeze(at, errno) => Error::new(
                if errno.0 == libc::ETIMEDOUT { Kind::TimedOut } else { Kind::Device },
                format!("what rests on {} could not be frozen: {}", self.name(at), words(errno)),
            )
                .on(self.object(at))
                .hint("nothing was changed; see the kernel's log"),
            End::NotFrozen(at) => {
                Error::in_use(format!("not everything that rests on {} could be frozen", self.name(at))).on(self.object(at))
            }
            End::CannotSuspend(at, errno) => {
                let error = Error::device(format!("{} could not be suspended: {}", self.name(at), words(errno))).on(self.object(at));
                if errno.0 == libc::EBUSY {
                    error.hint("somebody else has frozen its filesystem, perhaps in a container: 'fsfreeze -u' there, then try again")
                } else {
                    error.hint("see the kernel's log")
                }
            }
            End::CannotCheck(at, errno) => {
                Error::device(format!("the kernel did not tell the state of {}: {}", self.name(at), words(errno))).on(self.object(at))
            }
            End::NotInSync(at) => Error::not_ready(format!("{} was not in sync on every leg at the instant of the split", self.name(at)))
                .on(self.object(at))
                .hint("'breakoff print' shows the legs; wait with 'breakoff snapwait'"),
            End::NotAlive(at) => Error::device(format!("a leg or the log of {} has just failed; nothing was changed", self.name(at)))
                .on(self.object(at))
                .hint("'breakoff recover' deals with it; then try again"),
            End::Open(at) => Error::in_use(format!("{} has just been opened; nothing was changed", self.name(at)))
                .on(self.object(at))
                .hint("stop its users, then try again"),
            End::NoAnswer(at) => Error::timed_out(format!(
                "{} could not be suspended within {} s: a disk beneath it does not answer; nothing was changed",
                self.name(at),
                self.patience.as_secs_f32()
            ))
            .on(self.object(at))
            .hint("see the kernel's log; what is left of it is undone when the disk answers"),
            End::NotCommitted(errno) => Error::device(format!(
                "the configuration could not be written to any disk of the group{}",
                errno.map_or_else(String::new, |e| format!(": {}", words(e)))
            )),
            End::PerhapsCommitted(errno) => Error::device(format!(
                "whether the new configuration is on a disk of the group is not known{}",
                errno.map_or_else(String::new, |e| format!(": {}", words(e)))
            )),
            End::Through => Error::failed("nothing went wrong"),
        };
        match self.asleep(errors).as_slice() {
            [] => error,
            asleep => error.hint(format!(
                "{}; 'breakoff recover' tries again",
                asleep.join("; ")
            )),
        }
    }

    fn title(&self, uuid: &DmUuid) -> String {
        render::title(self.world, self.new, uuid)
    }

    /// What the device at `at` is called.
    fn name(&self, at: usize) -> String {
        self.title(self.uuid(at))
    }

    /// What an error on it is about.
    fn object(&self, at: usize) -> String {
        render::object(self.world, self.new, self.uuid(at))
    }

    fn uuid(&self, at: usize) -> &DmUuid {
        &self.parts[at].uuid
    }
}

/// How often the legs are looked at while the helper waits.
const LOOK: Duration = Duration::from_millis(20);
/// How long writing back may take that nobody waits for, and what ends a window. What has to be
/// frozen and suspended has less time (see [`crate::sys::machine::Machine::hold_timeout`]):
/// everybody waits then, also those whose disks are well.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a freeze comes to that the helper could not do.
fn end_of_freeze(end: End) -> End {
    match end {
        End::CannotSuspend(at, errno) => End::CannotFreeze(at, errno),
        other => other,
    }
}

/// Makes the configuration valid; where all disks refused, what they really hold decides.
fn flip(commit: Option<&mut Prepared<'_>>) -> End {
    let Some(commit) = commit else {
        return End::Through;
    };
    let result = commit.flip();
    if result.committed() {
        return End::Through;
    }
    match commit.observe() {
        Observed::Committed => End::Through,
        Observed::NotCommitted => End::NotCommitted(result.errno),
        Observed::Unknown => End::PerhapsCommitted(result.errno),
    }
}

fn words(errno: Errno) -> String {
    std::io::Error::from_raw_os_error(errno.0).to_string()
}
