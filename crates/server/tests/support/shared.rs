//! One log for several hubs, in memory: each appends where it planned to or not at all, each has a tail of its own, and the log
//! keeps the leases. What Redis does over a network, without one, and by the same rules as its scripts; time is what the test says.
//!
//! A hub's share can be cut off: before its next append, or between that and its answer. Then it never hears from the log again, as if
//! it had been killed there.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use ragpulse_protocol::http::FilesPage;
use ragpulse_protocol::{Cursor, PipelineId, ReporterId};
use ragpulse_server::clock::{Clock, SystemClock};
use ragpulse_server::config::HubLimits;
use ragpulse_server::log::{
    Appended, Batch, EventLog, Extent, FilesQuery, HeldLease, HistoryPage, HistoryQuery, LogError,
    LogErrorKind, MemoryLog, OfLease, Page, Stored, TailItem,
};
use tokio::sync::{Mutex, Semaphore, mpsc};

/// After so long without a look leases begin anew.
const GAP_MILLIS: i64 = 5_000;

/// What the hubs have in common.
struct Common {
    log: MemoryLog,
    clock: Arc<dyn Clock>,
    order: AtomicU64,
    /// One for each hub. One that has ended is not waited for.
    tails: std::sync::Mutex<Vec<mpsc::Sender<TailItem>>>,
    /// Who appends looks and writes at once.
    kept: Mutex<Kept>,
}

/// The leases.
#[derive(Default)]
struct Kept {
    /// Of each pipeline and reporter: when it ends, and how long it lasts.
    due: HashMap<PipelineId, BTreeMap<Option<ReporterId>, (i64, u32)>>,
    /// When a hub last looked.
    alive: Option<i64>,
    /// What was appended, or only changed leases.
    journal: Vec<Entry>,
}

/// An append that was taken.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its place among all that was [ordered](SharedLog::order).
    pub order: u64,
    /// When, by the log's clock, in milliseconds.
    pub at: i64,
    /// By which hub.
    pub hub: usize,
    /// The end of the sequence before it …
    pub after: u64,
    /// … and after.
    pub seq: u64,
    /// What it did to leases.
    pub leases: Vec<OfLease>,
}

/// How a hub is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Its next append does not come to the log.
    Before,
    /// Its next append is taken, and it never learns of that.
    After,
}

const WHOLE: u8 = 0;
const BEFORE: u8 = 1;
const AFTER: u8 = 2;
const GONE: u8 = 3;

/// A hub's share of it.
pub struct SharedLog {
    number: usize,
    common: Arc<Common>,
    tail: std::sync::Mutex<Option<mpsc::Receiver<TailItem>>>,
    cut: AtomicU8,
    /// Appends go one by one where the test has hold of them.
    gate: Semaphore,
    /// What comes by the tail goes one by one where the test has hold of it.
    tail_gate: Arc<Semaphore>,
    silent_millis: AtomicU64,
}

/// More appends than there are.
const MANY: usize = 1_000_000;

/// A log for each of so many hubs. Each gets everything by its tail, its own too.
pub fn shared_logs(hubs: usize) -> Vec<Arc<dyn EventLog>> {
    let logs = shared_logs_by(hubs, SystemClock::default());
    logs.into_iter().map(|log| -> Arc<dyn EventLog> { log }).collect()
}

/// The same, with leases by this clock.
pub fn shared_logs_by(hubs: usize, clock: impl Clock) -> Vec<Arc<SharedLog>> {
    let log = MemoryLog::new(&HubLimits::default());
    let mut source = log.take_tail().unwrap();
    let common = Arc::new(Common {
        log,
        clock: Arc::new(clock),
        order: AtomicU64::new(0),
        tails: std::sync::Mutex::default(),
        kept: Mutex::default(),
    });
    let logs = (0..hubs).map(|_| SharedLog::of(&common)).collect();
    tokio::spawn(async move {
        while let Some(item) = source.recv().await {
            let tails = common.tails.lock().unwrap().clone();
            for tail in &tails {
                let _ = tail.send(item.clone()).await;
            }
        }
    });
    logs
}

impl Common {
    fn now(&self) -> i64 {
        self.clock.now().as_millis()
    }

    async fn position(&self, pipeline: &PipelineId) -> Result<Option<Cursor>, LogError> {
        let there = self.log.stored(pipeline).await?;
        Ok(there.map(|stored| Cursor { epoch: stored.state.epoch, seq: stored.state.seq }))
    }

    /// As the pipeline is, with the owners of its open files, which the log in memory does not keep.
    async fn stored(&self, pipeline: &PipelineId) -> Result<Option<Stored>, LogError> {
        let Some(mut stored) = self.log.stored(pipeline).await? else { return Ok(None) };
        let mut cursor = Cursor { epoch: stored.state.epoch.clone(), seq: stored.first - 1 };
        let mut owners = HashMap::new();
        while let Page::Records(records) = self.log.read(pipeline, &cursor, 512).await? {
            let Some(last) = records.last() else { break };
            cursor.seq = last.seq;
            for record in &records {
                if let Some(file) = record.event.file() {
                    owners.insert(file.id.clone(), record.reporter.clone());
                }
            }
        }
        for file in &mut stored.open {
            file.owner = owners.remove(&file.id).flatten();
        }
        Ok(Some(stored))
    }
}

impl Kept {
    /// Whether the conditions hold.
    fn hold(&self, pipeline: &PipelineId, leases: &[OfLease], now: i64) -> bool {
        let none = BTreeMap::new();
        let due = self.due.get(pipeline).unwrap_or(&none);
        leases.iter().all(|lease| match lease {
            OfLease::Lapsed(who) => due.get(who).is_some_and(|(ends, _)| *ends <= now),
            OfLease::Alone(who) => due.keys().all(|other| other == who),
            OfLease::Renew(..) | OfLease::Leave(_) => true,
        })
    }

    fn change(&mut self, pipeline: &PipelineId, leases: &[OfLease], now: i64) {
        let due = self.due.entry(pipeline.clone()).or_default();
        for lease in leases {
            match lease {
                OfLease::Renew(who, seconds) => {
                    due.insert(who.clone(), (now + i64::from(*seconds) * 1_000, *seconds));
                }
                OfLease::Lapsed(who) | OfLease::Leave(who) => {
                    due.remove(who);
                }
                OfLease::Alone(_) => {}
            }
        }
    }
}

impl SharedLog {
    fn of(common: &Arc<Common>) -> Arc<Self> {
        let (tail, mut source) = mpsc::channel(1_024);
        let (through, receiver) = mpsc::channel(1_024);
        let tail_gate = Arc::new(Semaphore::new(MANY));
        let opens = tail_gate.clone();
        tokio::spawn(async move {
            while let Some(item) = source.recv().await {
                if let Ok(permit) = opens.acquire().await {
                    permit.forget();
                }
                if through.send(item).await.is_err() {
                    return;
                }
            }
        });
        let mut tails = common.tails.lock().unwrap();
        tails.push(tail);
        Arc::new(Self {
            number: tails.len() - 1,
            common: common.clone(),
            tail: std::sync::Mutex::new(Some(receiver)),
            cut: AtomicU8::new(WHOLE),
            gate: Semaphore::new(MANY),
            tail_gate,
            silent_millis: AtomicU64::new(0),
        })
    }

    /// From now on the hub is not told what was appended.
    pub fn hold_tail(&self) {
        self.tail_gate.forget_permits(MANY);
    }

    /// The hub is told what was held.
    pub fn let_tail_go(&self) {
        self.tail_gate.forget_permits(MANY);
        self.tail_gate.add_permits(MANY);
    }

    /// A share for a hub that starts now. Nothing may be under way.
    pub fn another(&self) -> Arc<Self> {
        Self::of(&self.common)
    }

    /// Cuts the hub off.
    pub fn cut(&self, how: Cut) {
        self.cut.store(if how == Cut::Before { BEFORE } else { AFTER }, Ordering::SeqCst);
        self.gate.add_permits(1);
    }

    /// Whether the hub has been cut off.
    pub fn is_cut(&self) -> bool {
        self.cut.load(Ordering::SeqCst) != WHOLE
    }

    /// From now on appends wait, after they were planned.
    pub fn hold(&self) {
        self.gate.forget_permits(MANY);
    }

    /// Lets one go on.
    pub fn let_one_go(&self) {
        self.gate.add_permits(1);
    }

    /// Lets all go on.
    pub fn let_go(&self) {
        self.gate.forget_permits(MANY);
        self.gate.add_permits(MANY);
    }

    /// The next place in one order of all that tests look at.
    pub fn order(&self) -> u64 {
        self.common.order.fetch_add(1, Ordering::SeqCst)
    }

    /// What was appended, in order.
    pub async fn journal(&self) -> Vec<Entry> {
        self.common.kept.lock().await.journal.clone()
    }

    /// The store has not answered for so long; zero: it answers.
    pub fn be_silent(&self, millis: u64) {
        self.silent_millis.store(millis, Ordering::SeqCst);
    }

    /// Who is cut off waits for ever.
    async fn there(&self) -> Result<(), LogError> {
        if self.cut.load(Ordering::SeqCst) == GONE {
            std::future::pending::<()>().await;
        }
        if self.silent_for().is_some() { Err(silent()) } else { Ok(()) }
    }
}

fn silent() -> LogError {
    LogError { kind: LogErrorKind::Unavailable, doing: "read", cause: "the test says so".to_owned() }
}

#[async_trait]
impl EventLog for SharedLog {
    async fn seen(&self, pipeline: &PipelineId, ids: &[&str]) -> Result<Vec<bool>, LogError> {
        self.there().await?;
        self.common.log.seen(pipeline, ids).await
    }
    async fn append(&self, pipeline: &PipelineId, batches: Vec<Batch>) -> Result<Vec<Appended>, LogError> {
        let _kept = self.common.kept.lock().await;
        self.common.log.append(pipeline, batches).await
    }
    async fn append_on(
        &self,
        pipeline: &PipelineId,
        on: Option<&Cursor>,
        batches: Vec<Batch>,
        leases: &[OfLease],
    ) -> Result<Vec<Appended>, LogError> {
        self.there().await?;
        if let Ok(permit) = self.gate.acquire().await {
            permit.forget();
        }
        if self.cut.load(Ordering::SeqCst) == BEFORE {
            self.cut.store(GONE, Ordering::SeqCst);
        }
        self.there().await?;
        let mut kept = self.common.kept.lock().await;
        if self.common.position(pipeline).await?.as_ref() != on {
            return Err(LogError::moved());
        }
        let after = on.map_or(0, |on| on.seq);
        let now = self.common.now();
        if !kept.hold(pipeline, leases, now) {
            return Err(LogError::heard());
        }
        let appended =
            if batches.is_empty() { Vec::new() } else { self.common.log.append(pipeline, batches).await? };
        if let Some(there) = self.common.position(pipeline).await? {
            kept.change(pipeline, leases, now);
            let (order, leases) = (self.order(), leases.to_vec());
            kept.journal.push(Entry { order, at: now, hub: self.number, after, seq: there.seq, leases });
        }
        drop(kept);
        if self.cut.load(Ordering::SeqCst) == AFTER {
            self.cut.store(GONE, Ordering::SeqCst);
            self.there().await?;
        }
        Ok(appended)
    }
    fn is_shared(&self) -> bool {
        true
    }
    async fn lapsed(&self) -> Result<Vec<(PipelineId, Option<ReporterId>)>, LogError> {
        self.there().await?;
        let mut kept = self.common.kept.lock().await;
        let now = self.common.now();
        if kept.alive.is_none_or(|alive| now - alive > GAP_MILLIS) {
            let all = kept.due.values_mut().flat_map(BTreeMap::values_mut);
            all.for_each(|(ends, seconds)| *ends = now + i64::from(*seconds) * 1_000);
        }
        kept.alive = kept.alive.max(Some(now));
        let all =
            kept.due.iter().flat_map(|(id, due)| due.iter().map(move |(who, (ends, _))| (id, who, ends)));
        Ok(all.filter(|(_, _, ends)| **ends <= now).map(|(id, who, _)| (id.clone(), who.clone())).collect())
    }
    async fn leases(&self, pipeline: &PipelineId) -> Result<Vec<HeldLease>, LogError> {
        self.there().await?;
        let kept = self.common.kept.lock().await;
        let now = self.common.now();
        let held = |(reporter, (ends, seconds)): (&Option<ReporterId>, &(i64, u32))| HeldLease {
            reporter: reporter.clone(),
            left: Duration::from_millis(u64::try_from(ends - now).unwrap_or(0)),
            seconds: *seconds,
        };
        Ok(kept.due.get(pipeline).map(|due| due.iter().map(held).collect()).unwrap_or_default())
    }
    fn silent_for(&self) -> Option<Duration> {
        let millis = self.silent_millis.load(Ordering::SeqCst);
        (millis > 0).then(|| Duration::from_millis(millis))
    }
    async fn stored(&self, pipeline: &PipelineId) -> Result<Option<Stored>, LogError> {
        self.there().await?;
        self.common.stored(pipeline).await
    }
    async fn read(&self, pipeline: &PipelineId, after: &Cursor, limit: usize) -> Result<Page, LogError> {
        self.there().await?;
        self.common.log.read(pipeline, after, limit).await
    }
    async fn extent(&self, pipeline: &PipelineId, after: &Cursor, last: u64) -> Result<Extent, LogError> {
        self.there().await?;
        self.common.log.extent(pipeline, after, last).await
    }
    async fn files(&self, pipeline: &PipelineId, query: FilesQuery) -> Result<Option<FilesPage>, LogError> {
        self.common.log.files(pipeline, query).await
    }
    async fn history(&self, id: &PipelineId, query: HistoryQuery) -> Result<Option<HistoryPage>, LogError> {
        self.there().await?;
        self.common.log.history(id, query).await
    }
    async fn load(&self) -> Result<Vec<Stored>, LogError> {
        let mut all = Vec::new();
        for stored in self.common.log.load().await? {
            all.extend(self.common.stored(&stored.state.pipeline_id).await?);
        }
        Ok(all)
    }
    async fn forget(&self, pipeline: &PipelineId) -> Result<(), LogError> {
        let mut kept = self.common.kept.lock().await;
        kept.due.remove(pipeline);
        self.common.log.forget(pipeline).await
    }
    async fn forget_on(&self, pipeline: &PipelineId, on: &Cursor) -> Result<(), LogError> {
        self.there().await?;
        let mut kept = self.common.kept.lock().await;
        match self.common.position(pipeline).await? {
            None => return Ok(()),
            Some(there) if there == *on => {}
            Some(_) => return Err(LogError::moved()),
        }
        kept.due.remove(pipeline);
        self.common.log.forget(pipeline).await
    }
    fn take_tail(&self) -> Option<mpsc::Receiver<TailItem>> {
        self.tail.lock().unwrap().take()
    }
    async fn close(&self) {}
}
