//! A pipeline as its events left it, folded twice: with all files that a log lists, and as subscribers have it; who works on each open
//! file; and which files changed since the state was written down. Pure.
//!
//! *What may come in:* records that are in the store, in order. *What it never does:* refuse one: what is in the store has happened.

use std::collections::{HashMap, HashSet};

use ragpulse_protocol::status::Limits;
use ragpulse_protocol::{Epoch, Event, FileStatus, PipelineStatus, ReporterId, apply};

use super::{OpenFile, Record, Stored};

#[derive(Debug)]
pub(super) struct Fold {
    /// The state with all files that the log lists.
    pub(super) state: PipelineStatus,
    /// The state as subscribers have it, for a hub that starts.
    pub(super) shown: PipelineStatus,
    /// Who works on the open files.
    pub(super) owners: HashMap<String, ReporterId>,
    /// Files that changed since the state was written down.
    pub(super) changed: HashSet<String>,
}

impl Fold {
    /// Before the first event.
    pub(super) fn opening(state: PipelineStatus) -> Self {
        let shown = state.clone().limited_to(Limits::default());
        Self { state, shown, owners: HashMap::new(), changed: HashSet::new() }
    }

    /// As it was written down: the state that subscribers had, and every file that the log listed. More of them than `limits` allow go.
    pub(super) fn restored(
        shown: PipelineStatus,
        files: Vec<FileStatus>,
        owners: HashMap<String, ReporterId>,
        limits: Limits,
    ) -> Self {
        let mut state = shown.excerpt([]);
        state.files = files.into_iter().collect();
        Self { state: state.limited_to(limits), shown, owners, changed: HashSet::new() }
    }

    /// Applies a record that is in the store.
    pub(super) fn apply(&mut self, record: &Record) {
        if matches!(record.event, Event::PipelineRemoved(_)) {
            // All its files go with it.
            self.changed.extend(self.state.files.iter().map(|file| file.id.clone()));
            self.owners.clear();
        }
        // Anomalies are told by the room that subscribers look into.
        let _ = apply(&mut self.state, &record.event);
        let _ = apply(&mut self.shown, &record.event);
        if let Some(file) = record.event.file() {
            let open = self.state.files.get(&file.id).is_some_and(|file| file.state.is_open());
            match (&record.reporter, open) {
                (Some(reporter), true) => {
                    self.owners.insert(file.id.clone(), reporter.clone());
                }
                // It is somebody's without a name now, or it has ended.
                (None, true) | (_, false) => {
                    self.owners.remove(&file.id);
                }
            }
            self.changed.insert(file.id.clone());
        }
    }

    /// The pipeline lives on in a new epoch, in which the count goes on.
    pub(super) fn begin_epoch(&mut self, epoch: &Epoch) {
        self.state.epoch = epoch.clone();
        self.shown.epoch = epoch.clone();
    }

    /// For a hub that starts; `first` is the first `seq` that can be read.
    pub(super) fn stored(&self, first: u64) -> Stored {
        Stored { state: self.shown.clone(), first, open: OpenFile::all(&self.state, &self.owners) }
    }

    /// The files that changed, with their owners; `None` for one that is no longer listed.
    pub(super) fn changes(&self) -> impl Iterator<Item = Change<'_>> {
        self.changed.iter().map(|id| {
            let file = self.state.files.get(id);
            (id.as_str(), file.map(|file| (file, self.owners.get(id))))
        })
    }
}

/// The id of a file that changed, what is known of it if it is still listed, and its owner.
pub(super) type Change<'a> = (&'a str, Option<(&'a FileStatus, Option<&'a ReporterId>)>);
