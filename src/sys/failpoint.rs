//! Where a test may kill or stop the process. Compiled with the feature `failpoints` only; nothing at all is left of it otherwise.

#[cfg(feature = "failpoints")]
static DISARMED: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

/// From here on nothing kills or stops this process: what was asked for was meant for another one.
pub fn disarm() {
    #[cfg(feature = "failpoints")]
    DISARMED.store(true, std::sync::atomic::Ordering::Relaxed);
}

/// A change is about to be made. With `BREAKOFF_KILL_AT=N` the process kills itself before its N-th one, with `BREAKOFF_STOP_AT=N`
/// it stops until somebody continues it.
#[cfg(feature = "failpoints")]
pub fn step() {
    use nix::sys::signal::Signal;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    static STEPS: AtomicU64 = AtomicU64::new(0);
    static AT: OnceLock<[(Signal, Option<u64>); 2]> = OnceLock::new();
    let number = |name| std::env::var(name).ok()?.parse().ok();
    let at = AT.get_or_init(|| [(Signal::SIGKILL, number("BREAKOFF_KILL_AT")), (Signal::SIGSTOP, number("BREAKOFF_STOP_AT"))]);
    if DISARMED.load(Ordering::Relaxed) {
        return;
    }
    let step = STEPS.fetch_add(1, Ordering::Relaxed) + 1;
    for (signal, _) in at.iter().filter(|(_, at)| *at == Some(step)) {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::this(), *signal);
    }
}

/// A change is about to be made.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn step() {}
