//! How a subscriber connects, resumes, falls back and returns: a state machine without I/O, with time passed in.
//!
//! | phase | socket | polls | leaves to |
//! |---|---|---|---|
//! | `Idle` | – | – | by `Start` |
//! | `Waiting` | to be opened at a time | – | `Asking`, or `Connecting` if the hub was asked lately, at that time |
//! | `Asking` | the hub is asked for its advice | – | `Connecting`, or `Polling` if that is the advice |
//! | `Connecting` | being opened | – | `Joining`; `Waiting`, or `Polling` after three failures or a refusal |
//! | `Joining` | open, subscription not acknowledged | – | `Live`; else as `Connecting` |
//! | `Live` | open and subscribed | – | `Waiting` when lost |
//! | `Polling` | to be tried at a time, or never | on | `Inquiring`, or `Probing` if the hub was asked lately, at that time |
//! | `Inquiring` | the hub is asked for its advice | on | `Probing`; `Polling` or `Waiting` if that is the advice |
//! | `Probing` | being opened | on | `Proving`; `Polling` when it fails |
//! | `Proving` | open, not yet both subscribed and pinged | on | `Live` when it is; `Polling` when it fails |
//! | `Closed` | – | – | never |
//!
//! | input | `Idle` | `Waiting` | `Asking` | `Connecting` | `Joining` | `Live` | `Polling` | `Inquiring` | `Probing` | `Proving` |
//! |---|---|---|---|---|---|---|---|---|---|---|
//! | `Start` | begin | – | – | – | – | – | – | – | – | – |
//! | `Advised` | – | – | go on by it | – | – | – | – | go on by it | – | – |
//! | `NotAdvised` | – | – | go on | – | – | – | – | go on | – | – |
//! | `SocketOpened` | – | – | – | subscribe: `Joining` | – | – | – | – | subscribe: `Proving` | – |
//! | `SocketRefused` | – | – | – | `Polling`, or close | same | same | – | – | same | same |
//! | `SocketLost` | – | – | – | wait or `Polling` | wait or `Polling` | wait | – | – | `Polling` | `Polling` |
//! | `Subscribed`, good | – | – | – | – | `Live` | resync over | – | – | – | `Live` if pinged |
//! | `Subscribed`, bad | – | – | – | – | close if final, else as lost | as lost | – | – | – | as `Joining` |
//! | `Pong` | – | – | – | – | – | proven | – | – | – | `Live` if subscribed |
//! | `Message` | – | – | – | – | fold | fold | – | – | – | fold |
//! | `Undecodable` | – | – | – | – | ask for a snapshot | same | – | – | – | same |
//! | `PollAnswered` | – | – | – | – | – | – | fold, poll on | same | same | same |
//! | `PollFailed` | – | – | – | – | – | – | rest, or close | same | same | same |
//! | `TokenAsked` | – | – | – | – | bring it, or ask later | same | – | – | – | same |
//! | `Refreshed` | – | – | – | – | taken, or as below | same | – | – | – | same |
//! | `CaughtUp` | – | – | – | – | silence counts anew | same | – | – | – | same |
//! | `Tick` | – | ask or open when due | go on when due | fail when due | ping, or lost by silence | same | poll; ask or probe when due | same; go on when due | same; fail when due | same as `Joining` |
//! | `Stop` | close | close | close | close | close | close | close | close | close | close |
//!
//! This table is written once more, phase by phase, in `table_tests.rs`, which does not compile when a cell is missing.
//!
//! In `Closed` everything is ignored. What is about another socket than the current one, or a poll or advice that is not
//! waited for, is ignored in every phase. Without an answer to the question for advice, or without one in time, everything
//! goes on as if it had not been asked. Where tokens come from a source, what closes for `unauthorized` in the table leads to
//! a fresh token instead (`session/tokens.rs`). `hub:closing` is a `Message` that puts the socket off until the time it names;
//! `subscription:ended` one that ends, or asks again for, one pipeline.
//!
//! *What it never does:* have two sockets, two polls of one pipeline, or two open questions on one socket; poll when told
//! to use sockets only, or open a socket when told to poll only.

mod advice;
mod io;
mod poll;
mod socket;
mod tokens;

use std::collections::BTreeSet;
use std::time::Duration;

use ragpulse_protocol::PipelineId;

pub(crate) use advice::{ASK_WITHIN, Advice, part_of};
pub use io::TransportChoice;
pub(crate) use io::{Command, Input, PollFailure, Polled};

use self::advice::Guide;
use self::tokens::Renewal;
use super::link::Link;
use super::pipelines::{Pipelines, Target};
use super::polls::Polls;
use super::update::{Cause, ConnectionStatus, Transport, Update};
use crate::backoff::{Backoff, Chance};

/// How long opening a socket may take.
pub(crate) const OPEN_WITHIN: Duration = Duration::from_secs(10);

#[derive(Debug)]
enum Phase {
    Idle,
    Waiting { until: Duration },
    Asking { ask: u64, until: Duration },
    Connecting { conn: u64, until: Duration },
    Joining(Link),
    Live(Link),
    Polling { probe_at: Option<Duration> },
    Inquiring { ask: u64, until: Duration },
    Probing { conn: u64, until: Duration },
    Proving(Link),
    Closed,
}

pub(crate) struct Machine {
    guide: Guide,
    phase: Phase,
    pub(crate) pipelines: Pipelines,
    polls: Polls,
    last_conn: u64,
    /// What the last subscription to everything asked for.
    asked: BTreeSet<PipelineId>,
    renewal: Renewal,
    /// Between sockets, while nothing is polled.
    reopen: Backoff,
    /// Between tries of a socket, while polling.
    probe: Backoff,
    /// Of a poll that failed.
    rest: Backoff,
    cause: Option<Cause>,
    told: ConnectionStatus,
    out: Vec<Command>,
}

impl Machine {
    /// `chosen` is what the caller chose to connect by, and `part` of all clients is what this one is in (0 to 99).
    pub(crate) fn new(
        target: Target,
        chosen: TransportChoice,
        part: u8,
        chance: impl Fn() -> Chance,
    ) -> Self {
        let backoff = |first, longest| {
            Backoff::new(Duration::from_millis(first), Duration::from_millis(longest), chance())
        };
        Self {
            guide: Guide::new(chosen, part),
            phase: Phase::Idle,
            pipelines: Pipelines::new(target),
            polls: Polls::default(),
            last_conn: 0,
            asked: BTreeSet::new(),
            renewal: Renewal::default(),
            reopen: backoff(250, 30_000),
            probe: backoff(5_000, 60_000),
            rest: backoff(500, 30_000),
            cause: None,
            told: ConnectionStatus::default(),
            out: Vec::new(),
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    /// Takes what happened and tells what to do.
    pub(crate) fn handle(&mut self, now: Duration, input: Input) -> Vec<Command> {
        match input {
            Input::Start => self.on_start(now),
            Input::Stop => self.close(Cause::Closed),
            Input::Tick => {}
            Input::SocketOpened { conn, renew_in } => self.on_opened(now, conn, renew_in),
            Input::SocketRefused { conn, code, cause } => self.on_refused(now, conn, code, cause),
            Input::SocketLost { conn, cause } => self.on_lost(now, conn, Cause::Failed(cause)),
            Input::Subscribed { conn, reply } => self.on_subscribed(now, conn, reply),
            Input::Pong { conn } => self.on_pong(now, conn),
            Input::Message { conn, message } => self.on_message(now, conn, &message),
            Input::Undecodable { conn, pipeline } => self.on_undecodable(now, conn, pipeline.as_ref()),
            Input::PollAnswered { poll, subject, polled } => self.on_polled(now, poll, subject, polled),
            Input::PollFailed { poll, subject, failure } => {
                self.on_poll_failed(now, poll, subject, failure);
            }
            Input::Advised { ask, advice } => {
                if self.is_asking(ask) {
                    self.guide.take(advice);
                    self.go_on(now);
                }
            }
            Input::NotAdvised { ask } => {
                if self.is_asking(ask) {
                    self.go_on(now);
                }
            }
            Input::TokenAsked { conn, fresh } => self.on_token_asked(now, conn, fresh),
            Input::Refreshed { conn, refusal, renew_in } => self.on_refreshed(now, conn, refusal, renew_in),
            Input::CaughtUp => {
                if let Some(link) = self.link() {
                    link.caught_up(now);
                }
            }
        }
        self.proceed(now);
        self.tell();
        std::mem::take(&mut self.out)
    }

    /// When to say `Tick` at the latest.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        match &self.phase {
            Phase::Idle | Phase::Closed => None,
            Phase::Waiting { until } | Phase::Asking { until, .. } | Phase::Connecting { until, .. } => {
                Some(*until)
            }
            Phase::Joining(link) | Phase::Live(link) => Some(link.deadline()),
            Phase::Polling { probe_at } => earliest(*probe_at, self.polls.deadline()),
            Phase::Inquiring { until, .. } | Phase::Probing { until, .. } => {
                earliest(Some(*until), self.polls.deadline())
            }
            Phase::Proving(link) => earliest(Some(link.deadline()), self.polls.deadline()),
        }
    }

    fn on_start(&mut self, now: Duration) {
        match self.phase {
            Phase::Idle if self.guide.choice() == TransportChoice::Polling => {
                self.cause = Some(Cause::Chosen);
                self.poll(now, None);
            }
            Phase::Idle => self.phase = Phase::Waiting { until: now },
            Phase::Waiting { .. }
            | Phase::Asking { .. }
            | Phase::Connecting { .. }
            | Phase::Joining(_)
            | Phase::Live(_)
            | Phase::Polling { .. }
            | Phase::Inquiring { .. }
            | Phase::Probing { .. }
            | Phase::Proving(_)
            | Phase::Closed => {}
        }
    }

    /// What the passing of time and the last input make due.
    fn proceed(&mut self, now: Duration) {
        match &mut self.phase {
            Phase::Idle | Phase::Closed => {}
            Phase::Waiting { until } => {
                if *until <= now {
                    self.seek(now);
                }
            }
            Phase::Asking { until, .. } | Phase::Inquiring { until, .. } => {
                if *until <= now {
                    self.go_on(now);
                }
            }
            Phase::Connecting { conn, until } | Phase::Probing { conn, until } => {
                if *until <= now {
                    let conn = *conn;
                    self.on_lost(now, conn, Cause::Silence(OPEN_WITHIN));
                }
            }
            Phase::Joining(_) | Phase::Live(_) | Phase::Proving(_) => self.converse(now),
            Phase::Polling { probe_at } => {
                if probe_at.is_some_and(|at| at <= now) {
                    self.seek(now);
                }
            }
        }
        if self.is_polling() {
            self.start_polls(now);
        }
    }

    /// A socket is due: asks the hub first, if that was not done lately.
    fn seek(&mut self, now: Duration) {
        if !self.guide.is_due(now) {
            self.go_on(now);
            return;
        }
        let ask = self.guide.ask(now);
        let until = now + ASK_WITHIN;
        self.out.push(Command::AskAdvice { ask });
        self.phase =
            if self.is_polling() { Phase::Inquiring { ask, until } } else { Phase::Asking { ask, until } };
    }

    /// Whether this question for advice is open.
    fn is_asking(&self, ask: u64) -> bool {
        matches!(self.phase, Phase::Asking { ask: open, .. } | Phase::Inquiring { ask: open, .. } if open == ask)
    }

    /// Opens a socket, or polls, by what is known of the hub's wishes.
    fn go_on(&mut self, now: Duration) {
        match (self.guide.choice(), self.is_polling()) {
            (TransportChoice::Polling, _) => {
                self.cause = Some(Cause::Advised);
                // To be asked again, which is what leads back to a socket.
                let again = now + self.probe.fail();
                let again = self.guide.next_at().map_or(again, |at| at.max(again));
                self.poll(now, Some(again));
            }
            (TransportChoice::Auto, true) => {
                let conn = self.open();
                self.phase = Phase::Probing { conn, until: now + OPEN_WITHIN };
            }
            (choice @ (TransportChoice::Auto | TransportChoice::Websocket), polling) => {
                if polling && choice == TransportChoice::Websocket {
                    // Polls took over, or were advised; now the hub wants none.
                    self.out.push(Command::StopPolls);
                    self.polls.clear();
                }
                let conn = self.open();
                self.phase = Phase::Connecting { conn, until: now + OPEN_WITHIN };
            }
        }
    }

    /// Whether polls are on.
    fn is_polling(&self) -> bool {
        match self.phase {
            Phase::Polling { .. } | Phase::Inquiring { .. } | Phase::Probing { .. } | Phase::Proving(_) => {
                true
            }
            Phase::Idle
            | Phase::Waiting { .. }
            | Phase::Asking { .. }
            | Phase::Connecting { .. }
            | Phase::Joining(_)
            | Phase::Live(_)
            | Phase::Closed => false,
        }
    }

    /// How long the last ping took there and back, on the socket by which updates come.
    pub(crate) fn latency(&self) -> Option<Duration> {
        match &self.phase {
            Phase::Live(link) => link.latency,
            _ => None,
        }
    }

    /// The open socket, if there is one.
    fn link(&mut self) -> Option<&mut Link> {
        match &mut self.phase {
            Phase::Joining(link) | Phase::Live(link) | Phase::Proving(link) => Some(link),
            Phase::Idle
            | Phase::Waiting { .. }
            | Phase::Asking { .. }
            | Phase::Connecting { .. }
            | Phase::Polling { .. }
            | Phase::Inquiring { .. }
            | Phase::Probing { .. }
            | Phase::Closed => None,
        }
    }

    /// The socket that is open or being opened.
    fn conn(&self) -> Option<u64> {
        match &self.phase {
            Phase::Connecting { conn, .. } | Phase::Probing { conn, .. } => Some(*conn),
            Phase::Joining(link) | Phase::Live(link) | Phase::Proving(link) => Some(link.conn),
            Phase::Idle
            | Phase::Waiting { .. }
            | Phase::Asking { .. }
            | Phase::Polling { .. }
            | Phase::Inquiring { .. }
            | Phase::Closed => None,
        }
    }

    fn open(&mut self) -> u64 {
        self.last_conn += 1;
        self.out.push(Command::OpenSocket { conn: self.last_conn });
        self.last_conn
    }

    /// Closes the socket, if there is one.
    fn drop_socket(&mut self) {
        if let Some(conn) = self.conn() {
            self.out.push(Command::CloseSocket { conn });
            self.pipelines.disconnected();
        }
    }

    fn close(&mut self, cause: Cause) {
        if self.is_closed() {
            return;
        }
        self.drop_socket();
        if self.is_polling() {
            self.out.push(Command::StopPolls);
            self.polls.clear();
        }
        self.phase = Phase::Closed;
        self.cause = Some(cause);
    }

    fn emit(&mut self, update: Option<Update>) {
        self.out.extend(update.map(Command::Emit));
    }

    /// Tells by what updates come, if that changed.
    fn tell(&mut self) {
        let transport = match &self.phase {
            Phase::Live(_) => Some(Transport::Websocket),
            Phase::Polling { .. } | Phase::Inquiring { .. } | Phase::Probing { .. } | Phase::Proving(_) => {
                self.polls.healthy.then_some(Transport::Polling)
            }
            Phase::Idle
            | Phase::Waiting { .. }
            | Phase::Asking { .. }
            | Phase::Connecting { .. }
            | Phase::Joining(_)
            | Phase::Closed => None,
        };
        let status = ConnectionStatus { transport, cause: self.cause.clone(), closed: self.is_closed() };
        if status != self.told {
            self.told = status.clone();
            self.out.push(Command::Emit(Update::connection(status)));
        }
    }
}

fn earliest(a: Option<Duration>, b: Option<Duration>) -> Option<Duration> {
    a.into_iter().chain(b).min()
}

#[cfg(test)]
mod simulated_tests;
#[cfg(test)]
mod table_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod world;
