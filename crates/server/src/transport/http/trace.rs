//! What goes around every request over HTTP: its id, and the count of its answer.
//!
//! *What may come in:* any request, also one that the doors refuse. *What it never does:* change an answer, but for the
//! id in its header and in a problem.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};

use crate::hub::Hub;
use crate::metrics::table::Status;
use crate::request_id::{REQUEST_ID, RequestId};
use crate::transport::Told;

pub(super) async fn around(State(hub): State<Hub>, mut request: Request, next: Next) -> Response {
    let id = RequestId::of(request.headers());
    request.extensions_mut().insert(id.clone());
    let mut answer = next.run(request).await;
    let metrics = &hub.0.metrics;
    metrics.responses.add(
        match answer.status().as_u16() {
            100..=199 => Status::Informational,
            200..=299 => Status::Good,
            300..=399 => Status::Redirect,
            400..=499 => Status::Client,
            _ => Status::Server,
        },
        1,
    );
    if let Some(value) = id.header() {
        answer.headers_mut().insert(REQUEST_ID, value);
    }
    if let Some(Told(problem)) = answer.extensions_mut().remove() {
        metrics.problem(problem.code);
        tracing::debug!(request_id = %id, %problem, "refused");
        // An extension member, as RFC 9457 has them: who reports a problem can name what to look for in the logs.
        if let Ok(serde_json::Value::Object(mut members)) = serde_json::to_value(&problem) {
            members.insert("request_id".to_owned(), id.to_string().into());
            answer.headers_mut().remove(CONTENT_LENGTH);
            // Of the page's problems, which were compressed: these words are not.
            answer.headers_mut().remove(CONTENT_ENCODING);
            *answer.body_mut() = Body::from(serde_json::Value::Object(members).to_string());
        }
    }
    answer
}
