//! What the real udev made of events.

use super::child::tool;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::path::{Path, PathBuf};

/// Waits until udev has worked off all events.
#[track_caller]
pub fn settle() {
    tool("udevadm", &["settle", "--timeout=120"]).ok();
}

/// A property of a block device in udev's database.
pub fn property(path: impl AsRef<Path>, key: &str) -> Option<String> {
    let number = super::block::number(path).ok()?;
    let device = udev::Device::from_devnum(udev::DeviceType::Block, number).ok()?;
    device
        .property_value(key)
        .map(|value| value.to_string_lossy().into_owned())
}

/// Whether udev's rules have given a tag to a block device.
pub fn has_tag(path: impl AsRef<Path>, tag: &str) -> bool {
    let number = super::block::number(path).unwrap();
    let mut tagged = udev::Enumerator::new().unwrap();
    tagged.match_tag(tag).unwrap();
    let all = tagged.scan_devices().unwrap();
    all.into_iter()
        .any(|device| device.devnum() == Some(number))
}

/// Where a link such as `/dev/disk/by-uuid/…` points to.
pub fn target(link: impl AsRef<Path>) -> Option<PathBuf> {
    fs::canonicalize(link).ok()
}

/// The daemon and its workers.
pub fn processes() -> Vec<Pid> {
    let processes = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|e| e.file_name().to_str()?.parse().ok());
    let is_udev = |pid: &i32| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.contains("udevd"))
    };
    processes.filter(is_udev).map(Pid::from_raw).collect()
}

/// Sends all of them a signal.
#[track_caller]
pub fn tell(signal: Signal) {
    let all = processes();
    assert!(!all.is_empty(), "udev does not run");
    all.into_iter()
        .for_each(|pid| kill(pid, signal).unwrap_or_default());
}
