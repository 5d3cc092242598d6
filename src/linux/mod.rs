//! This machine: the one implementation of `sys` apart from that of the tests, and the only place
//! with `unsafe`. It contains no policy.

pub mod disk;
pub mod dm;
mod here;
pub mod process;

pub use here::Here;
