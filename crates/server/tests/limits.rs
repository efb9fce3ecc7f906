//! Limits of what comes in and of what is kept: each with its code, its count, and that the connection goes on.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use async_trait::async_trait;
use ragpulse_protocol::http::FilesPage;
use ragpulse_protocol::{Cursor, PipelineId};
use ragpulse_server::config::HubLimits;
use ragpulse_server::log::{
    Appended, Batch, EventLog, Extent, FilesQuery, HistoryPage, HistoryQuery, LogError, MemoryLog, Page,
    Stored, TailItem,
};
use ragpulse_server::service::Server;
use ragpulse_server::{Config, Hub};
use reqwest::Method;
use serde_json::{Value, json};
use support::limits::{only, refusals};
use support::socket::Socket;
use support::{TestHub, eventually, file, online};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Semaphore, mpsc};

fn nested(depth: usize) -> Value {
    (0..depth).fold(json!(1), |inner, _| json!([inner]))
}

fn custom(data: Value) -> Value {
    json!({ "event": "x:any", "data": data })
}

async fn hub(change: impl FnOnce(&mut HubLimits)) -> TestHub {
    TestHub::configured(|config| {
        config.metrics = true;
        change(&mut config.limits);
    })
    .await
}

/// What is too large is refused alike over HTTP and over a socket, each time under the same code and the same count; the
/// socket stays, and so does what was there.
#[tokio::test]
async fn sizes_are_bounded_on_every_way_in() {
    let change = |limits: &mut HubLimits| {
        limits.body_bytes = 8_192;
        limits.batch_events = 3;
        limits.event_bytes = 1_024;
        limits.field_bytes = 200;
        limits.json_depth = 10;
    };
    let long = "x".repeat(300);
    let failed =
        json!({ "event": "file:failed", "data": { "file": { "name": "a" }, "error": { "message": long } } });
    let named = json!({ "event": "file:queued", "data": { "file": { "name": long } } });
    let cases = [
        (json!([custom(json!({ "text": "x".repeat(9_000) }))]), 413, "body_too_large", "body_bytes", None),
        (json!(vec![custom(json!({})); 4]), 413, "batch_too_large", "batch_events", None),
        (
            json!([custom(json!({})), custom(json!({ "text": "x".repeat(2_000) }))]),
            422,
            "invalid_event",
            "event_bytes",
            Some(1),
        ),
        (json!([custom(json!({})), failed]), 422, "invalid_event", "field_bytes", Some(1)),
        (json!([named]), 422, "invalid_event", "field_bytes", Some(0)),
        (
            json!([custom(json!({})), custom(json!({ "deep": nested(9) }))]),
            422,
            "invalid_event",
            "json_depth",
            Some(1),
        ),
    ];
    for (events, status, code, limit, index) in cases {
        let hub = hub(change).await;
        hub.publish("p", json!([online(), custom(json!({ "deep": nested(8) }))])).await;
        let (answered, problem) = hub.try_publish("p", events.clone()).await;
        assert_eq!((answered.as_u16(), &problem["code"]), (status, &json!(code)), "{problem}");
        assert_eq!(problem["index"].as_u64(), index, "{problem}");
        assert!(problem.get("limit").is_none(), "the name of the limit is for the count: {problem}");
        only(&refusals(&hub).await, limit, 1.0);
        let mut socket = Socket::connect(hub.address, "/ingest").await;
        let answer = socket.ask("publish", json!({ "pipeline_id": "p", "events": events })).await;
        assert_eq!(answer["error"]["code"], code, "{answer}");
        assert_eq!(answer["error"]["index"].as_u64(), index, "{answer}");
        only(&refusals(&hub).await, limit, 2.0);
        let answer =
            socket.ask("publish", json!({ "pipeline_id": "p", "events": [custom(json!({}))] })).await;
        assert_eq!(
            (&answer["accepted"], &answer["seq"]),
            (&json!(1), &json!(3)),
            "the socket goes on: {answer}"
        );
    }
}

#[tokio::test]
async fn depth_beyond_what_is_parsed_is_counted_and_commands_are_bounded_too() {
    let hub = hub(|limits| limits.json_depth = 10).await;
    hub.publish("p", online()).await;
    let deep = format!(
        "[{{\"event\":\"x:any\",\"data\":{{\"deep\":{}1{}}}}}]",
        "[".repeat(50_000),
        "]".repeat(50_000)
    );
    let (status, problem) =
        hub.send(Method::POST, "/api/pipelines/p/events", "application/json", deep.clone()).await;
    assert_eq!((status.as_u16(), &problem["code"]), (400, &json!("invalid_json")), "{problem}");
    let lines = format!("{}\n{}", custom(json!({})), &deep[1..deep.len() - 1]);
    let (status, problem) =
        hub.send(Method::POST, "/api/pipelines/p/events", "application/x-ndjson", lines).await;
    assert_eq!((status.as_u16(), &problem["index"]), (400, &json!(1)), "{problem}");
    only(&refusals(&hub).await, "json_depth", 2.0);
    let mut socket = Socket::connect(hub.address, "/").await;
    let client = json!({ "pipeline_id": "p", "client_info": { "deep": nested(30) } });
    let answer = socket.ask("subscribe", client).await;
    assert_eq!(answer["error"]["code"], "invalid_request", "{answer}");
    only(&refusals(&hub).await, "json_depth", 3.0);
    let answer = socket.ask("subscribe", json!({ "pipeline_id": "p" })).await;
    assert_eq!(answer["pipelines"][0]["pipeline_id"], "p", "{answer}");
    // What is not deep is not JSON for another reason.
    let (status, _) = hub.send(Method::POST, "/api/pipelines/p/events", "application/json", "{").await;
    assert_eq!(status, 400);
    only(&refusals(&hub).await, "json_depth", 3.0);
}

#[tokio::test]
async fn what_is_kept_is_bounded() {
    let hub = hub(|limits| {
        limits.pipelines = 2;
        limits.held_pipelines = 1;
        limits.open_files = 2;
        limits.reporters = 2;
        limits.subscriptions = 2;
    })
    .await;
    let mut counts = std::collections::BTreeMap::new();
    let mut count = |name: &str| *counts.entry(name.to_owned()).or_insert(0.0) += 1.0;
    for name in ["p", "q"] {
        hub.publish(name, online()).await;
    }
    let (status, problem) = hub.try_publish("r", online()).await;
    assert_eq!((status.as_u16(), &problem["code"]), (429, &json!("limit_exceeded")), "{problem}");
    count("pipelines");

    hub.publish("p", json!([file("file:queued", "a"), file("file:queued", "b")])).await;
    let (status, problem) = hub.try_publish("p", file("file:queued", "c")).await;
    assert_eq!((status.as_u16(), &problem["index"]), (429, &json!(0)), "{problem}");
    count("open_files");
    // Who has reached it can still bring its files to their end, and then begin others.
    hub.publish("p", json!([file("file:completed", "a"), file("file:queued", "c")])).await;

    hub.publish_as("one", "p", custom(json!({}))).await;
    let third = hub.http.post(hub.url("/api/pipelines/p/events")).header("RagPulse-Reporter", "two");
    let third = third.header("content-type", "application/json").body(custom(json!({})).to_string());
    let answer = third.send().await.unwrap();
    assert_eq!(answer.headers()["retry-after"], "5");
    let (status, problem) = support::answer(answer).await;
    assert_eq!((status.as_u16(), &problem["code"]), (429, &json!("limit_exceeded")), "{problem}");
    count("reporters");

    let mut socket = Socket::connect(hub.address, "/").await;
    socket.ask("subscribe", json!({ "pipeline_ids": ["p", "unknown-1"] })).await;
    let answer = socket.ask("subscribe", json!({ "pipeline_id": "q" })).await;
    assert_eq!(answer["error"]["code"], "limit_exceeded", "{answer}");
    count("subscriptions");
    let mut other = Socket::connect(hub.address, "/").await;
    let answer = other.ask("subscribe", json!({ "pipeline_id": "unknown-2" })).await;
    assert_eq!(answer["error"]["code"], "limit_exceeded", "{answer}");
    count("held_pipelines");
    assert_eq!(refusals(&hub).await, counts);

    // What was subscribed goes on.
    hub.publish("p", custom(json!({ "still": true }))).await;
    while socket.next().await.1["still"] != true {}
    // An end makes room.
    hub.send(Method::DELETE, "/api/pipelines/q", "application/json", "").await;
    hub.publish("r", online()).await;
}

#[tokio::test]
async fn a_reporter_has_a_rate_by_the_clock_of_the_hub() {
    let (hub, clock) = TestHub::timed(|config| {
        config.metrics = true;
        config.limits.reporter_events_per_second = 10;
        config.limits.batch_events = 20;
    })
    .await;
    hub.publish("p", online()).await;
    for _ in 0..39 {
        hub.publish("p", custom(json!({}))).await;
    }
    let request = || {
        let request =
            hub.http.post(hub.url("/api/pipelines/p/events")).header("content-type", "application/json");
        request.body(custom(json!({})).to_string())
    };
    let answer = request().send().await.unwrap();
    assert_eq!(answer.headers()["retry-after"], "1");
    let (status, problem) = support::answer(answer).await;
    assert_eq!((status.as_u16(), &problem["code"]), (429, &json!("limit_exceeded")), "{problem}");
    assert_eq!((&problem["retryable"], hub.cursor("p").await.1), (&json!(true), 40));
    // Another reporter, and the same over a socket, which is told the same.
    hub.publish_as("other", "p", json!(vec![custom(json!({})); 20])).await;
    let mut socket = Socket::connect(hub.address, "/ingest").await;
    let batch = json!({ "pipeline_id": "p", "events": [custom(json!({}))] });
    let answer = socket.ask("publish", batch.clone()).await;
    assert_eq!(answer["error"]["code"], "limit_exceeded", "{answer}");
    only(&refusals(&hub).await, "reporter_events_per_second", 2.0);
    clock.advance_millis(1_000);
    for _ in 0..10 {
        assert_eq!(socket.ask("publish", batch.clone()).await["accepted"], 1);
    }
    assert_eq!(socket.ask("publish", batch.clone()).await["error"]["code"], "limit_exceeded");
    clock.advance_millis(60_000);
    // A whole batch fits, and no pause is credit for more than four seconds.
    hub.publish("p", json!(vec![custom(json!({})); 20])).await;
    hub.publish("p", json!(vec![custom(json!({})); 20])).await;
    assert_eq!(hub.try_publish("p", custom(json!({}))).await.0, 429);
}

#[tokio::test]
async fn a_socket_has_a_rate_for_all_its_messages() {
    let (hub, clock) = TestHub::timed(|config| {
        config.metrics = true;
        config.limits.socket_messages_per_second = 5;
    })
    .await;
    hub.publish("p", online()).await;
    let mut reporter = Socket::connect(hub.address, "/ingest").await;
    let mut viewer = Socket::connect(hub.address, "/").await;
    viewer.ask("subscribe", json!({ "pipeline_id": "p" })).await;
    for _ in 1..20 {
        assert!(viewer.ask("ping", json!(0)).await.is_number());
    }
    for command in ["ping", "subscribe", "unsubscribe", "client:status", "auth:refresh", "no-such-command"] {
        let answer = viewer.ask(command, json!({})).await;
        assert_eq!(answer["error"]["code"], "limit_exceeded", "{command}: {answer}");
    }
    only(&refusals(&hub).await, "socket_messages_per_second", 6.0);
    // What it follows goes on, and another socket has a rate of its own.
    let batch = |n: u64| json!({ "pipeline_id": "p", "events": [custom(json!({ "n": n }))] });
    for n in 0..20 {
        assert_eq!(reporter.ask("publish", batch(n)).await["accepted"], 1);
    }
    assert_eq!(reporter.ask("publish", batch(20)).await["error"]["code"], "limit_exceeded");
    while viewer.next().await.1["n"] != 19 {}
    clock.advance_millis(200);
    assert_eq!(reporter.ask("publish", batch(21)).await["accepted"], 1);
    assert!(viewer.ask("ping", json!(0)).await.is_number());
    assert_eq!(viewer.ask("ping", json!(0)).await["error"]["code"], "limit_exceeded");
}

/// A log that takes nothing until it is let.
struct Held {
    log: MemoryLog,
    gate: Semaphore,
    came: Semaphore,
}

#[async_trait]
impl EventLog for Held {
    async fn seen(&self, pipeline: &PipelineId, ids: &[&str]) -> Result<Vec<bool>, LogError> {
        self.log.seen(pipeline, ids).await
    }
    async fn append(&self, pipeline: &PipelineId, batches: Vec<Batch>) -> Result<Vec<Appended>, LogError> {
        self.came.add_permits(1);
        drop(self.gate.acquire().await.unwrap());
        self.log.append(pipeline, batches).await
    }
    async fn read(&self, pipeline: &PipelineId, after: &Cursor, limit: usize) -> Result<Page, LogError> {
        self.log.read(pipeline, after, limit).await
    }
    async fn extent(&self, pipeline: &PipelineId, after: &Cursor, last: u64) -> Result<Extent, LogError> {
        self.log.extent(pipeline, after, last).await
    }
    async fn files(&self, pipeline: &PipelineId, query: FilesQuery) -> Result<Option<FilesPage>, LogError> {
        self.log.files(pipeline, query).await
    }
    async fn history(
        &self,
        pipeline: &PipelineId,
        query: HistoryQuery,
    ) -> Result<Option<HistoryPage>, LogError> {
        self.log.history(pipeline, query).await
    }
    async fn load(&self) -> Result<Vec<Stored>, LogError> {
        self.log.load().await
    }
    async fn forget(&self, pipeline: &PipelineId) -> Result<(), LogError> {
        self.log.forget(pipeline).await
    }
    fn take_tail(&self) -> Option<mpsc::Receiver<TailItem>> {
        self.log.take_tail()
    }
    async fn close(&self) {
        self.log.close().await;
    }
}

#[tokio::test]
async fn what_waits_for_a_slow_log_is_bounded() {
    let mut config = Config::default();
    config.metrics = true;
    config.limits.socket_batches = 1;
    config.limits.ingest_queue = 1;
    let log = MemoryLog::new(&config.limits);
    let log = Arc::new(Held { log, gate: Semaphore::new(0), came: Semaphore::new(0) });
    let hub = TestHub::on_log(Hub::builder().config(config), log.clone()).await;
    let mut socket = Socket::connect(hub.address, "/ingest").await;
    let batch = json!({ "pipeline_id": "p", "events": [online()] });
    let first = socket.send("publish", batch.clone()).await;
    log.came.acquire().await.unwrap().forget();
    // One is under way, one waits, and the next is one too many.
    let second = socket.send("publish", batch.clone()).await;
    let third = socket.send("publish", batch.clone()).await;
    let answer = socket.ack(third).await;
    assert_eq!(answer["error"]["code"], "overloaded", "{answer}");
    only(&refusals(&hub).await, "socket_batches", 1.0);
    // The writer's own queue: whoever finds it full is told after a while.
    let waits = {
        let (http, url) = (hub.http.clone(), hub.url("/api/pipelines/p/events"));
        move || {
            let request =
                http.post(&url).header("content-type", "application/json").body(online().to_string());
            tokio::spawn(async move {
                let answer = request.send().await.unwrap();
                let after =
                    answer.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
                (support::answer(answer).await, after)
            })
        }
    };
    let (one, other) = (waits(), waits());
    eventually("one of them is told", async || refusals(&hub).await.contains_key("ingest_queue")).await;
    log.gate.add_permits(1_000);
    let answers = [one.await.unwrap(), other.await.unwrap()];
    let told: Vec<_> = answers.iter().filter(|((status, _), _)| *status == 503).collect();
    assert_eq!(told.len(), 1, "{answers:?}");
    assert_eq!((&told[0].0.1["code"], told[0].1.as_deref()), (&json!("overloaded"), Some("1")));
    for number in [first, second] {
        let answer = socket.ack(number).await;
        assert_eq!(answer["accepted"], 1, "{answer}");
    }
}

#[tokio::test]
async fn a_frame_that_is_not_read_at_all_is_refused_where_that_can_be_told() {
    let hub = hub(|limits| {
        limits.body_bytes = 2_048;
        limits.frame_bytes = 8_192;
    })
    .await;
    let url = hub.url("/socket.io/?EIO=4&transport=polling");
    let opened = hub.http.get(&url).send().await.unwrap().text().await.unwrap();
    let opened: Value = serde_json::from_str(&opened[1..]).unwrap();
    let url = format!("{url}&sid={}", opened["sid"].as_str().unwrap());
    assert_eq!(hub.http.post(&url).body("40").send().await.unwrap().status(), 200);
    let answer =
        hub.http.post(&url).body(format!("42[\"ping\",\"{}\"]", "x".repeat(20_000))).send().await.unwrap();
    let (status, problem) = support::answer(answer).await;
    assert_eq!((status.as_u16(), &problem["code"]), (413, &json!("body_too_large")), "{problem}");
    only(&refusals(&hub).await, "frame_bytes", 1.0);
    // A WebSocket is closed; what is merely too large for a message is answered.
    let mut socket = Socket::connect(hub.address, "/").await;
    let answer = socket.ask("subscribe", json!({ "pipeline_id": "x".repeat(4_000) })).await;
    assert_eq!(answer["error"]["code"], "body_too_large", "{answer}");
    socket.send("subscribe", json!({ "pipeline_id": "x".repeat(20_000) })).await;
    assert!(socket.try_next().await.is_none());
}

#[tokio::test]
async fn a_request_that_does_not_come_is_counted_and_one_that_rests_is_not() {
    let server = Server::default().request(std::time::Duration::from_millis(300));
    let mut config = Config::default();
    config.metrics = true;
    let hub = TestHub::served(Hub::builder().config(config), server).await;
    hub.publish("p", online()).await;
    for (begin, told) in [
        ("", ""),
        ("GET /health HTTP/1.1\r\nHost: loc", ""),
        ("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n", "200 OK"),
        (
            "POST /api/pipelines/p/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n[",
            "limit_exceeded",
        ),
    ] {
        let mut stream = tokio::net::TcpStream::connect(hub.address).await.unwrap();
        stream.write_all(begin.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let read =
            tokio::time::timeout(std::time::Duration::from_secs(20), stream.read_to_string(&mut answer));
        read.await.expect("it is closed").unwrap();
        assert!(answer.contains(told), "{begin:?}: {answer}");
    }
    only(&refusals(&hub).await, "request_seconds", 3.0);
}
