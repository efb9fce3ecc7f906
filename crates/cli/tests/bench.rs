//! `ragpulse bench` against live hubs: everything arrives and is counted, nothing is left behind, and nobody's hub is loaded by
//! mistake.
#![allow(clippy::unwrap_used)]

use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);
const SERVE: &[&str] = &["serve", "--listen", "127.0.0.1:0", "--store", "memory:"];

fn ragpulse(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ragpulse"));
    command.args(arguments).kill_on_drop(true).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("RAGPULSE_") {
            command.env_remove(name);
        }
    }
    command
}

async fn run(arguments: &[&str]) -> (i32, String, String) {
    let output: Output = tokio::time::timeout(PATIENCE, ragpulse(arguments).output()).await.unwrap().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

/// A hub that runs, and where it is.
async fn serve(more: &[&str]) -> (Child, String) {
    let mut child = ragpulse(&[SERVE, more].concat()).stderr(Stdio::inherit()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap();
    let url = line.split_whitespace().find(|word| word.starts_with("http://")).unwrap();
    (child, url.trim_end_matches('/').to_owned())
}

/// The pipelines that a hub shows to this token.
async fn pipelines(url: &str, token: &str) -> Vec<String> {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = http.get(format!("{url}/api/rag-status")).bearer_auth(token).send().await.unwrap();
    let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    let list = answer["pipelines"].as_array().unwrap();
    list.iter().map(|pipeline| pipeline["pipeline_id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn everything_arrives_by_each_transport_and_the_pipeline_is_forgotten() {
    let (_hub, url) = serve(&[]).await;
    for transport in ["websocket", "polling"] {
        let (code, told, said) = run(&[
            "bench",
            &url,
            "--subscribers",
            "5",
            "--rate",
            "50",
            "--seconds",
            "1",
            "--transport",
            transport,
            "--json",
        ])
        .await;
        assert_eq!(code, 0, "{said}");
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_eq!((&told["published"], &told["delivered"]), (&50.into(), &250.into()), "{told}");
        for nothing in ["lost", "doubled", "out_of_order", "resynced"] {
            assert_eq!(told[nothing], 0, "{told}");
        }
        assert_eq!(told["transports"][transport], 5, "{told}");
        assert!(told["latency_ms"]["p50"].as_f64().unwrap() > 0.0);
        assert!(told["latency_ms"]["max"].as_f64().unwrap() >= told["latency_ms"]["p99"].as_f64().unwrap());
        assert_eq!((&told["stopped"], &told["forgotten"]), (&false.into(), &true.into()));
        assert!(told["pipeline_id"].as_str().unwrap().starts_with("bench-"));
        assert!(pipelines(&url, "").await.is_empty());
    }
}

#[tokio::test]
async fn people_are_told_the_same_in_words() {
    let (_hub, url) = serve(&[]).await;
    let (code, told, said) =
        run(&["bench", "--url", &url, "--subscribers", "2", "--rate", "20", "--seconds", "1"]).await;
    assert_eq!(code, 0, "{said}");
    for part in [
        "2 subscribers, 20 events/s for 1 s",
        "p99.9",
        "20 events, delivered 40 times",
        "0 lost, 0 doubled, 0 out of order",
    ] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
    assert!(told.contains("2 by websocket, 0 by polling"), "{told}");
    assert!(said.contains("2 subscribers follow bench-"), "{said}");
}

#[cfg(unix)]
#[tokio::test]
async fn ctrl_c_tells_what_there_was_and_leaves_nothing_behind() {
    let (_hub, url) = serve(&[]).await;
    let mut bench =
        ragpulse(&["bench", &url, "--subscribers", "2", "--rate", "50", "--seconds", "3600", "--json"]);
    let bench = bench.spawn().unwrap();
    let started = std::time::Instant::now();
    while pipelines(&url, "").await.is_empty() {
        assert!(started.elapsed() < PATIENCE, "it does not begin");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let id = bench.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().await.unwrap().success());
    let output = tokio::time::timeout(PATIENCE, bench.wait_with_output()).await.unwrap().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&told["stopped"], &told["forgotten"], &told["lost"]),
        (&true.into(), &true.into(), &0.into())
    );
    assert!(pipelines(&url, "").await.is_empty(), "it is known still");
}

#[tokio::test]
async fn a_hub_elsewhere_is_not_loaded_by_mistake() {
    // Nobody is asked for anything: 192.0.2.1 leads nowhere, and would be waited for.
    let (code, told, said) = run(&["bench", "http://192.0.2.1:8103"]).await;
    assert_eq!((code, told.as_str()), (2, ""), "{said}");
    for part in ["192.0.2.1:8103", "is not on this machine", "100 subscribers", "--yes"] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    let (code, _, said) =
        run(&["bench", "--subscribers", "10000", "--rate", "10000", "--seconds", "3600"]).await;
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("take less"), "{said}");
}

#[tokio::test]
async fn a_token_that_may_not_is_told_and_one_that_may_not_forget_leaves_the_pipeline_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let new = async |name: &str, acts: &[&str]| {
        let acts: Vec<&str> = acts.iter().flat_map(|act| ["--acts", *act]).collect();
        let (code, token, told) =
            run(&[&["token", "new", "--name", name, "--pipelines", "*"], acts.as_slice()].concat()).await;
        assert_eq!(code, 0, "{told}");
        (token.trim().to_owned(), told[told.find("[[key]]").unwrap()..].to_owned())
    };
    let (most, first) = new("most", &["view", "report"]).await;
    let (little, second) = new("little", &["report"]).await;
    let keys = folder.path().join("keys.toml");
    std::fs::write(&keys, format!("{first}\n{second}")).unwrap();
    let (_hub, url) = serve(&["--keys", keys.to_str().unwrap()]).await;
    let small = ["--subscribers", "1", "--rate", "10", "--seconds", "1"];
    let bench = async |more: &[&str]| run(&[&["bench", &url], small.as_slice(), more].concat()).await;

    let (code, _, said) = bench(&[]).await;
    assert_eq!(code, 1);
    assert!(said.contains("unauthorized") && !said.contains("is still there"), "{said}");
    let (code, _, said) = bench(&["--token", &little]).await;
    assert_eq!(code, 1);
    for part in ["a subscriber could not follow", "forbidden", "is still there"] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    let (code, told, said) = bench(&["--token", &most]).await;
    assert_eq!(code, 0, "{said}");
    assert!(told.contains("0 lost"), "{told}");
    let left = pipelines(&url, &most).await;
    assert!(left.iter().any(|id| said.contains(&format!("{id} is still there"))), "{left:?} {said}");
    assert!(!said.contains(&most));
}
