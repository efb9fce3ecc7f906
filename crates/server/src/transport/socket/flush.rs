//! The flusher: writes what was put in line at connections. Whoever delivers only puts there, under its locks; the writes are here.
//!
//! While a long list is written more is delivered, and goes out with the same write. So the list is written bit by bit, with a chance for
//! others between, and in shares where there are several workers.
//!
//! In: connections that have something new, each once. *What it never does:* wait for a peer; the connection goes on by itself.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::service::Wire;

/// How many are written without a chance for others.
const AT_ONCE: usize = 16;
/// A share of a list has as many connections, or more.
const SHARE: usize = 64;

/// The connections that have something new.
#[derive(Debug, Default)]
pub(crate) struct Flusher {
    fresh: Mutex<Vec<Wire>>,
    woken: Notify,
}

impl Flusher {
    /// Has a connection flushed soon.
    pub(super) fn add(&self, wire: &Wire) {
        let first = {
            let mut fresh = self.fresh.lock();
            fresh.push(wire.clone());
            fresh.len() == 1
        };
        if first {
            self.woken.notify_one();
        }
    }

    /// Runs until the hub ends.
    pub(crate) async fn run(self: Arc<Self>, end: CancellationToken) {
        let workers = tokio::runtime::Handle::current().metrics().num_workers().max(1);
        loop {
            let mut fresh = std::mem::take(&mut *self.fresh.lock());
            if fresh.is_empty() {
                tokio::select! {
                    () = self.woken.notified() => continue,
                    () = end.cancelled() => break,
                }
            }
            let share = fresh.len().div_ceil(workers).max(SHARE);
            while fresh.len() > share {
                tokio::spawn(flush(fresh.split_off(fresh.len() - share)));
            }
            flush(fresh).await;
            // A list is also a budget: a task that never pauses is told that nothing can be written.
            tokio::task::yield_now().await;
        }
        // What came last; also the library sees to it when it closes a connection.
        let last = std::mem::take(&mut *self.fresh.lock());
        flush(last).await;
    }
}

async fn flush(fresh: Vec<Wire>) {
    for (number, wire) in fresh.into_iter().enumerate() {
        // The stream may be a host's own. What it does to one connection is not to end all.
        if catch_unwind(AssertUnwindSafe(|| wire.flush())).is_err() {
            tracing::error!("a connection's stream panicked; it is cut");
            wire.cut();
        }
        if number % AT_ONCE == AT_ONCE - 1 {
            tokio::task::yield_now().await;
        }
    }
}
