//! Models for tests: what happens in them is events as a hub sends them.

use std::sync::Arc;
use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ragpulse_client::{ConnectionStatus, Transport, What};
use ragpulse_protocol::status::{Counts, Limits};
use ragpulse_protocol::{Event, FileState, FileStatus, PipelineId, PipelineStatus, Timestamp};
use serde_json::{Value, json};

use super::Model;
use super::keys::Action;

/// When scenes begin: 2026-05-01T10:00:00Z.
pub(crate) const START: i64 = 1_777_629_600_000;

/// A model, the time in it, and how far each pipeline is.
pub(crate) struct Scene {
    pub(crate) model: Model,
    pub(crate) millis: i64,
    seqs: std::collections::BTreeMap<String, u64>,
}

pub(crate) fn connection(
    transport: Option<Transport>,
    cause: Option<ragpulse_client::Cause>,
) -> ConnectionStatus {
    let mut connection = ConnectionStatus::default();
    connection.transport = transport;
    connection.cause = cause;
    connection
}

impl Scene {
    pub(crate) fn empty() -> Self {
        let mut model = Model::new("http://127.0.0.1:8103/".to_owned());
        model.hub_clock(Duration::ZERO, START);
        Self { model, millis: 0, seqs: Default::default() }
    }

    pub(crate) fn connected() -> Self {
        let mut scene = Self::empty();
        scene.tell(None, What::Connection(connection(Some(Transport::Websocket), None)));
        scene.model.latency = Some(Duration::from_millis(12));
        scene
    }

    pub(crate) fn tell(&mut self, pipeline: Option<&str>, what: What) {
        let elapsed = Duration::from_millis(self.millis as u64);
        let pipeline = pipeline.map(|id| PipelineId::new(id).unwrap());
        self.model.update(elapsed, pipeline, what);
    }

    /// An event now.
    pub(crate) fn event(&mut self, pipeline: &str, name: &str, own: Value) {
        let event = self.made(pipeline, name, own);
        self.tell(Some(pipeline), What::Event(Box::new(event)));
    }

    /// The next event of a pipeline, not yet told.
    pub(crate) fn made(&mut self, pipeline: &str, name: &str, own: Value) -> Event {
        let seq = self.seqs.entry(pipeline.to_owned()).or_default();
        *seq += 1;
        let at = Timestamp::from_millis(START + self.millis).to_string();
        let mut data = json!({
            "pipeline_id": pipeline, "pipeline_type": "local_files", "epoch": "e1", "seq": *seq,
            "timestamp": at, "received_at": at,
        });
        data.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
        Event::from_value(name, data).unwrap()
    }

    pub(crate) fn online(&mut self, pipeline: &str) {
        self.event(
            pipeline,
            "pipeline:online",
            json!({ "status": "online", "started_at": "2026-05-01T10:00:00Z", "lease_seconds": 120 }),
        );
    }

    pub(crate) fn file(&mut self, pipeline: &str, name: &str, file: &str, own: Value) {
        let mut data = json!({ "file": { "id": file, "name": file } });
        data.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
        self.event(pipeline, name, data);
    }

    pub(crate) fn queued(&mut self, pipeline: &str, file: &str) {
        self.file(pipeline, "file:queued", file, json!({ "change": "created" }));
    }

    pub(crate) fn processing(&mut self, pipeline: &str, file: &str, stage: &str) {
        self.file(pipeline, "file:processing", file, json!({ "processing_stage": stage }));
    }

    pub(crate) fn progress(&mut self, pipeline: &str, file: &str, stage: &str, part: f64) {
        self.file(pipeline, "file:progress", file, json!({ "processing_stage": stage, "progress": part }));
    }

    pub(crate) fn completed(&mut self, pipeline: &str, file: &str) {
        let results = json!({ "chunks_created": 1_234, "processing_duration": 4.2 });
        self.file(pipeline, "file:completed", file, json!({ "success": true, "results": results }));
    }

    pub(crate) fn failed(&mut self, pipeline: &str, file: &str, kind: &str, message: &str) {
        let error = json!({ "type": kind, "message": message, "stage": "extraction", "retryable": false });
        self.file(pipeline, "file:failed", file, json!({ "success": false, "error": error }));
    }

    pub(crate) fn wait(&mut self, millis: i64) {
        self.millis += millis;
        self.model.tick(Duration::from_millis(self.millis as u64));
    }

    pub(crate) fn press(&mut self, code: KeyCode) -> Action {
        self.model.key(KeyEvent::new(code, KeyModifiers::NONE))
    }

    pub(crate) fn type_text(&mut self, text: &str) {
        for c in text.chars() {
            self.press(KeyCode::Char(c));
        }
    }

    /// A morning's work: two pipelines, files in every state, wide names, one reporter that is late.
    pub(crate) fn busy() -> Self {
        let mut scene = Self::connected();
        scene.online("contracts");
        scene.online("wiki");
        for file in ["handbook.pdf", "prices-2026.xlsx", "報告書 2026年.pdf", "minutes.md"] {
            scene.queued("contracts", file);
        }
        for file in ["archive-1.pdf", "archive-2.pdf", "scan.tiff", "notes.txt"] {
            scene.processing("contracts", file, "extraction");
            scene.wait(1_500);
            match file {
                "scan.tiff" => {
                    scene.failed("contracts", file, "UnsupportedFormat", "TIFF pages cannot be read")
                }
                "notes.txt" => {
                    scene.file("contracts", "file:skipped", file, json!({ "reason": "unchanged" }));
                }
                _ => scene.completed("contracts", file),
            }
        }
        scene.processing("wiki", "Start page", "chunking");
        scene.failed("wiki", "Broken page", "Timeout", "the wiki did not answer within 30 s");
        scene.processing("contracts", "handbook.pdf", "extraction");
        scene.processing("contracts", "報告書 2026年.pdf", "embedding");
        for step in 1..=6_u32 {
            scene.wait(1_000);
            scene.file(
                "contracts",
                "file:progress",
                "handbook.pdf",
                json!({
                    "processing_stage": "extraction", "progress": f64::from(step) * 0.1,
                    "current": step * 31, "total": 310, "unit": "pages",
                }),
            );
            scene.file(
                "contracts",
                "file:progress",
                "報告書 2026年.pdf",
                json!({ "processing_stage": "embedding", "progress": 0.37, "eta_seconds": 125.0 }),
            );
        }
        scene.tell(Some("wiki"), What::Liveness(ragpulse_protocol::Liveness::Late));
        scene.wait(1_000);
        scene
    }

    /// One pipeline that lists so many files, most of them queued.
    pub(crate) fn large(files: u64) -> Self {
        let mut scene = Self::connected();
        let id = PipelineId::new("large").unwrap();
        let limits = Limits { open: u32::MAX, ended: u32::MAX };
        let mut state = PipelineStatus::opening(
            id,
            ragpulse_protocol::PipelineType::new("local_files").unwrap(),
            ragpulse_protocol::Epoch::new("e1").unwrap(),
            Timestamp::from_millis(START),
            limits,
        );
        state.files = (1..=files)
            .map(|n| {
                let kind = if n % 10 == 0 { FileState::Failed } else { FileState::Queued };
                FileStatus::new(format!("{n}"), format!("file-{n:05}.pdf"), kind, n)
            })
            .collect();
        state.counts = Counts { queued: files - files / 10, failed: files / 10, ..Counts::default() };
        state.seq = files;
        scene.seqs.insert("large".to_owned(), files);
        scene.tell(Some("large"), What::Snapshot { state: Arc::new(state), reason: None });
        scene
    }
}
