//! The real `local_files` RAG ingestion pipeline that `ragpulse demo` runs over a folder.
//!
//! In comes a directory; out go [`PipelineEvent`]s to a [`Sink`] and chunks with vectors to an SQLite [`Store`].
//! It never uses the network, never writes inside the folder it reads (unless the store is put there), and knows
//! nothing of the hub: an adapter turns its events into reports.
//!
//! The promise the rest is built around: **every file that is announced (`Queued`) reaches exactly one end**
//! (`Completed`, `Failed`, `Skipped` or `Deleted`), whatever happens: a parser panics or hangs, the disk fails, the
//! file vanishes in the middle, the process is asked to stop. It is kept by construction: the only thing that can
//! announce a file is `open_file::OpenFile`, and dropping one without an end reports a failure.
#![warn(missing_docs)]

mod catalog;
mod chunk;
mod config;
mod coordinator;
mod debounce;
mod embed;
mod error;
mod event;
mod extract;
mod guard;
mod identity;
mod open_file;
mod pipeline;
mod scan;
mod shutdown;
mod sniff;
mod store;
mod watch;
mod worker;

pub use chunk::{Chunk, Chunker};
pub use config::{Config, Mode};
pub use embed::HashedNgramVectorizer;
pub use error::{FileError, PipelineError, error_type};
pub use event::{Change, FileInfo, OfflineReason, PipelineEvent, Sink, SkipReason, Stage, Unit};
pub use extract::{ExtractError, Extracted, ParseContext, Parser};
pub use identity::file_id;
pub use pipeline::{Pipeline, Summary};
pub use shutdown::Shutdown;
pub use store::{Hit, Store, StoreError};
