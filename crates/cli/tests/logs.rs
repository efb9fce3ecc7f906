//! `ragpulse serve --log-format json`: one object a line, and one id from ingest to delivery; and `/metrics` is there.
#![allow(clippy::unwrap_used)]

use std::process::Stdio;
use std::time::Duration;

use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

struct Served {
    _child: Child,
    log: Lines<BufReader<ChildStderr>>,
    url: String,
    http: reqwest::Client,
}

async fn serve(more: &[&str]) -> Served {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ragpulse"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--store", "memory:"]).args(more);
    command.kill_on_drop(true).stdout(Stdio::piped()).stderr(Stdio::piped());
    for name in ["RAGPULSE_LOG", "RAGPULSE_LOG_FORMAT", "RAGPULSE_LISTEN", "RAGPULSE_STORE"] {
        command.env_remove(name);
    }
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap();
    let url = line.split_whitespace().find(|word| word.starts_with("http://")).unwrap().to_owned();
    let log = BufReader::new(child.stderr.take().unwrap()).lines();
    Served { _child: child, log, url, http: reqwest::Client::builder().no_proxy().build().unwrap() }
}

impl Served {
    async fn publish(&self, id: &str, event: Value) -> reqwest::Response {
        let request = self.http.post(format!("{}/api/pipelines/p/events", self.url));
        let request = request.header("content-type", "application/json").header("x-request-id", id);
        request.body(event.to_string()).send().await.unwrap()
    }

    /// The lines of the log that have this id, until one says `last`.
    async fn lines_of(&mut self, id: &str, last: &str) -> Vec<Value> {
        let mut found = Vec::new();
        let gathered = tokio::time::timeout(PATIENCE, async {
            loop {
                let line = self.log.next_line().await.unwrap().expect("the hub ended");
                let line: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no object: {line}"));
                assert!(line["timestamp"].is_string() && line["level"].is_string(), "{line}");
                if line["request_id"] == id {
                    found.push(line);
                    if found.last().is_some_and(|line| line["message"] == last) {
                        break;
                    }
                }
            }
        });
        assert!(gathered.await.is_ok(), "nothing said '{last}' after {found:#?}");
        found
    }
}

#[tokio::test]
async fn one_event_is_followed_from_ingest_to_delivery() {
    let mut hub = serve(&["--log", "ragpulse_server=debug", "--log-format", "json"]).await;
    let online = json!({ "event": "pipeline:online", "data": { "pipeline_type": "docs" } });
    let answer = hub.publish("opening", online).await;
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["x-request-id"]),
        (200, &"opening".parse().unwrap())
    );
    hub.lines_of("opening", "fan-out").await;

    // Somebody reads as it happens, by a held poll; the event is delivered to them.
    let events = format!("{}/api/pipelines/p/events", hub.url);
    let state: Value =
        serde_json::from_str(&hub.http.get(&events).send().await.unwrap().text().await.unwrap()).unwrap();
    let (epoch, seq) = (state["epoch"].as_str().unwrap(), state["seq"].as_u64().unwrap());
    let held = tokio::spawn(hub.http.get(format!("{events}?epoch={epoch}&seq={seq}&wait=30")).send());
    let queued = json!({ "event": "file:queued", "data": { "file": { "name": "a.pdf" } } });
    hub.publish("one-request", queued).await;
    held.await.unwrap().unwrap();

    let lines = hub.lines_of("one-request", "polled").await;
    let said: Vec<&str> = lines.iter().filter_map(|line| line["message"].as_str()).collect();
    assert_eq!((said.first(), said.last()), (Some(&"ingest"), Some(&"polled")), "{said:?}");
    assert!(["append", "fan-out"].iter().all(|step| said.contains(step)), "{said:?}");
    for line in lines.iter().filter(|line| line["message"] != "ingest") {
        assert_eq!((&line["pipeline"], &line["seq"]), (&json!("p"), &json!(2)), "{line}");
    }

    // What is refused is found by the same id, which the problem names.
    let refused = hub.publish("bad-request", json!({ "event": "file:qeued" })).await;
    let problem: Value = serde_json::from_str(&refused.text().await.unwrap()).unwrap();
    assert_eq!((&problem["code"], &problem["request_id"]), (&json!("unknown_event"), &json!("bad-request")));
    let lines = hub.lines_of("bad-request", "refused").await;
    assert!(lines.last().unwrap()["problem"].as_str().unwrap().contains("unknown_event"), "{lines:?}");
}

#[tokio::test]
async fn delivery_over_a_stream_is_in_the_log_too() {
    let mut hub = serve(&["--log", "ragpulse_server=debug", "--log-format", "json"]).await;
    hub.publish("a", json!({ "event": "pipeline:online", "data": { "pipeline_type": "docs" } })).await;
    let stream = hub.http.get(format!("{}/api/pipelines/p/stream", hub.url)).send().await.unwrap();
    let mut stream = stream.bytes_stream();
    stream.next().await.unwrap().unwrap();
    hub.publish("b", json!({ "event": "file:queued", "data": { "file": { "name": "a.pdf" } } })).await;
    stream.next().await.unwrap().unwrap();
    let lines = hub.lines_of("b", "streamed").await;
    assert_eq!(lines.last().unwrap()["event"], "file:queued");
}

#[tokio::test]
async fn a_filter_that_cannot_be_read_is_refused_and_metrics_are_on() {
    let refused = Command::new(env!("CARGO_BIN_EXE_ragpulse"))
        .args(["serve", "--listen", "127.0.0.1:0", "--store", "memory:", "--log", "ragpulse=loud"])
        .output();
    let refused = tokio::time::timeout(PATIENCE, refused).await.unwrap().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--log ragpulse=loud"));
    let hub = serve(&[]).await;
    let answer = hub.http.get(format!("{}/metrics", hub.url)).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.text().await.unwrap().contains("ragpulse_build_info{version="));
}
