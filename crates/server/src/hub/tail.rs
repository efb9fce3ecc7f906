//! The tail: moves what was appended to the log into the rooms, in the log's order. The only way in.

use std::sync::Arc;

use ragpulse_protocol::status::ResetReason;
use ragpulse_protocol::{PipelineId, PipelineStatus, PipelineType};
use tokio::sync::mpsc;

use super::Inner;
use super::room::Room;
use super::writer::removed;
use crate::log::{Record, TailItem};
use crate::metrics::cells::micros;
use crate::metrics::table::{Queue, Way};

/// How many events are applied between two chances for others to run.
const SLICE: usize = 32;

/// Runs until the log or the hub ends.
pub(super) async fn run(hub: Arc<Inner>, mut tail: mpsc::Receiver<TailItem>) {
    loop {
        let item = tokio::select! {
            item = tail.recv() => item,
            () = hub.end.cancelled() => return,
        };
        hub.metrics.queue_depth.set(Queue::Tail, tail.len() as u64);
        match item {
            Some(TailItem::Records(pipeline, records)) => apply(&hub, &pipeline, records).await,
            Some(TailItem::Forgotten(pipeline)) => {
                if let Some(room) = hub.registry.get(&pipeline) {
                    forget(&hub, &room);
                }
            }
            Some(TailItem::Reset { state, records, reason }) => reset(&hub, *state, records, &reason),
            None => return,
        }
    }
}

/// A pipeline is gone. Where its end was not told, as another hub forgot it or its store was emptied, this hub makes that end: whoever
/// follows drops the state by it, by whatever transport. Nothing of this life comes after it, so its place is taken by nothing else here.
fn forget(hub: &Arc<Inner>, room: &Arc<Room>) {
    let end = room.untold_end(|| removed(None, hub.clock.now()));
    if let Some(end) = end {
        apply_one(hub, room, end);
    }
    room.forget();
}

/// Takes a state over in place of the events that led to it, and has everybody get it.
fn reset(hub: &Arc<Inner>, state: PipelineStatus, records: Vec<Arc<Record>>, reason: &ResetReason) {
    let room = hub.registry.get_or_open(&state.pipeline_id);
    let kind = state.pipeline_type.clone();
    hub.registry.reveal(&kind, |outlets| {
        if !room.is_known() {
            room.keep(&outlets.keys().copied().collect());
        }
        for outlet in room.reset(state, records, reason) {
            hub.sweeper.add(&room, outlet);
        }
        for (id, outlet) in outlets {
            if outlet.may_view(&room.id)
                && !room.has(id)
                && room.join(outlet, false, None, hub.clock.now()).paused
            {
                hub.sweeper.add(&room, id);
            }
        }
    });
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
    let began = hub.clock.steady();
    let applied = room.apply(record.clone(), hub.clock.now());
    // As of now, so that what the fan-out itself takes is in it.
    hub.metrics.took(Way::Socket, &record, hub.clock.now(), applied.delivered);
    hub.metrics.fanout.add((), micros(hub.clock.steady().saturating_sub(began)), 1);
    tracing::debug!(
        request_id = record.request_id.as_deref(),
        pipeline = %room.id,
        seq = record.seq,
        event = &*record.name,
        delivered = applied.delivered,
        paused = applied.paused.len(),
        "fan-out"
    );
    for outlet in applied.paused {
        hub.sweeper.add(room, outlet);
    }
    if applied.unlisted {
        relist(hub, room, record.event.shared().pipeline_type.clone());
    }
}

/// Something happens in a pipeline that stood in no list: it is there again for all who follow its scope.
fn relist(hub: &Arc<Inner>, room: &Arc<Room>, kind: PipelineType) {
    hub.registry.reveal(&kind, |outlets| {
        room.list();
        for (id, outlet) in outlets {
            if outlet.may_view(&room.id)
                && !room.has(id)
                && room.join(outlet, false, None, hub.clock.now()).paused
            {
                hub.sweeper.add(room, id);
            }
        }
    });
}
