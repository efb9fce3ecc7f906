//! The upgrade: does a WebSocket come through to the hub, and what stands in its way.
//!
//! *What may come in:* any answer to a request for an upgrade. *What it never does:* send a token.

use std::net::SocketAddr;
use std::time::Instant;

use ragpulse_protocol::Code;
use reqwest::StatusCode;
use reqwest::header::{ACCESS_CONTROL_EXPOSE_HEADERS, HeaderMap};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, http};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::answer::{Trouble, describe, millis, words_of};
use super::finding::{Fault, Finding};
use super::target::Target;
use super::tls::{self, Wire};

/// The largest message taken: the hub's are small before anything is subscribed to.
const MOST: usize = 1024 * 1024;

/// An upgraded connection.
pub(super) type WebSocket = WebSocketStream<Box<dyn Wire>>;

const PATH: [&str; 2] = ["socket.io", ""];

pub(super) async fn upgrade(target: &Target, addresses: &[SocketAddr]) -> (Finding, Option<WebSocket>) {
    let mut url = target.url(&PATH, &[("EIO", "4"), ("transport", "websocket")]);
    // Only `http` and `https` are let in, so these fit.
    let _ = url.set_scheme(if target.is_https() { "wss" } else { "ws" });
    let tried = format!("asked to upgrade {} to a WebSocket", url.path());
    let request = match url.as_str().into_client_request() {
        Ok(request) => request,
        Err(error) => {
            let finding =
                Finding::failed("upgrade_broken", tried, format!("the address will not do: {error}"))
                    .fault(Fault::Here)
                    .advice("Correct the address.");
            return (finding, None);
        }
    };
    let start = Instant::now();
    let result = match tls::wire(target, addresses).await {
        Ok(wire) => {
            let config = WebSocketConfig::default().max_message_size(Some(MOST)).max_frame_size(Some(MOST));
            let handshake = client_async_with_config(request, wire, Some(config));
            tokio::time::timeout(target.timeout, handshake).await
        }
        Err(trouble) => return (flaky(tried, &trouble), None),
    };
    match result {
        Ok(Ok((socket, _))) => {
            let took = start.elapsed();
            let seen = format!("WebSocket upgrades get through ({})", words_of(took));
            (Finding::passed(tried, seen).detail("took_ms", millis(took)), Some(socket))
        }
        Ok(Err(error)) => (refused(target, tried, error).await, None),
        Err(_) => {
            let seen = format!("no answer to the upgrade within {}", words_of(target.timeout));
            let finding = Finding::failed("upgrade_timeout", tried, seen).fault(Fault::Proxy).advice(ADVICE);
            (routed(target, finding).await, None)
        }
    }
}

/// What operators of proxies have to do.
const ADVICE: &str = "Let the proxy pass on upgrades for /socket.io/ (nginx: proxy_http_version 1.1; proxy_set_header Upgrade \
                      $http_upgrade; proxy_set_header Connection \"upgrade\"). Until then clients poll, which works but is slower.";

fn flaky(tried: String, trouble: &Trouble) -> Finding {
    Finding::failed("http_flaky", tried, format!("the connection was not opened again: {trouble}"))
        .fault(Fault::Network)
        .advice("Try again. Where it stays so, look at the log of what stands before the hub.")
}

async fn refused(target: &Target, tried: String, error: Error) -> Finding {
    let Error::Http(response) = error else {
        let (code, seen) = match error {
            Error::Protocol(ProtocolError::HandshakeIncomplete) => {
                ("upgrade_cut", "the connection was cut instead of an answer".to_owned())
            }
            Error::Protocol(why) => {
                ("upgrade_broken", format!("the answer to the upgrade is no proper one: {why}"))
            }
            other => ("upgrade_cut", format!("the connection was cut instead of an answer: {other}")),
        };
        let finding = Finding::failed(code, tried, seen).fault(Fault::Proxy).advice(ADVICE);
        return routed(target, finding).await;
    };
    let (parts, body) = response.into_parts();
    let body = body.unwrap_or_default();
    let answer = describe(parts.status, &parts.headers, &body);
    let status = parts.status.as_u16();
    let problem = serde_json::from_slice::<ragpulse_protocol::Problem>(&body).ok();
    let is_stripped = problem.as_ref().is_some_and(|problem| problem.code == Code::InvalidRequest);
    if let Some(problem) = problem.filter(|_| !is_stripped) {
        return Finding::failed(
            "upgrade_refused_by_hub",
            tried,
            format!("the hub refuses: {}", problem.detail),
        )
        .fault(Fault::Hub)
        .advice("Do what the hub says; see `host` and `origin` too.")
        .detail("status", status);
    }
    let finding = match parts.status {
        // Hubs before this check answered an empty 400.
        http::StatusCode::BAD_REQUEST if is_stripped || is_hubs(&parts.headers) => {
            let seen = "the request reached the hub without what makes it an upgrade";
            Finding::failed("upgrade_headers_stripped", tried, seen)
        }
        http::StatusCode::OK => Finding::failed(
            "upgrade_ignored",
            tried,
            format!("the upgrade was taken for a plain request: {answer}"),
        ),
        http::StatusCode::NOT_FOUND => Finding::failed(
            "socketio_not_passed",
            tried,
            format!("there is nothing at /socket.io/: {answer}"),
        ),
        _ => Finding::failed("upgrade_refused", tried, format!("the upgrade is refused: {answer}")),
    };
    routed(target, finding.fault(Fault::Proxy).advice(ADVICE).detail("status", status)).await
}

/// Whether it is an answer of the hub itself, as its doors mark all of them.
fn is_hubs(headers: &HeaderMap) -> bool {
    let exposed = headers.get(ACCESS_CONTROL_EXPOSE_HEADERS).and_then(|value| value.to_str().ok());
    exposed.is_some_and(|exposed| exposed.to_ascii_lowercase().contains("etag"))
}

/// Adds whether Socket.IO's long polling gets through, which tells a way that is missing from one that takes no upgrades.
async fn routed(target: &Target, mut finding: Finding) -> Finding {
    let request = target.get(&PATH, &[("EIO", "4"), ("transport", "polling")]);
    let answer = target.ask(request).await;
    let passes =
        answer.as_ref().is_ok_and(|answer| answer.status == StatusCode::OK && answer.body.starts_with(b"0{"));
    let more = match &answer {
        _ if passes => "; plain requests to /socket.io/ do reach the hub".to_owned(),
        Ok(answer) => {
            format!("; plain requests to /socket.io/ do not reach the hub either: {}", answer.words())
        }
        Err(trouble) => format!("; plain requests to /socket.io/ fail too: {trouble}"),
    };
    finding.seen.push_str(&more);
    finding.detail("socketio_polling", passes)
}
