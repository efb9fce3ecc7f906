//! How a reporter is set up.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::{Condvar, Mutex};
use ragpulse_protocol::ids::InvalidName;
use ragpulse_protocol::limits::{DEFAULT_LEASE_SECONDS, MAX_LEASE_SECONDS};
use ragpulse_protocol::{PipelineId, PipelineType, ReporterId};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::driver::{Sender, Shared, drive};
use super::encode::{Encoder, MAX_BYTES};
use super::error::ReportError;
use super::handle::Reporter;
use super::machine::Machine;
use super::queue::Queue;
use super::status::{Rejected, ReporterStatus};
use crate::backoff::{Backoff, chance};
use crate::endpoint::Endpoint;

/// How many events a reporter holds unless told otherwise.
pub const DEFAULT_QUEUE_CAPACITY: usize = 10_000;
/// How many bytes of events a reporter holds unless told otherwise: 32 MiB.
pub const DEFAULT_QUEUE_BYTES: usize = 32 * 1024 * 1024;

/// Sets up a [`Reporter`]. Made by [`Reporter::builder`].
#[must_use = "a reporter is made by `.build()`"]
pub struct ReporterBuilder {
    url: String,
    token: Option<String>,
    pipeline: Option<Result<(PipelineId, PipelineType), InvalidName>>,
    reporter_id: Option<Result<ReporterId, InvalidName>>,
    queue_capacity: usize,
    queue_bytes: usize,
    lease_seconds: u32,
    request_timeout: Duration,
    backoff: (Duration, Duration),
    drop_deadline: Duration,
    on_rejected: Option<Box<dyn Fn(Rejected) + Send + Sync>>,
}

impl std::fmt::Debug for ReporterBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReporterBuilder").field("pipeline", &self.pipeline).finish_non_exhaustive()
    }
}

impl ReporterBuilder {
    pub(crate) fn new(url: String, token: Option<String>) -> Self {
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
            on_rejected: None,
        }
    }

    /// The token, sent as `Authorization: Bearer`. Default: none.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// The pipeline to report for, and its kind. Required. Names match `[A-Za-z0-9._-]{1,128}`.
    pub fn pipeline(mut self, id: impl AsRef<str>, kind: impl AsRef<str>) -> Self {
        self.pipeline =
            Some(PipelineId::new(id).and_then(|id| PipelineType::new(kind).map(|kind| (id, kind))));
        self
    }

    /// The name of this reporter among those of its pipeline. Default: random, so that forked workers and rolling
    /// deploys share a pipeline. Names match `[A-Za-z0-9._-]{1,128}`.
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

    /// Called with each event that the hub refuses for good, from the task that sends: it must not block. Default: none;
    /// such events are logged and counted in any case.
    pub fn on_rejected(mut self, callback: impl Fn(Rejected) + Send + Sync + 'static) -> Self {
        self.on_rejected = Some(Box::new(callback));
        self
    }

    /// Makes the reporter and spawns the task that sends. Nothing is sent until something is reported.
    ///
    /// # Errors
    /// When a setting is wrong, or outside of a tokio runtime. The hub need not be there.
    pub fn build(self) -> Result<Reporter, ReportError> {
        let (pipeline_id, pipeline_type) = self.pipeline.ok_or(ReportError::NoPipeline)??;
        let reporter_id = match self.reporter_id {
            Some(id) => id?,
            None => ReporterId::new(format!("r-{}", random_name()))?,
        };
        check("queue_capacity", self.queue_capacity, self.queue_capacity >= 1, "at least 1")?;
        check("queue_bytes", self.queue_bytes, self.queue_bytes >= MAX_BYTES, "at least 512000")?;
        let lease = self.lease_seconds;
        check("lease_seconds", lease, (1..=MAX_LEASE_SECONDS).contains(&lease), "1 to 86400")?;
        let (first, longest) = self.backoff;
        check("backoff", format!("{first:?}"), !first.is_zero() && first <= longest, "more than 0, rising")?;
        let timeout = self.request_timeout;
        check("request_timeout", format!("{timeout:?}"), !timeout.is_zero(), "more than 0")?;

        let endpoint = Endpoint::new(&self.url, self.token)?;
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| ReportError::NoRuntime)?;
        let machine = Machine::new(
            Queue::new(self.queue_capacity, self.queue_bytes),
            Encoder::new(random_name(), pipeline_type, lease),
            Backoff::new(first, longest, chance()),
            Duration::from_secs(u64::from(lease)) / 3,
        );
        let status = ReporterStatus::of(&machine, Duration::ZERO, SystemTime::now());
        let shared = Arc::new(Shared {
            machine: Mutex::new(machine),
            wake: Notify::new(),
            room: Notify::new(),
            room_for_threads: Condvar::new(),
            status: watch::Sender::new(status),
            started: Instant::now(),
            on_rejected: self.on_rejected,
        });
        let sender = Sender {
            client: endpoint.client(timeout)?,
            url: endpoint.events(&pipeline_id),
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
