//! `ragpulse watch` in a real terminal, against a real hub.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

#[path = "support/pty.rs"]
mod pty;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use pty::Terminal;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

const RAGPULSE: &str = env!("CARGO_BIN_EXE_ragpulse");

/// A hub in a process of its own.
struct Hub {
    child: Child,
    url: String,
}

impl Hub {
    fn start() -> Self {
        let mut child = Command::new(RAGPULSE)
            .args(["serve", "--listen", "127.0.0.1:0", "--store", "memory:"])
            .env_remove("RAGPULSE_STORE")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.split_whitespace().find(|word| word.starts_with("http://"));
        let url = url.expect("the hub ended without saying where it is").to_owned();
        Self { child, url }
    }

    /// Publishes events of the pipeline `docs`.
    fn publish(&self, events: &[(&str, Value)]) {
        let lines: Vec<String> =
            events.iter().map(|(event, data)| json!({ "event": event, "data": data }).to_string()).collect();
        let url = format!("{}/api/pipelines/docs/events", self.url);
        let answer = tokio::runtime::Runtime::new().unwrap().block_on(async {
            let client = reqwest::Client::builder().no_proxy().build().unwrap();
            let request = client.post(url).header("content-type", "application/x-ndjson");
            let answer = request.body(lines.join("\n")).send().await.unwrap();
            (answer.status(), answer.text().await.unwrap())
        });
        assert!(answer.0.is_success(), "{answer:?}");
    }

    fn publish_a_file_half_done(&self) {
        let file = json!({ "name": "report.pdf" });
        self.publish(&[
            ("pipeline:online", json!({ "pipeline_type": "local_files" })),
            ("file:processing", json!({ "file": file, "processing_stage": "embedding" })),
            ("file:progress", json!({ "file": file, "processing_stage": "embedding", "progress": 0.5 })),
        ]);
    }

    fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.stop();
    }
}

#[test]
fn watch_shows_a_file_its_timeline_and_leaves_the_terminal_as_it_was() {
    let mut hub = Hub::start();
    let mut terminal = Terminal::start(RAGPULSE, &["watch", &hub.url], &[]);
    terminal.until_row(&["no pipeline has reported yet"]);
    assert!(terminal.is_taken());
    hub.publish_a_file_half_done();
    terminal.until_row(&["report.pdf", "embedding", "█", "50 %"]);
    terminal.until_row(&["● live", "docs"]);
    terminal.until_row(&["● socket, ", " ms"]);
    let file = json!({ "name": "report.pdf" });
    hub.publish(&[(
        "file:progress",
        json!({ "file": file, "processing_stage": "embedding", "progress": 0.75 }),
    )]);
    terminal.until_row(&["report.pdf", "75 %"]);
    terminal.resize(100, 30);
    terminal.until("the keys in the new last row", |rows| {
        rows.len() == 30 && rows[29].contains("q leave") && rows[29].contains("←→ pipeline")
    });
    terminal.resize(40, 10);
    terminal.until("one pane", |rows| {
        rows.len() == 10 && rows[1].contains("Files of docs") && rows[9].contains("q leave")
    });
    terminal.resize(80, 24);
    terminal.until("all panes", |rows| rows.len() == 24 && rows[23].contains("q leave"));

    terminal.keys("\r");
    terminal.until_row(&["file:processing", "embedding"]);
    terminal.until_row(&["file:progress", "75 %"]);
    let end = json!({ "file": file, "error": { "type": "Timeout", "message": "the model did not answer" } });
    hub.publish(&[("file:failed", end)]);
    terminal.until_row(&["file:failed", "Timeout: the model did not answer"]);
    terminal.keys("q");
    terminal.until_row(&["✗ report.pdf", "failed", "Timeout"]);
    terminal.keys("/nothing");
    terminal.until_row(&["/nothing▏"]);
    terminal.until_row(&["no name contains this"]);
    // An escape that is alone is told from the beginning of a key's sequence by what follows.
    terminal.keys("\u{1b}");
    terminal.until_row(&["✗ report.pdf"]);
    hub.stop();
    terminal.until_row(&["○ reconnecting"]);
    assert!(terminal.is_taken());
    terminal.keys("q");
    assert_eq!(terminal.ended().code(), Some(0));
    assert!(terminal.is_restored());
}

#[test]
fn watch_gives_the_terminal_back_on_sigterm_and_ctrl_c() {
    let hub = Hub::start();
    for how in ["SIGTERM", "SIGINT", "Ctrl-C"] {
        let mut terminal = Terminal::start(RAGPULSE, &["watch", &hub.url, "--pipeline", "docs"], &[]);
        terminal.until_row(&["● socket"]);
        assert!(terminal.is_taken());
        let id = Pid::from_raw(terminal.id() as i32).unwrap();
        match how {
            "SIGTERM" => kill_process(id, Signal::TERM).unwrap(),
            "SIGINT" => kill_process(id, Signal::INT).unwrap(),
            _ => terminal.keys("\u{3}"),
        }
        assert_eq!(terminal.ended().code(), Some(0), "{how}");
        assert!(terminal.is_restored(), "{how}");
    }
}

#[test]
fn watch_without_colours_sets_none() {
    let hub = Hub::start();
    hub.publish_a_file_half_done();
    for (variables, coloured) in [(&[("NO_COLOR", "1")][..], false), (&[("NO_COLOR", "")], true), (&[], true)]
    {
        let mut terminal = Terminal::start(RAGPULSE, &["watch", &hub.url], variables);
        terminal.until_row(&["● socket"]);
        terminal.until_row(&["report.pdf", "50 %"]);
        terminal.keys("q");
        terminal.ended();
        let raw = terminal.raw();
        // Those of the palette, by either way to name them.
        let colours = ["\u{1b}[32m", "\u{1b}[36m", "38;5;"];
        assert_eq!(colours.iter().any(|colour| raw.contains(colour)), coloured, "{variables:?} {raw:?}");
    }
}

#[test]
fn watch_says_when_it_polls_and_keeps_log_lines_off_the_screen() {
    let hub = Hub::start();
    hub.publish_a_file_half_done();
    let arguments = ["watch", &hub.url, "--transport", "polling"];
    let mut terminal = Terminal::start(RAGPULSE, &arguments, &[("RAGPULSE_LOG", "trace")]);
    terminal.until_row(&["◐ polling: polling was chosen"]);
    terminal.until_row(&["report.pdf", "50 %"]);
    terminal.keys("q");
    assert_eq!(terminal.ended().code(), Some(0));
    let raw = terminal.raw();
    let (_, raw) = raw.split_once("\u{1b}[?1049h").expect("it took the screen");
    let (view, after) = raw.split_once("\u{1b}[?1049l").expect("it gave it back");
    assert!(!view.contains("TRACE") && !view.contains("DEBUG"), "{view:?}");
    assert!(after.contains("TRACE") || after.contains("DEBUG"), "they are shown afterwards: {after:?}");
}

#[test]
fn watch_prints_lines_where_they_are_asked_for() {
    let hub = Hub::start();
    hub.publish_a_file_half_done();
    let plain = "docs  online (live)  queued 0  processing 1";
    for (arguments, variables, expected) in [
        (&["--plain"][..], &[][..], plain),
        (&[], &[("TERM", "dumb")], plain),
        (&[], &[("TERM", "")], plain),
        (&["--json"], &[], r#"{"data":{"#),
    ] {
        let arguments: Vec<&str> = ["watch", &hub.url].iter().chain(arguments).copied().collect();
        let mut terminal = Terminal::start(RAGPULSE, &arguments, variables);
        terminal.until_row(&[expected]);
        kill_process(Pid::from_raw(terminal.id() as i32).unwrap(), Signal::TERM).unwrap();
        assert_eq!(terminal.ended().code(), Some(0));
        assert!(!terminal.raw().contains('\u{1b}'), "{:?}", terminal.raw());
    }
}

#[test]
fn watch_without_a_hub_says_so_and_takes_no_terminal() {
    // Nobody listens on a port that was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut terminal = Terminal::start(RAGPULSE, &["watch", &format!("http://{free}")], &[]);
    assert_eq!(terminal.ended().code(), Some(1));
    terminal.until_row(&["error: no hub at"]);
    assert!(!terminal.raw().contains('\u{1b}') && terminal.is_restored());
}
