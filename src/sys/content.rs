//! What rests on volumes: filesystems, swap, other devices.

use super::Errno;

/// What rests on a volume, as far as that shows without a try.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// Why not everything can be frozen.
    pub obstacle: Option<String>,
    /// What udev has found on it, such as `ext4` or `crypto_LUKS`.
    pub content: Option<String>,
}

/// What rests on volumes that are split at one instant, opened ahead. The volumes are counted as
/// they were named. **Nothing here allocates.**
pub trait Contents {
    /// Why the n-th volume is not frozen or cannot be, as far as that is known. Allocates.
    fn reason(&self, volume: usize) -> Option<String>;
    /// Whether the suspend of the n-th volume has to do what it can: something is mounted on it
    /// that only the kernel can freeze.
    fn is_left_to_suspend(&self, volume: usize) -> bool;
    /// Writes back what is in memory of the n-th volume and what rests on it. May wait for the
    /// disks; how it ended is for the freeze to find out.
    fn write_back(&self, volume: usize);
    /// Freezes what rests on the n-th volume. May wait for the disks. Whether nothing more is
    /// written to it.
    fn freeze(&mut self, volume: usize) -> bool;
    /// Thaws what [`Contents::freeze`] has frozen. Whether all of it, and what others had frozen,
    /// was frozen until now.
    fn thaw(&mut self) -> Result<bool, Errno>;
}
