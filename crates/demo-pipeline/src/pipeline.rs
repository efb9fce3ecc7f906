//! The front of the crate: make a pipeline, run it, ask its store.
//!
//! Comes in: a configuration, a sink, a switch to stop it. Never: more than one `Online` and one `Offline` in a run,
//! in this order, around all other events.

use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::config::Config;
use crate::coordinator;
use crate::error::PipelineError;
use crate::event::{OfflineReason, PipelineEvent, Sink};
use crate::extract::Parser;
use crate::guard::Guard;
use crate::identity::absolute;
use crate::open_file::emit;
use crate::shutdown::Shutdown;
use crate::store::Store;
use crate::worker::Workshop;

/// How the files of a run ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Files taken into the store.
    pub completed: usize,
    /// Files that failed.
    pub failed: usize,
    /// Files with nothing to do.
    pub skipped: usize,
    /// Files found gone.
    pub deleted: usize,
    /// Chunks made, each with its vector.
    pub chunks: usize,
}

/// The ingestion pipeline over one folder.
pub struct Pipeline {
    config: Config,
    store: Store,
    parsers: Vec<Arc<dyn Parser>>,
}

impl Pipeline {
    /// Checks the configuration and opens the store. Nothing of the folder is read yet.
    ///
    /// # Errors
    /// When the folder is not there, a number cannot work, or the store cannot be opened.
    pub fn new(mut config: Config) -> Result<Self, PipelineError> {
        config.check()?;
        let bad = |cause| PipelineError::Root { path: config.root.clone(), cause };
        let root = absolute(&config.root).map_err(bad)?;
        // Reading it tells apart missing, not a folder, and not allowed.
        std::fs::read_dir(&root).map_err(bad)?;
        let store = Store::open(&config.store, &root)?;
        config.root = root;
        Ok(Self { config, store, parsers: Vec::new() })
    }

    /// Adds a parser for further kinds of files; asked before the built-in ones, in the order added.
    #[must_use]
    pub fn with_parser(mut self, parser: Arc<dyn Parser>) -> Self {
        self.parsers.push(parser);
        self
    }

    /// The chunks and vectors; may be asked while the pipeline runs, and after.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The absolute path of the folder.
    pub fn root(&self) -> &Path {
        &self.config.root
    }

    /// Runs on the calling thread until the mode or `shutdown` ends it, and tells how the files ended.
    ///
    /// When it returns, every file that was queued has reached its end and the sink will get no more events.
    /// Panics of parsers are kept off the terminal by a panic hook, which is set for the process at the first run and
    /// passes all other panics on to the hook that was set before.
    ///
    /// # Errors
    /// When the store cannot be read at the start or no thread can be had.
    pub fn run(&self, sink: Arc<dyn Sink>, shutdown: &Shutdown) -> Result<Summary, PipelineError> {
        let counting = Arc::new(Counting { sink, summary: Mutex::default() });
        let mut online = Online::announce(Arc::clone(&counting), &self.config);
        let shop = Workshop {
            config: self.config.clone(),
            recipe: self.config.recipe(),
            root: self.config.root.clone(),
            store: self.store.clone(),
            parsers: self.parsers.clone(),
            guard: Guard::new(self.config.parser_timeout, self.config.max_text_size, shutdown.clone()),
            shutdown: shutdown.clone(),
        };
        coordinator::run(&shop, Arc::clone(&counting) as Arc<dyn Sink>)?;
        online.reason = OfflineReason::NormalShutdown;
        drop(online);
        let summary = *counting.summary.lock();
        Ok(summary)
    }
}

/// Between its making and its drop the pipeline is online.
struct Online {
    sink: Arc<Counting>,
    reason: OfflineReason,
}

impl Online {
    fn announce(sink: Arc<Counting>, config: &Config) -> Self {
        let event = PipelineEvent::Online {
            watch_location: config.root.clone(),
            check_interval: config.check_interval,
        };
        emit(&*sink, event);
        Self { sink, reason: OfflineReason::Error }
    }
}

impl Drop for Online {
    fn drop(&mut self) {
        emit(&*self.sink, PipelineEvent::Offline { reason: self.reason });
    }
}

/// Counts ends on their way to the sink.
struct Counting {
    sink: Arc<dyn Sink>,
    summary: Mutex<Summary>,
}

impl Sink for Counting {
    fn event(&self, event: PipelineEvent) {
        {
            let mut summary = self.summary.lock();
            match &event {
                PipelineEvent::Completed { chunks_created, .. } => {
                    summary.completed += 1;
                    summary.chunks += chunks_created;
                }
                PipelineEvent::Failed { .. } => summary.failed += 1,
                PipelineEvent::Skipped { .. } => summary.skipped += 1,
                PipelineEvent::Deleted { .. } => summary.deleted += 1,
                _ => {}
            }
        }
        self.sink.event(event);
    }
}
