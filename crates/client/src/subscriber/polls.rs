//! The long polls of a subscriber: which are under way, which are due, and how long a failed one rests.
//!
//! *What may come in:* answers in any order, late ones too. *What it never does:* I/O; have two polls of one pipeline
//! under way; have more than [`MAX_POLLS`] under way in all.

use std::collections::BTreeMap;
use std::time::Duration;

use ragpulse_protocol::PipelineId;

use crate::backoff::Backoff;

/// The most polls under way at once.
pub(crate) const MAX_POLLS: usize = 32;
/// How long a hub is asked to hold an answer.
const WAIT: Duration = Duration::from_secs(25);
/// The same where pipelines have to take turns.
const SHORT_WAIT: Duration = Duration::from_secs(1);
/// The least time between two polls of one pipeline that bring nothing: a hub may answer without waiting.
const LEAST: Duration = Duration::from_secs(1);
/// How often the pipelines of a type are looked for.
const DISCOVER_EVERY: Duration = Duration::from_secs(10);

/// What is polled: a pipeline, or (as `None`) the list of pipelines.
pub(crate) type Subject = Option<PipelineId>;

#[derive(Debug, Clone, Copy)]
enum State {
    Due(Duration),
    UnderWay { poll: u64, asked: Duration },
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    state: State,
    failures: u32,
    /// Whether the last 401 was answered by another token.
    renewed: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Polls {
    slots: BTreeMap<Subject, Slot>,
    last: u64,
    /// Whether the last answer was a good one.
    pub(crate) healthy: bool,
}

/// A poll to be started.
#[derive(Debug, PartialEq)]
pub(crate) struct Start {
    pub(crate) poll: u64,
    pub(crate) subject: Subject,
    pub(crate) wait: Duration,
}

impl Polls {
    /// Polls this too, from now on.
    pub(crate) fn add(&mut self, subject: Subject, now: Duration) {
        self.slots.entry(subject).or_insert(Slot { state: State::Due(now), failures: 0, renewed: false });
    }

    pub(crate) fn remove(&mut self, subject: &Subject) {
        self.slots.remove(subject);
    }

    pub(crate) fn clear(&mut self) {
        self.slots.clear();
        self.healthy = false;
    }

    fn under_way(&self) -> usize {
        self.slots.values().filter(|slot| matches!(slot.state, State::UnderWay { .. })).count()
    }

    /// Starts the polls that are due, the longest due first.
    pub(crate) fn start_due(&mut self, now: Duration) -> Vec<Start> {
        let room = MAX_POLLS.saturating_sub(self.under_way());
        let wait = if self.slots.len() <= MAX_POLLS { WAIT } else { SHORT_WAIT };
        let mut due: Vec<(Duration, Subject)> = self
            .slots
            .iter()
            .filter_map(|(subject, slot)| match slot.state {
                State::Due(at) if at <= now => Some((at, subject.clone())),
                State::Due(_) | State::UnderWay { .. } => None,
            })
            .collect();
        due.sort();
        due.truncate(room);
        due.into_iter()
            .map(|(_, subject)| {
                self.last += 1;
                if let Some(slot) = self.slots.get_mut(&subject) {
                    slot.state = State::UnderWay { poll: self.last, asked: now };
                }
                Start { poll: self.last, subject, wait }
            })
            .collect()
    }

    /// When the next poll is due, if one could be started.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        let due = self.slots.values().filter_map(|slot| match slot.state {
            State::Due(at) => Some(at),
            State::UnderWay { .. } => None,
        });
        due.min().filter(|_| self.under_way() < MAX_POLLS)
    }

    /// Whether an answer is still waited for.
    pub(crate) fn expects(&self, subject: &Subject, poll: u64) -> bool {
        let state = self.slots.get(subject).map(|slot| slot.state);
        matches!(state, Some(State::UnderWay { poll: expected, .. }) if expected == poll)
    }

    /// A good answer came; `news` says whether it brought anything.
    pub(crate) fn answered(&mut self, subject: &Subject, news: bool, now: Duration) {
        self.healthy = true;
        let Some(slot) = self.slots.get_mut(subject) else { return };
        let asked = match slot.state {
            State::UnderWay { asked, .. } => asked,
            State::Due(_) => now,
        };
        slot.failures = 0;
        slot.renewed = false;
        slot.state = State::Due(match subject {
            None => now + DISCOVER_EVERY,
            Some(_) if news => now,
            Some(_) => now.max(asked + LEAST),
        });
    }

    /// The hub did not take the token: it is due at once, with another one, unless it was so the last time. Whether it is.
    pub(crate) fn renew(&mut self, subject: &Subject, now: Duration) -> bool {
        let Some(slot) = self.slots.get_mut(subject).filter(|slot| !slot.renewed) else { return false };
        slot.renewed = true;
        slot.state = State::Due(now);
        true
    }

    /// It failed: it rests for longer each time, and at least as long as was asked.
    pub(crate) fn failed(
        &mut self,
        subject: &Subject,
        retry_after: Option<Duration>,
        backoff: &mut Backoff,
        now: Duration,
    ) {
        self.healthy = false;
        let Some(slot) = self.slots.get_mut(subject) else { return };
        slot.failures = slot.failures.saturating_add(1);
        let asked = retry_after.map_or(Duration::ZERO, |asked| backoff.spread(asked));
        slot.state = State::Due(now + backoff.after(slot.failures).max(asked));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> Subject {
        Some(PipelineId::new(format!("p{number}")).unwrap())
    }

    #[test]
    fn many_pipelines_take_turns_and_one_never_has_two_polls() {
        let mut polls = Polls::default();
        for number in 0..MAX_POLLS + 2 {
            polls.add(id(number), Duration::ZERO);
            polls.add(id(number), Duration::ZERO);
        }
        let started = polls.start_due(Duration::ZERO);
        assert_eq!(started.len(), MAX_POLLS);
        assert!(started.iter().all(|start| start.wait == SHORT_WAIT));
        assert_eq!(polls.start_due(Duration::ZERO), []);
        assert_eq!(polls.deadline(), None);
        polls.answered(&started[0].subject, true, Duration::ZERO);
        let next = polls.start_due(Duration::ZERO);
        assert_eq!(next.len(), 1);
        assert!(!polls.expects(&started[0].subject, started[0].poll));
    }

    #[test]
    fn an_empty_answer_that_was_not_held_is_not_followed_at_once() {
        let mut polls = Polls::default();
        polls.add(id(0), Duration::ZERO);
        polls.start_due(Duration::ZERO);
        polls.answered(&id(0), false, Duration::from_millis(5));
        assert_eq!(polls.deadline(), Some(LEAST));
        polls.start_due(LEAST);
        polls.answered(&id(0), false, LEAST + WAIT);
        assert_eq!(polls.deadline(), Some(LEAST + WAIT));
    }

    #[test]
    fn a_failed_poll_rests_and_a_late_answer_is_not_expected() {
        let mut polls = Polls::default();
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(4), Box::new(|| 1.0));
        polls.add(None, Duration::ZERO);
        let start = polls.start_due(Duration::ZERO).remove(0);
        assert!(polls.expects(&None, start.poll));
        polls.failed(&None, Some(Duration::from_secs(10)), &mut backoff, Duration::ZERO);
        assert_eq!(polls.deadline(), Some(Duration::from_secs(15)));
        assert!(!polls.healthy && !polls.expects(&None, start.poll));
    }
}
