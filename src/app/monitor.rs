//! The monitor: somebody has to be there when a leg dies, because a write that fails on a leg is
//! held until then (K2).
//!
//! One thread, woken by dm events of any device. When a mirror of ours shows a failed letter or has
//! finished, its group is opened, and what is found is recorded and repaired. Only the disks that
//! the group's live tables name are read for that, and what udev knows to be the group's: neither a
//! copy of them that comes into sight nor a foreign disk that hangs keeps a repair waiting. What
//! could not be done is tried again, and said by `status` meanwhile. Killed and started again the
//! monitor finishes what it finds.

use super::scan::Scan;
use super::session::{Session, lock_group};
use super::{Env, Mute, Options, Ui};
use crate::app::session::View;
use crate::error::{Error, Kind, Result};
use crate::exec;
use crate::model::{DmUuid, Group, GroupId, Name};
use crate::sys::machine::Machine;
use crate::sys::process::{Interrupts, Service, UNTIL_IDLE};
use crate::sys::{Kernel, lock};
use crate::table::DmDevice;
use crate::table::status::{MirrorStatus, Seen};
use std::any::Any;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Also without an event everything is looked at this often.
const PATROL: Duration = Duration::from_secs(10);
/// How soon a group is looked at again that a command has locked.
const SOON: Duration = Duration::from_millis(300);
/// How soon what did not work is tried again, and twice as late each time: as long as no disk takes
/// the record of a failure a write waits for this.
const AGAIN: Duration = Duration::from_secs(1);
/// How soon somebody is sent again to thaw what a killed command has left frozen.
const THAW_AGAIN: Duration = Duration::from_secs(60);
/// How long a service waits for another one to end before it says that it is still there.
const ANOTHER: Duration = Duration::from_secs(2);
/// How long somebody may hold the monitor's lock who only looks whether there is one.
const A_MOMENT: Duration = Duration::from_millis(500);
/// Where what a monitor keeps goes: what must survive a reboot may lie on a volume that it guards.
const STATE_DIR: (&str, &str) = ("BREAKOFF_STATE_DIR", "/run/breakoff/state");

/// Runs until a signal arrives (or, started by a command, until no mirror is left).
pub fn run(env: Env<'_>) -> Result<()> {
    let (interrupts, service) = (env.machine.interrupts(), env.machine.service());
    let Some(mut only_one) = only_one(service.as_ref(), interrupts.as_ref(), env)? else {
        return Ok(());
    };
    for wrong in env.machine.stay_resident() {
        env.ui.warn(&format!(
            "{wrong}: a monitor that has to wait for a disk may wait for itself"
        ));
    }
    let kernel = env.machine.kernel()?;
    let mut events = env.machine.events()?;
    let mut watch = Watch::default();
    let mut left = LeftFrozen { since: None };
    service.ready("watching");
    while !interrupts.arrived() {
        env.machine.reap();
        service.alive();
        left.look(env);
        // As long as the kernel does not say what there is, somebody has to ask again.
        let looked = events.arm().and_then(|()| watch.look(kernel.as_ref(), env));
        let waited = match looked {
            Ok(Look::Nothing) if service.is_until_idle() => {
                // Who has made a mirror since, and seen that there is a monitor, relies on it.
                drop(only_one);
                if watched(kernel.as_ref()).is_ok_and(|groups| groups.is_empty()) {
                    return Ok(());
                }
                match lock_group(
                    lock::MONITOR,
                    Some(A_MOMENT),
                    Env {
                        ui: &Quiet(env.ui),
                        ..env
                    },
                ) {
                    Ok(again) => only_one = again,
                    Err(_) => return Ok(()),
                }
                continue;
            }
            Ok(Look::Nothing) => events.wait(service.at_most(PATROL)),
            Ok(Look::Next(next)) => events.wait(service.at_most(next)),
            Err(error) => Err(error),
        };
        if let Err(error) = waited {
            watch.complain(&error, env);
            std::thread::sleep(service.at_most(AGAIN));
        }
    }
    Ok(())
}

/// What killed commands have left frozen. A thaw writes, and waits for a leg that dies in that
/// moment: it is not done by the one who has to take that leg out.
struct LeftFrozen {
    /// When somebody was sent to thaw it.
    since: Option<Instant>,
}

impl LeftFrozen {
    fn look(&mut self, env: Env<'_>) {
        let recently = self.since.is_some_and(|since| since.elapsed() < THAW_AGAIN);
        if recently || !env.machine.has_left_frozen() {
            return;
        }
        self.since = Some(Instant::now());
        if let Err(error) = env.machine.start_detached(&["-q", "recover"], &[]) {
            env.ui.warn(&format!(
                "a filesystem was left frozen, and nobody can be sent to thaw it: {error}"
            ));
        }
    }
}

/// What there is to look after.
enum Look {
    /// Nothing.
    Nothing,
    /// Something; how long it may take until the next look.
    Next(Duration),
}

/// What the monitor remembers from one look to the next.
#[derive(Default)]
struct Watch {
    wards: BTreeMap<GroupId, Ward>,
    /// What kept it from looking at all the last time.
    complaint: Option<String>,
}

/// A group that has a mirror.
#[derive(Default)]
struct Ward {
    /// What was looked after.
    seen: Option<Vec<State>>,
    /// The group as it was read last: when no disk answers any more nobody can say what it is.
    known: Option<Group>,
    /// The warnings of the last look: one that stays the same is said once.
    told: BTreeSet<String>,
    /// When it is looked at again although nothing has happened to it.
    due: Option<Instant>,
    /// How often in a row it could not be looked after.
    failures: u32,
}

/// What decides whether there is anything to be looked after: a device, its legs' letters, and
/// whether it is suspended.
type State = (DmUuid, Option<Seen>, bool);

impl Watch {
    /// Looks after all groups of which there is news.
    fn look(&mut self, kernel: &dyn Kernel, env: Env<'_>) -> Result<Look> {
        let devices = watched(kernel)?;
        self.complaint = None;
        self.wards.retain(|id, _| devices.contains_key(id));
        for (id, devices) in &devices {
            self.wards
                .entry(*id)
                .or_default()
                .look(*id, devices, kernel, env);
        }
        let now = Instant::now();
        let next = self
            .wards
            .values()
            .filter_map(|ward| ward.due)
            .map(|due| due.saturating_duration_since(now))
            .min();
        Ok(if devices.is_empty() {
            Look::Nothing
        } else {
            Look::Next(next.unwrap_or(PATROL).min(PATROL))
        })
    }

    /// Says once what keeps it from looking.
    fn complain(&mut self, error: &Error, env: Env<'_>) {
        let complaint = error.to_string();
        if self.complaint.as_ref() != Some(&complaint) {
            env.ui
                .warn(&format!("the mirrors cannot be looked at: {complaint}"));
        }
        self.complaint = Some(complaint);
    }
}

impl Ward {
    fn look(&mut self, id: GroupId, devices: &[DmDevice], kernel: &dyn Kernel, env: Env<'_>) {
        let state = state_of(devices);
        if self.seen.as_ref() == Some(&state) && self.due.is_none_or(|due| Instant::now() < due) {
            return;
        }
        let once = Once {
            inner: env.ui,
            told: &self.told,
            now: RefCell::default(),
        };
        let tended = tend(
            kernel,
            id,
            devices,
            &mut self.known,
            Env { ui: &once, ..env },
        );
        self.told = once.now.into_inner();
        self.seen = Some(state);
        self.failures = if tended == Tended::Badly {
            self.failures.saturating_add(1)
        } else {
            0
        };
        self.due = match tended {
            Tended::Well => None,
            Tended::Locked => Some(Instant::now() + SOON),
            Tended::Badly => {
                Some(Instant::now() + PATROL.min(AGAIN * 2u32.saturating_pow(self.failures - 1)))
            }
        };
    }
}

/// Makes sure that there is no other one. A service takes over when that one ends; anybody else is
/// told who it is. `None` when a signal arrived meanwhile.
fn only_one(
    service: &dyn Service,
    interrupts: &dyn Interrupts,
    env: Env<'_>,
) -> Result<Option<Box<dyn Any>>> {
    let quiet = Env {
        ui: &Quiet(env.ui),
        ..env
    };
    if !service.is_supervised() {
        // Whoever looks whether there is one holds the lock for a moment.
        return lock_group(lock::MONITOR, Some(A_MOMENT), quiet).map(Some);
    }
    while !interrupts.arrived() {
        match lock_group(lock::MONITOR, Some(service.at_most(ANOTHER)), quiet) {
            Err(error) if error.kind() == Kind::TimedOut => {
                service.ready("another monitor is watching; this one takes over");
            }
            taken => return taken.map(Some),
        }
        service.alive();
    }
    Ok(None)
}

/// The groups that have a mirror, each with its devices.
fn watched(kernel: &dyn Kernel) -> Result<BTreeMap<GroupId, Vec<DmDevice>>> {
    let mut groups: BTreeMap<GroupId, Vec<DmDevice>> = BTreeMap::new();
    for device in kernel.devices()? {
        if let Some(id) = device.uuid.group() {
            groups.entry(id).or_default().push(device);
        }
    }
    groups.retain(|_, devices| devices.iter().any(is_mirror));
    Ok(groups)
}

/// Also one whose status makes no sense.
fn is_mirror(device: &DmDevice) -> bool {
    device.mirror.is_some() || device.table.iter().any(|line| line.target == "mirror")
}

fn state_of(devices: &[DmDevice]) -> Vec<State> {
    devices
        .iter()
        .map(|d| (d.uuid.clone(), d.mirror.as_ref().map(Seen::of), d.suspended))
        .collect()
}

/// What came of looking after a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tended {
    /// There is nothing left to do.
    Well,
    /// A command has the lock.
    Locked,
    /// Something is left that could not be done.
    Badly,
}

/// Looks after a group.
fn tend(
    kernel: &dyn Kernel,
    id: GroupId,
    devices: &[DmDevice],
    known: &mut Option<Group>,
    env: Env<'_>,
) -> Tended {
    let title = known
        .as_ref()
        .map_or_else(|| id.to_string(), |group| group.name.to_string());
    let quiet = Quiet(env.ui);
    let mut session = match Session::open_running(&AT_ONCE, id, Env { ui: &quiet, ..env }) {
        Ok(session) => session,
        Err(error) if error.kind() == Kind::TimedOut => return Tended::Locked,
        Err(error) => {
            env.ui
                .warn(&format!("group '{title}' cannot be looked after: {error}"));
            // Of a group that has no disk any more nobody ever hears.
            let failed = devices
                .iter()
                .any(|d| d.mirror.as_ref().is_some_and(MirrorStatus::has_failed));
            if failed && Scan::of_running(env.machine, id).is_ok_and(|scan| scan.is_lost(id)) {
                exec::fail_held(kernel, id, known.as_ref())
                    .iter()
                    .for_each(|told| env.ui.warn(told));
            }
            return Tended::Badly;
        }
    };
    let (name, before) = (session.world.group.name.clone(), session.world.generation);
    let tended = session.tend();
    *known = Some(session.world.group.clone());
    let worst = match &tended {
        Ok(_) => what_is_left(&session),
        Err(error) => {
            env.ui.warn(&format!("group '{name}': {error}"));
            Tended::Badly
        }
    };
    tended
        .iter()
        .flatten()
        .for_each(|change| env.ui.note(&change.to_string()));
    let unheard = session.world.generation != before && session.lacks_disks();
    drop(session);
    if unheard {
        tell_the_others(&name, env);
    }
    worst
}

/// A repair that did not help, and one that gave up, have said so; what is left of them is tried
/// again.
fn what_is_left(view: &View<'_>) -> Tended {
    match view.next_repair() {
        Ok(None) => Tended::Well,
        Ok(Some(_)) | Err(_) => Tended::Badly,
    }
}

/// A disk of the group that no table names, and udev does not know, has an old configuration now.
/// That is made up for when nobody is waiting any more: should the others be lost it would be taken
/// for true.
fn tell_the_others(name: &Name, env: Env<'_>) {
    if let Ok(mut session) = Session::open(&AT_ONCE, name, Env { ui: &Mute, ..env }) {
        session.heal();
    }
}

/// How long a command may keep the monitor waiting before it looks elsewhere.
const AT_ONCE: Options = Options {
    group: None,
    dry_run: false,
    yes: false,
    background: false,
    timeout: Some(Duration::from_secs(2)),
};

/// Says a warning once as long as it stays.
struct Once<'u> {
    inner: &'u dyn Ui,
    told: &'u BTreeSet<String>,
    now: RefCell<BTreeSet<String>>,
}

impl Ui for Once<'_> {
    fn note(&self, text: &str) {
        self.inner.note(text);
    }
    fn warn(&self, text: &str) {
        if self.now.borrow_mut().insert(text.to_owned()) && !self.told.contains(text) {
            self.inner.warn(text);
        }
    }
    fn progress(&self, _copies: &[super::Progress]) {}
    fn progress_end(&self) {}
    fn confirm(&self, _question: &str) -> bool {
        false
    }
}

/// Warnings only: waiting for a lock is everyday life here.
struct Quiet<'u>(&'u dyn Ui);

impl Ui for Quiet<'_> {
    fn note(&self, _text: &str) {}
    fn warn(&self, text: &str) {
        self.0.warn(text);
    }
    fn progress(&self, _copies: &[super::Progress]) {}
    fn progress_end(&self) {}
    fn confirm(&self, _question: &str) -> bool {
        false
    }
}

/// How it was found that the mirrors are watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Watched {
    /// They were, or somebody is just about it.
    Already,
    /// They were not; a monitor was started.
    Started,
    /// They are not, and why.
    Not(String),
}

/// Makes sure that a monitor runs.
pub fn start(env: Env<'_>) -> Watched {
    match lock_group(
        lock::MONITOR,
        Some(Duration::ZERO),
        Env { ui: &Mute, ..env },
    ) {
        Ok(free) => drop(free),
        Err(error) if error.kind() == Kind::TimedOut => return Watched::Already,
        Err(error) => {
            return Watched::Not(format!(
                "whether 'breakoff monitor' runs is not known: {error}"
            ));
        }
    }
    match env
        .machine
        .start_detached(&["monitor"], &[(UNTIL_IDLE, "1"), STATE_DIR])
    {
        Ok(()) => Watched::Started,
        Err(error) => Watched::Not(format!(
            "'breakoff monitor' could not be started ({error}): until it runs, writes wait when a leg fails"
        )),
    }
}

/// The same, said to whoever has called; for commands that leave a mirror behind, or see one.
pub fn ensure(env: Env<'_>) {
    match start(env) {
        Watched::Already => {}
        Watched::Started => env.ui.note(
            "started 'breakoff monitor', which looks after the mirrors as long as there are any",
        ),
        Watched::Not(why) => env.ui.warn(&why),
    }
}

/// Whether there is anything to watch.
pub fn has_work(machine: &dyn Machine) -> bool {
    machine
        .kernel()
        .and_then(|kernel| watched(kernel.as_ref()))
        .is_ok_and(|groups| !groups.is_empty())
}
