//! breakoff: third-mirror break-off snapshots for Linux on device-mapper.
//!
//! ```text
//! cli (native | vxassist words) ─> app ─> plan (pure) ─> exec ─> sys (dm ioctls, media, udev, locks)
//!                                   │       ^
//!                       recover ────┘       model, table (pure)     meta (on-disk format)     report (text, JSON)
//! ```
//!
//! Each arrow goes one way. `model`, `table`, `plan`, `report` and the metadata codec know no
//! ioctl, file, clock or environment.

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
