//! The process that runs a command, and the service that it may run as.

use std::time::Duration;

/// SIGINT, SIGTERM and SIGHUP are recorded instead of ending the process, while this lives.
pub trait Interrupts {
    /// Whether one of these signals has arrived.
    fn arrived(&self) -> bool;
}

/// An environment variable that is set for a monitor that a command has started: it ends when there
/// is no mirror left to guard.
pub const UNTIL_IDLE: &str = "BREAKOFF_MONITOR_UNTIL_IDLE";

/// What started a long-running process, such as systemd (sd_notify(3)), or a command.
pub trait Service {
    /// Whether a service manager receives the reports.
    fn is_supervised(&self) -> bool;
    /// Whether the process is to end as soon as there is nothing left to do.
    fn is_until_idle(&self) -> bool;
    /// Reports that the process is ready, with a short text about its state.
    fn ready(&self, status: &str);
    /// Reports what the process is at, in a short text.
    fn status(&self, text: &str);
    /// Reports that the process ends, with such a text.
    fn stopping(&self, status: &str);
    /// Reports that the process is alive.
    fn alive(&self);
    /// The longest time to wait: `wanted`, or less, so that the process reports twice as often as
    /// is required.
    fn at_most(&self, wanted: Duration) -> Duration;
}
