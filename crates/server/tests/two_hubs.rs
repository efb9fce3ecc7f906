//! Two hubs on one log, with reporters that come by either: one order of what is decided, not only of what is written.

mod support;

use std::sync::Arc;
use std::time::Duration;

use ragpulse_protocol::Timestamp;
use ragpulse_server::Hub;
use ragpulse_server::clock::{Clock, ManualClock, SystemClock};
use ragpulse_server::log::EventLog;
use serde_json::{Value, json};
use support::shared::{shared_logs, shared_logs_by};
use support::{TestHub, file, online};

/// One log for two hubs: in memory, or with `RAGPULSE_TEST_STORE=redis` in Redis.
async fn logs(clock: impl Clock + Clone) -> Vec<Arc<dyn EventLog>> {
    #[cfg(feature = "redis")]
    if std::env::var("RAGPULSE_TEST_STORE").as_deref() == Ok("redis") {
        return support::redis::shared_logs(2, clock).await;
    }
    let _ = clock;
    shared_logs(2)
}

async fn two() -> [TestHub; 2] {
    let mut hubs = Vec::new();
    for log in logs(SystemClock::default()).await {
        hubs.push(TestHub::on_log(Hub::builder(), log).await);
    }
    hubs.try_into().unwrap_or_else(|_| panic!("two"))
}

/// Two hubs whose time stands until the test moves it.
async fn two_timed() -> ([TestHub; 2], ManualClock) {
    let clock = ManualClock::new(Timestamp::from_millis(1_800_000_000_000));
    let mut hubs = Vec::new();
    for log in logs(clock.clone()).await {
        hubs.push(TestHub::on_log(Hub::builder().clock(clock.clone()), log).await);
    }
    (hubs.try_into().unwrap_or_else(|_| panic!("two")), clock)
}

fn progress(current: u64) -> Value {
    let fields = json!({ "file": { "name": "a" }, "processing_stage": "embedding", "progress": 0.5, "current": current });
    json!({ "event": "file:progress", "data": fields })
}

/// Waits until both show this position.
async fn both_at(hubs: &[TestHub; 2], pipeline: &str, seq: u64) {
    for hub in hubs {
        hub.until(pipeline, |state| state["seq"] == seq).await;
    }
}

#[tokio::test]
async fn what_one_opened_the_other_knows() {
    let hubs = two().await;
    hubs[0].publish("p", json!([online(), file("file:processing", "a")])).await;
    // It has no desk of this pipeline, and may not have its events by the tail yet.
    let receipt = hubs[1].publish("p", json!([file("file:completed", "a")])).await;
    assert_eq!(receipt["seq"], 3);
    let receipt = hubs[0].publish("p", json!([file("file:queued", "b")])).await;
    assert_eq!(receipt["seq"], 4, "and it goes on where the other left off");
    both_at(&hubs, "p", 4).await;
    assert_eq!(hubs[0].story("p").await, hubs[1].story("p").await);
    let state = hubs[0].state("p").await;
    assert_eq!((&state["counts"]["completed"], &state["counts"]["queued"]), (&json!(1), &json!(1)));
}

#[tokio::test]
async fn a_receipt_names_no_position_before_what_it_acknowledges() {
    let logs = shared_logs_by(2, SystemClock::default());
    let mut hubs = Vec::new();
    for log in &logs {
        hubs.push(TestHub::on_log(Hub::builder(), log.clone()).await);
    }
    let with_id = |name: &str| {
        let mut event = file("file:queued", name);
        event["event_id"] = json!(format!("queued {name}"));
        event
    };
    hubs[0].publish("p", json!([online()])).await;
    hubs[1].publish("p", json!([with_id("a")])).await;
    hubs[1].until("p", |state| state["seq"] == 2).await;
    logs[1].hold_tail();
    let batch = json!([with_id("b"), with_id("c")]);
    assert_eq!(hubs[0].publish("p", batch.clone()).await["seq"], 4);
    // The answer was lost, so its reporter sends it again, by a hub that has yet to hear of it.
    let receipt = hubs[1].publish("p", batch).await;
    assert_eq!((&receipt["duplicates"], &receipt["accepted"]), (&json!(2), &json!(0)));
    assert_eq!(receipt["seq"], 4, "{receipt}");
    assert_eq!(hubs[1].state("p").await["seq"], 2, "it has not heard of it by its tail");
    logs[1].let_tail_go();
    hubs[1].until("p", |state| state["seq"] == 4).await;
}

#[tokio::test]
async fn an_offline_pipeline_is_opened_again_once() {
    let hubs = two().await;
    hubs[0].publish("p", json!([online()])).await;
    hubs[1].publish("p", json!([{ "event": "pipeline:offline", "data": {} }])).await;
    hubs[0].publish("p", json!([file("file:queued", "a")])).await;
    hubs[1].publish("p", json!([file("file:queued", "b")])).await;
    both_at(&hubs, "p", 5).await;
    let story = hubs[0].story("p").await;
    let words: Vec<_> = story.iter().map(|event| event.split(' ').next().unwrap()).collect();
    assert_eq!(words, ["online", "offline", "online", "queued", "queued"]);
    assert_eq!(hubs[0].state("p").await["liveness"], "live");
}

#[tokio::test]
async fn held_progress_never_comes_after_an_end_on_another_hub() {
    let (hubs, clock) = two_timed().await;
    hubs[0].publish("p", json!([online(), file("file:processing", "a"), progress(1)])).await;
    let receipt = hubs[0].publish("p", json!([progress(2)])).await;
    assert_eq!(receipt["conflated"], 1, "it waits here");
    hubs[1].publish("p", json!([file("file:completed", "a")])).await;
    clock.advance_millis(1_000);
    // It lets go what it holds, or has tried to by then.
    hubs[0].hub.close(Duration::from_secs(5)).await;
    hubs[1].publish("p", json!([file("file:queued", "b")])).await;
    let (epoch, seq) = hubs[1].cursor("p").await;
    assert_eq!(seq, 5);
    let answer = hubs[1].events("p", &epoch, 0).await;
    let names: Vec<_> =
        answer["events"].as_array().unwrap().iter().map(|event| event["event"].clone()).collect();
    assert_eq!(
        names,
        ["pipeline:online", "file:processing", "file:progress", "file:completed", "file:queued"]
    );
}

#[tokio::test]
async fn held_progress_does_not_take_back_what_another_hub_told() {
    let (hubs, clock) = two_timed().await;
    hubs[0].publish("p", json!([online(), file("file:processing", "a"), progress(1)])).await;
    clock.advance_millis(1);
    assert_eq!(hubs[0].publish("p", json!([progress(2)])).await["conflated"], 1);
    clock.advance_millis(1_000);
    // The later one goes by the other hub; whether the first let go before that or not, the later one stays.
    hubs[1].publish("p", json!([progress(3)])).await;
    hubs[0].hub.close(Duration::from_secs(5)).await;
    hubs[1].publish("p", json!([file("file:queued", "b")])).await;
    assert_eq!(hubs[1].state("p").await["files"][0]["current"], 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_reporters_by_both_have_one_order_and_every_id_once() {
    let hubs = Arc::new(two().await);
    hubs[0].publish("p", json!([online()])).await;
    let mut reporting = Vec::new();
    for reporter in 0..6_usize {
        let hubs = hubs.clone();
        reporting.push(tokio::spawn(async move {
            let mut accepted = 0;
            for number in 0..20_usize {
                // Each file is reported by two, by whichever hub.
                let name = format!("f{}-{number}", reporter / 2);
                let event = |name: &str, file: &str| {
                    json!({ "event": name, "event_id": format!("{name} {file}"), "data": { "file": { "name": file } } })
                };
                let batch = json!([event("file:processing", &name), event("file:completed", &name)]);
                let hub = &hubs[(reporter + number) % 2];
                loop {
                    let (status, answer) = hub.try_publish("p", batch.clone()).await;
                    if status.is_success() {
                        accepted += answer["accepted"].as_u64().unwrap();
                        break;
                    }
                    assert_eq!(answer["code"], "overloaded", "{answer}");
                }
            }
            accepted
        }));
    }
    let mut accepted = 0;
    for task in reporting {
        accepted += task.await.unwrap();
    }
    assert_eq!(accepted, 120, "two events of each of sixty files, once");
    both_at(&hubs, "p", 121).await;
    let (one, two) = (hubs[0].state("p").await, hubs[1].state("p").await);
    assert_eq!((&one["counts"]["completed"], &one["counts"]["processing"]), (&json!(60), &json!(0)));
    assert_eq!((&one["counts"], &one["files"]), (&two["counts"], &two["files"]));
    assert_eq!(hubs[0].story("p").await, hubs[1].story("p").await);
}
