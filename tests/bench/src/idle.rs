//! `idle`: what a hub keeps in memory for each connection that is subscribed and hears nothing.
//!
//! What is resident after, less what was before, by the number of connections; read from the kernel, so with everything the
//! allocator holds on to. Linux only.

use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;
use tokio::sync::mpsc;

use crate::hub::ServedHub;
use crate::{AnyError, PIPELINE, wire};

/// How many connections are opened at a time.
const AT_ONCE: usize = 64;
/// What is resident counts once it has been the same, within a few pages, for so many looks in a row.
const STEADY: usize = 5;
const LOOK: Duration = Duration::from_millis(400);
const NEARLY: u64 = 64 * 1024;

#[derive(Args)]
pub(crate) struct Options {
    /// The hub's program.
    #[arg(long, env = "RAGPULSE_BIN")]
    bin: std::path::PathBuf,
    /// How many connections are opened, each subscribed.
    #[arg(long)]
    connections: usize,
    /// How many kB each may cost; more is a failure.
    #[arg(long, value_name = "KB")]
    most: Option<f64>,
    /// The store of the hub that is started.
    #[arg(long, default_value = "memory:")]
    store: String,
}

/// Opens so many connections, and tells what each costs. Whether that is at most so many kB, where they are limited.
pub(crate) async fn run(options: Options) -> Result<bool, AnyError> {
    let Options { bin, connections, most, store } = options;
    let hub = ServedHub::start(&bin, &store).await?;
    let http = reqwest::Client::builder().no_proxy().build()?;
    let online = json!([
        { "event": "pipeline:online", "data": { "pipeline_type": "local_files" } },
        { "event": "file:queued", "data": { "file": { "name": "a.pdf" } } },
    ]);
    let request = http.post(format!("{}/api/pipelines/{PIPELINE}/events", hub.url));
    request
        .header("content-type", "application/json")
        .body(online.to_string())
        .send()
        .await?
        .error_for_status()?;
    drop(http);
    hub.wait_for(PIPELINE).await?;
    let before = settled(&hub).await?;
    let (heard, mut hears) = mpsc::channel::<Result<(), String>>(AT_ONCE);
    let (mut opened, mut there) = (0, 0);
    while there < connections {
        while opened < connections && opened - there < AT_ONCE {
            let (url, heard) = (hub.url.clone(), heard.clone());
            opened += 1;
            tokio::spawn(async move {
                let ended = wire::echo(&url, PIPELINE, &heard).await;
                let ended = ended.err().unwrap_or_else(|| "a connection ended".to_owned());
                let _ = heard.send(Err(ended)).await;
            });
        }
        hears.recv().await.ok_or("nobody is there")??;
        there += 1;
    }
    let after = settled(&hub).await?;
    if let Ok(Err(error)) = hears.try_recv() {
        return Err(error.into());
    }
    #[allow(clippy::cast_precision_loss)]
    let each = after.saturating_sub(before) as f64 / connections.max(1) as f64 / 1_000.0;
    println!(
        "{connections} idle connections, each subscribed: {each:.2} kB resident each ({before} → {after} bytes)"
    );
    hub.end().await?;
    Ok(most.is_none_or(|most| each <= most))
}

/// What is resident once it no longer changes.
async fn settled(hub: &ServedHub) -> Result<u64, AnyError> {
    let began = Instant::now();
    let (mut last, mut same) = (hub.resident_bytes()?, 0);
    while same < STEADY {
        if began.elapsed() > Duration::from_secs(60) {
            return Err("what the hub keeps in memory still changes after 60 s".into());
        }
        tokio::time::sleep(LOOK).await;
        let now = hub.resident_bytes()?;
        same = if now.abs_diff(last) <= NEARLY { same + 1 } else { 0 };
        last = now;
    }
    Ok(last)
}
