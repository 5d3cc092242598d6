//! Identities: what stays the same when names, paths and machines change.

use std::fmt;
use uuid::Uuid;

macro_rules! uuid_id {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// A fresh random identity.
            pub fn random() -> Self { $name(Uuid::new_v4()) }
            /// The identity with these bytes.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self { $name(Uuid::from_bytes(bytes)) }
            /// The bytes as stored on disk.
            pub fn bytes(self) -> [u8; 16] { *self.0.as_bytes() }
            /// Parses 32 hex digits, with or without dashes.
            pub fn parse(text: &str) -> Option<Self> { Uuid::try_parse(text).ok().map($name) }
            /// 32 hex digits without dashes, as used in dm UUIDs and in the metadata.
            pub fn simple(self) -> String { self.0.simple().to_string() }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { self.0.hyphenated().fmt(f) }
        }
    )* };
}

uuid_id! {
    /// A disk group.
    GroupId,
    /// A breakoff disk, for as long as it stays initialised.
    DiskId,
    /// A volume or snapshot volume.
    VolumeId,
    /// One boot of one machine (`/proc/sys/kernel/random/boot_id`).
    BootId,
    /// A machine (`/etc/machine-id`).
    HostId,
    /// A handover of disks from one group to another.
    HandoverId,
}

/// The number of a configuration, which counts the commits of its group; larger is newer. It is
/// never compared with a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Generation(u64);

impl Generation {
    /// The generation before the first commit.
    pub const ZERO: Generation = Generation(0);

    /// The generation with this number.
    pub const fn new(number: u64) -> Self {
        Generation(number)
    }

    /// The number, as it is stored on the disks.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The next generation; `None` after 2^64 commits.
    pub fn next(self) -> Option<Generation> {
        self.0.checked_add(1).map(Generation)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of a block device, printed as `major:minor`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DevNo {
    /// The major number.
    pub major: u32,
    /// The minor number.
    pub minor: u32,
}

impl fmt::Display for DevNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

/// A point in time, in milliseconds since 1970. It is shown to people; nothing is ever ordered by
/// it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The point in time that is this many milliseconds after 1970.
    pub const fn from_millis(millis: u64) -> Self {
        Timestamp(millis)
    }

    /// Milliseconds since 1970.
    pub const fn millis(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Timestamp {
    /// Prints RFC 3339 in UTC with milliseconds, such as `2026-11-22T11:50:19.123Z`. RFC 3339 ends
    /// with the year 9999; a later time is printed as `jiff::Timestamp::MAX`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = i64::try_from(self.0).map(jiff::Timestamp::from_millisecond);
        let at = at.ok().and_then(Result::ok).unwrap_or(jiff::Timestamp::MAX);
        write!(f, "{at:.3}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_that_rfc_3339_cannot_say_is_the_last_that_it_can() {
        for millis in [u64::MAX, i64::MAX as u64, 253_402_300_800_000] {
            let shown = Timestamp::from_millis(millis).to_string();
            assert!(
                shown.starts_with("9999-12-3") && shown.ends_with('Z'),
                "{shown}"
            );
        }
    }
}
