//! What goes into the session machine, and what comes out.

use std::collections::BTreeSet;
use std::time::Duration;

use ragpulse_protocol::command::{SubscribeAck, SubscribeRequest};
use ragpulse_protocol::problem::CommandError;
use ragpulse_protocol::{Code, Cursor, PipelineId, ServerMessage};

use super::Advice;
use crate::subscriber::pipelines::Target;
use crate::subscriber::update::Update;

/// By what a subscriber may be connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TransportChoice {
    /// As the hub advises; without advice, or when it leaves the choice, by socket, and by polling while no socket can be
    /// had.
    #[default]
    Auto,
    /// By socket only, whatever the hub advises.
    Websocket,
    /// By polling only, whatever the hub advises.
    Polling,
}

/// What a poll brought.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Polled {
    /// Messages in order, and whether one of them could not be read; whether the hub knows the pipeline.
    Messages { messages: Vec<ServerMessage>, undecodable: bool, unknown: bool },
    /// The pipelines that there are of the type asked for.
    Pipelines(BTreeSet<PipelineId>),
}

/// Why a poll failed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PollFailure {
    /// The hub's code, if it was the hub that answered.
    pub(crate) code: Option<Code>,
    pub(crate) message: String,
    pub(crate) retry_after: Option<Duration>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Input {
    Start,
    Stop,
    Tick,
    /// `renew_in`: in what time its token has to be followed by another, if that is known.
    SocketOpened {
        conn: u64,
        renew_in: Option<Duration>,
    },
    SocketRefused {
        conn: u64,
        code: Option<Code>,
        cause: String,
    },
    SocketLost {
        conn: u64,
        cause: String,
    },
    Subscribed {
        conn: u64,
        reply: Result<SubscribeAck, CommandError>,
    },
    Pong {
        conn: u64,
    },
    Message {
        conn: u64,
        message: Box<ServerMessage>,
    },
    Undecodable {
        conn: u64,
        pipeline: Option<PipelineId>,
    },
    PollAnswered {
        poll: u64,
        subject: Option<PipelineId>,
        polled: Polled,
    },
    PollFailed {
        poll: u64,
        subject: Option<PipelineId>,
        failure: PollFailure,
    },
    CaughtUp,
    /// Whether there is another token than the socket's.
    TokenAsked {
        conn: u64,
        fresh: bool,
    },
    /// What the hub says to another token; `renew_in` as above.
    Refreshed {
        conn: u64,
        refusal: Option<(Code, String)>,
        renew_in: Option<Duration>,
    },
    Advised {
        ask: u64,
        advice: Advice,
    },
    NotAdvised {
        ask: u64,
    },
}

/// What is to be done, in order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Command {
    AskAdvice {
        ask: u64,
    },
    OpenSocket {
        conn: u64,
    },
    CloseSocket {
        conn: u64,
    },
    Subscribe {
        conn: u64,
        request: Box<SubscribeRequest>,
    },
    Ping {
        conn: u64,
    },
    /// Ask the source for another token than the socket's.
    AskToken {
        conn: u64,
    },
    /// Bring the token that is there to the hub.
    Refresh {
        conn: u64,
    },
    /// The hub does not take the socket's token any more.
    TokenRefused,
    Poll {
        poll: u64,
        pipeline: PipelineId,
        cursor: Option<Cursor>,
        wait: Duration,
    },
    Discover {
        poll: u64,
        target: Target,
    },
    StopPoll {
        pipeline: PipelineId,
    },
    StopPolls,
    Emit(Update),
}
