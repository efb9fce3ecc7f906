//! Conflation: of `file:progress` only the latest counts, so most of a storm never gets a place in the sequence.
//!
//! The first goes at once, and so does a change of stage; then each file and each pipeline has a rate. What is held back
//! is at most one event a file. An end cancels it and never waits. Pure: time comes in as milliseconds.

use std::collections::{BTreeSet, HashMap};

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
    per_second: f64,
    /// What may still go at once: a bucket that fills with time, as large as a second's worth.
    tokens: f64,
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
            per_second: f64::from(per_pipeline.max(1)),
            tokens: f64::from(per_pipeline.max(1)),
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
        if due <= now && (fresh || self.tokens >= 1.0) {
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
    pub(crate) fn rate(&self) -> (f64, i64) {
        (self.tokens, self.filled_at)
    }

    /// Puts the rate back as it was: what counted against it was not taken.
    pub(crate) fn put_rate_back(&mut self, (tokens, filled_at): (f64, i64)) {
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
        while self.tokens >= 1.0 {
            let Some((due, id)) = self.due.first().cloned() else { break };
            if due > now {
                break;
            }
            self.due.remove(&(due, id.clone()));
            let Some(slot) = self.files.get_mut(&id) else { continue };
            if let Some((_, item)) = slot.held.take() {
                slot.sent_at = now;
                self.tokens -= 1.0;
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

    /// When something that is held back may go; `None` when nothing is.
    pub(crate) fn next_due(&self) -> Option<i64> {
        let (due, _) = self.due.first()?;
        if self.tokens >= 1.0 {
            return Some(*due);
        }
        let refill = ((1.0 - self.tokens) / self.per_second * 1_000.0).ceil();
        // A bucket of at least one token a second is full again within a second.
        #[allow(clippy::cast_possible_truncation)]
        Some((*due).max(self.filled_at.saturating_add(refill as i64)))
    }

    fn take(&mut self, id: &str, stage: Option<&str>, now: i64) {
        self.tokens = (self.tokens - 1.0).max(0.0);
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
            #[allow(clippy::cast_precision_loss)]
            let passed = now.saturating_sub(self.filled_at).max(0) as f64 / 1_000.0;
            self.tokens = (self.tokens + passed * self.per_second).min(self.per_second);
        }
        self.filled_at = self.filled_at.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_each_new_stage_go_at_once() {
        let mut conflator = Conflator::new(10, 200);
        assert_eq!(conflator.offer("a", Some("extraction"), 1, 0), Offer::Now(1));
        assert_eq!(conflator.offer("a", Some("extraction"), 2, 1), Offer::Held);
        assert_eq!(conflator.offer("a", Some("embedding"), 3, 2), Offer::Now(3));
        assert_eq!(conflator.due(1_000), Vec::<i32>::new(), "what was held is superseded");
    }

    #[test]
    fn the_latest_wins_and_waits_no_longer_for_it() {
        let mut conflator = Conflator::new(10, 200);
        assert_eq!(conflator.offer("a", None, 0, 0), Offer::Now(0));
        for at in 1..100 {
            assert_eq!(conflator.offer("a", None, at, at), Offer::Held);
        }
        assert_eq!(conflator.next_due(), Some(100));
        assert_eq!(conflator.due(99), Vec::<i64>::new());
        assert_eq!(conflator.due(100), vec![99]);
        assert_eq!(conflator.next_due(), None);
    }

    #[test]
    fn an_end_cancels_what_is_held() {
        let mut conflator = Conflator::new(10, 200);
        let _ = conflator.offer("a", None, 0, 0);
        assert_eq!(conflator.offer("a", None, 1, 1), Offer::Held);
        conflator.cancel("a");
        assert_eq!(conflator.due(10_000), Vec::<i32>::new());
        assert_eq!(conflator.offer("a", None, 2, 2), Offer::Now(2), "a new attempt begins anew");
    }

    #[test]
    fn a_pipeline_has_a_rate_and_nobody_starves() {
        let mut conflator = Conflator::new(10, 200);
        let mut sent = 0_u32;
        for now in 0..5_000_i64 {
            for file in 0..100 {
                if let Offer::Now(_) = conflator.offer(&format!("f{file}"), None, (file, now), now) {
                    sent += 1;
                }
            }
            sent += u32::try_from(conflator.due(now).len()).unwrap();
        }
        assert!((1_000..=1_300).contains(&sent), "{sent} in 5 s at 200 a second");
        let rest = conflator.drain();
        assert_eq!(rest.len() + conflator.files.values().filter(|slot| slot.sent_at == 4_999).count(), 100);
        assert!(rest.iter().all(|(_, at)| *at == 4_999), "the last of each file is what is held");
    }
}
