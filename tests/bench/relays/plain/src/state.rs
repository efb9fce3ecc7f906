//! The last state of each pipeline: the status dict of the reference application, kept by what passes.
//!
//! *What may come in:* any event. *What it never does:* order, sequence or keep events.

use std::collections::HashMap;
use std::sync::Mutex;

use serde_json::{Map, Value, json};

/// How many ended files are shown, as in the reference's dict.
const COMPLETED: usize = 10;
const FAILED: usize = 5;

/// What is known of all pipelines.
#[derive(Default)]
pub(crate) struct States(Mutex<HashMap<String, Map<String, Value>>>);

impl States {
    /// Takes note of an event.
    pub(crate) fn apply(&self, pipeline: &str, event: &str, data: &Value) {
        let mut states = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !states.contains_key(pipeline) {
            states.insert(pipeline.to_owned(), fresh(pipeline));
        }
        let Some(state) = states.get_mut(pipeline) else { return };
        let file = &data["file"];
        match event {
            "pipeline:online" | "pipeline:offline" => {
                state.insert("status".into(), event["pipeline:".len()..].into());
                if let Some(kind) = data.get("pipeline_type") {
                    state.insert("pipeline_type".into(), kind.clone());
                }
            }
            "file:processing" => {
                remove(state, "files_processing", &file["name"]);
                push(state, "files_processing", file.clone(), usize::MAX);
            }
            "file:completed" => end(state, file, "files_completed", COMPLETED, "total_processed"),
            "file:failed" => end(state, file, "files_failed", FAILED, "total_failed"),
            "status:update" => {
                let changes = data["changes"].as_object().cloned().unwrap_or_default();
                state.extend(changes);
            }
            _ => {}
        }
    }

    /// The state of a pipeline as it is sent to who subscribes.
    pub(crate) fn of(&self, pipeline: &str) -> Value {
        let states = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        Value::Object(states.get(pipeline).cloned().unwrap_or_else(|| fresh(pipeline)))
    }
}

fn fresh(pipeline: &str) -> Map<String, Value> {
    let state = json!({
        "pipeline_id": pipeline, "status": "offline", "files_processing": [], "files_completed": [], "files_failed": [],
        "total_processed": 0, "total_failed": 0,
    });
    state.as_object().cloned().unwrap_or_default()
}

fn end(state: &mut Map<String, Value>, file: &Value, list: &str, most: usize, total: &str) {
    remove(state, "files_processing", &file["name"]);
    push(state, list, file.clone(), most);
    let count = state.get(total).and_then(Value::as_u64).unwrap_or(0);
    state.insert(total.into(), (count + 1).into());
}

fn remove(state: &mut Map<String, Value>, list: &str, name: &Value) {
    if let Some(files) = state.get_mut(list).and_then(Value::as_array_mut) {
        files.retain(|file| file["name"] != *name);
    }
}

fn push(state: &mut Map<String, Value>, list: &str, file: Value, most: usize) {
    if let Some(files) = state.get_mut(list).and_then(Value::as_array_mut) {
        files.push(file);
        if files.len() > most {
            files.remove(0);
        }
    }
}
