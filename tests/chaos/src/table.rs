//! The numbers, as one table.

use std::fmt;

/// One figure of a scenario.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) scenario: String,
    pub(crate) what: String,
    pub(crate) value: String,
}

/// What all scenarios measured.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table(Vec<Row>);

impl Table {
    pub(crate) fn add(&mut self, scenario: &str, what: impl Into<String>, value: impl Into<String>) {
        self.0.push(Row { scenario: scenario.to_owned(), what: what.into(), value: value.into() });
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width =
            |of: fn(&Row) -> &str| self.0.iter().map(|row| of(row).chars().count()).max().unwrap_or(0);
        let (first, second) = (width(|row| &row.scenario), width(|row| &row.what));
        let mut before = "";
        for row in &self.0 {
            // A scenario is named once.
            let scenario = if row.scenario == before { "" } else { &row.scenario };
            before = &row.scenario;
            writeln!(f, "| {scenario:<first$} | {:<second$} | {} |", row.what, row.value)?;
        }
        Ok(())
    }
}

/// The smallest value that so many per cent do not exceed; 0 where there is none.
pub(crate) fn percentile(values: &[f64], percent: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let rank = (percent / 100.0 * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        assert!(percentile(&[], 50.0).abs() < f64::EPSILON);
        let values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!([50.0, 99.0, 100.0].map(|percent| percentile(&values, percent)), [50.0, 99.0, 100.0]);
    }

    #[test]
    fn a_scenario_is_named_once() {
        let mut table = Table::default();
        table.add("jitter", "cuts", "12");
        table.add("jitter", "lost", "0");
        assert_eq!(table.to_string(), "| jitter | cuts | 12 |\n|        | lost | 0 |\n");
    }
}
