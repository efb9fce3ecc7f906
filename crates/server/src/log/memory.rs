//! The log in memory: nothing survives the process, and every start is a new epoch.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::{Mutex, RwLock};
use ragpulse_protocol::http::FilesPage;
use ragpulse_protocol::status::Limits;
use ragpulse_protocol::{Cursor, PipelineId, PipelineStatus, Timestamp, apply};
use tokio::sync::mpsc;

use super::place::{file_limits, opening, place, trial};
use super::{
    Appended, Batch, EventLog, Extent, FilesQuery, HistoryPage, HistoryQuery, LogError, OpenFile, Page,
    Record, Stored, TailItem, files,
};
use crate::config::HubLimits;

/// How many batches wait between the log and the tail before an append waits too.
const TAIL_DEPTH: usize = 1_024;
/// Ids are kept at least this long …
const ID_AGE_MILLIS: i64 = 24 * 60 * 60 * 1_000;
/// … and at least so many; beyond both they go.
const IDS_KEPT: usize = 1_000_000;
/// However young, no more than so many: some 50 bytes each, and a bound is needed.
const IDS_MAX: usize = 4_000_000;

/// A log that keeps the last events of each pipeline in memory.
#[derive(Debug)]
pub struct MemoryLog {
    pipelines: RwLock<HashMap<PipelineId, Arc<Mutex<Pipeline>>>>,
    limits: HubLimits,
    hashers: [RandomState; 2],
    tail: mpsc::Sender<TailItem>,
    receiver: Mutex<Option<mpsc::Receiver<TailItem>>>,
}

#[derive(Debug)]
struct Pipeline {
    state: PipelineStatus,
    records: VecDeque<Arc<Record>>,
    bytes: usize,
    ids: Ids,
}

/// The ids taken, as keyed hashes: what identifies an event costs 16 bytes however long it is, and 128 bits
/// are enough that no two meet.
#[derive(Debug, Default)]
struct Ids {
    taken: HashSet<u128>,
    order: VecDeque<(i64, u128)>,
}

impl Ids {
    fn take(&mut self, id: u128, now: Timestamp) {
        if self.taken.insert(id) {
            self.order.push_back((now.as_millis(), id));
        }
        let old = now.as_millis() - ID_AGE_MILLIS;
        while let Some((at, oldest)) = self.order.front().copied() {
            let beyond = self.order.len() > IDS_MAX || (self.order.len() > IDS_KEPT && at < old);
            if !beyond {
                break;
            }
            self.taken.remove(&oldest);
            self.order.pop_front();
        }
    }
}

impl Pipeline {
    fn first(&self) -> u64 {
        self.records.front().map_or(self.state.seq + 1, |record| record.seq)
    }

    /// The records after a cursor, or why there are none.
    fn after(&self, cursor: &Cursor) -> Result<impl Iterator<Item = &Arc<Record>>, Page> {
        if self.state.epoch != cursor.epoch {
            return Err(Page::EpochChanged);
        }
        let Some(skip) = cursor.seq.saturating_add(1).checked_sub(self.first()) else {
            return Err(Page::Trimmed);
        };
        let skip = usize::try_from(skip).unwrap_or(usize::MAX).min(self.records.len());
        Ok(self.records.range(skip..))
    }

    fn push(&mut self, record: Arc<Record>, limits: &HubLimits) {
        // Anomalies are told by the room that subscribers look into.
        let _ = apply(&mut self.state, &record.event);
        self.bytes += record.size();
        self.records.push_back(record);
        while self.records.len() > limits.log_events || self.bytes > limits.log_bytes {
            let Some(oldest) = self.records.pop_front() else { break };
            self.bytes -= oldest.size();
        }
    }
}

impl MemoryLog {
    /// An empty log.
    pub fn new(limits: &HubLimits) -> Self {
        let (tail, receiver) = mpsc::channel(TAIL_DEPTH);
        Self {
            pipelines: RwLock::default(),
            limits: limits.clone(),
            hashers: [RandomState::new(), RandomState::new()],
            tail,
            receiver: Mutex::new(Some(receiver)),
        }
    }

    fn hash(&self, id: &str) -> u128 {
        let [high, low] = self.hashers.each_ref().map(|hasher| u128::from(hasher.hash_one(id)));
        high << 64 | low
    }

    fn get(&self, pipeline: &PipelineId) -> Option<Arc<Mutex<Pipeline>>> {
        self.pipelines.read().get(pipeline).cloned()
    }

    /// The pipeline, or one that is not yet known to anybody.
    fn get_or_open(&self, id: &PipelineId, batches: &[Batch]) -> Result<Arc<Mutex<Pipeline>>, LogError> {
        if let Some(pipeline) = self.get(id) {
            return Ok(pipeline);
        }
        let first = batches.first().ok_or_else(|| LogError::written("there is no batch"))?;
        let state = opening(id, &first.pipeline_type, first.received_at, file_limits(&self.limits));
        Ok(Arc::new(Mutex::new(Pipeline { state, records: VecDeque::new(), bytes: 0, ids: Ids::default() })))
    }
}

#[async_trait]
impl EventLog for MemoryLog {
    async fn seen(&self, pipeline: &PipelineId, ids: &[&str]) -> Result<Vec<bool>, LogError> {
        let Some(pipeline) = self.get(pipeline) else { return Ok(vec![false; ids.len()]) };
        let pipeline = pipeline.lock();
        Ok(ids.iter().map(|id| pipeline.ids.taken.contains(&self.hash(id))).collect())
    }

    async fn append(&self, id: &PipelineId, batches: Vec<Batch>) -> Result<Vec<Appended>, LogError> {
        // Room in the tail first: nothing is placed that could not be passed on.
        let permit = self.tail.reserve().await.map_err(|_| LogError::written("its tail is gone"))?;
        let shared = self.get_or_open(id, &batches)?;
        let mut pipeline = shared.lock();
        let mut taken: Vec<(u128, Timestamp)> = Vec::new();
        let mut fresh: HashSet<u128> = HashSet::new();
        let placed = place(trial(&pipeline.state, &batches), batches, &mut |id, now| {
            let id = self.hash(id);
            let free = !pipeline.ids.taken.contains(&id) && fresh.insert(id);
            if free {
                taken.push((id, now));
            }
            Ok(free)
        })?;
        for (id, now) in taken {
            pipeline.ids.take(id, now);
        }
        for record in &placed.records {
            pipeline.push(record.clone(), &self.limits);
        }
        if pipeline.state.seq > 0 {
            self.pipelines.write().entry(id.clone()).or_insert_with(|| shared.clone());
        }
        if !placed.records.is_empty() {
            permit.send(TailItem::Records(id.clone(), placed.records));
        }
        Ok(placed.appended)
    }

    async fn read(&self, pipeline: &PipelineId, after: &Cursor, limit: usize) -> Result<Page, LogError> {
        let Some(pipeline) = self.get(pipeline) else { return Ok(Page::Unknown) };
        let pipeline = pipeline.lock();
        Ok(match pipeline.after(after) {
            Ok(records) => Page::Records(records.take(limit).cloned().collect()),
            Err(page) => page,
        })
    }

    async fn extent(&self, pipeline: &PipelineId, after: &Cursor, last: u64) -> Result<Extent, LogError> {
        let Some(pipeline) = self.get(pipeline) else { return Ok(Extent::Unknown) };
        let pipeline = pipeline.lock();
        Ok(match pipeline.after(after) {
            Ok(records) => {
                let sizes =
                    records.take_while(|record| record.seq <= last).map(|record| record.size() as u64);
                Extent::Held { bytes: sizes.sum() }
            }
            Err(Page::EpochChanged) => Extent::EpochChanged,
            Err(_) => Extent::Trimmed,
        })
    }

    async fn files(&self, pipeline: &PipelineId, query: FilesQuery) -> Result<Option<FilesPage>, LogError> {
        let Some(pipeline) = self.get(pipeline) else { return Ok(None) };
        Ok(Some(files::page(query, |look| look(&pipeline.lock().state))))
    }

    async fn history(
        &self,
        pipeline: &PipelineId,
        query: HistoryQuery,
    ) -> Result<Option<HistoryPage>, LogError> {
        let Some(pipeline) = self.get(pipeline) else { return Ok(None) };
        let pipeline = pipeline.lock();
        let matches = |record: &&Arc<Record>| {
            let file = record.event.file().map(|file| file.id.as_str());
            record.seq > query.after
                && query.file.as_deref().is_none_or(|wanted| file == Some(wanted))
                && query.event.as_deref().is_none_or(|wanted| &*record.name == wanted)
                && query.since.is_none_or(|since| record.received_at >= since)
                && query.until.is_none_or(|until| record.received_at < until)
        };
        let mut records: Vec<_> =
            pipeline.records.iter().filter(matches).take(query.limit + 1).cloned().collect();
        let more = records.len() > query.limit;
        records.truncate(query.limit);
        let next_after = records.last().filter(|_| more).map(|record| record.seq);
        Ok(Some(HistoryPage { records, next_after }))
    }

    async fn load(&self) -> Result<Vec<Stored>, LogError> {
        let pipelines: Vec<_> = self.pipelines.read().values().cloned().collect();
        Ok(pipelines
            .iter()
            .map(|pipeline| {
                let pipeline = pipeline.lock();
                // A log that lives as long as its hub has no owners to give back, and nobody who stayed.
                let open = OpenFile::all(&pipeline.state, &HashMap::new());
                let state = pipeline.state.clone().limited_to(Limits::default());
                Stored { state, first: pipeline.first(), open }
            })
            .collect())
    }

    async fn forget(&self, pipeline: &PipelineId) -> Result<(), LogError> {
        self.pipelines.write().remove(pipeline);
        self.tail
            .send(TailItem::Forgotten(pipeline.clone()))
            .await
            .map_err(|_| LogError::written("its tail is gone"))
    }

    fn take_tail(&self) -> Option<mpsc::Receiver<TailItem>> {
        self.receiver.lock().take()
    }

    async fn bytes(&self) -> Option<u64> {
        let pipelines: Vec<_> = self.pipelines.read().values().cloned().collect();
        Some(pipelines.iter().map(|pipeline| pipeline.lock().bytes as u64).sum())
    }

    async fn close(&self) {}
}
