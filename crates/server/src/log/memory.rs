//! The log in memory: nothing survives the process, and every start is a new epoch.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use ragpulse_protocol::http::FilesPage;
use ragpulse_protocol::status::Limits;
use ragpulse_protocol::{Cursor, Epoch, FileStatus, PipelineId, PipelineStatus, Timestamp, apply};
use tokio::sync::mpsc;

use super::{Appended, Batch, EventLog, FilesQuery, LogError, Page, Record, TailItem};
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
    pipelines: Mutex<HashMap<PipelineId, Pipeline>>,
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

impl MemoryLog {
    /// An empty log.
    pub fn new(limits: &HubLimits) -> Self {
        let (tail, receiver) = mpsc::channel(TAIL_DEPTH);
        Self {
            pipelines: Mutex::new(HashMap::new()),
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

    /// Places a batch. What was placed is passed on whatever comes after it, or the sequence would have a hole.
    fn place(&self, batch: Batch, placed: &mut Vec<Arc<Record>>) -> Result<Appended, LogError> {
        let file_limits = Limits {
            open: u32::try_from(self.limits.open_files).unwrap_or(u32::MAX),
            ended: u32::try_from(self.limits.ended_files).unwrap_or(u32::MAX),
        };
        let mut pipelines = self.pipelines.lock();
        let now = batch.received_at;
        let pipeline = pipelines.entry(batch.pipeline_id.clone()).or_insert_with(|| Pipeline {
            state: PipelineStatus::opening(
                batch.pipeline_id.clone(),
                batch.pipeline_type.clone(),
                new_epoch(),
                now,
                file_limits,
            ),
            records: VecDeque::new(),
            bytes: 0,
            ids: Ids::default(),
        });
        let epoch = pipeline.state.epoch.clone();
        let mut places = Vec::with_capacity(batch.records.len());
        for record in batch.records {
            let id = record.event_id.as_deref().map(|id| self.hash(id));
            if id.is_some_and(|id| pipeline.ids.taken.contains(&id)) {
                places.push(None);
                continue;
            }
            let seq = pipeline.state.seq + 1;
            let previous = record
                .file_id
                .as_deref()
                .and_then(|id| pipeline.state.files.get(id))
                .map(FileStatus::as_previous);
            let record = record
                .place(&batch.pipeline_id, &pipeline.state.pipeline_type, &epoch, seq, previous)
                .map_err(|error| LogError { doing: "written", cause: error.to_string() })?;
            if let Some(id) = id {
                pipeline.ids.take(id, now);
            }
            // Anomalies are told by the room that subscribers look into.
            let _ = apply(&mut pipeline.state, &record.event);
            let record = Arc::new(record);
            pipeline.bytes += record.size();
            pipeline.records.push_back(record.clone());
            while pipeline.records.len() > self.limits.log_events || pipeline.bytes > self.limits.log_bytes {
                let Some(oldest) = pipeline.records.pop_front() else { break };
                pipeline.bytes -= oldest.size();
            }
            places.push(Some(seq));
            placed.push(record);
        }
        for id in &batch.remember {
            pipeline.ids.take(self.hash(id), now);
        }
        Ok(Appended { epoch, seq: pipeline.state.seq, places })
    }
}

fn new_epoch() -> Epoch {
    // Keys from the system's randomness: two processes must never make the same epoch.
    let name = format!("{:016x}", RandomState::new().hash_one(std::process::id()));
    // Sixteen hexadecimal digits are a valid name.
    Epoch::new(&name).unwrap_or_else(|_| unreachable!("{name} is a valid epoch"))
}

#[async_trait]
impl EventLog for MemoryLog {
    async fn seen(&self, pipeline: &PipelineId, ids: &[&str]) -> Result<Vec<bool>, LogError> {
        let pipelines = self.pipelines.lock();
        let taken = pipelines.get(pipeline).map(|pipeline| &pipeline.ids.taken);
        Ok(ids.iter().map(|id| taken.is_some_and(|taken| taken.contains(&self.hash(id)))).collect())
    }

    async fn append(&self, batch: Batch) -> Result<Appended, LogError> {
        // Room in the tail first: nothing is placed that could not be passed on.
        let permit = self
            .tail
            .reserve()
            .await
            .map_err(|_| LogError { doing: "written", cause: "its tail is gone".to_owned() })?;
        let pipeline_id = batch.pipeline_id.clone();
        let mut placed = Vec::with_capacity(batch.records.len());
        let appended = self.place(batch, &mut placed);
        if !placed.is_empty() {
            permit.send(TailItem::Records(pipeline_id, placed));
        }
        appended
    }

    async fn read(&self, pipeline: &PipelineId, after: &Cursor, limit: usize) -> Result<Page, LogError> {
        let pipelines = self.pipelines.lock();
        let Some(pipeline) = pipelines.get(pipeline) else { return Ok(Page::Unknown) };
        if pipeline.state.epoch != after.epoch {
            return Ok(Page::EpochChanged);
        }
        let first = pipeline.records.front().map_or(pipeline.state.seq + 1, |record| record.seq);
        let next = after.seq.saturating_add(1);
        if next < first {
            return Ok(Page::Trimmed);
        }
        let skip = usize::try_from(next - first).unwrap_or(usize::MAX);
        Ok(Page::Records(pipeline.records.iter().skip(skip).take(limit).cloned().collect()))
    }

    async fn files(&self, pipeline: &PipelineId, query: FilesQuery) -> Result<Option<FilesPage>, LogError> {
        let pipelines = self.pipelines.lock();
        let Some(pipeline) = pipelines.get(pipeline) else { return Ok(None) };
        let wanted = query.contains.map(|text| text.to_lowercase());
        let matches = |file: &&FileStatus| {
            let has = |text: &str, wanted: &str| text.to_lowercase().contains(wanted);
            wanted.as_deref().is_none_or(|wanted| {
                has(&file.name, wanted)
                    || has(&file.id, wanted)
                    || file.path.as_deref().is_some_and(|path| has(path, wanted))
            })
        };
        let mut files: Vec<FileStatus> = pipeline
            .state
            .files
            .after(query.after, query.state)
            .filter(matches)
            .take(query.limit + 1)
            .cloned()
            .collect();
        let more = files.len() > query.limit;
        files.truncate(query.limit);
        let next_after = files.last().filter(|_| more).map(|file| file.seq);
        Ok(Some(FilesPage { files, next_after }))
    }

    async fn load(&self) -> Result<Vec<PipelineStatus>, LogError> {
        Ok(self.pipelines.lock().values().map(|pipeline| pipeline.state.clone()).collect())
    }

    async fn forget(&self, pipeline: &PipelineId) -> Result<(), LogError> {
        self.pipelines.lock().remove(pipeline);
        self.tail
            .send(TailItem::Forgotten(pipeline.clone()))
            .await
            .map_err(|_| LogError { doing: "written", cause: "its tail is gone".to_owned() })
    }

    fn take_tail(&self) -> Option<mpsc::Receiver<TailItem>> {
        self.receiver.lock().take()
    }
}
