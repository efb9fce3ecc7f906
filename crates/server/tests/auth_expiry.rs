//! What goes on when a right ends: by its time, by revocation, by other keys, by another token. Time is the test's.
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use ragpulse_protocol::{Code, Problem};
use ragpulse_server::auth::{Authoriser, BoxFuture, NewKey, Principal, Role};
use ragpulse_server::{Act, Hub};
use reqwest::Method;
use serde_json::{Value, json};
use support::auth::Guarded;
use support::socket::Socket;
use support::{TestHub, eventually, file};
use tokio::sync::Notify;

/// Longer than a token of a minute, with its leeway.
const OVER: u32 = 66_000;

async fn connect(guarded: &Guarded, namespace: &str, token: &str) -> Socket {
    Socket::try_connect(guarded.hub.address, namespace, json!({ "token": token })).await.ok().unwrap()
}

fn minute(guarded: &Guarded, role: Role) -> (String, String) {
    guarded.mint_for(role, &["docs-*"], Duration::from_secs(60))
}

/// The next that is no heartbeat.
async fn next(socket: &mut Socket) -> (String, Value) {
    loop {
        let (name, payload) = socket.next().await;
        if name != "heartbeat" {
            return (name, payload);
        }
    }
}

async fn ended(socket: &mut Socket, pipelines: &[&str], code: &str) {
    let mut told = Vec::new();
    for _ in pipelines {
        let (name, payload) = next(socket).await;
        assert_eq!((name.as_str(), &payload["code"]), ("subscription:ended", &json!(code)), "{payload}");
        told.push(payload["pipeline_id"].as_str().unwrap().to_owned());
    }
    told.sort_unstable();
    assert_eq!(told, pipelines);
}

#[tokio::test]
async fn expiry_ends_every_subscription_and_nothing_comes_until_there_is_a_new_token() {
    let guarded = Guarded::start("").await;
    for id in ["docs-a", "docs-b", "mail-a"] {
        guarded.open(id).await;
    }
    let mut socket = connect(&guarded, "/", &minute(&guarded, Role::Viewer).0).await;
    let answer = socket.ask("subscribe", json!({ "all": true, "pipeline_id": "docs-held" })).await;
    assert_eq!(answer["pipelines"].as_array().unwrap().len(), 3, "{answer}");
    assert_eq!([next(&mut socket).await.0, next(&mut socket).await.0], ["pipeline:status"; 2]);
    let mut reference = connect(&guarded, "/local_files", &minute(&guarded, Role::Viewer).0).await;
    assert_eq!([next(&mut reference).await.0, next(&mut reference).await.0], ["pipeline:status"; 2]);

    guarded.clock.advance_millis(OVER);
    ended(&mut socket, &["docs-a", "docs-b", "docs-held"], "unauthorized").await;
    ended(&mut reference, &["docs-a", "docs-b"], "unauthorized").await;
    // Neither what goes on, nor what begins, nor what was held for it.
    guarded.publish("docs-a", file("file:completed", "a")).await;
    guarded.open("docs-held").await;
    guarded.open("docs-new").await;
    socket.nothing_more().await;
    reference.nothing_more().await;
    for ask in [json!({ "pipeline_id": "docs-a" }), json!({ "all": true })] {
        assert_eq!(socket.ask("subscribe", ask).await["error"]["code"], "unauthorized");
    }
    let refused = socket.ask("auth:refresh", json!({ "token": "bad" })).await;
    assert_eq!(refused["error"]["code"], "unauthorized");
    let fresh = minute(&guarded, Role::Viewer).0;
    assert_eq!(socket.ask("auth:refresh", json!({ "token": fresh })).await, json!({}));
    // A new token opens the door; what is to be followed has to be said again.
    socket.nothing_more().await;
    let answer = socket.ask("subscribe", json!({ "pipeline_id": "docs-a" })).await;
    assert_eq!(answer["pipelines"][0]["pipeline_id"], "docs-a", "{answer}");
    assert_eq!(next(&mut socket).await.0, "pipeline:status");
}

#[tokio::test]
async fn a_token_that_is_refreshed_in_time_is_never_cut() {
    let guarded = Guarded::start("").await;
    guarded.open("docs-a").await;
    let mut socket = connect(&guarded, "/", &minute(&guarded, Role::Viewer).0).await;
    socket.ask("subscribe", json!({ "pipeline_id": "docs-a" })).await;
    assert_eq!(next(&mut socket).await.0, "pipeline:status");
    for round in 0..3 {
        guarded.clock.advance_millis(50_000);
        let fresh = minute(&guarded, Role::Viewer).0;
        assert_eq!(socket.ask("auth:refresh", json!({ "token": fresh })).await, json!({}));
        // Somebody else's end comes in the same review, so that there has been one.
        let mut other = connect(&guarded, "/", &minute(&guarded, Role::Viewer).0).await;
        other.ask("subscribe", json!({ "pipeline_id": "docs-a" })).await;
        assert_eq!(next(&mut other).await.0, "pipeline:status");
        guarded.publish("docs-a", file("file:queued", &format!("r{round}"))).await;
        let (name, event) = next(&mut socket).await;
        assert_eq!((name.as_str(), &event["file"]["id"]), ("file:queued", &json!(format!("r{round}"))));
        assert_eq!(next(&mut other).await.0, "file:queued");
    }
    guarded.clock.advance_millis(OVER);
    ended(&mut socket, &["docs-a"], "unauthorized").await;
}

#[tokio::test]
async fn a_held_poll_and_a_stream_end_with_the_right() {
    let guarded = Guarded::start("").await;
    guarded.open("docs-a").await;
    let (epoch, seq) = guarded.cursor("docs-a").await;
    let token = minute(&guarded, Role::Viewer).0;
    let path = format!("/api/pipelines/docs-a/events?epoch={epoch}&seq={seq}&wait=30");
    let poll = tokio::spawn(guarded.ask(Method::GET, &path, Some(&token), &Value::Null).send());
    let stream = guarded.ask(Method::GET, "/api/pipelines/docs-a/stream", Some(&token), &Value::Null);
    let mut stream = stream.send().await.unwrap().bytes_stream();
    let first = stream.next().await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&first).contains("pipeline:status"));
    // Both wait, and count as connections.
    let hub = &guarded.hub.hub;
    eventually("both are held", async || hub.stats().connections == 2).await;
    guarded.clock.advance_millis(OVER);
    let (status, problem) = support::answer(poll.await.unwrap().unwrap()).await;
    assert_eq!((status.as_u16(), &problem["code"]), (401, &json!("unauthorized")), "{problem}");
    let mut rest = String::new();
    while let Some(part) = stream.next().await {
        rest += &String::from_utf8_lossy(&part.unwrap());
    }
    assert!(rest.contains("event: problem") && rest.contains("unauthorized"), "{rest}");
    eventually("both have given their place back", async || hub.stats().connections == 0).await;
}

#[tokio::test]
async fn a_reporters_socket_gets_a_typed_refusal_and_goes_after_a_minute() {
    let guarded = Guarded::start("").await;
    guarded.open("docs-a").await;
    let mut reporter = connect(&guarded, "/ingest", &minute(&guarded, Role::Reporter).0).await;
    let mut viewer = connect(&guarded, "/", &minute(&guarded, Role::Viewer).0).await;
    let batch = json!({ "pipeline_id": "docs-a", "events": [file("file:queued", "x")] });
    assert_eq!(reporter.ask("publish", batch.clone()).await["accepted"], 1);
    guarded.clock.advance_millis(OVER);
    assert_eq!(reporter.ask("publish", batch.clone()).await["error"]["code"], "unauthorized");
    assert_eq!(guarded.cursor("docs-a").await.1, 3);
    // Seen by a review, and not yet gone.
    let hub = &guarded.hub.hub;
    viewer.ask("ping", json!(0)).await;
    assert_eq!(hub.stats().connections, 2);
    // From the review that sees the end it is a minute; more than one may be needed to see the clock go on.
    eventually("both are gone", async || {
        guarded.clock.advance_millis(30_000);
        hub.stats().connections == 0
    })
    .await;
    assert_eq!(reporter.try_next().await, None);
    while viewer.try_next().await.is_some() {}
    let again = Socket::try_connect(guarded.hub.address, "/ingest", json!({ "token": "bad" })).await;
    assert!(again.err().unwrap().contains("unauthorized"));
}

#[tokio::test]
async fn revocation_and_narrower_keys_cut_what_is_live() {
    let key = NewKey::generate().unwrap();
    let entry = |pipelines: &str| {
        format!(
            "[[key]]\nname = \"ci\"\nhash = \"{}\"\nrole = \"viewer\"\npipelines = [{pipelines}]\n",
            key.hash
        )
    };
    let guarded = Guarded::start(&entry("\"docs-*\"")).await;
    guarded.open("docs-a").await;
    guarded.open("docs-b").await;
    let (token, id) = guarded.mint(Role::Viewer, &["docs-*"]);
    let (other, _) = guarded.mint(Role::Viewer, &["docs-*"]);
    let mut sockets = Vec::new();
    for token in [&token, &other, &key.token] {
        let mut socket = connect(&guarded, "/", token).await;
        socket.ask("subscribe", json!({ "all": true })).await;
        assert_eq!([next(&mut socket).await.0, next(&mut socket).await.0], ["pipeline:status"; 2]);
        sockets.push(socket);
    }
    let [revoked, stays, fixed] = &mut sockets[..] else { unreachable!() };
    // One token by its id, without a word to the hub: the review sees it.
    guarded.reload(&format!("revoked = [\"{id}\"]\n{}", entry("\"docs-*\"")));
    ended(revoked, &["docs-a", "docs-b"], "unauthorized").await;
    let refused = Socket::try_connect(guarded.hub.address, "/", json!({ "token": token })).await;
    assert!(refused.err().unwrap().contains("revoked"));
    // Fewer pipelines for a key: those go, the others stay.
    guarded.reload(&entry("\"docs-b\""));
    guarded.hub.hub.review_rights();
    ended(fixed, &["docs-a"], "forbidden").await;
    for id in ["docs-a", "docs-b"] {
        guarded.publish(id, file("file:completed", "a")).await;
    }
    let (name, event) = next(fixed).await;
    assert_eq!((name.as_str(), &event["pipeline_id"]), ("file:completed", &json!("docs-b")));
    // The key itself.
    guarded.reload("");
    guarded.hub.hub.review_rights();
    ended(fixed, &["docs-b"], "unauthorized").await;
    for _ in 0..2 {
        assert_eq!(next(stays).await.0, "file:completed");
    }
    stays.nothing_more().await;
}

/// A host's sessions: `slow` is made out when the test says so, and all of them end when it says so.
struct Sessions {
    go: Arc<Notify>,
    over: Arc<AtomicBool>,
}

impl Authoriser for Sessions {
    fn authenticate<'a>(&'a self, token: Option<&'a str>) -> BoxFuture<'a, Result<Principal, Problem>> {
        Box::pin(async move {
            let token = token.ok_or_else(|| Problem::new(Code::Unauthorized, "Sign in."))?;
            if token.starts_with("slow") {
                self.go.notified().await;
            }
            let role = if token == "clerk" { Role::Reporter } else { Role::Admin };
            let pipelines = if token.ends_with("narrow") { "docs-a" } else { "*" };
            Ok(Principal::named(token).with_role(role).with_pipelines([pipelines]).unwrap())
        })
    }

    fn still_valid(&self, who: &Principal) -> bool {
        who.name == "host" || !self.over.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn a_hosts_authoriser_may_wait_and_the_later_token_holds() {
    let (go, over) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
    let sessions = Sessions { go: go.clone(), over: over.clone() };
    let hub = TestHub::with(Hub::builder().authoriser(sessions)).await;
    let report = async |id: &str, events: Value| {
        let request = hub.http.post(hub.url(&format!("/api/pipelines/{id}/events"))).bearer_auth("host");
        let request = request.header("content-type", "application/json").body(events.to_string());
        assert_eq!(request.send().await.unwrap().status(), 200);
    };
    for id in ["docs-a", "docs-b"] {
        report(id, support::online()).await;
    }
    let address = hub.address;
    let slow = tokio::spawn(async move {
        Socket::try_connect(address, "/", json!({ "token": "slow" })).await.ok().unwrap()
    });
    go.notify_one();
    let mut socket = slow.await.unwrap();
    socket.ask("subscribe", json!({ "all": true })).await;
    assert_eq!([next(&mut socket).await.0, next(&mut socket).await.0], ["pipeline:status"; 2]);
    // The first takes longer than the second; the second is the one that holds.
    let first = socket.send("auth:refresh", json!({ "token": "slow" })).await;
    assert_eq!(socket.ask("auth:refresh", json!({ "token": "narrow" })).await, json!({}));
    ended(&mut socket, &["docs-b"], "forbidden").await;
    go.notify_one();
    assert_eq!(socket.ack(first).await, json!({}));
    let refused = socket.ask("subscribe", json!({ "pipeline_id": "docs-b" })).await;
    assert_eq!(refused["error"]["code"], "forbidden");
    // A session ends where the host keeps it.
    over.store(true, Ordering::SeqCst);
    hub.hub.review_rights();
    ended(&mut socket, &["docs-a"], "unauthorized").await;
    report("docs-a", file("file:processing", "x")).await;
    socket.nothing_more().await;
    assert!(Act::ALL.iter().all(|act| !Principal::named("x").grants.allow(*act, None)));
}
