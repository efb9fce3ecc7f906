//! What frontends of the reference application ask, in the shapes they expect.
#![allow(clippy::unwrap_used)]

mod support;

use ragpulse_protocol::http::TransportFlag;
use ragpulse_server::Advice;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::{TestHub, eventually, file, online};

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

#[tokio::test]
async fn rag_status_without_a_pipeline() {
    let hub = TestHub::start().await;
    let (status, body) = hub.get("/api/rag-status").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!((&body["status"], &body["pipelines"]), (&json!("offline"), &json!([])));
    assert!(body["message"].as_str().unwrap().len() > 10);
    assert!(body["serverTime"].as_str().unwrap().ends_with('Z'));
    for absent in ["status_details", "last_activity", "files_processing", "files_completed", "files_failed"] {
        assert_eq!(body.get(absent), None, "{absent}");
    }
}

#[tokio::test]
async fn rag_status_has_the_shape_of_the_reference() {
    let (hub, clock) = TestHub::timed(|_| {}).await;
    let mut batch = vec![online(), file("file:processing", "now"), file("file:queued", "later")];
    for n in 0..12 {
        batch.extend([
            file("file:processing", &format!("c{n:02}")),
            file("file:completed", &format!("c{n:02}")),
        ]);
    }
    for n in 0..7 {
        batch.extend([file("file:processing", &format!("x{n}")), file("file:failed", &format!("x{n}"))]);
    }
    hub.publish("local-files-pipeline", json!(batch)).await;
    hub.publish(
        "local-files-pipeline",
        json!({ "event": "status:update", "data": { "changes": {
        "is_checking": true, "folder_id": "abc", "check_interval": 30, "status": "running",
        "next_check_time": "2027-01-15T08:01:00Z" } } }),
    )
    .await;
    let body = hub.get("/api/rag-status").await.1;
    assert_eq!(
        keys(&body),
        [
            "fallback_mode",
            "files_completed",
            "files_failed",
            "files_processing",
            "last_activity",
            "pipelines",
            "serverTime",
            "status",
            "status_details",
            "websocket_available",
            "websocket_namespaces"
        ]
    );
    assert_eq!((&body["status"], &body["fallback_mode"]), (&json!("online"), &json!(false)));
    assert_eq!(body["websocket_available"], true);
    assert_eq!(body["websocket_namespaces"], json!(["/", "/google_drive", "/local_files"]));
    let pipeline = &body["pipelines"][0];
    assert_eq!(
        keys(pipeline),
        ["is_active", "last_heartbeat", "pipeline_id", "pipeline_type", "server_status", "status_details"]
    );
    assert_eq!((&pipeline["server_status"], &pipeline["is_active"]), (&json!("online"), &json!(true)));
    let details = &pipeline["status_details"];
    for key in [
        "status",
        "pipeline_type",
        "last_check_time",
        "next_check_time",
        "files_processing",
        "files_completed",
        "files_failed",
        "total_processed",
        "total_failed",
        "check_interval",
        "is_checking",
        "started_at",
        "last_activity",
        "seconds_until_next_check",
    ] {
        assert!(details.get(key).is_some(), "{key} is missing in {details}");
    }
    assert_eq!([&details["total_processed"], &details["total_failed"]], [12, 7]);
    assert_eq!((&details["folder_id"], &details["status"]), (&json!("abc"), &json!("running")));
    let ids = |list: &str| -> Vec<String> {
        let list = details[list].as_array().unwrap();
        list.iter().map(|file| file["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids("files_processing"), ["now"]);
    assert_eq!(ids("files_completed"), (2..12).map(|n| format!("c{n:02}")).collect::<Vec<_>>());
    assert_eq!(ids("files_failed"), ["x2", "x3", "x4", "x5", "x6"]);
    assert!(details["files_completed"][0]["completed_at"].is_string());
    // The fields at the top are those of the first that is active.
    assert_eq!((&body["status_details"], &body["files_failed"]), (details, &details["files_failed"]));
    let first = details["seconds_until_next_check"].as_i64().unwrap();
    clock.advance_millis(10_000);
    let later = hub.get("/api/rag-status").await.1;
    assert_eq!(later["status_details"]["seconds_until_next_check"], (first - 10).max(0));
}

#[tokio::test]
async fn rag_status_of_one_pipeline_and_of_an_offline_one() {
    let hub = TestHub::start().await;
    hub.publish("a", json!([online(), { "event": "pipeline:offline" }])).await;
    hub.publish("b", json!([online(), file("file:processing", "f")])).await;
    let both = hub.get("/api/rag-status").await.1;
    assert_eq!((&both["status"], &both["files_processing"][0]["id"]), (&json!("online"), &json!("f")));
    let one = hub.get("/api/rag-status?pipeline_id=a").await.1;
    assert_eq!(one["pipelines"].as_array().unwrap().len(), 1);
    let offline = &one["pipelines"][0];
    assert_eq!((&offline["server_status"], &offline["is_active"]), (&json!("offline"), &json!(false)));
    assert_eq!((&one["status"], one.get("status_details")), (&json!("offline"), None));
    let none = hub.get("/api/rag-status?pipeline_id=c").await.1;
    assert_eq!(none["pipelines"], json!([]));
    assert!(none["message"].as_str().unwrap().contains("'c'"));
    assert_eq!(hub.get("/api/rag-status?pipeline_id=%00").await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_tag_changes_with_what_happens_and_not_with_time() {
    let (hub, clock) = TestHub::timed(|_| {}).await;
    hub.publish("p", json!([online(), file("file:processing", "f")])).await;
    let ask = async |tag: &str| {
        let response =
            hub.http.get(hub.url("/api/rag-status")).header("If-None-Match", tag).send().await.unwrap();
        let tag = response.headers()["etag"].to_str().unwrap().to_owned();
        assert_eq!(response.headers()["cache-control"], "no-cache");
        (response.status(), tag)
    };
    let (status, first) = ask("").await;
    assert_eq!(status, StatusCode::OK);
    assert!(first.starts_with("W/\""));
    clock.advance_millis(59_000);
    assert_eq!(ask(&first).await, (StatusCode::NOT_MODIFIED, first.clone()));
    assert_eq!(ask(&format!("\"x\", {first}")).await.0, StatusCode::NOT_MODIFIED);
    clock.advance_millis(1_000);
    eventually("it is late", async || ask(&first).await.0 == StatusCode::OK).await;
    let (_, late) = ask(&first).await;
    hub.publish("p", json!({ "event": "heartbeat" })).await;
    assert_eq!(ask(&late).await, (StatusCode::OK, first.clone()), "heard again, and nothing else");
    hub.publish("p", file("file:completed", "f")).await;
    let (status, second) = ask(&first).await;
    assert_eq!(status, StatusCode::OK);
    assert_ne!(second, first);
}

#[tokio::test]
async fn the_socket_tells_of_itself() {
    let hub = TestHub::configured(|config| {
        config.transport = TransportFlag::Polling;
        config.rollout_percentage = 40;
    })
    .await;
    let info = hub.get("/api/socket/info").await.1;
    for key in ["available", "namespaces", "transports", "version", "health", "features", "last_checked"] {
        assert!(info.get(key).is_some(), "{key}");
    }
    assert_eq!((&info["available"], &info["health"]), (&json!(true), &json!("healthy")));
    assert_eq!(info["transports"], json!(["websocket", "polling"]));
    let features = ["auto_reconnect", "fallback_polling", "file_progress", "realtime_updates"];
    assert_eq!(keys(&info["features"]), features);
    assert_eq!((&info["transport"], &info["rollout_percentage"]), (&json!("polling"), &json!(40)));
    assert_eq!((&info["protocol"], &info["retry_after_ms"]), (&json!(1), &json!(1_000)));
    assert_eq!(hub.get("/api/rag-status").await.1["fallback_mode"], true);
    // The operator changes it while the hub runs.
    assert_eq!(hub.hub.advice(), Advice { transport: TransportFlag::Polling, rollout_percentage: 40 });
    hub.hub.set_advice(Advice { transport: TransportFlag::Websocket, rollout_percentage: 0 }).unwrap();
    let senseless = Advice { transport: TransportFlag::Auto, rollout_percentage: 101 };
    assert_eq!(hub.hub.set_advice(senseless).unwrap_err().setting, "rollout_percentage");
    let info = hub.get("/api/socket/info").await.1;
    assert_eq!((&info["transport"], &info["rollout_percentage"]), (&json!("websocket"), &json!(0)));
    assert_eq!(hub.get("/api/rag-status").await.1["fallback_mode"], false);
    let (status, test) = hub.send(Method::POST, "/api/socket/test", "application/json", "{}").await;
    assert_eq!((status, &test["success"], &test["connections"]), (StatusCode::OK, &json!(true), &json!(0)));
}

#[tokio::test]
async fn a_tag_changes_with_the_advice() {
    let hub = TestHub::start().await;
    hub.publish("p", online()).await;
    let tag = async || {
        let response = hub.http.get(hub.url("/api/rag-status")).send().await.unwrap();
        response.headers()["etag"].to_str().unwrap().to_owned()
    };
    let first = tag().await;
    assert_eq!(tag().await, first);
    hub.hub.set_advice(Advice { transport: TransportFlag::Polling, rollout_percentage: 100 }).unwrap();
    assert_ne!(tag().await, first, "a cache would go on telling of the socket");
}

#[tokio::test]
async fn health_and_what_is_not_there() {
    let hub = TestHub::start().await;
    assert_eq!(hub.get("/health").await, (StatusCode::OK, json!("OK")));
    assert_eq!(hub.get("/ready").await, (StatusCode::OK, json!({ "status": "ready" })));
    for (method, path, status, code) in [
        (Method::GET, "/", 404, "not_found"),
        (Method::GET, "/api/nothing", 404, "not_found"),
        (Method::GET, "/api/pipelines/p", 405, "method_not_allowed"),
        (Method::PUT, "/api/pipelines/p/events", 405, "method_not_allowed"),
        (Method::POST, "/api/rag-status", 405, "method_not_allowed"),
        (Method::GET, "/api/socket/test", 405, "method_not_allowed"),
        (Method::DELETE, "/health", 405, "method_not_allowed"),
    ] {
        let response = hub.http.request(method.clone(), hub.url(path)).send().await.unwrap();
        assert_eq!(response.headers()["content-type"], "application/problem+json", "{method} {path}");
        let (got, problem) = support::answer(response).await;
        assert_eq!((got.as_u16(), &problem["code"]), (status, &json!(code)), "{method} {path}");
        assert_eq!(problem["type"], format!("urn:ragpulse:problem:{code}"));
    }
}
