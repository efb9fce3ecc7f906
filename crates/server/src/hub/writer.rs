//! The writer: the only one that appends. It takes what was admitted, drops what was taken before, conflates progress,
//! keeps leases, and makes the events that only a hub can make.
//!
//! Pipelines are spread over a few writers; one pipeline always has the same, so its events need no lock.

mod desk;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use ragpulse_protocol::command::PublishReceipt;
use ragpulse_protocol::{Code, Epoch, Liveness, PipelineId, PipelineType, Problem, ReporterId, Timestamp};
use tokio::sync::{mpsc, oneshot};

use self::desk::{Desk, Plan, Undo};
use super::Inner;
use crate::ingest::{Admitted, Heard, Kind, Lease};
use crate::log::{Appended, Batch, LogError, LogErrorKind, NewRecord};

/// How often leases are looked at.
const TICK: Duration = Duration::from_millis(250);
/// How many publishes are appended together at most …
const TOGETHER: usize = 64;
/// … and from how many events on no more are added to them.
const EVENTS_TOGETHER: usize = 2_000;

/// What a writer is asked to do.
pub(crate) enum Command {
    Publish(Publish, oneshot::Sender<Result<PublishReceipt, Problem>>),
    Forget(PipelineId, Option<String>, oneshot::Sender<Result<(), Problem>>),
    /// Appends what is held back.
    Flush(oneshot::Sender<()>),
}

/// A batch that was admitted.
pub(crate) struct Publish {
    pub(crate) pipeline: PipelineId,
    pub(crate) reporter: Option<ReporterId>,
    pub(crate) events: Vec<Admitted>,
    pub(crate) received_at: Timestamp,
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
    let mut writer =
        Writer { hub: hub.clone(), desks: restored.into_iter().collect(), holding: HashSet::new() };
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let due = writer.next_due();
        tokio::select! {
            command = commands.recv() => match command {
                Some(command) => writer.handle_all(command, &mut commands).await,
                None => return,
            },
            _ = tick.tick() => writer.look_at_leases().await,
            () = tokio::time::sleep(due.unwrap_or(TICK)), if due.is_some() => writer.flush_due().await,
            () = hub.end.cancelled() => return,
        }
    }
}

pub(super) use desk::restore;

/// The answer to a publish.
type Reply = oneshot::Sender<Result<PublishReceipt, Problem>>;

struct Writer {
    hub: Arc<Inner>,
    desks: HashMap<PipelineId, Desk>,
    /// The pipelines with progress that is held back.
    holding: HashSet<PipelineId>,
}

/// A publish that has its plan, and waits for the log.
struct Planned {
    reply: Reply,
    reporter: Option<ReporterId>,
    received_at: Timestamp,
    /// Which records of its batch the reporter sent; the hub made the others.
    own: Vec<bool>,
    /// Whether it has a batch: what it sent may all have been conflated.
    has_batch: bool,
    duplicates: u64,
    conflated: u64,
    undo: Undo,
    before: Before,
}

/// Leases as they were before a reporter spoke.
#[derive(Default)]
struct Before {
    /// Its own.
    own: Option<Lease>,
    /// The one that stood in for whoever comes.
    stood_in: Option<Lease>,
}

impl Writer {
    /// Does what it is asked, and at once what else waits: publishes that came together are appended together.
    async fn handle_all(&mut self, first: Command, waiting: &mut mpsc::Receiver<Command>) {
        let mut next = Some(first);
        let mut publishes = Vec::new();
        let mut events = 0;
        while let Some(command) = next.take() {
            match command {
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
                    let _ = reply.send(());
                }
            }
            next = waiting.try_recv().ok();
        }
        self.publish_all(publishes).await;
    }

    async fn publish_all(&mut self, publishes: Vec<(Publish, Reply)>) {
        let mut by_pipeline: Vec<(PipelineId, Vec<(Publish, Reply)>)> = Vec::new();
        for (publish, reply) in publishes {
            match by_pipeline.iter_mut().find(|(id, _)| *id == publish.pipeline) {
                Some((_, publishes)) => publishes.push((publish, reply)),
                None => by_pipeline.push((publish.pipeline.clone(), vec![(publish, reply)])),
            }
        }
        let taken = join_all(by_pipeline.iter().map(|(id, publishes)| self.taken(id, publishes))).await;
        let mut under_way = Vec::new();
        for ((pipeline, publishes), taken) in by_pipeline.into_iter().zip(taken) {
            match taken {
                Ok(taken) => {
                    let (planned, batches) = self.plan_all(&pipeline, publishes, taken);
                    under_way.push((pipeline, planned, batches));
                }
                Err(error) => {
                    let problem = store_problem(&error);
                    publishes.into_iter().for_each(|(_, reply)| drop(reply.send(Err(problem.clone()))));
                }
            }
        }
        let appended =
            join_all(under_way.iter_mut().map(|(pipeline, _, batches)| {
                let (log, batches) = (&self.hub.log, std::mem::take(batches));
                async move {
                    if batches.is_empty() { Ok(Vec::new()) } else { log.append(pipeline, batches).await }
                }
            }))
            .await;
        for ((pipeline, planned, _), appended) in under_way.into_iter().zip(appended) {
            match appended {
                Ok(appended) => self.finish_all(&pipeline, planned, appended),
                Err(error) => self.fail_all(&pipeline, planned, &error),
            }
        }
    }

    /// Which ids of these publishes were taken before.
    async fn taken(
        &self,
        pipeline: &PipelineId,
        publishes: &[(Publish, Reply)],
    ) -> Result<HashSet<String>, LogError> {
        let events = publishes.iter().flat_map(|(publish, _)| &publish.events);
        let ids: Vec<&str> = events.filter_map(|event| event.event_id.as_deref()).collect();
        if ids.is_empty() {
            return Ok(HashSet::new());
        }
        let seen = self.hub.log.seen(pipeline, &ids).await?;
        Ok(ids.iter().zip(seen).filter(|(_, seen)| *seen).map(|(id, _)| (*id).to_owned()).collect())
    }

    /// Plans publishes of one pipeline, one after the other, as if each before it had been appended.
    fn plan_all(
        &mut self,
        pipeline: &PipelineId,
        publishes: Vec<(Publish, Reply)>,
        mut taken: HashSet<String>,
    ) -> (Vec<Planned>, Vec<Batch>) {
        let mut planned = Vec::with_capacity(publishes.len());
        let mut batches = Vec::with_capacity(publishes.len());
        for (publish, reply) in publishes {
            let ids: Vec<String> = publish.events.iter().filter_map(|event| event.event_id.clone()).collect();
            let (reporter, received_at) = (publish.reporter.clone(), publish.received_at);
            match self.plan(pipeline, publish, &taken) {
                Ok((plan, duplicates, before)) => {
                    taken.extend(ids);
                    let Plan { records, own, remember, conflated, undo } = plan;
                    let has_batch = !records.is_empty() || !remember.is_empty();
                    if has_batch && let Some(desk) = self.desks.get(pipeline) {
                        let pipeline_type = desk.pipeline_type.clone();
                        batches.push(Batch { pipeline_type, records, remember, received_at });
                    }
                    planned.push(Planned {
                        reply,
                        reporter,
                        received_at,
                        own,
                        has_batch,
                        duplicates,
                        conflated,
                        undo,
                        before,
                    });
                }
                Err(problem) => {
                    self.drop_unborn(pipeline, &planned);
                    let _ = reply.send(Err(problem));
                }
            }
        }
        (planned, batches)
    }

    /// A plan, how many events had been taken before, and the leases before the reporter spoke.
    fn plan(
        &mut self,
        pipeline: &PipelineId,
        publish: Publish,
        taken: &HashSet<String>,
    ) -> Result<(Plan, u64, Before), Problem> {
        let Publish { reporter, events, received_at, .. } = publish;
        let sent = events.len() as u64;
        let fresh = fresh(events, taken);
        let duplicates = sent - fresh.len() as u64;
        self.open_desk(pipeline, &fresh)?;
        let Some(desk) = self.desks.get_mut(pipeline) else { return Err(unknown_pipeline(pipeline)) };

        let config = &self.hub.config;
        let own = desk.leases.of(reporter.as_ref());
        if desk.hear(reporter.as_ref(), config, received_at) == Heard::TooMany {
            return Err(Problem::new(
                Code::LimitExceeded,
                format!(
                    "Pipeline '{pipeline}' has as many reporters as it may. Give workers one reporter id."
                ),
            ));
        }
        let plan = desk.plan(pipeline, reporter.as_ref(), fresh, received_at, &config.limits);
        let plan = plan.inspect_err(|_| desk.leases.put_back(reporter.as_ref(), own))?;
        // Now, and not when it is appended: who comes next in this group is not to be taken for nobody.
        let stood_in = desk.took(reporter.as_ref());
        Ok((plan, duplicates, Before { own, stood_in }))
    }

    fn finish_all(&mut self, pipeline: &PipelineId, planned: Vec<Planned>, appended: Vec<Appended>) {
        let mut appended = appended.into_iter();
        let mut last_heard = None;
        for plan in planned {
            let Some(desk) = self.desks.get_mut(pipeline) else {
                let _ = plan.reply.send(Err(unknown_pipeline(pipeline)));
                continue;
            };
            let mut places = Vec::new();
            if plan.has_batch
                && let Some(appended) = appended.next()
            {
                desk.last = Some((appended.epoch, appended.seq));
                places = appended.places;
            }
            // All that it sent was known before, and there is nothing to append it to.
            let Some((epoch, seq)) = desk.last.clone() else {
                let _ = plan.reply.send(Err(unknown_pipeline(pipeline)));
                continue;
            };
            let (mut accepted, mut duplicates) = (0, plan.duplicates);
            for (place, own) in places.iter().zip(&plan.own) {
                match (place, own) {
                    (Some(_), true) => accepted += 1,
                    (None, true) => duplicates += 1,
                    (_, false) => {}
                }
            }
            let conflated = plan.conflated;
            let counters = &self.hub.counters;
            counters.accepted.fetch_add(accepted, Ordering::Relaxed);
            counters.duplicates.fetch_add(duplicates, Ordering::Relaxed);
            counters.conflated.fetch_add(conflated, Ordering::Relaxed);
            last_heard = Some(plan.received_at);
            let _ = plan.reply.send(Ok(PublishReceipt { accepted, duplicates, conflated, epoch, seq }));
        }
        self.drop_unborn(pipeline, &[]);
        if let Some(desk) = self.desks.get_mut(pipeline) {
            if !desk.online {
                // Who spoke only to say again that it left is not there.
                desk.leases.clear();
            }
            if desk.conflator.next_due().is_some() {
                self.holding.insert(pipeline.clone());
            }
        }
        if let Some(heard) = last_heard {
            self.show_life(pipeline, heard);
        }
    }

    /// The log took nothing: what the plans changed is taken back, the last first.
    fn fail_all(&mut self, pipeline: &PipelineId, planned: Vec<Planned>, error: &LogError) {
        let problem = store_problem(error);
        for plan in planned.into_iter().rev() {
            if let Some(desk) = self.desks.get_mut(pipeline) {
                desk.undo(plan.undo);
                desk.leases.put_back(plan.reporter.as_ref(), plan.before.own);
                desk.not_taken(plan.before.stood_in);
            }
            let _ = plan.reply.send(Err(problem.clone()));
        }
        self.drop_unborn(pipeline, &[]);
    }

    /// A pipeline never seen is opened by `pipeline:online` and by nothing else.
    fn open_desk(&mut self, pipeline: &PipelineId, fresh: &[Admitted]) -> Result<(), Problem> {
        if self.desks.contains_key(pipeline) {
            return Ok(());
        }
        let Some(Admitted { kind: Kind::Online { .. }, pipeline_type: Some(kind), .. }) = fresh.first()
        else {
            return Err(unknown_pipeline(pipeline));
        };
        if self.hub.registry.known().len() >= self.hub.config.limits.pipelines {
            return Err(Problem::new(
                Code::LimitExceeded,
                "This hub has as many pipelines as it may. Forget some: DELETE /api/pipelines/{id}.",
            ));
        }
        self.desks.insert(pipeline.clone(), self.new_desk(kind.clone()));
        Ok(())
    }

    fn new_desk(&self, kind: PipelineType) -> Desk {
        Desk::new(kind, &self.hub.config.limits)
    }

    /// A desk that was opened for a batch that failed goes again, unless others wait to be appended.
    fn drop_unborn(&mut self, pipeline: &PipelineId, waiting: &[Planned]) {
        if waiting.is_empty() && self.desks.get(pipeline).is_some_and(|desk| desk.last.is_none()) {
            self.desks.remove(pipeline);
        }
    }

    fn show_life(&mut self, pipeline: &PipelineId, now: Timestamp) {
        let Some(desk) = self.desks.get_mut(pipeline) else { return };
        if let Some(room) = self.hub.registry.get(pipeline) {
            room.hear(desk.leases.last_heard().unwrap_or(now));
            if desk.liveness != Liveness::Live {
                room.set_liveness(Liveness::Live);
            }
        }
        desk.liveness = Liveness::Live;
    }

    async fn look_at_leases(&mut self) {
        let now = self.hub.clock.now();
        let online: Vec<PipelineId> =
            self.desks.iter().filter(|(_, desk)| desk.online).map(|(id, _)| id.clone()).collect();
        for pipeline in online {
            let Some(desk) = self.desks.get_mut(&pipeline) else { continue };
            let lapsed = desk.leases.lapsed(now);
            if lapsed.is_empty() {
                let liveness = desk.leases.liveness(now);
                if liveness != desk.liveness {
                    desk.liveness = liveness;
                    if let Some(room) = self.hub.registry.get(&pipeline) {
                        room.set_liveness(liveness);
                    }
                }
                continue;
            }
            let records = desk.lapse_records(&lapsed, now);
            let kind = desk.pipeline_type.clone();
            if records.is_empty() || self.append(&pipeline, kind, records, now).await.is_ok() {
                if let Some(desk) = self.desks.get_mut(&pipeline) {
                    desk.lapse(&lapsed);
                }
                self.hub.counters.leases_lapsed.fetch_add(lapsed.len() as u64, Ordering::Relaxed);
            }
            // Where the log did not take them the lease is still over: the next look tries again.
        }
    }

    async fn append(
        &mut self,
        pipeline: &PipelineId,
        pipeline_type: PipelineType,
        records: Vec<NewRecord>,
        now: Timestamp,
    ) -> Result<(Epoch, u64), LogError> {
        let batch = Batch { pipeline_type, records, remember: Vec::new(), received_at: now };
        let appended = self.hub.log.append(pipeline, vec![batch]).await.inspect_err(|error| {
            tracing::warn!(%pipeline, %error, "the hub's own events were not appended");
        })?;
        let Some(appended) = appended.into_iter().next() else {
            return Err(LogError::written("it gave no place"));
        };
        let last = (appended.epoch, appended.seq);
        if let Some(desk) = self.desks.get_mut(pipeline) {
            desk.last = Some(last.clone());
        }
        Ok(last)
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
                let _ = self.append(&pipeline, kind, records, now).await;
            }
        }
    }

    async fn drain(&mut self) {
        let now = self.hub.clock.now();
        for pipeline in std::mem::take(&mut self.holding) {
            let Some(desk) = self.desks.get_mut(&pipeline) else { continue };
            let records = desk.conflator.drain();
            let kind = desk.pipeline_type.clone();
            let _ = self.append(&pipeline, kind, records, now).await;
        }
    }

    async fn forget(&mut self, pipeline: &PipelineId, requested_by: Option<String>) -> Result<(), Problem> {
        let Some(desk) = self.desks.get(pipeline) else { return Err(unknown_pipeline(pipeline)) };
        let now = self.hub.clock.now();
        let removed = desk::removed(requested_by.as_deref(), now);
        let kind = desk.pipeline_type.clone();
        self.append(pipeline, kind, vec![removed], now).await.map_err(|error| store_problem(&error))?;
        self.hub.log.forget(pipeline).await.map_err(|error| store_problem(&error))?;
        self.desks.remove(pipeline);
        self.holding.remove(pipeline);
        Ok(())
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
    tracing::error!(%error, "the log failed");
    match error.kind {
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

/// The events whose ids were not taken before and do not stand twice in the batch.
fn fresh(events: Vec<Admitted>, taken: &HashSet<String>) -> Vec<Admitted> {
    let mut own: HashSet<String> = HashSet::new();
    let fresh = |event: &Admitted| {
        event.event_id.as_ref().is_none_or(|id| !taken.contains(id) && own.insert(id.clone()))
    };
    events.into_iter().filter(fresh).collect()
}
