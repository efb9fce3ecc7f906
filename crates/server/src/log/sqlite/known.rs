//! What is known of each pipeline in memory: its state as of the last transaction, and what of it is not written down.
//! Only the writer changes it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};
use ragpulse_protocol::{Cursor, PipelineId, PipelineStatus};
use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::super::fold::Fold;
use super::super::{Extent, LogError, LogErrorKind, LogWatch, Record, Stored};

/// How many reads run at once; others wait.
const READERS: usize = 4;

/// What the writer and the readers share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) path: PathBuf,
    pipelines: RwLock<HashMap<PipelineId, Arc<Known>>>,
    /// Connections that nobody uses right now; `None` once the store is closed.
    idle: Mutex<Option<Vec<Connection>>>,
    turns: Arc<Semaphore>,
    /// Who wants to know how long commits take.
    pub(super) watch: OnceLock<LogWatch>,
}

/// One pipeline.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) key: i64,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) fold: Fold,
    /// The first `seq` that is kept; one more than the end when none is.
    pub(super) first: u64,
    /// The first `seq` of the present epoch.
    pub(super) epoch_begins: u64,
    /// When the last event was received, in milliseconds; never falls.
    pub(super) last_at: i64,
    /// The first id that is kept, and the next one, by their count.
    pub(super) ids: std::ops::Range<u64>,
    /// An event, by its number, and when it was received: while it is the first that is kept, it need not be looked up how old
    /// that is.
    pub(super) first_at: Option<(u64, i64)>,
    /// The end of the sequence when the state was written down.
    pub(super) written: u64,
}

impl Inner {
    /// Applies a record that is in the store.
    pub(super) fn apply(&mut self, record: &Record) {
        self.fold.apply(record);
        self.last_at = self.last_at.max(record.received_at.as_millis());
    }
}

impl Known {
    pub(super) fn new(key: i64, inner: Inner) -> Arc<Self> {
        Arc::new(Self { key, inner: Mutex::new(inner) })
    }

    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        act(&mut self.inner.lock())
    }

    pub(super) fn with_state<T>(&self, look: impl FnOnce(&PipelineStatus) -> T) -> T {
        look(&self.inner.lock().fold.state)
    }

    /// Whether what comes after a cursor is kept; the bytes are not counted.
    pub(super) fn extent_after(&self, cursor: &Cursor) -> Extent {
        let inner = self.inner.lock();
        if inner.fold.state.epoch != cursor.epoch {
            Extent::EpochChanged
        } else if cursor.seq.saturating_add(1) < inner.first.max(inner.epoch_begins) {
            Extent::Trimmed
        } else {
            Extent::Held { bytes: 0 }
        }
    }

    pub(super) fn stored(&self) -> Stored {
        let inner = self.inner.lock();
        inner.fold.stored(inner.first.max(inner.epoch_begins))
    }
}

impl Shared {
    pub(super) fn new(path: PathBuf, pipelines: HashMap<PipelineId, Arc<Known>>) -> Self {
        Self {
            path,
            pipelines: RwLock::new(pipelines),
            idle: Mutex::new(Some(Vec::new())),
            turns: Arc::new(Semaphore::new(READERS)),
            watch: OnceLock::new(),
        }
    }

    pub(super) fn get(&self, id: &PipelineId) -> Option<Arc<Known>> {
        self.pipelines.read().get(id).cloned()
    }

    pub(super) fn all(&self) -> Vec<Arc<Known>> {
        self.pipelines.read().values().cloned().collect()
    }

    pub(super) fn insert(&self, id: PipelineId, known: Arc<Known>) {
        self.pipelines.write().insert(id, known);
    }

    pub(super) fn remove(&self, id: &PipelineId) -> Option<Arc<Known>> {
        self.pipelines.write().remove(id)
    }

    /// Reads by a connection of its own, on a thread that may wait for the disk.
    pub(super) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        look: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, LogError> {
        let turn = self.turns.clone().acquire_owned().await;
        let turn = turn.map_err(|_| unreadable("the store is closed"))?;
        let shared = self.clone();
        let read = move || {
            // Given back when the read is over, also where nobody waits for it any more.
            let _turn = turn;
            let idle = shared.idle.lock().as_mut().map(Vec::pop);
            let connection = match idle {
                Some(Some(connection)) => connection,
                Some(None) => super::open::reader(&shared.path).map_err(|error| unreadable(&error))?,
                None => return Err(unreadable("the store is closed")),
            };
            // One transaction: what several queries find is of one moment.
            let found = connection
                .unchecked_transaction()
                .and_then(|transaction| look(&transaction))
                .map_err(|error| unreadable(&error));
            if let Some(idle) = shared.idle.lock().as_mut() {
                idle.push(connection);
            }
            found
        };
        tokio::task::spawn_blocking(read).await.map_err(|error| unreadable(&error))?
    }

    /// The store is closed: nothing more is read.
    pub(super) fn close(&self) {
        *self.idle.lock() = None;
    }
}

fn unreadable(cause: impl ToString) -> LogError {
    LogError { kind: LogErrorKind::Unavailable, doing: "read", cause: cause.to_string() }
}

/// What went wrong in a write, for the hub.
pub(super) fn unwritten(error: &rusqlite::Error) -> LogError {
    let full = error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull);
    let kind = if full { LogErrorKind::Full } else { LogErrorKind::Unavailable };
    LogError { kind, doing: "written", cause: error.to_string() }
}
