//! A desk: what a writer keeps of one pipeline — who reports, which files are open, what progress is held back.
//!
//! [`Desk::plan`] turns a batch into what is to be appended. It changes the desk as if the append had happened already;
//! where it does not happen, [`Desk::undo`] takes the changes back.

use std::collections::HashMap;
use std::sync::Arc;

use ragpulse_protocol::{
    Code, Cursor, Epoch, Event, Liveness, PipelineId, PipelineType, Problem, ReporterId, Timestamp,
};
use serde_json::json;

use crate::config::{Config, HubLimits};
use crate::ingest::{
    Admitted, Conflator, Heard, Kind, Lease, Leases, Move, Offer, Slot, hub_interrupted, hub_offline,
    hub_online,
};
use crate::limits::exceeded;
use crate::log::{NewRecord, Record, Stored};

/// What a writer keeps of one pipeline.
pub(crate) struct Desk {
    pub(super) pipeline_type: PipelineType,
    pub(super) online: bool,
    pub(super) liveness: Liveness,
    pub(super) leases: Leases,
    /// The lease that `pipeline:online` asked for.
    pub(super) lease_seconds: Option<u32>,
    pub(super) conflator: Conflator<NewRecord>,
    /// The end of the sequence; `None` until the first append.
    pub(super) last: Option<(Epoch, u64)>,
    /// The one lease there is was made when the hub started, not by a reporter.
    lease_of_nobody: bool,
    open: HashMap<String, OpenFile>,
}

#[derive(Debug, Clone)]
struct OpenFile {
    name: String,
    reporter: Option<ReporterId>,
    processing: bool,
}

/// What is to be appended of a batch.
pub(super) struct Plan {
    pub(super) records: Vec<NewRecord>,
    /// Which of the records the reporter sent; the hub made the others.
    pub(super) own: Vec<bool>,
    pub(super) remember: Vec<String>,
    pub(super) conflated: u64,
    pub(super) undo: Undo,
}

/// What a plan changed.
#[derive(Default)]
pub(super) struct Undo {
    online: Option<bool>,
    files: Vec<(String, Option<OpenFile>)>,
    lease_seconds: Option<Option<u32>>,
    rate: Option<(i64, i64)>,
    slots: Vec<(String, Option<Slot<NewRecord>>)>,
}

/// The desk of a pipeline that the log knew when the hub started. Its leases begin anew: those of the reporters that
/// have open files; where there are none, one of nobody, which ends when anybody speaks.
pub(crate) fn restore(stored: &Stored, config: &Config, now: Timestamp) -> Desk {
    let state = &stored.state;
    let mut desk = Desk::new(state.pipeline_type.clone(), &config.limits);
    desk.online = state.is_online();
    desk.lease_seconds = state.lease_seconds;
    desk.last = Some((state.epoch.clone(), state.seq));
    let lease = state.lease_seconds.unwrap_or(config.lease_seconds);
    for file in &stored.open {
        if desk.online {
            desk.leases.hear(file.owner.as_ref(), None, lease, usize::MAX, now);
        }
        let (name, reporter) = (file.name.clone(), file.owner.clone());
        desk.open.insert(file.id.clone(), OpenFile { name, reporter, processing: file.processing });
    }
    if desk.online && desk.leases.count() == 0 {
        desk.leases.hear(None, None, lease, usize::MAX, now);
        desk.lease_of_nobody = true;
    }
    desk
}

impl Desk {
    pub(super) fn new(pipeline_type: PipelineType, limits: &HubLimits) -> Self {
        Self {
            pipeline_type,
            online: false,
            liveness: Liveness::Live,
            leases: Leases::default(),
            lease_seconds: None,
            conflator: Conflator::new(limits.progress_per_file, limits.progress_per_pipeline),
            last: None,
            lease_of_nobody: false,
            open: HashMap::new(),
        }
    }

    /// Where the pipeline ends, as far as this desk knows: what it plans is right there, and nowhere else.
    pub(super) fn position(&self) -> Option<Cursor> {
        self.last.clone().map(|(epoch, seq)| Cursor { epoch, seq })
    }

    /// An event that another hub appended, in order: the desk is as if it had planned it. Leases are not in events.
    pub(super) fn follow(&mut self, record: &Record) {
        let cursor = record.cursor();
        self.last = Some((cursor.epoch, cursor.seq));
        let reporter = record.reporter.clone();
        match &record.event {
            Event::PipelineOnline(event) => {
                self.online = true;
                self.lease_seconds = event.lease_seconds.or(self.lease_seconds);
            }
            Event::PipelineOffline(_) => {
                self.online = false;
                self.leases.clear();
            }
            Event::PipelineRemoved(_) => {
                self.online = false;
                self.leases.clear();
                self.open.drain().for_each(|(id, _)| self.conflator.cancel(&id));
            }
            Event::FileProgress(event) => {
                let (id, at) = (&event.file.id, record.received_at.as_millis());
                let Some(file) = self.open.get_mut(id) else { return };
                file.reporter = reporter;
                let stage = event.processing_stage.as_ref().map(|stage| stage.as_str());
                let told_at = event.timestamp;
                self.conflator.sent_elsewhere(id, stage, at, |held| held.timestamp > told_at);
            }
            event => {
                let Some(file) = event.file() else { return };
                self.conflator.cancel(&file.id);
                let processing = matches!(event, Event::FileProcessing(_));
                if processing || matches!(event, Event::FileQueued(_) | Event::FileRetrying(_)) {
                    let name = file.name.clone();
                    self.open.insert(file.id.clone(), OpenFile { name, reporter, processing });
                } else {
                    self.open.remove(&file.id);
                }
            }
        }
    }

    /// Progress that was due did not go: it waits again, unless it is over.
    pub(super) fn hold_again(&mut self, records: Vec<NewRecord>, now: Timestamp) {
        for record in records {
            // Only here is it asked for, and seldom: the text has it.
            let fields: Option<serde_json::Value> = serde_json::from_str(&record.body).ok();
            if let Some(id) = fields.as_ref().and_then(|fields| fields["file"]["id"].as_str()) {
                self.conflator.hold(id, record, now.as_millis());
            }
        }
    }

    /// A reporter speaks: its lease begins anew.
    pub(super) fn hear(&mut self, reporter: Option<&ReporterId>, config: &Config, now: Timestamp) -> Heard {
        let lease = self.lease_seconds.unwrap_or(config.lease_seconds);
        self.leases.hear(reporter, None, lease, config.limits.reporters, now)
    }

    /// A reporter has spoken: it is there, so nobody need stand in for it. Gives the lease that stood in until then.
    pub(super) fn took(&mut self, reporter: Option<&ReporterId>) -> Option<Lease> {
        if !std::mem::take(&mut self.lease_of_nobody) {
            return None;
        }
        let lease = self.leases.of(None);
        if reporter.is_some() {
            self.leases.leave(None);
        }
        lease
    }

    /// What the reporter sent was not taken after all.
    pub(super) fn not_taken(&mut self, stood_in: Option<Lease>) {
        if stood_in.is_some() {
            self.leases.put_back(None, stood_in);
            self.lease_of_nobody = true;
        }
    }

    fn has_others(&self, reporter: Option<&ReporterId>) -> bool {
        self.leases.others(reporter).any(|other| other.is_some() || !self.lease_of_nobody)
    }

    /// What a batch comes to. On an error the desk is as it was.
    pub(super) fn plan(
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
        if !self.online && !matches!(event.kind, Kind::Online { .. } | Kind::Offline) {
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
                self.leases.leave(reporter);
                plan.conflated += 1;
                plan.remember.extend(event.event_id);
            }
            Kind::Offline => {
                self.interrupt(plan, now, |_| true);
                self.leases.leave(reporter);
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

    /// Open files by id, so that the order does not depend on a hash.
    fn which(&self, which: impl Fn(&OpenFile) -> bool) -> Vec<(String, String)> {
        let mut files: Vec<(String, String)> = self
            .open
            .iter()
            .filter(|(_, file)| which(file))
            .map(|(id, file)| (id.clone(), file.name.clone()))
            .collect();
        files.sort_unstable();
        files
    }

    /// What is to be appended when reporters fell silent.
    pub(super) fn lapse_records(&self, lapsed: &[Option<ReporterId>], now: Timestamp) -> Vec<NewRecord> {
        let last = self.is_last(lapsed);
        let mut records: Vec<NewRecord> = self
            .which(|file| last || (file.processing && lapsed.contains(&file.reporter)))
            .into_iter()
            .map(|(id, name)| hub_interrupted(&id, &name, true, now))
            .collect();
        if last && self.online {
            records.push(hub_offline(now));
        }
        records
    }

    /// Those reporters are gone, and what they left behind has been ended.
    pub(super) fn lapse(&mut self, lapsed: &[Option<ReporterId>]) {
        let last = self.is_last(lapsed);
        for (id, _) in self.which(|file| last || (file.processing && lapsed.contains(&file.reporter))) {
            self.conflator.cancel(&id);
            self.open.remove(&id);
        }
        for reporter in lapsed {
            self.leases.leave(reporter.as_ref());
        }
        if last {
            self.online = false;
        }
    }

    fn is_last(&self, lapsed: &[Option<ReporterId>]) -> bool {
        self.leases.count() == lapsed.len()
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
    pub(super) fn undo(&mut self, undo: Undo) {
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

/// The last event of a pipeline that is forgotten.
pub(super) fn removed(requested_by: Option<&str>, now: Timestamp) -> NewRecord {
    let fields = requested_by.map_or(json!({}), |who| json!({ "requested_by": who }));
    NewRecord {
        name: Arc::from("pipeline:removed"),
        event_id: None,
        reporter: None,
        timestamp: now,
        received_at: now,
        file_id: None,
        body: fields.to_string(),
        request_id: None,
    }
}
