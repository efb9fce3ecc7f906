//! The checkpointer: moves what was committed from the write-ahead log into the file, in a thread of its own, soon after it was.
//!
//! The writer's own checkpoint, once the log is long, then finds little to do. Without this it moved sixteen megabytes at once, and for
//! as long as the disk took for those, every append waited: the slowest one in a hundred of a busy hub.
//!
//! In: that something was committed. *What it never does:* hold up the writer; a checkpoint here is passive. What fails is left to
//! the writer's own.

use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};

/// How long after a commit. What comes within that time is moved together.
const AFTER: Duration = Duration::from_millis(250);

/// The thread, as long as this is there.
pub(super) struct Checkpointer {
    /// `None` once it is to end.
    committed: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    /// Begins the thread on a store that is open. Without one the writer does it all.
    pub(super) fn start(path: &Path) -> Self {
        let (committed, waiting) = sync_channel(1);
        let begin = || -> Result<JoinHandle<()>, Box<dyn std::error::Error>> {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(path, flags)?;
            let thread = std::thread::Builder::new().name("ragpulse-pages".to_owned());
            Ok(thread.spawn(move || run(&connection, &waiting))?)
        };
        let thread = begin()
            .inspect_err(
                |error| tracing::warn!(%error, "the store's log is moved into its file by the writer alone"),
            )
            .ok();
        Self { committed: Some(committed), thread }
    }

    /// Something was committed.
    pub(super) fn committed(&self) {
        if let Some(committed) = &self.committed {
            // Where one waits already, or there is no thread, nothing is lost.
            let _ = committed.try_send(());
        }
    }

    /// Ends the thread, and returns once it has let go of the file.
    pub(super) fn stop(&mut self) {
        self.committed = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn run(connection: &Connection, committed: &Receiver<()>) {
    while committed.recv().is_ok() {
        let due = Instant::now() + AFTER;
        loop {
            match committed.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(()) => {}
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
        let moved = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        if let Err(error) = moved {
            tracing::debug!(%error, "the store's log was not moved into its file; the writer will");
        }
    }
}
