//! Following one file: each step is one call, and a file that is left without an end is reported as interrupted.
//!
//! *What it never does:* report two ends of one file by the same guard.

use ragpulse_protocol::Report;
use ragpulse_protocol::parts::{ErrorReport, FileReport, INTERRUPTED, Results, SkipReason, Stage, Unit};
use ragpulse_protocol::report::{
    FileCancelledReport, FileCompletedReport, FileDeletedReport, FileFailedReport, FileProcessingReport,
    FileProgressReport, FileQueuedReport, FileRetryingReport, FileSkippedReport,
};

use super::error::ReportError;
use super::handle::{BlockingReporter, Reporter};

/// What both kinds of guard hold.
struct Guard {
    reporter: Reporter,
    file: FileReport,
    stage: Option<Stage>,
    /// Whether the hub was told that the file is open, and not yet that it ended.
    open: bool,
}

impl Guard {
    fn progress(&mut self, report: FileProgressReport) -> Result<(), ReportError> {
        if !report.progress.is_finite() {
            return Err(ReportError::NotANumber);
        }
        self.stage.clone_from(&report.processing_stage);
        // Rounding may give a little more than the whole.
        let progress = report.progress.clamp(0.0, 1.0);
        self.reporter.try_report(FileProgressReport { progress, ..report })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.open {
            return;
        }
        let error = ErrorReport {
            message:
                "work on the file stopped without an end: the task panicked, was cancelled, or forgot it"
                    .to_owned(),
            kind: Some(INTERRUPTED.to_owned()),
            stage: self.stage.take(),
            retryable: Some(true),
            ..ErrorReport::default()
        };
        let file = std::mem::take(&mut self.file);
        let report = FileFailedReport { file, error, ..FileFailedReport::default() };
        if let Err(error) = self.reporter.force(Report::from(report)) {
            tracing::warn!("an interrupted file could not be reported: {error}");
        }
    }
}

macro_rules! guard {
    ($(#[$meta:meta])* $name:ident, $reporter:ident, [$($async:tt)?], [$($await:tt)*]) => {
        $(#[$meta])*
        ///
        /// A guard that was begun (by [`queued`](Self::queued), [`processing`](Self::processing) or
        /// [`retrying`](Self::retrying)) and is dropped without an end reports `file:failed` with the type `Interrupted`,
        /// past the bounds of the queue if need be.
        #[must_use = "a file that is dropped after it was begun counts as interrupted"]
        pub struct $name {
            reporter: $reporter,
            guard: Guard,
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name))
                    .field("file", &self.guard.file)
                    .field("open", &self.guard.open)
                    .finish_non_exhaustive()
            }
        }

        impl $name {
            /// The file.
            pub fn file(&self) -> &FileReport {
                &self.guard.file
            }

            /// It waits for its turn.
            ///
            /// # Errors
            /// As [`Reporter::report_event`].
            pub $($async)? fn queued(&mut self) -> Result<(), ReportError> {
                let file = self.guard.file.clone();
                self.begin(FileQueuedReport { file, ..FileQueuedReport::default() }.into()) $($await)*
            }

            /// Work on it begins, with this stage.
            ///
            /// # Errors
            /// As [`Reporter::report_event`].
            pub $($async)? fn processing(&mut self, stage: impl Into<Stage>) -> Result<(), ReportError> {
                let (file, stage) = (self.guard.file.clone(), Some(stage.into()));
                self.guard.stage.clone_from(&stage);
                let report =
                    FileProcessingReport { file, processing_stage: stage, ..FileProcessingReport::default() };
                self.begin(report.into()) $($await)*
            }

            /// How much of a stage is done, 0 to 1. Never waits.
            ///
            /// # Errors
            /// [`ReportError::NotANumber`], [`ReportError::Closed`].
            pub fn progress(&mut self, stage: impl Into<Stage>, progress: f64) -> Result<(), ReportError> {
                let (file, stage) = (self.guard.file.clone(), Some(stage.into()));
                let report = FileProgressReport { file, progress, processing_stage: stage, ..Default::default() };
                self.guard.progress(report)
            }

            /// How much of a stage is done, counted: `current` of `total` units. Never waits.
            ///
            /// # Errors
            /// [`ReportError::Closed`].
            pub fn progress_of(
                &mut self,
                stage: impl Into<Stage>,
                current: u64,
                total: u64,
                unit: impl Into<Unit>,
            ) -> Result<(), ReportError> {
                self.guard.progress(FileProgressReport {
                    file: self.guard.file.clone(),
                    progress: if total == 0 { 1.0 } else { current as f64 / total as f64 },
                    processing_stage: Some(stage.into()),
                    current: Some(current),
                    total: Some(total),
                    unit: Some(unit.into()),
                    ..FileProgressReport::default()
                })
            }

            /// It did not work and will be tried again: as which attempt (from 1), of how many.
            ///
            /// # Errors
            /// As [`Reporter::report_event`].
            pub $($async)? fn retrying(
                &mut self,
                attempt: u32,
                max_attempts: Option<u32>,
            ) -> Result<(), ReportError> {
                let file = self.guard.file.clone();
                let attempt = Some(attempt);
                let report = FileRetryingReport { file, attempt, max_attempts, ..Default::default() };
                self.begin(report.into()) $($await)*
            }

            /// It was ingested.
            ///
            /// # Errors
            /// As [`Reporter::report_event`].
            pub $($async)? fn completed(self, results: Results) -> Result<(), ReportError> {
                self.completed_with_warnings(results, Vec::new()) $($await)*
            }

            /// It was ingested, but something is worth knowing.
            ///
            /// # Errors
            /// As [`Reporter::report_event`].
            pub $($async)? fn completed_with_warnings(
                self,
                results: Results,
                warnings: Vec<String>,
            ) -> Result<(), ReportError> {
                let file = self.guard.file.clone();
                let warnings = Some(warnings).filter(|warnings| !warnings.is_empty());
                let results = Some(results);
                self.end(FileCompletedReport { file, results, warnings, ..Default::default() }.into()) $($await)*
            }

            /// It could not be ingested.
            ///
            /// # Errors
            /// As [`Reporter::report_event`].
            pub $($async)? fn failed(self, error: ErrorReport) -> Result<(), ReportError> {
                let file = self.guard.file.clone();
                self.end(FileFailedReport { file, error, ..Default::default() }.into()) $($await)*
            }

            /// It was left out on purpose.
            ///
            /// # Errors
            /// As [`Reporter::report_event`].
            pub $($async)? fn skipped(self, reason: impl Into<SkipReason>) -> Result<(), ReportError> {
                let (file, reason) = (self.guard.file.clone(), Some(reason.into()));
                self.end(FileSkippedReport { file, reason, ..Default::default() }.into()) $($await)*
            }

            /// It was left out because its content is that of the file with this id.
            ///
            /// # Errors
            /// As [`Reporter::report_event`].
            pub $($async)? fn duplicate_of(self, id: impl Into<String>) -> Result<(), ReportError> {
                let (reason, duplicate_of) = (Some(SkipReason::Duplicate), Some(id.into()));
                let file = self.guard.file.clone();
                self.end(FileSkippedReport { file, reason, duplicate_of, ..Default::default() }.into()) $($await)*
            }

            /// It was given up on request.
            ///
            /// # Errors
            /// As [`Reporter::report_event`].
            pub $($async)? fn cancelled(self, requested_by: Option<String>) -> Result<(), ReportError> {
                let file = self.guard.file.clone();
                self.end(FileCancelledReport { file, requested_by, ..Default::default() }.into()) $($await)*
            }

            /// It is gone, and so are this many chunks of it.
            ///
            /// # Errors
            /// As [`Reporter::report_event`].
            pub $($async)? fn deleted(self, chunks_deleted: Option<u64>) -> Result<(), ReportError> {
                let file = self.guard.file.clone();
                self.end(FileDeletedReport { file, chunks_deleted, ..Default::default() }.into()) $($await)*
            }

            /// Lets go of the file as it is, without an end: another guard, or another run, goes on with it.
            pub fn leave(mut self) {
                self.guard.open = false;
            }

            $($async)? fn begin(&mut self, report: Report) -> Result<(), ReportError> {
                self.reporter.report(report) $($await)* ?;
                self.guard.open = true;
                Ok(())
            }

            $($async)? fn end(mut self, report: Report) -> Result<(), ReportError> {
                // A wait that is cancelled drops the guard, which then reports the file as interrupted.
                self.reporter.report(report) $($await)* ?;
                self.guard.open = false;
                Ok(())
            }
        }
    };
}

guard!(
    /// One file, followed from a task. Made by [`Reporter::file`].
    File, Reporter, [async], [.await]
);
guard!(
    /// One file, followed from a thread that may block. Made by [`BlockingReporter::file`].
    BlockingFile, BlockingReporter, [], []
);

impl File {
    pub(crate) fn new(reporter: Reporter, file: FileReport) -> Self {
        let guard = Guard { reporter: reporter.clone(), file, stage: None, open: false };
        Self { reporter, guard }
    }
}

impl BlockingFile {
    pub(crate) fn new(reporter: BlockingReporter, file: FileReport) -> Self {
        let guard = Guard { reporter: reporter.reporter().clone(), file, stage: None, open: false };
        Self { reporter, guard }
    }
}
