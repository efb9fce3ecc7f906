//! What can go wrong: with one file ([`FileError`]) and with the whole run ([`PipelineError`]).
//!
//! Comes in: errors of the parts. Never: more than one line of text to a message, since these are shown in lists.

use std::path::PathBuf;

use crate::event::Stage;
use crate::store::StoreError;

/// The values of `error_type` in a failed file, stable so that they can be counted and filtered.
pub mod error_type {
    /// The run ended before the file did. Retryable.
    pub const INTERRUPTED: &str = "Interrupted";
    /// A parser took longer than the configured time.
    pub const TIMEOUT: &str = "Timeout";
    /// A parser panicked.
    pub const PARSER_PANIC: &str = "ParserPanic";
    /// The file is not what it claims to be, or is damaged.
    pub const EXTRACTION: &str = "ExtractionError";
    /// The file needs a password.
    pub const ENCRYPTED: &str = "Encrypted";
    /// The file could not be read. Retryable.
    pub const IO: &str = "IoError";
    /// The store refused. Retryable.
    pub const STORE: &str = "StoreError";
    /// Too many timed-out parsers are still running. Retryable.
    pub const OVERLOADED: &str = "Overloaded";
    /// A defect of the pipeline itself.
    pub const INTERNAL: &str = "InternalError";
}

/// Why a file failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error_type}: {message}")]
pub struct FileError {
    /// One of [`error_type`].
    pub error_type: &'static str,
    /// The real cause.
    pub message: String,
    /// Where it happened.
    pub stage: Option<Stage>,
    /// Whether trying again without a change of the file can help.
    pub retryable: bool,
}

impl FileError {
    /// An error of a type, whose retryability follows from the type.
    pub fn new(error_type: &'static str, stage: Option<Stage>, message: impl Into<String>) -> Self {
        let retryable = matches!(
            error_type,
            error_type::INTERRUPTED | error_type::IO | error_type::STORE | error_type::OVERLOADED
        );
        Self { error_type, message: one_line(&message.into()), stage, retryable }
    }

    pub(crate) fn interrupted(stage: Option<Stage>) -> Self {
        Self::new(error_type::INTERRUPTED, stage, "the pipeline stopped before the file was done")
    }
}

/// Joins lines and bounds the length: parsers quote the damaged bytes they found.
fn one_line(text: &str) -> String {
    const LIMIT: usize = 500;
    let mut out: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = out.char_indices().nth(LIMIT) {
        out.truncate(end);
        out.push('…');
    }
    out
}

/// Why a run could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The folder is not there or not a folder.
    #[error("{}: {cause}", path.display())]
    Root {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        cause: std::io::Error,
    },
    /// A value of the configuration cannot work.
    #[error("configuration: {0}")]
    Config(String),
    /// The store could not be opened or used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A thread could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_one_bounded_line() {
        let e = FileError::new(error_type::IO, None, format!("a\n  b\t{}", "ü".repeat(2000)));
        assert!(e.message.starts_with("a b ü"));
        assert!(e.message.chars().count() <= 501);
        assert!(e.retryable);
    }
}
