//! The session machine's table, written once more as the phase that each input leads to, with completeness enforced by
//! types: a new phase, a new input or a new kind of one does not compile before it has its cells here.

use ragpulse_protocol::command::{SubscribeAck, SubscribedPipeline};
use ragpulse_protocol::problem::CommandError;
use ragpulse_protocol::{Code, ServerMessage};
use serde_json::json;

use super::*;

/// Names the variants of an enum of the machine without their contents; all of them, or it does not compile.
macro_rules! names_of {
    ($name:ident of $of:ident: $($variant:ident $pattern:tt),* $(,)?) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        enum $name { $($variant),* }

        impl $name {
            const ALL: &[Self] = &[$(Self::$variant),*];

            fn of(what: &$of) -> Self {
                match what { $($of::$variant $pattern => Self::$variant),* }
            }
        }
    };
}

names_of! { At of Phase:
    Idle {}, Waiting { .. }, Asking { .. }, Connecting { .. }, Joining(_), Live(_), Polling { .. }, Inquiring { .. },
    Probing { .. }, Proving(_), Closed {},
}

names_of! { Name of Input:
    Start {}, Stop {}, Tick {}, SocketOpened { .. }, SocketRefused { .. }, SocketLost { .. }, Subscribed { .. },
    Pong { .. }, Message { .. }, Undecodable { .. }, PollAnswered { .. }, PollFailed { .. }, CaughtUp {},
    Advised { .. }, NotAdvised { .. }, TokenAsked { .. }, Refreshed { .. },
}

macro_rules! kinds_of {
    ($($kind:ident,)*) => {
        /// The kinds of inputs that the table tells apart.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        enum Kind { $($kind),* }

        /// How many cells a row has.
        const COLUMNS: usize = [$(Kind::$kind),*].len();
    };
}

kinds_of! {
    Start, AdvisedAuto, AdvisedPolling, AdvisedWebsocket, NotAdvised,
    SocketOpened, RefusedByNoHub, RefusedForNow, RefusedForGood, SocketLost,
    SubscribedGood, SubscribedBadForNow, SubscribedBadForGood, Pong,
    MessageOfAPipeline, MessageClosing, MessageEndedForGood, UndecodableOfAPipeline, Undecodable,
    PollAnswered, PollFailed, PollFailedForGood, CaughtUp, TickEarly, TickDue, TokenAsked, Refreshed, Stop,
}

/// The kinds of each input: none is left out, because the match is whole.
const fn kinds(name: Name) -> &'static [Kind] {
    match name {
        Name::Start => &[Kind::Start],
        Name::Advised => &[Kind::AdvisedAuto, Kind::AdvisedPolling, Kind::AdvisedWebsocket],
        Name::NotAdvised => &[Kind::NotAdvised],
        Name::SocketOpened => &[Kind::SocketOpened],
        Name::SocketRefused => &[Kind::RefusedByNoHub, Kind::RefusedForNow, Kind::RefusedForGood],
        Name::SocketLost => &[Kind::SocketLost],
        Name::Subscribed => &[Kind::SubscribedGood, Kind::SubscribedBadForNow, Kind::SubscribedBadForGood],
        Name::Pong => &[Kind::Pong],
        Name::Message => &[Kind::MessageOfAPipeline, Kind::MessageClosing, Kind::MessageEndedForGood],
        Name::Undecodable => &[Kind::UndecodableOfAPipeline, Kind::Undecodable],
        Name::PollAnswered => &[Kind::PollAnswered],
        Name::PollFailed => &[Kind::PollFailed, Kind::PollFailedForGood],
        Name::CaughtUp => &[Kind::CaughtUp],
        Name::Tick => &[Kind::TickEarly, Kind::TickDue],
        Name::TokenAsked => &[Kind::TokenAsked],
        Name::Refreshed => &[Kind::Refreshed],
        Name::Stop => &[Kind::Stop],
    }
}

/// The table: the phase that each kind of input leads to, in the order of the kinds. Asking is written Q, inquiring N,
/// probing B, proving V and closed X, the others by their first letter. The groups are: start; advised (to use both, to
/// poll, to use sockets; not); opened; refused (by no hub, for now, for good); lost; subscribed (well, refused for now, for
/// good); pong; message (of a pipeline, closing, the only subscription ended); undecodable (of a pipeline, of nobody knows
/// what); polled (well, failed for now, for good); caught up; tick (nothing due, something due); another token (there is one, the hub took
/// it); stop.
#[rustfmt::skip]
const fn row(at: At) -> [At; COLUMNS] {
    use At::{
        Asking as Q, Closed as X, Connecting as C, Idle as I, Inquiring as N, Joining as J, Live as L, Polling as P,
        Probing as B, Proving as V, Waiting as W,
    };
    match at {
        // Start: the hub was never asked, and the wait is over at once.
        I => [Q,  I, I, I, I,  I,  I, I, I,  I,  I, I, I,  I,  I, I, I,  I, I,  I, I, I,  I,  I, I,  I, I,  X],
        W => [W,  W, W, W, W,  W,  W, W, W,  W,  W, W, W,  W,  W, W, W,  W, W,  W, W, W,  W,  W, C,  W, W,  X],
        Q => [Q,  C, P, C, C,  Q,  Q, Q, Q,  Q,  Q, Q, Q,  Q,  Q, Q, Q,  Q, Q,  Q, Q, Q,  Q,  Q, C,  Q, Q,  X],
        C => [C,  C, C, C, C,  J,  P, W, X,  W,  C, C, C,  C,  C, C, C,  C, C,  C, C, C,  C,  C, W,  C, C,  X],
        J => [J,  J, J, J, J,  J,  P, W, X,  W,  L, W, X,  J,  J, W, X,  J, W,  J, J, J,  J,  J, W,  J, J,  X],
        // Subscribed: to one pipeline again. What is refused for good then is seen anew with the next socket.
        L => [L,  L, L, L, L,  L,  P, W, X,  W,  L, W, W,  L,  L, W, X,  L, W,  L, L, L,  L,  L, W,  L, L,  X],
        P => [P,  P, P, P, P,  P,  P, P, P,  P,  P, P, P,  P,  P, P, P,  P, P,  P, P, X,  P,  P, B,  P, P,  X],
        N => [N,  B, P, C, B,  N,  N, N, N,  N,  N, N, N,  N,  N, N, N,  N, N,  N, N, X,  N,  N, B,  N, N,  X],
        B => [B,  B, B, B, B,  V,  P, P, X,  P,  B, B, B,  B,  B, B, B,  B, B,  B, B, X,  B,  B, P,  B, B,  X],
        // Subscribed, or pong: it takes both, in a test of its own.
        V => [V,  V, V, V, V,  V,  P, P, X,  P,  V, P, X,  V,  V, P, X,  V, P,  V, V, X,  V,  V, P,  V, V,  X],
        X => [X,  X, X, X, X,  X,  X, X, X,  X,  X, X, X,  X,  X, X, X,  X, X,  X, X, X,  X,  X, X,  X, X,  X],
    }
}

/// A machine in a phase, with what it waits for.
struct Setup {
    machine: Machine,
    now: Duration,
    ask: u64,
    poll: u64,
}

fn p() -> PipelineId {
    PipelineId::new("p").unwrap()
}

impl Setup {
    fn new() -> Self {
        let target = Target::Pipelines([p()].into());
        let machine = Machine::new(target, TransportChoice::Auto, 50, || Box::new(|| 0.5));
        Self { machine, now: Duration::ZERO, ask: 0, poll: 0 }
    }

    fn give(&mut self, input: Input) {
        for command in self.machine.handle(self.now, input) {
            match command {
                Command::AskAdvice { ask } => self.ask = ask,
                Command::Poll { poll, .. } => self.poll = poll,
                _ => {}
            }
        }
    }

    fn then(mut self, kind: Kind) -> Self {
        let input = self.input(kind);
        self.give(input);
        self
    }

    /// Leads a machine into a phase by what happens on the way there.
    fn at(at: At) -> Self {
        let setup = match at {
            At::Idle => Self::new(),
            At::Asking => Self::at(At::Idle).then(Kind::Start),
            At::Connecting => Self::at(At::Asking).then(Kind::NotAdvised),
            At::Waiting => Self::at(At::Connecting).then(Kind::SocketLost),
            At::Joining => Self::at(At::Connecting).then(Kind::SocketOpened),
            // With a question for the pipeline open, which was asked again for after a hole.
            At::Live => {
                let mut live = Self::at(At::Joining).then(Kind::SubscribedGood).then(Kind::Pong);
                live.give(Input::Message { conn: 1, message: Box::new(event(2)) });
                live
            }
            At::Polling => Self::at(At::Connecting).then(Kind::RefusedByNoHub),
            At::Inquiring => {
                let mut polling = Self::at(At::Polling);
                polling.now += Duration::from_secs(120);
                polling.then(Kind::TickEarly)
            }
            At::Probing => Self::at(At::Inquiring).then(Kind::AdvisedAuto),
            At::Proving => Self::at(At::Probing).then(Kind::SocketOpened),
            At::Closed => Self::at(At::Live).then(Kind::Stop),
        };
        assert_eq!(At::of(&setup.machine.phase), at);
        setup
    }

    fn input(&mut self, kind: Kind) -> Input {
        let conn = self.machine.conn().unwrap_or(self.machine.last_conn);
        let (ask, poll, subject) = (self.ask, self.poll, Some(p()));
        let advised = |transport| Input::Advised {
            ask,
            advice: Advice { transport, rollout_percentage: 100, retry_after: Duration::from_secs(1) },
        };
        let refused = |code| Input::SocketRefused { conn, code, cause: "no".into() };
        let bad = |code: Code| {
            let retryable = code.retryable();
            let error = CommandError { code, message: "no".into(), retryable, index: None, field: None };
            Input::Subscribed { conn, reply: Err(error) }
        };
        let message = |message| Input::Message { conn, message: Box::new(message) };
        let failed = |code| {
            let failure = PollFailure { code, message: "no".into(), retry_after: None };
            Input::PollFailed { poll, subject: Some(p()), failure }
        };
        match kind {
            Kind::Start => Input::Start,
            Kind::AdvisedAuto => advised(TransportChoice::Auto),
            Kind::AdvisedPolling => advised(TransportChoice::Polling),
            Kind::AdvisedWebsocket => advised(TransportChoice::Websocket),
            Kind::NotAdvised => Input::NotAdvised { ask },
            Kind::SocketOpened => Input::SocketOpened { conn, renew_in: None },
            Kind::RefusedByNoHub => refused(None),
            Kind::RefusedForNow => refused(Some(Code::Closing)),
            Kind::RefusedForGood => refused(Some(Code::Unauthorized)),
            Kind::SocketLost => Input::SocketLost { conn, cause: "gone".into() },
            Kind::SubscribedGood => {
                let known =
                    SubscribedPipeline { pipeline_id: p(), recovered: true, replayed: 0, reason: None };
                Input::Subscribed { conn, reply: Ok(SubscribeAck { pipelines: vec![known] }) }
            }
            Kind::SubscribedBadForNow => bad(Code::Overloaded),
            Kind::SubscribedBadForGood => bad(Code::Forbidden),
            Kind::Pong => Input::Pong { conn },
            Kind::MessageOfAPipeline => message(event(1)),
            Kind::MessageClosing => {
                message(ServerMessage::from_value("hub:closing", json!({"retry_after_ms": 1000})).unwrap())
            }
            Kind::MessageEndedForGood => {
                let ended = json!({"pipeline_id": "p", "code": "forbidden"});
                message(ServerMessage::from_value("subscription:ended", ended).unwrap())
            }
            Kind::UndecodableOfAPipeline => Input::Undecodable { conn, pipeline: subject },
            Kind::Undecodable => Input::Undecodable { conn, pipeline: None },
            Kind::PollAnswered => {
                let polled =
                    Polled::Messages { messages: vec![event(1)], undecodable: false, unknown: false };
                Input::PollAnswered { poll, subject, polled }
            }
            Kind::PollFailed => failed(Some(Code::Overloaded)),
            Kind::PollFailedForGood => failed(Some(Code::Unauthorized)),
            Kind::CaughtUp => Input::CaughtUp,
            Kind::TickEarly => Input::Tick,
            Kind::TickDue => {
                // What is due first may be a poll, which changes no phase: the socket's turn is what the table is about.
                let polls = self.machine.polls.deadline();
                let due = match &self.machine.phase {
                    Phase::Polling { probe_at } => *probe_at,
                    _ => self.machine.deadline().filter(|at| Some(*at) != polls),
                };
                self.now = due.unwrap_or(self.now);
                Input::Tick
            }
            Kind::TokenAsked => Input::TokenAsked { conn, fresh: true },
            Kind::Refreshed => Input::Refreshed { conn, refusal: None, renew_in: None },
            Kind::Stop => Input::Stop,
        }
    }
}

fn event(seq: u64) -> ServerMessage {
    let time = "2026-01-01T00:00:00Z";
    let value = json!({
        "pipeline_id": "p", "pipeline_type": "t", "epoch": "e", "seq": seq, "timestamp": time, "received_at": time,
    });
    ServerMessage::from_value("x:step", value).unwrap()
}

#[test]
fn every_input_in_every_phase_leads_where_the_table_says() {
    let mut cells = 0;
    for at in At::ALL {
        for name in Name::ALL {
            for kind in kinds(*name) {
                let mut setup = Setup::at(*at);
                let input = setup.input(*kind);
                assert_eq!(Name::of(&input), *name);
                setup.give(input);
                let phase = At::of(&setup.machine.phase);
                assert_eq!(phase, row(*at)[*kind as usize], "{kind:?} in {at:?}");
                let waits = setup.machine.deadline().is_some() || setup.machine.is_polling();
                assert_eq!(waits, !matches!(phase, At::Idle | At::Closed), "{kind:?} in {at:?}");
                cells += 1;
            }
        }
    }
    assert_eq!(cells, At::ALL.len() * COLUMNS, "a kind is missing in `kinds`");
}

#[test]
fn what_is_about_another_socket_poll_or_question_changes_no_phase() {
    for at in At::ALL {
        for name in Name::ALL {
            for kind in kinds(*name) {
                let mut setup = Setup::at(*at);
                setup.ask += 1_000;
                setup.poll += 1_000;
                let mut input = setup.input(*kind);
                let stale = match &mut input {
                    Input::SocketOpened { conn, .. }
                    | Input::TokenAsked { conn, .. }
                    | Input::Refreshed { conn, .. }
                    | Input::SocketRefused { conn, .. }
                    | Input::SocketLost { conn, .. }
                    | Input::Subscribed { conn, .. }
                    | Input::Pong { conn }
                    | Input::Message { conn, .. }
                    | Input::Undecodable { conn, .. } => {
                        *conn += 1_000;
                        true
                    }
                    Input::PollAnswered { .. } | Input::PollFailed { .. } => true,
                    Input::Advised { .. } | Input::NotAdvised { .. } => true,
                    Input::Start | Input::Stop | Input::Tick | Input::CaughtUp => false,
                };
                if stale {
                    let commands = setup.machine.handle(setup.now, input);
                    assert_eq!((At::of(&setup.machine.phase), commands), (*at, Vec::new()), "{kind:?}");
                }
            }
        }
    }
}

#[test]
fn a_row_that_needs_two_inputs_to_leave_leaves_with_the_second() {
    let proving = Setup::at(At::Proving).then(Kind::SubscribedGood).then(Kind::Pong);
    assert_eq!(At::of(&proving.machine.phase), At::Live);
    let again = Setup::at(At::Live);
    // The hub was asked lately on the way here; half a minute later it is asked again first.
    let mut waiting = again.then(Kind::SocketLost);
    waiting.now += Duration::from_secs(60);
    assert_eq!(At::of(&waiting.then(Kind::TickEarly).machine.phase), At::Asking);
    let mut polling = Setup::at(At::Polling);
    polling.now += Duration::from_secs(60);
    assert_eq!(At::of(&polling.then(Kind::TickEarly).machine.phase), At::Inquiring);
    let target = Target::Pipelines([p()].into());
    let mut chosen = Machine::new(target, TransportChoice::Polling, 50, || Box::new(|| 0.5));
    chosen.handle(Duration::ZERO, Input::Start);
    assert_eq!(At::of(&chosen.phase), At::Polling);
}
