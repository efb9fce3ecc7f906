//! A subscriber by server-sent events: what curl and scripts do, with `Last-Event-ID` when they come back.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use futures_util::StreamExt;
use parking_lot::Mutex;
use ragpulse_protocol::PipelineId;
use tokio::sync::watch;

use super::tracker::Tracker;
use super::{Client, Habits, Phase, Setup, View, at_least, http};
use crate::oracle::Via;
use crate::proxy::Lane;
use crate::run::AnyError;

/// The hub says that it lives every 15 s.
const SILENCE: Duration = Duration::from_secs(18);

struct Listener {
    url: String,
    http: reqwest::Client,
    tracker: Arc<Mutex<Tracker>>,
    habits: Habits,
    rng: Rng,
    phase: watch::Receiver<Phase>,
}

/// Starts a client that streams `pipeline` through a lane.
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
    let listener = Listener {
        url: format!("{}/api/pipelines/{pipeline}/stream", lane.url()),
        http: http(SILENCE)?,
        tracker: tracker.clone(),
        habits,
        rng: setup.run.rng(name),
        phase: setup.phase.clone(),
    };
    let view: Arc<dyn View> = tracker;
    Ok(Client::new(pipeline.clone(), view, witness, tokio::spawn(listener.live())))
}

impl Listener {
    async fn live(mut self) {
        let mut end = self.phase.clone();
        tokio::select! {
            () = at_least(&mut end, Phase::End) => {}
            () = self.come_and_go() => {}
        }
    }

    async fn come_and_go(&mut self) {
        let mut backoff = self.habits.backoff.clone();
        loop {
            let (mut rng, mut phase) = (self.rng.fork(), self.phase.clone());
            let habits = self.habits.clone();
            tokio::select! {
                lost = self.listen() => {
                    let why = lost.err().map_or_else(|| "the stream ended".to_owned(), |error| error.to_string());
                    self.tracker.lock().note(format!("lost: {why}"));
                    backoff.wait(&mut rng).await;
                }
                () = habits.leave(&mut rng, &mut phase) => {
                    self.tracker.lock().note("leaves");
                    habits.sleep(&mut rng, &mut phase).await;
                }
            }
            backoff.reset();
        }
    }

    async fn listen(&mut self) -> Result<(), AnyError> {
        let cursor = self.tracker.lock().asks();
        let mut request = self.http.get(&self.url);
        if let Some(cursor) = cursor {
            request = request.header("last-event-id", cursor.to_string());
        }
        let answer = request.send().await?.error_for_status()?;
        let mut chunks = answer.bytes_stream();
        let mut lines = Lines::default();
        while let Some(chunk) = chunks.next().await {
            for (name, data) in lines.push(&chunk?) {
                if name == "problem" {
                    return Err(data.into());
                }
                self.tracker.lock().message(&name, &data, Via::Stream);
            }
        }
        Ok(())
    }
}

/// Takes events out of the bytes of a stream, in whatever pieces they come.
#[derive(Debug, Default)]
struct Lines {
    rest: Vec<u8>,
    name: String,
    data: String,
}

impl Lines {
    fn push(&mut self, bytes: &[u8]) -> Vec<(String, String)> {
        self.rest.extend_from_slice(bytes);
        let mut events = Vec::new();
        while let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\r', '\n']);
            if let Some(name) = line.strip_prefix("event:") {
                self.name = name.trim_start().to_owned();
            } else if let Some(data) = line.strip_prefix("data:") {
                self.data.push_str(data.strip_prefix(' ').unwrap_or(data));
            } else if line.is_empty() && !self.data.is_empty() {
                events.push((std::mem::take(&mut self.name), std::mem::take(&mut self.data)));
            }
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_out_whole_however_the_bytes_are_cut() {
        let text = ": alive\n\nid: e:1\nevent: x:a\ndata: {\"a\":\"ä\"}\n\nevent: x:b\r\ndata: {}\r\n\r\n";
        let expected = [("x:a".to_owned(), "{\"a\":\"ä\"}".to_owned()), ("x:b".to_owned(), "{}".to_owned())];
        for size in 1..text.len() {
            let mut lines = Lines::default();
            let events: Vec<_> = text.as_bytes().chunks(size).flat_map(|bytes| lines.push(bytes)).collect();
            assert_eq!(events, expected);
        }
    }
}
