//! What clients report of how they fare: by `client:status`, and by a header where they poll.
#![allow(clippy::unwrap_used)]

mod support;

use ragpulse_protocol::{Code, PipelineId, Problem};
use ragpulse_server::auth::BoxFuture;
use ragpulse_server::{Act, Authoriser, ClientReports, Hub, LATENCY_BOUNDS_MS, Principal};
use reqwest::StatusCode;
use reqwest::header::HeaderValue;
use serde_json::{Value, json};
use support::socket::Socket;
use support::{TestHub, online};

fn status(more: Value) -> Value {
    let mut status = json!({ "client_id": "c", "status": "active" });
    status.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    status
}

async fn poll_with(hub: &TestHub, header: impl Into<Vec<u8>>) -> StatusCode {
    let header = HeaderValue::from_bytes(&header.into()).unwrap();
    let request = hub.http.get(hub.url("/api/pipelines/p/events"));
    request.header("RagPulse-Client-Status", header).send().await.unwrap().status()
}

/// How many times of this length were counted.
fn within(buckets: &[u64], ms: f64) -> u64 {
    buckets[LATENCY_BOUNDS_MS.iter().position(|bound| ms <= *bound).unwrap_or(LATENCY_BOUNDS_MS.len())]
}

#[tokio::test]
async fn both_ways_are_counted_alike() {
    let hub = TestHub::start().await;
    hub.publish("p", online()).await;
    assert_eq!(hub.hub.client_reports(), ClientReports::default());
    let mut socket = Socket::connect(hub.address, "/").await;
    let fell_back = json!({ "transport": "polling", "fallback_cause": "silence: 25 s", "latency_ms": 30.5 });
    let came_back = json!({ "transport": "websocket", "fallback_dwell_ms": 1_500.5, "paint_latency_ms": 16 });
    for more in [&fell_back, &came_back] {
        assert_eq!(socket.ask("client:status", status(more.clone())).await, json!({}));
    }
    let by_socket = hub.hub.client_reports();
    assert_eq!((by_socket.reports.polling, by_socket.reports.websocket, by_socket.reports.other), (1, 1, 0));
    assert_eq!(
        by_socket.fallbacks.iter().filter(|(_, count)| *count > 0).collect::<Vec<_>>(),
        [("silence", 1)]
    );
    assert_eq!((by_socket.fallback_dwell_count, by_socket.fallback_dwell_sum_ms), (1, 1_500.5));
    assert_eq!((by_socket.latency.count, by_socket.latency.sum_ms), (1, 30.5));
    assert_eq!(within(&by_socket.latency.buckets, 30.5), 1);
    assert_eq!((by_socket.paint_latency.count, within(&by_socket.paint_latency.buckets, 16.0)), (1, 1));

    for more in [&fell_back, &came_back] {
        assert_eq!(poll_with(&hub, status(more.clone()).to_string()).await, 200);
    }
    let both = hub.hub.client_reports();
    assert_eq!((both.reports.polling, both.reports.websocket, both.fallbacks.silence), (2, 2, 2));
    assert_eq!((both.fallback_dwell_count, both.fallback_dwell_sum_ms), (2, 3_001.0));
    assert_eq!((both.latency.count, both.paint_latency.count), (2, 2));

    // One that names no transport: by a poll it polls, by a socket it may be either.
    assert_eq!(socket.ask("client:status", status(json!({}))).await, json!({}));
    assert_eq!(poll_with(&hub, status(json!({})).to_string()).await, 200);
    let counts = hub.hub.client_reports().reports;
    assert_eq!((counts.polling, counts.websocket, counts.other), (3, 2, 1));
}

#[tokio::test]
async fn what_makes_no_sense_is_left_out_and_the_rest_counts() {
    let hub = TestHub::start().await;
    hub.publish("p", online()).await;
    let mut socket = Socket::connect(hub.address, "/").await;
    for ms in [json!(-1), json!(86_400_001), json!(1e300)] {
        let times = json!({ "latency_ms": ms, "paint_latency_ms": ms, "fallback_dwell_ms": ms });
        assert_eq!(socket.ask("client:status", status(times.clone())).await, json!({}));
        assert_eq!(poll_with(&hub, status(times).to_string()).await, 200);
    }
    // Causes are counted, not kept: of whatever length and number they are, they are few names.
    for n in 0..20 {
        let cause = format!("cause-{n} {}", "x".repeat(10_000));
        socket.ask("client:status", status(json!({ "fallback_cause": cause, "transport": cause }))).await;
    }
    let counted = hub.hub.client_reports();
    assert_eq!((counted.reports.polling, counted.reports.other), (3, 23));
    assert_eq!(counted.fallbacks.other, 20);
    assert_eq!(counted.fallbacks.iter().map(|(_, count)| count).sum::<u64>(), 20);
    assert_eq!((counted.fallback_dwell_count, counted.latency.count, counted.paint_latency.count), (0, 0, 0));
}

#[tokio::test]
async fn a_header_that_cannot_be_read_is_ignored_and_the_poll_goes_on() {
    let hub = TestHub::start().await;
    hub.publish("p", online()).await;
    let padded = |bytes: usize| {
        let bare = status(json!({ "more": "" })).to_string().len();
        status(json!({ "more": "x".repeat(bytes - bare) })).to_string().into_bytes()
    };
    for header in [
        Vec::new(),
        b"x".to_vec(),
        b"null".to_vec(),
        b"[\"c\",\"active\"]".to_vec(),
        b"{\"client_id\":\"c\"}".to_vec(),
        b"{\"client_id\":\"c\",\"status\":\"active\",\"latency_ms\":\"1\"}".to_vec(),
        b"{\"client_id\":\"c\",\"status\":\"active\",\"latency_ms\":1e999}".to_vec(),
        "{\"client_id\":\"é\",\"status\":\"active\"}".as_bytes().to_vec(),
        padded(1_025),
        padded(6_000),
    ] {
        let shown = String::from_utf8_lossy(&header).into_owned();
        assert_eq!(poll_with(&hub, header).await, 200, "{shown}");
    }
    assert_eq!(hub.hub.client_reports(), ClientReports::default());
    assert_eq!(poll_with(&hub, padded(1_024)).await, 200);
    assert_eq!(hub.hub.client_reports().reports.polling, 1);
    // Of several the first is read.
    let request = hub.http.get(hub.url("/api/pipelines/p/events"));
    let request = request.header("ragpulse-client-status", status(json!({ "latency_ms": 1 })).to_string());
    let request = request.header("ragpulse-client-status", status(json!({ "latency_ms": 2 })).to_string());
    assert_eq!(request.send().await.unwrap().status(), 200);
    assert_eq!(hub.hub.client_reports().latency.sum_ms, 1.0);
    // It is heard before the poll is held, so that a held one does not hold it back.
    let url = hub.url("/api/pipelines/held/events?wait=30");
    let held = hub.http.get(url).header("RagPulse-Client-Status", status(json!({})).to_string());
    let held = tokio::spawn(held.send());
    support::eventually("it is counted", async || hub.hub.client_reports().reports.polling == 3).await;
    assert!(!held.is_finished());
    held.abort();
}

/// Knows one token, which names `p`.
struct One;

impl Authoriser for One {
    fn authenticate<'a>(&'a self, token: Option<&'a str>) -> BoxFuture<'a, Result<Principal, Problem>> {
        let result = match token {
            Some("t") => Ok(Principal::named("t")),
            _ => Err(Problem::new(Code::Unauthorized, "Bring a token.")),
        };
        Box::pin(std::future::ready(result))
    }

    fn allows(&self, _: &Principal, _: Act, pipeline: Option<&PipelineId>) -> bool {
        pipeline.is_some_and(|id| id.as_str() == "p")
    }
}

#[tokio::test]
async fn who_may_not_come_in_is_not_counted() {
    let hub = TestHub::with(Hub::builder().authoriser(One)).await;
    let ask = async |token: &str, pipeline: &str| {
        let request = hub.http.get(hub.url(&format!("/api/pipelines/{pipeline}/events"))).bearer_auth(token);
        let request = request.header("RagPulse-Client-Status", status(json!({})).to_string());
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!((ask("wrong", "p").await, ask("t", "q").await), (401, 403));
    assert_eq!(hub.hub.client_reports(), ClientReports::default());
    assert_eq!(ask("t", "p").await, 200);
    assert_eq!(hub.hub.client_reports().reports.polling, 1);
}
