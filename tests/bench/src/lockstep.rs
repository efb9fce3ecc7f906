//! `lockstep`: one event at a time, the next when everybody has the last. What a hub does then is nearly the same in
//! every run, so that its instructions can be counted and compared.

use clap::Args;
use serde_json::json;
use tokio::sync::mpsc;

use crate::hub::ServedHub;
use crate::{AnyError, PIPELINE, wire};

#[derive(Args)]
pub(crate) struct Options {
    /// The hub's program.
    #[arg(long, env = "RAGPULSE_BIN")]
    bin: std::path::PathBuf,
    /// How many subscribers.
    #[arg(long)]
    subscribers: usize,
    /// How many events.
    #[arg(long)]
    events: u64,
}

/// Delivers so many events to so many subscribers.
pub(crate) async fn run(options: Options) -> Result<bool, AnyError> {
    let Options { bin, subscribers, events } = options;
    let hub = ServedHub::start(&bin, "memory:").await?;
    let http = reqwest::Client::builder().no_proxy().build()?;
    let publish = async |event: serde_json::Value| -> Result<(), AnyError> {
        let request = http.post(format!("{}/api/pipelines/{PIPELINE}/events", hub.url));
        let request = request.header("content-type", "application/json").body(event.to_string());
        request.send().await?.error_for_status()?;
        Ok(())
    };
    publish(json!({ "event": "pipeline:online", "data": { "pipeline_type": "local_files" } })).await?;
    let (heard, mut hears) = mpsc::channel::<Result<(), String>>(subscribers.max(1));
    for _ in 0..subscribers {
        let (url, heard) = (hub.url.clone(), heard.clone());
        tokio::spawn(async move {
            if let Err(error) = wire::echo(&url, PIPELINE, &heard).await {
                let _ = heard.send(Err(error)).await;
            }
        });
        // One after the other, each with its state.
        hears.recv().await.ok_or("the subscriber is gone")??;
    }
    for number in 0..events {
        publish(json!({ "event": "x:bench", "data": { "number": number } })).await?;
        for _ in 0..subscribers {
            hears.recv().await.ok_or("the subscribers are gone")??;
        }
    }
    hub.end().await?;
    Ok(true)
}
