//! `POST /api/pipelines/{id}/events`: one event, an array, or one a line.

use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::{Extension, Json};
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_body_util::LengthLimitError;
use ragpulse_protocol::command::PublishReceipt;
use ragpulse_protocol::{Code, Problem, ReporterId};

use tower_http::timeout::TimeoutError;

use super::extract::{Refusal, Reported};
use crate::doors::REPORTER;
use crate::hub::Hub;
use crate::ingest::parse_batch;
use crate::limits::{AtLimit, exceeded};
use crate::request_id::RequestId;

pub(super) async fn publish(
    State(hub): State<Hub>,
    Reported(caller, pipeline): Reported,
    Extension(request): Extension<RequestId>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<PublishReceipt>, Refusal> {
    let lines = is_lines(&headers)?;
    let reporter = headers
        .get(REPORTER)
        .map(|value| ReporterId::new(value.to_str().unwrap_or_default()))
        .transpose()
        .map_err(|error| {
            let message = format!("In the header RagPulse-Reporter, {error}.");
            Problem::new(Code::InvalidName, message).at_field("RagPulse-Reporter")
        })?;
    let limits = &hub.0.config.limits;
    let body = to_bytes(body, limits.body_bytes).await.map_err(|error| unread(&error, limits.body_bytes))?;
    hub.0.metrics.ingest_bytes.add((), body.len() as u64);
    let events = parse_batch(&body, lines, limits)?;
    Ok(Json(hub.publish(&caller, &pipeline, reporter, events, &request).await?))
}

/// Why a body was not read: it is too large, or did not come.
fn unread(error: &axum::Error, most: usize) -> Problem {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if error.is::<LengthLimitError>() {
            let message = format!("A body holds at most {most} bytes. Send it in parts.");
            return Problem::new(Code::BodyTooLarge, message).at_limit("body_bytes");
        }
        if error.is::<TimeoutError>() {
            let message = "The body did not come in time. Send it again, over a better line or in parts.";
            return exceeded("request_seconds", message);
        }
        source = error.source();
    }
    Problem::new(Code::InvalidRequest, "The body did not come whole. Send it again.")
}

/// Whether the body has one event a line. Other types than JSON are refused: a form of a foreign page could send them.
fn is_lines(headers: &HeaderMap) -> Result<bool, Problem> {
    let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/json" => Ok(false),
        "application/x-ndjson" => Ok(true),
        _ => Err(Problem::new(
            Code::UnsupportedMediaType,
            format!("Send application/json or application/x-ndjson, not '{essence}'."),
        )),
    }
}
