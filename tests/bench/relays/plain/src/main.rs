//! A relay of events as the seed's plan has it, on socketioxide with its default settings: a room for each pipeline, and
//! the last state for who subscribes. No log, no sequence, no resume, no doors. Neither crippled nor tuned: what a hub is
//! measured against; see docs/benchmarks.md.
//!
//! `TCP_NODELAY` is set because Node's and uvicorn's servers set it by themselves; without it latencies would be those of
//! Nagle's algorithm.
//!
//! *What may come in:* well-meant requests on loopback. *What it never does:* serve anybody but a benchmark.

mod state;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::serve::ListenerExt;
use serde::Deserialize;
use serde_json::{Value, json};
use socketioxide::SocketIo;
use socketioxide::extract::{Data, SocketRef};
use tokio::net::TcpListener;

use crate::state::States;

/// What a reporter sends.
#[derive(Deserialize)]
struct Event {
    event: String,
    #[serde(default)]
    data: Value,
}

#[derive(Deserialize)]
struct Subscribe {
    pipeline_id: String,
}

#[derive(Clone)]
struct App {
    io: SocketIo,
    states: Arc<States>,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let states = Arc::new(States::default());
    let (layer, io) = SocketIo::new_layer();
    let known = states.clone();
    io.ns("/", async move |socket: SocketRef| {
        socket.on("subscribe", async move |socket: SocketRef, Data(wanted): Data<Subscribe>| {
            let state = known.of(&wanted.pipeline_id);
            socket.join(wanted.pipeline_id);
            let _ = socket.emit("pipeline:status", &state);
        });
        socket.on("unsubscribe", async |socket: SocketRef, Data(wanted): Data<Subscribe>| {
            socket.leave(wanted.pipeline_id);
        });
    });
    let app = Router::new()
        .route("/api/pipelines/{id}/events", post(ingest))
        .route("/health", get(async || "OK"))
        .with_state(App { io, states })
        .layer(layer);
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let listener = TcpListener::bind(address).await?;
    println!("The plain relay is at http://{}", listener.local_addr()?);
    let listener = listener.tap_io(|stream| {
        let _ = stream.set_nodelay(true);
    });
    axum::serve(listener, app).await?;
    Ok(())
}

/// One event, or one a line; answered when all were emitted.
async fn ingest(
    State(app): State<App>,
    Path(pipeline): Path<String>,
    body: String,
) -> Result<axum::Json<Value>, (StatusCode, String)> {
    let events: Result<Vec<Event>, _> = serde_json::Deserializer::from_str(&body).into_iter().collect();
    let events = events.map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))?;
    let accepted = events.len();
    for Event { event, data } in events {
        app.states.apply(&pipeline, &event, &data);
        let room = app.io.to(pipeline.clone());
        // It fails where a buffer is full: then that subscriber does not get this event.
        let _ = room.emit(event, &data).await;
    }
    Ok(axum::Json(json!({ "accepted": accepted })))
}
