//! Rates: so many a second, with some at once after a pause. Pure: time comes in.
//!
//! A level is one number, the time until which what was taken is paid for (the generic cell rate algorithm, which is a
//! token bucket without a bucket). A level that lies in the past is the same as none, so whoever rests takes no room.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::time::Duration;

use parking_lot::Mutex;

/// For how many seconds' worth there is room at once.
pub(crate) const BURST_SECONDS: u64 = 4;
/// How many keys a throttle knows at most. Those beyond it share one level.
const MOST_KEYS: usize = 16_384;
/// The time between two looks for keys that rest, where there is no room.
const SWEEP: u64 = 1_000_000_000;

/// How far what was taken is paid for, in nanoseconds of the hub's clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Level(u64);

/// So many a second.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    /// Nanoseconds that one takes, in thousandths: at a million a second rounding would matter.
    each: u64,
    /// The most that may be taken at once, in nanoseconds.
    burst: u64,
}

impl Rate {
    /// `per_second`, of which [`BURST_SECONDS`]' worth may come at once, and `at_once` in any case.
    pub(crate) fn new(per_second: u32, at_once: usize) -> Self {
        let per_second = u64::from(per_second.max(1));
        let each = 1_000_000_000_000 / per_second;
        let burst = (per_second * BURST_SECONDS).max(at_once as u64);
        Self { each, burst: cost(each, burst) }
    }

    /// Takes so many, or nothing.
    pub(crate) fn take(&self, level: &mut Level, count: usize, now: Duration) -> bool {
        let now = nanos(now);
        // What could never be taken whole is taken at an empty level.
        let cost = cost(self.each, count as u64).min(self.burst);
        let paid_until = level.0.max(now).saturating_add(cost);
        let fits = paid_until - now <= self.burst;
        if fits {
            level.0 = paid_until;
        }
        fits
    }
}

fn cost(each: u64, count: u64) -> u64 {
    u64::try_from(u128::from(each) * u128::from(count) / 1_000).unwrap_or(u64::MAX)
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// A rate for each of many. It knows those who came in the last seconds, and of them no more than a fixed number.
#[derive(Debug)]
pub(crate) struct Throttle {
    rate: Rate,
    hasher: RandomState,
    levels: Mutex<Levels>,
}

#[derive(Debug, Default)]
struct Levels {
    /// By a hash of the key that nobody outside can foresee.
    by_key: HashMap<u64, Level>,
    /// Of all for whom there is no room.
    others: Level,
    swept_at: u64,
}

impl Throttle {
    pub(crate) fn new(rate: Rate) -> Self {
        Self { rate, hasher: RandomState::new(), levels: Mutex::default() }
    }

    /// Takes so many for a key, or nothing.
    pub(crate) fn take(&self, key: impl Hash, count: usize, now: Duration) -> bool {
        let key = self.hasher.hash_one(key);
        let mut levels = self.levels.lock();
        let levels = &mut *levels;
        if let Some(level) = levels.by_key.get_mut(&key) {
            return self.rate.take(level, count, now);
        }
        if levels.by_key.len() >= MOST_KEYS && nanos(now).saturating_sub(levels.swept_at) >= SWEEP {
            levels.sweep(now);
        }
        if levels.by_key.len() >= MOST_KEYS {
            return self.rate.take(&mut levels.others, count, now);
        }
        self.rate.take(levels.by_key.entry(key).or_default(), count, now)
    }

    /// Lets go of those who rest.
    pub(crate) fn sweep(&self, now: Duration) {
        self.levels.lock().sweep(now);
    }

    #[cfg(test)]
    pub(crate) fn known(&self) -> usize {
        self.levels.lock().by_key.len()
    }
}

impl Levels {
    fn sweep(&mut self, now: Duration) {
        let now = nanos(now);
        self.swept_at = now;
        self.by_key.retain(|_, level| level.0 > now);
        if self.by_key.capacity() > 4 * self.by_key.len() + 64 {
            self.by_key.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_rate_is_kept_to_the_event() {
        let rate = Rate::new(10, 1);
        let mut level = Level::default();
        let mut now = Duration::from_secs(1_000);
        assert_eq!(
            (0..100).filter(|_| rate.take(&mut level, 1, now)).count(),
            40,
            "four seconds' worth at once"
        );
        for _ in 0..50 {
            now += Duration::from_millis(100);
            assert!(rate.take(&mut level, 1, now), "one each tenth of a second");
            assert!(!rate.take(&mut level, 1, now));
        }
        now += 100 * SECOND;
        assert_eq!(
            (0..100).filter(|_| rate.take(&mut level, 1, now)).count(),
            40,
            "a long pause is no credit"
        );
    }

    #[test]
    fn what_is_refused_costs_nothing_and_a_batch_fits_in_any_case() {
        let rate = Rate::new(10, 5_000);
        let (mut level, now) = (Level::default(), SECOND);
        assert!(rate.take(&mut level, 5_000, now));
        let full = level;
        assert!(!rate.take(&mut level, 1, now));
        assert_eq!(level, full);
        let mut level = Level::default();
        assert!(
            rate.take(&mut level, 1_000_000, now),
            "what could never fit is taken where nothing was before"
        );
        assert!(!rate.take(&mut level, 1, now));
    }

    /// The defaults, at the rates that they are to admit, for ten minutes.
    #[test]
    fn the_defaults_refuse_nothing_at_the_rates_that_are_promised() {
        let limits = crate::config::HubLimits::default();
        let events = Throttle::new(Rate::new(limits.reporter_events_per_second, limits.batch_events));
        let messages = Rate::new(limits.socket_messages_per_second, 1);
        let mut level = Level::default();
        let mut refused = 0;
        for millisecond in 0..600_000 {
            let now = SECOND + Duration::from_millis(millisecond);
            // 5,000 requests a second of one reporter with 4 events each, over one socket.
            for _ in 0..5 {
                refused += usize::from(!events.take("reporter", 4, now));
                refused += usize::from(!messages.take(&mut level, 1, now));
            }
        }
        // And a backlog of 100,000 files at once.
        let now = SECOND * 1_000;
        refused += (0..20).filter(|_| !events.take("reporter", 5_000, now)).count();
        assert_eq!(refused, 0);
        // That they are limits at all.
        assert!((0..1_000).any(|_| !events.take("reporter", 5_000, now)));
        assert!((0..1_000_000).any(|_| !messages.take(&mut level, 1, now)));
    }

    #[test]
    fn a_throttle_is_bounded_and_lets_go_of_those_who_rest() {
        let throttle = Throttle::new(Rate::new(10, 1));
        let now = Duration::from_secs(100);
        let taken = (0..50_000).filter(|key| throttle.take(key, 1, now)).count();
        assert_eq!(taken, MOST_KEYS + 40, "those beyond share one level");
        assert_eq!(throttle.known(), MOST_KEYS);
        assert!(
            throttle.take(0, 39, now) && !throttle.take(0, 1, now),
            "who was known has a level of their own"
        );
        // All but one rest by then.
        let later = now + SECOND;
        assert!(throttle.take("new", 1, later));
        assert_eq!(throttle.known(), 2);
        throttle.sweep(later + 5 * SECOND);
        assert_eq!(throttle.known(), 0);
    }
}
