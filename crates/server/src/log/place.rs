//! Placing: what batches come to on a state. Pure, but for the asking whether an id is taken.
//!
//! Nothing is changed here. Who placed applies the records once they are written, so that what could not be written
//! never was.

use std::sync::Arc;

use ragpulse_protocol::status::Limits;
use ragpulse_protocol::{FileStatus, PipelineId, PipelineStatus, PipelineType, Timestamp, apply};

use super::{Appended, Batch, LogError, Record, new_epoch};
use crate::config::HubLimits;

/// Where batches go, and the records that come of it.
pub(super) struct Placed {
    pub(super) appended: Vec<Appended>,
    pub(super) records: Vec<Arc<Record>>,
}

/// The state of a pipeline before its first event, in a new epoch.
pub(super) fn opening(
    pipeline: &PipelineId,
    kind: &PipelineType,
    now: Timestamp,
    limits: Limits,
) -> PipelineStatus {
    PipelineStatus::opening(pipeline.clone(), kind.clone(), new_epoch(), now, limits)
}

/// How many files a log lists.
pub(super) fn file_limits(limits: &HubLimits) -> Limits {
    Limits {
        open: u32::try_from(limits.open_files).unwrap_or(u32::MAX),
        ended: u32::try_from(limits.ended_files).unwrap_or(u32::MAX),
    }
}

/// As much of a state as is needed to place batches on.
pub(super) fn trial(state: &PipelineStatus, batches: &[Batch]) -> PipelineStatus {
    let records = batches.iter().flat_map(|batch| &batch.records);
    state.excerpt(records.filter_map(|record| record.file_id.as_deref()))
}

/// Places batches on the [trial] of a state. `take` takes an id, and says whether it was free.
pub(super) fn place(
    mut trial: PipelineStatus,
    batches: Vec<Batch>,
    take: &mut dyn FnMut(&str, Timestamp) -> Result<bool, LogError>,
) -> Result<Placed, LogError> {
    let mut placed = Placed { appended: Vec::with_capacity(batches.len()), records: Vec::new() };
    for batch in batches {
        let mut places = Vec::with_capacity(batch.records.len());
        for record in batch.records {
            if let Some(id) = &record.event_id
                && !take(id, batch.received_at)?
            {
                places.push(None);
                continue;
            }
            let seq = trial.seq + 1;
            let file = record.file_id.as_deref().and_then(|id| trial.files.get(id));
            let previous = file.map(FileStatus::as_previous);
            let record = record
                .place(&trial.pipeline_id, &trial.pipeline_type, &trial.epoch, seq, previous)
                .map_err(LogError::written)?;
            // Anomalies are told by the room that subscribers look into.
            let _ = apply(&mut trial, &record.event);
            places.push(Some(seq));
            placed.records.push(Arc::new(record));
        }
        for id in &batch.remember {
            take(id, batch.received_at)?;
        }
        placed.appended.push(Appended { epoch: trial.epoch.clone(), seq: trial.seq, places });
    }
    Ok(placed)
}
