//! A folder made at run time, a sink that remembers, and a way to wait for what it heard.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub)]

use std::collections::BTreeMap;
use std::io::{Cursor, Write as _};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use ragpulse_demo_pipeline::{Config, Mode, Pipeline, PipelineEvent, Shutdown, Sink, Summary};

/// Longer than any of this can take on a machine that does other things too.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Remembers all events.
#[derive(Default)]
pub struct Recorder {
    events: Mutex<Vec<PipelineEvent>>,
    news: Condvar,
}

impl Sink for Recorder {
    fn event(&self, event: PipelineEvent) {
        self.events.lock().unwrap().push(event);
        self.news.notify_all();
    }
}

impl Recorder {
    pub fn all(&self) -> Vec<PipelineEvent> {
        self.events.lock().unwrap().clone()
    }

    pub fn len(&self) -> usize {
        self.events.lock().unwrap().len()
    }

    /// Waits until something that was said at or after `from` fits, and answers where the next begins.
    pub fn wait(&self, from: usize, what: &str, fits: impl Fn(&PipelineEvent) -> bool) -> usize {
        let deadline = Instant::now() + PATIENCE;
        let mut events = self.events.lock().unwrap();
        loop {
            if let Some(at) = events.iter().skip(from).position(&fits) {
                return from + at + 1;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no {what} among {:#?}", &events[from.min(events.len())..]);
            events = self.news.wait_timeout(events, left).unwrap().0;
        }
    }

    /// Waits for the end of `path`, in the words of [`word`].
    pub fn wait_end(&self, from: usize, path: &str, end: &str) -> usize {
        self.wait(from, &format!("{end} of {path}"), |e| {
            e.is_end() && e.file().is_some_and(|f| f.path == path) && word(e) == end
        })
    }

    /// The ends of each file, in order.
    pub fn ends(&self, from: usize) -> BTreeMap<String, Vec<String>> {
        let mut ends: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for event in self.all().iter().skip(from).filter(|e| e.is_end()) {
            ends.entry(event.file().unwrap().path.clone()).or_default().push(word(event));
        }
        ends
    }

    /// What must hold of every run: online first, offline last, and for each file queued, then processing at most
    /// once, then progress that does not fall, then one end, over and over.
    pub fn check_order(&self) {
        let events = self.all();
        assert!(matches!(events.first(), Some(PipelineEvent::Online { .. })), "{:?}", events.first());
        assert!(matches!(events.last(), Some(PipelineEvent::Offline { .. })), "{:?}", events.last());
        let mut open: BTreeMap<String, (u8, f64)> = BTreeMap::new();
        for event in &events {
            let Some(file) = event.file() else { continue };
            match event {
                PipelineEvent::Queued { .. } => {
                    assert!(open.insert(file.id.clone(), (0, 0.0)).is_none(), "queued twice: {file:?}");
                }
                PipelineEvent::Processing { .. } => {
                    let state = open.get_mut(&file.id).unwrap_or_else(|| panic!("not queued: {file:?}"));
                    assert_eq!(state.0, 0, "processing twice: {file:?}");
                    state.0 = 1;
                }
                PipelineEvent::Progress { progress, .. } => {
                    let state = open.get_mut(&file.id).unwrap_or_else(|| panic!("not queued: {file:?}"));
                    assert!(state.0 == 1 && *progress >= state.1 && *progress <= 1.0, "{event:?} {state:?}");
                    state.1 = *progress;
                }
                _ => assert!(open.remove(&file.id).is_some(), "an end of what was not open: {event:?}"),
            }
        }
        assert!(open.is_empty(), "left open: {open:?}");
    }
}

/// An end in short: `completed`, `failed:Timeout`, `skipped:empty`, `deleted:2`.
pub fn word(event: &PipelineEvent) -> String {
    match event {
        PipelineEvent::Completed { .. } => "completed".into(),
        PipelineEvent::Failed { error_type, .. } => format!("failed:{error_type}"),
        PipelineEvent::Skipped { reason, .. } => format!("skipped:{reason}"),
        PipelineEvent::Deleted { chunks_deleted, .. } => format!("deleted:{chunks_deleted}"),
        other => panic!("not an end: {other:?}"),
    }
}

/// A folder to ingest and a place for the store, both gone with it.
pub struct Folder {
    dir: tempfile::TempDir,
}

impl Folder {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("in")).unwrap();
        Self { dir }
    }

    pub fn root(&self) -> PathBuf {
        self.dir.path().join("in")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    pub fn put(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    pub fn config(&self, mode: Mode) -> Config {
        let mut config = Config::new(self.root(), self.dir.path().join("store.db"));
        config.mode = mode;
        config.debounce = Duration::from_millis(50);
        config.workers = 2;
        config
    }

    /// Goes over the folder once.
    pub fn once(&self) -> (Arc<Recorder>, Pipeline, Summary) {
        let recorder = Arc::new(Recorder::default());
        let pipeline = Pipeline::new(self.config(Mode::Once)).unwrap();
        let summary = pipeline.run(recorder.clone(), &Shutdown::new()).unwrap();
        recorder.check_order();
        (recorder, pipeline, summary)
    }
}

/// A pipeline that runs beside the test, and stops with it.
pub struct Running {
    pub recorder: Arc<Recorder>,
    pub shutdown: Shutdown,
    thread: Option<std::thread::JoinHandle<Summary>>,
}

impl Running {
    pub fn start(pipeline: Pipeline) -> Self {
        let (recorder, shutdown) = (Arc::new(Recorder::default()), Shutdown::new());
        let (sink, switch) = (recorder.clone(), shutdown.clone());
        let thread = std::thread::spawn(move || pipeline.run(sink, &switch).unwrap());
        Self { recorder, shutdown, thread: Some(thread) }
    }

    /// Stops it and checks all that it said.
    pub fn stop(mut self) -> Summary {
        self.shutdown.trigger();
        let summary = self.thread.take().unwrap().join().unwrap();
        self.recorder.check_order();
        summary
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.trigger();
    }
}

/// A valid PDF with one line of text on each page; no text layer on pages whose line is empty.
pub fn pdf(lines: &[&str]) -> Vec<u8> {
    let mut objects: Vec<String> = vec!["<< /Type /Catalog /Pages 2 0 R >>".into()];
    let kids: Vec<String> = (0..lines.len()).map(|n| format!("{} 0 R", 4 + 2 * n)).collect();
    objects.push(format!("<< /Type /Pages /Kids [{}] /Count {} >>", kids.join(" "), lines.len()));
    objects.push("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".into());
    for (n, line) in lines.iter().enumerate() {
        objects.push(format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents {} 0 R \
             /Resources << /Font << /F1 3 0 R >> >> >>",
            5 + 2 * n
        ));
        let content = if line.is_empty() {
            "0 0 595 842 re f".to_owned()
        } else {
            format!("BT /F1 12 Tf 72 720 Td ({line}) Tj ET")
        };
        objects.push(format!("<< /Length {} >>\nstream\n{content}\nendstream", content.len()));
    }
    let (mut out, mut offsets) = ("%PDF-1.4\n".to_owned(), Vec::new());
    for (n, object) in objects.iter().enumerate() {
        offsets.push(out.len());
        out.push_str(&format!("{} 0 obj\n{object}\nendobj\n", n + 1));
    }
    let xref = out.len();
    out.push_str(&format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1));
    for offset in offsets {
        out.push_str(&format!("{offset:010} 00000 n \n"));
    }
    let size = objects.len() + 1;
    out.push_str(&format!("trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{xref}\n%%EOF\n"));
    out.into_bytes()
}

/// A DOCX with this body inside `<w:body>`.
pub fn docx(body: &str) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    for (name, content) in [
        (
            "[Content_Types].xml",
            "<Types xmlns=\"http://schemas.openxmlformats.org/package/2006/content-types\"/>".to_owned(),
        ),
        (
            "word/document.xml",
            format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?><w:document xmlns:w=\"http://schemas.openxmlformats.org/\
                 wordprocessingml/2006/main\" xmlns:mc=\"http://schemas.openxmlformats.org/markup-compatibility/\
                 2006\"><w:body>{body}</w:body></w:document>"
            ),
        ),
    ] {
        zip.start_file(name, options).unwrap();
        zip.write_all(content.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}
