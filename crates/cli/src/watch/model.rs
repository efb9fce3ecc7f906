//! What the view knows and shows, without terminal, network or clock.
//!
//! *What may come in:* updates in the order of the subscriber, keys, answers to what was asked, and the time. *What it never
//! does:* I/O, or grow beyond what the hub lists: it keeps each pipeline's state, and of the rest only what has a bound.

pub(crate) mod cursor;
pub(crate) mod keys;
pub(crate) mod pipeline;
pub(crate) mod timeline;
pub(crate) mod view;

use std::collections::BTreeMap;
use std::time::Duration;

use ragpulse_client::{ConnectionStatus, What};
use ragpulse_protocol::PipelineId;

use super::rate::Rate;
use cursor::Cursor;
use pipeline::Pipeline;
use timeline::Timeline;

/// A part of the screen that takes keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pane {
    Pipelines,
    Files,
    Failures,
}

impl Pane {
    pub(crate) const ALL: [Self; 3] = [Self::Pipelines, Self::Files, Self::Failures];
}

/// A file anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileKey {
    pub(crate) pipeline: PipelineId,
    pub(crate) file: String,
}

/// What the view knows.
#[derive(Debug)]
pub(crate) struct Model {
    /// The hub's address, for people.
    pub(crate) hub: String,
    pub(crate) pipelines: BTreeMap<PipelineId, Pipeline>,
    pub(crate) connection: ConnectionStatus,
    /// Whether updates have ever come.
    pub(crate) connected_before: bool,
    pub(crate) latency: Option<Duration>,
    /// All events, by when the hub received them.
    pub(crate) events: Rate,
    /// The present, by the hub's clock in milliseconds since 1970, as far as it is known.
    pub(crate) now: i64,
    pub(crate) focus: Pane,
    /// What names have to contain, for each pane.
    pub(crate) filters: [String; 3],
    /// Whether keys go to the filter of the pane.
    pub(crate) typing: bool,
    /// Whether only files that failed are listed.
    pub(crate) failures_only: bool,
    pub(crate) help: bool,
    pub(crate) pipeline_cursor: Cursor<PipelineId>,
    pub(crate) file_cursor: Cursor<String>,
    pub(crate) failure_cursor: Cursor<FileKey>,
    pub(crate) timeline: Option<Timeline>,
    /// How much the hub's clock is before the time that was handed in, in milliseconds.
    ahead: Option<i64>,
    tickets: u64,
}

impl Model {
    pub(crate) fn new(hub: String) -> Self {
        Self {
            hub,
            pipelines: BTreeMap::new(),
            connection: ConnectionStatus::default(),
            connected_before: false,
            latency: None,
            events: Rate::default(),
            now: 0,
            focus: Pane::Files,
            filters: Default::default(),
            typing: false,
            failures_only: false,
            help: false,
            pipeline_cursor: Cursor::default(),
            file_cursor: Cursor::default(),
            failure_cursor: Cursor::default(),
            timeline: None,
            ahead: None,
            tickets: 0,
        }
    }

    /// The hub's clock stood at `hub` milliseconds since 1970 when `elapsed` had passed here, or later.
    pub(crate) fn hub_clock(&mut self, elapsed: Duration, hub: i64) {
        let ahead = hub.saturating_sub(millis(elapsed));
        // What was on its way the shortest time comes nearest to the truth.
        self.ahead = Some(self.ahead.map_or(ahead, |known| known.max(ahead)));
        self.tick(elapsed);
    }

    /// Time has passed: so much since the view began.
    pub(crate) fn tick(&mut self, elapsed: Duration) {
        self.now = self.ahead.unwrap_or_default().saturating_add(millis(elapsed));
    }

    /// Whether what is shown changes with the time alone.
    pub(crate) fn moves(&self) -> bool {
        self.events.within(self.now, 60) > 0
            || self
                .pipelines
                .values()
                .any(|pipeline| pipeline.left(self.now).is_some() || pipeline.counts_down())
    }

    /// One update of the subscriber, about a pipeline or the connection, which came after `elapsed`.
    pub(crate) fn update(&mut self, elapsed: Duration, pipeline: Option<PipelineId>, what: What) {
        match (pipeline, what) {
            (_, What::Connection(connection)) => {
                self.connected_before |= connection.transport.is_some();
                self.connection = connection;
            }
            (Some(id), What::Event(event)) => {
                let received = event.shared().received_at.as_millis();
                self.hub_clock(elapsed, received);
                self.events.count(received);
                if let Some(timeline) = &mut self.timeline {
                    timeline.event(&id, &event);
                }
                self.pipeline(id).event(&event);
            }
            (Some(id), What::Snapshot { state, .. }) => self.pipeline(id).snapshot(state),
            (Some(id), What::Liveness(liveness)) => self.pipeline(id).liveness(liveness),
            (Some(id), What::Reset | What::Removed) => {
                self.pipelines.remove(&id);
            }
            (Some(id), What::Ended(code)) => self.pipeline(id).ended = Some(code),
            _ => {}
        }
    }

    fn pipeline(&mut self, id: PipelineId) -> &mut Pipeline {
        self.pipelines.entry(id).or_default()
    }

    /// The timeline that was asked for under this ticket, or why there is none.
    pub(crate) fn history(&mut self, ticket: u64, answer: Result<timeline::Past, String>) {
        if let Some(timeline) = self.timeline.as_mut().filter(|timeline| timeline.ticket == ticket) {
            timeline.answer(answer);
        }
    }

    /// Opens the timeline of a file, which is still to be asked for.
    fn open(&mut self, key: FileKey) -> keys::Action {
        self.tickets += 1;
        let name = self.pipelines.get(&key.pipeline).and_then(|pipeline| pipeline.state.as_ref());
        let name = name
            .and_then(|state| state.files.get(&key.file))
            .map(|file| file.path.as_ref().unwrap_or(&file.name));
        // Names may repeat, so where it is says more.
        let name = name.unwrap_or(&key.file).clone();
        self.timeline = Some(Timeline::new(self.tickets, key.clone(), name));
        keys::Action::Ask { ticket: self.tickets, key }
    }
}

fn millis(elapsed: Duration) -> i64 {
    i64::try_from(elapsed.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
pub(super) mod scene;
#[cfg(test)]
mod tests;
