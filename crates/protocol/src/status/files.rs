//! The files that a state lists: found by id, kept in order of `seq`, evicted by the state's limits.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{FileState, FileStatus, Limits};

/// The files of a state. On the wire: an array in order of `seq`.
#[derive(Debug, Clone, Default)]
pub struct FileTable {
    by_id: HashMap<Arc<str>, FileStatus>,
    queued: BTreeSet<(u64, Arc<str>)>,
    processing: BTreeSet<(u64, Arc<str>)>,
    ended: BTreeSet<(u64, Arc<str>)>,
}

impl FileTable {
    /// The file of this id.
    pub fn get(&self, id: &str) -> Option<&FileStatus> {
        self.by_id.get(id)
    }

    /// How many files are listed.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether none is listed.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// All files in order of `seq`.
    pub fn iter(&self) -> impl Iterator<Item = &FileStatus> {
        let mut all: Vec<&FileStatus> = self.by_id.values().collect();
        all.sort_unstable_by(|a, b| (a.seq, &a.id).cmp(&(b.seq, &b.id)));
        all.into_iter()
    }

    /// The files of one state in order of `seq`.
    pub fn in_state(&self, state: FileState) -> impl DoubleEndedIterator<Item = &FileStatus> {
        self.group(state)
            .iter()
            .filter_map(|(_, id)| self.by_id.get(id))
            .filter(move |file| file.state == state)
    }

    /// The files in order of `seq`, those after `after` only, from the whole table without sorting it.
    ///
    /// `state` narrows to one state.
    pub fn after(&self, after: u64, state: Option<FileState>) -> impl Iterator<Item = &FileStatus> {
        let range = (after.saturating_add(1), Arc::from(""))..;
        let mut queued = self.queued.range(range.clone()).peekable();
        let mut processing = self.processing.range(range.clone()).peekable();
        let mut ended = self.ended.range(range).peekable();
        std::iter::from_fn(move || {
            let next =
                [queued.peek(), processing.peek(), ended.peek()].into_iter().flatten().min().copied()?;
            if queued.peek() == Some(&next) {
                queued.next();
            } else if processing.peek() == Some(&next) {
                processing.next();
            } else {
                ended.next();
            }
            Some(next)
        })
        .filter_map(|(_, id)| self.by_id.get(id))
        .filter(move |file| state.is_none_or(|state| file.state == state))
    }

    /// The first file that has ended, by `seq`.
    pub fn first_ended(&self) -> Option<&FileStatus> {
        self.ended.first().and_then(|(_, id)| self.by_id.get(id))
    }

    /// Puts a file in, in place of what was there under its id.
    pub(crate) fn insert(&mut self, file: FileStatus) {
        self.remove(&file.id);
        let id: Arc<str> = file.id.as_str().into();
        self.group_mut(file.state).insert((file.seq, id.clone()));
        self.by_id.insert(id, file);
    }

    /// Takes a file out.
    pub(crate) fn remove(&mut self, id: &str) -> Option<FileStatus> {
        let (id, file) = self.by_id.remove_entry(id)?;
        self.group_mut(file.state).remove(&(file.seq, id));
        Some(file)
    }

    /// Changes what is known of a file that is open. Its state and `seq` must stay.
    pub(crate) fn open_mut(&mut self, id: &str) -> Option<&mut FileStatus> {
        self.by_id.get_mut(id).filter(|file| file.state.is_open())
    }

    /// Takes out what is beyond the limits: the newest open files, the oldest ended ones.
    pub(crate) fn evict(&mut self, limits: Limits) {
        while self.queued.len() > limits.open as usize {
            self.queued.pop_last().map(|(_, id)| self.by_id.remove(&id));
        }
        while self.processing.len() > limits.open as usize {
            self.processing.pop_last().map(|(_, id)| self.by_id.remove(&id));
        }
        while self.ended.len() > limits.ended as usize {
            self.ended.pop_first().map(|(_, id)| self.by_id.remove(&id));
        }
    }

    fn group(&self, state: FileState) -> &BTreeSet<(u64, Arc<str>)> {
        match state {
            FileState::Queued => &self.queued,
            FileState::Processing => &self.processing,
            _ => &self.ended,
        }
    }

    fn group_mut(&mut self, state: FileState) -> &mut BTreeSet<(u64, Arc<str>)> {
        match state {
            FileState::Queued => &mut self.queued,
            FileState::Processing => &mut self.processing,
            _ => &mut self.ended,
        }
    }
}

impl PartialEq for FileTable {
    fn eq(&self, other: &Self) -> bool {
        self.by_id == other.by_id
    }
}

impl FromIterator<FileStatus> for FileTable {
    fn from_iter<I: IntoIterator<Item = FileStatus>>(files: I) -> Self {
        let mut table = Self::default();
        files.into_iter().for_each(|file| table.insert(file));
        table
    }
}

impl Serialize for FileTable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for FileTable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::<FileStatus>::deserialize(deserializer).map(|files| files.into_iter().collect())
    }
}
