//! Reporters that are heard, that fall silent and that leave, and what becomes of their files.

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::{TestHub, file, online};

fn online_for(lease_seconds: u32) -> Value {
    json!({ "event": "pipeline:online", "data": { "pipeline_type": "local_files", "lease_seconds": lease_seconds } })
}

fn heartbeat() -> Value {
    json!({ "event": "heartbeat" })
}

fn offline() -> Value {
    json!({ "event": "pipeline:offline" })
}

/// Long enough for leases to have been looked at twice.
async fn a_look() {
    tokio::time::sleep(Duration::from_millis(600)).await;
}

#[tokio::test]
async fn a_silent_reporter_is_late_at_half_its_lease_and_lost_at_its_end() {
    let (hub, clock) = TestHub::timed(|_| {}).await;
    hub.publish("p", json!([online_for(60), file("file:processing", "a"), file("file:queued", "b")])).await;
    clock.advance_millis(29_999);
    a_look().await;
    assert_eq!(hub.state("p").await["liveness"], "live");
    clock.advance_millis(1);
    let late = hub.until("p", |state| state["liveness"] == "late").await;
    assert_eq!((late["seq"].clone(), late["status"].clone()), (json!(3), json!("online")));
    clock.advance_millis(29_999);
    a_look().await;
    assert_eq!(hub.state("p").await["liveness"], "late");
    clock.advance_millis(1);
    let lost = hub.until("p", |state| state["liveness"] == "lost").await;
    assert_eq!((lost["offline_reason"].clone(), lost["total_failed"].clone()), (json!("timeout"), json!(2)));
    let story = hub.story("p").await;
    assert_eq!(story[3..], ["failed a Interrupted", "failed b Interrupted", "offline timeout"]);
    assert_eq!(hub.hub.stats().leases_lapsed, 1);
}

#[tokio::test]
async fn a_reporter_that_names_no_lease_has_the_hubs() {
    let (hub, clock) = TestHub::timed(|config| config.lease_seconds = 10).await;
    hub.publish("p", online()).await;
    clock.advance_millis(9_999);
    hub.until("p", |state| state["liveness"] == "late").await;
    clock.advance_millis(1);
    hub.until("p", |state| state["liveness"] == "lost").await;
}

#[tokio::test]
async fn a_heartbeat_renews_the_lease_and_is_not_logged() {
    let (hub, clock) = TestHub::timed(|_| {}).await;
    hub.publish("p", json!([online_for(60), file("file:processing", "a")])).await;
    for _ in 0..3 {
        clock.advance_millis(59_000);
        hub.until("p", |state| state["liveness"] == "late").await;
        let receipt = hub.publish("p", heartbeat()).await;
        assert_eq!([&receipt["accepted"], &receipt["conflated"], &receipt["seq"]], [0, 1, 2]);
        assert_eq!(hub.state("p").await["liveness"], "live");
    }
    a_look().await;
    assert_eq!(hub.story("p").await, ["online", "processing a"]);
}

#[tokio::test]
async fn a_pipeline_that_was_lost_opens_again_with_its_next_event() {
    let (hub, clock) = TestHub::timed(|_| {}).await;
    hub.publish("p", json!([online_for(10), file("file:processing", "a")])).await;
    clock.advance_millis(10_000);
    let lost = hub.until("p", |state| state["liveness"] == "lost").await;
    assert_eq!([&lost["total_failed"], &lost["counts"]["failed"], &lost["counts"]["processing"]], [1, 1, 0]);
    // The reporter was only cut off. What it says is what happened.
    hub.publish("p", file("file:completed", "a")).await;
    let state = hub.state("p").await;
    assert_eq!((state["liveness"].clone(), state["total_failed"].clone()), (json!("live"), json!(0)));
    assert_eq!(
        [&state["total_processed"], &state["counts"]["completed"], &state["counts"]["failed"]],
        [1, 1, 0]
    );
    let story = hub.story("p").await;
    assert_eq!(story[2..], ["failed a Interrupted", "offline timeout", "online", "completed a"]);
    // The lease that it asked for is still its own.
    clock.advance_millis(10_000);
    hub.until("p", |state| state["liveness"] == "lost").await;
}

#[tokio::test]
async fn a_lapsed_reporters_files_end_while_another_goes_on() {
    let (hub, clock) = TestHub::timed(|_| {}).await;
    hub.publish_as(
        "one",
        "p",
        json!([online_for(60), file("file:processing", "a"), file("file:queued", "wait")]),
    )
    .await;
    hub.publish_as("two", "p", json!([online_for(60), file("file:processing", "b")])).await;
    clock.advance_millis(40_000);
    hub.publish_as("two", "p", heartbeat()).await;
    clock.advance_millis(20_000);
    let state = hub.until("p", |state| state["counts"]["failed"] == 1).await;
    assert_eq!(
        [&state["counts"]["processing"], &state["counts"]["queued"]],
        [1, 1],
        "only what it worked on"
    );
    assert_eq!(state["liveness"], "live");
    assert_eq!(hub.story("p").await[5..], ["failed a Interrupted"]);
    // With the last reporter goes what waits, too.
    let receipt = hub.publish_as("two", "p", offline()).await;
    assert_eq!([&receipt["accepted"], &receipt["conflated"]], [1, 0]);
    let story = hub.story("p").await;
    assert_eq!(story[6..], ["failed b Interrupted", "failed wait Interrupted", "offline normal_shutdown"]);
}

#[tokio::test]
async fn a_reporter_that_leaves_ends_its_own_files_only() {
    let hub = TestHub::start().await;
    hub.publish_as("one", "p", json!([online(), file("file:processing", "a"), file("file:queued", "wait")]))
        .await;
    // Somebody without a name is a reporter too.
    hub.publish("p", file("file:processing", "b")).await;
    let receipt = hub.publish_as("one", "p", offline()).await;
    assert_eq!([&receipt["accepted"], &receipt["conflated"], &receipt["seq"]], [0, 1, 5]);
    let state = hub.state("p").await;
    assert_eq!(
        [&state["counts"]["processing"], &state["counts"]["queued"], &state["counts"]["failed"]],
        [1, 1, 1]
    );
    assert_eq!(state["liveness"], "live");
    hub.publish("p", offline()).await;
    assert_eq!(hub.state("p").await["liveness"], "offline");
    let state = hub.state("p").await;
    assert_eq!(
        [&state["counts"]["processing"], &state["counts"]["queued"], &state["counts"]["failed"]],
        [0, 0, 3]
    );
}

#[tokio::test]
async fn who_tells_of_a_files_progress_answers_for_it() {
    let hub = TestHub::start().await;
    hub.publish_as("one", "p", json!([online(), file("file:processing", "a"), file("file:processing", "b")]))
        .await;
    hub.publish_as("two", "p", file("file:progress", "a")).await;
    hub.publish_as("one", "p", offline()).await;
    assert_eq!(hub.story("p").await[4..], ["failed b Interrupted"]);
    hub.publish_as("two", "p", offline()).await;
    assert_eq!(hub.story("p").await[5..], ["failed a Interrupted", "offline normal_shutdown"]);
}

#[tokio::test]
async fn who_says_twice_that_it_left_is_not_waited_for() {
    let hub = TestHub::start().await;
    let gone = json!({ "event": "pipeline:offline", "event_id": "gone" });
    hub.publish_as("one", "p", json!([online(), gone])).await;
    // A resend after an answer that was lost, and an empty batch.
    assert_eq!(hub.publish_as("one", "p", json!([gone])).await["duplicates"], 1);
    hub.publish_as("one", "p", json!([])).await;
    hub.publish_as("two", "p", online()).await;
    assert_eq!(hub.publish_as("two", "p", offline()).await["accepted"], 1);
    assert_eq!(hub.state("p").await["offline_reason"], "normal_shutdown");
}

#[tokio::test]
async fn who_was_refused_holds_no_lease() {
    let hub = TestHub::configured(|config| config.limits.reporters = 2).await;
    hub.publish_as("one", "p", online()).await;
    for _ in 0..2 {
        let wrong =
            json!([{ "event": "pipeline:online", "data": { "pipeline_type": "other", "lease_seconds": 9 } }]);
        let (status, _) = hub.try_publish("p", wrong).await;
        assert_eq!(status, 409);
    }
    hub.publish_as("two", "p", heartbeat()).await;
    // A third at the same time is one too many.
    let (status, problem) = hub.try_publish("p", heartbeat()).await;
    assert_eq!((status.as_u16(), problem["code"].as_str()), (429, Some("limit_exceeded")), "{problem}");
    hub.publish_as("two", "p", offline()).await;
    assert_eq!(hub.publish_as("one", "p", offline()).await["accepted"], 1);
    assert_eq!(hub.state("p").await["liveness"], "offline");
}

#[tokio::test]
async fn the_log_in_memory_begins_a_new_epoch_with_each_start() {
    let first = TestHub::start().await;
    let epoch = first.publish("p", json!([online(), file("file:processing", "a")])).await["epoch"].clone();
    first.stop().await;
    let second = TestHub::start().await;
    let old = format!("/api/pipelines/p/events?epoch={}&seq=2", epoch.as_str().unwrap());
    assert_eq!(second.get(&old).await.1["reason"], "unknown_pipeline");
    // What a reporter gets for it, so that it says again what it does.
    let (status, problem) = second.try_publish("p", file("file:completed", "a")).await;
    assert_eq!((status.as_u16(), problem["code"].as_str()), (404, Some("unknown_pipeline")));
    let again = second.publish("p", json!([online(), file("file:processing", "a")])).await;
    assert_eq!(again["seq"], 2);
    assert_ne!(again["epoch"], epoch);
    let answer = second.get(&old).await.1;
    assert_eq!(
        (answer["reason"].clone(), answer["snapshot"]["seq"].clone()),
        (json!("epoch_changed"), json!(2))
    );
}
