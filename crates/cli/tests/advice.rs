//! `--transport` and `--rollout-percentage`: what `ragpulse serve` and `ragpulse demo` tell clients, by flag and by variable.
#![allow(clippy::unwrap_used)]

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// How long a hub may take to say where it is.
const PATIENCE: Duration = Duration::from_secs(60);

fn ragpulse(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ragpulse"));
    command.args(arguments).kill_on_drop(true).stdout(Stdio::piped()).stderr(Stdio::piped());
    for name in ["RAGPULSE_TRANSPORT", "RAGPULSE_ROLLOUT_PERCENTAGE", "RAGPULSE_LISTEN", "RAGPULSE_STORE"] {
        command.env_remove(name);
    }
    command
}

/// Starts a hub, and asks it how to follow.
async fn told(mut command: Command) -> (Value, Value) {
    let mut child: Child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = tokio::time::timeout(PATIENCE, async {
        loop {
            let line = lines.next_line().await.unwrap().expect("it ended without saying where it is");
            let url = line.split_whitespace().find(|word| word.starts_with("http://"));
            if let Some(url) = url {
                return url.trim_end_matches('/').to_owned();
            }
        }
    });
    let address = address.await.unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = http.get(format!("{address}/api/socket/info")).send().await.unwrap();
    let info: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    child.kill().await.unwrap();
    (info["transport"].clone(), info["rollout_percentage"].clone())
}

const SERVE: &[&str] = &["serve", "--listen", "127.0.0.1:0", "--store", "memory:"];

#[tokio::test]
async fn serve_tells_what_its_flags_and_variables_say() {
    assert_eq!(told(ragpulse(SERVE)).await, (json!("auto"), json!(100)));
    let flags = [SERVE, &["--transport", "polling", "--rollout-percentage", "40"]].concat();
    assert_eq!(told(ragpulse(&flags)).await, (json!("polling"), json!(40)));
    let mut by_variables = ragpulse(SERVE);
    by_variables.env("RAGPULSE_TRANSPORT", "websocket").env("RAGPULSE_ROLLOUT_PERCENTAGE", "0");
    assert_eq!(told(by_variables).await, (json!("websocket"), json!(0)));
    // A flag is nearer than a variable.
    let mut both = ragpulse(&flags);
    both.env("RAGPULSE_TRANSPORT", "websocket").env("RAGPULSE_ROLLOUT_PERCENTAGE", "0");
    assert_eq!(told(both).await, (json!("polling"), json!(40)));
}

#[tokio::test]
async fn demo_tells_what_its_flags_say() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.txt"), "A document.").unwrap();
    let path = folder.path().to_str().unwrap();
    let demo =
        ["demo", path, "--listen", "127.0.0.1:0", "--transport", "websocket", "--rollout-percentage", "7"];
    assert_eq!(told(ragpulse(&demo)).await, (json!("websocket"), json!(7)));
}

#[tokio::test]
async fn what_makes_no_sense_is_a_mistake_of_the_call() {
    for wrong in ["--rollout-percentage=101", "--rollout-percentage=-1", "--transport=pigeon"] {
        for command in ["serve", "demo"] {
            let output = ragpulse(&[command, wrong]).output().await.unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(2), "{command} {wrong}: {said}");
            assert!(said.contains(wrong.split('=').next().unwrap()), "{command} {wrong}: {said}");
        }
    }
}
