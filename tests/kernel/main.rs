//! All tests on a real device-mapper, in one program for the VM (`scripts/test`): they need root,
//! and each cleans up before it begins, so that they run one at a time (`--test-threads=1`).
//!
//! All run in one process: a test that changes what belongs to the process (a signal's handler, the
//! working directory, the environment, a limit) gives that to a child instead, or puts it back.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../conformance/mod.rs"]
mod conformance;
#[path = "../meta_common/mod.rs"]
mod meta_common;
#[macro_use]
#[path = "../support/mod.rs"]
mod support;

mod completion;
mod crash;
mod disks;
mod dm_tables;
mod faults;
mod frozen;
mod handover;
mod hangs;
mod harness;
mod holders;
mod labels;
mod lanes;
mod legs;
mod limits;
mod look;
mod meta;
mod metrics;
mod monitor;
mod nodes;
mod real_conformance;
mod remote;
mod replay;
mod sectors;
mod snap;
mod snapback;
mod snapback_crash;
mod sys;
mod verify;
mod volumes;
mod vx;
mod window;
