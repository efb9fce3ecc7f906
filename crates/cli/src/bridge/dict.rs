//! The status dict of a legacy server, read leniently: what it says of files, of totals, and every other key.
//!
//! *What may come in:* any bytes. *What it never does:* fail on what it can read around; only a body that is no status dict
//! at all is refused, with a word on what it is instead.

use ragpulse_protocol::{Object, Timestamp};
use serde_json::Value;

use super::ids::short;
use super::time::Zone;

/// The longest name and id of a file that is passed on, in bytes; a hub takes 1,024.
const LONGEST: usize = 900;

/// What a status server said at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Dict {
    pub(crate) processing: Vec<Entry>,
    pub(crate) completed: Vec<Entry>,
    pub(crate) failed: Vec<Entry>,
    pub(crate) total_processed: Option<u64>,
    pub(crate) total_failed: Option<u64>,
    pub(crate) is_checking: Option<bool>,
    /// When the server's process started, as it is written: another text means another process.
    pub(crate) started: Moment,
    /// Everything, as it stands there; times of the contract as the contract writes them, or left out if they are none.
    pub(crate) keys: Object,
    /// How many things in its lists are no files.
    pub(crate) unreadable: usize,
}

/// A time as it is written and as it was understood; each may be missing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) raw: Option<String>,
    pub(crate) at: Option<Timestamp>,
}

impl Moment {
    fn read(value: Option<&Value>, zone: &Zone) -> Self {
        let raw = match value {
            Some(Value::String(text)) if !text.trim().is_empty() => Some(short(text.trim(), 100)),
            Some(Value::Number(number)) => Some(number.to_string()),
            _ => None,
        };
        Self { raw, at: value.and_then(|value| zone.read(value)) }
    }

    /// Whether both are the same moment; `None` when one of them is not known.
    pub(crate) fn same_as(&self, other: &Self) -> Option<bool> {
        if let (Some(a), Some(b)) = (&self.raw, &other.raw) {
            return Some(a == b);
        }
        Some(self.at? == other.at?)
    }
}

/// Name, id and times of an entry as they are written.
pub(crate) type Identity = [Option<String>; 4];

/// A file in one of the lists.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) id: Option<String>,
    pub(crate) started: Moment,
    pub(crate) completed: Moment,
    /// Everything that is said of it.
    pub(crate) fields: Object,
}

impl Entry {
    fn read(value: &Value, zone: &Zone) -> Option<Self> {
        let fields = match value {
            Value::String(name) => Object::from_iter([("name".to_owned(), Value::from(name.as_str()))]),
            Value::Object(fields) => fields.clone(),
            _ => return None,
        };
        let id = text(fields.get("id").or_else(|| fields.get("file_id")));
        let name = text(fields.get("name").or_else(|| fields.get("filename")));
        let name = name.or_else(|| id.clone())?;
        let started = Moment::read(fields.get("started_at"), zone);
        let ended = fields.get("completed_at").or_else(|| fields.get("failed_at"));
        let completed = Moment::read(ended, zone);
        Some(Self { name, id, started, completed, fields })
    }

    /// What tells one end from another: an entry that moves along its list keeps it.
    pub(crate) fn identity(&self) -> Identity {
        [Some(self.name.clone()), self.id.clone(), self.started.raw.clone(), self.completed.raw.clone()]
    }

    /// A field of the entry, or of the `stats` in it.
    pub(crate) fn field(&self, names: &[&str]) -> Option<&Value> {
        let places = [Some(&self.fields), self.object("stats"), self.object("results")];
        places
            .into_iter()
            .flatten()
            .find_map(|place| names.iter().find_map(|name| place.get(*name)))
            .filter(|value| !value.is_null())
    }

    fn object(&self, name: &str) -> Option<&Object> {
        self.fields.get(name).and_then(Value::as_object)
    }
}

impl Dict {
    /// Reads a body.
    pub(crate) fn read(body: &[u8], zone: &Zone) -> Result<Self, String> {
        let value: Value =
            serde_json::from_slice(body).map_err(|error| format!("the body is not JSON ({error})"))?;
        let Value::Object(keys) = value else {
            return Err(format!("the body is {} where a dict is expected", kind(&value)));
        };
        const LISTS: [&str; 3] = ["files_processing", "files_completed", "files_failed"];
        if !LISTS.iter().any(|list| keys.contains_key(*list)) {
            let names: Vec<String> = keys.keys().take(5).map(|key| short(key, 40)).collect();
            return Err(format!(
                "the body has none of {}; its keys are [{}]",
                LISTS.join(", "),
                names.join(", ")
            ));
        }
        let mut dict = Self {
            total_processed: keys.get("total_processed").and_then(whole),
            total_failed: keys.get("total_failed").and_then(whole),
            is_checking: keys.get("is_checking").and_then(Value::as_bool),
            started: Moment::read(keys.get("started_at"), zone),
            ..Self::default()
        };
        for (list, entries) in LISTS.iter().zip([&mut dict.processing, &mut dict.completed, &mut dict.failed])
        {
            let values = match keys.get(*list) {
                Some(Value::Array(values)) => values.as_slice(),
                None | Some(Value::Null) => &[],
                Some(other) => return Err(format!("its {list} is {} where a list is expected", kind(other))),
            };
            entries.extend(values.iter().filter_map(|value| Entry::read(value, zone)));
            dict.unreadable += values.len() - entries.len();
        }
        dict.keys = keys;
        for key in ["started_at", "last_check_time", "next_check_time"] {
            if let Some(value) = dict.keys.remove(key) {
                let read = zone.read(&value).map(|time| time.to_string().into());
                let value = if value.is_null() { Some(value) } else { read };
                dict.keys.extend(value.map(|value| (key.to_owned(), value)));
            }
        }
        Ok(dict)
    }
}

/// A whole number, also one that is written as `3.0`.
fn whole(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_f64().filter(|n| n.fract() == 0.0 && *n >= 0.0).map(|n| n as u64))
}

/// A text, or a number as one; nothing for an empty one. Shortened where it is too long for a hub.
fn text(value: Option<&Value>) -> Option<String> {
    let text = match value? {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    (!text.is_empty()).then(|| short(&text, LONGEST))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a dict",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Dict, String> {
        Dict::read(text.as_bytes(), &Zone::utc())
    }

    #[test]
    fn entries_of_every_form_are_read() {
        let dict = read(
            r#"{"files_processing": [{"name": "a", "id": 7, "started_at": "2026-01-01T00:00:00"}, "b", {"id": "c"}, 4, {}],
                "files_failed": null, "total_processed": 3.0, "total_failed": "2", "is_checking": 1}"#,
        )
        .unwrap();
        let names: Vec<_> = dict.processing.iter().map(|e| (e.name.as_str(), e.id.as_deref())).collect();
        assert_eq!(names, [("a", Some("7")), ("b", None), ("c", Some("c"))]);
        assert_eq!((dict.unreadable, dict.total_processed, dict.total_failed), (2, Some(3), None));
        assert_eq!(dict.is_checking, None);
        assert_eq!(dict.processing[0].started.at, "2026-01-01T00:00:00Z".parse().ok());
    }

    #[test]
    fn what_is_no_dict_says_what_it_is() {
        for (body, expected) in [
            ("<html>", "not JSON"),
            ("[]", "a list where a dict"),
            (r#"{"status":"ok"}"#, "its keys are [status]"),
            (r#"{"files_processing":{}}"#, "files_processing is a dict where a list"),
        ] {
            let error = read(body).unwrap_err();
            assert!(error.contains(expected), "{body}: {error}");
        }
    }

    #[test]
    fn long_names_stay_distinct() {
        let body = |end: &str| format!(r#"{{"files_processing":["{}{end}"]}}"#, "ü".repeat(2_000));
        let name = |end| read(&body(end)).unwrap().processing.remove(0).name;
        assert!(name("1").len() <= LONGEST);
        assert_ne!(name("1"), name("2"));
    }
}
