//! Admission: from JSON of unknown origin to events that are valid in themselves.

use std::sync::Arc;

use ragpulse_protocol::contract::{CUSTOM_PREFIX, EVENTS, MESSAGES};
use ragpulse_protocol::reduce::{is_reserved_key, is_valid_change};
use ragpulse_protocol::report::{HEARTBEAT, Report};
use ragpulse_protocol::{Code, Object, PipelineId, PipelineType, Problem, ReportedEvent, Timestamp, limits};
use serde_json::Value;

use super::fill;
use crate::config::HubLimits;
use crate::limits::depth::PARSED_DEPTH;
use crate::limits::{AtLimit, depth};

/// The largest value of a key of `status:update`: as many as a state holds have to fit into a snapshot.
const CHANGE_BYTES: usize = 4_096;

/// An event that may be appended.
#[derive(Debug, Clone)]
pub(crate) struct Admitted {
    /// Its place in the batch as it was sent.
    pub(crate) index: usize,
    pub(crate) name: Arc<str>,
    pub(crate) event_id: Option<String>,
    pub(crate) timestamp: Timestamp,
    /// The own fields as they are delivered: the text of a JSON object.
    pub(crate) body: String,
    /// The type the reporter gave, which must be the pipeline's.
    pub(crate) pipeline_type: Option<PipelineType>,
    pub(crate) kind: Kind,
    /// The id of the request that brought it, once it is known.
    pub(crate) request_id: Option<Arc<str>>,
}

/// What the writer has to know of an event.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Heartbeat,
    Online { lease_seconds: Option<u32> },
    Offline,
    File { id: String, name: String, moved: Move },
    Progress { id: String, stage: Option<String> },
    Other,
}

/// Where an event puts a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Move {
    Queue,
    Process,
    End,
}

/// Reads the body of an ingest request: one event, an array of them, or one a line.
pub(crate) fn parse_batch(body: &[u8], lines: bool, limits: &HubLimits) -> Result<Vec<Value>, Problem> {
    let events: Vec<Value> = if lines {
        let mut events = Vec::new();
        for (number, line) in body.split(|byte| *byte == b'\n').enumerate() {
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let event = serde_json::from_slice(line)
                .map_err(|error| invalid_json(&error, line, Some(number + 1)).at_index(events.len()))?;
            events.push(event);
        }
        events
    } else {
        match serde_json::from_slice(body).map_err(|error| invalid_json(&error, body, None))? {
            Value::Array(events) => events,
            event => vec![event],
        }
    };
    check_size(events.len(), limits)?;
    Ok(events)
}

fn invalid_json(error: &serde_json::Error, text: &[u8], line: Option<usize>) -> Problem {
    let place = line.map(|line| format!(" on line {line}")).unwrap_or_default();
    let problem = Problem::new(Code::InvalidJson, format!("The body is not JSON{place}: {error}."));
    if depth::of_text(text) > PARSED_DEPTH { problem.at_limit("json_depth") } else { problem }
}

fn check_size(count: usize, limits: &HubLimits) -> Result<(), Problem> {
    if count > limits.batch_events {
        let message = format!(
            "A batch holds at most {} events, and this one has {count}. Send it in parts.",
            limits.batch_events
        );
        return Err(Problem::new(Code::BatchTooLarge, message).at_limit("batch_events"));
    }
    Ok(())
}

/// Admits a batch: all of it, or the first thing that is wrong.
pub(crate) fn admit_all(
    events: Vec<Value>,
    pipeline: &PipelineId,
    now: Timestamp,
    limits: &HubLimits,
) -> Result<Vec<Admitted>, Problem> {
    check_size(events.len(), limits)?;
    events
        .into_iter()
        .enumerate()
        .map(|(index, event)| {
            let mut admitted = admit(event, pipeline, now, limits).map_err(|mut problem| {
                problem.detail = format!("Event {index}: {}", problem.detail);
                problem.at_index(index)
            })?;
            admitted.index = index;
            Ok(admitted)
        })
        .collect()
}

fn admit(
    event: Value,
    pipeline: &PipelineId,
    now: Timestamp,
    limits: &HubLimits,
) -> Result<Admitted, Problem> {
    if depth::is_beyond(&event, limits.json_depth) {
        let message = format!("An event is nested at most {} deep, and this one deeper.", limits.json_depth);
        return Err(Problem::new(Code::InvalidEvent, message).at_field("data").at_limit("json_depth"));
    }
    let event: ReportedEvent = decode(event, "")?;
    let ReportedEvent { event: name, event_id, timestamp, mut data, .. } = event;
    if event_id.as_ref().is_some_and(|id| id.is_empty() || id.len() > 128) {
        return Err(invalid("event_id", "an event id has 1 to 128 characters"));
    }
    let (inner_time, pipeline_type) = take_shared(&mut data, pipeline)?;
    let timestamp = timestamp.or(inner_time).unwrap_or(now);

    if name == HEARTBEAT {
        return Ok(Admitted {
            index: 0,
            name: HEARTBEAT.into(),
            event_id: None,
            timestamp,
            body: String::new(),
            pipeline_type,
            kind: Kind::Heartbeat,
            request_id: None,
        });
    }
    let report = decode_report(&name, data)?;
    check(&report, pipeline_type.as_ref(), limits.field_bytes)?;
    let kind = kind_of(&report);
    let fields = fill::delivered(report, timestamp);
    let body = serde_json::to_string(&fields).map_err(|error| {
        Problem::new(Code::InvalidEvent, format!("It cannot be written as JSON: {error}."))
    })?;
    if body.len() > limits.event_bytes {
        let message =
            format!("An event holds at most {} bytes, and this one has {}.", limits.event_bytes, body.len());
        let problem = Problem::new(Code::InvalidEvent, message).at_field("data");
        return Err(problem.at_limit("event_bytes"));
    }
    Ok(Admitted {
        index: 0,
        name: name.into(),
        event_id,
        timestamp,
        body,
        pipeline_type,
        kind,
        request_id: None,
    })
}

/// Takes the shared fields out of an event's own: some may be repeated, some only the hub may set.
fn take_shared(
    data: &mut Object,
    pipeline: &PipelineId,
) -> Result<(Option<Timestamp>, Option<PipelineType>), Problem> {
    for key in ["epoch", "seq", "received_at", "previous_state", "current_status"] {
        if data.contains_key(key) {
            let message = format!("Only the hub sets `{key}`. Leave it out.");
            return Err(Problem::new(Code::ReservedField, message).at_field(format!("data.{key}")));
        }
    }
    if let Some(given) = data.remove("pipeline_id")
        && given.as_str() != Some(pipeline.as_str())
    {
        let message = format!("It names pipeline {given}, but is reported to '{pipeline}'.");
        return Err(Problem::new(Code::PipelineMismatch, message).at_field("data.pipeline_id"));
    }
    let time = match data.remove("timestamp") {
        Some(value) => Some(decode::<Timestamp>(value, "data.timestamp")?),
        None => None,
    };
    let kind = match data.remove("pipeline_type") {
        Some(value) => Some(decode::<PipelineType>(value, "data.pipeline_type")?),
        None => None,
    };
    Ok((time, kind))
}

fn decode<T: serde::de::DeserializeOwned>(value: Value, at: &str) -> Result<T, Problem> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let field = match (at, path.as_str()) {
            ("", "." | "") => "event".to_owned(),
            ("", path) => path.to_owned(),
            (at, "." | "") => at.to_owned(),
            (at, path) => format!("{at}.{path}"),
        };
        invalid(&field, &error.into_inner().to_string())
    })
}

fn decode_report(name: &str, data: Object) -> Result<Report, Problem> {
    if name.len() > 128 {
        return Err(invalid("event", "the name of an event has at most 128 characters"));
    }
    // A name becomes a line of a stream of server-sent events.
    if name.chars().any(char::is_control) {
        return Err(invalid("event", "the name of an event has no line breaks or other control characters"));
    }
    let mut track = serde_path_to_error::Track::new();
    let decoded = {
        let deserializer = serde_path_to_error::Deserializer::new(Value::Object(data), &mut track);
        Report::decode(name, deserializer)
    };
    match decoded {
        Some(Ok(report)) => Ok(report),
        Some(Err(error)) => {
            let path = track.path().to_string();
            let field = if path == "." { "data".to_owned() } else { format!("data.{path}") };
            Err(invalid(&field, &error.to_string()))
        }
        None => Err(unknown_event(name)),
    }
}

fn unknown_event(name: &str) -> Problem {
    let shown: String = name.chars().take(60).collect();
    let hubs_own = MESSAGES.iter().map(|message| message.name);
    let hubs_own =
        hubs_own.chain(EVENTS.iter().filter(|event| event.report.is_none()).map(|event| event.name));
    let message = if hubs_own.into_iter().any(|own| own == name) {
        format!("Only the hub sends '{shown}'.")
    } else {
        let near = Report::NAMES
            .iter()
            .chain([&HEARTBEAT])
            .max_by(|a, b| strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name)));
        let near = near.copied().unwrap_or(HEARTBEAT);
        format!(
            "There is no event '{shown}'. Did you mean '{near}'? Names of your own begin with '{CUSTOM_PREFIX}'."
        )
    };
    Problem::new(Code::UnknownEvent, message).at_field("event")
}

fn invalid(field: &str, what: &str) -> Problem {
    Problem::new(Code::InvalidEvent, format!("`{field}`: {what}.")).at_field(field)
}

/// Checks what the types cannot. `longest` bounds every text; short ones have bounds of their own below it.
fn check(report: &Report, pipeline_type: Option<&PipelineType>, longest: usize) -> Result<(), Problem> {
    let text = |field: &str, value: Option<&str>, most: usize| text(field, value, most.min(longest));
    match report {
        Report::PipelineOnline(report) => {
            if pipeline_type.is_none() {
                let what =
                    "missing; `pipeline:online` says what kind of pipeline this is, such as \"local_files\"";
                return Err(invalid("data.pipeline_type", what));
            }
            if report.check_interval.is_some_and(|seconds| seconds < 0.0) {
                return Err(invalid("data.check_interval", "must not be negative"));
            }
            text("data.watch_location", report.watch_location.as_deref(), 4_096)?;
            if report.lease_seconds.is_some_and(|lease| !(1..=limits::MAX_LEASE_SECONDS).contains(&lease)) {
                return Err(invalid("data.lease_seconds", "must be 1 to 86400"));
            }
        }
        Report::PipelineOffline(report) => {
            text("data.reason", report.reason.as_ref().map(|reason| reason.as_str()), 128)?;
        }
        Report::FileProgress(report) => {
            if !(0.0..=1.0).contains(&report.progress) {
                let what = format!("must lie between 0 and 1, not {}", report.progress);
                return Err(invalid("data.progress", &what));
            }
            text("data.processing_stage", report.processing_stage.as_ref().map(|s| s.as_str()), 128)?;
            text("data.unit", report.unit.as_ref().map(|unit| unit.as_str()), 128)?;
            if report.eta_seconds.is_some_and(|seconds| seconds < 0.0) {
                return Err(invalid("data.eta_seconds", "must not be negative"));
            }
        }
        Report::FileProcessing(report) => {
            text("data.processing_stage", report.processing_stage.as_ref().map(|s| s.as_str()), 128)?;
            attempt(report.attempt)?;
        }
        Report::FileRetrying(report) => attempt(report.attempt)?,
        Report::FileFailed(report) => {
            text("data.error.type", report.error.kind.as_deref(), 256)?;
            text("data.error.message", Some(&report.error.message), longest)?;
            text("data.error.code", report.error.code.as_deref(), 256)?;
            text("data.error.stage", report.error.stage.as_ref().map(|s| s.as_str()), 128)?;
            warnings(report.warnings.as_deref(), longest)?;
        }
        Report::FileCompleted(report) => warnings(report.warnings.as_deref(), longest)?,
        Report::FileSkipped(report) => {
            text("data.reason", report.reason.as_ref().map(|reason| reason.as_str()), 128)?;
            text("data.message", report.message.as_deref(), longest)?;
        }
        Report::StatusUpdate(report) => {
            for (key, value) in &report.changes {
                let field = format!("data.changes.{key}");
                text("data.changes", Some(key), 128)?;
                if value.to_string().len() > CHANGE_BYTES.min(longest) {
                    let problem = invalid(&field, &format!("holds at most {CHANGE_BYTES} bytes"));
                    return Err(problem.at_limit("field_bytes"));
                }
                if is_reserved_key(key) {
                    let message = format!(
                        "`{field}`: the hub counts this itself. Put a figure of your own under `reported`."
                    );
                    return Err(Problem::new(Code::ReservedField, message).at_field(field));
                }
                if !is_valid_change(key, value) {
                    return Err(invalid(&field, "has a value of the wrong type or form"));
                }
            }
        }
        _ => {}
    }
    if let Some(file) = fill::file_of(report) {
        if file.name.is_empty() {
            return Err(invalid("data.file.name", "must not be empty"));
        }
        text("data.file.name", Some(&file.name), 1_024)?;
        if file.id.as_ref().is_some_and(String::is_empty) {
            return Err(invalid("data.file.id", "must not be empty; leave it out to use the name"));
        }
        text("data.file.id", file.id.as_deref(), 1_024)?;
        text("data.file.path", file.path.as_deref(), 4_096)?;
        text("data.file.mime_type", file.mime_type.as_deref(), 256)?;
    }
    Ok(())
}

fn text(field: &str, value: Option<&str>, most: usize) -> Result<(), Problem> {
    match value {
        Some(value) if value.len() > most => {
            let what = format!("holds at most {most} bytes, and this has {}", value.len());
            Err(invalid(field, &what).at_limit("field_bytes"))
        }
        _ => Ok(()),
    }
}

fn attempt(attempt: Option<u32>) -> Result<(), Problem> {
    if attempt == Some(0) { Err(invalid("data.attempt", "attempts are counted from 1")) } else { Ok(()) }
}

fn warnings(warnings: Option<&[String]>, longest: usize) -> Result<(), Problem> {
    let warnings = warnings.unwrap_or_default();
    if warnings.len() > 100 {
        return Err(invalid("data.warnings", "holds at most 100 texts"));
    }
    warnings.iter().try_for_each(|warning| text("data.warnings", Some(warning), longest.min(1_024)))
}

fn kind_of(report: &Report) -> Kind {
    let moved = |moved| match fill::file_of(report) {
        Some(file) => Kind::File {
            id: file.id.clone().unwrap_or_else(|| file.name.clone()),
            name: file.name.clone(),
            moved,
        },
        None => Kind::Other,
    };
    match report {
        Report::PipelineOnline(report) => Kind::Online { lease_seconds: report.lease_seconds },
        Report::PipelineOffline(_) => Kind::Offline,
        Report::FileProgress(report) => Kind::Progress {
            id: report.file.id.clone().unwrap_or_else(|| report.file.name.clone()),
            stage: report.processing_stage.as_ref().map(|stage| stage.as_str().to_owned()),
        },
        Report::FileQueued(_) | Report::FileRetrying(_) => moved(Move::Queue),
        Report::FileProcessing(_) => moved(Move::Process),
        Report::FileCompleted(_)
        | Report::FileFailed(_)
        | Report::FileSkipped(_)
        | Report::FileCancelled(_)
        | Report::FileDeleted(_) => moved(Move::End),
        _ => Kind::Other,
    }
}
