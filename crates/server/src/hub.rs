//! The hub: one handle, the rooms of its pipelines, and the tasks that move data between them.
//!
//! [`writer`] is the only one that appends to the log; [`tail`] the only one that moves what was appended into
//! [`room`]s; [`sweep`] continues subscribers whose buffers were full.

mod build;
mod feed;
mod look;
mod outlet;
mod places;
mod reach;
mod read;
mod registry;
mod reports;
mod rights;
mod ring;
mod room;
mod snapshot;
mod stats;
mod sweep;
mod sync;
mod tail;
#[cfg(test)]
mod tests;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use ragpulse_protocol::command::{ClientStatus, PublishReceipt, SubscribedPipeline};
use ragpulse_protocol::{Code, PipelineId, PipelineStatus, PipelineType, Problem, ReporterId, Timestamp};
use serde_json::Value;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::auth::{Act, Authoriser, Caller, Passes};
use crate::clock::Clock;
use crate::config::{Advice, Config, ConfigError};
use crate::guard::PipelineBuilder;
use crate::ingest;
use crate::limits::AtLimit;
use crate::limits::rate::{Rate, Throttle};
use crate::log::EventLog;
use crate::metrics::table::{Batch, ReportedEvent, Transport};
use crate::metrics::{Metrics, batch_of};
use crate::request_id::RequestId;
use crate::transport::SocketEnd;

pub use build::{BuildError, HubBuilder, HubParts};
pub(crate) use outlet::{Dialect, Outlet, Sent, Shared};
pub(crate) use places::{Place, Places};
pub(crate) use reach::{AGAIN, behind};
pub(crate) use read::Found;
pub(crate) use registry::{Registry, Scope};
pub(crate) use reports::Way;
pub use reports::{ClientReports, FallbacksByCause, LATENCY_BOUNDS_MS, LatencyHistogram, ReportsByTransport};
pub(crate) use room::{Question, Read, Room};
pub(crate) use snapshot::fitted;
pub use stats::Stats;
pub(crate) use writer::{store_problem, unknown_pipeline};

/// How long an acknowledgement waits at most until what it acknowledges can be seen on this node.
const VISIBLE_WITHIN: Duration = Duration::from_millis(250);

/// A handle to a hub: cheap to clone, alive as long as any clone or task of it.
#[derive(Clone)]
pub struct Hub(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) authoriser: Arc<dyn Authoriser>,
    pub(crate) passes: Passes,
    review: Notify,
    pub(crate) registry: Registry,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) places: Arc<Places>,
    /// How fast each reporter of a pipeline may report.
    reporters: Throttle,
    /// How fast each socket may speak.
    pub(crate) socket_rate: Rate,
    advice: Mutex<Advice>,
    pub(crate) started: Timestamp,
    pub(crate) writers: Vec<mpsc::Sender<writer::Command>>,
    pub(crate) sweeper: sweep::Paused,
    /// Followers that wait for the log.
    pub(crate) hungry: sweep::Paused,
    /// True from the moment that the hub begins to close: ingest refuses, held requests are answered.
    closing: watch::Sender<bool>,
    closed: AtomicBool,
    /// Ends the hub's tasks.
    pub(crate) end: CancellationToken,
    socket: Mutex<Option<SocketEnd>>,
    next_outlet: AtomicU64,
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").field("pipelines", &self.0.registry.len()).finish_non_exhaustive()
    }
}

impl Hub {
    /// Begins to build a hub.
    pub fn builder() -> HubBuilder {
        HubBuilder::default()
    }

    /// A pipeline to report from within this process, with its own lease.
    ///
    /// # Errors
    /// A problem with the code `invalid_name`.
    pub fn pipeline(&self, id: &str, pipeline_type: &str) -> Result<PipelineBuilder, Problem> {
        let invalid = |error: ragpulse_protocol::ids::InvalidName| {
            Problem::new(Code::InvalidName, format!("Cannot report: {error}."))
        };
        let id = PipelineId::new(id).map_err(invalid)?;
        let pipeline_type = PipelineType::new(pipeline_type).map_err(invalid)?;
        Ok(PipelineBuilder::new(self.clone(), id, pipeline_type))
    }

    /// The state of a pipeline right now; `None` when there is no such pipeline.
    pub fn state(&self, pipeline: &PipelineId) -> Option<PipelineStatus> {
        self.0.registry.get(pipeline)?.state()
    }

    /// The pipelines there are.
    pub fn pipelines(&self) -> Vec<PipelineId> {
        self.0.registry.known().iter().map(|room| room.id.clone()).collect()
    }

    /// Counts since the hub was built.
    pub fn stats(&self) -> Stats {
        Stats::of(&self.0.metrics, &self.0.registry)
    }

    /// What clients reported of how they fare, since the hub was built. The counts have a fixed size, and no text of a
    /// client is in them.
    pub fn client_reports(&self) -> ClientReports {
        ClientReports::read(&self.0.metrics)
    }

    /// Takes a client's report of how it fares.
    pub(crate) fn hear_client(&self, status: &ClientStatus, way: Way) {
        tracing::debug!(client = %status.client_id, status = %status.status, ?way, "client:status");
        reports::add(&self.0.metrics, status, way);
    }

    /// How clients are told to follow: as the settings say, unless it was [set](Self::set_advice) since.
    pub fn advice(&self) -> Advice {
        *self.0.advice.lock()
    }

    /// Changes how clients are told to follow, from the next `GET /api/socket/info` and `GET /api/rag-status` on. Those
    /// that are connected learn of it when they ask again; nobody is cut. A restart forgets it.
    ///
    /// # Errors
    /// When the percentage is beyond 100; then nothing changes.
    pub fn set_advice(&self, advice: Advice) -> Result<(), ConfigError> {
        advice.check()?;
        *self.0.advice.lock() = advice;
        Ok(())
    }

    /// Has what goes on looked through at once, and thoroughly: after a change of keys, or when a session has ended. What
    /// is no longer allowed is ended; without this, what has expired or is no longer valid ends within a second, and what is
    /// merely allowed less when it is asked for again.
    pub fn review_rights(&self) {
        self.0.review.notify_one();
    }

    /// Takes events of a reporter, as JSON, in order: all of them or none.
    ///
    /// # Errors
    /// The problem, with the index and the field where one event is wrong.
    pub(crate) async fn publish(
        &self,
        caller: &Caller,
        pipeline: &PipelineId,
        reporter: Option<ReporterId>,
        events: Vec<Value>,
        request: &RequestId,
    ) -> Result<PublishReceipt, Problem> {
        if let Err(problem) = self.may(caller, Act::Report, Some(pipeline)) {
            self.0.metrics.ingest_batches.add(Batch::Refused, 1);
            return Err(problem);
        }
        if let Err(problem) = self.in_time(caller, pipeline, reporter.as_ref(), events.len()) {
            self.0.metrics.ingest_batches.add(Batch::Refused, 1);
            return Err(problem);
        }
        self.take_by(pipeline, reporter, events, request).await
    }

    /// Whether a reporter does not report faster than it may. Who names no reporter is known by the token, or else by the
    /// address.
    fn in_time(
        &self,
        caller: &Caller,
        pipeline: &PipelineId,
        reporter: Option<&ReporterId>,
        events: usize,
    ) -> Result<(), Problem> {
        let who = &caller.who;
        let address = caller.address.map(|address| address.neighbours());
        let address = address.filter(|_| who.name.is_empty() && who.token_id.is_none());
        let key = (pipeline, reporter, &who.name, &who.token_id, address);
        if self.0.reporters.take(key, events.max(1), self.0.clock.steady()) {
            return Ok(());
        }
        let most = self.0.config.limits.reporter_events_per_second;
        Err(crate::limits::exceeded(
            "reporter_events_per_second",
            format!(
                "A reporter reports at most {most} events a second, and this one reports more. Wait a second."
            ),
        ))
    }

    /// As [`publish`](Self::publish), for the host itself.
    pub(crate) async fn take(
        &self,
        pipeline: &PipelineId,
        reporter: Option<ReporterId>,
        events: Vec<Value>,
    ) -> Result<PublishReceipt, Problem> {
        let taken = self.take_by(pipeline, reporter, events, &RequestId::fresh()).await;
        taken.inspect_err(|problem| self.0.metrics.limited(problem))
    }

    async fn take_by(
        &self,
        pipeline: &PipelineId,
        reporter: Option<ReporterId>,
        events: Vec<Value>,
        request: &RequestId,
    ) -> Result<PublishReceipt, Problem> {
        let metrics = &self.0.metrics;
        let now = self.0.clock.now();
        tracing::debug!(request_id = %request, %pipeline, events = events.len(), "ingest");
        let mut events =
            ingest::admit_all(events, pipeline, now, &self.0.config.limits).inspect_err(|problem| {
                metrics.ingest_batches.add(Batch::Invalid, 1);
                tracing::debug!(request_id = %request, %pipeline, %problem, "refused");
            })?;
        for event in &mut events {
            metrics.events_in.add(ReportedEvent::of(&event.name), 1);
            event.request_id = Some(request.shared());
        }
        let receipt = self
            .ask(pipeline, |reply| {
                let publish = writer::Publish {
                    pipeline: pipeline.clone(),
                    reporter,
                    events,
                    received_at: now,
                    request_id: request.shared(),
                };
                writer::Command::Publish(publish, reply)
            })
            .await
            .inspect_err(|problem| {
                metrics.ingest_batches.add(batch_of(problem), 1);
                tracing::debug!(request_id = %request, %pipeline, %problem, "refused");
            })?;
        metrics.ingest_batches.add(Batch::Taken, 1);
        self.visible(pipeline, receipt.seq).await;
        Ok(receipt)
    }

    /// Forgets a pipeline and its history.
    pub(crate) async fn forget(&self, caller: &Caller, pipeline: &PipelineId) -> Result<(), Problem> {
        self.may(caller, Act::Forget, Some(pipeline))?;
        let requested_by = Some(caller.who.name.clone()).filter(|name| !name.is_empty());
        let result =
            self.ask(pipeline, |reply| writer::Command::Forget(pipeline.clone(), requested_by, reply)).await;
        caller.entry(Act::Forget.as_str(), Some(pipeline)).done(&result);
        result
    }

    async fn ask<T>(
        &self,
        pipeline: &PipelineId,
        command: impl FnOnce(oneshot::Sender<Result<T, Problem>>) -> writer::Command,
    ) -> Result<T, Problem> {
        if self.is_closing() {
            return Err(closing());
        }
        let (reply, answer) = oneshot::channel();
        // A full queue means that the log is slower than its reporters: they wait a little, then come back.
        let writer = &self.0.writers[writer::shard(pipeline, self.0.writers.len())];
        match tokio::time::timeout(Duration::from_secs(5), writer.send(command(reply))).await {
            Ok(Ok(())) => answer.await.unwrap_or_else(|_| Err(closing())),
            Ok(Err(_)) => Err(closing()),
            Err(_) => Err(Problem::new(
                Code::Overloaded,
                "The hub takes events more slowly than they come. Send this again in a few seconds.",
            )
            .at_limit("ingest_queue")),
        }
    }

    /// Waits, but not for long, until this node shows what was acknowledged, so that who asks next sees it.
    async fn visible(&self, pipeline: &PipelineId, seq: u64) {
        // The first event may not have reached its room yet.
        let room = self.0.registry.get_or_open(pipeline);
        let mut head = room.head();
        let _ = tokio::time::timeout(VISIBLE_WITHIN, head.wait_for(|head| *head >= seq)).await;
    }

    /// What has hold of Socket.IO, while it is there.
    pub(crate) fn socket_end<T>(&self, act: impl FnOnce(&SocketEnd) -> T) -> Option<T> {
        self.0.socket.lock().as_ref().map(act)
    }

    /// A place among the hub's connections, for something that stays.
    pub(crate) fn place(&self, transport: Transport, caller: &Caller) -> Result<Place, Problem> {
        self.0.places.enter(transport, caller)
    }

    /// Whether the hub has begun to close.
    pub fn is_closing(&self) -> bool {
        *self.0.closing.borrow()
    }

    /// For how many seconds the store has not answered, counted up; `None` while it does.
    pub(crate) fn stale_seconds(&self) -> Option<u64> {
        let silent = self.0.log.silent_for()?;
        Some(silent.as_secs() + u64::from(silent.subsec_nanos() > 0 || silent.is_zero()))
    }

    /// Has a follower that is behind continued soon.
    pub(crate) fn continue_soon(&self, room: &Arc<Room>, outlet: u64) {
        self.0.sweeper.add(room, outlet);
    }

    /// Asks the log whether it has what a subscriber missed, and has the subscriber continued by the answer.
    pub(crate) async fn settle(
        &self,
        room: &Arc<Room>,
        outlet: u64,
        question: &Question,
    ) -> SubscribedPipeline {
        if !question.beyond {
            return self.settle_missed(room, outlet, question).await;
        }
        match self.settle_beyond(room, outlet, question).await {
            Ok(answer) => answer,
            Err(left) => self.settle_missed(room, outlet, &left).await,
        }
    }

    /// As [`settle`](Self::settle), for one that is behind.
    async fn settle_missed(&self, room: &Arc<Room>, outlet: u64, question: &Question) -> SubscribedPipeline {
        let extent = self.0.log.extent(&room.id, &question.cursor, question.last).await;
        if let Err(error) = &extent {
            tracing::error!(%error, pipeline = %room.id, "a subscriber gets a state in place of a replay");
        }
        let answer = room.settle(outlet, question, &extent);
        self.continue_soon(room, outlet);
        answer
    }

    pub(crate) fn closing_signal(&self) -> watch::Receiver<bool> {
        self.0.closing.subscribe()
    }

    pub(crate) fn next_outlet_id(&self) -> u64 {
        self.0.next_outlet.fetch_add(1, Ordering::Relaxed)
    }

    /// Closes: refuses new events, appends what is held back, tells subscribers when to come back, ends every socket
    /// and held request, and returns within `deadline` whatever the peers do.
    pub async fn close(&self, deadline: Duration) {
        let started = tokio::time::Instant::now();
        self.0.closing.send_replace(true);
        if self.0.closed.swap(true, Ordering::SeqCst) {
            return;
        }
        let left = || deadline.saturating_sub(started.elapsed());
        for writer in &self.0.writers {
            let (reply, done) = oneshot::channel();
            let flushed = async {
                if writer.send(writer::Command::Flush(reply)).await.is_ok() {
                    let _ = done.await;
                }
            };
            let _ = tokio::time::timeout(left() / 4, flushed).await;
        }
        let socket = self.0.socket.lock().take();
        if let Some(socket) = &socket {
            socket.tell_closing(self.0.config.retry_after_ms);
        }
        // A moment for the buffers to drain; a peer that does not read is not waited for.
        tokio::time::sleep(left().min(Duration::from_millis(50))).await;
        if let Some(socket) = socket {
            let sockets = socket.sockets();
            // Some of the time is the log's, however long the peers take.
            if tokio::time::timeout(left() * 3 / 4, socket.close()).await.is_err() {
                tracing::warn!("some peers did not close in time and were left to the listener");
            }
            socket.forget(sockets);
        }
        self.0.registry.clear_outlets();
        self.0.end.cancel();
        if tokio::time::timeout(left(), self.0.log.close()).await.is_err() {
            tracing::warn!("the log was not closed in time; the next start takes a little longer");
        }
    }
}

pub(crate) fn closing() -> Problem {
    Problem::new(Code::Closing, "The hub is closing. Send this again when it is back.")
}
