//! What a subscriber is told.

use std::sync::Arc;
use std::time::Duration;

use ragpulse_protocol::status::ResetReason;
use ragpulse_protocol::{Anomaly, Code, Event, Liveness, PipelineId, PipelineStatus};

/// One thing that happened, in the order it happened for its pipeline.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Update {
    /// The pipeline; `None` for what is about the connection.
    pub pipeline_id: Option<PipelineId>,
    /// What happened.
    pub what: What,
    /// What in an event did not fit the state before it.
    pub anomalies: Vec<Anomaly>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum What {
    /// An event: the next one of the pipeline's sequence, without hole, repeat or swap.
    Event(Box<Event>),
    /// A state that replaces all before it.
    Snapshot {
        /// The state.
        state: Arc<PipelineStatus>,
        /// Why it comes in place of events; `None` for the first one.
        reason: Option<ResetReason>,
    },
    /// Whether the pipeline's reporters are heard has changed by the passing of time.
    Liveness(Liveness),
    /// The hub does not know the pipeline (any more): there is no state. Events may come later, from `seq` 1.
    Reset,
    /// The pipeline was forgotten on request: there is no state. Events may come later, from `seq` 1.
    Removed,
    /// The hub has ended the subscription to this pipeline; nothing more comes of it.
    Ended(Code),
    /// By what updates come has changed.
    Connection(ConnectionStatus),
}

/// By what updates come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Transport {
    /// A socket: updates come as they happen.
    Websocket,
    /// Long polling: the same updates, with a little more effort.
    Polling,
}

/// How a subscriber is connected.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct ConnectionStatus {
    /// By what updates come; `None` while they do not come.
    pub transport: Option<Transport>,
    /// Why not by socket, or why not at all.
    pub cause: Option<Cause>,
    /// Whether this is the last update: nothing is tried again.
    pub closed: bool,
}

/// Why a subscriber is not connected by socket, or not at all.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// The caller chose polling.
    #[error("polling was chosen")]
    Chosen,
    /// The hub advised this client to poll, for all or for its share of a rollout; it is asked again from time to time.
    #[error("the hub advised to poll")]
    Advised,
    /// The connection could not be made, or broke.
    #[error("{0}")]
    Failed(String),
    /// Something between here and the hub, or the hub, does not let sockets through.
    #[error("the socket was refused: {0}")]
    Refused(String),
    /// Nothing was heard for too long.
    #[error("nothing was heard from the hub for {0:?}")]
    Silence(Duration),
    /// The hub said that it closes.
    #[error("the hub is closing and asked to come back after {0:?}")]
    HubClosing(Duration),
    /// The hub refused to subscribe.
    #[error("the hub refused: {message} ({code})")]
    Rejected {
        /// The stable code.
        code: Code,
        /// What happened, and what to do.
        message: String,
    },
    /// The caller closed the subscriber, or every subscription has ended.
    #[error("the subscriber was closed")]
    Closed,
}

impl Update {
    pub(crate) fn of(pipeline_id: PipelineId, what: What) -> Self {
        Self { pipeline_id: Some(pipeline_id), what, anomalies: Vec::new() }
    }

    pub(crate) fn connection(status: ConnectionStatus) -> Self {
        Self { pipeline_id: None, what: What::Connection(status), anomalies: Vec::new() }
    }
}
