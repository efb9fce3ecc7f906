//! A hub within an application of its own: the application stays as it is, and reports through guards.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use ragpulse_protocol::parts::{ErrorReport, OfflineReason};
use ragpulse_protocol::{PipelineId, PipelineStatus};
use ragpulse_server::{Config, Hub, HubParts};
use serde_json::{Map, json};
use support::eventually;
use support::socket::Socket;

fn state(hub: &Hub) -> Option<PipelineStatus> {
    hub.state(&PipelineId::new("p").unwrap())
}

/// Serves an application around a hub; gives its address.
async fn serve(parts: HubParts) -> std::net::SocketAddr {
    let app = Router::new()
        .route("/", get(|| async { "my own page" }))
        .route("/socket.iox", get(|| async { "no socket" }))
        .fallback(|| async { (axum::http::StatusCode::IM_A_TEAPOT, "my own fallback") })
        .merge(parts.router)
        .layer(parts.layer);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, app).into_future());
    address
}

#[tokio::test]
async fn the_applications_own_routes_are_untouched() {
    let parts = Hub::builder().build().unwrap();
    let hub = parts.hub.clone();
    let address = serve(parts).await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let ask = async |path: &str, header: (&str, &str)| {
        let request = http.get(format!("http://{address}{path}")).header(header.0, header.1);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    // Whoever asks: who may call the application is not the hub's to say.
    for header in [("accept", "*/*"), ("host", "shop.example"), ("origin", "https://evil.example")] {
        assert_eq!(ask("/", header).await, (200, "my own page".to_owned()), "{header:?}");
        assert_eq!(ask("/nothing", header).await, (418, "my own fallback".to_owned()), "{header:?}");
        assert_eq!(ask("/assets/app.js", header).await.0, 418, "no dashboard unless asked for");
        assert_eq!(ask("/socket.iox", header).await.1, "no socket");
    }
    assert_eq!(ask("/health", ("accept", "*/*")).await, (200, "OK".to_owned()));
    assert_eq!(ask("/health", ("host", "shop.example")).await.0, 421);
    assert_eq!(ask("/socket.io/?EIO=4&transport=polling", ("host", "shop.example")).await.0, 421);

    let pipeline = hub.pipeline("p", "docs").unwrap().start().await.unwrap();
    let mut socket = Socket::connect(address, "/").await;
    socket.ask("subscribe", json!({ "pipeline_id": "p" })).await;
    assert_eq!(socket.next().await.0, "pipeline:status");
    pipeline.file("a.txt").begin().await.unwrap();
    assert_eq!(socket.next().await.0, "file:processing");
    hub.close(Duration::from_secs(2)).await;
    assert_eq!(ask("/", ("accept", "*/*")).await.0, 200, "the application goes on without it");
}

#[tokio::test]
async fn the_dashboard_is_there_when_asked_for() {
    let mut config = Config::default();
    config.dashboard = true;
    let parts = Hub::builder().config(config).build().unwrap();
    let app = Router::new().merge(parts.router).layer(parts.layer);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, app).into_future());
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let response = http.get(format!("http://{address}/")).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/html; charset=utf-8");
    let policy = response.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'self'") && policy.contains("frame-ancestors 'none'"), "{policy}");
}

#[tokio::test]
async fn guards_report_what_happens() {
    let hub = Hub::builder().build().unwrap().hub;
    let pipeline = hub.pipeline("p", "docs").unwrap().watch_location("/data").lease_seconds(30);
    let pipeline = pipeline.start().await.unwrap();
    let opened = state(&hub).unwrap();
    assert_eq!((opened.watch_location.as_deref(), opened.lease_seconds), (Some("/data"), Some(30)));
    let mut good = pipeline.file("good.txt").queue().await.unwrap().begin().await.unwrap();
    good.progress("embedding", 0.5).await.unwrap();
    good.completed().await.unwrap();
    let bad = pipeline.file("bad.txt".to_owned()).begin().await.unwrap();
    bad.failed(ErrorReport { message: "no".to_owned(), ..ErrorReport::default() }).await.unwrap();
    pipeline.file("old.txt").skipped(ragpulse_protocol::parts::SkipReason::Unchanged).await.unwrap();
    let mut changes = Map::new();
    changes.insert("is_checking".to_owned(), json!(true));
    pipeline.update(changes).await.unwrap();
    let now = state(&hub).unwrap();
    assert_eq!(
        (now.counts.completed, now.counts.failed, now.counts.skipped, now.is_checking),
        (1, 1, 1, Some(true))
    );
    pipeline.stop(OfflineReason::NormalShutdown).await.unwrap();
    let over = state(&hub).unwrap();
    assert_eq!(over.offline_reason, Some(OfflineReason::NormalShutdown));
    assert_eq!(hub.stats().anomalies, 0);
    hub.close(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn a_dropped_file_is_interrupted() {
    let hub = Hub::builder().build().unwrap().hub;
    let pipeline = hub.pipeline("p", "docs").unwrap().start().await.unwrap();
    let mut file = pipeline.file("a.txt").begin().await.unwrap();
    file.progress("chunking", 0.1).await.unwrap();
    // What was never begun is not spoken of.
    drop(pipeline.file("never.txt"));
    let work = tokio::spawn(async move {
        let _file = file;
        panic!("the parser fell over");
    });
    assert!(work.await.is_err());
    eventually("it ended", async || state(&hub).unwrap().counts.failed == 1).await;
    let now = state(&hub).unwrap();
    assert!(now.is_online());
    let error = now.files.get("a.txt").unwrap().error.clone().unwrap();
    assert_eq!((error.kind.as_str(), error.retryable), ("Interrupted", true));
    assert_eq!(error.stage.unwrap().as_str(), "chunking");
    assert_eq!(now.counts.total(), 1);
    hub.close(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn a_pipeline_that_was_forgotten_opens_again_with_its_next_word() {
    let hub = support::TestHub::start().await;
    let pipeline = hub.hub.pipeline("p", "docs").unwrap().watch_location("here").start().await.unwrap();
    let deleted = hub.http.delete(hub.url("/api/pipelines/p")).send().await.unwrap();
    assert_eq!(deleted.status(), 204);
    assert!(state(&hub.hub).is_none());
    pipeline.file("a.txt").begin().await.unwrap().completed().await.unwrap();
    let now = state(&hub.hub).unwrap();
    assert_eq!((now.watch_location.as_deref(), now.counts.completed, now.seq), (Some("here"), 1, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_pipeline_goes_offline_after_its_files_and_stays_so() {
    let hub = Hub::builder().build().unwrap().hub;
    for round in 1..=20 {
        let pipeline = hub.pipeline("p", "docs").unwrap().start().await.unwrap();
        let files: Vec<_> = vec![
            pipeline.file("a.txt").begin().await.unwrap(),
            pipeline.file("b.txt").begin().await.unwrap(),
        ];
        if round % 2 == 0 {
            drop(files);
            drop(pipeline);
        } else {
            drop(files);
            pipeline.stop(OfflineReason::NormalShutdown).await.unwrap();
        }
        let events = round * 6;
        eventually("all was said", async || state(&hub).is_some_and(|now| now.seq >= events)).await;
        let now = state(&hub).unwrap();
        assert_eq!((now.is_online(), now.seq, now.counts.failed), (false, events, 2), "round {round}");
    }
    // Each word was said once, by the guards themselves.
    assert_eq!(hub.stats().anomalies, 0);
    hub.close(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn a_pipeline_of_another_type_or_name_is_refused() {
    let hub = Hub::builder().build().unwrap().hub;
    let _pipeline = hub.pipeline("p", "docs").unwrap().start().await.unwrap();
    let problem = hub.pipeline("p", "mails").unwrap().start().await.err().unwrap();
    assert_eq!(problem.code.as_str(), "type_conflict");
    assert_eq!(hub.pipeline("no name", "docs").err().unwrap().code.as_str(), "invalid_name");
    hub.close(Duration::from_secs(1)).await;
}
