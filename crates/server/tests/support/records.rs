//! Records and batches, for tests of logs.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::sync::Arc;

use ragpulse_protocol::{PipelineId, PipelineType, ReporterId, Timestamp};
use ragpulse_server::log::{Batch, NewRecord, Record};
use serde_json::{Value, json};

pub fn id(name: &str) -> PipelineId {
    PipelineId::new(name).unwrap()
}

/// An event of this name, about this file if it is about one.
pub fn record(name: &str, file: &str, event_id: Option<&str>) -> NewRecord {
    let now = Timestamp::from_millis(1_000);
    let fields = match name {
        "pipeline:online" => json!({ "status": "online", "started_at": now }),
        "pipeline:offline" => json!({ "status": "offline", "shutdown_at": now, "reason": "shutdown" }),
        _ => json!({
            "file": { "id": file, "name": file }, "change": "created", "results": {}, "success": true, "progress": 0.5,
            "attempt": 1
        }),
    };
    NewRecord {
        name: Arc::from(name),
        event_id: event_id.map(str::to_owned),
        reporter: None,
        timestamp: now,
        received_at: now,
        file_id: (name.starts_with("file:") && name != "file:progress").then(|| file.to_owned()),
        body: fields.to_string(),
        request_id: None,
    }
}

pub fn by(reporter: &str, record: NewRecord) -> NewRecord {
    NewRecord { reporter: Some(ReporterId::new(reporter).unwrap()), ..record }
}

/// A batch that was received at this time.
pub fn batch(mut records: Vec<NewRecord>, at: i64) -> Batch {
    let received_at = Timestamp::from_millis(at);
    records.iter_mut().for_each(|record| record.received_at = received_at);
    let pipeline_type = PipelineType::new("local_files").unwrap();
    Batch { pipeline_type, records, remember: Vec::new(), received_at }
}

/// A field of a payload as text; empty where there is none.
pub fn field(record: &Record, name: &str) -> String {
    let payload: Value = serde_json::from_str(record.payload.get()).unwrap();
    payload[name].as_str().unwrap_or_default().to_owned()
}
