//! The identity of this machine and of this boot, the current time, and where breakoff keeps state.

use crate::error::{Error, Result};
use crate::model::{BootId, HostId, Platform, Timestamp, platform};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
const RELEASE: &str = "/proc/sys/kernel/osrelease";
const MACHINE_ID: &str = "/etc/machine-id";

/// The identity of this boot. A volume that is marked as running in another boot was not stopped
/// cleanly.
pub fn boot_id() -> Result<BootId> {
    let text = fs::read_to_string(BOOT_ID)
        .map_err(|err| Error::io(format!("cannot read '{BOOT_ID}'"), &err))?;
    BootId::parse(text.trim())
        .ok_or_else(|| Error::device(format!("'{BOOT_ID}' holds no boot identity")))
}

/// The identity of this machine. Two machines with the same one (a cloned image) would both believe
/// that a group is theirs. It is read once: it does not change while a process runs.
pub fn host_id() -> Result<HostId> {
    static KNOWN: OnceLock<HostId> = OnceLock::new();
    if let Some(known) = KNOWN.get() {
        return Ok(*known);
    }
    let id = read_host_id()?;
    Ok(*KNOWN.get_or_init(|| id))
}

fn read_host_id() -> Result<HostId> {
    let text = fs::read_to_string(MACHINE_ID).unwrap_or_default();
    parse_host_id(&text).ok_or_else(|| {
        Error::failed(format!(
            "this machine has no identity: '{MACHINE_ID}' is missing or empty"
        ))
        .on(MACHINE_ID)
        .hint("make one with 'systemd-machine-id-setup'")
    })
}

/// 32 hex digits, not all zero; `None` for an image that has not been booted yet (`uninitialized`).
fn parse_host_id(text: &str) -> Option<HostId> {
    HostId::parse(text.trim()).filter(|id| id.bytes() != [0; 16])
}

/// The kernel's release, such as `6.1.0-56-cloud-amd64`.
pub fn kernel_release() -> Option<String> {
    fs::read_to_string(RELEASE)
        .ok()
        .map(|text| text.trim().to_owned())
}

/// The kernel and its distribution. A file that cannot be read says nothing.
pub fn platform() -> Platform {
    let release = kernel_release();
    let modules = |release: &String| Path::new("/lib/modules").join(release).is_dir();
    let text = fs::read_to_string("/etc/os-release")
        .or_else(|_| fs::read_to_string("/usr/lib/os-release"))
        .unwrap_or_default();
    Platform {
        has_modules: release.as_ref().is_some_and(modules),
        distributions: platform::distributions(&text),
        release,
    }
}

/// The directory for what must survive a reboot; `BREAKOFF_STATE_DIR` overrides it.
pub fn state_dir() -> PathBuf {
    std::env::var_os("BREAKOFF_STATE_DIR")
        .filter(|dir| !dir.is_empty())
        .map_or_else(|| "/var/lib/breakoff".into(), PathBuf::from)
}

/// The directory in which the program records what it has seen of each group. It lies on the root
/// filesystem, which is available when volumes are started at boot and lies on none of them.
/// `BREAKOFF_WITNESS_DIR` overrides it.
pub fn witness_dir() -> PathBuf {
    std::env::var_os("BREAKOFF_WITNESS_DIR")
        .filter(|dir| !dir.is_empty())
        .map_or_else(|| "/etc/breakoff/witness".into(), PathBuf::from)
}

/// The current time, for people to read. A clock before 1970 counts as 1970.
pub fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// How long I/O is held at most when a disk keeps a window waiting, by default.
const HOLD: Duration = Duration::from_secs(10);

/// How long I/O is held at most when a disk keeps a window waiting: `BREAKOFF_HOLD_TIMEOUT` in
/// seconds. A value that is not a number from 0.1 to 3600 is ignored.
pub fn hold_timeout() -> Duration {
    let said = std::env::var("BREAKOFF_HOLD_TIMEOUT")
        .ok()
        .and_then(|text| text.trim().parse::<f64>().ok());
    said.filter(|seconds| (0.1..=3600.0).contains(seconds))
        .map_or(HOLD, Duration::from_secs_f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_real_machine_identity_counts() {
        assert!(parse_host_id("0123456789abcdef0123456789abcdef\n").is_some());
        for other in [
            "",
            "\n",
            "uninitialized\n",
            "0123",
            "00000000000000000000000000000000\n",
            "zz23456789abcdef0123456789abcdef",
        ] {
            assert_eq!(parse_host_id(other), None, "{other:?}");
        }
    }

    #[test]
    fn a_boot_has_one_identity() {
        assert!(boot_id().is_ok());
        assert_eq!(boot_id(), boot_id());
        assert!(now().millis() > 1_600_000_000_000);
    }
}
