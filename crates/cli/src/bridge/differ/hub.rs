//! A hub for tests: takes each event id once, fills in what a hub fills in, and folds by the protocol's reducer.

use std::collections::HashSet;

use ragpulse_protocol::reduce::apply;
use ragpulse_protocol::report::Report;
use ragpulse_protocol::status::Limits;
use ragpulse_protocol::{
    Epoch, Event, FileState, Object, PipelineId, PipelineStatus, PipelineType, ReportedEvent, Timestamp,
};
use serde_json::{Value, json};

pub(super) struct Hub {
    pub(super) state: Option<PipelineStatus>,
    ids: HashSet<String>,
    /// Name, file and note of each event taken, in order.
    pub(super) log: Vec<String>,
    /// How many events did not fit the state.
    pub(super) anomalies: usize,
}

impl Hub {
    pub(super) fn new() -> Self {
        Self { state: None, ids: HashSet::new(), log: Vec::new(), anomalies: 0 }
    }

    pub(super) fn take_all(&mut self, events: Vec<ReportedEvent>, now: Timestamp) {
        for event in events {
            self.take(event, now);
        }
    }

    pub(super) fn take(&mut self, event: ReportedEvent, now: Timestamp) {
        let id = event.event_id.clone().expect("every event of a bridge has an id");
        assert!(id.len() <= 128);
        if !self.ids.insert(id) {
            return;
        }
        // As a hub does: it is what the contract says, or it is refused.
        Report::decode(&event.event, Value::Object(event.data.clone()))
            .expect(&event.event)
            .expect(&event.event);
        if event.event == "pipeline:offline" {
            self.interrupt(now);
        }
        self.append(event, now);
    }

    /// The hub ends what is open: its reporter fell silent.
    pub(super) fn interrupt(&mut self, now: Timestamp) {
        let open: Vec<(String, String)> = self
            .state
            .iter()
            .flat_map(|state| {
                state.files.in_state(FileState::Processing).map(|file| (file.id.clone(), file.name.clone()))
            })
            .collect();
        for (id, name) in open {
            let data = json!({
                "file": { "id": id, "name": name },
                "error": { "type": "Interrupted", "message": "silence", "retryable": true },
            });
            let data = data.as_object().cloned().unwrap();
            self.append(
                ReportedEvent { event: "file:failed".into(), event_id: None, timestamp: None, data },
                now,
            );
        }
    }

    /// The hub counts the pipeline as lost.
    pub(super) fn lapse(&mut self, now: Timestamp) {
        self.interrupt(now);
        let data = Object::from_iter([("reason".to_owned(), json!("timeout"))]);
        self.append(
            ReportedEvent { event: "pipeline:offline".into(), event_id: None, timestamp: None, data },
            now,
        );
    }

    fn append(&mut self, event: ReportedEvent, now: Timestamp) {
        let (pipeline, kind) = (PipelineId::new("p").unwrap(), PipelineType::new("local_files").unwrap());
        let state = self.state.get_or_insert_with(|| {
            PipelineStatus::opening(pipeline, kind, Epoch::new("e").unwrap(), now, Limits::default())
        });
        let at = event.timestamp.unwrap_or(now);
        let mut data = event.data;
        let note = [
            data.get("error").map(|e| e.get("type").cloned().unwrap_or(json!("Error"))),
            data.get("warnings").cloned(),
        ];
        let note = note.into_iter().flatten().map(|v| v.to_string()).collect::<String>();
        let mut fill = |key: &str, value: Value| {
            data.entry(key).or_insert(value);
        };
        for (key, value) in [
            ("pipeline_id", json!("p")),
            ("pipeline_type", json!("local_files")),
            ("epoch", json!("e")),
            ("seq", json!(state.seq + 1)),
            ("timestamp", json!(at)),
            ("received_at", json!(now)),
        ] {
            fill(key, value);
        }
        match event.event.as_str() {
            "pipeline:online" => {
                fill("status", json!("online"));
                fill("started_at", json!(at));
            }
            "pipeline:offline" => {
                fill("status", json!("offline"));
                fill("shutdown_at", json!(at));
                fill("reason", json!("normal_shutdown"));
            }
            "file:completed" => {
                fill("success", json!(true));
                fill("results", json!({}));
            }
            "file:failed" => {
                fill("success", json!(false));
                let error = data["error"].as_object_mut().unwrap();
                error.entry("type").or_insert(json!("Error"));
                error.entry("retryable").or_insert(json!(false));
            }
            _ => {}
        }
        let file = data.get("file").map(|file| format!(" {}", file["id"].as_str().unwrap()));
        self.log.push(format!(
            "{}{}{}",
            event.event,
            file.unwrap_or_default(),
            note.replace('"', " ").trim_end()
        ));
        let event = Event::from_value(&event.event, Value::Object(data)).unwrap();
        self.anomalies += apply(state, &event).len();
    }

    /// Completed and failed, without those that were only interrupted.
    pub(super) fn totals(&self) -> (u64, u64) {
        let Some(state) = &self.state else { return (0, 0) };
        (state.total_processed, state.total_failed)
    }

    pub(super) fn interrupted(&self) -> u64 {
        let failed = self.state.iter().flat_map(|state| state.files.in_state(FileState::Failed));
        failed.filter(|file| file.error.as_ref().is_some_and(|error| error.is_interrupted())).count() as u64
    }

    pub(super) fn processing(&self) -> u64 {
        self.state.as_ref().map_or(0, |state| state.counts.processing)
    }

    /// What was taken since the last call, but for keys.
    pub(super) fn news(&mut self) -> Vec<String> {
        let log = std::mem::take(&mut self.log);
        log.into_iter().filter(|line| line != "status:update").collect()
    }
}
