//! Many subscribers, through the real writer, tail and sweeper.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use ragpulse_protocol::PipelineId;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::*;
use crate::{Config, Hub};

/// A socket of which only the last `seq` and the number of what waits are kept.
struct Lean {
    id: u64,
    room_for: usize,
    waiting: AtomicUsize,
    most: AtomicUsize,
    seq: AtomicU64,
    holes: AtomicUsize,
    snapshots: AtomicUsize,
}

impl Lean {
    fn new(id: u64, room_for: usize) -> Arc<Self> {
        Arc::new(Self {
            id,
            room_for,
            waiting: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            seq: AtomicU64::new(0),
            holes: AtomicUsize::new(0),
            snapshots: AtomicUsize::new(0),
        })
    }
}

impl Outlet for Lean {
    fn id(&self) -> u64 {
        self.id
    }

    fn dialect(&self) -> Dialect {
        Dialect::Native
    }

    fn audience(&self, _: &PipelineId) -> crate::auth::Audience {
        crate::auth::Audience::Full
    }
    fn may_view(&self, _: &PipelineId) -> bool {
        true
    }

    fn emit(&self, event: &str, payload: &RawValue) -> Sent {
        if self.waiting.load(Ordering::SeqCst) >= self.room_for {
            return Sent::Full;
        }
        let seq =
            payload.get().split_once("\"seq\":").and_then(|(_, rest)| rest.split(',').next()?.parse().ok());
        match (event, seq) {
            ("pipeline:status", Some(seq)) => {
                self.seq.store(seq, Ordering::SeqCst);
                self.snapshots.fetch_add(1, Ordering::SeqCst);
            }
            ("heartbeat" | "hub:closing", _) => {}
            (_, seq) => {
                let next = self.seq.fetch_add(1, Ordering::SeqCst) + 1;
                self.holes.fetch_add(usize::from(seq != Some(next)), Ordering::SeqCst);
            }
        }
        let waiting = self.waiting.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(waiting, Ordering::SeqCst);
        Sent::Buffered
    }
}

fn files(range: std::ops::Range<u32>) -> Vec<Value> {
    range
        .map(|n| json!({ "event": "file:skipped", "data": { "file": { "name": format!("f{n}") } } }))
        .collect()
}

async fn within(seconds: u64, mut done: impl FnMut() -> bool) -> bool {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(seconds);
    while !done() {
        if tokio::time::Instant::now() > deadline {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    true
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_of_5_000_reaches_1_000_healthy_subscribers_without_one_snapshot() {
    let hub = Hub::builder().build().unwrap().hub;
    let pipeline = id("p");
    let online = json!({ "event": "pipeline:online", "data": { "pipeline_type": "t" } });
    hub.take(&pipeline, None, vec![online]).await.unwrap();
    let room = hub.0.registry.get(&pipeline).unwrap();
    // One that never reads, among those that do.
    let stuck = Lean::new(0, 1_024);
    let healthy: Vec<_> = (1..=1_000).map(|n| Lean::new(n, 1_024)).collect();
    for outlet in std::iter::once(&stuck).chain(&healthy) {
        room.join(outlet.clone(), true, None, hub.0.clock.now());
    }
    let readers: Vec<_> = healthy
        .chunks(50)
        .map(|some| {
            let some = some.to_vec();
            tokio::spawn(async move {
                loop {
                    some.iter().for_each(|outlet| outlet.waiting.store(0, Ordering::SeqCst));
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            })
        })
        .collect();
    let receipt = hub.take(&pipeline, None, files(0..5_000)).await.unwrap();
    assert_eq!((receipt.accepted, receipt.seq), (5_000, 5_001));
    let all = || healthy.iter().all(|outlet| outlet.seq.load(Ordering::SeqCst) == 5_001);
    assert!(within(60, all).await, "not everybody got everything");
    readers.iter().for_each(|reader| reader.abort());
    for outlet in &healthy {
        assert_eq!(outlet.holes.load(Ordering::SeqCst), 0);
        assert_eq!(outlet.snapshots.load(Ordering::SeqCst), 1, "the one of the join");
    }
    assert_eq!(hub.stats().lagged, 0);
    assert_eq!(stuck.most.load(Ordering::SeqCst), 1_024, "what waits for a slow one is bounded");
    // When it reads at last, it goes on from the ring.
    assert!(
        within(20, || {
            stuck.waiting.store(0, Ordering::SeqCst);
            stuck.seq.load(Ordering::SeqCst) == 5_001
        })
        .await
    );
    assert_eq!((stuck.holes.load(Ordering::SeqCst), stuck.snapshots.load(Ordering::SeqCst)), (0, 1));
    hub.close(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn who_joins_again_and_again_without_reading_is_kept_once() {
    let mut config = Config::default();
    config.limits.ring_events = 16;
    let hub = Hub::builder().config(config).build().unwrap().hub;
    let pipeline = id("p");
    let online = json!({ "event": "pipeline:online", "data": { "pipeline_type": "t" } });
    hub.take(&pipeline, None, vec![online]).await.unwrap();
    let room = hub.0.registry.get(&pipeline).unwrap();
    let stuck = Lean::new(1, 1);
    for _ in 0..1_000 {
        if room.join(stuck.clone(), true, None, hub.0.clock.now()).paused {
            hub.continue_soon(&room, 1);
        }
    }
    assert_eq!((hub.0.sweeper.len(), room.follower_count()), (1, 1));
    hub.take(&pipeline, None, files(0..100)).await.unwrap();
    stuck.waiting.store(0, Ordering::SeqCst);
    assert!(within(10, || stuck.seq.load(Ordering::SeqCst) == 101).await);
    // Left behind by the ring it gets one snapshot, and that is counted.
    let before = (stuck.snapshots.load(Ordering::SeqCst), hub.stats().lagged);
    hub.take(&pipeline, None, files(100..200)).await.unwrap();
    stuck.waiting.store(0, Ordering::SeqCst);
    assert!(within(10, || stuck.seq.load(Ordering::SeqCst) == 201).await);
    assert_eq!((stuck.snapshots.load(Ordering::SeqCst), hub.stats().lagged), (before.0 + 1, before.1 + 1));
    hub.close(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn ids_held_for_nobody_go() {
    let mut config = Config::default();
    config.limits.pipelines = 4;
    config.limits.held_pipelines = 4;
    let hub = Hub::builder().config(config).build().unwrap().hub;
    let followed = hub.0.registry.get_or_hold(&id("followed")).unwrap();
    followed.join(Lean::new(1, 9), true, None, hub.0.clock.now());
    drop(followed);
    for n in 0..100 {
        hub.0.registry.get_or_hold(&id(&format!("unknown-{n}"))).unwrap();
        assert!(hub.0.registry.len() <= 8);
    }
    assert!(hub.0.registry.get(&id("followed")).is_some());
    let held: Vec<_> =
        (0..8).filter_map(|n| hub.0.registry.get_or_hold(&id(&format!("held-{n}"))).ok()).collect();
    assert_eq!(held.len(), 7, "as many as may be, with the one that is followed");
    // A pipeline that exists finds room whatever is held.
    let online = json!({ "event": "pipeline:online", "data": { "pipeline_type": "t" } });
    hub.take(&id("real"), None, vec![online]).await.unwrap();
    assert_eq!(hub.pipelines(), [id("real")]);
    hub.close(Duration::from_secs(1)).await;
}
