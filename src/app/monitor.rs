//! The monitor: somebody has to be there when a leg dies, because a write that fails on a leg is held until then (K2).
//!
//! One thread, woken by dm events of any device. When a mirror of ours shows a failed letter or has finished, its group is opened
//! like any other command opens it, and what is found is recorded and repaired. Killed and started again it finishes what it finds.

use super::scan::Scan;
use super::session::{Session, lock_group};
use super::{Env, Options, Ui};
use crate::error::{Kind, Result};
use crate::model::{GroupId, Name};
use crate::plan::world::DmDevice;
use crate::report::text;
use crate::sys::signal::Interrupts;
use crate::sys::{Kernel, lock};
use crate::table::status::Seen;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use std::collections::BTreeSet;
use std::time::Duration;

/// Also without an event everything is looked at this often.
const PATROL: Duration = Duration::from_secs(10);
/// Set for a monitor that a command has started: it ends when there is no mirror left to guard.
const UNTIL_IDLE: &str = "BREAKOFF_MONITOR_UNTIL_IDLE";

/// Runs until a signal arrives (or, started by a command, until no mirror is left).
pub fn run(env: Env<'_>) -> Result<()> {
    let _only_one = lock_group(lock::MONITOR, Some(Duration::ZERO), env)?;
    let interrupts = Interrupts::catch();
    let until_idle = std::env::var_os(UNTIL_IDLE).is_some();
    let kernel = env.machine.kernel()?;
    let mut events = env.machine.events()?;
    let mut seen = None;
    while !interrupts.arrived() {
        reap_hooks();
        events.arm()?;
        let now = mirrors(kernel.as_ref())?;
        if until_idle && now.is_empty() {
            return Ok(());
        }
        let state = state_of(&now);
        let patrolled = if seen.as_ref() == Some(&state) { true } else { tend(&now, env) };
        // What could not be looked after (its group is locked by a command) is looked at again soon.
        seen = patrolled.then_some(state);
        events.wait(if patrolled { PATROL } else { Duration::from_millis(300) })?;
    }
    Ok(())
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

/// Looks after every group that has a mirror; whether all could be.
fn tend(mirrors: &[DmDevice], env: Env<'_>) -> bool {
    let ids: BTreeSet<GroupId> = mirrors.iter().filter_map(|d| d.uuid.group()).collect();
    let scan = match Scan::new(env.machine) {
        Ok(scan) => scan,
        Err(error) => {
            env.ui.warn(&format!("the disks cannot be read: {error}"));
            return false;
        }
    };
    let here = env.machine.host_id().ok();
    let ours = scan.readable_groups().into_iter().filter(|g| ids.contains(&g.id) && g.host.is_some() && g.host == here);
    let left: Vec<_> = ours.filter(|group| !tend_group(&scan.word(group), env)).collect();
    left.is_empty()
}

fn tend_group(name: &Name, env: Env<'_>) -> bool {
    let at_once = Options { timeout: Some(Duration::from_secs(2)), ..Options::default() };
    let done = Session::open(&at_once, name, Env { ui: &Quiet(env.ui), ..env }).and_then(|mut session| session.tend());
    match done {
        Ok(changes) => {
            for change in changes {
                env.ui.note(&text::change(&change));
            }
            true
        }
        Err(error) if error.kind() == Kind::TimedOut => false,
        Err(error) => {
            env.ui.warn(&format!("group '{name}': {error}"));
            true
        }
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
    match env.machine.start_detached(&["monitor"], &[(UNTIL_IDLE, "1")]) {
        Ok(()) => env.ui.note("started 'breakoff monitor', which looks after the mirrors as long as there are any"),
        Err(error) => {
            env.ui.warn(&format!("'breakoff monitor' could not be started ({error}): until it runs, writes wait when a leg fails"))
        }
    }
}
