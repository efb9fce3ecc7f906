//! How a run behaves.
//!
//! Comes in: a folder and, where wanted, other numbers than the defaults. Never: the environment or the command
//! line (the caller's business); nothing is read from disk here.

use std::path::PathBuf;
use std::time::Duration;

use crate::error::PipelineError;

/// When a run ends and how it notices changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Goes over the folder once and returns.
    Once,
    /// Stays, and compares the folder every `check_interval` only: for file systems that report no changes.
    Poll,
    /// Stays, acts on changes at once, and compares every `check_interval` besides.
    #[default]
    Watch,
}

/// How a run behaves. Made by [`Config::new`]; every field may be changed after.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// The folder to ingest.
    pub root: PathBuf,
    /// Where chunks and vectors are kept: a file that is made if it is not there.
    pub store: PathBuf,
    /// When the run ends.
    pub mode: Mode,
    /// How often the whole folder is compared, as a net below the watcher.
    pub check_interval: Duration,
    /// How long the folder must be quiet before changes are acted on; at most eight times that in a lasting storm.
    pub debounce: Duration,
    /// Files worked on at once.
    pub workers: usize,
    /// More files than this are left out, and said so in the status.
    pub max_files: usize,
    /// Larger files are skipped. Memory use is about `workers` times a small multiple of this.
    pub max_file_size: u64,
    /// Files with more text than this, in bytes, are skipped: guards against archives that unpack without end.
    pub max_text_size: usize,
    /// How long one parser or splitter may take for one file.
    pub parser_timeout: Duration,
    /// Largest chunk in characters.
    pub chunk_size: usize,
    /// Characters that neighbouring chunks share.
    pub chunk_overlap: usize,
}

impl Config {
    /// The defaults for a folder and a store.
    pub fn new(root: impl Into<PathBuf>, store: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            store: store.into(),
            mode: Mode::default(),
            check_interval: Duration::from_secs(60),
            debounce: Duration::from_millis(200),
            workers: std::thread::available_parallelism().map_or(2, usize::from),
            max_files: 200_000,
            max_file_size: 64 << 20,
            max_text_size: 32 << 20,
            parser_timeout: Duration::from_secs(60),
            chunk_size: 1_000,
            chunk_overlap: 100,
        }
    }

    /// Refuses numbers that cannot work.
    pub(crate) fn check(&self) -> Result<(), PipelineError> {
        let bad = |why: &str| Err(PipelineError::Config(why.to_owned()));
        if !(1..=256).contains(&self.workers) {
            return bad("workers must be between 1 and 256");
        }
        if self.check_interval < Duration::from_millis(10) {
            return bad("check_interval must be at least 10 ms");
        }
        if self.parser_timeout.is_zero() {
            return bad("parser_timeout must not be zero");
        }
        if self.chunk_size == 0 || self.chunk_overlap >= self.chunk_size {
            return bad("chunk_overlap must be smaller than chunk_size");
        }
        Ok(())
    }

    /// What the stored vectors depend on besides a file's content. When it changes, unchanged files are done again.
    pub(crate) fn recipe(&self) -> String {
        format!("1;{};{}/{}", crate::embed::HashedNgramVectorizer::NAME, self.chunk_size, self.chunk_overlap)
    }
}
