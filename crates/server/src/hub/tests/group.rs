//! Publishes that are appended together count as if they had come one after the other.

use std::time::Duration;

use serde_json::{Value, json};

use super::id;
use crate::Hub;
use crate::log::SqliteLog;
use crate::log::sqlite::SqliteOptions;

async fn hub(path: &std::path::Path) -> Hub {
    let log = SqliteLog::open(SqliteOptions::new(path)).unwrap();
    Hub::builder().log(std::sync::Arc::new(log)).open().await.unwrap().hub
}

fn event(name: &str, data: &Value) -> Vec<Value> {
    vec![json!({ "event": name, "data": data })]
}

#[tokio::test]
async fn who_speaks_first_after_a_start_is_there_for_who_speaks_next() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.db");
    let first = hub(&path).await;
    let online = event("pipeline:online", &json!({ "pipeline_type": "docs" }));
    first.take(&id("p"), None, online).await.unwrap();
    first.close(Duration::from_secs(5)).await;

    let hub = hub(&path).await;
    let pipeline = id("p");
    let one = ragpulse_protocol::ReporterId::new("one").unwrap();
    // Both are in the queue before the writer looks.
    let (works, leaves) = tokio::join!(
        hub.take(&pipeline, None, event("file:processing", &json!({ "file": { "name": "a" } }))),
        hub.take(&pipeline, Some(one), event("pipeline:offline", &json!({}))),
    );
    assert_eq!((works.unwrap().accepted, leaves.unwrap().conflated), (1, 1));
    let state = hub.state(&pipeline).unwrap();
    assert!(state.is_online(), "somebody without a name is there");
    assert_eq!(state.counts.processing, 1);
    hub.close(Duration::from_secs(5)).await;
}
