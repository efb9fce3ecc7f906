//! Clients of every kind. Each leaves, sleeps and comes back as chance has it, and tells its tracker what it was given.

pub(crate) mod official;
pub(crate) mod poll;
pub(crate) mod real;
pub(crate) mod socket;
pub(crate) mod stream;
pub(crate) mod tracker;

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use parking_lot::Mutex;
use ragpulse_protocol::{Cursor, PipelineId, PipelineStatus};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::tracker::Tracker;
use crate::journal::Journal;
use crate::proxy::Lane;
use crate::run::{Run, Witness, millis};

/// What a scenario is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Everything may happen.
    Storm,
    /// Nothing happens any more: who is behind catches up.
    Quiet,
    /// It is over.
    End,
}

/// What a client looks like to its scenario.
pub(crate) trait View: Send + Sync {
    /// Where it stands.
    fn at(&self) -> Option<Cursor>;
    /// What it shows, if it keeps a state.
    fn state(&self) -> Option<PipelineStatus>;
    /// What it went through.
    fn counts(&self) -> Counts;
}

/// What a client went through.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counts {
    /// Events that were applied.
    pub(crate) events: u64,
    /// Times it came back with a cursor and was told that it goes on from there.
    pub(crate) recovered: u64,
    /// Times it came back with a cursor and was given a state instead.
    pub(crate) reset: u64,
    /// States that it was given in all.
    pub(crate) snapshots: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.events += other.events;
        self.recovered += other.recovered;
        self.reset += other.reset;
        self.snapshots += other.snapshots;
    }
}

/// A client that runs.
pub(crate) struct Client {
    pub(crate) pipeline: PipelineId,
    pub(crate) view: Arc<dyn View>,
    pub(crate) witness: Arc<Mutex<Witness>>,
    task: JoinHandle<()>,
}

impl Client {
    pub(crate) fn new(
        pipeline: PipelineId,
        view: Arc<dyn View>,
        witness: Witness,
        task: JoinHandle<()>,
    ) -> Self {
        Self { pipeline, view, witness: Arc::new(Mutex::new(witness)), task }
    }

    /// Whether its task has ended, which it does only in the end.
    pub(crate) fn has_ended(&self) -> bool {
        self.task.is_finished()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl View for Mutex<Tracker> {
    fn at(&self) -> Option<Cursor> {
        self.lock().at().cloned()
    }

    fn state(&self) -> Option<PipelineStatus> {
        self.lock().state().cloned()
    }

    fn counts(&self) -> Counts {
        self.lock().counts()
    }
}

/// How long a client waits until it tries again: longer with each failure, within bounds, by chance.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    first: u64,
    longest: u64,
    failures: u32,
}

impl Backoff {
    /// As an impatient client does: its cuts are short.
    pub(crate) const IMPATIENT: Self = Self { first: 60, longest: 800, failures: 0 };
    /// As the client library does.
    pub(crate) const LIBRARY: Self = Self { first: 250, longest: 30_000, failures: 0 };

    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    pub(crate) async fn wait(&mut self, rng: &mut Rng) {
        let most = self.longest.min(self.first << self.failures.min(12));
        self.failures += 1;
        tokio::time::sleep(millis(rng, most / 2..=most)).await;
    }
}

/// How a client comes and goes during the storm, in milliseconds.
#[derive(Debug, Clone)]
pub(crate) struct Habits {
    /// How long it stays; `None`: for ever.
    pub(crate) stays: Option<std::ops::RangeInclusive<u64>>,
    /// How long it sleeps then.
    pub(crate) sleeps: std::ops::RangeInclusive<u64>,
    pub(crate) backoff: Backoff,
}

impl Habits {
    /// Minutes of a person's life in seconds: looks for a while, closes the lid, comes back.
    pub(crate) const RESTLESS: Self =
        Self { stays: Some(300..=6_000), sleeps: 20..=5_000, backoff: Backoff::IMPATIENT };
    /// Stays, and comes back at once when it is cut.
    pub(crate) const STEADY: Self = Self { stays: None, sleeps: 0..=0, backoff: Backoff::IMPATIENT };

    /// Waits until it is time to leave. Never in the quiet.
    async fn leave(&self, rng: &mut Rng, phase: &mut watch::Receiver<Phase>) {
        if let Some(stays) = &self.stays {
            tokio::select! {
                () = tokio::time::sleep(millis(rng, stays.clone())) => return,
                () = at_least(phase, Phase::Quiet) => {}
            }
        }
        at_least(phase, Phase::End).await;
    }

    /// Sleeps. Wakes up for the quiet.
    async fn sleep(&self, rng: &mut Rng, phase: &mut watch::Receiver<Phase>) {
        tokio::select! {
            () = tokio::time::sleep(millis(rng, self.sleeps.clone())) => {}
            () = at_least(phase, Phase::Quiet) => {}
        }
    }
}

/// Waits until the scenario is there.
pub(crate) async fn at_least(phase: &mut watch::Receiver<Phase>, wanted: Phase) {
    // A scenario that is gone is over.
    let _ = phase.wait_for(|phase| *phase >= wanted).await;
}

/// What every client is made from.
pub(crate) struct Setup {
    pub(crate) run: Arc<Run>,
    pub(crate) oracle: Arc<crate::oracle::Oracle>,
    /// What befalls hubs and Redis.
    pub(crate) hubs: Vec<Journal>,
    pub(crate) phase: watch::Receiver<Phase>,
}

impl Setup {
    /// A witness that tells of itself, of its lane and of the hubs.
    pub(crate) fn witness(&self, name: &str, lane: Option<&Lane>) -> Witness {
        let around = lane.map(Lane::journal).into_iter().chain(self.hubs.clone()).collect();
        Witness::new(&self.run, self.run.journal(name), around)
    }
}

/// A client for requests through one lane: nothing of the environment, and no request that hangs for ever.
pub(crate) fn http(within: Duration) -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder().no_proxy().connect_timeout(Duration::from_secs(2)).read_timeout(within).build()
}
