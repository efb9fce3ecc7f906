//! Reporting: what a pipeline does to each file, told to a hub without loss.
//!
//! [`Reporter`] is the handle; behind it one task sends what a pure state machine decides. With a
//! [spool](ReporterBuilder::spool) nothing that must arrive is lost with the process either.
//!
//! *What may come in:* events from any task or thread. *What it never does:* make a pipeline wait for progress, lose an
//! event that must arrive while there is a hub to take it, or grow without bound.

mod builder;
mod driver;
mod encode;
mod error;
mod file;
mod files;
mod handle;
mod machine;
mod outcome;
mod queue;
mod shared;
mod spool;
mod status;

pub use builder::{DEFAULT_QUEUE_BYTES, DEFAULT_QUEUE_CAPACITY, DEFAULT_SPOOL_BYTES, ReporterBuilder};
pub use error::ReportError;
pub use file::{BlockingFile, File};
pub use handle::{BlockingReporter, Reporter};
pub use spool::SpoolError;
pub use status::{Rejected, ReporterConnection, ReporterStatus};
