//! Moments and durations for people and for JSON.

use crate::model::Timestamp;

const DAY: u64 = 86_400;

/// RFC 3339 in UTC with milliseconds, such as `2026-11-22T11:50:19.123Z`.
pub(super) fn rfc3339(at: Timestamp) -> String {
    let (secs, millis) = (at.millis() / 1000, at.millis() % 1000);
    let (year, month, day) = civil(secs / DAY);
    let (hour, minute, second) = (secs % DAY / 3600, secs % 3600 / 60, secs % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

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
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (days / ERA * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// Microseconds in the unit that reads best, such as `850 us` or `12.3 ms`.
pub(super) fn duration(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} us"),
        1_000..1_000_000 => format!("{}.{} ms", us / 1_000, us % 1_000 / 100),
        _ => format!("{}.{} s", us / 1_000_000, us % 1_000_000 / 100_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_rfc_3339() {
        let shown = |millis| rfc3339(Timestamp::from_millis(millis));
        assert_eq!(shown(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(shown(951_782_399_999), "2000-02-28T23:59:59.999Z");
        assert_eq!(shown(951_868_800_000), "2000-03-01T00:00:00.000Z");
        assert_eq!(shown(1_709_164_800_000), "2024-02-29T00:00:00.000Z");
        assert_eq!(shown(4_102_444_800_001), "2100-01-01T00:00:00.001Z");
    }

    #[test]
    fn the_calendar_has_no_gap_and_no_double_day() {
        let mut last = (1970, 1, 1);
        for day in 1..200_000 {
            let next = civil(day);
            let (y, m, d) = last;
            assert!(next == (y, m, d + 1) || next == (y, m + 1, 1) || (m, d) == (12, 31) && next == (y + 1, 1, 1), "{last:?} {next:?}");
            assert!((1..=31).contains(&next.2));
            last = next;
        }
    }

    #[test]
    fn durations_read_well() {
        assert_eq!([0, 999, 12_345, 2_050_000].map(duration), ["0 us", "999 us", "12.3 ms", "2.0 s"]);
    }
}
