//! The process itself during a window: its memory locked, its signals held back, its priority
//! raised.
//!
//! While a volume is suspended a page of ours that has to be read from it would wait for ourselves,
//! and a signal that ended us would leave it suspended. Each measure is best effort: what cannot be
//! had is a warning, the window goes on.
//!
//! A suspend that a signal interrupts does worse (seen on 6.1): dm-raid1 stops its recovery first
//! and, when the suspend then fails with `EINTR`, nobody starts it again. The next suspend of that
//! mirror waits for it for ever, in the kernel, unkillably. So signals are held back around every
//! single suspend (`Held`), also outside a window, and no suspend ever gets a timeout: whether the
//! disks answer is found out before it (see `drain`). What is left is SIGKILL: the kernel's own
//! (out of memory) is turned away here, an administrator's cannot be.

use nix::sys::mman::{MlockAllFlags, mlockall, munlockall};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, pthread_sigmask};
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

/// As LVM does: above everything ordinary, below what the kernel itself needs.
const NICE: libc::c_int = -18;
/// How much stack a window may need; more than ten times what it was seen to use.
const STACK: usize = 256 << 10;
/// How likely the kernel is to kill us when memory runs out.
const OOM: &str = "/proc/self/oom_score_adj";
const NEVER: &str = "-1000";
/// Signals that report a fault of our own; held back they would still kill, and say less.
const FAULTS: [Signal; 6] = [
    Signal::SIGSEGV,
    Signal::SIGBUS,
    Signal::SIGFPE,
    Signal::SIGILL,
    Signal::SIGTRAP,
    Signal::SIGSYS,
];

/// Whether memory stays locked after a window, too.
static FOR_GOOD: AtomicBool = AtomicBool::new(false);

/// Locks the memory of this process until it ends; why not, if it cannot be.
pub(in crate::linux) fn lock_memory_for_good() -> Option<String> {
    FOR_GOOD.store(true, Ordering::Relaxed);
    let error = mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE).err()?;
    Some(format!("memory cannot be locked ({error})"))
}

/// The kernel does not choose this process when memory runs out; why it may, if that cannot be had.
pub(in crate::linux) fn never_killed_for_memory() -> Option<String> {
    let error = fs::write(OOM, NEVER).err()?;
    Some(format!(
        "'{OOM}' cannot be written ({error}): the kernel may kill this process when memory runs out"
    ))
}

/// The process is prepared for a window until this is dropped; what was before is restored then.
///
/// Signals are held back for this thread, so it has to be the only one. What arrived meanwhile is
/// delivered when it is dropped.
#[derive(Debug)]
pub struct Critical {
    locked: bool,
    nice: Option<libc::c_int>,
    oom: Option<String>,
    // Last to go: a signal that has waited may end the process right there.
    _held: Held,
}

impl Critical {
    /// Enters the window's conditions; what could not be had, in words. Takes some milliseconds and
    /// allocates: before the first suspend.
    #[must_use]
    pub fn enter() -> (Critical, Vec<String>) {
        let mut warnings = Vec::new();
        let held = Held::new();
        if held.0.is_none() {
            warnings.push("signals cannot be held back".to_owned());
        }
        let locked = mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE)
            .map_err(|err| {
                warnings.push(format!(
                    "memory cannot be locked ({err}): with swap on a volume of its own it may hang"
                ));
            })
            .is_ok();
        touch_stack();
        let nice = raise_priority();
        if nice.is_none() {
            warnings
                .push("the priority cannot be raised: I/O may be held a little longer".to_owned());
        }
        let oom = fs::read_to_string(OOM)
            .ok()
            .filter(|_| fs::write(OOM, NEVER).is_ok());
        let critical = Critical {
            locked,
            nice,
            oom,
            _held: held,
        };
        (critical, warnings)
    }
}

impl Drop for Critical {
    fn drop(&mut self) {
        if let Some(nice) = self.nice {
            set_nice(nice);
        }
        if self.locked && !FOR_GOOD.load(Ordering::Relaxed) {
            let _ = munlockall();
        }
        if let Some(oom) = &self.oom {
            let _ = fs::write(OOM, oom);
        }
    }
}

/// Signals are held back for this thread while this lives; those that came meanwhile are delivered
/// when it goes.
#[derive(Debug)]
pub(in crate::linux) struct Held(Option<SigSet>, OnThisThread);

/// Not to be sent to another thread, whose signal mask would be restored.
type OnThisThread = std::marker::PhantomData<*const ()>;

impl Held {
    /// Holds back everything that can be. Allocates nothing.
    pub(in crate::linux) fn new() -> Held {
        let mut all = SigSet::all();
        FAULTS.iter().for_each(|fault| all.remove(*fault));
        let mut before = SigSet::empty();
        let done = pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&all), Some(&mut before));
        Held(done.is_ok().then_some(before), std::marker::PhantomData)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = before.thread_set_mask();
        }
    }
}

/// The nice value before, when it could be changed.
pub(in crate::linux) fn raise_priority() -> Option<libc::c_int> {
    // SAFETY: getpriority takes no pointers. Its -1 may be a value; then so be it, the default is
    // restored one off.
    let before = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
    set_nice(NICE).then_some(before)
}

fn set_nice(nice: libc::c_int) -> bool {
    // SAFETY: setpriority takes no pointers.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) == 0 }
}

/// Makes the kernel give us the stack now.
#[inline(never)]
fn touch_stack() {
    let mut room = [0u8; STACK];
    for page in room.chunks_mut(4096) {
        page[0] = 1;
    }
    std::hint::black_box(&mut room);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn signals_wait_until_the_window_is_over() {
        let blocked = || SigSet::thread_get_mask().unwrap();
        let before = blocked();
        let (critical, _) = Critical::enter();
        for signal in [
            Signal::SIGTERM,
            Signal::SIGINT,
            Signal::SIGHUP,
            Signal::SIGQUIT,
            Signal::SIGPIPE,
            Signal::SIGALRM,
        ] {
            assert!(blocked().contains(signal), "{signal}");
        }
        assert!(!blocked().contains(Signal::SIGSEGV));
        drop(Held::new());
        assert!(
            blocked().contains(Signal::SIGTERM),
            "an inner one restores what it found"
        );
        drop(critical);
        assert_eq!(blocked(), before);
    }
}
