//! Plain HTTP to a hub, for commands that ask once.

use std::time::Duration;

use ragpulse_protocol::Problem;
use ragpulse_protocol::http::RagStatus;
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use serde::de::DeserializeOwned;

use crate::failure::Failure;
use crate::hub_options::{HubOptions, Token};

/// A hub to ask.
#[derive(Clone)]
pub(crate) struct HubClient {
    base: Url,
    token: Token,
    http: Client,
}

impl HubClient {
    pub(crate) fn new(options: &HubOptions) -> Result<Self, Failure> {
        let base: Url = options.url.parse().map_err(|error| {
            let url = &options.url;
            Failure::usage(format!("'{url}' is no address ({error}); give one such as http://127.0.0.1:8103"))
        })?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(Failure::usage(format!("'{}:' is neither http:// nor https://", base.scheme())));
        }
        let http = Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .timeout(Duration::from_secs(60))
            .build()
            .map_err(|error| Failure::new(format!("cannot set up HTTP: {error}")))?;
        Ok(Self { base, token: options.token()?, http })
    }

    /// A URL below the hub's address.
    fn url(&self, path: &[&str], query: &[(&str, &str)]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// Sends a request with the token as it is now, and once more where the hub does not take it and the file has
    /// another one.
    async fn send(&self, request: RequestBuilder) -> Result<Response, (Failure, bool)> {
        // Without what an address may hold of a password.
        let base = self.address();
        let unreachable = |error: reqwest::Error| {
            let why = if error.is_connect() { "nobody answers there" } else { "the request failed" };
            let line =
                format!("no hub at {base}: {why}. Start one with `ragpulse serve`, or name it by --url");
            (Failure::new(line), true)
        };
        // Whoever writes the file may be about to do so.
        let token = self.token.now().await.map_err(|failure| (failure, true))?;
        let again = request.try_clone();
        let response = authorized(request, token.as_deref()).send().await.map_err(unreachable)?;
        if response.status() != StatusCode::UNAUTHORIZED {
            return Ok(response);
        }
        match (self.token.now().await, again) {
            (Ok(fresh), Some(again)) if fresh != token => {
                authorized(again, fresh.as_deref()).send().await.map_err(unreachable)
            }
            _ => Ok(response),
        }
    }

    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<T, Failure> {
        self.answer(self.http.get(self.url(path, query))).await
    }

    /// As [`get`](Self::get), and says whether a failure may pass.
    pub(crate) async fn try_get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<T, (Failure, bool)> {
        self.ask(self.http.get(self.url(path, query))).await
    }

    /// The hub's address, for people.
    pub(crate) fn address(&self) -> String {
        let mut shown = self.base.clone();
        // An address that cannot have a password has none.
        let _ = shown.set_username("").and_then(|()| shown.set_password(None));
        shown.to_string()
    }

    pub(crate) async fn status(&self) -> Result<RagStatus, Failure> {
        self.get(&["api", "rag-status"], &[]).await
    }

    /// Posts lines of JSON, and says whether a failure may pass.
    pub(crate) async fn post_lines<T: DeserializeOwned>(
        &self,
        path: &[&str],
        reporter: Option<&str>,
        body: String,
    ) -> Result<T, (Failure, bool)> {
        let mut request = self.http.post(self.url(path, &[])).header("content-type", "application/x-ndjson");
        if let Some(reporter) = reporter {
            request = request.header("RagPulse-Reporter", reporter);
        }
        self.ask(request.body(body)).await
    }

    /// Deletes something.
    pub(crate) async fn delete(&self, path: &[&str]) -> Result<(), Failure> {
        let response =
            self.send(self.http.delete(self.url(path, &[]))).await.map_err(|(failure, _)| failure)?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let text = response.text().await.unwrap_or_default();
        match serde_json::from_str::<Problem>(&text) {
            Ok(problem) => Err(problem.into()),
            Err(_) => {
                Err(Failure::new(format!("{} answers {status}, but not as a hub would", self.address())))
            }
        }
    }

    /// Whether the address is of this machine alone, whatever its name means elsewhere.
    pub(crate) fn is_on_loopback(&self) -> bool {
        let host = self.base.host_str().unwrap_or_default();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let by_number = bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
        by_number || host == "localhost" || host.ends_with(".localhost")
    }

    async fn answer<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Failure> {
        self.ask(request).await.map_err(|(failure, _)| failure)
    }

    async fn ask<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, (Failure, bool)> {
        let base = self.address();
        let response = self.send(request).await?;
        let ok = response.status().is_success();
        let status = response.status();
        let text = response
            .text()
            .await
            .map_err(|error| (Failure::new(format!("the hub's answer broke off: {error}")), true))?;
        if ok {
            return serde_json::from_str(&text).map_err(|error| {
                let line = format!("{base} answers, but not as a hub would ({error}); is the address right?");
                (Failure::new(line), false)
            });
        }
        match serde_json::from_str::<Problem>(&text) {
            Ok(problem) => {
                let retryable = problem.retryable;
                Err((problem.into(), retryable))
            }
            Err(_) => {
                let line = format!("{base} answers {status}, but not as a hub would; is the address right?");
                Err((Failure::new(line), status.is_server_error()))
            }
        }
    }
}

fn authorized(request: RequestBuilder, token: Option<&str>) -> RequestBuilder {
    match token {
        Some(token) => request.bearer_auth(token),
        None => request,
    }
}
