//! Ends: the files that are listed as ended and were not at the last look.
//!
//! *What it never does:* report an end that the hub knows from an earlier life of the bridge.

use std::collections::HashMap;

use ragpulse_protocol::{ReportedEvent, Timestamp};

use super::super::dict::{Dict, Entry, Identity};
use super::super::known::{Known, State};
use super::super::reports::{Kind, times};
use super::{Before, Counted, Differ, Starts, is_listed};

/// How many ended files a status server lists at least, before it forgets the oldest: of those that completed, and that
/// failed.
pub(super) const LISTED: [usize; 2] = [10, 5];

impl Differ {
    /// Reports the files that are listed as ended and were not at the last look.
    pub(super) fn ends(
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
