//! Moments as clients write them and as we do.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use types::Timestamp;

/// Reads a moment in ISO 8601: any offset, with or without a colon; none means UTC. A space in front of the offset is a
/// plus sign that a query lost.
pub(crate) fn read(text: &str) -> Option<Timestamp> {
    let mended = match text.rsplit_once(' ') {
        Some((moment, offset)) if moment.contains('T') => format!("{moment}+{offset}"),
        _ => text.to_owned(),
    };
    let zoned = mended.parse::<Timestamp>().ok();
    zoned.or_else(|| mended.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok().map(|at| at.timestamp()))
}

/// Writes a moment as the contract does: milliseconds, UTC, `Z`.
pub(crate) fn write(moment: Timestamp) -> String {
    moment.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sdk_spelling_is_one_moment() {
        for text in [
            "2026-11-22T04:13:40.000000+0000",
            "2026-11-22T04:13:40.000000 0000",
            "2026-11-22T04:13:40.000Z",
            "2026-11-22T05:13:40+01:00",
            "2026-11-22T04:13:40",
        ] {
            assert_eq!(read(text).map(write).as_deref(), Some("2026-11-22T04:13:40.000Z"), "{text}");
        }
        for text in ["", "yesterday", "2026-13-01T00:00:00Z", "0"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
