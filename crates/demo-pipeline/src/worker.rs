//! Takes one announced file through all stages to its end.
//!
//! Comes in: an open file and where it is. Never: a file left open; two workers on one file (the coordinator sees to
//! that); or a store that holds content which the file no longer has, except after a failure, when the last good
//! version stays findable.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::chunk::{Chunk, Chunker};
use crate::config::Config;
use crate::embed::HashedNgramVectorizer;
use crate::error::{FileError, error_type};
use crate::event::{SkipReason, Stage, Unit};
use crate::extract::{ExtractError, Extracted, Parser, extract};
use crate::guard::{Guard, GuardError};
use crate::open_file::{OpenFile, Tick};
use crate::shutdown::Shutdown;
use crate::sniff;
use crate::store::{NewFile, Replaced, Store, StoreError};

/// Chunks between two reports: often enough to see it move, seldom enough not to cost more than the work.
const EMBED_STEP: usize = 32;

/// What the workers of a run share.
pub(crate) struct Workshop {
    pub(crate) config: Config,
    pub(crate) recipe: String,
    pub(crate) root: PathBuf,
    pub(crate) store: Store,
    pub(crate) parsers: Vec<Arc<dyn Parser>>,
    pub(crate) guard: Guard,
    pub(crate) shutdown: Shutdown,
}

/// How a file ended, as far as the coordinator must know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// In the store: just now, or still.
    Indexed { fresh: bool },
    /// Not in the store, since this other file with the same content is.
    DuplicateOf(String),
    /// Not in the store, and rightly so.
    LeftOut,
    /// What was stored before, if anything, still is.
    Failed { retryable: bool },
    /// Not on disk any more, nor in the store.
    Gone,
}

enum End {
    Completed { chunks: usize, content_length: usize, warnings: Vec<String> },
    Skipped { reason: SkipReason, detail: Option<String> },
    Duplicate(String),
    Gone(usize),
}

enum Content {
    /// With the time of its last change.
    Read(Vec<u8>, i64),
    TooLarge(u64),
    Gone,
}

impl Workshop {
    /// Does the file, and reports its end.
    pub(crate) fn process(&self, path: &Path, mut open: OpenFile) -> Outcome {
        open.begin();
        match self.work(path, &mut open) {
            Ok(End::Completed { chunks, content_length, warnings }) => {
                open.complete(chunks, content_length, warnings);
                Outcome::Indexed { fresh: true }
            }
            Ok(End::Skipped { reason, detail }) => {
                open.skip(reason, detail, None);
                if reason == SkipReason::Unchanged {
                    Outcome::Indexed { fresh: false }
                } else {
                    Outcome::LeftOut
                }
            }
            Ok(End::Duplicate(of)) => {
                open.skip(SkipReason::Duplicate, None, Some(of.clone()));
                Outcome::DuplicateOf(of)
            }
            Ok(End::Gone(chunks)) => {
                open.delete(chunks);
                Outcome::Gone
            }
            Err(error) => {
                let retryable = error.retryable;
                open.fail(error);
                Outcome::Failed { retryable }
            }
        }
    }

    fn work(&self, path: &Path, open: &mut OpenFile) -> Result<End, FileError> {
        let id = open.file().id.clone();
        let (bytes, modified_ns) = match self.read(path)? {
            Content::Read(bytes, modified_ns) => (bytes, modified_ns),
            Content::Gone => return Ok(End::Gone(self.store.remove(&id).map_err(stored)?.unwrap_or(0))),
            Content::TooLarge(size) => {
                open.set_size(size);
                let detail = format!("over {} bytes", self.config.max_file_size);
                return self.leave_out(&id, SkipReason::TooLarge, detail);
            }
        };
        open.set_size(bytes.len() as u64);
        if bytes.is_empty() {
            return self.leave_out(&id, SkipReason::Empty, "0 bytes".into());
        }
        let hash = Sha256::digest(&bytes);
        if self.store.is_current(&id, &hash, &self.recipe).map_err(stored)? {
            return Ok(End::Skipped { reason: SkipReason::Unchanged, detail: None });
        }
        if let Some(twin) = self.store.twin(&id, &hash).map_err(stored)? {
            self.store.remove(&id).map_err(stored)?;
            return Ok(End::Duplicate(twin));
        }

        let extracted = match self.extract(path, bytes, open)? {
            Ok(extracted) => extracted,
            Err(ExtractError::Unsupported(name)) => {
                return self.leave_out(&id, SkipReason::Unsupported, name);
            }
            Err(ExtractError::TooLarge(limit)) => {
                return self.leave_out(&id, SkipReason::TooLarge, format!("over {limit} bytes of text"));
            }
            Err(ExtractError::Encrypted(why)) => {
                return Err(FileError::new(error_type::ENCRYPTED, Some(Stage::Extraction), why));
            }
            Err(ExtractError::Broken(why)) => {
                return Err(FileError::new(error_type::EXTRACTION, Some(Stage::Extraction), why));
            }
        };
        let Extracted { text, markdown, warnings, if_empty } = extracted;
        if text.trim().is_empty() {
            let detail = if_empty.unwrap_or_else(|| "only white space".into());
            return self.leave_out(&id, SkipReason::Empty, detail);
        }
        let content_length = text.chars().count();
        let chunks = self.chunk(text, markdown, open)?;
        let vectors = self.embed(&chunks, open)?;

        self.check_stop(Stage::Storing)?;
        let total = chunks.len() as u64;
        open.progress(Stage::Storing, Some(Tick { current: 0, total, unit: Unit::Chunks }));
        let file = NewFile {
            id: &id,
            path,
            size: open.file().size,
            modified_ns,
            mime_type: &open.file().mime_type,
            hash: &hash,
            recipe: &self.recipe,
            content_length,
        };
        match self.store.replace(&file, &chunks, &vectors).map_err(stored)? {
            Replaced::Stored => Ok(End::Completed { chunks: chunks.len(), content_length, warnings }),
            Replaced::DuplicateOf(twin) => Ok(End::Duplicate(twin)),
        }
    }

    fn read(&self, path: &Path) -> Result<Content, FileError> {
        let limit = self.config.max_file_size;
        let attempt = || -> std::io::Result<Content> {
            // Looked at first: opening a pipe that took the file's place would wait for ever.
            let meta = std::fs::symlink_metadata(path)?;
            if !meta.is_file() {
                return Ok(Content::Gone);
            }
            if meta.len() > limit {
                return Ok(Content::TooLarge(meta.len()));
            }
            let mut bytes = Vec::with_capacity(usize::try_from(meta.len()).unwrap_or(0));
            // It may grow while it is read.
            File::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
            let read = bytes.len() as u64;
            Ok(if read > limit {
                Content::TooLarge(read)
            } else {
                Content::Read(bytes, crate::scan::modified_ns(&meta))
            })
        };
        match attempt() {
            Ok(content) => Ok(content),
            Err(e) if e.kind() == ErrorKind::NotFound && self.root.is_dir() => Ok(Content::Gone),
            // The folder itself is away, as an unmounted disk is: its files are not deleted.
            Err(e) => Err(FileError::new(error_type::IO, Some(Stage::Extraction), e.to_string())),
        }
    }

    fn extract(
        &self,
        path: &Path,
        bytes: Vec<u8>,
        open: &mut OpenFile,
    ) -> Result<Result<Extracted, ExtractError>, FileError> {
        self.check_stop(Stage::Extraction)?;
        let (path, parsers) = (path.to_owned(), self.parsers.clone());
        let mut tick = |tick| open.progress(Stage::Extraction, Some(tick));
        self.guard
            .run(&mut tick, move |context| match parsers.iter().find(|p| p.accepts(&path, &bytes)) {
                Some(parser) => parser.parse(&bytes, context),
                None => extract(&sniff::kind(&path, &bytes), &bytes, context),
            })
            .map_err(|e| guarded(e, Stage::Extraction))
    }

    fn chunk(&self, text: String, markdown: bool, open: &mut OpenFile) -> Result<Vec<Chunk>, FileError> {
        self.check_stop(Stage::Chunking)?;
        open.progress(Stage::Chunking, None);
        let chunker = Chunker::new(self.config.chunk_size, self.config.chunk_overlap);
        let mut tick = |tick| open.progress(Stage::Chunking, Some(tick));
        self.guard
            .run(&mut tick, move |context| {
                chunker.cut(&text, markdown, |done, total| {
                    // A text of one window is done with its first report, which would tell nothing.
                    if done < total {
                        context.progress(done as u64, total as u64, Unit::Bytes);
                    }
                    !context.is_cancelled()
                })
            })
            .map_err(|e| guarded(e, Stage::Chunking))
    }

    fn embed(&self, chunks: &[Chunk], open: &mut OpenFile) -> Result<Vec<Vec<f32>>, FileError> {
        let total = chunks.len() as u64;
        let mut vectors = Vec::with_capacity(chunks.len());
        for group in chunks.chunks(EMBED_STEP) {
            self.check_stop(Stage::Embedding)?;
            let current = vectors.len() as u64;
            open.progress(Stage::Embedding, Some(Tick { current, total, unit: Unit::Chunks }));
            vectors.extend(group.iter().map(|chunk| HashedNgramVectorizer.embed(&chunk.text)));
        }
        Ok(vectors)
    }

    /// Skips a file whose content does not belong in the store, and takes out what an earlier content left there.
    fn leave_out(&self, id: &str, reason: SkipReason, detail: String) -> Result<End, FileError> {
        self.store.remove(id).map_err(stored)?;
        Ok(End::Skipped { reason, detail: Some(detail) })
    }

    fn check_stop(&self, stage: Stage) -> Result<(), FileError> {
        if self.shutdown.is_triggered() { Err(FileError::interrupted(Some(stage))) } else { Ok(()) }
    }
}

fn stored(error: StoreError) -> FileError {
    FileError::new(error_type::STORE, Some(Stage::Storing), error.to_string())
}

fn guarded(error: GuardError, stage: Stage) -> FileError {
    let stage = Some(stage);
    match error {
        GuardError::Panicked(what) => {
            FileError::new(error_type::PARSER_PANIC, stage, format!("the parser panicked: {what}"))
        }
        GuardError::TimedOut(after) => {
            FileError::new(error_type::TIMEOUT, stage, format!("not done after {after:?}; given up"))
        }
        GuardError::Interrupted => FileError::interrupted(stage),
        GuardError::Overloaded => FileError::new(
            error_type::OVERLOADED,
            stage,
            "too many files that ran out of time are still being parsed",
        ),
        GuardError::Spawn(why) => {
            FileError::new(error_type::IO, stage, format!("no thread for the parser: {why}"))
        }
    }
}
