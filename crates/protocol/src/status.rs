//! The state of one pipeline, and at once the snapshot `pipeline:status`: what the [reducer](crate::reduce) makes of
//! a sequence of events.

mod files;

use serde::{Deserialize, Serialize};

pub use files::FileTable;

use crate::limits::{DEFAULT_ENDED, DEFAULT_OPEN};
use crate::macros::{closed_enum, open_enum};
use crate::parts::{Change, ErrorInfo, OfflineReason, PreviousState, Results, SkipReason, Stage, Unit};
use crate::{Cursor, Epoch, Object, PipelineId, PipelineType, Timestamp};

closed_enum! {
    /// Whether a pipeline's reporters are heard.
    pub enum Liveness {
        /// At least one was heard within half its lease.
        Live = "live",
        /// None was heard within half its lease.
        Late = "late",
        /// Its last reporter fell silent for longer than its lease; the pipeline is offline.
        Lost = "lost",
        /// It said that it stopped.
        Offline = "offline",
    }
}

closed_enum! {
    /// Where a file stands.
    pub enum FileState {
        /// It waits for its turn, or for its next attempt.
        Queued = "queued",
        /// It is being processed.
        Processing = "processing",
        /// It was ingested.
        Completed = "completed",
        /// It could not be ingested.
        Failed = "failed",
        /// It was left out on purpose.
        Skipped = "skipped",
        /// It was given up on request.
        Cancelled = "cancelled",
    }
}

impl FileState {
    /// Whether something is still to come: queued or processing.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Queued | Self::Processing)
    }
}

impl From<PreviousState> for FileState {
    /// An interrupted file counts as failed.
    fn from(state: PreviousState) -> Self {
        match state {
            PreviousState::Queued => Self::Queued,
            PreviousState::Processing => Self::Processing,
            PreviousState::Completed => Self::Completed,
            PreviousState::Failed | PreviousState::Interrupted => Self::Failed,
            PreviousState::Skipped => Self::Skipped,
            PreviousState::Cancelled => Self::Cancelled,
        }
    }
}

open_enum! {
    /// Why a hub sends a snapshot where a replay was asked for.
    pub enum ResetReason {
        /// The cursor is of another epoch.
        EpochChanged = "epoch_changed",
        /// The history after the cursor is no longer kept.
        Trimmed = "trimmed",
        /// The cursor lies beyond the end of the sequence.
        Ahead = "ahead",
        /// The subscriber was too far behind.
        Lagged = "lagged",
        /// The hub does not know the pipeline.
        UnknownPipeline = "unknown_pipeline",
    }
}

/// How many files stand where, with those that the state does not list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Counts {
    /// Waiting.
    pub queued: u64,
    /// Being processed.
    pub processing: u64,
    /// Ingested.
    pub completed: u64,
    /// Failed.
    pub failed: u64,
    /// Left out on purpose.
    pub skipped: u64,
    /// Given up on request.
    pub cancelled: u64,
}

impl Counts {
    /// The count of one state.
    pub fn of(&self, state: FileState) -> u64 {
        let mut copy = *self;
        *copy.of_mut(state)
    }

    /// How many files there are in all.
    pub fn total(&self) -> u64 {
        FileState::ALL.iter().map(|state| self.of(*state)).sum()
    }

    pub(crate) fn of_mut(&mut self, state: FileState) -> &mut u64 {
        match state {
            FileState::Queued => &mut self.queued,
            FileState::Processing => &mut self.processing,
            FileState::Completed => &mut self.completed,
            FileState::Failed => &mut self.failed,
            FileState::Skipped => &mut self.skipped,
            FileState::Cancelled => &mut self.cancelled,
        }
    }
}

/// How many files a state lists; reducers evict by these, so all agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Limits {
    /// The most queued files, and the most processing ones, each.
    pub open: u32,
    /// The most ended files.
    pub ended: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { open: DEFAULT_OPEN, ended: DEFAULT_ENDED }
    }
}

/// One file of a pipeline, as its events left it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FileStatus {
    /// What identifies the file within its pipeline.
    pub id: String,
    /// Its name, for people. Names may repeat.
    pub name: String,
    /// Where it stands.
    pub state: FileState,
    /// The `seq` of the event that put it there.
    pub seq: u64,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// Where it lies, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Its size in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Its media type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
    /// Why it was queued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
    /// How many files were before it when it was queued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_position: Option<u64>,
    /// When it was queued.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued_at: Option<Timestamp>,
    /// When work on this attempt began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended, well or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
    /// What is being done to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processing_stage: Option<Stage>,
    /// How long it may take, in seconds, as estimated when it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_duration: Option<f64>,
    /// The part of the stage that is done, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<f64>,
    /// How many units are done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<u64>,
    /// How many units there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// What `current` and `total` count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<Unit>,
    /// Seconds until it is done, as estimated by the reporter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eta_seconds: Option<f64>,
    /// What came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub results: Option<Results>,
    /// Why it failed; while it waits for another attempt, why the last one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorInfo>,
    /// What is worth knowing beside that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warnings: Option<Vec<String>>,
    /// Why it was skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<SkipReason>,
    /// The id of the file whose content it repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duplicate_of: Option<String>,
    /// More about why it was skipped, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// How many attempts there will be at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
    /// When it will be tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Timestamp>,
    /// Who asked for its cancellation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<String>,
    /// Fields that this version does not know.
    #[serde(flatten)]
    #[cfg_attr(feature = "ts", ts(skip))]
    pub extra: Object,
}

impl FileStatus {
    /// A file of which only its identity and state are known.
    pub fn new(id: impl Into<String>, name: impl Into<String>, state: FileState, seq: u64) -> Self {
        Self {
            id: id.into(),
            name: name.into(),
            state,
            seq,
            attempt: 1,
            path: None,
            size: None,
            mime_type: None,
            change: None,
            queue_position: None,
            queued_at: None,
            started_at: None,
            completed_at: None,
            processing_stage: None,
            estimated_duration: None,
            progress: None,
            current: None,
            total: None,
            unit: None,
            eta_seconds: None,
            results: None,
            error: None,
            warnings: None,
            reason: None,
            duplicate_of: None,
            message: None,
            max_attempts: None,
            retry_at: None,
            requested_by: None,
            extra: Object::new(),
        }
    }

    /// Where it stands, in the words of [`PreviousState`], which knows interrupted files.
    pub fn as_previous(&self) -> PreviousState {
        match self.state {
            FileState::Queued => PreviousState::Queued,
            FileState::Processing => PreviousState::Processing,
            FileState::Completed => PreviousState::Completed,
            FileState::Failed if self.error.as_ref().is_some_and(ErrorInfo::is_interrupted) => {
                PreviousState::Interrupted
            }
            FileState::Failed => PreviousState::Failed,
            FileState::Skipped => PreviousState::Skipped,
            FileState::Cancelled => PreviousState::Cancelled,
        }
    }
}

/// The state of one pipeline after the event at `seq`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "ts", derive(ts_rs::TS), ts(optional_fields))]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PipelineStatus {
    /// The pipeline.
    pub pipeline_id: PipelineId,
    /// Its kind.
    pub pipeline_type: PipelineType,
    /// The life of the sequence in which `seq` counts.
    pub epoch: Epoch,
    /// The last event that is part of this state; 0 for none.
    pub seq: u64,
    /// When that event happened, by the reporter's clock.
    pub timestamp: Timestamp,
    /// `online`, `offline`, or the pipeline's own word, such as `initializing` or `running`.
    pub status: String,
    /// Whether its reporters are heard.
    pub liveness: Liveness,
    /// When the hub received that event.
    pub last_activity: Timestamp,
    /// When the pipeline started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it stopped; absent while it is online.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shutdown_at: Option<Timestamp>,
    /// Why it stopped; absent while it is online.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offline_reason: Option<OfflineReason>,
    /// Seconds between two looks at the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check_interval: Option<f64>,
    /// What it watches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch_location: Option<String>,
    /// After how many seconds of silence its reporter counts as lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_seconds: Option<u32>,
    /// Whether it is looking at the source right now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_checking: Option<bool>,
    /// When it last looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_check_time: Option<Timestamp>,
    /// When it will look again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_check_time: Option<Timestamp>,
    /// How many times a file was ingested in this epoch.
    pub total_processed: u64,
    /// How many times a file failed in this epoch.
    pub total_failed: u64,
    /// How many files stand where.
    pub counts: Counts,
    /// The files within `limits`, by `seq`.
    #[cfg_attr(feature = "ts", ts(as = "Vec<FileStatus>"))]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<FileStatus>"))]
    pub files: FileTable,
    /// How many files are listed.
    pub limits: Limits,
    /// Why a snapshot came in place of a replay. Part of the message, not of the state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<ResetReason>,
    /// Keys of the pipeline's own, from `status:update`.
    #[serde(flatten)]
    #[cfg_attr(feature = "ts", ts(skip))]
    pub extra: Object,
}

impl PipelineStatus {
    /// The state before the first event of a sequence.
    pub fn opening(
        pipeline_id: PipelineId,
        pipeline_type: PipelineType,
        epoch: Epoch,
        at: Timestamp,
        limits: Limits,
    ) -> Self {
        Self {
            pipeline_id,
            pipeline_type,
            epoch,
            seq: 0,
            timestamp: at,
            status: "online".to_owned(),
            liveness: Liveness::Live,
            last_activity: at,
            started_at: None,
            shutdown_at: None,
            offline_reason: None,
            check_interval: None,
            watch_location: None,
            lease_seconds: None,
            is_checking: None,
            last_check_time: None,
            next_check_time: None,
            total_processed: 0,
            total_failed: 0,
            counts: Counts::default(),
            files: FileTable::default(),
            limits,
            reason: None,
            extra: Object::new(),
        }
    }

    /// The position of this state.
    pub fn cursor(&self) -> Cursor {
        Cursor { epoch: self.epoch.clone(), seq: self.seq }
    }

    /// Whether the pipeline is online, however late its reporters are.
    pub fn is_online(&self) -> bool {
        matches!(self.liveness, Liveness::Live | Liveness::Late)
    }

    /// The same state listing only these files, as far as it lists them: what a few events are tried on before they
    /// count, or what is stored apart from the files. `counts` stay those of all files.
    pub fn excerpt<'a>(&self, files: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            pipeline_id: self.pipeline_id.clone(),
            pipeline_type: self.pipeline_type.clone(),
            epoch: self.epoch.clone(),
            status: self.status.clone(),
            offline_reason: self.offline_reason.clone(),
            watch_location: self.watch_location.clone(),
            files: files.into_iter().filter_map(|id| self.files.get(id).cloned()).collect(),
            reason: self.reason.clone(),
            extra: self.extra.clone(),
            ..*self
        }
    }

    /// The same state listing no more files than `limits` allow.
    pub fn limited_to(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self.files.evict(limits);
        self
    }
}
