//! How long a log keeps what: one set of rules for every store that outlives a process. Plain data.

use std::time::Duration;

/// How long history is kept. State, counts and the ids against doubles are kept apart from it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Retention {
    /// Events older than this go. Default 7 days.
    pub age: Duration,
    /// The most events of a pipeline; the oldest go. Default as many as of the store.
    pub events_per_pipeline: u64,
    /// The most events of the store; the pipelines that have most give their oldest. Default 4,000,000.
    pub events: u64,
    /// What each pipeline keeps whatever the others have. Default 100,000.
    pub events_guaranteed: u64,
    /// Ids are kept at least this long … Default 24 hours.
    pub id_age: Duration,
    /// … and at least so many of each pipeline; beyond both they go. Default 1,000,000.
    pub ids_per_pipeline: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            age: Duration::from_secs(7 * 24 * 60 * 60),
            events_per_pipeline: 4_000_000,
            events: 4_000_000,
            events_guaranteed: 100_000,
            id_age: Duration::from_secs(24 * 60 * 60),
            ids_per_pipeline: 1_000_000,
        }
    }
}
