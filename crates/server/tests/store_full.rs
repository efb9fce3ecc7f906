//! A hub whose store has no room: what reporters are told, that subscribers go on, and that it goes on by itself.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use ragpulse_protocol::Timestamp;
use ragpulse_server::Hub;
use ragpulse_server::clock::ManualClock;
use ragpulse_server::log::SqliteLog;
use ragpulse_server::log::sqlite::SqliteOptions;
use serde_json::{Value, json};

use support::follow::Follower;
use support::socket::Socket;
use support::{TestHub, eventually, file, online};

#[tokio::test]
async fn ingest_is_refused_with_a_code_and_everything_else_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let clock = ManualClock::new(Timestamp::from_millis(1_800_000_000_000));
    let mut options = SqliteOptions::new(directory.path().join("store.db"));
    options.max_pages = Some(400);
    options.clock = Arc::new(clock.clone());
    let log = SqliteLog::open(options).unwrap();
    let hub = TestHub::on_log(Hub::builder().clock(clock.clone()), Arc::new(log)).await;
    hub.publish("p", json!([online(), file("file:processing", "kept")])).await;
    let mut follower = Follower::default();
    let mut socket = Socket::connect(hub.address, "/").await;
    follower.subscribe(&mut socket).await;

    // Events that leave nothing in the state but fill the log.
    let much: Vec<Value> =
        (0..100).map(|_| json!({ "event": "x:much", "data": { "text": "x".repeat(2_000) } })).collect();
    let (mut taken, mut refusal) = (2, Value::Null);
    for _ in 0..100 {
        let (status, answer) = hub.try_publish("p", json!(much)).await;
        if status == 200 {
            taken += 100;
        } else {
            assert_eq!(status, 503, "{answer}");
            refusal = answer;
            break;
        }
    }
    assert_eq!((&refusal["code"], &refusal["retryable"]), (&json!("store_full"), &json!(true)), "{refusal}");
    let lone = json!([{ "event": "file:completed", "event_id": "end", "data": file("file:completed", "kept")["data"] }]);
    while hub.try_publish("p", json!(much)).await.0 == 200 {
        taken += 100;
    }

    // Subscribers have what was taken, by socket and by polling, and those who come now too.
    follower.read(&mut socket, taken).await;
    assert_eq!(socket.ask("ping", json!(0)).await, json!(clock_millis(&clock)));
    follower.agrees(&hub);
    let mut late = Follower::default();
    late.poll(&hub).await;
    assert_eq!(late.seq(), taken);

    // History grows old, which makes room; nobody has to do anything.
    clock.advance_millis(8 * 24 * 60 * 60 * 1_000);
    eventually("it takes events again", async || hub.try_publish("p", lone.clone()).await.0 == 200).await;
    let again = hub.publish("p", lone.clone()).await;
    assert_eq!(
        (&again["accepted"], &again["duplicates"]),
        (&json!(0), &json!(1)),
        "what was refused left nothing behind"
    );
    let end = again["seq"].as_u64().unwrap();
    follower.read(&mut socket, end).await;
    follower.agrees(&hub);
    assert_eq!(hub.state("p").await["counts"]["completed"], 1);
}

fn clock_millis(clock: &ManualClock) -> i64 {
    use ragpulse_server::clock::Clock;
    clock.now().as_millis()
}
