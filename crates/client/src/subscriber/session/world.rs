//! A model of a hub and of a network that does everything a network may do, for the tests of the session machine. It
//! checks each promise of the machine's docs as it goes.

use std::collections::{BTreeMap, VecDeque};

use ragpulse_protocol::command::{SubscribeAck, SubscribeRequest, SubscribedPipeline};
use ragpulse_protocol::message::HubClosing;
use ragpulse_protocol::status::{Limits, ResetReason};
use ragpulse_protocol::{Cursor, Epoch, Event, PipelineStatus, PipelineType, ServerMessage, Timestamp};
use serde_json::json;

use super::*;
use crate::subscriber::update::What;

#[derive(Debug, Clone)]
pub(super) enum Step {
    Publish(u8),
    Deliver(u8),
    /// The socket breaks, and the client is told or not.
    Cut(bool),
    /// Sockets can be had, or fail, or are refused.
    Sockets(u8),
    /// So many polls are answered well (and the rest not).
    Polls(bool),
    Advance(u16),
    Restart(bool),
    Closing(u16),
    /// A message gets lost, which hubs promise not to do.
    Lose,
    Garble,
    Heartbeat,
    AckFirst(bool),
    /// The hub answers the question for advice, if one is open, or that fails.
    Advise(u8),
}

#[derive(Default)]
struct Socket {
    conn: u64,
    opened: bool,
    dead: bool,
    subscribed: bool,
    question: bool,
    coming: VecDeque<Input>,
}

pub(super) struct World {
    pub(super) machine: Machine,
    now: Duration,
    epoch: u32,
    pub(super) head: u64,
    socket: Option<Socket>,
    polls: BTreeMap<u64, (PipelineId, Option<Cursor>)>,
    ask: Option<u64>,
    sockets: u8,
    ack_first: bool,
    /// Where the updates that came out have got to.
    at: Option<Cursor>,
    /// Snapshots in place of a replay: asked for although there was a state, or with a reason.
    pub(super) needless: u32,
}

pub(super) fn pipeline() -> PipelineId {
    PipelineId::new("p").unwrap()
}

impl World {
    pub(super) fn new(choice: TransportChoice) -> Self {
        let target = Target::Pipelines([pipeline()].into());
        Self {
            machine: Machine::new(target, choice, 50, || Box::new(|| 0.5)),
            now: Duration::ZERO,
            epoch: 1,
            head: 0,
            socket: None,
            polls: BTreeMap::new(),
            ask: None,
            sockets: 0,
            ack_first: true,
            at: None,
            needless: 0,
        }
    }

    fn epoch(&self) -> Epoch {
        Epoch::new(format!("e{}", self.epoch)).unwrap()
    }

    pub(super) fn event(&self, seq: u64) -> ServerMessage {
        let value = json!({
            "pipeline_id": "p", "pipeline_type": "t", "epoch": self.epoch(), "seq": seq,
            "timestamp": "2026-01-01T00:00:00Z", "received_at": "2026-01-01T00:00:00Z",
        });
        ServerMessage::Event(Box::new(Event::from_value("x:step", value).unwrap()))
    }

    pub(super) fn snapshot(&self, reason: Option<ResetReason>) -> ServerMessage {
        let at = Timestamp::from_millis(0);
        let kind = PipelineType::new("t").unwrap();
        let mut state = PipelineStatus::opening(pipeline(), kind, self.epoch(), at, Limits::default());
        state.seq = self.head;
        state.reason = reason;
        ServerMessage::Snapshot(Box::new(state))
    }

    /// What a hub sends to one who stands at a cursor: replay, snapshot, or that there is nothing to know.
    fn answer(&self, cursor: Option<&Cursor>) -> (Vec<ServerMessage>, Option<ResetReason>) {
        match cursor {
            _ if self.head == 0 => (Vec::new(), Some(ResetReason::UnknownPipeline)),
            None => (vec![self.snapshot(None)], None),
            Some(cursor) if cursor.epoch != self.epoch() => {
                let reason = Some(ResetReason::EpochChanged);
                (vec![self.snapshot(reason.clone())], reason)
            }
            Some(cursor) if cursor.seq > self.head => {
                (vec![self.snapshot(Some(ResetReason::Ahead))], Some(ResetReason::Ahead))
            }
            Some(cursor) => ((cursor.seq + 1..=self.head).map(|seq| self.event(seq)).collect(), None),
        }
    }

    pub(super) fn input(&mut self, input: Input) {
        for command in self.machine.handle(self.now, input) {
            self.obey(command);
        }
        let waits = self.machine.deadline().is_some() || !self.polls.is_empty() || self.machine.is_closed();
        assert!(waits, "nothing is under way and nothing is due: {:?}", self.machine.phase);
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::AskAdvice { ask } => {
                assert!(self.socket.is_none(), "asked while there is a socket");
                self.ask = Some(ask);
            }
            Command::OpenSocket { conn } => {
                assert!(self.socket.is_none(), "two sockets");
                assert_ne!(self.machine.guide.choice(), TransportChoice::Polling);
                self.socket = Some(Socket { conn, ..Socket::default() });
            }
            Command::CloseSocket { conn } => {
                assert_eq!(self.socket.take().map(|socket| socket.conn), Some(conn));
            }
            Command::Ping { conn } => {
                if let Some(socket) = self.ask(conn) {
                    socket.coming.push_back(Input::Pong { conn });
                }
            }
            Command::Subscribe { conn, request } => self.subscribe(conn, &request),
            Command::Poll { poll, pipeline, cursor, .. } => {
                assert_ne!(self.machine.guide.choice(), TransportChoice::Websocket);
                assert!(
                    self.polls.values().all(|(other, _)| *other != pipeline),
                    "two polls of one pipeline"
                );
                self.needless += u32::from(cursor.is_none() && self.at.is_some());
                self.polls.insert(poll, (pipeline, cursor));
            }
            Command::StopPoll { pipeline } => self.polls.retain(|_, (polled, _)| *polled != pipeline),
            Command::StopPolls => self.polls.clear(),
            Command::Discover { .. } => panic!("pipelines are named"),
            Command::AskToken { .. } | Command::Refresh { .. } | Command::TokenRefused => {
                panic!("there is no source of tokens")
            }
            Command::Emit(update) => self.take(update),
        }
    }

    /// A question is asked on the socket; gives it back if the hub hears it.
    fn ask(&mut self, conn: u64) -> Option<&mut Socket> {
        let socket = self.socket.as_mut().expect("a question without a socket");
        assert_eq!(socket.conn, conn, "a question on another socket");
        assert!(socket.opened && !socket.question, "two questions");
        socket.question = true;
        Some(socket).filter(|socket| !socket.dead)
    }

    fn subscribe(&mut self, conn: u64, request: &SubscribeRequest) {
        let cursor = request.cursors.as_ref().and_then(|cursors| cursors.get(&pipeline()));
        self.needless += u32::from(cursor.is_none() && self.at.is_some());
        let (messages, reason) = self.answer(cursor);
        let ack_first = self.ack_first;
        let Some(socket) = self.ask(conn) else { return };
        let recovered = reason.is_none();
        let pipeline = SubscribedPipeline { pipeline_id: pipeline(), recovered, replayed: 0, reason };
        let ack = Input::Subscribed { conn, reply: Ok(SubscribeAck { pipelines: vec![pipeline] }) };
        let messages =
            messages.into_iter().map(|message| Input::Message { conn, message: Box::new(message) });
        socket.subscribed = true;
        if ack_first {
            socket.coming.push_back(ack);
            socket.coming.extend(messages);
        } else {
            socket.coming.extend(messages);
            socket.coming.push_back(ack);
        }
    }

    fn take(&mut self, update: Update) {
        match update.what {
            What::Event(event) => {
                let cursor = event.shared().cursor();
                match &self.at {
                    None => assert_eq!(cursor.seq, 1, "begins in the middle"),
                    Some(at) => {
                        assert_eq!(cursor.epoch, at.epoch);
                        assert_eq!(cursor.seq, at.seq + 1, "hole, repeat or swap");
                    }
                }
                self.at = Some(cursor);
            }
            What::Snapshot { state, reason } => {
                self.needless += u32::from(reason.is_some());
                self.at = Some(state.cursor());
            }
            What::Reset | What::Removed => self.at = None,
            What::Liveness(_) | What::Ended(_) | What::Connection(_) => {}
        }
    }

    fn deliver(&mut self) -> bool {
        let Some(socket) = self.socket.as_mut() else { return false };
        let conn = socket.conn;
        if !socket.opened {
            if socket.dead {
                return false;
            }
            let cause = "as the test wants".to_owned();
            let input = match self.sockets {
                0 => Input::SocketOpened { conn, renew_in: None },
                1 => Input::SocketLost { conn, cause },
                _ => Input::SocketRefused { conn, code: None, cause },
            };
            socket.opened = true;
            self.input(input);
            return true;
        }
        let Some(input) = socket.coming.pop_front() else { return false };
        if matches!(input, Input::Pong { .. } | Input::Subscribed { .. }) {
            socket.question = false;
        }
        self.input(input);
        true
    }

    fn send(&mut self, message: impl Fn(u64) -> Input) {
        if let Some(socket) = self.socket.as_mut().filter(|socket| socket.subscribed && !socket.dead) {
            let input = message(socket.conn);
            socket.coming.push_back(input);
        }
    }

    fn answer_polls(&mut self, well: bool) {
        for (poll, (pipeline, cursor)) in std::mem::take(&mut self.polls) {
            let subject = Some(pipeline);
            if well {
                let (mut messages, reason) = self.answer(cursor.as_ref());
                messages.truncate(3);
                let unknown = reason == Some(ResetReason::UnknownPipeline);
                let polled = Polled::Messages { messages, undecodable: false, unknown };
                self.input(Input::PollAnswered { poll, subject, polled });
            } else {
                let failure = PollFailure { code: None, message: "away".into(), retry_after: None };
                self.input(Input::PollFailed { poll, subject, failure });
            }
        }
    }

    /// Lets time pass, with a tick whenever the machine asked for one.
    fn advance(&mut self, by: Duration) {
        let end = self.now + by;
        while let Some(at) = self.machine.deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            let before = self.machine.deadline();
            self.input(Input::Tick);
            assert!(self.machine.deadline() != before || before > Some(self.now), "ticks without end");
        }
        self.now = end;
    }

    pub(super) fn step(&mut self, step: &Step) {
        match step {
            Step::Publish(count) => {
                for _ in 0..*count {
                    self.head += 1;
                    let message = self.event(self.head);
                    self.send(|conn| Input::Message { conn, message: Box::new(message.clone()) });
                }
            }
            Step::Deliver(count) => (0..*count).for_each(|_| _ = self.deliver()),
            Step::Cut(told) => {
                if let Some(socket) = self.socket.as_mut() {
                    socket.dead = true;
                    socket.coming.clear();
                    let conn = socket.conn;
                    if *told {
                        self.input(Input::SocketLost { conn, cause: "cut".into() });
                    }
                }
            }
            Step::Sockets(how) => self.sockets = *how,
            Step::Polls(well) => self.answer_polls(*well),
            Step::Advance(millis) => self.advance(Duration::from_millis(u64::from(*millis))),
            Step::Restart(new_epoch) => {
                if *new_epoch {
                    self.epoch += 1;
                    self.head = 0;
                }
                self.step(&Step::Cut(true));
            }
            Step::Closing(retry_after_ms) => self.send(|conn| Input::Message {
                conn,
                message: Box::new(ServerMessage::HubClosing(HubClosing {
                    retry_after_ms: u64::from(*retry_after_ms),
                })),
            }),
            Step::Lose => {
                let coming = self.socket.as_mut().map(|socket| &mut socket.coming);
                if let Some(coming) = coming
                    && let Some(index) = coming.iter().position(|i| matches!(i, Input::Message { .. }))
                {
                    coming.remove(index);
                }
            }
            Step::Garble => self.send(|conn| Input::Undecodable { conn, pipeline: Some(pipeline()) }),
            Step::Heartbeat if self.head > 0 => {
                let message = self.heartbeat();
                self.send(|conn| Input::Message { conn, message: Box::new(message.clone()) });
            }
            Step::Heartbeat => {}
            Step::AckFirst(first) => self.ack_first = *first,
            Step::Advise(how) => self.advise(*how),
        }
    }

    fn advise(&mut self, how: u8) {
        let Some(ask) = self.ask.take() else { return };
        let advice = |transport, rollout_percentage| {
            let retry_after = Duration::from_millis(500);
            Input::Advised { ask, advice: Advice { transport, rollout_percentage, retry_after } }
        };
        let input = match how {
            0 => advice(TransportChoice::Auto, 100),
            1 => advice(TransportChoice::Polling, 100),
            2 => advice(TransportChoice::Websocket, 100),
            3 => advice(TransportChoice::Auto, 10),
            _ => Input::NotAdvised { ask },
        };
        self.input(input);
    }

    fn heartbeat(&self) -> ServerMessage {
        let value = json!({
            "pipeline_id": "p", "pipeline_type": "t", "epoch": self.epoch(), "seq": self.head,
            "timestamp": "2026-01-01T00:00:00Z", "status": "alive", "liveness": "live",
            "uptime": 1.0, "active_files": 0,
        });
        ServerMessage::from_value("heartbeat", value).unwrap()
    }

    /// Everything works again: for so long, with the hub's heartbeats.
    fn settle(&mut self) {
        self.sockets = 0;
        // A socket that is dead without anybody knowing stays so until the silence is noticed.
        for _ in 0..400 {
            self.advance(Duration::from_millis(500));
            self.answer_polls(true);
            self.advise(0);
            while self.deliver() {}
            if self.is_settled() && self.socket.as_ref().is_none_or(|socket| !socket.dead) {
                return;
            }
            self.step(&Step::Heartbeat);
        }
    }

    fn expected(&self) -> Option<Cursor> {
        (self.head > 0).then(|| Cursor { epoch: self.epoch(), seq: self.head })
    }

    fn is_settled(&self) -> bool {
        let live = matches!(self.machine.phase, Phase::Live(_));
        self.at == self.expected() && live == (self.machine.guide.choice() != TransportChoice::Polling)
    }

    pub(super) fn finish(&mut self) {
        self.settle();
        let expected = self.expected();
        assert_eq!(self.at, expected, "{:?}", self.machine.phase);
        let state = self.machine.pipelines.state(&pipeline());
        assert_eq!(state.map(|state| state.cursor()), expected);
        let live = matches!(self.machine.phase, Phase::Live(_));
        assert_eq!(live, self.machine.guide.choice() != TransportChoice::Polling, "{:?}", self.machine.phase);
    }
}
