//! Subscribing over Socket.IO: by id, by type, and as clients of the reference application do.

mod support;

use futures_util::SinkExt;
use serde_json::{Value, json};
use support::socket::Socket;
use support::{TestHub, eventually, file, online};
use tokio_tungstenite::tungstenite::Message;

fn online_as(kind: &str) -> Value {
    json!({ "event": "pipeline:online", "data": { "pipeline_type": kind } })
}

async fn next(socket: &mut Socket) -> (String, String, u64) {
    let (name, data) = socket.next().await;
    (
        name,
        data["pipeline_id"].as_str().unwrap_or_default().to_owned(),
        data["seq"].as_u64().unwrap_or_default(),
    )
}

fn event(name: &str, pipeline: &str, seq: u64) -> (String, String, u64) {
    (name.to_owned(), pipeline.to_owned(), seq)
}

#[tokio::test]
async fn a_reference_namespace_works_without_a_subscribe() {
    let hub = TestHub::start().await;
    hub.publish("mine", json!([online(), file("file:processing", "a")])).await;
    hub.publish("other", online_as("google_drive")).await;
    let mut socket = Socket::connect(hub.address, "/local_files").await;
    let (name, snapshot) = socket.next().await;
    assert_eq!((name.as_str(), &snapshot["pipeline_id"]), ("pipeline:status", &json!("mine")));
    assert_eq!(snapshot["files_processing"][0]["id"], "a");
    for key in
        ["files_completed", "files_failed", "is_checking", "check_interval", "total_processed", "started_at"]
    {
        assert!(snapshot.get(key).is_some(), "{key}");
    }
    // What its clients send all the same changes nothing.
    let ask =
        json!({ "pipeline_type": "local_files", "client_info": { "user_agent": "x", "timestamp": "y" } });
    assert_eq!(socket.ask("subscribe", ask.clone()).await["pipelines"][0]["pipeline_id"], "mine");
    assert!(socket.ask("ping", json!(1)).await.as_i64().unwrap() > 1_700_000_000_000);
    let status = json!({ "client_id": "c", "status": "active", "timestamp": "t" });
    assert_eq!(socket.ask("client:status", status).await, json!({}));
    socket.nothing_more().await;

    hub.publish("mine", json!({ "event": "status:update", "data": { "changes": { "is_checking": true } } }))
        .await;
    let (_, update) = socket.next().await;
    assert_eq!(update["current_status"]["is_checking"], true);
    assert_eq!(update["current_status"]["files_processing"][0]["id"], "a");
    // A pipeline that comes later is followed from its first event, and one of another type is not.
    hub.publish("late", online()).await;
    hub.publish("other", file("file:queued", "x")).await;
    assert_eq!(next(&mut socket).await, event("pipeline:online", "late", 1));
    socket.nothing_more().await;

    // After an unsubscribe a subscribe is one.
    let left = socket.ask("unsubscribe", json!({ "pipeline_type": "local_files" })).await;
    assert_eq!(left["pipelines"], json!(["late", "mine"]));
    hub.publish("late", file("file:queued", "x")).await;
    socket.nothing_more().await;
    assert_eq!(socket.ask("subscribe", ask).await["pipelines"].as_array().unwrap().len(), 2);
    assert_eq!(next(&mut socket).await, event("pipeline:status", "late", 2));
    assert_eq!(next(&mut socket).await, event("pipeline:status", "mine", 3));
    // And with a cursor it resumes.
    let cursors = json!({ "late": { "epoch": hub.cursor("late").await.0, "seq": 1 } });
    let answer = socket.ask("subscribe", json!({ "pipeline_type": "local_files", "cursors": cursors })).await;
    assert_eq!(answer["pipelines"][0], json!({ "pipeline_id": "late", "recovered": true, "replayed": 1 }));
}

#[tokio::test]
async fn a_type_is_followed_with_cursors_and_through_another_life() {
    let hub = TestHub::start().await;
    let epoch = hub.publish("p", json!([online_as("docs"), file("file:queued", "a")])).await["epoch"].clone();
    let mut socket = Socket::connect(hub.address, "/").await;
    let cursors = json!({ "p": { "epoch": epoch, "seq": 1 }, "gone": { "epoch": "e", "seq": 4 } });
    let answer = socket.ask("subscribe", json!({ "pipeline_type": "docs", "cursors": cursors })).await;
    assert_eq!(
        answer["pipelines"],
        json!([
            { "pipeline_id": "p", "recovered": true, "replayed": 1 },
            { "pipeline_id": "gone", "recovered": false, "replayed": 0, "reason": "unknown_pipeline" },
        ])
    );
    assert_eq!(next(&mut socket).await, event("file:queued", "p", 2));
    // It is deleted, and the name comes back for something else, which this one did not ask for.
    hub.send(reqwest::Method::DELETE, "/api/pipelines/p", "application/json", "").await;
    assert_eq!(next(&mut socket).await, event("pipeline:removed", "p", 3));
    hub.publish("p", online_as("mails")).await;
    hub.publish("p", file("file:queued", "a")).await;
    socket.nothing_more().await;
    hub.send(reqwest::Method::DELETE, "/api/pipelines/p", "application/json", "").await;
    hub.publish("p", online_as("docs")).await;
    assert_eq!(next(&mut socket).await, event("pipeline:online", "p", 1));
}

#[tokio::test]
async fn subscribing_again_counts_once() {
    let hub = TestHub::configured(|config| config.limits.subscriptions = 3).await;
    let mut socket = Socket::connect(hub.address, "/").await;
    for _ in 0..3 {
        let answer = socket.ask("subscribe", json!({ "pipeline_ids": ["a", "b", "c"] })).await;
        assert_eq!(answer["pipelines"].as_array().map(Vec::len), Some(3), "{answer}");
    }
    for more in [json!({ "pipeline_id": "d" }), json!({ "pipeline_type": "t" })] {
        let answer = socket.ask("subscribe", more).await;
        assert_eq!(answer["error"]["code"], "limit_exceeded", "{answer}");
        assert_eq!(answer["error"]["retryable"], true);
    }
    assert_eq!(hub.hub.stats().subscriptions, 3);
    let left = socket.ask("unsubscribe", json!({})).await;
    assert_eq!(left["pipelines"], json!(["a", "b", "c"]));
    assert_eq!(hub.hub.stats().subscriptions, 0);
}

#[tokio::test]
async fn sockets_of_every_kind_count_and_give_their_place_back() {
    let hub = TestHub::configured(|config| config.limits.connections = 3).await;
    let mut kept = Vec::new();
    for namespace in ["/", "/local_files", "/ingest"] {
        kept.push(Socket::connect(hub.address, namespace).await);
    }
    eventually("all are counted", async || hub.hub.stats().connections == 3).await;
    for namespace in ["/", "/ingest"] {
        let refused = Socket::try_connect(hub.address, namespace, json!({})).await.err().unwrap();
        assert!(refused.contains("limit_exceeded"), "{refused}");
    }
    let (status, problem) = hub.get("/api/pipelines/p/events?wait=1").await;
    assert_eq!((status.as_u16(), &problem["code"]), (429, &json!("limit_exceeded")));
    kept.into_iter().for_each(Socket::cut);
    eventually("their places are free", async || hub.hub.stats().connections == 0).await;
    let mut socket = Socket::connect(hub.address, "/ingest").await;
    let answer = socket.ask("publish", json!({ "pipeline_id": "p", "events": [online()] })).await;
    assert_eq!(answer["seq"], 1);
}

#[tokio::test]
async fn a_command_behind_a_disconnect_leaves_nothing_behind() {
    let hub = TestHub::start().await;
    for _ in 0..20 {
        let mut socket = Socket::connect(hub.address, "/").await;
        socket.raw("41").await;
        socket.raw(r#"42["subscribe",{"pipeline_ids":["held-a","held-b"],"pipeline_type":"t"}]"#).await;
        // The connection may be ended for it before it is read.
        let _ = tokio::time::timeout(std::time::Duration::from_millis(20), socket.try_next()).await;
        socket.cut();
    }
    eventually("nothing is left", async || {
        let stats = hub.hub.stats();
        (stats.connections, stats.subscriptions) == (0, 0)
    })
    .await;
}

/// The library closes the sockets that it knows when a connection goes. It does not know one that is about to connect, nor one
/// that entered a namespace again while it was still leaving it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_goes_in_the_moment_of_connecting_gives_the_place_back() {
    let hub = TestHub::start().await;
    let url = format!("ws://{}/socket.io/?EIO=4&transport=websocket", hub.address);
    for _ in 0..200 {
        let tcp = tokio::net::TcpStream::connect(hub.address).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let (mut stream, _) = tokio_tungstenite::client_async(&url, tcp).await.unwrap();
        // Some of them are no packets, and end the connection while others are still at work.
        let packets = [
            "40",
            "40/ingest,,",
            r#"44{"423["subscri,{"pipeline_type":"lo":""local_files"}]"#,
            "41x,",
            "41",
            r#"40{"421["subscribe""#,
        ];
        for packet in packets {
            if stream.send(Message::text(packet)).await.is_err() {
                break;
            }
        }
    }
    eventually("nothing is left", async || hub.hub.stats().connections == 0).await;
}

#[tokio::test]
async fn publish_says_what_is_wrong() {
    let hub = TestHub::start().await;
    let mut socket = Socket::connect(hub.address, "/ingest").await;
    let opened =
        socket.ask("publish", json!({ "pipeline_id": "p", "reporter_id": "r", "events": [online()] })).await;
    assert_eq!(
        [&opened["accepted"], &opened["duplicates"], &opened["conflated"], &opened["seq"]],
        [1, 0, 0, 1]
    );
    for (argument, code, field) in [
        (json!(null), "invalid_request", Some("pipeline_id")),
        (json!([]), "invalid_request", None),
        (json!({ "pipeline_id": 1, "events": [] }), "invalid_request", None),
        (json!({ "pipeline_id": "a/b", "events": [] }), "invalid_name", Some("pipeline_id")),
        (json!({ "pipeline_id": "p", "reporter_id": "", "events": [] }), "invalid_name", Some("reporter_id")),
        (json!({ "pipeline_id": "p" }), "invalid_request", Some("events")),
        (json!({ "pipeline_id": "q", "events": [file("file:queued", "a")] }), "unknown_pipeline", None),
        (
            json!({ "pipeline_id": "p", "events": [{ "event": "file:quued" }] }),
            "unknown_event",
            Some("event"),
        ),
    ] {
        let answer = socket.ask("publish", argument.clone()).await;
        assert_eq!(answer["error"]["code"], code, "{argument}: {answer}");
        assert_eq!(answer["error"]["field"].as_str(), field, "{argument}: {answer}");
    }
    let answer = socket.ask("subscribe", json!({})).await;
    assert_eq!(answer["error"]["code"], "invalid_request");
    assert_eq!(hub.state("p").await["seq"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn who_subscribes_in_the_moment_of_connecting_gets_everything() {
    let hub = TestHub::start().await;
    hub.publish("p", online()).await;
    let address = hub.address;
    for _ in 0..25 {
        let many: Vec<_> = (0..32)
            .map(|_| {
                tokio::spawn(async move {
                    let mut socket = Socket::connect(address, "/").await;
                    socket.ask("subscribe", json!({ "pipeline_id": "p" })).await;
                    assert_eq!(next(&mut socket).await, event("pipeline:status", "p", 1));
                })
            })
            .collect();
        for one in many {
            one.await.unwrap();
        }
    }
}
