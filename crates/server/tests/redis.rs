//! Hubs on a real Redis that is killed, stopped and emptied under them, and cut off from them: what reporters are told, what subscribers
//! get, and that it goes on by itself.
#![cfg(feature = "redis")]
#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use ragpulse_protocol::status::ResetReason;
use ragpulse_protocol::{Cursor, Epoch, PipelineId};
use ragpulse_server::Hub;
use ragpulse_server::log::redis::{OpenError, RedisOptions};
use ragpulse_server::log::{EventLog, Page, RedisLog};
use reqwest::StatusCode;
use serde_json::{Value, json};
use support::follow::Follower;
use support::redis::{Proxy, Redis};
use support::socket::Socket;
use support::{TestHub, eventually, file, online};

fn p() -> PipelineId {
    PipelineId::new("p").unwrap()
}

/// A hub on a log of this server. Hubs on the same prefix are one.
async fn hub(redis: &Redis, prefix: &str) -> TestHub {
    TestHub::on_log(Hub::builder(), redis.log(prefix).await).await
}

/// Someone who follows pipeline `p` by a socket.
async fn follower(hub: &TestHub) -> (Follower, Socket) {
    let (mut follower, mut socket) = (Follower::default(), Socket::connect(hub.address, "/").await);
    follower.subscribe(&mut socket).await;
    (follower, socket)
}

/// Reads a stream until this stands in it.
async fn hear(stream: &mut reqwest::Response, text: &str) {
    let mut heard = String::new();
    while !heard.contains(text) {
        let chunk =
            tokio::time::timeout(Duration::from_secs(20), stream.chunk()).await.expect("nothing came");
        heard.push_str(std::str::from_utf8(&chunk.unwrap().expect("it ended")).unwrap());
    }
}

/// An event of a file, by an id: a reporter repeats it until it is taken.
fn with_id(event: &str, id: &str) -> Value {
    let mut event = file(event, id);
    event["event_id"] = json!(format!("{} {id}", event["event"]));
    event
}

/// Reports as a reporter does: again where the hub says so.
async fn persist(hub: &TestHub, events: Value) -> Value {
    let mut answer = Value::Null;
    eventually("it is taken", async || {
        let (status, body) = hub.try_publish("p", events.clone()).await;
        answer = body;
        assert!(status == StatusCode::OK || answer["retryable"] == true, "{answer}");
        status == StatusCode::OK
    })
    .await;
    answer
}

/// Waits until the hub refuses, as its store does not answer.
async fn refuses(hub: &TestHub) {
    let beat = json!([{ "event": "x:test", "data": {} }]);
    eventually("ingest is refused", async || {
        let (status, answer) = hub.try_publish("p", beat.clone()).await;
        if status.is_success() {
            return false;
        }
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
        assert_eq!((&answer["code"], &answer["retryable"]), (&json!("store_unavailable"), &json!(true)));
        true
    })
    .await;
}

#[tokio::test]
async fn what_one_hub_takes_the_other_delivers() {
    let redis = Redis::start(&[]);
    let (one, two) = (hub(&redis, "t").await, hub(&redis, "t").await);
    one.publish("p", json!([online()])).await;
    two.until("p", |state| state["seq"] == 1).await;
    let (mut by_socket, mut socket) = follower(&two).await;
    for number in 0..50 {
        let name = format!("f{number}");
        let hub = if number % 2 == 0 { &one } else { &two };
        hub.publish("p", json!([file("file:processing", &name), file("file:completed", &name)])).await;
    }
    by_socket.read(&mut socket, 101).await;
    by_socket.agrees(&two);
    assert!(by_socket.snapshots.iter().all(Option::is_none), "nothing was lost");
    // Who starts later has it all.
    let three = hub(&redis, "t").await;
    let (state, other) = (three.state("p").await, two.state("p").await);
    assert_eq!((&state["counts"], &state["files"]), (&other["counts"], &other["files"]));
    assert_eq!(three.story("p").await, one.story("p").await);
    // What one forgets all forget.
    let (status, _) = one.send(reqwest::Method::DELETE, "/api/pipelines/p", "application/json", "").await;
    assert!(status.is_success(), "{status}");
    eventually("it is forgotten", async || two.hub.state(&p()).is_none()).await;
    two.publish("p", json!([online()])).await;
    one.until("p", |state| state["seq"] == 1).await;
}

#[tokio::test]
async fn a_redis_that_is_killed_and_lost_nothing_goes_on() {
    let mut redis = Redis::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let hub = hub(&redis, "t").await;
    hub.publish("p", json!([online(), with_id("file:processing", "a")])).await;
    let epoch = hub.cursor("p").await.0;
    let (mut follower, mut socket) = follower(&hub).await;
    redis.kill();
    refuses(&hub).await;
    assert_eq!(hub.state("p").await["counts"]["processing"], 1, "what is known is served");
    redis.start_again();
    let answer =
        persist(&hub, json!([with_id("file:processing", "a"), with_id("file:completed", "a")])).await;
    assert_eq!(answer["duplicates"], 1, "its ids were kept");
    let end = answer["seq"].as_u64().unwrap();
    follower.read(&mut socket, end).await;
    follower.agrees(&hub);
    assert_eq!(hub.cursor("p").await, (epoch, end), "the epoch is the same");
    assert!(follower.snapshots.iter().all(Option::is_none), "and nobody needed a state");
}

#[tokio::test]
async fn a_redis_that_may_have_lost_its_end_begins_new_epochs() {
    let mut redis = Redis::start(&["--appendonly", "yes", "--appendfsync", "everysec"]);
    let (one, two) = (hub(&redis, "t").await, hub(&redis, "t").await);
    one.publish("p", json!([online(), file("file:processing", "a")])).await;
    two.until("p", |state| state["seq"] == 2).await;
    let before = one.cursor("p").await.0;
    let (mut follower, mut socket) = follower(&two).await;
    // In order, so that all of it is there: what a restart finds is not to depend on the second.
    redis.stop().await;
    refuses(&one).await;
    redis.start_again();
    let answer = persist(&one, json!([file("file:completed", "a")])).await;
    let end = answer["seq"].as_u64().unwrap();
    follower.read(&mut socket, end).await;
    eventually("it has the new epoch", async || two.cursor("p").await.0 != before).await;
    two.until("p", |state| state["seq"] == end).await;
    assert!(follower.snapshots.contains(&Some(ResetReason::EpochChanged)), "{:?}", follower.snapshots);
    follower.agrees(&two);
    assert_eq!(one.cursor("p").await, two.cursor("p").await);
}

#[tokio::test]
async fn a_redis_that_is_stopped_for_a_while_loses_nothing_and_takes_nothing_twice() {
    let redis = Redis::start(&[]);
    let hub = hub(&redis, "t").await;
    hub.publish("p", json!([online()])).await;
    redis.signal("STOP");
    // It hangs at first: its answer may be lost, so the hub does not repeat it, and the reporter does.
    let reporting = persist(&hub, json!([with_id("file:processing", "a"), with_id("file:completed", "a")]));
    let meanwhile = async {
        refuses(&hub).await;
        assert_eq!(hub.state("p").await["seq"], 1, "what is known is served");
        redis.signal("CONT");
    };
    tokio::join!(reporting, meanwhile);
    let state = hub.until("p", |state| state["counts"]["completed"] == 1).await;
    assert_eq!(state["counts"]["processing"], 0);
    let story = hub.story("p").await;
    assert_eq!(story.iter().filter(|event| *event == "completed a").count(), 1, "{story:?}");
}

#[tokio::test]
async fn a_redis_that_was_emptied_is_begun_anew_by_reporters() {
    let redis = Redis::start(&[]);
    let (one, two) = (hub(&redis, "t").await, hub(&redis, "t").await);
    one.publish("p", json!([online(), with_id("file:processing", "a")])).await;
    two.until("p", |state| state["seq"] == 2).await;
    let before = one.cursor("p").await.0;
    redis.say(&["FLUSHALL"]).await;
    // It cuts no connection; nobody calls; both notice.
    for hub in [&one, &two] {
        eventually("it is gone", async || hub.hub.state(&p()).is_none()).await;
    }
    let mut unknown = Value::Null;
    eventually("the reporter is told", async || {
        unknown = one.try_publish("p", json!([with_id("file:completed", "a")])).await.1;
        unknown["code"] == "unknown_pipeline"
    })
    .await;
    persist(&two, json!([online(), with_id("file:processing", "a"), with_id("file:completed", "a")])).await;
    one.until("p", |state| state["counts"]["completed"] == 1).await;
    assert_ne!(one.cursor("p").await.0, before);
    assert_eq!(one.story("p").await, two.story("p").await);
}

#[tokio::test]
async fn who_follows_what_is_gone_hears_its_end_and_then_all_of_the_next_life() {
    let redis = Redis::start(&[]);
    let (one, two) = (hub(&redis, "t").await, hub(&redis, "t").await);
    one.publish("p", json!([online(), with_id("file:processing", "a")])).await;
    let before = one.cursor("p").await.0;
    let mut followers = Vec::new();
    for hub in [&one, &two] {
        hub.until("p", |state| state["seq"] == 2).await;
        let (mut follower, mut socket) = follower(hub).await;
        follower.read(&mut socket, 2).await;
        let mut stream = hub.http.get(hub.url("/api/pipelines/p/stream")).send().await.unwrap();
        hear(&mut stream, "pipeline:status").await;
        followers.push((follower, socket, stream));
    }
    redis.say(&["FLUSHALL"]).await;
    for (follower, socket, stream) in &mut followers {
        // The rule for what comes does the rest: nothing is asked again, and no state comes.
        while follower.session.state().is_some() {
            follower.take(&socket.message().await);
        }
        assert_eq!((follower.applied, &*follower.snapshots), (1, &[None][..]));
        hear(stream, &format!("{before}:3")).await;
    }
    eventually("both know nothing of it", async || {
        one.hub.state(&p()).is_none() && two.hub.state(&p()).is_none()
    })
    .await;
    persist(&two, json!([online(), with_id("file:processing", "a"), with_id("file:completed", "a")])).await;
    for ((follower, socket, _), hub) in followers.iter_mut().zip([&one, &two]) {
        follower.read(socket, 3).await;
        hub.until("p", |state| state["seq"] == 3).await;
        follower.agrees(hub);
        assert_eq!((follower.applied, &*follower.snapshots), (4, &[None][..]), "each event, and no state");
    }
}

#[tokio::test]
async fn a_hub_that_was_cut_off_reads_what_it_missed() {
    let redis = Redis::start(&[]);
    let one = hub(&redis, "t").await;
    let proxy = Proxy::to(redis.port()).await;
    let mut options = RedisOptions::new(proxy.url());
    (options.prefix, options.shards) = ("t".to_owned(), 4);
    let log = Arc::new(RedisLog::open(options).await.unwrap());
    let two = TestHub::on_log(Hub::builder(), log).await;
    one.publish("p", json!([online()])).await;
    two.until("p", |state| state["seq"] == 1).await;
    let (mut follower, mut socket) = follower(&two).await;
    proxy.cut();
    refuses(&two).await;
    for number in 0..20 {
        one.publish("p", json!([file("file:queued", &format!("f{number}"))])).await;
    }
    proxy.mend();
    follower.read(&mut socket, 21).await;
    follower.agrees(&two);
    assert!(follower.snapshots.iter().all(Option::is_none), "it has had every event");
    persist(&two, json!([file("file:queued", "last")])).await;
}

#[tokio::test]
async fn a_hub_that_was_cut_off_for_too_long_gives_a_state_with_the_reason() {
    let redis = Redis::start(&[]);
    let mut options = RedisOptions::new(redis.url());
    (options.prefix, options.shards) = ("t".to_owned(), 4);
    options.retention.events_per_pipeline = 20;
    let log_of_one = Arc::new(RedisLog::open(options.clone()).await.unwrap());
    let one = TestHub::on_log(Hub::builder(), log_of_one.clone()).await;
    let proxy = Proxy::to(redis.port()).await;
    options.url = proxy.url();
    let log = Arc::new(RedisLog::open(options).await.unwrap());
    let two = TestHub::on_log(Hub::builder(), log).await;
    one.publish("p", json!([online()])).await;
    two.until("p", |state| state["seq"] == 1).await;
    let (mut follower, mut socket) = follower(&two).await;
    proxy.cut();
    refuses(&two).await;
    for number in 0..100 {
        one.publish("p", json!([file("file:queued", &format!("f{number}"))])).await;
    }
    let early = Cursor { epoch: Epoch::new(&one.cursor("p").await.0).unwrap(), seq: 5 };
    // Its ring still has them; the log does not.
    let is_gone = async || matches!(log_of_one.read(&p(), &early, 1).await, Ok(Page::Trimmed));
    eventually("the old go", is_gone).await;
    proxy.mend();
    follower.read(&mut socket, 101).await;
    assert!(follower.snapshots.contains(&Some(ResetReason::Trimmed)), "{:?}", follower.snapshots);
    follower.agrees(&two);
    persist(&two, json!([file("file:queued", "last")])).await;
    one.until("p", |state| state["seq"] == 102).await;
}

#[tokio::test]
async fn what_cannot_be_a_log_is_refused_with_what_to_do() {
    let open = async |url: String| RedisLog::open(RedisOptions::new(url)).await.unwrap_err();
    let redis = Redis::start(&["--requirepass", "sesame", "--maxmemory-policy", "allkeys-lru"]);
    let port = redis.port();
    let told = |error: &OpenError| {
        let text = error.to_string();
        assert!(!text.contains("sesame") && !text.contains("wrong"), "{text}");
        assert!(text.contains(&format!("127.0.0.1:{port}")), "{text}");
        text
    };
    let error = open(format!("redis://:wrong@127.0.0.1:{port}")).await;
    assert!(matches!(error, OpenError::Login { .. }), "{error:?}");
    told(&error);
    let error = open(format!("redis://127.0.0.1:{port}")).await;
    assert!(matches!(error, OpenError::Login { .. }), "{error:?}");
    let error = open(format!("redis://:sesame@127.0.0.1:{port}/3")).await;
    assert!(matches!(error, OpenError::Unfit { .. }), "{error:?}");
    assert!(told(&error).contains("noeviction"));
    let port_of_nobody = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let error = open(format!("redis://127.0.0.1:{port_of_nobody}")).await;
    assert!(matches!(error, OpenError::NoServer { .. }), "{error:?}");
    for wrong in ["http://127.0.0.1", "redis://127.0.0.1/x", "rediss://127.0.0.1/#insecure", ""] {
        let error = open(wrong.to_owned()).await;
        assert!(matches!(error, OpenError::Option { .. }), "{wrong}: {error:?}");
    }
    let good = Redis::start(&[]);
    let replica = Redis::start(&["--replicaof", "127.0.0.1", &good.port().to_string()]);
    let error = open(replica.url()).await;
    assert!(matches!(error, OpenError::Replica { .. }), "{error:?}");
    let _log = good.log("t").await;
    let mut options = RedisOptions::new(good.url());
    (options.prefix, options.shards) = ("t".to_owned(), 8);
    let error = RedisLog::open(options).await.unwrap_err();
    assert!(matches!(error, OpenError::Unfit { .. }), "{error:?}");
    // A socket of the system, and another database.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("redis.sock");
    let local = Redis::start(&["--unixsocket", path.to_str().unwrap()]);
    let log =
        RedisLog::open(RedisOptions::new(format!("redis+unix://{}?db=2", path.display()))).await.unwrap();
    let hub = TestHub::on_log(Hub::builder(), Arc::new(log)).await;
    hub.publish("p", json!([online()])).await;
    let keys: u64 = redis::from_redis_value(local.say(&["DBSIZE"]).await).unwrap();
    assert_eq!(keys, 0, "it is in the other database");
}
