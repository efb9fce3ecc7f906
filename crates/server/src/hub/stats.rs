//! Counts of what the hub does, for the host: the same numbers that `/metrics` exports, in short.

use super::Registry;
use crate::metrics::Metrics;

/// Counts since the hub was built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Sockets and held requests open now.
    pub connections: u64,
    /// Events taken into the log.
    pub accepted: u64,
    /// Events that had been taken before.
    pub duplicates: u64,
    /// Events that were conflated.
    pub conflated: u64,
    /// Batches refused because an event was wrong.
    pub refused: u64,
    /// Messages given to subscribers.
    pub delivered: u64,
    /// Times a subscription paused because its buffer was full.
    pub paused: u64,
    /// Snapshots sent because a subscriber was too far behind.
    pub lagged: u64,
    /// Events that did not fit the state they were folded into.
    pub anomalies: u64,
    /// Leases that ended without a word.
    pub leases_lapsed: u64,
    /// Pipelines known now.
    pub pipelines: u64,
    /// Subscriptions of sockets now.
    pub subscriptions: u64,
}

impl Stats {
    pub(crate) fn of(metrics: &Metrics, registry: &Registry) -> Self {
        use crate::metrics::table::{Batch, Taken};
        Self {
            connections: metrics.connections.sum(),
            accepted: metrics.ingest_events.get(Taken::Accepted),
            duplicates: metrics.ingest_events.get(Taken::Duplicate),
            conflated: metrics.ingest_events.get(Taken::Conflated),
            refused: metrics.ingest_batches.get(Batch::Invalid),
            delivered: metrics.events_out.sum(),
            paused: metrics.paused.get(()),
            lagged: metrics.lagged.get(()),
            anomalies: metrics.anomalies.sum(),
            leases_lapsed: metrics.leases_lapsed.get(()),
            pipelines: registry.known().len() as u64,
            subscriptions: registry.subscriptions() as u64,
        }
    }
}
