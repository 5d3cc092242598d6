//! The process itself during a window: its memory locked, its signals held back, its priority raised.
//!
//! While a volume is suspended a page of ours that has to be read from it would wait for ourselves, and a signal that ended us
//! would leave it suspended. Each measure is best effort: what cannot be had is a warning, the window goes on.

use nix::sys::mman::{MlockAllFlags, mlockall, munlockall};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, pthread_sigmask, sigaction};

/// As LVM does: above everything ordinary, below what the kernel itself needs.
const NICE: libc::c_int = -18;
/// How much stack a window may need; more than ten times what it was seen to use.
const STACK: usize = 256 << 10;
/// How long a suspend may wait for I/O to come to an end before it is given up, in seconds: other volumes of the window may
/// be waiting already, suspended.
const PATIENCE: libc::time_t = 20;
/// Signals that report a fault of our own; held back they would still kill, and say less.
const FAULTS: [Signal; 6] = [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGFPE, Signal::SIGILL, Signal::SIGTRAP, Signal::SIGSYS];

/// The process is prepared for a window until this is dropped; what was before is restored then.
///
/// Signals are held back for this thread, so it has to be the only one, and `enter` has to be left on the same thread. What
/// arrived meanwhile is delivered when it is dropped.
#[derive(Debug)]
pub struct Critical {
    warnings: Vec<String>,
    locked: bool,
    mask: Option<SigSet>,
    nice: Option<libc::c_int>,
    alarm: Option<SigAction>,
    // Not to be sent to another thread, whose signal mask it would restore.
    _here: std::marker::PhantomData<*const ()>,
}

impl Critical {
    /// Enters the window's conditions. Takes some milliseconds and allocates: before the first suspend.
    #[must_use]
    pub fn enter() -> Critical {
        let mut warnings = Vec::new();
        let mask = hold_signals().map_err(|err| warnings.push(format!("signals cannot be held back: {err}"))).ok();
        let locked = mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE)
            .map_err(|err| warnings.push(format!("memory cannot be locked ({err}): with swap on a volume of its own it may hang")))
            .is_ok();
        touch_stack();
        let nice = raise_priority();
        if nice.is_none() {
            warnings.push("the priority cannot be raised: I/O may be held a little longer".to_owned());
        }
        let alarm = set_alarm();
        Critical { warnings, locked, mask, nice, alarm, _here: std::marker::PhantomData }
    }

    /// What could not be had, in words.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

impl Drop for Critical {
    fn drop(&mut self) {
        if let Some(before) = &self.alarm {
            clear_alarm(before);
        }
        if let Some(nice) = self.nice {
            set_nice(nice);
        }
        if self.locked {
            let _ = munlockall();
        }
        // Last: a signal that has waited may end the process right here.
        if let Some(mask) = &self.mask {
            let _ = mask.thread_set_mask();
        }
    }
}

/// Holds back everything that can be; what was held back before.
fn hold_signals() -> nix::Result<SigSet> {
    let mut all = SigSet::all();
    FAULTS.iter().for_each(|fault| all.remove(*fault));
    all.remove(Signal::SIGALRM);
    let mut before = SigSet::empty();
    pthread_sigmask(SigmaskHow::SIG_BLOCK, Some(&all), Some(&mut before))?;
    Ok(before)
}

extern "C" fn interrupt(_signal: libc::c_int) {}

/// From now on a suspend that takes too long is interrupted, again and again; the kernel undoes it then. What was before.
fn set_alarm() -> Option<SigAction> {
    let action = SigAction::new(SigHandler::Handler(interrupt), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler does nothing at all.
    let before = unsafe { sigaction(Signal::SIGALRM, &action) }.ok()?;
    ring(PATIENCE);
    Some(before)
}

fn clear_alarm(before: &SigAction) {
    ring(0);
    // SAFETY: puts back the action that was there before.
    let _ = unsafe { sigaction(Signal::SIGALRM, before) };
}

/// Every second after so many seconds, since one that arrives between two calls is lost; never when it is 0.
fn ring(after: libc::time_t) {
    let second = |tv_sec| libc::timeval { tv_sec, tv_usec: 0 };
    let timer = libc::itimerval { it_interval: second(after.min(1)), it_value: second(after) };
    // SAFETY: the timer is read only, the old one is not asked for.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut()) };
}

/// The nice value before, when it could be changed.
fn raise_priority() -> Option<libc::c_int> {
    // SAFETY: getpriority takes no pointers. Its -1 may be a value; then so be it, the default is restored one off.
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
        let critical = Critical::enter();
        for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGPIPE] {
            assert!(blocked().contains(signal), "{signal}");
        }
        assert!(!blocked().contains(Signal::SIGSEGV));
        drop(critical);
        assert_eq!(blocked(), before);
    }
}
