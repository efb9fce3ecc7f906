//! The reporter as its callers see it: cheap to clone, usable from tasks and from threads.

use std::sync::Arc;
use std::time::Duration;

use ragpulse_protocol::parts::FileReport;
use ragpulse_protocol::report::{HEARTBEAT, PipelineOnlineReport};
use ragpulse_protocol::{Object, PipelineId, Report, ReportedEvent, ReporterId};
use tokio::sync::watch;

use super::builder::ReporterBuilder;
use super::error::ReportError;
use super::file::{BlockingFile, File};
use super::queue::Item;
use super::shared::{Shared, timestamp};
use super::status::{ReporterConnection, ReporterStatus};
use crate::token::Given;

/// Reports what one pipeline does to a hub. Clones share one queue; see the [crate's example](crate).
///
/// When the last clone is dropped, what it holds is still sent for a short while, followed by `pipeline:offline`, as long
/// as the runtime lives. To be sure, [`close`](Self::close).
#[derive(Clone)]
pub struct Reporter {
    owner: Arc<Owner>,
}

struct Owner {
    shared: Arc<Shared>,
    pipeline_id: PipelineId,
    reporter_id: ReporterId,
    drop_deadline: Duration,
}

impl std::fmt::Debug for Reporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reporter")
            .field("pipeline_id", &self.owner.pipeline_id)
            .field("reporter_id", &self.owner.reporter_id)
            .field("status", &*self.owner.shared.status.borrow())
            .finish_non_exhaustive()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.shared.close(self.drop_deadline);
    }
}

impl Reporter {
    /// Sets up a reporter to the hub at `url`, such as `http://127.0.0.1:8103`.
    pub fn builder(url: impl Into<String>) -> ReporterBuilder {
        ReporterBuilder::new(url.into(), Given::Nothing)
    }

    /// As [`builder`](Self::builder), to the hub that `RAGPULSE_URL` names (default `http://127.0.0.1:8103`), with the
    /// token in `RAGPULSE_TOKEN`, or in the file that `RAGPULSE_TOKEN_FILE` names (a [`TokenFile`](crate::TokenFile)). Both
    /// at once are an error of the builder's last step.
    pub fn from_env() -> ReporterBuilder {
        let (url, token) = crate::endpoint::from_env();
        ReporterBuilder::new(url, token)
    }

    pub(crate) fn new(
        shared: Arc<Shared>,
        pipeline_id: PipelineId,
        reporter_id: ReporterId,
        drop_deadline: Duration,
    ) -> Self {
        Self { owner: Arc::new(Owner { shared, pipeline_id, reporter_id, drop_deadline }) }
    }

    /// The pipeline it reports for.
    pub fn pipeline_id(&self) -> &PipelineId {
        &self.owner.pipeline_id
    }

    /// Its name among the reporters of the pipeline.
    pub fn reporter_id(&self) -> &ReporterId {
        &self.owner.reporter_id
    }

    /// How it fares, now and at each change.
    pub fn status(&self) -> watch::Receiver<ReporterStatus> {
        self.owner.shared.status.subscribe()
    }

    /// Reports `pipeline:online`. Type and lease are filled in where the report leaves them out.
    ///
    /// # Errors
    /// As [`report_event`](Self::report_event).
    pub async fn online(&self, report: PipelineOnlineReport) -> Result<(), ReportError> {
        self.report(report).await
    }

    /// Reports `status:update` with these keys.
    ///
    /// # Errors
    /// As [`report_event`](Self::report_event).
    pub async fn update(&self, changes: Object) -> Result<(), ReportError> {
        let extra = Object::new();
        self.report(ragpulse_protocol::report::StatusUpdateReport { changes, extra }).await
    }

    /// Reports an event of the contract. As [`report_event`](Self::report_event).
    ///
    /// # Errors
    /// As [`report_event`](Self::report_event).
    pub async fn report(&self, report: impl Into<Report>) -> Result<(), ReportError> {
        self.report_event(report.into().into()).await
    }

    /// Takes an event into the queue, from which it is sent in order. `file:progress` never waits: it supersedes older
    /// progress, or is dropped when there is no room. Any other event waits for room and is then sure to be sent, as long
    /// as there is a hub and time until the reporter closes. Cancelling the wait leaves nothing behind.
    ///
    /// With a [spool](ReporterBuilder::spool) such an event is in the spool when this returns, and is sent even if the
    /// process ends first, once there is a reporter on the spool again. It waits only when the spool is full. With
    /// [`spool_sync`](ReporterBuilder::spool_sync) an event whose wait is cancelled may be sent nevertheless.
    ///
    /// An id and a time are added where there are none. A `heartbeat` does nothing: reporters send theirs by themselves.
    ///
    /// # Errors
    /// [`ReportError::TooLarge`] or [`ReportError::Encode`]; [`ReportError::Refused`] when it would wait for a hub that
    /// takes nothing from this reporter; [`ReportError::Closed`]; [`ReportError::Spool`] when the spool cannot be written,
    /// because the disk is full: then the event was not taken, and the next one is when there is room again.
    pub async fn report_event(&self, event: ReportedEvent) -> Result<(), ReportError> {
        let shared = &self.owner.shared;
        let mut offer = self.offer(event)?;
        while let Some(item) = offer.take() {
            let room = shared.room.notified();
            let mut room = std::pin::pin!(room);
            // Room made between the look and the wait must not be missed.
            room.as_mut().enable();
            offer = shared.take_in_task(item).await?;
            if offer.is_some() {
                room.await;
            }
        }
        Ok(())
    }

    /// Whether heartbeats are sent while there is nothing else to say. Default: yes.
    ///
    /// A reporter that speaks for something it can lose sight of turns them off for that time: the hub then shows the
    /// pipeline as late, and at the end of the lease as lost, as it would without the reporter. Events are sent as ever, and
    /// each renews the lease.
    pub fn set_heartbeats(&self, on: bool) {
        self.owner.shared.machine.lock().set_heartbeats(on);
        self.owner.shared.wake.notify_one();
    }

    /// Vouches for a pipeline that the hub has as online, without reporting anything: heartbeats begin. For a reporter that
    /// takes over from an earlier one; [`online`](Self::online) would be one more event. A hub that does not know the
    /// pipeline after all is told of it.
    pub fn take_over(&self) {
        self.owner.shared.machine.lock().take_over();
        self.owner.shared.wake.notify_one();
    }

    /// As [`report_event`](Self::report_event), without waiting for room.
    ///
    /// # Errors
    /// As [`report_event`](Self::report_event), and [`ReportError::Full`] in place of waiting.
    pub fn try_report_event(&self, event: ReportedEvent) -> Result<(), ReportError> {
        match self.offer(event)? {
            None => Ok(()),
            Some(item) => match self.owner.shared.take(item, false)? {
                None => Ok(()),
                Some(_) => Err(ReportError::Full),
            },
        }
    }

    /// As [`report`](Self::report), without waiting.
    ///
    /// # Errors
    /// As [`report_event`](Self::report_event), and [`ReportError::Full`] in place of waiting.
    pub fn try_report(&self, report: impl Into<Report>) -> Result<(), ReportError> {
        self.try_report_event(report.into().into())
    }

    /// The same reporter for threads that may block, such as those of `spawn_blocking` or of a thread pool.
    pub fn blocking(&self) -> BlockingReporter {
        BlockingReporter { reporter: self.clone() }
    }

    /// Follows one file. A file that was begun and is dropped without an end is reported as interrupted.
    pub fn file(&self, file: FileReport) -> File {
        File::new(self.clone(), file)
    }

    /// Sends what is queued and then `pipeline:offline`, all within a deadline; for all clones. Afterwards nothing is
    /// taken any more. Without anything reported there is nothing to send. What is left in a spool at the deadline is sent
    /// by the next reporter on it, which there may be from now on.
    ///
    /// # Errors
    /// [`ReportError::CloseTimeout`] when the deadline came first.
    pub async fn close(&self, within: Duration) -> Result<(), ReportError> {
        self.owner.shared.close(within);
        let mut status = self.status();
        // The sender lives as long as this handle.
        let _ = status.wait_for(|status| status.connection == ReporterConnection::Closed).await;
        match self.owner.shared.machine.lock().unsent() {
            0 => Ok(()),
            unsent => Err(ReportError::CloseTimeout { unsent }),
        }
    }

    /// As [`close`](Self::close), but without `pipeline:offline`: for a reporter that ends while its pipeline goes on. The
    /// hub counts on its lease until that lapses, or until the next reporter of this name speaks.
    ///
    /// # Errors
    /// As [`close`](Self::close).
    pub async fn detach(&self, within: Duration) -> Result<(), ReportError> {
        self.owner.shared.machine.lock().keep_online();
        self.close(within).await
    }

    /// Encodes an event; nothing for one that needs no sending.
    fn offer(&self, event: ReportedEvent) -> Result<Option<Item>, ReportError> {
        if event.event == HEARTBEAT {
            return Ok(None);
        }
        let mut machine = self.owner.shared.machine.lock();
        if machine.is_closing() {
            return Err(ReportError::Closed);
        }
        machine.encoder.encode(event, timestamp()).map(Some)
    }

    /// Takes an event whatever room there is, for those that cannot wait and whose number is bounded otherwise.
    pub(crate) fn force(&self, report: Report) -> Result<(), ReportError> {
        match self.offer(report.into())? {
            None => Ok(()),
            Some(item) => self.owner.shared.take(item, true).map(|_| ()),
        }
    }
}

/// A [`Reporter`] whose methods block the thread, never the runtime: do not call them in a task.
#[derive(Debug, Clone)]
pub struct BlockingReporter {
    reporter: Reporter,
}

impl BlockingReporter {
    /// As [`Reporter::report`], blocking the thread until there is room.
    ///
    /// # Errors
    /// As [`Reporter::report_event`].
    pub fn report(&self, report: impl Into<Report>) -> Result<(), ReportError> {
        self.report_event(report.into().into())
    }

    /// As [`Reporter::report_event`], blocking the thread until there is room.
    ///
    /// # Errors
    /// As [`Reporter::report_event`].
    pub fn report_event(&self, event: ReportedEvent) -> Result<(), ReportError> {
        let shared = &self.reporter.owner.shared;
        let mut offer = self.reporter.offer(event)?;
        while let Some(item) = offer.take() {
            // Room made between the look and the wait must not be missed.
            let since = shared.rooms();
            offer = shared.take(item, false)?;
            if offer.is_some() {
                shared.wait_for_room(since);
            }
        }
        Ok(())
    }

    /// Follows one file from this thread; as [`Reporter::file`].
    pub fn file(&self, file: FileReport) -> BlockingFile {
        BlockingFile::new(self.clone(), file)
    }

    /// The same reporter for tasks.
    pub fn reporter(&self) -> &Reporter {
        &self.reporter
    }
}
