//! A batch is taken, or it leaves nothing behind.

mod support;

use serde_json::{Value, json};
use support::{TestHub, file, names, online};

fn with_id(mut event: Value, id: &str) -> Value {
    event["event_id"] = json!(id);
    event
}

#[tokio::test]
async fn the_index_of_a_refusal_counts_the_batch_as_it_was_sent() {
    let hub = TestHub::configured(|config| config.limits.open_files = 2).await;
    hub.publish("p", json!([online(), with_id(file("file:queued", "a"), "1")])).await;
    let batch =
        json!([with_id(file("file:queued", "a"), "1"), file("file:queued", "b"), file("file:queued", "c")]);
    let (_, problem) = hub.try_publish("p", batch).await;
    assert_eq!((problem["code"].clone(), problem["index"].clone()), (json!("limit_exceeded"), json!(2)));
}

#[tokio::test]
async fn progress_of_a_refused_batch_is_not_logged_later() {
    let (hub, clock) = TestHub::timed(|config| config.limits.open_files = 1).await;
    hub.publish("p", json!([online(), file("file:processing", "a"), file("file:progress", "a")])).await;
    let at = |part: f64, stage: Option<&str>| {
        let mut event = file("file:progress", "a");
        event["data"]["progress"] = json!(part);
        if let Some(stage) = stage {
            event["data"]["processing_stage"] = json!(stage);
        }
        event
    };
    let receipt = hub.publish("p", at(0.6, None)).await;
    assert_eq!([&receipt["accepted"], &receipt["conflated"]], [0, 1]);
    let refused = json!([at(0.9, None), at(0.95, Some("storing")), file("file:queued", "too many")]);
    assert_eq!(hub.try_publish("p", refused).await.0, 429);
    clock.advance_millis(200);
    hub.until("p", |state| state["files"][0]["progress"] != json!(0.5)).await;
    let state = hub.state("p").await;
    assert_eq!((state["files"][0]["progress"].clone(), state["seq"].clone()), (json!(0.6), json!(4)));
    // The stage was never shown, so it is shown at once.
    assert_eq!(hub.publish("p", at(0.95, Some("storing"))).await["accepted"], 1);
}

#[tokio::test]
async fn a_name_that_would_break_an_event_stream_is_refused() {
    let hub = TestHub::start().await;
    hub.publish("p", online()).await;
    for name in ["x:two\nlines", "x:re\rturn", "x:nul\0"] {
        let (status, problem) = hub.try_publish("p", json!({ "event": name, "data": {} })).await;
        assert_eq!((status.as_u16(), problem["code"].as_str()), (422, Some("invalid_event")), "{name:?}");
    }
    hub.publish("p", json!({ "event": "x:ünï çødé", "data": {} })).await;
    assert_eq!(hub.story("p").await, ["online", "x:ünï çødé"]);
}

#[tokio::test]
async fn no_status_update_makes_a_snapshot_outgrow_its_size() {
    let hub = TestHub::start().await;
    hub.publish("p", online()).await;
    let change = |key: String, bytes: usize| json!({ "event": "status:update", "data": { "changes": { key: "x".repeat(bytes) } } });
    for (key, bytes) in [("k".to_owned(), 5_000), ("k".repeat(200), 10)] {
        let (status, problem) = hub.try_publish("p", change(key, bytes)).await;
        assert_eq!((status.as_u16(), problem["code"].as_str()), (422, Some("invalid_event")));
    }
    for n in 0..100 {
        hub.publish("p", change(format!("key-{n}"), 4_000)).await;
    }
    // Files as large as they may be.
    for n in 0..20 {
        let mut event = file("file:completed", &format!("{n}"));
        event["data"]["results"] = json!({ "chunks_created": 1, "notes": "x".repeat(60_000) });
        hub.publish("p", json!([file("file:processing", &format!("{n}")), event])).await;
    }
    let text = hub.state("p").await.to_string();
    assert!(text.len() <= 512 * 1024, "{}", text.len());
}

/// Whatever is admitted can be placed: every event, with any field of any event, of any kind of value.
#[tokio::test]
async fn whatever_is_admitted_is_logged() {
    let hub = TestHub::start().await;
    hub.publish("p", online()).await;
    let values = [
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(1e300),
        json!(18_446_744_073_709_551_615_u64),
        json!(""),
        json!("text"),
        json!("2026-01-31T10:00:00+01:00"),
        json!([]),
        json!(["a"]),
        json!({}),
        json!({ "name": "n", "id": "i", "size": 1, "started_at": "2026-01-31T10:00:00Z", "seq": 1 }),
        json!({ "message": "m", "type": 3 }),
        json!({ "message": "m", "stage": "s", "code": "c", "extra": [1] }),
    ];
    let events: Vec<_> =
        ragpulse_protocol::contract::EVENTS.iter().filter(|event| event.report.is_some()).collect();
    let mut fields: Vec<&str> =
        events.iter().flat_map(|event| event.fields).map(|field| field.name).collect();
    fields.extend(["more", "timestamp", "pipeline_type"]);
    fields.sort_unstable();
    fields.dedup();
    let (mut taken, mut refused) = (0, 0);
    for event in events {
        for field in &fields {
            for value in &values {
                let mut report = file(event.name, "a");
                for (key, valid) in [
                    ("changes", json!({})),
                    ("progress", json!(0.5)),
                    ("pipeline_type", json!("local_files")),
                    ("error", json!({ "message": "m" })),
                ] {
                    if event.fields.iter().any(|known| known.name == key) || key == "pipeline_type" {
                        report["data"][key] = valid;
                    }
                }
                report["data"][*field] = value.clone();
                let (status, answer) = hub.try_publish("p", report.clone()).await;
                match status.as_u16() {
                    200 => taken += 1,
                    409 | 422 => refused += 1,
                    _ => panic!("{report}: {answer}"),
                }
            }
        }
    }
    assert!(taken > 500 && refused > 500, "{taken} taken, {refused} refused");
    let (epoch, seq) = hub.cursor("p").await;
    let events = names(&hub.events("p", &epoch, seq - 500).await);
    assert!(events.windows(2).all(|pair| pair[1].0 == pair[0].0 + 1));
}
