//! The one apply rule: what a subscriber does with each message, on every transport and in every language.
//!
//! [`verdict`] is the rule as a table without state; [`Session`] keeps one pipeline's state by it.
//!
//! | what comes | no state | same epoch | other epoch |
//! |---|---|---|---|
//! | event with `seq` = last + 1 | apply (it is 1) | apply | resync |
//! | event with `seq` ≤ last | – | ignore | resync |
//! | event with `seq` > last + 1 | resync | resync | resync |
//! | snapshot with the reason `ahead` | replace | replace | replace |
//! | snapshot with another reason, or none | replace | replace if newer, else ignore | replace |
//! | heartbeat | resync if its `seq` is above 0 | resync if its `seq` is higher, else ignore | ignore |
//!
//! An event of another epoch with `seq` 1 applies only where there is no state. A snapshot that is not newer answers a
//! question that was asked before the state came by another way; only one that says that the state is ahead of the hub
//! brings it back.

use crate::macros::closed_enum;
use crate::status::{Limits, ResetReason};
use crate::{Anomaly, Cursor, Event, PipelineStatus, ServerMessage, apply};

closed_enum! {
    /// What to do with a message.
    pub enum Verdict {
        /// Fold it into the state.
        Apply = "apply",
        /// Take it as the state.
        Replace = "replace",
        /// Do nothing.
        Ignore = "ignore",
        /// Something is missing: subscribe again with the cursor.
        Resync = "resync",
    }
}

/// A message, as far as the rule looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// An event of the sequence.
    Event(&'a Cursor),
    /// A snapshot, and whether it says that the state is ahead of the hub.
    Snapshot(&'a Cursor, bool),
    /// A sign of life that tells the end of the sequence.
    Heartbeat(&'a Cursor),
}

/// The apply rule. `at` is the position of the state, `None` where there is none.
pub fn verdict(at: Option<&Cursor>, incoming: Incoming<'_>) -> Verdict {
    let Some(at) = at else {
        return match incoming {
            Incoming::Event(event) if event.seq == 1 => Verdict::Apply,
            Incoming::Event(_) => Verdict::Resync,
            Incoming::Snapshot(..) => Verdict::Replace,
            // No state is a state at 0 of any epoch: what came before this was lost.
            Incoming::Heartbeat(heartbeat) if heartbeat.seq > 0 => Verdict::Resync,
            Incoming::Heartbeat(_) => Verdict::Ignore,
        };
    };
    match incoming {
        Incoming::Event(event) if event.epoch != at.epoch => Verdict::Resync,
        Incoming::Event(event) if event.seq <= at.seq => Verdict::Ignore,
        Incoming::Event(event) if event.seq - at.seq == 1 => Verdict::Apply,
        Incoming::Event(_) => Verdict::Resync,
        Incoming::Snapshot(snapshot, ahead) => {
            if ahead || snapshot.epoch != at.epoch || snapshot.seq > at.seq {
                Verdict::Replace
            } else {
                Verdict::Ignore
            }
        }
        Incoming::Heartbeat(heartbeat) => {
            if heartbeat.epoch == at.epoch && heartbeat.seq > at.seq {
                Verdict::Resync
            } else {
                Verdict::Ignore
            }
        }
    }
}

/// What one message did to a session.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// What the rule said. A [`Verdict::Resync`] is told once: until [`Session::resynced`] further ones are `Ignore`.
    pub verdict: Verdict,
    /// What did not fit the state.
    pub anomalies: Vec<Anomaly>,
}

/// One pipeline as one subscriber sees it: its state, kept by the rule.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Session {
    state: Option<PipelineStatus>,
    resyncing: bool,
}

impl Session {
    /// Without a state.
    pub fn new() -> Self {
        Self::default()
    }

    /// The state, if there is one.
    pub fn state(&self) -> Option<&PipelineStatus> {
        self.state.as_ref()
    }

    /// The position to resume from.
    pub fn cursor(&self) -> Option<Cursor> {
        self.state.as_ref().map(PipelineStatus::cursor)
    }

    /// Whether a resync was asked for and has not been answered.
    pub fn is_resyncing(&self) -> bool {
        self.resyncing
    }

    /// The answer to a resync is here, or the connection on which it was asked for is gone.
    pub fn resynced(&mut self) {
        self.resyncing = false;
    }

    /// Drops the state: the hub does not know the pipeline (any more).
    pub fn reset(&mut self) {
        *self = Self::new();
    }

    /// Does with a message what the rule says. Messages about the connection are ignored.
    pub fn handle(&mut self, message: &ServerMessage) -> Step {
        let at = self.cursor();
        let verdict = match message {
            ServerMessage::Event(event) => verdict(at.as_ref(), Incoming::Event(&event.shared().cursor())),
            ServerMessage::Snapshot(snapshot) => {
                let ahead = snapshot.reason == Some(ResetReason::Ahead);
                verdict(at.as_ref(), Incoming::Snapshot(&snapshot.cursor(), ahead))
            }
            ServerMessage::Heartbeat(heartbeat) => {
                verdict(at.as_ref(), Incoming::Heartbeat(&heartbeat.cursor()))
            }
            ServerMessage::SubscriptionEnded(_) | ServerMessage::HubClosing(_) => Verdict::Ignore,
        };
        let mut step = Step { verdict, anomalies: Vec::new() };
        match (verdict, message) {
            (Verdict::Apply, ServerMessage::Event(event)) => step.anomalies = self.fold(event),
            (Verdict::Replace, ServerMessage::Snapshot(snapshot)) => {
                let mut state = snapshot.as_ref().clone();
                state.reason = None;
                self.state = Some(state);
                self.resyncing = false;
            }
            (Verdict::Resync, _) if self.resyncing => step.verdict = Verdict::Ignore,
            (Verdict::Resync, _) => self.resyncing = true,
            (Verdict::Ignore, ServerMessage::Heartbeat(heartbeat)) => {
                // Liveness changes by the passing of time, which no event tells.
                if let Some(state) = self.state.as_mut().filter(|state| state.cursor() == heartbeat.cursor())
                {
                    state.liveness = heartbeat.liveness;
                }
            }
            _ => {}
        }
        step
    }

    fn fold(&mut self, event: &Event) -> Vec<Anomaly> {
        let shared = event.shared();
        let state = self.state.get_or_insert_with(|| {
            PipelineStatus::opening(
                shared.pipeline_id.clone(),
                shared.pipeline_type.clone(),
                shared.epoch.clone(),
                shared.timestamp,
                Limits::default(),
            )
        });
        let anomalies = apply(state, event);
        if matches!(event, Event::PipelineRemoved(_)) {
            self.state = None;
        }
        anomalies
    }
}
