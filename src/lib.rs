//! breakoff: third-mirror break-off snapshots for Linux on device-mapper.
//!
//! ```text
//! cli       words in (native and VxVM's), one exit status out
//! report    text and JSON
//! app       one command from beginning to end; waiting for copies; the monitor
//! exec      carries a plan out
//! meta      the configuration on the disks
//! sys       the machine: device-mapper, disks, udev, processes   │   plan      decides (pure)
//! table     tables, status lines and devices of device-mapper, as values
//! model     groups, disks, volumes, plexes, names, sizes and their rules
//! error
//! ```
//!
//! Each layer uses those beneath it and none above; `sys` and `plan` stand side by side and know
//! nothing of each other. `model`, `table` and `plan` know no ioctl, file, clock or environment.
//! `tests/host/layers.rs` holds it.

pub mod app;
pub mod cli;
pub mod error;
pub mod exec;
pub mod meta;
pub mod model;
pub mod plan;
pub mod report;
pub mod sys;
pub mod table;
