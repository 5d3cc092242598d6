//! The monitor: somebody has to be there when a leg dies, because a write that fails on a leg is held until then (K2).
//!
//! One thread, woken by dm events of any device. When a mirror of ours shows a failed letter or has finished, its group is opened
//! like any other command opens it, and what is found is recorded and repaired. Killed and started again it finishes what it finds.

use super::scan::Scan;
use super::session::{Session, lock_group};
use super::{Env, Options, Ui};
use crate::error::{Kind, Result};
use crate::exec;
use crate::model::{Group, GroupId, Name};
use crate::plan::world::DmDevice;
use crate::report::text;
use crate::sys::service::{self, Service};
use crate::sys::signal::Interrupts;
use crate::sys::{Kernel, lock};
use crate::table::status::{MirrorStatus, Seen};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use std::any::Any;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Also without an event everything is looked at this often.
const PATROL: Duration = Duration::from_secs(10);
/// How soon a group is looked at again that a command has locked.
const SOON: Duration = Duration::from_millis(300);
/// How soon what did not work is tried again, and twice as late each time: as long as no disk takes the record of a failure a write
/// waits for this.
const AGAIN: Duration = Duration::from_secs(1);
/// How soon somebody is sent again to thaw what a killed command has left frozen.
const THAW_AGAIN: Duration = Duration::from_secs(60);
/// How long a service waits for another one to end before it says that it is still there.
const ANOTHER: Duration = Duration::from_secs(2);
/// Where what a monitor keeps goes: what must survive a reboot may lie on a volume that it guards.
const STATE_DIR: (&str, &str) = ("BREAKOFF_STATE_DIR", "/run/breakoff/state");
/// Set for a monitor that a command has started: it ends when there is no mirror left to guard.
const UNTIL_IDLE: &str = "BREAKOFF_MONITOR_UNTIL_IDLE";

/// Runs until a signal arrives (or, started by a command, until no mirror is left).
pub fn run(env: Env<'_>) -> Result<()> {
    let interrupts = Interrupts::catch();
    let service = Service::from_environment();
    let Some(_only_one) = only_one(&service, &interrupts, env)? else { return Ok(()) };
    for wrong in service::stay_resident() {
        env.ui.warn(&format!("{wrong}: a monitor that has to wait for a disk may wait for itself"));
    }
    let until_idle = std::env::var_os(UNTIL_IDLE).is_some();
    let kernel = env.machine.kernel()?;
    let mut events = env.machine.events()?;
    let mut watch = Watch { seen: None, known: BTreeMap::new(), told: BTreeSet::new(), again: AGAIN };
    let mut left = LeftFrozen { since: None };
    service.ready("watching");
    while !interrupts.arrived() {
        reap_hooks();
        service.alive();
        events.arm()?;
        let now = mirrors(kernel.as_ref())?;
        if until_idle && now.is_empty() {
            return Ok(());
        }
        left.look(env);
        let next = watch.look(kernel.as_ref(), &now, env);
        events.wait(service.at_most(next))?;
    }
    Ok(())
}

/// What killed commands have left frozen. A thaw writes, and waits for a leg that dies in that moment: it is not done by the one who
/// has to take that leg out.
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
            env.ui.warn(&format!("a filesystem was left frozen, and nobody can be sent to thaw it: {error}"));
        }
    }
}

/// What the monitor remembers from one look to the next.
struct Watch {
    /// What was looked after, all of it.
    seen: Option<Vec<(String, Seen)>>,
    /// The groups as they were read last: when no disk answers any more nobody can say what they are.
    known: BTreeMap<GroupId, Group>,
    /// The warnings of the last look: one that stays the same is said once.
    told: BTreeSet<String>,
    /// How long what did not work is left alone.
    again: Duration,
}

impl Watch {
    /// Looks after everything if there is news; how long it may take until the next look.
    fn look(&mut self, kernel: &dyn Kernel, mirrors: &[DmDevice], env: Env<'_>) -> Duration {
        let state = state_of(mirrors);
        if self.seen.as_ref() == Some(&state) {
            return PATROL;
        }
        let once = Once { inner: env.ui, told: &self.told, now: RefCell::default() };
        let done = tend(kernel, mirrors, &mut self.known, Env { ui: &once, ..env });
        self.told = once.now.into_inner();
        // What could not be looked after is looked at again soon.
        self.seen = (done == Tended::Well).then_some(state);
        match done {
            Tended::Well => {
                self.again = AGAIN;
                PATROL
            }
            Tended::Locked => SOON,
            Tended::Badly => {
                let twice = PATROL.min(self.again * 2);
                std::mem::replace(&mut self.again, twice)
            }
        }
    }
}

/// Makes sure that there is no other one. A service takes over when that one ends; anybody else is told who it is. `None` when a
/// signal arrived meanwhile.
fn only_one(service: &Service, interrupts: &Interrupts, env: Env<'_>) -> Result<Option<Box<dyn Any>>> {
    let quiet = Env { ui: &Quiet(env.ui), ..env };
    if !service.is_supervised() {
        return lock_group(lock::MONITOR, Some(Duration::ZERO), env).map(Some);
    }
    while !interrupts.arrived() {
        match lock_group(lock::MONITOR, Some(service.at_most(ANOTHER)), quiet) {
            Err(error) if error.kind() == Kind::TimedOut => service.ready("another monitor is watching; this one takes over"),
            taken => return taken.map(Some),
        }
        service.alive();
    }
    Ok(None)
}

/// Hooks that have ended; nobody else here has children for longer than a call.
fn reap_hooks() {
    while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
        if status == WaitStatus::StillAlive {
            return;
        }
    }
}

fn mirrors(kernel: &dyn Kernel) -> Result<Vec<DmDevice>> {
    Ok(kernel.devices()?.into_iter().filter(|d| d.mirror.is_some()).collect())
}

/// What decides whether anything has to be looked at.
fn state_of(mirrors: &[DmDevice]) -> Vec<(String, Seen)> {
    let status = |d: &DmDevice| d.mirror.as_ref().map(|m| (d.uuid.to_string(), Seen::of(m)));
    mirrors.iter().filter_map(status).collect()
}

/// What came of looking after the groups; the least of all counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tended {
    Well,
    /// A command has the lock.
    Locked,
    /// Something is left that could not be done.
    Badly,
}

/// Looks after every group that has a mirror.
fn tend(kernel: &dyn Kernel, mirrors: &[DmDevice], known: &mut BTreeMap<GroupId, Group>, env: Env<'_>) -> Tended {
    let ids: BTreeSet<GroupId> = mirrors.iter().filter_map(|d| d.uuid.group()).collect();
    let here = env.machine.host_id().ok();
    let scan = Scan::new(env.machine).map_err(|error| env.ui.warn(&format!("the disks cannot be read: {error}"))).ok();
    let groups: Vec<(Name, Group)> =
        scan.iter().flat_map(|scan| scan.readable_groups().into_iter().map(|group| (scan.word(&group), group))).collect();
    known.retain(|id, _| ids.contains(id));
    let mut worst = Tended::Well;
    for (word, group) in groups.iter().filter(|(_, g)| ids.contains(&g.id) && g.host.is_some() && g.host == here) {
        worst = worst.max(tend_group(word, env));
        known.insert(group.id, group.clone());
    }
    let failed =
        |id: &GroupId| mirrors.iter().any(|d| d.uuid.group() == Some(*id) && d.mirror.as_ref().is_some_and(MirrorStatus::has_failed));
    // A group that is refused, because of a duplicate perhaps, is waited for; of one that has no disk any more nobody ever hears.
    let there = scan.as_ref().map(Scan::groups).unwrap_or_else(|| ids.clone());
    for lost in ids.difference(&there).copied().filter(failed) {
        exec::fail_held(kernel, lost, known.get(&lost)).iter().for_each(|told| env.ui.warn(told));
        worst = Tended::Badly;
    }
    worst
}

fn tend_group(name: &Name, env: Env<'_>) -> Tended {
    let at_once = Options { timeout: Some(Duration::from_secs(2)), ..Options::default() };
    match Session::open(&at_once, name, Env { ui: &Quiet(env.ui), ..env }).and_then(|mut session| session.tend()) {
        Ok(changes) => {
            for change in changes {
                env.ui.note(&text::change(&change));
            }
            Tended::Well
        }
        Err(error) if error.kind() == Kind::TimedOut => Tended::Locked,
        Err(error) => {
            env.ui.warn(&format!("group '{name}': {error}"));
            Tended::Badly
        }
    }
}

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

/// Makes sure that a monitor runs; for commands that leave a mirror behind.
pub fn ensure(env: Env<'_>) {
    match lock_group(lock::MONITOR, Some(Duration::ZERO), Env { ui: &Quiet(env.ui), ..env }) {
        Ok(free) => drop(free),
        Err(error) if error.kind() == Kind::TimedOut => return,
        Err(error) => return env.ui.warn(&format!("whether 'breakoff monitor' runs is not known: {error}")),
    }
    match env.machine.start_detached(&["monitor"], &[(UNTIL_IDLE, "1"), STATE_DIR]) {
        Ok(()) => env.ui.note("started 'breakoff monitor', which looks after the mirrors as long as there are any"),
        Err(error) => {
            env.ui.warn(&format!("'breakoff monitor' could not be started ({error}): until it runs, writes wait when a leg fails"))
        }
    }
}
