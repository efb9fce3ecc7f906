//! What one client was given of one pipeline, checked message by message: no hole, no repeat, no swap, and no snapshot
//! where a replay was to be had.
//!
//! By the apply rule a client survives a repeat or a hole. Here each is a failure: a hub shall not send one.

use std::sync::Arc;

use ragpulse_protocol::command::SubscribedPipeline;
use ragpulse_protocol::http::EventsAnswer;
use ragpulse_protocol::session::{Incoming, verdict};
use ragpulse_protocol::status::ResetReason;
use ragpulse_protocol::{Cursor, Epoch, PipelineId, PipelineStatus, ServerMessage, Session, Verdict};
use serde::Deserialize;
use serde_json::Value;

use super::Counts;
use crate::oracle::{Delivered, Oracle, Via};
use crate::report::workload::MARK;
use crate::run::Witness;

/// The last event of a pipeline.
const REMOVED: &str = "pipeline:removed";

/// What every message of a pipeline has, and what a check needs of it.
#[derive(Debug, Deserialize)]
struct Head {
    epoch: Epoch,
    seq: u64,
    chaos_id: Option<String>,
    reason: Option<ResetReason>,
}

impl Head {
    fn at(&self) -> Cursor {
        Cursor { epoch: self.epoch.clone(), seq: self.seq }
    }
}

/// The open question of a client.
#[derive(Debug, Default)]
struct Asked {
    cursor: Option<Cursor>,
    /// The answer is here, as far as it comes apart from the messages.
    answered: bool,
    /// A state has come since.
    given: bool,
}

/// Checks what one client is given.
#[derive(Debug)]
pub(crate) struct Tracker {
    pipeline: PipelineId,
    oracle: Arc<Oracle>,
    witness: Witness,
    at: Option<Cursor>,
    /// The state, where the client keeps one: it costs.
    session: Option<Session>,
    asked: Asked,
    /// A message could not be applied: only subscribing anew helps. Where the rules permit it.
    wants_resync: bool,
    counts: Counts,
}

impl Tracker {
    pub(crate) fn new(
        pipeline: PipelineId,
        oracle: Arc<Oracle>,
        witness: Witness,
        keeps_state: bool,
    ) -> Self {
        Self {
            pipeline,
            oracle,
            witness,
            at: None,
            session: keeps_state.then(Session::new),
            asked: Asked::default(),
            wants_resync: false,
            counts: Counts::default(),
        }
    }

    pub(crate) fn at(&self) -> Option<&Cursor> {
        self.at.as_ref()
    }

    pub(crate) fn state(&self) -> Option<&PipelineStatus> {
        self.session.as_ref().and_then(Session::state)
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    pub(crate) fn note(&self, text: impl Into<String>) {
        self.witness.journal().note(text);
    }

    pub(crate) fn fail(&mut self, what: impl Into<String>) {
        self.witness.fail(what);
    }

    pub(crate) fn wants_resync(&self) -> bool {
        self.wants_resync
    }

    /// The client subscribes: gives the cursor to ask with.
    pub(crate) fn asks(&mut self) -> Option<Cursor> {
        self.asked = Asked { cursor: self.at.clone(), ..Asked::default() };
        self.wants_resync = false;
        if let Some(session) = &mut self.session {
            session.resynced();
        }
        let from = self.at.as_ref().map_or_else(|| "nothing".to_owned(), ToString::to_string);
        self.note(format!("asks from {from}"));
        self.at.clone()
    }

    /// The answer to `subscribe`.
    pub(crate) fn answered(&mut self, answer: &SubscribedPipeline) {
        let SubscribedPipeline { recovered, replayed, reason, .. } = answer;
        self.note(format!("answer: recovered {recovered}, {replayed} replayed, {reason:?}"));
        self.asked.answered = true;
        let Some(asked) = self.asked.cursor.clone() else { return };
        if *recovered {
            self.counts.recovered += 1;
            if self.asked.given {
                self.fail("a snapshot came although the answer says that the sequence goes on");
            }
            return;
        }
        self.counts.reset += 1;
        let permitted = self.oracle.may_reset(&self.pipeline, Via::Socket, &asked, reason.as_ref(), None);
        self.check(permitted);
        if *reason == Some(ResetReason::UnknownPipeline) && !self.asked.given {
            // Unless the events of its new life have come already.
            self.forget();
        }
    }

    /// A message of the hub over a socket or a stream.
    pub(crate) fn message(&mut self, name: &str, text: &str, via: Via) {
        if matches!(name, "hub:closing" | "subscription:ended") {
            self.note(name);
            return;
        }
        let head: Head = match serde_json::from_str(text) {
            Ok(head) => head,
            Err(error) => return self.fail(format!("{name} cannot be read: {error}: {text}")),
        };
        match name {
            "pipeline:status" => self.snapshot(&head, via),
            "heartbeat" => self.heartbeat(&head),
            _ => self.event(name, &head, text, via),
        }
        if self.session.is_some() && !self.wants_resync {
            self.fold(name, text);
        }
    }

    /// The answer to a long poll.
    pub(crate) fn page(&mut self, answer: EventsAnswer) {
        match answer {
            EventsAnswer::Snapshot(answer) => {
                let mut state = *answer.snapshot;
                state.reason = answer.reason;
                self.message("pipeline:status", &to_text(&state), Via::Http);
            }
            EventsAnswer::Events(page) if page.reason == Some(ResetReason::UnknownPipeline) => {
                if let Some(asked) = self.asked.cursor.clone() {
                    self.counts.reset += 1;
                    let unknown = Some(&ResetReason::UnknownPipeline);
                    let permitted = self.oracle.may_reset(&self.pipeline, Via::Http, &asked, unknown, None);
                    self.check(permitted);
                }
                self.forget();
            }
            EventsAnswer::Events(page) => {
                if self.asked.cursor.is_some() && !page.events.is_empty() {
                    self.counts.recovered += 1;
                }
                for event in &page.events {
                    self.message(&event.event, &to_text(&event.data), Via::Http);
                }
                let reached = self.at.as_ref().map_or(0, |at| at.seq);
                // After its end nobody is anywhere.
                let has_ended = page.events.last().is_some_and(|event| event.event == REMOVED);
                if !has_ended && page.epoch.is_some() && page.seq != reached && !self.wants_resync {
                    self.fail(format!("a page says it reaches to {}, and its events to {reached}", page.seq));
                }
            }
        }
    }

    /// The hub does not know the pipeline: there is no state.
    fn forget(&mut self) {
        self.at = None;
        if let Some(session) = &mut self.session {
            session.reset();
        }
    }

    fn event(&mut self, name: &str, head: &Head, text: &str, via: Via) {
        let place = head.at();
        match verdict(self.at.as_ref(), Incoming::Event(&place)) {
            Verdict::Apply if name == REMOVED => {
                // Each hub makes it by itself, where it is, so it need not be the same everywhere.
                self.note(format!("removed at {place}"));
                if !self.oracle.was_emptied() {
                    self.fail(format!("{place} says that {} is gone, and nobody removed it", self.pipeline));
                }
                self.counts.events += 1;
                self.at = None;
                // What comes of its next life answers no question about this one.
                self.asked = Asked::default();
            }
            Verdict::Apply => {
                // Where it came parsed the text is not as it was, so it cannot be held against that of others.
                let text = matches!(via, Via::Socket | Via::Stream).then_some(text);
                let delivered = Delivered { name, mark: head.chaos_id.as_deref(), text };
                let same = self.oracle.saw(&self.pipeline, &place, delivered);
                self.check(same);
                self.witness.journal().event(&place);
                self.counts.events += 1;
                self.at = Some(place);
            }
            Verdict::Resync if name == REMOVED && self.oracle.was_emptied() => {
                // Who was behind when a pipeline went hears its end next: what is between cannot be had any more.
                self.note(format!("removed at {place}, after a hole"));
                self.forget();
                self.asked = Asked::default();
            }
            Verdict::Resync if self.may_be_new_life(&place) => {
                self.note(format!("{place} of a new life before the answer that tells of it"));
                self.wants_resync = true;
            }
            verdict => {
                let at = self.at.as_ref().map_or_else(|| "nothing".to_owned(), ToString::to_string);
                let what = if verdict == Verdict::Ignore { "a repeat or a swap" } else { "a hole" };
                self.fail(format!("{what}: {name} {place} after {at}"));
                self.wants_resync = true;
            }
        }
    }

    /// Where nothing is kept, events of a pipeline that was forgotten may overtake the answer that says so. Who was told
    /// where it is hears the end of one life before anything of the next.
    fn may_be_new_life(&self, event: &Cursor) -> bool {
        let other = self.at.as_ref().is_some_and(|at| at.epoch != event.epoch);
        self.wants_resync || (other && self.oracle.forgets() && !self.asked.answered)
    }

    fn snapshot(&mut self, head: &Head, via: Via) {
        self.counts.snapshots += 1;
        let place = head.at();
        self.note(format!("snapshot {place} ({:?})", head.reason));
        // A second one in the same subscription can only be because the ring went on without this client.
        let since = if self.asked.given { self.at.clone() } else { self.asked.cursor.clone() };
        match since {
            Some(since) => {
                let permitted =
                    self.oracle.may_reset(&self.pipeline, via, &since, head.reason.as_ref(), Some(&place));
                self.check(permitted);
                if !matches!(via, Via::Socket | Via::Official) {
                    self.counts.reset += 1;
                }
            }
            None if head.reason.is_some() => {
                self.fail(format!("a snapshot with the reason {:?} for one who had no cursor", head.reason));
            }
            None => {}
        }
        self.asked.given = true;
        self.wants_resync = false;
        self.at = Some(place);
    }

    fn heartbeat(&mut self, head: &Head) {
        let place = head.at();
        if verdict(self.at.as_ref(), Incoming::Heartbeat(&place)) == Verdict::Resync {
            let at = self.at.as_ref().map_or_else(|| "nothing".to_owned(), ToString::to_string);
            self.fail(format!("a heartbeat says {place}, and only {at} has come: something is missing"));
        }
    }

    /// Folds a message into the state; the session must come to the same place by itself.
    fn fold(&mut self, name: &str, text: &str) {
        let message = match ServerMessage::decode(name, text) {
            Ok(message) => message,
            Err(error) => return self.fail(format!("{name} cannot be decoded: {error}")),
        };
        let Some(session) = &mut self.session else { return };
        session.handle(&message);
        let (folded, at) = (session.cursor(), self.at.clone());
        if folded != at {
            self.fail(format!("the session is at {folded:?} after {name}, and the sequence at {at:?}"));
        }
    }

    fn check(&mut self, permitted: Result<(), String>) {
        if let Err(what) = permitted {
            self.fail(what);
        }
    }
}

fn to_text(value: &impl serde::Serialize) -> String {
    // Everything comes from JSON and goes back.
    serde_json::to_string(value).unwrap_or_default()
}

/// The mark in a payload.
pub(crate) fn mark_of(payload: &Value) -> Option<&str> {
    payload.get(MARK).and_then(Value::as_str)
}

#[cfg(test)]
mod tests;
