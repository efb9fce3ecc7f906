//! A subscriber that speaks Engine.IO 4 and Socket.IO 5 over a bare WebSocket: cheap enough for thousands.

use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

use crate::SENT;

/// Follows a pipeline until `total` events have come, in order; gives the latency of each in microseconds.
pub(crate) async fn follow(
    url: &str,
    pipeline: &str,
    total: u64,
    connected: &AtomicU64,
    micros: impl Fn() -> u64,
) -> Result<Vec<u64>, String> {
    let address = format!("{}/socket.io/?EIO=4&transport=websocket", url.replacen("http", "ws", 1));
    let (mut socket, _) = connect_async(address).await.map_err(|error| error.to_string())?;
    let mut seen = Vec::new();
    while let Some(message) = socket.next().await {
        let message = message.map_err(|error| error.to_string())?;
        let now = micros();
        let Message::Text(text) = message else { continue };
        let text = text.as_str();
        let answer = match text.as_bytes() {
            // Engine.IO is open: connect to the namespace.
            [b'0', ..] => Some("40".to_owned()),
            [b'2', ..] => Some("3".to_owned()),
            // The namespace is open: subscribe.
            [b'4', b'0', ..] => Some(format!("420{}", json!(["subscribe", { "pipeline_id": pipeline }]))),
            _ => None,
        };
        if let Some(answer) = answer {
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
