//! A subscriber that comes from another hub may have seen more than this one has followed to. It is not set back: what it missed comes
//! by its cursor, as soon as this hub knows of it.

mod support;

use std::sync::Arc;

use ragpulse_protocol::status::ResetReason;
use ragpulse_server::Hub;
use ragpulse_server::clock::SystemClock;
use reqwest::StatusCode;
use serde_json::json;
use support::follow::Follower;
use support::shared::{SharedLog, shared_logs_by};
use support::socket::Socket;
use support::{TestHub, file, online};

/// Two hubs on one log, and a subscriber that was at the first and has seen all: three events.
async fn moved() -> ([TestHub; 2], Vec<Arc<SharedLog>>, Follower) {
    let logs = shared_logs_by(2, SystemClock::default());
    let mut hubs = Vec::new();
    for log in &logs {
        hubs.push(TestHub::on_log(Hub::builder(), log.clone()).await);
    }
    let hubs: [TestHub; 2] = hubs.try_into().unwrap_or_else(|_| panic!("two"));
    hubs[0].publish("p", json!([online()])).await;
    hubs[1].until("p", |state| state["seq"] == 1).await;
    logs[1].hold_tail();
    hubs[0].publish("p", json!([file("file:queued", "a"), file("file:queued", "b")])).await;
    hubs[0].until("p", |state| state["seq"] == 3).await;
    let mut follower = Follower::default();
    let mut socket = Socket::connect(hubs[0].address, "/").await;
    follower.subscribe(&mut socket).await;
    follower.read(&mut socket, 3).await;
    assert_eq!(follower.snapshots, [None]);
    (hubs, logs, follower)
}

#[tokio::test]
async fn a_later_cursor_of_another_hub_is_gone_on_from() {
    let (hubs, logs, mut follower) = moved().await;
    let mut socket = Socket::connect(hubs[1].address, "/").await;
    let answer = follower.subscribe(&mut socket).await;
    assert_eq!(answer, json!({ "pipeline_id": "p", "recovered": true, "replayed": 0 }));
    // This hub learns of what the other appended, and of one more: that alone is new for the subscriber.
    hubs[0].publish("p", json!([file("file:processing", "a")])).await;
    logs[1].let_tail_go();
    follower.read(&mut socket, 4).await;
    hubs[1].publish("p", json!([file("file:completed", "a")])).await;
    follower.read(&mut socket, 5).await;
    assert_eq!((follower.snapshots.len(), follower.applied), (1, 2), "no state was given a second time");
}

#[tokio::test]
async fn a_hub_that_catches_up_at_once_replays_at_once() {
    let (hubs, logs, mut follower) = moved().await;
    hubs[0].publish("p", json!([file("file:processing", "a")])).await;
    let (subscribed, ()) = tokio::join!(
        async {
            let mut socket = Socket::connect(hubs[1].address, "/").await;
            let answer = follower.subscribe(&mut socket).await;
            follower.read(&mut socket, 4).await;
            answer
        },
        async { logs[1].let_tail_go() },
    );
    assert_eq!(subscribed["recovered"], true, "{subscribed}");
    assert_eq!((follower.snapshots.len(), follower.applied), (1, 1));
}

#[tokio::test]
async fn who_follows_a_type_is_not_set_back_either() {
    let (hubs, logs, mut follower) = moved().await;
    let mut socket = Socket::connect(hubs[1].address, "/").await;
    let ask = json!({ "pipeline_type": "local_files", "cursors": follower.cursors() });
    let answer = socket.ask("subscribe", ask).await;
    assert_eq!(answer["pipelines"][0]["recovered"], true, "{answer}");
    logs[1].let_tail_go();
    hubs[1].publish("p", json!([file("file:processing", "a")])).await;
    follower.read(&mut socket, 4).await;
    assert_eq!((follower.snapshots.len(), follower.applied), (1, 1));
}

#[tokio::test]
async fn a_poll_is_told_to_ask_again_and_not_given_the_past() {
    let (hubs, logs, follower) = moved().await;
    let cursor = follower.session.cursor().unwrap();
    let address = format!("/api/pipelines/p/events?epoch={}&seq={}", cursor.epoch, cursor.seq);
    let (status, answer) = hubs[1].get(&address).await;
    assert_eq!((status, &answer["code"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("store_unavailable")));
    assert_eq!(answer["retryable"], true);
    logs[1].let_tail_go();
    let (status, answer) = hubs[1].get(&address).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert_eq!(
        (&answer["seq"], &answer["up_to_date"], &answer["events"]),
        (&json!(3), &json!(true), &json!([]))
    );
}

#[tokio::test]
async fn a_poll_that_is_held_gets_what_follows_its_cursor() {
    let (hubs, logs, follower) = moved().await;
    let cursor = follower.session.cursor().unwrap();
    let address = format!("/api/pipelines/p/events?epoch={}&seq={}&wait=20", cursor.epoch, cursor.seq);
    hubs[0].publish("p", json!([file("file:processing", "a")])).await;
    let ((status, answer), ()) = tokio::join!(hubs[1].get(&address), async {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        logs[1].let_tail_go();
    });
    assert_eq!((status, &answer["seq"]), (StatusCode::OK, &json!(4)), "{answer}");
    assert_eq!(answer["events"][0]["event"], "file:processing");
}

#[tokio::test]
async fn a_cursor_that_is_beyond_the_log_is_ahead_at_once() {
    let (hubs, logs, mut follower) = moved().await;
    logs[1].let_tail_go();
    let mut socket = Socket::connect(hubs[1].address, "/").await;
    let mut cursor = follower.session.cursor().unwrap();
    cursor.seq = 40;
    let answer = socket.ask("subscribe", json!({ "pipeline_id": "p", "cursors": { "p": cursor } })).await;
    assert_eq!(answer["pipelines"][0]["reason"], "ahead", "{answer}");
    follower.session.reset();
    follower.take(&socket.message().await);
    assert_eq!(follower.snapshots, [None, Some(ResetReason::Ahead)]);
}
