//! Processes, this one and others.
//!
//! ```text
//! critical  memory, signals and priority for a window   signal    interrupts
//! lock      one command per group                       helper    the command's end of its helper
//! fork, detached, tools   other processes               service   what a system service has to do
//! notice    reporting a failure                         host      which machine, which boot, time
//! glance    a look that nothing waits for
//! ```

pub mod critical;
pub mod detached;
pub mod fork;
pub mod glance;
pub mod helper;
pub mod host;
pub mod lock;
pub mod notice;
pub mod service;
pub mod signal;
pub mod tools;
