//! The monitor. It must be running when a leg fails: a write that fails on a leg is held until the
//! leg is taken out (K2).
//!
//! A single thread, woken by dm events of any device. When a mirror of ours shows a failed letter
//! or has finished, the monitor opens its group, and records and repairs what it finds. It reads
//! only the disks that the group's live tables name and those that udev knows to be the group's, so
//! that neither a copy of one that comes into sight nor a foreign disk that hangs delays a repair.
//! What cannot be done is tried again, and `status` reports it meanwhile. A monitor that is killed
//! and started again finishes what it finds.

use super::scan::Scan;
use super::session::{Kept, Lock, Session, lock_group, lock_telling};
use super::{Env, Mute, Options, Ui};
use crate::advice::Language;
use crate::app::session::View;
use crate::error::{Error, Kind, Result};
use crate::exec;
use crate::model::{DmUuid, Group, GroupId, Name, Role};
use crate::sys::machine::Machine;
use crate::sys::process::{Interrupts, Service, UNTIL_IDLE};
use crate::sys::{Kernel, lock};
use crate::table::DmDevice;
use crate::table::status::{MirrorStatus, Seen};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::{Duration, Instant};

/// The interval at which everything is checked even without an event.
const PATROL: Duration = Duration::from_secs(10);
/// The delay before a group that a command has locked is checked again.
const SOON: Duration = Duration::from_millis(300);
/// The delay before a failed repair is tried again; it doubles each time. As long as no disk takes
/// the record of a failure, a write is held for this.
const AGAIN: Duration = Duration::from_secs(1);
/// The delay before another process is started to thaw what a killed command has left frozen.
const THAW_AGAIN: Duration = Duration::from_secs(60);
/// How long a service waits for another monitor to end before it reports that it waits.
const ANOTHER: Duration = Duration::from_secs(2);
/// How long to wait for the monitor's lock: a command that checks for a running monitor takes it
/// briefly.
const A_MOMENT: Duration = Duration::from_millis(500);
/// The monitor's state directory. It is in `/run`: a persistent one may lie on a volume that the
/// monitor guards.
const STATE_DIR: (&str, &str) = ("BREAKOFF_STATE_DIR", "/run/breakoff/state");

/// Runs until a signal arrives (or, started by a command, until no mirror is left).
///
/// There is nothing to reload: the configuration file is read for each failure that is told.
pub fn run(env: Env<'_>) -> Result<()> {
    let (interrupts, service) = (env.machine.interrupts(), env.machine.service());
    let ended = watch(service.as_ref(), interrupts.as_ref(), env);
    service.stopping("not watching any more");
    ended
}

fn watch(service: &dyn Service, interrupts: &dyn Interrupts, env: Env<'_>) -> Result<()> {
    let Some(mut only_one) = only_one(service, interrupts, env)? else {
        return Ok(());
    };
    for wrong in env.machine.stay_resident() {
        env.ui.warn(&format!(
            "{wrong}: the monitor may block on a disk whose repair is its own task"
        ));
    }
    let kernel = env.machine.kernel()?;
    let mut events = env.machine.events()?;
    let mut watch = Watch::default();
    let mut left = LeftFrozen { since: None };
    let mut said = String::new();
    service.ready("watching");
    while !interrupts.arrived() {
        env.machine.reap();
        service.alive();
        left.look(env);
        // If the kernel cannot be queried, the loop asks again after a pause.
        let looked = events.arm().and_then(|()| watch.look(kernel.as_ref(), env));
        let now = looked.as_ref().map_or_else(
            |_| "the mirrors cannot be inspected".to_owned(),
            |_| watch.summary.to_string(),
        );
        if now != said {
            service.status(&now);
            said = now;
        }
        let waited = match looked {
            Ok(Look::Nothing) if service.is_until_idle() => {
                // Release the lock before the last check: a command that made a mirror meanwhile
                // and saw the lock held relies on this monitor.
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

/// Thaws what killed commands have left frozen, through another process: a thaw writes and blocks
/// on a leg that fails at that moment, and the monitor is the process that has to take that leg
/// out.
struct LeftFrozen {
    /// When a process was last started to thaw it.
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
                "a filesystem was left frozen, and no process can be started to thaw it: {error}"
            ));
        }
    }
}

/// The result of one round over all groups.
enum Look {
    /// There is no mirror.
    Nothing,
    /// There are mirrors; the longest time to wait until the next round.
    Next(Duration),
}

/// What the monitor remembers between rounds.
#[derive(Default)]
struct Watch {
    wards: BTreeMap<GroupId, Ward>,
    /// The error that made the last round impossible, if any.
    complaint: Option<String>,
    /// The result of the last round.
    summary: Summary,
}

/// What is watched, for the status of a service.
#[derive(Debug, Default, PartialEq, Eq)]
struct Summary {
    /// The groups that have mirrors.
    groups: usize,
    /// The volumes that are mirrors, or have a leg that is filled.
    mirrors: usize,
    /// Those of them that the kernel copies on.
    copies: usize,
    /// The groups in which something could not be done, which is tried again.
    undone: Vec<String>,
}

impl Summary {
    fn of(watched: &BTreeMap<GroupId, Vec<DmDevice>>, wards: &BTreeMap<GroupId, Ward>) -> Summary {
        // Each volume once, whatever its mirror consists of. Its map of changes is not counted.
        let volumes = |is_it: &dyn Fn(&DmDevice) -> bool| {
            let devices = watched.values().flatten().filter(|device| {
                is_mirror(device) && device.uuid.role() != Some(Role::Map) && is_it(device)
            });
            let volumes: BTreeSet<_> = devices
                .map(|device| (device.uuid.group(), device.uuid.volume()))
                .collect();
            volumes.len()
        };
        let is_copying = |device: &DmDevice| {
            let mirror = device.mirror.as_ref();
            mirror.is_some_and(|mirror| mirror.done < mirror.total)
        };
        let undone = wards.iter().filter(|(_, ward)| ward.failures > 0);
        Summary {
            groups: watched.len(),
            mirrors: volumes(&|_| true),
            copies: volumes(&is_copying),
            undone: undone.map(|(id, ward)| ward.title(*id)).collect(),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.groups == 0 {
            return f.write_str("there are no mirrors to watch");
        }
        let s = |count: usize| if count == 1 { "" } else { "s" };
        let (mirrors, groups) = (self.mirrors, self.groups);
        write!(
            f,
            "watching {mirrors} mirror{} in {groups} group{}",
            s(mirrors),
            s(groups)
        )?;
        match self.copies {
            0 => {}
            1 => f.write_str("; 1 copy running")?,
            many => write!(f, "; {many} copies running")?,
        }
        if self.undone.is_empty() {
            return Ok(());
        }
        write!(f, "; trying again in {}", self.undone.join(", "))
    }
}

/// A group that has a mirror.
#[derive(Default)]
struct Ward {
    /// The state of its devices at the last round.
    seen: Option<Vec<State>>,
    /// The configuration as last read. When no disk answers any more there is no other source for
    /// it.
    known: Option<Group>,
    /// The group as it was left the last time, with its disks ready to be written: when a leg fails,
    /// writes are held until that is recorded.
    kept: Option<Kept>,
    /// The warnings of the last round; one that stays the same is reported once.
    told: BTreeSet<String>,
    /// When it is checked again even if its state has not changed.
    due: Option<Instant>,
    /// The number of failed rounds in a row.
    failures: u32,
}

/// The part of a device's state that decides whether there is work: its UUID, the letters of its
/// legs, and whether it is suspended.
type State = (DmUuid, Option<Seen>, bool);

impl Watch {
    /// Handles all groups whose state has changed or that are due.
    fn look(&mut self, kernel: &dyn Kernel, env: Env<'_>) -> Result<Look> {
        let devices = watched(kernel)?;
        self.complaint = None;
        self.wards.retain(|id, _| devices.contains_key(id));
        let mut has_acted = false;
        for (id, devices) in &devices {
            let ward = self.wards.entry(*id).or_default();
            has_acted |= ward.look(*id, devices, kernel, env);
        }
        // What was repaired is not as it was seen.
        let changed = has_acted.then(|| watched(kernel)).transpose()?;
        self.summary = Summary::of(changed.as_ref().unwrap_or(&devices), &self.wards);
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

    /// Reports an error that makes a round impossible, once as long as it stays the same.
    fn complain(&mut self, error: &Error, env: Env<'_>) {
        let complaint = error.to_string();
        if self.complaint.as_ref() != Some(&complaint) {
            env.ui
                .warn(&format!("the mirrors cannot be inspected: {complaint}"));
        }
        self.complaint = Some(complaint);
    }
}

impl Ward {
    /// The name of the group or, if it is not known, its UUID.
    fn title(&self, id: GroupId) -> String {
        self.known
            .as_ref()
            .map_or_else(|| id.to_string(), |group| group.name.to_string())
    }

    /// Handles the group if its state has changed or it is due. Returns whether it was handled.
    fn look(
        &mut self,
        id: GroupId,
        devices: &[DmDevice],
        kernel: &dyn Kernel,
        env: Env<'_>,
    ) -> bool {
        let state = state_of(devices);
        if self.seen.as_ref() == Some(&state) && self.due.is_none_or(|due| Instant::now() < due) {
            return false;
        }
        let once = Once {
            inner: env.ui,
            told: &self.told,
            now: RefCell::default(),
        };
        let repaired = repair_group(
            kernel,
            id,
            devices,
            (&mut self.known, &mut self.kept),
            Env { ui: &once, ..env },
        );
        self.told = once.now.into_inner();
        self.seen = Some(state);
        self.failures = if repaired == Tended::Badly {
            self.failures.saturating_add(1)
        } else {
            0
        };
        self.due = match repaired {
            Tended::Well => None,
            Tended::Locked => Some(Instant::now() + SOON),
            Tended::Badly => {
                Some(Instant::now() + PATROL.min(AGAIN * 2u32.saturating_pow(self.failures - 1)))
            }
        };
        true
    }
}

/// Makes sure that this is the only monitor. A supervised service takes over: it asks a monitor that
/// a command has started to end, and waits for any other to do so. Otherwise the error names the
/// lock holder. Returns `None` when a signal arrived meanwhile.
fn only_one(
    service: &dyn Service,
    interrupts: &dyn Interrupts,
    env: Env<'_>,
) -> Result<Option<Lock>> {
    let quiet = Env {
        ui: &Quiet(env.ui),
        ..env
    };
    if !service.is_supervised() {
        // A command that checks for a running monitor holds the lock briefly.
        return lock_group(lock::MONITOR, Some(A_MOMENT), quiet).map(Some);
    }
    let ask_to_end = |holder: &lock::Holder| {
        let pid = holder.pid.filter(|pid| env.machine.relieve_monitor(*pid));
        if let Some(pid) = pid {
            env.ui
                .note(&format!("taking over from the monitor with PID {pid}"));
        }
    };
    while !interrupts.arrived() {
        let patience = Some(service.at_most(ANOTHER));
        match lock_telling(lock::MONITOR, patience, quiet, &ask_to_end) {
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

/// Also true for a mirror whose status cannot be parsed.
fn is_mirror(device: &DmDevice) -> bool {
    device.mirror.is_some() || device.table.iter().any(|line| line.target == "mirror")
}

fn state_of(devices: &[DmDevice]) -> Vec<State> {
    devices
        .iter()
        .map(|d| (d.uuid.clone(), d.mirror.as_ref().map(Seen::of), d.suspended))
        .collect()
}

/// The outcome of one round on a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tended {
    /// Nothing is left to do.
    Well,
    /// A command holds the lock.
    Locked,
    /// Something could not be done.
    Badly,
}

/// Opens a group, records and repairs what is found, and reports the outcome.
fn repair_group(
    kernel: &dyn Kernel,
    id: GroupId,
    devices: &[DmDevice],
    (known, kept): (&mut Option<Group>, &mut Option<Kept>),
    env: Env<'_>,
) -> Tended {
    let title = known
        .as_ref()
        .map_or_else(|| id.to_string(), |group| group.name.to_string());
    let quiet = Quiet(env.ui);
    let name = known.as_ref().map(|group| &group.name);
    let opened = open(kept.take(), (id, name), Env { ui: &quiet, ..env });
    let mut session = match opened {
        Ok(session) => session,
        Err(error) if error.kind() == Kind::TimedOut => return Tended::Locked,
        Err(error) => {
            env.ui
                .warn(&format!("group '{title}' cannot be monitored: {error}"));
            // No disk is left that could record the failure, so the held writes are failed.
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
    let repaired = session.repair_all();
    *known = Some(session.world.group.clone());
    let worst = match &repaired {
        Ok(_) => what_is_left(&session),
        Err(error) => {
            env.ui.warn(&format!("group '{name}': {error}"));
            Tended::Badly
        }
    };
    repaired
        .iter()
        .flatten()
        .for_each(|change| env.ui.note(&change.to_string()));
    let unheard = session.world.generation != before && session.lacks_disks();
    // The lock must be free: `tell_the_others` opens the group again.
    let view = session.release();
    if unheard {
        drop(view);
        tell_the_others(&name, env);
    } else if worst == Tended::Well {
        *kept = view.keep();
    }
    worst
}

/// Opens a group as it was kept, or anew.
fn open<'u>(
    kept: Option<Kept>,
    (id, known): (GroupId, Option<&Name>),
    env: Env<'u>,
) -> Result<Session<'u>> {
    if let Some(session) = kept
        .map(|kept| Session::reopen(&AT_ONCE, kept, env))
        .transpose()?
        .flatten()
    {
        return Ok(session);
    }
    match Session::open_running(&AT_ONCE, id, known, env) {
        // It has got another name.
        Err(error) if known.is_some() && error.kind() == Kind::NotReady => {
            Session::open_running(&AT_ONCE, id, None, env)
        }
        opened => opened,
    }
}

/// Decides whether anything is left to try again. Repairs that did not help or were given up have
/// already been reported.
fn what_is_left(view: &View<'_>) -> Tended {
    match view.next_repair() {
        Ok(None) => Tended::Well,
        Ok(Some(_)) | Err(_) => Tended::Badly,
    }
}

/// Rewrites the configuration on disks of the group that no table names and udev does not know;
/// they have an old one now. This waits until no write is held any more. Without it, such a disk
/// would be taken for current should the others be lost.
fn tell_the_others(name: &Name, env: Env<'_>) {
    if let Ok(mut session) = Session::open(
        &AT_ONCE,
        name,
        Env {
            ui: &Mute(env.ui.language()),
            ..env
        },
    ) {
        session.heal();
    }
}

/// The options of the monitor's own sessions. The timeout is how long a command that holds the lock
/// may delay it.
const AT_ONCE: Options = Options {
    group: None,
    yes: false,
    background: false,
    timeout: Some(Duration::from_secs(2)),
};

/// Reports a warning once as long as it stays.
struct Once<'u> {
    inner: &'u dyn Ui,
    told: &'u BTreeSet<String>,
    now: RefCell<BTreeSet<String>>,
}

impl Ui for Once<'_> {
    fn language(&self) -> &'static dyn Language {
        self.inner.language()
    }
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

/// Passes warnings only; waiting for a lock is routine for the monitor.
struct Quiet<'u>(&'u dyn Ui);

impl Ui for Quiet<'_> {
    fn language(&self) -> &'static dyn Language {
        self.0.language()
    }
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

/// The result of [`start`]: whether the mirrors are watched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Watched {
    /// A monitor was running, or another process is about to start one.
    Already,
    /// No monitor was running; one was started.
    Started,
    /// No monitor runs, or whether one runs is not known; the text is the reason.
    Not(String),
}

/// Makes sure that a monitor runs, and starts one if there is none.
pub fn start(env: Env<'_>) -> Watched {
    match lock_group(
        lock::MONITOR,
        Some(Duration::ZERO),
        Env {
            ui: &Mute(env.ui.language()),
            ..env
        },
    ) {
        Ok(free) => drop(free),
        Err(error) if error.kind() == Kind::TimedOut => return Watched::Already,
        Err(error) => {
            return Watched::Not(format!(
                "cannot determine whether 'breakoff monitor' runs: {error}"
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

/// Like [`start`], and reports the result to the user. For commands that see a mirror or leave one
/// behind.
pub fn ensure(env: Env<'_>) {
    match start(env) {
        Watched::Already => {}
        Watched::Started => env
            .ui
            .note("started 'breakoff monitor', which watches the mirrors until none is left"),
        Watched::Not(why) => env.ui.warn(&why),
    }
}

/// Whether any group has a mirror to watch.
pub fn has_work(machine: &dyn Machine) -> bool {
    machine
        .kernel()
        .and_then(|kernel| watched(kernel.as_ref()))
        .is_ok_and(|groups| !groups.is_empty())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::{DevNo, DmName, VolumeId};

    /// A mirror of a volume of a group, with so many of ten regions in sync.
    fn mirror(group: u8, volume: u8, role: &Role, done: u64) -> (GroupId, DmDevice) {
        let group = GroupId::from_bytes([group; 16]);
        let device = DmDevice {
            name: DmName::from_kernel("x"),
            uuid: DmUuid::new(group, VolumeId::from_bytes([volume; 16]), role),
            dev: DevNo {
                major: 253,
                minor: 0,
            },
            open_count: 0,
            suspended: false,
            has_inactive: false,
            table: Vec::new(),
            mirror: Some(MirrorStatus {
                legs: Vec::new(),
                done,
                total: 10,
                log_failed: false,
            }),
        };
        (group, device)
    }

    fn said(mirrors: Vec<(GroupId, DmDevice)>, failures: u32) -> String {
        let mut groups: BTreeMap<GroupId, Vec<DmDevice>> = BTreeMap::new();
        let mut wards = BTreeMap::new();
        for (group, device) in mirrors {
            groups.entry(group).or_default().push(device);
            wards.insert(
                group,
                Ward {
                    failures,
                    ..Ward::default()
                },
            );
        }
        Summary::of(&groups, &wards).to_string()
    }

    #[test]
    fn the_status_counts_volumes_and_copies() {
        assert_eq!(said(Vec::new(), 0), "there are no mirrors to watch");
        let one = mirror(1, 1, &Role::Volume, 10);
        assert_eq!(said(vec![one], 0), "watching 1 mirror in 1 group");
        // Layers and the map belong to their volume.
        let all = || {
            vec![
                mirror(1, 1, &Role::Layer(1), 10),
                mirror(1, 1, &Role::Volume, 9),
                mirror(1, 2, &Role::Data, 10),
                mirror(1, 2, &Role::Map, 3),
                mirror(2, 3, &Role::Volume, 0),
            ]
        };
        assert_eq!(
            said(all(), 0),
            "watching 3 mirrors in 2 groups; 2 copies running"
        );
        let ids = [1, 2].map(|id| GroupId::from_bytes([id; 16]).to_string());
        assert_eq!(
            said(all(), 1),
            format!(
                "watching 3 mirrors in 2 groups; 2 copies running; trying again in {}",
                ids.join(", ")
            )
        );
    }
}
