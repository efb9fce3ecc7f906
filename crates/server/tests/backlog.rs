//! What waits for a subscriber that does not read is bounded in bytes, on every way a session may go.

#![allow(clippy::unwrap_used)]

mod support;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use support::follow::Follower;
use support::socket::Socket;
use support::{TestHub, eventually, online};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Message;

/// Large events, fewer than a buffer holds messages, and many times the bytes it may hold.
const EVENTS: u64 = 270;

async fn start() -> TestHub {
    let hub = TestHub::configured(|config| config.limits.socket_bytes = 64 * 1024).await;
    hub.publish("p", online()).await;
    hub
}

async fn flood(hub: &TestHub) {
    let blob = json!({ "event": "x:blob", "data": { "text": "x".repeat(20_000) } });
    for _ in 0..EVENTS / 45 {
        hub.publish("p", json!(vec![blob.clone(); 45])).await;
    }
}

async fn narrow(hub: &TestHub) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.connect(hub.address).await.unwrap()
}

async fn paused(hub: &TestHub) {
    eventually("it is paused", async || hub.hub.stats().paused > 0).await;
    // What the kernel and the library hold of it is little more than what may wait.
    assert!(hub.hub.stats().delivered < 60, "{} events of 20 kB are on their way", hub.hub.stats().delivered);
}

#[tokio::test]
async fn a_websocket_pauses_by_bytes_and_goes_on_without_a_snapshot() {
    let hub = start().await;
    let mut socket = Socket::over(narrow(&hub).await, hub.address, "/", json!({})).await.unwrap();
    let mut follower = Follower::default();
    follower.subscribe(&mut socket).await;
    flood(&hub).await;
    paused(&hub).await;
    follower.read(&mut socket, 1 + EVENTS).await;
    assert_eq!((follower.snapshots.len(), follower.applied, hub.hub.stats().lagged), (1, EVENTS, 0));
    follower.agrees(&hub);
    // However much went through, nothing of it is counted for ever.
    flood(&hub).await;
    follower.read(&mut socket, 1 + 2 * EVENTS).await;
    follower.agrees(&hub);
}

/// A session over polling: its address, and the `seq` of the events that it was given.
struct Polls<'a> {
    hub: &'a TestHub,
    path: String,
    seqs: Vec<u64>,
}

impl<'a> Polls<'a> {
    async fn open(hub: &'a TestHub) -> Self {
        let path = "/socket.io/?EIO=4&transport=polling".to_owned();
        let mut polls = Self { hub, path, seqs: Vec::new() };
        let open: Value = serde_json::from_str(&polls.get().await[1..]).unwrap();
        polls.path = format!("{}&sid={}", polls.path, open["sid"].as_str().unwrap());
        polls.post("40").await;
        // Pings come when they like.
        while !polls.get().await.contains("40{") {}
        polls.post("420[\"subscribe\",{\"pipeline_id\":\"p\",\"cursors\":{}}]").await;
        polls
    }

    async fn get(&self) -> String {
        self.hub.http.get(self.hub.url(&self.path)).send().await.unwrap().text().await.unwrap()
    }

    async fn post(&self, packet: &str) {
        let request = self.hub.http.post(self.hub.url(&self.path)).body(packet.to_owned());
        assert_eq!(request.send().await.unwrap().text().await.unwrap(), "ok");
    }

    fn take(&mut self, packets: &str) {
        for packet in packets.split('\u{1e}') {
            if let Some(event) = packet.strip_prefix("42") {
                let (name, data): (String, Value) = serde_json::from_str(event).unwrap();
                if name == "x:blob" {
                    self.seqs.push(data["seq"].as_u64().unwrap());
                }
            }
        }
    }
}

#[tokio::test]
async fn a_session_over_polling_pauses_by_bytes_and_goes_on_with_its_polls() {
    let hub = start().await;
    let mut polls = Polls::open(&hub).await;
    flood(&hub).await;
    paused(&hub).await;
    while polls.seqs.last() != Some(&(1 + EVENTS)) {
        let packets = polls.get().await;
        polls.take(&packets);
    }
    assert_eq!(polls.seqs, (2..=1 + EVENTS).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_session_that_goes_over_to_a_websocket_pauses_by_what_that_takes() {
    let hub = start().await;
    let mut polls = Polls::open(&hub).await;
    let packets = polls.get().await;
    polls.take(&packets);
    let url = format!("ws://{}{}", hub.address, polls.path.replace("polling", "websocket"));
    let (mut stream, _) = tokio_tungstenite::client_async(url, narrow(&hub).await).await.unwrap();
    stream.send(Message::text("2probe")).await.unwrap();
    // The poll that is under way is given back, and the next frame is the answer to the probe.
    let (_, probed) = tokio::join!(polls.get(), stream.next());
    assert_eq!(probed.unwrap().unwrap().into_text().unwrap(), "3probe");
    stream.send(Message::text("5")).await.unwrap();
    for round in 1..=2 {
        flood(&hub).await;
        if round == 1 {
            paused(&hub).await;
        }
        while polls.seqs.last() != Some(&(1 + round * EVENTS)) {
            let Message::Text(packet) = stream.next().await.unwrap().unwrap() else { continue };
            if packet == "2" {
                stream.send(Message::text("3")).await.unwrap();
            }
            polls.take(&packet);
        }
    }
    assert_eq!(polls.seqs, (2..=1 + 2 * EVENTS).collect::<Vec<_>>());
}
