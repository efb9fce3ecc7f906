//! A small application with a hub in it: `POST /ingest?name=…` takes a text, and the hub shows what becomes of it.
//!
//! The application owns its routes, its listener and its shutdown; of RagPulse it has a router, a layer and a handle.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use ragpulse_protocol::Problem;
use ragpulse_protocol::parts::{ErrorReport, FileReport, Results, SkipReason};
use ragpulse_server::{BuildError, Config, Hub, PipelineGuard};
use serde_json::json;

/// What the application's own routes share.
#[derive(Clone)]
pub struct App {
    pipeline: Arc<PipelineGuard>,
}

/// Why the application did not start.
#[derive(Debug)]
pub enum StartError {
    /// The hub was not built.
    Build(BuildError),
    /// The hub did not take the pipeline.
    Report(Problem),
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Build(error) => error.fmt(f),
            Self::Report(problem) => problem.fmt(f),
        }
    }
}

impl std::error::Error for StartError {}

/// Builds the application: its own routes, the hub's routes beside them, Socket.IO around both.
///
/// # Errors
/// When the hub cannot be built or does not take the pipeline.
pub async fn app() -> Result<(Router, Hub), StartError> {
    let mut config = Config::default();
    // `/` is the application's own, so the dashboard stays off.
    config.dashboard = false;
    let parts = Hub::builder().config(config).build().map_err(StartError::Build)?;
    let hub = parts.hub.clone();
    let pipeline = hub
        .pipeline("uploads", "local_files")
        .map_err(StartError::Report)?
        .watch_location("POST /ingest")
        .start()
        .await
        .map_err(StartError::Report)?;
    let own = Router::new()
        .route("/", get(|| async { "an application with a hub in it" }))
        .route("/ingest", post(ingest))
        .with_state(App { pipeline: Arc::new(pipeline) });
    Ok((own.merge(parts.router).layer(parts.layer), hub))
}

#[derive(serde::Deserialize)]
struct Upload {
    name: String,
}

/// Takes a text in, reporting each step. Whatever way this function is left, the file ends.
async fn ingest(
    State(app): State<App>,
    Query(upload): Query<Upload>,
    text: String,
) -> Result<String, (StatusCode, String)> {
    let refused = |problem: Problem| (StatusCode::BAD_GATEWAY, problem.to_string());
    let file = FileReport { size: Some(text.len() as u64), ..FileReport::named(&upload.name) };
    let mut file = app.pipeline.file(file).begin().await.map_err(refused)?;
    if text.trim().is_empty() {
        file.skipped(SkipReason::Empty).await.map_err(refused)?;
        return Ok("nothing to do".to_owned());
    }
    if text.contains('\0') {
        let error = ErrorReport { message: "it holds a NUL".to_owned(), ..ErrorReport::default() };
        file.failed(error).await.map_err(refused)?;
        return Err((StatusCode::UNPROCESSABLE_ENTITY, "not a text".to_owned()));
    }
    // Leaving here drops the guard: the file is reported as interrupted, with nobody having to think of it.
    if text == "leave" {
        return Err((StatusCode::INTERNAL_SERVER_ERROR, "left in the middle".to_owned()));
    }
    let paragraphs: Vec<&str> = text.split("\n\n").collect();
    for (done, _) in paragraphs.iter().enumerate() {
        #[allow(clippy::cast_precision_loss)]
        let part = (done + 1) as f64 / paragraphs.len() as f64;
        file.progress("chunking", part).await.map_err(refused)?;
    }
    let results = Results { chunks_created: Some(paragraphs.len() as u64), ..Results::default() };
    file.completed_with(results).await.map_err(refused)?;
    Ok(json!({ "chunks": paragraphs.len() }).to_string())
}
