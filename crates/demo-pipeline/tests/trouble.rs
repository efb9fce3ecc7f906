//! Whatever goes wrong, no file stays open, and the next one is done.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use common::{Folder, Recorder, Running};
use ragpulse_demo_pipeline::{
    ExtractError, Extracted, Mode, ParseContext, Parser, Pipeline, PipelineError, PipelineEvent, Shutdown,
    Stage,
};

/// Does what the content of a `.evil` file says.
#[derive(Default)]
struct Evil {
    gate: Mutex<Gate>,
    changed: Condvar,
}

#[derive(Default)]
struct Gate {
    open: bool,
    waiting: usize,
}

impl Evil {
    fn open(&self) {
        self.gate.lock().unwrap().open = true;
        self.changed.notify_all();
    }

    /// Waits until so many files have been read and are held at the gate.
    fn wait_held(&self, files: usize) {
        let gate = self.gate.lock().unwrap();
        let held = self.changed.wait_timeout_while(gate, common::PATIENCE, |g| g.waiting < files).unwrap();
        assert!(!held.1.timed_out());
    }
}

impl Parser for Evil {
    fn accepts(&self, path: &Path, _: &[u8]) -> bool {
        path.extension().is_some_and(|e| e == "evil")
    }

    fn parse(&self, bytes: &[u8], context: &ParseContext) -> Result<Extracted, ExtractError> {
        match bytes {
            b"panic" => panic!("page 7 has no\nfont"),
            b"recurse" => {
                fn down(n: usize) -> usize {
                    if n == 0 { 0 } else { std::hint::black_box(down(n - 1)) + 1 }
                }
                Ok(Extracted { text: format!("came back from {}", down(200_000)), ..Extracted::default() })
            }
            b"hang" => {
                while !context.is_cancelled() {
                    std::thread::yield_now();
                }
                Err(ExtractError::Broken("nobody hears this".into()))
            }
            _ => {
                let mut gate = self.gate.lock().unwrap();
                gate.waiting += 1;
                self.changed.notify_all();
                drop(self.changed.wait_while(gate, |g| !g.open).unwrap());
                Ok(Extracted { text: "got through the gate".into(), ..Extracted::default() })
            }
        }
    }
}

fn failure(recorder: &Recorder, path: &str) -> (String, Option<Stage>, bool) {
    let all = recorder.all();
    let found = all.iter().find_map(|e| match e {
        PipelineEvent::Failed { file, message, stage, retryable, .. } if file.path == path => {
            Some((message.clone(), *stage, *retryable))
        }
        _ => None,
    });
    found.unwrap()
}

#[test]
fn parsers_that_panic_hang_or_recurse_harm_their_own_file_only() {
    let folder = Folder::new();
    for name in ["panic", "hang", "recurse"] {
        folder.put(&format!("{name}.evil"), name);
    }
    folder.put("z-good.txt", "still done");
    let mut config = folder.config(Mode::Once);
    config.parser_timeout = Duration::from_secs(2);
    config.workers = 1;
    let pipeline = Pipeline::new(config).unwrap().with_parser(Arc::new(Evil::default()));
    let recorder = Arc::new(Recorder::default());
    pipeline.run(recorder.clone(), &Shutdown::new()).unwrap();
    recorder.check_order();
    let ends = recorder.ends(0);
    assert_eq!(ends["panic.evil"], ["failed:ParserPanic"]);
    assert_eq!(ends["hang.evil"], ["failed:Timeout"]);
    assert_eq!(ends["recurse.evil"], ["completed"]);
    assert_eq!(ends["z-good.txt"], ["completed"]);
    let (message, stage, retryable) = failure(&recorder, "panic.evil");
    assert!(message.contains("page 7 has no font at ") && message.contains("trouble.rs:"), "{message}");
    assert_eq!((stage, retryable), (Some(Stage::Extraction), false));
}

#[test]
fn stopping_in_the_middle_leaves_no_file_open() {
    let folder = Folder::new();
    for n in 0..50 {
        folder.put(&format!("{n:02}.evil"), format!("wait {n}"));
    }
    let evil = Arc::new(Evil::default());
    let pipeline = Pipeline::new(folder.config(Mode::Watch)).unwrap().with_parser(evil.clone());
    let run = Running::start(pipeline);
    evil.wait_held(2);
    run.recorder.wait(
        0,
        "the last in the queue",
        |e| matches!(e, PipelineEvent::Queued { file, .. } if file.name == "49.evil"),
    );
    let recorder = run.recorder.clone();
    let began = Instant::now();
    let summary = run.stop();
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!((summary.failed, summary.completed), (50, 0));
    assert!(recorder.ends(0).values().all(|e| e == &["failed:Interrupted"]));
    assert!(failure(&recorder, "49.evil").2, "can be tried again");
    evil.open();
}

#[test]
fn a_stop_before_the_start_ends_at_once() {
    let folder = Folder::new();
    folder.put("a.txt", "never read");
    let (recorder, shutdown) = (Arc::new(Recorder::default()), Shutdown::new());
    shutdown.trigger();
    Pipeline::new(folder.config(Mode::Watch)).unwrap().run(recorder.clone(), &shutdown).unwrap();
    recorder.check_order();
    assert_eq!(recorder.ends(0)["a.txt"], ["failed:Interrupted"]);
}

#[test]
fn a_file_that_vanishes_or_changes_under_the_worker_ends_once_each_time() {
    let folder = Folder::new();
    // Two workers are held at the gate; the others wait behind them.
    for name in ["0.evil", "1.evil"] {
        folder.put(name, format!("wait {name}"));
    }
    folder.put("waiting.txt", "gone before its turn");
    folder.put("later.txt", "replaced before its turn");
    let evil = Arc::new(Evil::default());
    let mut config = folder.config(Mode::Poll);
    config.check_interval = Duration::from_millis(50);
    let run = Running::start(Pipeline::new(config).unwrap().with_parser(evil.clone()));
    let seen = run.recorder.clone();
    evil.wait_held(2);
    let at = seen.len();
    std::fs::remove_file(folder.path("0.evil")).unwrap();
    folder.put("1.evil", "changed meanwhile");
    std::fs::remove_file(folder.path("waiting.txt")).unwrap();
    folder.put("later.txt", "its new content");
    let at = seen.wait_end(at, "waiting.txt", "deleted:0");
    evil.open();
    for (path, end) in [
        ("0.evil", "completed"),
        ("0.evil", "deleted:1"),
        ("1.evil", "completed"),
        ("later.txt", "completed"),
    ] {
        seen.wait_end(at, path, end);
    }
    let changed = seen.wait(
        at,
        "1.evil again",
        |e| matches!(e, PipelineEvent::Queued { file, .. } if file.name == "1.evil"),
    );
    seen.wait_end(changed, "1.evil", "completed");
    run.stop();
}

#[cfg(unix)]
#[test]
fn a_pipe_in_place_of_a_file_is_not_waited_for() {
    let folder = Folder::new();
    let status = std::process::Command::new("mkfifo").arg(folder.path("pipe.txt")).status();
    if !status.is_ok_and(|s| s.success()) {
        return;
    }
    folder.put("a.txt", "text");
    let (recorder, ..) = folder.once();
    assert_eq!(recorder.ends(0).len(), 1);
}

#[test]
fn damaged_documents_fail_with_a_cause_and_nothing_else() {
    let folder = Folder::new();
    let (pdf, docx) =
        (common::pdf(&["some text", "more"]), common::docx("<w:p><w:r><w:t>x</w:t></w:r></w:p>"));
    // Reproducible damage: every run tries the same.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    for n in 0..60 {
        for (good, kind) in [(&pdf, "pdf"), (&docx, "docx")] {
            let mut bytes = good.clone();
            for _ in 0..=n % 6 {
                let at = next(bytes.len());
                bytes[at] = next(256) as u8;
            }
            if n % 4 == 0 {
                bytes.truncate(next(good.len()));
            }
            bytes.extend(format!("%{n}").into_bytes());
            folder.put(&format!("{n}.{kind}"), bytes);
        }
    }
    folder.put("nested.html", "<div>".repeat(50_000));
    folder.put("nested.md", "> ".repeat(20_000) + "quoted");
    folder.put(
        "nested.pdf",
        format!("%PDF-1.4\n1 0 obj\n{}\nendobj\ntrailer\n<</Root 1 0 R>>", "[".repeat(100_000)),
    );
    // Brackets without end where the page's text is.
    folder.put("stream.pdf", common::pdf(&[&format!("x) Tj {} (y", "[".repeat(200_000))]));
    let mut config = folder.config(Mode::Once);
    // html2text takes quadratic time over deep nesting: what the time limit is for.
    config.parser_timeout = Duration::from_secs(5);
    let recorder = Arc::new(Recorder::default());
    let summary = Pipeline::new(config).unwrap().run(recorder.clone(), &Shutdown::new()).unwrap();
    recorder.check_order();
    assert_eq!(recorder.ends(0).len(), 124);
    assert_eq!(summary.completed + summary.failed + summary.skipped, 124);
    for event in recorder.all() {
        if let PipelineEvent::Failed { file, error_type, message, .. } = event {
            assert!(
                ["ExtractionError", "ParserPanic", "Timeout", "Encrypted"].contains(&error_type),
                "{message}"
            );
            println!("{}: {error_type}: {message}", file.path);
        }
    }
}

#[test]
fn what_cannot_work_is_refused_before_the_start() {
    let folder = Folder::new();
    folder.put("file", "x");
    let refused = |change: &dyn Fn(&mut ragpulse_demo_pipeline::Config)| {
        let mut config = folder.config(Mode::Once);
        change(&mut config);
        Pipeline::new(config).err().unwrap()
    };
    assert!(matches!(refused(&|c| c.workers = 0), PipelineError::Config(_)));
    assert!(matches!(refused(&|c| c.chunk_overlap = c.chunk_size), PipelineError::Config(_)));
    assert!(matches!(refused(&|c| c.root = c.root.join("missing")), PipelineError::Root { .. }));
    assert!(matches!(refused(&|c| c.root = c.root.join("file")), PipelineError::Root { .. }));
    let store = refused(&|c| c.store = c.root.join("file/store.db"));
    assert!(matches!(store, PipelineError::Store(_)), "{store}");
}

#[test]
fn a_store_inside_the_folder_is_not_ingested() {
    let folder = Folder::new();
    folder.put("a.txt", "text");
    let mut config = folder.config(Mode::Once);
    config.store = folder.path("store.db");
    let recorder = Arc::new(Recorder::default());
    Pipeline::new(config).unwrap().run(recorder.clone(), &Shutdown::new()).unwrap();
    assert_eq!(recorder.ends(0).into_keys().collect::<Vec<_>>(), ["a.txt"]);
}
