//! One pipeline as the view knows it: its state, how fast it goes, and what it will still take.

use std::collections::HashMap;
use std::sync::Arc;

use ragpulse_protocol::parts::Stage;
use ragpulse_protocol::status::{Counts, Limits};
use ragpulse_protocol::{Code, Event, FileState, FileStatus, Liveness, PipelineStatus, apply};

use crate::watch::eta::{Estimator, OF_A_PIPELINE, OF_A_STAGE};
use crate::watch::rate::Rate;

/// One pipeline.
#[derive(Debug, Default)]
pub(crate) struct Pipeline {
    /// What the events have made of it; `None` before the first.
    pub(crate) state: Option<PipelineStatus>,
    /// Why the hub ended the subscription.
    pub(crate) ended: Option<Code>,
    pub(crate) events: Rate,
    /// Files that ended, however.
    pub(crate) ends: Rate,
    ended_files: u64,
    pace: Estimator,
    /// Only of files that are processed and listed.
    progress: HashMap<String, Progress>,
}

/// How a file goes on.
#[derive(Debug, Default)]
struct Progress {
    stage: Option<Stage>,
    pace: Estimator,
    /// What the reporter says, in milliseconds, and when.
    reported: Option<(f64, i64)>,
}

/// How long something will still take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Left {
    /// So many milliseconds.
    Millis(f64),
    /// So many milliseconds for this stage, which need not be the last.
    AtLeast(f64),
}

impl Pipeline {
    pub(crate) fn snapshot(&mut self, state: Arc<PipelineStatus>) {
        // What was between is not known, so neither is the pace.
        *self = Self {
            state: Some(Arc::unwrap_or_clone(state)),
            events: std::mem::take(&mut self.events),
            ends: std::mem::take(&mut self.ends),
            ..Self::default()
        };
    }

    pub(crate) fn liveness(&mut self, liveness: Liveness) {
        if let Some(state) = &mut self.state {
            state.liveness = liveness;
        }
    }

    pub(crate) fn event(&mut self, event: &Event) {
        let shared = event.shared();
        let at = shared.received_at.as_millis();
        let state = self.state.get_or_insert_with(|| {
            PipelineStatus::opening(
                shared.pipeline_id.clone(),
                shared.pipeline_type.clone(),
                shared.epoch.clone(),
                shared.timestamp,
                Limits::default(),
            )
        });
        apply(state, event);
        self.ended = None;
        self.events.count(at);
        let Some(file) = event.file() else {
            if !state.is_online() {
                self.progress.clear();
            }
            return;
        };
        let listed = state.files.get(&file.id).filter(|file| file.state == FileState::Processing);
        match (event, listed) {
            (Event::FileProgress(event), Some(listed)) => {
                let progress = self.progress.entry(file.id.clone()).or_default();
                if progress.stage != listed.processing_stage {
                    *progress = Progress { stage: listed.processing_stage.clone(), ..Progress::default() };
                }
                progress.pace.observe(&OF_A_STAGE, at, event.progress);
                progress.reported = event.eta_seconds.map(|seconds| (seconds * 1_000.0, at));
            }
            _ => {
                self.progress.remove(&file.id);
            }
        }
        if matches!(
            event,
            Event::FileCompleted(_) | Event::FileFailed(_) | Event::FileSkipped(_) | Event::FileCancelled(_)
        ) {
            self.ended_files += 1;
            self.ends.count(at);
            self.pace.observe(&OF_A_PIPELINE, at, self.ended_files as f64);
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        self.state.as_ref().map(|state| state.counts).unwrap_or_default()
    }

    /// How long a file will still take. What the reporter says goes before what was seen here.
    pub(crate) fn left_of(&self, file: &FileStatus, now: i64) -> Option<Left> {
        // Nobody is heard, so nothing is known.
        self.state.as_ref().filter(|state| state.is_online())?;
        let progress = self.progress.get(&file.id);
        if let Some((millis, at)) = progress.and_then(|progress| progress.reported) {
            let left = millis - now.saturating_sub(at).max(0) as f64;
            return (left >= 0.0 && left.is_finite()).then_some(Left::Millis(left));
        }
        progress?.pace.remaining(&OF_A_STAGE, now, 1.0).map(Left::AtLeast)
    }

    /// How many milliseconds until all that is open has ended.
    pub(crate) fn left(&self, now: i64) -> Option<f64> {
        let state = self.state.as_ref().filter(|state| state.is_online())?;
        let open = state.counts.queued.saturating_add(state.counts.processing);
        if open == 0 {
            return None;
        }
        self.pace.remaining(&OF_A_PIPELINE, now, self.ended_files.saturating_add(open) as f64)
    }

    /// Whether a file's remaining time may be shown.
    pub(crate) fn counts_down(&self) -> bool {
        !self.progress.is_empty()
    }
}
