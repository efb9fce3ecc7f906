//! The hub's clock: the only one used for liveness, retention and latency. Tests bring their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use ragpulse_protocol::Timestamp;

/// Tells the time.
pub trait Clock: Send + Sync + 'static {
    /// Now. Never earlier than what was told before.
    fn now(&self) -> Timestamp;

    /// Time that has passed since some moment, as finely as can be told, to measure how long something takes. Default:
    /// by [`now`](Self::now).
    fn steady(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.now().as_millis()).unwrap_or(0))
    }
}

/// The time of the machine when the clock was made, and the steady clock from there: a machine whose time is set back
/// does not bring reporters back to life.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    start: Timestamp,
    since: Instant,
}

impl Default for SystemClock {
    fn default() -> Self {
        let start = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
        Self { start: Timestamp::from_millis(start), since: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let passed = i64::try_from(self.since.elapsed().as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_millis(self.start.as_millis().saturating_add(passed))
    }

    fn steady(&self) -> Duration {
        self.since.elapsed()
    }
}

/// A clock that goes on only when told to. For tests.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    /// A clock that stands at `start`.
    pub fn new(start: Timestamp) -> Self {
        Self(Arc::new(AtomicI64::new(start.as_millis())))
    }

    /// Goes on by some milliseconds.
    pub fn advance_millis(&self, millis: u32) {
        self.0.fetch_add(i64::from(millis), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}
