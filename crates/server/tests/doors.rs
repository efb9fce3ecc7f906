//! Which hosts and origins come in: the same by HTTP, by Engine.IO polling and by WebSocket.
#![allow(clippy::unwrap_used)]

mod support;

use reqwest::{Method, StatusCode};
use serde_json::json;
use support::{TestHub, online};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const POLLING: &str = "/socket.io/?EIO=4&transport=polling";

/// The status and the body of a bare request for a WebSocket.
async fn upgrade(hub: &TestHub, host: &str, origin: Option<&str>) -> (u16, String) {
    let mut stream = tokio::net::TcpStream::connect(hub.address).await.unwrap();
    let origin = origin.map(|origin| format!("Origin: {origin}\r\n")).unwrap_or_default();
    let request = format!(
        "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {host}\r\n{origin}Connection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4_096];
    let count = stream.read(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..count]).into_owned();
    (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
}

#[tokio::test]
async fn a_foreign_host_does_not_come_in() {
    let hub = TestHub::configured(|config| config.hosts = vec!["status.example".to_owned()]).await;
    let as_host = async |method: Method, path: &str, host: &str| {
        let request = hub.http.request(method, hub.url(path)).header("host", host);
        support::answer(request.header("content-type", "application/json").body("[]").send().await.unwrap())
            .await
    };
    for (method, path) in [
        (Method::GET, "/health"),
        (Method::GET, "/api/rag-status"),
        (Method::POST, "/api/pipelines/p/events"),
        (Method::DELETE, "/api/pipelines/p"),
        (Method::GET, "/api/pipelines/p/stream"),
        (Method::GET, POLLING),
    ] {
        // A name that was made to point at this machine.
        let (status, problem) = as_host(method.clone(), path, "evil.example:8103").await;
        assert_eq!((status.as_u16(), &problem["code"]), (421, &json!("foreign_host")), "{method} {path}");
    }
    for host in ["localhost:1", "127.0.0.1", "[::1]:8103", "STATUS.example"] {
        assert_eq!(as_host(Method::GET, "/health", host).await.0, StatusCode::OK, "{host}");
        assert_eq!(as_host(Method::GET, POLLING, host).await.0, StatusCode::OK, "{host}");
        assert_eq!(upgrade(&hub, host, None).await.0, 101, "{host}");
    }
    let (status, answer) = upgrade(&hub, "evil.example", None).await;
    assert_eq!(status, 421, "{answer}");
    assert!(answer.contains("foreign_host"), "{answer}");
}

#[tokio::test]
async fn a_foreign_origin_does_not_come_in() {
    let hub = TestHub::configured(|config| config.origins = vec!["https://app.example".to_owned()]).await;
    hub.publish("p", online()).await;
    let own = format!("http://{}", hub.address);
    let host = hub.address.to_string();
    for (origin, welcome) in [
        ("https://evil.example", false),
        ("null", false),
        ("https://app.example.evil.example", false),
        ("http://app.example", false),
        ("https://app.example", true),
        (own.as_str(), true),
        ("http://localhost:3000", true),
    ] {
        for path in ["/health", "/api/pipelines/p/events", POLLING] {
            let response = hub.http.get(hub.url(path)).header("origin", origin).send().await.unwrap();
            let status = response.status();
            let allowed = response.headers().get("access-control-allow-origin").cloned();
            let text = response.text().await.unwrap();
            if welcome {
                assert_eq!(status, StatusCode::OK, "{origin} {path}: {text}");
                assert_eq!(allowed.unwrap(), origin, "{path}");
            } else {
                assert_eq!(status, StatusCode::FORBIDDEN, "{origin} {path}");
                assert!(text.contains("foreign_origin"), "{origin} {path}: {text}");
                assert_eq!(allowed, None, "{origin} {path}");
            }
        }
        let (status, answer) = upgrade(&hub, &host, Some(origin)).await;
        assert_eq!(status, if welcome { 101 } else { 403 }, "{origin}: {answer}");
    }
    assert_eq!(hub.state("p").await["seq"], 1);
}

#[tokio::test]
async fn a_browser_may_ask_first() {
    let hub = TestHub::start().await;
    let preflight = async |origin: &str| {
        let request = hub
            .http
            .request(Method::OPTIONS, hub.url("/api/pipelines/p/events"))
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header(
                "access-control-request-headers",
                "content-type, authorization, ragpulse-reporter, ragpulse-client-status, x-request-id",
            );
        request.send().await.unwrap()
    };
    let welcome = preflight("http://localhost:3000").await;
    let header = |name: &str| welcome.headers()[name].to_str().unwrap().to_ascii_lowercase();
    assert_eq!(header("access-control-allow-origin"), "http://localhost:3000");
    assert!(header("access-control-allow-methods").contains("post"));
    for name in [
        "authorization",
        "content-type",
        "if-none-match",
        "ragpulse-reporter",
        "ragpulse-client-status",
        "last-event-id",
        "x-request-id",
    ] {
        assert!(header("access-control-allow-headers").contains(name), "{name}");
    }
    let foreign = preflight("https://evil.example").await;
    assert_eq!(foreign.headers().get("access-control-allow-origin"), None);
    // What a page can read of an answer.
    let response = hub.http.get(hub.url("/api/rag-status")).header("origin", "http://localhost:3000");
    let response = response.send().await.unwrap();
    assert_eq!(
        response.headers()["access-control-expose-headers"],
        "etag,x-request-id,retry-after,ragpulse-stale"
    );
    assert!(response.headers()["vary"].to_str().unwrap().contains("origin"));
}

#[tokio::test]
async fn a_body_or_payload_beyond_its_limit_is_refused() {
    let hub = TestHub::configured(|config| {
        config.limits.body_bytes = 10_000;
        config.limits.frame_bytes = 40_000;
    })
    .await;
    let post = async |path: &str, bytes: usize| {
        let request = hub.http.post(hub.url(path)).header("content-type", "application/json");
        request.body(format!("\"{}\"", "x".repeat(bytes))).send().await.unwrap().status().as_u16()
    };
    assert_eq!(post("/api/pipelines/p/events", 20_000).await, 413);
    let opened = hub.http.get(hub.url(POLLING)).send().await.unwrap().text().await.unwrap();
    let opened: serde_json::Value = serde_json::from_str(&opened[1..]).unwrap();
    let path = format!("{POLLING}&sid={}", opened["sid"].as_str().unwrap());
    assert_eq!(post(&path, 100_000).await, 413);
    assert_eq!(hub.get("/health").await.0, StatusCode::OK);
}

#[tokio::test]
async fn what_asks_for_a_websocket_and_is_no_upgrade_is_told_so() {
    let hub = TestHub::start().await;
    let upgrade = "Connection: Keep-Alive, Upgrade\r\nUpgrade: WebSocket\r\n";
    for (version, headers, expected) in [
        ("1.1", upgrade, 101),
        ("1.1", "Connection: close\r\n", 400),
        ("1.1", "Connection: upgrade\r\n", 400),
        ("1.1", "Upgrade: websocket\r\n", 400),
        ("1.1", "Connection: upgrade\r\nUpgrade: h2c\r\n", 400),
        ("1.0", upgrade, 400),
    ] {
        let mut stream = tokio::net::TcpStream::connect(hub.address).await.unwrap();
        let request = format!(
            "GET /socket.io/?EIO=4&transport=websocket HTTP/{version}\r\nHost: {}\r\n{headers}\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            hub.address
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = vec![0; 4_096];
        let count = stream.read(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer[..count]).into_owned();
        assert_eq!(
            answer.split(' ').nth(1).unwrap().parse::<u16>().unwrap(),
            expected,
            "{headers}: {answer}"
        );
        if expected == 400 {
            assert!(
                answer.contains("invalid_request") && answer.contains("Let what stands before"),
                "{answer}"
            );
        }
    }
}
