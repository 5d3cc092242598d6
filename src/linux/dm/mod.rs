//! Device-mapper.
//!
//! ```text
//! kernel    its verbs                    ioctl     the verbs of a window
//! wire      what the kernel answers      events    waiting for something to happen to a device
//! cookie    what udev has processed      nodes     /dev/mapper without udev
//! rules     why udev makes no links     owners    the permissions of nodes
//! ```

pub mod cookie;
pub mod events;
pub mod ioctl;
pub mod kernel;
pub mod nodes;
pub mod owners;
pub mod rules;
pub mod wire;
