//! The sweeper: continues followers whose buffers were full, a slice each in turn, so that a slow one delays no other.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use ragpulse_protocol::PipelineId;
use tokio::sync::Notify;

use super::Inner;
use super::room::{Advance, Room};

/// How long a full buffer is left alone.
const PAUSE: Duration = Duration::from_millis(5);

/// The followers that are behind.
#[derive(Default)]
pub(crate) struct Paused {
    /// Each once, however often it joins: who joins again and again without reading costs no more than others.
    behind: Mutex<HashMap<(PipelineId, u64), Arc<Room>>>,
    woken: Notify,
}

impl Paused {
    /// Has a follower continued soon.
    pub(crate) fn add(&self, room: &Arc<Room>, outlet: u64) {
        self.behind.lock().insert((room.id.clone(), outlet), room.clone());
        self.woken.notify_one();
    }

    /// All of them, which are nobody's then.
    pub(super) fn take(&self) -> HashMap<(PipelineId, u64), Arc<Room>> {
        std::mem::take(&mut *self.behind.lock())
    }

    /// Waits until there is one.
    pub(super) async fn woken(&self) {
        self.woken.notified().await;
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.behind.lock().len()
    }
}

/// Runs until the hub ends.
pub(super) async fn run(hub: Arc<Inner>) {
    loop {
        let behind = hub.sweeper.take();
        if behind.is_empty() {
            tokio::select! {
                () = hub.sweeper.woken() => continue,
                () = hub.end.cancelled() => return,
            }
        }
        let mut still = Vec::new();
        let mut progressed = false;
        for (number, (key, room)) in behind.into_iter().enumerate() {
            let moved = room.advance(key.1, hub.clock.now());
            hub.metrics.lagged.add((), u64::from(moved.lagged));
            progressed |= moved.delivered > 0;
            match moved.to {
                Advance::Behind => still.push((key, room)),
                Advance::BehindRing => hub.hungry.add(&room, key.1),
                Advance::Live | Advance::Asking | Advance::Gone => {}
            }
            if number % 16 == 15 {
                tokio::task::yield_now().await;
            }
        }
        hub.sweeper.behind.lock().extend(still);
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
