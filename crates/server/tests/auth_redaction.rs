//! What a role does not see it sees on no way out: secrets are planted wherever they can stand, and looked for in all that
//! comes. Who sees everything sees them, at the same time and from the same caches.
#![allow(clippy::unwrap_used)]

mod support;

use futures_util::StreamExt;
use ragpulse_server::auth::Role;
use reqwest::Method;
use serde_json::{Value, json};
use support::auth::Guarded;
use support::socket::Socket;

const SECRET: &str = "/home/ada/secret";
const REDACT: &str =
    "[redact]\nviewer = [\"watch_location\", \"error.message\", \"path\", \"warnings\", \"message\"]";

fn planted() -> Value {
    let of = |id: &str| json!({ "name": format!("{id}.txt"), "id": id, "path": format!("{SECRET}/{id}") });
    json!([
        { "event": "pipeline:online", "data": { "pipeline_type": "local_files", "watch_location": SECRET } },
        { "event": "file:processing", "data": { "file": of("a") } },
        { "event": "file:failed", "data": { "file": of("a"), "error": {
            "message": format!("cannot open {SECRET}/a"), "type": "IOError", "trace": [SECRET] } } },
        { "event": "file:completed", "data": { "file": of("b"), "warnings": [SECRET] } },
        { "event": "file:skipped", "data": { "file": of("c"), "reason": "empty", "message": SECRET } },
        { "event": "status:update", "data": { "changes": { "watch_location": SECRET, "detail": { "path": SECRET } } } },
        { "event": "x:note", "data": { "path": SECRET, "error": SECRET } },
    ])
}

/// All that somebody gets of `docs-a` by HTTP, by the way it came.
async fn over_http(guarded: &Guarded, token: &str) -> Vec<(&'static str, String)> {
    let text = async |path: &str| {
        let answer = guarded.ask(Method::GET, path, Some(token), &Value::Null).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        answer.text().await.unwrap()
    };
    let (epoch, _) = guarded.cursor("docs-a").await;
    let base = "/api/pipelines/docs-a";
    let mut got = vec![
        ("poll, a state", text(&format!("{base}/events")).await),
        ("poll, events", text(&format!("{base}/events?epoch={epoch}&seq=0")).await),
        ("history", text(&format!("{base}/history")).await),
        ("files", text(&format!("{base}/files")).await),
        ("rag-status", text("/api/rag-status").await),
    ];
    for (way, query) in [("stream, a state", String::new()), ("stream, events", format!("?cursor={epoch}:0"))]
    {
        let path = format!("{base}/stream{query}");
        let answer = guarded.ask(Method::GET, &path, Some(token), &Value::Null).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        let (mut stream, mut got_so_far) = (answer.bytes_stream(), String::new());
        let last = if query.is_empty() { "event: pipeline:status" } else { "event: x:note" };
        while !got_so_far.split(last).nth(1).is_some_and(|rest| rest.contains("\n\n")) {
            got_so_far += &String::from_utf8_lossy(&stream.next().await.unwrap().unwrap());
        }
        got.push((way, got_so_far));
    }
    got
}

async fn socket(guarded: &Guarded, namespace: &str, token: &str) -> Socket {
    Socket::try_connect(guarded.hub.address, namespace, json!({ "token": token })).await.ok().unwrap()
}

/// Reads until the note, which is the last.
async fn until_note(socket: &mut Socket) -> String {
    let mut got = String::new();
    loop {
        let (name, payload) = socket.next().await;
        got += &payload.to_string();
        if name == "x:note" {
            return got;
        }
    }
}

#[tokio::test]
async fn what_is_hidden_from_a_role_comes_to_it_on_no_way() {
    let guarded = Guarded::start(REDACT).await;
    let viewer = guarded.mint(Role::Viewer, &["docs-*"]).0;
    let admin = guarded.mint(Role::Admin, &["docs-*"]).0;
    let (mut hidden, mut shown) = (Vec::new(), Vec::new());
    // Live, to both at once: each event is written for one, and then for the other.
    let mut live = Vec::new();
    for (token, sees) in [(&viewer, false), (&admin, true), (&viewer, false), (&admin, true)] {
        for namespace in ["/", "/local_files"] {
            let mut socket = socket(&guarded, namespace, token).await;
            if namespace == "/" {
                socket.ask("subscribe", json!({ "pipeline_id": "docs-a" })).await;
            }
            live.push((namespace, socket, sees));
        }
    }
    guarded.publish("docs-a", planted()).await;
    for (namespace, socket, sees) in &mut live {
        let got = until_note(socket).await;
        if *sees { &mut shown } else { &mut hidden }.push((*namespace, got));
    }
    // States and replays, by turns, so that each finds what was kept for the other.
    let (epoch, _) = guarded.cursor("docs-a").await;
    for (token, sees) in [(&viewer, false), (&admin, true), (&viewer, false), (&admin, true)] {
        let got = if sees { &mut shown } else { &mut hidden };
        for namespace in ["/", "/local_files"] {
            let mut socket = socket(&guarded, namespace, token).await;
            if namespace == "/" {
                socket.ask("subscribe", json!({ "pipeline_id": "docs-a" })).await;
            }
            let (name, state) = socket.next().await;
            assert_eq!(name, "pipeline:status");
            got.push(("a state", state.to_string()));
            let cursors = json!({ "docs-a": { "epoch": epoch, "seq": 0 } });
            socket.ask("subscribe", json!({ "pipeline_id": "docs-a", "cursors": cursors })).await;
            got.push(("a replay", until_note(&mut socket).await));
        }
        got.extend(over_http(&guarded, token).await);
    }
    for (way, got) in &hidden {
        assert!(!got.contains(SECRET), "{way}: {got}");
        assert!(got.contains("(redacted)"), "{way} says nothing of what is hidden: {got}");
    }
    // The status of the reference has no place for a path of its own, but for what was put beside.
    for (way, got) in &shown {
        assert!(got.contains(SECRET) && !got.contains("(redacted)"), "{way}: {got}");
    }
    assert_eq!((hidden.len(), shown.len()), (26, 26));
}

#[tokio::test]
async fn what_is_hidden_can_neither_be_asked_for_nor_taken_from_anothers_cache() {
    let guarded = Guarded::start(REDACT).await;
    guarded.publish("docs-a", planted()).await;
    let viewer = guarded.mint(Role::Viewer, &["docs-*"]).0;
    let admin = guarded.mint(Role::Admin, &["docs-*"]).0;
    let found = async |token: &str, q: &str| {
        let path = format!("/api/pipelines/docs-a/files?q={q}");
        let answer = guarded.ask(Method::GET, &path, Some(token), &Value::Null).send().await.unwrap();
        support::answer(answer).await.1["files"].as_array().unwrap().len()
    };
    for q in ["secret", "cannot%20open", "home"] {
        assert_eq!(found(&viewer, q).await, 0, "{q}");
        assert!(found(&admin, q).await > 0, "{q}");
    }
    assert_eq!((found(&viewer, "ioerror").await, found(&viewer, "a.txt").await), (1, 1));
    // A tag of one audience is not taken for another's.
    let status = async |token: &str, tag: Option<&str>| {
        let request = guarded.ask(Method::GET, "/api/rag-status", Some(token), &Value::Null);
        let request = match tag {
            Some(tag) => request.header("if-none-match", tag),
            None => request,
        };
        let answer = request.send().await.unwrap();
        assert_eq!(answer.headers()["cache-control"], "private, no-cache");
        (answer.status().as_u16(), answer.headers()["etag"].to_str().unwrap().to_owned())
    };
    let (_, whole) = status(&admin, None).await;
    assert_eq!(status(&admin, Some(&whole)).await.0, 304);
    assert_eq!(status(&viewer, Some(&whole)).await.0, 200);
    // Other keys, another audience: the same token's tag of before does not hold.
    let (_, before) = status(&viewer, None).await;
    guarded.reload("");
    assert_eq!(status(&viewer, Some(&before)).await.0, 200);

    // And a subscriber sees from the review on what the keys say then.
    let mut socket = socket(&guarded, "/", &viewer).await;
    socket.ask("subscribe", json!({ "pipeline_id": "docs-a" })).await;
    assert!(socket.next().await.1.to_string().contains(SECRET));
    guarded.reload(REDACT);
    guarded.hub.hub.review_rights();
    support::eventually("events are masked", async || {
        guarded.publish("docs-a", json!({ "event": "x:note", "data": { "path": SECRET } })).await;
        loop {
            let (name, note) = socket.next().await;
            if name == "x:note" {
                return note["path"] == "(redacted)";
            }
        }
    })
    .await;
}
