//! Publishing: publishes that came together are planned one after the other, as if each before had been appended, appended
//! together, and answered one by one. Where the log takes nothing, what the plans changed is taken back.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::future::join_all;
use ragpulse_protocol::command::PublishReceipt;
use ragpulse_protocol::{PipelineId, PipelineType, Problem, ReporterId, Timestamp};

use super::desk::{Desk, Plan, Undo};
use super::{Publish, Reply, TRIES, Writer, store_problem, unknown_pipeline};
use crate::ingest::{Admitted, Heard, Kind, Lease};
use crate::limits::exceeded;
use crate::log::{Appended, Batch, LogError, LogErrorKind};
use crate::metrics::table::Taken;

/// A publish that has its plan, and waits for the log.
struct Planned {
    reply: Reply,
    /// As it came, where it may have to be planned again.
    again: Option<Publish>,
    reporter: Option<ReporterId>,
    received_at: Timestamp,
    request_id: Arc<str>,
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

/// Publishes of one pipeline, in order, and who waits for their answers.
type Waiting = Vec<(Publish, Reply)>;

/// The publishes of one pipeline.
type OfOne = (PipelineId, Waiting);

/// Publishes that have to be planned again.
#[derive(Default)]
struct Again {
    /// Another hub was quicker.
    moved: Vec<OfOne>,
    /// An id was taken before.
    taken: Vec<OfOne>,
}

impl Writer {
    pub(super) async fn publish_all(&mut self, publishes: Vec<(Publish, Reply)>) {
        let mut by_pipeline: Vec<OfOne> = Vec::new();
        for (publish, reply) in publishes {
            match by_pipeline.iter_mut().find(|(id, _)| *id == publish.pipeline) {
                Some((_, publishes)) => publishes.push((publish, reply)),
                None => by_pipeline.push((publish.pipeline.clone(), vec![(publish, reply)])),
            }
        }
        // Ids are seldom sent again. So a log that can tell is asked which were taken only after it has refused some.
        let mut asks = !self.hub.log.refuses_taken();
        for left in (0..TRIES).rev() {
            let last = left == 0;
            let again = self.publish_round(by_pipeline, last, asks || last).await;
            for (pipeline, _) in &again.moved {
                self.catch_up_after(pipeline, &LogError::moved()).await;
            }
            asks |= !again.taken.is_empty();
            by_pipeline = again.moved;
            by_pipeline.extend(again.taken);
            if by_pipeline.is_empty() {
                return;
            }
        }
    }

    /// Plans and appends. Gives those back that have to be planned again, unless this is the last try. `asks`: it is asked
    /// first which ids were taken, and not believed that none was.
    async fn publish_round(&mut self, by_pipeline: Vec<OfOne>, last: bool, asks: bool) -> Again {
        let shared = self.hub.log.is_shared();
        let may_come_back = (shared || !asks) && !last;
        for (pipeline, _) in &by_pipeline {
            // Another hub may have opened it.
            if shared && !self.desks.contains_key(pipeline) {
                self.catch_up_after(pipeline, &LogError::moved()).await;
            }
        }
        let writer = &*self;
        let taken = join_all(by_pipeline.iter().map(|(id, publishes)| async move {
            if asks { writer.taken(id, publishes).await } else { Ok(HashSet::new()) }
        }))
        .await;
        let mut again = Again::default();
        let mut under_way = Vec::new();
        for ((pipeline, publishes), taken) in by_pipeline.into_iter().zip(taken) {
            match taken {
                Ok(taken) => match self.plan_all(&pipeline, publishes, taken, may_come_back, asks) {
                    Ok((planned, batches)) => under_way.push((pipeline, planned, batches)),
                    Err(publishes) => again.taken.push((pipeline, publishes)),
                },
                Err(error) => {
                    let problem = store_problem(&error);
                    publishes.into_iter().for_each(|(_, reply)| drop(reply.send(Err(problem.clone()))));
                }
            }
        }
        let appended = join_all(under_way.iter_mut().map(|(pipeline, _, batches)| {
            let (hub, batches) = (&self.hub, std::mem::take(batches));
            let on = self.desks.get(pipeline).and_then(Desk::position);
            async move {
                if batches.is_empty() {
                    Ok(Some(Vec::new()))
                } else {
                    hub.append(pipeline, on.as_ref(), batches, !asks).await
                }
            }
        }))
        .await;
        for ((pipeline, planned, _), appended) in under_way.into_iter().zip(appended) {
            let comes_back = match appended {
                Ok(Some(appended)) => {
                    self.finish_all(&pipeline, planned, appended);
                    continue;
                }
                Ok(None) => &mut again.taken,
                Err(error) if error.kind == LogErrorKind::Moved && shared && !last => &mut again.moved,
                Err(error) => {
                    let problem = store_problem(&error);
                    for (_, reply) in self.take_back(&pipeline, planned) {
                        let _ = reply.send(Err(problem.clone()));
                    }
                    continue;
                }
            };
            let publishes = self.take_back(&pipeline, planned).into_iter();
            comes_back
                .push((pipeline, publishes.filter_map(|(publish, reply)| Some((publish?, reply))).collect()));
        }
        again
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

    /// Plans publishes of one pipeline, one after the other, as if each before it had been appended. Gives them back where
    /// one cannot be and it was not asked which ids were taken: what was taken before is no fault.
    fn plan_all(
        &mut self,
        pipeline: &PipelineId,
        publishes: Vec<(Publish, Reply)>,
        mut taken: HashSet<String>,
        may_come_back: bool,
        asks: bool,
    ) -> Result<(Vec<Planned>, Vec<Batch>), Waiting> {
        let mut planned = Vec::with_capacity(publishes.len());
        let mut batches = Vec::with_capacity(publishes.len());
        let mut publishes = publishes.into_iter();
        while let Some((publish, reply)) = publishes.next() {
            let ids: Vec<String> = publish.events.iter().filter_map(|event| event.event_id.clone()).collect();
            let (reporter, received_at) = (publish.reporter.clone(), publish.received_at);
            let request_id = publish.request_id.clone();
            let again = may_come_back.then(|| publish.clone());
            match self.plan(pipeline, publish, &taken) {
                Ok((plan, duplicates, before)) => {
                    taken.extend(ids);
                    let Plan { mut records, own, remember, conflated, undo } = plan;
                    // What the hub adds is by the same request.
                    for record in records.iter_mut().filter(|record| record.request_id.is_none()) {
                        record.request_id = Some(request_id.clone());
                    }
                    let has_batch = !records.is_empty() || !remember.is_empty();
                    if has_batch && let Some(desk) = self.desks.get(pipeline) {
                        let pipeline_type = desk.pipeline_type.clone();
                        batches.push(Batch { pipeline_type, records, remember, received_at });
                    }
                    planned.push(Planned {
                        reply,
                        again,
                        reporter,
                        received_at,
                        request_id,
                        own,
                        has_batch,
                        duplicates,
                        conflated,
                        undo,
                        before,
                    });
                }
                Err(_) if !asks && again.is_some() => {
                    let before = self.take_back(pipeline, planned).into_iter();
                    let mut back: Vec<_> =
                        before.filter_map(|(publish, reply)| Some((publish?, reply))).collect();
                    back.extend(again.map(|publish| (publish, reply)));
                    back.extend(publishes);
                    return Err(back);
                }
                Err(problem) => {
                    self.drop_unborn(pipeline, &planned);
                    let _ = reply.send(Err(problem));
                }
            }
        }
        Ok((planned, batches))
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
            return Err(exceeded(
                "reporters",
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
            let events = &self.hub.metrics.ingest_events;
            events.add(Taken::Accepted, accepted);
            events.add(Taken::Duplicate, duplicates);
            events.add(Taken::Conflated, conflated);
            let request_id = &*plan.request_id;
            tracing::debug!(request_id, %pipeline, %epoch, seq, accepted, duplicates, conflated, "append");
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

    /// The log took nothing: what the plans changed is taken back, the last first. Gives who waits for an answer, in order.
    fn take_back(&mut self, pipeline: &PipelineId, planned: Vec<Planned>) -> Vec<(Option<Publish>, Reply)> {
        let mut waiting = Vec::with_capacity(planned.len());
        for plan in planned.into_iter().rev() {
            if let Some(desk) = self.desks.get_mut(pipeline) {
                desk.undo(plan.undo);
                desk.leases.put_back(plan.reporter.as_ref(), plan.before.own);
                desk.not_taken(plan.before.stood_in);
            }
            waiting.push((plan.again, plan.reply));
        }
        self.drop_unborn(pipeline, &[]);
        waiting.reverse();
        waiting
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
        let (registry, most) = (&self.hub.registry, self.hub.config.limits.pipelines);
        // Those that exist are counted only where there may be too many of them.
        if registry.len() >= most && registry.count_known() >= most {
            return Err(exceeded(
                "pipelines",
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
}

/// The events whose ids were not taken before and do not stand twice in the batch.
fn fresh(events: Vec<Admitted>, taken: &HashSet<String>) -> Vec<Admitted> {
    let mut own: HashSet<String> = HashSet::new();
    let fresh = |event: &Admitted| {
        event.event_id.as_ref().is_none_or(|id| !taken.contains(id) && own.insert(id.clone()))
    };
    events.into_iter().filter(fresh).collect()
}
