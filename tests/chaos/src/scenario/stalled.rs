//! One subscriber of many stops reading: the others must not notice, the hub must not grow, and when it reads again it must
//! be exact.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use ragpulse_protocol::PipelineId;
use serde_json::Value;

use super::Order;
use super::stage::{Stage, pipelines};
use crate::client::socket::{Options, Tap};
use crate::client::{self, Client};
use crate::proxy::Lane;
use crate::report::publisher::{Publisher, SENT};
use crate::run::{AnyError, Run};
use crate::table::{Table, percentile};

const LABEL: &str = "stalled";
/// Events a second while latencies are measured.
const RATE: f64 = 50.0;
/// How much the hub may grow while somebody does not read, in bytes. What is kept for one is bounded by less.
const GROWTH: u64 = 64 * 1024 * 1024;
/// How long everybody may take to have what was published.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(60);

/// How large a run is.
#[derive(Debug, Clone, Copy)]
struct Size {
    subscribers: usize,
    /// How many events there are before anybody comes: as many as a hub keeps at hand.
    fill: usize,
    /// Pairs of runs, with and without.
    pairs: usize,
    /// How many events come first, so that the buffers of whoever does not read are full.
    burst: usize,
    measured: Duration,
}

pub(crate) async fn run(order: &Order, run: &Arc<Run>, table: &mut Table) -> Result<(), AnyError> {
    let size = order.either(
        Size { subscribers: 500, fill: 17_000, pairs: 7, burst: 1_500, measured: Duration::from_secs(4) },
        Size { subscribers: 25, fill: 0, pairs: 1, burst: 2_500, measured: Duration::from_secs(1) },
    );
    let mut stage = Stage::set(order, run).await?;
    let setup = stage.setup();
    let pipeline = pipelines(1)?.remove(0);
    let mut publisher = Publisher::new(&stage.hubs.url(), &pipeline, &stage.oracle, 400)?;
    publisher.open().await?;
    // What the hub keeps of a pipeline grows with its events up to a bound, whoever reads: not what is measured here.
    burst(&mut publisher, size.fill).await?;

    let latencies: Arc<Mutex<Vec<f64>>> = Arc::default();
    let mut clients: Vec<Client> = Vec::new();
    for number in 1..size.subscribers {
        let options = Options {
            keeps_state: number % 50 == 0,
            tap: Some(tap(&latencies, publisher.began())),
            ..Default::default()
        };
        let (name, address) = (format!("subscriber {number}"), stage.hubs.address());
        clients.push(client::socket::start(&setup, &name, address, None, &pipeline, options));
    }
    let lane = Lane::open(run, "stalled", &stage.hubs.targets()).await?;
    let options = Options { patience: Some(Duration::from_secs(600)), ..Default::default() };
    clients.push(client::socket::start(&setup, "stalled", lane.address(), Some(&lane), &pipeline, options));
    caught_up(&stage, &clients, &pipeline).await?;

    // The first burst fills everybody's buffers once.
    burst(&mut publisher, size.burst).await?;
    caught_up(&stage, &clients, &pipeline).await?;
    let before = stage.hubs.resident().unwrap_or_default();
    let (mut with, mut without, mut most) = (Vec::new(), Vec::new(), before);
    let healthy = clients.len() - 1;
    for number in 0..size.pairs * 2 {
        let stalls = number % 2 == 0;
        lane.stall(stalls);
        burst(&mut publisher, size.burst).await?;
        caught_up(&stage, &clients[..healthy], &pipeline).await?;
        latencies.lock().clear();
        measure(&mut publisher, size.measured).await?;
        caught_up(&stage, &clients[..healthy], &pipeline).await?;
        most = most.max(stage.hubs.resident().unwrap_or_default());
        let p99 = percentile(&latencies.lock(), 99.0);
        (if stalls { &mut with } else { &mut without }).push(p99);
        lane.stall(false);
        caught_up(&stage, &clients, &pipeline).await?;
    }
    let growth = most.saturating_sub(before);
    if growth > GROWTH {
        stage.fail(format!("the hub grew by {growth} bytes while one subscriber did not read"));
    }

    stage.quiet();
    let logs = stage.logs(std::slice::from_ref(&pipeline)).await?;
    let stuck = stage.whole(&clients, &logs).await;
    let findings = stage.judge(&clients, &logs, &[]);
    let counts = Stage::counts(&clients);
    let of_stalled = clients.last().map(|client| client.view.counts()).unwrap_or_default();
    stage.end();

    let (with, without) = (percentile(&with, 50.0), percentile(&without, 50.0));
    let mut row = |what: &str, value: String| table.add(LABEL, what, value);
    row("subscribers; runs with and without", format!("{}; {} each", size.subscribers, size.pairs));
    row("p99 of the others with; without, median", format!("{with:.2} ms; {without:.2} ms"));
    row("ratio", format!("{:.2}", with / without.max(f64::EPSILON)));
    row("hub's memory before; at most", format!("{} MiB; {} MiB", before >> 20, most >> 20));
    row("deliveries, each once and in order", counts.events.to_string());
    row("the stalled one: events; states", format!("{}; {}", of_stalled.events, of_stalled.snapshots));
    row("events lost; clients stuck", format!("{}; {stuck}", findings.lost));
    stage.hubs.kill().await
}

/// Notes how long each event took from its report.
fn tap(latencies: &Arc<Mutex<Vec<f64>>>, began: Instant) -> Tap {
    let latencies = latencies.clone();
    Arc::new(move |name, payload| {
        if name != "x:probe" {
            return;
        }
        let now = began.elapsed().as_secs_f64() * 1_000.0;
        let sent = serde_json::from_str::<Value>(payload).ok().and_then(|payload| payload[SENT].as_f64());
        if let Some(sent) = sent {
            latencies.lock().push(now - sent / 1_000.0);
        }
    })
}

async fn burst(publisher: &mut Publisher, events: usize) -> Result<(), AnyError> {
    for _ in 0..events / 100 {
        publisher.probe(100).await?;
    }
    Ok(())
}

async fn measure(publisher: &mut Publisher, length: Duration) -> Result<(), AnyError> {
    let until = Instant::now() + length;
    let mut tick = tokio::time::interval(Duration::from_secs_f64(1.0 / RATE));
    while Instant::now() < until {
        tick.tick().await;
        publisher.probe(1).await?;
    }
    Ok(())
}

/// Waits until these stand at the end of the sequence.
async fn caught_up(stage: &Stage, clients: &[Client], pipeline: &PipelineId) -> Result<(), AnyError> {
    let deadline = Instant::now() + CAUGHT_UP_WITHIN;
    let head = stage.oracle.acknowledged(pipeline);
    while clients.iter().any(|client| client.view.at().is_none_or(|at| at.seq < head)) {
        if Instant::now() > deadline {
            let behind = clients.iter().find(|client| client.view.at().is_none_or(|at| at.seq < head));
            if let Some(client) = behind {
                let at = client.view.at();
                client.witness.lock().fail(format!("at {at:?} and not at {head} after {CAUGHT_UP_WITHIN:?}"));
            }
            return Err("not everybody was given what was published".into());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}
