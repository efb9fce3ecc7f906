//! The look at the leases that a shared log keeps: once a second for the whole hub, whatever it has of pipelines. What has ended
//! goes to the writer that has the pipeline, and a pipeline is shown as late when no hub hears its reporters.
//!
//! *What it never does:* believe that nobody is heard because nobody is heard here.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use ragpulse_protocol::{Liveness, PipelineId, Timestamp};

use super::writer::{Command, Silent, shard};
use super::{Inner, Room};
use crate::log::LogError;

/// How often.
const PERIOD: Duration = Duration::from_secs(1);
/// Of how many pipelines the leases are asked in one look at most: those first that were not asked for the longest time …
const MOST: usize = 1_000;
/// … so many at once.
const AT_ONCE: usize = 16;

/// Runs until the hub ends.
pub(super) async fn run(hub: Arc<Inner>) {
    let mut tick = tokio::time::interval(PERIOD);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut asked = HashMap::new();
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = hub.end.cancelled() => return,
        }
        let looked = tokio::select! {
            looked = look(&hub, &mut asked) => looked,
            () = hub.end.cancelled() => return,
        };
        if let Err(error) = looked {
            tracing::debug!(%error, "the leases could not be seen");
        }
    }
}

/// `asked` is when pipelines that look late were asked about last.
async fn look(hub: &Arc<Inner>, asked: &mut HashMap<PipelineId, Timestamp>) -> Result<(), LogError> {
    let looked = hub.clock.steady();
    let mut found: HashMap<PipelineId, Silent> = HashMap::new();
    for (pipeline, reporter) in hub.log.lapsed().await? {
        found.entry(pipeline).or_insert(Silent { lapsed: Vec::new(), looked }).lapsed.push(reporter);
    }
    hand_over(hub, found);

    let now = hub.clock.now();
    let mut late: Vec<Arc<Room>> =
        hub.registry.known().into_iter().filter(|room| room.looks_late(now)).collect();
    let look_late: HashSet<&PipelineId> = late.iter().map(|room| &room.id).collect();
    asked.retain(|pipeline, _| look_late.contains(pipeline));
    late.sort_by_key(|room| asked.get(&room.id).copied());
    late.truncate(MOST);
    asked.extend(late.iter().map(|room| (room.id.clone(), now)));
    let asking =
        stream::iter(late).map(|room| async move { ask(hub, &room).await.map(|nobody| (room, nobody)) });
    let mut answers = asking.buffer_unordered(AT_ONCE);
    let mut empty = HashMap::new();
    while let Some(answer) = answers.next().await {
        let (room, nobody) = answer?;
        if nobody {
            empty.insert(room.id.clone(), Silent { lapsed: Vec::new(), looked });
        }
    }
    hand_over(hub, empty);
    Ok(())
}

/// Shows whether any hub hears the reporters of a pipeline. Whether nobody has a lease at all.
async fn ask(hub: &Arc<Inner>, room: &Arc<Room>) -> Result<bool, LogError> {
    let held = hub.log.leases(&room.id).await?;
    let now = hub.clock.now();
    if let Some(heard) = held.iter().map(|lease| lease.begun(now)).max() {
        let until = held.iter().map(|lease| lease.live_until(now)).max();
        room.found_heard(heard, until, now);
    }
    if room.looks_late(now) {
        room.found_late(now);
    } else {
        room.set_liveness(Liveness::Live);
    }
    Ok(held.is_empty())
}

/// Has the writers end what is to be ended. One that has too much to do is told again by the next look.
fn hand_over(hub: &Inner, found: HashMap<PipelineId, Silent>) {
    let mut by_writer: Vec<Vec<(PipelineId, Silent)>> = hub.writers.iter().map(|_| Vec::new()).collect();
    for (pipeline, silent) in found {
        by_writer[shard(&pipeline, hub.writers.len())].push((pipeline, silent));
    }
    for (writer, found) in hub.writers.iter().zip(by_writer) {
        if !found.is_empty() {
            let _ = writer.try_send(Command::Look(found));
        }
    }
}
