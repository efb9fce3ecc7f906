//! The RagPulse hub as a library for any axum application.
//!
//! *What it is for:* it takes events from reporters, gives them their place in a pipeline's sequence, folds them into
//! states and brings both to subscribers — over Socket.IO, and over HTTP with the same cursor.
//!
//! *What it never does:* open a listener, start a runtime or install a signal handler. The host owns these; the
//! [`service`] module helps a host that has nothing else to do, and has [`service::Connections`] for one that runs a
//! listener of its own: without them a peer that takes nothing keeps its connection beyond the hub's close.
//!
//! The way of the data, one room per step:
//!
//! ```text
//! transport ─► ingest ─► writer ─► log ─► tail ─► room ─► transport
//!  thin        admit     conflate  seq    one     state,   socket: a position in the room's ring
//!              (pure)    leases    dedupe order   ring     http: reads from the ring or the log
//! ```
//!
//! ```no_run
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let parts = ragpulse_server::Hub::builder().build()?;
//! let hub = parts.hub.clone();
//! let app = axum::Router::new()
//!     .route("/", axum::routing::get(|| async { "my own page" }))
//!     .merge(parts.router)
//!     .layer(parts.layer);
//! let pipeline = hub.pipeline("local-files-pipeline", "local_files")?.start().await?;
//! let mut file = pipeline.file("report.pdf").begin().await?;
//! file.progress("extraction", 0.5).await?;
//! file.completed().await?;
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8103").await?;
//! axum::serve(listener, app).await?;
//! # Ok(()) }
//! ```

mod address;
pub mod auth;
pub mod clock;
pub mod config;
mod doors;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod guard;
mod hub;
mod ingest;
mod limits;
pub mod log;
pub mod metrics;
mod request_id;
pub mod service;
mod transport;

pub use auth::{Act, Authoriser, Keys, Principal, Role};
pub use config::{Advice, Config, ConfigError};
pub use guard::{FileGuard, PipelineBuilder, PipelineGuard};
pub use hub::{
    BuildError, ClientReports, FallbacksByCause, Hub, HubBuilder, HubParts, LATENCY_BOUNDS_MS,
    LatencyHistogram, ReportsByTransport, Stats,
};
pub use transport::HubLayer;
