//! Several nodes on one log in Redis, below the hub: leases by one clock, and tails that have one order whatever the nodes do.
#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used)]

#[path = "support/records.rs"]
mod records;
#[path = "support/redis.rs"]
mod server;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ragpulse_protocol::{Cursor, PipelineId, PipelineStatus, ReporterId, Timestamp, apply};
use ragpulse_server::clock::{ManualClock, SystemClock};
use ragpulse_server::log::redis::RedisOptions;
use ragpulse_server::log::{EventLog, LogErrorKind, OfLease, Page, RedisLog, TailItem};
use tokio::sync::mpsc::Receiver;

use self::records::{batch, id, record};
use self::server::Redis;

fn who(name: &str) -> Option<ReporterId> {
    Some(ReporterId::new(name).unwrap())
}

#[tokio::test]
async fn leases_are_kept_by_one_clock_and_ended_by_one_node() {
    let clock = ManualClock::new(Timestamp::from_millis(1_800_000_000_000));
    let logs = server::shared_logs(2, clock.clone()).await;
    let [one, two] = [&logs[0], &logs[1]];
    assert_eq!(one.lapsed().await.unwrap(), []);
    let online = vec![batch(vec![record("pipeline:online", "", None)], 1_000)];
    let renew = [OfLease::Renew(who("a"), 10), OfLease::Renew(None, 60)];
    let appended = one.append_on(&id("p"), None, online.clone(), &renew).await.unwrap().remove(0);
    let at = |seq| Cursor { epoch: appended.epoch.clone(), seq };
    clock.advance_millis(4_000);
    let mut held = two.leases(&id("p")).await.unwrap();
    held.sort_by_key(|lease| lease.seconds);
    let left: Vec<_> =
        held.iter().map(|lease| (lease.reporter.clone(), lease.left.as_secs(), lease.seconds)).collect();
    assert_eq!(left, [(who("a"), 6, 10), (None, 56, 60)]);
    // Heard by the other node, with nothing to append.
    let heard =
        two.append_on(&id("p"), Some(&at(1)), Vec::new(), &[OfLease::Renew(who("a"), 10)]).await.unwrap();
    assert!(heard.is_empty());
    clock.advance_millis(8_000);
    assert_eq!(one.lapsed().await.unwrap(), [], "it was heard");
    let lapse = |offline: bool| {
        let mut leases = vec![OfLease::Lapsed(who("a"))];
        leases.extend(offline.then(|| OfLease::Alone(who("a"))));
        (vec![batch(vec![record("x:lost", "", None)], 2_000)], leases)
    };
    let (batches, leases) = lapse(false);
    let early = one.append_on(&id("p"), Some(&at(1)), batches, &leases).await.unwrap_err();
    assert_eq!(early.kind, LogErrorKind::Heard);
    clock.advance_millis(2_000);
    let lost = vec![(id("p"), who("a"))];
    assert_eq!((one.lapsed().await.unwrap(), two.lapsed().await.unwrap()), (lost.clone(), lost));
    let (batches, leases) = lapse(true);
    let alone = one.append_on(&id("p"), Some(&at(1)), batches, &leases).await.unwrap_err();
    assert_eq!(alone.kind, LogErrorKind::Heard, "another has a lease");
    let ((first, leases), (second, _)) = (lapse(false), lapse(false));
    let (p, end) = (id("p"), at(1));
    let (first, second) = tokio::join!(
        one.append_on(&p, Some(&end), first, &leases),
        two.append_on(&p, Some(&end), second, &leases)
    );
    let kinds = [first.err().map(|error| error.kind), second.err().map(|error| error.kind)];
    assert!(kinds.contains(&None) && kinds.contains(&Some(LogErrorKind::Moved)), "{kinds:?}");
    assert_eq!(two.leases(&id("p")).await.unwrap().len(), 1);
    // Two that end at once are alone together.
    clock.advance_millis(60_000);
    let renew = [OfLease::Renew(who("b"), 1)];
    two.append_on(&id("p"), Some(&at(2)), Vec::new(), &renew).await.unwrap();
    clock.advance_millis(1_000);
    let both = [OfLease::Lapsed(None), OfLease::Lapsed(who("b")), OfLease::Alone(None)];
    let offline = vec![batch(vec![record("pipeline:offline", "", None)], 3_000)];
    one.append_on(&id("p"), Some(&at(2)), offline, &both).await.unwrap();
    assert_eq!((one.leases(&id("p")).await.unwrap(), two.lapsed().await.unwrap()), (vec![], vec![]));

    let moved = two.forget_on(&id("p"), &at(2)).await.unwrap_err();
    assert_eq!(moved.kind, LogErrorKind::Moved);
    two.forget_on(&id("p"), &at(3)).await.unwrap();
    one.forget_on(&id("p"), &at(3)).await.unwrap();
    let opened = one.append_on(&id("p"), Some(&at(3)), online.clone(), &[]).await.unwrap_err();
    assert_eq!(opened.kind, LogErrorKind::Moved, "it is not there any more");
    assert_eq!(one.append_on(&id("p"), None, online, &[]).await.unwrap()[0].seq, 1);
}

/// What somebody knows who has only the tail.
#[derive(Default)]
struct Listener {
    states: HashMap<PipelineId, PipelineStatus>,
    resets: usize,
}

impl Listener {
    fn take(&mut self, item: TailItem) {
        match item {
            TailItem::Records(id, records) => {
                for record in records {
                    let shared = record.event.shared();
                    let state = self.states.entry(id.clone()).or_insert_with(|| {
                        let (kind, epoch) = (shared.pipeline_type.clone(), shared.epoch.clone());
                        let limits = ragpulse_protocol::status::Limits::default();
                        PipelineStatus::opening(id.clone(), kind, epoch, shared.timestamp, limits)
                    });
                    assert_eq!((record.seq, shared.epoch), (state.seq + 1, &state.epoch), "of {id}");
                    let _ = apply(state, &record.event);
                }
            }
            TailItem::Forgotten(id) => {
                assert!(self.states.remove(&id).is_some(), "{id} was not there");
            }
            TailItem::Reset { state, .. } => {
                self.resets += 1;
                self.states.insert(state.pipeline_id.clone(), *state);
            }
        }
    }

    /// Takes what comes until it knows what the log knows.
    async fn catch_up(
        &mut self,
        log: &dyn EventLog,
        tail: &mut Receiver<TailItem>,
        pipelines: &[PipelineId],
    ) {
        for id in pipelines {
            let there = log.stored(id).await.unwrap().map(|stored| stored.state);
            while self.states.get(id) != there.as_ref() {
                let item = tokio::time::timeout(Duration::from_secs(20), tail.recv()).await;
                self.take(item.unwrap_or_else(|_| panic!("{id} is at {:?}", self.states.get(id))).unwrap());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tails_have_one_order_while_nodes_append_forget_and_trim() {
    let redis = Redis::start(&[]);
    let mut options = RedisOptions::new(redis.url());
    options.shards = 2;
    options.retention.events_per_pipeline = 200;
    options.clock = Some(Arc::new(SystemClock::default()));
    let pipelines: Vec<PipelineId> = ["p", "q", "r"].map(id).to_vec();
    let mut nodes = Vec::new();
    for _ in 0..3 {
        let log = Arc::new(RedisLog::open(options.clone()).await.unwrap());
        assert!(log.load().await.unwrap().is_empty());
        let mut tail = log.take_tail().unwrap();
        let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
        let listening = tokio::spawn(async move {
            let mut listener = Listener::default();
            loop {
                tokio::select! {
                    item = tail.recv() => listener.take(item.unwrap()),
                    _ = &mut stopped => return (listener, tail),
                }
            }
        });
        nodes.push((log, stop, listening));
    }
    let appending = (0..6_usize).map(|worker| {
        let (log, pipelines) = (nodes[worker % 3].0.clone(), pipelines.clone());
        tokio::spawn(async move {
            for round in 0..150_usize {
                let pipeline = &pipelines[(worker + round) % 3];
                if worker == 0 && round % 40 == 39 {
                    log.forget(pipeline).await.unwrap();
                    continue;
                }
                // Some ids come by several nodes.
                let event_id = format!("{}", round * 2 + worker / 4);
                let file = format!("f{}", (round + worker) % 20);
                let name = ["file:queued", "file:processing", "file:completed"][(round + worker) % 3];
                let records = vec![record(name, &file, Some(&event_id)), record("x:more", "", None)];
                match log.append(pipeline, vec![batch(records, 1_000)]).await {
                    Ok(_) => {}
                    Err(error) => assert_eq!(error.kind, LogErrorKind::Moved, "{error}"),
                }
            }
        })
    });
    for task in appending.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let mut ends = Vec::new();
    for (log, stop, listening) in nodes {
        stop.send(()).unwrap();
        let (mut listener, mut tail) = listening.await.unwrap();
        listener.catch_up(&*log, &mut tail, &pipelines).await;
        let mut end: Vec<_> =
            listener.states.into_values().map(|state| (state.pipeline_id, state.epoch, state.seq)).collect();
        end.sort();
        ends.push(end);
    }
    assert_eq!(ends[0], ends[1]);
    assert_eq!(ends[0], ends[2]);
}

#[tokio::test]
async fn a_node_that_starts_folds_little_and_has_it_all() {
    let redis = Redis::start(&[]);
    let open = async || {
        let mut options = RedisOptions::new(redis.url());
        options.shards = 2;
        options.limits.ended_files = 400;
        // The events are of that time.
        options.clock = Some(Arc::new(ManualClock::new(Timestamp::from_millis(2_000))));
        RedisLog::open(options).await.unwrap()
    };
    let log = open().await;
    let mut tail = log.take_tail().unwrap();
    tokio::spawn(async move { while tail.recv().await.is_some() {} });
    for round in 0..40 {
        let records = (0..100).flat_map(|number| {
            let file = format!("f{}", round * 100 + number);
            ["file:queued", "file:processing", "file:completed"]
                .map(|name| records::by("w", record(name, &file, None)))
        });
        log.append(&id("p"), vec![batch(records.collect(), 1_000)]).await.unwrap();
    }
    let last = records::by("w", record("file:processing", "open", None));
    log.append(&id("p"), vec![batch(vec![last], 1_000)]).await.unwrap();
    let snap = async || -> u64 {
        let snap = redis.say(&["HGET", &format!("{{ragpulse:{:02}}}:p:p", shard("p")), "snap"]).await;
        redis::from_redis_value::<Option<u64>>(snap).unwrap().unwrap_or(0)
    };
    let began = std::time::Instant::now();
    while snap().await < 11_000 {
        assert!(began.elapsed() < Duration::from_secs(20), "its state was not written down");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let before = log.load().await.unwrap().remove(0);
    log.close().await;
    assert_eq!(snap().await, 12_001, "the last is written when it is closed");
    let again = open().await;
    let after = again.load().await.unwrap().remove(0);
    assert_eq!((&after.state, &after.open, after.first), (&before.state, &before.open, 1));
    assert_eq!(after.open[0].owner, who("w"));
    let files = async |log: &RedisLog| {
        let query = ragpulse_server::log::FilesQuery { limit: 10_000, ..Default::default() };
        log.files(&id("p"), query).await.unwrap().unwrap().files
    };
    assert_eq!(files(&again).await, files(&log).await);
    assert_eq!(files(&again).await.len(), 401);
    let written: u64 =
        redis::from_redis_value(redis.say(&["HLEN", &format!("{{ragpulse:{:02}}}:f:p", shard("p"))]).await)
            .unwrap();
    assert!(written < 3_000, "{written}: what is listed no longer goes");
}

#[tokio::test]
async fn history_goes_by_age_and_by_bytes() {
    let redis = Redis::start(&[]);
    let clock = ManualClock::new(Timestamp::from_millis(2_000));
    let mut options = RedisOptions::new(redis.url());
    options.clock = Some(Arc::new(clock.clone()));
    options.bytes_per_pipeline = 4_000;
    let log = RedisLog::open(options).await.unwrap();
    let append = async |pipeline: &str, at: i64| {
        let records = (0..30).map(|_| record("x:some", "", None)).collect();
        log.append(&id(pipeline), vec![batch(records, at)]).await.unwrap().remove(0)
    };
    let kept =
        async |pipeline: &str, cursor: &Cursor| match log.read(&id(pipeline), cursor, 100).await.unwrap() {
            Page::Records(records) => Some(records),
            _ => None,
        };
    let large = append("large", 1_000).await;
    let start = |epoch: &ragpulse_protocol::Epoch, seq| Cursor { epoch: epoch.clone(), seq };
    let from_start = start(&large.epoch, 0);
    eventually(async || kept("large", &from_start).await.is_none()).await;
    let some = kept("large", &start(&large.epoch, 25)).await.unwrap();
    assert_eq!(some.len(), 5, "the last of it stays");

    let mut options = RedisOptions::new(redis.url());
    options.clock = Some(Arc::new(clock.clone()));
    options.prefix = "old".to_owned();
    let log = RedisLog::open(options).await.unwrap();
    let week = 7 * 24 * 60 * 60 * 1_000;
    let records = |at| vec![batch((0..30).map(|_| record("x:some", "", None)).collect(), at)];
    let old = log.append(&id("p"), records(1_000)).await.unwrap().remove(0);
    clock.advance_millis(u32::try_from(week).unwrap() - 5_000);
    log.append(&id("p"), records(week - 3_000)).await.unwrap();
    clock.advance_millis(10_000);
    let from = async |seq| log.read(&id("p"), &start(&old.epoch, seq), 100).await.unwrap();
    eventually(async || matches!(from(29).await, Page::Trimmed)).await;
    assert!(matches!(from(30).await, Page::Records(young) if young.len() == 30));
}

/// Waits until something is so.
async fn eventually(mut so: impl AsyncFnMut() -> bool) {
    let began = std::time::Instant::now();
    while !so().await {
        assert!(began.elapsed() < Duration::from_secs(30), "it did not come to that");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// In which of two shards it is.
fn shard(pipeline: &str) -> u32 {
    crc32fast::hash(pipeline.as_bytes()) % 2
}
