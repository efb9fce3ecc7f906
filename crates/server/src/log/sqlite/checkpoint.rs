//! The checkpointer: moves what was committed from the write-ahead log into the file, in a thread of its own, soon after it was.
//!
//! The writer's own checkpoint, once the log is long, then finds little to do. Without this it moved sixteen megabytes at once, and for
//! as long as the disk took for those, every append waited: the slowest one in a hundred of a busy hub.
//!
//! In: that something was committed. *What it never does:* hold up the writer; a checkpoint here is passive. What fails is left to
//! the writer's own.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rusqlite::{Connection, OpenFlags};

/// How long after a commit. What comes within that time is moved together.
const AFTER: Duration = Duration::from_millis(250);

/// The thread, as long as this is there.
pub(super) struct Checkpointer {
    told: Arc<Told>,
    thread: Option<JoinHandle<()>>,
}

/// What the thread is told.
#[derive(Default)]
struct Told {
    /// Something was committed that was not moved. Looked at for each commit, so it is no lock; the thread is woken for the first alone.
    committed: AtomicBool,
    ends: Mutex<bool>,
    woken: Condvar,
}

impl Told {
    /// Waits until something was committed, and then until it is due; `false` where the thread is to end.
    fn due(&self) -> bool {
        let mut ends = self.ends.lock();
        while !*ends && !self.committed.load(Ordering::Acquire) {
            self.woken.wait(&mut ends);
        }
        let due = Instant::now() + AFTER;
        while !*ends && !self.woken.wait_until(&mut ends, due).timed_out() {}
        self.committed.store(false, Ordering::Release);
        !*ends
    }
}

impl Checkpointer {
    /// Begins the thread on a store that is open. Without one the writer does it all.
    pub(super) fn start(path: &Path) -> Self {
        let told = Arc::<Told>::default();
        let of_thread = told.clone();
        let begin = || -> Result<JoinHandle<()>, Box<dyn std::error::Error>> {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(path, flags)?;
            let thread = std::thread::Builder::new().name("ragpulse-pages".to_owned());
            Ok(thread.spawn(move || run(&connection, &of_thread))?)
        };
        let thread = begin()
            .inspect_err(
                |error| tracing::warn!(%error, "the store's log is moved into its file by the writer alone"),
            )
            .ok();
        Self { told, thread }
    }

    /// Something was committed.
    pub(super) fn committed(&self) {
        if !self.told.committed.swap(true, Ordering::AcqRel) {
            // Under the lock, so that it is not between its look and its wait.
            let _ends = self.told.ends.lock();
            self.told.woken.notify_one();
        }
    }

    /// Ends the thread, and returns once it has let go of the file.
    pub(super) fn stop(&mut self) {
        *self.told.ends.lock() = true;
        self.told.woken.notify_one();
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

fn run(connection: &Connection, told: &Told) {
    while told.due() {
        let moved = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
        if let Err(error) = moved {
            tracing::debug!(%error, "the store's log was not moved into its file; the writer will");
        }
    }
}
