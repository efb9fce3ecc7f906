//! What is hidden from whom: one pure function over JSON, by which everything goes that a hub sends to somebody who does
//! not see all.
//!
//! Texts are masked, not removed, and nothing else changes: a client that folds masked events comes to the masked state
//! (a test folds every fixture both ways). It goes by the names of keys at any depth, so what a pipeline calls `path` in
//! an event of its own is masked as well. It never lets through what it cannot read.

use std::borrow::Cow;
use std::str::FromStr;

use ragpulse_protocol::PipelineStatus;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

/// What stands in place of a text that is hidden.
const MASK: &str = "(redacted)";

/// What can be hidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    /// What a pipeline watches.
    WatchLocation,
    /// Where a file lies. Its name and id stay: who must not know them must not see the pipeline.
    Path,
    /// The text of an error, and all that came with it but its type, code and stage.
    ErrorMessage,
    /// Why a file was skipped, in words.
    Message,
    /// What else was worth saying of a file.
    Warnings,
}

impl Field {
    /// Every one.
    pub const ALL: &'static [Self] =
        &[Self::WatchLocation, Self::Path, Self::ErrorMessage, Self::Message, Self::Warnings];

    /// Its word in the key file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WatchLocation => "watch_location",
            Self::Path => "path",
            Self::ErrorMessage => "error.message",
            Self::Message => "message",
            Self::Warnings => "warnings",
        }
    }

    /// The key whose value it is, or which holds it.
    const fn key(self) -> &'static str {
        match self {
            Self::ErrorMessage => "error",
            other => other.as_str(),
        }
    }
}

impl FromStr for Field {
    type Err = String;
    fn from_str(word: &str) -> Result<Self, String> {
        let known = || Self::ALL.iter().map(|field| field.as_str()).collect::<Vec<_>>().join(", ");
        Self::ALL
            .iter()
            .find(|field| field.as_str() == word)
            .copied()
            .ok_or_else(|| format!("'{word}' cannot be redacted; what can is {}", known()))
    }
}

/// A set of fields that are hidden. The default is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Redaction(u8);

/// How much somebody sees of a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Audience {
    /// Everything.
    #[default]
    Full,
    /// All but these. Where a hub gives everybody the same set, an event is written twice at most.
    Redacted(Redaction),
}

impl FromIterator<Field> for Redaction {
    fn from_iter<I: IntoIterator<Item = Field>>(fields: I) -> Self {
        Self(fields.into_iter().fold(0, |set, field| set | (1 << field as u8)))
    }
}

impl Redaction {
    /// Whether nothing is hidden.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether this is hidden.
    pub fn hides(self, field: Field) -> bool {
        self.0 & (1 << field as u8) != 0
    }

    /// The payload without what is hidden; itself where there is nothing of that in it.
    pub(crate) fn of(self, payload: &RawValue) -> Cow<'_, RawValue> {
        if !self.may_touch(payload.get()) {
            return Cow::Borrowed(payload);
        }
        let masked = serde_json::from_str(payload.get())
            .map(|mut value| {
                self.mask(&mut value);
                value
            })
            .and_then(|value: Value| serde_json::value::to_raw_value(&value));
        // What cannot be read is not sent on.
        Cow::Owned(masked.unwrap_or_else(|_| RawValue::NULL.to_owned()))
    }

    /// As [`of`](Self::of), for what is not written yet; `None` when it does not survive, which no type of the contract does
    /// not.
    pub(crate) fn apply<T: Serialize + DeserializeOwned>(self, whole: &T) -> Option<T> {
        let mut value = serde_json::to_value(whole).ok()?;
        self.mask(&mut value);
        serde_json::from_value(value).ok()
    }

    /// Whether a text of JSON may hold something that is hidden. Quick, and never wrongly no.
    fn may_touch(self, text: &str) -> bool {
        // A key may be written in escapes.
        text.contains("\\u")
            || Field::ALL.iter().any(|field| {
                self.hides(*field)
                    && text.match_indices(field.key()).any(|(at, key)| {
                        text.as_bytes().get(at.wrapping_sub(1)) == Some(&b'"')
                            && text.as_bytes().get(at + key.len()) == Some(&b'"')
                    })
            })
    }

    fn mask(self, value: &mut Value) {
        match value {
            Value::Object(fields) => {
                for (key, value) in fields {
                    match Field::ALL.iter().find(|field| field.key() == key && self.hides(**field)) {
                        Some(Field::ErrorMessage) => mask_error(value),
                        Some(_) => mask_texts(value),
                        None => self.mask(value),
                    }
                }
            }
            Value::Array(values) => values.iter_mut().for_each(|value| self.mask(value)),
            _ => {}
        }
    }
}

/// Masks an error: a text, as the reference has it, or an object of which the kind stays.
fn mask_error(error: &mut Value) {
    let Value::Object(fields) = error else { return mask_texts(error) };
    for (key, value) in fields {
        if !matches!(key.as_str(), "type" | "code" | "stage") {
            mask_texts(value);
        }
    }
}

fn mask_texts(value: &mut Value) {
    match value {
        Value::String(text) => MASK.clone_into(text),
        Value::Array(values) => values.iter_mut().for_each(mask_texts),
        Value::Object(fields) => fields.values_mut().for_each(mask_texts),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

impl Audience {
    /// A payload as this audience sees it.
    pub(crate) fn of(self, payload: &RawValue) -> Cow<'_, RawValue> {
        match self {
            Self::Full => Cow::Borrowed(payload),
            Self::Redacted(redaction) => redaction.of(payload),
        }
    }

    /// A state as this audience sees it, within the size of a snapshot; `None` when it cannot be shown so.
    pub(crate) fn of_state(self, state: PipelineStatus) -> Option<PipelineStatus> {
        match self {
            Self::Full => Some(state),
            Self::Redacted(redaction) => redaction.apply(&state).map(crate::hub::fitted),
        }
    }

    /// What is hidden from it.
    pub(crate) fn redaction(self) -> Redaction {
        match self {
            Self::Full => Redaction::default(),
            Self::Redacted(redaction) => redaction,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn all() -> Redaction {
        Field::ALL.iter().copied().collect()
    }

    #[test]
    fn texts_are_masked_at_any_depth_and_nothing_else_changes() {
        let before = json!({
            "watch_location": "/secret", "seq": 7, "path": null,
            "file": { "name": "a.txt", "path": "/secret/a.txt", "size": 3 },
            "error": { "type": "IOError", "code": "E1", "message": "/secret/a.txt", "stage": "chunking",
                       "retryable": true, "trace": ["/secret/b"] },
            "files_failed": [{ "error": "/secret" }], "warnings": ["/secret"], "message": "/secret",
            "changes": { "watch_location": "/secret", "x": { "path": ["/secret", 1] } },
        });
        let text = before.to_string();
        let raw = RawValue::from_string(text).unwrap();
        let masked = all().of(&raw);
        assert!(!masked.get().contains("/secret"), "{}", masked.get());
        let after: Value = serde_json::from_str(masked.get()).unwrap();
        assert_eq!(after["error"]["type"], "IOError");
        assert_eq!((&after["error"]["stage"], &after["path"]), (&json!("chunking"), &Value::Null));
        assert_eq!(after["changes"]["x"]["path"], json!([MASK, 1]));
        assert_eq!((&after["file"]["name"], &after["seq"]), (&json!("a.txt"), &json!(7)));
        // Only what was asked for.
        let only: Redaction = [Field::Path].into_iter().collect();
        let after: Value = serde_json::from_str(only.of(&raw).get()).unwrap();
        assert_eq!((&after["watch_location"], &after["file"]["path"]), (&json!("/secret"), &json!(MASK)));
    }

    #[test]
    fn what_holds_nothing_hidden_is_passed_on_as_it_is_and_escapes_hide_nothing() {
        let plain =
            RawValue::from_string(r#"{"file":{"name":"path"},"paths":1,"xpath":2}"#.to_owned()).unwrap();
        let only: Redaction = [Field::ErrorMessage].into_iter().collect();
        assert!(matches!(only.of(&plain), Cow::Borrowed(_)));
        let escaped = RawValue::from_string("{\"p\\u0061th\":\"/secret\"}".to_owned()).unwrap();
        assert!(!all().of(&escaped).get().contains("/secret"));
        assert!(matches!(Audience::Full.of(&escaped), Cow::Borrowed(_)));
    }

    /// Folds every fixture twice: as it is, and masked. What comes of the masked one is the other, masked.
    #[test]
    fn who_folds_masked_events_comes_to_the_masked_state() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures");
        let (mut steps, mut touched) = (0, 0);
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|kind| kind != "json") {
                continue;
            }
            let fixture: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
            let (mut whole, mut masked) =
                (ragpulse_protocol::Session::default(), ragpulse_protocol::Session::default());
            for step in fixture["steps"].as_array().unwrap() {
                match step["op"].as_str() {
                    Some("reset") => [&mut whole, &mut masked].map(|session| session.reset()),
                    Some(_) => [&mut whole, &mut masked].map(|session| session.resynced()),
                    None => [(), ()],
                };
                let Some(name) = step["message"]["event"].as_str() else { continue };
                let message = |data| ragpulse_protocol::ServerMessage::decode(name, data);
                let raw = RawValue::from_string(step["message"]["data"].to_string()).unwrap();
                let hidden = all().of(&raw);
                touched += u32::from(hidden.get() != raw.get());
                let (Ok(one), Ok(other)) = (message(raw.get()), message(hidden.get())) else {
                    assert!(message(raw.get()).is_err(), "masking makes it unreadable: {hidden}");
                    continue;
                };
                let verdicts = (whole.handle(&one).verdict, masked.handle(&other).verdict);
                assert_eq!(verdicts.0, verdicts.1, "{}", path.display());
                let expected = whole.state().map(|state| all().apply(state).unwrap());
                assert_eq!(expected.as_ref(), masked.state(), "{}", path.display());
                steps += 1;
            }
        }
        assert!(steps > 100 && touched > 20, "{steps} steps, {touched} of them with something to hide");
    }
}
