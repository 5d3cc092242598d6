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
use crate::linux::process::tools;
use crate::model::DevNo;
use std::ffi::OsString;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// Writes back the filesystems that rest on a device, through whatever layers, and the device
/// itself. Fails with `TimedOut` if that does not end within the deadline; nothing has been changed
/// then. `sync` does it, in separate processes: if a disk hangs, they block and this process does
/// not.
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
    let above = climb(&Here::look_at_layers(), device, &[device]);
    let filesystems = above
        .filesystems
        .into_iter()
        .filter_map(|filesystem| filesystem.ways.into_iter().next());
    let filesystems = filesystems
        .map(|way| -> [OsString; 3] { ["--file-system".into(), "--".into(), way.into()] });
    let bare = above
        .bare
        .into_iter()
        .filter(|dev| *dev != device)
        .filter_map(node_of)
        .chain([node.clone()]);
    let bare = bare.map(|path| -> [OsString; 3] { ["--data".into(), "--".into(), path.into()] });
    for words in filesystems.chain(bare) {
        if !tools::done_by(until, sync(&words).as_mut()) {
            let shown = node.display();
            return Err(Error::timed_out(format!(
                "the writes to '{shown}' do not reach the disks within {deadline:?}; nothing was changed"
            ))
            .on(&shown)
            .hint("a disk beneath it is very slow or hangs; see the kernel's log"));
        }
    }
    Ok(())
}

fn sync(words: &[OsString]) -> Option<Child> {
    tools::command("sync")?
        .args(words)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_hangs_is_given_up() {
        let sleep = || tools::command("sleep").unwrap().arg("60").spawn().ok();
        let started = Instant::now();
        assert!(!tools::done_by(
            Instant::now() + Duration::from_millis(30),
            sleep().as_mut()
        ));
        assert!(started.elapsed() < Duration::from_secs(30));
        assert!(tools::done_by(
            Instant::now() + Duration::from_secs(30),
            tools::command("true").unwrap().spawn().ok().as_mut()
        ));
        assert!(tools::done_by(Instant::now(), None));
    }

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
