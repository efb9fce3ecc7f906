//! The log: it gives each event its place, takes each `event_id` once, and keeps what there is to read again.
//!
//! The hub appends through one writer per pipeline and fans out from the [tail](EventLog::take_tail) only, so one node
//! and many share one path.

mod files;
mod fold;
mod memory;
mod place;
mod record;
#[cfg(feature = "redis")]
pub mod redis;
mod retention;
pub mod sqlite;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ragpulse_protocol::http::FilesPage;
use ragpulse_protocol::status::ResetReason;
use ragpulse_protocol::{
    Cursor, Epoch, FileState, PipelineId, PipelineStatus, PipelineType, ReporterId, Timestamp,
};
use tokio::sync::mpsc;

use crate::auth::Redaction;
use crate::metrics::Metrics;
use crate::metrics::cells::micros;

#[cfg(feature = "redis")]
pub use self::redis::RedisLog;
pub use memory::MemoryLog;
pub use record::{NewRecord, Record};
pub use retention::Retention;
pub use sqlite::SqliteLog;

/// What is appended at once: all of it, or nothing.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The pipeline's type; used when this opens the pipeline.
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

/// A reporter's lease in a log that is [shared](EventLog::is_shared): what an append is conditional on, and what it changes. `None` is the
/// one anonymous reporter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OfLease {
    /// Only if this reporter's lease has ended by the log's clock; it goes.
    Lapsed(Option<ReporterId>),
    /// Only if nobody else has a lease, ended or not.
    Alone(Option<ReporterId>),
    /// It begins anew, and lasts so many seconds.
    Renew(Option<ReporterId>, u32),
    /// It goes.
    Leave(Option<ReporterId>),
}

/// A lease as the log has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldLease {
    /// Whose it is; `None` is the one anonymous reporter.
    pub reporter: Option<ReporterId>,
    /// How long it lasts from now on, if it is not renewed; zero where it has ended.
    pub left: Duration,
    /// How long it lasts when it is renewed.
    pub seconds: u32,
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

/// How much there is after a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// All of it is kept; so many bytes of payload.
    Held {
        /// The bytes.
        bytes: u64,
    },
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
    /// Only those that contain this, in any case: in their name, path or id, in the type, message or stage of their error,
    /// or in the reason or message of their being skipped.
    pub contains: Option<String>,
    /// Only those after this `seq`.
    pub after: u64,
    /// At most so many.
    pub limit: usize,
    /// What is hidden from who asks. It is not searched; a log need not mask it in what it gives.
    pub hidden: Redaction,
}

/// Which events to look up.
#[derive(Debug, Clone, Default)]
pub struct HistoryQuery {
    /// Only those about the file of this id.
    pub file: Option<String>,
    /// Only those of this name.
    pub event: Option<String>,
    /// Only those received at or after this time.
    pub since: Option<Timestamp>,
    /// Only those received before this time.
    pub until: Option<Timestamp>,
    /// Only those after this `seq`.
    pub after: u64,
    /// At most so many.
    pub limit: usize,
}

/// Events that were looked up.
#[derive(Debug, Clone, Default)]
pub struct HistoryPage {
    /// The events, in order; those of earlier epochs too.
    pub records: Vec<Arc<Record>>,
    /// From where to look on; `None` where there is nothing more. A page may be short, or empty, before the end.
    pub next_after: Option<u64>,
}

/// A pipeline as a log knows it, for a hub that starts.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The state as subscribers have it: it lists what a fold of all events with the usual limits lists, and no other
    /// files, or those who come after a start would see what those who stayed do not.
    pub state: PipelineStatus,
    /// The first `seq` that can still be read; one more than the end where nothing can.
    pub first: u64,
    /// All open files, also those that the state does not list.
    pub open: Vec<OpenFile>,
}

/// A file that waits or is being processed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenFile {
    /// What identifies it.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whether it is being processed.
    pub processing: bool,
    /// The reporter that works on it, where it gave its id.
    pub owner: Option<ReporterId>,
}

impl OpenFile {
    /// The open files of a state, with their owners.
    fn all(state: &PipelineStatus, owners: &HashMap<String, ReporterId>) -> Vec<Self> {
        let of = |which| {
            state.files.in_state(which).map(move |file| Self {
                id: file.id.clone(),
                name: file.name.clone(),
                processing: which == FileState::Processing,
                owner: owners.get(&file.id).cloned(),
            })
        };
        of(FileState::Queued).chain(of(FileState::Processing)).collect()
    }
}

/// What the tail brings, in the order of each pipeline's sequence.
#[derive(Debug, Clone)]
pub enum TailItem {
    /// Records that were appended.
    Records(PipelineId, Vec<Arc<Record>>),
    /// A pipeline was forgotten, after its last records.
    Forgotten(PipelineId),
    /// A pipeline is in this state, and what led to it cannot be brought one by one: the log no longer has it, or has begun a new
    /// epoch. Only a log that other hubs append to has need of this.
    Reset {
        /// As subscribers have it.
        state: Box<PipelineStatus>,
        /// The last events up to it, without holes, as many as are at hand.
        records: Vec<Arc<Record>>,
        /// What subscribers are told.
        reason: ResetReason,
    },
}

/// Why a log did not do what it was asked. The client may try again.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the log cannot be {doing}: {cause}")]
pub struct LogError {
    /// What to do about it.
    pub kind: LogErrorKind,
    /// `read` or `written`.
    pub doing: &'static str,
    /// What the store said; for the hub's own log, not for clients.
    pub cause: String,
}

/// What to do about an error of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogErrorKind {
    /// There is no room. Make some; the log goes on by itself.
    Full,
    /// The pipeline is not where the batches were planned on: another hub appended to it. Nothing was taken; read on from
    /// there, and plan again.
    Moved,
    /// A condition on a lease did not hold: a reporter is heard after all, or there is another. Nothing was taken; look at the leases, and
    /// plan again.
    Heard,
    /// Anything else.
    Unavailable,
}

impl LogError {
    /// The pipeline is not where it was believed to be.
    pub fn moved() -> Self {
        let cause = "another hub appended to this pipeline".to_owned();
        Self { kind: LogErrorKind::Moved, doing: "written", cause }
    }

    /// A condition on a lease did not hold.
    pub fn heard() -> Self {
        let cause = "a reporter is heard that was held for silent, or for absent".to_owned();
        Self { kind: LogErrorKind::Heard, doing: "written", cause }
    }

    pub(crate) fn silent() -> Self {
        Self { kind: LogErrorKind::Unavailable, doing: "written", cause: "it does not answer".to_owned() }
    }

    pub(crate) fn written(cause: impl ToString) -> Self {
        Self { kind: LogErrorKind::Unavailable, doing: "written", cause: cause.to_string() }
    }
}

/// Where a log tells its hub how it fares.
#[derive(Debug, Clone)]
pub struct LogWatch(pub(crate) Arc<Metrics>);

impl LogWatch {
    /// A commit took so long: what it holds is as safe from then on as the store makes it.
    pub fn committed(&self, took: Duration) {
        self.0.log_sync.add((), micros(took), 1);
    }
}

/// A log of events.
#[async_trait]
pub trait EventLog: Send + Sync + 'static {
    /// Which of these ids were taken before.
    async fn seen(&self, pipeline: &PipelineId, ids: &[&str]) -> Result<Vec<bool>, LogError>;

    /// Appends batches of one pipeline in their order, all of them or none, giving each record its place unless its id
    /// was taken before. A pipeline has one appender at a time, where the log is not [shared](Self::is_shared).
    async fn append(&self, pipeline: &PipelineId, batches: Vec<Batch>) -> Result<Vec<Appended>, LogError>;

    /// Appends, but only where the pipeline ends at `on` (`None` = it is not there yet). What a batch comes to depends on all that was
    /// before it, so where another hub was quicker nothing is taken, and the answer is [`LogErrorKind::Moved`]. In the same step the
    /// leases change; where a condition on one does not hold nothing is taken, and the answer is [`LogErrorKind::Heard`]. Conditions are
    /// looked at as things were before the call, and changes made in their order. Without batches only the leases change, and there is
    /// nothing in the answer; leases of a pipeline that is not there are kept nowhere.
    ///
    /// A log of one hub need not look: nobody else appends, and its hub keeps the leases.
    async fn append_on(
        &self,
        pipeline: &PipelineId,
        on: Option<&Cursor>,
        batches: Vec<Batch>,
        leases: &[OfLease],
    ) -> Result<Vec<Appended>, LogError> {
        let _ = (on, leases);
        if batches.is_empty() {
            return Ok(Vec::new());
        }
        self.append(pipeline, batches).await
    }

    /// Appends as [`append_on`](Self::append_on) does, but only where none of the ids was taken before; otherwise nothing is
    /// appended, and the answer is `None`: then [`seen`](Self::seen) tells which. Only asked of a log that
    /// [refuses what was taken](Self::refuses_taken), which spares the hub the question for each event.
    async fn append_fresh(
        &self,
        pipeline: &PipelineId,
        on: Option<&Cursor>,
        batches: Vec<Batch>,
        leases: &[OfLease],
    ) -> Result<Option<Vec<Appended>>, LogError> {
        self.append_on(pipeline, on, batches, leases).await.map(Some)
    }

    /// Whether it has an [`append_fresh`](Self::append_fresh) of its own. Default no: the hub asks first.
    fn refuses_taken(&self) -> bool {
        false
    }

    /// The leases that have ended, by one clock for all hubs: they all see the same. After a time in which no hub asked, all begin anew
    /// before any is found to have ended. A hub asks each second. Default: none, as the hub keeps them.
    async fn lapsed(&self) -> Result<Vec<(PipelineId, Option<ReporterId>)>, LogError> {
        Ok(Vec::new())
    }

    /// The leases of a pipeline, ended or not. Default: none, as the hub keeps them.
    async fn leases(&self, _pipeline: &PipelineId) -> Result<Vec<HeldLease>, LogError> {
        Ok(Vec::new())
    }

    /// For how long the store has not answered; `None` while it does. What is served meanwhile is as it was then. Default: it answers.
    fn silent_for(&self) -> Option<Duration> {
        None
    }

    /// Whether other hubs append to it too. Default no.
    fn is_shared(&self) -> bool {
        false
    }

    /// One pipeline as it is now, for a hub that finds that another one opened it; `None` where there is none. Only asked of a log that
    /// is [shared](Self::is_shared), which does better than this default: that loads all.
    async fn stored(&self, pipeline: &PipelineId) -> Result<Option<Stored>, LogError> {
        Ok(self.load().await?.into_iter().find(|stored| stored.state.pipeline_id == *pipeline))
    }

    /// Where a pipeline ends, as the store has it, for a hub that may not have followed so far; it then does. `None` where there is none.
    /// Only asked of a log that is [shared](Self::is_shared).
    async fn end(&self, pipeline: &PipelineId) -> Result<Option<Cursor>, LogError> {
        Ok(self.stored(pipeline).await?.map(|stored| stored.state.cursor()))
    }

    /// Reads at most `limit` records after a cursor.
    async fn read(&self, pipeline: &PipelineId, after: &Cursor, limit: usize) -> Result<Page, LogError>;

    /// How much there is after a cursor, up to the record at `last`.
    async fn extent(&self, pipeline: &PipelineId, after: &Cursor, last: u64) -> Result<Extent, LogError>;

    /// Lists files, also those that no snapshot lists; `None` for an unknown pipeline.
    async fn files(&self, pipeline: &PipelineId, query: FilesQuery) -> Result<Option<FilesPage>, LogError>;

    /// Looks up events; `None` for an unknown pipeline.
    async fn history(
        &self,
        pipeline: &PipelineId,
        query: HistoryQuery,
    ) -> Result<Option<HistoryPage>, LogError>;

    /// Every pipeline, for a hub that starts.
    async fn load(&self) -> Result<Vec<Stored>, LogError>;

    /// Deletes a pipeline's history, its ids and its state; the next event opens a new epoch.
    async fn forget(&self, pipeline: &PipelineId) -> Result<(), LogError>;

    /// [Forgets](Self::forget) a pipeline, its leases too, but only where it ends at `on`; else the answer is [`LogErrorKind::Moved`]. One that
    /// is not there is forgotten already. A log of one hub need not look.
    async fn forget_on(&self, pipeline: &PipelineId, on: &Cursor) -> Result<(), LogError> {
        let _ = on;
        self.forget(pipeline).await
    }

    /// The stream of all that is appended. It can be taken once; it is bounded, and an append waits while it is full.
    fn take_tail(&self) -> Option<mpsc::Receiver<TailItem>>;

    /// How many bytes the store has now, where it can tell.
    async fn bytes(&self) -> Option<u64> {
        None
    }

    /// The hub that the log belongs to wants to know how it fares. Told once, when the hub is built.
    fn watched_by(&self, _watch: LogWatch) {}

    /// Nothing more is appended: writes down what makes the next start quick. A log that was not closed is as whole.
    async fn close(&self);
}

/// The epoch of a new life: it must never be that of another one.
pub(crate) fn new_epoch() -> Epoch {
    use std::hash::{BuildHasher, RandomState};
    // Keys from the system's randomness: two processes must never make the same epoch.
    let name = format!("{:016x}", RandomState::new().hash_one(std::process::id()));
    // Sixteen hexadecimal digits are a valid name.
    Epoch::new(&name).unwrap_or_else(|_| unreachable!("{name} is a valid epoch"))
}
