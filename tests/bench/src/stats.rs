//! Latencies and their percentiles.

/// Latencies in microseconds.
#[derive(Debug, Default)]
pub(crate) struct Latencies(Vec<u64>);

impl Latencies {
    pub(crate) fn extend(&mut self, more: Vec<u64>) {
        self.0.extend(more);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The smallest latency that so many per cent do not exceed; 0 where there is none.
    pub(crate) fn percentile(&self, percent: f64) -> u64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0)
    }

    /// p50, p99, p99.9 and the largest, in milliseconds.
    pub(crate) fn line(&self) -> String {
        #[allow(clippy::cast_precision_loss)]
        let ms = |percent| self.percentile(percent) as f64 / 1_000.0;
        format!("{:>9.2} {:>9.2} {:>9.2} {:>9.2}", ms(50.0), ms(99.0), ms(99.9), ms(100.0))
    }
}

#[cfg(test)]
mod tests {
    use super::Latencies;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.percentile(99.0), 0);
        latencies.extend((1..=100).rev().collect());
        assert_eq!([50.0, 99.0, 99.9, 100.0].map(|p| latencies.percentile(p)), [50, 99, 100, 100]);
    }
}
