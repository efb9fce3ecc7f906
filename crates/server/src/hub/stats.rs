//! Counts of what the hub does.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Registry;

macro_rules! counters {
    ($($(#[doc = $doc:literal])* $name:ident,)*) => {
        /// The counts, as they are added to.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: AtomicU64,)*
        }

        /// Counts since the hub was built.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Stats {
            $($(#[doc = $doc])* pub $name: u64,)*
            /// Pipelines known now.
            pub pipelines: u64,
            /// Subscriptions of sockets now.
            pub subscriptions: u64,
        }

        impl Counters {
            pub(crate) fn read(&self, registry: &Registry) -> Stats {
                Stats {
                    $($name: self.$name.load(Ordering::Relaxed),)*
                    pipelines: registry.known().len() as u64,
                    subscriptions: registry.subscriptions() as u64,
                }
            }
        }
    };
}

counters! {
    /// Sockets and held requests open now.
    connections,
    /// Events taken into the log.
    accepted,
    /// Events that had been taken before.
    duplicates,
    /// Events that were conflated.
    conflated,
    /// Batches refused because an event was wrong.
    refused,
    /// Messages put into the buffers of subscribers.
    delivered,
    /// Times a subscription paused because its buffer was full.
    paused,
    /// Snapshots sent because a subscriber was too far behind.
    lagged,
    /// Events that did not fit the state they were folded into.
    anomalies,
    /// Leases that ended without a word.
    leases_lapsed,
}
