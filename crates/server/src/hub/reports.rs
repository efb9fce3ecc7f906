//! What clients report of how they fare, counted for metrics.
//!
//! *What may come in:* any report, by `client:status` or by the header of a poll. *What it never does:* keep a text of a
//! client, or grow: everything here has a fixed size.

use parking_lot::Mutex;
use ragpulse_protocol::command::ClientStatus;

/// The upper bounds of the buckets of a [`LatencyHistogram`], in milliseconds, each included. The last bucket has none.
pub const LATENCY_BOUNDS_MS: [f64; 12] =
    [5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_500.0, 5_000.0, 10_000.0, 60_000.0];

/// The longest time that makes sense: a day, in milliseconds. What is longer, or negative, is not counted.
const LONGEST_MS: f64 = 86_400_000.0;

macro_rules! counts {
    ($(#[doc = $doc:literal])* $name:ident { $($(#[doc = $field_doc:literal])* $field:ident,)* }) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct $name {
            $($(#[doc = $field_doc])* pub $field: u64,)*
            /// Whatever else was said.
            pub other: u64,
        }

        impl $name {
            /// Each count with its name, in a fixed order.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
                [$((stringify!($field), self.$field),)* ("other", self.other)].into_iter()
            }

            /// Counts one of this name; a name that is not known counts as other.
            fn count(&mut self, name: &str) {
                let count = match name {
                    $(stringify!($field) => &mut self.$field,)*
                    _ => &mut self.other,
                };
                *count += 1;
            }
        }
    };
}

counts! {
    /// Reports by the transport that they named. One that came with a poll and named none is of polling.
    ReportsByTransport {
        /// Connected by WebSocket.
        websocket,
        /// Connected by polling.
        polling,
    }
}

counts! {
    /// Fallbacks to polling by the first word of their cause, in any case of letters.
    FallbacksByCause {
        /// The caller chose polling.
        chosen,
        /// The hub advised to poll.
        advised,
        /// The connection could not be made, or broke.
        failed,
        /// The machine had no network.
        offline,
        /// Something on the way does not let sockets through.
        refused,
        /// The hub refused to subscribe.
        rejected,
        /// Nothing was heard for too long.
        silence,
        /// The hub said that it closes.
        hub_closing,
    }
}

/// Times that were reported, by their length.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub struct LatencyHistogram {
    /// How many there were.
    pub count: u64,
    /// All of them together, in milliseconds.
    pub sum_ms: f64,
    /// How many were within each of [`LATENCY_BOUNDS_MS`] and beyond the bound before it; the last: beyond them all.
    pub buckets: [u64; LATENCY_BOUNDS_MS.len() + 1],
}

impl LatencyHistogram {
    fn add(&mut self, ms: f64) {
        self.count += 1;
        self.sum_ms += ms;
        self.buckets[LATENCY_BOUNDS_MS.partition_point(|bound| *bound < ms)] += 1;
    }
}

/// What clients reported since the hub was built, by `client:status` or, where they poll, by the header
/// `RagPulse-Client-Status`. Times that are negative or longer than a day are not in it; the rest of their reports is.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub struct ClientReports {
    /// The reports.
    pub reports: ReportsByTransport,
    /// Fallbacks to polling: reports that named a `fallback_cause`.
    pub fallbacks: FallbacksByCause,
    /// Fallbacks that told how long they lasted: reports with `fallback_dwell_ms`.
    pub fallback_dwell_count: u64,
    /// How long these lasted together, in milliseconds.
    pub fallback_dwell_sum_ms: f64,
    /// How long events took from their report until they were painted: `paint_latency_ms`.
    pub paint_latency: LatencyHistogram,
    /// Round trips of clients: `latency_ms`.
    pub latency: LatencyHistogram,
}

/// By which way a report came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// `client:status` over a socket.
    Socket,
    /// The header of a poll.
    Poll,
}

/// The counts, as they are added to.
#[derive(Debug, Default)]
pub(crate) struct Reports(Mutex<ClientReports>);

impl Reports {
    pub(crate) fn read(&self) -> ClientReports {
        *self.0.lock()
    }

    pub(crate) fn add(&self, status: &ClientStatus, way: Way) {
        let sense = |ms: Option<f64>| ms.filter(|ms| (0.0..=LONGEST_MS).contains(ms));
        let unsaid = if way == Way::Poll { "polling" } else { "" };
        let mut counts = self.0.lock();
        counts.reports.count(status.transport.as_deref().unwrap_or(unsaid));
        if let Some(cause) = &status.fallback_cause {
            counts.fallbacks.count(&first_word(cause));
        }
        if let Some(ms) = sense(status.fallback_dwell_ms) {
            counts.fallback_dwell_count += 1;
            counts.fallback_dwell_sum_ms += ms;
        }
        if let Some(ms) = sense(status.paint_latency_ms) {
            counts.paint_latency.add(ms);
        }
        if let Some(ms) = sense(status.latency_ms) {
            counts.latency.add(ms);
        }
    }
}

/// The first word of a cause in small letters; at most as much of it as a name has that counts.
fn first_word(cause: &str) -> String {
    let word = cause.trim_start().chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_');
    word.take(16).map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(change: impl FnOnce(&mut ClientStatus)) -> ClientStatus {
        let mut status: ClientStatus =
            serde_json::from_str(r#"{"client_id":"c","status":"active"}"#).unwrap();
        change(&mut status);
        status
    }

    #[test]
    fn a_time_is_in_the_bucket_of_the_first_bound_that_holds_it() {
        let reports = Reports::default();
        for ms in [0.0, 5.0, 5.1, 10.0, 60_000.0, 60_000.1, LONGEST_MS] {
            reports.add(&status(|status| status.latency_ms = Some(ms)), Way::Socket);
        }
        let counted = reports.read().latency;
        assert_eq!(counted.buckets, [2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(counted.count, 7);
    }

    #[test]
    fn times_without_sense_are_not_counted() {
        let reports = Reports::default();
        for ms in [-0.1, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, LONGEST_MS + 1.0] {
            let change = |status: &mut ClientStatus| {
                (status.latency_ms, status.paint_latency_ms, status.fallback_dwell_ms) =
                    (Some(ms), Some(ms), Some(ms));
            };
            reports.add(&status(change), Way::Socket);
        }
        let expected = ClientReports {
            reports: ReportsByTransport { other: 5, ..ReportsByTransport::default() },
            ..ClientReports::default()
        };
        assert_eq!(reports.read(), expected);
    }

    #[test]
    fn a_cause_counts_by_its_first_word() {
        for (cause, name) in [
            ("refused", "refused"),
            ("Silence: 25 s", "silence"),
            (" hub_closing", "hub_closing"),
            ("failed to connect", "failed"),
            ("", "other"),
            ("refusedly", "other"),
            ("\u{0}refused", "other"),
        ] {
            let reports = Reports::default();
            reports.add(&status(|status| status.fallback_cause = Some(cause.to_owned())), Way::Poll);
            let counted = reports.read();
            let counted: Vec<_> = counted.fallbacks.iter().filter(|(_, count)| *count > 0).collect();
            assert_eq!(counted, [(name, 1)], "{cause:?}");
        }
        assert_eq!(first_word(&"x".repeat(1_000_000)).len(), 16);
    }
}
