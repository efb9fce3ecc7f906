//! What can be wrong with a spool: what it is, and how to go on.

use std::path::{Path, PathBuf};

/// Why a spool could not be opened, or did not take an event. Nothing of what is there is changed by any of these.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpoolError {
    /// Another reporter uses it.
    #[error(
        "another reporter uses the spool at {path}: give each reporter a spool of its own, or close the other one \
         first"
    )]
    Locked {
        /// The spool.
        path: PathBuf,
    },
    /// It holds the events of another pipeline or reporter.
    #[error(
        "the spool at {path} holds the events of {found}, not of {expected}: name another directory, or start once \
         with that name, so that they are sent"
    )]
    Foreign {
        /// The spool.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Whose it should be.
        expected: String,
    },
    /// There is something else in its place.
    #[error("{path} is no spool of a reporter: name another directory; nothing in this one was changed")]
    NotASpool {
        /// What is there.
        path: PathBuf,
    },
    /// It was written by another version of this library.
    #[error(
        "{path} is of version {found} of the spool's format, and this library reads version {read}: start the \
         version that wrote it until everything is sent, or move the directory away"
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The version that can be read.
        read: u32,
    },
    /// What is there was changed by something else than a reporter.
    #[error(
        "the spool is damaged: {what}, at byte {at} of {path}. It was left as it is, with {unsent} events before \
         this place that may not have been sent. Restore the file, or move the spool's directory away to begin a \
         new one without them"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in it, in bytes.
        at: u64,
        /// What is wrong there.
        what: &'static str,
        /// How many unsent events stand before that place.
        unsent: u64,
    },
    /// The operating system refused to write: mostly because the disk is full.
    #[error(
        "the event was not taken, because the spool at {path} cannot be written: {error}. Make room on the disk and \
         report it again"
    )]
    Write {
        /// The spool.
        path: PathBuf,
        /// What the operating system says.
        error: String,
    },
    /// The operating system refused something else.
    #[error("the spool at {path} cannot be used: {error}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system says.
        error: String,
    },
}

impl SpoolError {
    pub(super) fn io(path: &Path, error: &std::io::Error) -> Self {
        Self::Io { path: path.to_owned(), error: error.to_string() }
    }
}
