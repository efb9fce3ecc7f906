//! One run of the harness: its seed, its clock, and what went wrong in it.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use parking_lot::Mutex;

use crate::journal::{Journal, merged};

/// Anything that keeps the harness itself from working.
pub type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// How many failures are kept in full; further ones are only counted.
const KEPT: usize = 20;

/// What is common to everything in one scenario.
#[derive(Debug)]
pub(crate) struct Run {
    seed: u64,
    started: Instant,
    failures: Mutex<Vec<Failure>>,
}

/// A promise that was broken, with what led to it.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) who: String,
    pub(crate) what: String,
    pub(crate) history: Vec<String>,
}

impl Run {
    pub(crate) fn new(seed: u64) -> Arc<Self> {
        Arc::new(Self { seed, started: Instant::now(), failures: Mutex::default() })
    }

    /// Chance for one actor. All of it comes from the seed, and no actor's depends on how often another asks.
    pub(crate) fn rng(&self, label: &str) -> Rng {
        let mut hasher = DefaultHasher::new();
        (self.seed, label).hash(&mut hasher);
        Rng::with_seed(hasher.finish())
    }

    pub(crate) fn journal(self: &Arc<Self>, name: impl Into<String>) -> Journal {
        Journal::new(name.into(), self.started)
    }

    /// Notes a failure with the end of these journals, the first being that of whoever it befell.
    pub(crate) fn fail(&self, what: impl Into<String>, journals: &[&Journal]) {
        let who = journals.first().map_or("the harness", |journal| journal.name()).to_owned();
        let mut failures = self.failures.lock();
        let history = if failures.len() < KEPT { merged(journals) } else { Vec::new() };
        failures.push(Failure { who, what: what.into(), history });
    }

    pub(crate) fn has_failed(&self) -> bool {
        !self.failures.lock().is_empty()
    }

    /// How many actors something befell.
    pub(crate) fn befallen(&self) -> usize {
        let failures = self.failures.lock();
        failures.iter().map(|failure| failure.who.as_str()).collect::<HashSet<_>>().len()
    }

    pub(crate) fn failures(&self) -> Vec<Failure> {
        self.failures.lock().clone()
    }
}

/// Who can say what befell it: an actor's own journal, those of its surroundings, and whether it has spoken already.
#[derive(Debug, Clone)]
pub(crate) struct Witness {
    run: Arc<Run>,
    own: Journal,
    around: Vec<Journal>,
    spoken: bool,
}

impl Witness {
    pub(crate) fn new(run: &Arc<Run>, own: Journal, around: Vec<Journal>) -> Self {
        Self { run: run.clone(), own, around, spoken: false }
    }

    pub(crate) fn journal(&self) -> &Journal {
        &self.own
    }

    /// Notes a failure; only the first of each witness, because others follow from it.
    pub(crate) fn fail(&mut self, what: impl Into<String>) {
        let what = what.into();
        self.own.note(format!("FAILURE: {what}"));
        if !std::mem::replace(&mut self.spoken, true) {
            let journals: Vec<&Journal> = std::iter::once(&self.own).chain(&self.around).collect();
            self.run.fail(what, &journals);
        }
    }
}

/// A span of milliseconds, drawn from a range.
pub(crate) fn millis(rng: &mut Rng, range: std::ops::RangeInclusive<u64>) -> Duration {
    Duration::from_millis(rng.u64(range))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_comes_from_the_seed_and_the_actor_alone() {
        let (one, same, other) = (Run::new(1), Run::new(1), Run::new(2));
        assert_eq!(one.rng("a").u64(..), same.rng("a").u64(..));
        assert_ne!(one.rng("a").u64(..), one.rng("b").u64(..));
        assert_ne!(one.rng("a").u64(..), other.rng("a").u64(..));
    }

    #[test]
    fn a_witness_speaks_once_and_tells_what_led_there() {
        let run = Run::new(1);
        let (own, lane) = (run.journal("client 1"), run.journal("lane 1"));
        let mut witness = Witness::new(&run, own, vec![lane.clone()]);
        lane.note("cut");
        witness.fail("a hole");
        witness.fail("another");
        let failures = run.failures();
        assert_eq!(failures.len(), 1);
        assert_eq!((failures[0].who.as_str(), failures[0].what.as_str()), ("client 1", "a hole"));
        assert!(failures[0].history.iter().any(|line| line.contains("lane 1") && line.contains("cut")));
    }
}
