//! Long polls, the look for pipelines and the question for advice, over HTTP.
//!
//! *What it never does:* decide when to ask, or keep anything between two questions.

use std::time::Duration;

use ragpulse_protocol::http::EventsAnswer;
use ragpulse_protocol::limits::MAX_PAGE;
use ragpulse_protocol::status::ResetReason;
use ragpulse_protocol::{Cursor, PipelineId, PipelineType, ServerMessage};
use serde::Deserialize;

use super::pipelines::Target;
use super::session::{ASK_WITHIN, Advice, PollFailure, Polled, TransportChoice};
use crate::endpoint::{BadAnswer, Endpoint};

/// How much longer than the hub is asked to wait an answer may take.
const GRACE: Duration = Duration::from_secs(10);

#[derive(Clone)]
pub(crate) struct Http {
    pub(crate) endpoint: Endpoint,
    pub(crate) client: reqwest::Client,
}

/// As much of `GET /api/socket/info` as is needed. A hub may say less, or a transport that is not known here.
#[derive(Deserialize)]
struct Info {
    transport: Option<String>,
    rollout_percentage: Option<u64>,
    retry_after_ms: Option<u64>,
}

impl From<Info> for Advice {
    fn from(info: Info) -> Self {
        let transport = match info.transport.as_deref() {
            Some("websocket") => TransportChoice::Websocket,
            Some("polling") => TransportChoice::Polling,
            _ => TransportChoice::Auto,
        };
        let percentage = info.rollout_percentage.unwrap_or(100).min(100);
        Self {
            transport,
            rollout_percentage: u8::try_from(percentage).unwrap_or(100),
            retry_after: Duration::from_millis(info.retry_after_ms.unwrap_or_default()),
        }
    }
}

/// As much of `GET /api/rag-status` as is needed.
#[derive(Deserialize)]
struct Listing {
    pipelines: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    pipeline_id: PipelineId,
    pipeline_type: PipelineType,
}

impl Http {
    pub(crate) async fn poll(
        &self,
        pipeline: &PipelineId,
        cursor: Option<&Cursor>,
        wait: Duration,
    ) -> Result<Polled, PollFailure> {
        let url = self.endpoint.poll(pipeline, cursor, wait, MAX_PAGE);
        let answer = self.endpoint.ask(self.client.get(url).timeout(wait + GRACE)).await?;
        Ok(match answer {
            EventsAnswer::Snapshot(answer) => {
                let mut snapshot = answer.snapshot;
                snapshot.reason = answer.reason;
                let messages = vec![ServerMessage::Snapshot(snapshot)];
                Polled::Messages { messages, undecodable: false, unknown: false }
            }
            EventsAnswer::Events(page) => {
                let unknown = page.reason == Some(ResetReason::UnknownPipeline);
                let (mut messages, mut undecodable) = (Vec::with_capacity(page.events.len()), false);
                for event in page.events {
                    match ServerMessage::from_value(&event.event, event.data) {
                        Ok(message) => messages.push(message),
                        Err(error) => {
                            tracing::warn!(%pipeline, event = event.event, "an event cannot be read: {error}");
                            undecodable = true;
                            break;
                        }
                    }
                }
                Polled::Messages { messages, undecodable, unknown }
            }
        })
    }

    /// How the hub wants to be followed; nothing when it does not say so, or not in time.
    pub(crate) async fn advice(&self) -> Option<Advice> {
        let request = self.client.get(self.endpoint.at("api/socket/info")).timeout(ASK_WITHIN);
        match self.endpoint.ask::<Info>(request).await {
            Ok(info) => Some(info.into()),
            Err(error) => {
                tracing::debug!("the hub does not say how it wants to be followed: {error}");
                None
            }
        }
    }

    pub(crate) async fn discover(&self, target: &Target) -> Result<Polled, PollFailure> {
        let request = self.client.get(self.endpoint.at("api/rag-status")).timeout(GRACE);
        let listing: Listing = self.endpoint.ask(request).await?;
        let wanted = listing.pipelines.into_iter().filter(|listed| target.covers(&listed.pipeline_type));
        Ok(Polled::Pipelines(wanted.map(|listed| listed.pipeline_id).collect()))
    }
}

impl From<BadAnswer> for PollFailure {
    fn from(answer: BadAnswer) -> Self {
        let message = answer.to_string();
        match answer {
            BadAnswer::Problem { problem, retry_after } => {
                Self { code: Some(problem.code), message: problem.detail, retry_after }
            }
            BadAnswer::Strange { retry_after, .. } => Self { code: None, message, retry_after },
            BadAnswer::Unreachable(_) | BadAnswer::NoToken(_) => {
                Self { code: None, message, retry_after: None }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_is_read_from_whatever_says_some_of_it() {
        let advice = |text| Advice::from(serde_json::from_str::<Info>(text).unwrap());
        let said = advice(r#"{"transport":"polling","rollout_percentage":40,"retry_after_ms":1500,"new":1}"#);
        let expected = Advice {
            transport: TransportChoice::Polling,
            rollout_percentage: 40,
            retry_after: Duration::from_millis(1500),
        };
        assert_eq!(said, expected);
        let nothing =
            Advice { transport: TransportChoice::Auto, rollout_percentage: 100, retry_after: Duration::ZERO };
        assert_eq!(advice("{}"), nothing);
        assert_eq!(advice(r#"{"transport":"carrier pigeon","rollout_percentage":1000}"#), nothing);
    }
}
