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
    /// A disk of ours, for as long as it stays initialised.
    DiskId,
    /// A volume or snapshot volume.
    VolumeId,
    /// One boot of one machine (`/proc/sys/kernel/random/boot_id`).
    BootId,
    /// A machine (`/etc/machine-id`).
    HostId,
}

/// Counts the committed configurations of a group; larger is newer. Never compared with a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Generation(u64);

impl Generation {
    /// Before the first commit.
    pub const ZERO: Generation = Generation(0);

    /// The generation with this number.
    pub const fn new(number: u64) -> Self {
        Generation(number)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The one after this; `None` after 2^64 commits.
    pub fn next(self) -> Option<Generation> {
        self.0.checked_add(1).map(Generation)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A block device number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DevNo {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
}

impl fmt::Display for DevNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.major, self.minor)
    }
}

/// A moment, in milliseconds since 1970 (for people; nothing is ever ordered by it).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

impl Timestamp {
    /// So many milliseconds since 1970.
    pub const fn from_millis(millis: u64) -> Self {
        Timestamp(millis)
    }

    /// Milliseconds since 1970.
    pub const fn millis(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with milliseconds, such as `2026-11-22T11:50:19.123Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (secs, millis) = (self.0 / 1000, self.0 % 1000);
        let (year, month, day) = civil(secs / DAY);
        let (hour, minute, second) = (secs % DAY / 3600, secs % 3600 / 60, secs % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z"
        )
    }
}

/// Seconds.
const DAY: u64 = 86_400;

/// Year, month and day of a day counted from 1970-01-01, by the proleptic Gregorian calendar.
///
/// Years are taken to begin in March, so that the leap day is the last day of its year.
fn civil(days: u64) -> (u64, u64, u64) {
    const DAYS_BEFORE_1970: u64 = 719_468;
    const ERA: u64 = 146_097;
    let days = days + DAYS_BEFORE_1970;
    let of_era = days % ERA;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    (
        days / ERA * 400 + year_of_era + u64::from(month <= 2),
        month,
        day,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_calendar_has_no_gap_and_no_double_day() {
        let mut last = (1970, 1, 1);
        for day in 1..200_000 {
            let next = civil(day);
            let (y, m, d) = last;
            assert!(
                next == (y, m, d + 1)
                    || next == (y, m + 1, 1)
                    || (m, d) == (12, 31) && next == (y + 1, 1, 1),
                "{last:?} {next:?}"
            );
            assert!((1..=31).contains(&next.2));
            last = next;
        }
    }
}
