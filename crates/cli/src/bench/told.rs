//! What a bench came to, for people and for programs.
//!
//! *What it never does:* call a load well that lost something.

use std::fmt::Write as _;
use std::io::Write;
use std::sync::atomic::Ordering;

use ragpulse_protocol::PipelineId;
use serde_json::{Value, json};

use super::Options;
use super::viewers::{Latencies, Tally, Transports};
use crate::failure::Failure;
use crate::hub_client::HubClient;

/// The result.
pub(super) struct Told {
    url: String,
    pipeline: PipelineId,
    subscribers: u32,
    rate: u32,
    seconds: u32,
    published: u64,
    delivered: u64,
    lost: u64,
    doubled: u64,
    out_of_order: u64,
    resynced: u64,
    latencies: Latencies,
    transports: Transports,
    stopped: bool,
    forgotten: bool,
}

impl Told {
    pub(super) fn new(
        options: &Options,
        hub: &HubClient,
        pipeline: &PipelineId,
        tally: &Tally,
        stopped: bool,
        forgotten: bool,
    ) -> Self {
        let published = tally.published();
        let delivered = tally.delivered.load(Ordering::Acquire);
        // What was under way when somebody stopped it is not lost.
        let expected = if stopped { 0 } else { published * u64::from(options.subscribers) };
        Self {
            url: hub.address(),
            pipeline: pipeline.clone(),
            subscribers: options.subscribers,
            rate: options.rate,
            seconds: options.seconds,
            published,
            delivered,
            lost: expected.saturating_sub(delivered),
            doubled: tally.doubled.load(Ordering::Acquire),
            out_of_order: tally.out_of_order.load(Ordering::Acquire),
            resynced: tally.resynced.load(Ordering::Acquire),
            latencies: tally.latencies(),
            transports: *tally.transports.lock(),
            stopped,
            forgotten,
        }
    }

    #[allow(clippy::cast_precision_loss)]
    fn per_second(&self) -> f64 {
        if self.latencies.seconds > 0.0 { self.delivered as f64 / self.latencies.seconds } else { 0.0 }
    }

    pub(super) fn print(&self, as_json: bool) -> Result<(), Failure> {
        let text = if as_json { format!("{}\n", self.json()) } else { self.text() };
        std::io::stdout().lock().write_all(text.as_bytes())?;
        Ok(())
    }

    fn json(&self) -> Value {
        let [p50, p90, p99, p999, max] = self.latencies.milliseconds;
        json!({
            "url": self.url, "pipeline_id": self.pipeline, "subscribers": self.subscribers, "rate": self.rate,
            "seconds": self.seconds, "published": self.published, "delivered": self.delivered,
            "deliveries_per_second": self.per_second(),
            "latency_ms": { "p50": p50, "p90": p90, "p99": p99, "p99_9": p999, "max": max },
            "lost": self.lost, "doubled": self.doubled, "out_of_order": self.out_of_order, "resynced": self.resynced,
            "transports": { "websocket": self.transports.websocket, "polling": self.transports.polling,
                            "changes": self.transports.changes },
            "stopped": self.stopped, "forgotten": self.forgotten,
        })
    }

    fn text(&self) -> String {
        let Self { subscribers, rate, seconds, .. } = self;
        let Transports { websocket, polling, changes } = self.transports;
        let mut text = format!("{}: {subscribers} subscribers, {rate} events/s for {seconds} s", self.url);
        text.push_str(if self.stopped { ", stopped before the end\n" } else { "\n" });
        let mut line = |name: &str, value: String| {
            // Writing into memory does not fail.
            let _ = writeln!(text, "  {name:<12} {value}");
        };
        let [p50, p90, p99, p999, max] = self.latencies.milliseconds;
        let times = format!("p50 {p50:.1}, p90 {p90:.1}, p99 {p99:.1}, p99.9 {p999:.1}, longest {max:.1} ms");
        line("latency", format!("{times}, from the report to the callback"));
        let Self { published, delivered, .. } = self;
        line(
            "deliveries",
            format!("{published} events, delivered {delivered} times, {:.0} a second", self.per_second()),
        );
        let Self { lost, doubled, out_of_order, resynced, .. } = self;
        line("sequence", format!("{lost} lost, {doubled} doubled, {out_of_order} out of order"));
        if *resynced > 0 {
            line(
                "",
                format!(
                    "{resynced} times a subscriber fell so far behind that a state came in place of events"
                ),
            );
        }
        let changes = if changes > 0 { format!("; {changes} changes") } else { String::new() };
        line("transport", format!("{websocket} by websocket, {polling} by polling{changes}"));
        text
    }

    /// Whether all arrived as it should.
    pub(super) fn verdict(&self) -> Result<(), Failure> {
        if self.lost + self.doubled + self.out_of_order == 0 {
            return Ok(());
        }
        let why = if self.resynced > 0 {
            "subscribers could not keep up: take less load, or look at this machine first"
        } else {
            "that should not be; `ragpulse doctor` looks at what lies in between"
        };
        Err(Failure::new(format!(
            "{} lost, {} doubled, {} out of order; {why}",
            self.lost, self.doubled, self.out_of_order
        )))
    }
}
