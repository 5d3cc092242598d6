//! This machine: the one implementation of `sys` beside the tests' own, and the only place with
//! `unsafe`. Policy lives elsewhere.

pub mod disk;
pub mod dm;
mod here;
pub mod process;

pub use here::Here;
