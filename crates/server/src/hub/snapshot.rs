//! Snapshots as they are sent: serialized once for each state, kept under their size, with the reason spliced in.

use std::sync::Arc;

use ragpulse_protocol::limits::MAX_SNAPSHOT_BYTES;
use ragpulse_protocol::status::{Limits, ResetReason};
use ragpulse_protocol::{PipelineStatus, Timestamp, reference};
use serde::Serialize;
use serde_json::value::RawValue;

use super::outlet::Dialect;
use crate::log::Record;

/// The snapshots of one state.
#[derive(Debug, Default)]
pub(crate) struct SnapshotCache {
    native: Option<Arc<RawValue>>,
    /// Also when it was made: it counts seconds down.
    reference: Option<(Timestamp, Arc<RawValue>)>,
}

impl SnapshotCache {
    /// The state has changed.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }

    /// The snapshot of `state`, for this dialect and reason.
    pub(crate) fn get(
        &mut self,
        state: &PipelineStatus,
        dialect: Dialect,
        reason: Option<&ResetReason>,
        now: Timestamp,
    ) -> Arc<RawValue> {
        let make = || Arc::from(serialize(state, dialect, now));
        let whole = match dialect {
            Dialect::Native => self.native.get_or_insert_with(make).clone(),
            Dialect::Reference => {
                let fresh = self.reference.take().filter(|(at, _)| now.millis_since(*at) < 1_000);
                self.reference.insert(fresh.unwrap_or_else(|| (now, make()))).1.clone()
            }
        };
        match reason {
            Some(reason) => Arc::from(splice(&whole, "reason", &format!("\"{reason}\""))),
            None => whole,
        }
    }
}

/// Serializes a state in full where it is small enough, and with fewer files where it is not.
fn serialize(state: &PipelineStatus, dialect: Dialect, now: Timestamp) -> Box<RawValue> {
    let mut text = write(state, dialect, now);
    let mut limits = state.limits;
    while text.len() > MAX_SNAPSHOT_BYTES && (limits.open > 1 || limits.ended > 1) {
        limits = Limits { open: (limits.open / 2).max(1), ended: (limits.ended / 2).max(1) };
        text = write(&state.clone().limited_to(limits), dialect, now);
    }
    raw(text)
}

/// The state as it is sent over HTTP: within the size of a snapshot.
pub(crate) fn fitted(state: PipelineStatus) -> PipelineStatus {
    let mut state = state;
    while to_text(&state).len() > MAX_SNAPSHOT_BYTES && (state.limits.open > 1 || state.limits.ended > 1) {
        let limits = Limits { open: (state.limits.open / 2).max(1), ended: (state.limits.ended / 2).max(1) };
        state = state.limited_to(limits);
    }
    state
}

fn write(state: &PipelineStatus, dialect: Dialect, now: Timestamp) -> String {
    match dialect {
        Dialect::Native => to_text(state),
        Dialect::Reference => to_text(&reference::snapshot(state, now)),
    }
}

/// An update as reference clients expect it, with the status after it.
pub(crate) fn with_current_status(record: &Record, state: &PipelineStatus, now: Timestamp) -> Box<RawValue> {
    if &*record.name != "status:update" {
        return record.payload.clone();
    }
    splice(&record.payload, "current_status", &to_text(&reference::project(state, now)))
}

fn to_text(value: &impl Serialize) -> String {
    // States hold string keys and finite numbers only, so they can always be written.
    serde_json::to_string(value).unwrap_or_else(|_| "{}".to_owned())
}

/// Puts one more key at the front of an object.
fn splice(object: &RawValue, key: &str, value: &str) -> Box<RawValue> {
    match object.get().strip_prefix('{') {
        Some("}") => raw(format!("{{\"{key}\":{value}}}")),
        Some(rest) => raw(format!("{{\"{key}\":{value},{rest}")),
        None => object.to_owned(),
    }
}

fn raw(text: String) -> Box<RawValue> {
    // The text was made of valid parts; were it not, an empty object says less and breaks nothing.
    RawValue::from_string(text).unwrap_or_else(|_| RawValue::NULL.to_owned())
}
