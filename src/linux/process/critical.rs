//! The process during a window: memory locked, signals blocked, priority raised.
//!
//! While a volume is suspended, a page of this process that has to be read from it would wait for
//! this very process, and a signal that ended the process would leave the volume suspended. Each
//! measure is best effort: a failure is a warning, and the window goes on.
//!
//! A suspend that a signal interrupts is worse (K21, seen on 6.1): dm-raid1 stops its recovery
//! first, and when the suspend then fails with `EINTR`, nothing starts the recovery again. The next
//! suspend of that mirror waits for it for ever, in the kernel, unkillably. So signals are blocked
//! around every single suspend (`Held`), also outside a window, and no suspend ever has a time
//! limit: whether the disks answer is found out before it (see `drain`). SIGKILL cannot be blocked:
//! the kernel's own (out of memory) is averted here, an administrator's cannot be.

use nix::sys::mman::{MlockAllFlags, mlockall, munlockall};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, pthread_sigmask};
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

/// The nice value during a window, which is that of LVM: above everything ordinary, below what the
/// kernel itself needs.
const NICE: libc::c_int = -18;
/// The stack that a window may need, in bytes; more than ten times what it was seen to use.
const STACK: usize = 256 << 10;
/// The file that says how likely the kernel is to kill this process when memory runs out.
const OOM: &str = "/proc/self/oom_score_adj";
const NEVER: &str = "-1000";
/// Signals that report a fault of this process. Blocked, they would still kill it, and say less.
const FAULTS: [Signal; 6] = [
    Signal::SIGSEGV,
    Signal::SIGBUS,
    Signal::SIGFPE,
    Signal::SIGILL,
    Signal::SIGTRAP,
    Signal::SIGSYS,
];

/// Whether memory stays locked after a window as well.
static FOR_GOOD: AtomicBool = AtomicBool::new(false);

/// Locks the memory of this process until it ends. Returns the reason if it cannot be locked.
pub(in crate::linux) fn lock_memory_for_good() -> Option<String> {
    FOR_GOOD.store(true, Ordering::Relaxed);
    let error = mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE).err()?;
    Some(format!("memory cannot be locked ({error})"))
}

/// Keeps the kernel from choosing this process when memory runs out. Returns a warning if that
/// fails.
pub(in crate::linux) fn never_killed_for_memory() -> Option<String> {
    let error = fs::write(OOM, NEVER).err()?;
    Some(format!(
        "'{OOM}' cannot be written ({error}): the kernel may kill this process when memory runs out"
    ))
}

/// The process is prepared for a window until this is dropped, which restores the previous
/// settings.
///
/// Signals are blocked for this thread only, so it has to be the only one. Signals that arrive
/// meanwhile are delivered when this is dropped.
#[derive(Debug)]
pub struct Critical {
    locked: bool,
    nice: Option<libc::c_int>,
    oom: Option<String>,
    // Dropped last: a pending signal may end the process right there.
    _held: Held,
}

impl Critical {
    /// Prepares the process, and returns what failed, one text for each. Takes some milliseconds
    /// and allocates, so it is called before the first suspend.
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

/// Signals are blocked for this thread while this lives. Those that arrive meanwhile are delivered
/// when it is dropped.
#[derive(Debug)]
pub(in crate::linux) struct Held(Option<SigSet>, OnThisThread);

/// Prevents a move to another thread, whose signal mask would be restored instead.
type OnThisThread = std::marker::PhantomData<*const ()>;

impl Held {
    /// Blocks every signal that can be blocked, except `FAULTS`. Allocates nothing.
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

/// Raises the priority. Returns the previous nice value, or `None` if that failed.
pub(in crate::linux) fn raise_priority() -> Option<libc::c_int> {
    // SAFETY: getpriority takes no pointers. Its -1 may be a nice value or an error. After an error
    // the value that is restored is the default, one off.
    let before = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
    set_nice(NICE).then_some(before)
}

fn set_nice(nice: libc::c_int) -> bool {
    // SAFETY: setpriority takes no pointers.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) == 0 }
}

/// Touches the stack, so that the kernel provides its memory now.
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
