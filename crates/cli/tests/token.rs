//! `ragpulse token`, and `ragpulse serve --keys`: keys are made, handed out, explained, taken, and taken back.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);
const SECRET: &str = "a secret of thirty-two bytes, or more";

fn ragpulse(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ragpulse"));
    command.args(arguments).kill_on_drop(true).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    for name in [
        "RAGPULSE_KEYS",
        "RAGPULSE_JWT_SECRET",
        "RAGPULSE_TOKEN",
        "RAGPULSE_TOKEN_FILE",
        "RAGPULSE_LISTEN",
        "RAGPULSE_STORE",
        "RAGPULSE_LOG",
    ] {
        command.env_remove(name);
    }
    command
}

async fn run(mut command: Command) -> (i32, String, String) {
    let output: Output = tokio::time::timeout(PATIENCE, command.output()).await.unwrap().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

/// A hub that runs, and what it says.
struct Serving {
    child: Child,
    url: String,
    said: Lines<BufReader<ChildStderr>>,
}

async fn serve(mut command: Command) -> Serving {
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let said = BufReader::new(child.stderr.take().unwrap()).lines();
    let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap();
    let line = line.expect("it ended without saying where it is");
    let url = line.split_whitespace().find(|word| word.starts_with("http://")).unwrap();
    Serving { child, url: url.trim_end_matches('/').to_owned(), said }
}

impl Serving {
    async fn ask(&self, method: &str, path: &str, token: &str) -> u16 {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = http.request(method.parse().unwrap(), format!("{}{path}", self.url));
        let request = request.header("content-type", "application/json").bearer_auth(token);
        let event = json!({ "event": "pipeline:online", "data": { "pipeline_type": "local_files" } });
        request.body(event.to_string()).send().await.unwrap().status().as_u16()
    }

    /// The next line of its log that has this.
    async fn says(&mut self, what: &str) -> String {
        tokio::time::timeout(PATIENCE, async {
            loop {
                let line = self.said.next_line().await.unwrap().expect("it ended");
                if line.contains(what) {
                    return line;
                }
            }
        })
        .await
        .unwrap_or_else(|_| panic!("it did not say {what}"))
    }

    async fn hang_up(&self) {
        let pid = self.child.id().unwrap().to_string();
        let done = Command::new("kill").args(["-HUP", &pid]).status().await.unwrap();
        assert!(done.success());
    }
}

const SERVE: &[&str] = &["serve", "--listen", "127.0.0.1:0", "--store", "memory:"];

fn write(directory: &Path, name: &str, text: &str) -> String {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_key_is_made_served_explained_and_taken_back_by_sighup() {
    let directory = tempfile::tempdir().unwrap();
    let new = ["token", "new", "--name", "ci", "--role", "reporter", "--pipelines", "docs-*"];
    let (code, token, told) = run(ragpulse(&new)).await;
    assert_eq!(code, 0, "{told}");
    let token = token.trim();
    assert!(token.starts_with("rp_") && !told.contains(token), "{told}");
    let entry = &told[told.find("[[key]]").unwrap()..];
    let keys = write(directory.path(), "keys.toml", entry);
    let mut hub = serve(ragpulse(&[SERVE, &["--keys", &keys]].concat())).await;
    assert_eq!(hub.ask("POST", "/api/pipelines/docs-a/events", token).await, 200);
    assert_eq!(hub.ask("POST", "/api/pipelines/mail-a/events", token).await, 403);
    let line = hub.says("mail-a").await;
    assert!(!line.contains('\x1b'), "colours are for terminals: {line:?}");
    for part in ["ragpulse::audit", "report", "\"ci\"", "denied", "forbidden", "127.0.0.1"] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
    assert!(!line.contains(token));
    assert_eq!(hub.ask("GET", "/api/rag-status", "rp_other").await, 401);
    hub.says("unauthorized").await;

    let explain = ["token", "explain", token, "--keys", &keys];
    let (code, told, _) = run(ragpulse(&explain)).await;
    assert_eq!(code, 0);
    for part in ["a static key", "reporter", "view, report", "docs-*", "no end", "these keys take it"] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
    // What is wrong changes nothing; what is right does, also for what is live.
    write(directory.path(), "keys.toml", "[[key]]\nname = 3\n");
    hub.hang_up().await;
    assert!(hub.says("reload").await.contains("failed"));
    assert_eq!(hub.ask("POST", "/api/pipelines/docs-a/events", token).await, 200);
    write(directory.path(), "keys.toml", &format!("revoked = [\"ci\"]\n{entry}"));
    hub.hang_up().await;
    assert!(hub.says("reload").await.contains("done"));
    assert_eq!(hub.ask("POST", "/api/pipelines/docs-a/events", token).await, 401);
    let (code, told, failure) = run(ragpulse(&explain)).await;
    assert_eq!(code, 1);
    assert!(told.contains("refused: it was revoked") && failure.contains("revoked"), "{told}{failure}");
    assert!(!told.contains(token) && !failure.contains(token));
}

#[tokio::test]
async fn a_token_is_minted_by_a_file_or_a_variable_and_does_what_it_says() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), "secret", SECRET);
    let text =
        "[[jwt]]\nid = \"main\"\nalgorithm = \"HS256\"\nsecret_file = \"secret\"\naudience = \"hub\"\n";
    let keys = write(directory.path(), "keys.toml", text);
    let mut by_file =
        ragpulse(&["token", "mint", "--role", "admin", "--pipelines", "docs-*", "--ttl", "15m"]);
    by_file.env("RAGPULSE_KEYS", &keys);
    let (code, token, told) = run(by_file).await;
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("holds until") && !told.contains(SECRET));
    let hub = serve(ragpulse(&[SERVE, &["--keys", &keys]].concat())).await;
    assert_eq!(hub.ask("POST", "/api/pipelines/docs-a/events", token.trim()).await, 200);
    assert_eq!(hub.ask("DELETE", "/api/pipelines/docs-a", token.trim()).await, 204);
    assert_eq!(hub.ask("DELETE", "/api/pipelines/mail", token.trim()).await, 403);

    let mut by_variable = ragpulse(&["token", "mint", "--role", "viewer", "--pipelines", "*"]);
    by_variable.env("RAGPULSE_JWT_SECRET", SECRET);
    let (code, other, _) = run(by_variable).await;
    assert_eq!(code, 0);
    // The one names no key and no audience, and this hub asks for both.
    assert_eq!(hub.ask("GET", "/api/rag-status", other.trim()).await, 401);
    let mut command = ragpulse(SERVE);
    command.env("RAGPULSE_JWT_SECRET", SECRET);
    let second = serve(command).await;
    assert_eq!(second.ask("GET", "/api/rag-status", other.trim()).await, 200);
    assert_eq!(second.ask("POST", "/api/pipelines/a/events", other.trim()).await, 403);

    // Explained without keys it is only what it says of itself, and standard input hides it from the list of processes.
    let mut explain = ragpulse(&["token", "explain", "-"]);
    let mut child = explain.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(other.as_bytes()).await.unwrap();
    let output = child.wait_with_output().await.unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(
        told.contains("viewer") && told.contains("not checked") && !told.contains(other.trim()),
        "{told}"
    );
    // The clients of the command take it where they take tokens.
    let mut snapshot = ragpulse(&["snapshot", "--url", &second.url]);
    snapshot.env("RAGPULSE_TOKEN", other.trim());
    let (code, told, failure) = run(snapshot).await;
    assert_eq!(code, 0, "{failure}");
    assert!(serde_json::from_str::<Value>(&told).is_ok() || !told.is_empty(), "{told}");
}

#[tokio::test]
async fn what_would_leave_doors_open_or_nobody_in_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let empty = write(directory.path(), "empty.toml", "");
    let key = "[[key]]\nname = \"a\"\nhash = \"sha256:0000000000000000000000000000000000000000000000000000000000000000\"\n\
               role = \"admin\"\n";
    let good = write(directory.path(), "good.toml", key);
    for (arguments, says) in [
        (vec!["serve", "--listen", "0.0.0.0:0"], "without keys"),
        (vec!["serve", "--listen", "0.0.0.0:0", "--keys", &empty], "nobody could come in"),
        (vec!["serve", "--listen", "127.0.0.1:0", "--keys", "/not/there"], "/not/there"),
        (vec!["token", "mint", "--role", "viewer"], "there is no key to sign by"),
        (vec!["token", "mint", "--role", "viewer", "--keys", &good], "there is no such key"),
        (vec!["token", "mint", "--role", "root"], "'root' must be one of"),
        (vec!["token", "mint", "--ttl", "5y"], "a time is a whole number"),
        (vec!["token", "new", "--name", "x"], "neither `role` nor `acts`"),
        (
            vec!["token", "new", "--name", "x", "--role", "viewer", "--pipelines", "a b"],
            "no pattern of pipelines",
        ),
    ] {
        let (code, _, said) = run(ragpulse(&arguments)).await;
        assert_eq!(code, 2, "{arguments:?}: {said}");
        assert!(said.contains(says), "{arguments:?}: {said}");
    }
    // With keys it listens anywhere.
    let open = ["serve", "--listen", "0.0.0.0:0", "--store", "memory:", "--keys", &good];
    assert!(serve(ragpulse(&open)).await.url.contains("0.0.0.0"));
}

#[tokio::test]
async fn watch_and_snapshot_go_on_with_what_is_in_the_file_when_the_token_is_taken_back() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), "secret", SECRET);
    let text = "[[jwt]]\nalgorithm = \"HS256\"\nsecret_file = \"secret\"\n";
    let keys = write(directory.path(), "keys.toml", text);
    let mint = async || {
        let mint = ["token", "mint", "--keys", &keys, "--role", "admin", "--pipelines", "*"];
        run(ragpulse(&mint)).await.1
    };
    let first = mint().await;
    let file = write(directory.path(), "token", &first);
    let mut hub = serve(ragpulse(&[SERVE, &["--keys", &keys]].concat())).await;
    let path = "/api/pipelines/docs/events";
    assert_eq!(hub.ask("POST", path, first.trim()).await, 200);
    let mut watch = ragpulse(&["watch", "--json", "--pipeline", "docs", "--transport", "websocket"]);
    watch.args(["--url", &hub.url, "--token-file", &file]);
    let mut watch = watch.spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut seq = async || {
        let line = tokio::time::timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap();
        let line: Value = serde_json::from_str(&line.expect("it ended")).unwrap();
        line["data"]["seq"].as_u64().unwrap()
    };
    assert_eq!(seq().await, 1);
    // Every token of before is worth nothing from here on.
    write(directory.path(), "secret", "another secret of thirty-two bytes, or more");
    let second = mint().await;
    write(directory.path(), "token", &second);
    hub.hang_up().await;
    while hub.ask("GET", "/api/rag-status", first.trim()).await != 401 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // What was followed by the first token is ended, which the hub tells.
    hub.says("act=\"follow\"").await;
    for expected in 2..6 {
        assert_eq!(hub.ask("POST", path, second.trim()).await, 200);
        assert_eq!(seq().await, expected);
    }
    let mut snapshot = ragpulse(&["snapshot", "--url", &hub.url]);
    snapshot.env("RAGPULSE_TOKEN_FILE", &file);
    let (code, _, failure) = run(snapshot).await;
    assert_eq!((code, failure.as_str()), (0, ""));
    assert!(watch.try_wait().unwrap().is_none(), "it goes on");
}
