//! How long something will still take, from how far it was at what times.
//!
//! *What may come in:* any figures; they come from reporters. *What it never does:* guess. Where too little was seen, nothing
//! moves, or it went back, there is no answer.

/// The longest time that is worth telling, in milliseconds: 100 hours.
const LONGEST: f64 = 360_000_000.0;

/// What to smooth over, and what to see before saying anything.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Settings {
    /// After this many milliseconds an observation counts for a third (1/e) of what it did.
    pub(crate) smoothing: f64,
    /// How many steps forward have to be seen.
    pub(crate) steps: u32,
    /// How many milliseconds have to be seen.
    pub(crate) span: f64,
    /// Silence of so many milliseconds, or of five usual pauses where that is longer, means that it stands still.
    pub(crate) silence: f64,
}

/// A stage of a file.
pub(crate) const OF_A_STAGE: Settings =
    Settings { smoothing: 10_000.0, steps: 3, span: 1_000.0, silence: 10_000.0 };
/// What a pipeline has open: files end less evenly than a file goes on.
pub(crate) const OF_A_PIPELINE: Settings =
    Settings { smoothing: 60_000.0, steps: 3, span: 3_000.0, silence: 60_000.0 };

/// Follows one quantity that grows.
///
/// The rate is the weighted way over the weighted time, so it is exact for an even rate whatever the pauses between the
/// observations are.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Estimator {
    last: Option<(i64, f64)>,
    way: f64,
    time: f64,
    weight: f64,
    steps: u32,
    span: f64,
}

impl Estimator {
    /// It was at `value` at `at`, in milliseconds. Going back starts anew; times that go back count as no time.
    pub(crate) fn observe(&mut self, settings: &Settings, at: i64, value: f64) {
        if !value.is_finite() {
            return;
        }
        let Some((before, was)) = self.last else {
            self.last = Some((at, value));
            return;
        };
        if value < was {
            *self = Self { last: Some((at, value)), ..Self::default() };
            return;
        }
        let passed = at.saturating_sub(before).max(0) as f64;
        let kept = (-passed / settings.smoothing).exp();
        self.way = self.way * kept + (value - was);
        self.time = self.time * kept + passed;
        self.weight = self.weight * kept + 1.0;
        self.span += passed;
        if value > was {
            self.steps = self.steps.saturating_add(1);
        }
        self.last = Some((at.max(before), value));
    }

    /// How many milliseconds after `now` it will be at `target`; `None` where that cannot be known.
    pub(crate) fn remaining(&self, settings: &Settings, now: i64, target: f64) -> Option<f64> {
        let (at, value) = self.last?;
        if self.steps < settings.steps || self.span < settings.span || self.way <= 0.0 || self.time <= 0.0 {
            return None;
        }
        let silent = now.saturating_sub(at).max(0) as f64;
        let pause = self.time / self.weight;
        if silent > settings.silence.max(5.0 * pause) {
            return None;
        }
        // What is overdue slows it down; a usual pause is no sign of anything.
        let overdue = (silent - pause).max(0.0);
        let rate = self.way / (self.time + overdue);
        let left = (target - value).max(0.0) / rate - silent.min(pause);
        (left.is_finite() && left <= LONGEST).then_some(left.max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn followed(settings: &Settings, steps: &[(i64, f64)]) -> Estimator {
        let mut estimator = Estimator::default();
        for (at, value) in steps {
            estimator.observe(settings, *at, *value);
        }
        estimator
    }

    #[test]
    fn it_says_nothing_where_it_cannot_know() {
        let left = |steps: &[(i64, f64)], now| {
            followed(&OF_A_STAGE, steps).remaining(&OF_A_STAGE, now, 1.0).map(f64::round)
        };
        assert_eq!(left(&[], 0), None, "nothing was seen");
        assert_eq!(left(&[(0, 0.0), (1_000, 0.1), (2_000, 0.2)], 2_000), None, "two steps are too few");
        assert_eq!(left(&[(0, 0.0), (1, 0.1), (2, 0.2), (3, 0.3)], 3), None, "3 ms are too short");
        let even = [(0, 0.0), (1_000, 0.1), (2_000, 0.2), (3_000, 0.3)];
        assert_eq!(left(&even, 3_000), Some(7_000.0));
        assert_eq!(left(&even, 13_001), None, "it stands still");
        assert_eq!(left(&[(0, 0.3), (1_000, 0.3), (2_000, 0.3), (3_000, 0.3)], 3_000), None);
        let back = [(0, 0.0), (1_000, 0.1), (2_000, 0.2), (3_000, 0.3), (4_000, 0.0)];
        assert_eq!(left(&back, 4_000), None, "another stage or attempt");
        assert_eq!(left(&[(0, 0.0), (1_000, 1e-12), (2_000, 2e-12), (3_000, 3e-12)], 3_000), None, "years");
    }

    #[test]
    fn it_follows_a_rate_that_changes() {
        let mut steps: Vec<(i64, f64)> = (0..30).map(|n| (n * 1_000, n as f64)).collect();
        steps.extend((1..30).map(|n| (29_000 + n * 1_000, 29.0 + 4.0 * n as f64)));
        let settings = &OF_A_STAGE;
        let left = followed(settings, &steps).remaining(settings, 58_000, 145.0 + 40.0).unwrap();
        assert!((10_000.0..12_500.0).contains(&left), "four a second by now, not two and a half: {left}");
    }

    proptest! {
        #[test]
        fn an_even_rate_is_told_exactly_whatever_the_pauses(
            rate in 1e-5..10.0_f64,
            pauses in prop::collection::vec(1_i64..5_000, 6..60),
            ahead in 0.0..1_000_000.0_f64,
        ) {
            let mut at = 0;
            let mut estimator = Estimator::default();
            estimator.observe(&OF_A_STAGE, 0, 0.0);
            for pause in &pauses {
                at += pause;
                estimator.observe(&OF_A_STAGE, at, at as f64 * rate);
            }
            let target = (at as f64 + ahead) * rate;
            match estimator.remaining(&OF_A_STAGE, at, target) {
                Some(left) => prop_assert!((left - ahead).abs() <= 1e-6 * (ahead + at as f64), "{left} {ahead}"),
                None => prop_assert!(at < OF_A_STAGE.span as i64),
            }
        }

        #[test]
        fn whatever_comes_the_answer_is_a_time_or_none(
            steps in prop::collection::vec((any::<i64>(), any::<f64>()), 0..40),
            now in any::<i64>(),
            target in any::<f64>(),
        ) {
            if let Some(left) = followed(&OF_A_STAGE, &steps).remaining(&OF_A_STAGE, now, target) {
                prop_assert!((0.0..=LONGEST).contains(&left));
            }
        }

        #[test]
        fn between_observations_it_counts_down_and_never_below_zero(
            pause in 100_i64..2_000,
            count in 12_i64..40,
            later in 0.0..1.0_f64,
        ) {
            let mut estimator = Estimator::default();
            for n in 0..=count {
                estimator.observe(&OF_A_STAGE, n * pause, n as f64);
            }
            let at = count * pause;
            let after = (pause as f64 * later * 0.9) as i64;
            let target = (count + 10) as f64;
            let first = estimator.remaining(&OF_A_STAGE, at, target).unwrap();
            let then = estimator.remaining(&OF_A_STAGE, at + after, target).unwrap();
            prop_assert!((first - then - after as f64).abs() < 1e-3);
        }

        #[test]
        fn what_is_overdue_takes_longer(count in 12_i64..40, late in 2_000_i64..9_000) {
            let mut estimator = Estimator::default();
            for n in 0..=count {
                estimator.observe(&OF_A_STAGE, n * 1_000, n as f64);
            }
            let target = (count + 100) as f64;
            let ask = |at| estimator.remaining(&OF_A_STAGE, count * 1_000 + at, target).unwrap();
            prop_assert!(ask(late) > ask(late - 500));
        }
    }
}
