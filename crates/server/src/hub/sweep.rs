//! The sweeper: continues followers whose buffers were full, a slice each in turn, so that a slow one delays no other.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::Inner;
use super::room::{Advance, Room};

/// How long a full buffer is left alone.
const PAUSE: Duration = Duration::from_millis(5);

/// The followers that are behind.
#[derive(Default)]
pub(crate) struct Paused {
    behind: Mutex<Vec<(Arc<Room>, u64)>>,
    woken: Notify,
}

impl Paused {
    /// Has a follower continued soon.
    pub(crate) fn add(&self, room: &Arc<Room>, outlet: u64) {
        self.behind.lock().push((room.clone(), outlet));
        self.woken.notify_one();
    }
}

/// Runs until the hub ends.
pub(super) async fn run(hub: Arc<Inner>) {
    loop {
        let behind = std::mem::take(&mut *hub.sweeper.behind.lock());
        if behind.is_empty() {
            tokio::select! {
                () = hub.sweeper.woken.notified() => continue,
                () = hub.end.cancelled() => return,
            }
        }
        let now = hub.clock.now();
        let mut still = Vec::new();
        let mut progressed = false;
        for (number, (room, outlet)) in behind.into_iter().enumerate() {
            let (advance, count) = room.advance(outlet, now);
            hub.counters.delivered.fetch_add(count, Ordering::Relaxed);
            progressed |= count > 0;
            if advance == Advance::Behind {
                still.push((room, outlet));
            }
            if number % 16 == 15 {
                tokio::task::yield_now().await;
            }
        }
        hub.sweeper.behind.lock().append(&mut still);
        if progressed {
            tokio::task::yield_now().await;
        } else {
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                () = hub.end.cancelled() => return,
            }
        }
    }
}
