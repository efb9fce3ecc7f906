//! A file that has been announced and has not reached its end: the one place that can do either.
//!
//! Comes in: the sink and what the pipeline learns of the file. Never: a second end, or none. The methods that end
//! a file consume it, and dropping it in any other way (early return, panic, shutdown) reports a failure.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use crate::error::{FileError, error_type};
use crate::event::{Change, FileInfo, PipelineEvent, Sink, SkipReason, Stage, Unit};

/// Hands an event over; a panic of the sink must not unwind through the pipeline (in a drop it would abort).
pub(crate) fn emit(sink: &dyn Sink, event: PipelineEvent) {
    let _ = catch_unwind(AssertUnwindSafe(|| sink.event(event)));
}

/// Where in a stage a file is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tick {
    pub(crate) current: u64,
    pub(crate) total: u64,
    pub(crate) unit: Unit,
}

/// An announced file. See the module.
pub(crate) struct OpenFile {
    sink: Arc<dyn Sink>,
    file: FileInfo,
    stage: Option<Stage>,
    began: Instant,
    progress: f64,
    ended: bool,
}

impl OpenFile {
    /// Announces the file: from here on it is owed an end.
    pub(crate) fn announce(sink: Arc<dyn Sink>, file: FileInfo, change: Option<Change>) -> Self {
        emit(&*sink, PipelineEvent::Queued { file: file.clone(), change });
        Self { sink, file, stage: None, began: Instant::now(), progress: 0.0, ended: false }
    }

    pub(crate) fn file(&self) -> &FileInfo {
        &self.file
    }

    pub(crate) fn stage(&self) -> Option<Stage> {
        self.stage
    }

    /// The file may have changed while it waited; later events tell its present size.
    pub(crate) fn set_size(&mut self, size: u64) {
        self.file.size = size;
    }

    /// Work begins.
    pub(crate) fn begin(&mut self) {
        self.began = Instant::now();
        self.stage = Some(Stage::Extraction);
        self.emit(PipelineEvent::Processing { file: self.file.clone(), stage: Stage::Extraction });
    }

    /// A stage begins or goes on.
    pub(crate) fn progress(&mut self, stage: Stage, tick: Option<Tick>) {
        self.stage = Some(stage);
        let (from, to) = span(stage);
        let part = tick.map_or(0.0, |t| {
            if t.total == 0 { 0.0 } else { (t.current as f64 / t.total as f64).clamp(0.0, 1.0) }
        });
        self.progress = self.progress.max(from + (to - from) * part);
        self.emit(PipelineEvent::Progress {
            file: self.file.clone(),
            stage,
            progress: self.progress,
            current: tick.map(|t| t.current),
            total: tick.map(|t| t.total),
            unit: tick.map(|t| t.unit),
        });
    }

    /// The end of a file that is now in the store.
    pub(crate) fn complete(mut self, chunks: usize, content_length: usize, warnings: Vec<String>) {
        self.end(PipelineEvent::Completed {
            file: self.file.clone(),
            chunks_created: chunks,
            embeddings_generated: chunks,
            processing_duration: self.began.elapsed().as_secs_f64(),
            content_length,
            warnings,
        });
    }

    /// The end of a file that could not be done.
    pub(crate) fn fail(mut self, error: FileError) {
        let stage = error.stage.or(self.stage);
        self.end(failed(self.file.clone(), stage, error));
    }

    /// The end of a file with nothing to do.
    pub(crate) fn skip(mut self, reason: SkipReason, detail: Option<String>, duplicate_of: Option<String>) {
        self.end(PipelineEvent::Skipped { file: self.file.clone(), reason, detail, duplicate_of });
    }

    /// The end of a file that is gone.
    pub(crate) fn delete(mut self, chunks_deleted: usize) {
        self.end(PipelineEvent::Deleted { file: self.file.clone(), chunks_deleted });
    }

    fn end(&mut self, event: PipelineEvent) {
        // Set first: an end that is being reported must not be reported again by the drop, whatever the sink does.
        self.ended = true;
        self.emit(event);
    }

    fn emit(&self, event: PipelineEvent) {
        emit(&*self.sink, event);
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let error = if std::thread::panicking() {
            FileError::new(error_type::INTERNAL, self.stage, "the pipeline panicked; this is a defect of it")
        } else {
            FileError::interrupted(self.stage)
        };
        self.end(failed(self.file.clone(), self.stage, error));
    }
}

fn failed(file: FileInfo, stage: Option<Stage>, error: FileError) -> PipelineEvent {
    let FileError { error_type, message, retryable, .. } = error;
    PipelineEvent::Failed { file, error_type, message, stage, retryable }
}

/// What part of the whole each stage stands for: a bar that starts again in each stage tells nobody how long it takes.
fn span(stage: Stage) -> (f64, f64) {
    match stage {
        Stage::Extraction => (0.0, 0.4),
        Stage::Chunking => (0.4, 0.5),
        Stage::Embedding => (0.5, 0.9),
        Stage::Storing => (0.9, 1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;

    fn file() -> FileInfo {
        FileInfo {
            id: "i".into(),
            name: "n".into(),
            path: "n".into(),
            size: 1,
            mime_type: "text/plain".into(),
        }
    }

    fn ends(run: impl FnOnce(Arc<dyn Sink>)) -> Vec<PipelineEvent> {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let to = Arc::clone(&seen);
        run(Arc::new(move |e: PipelineEvent| to.lock().push(e)));
        let all = std::mem::take(&mut *seen.lock());
        all.into_iter().filter(PipelineEvent::is_end).collect()
    }

    #[test]
    fn dropping_without_an_end_reports_one() {
        let got = ends(|sink| drop(OpenFile::announce(sink, file(), None)));
        assert!(matches!(
            &got[..],
            [PipelineEvent::Failed { error_type: "Interrupted", retryable: true, stage: None, .. }]
        ));
    }

    #[test]
    fn a_panic_on_the_way_reports_one_end() {
        let got = ends(|sink| {
            let _ = catch_unwind(AssertUnwindSafe(|| {
                let mut open = OpenFile::announce(sink, file(), None);
                open.begin();
                std::panic::resume_unwind(Box::new("no output"));
            }));
        });
        assert!(matches!(
            &got[..],
            [PipelineEvent::Failed { error_type: "InternalError", stage: Some(Stage::Extraction), .. }]
        ));
    }

    #[test]
    fn an_end_is_not_followed_by_another() {
        let got = ends(|sink| OpenFile::announce(sink, file(), None).complete(1, 1, Vec::new()));
        assert_eq!(got.len(), 1);
    }

    #[test]
    fn a_panicking_sink_ends_nothing_but_its_event() {
        let sink: Arc<dyn Sink> = Arc::new(|_: PipelineEvent| std::panic::resume_unwind(Box::new("x")));
        OpenFile::announce(sink, file(), None).delete(0);
    }

    #[test]
    fn progress_never_falls_and_stays_in_range() {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let to = Arc::clone(&seen);
        let mut open = OpenFile::announce(Arc::new(move |e: PipelineEvent| to.lock().push(e)), file(), None);
        open.begin();
        for (stage, current, total) in [
            (Stage::Extraction, 9, 3),
            (Stage::Extraction, 1, 3),
            (Stage::Chunking, 0, 0),
            (Stage::Storing, 5, 5),
        ] {
            open.progress(stage, Some(Tick { current, total, unit: Unit::Chunks }));
        }
        drop(open);
        let values: Vec<f64> = seen
            .lock()
            .iter()
            .filter_map(|e| match e {
                PipelineEvent::Progress { progress, .. } => Some(*progress),
                _ => None,
            })
            .collect();
        assert!(values.is_sorted(), "{values:?}");
        assert!(values.iter().all(|p| (0.0..=1.0).contains(p)));
    }
}
