//! Points in time for people and for JSON.

use crate::model::Timestamp;

/// RFC 3339 in UTC with milliseconds, such as `2026-11-22T11:50:19.123Z`.
pub(super) fn rfc3339(at: Timestamp) -> String {
    at.to_string()
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
}
