//! A plain rust_socketio client against a real hub, in each kind of namespace: what others write, not our subscriber.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use futures_util::FutureExt;
use ragpulse_server::Hub;
use rust_socketio::asynchronous::{Client, ClientBuilder};
use rust_socketio::{Event, Payload, TransportType};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

const SOON: Duration = Duration::from_secs(10);

/// A client in a namespace, and what comes to it: `connect` first, then every event with its first argument.
struct Plain {
    client: Client,
    messages: mpsc::Receiver<(String, Value)>,
}

impl Plain {
    async fn connect(url: &str, namespace: &str) -> Self {
        let (send, messages) = mpsc::channel(1_000);
        let (opened, any) = (send.clone(), send);
        let client = ClientBuilder::new(format!("{url}/socket.io/"))
            .namespace(namespace)
            .transport_type(TransportType::Websocket)
            .reconnect(false)
            .on(Event::Connect, move |_, _| {
                let opened = opened.clone();
                async move { opened.send(("connect".to_owned(), Value::Null)).await.unwrap_or_default() }
                    .boxed()
            })
            .on_any(move |event, payload, _| {
                let any = any.clone();
                async move {
                    if let (Event::Custom(name), Payload::Text(arguments)) = (event, payload) {
                        let first = arguments.into_iter().next().unwrap_or_default();
                        any.send((name, first)).await.unwrap_or_default();
                    }
                }
                .boxed()
            })
            .connect()
            .await
            .unwrap();
        let mut plain = Self { client, messages };
        // Only then is the namespace open.
        assert_eq!(plain.next().await.0, "connect");
        plain
    }

    async fn next(&mut self) -> (String, Value) {
        tokio::time::timeout(SOON, self.messages.recv()).await.expect("something comes").unwrap()
    }

    /// Asks, and gives the acknowledgement.
    async fn ask(&self, event: &str, data: Value) -> Value {
        let (send, receive) = oneshot::channel();
        let send = std::sync::Mutex::new(Some(send));
        let reply = move |payload: Payload, _: Client| {
            if let (Payload::Text(arguments), Some(send)) = (payload, send.lock().unwrap().take()) {
                let _ = send.send(arguments);
            }
            async {}.boxed()
        };
        self.client.emit_with_ack(event, data, SOON, reply).await.unwrap();
        let arguments = tokio::time::timeout(SOON, receive).await.expect("an acknowledgement comes").unwrap();
        // The library gives the arguments as one array.
        match arguments.into_iter().next().unwrap_or_default() {
            Value::Array(arguments) => arguments.into_iter().next().unwrap_or_default(),
            other => other,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_rust_socketio_client_reports_and_follows() {
    let parts = Hub::builder().build().unwrap();
    let hub = parts.hub.clone();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(ragpulse_server::service::serve(listener, parts, std::future::pending(), SOON));

    // `/ingest`: published, acknowledged, refused with the place of what is wrong.
    let reporter = Plain::connect(&url, "/ingest").await;
    let publish = |events: Value| reporter.ask("publish", json!({ "pipeline_id": "p", "events": events }));
    let online = json!({ "event": "pipeline:online", "data": { "pipeline_type": "local_files" } });
    let begun = json!({ "event": "file:processing", "data": { "file": { "name": "a.txt" } } });
    let receipt = publish(json!([online, begun])).await;
    assert_eq!((&receipt["accepted"], &receipt["seq"]), (&json!(2), &json!(2)), "{receipt}");
    let refused = publish(json!([begun, { "event": "file:progress", "data": { "progress": 2 } }])).await;
    assert_eq!((&refused["error"]["code"], &refused["error"]["index"]), (&json!("invalid_event"), &json!(1)));

    // `/local_files`: everything comes without a subscribe, in the reference's shape.
    let mut reference = Plain::connect(&url, "/local_files").await;
    let (name, state) = reference.next().await;
    assert_eq!((name.as_str(), &state["files_processing"][0]["name"]), ("pipeline:status", &json!("a.txt")));

    // `/`: a snapshot, then what is new.
    let mut native = Plain::connect(&url, "/").await;
    let answer = native.ask("subscribe", json!({ "pipeline_id": "p" })).await;
    assert_eq!(answer["pipelines"][0]["pipeline_id"], "p", "{answer}");
    let (name, state) = native.next().await;
    assert_eq!(
        (name.as_str(), &state["seq"], &state["counts"]["processing"]),
        ("pipeline:status", &json!(2), &json!(1))
    );

    publish(json!([{ "event": "file:completed", "data": { "file": { "name": "a.txt" } } }])).await;
    for follower in [&mut reference, &mut native] {
        let (name, event) = follower.next().await;
        assert_eq!(
            (name.as_str(), &event["seq"], &event["success"]),
            ("file:completed", &json!(3), &json!(true))
        );
    }
    assert!(native.ask("ping", json!(1)).await.as_u64().is_some());
    for plain in [reporter, reference, native] {
        plain.client.disconnect().await.unwrap();
    }
    hub.close(SOON).await;
}
