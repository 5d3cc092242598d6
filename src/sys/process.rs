//! The process that runs a command, and the service that it may be.

use std::time::Duration;

/// SIGINT, SIGTERM and SIGHUP are noted instead of ending the process, while this lives.
pub trait Interrupts {
    /// Whether one has arrived.
    fn arrived(&self) -> bool;
}

/// Set in the environment of a monitor that a command has started: it ends when there is no mirror
/// left to guard.
pub const UNTIL_IDLE: &str = "BREAKOFF_MONITOR_UNTIL_IDLE";

/// What started a process that stays, such as systemd (sd_notify(3)), or a command.
pub trait Service {
    /// Whether somebody listens.
    fn is_supervised(&self) -> bool;
    /// Whether it is to end as soon as there is nothing left to do.
    fn is_until_idle(&self) -> bool;
    /// Tells that it is ready, with a word about its state.
    fn ready(&self, status: &str);
    /// Tells that it is alive.
    fn alive(&self);
    /// At most this long, so that it is heard of twice as often as is asked for.
    fn at_most(&self, wanted: Duration) -> Duration;
}
