//! A subscriber over a bare socket: hundreds in one process, each with its cursor.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fastrand::Rng;
use parking_lot::Mutex;
use ragpulse_protocol::PipelineId;
use ragpulse_protocol::command::{SubscribeReply, SubscribeRequest};
use tokio::sync::watch;

use super::tracker::Tracker;
use super::{Backoff, Client, Habits, Phase, Setup, View, at_least};
use crate::oracle::Via;
use crate::proxy::Lane;
use crate::wire::{Frame, Socket, parse};

/// After how much silence it asks for a sign of life, and how long it waits for one.
const QUIET: Duration = Duration::from_millis(1_500);
const ANSWER_WITHIN: Duration = Duration::from_millis(1_500);

/// Told of each message that a subscriber is given: its name and the text of its payload.
pub(crate) type Tap = Arc<dyn Fn(&str, &str) + Send + Sync>;

/// How a socket client is made.
pub(crate) struct Options {
    pub(crate) habits: Habits,
    /// Whether it folds a state, which costs.
    pub(crate) keeps_state: bool,
    /// Limits what the system reads ahead for it.
    pub(crate) receive_buffer: Option<u32>,
    pub(crate) tap: Option<Tap>,
    /// How long it takes silence for a sign of nothing, where that is another time than usual.
    pub(crate) patience: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self { habits: Habits::STEADY, keeps_state: true, receive_buffer: None, tap: None, patience: None }
    }
}

struct Follower {
    address: SocketAddr,
    pipeline: PipelineId,
    tracker: Arc<Mutex<Tracker>>,
    options: Options,
    rng: Rng,
    phase: watch::Receiver<Phase>,
}

/// Starts a client that follows `pipeline` at `address`.
pub(crate) fn start(
    setup: &Setup,
    name: &str,
    address: SocketAddr,
    lane: Option<&Lane>,
    pipeline: &PipelineId,
    options: Options,
) -> Client {
    let witness = setup.witness(name, lane);
    let tracker = Tracker::new(pipeline.clone(), setup.oracle.clone(), witness.clone(), options.keeps_state);
    let tracker = Arc::new(Mutex::new(tracker));
    let follower = Follower {
        address,
        pipeline: pipeline.clone(),
        tracker: tracker.clone(),
        options,
        rng: setup.run.rng(name),
        phase: setup.phase.clone(),
    };
    let view: Arc<dyn View> = tracker;
    Client::new(pipeline.clone(), view, witness, tokio::spawn(follower.live()))
}

impl Follower {
    async fn live(mut self) {
        let mut end = self.phase.clone();
        tokio::select! {
            () = at_least(&mut end, Phase::End) => {}
            () = self.come_and_go() => {}
        }
    }

    async fn come_and_go(&mut self) {
        let mut backoff: Backoff = self.options.habits.backoff.clone();
        loop {
            let socket = match Socket::open(self.address, self.options.receive_buffer).await {
                Ok(socket) => socket,
                Err(error) => {
                    self.tracker.lock().note(format!("cannot connect: {error}"));
                    backoff.wait(&mut self.rng).await;
                    continue;
                }
            };
            let began = Instant::now();
            match self.stay(socket).await {
                Ok(()) => {
                    let habits = self.options.habits.clone();
                    habits.sleep(&mut self.rng, &mut self.phase).await;
                }
                Err(error) => {
                    self.tracker.lock().note(format!("lost: {error}"));
                    if began.elapsed() > Duration::from_millis(200) {
                        backoff.reset();
                    }
                    backoff.wait(&mut self.rng).await;
                }
            }
        }
    }

    /// Follows until it is time to leave; an error is a connection that was lost.
    async fn stay(&mut self, mut socket: Socket) -> Result<(), String> {
        self.subscribe(&mut socket).await?;
        let habits = self.options.habits.clone();
        let mut phase = self.phase.clone();
        let mut rng = self.rng.fork();
        let leave = habits.leave(&mut rng, &mut phase);
        tokio::pin!(leave);
        let patience = self.options.patience.unwrap_or(QUIET);
        let mut asked = false;
        loop {
            let silence = if asked { ANSWER_WITHIN } else { patience };
            let text = tokio::select! {
                next = tokio::time::timeout(silence, socket.next()) => match next {
                    Ok(Some(text)) => text?,
                    Ok(None) => return Err("the connection ended".to_owned()),
                    Err(_) if asked => return Err("nothing was heard".to_owned()),
                    Err(_) => {
                        socket.ping().await?;
                        asked = true;
                        continue;
                    }
                },
                () = &mut leave => {
                    // Some say goodbye, others shut the lid.
                    let polite = self.rng.bool();
                    self.tracker.lock().note(if polite { "leaves" } else { "is gone without a word" });
                    if polite {
                        socket.close().await;
                    }
                    return Ok(());
                }
            };
            asked = false;
            self.take(&text)?;
            if self.tracker.lock().wants_resync() {
                self.subscribe(&mut socket).await?;
            }
        }
    }

    async fn subscribe(&self, socket: &mut Socket) -> Result<(), String> {
        let cursor = self.tracker.lock().asks();
        let request = SubscribeRequest {
            pipeline_id: Some(self.pipeline.clone()),
            cursors: cursor.map(|cursor| [(self.pipeline.clone(), cursor)].into()),
            ..SubscribeRequest::default()
        };
        socket.subscribe(&request).await
    }

    fn take(&self, text: &str) -> Result<(), String> {
        match parse(text) {
            Frame::Message(name, payload) => {
                self.tracker.lock().message(name, payload, Via::Socket);
                if let Some(tap) = &self.options.tap {
                    tap(name, payload);
                }
            }
            Frame::Subscribed(reply) => {
                let reply: SubscribeReply = serde_json::from_str(reply).map_err(|error| error.to_string())?;
                match reply.into_result() {
                    Ok(ack) => ack.pipelines.iter().for_each(|answer| self.tracker.lock().answered(answer)),
                    Err(error) if error.retryable => return Err(error.to_string()),
                    Err(error) => self.tracker.lock().fail(format!("subscribe was refused: {error}")),
                }
            }
            Frame::Closed => return Err("the hub closed the connection".to_owned()),
            Frame::Other => {}
        }
        Ok(())
    }
}
