//! Asks each hub by itself how it fares: what it takes, what it shows, and whether it says that it cannot know better.

use std::time::{Duration, Instant};

use ragpulse_protocol::Problem;
use reqwest::StatusCode;
use serde_json::json;

use super::stage::Stage;
use crate::client::http;
use crate::hub::Hub;
use crate::run::AnyError;

/// What says for how many seconds the store has not answered.
const STALE: &str = "ragpulse-stale";
/// How long an answer may take: longer than a hub waits for Redis.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// How long a hub may take until it takes events again.
const TAKES_WITHIN: Duration = Duration::from_secs(30);

/// What a hub answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// For how many seconds it has not heard of its store.
    pub(crate) stale: Option<u64>,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn problem(&self) -> Option<Problem> {
        serde_json::from_str(&self.text).ok()
    }
}

/// Asks one hub, with a pipeline of its own.
#[derive(Debug, Clone)]
pub(crate) struct Probe {
    http: reqwest::Client,
    hub: String,
    pub(crate) name: String,
}

impl Probe {
    /// One for each hub.
    pub(crate) fn each(stage: &Stage) -> Result<Vec<Self>, AnyError> {
        let of = |hub: &Hub| {
            let name = hub.journal().name().to_owned();
            Ok(Self { http: http(ANSWER_WITHIN)?, hub: hub.url(), name })
        };
        stage.hubs.each().iter().map(of).collect()
    }

    /// Asks for something.
    pub(crate) async fn get(&self, path: &str) -> Result<Answer, AnyError> {
        answer(self.http.get(format!("{}{path}", self.hub))).await
    }

    /// Reports something that is always in order.
    pub(crate) async fn report(&self) -> Result<Answer, AnyError> {
        let url = format!("{}/api/pipelines/probe-of-{}/events", self.hub, self.name.replace(' ', "-"));
        let online = json!([{ "event": "pipeline:online", "data": { "pipeline_type": "local_files" } }]);
        answer(self.http.post(url).json(&online)).await
    }

    /// Waits until all of them take events, and gives how long that was.
    pub(crate) async fn all_take(probes: &[Self]) -> Result<Duration, AnyError> {
        let begun = Instant::now();
        for probe in probes {
            loop {
                let why = match probe.report().await {
                    Ok(answer) if answer.status.is_success() => break,
                    Ok(answer) => format!("{}: {}", answer.status, answer.text),
                    Err(error) => error.to_string(),
                };
                if begun.elapsed() > TAKES_WITHIN {
                    let name = &probe.name;
                    return Err(
                        format!("{name} takes nothing {TAKES_WITHIN:?} after Redis is back: {why}").into()
                    );
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Ok(begun.elapsed())
    }
}

async fn answer(request: reqwest::RequestBuilder) -> Result<Answer, AnyError> {
    let answer = request.send().await?;
    let stale = answer.headers().get(STALE).and_then(|value| value.to_str().ok()?.parse().ok());
    Ok(Answer { status: answer.status(), stale, text: answer.text().await? })
}
