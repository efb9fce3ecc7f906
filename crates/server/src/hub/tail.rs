//! The tail: moves what was appended to the log into the rooms, in the log's order. The only way in.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use ragpulse_protocol::PipelineId;
use tokio::sync::mpsc;

use super::Inner;
use super::room::Room;
use crate::log::{Record, TailItem};

/// How many events are applied between two chances for others to run.
const SLICE: usize = 32;

/// Runs until the log or the hub ends.
pub(super) async fn run(hub: Arc<Inner>, mut tail: mpsc::Receiver<TailItem>) {
    loop {
        let item = tokio::select! {
            item = tail.recv() => item,
            () = hub.end.cancelled() => return,
        };
        match item {
            Some(TailItem::Records(pipeline, records)) => apply(&hub, &pipeline, records).await,
            Some(TailItem::Forgotten(pipeline)) => {
                if let Some(room) = hub.registry.get(&pipeline) {
                    room.forget();
                }
            }
            None => return,
        }
    }
}

async fn apply(hub: &Arc<Inner>, pipeline: &PipelineId, records: Vec<Arc<Record>>) {
    let room = hub.registry.get_or_open(pipeline);
    for (number, record) in records.into_iter().enumerate() {
        if room.is_known() {
            apply_one(hub, &room, record);
        } else {
            let kind = record.event.shared().pipeline_type.clone();
            hub.registry.reveal(&kind, |outlets| {
                let now = hub.clock.now();
                room.keep(&outlets.keys().copied().collect());
                for outlet in
                    outlets.into_values().filter(|outlet| outlet.may_view(pipeline) && !room.has(outlet.id()))
                {
                    room.join(outlet, false, None, now);
                }
                apply_one(hub, &room, record);
            });
        }
        if number % SLICE == SLICE - 1 {
            tokio::task::yield_now().await;
        }
    }
}

fn apply_one(hub: &Arc<Inner>, room: &Arc<Room>, record: Arc<Record>) {
    let applied = room.apply(record, hub.clock.now());
    hub.counters.delivered.fetch_add(applied.delivered, Ordering::Relaxed);
    hub.counters.paused.fetch_add(applied.paused.len() as u64, Ordering::Relaxed);
    hub.counters.anomalies.fetch_add(applied.anomalies, Ordering::Relaxed);
    for outlet in applied.paused {
        hub.sweeper.add(room, outlet);
    }
}
