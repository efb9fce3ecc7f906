//! From what the pipeline says to what the contract says, through the client like any other reporter.

use std::sync::Arc;
use std::time::SystemTime;

use ragpulse_client::reporter::BlockingReporter;
use ragpulse_demo_pipeline::{FileInfo, PipelineEvent, Sink};
use ragpulse_protocol::parts::{Change, ErrorReport, FileReport, Results, SkipReason, Stage, Unit};
use ragpulse_protocol::report::{
    FileCompletedReport, FileDeletedReport, FileFailedReport, FileProcessingReport, FileProgressReport,
    FileQueuedReport, FileSkippedReport, PipelineOnlineReport, StatusUpdateReport,
};
use ragpulse_protocol::{Object, Report, Timestamp};
use serde_json::json;

use super::show::Show;

/// The pipeline's sink: reports to the hub and shows in the terminal.
pub(super) struct Adapter {
    reporter: BlockingReporter,
    show: Arc<Show>,
}

impl Adapter {
    pub(super) fn new(reporter: BlockingReporter, show: Arc<Show>) -> Self {
        Self { reporter, show }
    }
}

impl Sink for Adapter {
    fn event(&self, event: PipelineEvent) {
        self.show.event(&event);
        if let Some(report) = report(event)
            && let Err(error) = self.reporter.report(report)
        {
            self.show.note(&format!("not reported: {error}"));
        }
    }
}

/// The report of an event; closing the reporter says the last one.
fn report(event: PipelineEvent) -> Option<Report> {
    Some(match event {
        PipelineEvent::Online { watch_location, check_interval } => PipelineOnlineReport {
            watch_location: Some(watch_location.display().to_string()),
            check_interval: Some(check_interval.as_secs_f64()),
            ..PipelineOnlineReport::default()
        }
        .into(),
        PipelineEvent::Queued { file: info, change } => FileQueuedReport {
            file: file(info),
            change: change.map(|change| Change::from(change.as_str())),
            ..FileQueuedReport::default()
        }
        .into(),
        PipelineEvent::Processing { file: info, stage } => FileProcessingReport {
            file: file(info),
            processing_stage: Some(Stage::from(stage.as_str())),
            ..FileProcessingReport::default()
        }
        .into(),
        // The pipeline's own figure is of the whole file; on the wire it is of the stage.
        PipelineEvent::Progress { file: info, stage, progress: _, current, total, unit } => {
            FileProgressReport {
                file: file(info),
                progress: part(current, total),
                processing_stage: Some(Stage::from(stage.as_str())),
                current,
                total,
                unit: unit.map(|unit| Unit::from(unit.as_str())),
                ..FileProgressReport::default()
            }
            .into()
        }
        PipelineEvent::Completed {
            file: info,
            chunks_created,
            embeddings_generated,
            processing_duration,
            content_length,
            warnings,
        } => FileCompletedReport {
            file: file(info),
            results: Some(Results {
                chunks_created: Some(chunks_created as u64),
                embeddings_generated: Some(embeddings_generated as u64),
                processing_duration: Some(processing_duration),
                content_length: Some(content_length as u64),
                ..Results::default()
            }),
            warnings: Some(warnings).filter(|warnings| !warnings.is_empty()),
            ..FileCompletedReport::default()
        }
        .into(),
        PipelineEvent::Failed { file: info, error_type, message, stage, retryable } => FileFailedReport {
            file: file(info),
            error: ErrorReport {
                message,
                kind: Some(error_type.to_owned()),
                stage: stage.map(|stage| Stage::from(stage.as_str())),
                retryable: Some(retryable),
                ..ErrorReport::default()
            },
            ..FileFailedReport::default()
        }
        .into(),
        PipelineEvent::Skipped { file: info, reason, detail, duplicate_of } => FileSkippedReport {
            file: file(info),
            reason: Some(SkipReason::from(reason.as_str())),
            message: detail,
            duplicate_of,
            ..FileSkippedReport::default()
        }
        .into(),
        PipelineEvent::Deleted { file: info, chunks_deleted } => FileDeletedReport {
            file: file(info),
            chunks_deleted: Some(chunks_deleted as u64),
            ..FileDeletedReport::default()
        }
        .into(),
        PipelineEvent::Status {
            is_checking,
            last_check_time,
            next_check_time,
            known,
            over_limit,
            watching,
            last_error,
        } => {
            let mut changes = Object::new();
            changes.insert("status".to_owned(), json!("running"));
            changes.insert("is_checking".to_owned(), json!(is_checking));
            changes.insert("last_check_time".to_owned(), json!(last_check_time.map(time)));
            changes.insert("next_check_time".to_owned(), json!(next_check_time.map(time)));
            changes.insert("known".to_owned(), json!(known));
            changes.insert("over_limit".to_owned(), json!(over_limit));
            changes.insert("watching".to_owned(), json!(watching));
            changes.insert("last_error".to_owned(), json!(last_error));
            StatusUpdateReport { changes, ..StatusUpdateReport::default() }.into()
        }
        _ => return None,
    })
}

/// The part of a stage that is done. One that counts nothing has only begun.
#[allow(clippy::cast_precision_loss)]
fn part(current: Option<u64>, total: Option<u64>) -> f64 {
    match (current, total) {
        (Some(current), Some(total)) if total > 0 => (current as f64 / total as f64).min(1.0),
        _ => 0.0,
    }
}

fn file(info: FileInfo) -> FileReport {
    FileReport {
        name: info.name,
        id: Some(info.id),
        path: Some(info.path),
        size: Some(info.size),
        mime_type: Some(info.mime_type),
        ..FileReport::default()
    }
}

fn time(time: SystemTime) -> Timestamp {
    let millis = time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis());
    Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
}
