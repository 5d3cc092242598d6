//! All tests over reboots and power cuts, in one program. It runs on this machine and boots VMs on
//! the same disks, in which it runs again: each module has a test `guest_side` for that.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "../support/mod.rs"]
mod support;

mod offhost;
mod power;
mod snap;
mod snapback;
mod systemd;
