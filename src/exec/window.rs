//! The window: suspend, check, flip, resume. Everything that it needs is opened, allocated and
//! encoded beforehand.
//!
//! While a volume is suspended nothing in here allocates, logs or opens a file: memory pressure or
//! a log file on a frozen filesystem would otherwise hang the machine. Results are kept as numbers
//! and turned into text afterwards.
//!
//! The window's helper (see `sys::helper`) makes the calls that may block on a disk; its memory is
//! locked as ours is. Meanwhile the command polls the mirrors beneath: a leg that fails ends the
//! window, so that the next step can take it out.

use super::{Cause, Done, Failed, On};
use crate::advice::{Advised, Hint, Of};
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
    /// Names of the devices for messages, which are made after the window.
    world: &'k World,
    new: &'k Group,
    /// How long a disk may keep the window waiting from the first freeze on, and the time of that
    /// freeze.
    patience: Duration,
    held_since: Option<Instant>,
    parts: Vec<Part>,
    /// What is suspended, in that order.
    down: Vec<(usize, SuspendMode)>,
    /// What is resumed, in that order.
    up: Vec<usize>,
    /// The device that the helper is resuming. It is not polled: it may be a mirror now and, a
    /// moment later, an era whose status call blocks (K7).
    rising: Option<usize>,
    commit: CommitPoint,
}

/// A device of a window, with what the plan says of it (the lists of [`Window`]).
struct Part {
    uuid: DmUuid,
    device: Box<dyn ArmedDevice>,
    /// Its index among the devices of the helper.
    entry: Option<u16>,
    alive: bool,
    check: bool,
    closed: bool,
    tracked: bool,
    frozen: bool,
}

/// The devices that the helper of a window is given: those that are suspended, then tracked volumes
/// that are only resumed, which begins an era.
pub fn helper_devices(window: &Window) -> Vec<HelperDevice> {
    let links = links_after(window);
    let device = |uuid: &DmUuid, mode| HelperDevice {
        uuid: uuid.clone(),
        mode,
        links: links.get(uuid).copied().unwrap_or(Links::Hidden),
    };
    let suspended: BTreeSet<&DmUuid> = window.suspend.iter().map(|(uuid, _)| uuid).collect();
    let resumed = window
        .tracked
        .iter()
        .filter(|uuid| links.contains_key(uuid) && !suspended.contains(uuid));
    let suspend = window
        .suspend
        .iter()
        .map(|(uuid, mode)| device(uuid, *mode));
    suspend
        .chain(resumed.map(|uuid| device(uuid, SuspendMode::NoFlush)))
        .collect()
}

/// The devices that are resumed, and the links that udev makes for them.
fn links_after(window: &Window) -> BTreeMap<&DmUuid, Links> {
    let resumed = window.resume.iter();
    resumed.map(|(uuid, links)| (uuid, *links)).collect()
}

/// The indexes of the helper's devices. A task has 16 bits for one.
fn entries(devices: &[HelperDevice]) -> Result<BTreeMap<&DmUuid, u16>> {
    let numbers = 0..=u16::MAX;
    if devices.len() > numbers.len() {
        return Err(Error::failed(format!(
            "this would suspend {} devices at one instant, at most {} are supported",
            devices.len(),
            numbers.len()
        ))
        .hint("name fewer volumes at a time"));
    }
    Ok(devices.iter().map(|d| &d.uuid).zip(numbers).collect())
}

/// Every device that a window names, opened once.
fn parts(kernel: &dyn Kernel, window: &Window) -> Result<Vec<Part>> {
    let devices = helper_devices(window);
    let (entries, links) = (entries(&devices)?, links_after(window));
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

/// How a window ended, without text: nothing may be allocated while I/O is held.
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

/// The result of a window that went through.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Passed {
    /// How long I/O was held: from the first freeze to the end of the thaw.
    pub held: Duration,
    /// Devices that could not be resumed, as text. The next converging command tries them again.
    pub asleep: Vec<String>,
    /// Those among them that the kernel refused to resume with their map of changes.
    pub refused: Vec<DmUuid>,
    /// Whether another process thawed a filesystem too early; the helper knows which.
    pub thawed: bool,
    /// Measures that were not possible, such as locking memory.
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
    /// The helper may then still be busy: the caller has to wait for its task to end, and undo it.
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
        let holds = !self.down.is_empty() || !self.up.is_empty();
        commit
            .iter()
            .filter(|_| holds && self.commit == CommitPoint::Suspended)
            .for_each(|prepared| prepared.brace());
        let (critical, warnings) = holds.then(|| self.kernel.enter_window()).unzip();
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
        let mut warnings = warnings.unwrap_or_default();
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
        // All filesystems are frozen before the first suspend: a freeze writes to the volumes.
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

    /// A mirror with a failed leg holds writes, and a suspend above it would block on these (K2).
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

    /// A process that opens one from now on reads its new contents: its reads wait until the
    /// resume.
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

    /// Writes back dirty pages before any I/O is held, so that the freeze has little to write.
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

    /// Has the helper do something to the device at `at`, and polls the mirrors meanwhile.
    fn ask(
        &mut self,
        helper: &mut dyn Helper,
        task: fn(u16) -> Task,
        at: usize,
    ) -> std::result::Result<u32, End> {
        let failed = |errno| End::CannotSuspend(at, errno);
        let entry = self.parts[at].entry.ok_or(failed(Errno(libc::EINVAL)))?;
        helper.begin(task(entry)).map_err(failed)?;
        // Before the first freeze no I/O is held, and the task may take longer.
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

    /// Has the helper thaw everything that it has frozen; whether all of it was still frozen. A
    /// thaw writes to the disks, too: if a leg fails now, the helper blocks until the caller has
    /// taken the leg out, as does a helper that is still busy with another task.
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

    /// Resumes with the new tables.
    fn resume_all(&mut self, errors: &mut [Option<Errno>], helper: &mut dyn Helper) {
        for count in 0..self.up.len() {
            let at = self.up[count];
            failpoint::step();
            if self.parts[at].tracked {
                errors[at] = self.resume_tracked(at, helper).err();
                continue;
            }
            errors[at] = resume(self.parts[at].device.as_mut()).err();
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
            // It blocks, and so would this process, which holds the group's lock. The next command
            // resumes this device, too.
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

    /// Resumes with the old tables, from the bottom up: a device above would wait for its lower
    /// ones.
    fn undo(&mut self, suspended: usize, errors: &mut [Option<Errno>], helper: &mut dyn Helper) {
        for count in (0..suspended).rev() {
            let (at, _) = self.down[count];
            let part = &mut self.parts[at];
            // A resume would make a loaded inactive table live.
            if let Err(errno) = part.device.clear() {
                errors[at] = Some(errno);
                continue;
            }
            let resumed = if part.tracked {
                self.resume_tracked(at, helper)
            } else {
                resume(part.device.as_mut())
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

    /// The tracked devices whose resume the kernel refused; a resume that still blocks was not
    /// refused.
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
            End::Through
            | End::CannotSuspend(..)
            | End::CannotFreeze(..)
            | End::CannotCheck(..)
            | End::NotInSync(_)
            | End::NotAlive(_)
            | End::NoAnswer(_)
            | End::NotCommitted(_)
            | End::PerhapsCommitted(_) => Cause::Other,
        };
        Failed::new(self.error(end, errors), cause)
    }

    fn error(&self, end: End, errors: &[Option<Errno>]) -> Error {
        let error = self.ended(end);
        match self.asleep(errors).as_slice() {
            [] => error,
            asleep => error.hint(
                Hint::from(asleep.join("; "))
                    .and("; ")
                    .line(Advised::Recover)
                    .and(" tries again"),
            ),
        }
    }

    /// Why the window ended before it was through.
    fn ended(&self, end: End) -> Error {
        match end {
            End::CannotFreeze(at, errno) => Error::new(
                if errno.0 == libc::ETIMEDOUT { Kind::TimedOut } else { Kind::Device },
                format!("the filesystems on {} could not be frozen: {}", self.name(at), words(errno)),
            )
                .on(self.object(at))
                .hint("nothing was changed; see the kernel's log"),
            End::NotFrozen(at) => {
                Error::in_use(format!("not every filesystem on {} could be frozen", self.name(at))).on(self.object(at))
            }
            End::CannotSuspend(at, errno) => {
                let error = Error::device(format!("{} could not be suspended: {}", self.name(at), words(errno))).on(self.object(at));
                if errno.0 == libc::EBUSY {
                    error.hint("another process has frozen its filesystem, perhaps in a container: 'fsfreeze -u' there, then try again")
                } else {
                    error.hint("see the kernel's log")
                }
            }
            End::CannotCheck(at, errno) => {
                Error::device(format!("the kernel did not report the state of {}: {}", self.name(at), words(errno))).on(self.object(at))
            }
            End::NotInSync(at) => Error::not_ready(format!("{} was not in sync on every leg at the instant of the split", self.name(at)))
                .on(self.object(at))
                .hint(
                    Hint::from(Advised::Print(Of::verb()))
                        .and(" shows the legs; wait with ")
                        .line(Advised::SnapWait(Of::verb())),
                ),
            End::NotAlive(at) => Error::device(format!("a leg or the log of {} has just failed; nothing was changed", self.name(at)))
                .on(self.object(at))
                .hint(Hint::from(Advised::Recover).and(" takes it out; then try again")),
            End::Open(at) => Error::in_use(format!("{} has just been opened; nothing was changed", self.name(at)))
                .on(self.object(at))
                .hint("stop its users, then try again"),
            End::NoAnswer(at) => Error::timed_out(format!(
                "{} could not be suspended within {} s: a disk beneath it does not answer; nothing was changed",
                self.name(at),
                self.patience.as_secs_f32()
            ))
            .on(self.object(at))
            .hint("see the kernel's log; the suspend is undone when the disk answers"),
            End::NotCommitted(errno) => Error::device(format!(
                "the configuration could not be written to any disk of the group{}",
                errno.map_or_else(String::new, |e| format!(": {}", words(e)))
            )),
            End::PerhapsCommitted(errno) => Error::device(format!(
                "whether the new configuration is on a disk of the group is not known{}",
                errno.map_or_else(String::new, |e| format!(": {}", words(e)))
            )),
            End::Through => Error::failed("nothing went wrong"),
        }
    }

    fn title(&self, uuid: &DmUuid) -> String {
        render::title(self.world, self.new, uuid)
    }

    /// The name of the device at `at`, for messages.
    fn name(&self, at: usize) -> String {
        self.title(self.uuid(at))
    }

    /// The object of an error about it.
    fn object(&self, at: usize) -> String {
        render::object(self.world, self.new, self.uuid(at))
    }

    fn uuid(&self, at: usize) -> &DmUuid {
        &self.parts[at].uuid
    }
}

/// How often the mirrors are polled while the helper works.
const LOOK: Duration = Duration::from_millis(20);
/// How long the writeback before a window may take, and the resumes and the thaw at its end.
/// Freezes and suspends have less time ([`crate::sys::machine::Machine::hold_timeout`]): all users
/// of all volumes of the window wait then, also those on healthy disks.
const PATIENCE: Duration = Duration::from_secs(30);

/// Resumes a device, and retries once: while it stays suspended, it holds I/O.
pub(super) fn resume(device: &mut dyn ArmedDevice) -> std::result::Result<(), Errno> {
    device.resume().or_else(|_| device.resume())
}

/// The end of a window whose freeze the helper could not do.
fn end_of_freeze(end: End) -> End {
    match end {
        End::CannotSuspend(at, errno) => End::CannotFreeze(at, errno),
        other => other,
    }
}

/// Makes the configuration valid. If every disk reported an error, reads back what they really
/// hold.
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::{GroupId, Role, VolumeId};

    /// Refuses its first resumes.
    struct Refuses(u32);

    impl ArmedDevice for Refuses {
        fn suspend(&mut self, _: SuspendMode) -> std::result::Result<(), Errno> {
            Err(Errno(libc::ENXIO))
        }
        fn health(&mut self) -> std::result::Result<MirrorHealth, Errno> {
            Err(Errno(libc::ENXIO))
        }
        fn open_count(&mut self) -> std::result::Result<u32, Errno> {
            Err(Errno(libc::ENXIO))
        }
        fn clear(&mut self) -> std::result::Result<(), Errno> {
            Err(Errno(libc::ENXIO))
        }
        fn resume(&mut self) -> std::result::Result<(), Errno> {
            if self.0 == 0 {
                return Ok(());
            }
            self.0 -= 1;
            Err(Errno(libc::ENOMEM))
        }
    }

    #[test]
    fn a_resume_is_tried_twice() {
        assert_eq!(resume(&mut Refuses(0)), Ok(()));
        assert_eq!(resume(&mut Refuses(1)), Ok(()));
        assert_eq!(resume(&mut Refuses(2)), Err(Errno(libc::ENOMEM)));
    }

    /// An index that began again at 0 would suspend another volume's device.
    #[test]
    fn a_helper_is_given_as_many_devices_as_a_task_can_count() {
        let group = GroupId::random();
        let device = |number| HelperDevice {
            uuid: DmUuid::new(group, VolumeId::random(), &Role::Plex(number)),
            mode: SuspendMode::Flush,
            links: Links::Hidden,
        };
        let mut devices: Vec<HelperDevice> = (0..=u16::MAX).map(device).collect();
        let all = entries(&devices).unwrap();
        assert_eq!(all.len(), 65536);
        assert_eq!(all[&devices[65535].uuid], 65535);
        devices.push(device(0));
        let error = entries(&devices).unwrap_err();
        assert!(error.message().contains("65537 devices"), "{error}");
    }
}
