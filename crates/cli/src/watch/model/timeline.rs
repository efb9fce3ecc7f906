//! What happened to one file: asked of the hub's history, and followed from then on.
//!
//! *What it never does:* hold more than [`KEPT`] rows. Progress of one stage is one row, the newest.

use ragpulse_protocol::{Epoch, Event, PipelineId};

use super::FileKey;

/// How many rows are kept, the newest ones.
pub(crate) const KEPT: usize = 2_000;

/// What the hub told of the past.
#[derive(Debug, Default)]
pub(crate) struct Past {
    pub(crate) events: Vec<Event>,
    /// Whether there was more than was asked for.
    pub(crate) cut: bool,
}

/// One file's events.
#[derive(Debug)]
pub(crate) struct Timeline {
    pub(crate) ticket: u64,
    pub(crate) key: FileKey,
    pub(crate) name: String,
    /// `None` while the hub is asked; else why there is nothing.
    pub(crate) failure: Option<String>,
    pub(crate) waiting: bool,
    /// Whether older rows are left out.
    pub(crate) cut: bool,
    pub(crate) rows: Vec<Event>,
    /// How many rows are below the screen; 0 follows what comes.
    pub(crate) below: usize,
}

impl Timeline {
    pub(crate) fn new(ticket: u64, key: FileKey, name: String) -> Self {
        Self { ticket, key, name, failure: None, waiting: true, cut: false, rows: Vec::new(), below: 0 }
    }

    pub(crate) fn answer(&mut self, answer: Result<Past, String>) {
        self.waiting = false;
        match answer {
            Err(failure) => self.failure = Some(failure),
            Ok(past) => {
                self.cut = past.cut;
                // What came live while the hub was asked may be in the answer too.
                let live = std::mem::take(&mut self.rows);
                past.events.into_iter().chain(live).for_each(|event| self.push(event));
            }
        }
    }

    pub(crate) fn event(&mut self, pipeline: &PipelineId, event: &Event) {
        if *pipeline == self.key.pipeline && event.file().is_some_and(|file| file.id == self.key.file) {
            self.push(event.clone());
        }
    }

    fn push(&mut self, event: Event) {
        let last = self.rows.last();
        if last.is_some_and(|last| {
            let (last, next) = (last.shared(), event.shared());
            same(last.epoch, next.epoch) && next.seq <= last.seq
        }) {
            return;
        }
        match (last, &event) {
            (Some(Event::FileProgress(last)), Event::FileProgress(next))
                if last.processing_stage == next.processing_stage =>
            {
                self.rows.pop();
            }
            _ if self.below > 0 => self.below += 1,
            _ => {}
        }
        self.rows.push(event);
        if self.rows.len() > KEPT {
            self.rows.remove(0);
            self.cut = true;
        }
        self.below = self.below.min(self.rows.len().saturating_sub(1));
    }

    pub(crate) fn scroll(&mut self, by: isize) {
        let most = self.rows.len().saturating_sub(1);
        self.below = self.below.saturating_add_signed(-by).min(most);
    }
}

fn same(a: &Epoch, b: &Epoch) -> bool {
    a == b
}
