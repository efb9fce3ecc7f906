//! What the pipeline tells the world, and the trait it tells it through.
//!
//! Comes in: nothing; these are plain values made by the pipeline. Never: a wire format (the adapter in front of
//! the hub owns that), nor a clock of its own.

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// Receives what happens to files, in the order it happens. Called from the pipeline's threads; must not block long.
///
/// Events of one file come in order from one thread at a time; events of different files may come concurrently.
/// A sink that panics loses that event and nothing else.
pub trait Sink: Send + Sync {
    /// Takes one event.
    fn event(&self, event: PipelineEvent);
}

impl<F: Fn(PipelineEvent) + Send + Sync> Sink for F {
    fn event(&self, event: PipelineEvent) {
        self(event);
    }
}

/// A file as every event about it names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileInfo {
    /// MD5 of the absolute path, in hex: two files of one name in different folders differ.
    pub id: String,
    /// The last part of the path.
    pub name: String,
    /// Relative to the watched folder, with `/` between the parts.
    pub path: String,
    /// Size in bytes when the file was last looked at.
    pub size: u64,
    /// Media type guessed from the name; `application/octet-stream` where the name tells nothing.
    pub mime_type: String,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum PipelineEvent {
    /// The pipeline has started. The first event of a run.
    Online {
        /// The absolute path of the folder.
        watch_location: PathBuf,
        /// How often the whole folder is compared, whatever the watcher says.
        check_interval: Duration,
    },
    /// A file waits for its turn. Opens an attempt, which reaches exactly one end.
    Queued {
        /// The file.
        file: FileInfo,
        /// What happened to it; none where nothing is known to have changed (a re-check at the start).
        change: Option<Change>,
    },
    /// Work on a file has begun. Once per attempt.
    Processing {
        /// The file.
        file: FileInfo,
        /// The first stage.
        stage: Stage,
    },
    /// How far a file has come. A later stage begins with an event of its own, at the latest one before its end.
    Progress {
        /// The file.
        file: FileInfo,
        /// The stage it is in.
        stage: Stage,
        /// Of the whole file, over all stages: 0 to 1, never falling within an attempt.
        progress: f64,
        /// Units done in this stage.
        current: Option<u64>,
        /// Units in this stage.
        total: Option<u64>,
        /// What is counted.
        unit: Option<Unit>,
    },
    /// An end: the file's chunks and vectors are in the store and can be found.
    Completed {
        /// The file.
        file: FileInfo,
        /// Chunks stored.
        chunks_created: usize,
        /// Vectors stored.
        embeddings_generated: usize,
        /// Seconds of work, waiting excluded.
        processing_duration: f64,
        /// Characters of text extracted.
        content_length: usize,
        /// What went not quite right.
        warnings: Vec<String>,
    },
    /// An end: what went wrong. What an earlier run stored of the file is kept and can still be found.
    Failed {
        /// The file.
        file: FileInfo,
        /// One of [`crate::error_type`].
        error_type: &'static str,
        /// The real cause, in one line.
        message: String,
        /// Where it happened; none if work had not begun.
        stage: Option<Stage>,
        /// Whether trying again without a change of the file can help.
        retryable: bool,
    },
    /// An end: nothing to do, and why.
    Skipped {
        /// The file.
        file: FileInfo,
        /// Why.
        reason: SkipReason,
        /// More about it, such as the type that is not supported.
        detail: Option<String>,
        /// The id of the file with the same content, for [`SkipReason::Duplicate`].
        duplicate_of: Option<String>,
    },
    /// An end: the file is gone, and so is what was stored of it.
    Deleted {
        /// The file as it was last seen.
        file: FileInfo,
        /// Chunks removed from the store.
        chunks_deleted: usize,
    },
    /// The pipeline's own state changed.
    Status {
        /// Whether the folder is being compared right now.
        is_checking: bool,
        /// When the folder was last compared.
        last_check_time: Option<SystemTime>,
        /// When it will be compared next at the latest; none when this run ends by itself.
        next_check_time: Option<SystemTime>,
        /// Files in the folder that the pipeline looks after.
        known: usize,
        /// Files left out because there are more than the configured maximum.
        over_limit: usize,
        /// Whether changes are noticed at once; if not, only by the regular comparison.
        watching: bool,
        /// What the last comparison could not read, if anything.
        last_error: Option<String>,
    },
    /// The last event of a run. All files have reached their ends before it.
    Offline {
        /// Why.
        reason: OfflineReason,
    },
}

impl PipelineEvent {
    /// The file this is about, if it is about one.
    pub fn file(&self) -> Option<&FileInfo> {
        match self {
            Self::Queued { file, .. }
            | Self::Processing { file, .. }
            | Self::Progress { file, .. }
            | Self::Completed { file, .. }
            | Self::Failed { file, .. }
            | Self::Skipped { file, .. }
            | Self::Deleted { file, .. } => Some(file),
            Self::Online { .. } | Self::Status { .. } | Self::Offline { .. } => None,
        }
    }

    /// Whether this ends an attempt.
    pub fn is_end(&self) -> bool {
        matches!(
            self,
            Self::Completed { .. } | Self::Failed { .. } | Self::Skipped { .. } | Self::Deleted { .. }
        )
    }
}

/// Gives an enum of plain names its wire spelling, so that adapter and tests need no table of their own.
macro_rules! names {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident => $wire:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// The name used on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $wire,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

names! {
    /// What happened to a file on disk.
    Change {
        /// It was not there before.
        Created => "created",
        /// Its size, time or content differs.
        Modified => "modified",
        /// It is gone, or no longer looked after.
        Deleted => "deleted",
    }
}

names! {
    /// The steps of a file through the pipeline, in order.
    Stage {
        /// Reading it and getting its text.
        Extraction => "extraction",
        /// Cutting the text.
        Chunking => "chunking",
        /// Making vectors of the pieces.
        Embedding => "embedding",
        /// Writing pieces and vectors to the store.
        Storing => "storing",
    }
}

names! {
    /// What `current` and `total` of a progress event count.
    Unit {
        /// Pages of a document.
        Pages => "pages",
        /// Pieces of text.
        Chunks => "chunks",
        /// Bytes of text.
        Bytes => "bytes",
    }
}

names! {
    /// Why a file was skipped.
    SkipReason {
        /// Its content is in the store already.
        Unchanged => "unchanged",
        /// Another file with the same content is in the store: a second copy would only crowd search results.
        Duplicate => "duplicate",
        /// Not a type text can be taken from; the detail names it.
        Unsupported => "unsupported",
        /// No text in it: zero bytes, only white space, or a scan without a text layer.
        Empty => "empty",
        /// More bytes or more text than the configured limit.
        TooLarge => "too_large",
    }
}

names! {
    /// Why a run ended.
    OfflineReason {
        /// Asked to, or done.
        NormalShutdown => "normal_shutdown",
        /// The run itself failed.
        Error => "error",
    }
}
