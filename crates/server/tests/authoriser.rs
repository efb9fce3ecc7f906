//! One authoriser answers for every way in: a token names pipelines, and what it does not name is not there for it.
#![allow(clippy::unwrap_used)]

mod support;

use ragpulse_protocol::{Code, PipelineId, Problem};
use ragpulse_server::auth::BoxFuture;
use ragpulse_server::{Act, Authoriser, Hub, Principal};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::socket::Socket;
use support::{TestHub, file, online};

/// A token is the names of the pipelines it is for, and ends with `!` when it may only look.
struct Named;

impl Authoriser for Named {
    fn authenticate<'a>(&'a self, token: Option<&'a str>) -> BoxFuture<'a, Result<Principal, Problem>> {
        let result = match token {
            Some(token) if token != "expired" => Ok(Principal::named(token)),
            _ => Err(Problem::new(Code::Unauthorized, "Bring a token.")),
        };
        Box::pin(std::future::ready(result))
    }

    fn allows(&self, who: &Principal, act: Act, pipeline: Option<&PipelineId>) -> bool {
        let Some(pipeline) = pipeline else { return false };
        let (names, looks) =
            who.name.strip_suffix('!').map_or((who.name.as_str(), false), |names| (names, true));
        names.split(',').any(|name| name == pipeline.as_str())
            && (!looks || matches!(act, Act::View | Act::History))
    }
}

fn online_as(kind: &str) -> Value {
    json!({ "event": "pipeline:online", "data": { "pipeline_type": kind } })
}

async fn hub() -> TestHub {
    let hub = TestHub::with(Hub::builder().authoriser(Named)).await;
    for name in ["a", "b"] {
        let events = json!([online(), file("file:processing", name)]);
        assert_eq!(
            ask(&hub, "a,b", Method::POST, &format!("/api/pipelines/{name}/events"), events).await.0,
            200
        );
    }
    hub
}

async fn ask(hub: &TestHub, token: &str, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
    let request = hub.http.request(method, hub.url(path)).header("content-type", "application/json");
    let request = if token.is_empty() { request } else { request.bearer_auth(token) };
    support::answer(request.body(body.to_string()).send().await.unwrap()).await
}

#[tokio::test]
async fn a_token_opens_what_it_names_and_nothing_else() {
    let hub = hub().await;
    for (method, path) in [
        (Method::GET, "/api/pipelines/NAME/events"),
        (Method::GET, "/api/pipelines/NAME/events?epoch=e&seq=1&wait=30"),
        (Method::GET, "/api/pipelines/NAME/stream"),
        (Method::GET, "/api/pipelines/NAME/files"),
        (Method::POST, "/api/pipelines/NAME/events"),
        (Method::DELETE, "/api/pipelines/NAME"),
    ] {
        // Whether it exists or not cannot be told apart.
        for name in ["b", "never-heard-of"] {
            let path = path.replace("NAME", name);
            let (status, problem) = ask(&hub, "a", method.clone(), &path, json!([])).await;
            assert_eq!((status.as_u16(), &problem["code"]), (403, &json!("forbidden")), "{method} {path}");
            assert_eq!(problem["detail"].as_str().unwrap().replace(name, "NAME").matches("NAME").count(), 1);
        }
        for token in ["", "expired"] {
            let (status, problem) =
                ask(&hub, token, method.clone(), &path.replace("NAME", "a"), json!([])).await;
            assert_eq!((status.as_u16(), &problem["code"]), (401, &json!("unauthorized")), "{method} {path}");
        }
    }
    assert_eq!(ask(&hub, "a", Method::GET, "/api/pipelines/a/files", json!(null)).await.0, 200);
    // Who may look may not report or delete.
    assert_eq!(ask(&hub, "a!", Method::GET, "/api/pipelines/a/events", json!(null)).await.0, 200);
    assert_eq!(ask(&hub, "a!", Method::POST, "/api/pipelines/a/events", json!([])).await.0, 403);
    assert_eq!(ask(&hub, "a!", Method::DELETE, "/api/pipelines/a", json!(null)).await.0, 403);
    assert_eq!(ask(&hub, "a", Method::DELETE, "/api/pipelines/a", json!(null)).await.0, 204);
}

#[tokio::test]
async fn rag_status_shows_only_what_may_be_seen() {
    let hub = hub().await;
    let shown = async |token: &str, query: &str| {
        let (_, body) = ask(&hub, token, Method::GET, &format!("/api/rag-status{query}"), json!(null)).await;
        let pipelines = body["pipelines"].as_array().unwrap_or_else(|| panic!("{body}")).clone();
        pipelines.iter().map(|one| one["pipeline_id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(shown("b", "").await, ["b"]);
    assert_eq!(shown("a,b", "").await, ["a", "b"]);
    assert_eq!(shown("b", "?pipeline_id=a").await, Vec::<String>::new());
    // A tag is of what one may see: it says nothing to another.
    let tag = async |token: &str| {
        let response = hub.http.get(hub.url("/api/rag-status")).bearer_auth(token).send().await.unwrap();
        assert_eq!(response.headers()["cache-control"], "private, no-cache");
        response.headers()["etag"].to_str().unwrap().to_owned()
    };
    assert_ne!(tag("a").await, tag("b").await);
    // Where there are keys a page of this machine is as foreign as any.
    let request = hub.http.get(hub.url("/health")).header("origin", "http://localhost:3000");
    assert_eq!(request.send().await.unwrap().status(), 403);
}

#[tokio::test]
async fn a_socket_has_the_rights_of_its_token() {
    let hub = hub().await;
    for auth in [json!({}), json!({ "token": "expired" }), json!({ "token": 1 }), json!([])] {
        let refused = Socket::try_connect(hub.address, "/", auth).await.err().unwrap();
        assert!(refused.contains("unauthorized"), "{refused}");
        assert!(Socket::try_connect(hub.address, "/ingest", json!({})).await.is_err());
    }
    let mut socket = Socket::try_connect(hub.address, "/", json!({ "token": "a" })).await.ok().unwrap();
    for ids in [json!(["b"]), json!(["never-heard-of"]), json!(["a", "b"])] {
        let answer = socket.ask("subscribe", json!({ "pipeline_ids": ids })).await;
        assert_eq!(answer["error"]["code"], "forbidden", "{answer}");
    }
    socket.nothing_more().await;
    // By type it gets what it may see, and so it stays for what comes later.
    let answer = socket.ask("subscribe", json!({ "pipeline_type": "local_files" })).await;
    assert_eq!(answer["pipelines"].as_array().unwrap().len(), 1);
    assert_eq!(socket.next().await.1["pipeline_id"], "a");
    ask(&hub, "a,b,c", Method::POST, "/api/pipelines/c/events", online()).await;
    ask(&hub, "a,b,c", Method::POST, "/api/pipelines/b/events", file("file:completed", "b")).await;
    socket.nothing_more().await;

    let mut reporter =
        Socket::try_connect(hub.address, "/ingest", json!({ "token": "a" })).await.ok().unwrap();
    let report = |id: &str| json!({ "pipeline_id": id, "events": [file("file:completed", "x")] });
    assert_eq!(reporter.ask("publish", report("a")).await["accepted"], 1);
    assert_eq!(reporter.ask("publish", report("b")).await["error"]["code"], "forbidden");
    let mut viewer =
        Socket::try_connect(hub.address, "/ingest", json!({ "token": "a!" })).await.ok().unwrap();
    assert_eq!(viewer.ask("publish", report("a")).await["error"]["code"], "forbidden");
}

#[tokio::test]
async fn all_is_what_may_be_seen_of_what_is_there_and_of_what_comes() {
    let hub = hub().await;
    let mut socket = Socket::try_connect(hub.address, "/", json!({ "token": "a,c!" })).await.ok().unwrap();
    let cursors = json!({ "b": { "epoch": "e", "seq": 1 }, "c": { "epoch": "e", "seq": 1 } });
    let answer = socket.ask("subscribe", json!({ "all": true, "cursors": cursors })).await;
    // Of `b` nothing is said, though it is there; `c` may be seen, and is gone.
    let told: Vec<_> =
        answer["pipelines"].as_array().unwrap().iter().map(|one| &one["pipeline_id"]).collect();
    assert_eq!(told, ["a", "c"], "{answer}");
    assert_eq!(answer["pipelines"][1]["reason"], "unknown_pipeline");
    assert_eq!(socket.next().await.1["pipeline_id"], "a");
    for id in ["c", "d"] {
        ask(&hub, "c,d", Method::POST, &format!("/api/pipelines/{id}/events"), online_as("docs")).await;
    }
    ask(&hub, "a,b", Method::POST, "/api/pipelines/b/events", file("file:completed", "b")).await;
    let (name, online) = socket.next().await;
    assert_eq!(
        (name.as_str(), &online["pipeline_id"], &online["seq"]),
        ("pipeline:online", &json!("c"), &json!(1))
    );
    socket.nothing_more().await;
    // To name what may not be seen is refused, and changes nothing.
    let refused = socket.ask("subscribe", json!({ "all": true, "pipeline_ids": ["b"] })).await;
    assert_eq!(refused["error"]["code"], "forbidden");

    // A narrower token ends what it does not name, and what comes later is asked of it.
    assert_eq!(socket.ask("auth:refresh", json!({ "token": "c,e" })).await, json!({}));
    let ended = json!({ "pipeline_id": "a", "code": "forbidden" });
    assert_eq!(socket.next().await, ("subscription:ended".to_owned(), ended));
    ask(&hub, "a", Method::DELETE, "/api/pipelines/a", json!(null)).await;
    ask(&hub, "a", Method::POST, "/api/pipelines/a/events", online_as("docs")).await;
    ask(&hub, "f", Method::POST, "/api/pipelines/f/events", online_as("docs")).await;
    socket.nothing_more().await;
    ask(&hub, "e", Method::POST, "/api/pipelines/e/events", online_as("mails")).await;
    assert_eq!(socket.next().await.1["pipeline_id"], "e");
    // A wider one is for what comes later, until it subscribes again.
    assert_eq!(socket.ask("auth:refresh", json!({ "token": "a,c,e,f" })).await, json!({}));
    ask(&hub, "a", Method::POST, "/api/pipelines/a/events", file("file:queued", "x")).await;
    socket.nothing_more().await;
    let answer = socket.ask("subscribe", json!({ "all": true })).await;
    assert_eq!(answer["pipelines"].as_array().unwrap().len(), 4, "{answer}");
}

/// As [`Named`], but slow to say of `late` what it says: until a new token has come, and a little longer.
struct Slow {
    asked: std::sync::mpsc::SyncSender<()>,
    refreshed: std::sync::Mutex<std::sync::mpsc::Receiver<()>>,
    refresh: std::sync::mpsc::SyncSender<()>,
}

impl Authoriser for Slow {
    fn authenticate<'a>(&'a self, token: Option<&'a str>) -> BoxFuture<'a, Result<Principal, Problem>> {
        if token == Some("narrow") {
            self.refresh.send(()).unwrap();
        }
        Named.authenticate(token)
    }

    fn allows(&self, who: &Principal, act: Act, pipeline: Option<&PipelineId>) -> bool {
        if who.name == "late,wide" && act == Act::View && pipeline.is_some_and(|id| id.as_str() == "late") {
            self.asked.send(()).unwrap();
            self.refreshed.lock().unwrap().recv().unwrap();
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        Named.allows(who, act, pipeline)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn what_comes_while_a_new_token_comes_is_not_followed_by_the_old_right() {
    let (asked, was_asked) = std::sync::mpsc::sync_channel(8);
    let (refresh, refreshed) = std::sync::mpsc::sync_channel(8);
    let slow = Slow { asked, refresh, refreshed: std::sync::Mutex::new(refreshed) };
    let hub = TestHub::with(Hub::builder().authoriser(slow)).await;
    let mut socket =
        Socket::try_connect(hub.address, "/", json!({ "token": "late,wide" })).await.ok().unwrap();
    assert_eq!(socket.ask("subscribe", json!({ "all": true })).await, json!({ "pipelines": [] }));
    let opened = hub.http.post(hub.url("/api/pipelines/late/events")).bearer_auth("late");
    let opened = opened.header("content-type", "application/json").body(online().to_string());
    let opened = tokio::spawn(async move { opened.send().await.unwrap().status() });
    tokio::task::spawn_blocking(move || was_asked.recv().unwrap()).await.unwrap();
    assert_eq!(socket.ask("auth:refresh", json!({ "token": "narrow" })).await, json!({}));
    assert_eq!(opened.await.unwrap(), 200);
    // Its first event was on its way; that the right to it has ended is the last that is said of it.
    assert_eq!(socket.next().await.0, "pipeline:online");
    assert_eq!(socket.next().await.0, "subscription:ended");
    ask(&hub, "late", Method::POST, "/api/pipelines/late/events", file("file:queued", "x")).await;
    socket.nothing_more().await;
}

#[tokio::test]
async fn a_new_token_ends_what_it_does_not_name() {
    let hub = hub().await;
    let mut socket =
        Socket::try_connect(hub.address, "/", json!({ "token": "a,b,held" })).await.ok().unwrap();
    let answer = socket.ask("subscribe", json!({ "pipeline_ids": ["a", "b", "held"] })).await;
    assert_eq!(answer["pipelines"].as_array().unwrap().len(), 3);
    for _ in 0..2 {
        assert_eq!(socket.next().await.0, "pipeline:status");
    }
    assert_eq!(
        socket.ask("auth:refresh", json!({ "token": "expired" })).await["error"]["code"],
        "unauthorized"
    );
    assert_eq!(socket.ask("auth:refresh", json!({ "token": "a" })).await, json!({}));
    for id in ["b", "held"] {
        let ended = json!({ "pipeline_id": id, "code": "forbidden" });
        assert_eq!(socket.next().await, ("subscription:ended".to_owned(), ended));
    }
    // What was held for it does not come when it comes to be.
    ask(&hub, "held", Method::POST, "/api/pipelines/held/events", online()).await;
    ask(&hub, "b", Method::POST, "/api/pipelines/b/events", file("file:completed", "b")).await;
    socket.nothing_more().await;
    ask(&hub, "a", Method::POST, "/api/pipelines/a/events", file("file:completed", "a")).await;
    assert_eq!(socket.next().await.0, "file:completed");
}
