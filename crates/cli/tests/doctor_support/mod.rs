//! A real hub in a process of its own, and `ragpulse doctor` against an address.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

pub mod proxy;

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

pub fn ragpulse(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ragpulse"));
    command.args(arguments).kill_on_drop(true).stdout(Stdio::piped()).stderr(Stdio::piped());
    for name in [
        "RAGPULSE_URL",
        "RAGPULSE_TOKEN",
        "RAGPULSE_TOKEN_FILE",
        "RAGPULSE_LISTEN",
        "RAGPULSE_STORE",
        "RAGPULSE_HOST",
        "RAGPULSE_KEYS",
    ] {
        command.env_remove(name);
    }
    command
}

/// A hub.
pub struct Hub {
    _child: Child,
    pub address: SocketAddr,
}

impl Hub {
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    pub async fn with(more: &[&str]) -> Self {
        let serve = [&["serve", "--listen", "127.0.0.1:0", "--store", "memory:"], more].concat();
        let mut child = ragpulse(&serve).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap();
        let line = line.expect("the hub ended without saying where it is");
        let url = line.split_whitespace().find_map(|word| word.strip_prefix("http://")).unwrap();
        Self { address: url.trim_end_matches('/').parse().unwrap(), _child: child }
    }

    /// A hub with a pipeline that has a state.
    pub async fn with_pipeline() -> Self {
        let hub = Self::start().await;
        hub.publish("docs", None).await;
        hub
    }

    /// Reports that a pipeline is online.
    pub async fn publish(&self, pipeline: &str, token: Option<&str>) {
        let event = r#"{"event":"pipeline:online","data":{"pipeline_type":"local_files"}}"#;
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("{}/api/pipelines/{pipeline}/events", self.url());
        let mut request = http.post(url).header("content-type", "application/json").body(event);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        assert!(request.send().await.unwrap().status().is_success());
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub async fn get(&self, path: &str) -> Value {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = http.get(format!("{}{path}", self.url())).send().await.unwrap();
        serde_json::from_str(&answer.text().await.unwrap()).unwrap()
    }
}

/// What doctor said.
pub struct Said {
    pub exit: i32,
    pub report: Value,
    pub text: String,
}

impl Said {
    pub fn finding(&self, check: &str) -> &Value {
        let findings = self.report["findings"].as_array().expect("there are findings");
        findings.iter().find(|finding| finding["check"] == check).expect("each check has a finding")
    }

    pub fn code(&self, check: &str) -> &str {
        self.finding(check)["code"].as_str().unwrap()
    }

    /// The checks that failed.
    pub fn failed(&self) -> Vec<&str> {
        let findings = self.report["findings"].as_array().unwrap();
        let failed = findings.iter().filter(|finding| finding["verdict"] == "failed");
        failed.map(|finding| finding["check"].as_str().unwrap()).collect()
    }

    /// Asserts that a check failed with this code and these words, that it says whose fault it is and what to do, and that
    /// the exit code tells of it.
    #[track_caller]
    pub fn names(&self, check: &str, code: &str, fault: &str, words: &str) {
        let finding = self.finding(check);
        assert_eq!(finding["code"], code, "{}", self.text);
        assert_eq!(finding["verdict"], "failed", "{}", self.text);
        assert_eq!(finding["fault"], fault, "{}", self.text);
        let seen = finding["seen"].as_str().unwrap();
        assert!(seen.contains(words), "{seen:?} must say {words:?}");
        assert!(
            !finding["advice"].as_str().unwrap().is_empty() && !finding["tried"].as_str().unwrap().is_empty()
        );
        assert_eq!((self.exit, &self.report["verdict"]), (1, &Value::from("failed")), "{}", self.text);
    }

    /// Asserts that a check warns, and that a warning alone breaks nothing.
    #[track_caller]
    pub fn warns(&self, check: &str, code: &str, words: &str) {
        let finding = self.finding(check);
        assert_eq!(
            (&finding["code"], &finding["verdict"]),
            (&code.into(), &"warning".into()),
            "{}",
            self.text
        );
        let seen = finding["seen"].as_str().unwrap();
        assert!(seen.contains(words), "{seen:?} must say {words:?}");
        assert_eq!(self.exit, i32::from(!self.failed().is_empty()), "{}", self.text);
    }
}

/// Runs doctor for its JSON.
pub async fn doctor(url: &str, more: &[&str]) -> Said {
    let output = ragpulse(&[&["doctor", url, "--json"], more].concat()).output();
    let output = tokio::time::timeout(PATIENCE, output).await.expect("doctor ends").unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let report = serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{error}: {text} {}", String::from_utf8_lossy(&output.stderr)));
    Said { exit: output.status.code().unwrap(), report, text }
}

/// Runs doctor for people.
pub async fn doctor_in_words(arguments: &[&str]) -> (i32, String, String) {
    let output = ragpulse(&[&["doctor"], arguments].concat()).output();
    let output = tokio::time::timeout(PATIENCE, output).await.expect("doctor ends").unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}
