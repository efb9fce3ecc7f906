//! What the pipeline knows of every file, and what a look at the folder means for it.
//!
//! Comes in: scans, batches of changes, outcomes. Out go decisions: announce this file, forget that one. Never: a
//! look at the disk or the store, an event, or a thread; so every order of happenings can be tried in a test.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use crate::debounce::Batch;
use crate::event::{Change, FileInfo};
use crate::identity::describe;
use crate::scan::{Scan, Seen};
use crate::worker::Outcome;

/// A failure that may pass is tried again by the regular check this often, then only when the file changes.
const RETRIES: u32 = 3;

/// What to do, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Announce the file and put it in the queue.
    Queue(PathBuf, FileInfo, Option<Change>),
    /// It waited and is gone: end it, and forget what is stored of it.
    EndWaiting(PathBuf, FileInfo),
    /// It was done and is gone: announce the deletion, and forget what is stored of it.
    Remove(FileInfo),
}

#[derive(Debug)]
struct Entry {
    info: FileInfo,
    seen: Option<Seen>,
    /// In a row, without a change of the file.
    failures: u32,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Waiting,
    /// `again`: it changed meanwhile. `gone`: it went meanwhile.
    Working {
        again: bool,
        gone: bool,
    },
    Done(Outcome),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Catalog {
    root: PathBuf,
    entries: BTreeMap<PathBuf, Entry>,
    /// By the id of the file that is stored: those left out because of it.
    duplicates: HashMap<String, Vec<PathBuf>>,
    /// What an earlier run stored: path to size and time.
    stored: HashMap<PathBuf, (u64, i64)>,
}

impl Catalog {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root, entries: BTreeMap::new(), duplicates: HashMap::new(), stored: HashMap::new() }
    }

    /// Tells of a file that an earlier run stored. If the first scan does not find it, it was deleted meanwhile.
    pub(crate) fn remember(&mut self, id: String, path: PathBuf, size: u64, modified_ns: i64) {
        let info = FileInfo { id, ..describe(&self.root, &path, size) };
        let state = State::Done(Outcome::Indexed { fresh: false });
        self.stored.insert(path.clone(), (size, modified_ns));
        self.entries.insert(path, Entry { info, seen: None, failures: 0, state });
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// What a scan means. `batch`: what changed at the last notice. `regular`: this is the regular check.
    pub(crate) fn apply(&mut self, scan: &Scan, batch: &Batch, regular: bool) -> Vec<Decision> {
        let mut decisions = Vec::new();
        // Deletions first, so that a moved file is not taken for a copy of itself.
        let gone: Vec<PathBuf> = self
            .entries
            .keys()
            .filter(|p| !scan.files.contains_key(*p) && scan.is_gone(p))
            .cloned()
            .collect();
        for path in gone {
            self.lose(path, &mut decisions);
        }
        for (path, seen) in &scan.files {
            self.find(path, *seen, batch, regular, &mut decisions);
        }
        decisions
    }

    fn lose(&mut self, path: PathBuf, decisions: &mut Vec<Decision>) {
        let Some(entry) = self.entries.get_mut(&path) else { return };
        match &mut entry.state {
            State::Working { gone, .. } => *gone = true,
            State::Waiting => {
                let info = entry.info.clone();
                self.entries.remove(&path);
                let orphans = self.orphans_of(&info.id);
                decisions.push(Decision::EndWaiting(path, info));
                self.queue_again(orphans, decisions);
            }
            State::Done(_) => {
                let info = entry.info.clone();
                self.entries.remove(&path);
                let orphans = self.orphans_of(&info.id);
                decisions.push(Decision::Remove(info));
                self.queue_again(orphans, decisions);
            }
        }
    }

    fn find(&mut self, path: &Path, seen: Seen, batch: &Batch, regular: bool, into: &mut Vec<Decision>) {
        let stored = self.stored.remove(path);
        let Some(entry) = self.entries.get_mut(path) else {
            let info = describe(&self.root, path, seen.size);
            let entry = Entry { info: info.clone(), seen: Some(seen), failures: 0, state: State::Waiting };
            self.entries.insert(path.to_owned(), entry);
            into.push(Decision::Queue(path.to_owned(), info, Some(Change::Created)));
            return;
        };
        let before = entry.seen.replace(seen);
        entry.info.size = seen.size;
        let (changed, change) = match before {
            // From an earlier run: always looked at, since times can lie and content cannot.
            None => {
                let same = stored == Some((seen.size, seen.modified_ns));
                (true, (!same).then_some(Change::Modified))
            }
            Some(before) if !before.same(&seen) => (true, Some(Change::Modified)),
            Some(before) => (before.recent && batch.touches(path), Some(Change::Modified)),
        };
        match &mut entry.state {
            State::Waiting => {}
            State::Working { again, gone } => {
                *again |= changed || *gone;
                *gone = false;
            }
            State::Done(outcome) => {
                let retry = regular
                    && matches!(outcome, Outcome::Failed { retryable: true })
                    && entry.failures <= RETRIES;
                if changed {
                    entry.failures = 0;
                }
                if changed || retry {
                    entry.state = State::Waiting;
                    let change = if changed { change } else { None };
                    into.push(Decision::Queue(path.to_owned(), entry.info.clone(), change));
                }
            }
        }
    }

    /// A worker has taken the file. Answers whether it may: it must still be waiting.
    pub(crate) fn start(&mut self, path: &Path) -> bool {
        match self.entries.get_mut(path) {
            Some(entry) if entry.state == State::Waiting => {
                entry.state = State::Working { again: false, gone: false };
                true
            }
            _ => false,
        }
    }

    /// A worker is done with the file. `still_there(id)`: whether the file of that id is in the store.
    pub(crate) fn finish(
        &mut self,
        path: &Path,
        outcome: Outcome,
        still_there: impl FnOnce(&str) -> bool,
    ) -> Vec<Decision> {
        let mut decisions = Vec::new();
        let Some(entry) = self.entries.get_mut(path) else { return decisions };
        let State::Working { again, gone } = entry.state else { return decisions };
        let info = entry.info.clone();
        // Anything but these two changes what the store holds under this id.
        let settled = matches!(outcome, Outcome::Indexed { fresh: false } | Outcome::Failed { .. });
        let orphans = if settled { Vec::new() } else { self.orphans_of(&info.id) };

        let requeue = if gone {
            self.entries.remove(path);
            // The worker may have been done before it went.
            if outcome != Outcome::Gone {
                decisions.push(Decision::Remove(info.clone()));
            }
            None
        } else if again {
            // Also where the worker found it missing: it has been seen since.
            Some(Some(Change::Modified))
        } else if let Outcome::DuplicateOf(of) = &outcome
            && !still_there(of)
        {
            Some(None)
        } else if outcome == Outcome::Gone {
            self.entries.remove(path);
            None
        } else {
            self.settle(path, outcome);
            None
        };
        if let Some(change) = requeue {
            self.wait(path);
            decisions.push(Decision::Queue(path.to_owned(), info, change));
        }
        self.queue_again(orphans, &mut decisions);
        decisions
    }

    fn settle(&mut self, path: &Path, outcome: Outcome) {
        if let Outcome::DuplicateOf(of) = &outcome {
            let waiting = self.duplicates.entry(of.clone()).or_default();
            if !waiting.iter().any(|p| p == path) {
                waiting.push(path.to_owned());
            }
        }
        if let Some(entry) = self.entries.get_mut(path) {
            entry.failures = if matches!(outcome, Outcome::Failed { .. }) { entry.failures + 1 } else { 0 };
            entry.state = State::Done(outcome);
        }
    }

    fn wait(&mut self, path: &Path) {
        if let Some(entry) = self.entries.get_mut(path) {
            entry.state = State::Waiting;
        }
    }

    /// Files that were left out for the sake of this one, which no longer holds that content.
    fn orphans_of(&mut self, id: &str) -> Vec<PathBuf> {
        self.duplicates.remove(id).unwrap_or_default()
    }

    fn queue_again(&mut self, paths: Vec<PathBuf>, decisions: &mut Vec<Decision>) {
        for path in paths {
            let Some(entry) = self.entries.get(&path) else { continue };
            if matches!(entry.state, State::Done(Outcome::DuplicateOf(_))) {
                let info = entry.info.clone();
                self.wait(&path);
                decisions.push(Decision::Queue(path, info, None));
            }
        }
    }
}

#[cfg(test)]
mod tests;
