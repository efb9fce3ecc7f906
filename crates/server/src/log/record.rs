//! One event on its way: before it has a place, and after.

use std::fmt::Write;
use std::sync::Arc;

use ragpulse_protocol::parts::PreviousState;
use ragpulse_protocol::{Cursor, Epoch, Event, PipelineId, PipelineType, ReporterId, Timestamp};
use serde_json::value::RawValue;

/// An event that has no place yet.
#[derive(Debug, Clone)]
pub struct NewRecord {
    /// Its name on the wire.
    pub name: Arc<str>,
    /// Makes a resend harmless.
    pub event_id: Option<String>,
    /// Who reported it; `None` for what the hub makes itself.
    pub reporter: Option<ReporterId>,
    /// When it happened.
    pub timestamp: Timestamp,
    /// When the hub received it.
    pub received_at: Timestamp,
    /// The file it moves, if it moves one.
    pub file_id: Option<String>,
    /// Its own fields: the text of a JSON object.
    pub body: String,
    /// The id of the request that brought it, for the logs of this process. It is not stored.
    pub request_id: Option<Arc<str>>,
}

/// An event in its place.
#[derive(Debug)]
pub struct Record {
    /// Its name on the wire.
    pub name: Arc<str>,
    /// Its place.
    pub seq: u64,
    /// When the hub received it.
    pub received_at: Timestamp,
    /// Who reported it.
    pub reporter: Option<ReporterId>,
    /// The whole payload, serialized once for all subscribers.
    pub payload: Box<RawValue>,
    /// The same, decoded once for all reducers.
    pub event: Event,
    /// The id of the request that brought it; `None` for what was read from a store.
    pub request_id: Option<Arc<str>>,
}

impl Record {
    /// A record as it was stored.
    ///
    /// # Errors
    /// When the payload is not what the contract says of the name.
    pub fn stored(
        name: &str,
        payload: String,
        reporter: Option<ReporterId>,
    ) -> Result<Self, serde_json::Error> {
        let event = Event::decode(name, &payload)?;
        let payload = RawValue::from_string(payload)?;
        let (seq, received_at) = (event.shared().seq, event.shared().received_at);
        Ok(Self { name: name.into(), seq, received_at, reporter, payload, event, request_id: None })
    }

    /// How much room it takes on a wire, in bytes.
    pub fn size(&self) -> usize {
        self.payload.get().len() + self.name.len()
    }

    /// Whether it comes after a cursor in the same epoch.
    pub fn follows(&self, cursor: &Cursor) -> bool {
        self.seq > cursor.seq && *self.event.shared().epoch == cursor.epoch
    }

    /// The position right after it.
    pub fn cursor(&self) -> Cursor {
        self.event.shared().cursor()
    }
}

impl NewRecord {
    /// Gives an event its place: splices the shared fields before its own.
    ///
    /// # Errors
    /// When the result is not what the contract says of the name, which ingest does not let happen.
    pub fn place(
        self,
        pipeline_id: &PipelineId,
        pipeline_type: &PipelineType,
        epoch: &Epoch,
        seq: u64,
        previous: Option<PreviousState>,
    ) -> Result<Record, serde_json::Error> {
        // Names are made of characters that JSON does not escape.
        let mut text = String::with_capacity(self.body.len() + 256);
        let (timestamp, received_at) = (self.timestamp, self.received_at);
        let _ = write!(
            text,
            r#"{{"pipeline_id":"{pipeline_id}","pipeline_type":"{pipeline_type}","epoch":"{epoch}","seq":{seq},"timestamp":"{timestamp}","received_at":"{received_at}""#,
        );
        if let Some(previous) = previous {
            let _ = write!(text, r#","previous_state":"{previous}""#);
        }
        match self.body.strip_prefix('{') {
            Some("}") | None => text.push('}'),
            Some(rest) => {
                text.push(',');
                text.push_str(rest);
            }
        }
        let event = Event::decode(&self.name, &text)?;
        let payload = RawValue::from_string(text)?;
        let (reporter, request_id) = (self.reporter, self.request_id);
        Ok(Record { name: self.name, seq, received_at, reporter, payload, event, request_id })
    }
}
