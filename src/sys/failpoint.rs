//! Where a test may kill the process. Compiled with the feature `failpoints` only; nothing at all is left of it otherwise.

/// A change is about to be made. With `BREAKOFF_KILL_AT=N` the process kills itself before its N-th one.
#[cfg(feature = "failpoints")]
pub fn step() {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    static STEPS: AtomicU64 = AtomicU64::new(0);
    static KILL_AT: OnceLock<Option<u64>> = OnceLock::new();
    let at = KILL_AT.get_or_init(|| std::env::var("BREAKOFF_KILL_AT").ok()?.parse().ok());
    if *at == Some(STEPS.fetch_add(1, Ordering::Relaxed) + 1) {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGKILL);
    }
}

/// A change is about to be made.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn step() {}
