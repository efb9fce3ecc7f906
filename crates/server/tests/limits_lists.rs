//! Pipelines that have been offline for long: they leave the lists, are there for who asks by name, and come back.
#![allow(clippy::unwrap_used)]

mod support;

use ragpulse_protocol::Timestamp;
use ragpulse_server::clock::ManualClock;
use ragpulse_server::config::HubLimits;
use ragpulse_server::{Config, Hub};
use serde_json::{Value, json};
use support::limits::metric;
use support::socket::Socket;
use support::{TestHub, eventually, file, online};

const DAY: u32 = 86_400_000;

fn offline() -> Value {
    json!({ "event": "pipeline:offline" })
}

async fn listed(hub: &TestHub, query: &str) -> Vec<String> {
    let (_, body) = hub.get(&format!("/api/rag-status{query}")).await;
    let pipelines = body["pipelines"].as_array().unwrap();
    pipelines.iter().map(|one| one["pipeline_id"].as_str().unwrap().to_owned()).collect()
}

fn configure(config: &mut Config) {
    config.metrics = true;
    config.heartbeat_seconds = 1;
}

/// The next message that is no heartbeat.
async fn next(socket: &mut Socket) -> (String, String, u64) {
    loop {
        let (name, data) = socket.next().await;
        if name != "heartbeat" {
            return (name, data["pipeline_id"].as_str().unwrap().to_owned(), data["seq"].as_u64().unwrap());
        }
    }
}

fn message(name: &str, pipeline: &str, seq: u64) -> (String, String, u64) {
    (name.to_owned(), pipeline.to_owned(), seq)
}

#[tokio::test]
async fn a_pipeline_that_is_long_offline_leaves_the_lists_and_comes_back() {
    let (hub, clock) = TestHub::timed(configure).await;
    hub.publish(
        "old",
        json!([online(), file("file:processing", "a"), file("file:completed", "a"), offline()]),
    )
    .await;
    clock.advance_millis(29 * DAY);
    // The lease of this one lapses after that, which is the last that happens in it.
    hub.publish("young", online()).await;
    clock.advance_millis(DAY - 1);
    hub.until("young", |state| state["liveness"] == "lost").await;
    assert_eq!(listed(&hub, "").await, ["old", "young"], "not a moment too early");
    clock.advance_millis(1);
    eventually("it is not listed", async || listed(&hub, "").await == ["young"]).await;
    assert_eq!(metric(&hub, "ragpulse_pipelines_unlisted").await, 1.0);
    assert_eq!(metric(&hub, "ragpulse_pipelines{liveness=\"offline\"}").await, 1.0);

    // By its name it is there, with its history.
    assert_eq!(listed(&hub, "?pipeline_id=old").await, ["old"]);
    let state = hub.state("old").await;
    assert_eq!((&state["counts"]["completed"], &state["seq"]), (&json!(1), &json!(4)));
    let epoch = state["epoch"].as_str().unwrap().to_owned();
    assert_eq!(hub.story("old").await.last().unwrap(), "offline normal_shutdown");

    // By scope a socket gets those that are listed; by id, or with a cursor, it gets this one too.
    let mut all = Socket::connect(hub.address, "/").await;
    let answer = all.ask("subscribe", json!({ "all": true })).await;
    assert_eq!(answer["pipelines"].as_array().unwrap().len(), 1, "{answer}");
    let mut typed = Socket::connect(hub.address, "/local_files").await;
    let mut named = Socket::connect(hub.address, "/").await;
    let answer = named.ask("subscribe", json!({ "pipeline_id": "old" })).await;
    assert_eq!(answer["pipelines"][0]["pipeline_id"], "old", "{answer}");
    let mut resumed = Socket::connect(hub.address, "/").await;
    let cursors = json!({ "old": { "epoch": epoch, "seq": 3 } });
    let answer = resumed.ask("subscribe", json!({ "all": true, "cursors": cursors })).await;
    assert_eq!(answer["pipelines"].as_array().unwrap().len(), 2, "{answer}");
    let young = next(&mut all).await;
    assert_eq!((&*young.0, &*young.1), ("pipeline:status", "young"));
    assert_eq!(next(&mut typed).await, young);
    assert_eq!(next(&mut named).await, message("pipeline:status", "old", 4));

    // With its next event it is there for everybody, and nobody misses one or gets one twice.
    hub.publish("old", json!([file("file:processing", "b"), file("file:completed", "b")])).await;
    assert_eq!(listed(&hub, "").await, ["old", "young"]);
    assert_eq!(metric(&hub, "ragpulse_pipelines_unlisted").await, 0.0);
    for socket in [&mut all, &mut typed] {
        assert_eq!(next(socket).await, message("pipeline:status", "old", 5));
    }
    assert_eq!(next(&mut named).await, message("pipeline:online", "old", 5));
    for socket in [&mut all, &mut typed, &mut named] {
        assert_eq!(next(socket).await, message("file:processing", "old", 6));
        assert_eq!(next(socket).await, message("file:completed", "old", 7));
    }
    let mut seen = Vec::new();
    while seen.last() != Some(&7) {
        let (_, pipeline, seq) = next(&mut resumed).await;
        if pipeline == "old" {
            seen.push(seq);
        }
    }
    assert_eq!(seen, [4, 5, 6, 7]);
}

#[tokio::test]
async fn who_leaves_a_scope_leaves_what_is_not_listed_too_and_one_that_is_forgotten_begins_anew() {
    let (hub, clock) = TestHub::timed(|config| {
        configure(config);
        config.limits.offline_days = 2;
    })
    .await;
    hub.publish("old", json!([online(), offline()])).await;
    let mut all = Socket::connect(hub.address, "/").await;
    all.ask("subscribe", json!({ "all": true })).await;
    assert_eq!(next(&mut all).await, message("pipeline:status", "old", 2));
    clock.advance_millis(2 * DAY);
    eventually("it is not listed", async || listed(&hub, "").await.is_empty()).await;
    // Who followed it goes on; it is told of what happens, and once.
    hub.publish("old", json!([online(), offline()])).await;
    assert_eq!(next(&mut all).await, message("pipeline:online", "old", 3));
    assert_eq!(next(&mut all).await, message("pipeline:offline", "old", 4));
    clock.advance_millis(2 * DAY);
    eventually("it is not listed again", async || listed(&hub, "").await.is_empty()).await;
    let left = all.ask("unsubscribe", json!({ "all": true })).await;
    assert_eq!(left["pipelines"], json!(["old"]));
    all.ask("subscribe", json!({ "all": true })).await;
    hub.send(reqwest::Method::DELETE, "/api/pipelines/old", "application/json", "").await;
    hub.publish("old", online()).await;
    assert_eq!(next(&mut all).await, message("pipeline:online", "old", 1));
}

#[tokio::test]
async fn a_hub_that_starts_lists_only_what_is_listed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let clock = ManualClock::new(Timestamp::from_millis(1_800_000_000_000));
    let start = async || {
        let mut config = Config::default();
        configure(&mut config);
        // So that nothing but the start can have done it.
        config.heartbeat_seconds = 3_600;
        let log = support::sqlite(&path, &HubLimits::default(), clock.clone());
        TestHub::on_log(Hub::builder().config(config).clock(clock.clone()), log).await
    };
    let hub = start().await;
    hub.publish("old", json!([online(), offline()])).await;
    hub.stop().await;
    let hub = start().await;
    assert_eq!(listed(&hub, "").await, ["old"]);
    hub.stop().await;
    clock.advance_millis(30 * DAY);
    let hub = start().await;
    assert_eq!(listed(&hub, "").await, Vec::<String>::new());
    hub.publish("old", file("file:queued", "a")).await;
    assert_eq!(listed(&hub, "").await, ["old"]);
    hub.stop().await;
}
