//! A store that does not answer: what is in memory is served and marked, reports are refused, and nothing is ended.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use ragpulse_server::Config;
use serde_json::{Value, json};
use support::file;
use support::nodes::{Node, heartbeat, nodes_with, online_for};

const SERVED: [&str; 4] = [
    "/api/rag-status",
    "/api/pipelines/p/events",
    "/api/pipelines/p/events?epoch=EPOCH&seq=1",
    "/api/pipelines/p/files",
];

fn with_metrics(config: &mut Config) {
    config.metrics = true;
}

async fn stale(node: &Node, path: &str) -> (u16, Option<String>) {
    let answer = node.get(path).await;
    let mark = answer
        .headers()
        .get("ragpulse-stale")
        .map(|mark| String::from_utf8_lossy(mark.as_bytes()).into_owned());
    (answer.status().as_u16(), mark)
}

#[tokio::test(start_paused = true)]
async fn what_is_in_memory_is_served_with_a_mark() {
    let nodes = nodes_with(1, with_metrics).await;
    let node = &nodes[0];
    let receipt = node.publish("one", "p", json!([online_for(8), file("file:processing", "a")])).await;
    let epoch = receipt["epoch"].as_str().unwrap();
    for path in SERVED {
        assert_eq!(stale(node, &path.replace("EPOCH", epoch)).await, (200, None), "{path}");
    }
    assert_eq!(node.get("/ready").await.status(), 200);

    node.log.be_silent(1);
    assert_eq!(stale(node, SERVED[0]).await.1.as_deref(), Some("1"), "it is never 0");
    node.log.be_silent(12_001);
    for path in SERVED {
        let path = path.replace("EPOCH", epoch);
        assert_eq!(stale(node, &path).await, (200, Some("13".to_owned())), "{path}");
    }
    let state = node.get("/api/rag-status").await;
    let tag = state.headers()["etag"].clone();
    let request =
        http::Request::get("/api/rag-status").header("host", "localhost").header("if-none-match", tag);
    let known = node.ask(request.body(axum::body::Body::empty()).unwrap()).await;
    assert_eq!((known.status().as_u16(), &known.headers()["ragpulse-stale"]), (304, &"13".parse().unwrap()));
    // A refusal is not from memory, nor is what has nothing to do with it.
    assert_eq!(stale(node, "/api/pipelines/other/files").await, (404, None));
    assert_eq!(stale(node, "/api/socket/info").await, (200, None));
    let metrics = node.get("/metrics").await.into_body();
    assert!(metrics.as_str().unwrap().contains("\nragpulse_log_silent_seconds 12.001\n"), "{metrics}");

    node.log.be_silent(0);
    assert_eq!(stale(node, SERVED[0]).await, (200, None));
    let metrics = node.get("/metrics").await.into_body();
    assert!(metrics.as_str().unwrap().contains("\nragpulse_log_silent_seconds 0.0\n"), "{metrics}");
}

#[tokio::test(start_paused = true)]
async fn reports_are_refused_until_it_answers() {
    let nodes = nodes_with(2, |_| {}).await;
    let node = &nodes[0];
    node.publish("one", "p", online_for(8)).await;
    node.log.be_silent(3_000);
    let ready = node.get("/ready").await;
    assert_eq!((ready.status().as_u16(), &ready.headers()["retry-after"]), (503, &"5".parse().unwrap()));
    let problem = ready.body();
    assert_eq!((&problem["code"], &problem["retryable"]), (&json!("store_unavailable"), &json!(true)));
    assert!(problem["detail"].as_str().unwrap().contains("has not answered for 3 s"), "{problem}");
    assert_eq!(node.get("/health").await.status(), 200);
    // A heartbeat as well, though it need not be written at once: no other hub would know of it.
    for event in [file("file:processing", "a"), heartbeat()] {
        let request = http::Request::post("/api/pipelines/p/events")
            .header("host", "localhost")
            .header("content-type", "application/json")
            .header("RagPulse-Reporter", "one");
        let answer = node.ask(request.body(axum::body::Body::from(event.to_string())).unwrap()).await;
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["retry-after"]),
            (503, &"5".parse().unwrap())
        );
        assert_eq!(answer.body()["code"], "store_unavailable");
        assert!(!answer.headers().contains_key("ragpulse-stale"));
    }
    assert_eq!(nodes[1].get("/ready").await.status(), 200, "the other hub reaches it");
    node.log.be_silent(0);
    node.publish("one", "p", file("file:processing", "a")).await;
    assert_eq!(node.get("/ready").await.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn held_polls_are_held_and_nothing_is_late_that_was_not() {
    let nodes = nodes_with(2, |_| {}).await;
    let receipt = nodes[0].publish("one", "p", online_for(8)).await;
    nodes.nodes.iter().for_each(|node| node.log.be_silent(1));
    let epoch = receipt["epoch"].as_str().unwrap().to_owned();
    let poll = tokio::spawn({
        let node = nodes.nodes[1].clone();
        async move { node.get(&format!("/api/pipelines/p/events?epoch={epoch}&seq=1&wait=20")).await }
    });
    nodes.pass(15_000).await;
    assert!(!poll.is_finished());
    assert_eq!(nodes[1].liveness("p").await, "live");
    nodes.nodes.iter().for_each(|node| node.log.be_silent(0));
    nodes[0].publish("one", "p", file("file:processing", "a")).await;
    let answer = tokio::time::timeout(Duration::from_secs(1), poll).await.unwrap().unwrap();
    let names: Vec<&Value> =
        answer.body()["events"].as_array().unwrap().iter().map(|event| &event["event"]).collect();
    assert_eq!(names, ["file:processing"]);
    assert_eq!(nodes[0].story("p").await, ["online", "processing a"]);
}
