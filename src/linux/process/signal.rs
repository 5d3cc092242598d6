//! Ctrl-C and its relatives: noted, so that a command ends between two steps and with a word of
//! what is and what goes on.

use crate::sys::process::Interrupts;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

static ARRIVED: AtomicBool = AtomicBool::new(false);
/// How many [`Caught`] there are: one inside another must not forget what the outer one has
/// noted.
static CATCHING: AtomicUsize = AtomicUsize::new(0);

extern "C" fn note(_signal: libc::c_int) {
    ARRIVED.store(true, Ordering::Relaxed);
}

/// While this lives SIGINT, SIGTERM and SIGHUP are noted instead of ending the process.
#[derive(Debug)]
pub struct Caught(Vec<(Signal, SigAction)>);

impl Caught {
    /// Begins to note them.
    #[must_use]
    pub fn begin() -> Caught {
        if CATCHING.fetch_add(1, Ordering::Relaxed) == 0 {
            ARRIVED.store(false, Ordering::Relaxed);
        }
        // No SA_RESTART: a wait is to be cut short.
        let noted = SigAction::new(SigHandler::Handler(note), SaFlags::empty(), SigSet::empty());
        let set = |signal| {
            // SAFETY: the handler does nothing but store to an atomic, which is safe in a signal
            // handler.
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

/// Whether an interrupt has arrived since somebody began to note them.
pub fn arrived() -> bool {
    CATCHING.load(Ordering::Relaxed) > 0 && ARRIVED.load(Ordering::Relaxed)
}

/// What has arrived was meant for another process.
pub(in crate::linux) fn forget() {
    ARRIVED.store(false, Ordering::Relaxed);
}

impl Drop for Caught {
    fn drop(&mut self) {
        for (signal, before) in &self.0 {
            // SAFETY: puts back the action that was there before.
            let _ = unsafe { sigaction(*signal, before) };
        }
        CATCHING.fetch_sub(1, Ordering::Relaxed);
    }
}
