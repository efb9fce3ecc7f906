//! Subscribing to all pipelines: those there are and those to come, of every type, each event once.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;

use ragpulse_protocol::ServerMessage;
use reqwest::Method;
use serde_json::{Value, json};
use support::follow::Follower;
use support::socket::Socket;
use support::{TestHub, file, online};

fn online_as(kind: &str) -> Value {
    json!({ "event": "pipeline:online", "data": { "pipeline_type": kind } })
}

async fn next(socket: &mut Socket) -> (String, String, u64) {
    let (name, data) = socket.next().await;
    (name, data["pipeline_id"].as_str().unwrap().to_owned(), data["seq"].as_u64().unwrap())
}

fn event(name: &str, pipeline: &str, seq: u64) -> (String, String, u64) {
    (name.to_owned(), pipeline.to_owned(), seq)
}

/// The pipelines of an answer, with what is said of them in short.
fn told(answer: &Value) -> Vec<(&str, u64)> {
    let pipelines = answer["pipelines"].as_array().unwrap_or_else(|| panic!("{answer}"));
    pipelines
        .iter()
        .map(|one| (one["pipeline_id"].as_str().unwrap(), one["replayed"].as_u64().unwrap()))
        .collect()
}

async fn remove(hub: &TestHub, pipeline: &str) {
    let path = format!("/api/pipelines/{pipeline}");
    assert_eq!(hub.send(Method::DELETE, &path, "application/json", "").await.0, 204);
}

#[tokio::test]
async fn all_is_followed_with_cursors_and_through_another_life() {
    let hub = TestHub::start().await;
    let epoch = hub.publish("p", json!([online_as("docs"), file("file:queued", "a")])).await["epoch"].clone();
    hub.publish("q", json!([online_as("mails")])).await;
    let mut socket = Socket::connect(hub.address, "/").await;
    let cursors = json!({ "p": { "epoch": epoch, "seq": 1 }, "gone": { "epoch": "e", "seq": 4 } });
    let answer = socket.ask("subscribe", json!({ "all": true, "cursors": cursors })).await;
    assert_eq!(
        answer["pipelines"],
        json!([
            { "pipeline_id": "p", "recovered": true, "replayed": 1 },
            { "pipeline_id": "q", "recovered": false, "replayed": 0 },
            { "pipeline_id": "gone", "recovered": false, "replayed": 0, "reason": "unknown_pipeline" },
        ])
    );
    let mut first = [next(&mut socket).await, next(&mut socket).await];
    first.sort();
    assert_eq!(first, [event("file:queued", "p", 2), event("pipeline:status", "q", 1)]);
    // One that comes later is followed from its first event, whatever its type.
    hub.publish("late", json!([online_as("notes"), file("file:queued", "x")])).await;
    assert_eq!(next(&mut socket).await, event("pipeline:online", "late", 1));
    assert_eq!(next(&mut socket).await, event("file:queued", "late", 2));
    // It is removed and comes back under its name, also as one of another type.
    for kind in ["notes", "mails"] {
        remove(&hub, "late").await;
        assert_eq!(next(&mut socket).await.0, "pipeline:removed");
        hub.publish("late", json!([online_as(kind), file("file:queued", "y")])).await;
        assert_eq!(next(&mut socket).await, event("pipeline:online", "late", 1));
        assert_eq!(next(&mut socket).await, event("file:queued", "late", 2));
    }
    socket.nothing_more().await;
}

#[tokio::test]
async fn who_follows_a_type_and_all_gets_each_event_once() {
    let hub = TestHub::start().await;
    hub.publish("p", json!([online()])).await;
    hub.publish("q", json!([online_as("docs")])).await;
    let (kind, all) = (json!({ "pipeline_type": "local_files" }), json!({ "all": true }));
    let both = json!({ "pipeline_type": "local_files", "all": true });
    let mut sockets = Vec::new();
    for asks in [vec![both], vec![kind.clone(), all.clone()], vec![all, kind]] {
        let mut socket = Socket::connect(hub.address, "/").await;
        let mut states = 0;
        for ask in asks {
            let answer = socket.ask("subscribe", ask).await;
            states += told(&answer).len();
        }
        for _ in 0..states {
            assert_eq!(socket.next().await.0, "pipeline:status");
        }
        socket.nothing_more().await;
        sockets.push(socket);
    }
    hub.publish("p", file("file:queued", "a")).await;
    hub.publish("late", json!([online()])).await;
    remove(&hub, "p").await;
    hub.publish("p", json!([online_as("docs")])).await;
    for socket in &mut sockets {
        assert_eq!(next(socket).await, event("file:queued", "p", 2));
        assert_eq!(next(socket).await, event("pipeline:online", "late", 1));
        assert_eq!(next(socket).await, event("pipeline:removed", "p", 3));
        assert_eq!(next(socket).await, event("pipeline:online", "p", 1));
        socket.nothing_more().await;
    }
}

#[tokio::test]
async fn all_goes_together_with_ids_which_are_held() {
    let hub = TestHub::start().await;
    let epoch = hub.publish("p", json!([online(), file("file:queued", "a")])).await["epoch"].clone();
    hub.publish("q", json!([online_as("docs")])).await;
    let mut socket = Socket::connect(hub.address, "/").await;
    let cursors = json!({ "p": { "epoch": epoch, "seq": 0 }, "held": { "epoch": "e", "seq": 3 } });
    let ask = json!({ "pipeline_ids": ["held", "p"], "all": true, "cursors": cursors });
    let answer = socket.ask("subscribe", ask).await;
    assert_eq!(told(&answer), [("held", 0), ("p", 2), ("q", 0)], "{answer}");
    assert_eq!(answer["pipelines"][0]["reason"], "unknown_pipeline");
    for _ in 0..3 {
        socket.next().await;
    }
    // What was held was asked for: it stays when all is ended, and what there is goes.
    assert_eq!(socket.ask("unsubscribe", json!({ "all": true })).await["pipelines"], json!(["p", "q"]));
    hub.publish("p", file("file:queued", "b")).await;
    hub.publish("other", online()).await;
    socket.nothing_more().await;
    hub.publish("held", online_as("docs")).await;
    assert_eq!(next(&mut socket).await, event("pipeline:online", "held", 1));
}

#[tokio::test]
async fn an_end_of_all_is_of_what_is_there_and_of_what_all_would_bring() {
    let hub = TestHub::start().await;
    hub.publish("p", json!([online()])).await;
    hub.publish("q", json!([online_as("docs")])).await;
    let mut socket = Socket::connect(hub.address, "/").await;
    let ask = json!({ "all": true, "pipeline_type": "docs" });
    assert_eq!(told(&socket.ask("subscribe", ask.clone()).await), [("p", 0), ("q", 0)]);
    assert_eq!(hub.hub.stats().subscriptions, 2);
    for _ in 0..2 {
        socket.next().await;
    }
    // As with a type: what is there is left, whatever brought it; the type itself is followed on.
    assert_eq!(socket.ask("unsubscribe", json!({ "all": true })).await["pipelines"], json!(["p", "q"]));
    assert_eq!(socket.ask("unsubscribe", json!({ "all": true })).await["pipelines"], json!([]));
    hub.publish("p", file("file:queued", "a")).await;
    hub.publish("q", file("file:queued", "a")).await;
    hub.publish("late", online()).await;
    socket.nothing_more().await;
    hub.publish("late-doc", online_as("docs")).await;
    assert_eq!(next(&mut socket).await, event("pipeline:online", "late-doc", 1));
    // The other way round: the type ends, all goes on for what comes.
    assert_eq!(told(&socket.ask("subscribe", ask).await).len(), 4);
    for _ in 0..4 {
        assert_eq!(socket.next().await.0, "pipeline:status");
    }
    let left = socket.ask("unsubscribe", json!({ "pipeline_type": "docs" })).await;
    assert_eq!(left["pipelines"], json!(["late-doc", "q"]));
    hub.publish("later-doc", online_as("docs")).await;
    assert_eq!(next(&mut socket).await, event("pipeline:online", "later-doc", 1));
    // Without any field everything ends; `false` is as if absent.
    let left = socket.ask("unsubscribe", json!({ "all": false })).await;
    assert_eq!(left["pipelines"], json!(["late", "later-doc", "p"]));
    assert_eq!(hub.hub.stats().subscriptions, 0);
    hub.publish("last", online_as("docs")).await;
    socket.nothing_more().await;
}

#[tokio::test]
async fn all_is_named_by_true_and_in_the_namespace_of_all() {
    let hub = TestHub::start().await;
    hub.publish("p", json!([online()])).await;
    let mut socket = Socket::connect(hub.address, "/").await;
    for nothing in
        [json!({ "all": false }), json!({ "all": null }), json!({ "all": 1 }), json!({ "all": "yes" })]
    {
        let answer = socket.ask("subscribe", nothing.clone()).await;
        assert_eq!(answer["error"]["code"], "invalid_request", "{nothing}: {answer}");
    }
    let answer = socket.ask("subscribe", json!({ "all": false, "pipeline_type": "docs" })).await;
    assert_eq!(answer, json!({ "pipelines": [] }));
    hub.publish("late", online()).await;
    socket.nothing_more().await;

    let mut reference = Socket::connect(hub.address, "/local_files").await;
    for _ in 0..2 {
        assert_eq!(reference.next().await.0, "pipeline:status");
    }
    for command in ["subscribe", "unsubscribe"] {
        for ask in [json!({ "all": true }), json!({ "all": true, "pipeline_type": "local_files" })] {
            let answer = reference.ask(command, ask).await;
            assert_eq!(answer["error"]["code"], "invalid_request", "{command}: {answer}");
            assert_eq!(answer["error"]["field"], "all");
        }
    }
    // What stood there stands: `false` is what its clients say when they say nothing.
    assert_eq!(told(&reference.ask("subscribe", json!({ "all": false })).await), [("late", 0), ("p", 0)]);
    hub.publish("other", online_as("docs")).await;
    reference.nothing_more().await;
    hub.publish("p", file("file:queued", "a")).await;
    assert_eq!(next(&mut reference).await, event("file:queued", "p", 2));
}

#[tokio::test]
async fn all_counts_as_one_subscription() {
    let hub = TestHub::configured(|config| config.limits.subscriptions = 2).await;
    let mut socket = Socket::connect(hub.address, "/").await;
    assert_eq!(told(&socket.ask("subscribe", json!({ "pipeline_ids": ["a", "b"] })).await).len(), 2);
    let answer = socket.ask("subscribe", json!({ "all": true })).await;
    assert_eq!(answer["error"]["code"], "limit_exceeded", "{answer}");
    hub.publish("c", online()).await;
    socket.nothing_more().await;
    socket.ask("unsubscribe", json!({ "pipeline_id": "a" })).await;
    for _ in 0..3 {
        assert_eq!(told(&socket.ask("subscribe", json!({ "all": true })).await), [("c", 0)]);
    }
    let answer = socket.ask("subscribe", json!({ "pipeline_type": "t" })).await;
    assert_eq!(answer["error"]["code"], "limit_exceeded", "{answer}");
    socket.cut();
    support::eventually("nothing is left", async || hub.hub.stats().subscriptions == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn joining_all_while_pipelines_come_makes_no_hole_and_no_repeat() {
    const PIPELINES: usize = 60;
    let hub = TestHub::start().await;
    let address = hub.address;
    let joining: Vec<_> = (0..12)
        .map(|number: u64| {
            tokio::spawn(async move {
                // They come while pipelines come.
                tokio::time::sleep(std::time::Duration::from_millis(number * 5)).await;
                let mut socket = Socket::connect(address, "/").await;
                let ask = if number.is_multiple_of(2) {
                    json!({ "all": true })
                } else {
                    json!({ "all": true, "pipeline_type": "docs" })
                };
                socket.send("subscribe", ask).await;
                let mut followers: BTreeMap<String, Follower> = BTreeMap::new();
                while followers.len() < PIPELINES || followers.values().any(|follower| follower.seq() < 3) {
                    let (name, data) = socket.next().await;
                    let id = data["pipeline_id"].as_str().unwrap().to_owned();
                    // A follower panics at a hole, a repeat and a swap.
                    followers.entry(id).or_default().take(&ServerMessage::from_value(&name, data).unwrap());
                }
                socket.nothing_more().await;
                followers
            })
        })
        .collect();
    for n in 0..PIPELINES {
        let kind = if n % 3 == 0 { "docs" } else { "mails" };
        hub.publish(&format!("p{n}"), json!([online_as(kind), file("file:queued", "a")])).await;
        hub.publish(&format!("p{n}"), file("file:processing", "a")).await;
    }
    for followers in joining {
        for (id, follower) in followers.await.unwrap() {
            let id = ragpulse_protocol::PipelineId::new(id).unwrap();
            assert_eq!(follower.session.state(), hub.hub.state(&id).as_ref());
        }
    }
}
