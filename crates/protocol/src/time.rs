//! Points in time as the contract writes them: RFC 3339, UTC, milliseconds.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point in time, to the millisecond, in UTC. On the wire: `2026-01-31T09:30:00.000Z`.
///
/// Any RFC 3339 offset is accepted and normalised; a time without an offset is refused, because nobody can know
/// which clock it was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(type = "string"))]
pub struct Timestamp(i64);

/// Why a text is no [`Timestamp`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a time must be RFC 3339 with an offset, such as 2026-01-31T09:30:00Z, not {0:?}")]
pub struct InvalidTimestamp(String);

/// 0000-01-01 and 9999-12-31 as milliseconds, the years that RFC 3339 can write.
const RANGE: std::ops::RangeInclusive<i64> = -62_167_219_200_000..=253_402_207_200_000;

impl Timestamp {
    /// From milliseconds since 1970, clamped to the years 0 to 9999.
    pub fn from_millis(millis: i64) -> Self {
        Self(millis.clamp(*RANGE.start(), *RANGE.end()))
    }

    /// Milliseconds since 1970.
    pub fn as_millis(self) -> i64 {
        self.0
    }

    /// Milliseconds from `earlier` to this time; negative when it lies before.
    pub fn millis_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl std::str::FromStr for Timestamp {
    type Err = InvalidTimestamp;
    fn from_str(text: &str) -> Result<Self, InvalidTimestamp> {
        let refused = || InvalidTimestamp(text.chars().take(40).collect());
        // The parser also reads RFC 9557 annotations and other ISO 8601 forms; RFC 3339 has none of them.
        if !is_rfc3339(text.as_bytes()) {
            return Err(refused());
        }
        let parsed: jiff::Timestamp = text.parse().map_err(|_| refused())?;
        // Downwards before 1970 too, so that digits beyond the third are cut off whatever the year.
        let millis = i64::try_from(parsed.as_nanosecond().div_euclid(1_000_000)).map_err(|_| refused())?;
        if RANGE.contains(&millis) { Ok(Self(millis)) } else { Err(refused()) }
    }
}

/// Whether a text has the form `2026-01-31T09:30:00[.123][Z|+02:00]`; whether there is such a day is for the parser.
fn is_rfc3339(text: &[u8]) -> bool {
    let digits = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
    let Some((moment, rest)) = text.split_at_checked(19) else { return false };
    let shaped = moment.iter().zip(b"0000-00-00T00:00:00").all(|(found, shape)| match shape {
        b'0' => found.is_ascii_digit(),
        b'T' => matches!(found, b'T' | b't' | b' '),
        _ => found == shape,
    });
    let offset = match rest {
        [b'.', fraction @ ..] => {
            let length = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if !(1..=9).contains(&length) {
                return false;
            }
            &fraction[length..]
        }
        whole => whole,
    };
    shaped
        && match offset {
            b"Z" | b"z" => true,
            [b'+' | b'-', hours @ .., b':', m1, m2] => {
                hours.len() == 2 && digits(hours) && hours < b"24" && digits(&[*m1, *m2]) && *m1 < b'6'
            }
            _ => false,
        }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The range is checked on the way in, so the fallback is never seen.
        let time = jiff::Timestamp::from_millisecond(self.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        write!(f, "{time:.3}")
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Timestamp;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an RFC 3339 time with an offset")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Timestamp, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Timestamp {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "format": "date-time",
            "description": "RFC 3339 with an offset; hubs deliver it in UTC with milliseconds.",
            "examples": ["2026-01-31T09:30:00.000Z"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_normalised_to_utc_milliseconds() {
        for (given, expected) in [
            ("2026-01-31T09:30:00Z", "2026-01-31T09:30:00.000Z"),
            ("2026-01-31T09:30:00.123456+02:00", "2026-01-31T07:30:00.123Z"),
            ("2026-01-31T09:30:00-00:30", "2026-01-31T10:00:00.000Z"),
            ("1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z"),
            ("1969-12-31T23:59:59.9999Z", "1969-12-31T23:59:59.999Z"),
            ("2026-01-31t09:30:00.5z", "2026-01-31T09:30:00.500Z"),
        ] {
            assert_eq!(given.parse::<Timestamp>().unwrap().to_string(), expected);
        }
    }

    #[test]
    fn a_naive_or_foreign_time_is_refused() {
        for bad in [
            "2026-01-31T09:30:00",
            "2026-01-31",
            "yesterday",
            "",
            "1769851800",
            "2026-13-01T00:00:00Z",
            "2026-01-31T09:30:00+02:00[Europe/Oslo]",
            "+012026-01-31T09:30:00Z",
            "20260131T093000+00:00",
            "2026-01-31T09:30Z",
            "2026-01-31T09:30:00+02",
            "2026-01-31T09:30:00+0200",
            "2026-01-31T09:30:00+24:00",
            "2026-01-31T09:30:00,5Z",
            "2026-01-31T09:30:00.Z",
            "2026-02-30T09:30:00Z",
            "2026-01-31T09:30:0é",
        ] {
            assert!(bad.parse::<Timestamp>().is_err(), "{bad:?} must be refused");
        }
        assert!(serde_json::from_str::<Timestamp>("1769851800").is_err());
    }

    #[test]
    fn any_number_of_milliseconds_is_a_time() {
        for millis in [i64::MIN, -1, 0, i64::MAX] {
            let time = Timestamp::from_millis(millis);
            assert_eq!(time.to_string().parse::<Timestamp>().unwrap(), time);
        }
    }
}
