//! How a reporter is set up.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ragpulse_protocol::ids::InvalidName;
use ragpulse_protocol::limits::{DEFAULT_LEASE_SECONDS, MAX_LEASE_SECONDS};
use ragpulse_protocol::{PipelineId, PipelineType, ReporterId};

use super::driver::{Sender, drive};
use super::encode::{Encoder, MAX_BYTES};
use super::error::ReportError;
use super::handle::Reporter;
use super::machine::Machine;
use super::queue::Queue;
use super::shared::Shared;
use super::spool::{Settings, Spool};
use super::status::Rejected;
use crate::backoff::{Backoff, chance};
use crate::endpoint::Endpoint;
use crate::token::{Given, TokenSource};

/// How many events a reporter holds unless told otherwise.
pub const DEFAULT_QUEUE_CAPACITY: usize = 10_000;
/// How many bytes of events a reporter holds unless told otherwise: 32 MiB.
pub const DEFAULT_QUEUE_BYTES: usize = 32 * 1024 * 1024;

/// How many bytes a spool holds unless told otherwise: 256 MiB.
pub const DEFAULT_SPOOL_BYTES: u64 = 256 * 1024 * 1024;
/// The smallest spool: 1 MiB, so that it holds the largest event beside what it has to carry on.
const MIN_SPOOL_BYTES: u64 = 1024 * 1024;

/// Sets up a [`Reporter`]. Made by [`Reporter::builder`].
#[must_use = "a reporter is made by `.build()`"]
pub struct ReporterBuilder {
    url: String,
    token: Given,
    pipeline: Option<Result<(PipelineId, PipelineType), InvalidName>>,
    reporter_id: Option<Result<ReporterId, InvalidName>>,
    queue_capacity: usize,
    queue_bytes: usize,
    lease_seconds: u32,
    request_timeout: Duration,
    backoff: (Duration, Duration),
    drop_deadline: Duration,
    spool: Option<PathBuf>,
    spool_bytes: u64,
    spool_sync: bool,
    on_rejected: Option<Box<dyn Fn(Rejected) + Send + Sync>>,
}

impl std::fmt::Debug for ReporterBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReporterBuilder").field("pipeline", &self.pipeline).finish_non_exhaustive()
    }
}

impl ReporterBuilder {
    pub(crate) fn new(url: String, token: Given) -> Self {
        Self {
            url,
            token,
            pipeline: None,
            reporter_id: None,
            queue_capacity: DEFAULT_QUEUE_CAPACITY,
            queue_bytes: DEFAULT_QUEUE_BYTES,
            lease_seconds: DEFAULT_LEASE_SECONDS,
            request_timeout: Duration::from_secs(15),
            backoff: (Duration::from_millis(250), Duration::from_secs(30)),
            drop_deadline: Duration::from_secs(2),
            spool: None,
            spool_bytes: DEFAULT_SPOOL_BYTES,
            spool_sync: false,
            on_rejected: None,
        }
    }

    /// The token, sent as `Authorization: Bearer`. Default: none. For one that ends before the pipeline does, take
    /// [`token_source`](Self::token_source); the later call of the two holds.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Given::Fixed(token.into());
        self
    }

    /// Where tokens come from: an async closure, a [`TokenFile`](crate::TokenFile), or another [`TokenSource`]. It is asked
    /// before a request, by the task that sends, where there is no token yet, where the last one ends within 30 s, and where
    /// the hub answered 401 to it, upon which the request goes again at once. While it gives none, events wait as they do
    /// while the hub is away.
    pub fn token_source(mut self, source: impl TokenSource) -> Self {
        self.token = Given::Source(Arc::new(source));
        self
    }

    /// The pipeline to report for, and its kind. Required. Names match `[A-Za-z0-9._-]{1,128}`.
    pub fn pipeline(mut self, id: impl AsRef<str>, kind: impl AsRef<str>) -> Self {
        self.pipeline =
            Some(PipelineId::new(id).and_then(|id| PipelineType::new(kind).map(|kind| (id, kind))));
        self
    }

    /// The name of this reporter among those of its pipeline. Default: random, so that forked workers and rolling
    /// deploys share a pipeline; with a [spool](Self::spool), the one that stands there. Names match `[A-Za-z0-9._-]{1,128}`.
    pub fn reporter_id(mut self, id: impl AsRef<str>) -> Self {
        self.reporter_id = Some(ReporterId::new(id));
        self
    }

    /// How many events are held while the hub is slow or away, at least 1. Default [`DEFAULT_QUEUE_CAPACITY`].
    pub fn queue_capacity(mut self, events: usize) -> Self {
        self.queue_capacity = events;
        self
    }

    /// How many bytes of events are held, at least 512,000, which is the largest event. Default [`DEFAULT_QUEUE_BYTES`].
    pub fn queue_bytes(mut self, bytes: usize) -> Self {
        self.queue_bytes = bytes;
        self
    }

    /// After how many seconds of silence the hub counts this reporter as lost, 1 to 86,400. Default 120. A heartbeat is
    /// sent when nothing else was for a third of it.
    pub fn lease_seconds(mut self, seconds: u32) -> Self {
        self.lease_seconds = seconds;
        self
    }

    /// How long one request may take. Default 15 s.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// How long to wait after the first failure, and at most after many; each wait is shortened by chance to between half
    /// and all of it. Default 250 ms and 30 s.
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.backoff = (first, longest);
        self
    }

    /// How long a reporter that is dropped without [`close`](Reporter::close) goes on sending what it holds, while its
    /// runtime lives. Default 2 s.
    pub fn drop_deadline(mut self, deadline: Duration) -> Self {
        self.drop_deadline = deadline;
        self
    }

    /// Keeps every event that must arrive in this directory too, until the hub has answered for it. Default: none.
    ///
    /// So it loses none while the hub is away for longer than the queue holds, nor when the process is killed: the next
    /// reporter on the same spool sends what is left, first and with the ids and times of before, so that nothing is
    /// doubled either. It also has the same [`reporter_id`](Self::reporter_id) from then on, unless one was chosen, and so
    /// the same lease. Files that the earlier process was working on end as `Interrupted` after
    /// [`lease_seconds`](Self::lease_seconds), as the hub would have ended them, but for those that are reported on
    /// (begun again or ended) before. Progress is not kept: of it only the latest counts.
    ///
    /// The directory is made if there is none, and belongs to one pipeline and one reporter at a time: give each process
    /// its own. It has to be on a local disk. See [`SpoolError`](super::SpoolError) for what `build` refuses.
    pub fn spool(mut self, directory: impl Into<PathBuf>) -> Self {
        self.spool = Some(directory.into());
        self
    }

    /// How many bytes the spool may take on the disk, at least 1 MiB; then the queue counts as full. Default
    /// [`DEFAULT_SPOOL_BYTES`]. An interrupted file and `pipeline:offline` may go past it.
    pub fn spool_bytes(mut self, bytes: u64) -> Self {
        self.spool_bytes = bytes;
        self
    }

    /// Whether an event has to be on the disk before it counts as taken. Default: no. Without it the spool survives the
    /// death of the process, but a loss of power or a crash of the operating system may cost the last seconds; with it each
    /// `report` waits for the disk, and so does `try_report`.
    pub fn spool_sync(mut self, sync: bool) -> Self {
        self.spool_sync = sync;
        self
    }

    /// Called with each event that the hub refuses for good, from the task that sends: it must not block. Default: none;
    /// such events are logged and counted in any case.
    pub fn on_rejected(mut self, callback: impl Fn(Rejected) + Send + Sync + 'static) -> Self {
        self.on_rejected = Some(Box::new(callback));
        self
    }

    /// Makes the reporter and spawns the task that sends. Nothing is sent until something is reported, but for what an
    /// earlier reporter left in the spool.
    ///
    /// # Errors
    /// When a setting is wrong, outside of a tokio runtime, or when the spool cannot be used. The hub need not be there. A
    /// spool is read whole, which takes up to a few seconds for a full one.
    pub fn build(self) -> Result<Reporter, ReportError> {
        let (pipeline_id, pipeline_type) = self.pipeline.ok_or(ReportError::NoPipeline)??;
        let chosen = self.reporter_id.transpose()?;
        check("queue_capacity", self.queue_capacity, self.queue_capacity >= 1, "at least 1")?;
        check("queue_bytes", self.queue_bytes, self.queue_bytes >= MAX_BYTES, "at least 512000")?;
        let lease = self.lease_seconds;
        check("lease_seconds", lease, (1..=MAX_LEASE_SECONDS).contains(&lease), "1 to 86400")?;
        let (first, longest) = self.backoff;
        check("backoff", format!("{first:?}"), !first.is_zero() && first <= longest, "more than 0, rising")?;
        let timeout = self.request_timeout;
        check("request_timeout", format!("{timeout:?}"), !timeout.is_zero(), "more than 0")?;
        let spool_bytes = self.spool_bytes;
        check("spool_bytes", spool_bytes, spool_bytes >= MIN_SPOOL_BYTES, "at least 1048576")?;

        let renews = self.token.is_source();
        let endpoint = Endpoint::new(&self.url, self.token, timeout)?;
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| ReportError::NoRuntime)?;
        let client = endpoint.client(timeout)?;
        let random_id = || format!("r-{}", random_name());
        let spool = match self.spool {
            Some(path) => {
                let settings = Settings { path, max_bytes: spool_bytes, sync: self.spool_sync };
                let chosen = chosen.as_ref().map(ReporterId::as_str);
                Some(Spool::open(settings, pipeline_id.as_str(), chosen, random_id)?)
            }
            None => None,
        };
        let reporter_id = match (&spool, chosen) {
            (Some(spool), _) => ReporterId::new(&spool.identity().reporter_id)?,
            (None, Some(chosen)) => chosen,
            (None, None) => ReporterId::new(random_id())?,
        };
        let lease_time = Duration::from_secs(u64::from(lease));
        let mut machine = Machine::new(
            Queue::new(self.queue_capacity, self.queue_bytes),
            // Random also with a spool, so that no life of the reporter has the ids of another.
            Encoder::new(random_name(), pipeline_type, lease),
            Backoff::new(first, longest, chance()),
            lease_time / 3,
        );
        machine.set_renews(renews);
        if spool.as_ref().is_some_and(|spool| !spool.orphans().is_empty()) {
            machine.end_orphans_at(lease_time);
        }
        let shared = Arc::new(Shared::new(machine, spool, runtime.clone(), self.on_rejected));
        let sender = Sender {
            client,
            url: endpoint.events(&pipeline_id),
            endpoint,
            reporter_id: reporter_id.as_str().to_owned(),
        };
        runtime.spawn(drive(Arc::clone(&shared), sender));
        Ok(Reporter::new(shared, pipeline_id, reporter_id, self.drop_deadline))
    }
}

fn check(
    setting: &'static str,
    given: impl ToString,
    good: bool,
    allowed: &'static str,
) -> Result<(), ReportError> {
    if good { Ok(()) } else { Err(ReportError::Setting { setting, given: given.to_string(), allowed }) }
}

/// 128 bits of chance. Ids made from it must never meet those of another process, because a hub would take the events
/// for ones it has: so it comes from the keys that the operating system gives to hash maps, not from the time.
fn random_name() -> String {
    use std::hash::{BuildHasher, RandomState};
    let word = || RandomState::new().hash_one(std::process::id());
    format!("{:016x}{:016x}", word(), word())
}
