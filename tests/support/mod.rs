//! What the kernel tests stand on: disks whose ranges can fail or be slow at run time, the program
//! with a deadline on every call, a writer that knows what has to be on the disk, and a check that
//! nothing is left behind.
//!
//! A test is `let mut lab = lab!(["mirror"], [64,
//! 64]);`, its own lines, and `lab.finish();`. Outside a test kernel (without `BREAKOFF_KERNEL_TESTS`) `lab!` prints `SKIP
//! …` and returns from the test.

#![allow(dead_code)] // each test program uses its own part of it

pub mod block;
pub mod child;
pub mod dice;
pub mod disk;
pub mod dm;
pub mod fs;
pub mod lab;
pub mod leaks;
pub mod loops;
pub mod machine;
pub mod monitor;
pub mod nbd;
pub mod ordered;
pub mod outage;
pub mod plexes;
pub mod pty;
pub mod recorder;
pub mod remote;
pub mod sample;
pub mod stamp;
pub mod tracked;
pub mod udev;
pub mod view;
pub mod writer;

/// Bytes in a mebibyte.
pub const MIB: u64 = 1 << 20;

/// Sets up a [`lab::Lab`] named after the test: the dm targets that it needs, and the sizes of its
/// disks in MiB.
#[macro_export]
macro_rules! lab {
    ([$($target:literal),* $(,)?], $sizes:expr) => {{
        fn here() {}
        let name = std::any::type_name_of_val(&here).trim_end_matches("::here");
        match $crate::support::lab::Lab::new(name, &[$($target),*], &$sizes) {
            Some(lab) => lab,
            None => return,
        }
    }};
}
