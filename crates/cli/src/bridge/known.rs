//! The files that the hub knows of, as far as the bridge has to: what the latest attempt of each came to.
//!
//! *What it never does:* grow without bound: of the files that ended, the oldest are forgotten.

use std::collections::{BTreeMap, HashMap};

use ragpulse_protocol::{FileState, FileStatus, Timestamp};

use super::dict::{Entry, Moment};
use super::reports::GAVE_UP;

/// How many files are remembered that have ended.
const MAX_ENDED: usize = 2_000;

/// Where the latest attempt of a file stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Open,
    /// It ended as the legacy server said, or as its totals proved.
    Ended,
    /// The hub ended it because the bridge was silent or away: it may still be worked on.
    Interrupted,
    /// The bridge ended it, because nobody works on it any more.
    GivenUp,
}

#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) name: String,
    pub(crate) state: State,
    pub(crate) started: Moment,
    pub(crate) completed: Option<Timestamp>,
    /// Whether the last dict listed it as being processed.
    pub(crate) listed: bool,
    /// What told the begin of this attempt from others of the same start; empty for the first.
    pub(crate) salt: String,
    /// Stage and progress as last told.
    pub(crate) progress: Option<(Option<String>, f64)>,
    order: u64,
}

impl Known {
    /// One that the hub lists; nothing for one that is only queued.
    pub(crate) fn of_hub(file: &FileStatus) -> Option<Self> {
        let gave_up = || file.error.as_ref().is_some_and(|error| error.code.as_deref() == Some(GAVE_UP));
        let interrupted = || file.error.as_ref().is_some_and(|error| error.is_interrupted());
        let state = match file.state {
            FileState::Queued => return None,
            FileState::Processing => State::Open,
            FileState::Failed if interrupted() && gave_up() => State::GivenUp,
            FileState::Failed if interrupted() => State::Interrupted,
            FileState::Completed | FileState::Failed | FileState::Skipped | FileState::Cancelled => {
                State::Ended
            }
        };
        let started = Moment { raw: None, at: file.started_at };
        Some(Self { completed: file.completed_at, listed: true, ..Self::new(&file.name, started, state) })
    }

    pub(crate) fn new(name: &str, started: Moment, state: State) -> Self {
        Self {
            name: name.to_owned(),
            state,
            started,
            completed: None,
            listed: false,
            salt: String::new(),
            progress: None,
            order: 0,
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Whether an end of it would still be news.
    fn awaits_end(&self) -> bool {
        self.state != State::Ended
    }
}

#[derive(Debug, Default)]
pub(crate) struct Files {
    files: HashMap<String, Known>,
    order: BTreeMap<u64, String>,
    next: u64,
}

impl Files {
    pub(crate) fn get(&self, id: &str) -> Option<&Known> {
        self.files.get(id)
    }

    pub(crate) fn get_mut(&mut self, id: &str) -> Option<&mut Known> {
        self.files.get_mut(id)
    }

    pub(crate) fn put(&mut self, id: &str, known: Known) {
        self.next += 1;
        if let Some(before) = self.files.insert(id.to_owned(), Known { order: self.next, ..known }) {
            self.order.remove(&before.order);
        }
        self.order.insert(self.next, id.to_owned());
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&String, &mut Known)> {
        self.files.iter_mut()
    }

    /// Ids of the open ones, in the order in which they were begun.
    pub(crate) fn open(&self) -> Vec<String> {
        let open = |id: &&String| self.files.get(*id).is_some_and(Known::is_open);
        self.order.values().filter(open).cloned().collect()
    }

    /// Forgets the oldest of those that ended and are not listed.
    pub(crate) fn trim(&mut self) {
        let over = self.files.len().saturating_sub(MAX_ENDED);
        let old = |(at, id): (&u64, &String)| {
            let gone = self.files.get(id).is_none_or(|known| !known.is_open() && !known.listed);
            gone.then(|| (*at, id.clone()))
        };
        let old: Vec<_> = self.order.iter().filter_map(old).take(over).collect();
        for (at, id) in old {
            self.order.remove(&at);
            self.files.remove(&id);
        }
    }

    /// Under which id an entry of a list of ended files is known. `listed` tells which are being processed now: of
    /// two of a name it is not one of these that ended.
    pub(crate) fn ended_as(&self, entry: &Entry, listed: impl Fn(&str, &Known) -> bool) -> Option<String> {
        if let Some(id) = entry.id.as_ref().filter(|id| self.files.contains_key(*id)) {
            return Some(id.clone());
        }
        let named: Vec<(&String, &Known)> = self.of_name(entry).collect();
        let same_start = |known: &Known| known.started.same_as(&entry.started);
        let gone = |id: &str, known: &Known| same_start(known) != Some(false) && !listed(id, known);
        let found = named
            .iter()
            .find(|(_, known)| same_start(known) == Some(true))
            .or_else(|| named.iter().find(|(id, known)| known.is_open() && gone(id, known)))
            .or_else(|| named.iter().find(|(id, known)| known.awaits_end() && gone(id, known)))
            .or_else(|| named.iter().rev().find(|(_, known)| known.state == State::Ended));
        found.map(|(id, _)| (*id).clone())
    }

    /// The files that an entry may be about by its name, in the order in which they were begun.
    pub(crate) fn of_name<'a>(&'a self, entry: &'a Entry) -> impl Iterator<Item = (&'a String, &'a Known)> {
        let fits = |id: &str| entry.id.is_none() || is_made_of(&entry.name, id);
        let known = self.order.values().filter_map(|id| self.files.get_key_value(id));
        known.filter(move |(id, known)| known.name == entry.name && fits(id))
    }

    /// Whether an end of this name at this time is known.
    pub(crate) fn has_end(&self, name: &str, at: Timestamp) -> bool {
        self.files.values().any(|known| known.name == name && known.completed == Some(at))
    }

    /// Which ids the entries being processed have, the later entry where two are of one id. An entry without an id is
    /// known by its name, unless another of this name is being processed: then by its name and start.
    pub(crate) fn listed_as<'a>(&self, entries: &'a [Entry]) -> Vec<(String, &'a Entry)> {
        let mut ids: Vec<Option<String>> = entries.iter().map(|entry| entry.id.clone()).collect();
        let is_taken =
            |ids: &[Option<String>], id: &str| ids.iter().any(|taken| taken.as_deref() == Some(id));
        // Those that are known first, so that a new one of the name does not take their id.
        for (index, entry) in entries.iter().enumerate().filter(|(_, entry)| entry.id.is_none()) {
            let same = |(id, known): &(&String, &Known)| {
                known.name == entry.name
                    && is_made_of(&entry.name, id)
                    && known.started.same_as(&entry.started) == Some(true)
            };
            let known = self.files.iter().find(same).map(|(id, _)| id.clone());
            if let Some(known) = known.filter(|known| !is_taken(&ids, known)) {
                ids[index] = Some(known);
            }
        }
        for (index, entry) in entries.iter().enumerate() {
            if ids[index].is_none() {
                let mark = entry.started.raw.clone().unwrap_or_else(|| (index + 1).to_string());
                let marked = (1..).map(|n| match n {
                    1 => format!("{}#{mark}", entry.name),
                    n => format!("{}#{mark}#{n}", entry.name),
                });
                let mut choices = std::iter::once(entry.name.clone()).chain(marked);
                ids[index] = choices.find(|id| !is_taken(&ids, id));
            }
        }
        let mut listed: Vec<(String, &Entry)> = Vec::with_capacity(entries.len());
        let mut places: HashMap<String, usize> = HashMap::new();
        for (id, entry) in ids.into_iter().flatten().zip(entries) {
            match places.get(&id) {
                Some(place) => listed[*place].1 = entry,
                None => {
                    places.insert(id.clone(), listed.len());
                    listed.push((id, entry));
                }
            }
        }
        listed
    }
}

/// Whether an id was made by the bridge from a name.
fn is_made_of(name: &str, id: &str) -> bool {
    id.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('#'))
}
