//! Peers that neither read nor leave: they are cut in time, and nothing of them stays behind.

#![allow(clippy::unwrap_used)]

mod support;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ragpulse_server::service::{Connections, STALLED, Server, Wire};
use ragpulse_server::{Config, Hub};
use serde_json::json;
use support::socket::Socket;
use support::{TestHub, descriptors, eventually, online};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// A connection whose kernel takes little, so that it is soon full.
async fn narrow(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.connect(address).await.unwrap()
}

async fn narrow_socket(address: SocketAddr) -> Socket {
    Socket::over(narrow(address).await, address, "/", json!({})).await.unwrap()
}

/// Publishes more than any buffer of a peer holds.
async fn flood(hub: &TestHub) {
    let blob = json!({ "event": "x:blob", "data": { "text": "x".repeat(20_000) } });
    for _ in 0..6 {
        hub.publish("p", json!(vec![blob.clone(); 45])).await;
    }
}

/// A hundred that stall, of every kind.
async fn crowd(hub: &TestHub) -> (Vec<Socket>, Vec<TcpStream>) {
    let (mut sockets, mut streams) = (Vec::new(), Vec::new());
    for _ in 0..80 {
        let mut socket = narrow_socket(hub.address).await;
        socket.ask("subscribe", json!({ "pipeline_id": "p" })).await;
        sockets.push(socket);
    }
    for request in [
        &b"GET /api/pipelines/p/stream HTTP/1.1\r\nHost: localhost\r\n\r\n"[..],
        b"POST /api/pipelines/p/events HTTP/1.1\r\nHost: localhost\r\nContent-Le",
        b"POST /api/pipelines/p/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n[",
        b"",
    ] {
        for _ in 0..5 {
            let mut stream = narrow(hub.address).await;
            stream.write_all(request).await.unwrap();
            streams.push(stream);
        }
    }
    (sockets, streams)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_stalled_peers_are_gone_when_serve_returns() {
    let hub = TestHub::start().await;
    hub.publish("p", online()).await;
    let peers = crowd(&hub).await;
    flood(&hub).await;
    eventually("they are stalled", async || hub.hub.stats().paused >= 80).await;
    let (address, handle) = (hub.address, hub.hub.clone());
    if cfg!(target_os = "linux") {
        assert!(descriptors(address.port()) > 100, "{} descriptors", descriptors(address.port()));
    }
    let begun = Instant::now();
    hub.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?} at a deadline of 5 s", begun.elapsed());
    // Every peer is still there and has not read a byte.
    assert_eq!(descriptors(address.port()), 0);
    assert_eq!((handle.stats().connections, handle.stats().subscriptions), (0, 0));
    drop(peers);
}

#[tokio::test]
async fn who_takes_nothing_is_cut_while_others_go_on() {
    let server = Server::default().stalled(Duration::from_millis(300));
    let hub = TestHub::served(Hub::builder(), server).await;
    hub.publish("p", online()).await;
    let mut silent = Socket::connect(hub.address, "/").await;
    silent.ask("subscribe", json!({ "pipeline_id": "elsewhere" })).await;
    let mut stalled = narrow_socket(hub.address).await;
    stalled.ask("subscribe", json!({ "pipeline_id": "p" })).await;
    let mut stream = narrow(hub.address).await;
    stream.write_all(b"GET /api/pipelines/p/stream HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    eventually("all are there", async || hub.hub.stats().connections == 3).await;
    flood(&hub).await;
    eventually("both that stall are cut", async || {
        hub.hub.stats().connections == 1 && hub.hub.stats().subscriptions == 1
    })
    .await;
    // Who takes all there is may be silent for longer than that.
    tokio::time::sleep(Duration::from_millis(900)).await;
    silent.ask("ping", json!(0)).await;
    hub.stop().await;
}

#[tokio::test]
async fn a_request_that_does_not_come_to_an_end_costs_its_connection() {
    let server = Server::default().request(Duration::from_millis(200));
    let hub = TestHub::served(Hub::builder(), server).await;
    hub.publish("p", online()).await;
    let mut held = narrow(hub.address).await;
    held.write_all(b"GET /api/pipelines/q/events?wait=30 HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    eventually("it is held", async || hub.hub.stats().connections == 1).await;
    for begin in [
        &b""[..],
        b"GET /health HTTP/1.1\r\nHost: local",
        b"POST /api/pipelines/p/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n[",
    ] {
        let mut slow = narrow(hub.address).await;
        slow.write_all(begin).await.unwrap();
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(20), slow.read_to_end(&mut answer)).await;
        assert!(read.is_ok(), "it is still there after {:?}", String::from_utf8_lossy(begin));
    }
    // One that waits for its answer is not slow.
    assert_eq!(hub.hub.stats().connections, 1);
    hub.stop().await;
}

#[tokio::test]
async fn a_host_with_a_listener_of_its_own_can_cut_too() {
    let parts = Hub::builder().config(Config::default()).build().unwrap();
    let hub = parts.hub.clone();
    let app = parts.router.layer(parts.layer).into_make_service_with_connect_info::<Wire>();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Connections::new(STALLED);
    let server = tokio::spawn(axum::serve(connections.listen(listener), app).into_future());
    let mut socket = Socket::connect(address, "/").await;
    socket.ask("ping", json!(0)).await;
    let mut held = TcpStream::connect(address).await.unwrap();
    held.write_all(b"GET /api/pipelines/q/events?wait=30 HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    eventually("both are there", async || connections.open() == 2 && hub.stats().connections == 2).await;
    server.abort();
    connections.cut();
    tokio::time::timeout(Duration::from_secs(20), connections.gone()).await.unwrap();
    eventually("nothing of them stays", async || hub.stats().connections == 0).await;
    drop((socket, held));
}
