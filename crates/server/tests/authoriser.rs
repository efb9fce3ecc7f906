//! One authoriser answers for every way in: a token names pipelines, and what it does not name is not there for it.
#![allow(clippy::unwrap_used)]

mod support;

use ragpulse_protocol::{Code, PipelineId, Problem};
use ragpulse_server::{Act, Authoriser, Hub, Principal};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::socket::Socket;
use support::{TestHub, file, online};

/// A token is the names of the pipelines it is for, and ends with `!` when it may only look.
struct Named;

impl Authoriser for Named {
    fn authenticate(&self, token: Option<&str>) -> Result<Principal, Problem> {
        match token {
            Some(token) if token != "expired" => Ok(Principal { name: token.to_owned() }),
            _ => Err(Problem::new(Code::Unauthorized, "Bring a token.")),
        }
    }

    fn allows(&self, who: &Principal, act: Act, pipeline: &PipelineId) -> bool {
        let (names, looks) =
            who.name.strip_suffix('!').map_or((who.name.as_str(), false), |names| (names, true));
        names.split(',').any(|name| name == pipeline.as_str())
            && (!looks || matches!(act, Act::View | Act::History))
    }
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
