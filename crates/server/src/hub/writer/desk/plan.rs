//! Planning: what a batch of a reporter comes to, right after all that is known to have happened. It changes the desk as if the
//! append had happened already; [`Desk::undo`] takes that back.

use ragpulse_protocol::{Code, PipelineId, Problem, ReporterId, Timestamp};

use super::{Desk, OpenFile};
use crate::config::HubLimits;
use crate::ingest::{Admitted, Kind, Move, Offer, Slot, hub_interrupted, hub_online};
use crate::limits::exceeded;
use crate::log::{NewRecord, OfLease};

/// What is to be appended of a batch.
pub(in super::super) struct Plan {
    pub(in super::super) records: Vec<NewRecord>,
    /// Which of the records the reporter sent; the hub made the others.
    pub(in super::super) own: Vec<bool>,
    pub(in super::super) remember: Vec<String>,
    pub(in super::super) conflated: u64,
    /// What leaving does to leases that a log keeps, and needs of them.
    pub(in super::super) leaves: Vec<OfLease>,
    /// The reporter left, and has not spoken since.
    pub(in super::super) gone: bool,
    pub(in super::super) undo: Undo,
}

/// What a plan changed.
#[derive(Default)]
pub(in super::super) struct Undo {
    online: Option<bool>,
    files: Vec<(String, Option<OpenFile>)>,
    lease_seconds: Option<Option<u32>>,
    rate: Option<(i64, i64)>,
    slots: Vec<(String, Option<Slot<NewRecord>>)>,
}

impl Desk {
    /// What a batch comes to. On an error the desk is as it was.
    pub(in super::super) fn plan(
        &mut self,
        pipeline: &PipelineId,
        reporter: Option<&ReporterId>,
        events: Vec<Admitted>,
        now: Timestamp,
        limits: &HubLimits,
    ) -> Result<Plan, Problem> {
        let mut plan = Plan {
            records: Vec::with_capacity(events.len()),
            own: Vec::with_capacity(events.len()),
            remember: Vec::new(),
            conflated: 0,
            leaves: Vec::new(),
            gone: false,
            undo: Undo::default(),
        };
        for event in events {
            if let Err(problem) = self.check(pipeline, &event, limits) {
                self.undo(plan.undo);
                return Err(problem.at_index(event.index));
            }
            self.plan_one(reporter, event, now, &mut plan);
        }
        Ok(plan)
    }

    fn check(&self, pipeline: &PipelineId, event: &Admitted, limits: &HubLimits) -> Result<(), Problem> {
        if let Some(given) = event.pipeline_type.as_ref().filter(|given| **given != self.pipeline_type) {
            let message = format!(
                "Pipeline '{pipeline}' is of type '{}', and this says '{given}'.",
                self.pipeline_type
            );
            return Err(match event.kind {
                Kind::Online { .. } => Problem::new(
                    Code::TypeConflict,
                    format!("{message} Take another id, or forget the pipeline first."),
                ),
                _ => Problem::new(Code::PipelineMismatch, message),
            }
            .at_field("data.pipeline_type"));
        }
        if let Kind::File { id, moved: Move::Queue | Move::Process, .. } = &event.kind
            && self.open.len() >= limits.open_files
            && !self.open.contains_key(id)
        {
            let message = format!(
                "Pipeline '{pipeline}' has {} open files, the most there may be. Wait until some have ended.",
                self.open.len()
            );
            return Err(exceeded("open_files", message));
        }
        Ok(())
    }

    fn plan_one(&mut self, reporter: Option<&ReporterId>, event: Admitted, now: Timestamp, plan: &mut Plan) {
        let leaves = matches!(event.kind, Kind::Offline);
        if !leaves && std::mem::take(&mut plan.gone) {
            self.hear(reporter, usize::MAX, now);
        }
        if !self.online && !leaves && !matches!(event.kind, Kind::Online { .. }) {
            self.set_online(true, plan);
            plan.hubs_own(hub_online(now));
        }
        match event.kind.clone() {
            Kind::Heartbeat => plan.conflated += 1,
            Kind::Online { lease_seconds } => {
                if lease_seconds.is_some() {
                    plan.undo.lease_seconds.get_or_insert(self.lease_seconds);
                    self.lease_seconds = lease_seconds;
                    self.leases.hear(reporter, lease_seconds, 0, usize::MAX, now);
                }
                self.set_online(true, plan);
                plan.reporters(record(event, reporter, now));
            }
            Kind::Offline if self.has_others(reporter) => {
                // Others still report, so the pipeline stays; only this reporter's work ends.
                self.interrupt(plan, now, |file| file.processing && file.reporter.as_ref() == reporter);
                self.leave(reporter, plan);
                plan.conflated += 1;
                plan.remember.extend(event.event_id);
            }
            Kind::Offline => {
                self.interrupt(plan, now, |_| true);
                plan.leaves.push(OfLease::Alone(reporter.cloned()));
                self.leave(reporter, plan);
                self.set_online(false, plan);
                plan.reporters(record(event, reporter, now));
            }
            Kind::File { id, name, moved } => {
                self.cancel_progress(&id, plan);
                let file = match moved {
                    Move::End => None,
                    Move::Queue | Move::Process => Some(OpenFile {
                        name,
                        reporter: reporter.cloned(),
                        processing: moved == Move::Process,
                    }),
                };
                self.set_file(id, file, plan);
                plan.reporters(record(event, reporter, now));
            }
            Kind::Progress { id, stage } => self.progress(reporter, event, &id, stage.as_deref(), now, plan),
            Kind::Other => plan.reporters(record(event, reporter, now)),
        }
    }

    fn leave(&mut self, reporter: Option<&ReporterId>, plan: &mut Plan) {
        self.leases.leave(reporter);
        plan.leaves.push(OfLease::Leave(reporter.cloned()));
        plan.gone = true;
    }

    fn progress(
        &mut self,
        reporter: Option<&ReporterId>,
        mut event: Admitted,
        id: &str,
        stage: Option<&str>,
        now: Timestamp,
        plan: &mut Plan,
    ) {
        let event_id = event.event_id.take();
        // Progress of a file that has ended is superseded by its end.
        let Some(file) = self.open.get(id) else {
            plan.conflated += 1;
            plan.remember.extend(event_id);
            return;
        };
        if file.reporter.as_ref() != reporter {
            // Who tells of its progress works on it now, and answers for it.
            let file = OpenFile { reporter: reporter.cloned(), ..file.clone() };
            self.set_file(id.to_owned(), Some(file), plan);
        }
        self.note_progress(id, plan);
        match self.conflator.offer(id, stage, record(event, reporter, now), now.as_millis()) {
            Offer::Now(mut record) => {
                record.event_id = event_id;
                plan.reporters(record);
            }
            Offer::Held => {
                plan.conflated += 1;
                plan.remember.extend(event_id);
            }
        }
    }

    /// Ends open files whose reporter left, before whatever comes next.
    fn interrupt(&mut self, plan: &mut Plan, now: Timestamp, which: impl Fn(&OpenFile) -> bool) {
        for (id, name) in self.which(which) {
            plan.hubs_own(hub_interrupted(&id, &name, false, now));
            self.cancel_progress(&id, plan);
            self.set_file(id, None, plan);
        }
    }

    fn set_online(&mut self, online: bool, plan: &mut Plan) {
        plan.undo.online.get_or_insert(self.online);
        self.online = online;
    }

    fn set_file(&mut self, id: String, file: Option<OpenFile>, plan: &mut Plan) {
        let before = match file {
            Some(file) => self.open.insert(id.clone(), file),
            None => self.open.remove(&id),
        };
        plan.undo.files.push((id, before));
    }

    fn cancel_progress(&mut self, id: &str, plan: &mut Plan) {
        self.note_progress(id, plan);
        self.conflator.cancel(id);
    }

    /// Notes what is held back of a file before it changes.
    fn note_progress(&self, id: &str, plan: &mut Plan) {
        plan.undo.rate.get_or_insert_with(|| self.conflator.rate());
        plan.undo.slots.push((id.to_owned(), self.conflator.slot(id)));
    }

    /// Takes back what a plan changed, all but the lease of its reporter, which the caller had before.
    pub(in super::super) fn undo(&mut self, undo: Undo) {
        for (id, before) in undo.files.into_iter().rev() {
            match before {
                Some(file) => self.open.insert(id, file),
                None => self.open.remove(&id),
            };
        }
        for (id, before) in undo.slots.into_iter().rev() {
            self.conflator.put_back(id, before);
        }
        if let Some(rate) = undo.rate {
            self.conflator.put_rate_back(rate);
        }
        if let Some(lease_seconds) = undo.lease_seconds {
            self.lease_seconds = lease_seconds;
        }
        if let Some(online) = undo.online {
            self.online = online;
        }
    }
}

impl Plan {
    fn reporters(&mut self, record: NewRecord) {
        self.records.push(record);
        self.own.push(true);
    }

    fn hubs_own(&mut self, record: NewRecord) {
        self.records.push(record);
        self.own.push(false);
    }
}

fn record(event: Admitted, reporter: Option<&ReporterId>, now: Timestamp) -> NewRecord {
    let file_id = match event.kind {
        Kind::File { id, .. } => Some(id),
        _ => None,
    };
    NewRecord {
        name: event.name,
        event_id: event.event_id,
        reporter: reporter.cloned(),
        timestamp: event.timestamp,
        received_at: now,
        file_id,
        body: event.body,
        request_id: event.request_id,
    }
}
