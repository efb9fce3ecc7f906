//! The log in a SQLite file: what is accepted survives the death of the process, and with [`Durability::Full`] that of
//! the machine.
//!
//! One thread writes, many appends in one transaction; readers have connections of their own and never wait for it. The
//! state of every pipeline is kept in memory, changed only after the transaction that it belongs to, and written down
//! now and then, so that a start replays the last few events and not the history.
//!
//! *What it never does:* write to a file that is not its own, or share one with another hub.

mod checkpoint;
mod error;
mod known;
mod open;
mod read;
mod schema;
mod state;
mod upkeep;
mod writer;

use std::path::PathBuf;
use std::sync::{Arc, mpsc as std_mpsc};
use std::thread::JoinHandle;

use async_trait::async_trait;
use parking_lot::Mutex;
use ragpulse_protocol::http::FilesPage;
use ragpulse_protocol::{Cursor, PipelineId};
use tokio::sync::{Semaphore, mpsc, oneshot};

pub use self::error::StoreError;
use self::known::Shared;
use self::writer::Command;
pub use super::retention::Retention;
use super::{
    Appended, Batch, EventLog, Extent, FilesQuery, HistoryPage, HistoryQuery, LogError, LogWatch, OfLease,
    Page, Stored, TailItem, files,
};
use crate::clock::{Clock, SystemClock};
use crate::config::HubLimits;

/// How many batches wait between the log and the tail before an append waits too.
const TAIL_DEPTH: usize = 1_024;
/// How many commands wait for the writer before an append waits outside.
const WAITING: usize = 256;

/// What an accepted event survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// The death of the process. After a loss of power the last moments may be gone; then every pipeline begins a new
    /// epoch, so that no subscriber takes new events for old ones.
    #[default]
    Commit,
    /// The loss of power too: each transaction waits for the disk.
    Full,
}

impl Durability {
    /// `commit` or `full`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Full => "full",
        }
    }
}

/// How to open a store.
#[derive(Clone)]
#[non_exhaustive]
pub struct SqliteOptions {
    /// The file. It is made where there is none; its directory must be there.
    pub path: PathBuf,
    /// What an accepted event survives. Default [`Durability::Commit`].
    pub durability: Durability,
    /// How long history is kept.
    pub retention: Retention,
    /// How many files of a pipeline are listed.
    pub limits: HubLimits,
    /// The clock by which events grow old. Default: the machine's.
    pub clock: Arc<dyn Clock>,
    /// Tells two runs of the machine apart. Default: the system's boot id, where it has one.
    pub boot: Option<String>,
    /// Begins new epochs, as after a loss of power: for a backup that was put in place of the store, and does not have
    /// the last of what subscribers have seen. Default no.
    pub new_epochs: bool,
    /// The most pages of 4 KiB that the file may have. Default: as many as the disk takes.
    pub max_pages: Option<u32>,
}

impl SqliteOptions {
    /// The defaults, with the store at `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            durability: Durability::default(),
            retention: Retention::default(),
            limits: HubLimits::default(),
            clock: Arc::new(SystemClock::default()),
            boot: std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
                .ok()
                .map(|id| id.trim().to_owned()),
            new_epochs: false,
            max_pages: None,
        }
    }
}

impl std::fmt::Debug for SqliteOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteOptions")
            .field("path", &self.path)
            .field("durability", &self.durability)
            .field("retention", &self.retention)
            .finish_non_exhaustive()
    }
}

/// A log in a SQLite file.
#[derive(Debug)]
pub struct SqliteLog {
    shared: Arc<Shared>,
    commands: std_mpsc::Sender<Command>,
    /// Room for commands that wait.
    room: Arc<Semaphore>,
    receiver: Mutex<Option<mpsc::Receiver<TailItem>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl SqliteLog {
    /// Opens a store, or makes one. It reads and writes the disk, so an asynchronous host calls it by
    /// `spawn_blocking`, or before it serves.
    ///
    /// # Errors
    /// When the file is not a store, is damaged, was made by a later version, or is in use. It is left as it is.
    pub fn open(options: SqliteOptions) -> Result<Self, StoreError> {
        let (tail, receiver) = mpsc::channel(TAIL_DEPTH);
        let (commands, waiting) = std_mpsc::channel();
        let opened = open::open(&options)?;
        let shared = opened.shared.clone();
        let writer = writer::Writer::new(opened, tail, &options);
        let thread = std::thread::Builder::new()
            .name("ragpulse-store".to_owned())
            .spawn(move || writer.run(&waiting))
            .map_err(|error| StoreError::Unopened { path: options.path, cause: error.to_string() })?;
        Ok(Self {
            shared,
            commands,
            room: Arc::new(Semaphore::new(WAITING)),
            receiver: Mutex::new(Some(receiver)),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Has the writer do something, and waits for its answer.
    async fn ask<T>(&self, command: impl FnOnce(writer::Reply<T>) -> Command) -> Result<T, LogError> {
        let gone = || LogError::written("the store is closed");
        let permit = self.room.clone().acquire_owned().await.map_err(|_| gone())?;
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(writer::Reply::new(reply, permit))).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

#[async_trait]
impl EventLog for SqliteLog {
    async fn seen(&self, pipeline: &PipelineId, ids: &[&str]) -> Result<Vec<bool>, LogError> {
        let Some(key) = self.shared.get(pipeline).map(|known| known.key) else {
            return Ok(vec![false; ids.len()]);
        };
        let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
        self.shared.read(move |connection| read::seen(connection, key, &ids)).await
    }

    async fn append(&self, pipeline: &PipelineId, batches: Vec<Batch>) -> Result<Vec<Appended>, LogError> {
        let pipeline = pipeline.clone();
        let append = |reply| Command::Append(writer::Append { pipeline, batches, fresh: false, reply });
        self.ask(append).await?.ok_or_else(|| LogError::written("it gave no place"))
    }

    async fn append_fresh(
        &self,
        pipeline: &PipelineId,
        _: Option<&Cursor>,
        batches: Vec<Batch>,
        _: &[OfLease],
    ) -> Result<Option<Vec<Appended>>, LogError> {
        let pipeline = pipeline.clone();
        self.ask(|reply| Command::Append(writer::Append { pipeline, batches, fresh: true, reply })).await
    }

    fn refuses_taken(&self) -> bool {
        true
    }

    async fn read(&self, pipeline: &PipelineId, after: &Cursor, limit: usize) -> Result<Page, LogError> {
        let Some(known) = self.shared.get(pipeline) else { return Ok(Page::Unknown) };
        let key = known.key;
        let seq = after.seq;
        match known.extent_after(after) {
            Extent::Held { .. } => {}
            Extent::Trimmed => return Ok(Page::Trimmed),
            Extent::EpochChanged => return Ok(Page::EpochChanged),
            Extent::Unknown => return Ok(Page::Unknown),
        }
        let records = self.shared.read(move |connection| read::after(connection, key, seq, limit)).await?;
        // It may have been trimmed, or forgotten, since it was looked at.
        match records.first() {
            Some(first) if first.seq != seq + 1 => Ok(Page::Trimmed),
            Some(_) => Ok(Page::Records(records)),
            None => Ok(match known.extent_after(after) {
                Extent::Trimmed => Page::Trimmed,
                _ => Page::Records(records),
            }),
        }
    }

    async fn extent(&self, pipeline: &PipelineId, after: &Cursor, last: u64) -> Result<Extent, LogError> {
        let Some(known) = self.shared.get(pipeline) else { return Ok(Extent::Unknown) };
        let (key, seq) = (known.key, after.seq);
        match known.extent_after(after) {
            Extent::Held { .. } => {}
            other => return Ok(other),
        }
        let (first, bytes) =
            self.shared.read(move |connection| read::bytes(connection, key, seq, last)).await?;
        // It may have been trimmed, or forgotten, since it was looked at.
        Ok(match first {
            Some(first) if first != seq + 1 => Extent::Trimmed,
            Some(_) => Extent::Held { bytes },
            None => known.extent_after(after),
        })
    }

    async fn files(&self, pipeline: &PipelineId, query: FilesQuery) -> Result<Option<FilesPage>, LogError> {
        let Some(known) = self.shared.get(pipeline) else { return Ok(None) };
        Ok(Some(files::page(query, |look| known.with_state(|state| look(state)))))
    }

    async fn history(
        &self,
        pipeline: &PipelineId,
        query: HistoryQuery,
    ) -> Result<Option<HistoryPage>, LogError> {
        let Some(known) = self.shared.get(pipeline) else { return Ok(None) };
        let (key, end) = (known.key, known.with_state(|state| state.seq));
        self.shared.read(move |connection| read::history(connection, key, end, &query)).await.map(Some)
    }

    async fn load(&self) -> Result<Vec<Stored>, LogError> {
        Ok(self.shared.all().iter().map(|known| known.stored()).collect())
    }

    async fn forget(&self, pipeline: &PipelineId) -> Result<(), LogError> {
        let pipeline = pipeline.clone();
        self.ask(|reply| Command::Forget(pipeline, reply)).await
    }

    fn take_tail(&self) -> Option<mpsc::Receiver<TailItem>> {
        self.receiver.lock().take()
    }

    async fn bytes(&self) -> Option<u64> {
        let file = |end: &str| {
            let mut path = self.shared.path.clone().into_os_string();
            path.push(end);
            std::fs::metadata(path).ok().map(|file| file.len())
        };
        // The file itself has to be there; the others are while the store is open.
        file("").map(|bytes| bytes + file("-wal").unwrap_or(0) + file("-shm").unwrap_or(0))
    }

    fn watched_by(&self, watch: LogWatch) {
        let _ = self.shared.watch.set(watch);
    }

    async fn close(&self) {
        if let Err(error) = self.ask(Command::Close).await {
            tracing::warn!(%error, "the store was not closed in order; the next start takes a little longer");
        }
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            // It has answered, so it is about to end; the lock on the file ends with it.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }
}
