//! A hub on a free port of the loopback address, and shorthand for talking to it.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

pub mod auth;
pub mod follow;
pub mod limits;
pub mod nodes;
#[cfg(feature = "redis")]
pub mod redis;
pub mod shared;
pub mod socket;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ragpulse_protocol::Timestamp;
use ragpulse_server::clock::{Clock, ManualClock, SystemClock};
use ragpulse_server::config::HubLimits;
use ragpulse_server::log::sqlite::SqliteOptions;
use ragpulse_server::log::{EventLog, MemoryLog, SqliteLog};
use ragpulse_server::service::Server;
use ragpulse_server::{Config, Hub, HubBuilder};
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};

/// A hub that listens. Dropped, it closes.
pub struct TestHub {
    pub address: SocketAddr,
    pub hub: Hub,
    pub http: Client,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    pub server: Option<tokio::task::JoinHandle<std::io::Result<()>>>,
    _store: Option<tempfile::TempDir>,
}

/// A log, and the directory that goes with it.
type Stored = (Arc<dyn EventLog>, Option<tempfile::TempDir>);

/// The log that every hub here is tested on: in memory; with `RAGPULSE_TEST_STORE=sqlite` in a file of its own; with `redis`, and this
/// crate's feature of that name, in a redis-server that this process starts.
async fn store(limits: &HubLimits, clock: impl Clock) -> Stored {
    match std::env::var("RAGPULSE_TEST_STORE").as_deref() {
        Ok("sqlite") => {
            let directory = tempfile::tempdir().unwrap();
            let log = sqlite(&directory.path().join("store.db"), limits, clock);
            (log, Some(directory))
        }
        #[cfg(feature = "redis")]
        Ok("redis") => (redis::log(limits, clock).await, None),
        Ok("memory") | Err(_) => (Arc::new(MemoryLog::new(limits)), None),
        Ok(other) => {
            panic!("RAGPULSE_TEST_STORE={other}: give memory, sqlite, or redis with --features redis")
        }
    }
}

/// A store in this file, which keeps as much as the log in memory would.
pub fn sqlite(path: &Path, limits: &HubLimits, clock: impl Clock) -> Arc<dyn EventLog> {
    let mut options = SqliteOptions::new(path);
    options.limits = limits.clone();
    options.retention.events_per_pipeline = limits.log_events as u64;
    options.retention.events_guaranteed = 0;
    options.clock = Arc::new(clock);
    Arc::new(SqliteLog::open(options).unwrap())
}

impl TestHub {
    pub async fn start() -> Self {
        Self::with(Hub::builder()).await
    }

    pub async fn with(builder: HubBuilder) -> Self {
        Self::on(builder, store(&HubLimits::default(), SystemClock::default()).await).await
    }

    /// A hub on a log that the test brings.
    pub async fn on_log(builder: HubBuilder, log: Arc<dyn EventLog>) -> Self {
        Self::on(builder, (log, None)).await
    }

    /// A hub that forgets, whatever the others are tested on.
    pub async fn in_memory(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        change(&mut config);
        let log = Arc::new(MemoryLog::new(&config.limits));
        Self::on(Hub::builder().config(config), (log, None)).await
    }

    /// A hub on the store in this file.
    pub async fn at(path: &Path, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        change(&mut config);
        let log = sqlite(path, &config.limits, SystemClock::default());
        Self::on(Hub::builder().config(config), (log, None)).await
    }

    pub async fn configured(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        change(&mut config);
        let store = store(&config.limits, SystemClock::default()).await;
        Self::on(Hub::builder().config(config), store).await
    }

    /// A hub whose time stands until the test moves it.
    pub async fn timed(change: impl FnOnce(&mut Config)) -> (Self, ManualClock) {
        let clock = ManualClock::new(Timestamp::from_millis(1_800_000_000_000));
        let mut config = Config::default();
        change(&mut config);
        let store = store(&config.limits, clock.clone()).await;
        (Self::on(Hub::builder().config(config).clock(clock.clone()), store).await, clock)
    }

    async fn on(builder: HubBuilder, store: Stored) -> Self {
        Self::served_on(builder, store, Server::default()).await
    }

    /// A hub that is served in a way of its own.
    pub async fn served(builder: HubBuilder, server: Server) -> Self {
        Self::served_on(builder, store(&HubLimits::default(), SystemClock::default()).await, server).await
    }

    async fn served_on(builder: HubBuilder, (log, store): Stored, server: Server) -> Self {
        let parts = builder.log(log).open().await.unwrap();
        let hub = parts.hub.clone();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let shutdown = async move {
            let _ = stopped.await;
        };
        let server = tokio::spawn(server.serve(listener, parts, shutdown, Duration::from_secs(5)));
        let http = Client::builder().no_proxy().build().unwrap();
        Self { address, hub, http, stop: Some(stop), server: Some(server), _store: store }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Asks it to stop, and waits until it has.
    pub async fn stop(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        self.server.take().unwrap().await.unwrap().unwrap();
    }

    pub async fn get(&self, path: &str) -> (StatusCode, Value) {
        answer(self.http.get(self.url(path)).send().await.unwrap()).await
    }

    pub async fn send(
        &self,
        method: Method,
        path: &str,
        kind: &str,
        body: impl Into<String>,
    ) -> (StatusCode, Value) {
        let request =
            self.http.request(method, self.url(path)).header("content-type", kind).body(body.into());
        answer(request.send().await.unwrap()).await
    }

    /// Reports events; the answer as it came.
    pub async fn try_publish(&self, pipeline: &str, events: Value) -> (StatusCode, Value) {
        let path = format!("/api/pipelines/{pipeline}/events");
        self.send(Method::POST, &path, "application/json", events.to_string()).await
    }

    /// Reports events that must be taken.
    pub async fn publish(&self, pipeline: &str, events: Value) -> Value {
        let (status, body) = self.try_publish(pipeline, events).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body
    }

    /// As [`publish`](Self::publish), by a named reporter.
    pub async fn publish_as(&self, reporter: &str, pipeline: &str, events: Value) -> Value {
        let request = self
            .http
            .post(self.url(&format!("/api/pipelines/{pipeline}/events")))
            .header("content-type", "application/json")
            .header("RagPulse-Reporter", reporter)
            .body(events.to_string());
        let (status, body) = answer(request.send().await.unwrap()).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body
    }

    /// The state of a pipeline by a poll without a cursor.
    pub async fn state(&self, pipeline: &str) -> Value {
        let (status, body) = self.get(&format!("/api/pipelines/{pipeline}/events")).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body["snapshot"].clone()
    }

    /// The position of a pipeline.
    pub async fn cursor(&self, pipeline: &str) -> (String, u64) {
        let state = self.state(pipeline).await;
        (state["epoch"].as_str().unwrap().to_owned(), state["seq"].as_u64().unwrap())
    }

    /// Everything that happened in a pipeline, in short: `failed a Interrupted`.
    pub async fn story(&self, pipeline: &str) -> Vec<String> {
        let (epoch, _) = self.cursor(pipeline).await;
        let answer = self.events(pipeline, &epoch, 0).await;
        let events = answer["events"].as_array().unwrap_or_else(|| panic!("no events in {answer}"));
        events.iter().map(short).collect()
    }

    /// The events after a cursor.
    pub async fn events(&self, pipeline: &str, epoch: &str, seq: u64) -> Value {
        let path = format!("/api/pipelines/{pipeline}/events?epoch={epoch}&seq={seq}&limit=1000");
        self.get(&path).await.1
    }

    /// Waits until the state of a pipeline is as wished.
    pub async fn until(&self, pipeline: &str, wished: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..500 {
            let state = self.state(pipeline).await;
            if wished(&state) {
                return state;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("it did not come to that: {}", self.state(pipeline).await);
    }
}

pub fn short(event: &Value) -> String {
    let (data, name) = (&event["data"], event["event"].as_str().unwrap());
    let words = [&data["file"]["id"], &data["error"]["type"], &data["reason"]];
    let words = words.into_iter().filter_map(Value::as_str);
    let name = name.strip_prefix("file:").or_else(|| name.strip_prefix("pipeline:")).unwrap_or(name);
    std::iter::once(name).chain(words).collect::<Vec<_>>().join(" ")
}

/// Waits until something is so.
pub async fn eventually(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while !so().await {
        assert!(tokio::time::Instant::now() < deadline, "it did not come to that: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub async fn answer(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// `pipeline:online` of a type.
pub fn online() -> Value {
    json!({ "event": "pipeline:online", "data": { "pipeline_type": "local_files" } })
}

/// An event of a file.
pub fn file(event: &str, id: &str) -> Value {
    let mut data = json!({ "file": { "name": format!("{id}.txt"), "id": id } });
    if event == "file:failed" {
        data["error"] = json!({ "message": "it broke" });
    }
    if event == "file:progress" {
        data["progress"] = json!(0.5);
    }
    json!({ "event": event, "data": data })
}

/// The names of the events of an answer, with their `seq`.
pub fn names(answer: &Value) -> Vec<(u64, String)> {
    answer["events"]
        .as_array()
        .unwrap_or_else(|| panic!("no events in {answer}"))
        .iter()
        .map(|event| (event["data"]["seq"].as_u64().unwrap(), event["event"].as_str().unwrap().to_owned()))
        .collect()
}

/// How many sockets of this process have the port of the hub as their own: the listener, and one for each peer.
#[cfg(target_os = "linux")]
pub fn descriptors(port: u16) -> usize {
    let mut sockets = std::collections::HashSet::new();
    for entry in std::fs::read_dir("/proc/self/fd").unwrap().flatten() {
        if let Ok(target) = std::fs::read_link(entry.path())
            && let Some(inode) = target.to_string_lossy().strip_prefix("socket:[")
        {
            sockets.insert(inode.trim_end_matches(']').to_owned());
        }
    }
    let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
    let ours = table.lines().skip(1).filter(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields[1].ends_with(&format!(":{port:04X}")) && sockets.contains(fields[9])
    });
    ours.count()
}

/// It is not known there.
#[cfg(not(target_os = "linux"))]
pub fn descriptors(_: u16) -> usize {
    0
}
