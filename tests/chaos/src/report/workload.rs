//! What a pipeline would report: lives of files, with everything that can happen to one, and now and then something else.
//!
//! Each event carries a *mark*, which is its `event_id` and also a field of its payload: so that what was acknowledged can
//! be found in what was delivered.

use std::collections::BTreeMap;

use fastrand::Rng;
use ragpulse_protocol::contract::Class;
use ragpulse_protocol::{FileState, Object, ReportedEvent};
use serde_json::{Value, json};

/// The field that carries an event's mark.
pub(crate) const MARK: &str = "chaos_id";
/// How many files may be open before the workload would rather end some.
const OPEN: usize = 40;

const STAGES: &[&str] = &["scanning", "extraction", "chunking", "embedding", "storage"];

/// One event to be reported.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) mark: String,
    pub(crate) event: ReportedEvent,
}

impl Item {
    pub(crate) fn must_arrive(&self) -> bool {
        self.event.class() == Class::MustArrive
    }
}

#[derive(Debug, Clone)]
struct File {
    id: String,
    name: String,
    state: FileState,
    /// The last progress that was reported in this attempt.
    progress: Option<f64>,
    stage: usize,
}

/// The files of one reporter, and what it says of them.
#[derive(Debug)]
pub(crate) struct Workload {
    reporter: String,
    rng: Rng,
    events: u64,
    names: u64,
    files: Vec<File>,
    /// Of a hundred events, how many shall be progress.
    progress: u32,
    /// The lease that it asks for, in seconds.
    lease: Option<u32>,
}

impl Workload {
    pub(crate) fn new(reporter: &str, rng: Rng) -> Self {
        Self {
            reporter: reporter.to_owned(),
            rng,
            events: 0,
            names: 0,
            files: Vec::new(),
            progress: 35,
            lease: None,
        }
    }

    /// Asks for a lease of so many seconds.
    pub(crate) fn with_lease(mut self, seconds: u32) -> Self {
        self.lease = Some(seconds);
        self
    }

    pub(crate) fn reporter(&self) -> &str {
        &self.reporter
    }

    /// The first event of a pipeline.
    pub(crate) fn online(&mut self) -> Item {
        let mut data = json!({ "pipeline_type": "local_files", "watch_location": "./docs" });
        if let Some(seconds) = self.lease {
            data["lease_seconds"] = seconds.into();
        }
        self.item("pipeline:online", data)
    }

    /// What a reporter says after a hub has forgotten its pipeline, beside being online: what it is at.
    pub(crate) fn open_files(&mut self) -> Vec<Item> {
        let open: Vec<File> =
            self.files.iter().filter(|file| file.state == FileState::Processing).cloned().collect();
        open.iter().map(|file| self.item("file:processing", json!({ "file": reference(file) }))).collect()
    }

    /// Where each file stands by what was reported; those that were deleted are not there.
    pub(crate) fn expected(&self) -> BTreeMap<String, FileState> {
        self.files.iter().map(|file| (file.id.clone(), file.state)).collect()
    }

    /// The last progress of each file that is being processed.
    pub(crate) fn last_progress(&self) -> BTreeMap<String, f64> {
        let open = self.files.iter().filter(|file| file.state == FileState::Processing);
        open.filter_map(|file| Some((file.id.clone(), file.progress?))).collect()
    }

    /// The next event.
    pub(crate) fn next(&mut self) -> Item {
        let open = self.files.iter().filter(|file| file.state.is_open()).count();
        let dice = self.rng.u32(0..100);
        if dice < self.progress
            && let Some(item) = self.make_progress()
        {
            return item;
        }
        let item = match self.rng.u32(0..100) {
            _ if open > OPEN => self.end(),
            0..28 => None,
            28..60 => self.begin(),
            60..80 => self.end(),
            80..85 => self.again("file:retrying", &[FileState::Failed], FileState::Queued),
            85..90 => self.again("file:queued", ENDED, FileState::Queued),
            90..93 => self.delete(),
            93..96 => Some(self.update()),
            _ => Some(self.note()),
        };
        item.unwrap_or_else(|| self.queue())
    }

    fn item(&mut self, name: &str, data: Value) -> Item {
        self.events += 1;
        let mark = format!("{}-{}", self.reporter, self.events);
        let mut data = match data {
            Value::Object(data) => data,
            _ => Object::new(),
        };
        data.insert(MARK.to_owned(), mark.clone().into());
        let event =
            ReportedEvent { event: name.to_owned(), event_id: Some(mark.clone()), timestamp: None, data };
        Item { mark, event }
    }

    /// Any file in one of these states.
    fn pick(&mut self, states: &[FileState]) -> Option<usize> {
        let count = self.files.iter().filter(|file| states.contains(&file.state)).count();
        let chosen = self.rng.usize(0..count.max(1));
        let mut fitting = self.files.iter().enumerate().filter(|(_, file)| states.contains(&file.state));
        fitting.nth(chosen).map(|(at, _)| at)
    }

    fn queue(&mut self) -> Item {
        self.names += 1;
        let file = File {
            id: format!("{}/{}", self.reporter, self.names),
            name: format!("Übersicht {} – 報告.pdf", self.names % 97),
            state: FileState::Queued,
            progress: None,
            stage: 0,
        };
        let data = json!({ "file": reference(&file), "queue_position": self.names % 7 });
        self.files.push(file);
        self.item("file:queued", data)
    }

    fn begin(&mut self) -> Option<Item> {
        let at = self.pick(&[FileState::Queued])?;
        let file = &mut self.files[at];
        (file.state, file.progress, file.stage) = (FileState::Processing, None, 1);
        let data =
            json!({ "file": reference(file), "processing_stage": STAGES[1], "estimated_duration": 2.5 });
        Some(self.item("file:processing", data))
    }

    fn make_progress(&mut self) -> Option<Item> {
        let at = self.pick(&[FileState::Processing])?;
        let next_stage = self.rng.u32(0..10) == 0;
        let step = f64::from(self.rng.u32(1..200)) / 1000.0;
        let file = &mut self.files[at];
        if next_stage {
            (file.stage, file.progress) = ((file.stage + 1).min(STAGES.len() - 1), None);
        }
        let progress = (file.progress.unwrap_or(0.0) + step).min(1.0);
        file.progress = Some(progress);
        let data = json!({
            "file": reference(file), "processing_stage": STAGES[file.stage], "progress": progress, "unit": "pages",
        });
        Some(self.item("file:progress", data))
    }

    fn end(&mut self) -> Option<Item> {
        let at = self.pick(&[FileState::Processing]).or_else(|| self.pick(&[FileState::Queued]))?;
        let (state, name, mut data) = match self.rng.u32(0..20) {
            0..13 => (FileState::Completed, "file:completed", json!({ "results": { "chunks_created": 12 } })),
            13..16 => {
                let error =
                    json!({ "message": "the text layer is broken", "type": "PdfError", "retryable": true });
                (FileState::Failed, "file:failed", json!({ "error": error, "warnings": ["page 3"] }))
            }
            16..18 => (FileState::Skipped, "file:skipped", json!({ "reason": "unchanged" })),
            _ => (FileState::Cancelled, "file:cancelled", json!({ "requested_by": "chaos" })),
        };
        let file = &mut self.files[at];
        file.state = state;
        data["file"] = reference(file);
        Some(self.item(name, data))
    }

    fn again(&mut self, name: &str, from: &[FileState], to: FileState) -> Option<Item> {
        let at = self.pick(from)?;
        let file = &mut self.files[at];
        (file.state, file.progress) = (to, None);
        let data = json!({ "file": reference(file) });
        Some(self.item(name, data))
    }

    fn delete(&mut self) -> Option<Item> {
        let at = self.pick(ENDED)?;
        let file = self.files.swap_remove(at);
        Some(self.item("file:deleted", json!({ "file": reference(&file), "chunks_deleted": 3 })))
    }

    fn update(&mut self) -> Item {
        let changes = json!({ "is_checking": self.rng.bool(), "depth": self.rng.u32(0..9), "note": "ä\"\\" });
        self.item("status:update", json!({ "changes": changes }))
    }

    fn note(&mut self) -> Item {
        let data = json!({ "seq": 1, "nested": { "epoch": "not this one", "seq": 2 }, "list": [1, "]"] });
        // What looks like a field of the hub's must not confuse anybody; at the top it is not allowed.
        self.item("x:note", json!({ "inner": data }))
    }
}

const ENDED: &[FileState] =
    &[FileState::Completed, FileState::Failed, FileState::Skipped, FileState::Cancelled];

fn reference(file: &File) -> Value {
    json!({ "id": file.id, "name": file.name, "path": format!("docs/{}", file.name), "size": 48_213 })
}

#[cfg(test)]
mod tests {
    use ragpulse_protocol::contract::EVENTS;

    use super::*;

    #[test]
    fn everything_a_reporter_may_say_of_files_is_said_and_marks_are_unique() {
        let mut workload = Workload::new("r", Rng::with_seed(3));
        let items: Vec<Item> = (0..5_000).map(|_| workload.next()).collect();
        let marks: std::collections::HashSet<&str> = items.iter().map(|item| item.mark.as_str()).collect();
        assert_eq!(marks.len(), items.len());
        for event in EVENTS.iter().filter(|event| event.name.starts_with("file:")) {
            assert!(items.iter().any(|item| item.event.event == event.name), "{}", event.name);
        }
        let open = workload.expected().values().filter(|state| state.is_open()).count();
        assert!(open <= OPEN + 1, "{open}");
    }

    #[test]
    fn the_same_seed_says_the_same() {
        let say = |seed| {
            let mut workload = Workload::new("r", Rng::with_seed(seed));
            (0..200).map(|_| format!("{:?}", workload.next().event)).collect::<Vec<_>>()
        };
        assert_eq!(say(1), say(1));
        assert_ne!(say(1), say(2));
    }
}
