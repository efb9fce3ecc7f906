//! One log for several hubs, in memory: each appends where it planned to or not at all, and each has a tail of its own. What Redis
//! does over a network, without one.

use std::sync::Arc;

use async_trait::async_trait;
use ragpulse_protocol::http::FilesPage;
use ragpulse_protocol::{Cursor, PipelineId};
use ragpulse_server::config::HubLimits;
use ragpulse_server::log::{
    Appended, Batch, EventLog, Extent, FilesQuery, HistoryPage, HistoryQuery, LogError, MemoryLog, OfLease,
    Page, Stored, TailItem,
};
use tokio::sync::{Mutex, mpsc};

/// What the hubs have in common.
struct Common {
    log: MemoryLog,
    /// Who appends looks and writes at once.
    turn: Mutex<()>,
}

/// A hub's share of it.
pub struct SharedLog {
    common: Arc<Common>,
    tail: std::sync::Mutex<Option<mpsc::Receiver<TailItem>>>,
}

/// A log for each of so many hubs. Each gets everything by its tail, its own too.
pub fn shared_logs(hubs: usize) -> Vec<Arc<dyn EventLog>> {
    let log = MemoryLog::new(&HubLimits::default());
    let mut source = log.take_tail().unwrap();
    let common = Arc::new(Common { log, turn: Mutex::new(()) });
    let (tails, receivers): (Vec<_>, Vec<_>) = (0..hubs).map(|_| mpsc::channel(1_024)).unzip();
    tokio::spawn(async move {
        while let Some(item) = source.recv().await {
            for tail in &tails {
                // A hub that has ended is not waited for.
                let _ = tail.send(item.clone()).await;
            }
        }
    });
    let share = |tail| -> Arc<dyn EventLog> {
        Arc::new(SharedLog { common: common.clone(), tail: std::sync::Mutex::new(Some(tail)) })
    };
    receivers.into_iter().map(share).collect()
}

#[async_trait]
impl EventLog for SharedLog {
    async fn seen(&self, pipeline: &PipelineId, ids: &[&str]) -> Result<Vec<bool>, LogError> {
        self.common.log.seen(pipeline, ids).await
    }
    async fn append(&self, pipeline: &PipelineId, batches: Vec<Batch>) -> Result<Vec<Appended>, LogError> {
        let _turn = self.common.turn.lock().await;
        self.common.log.append(pipeline, batches).await
    }
    async fn append_on(
        &self,
        pipeline: &PipelineId,
        on: Option<&Cursor>,
        batches: Vec<Batch>,
        _leases: &[OfLease],
    ) -> Result<Vec<Appended>, LogError> {
        let _turn = self.common.turn.lock().await;
        let there = self.common.log.stored(pipeline).await?;
        let there = there.map(|stored| Cursor { epoch: stored.state.epoch, seq: stored.state.seq });
        if there.as_ref() != on {
            return Err(LogError::moved());
        }
        self.common.log.append(pipeline, batches).await
    }
    fn is_shared(&self) -> bool {
        true
    }
    async fn stored(&self, pipeline: &PipelineId) -> Result<Option<Stored>, LogError> {
        self.common.log.stored(pipeline).await
    }
    async fn read(&self, pipeline: &PipelineId, after: &Cursor, limit: usize) -> Result<Page, LogError> {
        self.common.log.read(pipeline, after, limit).await
    }
    async fn extent(&self, pipeline: &PipelineId, after: &Cursor, last: u64) -> Result<Extent, LogError> {
        self.common.log.extent(pipeline, after, last).await
    }
    async fn files(&self, pipeline: &PipelineId, query: FilesQuery) -> Result<Option<FilesPage>, LogError> {
        self.common.log.files(pipeline, query).await
    }
    async fn history(&self, id: &PipelineId, query: HistoryQuery) -> Result<Option<HistoryPage>, LogError> {
        self.common.log.history(id, query).await
    }
    async fn load(&self) -> Result<Vec<Stored>, LogError> {
        self.common.log.load().await
    }
    async fn forget(&self, pipeline: &PipelineId) -> Result<(), LogError> {
        let _turn = self.common.turn.lock().await;
        self.common.log.forget(pipeline).await
    }
    fn take_tail(&self) -> Option<mpsc::Receiver<TailItem>> {
        self.tail.lock().unwrap().take()
    }
    async fn close(&self) {}
}
