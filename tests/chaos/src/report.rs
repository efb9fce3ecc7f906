//! Reporters: what they say, and how it gets to a hub that may be dead.

pub(crate) mod library;
pub(crate) mod light;
pub(crate) mod publisher;
pub(crate) mod workload;

use std::collections::BTreeMap;
use std::time::Duration;

use ragpulse_protocol::{FileState, PipelineId};
use tokio::task::JoinHandle;

use crate::run::AnyError;

/// What a reporter leaves behind.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) pipeline: PipelineId,
    /// Where each of its files stands.
    pub(crate) files: BTreeMap<String, FileState>,
    /// The last progress of each file that is being processed.
    pub(crate) progress: BTreeMap<String, f64>,
    /// How many events were reported.
    pub(crate) events: u64,
    /// How many times a batch was sent again.
    pub(crate) resent: u64,
}

/// A reporter that runs until the quiet, and ends when everything was acknowledged.
pub(crate) struct Reporting {
    pub(crate) name: String,
    task: JoinHandle<Result<Told, AnyError>>,
}

impl Reporting {
    pub(crate) fn new(name: String, task: JoinHandle<Result<Told, AnyError>>) -> Self {
        Self { name, task }
    }

    /// Waits until everything was acknowledged.
    pub(crate) async fn finish(mut self, within: Duration) -> Result<Told, AnyError> {
        match tokio::time::timeout(within, &mut self.task).await {
            Ok(told) => Ok(told??),
            Err(_) => {
                Err(format!("{} did not get rid of its events within {within:?} of quiet", self.name).into())
            }
        }
    }
}

impl Drop for Reporting {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// How fast a reporter reports.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Events a second.
    pub(crate) rate: f64,
    /// The most events in a batch.
    pub(crate) batch: usize,
}
