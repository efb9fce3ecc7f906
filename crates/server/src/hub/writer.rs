//! The writer: the only one that appends. It takes what was admitted, drops what was taken before, conflates progress,
//! keeps leases, and makes the events that only a hub can make.
//!
//! Pipelines are spread over a few writers; one pipeline always has the same, so its events need no lock.

mod desk;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ragpulse_protocol::command::PublishReceipt;
use ragpulse_protocol::{Code, Epoch, Liveness, PipelineId, PipelineType, Problem, ReporterId, Timestamp};
use tokio::sync::{mpsc, oneshot};

use self::desk::{Desk, Plan};
use super::Inner;
use crate::ingest::{Admitted, Heard, Kind};
use crate::log::{Appended, Batch, LogError, NewRecord};

/// How often leases are looked at.
const TICK: Duration = Duration::from_millis(250);

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
                Some(command) => writer.handle(command).await,
                None => return,
            },
            _ = tick.tick() => writer.look_at_leases().await,
            () = tokio::time::sleep(due.unwrap_or(TICK)), if due.is_some() => writer.flush_due().await,
            () = hub.end.cancelled() => return,
        }
    }
}

pub(super) use desk::restore;

struct Writer {
    hub: Arc<Inner>,
    desks: HashMap<PipelineId, Desk>,
    /// The pipelines with progress that is held back.
    holding: HashSet<PipelineId>,
}

impl Writer {
    async fn handle(&mut self, command: Command) {
        match command {
            Command::Publish(publish, reply) => {
                let answer = self.publish(publish).await;
                let _ = reply.send(answer);
            }
            Command::Forget(pipeline, requested_by, reply) => {
                let answer = self.forget(&pipeline, requested_by).await;
                let _ = reply.send(answer);
            }
            Command::Flush(reply) => {
                self.drain().await;
                let _ = reply.send(());
            }
        }
    }

    async fn publish(&mut self, publish: Publish) -> Result<PublishReceipt, Problem> {
        let Publish { pipeline, reporter, events, received_at } = publish;
        let sent = events.len() as u64;
        let fresh = self.fresh(&pipeline, events).await?;
        let duplicates = sent - fresh.len() as u64;
        self.open_desk(&pipeline, &fresh)?;
        let Some(desk) = self.desks.get_mut(&pipeline) else { return Err(unknown_pipeline(&pipeline)) };

        let config = &self.hub.config;
        let lease = desk.leases.of(reporter.as_ref());
        let heard = desk.leases.hear(
            reporter.as_ref(),
            None,
            desk.lease_seconds.unwrap_or(config.lease_seconds),
            config.limits.reporters,
            received_at,
        );
        if heard == Heard::TooMany {
            return Err(Problem::new(
                Code::LimitExceeded,
                format!(
                    "Pipeline '{pipeline}' has as many reporters as it may. Give workers one reporter id."
                ),
            ));
        }
        let plan = desk.plan(&pipeline, reporter.as_ref(), fresh, received_at, &config.limits);
        let plan = match plan {
            Ok(plan) => plan,
            Err(problem) => {
                desk.leases.put_back(reporter.as_ref(), lease);
                self.drop_unborn(&pipeline);
                return Err(problem);
            }
        };
        let Plan { records, own, remember, conflated, undo } = plan;
        let appended = if records.is_empty() && remember.is_empty() {
            desk.last.clone().map(|(epoch, seq)| Appended { epoch, seq, places: Vec::new() })
        } else {
            let batch = Batch {
                pipeline_id: pipeline.clone(),
                pipeline_type: desk.pipeline_type.clone(),
                records,
                remember,
                received_at,
            };
            match self.hub.log.append(batch).await {
                Ok(appended) => Some(appended),
                Err(error) => {
                    if let Some(desk) = self.desks.get_mut(&pipeline) {
                        desk.undo(undo);
                        desk.leases.put_back(reporter.as_ref(), lease);
                    }
                    self.drop_unborn(&pipeline);
                    return Err(store_unavailable(&error));
                }
            }
        };
        let Some(appended) = appended else {
            self.drop_unborn(&pipeline);
            return Err(unknown_pipeline(&pipeline));
        };
        let Some(desk) = self.desks.get_mut(&pipeline) else { return Err(unknown_pipeline(&pipeline)) };
        desk.last = Some((appended.epoch.clone(), appended.seq));
        if !desk.online {
            // Who spoke only to say again that it left is not there.
            desk.leases.clear();
        }
        let (mut accepted, mut repeated) = (0, duplicates);
        for (place, own) in appended.places.iter().zip(&own) {
            match (place, own) {
                (Some(_), true) => accepted += 1,
                (None, true) => repeated += 1,
                (_, false) => {}
            }
        }
        if desk.conflator.next_due().is_some() {
            self.holding.insert(pipeline.clone());
        }
        self.show_life(&pipeline, received_at);
        let counters = &self.hub.counters;
        counters.accepted.fetch_add(accepted, Ordering::Relaxed);
        counters.duplicates.fetch_add(repeated, Ordering::Relaxed);
        counters.conflated.fetch_add(conflated, Ordering::Relaxed);
        Ok(PublishReceipt {
            accepted,
            duplicates: repeated,
            conflated,
            epoch: appended.epoch,
            seq: appended.seq,
        })
    }

    /// Leaves out the events whose ids were taken before, or stand twice in the batch.
    async fn fresh(&self, pipeline: &PipelineId, events: Vec<Admitted>) -> Result<Vec<Admitted>, Problem> {
        let ids: Vec<&str> = events.iter().filter_map(|event| event.event_id.as_deref()).collect();
        if ids.is_empty() {
            return Ok(events);
        }
        let seen = self.hub.log.seen(pipeline, &ids).await.map_err(|error| store_unavailable(&error))?;
        let mut taken: HashSet<String> =
            ids.iter().zip(seen).filter(|(_, seen)| *seen).map(|(id, _)| (*id).to_owned()).collect();
        let fresh = |event: &Admitted| event.event_id.as_ref().is_none_or(|id| taken.insert(id.clone()));
        Ok(events.into_iter().filter(fresh).collect())
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

    /// A desk that was opened for a batch that failed goes again.
    fn drop_unborn(&mut self, pipeline: &PipelineId) {
        if self.desks.get(pipeline).is_some_and(|desk| desk.last.is_none()) {
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
        let batch = Batch {
            pipeline_id: pipeline.clone(),
            pipeline_type,
            records,
            remember: Vec::new(),
            received_at: now,
        };
        let appended = self.hub.log.append(batch).await.inspect_err(|error| {
            tracing::warn!(%pipeline, %error, "the hub's own events were not appended");
        })?;
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
        self.append(pipeline, kind, vec![removed], now).await.map_err(|error| store_unavailable(&error))?;
        self.hub.log.forget(pipeline).await.map_err(|error| store_unavailable(&error))?;
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

fn store_unavailable(error: &LogError) -> Problem {
    tracing::error!(%error, "the log failed");
    Problem::new(Code::StoreUnavailable, "The hub's store does not answer. Nothing was taken; send it again.")
}
