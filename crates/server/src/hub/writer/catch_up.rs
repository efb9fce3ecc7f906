//! Catching up: where other hubs append to the same log, a desk is brought to where its pipeline is, and what was planned
//! elsewhere is planned again.

use ragpulse_protocol::{PipelineId, PipelineType, Timestamp};

use super::Writer;
use super::desk::restore;
use crate::log::{LogError, LogErrorKind, NewRecord, Page};

/// How many events are read at once.
const SLICE: usize = 512;

impl Writer {
    /// After an append was not taken: where the pipeline had moved, the desk follows.
    pub(super) async fn catch_up_after(&mut self, pipeline: &PipelineId, error: &LogError) {
        if error.kind == LogErrorKind::Moved
            && let Err(error) = self.catch_up(pipeline).await
        {
            // What is planned next is refused again, and this tried again.
            tracing::warn!(%pipeline, %error, "cannot see what other hubs appended");
        }
    }

    /// Brings the desk of a pipeline to where it is known to be: at least as far as its room. Opens one where there is none and another
    /// hub has opened the pipeline.
    pub(super) async fn stand_at_end(&mut self, pipeline: &PipelineId) -> Result<(), LogError> {
        let is_behind = match self.desks.get(pipeline) {
            None => true,
            Some(desk) => desk.last.as_ref().is_some_and(|(epoch, seq)| {
                let room = self.hub.registry.get(pipeline);
                let ahead =
                    room.and_then(|room| room.with_state(|state| state.epoch != *epoch || state.seq > *seq));
                // It may have been forgotten.
                ahead.unwrap_or(true)
            }),
        };
        if is_behind { self.catch_up(pipeline).await } else { Ok(()) }
    }

    /// Brings the desk of a pipeline to where the log is; opens one, or puts it away, where that is where it is.
    pub(super) async fn catch_up(&mut self, pipeline: &PipelineId) -> Result<(), LogError> {
        while let Some(on) = self.desks.get(pipeline).and_then(super::Desk::position) {
            match self.hub.log.read(pipeline, &on, SLICE).await? {
                Page::Records(records) if records.is_empty() => return Ok(()),
                Page::Records(records) => {
                    if let Some(desk) = self.desks.get_mut(pipeline) {
                        records.iter().for_each(|record| desk.follow(record));
                    }
                }
                // It lives another life, or too much has happened: begin from what there is.
                Page::Unknown | Page::Trimmed | Page::EpochChanged => {
                    self.desks.remove(pipeline);
                }
            }
        }
        if let Some(stored) = self.hub.log.stored(pipeline).await? {
            let desk = restore(&stored, &self.hub.config, self.hub.log.is_shared(), self.hub.clock.now());
            self.desks.insert(pipeline.clone(), desk);
        }
        Ok(())
    }

    /// Appends progress that was held back. Where the pipeline had moved it is held back again, and the desk follows: what it
    /// then knows to be over does not go. Whether there is nothing left to do.
    pub(super) async fn append_progress(
        &mut self,
        pipeline: &PipelineId,
        kind: PipelineType,
        records: Vec<NewRecord>,
        now: Timestamp,
    ) -> bool {
        let again = if self.hub.log.is_shared() { records.clone() } else { Vec::new() };
        match self.append(pipeline, kind, records, now, &[]).await {
            Err(error) if error.kind == LogErrorKind::Moved => {
                if let Some(desk) = self.desks.get_mut(pipeline) {
                    desk.hold_again(again, now);
                }
                self.catch_up_after(pipeline, &error).await;
                if self.desks.get(pipeline).is_some_and(|desk| desk.conflator.next_due().is_some()) {
                    self.holding.insert(pipeline.clone());
                }
                false
            }
            _ => true,
        }
    }
}
