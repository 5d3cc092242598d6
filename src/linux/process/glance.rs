//! A look at this machine that nothing waits for: for a shell that completes a word.

use crate::linux::process::fork;
use nix::unistd::geteuid;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// What the kernel shows once device-mapper is there.
const MAPPER: &str = "/sys/class/misc/device-mapper";

/// Whether this process may read disks, and nothing has to be loaded for it.
pub fn is_possible() -> bool {
    geteuid().is_root() && Path::new(MAPPER).exists()
}

/// Has a child do this, and returns what it has written; `None` if it has not ended in time, or
/// cannot be started. What the child has on stdout and stderr is lost. A child that hangs on a disk
/// stays behind until the disk answers; it holds no lock, no terminal and none of the caller's files.
pub fn hear(within: Duration, body: impl FnOnce(&mut dyn Write)) -> Option<Vec<u8>> {
    let until = Instant::now() + within;
    fork::hears_by(until, |mouth| body(mouth)).ok().flatten()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_late_is_not_waited_for() {
        let started = Instant::now();
        let late = hear(Duration::from_millis(50), |mouth| {
            std::thread::sleep(Duration::from_secs(60));
            let _ = mouth.write_all(b"late");
        });
        assert_eq!(late, None);
        assert!(started.elapsed() < Duration::from_secs(30));
        let soon = hear(Duration::from_secs(60), |mouth| {
            mouth.write_all(b"soon").unwrap();
        });
        assert_eq!(soon.as_deref(), Some(&b"soon"[..]));
    }
}
