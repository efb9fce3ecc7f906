//! Runs commands one after another, says which one it is at, and at the end how long each took.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// The steps of a task so far.
pub(crate) struct Steps {
    task: &'static str,
    done: Vec<(String, Duration)>,
}

impl Steps {
    pub(crate) fn new(task: &'static str) -> Self {
        Self { task, done: Vec::new() }
    }

    /// Runs a command as one step.
    ///
    /// # Errors
    /// When it cannot be run, or fails.
    pub(crate) fn command(&mut self, name: &str, command: &mut Command) -> Result<()> {
        self.step(name, || {
            let program = command.get_program().to_owned();
            let status = command.status().with_context(|| format!("cannot run {program:?}"))?;
            if !status.success() {
                bail!("{name} failed; what it said stands above");
            }
            Ok(())
        })
    }

    /// Runs a function as one step.
    ///
    /// # Errors
    /// Those of the function.
    pub(crate) fn step<T>(&mut self, name: &str, run: impl FnOnce() -> Result<T>) -> Result<T> {
        println!("--- {}: {name}", self.task);
        let start = Instant::now();
        let result = run();
        self.done.push((name.to_owned(), start.elapsed()));
        if result.is_err() {
            self.summary("FAILED");
        }
        result
    }

    /// Says how long each step took.
    pub(crate) fn finish(self) {
        self.summary("ok");
    }

    fn summary(&self, result: &str) {
        let steps: Vec<String> =
            self.done.iter().map(|(name, took)| format!("{name} {:.1} s", took.as_secs_f64())).collect();
        let total: Duration = self.done.iter().map(|(_, took)| *took).sum();
        println!("{}: {result} in {:.1} s ({})", self.task, total.as_secs_f64(), steps.join(", "));
    }
}
