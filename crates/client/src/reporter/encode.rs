//! Makes an [`Item`] of an event: gives it an id and a time, adds what only the reporter knows, and encodes it once.
//!
//! *What may come in:* any event. *What it never does:* judge an event's contents; that is the hub's part.

use ragpulse_protocol::parts::{ErrorReport, INTERRUPTED};
use ragpulse_protocol::report::HEARTBEAT;
use ragpulse_protocol::{Object, PipelineType, ReportedEvent, Timestamp};
use serde_json::Value;

use super::error::ReportError;
use super::queue::{Effect, Item};

/// The largest event taken, in bytes of JSON; also the largest batch.
pub(crate) const MAX_BYTES: usize = 512 * 1000;

/// Gives every event an id that is unique in the pipeline and stays the same however often it is sent.
#[derive(Debug)]
pub(crate) struct Encoder {
    prefix: String,
    count: u64,
    pipeline_type: PipelineType,
    lease_seconds: u32,
}

impl Encoder {
    /// `prefix` must differ between any two reporters that ever speak for one pipeline: make it random.
    pub(crate) fn new(prefix: String, pipeline_type: PipelineType, lease_seconds: u32) -> Self {
        Self { prefix, count: 0, pipeline_type, lease_seconds }
    }

    pub(crate) fn encode(&mut self, mut event: ReportedEvent, now: Timestamp) -> Result<Item, ReportError> {
        if event.event_id.is_none() {
            self.count += 1;
            event.event_id = Some(format!("{}-{}", self.prefix, self.count));
        }
        // The hub's default is the time it receives the event, which after an outage is long after it happened.
        event.timestamp.get_or_insert(now);
        if event.event == "pipeline:online" {
            let fields = &mut event.data;
            fields.entry("pipeline_type").or_insert_with(|| self.pipeline_type.as_str().into());
            fields.entry("lease_seconds").or_insert_with(|| self.lease_seconds.into());
        }
        let effect = effect_of(&event);
        let json = serde_json::to_string(&event).map_err(|error| ReportError::Encode(error.to_string()))?;
        if json.len() + 2 > MAX_BYTES {
            return Err(ReportError::TooLarge { event: event.event, bytes: json.len(), max: MAX_BYTES - 2 });
        }
        Ok(Item { json, effect, reopening: false, spooled: None })
    }

    /// The `pipeline:online`, if one is to be said, and `file:processing` that tell a hub what it does not know any more.
    pub(crate) fn reopening<'a>(
        &mut self,
        online: Option<&Object>,
        files: impl Iterator<Item = &'a Object>,
        now: Timestamp,
    ) -> Vec<Item> {
        let event = |name: &str, data: Object| ReportedEvent {
            event: name.to_owned(),
            event_id: None,
            timestamp: None,
            data,
        };
        let online = online.map(|fields| event("pipeline:online", fields.clone()));
        let files = files.map(|data| event("file:processing", data.clone()));
        // What was small enough the first time is so again: only the id and the time differ.
        online
            .into_iter()
            .chain(files)
            .filter_map(|event| self.encode(event, now).ok())
            .map(|item| Item { reopening: true, ..item })
            .collect()
    }
}

/// The item that was encoded so, byte for byte; nothing if none was.
pub(crate) fn item_of(json: &[u8]) -> Option<Item> {
    let json = std::str::from_utf8(json).ok()?.to_owned();
    let event = serde_json::from_str::<ReportedEvent>(&json).ok()?;
    Some(Item { json, effect: effect_of(&event), reopening: false, spooled: None })
}

/// The end of a file that nobody works on any more: the life of the reporter that began it is over. `fields` name the file.
pub(crate) fn interrupted(fields: Object) -> ReportedEvent {
    let error = ErrorReport {
        message: "the process that worked on the file ended, and the next one did not go on with it"
            .to_owned(),
        kind: Some(INTERRUPTED.to_owned()),
        retryable: Some(true),
        ..ErrorReport::default()
    };
    let mut data = fields;
    // A struct of strings is always JSON.
    data.insert("error".to_owned(), serde_json::to_value(error).unwrap_or_default());
    ReportedEvent { event: "file:failed".to_owned(), event_id: None, timestamp: None, data }
}

/// A sign of life, ready to be sent.
pub(crate) fn heartbeat() -> String {
    format!(r#"{{"event":"{HEARTBEAT}"}}"#)
}

/// What identifies the file of an event: its id, or its name.
pub(crate) fn file_of(data: &Object) -> Option<String> {
    let file = data.get("file")?;
    let known = file.get("id").and_then(Value::as_str).or_else(|| file.get("name").and_then(Value::as_str));
    known.map(str::to_owned)
}

fn effect_of(event: &ReportedEvent) -> Effect {
    let file = || file_of(&event.data);
    match event.event.as_str() {
        "pipeline:online" => Effect::Online(event.data.clone()),
        "pipeline:offline" => Effect::Offline,
        "file:processing" => {
            file().map_or(Effect::Other, |file| Effect::Begin { file, data: event.data.clone() })
        }
        "file:progress" => {
            let stage = event.data.get("processing_stage").and_then(Value::as_str).map(str::to_owned);
            // Progress of no file is refused by the hub; until then it is progress like any other.
            Effect::Progress { file: file().unwrap_or_default(), stage }
        }
        "file:completed" | "file:failed" | "file:skipped" | "file:cancelled" | "file:deleted"
        | "file:retrying" => file().map_or(Effect::Other, |file| Effect::End { file }),
        _ => Effect::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoder() -> Encoder {
        Encoder::new("abc".into(), PipelineType::new("local_files").unwrap(), 60)
    }

    fn event(json: &str) -> ReportedEvent {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn ids_are_given_once_and_a_callers_own_is_kept() {
        let (mut encoder, now) = (encoder(), Timestamp::from_millis(0));
        let json = |encoder: &mut Encoder, text| encoder.encode(event(text), now).unwrap().json;
        assert!(json(&mut encoder, r#"{"event":"x:a"}"#).contains(r#""event_id":"abc-1""#));
        assert!(json(&mut encoder, r#"{"event":"x:a","event_id":"mine"}"#).contains(r#""event_id":"mine""#));
        let third = json(&mut encoder, r#"{"event":"x:a"}"#);
        assert!(third.contains(r#""event_id":"abc-2""#), "{third}");
        assert!(third.contains("1970-01-01T00:00:00.000Z"), "{third}");
    }

    #[test]
    fn online_gets_the_type_and_lease_and_files_are_known_by_id_or_name() {
        let (mut encoder, now) = (encoder(), Timestamp::from_millis(0));
        let online = encoder.encode(event(r#"{"event":"pipeline:online"}"#), now).unwrap();
        let Effect::Online(data) = online.effect else { panic!("{online:?}") };
        assert_eq!(
            serde_json::to_string(&data).unwrap(),
            r#"{"lease_seconds":60,"pipeline_type":"local_files"}"#
        );
        let effect = |text| effect_of(&event(text));
        let by_id = r#"{"event":"file:completed","data":{"file":{"name":"n","id":"i"}}}"#;
        let by_name = r#"{"event":"file:failed","data":{"file":{"name":"n"}}}"#;
        assert_eq!(effect(by_id), Effect::End { file: "i".into() });
        assert_eq!(effect(by_name), Effect::End { file: "n".into() });
    }

    #[test]
    fn what_no_batch_can_hold_is_refused_at_once() {
        let mut big = event(r#"{"event":"x:big"}"#);
        big.data.insert("text".into(), "x".repeat(MAX_BYTES).into());
        let error = encoder().encode(big, Timestamp::from_millis(0)).unwrap_err();
        assert!(matches!(error, ReportError::TooLarge { .. }), "{error}");
    }
}
