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
use crate::error::{Error, Result};
use crate::meta::{Observed, Prepared};
use crate::model::{DmUuid, Group};
use crate::plan::render;
use crate::plan::step::{CommitPoint, Plan, Window};
use crate::plan::world::World;
use crate::sys::helper::{Act, Charge, Helper};
use crate::sys::{ArmedDevice, Errno, Kernel, MirrorHealth, failpoint};
use crate::table::{Links, SuspendMode};
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
    devices: Vec<(DmUuid, Box<dyn ArmedDevice>)>,
    suspend: Vec<(usize, SuspendMode)>,
    alive: Vec<usize>,
    check: Vec<usize>,
    closed: Vec<usize>,
    resume: Vec<usize>,
    tracked: Vec<usize>,
    frozen: Vec<usize>,
    /// What the helper knows, in its order.
    charges: Vec<usize>,
    /// The device that the helper is resuming: it may be a mirror now, and in the next moment an
    /// era that does not answer (K7).
    rising: Option<usize>,
    commit: CommitPoint,
}

/// What a helper may be asked about in this window: what is suspended, then what else begins an era
/// when it is resumed.
pub fn charges(window: &Window) -> Vec<Charge> {
    let links = |uuid: &DmUuid| {
        window
            .resume
            .iter()
            .find(|(other, _)| other == uuid)
            .map(|(_, links)| *links)
    };
    let charge = |uuid: &DmUuid, mode| Charge {
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
        .map(|(uuid, mode)| charge(uuid, *mode));
    suspend
        .chain(resumed.map(|uuid| charge(uuid, SuspendMode::NoFlush)))
        .collect()
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
        let mut armed = Armed {
            kernel: on.kernel,
            world,
            new: &plan.group,
            patience: on.machine.hold_timeout(),
            held_since: None,
            devices: Vec::new(),
            suspend: Vec::new(),
            alive: Vec::new(),
            check: Vec::new(),
            closed: Vec::new(),
            resume: Vec::new(),
            tracked: Vec::new(),
            frozen: Vec::new(),
            charges: Vec::new(),
            rising: None,
            commit: window.commit,
        };
        for (uuid, links) in &window.resume {
            let at = armed.device(uuid, *links)?;
            armed.resume.push(at);
        }
        for (uuid, mode) in &window.suspend {
            let at = armed.device(uuid, Links::Hidden)?;
            armed.suspend.push((at, *mode));
        }
        for uuid in &window.alive {
            let at = armed.device(uuid, Links::Hidden)?;
            armed.alive.push(at);
        }
        for uuid in &window.check {
            let at = armed.device(uuid, Links::Hidden)?;
            armed.check.push(at);
        }
        for uuid in &window.closed {
            let at = armed.device(uuid, Links::Hidden)?;
            armed.closed.push(at);
        }
        let known = |uuid: &DmUuid| armed.devices.iter().position(|(known, _)| known == uuid);
        armed.tracked = window.tracked.iter().filter_map(known).collect();
        armed.frozen = window.frozen.iter().filter_map(known).collect();
        armed.charges = charges(window)
            .iter()
            .filter_map(|charge| known(&charge.uuid))
            .collect();
        Ok(armed)
    }

    fn device(&mut self, uuid: &DmUuid, links: Links) -> Result<usize> {
        if let Some(at) = self.devices.iter().position(|(known, _)| known == uuid) {
            return Ok(at);
        }
        self.devices
            .push((uuid.clone(), self.kernel.arm(uuid, links)?));
        Ok(self.devices.len() - 1)
    }

    /// Runs it. An error means that the old configuration is in force and everything was resumed as
    /// it was.
    ///
    /// The helper may then still be about something: what it comes to has to be waited for and
    /// undone by the caller.
    pub fn run(
        mut self,
        mut commit: Option<&mut Prepared<'_>>,
        mut aid: super::Aid<'_>,
    ) -> Done<Passed> {
        let mut errors = vec![None; self.devices.len()];
        if self.commit == CommitPoint::First
            && let end @ (End::NotCommitted(_) | End::PerhapsCommitted(_)) =
                flip(commit.as_deref_mut())
        {
            return Err(self.explain(end, &errors));
        }
        if let Err(end) = self.write_back(&mut aid) {
            return Err(self.explain(end, &errors));
        }
        commit
            .iter()
            .filter(|_| self.commit == CommitPoint::Suspended)
            .for_each(|prepared| prepared.brace());
        let (critical, mut warnings) = self.kernel.enter_window();
        let begun = Instant::now();
        self.held_since = Some(begun);
        let (end, suspended) = self.down(commit.as_deref_mut(), &mut aid);
        match end {
            End::Through => self.up(&mut errors, &mut aid),
            _ => self.back(suspended, &mut errors, &mut aid),
        }
        let thawed = self.thaw(&mut aid);
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
    fn down(
        &mut self,
        commit: Option<&mut Prepared<'_>>,
        aid: &mut super::Aid<'_>,
    ) -> (End, usize) {
        for at in &self.alive {
            match self.devices[*at].1.health() {
                Ok(MirrorHealth::Failed) => return (End::NotAlive(*at), 0),
                Ok(MirrorHealth::InSync | MirrorHealth::Copying) => {}
                Err(errno) => return (End::CannotCheck(*at, errno), 0),
            }
        }
        // Every filesystem rests before the first volume does.
        for count in 0..self.suspend.len() {
            if let Err(end) = self.freeze(count, aid) {
                return (end, 0);
            }
        }
        for count in 0..self.suspend.len() {
            if let Err(end) = self.suspend(count, aid) {
                return (end, count);
            }
        }
        let all = self.suspend.len();
        for at in &self.check {
            match self.devices[*at].1.health() {
                Ok(MirrorHealth::InSync) => {}
                Ok(MirrorHealth::Copying | MirrorHealth::Failed) => {
                    return (End::NotInSync(*at), all);
                }
                Err(errno) => return (End::CannotCheck(*at, errno), all),
            }
        }
        // Who opens one from now on reads what it holds afterwards: until then reads wait.
        for at in &self.closed {
            match self.devices[*at].1.is_open() {
                Ok(false) => {}
                Ok(true) => return (End::Open(*at), all),
                Err(errno) => return (End::CannotCheck(*at, errno), all),
            }
        }
        match self.commit {
            CommitPoint::Suspended => (flip(commit), all),
            CommitPoint::First => (End::Through, all),
        }
    }

    /// Writes back what is to be frozen, while nobody has to wait.
    fn write_back(&mut self, aid: &mut super::Aid<'_>) -> std::result::Result<(), End> {
        let Some(helper) = aid.as_deref_mut() else {
            return Ok(());
        };
        for count in 0..self.suspend.len() {
            let (at, mode) = self.suspend[count];
            if mode == SuspendMode::Freeze {
                self.ask(helper, Act::WriteBack(entry(count)), at)
                    .map_err(end_of_freeze)?;
            }
        }
        Ok(())
    }

    /// Without a helper the suspend freezes what it can, which is not called frozen.
    fn freeze(&mut self, count: usize, aid: &mut super::Aid<'_>) -> std::result::Result<(), End> {
        let (at, mode) = self.suspend[count];
        let must = self.frozen.contains(&at);
        let Some(helper) = aid.as_deref_mut().filter(|_| mode == SuspendMode::Freeze) else {
            return if must {
                Err(End::NotFrozen(at))
            } else {
                Ok(())
            };
        };
        failpoint::step();
        match self
            .ask(helper, Act::Freeze(entry(count)), at)
            .map_err(end_of_freeze)?
        {
            0 => Ok(()),
            _ if must => Err(End::NotFrozen(at)),
            _ => Ok(()),
        }
    }

    fn suspend(&mut self, count: usize, aid: &mut super::Aid<'_>) -> std::result::Result<(), End> {
        let (at, mode) = self.suspend[count];
        failpoint::step();
        match aid.as_deref_mut() {
            Some(helper) => self.ask(helper, Act::Suspend(entry(count)), at).map(drop),
            None => self.devices[at]
                .1
                .suspend(mode)
                .map_err(|errno| End::CannotSuspend(at, errno)),
        }
    }

    /// Has the helper do something to the device at `at`, and looks after the legs meanwhile.
    fn ask(
        &mut self,
        helper: &mut dyn Helper,
        act: Act,
        at: usize,
    ) -> std::result::Result<u32, End> {
        let failed = |errno| End::CannotSuspend(at, errno);
        helper.begin(act).map_err(failed)?;
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
            .devices
            .iter_mut()
            .enumerate()
            .filter(|(at, _)| Some(*at) != rising);
        others.find_map(|(at, (_, device))| {
            (device.health() == Ok(MirrorHealth::Failed)).then_some(at)
        })
    }

    /// Has everything thawed again that the helper has frozen. That writes to the disks, too:
    /// should a leg fail just now the caller takes it out, and the helper is through after that. So
    /// is one that is still about something else. Whether everything was frozen until now.
    fn thaw(&mut self, aid: &mut super::Aid<'_>) -> std::result::Result<bool, Errno> {
        let Some(helper) = aid.as_deref_mut().filter(|helper| !helper.is_busy()) else {
            return Ok(true);
        };
        helper.begin(Act::Thaw)?;
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
    fn up(&mut self, errors: &mut [Option<Errno>], aid: &mut super::Aid<'_>) {
        for count in 0..self.resume.len() {
            let at = self.resume[count];
            failpoint::step();
            if let Some(came) = self.resume_tracked(at, aid) {
                errors[at] = came.err();
                continue;
            }
            let device = &mut self.devices[at].1;
            if device.resume().is_err()
                && let Err(errno) = device.resume()
            {
                errors[at] = Some(errno);
            }
        }
    }

    /// A volume whose changes are tracked begins a new era when it is resumed, and waits for its
    /// map. The helper does, so that a map whose disk dies in that moment can be replaced. `None`:
    /// this is not one, or there is no helper.
    fn resume_tracked(
        &mut self,
        at: usize,
        aid: &mut super::Aid<'_>,
    ) -> Option<std::result::Result<(), Errno>> {
        let entry = self
            .charges
            .iter()
            .position(|charge| *charge == at && self.tracked.contains(&at))
            .map(entry)?;
        let helper = aid.as_deref_mut()?;
        if helper.is_busy() {
            // It waits itself, and so would we, with the lock. Whoever looks next resumes this one,
            // too.
            return Some(Err(Errno(libc::EBUSY)));
        }
        self.rising = Some(at);
        if let Err(errno) = helper.begin(Act::Resume(entry)) {
            self.rising = None;
            return Some(Err(errno));
        }
        let begun = Instant::now();
        loop {
            if let Some(done) = helper.wait(LOOK) {
                self.rising = None;
                return Some(done.map(drop));
            }
            if self.failed().is_some() || begun.elapsed() > PATIENCE {
                return Some(Err(Errno(libc::EINPROGRESS)));
            }
        }
    }

    /// Resumes with the old tables, from the bottom up.
    fn back(&mut self, suspended: usize, errors: &mut [Option<Errno>], aid: &mut super::Aid<'_>) {
        for count in (0..suspended).rev() {
            let (at, _) = self.suspend[count];
            // A resume with a loaded inactive table would swap it in.
            if let Err(errno) = self.devices[at].1.clear() {
                errors[at] = Some(errno);
                continue;
            }
            if let Some(came) = self.resume_tracked(at, aid) {
                errors[at] = came.err();
                continue;
            }
            if let Err(errno) = self.devices[at].1.resume() {
                errors[at] = Some(errno);
            }
        }
    }

    fn asleep(&self, errors: &[Option<Errno>]) -> Vec<String> {
        let failed = self
            .devices
            .iter()
            .zip(errors)
            .filter_map(|((uuid, _), errno)| errno.map(|errno| (uuid, errno)));
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
        let told = |at: &&usize| {
            errors[**at].is_some_and(|errno| ![libc::EBUSY, libc::EINPROGRESS].contains(&errno.0))
        };
        self.tracked
            .iter()
            .filter(told)
            .map(|at| self.uuid(*at).clone())
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
            End::CannotFreeze(at, errno) => Error::device(format!("what rests on {} could not be frozen: {}", self.name(at), words(errno)))
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
        &self.devices[at].0
    }
}

/// How often the legs are looked at while the helper waits.
const LOOK: Duration = Duration::from_millis(20);
/// How long writing back may take that nobody waits for, and what ends a window. What has to be
/// frozen and suspended has less time (see [`crate::sys::machine::Machine::hold_timeout`]):
/// everybody waits then, also those whose disks are well.
const PATIENCE: Duration = Duration::from_secs(30);

fn entry(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}

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
