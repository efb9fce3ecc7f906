//! What the hub fills in where a reporter does not, and the events it makes itself.

use std::sync::Arc;

use ragpulse_protocol::parts::{FileReport, INTERRUPTED, UNTYPED_ERROR};
use ragpulse_protocol::report::Report;
use ragpulse_protocol::{Object, Timestamp};
use serde_json::{Value, json};

use crate::log::NewRecord;

/// The file that a report speaks of.
pub(super) fn file_of(report: &Report) -> Option<&FileReport> {
    Some(match report {
        Report::FileQueued(report) => &report.file,
        Report::FileProcessing(report) => &report.file,
        Report::FileProgress(report) => &report.file,
        Report::FileCompleted(report) => &report.file,
        Report::FileFailed(report) => &report.file,
        Report::FileSkipped(report) => &report.file,
        Report::FileRetrying(report) => &report.file,
        Report::FileCancelled(report) => &report.file,
        Report::FileDeleted(report) => &report.file,
        _ => return None,
    })
}

/// The own fields of an event as they are delivered.
pub(super) fn delivered(mut report: Report, at: Timestamp) -> Object {
    if let Report::StatusUpdate(update) = &mut report {
        normalise_times(&mut update.changes);
    }
    let mut fields = report.data();
    if let Some(Value::Object(file)) = fields.get_mut("file")
        && !file.contains_key("id")
    {
        let name = file.get("name").cloned().unwrap_or_default();
        file.insert("id".to_owned(), name);
    }
    let mut default = |key: &str, value: Value| {
        fields.entry(key).or_insert(value);
    };
    match &report {
        Report::PipelineOnline(_) => {
            default("status", json!("online"));
            default("started_at", json!(at));
        }
        Report::PipelineOffline(_) => {
            default("status", json!("offline"));
            default("shutdown_at", json!(at));
            default("reason", json!("normal_shutdown"));
        }
        Report::FileQueued(_) => default("change", json!("created")),
        Report::FileCompleted(_) => {
            default("success", json!(true));
            default("results", json!({}));
        }
        Report::FileFailed(_) => {
            default("success", json!(false));
            if let Some(Value::Object(error)) = fields.get_mut("error") {
                error.entry("type").or_insert_with(|| json!(UNTYPED_ERROR));
                error.entry("retryable").or_insert(json!(false));
            }
        }
        Report::FileSkipped(_) => default("reason", json!("unspecified")),
        _ => {}
    }
    fields
}

/// Times in `changes` come in any offset and leave in UTC, as all times do.
fn normalise_times(changes: &mut Object) {
    for key in ["started_at", "last_check_time", "next_check_time"] {
        if let Some(Value::String(text)) = changes.get_mut(key)
            && let Ok(time) = text.parse::<Timestamp>()
        {
            *text = time.to_string();
        }
    }
}

fn made_by_hub(name: &str, file_id: Option<String>, fields: &Value, now: Timestamp) -> NewRecord {
    NewRecord {
        name: Arc::from(name),
        event_id: None,
        reporter: None,
        timestamp: now,
        received_at: now,
        file_id,
        body: fields.to_string(),
        request_id: None,
    }
}

/// `pipeline:online` for a pipeline that is heard again without having said so.
pub(crate) fn hub_online(now: Timestamp) -> NewRecord {
    made_by_hub("pipeline:online", None, &json!({ "status": "online", "started_at": now }), now)
}

/// `pipeline:offline` for a pipeline whose last reporter fell silent, or left when it was not yet known to be the last.
pub(crate) fn hub_offline(lapsed: bool, now: Timestamp) -> NewRecord {
    let reason = if lapsed { "timeout" } else { "normal_shutdown" };
    let fields = json!({ "status": "offline", "shutdown_at": now, "reason": reason });
    made_by_hub("pipeline:offline", None, &fields, now)
}

/// The end of a file whose reporter left.
pub(crate) fn hub_interrupted(id: &str, name: &str, lapsed: bool, now: Timestamp) -> NewRecord {
    let message = if lapsed {
        "Its reporter fell silent before the file ended."
    } else {
        "Its reporter left before the file ended."
    };
    let fields = json!({
        "file": { "id": id, "name": name },
        "error": { "type": INTERRUPTED, "message": message, "retryable": true },
        "success": false,
    });
    made_by_hub("file:failed", Some(id.to_owned()), &fields, now)
}
