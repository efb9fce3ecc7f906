//! Publish → subscriber callback: a hub in a process of its own, many sockets, a steady rate of events that must arrive.
//!
//! Each subscriber checks its sequence, so a figure comes with the proof that nothing was lost, doubled or swapped. One of
//! them is a real [`ragpulse_client::Subscriber`], whose callback is what an application would see; the others speak
//! Engine.IO over a bare WebSocket, so that the generator costs less than what it measures.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use ragpulse_client::{Reporter, Subscriber, What};
use ragpulse_protocol::Report;
use serde_json::json;
use tokio::sync::{Mutex, mpsc};

use crate::hub::ServedHub;
use crate::stats::Latencies;
use crate::{AnyError, PIPELINE, SENT, wire};

#[derive(Args)]
pub(crate) struct Options {
    /// The `ragpulse` binary.
    #[arg(long, env = "RAGPULSE_BIN")]
    bin: std::path::PathBuf,
    /// How many subscribers.
    #[arg(long, default_value_t = 1_000)]
    subscribers: usize,
    /// Events a second.
    #[arg(long, default_value_t = 20)]
    rate: u32,
    /// For how many seconds.
    #[arg(long, default_value_t = 20)]
    seconds: u32,
}

pub(crate) async fn run(options: Options) -> Result<bool, AnyError> {
    let hub = ServedHub::start(&options.bin, "memory:").await?;
    let epoch = Instant::now();
    let micros = move || u64::try_from(epoch.elapsed().as_micros()).unwrap_or(u64::MAX);
    let total = u64::from(options.rate) * u64::from(options.seconds);

    let reporter = Reporter::builder(&hub.url).pipeline(PIPELINE, "local_files").build()?;
    reporter.online(Default::default()).await?;
    hub.wait_for(PIPELINE).await?;

    // What each subscriber saw: its latencies, or what is wrong with its sequence.
    let (done, mut results) = mpsc::channel::<Result<Vec<u64>, String>>(64);
    let connected = Arc::new(AtomicU64::new(0));
    for number in 1..options.subscribers {
        let (url, done, connected) = (hub.url.clone(), done.clone(), connected.clone());
        tokio::spawn(async move {
            let seen = wire::follow(&url, PIPELINE, total, &connected, micros).await;
            let _ = done.send(seen.map_err(|error| format!("subscriber {number}: {error}"))).await;
        });
    }
    let real = Arc::new(Mutex::new(Latencies::default()));
    tokio::spawn(follow(hub.url.clone(), total, connected.clone(), real.clone(), done, micros));
    let deadline = Instant::now() + Duration::from_secs(60);
    while connected.load(Ordering::SeqCst) < options.subscribers as u64 {
        if Instant::now() > deadline {
            return Err("not every subscriber connected within 60 s".into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    let cpu_before = hub.cpu_seconds();
    let mut tick = tokio::time::interval(Duration::from_secs_f64(1.0 / f64::from(options.rate)));
    for number in 0..total {
        tick.tick().await;
        let data = json!({ SENT: micros(), "number": number });
        let data = data.as_object().cloned().unwrap_or_default();
        reporter.report(Report::Custom { name: "x:bench".to_owned(), data }).await?;
    }
    let mut latencies = Latencies::default();
    let mut broken = Vec::new();
    for _ in 0..options.subscribers {
        match tokio::time::timeout(Duration::from_secs(30), results.recv()).await {
            Ok(Some(Ok(seen))) => latencies.extend(seen),
            Ok(Some(Err(error))) => broken.push(error),
            _ => broken.push("a subscriber did not get everything within 30 s after the end".to_owned()),
        }
    }
    let cpu = hub.cpu_seconds() - cpu_before;
    reporter.close(Duration::from_secs(5)).await?;
    hub.stop().await;

    let deliveries = latencies.len();
    let expected = total * options.subscribers as u64;
    println!(
        "{} subscribers, {} events/s for {} s, on {} cores",
        options.subscribers,
        options.rate,
        options.seconds,
        std::thread::available_parallelism().map_or(1, usize::from)
    );
    println!("{:<28} {:>9} {:>9} {:>9} {:>9}", "publish → callback, ms", "p50", "p99", "p99.9", "max");
    println!("{:<28} {}", "  all sockets", latencies.line());
    println!("{:<28} {}", "  ragpulse-client Subscriber", real.lock().await.line());
    println!("delivered {deliveries} of {expected}, each once and in order");
    if deliveries > 0 {
        #[allow(clippy::cast_precision_loss)]
        let each = cpu * 1e6 / deliveries as f64;
        println!("hub: {cpu:.2} s of CPU, {each:.1} µs a delivery");
    }
    for error in broken.iter().take(5) {
        println!("broken: {error}");
    }
    let within = latencies.percentile(99.0) < 100_000;
    let whole = broken.is_empty() && deliveries as u64 == expected;
    println!("p99 under 100 ms: {}; nothing lost: {}", yes(within), yes(whole));
    Ok(within && whole)
}

fn yes(holds: bool) -> &'static str {
    if holds { "yes" } else { "NO" }
}

/// The subscriber that an application would use.
async fn follow(
    url: String,
    total: u64,
    connected: Arc<AtomicU64>,
    latencies: Arc<Mutex<Latencies>>,
    done: mpsc::Sender<Result<Vec<u64>, String>>,
    micros: impl Fn() -> u64,
) {
    let mut seen = Vec::new();
    let result = async {
        let mut subscriber =
            Subscriber::builder(&url).pipeline(PIPELINE).connect().map_err(|error| error.to_string())?;
        let mut next = 0;
        while let Some(update) = subscriber.recv().await {
            let event = match update.what {
                What::Snapshot { .. } => {
                    connected.fetch_add(1, Ordering::SeqCst);
                    continue;
                }
                What::Event(event) => event,
                _ => continue,
            };
            let now = micros();
            let payload = event.payload();
            let (Some(sent), Some(number)) = (payload[SENT].as_u64(), payload["number"].as_u64()) else {
                continue;
            };
            if number != next {
                return Err(format!("the client's subscriber got {number} where {next} was next"));
            }
            next += 1;
            seen.push(now.saturating_sub(sent));
            if next == total {
                return Ok(());
            }
        }
        Err("the client's subscriber ended".to_owned())
    }
    .await;
    latencies.lock().await.extend(seen.clone());
    let _ = done.send(result.map(|()| seen)).await;
}
