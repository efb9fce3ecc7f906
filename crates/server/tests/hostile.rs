//! What a hostile client, or a hostile page, tries over HTTP beside what the other tests hold: docs/threat-model.md names
//! each of these.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use ragpulse_server::auth::Role;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::auth::Guarded;
use support::{TestHub, online};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Sends bytes as they stand, and reads until the hub closes or says nothing more for a moment.
async fn raw(hub: &TestHub, bytes: &[u8]) -> String {
    let mut stream = tokio::net::TcpStream::connect(hub.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut all = Vec::new();
    let mut part = [0; 8_192];
    // What comes comes at once; the time only ends the wait for what does not.
    while let Ok(Ok(count)) = tokio::time::timeout(Duration::from_millis(500), stream.read(&mut part)).await {
        if count == 0 {
            break;
        }
        all.extend_from_slice(&part[..count]);
    }
    String::from_utf8_lossy(&all).into_owned()
}

fn status(answer: &str) -> u16 {
    answer
        .split(' ')
        .nth(1)
        .and_then(|word| word.parse().ok())
        .unwrap_or_else(|| panic!("no answer: {answer}"))
}

#[tokio::test]
async fn a_token_in_an_address_opens_nothing() {
    let guarded = Guarded::start("").await;
    guarded.open("p").await;
    let token = guarded.mint(Role::Admin, &["*"]).0;
    for name in ["token", "access_token", "authorization", "auth", "key"] {
        for path in ["/api/rag-status", "/api/pipelines/p/events", "/api/pipelines/p/stream", "/metrics"] {
            let (status, _) = guarded.hub.get(&format!("{path}?{name}={token}")).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{path} by {name}");
        }
        // Nor does a cookie: what a browser sends by itself lets no page of somebody else in.
        let asked = guarded.hub.http.get(guarded.hub.url("/api/rag-status"));
        let answer = asked.header("cookie", format!("{name}={token}")).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "by the cookie {name}");
    }
    let asked = guarded.hub.http.get(guarded.hub.url("/api/rag-status"));
    let answer = asked.basic_auth("token", Some(&token)).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "by Basic");
}

#[tokio::test]
async fn what_is_compressed_is_not_unpacked() {
    let hub = TestHub::start().await;
    hub.publish("p", online()).await;
    // An empty batch: it would be taken.
    let packed: &[u8] = &[31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 139, 142, 5, 0, 41, 187, 76, 13, 2, 0, 0, 0];
    for encoding in ["gzip", "deflate", "br", "zstd"] {
        let request = hub.http.post(hub.url("/api/pipelines/p/events"));
        let request = request.header("content-type", "application/json").header("content-encoding", encoding);
        let (status, problem) = support::answer(request.body(packed.to_vec()).send().await.unwrap()).await;
        assert_eq!((status.as_u16(), &problem["code"]), (400, &json!("invalid_json")), "{encoding}");
    }
    assert_eq!(hub.try_publish("p", json!([])).await.0, StatusCode::OK, "what was packed is taken as it is");
    // Nor are frames: an extension that was offered is not agreed to.
    let answer = raw(
        &hub,
        b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
          Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
          Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n",
    )
    .await;
    assert_eq!(status(&answer), 101);
    assert!(!answer.to_ascii_lowercase().contains("sec-websocket-extensions"), "{answer}");
}

#[tokio::test]
async fn no_name_of_a_part_leads_out_of_the_page() {
    let hub = TestHub::in_memory(|config| config.dashboard = true).await;
    for path in [
        "/assets/../index.html",
        "/assets/..%2findex.html",
        "/assets/%2e%2e%2findex.html",
        "/assets/..%5c..%5cCargo.toml",
        "/assets/..%2f..%2f..%2f..%2fCargo.toml",
        "/assets/%2fetc%2fpasswd",
        "/assets/index.html%00.js",
        "//etc/passwd",
        "/../../etc/passwd",
        "/assets/",
    ] {
        let answer = raw(
            &hub,
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes(),
        )
        .await;
        assert_eq!(status(&answer), 404, "{path}: {answer}");
        assert!(answer.contains("application/problem+json"), "{path}: {answer}");
    }
}

#[tokio::test]
async fn a_request_has_one_length_and_one_host() {
    let hub = TestHub::in_memory(|_| {}).await;
    hub.publish("p", online()).await;
    let second = "GET /api/socket/info HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let post =
        "POST /api/pipelines/p/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    // What a proxy before the hub could read otherwise, so that one request would become two.
    for head in [
        "Content-Length: 0\r\nContent-Length: 60\r\n",
        "Content-Length: +0\r\n",
        "Content-Length: 0x0\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding : chunked\r\n",
        "X: y\r\n Content-Length: 0\r\n",
    ] {
        let answer = raw(&hub, format!("{post}{head}\r\n{second}").as_bytes()).await;
        assert_eq!(status(&answer), 400, "{head}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{head}: {answer}");
    }
    // Both: chunks are what counts, and nothing of what follows is taken for the body's, nor the body for a request.
    let both = format!("{post}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n");
    let answer = raw(&hub, both.as_bytes()).await;
    assert!(answer.matches("HTTP/1.1 ").count() == 1 && [200, 400].contains(&status(&answer)), "{answer}");
    for hosts in ["Host: localhost\r\nHost: evil.example\r\n", "Host: evil.example\r\nHost: localhost\r\n"] {
        let answer =
            raw(&hub, format!("GET /health HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n").as_bytes()).await;
        assert_eq!(status(&answer), 421, "{answer}");
    }
    let origins = "Host: localhost\r\nOrigin: http://localhost\r\nOrigin: https://evil.example\r\n";
    let answer =
        raw(&hub, format!("GET /health HTTP/1.1\r\n{origins}Connection: close\r\n\r\n").as_bytes()).await;
    assert_eq!(status(&answer), 403, "{answer}");
    // A line break in a value cannot become a header of the answer.
    let split = "GET /x%0d%0aSet-Cookie:%20a=b HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: a%0d%0ab\r\nConnection: close\r\n\r\n";
    let answer = raw(&hub, split.as_bytes()).await;
    assert!(!answer.to_ascii_lowercase().contains("\nset-cookie"), "{answer}");
}

#[tokio::test]
async fn what_was_reported_is_never_sent_as_a_page() {
    let hub = TestHub::in_memory(|config| config.dashboard = true).await;
    let script = "<script>alert(1)</script>";
    let file = json!({ "name": script, "path": "javascript:alert(1)" });
    let failed = json!({ "event": "file:failed", "data": { "file": file, "error": { "message": script } } });
    hub.publish("p", json!([online(), failed])).await;
    for path in [
        "/api/rag-status",
        "/api/pipelines/p/events",
        "/api/pipelines/p/events?epoch=<script>",
        "/api/pipelines/p/files",
        "/api/pipelines/p/history",
        "/api/pipelines/<script>/files",
        "/api/pipelines/p/files?state=<script>",
        "/<script>",
        "/assets/<script>",
    ] {
        let answer = hub.http.get(hub.url(path)).header("accept", "text/html").send().await.unwrap();
        let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let kind = header("content-type").unwrap_or_default();
        assert!(["application/json", "application/problem+json"].contains(&kind.as_str()), "{path}: {kind}");
        assert_eq!(header("x-content-type-options").as_deref(), Some("nosniff"), "{path}");
    }
    let page = hub.http.get(hub.url("/")).send().await.unwrap();
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("default-src 'self'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(!policy.contains("unsafe") && !page.text().await.unwrap().contains("<script>alert"), "{policy}");
}

#[tokio::test]
async fn no_page_is_given_what_a_browser_keeps() {
    for listed in ["*", "https://app.example"] {
        let hub = TestHub::in_memory(|config| config.origins = vec![listed.to_owned()]).await;
        for (method, path) in [
            (Method::GET, "/api/rag-status"),
            (Method::OPTIONS, "/api/pipelines/p/events"),
            (Method::GET, "/socket.io/?EIO=4&transport=polling"),
        ] {
            let request = hub.http.request(method, hub.url(path)).header("origin", "https://app.example");
            let answer = request.header("access-control-request-method", "POST").send().await.unwrap();
            assert_eq!(answer.headers()["access-control-allow-origin"], "https://app.example", "{path}");
            assert_eq!(answer.headers().get("access-control-allow-credentials"), None, "{path}");
            assert_eq!(answer.headers().get("set-cookie"), None, "{path}");
            assert!(answer.headers()["vary"].to_str().unwrap().contains("origin"), "{path}");
        }
    }
}

#[tokio::test]
async fn numbers_beyond_all_bounds_are_refused_or_kept_finite() {
    let hub = TestHub::in_memory(|_| {}).await;
    hub.publish("p", online()).await;
    let path = "/api/pipelines/p/events";
    for number in ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "0x10", "01", "+1", "1e"] {
        let body =
            format!(r#"{{"event":"file:progress","data":{{"file":{{"name":"a"}},"progress":{number}}}}}"#);
        let (status, problem) = hub.send(Method::POST, path, "application/json", body).await;
        assert_eq!((status.as_u16(), &problem["code"]), (400, &json!("invalid_json")), "{number}");
    }
    for number in
        ["1e308", "-1e308", "18446744073709551615", "18446744073709551616", "-9223372036854775809", "5e-324"]
    {
        for field in ["progress", "current", "total", "eta_seconds"] {
            let mut data: Value = json!({ "file": { "name": "a" }, "progress": 0.5 });
            data[field] = serde_json::from_str(number).unwrap();
            let (status, answer) =
                hub.try_publish("p", json!({ "event": "file:progress", "data": data })).await;
            assert!([200, 422].contains(&status.as_u16()), "{field} {number}: {answer}");
        }
        let (status, answer) = hub.get(&format!("{path}?epoch=e&seq={number}&limit={number}")).await;
        assert!([200, 400].contains(&status.as_u16()), "{number}: {answer}");
    }
    // Whoever reads JSON with other numbers than these would see nothing, or something else.
    let state = hub.state("p").await;
    assert_eq!(serde_json::from_str::<Value>(&state.to_string()).unwrap(), state);
    assert!(!state.to_string().contains("null"), "{state}");
}

#[tokio::test]
async fn a_problem_is_what_its_headers_say() {
    let hub = TestHub::in_memory(|config| config.dashboard = true).await;
    // Those of the page pass by what compresses it, and are given their request's id behind that.
    for (method, path) in
        [(Method::PUT, "/"), (Method::GET, "/assets/none.js"), (Method::GET, "/api/pipelines/p/files")]
    {
        let request = hub.http.request(method, hub.url(path)).header("accept-encoding", "gzip, br");
        let answer = request.send().await.unwrap();
        assert_eq!(answer.headers().get("content-encoding"), None, "{path}");
        let problem: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        assert!(problem["request_id"].is_string(), "{path}: {problem}");
    }
}

#[test]
fn what_the_threat_model_names_is_there() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = std::fs::read_to_string(root.join("docs/threat-model.md")).unwrap();
    let (mut files, mut tests) = (0, 0);
    for line in text.lines().filter(|line| line.starts_with("| ")) {
        // Every other piece stands between the marks of code.
        for named in line.split('`').skip(1).step_by(2) {
            let is_path =
                |path: &str| path.contains('/') && path.rsplit('.').next().is_some_and(|end| end.len() <= 4);
            let (path, name) =
                named.split_once("::").map_or((named, None), |(path, name)| (path, Some(name)));
            if !is_path(path) || path.contains(' ') {
                continue;
            }
            let file =
                std::fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
            files += 1;
            if let Some(name) = name {
                assert!(file.contains(name), "{path} has no {name}");
                tests += 1;
            }
        }
    }
    // What holds a threat is named for each.
    let threats = text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| threat")).count();
    assert!(
        threats > 25 && tests >= threats && files > tests,
        "{threats} threats, {tests} tests, {files} files"
    );
}

#[tokio::test]
async fn what_a_page_can_send_without_asking_is_not_taken() {
    let hub = TestHub::in_memory(|_| {}).await;
    hub.publish("p", online()).await;
    let event = json!({ "event": "x:forged", "data": {} }).to_string();
    // The types of forms, and none.
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "",
        "text/json",
    ] {
        let (status, problem) = hub.send(Method::POST, "/api/pipelines/p/events", kind, event.clone()).await;
        assert_eq!((status.as_u16(), &problem["code"]), (415, &json!("unsupported_media_type")), "{kind}");
    }
    assert_eq!(hub.state("p").await["seq"], 1);
}
