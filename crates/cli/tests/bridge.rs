//! `ragpulse bridge` between a small legacy server and a real hub, each of which is restarted in the middle.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::StatusCode;
use axum::routing::get;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

fn ragpulse(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ragpulse"));
    command.args(arguments).kill_on_drop(true).stdout(Stdio::piped()).stderr(Stdio::piped());
    for name in [
        "RAGPULSE_URL",
        "RAGPULSE_TOKEN",
        "RAGPULSE_TOKEN_FILE",
        "RAGPULSE_STORE",
        "RAGPULSE_LISTEN",
        "RAG_PIPELINE_ID",
        "RAG_SERVICE",
    ] {
        command.env_remove(name);
    }
    command
}

/// Asks again until the answer is there.
async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let found = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
    });
    found.await.unwrap_or_else(|_| panic!("it did not come to this: {what}"))
}

/// A legacy status server: what it answers is the test's to say.
#[derive(Clone)]
struct Legacy {
    answer: Arc<Mutex<(StatusCode, String)>>,
    url: String,
}

impl Legacy {
    async fn start() -> Self {
        let answer = Arc::new(Mutex::new((StatusCode::OK, String::new())));
        let shared = Arc::clone(&answer);
        let app =
            axum::Router::new().route("/status", get(move || async move { shared.lock().unwrap().clone() }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/status", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let legacy = Self { answer, url };
        legacy.say(&dict("2026-05-01T10:00:00", &[], &[], &[], (0, 0)));
        legacy
    }

    fn say(&self, dict: &Value) {
        *self.answer.lock().unwrap() = (StatusCode::OK, dict.to_string());
    }

    fn fail(&self) {
        *self.answer.lock().unwrap() = (StatusCode::BAD_GATEWAY, "<html>a proxy</html>".to_owned());
    }
}

fn dict(started: &str, open: &[Value], completed: &[Value], failed: &[Value], totals: (u64, u64)) -> Value {
    json!({
        "status": "running", "pipeline_type": "local_files", "check_interval": 60, "is_checking": true,
        "started_at": started, "last_check_time": null, "next_check_time": null, "files_processing": open,
        "files_completed": completed, "files_failed": failed, "total_processed": totals.0, "total_failed": totals.1,
        "last_activity": started,
    })
}

fn open(name: &str, second: u32) -> Value {
    json!({ "name": name, "id": format!("id-{name}"), "started_at": format!("2026-05-01T10:00:{second:02}.5") })
}

fn ended(name: &str, second: u32) -> Value {
    let mut entry = open(name, second);
    entry["completed_at"] = json!(format!("2026-05-01T10:01:{second:02}.25"));
    entry
}

/// A hub in a process of its own.
struct Hub {
    child: Child,
    url: String,
    http: reqwest::Client,
}

impl Hub {
    async fn start(store: &Path, listen: &str) -> Self {
        let store = format!("sqlite:{}", store.display());
        let mut child = ragpulse(&["serve", "--listen", listen, "--store", &store]).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap();
        let line = line.expect("the hub ended without saying where it is");
        let url = line.split_whitespace().find(|word| word.starts_with("http://")).unwrap().to_owned();
        Self { child, url, http: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    fn listens_at(&self) -> String {
        self.url.trim_start_matches("http://").to_owned()
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.http.get(format!("{}/api/pipelines/{path}", self.url)).send().await.unwrap();
        serde_json::from_str(&answer.text().await.unwrap()).unwrap()
    }

    async fn state(&self, pipeline: &str) -> Value {
        self.get(&format!("{pipeline}/events")).await["snapshot"].clone()
    }

    /// Waits until a state is so.
    async fn until(&self, pipeline: &str, what: &str, so: impl Fn(&Value) -> bool) -> Value {
        until(what, || async { Some(self.state(pipeline).await).filter(&so) }).await
    }

    /// How often what happened to which file, by the history; and everything else but keys.
    async fn history(&self, pipeline: &str) -> BTreeMap<String, usize> {
        let page = self.get(&format!("{pipeline}/history?limit=1000")).await;
        assert!(page["next_after"].is_null());
        let mut counts = BTreeMap::new();
        for event in page["events"].as_array().unwrap() {
            let file =
                event["data"]["file"]["name"].as_str().map(|name| format!(" {name}")).unwrap_or_default();
            let kind =
                event["data"]["error"]["type"].as_str().map(|kind| format!(" {kind}")).unwrap_or_default();
            if event["event"] != "status:update" {
                *counts.entry(format!("{}{file}{kind}", event["event"].as_str().unwrap())).or_default() += 1;
            }
        }
        counts
    }
}

fn bridge(legacy: &Legacy, hub: &Hub, more: &[&str]) -> Command {
    let arguments = [
        "bridge",
        "--status-url",
        &legacy.url,
        "--url",
        &hub.url,
        "--timezone",
        "utc",
        "--interval",
        "100ms",
    ];
    ragpulse(&[&arguments, more].concat())
}

async fn terminate(child: &mut Child) -> i32 {
    let pid = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
    let status = tokio::time::timeout(PATIENCE, child.wait()).await.expect("it has to end").unwrap();
    status.code().unwrap()
}

const P: &str = "local-files-pipeline";

#[tokio::test]
async fn bridge_hub_and_legacy_restart_and_each_end_is_counted_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("hub.db");
    let legacy = Legacy::start().await;
    let first = "2026-05-01T10:00:00";
    let mut hub = Hub::start(&store, "127.0.0.1:0").await;
    let mut child = bridge(&legacy, &hub, &[]).spawn().unwrap();
    legacy.say(&dict(first, &[open("a", 1), open("b", 2)], &[], &[], (0, 0)));
    hub.until(P, "two files are processed", |state| state["counts"]["processing"] == 2).await;

    // The bridge is killed, and files end meanwhile.
    child.kill().await.unwrap();
    legacy.say(&dict(first, &[open("b", 2), open("c", 3)], &[ended("a", 1)], &[ended("q", 4)], (1, 1)));
    let mut child = bridge(&legacy, &hub, &[]).spawn().unwrap();
    hub.until(P, "a is completed", |state| {
        state["total_processed"] == 1 && state["counts"]["processing"] == 2
    })
    .await;

    // The hub is killed, and a file ends meanwhile.
    let listen = hub.listens_at();
    hub.child.kill().await.unwrap();
    legacy.say(&dict(first, &[open("c", 3)], &[ended("a", 1), ended("b", 2)], &[ended("q", 4)], (2, 1)));
    tokio::time::sleep(Duration::from_millis(400)).await;
    let hub = Hub::start(&store, &listen).await;
    hub.until(P, "b is completed", |state| state["total_processed"] == 2).await;

    // The process behind the legacy server is another one; c died with the one before.
    let second = "2026-05-01T11:00:00";
    legacy.fail();
    tokio::time::sleep(Duration::from_millis(150)).await;
    legacy.say(&dict(second, &[open("d", 9)], &[], &[], (0, 0)));
    hub.until(P, "d is processed", |state| {
        state["files"].as_array().unwrap().iter().any(|file| file["name"] == "d")
    })
    .await;
    legacy.say(&dict(second, &[], &[ended("d", 9)], &[], (1, 0)));
    hub.until(P, "d is completed", |state| state["total_processed"] == 3).await;

    // Once more, with nothing new.
    assert_eq!(terminate(&mut child).await, 0);
    let before = hub.state(P).await;
    let once = bridge(&legacy, &hub, &["--once", "--verbose"]).output().await.unwrap();
    assert_eq!((once.status.code(), String::from_utf8_lossy(&once.stdout).as_ref()), (Some(0), ""));
    let state = hub.state(P).await;
    assert_eq!(state["seq"], before["seq"], "nothing is told twice");

    let expected = [
        ("file:completed a", 1),
        ("file:completed b", 1),
        ("file:completed d", 1),
        ("file:failed c Interrupted", 1),
        ("file:failed q Error", 1),
        ("file:processing a", 1),
        ("file:processing b", 1),
        ("file:processing c", 1),
        ("file:processing d", 1),
        ("file:processing q", 1),
        ("pipeline:online", 2),
    ];
    assert_eq!(hub.history(P).await, expected.map(|(name, count)| (name.to_owned(), count)).into());
    assert_eq!((&state["total_processed"], &state["total_failed"]), (&json!(3), &json!(2)));
    assert_eq!(
        (&state["status"], &state["started_at"]),
        (&json!("running"), &json!("2026-05-01T11:00:00.000Z"))
    );
    assert_eq!(state["reported"]["total_processed"], 1);
    // It was stopped, and the pipeline lives on.
    assert_eq!(state["liveness"], "live");
}

#[tokio::test]
async fn nobody_vouches_for_a_server_that_does_not_answer() {
    let folder = tempfile::tempdir().unwrap();
    let legacy = Legacy::start().await;
    let hub = Hub::start(&folder.path().join("hub.db"), "127.0.0.1:0").await;
    let working = dict("2026-05-01T10:00:00", &[open("a", 1)], &[], &[], (0, 0));
    legacy.say(&working);
    // The hub finds out by itself: no heartbeats come.
    let mut silent = bridge(&legacy, &hub, &["--lease", "2"]).spawn().unwrap();
    let seq = hub.until(P, "a is processed", |state| state["counts"]["processing"] == 1).await["seq"].clone();
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    let state = hub.state(P).await;
    assert_eq!(
        (&state["liveness"], &state["seq"]),
        (&json!("live"), &seq),
        "heartbeats keep a quiet pipeline alive"
    );
    legacy.fail();
    hub.until(P, "the pipeline is lost", |state| state["liveness"] == "lost").await;
    assert_eq!(hub.state(P).await["counts"]["processing"], 0);
    legacy.say(&working);
    let back = |state: &Value| state["liveness"] == "live" && state["counts"]["processing"] == 1;
    hub.until(P, "it is back, and so is its file", back).await;
    // By then the hub's end is no news to the bridge.
    legacy.say(&dict("2026-05-01T10:00:00", &[], &[ended("a", 1)], &[], (1, 0)));
    hub.until(P, "a is completed", |state| state["total_processed"] == 1 && state["total_failed"] == 1).await;

    // The bridge says it before the lease ends; and each trouble once.
    assert_eq!(terminate(&mut silent).await, 0);
    let mut child = bridge(&legacy, &hub, &["--offline-after", "1s", "--json"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    legacy.say(&dict("2026-05-01T10:00:00", &[open("z", 7)], &[ended("a", 1)], &[], (1, 0)));
    hub.until(P, "z is processed", |state| state["counts"]["processing"] == 1).await;
    legacy.fail();
    let state = hub.until(P, "it is offline", |state| state["liveness"] == "lost").await;
    assert_eq!((&state["offline_reason"], &state["counts"]["processing"]), (&json!("timeout"), &json!(0)));
    legacy.say(&dict("2026-05-01T10:00:00", &[open("z", 7)], &[ended("a", 1)], &[], (1, 0)));
    hub.until(P, "it is online anew", |state| {
        state["liveness"] == "live" && state["counts"]["processing"] == 1
    })
    .await;
    terminate(&mut child).await;
    let mut names = Vec::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        let event: Value = serde_json::from_str(&line).unwrap();
        assert!(event["event_id"].as_str().unwrap().starts_with("bridge-"));
        names.push(event["event"].as_str().unwrap().to_owned());
    }
    names.retain(|name| name != "status:update");
    assert_eq!(names, ["file:processing", "pipeline:offline", "pipeline:online", "file:processing"]);
    let mut said = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut child.stderr.take().unwrap(), &mut said).await.unwrap();
    assert_eq!(said.lines().filter(|line| line.contains("nothing vouches")).count(), 1, "{said}");
    assert!(said.contains("502") && said.contains("answers again"), "{said}");
}

#[tokio::test]
async fn a_stop_says_offline_only_if_asked_to() {
    let folder = tempfile::tempdir().unwrap();
    let legacy = Legacy::start().await;
    let hub = Hub::start(&folder.path().join("hub.db"), "127.0.0.1:0").await;
    for (pipeline, more, liveness) in
        [("stays", &[][..], "live"), ("goes", &["--offline-on-exit"][..], "offline")]
    {
        let mut command = bridge(&legacy, &hub, more);
        command.env("RAG_PIPELINE_ID", pipeline).env("RAG_SERVICE", "google_drive");
        let mut child = command.spawn().unwrap();
        hub.until(pipeline, "it is online", |state| state["status"] == "running").await;
        assert_eq!(terminate(&mut child).await, 0);
        let state = hub.state(pipeline).await;
        assert_eq!((&state["liveness"], &state["pipeline_type"]), (&json!(liveness), &json!("google_drive")));
    }
}

/// The lines of a bridge's standard error until one has these words.
async fn said(
    lines: &mut tokio::io::Lines<BufReader<tokio::process::ChildStderr>>,
    words: &str,
) -> Vec<String> {
    let mut said = Vec::new();
    let read = tokio::time::timeout(PATIENCE, async {
        while let Some(line) = lines.next_line().await.unwrap() {
            said.push(line);
            if said.last().is_some_and(|line| line.contains(words)) {
                return;
            }
        }
    });
    let found = read.await.is_ok() && said.last().is_some_and(|line| line.contains(words));
    assert!(found, "{words}: {said:?}");
    said
}

#[tokio::test]
async fn somebody_else_who_reports_the_pipeline_is_noticed_and_another_bridge_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let legacy = Legacy::start().await;
    let hub = Hub::start(&folder.path().join("hub.db"), "127.0.0.1:0").await;
    let mut bridges: Vec<Child> = ["one", "two"]
        .iter()
        .map(|name| bridge(&legacy, &hub, &["--reporter", name]).spawn().unwrap())
        .collect();
    let mut lines: Vec<_> =
        bridges.iter_mut().map(|child| BufReader::new(child.stderr.take().unwrap()).lines()).collect();
    for lines in &mut lines {
        said(lines, "bridging").await;
    }
    let started = "2026-05-01T10:00:00";
    let mut many = dict(started, &[open("b", 2)], &[ended("a", 1)], &[], (1, 0));
    for n in 0..70 {
        many[format!("key{n:02}")] = json!(n);
    }
    legacy.say(&many);
    hub.until(P, "a ended and b is processed", |state| {
        state["total_processed"] == 1 && state["counts"]["processing"] == 1
    })
    .await;
    // Both told the same; each has compared it with the hub by the time that it finds the third.
    let report = json!({ "event": "file:processing", "data": { "file": { "name": "b", "id": "id-b" } } });
    let url = format!("{}/api/pipelines/{P}/events", hub.url);
    let answer = hub.http.post(url).header("RagPulse-Reporter", "sdk").json(&report).send().await.unwrap();
    assert!(answer.status().is_success());
    for (lines, child) in lines.iter_mut().zip(&mut bridges) {
        let told = said(lines, "somebody else reports").await;
        assert!(told.last().unwrap().contains("a file:processing of 'b'"), "{told:?}");
        assert!(told.last().unwrap().contains("--pipeline local-files-pipeline-bridge"), "{told:?}");
        let left_out = told.iter().filter(|line| line.contains("left out: key60, key61"));
        assert_eq!(left_out.count(), 1, "{told:?}");
        assert_eq!(terminate(child).await, 0);
        assert_eq!(lines.next_line().await.unwrap(), None, "each once");
    }
}

#[tokio::test]
async fn what_is_wrong_is_said_in_a_line_with_its_cause() {
    let folder = tempfile::tempdir().unwrap();
    let legacy = Legacy::start().await;
    let hub = Hub::start(&folder.path().join("hub.db"), "127.0.0.1:0").await;
    let refused = async |mut command: Command, code: i32, words: &[&str]| {
        let output = tokio::time::timeout(PATIENCE, command.output()).await.unwrap().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(words.iter().all(|word| said.contains(word)), "{words:?}: {said}");
    };
    let once = |more: &[&str]| bridge(&legacy, &hub, &[&["--once"], more].concat());
    let body = |text: &str| *legacy.answer.lock().unwrap() = (StatusCode::OK, text.to_owned());
    body("<html>hello</html>");
    refused(once(&[]), 1, &["not as a status server does", "not JSON", "--status-url"]).await;
    body(r#"{"status":"ok"}"#);
    refused(once(&[]), 1, &["none of files_processing", "its keys are [status]"]).await;
    body(&format!(r#"{{"files_processing":[],"x":"{}"}}"#, "x".repeat(9 * 1024 * 1024)));
    refused(once(&[]), 1, &["more than 8 MiB"]).await;
    legacy.fail();
    refused(once(&[]), 1, &["502 Bad Gateway"]).await;
    body(r#"{"files_processing":[]}"#);
    refused(once(&[]), 2, &["names no pipeline_type", "--type"]).await;
    let known = once(&["--type", "local_files"]).output().await.unwrap();
    assert_eq!(known.status.code(), Some(0));
    refused(once(&["--type", "other", "--pipeline", P]), 2, &["of type 'local_files', not 'other'"]).await;
    let called = |option, value| ragpulse(&["bridge", "--once", "--status-url", &legacy.url, option, value]);
    refused(called("--interval", "1ms"), 2, &["100ms"]).await;
    refused(called("--timezone", "Mars"), 2, &["Europe/Oslo"]).await;
    let nobody = "http://127.0.0.1:1";
    refused(
        ragpulse(&["bridge", "--once", "--status-url", nobody]),
        1,
        &["127.0.0.1:1/status", "nobody answers there"],
    )
    .await;
    refused(ragpulse(&["bridge", "--once", "--status-url", "ftp://h"]), 2, &["neither http://"]).await;
    let no_hub = ["bridge", "--once", "--status-url", &legacy.url, "--type", "t", "--url", nobody];
    refused(ragpulse(&no_hub), 1, &["no hub at", "ragpulse serve"]).await;
}
