//! The hub that is looked at: its address, what is trusted, and how long a step may take.
//!
//! *What may come in:* options. *What it never does:* go by a proxy of the environment (doctor looks at the way itself);
//! follow a redirect; send a token before the certificate was found good.

use std::net::SocketAddr;
use std::time::Duration;

use ragpulse_client::token::TokenFileError;
use reqwest::{Client, RequestBuilder, Url};
use tokio::net::TcpStream;

use super::answer::{self, Answer, Trouble};
use super::trust::{Trust, TrustError};
use crate::failure::Failure;

/// Where and how to look.
pub(super) struct Target {
    base: Url,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) token: Option<String>,
    /// Why there is none, although a file was named that should hold one.
    pub(super) no_token: Option<TokenFileError>,
    /// How long a step may take.
    pub(super) timeout: Duration,
    /// Whether the long steps are taken, too.
    pub(super) thorough: bool,
    /// What is trusted: only for https.
    pub(super) trust: Option<Result<Trust, TrustError>>,
    http: Client,
}

impl Target {
    pub(super) fn new(
        url: &str,
        token: Result<Option<String>, TokenFileError>,
        ca: Option<&std::path::Path>,
        timeout: Duration,
        thorough: bool,
    ) -> Result<Self, Failure> {
        let mut base: Url = url.parse().map_err(|error| {
            Failure::usage(format!("'{url}' is no address ({error}); give one such as http://127.0.0.1:8103"))
        })?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(Failure::usage(format!("'{url}' is neither http:// nor https://")));
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(Failure::usage("an address has no name and password; a token goes by --token"));
        }
        let (token, no_token) = match token {
            Ok(token) => (token, None),
            Err(error) => (None, Some(error)),
        };
        let usable = |token: &String| !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        if token.as_ref().is_some_and(|token| !usable(token)) {
            return Err(Failure::usage("the token is empty, or has characters that no token has"));
        }
        base.set_query(None);
        base.set_fragment(None);
        let host = base.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let port = base.port_or_known_default().unwrap_or(80);
        let trust = if base.scheme() == "https" {
            match Trust::new(ca) {
                Err(TrustError::File(error)) => return Err(Failure::usage(error)),
                trust => Some(trust),
            }
        } else {
            None
        };
        let mut builder = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(timeout)
            .user_agent(concat!("ragpulse-doctor/", env!("CARGO_PKG_VERSION")));
        if let Some(Ok(trust)) = &trust {
            builder = builder.tls_backend_preconfigured(trust.config().as_ref().clone());
        }
        let http = builder.build().map_err(|error| Failure::new(format!("cannot set up HTTP: {error}")))?;
        Ok(Self { base, host, port, token, no_token, timeout, thorough, trust, http })
    }

    pub(super) fn is_https(&self) -> bool {
        self.base.scheme() == "https"
    }

    /// Whether the name says that the hub is on this machine.
    pub(super) fn is_loopback(&self) -> bool {
        let name = self.host.trim_end_matches('.');
        name.eq_ignore_ascii_case("localhost")
            || name.to_ascii_lowercase().ends_with(".localhost")
            || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// The address, for people.
    pub(super) fn shown(&self) -> String {
        self.base.as_str().trim_end_matches('/').to_owned()
    }

    /// The origin of pages that are served at this address.
    pub(super) fn origin(&self) -> String {
        self.base.origin().ascii_serialization()
    }

    /// A URL below the hub's address.
    pub(super) fn url(&self, path: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// The path of such a URL, for people.
    pub(super) fn path(&self, path: &[&str]) -> String {
        self.url(path, &[]).path().to_owned()
    }

    pub(super) fn get(&self, path: &[&str], query: &[(&str, &str)]) -> RequestBuilder {
        self.http.get(self.url(path, query))
    }

    /// As [`get`](Self::get), with the token.
    pub(super) fn get_authorized(&self, path: &[&str], query: &[(&str, &str)]) -> RequestBuilder {
        let request = self.get(path, query);
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends a request and reads the whole answer, within the time of a step.
    pub(super) async fn ask(&self, request: RequestBuilder) -> Result<Answer, Trouble> {
        answer::ask(request, self.timeout).await
    }

    /// Opens a TCP connection to the first of these that takes one.
    pub(super) async fn connect(&self, addresses: &[SocketAddr]) -> Result<TcpStream, Trouble> {
        let connected = tokio::time::timeout(self.timeout, TcpStream::connect(addresses)).await;
        let stream =
            connected.map_err(|_| Trouble::Timeout)?.map_err(|error| Trouble::Broken(error.to_string()))?;
        // As the clients do; otherwise a ping waits for the acknowledgement of what went before.
        stream.set_nodelay(true).map_err(|error| Trouble::Broken(error.to_string()))?;
        Ok(stream)
    }
}
