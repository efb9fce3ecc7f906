//! The task behind a subscriber: carries out what the session machine commands, and tells it what happens.
//!
//! *What may come in:* socket events and poll answers, through bounded channels. *What it never does:* decide anything, hold
//! the lock while it waits, or take more from the hub than the consumer takes from it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use ragpulse_protocol::command::SubscribeRequest;
use ragpulse_protocol::{PipelineId, ServerMessage};
use serde_json::Value;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use super::http::Http;
use super::link::SILENCE;
use super::session::{Advice, Command, Input, Machine, OPEN_WITHIN, PollFailure, Polled};
use super::socket::{SocketConnector, SocketError, SocketEvent};
use super::update::{ConnectionStatus, Update, What};
use crate::token::Tokens;

/// How many socket events wait between the socket and the machine.
const SOCKET_EVENTS: usize = 64;
/// A consumer that took longer than this was slow: silence on the socket meanwhile proves nothing.
const SLOW: Duration = Duration::from_millis(250);

/// What handles and the task share.
pub(crate) struct Shared {
    pub(crate) machine: Mutex<Machine>,
    pub(crate) stop: Notify,
    pub(crate) connection: watch::Sender<ConnectionStatus>,
}

/// A question to be sent on a socket.
enum Question {
    Subscribe(Box<SubscribeRequest>),
    Refresh,
    Ping,
}

struct Socket {
    conn: u64,
    questions: mpsc::Sender<Question>,
    events: mpsc::Receiver<SocketEvent>,
}

type PollResult = (u64, Option<PipelineId>, Result<Polled, PollFailure>);

pub(crate) struct Driver {
    pub(crate) shared: Arc<Shared>,
    pub(crate) connector: Arc<dyn SocketConnector>,
    pub(crate) http: Http,
    pub(crate) updates: mpsc::Sender<Update>,
    pub(crate) started: Instant,
}

/// What the commands act on.
#[derive(Default)]
struct Hands {
    socket: Option<Socket>,
    polls: JoinSet<PollResult>,
    polling: HashMap<PipelineId, AbortHandle>,
    /// The question for advice; apart, because it outlives the polls.
    advice: JoinSet<(u64, Option<Advice>)>,
    /// The question for another token for a socket, and whether there is one.
    tokens: JoinSet<(u64, bool)>,
}

impl Driver {
    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) async fn drive(self) {
        let mut hands = Hands::default();
        let mut input = Input::Start;
        loop {
            let commands = self.shared.machine.lock().handle(self.now(), input);
            let slow = self.carry_out(commands, &mut hands).await;
            if self.shared.machine.lock().is_closed() {
                break;
            }
            if slow {
                input = Input::CaughtUp;
                continue;
            }
            let deadline = self.shared.machine.lock().deadline();
            input = tokio::select! {
                biased;
                () = self.shared.stop.notified() => Input::Stop,
                () = self.updates.closed() => Input::Stop,
                input = next_of_socket(&mut hands.socket, self.tokens()) => input,
                Some(joined) = hands.polls.join_next() => match joined {
                    Ok((poll, subject, Ok(polled))) => Input::PollAnswered { poll, subject, polled },
                    Ok((poll, subject, Err(failure))) => Input::PollFailed { poll, subject, failure },
                    // It was stopped.
                    Err(_) => Input::Tick,
                },
                Some(joined) = hands.advice.join_next() => match joined {
                    Ok((ask, Some(advice))) => Input::Advised { ask, advice },
                    Ok((ask, None)) => Input::NotAdvised { ask },
                    // Another one was asked.
                    Err(_) => Input::Tick,
                },
                Some(joined) = hands.tokens.join_next() => match joined {
                    Ok((conn, fresh)) => Input::TokenAsked { conn, fresh },
                    // Another one was asked for.
                    Err(_) => Input::Tick,
                },
                () = self.sleep_until(deadline) => Input::Tick,
            };
        }
    }

    fn tokens(&self) -> &Arc<Tokens> {
        &self.http.endpoint.tokens
    }

    async fn sleep_until(&self, deadline: Option<Duration>) {
        match deadline {
            Some(deadline) => tokio::time::sleep_until(self.started + deadline).await,
            None => std::future::pending().await,
        }
    }

    /// Does what is commanded, in order. Whether the consumer was slow.
    async fn carry_out(&self, commands: Vec<Command>, hands: &mut Hands) -> bool {
        let begun = self.now();
        for command in commands {
            match command {
                Command::AskAdvice { ask } => {
                    let http = self.http.clone();
                    hands.advice.abort_all();
                    hands.advice.spawn(async move { (ask, http.advice().await) });
                }
                Command::OpenSocket { conn } => hands.socket = Some(self.open(conn)),
                // The socket's task sees that nobody asks any more, says goodbye and ends.
                Command::CloseSocket { .. } => hands.socket = None,
                Command::Subscribe { conn, request } => hands.ask(conn, Question::Subscribe(request)),
                Command::Ping { conn } => hands.ask(conn, Question::Ping),
                Command::AskToken { conn } => {
                    let tokens = Arc::clone(self.tokens());
                    hands.tokens.abort_all();
                    hands.tokens.spawn(async move { (conn, tokens.renew().await) });
                }
                Command::Refresh { conn } => hands.ask(conn, Question::Refresh),
                Command::TokenRefused => self.tokens().refuse_of_socket(),
                Command::Poll { poll, pipeline, cursor, wait } => {
                    let http = self.http.clone();
                    let subject = pipeline.clone();
                    let handle = hands.polls.spawn(async move {
                        let polled = http.poll(&pipeline, cursor.as_ref(), wait).await;
                        (poll, Some(pipeline), polled)
                    });
                    hands.polling.insert(subject, handle);
                }
                Command::Discover { poll, target } => {
                    let http = self.http.clone();
                    hands.polls.spawn(async move { (poll, None, http.discover(&target).await) });
                }
                Command::StopPoll { pipeline } => {
                    if let Some(handle) = hands.polling.remove(&pipeline) {
                        handle.abort();
                    }
                }
                Command::StopPolls => {
                    hands.polls.abort_all();
                    hands.polling.clear();
                }
                Command::Emit(update) => self.emit(update).await,
            }
        }
        self.now().saturating_sub(begun) > SLOW
    }

    /// Hands an update to the consumer, and waits for it as long as it takes.
    async fn emit(&self, update: Update) {
        if let What::Connection(status) = &update.what {
            tracing::debug!(?status, "the connection changed");
            self.shared.connection.send_replace(status.clone());
        }
        tokio::select! {
            biased;
            // A consumer that is gone is noticed by the loop.
            _ = self.updates.send(update) => {}
            () = self.shared.stop.notified() => self.shared.stop.notify_one(),
        }
    }

    fn open(&self, conn: u64) -> Socket {
        // One question is open at a time; a second place keeps the sender from ever waiting.
        let (questions, asked) = mpsc::channel(2);
        let (tell, events) = mpsc::channel(SOCKET_EVENTS);
        tokio::spawn(serve(Arc::clone(&self.connector), Arc::clone(self.tokens()), asked, tell));
        Socket { conn, questions, events }
    }
}

impl Hands {
    fn ask(&mut self, conn: u64, question: Question) {
        if let Some(socket) = self.socket.as_ref().filter(|socket| socket.conn == conn) {
            // If its task is gone, that is told by its events.
            let _ = socket.questions.try_send(question);
        }
    }
}

/// The life of one socket. Ends when nobody can ask any more.
async fn serve(
    connector: Arc<dyn SocketConnector>,
    tokens: Arc<Tokens>,
    mut asked: mpsc::Receiver<Question>,
    tell: mpsc::Sender<SocketEvent>,
) {
    let lost = |error: SocketError| SocketEvent::Lost(error.to_string());
    let late = |_| Err(SocketError("the hub did not answer in time".to_owned()));
    let opened = tokio::time::timeout(OPEN_WITHIN, connector.open(tell.clone())).await;
    let connection = match opened.unwrap_or_else(late) {
        Ok(connection) => connection,
        Err(error) => {
            let _ = tell.send(lost(error)).await;
            return;
        }
    };
    while let Some(question) = asked.recv().await {
        let sent = tokio::time::timeout(SILENCE, async {
            match question {
                Question::Subscribe(request) => connection.subscribe(&request).await,
                Question::Ping => connection.ping(milliseconds()).await,
                Question::Refresh => match tokens.onto_socket() {
                    Some(token) => connection.refresh(&token).await,
                    None => Err(SocketError("the token that was to be brought has ended".to_owned())),
                },
            }
        });
        if let Err(error) = sent.await.unwrap_or_else(|_| Err(SocketError("the socket takes nothing".into())))
        {
            let _ = tell.send(lost(error)).await;
            break;
        }
    }
    drop(tell);
    // A peer that takes nothing must not hold this up.
    let _ = tokio::time::timeout(SILENCE, connection.close()).await;
}

fn milliseconds() -> f64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    since.as_millis() as f64
}

/// The next thing a socket tells; never, without one.
async fn next_of_socket(socket: &mut Option<Socket>, tokens: &Tokens) -> Input {
    let Some(Socket { conn, events, .. }) = socket else { return std::future::pending().await };
    let conn = *conn;
    match events.recv().await {
        Some(event) => input_of(conn, event, tokens),
        None => {
            *socket = None;
            Input::SocketLost { conn, cause: "the socket ended".to_owned() }
        }
    }
}

fn input_of(conn: u64, event: SocketEvent, tokens: &Tokens) -> Input {
    match event {
        SocketEvent::Opened => Input::SocketOpened { conn, renew_in: tokens.renew_in() },
        SocketEvent::Refused { code, message } => Input::SocketRefused { conn, code, cause: message },
        SocketEvent::Lost(cause) => Input::SocketLost { conn, cause },
        SocketEvent::Subscribed(reply) => Input::Subscribed { conn, reply: reply.into_result() },
        SocketEvent::Pong => Input::Pong { conn },
        SocketEvent::Refreshed(reply) => {
            let refusal = reply.into_result().err().map(|error| (error.code, error.message));
            Input::Refreshed { conn, refusal, renew_in: tokens.renew_in() }
        }
        SocketEvent::Message { name, payload } => {
            let pipeline = payload.get("pipeline_id").and_then(Value::as_str).map(PipelineId::new);
            match ServerMessage::from_value(&name, payload) {
                Ok(message) => Input::Message { conn, message: Box::new(message) },
                Err(error) => {
                    tracing::warn!(event = name, "a message of the hub cannot be read: {error}");
                    Input::Undecodable { conn, pipeline: pipeline.and_then(Result::ok) }
                }
            }
        }
    }
}
