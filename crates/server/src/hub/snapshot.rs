//! Snapshots as they are sent: serialized once for each state, kept under their size, with the reason spliced in.

use std::sync::Arc;

use ragpulse_protocol::limits::MAX_SNAPSHOT_BYTES;
use ragpulse_protocol::status::{Limits, ResetReason};
use ragpulse_protocol::{PipelineStatus, Timestamp, reference};
use serde::Serialize;
use serde_json::value::RawValue;

use super::outlet::{Dialect, Shared};
use crate::auth::{Audience, Redaction};
use crate::log::Record;

/// The snapshots of one state, by who sees how much of it.
#[derive(Debug, Default)]
pub(crate) struct SnapshotCache {
    full: Wholes,
    /// Those without what is hidden, and what that is.
    masked: Option<(Redaction, Wholes)>,
}

/// The snapshots of one state for one audience.
#[derive(Debug, Default)]
struct Wholes {
    native: Option<Arc<Snapshot>>,
    /// Also when it was made: it counts seconds down.
    reference: Option<(Timestamp, Arc<Snapshot>)>,
    /// The last that was given with a reason: after a break many come back for the same one.
    with_reason: Option<(Dialect, ResetReason, Arc<Snapshot>)>,
}

/// A state as it is sent, to however many.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) payload: Box<RawValue>,
    pub(crate) shared: Shared,
}

impl Snapshot {
    fn new(payload: Box<RawValue>) -> Arc<Self> {
        Arc::new(Self { payload, shared: Shared::default() })
    }
}

impl SnapshotCache {
    /// The state has changed.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }

    /// The snapshot of `state`, for this dialect, audience and reason.
    pub(crate) fn get(
        &mut self,
        state: &PipelineStatus,
        dialect: Dialect,
        audience: Audience,
        reason: Option<&ResetReason>,
        now: Timestamp,
    ) -> Arc<Snapshot> {
        let wholes = match audience {
            Audience::Full => &mut self.full,
            Audience::Redacted(redaction) => {
                let own = self.masked.take().filter(|(of, _)| *of == redaction);
                &mut self.masked.insert(own.unwrap_or_else(|| (redaction, Wholes::default()))).1
            }
        };
        let make = || Snapshot::new(serialize(state, dialect, audience, now));
        let whole = match dialect {
            Dialect::Native => wholes.native.get_or_insert_with(make).clone(),
            Dialect::Reference => {
                let fresh = wholes.reference.take().filter(|(at, _)| now.millis_since(*at) < 1_000);
                if fresh.is_none() {
                    wholes.with_reason = None;
                }
                wholes.reference.insert(fresh.unwrap_or_else(|| (now, make()))).1.clone()
            }
        };
        let Some(reason) = reason else { return whole };
        let made = wholes.with_reason.take().filter(|(of, why, _)| *of == dialect && why == reason);
        let make = || {
            let payload = splice(&whole.payload, "reason", &format!("\"{reason}\""));
            (dialect, reason.clone(), Snapshot::new(payload))
        };
        wholes.with_reason.insert(made.unwrap_or_else(make)).2.clone()
    }
}

/// Serializes a state in full where it is small enough, and with fewer files where it is not.
fn serialize(state: &PipelineStatus, dialect: Dialect, audience: Audience, now: Timestamp) -> Box<RawValue> {
    let write = |state: &PipelineStatus| {
        let whole = raw(write(state, dialect, now));
        match audience {
            Audience::Full => whole,
            Audience::Redacted(redaction) => redaction.of(&whole).into_owned(),
        }
    };
    let mut whole = write(state);
    let mut limits = state.limits;
    while whole.get().len() > MAX_SNAPSHOT_BYTES && (limits.open > 1 || limits.ended > 1) {
        limits = Limits { open: (limits.open / 2).max(1), ended: (limits.ended / 2).max(1) };
        whole = write(&state.clone().limited_to(limits));
    }
    whole
}

/// One event in the forms in which it goes out, each made when it is first needed. For who sees all of RagPulse's own
/// shape, which is nearly everybody, that is the event as it is.
pub(crate) struct Forms<'a> {
    record: &'a Record,
    shared: Shared,
    reference: Option<(Box<RawValue>, Shared)>,
    /// Without what is hidden, as it is and in the reference's shape; and what was hidden.
    masked: [Option<(Redaction, Box<RawValue>, Shared)>; 2],
}

impl<'a> Forms<'a> {
    pub(crate) fn new(record: &'a Record) -> Self {
        Self { record, shared: Shared::default(), reference: None, masked: [None, None] }
    }

    /// The event for one dialect and audience, with the state after it.
    #[inline]
    pub(crate) fn get(
        &mut self,
        dialect: Dialect,
        audience: Audience,
        state: &PipelineStatus,
        now: Timestamp,
    ) -> (&RawValue, &Shared) {
        // Nearly everybody, for each delivery.
        if dialect == Dialect::Native && audience == Audience::Full {
            return (&self.record.payload, &self.shared);
        }
        let in_reference = dialect == Dialect::Reference && &*self.record.name == "status:update";
        let whole = if in_reference {
            let make = || (with_current_status(self.record, state, now), Shared::default());
            let (whole, shared) = self.reference.get_or_insert_with(make);
            (&**whole, &*shared)
        } else {
            (&*self.record.payload, &self.shared)
        };
        let Audience::Redacted(redaction) = audience else { return whole };
        let place = &mut self.masked[usize::from(in_reference)];
        let made = place.take().filter(|(of, ..)| *of == redaction);
        let make = || (redaction, redaction.of(whole.0).into_owned(), Shared::default());
        let (_, masked, shared) = place.insert(made.unwrap_or_else(make));
        (masked, shared)
    }
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
