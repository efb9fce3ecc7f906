//! Hubs on one log, without a network: requests go to their routers, and time is only what the test lets pass. Of tokio's clock, too,
//! so a test has to be `start_paused`.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt;
use ragpulse_protocol::Timestamp;
use ragpulse_server::clock::ManualClock;
use ragpulse_server::{Config, Hub, HubParts};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::shared::{SharedLog, shared_logs_by};

/// How long a pass is between two chances for all hubs to do something.
const STEP_MILLIS: u32 = 250;

/// One of the hubs.
pub struct Node {
    pub hub: Hub,
    pub log: Arc<SharedLog>,
    parts: HubParts,
}

/// All of them.
pub struct Nodes {
    pub nodes: Vec<Arc<Node>>,
    pub clock: ManualClock,
}

/// So many hubs.
pub async fn nodes(count: usize) -> Nodes {
    nodes_with(count, |_| {}).await
}

/// So many hubs with these settings.
pub async fn nodes_with(count: usize, change: impl Fn(&mut Config)) -> Nodes {
    let clock = ManualClock::new(Timestamp::from_millis(1_800_000_000_000));
    let mut nodes = Vec::new();
    for log in shared_logs_by(count, clock.clone()) {
        nodes.push(Arc::new(Node::on(log, clock.clone(), &change).await));
        // No two look at the same time.
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    Nodes { nodes, clock }
}

impl Nodes {
    /// Lets time pass, and the hubs do what they do meanwhile.
    pub async fn pass(&self, millis: u32) {
        let mut left = millis;
        while left > 0 {
            let step = left.min(STEP_MILLIS);
            self.clock.advance_millis(step);
            tokio::time::sleep(Duration::from_millis(u64::from(step))).await;
            left -= step;
        }
    }
}

impl std::ops::Index<usize> for Nodes {
    type Output = Node;
    fn index(&self, index: usize) -> &Node {
        &self.nodes[index]
    }
}

impl Node {
    pub async fn on(log: Arc<SharedLog>, clock: ManualClock, change: impl Fn(&mut Config)) -> Self {
        let mut config = Config::default();
        change(&mut config);
        let parts = Hub::builder().config(config).clock(clock).log(log.clone()).open().await.unwrap();
        Self { hub: parts.hub.clone(), log, parts }
    }

    /// An answer, with its headers.
    pub async fn ask(&self, request: http::Request<Body>) -> http::Response<Value> {
        let (parts, body) = self.parts.router.clone().oneshot(request).await.unwrap().into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let value = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        http::Response::from_parts(parts, value)
    }

    pub async fn get(&self, path: &str) -> http::Response<Value> {
        let request = http::Request::get(path).header("host", "localhost");
        self.ask(request.body(Body::empty()).unwrap()).await
    }

    /// Reports events, by a reporter of this name; none is the one without.
    pub async fn try_publish(&self, reporter: &str, pipeline: &str, events: Value) -> (u16, Value) {
        let mut request = http::Request::post(format!("/api/pipelines/{pipeline}/events"))
            .header("host", "localhost")
            .header("content-type", "application/json");
        if !reporter.is_empty() {
            request = request.header("RagPulse-Reporter", reporter);
        }
        let answer = self.ask(request.body(Body::from(events.to_string())).unwrap()).await;
        (answer.status().as_u16(), answer.into_body())
    }

    /// Reports events that must be taken.
    pub async fn publish(&self, reporter: &str, pipeline: &str, events: Value) -> Value {
        let (status, answer) = self.try_publish(reporter, pipeline, events).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// The state of a pipeline.
    pub async fn state(&self, pipeline: &str) -> Value {
        let answer = self.get(&format!("/api/pipelines/{pipeline}/events")).await;
        assert_eq!(answer.status(), 200, "{answer:?}");
        answer.into_body()["snapshot"].clone()
    }

    /// Whether its reporters are heard.
    pub async fn liveness(&self, pipeline: &str) -> String {
        self.state(pipeline).await["liveness"].as_str().unwrap_or("unknown").to_owned()
    }

    /// Everything that happened, as `data` of the events with their names.
    pub async fn events(&self, pipeline: &str) -> Vec<Value> {
        let state = self.state(pipeline).await;
        let Some(epoch) = state["epoch"].as_str() else { return Vec::new() };
        let path = format!("/api/pipelines/{pipeline}/events?epoch={epoch}&seq=0&limit=1000");
        let mut answer = self.get(&path).await.into_body();
        let events = answer["events"].take();
        events.as_array().unwrap_or_else(|| panic!("no events in {answer}")).clone()
    }

    /// The same in short: `failed a Interrupted`.
    pub async fn story(&self, pipeline: &str) -> Vec<String> {
        self.events(pipeline).await.iter().map(super::short).collect()
    }
}

/// `pipeline:online` with a lease.
pub fn online_for(lease_seconds: u32) -> Value {
    json!({ "event": "pipeline:online", "data": { "pipeline_type": "local_files", "lease_seconds": lease_seconds } })
}

pub fn heartbeat() -> Value {
    json!({ "event": "heartbeat" })
}

pub fn offline() -> Value {
    json!({ "event": "pipeline:offline" })
}
