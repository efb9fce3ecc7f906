//! Leases: who reports for a pipeline, and whether they are heard. Pure: time comes in.

use std::collections::HashMap;

use ragpulse_protocol::{Liveness, ReporterId, Timestamp};

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

impl Lease {
    fn has_ended(&self, now: Timestamp) -> bool {
        now.millis_since(self.heard) >= i64::from(self.seconds) * 1_000
    }
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
        self.reporters.insert(key, Lease { heard: now, seconds: seconds.unwrap_or(default) });
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

#[cfg(test)]
mod tests {
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
}
