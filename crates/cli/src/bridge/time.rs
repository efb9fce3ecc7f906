//! Times as a legacy server writes them: some with an offset, most without.
//!
//! *What may come in:* any JSON value. *What it never does:* fail: what is no time, or none that can be, is none. It reads
//! no clock.

use std::str::FromStr;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use ragpulse_protocol::Timestamp;
use serde_json::Value;

/// 2000-01-01: no status server is older.
const EARLIEST: i64 = 946_684_800_000;
/// How far the clock of the legacy server may be ahead, in milliseconds.
const AHEAD: i64 = 60_000;
/// How far ahead a plan may lie: a year.
const PLANNED: i64 = 366 * 86_400_000;
/// Numbers from here on are milliseconds, smaller ones seconds: in seconds it is the year 5138.
const MILLIS_FROM: f64 = 1e11;

/// In which time zone a time without an offset was written.
#[derive(Debug, Clone)]
pub(crate) struct Zone(TimeZone);

impl Zone {
    /// UTC.
    pub(crate) fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    /// A point in time, if that is what it is.
    pub(crate) fn read(&self, value: &Value) -> Option<Timestamp> {
        match value {
            Value::String(text) => self.read_text(text.trim()),
            Value::Number(number) => {
                let number = number.as_f64().filter(|number| number.is_finite())?;
                let millis = if number.abs() < MILLIS_FROM { number * 1000.0 } else { number };
                // Saturates, and is then not plausible.
                Some(Timestamp::from_millis(millis as i64))
            }
            _ => None,
        }
    }

    fn read_text(&self, text: &str) -> Option<Timestamp> {
        if let Ok(time) = text.parse::<jiff::Timestamp>() {
            return Some(from_jiff(time));
        }
        // Where the clock is set back an hour comes twice, and the earlier one is taken; where it is set forward, the
        // later.
        let naive = text.parse::<DateTime>().ok()?;
        self.0.to_timestamp(naive).ok().map(from_jiff)
    }
}

impl FromStr for Zone {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "utc" | "UTC" => Ok(Self::utc()),
            "local" => Ok(Self(TimeZone::system())),
            name => TimeZone::get(name)
                .map(Self)
                .map_err(|_| "give local, utc, or a name such as Europe/Oslo".to_owned()),
        }
    }
}

fn from_jiff(time: jiff::Timestamp) -> Timestamp {
    Timestamp::from_millis(i64::try_from(time.as_nanosecond().div_euclid(1_000_000)).unwrap_or(i64::MAX))
}

/// A time at which something is said to have happened, if it can have.
pub(crate) fn happened(time: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
    time.filter(|time| (EARLIEST..=now.as_millis().saturating_add(AHEAD)).contains(&time.as_millis()))
}

/// A time for which something is planned, or at which it happened.
pub(crate) fn planned(time: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
    time.filter(|time| (EARLIEST..=now.as_millis().saturating_add(PLANNED)).contains(&time.as_millis()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(zone: &str, value: Value) -> Option<String> {
        zone.parse::<Zone>().unwrap().read(&value).map(|time| time.to_string())
    }

    #[test]
    fn naive_times_are_of_the_zone_and_others_of_their_own() {
        let is = |zone, value, expected: &str| assert_eq!(read(zone, value).as_deref(), Some(expected));
        is("utc", json!("2026-07-01T12:00:00.123456"), "2026-07-01T12:00:00.123Z");
        is("Europe/Oslo", json!("2026-07-01T12:00:00.123456"), "2026-07-01T10:00:00.123Z");
        is("Europe/Oslo", json!("2026-01-01 12:00:00"), "2026-01-01T11:00:00.000Z");
        is("Europe/Oslo", json!("2026-07-01T12:00:00Z"), "2026-07-01T12:00:00.000Z");
        is("Europe/Oslo", json!("2026-07-01T12:00:00+05:00"), "2026-07-01T07:00:00.000Z");
        is("utc", json!(1_782_907_200), "2026-07-01T12:00:00.000Z");
        is("utc", json!(1_782_907_200_500_u64), "2026-07-01T12:00:00.500Z");
        // Half past two came twice that night, and never on the other.
        is("Europe/Oslo", json!("2026-10-25T02:30:00"), "2026-10-25T00:30:00.000Z");
        is("Europe/Oslo", json!("2026-03-29T02:30:00"), "2026-03-29T01:30:00.000Z");
    }

    #[test]
    fn what_is_no_time_is_none() {
        for value in
            [json!(null), json!(""), json!("soon"), json!({}), json!("2026-13-01T00:00:00"), json!(true)]
        {
            assert_eq!(read("local", value), None);
        }
        assert!("Mars/Base".parse::<Zone>().is_err());
    }

    #[test]
    fn a_time_that_cannot_be_is_left_out() {
        let now = Timestamp::from_millis(1_800_000_000_000);
        let at = |offset: i64| Some(Timestamp::from_millis(now.as_millis() + offset));
        assert_eq!(happened(at(59_000), now), at(59_000));
        assert_eq!(happened(at(3_600_000), now), None, "an hour ahead: another time zone than was said");
        assert_eq!(planned(at(3_600_000), now), at(3_600_000));
        assert_eq!(happened(Some(Timestamp::from_millis(0)), now), None);
        assert_eq!(planned(Zone::utc().read(&json!(1e300)), now), None);
    }
}
