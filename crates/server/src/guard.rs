//! Reporting from within the hub's own process: guards that cannot forget to say how it ended.
//!
//! A [`PipelineGuard`] that is dropped takes its reporter offline; a [`FileGuard`] that is dropped without an end reports
//! the file as interrupted.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use ragpulse_protocol::command::PublishReceipt;
use ragpulse_protocol::parts::{
    ErrorReport, FileReport, INTERRUPTED, OfflineReason, Results, SkipReason, Stage,
};
use ragpulse_protocol::report::{
    FileCompletedReport, FileFailedReport, FileProcessingReport, FileProgressReport, FileQueuedReport,
    FileSkippedReport, PipelineOfflineReport, PipelineOnlineReport, StatusUpdateReport,
};
use ragpulse_protocol::{Code, Object, PipelineId, PipelineType, Problem, Report, ReportedEvent, ReporterId};
use serde_json::{Value, json};
use tokio::task::AbortHandle;

use crate::hub::Hub;

/// A pipeline about to be reported.
pub struct PipelineBuilder {
    hub: Hub,
    id: PipelineId,
    pipeline_type: PipelineType,
    online: PipelineOnlineReport,
}

impl PipelineBuilder {
    pub(crate) fn new(hub: Hub, id: PipelineId, pipeline_type: PipelineType) -> Self {
        Self { hub, id, pipeline_type, online: PipelineOnlineReport::default() }
    }

    /// What it watches.
    #[must_use]
    pub fn watch_location(mut self, location: impl Into<String>) -> Self {
        self.online.watch_location = Some(location.into());
        self
    }

    /// Seconds between two looks at its source.
    #[must_use]
    pub fn check_interval(mut self, seconds: f64) -> Self {
        self.online.check_interval = Some(seconds);
        self
    }

    /// After how many seconds of silence it counts as lost. The guard renews the lease by itself.
    #[must_use]
    pub fn lease_seconds(mut self, seconds: u32) -> Self {
        self.online.lease_seconds = Some(seconds);
        self
    }

    /// Reports `pipeline:online`, and keeps the lease until the guard is dropped.
    ///
    /// # Errors
    /// What the hub refuses, such as a pipeline of another type.
    pub async fn start(self) -> Result<PipelineGuard, Problem> {
        static COUNT: AtomicU64 = AtomicU64::new(1);
        let lease = self.online.lease_seconds.unwrap_or(self.hub.0.config.lease_seconds);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("embedded-{count}-{:016x}", RandomState::new().hash_one(count));
        let reporter = ReporterId::new(&name).ok();
        let mut online = ReportedEvent::from(Report::from(self.online));
        online.data.insert("pipeline_type".to_owned(), json!(self.pipeline_type));
        let inner = Arc::new(Pipeline {
            hub: self.hub,
            id: self.id,
            reporter,
            online,
            last_words: Mutex::default(),
            speaking: tokio::sync::Mutex::default(),
        });
        inner.take(&inner.online).await?;
        let heartbeat = {
            let inner = inner.clone();
            let period = Duration::from_millis(u64::from(lease) * 1_000 / 3);
            tokio::spawn(async move {
                loop {
                    tokio::time::sleep(period).await;
                    if inner.publish(ReportedEvent::heartbeat()).await.is_err() && inner.hub.is_closing() {
                        return;
                    }
                }
            })
        };
        Ok(PipelineGuard { inner, heartbeat: heartbeat.abort_handle(), stopped: false })
    }
}

struct Pipeline {
    hub: Hub,
    id: PipelineId,
    reporter: Option<ReporterId>,
    /// How it opens, at the start and again when somebody had it forgotten.
    online: ReportedEvent,
    /// What guards said when they were dropped, in that order: a file's end must not come after its pipeline's.
    last_words: Mutex<VecDeque<Report>>,
    /// Held by who speaks them.
    speaking: tokio::sync::Mutex<()>,
}

impl Pipeline {
    async fn publish(&self, event: ReportedEvent) -> Result<PublishReceipt, Problem> {
        match self.take(&event).await {
            Err(problem) if problem.code == Code::UnknownPipeline => {
                self.take(&self.online).await?;
                self.take(&event).await
            }
            answer => answer,
        }
    }

    async fn take(&self, event: &ReportedEvent) -> Result<PublishReceipt, Problem> {
        let event = serde_json::to_value(event).unwrap_or(Value::Null);
        // The host reports what it embeds by its own right, without a token.
        self.hub.take(&self.id, self.reporter.clone(), vec![event]).await
    }

    async fn report(&self, report: impl Into<Report>) -> Result<PublishReceipt, Problem> {
        self.publish(ReportedEvent::from(report.into())).await
    }

    /// Reports without waiting, from where nothing can be awaited.
    fn report_later(self: &Arc<Self>, report: impl Into<Report>) {
        let this = self.clone();
        self.last_words.lock().push_back(report.into());
        // Without a runtime the process ends, and the lease says the rest.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { this.speak().await });
        }
    }

    /// Reports what dropped guards left to say.
    async fn speak(&self) {
        let _speaking = self.speaking.lock().await;
        loop {
            let Some(report) = self.last_words.lock().pop_front() else { return };
            if let Err(problem) = self.report(report).await {
                tracing::warn!(pipeline = %self.id, %problem, "a last word was not taken");
            }
        }
    }
}

/// A pipeline that is online as long as this lives.
pub struct PipelineGuard {
    inner: Arc<Pipeline>,
    heartbeat: AbortHandle,
    stopped: bool,
}

impl PipelineGuard {
    /// A file of this pipeline. Nothing is reported yet.
    pub fn file(&self, file: impl Into<FileName>) -> FileGuard {
        FileGuard { pipeline: self.inner.clone(), file: file.into().0, stage: None, open: false }
    }

    /// Changes keys of the pipeline's own status.
    ///
    /// # Errors
    /// What the hub refuses, such as a key that it counts itself.
    pub async fn update(&self, changes: Object) -> Result<PublishReceipt, Problem> {
        self.inner.report(StatusUpdateReport { changes, ..StatusUpdateReport::default() }).await
    }

    /// Reports any event.
    ///
    /// # Errors
    /// What the hub refuses.
    pub async fn report(&self, report: impl Into<Report>) -> Result<PublishReceipt, Problem> {
        self.inner.report(report).await
    }

    /// Reports `pipeline:offline` and says why.
    ///
    /// # Errors
    /// What the hub refuses; the pipeline is given up all the same.
    pub async fn stop(mut self, reason: OfflineReason) -> Result<PublishReceipt, Problem> {
        self.stopped = true;
        self.heartbeat.abort();
        let report = PipelineOfflineReport { reason: Some(reason), ..PipelineOfflineReport::default() };
        self.inner.speak().await;
        self.inner.report(report).await
    }
}

impl Drop for PipelineGuard {
    fn drop(&mut self) {
        self.heartbeat.abort();
        if !self.stopped {
            self.inner.report_later(PipelineOfflineReport::default());
        }
    }
}

/// How a file is named: by text, or with more about it.
pub struct FileName(FileReport);

impl From<&str> for FileName {
    fn from(name: &str) -> Self {
        Self(FileReport::named(name))
    }
}

impl From<String> for FileName {
    fn from(name: String) -> Self {
        Self(FileReport::named(name))
    }
}

impl From<FileReport> for FileName {
    fn from(file: FileReport) -> Self {
        Self(file)
    }
}

/// A file that is being reported. Dropped without an end, it ends as interrupted.
pub struct FileGuard {
    pipeline: Arc<Pipeline>,
    file: FileReport,
    stage: Option<Stage>,
    open: bool,
}

impl FileGuard {
    /// Reports `file:queued`.
    ///
    /// # Errors
    /// What the hub refuses.
    pub async fn queue(mut self) -> Result<Self, Problem> {
        let report = FileQueuedReport { file: self.file.clone(), ..FileQueuedReport::default() };
        self.enter(report).await?;
        Ok(self)
    }

    /// Reports `file:processing`.
    ///
    /// # Errors
    /// What the hub refuses.
    pub async fn begin(mut self) -> Result<Self, Problem> {
        let report = FileProcessingReport { file: self.file.clone(), ..FileProcessingReport::default() };
        self.enter(report).await?;
        Ok(self)
    }

    /// Reports `file:progress`: the part of the stage that is done, 0 to 1.
    ///
    /// # Errors
    /// What the hub refuses.
    pub async fn progress(&mut self, stage: &str, progress: f64) -> Result<PublishReceipt, Problem> {
        self.stage = Some(Stage::from(stage));
        let report = FileProgressReport {
            file: self.file.clone(),
            progress,
            processing_stage: self.stage.clone(),
            ..FileProgressReport::default()
        };
        self.pipeline.report(report).await
    }

    /// Reports `file:completed` without results.
    ///
    /// # Errors
    /// What the hub refuses.
    pub async fn completed(self) -> Result<PublishReceipt, Problem> {
        self.completed_with(Results::default()).await
    }

    /// Reports `file:completed`.
    ///
    /// # Errors
    /// What the hub refuses.
    pub async fn completed_with(mut self, results: Results) -> Result<PublishReceipt, Problem> {
        let report = FileCompletedReport {
            file: self.file.clone(),
            results: Some(results),
            ..FileCompletedReport::default()
        };
        self.end(report).await
    }

    /// Reports `file:failed`.
    ///
    /// # Errors
    /// What the hub refuses.
    pub async fn failed(mut self, mut error: ErrorReport) -> Result<PublishReceipt, Problem> {
        error.stage = error.stage.or_else(|| self.stage.clone());
        let report = FileFailedReport { file: self.file.clone(), error, ..FileFailedReport::default() };
        self.end(report).await
    }

    /// Reports `file:skipped`.
    ///
    /// # Errors
    /// What the hub refuses.
    pub async fn skipped(mut self, reason: SkipReason) -> Result<PublishReceipt, Problem> {
        let report = FileSkippedReport {
            file: self.file.clone(),
            reason: Some(reason),
            ..FileSkippedReport::default()
        };
        self.end(report).await
    }

    /// Opens the file. Given up half way it may have been opened, and is then ended by the drop.
    async fn enter(&mut self, report: impl Into<Report>) -> Result<(), Problem> {
        let before = std::mem::replace(&mut self.open, true);
        let taken = self.pipeline.report(report).await;
        if taken.is_err() {
            self.open = before;
        }
        taken.map(drop)
    }

    async fn end(&mut self, report: impl Into<Report>) -> Result<PublishReceipt, Problem> {
        let receipt = self.pipeline.report(report).await?;
        self.open = false;
        Ok(receipt)
    }
}

impl Drop for FileGuard {
    fn drop(&mut self) {
        if self.open {
            let error = ErrorReport {
                message: "Work on the file was dropped before it ended.".to_owned(),
                kind: Some(INTERRUPTED.to_owned()),
                stage: self.stage.take(),
                retryable: Some(true),
                ..ErrorReport::default()
            };
            self.pipeline.report_later(FileFailedReport {
                file: std::mem::take(&mut self.file),
                error,
                ..FileFailedReport::default()
            });
        }
    }
}
