//! The invariants of delivery, each by its number, on a hub that listens and over real sockets.
//!
//! docs/spec/delivery.md says what each means and which further tests hold it. Number 7, that all reducers agree, is
//! kept where the reducers and the fixtures are.

mod support;

use std::time::{Duration, Instant};

use ragpulse_protocol::ServerMessage;
use ragpulse_protocol::status::ResetReason;
use serde_json::{Value, json};
use support::follow::Follower;
use support::socket::Socket;
use support::{TestHub, eventually, file, online};

/// A file from its beginning to its end: three events.
fn whole(n: u32) -> Vec<Value> {
    let id = format!("f{n}");
    vec![file("file:queued", &id), file("file:processing", &id), file("file:completed", &id)]
}

fn some(range: std::ops::Range<u32>) -> Value {
    json!(range.flat_map(whole).collect::<Vec<_>>())
}

#[tokio::test]
async fn invariant_02_no_hole_no_repeat_no_swap_across_cuts_restarts_and_transports() {
    let hub = TestHub::configured(|config| config.limits.ring_events = 256).await;
    hub.publish("p", online()).await;
    let mut follower = Follower::default();
    let mut n = 0;
    let mut more = async |files: u32| {
        n += files;
        hub.publish("p", some(n - files..n)).await["seq"].as_u64().unwrap()
    };
    for round in 0..4 {
        let mut socket = Socket::connect(hub.address, "/").await;
        let answer = follower.subscribe(&mut socket).await;
        assert_eq!(answer["recovered"], round > 0, "{answer}");
        let seq = more(10).await;
        // It is cut with events under way, and the pipeline goes on without it.
        follower.read(&mut socket, seq - 17).await;
        socket.cut();
        more(20).await;
        if round % 2 == 1 {
            follower.poll(&hub).await;
            more(3).await;
        }
    }
    let mut socket = Socket::connect(hub.address, "/").await;
    assert_eq!(follower.subscribe(&mut socket).await["recovered"], true);
    let seq = more(1).await;
    follower.read(&mut socket, seq).await;
    follower.agrees(&hub);
    assert_eq!(
        (follower.snapshots.clone(), follower.applied),
        (vec![None], seq - 1),
        "one snapshot, at the beginning"
    );
    hub.stop().await;

    // Another start is another epoch: what it cannot go on from, it is told.
    let hub = TestHub::start().await;
    hub.publish("p", json!([online(), file("file:queued", "new")])).await;
    let mut socket = Socket::connect(hub.address, "/").await;
    assert_eq!(follower.subscribe(&mut socket).await["reason"], "epoch_changed");
    let seq = hub.publish("p", file("file:processing", "new")).await["seq"].as_u64().unwrap();
    while follower.seq() != seq {
        follower.take(&socket.message().await);
    }
    assert_eq!(follower.snapshots, [None, Some(ResetReason::EpochChanged)]);
    follower.agrees(&hub);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_03_joining_is_atomic() {
    let hub = TestHub::start().await;
    hub.publish("p", online()).await;
    let address = hub.address;
    let last = 1 + 3 * 600;
    let joining: Vec<_> = (0..24)
        .map(|number| {
            tokio::spawn(async move {
                // They come while events come.
                tokio::time::sleep(Duration::from_millis(number * 7)).await;
                let mut socket = Socket::connect(address, "/").await;
                let mut follower = Follower::default();
                follower.subscribe(&mut socket).await;
                follower.read(&mut socket, last).await;
                follower
            })
        })
        .collect();
    for n in 0..60 {
        hub.publish("p", some(n * 10..n * 10 + 10)).await;
    }
    for follower in joining {
        let follower = follower.await.unwrap();
        assert_eq!(follower.snapshots, [None]);
        follower.agrees(&hub);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_04_a_slow_subscriber_delays_no_other_and_misses_nothing() {
    let hub = TestHub::configured(|config| config.limits.socket_buffer = 512).await;
    hub.publish("p", online()).await;
    let (mut slow, mut quick) = (Follower::default(), Follower::default());
    let mut slow_socket = Socket::connect(hub.address, "/").await;
    let mut quick_socket = Socket::connect(hub.address, "/").await;
    slow.subscribe(&mut slow_socket).await;
    quick.subscribe(&mut quick_socket).await;
    let blob = |n: u32| json!({ "event": "x:blob", "data": { "n": n, "text": "x".repeat(1_000) } });
    let address = hub.address;
    let reading = tokio::spawn(async move {
        quick.read(&mut quick_socket, 8_001).await;
        quick
    });
    for batch in 0..16 {
        let blobs: Vec<Value> = (batch * 500..(batch + 1) * 500).map(blob).collect();
        hub.publish("p", json!(blobs)).await;
    }
    let quick = reading.await.unwrap();
    assert_eq!((quick.snapshots.len(), quick.applied), (1, 8_000));
    assert!(hub.hub.stats().paused > 0, "8 MB went nowhere and nobody paused at {address}");
    // Now it reads, and goes on from the ring without a snapshot.
    slow.read(&mut slow_socket, 8_001).await;
    assert_eq!((slow.snapshots.len(), slow.applied), (1, 8_000));
    assert_eq!(hub.hub.stats().lagged, 0);
    slow.agrees(&hub);
}

#[tokio::test]
async fn invariant_05_progress_is_latest_wins_and_an_end_is_never_late() {
    let hub = TestHub::start().await;
    hub.publish("p", json!([online(), file("file:processing", "a")])).await;
    let mut follower = Follower::default();
    let mut socket = Socket::connect(hub.address, "/").await;
    follower.subscribe(&mut socket).await;
    let mut batch: Vec<Value> = vec![file("file:progress", "a"); 1_000];
    batch.push(file("file:completed", "a"));
    let receipt = hub.publish("p", json!(batch)).await;
    assert_eq!([&receipt["accepted"], &receipt["conflated"]], [2, 999]);
    let mut names = Vec::new();
    follower.read(&mut socket, 2).await;
    while names.last().is_none_or(|name| name != "file:completed") {
        let message = socket.message().await;
        if let ServerMessage::Event(event) = &message {
            names.push(event.name().to_owned());
        }
        follower.take(&message);
    }
    assert_eq!(names, ["file:progress", "file:completed"]);
    tokio::time::sleep(Duration::from_millis(250)).await;
    socket.nothing_more().await;
    follower.agrees(&hub);
}

#[tokio::test]
async fn invariant_06_no_file_is_processing_for_ever() {
    let (hub, clock) = TestHub::timed(|_| {}).await;
    hub.publish("p", json!([online(), file("file:processing", "a"), file("file:queued", "b")])).await;
    // Waiting is no stall: as long as its reporter is heard nothing happens to it.
    for _ in 0..3 {
        clock.advance_millis(100_000);
        hub.publish("p", json!({ "event": "heartbeat" })).await;
    }
    assert_eq!(hub.state("p").await["counts"]["processing"], 1);
    clock.advance_millis(120_000);
    let state = hub.until("p", |state| state["liveness"] == "lost").await;
    assert_eq!(
        [&state["counts"]["processing"], &state["counts"]["queued"], &state["counts"]["failed"]],
        [0, 0, 2]
    );
    for file in state["files"].as_array().unwrap() {
        assert_eq!(
            (&file["error"]["type"], &file["error"]["retryable"]),
            (&json!("Interrupted"), &json!(true))
        );
    }
}

#[tokio::test]
async fn invariant_09_nothing_from_outside_breaks_the_hub() {
    let hub = TestHub::configured(|config| {
        config.limits.body_bytes = 4_096;
        config.limits.frame_bytes = 16_384;
    })
    .await;
    hub.publish("p", online()).await;
    for (command, argument, code) in [
        ("subscribe", json!(null), "invalid_request"),
        ("subscribe", json!([1]), "invalid_request"),
        ("subscribe", json!({ "pipeline_id": 7 }), "invalid_request"),
        ("subscribe", json!({ "pipeline_id": "../etc" }), "invalid_request"),
        (
            "subscribe",
            json!({ "pipeline_id": "p", "cursors": { "p": { "epoch": "e", "seq": -1 } } }),
            "invalid_request",
        ),
        ("subscribe", json!({ "pipeline_ids": ["p"], "client_info": "x".repeat(5_000) }), "body_too_large"),
        ("unsubscribe", json!("all"), "invalid_request"),
        ("client:status", json!({}), "invalid_request"),
        ("auth:refresh", json!({ "token": 1 }), "invalid_request"),
        ("no such thing", json!({}), "invalid_request"),
    ] {
        let mut socket = Socket::connect(hub.address, "/").await;
        let answer = socket.ask(command, argument.clone()).await;
        assert_eq!(answer["error"]["code"], code, "{command} {argument}: {answer}");
        assert_eq!(answer["error"]["retryable"], false);
    }
    for frame in [
        "42",
        "42{}",
        "42[]",
        "42[1]",
        "4",
        "9",
        "451-[\"subscribe\",{\"_placeholder\":true,\"num\":0}]",
        "43999[1]",
    ] {
        let mut socket = Socket::connect(hub.address, "/").await;
        socket.raw(frame).await;
    }
    let mut socket = Socket::connect(hub.address, "/").await;
    socket.raw(format!("42[\"subscribe\",\"{}\"]", "x".repeat(20_000))).await;
    assert_eq!(socket.try_next().await, None, "a frame far beyond the limit costs the connection");
    // None of them left anything behind, and the hub goes on.
    eventually("all are gone", async || {
        hub.hub.stats().connections == 0 && hub.hub.stats().subscriptions == 0
    })
    .await;
    let mut follower = Follower::default();
    let mut socket = Socket::connect(hub.address, "/").await;
    follower.subscribe(&mut socket).await;
    follower.read(&mut socket, 1).await;
    follower.agrees(&hub);
}

#[tokio::test]
async fn invariant_10_close_ends_within_its_deadline() {
    let hub = TestHub::start().await;
    hub.publish("p", online()).await;
    // One that never reads again, with more under way than any buffer holds.
    let mut stalled = Socket::connect(hub.address, "/").await;
    Follower::default().subscribe(&mut stalled).await;
    let blob = json!({ "event": "x:blob", "data": { "text": "x".repeat(10_000) } });
    for _ in 0..10 {
        hub.publish("p", json!(vec![blob.clone(); 90])).await;
    }
    let begun = Instant::now();
    hub.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?} at a deadline of 5 s", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn invariant_11_events_of_one_connection_are_logged_in_their_order() {
    let hub = TestHub::start().await;
    let mut reporter = Socket::connect(hub.address, "/ingest").await;
    let opened = reporter.ask("publish", json!({ "pipeline_id": "p", "events": [online()] })).await;
    assert_eq!(opened["seq"], 1);
    let mut sent: u64 = 0;
    for _ in 0..10 {
        // None waits for the answer to the one before.
        let mut acks = Vec::new();
        for _ in 0..60 {
            let events: Vec<Value> =
                (0..sent % 3 + 1).map(|n| json!({ "event": "x:n", "data": { "n": sent + n } })).collect();
            sent += events.len() as u64;
            acks.push(reporter.send("publish", json!({ "pipeline_id": "p", "events": events })).await);
        }
        for number in acks {
            let receipt = reporter.ack(number).await;
            assert!(receipt["accepted"].as_u64().unwrap() > 0, "{receipt}");
        }
    }
    let epoch = opened["epoch"].as_str().unwrap();
    let (mut seq, mut next) = (1, 0);
    while next < sent {
        let page = hub.events("p", epoch, seq).await;
        for event in page["events"].as_array().unwrap() {
            assert_eq!(event["data"]["n"], next);
            next += 1;
        }
        seq = page["seq"].as_u64().unwrap();
    }
}
