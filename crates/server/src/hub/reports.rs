//! What clients report of how they fare, counted among the hub's metrics.
//!
//! *What may come in:* any report, by `client:status` or by the header of a poll. *What it never does:* keep a text of a
//! client, or grow: everything here has a fixed size.

use std::time::Duration;

use ragpulse_protocol::command::ClientStatus;

use crate::metrics::Metrics;
use crate::metrics::cells::{Counter, Histogram, micros};
use crate::metrics::table::{FallbackCause, ReportedTransport};

/// The upper bounds of the buckets of a [`LatencyHistogram`], in milliseconds, each included. The last bucket has none.
pub const LATENCY_BOUNDS_MS: [f64; 12] =
    [5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_500.0, 5_000.0, 10_000.0, 60_000.0];

/// The longest time that makes sense: a day, in milliseconds. What is longer, or negative, is not counted.
const LONGEST_MS: f64 = 86_400_000.0;

macro_rules! counts {
    ($(#[doc = $doc:literal])* $name:ident by $label:ident { $($(#[doc = $field_doc:literal])* $field:ident,)* }) => {
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

            fn read(counter: &Counter<$label>) -> Self {
                let of = |name| $label::named(name).map_or(0, |label| counter.get(label));
                Self { $($field: of(stringify!($field)),)* other: counter.get($label::Other) }
            }
        }
    };
}

counts! {
    /// Reports by the transport that they named. One that came with a poll and named none is of polling.
    ReportsByTransport by ReportedTransport {
        /// Connected by WebSocket.
        websocket,
        /// Connected by polling.
        polling,
    }
}

counts! {
    /// Fallbacks to polling by the first word of their cause, in any case of letters.
    FallbacksByCause by FallbackCause {
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
    fn read(histogram: &Histogram<()>) -> Self {
        let (counts, sum) = histogram.get(());
        let mut buckets = [0; LATENCY_BOUNDS_MS.len() + 1];
        buckets.iter_mut().zip(&counts).for_each(|(bucket, count)| *bucket = *count);
        Self { count: counts.iter().sum(), sum_ms: in_ms(sum), buckets }
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

impl ClientReports {
    pub(crate) fn read(metrics: &Metrics) -> Self {
        let (dwells, dwelt) = metrics.fallback_dwell.get(());
        Self {
            reports: ReportsByTransport::read(&metrics.client_reports),
            fallbacks: FallbacksByCause::read(&metrics.fallbacks),
            fallback_dwell_count: dwells.iter().sum(),
            fallback_dwell_sum_ms: in_ms(dwelt),
            paint_latency: LatencyHistogram::read(&metrics.paint),
            latency: LatencyHistogram::read(&metrics.client_latency),
        }
    }
}

#[allow(clippy::cast_precision_loss)]
fn in_ms(micros: u64) -> f64 {
    micros as f64 / 1_000.0
}

/// Counts a report.
pub(crate) fn add(metrics: &Metrics, status: &ClientStatus, way: Way) {
    let add = |histogram: &Histogram<()>, ms: Option<f64>| {
        if let Some(ms) = ms.filter(|ms| (0.0..=LONGEST_MS).contains(ms)) {
            histogram.add((), micros(Duration::from_secs_f64(ms / 1_000.0)), 1);
        }
    };
    let unsaid = if way == Way::Poll { "polling" } else { "" };
    let transport = ReportedTransport::named(status.transport.as_deref().unwrap_or(unsaid));
    metrics.client_reports.add(transport.unwrap_or(ReportedTransport::Other), 1);
    if let Some(cause) = &status.fallback_cause {
        let cause = FallbackCause::named(&first_word(cause)).unwrap_or(FallbackCause::Other);
        metrics.fallbacks.add(cause, 1);
    }
    add(&metrics.fallback_dwell, status.fallback_dwell_ms);
    add(&metrics.paint, status.paint_latency_ms);
    add(&metrics.client_latency, status.latency_ms);
}

/// The first word of a cause in small letters; at most as much of it as a name has that counts.
fn first_word(cause: &str) -> String {
    let word = cause.trim_start().chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_');
    word.take(16).map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_are_those_of_the_table() {
        for name in ["ragpulse_paint_seconds", "ragpulse_client_latency_seconds"] {
            let family = crate::metrics::FAMILIES.iter().find(|family| family.name == name).unwrap();
            let bounds: Vec<f64> = family.buckets.iter().map(|seconds| seconds * 1_000.0).collect();
            assert_eq!(bounds, LATENCY_BOUNDS_MS, "{name}");
        }
    }

    fn status(change: impl FnOnce(&mut ClientStatus)) -> ClientStatus {
        let mut status: ClientStatus =
            serde_json::from_str(r#"{"client_id":"c","status":"active"}"#).unwrap();
        change(&mut status);
        status
    }

    #[test]
    fn a_time_is_in_the_bucket_of_the_first_bound_that_holds_it() {
        let reports = Metrics::new(1);
        for ms in [0.0, 5.0, 5.1, 10.0, 60_000.0, 60_000.1, LONGEST_MS] {
            add(&reports, &status(|status| status.latency_ms = Some(ms)), Way::Socket);
        }
        let counted = ClientReports::read(&reports).latency;
        assert_eq!(counted.buckets, [2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(counted.count, 7);
    }

    #[test]
    fn times_without_sense_are_not_counted() {
        let reports = Metrics::new(1);
        for ms in [-0.1, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, LONGEST_MS + 1.0] {
            let change = |status: &mut ClientStatus| {
                (status.latency_ms, status.paint_latency_ms, status.fallback_dwell_ms) =
                    (Some(ms), Some(ms), Some(ms));
            };
            add(&reports, &status(change), Way::Socket);
        }
        let expected = ClientReports {
            reports: ReportsByTransport { other: 5, ..ReportsByTransport::default() },
            ..ClientReports::default()
        };
        assert_eq!(ClientReports::read(&reports), expected);
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
            let reports = Metrics::new(1);
            add(&reports, &status(|status| status.fallback_cause = Some(cause.to_owned())), Way::Poll);
            let counted = ClientReports::read(&reports);
            let counted: Vec<_> = counted.fallbacks.iter().filter(|(_, count)| *count > 0).collect();
            assert_eq!(counted, [(name, 1)], "{cause:?}");
        }
        assert_eq!(first_word(&"x".repeat(1_000_000)).len(), 16);
    }
}
