//! Cursors, names and times: what is read is what is written.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use ragpulse_protocol::{Cursor, Epoch, PipelineId, PipelineType, ReporterId, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    read::<PipelineId>(text, true);
    read::<PipelineType>(text, true);
    read::<ReporterId>(text, true);
    read::<Epoch>(text, true);
    read::<Timestamp>(text, true);
    read::<Cursor>(text, false);
    if let Ok(time) = text.parse::<Timestamp>() {
        assert_eq!(Timestamp::from_millis(time.as_millis()), time);
        assert_eq!(time.to_string().len(), "2026-03-01T08:00:00.000Z".len(), "{time}");
        assert_eq!(time.millis_since(time), 0);
    }
    if let Ok(epoch) = text.parse::<Epoch>() {
        assert!(epoch.as_str().len() <= 32);
    }
    if let Ok(millis) = text.parse::<i64>() {
        let time = Timestamp::from_millis(millis);
        assert_eq!(time.to_string().parse::<Timestamp>().unwrap(), time, "of any number of milliseconds");
        let _ = time.millis_since(Timestamp::from_millis(0));
    }
}

/// Reads a text, and what it writes again; `as_text` where it is a string in JSON too.
fn read<T>(text: &str, as_text: bool)
where
    T: FromStr + Display + Debug + PartialEq + Serialize + DeserializeOwned,
{
    let json = serde_json::to_string(text).unwrap();
    let Ok(value) = text.parse::<T>() else {
        assert!(!as_text || serde_json::from_str::<T>(&json).is_err(), "{text:?} is taken in JSON only");
        return;
    };
    let Ok(again) = value.to_string().parse::<T>() else {
        panic!("{text:?} gives {value}, which is refused")
    };
    assert_eq!(again, value);
    let written = serde_json::to_string(&value).unwrap();
    assert_eq!(serde_json::from_str::<T>(&written).unwrap(), value);
    if as_text {
        assert_eq!(serde_json::from_str::<T>(&json).unwrap(), value);
    }
}
