//! A group: the publishes of one pipeline that are appended together, with what they do to its leases, and their answers.

use std::collections::HashSet;
use std::sync::Arc;

use ragpulse_protocol::command::PublishReceipt;
use ragpulse_protocol::{PipelineId, Problem, ReporterId, Timestamp};

use super::{Waiting, as_they_came};
use crate::hub::writer::desk::{Desk, Plan, Undo};
use crate::hub::writer::{Publish, Reply, Writer, unknown_pipeline};
use crate::ingest::{Admitted, Heard, Kind, Lease};
use crate::limits::exceeded;
use crate::log::{Appended, Batch, OfLease};
use crate::metrics::table::Taken;

/// A publish that has its plan, and waits for the log.
pub(super) struct Planned {
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
    /// Its reporter left, and others were believed to stay.
    left: bool,
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

/// Publishes that have their plans.
#[derive(Default)]
pub(super) struct Group {
    pub(super) planned: Vec<Planned>,
    batches: Vec<Batch>,
    leases: Changes,
    /// Those that have to wait until these were taken.
    pub(super) left_over: Vec<(Publish, Reply)>,
    /// Whether those who spoke have their leases renewed in the log.
    pub(super) renewed: bool,
}

/// What a group does to leases that the log keeps: the last word of each reporter, and what that relies on.
#[derive(Default)]
struct Changes {
    conditions: Vec<OfLease>,
    changes: Vec<OfLease>,
    /// Whether they have to be written, even if nothing else is.
    due: bool,
}

impl Changes {
    /// Conditions are looked at before any change of the group is made. So who is to be alone cannot go together with others that
    /// come or leave before.
    fn fits(&self, plan: &Plan, reporter: Option<&ReporterId>) -> bool {
        let is_alone = plan.leaves.iter().any(|change| matches!(change, OfLease::Alone(_)));
        !is_alone || self.changes.iter().all(|change| who(change) == reporter)
    }

    fn add(&mut self, change: OfLease, due: bool) {
        self.due |= due;
        if matches!(change, OfLease::Alone(_) | OfLease::Lapsed(_)) {
            self.conditions.push(change);
            return;
        }
        self.changes.retain(|before| who(before) != who(&change));
        self.changes.push(change);
    }
}

fn who(change: &OfLease) -> Option<&ReporterId> {
    let (OfLease::Lapsed(who) | OfLease::Alone(who) | OfLease::Renew(who, _) | OfLease::Leave(who)) = change;
    who.as_ref()
}

impl Group {
    /// What is to be appended, and what becomes of the leases.
    pub(super) fn take(&mut self) -> (Vec<Batch>, Vec<OfLease>) {
        let Changes { mut conditions, changes, due } = std::mem::take(&mut self.leases);
        let batches = std::mem::take(&mut self.batches);
        self.renewed = due || !batches.is_empty();
        if !self.renewed {
            return (batches, Vec::new());
        }
        conditions.extend(changes);
        (batches, conditions)
    }
}

impl Writer {
    /// Plans publishes of one pipeline, one after the other, as if each before it had been appended. `asked`: `taken` are their ids
    /// that were taken before; where that was not asked, and one of them cannot be planned, all are given back: what was taken
    /// before is no fault.
    pub(super) fn plan_all(
        &mut self,
        pipeline: &PipelineId,
        publishes: Waiting,
        mut taken: HashSet<String>,
        asked: bool,
    ) -> Result<Group, Waiting> {
        let shared = self.hub.log.is_shared();
        let mut group = Group::default();
        let mut publishes = publishes.into_iter();
        while let Some((publish, reply)) = publishes.next() {
            let ids: Vec<String> = publish.events.iter().filter_map(|event| event.event_id.clone()).collect();
            let (reporter, received_at) = (publish.reporter.clone(), publish.received_at);
            let request_id = publish.request_id.clone();
            let again = (shared || !asked).then(|| publish.clone());
            match self.plan(pipeline, publish, &taken) {
                Ok((plan, _, before)) if !group.leases.fits(&plan, reporter.as_ref()) => {
                    self.take_back_one(pipeline, reporter.as_ref(), plan.undo, before);
                    group.left_over.extend(again.map(|publish| (publish, reply)));
                    group.left_over.extend(publishes);
                    break;
                }
                Ok((plan, duplicates, before)) => {
                    taken.extend(ids);
                    let left = shared && self.note_leases(pipeline, reporter.as_ref(), &plan, &mut group);
                    let Plan { mut records, own, remember, conflated, undo, .. } = plan;
                    // What the hub adds is by the same request.
                    for record in records.iter_mut().filter(|record| record.request_id.is_none()) {
                        record.request_id = Some(request_id.clone());
                    }
                    let has_batch = !records.is_empty() || !remember.is_empty();
                    if has_batch && let Some(desk) = self.desks.get(pipeline) {
                        let pipeline_type = desk.pipeline_type.clone();
                        group.batches.push(Batch { pipeline_type, records, remember, received_at });
                    }
                    group.planned.push(Planned {
                        reply,
                        again,
                        reporter,
                        received_at,
                        request_id,
                        own,
                        has_batch,
                        duplicates,
                        conflated,
                        left,
                        undo,
                        before,
                    });
                }
                Err(_) if !asked => {
                    let mut back = as_they_came(self.take_back(pipeline, group.planned));
                    back.extend(again.map(|publish| (publish, reply)));
                    back.extend(publishes);
                    return Err(back);
                }
                Err(problem) => {
                    self.drop_unborn(pipeline, &group.planned);
                    let _ = reply.send(Err(problem));
                }
            }
        }
        Ok(group)
    }

    /// What a plan does to leases that the log keeps. Whether its reporter left, and others stay.
    fn note_leases(
        &self,
        pipeline: &PipelineId,
        reporter: Option<&ReporterId>,
        plan: &Plan,
        group: &mut Group,
    ) -> bool {
        let Some(desk) = self.desks.get(pipeline) else { return false };
        plan.leaves.iter().for_each(|change| group.leases.add(change.clone(), true));
        // Who spoke only to say again that it left is not there.
        if desk.online
            && !plan.gone
            && let Some(seconds) = desk.leases.seconds(reporter)
        {
            let due = desk.leases.is_due(reporter, self.hub.clock.now());
            group.leases.add(OfLease::Renew(reporter.cloned(), seconds), due);
        }
        plan.gone && desk.online
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

        let limits = &self.hub.config.limits;
        let own = desk.leases.of(reporter.as_ref());
        if desk.hear(reporter.as_ref(), limits.reporters, received_at) == Heard::TooMany {
            return Err(exceeded(
                "reporters",
                format!(
                    "Pipeline '{pipeline}' has as many reporters as it may. Give workers one reporter id."
                ),
            ));
        }
        let plan = desk.plan(pipeline, reporter.as_ref(), fresh, received_at, limits);
        let plan = plan.inspect_err(|_| desk.leases.put_back(reporter.as_ref(), own))?;
        // Now, and not when it is appended: who comes next in this group is not to be taken for nobody.
        let stood_in = desk.took(reporter.as_ref());
        Ok((plan, duplicates, Before { own, stood_in }))
    }

    /// Answers them. `renewed`: the log has the leases of those who spoke.
    pub(super) fn finish_all(
        &mut self,
        pipeline: &PipelineId,
        planned: Vec<Planned>,
        appended: Vec<Appended>,
        renewed: bool,
    ) {
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
            if renewed {
                desk.leases.wrote(plan.reporter.as_ref(), plan.received_at);
            }
            if plan.left {
                self.left.insert(pipeline.clone());
            }
            let _ = plan.reply.send(Ok(PublishReceipt { accepted, duplicates, conflated, epoch, seq }));
        }
        self.drop_unborn(pipeline, &[]);
        if let Some(desk) = self.desks.get_mut(pipeline) {
            if !desk.online {
                // Who spoke only to say again that it left is not there.
                desk.leases.clear();
            }
            if !renewed && self.hub.log.is_shared() && desk.leases.owes() {
                self.owing.insert(pipeline.clone());
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
    pub(super) fn take_back(
        &mut self,
        pipeline: &PipelineId,
        planned: Vec<Planned>,
    ) -> Vec<(Option<Publish>, Reply)> {
        let mut waiting = Vec::with_capacity(planned.len());
        for plan in planned.into_iter().rev() {
            self.take_back_one(pipeline, plan.reporter.as_ref(), plan.undo, plan.before);
            waiting.push((plan.again, plan.reply));
        }
        self.drop_unborn(pipeline, &[]);
        waiting.reverse();
        waiting
    }

    fn take_back_one(
        &mut self,
        pipeline: &PipelineId,
        reporter: Option<&ReporterId>,
        undo: Undo,
        before: Before,
    ) {
        if let Some(desk) = self.desks.get_mut(pipeline) {
            desk.undo(undo);
            desk.leases.put_back(reporter, before.own);
            desk.not_taken(before.stood_in);
        }
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
        self.desks.insert(pipeline.clone(), Desk::new(kind.clone(), &self.hub.config));
        Ok(())
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
