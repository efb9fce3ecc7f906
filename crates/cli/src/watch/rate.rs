//! How often something happens: counted by second, for the last minute.
//!
//! *What may come in:* times in milliseconds, in any order. *What it never does:* grow.

/// How many seconds are kept.
pub(crate) const KEPT: usize = 60;

/// Counts of the last minute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rate {
    seconds: [(i64, u32); KEPT],
}

impl Default for Rate {
    fn default() -> Self {
        Self { seconds: [(i64::MIN, 0); KEPT] }
    }
}

impl Rate {
    /// It happened once, at `at`.
    pub(crate) fn count(&mut self, at: i64) {
        let second = at.div_euclid(1_000);
        let slot = &mut self.seconds[second.rem_euclid(KEPT as i64) as usize];
        if slot.0 < second {
            *slot = (second, 0);
        }
        // What is older than a minute has lost its place.
        if slot.0 == second {
            slot.1 = slot.1.saturating_add(1);
        }
    }

    /// How often in the second that is `ago` seconds before the present one.
    fn of(&self, now: i64, ago: usize) -> u32 {
        let second = now.div_euclid(1_000).saturating_sub(ago as i64);
        let slot = &self.seconds[second.rem_euclid(KEPT as i64) as usize];
        if slot.0 == second { slot.1 } else { 0 }
    }

    /// How often in the last `seconds`, the present one with them.
    pub(crate) fn within(&self, now: i64, seconds: usize) -> u64 {
        (0..seconds.min(KEPT)).map(|ago| u64::from(self.of(now, ago))).sum()
    }

    /// How often in each of the last `seconds` whole ones, the oldest first.
    pub(crate) fn history(&self, now: i64, seconds: usize) -> Vec<u64> {
        (1..=seconds.min(KEPT - 1)).rev().map(|ago| u64::from(self.of(now, ago))).collect()
    }

    /// How often a second, over the last ten whole ones.
    pub(crate) fn per_second(&self, now: i64) -> f64 {
        self.history(now, 10).iter().sum::<u64>() as f64 / 10.0
    }
}

#[cfg(test)]
mod tests {
    use super::Rate;

    #[test]
    fn it_counts_and_forgets() {
        let mut rate = Rate::default();
        for at in [0, 10, 999, 1_000, 5_500] {
            rate.count(at);
        }
        assert_eq!(rate.history(6_000, 6), [3, 1, 0, 0, 0, 1]);
        assert_eq!(rate.within(5_999, 60), 5);
        assert!((rate.per_second(6_000) - 0.5).abs() < 1e-9);
        assert_eq!(rate.within(60_000, 60), 2, "the first second is a minute old");
        assert_eq!(rate.per_second(70_000), 0.0);
        rate.count(120_000);
        rate.count(0);
        assert_eq!(rate.within(120_000, 60), 1, "too late to be counted");
        for odd in [i64::MIN, i64::MAX] {
            rate.count(odd);
            let _ = rate.per_second(odd);
        }
    }
}
