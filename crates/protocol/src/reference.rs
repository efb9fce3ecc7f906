//! The projection to the shapes of the reference application, whose frontends work unchanged.
//!
//! One function derives the reference's dict from a state; its namespaces and `GET /api/rag-status` both use it.

use serde::{Deserialize, Serialize};

use crate::{FileState, FileStatus, Object, PipelineId, PipelineStatus, PipelineType, Timestamp};

/// How many completed files the reference lists.
pub const COMPLETED: usize = 10;
/// How many failed files the reference lists.
pub const FAILED: usize = 5;
/// Seconds between two checks where a pipeline does not say.
pub const CHECK_INTERVAL: f64 = 60.0;

/// A file as the reference lists it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReferenceFile {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
    /// When work on it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
    /// The stage, while it is processed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processing_stage: Option<String>,
    /// The part of the stage that is done, while it is processed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<f64>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl From<&FileStatus> for ReferenceFile {
    fn from(file: &FileStatus) -> Self {
        Self {
            name: file.name.clone(),
            id: file.id.clone(),
            started_at: file.started_at,
            completed_at: file.completed_at,
            processing_stage: file.processing_stage.as_ref().map(ToString::to_string),
            progress: file.progress,
            error: file.error.as_ref().map(|error| error.message.clone()),
        }
    }
}

/// The reference's status dict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReferenceStatus {
    /// The pipeline.
    pub pipeline_id: PipelineId,
    /// Its kind.
    pub pipeline_type: PipelineType,
    /// `online`, `offline`, or the pipeline's own word.
    pub status: String,
    /// When it last looked at its source.
    pub last_check_time: Option<Timestamp>,
    /// When it will look again.
    pub next_check_time: Option<Timestamp>,
    /// The files being processed.
    pub files_processing: Vec<ReferenceFile>,
    /// The last ten that completed, the newest last.
    pub files_completed: Vec<ReferenceFile>,
    /// The last five that failed, the newest last.
    pub files_failed: Vec<ReferenceFile>,
    /// How many times a file was ingested.
    pub total_processed: u64,
    /// How many times a file failed.
    pub total_failed: u64,
    /// Seconds between two checks.
    pub check_interval: f64,
    /// Whether it is looking at its source right now.
    pub is_checking: bool,
    /// When it started.
    pub started_at: Option<Timestamp>,
    /// When it was last heard of.
    pub last_activity: Option<Timestamp>,
    /// Seconds until it looks again; absent when it does not say when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "ts", ts(optional))]
    pub seconds_until_next_check: Option<i64>,
    /// Keys of the pipeline's own.
    #[serde(flatten)]
    #[cfg_attr(feature = "ts", ts(skip))]
    pub extra: Object,
}

/// Projects a state to the reference's dict. `now` is for the countdown only.
pub fn project(state: &PipelineStatus, now: Timestamp) -> ReferenceStatus {
    let last = |wanted: FileState, count: usize| {
        let mut files: Vec<ReferenceFile> =
            state.files.in_state(wanted).rev().take(count).map(ReferenceFile::from).collect();
        files.reverse();
        files
    };
    ReferenceStatus {
        pipeline_id: state.pipeline_id.clone(),
        pipeline_type: state.pipeline_type.clone(),
        status: state.status.clone(),
        last_check_time: state.last_check_time,
        next_check_time: state.next_check_time,
        files_processing: state.files.in_state(FileState::Processing).map(ReferenceFile::from).collect(),
        files_completed: last(FileState::Completed, COMPLETED),
        files_failed: last(FileState::Failed, FAILED),
        total_processed: state.total_processed,
        total_failed: state.total_failed,
        check_interval: state.check_interval.unwrap_or(CHECK_INTERVAL),
        is_checking: state.is_checking.unwrap_or(false),
        started_at: state.started_at,
        last_activity: Some(state.last_activity),
        seconds_until_next_check: state
            .next_check_time
            .map(|next| next.millis_since(now).div_euclid(1000).max(0)),
        extra: state.extra.clone(),
    }
}

/// `pipeline:status` as it is sent in reference namespaces: the snapshot, and the reference's lists beside it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReferenceSnapshot {
    /// The snapshot.
    #[serde(flatten)]
    pub status: PipelineStatus,
    /// The files being processed.
    pub files_processing: Vec<ReferenceFile>,
    /// The last ten that completed, the newest last.
    pub files_completed: Vec<ReferenceFile>,
    /// The last five that failed, the newest last.
    pub files_failed: Vec<ReferenceFile>,
    /// Seconds until it looks again; absent when it does not say when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_until_next_check: Option<i64>,
}

/// The snapshot for a reference namespace.
pub fn snapshot(state: &PipelineStatus, now: Timestamp) -> ReferenceSnapshot {
    let lists = project(state, now);
    let mut status = state.clone();
    // The reference always gives these two.
    status.check_interval = Some(lists.check_interval);
    status.is_checking = Some(lists.is_checking);
    ReferenceSnapshot {
        status,
        files_processing: lists.files_processing,
        files_completed: lists.files_completed,
        files_failed: lists.files_failed,
        seconds_until_next_check: lists.seconds_until_next_check,
    }
}
