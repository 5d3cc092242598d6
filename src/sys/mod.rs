//! What a command needs of a machine, as traits and records in domain types. This is the narrow
//! interface to the outside. `linux` is its one implementation; the tests have another, in memory.
//!
//! ```text
//! kernel    device-mapper's verbs, a device in a window   helper    the calls that block on disks
//! disk      bytes of disks; which disks there are         content   what rests on volumes
//! lock      one command per group                         notice    reporting a failure
//! process   interrupts, the service                       machine   all of it as one object
//! nodes     who may use a volume                          failpoint where tests kill the process
//! ```

pub mod content;
pub mod disk;
pub mod failpoint;
pub mod filesystem;
pub mod helper;
pub mod kernel;
pub mod lock;
pub mod machine;
pub mod nodes;
pub mod notice;
pub mod process;

pub use disk::Media;
pub use kernel::{ArmedDevice, Events, Kernel, MirrorHealth};

/// An operating system error number that can be kept without an allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Errno(pub i32);

impl Errno {
    /// The number of an error. It is taken without an allocation.
    pub fn of(err: &std::io::Error) -> Errno {
        Errno(err.raw_os_error().unwrap_or(libc::EIO))
    }
}
