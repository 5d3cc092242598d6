//! Disks, and what rests on volumes.
//!
//! ```text
//! media     bytes of disks                             probe     which disks there are
//! apart     reading from disks that may not answer     writing   writing to them
//! inspect   objections to using a disk                 sysfs, openers   what the kernel shows
//! freeze    freezing filesystems                       above     finding them
//! drain     writing back beforehand                    changes   what the maps of changes record
//! fsmap     what a filesystem does not use
//! ```

mod above;
pub mod apart;
pub mod changes;
pub mod drain;
pub mod freeze;
pub mod fsmap;
pub mod inspect;
pub mod media;
pub mod openers;
pub mod probe;
pub mod sysfs;
pub mod writing;
