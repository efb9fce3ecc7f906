//! What is measured, each in a file of its own, and what they have in common: rounds in turns, checks, tables.
//!
//! *What it never does:* let a run pass in which the hub lost or doubled something.

pub(crate) mod growth;
pub(crate) mod memory;
pub(crate) mod polls;
pub(crate) mod redis;
pub(crate) mod saturation;
pub(crate) mod start;
pub(crate) mod steady;
pub(crate) mod storm;

use std::time::Duration;

use super::figures::{self, Spread};
use super::load::{BUSY, Outcome};
use super::report::{Column, Report, Target};
use super::server::{Kind, Programs};
use crate::AnyError;

/// The outcomes of each server, round by round.
pub(crate) type Results<T> = Vec<(Kind, Vec<T>)>;

/// What every scenario has at hand.
pub(crate) struct Context<'a> {
    pub(crate) programs: &'a Programs,
    pub(crate) quick: bool,
    pub(crate) rounds: usize,
    /// Who takes part in what is measured beside each other.
    pub(crate) servers: Vec<Kind>,
    pub(crate) report: Report,
}

impl Context<'_> {
    /// How long something takes, in full and quick.
    pub(crate) fn length(&self, full: Duration, quick: Duration) -> Duration {
        if self.quick { quick } else { full }
    }

    /// Says what is being done.
    pub(crate) fn tell(&self, title: &str, round: usize, who: &str) {
        eprintln!("{title}: round {}, {who}", round + 1);
    }

    /// Runs something for each server in each round, another one first each time.
    pub(crate) fn interleaved<T>(
        &self,
        title: &str,
        mut run: impl FnMut(&Self, Kind) -> Result<T, AnyError>,
    ) -> Result<Results<T>, AnyError> {
        let mut results: Results<T> = self.servers.iter().map(|kind| (*kind, Vec::new())).collect();
        for round in 0..self.rounds {
            for at in 0..results.len() {
                let at = (at + round) % results.len();
                let (kind, outcomes) = &mut results[at];
                self.tell(title, round, kind.name());
                let outcome = run(self, *kind);
                outcomes.push(outcome.map_err(|error| format!("{title}, {}: {error}", kind.name()))?);
            }
        }
        Ok(results)
    }

    /// Looks for what was lost or doubled, and for a generator that was too busy. What the hub loses is a failure; what
    /// another loses is told.
    pub(crate) fn check(&mut self, title: &str, kind: Kind, outcomes: &[Outcome]) {
        for (round, outcome) in outcomes.iter().enumerate() {
            self.busy(title, kind, outcome.generator);
            if outcome.whole() {
                continue;
            }
            let Outcome { lost, twice, resynced, failures, .. } = outcome;
            let line = format!(
                "{title}, {}, round {}: {lost} lost, {twice} doubled or swapped, {resynced} states in place of events{}{}",
                kind.name(),
                round + 1,
                if failures.is_empty() { "" } else { "; " },
                failures.join("; ")
            );
            if kind == Kind::Hub { self.report.failure(line) } else { self.report.remark(line) }
        }
    }

    /// Marks a run in which the generator had too little left.
    pub(crate) fn busy(&mut self, title: &str, kind: Kind, generator: f64) {
        if generator > BUSY {
            self.report.busy(title, kind.name(), generator);
        }
    }

    /// Tells the outcomes of all servers.
    pub(crate) fn table(&mut self, title: &str, columns: &[Column], results: &Results<Outcome>) {
        let mut names = vec!["server"];
        names.extend(columns.iter().map(|column| column.name));
        names.push("generator busy");
        let rows = results.iter().map(|(kind, outcomes)| {
            let mut cells: Vec<_> =
                columns.iter().map(|column| Spread::of(outcomes.iter().map(column.of))).collect();
            cells.push(Spread::of(outcomes.iter().map(|outcome| outcome.generator * 100.0)));
            (kind.name().to_owned(), cells)
        });
        let rows = rows.collect();
        self.rows(title, &names, rows);
    }

    /// Tells a table.
    pub(crate) fn rows(&mut self, title: &str, columns: &[&str], rows: Vec<(String, Vec<Option<Spread>>)>) {
        self.report.table(title, columns, rows);
    }

    /// Tells a target by the ratio of the hub to another, round by round; nothing where that one takes no part.
    pub(crate) fn ratio(
        &mut self,
        target: Target,
        results: &Results<Outcome>,
        peer: Kind,
        of: impl Fn(&Outcome) -> f64,
    ) {
        let values = |wanted: Kind| {
            let (_, outcomes) = results.iter().find(|(kind, _)| *kind == wanted)?;
            Some(outcomes.iter().map(&of).collect::<Vec<_>>())
        };
        if let (Some(hub), Some(peer)) = (values(Kind::Hub), values(peer)) {
            self.target(target, Spread::of(figures::ratios(&hub, &peer)));
        }
    }

    /// Tells a target.
    pub(crate) fn target(&mut self, target: Target, measured: Option<Spread>) {
        self.report.target(target, measured);
    }
}
