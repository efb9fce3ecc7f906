//! Leases: who reports for a pipeline, and whether they are heard. Pure: time comes in.
//!
//! Where several hubs share a log, the log keeps the leases, and this is a hub's picture of them: as it was when the log was last
//! asked, and what was heard here since. What is heard here and not yet written into the log is *owed* to it.

use std::collections::{HashMap, HashSet};

use ragpulse_protocol::{Liveness, ReporterId, Timestamp};

use crate::log::HeldLease;

/// A lease that a log keeps is renewed there at most once in this time, or in a quarter of its length where that is less: a
/// reporter that speaks all the time costs little, and its lease is never in danger.
const RENEWED_AFTER_MILLIS: i64 = 5_000;

/// The reporters of one pipeline. `None` is the one anonymous reporter.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    reporters: HashMap<Option<ReporterId>, Lease>,
}

/// When one reporter was heard, and for how long that counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lease {
    heard: Timestamp,
    seconds: u32,
    /// As of when the log has it, where the log keeps leases.
    written: Option<Timestamp>,
}

impl Lease {
    fn of(seconds: u32, now: Timestamp) -> Self {
        Self { heard: now, seconds, written: None }
    }

    /// Whether it was written so long ago that what was heard since is to be written.
    fn is_due(&self, now: Timestamp) -> bool {
        let pause = (i64::from(self.seconds) * 250).min(RENEWED_AFTER_MILLIS);
        self.written.is_none_or(|written| now.millis_since(written) >= pause)
    }

    fn is_owed(&self) -> bool {
        self.written.is_none_or(|written| self.heard > written)
    }

    fn has_ended(&self, now: Timestamp) -> bool {
        now.millis_since(self.heard) >= i64::from(self.seconds) * 1_000
    }
}

/// What hearing somebody changed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// A reporter that was known.
    Again,
    /// One that was not.
    New,
    /// One that was not, and there is no room for it.
    TooMany,
}

impl Leases {
    /// Renews a reporter's lease. `seconds` replaces its length.
    pub(crate) fn hear(
        &mut self,
        reporter: Option<&ReporterId>,
        seconds: Option<u32>,
        default: u32,
        most: usize,
        now: Timestamp,
    ) -> Heard {
        let key = reporter.cloned();
        if let Some(lease) = self.reporters.get_mut(&key) {
            lease.heard = now;
            lease.seconds = seconds.unwrap_or(lease.seconds);
            return Heard::Again;
        }
        if self.reporters.len() >= most {
            return Heard::TooMany;
        }
        self.reporters.insert(key, Lease::of(seconds.unwrap_or(default), now));
        Heard::New
    }

    /// A reporter's lease as it stands, to be [put back](Self::put_back).
    pub(crate) fn of(&self, reporter: Option<&ReporterId>) -> Option<Lease> {
        self.reporters.get(&reporter.cloned()).copied()
    }

    /// Puts a reporter's lease back as it was: what it sent was not taken.
    pub(crate) fn put_back(&mut self, reporter: Option<&ReporterId>, lease: Option<Lease>) {
        match lease {
            Some(lease) => self.reporters.insert(reporter.cloned(), lease),
            None => self.reporters.remove(&reporter.cloned()),
        };
    }

    /// Nobody reports: the pipeline is offline.
    pub(crate) fn clear(&mut self) {
        self.reporters.clear();
    }

    /// A reporter leaves.
    pub(crate) fn leave(&mut self, reporter: Option<&ReporterId>) {
        self.reporters.remove(&reporter.cloned());
    }

    /// How many report.
    pub(crate) fn count(&self) -> usize {
        self.reporters.len()
    }

    /// Who reports beside this one.
    pub(crate) fn others(&self, reporter: Option<&ReporterId>) -> impl Iterator<Item = Option<&ReporterId>> {
        self.reporters.keys().map(Option::as_ref).filter(move |other| *other != reporter)
    }

    /// The reporters whose lease has ended.
    pub(crate) fn lapsed(&self, now: Timestamp) -> Vec<Option<ReporterId>> {
        self.reporters.iter().filter(|(_, lease)| lease.has_ended(now)).map(|(id, _)| id.clone()).collect()
    }

    /// Whether any lease has ended.
    pub(crate) fn any_lapsed(&self, now: Timestamp) -> bool {
        self.reporters.values().any(|lease| lease.has_ended(now))
    }

    /// Takes over the leases as the log has them. Who is not among them has left; what was heard here since stays.
    pub(crate) fn take_over(&mut self, held: &[HeldLease], now: Timestamp) {
        let known: HashSet<_> = held.iter().map(|lease| &lease.reporter).collect();
        self.reporters.retain(|reporter, _| known.contains(reporter));
        for lease in held {
            let written = lease.begun(now);
            let heard = self.reporters.get(&lease.reporter).map_or(written, |known| known.heard.max(written));
            let lease_now = Lease { heard, seconds: lease.seconds, written: Some(written) };
            self.reporters.insert(lease.reporter.clone(), lease_now);
        }
    }

    /// A reporter asked for another length, elsewhere.
    pub(crate) fn set_seconds(&mut self, reporter: Option<&ReporterId>, seconds: u32) {
        if let Some(lease) = self.reporters.get_mut(&reporter.cloned()) {
            lease.seconds = seconds;
        }
    }

    /// How long a reporter's lease lasts; `None` for one that has none.
    pub(crate) fn seconds(&self, reporter: Option<&ReporterId>) -> Option<u32> {
        self.of(reporter).map(|lease| lease.seconds)
    }

    /// Whether what was heard of a reporter is to be written now, even if nothing else is.
    pub(crate) fn is_due(&self, reporter: Option<&ReporterId>, now: Timestamp) -> bool {
        self.of(reporter).is_some_and(|lease| lease.is_due(now))
    }

    /// Whether what was heard of anybody is yet to be written.
    pub(crate) fn owes(&self) -> bool {
        self.reporters.values().any(Lease::is_owed)
    }

    /// The leases that are to be renewed in the log, with their lengths; those that can wait too, where `all` are wanted.
    pub(crate) fn owed(&self, all: bool, now: Timestamp) -> Vec<(Option<ReporterId>, u32)> {
        let owed = |lease: &Lease| lease.is_owed() && (all || lease.is_due(now));
        let owed = self.reporters.iter().filter(|(_, lease)| owed(lease));
        owed.map(|(id, lease)| (id.clone(), lease.seconds)).collect()
    }

    /// The log has a reporter's lease as of then.
    pub(crate) fn wrote(&mut self, reporter: Option<&ReporterId>, at: Timestamp) {
        if let Some(lease) = self.reporters.get_mut(&reporter.cloned()) {
            lease.written = lease.written.max(Some(at));
        }
    }

    /// Until when somebody counts as heard; `None` where nobody reports.
    pub(crate) fn live_until(&self) -> Option<Timestamp> {
        self.reporters.values().map(|lease| half_later(lease.heard, lease.seconds)).max()
    }

    /// Live while anybody was heard within half a lease.
    pub(crate) fn liveness(&self, now: Timestamp) -> Liveness {
        let live = |lease: &Lease| now.millis_since(lease.heard) < i64::from(lease.seconds) * 500;
        if self.reporters.values().any(live) { Liveness::Live } else { Liveness::Late }
    }

    /// The newest sign of life.
    pub(crate) fn last_heard(&self) -> Option<Timestamp> {
        self.reporters.values().map(|lease| lease.heard).max()
    }
}

fn half_later(heard: Timestamp, seconds: u32) -> Timestamp {
    Timestamp::from_millis(heard.as_millis().saturating_add(i64::from(seconds) * 500))
}

impl HeldLease {
    /// When it began, by the clock of this hub.
    pub(crate) fn begun(&self, now: Timestamp) -> Timestamp {
        let left = i64::try_from(self.left.as_millis()).unwrap_or(i64::MAX);
        let passed = i64::from(self.seconds).saturating_mul(1_000).saturating_sub(left);
        Timestamp::from_millis(now.as_millis().saturating_sub(passed.max(0)))
    }

    /// Until when its reporter counts as heard.
    pub(crate) fn live_until(&self, now: Timestamp) -> Timestamp {
        half_later(self.begun(now), self.seconds)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    #[test]
    fn late_at_half_and_lapsed_at_the_end() {
        let mut leases = Leases::default();
        assert_eq!(leases.hear(None, None, 120, 2, at(0)), Heard::New);
        assert_eq!(leases.liveness(at(59)), Liveness::Live);
        assert_eq!(leases.liveness(at(60)), Liveness::Late);
        assert!(leases.lapsed(at(119)).is_empty());
        assert_eq!(leases.lapsed(at(120)), vec![None]);
        assert_eq!(leases.hear(None, None, 120, 2, at(119)), Heard::Again);
        assert!(leases.lapsed(at(120)).is_empty(), "renewed");
    }

    #[test]
    fn each_reporter_has_its_own_lease() {
        let worker = ReporterId::new("worker-1").unwrap();
        let mut leases = Leases::default();
        leases.hear(Some(&worker), Some(10), 120, 2, at(0));
        assert_eq!(leases.others(Some(&worker)).count(), 0);
        leases.hear(None, None, 120, 2, at(0));
        assert_eq!(leases.others(Some(&worker)).count(), 1);
        assert_eq!(leases.hear(Some(&ReporterId::new("third").unwrap()), None, 1, 2, at(0)), Heard::TooMany);
        assert_eq!(leases.lapsed(at(11)), vec![Some(worker.clone())]);
        assert_eq!(leases.liveness(at(11)), Liveness::Live, "the other one is heard");
        leases.leave(Some(&worker));
        leases.leave(None);
        assert_eq!(leases.count(), 0);
    }

    #[test]
    fn what_is_heard_often_is_written_seldom_and_never_too_late() {
        let mut leases = Leases::default();
        leases.hear(None, Some(8), 120, 2, at(0));
        assert!(leases.is_due(None, at(0)), "it was never written");
        leases.wrote(None, at(0));
        assert!(!leases.owes());
        leases.hear(None, None, 120, 2, at(1));
        assert!(leases.owes() && leases.owed(false, at(1)).is_empty(), "it can wait");
        assert_eq!(leases.owed(true, at(1)), [(None, 8)]);
        assert_eq!(leases.owed(false, at(2)), [(None, 8)], "a quarter has passed");
        leases.wrote(None, at(2));
        assert!(!leases.owes());
        // However long a lease is.
        leases.hear(None, Some(86_400), 120, 2, at(3));
        assert!(!leases.is_due(None, at(6)) && leases.is_due(None, at(7)));
    }

    #[test]
    fn a_picture_is_as_the_log_has_it_and_what_was_heard_since() {
        let [one, two] = ["one", "two"].map(|name| Some(ReporterId::new(name).unwrap()));
        let mut leases = Leases::default();
        leases.hear(one.as_ref(), None, 10, 9, at(7));
        leases.hear(None, None, 10, 9, at(9));
        let held = |reporter: &Option<ReporterId>, left| HeldLease {
            reporter: reporter.clone(),
            left: Duration::from_secs(left),
            seconds: 10,
        };
        // As of 4 and of 6.
        leases.take_over(&[held(&one, 4), held(&two, 6)], at(10));
        assert_eq!(leases.owed(true, at(10)), [(one.clone(), 10)], "it was heard at 7");
        assert_eq!((leases.count(), leases.of(None).is_none()), (2, true), "who has no lease there has left");
        assert_eq!(leases.live_until(), Some(at(12)));
        // One that has ended is there until somebody takes it away.
        leases.take_over(&[held(&two, 0)], at(20));
        assert_eq!((leases.count(), leases.live_until()), (1, Some(at(15))));
    }
}
