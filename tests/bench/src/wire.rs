//! A subscriber that speaks Engine.IO 4 and Socket.IO 5 over a bare WebSocket: cheap enough for thousands.

use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::SENT;

/// Follows a pipeline, and says so when it has its state, and after each event.
pub(crate) async fn echo(
    url: &str,
    pipeline: &str,
    heard: &mpsc::Sender<Result<(), String>>,
) -> Result<(), String> {
    let mut socket = open(url).await?;
    while let Some(message) = socket.next().await {
        let message = message.map_err(|error| error.to_string())?;
        let Message::Text(text) = message else { continue };
        let text = text.as_str();
        if let Some(answer) = answer(text, pipeline) {
            socket.send(Message::text(answer)).await.map_err(|error| error.to_string())?;
        } else if text.starts_with("42[\"pipeline:status\"") || text.starts_with("42[\"x:bench\"") {
            heard.send(Ok(())).await.map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

async fn open(url: &str) -> Result<WebSocketStream<MaybeTlsStream<TcpStream>>, String> {
    let address = format!("{}/socket.io/?EIO=4&transport=websocket", url.replacen("http", "ws", 1));
    connect_async(address).await.map(|(socket, _)| socket).map_err(|error| error.to_string())
}

/// What the protocol wants to be said to a frame.
fn answer(frame: &str, pipeline: &str) -> Option<String> {
    match frame.as_bytes() {
        // Engine.IO is open: connect to the namespace.
        [b'0', ..] => Some("40".to_owned()),
        [b'2', ..] => Some("3".to_owned()),
        // The namespace is open: subscribe.
        [b'4', b'0', ..] => Some(format!("420{}", json!(["subscribe", { "pipeline_id": pipeline }]))),
        _ => None,
    }
}

/// Follows a pipeline until `total` events have come, in order; gives the latency of each in microseconds.
pub(crate) async fn follow(
    url: &str,
    pipeline: &str,
    total: u64,
    connected: &AtomicU64,
    micros: impl Fn() -> u64,
) -> Result<Vec<u64>, String> {
    let mut socket = open(url).await?;
    let mut seen = Vec::new();
    while let Some(message) = socket.next().await {
        let message = message.map_err(|error| error.to_string())?;
        let now = micros();
        let Message::Text(text) = message else { continue };
        let text = text.as_str();
        if let Some(answer) = answer(text, pipeline) {
            socket.send(Message::text(answer)).await.map_err(|error| error.to_string())?;
            continue;
        }
        let Some(event) = text.strip_prefix("42") else { continue };
        if event.starts_with("[\"pipeline:status\"") {
            connected.fetch_add(1, Ordering::SeqCst);
            continue;
        }
        if !event.starts_with("[\"x:bench\"") {
            continue;
        }
        let event: Value = serde_json::from_str(event).map_err(|error| error.to_string())?;
        let (sent, number) = (event[1][SENT].as_u64(), event[1]["number"].as_u64());
        if number != Some(seen.len() as u64) {
            return Err(format!("got {number:?} where {} was next", seen.len()));
        }
        seen.push(now.saturating_sub(sent.unwrap_or(now)));
        if seen.len() as u64 == total {
            return Ok(seen);
        }
    }
    Err("the connection ended".to_owned())
}
