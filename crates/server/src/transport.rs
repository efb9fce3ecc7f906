//! The transports: thin, unaware of each other, never writing to the log. Each turns what comes in into a call of the
//! [`Hub`], and what comes back into its own form.

mod http;
mod socket;

use ::http::HeaderValue;
use ::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use axum::response::{IntoResponse, Response};
use ragpulse_protocol::Problem;

pub use socket::HubLayer;
pub(crate) use socket::SocketEnd;

#[cfg(feature = "fuzzing")]
pub(crate) use socket::fuzzing;

use crate::doors::{Doors, DoorsLayer};
use crate::hub::Hub;

/// The HTTP routes with their doors.
pub(crate) fn router(hub: &Hub) -> axum::Router {
    http::traced(http::routes(hub).layer(doors(hub)), hub)
}

/// The problem that an answer tells, for those on its way out.
#[derive(Debug, Clone)]
pub(crate) struct Told(pub(crate) Problem);

/// The Socket.IO layer with its doors, and its handle.
pub(crate) fn socket(hub: &Hub) -> (HubLayer, SocketEnd) {
    socket::build(hub, doors(hub))
}

fn doors(hub: &Hub) -> DoorsLayer {
    DoorsLayer(Doors::new(&hub.0.config, hub.0.authoriser.has_keys()))
}

/// An error over HTTP.
pub(crate) fn problem_response(problem: &Problem) -> Response {
    let status =
        ::http::StatusCode::from_u16(problem.status).unwrap_or(::http::StatusCode::INTERNAL_SERVER_ERROR);
    let body = serde_json::to_string(problem).unwrap_or_default();
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/problem+json")),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    let mut answer = (status, headers, body).into_response();
    if let Some(seconds) = crate::limits::retry_after(problem) {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    answer.extensions_mut().insert(Told(problem.clone()));
    answer
}

/// What serves an address that nothing else does.
pub(crate) async fn not_found(uri: ::http::Uri) -> Response {
    problem_response(&Problem::new(
        ragpulse_protocol::Code::NotFound,
        format!("There is nothing at {}.", uri.path()),
    ))
}
