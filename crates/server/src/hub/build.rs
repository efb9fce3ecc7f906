//! Building a hub: the handle, the router and the Socket.IO layer, wired but not listening.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use parking_lot::Mutex;
use ragpulse_protocol::Cursor;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{Hub, Inner, Places, Registry, feed, look, rights, sweep, tail, writer};
use crate::auth::{Authoriser, Open, Passes};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, ConfigError, HubLimits};
use crate::limits::rate::{Rate, Throttle};
use crate::log::{EventLog, LogError, LogWatch, MemoryLog, Page, Record, Stored};
use crate::metrics::Metrics;
use crate::metrics::process::resident_bytes;
use crate::transport::{self, HubLayer};

/// How many events of all pipelines are read into memory when a hub starts …
const WARM_EVENTS: usize = 262_144;
/// … and how many bytes of them.
const WARM_BYTES: usize = 256 * 1024 * 1024;
/// How many events are read at once then.
const WARM_PAGE: usize = 512;

/// Sets up a hub.
#[derive(Default)]
pub struct HubBuilder {
    config: Config,
    log: Option<Arc<dyn EventLog>>,
    clock: Option<Arc<dyn Clock>>,
    authoriser: Option<Arc<dyn Authoriser>>,
}

/// A hub that is ready: merge the router, put the layer around, keep the handle.
pub struct HubParts {
    /// The HTTP routes, doors included.
    pub router: axum::Router,
    /// Socket.IO, doors included: `Router::layer` it around your application.
    pub layer: HubLayer,
    /// The handle.
    pub hub: Hub,
}

/// Why a hub was not built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A setting makes no sense.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// There is no tokio runtime to run the hub's tasks on.
    #[error("a hub has to be built within a tokio runtime")]
    NoRuntime,
    /// The log could not be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The log's tail was taken before: a log belongs to one hub.
    #[error("this log belongs to another hub")]
    LogInUse,
}

impl HubBuilder {
    /// The settings. Default: [`Config::default`].
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// The log. Default: a [`MemoryLog`].
    #[must_use]
    pub fn log(mut self, log: Arc<dyn EventLog>) -> Self {
        self.log = Some(log);
        self
    }

    /// The clock. Default: the machine's.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// Who may do what. Default: everybody everything.
    #[must_use]
    pub fn authoriser(mut self, authoriser: impl Authoriser) -> Self {
        self.authoriser = Some(Arc::new(authoriser));
        self
    }

    /// Builds a hub on a log that is empty, such as a fresh [`MemoryLog`].
    ///
    /// # Errors
    /// [`BuildError`], when a setting makes no sense or there is no runtime.
    pub fn build(self) -> Result<HubParts, BuildError> {
        self.build_from(Vec::new())
    }

    /// Reads what the log holds, and builds the hub on it.
    ///
    /// # Errors
    /// [`BuildError`], also when the log cannot be read.
    pub async fn open(self) -> Result<HubParts, BuildError> {
        let stored = match &self.log {
            Some(log) => warm(log.as_ref(), &self.config.limits).await?,
            None => Vec::new(),
        };
        self.build_from(stored)
    }

    fn build_from(self, stored: Vec<Warm>) -> Result<HubParts, BuildError> {
        let config = self.config;
        config.check()?;
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| BuildError::NoRuntime)?;
        let log = self.log.unwrap_or_else(|| Arc::new(MemoryLog::new(&config.limits)));
        let clock = self.clock.unwrap_or_else(|| Arc::new(SystemClock::default()));
        let authoriser = self.authoriser.unwrap_or_else(|| Arc::new(Open));
        let tail = log.take_tail().ok_or(BuildError::LogInUse)?;
        let now = clock.now();

        let count = std::thread::available_parallelism().map_or(1, usize::from).min(8);
        let (writers, queues): (Vec<_>, Vec<_>) =
            (0..count).map(|_| mpsc::channel(config.limits.ingest_queue)).unzip();
        let metrics = Arc::new(Metrics::new(config.limits.connections));
        log.watched_by(LogWatch(metrics.clone()));
        let registry = Registry::new(&config.limits, &metrics);
        let mut desks: Vec<Vec<_>> = (0..count).map(|_| Vec::new()).collect();
        for (stored, records) in stored {
            let id = stored.state.pipeline_id.clone();
            desks[writer::shard(&id, count)]
                .push((id.clone(), writer::restore(&stored, &config, log.is_shared(), now)));
            registry.get_or_open(&id).restore(stored.state, records);
        }
        registry.retire(now, config.limits.offline_days);
        let limits = &config.limits;
        let places = Places::new(limits, &metrics);
        let reporters = Throttle::new(Rate::new(limits.reporter_events_per_second, limits.batch_events));
        let socket_rate = Rate::new(limits.socket_messages_per_second, 1);
        let hub = Hub(Arc::new(Inner {
            advice: Mutex::new(config.advice()),
            config,
            log,
            clock,
            authoriser,
            passes: Passes::default(),
            review: Notify::new(),
            registry,
            metrics,
            places,
            reporters,
            socket_rate,
            started: now,
            writers,
            sweeper: sweep::Paused::default(),
            hungry: sweep::Paused::default(),
            closing: watch::Sender::new(false),
            closed: AtomicBool::new(false),
            end: CancellationToken::new(),
            socket: Mutex::new(None),
            next_outlet: AtomicU64::new(1),
        }));
        let (layer, socket) = transport::socket(&hub);
        runtime.spawn(socket.flusher().run(hub.0.end.clone()));
        *hub.0.socket.lock() = Some(socket);

        for (queue, desks) in queues.into_iter().zip(desks) {
            runtime.spawn(writer::run(hub.0.clone(), queue, desks));
        }
        runtime.spawn(tail::run(hub.0.clone(), tail));
        runtime.spawn(sweep::run(hub.0.clone()));
        runtime.spawn(feed::run(hub.0.clone()));
        runtime.spawn(rights::run(hub.0.clone()));
        runtime.spawn(heartbeats(hub.0.clone()));
        if hub.0.log.is_shared() {
            runtime.spawn(look::run(hub.0.clone()));
        }
        Ok(HubParts { router: transport::router(&hub), layer, hub })
    }
}

/// A pipeline as the log knew it, and its last events.
type Warm = (Stored, Vec<Arc<Record>>);

/// Reads what the log holds, and the last events of each pipeline into memory: after a restart everybody comes back at
/// once, and their replays are not to wait for a disk. The pipelines that were active last come first, within bounds.
async fn warm(log: &dyn EventLog, limits: &HubLimits) -> Result<Vec<Warm>, LogError> {
    let mut stored = log.load().await?;
    stored.sort_unstable_by_key(|stored| std::cmp::Reverse(stored.state.last_activity));
    let (mut events, mut bytes) = (WARM_EVENTS, WARM_BYTES);
    let mut warm = Vec::with_capacity(stored.len());
    for stored in stored {
        let records = last_events(log, &stored, limits.ring_events.min(events), limits.ring_bytes.min(bytes));
        let records = records.await?;
        events -= records.len();
        bytes = bytes.saturating_sub(records.iter().map(|record| record.size()).sum());
        warm.push((stored, records));
    }
    Ok(warm)
}

/// The last events of a pipeline, without holes and within bounds.
async fn last_events(
    log: &dyn EventLog,
    stored: &Stored,
    most: usize,
    most_bytes: usize,
) -> Result<Vec<Arc<Record>>, LogError> {
    if most_bytes == 0 {
        return Ok(Vec::new());
    }
    let end = stored.state.seq;
    let most = u64::try_from(most).unwrap_or(u64::MAX);
    let seq = end.saturating_sub(most).max(stored.first.saturating_sub(1));
    let mut cursor = Cursor { epoch: stored.state.epoch.clone(), seq };
    let mut records: VecDeque<Arc<Record>> = VecDeque::new();
    let mut bytes = 0;
    while cursor.seq < end {
        // Never beyond the state: another hub may append meanwhile, and what follows the state comes by the tail.
        let page = WARM_PAGE.min(usize::try_from(end - cursor.seq).unwrap_or(WARM_PAGE));
        match log.read(&stored.state.pipeline_id, &cursor, page).await? {
            Page::Records(page) if !page.is_empty() => {
                cursor.seq += page.len() as u64;
                bytes += page.iter().map(|record| record.size()).sum::<usize>();
                records.extend(page);
                while bytes > most_bytes
                    && let Some(oldest) = records.pop_front()
                {
                    bytes -= oldest.size();
                }
            }
            // The store trims what is old also while a hub starts. A part that does not reach the end is of no use: the
            // next event would not follow it.
            _ => return Ok(Vec::new()),
        }
    }
    Ok(records.into())
}

/// Signs of life to subscribers, and now and then a look for what is held for nobody: ids, rates of reporters that rest, and
/// the places in lists of pipelines that have been offline for long.
async fn heartbeats(hub: Arc<Inner>) {
    let period = hub.config.heartbeat();
    let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + period, period);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = hub.end.cancelled() => return,
        }
        let now = hub.clock.now();
        let uptime = Duration::from_millis(now.millis_since(hub.started).unsigned_abs()).as_secs_f64();
        let memory = resident_bytes();
        for (number, room) in hub.registry.known().into_iter().enumerate() {
            room.heartbeat(now, uptime, memory);
            if number % 64 == 63 {
                tokio::task::yield_now().await;
            }
        }
        hub.registry.sweep();
        hub.registry.retire(now, hub.config.limits.offline_days);
        hub.reporters.sweep(hub.clock.steady());
        hub.metrics.settle(now);
    }
}
