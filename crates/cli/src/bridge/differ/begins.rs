//! Begins and progress of the files that are listed as being processed.
//!
//! *What it never does:* begin an attempt twice under one event id.

use ragpulse_protocol::{ReportedEvent, Timestamp};
use serde_json::Value;

use super::super::dict::Entry;
use super::super::known::{Known, State};
use super::super::reports::{stage_of, times};
use super::Differ;

impl Differ {
    /// A file is listed as being processed: is that new?
    pub(super) fn begin_listed(
        &mut self,
        id: &str,
        entry: &Entry,
        now: Timestamp,
        out: &mut Vec<ReportedEvent>,
    ) {
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

    pub(super) fn begin(&mut self, id: &str, entry: &Entry, now: Timestamp, out: &mut Vec<ReportedEvent>) {
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

    pub(super) fn progress(&mut self, id: &str, entry: &Entry, now: Timestamp, out: &mut Vec<ReportedEvent>) {
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
