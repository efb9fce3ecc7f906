//! A desk: what a writer keeps of one pipeline — who reports, which files are open, what progress is held back.
//!
//! [`plan`] turns a batch into what is to be appended; [`ends`] has what is appended for those who left or fell silent. Nothing
//! here waits, or asks the log.

mod ends;
mod plan;

use std::collections::HashMap;

use ragpulse_protocol::{Cursor, Epoch, Event, Liveness, PipelineType, ReporterId, Timestamp};

pub(in crate::hub) use self::ends::removed;
pub(super) use self::plan::{Plan, Undo};
use crate::config::Config;
use crate::ingest::{Conflator, Heard, Lease, Leases};
use crate::log::{NewRecord, Record, Stored};

/// What a writer keeps of one pipeline.
pub(crate) struct Desk {
    pub(super) pipeline_type: PipelineType,
    pub(super) online: bool,
    pub(super) liveness: Liveness,
    /// Who reports. Where the log is shared it keeps the leases, and this is how they were when it was last asked.
    pub(super) leases: Leases,
    /// The lease that `pipeline:online` asked for.
    pub(super) lease_seconds: Option<u32>,
    pub(super) conflator: Conflator<NewRecord>,
    /// The end of the sequence; `None` until the first append.
    pub(super) last: Option<(Epoch, u64)>,
    /// The lease of a reporter that names none, where `pipeline:online` did not ask for one.
    default_lease: u32,
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

/// The desk of a pipeline that the log knew when the hub started. Its leases begin anew: those of the reporters that
/// have open files; where there are none, one of nobody, which ends when anybody speaks.
///
/// A log that is shared has kept the leases, also while no hub was there. What is needed of them is asked when it is needed.
pub(crate) fn restore(stored: &Stored, config: &Config, shared: bool, now: Timestamp) -> Desk {
    let state = &stored.state;
    let mut desk = Desk::new(state.pipeline_type.clone(), config);
    desk.online = state.is_online();
    desk.lease_seconds = state.lease_seconds;
    desk.last = Some((state.epoch.clone(), state.seq));
    let stands_in = desk.online && !shared;
    let lease = desk.usual_lease();
    for file in &stored.open {
        if stands_in {
            desk.leases.hear(file.owner.as_ref(), None, lease, usize::MAX, now);
        }
        let (name, reporter) = (file.name.clone(), file.owner.clone());
        desk.open.insert(file.id.clone(), OpenFile { name, reporter, processing: file.processing });
    }
    if stands_in && desk.leases.count() == 0 {
        desk.leases.hear(None, None, lease, usize::MAX, now);
        desk.lease_of_nobody = true;
    }
    desk
}

impl Desk {
    pub(super) fn new(pipeline_type: PipelineType, config: &Config) -> Self {
        let limits = &config.limits;
        Self {
            pipeline_type,
            online: false,
            liveness: Liveness::Live,
            leases: Leases::default(),
            lease_seconds: None,
            conflator: Conflator::new(limits.progress_per_file, limits.progress_per_pipeline),
            last: None,
            default_lease: config.lease_seconds,
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
                if let Some(seconds) = event.lease_seconds {
                    self.leases.set_seconds(reporter.as_ref(), seconds);
                }
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
    pub(super) fn hear(&mut self, reporter: Option<&ReporterId>, most: usize, now: Timestamp) -> Heard {
        self.leases.hear(reporter, None, self.usual_lease(), most, now)
    }

    /// The lease of a reporter that asks for none.
    fn usual_lease(&self) -> u32 {
        self.lease_seconds.unwrap_or(self.default_lease)
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
}
