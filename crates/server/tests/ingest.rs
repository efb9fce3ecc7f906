//! What reporters send over HTTP, and what they get for it.

mod support;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::{TestHub, file, names, online};

#[tokio::test]
async fn one_event_an_array_and_lines_are_taken() {
    let hub = TestHub::start().await;
    let first = hub.publish("p", online()).await;
    assert_eq!((first["accepted"].clone(), first["seq"].clone()), (json!(1), json!(1)));
    let second = hub.publish("p", json!([file("file:queued", "a"), file("file:processing", "a")])).await;
    assert_eq!((second["accepted"].clone(), second["seq"].clone()), (json!(2), json!(3)));
    let lines = format!("{}\n\n{}\n", file("file:completed", "a"), file("file:skipped", "b"));
    let (status, third) =
        hub.send(Method::POST, "/api/pipelines/p/events", "application/x-ndjson; charset=utf-8", lines).await;
    assert_eq!((status, third["seq"].clone()), (StatusCode::OK, json!(5)));
    assert_eq!(first["epoch"], third["epoch"]);

    let state = hub.state("p").await;
    assert_eq!(state["counts"]["completed"], 1);
    assert_eq!(state["counts"]["skipped"], 1);
    assert_eq!(state["total_processed"], 1);
    let events = hub.events("p", first["epoch"].as_str().unwrap(), 0).await;
    assert_eq!(
        names(&events).into_iter().map(|(_, name)| name).collect::<Vec<_>>(),
        ["pipeline:online", "file:queued", "file:processing", "file:completed", "file:skipped"]
    );
}

#[tokio::test]
async fn the_hub_fills_in_what_reporters_leave_out() {
    let hub = TestHub::start().await;
    let epoch = hub.publish("p", online()).await["epoch"].as_str().unwrap().to_owned();
    let bare = json!([
        { "event": "file:processing", "data": { "file": { "name": "a" } }, "timestamp": "2026-01-31T10:00:00+01:00" },
        { "event": "file:completed", "data": { "file": { "name": "a" } } },
        { "event": "file:failed", "data": { "file": { "name": "b" }, "error": { "message": "m" }, "kept": [1] } },
        { "event": "file:queued", "data": { "file": { "name": "c", "owner": "me" } } },
        { "event": "x:reindex", "data": { "took": 3 } },
        { "event": "pipeline:offline" },
    ]);
    hub.publish("p", bare).await;
    let answer = hub.events("p", &epoch, 1).await;
    let data = |index: usize| answer["events"][index]["data"].clone();
    assert_eq!(data(0)["timestamp"], "2026-01-31T09:00:00.000Z");
    assert_eq!(data(0)["file"]["id"], "a");
    assert_eq!(data(0)["pipeline_id"], "p");
    assert_eq!(data(0)["pipeline_type"], "local_files");
    assert_eq!((data(1)["success"].clone(), data(1)["results"].clone()), (json!(true), json!({})));
    assert_eq!(data(1)["previous_state"], "processing");
    assert_eq!(data(2)["error"], json!({ "message": "m", "type": "Error", "retryable": false }));
    assert_eq!((data(2)["success"].clone(), data(2)["kept"].clone()), (json!(false), json!([1])));
    assert_eq!(
        (data(3)["change"].clone(), data(3)["file"]["owner"].clone()),
        (json!("created"), json!("me"))
    );
    assert_eq!(
        (data(4)["took"].clone(), answer["events"][4]["event"].clone()),
        (json!(3), json!("x:reindex"))
    );
    // The file that was still queued ends before its pipeline goes.
    assert_eq!(answer["events"][5]["event"], "file:failed");
    assert_eq!(data(5)["error"]["type"], "Interrupted");
    assert_eq!(data(6)["reason"], "normal_shutdown");
}

#[tokio::test]
async fn an_event_id_is_taken_once() {
    let hub = TestHub::start().await;
    hub.publish("p", online()).await;
    let event = |id: &str, name: &str| {
        let mut event = file(name, "a");
        event["event_id"] = json!(id);
        event
    };
    let batch =
        json!([event("1", "file:queued"), event("2", "file:processing"), event("2", "file:processing")]);
    let receipt = hub.publish("p", batch).await;
    assert_eq!([&receipt["accepted"], &receipt["duplicates"], &receipt["conflated"]], [2, 1, 0]);
    let again =
        json!([event("1", "file:queued"), event("2", "file:processing"), event("3", "file:completed")]);
    let receipt = hub.publish("p", again).await;
    assert_eq!([&receipt["accepted"], &receipt["duplicates"], &receipt["seq"]], [1, 2, 4]);
    // Another pipeline has ids of its own.
    hub.publish("q", online()).await;
    assert_eq!(hub.publish("q", event("1", "file:queued")).await["accepted"], 1);
}

#[tokio::test]
async fn a_repeated_end_of_a_pipeline_does_not_open_it_again() {
    let hub = TestHub::start().await;
    let mut off = json!({ "event": "pipeline:offline", "event_id": "off" });
    let mut end = file("file:completed", "a");
    end["event_id"] = json!("end");
    let mut on = online();
    on["event_id"] = json!("on");
    hub.publish("p", json!([on, file("file:processing", "a"), end, off])).await;
    let receipt = hub.publish("p", json!([on, end, off])).await;
    assert_eq!([&receipt["duplicates"], &receipt["seq"]], [3, 4]);
    assert_eq!(hub.state("p").await["liveness"], "offline");
    // A new word on why is heard without opening it.
    off["event_id"] = json!("off2");
    off["data"] = json!({ "reason": "error" });
    assert_eq!(hub.publish("p", off).await["seq"], 5);
    assert_eq!(hub.state("p").await["offline_reason"], "error");
}

#[tokio::test]
async fn an_event_opens_a_pipeline_that_is_offline() {
    let hub = TestHub::start().await;
    let epoch = hub.publish("p", json!([online(), { "event": "pipeline:offline" }])).await["epoch"].clone();
    let receipt = hub.publish("p", file("file:processing", "a")).await;
    assert_eq!([&receipt["accepted"], &receipt["seq"]], [1, 4]);
    assert_eq!(receipt["epoch"], epoch);
    assert_eq!(names(&hub.events("p", epoch.as_str().unwrap(), 2).await)[0].1, "pipeline:online");
    assert_eq!(hub.state("p").await["liveness"], "live");
}

#[tokio::test]
async fn bad_input_gets_a_typed_error_and_nothing_is_stored() {
    let hub = TestHub::configured(|config| config.limits.batch_events = 10).await;
    hub.publish("p", online()).await;
    let wrong = |data: Value| json!({ "event": "file:progress", "data": data });
    let cases: Vec<(Value, u16, &str, Option<&str>)> = vec![
        (json!(7), 422, "invalid_event", Some("event")),
        (json!({ "data": {} }), 422, "invalid_event", None),
        (json!({ "event": "file:done", "data": {} }), 422, "unknown_event", Some("event")),
        (json!({ "event": "pipeline:status", "data": {} }), 422, "unknown_event", Some("event")),
        (json!({ "event": "pipeline:removed", "data": {} }), 422, "unknown_event", Some("event")),
        (json!({ "event": "file:queued", "surprise": 1 }), 422, "invalid_event", None),
        (json!({ "event": "file:queued", "data": { "file": {} } }), 422, "invalid_event", Some("data.file")),
        (
            wrong(json!({ "file": { "name": "a" }, "progress": 1.5 })),
            422,
            "invalid_event",
            Some("data.progress"),
        ),
        (
            wrong(json!({ "file": { "name": "a" }, "progress": "x" })),
            422,
            "invalid_event",
            Some("data.progress"),
        ),
        (
            wrong(json!({ "file": { "name": "" }, "progress": 1 })),
            422,
            "invalid_event",
            Some("data.file.name"),
        ),
        (
            wrong(json!({ "file": { "name": "a" }, "progress": 1, "seq": 9 })),
            422,
            "reserved_field",
            Some("data.seq"),
        ),
        (
            wrong(json!({ "file": { "name": "a" }, "progress": 1, "epoch": "e" })),
            422,
            "reserved_field",
            Some("data.epoch"),
        ),
        (wrong(json!({ "pipeline_id": "other" })), 422, "pipeline_mismatch", Some("data.pipeline_id")),
        (
            wrong(json!({ "pipeline_type": "google_drive", "file": { "name": "a" }, "progress": 1 })),
            422,
            "pipeline_mismatch",
            Some("data.pipeline_type"),
        ),
        (
            json!({ "event": "pipeline:online", "data": { "pipeline_type": "other" } }),
            409,
            "type_conflict",
            Some("data.pipeline_type"),
        ),
        (json!({ "event": "pipeline:online", "data": {} }), 422, "invalid_event", Some("data.pipeline_type")),
        (
            json!({ "event": "file:queued", "timestamp": "2026-01-31T10:00:00", "data": { "file": { "name": "a" } } }),
            422,
            "invalid_event",
            Some("timestamp"),
        ),
        (
            json!({ "event": "status:update", "data": { "changes": { "total_processed": 3 } } }),
            422,
            "reserved_field",
            Some("data.changes.total_processed"),
        ),
        (
            json!({ "event": "status:update", "data": { "changes": { "is_checking": "yes" } } }),
            422,
            "invalid_event",
            Some("data.changes.is_checking"),
        ),
        (
            json!({ "event": "file:queued", "event_id": "", "data": { "file": { "name": "a" } } }),
            422,
            "invalid_event",
            Some("event_id"),
        ),
        (
            json!({ "event": "file:completed", "data": { "file": { "name": "a" }, "success": false } }),
            422,
            "invalid_event",
            Some("data.success"),
        ),
        (json!(vec![file("file:queued", "a"); 11]), 413, "batch_too_large", None),
    ];
    for (event, status, code, field) in cases {
        // Behind a good one, which must not be taken either.
        let batch =
            if event.is_array() { event.clone() } else { json!([file("file:queued", "good"), event]) };
        let (got, problem) = hub.try_publish("p", batch).await;
        assert_eq!((got.as_u16(), problem["code"].as_str()), (status, Some(code)), "{event}: {problem}");
        if status == 422 {
            assert_eq!(problem["index"], 1, "{event}: {problem}");
        }
        if field.is_some() {
            assert_eq!(problem["field"].as_str(), field, "{event}: {problem}");
        }
        assert_eq!(problem["retryable"], false);
        assert!(problem["detail"].as_str().unwrap().len() > 20, "{problem}");
    }
    assert_eq!(hub.state("p").await["seq"], 1, "nothing was stored");
    let (_, problem) = hub.try_publish("p", json!({ "event": "file:complete", "data": {} })).await;
    assert!(problem["detail"].as_str().unwrap().contains("'file:completed'"), "the nearest name: {problem}");
}

#[tokio::test]
async fn bodies_that_are_no_events_get_a_typed_error() {
    let hub = TestHub::configured(|config| config.limits.body_bytes = 2_000).await;
    let path = "/api/pipelines/p/events";
    for (kind, body, status, code) in [
        ("application/json", "{".to_owned(), 400, "invalid_json"),
        ("application/json", "[".repeat(1_500), 400, "invalid_json"),
        ("application/x-ndjson", "{}\n{".to_owned(), 400, "invalid_json"),
        ("text/plain", "{}".to_owned(), 415, "unsupported_media_type"),
        ("application/json", format!("\"{}\"", "x".repeat(3_000)), 413, "body_too_large"),
        ("application/json", file("file:queued", "a").to_string(), 404, "unknown_pipeline"),
        ("application/json", json!({ "event": "heartbeat" }).to_string(), 404, "unknown_pipeline"),
    ] {
        let (got, problem) = hub.send(Method::POST, path, kind, body).await;
        assert_eq!((got.as_u16(), problem["code"].as_str()), (status, Some(code)), "{problem}");
    }
    let (status, problem) = hub.try_publish("no%20name", online()).await;
    assert_eq!((status.as_u16(), problem["code"].as_str()), (400, Some("invalid_name")), "{problem}");
    // The hub goes on.
    hub.publish("p", online()).await;
    assert_eq!(hub.publish("p", json!([])).await["accepted"], 0);
}

#[tokio::test]
async fn a_pipeline_has_a_most_of_open_files() {
    let hub = TestHub::configured(|config| config.limits.open_files = 2).await;
    hub.publish("p", json!([online(), file("file:queued", "a"), file("file:queued", "b")])).await;
    let batch = json!([file("file:completed", "a"), file("file:queued", "c"), file("file:queued", "d")]);
    let (status, problem) = hub.try_publish("p", batch).await;
    assert_eq!((status.as_u16(), problem["code"].as_str()), (429, Some("limit_exceeded")));
    assert_eq!((problem["retryable"].clone(), problem["index"].clone()), (json!(true), json!(2)));
    assert_eq!(hub.state("p").await["counts"]["queued"], 2, "all or nothing");
    hub.publish("p", json!([file("file:completed", "a"), file("file:queued", "c")])).await;
}

#[tokio::test]
async fn files_beyond_a_snapshot_are_paged() {
    let hub = TestHub::start().await;
    hub.publish("p", online()).await;
    for chunk in 0..3 {
        let files: Vec<Value> =
            (0..500).map(|n| file("file:queued", &format!("f{:04}", chunk * 500 + n))).collect();
        hub.publish("p", json!(files)).await;
    }
    let state = hub.state("p").await;
    assert_eq!(state["counts"]["queued"], 1_500);
    assert_eq!(state["files"].as_array().unwrap().len(), 1_000);
    // A file that no snapshot lists moves, and is counted right.
    hub.publish("p", json!([file("file:processing", "f1499"), file("file:completed", "f1498")])).await;
    let counts = hub.state("p").await["counts"].clone();
    assert_eq!([&counts["queued"], &counts["processing"], &counts["completed"]], [1_498, 1, 1]);

    let mut seen = Vec::new();
    let mut after = 0;
    loop {
        let (_, page) =
            hub.get(&format!("/api/pipelines/p/files?state=queued&limit=400&after={after}")).await;
        seen.extend(
            page["files"].as_array().unwrap().iter().map(|file| file["id"].as_str().unwrap().to_owned()),
        );
        match page["next_after"].as_u64() {
            Some(next) => after = next,
            None => break,
        }
    }
    assert_eq!(seen.len(), 1_498);
    assert_eq!((seen[0].as_str(), seen[1_497].as_str()), ("f0000", "f1497"));
    let (_, page) = hub.get("/api/pipelines/p/files?q=F1499").await;
    assert_eq!(page["files"][0]["state"], "processing");
    let (status, problem) = hub.get("/api/pipelines/p/files?state=lost").await;
    assert_eq!((status.as_u16(), problem["field"].as_str()), (400, Some("state")));
    assert_eq!(hub.get("/api/pipelines/none/files").await.1["code"], "unknown_pipeline");
}

/// A file is found by what became of it too, in every store.
#[tokio::test]
async fn files_are_found_by_their_cause() {
    let directory = tempfile::tempdir().unwrap();
    for hub in
        [TestHub::in_memory(|_| ()).await, TestHub::at(&directory.path().join("store.db"), |_| ()).await]
    {
        let report = |name: &str, file: &str, more: Value| {
            let mut data = json!({ "file": { "name": file, "path": "/in" } });
            data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!({ "event": name, "data": data })
        };
        let error = json!({ "type": "ParserError", "message": "No TEXT in it", "stage": "extraction" });
        let events = json!([
            online(),
            report("file:failed", "a", json!({ "error": error })),
            report("file:skipped", "b", json!({ "reason": "duplicate", "message": "Same as Größe" })),
            report("file:completed", "c", json!({})),
        ]);
        hub.publish("p", events).await;
        for (wanted, found) in [
            ("parsererror", &["a"][..]),
            ("no%20text", &["a"]),
            ("EXTRACTION", &["a"]),
            ("Duplic", &["b"]),
            ("GR%C3%96%C3%9FE", &["b"]),
            ("/IN", &["a", "b", "c"]),
            ("unheard", &[]),
        ] {
            let (_, page) = hub.get(&format!("/api/pipelines/p/files?q={wanted}")).await;
            let files = page["files"].as_array().unwrap().iter();
            let names: Vec<_> = files.map(|file| file["name"].as_str().unwrap()).collect();
            assert_eq!(names, found, "{wanted}");
        }
    }
}
