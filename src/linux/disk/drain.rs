//! Writing back a volume's data before it is suspended, while nothing has to wait for it.
//!
//! A freezing suspend writes back everything that the filesystem has in memory while all writers
//! wait: gigabytes on a slow disk take minutes. After an earlier writeback little is left to do. It
//! is also the last chance to find out that a disk hangs: a suspend that waits for such a disk
//! cannot be given up again (see `critical`).

use crate::error::{Error, Result};
use crate::linux::disk::above::{Here, climb};
use crate::linux::disk::sysfs;
use crate::linux::dm::nodes;
use crate::linux::process::fork;
use crate::model::DevNo;
use nix::unistd::{fdatasync, syncfs};
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What is written back: a path that leads to it, and the call that does it.
enum Target {
    /// A filesystem, by a path within it.
    Filesystem(PathBuf),
    /// A device without a filesystem, by its node.
    Device(PathBuf),
}

impl Target {
    /// Blocks for as long as a disk does not take the writes. A path that cannot be opened is left
    /// out: the freeze meets the same error.
    fn write_back(&self) {
        let open = |path: &Path| {
            let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
            File::options().read(true).custom_flags(flags).open(path)
        };
        match self {
            Target::Filesystem(path) => drop(open(path).map(|file| syncfs(&file))),
            Target::Device(path) => drop(open(path).map(|file| fdatasync(&file))),
        }
    }
}

/// Writes back the filesystems that rest on a device, through whatever layers, and the device
/// itself. A filesystem that only another mount namespace has is left to the freeze. Fails with
/// `TimedOut` if that does not end within the deadline; nothing has been changed
/// then. A child process does it: if a disk hangs, it blocks and this process does not.
pub fn write_back(device: DevNo, deadline: Duration) -> Result<()> {
    let until = Instant::now() + deadline;
    let node_of = |dev| {
        sysfs::Block::numbered(dev)
            .and_then(|block| block.path())
            .filter(|path| nodes::leads_to(path, dev))
    };
    let Some(node) = node_of(device) else {
        return Ok(());
    };
    let above = climb(&Here::look_around(), device, &[device]);
    let filesystems = above
        .filesystems
        .into_iter()
        .filter_map(|filesystem| filesystem.ways.into_iter().next())
        .map(Target::Filesystem);
    let bare = above
        .bare
        .into_iter()
        .filter(|dev| *dev != device)
        .filter_map(node_of)
        .chain([node.clone()])
        .map(Target::Device);
    let targets: Vec<Target> = filesystems.chain(bare).collect();
    if fork::ends_by(until, || targets.iter().for_each(Target::write_back)) {
        return Ok(());
    }
    let shown = node.display();
    Err(Error::timed_out(format!(
        "the writes to '{shown}' do not reach the disks within {deadline:?}; nothing was changed"
    ))
    .on(&shown)
    .hint("a disk beneath it is very slow or hangs; see the kernel's log"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_does_not_exist_has_nothing_to_write_back() {
        assert_eq!(
            write_back(
                DevNo {
                    major: 4000,
                    minor: 1
                },
                Duration::from_secs(1)
            ),
            Ok(())
        );
    }
}
