//! What events of the pipeline itself make of a state.

use serde_json::Value;

use super::{Anomaly, AnomalyKind};
use crate::event::{PipelineOffline, PipelineOnline, PipelineRemoved, StatusUpdate};
use crate::limits::MAX_EXTRA_KEYS;
use crate::parts::OfflineReason;
use crate::status::{Counts, FileTable};
use crate::{Liveness, PipelineStatus, Timestamp};

pub(super) fn online(state: &mut PipelineStatus, event: &PipelineOnline) {
    state.pipeline_type = event.pipeline_type.clone();
    state.status = "online".to_owned();
    state.liveness = Liveness::Live;
    state.started_at = Some(event.started_at);
    state.shutdown_at = None;
    state.offline_reason = None;
    // What the event does not mention stays: a pipeline re-opened by the hub says nothing of these.
    if event.check_interval.is_some() {
        state.check_interval = event.check_interval;
    }
    if event.watch_location.is_some() {
        state.watch_location.clone_from(&event.watch_location);
    }
    if event.lease_seconds.is_some() {
        state.lease_seconds = event.lease_seconds;
    }
}

pub(super) fn offline(state: &mut PipelineStatus, event: &PipelineOffline) {
    state.status = "offline".to_owned();
    state.liveness = if event.reason == OfflineReason::Timeout { Liveness::Lost } else { Liveness::Offline };
    state.shutdown_at = Some(event.shutdown_at);
    state.offline_reason = Some(event.reason.clone());
    state.is_checking = state.is_checking.map(|_| false);
    state.next_check_time = None;
}

pub(super) fn removed(state: &mut PipelineStatus, _: &PipelineRemoved) {
    state.status = "removed".to_owned();
    state.liveness = Liveness::Offline;
    state.files = FileTable::default();
    state.counts = Counts::default();
}

/// Whether a key of `changes` belongs to the reducer, so that a reporter may not set it.
pub fn is_reserved_key(key: &str) -> bool {
    key.starts_with("files")
        || key.starts_with("total_")
        || matches!(
            key,
            "counts"
                | "pipeline_id"
                | "pipeline_type"
                | "epoch"
                | "seq"
                | "timestamp"
                | "received_at"
                | "liveness"
                | "last_activity"
                | "shutdown_at"
                | "offline_reason"
                | "lease_seconds"
                | "limits"
                | "reason"
                | "seconds_until_next_check"
        )
}

/// Whether a known key of `changes` may have this value; keys that are not known may have any. `null` takes a key
/// out, but for `status`, which is always there.
pub fn is_valid_change(key: &str, value: &Value) -> bool {
    match key {
        "status" => value.is_string(),
        _ if value.is_null() => true,
        "check_interval" => value.as_f64().is_some_and(|seconds| seconds >= 0.0),
        "is_checking" => value.is_boolean(),
        "watch_location" => value.is_string(),
        "started_at" | "last_check_time" | "next_check_time" => as_time(value).is_some(),
        _ => true,
    }
}

fn as_time(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

pub(super) fn update(state: &mut PipelineStatus, event: &StatusUpdate, anomalies: &mut Vec<Anomaly>) {
    // In order of the keys, because the order decides which ones find room; a map's own order is not the same in every
    // language, nor in every build of this one.
    let mut changes: Vec<_> = event.changes.iter().collect();
    changes.sort_unstable_by_key(|(key, _)| *key);
    for (key, value) in changes {
        let refused = if is_reserved_key(key) {
            Some(AnomalyKind::ReservedKey)
        } else if !is_valid_change(key, value) {
            Some(AnomalyKind::BadValue)
        } else {
            set(state, key, value).err()
        };
        if let Some(kind) = refused {
            anomalies.push(Anomaly { kind, seq: event.seq, subject: key.clone() });
        }
    }
}

fn set(state: &mut PipelineStatus, key: &str, value: &Value) -> Result<(), AnomalyKind> {
    match key {
        "status" => state.status = value.as_str().unwrap_or_default().to_owned(),
        "check_interval" => state.check_interval = value.as_f64(),
        "is_checking" => state.is_checking = value.as_bool(),
        "watch_location" => state.watch_location = value.as_str().map(str::to_owned),
        "started_at" => state.started_at = as_time(value),
        "last_check_time" => state.last_check_time = as_time(value),
        "next_check_time" => state.next_check_time = as_time(value),
        _ if value.is_null() => {
            state.extra.remove(key);
        }
        _ if state.extra.len() >= MAX_EXTRA_KEYS && !state.extra.contains_key(key) => {
            return Err(AnomalyKind::TooManyKeys);
        }
        _ => {
            state.extra.insert(key.to_owned(), value.clone());
        }
    }
    Ok(())
}
