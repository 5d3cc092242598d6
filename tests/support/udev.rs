//! What the real udev made of events.

use super::child::tool;
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
    device.property_value(key).map(|value| value.to_string_lossy().into_owned())
}

/// Where a link such as `/dev/disk/by-uuid/…` points to.
pub fn target(link: impl AsRef<Path>) -> Option<PathBuf> {
    std::fs::canonicalize(link).ok()
}
