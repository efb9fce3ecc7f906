//! The log: it gives each event its place, takes each `event_id` once, and keeps what there is to read again.
//!
//! The hub appends through one writer per pipeline and fans out from the [tail](EventLog::take_tail) only, so one node
//! and many share one path.

mod memory;
mod record;

use async_trait::async_trait;
use ragpulse_protocol::http::FilesPage;
use ragpulse_protocol::{Cursor, Epoch, FileState, PipelineId, PipelineStatus, PipelineType, Timestamp};
use tokio::sync::mpsc;

pub use memory::MemoryLog;
pub use record::{NewRecord, Record};

use std::sync::Arc;

/// What is appended at once: all of it, or nothing.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The pipeline.
    pub pipeline_id: PipelineId,
    /// Its type; used when this opens the pipeline.
    pub pipeline_type: PipelineType,
    /// The events, in order.
    pub records: Vec<NewRecord>,
    /// Ids of events that were conflated: taken, though not in the log.
    pub remember: Vec<String>,
    /// When the hub received it.
    pub received_at: Timestamp,
}

/// Where a batch went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// The epoch in which the positions count.
    pub epoch: Epoch,
    /// The end of the sequence after the batch.
    pub seq: u64,
    /// The place of each record, or `None` for one whose id had been taken.
    pub places: Vec<Option<u64>>,
}

/// What a read found.
#[derive(Debug, Clone)]
pub enum Page {
    /// The records after the cursor, at most as many as asked for.
    Records(Vec<Arc<Record>>),
    /// What came after the cursor is no longer kept.
    Trimmed,
    /// The cursor is of another epoch.
    EpochChanged,
    /// There is no such pipeline.
    Unknown,
}

/// Which files to list.
#[derive(Debug, Clone, Default)]
pub struct FilesQuery {
    /// Only those in this state.
    pub state: Option<FileState>,
    /// Only those whose name, path or id contains this, in any case.
    pub contains: Option<String>,
    /// Only those after this `seq`.
    pub after: u64,
    /// At most so many.
    pub limit: usize,
}

/// What the tail brings, in the order of each pipeline's sequence.
#[derive(Debug, Clone)]
pub enum TailItem {
    /// Records that were appended.
    Records(PipelineId, Vec<Arc<Record>>),
    /// A pipeline was forgotten, after its last records.
    Forgotten(PipelineId),
}

/// Why a log did not do what it was asked. The client may try again.
#[derive(Debug, thiserror::Error)]
#[error("the log cannot be {doing}: {cause}")]
pub struct LogError {
    /// `read` or `written`.
    pub doing: &'static str,
    /// What the store said; for the hub's own log, not for clients.
    pub cause: String,
}

/// A log of events.
#[async_trait]
pub trait EventLog: Send + Sync + 'static {
    /// Which of these ids were taken before.
    async fn seen(&self, pipeline: &PipelineId, ids: &[&str]) -> Result<Vec<bool>, LogError>;

    /// Appends a batch, giving each record its place unless its id was taken before.
    async fn append(&self, batch: Batch) -> Result<Appended, LogError>;

    /// Reads at most `limit` records after a cursor.
    async fn read(&self, pipeline: &PipelineId, after: &Cursor, limit: usize) -> Result<Page, LogError>;

    /// Lists files, also those that no snapshot lists; `None` for an unknown pipeline.
    async fn files(&self, pipeline: &PipelineId, query: FilesQuery) -> Result<Option<FilesPage>, LogError>;

    /// The state of every pipeline, for a hub that starts.
    async fn load(&self) -> Result<Vec<PipelineStatus>, LogError>;

    /// Deletes a pipeline's history, its ids and its state; the next event opens a new epoch.
    async fn forget(&self, pipeline: &PipelineId) -> Result<(), LogError>;

    /// The stream of all that is appended. It can be taken once; it is bounded, and an append waits while it is full.
    fn take_tail(&self) -> Option<mpsc::Receiver<TailItem>>;
}
