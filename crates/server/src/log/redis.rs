//! The log in Redis or Valkey, for several hubs that are one (docs/adr/0006-redis-log.md).
//!
//! Scripts do what has to be done at once: an append names the position it was planned on, and is taken there or not at all. Every node
//! folds every pipeline, from what it appends itself and from what the feeds tell of the others; reads are answered by Redis.
//!
//! *What it never does:* send a script again because the server does not know it, repeat a call whose answer was lost, or write back what
//! only this node still has.

mod append;
mod call;
mod core;
mod follow;
mod gate;
mod history;
mod keys;
mod link;
mod options;
mod reader;
mod reply;
mod session;
#[cfg(test)]
mod tests;
mod upkeep;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::try_join_all;
use parking_lot::Mutex;
use ragpulse_protocol::http::FilesPage;
use ragpulse_protocol::{Cursor, PipelineId, ReporterId};
use tokio::sync::mpsc;
use tokio_util::sync::DropGuard;

use self::append::On;
use self::call::Found;
use self::core::{Core, FEED, hash, records};
pub use self::options::{OpenError, RedisOptions};
use self::reader::Reader;
use self::reply::Fault;
use self::session::Session;
use super::{
    Appended, Batch, EventLog, Extent, FilesQuery, HeldLease, HistoryPage, HistoryQuery, LogError, LogWatch,
    OfLease, Page, Stored, TailItem, files,
};

/// How many batches wait between the log and the tail before an append waits too.
const TAIL_DEPTH: usize = 1_024;
/// How many leases of a shard are told at once that have ended; the others a second later.
const LAPSED_AT_ONCE: usize = 1_000;

/// A log in Redis.
#[derive(Debug)]
pub struct RedisLog {
    core: Arc<Core>,
    receiver: Mutex<Option<mpsc::Receiver<TailItem>>>,
    /// Ends what runs for this log, however it is put away.
    _end: DropGuard,
}

impl RedisLog {
    /// Connects, and loads what is there. Tasks on this runtime keep it up to date until it is closed or dropped.
    ///
    /// # Errors
    /// When there is no server, it does not let us in, or cannot be a log: [`OpenError`]. Nothing is written then.
    pub async fn open(options: RedisOptions) -> Result<Self, OpenError> {
        let (place, keys, client) = (options.place()?, options.keys()?, options.client()?);
        let (tail, receiver) = mpsc::channel(TAIL_DEPTH);
        let core = Arc::new(Core::new(options, tail));
        let reader = Reader::open(core.clone(), client, keys);
        let reading = reader.await.map_err(|fault| OpenError::opening(&place, fault))?;
        tokio::spawn(reading);
        tokio::spawn(core.clone().keep_up());
        let end = core.end.clone().drop_guard();
        Ok(Self { core, receiver: Mutex::new(Some(receiver)), _end: end })
    }

    /// Calls by the session of now.
    async fn call<T>(
        &self,
        doing: &'static str,
        act: impl AsyncFnOnce(&Session) -> Result<T, Fault>,
    ) -> Result<T, LogError> {
        let session = self.core.link.session(doing)?;
        let done = act(&session).await;
        done.map_err(|fault| self.core.link.fault(&session, &fault, doing))
    }

    async fn forget_at(&self, pipeline: &PipelineId, on: Option<&Cursor>) -> Result<(), LogError> {
        let session = self.core.link.session("written")?;
        let turn = self.core.gates.turn(pipeline).await;
        let permit = self.core.permit().await?;
        let on = on.map(|on| (on.epoch.clone(), on.seq));
        match session.forget(pipeline, &on, FEED).await {
            Ok(true) => {
                turn.forget(permit);
                Ok(())
            }
            Ok(false) => Err(LogError::moved()),
            Err(fault) => Err(self.core.link.fault(&session, &fault, "written")),
        }
    }
}

#[async_trait]
impl EventLog for RedisLog {
    async fn seen(&self, pipeline: &PipelineId, ids: &[&str]) -> Result<Vec<bool>, LogError> {
        let ids: Vec<_> = ids.iter().map(|id| hash(id)).collect();
        self.call("read", async |session| session.seen(pipeline, &ids).await).await
    }

    async fn append(&self, pipeline: &PipelineId, batches: Vec<Batch>) -> Result<Vec<Appended>, LogError> {
        if batches.is_empty() {
            return Err(LogError::written("there is no batch"));
        }
        self.core.append(pipeline, On::Anywhere, batches, &[]).await
    }

    async fn append_on(
        &self,
        pipeline: &PipelineId,
        on: Option<&Cursor>,
        batches: Vec<Batch>,
        leases: &[OfLease],
    ) -> Result<Vec<Appended>, LogError> {
        self.core.append(pipeline, On::Exactly(on), batches, leases).await
    }

    async fn lapsed(&self) -> Result<Vec<(PipelineId, Option<ReporterId>)>, LogError> {
        let gap = u64::try_from(self.core.options.unwatched.as_millis()).unwrap_or(u64::MAX);
        let now = self.core.script_time();
        let found = self
            .call("read", async |session| {
                let shards = 0..session.keys().shards();
                try_join_all(shards.map(|shard| session.tick(shard, now, gap, LAPSED_AT_ONCE))).await
            })
            .await?;
        Ok(found.into_iter().flat_map(|(_, ended)| ended).collect())
    }

    async fn leases(&self, pipeline: &PipelineId) -> Result<Vec<HeldLease>, LogError> {
        let now = self.core.script_time();
        self.call("read", async |session| session.leases(pipeline, now).await).await
    }

    fn silent_for(&self) -> Option<Duration> {
        self.core.link.silent_for()
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn stored(&self, pipeline: &PipelineId) -> Result<Option<Stored>, LogError> {
        self.call("read", async |session| self.core.follow(session, pipeline).await).await?;
        let gate = self.core.gates.get(pipeline);
        Ok(gate.and_then(|gate| gate.with(|known| known.stored())))
    }

    async fn end(&self, pipeline: &PipelineId) -> Result<Option<Cursor>, LogError> {
        self.call("read", async |session| self.core.follow(session, pipeline).await).await?;
        Ok(self.core.gates.get(pipeline).and_then(|gate| gate.position()))
    }

    async fn read(&self, pipeline: &PipelineId, after: &Cursor, limit: usize) -> Result<Page, LogError> {
        self.call("read", async |session| {
            Ok(match session.read(pipeline, Some(&after.epoch), after.seq, limit).await? {
                Found::Entries(entries) => Page::Records(records(entries)?),
                Found::Trimmed => Page::Trimmed,
                Found::EpochChanged => Page::EpochChanged,
                Found::Unknown | Found::Bytes(_) => Page::Unknown,
            })
        })
        .await
    }

    async fn extent(&self, pipeline: &PipelineId, after: &Cursor, last: u64) -> Result<Extent, LogError> {
        self.call("read", async |session| {
            Ok(match session.extent(pipeline, &after.epoch, after.seq, last).await? {
                Found::Bytes(bytes) => Extent::Held { bytes },
                Found::Trimmed => Extent::Trimmed,
                Found::EpochChanged => Extent::EpochChanged,
                Found::Unknown | Found::Entries(_) => Extent::Unknown,
            })
        })
        .await
    }

    async fn files(&self, pipeline: &PipelineId, query: FilesQuery) -> Result<Option<FilesPage>, LogError> {
        let Some(gate) = self.core.gates.get(pipeline).filter(|gate| gate.position().is_some()) else {
            return Ok(None);
        };
        Ok(Some(files::page(query, |look| {
            gate.with(|known| look(&known.fold.state));
        })))
    }

    async fn history(
        &self,
        pipeline: &PipelineId,
        query: HistoryQuery,
    ) -> Result<Option<HistoryPage>, LogError> {
        let Some(end) = self.core.gates.get(pipeline).and_then(|gate| gate.position()).map(|on| on.seq)
        else {
            return Ok(None);
        };
        self.call("read", async |session| self.core.look_up(session, pipeline, &query, end).await)
            .await
            .map(Some)
    }

    async fn load(&self) -> Result<Vec<Stored>, LogError> {
        Ok(self.core.gates.load())
    }

    async fn forget(&self, pipeline: &PipelineId) -> Result<(), LogError> {
        self.forget_at(pipeline, None).await
    }

    async fn forget_on(&self, pipeline: &PipelineId, on: &Cursor) -> Result<(), LogError> {
        self.forget_at(pipeline, Some(on)).await
    }

    fn take_tail(&self) -> Option<mpsc::Receiver<TailItem>> {
        self.receiver.lock().take()
    }

    /// What the server has in memory, with whatever else it keeps.
    async fn bytes(&self) -> Option<u64> {
        let session = self.core.link.session("read").ok()?;
        let found = session.look(redis::cmd("INFO").arg("memory")).await.ok()?;
        let info = reply::text(&found).ok()?;
        info.lines().find_map(|line| line.strip_prefix("used_memory:")?.trim().parse().ok())
    }

    fn watched_by(&self, watch: LogWatch) {
        let _ = self.core.watch.set(watch);
    }

    async fn close(&self) {
        self.core.write_last().await;
        self.core.end.cancel();
        self.core.link.clear();
    }
}
