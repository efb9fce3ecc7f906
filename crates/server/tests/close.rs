//! Closing: in time whatever the peers do, and with a word to those who listen.

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ragpulse_protocol::{PipelineId, Problem};
use ragpulse_server::auth::BoxFuture;
use ragpulse_server::{Act, Authoriser, Hub, Principal};
use reqwest::{Method, StatusCode};
use serde_json::json;
use support::socket::Socket;
use support::{TestHub, eventually, file, online};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

#[tokio::test]
async fn a_hub_closes_in_time_whatever_its_peers_do() {
    let hub = TestHub::start().await;
    hub.publish("p", online()).await;
    // A request that never ends, and one that never begins.
    let mut half = TcpStream::connect(hub.address).await.unwrap();
    half.write_all(b"POST /api/pipelines/p/events HTTP/1.1\r\nHost: localhost\r\nContent-Le").await.unwrap();
    let silent = TcpStream::connect(hub.address).await.unwrap();
    // A stream and sockets that are not read, with more under way than their buffers hold.
    let mut stream = TcpStream::connect(hub.address).await.unwrap();
    stream.write_all(b"GET /api/pipelines/p/stream HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut stalled = Vec::new();
    for namespace in ["/", "/local_files", "/"] {
        let mut socket = Socket::connect(hub.address, namespace).await;
        if namespace == "/" {
            socket.ask("subscribe", json!({ "pipeline_id": "p" })).await;
        }
        stalled.push(socket);
    }
    let mut listening = Socket::connect(hub.address, "/").await;
    listening.ask("subscribe", json!({ "pipeline_type": "nothing yet".replace(' ', "-") })).await;
    let blob = json!({ "event": "x:blob", "data": { "text": "x".repeat(10_000) } });
    for _ in 0..16 {
        hub.publish("p", json!(vec![blob.clone(); 90])).await;
    }
    eventually("their buffers are full", async || hub.hub.stats().paused >= 3).await;

    let handle = hub.hub.clone();
    let begun = Instant::now();
    hub.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?} at a deadline of 5 s", begun.elapsed());
    assert!(handle.is_closing());
    assert_eq!(handle.stats().subscriptions, 0, "nothing holds on to its peers");
    // Who listens is told when to come back.
    let (name, data) = listening.next().await;
    assert_eq!((name.as_str(), &data["retry_after_ms"]), ("hub:closing", &json!(1_000)));
    drop((half, silent, stream, stalled));
}

#[tokio::test]
async fn a_hub_with_nobody_there_closes_at_once() {
    let hub = TestHub::start().await;
    hub.publish("p", online()).await;
    let begun = Instant::now();
    hub.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

/// Lets in everybody, and is gone when the hub is.
struct Everybody(#[allow(dead_code)] Arc<()>);

impl Authoriser for Everybody {
    fn authenticate<'a>(&'a self, _: Option<&'a str>) -> BoxFuture<'a, Result<Principal, Problem>> {
        Box::pin(std::future::ready(Ok(Principal::default())))
    }
    fn allows(&self, _: &Principal, _: Act, _: Option<&PipelineId>) -> bool {
        true
    }
    fn has_keys(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn nothing_of_a_closed_hub_stays_in_memory() {
    let mark = Arc::new(());
    let gone = Arc::downgrade(&mark);
    let test = TestHub::with(Hub::builder().authoriser(Everybody(mark))).await;
    test.publish("p", online()).await;
    let mut sockets = Vec::new();
    for namespace in ["/", "/ingest", "/local_files"] {
        sockets.push(Socket::connect(test.address, namespace).await);
    }
    sockets[0].ask("subscribe", json!({ "pipeline_id": "p" })).await;
    test.stop().await;
    eventually("the hub is freed", async || gone.upgrade().is_none()).await;
}

#[tokio::test]
async fn who_asks_a_closing_hub_is_told_so() {
    let hub = TestHub::start().await;
    let epoch = hub.publish("p", online()).await["epoch"].as_str().unwrap().to_owned();
    let held = format!("/api/pipelines/p/events?epoch={epoch}&seq=1&wait=30");
    let begun = Instant::now();
    let ((status, answer), ()) = tokio::join!(hub.get(&held), async {
        eventually("it is held", async || hub.hub.stats().connections == 1).await;
        // The host has its own way to end, and may take long for it.
        hub.hub.close(Duration::from_secs(2)).await;
    });
    assert!(begun.elapsed() < Duration::from_secs(10), "held polls are answered");
    assert_eq!((status, &answer["events"], &answer["seq"]), (StatusCode::OK, &json!([]), &json!(1)));
    let (status, problem) = hub.try_publish("p", file("file:queued", "a")).await;
    assert_eq!(
        (status.as_u16(), &problem["code"], &problem["retryable"]),
        (503, &json!("closing"), &json!(true))
    );
    assert_eq!(hub.get("/ready").await.1["code"], "closing");
    assert_eq!(
        hub.send(Method::DELETE, "/api/pipelines/p", "application/json", "").await.1["code"],
        "closing"
    );
    assert_eq!(hub.get("/health").await.0, StatusCode::OK, "the process still answers");
    let info = hub.get("/api/socket/info").await.1;
    assert_eq!((&info["available"], &info["health"]), (&json!(false), &json!("unavailable")));
    // What happened can still be read, and a poll is not held.
    let begun = Instant::now();
    assert_eq!(hub.get(&held).await.0, StatusCode::OK);
    assert!(begun.elapsed() < Duration::from_secs(10));
    // Closing again is nothing.
    hub.hub.close(Duration::from_secs(1)).await;
    assert_eq!(hub.hub.stats().connections, 0);
}
