//! Coming back: with one cursor, over every transport, across restarts of the hub, from the ring and from the log.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ragpulse_protocol::http::FilesPage;
use ragpulse_protocol::status::ResetReason;
use ragpulse_protocol::{Cursor, PipelineId};
use ragpulse_server::log::{
    Appended, Batch, EventLog, Extent, FilesQuery, HistoryPage, HistoryQuery, LogError, Page, Stored,
    TailItem,
};
use ragpulse_server::{Config, Hub};
use serde_json::{Value, json};

use support::follow::Follower;
use support::socket::Socket;
use support::{TestHub, eventually, file, names, online};

/// Publishes `count` events about files, two a file.
async fn work(hub: &TestHub, first: usize, count: usize) {
    let events: Vec<Value> = (first..first + count)
        .map(|number| {
            let name = if number % 2 == 0 { "file:processing" } else { "file:completed" };
            file(name, &format!("f{}", number / 2))
        })
        .collect();
    hub.publish("p", Value::Array(events)).await;
}

fn small_ring(config: &mut Config) {
    config.limits.ring_events = 8;
}

#[tokio::test]
async fn a_restart_is_bridged_by_a_replay() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let hub = TestHub::at(&path, |_| {}).await;
    hub.publish("p", json!([online()])).await;
    work(&hub, 0, 50).await;
    let mut follower = Follower::default();
    let mut socket = Socket::connect(hub.address, "/").await;
    follower.subscribe(&mut socket).await;
    follower.read(&mut socket, 51).await;
    socket.cut();
    work(&hub, 50, 30).await;
    let epoch = hub.cursor("p").await.0;
    hub.stop().await;

    let hub = TestHub::at(&path, |_| {}).await;
    assert_eq!(hub.cursor("p").await, (epoch, 81));
    let mut socket = Socket::connect(hub.address, "/").await;
    let answer = follower.subscribe(&mut socket).await;
    assert_eq!((&answer["recovered"], &answer["replayed"]), (&json!(true), &json!(30)));
    follower.read(&mut socket, 81).await;
    work(&hub, 80, 5).await;
    follower.read(&mut socket, 86).await;
    assert_eq!(follower.snapshots, [None]);
    follower.agrees(&hub);
    follower.poll(&hub).await;
    hub.stop().await;
}

#[tokio::test]
async fn what_the_ring_has_lost_is_replayed_from_the_log() {
    let hub = TestHub::configured(small_ring).await;
    hub.publish("p", json!([online()])).await;
    let mut follower = Follower::default();
    let mut socket = Socket::connect(hub.address, "/").await;
    follower.subscribe(&mut socket).await;
    follower.read(&mut socket, 1).await;
    socket.cut();
    work(&hub, 0, 3_000).await;
    hub.until("p", |state| state["seq"] == 3_001).await;
    let mut socket = Socket::connect(hub.address, "/").await;
    let answer = follower.subscribe(&mut socket).await;
    assert_eq!((&answer["recovered"], &answer["replayed"]), (&json!(true), &json!(3_000)));
    work(&hub, 3_000, 100).await;
    follower.read(&mut socket, 3_101).await;
    work(&hub, 3_100, 10).await;
    follower.read(&mut socket, 3_111).await;
    assert_eq!(follower.snapshots, [None], "no snapshot where a replay was to be had");
    follower.agrees(&hub);
}

#[tokio::test]
async fn who_asks_for_too_much_gets_one_snapshot() {
    let hub = TestHub::configured(|config| {
        small_ring(config);
        config.limits.replay_events = 100;
        config.limits.replay_bytes = 10_000;
    })
    .await;
    hub.publish("p", json!([online()])).await;
    work(&hub, 0, 99).await;
    let (epoch, _) = hub.cursor("p").await;
    for (seq, recovered) in [(99, true), (95, true), (90, true), (20, false), (0, false)] {
        let mut socket = Socket::connect(hub.address, "/").await;
        let ask = json!({ "pipeline_id": "p", "cursors": { "p": { "epoch": epoch, "seq": seq } } });
        let answer = socket.ask("subscribe", ask).await;
        assert_eq!(answer["pipelines"][0]["recovered"], recovered, "from {seq}: {answer}");
        if !recovered {
            assert_eq!(answer["pipelines"][0]["reason"], "lagged");
            assert_eq!(socket.next().await.0, "pipeline:status");
        }
    }
    // Over HTTP there is no budget: pages are read through.
    let page = hub.events("p", &epoch, 0).await;
    assert_eq!(names(&page).len(), 100);
}

#[tokio::test]
async fn who_was_away_for_longer_than_history_is_kept_gets_the_state() {
    let hub = TestHub::configured(|config| {
        small_ring(config);
        config.limits.log_events = 20;
    })
    .await;
    hub.publish("p", json!([online()])).await;
    work(&hub, 0, 100).await;
    let (epoch, _) = hub.cursor("p").await;
    let ask = |seq| json!({ "pipeline_id": "p", "cursors": { "p": { "epoch": epoch, "seq": seq } } });
    // A store trims a little later than it appends.
    eventually("history is trimmed", async || hub.events("p", &epoch, 5).await["reason"] == "trimmed").await;
    let mut socket = Socket::connect(hub.address, "/").await;
    let answer = socket.ask("subscribe", ask(5)).await;
    assert_eq!(answer["pipelines"][0]["reason"], "trimmed");
    let (name, state) = socket.next().await;
    assert_eq!(
        (name.as_str(), &state["reason"], &state["seq"]),
        ("pipeline:status", &json!("trimmed"), &json!(101))
    );
    let answer = socket.ask("subscribe", ask(500)).await;
    assert_eq!(answer["pipelines"][0]["reason"], "ahead");
    let other = json!({ "pipeline_id": "p", "cursors": { "p": { "epoch": "other", "seq": 5 } } });
    assert_eq!(socket.ask("subscribe", other).await["pipelines"][0]["reason"], "epoch_changed");
}

#[tokio::test]
async fn leaving_while_the_log_is_asked_leaves_nothing_behind() {
    let hub = TestHub::configured(small_ring).await;
    hub.publish("p", json!([online()])).await;
    work(&hub, 0, 200).await;
    let (epoch, _) = hub.cursor("p").await;
    let ask = json!({ "pipeline_id": "p", "cursors": { "p": { "epoch": epoch, "seq": 1 } } });
    let mut socket = Socket::connect(hub.address, "/").await;
    for _ in 0..20 {
        let joined = socket.send("subscribe", ask.clone()).await;
        let left = socket.send("unsubscribe", json!({ "pipeline_id": "p" })).await;
        socket.ack(left).await;
        assert_eq!(socket.ack(joined).await["pipelines"][0]["recovered"], true);
    }
    assert_eq!(hub.hub.stats().subscriptions, 0);
    // The last of several at once holds.
    let mut follower = Follower::default();
    for _ in 0..5 {
        socket.send("subscribe", ask.clone()).await;
    }
    follower.subscribe(&mut socket).await;
    while follower.session.state().is_none_or(|state| state.seq < 201) {
        let message = socket.message().await;
        let _ = follower.session.handle(&message);
    }
    follower.agrees(&hub);
}

#[tokio::test]
async fn a_pipeline_asked_for_by_id_and_by_type_is_answered_once() {
    let hub = TestHub::configured(small_ring).await;
    hub.publish("p", json!([online()])).await;
    hub.publish("q", json!([online()])).await;
    work(&hub, 0, 50).await;
    let (epoch, _) = hub.cursor("p").await;
    let kind = hub.state("p").await["pipeline_type"].clone();
    let cursors = json!({ "p": { "epoch": epoch, "seq": 1 } });
    let mut socket = Socket::connect(hub.address, "/").await;
    let ask = json!({ "pipeline_id": "p", "pipeline_type": kind, "cursors": cursors });
    let answer = socket.ask("subscribe", ask).await;
    let told = answer["pipelines"].as_array().unwrap();
    let told: Vec<_> = told.iter().map(|one| (&one["pipeline_id"], &one["replayed"])).collect();
    assert_eq!(told, [(&json!("p"), &json!(50)), (&json!("q"), &json!(0))]);
}

#[tokio::test]
async fn a_store_that_may_have_lost_its_end_begins_new_epochs() {
    use ragpulse_server::log::{EventLog, SqliteLog, sqlite::SqliteOptions};
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let hub = TestHub::at(&path, |_| {}).await;
    hub.publish("p", json!([online()])).await;
    work(&hub, 0, 20).await;
    let mut follower = Follower::default();
    let mut socket = Socket::connect(hub.address, "/").await;
    follower.subscribe(&mut socket).await;
    follower.read(&mut socket, 21).await;
    // The machine goes down: what is on the disk at this moment is what is left.
    let copy = directory.path().join("copy.db");
    for end in ["", "-wal"] {
        std::fs::copy(
            directory.path().join(format!("store.db{end}")),
            directory.path().join(format!("copy.db{end}")),
        )
        .unwrap();
    }
    drop(hub);
    let mut options = SqliteOptions::new(&copy);
    options.boot = Some("another".to_owned());
    let log = SqliteLog::open(options).unwrap();
    let state = log.load().await.unwrap().remove(0).state;
    assert_ne!(Some(&state.epoch), follower.session.cursor().as_ref().map(|cursor| &cursor.epoch));
    assert_eq!(state.seq, 21, "the places go on");
    log.close().await;
    let hub = TestHub::at(&copy, |_| {}).await;
    let mut socket = Socket::connect(hub.address, "/").await;
    let answer = follower.subscribe(&mut socket).await;
    assert_eq!(answer["reason"], "epoch_changed");
    work(&hub, 20, 4).await;
    follower.read(&mut socket, 25).await;
    assert_eq!(follower.snapshots, [None, Some(ResetReason::EpochChanged)]);
    follower.agrees(&hub);
}

/// A log that trims what it is asked for in the middle of a start: at its second read.
struct Trimming {
    log: Arc<dyn EventLog>,
    reads: AtomicUsize,
}

#[async_trait::async_trait]
impl EventLog for Trimming {
    async fn seen(&self, pipeline: &PipelineId, ids: &[&str]) -> Result<Vec<bool>, LogError> {
        self.log.seen(pipeline, ids).await
    }
    async fn append(&self, pipeline: &PipelineId, batches: Vec<Batch>) -> Result<Vec<Appended>, LogError> {
        self.log.append(pipeline, batches).await
    }
    async fn read(&self, pipeline: &PipelineId, after: &Cursor, limit: usize) -> Result<Page, LogError> {
        if self.reads.fetch_add(1, Ordering::SeqCst) == 1 {
            return Ok(Page::Trimmed);
        }
        self.log.read(pipeline, after, limit).await
    }
    async fn extent(&self, pipeline: &PipelineId, after: &Cursor, last: u64) -> Result<Extent, LogError> {
        self.log.extent(pipeline, after, last).await
    }
    async fn files(&self, pipeline: &PipelineId, query: FilesQuery) -> Result<Option<FilesPage>, LogError> {
        self.log.files(pipeline, query).await
    }
    async fn history(&self, id: &PipelineId, query: HistoryQuery) -> Result<Option<HistoryPage>, LogError> {
        self.log.history(id, query).await
    }
    async fn load(&self) -> Result<Vec<Stored>, LogError> {
        self.log.load().await
    }
    async fn forget(&self, pipeline: &PipelineId) -> Result<(), LogError> {
        self.log.forget(pipeline).await
    }
    fn take_tail(&self) -> Option<tokio::sync::mpsc::Receiver<TailItem>> {
        self.log.take_tail()
    }
    async fn close(&self) {
        self.log.close().await;
    }
}

fn store(path: &Path) -> Arc<dyn EventLog> {
    support::sqlite(path, &Config::default().limits, ragpulse_server::clock::SystemClock::default())
}

#[tokio::test]
async fn what_is_trimmed_while_a_hub_starts_makes_no_hole() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let hub = TestHub::on_log(Hub::builder(), store(&path)).await;
    hub.publish("p", json!([online()])).await;
    for batch in 0..3 {
        work(&hub, batch * 2_000, 2_000).await;
    }
    hub.stop().await;
    let hub =
        TestHub::on_log(Hub::builder(), Arc::new(Trimming { log: store(&path), reads: AtomicUsize::new(0) }))
            .await;
    work(&hub, 6_000, 10).await;
    let (epoch, end) = hub.cursor("p").await;
    let mut seq = 0;
    while seq < end {
        let page = hub.events("p", &epoch, seq).await;
        for event in page["events"].as_array().unwrap() {
            seq += 1;
            assert_eq!(event["data"]["seq"], seq);
        }
    }
    hub.stop().await;
}
