//! A subscriber by long polling: what a client without sockets does.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use parking_lot::Mutex;
use ragpulse_protocol::PipelineId;
use ragpulse_protocol::http::EventsAnswer;
use tokio::sync::watch;

use super::tracker::Tracker;
use super::{Client, Habits, Phase, Setup, View, at_least, http};
use crate::proxy::Lane;
use crate::run::AnyError;

/// How long the hub is asked to hold an answer, in seconds, and how much longer one may take.
const WAIT: u64 = 2;
const GRACE: Duration = Duration::from_secs(2);

struct Poller {
    url: String,
    http: reqwest::Client,
    tracker: Arc<Mutex<Tracker>>,
    habits: Habits,
    rng: Rng,
    phase: watch::Receiver<Phase>,
}

/// Starts a client that polls `pipeline` through a lane.
pub(crate) fn start(
    setup: &Setup,
    name: &str,
    lane: &Lane,
    pipeline: &PipelineId,
    habits: Habits,
) -> Result<Client, AnyError> {
    let witness = setup.witness(name, Some(lane));
    let tracker = Tracker::new(pipeline.clone(), setup.oracle.clone(), witness.clone(), true);
    let tracker = Arc::new(Mutex::new(tracker));
    let poller = Poller {
        url: format!("{}/api/pipelines/{pipeline}/events", lane.url()),
        http: http(Duration::from_secs(WAIT) + GRACE)?,
        tracker: tracker.clone(),
        habits,
        rng: setup.run.rng(name),
        phase: setup.phase.clone(),
    };
    let view: Arc<dyn View> = tracker;
    Ok(Client::new(pipeline.clone(), view, witness, tokio::spawn(poller.live())))
}

impl Poller {
    async fn live(mut self) {
        let mut end = self.phase.clone();
        tokio::select! {
            () = at_least(&mut end, Phase::End) => {}
            () = self.come_and_go() => {}
        }
    }

    async fn come_and_go(&mut self) {
        loop {
            let (mut rng, mut phase) = (self.rng.fork(), self.phase.clone());
            let habits = self.habits.clone();
            tokio::select! {
                () = self.poll() => {}
                () = habits.leave(&mut rng, &mut phase) => self.tracker.lock().note("leaves in the middle of a poll"),
            }
            habits.sleep(&mut rng, &mut phase).await;
        }
    }

    /// Polls for ever. Cancelling it loses an answer, not the place.
    async fn poll(&mut self) {
        let mut backoff = self.habits.backoff.clone();
        loop {
            let cursor = self.tracker.lock().asks();
            let limit = if self.rng.bool() { 1_000 } else { self.rng.u32(1..60) };
            let from = cursor
                .map_or_else(String::new, |cursor| format!("&epoch={}&seq={}", cursor.epoch, cursor.seq));
            let url = format!("{}?wait={WAIT}&limit={limit}{from}", self.url);
            match self.ask(&url).await {
                Ok(answer) => {
                    backoff.reset();
                    let unknown = matches!(&answer, EventsAnswer::Events(page) if page.epoch.is_none());
                    self.tracker.lock().page(answer);
                    if unknown {
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
                Err(error) => {
                    self.tracker.lock().note(format!("poll failed: {error}"));
                    backoff.wait(&mut self.rng).await;
                }
            }
        }
    }

    async fn ask(&self, url: &str) -> Result<EventsAnswer, AnyError> {
        let answer = self.http.get(url).send().await?;
        if !answer.status().is_success() {
            return Err(format!("{}: {}", answer.status(), answer.text().await?).into());
        }
        Ok(answer.json().await?)
    }
}
