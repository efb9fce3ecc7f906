//! Progress: only the latest counts, and an end waits for none of it.

mod support;

use serde_json::{Value, json};
use support::{TestHub, eventually, file, online};

fn progress(stage: &str, current: u64, total: u64) -> Value {
    #[allow(clippy::cast_precision_loss)]
    let part = current as f64 / total as f64;
    json!({ "event": "file:progress", "data": {
        "file": { "name": "big.pdf" }, "processing_stage": stage, "progress": part, "current": current,
    }})
}

fn big(event: &str) -> Value {
    json!({ "event": event, "data": { "file": { "name": "big.pdf" } } })
}

#[tokio::test]
async fn a_storm_of_59_000_progress_events_leaves_a_few_and_the_exact_last() {
    const TOTAL: u64 = 59_000;
    let (hub, clock) = TestHub::timed(|_| {}).await;
    hub.publish("p", json!([online(), big("file:processing")])).await;
    let (mut accepted, mut conflated) = (0, 0);
    for begin in (0..TOTAL).step_by(5_000) {
        let end = (begin + 5_000).min(TOTAL);
        let batch: Vec<Value> = (begin..end).map(|n| progress("embedding", n + 1, TOTAL)).collect();
        let receipt = hub.publish("p", json!(batch)).await;
        let count = |key: &str| receipt[key].as_u64().unwrap();
        assert_eq!(count("accepted") + count("duplicates") + count("conflated"), end - begin);
        accepted += count("accepted");
        conflated += count("conflated");
        clock.advance_millis(50);
    }
    assert_eq!(accepted + conflated, TOTAL);
    // The last one is held, and goes when its time has come.
    clock.advance_millis(100);
    let state = hub.until("p", |state| state["files"][0]["current"] == TOTAL).await;
    assert_eq!(state["files"][0]["progress"], 1.0);
    let logged = state["seq"].as_u64().unwrap() - 2;
    assert!(logged <= 14, "{logged} in 0.7 s at 10 a second");
    assert!(logged >= 5, "{logged}: it was shown on the way");
    // An end waits for nothing, and nothing comes after it.
    let receipt = hub.publish("p", json!([progress("embedding", 1, TOTAL), big("file:completed")])).await;
    assert_eq!(receipt["seq"].as_u64().unwrap(), logged + 2 + receipt["accepted"].as_u64().unwrap());
    assert_eq!(hub.story("p").await.last().unwrap(), "completed big.pdf");
}

#[tokio::test]
async fn the_first_and_each_change_of_stage_go_at_once() {
    let (hub, _clock) = TestHub::timed(|_| {}).await;
    let batch = json!([
        online(),
        big("file:processing"),
        progress("extraction", 1, 4),
        progress("extraction", 2, 4),
        progress("chunking", 3, 4),
        progress("chunking", 4, 4),
    ]);
    let receipt = hub.publish("p", batch).await;
    assert_eq!([&receipt["accepted"], &receipt["conflated"], &receipt["seq"]], [4, 2, 4]);
    assert_eq!(hub.state("p").await["files"][0]["current"], 3);
}

#[tokio::test]
async fn no_progress_comes_after_the_end() {
    let (hub, clock) = TestHub::timed(|_| {}).await;
    let batch = json!([
        online(),
        big("file:processing"),
        progress("embedding", 1, 4),
        progress("embedding", 2, 4),
        big("file:completed"),
        progress("embedding", 3, 4),
    ]);
    let receipt = hub.publish("p", batch).await;
    assert_eq!([&receipt["accepted"], &receipt["conflated"], &receipt["seq"]], [4, 2, 4]);
    clock.advance_millis(10_000);
    // Whatever was held would go before this.
    hub.publish("p", json!([file("file:processing", "b"), file("file:progress", "b")])).await;
    clock.advance_millis(1_000);
    hub.publish("p", file("file:progress", "b")).await;
    let story = hub.story("p").await;
    assert_eq!(
        story,
        [
            "online",
            "processing big.pdf",
            "progress big.pdf",
            "completed big.pdf",
            "processing b",
            "progress b",
            "progress b"
        ]
    );
    assert_eq!(hub.hub.stats().anomalies, 0);
}

#[tokio::test]
async fn many_files_share_the_rate_of_their_pipeline() {
    let (hub, clock) = TestHub::timed(|config| config.limits.progress_per_pipeline = 20).await;
    let files: Vec<Value> = (0..100).map(|n| file("file:processing", &format!("f{n}"))).collect();
    hub.publish("p", json!([online()])).await;
    hub.publish("p", json!(files)).await;
    let all = |at: f64| -> Value {
        let one = |n: u32| {
            let mut event = file("file:progress", &format!("f{n}"));
            event["data"]["progress"] = json!(at);
            event
        };
        json!((0..100).map(one).collect::<Vec<_>>())
    };
    // The first of each goes at once, whatever the rate.
    assert_eq!(hub.publish("p", all(0.1)).await["accepted"], 100);
    clock.advance_millis(1_000);
    let mut logged = 0;
    for step in 0..10 {
        let receipt = hub.publish("p", all(f64::from(20 + step) / 100.0)).await;
        logged += receipt["accepted"].as_u64().unwrap();
        clock.advance_millis(100);
    }
    assert!((20..=40).contains(&logged), "{logged} in a second at 20 a second");
    eventually("the last of each", async || {
        clock.advance_millis(200);
        let state = hub.state("p").await;
        state["files"].as_array().unwrap().iter().all(|file| file["progress"] == json!(0.29))
    })
    .await;
}

#[tokio::test]
async fn what_is_held_is_logged_before_the_hub_closes() {
    let (hub, _clock) = TestHub::timed(|_| {}).await;
    hub.publish("p", json!([online(), big("file:processing"), progress("a", 1, 4), progress("a", 2, 4)]))
        .await;
    assert_eq!(hub.state("p").await["files"][0]["current"], 1);
    let handle = hub.hub.clone();
    hub.stop().await;
    let id = ragpulse_protocol::PipelineId::new("p").unwrap();
    assert_eq!(handle.state(&id).unwrap().files.get("big.pdf").unwrap().current, Some(2));
}
