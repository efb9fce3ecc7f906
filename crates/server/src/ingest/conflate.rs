//! Conflation: of `file:progress` only the latest counts, so most of a storm never gets a place in the sequence.
//!
//! The first goes at once, and so does a change of stage; then each file and each pipeline has a rate. What is held back
//! is at most one event a file. An end cancels it and never waits. Pure: time comes in as milliseconds.

use std::collections::{BTreeSet, HashMap};

/// One event in the bucket. It fills by `per_second` a millisecond.
const ONE: i64 = 1_000;

/// What to do with a progress event.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Offer<T> {
    /// Append it now.
    Now(T),
    /// It is held back, in place of what was held back of its file.
    Held,
}

/// The conflation of one pipeline.
#[derive(Debug)]
pub(crate) struct Conflator<T> {
    interval: i64,
    per_second: i64,
    /// What may still go at once, in thousandths of an event: a bucket that fills with time, as large as a second's worth.
    /// Whole numbers, so that what is promised is what comes.
    tokens: i64,
    filled_at: i64,
    files: HashMap<String, Slot<T>>,
    /// The files that wait, by the time from which they may go.
    due: BTreeSet<(i64, String)>,
}

/// What is known of the progress of one file.
#[derive(Debug, Clone)]
pub(crate) struct Slot<T> {
    stage: Option<String>,
    sent_at: i64,
    held: Option<(i64, T)>,
}

impl<T> Conflator<T> {
    /// `per_file` and `per_pipeline` are events a second.
    pub(crate) fn new(per_file: u32, per_pipeline: u32) -> Self {
        Self {
            interval: i64::from(1_000 / per_file.max(1)).max(1),
            per_second: i64::from(per_pipeline.max(1)),
            tokens: i64::from(per_pipeline.max(1)) * ONE,
            filled_at: i64::MIN,
            files: HashMap::new(),
            due: BTreeSet::new(),
        }
    }

    /// Takes the newest progress of a file that is open.
    pub(crate) fn offer(&mut self, id: &str, stage: Option<&str>, item: T, now: i64) -> Offer<T> {
        self.fill(now);
        let known = self.files.get(id);
        let fresh = known.is_none_or(|slot| stage.is_some() && slot.stage.as_deref() != stage);
        let due =
            known.map_or(now, |slot| if fresh { now } else { slot.sent_at.saturating_add(self.interval) });
        if due <= now && (fresh || self.tokens >= ONE) {
            self.take(id, stage, now);
            return Offer::Now(item);
        }
        let slot = self.files.entry(id.to_owned()).or_insert_with(|| Slot {
            stage: stage.map(str::to_owned),
            sent_at: now,
            held: None,
        });
        let due = slot.held.take().map_or(due, |(since, _)| since);
        slot.held = Some((due, item));
        self.due.insert((due, id.to_owned()));
        Offer::Held
    }

    /// Forgets what is held back of a file, and the file: it has ended, or begins anew.
    pub(crate) fn cancel(&mut self, id: &str) {
        if let Some((due, _)) = self.files.remove(id).and_then(|slot| slot.held) {
            self.due.remove(&(due, id.to_owned()));
        }
    }

    /// What may still go at once in this pipeline, to be [put back](Self::put_rate_back).
    pub(crate) fn rate(&self) -> (i64, i64) {
        (self.tokens, self.filled_at)
    }

    /// Puts the rate back as it was: what counted against it was not taken.
    pub(crate) fn put_rate_back(&mut self, (tokens, filled_at): (i64, i64)) {
        self.tokens = tokens;
        self.filled_at = filled_at;
    }

    /// What is known of a file, to be [put back](Self::put_back).
    pub(crate) fn slot(&self, id: &str) -> Option<Slot<T>>
    where
        T: Clone,
    {
        self.files.get(id).cloned()
    }

    /// Puts a file back as it was: what was offered of it was not taken.
    pub(crate) fn put_back(&mut self, id: String, slot: Option<Slot<T>>) {
        self.cancel(&id);
        let Some(slot) = slot else { return };
        if let Some((due, _)) = &slot.held {
            self.due.insert((*due, id.clone()));
        }
        self.files.insert(id, slot);
    }

    /// What was held back and may go now, the longest waiting first.
    pub(crate) fn due(&mut self, now: i64) -> Vec<T> {
        self.fill(now);
        let mut ready = Vec::new();
        while self.tokens >= ONE {
            let Some((due, id)) = self.due.first().cloned() else { break };
            if due > now {
                break;
            }
            self.due.remove(&(due, id.clone()));
            let Some(slot) = self.files.get_mut(&id) else { continue };
            if let Some((_, item)) = slot.held.take() {
                slot.sent_at = now;
                self.tokens -= ONE;
                ready.push(item);
            }
        }
        ready
    }

    /// All that is held back, whatever the rates: the hub closes.
    pub(crate) fn drain(&mut self) -> Vec<T> {
        let due = std::mem::take(&mut self.due);
        due.into_iter()
            .filter_map(|(_, id)| self.files.get_mut(&id)?.held.take())
            .map(|(_, item)| item)
            .collect()
    }

    /// Holds back again what was [due](Self::due) and could not go: until it is asked for next, if nothing newer is held and the
    /// file was not [cancelled](Self::cancel).
    pub(crate) fn hold(&mut self, id: &str, item: T, now: i64) {
        if let Some(slot) = self.files.get_mut(id).filter(|slot| slot.held.is_none()) {
            slot.held = Some((now, item));
            self.due.insert((now, id.to_owned()));
        }
    }

    /// Progress of a file went another way: it counts as sent. What is held back stays if it is `newer`, and waits as if the
    /// other had been ours.
    pub(crate) fn sent_elsewhere(
        &mut self,
        id: &str,
        stage: Option<&str>,
        at: i64,
        newer: impl FnOnce(&T) -> bool,
    ) {
        self.fill(at);
        let held = self.files.get_mut(id).and_then(|slot| slot.held.take());
        if let Some((due, _)) = &held {
            self.due.remove(&(*due, id.to_owned()));
        }
        let before = self.files.get(id).map_or(at, |slot| slot.sent_at);
        self.take(id, stage, before.max(at));
        if let Some((_, item)) = held.filter(|(_, item)| newer(item)) {
            self.hold(id, item, before.max(at).saturating_add(self.interval));
        }
    }

    /// When something that is held back may go; `None` when nothing is.
    pub(crate) fn next_due(&self) -> Option<i64> {
        let (due, _) = self.due.first()?;
        if self.tokens >= ONE {
            return Some(*due);
        }
        let missing = ONE - self.tokens;
        // Rounded up: in that millisecond there is enough.
        let refill = (missing + self.per_second - 1) / self.per_second;
        Some((*due).max(self.filled_at.saturating_add(refill)))
    }

    fn take(&mut self, id: &str, stage: Option<&str>, now: i64) {
        self.tokens = (self.tokens - ONE).max(0);
        let slot = self.files.entry(id.to_owned()).or_insert(Slot { stage: None, sent_at: now, held: None });
        slot.sent_at = now;
        if stage.is_some() {
            slot.stage = stage.map(str::to_owned);
        }
        if let Some((due, _)) = slot.held.take() {
            self.due.remove(&(due, id.to_owned()));
        }
    }

    fn fill(&mut self, now: i64) {
        if self.filled_at != i64::MIN {
            let passed = now.saturating_sub(self.filled_at).max(0);
            let filled = self.tokens.saturating_add(passed.saturating_mul(self.per_second));
            self.tokens = filled.min(self.per_second * ONE);
        }
        self.filled_at = self.filled_at.max(now);
    }
}

#[cfg(test)]
mod tests;
