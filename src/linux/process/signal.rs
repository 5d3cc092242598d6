//! Ctrl-C and similar signals. They are recorded, so that a command ends between two steps and
//! reports what the state is and what continues.

use crate::sys::process::Interrupts;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

static ARRIVED: AtomicBool = AtomicBool::new(false);
/// The number of [`Caught`] values that live: an inner one must not discard what an outer one has
/// recorded.
static CATCHING: AtomicUsize = AtomicUsize::new(0);

extern "C" fn note(_signal: libc::c_int) {
    ARRIVED.store(true, Ordering::Relaxed);
}

/// SIGINT, SIGTERM and SIGHUP are recorded instead of ending the process, while this lives.
#[derive(Debug)]
pub struct Caught(Vec<(Signal, SigAction)>);

impl Caught {
    /// Begins to record these signals.
    #[must_use]
    pub fn begin() -> Caught {
        if CATCHING.fetch_add(1, Ordering::Relaxed) == 0 {
            ARRIVED.store(false, Ordering::Relaxed);
        }
        // Without SA_RESTART, so that a signal cuts a wait short.
        let noted = SigAction::new(SigHandler::Handler(note), SaFlags::empty(), SigSet::empty());
        let set = |signal| {
            // SAFETY: the handler only stores to an atomic, which is safe in a signal handler.
            unsafe { sigaction(signal, &noted) }
                .ok()
                .map(|before| (signal, before))
        };
        Caught(
            [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]
                .into_iter()
                .filter_map(set)
                .collect(),
        )
    }
}

impl Interrupts for Caught {
    fn arrived(&self) -> bool {
        arrived()
    }
}

/// Whether an interrupt has arrived since recording began.
pub fn arrived() -> bool {
    CATCHING.load(Ordering::Relaxed) > 0 && ARRIVED.load(Ordering::Relaxed)
}

/// Forgets a signal that has arrived: it was meant for another process.
pub(in crate::linux) fn forget() {
    ARRIVED.store(false, Ordering::Relaxed);
}

impl Drop for Caught {
    fn drop(&mut self) {
        for (signal, before) in &self.0 {
            // SAFETY: restores the action that was set before.
            let _ = unsafe { sigaction(*signal, before) };
        }
        CATCHING.fetch_sub(1, Ordering::Relaxed);
    }
}
