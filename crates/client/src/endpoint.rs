//! Where a hub is and with which token it is spoken to, checked once; and the HTTP client for it.
//!
//! *What may come in:* any text for a URL. *What it never does:* put the token into a URL, or print it.

use std::sync::Arc;
use std::time::Duration;

use ragpulse_protocol::{Code, Cursor, PipelineId, Problem};
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderValue, RETRY_AFTER};

use crate::token::{Given, TokenFile, Tokens};

/// The hub that a [default](crate::Reporter::from_env) speaks to.
pub const DEFAULT_URL: &str = "http://127.0.0.1:8103";
/// The environment variable that names the hub.
pub const URL_VARIABLE: &str = "RAGPULSE_URL";
/// The environment variable that holds the token.
pub const TOKEN_VARIABLE: &str = "RAGPULSE_TOKEN";
/// The environment variable that names a file with the token, which somebody keeps up to date.
pub const TOKEN_FILE_VARIABLE: &str = "RAGPULSE_TOKEN_FILE";

/// URL and token from the environment, with their defaults.
pub(crate) fn from_env() -> (String, Given) {
    let read = |variable| std::env::var(variable).ok().filter(|value| !value.is_empty());
    let url = read(URL_VARIABLE).unwrap_or_else(|| DEFAULT_URL.to_owned());
    (url, given(read(TOKEN_VARIABLE), read(TOKEN_FILE_VARIABLE)))
}

fn given(token: Option<String>, file: Option<String>) -> Given {
    match (token, file) {
        (None, None) => Given::Nothing,
        (Some(token), None) => Given::Fixed(token),
        (None, Some(file)) => Given::Source(Arc::new(TokenFile::new(file))),
        (Some(_), Some(_)) => Given::Twice,
    }
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
    /// The environment gives a token and a file with one.
    #[error(
        "the environment gives a token twice, by RAGPULSE_TOKEN and by RAGPULSE_TOKEN_FILE, and they may differ; unset \
         one of them"
    )]
    TwoTokens,
    /// The HTTP client could not be made.
    #[error("the HTTP client could not be set up on this machine: {0}")]
    Client(String),
}

/// A hub: its base address and the tokens for it.
#[derive(Clone)]
pub(crate) struct Endpoint {
    base: Url,
    pub(crate) tokens: Arc<Tokens>,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

impl Endpoint {
    /// `within` is how long a source of tokens may take.
    pub(crate) fn new(url: &str, given: Given, within: Duration) -> Result<Self, EndpointError> {
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
        match &given {
            Given::Fixed(token) if bearer(token).is_none() => return Err(EndpointError::Token),
            Given::Twice => return Err(EndpointError::TwoTokens),
            Given::Nothing | Given::Fixed(_) | Given::Source(_) => {}
        }
        Ok(Self { base, tokens: Arc::new(Tokens::new(given, within)) })
    }

    fn is_loopback(&self) -> bool {
        let host = self.base.host_str().unwrap_or_default();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
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

    /// Sends a request with the token that holds now, and decodes a good answer. A token that the hub answers 401 to is
    /// not sent again, where there is a source to ask for another.
    pub(crate) async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<T, BadAnswer> {
        let token = self.tokens.token().await.map_err(BadAnswer::NoToken)?;
        let request = match token.as_deref().and_then(bearer) {
            Some(value) => request.header(AUTHORIZATION, value),
            None => request,
        };
        let answer = ask(request).await;
        if let (Err(bad), Some(token)) = (&answer, &token)
            && bad.is_unauthorized()
        {
            self.tokens.refuse(token);
        }
        answer
    }

    /// A client for this hub. Redirects are not followed: they would take the token elsewhere.
    pub(crate) fn client(&self, timeout: Duration) -> Result<reqwest::Client, EndpointError> {
        let mut builder = reqwest::Client::builder();
        // A proxy is somewhere else, where this address means another machine.
        if self.is_loopback() {
            builder = builder.no_proxy();
        }
        builder
            .user_agent(concat!("ragpulse-client/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(timeout.min(Duration::from_secs(10)))
            .timeout(timeout)
            .build()
            .map_err(|error| EndpointError::Client(chain(&error)))
    }
}

/// The header that carries a token; none for what no header can.
pub(crate) fn bearer(token: &str) -> Option<HeaderValue> {
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
    /// Nothing was sent: there is no token to send.
    NoToken(String),
}

impl BadAnswer {
    /// Whether the token is not taken.
    pub(crate) fn is_unauthorized(&self) -> bool {
        match self {
            Self::Problem { problem, .. } => problem.code == Code::Unauthorized,
            Self::Strange { status, .. } => *status == 401,
            Self::Unreachable(_) | Self::NoToken(_) => false,
        }
    }
}

impl std::fmt::Display for BadAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Problem { problem, .. } => write!(f, "the hub answered: {problem}"),
            Self::Strange { status, text, .. } => {
                write!(f, "no hub's answer came from this address: status {status}, {text:?}")
            }
            Self::Unreachable(error) => write!(f, "the hub was not reached: {error}"),
            Self::NoToken(error) => write!(f, "there is no token to send to the hub: {error}"),
        }
    }
}

/// The most of an answer that is read, in bytes: a page of 1,000 events of 16 kB.
const MAX_ANSWER: usize = 16 * 1024 * 1024;

/// Sends a request and decodes a good answer.
async fn ask<T: serde::de::DeserializeOwned>(request: reqwest::RequestBuilder) -> Result<T, BadAnswer> {
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

    fn new(url: &str, given: Given) -> Result<Endpoint, EndpointError> {
        Endpoint::new(url, given, Duration::from_secs(1))
    }

    #[test]
    fn addresses_keep_a_base_path_and_carry_the_cursor() {
        let pipeline = PipelineId::new("p").unwrap();
        for (given, expected) in [
            ("http://h:1", "http://h:1/api/pipelines/p/events"),
            ("http://h:1/", "http://h:1/api/pipelines/p/events"),
            ("wss://h/hub/?x=1#y", "https://h/hub/api/pipelines/p/events"),
        ] {
            assert_eq!(new(given, Given::Nothing).unwrap().events(&pipeline).as_str(), expected);
        }
        let endpoint = new("http://h:1", Given::Nothing).unwrap();
        let cursor = "e:7".parse::<Cursor>().unwrap();
        assert_eq!(
            endpoint.poll(&pipeline, Some(&cursor), Duration::from_secs(25), 1000).query(),
            Some("epoch=e&seq=7&wait=25&limit=1000")
        );
    }

    #[test]
    fn only_loopback_goes_past_a_proxy() {
        let is_loopback = |url| new(url, Given::Nothing).unwrap().is_loopback();
        assert!(["http://localhost:1", "http://127.0.0.9", "http://[::1]:8103"].into_iter().all(is_loopback));
        assert!(!["http://localhost.example", "http://10.0.0.1"].into_iter().any(is_loopback));
    }

    #[test]
    fn what_cannot_be_a_hub_is_refused_without_telling_secrets() {
        for bad in ["", "hub", "ftp://h", "http://"] {
            assert!(new(bad, Given::Nothing).is_err(), "{bad:?} must be refused");
        }
        let error = new("http://me:secret@h", Given::Nothing).unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
        for token in ["", "a\nb", "a b"] {
            assert_eq!(new("http://h", Given::Fixed(token.into())).unwrap_err(), EndpointError::Token);
        }
        let shown = format!("{:?}", new("http://h", Given::Fixed("secret".into())).unwrap());
        assert!(!shown.contains("secret"), "{shown}");
    }
    #[test]
    fn the_environment_gives_a_token_or_a_file_but_not_both() {
        let some = || Some("secret".to_owned());
        assert!(matches!(given(None, None), Given::Nothing));
        assert!(matches!(given(some(), None), Given::Fixed(token) if token == "secret"));
        assert!(matches!(given(None, some()), Given::Source(_)));
        let error = new("http://h", given(some(), some())).unwrap_err().to_string();
        assert!(error.contains("RAGPULSE_TOKEN ") || error.contains("RAGPULSE_TOKEN and"), "{error}");
        assert!(error.contains("RAGPULSE_TOKEN_FILE") && !error.contains("secret"), "{error}");
    }
}
