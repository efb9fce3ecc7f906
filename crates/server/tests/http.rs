//! Following a pipeline over HTTP: by polling with a cursor, and by a stream of server-sent events.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::{TestHub, eventually, file, names, online};

/// Files that were skipped, each one event.
fn skipped(range: std::ops::Range<u32>) -> Value {
    json!(range.map(|n| file("file:skipped", &format!("f{n}"))).collect::<Vec<_>>())
}

fn after(cursor: &(String, u64), more: &str) -> String {
    format!("/api/pipelines/p/events?epoch={}&seq={}{more}", cursor.0, cursor.1)
}

#[tokio::test]
async fn a_poll_is_held_until_there_is_news() {
    let hub = TestHub::start().await;
    hub.publish("p", online()).await;
    let cursor = hub.cursor("p").await;
    let at_once = hub.get(&after(&cursor, "")).await.1;
    assert_eq!(at_once, json!({ "epoch": cursor.0, "seq": 1, "up_to_date": true, "events": [] }));

    let begun = Instant::now();
    let nothing = hub.get(&after(&cursor, "&wait=0.3")).await.1;
    assert_eq!((nothing["events"].clone(), nothing["seq"].clone()), (json!([]), json!(1)));
    assert!(begun.elapsed() >= Duration::from_millis(300), "it was not held");

    let begun = Instant::now();
    let path = after(&cursor, "&wait=30");
    let (held, _) = tokio::join!(hub.get(&path), async {
        eventually("it is held", async || hub.hub.stats().connections == 1).await;
        hub.publish("p", skipped(0..1)).await
    });
    assert_eq!(names(&held.1), [(2, "file:skipped".to_owned())]);
    assert_eq!((held.1["up_to_date"].clone(), held.1["seq"].clone()), (json!(true), json!(2)));
    assert!(begun.elapsed() < Duration::from_secs(15));
    assert_eq!(hub.hub.stats().connections, 0, "its place is free again");
}

#[tokio::test]
async fn pages_go_through_the_ring_into_the_log() {
    let hub = TestHub::configured(|config| config.limits.ring_events = 8).await;
    hub.publish("p", online()).await;
    hub.publish("p", skipped(0..99)).await;
    let (epoch, seq) = hub.cursor("p").await;
    assert_eq!(seq, 100);
    let mut cursor = (epoch.clone(), 0);
    let mut seen = Vec::new();
    while cursor.1 < 100 {
        let page = hub.get(&after(&cursor, "&limit=7")).await.1;
        assert!(page["events"].as_array().unwrap().len() <= 7);
        seen.extend(names(&page).into_iter().map(|(seq, _)| seq));
        cursor.1 = page["seq"].as_u64().unwrap();
        assert_eq!(Some(&cursor.1), seen.last());
        assert_eq!(page["up_to_date"], cursor.1 == 100, "at {}", cursor.1);
    }
    assert_eq!(seen, (1..=100).collect::<Vec<u64>>());
    let whole = hub.get(&after(&(epoch, 0), "&limit=5000")).await.1;
    assert_eq!(names(&whole).len(), 100);
}

#[tokio::test]
async fn a_cursor_without_history_gets_the_state_and_the_reason() {
    let hub = TestHub::configured(|config| {
        config.limits.ring_events = 4;
        config.limits.log_events = 10;
    })
    .await;
    hub.publish("p", online()).await;
    hub.publish("p", skipped(0..29)).await;
    let (epoch, seq) = hub.cursor("p").await;
    assert_eq!(seq, 30);
    assert_eq!(names(&hub.get(&after(&(epoch.clone(), 20), "")).await.1).len(), 10);
    let trimmed = async || hub.get(&after(&(epoch.clone(), 19), "")).await.1["reason"] == "trimmed";
    support::eventually("history is trimmed", trimmed).await;
    for (cursor, reason) in [
        ((epoch.clone(), 19), json!("trimmed")),
        ((epoch.clone(), 31), json!("ahead")),
        ((epoch.clone(), u64::MAX), json!("ahead")),
        (("other".to_owned(), 30), json!("epoch_changed")),
    ] {
        // There is something to say, so it is said at once.
        let answer = hub.get(&after(&cursor, "&wait=30")).await.1;
        assert_eq!((&answer["reason"], &answer["seq"]), (&reason, &json!(30)), "{answer}");
        assert_eq!((&answer["snapshot"]["seq"], &answer["epoch"]), (&json!(30), &json!(epoch)));
    }
    let fresh = hub.get("/api/pipelines/p/events?seq=12").await.1;
    assert_eq!((fresh.get("reason"), &fresh["snapshot"]["counts"]["skipped"]), (None, &json!(29)));
}

#[tokio::test]
async fn the_log_in_memory_keeps_no_more_bytes_than_it_may() {
    let hub = TestHub::in_memory(|config| {
        config.limits.ring_bytes = 2_000;
        config.limits.log_bytes = 20_000;
    })
    .await;
    hub.publish("p", online()).await;
    hub.publish("p", skipped(0..500)).await;
    let (epoch, _) = hub.cursor("p").await;
    assert_eq!(hub.get(&after(&(epoch.clone(), 400), "")).await.1["reason"], "trimmed");
    assert_eq!(names(&hub.get(&after(&(epoch, 460), "")).await.1).len(), 41);
}

#[tokio::test]
async fn a_wrong_parameter_is_named() {
    let hub = TestHub::start().await;
    hub.publish("p", online()).await;
    for (query, code, field) in [
        ("epoch=a%20b&seq=1", "invalid_cursor", "epoch"),
        ("epoch=e&seq=-1", "invalid_cursor", "seq"),
        ("epoch=e&seq=1.5", "invalid_cursor", "seq"),
        ("epoch=e&seq=99999999999999999999", "invalid_cursor", "seq"),
        ("wait=31", "invalid_request", "wait"),
        ("wait=-1", "invalid_request", "wait"),
        ("wait=NaN", "invalid_request", "wait"),
        ("wait=soon", "invalid_request", "wait"),
        ("limit=0", "invalid_request", "limit"),
        ("limit=x", "invalid_request", "limit"),
    ] {
        let (status, problem) = hub.get(&format!("/api/pipelines/p/events?{query}")).await;
        assert_eq!((status, &problem["code"]), (StatusCode::BAD_REQUEST, &json!(code)), "{query}: {problem}");
        assert_eq!(problem["field"], field, "{query}");
    }
}

#[tokio::test]
async fn an_unknown_pipeline_is_waited_for() {
    let hub = TestHub::start().await;
    let none = json!({ "epoch": null, "seq": 0, "up_to_date": true, "events": [] });
    assert_eq!(hub.get("/api/pipelines/p/events").await, (StatusCode::OK, none));
    let (answer, _) = tokio::join!(hub.get("/api/pipelines/p/events?wait=30"), async {
        eventually("it is held", async || hub.hub.stats().connections == 1).await;
        hub.publish("p", online()).await
    });
    assert_eq!((&answer.1["snapshot"]["seq"], answer.1.get("reason")), (&json!(1), None), "{}", answer.1);
}

#[tokio::test]
async fn a_pipeline_that_is_deleted_is_unknown_to_its_followers() {
    let hub = TestHub::start().await;
    hub.publish("p", json!([online(), file("file:processing", "a")])).await;
    let cursor = hub.cursor("p").await;
    let path = after(&cursor, "&wait=30");
    let (held, deleted) = tokio::join!(hub.get(&path), async {
        eventually("it is held", async || hub.hub.stats().connections == 1).await;
        hub.send(Method::DELETE, "/api/pipelines/p", "application/json", "").await
    });
    assert_eq!(deleted.0, StatusCode::NO_CONTENT);
    // It hears of the last event, or, coming later, of what follows from it.
    let last = held.1["events"][0]["event"] == "pipeline:removed";
    assert!(last || held.1["reason"] == "unknown_pipeline", "{}", held.1);
    eventually("it is gone", async || hub.get(&after(&cursor, "")).await.1["reason"] == "unknown_pipeline")
        .await;
    let answer = hub.get(&after(&cursor, "")).await.1;
    assert_eq!((&answer["epoch"], &answer["seq"], &answer["events"]), (&json!(null), &json!(0), &json!([])));
    let (status, problem) = hub.send(Method::DELETE, "/api/pipelines/p", "application/json", "").await;
    assert_eq!((status, &problem["code"]), (StatusCode::NOT_FOUND, &json!("unknown_pipeline")));
    // Its next life is another epoch, and may be of another type.
    let other = json!({ "event": "pipeline:online", "data": { "pipeline_type": "google_drive" } });
    assert_eq!(hub.publish("p", other).await["seq"], 1);
    assert_eq!(hub.get(&after(&cursor, "")).await.1["reason"], "epoch_changed");
}

/// A stream of server-sent events, one at a time.
struct Events {
    response: reqwest::Response,
    text: String,
}

impl Events {
    async fn open(hub: &TestHub, last: Option<&str>) -> Self {
        let mut request = hub.http.get(hub.url("/api/pipelines/p/stream"));
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new() }
    }

    /// The name, the id and the data of the next one; `None` at the end.
    async fn next(&mut self) -> Option<(String, String, Value)> {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let line = event.lines().find_map(|line| line.strip_prefix(name));
                    line.unwrap_or_default().trim_start_matches(':').trim().to_owned()
                };
                let (name, id, data) = (field("event"), field("id"), field("data"));
                self.text = rest.to_owned();
                if !name.is_empty() {
                    return Some((name, id, serde_json::from_str(&data).unwrap()));
                }
                continue;
            }
            // Keep-alives come for ever, so it is the event that has a deadline.
            let chunk = tokio::time::timeout_at(deadline, self.response.chunk()).await.expect("nothing came");
            self.text.push_str(std::str::from_utf8(&chunk.unwrap()?).unwrap());
        }
    }

    async fn names(&mut self, count: usize) -> Vec<(String, String)> {
        let mut names = Vec::new();
        for _ in 0..count {
            let (name, id, _) = self.next().await.unwrap();
            names.push((name, id.rsplit(':').next().unwrap().to_owned()));
        }
        names
    }
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, id)| ((*name).to_owned(), (*id).to_owned())).collect()
}

#[tokio::test]
async fn a_stream_goes_on_where_it_was_cut() {
    let hub = TestHub::configured(|config| config.limits.ring_events = 2).await;
    hub.publish("p", online()).await;
    let mut first = Events::open(&hub, None).await;
    assert_eq!(first.names(1).await, pairs(&[("pipeline:status", "1")]));
    hub.publish("p", skipped(0..2)).await;
    let (name, last, data) = first.next().await.unwrap();
    assert_eq!((name.as_str(), &data["seq"]), ("file:skipped", &json!(2)));
    drop(first);
    hub.publish("p", skipped(2..6)).await;
    let mut second = Events::open(&hub, Some(&last)).await;
    let ids: Vec<String> = second.names(5).await.into_iter().map(|(_, id)| id).collect();
    assert_eq!(ids, ["3", "4", "5", "6", "7"]);
    let mut third = Events::open(&hub, Some("gone:3")).await;
    let (name, _, data) = third.next().await.unwrap();
    assert_eq!((name.as_str(), &data["reason"]), ("pipeline:status", &json!("epoch_changed")));
    let wrong = hub.http.get(hub.url("/api/pipelines/p/stream")).header("Last-Event-ID", "nonsense");
    let (status, problem) = support::answer(wrong.send().await.unwrap()).await;
    assert_eq!((status, &problem["code"]), (StatusCode::BAD_REQUEST, &json!("invalid_cursor")));
}

#[tokio::test]
async fn a_stream_tells_the_end_of_a_pipeline_and_its_next_life() {
    let hub = TestHub::start().await;
    hub.publish("p", online()).await;
    let mut events = Events::open(&hub, None).await;
    assert_eq!(events.names(1).await, pairs(&[("pipeline:status", "1")]));
    hub.send(Method::DELETE, "/api/pipelines/p", "application/json", "").await;
    assert_eq!(events.names(1).await, pairs(&[("pipeline:removed", "2")]));
    hub.publish("p", online()).await;
    assert_eq!(events.names(1).await, pairs(&[("pipeline:status", "1")]));
}

#[tokio::test]
async fn a_stream_that_comes_back_to_a_hub_that_has_forgotten_is_told_why_it_gets_a_state() {
    let hub = TestHub::start().await;
    let mut events = Events::open(&hub, Some("before:3")).await;
    hub.publish("p", online()).await;
    let (name, _, data) = events.next().await.unwrap();
    assert_eq!((name.as_str(), &data["reason"]), ("pipeline:status", &json!("epoch_changed")));
    hub.publish("p", skipped(0..1)).await;
    assert_eq!(events.names(1).await, pairs(&[("file:skipped", "2")]));
}

#[tokio::test]
async fn a_stream_ends_when_the_hub_closes() {
    let hub = TestHub::start().await;
    hub.publish("p", online()).await;
    let mut events = Events::open(&hub, None).await;
    events.next().await.unwrap();
    let handle = hub.hub.clone();
    let closed = tokio::spawn(hub.stop());
    let (name, _, data) = events.next().await.unwrap();
    assert_eq!((name.as_str(), &data["retry_after_ms"]), ("hub:closing", &json!(1_000)));
    assert_eq!(events.next().await, None);
    closed.await.unwrap();
    eventually("its place is free", async || handle.stats().connections == 0).await;
}

#[tokio::test]
async fn history_is_looked_up_by_people() {
    let hub = TestHub::start().await;
    hub.publish("p", json!([online(), file("file:processing", "a"), file("file:failed", "a")])).await;
    hub.publish(
        "p",
        json!([file("file:processing", "a"), file("file:completed", "a"), file("file:failed", "b")]),
    )
    .await;
    let ask = async |query: &str| hub.get(&format!("/api/pipelines/p/history?{query}")).await;
    let (status, all) = ask("").await;
    assert_eq!((status.as_u16(), names(&all).len(), all.get("next_after")), (200, 6, None));
    let of_a = ask("file=a").await.1;
    assert_eq!(names(&of_a).iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [2, 3, 4, 5]);
    let failed = ask("event=file:failed&limit=1").await.1;
    assert_eq!((names(&failed), &failed["next_after"]), (vec![(3, "file:failed".to_owned())], &json!(3)));
    assert_eq!(names(&ask("event=file:failed&after=3").await.1), [(6, "file:failed".to_owned())]);
    let at = all["events"][3]["data"]["received_at"].as_str().unwrap();
    assert!(names(&ask(&format!("since={at}")).await.1).len() >= 3);
    assert_eq!(names(&ask("until=2020-01-01T00:00:00Z").await.1), []);
    for (query, field) in [("since=yesterday", "since"), ("limit=0", "limit"), ("after=x", "after")] {
        let (status, problem) = ask(query).await;
        assert_eq!((status.as_u16(), &problem["field"]), (400, &json!(field)), "{query}");
    }
    let (status, problem) = hub.get("/api/pipelines/q/history").await;
    assert_eq!((status.as_u16(), &problem["code"]), (404, &json!("unknown_pipeline")));
}
