//! breakoff: third-mirror break-off snapshots for Linux on device-mapper.
//!
//! ```text
//! cli       words in (native and VxVM's), one exit status out
//! report    text and JSON
//! app       one command from beginning to end; waiting for copies; the monitor
//! exec      carries a plan out
//! meta      the configuration on the disks
//! sys       what a machine has to do: traits, records   │   plan      decides (pure)
//! table     tables, status lines and devices of device-mapper, as values
//! model     groups, disks, volumes, plexes, names, sizes and their rules
//! error     kinds, messages
//! advice    what to type next, as data
//! ```
//!
//! Each layer uses those beneath it and none above; `sys` and `plan` stand side by side and know
//! nothing of each other. Beside them stands `linux`, which implements `sys` on the real machine
//! and holds all `unsafe` code; only `cli` names it. `model`, `table`, `plan`, `exec` and `app` use
//! no system call, file or environment themselves. `tests/host/layers.rs` enforces these rules.

#![deny(unsafe_code)]
// Nothing here may panic: a command that dies within a window leaves volumes suspended.
#![deny(clippy::expect_used, clippy::panic, clippy::unreachable)]
#![warn(
    clippy::enum_glob_use,
    clippy::exit,
    clippy::match_wildcard_for_single_variants,
    clippy::wildcard_imports
)]
#![cfg_attr(test, allow(clippy::expect_used, clippy::panic))]

pub mod advice;
pub mod app;
pub mod cli;
pub mod error;
pub mod exec;
#[allow(unsafe_code)]
pub mod linux;
pub mod meta;
pub mod model;
pub mod plan;
pub mod report;
pub mod sys;
pub mod table;
