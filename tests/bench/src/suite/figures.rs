//! Medians, their intervals, and ratios of what was measured in rounds.
//!
//! *What may come in:* a figure of each round. *What it never does:* average, or leave out a round.

/// The middle of some rounds, and how sure that is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    /// Between these the median of endlessly many rounds lies with [`confidence`]: order statistics, so nothing is assumed of
    /// how the figures are distributed.
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Spread {
    /// `None` where there are no figures.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let count = sorted.len();
        let last = count.checked_sub(1)?;
        let from = rank(count);
        Some(Self {
            median: f64::midpoint(sorted[last / 2], sorted[count / 2]),
            low: sorted[from],
            high: sorted[last - from],
        })
    }
}

/// How many are left out at each end: as many as leave 95 %, or none.
fn rank(count: usize) -> usize {
    (0..count.div_ceil(2)).rev().find(|from| coverage(count, *from) >= 0.95).unwrap_or(0)
}

/// The probability that the median lies between the order statistics that leave out `from` at each end.
fn coverage(count: usize, from: usize) -> f64 {
    // Each round is below the median or above it, as heads or tails.
    let (mut outside, mut term) = (0.0, 0.5_f64.powi(i32::try_from(count).unwrap_or(i32::MAX)));
    for below in 0..=from {
        outside += term;
        #[allow(clippy::cast_precision_loss)]
        let next = (count - below) as f64 / (below + 1) as f64;
        term *= next;
    }
    1.0 - 2.0 * outside
}

/// How sure the interval of so many rounds is, 0 to 1.
pub(crate) fn confidence(count: usize) -> f64 {
    coverage(count, rank(count)).max(0.0)
}

/// The ratio in each round.
pub(crate) fn ratios(over: &[f64], under: &[f64]) -> Vec<f64> {
    over.iter().zip(under).map(|(over, under)| over / under).collect()
}

/// A figure with as many digits as mean something.
pub(crate) fn short(value: f64) -> String {
    let size = value.abs();
    match size {
        _ if !value.is_finite() => "–".to_owned(),
        _ if size >= 999.5 => grouped(value),
        _ if size >= 100.0 => format!("{value:.0}"),
        _ if size >= 10.0 => format!("{value:.1}"),
        _ if size >= 0.1 || size == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// A count.
pub(crate) fn whole(count: u64) -> String {
    #[allow(clippy::cast_precision_loss)]
    grouped(count as f64)
}

fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = if value < 0.0 { "-".to_owned() } else { String::new() };
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_of_few_rounds_is_all_of_them_and_of_many_it_is_narrower() {
        let seven = Spread::of((1..=7).map(f64::from)).unwrap();
        assert_eq!(seven, Spread { median: 4.0, low: 1.0, high: 7.0 });
        assert!((confidence(7) - 0.984_375).abs() < 1e-9);
        assert!((confidence(3) - 0.75).abs() < 1e-9);
        // The well-known one: of nine, the second and the eighth give 96.1 %.
        let nine = Spread::of((1..=9).map(f64::from)).unwrap();
        assert_eq!(nine, Spread { median: 5.0, low: 2.0, high: 8.0 });
        assert!((confidence(9) - 0.960_937_5).abs() < 1e-9);
    }

    #[test]
    fn an_even_number_has_its_middle_between_two_and_none_has_none() {
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]).unwrap().median, 2.5);
        assert_eq!(Spread::of([f64::NAN]), None);
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn ratios_are_formed_round_by_round() {
        assert_eq!(ratios(&[2.0, 9.0], &[4.0, 3.0]), [0.5, 3.0]);
    }

    #[test]
    fn figures_are_short() {
        assert_eq!(
            [0.0, 0.0123, 0.5, 12.34, 123.4, 999.6, 1_234.5, 1_234_567.0].map(short),
            ["0.00", "0.012", "0.50", "12.3", "123", "1,000", "1,234", "1,234,567"]
        );
    }
}
