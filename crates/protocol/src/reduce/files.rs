//! What events of files make of a state.
//!
//! A file that the state does not list may still be known to the hub: `previous_state` says so, and the counts stay
//! right where the list was cut.

use super::{Anomaly, AnomalyKind};
use crate::event::{
    FileCancelled, FileCompleted, FileDeleted, FileFailed, FileProcessing, FileProgress, FileQueued,
    FileRetrying, FileSkipped,
};
use crate::parts::{FileRef, PreviousState};
use crate::{FileState, FileStatus, PipelineStatus, Timestamp};

pub(super) fn queued(state: &mut PipelineStatus, event: &FileQueued) {
    let mut next = open(state, &event.file, event.previous_state, FileState::Queued, event.seq, None);
    next.change = Some(event.change.clone());
    next.queue_position = event.queue_position;
    next.queued_at = Some(event.timestamp);
    state.files.insert(next);
}

pub(super) fn processing(state: &mut PipelineStatus, event: &FileProcessing) {
    let mut next =
        open(state, &event.file, event.previous_state, FileState::Processing, event.seq, event.attempt);
    next.started_at = Some(event.file.started_at.unwrap_or(event.timestamp));
    next.processing_stage.clone_from(&event.processing_stage);
    next.estimated_duration = event.estimated_duration;
    next.error = None;
    state.files.insert(next);
}

pub(super) fn retrying(state: &mut PipelineStatus, event: &FileRetrying) {
    // The attempt before this one has ended even where nobody said so, so it counts on from any state.
    let listed = state.files.get(&event.file.id).map(|file| file.attempt);
    let attempt = event.attempt.or(listed.map(|attempt| attempt.saturating_add(1)));
    let mut next = open(state, &event.file, event.previous_state, FileState::Queued, event.seq, attempt);
    next.queued_at = Some(event.timestamp);
    next.max_attempts = event.max_attempts;
    next.retry_at = event.retry_at;
    state.files.insert(next);
}

pub(super) fn progress(state: &mut PipelineStatus, event: &FileProgress, anomalies: &mut Vec<Anomaly>) {
    let Some(file) = state.files.open_mut(&event.file.id) else {
        anomalies.push(Anomaly {
            kind: AnomalyKind::ProgressNotOpen,
            seq: event.seq,
            subject: event.file.id.clone(),
        });
        return;
    };
    file.progress = Some(event.progress);
    if event.processing_stage.is_some() {
        file.processing_stage.clone_from(&event.processing_stage);
    }
    // These speak of this stage and moment, so what is not said now is not known now.
    file.current = event.current;
    file.total = event.total;
    file.unit.clone_from(&event.unit);
    file.eta_seconds = event.eta_seconds;
}

pub(super) fn completed(state: &mut PipelineStatus, event: &FileCompleted, anomalies: &mut Vec<Anomaly>) {
    let end = End { state: FileState::Completed, seq: event.seq, at: event.timestamp, interrupted: false };
    let Some(mut next) = close(state, &event.file, event.previous_state, end, anomalies) else { return };
    next.results = Some(event.results.clone());
    next.warnings.clone_from(&event.warnings);
    state.total_processed = state.total_processed.saturating_add(1);
    state.files.insert(next);
}

pub(super) fn failed(state: &mut PipelineStatus, event: &FileFailed, anomalies: &mut Vec<Anomaly>) {
    let interrupted = event.error.is_interrupted();
    let end = End { state: FileState::Failed, seq: event.seq, at: event.timestamp, interrupted };
    let Some(mut next) = close(state, &event.file, event.previous_state, end, anomalies) else { return };
    next.error = Some(event.error.clone());
    next.warnings.clone_from(&event.warnings);
    state.total_failed = state.total_failed.saturating_add(1);
    state.files.insert(next);
}

pub(super) fn skipped(state: &mut PipelineStatus, event: &FileSkipped, anomalies: &mut Vec<Anomaly>) {
    let end = End { state: FileState::Skipped, seq: event.seq, at: event.timestamp, interrupted: false };
    let Some(mut next) = close(state, &event.file, event.previous_state, end, anomalies) else { return };
    next.reason = Some(event.reason.clone());
    next.duplicate_of.clone_from(&event.duplicate_of);
    next.message.clone_from(&event.message);
    state.files.insert(next);
}

pub(super) fn cancelled(state: &mut PipelineStatus, event: &FileCancelled, anomalies: &mut Vec<Anomaly>) {
    let end = End { state: FileState::Cancelled, seq: event.seq, at: event.timestamp, interrupted: false };
    let Some(mut next) = close(state, &event.file, event.previous_state, end, anomalies) else { return };
    next.requested_by.clone_from(&event.requested_by);
    state.files.insert(next);
}

pub(super) fn deleted(state: &mut PipelineStatus, event: &FileDeleted) {
    if let Some(previous) = known(state, &event.file.id, event.previous_state) {
        let count = state.counts.of_mut(previous.into());
        *count = count.saturating_sub(1);
    }
    state.files.remove(&event.file.id);
}

/// Where the file stood: by the list, else by what the hub says.
fn known(state: &PipelineStatus, id: &str, hint: Option<PreviousState>) -> Option<PreviousState> {
    state.files.get(id).map(FileStatus::as_previous).or(hint)
}

fn count(state: &mut PipelineStatus, from: Option<PreviousState>, to: FileState) {
    if let Some(from) = from {
        let count = state.counts.of_mut(from.into());
        *count = count.saturating_sub(1);
    }
    let count = state.counts.of_mut(to);
    *count = count.saturating_add(1);
}

/// Moves a file to an open state and gives what is to be listed of it.
///
/// Work that was waited for continues the attempt; anything else begins a new one.
fn open(
    state: &mut PipelineStatus,
    file: &FileRef,
    hint: Option<PreviousState>,
    to: FileState,
    seq: u64,
    attempt: Option<u32>,
) -> FileStatus {
    count(state, known(state, &file.id, hint), to);
    let before = state.files.remove(&file.id);
    let mut next = FileStatus::new(&file.id, &file.name, to, seq);
    if let Some(before) = before {
        let continues = before.state == FileState::Queued;
        next.attempt = if continues { before.attempt } else { before.attempt.saturating_add(1) };
        if continues {
            next.change = before.change;
            next.queued_at = before.queued_at;
        }
        next.max_attempts = before.max_attempts;
        next.error = before.error;
        next.path = before.path;
        next.size = before.size;
        next.mime_type = before.mime_type;
        next.extra = before.extra;
    }
    next.attempt = attempt.unwrap_or(next.attempt);
    describe(&mut next, file);
    next
}

/// How a file ended.
struct End {
    state: FileState,
    seq: u64,
    at: Timestamp,
    interrupted: bool,
}

/// Moves a file to its end and gives what is to be listed of it; `None` when it had ended before.
fn close(
    state: &mut PipelineStatus,
    file: &FileRef,
    hint: Option<PreviousState>,
    end: End,
    anomalies: &mut Vec<Anomaly>,
) -> Option<FileStatus> {
    let previous = known(state, &file.id, hint);
    let anomaly = |kind| Anomaly { kind, seq: end.seq, subject: file.id.clone() };
    match previous {
        Some(PreviousState::Queued | PreviousState::Processing) => {}
        // Skipping is how a file that needs no work is first heard of.
        None if end.state == FileState::Skipped => {}
        None => anomalies.push(anomaly(AnomalyKind::NeverOpened)),
        // The hub ended it in the reporter's absence; what the reporter says is what happened.
        Some(PreviousState::Interrupted) if !end.interrupted => {
            state.total_failed = state.total_failed.saturating_sub(1);
        }
        Some(_) => {
            anomalies.push(anomaly(AnomalyKind::SecondEnd));
            return None;
        }
    }
    count(state, previous, end.state);
    let before = state.files.remove(&file.id);
    let mut next = FileStatus::new(&file.id, &file.name, end.state, end.seq);
    if let Some(before) = before {
        next.attempt = before.attempt;
        next.change = before.change;
        next.queued_at = before.queued_at;
        next.started_at = before.started_at;
        next.max_attempts = before.max_attempts;
        next.path = before.path;
        next.size = before.size;
        next.mime_type = before.mime_type;
        next.extra = before.extra;
    }
    describe(&mut next, file);
    next.started_at = file.started_at.or(next.started_at);
    next.completed_at = Some(file.completed_at.unwrap_or(end.at));
    Some(next)
}

/// Takes over what an event says of the file itself.
fn describe(next: &mut FileStatus, file: &FileRef) {
    if file.path.is_some() {
        next.path.clone_from(&file.path);
    }
    if file.size.is_some() {
        next.size = file.size;
    }
    if file.mime_type.is_some() {
        next.mime_type.clone_from(&file.mime_type);
    }
}
