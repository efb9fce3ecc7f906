//! The lists as they are shown: what passes the filters, in order, and which row is chosen. Made from the model for one drawing
//! or one key, and dropped.

use std::cmp::Reverse;

use ragpulse_protocol::{FileState, FileStatus, PipelineId};

use super::pipeline::Pipeline;
use super::{FileKey, Model, Pane};

/// How many failures are listed, the newest ones.
const FAILURES: usize = 500;

/// The lists, borrowed from the model.
#[derive(Debug)]
pub(crate) struct View<'a> {
    pub(crate) pipelines: Vec<(&'a PipelineId, &'a Pipeline)>,
    /// The chosen rows; `None` where the list is empty.
    pub(crate) pipeline: Option<usize>,
    /// Files of the chosen pipeline: those processed, those queued, those ended with the newest first.
    pub(crate) files: Vec<&'a FileStatus>,
    pub(crate) file: Option<usize>,
    /// Of all pipelines, the newest first.
    pub(crate) failures: Vec<(&'a PipelineId, &'a FileStatus)>,
    pub(crate) failure: Option<usize>,
}

impl<'a> View<'a> {
    pub(crate) fn of(model: &'a Model) -> Self {
        let [by_pipeline, by_file, by_failure] =
            Pane::ALL.map(|pane| Filter::new(&model.filters[pane as usize]));
        let pipelines: Vec<_> =
            model.pipelines.iter().filter(|(id, _)| by_pipeline.passes(id.as_str())).collect();
        let pipeline = model
            .pipeline_cursor
            .row(pipelines.len(), |chosen| pipelines.iter().position(|(id, _)| *id == chosen));
        let mut files = Vec::new();
        if let Some((_, chosen)) = pipeline.and_then(|row| pipelines.get(row)) {
            files = files_of(chosen, model.failures_only);
            files.retain(|file| by_file.passes(&file.name));
        }
        let file =
            model.file_cursor.row(files.len(), |chosen| files.iter().position(|file| file.id == *chosen));
        let mut failures: Vec<_> = model
            .pipelines
            .iter()
            .filter_map(|(id, pipeline)| Some((id, pipeline.state.as_ref()?)))
            .flat_map(|(id, state)| {
                let failed = state.files.in_state(FileState::Failed).rev().take(FAILURES);
                failed.map(move |file| (id, file))
            })
            .filter(|(_, file)| by_failure.passes(&file.name))
            .collect();
        failures.sort_by_key(|(_, file)| (Reverse(file.completed_at), Reverse(file.seq)));
        failures.truncate(FAILURES);
        let failure = model.failure_cursor.row(failures.len(), |chosen| {
            failures.iter().position(|(id, file)| **id == chosen.pipeline && file.id == chosen.file)
        });
        Self { pipelines, pipeline, files, file, failures, failure }
    }

    /// The pipeline whose files are listed.
    pub(crate) fn chosen(&self) -> Option<(&'a PipelineId, &'a Pipeline)> {
        self.pipelines.get(self.pipeline?).copied()
    }

    /// The file that is chosen in a pane.
    pub(crate) fn key(&self, pane: Pane) -> Option<FileKey> {
        let (pipeline, file) = match pane {
            Pane::Pipelines => return None,
            Pane::Files => (self.chosen()?.0, *self.files.get(self.file?)?),
            Pane::Failures => *self.failures.get(self.failure?)?,
        };
        Some(FileKey { pipeline: pipeline.clone(), file: file.id.clone() })
    }
}

fn files_of(pipeline: &Pipeline, failures_only: bool) -> Vec<&FileStatus> {
    let Some(state) = &pipeline.state else { return Vec::new() };
    if failures_only {
        return state.files.in_state(FileState::Failed).rev().collect();
    }
    let mut files: Vec<&FileStatus> = Vec::with_capacity(state.files.len());
    files.extend(state.files.in_state(FileState::Processing));
    files.extend(state.files.in_state(FileState::Queued));
    let ended = files.len();
    for kind in [FileState::Completed, FileState::Failed, FileState::Skipped, FileState::Cancelled] {
        files.extend(state.files.in_state(kind));
    }
    files[ended..].sort_unstable_by_key(|file| Reverse(file.seq));
    files
}

/// What a name has to contain, whatever the case.
struct Filter(String);

impl Filter {
    fn new(text: &str) -> Self {
        Self(text.to_lowercase())
    }

    fn passes(&self, name: &str) -> bool {
        self.0.is_empty() || name.to_lowercase().contains(&self.0)
    }
}
