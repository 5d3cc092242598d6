//! The result of a command as text and as JSON. Pure: from an [`Outcome`](crate::app::Outcome) to a
//! string.
//!
//! [`view`] and [`relations`] hold the documented JSON shapes of `print` and `snapprint`. The text
//! of both is made from the same values, so that the two never disagree. Called by `cli` only.

pub mod canvas;
mod changes;
mod columns;
mod counters;
pub mod json;
mod layout;
mod lists;
pub mod map;
pub mod metrics;
mod plan;
mod print;
pub mod progress;
pub mod relations;
mod room;
mod strip;
pub mod text;
mod time;
mod verify;
pub mod view;
pub mod vx;
pub mod watch;
