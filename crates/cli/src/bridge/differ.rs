//! What changed between two looks at a legacy status server, as events: the pure core of the bridge.
//!
//! *What may come in:* status dicts of any content, what the hub knows, and the time. *What it never does:* I/O, read a
//! clock, report an end twice, or leave a file open that nobody works on.
//!
//! The order within a look is: what a restart cut short, the pipeline online, ends by their times, what vanished, begins,
//! progress, then what is left over and the keys. What it relies on of a status server:
//!
//! - an ended file is appended to its list, and lists lose their oldest entries only;
//! - totals only grow, while the process lives;
//! - nothing is worked on after `is_checking` went from true to false.

mod begins;
mod ends;
mod learn;
mod process;
mod vanished;

use std::collections::{HashMap, HashSet};

use ragpulse_protocol::parts::OfflineReason;
use ragpulse_protocol::{ReportedEvent, Timestamp};
use serde_json::Value;

use super::dict::{Dict, Entry, Identity, Moment};
use super::keys::{Keys, LeftOut};
use super::known::{Files, Known, State};
use super::reports::Reports;

use self::process::{CHECK_ENDED, checks_of, has_restarted};

/// How many ids of begins are remembered.
const MAX_BEGINS: usize = 20_000;

/// What the last look saw; the rest of it is in the files and keys.
#[derive(Debug, Clone, Default)]
struct Before {
    total_processed: Option<u64>,
    total_failed: Option<u64>,
    is_checking: Option<bool>,
    checks: [Option<Value>; 2],
    started: Moment,
    /// What was listed as completed and as failed; nothing where only the hub remembers the last look.
    lists: Option<[Vec<Identity>; 2]>,
}

/// Compares looks.
#[derive(Debug)]
pub(crate) struct Differ {
    reports: Reports,
    files: Files,
    keys: Keys,
    before: Option<Before>,
    online: bool,
    /// Makes the next `pipeline:online` another event than those before.
    online_salt: String,
    /// Whether `is_checking` was ever true: otherwise that it is false says nothing.
    uses_checking: bool,
    begins: HashSet<String>,
    last_seen: Option<Timestamp>,
}

/// The files that are being processed now, and since when.
type Starts<'a> = HashMap<&'a str, &'a Moment>;

/// How many ended files of a kind were listed as new, and how many more the totals tell of.
#[derive(Debug, Clone, Copy, Default)]
struct Counted {
    new: u64,
    unlisted: u64,
}

impl Differ {
    pub(crate) fn new(pipeline: &str) -> Self {
        Self {
            reports: Reports { pipeline: pipeline.to_owned() },
            files: Files::default(),
            keys: Keys::default(),
            before: None,
            online: false,
            online_salt: String::new(),
            uses_checking: false,
            begins: HashSet::new(),
            last_seen: None,
        }
    }

    /// The status server was away for too long: the pipeline is offline. The hub ends its open files.
    pub(crate) fn lost(&mut self, reason: OfflineReason, now: Timestamp) -> Option<ReportedEvent> {
        if !std::mem::take(&mut self.online) {
            return None;
        }
        self.online_salt = now.to_string();
        self.keys.went_offline();
        for (_, known) in self.files.iter_mut().filter(|(_, known)| known.is_open()) {
            known.state = State::Interrupted;
        }
        Some(self.reports.offline(reason, self.last_seen.unwrap_or(now), now))
    }

    /// One look: what is to be reported.
    pub(crate) fn look(&mut self, dict: &Dict, now: Timestamp) -> Vec<ReportedEvent> {
        let mut out = Vec::new();
        let restarted = self.before.as_ref().is_some_and(|before| has_restarted(before, dict));
        if restarted {
            self.forget_process(dict, now, &mut out);
        }
        if !self.online || restarted || self.before.is_none() {
            let event = self.reports.online(dict, &self.online_salt, now);
            self.keys.went_online(&event.data, now);
            self.online = true;
            out.push(event);
        }
        let before = self.before.take().unwrap_or_default();
        let listed = self.files.listed_as(&dict.processing);
        let starts: Starts<'_> = listed.iter().map(|(id, entry)| (id.as_str(), &entry.started)).collect();

        let counted = self.ends(&before, dict, &starts, now, &mut out);
        let left = self.vanished(counted, &starts, now, &mut out);
        let check_ended = self.check_ended(&before, dict, restarted);
        for (id, entry) in &listed {
            self.begin_listed(id, entry, now, &mut out);
            if check_ended && self.files.get(id).is_some_and(Known::is_open) {
                self.give_up(id, CHECK_ENDED, now, &mut out);
            }
            self.progress(id, entry, now, &mut out);
        }
        for (id, known) in self.files.iter_mut() {
            known.listed = starts.contains_key(id.as_str());
        }
        if left.iter().any(|left| *left > 0) {
            out.push(self.reports.unseen(dict, left[0], left[1], now));
        }
        for changes in self.keys.changes(dict, now) {
            out.push(self.reports.update(changes, now));
        }
        self.files.trim();
        self.remember(dict, now);
        out
    }

    /// The keys of the dict that are not reported, each once.
    pub(crate) fn left_out(&mut self) -> LeftOut {
        self.keys.left_out()
    }

    fn remember(&mut self, dict: &Dict, now: Timestamp) {
        let identities = |entries: &[Entry]| entries.iter().map(Entry::identity).collect();
        self.before = Some(Before {
            total_processed: dict.total_processed,
            total_failed: dict.total_failed,
            is_checking: dict.is_checking,
            checks: checks_of(dict),
            started: dict.started.clone(),
            lists: Some([identities(&dict.completed), identities(&dict.failed)]),
        });
        self.last_seen = Some(now);
        if self.begins.len() > MAX_BEGINS {
            self.begins.clear();
        }
    }
}

/// Whether a dict lists the attempt that is known of a file, rather than none or another one.
fn is_listed(listed: &Starts<'_>, id: &str, known: &Known) -> bool {
    listed.get(id).is_some_and(|start| start.same_as(&known.started) != Some(false))
}

#[cfg(test)]
mod hub;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
