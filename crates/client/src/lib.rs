//! Clients of a RagPulse hub: [`Reporter`] tells it what a pipeline does to each file, [`Subscriber`] hears of it.
//!
//! *What it is for:* nothing lost, doubled or reordered between a pipeline and those who watch it, whatever the network
//! does meanwhile. *What it never does:* grow without bound, stop a pipeline for progress, or put a token into a URL.
//!
//! ```no_run
//! use futures_util::StreamExt;
//! use ragpulse_client::protocol::parts::{FileReport, Results};
//! use ragpulse_client::{Reporter, Subscriber, What};
//! use std::time::Duration;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let url = "http://127.0.0.1:8103";
//! let reporter = Reporter::builder(url).pipeline("my-docs", "local_files").build()?;
//! let mut subscriber = Subscriber::builder(url).pipeline("my-docs").connect()?;
//!
//! reporter.online(Default::default()).await?;
//! let mut file = reporter.file(FileReport::named("report.pdf"));
//! file.processing("extraction").await?;
//! file.progress("extraction", 0.5)?;
//! file.completed(Results { chunks_created: Some(12), ..Results::default() }).await?;
//! reporter.close(Duration::from_secs(5)).await?;
//!
//! while let Some(update) = subscriber.next().await {
//!     match update.what {
//!         What::Event(event) => println!("{} {}", event.shared().seq, event.name()),
//!         What::Snapshot { state, .. } => println!("{} files are done", state.counts.completed),
//!         What::Connection(connection) => println!("{connection:?}"),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | [`reporter`] | the queue that loses nothing that must arrive, and the guards that follow a file |
//! | [`subscriber`] | the session that resumes, falls back to polling and returns |
//! | [`token`] | tokens that end, and where the next one comes from |
//! | [`protocol`] | the contract: events, states, codes |
//!
//! Both parts decide in pure state machines (without I/O, with time and chance handed in) and act in one task each.

mod backoff;
mod endpoint;
pub mod reporter;
pub mod subscriber;
pub mod token;

pub use ragpulse_protocol as protocol;

pub use endpoint::{DEFAULT_URL, EndpointError, TOKEN_FILE_VARIABLE, TOKEN_VARIABLE, URL_VARIABLE};
pub use reporter::{File, ReportError, Reporter, ReporterStatus};
pub use subscriber::{
    Cause, ConnectionStatus, SubscribeError, Subscriber, Transport, TransportChoice, Update, What,
};
pub use token::{TokenFile, TokenSource};
