//! What the defaults admit, counted with a clock of the test: 5,000 requests and 20,000 events a second from loopback, and
//! 100,000 open files. What matters is that nothing is refused, not how long it takes.
#![allow(clippy::unwrap_used)]

mod support;

use serde_json::{Value, json};
use support::limits::refusals;
use support::{TestHub, file, online};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_defaults_admit_what_is_promised() {
    let (hub, clock) = TestHub::timed(|config| config.metrics = true).await;
    hub.publish("p", online()).await;
    // A second of the hub's: each ten milliseconds 50 requests, each with 4 events, of one reporter.
    let events = json!(vec![json!({ "event": "x:tick", "data": {} }); 4]).to_string();
    for _ in 0..100 {
        let mut under_way = tokio::task::JoinSet::new();
        for _ in 0..50 {
            let request = hub.http.post(hub.url("/api/pipelines/p/events"));
            let request = request.header("content-type", "application/json").body(events.clone());
            under_way.spawn(async move { request.send().await.unwrap().status().as_u16() });
        }
        assert!(under_way.join_all().await.iter().all(|status| *status == 200));
        clock.advance_millis(10);
    }
    // And everything at once that may be open.
    hub.publish("q", online()).await;
    for batch in 0..20 {
        let files: Vec<Value> =
            (0..5_000).map(|n| file("file:queued", &format!("{}", batch * 5_000 + n))).collect();
        hub.publish("q", json!(files)).await;
    }
    hub.until("q", |state| state["counts"]["queued"] == 100_000).await;
    hub.until("p", |state| state["seq"] == 20_001).await;
    assert_eq!(refusals(&hub).await, std::collections::BTreeMap::new());
    // That there is a limit at all.
    let (status, problem) = hub.try_publish("q", file("file:queued", "one more")).await;
    assert_eq!((status.as_u16(), &problem["code"]), (429, &json!("limit_exceeded")));
    support::limits::only(&refusals(&hub).await, "open_files", 1.0);
}
