//! Points at which a test can kill or stop the process. They are compiled with the feature
//! `failpoints` only; otherwise nothing is left of them.

#[cfg(feature = "failpoints")]
static DISARMED: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

/// From here on nothing kills or stops this process: the request was meant for another one.
pub fn disarm() {
    #[cfg(feature = "failpoints")]
    DISARMED.store(true, std::sync::atomic::Ordering::Relaxed);
}

/// Marks that a change is about to be made. With `BREAKOFF_KILL_AT=N` the process kills itself
/// before its N-th change. With `BREAKOFF_STOP_AT=N` it stops there until it is continued, with
/// `BREAKOFF_STOP_FROM=N` also before each later change.
#[cfg(feature = "failpoints")]
pub fn step() {
    use nix::sys::signal::Signal;
    use std::ops::RangeInclusive;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    static STEPS: AtomicU64 = AtomicU64::new(0);
    static AT: OnceLock<[(Signal, Option<RangeInclusive<u64>>); 3]> = OnceLock::new();
    let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    let at = AT.get_or_init(|| {
        [
            (
                Signal::SIGKILL,
                number("BREAKOFF_KILL_AT").map(|at| at..=at),
            ),
            (
                Signal::SIGSTOP,
                number("BREAKOFF_STOP_AT").map(|at| at..=at),
            ),
            (
                Signal::SIGSTOP,
                number("BREAKOFF_STOP_FROM").map(|from| from..=u64::MAX),
            ),
        ]
    });
    if DISARMED.load(Ordering::Relaxed) {
        return;
    }
    let step = STEPS.fetch_add(1, Ordering::Relaxed) + 1;
    for (signal, _) in at
        .iter()
        .filter(|(_, at)| at.as_ref().is_some_and(|at| at.contains(&step)))
    {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::this(), *signal);
    }
}

/// Marks that a change is about to be made; without the feature it does nothing.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn step() {}
