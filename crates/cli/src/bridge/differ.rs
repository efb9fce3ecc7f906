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

use std::collections::{HashMap, HashSet};

use ragpulse_protocol::parts::OfflineReason;
use ragpulse_protocol::{Liveness, PipelineStatus, ReportedEvent, Timestamp};
use serde_json::Value;

use super::dict::{Dict, Entry, Identity, Moment};
use super::keys::{Keys, REPORTED};
use super::known::{Files, Known, State};
use super::reports::{Kind, Reports, stage_of, times};

/// How many ended files a status server lists at least, before it forgets the oldest: of those that completed, and that
/// failed.
const LISTED: [usize; 2] = [10, 5];
/// How many ids of begins are remembered.
const MAX_BEGINS: usize = 20_000;

/// What a restarted server leaves behind.
const RESTARTED: &str = "the process behind the status server restarted before the file ended";
/// What an exception in the pipeline leaves behind.
const CHECK_ENDED: &str = "the pipeline finished its check without ending the file: its processing stopped midway, or the \
                           file was left out";
const VANISHED: &str = "the status server no longer lists the file, and counted no end for it: a file of the same name \
                        ended, or the file was left out";
const UNCLEAR: &str = "the status server no longer lists the file, and its totals do not tell whether it completed or \
                       failed: more files ended between two looks than it lists";

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

    /// Takes over what the hub knows; nothing if it does not know the pipeline. To be called at the start, and when hub and
    /// bridge had lost each other, while nothing that was reported is still on its way.
    pub(crate) fn learn(&mut self, hub: Option<&PipelineStatus>) {
        self.keys.learn(hub);
        self.online = hub.is_some_and(PipelineStatus::is_online);
        let Some(hub) = hub else {
            for (_, known) in self.files.iter_mut().filter(|(_, known)| known.is_open()) {
                known.state = State::Interrupted;
            }
            return;
        };
        if !self.online {
            self.online_salt = hub.cursor().to_string();
        }
        self.uses_checking |= hub.is_checking == Some(true);
        let mut listed_open = 0_u64;
        let mut told: HashSet<&str> = HashSet::new();
        for file in hub.files.iter() {
            let Some(known) = Known::of_hub(file) else { continue };
            listed_open += u64::from(known.is_open());
            told.insert(&file.id);
            match self.files.get_mut(&file.id) {
                Some(own) => {
                    // The text of the start is known only here.
                    if own.started.at.is_some() && own.started.at != known.started.at {
                        own.started = known.started;
                    }
                    own.state = known.state;
                    own.completed = known.completed;
                }
                None => self.files.put(&file.id, known),
            }
        }
        if listed_open >= hub.counts.processing {
            let missing =
                self.files.iter_mut().filter(|(id, known)| known.is_open() && !told.contains(id.as_str()));
            for (_, known) in missing {
                known.state = State::Interrupted;
            }
        }
        if self.before.is_none()
            && let Some(Value::Object(reported)) = self.keys.get(REPORTED)
        {
            let total = |key: &str| reported.get(key).and_then(Value::as_u64);
            let started = reported.get("started_at").and_then(Value::as_str).map(str::to_owned);
            self.before = Some(Before {
                total_processed: total("total_processed"),
                total_failed: total("total_failed"),
                is_checking: hub.is_checking.filter(|_| hub.liveness != Liveness::Offline),
                started: Moment { raw: started, at: None },
                ..Before::default()
            });
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

    /// The process is another one: nobody works on the files of the one before, and it counts from nothing.
    fn forget_process(&mut self, dict: &Dict, now: Timestamp, out: &mut Vec<ReportedEvent>) {
        let listed: HashMap<String, Moment> = {
            let listed = self.files.listed_as(&dict.processing);
            listed.into_iter().map(|(id, entry)| (id, entry.started.clone())).collect()
        };
        // Where not even the start is known it is not the same work.
        for id in self.files.open() {
            let start = self.files.get(&id).map(|known| known.started.clone()).unwrap_or_default();
            if listed.get(&id).and_then(|listed| listed.same_as(&start)) != Some(true) {
                self.give_up(&id, RESTARTED, now, out);
            }
        }
        self.before = Some(Before {
            total_processed: Some(0),
            total_failed: Some(0),
            started: dict.started.clone(),
            lists: self.before.take().and_then(|before| before.lists),
            ..Before::default()
        });
    }

    /// Whether a check ended since the last look.
    fn check_ended(&mut self, before: &Before, dict: &Dict, restarted: bool) -> bool {
        let checked = before.is_checking == Some(true);
        self.uses_checking |= checked || dict.is_checking == Some(true);
        let unseen_check = self.uses_checking
            && before.lists.is_some()
            && !restarted
            && before.checks.iter().zip(&checks_of(dict)).any(|(before, now)| now.is_some() && before != now);
        dict.is_checking == Some(false) && (checked || unseen_check)
    }

    /// Reports the files that are listed as ended and were not at the last look.
    fn ends(
        &mut self,
        before: &Before,
        dict: &Dict,
        listed: &Starts<'_>,
        now: Timestamp,
        out: &mut Vec<ReportedEvent>,
    ) -> [Counted; 2] {
        let lists = [(Kind::Completed, &dict.completed), (Kind::Failed, &dict.failed)];
        let mut new: Vec<(Kind, &Entry)> = Vec::new();
        for (index, (kind, entries)) in lists.iter().enumerate() {
            let seen = before.lists.as_ref().map_or(&[][..], |lists| lists[index].as_slice());
            new.extend(not_in(seen, entries).map(|entry| (*kind, entry)));
        }
        // By their times, so that the attempts of a file come in their order.
        new.sort_by_key(|(_, entry)| entry.completed.at);
        let first = before.lists.is_none();
        let mut counted = [Counted::default(); 2];
        for (kind, entry) in new {
            // What was listed when the bridge was last here may be known to the hub.
            if !(first && self.is_known_end(entry, listed, now)) {
                counted[kind as usize].new += 1;
                self.end(kind, entry, listed, now, out);
            }
        }
        let totals =
            [(before.total_processed, dict.total_processed), (before.total_failed, dict.total_failed)];
        for (index, ((_, entries), (before, total))) in lists.iter().zip(totals).enumerate() {
            let new = counted[index].new;
            // Where an entry of the last look is still listed, or there was room for all, none was pushed out.
            let all_new = new == entries.len() as u64;
            let overflowed = all_new && (entries.is_empty() || entries.len() >= LISTED[index]);
            if let (true, Some(before), Some(total)) = (overflowed, before, total) {
                counted[index].unlisted = total.saturating_sub(before).saturating_sub(new);
            }
        }
        counted
    }

    /// Whether the hub knows this end from an earlier life of the bridge: then it is not older than the file's latest.
    fn is_known_end(&self, entry: &Entry, listed: &Starts<'_>, now: Timestamp) -> bool {
        let (started, completed) = times(entry, now);
        if completed.is_some_and(|at| self.files.has_end(&entry.name, at)) {
            return true;
        }
        // What began, or even ended, before the latest attempt began was an earlier one.
        let is_older = |known: &Known| {
            [started, completed]
                .into_iter()
                .flatten()
                .any(|at| known.started.at.is_some_and(|known| at < known))
        };
        let is_same_start = |known: &Known| started.is_some() && started == known.started.at;
        let found = self.files.ended_as(entry, |id, known| is_listed(listed, id, known));
        let known = found.and_then(|id| self.files.get(&id));
        let ended = known.filter(|known| known.state == State::Ended);
        let in_time =
            |known: &Known| completed.zip(known.completed).is_none_or(|(entry, known)| entry <= known);
        let of_name_is_older = || self.files.of_name(entry).any(|(_, known)| is_older(known));
        ended.is_some_and(|known| is_same_start(known) || in_time(known))
            || match known {
                Some(known) if entry.id.is_some() || ended.is_none() => is_older(known),
                // By the name only: rather one too few than one too many.
                _ => of_name_is_older(),
            }
    }

    fn end(
        &mut self,
        kind: Kind,
        entry: &Entry,
        listed: &Starts<'_>,
        now: Timestamp,
        out: &mut Vec<ReportedEvent>,
    ) {
        let found = self.files.ended_as(entry, |id, known| is_listed(listed, id, known));
        let id = found.unwrap_or_else(|| self.free_id(entry, listed));
        let known = self.files.get(&id);
        let same = known.and_then(|known| known.started.same_as(&entry.started));
        let goes_on =
            same.is_none() && known.is_some_and(|known| known.is_open() && is_listed(listed, &id, known));
        match known.map(|known| known.state) {
            // The server ended an attempt twice, which counts once.
            Some(State::Ended) if same == Some(true) => return,
            Some(State::Open | State::Interrupted | State::GivenUp) if same != Some(false) => {}
            _ => self.begin(&id, entry, now, out),
        }
        // Without a time, two ends look the same.
        let salt = if entry.completed.raw.is_some() { String::new() } else { now.to_string() };
        out.push(self.reports.end(kind, &id, entry, &salt, now));
        if let Some(known) = self.files.get_mut(&id) {
            // Still listed without saying since when: another attempt is under way.
            known.state = if goes_on { State::Interrupted } else { State::Ended };
            known.completed = Some(times(entry, now).1.unwrap_or(now));
        }
    }

    /// An id for a file that nobody has heard of.
    fn free_id(&self, entry: &Entry, listed: &Starts<'_>) -> String {
        let id = entry.id.clone().unwrap_or_else(|| entry.name.clone());
        if entry.id.is_some()
            || !listed.contains_key(id.as_str()) && !self.files.get(&id).is_some_and(Known::is_open)
        {
            return id;
        }
        let mark = entry.started.raw.as_ref().or(entry.completed.raw.as_ref());
        format!("{id}#{}", mark.map_or("2", String::as_str))
    }

    /// Files that are no longer listed and whose ends are not either: as far as the totals tell, they ended. Gives how many
    /// ends of each kind are of files that were never seen.
    fn vanished(
        &mut self,
        counted: [Counted; 2],
        listed: &Starts<'_>,
        now: Timestamp,
        out: &mut Vec<ReportedEvent>,
    ) -> [u64; 2] {
        let mut gone = self.files.open();
        gone.retain(|id| self.files.get(id).is_some_and(|known| !is_listed(listed, id, known)));
        let [completed, failed] = counted.map(|counted| counted.unlisted);
        let all = gone.len() as u64;
        let kind = match (completed, failed) {
            (1.., 0) if all <= completed => Some(Kind::Completed),
            (0, 1..) if all <= failed => Some(Kind::Failed),
            _ => None,
        };
        let message = if completed + failed == 0 { VANISHED } else { UNCLEAR };
        for id in gone {
            let Some(kind) = kind else {
                self.give_up(&id, message, now, out);
                continue;
            };
            if let Some(known) = self.files.get_mut(&id) {
                known.state = State::Ended;
                known.completed = Some(now);
                out.push(self.reports.counted(kind, &id, known, now));
            }
        }
        match kind {
            Some(Kind::Completed) => [completed - all, 0],
            Some(Kind::Failed) => [0, failed - all],
            None => [completed, failed],
        }
    }

    fn give_up(&mut self, id: &str, message: &str, now: Timestamp, out: &mut Vec<ReportedEvent>) {
        if let Some(known) = self.files.get_mut(id) {
            known.state = State::GivenUp;
            known.completed = Some(now);
            out.push(self.reports.interrupted(id, known, message, now));
        }
    }

    /// A file is listed as being processed: is that new?
    fn begin_listed(&mut self, id: &str, entry: &Entry, now: Timestamp, out: &mut Vec<ReportedEvent>) {
        let begins = match self.files.get(id) {
            None => true,
            Some(known) => match (known.state, known.started.same_as(&entry.started)) {
                (_, Some(false)) => true,
                (State::Interrupted, _) => true,
                (State::Open, _) | (State::Ended | State::GivenUp, Some(true)) => false,
                // Nobody knows since when: it is new if it was away.
                (State::Ended | State::GivenUp, None) => !known.listed,
            },
        };
        if begins {
            self.begin(id, entry, now, out);
        } else if let Some(known) = self.files.get_mut(id)
            && known.started.raw.is_none()
        {
            known.started.raw.clone_from(&entry.started.raw);
        }
    }

    fn begin(&mut self, id: &str, entry: &Entry, now: Timestamp, out: &mut Vec<ReportedEvent>) {
        let interrupted = self.files.get(id).is_some_and(|known| known.state == State::Interrupted);
        let mut salt = match (&entry.started.raw, &entry.completed.raw) {
            (Some(_), _) => String::new(),
            (None, Some(completed)) => completed.clone(),
            (None, None) => now.to_string(),
        };
        let mut event = self.reports.begin(id, entry, &salt, now);
        // The hub has one of this id, and would not take it again.
        if interrupted || event.event_id.as_ref().is_some_and(|id| self.begins.contains(id)) {
            salt = now.to_string();
            event = self.reports.begin(id, entry, &salt, now);
        }
        self.begins.extend(event.event_id.clone());
        let mut started = entry.started.clone();
        // As the hub has it.
        started.at = times(entry, now).0.or(event.timestamp);
        let stage = stage_of(entry).map(|stage| stage.to_string());
        let mut known = Known::new(&entry.name, started, State::Open);
        known.salt = salt;
        known.progress = stage.map(|stage| (Some(stage), 0.0));
        self.files.put(id, known);
        out.push(event);
    }

    fn progress(&mut self, id: &str, entry: &Entry, now: Timestamp, out: &mut Vec<ReportedEvent>) {
        let Some(known) = self.files.get_mut(id).filter(|known| known.is_open()) else { return };
        let progress = entry.field(&["progress"]).and_then(Value::as_f64);
        let Some(progress) = progress.filter(|progress| (0.0..=1.0).contains(progress)) else { return };
        let told = (stage_of(entry).map(|stage| stage.to_string()), progress);
        if known.progress.as_ref() != Some(&told) {
            out.push(self.reports.progress(id, entry, told.0.as_deref(), progress, now));
            known.progress = Some(told);
        }
    }
}

/// Whether a dict lists the attempt that is known of a file, rather than none or another one.
fn is_listed(listed: &Starts<'_>, id: &str, known: &Known) -> bool {
    listed.get(id).is_some_and(|start| start.same_as(&known.started) != Some(false))
}

/// Whether the process behind the server is another one than at the last look.
fn has_restarted(before: &Before, dict: &Dict) -> bool {
    let fell =
        |before: Option<u64>, now: Option<u64>| before.zip(now).is_some_and(|(before, now)| now < before);
    before.started.same_as(&dict.started) == Some(false)
        || fell(before.total_processed, dict.total_processed)
        || fell(before.total_failed, dict.total_failed)
}

fn checks_of(dict: &Dict) -> [Option<Value>; 2] {
    ["last_check_time", "next_check_time"]
        .map(|key| dict.keys.get(key).filter(|value| !value.is_null()).cloned())
}

/// The entries that are not among those seen, as often as they occur.
fn not_in<'a>(seen: &[Identity], entries: &'a [Entry]) -> impl Iterator<Item = &'a Entry> {
    let mut left: HashMap<Identity, usize> = HashMap::new();
    for identity in seen {
        *left.entry(identity.clone()).or_default() += 1;
    }
    entries.iter().filter(move |entry| match left.get_mut(&entry.identity()) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        _ => true,
    })
}

#[cfg(test)]
mod hub;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
