//! The feeders: read the log for followers whose position is older than the ring. The sweeper sends what they bring.
//!
//! Reads are few at a time and small, so that a storm of subscribers that were away for long bounds what it costs.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::Inner;
use super::room::Room;

/// How many read at once.
const FEEDERS: usize = 2;
/// How many events are read at once.
const SLICE: usize = 128;
/// How long a log that fails is left alone.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs until the hub ends.
pub(super) async fn run(hub: Arc<Inner>) {
    let turns = Arc::new(Semaphore::new(FEEDERS));
    loop {
        for ((_, outlet), room) in hub.hungry.take() {
            let Ok(turn) = turns.clone().acquire_owned().await else { return };
            let hub = hub.clone();
            tokio::spawn(async move {
                feed(&hub, &room, outlet).await;
                drop(turn);
                hub.sweeper.add(&room, outlet);
            });
        }
        tokio::select! {
            () = hub.hungry.woken() => {}
            () = hub.end.cancelled() => return,
        }
    }
}

async fn feed(hub: &Inner, room: &Room, outlet: u64) {
    let Some(cursor) = room.wants(outlet) else { return };
    match hub.log.read(&room.id, &cursor, SLICE).await {
        Ok(page) => room.stock(outlet, &cursor, page),
        Err(error) => {
            tracing::error!(%error, pipeline = %room.id, "a replay waits for the log");
            tokio::time::sleep(PAUSE).await;
        }
    }
}
