//! An answer over HTTP, read whole and with its times, or why there is none.
//!
//! *What it never does:* read more than a bounded part of an answer; take what is no problem document of a hub for one.

use std::time::{Duration, Instant, SystemTime};

use ragpulse_protocol::{Code, Problem};
use reqwest::header::{HeaderMap, HeaderName};
use reqwest::{RequestBuilder, StatusCode};

/// The most of an answer that is read, in bytes.
const MOST: usize = 16 * 1024 * 1024;

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    /// When the request was sent, by this machine's clock.
    pub(super) sent_at: SystemTime,
    /// How long it took.
    pub(super) took: Duration,
}

/// Why there is no answer.
#[derive(Debug, Clone)]
pub(super) enum Trouble {
    /// None in time.
    Timeout,
    /// The connection broke, or what came was no HTTP.
    Broken(String),
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Timeout => f.write_str("nothing came in time"),
            Self::Broken(why) => f.write_str(why),
        }
    }
}

impl From<reqwest::Error> for Trouble {
    fn from(error: reqwest::Error) -> Self {
        if error.is_timeout() { Self::Timeout } else { Self::Broken(chain(&error.without_url())) }
    }
}

/// An error with its causes.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

/// Sends a request and reads the whole answer within a time.
pub(super) async fn ask(request: RequestBuilder, within: Duration) -> Result<Answer, Trouble> {
    let (sent_at, start) = (SystemTime::now(), Instant::now());
    let whole = async {
        let mut response = request.send().await?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > MOST {
                return Err(Trouble::Broken(format!("the answer has more than {MOST} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(Answer { status, headers, body, sent_at, took: start.elapsed() })
    };
    tokio::time::timeout(within, whole).await.unwrap_or(Err(Trouble::Timeout))
}

impl Answer {
    /// The hub's own words about what is wrong.
    pub(super) fn problem(&self) -> Option<Problem> {
        serde_json::from_slice(&self.body).ok()
    }

    pub(super) fn is_problem(&self, code: Code) -> bool {
        self.problem().is_some_and(|problem| problem.code == code)
    }

    pub(super) fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }

    pub(super) fn header(&self, name: impl Into<HeaderName>) -> Option<&str> {
        self.headers.get(name.into()).and_then(|value| value.to_str().ok())
    }

    /// The answer for people: its problem, or status, server and the begin of its text.
    pub(super) fn words(&self) -> String {
        match self.problem() {
            Some(problem) => format!("the hub answers {}: {}", self.status, problem.detail),
            None => describe(self.status, &self.headers, &self.body),
        }
    }
}

/// Status, server and the begin of an answer that is not a hub's.
pub(super) fn describe(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> String {
    let server = headers.get("server").and_then(|value| value.to_str().ok());
    let server = server.map(|server| format!(" from '{server}'")).unwrap_or_default();
    let text = String::from_utf8_lossy(&body[..body.len().min(200)]);
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text: String = text.chars().take(80).collect();
    if text.is_empty() {
        format!("the answer is {status}{server}, without text")
    } else {
        format!("the answer is {status}{server}: {text}")
    }
}

/// A time for people.
pub(super) fn words_of(time: Duration) -> String {
    let millis = time.as_secs_f64() * 1000.0;
    match millis {
        ..10.0 => format!("{millis:.1} ms"),
        10.0..1000.0 => format!("{millis:.0} ms"),
        1000.0..120_000.0 => format!("{:.1} s", millis / 1000.0),
        120_000.0..7_200_000.0 => format!("{:.0} minutes", millis / 60_000.0),
        7_200_000.0..172_800_000.0 => format!("{:.0} hours", millis / 3_600_000.0),
        _ => format!("{:.0} days", millis / 86_400_000.0),
    }
}

/// A time in milliseconds, for programs.
pub(super) fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1_000_000.0).round() / 1000.0
}
