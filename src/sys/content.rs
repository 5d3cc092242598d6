//! What rests on volumes: filesystems, swap, other devices.

use super::Errno;

/// What rests on a volume, as far as that shows without freezing it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// The reason why not everything can be frozen, if there is one.
    pub obstacle: Option<String>,
    /// The type of content that udev has found on it, such as `ext4` or `crypto_LUKS`.
    pub content: Option<String>,
}

/// What rests on volumes that are split at one instant, opened in advance. Volumes are numbered in
/// the order in which they were named. Nothing is opened after they were found: the calls are made
/// while other volumes are frozen already, with the memory of the process locked.
pub trait Contents {
    /// The reason why the n-th volume is not frozen or cannot be, as far as it is known.
    fn reason(&self, volume: usize) -> Option<String>;
    /// Whether the suspend of the n-th volume has to freeze what it can: something is mounted on it
    /// that only the kernel can freeze.
    fn is_left_to_suspend(&self, volume: usize) -> bool;
    /// Writes back the dirty data of the n-th volume and of what rests on it. May block on the
    /// disks. Errors are ignored here, because the freeze meets them again.
    fn write_back(&self, volume: usize);
    /// Freezes what rests on the n-th volume. May block on the disks. Returns whether nothing
    /// writes to the volume any more.
    fn freeze(&mut self, volume: usize) -> bool;
    /// Thaws what [`Contents::freeze`] has frozen. Returns whether all of it, and everything that
    /// others had frozen, was frozen until now.
    fn thaw(&mut self) -> Result<bool, Errno>;
}
