//! The writer: the only one that appends. It takes what was admitted, drops what was taken before, conflates progress,
//! keeps leases, or has the log keep them, and makes the events that only a hub can make.
//!
//! Pipelines are spread over a few writers; one pipeline always has the same, so its events need no lock.

mod catch_up;
mod desk;
mod forget;
mod lapse;
mod leases;
mod publish;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use ragpulse_protocol::command::PublishReceipt;
use ragpulse_protocol::{Code, Cursor, PipelineId, PipelineType, Problem, ReporterId, Timestamp};
use tokio::sync::{mpsc, oneshot};

use self::desk::Desk;
use super::Inner;
use crate::ingest::Admitted;
use crate::log::{Appended, Batch, LogError, LogErrorKind, NewRecord, OfLease};
use crate::metrics::cells::micros;
use crate::metrics::table::LogFailure;

/// How often leases are looked at.
const TICK: Duration = Duration::from_millis(250);
/// How many publishes are appended together at most …
const TOGETHER: usize = 64;
/// … and from how many events on no more are added to them.
const EVENTS_TOGETHER: usize = 2_000;
/// How often something is planned anew, where other hubs were quicker.
const TRIES: usize = 8;

/// What a writer is asked to do.
pub(crate) enum Command {
    Publish(Publish, oneshot::Sender<Result<PublishReceipt, Problem>>),
    Forget(PipelineId, Option<String>, oneshot::Sender<Result<(), Problem>>),
    /// Appends what is held back.
    Flush(oneshot::Sender<()>),
    /// Looks at pipelines for which nobody may report any more, by the leases that the log keeps.
    Look(Vec<(PipelineId, Silent)>),
}

/// A batch that was admitted.
#[derive(Clone)]
pub(crate) struct Publish {
    pub(crate) pipeline: PipelineId,
    pub(crate) reporter: Option<ReporterId>,
    pub(crate) events: Vec<Admitted>,
    pub(crate) received_at: Timestamp,
    /// The id of the request that brought it.
    pub(crate) request_id: Arc<str>,
}

/// Which of `count` writers a pipeline has.
pub(crate) fn shard(pipeline: &PipelineId, count: usize) -> usize {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    pipeline.hash(&mut hasher);
    usize::try_from(hasher.finish() % count.max(1) as u64).unwrap_or(0)
}

/// Runs until the hub ends. `restored` are the pipelines that the log knew when the hub started.
pub(super) async fn run(
    hub: Arc<Inner>,
    mut commands: mpsc::Receiver<Command>,
    restored: Vec<(PipelineId, Desk)>,
) {
    let mut writer = Writer {
        hub: hub.clone(),
        desks: restored.into_iter().collect(),
        holding: HashSet::new(),
        owing: HashSet::new(),
        left: HashSet::new(),
        silent: HashMap::new(),
    };
    let shared = hub.log.is_shared();
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let due = writer.next_due();
        tokio::select! {
            command = commands.recv() => match command {
                Some(command) => writer.handle_all(command, &mut commands).await,
                None => return,
            },
            _ = tick.tick() => if shared { writer.renew_owed(false).await } else { writer.look_at_leases().await },
            () = std::future::ready(()), if !writer.silent.is_empty() => writer.look_at_one().await,
            () = tokio::time::sleep(due.unwrap_or(TICK)), if due.is_some() => writer.flush_due().await,
            () = hub.end.cancelled() => return,
        }
    }
}

pub(super) use desk::{removed, restore};
pub(crate) use lapse::Silent;

/// The answer to a publish.
type Reply = oneshot::Sender<Result<PublishReceipt, Problem>>;

struct Writer {
    hub: Arc<Inner>,
    desks: HashMap<PipelineId, Desk>,
    /// The pipelines with progress that is held back.
    holding: HashSet<PipelineId>,
    /// Where the log keeps the leases: the pipelines of which it does not have all that was heard …
    owing: HashSet<PipelineId>,
    /// … those that a reporter left, while others were believed to stay …
    left: HashSet<PipelineId>,
    /// … and those for which nobody may report any more.
    silent: HashMap<PipelineId, Silent>,
}

impl Inner {
    /// Appends batches of one pipeline, and counts how that went. `fresh`: only where no id was taken before; `None` where one
    /// was.
    async fn append(
        &self,
        pipeline: &PipelineId,
        on: Option<&Cursor>,
        batches: Vec<Batch>,
        leases: &[OfLease],
        fresh: bool,
    ) -> Result<Option<Vec<Appended>>, LogError> {
        let began = self.clock.steady();
        let appended = if fresh {
            self.log.append_fresh(pipeline, on, batches, leases).await
        } else {
            self.log.append_on(pipeline, on, batches, leases).await.map(Some)
        };
        match &appended {
            Ok(None) => {}
            Ok(Some(_)) => {
                self.metrics.log_append.add((), micros(self.clock.steady().saturating_sub(began)), 1)
            }
            Err(error) => {
                let failure = match error.kind {
                    LogErrorKind::Full => Some(LogFailure::Full),
                    LogErrorKind::Unavailable => Some(LogFailure::Unavailable),
                    // The log did as it should.
                    LogErrorKind::Moved | LogErrorKind::Heard => None,
                };
                failure.into_iter().for_each(|failure| self.metrics.log_failures.add(failure, 1));
            }
        }
        appended
    }
}

impl Writer {
    /// Does what it is asked, and at once what else waits: publishes that came together are appended together.
    async fn handle_all(&mut self, first: Command, waiting: &mut mpsc::Receiver<Command>) {
        let mut next = Some(first);
        let mut publishes = Vec::new();
        let mut events = 0;
        while let Some(command) = next.take() {
            match command {
                Command::Look(found) => self.silent.extend(found),
                Command::Publish(publish, reply) => {
                    events += publish.events.len();
                    publishes.push((publish, reply));
                    if publishes.len() >= TOGETHER || events >= EVENTS_TOGETHER {
                        self.publish_all(std::mem::take(&mut publishes)).await;
                        return;
                    }
                }
                Command::Forget(pipeline, requested_by, reply) => {
                    self.publish_all(std::mem::take(&mut publishes)).await;
                    let answer = self.forget(&pipeline, requested_by).await;
                    let _ = reply.send(answer);
                }
                Command::Flush(reply) => {
                    self.publish_all(std::mem::take(&mut publishes)).await;
                    self.drain().await;
                    self.renew_owed(true).await;
                    let _ = reply.send(());
                }
            }
            next = waiting.try_recv().ok();
        }
        self.publish_all(publishes).await;
    }

    /// Appends events of the hub's own where the desk is, or only changes leases.
    async fn append(
        &mut self,
        pipeline: &PipelineId,
        pipeline_type: PipelineType,
        records: Vec<NewRecord>,
        now: Timestamp,
        leases: &[OfLease],
    ) -> Result<(), LogError> {
        let on = self.desks.get(pipeline).and_then(Desk::position);
        let batch = Batch { pipeline_type, records, remember: Vec::new(), received_at: now };
        let batches = if batch.records.is_empty() { Vec::new() } else { vec![batch] };
        let appended = self.hub.append(pipeline, on.as_ref(), batches, leases, false).await;
        let appended = appended.inspect_err(|error| {
            if !matches!(error.kind, LogErrorKind::Moved | LogErrorKind::Heard) {
                tracing::warn!(%pipeline, %error, "the hub's own events were not appended");
            }
        })?;
        if let Some(appended) = appended.into_iter().flatten().next()
            && let Some(desk) = self.desks.get_mut(pipeline)
        {
            desk.last = Some((appended.epoch, appended.seq));
        }
        Ok(())
    }

    fn next_due(&self) -> Option<Duration> {
        let due = self.holding.iter().filter_map(|id| self.desks.get(id)?.conflator.next_due()).min()?;
        let wait = due.saturating_sub(self.hub.clock.now().as_millis()).clamp(1, 1_000);
        Some(Duration::from_millis(wait.unsigned_abs()))
    }

    async fn flush_due(&mut self) {
        let now = self.hub.clock.now();
        let holding: Vec<PipelineId> = self.holding.iter().cloned().collect();
        for pipeline in holding {
            let Some(desk) = self.desks.get_mut(&pipeline) else {
                self.holding.remove(&pipeline);
                continue;
            };
            let records = desk.conflator.due(now.as_millis());
            if desk.conflator.next_due().is_none() {
                self.holding.remove(&pipeline);
            }
            let kind = desk.pipeline_type.clone();
            if !records.is_empty() {
                // Progress that the log does not take is superseded by the next.
                self.append_progress(&pipeline, kind, records, now).await;
            }
        }
    }

    async fn drain(&mut self) {
        let now = self.hub.clock.now();
        for pipeline in std::mem::take(&mut self.holding) {
            for _ in 0..TRIES {
                let Some(desk) = self.desks.get_mut(&pipeline) else { break };
                let records = desk.conflator.drain();
                let kind = desk.pipeline_type.clone();
                if records.is_empty() || self.append_progress(&pipeline, kind, records, now).await {
                    break;
                }
            }
        }
    }
}

pub(crate) fn unknown_pipeline(pipeline: &PipelineId) -> Problem {
    Problem::new(
        Code::UnknownPipeline,
        format!("The hub does not know pipeline '{pipeline}'. Report `pipeline:online` with its type first."),
    )
}

/// What a client is told of an error of the log.
pub(crate) fn store_problem(error: &LogError) -> Problem {
    match error.kind {
        LogErrorKind::Moved | LogErrorKind::Heard => tracing::debug!(%error, "too many at once"),
        LogErrorKind::Full | LogErrorKind::Unavailable => tracing::error!(%error, "the log failed"),
    }
    match error.kind {
        LogErrorKind::Moved | LogErrorKind::Heard => Problem::new(
            Code::Overloaded,
            "Other hubs take events of this pipeline faster than this one can. Nothing was taken; send this again.",
        ),
        LogErrorKind::Full => Problem::new(
            Code::StoreFull,
            "There is no room on the disk of the hub's store. Nothing was taken; it goes on by itself when there is \
             room. Send this again later.",
        ),
        LogErrorKind::Unavailable => Problem::new(
            Code::StoreUnavailable,
            "The hub's store does not answer. Nothing was taken; ask again later.",
        ),
    }
}
