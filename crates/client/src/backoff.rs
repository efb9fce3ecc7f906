//! How long to wait before the next try: exponential, with jitter, and with both clock and chance handed in.
//!
//! *What may come in:* any number of failures. *What it never does:* sleep, read a clock, or give up.

use std::time::Duration;

/// A source of chance: each call gives a number in `0.0..1.0`.
///
/// The clients take theirs from here, so that tests of their state machines are repeatable.
pub(crate) type Chance = Box<dyn FnMut() -> f64 + Send>;

/// Chance from the operating system's entropy.
pub(crate) fn chance() -> Chance {
    let mut rng = fastrand::Rng::new();
    Box::new(move || rng.f64())
}

/// Over how long at least those come back who were told the same.
const LEAST_SPREAD: Duration = Duration::from_secs(1);

/// Waits that double with each failure up to a limit.
pub(crate) struct Backoff {
    base: Duration,
    max: Duration,
    failures: u32,
    chance: Chance,
}

impl Backoff {
    pub(crate) fn new(base: Duration, max: Duration, chance: Chance) -> Self {
        Self { base, max, failures: 0, chance }
    }

    /// How many failures there were since the last [`reset`](Self::reset).
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// It worked: the next failure waits shortly again.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// It failed: how long to wait. Between half of the exponential delay and the whole of it.
    pub(crate) fn fail(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.after(self.failures)
    }

    /// How long to wait after so many failures that are counted elsewhere.
    pub(crate) fn after(&mut self, failures: u32) -> Duration {
        let doubled = self.base.saturating_mul(1 << failures.saturating_sub(1).min(20));
        doubled.min(self.max).mul_f64(0.5 + 0.5 * self.chance())
    }

    /// A wait somebody else asked for, lengthened by up to a half, and by up to a second at least: others were told the
    /// same in the same moment, and must not come back in one.
    pub(crate) fn spread(&mut self, asked: Duration) -> Duration {
        asked + (asked / 2).max(LEAST_SPREAD).mul_f64(self.chance())
    }

    /// A number in `0.0..=1.0`.
    pub(crate) fn chance(&mut self) -> f64 {
        (self.chance)().clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(chance: f64) -> Backoff {
        Backoff::new(Duration::from_millis(100), Duration::from_secs(3), Box::new(move || chance))
    }

    #[test]
    fn waits_double_up_to_the_limit_and_start_over_after_a_success() {
        let mut backoff = with(1.0);
        let waits: Vec<u128> = (0..7).map(|_| backoff.fail().as_millis()).collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3000, 3000]);
        backoff.reset();
        assert_eq!(backoff.fail().as_millis(), 100);
    }

    #[test]
    fn jitter_takes_away_at_most_half_and_never_comes_before_an_asked_time() {
        assert_eq!(with(0.0).fail().as_millis(), 50);
        assert_eq!(with(0.0).spread(Duration::from_secs(1)).as_millis(), 1000);
        assert_eq!(with(1.0).spread(Duration::from_secs(10)).as_millis(), 15_000);
        assert_eq!(with(1.0).spread(Duration::ZERO).as_millis(), 1000, "told to come at once");
    }

    #[test]
    fn any_number_of_failures_gives_a_wait() {
        let mut backoff = with(1.0);
        for _ in 0..100 {
            assert!(backoff.fail() <= Duration::from_secs(3));
        }
        assert_eq!(backoff.failures(), 100);
    }
}
