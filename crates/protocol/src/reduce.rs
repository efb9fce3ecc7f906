//! The reducer: what one event makes of a state.
//!
//! It is pure and total: any event, in any state, gives a state. What does not fit changes nothing but the position,
//! and is told as an [`Anomaly`]. Whether an event is to be applied at all is decided before, by the
//! [apply rule](crate::session).
//!
//! Every language has this reducer; `tests/fixtures` holds what all of them must give.

mod files;
mod pipeline;

pub use pipeline::{is_reserved_key, is_valid_change};

use serde::{Deserialize, Serialize};

use crate::macros::closed_enum;
use crate::{Event, Liveness, PipelineStatus};

closed_enum! {
    /// The kinds of [`Anomaly`].
    pub enum AnomalyKind {
        /// A file that had ended, and not by interruption, ended again. The first end stands.
        SecondEnd = "second_end",
        /// A file ended that was never said to be queued or processed. The end is taken.
        NeverOpened = "never_opened",
        /// Progress of a file that is not open. It is dropped.
        ProgressNotOpen = "progress_not_open",
        /// `status:update` names a key that reducers own. The key is ignored.
        ReservedKey = "reserved_key",
        /// `status:update` gives a known key a value of another type. The key is ignored.
        BadValue = "bad_value",
        /// `status:update` brings more keys than a state holds, taken in order of their code points. The key is
        /// ignored.
        TooManyKeys = "too_many_keys",
    }
}

/// Something in an event that did not fit the state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anomaly {
    /// What kind of thing.
    pub kind: AnomalyKind,
    /// The event.
    pub seq: u64,
    /// The file's id, or the key.
    pub subject: String,
}

/// Folds one event into a state, and tells what did not fit.
///
/// The event's `seq` and epoch become the state's, whatever they were.
pub fn apply(state: &mut PipelineStatus, event: &Event) -> Vec<Anomaly> {
    let shared = event.shared();
    state.seq = shared.seq;
    if state.epoch != *shared.epoch {
        state.epoch = shared.epoch.clone();
    }
    state.timestamp = shared.timestamp;
    state.last_activity = shared.received_at;
    state.reason = None;
    if state.liveness == Liveness::Late && !is_interruption(event) {
        state.liveness = Liveness::Live;
    }

    let mut anomalies = Vec::new();
    match event {
        Event::PipelineOnline(event) => pipeline::online(state, event),
        Event::PipelineOffline(event) => pipeline::offline(state, event),
        Event::PipelineRemoved(event) => pipeline::removed(state, event),
        Event::StatusUpdate(event) => pipeline::update(state, event, &mut anomalies),
        Event::FileQueued(event) => files::queued(state, event),
        Event::FileProcessing(event) => files::processing(state, event),
        Event::FileProgress(event) => files::progress(state, event, &mut anomalies),
        Event::FileRetrying(event) => files::retrying(state, event),
        Event::FileCompleted(event) => files::completed(state, event, &mut anomalies),
        Event::FileFailed(event) => files::failed(state, event, &mut anomalies),
        Event::FileSkipped(event) => files::skipped(state, event, &mut anomalies),
        Event::FileCancelled(event) => files::cancelled(state, event, &mut anomalies),
        Event::FileDeleted(event) => files::deleted(state, event),
        Event::Other(_) => {}
    }
    state.files.evict(state.limits);
    anomalies
}

/// Whether an event tells of a reporter's silence rather than of its life.
fn is_interruption(event: &Event) -> bool {
    matches!(event, Event::FileFailed(event) if event.error.is_interrupted())
}
