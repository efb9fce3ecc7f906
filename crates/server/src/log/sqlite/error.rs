//! Why a store was not opened, in words for the person who started the hub.

use std::path::PathBuf;

/// Why a store was not opened. Whatever it is, the file was left as it is.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file is something else.
    #[error(
        "{} is not a RagPulse store: {what}. It was left as it is; name another file",
        path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it seems to be.
        what: String,
    },
    /// The store was made by a later version.
    #[error(
        "{} was made by a later version of RagPulse (its schema is {found}, this version knows up to {known}). It was \
         left as it is; run that version, or name another file",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version of its schema.
        found: i64,
        /// The latest that is known here.
        known: i64,
    },
    /// The store cannot be read.
    #[error(
        "{} is a RagPulse store, but damaged: {cause}. It was left as it is; put a backup in its place and have it \
         begin new epochs (ragpulse serve --new-epochs, once), or move it away and start with an empty one (`sqlite3 FILE .recover` may save what is in it)",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the database said.
        cause: String,
    },
    /// Another hub has it.
    #[error("{} is in use by another hub{by}; stop it, or name another file", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
        /// Which one, where it said so.
        by: String,
    },
    /// The file cannot be opened or made.
    #[error("{} cannot be opened: {cause}", path.display())]
    Unopened {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: String,
    },
}
