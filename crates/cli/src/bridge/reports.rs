//! The events that a bridge reports, each with an id that follows from what it is about.
//!
//! *What may come in:* what the differ found. *What it never does:* decide what is reported, or read a clock.

use ragpulse_protocol::parts::{ErrorReport, FileReport, INTERRUPTED, OfflineReason, Results, Stage};
use ragpulse_protocol::report::{
    FileCompletedReport, FileFailedReport, FileProcessingReport, FileProgressReport, PipelineOfflineReport,
    PipelineOnlineReport, StatusUpdateReport,
};
use ragpulse_protocol::{Object, Report, ReportedEvent, Timestamp};
use serde_json::{Value, json};

use super::dict::{Dict, Entry};
use super::ids::{id_of, short};
use super::known::Known;
use super::time::happened;

/// The code of errors with which a bridge ends files that nobody works on any more.
pub(crate) const GAVE_UP: &str = "bridge_gave_up";
/// The event that tells of files whose ends were counted but never listed.
pub(crate) const UNSEEN: &str = "x:bridge:unseen";

/// How a file ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Completed,
    Failed,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }
}

/// Makes the events of one pipeline.
#[derive(Debug)]
pub(crate) struct Reports {
    pub(crate) pipeline: String,
}

impl Reports {
    fn event(&self, report: impl Into<Report>, id: &[&str], timestamp: Timestamp) -> ReportedEvent {
        let parts: Vec<&str> = std::iter::once(self.pipeline.as_str()).chain(id.iter().copied()).collect();
        ReportedEvent {
            event_id: Some(id_of(&parts)),
            timestamp: Some(timestamp),
            ..ReportedEvent::from(report.into())
        }
    }

    /// `salt` tells one time online from another of the same process.
    pub(crate) fn online(&self, dict: &Dict, salt: &str, now: Timestamp) -> ReportedEvent {
        let text = |names: &[&str]| {
            let found = names.iter().find_map(|name| dict.keys.get(*name).and_then(Value::as_str));
            found.filter(|text| !text.is_empty()).map(|text| short(text, 4_096))
        };
        let report = PipelineOnlineReport {
            started_at: happened(dict.started.at, now),
            check_interval: dict.keys.get("check_interval").and_then(Value::as_f64).filter(|s| *s >= 0.0),
            watch_location: text(&["watch_location", "watch_directory", "watch_folder", "folder_id"]),
            ..PipelineOnlineReport::default()
        };
        self.event(report, &["online", dict.started.raw.as_deref().unwrap_or_default(), salt], now)
    }

    pub(crate) fn offline(
        &self,
        reason: OfflineReason,
        last_seen: Timestamp,
        now: Timestamp,
    ) -> ReportedEvent {
        let report = PipelineOfflineReport { reason: Some(reason), ..PipelineOfflineReport::default() };
        self.event(report, &["offline", &last_seen.to_string()], now)
    }

    /// `salt` tells one begin from another of the same start.
    pub(crate) fn begin(&self, id: &str, entry: &Entry, salt: &str, now: Timestamp) -> ReportedEvent {
        let (started, completed) = times(entry, now);
        let report = FileProcessingReport {
            file: file(id, entry, started, None),
            processing_stage: stage_of(entry),
            ..FileProcessingReport::default()
        };
        let parts = ["begin", id, entry.started.raw.as_deref().unwrap_or_default(), salt];
        self.event(report, &parts, started.or(completed).unwrap_or(now))
    }

    pub(crate) fn progress(
        &self,
        id: &str,
        entry: &Entry,
        stage: Option<&str>,
        progress: f64,
        now: Timestamp,
    ) -> ReportedEvent {
        let report = FileProgressReport {
            file: FileReport { id: Some(id.to_owned()), ..FileReport::named(&entry.name) },
            progress,
            processing_stage: stage.map(Stage::from),
            ..FileProgressReport::default()
        };
        let start = entry.started.raw.as_deref().unwrap_or_default();
        let parts = ["progress", id, start, stage.unwrap_or_default(), &progress.to_string()];
        self.event(report, &parts, now)
    }

    /// The end of a file as its entry tells it. `salt` tells one end from another where no time does.
    pub(crate) fn end(
        &self,
        kind: Kind,
        id: &str,
        entry: &Entry,
        salt: &str,
        now: Timestamp,
    ) -> ReportedEvent {
        let (started, completed) = times(entry, now);
        let file = file(id, entry, started, completed);
        let parts = ["end", kind.word(), id, entry.completed.raw.as_deref().unwrap_or_default(), salt];
        let at = completed.unwrap_or(now);
        match kind {
            Kind::Completed => {
                let results = Some(results(entry));
                self.event(FileCompletedReport { file, results, ..Default::default() }, &parts, at)
            }
            Kind::Failed => {
                self.event(FileFailedReport { file, error: error(entry), ..Default::default() }, &parts, at)
            }
        }
    }

    /// The end of a file of which only the totals tell.
    pub(crate) fn counted(&self, kind: Kind, id: &str, known: &Known, now: Timestamp) -> ReportedEvent {
        let file = FileReport { id: Some(id.to_owned()), ..FileReport::named(&known.name) };
        let parts = self.attempt_parts("counted", id, known);
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        match kind {
            Kind::Completed => {
                let note = "the results are not known: more files completed between two looks than the status \
                            server lists, and its total tells that this one did";
                let warnings = Some(vec![note.to_owned()]);
                self.event(FileCompletedReport { file, warnings, ..Default::default() }, &parts, now)
            }
            Kind::Failed => {
                let message = "the cause is not known: more files failed between two looks than the status server \
                               lists, and its total tells that this one did";
                let error = ErrorReport { message: message.to_owned(), ..ErrorReport::default() };
                self.event(FileFailedReport { file, error, ..Default::default() }, &parts, now)
            }
        }
    }

    /// The end of a file that nobody works on any more.
    pub(crate) fn interrupted(
        &self,
        id: &str,
        known: &Known,
        message: &str,
        now: Timestamp,
    ) -> ReportedEvent {
        let error = ErrorReport {
            message: message.to_owned(),
            kind: Some(INTERRUPTED.to_owned()),
            code: Some(GAVE_UP.to_owned()),
            retryable: Some(true),
            ..ErrorReport::default()
        };
        let file = FileReport { id: Some(id.to_owned()), ..FileReport::named(&known.name) };
        let parts = self.attempt_parts("gave up", id, known);
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        self.event(FileFailedReport { file, error, ..Default::default() }, &parts, now)
    }

    /// An attempt is known by its start; by the text where there is one, which is the same for every bridge.
    fn attempt_parts(&self, what: &str, id: &str, known: &Known) -> [String; 4] {
        let start = known.started.at.map(|at| at.to_string()).or_else(|| known.started.raw.clone());
        [what.to_owned(), id.to_owned(), start.unwrap_or_default(), known.salt.clone()]
    }

    pub(crate) fn unseen(&self, dict: &Dict, completed: u64, failed: u64, now: Timestamp) -> ReportedEvent {
        let data = json!({
            "completed": completed,
            "failed": failed,
            "message": "the status server counted these ends between two looks, but its lists no longer name the files",
        });
        let data = data.as_object().cloned().unwrap_or_default();
        let total = |total: Option<u64>| total.unwrap_or_default().to_string();
        let parts = [
            "unseen",
            dict.started.raw.as_deref().unwrap_or_default(),
            &total(dict.total_processed),
            &total(dict.total_failed),
        ];
        self.event(Report::Custom { name: UNSEEN.to_owned(), data }, &parts, now)
    }

    pub(crate) fn update(&self, changes: Object, now: Timestamp) -> ReportedEvent {
        let text = Value::from(changes.clone()).to_string();
        let extra = Object::new();
        self.event(StatusUpdateReport { changes, extra }, &["update", &now.to_string(), &text], now)
    }
}

/// When work on an entry began and ended, as far as that can be.
pub(crate) fn times(entry: &Entry, now: Timestamp) -> (Option<Timestamp>, Option<Timestamp>) {
    let started = happened(entry.started.at, now);
    let completed = happened(entry.completed.at, now);
    // One of the two is of another time zone than it seems: nobody knows which.
    match (started, completed) {
        (Some(started), Some(completed)) if completed < started => (Some(started), None),
        times => times,
    }
}

fn file(id: &str, entry: &Entry, started: Option<Timestamp>, completed: Option<Timestamp>) -> FileReport {
    let text = |name: &str, most: usize| {
        entry.fields.get(name).and_then(Value::as_str).filter(|text| text.len() <= most).map(str::to_owned)
    };
    FileReport {
        id: Some(id.to_owned()),
        path: text("path", 4_096),
        size: entry.fields.get("size").and_then(Value::as_u64),
        mime_type: text("mime_type", 256),
        started_at: started,
        completed_at: completed,
        ..FileReport::named(&entry.name)
    }
}

pub(crate) fn stage_of(entry: &Entry) -> Option<Stage> {
    let stage = entry.field(&["processing_stage", "stage"])?.as_str()?;
    (!stage.is_empty() && stage.len() <= 128).then(|| Stage::from(stage))
}

fn results(entry: &Entry) -> Results {
    let count = |names: &[&str]| entry.field(names).and_then(Value::as_u64);
    let seconds = entry.field(&["duration", "processing_duration"]).and_then(Value::as_f64);
    Results {
        chunks_created: count(&["chunks", "chunks_created"]),
        embeddings_generated: count(&["embeddings", "embeddings_generated"]),
        processing_duration: seconds.filter(|seconds| *seconds >= 0.0),
        content_length: count(&["content_length"]),
        extra: Object::new(),
    }
}

fn error(entry: &Entry) -> ErrorReport {
    let told = entry.field(&["error"]);
    let of = |name: &str| told.and_then(Value::as_object).and_then(|error| error.get(name));
    let text = |value: Option<&Value>, most: usize| {
        value.and_then(Value::as_str).filter(|text| !text.is_empty()).map(|text| short(text, most))
    };
    let message = text(told, 8_000).or_else(|| text(of("message"), 8_000));
    let stage = of("stage").and_then(Value::as_str).map(str::to_owned);
    ErrorReport {
        message: message.unwrap_or_else(|| "the status server gives no cause".to_owned()),
        kind: text(of("type"), 256).or_else(|| text(entry.field(&["error_type"]), 256)),
        code: text(of("code"), 256),
        stage: stage
            .filter(|stage| stage.len() <= 128)
            .map(|s| Stage::from(s.as_str()))
            .or_else(|| stage_of(entry)),
        retryable: of("retryable").and_then(Value::as_bool),
        extra: Object::new(),
    }
}
