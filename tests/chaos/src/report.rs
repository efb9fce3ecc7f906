//! Reporters: what they say, and how it gets to a hub that may be dead.

pub(crate) mod library;
pub(crate) mod light;
pub(crate) mod publisher;
pub(crate) mod workload;

use std::collections::BTreeMap;
use std::time::Duration;

use ragpulse_protocol::{FileState, PipelineId};
use tokio::task::JoinHandle;

use crate::run::{AnyError, Witness};

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
    witness: Witness,
    task: JoinHandle<Result<Told, AnyError>>,
}

impl Reporting {
    pub(crate) fn new(witness: Witness, task: JoinHandle<Result<Told, AnyError>>) -> Self {
        Self { witness, task }
    }

    /// Waits until everything was acknowledged. One that does not get there is stuck.
    pub(crate) async fn finish(mut self, within: Duration) -> Result<Option<Told>, AnyError> {
        match tokio::time::timeout(within, &mut self.task).await {
            Ok(told) => Ok(Some(told??)),
            Err(_) => {
                self.witness
                    .fail(format!("stuck: not everything was acknowledged within {within:?} of quiet"));
                Ok(None)
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
