//! Where a hub is and with which token it is spoken to, checked once; and the HTTP client for it.
//!
//! *What may come in:* any text for a URL. *What it never does:* put the token into a URL, or print it.

use std::time::Duration;

use ragpulse_protocol::{Cursor, PipelineId, Problem};
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};

/// The hub that a [default](crate::Reporter::from_env) speaks to.
pub const DEFAULT_URL: &str = "http://127.0.0.1:8103";
/// The environment variable that names the hub.
pub const URL_VARIABLE: &str = "RAGPULSE_URL";
/// The environment variable that holds the token.
pub const TOKEN_VARIABLE: &str = "RAGPULSE_TOKEN";

/// URL and token from the environment, with their defaults.
pub(crate) fn from_env() -> (String, Option<String>) {
    let url = std::env::var(URL_VARIABLE).ok().filter(|url| !url.is_empty());
    let token = std::env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty());
    (url.unwrap_or_else(|| DEFAULT_URL.to_owned()), token)
}

/// What is wrong with where the hub is said to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// It is no URL, or one of another kind.
    #[error(
        "the caller gave {url:?} as the hub's address, but {problem}; give one such as http://127.0.0.1:8103"
    )]
    Url {
        /// What was given, without a password.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The token holds characters that a header cannot.
    #[error(
        "the caller gave a token that no HTTP header can carry; take it as printed, without line breaks or spaces"
    )]
    Token,
    /// The HTTP client could not be made.
    #[error("the HTTP client could not be set up on this machine: {0}")]
    Client(String),
}

/// A hub: its base address and the token for it.
#[derive(Clone)]
pub(crate) struct Endpoint {
    base: Url,
    token: Option<String>,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

impl Endpoint {
    pub(crate) fn new(url: &str, token: Option<String>) -> Result<Self, EndpointError> {
        let refuse = |url: &str, problem: &str| {
            Err(EndpointError::Url { url: url.to_owned(), problem: problem.to_owned() })
        };
        let mut base = match Url::parse(url) {
            Ok(base) => base,
            Err(error) => return refuse(url, &error.to_string()),
        };
        if !base.username().is_empty() || base.password().is_some() {
            return refuse("…@…", "it holds a user or password, which would end up in logs: use the token");
        }
        let scheme = match base.scheme() {
            "http" | "ws" => "http",
            "https" | "wss" => "https",
            _ => return refuse(url, "only http and https can be spoken"),
        };
        if base.set_scheme(scheme).is_err() || base.host().is_none() {
            return refuse(url, "it names no host");
        }
        base.set_query(None);
        base.set_fragment(None);
        let path = format!("{}/", base.path().trim_end_matches('/'));
        base.set_path(&path);
        if token.as_ref().is_some_and(|token| bearer(token).is_none()) {
            return Err(EndpointError::Token);
        }
        Ok(Self { base, token })
    }

    fn is_loopback(&self) -> bool {
        let host = self.base.host_str().unwrap_or_default();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }

    /// The token, for the authentication of a socket.
    pub(crate) fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// The address under the base; `path` without a leading slash, of characters that need no escaping.
    pub(crate) fn at(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path()));
        url
    }

    /// Where events of a pipeline are reported to and read from.
    pub(crate) fn events(&self, pipeline: &PipelineId) -> Url {
        self.at(&format!("api/pipelines/{pipeline}/events"))
    }

    /// The address of a long poll.
    pub(crate) fn poll(
        &self,
        pipeline: &PipelineId,
        cursor: Option<&Cursor>,
        wait: Duration,
        limit: u32,
    ) -> Url {
        let mut url = self.events(pipeline);
        {
            let mut query = url.query_pairs_mut();
            if let Some(cursor) = cursor {
                query.append_pair("epoch", cursor.epoch.as_str());
                query.append_pair("seq", &cursor.seq.to_string());
            }
            query.append_pair("wait", &wait.as_secs().to_string());
            query.append_pair("limit", &limit.to_string());
        }
        url
    }

    /// A client that sends the token with every request. Redirects are not followed: they would take it elsewhere.
    pub(crate) fn client(&self, timeout: Duration) -> Result<reqwest::Client, EndpointError> {
        let mut headers = HeaderMap::new();
        if let Some(value) = self.token.as_deref().and_then(bearer) {
            headers.insert(AUTHORIZATION, value);
        }
        let mut builder = reqwest::Client::builder();
        // A proxy is somewhere else, where this address means another machine.
        if self.is_loopback() {
            builder = builder.no_proxy();
        }
        builder
            .default_headers(headers)
            .user_agent(concat!("ragpulse-client/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(timeout.min(Duration::from_secs(10)))
            .timeout(timeout)
            .build()
            .map_err(|error| EndpointError::Client(chain(&error)))
    }
}

fn bearer(token: &str) -> Option<HeaderValue> {
    if token.is_empty() || token.contains(char::is_whitespace) {
        return None;
    }
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// An error with its causes in one line: reqwest tells only the outermost by itself.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// An answer that is not the good one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum BadAnswer {
    /// The hub says what is wrong.
    Problem { problem: Box<Problem>, retry_after: Option<Duration> },
    /// Something that is no hub answered, or the hub in words that are not the contract's.
    Strange { status: u16, text: String, retry_after: Option<Duration> },
    /// Nobody answered.
    Unreachable(String),
}

impl std::fmt::Display for BadAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Problem { problem, .. } => write!(f, "the hub answered: {problem}"),
            Self::Strange { status, text, .. } => {
                write!(f, "no hub's answer came from this address: status {status}, {text:?}")
            }
            Self::Unreachable(error) => write!(f, "the hub was not reached: {error}"),
        }
    }
}

/// The most of an answer that is read, in bytes: a page of 1,000 events of 16 kB.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// Sends a request and decodes a good answer.
pub(crate) async fn ask<T: serde::de::DeserializeOwned>(
    request: reqwest::RequestBuilder,
) -> Result<T, BadAnswer> {
    let unreachable = |error: reqwest::Error| BadAnswer::Unreachable(chain(&error.without_url()));
    let mut response = request.send().await.map_err(unreachable)?;
    let status = response.status();
    let retry_after = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.parse::<u32>().ok())
        .map(|seconds| Duration::from_secs(u64::from(seconds.min(600))));
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if body.len() + chunk.len() > MAX_ANSWER {
            let text = format!("more than {MAX_ANSWER} bytes");
            return Err(BadAnswer::Strange { status: status.as_u16(), text, retry_after });
        }
        body.extend_from_slice(&chunk);
    }
    if status.is_success() {
        match serde_json::from_slice(&body) {
            Ok(answer) => return Ok(answer),
            Err(error) => {
                let text = format!("{error} in {}", start_of(&body));
                return Err(BadAnswer::Strange { status: status.as_u16(), text, retry_after });
            }
        }
    }
    Err(match serde_json::from_slice::<Problem>(&body) {
        Ok(problem) => BadAnswer::Problem { problem: Box::new(problem), retry_after },
        Err(_) => BadAnswer::Strange { status: status.as_u16(), text: start_of(&body), retry_after },
    })
}

fn start_of(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_keep_a_base_path_and_carry_the_cursor() {
        let pipeline = PipelineId::new("p").unwrap();
        for (given, expected) in [
            ("http://h:1", "http://h:1/api/pipelines/p/events"),
            ("http://h:1/", "http://h:1/api/pipelines/p/events"),
            ("wss://h/hub/?x=1#y", "https://h/hub/api/pipelines/p/events"),
        ] {
            assert_eq!(Endpoint::new(given, None).unwrap().events(&pipeline).as_str(), expected);
        }
        let endpoint = Endpoint::new("http://h:1", None).unwrap();
        let cursor = "e:7".parse::<Cursor>().unwrap();
        assert_eq!(
            endpoint.poll(&pipeline, Some(&cursor), Duration::from_secs(25), 1000).query(),
            Some("epoch=e&seq=7&wait=25&limit=1000")
        );
    }

    #[test]
    fn only_loopback_goes_past_a_proxy() {
        let is_loopback = |url| Endpoint::new(url, None).unwrap().is_loopback();
        assert!(["http://localhost:1", "http://127.0.0.9", "http://[::1]:8103"].into_iter().all(is_loopback));
        assert!(!["http://localhost.example", "http://10.0.0.1"].into_iter().any(is_loopback));
    }

    #[test]
    fn what_cannot_be_a_hub_is_refused_without_telling_secrets() {
        for bad in ["", "hub", "ftp://h", "http://"] {
            assert!(Endpoint::new(bad, None).is_err(), "{bad:?} must be refused");
        }
        let error = Endpoint::new("http://me:secret@h", None).unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
        for token in ["", "a\nb", "a b"] {
            assert_eq!(Endpoint::new("http://h", Some(token.into())).unwrap_err(), EndpointError::Token);
        }
        let shown = format!("{:?}", Endpoint::new("http://h", Some("secret".into())).unwrap());
        assert!(!shown.contains("secret"), "{shown}");
    }
}
