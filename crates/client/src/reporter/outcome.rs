//! What is to be sent and what comes of it: how the reporter stands with its hub, what it refused, and what a refusal is about.
//!
//! *What may come in:* any problem a hub can name. *What it never does:* decide what to do about it.

use std::time::Duration;

use ragpulse_protocol::command::PublishReceipt;
use ragpulse_protocol::{Code, Problem};

use super::queue::Item;
use crate::endpoint::BadAnswer;

/// What the driver has to do.
#[derive(Debug, PartialEq)]
pub(crate) enum Action {
    /// Send this body, and tell the answer.
    Send(String),
    /// Fetch so many events and bytes from the spool, and tell.
    Refill { events: usize, bytes: usize },
    /// End the files of the reporter's earlier life that were not begun again.
    EndOrphans,
    /// Nothing before this time, unless something comes in.
    Wait(Option<Duration>),
    /// Stop.
    Stop,
}

/// What came of a try.
pub(crate) type Answer = Result<PublishReceipt, BadAnswer>;

/// How the reporter stands with its hub.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Standing {
    Idle,
    Connected,
    Retrying { since: Duration, failures: u32, cause: String },
    Refused { since: Duration, problem: Problem },
    Closed,
}

/// An event the hub refused for good.
#[derive(Debug, PartialEq)]
pub(crate) struct SetAside {
    pub(crate) item: Item,
    pub(crate) problem: Problem,
}

/// Sums over the reporter's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Totals {
    pub(crate) accepted: u64,
    pub(crate) duplicates: u64,
    pub(crate) conflated: u64,
    pub(crate) rejected: u64,
}

/// What a problem is about.
pub(crate) enum Refusal {
    /// The hub's state: the same will do later.
    Passing,
    /// The hub does not know the pipeline.
    Forgotten,
    /// Who asks, or where: no event of this reporter is taken.
    Everything,
    /// One event.
    Event(usize),
    /// Something in the batch, or its size.
    Batch,
}

impl Refusal {
    pub(crate) fn of(problem: &Problem) -> Self {
        match problem.code {
            Code::UnknownPipeline => Self::Forgotten,
            Code::Unauthorized
            | Code::Forbidden
            | Code::ForeignOrigin
            | Code::ForeignHost
            | Code::NotFound
            | Code::MethodNotAllowed
            | Code::UnsupportedMediaType
            | Code::InvalidName
            | Code::InvalidCursor
            | Code::TypeConflict => Self::Everything,
            _ if problem.retryable => Self::Passing,
            _ => problem.index.map_or(Self::Batch, Self::Event),
        }
    }
}
